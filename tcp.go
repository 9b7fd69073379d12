package garita

import (
	"encoding/binary"

	"github.com/garita/garita/app"
	"github.com/garita/garita/eve"
	"github.com/garita/garita/flow"
	"github.com/garita/garita/packet"
	"github.com/garita/garita/rule"
	"github.com/garita/garita/stream"
)

// segment gives p to its TCP session and the application what became readable
// by it, and fills in what the rules are to know of the stream. It returns the
// packet's direction, which the session may have turned round. A packet that
// the session refuses gets its verdict here.
//
// Unless the verdict is a drop, settle must follow once the verdict is final.
func (w *worker) segment(p *packet.Packet, f *flow.Flow[conn], dir app.Dir) (app.Dir, bool) {
	c, in := &f.Value, &w.in
	r := w.tcp.Update(&c.tcp, p, stream.Dir(dir))
	if r.Swap {
		w.turn(f, dir)
		dir = app.Dir(r.Dir)
	}
	w.events = w.events[:0]
	for _, e := range r.Events {
		w.events = append(w.events, e.String())
	}
	in.StreamEvents = w.events
	in.Established = r.Established
	in.InStream = r.Added
	if r.Established && f.State() == flow.New {
		w.flows.SetState(f, flow.Established)
	}
	if w.inline && len(r.Edits) > 0 && (p == &w.whole || p == &w.tunnel) {
		// What goes on are its fragments, or the packet around it: it cannot be
		// rewritten.
		r.Drop = stream.CauseConflict
	}
	if r.Drop == stream.CauseInvalid && w.lostLately(p) {
		r = w.pickUp(p, f, dir)
		in.Established, in.InStream = r.Established, r.Added
	}
	if w.inline && (r.Drop != stream.NoCause || r.Exception >= stream.DropPacket && r.Exception <= stream.Reject) {
		w.st.streamDrop(max(r.Drop, r.Why))
		w.refuse(p, f, dir, r)
		return dir, false
	}
	switch r.Exception {
	case stream.PassFlow:
		c.det.SetAction(rule.Pass)
	case stream.Bypass:
		c.det.SetAction(rule.Pass)
		w.bypass(f)
	case stream.PassPacket:
		w.pass = true
	}
	for i := range r.Edits {
		e := &r.Edits[i]
		if err := p.Replace(e.Off, e.Data); err != nil {
			w.st.EditsFailed++
		}
	}
	for d, yes := range c.beheaded {
		if yes && r.Taken && ((app.Dir(d) == dir) == w.inline || r.End[d]) && c.app != nil && c.app.Proto() == app.Unknown && !c.app.Done() {
			w.tellGap(c, app.Dir(d), 0, false)
		}
	}
	// The side that was acknowledged first: its bytes came first.
	for _, back := range [2]bool{true, false} {
		d := dir
		if back {
			d = dir.Other()
		}
		if w.feed(f, d) {
			d, dir = d.Other(), dir.Other()
		}
		if r.End[d] && c.app != nil {
			c.app.Close(d)
		}
	}
	if c.app != nil && c.app.Broken() && w.appError(p, f, dir) {
		w.tcp.Rollback(&c.tcp)
		return dir, false
	}
	for d := range c.det.StreamSize {
		c.det.StreamSize[d] = c.tcp.Size(stream.Dir(d))
	}
	in.Raw, in.RawOffset = w.tcp.Raw(&c.tcp, stream.Dir(dir))
	in.RawStart = in.RawOffset == 0
	in.RawEnd = r.End[dir]
	return dir, true
}

// turn exchanges the ends of a flow that began with an answer, and returns the
// direction that a packet of dir has then.
func (w *worker) turn(f *flow.Flow[conn], dir app.Dir) app.Dir {
	w.flows.Swap(f)
	c := &f.Value
	c.ttl[0], c.ttl[1] = c.ttl[1], c.ttl[0]
	c.beheaded[0], c.beheaded[1] = c.beheaded[1], c.beheaded[0]
	d := &c.det
	d.Packets[0], d.Packets[1] = d.Packets[1], d.Packets[0]
	d.Bytes[0], d.Bytes[1] = d.Bytes[1], d.Bytes[0]
	return dir.Other()
}

// lossMemory is how long after a loss sessions may be out of step, in
// nanoseconds: a sender that hears nothing repeats itself for about so long.
const lossMemory = 60e9

// lostLately says whether the kernel let packets of this queue pass unseen a
// short while ago, because it was full and the policy is to fail open. The
// kernel numbers packets before it finds out that it cannot hand them over, so
// gaps in the numbers tell.
func (w *worker) lostLately(p *packet.Packet) bool {
	return w.live && w.lostAt != 0 && p.Time-w.lostAt < lossMemory && w.e.cfg.Fail.Overload == Open
}

// pickUp follows a session anew from p on, after packets of it went by unseen:
// to insist on what was seen would cut a connection that the policy says to let
// live.
func (w *worker) pickUp(p *packet.Packet, f *flow.Flow[conn], dir app.Dir) *stream.Result {
	c := &f.Value
	w.tcp.Rollback(&c.tcp)
	w.tcp.Release(&c.tcp)
	if c.app != nil {
		c.app.Release()
		w.spare = append(w.spare, c.app)
		c.app, c.det.Conn = nil, nil
	}
	w.st.PickedUp++
	return w.tcp.Update(&c.tcp, p, stream.Dir(dir))
}

// refuse drops a packet that does not fit its session, as the stream's policy
// says.
func (w *worker) refuse(p *packet.Packet, f *flow.Flow[conn], dir app.Dir, r *stream.Result) {
	c := &f.Value
	if !w.some {
		// Without rules nothing is inspected, so there is nothing to evade:
		// zero rules drop zero packets.
		w.tcp.Commit(&c.tcp)
		return
	}
	why := packet.ReasonStream
	switch r.Why {
	case stream.CauseMemcap, stream.CauseLimit:
		why = packet.ReasonMemory
	case stream.CauseMidstream:
		why = packet.ReasonMidstream
	}
	act := dropAction
	p.Verdict = packet.Drop(why)
	switch r.Exception {
	case stream.DropFlow:
		c.det.SetAction(dropAction)
	case stream.Reject:
		c.det.SetAction(dropAction)
		act = rejectAction
		w.reply.reject(p, act)
	}
	w.tcp.Rollback(&c.tcp)
	if r.Drop == stream.NoCause { // by policy: not looked at
		w.logDrop(p, f, dir, nil, act)
		return
	}
	// What is odd about it can be the matter of a rule.
	in := &w.in
	in.Flow, in.Dir, in.Refused = &c.det, dir, true
	w.det.Inspect(in, &w.out)
	if !w.out.Action.Drops() {
		w.out.Action = act
	}
	w.apply(p, f, dir)
	if w.log.WantsPacketAnomalies() && len(p.Events())+len(in.StreamEvents) > 0 {
		w.log.Anomalies(p, w.flowInfo(f), in.StreamEvents)
	}
}

// appError applies the exception policy for an application whose bytes break
// its protocol; true if it drops the packet. Such a flow is not inspected any
// further by fields, so inline it is not let go on unseen.
func (w *worker) appError(p *packet.Packet, f *flow.Flow[conn], dir app.Dir) bool {
	c := &f.Value
	if c.broken {
		return false
	}
	c.broken = true
	act := dropAction
	switch w.appPolicy {
	case stream.PassFlow:
		c.det.SetAction(rule.Pass)
		return false
	case stream.Bypass:
		c.det.SetAction(rule.Pass)
		w.bypass(f)
		return false
	case stream.PassPacket:
		w.pass = true
		return false
	case stream.DropFlow:
		c.det.SetAction(dropAction)
	case stream.Reject:
		c.det.SetAction(dropAction)
		act = rejectAction
		w.reply.reject(p, act)
	case stream.DropPacket:
	default:
		return false
	}
	if !w.inline {
		return false
	}
	p.Verdict = packet.Drop(packet.ReasonApp)
	w.logDrop(p, f, dir, nil, act)
	return true
}

// tellGap makes missing bytes an event of the stream. As in Suricata that
// depends on how far the application has come: of a protocol that is not
// recognised yet the first bytes wait, so that what is missing behind them does
// not show, and a stream that lacks its very beginning shows it again and again.
func (w *worker) tellGap(c *conn, d app.Dir, off uint64, known bool) {
	if !known {
		if off != 0 {
			return
		}
		c.beheaded[d] = true
	}
	w.events = append(w.events, stream.ReassemblySeqGap.String())
	w.in.StreamEvents = w.events
}

// feed gives the application parser what a direction has ready. It says whether
// that made known that the client is the server: d is the other direction then.
func (w *worker) feed(f *flow.Flow[conn], d app.Dir) (turned bool) {
	c := &f.Value
	for {
		ch, ok := w.tcp.App(&c.tcp, stream.Dir(d))
		if !ok {
			return turned
		}
		a := w.connOf(f, app.TCP)
		if ch.Gap > 0 {
			w.tellGap(c, d, ch.Off, a.Proto() != app.Unknown)
			a.Gap(d, ch.Gap)
		}
		if len(ch.Data) > 0 {
			a.Feed(d, ch.Data)
			if a.Turned() {
				w.tcp.Turn(&c.tcp)
				d, turned = w.turn(f, d), true
			}
		}
		for e := app.ToServer; e <= app.ToClient; e++ {
			if a.MessageEnded(e) && flushes(a.Proto(), e) {
				w.tcp.TriggerRaw(&c.tcp, stream.Dir(e), a.Proto() == app.HTTP1 && e == app.ToServer)
			}
		}
		if ch.End {
			a.Close(d)
		}
		if len(a.Expected) > 0 {
			w.expected.add(&f.Key, c.id, a.Expected)
			a.Expected = a.Expected[:0]
		}
		if a.Done() {
			w.tcp.StopApp(&c.tcp, stream.ToServer)
			w.tcp.StopApp(&c.tcp, stream.ToClient)
		}
	}
}

// flushes says whether the end of a message makes the raw stream of its
// direction due for inspection, as in Suricata: what is asked and answered in
// HTTP, DNS, DCERPC and PostgreSQL, what is answered in HTTP/2, records of TLS.
func flushes(p app.Proto, d app.Dir) bool {
	switch p {
	case app.HTTP2:
		return d == app.ToClient
	case app.HTTP1, app.DNS, app.TLS, app.DCERPC, app.PGSQL:
		return true
	}
	return false
}

// settle lets the packet that was last judged take effect in its TCP session,
// or not if it is dropped.
func (w *worker) settle(dropped bool) {
	f := w.open
	if f == nil {
		return
	}
	w.open = nil
	c := &f.Value
	if dropped {
		w.tcp.Rollback(&c.tcp)
		return
	}
	w.tcp.Commit(&c.tcp)
	if f.State() == flow.Bypassed {
		return
	}
	switch c.tcp.State() {
	case stream.LastAck, stream.TimeWait, stream.Closed:
		if f.State() != flow.Closed {
			w.flows.SetState(f, flow.Closed)
		}
	default:
		if f.State() == flow.New && c.tcp.State() >= stream.Established { // by the last of the handshake
			w.flows.SetState(f, flow.Established)
		}
		if f.State() == flow.Closed { // the reset was none
			w.flows.SetState(f, flow.Established)
		}
	}
}

// endFlow judges what waited for more bytes, writes the flow's record and lets
// its memory go.
func (w *worker) endFlow(f *flow.Flow[conn]) {
	c := &f.Value
	w.st.FlowsEnded++
	w.flowStats.Ended[f.State()]++
	if f.Key.Proto == packet.ProtoTCP {
		w.flowStats.EndedTCP[c.tcp.State()]++
	}
	w.out.Vars = nil
	w.log.Source(eve.EndOfFlow)
	defer w.log.Source(eve.Wire)
	if !c.det.Action().Drops() && (c.app != nil || f.Key.Proto == packet.ProtoTCP) {
		var open [2]bool
		for d := range open {
			open[d] = w.unfinished(c, app.Dir(d))
		}
		w.tcp.Finish(&c.tcp)
		for d := app.ToServer; d <= app.ToClient; d++ {
			if f.Key.Proto == packet.ProtoTCP && w.feed(f, d) {
				open[0], open[1] = open[1], open[0]
				w.feed(f, d) // of the other side, which is now this one
			}
			if c.app != nil {
				c.app.Close(d)
			}
		}
		for d := app.ToServer; d <= app.ToClient; d++ {
			w.in.Unfinished = open[d]
			w.judgeRest(f, d, true)
			w.in.Unfinished = false
			// What lies behind holes comes after what lies before them.
			for f.Key.Proto == packet.ProtoTCP && w.tcp.Behind(&c.tcp, stream.Dir(d)) {
				w.feed(f, d)
				w.judgeRest(f, d, true)
			}
		}
	}
	w.endPacket(&w.ending, f, app.ToServer)
	w.retire(&w.ending, f, true)
	if w.log.Wants(eve.Flow | eve.NetFlow) {
		w.logFlow(f)
	}
	if c.app != nil {
		c.app.Release()
		w.spare = append(w.spare, c.app)
		c.app, c.det.Conn = nil, nil
	}
	w.tcp.Release(&c.tcp)
}

// unfinished says whether a direction of a TCP flow that ends was not judged to
// its end: as Suricata has it, that is so if the session is not closed; of a closed
// one, if there never were bytes in it, if nobody read them, or if there are
// transactions that it did not complete.
func (w *worker) unfinished(c *conn, d app.Dir) bool {
	switch s := c.tcp.State(); {
	case s == stream.None:
		return false
	case s == stream.SynSent:
		return d == app.ToServer
	case s != stream.Closed:
		return true
	}
	if w.tcp.Offset(&c.tcp, stream.Dir(d)) == 0 || c.app == nil || c.app.Proto() == app.Unknown || c.app.Proto() == app.Failed {
		return true
	}
	for _, tx := range c.app.Transactions() {
		if !tx.Base().Done(d) {
			return true
		}
	}
	return w.tcp.RawWaits(&c.tcp, stream.Dir(d))
}

// flushRaw judges the bytes of both directions that nobody has looked at yet,
// because the rest of the flow is cipher text and is not looked at: for each a
// packet of its own, before the one at hand.
func (w *worker) flushRaw(f *flow.Flow[conn]) {
	c := &f.Value
	c.flushed = true
	at, from := w.in, w.log.Instead(eve.Flushed)
	for d := app.ToServer; d <= app.ToClient; d++ {
		if w.tcp.RawWaits(&c.tcp, stream.Dir(d)) {
			w.tcp.TriggerRaw(&c.tcp, stream.Dir(d), false)
			w.judgeRest(f, d, false)
		}
	}
	w.log.Instead(from)
	w.in = at
}

// judgeRest runs the rules once more on what waits of a direction, by a packet
// without payload that stands for the end of the flow, or for none.
func (w *worker) judgeRest(f *flow.Flow[conn], d app.Dir, end bool) {
	c, in := &f.Value, &w.in
	p := &w.ending
	w.endPacket(p, f, d)
	raw, off := w.tcp.Raw(&c.tcp, stream.Dir(d))
	in.Packet, in.Flow, in.Dir = p, &c.det, d
	in.Established = f.State() != flow.New
	in.InStream, in.EndOfFlow, in.Flush = true, end, !end
	in.Raw, in.RawOffset, in.RawStart, in.RawEnd = raw, off, off == 0, end
	in.StreamEvents = nil
	w.det.Inspect(in, &w.out)
	w.apply(p, f, d)
	if len(raw) > 0 {
		w.tcp.RawDone(&c.tcp, stream.Dir(d))
	}
}

// endPacket makes p a packet of f without payload.
func (w *worker) endPacket(p *packet.Packet, f *flow.Flow[conn], d app.Dir) {
	k := &f.Key
	src, dst, sp, dp := k.SrcAddr(), k.DstAddr(), k.SrcPort, k.DstPort
	if d == app.ToClient {
		src, dst, sp, dp = dst, src, dp, sp
	}
	b := w.endBuf[:0]
	n := 8
	if k.Proto == packet.ProtoTCP {
		n = 20
	}
	if src.Is4() {
		b = append(b, 0x45, 0, 0, byte(20+n), 0, 0, 0, 0, 64, k.Proto, 0, 0)
		s4, d4 := src.As4(), dst.As4()
		b = append(append(b, s4[:]...), d4[:]...)
	} else {
		b = append(b, 0x60, 0, 0, 0, 0, byte(n), k.Proto, 64)
		s6, d6 := src.As16(), dst.As16()
		b = append(append(b, s6[:]...), d6[:]...)
	}
	b = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(b, sp), dp)
	switch k.Proto {
	case packet.ProtoTCP:
		b = append(b, 0, 0, 0, 0, 0, 0, 0, 0, 5<<4, byte(packet.ACK), 0, 0, 0, 0, 0, 0)
	default:
		b = append(b, 0, 8, 0, 0)
	}
	w.endBuf = b
	*p = packet.Packet{Data: b, Time: max(f.Last, w.now), Number: w.lastNumber}
	p.Decode()
	p.Link = w.lastLink
}
