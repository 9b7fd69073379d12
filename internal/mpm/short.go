package mpm

import (
	"bytes"
	"encoding/binary"
)

// pairTable finds patterns of two bytes that may lie anywhere. Such patterns occur
// all the time, so the scan does not branch on them: it ticks off what it sees and
// looks at the ticks afterwards.
type pairTable struct {
	class [256]uint8   // 0: in no pattern; keeps the used part of id small
	id    [65536]uint8 // of a pair of classes, first one high; 0: no pattern
	pats  [256][]uint32
	n     int // ids are below
}

// newPairTables needs more than one table only for more than 255 different pairs.
func newPairTables(m *Matcher, pats []uint32) (ts []*pairTable) {
	var t *pairTable
	ids, classes := 0, 0
	add := func(a, b byte, d uint32) {
		need := 0
		for _, c := range [2]byte{a, b} {
			if t != nil && t.class[c] == 0 {
				need++
			}
		}
		if t == nil || ids == 255 || classes+need > 255 {
			t = new(pairTable)
			ts = append(ts, t)
			ids, classes = 0, 0
		}
		for _, c := range [2]byte{a, b} {
			if t.class[c] == 0 {
				classes++
				t.class[c] = uint8(classes)
			}
		}
		id := &t.id[int(t.class[a])<<8|int(t.class[b])]
		if *id == 0 {
			ids++
			*id = uint8(ids)
			t.n = ids + 1
		}
		t.pats[*id] = append(t.pats[*id], d)
	}
	for _, d := range pats {
		b := m.bytes(d)
		both := func(c byte) []byte {
			if m.pats[d].nocase && c-'a' < 26 {
				return []byte{c, c - 0x20}
			}
			return []byte{c}
		}
		for _, x := range both(b[0]) {
			for _, y := range both(b[1]) {
				add(x, y, d)
			}
		}
	}
	return ts
}

func (t *pairTable) scan(data []byte, s *Scratch) {
	if len(data) == 0 {
		return
	}
	ticks := &s.ticks
	last := uint16(t.class[data[0]]) << 8
	for _, b := range data[1:] {
		c := uint16(t.class[b])
		ticks[t.id[last|c]] = 1
		last = c << 8
	}
	ticks[0] = 0
	for i := 0; i < t.n; i += 8 {
		if binary.LittleEndian.Uint64(ticks[i:]) == 0 {
			continue
		}
		for k := i; k < i+8; k++ {
			if ticks[k] != 0 {
				ticks[k] = 0
				for _, d := range t.pats[k] {
					if !s.has(d) {
						s.add(d)
					}
				}
			}
		}
	}
}

// scanOne finds patterns of one byte: in long data with a fast search for each, in short data
// by looking at every byte.
func (m *Matcher) scanOne(data []byte, s *Scratch) {
	if len(data) > 16*len(m.one) {
		for _, o := range m.one {
			if bytes.IndexByte(data, o.b) >= 0 || o.fold && bytes.IndexByte(data, o.b-0x20) >= 0 {
				s.add(o.pat)
			}
		}
		return
	}
	for _, b := range data {
		if m.ones[b>>6]>>(b&63)&1 == 0 {
			continue
		}
		for _, o := range m.one {
			if (o.b == b || o.fold && o.b == b|0x20) && !s.has(o.pat) {
				s.add(o.pat)
			}
		}
	}
}
