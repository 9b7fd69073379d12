package stream

import (
	"bytes"
	"slices"
	"sort"
)

// Offsets count the bytes of one direction from 0, the first byte behind the
// SYN. They do not wrap.

// half is one direction of a session: what its sender may send, and the bytes
// that are there of it.
//
//	start ≤ app, raw ≤ edge    data holds start … edge, and behind that what a
//	                           refused packet brought (up to app)
//	edge                       everything before is there without a hole
//	track.nodes                what is there behind a hole
type half struct {
	isn, nextSeq, lastAck, nextWin Seq
	window, lastTS, lastPkt        uint32
	flags                          halfFlags
	wscale, policy, tcpFlags       uint8
	beyondN                        uint8
	beyond                         Seq // a segment beyond the window, and how often it came

	start, edge, app, raw uint64
	need                  uint64 // data before this may be let go
	solid                 uint64 // offset behind the last hole that data spans
	shown                 uint64 // what is before this needs no longer be shown, see Config.Keep
	fin                   uint64 // offset of the FIN, if flags has finSeen
	data                  []byte
	track                 *track
}

type halfFlags uint16

const (
	zeroTS halfFlags = 1 << iota // the handshake had a time stamp of 0
	synTS                        // the SYN had a time stamp
	rstSeen
	keepAlive
	noReassembly
	depthReached
	finSeen
	gapSeen  // bytes were skipped as missing
	finished // everything is to be given away, acknowledged or not
	noApp
	noRaw
	rawDue
	rawTold // rawDue, and not yet known to shown
	oobByte
	windowed // what is shown begins a window before what was inspected
)

// node is a run of bytes behind a hole. Nodes do not overlap or touch a hole's
// left edge.
type node struct {
	off  uint64
	data []byte
}

func (n *node) end() uint64 { return n.off + uint64(len(n.data)) }

// span is where a segment lay, for the overlap policies.
type span struct{ off, end uint64 }

// track is what only some directions need: bytes behind holes, and (detection)
// where the segments lay that are not acknowledged yet.
type track struct {
	nodes []node
	spans []span
	oob   []uint64 // offsets of urgent bytes that App leaves out
	holes []span   // in data, zeroes: kept to show what was before them
	bytes int64    // in nodes
}

const (
	maxNodes = 4096
	maxSpans = 1024
	maxOOB   = 64
	maxHole  = 1 << 16
)

// setISN starts the numbering. Nothing counts as acknowledged, and there is no
// window, until somebody says so: a stale number might lie ahead.
func (h *half) setISN(isn Seq) { h.isn, h.lastAck, h.nextWin = isn, isn, isn }

// offset is where seq lies in the stream; before the stream's first byte it is
// negative.
func (h *half) offset(seq Seq) int64 {
	return int64(h.edge) + int64(int32(seq-(h.isn+1+Seq(uint32(h.edge)))))
}

// acked is how far the receiver has acknowledged.
func (h *half) acked() uint64 {
	if o := h.offset(h.lastAck); o > 0 {
		if h.flags&finSeen != 0 && uint64(o) == h.fin+1 {
			return h.fin
		}
		return uint64(o)
	}
	return 0
}

// avail is how far bytes may be given to App and Raw.
func (h *half) avail(t *Tracker) uint64 {
	if t.cfg.Inline || h.flags&finished != 0 {
		return h.edge
	}
	return min(h.edge, h.acked())
}

// gap is how many bytes at edge are missing for good: those behind the hole
// were acknowledged, so their receiver has them all, or nothing more will come.
// An acknowledgement alone makes no gap: the bytes may have taken another way
// here, and come.
func (h *half) gap(t *Tracker, d Dir) uint64 {
	if h.track == nil || len(h.track.nodes) == 0 || h.flags&noReassembly != 0 {
		return 0
	}
	if t.cfg.Inline && !t.cfg.Strict && d != t.res.Dir && h.flags&finished == 0 {
		return 0 // Suricata finds it with the direction's next packet
	}
	acked := h.acked()
	switch {
	case t.cfg.Strict:
		acked = t.safe[d] // an acknowledgement counts once it went on
	case t.ending:
		// Suricata takes one off for a FIN, whoever sent it: below zero that is
		// a great deal.
		acked = uint64(max(h.offset(h.lastAck), 0)) - 1
	}
	first := h.track.nodes[0].off
	if first <= h.edge || first >= acked && h.flags&finished == 0 {
		return 0
	}
	return first - h.edge
}

func (h *half) appReady(t *Tracker, d Dir) bool {
	if h.flags&(noReassembly|noApp) != 0 {
		return false
	}
	return h.app < h.avail(t) || h.gap(t, d) != 0
}

func (h *half) ended(t *Tracker) bool {
	if h.flags&depthReached != 0 && h.edge >= t.depth {
		return true
	}
	return h.flags&finSeen != 0 && h.avail(t) >= h.fin
}

// App returns the next piece of a stream for the application parser; false if
// there is none now. Call it for both directions after Update, until it says
// false. A piece is given once.
func (t *Tracker) App(s *TCP, d Dir) (c Chunk, ok bool) {
	h := &s.half[d]
	if h.flags&(noReassembly|noApp) != 0 {
		return c, false
	}
	if h.app < h.edge {
		to := h.avail(t)
		for h.app < to {
			end, skip := h.cut(h.app, to)
			if skip {
				h.app++
				if t.cfg.Urgent == UrgentGap {
					c.Gap = 1
				}
				continue
			}
			c.Off = h.app - c.Gap
			c.Data = h.data[h.app-h.start : end-h.start]
			h.app = end
			c.End = h.app == h.edge && h.ended(t)
			return c, true
		}
		return c, c.Gap != 0
	}
	g := h.gap(t, d)
	// Raw data before the gap must be looked at before it is let go.
	if g == 0 || t.rawPending(h) {
		return c, false
	}
	t.Gaps++
	c.Off, c.Gap = h.edge, g
	t.skip(h, h.edge+g)
	c.End = h.app == h.edge && h.ended(t)
	return c, true
}

// RawWaits says whether a direction has bytes that Raw did not show yet.
func (t *Tracker) RawWaits(s *TCP, d Dir) bool { return t.rawPending(&s.half[d]) }

func (t *Tracker) rawPending(h *half) bool {
	return !t.cfg.NoRaw && h.flags&(noRaw|noReassembly) == 0 && !t.cfg.Inline && h.raw < h.edge
}

// skip moves all of h to offset off, over bytes that are missing.
func (t *Tracker) skip(h *half, off uint64) {
	if n := off - h.edge; t.cfg.Keep && len(h.data) > 0 && h.start+uint64(len(h.data)) == h.edge && n <= maxHole && t.grow(h, int(n)) {
		tr := t.tracked(h)
		tr.holes = append(tr.holes, span{h.edge, off})
		h.data = append(h.data, make([]byte, n)...)
	} else {
		h.data, h.start = h.data[:0], off
	}
	h.flags |= gapSeen
	h.edge, h.app, h.raw, h.solid = off, off, off, off
	t.drain(h)
	if t.cfg.Inline {
		t.dropNodes(h)
	}
}

// Raw returns the bytes of a direction that are due for inspection as a raw
// stream, and the offset of the first; none if nothing is due. It is good
// until the next call of the tracker.
//
// Inline, that is a window: the bytes that came with this packet (or became
// whole through it) and, before them, enough to make it a chunk, but never
// less than 512 if there are. Otherwise it is what was acknowledged and not
// yet looked at, once it is a chunk, or the end of a message (TriggerRaw) or
// of the stream came; chunks do not overlap, unless Config.RawOverlap says so.
// Suricata looks at a direction only with packets of that direction. Say
// RawDone when it was inspected. Urgent bytes that are no part of the stream
// (UrgentOOB, UrgentGap) are not shown.
func (t *Tracker) Raw(s *TCP, d Dir) (data []byte, off uint64) {
	h := &s.half[d]
	data, off = t.rawPiece(s, h, d)
	t.rawTo[d] = off + uint64(len(data))
	if h.track != nil && len(h.track.oob) > 0 {
		data = t.withoutOOB(h, data, off)
	}
	return data, off
}

// withoutOOB is data, which begins at off, without the urgent bytes that are no
// part of the stream.
func (t *Tracker) withoutOOB(h *half, data []byte, off uint64) []byte {
	t.cutout = t.cutout[:0]
	for i := range data {
		if !slices.Contains(h.track.oob, off+uint64(i)) {
			t.cutout = append(t.cutout, data[i])
		}
	}
	return t.cutout
}

func (t *Tracker) rawPiece(s *TCP, h *half, d Dir) (data []byte, off uint64) {
	to := h.avail(t)
	from := h.raw
	if t.cfg.NoRaw || h.flags&(noReassembly|noRaw) != 0 || s.state == SynSent && !t.cfg.Strict {
		return nil, from // Suricata looks at a SYN's data with the packet only
	}
	if to <= from {
		if t.ahead.h == h && !t.cfg.Strict {
			return t.rawAhead(h)
		}
		if t.cfg.Inline && t.repeat.h == h {
			return t.rawAgain(h, t.chunk[d])
		}
		return nil, from
	}
	n := to - from
	if t.cfg.Inline {
		back := uint64(512)
		if n < t.chunk[d] {
			back = max(back, t.chunk[d]-n)
		}
		if first := max(h.start, h.solid); from-first > back {
			from -= back
		} else {
			from = first
		}
	} else if n < t.chunk[d] && h.flags&(rawDue|finished) == 0 && s.state <= TimeWait && !h.ended(t) && h.gap(t, d) == 0 {
		return nil, from
	} else {
		from -= min(uint64(t.cfg.RawOverlap), from-max(h.start, h.solid))
	}
	return h.data[from-h.start : to-h.start], from
}

// rawAgain is what is looked at inline when a segment is repeated before it was
// acknowledged: a chunk about its place.
func (t *Tracker) rawAgain(h *half, chunk uint64) (data []byte, off uint64) {
	from, to := max(h.start, h.solid), h.edge
	lo, hi := max(t.repeat.off, from), min(t.repeat.off+uint64(len(t.repeat.data)), to)
	if hi <= lo {
		return nil, h.raw
	}
	if n := hi - lo; chunk <= n {
		chunk = n + chunk/3
	}
	switch {
	case to-from <= chunk:
	case lo == from:
		to = lo + chunk
	case hi == to:
		from = hi - chunk
	default:
		side := (chunk - (hi - lo)) / 2
		from = max(from, lo-min(lo, side))
		to = min(to, hi+side)
	}
	return h.data[from-h.start : to-h.start], from
}

// rawAhead is what Suricata looks at inline when a segment came before its turn:
// the segment, behind what joins it on the left. That its own bytes are not all
// that the receiver will read there is why a strict tracker waits for its turn.
func (t *Tracker) rawAhead(h *half) (data []byte, off uint64) {
	data, off = t.ahead.data, t.ahead.off
	if h.track == nil {
		return data, off
	}
	i := t.find(h, off-1)
	nodes := h.track.nodes
	if i == len(nodes) || nodes[i].off >= off {
		return data, off
	}
	left := nodes[i].data[:off-nodes[i].off]
	left = left[max(0, len(left)-int(max(512, t.chunk[0]))):]
	t.scratch = append(append(t.scratch[:0], left...), data...)
	return t.scratch, off - uint64(len(left))
}

// RawDone says that what Raw last showed of a direction was inspected. What is
// shown for the packet alone (a repetition, what came before its turn) is shown
// once.
func (t *Tracker) RawDone(s *TCP, d Dir) {
	h := &s.half[d]
	t.ahead, t.repeat = pending{}, pending{}
	if upTo := t.rawTo[d]; upTo > h.raw {
		h.raw = min(upTo, h.edge)
		h.flags &^= rawDue
	}
}

// Offset is how many bytes of a direction are there without a hole, or were
// skipped as missing.
func (t *Tracker) Offset(s *TCP, d Dir) uint64 { return s.half[d].edge }

// insert takes the payload of the packet under Update into h, its sender's
// half.
func (t *Tracker) insert(s *TCP, h *half, g *segment) {
	data := g.payload
	t.seen = true
	t.res.Taken = true
	if g.has(rstFlag) && !t.cfg.Strict {
		return // what a reset carries is no part of the stream
	}
	if len(data) == 0 {
		if g.has(finFlag) {
			t.setFin(h, h.offset(g.end()))
		}
		return
	}
	if h.flags&noReassembly != 0 {
		return
	}
	seq := g.seq
	if g.has(synFlag) {
		seq++
	}
	a := h.offset(seq)
	if g.has(finFlag) {
		t.setFin(h, a+int64(len(data)))
	}
	if g.has(urgFlag) && g.urg != 0 && t.cfg.Urgent != UrgentInline {
		t.urgent(h, g, a)
		if t.res.Drop != NoCause {
			return
		}
	}
	pos := 0 // where data begins in the payload
	if a < 0 {
		if a+int64(len(data)) <= 0 {
			t.event(ReassemblySegmentBeforeBaseSeq)
			return
		}
		pos = int(-a)
		data = data[pos:]
		a = 0
	}
	off := uint64(a)
	seg := span{off, off + uint64(len(data))}
	if seg.end > t.depth {
		if h.flags&depthReached == 0 {
			h.flags |= depthReached
			t.DepthReached++
			t.event(ReassemblyDepthReached)
		}
		if off >= t.depth {
			return
		}
		data = data[:t.depth-off]
	}
	t.res.Added = true
	// The usual case: the next bytes, and none waiting.
	if off == h.edge && (h.track == nil || len(h.track.nodes) == 0) && h.start+uint64(len(h.data)) == h.edge {
		if !t.grow(h, len(data)) {
			return
		}
		h.data = append(h.data, data...)
		h.edge += uint64(len(data))
		if !t.cfg.Inline {
			t.span(h, seg)
		}
		return
	}
	end := off + uint64(len(data))
	first := max(h.start, h.solid)
	if end <= first {
		if h.flags&gapSeen == 0 {
			t.event(ReassemblySegmentBeforeBaseSeq)
		}
		t.res.Retransmission = true
		return
	}
	if off < first { // the first bytes are no longer kept
		pos += int(first - off)
		data = data[first-off:]
		off = first
	}
	if t.res.Retransmission = end <= h.edge; t.res.Retransmission {
		t.repeat = pending{h, off, data}
	}
	if t.cfg.Inline {
		t.insertInline(h, off, data, pos)
	} else {
		t.insertPolicy(h, off, data, seg, g)
	}
}

func (t *Tracker) setFin(h *half, off int64) {
	if off >= 0 && h.flags&finSeen == 0 {
		h.flags |= finSeen
		h.fin = uint64(off)
	}
}

// grow makes room for n more bytes behind edge; false if a budget forbids,
// which is then the packet's exception.
func (t *Tracker) grow(h *half, n int) bool {
	if cap(h.data)-len(h.data) >= n {
		return true
	}
	if h.need > h.start && len(t.res.Edits) == 0 { // edits borrow from data
		h.compact(int(min(h.need-h.start, uint64(len(h.data)))))
		if cap(h.data)-len(h.data) >= n {
			return true
		}
	}
	need := len(h.data) + n
	if int64(need) > t.limit {
		t.overLimit()
		return false
	}
	b := t.pool.get(max(need, min(2*len(h.data), int(t.limit))))
	if b == nil {
		b = t.pool.get(need)
	}
	if b == nil {
		t.overMemcap()
		return false
	}
	old := h.data
	h.data = append(b, old...)
	if old != nil {
		t.pool.put(old)
	}
	return true
}

func (t *Tracker) overLimit() {
	t.LimitDrops++
	t.event(ReassemblyInsertLimit)
	t.res.Why, t.res.Exception = CauseLimit, Ignore
	t.res.Added = false
	if t.cfg.Inline {
		// What cannot be kept cannot be vouched for. Its sender will send it
		// again when the hole is closed.
		t.res.Drop = CauseLimit
	}
}

func (t *Tracker) overMemcap() {
	t.MemcapDrops++
	t.event(ReassemblyInsertMemcap)
	t.res.Why, t.res.Exception = CauseMemcap, t.cfg.MemcapPolicy
	t.res.Added = false
}

// find is the index of the first node that ends behind off.
func (t *Tracker) find(h *half, off uint64) int {
	nodes := h.track.nodes
	if n := len(nodes); n == 0 || nodes[n-1].end() <= off {
		return n
	}
	return sort.Search(len(nodes), func(i int) bool { return nodes[i].end() > off })
}

// drain takes nodes that edge has reached into data. Inline, the nodes stay
// until the packet goes on.
func (t *Tracker) drain(h *half) {
	if h.track == nil {
		return
	}
	nodes := h.track.nodes
	i := 0
	for ; i < len(nodes) && nodes[i].off <= h.edge; i++ {
		if nodes[i].end() <= h.edge {
			continue
		}
		fresh := nodes[i].data[h.edge-nodes[i].off:]
		have := int(h.start + uint64(len(h.data)) - h.edge) // refused bytes, the same ones
		if have < len(fresh) {
			fresh = fresh[max(have, 0):]
			if !t.grow(h, len(fresh)) {
				return
			}
			h.data = append(h.data, fresh...)
		}
		h.edge = nodes[i].end()
	}
	if !t.cfg.Inline {
		t.dropNodes(h)
	}
}

// dropNodes frees the nodes that edge has passed.
func (t *Tracker) dropNodes(h *half) {
	tr := h.track
	if tr == nil {
		return
	}
	i := 0
	for ; i < len(tr.nodes) && tr.nodes[i].end() <= h.edge; i++ {
		tr.bytes -= int64(cap(tr.nodes[i].data))
		t.pool.put(tr.nodes[i].data)
	}
	if i > 0 {
		n := copy(tr.nodes, tr.nodes[i:])
		clear(tr.nodes[n:])
		tr.nodes = tr.nodes[:n]
	}
}

// tracked makes sure h has a track.
func (t *Tracker) tracked(h *half) *track {
	if h.track == nil {
		if n := len(t.tracks); n > 0 {
			h.track = t.tracks[n-1]
			t.tracks = t.tracks[:n-1]
		} else {
			h.track = &track{}
		}
	}
	return h.track
}

// keep puts data at off > edge into nodes, only where there are no bytes yet;
// false if a budget forbids.
func (t *Tracker) keep(h *half, off uint64, data []byte) bool {
	tr := t.tracked(h)
	for len(data) > 0 {
		i := t.find(h, off)
		end := off + uint64(len(data))
		if i < len(tr.nodes) {
			if nd := &tr.nodes[i]; nd.off <= off {
				n := min(nd.end(), end) - off
				off, data = off+n, data[n:]
				continue
			} else if nd.off < end {
				end = nd.off
			}
		}
		n := int(end - off)
		if i > 0 {
			if p := &tr.nodes[i-1]; p.end() == off {
				if room := cap(p.data) - len(p.data); room > 0 {
					n = min(n, room)
					p.data = append(p.data, data[:n]...)
					off, data = off+uint64(n), data[n:]
					continue
				}
			}
		}
		if !t.cfg.Inline && (len(tr.nodes) >= maxNodes || tr.bytes+int64(n) > t.limit) {
			t.LimitDrops++
			t.event(ReassemblyInsertLimit)
			return false
		}
		var b []byte
		if t.cfg.Inline || t.pool.room(2*n) {
			b = t.pool.get(n)
		}
		if b == nil {
			t.overMemcap()
			return false
		}
		tr.bytes += int64(cap(b))
		tr.nodes = append(tr.nodes, node{})
		copy(tr.nodes[i+1:], tr.nodes[i:])
		tr.nodes[i] = node{off, append(b, data[:n]...)}
		off, data = off+uint64(n), data[n:]
	}
	return true
}

// insertPolicy takes data at off ≥ start, resolving overlaps as the receiver
// does.
func (t *Tracker) insertPolicy(h *half, off uint64, data []byte, seg span, g *segment) {
	end := off + uint64(len(data))
	pol := t.policy(h, g.p.Dst())
	buf := append(t.scratch[:0], data...)
	t.scratch = buf
	overlap, differs := false, false
	if h.track != nil {
		for i := range h.track.spans {
			sp := h.track.spans[i]
			lo, hi := max(off, sp.off), min(end, sp.end)
			if lo >= hi {
				continue
			}
			overlap = true
			replace := pol.replaces(seg.off, seg.end, sp.off, sp.end)
			if replace && !t.cfg.CheckOverlap {
				continue
			}
			if t.readOld(h, lo, data[lo-off:hi-off], buf[lo-off:hi-off], replace) {
				differs = true
			}
		}
	}
	if overlap {
		t.Overlaps++
	}
	if differs {
		t.OverlapDiffData++
		if t.cfg.CheckOverlap {
			t.event(ReassemblyOverlapDifferentData)
		}
	}
	t.span(h, seg)
	// Bytes that were given away stay as they are.
	if fixed := max(h.start, h.app); off < fixed {
		if end <= fixed {
			return
		}
		buf = buf[fixed-off:]
		off = fixed
	}
	if off < h.edge {
		n := copy(h.data[off-h.start:h.edge-h.start], buf)
		off, buf = off+uint64(n), buf[n:]
	}
	if len(buf) == 0 {
		return
	}
	if h.track != nil {
		nodes := h.track.nodes
		for i := t.find(h, off); i < len(nodes) && nodes[i].off < end; i++ {
			lo, hi := max(off, nodes[i].off), min(end, nodes[i].end())
			copy(nodes[i].data[lo-nodes[i].off:], buf[lo-off:hi-off])
		}
	}
	if off > h.edge {
		if !t.keep(h, off, buf) {
			t.res.Added = false
		}
		return
	}
	// Up to the first node the bytes are new; drain brings the rest.
	if h.track != nil && len(h.track.nodes) != 0 {
		if first := h.track.nodes[0].off; first < end {
			t.keep(h, off, buf)
			t.drain(h)
			return
		}
	}
	if !t.grow(h, len(buf)) {
		return
	}
	h.data = append(h.data, buf...)
	h.edge = end
	t.drain(h)
}

// readOld puts the bytes that are there from off on into buf, unless they are
// to be replaced, and says whether they differ from data.
func (t *Tracker) readOld(h *half, off uint64, data, buf []byte, replace bool) bool {
	differs := false
	end := off + uint64(len(data))
	use := func(old []byte, at uint64) {
		i := int(at - off)
		if !bytes.Equal(old, data[i:i+len(old)]) {
			differs = true
			if !replace {
				copy(buf[i:], old)
			}
		}
	}
	if lo, hi := max(off, h.start), min(end, h.edge); lo < hi {
		use(h.data[lo-h.start:hi-h.start], lo)
	}
	nodes := h.track.nodes
	for i := t.find(h, off); i < len(nodes) && nodes[i].off < end; i++ {
		lo, hi := max(off, nodes[i].off), min(end, nodes[i].end())
		if lo < hi {
			use(nodes[i].data[lo-nodes[i].off:hi-nodes[i].off], lo)
		}
	}
	return differs
}

// span remembers where a segment lay.
func (t *Tracker) span(h *half, sp span) {
	tr := t.tracked(h)
	if len(tr.spans) < maxSpans {
		tr.spans = append(tr.spans, sp)
	}
}

// prune lets go of what nobody needs: acknowledged, consumed, inspected.
func (t *Tracker) prune(h *half, d Dir) {
	if len(h.data) == 0 && h.track == nil {
		h.settle(t)
		return
	}
	keep := h.edge
	acked := h.acked()
	if t.cfg.Inline {
		// What may still come again, and what the next window looks back on.
		h.raw = h.edge // looked at with the packet that brought it
		keep = min(keep, acked)
		if !t.cfg.NoRaw && h.flags&noRaw == 0 {
			back := uint64(0)
			if h.edge > t.chunk[d] {
				back = h.edge - t.chunk[d]
			}
			keep = min(keep, back)
		}
	} else if !t.cfg.NoRaw && h.flags&noRaw == 0 {
		keep = min(keep, h.raw-min(h.raw, uint64(t.cfg.RawOverlap)))
	}
	if h.flags&noApp == 0 {
		keep = min(keep, h.app)
	} else {
		h.app = h.edge
	}
	if h.flags&noRaw != 0 || t.cfg.NoRaw {
		h.raw = h.edge
	}
	if t.cfg.Keep {
		if d == t.res.Dir {
			t.show(h, d)
		}
		keep = min(keep, h.shown)
	}
	h.need = keep
	if keep > h.start {
		t.advance(h)
	}
	if h.track != nil && len(h.track.oob) > 0 {
		h.track.oob = slices.DeleteFunc(h.track.oob, func(o uint64) bool { return o < h.start })
	}
	if t.cfg.Inline {
		t.dropNodes(h)
	} else if h.track != nil {
		t.dropSpans(h, min(acked, h.edge))
	}
	t.trim(h)
	h.settle(t)
}

// settle moves a half without data along.
func (h *half) settle(t *Tracker) {
	if len(h.data) == 0 {
		h.start = h.edge
		if h.track != nil {
			h.track.holes = h.track.holes[:0]
		}
	}
	if t.cfg.NoRaw || h.flags&noRaw != 0 {
		h.raw = h.edge
	}
	if h.flags&noApp != 0 {
		h.app = h.edge
	}
}

// advance lets go of the bytes before need, when moving the rest is cheap.
func (t *Tracker) advance(h *half) {
	n := int(min(h.need-h.start, uint64(len(h.data))))
	if rest := len(h.data) - n; n >= rest || n >= 1<<16 {
		h.compact(n)
	}
}

func (h *half) compact(n int) {
	h.data = h.data[:copy(h.data, h.data[n:])]
	h.start += uint64(n)
}

// trim gives empty things back to their pools.
func (t *Tracker) trim(h *half) {
	if len(h.data) == 0 && h.data != nil {
		t.pool.put(h.data)
		h.data = nil
		h.start = h.edge
	}
	if tr := h.track; tr != nil && len(tr.nodes) == 0 && len(tr.spans) == 0 && len(tr.oob) == 0 && len(tr.holes) == 0 {
		t.tracks = append(t.tracks, tr)
		h.track = nil
	}
}

// dropSpans forgets the segments before offset to.
func (t *Tracker) dropSpans(h *half, to uint64) {
	tr := h.track
	if len(tr.spans) == 0 || tr.spans[0].end > to && len(tr.spans) < 64 {
		return
	}
	n := 0
	for _, sp := range tr.spans {
		if sp.end > to {
			tr.spans[n] = sp
			n++
		}
	}
	tr.spans = tr.spans[:n]
}

// drop gives everything of h back.
func (t *Tracker) drop(h *half) {
	if h.data != nil {
		t.pool.put(h.data)
		h.data = nil
	}
	if tr := h.track; tr != nil {
		for i := range tr.nodes {
			t.pool.put(tr.nodes[i].data)
		}
		clear(tr.nodes)
		tr.nodes, tr.spans, tr.oob, tr.holes, tr.bytes = tr.nodes[:0], tr.spans[:0], tr.oob[:0], tr.holes[:0], 0
		t.tracks = append(t.tracks, tr)
		h.track = nil
	}
}

// urgent applies the policy for the byte that the urgent pointer marks: the one
// before it (RFC 1122 §4.2.2.4 meant the one at it, nobody does so, RFC 6093).
// The byte keeps its place in the stream, so that what comes again can be
// compared; App leaves it out.
func (t *Tracker) urgent(h *half, g *segment, a int64) {
	if t.cfg.Urgent == UrgentDrop {
		if t.cfg.Inline {
			t.res.Drop = CauseUrgent
		}
		return
	}
	at := a + int64(g.urg) - 1
	if int(g.urg) > g.n || at < int64(h.app) {
		return
	}
	tr := t.tracked(h)
	for _, o := range tr.oob {
		if o == uint64(at) {
			return
		}
	}
	if len(tr.oob) >= maxOOB {
		t.event(ReassemblyUrgentOOBLimitReached)
		return
	}
	t.UrgentOOB++
	tr.oob = append(tr.oob, uint64(at))
}

// cut shortens the piece from … to at the first byte that is left out; skip
// says that from itself is one.
func (h *half) cut(from, to uint64) (end uint64, skip bool) {
	if h.track == nil {
		return to, false
	}
	for _, o := range h.track.oob {
		switch {
		case o == from:
			return to, true
		case o > from && o < to:
			to = o
		}
	}
	return to, false
}
