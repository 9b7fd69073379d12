package stream

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
)

// What is kept to be shown changes nothing in what is given away, judged or
// dropped: the law that makes Config.Keep safe to turn on.
func TestKeepChangesNothing(t *testing.T) {
	for n := range scripts(3000) {
		r := rand.New(rand.NewPCG(7, uint64(n)))
		inline := n%2 == 0
		a, b := newConv(t, Config{Inline: inline}), newConv(t, Config{Inline: inline, Keep: true})
		a.open()
		b.open()
		stream := make([]byte, 400)
		for i := range stream {
			stream[i] = byte('a' + r.IntN(26))
		}
		acked := 0
		for range 60 {
			from := r.IntN(len(stream) - 1)
			data := bytes.Clone(stream[from:min(len(stream), from+1+r.IntN(60))])
			if r.IntN(6) == 0 {
				data[r.IntN(len(data))] ^= 1
			}
			s := seg{flags: ackFlag, seq: cISN + 1 + uint32(from), ack: sISN + 1, data: data}
			if r.IntN(3) == 0 {
				acked = max(acked, r.IntN(len(stream)))
				s = seg{dir: ToClient, flags: ackFlag, seq: sISN + 1, ack: cISN + 1 + uint32(acked)}
			}
			s2 := s
			s2.data = bytes.Clone(s.data)
			okA, wentA := a.send(s)
			okB, wentB := b.send(s2)
			if okA != okB || !bytes.Equal(wentA, wentB) || a.last.Drop != b.last.Drop || !bytes.Equal(a.out[0], b.out[0]) || a.gaps != b.gaps {
				t.Fatalf("script %d (inline %v): %v %q %v %q %v with Keep %v %q %v %q %v", n, inline,
					okA, wentA, a.last.Drop, a.out[0], a.gaps, okB, wentB, b.last.Drop, b.out[0], b.gaps)
			}
		}
		if !inline {
			a.finish()
			b.finish()
		}
		if !bytes.Equal(a.out[0], b.out[0]) || a.gaps != b.gaps || fmt.Sprint(a.events) != fmt.Sprint(b.events) {
			t.Fatalf("script %d (inline %v): %q %v %v, with Keep %q %v %v", n, inline, a.out[0], a.gaps, a.events, b.out[0], b.gaps, b.events)
		}
		if len(b.tr.Kept(&b.tcp, ToServer, nil)) > maxNodes {
			t.Fatal("more pieces than can be kept")
		}
		b.tr.Release(&b.tcp)
		if m := b.tr.Memory(); m != 0 {
			t.Fatalf("script %d: %d bytes are held after Release", n, m)
		}
	}
}

func TestKept(t *testing.T) {
	show := func(c *conv) string {
		var s string
		for _, p := range c.tr.Kept(&c.tcp, ToServer, nil) {
			if p.Gap > 0 {
				s += fmt.Sprintf("[%d]", p.Gap)
			}
			s += string(p.Data)
		}
		return s
	}
	ack := func(c *conv, n uint32) {
		c.send(seg{dir: ToClient, flags: ackFlag, seq: sISN + 1, ack: cISN + 1 + n})
	}
	data := func(c *conv, off uint32, s string) {
		c.send(seg{flags: ackFlag, seq: cISN + 1 + off, ack: sISN + 1, data: []byte(s)})
	}
	for _, c := range []struct {
		name string
		cfg  Config
		talk func(c *conv)
		want string
	}{
		{"nothing is acknowledged", Config{Keep: true}, func(c *conv) { data(c, 0, "abc") }, ""},
		{"a segment that is acknowledged in part is shown whole", Config{Keep: true, Inline: false}, func(c *conv) {
			data(c, 0, "abc")
			data(c, 3, "def")
			ack(c, 4)
		}, "abcdef"},
		{"what the parser had is still shown", Config{Keep: true}, func(c *conv) {
			c.tr.Unread(ToServer, true)
			data(c, 0, "abc")
			ack(c, 3)
			data(c, 3, "def")
			ack(c, 6)
		}, "abcdef"},
		{"with a note of what is missing", Config{Keep: true}, func(c *conv) {
			c.tr.Unread(ToServer, true)
			data(c, 0, "abc")
			data(c, 7, "hij")
			ack(c, 10)
			data(c, 10, "k")
			ack(c, 11)
		}, "abc[4]hijk"},
		{"inline", Config{Keep: true, Inline: true}, func(c *conv) {
			data(c, 0, "abc")
			ack(c, 3)
			data(c, 3, "def")
		}, "abc"},
	} {
		x := newConv(t, c.cfg)
		x.open()
		c.talk(x)
		if got := show(x); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
