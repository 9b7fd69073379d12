package garita

import (
	"fmt"
	"runtime/debug"

	"github.com/garita/garita/app"
	"github.com/garita/garita/detect"
	"github.com/garita/garita/eve"
	"github.com/garita/garita/flow"
	"github.com/garita/garita/packet"
	"github.com/garita/garita/rule"
	"github.com/garita/garita/stream"
)

// conn is what rides on a flow.
type conn struct {
	det        detect.Flow
	tcp        stream.TCP
	app        *app.Conn // nil until the flow has payload
	broken     bool      // an exception policy has been applied to its application layer
	id         uint64
	dropLogged [2]bool
	flushed    bool    // flushRaw was called
	beheaded   [2]bool // the stream lacks its beginning, and is not recognised
	alerts     uint32
	// eventsLogged is how many of the connection's events were written.
	eventsLogged int
	// judged is the number of the first transaction that each direction has not
	// finished: what a match in the stream is said to belong to.
	judged [2]uint64
	parent uint64 // the flow that announced this one, 0 if none
	ttl    [2][2]uint8
	inDev  uint32 // interface of the first packet
	vlans  [3]uint16
	nvlan  uint8
}

// worker judges the packets of one source. It belongs to one goroutine.
type worker struct {
	e      *Engine
	src    Source
	inline bool
	live   bool // a kernel waits for the verdicts
	queue  uint16

	pkts   []packet.Packet
	at     int           // the packet being judged, for the report of a panic
	inner  packet.Packet // what the packet that is judged carries
	tunnel packet.Packet // what was carried, while it is judged itself
	ending packet.Packet // stands for the end of a flow

	rules      *detect.Ruleset
	some       bool // there are rules
	det        *detect.Worker
	in         detect.Input
	out        detect.Outcome
	flows      *flow.Table[conn]
	tcp        *stream.Tracker
	defrag     *stream.Defrag
	whole      packet.Packet // put together from fragments
	events     []string      // scratch: names of stream events
	endBuf     []byte        // scratch: the packet that stands for the end of a flow
	lastNumber uint64
	lastLink   packet.LinkType
	open       *flow.Flow[conn] // its session waits for the packet's verdict; nil for none
	pass       bool             // an exception policy lets this packet go uninspected
	expected   expectations
	appPolicy  stream.Exception // for flows whose bytes break their protocol
	lastID     uint32           // the kernel's number of the packet before
	lostAt     int64            // when numbers were last missing; 0 for never
	key        flow.Key
	env        *app.Env
	spare      []*app.Conn
	log        *eve.Logger
	kept       []stream.Chunk // scratch: what is shown of a stream
	pieces     []eve.Piece
	reply      *replier
	now        int64
	nextID     uint64
	decoded    DecodeStats
	flowStats  FlowStats

	st counters
}

func newWorker(e *Engine, src Source, inline, live bool, burst int) *worker {
	w := &worker{
		e: e, src: src, inline: inline, live: live,
		pkts:  make([]packet.Packet, burst),
		flows: flow.NewTable[conn](e.cfg.Flow),
		env:   app.NewEnv(e.cfg.App),
	}
	sc := e.cfg.Stream
	sc.Inline = inline || sc.Inline
	sc.Strict = live && inline
	if live && sc.MidstreamPolicy == stream.Auto {
		sc.Midstream = true
	}
	if live && !e.cfg.NoDivert && e.cfg.Divert.OneSided() {
		// The other half of a handshake never comes here, and what follows
		// looks wrong without it.
		sc.AsyncOneside, sc.KeepInvalid = true, true
	}
	if live && sc.MemcapPolicy == stream.Auto && e.cfg.Fail.Memory == Open {
		// What comes in order needs no memory: dropping what does not costs the
		// sender a repetition, not the connection.
		sc.MemcapPolicy = stream.DropPacket
	}
	sc.Keep = e.cfg.Log != nil && (e.cfg.Eve.Payload || e.cfg.Eve.Printable)
	w.tcp = stream.New(sc)
	w.appPolicy = e.cfg.AppError
	if w.appPolicy == stream.Auto {
		w.appPolicy = stream.Ignore
		if inline && (!live || e.cfg.Fail.Malformed == Closed) {
			w.appPolicy = stream.DropFlow
		}
	}
	dc := e.cfg.Defrag
	dc.Inline = live && inline
	if dc.HostOS == nil {
		dc.HostOS = sc.HostOS
	}
	w.defrag = stream.NewDefrag(dc)
	if e.cfg.Log != nil {
		w.log = eve.NewLogger(e.cfg.Eve, e.cfg.Log, e.ifname)
	}
	w.useRules(e.rules.Load())
	return w
}

// useRules switches to a new set between two bursts. Flows keep their state.
func (w *worker) useRules(rs *detect.Ruleset) {
	w.rules = rs
	w.some = rs.Stats().Rules > 0
	w.tcp.Unread(stream.ToServer, !rs.ReadsStream(app.ToServer))
	w.tcp.Unread(stream.ToClient, !rs.ReadsStream(app.ToClient))
	w.env.Config.Frames = rs.WantsFrames() || w.log.Wants(eve.Frame)
	w.tcp.CheckOverlap(w.e.cfg.Stream.CheckOverlap || rs.WantsOverlaps())
	w.env.Config.HashFiles = w.e.cfg.App.HashFiles || rs.NeedsFileHashes()
	if w.log != nil {
		w.log.Use(rs)
		w.log.Fingerprints(w.e.fingerprints(rs))
	}
	if w.det == nil {
		w.det = detect.NewWorker(rs)
	} else {
		w.det.Use(rs)
	}
}

// idle says whether nobody looks at the packets: no rules, no handler, no log
// that wants flows. Then a live queue's are accepted as they come; a capture is
// replayed to see what the stages make of it.
func (w *worker) idle() bool {
	return w.live && !w.some && w.e.cfg.Handler == nil && w.log == nil && w.e.cfg.Fail.Malformed == Open
}

// run judges bursts until the source ends; the error is the source's.
func (w *worker) run() error {
	defer w.publish()
	if w.live {
		sharpTimer()
	}
	for {
		n, err := w.src.Receive(w.pkts)
		if err != nil {
			return err
		}
		if rs := w.e.rules.Load(); rs != w.rules {
			w.useRules(rs)
		}
		ps := w.pkts[:n]
		w.st.Packets += uint64(n)
		if w.idle() {
			for i := range ps {
				ps[i].Verdict = packet.Accept()
			}
			w.st.Accepted += uint64(n)
		} else {
			for i := 0; i < n; {
				i = w.judgeFrom(ps, i)
			}
			w.expire()
			w.log.Flush()
		}
		if err := w.src.Verdict(ps); err != nil {
			if err = w.verdictError(err); err != nil {
				return err
			}
		}
		if w.e.wantStats.Load() != w.st.generation {
			w.publish()
		}
		if w.live {
			coalesce(ps)
		}
	}
}

// judgeFrom judges ps from i on and returns where to go on: the end, or behind
// a packet that caused a panic. One deferred call a burst is all that a panic's
// catching costs.
func (w *worker) judgeFrom(ps []packet.Packet, i int) (next int) {
	defer func() {
		if v := recover(); v != nil {
			p := &ps[w.at]
			p.Verdict = w.e.cfg.Fail.Internal.verdict(packet.ReasonPanic)
			w.st.Panics++
			w.open = nil
			w.count(p)
			w.e.notify(Notice{
				Severity: Failure, Queue: w.queue,
				Text:   fmt.Sprintf("internal error while judging a packet, which gets the verdict of fail=%v: %v\n%s", w.e.cfg.Fail.Internal, v, debug.Stack()),
				Packet: append([]byte(nil), p.Data...),
			})
			next = w.at + 1
		}
	}()
	for ; i < len(ps); i++ {
		w.at = i
		p := &ps[i]
		w.judge(p)
		w.count(p)
	}
	return i
}

// judge gives p its verdict.
func (w *worker) judge(p *packet.Packet) {
	p.Decode()
	w.now, w.lastNumber, w.lastLink = p.Time, p.Number, p.Link
	w.decoded.link(p)
	w.decoded.packet(p)
	if w.live {
		if p.ID != w.lastID+1 && w.lastID != 0 {
			w.lostAt = p.Time
		}
		w.lastID = p.ID
	}
	inner := w.looksInto(p) && p.Inner(&w.inner, &w.e.cfg.Tunnels)
	if p.IsFragment() {
		w.fragment(p)
	} else {
		w.inspect(p, detect.Input{Packet: p, Carrier: inner})
	}
	if p.Malformed() != 0 {
		w.st.Malformed++
		if !p.Verdict.Dropped() && w.e.cfg.Fail.Malformed == Closed {
			p.Verdict = packet.Drop(packet.ReasonMalformed)
			w.logDrop(p, nil, app.ToServer, nil, dropAction)
		}
	}
	for d := 1; inner && !p.Verdict.Dropped(); d++ {
		w.log.Tunnel(p, d)
		in := &w.tunnel
		*in = w.inner
		in.Decode()
		w.decoded.packet(in)
		in.Verdict = packet.Verdict{}
		inner = d < maxTunnels && w.looksInto(in) && in.Inner(&w.inner, &w.e.cfg.Tunnels)
		w.inspect(in, detect.Input{Packet: in, Carrier: inner})
		if in.Verdict.Dropped() || in.Verdict.SetMark {
			p.Verdict = in.Verdict
		}
	}
	w.log.Source(eve.Wire)
	w.handle(p)
	// A capture goes on with answers to packets that we would have dropped.
	w.settle(p.Verdict.Dropped() && p.Number == 0)
}

// handle lets the handler judge what passed so far.
func (w *worker) handle(p *packet.Packet) {
	if !p.Verdict.Dropped() {
		if h := w.e.cfg.Handler; h != nil {
			v := p.Verdict
			p.Verdict = h(p)
			if v.SetMark && p.Verdict.Kind == packet.KindAccept && !p.Verdict.SetMark {
				p.Verdict.Mark, p.Verdict.SetMark = v.Mark, true
			}
			if p.Verdict.Kind == packet.Undecided {
				p.Verdict = w.e.cfg.Fail.Internal.verdict(packet.ReasonFailure)
			}
			if p.Verdict.Dropped() && p.Verdict.Reason == packet.ReasonNone {
				p.Verdict.Reason = packet.ReasonHandler
			}
			return
		}
		p.Verdict.Kind = packet.KindAccept
	}
}

// fragment judges a fragment, and the packet that it completes, if it does:
// without its last fragment nothing of that arrives.
func (w *worker) fragment(p *packet.Packet) {
	done, drop := w.defrag.Add(p, zone(p), &w.whole) // first: the rules see the events it finds
	w.inspect(p, detect.Input{Packet: p})
	switch {
	case p.Verdict.Dropped():
	case drop != stream.NoCause && w.inline:
		p.Verdict = packet.Drop(packet.ReasonStream)
		w.st.streamDrop(drop)
		w.logDrop(p, nil, app.ToServer, nil, dropAction)
	case done:
		w.whole.Verdict = packet.Verdict{}
		w.decoded.packet(&w.whole)
		w.log.Whole(p)
		w.inspect(&w.whole, detect.Input{Packet: &w.whole, Rebuilt: true})
		w.log.Source(eve.Wire)
		if w.whole.Verdict.Dropped() || w.whole.Verdict.SetMark {
			p.Verdict = w.whole.Verdict
		}
	}
}

// looksInto says whether what p may carry is judged too.
func (w *worker) looksInto(p *packet.Packet) bool {
	return w.e.cfg.IPIP || p.Proto() != packet.ProtoIPv4 || p.IPVersion() != 4
}

// maxTunnels bounds how many packets within packets are looked at.
const maxTunnels = 4

// inspect runs the rules on p within its flow and sets the verdict if they
// drop it.
func (w *worker) inspect(p *packet.Packet, known detect.Input) {
	w.settle(false) // of the packet around this one
	in := &w.in
	*in = known
	w.pass, w.out.Vars = false, nil
	if !tracked(p.Proto()) || !w.key.SetPacket(p, zone(p)) {
		w.det.Inspect(in, &w.out)
		w.apply(p, nil, app.ToServer)
		if w.log.WantsPacketAnomalies() && len(p.Events()) > 0 {
			w.log.Anomalies(p, nil, nil)
		}
		return
	}
	f, dir := w.track(p)
	if w.inline && f.Value.det.Action().Drops() {
		p.Verdict = packet.Drop(packet.ReasonFlow)
		w.logDrop(p, f, dir, nil, dropAction)
		return
	}
	if f.State() == flow.Bypassed {
		w.decided(p, f)
		return
	}
	in.Established = f.State() != flow.New
	added := false
	switch p.Proto() {
	case packet.ProtoTCP:
		if p.Malformed() == 0 && w.checksumOK(p) {
			if dir, added = w.segment(p, f, dir); p.Verdict.Dropped() {
				return
			}
		}
	case packet.ProtoUDP:
		// Like Suricata: a wrong checksum keeps segments from their stream, but
		// not datagrams from their parser.
		if b := p.Payload(); len(b) > 0 {
			a := w.connOf(f, app.UDP)
			a.Datagram(dir, b)
			if a.Turned() {
				dir = w.turn(f, dir)
			}
			if a.Broken() && w.appError(p, f, dir) {
				return
			}
		}
	}
	in.Flow, in.Dir = &f.Value.det, dir
	if c := &f.Value; !w.inline && !c.flushed && c.app != nil && c.app.Encrypted() && c.app.Proto() == app.SSH {
		w.flushRaw(f)
	}
	if w.log.Wants(eve.Frame) && f.Value.app != nil {
		w.logFrames(p, f, dir)
	}
	if w.pass {
		w.out.Bypass = false
	} else {
		w.det.Inspect(in, &w.out)
		w.apply(p, f, dir)
	}
	if added {
		if len(in.Raw) > 0 {
			w.tcp.RawDone(&f.Value.tcp, stream.Dir(dir))
		}
		w.open = f
	}
	if w.finished(f); f.State() == flow.Bypassed && !p.Verdict.Dropped() {
		w.decided(p, f)
	}
	if w.log.WantsPacketAnomalies() && len(p.Events())+len(in.StreamEvents) > 0 {
		w.log.Anomalies(p, w.flowInfo(f), in.StreamEvents)
	}
	w.retire(p, f, false)
}

// tracked says whether packets of an IP protocol have flows: those that
// Suricata tracks.
func tracked(proto uint8) bool {
	switch proto {
	case packet.ProtoTCP, packet.ProtoUDP, packet.ProtoICMP, packet.ProtoICMPv6, packet.ProtoSCTP, packet.ProtoESP:
		return true
	}
	return false
}

// checksumOK says whether a receiver would take p; if not, its bytes are no
// part of any stream. A kernel that forwards looks at no transport checksum, so
// on a live queue too it is looked at here, unless hardware has done so or the
// sum is still to be filled in: in a capture that shows in the sum itself.
func (w *worker) checksumOK(p *packet.Packet) bool {
	if w.e.cfg.IgnoreChecksums || w.live && p.Offload&packet.CsumNotVerified == 0 && p != &w.whole {
		return true
	}
	return p.ChecksumOK() || !w.live && p.ChecksumPartial()
}

// zone keeps flows apart that share addresses and ports: those of different
// VLANs.
func zone(p *packet.Packet) uint32 {
	var z uint32
	for _, v := range p.VLANs[:p.NVLAN] {
		z = z<<12 ^ z>>20 ^ uint32(v)
	}
	return z
}

// track finds or makes the flow of p, whose key is in w.key.
func (w *worker) track(p *packet.Packet) (*flow.Flow[conn], app.Dir) {
	f, d, fresh := w.flows.Get(&w.key, p.Time)
	var flags uint8
	if h, ok := p.TCP(); ok {
		flags = uint8(h.Flags())
		if !fresh && w.tcp.Reused(&f.Value.tcp, p, stream.Dir(d)) {
			w.flows.End(f, flow.Reused)
			f, d, fresh = w.flows.Get(&w.key, p.Time)
		}
	}
	c := &f.Value
	if fresh {
		w.nextID++
		c.id = w.flowID()
		c.det.Key = c.id
		c.det.Start = p.Time
		c.inDev = p.InDev
		w.flowStats.begin(w.key.Proto)
		if p != &w.tunnel {
			c.nvlan = uint8(copy(c.vlans[:], p.VLANs[:p.NVLAN]))
		}
	}
	length := len(p.Data) + len(p.L2)
	w.flows.Count(f, d, p.Time, length, flags)
	dir := app.Dir(d)
	if h, ok := p.IP(); ok {
		t, ttl := &c.ttl[dir], h.TTL()
		if c.det.Packets[dir] == 0 {
			*t = [2]uint8{ttl, ttl}
		}
		t[0], t[1] = min(t[0], ttl), max(t[1], ttl)
	}
	c.det.Packets[dir]++
	c.det.Bytes[dir] += uint64(length)
	return f, dir
}

// flowID makes the number by which records of one flow find together. It is
// below 2^53 so that JSON readers keep it exact.
func (w *worker) flowID() uint64 {
	x := (w.nextID + uint64(w.queue)<<40 + w.e.idSeed) * 0x9e3779b97f4a7c15
	x ^= x >> 29
	return x>>11 | 1
}

func (w *worker) connOf(f *flow.Flow[conn], t app.Transport) *app.Conn {
	c := &f.Value
	if c.app == nil {
		if n := len(w.spare); n > 0 {
			c.app = w.spare[n-1]
			w.spare = w.spare[:n-1]
		} else {
			c.app = &app.Conn{}
		}
		x := w.expected.take(&f.Key)
		if x != nil {
			c.parent = x.Owner
		}
		c.app.Reset(w.env, app.Hints{Transport: t, SrcPort: f.Key.SrcPort, DstPort: f.Key.DstPort, Midstream: c.tcp.Guessed(), HTTP: w.httpOf(f), Expected: x})
		c.det.Conn = c.app
	}
	return c.app
}

func rejects(a *detect.Alert) bool {
	if a.NewAction != rule.NoAction {
		return a.NewAction.IsReject()
	}
	return a.Info.Action.IsReject()
}

// httpOf is how the server of f reads HTTP; nil means as all do.
func (w *worker) httpOf(f *flow.Flow[conn]) *app.HTTPConfig {
	best := -1
	var h *app.HTTPConfig
	if len(w.e.cfg.HTTPServers) > 0 {
		dst := f.Key.DstAddr()
		for i := range w.e.cfg.HTTPServers {
			if s := &w.e.cfg.HTTPServers[i]; s.Net.Bits() > best && s.Net.Contains(dst) {
				best, h = s.Net.Bits(), s.HTTP
			}
		}
	}
	return h
}

// apply turns what the rules made of p into its verdict, edits and records.
func (w *worker) apply(p *packet.Packet, f *flow.Flow[conn], dir app.Dir) {
	o := &w.out
	w.st.Alerts += uint64(len(o.Alerts))
	w.st.Suppressed += uint64(o.Suppressed)
	w.st.Discarded += uint64(o.Discarded)
	w.st.RegexLimited += uint64(o.RegexLimited)
	if w.inline {
		for _, e := range o.Edits {
			if err := p.Replace(e.Off, e.Data); err != nil {
				w.st.EditsFailed++
			}
		}
		if v := verdictOf(o.Action); v.Dropped() {
			for i := range o.Alerts {
				if a := &o.Alerts[i]; a.Info == o.By && a.NewAction.Drops() {
					v.Reason = packet.ReasonRate
				}
			}
			if !p.Verdict.Dropped() {
				p.Verdict = v
			}
			if o.Action.IsReject() {
				w.reply.reject(p, o.Action)
			}
		}
	}
	if o.MarkMask != 0 {
		old := p.Mark
		if p.Verdict.SetMark {
			old = p.Verdict.Mark
		}
		p.Verdict.Mark, p.Verdict.SetMark = old&^o.MarkMask|o.Mark, true
	}
	if len(o.Alerts) > 0 || o.Tagged || len(o.Vars) > 0 {
		info := w.flowInfo(f)
		if f != nil && f.Value.app != nil {
			info.Guess = guess(f.Value.app, f.Value.judged[dir])
		}
		for i := range o.Alerts {
			a := &o.Alerts[i]
			a.Blocked = a.Blocked && (w.inline || p.Number != 0 && rejects(a)) // Suricata rejects as a sensor too
			if info != nil && w.log.WantsPayload() && info.Stream == nil && (a.Stream || a.Tx != nil) {
				info.Stream = w.streamed(f, dir)
			}
			w.log.Alert(p, info, dir, a, o.Action)
			if w.e.onAlert != nil {
				w.e.onAlert(p, a)
			}
		}
		if f != nil {
			f.Value.alerts += uint32(len(o.Alerts))
		}
		if len(o.Vars) > 0 && info != nil {
			w.log.Metadata(p, info)
		}
		if o.Tagged {
			w.log.Tagged(p, info, o.TaggedBy)
		}
	}
	if p.Verdict.Dropped() {
		var by *detect.Alert
		for i := range o.Alerts {
			if o.Alerts[i].Blocked {
				by = &o.Alerts[i]
				break
			}
		}
		w.logDrop(p, f, dir, by, o.Action)
	}
}

// streamed is what is there of a direction of f's stream, to be shown.
func (w *worker) streamed(f *flow.Flow[conn], dir app.Dir) []eve.Piece {
	w.kept = w.tcp.Kept(&f.Value.tcp, stream.Dir(dir), w.kept[:0])
	w.pieces = w.pieces[:0]
	for i := range w.kept {
		w.pieces = append(w.pieces, eve.Piece{Missing: w.kept[i].Gap, Data: w.kept[i].Data})
	}
	return w.pieces
}

// logFrames writes the records of frames that became complete: before the rules
// have seen them, who then lets them go.
func (w *worker) logFrames(p *packet.Packet, f *flow.Flow[conn], dir app.Dir) {
	for _, fr := range f.Value.app.Frames() {
		if fr.From == dir && !fr.Logged && fr.Done(dir) {
			fr.Logged = true
			w.log.Frame(p, w.flowInfo(f), fr)
		}
	}
	if !w.rules.WantsFrames() {
		f.Value.app.FramesInspected(dir)
	}
}

// guess is the transaction that a match outside of transactions is shown with.
func guess(c *app.Conn, id uint64) app.Tx {
	for _, tx := range c.Transactions() {
		if tx.Base().ID >= id {
			return tx
		}
	}
	return nil
}

// verdictOf is the one place where what the operator wrote becomes what the
// kernel hears.
func verdictOf(a rule.Action) packet.Verdict {
	if a.Drops() {
		return packet.Drop(packet.ReasonRule)
	}
	return packet.Accept()
}

// Actions that the engine takes by itself.
const (
	dropAction   = rule.Drop
	rejectAction = rule.RejectBoth
)

func (w *worker) logDrop(p *packet.Packet, f *flow.Flow[conn], dir app.Dir, by *detect.Alert, act rule.Action) {
	if w.log.Wants(eve.Drop) && w.inline {
		w.log.Drop(p, w.flowInfo(f), dir, p.Verdict.Reason, by, act)
	}
}

// flowInfo is what records say of f; nil for none.
func (w *worker) flowInfo(f *flow.Flow[conn]) *eve.FlowInfo {
	if f == nil {
		return nil
	}
	c := &f.Value
	i := &eve.FlowInfo{
		ID: c.id, Src: f.Key.SrcAddr(), Dst: f.Key.DstAddr(), SrcPort: f.Key.SrcPort, DstPort: f.Key.DstPort,
		Proto: f.Key.Proto, Start: f.Start, DropLogged: &c.dropLogged, Vars: &c.det, InDev: c.inDev,
		PacketVars: w.out.Vars, VLANs: c.vlans[:c.nvlan], Parent: c.parent,
		Packets: [2]uint64{f.Sides[0].Packets, f.Sides[1].Packets},
		Bytes:   [2]uint64{f.Sides[0].Bytes, f.Sides[1].Bytes},
	}
	if c.app != nil {
		i.AppKnown = true
		i.Txs = c.app.Transactions()
		i.App, i.AppOrig = c.app.Proto(), c.app.OrigProto()
		if i.App != app.FTPData {
			i.Parent = 0 // the announced port was used for something else
		}
		if i.AppOrig == app.FTPData {
			i.AppOrig = app.Unknown
		}
		i.AppTS, i.AppTC = c.app.ProtoOf(app.ToServer), c.app.ProtoOf(app.ToClient)
	}
	return i
}

// logTransactions writes the records that are due, by the packet that made them
// so, and what was odd about recognising the protocol.
func (w *worker) logTransactions(p *packet.Packet, f *flow.Flow[conn], c *app.Conn, d app.Dir) {
	var info *eve.FlowInfo
	for n := &f.Value.eventsLogged; *n < len(c.Events); *n++ {
		if info == nil {
			info = w.flowInfo(f)
		}
		w.log.ConnAnomaly(p, info, c.Events[*n])
	}
	for _, tx := range c.Transactions() {
		if w.log.Due(d, tx) {
			if info == nil {
				info = w.flowInfo(f)
			}
			w.log.Tx(p, info, d, tx)
		}
	}
}

// retire writes the records of transactions and lets go of those that are
// complete: once the rules have seen both directions, or when the flow has
// ended.
func (w *worker) retire(p *packet.Packet, f *flow.Flow[conn], ended bool) {
	c := f.Value.app
	if c == nil {
		return
	}
	done := false
	if w.e.cfg.Store != nil {
		w.keep(p, f, ended)
	}
	// As in Suricata, what was under way in a dropped flow has no record.
	if w.log != nil && !(ended && w.inline && f.Value.det.Action().Drops()) {
		w.logTransactions(p, f, c, w.in.Dir)
	}
	for n, tx := range c.Transactions() {
		b := tx.Base()
		for d := range f.Value.judged {
			if n == 0 { // those before it are gone
				f.Value.judged[d] = max(f.Value.judged[d], b.ID)
			}
			// Rules look at a direction with its own packets only.
			if (app.Dir(d) == w.in.Dir || ended) && b.Done(app.Dir(d)) && b.ID == f.Value.judged[d] {
				f.Value.judged[d]++
			}
		}
		if !b.Complete() || !(w.det.Inspected(b) || ended) {
			continue
		}
		w.det.Forget(b)
		b.Finished = true
		done = true
	}
	if done {
		c.Retire()
	}
}

// expire ends the flows that have been silent for too long.
func (w *worker) expire() {
	for {
		f := w.flows.Next(w.now)
		if f == nil {
			return
		}
		w.endFlow(f)
	}
}

// flush ends all flows.
func (w *worker) flush() {
	for f := w.flows.Flush(); f != nil; f = w.flows.Flush() {
		w.endFlow(f)
	}
	w.log.Flush()
}

// count adds p's verdict to the counters.
func (w *worker) count(p *packet.Packet) {
	w.st.Bytes += uint64(len(p.Data) + len(p.L2))
	if !p.Verdict.Dropped() {
		w.st.Accepted++
		return
	}
	w.st.Dropped++
	w.st.drop(p.Verdict.Reason)
}

// logFlow writes the record of a flow that ended.
func (w *worker) logFlow(f *flow.Flow[conn]) {
	c := &f.Value
	e := eve.FlowEnd{
		Last: f.Last, State: f.State().String(), Reason: f.Reason().String(), Alerted: c.alerts > 0,
		Emergency: f.Emergency(), TCP: f.Key.Proto == packet.ProtoTCP,
		TCPFlags: [2]uint8{f.Sides[0].TCPFlags, f.Sides[1].TCPFlags}, TCPState: c.tcp.State().String(),
	}
	if a := c.det.Action(); a != rule.NoAction {
		e.Action = a.String()
	}
	if f.State() == flow.Bypassed {
		e.Bypass = "local"
		if w.e.decided.Load() != 0 {
			e.Bypass = "capture"
		}
	}
	e.TTL = c.ttl
	e.Gap = [2]bool{c.tcp.Gap(stream.ToServer), c.tcp.Gap(stream.ToClient)}
	info := w.flowInfo(f)
	w.log.Flow(w.now, info, &e)
	w.log.NetFlow(w.now, info, &e)
}
