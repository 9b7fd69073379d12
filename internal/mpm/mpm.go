// Package mpm finds which of many byte patterns occur in a buffer.
//
// A [Matcher] is built once from up to millions of patterns, is immutable, and
// may be used by any number of goroutines at once, each with its own [Scratch].
// A scan answers with the set of patterns that occur, each at most once.
// Answers are verified: a pattern is reported if and only if a naive search
// (bytes.Contains, HasPrefix, HasSuffix, Equal, with ASCII case folded where
// asked) finds it.
//
// # Why not an automaton
//
// Half of the fast patterns of real rule sets name the beginning, the end or the
// whole of a buffer. Those are looked up in a trie that takes eight bytes a step,
// mostly one probe a scan. The rest are long (median 10 to 22 bytes), so each is
// known by its rarest four bytes: a scan slides over the buffer, asks a small bit
// set about every four bytes (or, if no pattern is short, about every second or
// fourth place only), and compares whole patterns only where it says maybe. An Aho-Corasick automaton over the same patterns takes megabytes and
// one dependent memory access a byte; the bit set of the biggest real set fits the
// first-level cache and its loads do not depend on each other.
package mpm

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"slices"
)

// Anchor says where in the buffer a pattern must lie.
type Anchor uint8

const (
	Anywhere Anchor = iota // at any offset
	Prefix                 // the buffer starts with the pattern
	Suffix                 // the buffer ends with the pattern
	Exact                  // the buffer is the pattern
)

// Pattern is one string to look for. Bytes is copied by [Build].
// NoCase folds ASCII letters only. A pattern without bytes occurs in every buffer
// (with Exact: in the empty buffer only).
type Pattern struct {
	Bytes  []byte
	NoCase bool
	Anchor Anchor
}

// Matcher is a compiled pattern set, safe for concurrent use.
// The zero Matcher holds no pattern.
type Matcher struct {
	pats  []pat
	blob  []byte   // bytes of all distinct patterns, lower case where they fold
	ids   []uint32 // indexes given to Build, grouped by distinct pattern
	empty []uint32 // distinct patterns without bytes
	one   []single
	ones  [4]uint64 // the bytes of one
	few   []uint32  // patterns of which there are only these
	pairs []*pairTable
	gram  gramTable
	pre   trie
	suf   trie
	given int
}

// pat is one distinct pattern.
type pat struct {
	off    uint32 // into blob
	n      uint32
	id0    uint32 // ids[id0:id1] are the indexes it answers for
	id1    uint32
	nocase bool
	exact  bool
	anchor Anchor
}

type single struct {
	b    byte
	fold bool
	pat  uint32
}

// Scratch is the memory of one scan at a time. The zero value is ready; it
// grows to the biggest matcher it has been used with and then allocates no more.
type Scratch struct {
	seen  []uint64 // one bit a distinct pattern, all zero between scans
	found []uint32
	out   []uint32
	ticks [256]uint8 // all zero between scans
}

// Len returns the number of patterns given to [Build].
func (m *Matcher) Len() int { return m.given }

// Build compiles patterns. The answers of [Matcher.Scan] are indexes into ps.
// Patterns may repeat; each index is answered.
func Build(ps []Pattern) *Matcher {
	m := &Matcher{given: len(ps)}
	type key struct {
		s      string
		nocase bool
		anchor Anchor
	}
	distinct := make(map[key]uint32, len(ps))
	of := make([]uint32, len(ps)) // distinct pattern of each index
	count := make([]uint32, 0, len(ps))
	var buf []byte
	for i, p := range ps {
		buf = append(buf[:0], p.Bytes...)
		nocase := p.NoCase && hasLetter(buf)
		if nocase {
			lower(buf)
		}
		k := key{string(buf), nocase, p.Anchor}
		d, ok := distinct[k]
		if !ok {
			d = uint32(len(m.pats))
			distinct[k] = d
			m.pats = append(m.pats, pat{off: uint32(len(m.blob)), n: uint32(len(buf)), nocase: nocase, exact: p.Anchor == Exact, anchor: p.Anchor})
			m.blob = append(m.blob, buf...)
			count = append(count, 0)
		}
		of[i] = d
		count[d]++
	}
	m.ids = make([]uint32, len(ps))
	var at uint32
	for d := range m.pats {
		m.pats[d].id0, m.pats[d].id1 = at, at
		at += count[d]
	}
	for i, d := range of {
		m.ids[m.pats[d].id1] = uint32(i)
		m.pats[d].id1++
	}
	m.pats, m.blob = slices.Clip(m.pats), slices.Clip(m.blob)

	var two, short, gram, pre, suf []uint32
	for d := range m.pats {
		p := &m.pats[d]
		id := uint32(d)
		switch {
		case p.n == 0:
			m.empty = append(m.empty, id)
		case p.anchor == Prefix || p.anchor == Exact:
			pre = append(pre, id)
		case p.anchor == Suffix:
			suf = append(suf, id)
		case p.n == 1:
			b := m.blob[p.off]
			m.one = append(m.one, single{b, p.nocase, id})
			m.ones[b>>6] |= 1 << (b & 63)
			if p.nocase {
				m.ones[(b-0x20)>>6] |= 1 << ((b - 0x20) & 63)
			}
		case p.n == 2:
			two = append(two, id)
		case p.n == 3:
			short = append(short, id)
		default:
			gram = append(gram, id)
		}
	}
	two, short, gram = m.takeFew(two, short, gram)
	m.pairs = newPairTables(m, two)
	m.gram.build(m, gram, short)
	m.pre.build(m, pre, false)
	m.suf.build(m, suf, true)
	return m
}

// takeFew takes patterns out of the lists that are rather searched for one by one,
// which costs less than a look at every position: those of two bytes if there are
// a few; all of the others, or else the short ones that keep them from a stride of 4,
// or of 2.
func (m *Matcher) takeFew(two, short, gram []uint32) (_, _, _ []uint32) {
	take := func(from []uint32, length uint32, most int) bool {
		var few []uint32
		for _, d := range from {
			if p := &m.pats[d]; p.n <= length {
				if p.nocase || len(few) == most {
					return false
				}
				few = append(few, d)
			}
		}
		m.few = append(m.few, few...)
		return true
	}
	if take(two, 2, 8) {
		two = nil
	}
	longer := slices.Concat(short, gram)
	for _, t := range [...]struct {
		length uint32
		most   int
	}{{1<<32 - 1, 4}, {Long - 1, 8}, {gramLen, 8}} {
		if take(longer, t.length, t.most) {
			return two, nil, slices.DeleteFunc(longer, func(d uint32) bool { return m.pats[d].n <= t.length })
		}
	}
	return two, short, gram
}

// Scan returns the indexes of the patterns that occur in data, in no
// particular order, each once. The slice belongs to s and is valid until its next use.
func (m *Matcher) Scan(data []byte, s *Scratch) []uint32 {
	if need := (len(m.pats) + 63) / 64; len(s.seen) < need {
		s.seen = make([]uint64, need)
	}
	s.found = s.found[:0]
	for _, d := range m.empty {
		if !m.pats[d].exact || len(data) == 0 {
			s.add(d)
		}
	}
	if len(data) > 0 {
		if len(m.pre.slots) > 0 {
			m.pre.scanPrefix(m, data, s)
		}
		if len(m.suf.slots) > 0 {
			m.suf.scanSuffix(m, data, s)
		}
		if len(m.one) > 0 {
			m.scanOne(data, s)
		}
		for _, d := range m.few {
			if bytes.Contains(data, m.bytes(d)) {
				s.add(d)
			}
		}
		for _, t := range m.pairs {
			t.scan(data, s)
		}
		if m.gram.filter != nil {
			m.gram.scan(m, data, s)
		}
	}
	s.out = s.out[:0]
	for _, d := range s.found {
		s.seen[d>>6] = 0
		p := &m.pats[d]
		s.out = append(s.out, m.ids[p.id0:p.id1]...)
	}
	return s.out
}

func (s *Scratch) has(d uint32) bool { return s.seen[d>>6]>>(d&63)&1 != 0 }

func (s *Scratch) add(d uint32) {
	s.seen[d>>6] |= 1 << (d & 63)
	s.found = append(s.found, d)
}

// try reports pattern d if it lies in data at start and has not been reported yet.
func (m *Matcher) try(d uint32, data []byte, start int, s *Scratch) {
	p := &m.pats[d]
	n := int(p.n)
	if start < 0 || n > len(data)-start || s.has(d) || p.exact && n != len(data) {
		return
	}
	if equal(data[start:start+n], m.blob[p.off:int(p.off)+n], p.nocase) {
		s.add(d)
	}
}

// equal compares data with a pattern of the same length; with nocase the pattern is in lower case.
func equal(data, pattern []byte, nocase bool) bool {
	if !nocase {
		return string(data) == string(pattern)
	}
	i := 0
	for ; i+8 <= len(data) && i+8 <= len(pattern); i += 8 {
		if lower8(binary.LittleEndian.Uint64(data[i:])) != binary.LittleEndian.Uint64(pattern[i:]) {
			return false
		}
	}
	for ; i < len(data) && i < len(pattern); i++ {
		c := data[i]
		if c-'A' < 26 {
			c |= 0x20
		}
		if c != pattern[i] {
			return false
		}
	}
	return true
}

// lower8 lowers the ASCII letters among eight bytes.
func lower8(w uint64) uint64 {
	const ones = 0x0101010101010101
	low := w & (0x7f * ones)
	geA := low + (0x80-'A')*ones
	gtZ := low + (0x7f-'Z')*ones
	upper := ^w & (geA ^ gtZ) & (0x80 * ones)
	return w | upper>>2
}

func lower(b []byte) {
	for i, c := range b {
		if c-'A' < 26 {
			b[i] = c | 0x20
		}
	}
}

func hasLetter(b []byte) bool {
	for _, c := range b {
		if (c|0x20)-'a' < 26 {
			return true
		}
	}
	return false
}

// log2ceil returns the least k with 1<<k >= n.
func log2ceil(n int) int {
	if n <= 1 {
		return 0
	}
	return bits.Len(uint(n - 1))
}
