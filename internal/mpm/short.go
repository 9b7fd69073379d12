package mpm

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// shortTable holds the patterns of two and three bytes that may lie anywhere.
// There are few of them, and most sets have none.
type shortTable struct {
	filter []uint64 // 65,536 bits, one a pair of bytes
	cands  []cand
}

func (t *shortTable) build(m *Matcher, pats []uint32) {
	if len(pats) == 0 {
		return
	}
	t.filter = make([]uint64, 1<<16/64)
	freq := map[uint16]int{}
	for i := 0; i+2 <= len(common); i++ {
		freq[binary.LittleEndian.Uint16([]byte(common[i:i+2]))|fold2]++
	}
	for _, d := range pats {
		b := m.bytes(d)
		c := cand{uint32(binary.LittleEndian.Uint16(b) | fold2), d, 0}
		if len(b) == 3 {
			if k := binary.LittleEndian.Uint16(b[1:]) | fold2; freq[k] < freq[uint16(c.key)] {
				c.key, c.off = uint32(k), 1
			}
		}
		t.cands = append(t.cands, c)
		t.filter[c.key>>6] |= 1 << (c.key & 63)
	}
	slices.SortStableFunc(t.cands, func(a, b cand) int { return int(a.key) - int(b.key) })
}

func (t *shortTable) scan(m *Matcher, data []byte, s *Scratch) {
	filter := t.filter
	if len(filter) != 1<<16/64 {
		return
	}
	for i := 0; i+2 <= len(data); i++ {
		k := binary.LittleEndian.Uint16(data[i:]) | fold2
		if filter[k>>6]>>(k&63)&1 != 0 {
			t.check(m, uint32(k), data, i, s)
		}
	}
}

func (t *shortTable) check(m *Matcher, key uint32, data []byte, i int, s *Scratch) {
	lo, hi := 0, len(t.cands)
	for lo < hi {
		if mid := (lo + hi) / 2; t.cands[mid].key < key {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	for ; lo < len(t.cands) && t.cands[lo].key == key; lo++ {
		m.try(t.cands[lo].pat, data, i-int(t.cands[lo].off), s)
	}
}

func (m *Matcher) scanOne(data []byte, s *Scratch) {
	for _, o := range m.one {
		if bytes.IndexByte(data, o.b) >= 0 || o.fold && bytes.IndexByte(data, o.b-0x20) >= 0 {
			s.add(o.pat)
		}
	}
}
