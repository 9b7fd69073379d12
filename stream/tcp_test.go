package stream

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/garita/garita/packet"
)

func TestHandshakeAndClose(t *testing.T) {
	for _, inline := range []bool{false, true} {
		c := newConv(t, Config{Inline: inline})
		c.open()
		c.send(seg{flags: ackFlag, seq: cISN + 1, ack: sISN + 1, data: []byte("GET /")})
		c.send(seg{dir: ToClient, flags: ackFlag, seq: sISN + 1, ack: cISN + 6, data: []byte("200")})
		c.send(seg{flags: ackFlag, seq: cISN + 6, ack: sISN + 4})
		c.send(seg{flags: ackFlag | finFlag, seq: cISN + 6, ack: sISN + 4})
		if c.tcp.State() != CloseWait {
			t.Fatalf("after FIN: %v", c.tcp.State())
		}
		c.send(seg{dir: ToClient, flags: ackFlag | finFlag, seq: sISN + 4, ack: cISN + 7})
		if c.tcp.State() != LastAck {
			t.Fatalf("after both FINs: %v", c.tcp.State())
		}
		c.send(seg{flags: ackFlag, seq: cISN + 7, ack: sISN + 5})
		if c.tcp.State() != Closed {
			t.Fatalf("at the end: %v", c.tcp.State())
		}
		if string(c.out[0]) != "GET /" || string(c.out[1]) != "200" || c.gaps != [2]uint64{} {
			t.Errorf("inline %v: got %q %q gaps %v", inline, c.out[0], c.out[1], c.gaps)
		}
		if !c.ends[0] && !c.last.End[0] {
			t.Error("no end was told")
		}
		if len(c.events) != 0 {
			t.Errorf("events of an ordinary session: %v", c.events)
		}
		c.tr.Release(&c.tcp)
		if c.tr.Memory() != 0 {
			t.Errorf("%d bytes held after Release", c.tr.Memory())
		}
	}
}

// Any order and any repetition of the segments gives the same stream.
func TestReorderLaw(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for i := 0; i < 3000; i++ {
		inline := i&1 == 0
		c := newConv(t, Config{Inline: inline, NoRaw: i&2 == 0})
		isn := rng.Uint32()
		if i%5 == 0 {
			isn = 0xffffffff - uint32(rng.IntN(300)) // the numbers wrap on the way
		}
		c.openAt(isn, sISN)
		want := make([]byte, 1+rng.IntN(600))
		for j := range want {
			want[j] = byte(rng.Uint32())
		}
		var segs []seg
		for at := 0; at < len(want); {
			n := min(1+rng.IntN(40), len(want)-at)
			lo := max(0, at-rng.IntN(10))
			segs = append(segs, seg{flags: ackFlag, seq: isn + 1 + uint32(lo), ack: sISN + 1, data: want[lo : at+n]})
			at += n
		}
		segs = append(segs, segs[:rng.IntN(len(segs)+1)]...)
		rng.Shuffle(len(segs), func(a, b int) { segs[a], segs[b] = segs[b], segs[a] })
		for _, s := range segs {
			if ok, _ := c.send(s); !ok {
				t.Fatalf("script %d: a segment was dropped: %v %v", i, c.last.Drop, c.last.Events)
			}
			if rng.IntN(4) == 0 {
				c.send(seg{dir: ToClient, flags: ackFlag, seq: sISN + 1, ack: isn + 1 + uint32(c.tcp.half[0].edge)})
			}
		}
		c.send(seg{dir: ToClient, flags: ackFlag, seq: sISN + 1, ack: isn + 1 + uint32(len(want))})
		if !bytes.Equal(c.out[0], want) || c.gaps[0] != 0 {
			t.Fatalf("script %d inline %v: got %d bytes and %d missing, want %d; %v %+v", i, inline, len(c.out[0]), c.gaps[0], len(want), c.events, c.tr.Counters)
		}
		c.tr.Release(&c.tcp)
		if c.tr.Memory() != 0 {
			t.Fatalf("script %d: %d bytes held after Release", i, c.tr.Memory())
		}
	}
}

// No allocation once pools are warm, in order and out of order.
func TestNoAllocs(t *testing.T) {
	for _, inline := range []bool{false, true} {
		tr := New(Config{Inline: inline})
		var s TCP
		data := bytes.Repeat([]byte("x"), 1400)
		mk := func(x seg) *packet.Packet {
			p := &packet.Packet{}
			x.packet(p, 1e18)
			return p
		}
		var ps []*packet.Packet
		var ds []Dir
		add := func(x seg) { ps, ds = append(ps, mk(x)), append(ds, x.dir) }
		add(seg{flags: synFlag, seq: 0})
		add(seg{dir: ToClient, flags: synFlag | ackFlag, seq: sISN, ack: 1})
		add(seg{flags: ackFlag, seq: 1, ack: sISN + 1})
		for i := range uint32(10) {
			add(seg{flags: ackFlag, seq: 1 + i*4200, ack: sISN + 1, data: data})
			add(seg{flags: ackFlag, seq: 1 + i*4200 + 2800, ack: sISN + 1, data: data})
			add(seg{flags: ackFlag, seq: 1 + i*4200 + 1400, ack: sISN + 1, data: data})
			add(seg{dir: ToClient, flags: ackFlag, seq: sISN + 1, ack: 1 + (i+1)*4200})
		}
		total := 0
		run := func() {
			for i, p := range ps {
				tr.Update(&s, p, ds[i])
				for d := range Dir(2) {
					for {
						c, ok := tr.App(&s, d)
						if !ok {
							break
						}
						total += len(c.Data)
					}
					tr.Raw(&s, d)
					tr.RawDone(&s, d)
				}
				tr.Commit(&s)
			}
			tr.Release(&s)
		}
		if n := testing.AllocsPerRun(20, run); n != 0 {
			t.Errorf("inline %v: %v allocations a session", inline, n)
		}
		if total != 22*42000 && total != 21*42000 {
			t.Errorf("inline %v: %d bytes came out", inline, total)
		}
	}
}
