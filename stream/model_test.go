package stream

import (
	"bytes"
	"math/rand/v2"
	"os"
	"testing"
)

// scripts is how many random scripts a law is tried on: a million with
// GARITA_FULL set, else a sample.
func scripts(quick int) int {
	if os.Getenv("GARITA_FULL") != "" {
		return 1_000_000
	}
	return quick
}

// receiver is a slow TCP receiver that resolves overlaps byte by byte: each
// byte of a new segment is compared with every older segment that covers it.
type receiver struct {
	policy    Policy
	delivered []byte
	have      map[uint64]byte
	segs      []span
	limit     uint64 // bytes before this do not change any more
}

func (r *receiver) take(off uint64, data []byte) {
	sp := span{off, off + uint64(len(data))}
	for i, b := range data {
		o := off + uint64(i)
		if o < r.limit {
			continue
		}
		keep := false
		for _, old := range r.segs {
			if old.off <= o && o < old.end && !r.policy.replaces(sp.off, sp.end, old.off, old.end) {
				keep = true
			}
		}
		if _, there := r.have[o]; !there || !keep {
			r.have[o] = b
		}
	}
	r.segs = append(r.segs, sp)
}

// deliver hands over what is contiguous, up to offset to.
func (r *receiver) deliver(to uint64) {
	for uint64(len(r.delivered)) < to {
		b, ok := r.have[uint64(len(r.delivered))]
		if !ok {
			break
		}
		r.delivered = append(r.delivered, b)
	}
	r.limit = uint64(len(r.delivered))
}

func lies(rng *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('a' + rng.IntN(4))
	}
	return b
}

// Whatever is sent, and whatever gets lost behind us, what a receiver of any
// policy delivers to its application is what was inspected, and no byte of a
// packet that was refused ever arrives.
func TestInlineModel(t *testing.T) {
	n := scripts(20_000)
	for i := range n {
		rng := rand.New(rand.NewPCG(7, uint64(i)))
		inlineScript(t, rng, i)
		if t.Failed() {
			return
		}
	}
}

func inlineScript(t *testing.T, rng *rand.Rand, i int) {
	c := newConv(t, Config{Inline: true, Strict: true, NoRaw: rng.IntN(2) == 0})
	isn := rng.Uint32()
	c.openAt(isn, sISN)
	bad := rng.IntN(3) == 0
	if bad {
		c.drop = func(app [2][]byte) bool {
			// What was refused is not given again: it stands before app, behind edge.
			h, g := &c.tr.undo.half[ToServer], &c.tr.seg
			a := h.offset(g.seq)
			again := g.dir == ToServer && a < int64(h.app) && a+int64(g.n) > int64(h.edge)
			return again || bytes.IndexByte(app[0], 0xff) >= 0
		}
	}
	rcv := &receiver{policy: Policy(rng.IntN(int(nPolicies))), have: map[uint64]byte{}}
	size := 8 + rng.IntN(60)
	for range 4 + rng.IntN(40) {
		off := rng.IntN(size)
		if rng.IntN(3) == 0 {
			off = int(c.tcp.half[0].edge) // often in order
		}
		data := lies(rng, 1+rng.IntN(20))
		if bad && rng.IntN(8) == 0 {
			data[rng.IntN(len(data))] = 0xff
		}
		ok, payload := c.send(seg{flags: ackFlag, seq: isn + 1 + uint32(off), ack: sISN + 1, data: data})
		if ok && rng.IntN(5) != 0 { // some are lost behind us
			rcv.take(uint64(off), payload)
			rcv.deliver(^uint64(0))
		}
		if rng.IntN(3) == 0 {
			c.send(seg{dir: ToClient, flags: ackFlag, seq: sISN + 1, ack: isn + 1 + uint32(len(rcv.delivered))})
		}
		if !bytes.HasPrefix(c.out[0], rcv.delivered) {
			t.Fatalf("script %d: %v receiver got\n%q, inspected was\n%q", i, rcv.policy, rcv.delivered, c.out[0])
		}
		if bytes.IndexByte(rcv.delivered, 0xff) >= 0 {
			t.Fatalf("script %d: refused bytes arrived: %q", i, rcv.delivered)
		}
	}
	if c.gaps[0] != 0 {
		t.Fatalf("script %d: gap of %d inline", i, c.gaps[0])
	}
	c.tr.Release(&c.tcp)
	if c.tr.Memory() != 0 {
		t.Fatalf("script %d: %d bytes held", i, c.tr.Memory())
	}
}

// Detection gives, at each acknowledgement, what a receiver of the host's
// policy has by then.
func TestPolicyModel(t *testing.T) {
	n := scripts(20_000)
	for i := range n {
		rng := rand.New(rand.NewPCG(9, uint64(i)))
		policyScript(t, rng, i)
		if t.Failed() {
			return
		}
	}
}

func policyScript(t *testing.T, rng *rand.Rand, i int) {
	pol := Policy(rng.IntN(int(nPolicies)))
	c := newConv(t, Config{
		NoRaw:        rng.IntN(2) == 0,
		CheckOverlap: rng.IntN(2) == 0,
		HostOS:       []HostPolicy{{mustPrefix("0.0.0.0/0"), First}, {mustPrefix("10.0.0.2/32"), pol}},
	})
	isn := rng.Uint32()
	c.openAt(isn, sISN)
	rcv := &receiver{policy: pol, have: map[uint64]byte{}}
	size := 8 + rng.IntN(60)
	for range 4 + rng.IntN(40) {
		off := rng.IntN(size)
		if off <= len(rcv.delivered) && rng.IntN(2) == 0 {
			off = len(rcv.delivered)
		}
		data := lies(rng, 2+rng.IntN(20))
		c.send(seg{flags: ackFlag, seq: isn + 1 + uint32(off), ack: sISN + 1, data: data})
		if end := off + len(data); end > len(rcv.delivered) { // else it is before the last acknowledgement
			rcv.take(uint64(off), data)
		}
		if rng.IntN(3) == 0 {
			edge := uint64(len(rcv.delivered))
			for {
				if _, ok := rcv.have[edge]; !ok {
					break
				}
				edge++
			}
			to := uint64(len(rcv.delivered))
			if edge > to {
				to += rng.Uint64N(edge - to + 1)
			}
			rcv.deliver(to)
			c.send(seg{dir: ToClient, flags: ackFlag, seq: sISN + 1, ack: isn + 1 + uint32(to)})
		}
		if !bytes.Equal(c.out[0], rcv.delivered) {
			t.Fatalf("script %d: %v receiver has\n%q, detection saw\n%q", i, pol, rcv.delivered, c.out[0])
		}
	}
	// At the end, all that is left comes out, over gaps.
	c.finish()
	var want []byte
	gaps := uint64(0)
	missing := uint64(0)
	for o := uint64(0); o < 2000; o++ {
		if b, ok := rcv.have[o]; ok {
			want = append(want, b)
			gaps += missing
			missing = 0
		} else {
			missing++
		}
	}
	if !bytes.Equal(c.out[0], want) || c.gaps[0] != gaps {
		t.Fatalf("script %d: %v, in all\n%q %d missing, detection saw\n%q %d missing", i, pol, want, gaps, c.out[0], c.gaps[0])
	}
	c.tr.Release(&c.tcp)
	if c.tr.Memory() != 0 {
		t.Fatalf("script %d: %d bytes held", i, c.tr.Memory())
	}
}
