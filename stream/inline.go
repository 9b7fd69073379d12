package stream

import "bytes"

// insertInline takes data at off ≥ start, in a stream where what came first
// stays. pos is where data begins in the payload.
func (t *Tracker) insertInline(h *half, off uint64, data []byte, pos int) {
	end := off + uint64(len(data))
	have := h.start + uint64(len(h.data)) // edge, or the end of what was refused
	differs := false
	overlap := false
	if off < have {
		overlap = true
		n := min(end, have) - off
		old := h.data[off-h.start:][:n]
		if !bytes.Equal(old, data[:n]) {
			differs = true
			if off+n > h.edge {
				// Bytes that were refused, and that the parser knows: no others
				// may take their place.
				from := max(off, h.edge)
				if !bytes.Equal(h.data[from-h.start:off+n-h.start], data[from-off:n]) {
					t.event(ReassemblyOverlapDifferentData)
					t.OverlapDiffData++
					t.Conflicts++
					t.res.Drop = CauseConflict
					return
				}
			}
			t.diff(old, data[:n], pos)
		}
	}
	i := 0
	if h.track != nil {
		nodes := h.track.nodes
		for i = t.find(h, off); i < len(nodes) && nodes[i].off < end; i++ {
			overlap = true
			lo, hi := max(off, nodes[i].off, have), min(end, nodes[i].end())
			if lo >= hi {
				continue
			}
			old := nodes[i].data[lo-nodes[i].off : hi-nodes[i].off]
			if !bytes.Equal(old, data[lo-off:hi-off]) {
				differs = true
				t.diff(old, data[lo-off:hi-off], pos+int(lo-off))
			}
		}
	}
	if overlap {
		t.Overlaps++
	}
	if differs {
		t.OverlapDiffData++
		t.event(ReassemblyOverlapDifferentData)
	}
	if end <= h.edge {
		return
	}
	if off > h.edge {
		t.await(h, off, data, i)
		return
	}
	// In order: the hole at edge closes.
	if have > h.edge {
		h.edge = min(have, end)
	}
	if end > h.edge {
		fresh := data[h.edge-off:]
		if !t.grow(h, len(fresh)) {
			return
		}
		at := len(h.data)
		h.data = append(h.data, fresh...)
		h.edge = end
		// Where a node holds other bytes, the packet is rewritten to them.
		for j := range t.res.Edits {
			e := &t.res.Edits[j]
			if o := uint64(e.Off-pos) + off; o >= end-uint64(len(fresh)) {
				copy(h.data[at+int(o-(end-uint64(len(fresh)))):], e.Data)
			}
		}
	}
	t.drain(h)
}

// await keeps data behind a hole for when the packet goes on. The room for it
// must be certain now, because the receiver will have it then.
func (t *Tracker) await(h *half, off uint64, data []byte, next int) {
	if tr := h.track; tr != nil && len(tr.nodes) != 0 {
		first := t.find(h, off)
		pieces := next - first + 1
		if t.covered(h, off, off+uint64(len(data))) {
			t.ahead = pending{h, off, data}
			return
		}
		if len(tr.nodes)+pieces > maxNodes || tr.bytes+int64(2*len(data)+pieces<<minClass) > t.limit {
			t.overLimit()
			return
		}
		if !t.pool.room(2*len(data) + pieces<<minClass) {
			t.overMemcap()
			return
		}
	} else if !t.pool.room(2*len(data) + 1<<minClass) {
		t.overMemcap()
		return
	}
	if t.cfg.Strict {
		t.pending = pending{h, off, data}
		return
	}
	t.ahead = pending{h, off, data}
	t.keep(h, off, data)
}

// covered says whether all of off … end is there in nodes.
func (t *Tracker) covered(h *half, off, end uint64) bool {
	nodes := h.track.nodes
	for i := t.find(h, off); i < len(nodes) && nodes[i].off <= off; i++ {
		if off = nodes[i].end(); off >= end {
			return true
		}
	}
	return false
}

// diff notes the runs in which data, at pos in the payload, differs from old.
// Runs close together become one.
func (t *Tracker) diff(old, data []byte, pos int) {
	for i := 0; i < len(data); i++ {
		if data[i] == old[i] {
			continue
		}
		last := i
		for j := i + 1; j < len(data) && j-last <= 8; j++ {
			if data[j] != old[j] {
				last = j
			}
		}
		t.res.Edits = append(t.res.Edits, Edit{Off: pos + i, Data: old[i : last+1]})
		i = last
	}
}
