package stream

import "math/bits"

// pool keeps byte buffers by size class, powers of two, within a budget.
type pool struct {
	cap, used int64 // bytes given out
	idle      int64 // bytes in free
	free      [nClasses][][]byte
}

const (
	minClass = 8 // 256 bytes
	nClasses = 24
)

func class(n int) int {
	if n <= 1<<minClass {
		return 0
	}
	return bits.Len(uint(n-1)) - minClass
}

// get returns an empty buffer that holds n bytes, nil if the budget forbids.
func (p *pool) get(n int) []byte {
	c := class(n)
	if c >= nClasses {
		return nil
	}
	size := int64(1) << (c + minClass)
	if p.used+size > p.cap {
		return nil
	}
	p.used += size
	if l := len(p.free[c]); l > 0 {
		b := p.free[c][l-1]
		p.free[c] = p.free[c][:l-1]
		p.idle -= size
		return b
	}
	return make([]byte, 0, size)
}

// put takes a buffer back. What lies idle is bounded by a quarter of the
// budget, so that one kind of traffic does not hold memory of another.
func (p *pool) put(b []byte) {
	size := int64(cap(b))
	if size == 0 {
		return
	}
	p.used -= size
	if p.idle+size > p.cap/4+1<<16 {
		return
	}
	p.idle += size
	c := class(int(size))
	p.free[c] = append(p.free[c], b[:0])
}

// room says whether n more bytes may be used for what waits behind a hole. A
// quarter of the budget is kept for data that is in order, so that what waits
// does not stop what flows.
func (p *pool) room(n int) bool { return p.used+int64(n) <= p.cap-p.cap/4 }
