package divert_test

import (
	"testing"

	"github.com/garita/garita/divert"
	"github.com/garita/garita/internal/nstest"
	"github.com/garita/garita/packet"
)

// A flow whose packet was accepted with the mark of a decision does not come
// into the queue any more, in either direction; others do, and so does this one
// once decisions are taken back or another diversion begins.
func TestDecided(t *testing.T) {
	if !nstest.Inside(t) {
		return
	}
	w := newWorld(t)
	q := bind(t, 0)
	spec := divert.Spec{Hooks: []packet.Hook{packet.Forward}, SpareDecided: true, Generation: 3}
	d := install(t, spec)
	if d.Decided() == 0 {
		t.Skip(d.Degraded())
	}
	c1, c2 := udp(t, w.client, client4+":5000"), udp(t, w.client, client4+":5001")
	server := udp(t, w.server, server4+":6000")
	// through sends from c and says that the packet was queued first.
	through := func(text string, mark uint32) {
		t.Helper()
		send(t, c1, server4+":6000", text)
		p := q.next()
		if p.text() != text {
			t.Fatalf("%q was queued, want %q", p.text(), text)
		}
		q.acceptMarked(p, mark)
		expect(t, server, text)
	}
	through("one", 0)
	through("two", d.Decided()|0x40) // a bit of somebody else stays out of it
	unseen := func() {
		t.Helper()
		send(t, c1, server4+":6000", "three")
		expect(t, server, "three")
		send(t, server, client4+":5000", "answer")
		expect(t, c1, "answer")
	}
	unseen()
	send(t, c2, server4+":6000", "other") // the queue's next packet is this one
	p := q.next()
	if p.text() != "other" {
		t.Fatalf("%q was queued", p.text())
	}
	q.accept(p)
	expect(t, server, "other")

	must(t, d.Reinstall())
	unseen()
	old := d.Decided()
	must(t, d.Undecide())
	if d.Decided() == old {
		t.Error("the mark is the same as before")
	}
	through("again", old) // an old mark decides nothing
	through("and again", d.Decided())
	unseen()
	must(t, d.Stop())
	must(t, d.Remove())
	nothingLeft(t)
	spec.Generation = 9
	install(t, spec)
	through("of the next diversion", 0)
}

func TestDecidedMarks(t *testing.T) {
	for _, c := range []struct {
		mask       uint32
		generation uint8
		want       uint32
	}{
		{0, 0, 0x04000000}, {0, 1, 0x0c000000}, {0, 3, 0x1c000000}, {0, 4, 0x04000000},
		{0x1, 7, 0}, {0x3, 7, 0x2}, {0xf0000000, 2, 0xa0000000}, {0xc0000000, 2, 0x80000000},
	} {
		m := divert.Marks{Mask: c.mask}
		if got := m.Decided(c.generation); got != c.want {
			t.Errorf("mask %#x, generation %d: %#x, want %#x", c.mask, c.generation, got, c.want)
		}
	}
	spec := divert.Spec{SpareDecided: true, Marks: divert.Marks{Mask: 1 << 7}}
	if spec.Validate() == nil {
		t.Error("one bit is taken for enough")
	}
}
