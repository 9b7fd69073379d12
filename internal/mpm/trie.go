package mpm

import "encoding/binary"

// trie finds the patterns a buffer begins (or, read backwards, ends) with. A step
// takes eight bytes: domains under one provider share their last eight bytes and differ in the
// next. Only groups of patterns that share a step get a node of their own.
type trie struct {
	nodes []trieNode
	slots []slot // open addressing, a power of two
	shift uint8
	list  []uint32 // patterns to compare
	// Most probes find nothing: a bit set over the same hash says so without
	// fetching a slot from a table that no cache holds.
	maybe  []uint64
	mshift uint8
	none   slot // of a key that is not there
}

// trieNode: bit r of lens is set if patterns end r bytes (1 to 7) below the node; bit 8 if
// patterns go on for eight and more.
type trieNode struct{ lens uint16 }

type slot struct {
	key   uint64 // eight bytes, folded; a shorter rest is zero-padded
	tag   uint32 // node<<4 | length of the key; 0: free
	child uint32 // node; 0: none
	from  uint32 // list[from:to]
	to    uint32
}

// leafMax is the number of patterns compared one by one before a node is made of them.
const leafMax = 3

func (t *trie) build(m *Matcher, pats []uint32, back bool) {
	if len(pats) == 0 {
		return
	}
	var entries []slot
	type job struct {
		node uint32
		pats []uint32
		done int // bytes consumed
	}
	t.nodes = append(t.nodes, trieNode{})
	jobs := []job{{0, pats, 0}}
	type key struct {
		k uint64
		r uint32
	}
	for len(jobs) > 0 {
		j := jobs[len(jobs)-1]
		jobs = jobs[:len(jobs)-1]
		groups := map[key][]uint32{}
		var order []key // a map's own order would make builds differ
		for _, d := range j.pats {
			b := m.bytes(d)
			r := min(len(b)-j.done, 8)
			var w uint64
			for x := range r {
				at := j.done + x
				if back {
					at = len(b) - j.done - r + x
				}
				w |= uint64(b[at]|0x20) << (8 * x)
			}
			k := key{w, uint32(r)}
			if groups[k] == nil {
				order = append(order, k)
			}
			groups[k] = append(groups[k], d)
			t.nodes[j.node].lens |= 1 << r
		}
		for _, k := range order {
			g := groups[k]
			e := slot{key: k.k, tag: j.node<<4 | k.r, from: uint32(len(t.list))}
			var deeper []uint32
			for _, d := range g {
				if len(g) > leafMax && int(m.pats[d].n) > j.done+8 {
					deeper = append(deeper, d)
				} else {
					t.list = append(t.list, d)
				}
			}
			e.to = uint32(len(t.list))
			if len(deeper) > 0 {
				e.child = uint32(len(t.nodes))
				t.nodes = append(t.nodes, trieNode{})
				jobs = append(jobs, job{e.child, deeper, j.done + 8})
			}
			entries = append(entries, e)
		}
	}
	bits := max(log2ceil(len(entries)*2), 1)
	t.shift = uint8(64 - bits)
	t.slots = make([]slot, 1<<bits)
	mbits := max(log2ceil(len(entries)*16), 6)
	t.mshift = uint8(64 - mbits)
	t.maybe = make([]uint64, 1<<mbits/64)
	for _, e := range entries {
		h := hash8(e.key, e.tag)
		t.maybe[h>>t.mshift>>6] |= 1 << (h >> t.mshift & 63)
		i := h >> t.shift
		for t.slots[i].tag != 0 {
			i = (i + 1) & uint64(len(t.slots)-1)
		}
		t.slots[i] = e
	}
}

func hash8(key uint64, tag uint32) uint64 {
	h := (key ^ uint64(tag)<<32) * 0x9e3779b97f4a7c15
	return (h ^ h>>32) * 0xd6e8feb86659fd93
}

func (t *trie) find(key uint64, tag uint32) *slot {
	h := hash8(key, tag)
	if bit := h >> (t.mshift & 63); t.maybe[bit>>6]>>(bit&63)&1 == 0 {
		return &t.none
	}
	for i := h >> (t.shift & 63); ; i = (i + 1) & uint64(len(t.slots)-1) {
		e := &t.slots[i]
		if e.tag == 0 || e.key == key && e.tag == tag {
			return e // a free slot has an empty list and no child
		}
	}
}

func (t *trie) scanPrefix(m *Matcher, data []byte, s *Scratch) {
	node := uint32(0)
	for at := 0; ; at += 8 {
		lens := t.nodes[node].lens
		rest := data[at:]
		var w uint64
		if len(rest) >= 8 {
			w = binary.LittleEndian.Uint64(rest) | fold8
		} else {
			for x, c := range rest {
				w |= uint64(c|0x20) << (8 * x)
			}
		}
		for r := 1; r < 8 && r <= len(rest); r++ {
			if lens>>r&1 != 0 {
				e := t.find(w&(1<<(8*r)-1), node<<4|uint32(r))
				for _, d := range t.list[e.from:e.to] {
					m.try(d, data, 0, s)
				}
			}
		}
		if lens>>8 == 0 || len(rest) < 8 {
			return
		}
		e := t.find(w, node<<4|8)
		for _, d := range t.list[e.from:e.to] {
			m.try(d, data, 0, s)
		}
		if node = e.child; node == 0 {
			return
		}
	}
}

func (t *trie) scanSuffix(m *Matcher, data []byte, s *Scratch) {
	node := uint32(0)
	for rest := data; ; rest = rest[:len(rest)-8] {
		lens := t.nodes[node].lens
		var w uint64 // the last byte is the highest
		if len(rest) >= 8 {
			w = binary.LittleEndian.Uint64(rest[len(rest)-8:]) | fold8
		} else {
			for x := range rest {
				w |= uint64(rest[len(rest)-1-x]|0x20) << (56 - 8*x)
			}
		}
		for r := 1; r < 8 && r <= len(rest); r++ {
			if lens>>r&1 != 0 {
				e := t.find(w>>(64-8*r), node<<4|uint32(r))
				for _, d := range t.list[e.from:e.to] {
					m.try(d, data, len(data)-int(m.pats[d].n), s)
				}
			}
		}
		if lens>>8 == 0 || len(rest) < 8 {
			return
		}
		e := t.find(w, node<<4|8)
		for _, d := range t.list[e.from:e.to] {
			m.try(d, data, len(data)-int(m.pats[d].n), s)
		}
		if node = e.child; node == 0 {
			return
		}
	}
}
