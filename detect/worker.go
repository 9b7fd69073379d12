package detect

import (
	"net/netip"
	"slices"

	"github.com/garita/garita/app"
	"github.com/garita/garita/internal/mpm"
	"github.com/garita/garita/internal/pcre"
	"github.com/garita/garita/packet"
	"github.com/garita/garita/rule"
)

// Worker judges packets, one at a time. It belongs to one goroutine.
type Worker struct {
	Stats WorkerStats

	rs *Ruleset
	m  matcher
	re pcre.Scratch
	// reSteps are left of the packet's steps of expressions, reLimited
	// searches gave up.
	reSteps, reLimited int
	mp                 mpm.Scratch
	gen                uint32
	cand               []uint32
	mark               []uint32 // generation in which a sig became a candidate
	txc                []uint32 // sigs on transactions whose pattern was found in the payload
	hits               []hit
	edits              []Edit
	b64                []byte

	vars     []Var // of the packet
	varBytes []byte

	srcSet, dstSet     []uint32 // generation<<1 | in the set
	sportSet, dportSet []uint32
	src, dst           netip.Addr
	proto              uint8 // of the packet, of a fragment of IPv6 that of its header

	countries map[netip.Addr]country // those of the addresses that were asked for lately

	counters map[thKey]*thState
	hostBits map[hostBit]int64
	hostTags map[netip.Addr]tagState

	bodies             []bodyWindow
	xbufs              []xbuf
	spare              []*txState
	bypass             bool   // a rule that matched lets the flow go
	markBits, markMask uint32 // what nfq_set_mark wants
}

// WorkerStats counts what the worker did.
type WorkerStats struct {
	Packets      uint64
	Scans        uint64 // buffers looked through for patterns
	ScanBytes    uint64
	Candidates   uint64 // rules looked at
	Alerts       uint64
	Suppressed   uint64
	Discarded    uint64 // beyond the alerts of one packet
	RegexLimited uint64 // searches of expressions that gave up for want of steps
	CountersLost uint64 // times the threshold counters were dropped for want of room
	HostBitsLost uint64
}

// hit is a rule that matched.
type hit struct {
	sig    uint32
	tx     app.Tx
	txID   uint64
	stream bool
	state  bool
	edits  [2]int // range of Worker.edits
}

// NewWorker makes a worker for a ruleset.
func NewWorker(rs *Ruleset) *Worker {
	w := &Worker{
		counters: make(map[thKey]*thState), hostBits: make(map[hostBit]int64), hostTags: make(map[netip.Addr]tagState),
	}
	w.m.w = w
	w.Use(rs)
	return w
}

// Use changes the rules between two packets. Flows keep their bits and
// variables, hosts theirs, thresholds their counts; what was inspected of
// open transactions is forgotten, so they are looked at anew.
func (w *Worker) Use(rs *Ruleset) {
	w.rs = rs
	w.mark = make([]uint32, len(rs.sigs))
	w.srcSet, w.dstSet = make([]uint32, len(rs.addrs)), make([]uint32, len(rs.addrs))
	w.sportSet, w.dportSet = make([]uint32, len(rs.ports)), make([]uint32, len(rs.ports))
	w.xbufs = make([]xbuf, len(rs.buffers))
	w.gen = 0
	w.m.limit = rs.cfg.ContentSteps
	w.spare = nil
}

// Ruleset is what the worker judges by.
func (w *Worker) Ruleset() *Ruleset { return w.rs }

// Inspect judges one packet. out is overwritten; its slices are reused.
func (w *Worker) Inspect(in *Input, out *Outcome) {
	out.reset()
	w.Stats.Packets++
	if in.Flow != nil && (in.Packet.IsFragment() || !flows(in.Packet.Proto())) {
		in.Flow = nil
	}
	if in.Flow == nil {
		in.Dir = app.ToServer // for want of a flow that would say it
	}
	if f := in.Flow; f != nil {
		switch {
		case f.action.Drops():
			out.Action, out.By, out.WholeFlow = rule.Drop, f.by, true
			return
		case f.action == rule.Pass:
			out.Action, out.By, out.WholeFlow = rule.Pass, f.by, true
			return
		case f.cipher && w.rs.cfg.Inline && f.Conn.Proto() == app.SSH:
			return // of an encrypted session no packet is looked at
		}
	}
	w.begin(in)
	if in.EndOfFlow || in.Flush {
		w.lastStream(in)
	} else {
		w.ipOnly(in)
		w.packetRules(in)
	}
	if c := in.conn(); c != nil {
		w.txRules(in, c)
	}
	w.finish(in, out)
	out.RegexLimited = w.reLimited
	w.Stats.RegexLimited += uint64(w.reLimited)
	for i := range w.vars {
		w.vars[i].Value = w.varBytes[w.vars[i].at:w.vars[i].end]
	}
	out.Vars = w.vars
	if f := in.Flow; f != nil && f.Conn != nil {
		if !f.cipher && !in.Flush && f.Conn.Encrypted() && (f.Conn.Proto() == app.SSH || f.Conn.Proto() == app.TLS) {
			f.cipher = true
		}
		f.aEvents = uint8(len(f.Conn.Events))
	}
	if f := in.Flow; f != nil {
		f.told[in.Dir] = f.told[in.Dir] || f.known[in.Dir]
		for d := range f.known {
			if app.Dir(d) == in.Dir || in.Packet.Proto() != packet.ProtoUDP {
				f.known[d] = f.known[d] || in.protoOf(app.Dir(d)) != app.Unknown
			}
		}
	}
}

// flows says whether packets of an IP protocol have flows for rules, as they
// have in Suricata. Those of others are judged one by one.
func flows(proto uint8) bool {
	switch proto {
	case packet.ProtoTCP, packet.ProtoUDP, packet.ProtoICMP, packet.ProtoICMPv6, packet.ProtoSCTP, packet.ProtoESP:
		return true
	}
	return false
}

// hasPorts says whether an IP protocol has ports as rules know them.
func hasPorts(proto uint8) bool {
	return proto == packet.ProtoTCP || proto == packet.ProtoUDP || proto == packet.ProtoSCTP
}

func (w *Worker) begin(in *Input) {
	w.gen++
	if w.gen == 1<<31 {
		w.gen = 1
		clear(w.mark)
		clear(w.srcSet)
		clear(w.dstSet)
		clear(w.sportSet)
		clear(w.dportSet)
	}
	w.cand = w.cand[:0]
	w.txc = w.txc[:0]
	clear(w.hits)
	w.hits = w.hits[:0]
	w.edits = w.edits[:0]
	w.vars, w.varBytes = w.vars[:0], w.varBytes[:0]
	w.bodies = w.bodies[:0]
	w.bypass, w.markBits, w.markMask = false, 0, 0
	w.reSteps, w.reLimited = w.rs.cfg.RegexSteps, 0
	w.m.in = in
	w.m.packet = false
	w.src, w.dst = in.Packet.Src(), in.Packet.Dst()
	w.proto = in.Packet.Proto()
	if in.Packet.IsFragment() && in.Packet.IPVersion() == 6 {
		w.proto = 44 // the fragment header itself
	}
}

// candidate notes that a sig is to be looked at, once.
func (w *Worker) candidate(id uint32) {
	if w.mark[id] != w.gen {
		w.mark[id] = w.gen
		w.cand = append(w.cand, id)
	}
}

// scan looks through data for the patterns of g.
func (w *Worker) scan(g *group, data []byte) {
	if g.m == nil {
		return
	}
	w.Stats.Scans++
	w.Stats.ScanBytes += uint64(len(data))
	for _, i := range g.m.Scan(data, &w.mp) {
		w.candidate(g.sigs[i])
	}
}

func (w *Worker) ipOnly(in *Input) {
	if in.Packet.IPVersion() == 0 {
		return
	}
	if f := in.Flow; f != nil {
		if f.ipOnly[in.Dir] {
			return
		}
		f.ipOnly[in.Dir] = true
	}
	x := &w.rs.ipOnly
	for _, list := range [3][]uint32{x.src.find(w.src), x.dst.find(w.dst), x.any} {
		for _, id := range list {
			s := &w.rs.sigs[id]
			if w.header(s, in) && w.conds(s, in) {
				w.hit(id, s, in, nil, false, false)
			}
		}
	}
}

// header checks what stands before the parentheses, and the flow keyword.
func (w *Worker) header(s *sig, in *Input) bool {
	if s.apps != 0 {
		if c := in.conn(); c == nil || !s.apps.Has(c.Proto()) {
			return false
		}
	}
	return w.headerTx(s, in)
}

// headerTx is header for a rule on a transaction, which is of a protocol of
// its own: that of the flow may have changed since.
func (w *Worker) headerTx(s *sig, in *Input) bool {
	p := in.Packet
	if s.flags&(sigIPv4|sigIPv6) != 0 {
		v := p.IPVersion()
		if s.flags&sigIPv4 != 0 && v != 4 || s.flags&sigIPv6 != 0 && v != 6 {
			return false
		}
	}
	if s.protos != nil && (p.IPVersion() == 0 || !s.protos.has(w.proto)) {
		return false
	}
	if s.flow != 0 && !w.flowMatches(s, in) {
		return false
	}
	if in.Flow != nil && !s.dirs.Has(in.Dir) {
		return false
	}
	if (s.dport >= 0 || s.sport >= 0) && (p.IsFragment() || !hasPorts(w.proto)) {
		return false
	}
	if s.dport >= 0 && !w.inPorts(w.dportSet, s.dport, p.DstPort()) || s.sport >= 0 && !w.inPorts(w.sportSet, s.sport, p.SrcPort()) {
		return false
	}
	return (s.dst < 0 || w.inAddrs(w.dstSet, s.dst, w.dst)) && (s.src < 0 || w.inAddrs(w.srcSet, s.src, w.src))
}

func (w *Worker) inAddrs(cache []uint32, set int32, a netip.Addr) bool {
	if v := cache[set]; v>>1 == w.gen {
		return v&1 != 0
	}
	v := w.gen << 1
	if w.rs.addrs[set].Contains(a) {
		v |= 1
	}
	cache[set] = v
	return v&1 != 0
}

func (w *Worker) inPorts(cache []uint32, set int32, port uint16) bool {
	if v := cache[set]; v>>1 == w.gen {
		return v&1 != 0
	}
	v := w.gen << 1
	if w.rs.ports[set].Contains(port) {
		v |= 1
	}
	cache[set] = v
	return v&1 != 0
}

func (w *Worker) flowMatches(s *sig, in *Input) bool {
	f := s.flow
	if in.Flow == nil {
		// Nothing is known of it, and so it goes to the server.
		return f == flowToServer || f == flowNoStream || f == flowOnlyStream
	}
	if f&(flowToServer|flowToClient) != 0 {
		if f&flowToServer != 0 && in.Dir != app.ToServer || f&flowToClient != 0 && in.Dir != app.ToClient {
			return false
		}
	}
	switch {
	case f&flowStateless != 0 && f&flowNotEstablished != 0, // matches nothing in Suricata
		f&flowEstablished != 0 && !in.Established,
		f&flowNotEstablished != 0 && in.Established,
		f&flowOnlyFrag != 0 && !in.Rebuilt,
		f&flowNoFrag != 0 && in.Rebuilt:
		return false
	}
	return true
}

func (w *Worker) conds(s *sig, in *Input) bool {
	for i := range s.conds {
		if !w.match(&s.conds[i], in) {
			return false
		}
	}
	return true
}

// packetRules judges by the rules on packets and streams.
func (w *Worker) packetRules(in *Input) {
	p := in.Packet
	rs := w.rs
	payload := payloadOf(p)
	g := &rs.payload[in.Dir]
	raw := in.Raw
	if in.NoPayload() {
		payload, raw = nil, nil
	}
	if len(payload) > 0 {
		w.scanPayload(g, p.Proto(), payload, in)
	}
	if len(raw) > 0 {
		w.scanPay(&g[payTCPStream], raw, in)
	}
	for i := range rs.headers {
		h := &rs.headers[i]
		if b, ok := headerBytes(rs.buffers[h.buf].special, p); ok {
			w.scan(&h.group, w.transformedBuf(h.buf, 0, b))
		}
	}
	plain := rs.plain[in.Dir][classOf(w.proto)]
	slices.Sort(w.cand)
	// The rules without a pattern are sorted already: go along both lists.
	for i, j := 0, 0; i < len(w.cand) || j < len(plain); {
		var id uint32
		switch {
		case j == len(plain) || i < len(w.cand) && w.cand[i] < plain[j]:
			id = w.cand[i]
			i++
		case i < len(w.cand) && w.cand[i] == plain[j]:
			i++
			fallthrough
		default:
			id = plain[j]
			j++
		}
		s := &rs.sigs[id]
		if s.flags&sigTx != 0 {
			w.txc = append(w.txc, id)
			continue
		}
		w.Stats.Candidates++
		if !w.header(s, in) || s.kind == kindProtoOnly && !in.recognised() || !w.conds(s, in) {
			continue
		}
		if !w.pktBuffers(s, p) {
			continue
		}
		from := len(w.edits)
		stream := false
		if s.payload != nil {
			var ok bool
			if ok, stream = w.payload(s, s.payload, in, payload); !ok {
				continue
			}
		}
		w.hit(id, s, in, nil, stream, false)
		w.hits[len(w.hits)-1].edits = [2]int{from, len(w.edits)}
	}
}

// lastStream judges what is left of a stream at the end of its flow. There is
// no packet: only rules on the stream count.
func (w *Worker) lastStream(in *Input) {
	if len(in.Raw) > 0 && !in.NoPayload() {
		w.scanPay(&w.rs.payload[in.Dir][payTCPStream], in.Raw, in)
	}
	for _, id := range w.rs.plain[in.Dir][classTCP] {
		w.candidate(id)
	}
	slices.Sort(w.cand)
	for _, id := range w.cand {
		s := &w.rs.sigs[id]
		if s.flags&sigTx != 0 {
			w.txc = append(w.txc, id)
			continue
		}
		w.Stats.Candidates++
		if s.payload == nil {
			if in.Unfinished && (s.kind == kindLikeIPOnly || s.kind == kindApp) && w.header(s, in) && w.conds(s, in) {
				w.hit(id, s, in, nil, false, false)
			}
			continue
		}
		if len(in.Raw) == 0 || in.NoPayload() {
			continue
		}
		if s.flags&sigNeedPacket != 0 && !s.alsoStream() || !w.header(s, in) || !w.conds(s, in) {
			continue
		}
		if w.m.match(s.payload, in.Raw, 0) {
			w.hit(id, s, in, nil, true, false)
		}
	}
}

// alsoStream: the payload is looked for in packets and in the stream, and no
// keyword needs a packet.
func (s *sig) alsoStream() bool {
	return s.flags&sigNeedStream != 0 && s.flags&sigRealPacket == 0
}

// recognised says that the protocol of the packet's direction became known
// with this packet, or that this is the direction's first packet behind that:
// rules that ask for nothing else are judged then.
func (in *Input) recognised() bool {
	f := in.Flow
	if f == nil {
		return false
	}
	if f.known[in.Dir] {
		return !f.told[in.Dir]
	}
	return in.proto() != app.Unknown
}

// proto is the application protocol of the packet's direction. Datagrams are
// understood at once or never.
func (in *Input) proto() app.Proto { return in.protoOf(in.Dir) }

func (in *Input) protoOf(d app.Dir) app.Proto {
	if in.Flow == nil {
		return app.Unknown
	}
	p := app.Unknown
	c := in.Flow.Conn
	if c != nil {
		p = c.ProtoOf(d)
	}
	if p == app.Unknown && in.Packet.Proto() == packet.ProtoUDP {
		if c != nil {
			p = c.Proto()
		}
		if p == app.Unknown {
			p = app.Failed
		}
	}
	return p
}

// NoPayload says that payload and stream are not looked at: what follows is
// cipher text or another packet, or the packet is refused.
func (in *Input) NoPayload() bool {
	return in.Refused || in.Carrier || in.Flow != nil && in.Flow.cipher
}

func (w *Worker) scanPayload(g *[nPayload]payGroup, proto uint8, payload []byte, in *Input) {
	switch proto {
	case packet.ProtoTCP:
		if in.InStream {
			w.scanPay(&g[payTCPPacket], payload, in)
		} else {
			w.scanPay(&g[payTCPBoth], payload, in)
		}
	case packet.ProtoUDP:
		w.scanPay(&g[payUDP], payload, in)
	default:
		w.scanPay(&g[payOther], payload, in)
	}
}

func (w *Worker) pktBuffers(s *sig, p *packet.Packet) bool {
	for i := range s.pktBufs {
		pb := &s.pktBufs[i]
		b, ok := headerBytes(w.rs.buffers[pb.buf].special, p)
		if !ok || !w.m.match(pb.chain, w.transformedBuf(pb.buf, 0, b), 0) {
			return false
		}
	}
	return true
}

// payload matches contents of the payload on the stream, the packet or both,
// as the rule wants it.
func (w *Worker) payload(s *sig, c *chain, in *Input, payload []byte) (ok, stream bool) {
	if s.flags&sigNeedStream != 0 && len(in.Raw) > 0 && !in.NoPayload() {
		// Suricata counts offset and depth from the piece that is looked at, not
		// from the beginning of the stream.
		if w.m.match(c, in.Raw, 0) {
			if s.flags&sigReplace != 0 && len(payload) > 0 {
				w.onPacket(c, payload) // what is replaced lies in the packet
			}
			return true, true
		}
	}
	// A rule on a transaction has no look at the packet beside the stream.
	if s.flags&(sigNeedPacket|sigTx) != sigNeedPacket && s.flags&sigNeedStream != 0 && in.InStream && in.Packet.Proto() == packet.ProtoTCP {
		return false, false
	}
	// With a piece of the stream also an empty payload is looked at, as in
	// Suricata: what must not be there is not in it.
	if len(payload) == 0 && (len(in.Raw) == 0 || in.NoPayload()) || s.flow&flowOnlyStream != 0 {
		return false, false
	}
	return w.onPacket(c, payload), false
}

// onPacket matches contents on the packet's payload; there they may be
// replaced.
func (w *Worker) onPacket(c *chain, payload []byte) bool {
	w.m.packet = true
	ok := w.m.match(c, payload, 0)
	w.m.packet = false
	return ok
}

// payloadOf is what rules take for the payload: that of TCP, UDP, ICMP and SCTP,
// not of fragments (they are judged when the packet is whole) and of what was
// not understood.
func payloadOf(p *packet.Packet) []byte {
	if p.IsFragment() || p.Malformed() != 0 || p.IPVersion() == 0 {
		return nil
	}
	switch p.Proto() {
	case packet.ProtoTCP, packet.ProtoUDP, packet.ProtoSCTP:
		return p.Payload()
	case packet.ProtoICMP, packet.ProtoICMPv6:
		if h, ok := p.ICMP(); ok {
			return p.Transport()[len(icmpHeader(p, h)):]
		}
	}
	return nil
}

// headerBytes is one of the packet's headers.
func headerBytes(sp special, p *packet.Packet) ([]byte, bool) {
	if p.IsFragment() && sp >= bufTCPHeader && sp <= bufICMPv6Header {
		return nil, false
	}
	switch sp {
	case bufSrcAddr, bufDstAddr:
		return addrBytes(sp, p)
	case bufIPv4Header, bufIPv6Header:
		v := uint8(4)
		if sp == bufIPv6Header {
			v = 6
		}
		h, ok := p.IP()
		if !ok || p.IPVersion() != v {
			return nil, false
		}
		// Of IPv6 with its extension headers.
		if n := len(h.Bytes()) + len(h.Options()); v == 6 && n <= len(p.Data) && !p.IsFragment() {
			return p.Data[:n], true
		}
		return h.Bytes(), true
	case bufTCPHeader:
		h, ok := p.TCP()
		if !ok {
			return nil, false
		}
		return h.Bytes(), true
	case bufUDPHeader:
		h, ok := p.UDP()
		if !ok {
			return nil, false
		}
		return h.Bytes(), true
	case bufICMPv4Header, bufICMPv6Header:
		h, ok := p.ICMP()
		if !ok || (p.Proto() == packet.ProtoICMPv6) != (sp == bufICMPv6Header) {
			return nil, false
		}
		return icmpHeader(p, h), true
	}
	return nil, false
}

func addrBytes(sp special, p *packet.Packet) ([]byte, bool) {
	off, n := 12, 4
	switch p.IPVersion() {
	case 4:
	case 6:
		off, n = 8, 16
	default:
		return nil, false
	}
	if sp == bufDstAddr {
		off += n
	}
	return p.Data[off : off+n], true
}

// icmpHeader is the header of a message with what belongs to it by its type:
// timestamps, masks, router addresses (RFC 792, RFC 950, RFC 1256).
func icmpHeader(p *packet.Packet, h packet.ICMP) []byte {
	b := h.Bytes()
	if p.Proto() != packet.ProtoICMP {
		return b
	}
	n := len(b)
	switch h.Type() {
	case 9:
		n += int(b[4]) * int(b[5]) * 4
	case 13, 14:
		n += 12
	case 17, 18:
		n += 4
	}
	return p.Transport()[:min(n, len(p.Transport()))]
}

// hit notes a match and does what the rule does besides its action.
func (w *Worker) hit(id uint32, s *sig, in *Input, tx app.Tx, stream, state bool) {
	h := hit{sig: id, tx: tx, stream: stream, state: state}
	if tx != nil {
		h.txID = tx.Base().ID
	}
	w.hits = append(w.hits, h)
	if len(s.post) > 0 {
		w.apply(s, in, tx)
	}
}

// finish sorts the matches, applies thresholds and actions and fills in the
// outcome.
func (w *Worker) finish(in *Input, out *Outcome) {
	out.Bypass, out.Mark, out.MarkMask = w.bypass, w.markBits, w.markMask
	if len(in.flowTags()) > 0 || len(w.hostTags) > 0 {
		w.tagged(in, out)
	}
	if len(w.hits) == 0 {
		return
	}
	slices.SortStableFunc(w.hits, func(a, b hit) int {
		if a.sig != b.sig {
			return int(a.sig) - int(b.sig)
		}
		switch {
		case a.txID > b.txID:
			return -1
		case a.txID < b.txID:
			return 1
		}
		return 0
	})
	for i := range w.hits {
		if w.effect(&w.hits[i], in, out) {
			break
		}
	}
}

func (in *Input) flowTags() []tagState {
	if in.Flow == nil {
		return nil
	}
	return in.Flow.tags
}

// effect lets one match take effect. true ends the list: a pass.
func (w *Worker) effect(h *hit, in *Input, out *Outcome) bool {
	s := &w.rs.sigs[h.sig]
	alert, act := true, true
	action := s.info.Action
	id := uint64(s.info.Gid)<<32 | uint64(s.info.Sid)
	apply := func(t *threshold) {
		a, do, instead := w.rated(t, id, in)
		alert, act = alert && a, act && do
		if instead != rule.NoAction {
			action = instead
		}
	}
	if s.detFilt != nil {
		apply(s.detFilt)
	}
	if w.rs.thBy != nil {
		w.configured(s, in, apply)
	}
	for i := 0; i < len(s.thresh) && alert && act; i++ {
		apply(s.thresh[i])
	}
	if !act {
		out.Suppressed++
		w.Stats.Suppressed++
		return false
	}
	for i := range s.post {
		if s.post[i].op == effTag {
			w.setTag(&s.post[i], s, in)
		}
	}
	if action == rule.Pass && (!alert || out.Action.Drops()) {
		// Beyond the limit of its threshold a pass no longer ends the list (it
		// is still for the rest of the flow), and what is dropped already is
		// not passed any more.
		if f := in.Flow; f != nil && !out.Action.Drops() && f.action == rule.NoAction && h.wholeFlow(s) {
			f.decide(rule.Pass, s.info)
		}
		out.Suppressed++
		w.Stats.Suppressed++
		return false
	}
	whole := h.wholeFlow(s)
	if out.Action.Drops() && !out.Action.IsReject() && action.IsReject() {
		out.Action = action // dropped already; the ends hear of it too
	}
	if out.Action == rule.NoAction && (action == rule.Pass || action.Drops()) {
		out.Action, out.By, out.WholeFlow = action, s.info, whole
		if in.Flow != nil && whole {
			in.Flow.decide(action, s.info)
		}
	} else if whole && !out.WholeFlow && out.Action.Drops() && action.Drops() {
		// A drop of the packet, and now one of the flow.
		out.WholeFlow = true
		if in.Flow != nil {
			in.Flow.decide(action, s.info)
		}
	}
	if action == rule.Pass {
		if s.flags&sigAlert != 0 && len(out.Alerts) < w.rs.cfg.MaxAlerts {
			w.Stats.Alerts++
			out.Alerts = append(out.Alerts, Alert{Info: s.info, Tx: h.tx, Stream: h.stream, sig: s})
		}
		return true
	}
	if h.edits[1] > h.edits[0] && w.rs.cfg.Inline {
		out.Edits = append(out.Edits, w.edits[h.edits[0]:h.edits[1]]...)
	}
	switch {
	case !alert:
		out.Suppressed++
		w.Stats.Suppressed++
	case s.flags&sigNoAlert != 0:
	case len(out.Alerts) >= w.rs.cfg.MaxAlerts:
		out.Discarded++
		w.Stats.Discarded++
	default:
		w.Stats.Alerts++
		out.Alerts = append(out.Alerts, Alert{Info: s.info, Tx: h.tx, Stream: h.stream, Blocked: action.Drops(), NewAction: instead(action, s.info.Action), sig: s})
	}
	return false
}

func instead(a, was rule.Action) rule.Action {
	if a == was {
		return rule.NoAction
	}
	return a
}

// decide settles the rest of the flow.
func (f *Flow) decide(a rule.Action, by *Info) {
	f.by, f.action = by, rule.Pass
	if a.Drops() {
		f.action = rule.Drop
	}
}

// configured applies what threshold.config says about a rule.
func (w *Worker) configured(s *sig, in *Input, apply func(*threshold)) {
	gid, sid := uint64(s.info.Gid)<<32, uint64(s.info.Sid)
	for _, k := range [3]uint64{gid | sid, gid, 0} {
		for _, i := range w.rs.thBy[k] {
			t := &w.rs.th[i].th
			if t.kind != suppress && t.kind != rateFilter && len(s.thresh) > 0 && k != gid|sid {
				continue // the rule's own goes before a general one
			}
			apply(t)
		}
	}
}

// wholeFlow says whether the action of a match is for the flow: so it is for
// rules on addresses and protocols, and for matches on the application layer
// or the stream.
func (h *hit) wholeFlow(s *sig) bool {
	switch s.kind {
	case kindIPOnly, kindLikeIPOnly, kindProtoOnly, kindApp, kindTx:
		return true
	case kindPacketStream, kindStream:
		return h.stream || h.state
	}
	return false
}
