package stream

import "github.com/garita/garita/packet"

const (
	finFlag = packet.FIN
	synFlag = packet.SYN
	rstFlag = packet.RST
	ackFlag = packet.ACK
	urgFlag = packet.URG
)

// TCP is the state of one session. The zero value is a session of which
// nothing was seen. Keep it with the flow; Release it when the flow ends.
type TCP struct {
	half  [2]half // by sender: client, server
	flags sessionFlags
	state State
	prev  State     // before state
	queue *synQueue // different SYNs or SYN/ACKs, until one is answered
}

// State is how far the session has come.
func (s *TCP) State() State { return s.state }

// Midstream says whether the session was picked up in the middle.
func (s *TCP) Midstream() bool { return s.flags&midstream != 0 }

// Guessed says whether the client is only taken for one: the session was picked
// up at a segment that does not tell.
func (s *TCP) Guessed() bool { return s.flags&(midstream|midstreamSynAck) == midstream }

// Size is how many sequence numbers a direction's sender has used in its turn,
// the SYN's included, modulo 2^32.
func (s *TCP) Size(d Dir) uint32 { return uint32(s.half[d].nextSeq - s.half[d].isn) }

// Gap says whether bytes of a direction are missing for good.
func (s *TCP) Gap(d Dir) bool { return s.half[d].flags&gapSeen != 0 }

// Reset says whether the session was closed by a RST.
func (s *TCP) Reset() bool { return s.flags&byReset != 0 }

type sessionFlags uint32

const (
	midstream sessionFlags = 1 << iota
	midstreamEst
	midstreamSynAck
	timestamps // both sides use them
	async
	fourWay // both sides sent a SYN
	synWScale
	synSackOK
	sackOK
	tfo
	tfoIgnored
	evasion
	confirmed // a segment of the server followed the handshake
	byReset
	probeTS // a zero window probe to the server is out; to the client
	probeTC
	turned // what was taken for the client is the server
	lossy  // packets are missing here that were not missing there
)

const maxQueued = 16

// queued is what a SYN or SYN/ACK said.
type queued struct {
	seq, ack          Seq
	win, ts, sec      uint32
	hasTS, ws, sackOK bool
	wscale            uint8
}

type synQueue struct {
	n int
	q [maxQueued]queued
}

func (t *Tracker) setState(s *TCP, st State) {
	if s.state != st {
		s.prev, s.state = s.state, st
	}
}

// ackTo moves the acknowledged edge of h forward.
func ackTo(h *half, ack Seq) {
	if h.lastAck.Less(ack) {
		h.lastAck = ack
	}
}

// nextTo moves the sender's next sequence number. Of one-sided sessions the
// sender's own progress stands for the acknowledgements that are not seen.
func nextTo(s *TCP, h *half, seq Seq) {
	h.nextSeq = seq
	if s.flags&async != 0 && h.lastAck.Less(seq) {
		h.lastAck = seq
	}
}

// winTo opens the window of h; selectively acknowledged bytes count on top.
func (t *Tracker) winTo(h *half, g *segment) {
	w := h.lastAck.Add(int(h.window))
	for b := g.sack; len(b) >= 8; b = b[8:] {
		lo := Seq(uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3]))
		hi := Seq(uint32(b[4])<<24 | uint32(b[5])<<16 | uint32(b[6])<<8 | uint32(b[7]))
		if h.lastAck.LessEq(lo) && lo.Less(hi) && hi.LessEq(h.nextWin) {
			w = w.Add(hi.Sub(lo))
		}
	}
	if h.nextWin.Less(w) {
		h.nextWin = w
	}
}

// begin counts a session.
func (t *Tracker) begin(s *TCP, g *segment, mid bool) {
	t.Sessions++
	if mid {
		t.Midstream++
	}
	if t.cfg.AsyncOneside {
		s.flags |= async
	}
	s.half[g.dir].tcpFlags |= uint8(g.flags)
}

// follow takes the packet through the session; false if it does not fit. What
// is accepted at each state, and the events, are Suricata's.
func (t *Tracker) follow(s *TCP, g *segment) bool {
	if g.flags&ackFlag == 0 && g.ack != 0 {
		t.event(PktBrokenAck)
	}
	if s.state == None {
		return t.none(s, g)
	}
	x, y := &s.half[g.dir], &s.half[g.dir.Other()]
	x.tcpFlags |= uint8(g.flags)
	if s.flags&async != 0 && y.tcpFlags != 0 {
		s.flags &^= async
	}
	ok := true
	if !t.unchanged(s, g, x, y) {
		ok = t.dispatch(s, g, x, y, s.state)
	}
	if t.cfg.Strict && g.n > 0 && !t.seen {
		// Bytes that no state had a use for: some receiver might.
		return false
	}
	// A segment of a sender whose reset was taken: the reset was not his.
	if g.flags&rstFlag == 0 && y.flags&rstSeen != 0 && ok {
		y.flags &^= rstSeen
		s.flags &^= byReset
		t.event(SuspectedRstInject)
	}
	return ok
}

// unchanged recognises the packets that change nothing: keep-alives, probes, what
// is outdated.
func (t *Tracker) unchanged(s *TCP, g *segment, x, y *half) bool {
	plain := g.flags&(synFlag|finFlag|rstFlag) == 0
	if plain {
		if g.n <= 1 && g.ack == y.lastAck && g.seq == x.nextSeq-1 {
			x.flags |= keepAlive
			if t.cfg.Strict {
				t.insert(s, x, g) // its byte may be anything
			}
			return true
		}
		if g.n == 0 && g.win != 0 && y.flags&keepAlive != 0 && g.win<<y.wscale == y.window && g.ack == y.lastAck && g.seq == x.nextSeq {
			y.flags &^= keepAlive
			x.flags &^= keepAlive
			return true
		}
	}
	x.flags &^= keepAlive
	if s.flags&(probeTS|probeTC) != 0 {
		mine := probeTC // the probe that this packet may answer
		if g.dir == ToClient {
			mine = probeTS
		}
		answer := s.flags&mine != 0 && g.n == 0 && g.flags&(ackFlag|synFlag|finFlag|rstFlag) == ackFlag &&
			g.win == 0 && y.window == 0 && g.seq == x.nextSeq && g.ack == y.lastAck
		s.flags &^= mine
		if answer {
			return true
		}
	}
	if s.state >= Established && plain {
		finAck := g.flags == ackFlag && g.n == 0 && (s.state == TimeWait || s.state == CloseWait || s.state == LastAck) &&
			x.nextSeq+1 == g.seq && g.ack == y.nextSeq+1
		win := g.win << y.wscale
		update := g.n == 0 && g.win != 0 && win != y.window && g.ack == y.lastAck && g.seq == x.nextSeq
		if !finAck && !update {
			if s.state != Closed && t.badWindow(g, x, y, win) {
				t.event(PktBadWindowUpdate)
				return true
			}
			if g.n == 0 && g.flags&ackFlag != 0 && g.seq == x.nextSeq && g.ack.Less(y.lastAck) && !sackNews(g, y) {
				return true
			}
		}
	}
	if g.n > 0 {
		end := g.end()
		if x.flags&(noReassembly|gapSeen) == 0 && x.offset(end) <= int64(x.start) {
			t.event(PktSpuriousRetransmission)
			t.res.Retransmission = true
			t.seen = true
			return true
		}
		acked := x.lastAck
		if s.state == SynSent && !t.cfg.Strict {
			acked = 0 // nothing was acknowledged; Suricata then compares with 0
		}
		if end.LessEq(acked) {
			t.event(PktSpuriousRetransmission)
		}
	}
	return false
}

// badWindow tells a segment that would shrink the window so far that those to
// be expected no longer fit (Suricata's bug 1238).
func (t *Tracker) badWindow(g *segment, x, y *half, win uint32) bool {
	if win >= y.window {
		return false
	}
	diff := y.window - win
	if diff <= uint32(g.n) || !y.nextSeq.Less(g.ack) || !x.nextSeq.Less(g.seq) {
		return false
	}
	slack := uint32(g.ack - y.lastAck)
	if win > 1024 {
		slack += 32
	}
	return diff > slack
}

// sackNews says whether the packet acknowledges something selectively that
// lies behind the acknowledged edge.
func sackNews(g *segment, y *half) bool {
	for b := g.sack; len(b) >= 8; b = b[8:] {
		hi := Seq(uint32(b[4])<<24 | uint32(b[5])<<16 | uint32(b[6])<<8 | uint32(b[7]))
		if y.lastAck.Less(hi) {
			return true
		}
	}
	return false
}

func (t *Tracker) dispatch(s *TCP, g *segment, x, y *half, st State) bool {
	switch st {
	case SynSent:
		return t.synSent(s, g, x, y)
	case SynRecv:
		return t.synRecv(s, g, x, y)
	case Established:
		return t.established(s, g, x, y)
	case Closed:
		if t.cfg.Strict && s.flags&byReset == 0 {
			t.insert(s, x, g) // what comes again must be what it was
		}
		if g.has(rstFlag) {
			return true
		}
		if t.cfg.Strict && s.flags&byReset != 0 && x.flags&rstSeen != 0 && s.prev != Closed && s.prev != None {
			// The other side may not have had the reset, or not taken it.
			return t.dispatch(s, g, x, y, s.prev)
		}
		// The reset may have been forged: if its sender goes on, so does the
		// session.
		if x.flags&rstSeen == 0 && y.flags&rstSeen != 0 && s.prev != Closed && s.prev != None {
			if !t.dispatch(s, g, x, y, s.prev) {
				return false
			}
			if s.state == Closed {
				s.state = s.prev
			}
		}
		return true
	}
	return t.closing(s, g, x, y, st)
}

// none: no session yet.
func (t *Tracker) none(s *TCP, g *segment) bool {
	switch {
	case g.has(rstFlag):
		t.event(RstButNoSession)
		return false
	case g.has(finFlag):
		t.noSession()
		if !t.pickUp() || g.n == 0 {
			t.event(FinButNoSession)
			return false
		}
		t.middle(s, g)
		t.setState(s, FinWait1)
		s.half[g.dir].nextSeq = g.end() + 1
		t.insert(s, &s.half[g.dir], g)
	case g.flags&(synFlag|ackFlag) == synFlag|ackFlag:
		t.noSession()
		if !t.pickUp() && !t.cfg.AsyncOneside || !t.permissive() {
			return true
		}
		t.begin(s, g, true)
		t.setState(s, SynRecv)
		s.flags |= midstream | midstreamSynAck
		// Who answers is the server.
		if g.dir == ToServer {
			t.res.Swap = true
			s.half[0].tcpFlags, s.half[1].tcpFlags = s.half[1].tcpFlags, s.half[0].tcpFlags
			g.dir = ToClient
			t.res.Dir = ToClient
		}
		c, v := &s.half[ToServer], &s.half[ToClient]
		v.setISN(g.seq)
		v.nextSeq = g.seq + 1
		v.window = g.win
		v.lastAck = g.seq
		v.nextWin = v.lastAck.Add(int(v.window))
		c.setISN(g.ack - 1)
		c.nextSeq = g.ack
		c.lastAck = g.ack
		if g.hasWScale {
			c.wscale, v.wscale = g.wscale, 14
		}
		if g.hasTS {
			v.lastTS, c.lastTS = g.tsval, g.tsecr
			s.flags |= timestamps
			v.lastPkt = g.sec
			zeroTSFlags(c, v)
		}
		if g.sackOK {
			s.flags |= sackOK
		}
	case g.has(synFlag):
		t.begin(s, g, false)
		t.setState(s, SynSent)
		if g.dir == ToClient {
			// The table knew the flow from something older: a SYN tells who is
			// the client.
			t.res.Swap = true
			s.half[0].tcpFlags, s.half[1].tcpFlags = s.half[1].tcpFlags, s.half[0].tcpFlags
			g.dir = ToServer
			t.res.Dir = ToServer
		}
		c, v := &s.half[ToServer], &s.half[ToClient]
		c.setISN(g.seq)
		c.nextSeq = g.seq + 1
		if g.hasTS {
			c.lastTS, c.lastPkt = g.tsval, g.sec
			c.flags |= synTS
			if g.tsval == 0 {
				c.flags |= zeroTS
			}
		}
		v.window = g.win
		if g.hasWScale {
			s.flags |= synWScale
			v.wscale = g.wscale
		}
		if g.sackOK {
			s.flags |= synSackOK
		}
		if g.tfo {
			s.flags |= tfo
		}
		if g.n > 0 && g.tfo {
			nextTo(s, c, c.nextSeq.Add(g.n))
			t.insert(s, c, g)
		} else if t.cfg.Strict {
			// Few receivers keep it, but they may (RFC 9293 §3.4).
			t.insert(s, c, g)
		}
	case g.has(ackFlag):
		t.noSession()
		if !t.pickUp() {
			return true
		}
		t.middle(s, g)
		t.setState(s, Established)
		s.half[g.dir].nextSeq = g.end()
		t.insert(s, &s.half[g.dir], g)
	}
	return true
}

// noSession reports the exception that applies to packets without a session.
func (t *Tracker) noSession() {
	if t.cfg.MidstreamPolicy != Ignore {
		t.res.Exception, t.res.Why = t.cfg.MidstreamPolicy, CauseMidstream
	}
}

func (t *Tracker) permissive() bool {
	return t.cfg.MidstreamPolicy == Ignore || t.cfg.MidstreamPolicy == PassFlow
}

func (t *Tracker) pickUp() bool { return t.cfg.Midstream && t.permissive() }

func zeroTSFlags(a, b *half) {
	if a.lastTS == 0 {
		a.flags |= zeroTS
	}
	if b.lastTS == 0 {
		b.flags |= zeroTS
	}
}

// middle picks a session up at a segment of an unknown sender, who is taken
// for the client.
func (t *Tracker) middle(s *TCP, g *segment) {
	t.begin(s, g, true)
	s.flags |= midstream | midstreamEst | sackOK
	x, y := &s.half[g.dir], &s.half[g.dir.Other()]
	x.wscale, y.wscale = 14, 14 // unknown, so at its most
	x.setISN(g.seq - 1)
	x.window = g.win << x.wscale
	x.lastAck = g.seq
	x.nextWin = x.lastAck.Add(int(x.window))
	y.setISN(g.ack - 1)
	y.nextSeq = g.ack
	y.lastAck = g.ack
	y.nextWin = g.ack
	if g.hasTS {
		x.lastTS, y.lastTS = g.tsval, g.tsecr
		s.flags |= timestamps
		x.lastPkt = g.sec
		zeroTSFlags(x, y)
	}
}

// synAckUpdate takes what a SYN/ACK said into the session.
func (t *Tracker) synAckUpdate(s *TCP, q *queued) {
	t.setState(s, SynRecv)
	c, v := &s.half[ToServer], &s.half[ToClient]
	v.setISN(q.seq)
	v.nextSeq = q.seq + 1
	c.window = q.win
	if q.hasTS && c.flags&synTS != 0 {
		v.lastTS = q.ts
		s.flags |= timestamps
		v.lastPkt = q.sec
		if q.ts == 0 {
			v.flags |= zeroTS
		}
	} else {
		c.lastTS, v.lastTS = 0, 0
		c.flags &^= zeroTS
	}
	c.lastAck = q.ack
	v.lastAck = q.seq + 1
	c.wscale = 0
	if s.flags&synWScale != 0 && q.ws {
		c.wscale = q.wscale
	} else {
		v.wscale = 0 // scaling takes two (RFC 7323 §2.2)
	}
	s.flags &^= sackOK | fourWay
	if s.flags&synSackOK != 0 && q.sackOK {
		s.flags |= sackOK
	}
	v.nextWin = v.lastAck.Add(int(v.window))
	c.nextWin = c.lastAck.Add(int(c.window))
}

func (g *segment) queued() queued {
	q := queued{seq: g.seq, ack: g.ack, win: g.win, sec: g.sec, hasTS: g.hasTS, ws: g.hasWScale, sackOK: g.sackOK}
	if g.hasTS {
		q.ts = g.tsval
	}
	if g.hasWScale {
		q.wscale = g.wscale
	}
	return q
}

func (t *Tracker) queueOf(s *TCP) *synQueue {
	if s.queue == nil {
		if n := len(t.queues); n > 0 {
			s.queue, t.queues = t.queues[n-1], t.queues[:n-1]
		} else {
			s.queue = &synQueue{}
		}
	}
	return s.queue
}

func (t *Tracker) dropQueue(s *TCP) {
	if s.queue != nil {
		s.queue.n = 0
	}
}

// synTSOK looks for a server's answer that echoes a time stamp never sent.
func synTSOK(s *TCP, g *segment) bool {
	if g.dir == ToServer || !g.hasTS {
		return true
	}
	c := &s.half[ToServer]
	if c.flags&synTS != 0 {
		return c.lastTS == 0 || g.tsecr == 0 || g.tsecr == c.lastTS
	}
	return c.lastTS != 0 || g.tsecr == 0
}

func (t *Tracker) synSent(s *TCP, g *segment, x, y *half) bool {
	c, v := &s.half[ToServer], &s.half[ToClient]
	if g.flags&(synFlag|ackFlag) == synFlag|ackFlag && !g.has(rstFlag|finFlag) {
		if g.dir == ToServer {
			return t.splitHandshake(s, g, c, v)
		}
		if !g.tfo && s.flags&tfo == 0 {
			if g.ack != c.isn+1 {
				t.event(WHS3SynAckWithWrongAck)
				return false
			}
		} else {
			switch g.ack {
			case c.nextSeq:
			case c.isn + 1:
				// The data of the SYN was not taken; it will come again.
				c.nextSeq = c.isn
				t.event(WHS3SynAckTFODataIgnored)
				s.flags |= tfoIgnored
			default:
				t.event(WHS3SynAckWithWrongAck)
				return false
			}
			s.flags |= tfo
			t.setState(s, Established)
		}
		if !synTSOK(s, g) {
			q := s.queue.byTS(g.hasTS, g.tsecr)
			if q == nil {
				t.event(PktInvalidTimestamp)
				return false
			}
			t.applySyn(s, q)
		}
		t.dropQueue(s)
		q := g.queued()
		t.synAckUpdate(s, &q)
		if t.cfg.Strict {
			t.insert(s, x, g)
		}
		return true
	}
	if !synTSOK(s, g) {
		t.event(PktInvalidTimestamp)
		return false
	}
	switch {
	case g.has(rstFlag):
		if !t.rstOK(s, g, x, y) {
			return false
		}
		if g.dir == ToServer {
			if g.seq == c.isn && g.win == 0 && g.ack == c.isn+1 {
				v.flags |= rstSeen
				t.reset(s)
				t.dropQueue(s)
			}
		} else {
			c.flags |= rstSeen
			t.reset(s)
			t.dropQueue(s)
		}
	case g.has(finFlag):
	case g.has(synFlag):
		if g.dir == ToClient { // both sides open (RFC 9293 §3.5), or a split handshake
			s.flags |= fourWay
			v.setISN(g.seq)
			v.nextSeq = g.seq + 1
			if g.hasTS {
				v.lastTS, v.lastPkt = g.tsval, g.sec
				v.flags |= synTS
				if g.tsval == 0 {
					v.flags |= zeroTS
				}
			}
			v.window = g.win
			s.flags &^= synWScale | synSackOK
			v.wscale = 0
			if g.hasWScale {
				s.flags |= synWScale
				v.wscale = g.wscale
			}
			if g.sackOK {
				s.flags |= synSackOK
			}
			return true
		}
		now := queued{win: g.win, sec: g.sec, hasTS: g.hasTS, ws: g.hasWScale, sackOK: g.sackOK}
		if g.hasTS {
			now.ts = g.tsval
		}
		if g.hasWScale {
			now.wscale = g.wscale
		}
		was := queued{win: v.window, sec: c.lastPkt, hasTS: c.flags&synTS != 0, ws: s.flags&synWScale != 0, sackOK: s.flags&synSackOK != 0}
		if was.hasTS {
			was.ts = c.lastTS
		}
		if was.ws {
			was.wscale = v.wscale
		}
		if now != was {
			if q := t.queueOf(s); q.byTS(was.hasTS, was.ts) == nil {
				if q.n >= t.cfg.MaxSyn {
					t.event(WHS3SynFlood)
				} else {
					q.q[q.n] = was
					q.n++
				}
			}
		}
		t.applySyn(s, &now)
	case g.has(ackFlag):
		if !t.cfg.AsyncOneside {
			return true
		}
		// One-sided: the answer to the SYN is not seen.
		if g.seq != c.nextSeq {
			t.event(WHS3AsyncWrongSeq)
			return false
		}
		s.flags |= async
		t.setState(s, Established)
		t.dropQueue(s)
		c.window = g.win
		c.lastAck = g.seq
		c.nextWin = c.lastAck.Add(int(c.window))
		v.setISN(g.ack - 1)
		v.nextSeq, v.lastAck, v.nextWin = g.ack, g.ack, g.ack
		if s.flags&synWScale != 0 {
			c.wscale = 14
		}
		if g.hasTS && c.flags&synTS != 0 {
			s.flags |= timestamps
			c.flags &^= synTS
			c.lastPkt = g.sec
		} else {
			c.lastTS = 0
			c.flags &^= zeroTS
		}
		if s.flags&synSackOK != 0 {
			s.flags |= sackOK
		}
		nextTo(s, c, g.end())
		t.insert(s, c, g)
	}
	return true
}

// byTS finds the queued SYN that had this time stamp.
func (q *synQueue) byTS(has bool, ts uint32) *queued {
	if q == nil {
		return nil
	}
	for i := range q.q[:q.n] {
		if e := &q.q[i]; e.hasTS == has && (!has || e.ts == ts) {
			return e
		}
	}
	return nil
}

// applySyn takes what a SYN said into the session.
func (t *Tracker) applySyn(s *TCP, q *queued) {
	c, v := &s.half[ToServer], &s.half[ToClient]
	if q.hasTS {
		c.lastPkt, c.lastTS = q.sec, q.ts
		c.flags |= synTS
	}
	s.flags &^= synWScale | synSackOK
	v.wscale = 0
	if q.ws {
		s.flags |= synWScale
		v.wscale = q.wscale
	}
	if q.sackOK {
		s.flags |= synSackOK
	}
	v.window = q.win
}

// splitHandshake is a SYN/ACK of the client, after both sides sent a SYN.
func (t *Tracker) splitHandshake(s *TCP, g *segment, c, v *half) bool {
	if s.flags&fourWay == 0 {
		t.event(WHS3SynAckInWrongDirection)
		return false
	}
	if g.ack != v.isn+1 {
		t.event(WHS4SynAckWithWrongAck)
		return false
	}
	if g.seq != c.isn {
		t.event(WHS4SynAckWithWrongSyn)
		return false
	}
	t.setState(s, SynRecv)
	c.nextSeq = c.isn + 1
	v.window = g.win
	if g.hasTS && v.flags&synTS != 0 {
		c.lastTS, c.lastPkt = g.tsval, g.sec
		s.flags |= timestamps
		if g.tsval == 0 {
			c.flags |= zeroTS
		}
	} else {
		c.lastTS, v.lastTS = 0, 0
		v.flags &^= zeroTS
	}
	v.lastAck = g.ack
	c.lastAck = c.isn + 1
	v.wscale = 0
	if s.flags&synWScale != 0 && g.hasWScale {
		v.wscale = g.wscale
	}
	if s.flags&synSackOK != 0 && g.sackOK {
		s.flags |= sackOK
	}
	c.nextWin = c.lastAck.Add(int(c.window))
	v.nextWin = v.lastAck.Add(int(v.window))
	return true
}

func (t *Tracker) synRecv(s *TCP, g *segment, x, y *half) bool {
	c, v := &s.half[ToServer], &s.half[ToClient]
	switch {
	case g.has(rstFlag):
		if !t.rstOK(s, g, x, y) {
			return false
		}
		if s.flags&evasion != 0 {
			// After a wrong acknowledgement these take a reset for a stray.
			switch t.policy(x, g.p.Dst()) {
			case Linux, OldLinux, Solaris:
				return true
			}
		}
		t.reset(s)
		t.stamp(s, g, x, y)
	case g.has(finFlag):
		return t.stampOK(s, g, x, y) && t.fin(s, g, x, y)
	case g.flags&(synFlag|ackFlag) == synFlag|ackFlag:
		if g.dir == ToServer {
			t.event(WHS3SynAckToServerOnSynRecv)
			return false
		}
		if g.ack != c.lastAck {
			t.event(WHS3SynAckResendWithDifferentAck)
			return false
		}
		if g.seq != v.isn {
			q := t.queueOf(s)
			e := g.queued()
			for i := range q.q[:q.n] {
				o := q.q[i]
				o.sec = e.sec
				if o == e {
					return true
				}
			}
			if q.n >= t.cfg.MaxSynAck {
				t.event(WHS3SynAckFlood)
				return false
			}
			q.q[q.n] = e
			q.n++
		}
	case g.has(synFlag):
		if g.dir == ToClient {
			t.event(WHS3SynToClientOnSynRecv)
			return false
		}
		if g.seq != c.isn {
			t.event(WHS3SynResendDiffSeqOnSynRecv)
			return false
		}
	case g.has(ackFlag):
		return t.handshakeAck(s, g, x, y)
	}
	return true
}

// handshakeAck is the first segment behind the SYN/ACK.
func (t *Tracker) handshakeAck(s *TCP, g *segment, x, y *half) bool {
	c, v := &s.half[ToServer], &s.half[ToClient]
	if s.queue != nil {
		for i := range s.queue.q[:s.queue.n] {
			if q := &s.queue.q[i]; q.seq == g.ack-1 && q.ack == g.seq {
				t.synAckUpdate(s, q)
				break
			}
		}
	}
	if !t.stampOK(s, g, x, y) {
		return false
	}
	if s.flags&fourWay != 0 && g.dir == ToClient {
		if g.seq != v.nextSeq {
			t.event(WHS4WrongSeq)
			return false
		}
		if !t.ackOK(s, g, c) {
			t.event(WHS4InvalidAck)
			return false
		}
		t.stamp(s, g, x, y)
		ackTo(c, g.ack)
		nextTo(s, v, v.nextSeq.Add(g.n))
		c.window = g.win << c.wscale
		c.nextWin = c.lastAck.Add(int(c.window))
		t.setState(s, Established)
		t.insert(s, v, g)
		return true
	}
	missed := false // the last packet of the handshake
	if g.dir == ToClient && s.flags&(midstreamSynAck|tfo) == 0 {
		if t.cfg.Inline {
			// Inline nothing is missed; what the server says before the client
			// has confirmed it may be an injection.
			if g.n > 0 && g.ack == c.lastAck && g.seq == v.nextSeq {
				t.event(WHS3AckDataInject)
			} else {
				t.event(WHS3AckInWrongDir)
			}
			return false
		}
		missed = true
	}
	switch {
	case g.seq == c.nextSeq && g.ack == v.nextSeq:
		t.stamp(s, g, x, y)
		ackTo(v, g.ack)
		nextTo(s, c, c.nextSeq.Add(g.n))
		v.window = g.win << v.wscale
		v.nextWin = v.lastAck.Add(int(v.window))
		if s.flags&midstream != 0 {
			c.window = g.win << c.wscale
			c.nextWin = c.lastAck.Add(int(c.window))
			if s.flags&midstreamSynAck == 0 {
				c.wscale, v.wscale = 14, 14
				s.flags |= sackOK
			}
		}
		t.setState(s, Established)
		t.insert(s, c, g)
	case t.cfg.AsyncOneside && g.seq == v.nextSeq:
		s.flags |= async
		v.nextSeq = v.nextSeq.Add(g.n)
		v.lastAck = g.seq
		c.window = g.win << c.wscale
		c.lastAck = g.ack
		t.stamp(s, g, x, y)
		if s.flags&midstream != 0 {
			v.window = g.win
			v.nextWin = v.lastAck.Add(int(v.window))
			c.wscale, v.wscale = 14, 14
			s.flags |= sackOK
		}
		nextTo(s, v, v.nextSeq)
		t.setState(s, Established)
		t.insert(s, v, g)
	case g.seq == c.nextSeq:
		// Most receivers answer with a reset; Linux and Solaris do not.
		s.flags |= evasion
		t.event(WHS3RightSeqWrongAckEvasion)
		return false
	case g.dir == ToClient && !t.cfg.Inline && c.nextSeq.Less(g.seq) && c.lastAck.Less(g.ack):
		t.stamp(s, g, x, y)
		ackTo(c, g.ack)
		v.nextSeq = g.end()
		c.window = g.win << c.wscale
		c.nextWin = c.lastAck.Add(int(c.window))
		v.nextWin = v.lastAck.Add(int(v.window))
		t.setState(s, Established)
		t.insert(s, v, g)
	case c.nextSeq.Less(g.seq) && g.seq.LessEq(c.nextWin) && g.ack == v.nextSeq:
		t.stamp(s, g, x, y)
		c.nextSeq = g.end()
		ackTo(v, g.ack)
		v.window = g.win << v.wscale
		v.nextWin = v.lastAck.Add(int(v.window))
		if s.flags&midstream != 0 {
			c.window = g.win
			c.wscale, v.wscale = 14, 14
			s.flags |= sackOK
		}
		t.setState(s, Established)
		t.insert(s, c, g)
	case (missed || s.flags&tfo != 0) && g.ack == c.lastAck && g.seq == v.nextSeq:
		nextTo(s, v, g.end())
		v.window = g.win << v.wscale
		v.nextWin = v.lastAck.Add(int(v.window))
		t.setState(s, Established)
		t.insert(s, v, g)
	default:
		t.event(WHS3WrongSeqWrongAck)
		return false
	}
	return true
}

// reset closes the session by RST.
func (t *Tracker) reset(s *TCP) {
	s.flags |= byReset
	t.setState(s, Closed)
}
