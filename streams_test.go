package garita

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"

	"github.com/garita/garita/eve"
	"github.com/garita/garita/internal/pcap"
	"github.com/garita/garita/packet"
	"github.com/garita/garita/stream"
)

// Random TCP conversations, as odd as attackers make them, are judged as the
// installed Suricata judges them: the same alerts and the same drops on the
// same packets.

// capture makes a capture of raw IP packets.
type capture struct {
	bytes.Buffer
	now int64
	n   int
}

func newCapture() *capture {
	c := &capture{now: 1_700_000_000e9}
	var h [24]byte
	binary.LittleEndian.PutUint32(h[0:], 0xa1b2c3d4)
	binary.LittleEndian.PutUint16(h[4:], 2)
	binary.LittleEndian.PutUint16(h[6:], 4)
	binary.LittleEndian.PutUint32(h[16:], 65535)
	binary.LittleEndian.PutUint32(h[20:], 101) // LINKTYPE_RAW
	c.Write(h[:])
	return c
}

// add puts a packet in, a millisecond behind the one before, and returns its
// number.
func (c *capture) add(b []byte) int {
	c.now += 1e6
	var h [16]byte
	binary.LittleEndian.PutUint32(h[0:], uint32(c.now/1e9))
	binary.LittleEndian.PutUint32(h[4:], uint32(c.now%1e9/1e3))
	binary.LittleEndian.PutUint32(h[8:], uint32(len(b)))
	binary.LittleEndian.PutUint32(h[12:], uint32(len(b)))
	c.Write(h[:])
	c.Write(b)
	c.n++
	return c.n
}

// tcpSeg is a segment of a script; client and server are told by back.
type tcpSeg struct {
	back     bool
	flags    packet.TCPFlags
	seq, ack uint32
	win, urg uint16
	opts     []byte
	data     []byte
}

func (s *tcpSeg) bytes(cport, sport uint16, server byte) []byte {
	for len(s.opts)%4 != 0 {
		s.opts = append(s.opts, 0)
	}
	t := make([]byte, 20, 20+len(s.opts)+len(s.data))
	src, dst := []byte{10, 0, 0, 1}, []byte{10, server, 0, 2}
	if s.back {
		src, dst, cport, sport = dst, src, sport, cport
	}
	binary.BigEndian.PutUint16(t, cport)
	binary.BigEndian.PutUint16(t[2:], sport)
	binary.BigEndian.PutUint32(t[4:], s.seq)
	binary.BigEndian.PutUint32(t[8:], s.ack)
	t[12] = byte(5+len(s.opts)/4) << 4
	t[13] = byte(s.flags)
	binary.BigEndian.PutUint16(t[14:], s.win)
	binary.BigEndian.PutUint16(t[18:], s.urg)
	t = append(append(t, s.opts...), s.data...)
	pseudo := append(append([]byte{}, src...), dst...)
	pseudo = append(pseudo, 0, 6, byte(len(t)>>8), byte(len(t)))
	binary.BigEndian.PutUint16(t[16:], onesSum(append(pseudo, t...)))
	h := []byte{0x45, 0, 0, 0, 0, 0, 0, 0, 64, 6, 0, 0}
	binary.BigEndian.PutUint16(h[2:], uint16(20+len(t)))
	h = append(append(h, src...), dst...)
	binary.BigEndian.PutUint16(h[10:], onesSum(h))
	return append(h, t...)
}

const (
	fFIN = packet.FIN
	fSYN = packet.SYN
	fRST = packet.RST
	fPSH = packet.PSH
	fACK = packet.ACK
	fURG = packet.URG
)

// tcpScript is one conversation.
type tcpScript struct {
	rng     *rand.Rand
	cap     *capture
	number  int
	cport   uint16
	sport   uint16
	server  byte
	text    []string // by packet
	first   int      // number of its first packet
	isn     [2]uint32
	next    [2]uint32 // what each side sends next
	sent    [2][]byte // what each side has sent, from its first byte on
	ts      bool
	clock   [2]uint32
	wscale  bool
	window  [2]uint16
	urgents bool
}

func (s *tcpScript) send(g tcpSeg) {
	d := b2i(g.back)
	if g.win == 0 && s.rng.IntN(60) > 0 {
		g.win = s.window[d]
	}
	if s.ts && s.rng.IntN(40) > 0 {
		s.clock[d] += uint32(s.rng.IntN(3))
		v := s.clock[d]
		switch s.rng.IntN(80) {
		case 0:
			v -= uint32(s.rng.IntN(1000))
		case 1:
			v = 0
		case 2:
			v += 1 << 31
		}
		o := []byte{1, 1, 8, 10}
		o = binary.BigEndian.AppendUint32(o, v)
		e := s.clock[1-d]
		if g.flags&fACK == 0 {
			e = 0
		}
		g.opts = append(g.opts, binary.BigEndian.AppendUint32(o, e)...)
	}
	n := s.cap.add(g.bytes(s.cport, s.sport, s.server))
	if s.first == 0 {
		s.first = n
	}
	dir := ">"
	if g.back {
		dir = "<"
	}
	s.text = append(s.text, fmt.Sprintf("%s %v seq %d ack %d win %d urg %d opt %x n %d %q", dir, g.flags, int32(g.seq-s.isn[d]),
		int32(g.ack-s.isn[1-d]), g.win, g.urg, g.opts, len(g.data), g.data[:min(len(g.data), 40)]))
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// words makes a text of n bytes in which patterns of three letters are
// frequent, but not everywhere.
func words(rng *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = "abcdefgh"[rng.IntN(8)]
	}
	return b
}

func (s *tcpScript) handshake() {
	rng := s.rng
	opts := []byte{2, 4, 5, 180}
	if rng.IntN(3) > 0 {
		opts = append(opts, 4, 2)
	}
	if s.wscale {
		opts = append(opts, 1, 3, 3, byte(rng.IntN(8)))
	}
	syn := tcpSeg{flags: fSYN, seq: s.isn[0], opts: opts}
	switch rng.IntN(24) {
	case 0: // Fast Open
		syn.opts = append(slices.Clone(opts), 34, 10, 1, 2, 3, 4, 5, 6, 7, 8)
		syn.data = s.fresh(0, 10)
	case 1: // data without
		syn.data = s.fresh(0, 10)
	case 2: // not the start of it
		return
	}
	s.send(syn)
	if rng.IntN(20) == 0 {
		again := syn
		again.opts = slices.Clone(opts)
		if rng.IntN(2) == 0 {
			again.seq += uint32(rng.IntN(5))
		}
		s.send(again)
	}
	if rng.IntN(30) == 0 { // both open
		s.send(tcpSeg{back: true, flags: fSYN, seq: s.isn[1], opts: slices.Clone(opts)})
		s.send(tcpSeg{flags: fSYN | fACK, seq: s.isn[0], ack: s.isn[1] + 1, opts: slices.Clone(opts)})
		s.send(tcpSeg{back: true, flags: fACK, seq: s.isn[1] + 1, ack: s.isn[0] + 1})
		return
	}
	sa := tcpSeg{back: true, flags: fSYN | fACK, seq: s.isn[1], ack: s.next[0], opts: slices.Clone(opts)}
	switch rng.IntN(20) {
	case 0:
		sa.ack += uint32(rng.IntN(5)) - 2
	case 1:
		return
	}
	if rng.IntN(20) == 0 {
		other := sa
		other.opts = slices.Clone(sa.opts)
		other.seq += uint32(rng.IntN(1000))
		s.send(other)
	}
	s.send(sa)
	if rng.IntN(20) == 0 {
		again := sa
		again.opts = slices.Clone(opts)
		s.send(again)
	}
	switch rng.IntN(15) {
	case 0:
	case 1:
		s.send(tcpSeg{flags: fACK, seq: s.next[0], ack: s.next[1] + uint32(rng.IntN(3))})
	case 2:
		s.data(0, 20)
	default:
		s.send(tcpSeg{flags: fACK, seq: s.next[0], ack: s.next[1]})
	}
}

// fresh takes n more bytes that side d sends.
func (s *tcpScript) fresh(d, n int) []byte {
	b := words(s.rng, n)
	s.sent[d] = append(s.sent[d], b...)
	s.next[d] += uint32(n)
	return b
}

// data sends the next n bytes of side d.
func (s *tcpScript) data(d, n int) {
	g := tcpSeg{back: d == 1, flags: fACK | fPSH, seq: s.next[d], ack: s.next[1-d]}
	g.data = s.fresh(d, n)
	if s.urgents && s.rng.IntN(3) == 0 {
		g.flags |= fURG
		g.urg = uint16(s.rng.IntN(n + 3))
	}
	s.send(g)
}

func (s *tcpScript) length() int { return []int{1, 2, 4, 8, 20, 60, 300, 1400}[s.rng.IntN(8)] }

// step sends what may come next.
func (s *tcpScript) step(odd int) {
	rng := s.rng
	d := rng.IntN(2)
	back := d == 1
	ack := s.next[1-d]
	if rng.IntN(30) >= odd { // as it should be
		switch rng.IntN(3) {
		case 0, 1:
			s.data(d, s.length())
		default:
			s.send(tcpSeg{back: back, flags: fACK, seq: s.next[d], ack: ack})
		}
		return
	}
	sent := s.sent[d]
	base := s.isn[d] + 1
	switch rng.IntN(22) {
	case 0, 1: // again, perhaps other bytes or other bounds
		if len(sent) > 0 {
			lo := max(0, len(sent)-1-rng.IntN(100))
			hi := min(len(sent), lo+1+rng.IntN(100))
			b := slices.Clone(sent[lo:hi])
			if rng.IntN(2) == 0 {
				b[rng.IntN(len(b))] ^= 1
			}
			if rng.IntN(3) == 0 {
				b = append(b, words(rng, 8)...)
			}
			s.send(tcpSeg{back: back, flags: fACK, seq: base + uint32(lo), ack: ack, data: b})
		}
	case 2, 3: // two pieces in the wrong order, the hole perhaps closed by lies
		n, m := 1+rng.IntN(30), 1+rng.IntN(30)
		at := s.next[d]
		b := s.fresh(d, n+m)
		s.send(tcpSeg{back: back, flags: fACK, seq: at + uint32(n), ack: ack, data: b[n:]})
		if rng.IntN(3) == 0 {
			lie := slices.Clone(b[max(0, n-3):min(n+8, n+m)])
			lie[0] ^= 1
			s.send(tcpSeg{back: back, flags: fACK, seq: at + uint32(max(0, n-3)), ack: ack, data: lie})
		}
		if rng.IntN(6) > 0 {
			s.send(tcpSeg{back: back, flags: fACK, seq: at, ack: ack, data: b[:n]})
		}
	case 4: // a hole for good
		n := 1 + rng.IntN(30)
		s.fresh(d, n)
		if rng.IntN(2) == 0 {
			s.data(d, 10)
			s.send(tcpSeg{back: !back, flags: fACK, seq: s.next[1-d], ack: s.next[d]})
		}
	case 5: // in front of what was sent
		s.send(tcpSeg{back: back, flags: fACK, seq: s.next[d] + uint32(rng.IntN(100)), ack: ack, data: words(rng, 5)})
	case 6: // out of the window
		s.send(tcpSeg{back: back, flags: fACK, seq: s.next[d] + 70000 + uint32(rng.IntN(1<<20)), ack: ack, data: words(rng, 5)})
	case 7: // old
		s.send(tcpSeg{back: back, flags: fACK, seq: base - uint32(rng.IntN(20)), ack: ack, data: words(rng, 1+rng.IntN(30))})
	case 8: // odd acknowledgement
		s.send(tcpSeg{back: back, flags: fACK, seq: s.next[d], ack: ack + uint32(rng.IntN(200)) - 100})
	case 9:
		s.send(tcpSeg{back: back, flags: fACK, seq: s.next[d], ack: ack + uint32(rng.IntN(200)) - 100, data: words(rng, 10)})
	case 10: // keep-alive
		g := tcpSeg{back: back, flags: fACK, seq: s.next[d] - 1, ack: ack}
		if rng.IntN(2) == 0 {
			g.data = words(rng, 1)
		}
		s.send(g)
		if rng.IntN(2) == 0 {
			s.send(tcpSeg{back: !back, flags: fACK, seq: s.next[1-d], ack: s.next[d]})
		}
	case 11: // reset, right or a bit off
		g := tcpSeg{back: back, flags: fRST, seq: s.next[d]}
		switch rng.IntN(4) {
		case 0:
			g.seq += uint32(rng.IntN(100))
		case 1:
			g.seq -= uint32(rng.IntN(100))
		}
		if rng.IntN(2) == 0 {
			g.flags |= fACK
			g.ack = ack
		}
		if rng.IntN(3) == 0 {
			g.data = words(rng, 10)
		}
		s.send(g)
	case 12, 13: // end
		g := tcpSeg{back: back, flags: fFIN | fACK, seq: s.next[d], ack: ack}
		if rng.IntN(3) == 0 {
			g.data = s.fresh(d, 10)
		}
		if rng.IntN(6) == 0 {
			g.seq += 5
		}
		s.next[d]++
		s.sent[d] = append(s.sent[d], 0)
		s.send(g)
		if rng.IntN(2) == 0 {
			s.send(tcpSeg{back: !back, flags: fACK, seq: s.next[1-d], ack: s.next[d]})
		}
	case 14: // SYN or SYN/ACK once more
		f := packet.TCPFlags(fSYN)
		a := uint32(0)
		if rng.IntN(2) == 0 {
			f |= fACK
			a = s.isn[1-d] + 1
		}
		s.send(tcpSeg{back: back, flags: f, seq: s.isn[d] + uint32(rng.IntN(2)*rng.IntN(10)), ack: a})
	case 15: // the window closes, is probed, and opens
		s.send(tcpSeg{back: back, flags: fACK, seq: s.next[d], ack: ack, win: uint16(rng.IntN(2))})
		if rng.IntN(2) == 0 {
			s.data(1-d, 1)
			s.send(tcpSeg{back: back, flags: fACK, seq: s.next[d], ack: s.next[1-d], win: s.window[d]})
		}
	case 16: // a shrunken window
		s.send(tcpSeg{back: back, flags: fACK, seq: s.next[d], ack: ack, win: uint16(1 + rng.IntN(2000)), data: s.fresh(d, 5)})
	case 17: // no flags, or odd ones
		s.send(tcpSeg{back: back, flags: []packet.TCPFlags{0, fPSH, fURG, fSYN | fFIN, fSYN | fRST, fFIN, fFIN | fRST | fACK}[rng.IntN(7)], seq: s.next[d], ack: ack * uint32(rng.IntN(2)), data: words(rng, rng.IntN(10))})
	case 18: // selective acknowledgement
		if len(s.sent[1-d]) > 4 {
			n := uint32(len(s.sent[1-d]))
			lo := s.next[1-d] - uint32(rng.IntN(int(min(n, 100)))) - 1
			o := []byte{1, 1, 5, 10}
			o = binary.BigEndian.AppendUint32(o, lo+1)
			o = binary.BigEndian.AppendUint32(o, s.next[1-d]+uint32(rng.IntN(2)*rng.IntN(10)))
			s.send(tcpSeg{back: back, flags: fACK, seq: s.next[d], ack: lo - uint32(rng.IntN(2)), opts: o})
		}
	case 19: // acknowledged before it was seen, then comes
		n := 1 + rng.IntN(30)
		at := s.next[d]
		b := s.fresh(d, n)
		s.send(tcpSeg{back: !back, flags: fACK, seq: s.next[1-d], ack: s.next[d]})
		s.send(tcpSeg{back: back, flags: fACK, seq: at, ack: ack, data: b})
	case 20: // much at once
		for range 3 {
			s.data(d, 1400)
		}
	case 21: // urgent
		g := tcpSeg{back: back, flags: fACK | fURG, seq: s.next[d], ack: ack, urg: uint16(rng.IntN(8))}
		g.data = s.fresh(d, 6)
		s.send(g)
	}
}

// policies are those that host-os-policy has words for.
func policies() (names []string) {
	for p := stream.Policy(0); p.String() != "unknown"; p++ {
		if p != stream.First && p != stream.Last {
			names = append(names, p.String())
		}
	}
	return names
}

// makeScript adds conversation i to c.
func makeScript(c *capture, seed uint64, i int, dropPort bool) *tcpScript {
	rng := rand.New(rand.NewPCG(seed, uint64(i)))
	s := &tcpScript{rng: rng, cap: c, number: i, cport: uint16(2000 + i), sport: 9999}
	if rng.IntN(2) == 0 {
		s.server = byte(100 + rng.IntN(len(policies())))
	} else {
		s.server = 99
	}
	if dropPort && rng.IntN(2) == 0 {
		s.sport = 9998
	}
	for d := range s.isn {
		s.isn[d] = rng.Uint32()
		if rng.IntN(4) == 0 {
			s.isn[d] = -uint32(rng.IntN(200))
		}
		s.next[d] = s.isn[d] + 1
		s.window[d] = []uint16{65535, 30000, 5000}[rng.IntN(3)]
		s.clock[d] = rng.Uint32() >> 1
		if rng.IntN(6) == 0 {
			s.clock[d] = 0
		}
	}
	s.ts = rng.IntN(4) == 0
	s.wscale = rng.IntN(4) == 0
	s.urgents = rng.IntN(20) == 0
	s.handshake()
	odd := []int{0, 3, 8, 30}[rng.IntN(4)]
	for range 2 + rng.IntN(14) {
		s.step(odd)
	}
	return s
}

// streamRules are rules on events and on contents.
func streamRules() string {
	b := &strings.Builder{}
	for e := stream.Event(1); e.String() != ""; e++ {
		switch e {
		case stream.WrongThread, stream.ReassemblyInsertMemcap, stream.ReassemblyInsertLimit, stream.ReassemblyInsertInvalid, stream.ReassemblyUrgentOOBLimitReached:
			continue
		}
		fmt.Fprintf(b, "alert tcp any any -> any any (msg:\"%v\"; stream-event:%v; sid:%d;)\n", e, e, 100+int(e))
	}
	for i, r := range []string{
		`tcp any any -> any any (content:"abc";`,
		`tcp-pkt any any -> any any (content:"bcd";`,
		`tcp-stream any any -> any any (content:"cde";`,
		`tcp any any -> any any (flow:established,to_server; content:"def";`,
		`tcp any any -> any any (flow:to_client; content:"efg";`,
		`tcp any any -> any any (flow:only_stream; content:"fgh";`,
		`tcp any any -> any any (content:"gh"; depth:20;`,
		`tcp any any -> any any (dsize:8; content:"ha";`,
		`tcp any any -> any any (stream_size:server,>,100; content:"aaa";`,
		`tcp any any -> any any (flow:not_established; content:"b";`,
		`tcp any any -> any any (flags:R;`,
		`tcp any any -> any any (flow:established; flags:F,CE12;`,
		`tcp any any -> any any (content:"a"; content:"hh"; distance:0; within:9;`,
	} {
		fmt.Fprintf(b, "alert %s sid:%d;)\n", r, 900+i)
	}
	fmt.Fprintf(b, "drop tcp any any -> any 9998 (content:\"ab\"; content:\"d\"; distance:1; within:1; sid:950;)\n")
	fmt.Fprintf(b, "drop tcp-pkt any 9998 -> any any (content:\"gf\"; sid:951;)\n")
	return b.String()
}

// outcome is what an engine said of one packet: signature numbers, and 0 for a
// drop. Packet 0 of a script is the end of its flow.
type outcome map[int][]int

type eveRecord struct {
	EventType string `json:"event_type"`
	PcapCnt   int    `json:"pcap_cnt"`
	SrcPort   int    `json:"src_port"`
	DestPort  int    `json:"dest_port"`
	Proto     string `json:"proto"`
	Alert     struct {
		SID int `json:"signature_id"`
	} `json:"alert"`
}

func readRecords(t *testing.T, path string) (out outcome, end map[int][]int) {
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	out, end = outcome{}, map[int][]int{}
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		var l eveRecord
		if err := json.Unmarshal(sc.Bytes(), &l); err != nil {
			t.Fatal(err)
		}
		switch l.EventType {
		case "alert":
			if l.PcapCnt == 0 {
				p := l.SrcPort
				if p == 9998 || p == 9999 {
					p = l.DestPort
				}
				end[p-2000] = append(end[p-2000], l.Alert.SID)
			} else {
				out[l.PcapCnt] = append(out[l.PcapCnt], l.Alert.SID)
			}
		case "drop":
			if l.PcapCnt != 0 {
				out[l.PcapCnt] = append(out[l.PcapCnt], 0)
			}
		}
	}
	for _, m := range []map[int][]int{out, end} {
		for k := range m {
			sort.Ints(m[k])
		}
	}
	return out, end
}

func TestStreamsAgainstSuricata(t *testing.T) {
	suricata, err := exec.LookPath("suricata")
	if err != nil {
		t.Skip("suricata is not installed, there is nothing to compare with")
	}
	if testing.Short() {
		t.Skip("short")
	}
	scripts, seed := 1000, uint64(1)
	if v := os.Getenv("GARITA_SCRIPTS"); v != "" {
		scripts, _ = strconv.Atoi(v)
	}
	if v := os.Getenv("GARITA_SEED"); v != "" {
		seed, _ = strconv.ParseUint(v, 10, 64)
	}
	for _, c := range []struct {
		name   string
		inline bool
		set    []string
	}{
		{"watching", false, nil},
		{"watching midstream", false, []string{"stream.midstream=true"}},
		{"watching one side", false, []string{"stream.async-oneside=true"}},
		{"watching midstream one side", false, []string{"stream.midstream=true", "stream.async-oneside=true"}},
		{"inline", true, nil},
		{"inline midstream", true, []string{"stream.midstream=true"}},
		{"inline lenient", true, []string{"stream.midstream=true", "stream.drop-invalid=false"}},
	} {
		t.Run(c.name, func(t *testing.T) { compareStreams(t, suricata, scripts, seed, c.inline, c.set) })
	}
}

func compareStreams(t *testing.T, suricata string, scripts int, seed uint64, inline bool, set []string) {
	dir := t.TempDir()
	if k := os.Getenv("GARITA_KEEP"); k != "" { // to look at a difference
		dir = k
	}
	cp := newCapture()
	all := make([]*tcpScript, scripts)
	owner := map[int]*tcpScript{}
	for i := range all {
		all[i] = makeScript(cp, seed, i, inline)
		for j := range all[i].text {
			owner[all[i].first+j] = all[i]
		}
	}
	y := &strings.Builder{}
	y.WriteString("%YAML 1.1\n---\nvars:\n  address-groups:\n    HOME_NET: any\n    EXTERNAL_NET: any\nstats:\n  enabled: no\noutputs:\n  - eve-log:\n      enabled: yes\n      filetype: regular\n      filename: eve.json\n      types:\n        - alert\n        - drop:\n            flows: all\n" +
		"stream:\n  memcap: 64mb\n  checksum-validation: no\n  reassembly:\n    memcap: 256mb\n    depth: 1mb\n    toserver-chunk-size: 2560\n    toclient-chunk-size: 2560\n    randomize-chunk-size: no\nexception-policy: auto\nhost-os-policy:\n")
	for p, n := range policies() {
		fmt.Fprintf(y, "  %s: [10.%d.0.0/16]\n", n, 100+p)
	}
	write := func(name, text string) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	cf, rf, pf := write("s.yaml", y.String()), write("s.rules", streamRules()), write("in.pcap", cp.String())
	theirs, ours := filepath.Join(dir, "theirs"), filepath.Join(dir, "ours")
	for _, d := range []string{theirs, ours} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	args := []string{"-c", cf, "-S", rf, "-r", pf, "-l", theirs, "-k", "none", "--runmode", "single", "--no-random"}
	if inline {
		args = append(args, "--simulate-ips")
	}
	for _, s := range set {
		args = append(args, "--set", s)
	}
	if b, err := exec.Command(suricata, args...).CombinedOutput(); err != nil {
		t.Fatalf("suricata: %v\n%s", err, b)
	}
	fc, err := LoadConfig(cf, set)
	if err != nil {
		t.Fatal(err)
	}
	cfg := fc.Config
	cfg.Rules.Files = []string{rf}
	cfg.IgnoreChecksums = true
	log, err := os.Create(filepath.Join(ours, "eve.json"))
	if err != nil {
		t.Fatal(err)
	}
	cfg.Log = eve.NewWriter(log, true)
	rp, err := NewReplay(cfg, ReplayConfig{Inline: inline})
	if err != nil {
		t.Fatal(err)
	}
	src, err := pcap.Open(pf)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := rp.Run(src); err != nil {
		t.Fatal(err)
	}
	if err := cfg.Log.Close(); err != nil {
		t.Fatal(err)
	}
	mine, mineEnd := readRecords(t, filepath.Join(ours, "eve.json"))
	ref, refEnd := readRecords(t, filepath.Join(theirs, "eve.json"))
	kinds, example := map[string]int{}, map[string]string{}
	bad := 0
	for _, s := range all {
		at, a, b := "", []int(nil), []int(nil)
		last := 0
		for j := range s.text {
			if n := s.first + j; !slices.Equal(mine[n], ref[n]) {
				last, at, a, b = n, fmt.Sprintf("packet %d", n), mine[n], ref[n]
				break
			}
		}
		if at == "" && !slices.Equal(mineEnd[s.number], refEnd[s.number]) {
			last, at, a, b = s.first+len(s.text)-1, "end", mineEnd[s.number], refEnd[s.number]
		}
		if at == "" {
			continue
		}
		bad++
		k := fmt.Sprintf("ours %s theirs %s", named(minus(a, b)), named(minus(b, a)))
		kinds[k]++
		if example[k] == "" || len(example[k]) > last-s.first {
			x := &strings.Builder{}
			fmt.Fprintf(x, "script %d server %d port %d: %s\n", s.number, s.server, s.sport, at)
			for j, l := range s.text[:last-s.first+1] {
				n := s.first + j
				fmt.Fprintf(x, "  %d %s\n       ours %s theirs %s\n", n, l, named(mine[n]), named(ref[n]))
			}
			example[k] = x.String()
		}
	}
	names := make([]string, 0, len(kinds))
	for k := range kinds {
		names = append(names, k)
	}
	sort.Slice(names, func(i, j int) bool { return kinds[names[i]] > kinds[names[j]] })
	for _, k := range names[:min(len(names), 12)] {
		t.Logf("%d scripts: %s\n%s", kinds[k], k, example[k])
	}
	t.Logf("%d of %d scripts judged alike", scripts-bad, scripts)
	// What is left are conversations of the wildest kind: several holes, lies and
	// broken ends in one.
	if bad*4 > scripts {
		t.Errorf("%d differ", bad)
	}
}

// minus is what a has more than b.
func minus(a, b []int) (m []int) {
	left := map[int]int{}
	for _, x := range b {
		left[x]++
	}
	for _, x := range a {
		if left[x]--; left[x] < 0 {
			m = append(m, x)
		}
	}
	return m
}

func named(sids []int) string {
	if len(sids) == 0 {
		return "-"
	}
	var s []string
	for _, x := range sids {
		switch {
		case x == 0:
			s = append(s, "DROP")
		case x > 100 && x < 900:
			s = append(s, stream.Event(x-100).String())
		default:
			s = append(s, strconv.Itoa(x))
		}
	}
	return strings.Join(s, ",")
}
