package detect

import "bytes"

// node is one step of a chain.
type node struct {
	op    op
	flags nodeFlags
	// content
	pattern  []byte // lower case if nocase
	offset   int32
	depth    int32
	distance int32
	within   int32
	vOffset  uint8 // byte variables, 1-based, 0 = none
	vDepth   uint8
	vDist    uint8
	vWithin  uint8
	replace  []byte
	skip     *[256]uint8 // Horspool shifts of longer patterns
	// others
	re   *regex
	num  *byteOp
	b64  *base64Op
	asn  *asn1Op
	data *datasetRef
	size numRange // bsize
}

type op uint8

const (
	opContent op = iota
	opRegex
	opByteTest
	opByteJump
	opByteExtract
	opByteMath
	opIsDataAt
	opSize
	opBase64
	opASN1
	opDataset
)

type nodeFlags uint16

const (
	nNegated nodeFlags = 1 << iota
	nNocase
	nDistance // relative by distance
	nWithin
	nOffset
	nDepth
	nStarts
	nEnds
	nRelative     // of isdataat, byte operations, pcre: from the last match on
	nRelativeNext // what follows is relative to this
	nRaw          // rawbytes
	nFast         // the operator's fast pattern
	nFastOnly
	nBsize // the size is of bsize, not of urilen
	nVar   // offset, depth, distance or within come from a variable
)

// maxByteVars is how many byte variables one rule may have.
const maxByteVars = 16

// matcher is the state of one run over a buffer.
type matcher struct {
	buf     []byte
	start   uint64 // place of buf in the stream or body it is a window of
	pos     int    // behind the last match
	reStart int    // where the next try of an expression begins
	steps   int
	limit   int
	stop    bool // no other combination can match either
	vals    [maxByteVars]uint64
	w       *Worker
	in      *Input
	packet  bool // buf is the packet's payload: replace is possible
	b64     bool
	edits   int
}

// match runs the chain over buf. Byte variables live as long as one rule is
// inspected, so they are the worker's.
func (m *matcher) match(c *chain, buf []byte, start uint64) bool {
	m.buf, m.start = buf, start
	m.pos, m.reStart, m.steps, m.stop = 0, 0, 0, false
	m.edits = len(m.w.edits)
	if m.run(c, 0) {
		return true
	}
	m.w.edits = m.w.edits[:m.edits]
	return false
}

// run matches the nodes of c from i on. The position is in m.pos.
//
// The semantics are Suricata's: a content that others are relative to is tried
// at each of its places until the rest matches; the first place that is
// found counts for all others.
func (m *matcher) run(c *chain, i int) bool {
	if m.steps++; m.steps > m.limit {
		m.stop = true
		return false
	}
	if m.stop {
		return false
	}
	if i == len(c.nodes) {
		return true
	}
	n := &c.nodes[i]
	switch n.op {
	case opContent:
		return m.content(c, n, i)
	case opRegex:
		return m.regex(c, n, i)
	case opIsDataAt:
		at := int64(n.offset)
		if n.vOffset != 0 {
			at = int64(m.vals[n.vOffset-1])
		}
		var ok bool
		if n.flags&nRelative != 0 {
			ok = int64(m.pos)+at <= int64(len(m.buf))
		} else {
			ok = at < int64(len(m.buf))
		}
		if ok == (n.flags&nNegated != 0) {
			return false
		}
		return m.run(c, i+1)
	case opByteTest:
		if !m.byteTest(n) {
			return false
		}
		return m.run(c, i+1)
	case opByteJump:
		if !m.byteJump(n) {
			return false
		}
		return m.run(c, i+1)
	case opByteExtract:
		if !m.byteExtract(n) {
			return false
		}
		return m.run(c, i+1)
	case opByteMath:
		if !m.byteMath(n) {
			return false
		}
		return m.run(c, i+1)
	case opSize:
		size := uint64(len(m.buf)) + m.start
		if !n.size.match(size) {
			m.stop = true
			return false
		}
		return m.run(c, i+1)
	case opBase64:
		if !m.base64(c, n) {
			return false
		}
		if c.base64 != nil {
			return true
		}
		return m.run(c, i+1)
	case opDataset:
		if !m.dataset(n) {
			return false
		}
	case opASN1:
		if !m.asn1(n.asn) {
			return false
		}
	}
	return m.run(c, i+1)
}

func (m *matcher) content(c *chain, n *node, i int) bool {
	prev := m.pos
	next := -1 // where the search goes on after a failed continuation
	last := i+1 == len(c.nodes)
	size := len(m.buf)
	for {
		var lo, hi int
		if n.flags&(nDistance|nWithin) != 0 {
			lo, hi = prev, size
			dist := int(n.distance)
			if n.vDist != 0 {
				dist = clampVar(m.vals[n.vDist-1])
			}
			if n.flags&nDistance != 0 {
				lo = max(0, lo+dist)
			}
			if n.flags&nWithin != 0 {
				within := int(n.within)
				if n.vWithin != 0 {
					within = clampVar(m.vals[n.vWithin-1])
				}
				if hi = min(hi, prev+within+dist); hi < 0 {
					hi = size // a negative place is none, as in unsigned arithmetic
				}
				if m.start != 0 && prev == 0 {
					switch {
					case uint64(max(hi, 0)) <= m.start:
						return false
					case uint64(hi) < m.start+uint64(size):
						hi -= int(m.start)
					}
				}
			}
			if n.vDepth != 0 {
				hi = min(hi, prev+clampVar(m.vals[n.vDepth-1]))
			} else if n.depth != 0 {
				hi = min(hi, prev+int(n.depth))
			}
			if n.vOffset != 0 {
				lo = max(lo, clampVar(m.vals[n.vOffset-1]))
			} else {
				lo = max(lo, int(n.offset))
			}
		} else {
			hi = int(n.depth)
			if n.vDepth != 0 {
				hi = clampVar(m.vals[n.vDepth-1])
			}
			if hi == 0 && n.vDepth == 0 {
				hi = size
			}
			if m.start != 0 && n.flags&nDepth != 0 {
				switch {
				case uint64(hi) <= m.start:
					return false
				case uint64(hi) < m.start+uint64(size):
					hi -= int(m.start)
				}
			}
			lo = int(n.offset)
			if n.vOffset != 0 {
				lo = clampVar(m.vals[n.vOffset-1])
			}
			prev = 0
		}
		if n.vOffset != 0 && n.vDepth != 0 {
			hi += lo // a depth given by a variable counts from the offset
		}
		if next >= 0 {
			lo = next
		}
		hi = min(hi, size)
		negated := n.flags&nNegated != 0
		if lo > hi || hi <= 0 {
			if negated {
				return m.run(c, i+1)
			}
			return false
		}
		if n.flags&nEnds != 0 && hi < size {
			if negated {
				return m.run(c, i+1)
			}
			return false
		}
		area := m.buf[lo:hi]
		at := -1
		switch {
		case len(n.pattern) > len(area):
		case n.flags&nEnds != 0 && negated:
			// As Suricata 7 does it: only the first place counts, and the
			// start of the area counts twice (docs/differences.md).
			if i := find(area, n); i >= 0 && i+2*lo+len(n.pattern) == size {
				at = i
			}
		case n.flags&nEnds != 0:
			tail := len(area) - len(n.pattern)
			if equalAt(area[tail:], n) {
				at = tail
			}
		case n.flags&nStarts != 0 && lo == 0 && next < 0 && m.start == 0:
			if equalAt(area[:len(n.pattern)], n) {
				at = 0
			}
		default:
			at = find(area, n)
		}
		if at < 0 {
			if negated {
				return m.run(c, i+1)
			}
			if n.flags&(nDistance|nWithin) == 0 {
				m.stop = true // found nowhere, whatever came before
			}
			return false
		}
		if negated {
			if n.flags&(nDistance|nWithin|nRelativeNext|nOffset|nDepth) == 0 {
				m.stop = true
			}
			return false
		}
		at += lo
		m.pos = at + len(n.pattern)
		keep := len(m.w.edits)
		if n.replace != nil && m.packet {
			m.w.edits = append(m.w.edits, Edit{Off: at, Data: n.replace})
		}
		if n.flags&nRelativeNext == 0 || last {
			return m.run(c, i+1)
		}
		m.reStart = 0
		if m.run(c, i+1) {
			return true
		}
		m.w.edits = m.w.edits[:keep]
		if m.stop {
			return false
		}
		next = at + 1
	}
}

func clampVar(v uint64) int {
	if v > 1<<30 {
		return 1 << 30
	}
	return int(v)
}

func equalAt(b []byte, n *node) bool {
	if n.flags&nNocase == 0 {
		return string(b) == string(n.pattern)
	}
	for i, c := range n.pattern {
		d := b[i]
		if d-'A' < 26 {
			d |= 0x20
		}
		if d != c {
			return false
		}
	}
	return true
}

// find returns the first place of n's pattern in b, or -1.
func find(b []byte, n *node) int {
	p := n.pattern
	if n.flags&nNocase == 0 {
		if len(p) == 1 {
			return bytes.IndexByte(b, p[0])
		}
		return bytes.Index(b, p)
	}
	lo := p[0]
	up := lo
	if lo-'a' < 26 {
		up = lo &^ 0x20
	}
	end := len(b) - len(p)
	if n.skip == nil {
		for i := 0; i <= end; i++ {
			if (b[i] == lo || b[i] == up) && equalAt(b[i:i+len(p)], n) {
				return i
			}
		}
		return -1
	}
	tail := len(p) - 1
	for i := 0; i <= end; i += int(n.skip[b[i+tail]]) {
		if (b[i] == lo || b[i] == up) && equalAt(b[i:i+len(p)], n) {
			return i
		}
	}
	return -1
}

// makeSkip prepares the search for a pattern that folds case: how far the
// window may move by the byte at its end.
func makeSkip(p []byte) *[256]uint8 {
	if len(p) < 3 {
		return nil
	}
	n := min(len(p), 255)
	t := new([256]uint8)
	for i := range t {
		t[i] = uint8(n)
	}
	for i := len(p) - n; i < len(p)-1; i++ {
		d := uint8(len(p) - 1 - i)
		c := p[i]
		t[c] = d
		if c-'a' < 26 {
			t[c&^0x20] = d
		}
	}
	return t
}
