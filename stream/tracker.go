package stream

import (
	"encoding/binary"
	"net/netip"

	"github.com/garita/garita/packet"
)

// Urgent says what becomes of bytes that the urgent pointer marks (RFC 6093).
type Urgent uint8

const (
	UrgentInline Urgent = iota // they are part of the stream, as nearly all receivers read them today
	UrgentDrop                 // inline: drop the packet
	UrgentOOB                  // the marked byte is not part of the stream
	UrgentGap                  // it is left out and shows as a gap
)

// Config is Suricata's stream section. The zero value has Suricata's defaults
// for detection; set Inline to intercept.
type Config struct {
	// Inline makes data available with the packet that carries it, see the
	// package's comment. Otherwise it is available when acknowledged.
	Inline bool
	// Strict refuses inline what Suricata lets pass although some receiver might
	// make of it what was not inspected: payload that no state of the session
	// takes, data behind a reset that its receiver may not have taken.
	Strict bool
	// Midstream picks up sessions whose start was not seen.
	Midstream bool
	// AsyncOneside follows sessions of which only one side is seen.
	AsyncOneside bool
	// KeepInvalid lets packets pass that do not fit their session (inline).
	KeepInvalid bool
	// CheckOverlap looks for segments that bring other bytes for a place that
	// already has some (an event). Always on inline.
	CheckOverlap bool
	// LiberalTimestamps takes all receivers for Linux in this: a time stamp may
	// be one less than the last.
	LiberalTimestamps bool
	// Keep holds on to what was given away for as long as Suricata does, so that
	// it can be shown (Kept).
	Keep bool
	// NoRaw: nobody calls Raw.
	NoRaw  bool
	Urgent Urgent
	// MaxSyn and MaxSynAck are how many different ones of a session are kept
	// until it is clear which counts; 0 means 10 and 5. At most 16.
	MaxSyn, MaxSynAck int
	// Depth is the number of bytes of each direction that are followed; 0 means
	// 1 MiB, a negative one no limit.
	Depth int64
	// ChunkToServer and ChunkToClient are the bytes that Raw inspects at once;
	// 0 means 2560.
	ChunkToServer, ChunkToClient int
	// RawOverlap is how many bytes of the last chunk Raw shows again before the
	// next one, for detection; Suricata shows none, and misses what lies across.
	RawOverlap int
	// Memcap is the byte budget of all streams of the tracker; 0 means 256 MiB.
	Memcap int64
	// FlowMemcap is the byte budget of one direction of a session; 0 means what
	// Depth needs, 8 MiB if that is unlimited.
	FlowMemcap int64
	// MemcapPolicy applies when a budget is used up, MidstreamPolicy to packets
	// without a session.
	MemcapPolicy, MidstreamPolicy Exception
	// HostOS names the policies of receivers; the longest prefix wins, and BSD
	// holds for the rest. Read it as Suricata's host-os-policy.
	HostOS []HostPolicy
}

// Counters tell what a tracker has done. The names are Suricata's where it has
// the counter.
type Counters struct {
	Sessions        uint64 // sessions begun
	Midstream       uint64 // of these, picked up in the middle
	Invalid         uint64 // packets that did not fit their session
	Conflicts       uint64 // packets dropped because they changed what was refused
	Rewritten       uint64 // packets with bytes that had to be overwritten
	Overlaps        uint64 // segments that overlapped others
	OverlapDiffData uint64 // of these, with other bytes
	Gaps            uint64 // times data was missing for good
	DepthReached    uint64 // directions that passed the depth
	MemcapDrops     uint64 // segments not kept: the budget of all was used up
	LimitDrops      uint64 // segments not kept: the budget of their direction was used up
	AckUnseen       uint64 // acknowledgements of data that was not seen
	UrgentOOB       uint64 // bytes left out of the stream as urgent
	RolledBack      uint64 // packets that were refused
}

// Tracker follows sessions on behalf of one goroutine. Make it with New.
type Tracker struct {
	cfg     Config
	depth   uint64
	limit   int64
	chunk   [2]uint64
	hosts   hostTable
	pool    pool
	seg     segment
	res     Result
	undo    TCP
	pending pending
	ahead   pending   // out of order and kept already, when not strict
	ending  bool      // not strict, and a side of the session has ended
	repeat  pending   // the packet under Update, if it repeats what is there
	seen    bool      // the payload of the packet under Update was looked at
	safe    [2]uint64 // acknowledged before the packet under Update
	events  [12]Event
	edits   []Edit
	scratch []byte
	cutout  []byte    // what Raw showed, if bytes had to be left out
	rawTo   [2]uint64 // up to where Raw showed each direction
	tracks  []*track
	queues  []*synQueue
	unread  [2]bool // see Unread
	Counters
}

// pending is an inline segment out of order: it is kept when it goes on.
type pending struct {
	h    *half
	off  uint64
	data []byte
}

// New makes a tracker.
func New(cfg Config) *Tracker {
	def := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	def(&cfg.MaxSyn, 10)
	def(&cfg.MaxSynAck, 5)
	cfg.MaxSyn, cfg.MaxSynAck = min(cfg.MaxSyn, maxQueued), min(cfg.MaxSynAck, maxQueued)
	def(&cfg.ChunkToServer, 2560)
	def(&cfg.ChunkToClient, 2560)
	if cfg.Memcap <= 0 {
		cfg.Memcap = 256 << 20
	}
	if cfg.Depth == 0 {
		cfg.Depth = 1 << 20
	}
	if cfg.FlowMemcap <= 0 {
		cfg.FlowMemcap = 8 << 20
		if cfg.Depth > 0 {
			// A direction's data, and as much again for what waits out of order
			// in pieces and for rounding up.
			cfg.FlowMemcap = 2*cfg.Depth + 64<<10
		}
	}
	if cfg.MidstreamPolicy == Auto && cfg.Midstream {
		cfg.MidstreamPolicy = Ignore
	}
	cfg.MidstreamPolicy = cfg.MidstreamPolicy.resolve(cfg.Inline)
	cfg.MemcapPolicy = cfg.MemcapPolicy.resolve(cfg.Inline)
	t := &Tracker{
		cfg:   cfg,
		depth: ^uint64(0),
		limit: cfg.FlowMemcap,
		chunk: [2]uint64{uint64(cfg.ChunkToServer), uint64(cfg.ChunkToClient)},
		hosts: cfg.HostOS,
	}
	if cfg.Depth > 0 {
		t.depth = uint64(cfg.Depth)
	}
	t.pool.cap = cfg.Memcap
	t.edits = make([]Edit, 0, 16)
	return t
}

// CheckOverlap sets Config.CheckOverlap.
func (t *Tracker) CheckOverlap(on bool) { t.cfg.CheckOverlap = on }

// Inline says whether the tracker works inline; the other way is detection
// only.
func (t *Tracker) Inline() bool { return t.cfg.Inline }

// Memory is the number of bytes held for streams, of at most Config.Memcap.
func (t *Tracker) Memory() int64 { return t.pool.used }

// segment is the packet under Update, taken apart.
type segment struct {
	seq, ack  Seq
	flags     packet.TCPFlags
	dir       Dir
	win       uint32
	urg       uint16
	n         int // len(payload)
	payload   []byte
	sec       uint32 // packet time in seconds
	tsval     uint32
	tsecr     uint32
	hasTS     bool
	hasWScale bool
	wscale    uint8
	sackOK    bool
	tfo       bool
	signed    bool // MD5 or AO option (RFC 2385, 5925)
	sack      []byte
	p         *packet.Packet
}

func (g *segment) end() Seq { return g.seq.Add(g.n) }

func (g *segment) has(f packet.TCPFlags) bool { return g.flags&f != 0 }

// set takes p apart; false if it has no whole TCP header.
func (g *segment) set(p *packet.Packet, dir Dir) bool {
	h, ok := p.TCP()
	if !ok {
		return false
	}
	b := h.Bytes()
	g.p = p
	g.dir = dir
	g.seq = Seq(binary.BigEndian.Uint32(b[4:]))
	g.ack = Seq(binary.BigEndian.Uint32(b[8:]))
	g.flags = packet.TCPFlags(b[13])
	g.win = uint32(binary.BigEndian.Uint16(b[14:]))
	g.urg = binary.BigEndian.Uint16(b[18:])
	g.payload = p.Payload()
	g.n = len(g.payload)
	g.sec = uint32(p.Time / 1e9)
	g.hasTS, g.hasWScale, g.sackOK, g.tfo, g.signed, g.sack = false, false, false, false, false, nil
	o := b[20:]
	if len(o) == 12 && binary.BigEndian.Uint32(o) == 0x0101080a {
		g.hasTS = true
		g.tsval, g.tsecr = binary.BigEndian.Uint32(o[4:]), binary.BigEndian.Uint32(o[8:])
		return true
	}
	for len(o) > 1 && o[0] != 0 {
		if o[0] == 1 {
			o = o[1:]
			continue
		}
		n := int(o[1])
		if n < 2 || n > len(o) {
			break
		}
		switch o[0] {
		case 3:
			if n == 3 && !g.hasWScale {
				// More than 14 counts as 14 (RFC 7323 §2.3).
				g.hasWScale, g.wscale = true, min(o[2], 14)
			}
		case 4:
			g.sackOK = g.sackOK || n == 2
		case 5:
			if n > 2 {
				g.sack = o[2:n]
			}
		case 8:
			if n == 10 && !g.hasTS {
				g.hasTS = true
				g.tsval, g.tsecr = binary.BigEndian.Uint32(o[2:]), binary.BigEndian.Uint32(o[6:])
			}
		case 19, 29:
			g.signed = true
		case 34:
			g.tfo = true
		case 254: // experiment, with the magic number of Fast Open (RFC 7413)
			g.tfo = g.tfo || n >= 4 && binary.BigEndian.Uint16(o[2:]) == 0xf989
		}
		o = o[n:]
	}
	return true
}

// event notes an event of the packet, each once.
func (t *Tracker) event(e Event) {
	for _, x := range t.res.Events {
		if x == e {
			return
		}
	}
	if n := len(t.res.Events); n < len(t.events) {
		t.events[n] = e
		t.res.Events = t.events[:n+1]
	}
}

// Reused says whether p begins a new connection on the ports of s: a SYN for a
// session that is over. The caller then ends the flow and calls Update with a
// fresh TCP. Dir is the packet's direction in the old flow.
func (t *Tracker) Reused(s *TCP, p *packet.Packet, dir Dir) bool {
	h, ok := p.TCP()
	if !ok {
		return false
	}
	f := h.Flags()
	if f&packet.SYN == 0 || f&(packet.RST|packet.FIN) != 0 {
		return false
	}
	synAck := f&packet.ACK != 0
	if synAck && !t.cfg.Midstream && !t.cfg.AsyncOneside {
		return false
	}
	if s.state == None {
		return !synAck || dir == ToServer
	}
	if !synAck && dir == ToServer && s.flags&tfoIgnored != 0 {
		return true
	}
	// A repeated SYN, or SYN/ACK, of the session there is.
	if synAck == (dir == ToClient) && s.half[dir].isn == Seq(h.Seq()) {
		return false
	}
	return s.state >= LastAck || s.state == TimeWait
}

// Update says what p does to its session, in direction dir. It must be
// followed by Commit or Rollback before the next packet of any session of the
// tracker. A packet without a whole TCP header does nothing. Checksums are the
// caller's matter: a receiver ignores packets with wrong ones.
func (t *Tracker) Update(s *TCP, p *packet.Packet, dir Dir) *Result {
	r := &t.res
	*r = Result{Events: t.events[:0], Edits: t.edits[:0], Exception: Ignore, Dir: dir}
	t.pending, t.ahead = pending{}, pending{}
	t.seen, t.repeat = false, pending{}
	g := &t.seg
	if !g.set(p, dir) {
		return r
	}
	if t.cfg.Inline {
		t.undo = *s
	}
	before := s.state
	t.safe = [2]uint64{s.half[0].acked(), s.half[1].acked()}
	ok := t.follow(s, g)
	t.ending = !t.cfg.Strict && s.state >= FinWait1
	dir = r.Dir
	r.Established = before >= Established || s.state >= Established && g.n > 0
	if !ok {
		r.Invalid = true
		t.Invalid++
		if t.cfg.Inline && !t.cfg.KeepInvalid && r.Drop == NoCause {
			r.Drop = CauseInvalid
		}
	}
	if len(r.Edits) != 0 {
		t.Rewritten++
		t.edits = r.Edits[:0]
	}
	for d := range s.half {
		h := &s.half[d]
		if !t.cfg.Inline && s.flags&lossy == 0 && Dir(d) != dir && h.gap(t, Dir(d)) != 0 {
			s.flags |= lossy
		}
		r.Ready[d] = h.appReady(t, Dir(d))
		r.End[d] = h.ended(t) || s.state == Closed
		r.Depth[d] = h.flags&depthReached != 0
	}
	return r
}

// Commit lets the packet of the last Update take effect. Edits must have been
// applied to it. Pieces had from App and Raw are no longer valid.
func (t *Tracker) Commit(s *TCP) {
	if h := t.pending.h; h != nil {
		t.keep(h, t.pending.off, t.pending.data)
		t.pending = pending{}
	}
	for d := range s.half {
		h := &s.half[d]
		if h.flags&noApp != 0 && !t.rawPending(h) {
			// Nobody else passes over what is missing.
			if n := h.gap(t, Dir(d)); n != 0 {
				t.Gaps++
				t.skip(h, h.edge+n)
			}
		}
		t.prune(h, Dir(d))
	}
}

// Rollback makes it so that the packet of the last Update never was there,
// because it was dropped. What App gave away of it can not be taken back:
// those bytes stay as what the stream must have in that place, the parser gets
// them only once, and a segment that brings others is dropped (CauseConflict).
// If not inline, packets cannot be dropped, and Rollback is Commit.
func (t *Tracker) Rollback(s *TCP) {
	if !t.cfg.Inline {
		t.Commit(s)
		return
	}
	t.RolledBack++
	t.pending = pending{}
	now := *s
	*s = t.undo
	s.queue = now.queue
	for d := range s.half {
		h, n := &s.half[d], &now.half[d]
		h.data, h.start, h.track = n.data, n.start, n.track
		h.app = n.app
		h.beyond, h.beyondN = n.beyond, n.beyondN
		h.flags |= n.flags & (noReassembly | noApp | noRaw | finished)
		h.raw = min(n.raw, h.edge)
		// A half that was skipped forward over a gap stays where it is.
		h.edge = max(h.edge, h.start)
		if keep := max(h.edge, h.app) - h.start; keep < uint64(len(h.data)) {
			h.data = h.data[:keep]
		}
		t.trim(h)
	}
}

// Release gives the session's memory back. Call it when the flow ends; s is
// then as new.
func (t *Tracker) Release(s *TCP) {
	for d := range s.half {
		t.drop(&s.half[d])
	}
	if s.queue != nil {
		s.queue.n = 0
		t.queues = append(t.queues, s.queue)
	}
	*s = TCP{}
}

// Turn exchanges client and server of a session whose client was guessed wrongly
// (TCP.Guessed), in the middle of an Update. The Result is turned with it.
func (t *Tracker) Turn(s *TCP) {
	s.turn()
	t.undo.turn()
	r := &t.res
	r.Dir = r.Dir.Other()
	r.Ready[0], r.Ready[1] = r.Ready[1], r.Ready[0]
	r.End[0], r.End[1] = r.End[1], r.End[0]
	r.Depth[0], r.Depth[1] = r.Depth[1], r.Depth[0]
	t.safe[0], t.safe[1] = t.safe[1], t.safe[0]
	t.rawTo[0], t.rawTo[1] = t.rawTo[1], t.rawTo[0]
	for _, p := range [2]*pending{&t.pending, &t.ahead} {
		switch p.h {
		case &s.half[0]:
			p.h = &s.half[1]
		case &s.half[1]:
			p.h = &s.half[0]
		}
	}
}

func (s *TCP) turn() {
	s.half[0], s.half[1] = s.half[1], s.half[0]
	s.flags ^= turned
	ts, tc := s.flags&probeTS != 0, s.flags&probeTC != 0
	s.flags &^= probeTS | probeTC
	if ts {
		s.flags |= probeTC
	}
	if tc {
		s.flags |= probeTS
	}
}

// Finish makes everything that is there available to App and Raw, acknowledged
// or not, because nothing more will come. For detection at the end of a flow.
func (t *Tracker) Finish(s *TCP) {
	t.ahead, t.repeat = pending{}, pending{} // their packet is gone
	for d := range s.half {
		s.half[d].flags |= finished
	}
}

// Behind says whether there are bytes behind a hole that is never to be closed:
// once those before it were inspected, App goes on behind it.
func (t *Tracker) Behind(s *TCP, d Dir) bool {
	h := &s.half[d]
	return h.flags&(noReassembly|noApp) == 0 && h.gap(t, d) != 0 && !t.rawPending(h)
}

// PassedDepth says whether a direction has passed the depth.
func (t *Tracker) PassedDepth(s *TCP) bool {
	return (s.half[0].flags|s.half[1].flags)&depthReached != 0
}

// Stop ends the following of both directions: nothing of the session needs to
// be looked at any more (encrypted, decided, bypassed). States are still
// tracked; memory is given back.
func (t *Tracker) Stop(s *TCP) {
	for d := range s.half {
		t.StopDir(s, Dir(d))
	}
}

// StopDir is Stop for one direction.
func (t *Tracker) StopDir(s *TCP, d Dir) {
	h := &s.half[d]
	h.flags |= noReassembly
	t.drop(h)
	h.start, h.app, h.raw = h.edge, h.edge, h.edge
}

// StopApp says that App will not be called any more for a direction.
func (t *Tracker) StopApp(s *TCP, d Dir) { s.half[d].flags |= noApp }

// StopRaw says that Raw will not be called any more for a direction.
func (t *Tracker) StopRaw(s *TCP, d Dir) { s.half[d].flags |= noRaw }

// TriggerRaw makes raw data due although there is less than a chunk: the
// application parser has seen the end of a message. With window, Kept goes on
// showing some bytes of before. For detection only.
func (t *Tracker) TriggerRaw(s *TCP, d Dir, window bool) {
	h := &s.half[d]
	h.flags |= rawDue | rawTold
	if window {
		h.flags |= windowed
	}
}

func (t *Tracker) policy(h *half, dst netip.Addr) Policy {
	if h.policy == 0 {
		h.policy = uint8(t.hosts.lookup(dst)) + 1
	}
	return Policy(h.policy - 1)
}
