package detect

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/garita/garita/packet"
	"github.com/garita/garita/rule"
)

// randomChain makes a rule on the payload whose contents are likely to match
// here and there: few letters, short strings, all kinds of places.
func randomChain(r *rand.Rand, sid int) string {
	var b strings.Builder
	word := func(n int) string {
		w := make([]byte, 1+r.IntN(n))
		for i := range w {
			w[i] = "abAB1"[r.IntN(5)]
		}
		return string(w)
	}
	fmt.Fprintf(&b, "alert udp any any -> any any (msg:\"m\"; ")
	first, vars := true, 0
	for range 1 + r.IntN(4) {
		switch k := r.IntN(12); {
		case k < 7 || first:
			neg := ""
			if r.IntN(6) == 0 {
				neg = "!"
			}
			w := word(4)
			fmt.Fprintf(&b, "content:%s\"%s\"; ", neg, w)
			if r.IntN(3) == 0 {
				b.WriteString("nocase; ")
			}
			switch m := r.IntN(8); {
			case m == 0:
				fmt.Fprintf(&b, "offset:%d; ", r.IntN(8))
			case m == 1:
				fmt.Fprintf(&b, "depth:%d; ", len(w)+r.IntN(8))
			case m == 2:
				fmt.Fprintf(&b, "offset:%d; depth:%d; ", r.IntN(8), len(w)+r.IntN(8))
			case m == 3 && !first:
				fmt.Fprintf(&b, "distance:%d; ", r.IntN(9)-3)
			case m == 4 && !first:
				fmt.Fprintf(&b, "within:%d; ", len(w)+r.IntN(8))
			case m == 5 && !first:
				fmt.Fprintf(&b, "distance:%d; within:%d; ", r.IntN(9)-3, len(w)+r.IntN(8))
			case m == 6:
				b.WriteString("startswith; ")
			}
			if r.IntN(8) == 0 {
				b.WriteString("endswith; ")
			}
		case k == 7:
			fmt.Fprintf(&b, "isdataat:%s%d%s; ", []string{"", "!"}[r.IntN(2)], r.IntN(12), []string{"", ",relative"}[r.IntN(2)])
		case k == 8:
			fmt.Fprintf(&b, "byte_test:%d,%s%s,%d,%d%s; ", 1+r.IntN(2), []string{"", "!"}[r.IntN(2)], []string{"<", ">", "=", "&", "<=", ">="}[r.IntN(6)],
				[]int{65, 97, 49, 66, 24930, 16961}[r.IntN(6)], r.IntN(6), []string{"", ",relative", ",little", ",relative,little"}[r.IntN(4)])
		case k == 9:
			fmt.Fprintf(&b, "byte_jump:1,%d,string,dec%s%s; ", r.IntN(4), []string{"", ",relative"}[r.IntN(2)], []string{"", ",from_beginning", ",align", ",post_offset 2", ",multiplier 2"}[r.IntN(5)])
			if r.IntN(2) == 0 {
				fmt.Fprintf(&b, "content:\"%s\"; distance:%d; ", word(2), r.IntN(3))
			}
		case k == 10:
			re := []string{"a+b", "[abc]1", "^a", "b$", "(a|b)(?!1)", "B.A", "a{2,3}", "1\\w1"}[r.IntN(8)]
			fmt.Fprintf(&b, "pcre:%s\"/%s/%s%s\"; ", []string{"", "", "", "!"}[r.IntN(4)], re, []string{"", "i"}[r.IntN(2)], []string{"", "R"}[r.IntN(2)])
		case k == 11:
			vars++
			fmt.Fprintf(&b, "byte_extract:1,%d,v%d%s,string,dec; content:\"%s\"; distance:v%d; ", r.IntN(4), vars, []string{"", ",relative"}[r.IntN(2)], word(2), vars)
		}
		first = false
	}
	fmt.Fprintf(&b, "sid:%d;)", sid)
	return b.String()
}

// TestAgainstSuricata matches random chains on random payloads as the
// installed Suricata does.
func TestAgainstSuricata(t *testing.T) {
	seed := uint64(1)
	if s := os.Getenv("GARITA_SEED"); s != "" {
		fmt.Sscan(s, &seed)
	}
	r := rand.New(rand.NewPCG(seed, 2))
	var rules []string
	for sid := 1; sid <= 250; sid++ {
		rules = append(rules, randomChain(r, sid))
	}
	src := strings.Join(rules, "\n")
	parsed, errs := rule.Parse("random", src, rule.Options{})
	if len(errs) > 0 {
		t.Fatal(errs[0])
	}
	set, problems := Compile(parsed, Config{MaxAlerts: 255})
	refused := map[uint32]bool{}
	for _, p := range problems {
		if !p.Warning {
			refused[p.Sid] = true
		}
	}
	var pkts []*packet.Packet
	for i := range 60 {
		n := 1 + r.IntN(24)
		payload := make([]byte, n)
		for j := range payload {
			payload[j] = "abAB1 "[r.IntN(6)]
		}
		pkts = append(pkts, pktFrom("10.0.0.1", "203.0.113.5", uint16(1000+i), 9999, 17, string(payload)))
	}
	theirs, failed := askSuricata(t, rules, pkts)
	mine := map[hitAt]bool{}
	w := NewWorker(set)
	var o Outcome
	for i, p := range pkts {
		w.Inspect(&Input{Packet: p}, &o)
		for _, sid := range sidsOf(&o) {
			mine[hitAt{i, sid}] = true
		}
	}
	wrong := map[uint32]int{}
	var order []uint32
	for k := range theirs {
		if !mine[k] && !refused[k.sid] {
			wrong[k.sid]++
		}
	}
	for k := range mine {
		if !theirs[k] && !failed[k.sid] {
			wrong[k.sid] -= 1000
		}
	}
	for sid := range wrong {
		order = append(order, sid)
	}
	slices.Sort(order)
	t.Logf("%d rules, %d refused here, %d there, %d matches", len(rules), len(refused), len(failed), len(theirs))
	for k := range theirs {
		if !mine[k] && !refused[k.sid] {
			t.Logf("sid %d missed on %q", k.sid, pkts[k.pkt].Payload())
		}
	}
	for k := range mine {
		if !theirs[k] && !failed[k.sid] {
			t.Logf("sid %d too much on %q", k.sid, pkts[k.pkt].Payload())
		}
	}
	for _, sid := range order {
		t.Errorf("%s: %d missed, or %d too many", rules[sid-1], wrong[sid], -wrong[sid]/1000)
	}
}

// hitAt is an alert on a packet, the first of which is 0.
type hitAt struct {
	pkt int
	sid uint32
}

// askSuricata lets the installed Suricata judge packets by rules, whose number
// is their sid. It says what matched and which rules it refused.
func askSuricata(t *testing.T, rules []string, pkts []*packet.Packet) (alerts map[hitAt]bool, refused map[uint32]bool) {
	suri, err := exec.LookPath("suricata")
	if err != nil {
		t.Skip("suricata is not installed: nobody to compare with")
	}
	dir := t.TempDir()
	file := binary.LittleEndian.AppendUint32(nil, 0xa1b2c3d4)
	file = binary.LittleEndian.AppendUint16(file, 2)
	file = binary.LittleEndian.AppendUint16(file, 4)
	file = append(file, make([]byte, 8)...)
	file = binary.LittleEndian.AppendUint32(file, 65535)
	file = binary.LittleEndian.AppendUint32(file, 101)
	for i, p := range pkts {
		file = binary.LittleEndian.AppendUint32(file, uint32(1700000000+i))
		file = binary.LittleEndian.AppendUint32(file, 0)
		file = binary.LittleEndian.AppendUint32(file, uint32(len(p.Data)))
		file = binary.LittleEndian.AppendUint32(file, uint32(len(p.Data)))
		file = append(file, p.Data...)
	}
	pcap, rf, conf := filepath.Join(dir, "a.pcap"), filepath.Join(dir, "a.rules"), filepath.Join(dir, "c.yaml")
	for name, data := range map[string][]byte{pcap: file, rf: []byte(strings.Join(rules, "\n") + "\n"), conf: []byte("%YAML 1.1\n---\noutputs:\n  - eve-log:\n      enabled: yes\n      types: [alert]\npacket-alert-max: 255\nmpm-algo: ac\nspm-algo: bm\n")} {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.Command(suri, "-c", conf, "-k", "none", "--runmode", "single", "-S", rf, "-r", pcap, "-l", dir).CombinedOutput()
	if err != nil {
		t.Skipf("suricata does not run here: %v\n%s", err, out)
	}
	eve, err := os.ReadFile(filepath.Join(dir, "eve.json"))
	if err != nil {
		t.Skip(err)
	}
	alerts, refused = map[hitAt]bool{}, map[uint32]bool{}
	for _, line := range strings.Split(string(eve), "\n") {
		var e struct {
			N     int    `json:"pcap_cnt"`
			Type  string `json:"event_type"`
			Alert struct {
				Sid uint32 `json:"signature_id"`
			} `json:"alert"`
		}
		if json.Unmarshal([]byte(line), &e) == nil && e.Type == "alert" {
			alerts[hitAt{e.N - 1, e.Alert.Sid}] = true
		}
	}
	for _, l := range strings.Split(string(out), "\n") {
		if i := strings.Index(l, "error parsing signature"); i >= 0 {
			var sid uint32
			if j := strings.LastIndex(l, "sid:"); j >= 0 {
				fmt.Sscanf(l[j:], "sid:%d", &sid)
				refused[sid] = true
			}
		}
	}
	return alerts, refused
}
