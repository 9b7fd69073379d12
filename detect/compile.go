package detect

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"github.com/garita/garita/app"
	"github.com/garita/garita/rule"
)

// builder compiles one rule.
type builder struct {
	c    *compiler
	r    *rule.Rule
	o    *rule.Option // the keyword at hand
	s    sig
	info *Info

	lists  []*list
	active buffer // what the next content is matched on
	fresh  bool   // a sticky buffer was named and nothing put on it yet
	sticky bool
	last   *list // list of the last content, for its modifiers
	vars   []string
	b64    *list // base64_data

	proto    string
	fast     bool // a fast_pattern was chosen
	seen     map[string]int
	appConds []condList
	hasEvent bool // decoder events only
	priority bool // the rule names one

	faults []*rule.Error
	told   int // of the compiler's problems, before the first fault
}

// list is what a rule wants of one buffer.
type list struct {
	buf   int32 // index of the bufDef
	def   *bufDef
	nodes []node
	conds []txCond
	abs   absence
}

// condList is conditions on a transaction at one stage in some directions.
type condList struct {
	conds  []txCond
	stage  uint8
	dirs   app.DirSet
	protos app.ProtoSet
	file   bool // conditions on one and the same file
}

// buffer is a buffer as it is named in a rule, before it is interned.
type buffer struct {
	name       string
	field      app.Field
	special    special
	transforms []transform
	frame      string       // which frames, if it is of them
	frameOf    app.ProtoSet // and of which protocols
}

var payloadBuffer = buffer{name: "payload", special: bufPayload}

// errSkip is returned by a keyword that wants the rule left out silently.
var errSkip = fmt.Errorf("rule not wanted")

// errFollows is returned by a keyword that misses one before it that was faulty
// itself: it says nothing new.
var errFollows = fmt.Errorf("follows from another fault")

// fault notes one more thing that is wrong with the rule. Behind something
// unsupported, what only it could have made sense of is not complained about.
func (b *builder) fault(err error) {
	e, ok := err.(*rule.Error)
	if !ok || len(b.faults) > 0 && b.faults[0].Unsupported && !e.Unsupported {
		return
	}
	if len(b.faults) == 0 {
		b.told = len(b.c.problems)
	}
	e.More = len(b.faults) > 0
	b.faults = append(b.faults, e)
}

// fail makes an error about byte off of the value of the keyword at hand.
func (b *builder) fail(off int, what, mend string) error {
	pos := b.r.Pos()
	kw := ""
	if b.o != nil {
		kw = b.o.Name
		if b.o.HasValue {
			pos = b.r.ValuePos(b.o, off)
		} else {
			pos = b.r.OptionPos(b.o)
		}
	}
	return &rule.Error{Pos: pos, Keyword: kw, Sid: b.info.Sid, What: what, Mend: mend}
}

// unsupported refuses the rule because of something that is not there.
func (b *builder) unsupported(what string) error {
	e := b.fail(0, what, "").(*rule.Error)
	e.Unsupported = true
	return e
}

// compileRule compiles r to one or two sigs. The error is errSkip; what is wrong
// with the rule is in the faults, then there are no sigs.
func (c *compiler) compileRule(r *rule.Rule) (sigs []sig, faults []*rule.Error, skip error) {
	b := &builder{c: c, r: r, info: &Info{Action: r.Action, Proto: r.Proto, Text: r.Text(), File: r.File, Line: r.Line, Priority: 3, Gid: 1}}
	b.active = payloadBuffer
	b.s.info = b.info
	b.s.dirs = app.DirBoth
	if o := r.Lookup("sid"); o != nil {
		n, _ := strconv.ParseUint(o.Value, 10, 32)
		b.info.Sid = uint32(n)
	}
	switch r.Action {
	case rule.Accept:
		b.fault(b.unsupported("the action accept belongs to the firewall mode of newer versions"))
	case rule.Config:
		b.info.NoAlert = true
	}
	if err := b.head(); err != nil {
		b.fault(err)
	}
	for i := range r.Options {
		b.o = &r.Options[i]
		if err := b.option(); err == errSkip && len(b.faults) == 0 {
			return nil, nil, err
		} else if err != nil {
			b.fault(err)
		}
	}
	b.o = nil
	if len(b.faults) == 0 {
		if err := b.unused(); err != nil {
			b.fault(err)
		}
	}
	if r.Lookup("sid") == nil || b.info.Sid == 0 && len(b.faults) == 0 {
		b.fault(b.fail(0, "the rule has no sid", "add sid:NUMBER;"))
	}
	if len(b.faults) == 0 {
		s, err := b.finish()
		if err == nil {
			return s, nil, nil
		}
		b.fault(err)
	}
	if len(b.faults) == 0 {
		return nil, nil, errSkip
	}
	c.problems = c.problems[:b.told] // no warnings about a rule that is refused
	return nil, b.faults, nil
}

// option compiles the keyword at hand.
func (b *builder) option() error {
	k, ok := b.c.keywords[b.o.Name]
	if !ok {
		return b.unsupported("unknown keyword")
	}
	switch {
	case k.value == needs && b.o.Value == "":
		return b.fail(0, "a value is missing", "write "+b.o.Name+":…;")
	case k.value == none && b.o.HasValue && b.o.Value != "":
		return b.fail(0, "this keyword takes no value", "write "+b.o.Name+";")
	case k.once && b.count(b.o.Name) > 0:
		return b.fail(0, "this keyword may stand only once in a rule", "remove one of them")
	}
	if err := k.parse(b, b.o.Value); err != nil {
		return err
	}
	if k.once {
		if b.seen == nil {
			b.seen = make(map[string]int, 4)
		}
		b.seen[b.o.Name]++
	}
	return nil
}

func (b *builder) count(name string) int { return b.seen[name] }

func (b *builder) head() error {
	r := b.r
	p := r.Proto
	if err := b.protocol(p); err != nil {
		return err
	}
	var err error
	addr := func(t *rule.Term) int32 {
		if err != nil {
			return -1
		}
		var id int32
		id, err = b.c.addrSet(r, t)
		return id
	}
	port := func(t *rule.Term) int32 {
		if err != nil {
			return -1
		}
		var id int32
		id, err = b.c.portSet(r, t)
		return id
	}
	b.s.src, b.s.dst = addr(&r.Src), addr(&r.Dst)
	b.s.sport, b.s.dport = port(&r.SrcPort), port(&r.DstPort)
	if r.Arrow == rule.Transactional && err == nil {
		return b.unsupported("transactional rules (=>) belong to newer versions")
	}
	if e, ok := err.(*rule.Error); ok {
		e.Sid = b.info.Sid
	}
	return err
}

// protocol understands the protocol of the rule's head.
func (b *builder) protocol(name string) error {
	set := func(ps ...uint8) {
		b.s.protos = new(protoSet)
		for _, p := range ps {
			b.s.protos.set(p)
		}
	}
	b.proto = name
	switch name {
	case "ip", "any":
	case "ip4", "ipv4":
		b.s.flags |= sigIPv4
	case "ip6", "ipv6":
		b.s.flags |= sigIPv6
	case "tcp":
		set(6)
	case "tcp-pkt":
		set(6)
		b.s.flags |= sigNeedPacket
	case "tcp-stream":
		set(6)
		b.s.flags |= sigNeedStream
	case "tcp4":
		set(6)
		b.s.flags |= sigIPv4
	case "tcp6":
		set(6)
		b.s.flags |= sigIPv6
	case "udp":
		set(17)
	case "udp4":
		set(17)
		b.s.flags |= sigIPv4
	case "udp6":
		set(17)
		b.s.flags |= sigIPv6
	case "icmp":
		set(1, 58)
	case "icmpv4", "icmp4":
		set(1)
	case "icmpv6", "icmp6":
		set(58)
	case "sctp":
		set(132)
	case "pkthdr":
	default:
		ps, tr, ok := appProtocol(name)
		if !ok {
			e := b.fail(0, "unknown protocol "+strconv.Quote(name), "ip, tcp, udp, icmp, tcp-pkt, tcp-stream, or an application protocol such as http, dns, tls")
			e.(*rule.Error).Unsupported = true
			e.(*rule.Error).Keyword = name
			return e
		}
		b.s.apps = ps
		b.s.protos = new(protoSet)
		if tr&1 != 0 {
			b.s.protos.set(6)
		}
		if tr&2 != 0 {
			b.s.protos.set(17)
		}
	}
	return nil
}

// appProtocol is the application protocols that a name in the head of a rule
// means, and their transports: bit 0 TCP, bit 1 UDP.
func appProtocol(name string) (app.ProtoSet, uint8, bool) {
	const tcp, udp, both = 1, 2, 3
	switch name {
	case "http":
		return app.ProtoSetOf(app.HTTP1, app.HTTP2), tcp, true
	case "http1":
		return app.ProtoSetOf(app.HTTP1), tcp, true
	case "dns":
		return app.ProtoSetOf(app.DNS, app.DOH2), both, true
	case "ikev2": // as older versions called it
		return app.ProtoSetOf(app.IKE), udp, true
	case "dcerpc":
		return app.ProtoSetOf(app.DCERPC, app.SMB), both, true
	}
	p, ok := app.ProtoByName(name)
	if !ok || p == app.Unknown || p == app.Failed {
		return 0, 0, false
	}
	tr := uint8(both)
	switch p {
	case app.HTTP2, app.TLS, app.SSH, app.SMTP, app.FTP, app.FTPData, app.SMB, app.RDP, app.MQTT, app.IMAP, app.POP3, app.IRC, app.RFB, app.TELNET, app.PGSQL, app.MODBUS, app.WebSocket:
		tr = tcp
	case app.QUIC, app.SNMP, app.NTP, app.DHCP, app.TFTP, app.IKE, app.BitTorrentDHT:
		tr = udp
	}
	return app.ProtoSetOf(p), tr, true
}

// list returns the list of the active buffer, making it if need be.
func (b *builder) list() *list {
	def, idx := b.c.buffer(&b.active)
	if !(b.fresh && def.multi) {
		for i := len(b.lists) - 1; i >= 0; i-- {
			if b.lists[i].buf == idx {
				b.fresh = false
				return b.lists[i]
			}
		}
	}
	b.fresh = false
	l := &list{buf: idx, def: def}
	b.lists = append(b.lists, l)
	return l
}

// add puts a node on the active buffer.
func (b *builder) add(n node) *list {
	l := b.target()
	switch {
	case n.flags&(nRelative|nDistance|nWithin) == 0:
	case n.op == opContent || n.op == opRegex:
		markRelative(l.nodes)
	case len(l.nodes) > 0:
		// Others are tied only to what stands right before them.
		if p := &l.nodes[len(l.nodes)-1]; p.op == opContent || p.op == opRegex {
			p.flags |= nRelativeNext
		}
	}
	l.nodes = append(l.nodes, n)
	return l
}

// target is the list that a keyword on contents goes to.
func (b *builder) target() *list {
	if b.b64 != nil {
		return b.b64
	}
	return b.list()
}

// markRelative notes that something is relative to the last content or
// expression of the nodes.
func markRelative(ns []node) {
	for i := len(ns) - 1; i >= 0; i-- {
		switch ns[i].op {
		case opContent, opRegex:
			ns[i].flags |= nRelativeNext
			return
		case opByteJump:
			return
		}
	}
}

// lastContent is the content that a modifier is about.
func (b *builder) lastContent() (*list, *node, error) {
	if b.last != nil {
		for i := len(b.last.nodes) - 1; i >= 0; i-- {
			if b.last.nodes[i].op == opContent {
				return b.last, &b.last.nodes[i], nil
			}
		}
	}
	if len(b.faults) > 0 {
		return nil, nil, errFollows
	}
	return nil, nil, b.fail(0, "there is no content that this could be about", "write it behind a content")
}

// useBuffer makes a sticky buffer active.
func (b *builder) useBuffer(buf buffer) error {
	if err := b.unused(); err != nil {
		return err
	}
	b.active = buf
	b.fresh, b.sticky = true, true
	b.b64 = nil
	b.last = nil
	return nil
}

// unused refuses a sticky buffer on which nothing was put: it would not be looked at.
func (b *builder) unused() error {
	if b.sticky && b.fresh {
		return b.fail(0, "nothing is looked for in the buffer "+b.active.name, "write a content behind it, or leave it out")
	}
	return nil
}

// moveContent moves the last content of the payload to another buffer: that is
// how modifiers as http_uri work.
func (b *builder) moveContent(buf buffer) error {
	l, n, err := b.lastContent()
	if err != nil {
		return err
	}
	if b.sticky && l.def.special != bufPayload {
		return b.fail(0, "this modifies a content of the payload, but a sticky buffer is in use", "use either sticky buffers or modifiers in a rule")
	}
	if n.flags&nRaw != 0 {
		return b.fail(0, "rawbytes cannot be combined with this", "remove rawbytes")
	}
	moved := *n
	for i := range l.nodes {
		if &l.nodes[i] == n {
			l.nodes = append(l.nodes[:i], l.nodes[i+1:]...)
			break
		}
	}
	if len(l.nodes) == 0 && len(l.conds) == 0 {
		for i, x := range b.lists {
			if x == l {
				b.lists = append(b.lists[:i], b.lists[i+1:]...)
				break
			}
		}
	}
	saved := b.active
	b.active = buf
	to := b.list()
	b.active = saved
	if moved.flags&(nDistance|nWithin) != 0 {
		// What was relative in the payload is relative in the buffer.
		markRelative(to.nodes)
	}
	moved.flags &^= nRelativeNext
	to.nodes = append(to.nodes, moved)
	b.last = to
	return nil
}

// byteVar is the 1-based number of a byte variable, 0 if there is none of
// that name.
func (b *builder) byteVar(name string) uint8 {
	for i, v := range b.vars {
		if v == name {
			return uint8(i + 1)
		}
	}
	return 0
}

func (b *builder) newByteVar(name string) (uint8, error) {
	if i := b.byteVar(name); i != 0 {
		return i, nil
	}
	if len(b.vars) == maxByteVars {
		return 0, b.fail(0, "more than "+strconv.Itoa(maxByteVars)+" byte variables", "")
	}
	b.vars = append(b.vars, name)
	return uint8(len(b.vars)), nil
}

// restrict limits the rule to application protocols, as a buffer of theirs
// does.
func (b *builder) restrict(ps app.ProtoSet) error {
	if b.s.apps == 0 {
		b.s.apps = ps
		return nil
	}
	both := b.s.apps & ps
	if both == 0 {
		return b.fail(0, "this does not occur in protocol "+b.protoName(), "change the protocol of the rule or the buffer")
	}
	b.s.apps = both
	return nil
}

func (b *builder) protoName() string {
	if _, _, ok := appProtocol(b.proto); ok {
		return b.proto
	}
	var names []string
	for p := app.Proto(0); p < app.NProto; p++ {
		if b.s.apps.Has(p) {
			names = append(names, p.String())
		}
	}
	return strings.Join(names, "/")
}

// finish turns what was collected into sigs.
func (b *builder) finish() ([]sig, error) {
	s := &b.s
	if s.flow&flowToServer != 0 {
		s.dirs = app.DirTS
	} else if s.flow&flowToClient != 0 {
		s.dirs = app.DirTC
	}
	dirs := app.DirSet(app.DirBoth)
	hasTx := false
	for _, l := range b.lists {
		if len(l.nodes) == 0 && len(l.conds) == 0 && l.abs == presentOnly {
			continue
		}
		d := l.def
		if d.field != app.NoField {
			hasTx = true

			dirs &= d.dirs
			if err := b.restrict(d.protos); err != nil {
				return nil, err
			}
		}
	}
	for _, cl := range b.appConds {
		hasTx = true
		dirs &= cl.dirs
		if cl.protos != 0 {
			if err := b.restrict(cl.protos); err != nil {
				return nil, err
			}
		}
	}
	if dirs == 0 {
		return nil, b.fail(0, "keywords of both directions in one rule", "a rule looks at one direction: make two rules and join them by flowbits")
	}
	if s.dirs&dirs == 0 {
		return nil, b.fail(0, "the flow keyword names the direction that the buffers do not have", "change to_server or to_client")
	}
	s.dirs &= dirs
	if hasTx {
		s.flags |= sigTx
	}
	positive := false
	for _, l := range b.lists {
		foldCase(l)
		if err := b.possible(l); err != nil {
			return nil, err
		}
		l.propagate()
		for i := range l.nodes {
			positive = positive || l.nodes[i].op == opContent && l.nodes[i].flags&nNegated == 0
		}
	}
	if !positive && len(s.conds) == 0 {
		b.anyPlace()
	}
	if err := b.payloadKind(); err != nil {
		return nil, err
	}
	var fastList *list
	s.fast, fastList = b.chooseFast()
	if err := b.buildLists(fastList); err != nil {
		return nil, err
	}
	if s.flow&flowOnlyStream != 0 && s.payload == nil {
		// Nothing of the rule is looked for in the stream: it never matches.
		s.conds = append(s.conds, cond{op: condNever})
	}
	b.classify()
	b.setOrder()
	if b.info.NoAlert {
		s.flags |= sigNoAlert
	}
	s.num = b.c.num
	b.c.num++
	if b.r.Arrow != rule.Both || s.src == s.dst && s.sport == s.dport {
		return []sig{*s}, nil
	}
	s.flags |= sigBidirectional
	t := *s
	t.src, t.dst = s.dst, s.src
	t.sport, t.dport = s.dport, s.sport
	return []sig{*s, t}, nil
}

// foldCase writes contents in the case that the buffer always has: serial
// numbers upper, hashes lower.
func foldCase(l *list) {
	for i := range l.nodes {
		n := &l.nodes[i]
		if n.op != opContent || n.flags&nNocase != 0 || len(l.def.transforms) > 0 {
			continue
		}
		switch l.def.field {
		case app.TLSCertSerial:
			n.pattern = bytes.ToUpper(n.pattern)
		case app.TLSCertFingerprint, app.JA3Hash, app.JA3SHash, app.SSHHassh, app.SSHHasshServer:
			n.pattern = bytes.ToLower(n.pattern)
		}
	}
}

// propagate hands places on along the chain as Suricata does: a content that
// stands behind a bare one by a distance cannot begin before the length of
// that one, also if that one is negated and so has no place at all.
func (l *list) propagate() {
	end := -1
	for i := range l.nodes {
		n := &l.nodes[i]
		if n.op != opContent {
			end = -1
			continue
		}
		switch {
		case n.flags&(nDepth|nOffset|nWithin|nDistance) == 0:
			end = len(n.pattern)
		case n.flags&nNegated != 0:
			end = -1
		case n.flags&nDistance != 0 && n.vDist == 0 && n.vWithin == 0 && end >= 0 && end+int(n.distance) >= 0:
			n.offset = max(n.offset, int32(end)+n.distance)
			end = int(n.offset) + len(n.pattern)
		default:
			end = -1
		}
	}
}

// anyPlace: if a rule has negated contents only, the strongest of them is what
// the rule is found by, and then it may not occur anywhere.
func (b *builder) anyPlace() {
	var best *node
	for _, l := range b.lists {
		for i := range l.nodes {
			n := &l.nodes[i]
			if n.op == opContent && (best == nil || len(n.pattern) > len(best.pattern) || len(n.pattern) == len(best.pattern) && strength(n.pattern) > strength(best.pattern)) {
				best = n
			}
		}
	}
	if best != nil && best.flags&(nWithin|nOffset|nDepth) == 0 {
		best.flags &^= nEnds
	}
}

// payloadKind decides whether contents of the payload are matched on packets,
// on the stream, or on both.
func (b *builder) payloadKind() error {
	s := &b.s
	var pl *list
	for _, l := range b.lists {
		switch {
		case l.def.special == bufPayload && len(l.nodes) > 0:
			pl = l
		case l.def.special >= bufIPv4Header && l.def.special <= bufICMPv6Header:
			s.flags |= sigNeedPacket | sigRealPacket // a header
		}
	}
	switch {
	case s.flags&(sigNeedPacket|sigTx) == sigNeedPacket|sigTx:
		return b.fail(0, "keywords of packets and of application layers in one rule", "a packet has no transaction: make two rules and join them by flowbits")
	case s.flags&sigNeedStream != 0 && s.flags&sigNeedPacket != 0:
		return b.fail(0, "keywords of packets in a rule on streams", "write tcp instead of tcp-stream, or leave flow:only_stream out")
	}
	if pl == nil {
		return nil
	}
	if s.protos != nil && !s.protos.has(6) {
		if s.flags&sigNeedStream == 0 {
			s.flags |= sigNeedPacket
		}
		return nil
	}
	asn1 := 0
	for i := range pl.nodes {
		if pl.nodes[i].op == opASN1 {
			asn1++
		}
	}
	if asn1 == len(pl.nodes) {
		s.flags |= sigNeedPacket
	}
	if s.flags&(sigNeedPacket|sigNeedStream) != 0 {
		return nil
	}
	s.flags |= sigNeedStream
	if s.flags&sigStreamSize != 0 {
		s.flags |= sigNeedPacket
	}
	for i := range pl.nodes {
		n := &pl.nodes[i]
		if n.op == opContent && n.flags&(nDepth|nOffset) != 0 {
			s.flags |= sigNeedPacket
			break
		}
	}
	return nil
}

func (b *builder) buildLists(fastList *list) error {
	s := &b.s
	for _, l := range b.lists {
		if len(l.nodes) == 0 && len(l.conds) == 0 && l.abs == presentOnly {
			continue
		}
		var ch *chain
		if len(l.nodes) > 0 {
			ch = &chain{nodes: l.nodes}
			if b.c.maxVars < len(b.vars) {
				b.c.maxVars = len(b.vars)
			}
			for i := range l.nodes {
				if n := &l.nodes[i]; n.op == opContent && n.flags&nNocase != 0 {
					n.skip = makeSkip(n.pattern)
				}
				if l.nodes[i].op == opBase64 && b.b64list() != nil {
					ch.base64 = &chain{nodes: b.b64list().nodes}
				}
			}
		}
		d := l.def
		switch {
		case d.special == bufPayload:
			s.payload = ch
			if s.flags&sigTx != 0 {
				for dir := app.ToServer; dir <= app.ToClient; dir++ {
					if s.dirs.Has(dir) {
						s.engines[dir] = append(s.engines[dir], engine{kind: enginePayload, chain: ch, fast: l == fastList})
					}
				}
			}
		case d.special == bufBase64:
		case d.field == app.NoField:
			s.pktBufs = append(s.pktBufs, pbuf{buf: l.buf, chain: ch})
		default:
			for dir := app.ToServer; dir <= app.ToClient; dir++ {
				if s.dirs.Has(dir) && d.dirs.Has(dir) {
					s.engines[dir] = append(s.engines[dir], engine{kind: engineBuffer, from: d.from(), fast: l == fastList, stage: d.stage, multi: d.multi, absent: l.abs, buf: l.buf, chain: ch, conds: l.conds})
				}
			}
		}
	}
	for _, cl := range b.appConds {
		if len(cl.conds) == 0 {
			continue
		}
		for dir := app.ToServer; dir <= app.ToClient; dir++ {
			if s.dirs.Has(dir) && cl.dirs.Has(dir) {
				s.engines[dir] = append(s.engines[dir], engine{kind: engineConds, from: cl.stage, stage: cl.stage, conds: cl.conds, file: cl.file})
			}
		}
	}
	for dir := range s.engines {
		sortEngines(s.engines[dir])
	}
	return nil
}

func (b *builder) b64list() *list {
	for _, l := range b.lists {
		if l.def.special == bufBase64 {
			return l
		}
	}
	return nil
}

// sortEngines puts the engine of the fast pattern first, then the others in
// order of stage, contents of the payload last: as Suricata does, since what
// matched first decides what is remembered.
func sortEngines(es []engine) {
	for i := 1; i < len(es); i++ {
		for j := i; j > 0 && engineRank(&es[j]) < engineRank(&es[j-1]); j-- {
			es[j], es[j-1] = es[j-1], es[j]
		}
	}
}

func engineRank(e *engine) int {
	switch {
	case e.fast:
		return -1
	case e.kind == enginePayload:
		return 1000
	}
	return int(e.stage)
}

// classify finds the class of the rule, on which the reach of its action
// depends.
func (b *builder) classify() {
	s := &b.s
	switch {
	case len(s.pktBufs) > 0:
		s.kind = kindPacket
	case s.flags&sigTx != 0:
		s.kind = kindTx
	case b.hasEvent && s.payload == nil && s.apps == 0:
		s.kind = kindDecodeOnly
	case s.payload != nil && s.flags&(sigNeedPacket|sigNeedStream) == sigNeedPacket|sigNeedStream && b.tcp():
		s.kind = kindPacketStream
	case s.payload != nil && s.flags&sigNeedStream != 0:
		s.kind = kindStream
	case s.payload != nil:
		s.kind = kindPacket
	case s.flags&sigProtoDetect != 0 && s.payload == nil && s.flow&^(flowToServer|flowToClient) == 0 && s.hostConds(condAppProto):
		s.kind = kindProtoOnly
	case s.apps != 0:
		s.kind = kindApp
		if s.flags&sigNeedPacket != 0 || len(s.conds) > 0 || s.flow&^(flowToServer|flowToClient) != 0 {
			s.kind = kindPacket
		}
	case s.flow == 0 && s.addressConds() && b.proto != "pkthdr":
		s.kind = kindIPOnly
		if b.c.negated(s.src) || b.c.negated(s.dst) {
			s.kind = kindLikeIPOnly
		}
	default:
		s.kind = kindPacket
	}
}

func (b *builder) tcp() bool { return b.s.protos == nil || b.s.protos.has(6) }

// addressConds: the conditions of the rule go with an address look-up.
func (s *sig) addressConds() bool {
	for i := range s.post {
		switch s.post[i].op {
		case effMark, effFlowbitSet, effXbitSet, effXbitUnset, effXbitToggle, effHostbitSet, effHostbitUnset, effHostbitToggle, effTag:
		default:
			return false
		}
	}
	return s.hostConds(0)
}

// hostConds: the rule asks for nothing but what is known of hosts, and maybe
// for op.
func (s *sig) hostConds(op condOp) bool {
	for i := range s.conds {
		switch s.conds[i].op {
		case condXbit, condHostbit, condIPRep, op:
		default:
			return false
		}
	}
	return true
}

// setOrder makes the key by which sigs are sorted.
func (b *builder) setOrder() {
	s := &b.s
	k := orderKey{action: b.c.actionOrder(b.info.Action), prio: uint8(min(max(b.info.Priority, 0), 255))}
	// Setters before setters that also test, before testers, before those
	// that have nothing to do with it.
	rank := func(set, test bool) uint8 {
		switch {
		case set && !test:
			return 0
		case set:
			return 1
		case test:
			return 2
		}
		return 3
	}
	var fbSet, fbTest, xSet, xTest, hSet, hTest, fiSet, fiTest bool
	for i := range s.conds {
		switch s.conds[i].op {
		case condFlowbit:
			fbTest = true
		case condXbit:
			xTest = true
		case condHostbit:
			hTest = true
		case condFlowint:
			fiTest = true
		}
	}
	for i := range s.post {
		switch s.post[i].op {
		case effFlowbitSet, effFlowbitUnset, effFlowbitToggle:
			fbSet = true
		case effXbitSet, effXbitUnset, effXbitToggle:
			xSet = true
		case effHostbitSet, effHostbitUnset, effHostbitToggle:
			hSet = true
		case effFlowintSet, effFlowintAdd, effFlowintSub:
			fiSet = true
		}
	}
	k.flowbits, k.flowint, k.hostbits, k.ipbits = rank(fbSet, fbTest), rank(fiSet, fiTest), rank(hSet, hTest), rank(xSet, xTest)
	s.order = k
}
