package stream

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/garita/garita/packet"
)

// eveLine is what the comparison reads of a record.
type eveLine struct {
	EventType string `json:"event_type"`
	PcapCnt   int    `json:"pcap_cnt"`
	SrcPort   int    `json:"src_port"`
	DestPort  int    `json:"dest_port"`
	Alert     struct {
		Signature string `json:"signature"`
	} `json:"alert"`
	TCP struct {
		State string `json:"state"`
	} `json:"tcp"`
}

func readEve(t *testing.T, dir string) (lines []eveLine) {
	f, err := os.Open(filepath.Join(dir, "eve.json"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		var l eveLine
		if err := json.Unmarshal(sc.Bytes(), &l); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, l)
	}
	return lines
}

// inexact tells the events that depend on how long bytes are kept, and on
// when the application parser asks for them: these need not come on the same
// packet.
func inexact(e string) bool {
	return e == ReassemblySeqGap.String() || e == ReassemblyOverlapDifferentData.String()
}

// Random sessions, valid and not: Suricata sees the same stream events on the
// same packets, and leaves the session in the same state.
func TestEventsAgainstSuricata(t *testing.T) {
	if testing.Short() {
		t.Skip("short")
	}
	w := newPcap()
	now := int64(1_700_000_000e9)
	type sent struct {
		script int
		text   string
		events []string
	}
	var packets []sent
	const scripts = 3000
	states := make([]string, scripts)
	for i := range scripts {
		rng := rand.New(rand.NewPCG(13, uint64(i)))
		c := newConv(t, Config{CheckOverlap: true}) // the rules switch it on there
		type end struct{ isn, next uint32 }
		e := [2]end{{isn: 1000, next: 1001}, {isn: 900_000, next: 900_001}}
		first := true
		reused := false
		send := func(s seg) {
			if reused {
				return
			}
			now += 1e6
			b := s.bytes(uint16(2000+i), 80)
			c.p = packet.Packet{Data: b, Time: now}
			c.p.Decode()
			if !first && c.tr.Reused(&c.tcp, &c.p, s.dir) {
				reused = true // a new flow begins; this script is over
				return
			}
			first = false
			w.packet(b, now)
			r := c.tr.Update(&c.tcp, &c.p, s.dir)
			p := sent{script: i, text: fmt.Sprintf("%d dir %d flags %02x seq %d ack %d win %d n %d: %v", len(packets)+1, s.dir, s.flags,
				int(s.seq)-int(e[s.dir].isn)-1, int(s.ack)-int(e[s.dir.Other()].isn)-1, s.win, len(s.data), c.tcp.State())}
			for _, ev := range r.Events {
				if inexact(ev.String()) {
					continue
				}
				p.events = append(p.events, ev.String())
			}
			sort.Strings(p.events)
			packets = append(packets, p)
			for d := range Dir(2) {
				for {
					if _, ok := c.tr.App(&c.tcp, d); !ok {
						break
					}
				}
				c.tr.Raw(&c.tcp, d)
				c.tr.RawDone(&c.tcp, d)
			}
			c.tr.Commit(&c.tcp)
			states[i] = c.tcp.State().String()
		}
		send(seg{flags: synFlag, seq: e[0].isn})
		if rng.IntN(10) > 0 {
			send(seg{dir: ToClient, flags: synFlag | ackFlag, seq: e[1].isn, ack: e[0].next})
			if rng.IntN(10) > 0 {
				send(seg{flags: ackFlag, seq: e[0].next, ack: e[1].next})
			}
		}
		odd := rng.IntN(4) * rng.IntN(2)
		for range 3 + rng.IntN(12) {
			d := Dir(rng.IntN(2))
			x, y := &e[d], &e[d.Other()]
			s := seg{dir: d, flags: ackFlag, seq: x.next, ack: y.next, win: 30000}
			n := 0
			if rng.IntN(2) == 0 {
				n = []int{1, 10, 20, 100}[rng.IntN(4)]
			}
			switch rng.IntN(14) {
			case 0:
				s.flags |= finFlag
			case 1:
				if rng.IntN(3) == 0 {
					s.flags = finFlag
				}
			case 2:
				if rng.IntN(3) == 0 {
					s.flags, n = rstFlag|ackFlag, 0
				}
			case 3:
				if rng.IntN(3) == 0 {
					s.flags, n = synFlag, 0
					s.seq, s.ack = x.isn+uint32(rng.IntN(2)), 0
				}
			case 4:
				if rng.IntN(3) == 0 {
					s.flags, n = synFlag|ackFlag, 0
					s.seq = x.isn + uint32(rng.IntN(2))
				}
			case 5:
				s.ack -= uint32(rng.IntN(50))
			}
			for range odd {
				switch rng.IntN(12) {
				case 0:
					s.seq += uint32(rng.IntN(200))
				case 1:
					s.seq -= uint32(rng.IntN(200))
				case 2:
					s.seq += 100_000
				case 3:
					s.ack += uint32(rng.IntN(200))
				case 4:
					s.ack -= uint32(rng.IntN(200))
				case 5:
					s.ack += 100_000
				case 6:
					s.win = uint16(1 + rng.IntN(40000))
				case 7:
					s.seq--
				case 8:
					s.ack++
				}
			}
			s.data = lies(rng, n)
			send(s)
			if s.flags&(rstFlag|synFlag) == 0 && s.seq == x.next {
				x.next += uint32(n)
				if s.flags&finFlag != 0 {
					x.next++
				}
			}
		}
	}
	rules := &strings.Builder{}
	known := map[string]bool{}
	for ev := range nEvents {
		// Their rules would be refused, or their events are not compared.
		if ev == NoEvent || ev == WrongThread || ev == ReassemblyInsertMemcap || ev == ReassemblyInsertLimit || ev == ReassemblyInsertInvalid ||
			ev == ReassemblyNoSegment || ev == ReassemblyUrgentOOBLimitReached {
			continue
		}
		fmt.Fprintf(rules, "alert tcp any any -> any any (msg:\"%v\"; stream-event:%v; sid:%d;)\n", ev, ev, ev)
		known[ev.String()] = true
	}
	out := runSuricata(t, w.Bytes(), "vars:\n  address-groups:\n    HOME_NET: any\n    EXTERNAL_NET: any\nstats:\n  enabled: no\noutputs:\n  - eve-log:\n      enabled: yes\n      filetype: regular\n      filename: eve.json\n      types:\n        - alert\n        - flow\n"+
		"stream:\n  memcap: 64mb\n  checksum-validation: no\n  reassembly:\n    memcap: 256mb\n    depth: 1mb\nhost-os-policy:\n  bsd: [0.0.0.0/0]\n", rules.String())
	theirs := map[int][]string{}
	theirState := map[int]string{}
	for _, l := range readEve(t, out) {
		switch l.EventType {
		case "alert":
			if inexact(l.Alert.Signature) {
				continue
			}
			theirs[l.PcapCnt] = append(theirs[l.PcapCnt], l.Alert.Signature)
		case "flow":
			port := l.SrcPort
			if port == 80 {
				port = l.DestPort
			}
			theirState[port-2000] = l.TCP.State
		}
	}
	bad := map[int]bool{}
	kinds := map[string]int{}
	total, agree, shown := 0, 0, 0
	for i, p := range packets {
		if bad[p.script] {
			continue // what follows a difference differs
		}
		th := theirs[i+1]
		sort.Strings(th)
		th = slices.Compact(th)
		total++
		if slices.Equal(th, p.events) {
			agree++
			continue
		}
		bad[p.script] = true
		kinds[fmt.Sprintf("ours %v theirs %v", p.events, th)]++
		if shown++; shown <= 3 {
			for j := range packets[:i+1] {
				if packets[j].script == p.script {
					t.Logf("%s %v", packets[j].text, packets[j].events)
				}
			}
			t.Logf("   theirs: %v", th)
		}
	}
	for i := range states {
		if !bad[i] && theirState[i] != "" && theirState[i] != states[i] {
			bad[i] = true
			kinds[fmt.Sprintf("state ours %s theirs %s", states[i], theirState[i])]++
			if shown++; shown <= 6 {
				for j := range packets {
					if packets[j].script == i {
						t.Logf("%s %v", packets[j].text, packets[j].events)
					}
				}
				t.Logf("   state %s, theirs %s", states[i], theirState[i])
			}
		}
	}
	t.Logf("%d of %d packets, %d of %d sessions agree", agree, total, scripts-len(bad), scripts)
	for k, n := range kinds {
		t.Logf("%4d  %s", n, k)
	}
	// What is left are sessions of the wildest kind: which bytes are still kept
	// when one comes again decides between two events.
	if agree*1000 < total*999 || len(bad)*100 > scripts*2 {
		t.Errorf("%d sessions differ", len(bad))
	}
}
