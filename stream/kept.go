package stream

// Unread says that no rule reads the raw stream of a direction. What Kept shows
// then depends on the application parser alone, as in Suricata.
func (t *Tracker) Unread(d Dir, yes bool) { t.unread[d] = yes }

// Kept appends what is there of a direction to out, from the first byte that
// was not let go: pieces in order, with how many bytes are missing before each.
// Segments that nobody acknowledged are left out, as in Suricata. The bytes are
// good until the next call of the tracker. Config.Keep makes it worth calling.
func (t *Tracker) Kept(s *TCP, d Dir, out []Chunk) []Chunk {
	h := &s.half[d]
	if h.flags&noReassembly != 0 {
		return out
	}
	acked := h.acked()
	limit := t.segmentEnd(h, acked)
	at, gap := max(h.start, min(h.shown, h.edge)), uint64(0)
	if h.track != nil {
		for _, o := range h.track.holes {
			if o.end <= at {
				continue
			}
			if o.off > at && at < limit {
				out = append(out, Chunk{Gap: gap, Data: h.data[at-h.start : min(o.off, limit)-h.start]})
				gap = 0
			}
			gap += o.end - max(o.off, at)
			at = o.end
		}
	}
	if at < limit {
		out = append(out, Chunk{Gap: gap, Data: h.data[at-h.start : limit-h.start]})
		gap, at = 0, limit
	}
	if h.track != nil && at == h.edge {
		for i := range h.track.nodes {
			n := &h.track.nodes[i]
			if n.end() <= at || n.off >= acked {
				continue
			}
			from := max(n.off, at)
			out = append(out, Chunk{Gap: gap + from - at, Data: n.data[from-n.off:]})
			gap, at = 0, n.end()
		}
	}
	return out
}

// segmentEnd is the end of the segment that offset lies in: what was
// acknowledged in part is shown whole.
func (t *Tracker) segmentEnd(h *half, off uint64) uint64 {
	if h.track != nil {
		for _, sp := range h.track.spans {
			if sp.off < off && off < sp.end {
				off = sp.end
			}
		}
	}
	return min(off, h.edge)
}

// shownWindow is how many bytes before the inspected ones are kept where a body
// may be looked at in windows: Suricata's request-body-inspect-window.
const shownWindow = 4096

// show moves on what must be kept for Kept: behind what was inspected as a raw
// stream, or else behind what the parser had a window ago.
func (t *Tracker) show(h *half, d Dir) {
	if h.gap(t, d) != 0 {
		return // what is behind the hole is still to be inspected with what is before it
	}
	app := h.app
	if h.flags&noApp != 0 {
		app = h.edge
	}
	seen := h.shown
	switch {
	case t.cfg.NoRaw || h.flags&noRaw != 0:
		seen = app
	case t.unread[d]:
		if h.flags&rawTold != 0 {
			seen = app
		} else if win := uint64(h.window); win > 0 && app > win {
			seen = max(seen, app-win)
		}
	case t.cfg.Inline:
		if h.edge > t.chunk[d] {
			seen = h.edge - t.chunk[d]
		}
	default:
		seen = h.raw
		if h.flags&windowed != 0 {
			seen -= min(seen, shownWindow)
		}
	}
	h.flags &^= rawTold
	h.shown = max(h.shown, min(seen, app, h.acked()))
	if tr := h.track; tr != nil {
		n := 0
		for n < len(tr.holes) && tr.holes[n].end <= h.shown {
			n++
		}
		tr.holes = tr.holes[:copy(tr.holes, tr.holes[n:])]
	}
}
