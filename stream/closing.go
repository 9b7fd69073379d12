package stream

func (t *Tracker) established(s *TCP, g *segment, x, y *half) bool {
	switch {
	case g.has(rstFlag):
		if !t.rstOK(s, g, x, y) {
			return false
		}
		t.reset(s)
		if t.cfg.Strict {
			t.maybeReset(s, g, x, y)
			return true
		}
		y.nextSeq = g.ack
		x.nextSeq = g.end()
		if g.dir == ToClient {
			x.nextSeq++
		}
		x.window = g.win << x.wscale
		t.resetData(s, g, x, y)
	case g.has(finFlag):
		return t.stampOK(s, g, x, y) && t.fin(s, g, x, y)
	case g.flags&(synFlag|ackFlag) == synFlag|ackFlag:
		switch {
		case g.dir == ToServer:
			t.event(EstSynAckToServer)
		case g.ack != y.lastAck:
			t.event(EstSynAckResendWithDifferentAck)
		case g.seq != x.isn:
			t.event(EstSynAckResendWithDiffSeq)
		case s.flags&confirmed != 0:
			t.event(EstSynAckResend)
		default: // the server has not had the last packet of the handshake
			return true
		}
		return false
	case g.has(synFlag):
		switch {
		case g.dir == ToClient:
			t.event(EstSynToClient)
		case g.seq != x.isn:
			t.event(EstSynResendDiffSeq)
		default:
			t.event(EstSynResend)
		}
		return false
	case g.has(ackFlag):
		if !t.stampOK(s, g, x, y) {
			return false
		}
		if g.dir == ToClient {
			s.flags |= confirmed
		}
		return t.data(s, g, x, y)
	}
	return true
}

// data is the ordinary segment of an established session.
func (t *Tracker) data(s *TCP, g *segment, x, y *half) bool {
	probe := probeTC
	if g.dir == ToClient {
		probe = probeTS
	}
	if s.flags&probe != 0 && g.ack == y.nextSeq+1 {
		t.event(EstAckZWPData)
	} else if !t.ackOK(s, g, y) {
		t.event(EstInvalidAck)
		if t.cfg.Strict && g.n == 0 && g.seq == x.nextSeq && y.nextWin.Less(g.ack) {
			// More than a window went by unseen, as when the queue overflows
			// and is to fail open: the window goes on from here, or nothing
			// behind it would ever be let through again.
			ackTo(y, g.ack)
			y.window = g.win << y.wscale
			t.winTo(y, g)
			t.AckUnseen++
		}
		// The receiver ignores it. Without data there is nothing to be fooled
		// by, and it may pass. Suricata lets it pass with data too.
		return !t.cfg.Strict || g.n == 0
	}
	end := g.end()
	other := ToClient
	if s.flags&turned != 0 {
		other = ToServer
	}
	if g.dir == other && s.flags&(midstream|midstreamEst) == midstream|midstreamEst {
		// The first segment of the other side tells its window.
		x.window = g.win << x.wscale
		x.nextWin = x.lastAck.Add(int(x.window))
		s.flags &^= midstreamEst
	}
	switch {
	case g.n <= 1 && g.seq == x.nextSeq-1: // keep-alive
	case x.lastAck.LessEq(end):
	case s.flags&async != 0:
		ackTo(x, g.seq)
	case t.cfg.AsyncOneside && s.flags&midstream != 0 && g.dir == ToServer && (x.nextSeq == g.seq || x.lastAck == x.isn+1):
		ackTo(x, g.seq)
		s.flags |= async
	case x.nextSeq.Less(x.lastAck) && x.nextSeq.Less(end):
		// Data that was acknowledged before it was seen.
	default:
		t.event(EstPktBeforeLastAck)
		t.res.Retransmission = g.n > 0
		t.seen = true
		return true
	}
	if !t.cfg.Strict && x.nextSeq.LessEq(end) && (g.n != 1 || g.seq != x.nextSeq || x.window != 0) {
		nextTo(s, x, end) // out of the window or not: so Suricata
	}
	zwp := g.n == 1 && g.seq == x.nextSeq && x.window == 0
	inWindow := zwp || end.LessEq(x.nextWin) || s.flags&(midstream|async) != 0
	if !inWindow && t.cfg.Strict && x.insists(g) {
		inWindow, x.nextWin = true, end
	}
	if !inWindow {
		t.event(EstPacketOutOfWindow)
		return !t.cfg.Strict || g.n == 0
	}
	if zwp {
		s.flags |= probeTS
		if g.dir == ToClient {
			s.flags = s.flags&^probeTS | probeTC
		}
		t.insert(s, x, g)
		return true
	}
	if x.nextSeq.LessEq(end) {
		nextTo(s, x, end)
	}
	y.window = g.win << y.wscale
	ackTo(y, g.ack)
	if s.flags&async == 0 && y.nextSeq.Less(y.lastAck) {
		t.AckUnseen++
	}
	t.stamp(s, g, x, y)
	t.winTo(y, g)
	t.insert(s, x, g)
	return true
}

// insists says whether a segment beyond the window came for the third time. Its
// sender then knows of a window that was not seen here, because the queue
// overflowed and is to fail open; refused for good, the connection would stand
// still. What it brings is followed like all that comes before its turn.
func (x *half) insists(g *segment) bool {
	if g.n == 0 || g.end().Sub(x.nextWin) > 16<<20 {
		return false
	}
	if x.beyond != g.seq {
		x.beyond, x.beyondN = g.seq, 0
	}
	x.beyondN++
	return x.beyondN > 2
}

// fin is a FIN while both sides are open.
func (t *Tracker) fin(s *TCP, g *segment, x, y *half) bool {
	if !t.ackOK(s, g, y) {
		t.event(FinInvalidAck)
		return false
	}
	end := g.end()
	if !x.lastAck.LessEq(g.seq) || !end.LessEq(x.nextWin) {
		t.event(FinOutOfWindow)
		return false
	}
	x.nextSeq = end
	if g.dir == ToServer {
		if g.has(synFlag) {
			t.event(FinSyn)
			return false
		}
		t.setState(s, CloseWait)
	} else {
		t.setState(s, FinWait1)
		x.nextSeq++
	}
	y.window = g.win << y.wscale
	t.stamp(s, g, x, y)
	if y.nextSeq.Less(g.ack) {
		y.nextSeq = g.ack
	}
	if g.has(ackFlag) {
		ackTo(y, g.ack)
	}
	t.insert(s, x, g)
	return true
}

// maybeReset takes a reset for no more than it is where packets pass: its
// receiver, y, may never get it, or may not take it (RFC 5961 §3.2). Both sides
// are followed as before if they go on, and nothing counts as acknowledged
// because a reset said so.
func (t *Tracker) maybeReset(s *TCP, g *segment, x, y *half) {
	y.flags |= rstSeen
	t.insert(s, x, g) // few receivers read what it carries, but they may
}

// resetData is what an accepted RST acknowledges and carries.
func (t *Tracker) resetData(s *TCP, g *segment, x, y *half) {
	if g.has(ackFlag) && t.ackOK(s, g, y) {
		ackTo(y, g.ack)
	}
	ackTo(x, g.seq)
	t.stamp(s, g, x, y)
	t.insert(s, x, g)
}

// retransmission says whether the segment brings nothing that was not sent
// before.
func (t *Tracker) retransmission(g *segment, x *half) bool {
	if g.n == 0 {
		return false
	}
	end := g.end()
	if g.seq.Less(x.lastAck) && x.lastAck.Less(end) || end.LessEq(x.lastAck) || end.LessEq(x.nextSeq) {
		t.event(PktRetransmission)
		return true
	}
	return false
}

// closing is every state behind Established but Closed: one side or both have
// sent a FIN.
func (t *Tracker) closing(s *TCP, g *segment, x, y *half, st State) bool {
	if g.has(rstFlag) {
		if !t.rstOK(s, g, x, y) {
			return false
		}
		t.reset(s)
		if t.cfg.Strict {
			t.maybeReset(s, g, x, y)
		} else {
			t.resetData(s, g, x, y)
		}
		return true
	}
	if g.has(finFlag) && (st == LastAck || st == TimeWait) {
		return t.again(s, g, x)
	}
	if g.has(synFlag) && !(g.has(finFlag) && st != Closing) {
		t.event(ShutdownSynResend)
		return false
	}
	if !g.has(finFlag | ackFlag) {
		return true
	}
	if st == LastAck && g.dir == ToClient {
		return t.again(s, g, x)
	}
	if !t.stampOK(s, g, x, y) {
		return false
	}
	switch st {
	case FinWait1:
		if g.has(finFlag) {
			return t.finWait1Fin(s, g, x, y)
		}
		return t.finWait1Ack(s, g, x, y)
	case FinWait2:
		return t.finWait2(s, g, x, y)
	case Closing:
		return t.closingAck(s, g, x, y)
	case CloseWait:
		return t.closeWait(s, g, x, y)
	case LastAck:
		return t.lastAck(s, g, x, y)
	case TimeWait:
		return t.timeWait(s, g, x, y)
	}
	return true
}

// again is a segment that changes nothing. Where nothing may pass unseen, its
// bytes are compared with what was there before.
func (t *Tracker) again(s *TCP, g *segment, x *half) bool {
	if t.cfg.Strict {
		t.insert(s, x, g)
	}
	return true
}

// beyond says whether the segment begins behind what its sender may send.
func beyond(g *segment, x *half) bool {
	return x.lastAck.Add(int(x.window)).Less(g.seq)
}

func inNextWin(s *TCP, g *segment, x *half) bool {
	return g.end().LessEq(x.nextWin) || s.flags&(midstream|async) != 0
}

func (t *Tracker) finWait1Fin(s *TCP, g *segment, x, y *half) bool {
	again := t.retransmission(g, x)
	both := g.has(ackFlag)
	switch {
	case again:
	case both && g.dir == ToClient && g.seq == x.nextSeq-1 && g.ack == y.lastAck:
		again = true // the FIN itself
	case g.seq.Less(x.nextSeq-1) || beyond(g, x):
		t.event(Fin1FinWrongSeq)
		return false
	}
	if !t.ackOK(s, g, y) {
		t.event(Fin1InvalidAck)
		return false
	}
	if !again {
		if both {
			t.setState(s, TimeWait)
		} else {
			t.setState(s, Closing)
		}
		y.window = g.win << y.wscale
	}
	t.stamp(s, g, x, y)
	if !again || g.dir == ToServer || !both {
		if (y.nextSeq - 1).Less(g.ack) {
			y.nextSeq = g.ack
		}
		own := x.nextSeq
		if g.dir == ToClient || !both {
			own--
		}
		if own == g.seq {
			nextTo(s, x, g.end())
		}
		if both {
			ackTo(y, g.ack)
		}
	}
	t.insert(s, x, g)
	return true
}

func (t *Tracker) finWait1Ack(s *TCP, g *segment, x, y *half) bool {
	again := t.retransmission(g, x)
	if !t.ackOK(s, g, y) {
		t.event(Fin1InvalidAck)
		return false
	}
	if g.dir == ToServer {
		// Only an acknowledgement of the FIN counts.
		if !again && g.ack == y.nextSeq {
			if !inNextWin(s, g, x) {
				t.event(Fin1AckWrongSeq)
				return false
			}
			if g.seq == x.nextSeq {
				t.setState(s, FinWait2)
			}
			y.window = g.win << y.wscale
		}
	} else if !again {
		if !inNextWin(s, g, x) {
			t.event(Fin1AckWrongSeq)
			return false
		}
		if g.seq == x.nextSeq-1 {
			t.setState(s, FinWait2)
		}
		y.window = g.win << y.wscale
	}
	t.stamp(s, g, x, y)
	if (y.nextSeq - 1).Less(g.ack) {
		y.nextSeq = g.ack
	}
	own := x.nextSeq
	if g.dir == ToClient {
		own--
	}
	if own == g.seq {
		nextTo(s, x, g.end())
	}
	ackTo(y, g.ack)
	t.winTo(y, g)
	t.insert(s, x, g)
	return true
}

func (t *Tracker) finWait2(s *TCP, g *segment, x, y *half) bool {
	if !g.has(finFlag) {
		again := t.retransmission(g, x)
		if !t.ackOK(s, g, y) {
			t.event(Fin2InvalidAck)
			return false
		}
		if !again {
			if !inNextWin(s, g, x) {
				t.event(Fin2AckWrongSeq)
				return false
			}
			y.window = g.win << y.wscale
		}
		t.stamp(s, g, x, y)
		if x.nextSeq == g.seq {
			nextTo(s, x, x.nextSeq.Add(g.n))
		}
		ackTo(y, g.ack)
		t.winTo(y, g)
		t.insert(s, x, g)
		return true
	}
	again := g.seq == x.nextSeq-1 && g.ack == y.lastAck
	if !again {
		again = t.retransmission(g, x)
	}
	if !again && (g.seq.Less(x.nextSeq) || beyond(g, x)) {
		t.event(Fin2FinWrongSeq)
		return false
	}
	if !t.ackOK(s, g, y) {
		t.event(Fin2InvalidAck)
		return false
	}
	if !again {
		t.setState(s, TimeWait)
		if g.dir == ToServer && x.nextSeq == g.seq {
			nextTo(s, x, x.nextSeq.Add(g.n))
		}
		y.window = g.win << y.wscale
	}
	t.finish(s, g, x, y)
	return true
}

// finish is the end that most of these states have in common.
func (t *Tracker) finish(s *TCP, g *segment, x, y *half) {
	t.stamp(s, g, x, y)
	if g.has(ackFlag) {
		// It may acknowledge what was not seen.
		if y.nextSeq.Less(g.ack) {
			y.nextSeq = g.ack
		}
		ackTo(y, g.ack)
	}
	t.insert(s, x, g)
}

func (t *Tracker) closingAck(s *TCP, g *segment, x, y *half) bool {
	again := t.retransmission(g, x)
	if g.seq != x.nextSeq {
		t.event(ClosingAckWrongSeq)
		return false
	}
	if !t.ackOK(s, g, y) {
		t.event(ClosingInvalidAck)
		return false
	}
	if !again {
		t.setState(s, TimeWait)
		y.window = g.win << y.wscale
	}
	t.finish(s, g, x, y)
	return true
}

func (t *Tracker) closeWait(s *TCP, g *segment, x, y *half) bool {
	again := t.retransmission(g, x)
	if g.has(finFlag) {
		if !again && (g.seq.Less(x.nextSeq) || beyond(g, x)) {
			t.event(CloseWaitFinOutOfWindow)
			return false
		}
		if !t.ackOK(s, g, y) {
			t.event(CloseWaitInvalidAck)
			return false
		}
		if !again {
			if g.dir == ToClient {
				t.setState(s, LastAck)
			}
			y.window = g.win << y.wscale
		}
		t.finish(s, g, x, y)
		return true
	}
	switch {
	case g.n > 0 && g.end().LessEq(x.lastAck):
		t.event(CloseWaitPktBeforeLastAck)
		t.res.Retransmission = true
		t.seen = true
		// Its receiver acknowledges it once more, and must see it to do so.
		return t.cfg.Strict
	case beyond(g, x):
		t.event(CloseWaitAckOutOfWindow)
		return false
	}
	if !t.ackOK(s, g, y) {
		t.event(CloseWaitInvalidAck)
		return false
	}
	if !again {
		y.window = g.win << y.wscale
	}
	if g.seq == x.nextSeq {
		nextTo(s, x, x.nextSeq.Add(g.n))
	}
	t.finish(s, g, x, y)
	return true
}

func (t *Tracker) lastAck(s *TCP, g *segment, x, y *half) bool {
	again := t.retransmission(g, x)
	if !t.ackOK(s, g, y) {
		t.event(LastAckInvalidAck)
		return false
	}
	if !again {
		switch {
		case g.seq.Less(x.nextSeq):
		case g.seq != x.nextSeq && g.seq != x.nextSeq+1:
			t.event(LastAckAckWrongSeq)
			return false
		default:
			t.setState(s, Closed)
		}
		y.window = g.win << y.wscale
	}
	t.finish(s, g, x, y)
	return true
}

func (t *Tracker) timeWait(s *TCP, g *segment, x, y *half) bool {
	again := t.retransmission(g, x)
	if !again {
		a, b := x.nextSeq, x.nextSeq+1
		if g.dir == ToClient {
			a, b = x.nextSeq-1, x.nextSeq
		}
		if g.seq != a && g.seq != b {
			if g.dir == ToClient && g.n > 0 && g.seq == x.lastAck {
				return t.again(s, g, x)
			}
			t.event(TimeWaitAckWrongSeq)
			return false
		}
	}
	if !t.ackOK(s, g, y) {
		t.event(TimeWaitInvalidAck)
		return false
	}
	if !again {
		t.setState(s, Closed)
		y.window = g.win << y.wscale
	}
	t.finish(s, g, x, y)
	return true
}

// ackOK checks an acknowledgement of what y sent.
func (t *Tracker) ackOK(s *TCP, g *segment, y *half) bool {
	if !g.has(ackFlag) || g.ack == y.lastAck {
		return true
	}
	switch {
	case y.lastAck.Less(g.ack):
		if g.ack.LessEq(y.nextWin) || s.flags&async != 0 {
			return true
		}
		// A refused SYN: no window is known yet.
		if s.state == SynSent && g.dir == ToClient && g.has(rstFlag) && g.ack == y.isn+1 {
			return true
		}
	case y.window == 0 || !g.ack.Less(y.lastAck.Add(-int(y.window))):
		return true
	}
	t.event(PktInvalidAck)
	return false
}

// rstOK checks a reset by the policy of its receiver.
func (t *Tracker) rstOK(s *TCP, g *segment, x, y *half) bool {
	if s.flags&lossy != 0 {
		return true // too little is known to be strict
	}
	if !t.stampOK(s, g, x, y) {
		return false
	}
	if g.has(ackFlag) && g.ack != 0 && !t.ackOK(s, g, y) {
		t.event(RstInvalidAck)
		return false
	}
	if g.signed {
		// Whether its receiver takes it depends on a key. See if the sender
		// goes on.
		y.flags |= rstSeen
	}
	if s.flags&async != 0 {
		return x.nextSeq.LessEq(g.seq)
	}
	if s.state == SynSent && g.dir == ToClient && x.isn == 0 {
		return true // the answer to a SYN; nothing is known of its sender
	}
	switch t.policy(x, g.p.Dst()) {
	case HPUX11:
		return x.nextSeq.LessEq(g.seq)
	case Linux, OldLinux, Solaris:
		return x.lastAck.LessEq(g.end()) && g.seq.Less(x.nextSeq.Add(int(x.window)))
	}
	return g.seq == x.nextSeq
}

const paws24Days = 24 * 24 * 60 * 60 // RFC 7323 §5.5

// stampOK checks the time stamp by the policy of its receiver (PAWS).
func (t *Tracker) stampOK(s *TCP, g *segment, x, y *half) bool {
	if s.flags&timestamps == 0 || !g.hasTS {
		return true
	}
	pol := t.policy(x, g.p.Dst())
	last, check := x.lastTS, true
	inOrder := x.nextSeq == g.seq
	if x.flags&zeroTS != 0 {
		switch pol {
		case Linux, Windows2k3:
			check = false
		case OldLinux, Windows, Vista:
			if inOrder {
				check = false
			}
		}
	}
	if pol == HPUX11 && !inOrder {
		check = false
	}
	if g.tsval == 0 {
		switch pol {
		case OldLinux, Windows, Windows2k3, Vista, Solaris:
		default:
			t.event(PktInvalidTimestamp)
			return false
		}
	}
	if !check {
		return true
	}
	diff := int32(g.tsval - last)
	if pol == Linux || t.cfg.LiberalTimestamps {
		diff++
	}
	lastPkt := x.lastPkt
	if lastPkt == 0 && s.flags&midstream != 0 {
		lastPkt = g.sec
	}
	stale := g.sec > lastPkt && g.sec-lastPkt > paws24Days
	if (diff < 0 || x.lastTS != 0 && stale) && !(inOrder && stale) {
		t.event(PktInvalidTimestamp)
		return false
	}
	return true
}

// stamp remembers the time stamp of an accepted segment.
func (t *Tracker) stamp(s *TCP, g *segment, x, y *half) {
	if s.flags&timestamps == 0 || !g.hasTS {
		return
	}
	if x.flags&zeroTS != 0 {
		switch t.policy(x, g.p.Dst()) {
		case Linux, Windows2k3:
			s.flags &^= timestamps
			return
		case OldLinux, Windows, Vista:
			x.flags &^= zeroTS
			x.lastTS = g.tsval
		}
	}
	if int32(g.tsval-x.lastTS) > 0 && x.nextSeq == g.end() {
		x.lastTS = g.tsval
	}
	x.lastPkt = g.sec
}
