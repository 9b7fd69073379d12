package stream

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/garita/garita/packet"
)

// Two million spoofed SYNs cost nothing but the TCP values themselves.
func TestSynFlood(t *testing.T) {
	tr := New(Config{Inline: true})
	var p packet.Packet
	s := seg{flags: synFlag, seq: 1}
	s.packet(&p, 1e18)
	n := 2_000_000
	if testing.Short() {
		n = 100_000
	}
	for range n {
		var tcp TCP
		tr.Update(&tcp, &p, ToServer)
		tr.Commit(&tcp)
		if tcp.State() != SynSent {
			t.Fatal(tcp.State())
		}
	}
	if tr.Memory() != 0 || tr.Sessions != uint64(n) {
		t.Errorf("%d bytes, %+v", tr.Memory(), tr.Counters)
	}
}

// One session with a million (with GARITA_FULL) tiny segments out of order stays within its
// budget, does not take long, and a download beside it goes through whole.
func TestTinySegments(t *testing.T) {
	n := scripts(200_000)
	for _, cfg := range []Config{{Inline: true}, {}, {Inline: true, Depth: -1}, {Depth: -1, FlowMemcap: 1 << 20}, {Memcap: 1 << 20}, {Inline: true, Memcap: 1 << 20, MemcapPolicy: DropPacket}} {
		rng := rand.New(rand.NewPCG(1, 1))
		tr := New(cfg)
		bad := &conv{t: t, tr: tr, events: map[Event]int{}, now: 1e18}
		good := &conv{t: t, tr: tr, events: map[Event]int{}, now: 1e18}
		ws := []byte{3, 3, 14, 0}
		for _, c := range []*conv{bad, good} {
			c.send(seg{flags: synFlag, seq: cISN, opts: ws})
			c.send(seg{dir: ToClient, flags: synFlag | ackFlag, seq: sISN, ack: cISN + 1, opts: ws})
			c.send(seg{flags: ackFlag, seq: cISN + 1, ack: sISN + 1})
			c.send(seg{dir: ToClient, flags: ackFlag, seq: sISN + 1, ack: cISN + 1}) // opens a large window
		}
		began := time.Now()
		x := seg{flags: ackFlag, ack: sISN + 1, data: []byte("x")}
		x.packet(&bad.p, 1e18)
		most, dropped := int64(0), 0
		want := 0
		for i := range n {
			x.seq = cISN + 2 + uint32(2*rng.IntN(500_000))
			h := bad.p.Transport()
			h[4], h[5], h[6], h[7] = byte(x.seq>>24), byte(x.seq>>16), byte(x.seq>>8), byte(x.seq)
			if r := tr.Update(&bad.tcp, &bad.p, ToServer); r.Drop != NoCause || r.Exception == DropPacket {
				dropped++
				tr.Rollback(&bad.tcp)
			} else {
				tr.Commit(&bad.tcp)
			}
			most = max(most, tr.Memory())
			if i%(n/100) == 0 {
				data := bytes.Repeat([]byte{byte(i)}, 1000)
				good.send(seg{flags: ackFlag, seq: cISN + 1 + uint32(want), ack: sISN + 1, data: data})
				want += 1000
				good.send(seg{dir: ToClient, flags: ackFlag, seq: sISN + 1, ack: cISN + 1 + uint32(want)})
			}
		}
		took := time.Since(began)
		if most > tr.cfg.Memcap || most > 2*tr.limit {
			t.Errorf("%+v: %d bytes held", cfg, most)
		}
		if len(good.out[0]) != want || good.gaps[0] != 0 {
			t.Errorf("%+v: of %d good bytes %d came out, %d missing", cfg, want, len(good.out[0]), good.gaps[0])
		}
		told := tr.LimitDrops + tr.MemcapDrops
		if told == 0 || cfg.Inline && uint64(dropped) != told {
			t.Errorf("%+v: %d dropped, counters say %d", cfg, dropped, told)
		}
		if took > 200*time.Duration(n)*time.Microsecond { // generous: the race detector and busy machines
			t.Errorf("%+v: %v a packet", cfg, took/time.Duration(n))
		}
		t.Logf("inline %v depth %d: at most %d bytes, %d not kept, %v a packet", cfg.Inline, cfg.Depth, most, told, took/time.Duration(n))
		tr.Release(&bad.tcp)
		tr.Release(&good.tcp)
		if tr.Memory() != 0 {
			t.Errorf("%+v: %d bytes held in the end", cfg, tr.Memory())
		}
	}
}

// When more than a window goes by unseen, because the queue was full and is to
// fail open, what comes after is followed again.
func TestResumeAfterUnseenWindow(t *testing.T) {
	tr := New(Config{Inline: true, Strict: true})
	c := &conv{t: t, tr: tr, events: map[Event]int{}, now: 1e18}
	c.send(seg{flags: synFlag, seq: cISN, win: 1000})
	c.send(seg{dir: ToClient, flags: synFlag | ackFlag, seq: sISN, ack: cISN + 1, win: 1000})
	c.send(seg{flags: ackFlag, seq: cISN + 1, ack: sISN + 1, win: 1000})
	c.send(seg{dir: ToClient, flags: ackFlag, seq: sISN + 1, ack: cISN + 1, win: 1000, data: []byte("seen")})
	const unseen = 50_000
	c.send(seg{flags: ackFlag, seq: cISN + 1, ack: sISN + 5 + unseen, win: 1000})
	if ok, _ := c.send(seg{dir: ToClient, flags: ackFlag, seq: sISN + 5 + unseen, ack: cISN + 1, win: 1000, data: []byte("again")}); !ok {
		t.Fatalf("refused: %v", c.last.Drop)
	}
	c.send(seg{flags: ackFlag, seq: cISN + 1, ack: sISN + 10 + unseen, win: 1000})
	c.send(seg{dir: ToClient, flags: ackFlag, seq: sISN + 10 + unseen, ack: cISN + 1, win: 1000, data: []byte("!")})
	if c.gaps[1] != unseen || !strings.HasPrefix(string(c.out[1]), "seenagain") { // the last byte waits for the next packet
		t.Errorf("%d bytes missing, got %q", c.gaps[1], c.out[1])
	}
	tr.Release(&c.tcp)
}

// Data beyond a window of which the opening went by unseen is taken when its
// sender insists.
func TestInsistBeyondWindow(t *testing.T) {
	c := &conv{t: t, tr: New(Config{Inline: true, Strict: true}), events: map[Event]int{}, now: 1e18}
	c.send(seg{flags: synFlag, seq: cISN, win: 1000})
	c.send(seg{dir: ToClient, flags: synFlag | ackFlag, seq: sISN, ack: cISN + 1, win: 1000})
	c.send(seg{flags: ackFlag, seq: cISN + 1, ack: sISN + 1, win: 1000})
	for i, want := range []bool{false, false, true} {
		if ok, _ := c.send(seg{dir: ToClient, flags: ackFlag, seq: sISN + 1 + 5000, ack: cISN + 1, win: 1000, data: []byte("late")}); ok != want {
			t.Errorf("time %d: %v", i, ok)
		}
	}
	c.send(seg{flags: ackFlag, seq: cISN + 1, ack: sISN + 1 + 5004, win: 1000})
	c.send(seg{dir: ToClient, flags: ackFlag, seq: sISN + 1 + 5004, ack: cISN + 1, win: 1000, data: []byte("r")})
	c.send(seg{flags: ackFlag, seq: cISN + 1, ack: sISN + 1 + 5005, win: 1000})
	if c.gaps[1] != 5000 || !strings.HasPrefix(string(c.out[1]), "late") {
		t.Errorf("%d bytes missing, got %q", c.gaps[1], c.out[1])
	}
}

// Scripts of segments with anything in them: no panic, nothing leaks, and
// inline a receiver gets nothing that was not inspected.
func FuzzScript(f *testing.F) {
	f.Add([]byte{0, 2, 0, 0, 1, 18, 0, 0, 0, 16, 0, 0, 0, 16, 0, 9, 0, 16, 4, 9, 1, 16, 9, 0}, uint8(0))
	f.Add([]byte{0, 16, 5, 9, 0, 16, 0, 9, 0, 17, 9, 0, 1, 4, 0, 0}, uint8(3))
	f.Add([]byte("02000$\x000"), uint8(137)) // a reset with data
	f.Add([]byte{0, 16, 5, 9, 0, 48, 0, 9, 1, 16, 9, 0, 0, 16, 0, 9, 2, 0, 0, 0}, uint8(5))
	f.Fuzz(func(t *testing.T, script []byte, mode uint8) {
		cfg := Config{Inline: mode&1 != 0, Strict: mode&1 != 0, NoRaw: mode&2 != 0, Midstream: mode&4 != 0, AsyncOneside: mode&8 != 0, Urgent: Urgent(mode >> 4 & 3),
			CheckOverlap: mode&64 != 0, Depth: 200, Memcap: 1 << 14, FlowMemcap: 1 << 12, MemcapPolicy: DropPacket,
			HostOS: []HostPolicy{{mustPrefix("10.0.0.0/8"), Policy(len(script) % int(nPolicies))}}}
		c := newConv(t, cfg)
		rcv := &receiver{policy: Policy(len(script) % int(nPolicies)), have: map[uint64]byte{}}
		if mode&128 != 0 {
			c.open()
		}
		for ; len(script) >= 4; script = script[4:] {
			b := script[:4]
			s := seg{dir: Dir(b[0] & 1), flags: packet.TCPFlags(b[1]), win: 1000, urg: uint16(b[0] >> 5)}
			mine, other := uint32(cISN), uint32(sISN)
			if s.dir == ToClient {
				mine, other = other, mine
			}
			s.seq = mine + 1 + uint32(b[2])
			if b[1]&2 != 0 {
				s.seq = mine
			}
			h := &c.tcp.half[s.dir.Other()]
			s.ack = other + 1 + uint32(b[0]>>1&15)
			if b[0]&16 != 0 {
				s.ack = other + 1 + uint32(h.edge)
			}
			s.data = bytes.Repeat([]byte{b[3]}, int(b[3]&63))
			if b[0]&2 != 0 && len(s.data) > 0 {
				s.data[0] ^= 0x55
			}
			ok, payload := c.send(s)
			if c.last.Exception == DropPacket {
				ok = false
			}
			if cfg.Inline && ok && mode&128 != 0 && !cfg.Midstream && s.dir == ToServer && len(payload) > 0 && c.tcp.half[0].flags&depthReached == 0 &&
				cfg.Urgent == UrgentInline && b[1]&2 == 0 && c.tcp.half[0].isn == cISN && uint64(b[2]) >= c.tr.safe[0] {
				rcv.take(uint64(b[2]), payload)
				rcv.deliver(^uint64(0))
				if c.gaps[0] == 0 && !bytes.HasPrefix(c.out[0], rcv.delivered) {
					t.Fatalf("receiver got %q, inspected was %q", rcv.delivered, c.out[0])
				}
			}
			if c.tr.Memory() > 1<<14 {
				t.Fatalf("%d bytes", c.tr.Memory())
			}
			for d := range c.tcp.half {
				h := &c.tcp.half[d]
				if h.start > h.edge || h.app < h.start || h.raw < h.start && !cfg.NoRaw && len(h.data) > 0 {
					t.Fatalf("start %d app %d raw %d edge %d", h.start, h.app, h.raw, h.edge)
				}
			}
		}
		c.finish()
		c.tr.Release(&c.tcp)
		if c.tr.Memory() != 0 {
			t.Fatalf("%d bytes held", c.tr.Memory())
		}
	})
}
