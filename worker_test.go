package garita

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"

	"github.com/garita/garita/detect"
	"github.com/garita/garita/eve"
	"github.com/garita/garita/packet"
)

// frame describes a packet for build. The zero value is a datagram from client
// to server.
type frame struct {
	v6, back   bool
	proto      uint8
	seq, ack   uint32
	flags      packet.TCPFlags
	payload    string
	id         uint16 // of the fragments
	off        int    // fragment offset in bytes
	more       bool
	sport      uint16
	noChecksum bool
	udpLen     uint16 // of the whole datagram, if it is in fragments
}

var (
	client4, server4 = netip.MustParseAddr("10.1.0.2"), netip.MustParseAddr("10.2.0.2")
	client6, server6 = netip.MustParseAddr("fd01::2"), netip.MustParseAddr("fd02::2")
)

func build(f frame) []byte {
	src, dst := client4, server4
	if f.v6 {
		src, dst = client6, server6
	}
	if f.sport == 0 {
		f.sport = 40000
	}
	sp, dp := f.sport, uint16(9999)
	if f.back {
		src, dst, sp, dp = dst, src, dp, sp
	}
	var l4 []byte
	sum := -1
	if f.off == 0 {
		switch f.proto {
		case packet.ProtoTCP:
			l4 = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(l4, sp), dp)
			l4 = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(l4, f.seq), f.ack)
			l4 = append(l4, 5<<4, byte(f.flags), 0xff, 0xff, 0, 0, 0, 0)
			sum = 16
		case packet.ProtoUDP:
			l4 = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(l4, sp), dp)
			l4 = binary.BigEndian.AppendUint16(l4, max(f.udpLen, uint16(8+len(f.payload))))
			l4 = append(l4, 0, 0)
			sum = 6
		default:
			t := byte(8)
			if f.v6 {
				t = 128
			}
			if f.back {
				t = map[bool]byte{false: 0, true: 129}[f.v6]
			}
			l4 = append(l4, t, 0, 0, 0, 0, 1, 0, 1)
			sum = 2
		}
	}
	l4 = append(l4, f.payload...)
	var h []byte
	if f.v6 {
		ext := []byte{}
		next := f.proto
		if f.off > 0 || f.more {
			o := uint16(f.off)
			if f.more {
				o |= 1
			}
			ext = binary.BigEndian.AppendUint16([]byte{f.proto, 0}, o)
			ext = binary.BigEndian.AppendUint32(ext, uint32(f.id))
			next = 44
		}
		h = []byte{0x60, 0, 0, 0, 0, 0, next, 64}
		binary.BigEndian.PutUint16(h[4:], uint16(len(ext)+len(l4)))
		s, d := src.As16(), dst.As16()
		h = append(append(append(h, s[:]...), d[:]...), ext...)
	} else {
		o := uint16(f.off / 8)
		if f.more {
			o |= 0x2000
		}
		h = []byte{0x45, 0, 0, 0, 0, 0, 0, 0, 64, f.proto, 0, 0}
		binary.BigEndian.PutUint16(h[2:], uint16(20+len(l4)))
		binary.BigEndian.PutUint16(h[4:], f.id)
		binary.BigEndian.PutUint16(h[6:], o)
		s, d := src.As4(), dst.As4()
		h = append(append(h, s[:]...), d[:]...)
		binary.BigEndian.PutUint16(h[10:], onesSum(h))
	}
	if sum >= 0 && !f.noChecksum {
		var pseudo []byte
		if f.v6 || f.proto != packet.ProtoICMP {
			pseudo = append(append(pseudo, src.AsSlice()...), dst.AsSlice()...)
			pseudo = binary.BigEndian.AppendUint32(pseudo, uint32(len(l4)))
			pseudo = append(pseudo, 0, 0, 0, f.proto)
		}
		binary.BigEndian.PutUint16(l4[sum:], onesSum(append(pseudo, l4...)))
	}
	return append(h, l4...)
}

func onesSum(b []byte) uint16 {
	var s uint32
	for i := 0; i < len(b); i += 2 {
		w := uint32(b[i]) << 8
		if i+1 < len(b) {
			w |= uint32(b[i+1])
		}
		s += w
	}
	for s>>16 != 0 {
		s = s>>16 + s&0xffff
	}
	return ^uint16(s)
}

// script is a source that delivers packets and keeps the verdicts.
type script struct {
	frames [][]byte
	live   bool
	next   int
	got    []packet.Verdict
	out    [][]byte
}

func (s *script) Receive(ps []packet.Packet) (int, error) {
	n := 0
	for n < len(ps) && s.next < len(s.frames) {
		ps[n] = packet.Packet{Data: append([]byte(nil), s.frames[s.next]...), Time: int64(s.next+1) * 1e6, Number: uint64(s.next + 1)}
		if s.live {
			ps[n].Number = 0
		}
		n++
		s.next++
	}
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

func (s *script) Verdict(ps []packet.Packet) error {
	for i := range ps {
		s.got = append(s.got, ps[i].Verdict)
		s.out = append(s.out, append([]byte(nil), ps[i].Data...))
	}
	return nil
}

func (s *script) Close() error { return nil }

// judgeAll runs frames through an inline engine and returns their verdicts.
func judgeAll(t testing.TB, cfg Config, frames ...frame) *script {
	t.Helper()
	s := &script{live: true}
	for _, f := range frames {
		s.frames = append(s.frames, build(f))
	}
	e, err := newEngine(cfg, true)
	if err != nil {
		t.Fatal(err)
	}
	if len(e.Loaded().Problems) > 0 {
		t.Fatal(e.Loaded().Problems[0])
	}
	w := newWorker(e, s, true, true, 4)
	if err := w.run(); !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	w.flush()
	if len(s.got) != len(frames) {
		t.Fatalf("%d packets, %d verdicts", len(frames), len(s.got))
	}
	return s
}

// handshake is the start of a connection; the next byte is 101 from the
// client, 501 from the server.
func handshake(v6 bool, sport uint16) []frame {
	tcp := func(f frame) frame { f.v6, f.proto, f.sport = v6, packet.ProtoTCP, sport; return f }
	return []frame{
		tcp(frame{seq: 100, flags: packet.SYN}),
		tcp(frame{seq: 500, ack: 101, flags: packet.SYN | packet.ACK, back: true}),
		tcp(frame{seq: 101, ack: 501, flags: packet.ACK}),
	}
}

func kinds(vs []packet.Verdict) string {
	var b strings.Builder
	for _, v := range vs {
		switch {
		case v.Kind == packet.KindAccept:
			b.WriteByte('a')
		case v.Dropped():
			b.WriteByte('d')
		default:
			b.WriteByte('?')
		}
	}
	return b.String()
}

func TestVerdicts(t *testing.T) {
	udp := func(s string) frame { return frame{proto: packet.ProtoUDP, payload: s} }
	for _, c := range []struct {
		name, rules string
		frames      []frame
		want        string
	}{
		{"no rules", "", []frame{udp("evil")}, "a"},
		{"drop", `drop udp any any -> any any (content:"evil"; dsize:<100; sid:1;)`, []frame{udp("good"), udp("evil")}, "ad"},
		{"alert does not drop", `alert udp any any -> any any (content:"evil"; sid:1;)`, []frame{udp("evil"), udp("evil")}, "aa"},
		{"pass before drop", `drop udp any any -> any any (content:"evil"; sid:1;)
pass udp any any -> any any (content:"evil friend"; sid:2;)`, []frame{udp("evil friend")}, "a"},
		{"reject", `reject udp any any -> any any (content:"evil"; sid:1;)`, []frame{udp("evil")}, "d"},
		{"the packet that completes a match, and what follows", `drop tcp any any -> any any (content:"evil"; sid:1;)`,
			append(handshake(false, 1), frame{proto: packet.ProtoTCP, sport: 1, seq: 101, ack: 501, flags: packet.ACK, payload: "ev"},
				frame{proto: packet.ProtoTCP, sport: 1, seq: 103, ack: 501, flags: packet.ACK, payload: "il"},
				frame{proto: packet.ProtoTCP, sport: 1, seq: 105, ack: 501, flags: packet.ACK, payload: "tail"}), "aaaadd"},
		{"other flows go on", `drop tcp any any -> any any (content:"evil"; sid:1;)`,
			append(append(handshake(false, 1), frame{proto: packet.ProtoTCP, sport: 1, seq: 101, ack: 501, flags: packet.ACK, payload: "evil"}),
				append(handshake(false, 2), frame{proto: packet.ProtoTCP, sport: 2, seq: 101, ack: 501, flags: packet.ACK, payload: "good"})...), "aaadaaaa"},
	} {
		s := judgeAll(t, Config{Rules: Rules{Text: []string{c.rules}}}, c.frames...)
		if got := kinds(s.got); got != c.want {
			t.Errorf("%s: %s, want %s (%+v)", c.name, got, c.want, s.got)
		}
	}
}

// What is spread over two fragments is found when the second comes, and
// without it the receiver has nothing.
func TestFragmentsAreJudgedWhole(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		for _, c := range []struct{ whole, want string }{{"xxxxxxxx0123evil4567rest", "ad"}, {"xxxxxxxx0123good4567rest", "aa"}} {
			s := judgeAll(t, Config{Rules: Rules{Text: []string{`drop udp any any -> any any (content:"evil4567"; sid:1;)`}}},
				frame{v6: v6, proto: packet.ProtoUDP, payload: c.whole[:16], udpLen: 32, more: true, id: 8, noChecksum: true},
				frame{v6: v6, proto: packet.ProtoUDP, payload: c.whole[16:], off: 24, id: 8})
			if got := kinds(s.got); got != c.want {
				t.Errorf("v6 %v %q: %s, want %s", v6, c.whole, got, c.want)
			}
		}
	}
}

func TestHandler(t *testing.T) {
	judged := 0
	s := judgeAll(t, Config{Handler: func(p *packet.Packet) packet.Verdict {
		judged++
		switch string(p.Payload()) {
		case "drop":
			return packet.Drop("test")
		case "edit":
			if err := p.SetPayload([]byte("longer than it was")); err != nil {
				t.Error(err)
			}
		case "none":
			return packet.Verdict{}
		case "panic":
			panic("a handler's mistake")
		}
		return packet.Accept()
	}},
		frame{proto: packet.ProtoUDP, payload: "pass"}, frame{proto: packet.ProtoUDP, payload: "drop"},
		frame{proto: packet.ProtoUDP, payload: "edit"}, frame{proto: packet.ProtoUDP, payload: "none"},
		frame{proto: packet.ProtoUDP, payload: "panic"}, frame{proto: packet.ProtoUDP, payload: "pass"})
	if got := kinds(s.got); got != "adaaaa" || judged != 6 {
		t.Errorf("%s, %d judged", got, judged)
	}
	if s.got[4].Reason != packet.ReasonPanic || s.got[3].Reason != packet.ReasonFailure || s.got[1].Reason != "test" {
		t.Errorf("reasons: %+v", s.got)
	}
	if !strings.HasSuffix(string(s.out[2]), "longer than it was") {
		t.Errorf("edited packet: %q", s.out[2])
	}
}

// A panic in the engine costs the packet its judgement and nothing else, and
// somebody is told, with its bytes.
func TestPanicFollowsThePolicy(t *testing.T) {
	for _, mode := range []FailMode{Open, Closed} {
		var told []Notice
		s := judgeAll(t, Config{
			Fail:    FailAll(mode),
			Handler: func(p *packet.Packet) packet.Verdict { panic("on purpose") },
			Notify:  func(n Notice) { told = append(told, n) },
		}, frame{proto: packet.ProtoUDP, payload: "x"}, frame{proto: packet.ProtoUDP, payload: "y"})
		want := "aa"
		if mode == Closed {
			want = "dd"
		}
		if got := kinds(s.got); got != want {
			t.Errorf("fail %v: %s, want %s", mode, got, want)
		}
		if len(told) != 2 || len(told[0].Packet) == 0 || !strings.Contains(told[0].Text, "on purpose") {
			t.Errorf("told: %+v", told)
		}
	}
}

func TestMalformedFollowsThePolicy(t *testing.T) {
	bad := &script{live: true, frames: [][]byte{{0x45, 0, 0, 9}, build(frame{proto: packet.ProtoUDP, payload: "x"})}}
	for _, mode := range []FailMode{Open, Closed} {
		e, err := newEngine(Config{Fail: FailAll(mode)}, true)
		if err != nil {
			t.Fatal(err)
		}
		bad.next, bad.got = 0, nil
		if err := newWorker(e, bad, true, true, 8).run(); !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		want := map[FailMode]string{Open: "aa", Closed: "da"}[mode]
		if got := kinds(bad.got); got != want {
			t.Errorf("fail %v: %s, want %s", mode, got, want)
		}
	}
}

func TestReplaceReachesThePacket(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		s := judgeAll(t, Config{Rules: Rules{Text: []string{`alert udp any any -> any any (content:"brown fox"; replace:"green cat"; sid:1;)`}}},
			frame{v6: v6, proto: packet.ProtoUDP, payload: "the brown fox"})
		p := packet.Packet{Data: s.out[0]}
		p.Decode()
		if string(p.Payload()) != "the green cat" || !p.ChecksumOK() || s.got[0].Kind != packet.KindAccept {
			t.Errorf("v6 %v: %q, checksum right %v, %+v", v6, p.Payload(), p.ChecksumOK(), s.got[0])
		}
	}
}

// From receive to verdict nothing is allocated for a packet that no rule
// matches: every family, transport, direction, whole and in fragments.
func TestNoAllocations(t *testing.T) {
	rules := Rules{Text: []string{`drop tcp any any -> any any (content:"never there"; sid:1;)
drop udp any any -> any any (content:"never there"; pcre:"/never\s+there/"; sid:2;)
drop ip any any -> any any (content:"never there"; sid:3;)
drop icmp any any -> any any (itype:99; sid:4;)
alert http any any -> any any (http.uri; content:"/never"; sid:5;)
alert tls any any -> any any (tls.sni; content:"never.example"; sid:6;)
alert dns any any -> any any (dns.query; content:"never.example"; sid:7;)
drop ip [192.0.2.0/24,198.51.100.7] any -> any any (sid:8;)`}}
	for _, v6 := range []bool{false, true} {
		for _, proto := range []uint8{packet.ProtoTCP, packet.ProtoUDP, packet.ProtoICMP} {
			for _, back := range []bool{false, true} {
				for _, frag := range []string{"", "first", "later"} {
					name := fmt.Sprintf("v6=%v proto=%d back=%v fragment=%s", v6, proto, back, frag)
					e, err := newEngine(Config{Rules: rules}, true)
					if err != nil {
						t.Fatal(err)
					}
					w := newWorker(e, nil, true, true, 1)
					pr := proto
					if v6 && proto == packet.ProtoICMP {
						pr = packet.ProtoICMPv6
					}
					f := frame{v6: v6, proto: pr, back: back, payload: strings.Repeat("some payload. ", 20), id: 9}
					f.payload = f.payload[:256]
					switch frag {
					case "first":
						f.more = true
					case "later":
						f.off, f.more = 512, true
					}
					var p packet.Packet
					judge := func(b []byte) {
						w.now++
						p = packet.Packet{Data: b, Time: 1e9 + w.now}
						w.pkts[0] = p
						w.judgeFrom(w.pkts[:1], 0)
						w.expire()
						if w.pkts[0].Verdict.Kind != packet.KindAccept {
							t.Fatalf("%s: %+v", name, w.pkts[0].Verdict)
						}
					}
					data := build(f)
					if pr == packet.ProtoTCP && frag == "" {
						for _, h := range handshake(v6, 40000) {
							judge(build(h))
						}
						f.seq, f.ack, f.flags = 101, 501, packet.ACK
						if back {
							f.seq, f.ack = 501, 101
						}
						data = build(f)
					}
					seq := f.seq
					answer := build(frame{v6: v6, proto: pr, back: !back, seq: f.ack, flags: packet.ACK})
					step := func() {
						if pr != packet.ProtoTCP || frag != "" {
							judge(data)
							return
						}
						// The next segment, and what acknowledges it.
						binary.BigEndian.PutUint32(data[len(data)-256-16:], seq)
						judge(data)
						seq += 256
						binary.BigEndian.PutUint32(answer[len(answer)-12:], seq)
						judge(answer)
					}
					for range 3000 { // past protocol detection, into the steady state
						step()
					}
					if n := testing.AllocsPerRun(500, step); n != 0 {
						t.Errorf("%s: %v allocations a packet", name, n)
					}
				}
			}
		}
	}
}

// Only bursts of small datagrams are waited behind: never a lone packet, TCP,
// large packets, or a burst that is full enough.
func TestWorthWaiting(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		small := build(frame{v6: v6, proto: packet.ProtoUDP, payload: "x"})
		large := build(frame{v6: v6, proto: packet.ProtoUDP, payload: strings.Repeat("x", 600)})
		tcp := build(frame{v6: v6, proto: packet.ProtoTCP, flags: packet.ACK})
		for _, c := range []struct {
			name string
			n    int
			last []byte
			want bool
		}{
			{"lone", 1, small, false}, {"few", 3, small, true}, {"full", coalesceFull, small, false},
			{"with TCP", 3, tcp, false}, {"with a large one", 3, large, false}, {"with garbage", 3, []byte{0x45}, false},
		} {
			ps := make([]packet.Packet, c.n)
			for i := range ps {
				ps[i].Data = small
			}
			ps[c.n-1].Data = c.last
			if got := worthWaiting(ps); got != c.want {
				t.Errorf("v6 %v, %s: %v", v6, c.name, got)
			}
		}
	}
}

func TestRulesAreReported(t *testing.T) {
	l, err := LoadRules(Rules{Text: []string{"alert tcp any any -> any any (sid:1;)\nnonsense here\nalert tcp any any -> any any (nosuch:1; sid:2;)"}}, detect.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if l.Kept != 1 || len(l.Problems) != 2 || !l.Refused() || !l.Malformed() {
		t.Errorf("%+v", l)
	}
	if p := l.Problems[len(l.Problems)-1]; p.Line != 3 || p.Keyword != "nosuch" || !p.Unsupported && p.What == "" {
		t.Errorf("%+v", p)
	}
	if _, err := LoadRules(Rules{Files: []string{t.TempDir() + "/*.rules"}}, detect.Config{}); err == nil {
		t.Error("a pattern without files passes")
	}
}

// Records are written for what is dropped, once a direction of a flow.
func TestDropRecords(t *testing.T) {
	var b lockedBuffer
	log := eve.NewWriter(&b, true)
	judgeAll(t, Config{Log: log, Rules: Rules{Text: []string{`drop tcp any any -> any any (msg:"evil"; content:"evil"; sid:1;)`}}},
		append(handshake(false, 1), frame{proto: packet.ProtoTCP, sport: 1, seq: 101, ack: 501, flags: packet.ACK, payload: "evil"},
			frame{proto: packet.ProtoTCP, sport: 1, seq: 105, ack: 501, flags: packet.ACK, payload: "tail"})...)
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	out := b.String()
	for what, want := range map[string]int{`"event_type":"alert"`: 1, `"event_type":"drop"`: 1, `"event_type":"flow"`: 1, `"action":"blocked"`: 2} {
		if got := strings.Count(out, what); got != want {
			t.Errorf("%s: %d times, want %d\n%s", what, got, want, out)
		}
	}
}

type lockedBuffer struct{ strings.Builder }

func (b *lockedBuffer) Close() error { return nil }

// TestRulesMark: nfq_set_mark goes back to the kernel with the verdict.
func TestRulesMark(t *testing.T) {
	cfg := Config{Rules: Rules{Text: []string{`alert udp any 53 -> any any (nfq_set_mark:0x10/0xf0; sid:1;)`}}}
	s := judgeAll(t, cfg,
		frame{proto: packet.ProtoUDP, sport: 53, payload: "x"},
		frame{proto: packet.ProtoUDP, sport: 54, payload: "x"})
	if v := s.got[0]; v.Kind != packet.KindAccept || !v.SetMark || v.Mark != 0x10 {
		t.Errorf("what matched: %+v", v)
	}
	if v := s.got[1]; v.SetMark {
		t.Errorf("what did not match: %+v", v)
	}
}
