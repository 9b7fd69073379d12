package detect

import (
	"bytes"
	"net/netip"
	"slices"
	"sort"

	"github.com/garita/garita/app"
	"github.com/garita/garita/internal/mpm"
)

// index builds the structures by which candidates are found.
func (c *compiler) index() {
	rs := c.rs
	headers := map[int32]*headerGroup{}
	txs := map[txKey]*group{}
	txProtos := map[txKey]app.ProtoSet{}
	for i := range rs.sigs {
		s := &rs.sigs[i]
		id := uint32(i)
		switch {
		case s.kind == kindIPOnly:
			rs.ipOnly.add(rs, id)
			rs.stats.IPOnly++
		case s.fast.buf >= 0:
			c.indexPattern(s, id, headers, txs, txProtos)
		case s.flags&sigTx != 0:
			rs.stats.Plain++
			for p := app.Proto(0); p < app.NProto; p++ {
				if !s.apps.Has(p) {
					continue
				}
				for d := app.ToServer; d <= app.ToClient; d++ {
					if s.dirs.Has(d) {
						rs.txPlain[p][d] = append(rs.txPlain[p][d], id)
					}
				}
			}
		default:
			rs.stats.Plain++
			for cl, ps := range [nClass][]uint8{{6}, {17}, {1, 58}, nil} {
				want := s.protos == nil
				for _, p := range ps {
					want = want || s.protos.has(p)
				}
				if cl == classOther && s.protos != nil {
					for p := range 256 {
						want = want || classOf(uint8(p)) == classOther && s.protos.has(uint8(p))
					}
				}
				if !want {
					continue
				}
				for d := app.ToServer; d <= app.ToClient; d++ {
					if s.dirs.Has(d) {
						rs.plain[d][cl] = append(rs.plain[d][cl], id)
					}
				}
			}
		}
	}
	for d := range rs.payload {
		for k := range rs.payload[d] {
			rs.payload[d][k].build()
		}
	}
	for _, h := range headers {
		h.build()
		rs.headers = append(rs.headers, *h)
	}
	slices.SortFunc(rs.headers, func(a, b headerGroup) int { return int(a.buf - b.buf) })
	keys := make([]txKey, 0, len(txs))
	for k := range txs {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b txKey) int {
		sa, sb := rs.buffers[a.buf].stage, rs.buffers[b.buf].stage
		if sa != sb {
			return int(sa) - int(sb)
		}
		return int(a.buf - b.buf)
	})
	for _, k := range keys {
		g := txs[k]
		g.build()
		d := &rs.buffers[k.buf]
		for p := app.Proto(0); p < app.NProto; p++ {
			if txProtos[k].Has(p) && d.protos.Has(p) {
				rs.tx[p][k.dir] = append(rs.tx[p][k.dir], txGroup{group: g, buf: k.buf, from: d.from(), stage: d.stage, kind: d.kind, grows: d.grows(), multi: d.multi, again: p == app.HTTP1 && d.field == app.HTTPHeader})
			}
		}
	}
	rs.ipOnly.build(rs)
}

type txKey struct {
	buf int32
	dir app.Dir
}

func (c *compiler) indexPattern(s *sig, id uint32, headers map[int32]*headerGroup, txs map[txKey]*group, txProtos map[txKey]app.ProtoSet) {
	rs := c.rs
	d := &rs.buffers[s.fast.buf]
	p := mpm.Pattern{Bytes: s.fast.bytes, NoCase: s.fast.nocase, Anchor: s.fast.anchor}
	switch {
	case d.special == bufPayload:
		for dir := app.ToServer; dir <= app.ToClient; dir++ {
			if !s.dirs.Has(dir) {
				continue
			}
			g := &rs.payload[dir]
			if s.protos == nil || s.protos.has(6) {
				if s.flags&sigNeedPacket != 0 {
					g[payTCPPacket].add(rs, id, p, false)
				}
				if s.flags&sigNeedStream != 0 {
					g[payTCPStream].add(rs, id, p, true)
				}
				if s.flags&(sigNeedPacket|sigNeedStream) != 0 {
					g[payTCPBoth].add(rs, id, p, false)
				}
			}
			if s.protos == nil || s.protos.has(17) {
				g[payUDP].add(rs, id, p, false)
			}
			other := s.protos == nil
			for n := 0; n < 256 && !other; n++ {
				other = n != 6 && n != 17 && s.protos.has(uint8(n))
			}
			if other {
				g[payOther].add(rs, id, p, false)
			}
		}
	case d.field == app.NoField:
		h := headers[s.fast.buf]
		if h == nil {
			h = &headerGroup{buf: s.fast.buf}
			headers[s.fast.buf] = h
		}
		h.add(p, id)
	default:
		for dir := app.ToServer; dir <= app.ToClient; dir++ {
			if !s.dirs.Has(dir) || !d.dirs.Has(dir) {
				continue
			}
			k := txKey{s.fast.buf, dir}
			g := txs[k]
			if g == nil {
				g = &group{}
				txs[k] = g
			}
			g.add(p, id)
			txProtos[k] |= s.apps
		}
	}
}

// fastPattern is the content by which a rule is found.
type fastPattern struct {
	buf    int32 // -1: none
	bytes  []byte
	nocase bool
	anchor mpm.Anchor
}

// chooseFast picks the fast pattern as Suricata does: the operator's; else, of
// the contents that must occur, one of a buffer of transactions or headers before one of the payload
// or of the HTTP buffers that say little, the longest, the strongest.
func (b *builder) chooseFast() (fastPattern, *list) {
	best := fastPattern{buf: -1}
	var bestList *list
	score := -1
	for _, l := range b.lists {
		if l.def.special == bufBase64 || l.abs != presentOnly {
			continue
		}
		exact := l.def.kind == app.KindText && l.def.field != app.NoField
		for i := range l.nodes {
			n := &l.nodes[i]
			if n.op != opContent || n.flags&nNegated != 0 {
				continue
			}
			sc := fastScore(l, n)
			if sc <= score {
				continue
			}
			score = sc
			best = fastPattern{buf: l.buf, bytes: n.pattern, nocase: n.flags&nNocase != 0}
			bestList = l
			if exact {
				best.anchor = anchorOf(l, n)
			}
		}
	}
	if bestList == nil {
		bestList = b.negatedList()
	}
	if best.buf < 0 {
		best = b.regexLiteral()
	}
	return best, bestList
}

// negatedList is where the fast pattern of a rule lies whose contents are all
// negated. It finds no packets, but says when the rule has been judged.
func (b *builder) negatedList() (best *list) {
	score := -1
	for _, l := range b.lists {
		if l.def.special == bufBase64 || l.abs != presentOnly {
			continue
		}
		for i := range l.nodes {
			n := &l.nodes[i]
			if n.op != opContent {
				continue
			}
			if sc := fastScore(l, n); sc > score {
				best, score = l, sc
			}
		}
	}
	return best
}

// fastScore says how good a content is to be looked for.
func fastScore(l *list, n *node) int {
	sc := len(n.pattern)<<20 + strength(n.pattern)
	switch {
	case l.def.special == bufPayload:
	case l.def.field == app.HTTPMethod, l.def.field == app.HTTPStatCode, l.def.field == app.HTTPStatMsg: // say little
	default:
		sc += 1 << 40
	}
	if n.flags&nFast != 0 {
		sc += 1 << 41
	}
	return sc
}

// regexLiteral is the longest string without which no expression of the rule
// matches, for rules that have no content to be found by. It is no content
// of the rule's: the order in which buffers are looked at does not change.
func (b *builder) regexLiteral() fastPattern {
	best := fastPattern{buf: -1}
	for _, l := range b.lists {
		if l.def.special == bufBase64 || l.abs != presentOnly {
			continue
		}
		for i := range l.nodes {
			n := &l.nodes[i]
			if n.op != opRegex || n.flags&nNegated != 0 {
				continue
			}
			if ls := n.re.re.Literals(); len(ls) > 0 && len(ls[0].Bytes) > max(1, len(best.bytes)) {
				best = fastPattern{buf: l.buf, bytes: ls[0].Bytes, nocase: ls[0].NoCase}
			}
		}
	}
	return best
}

// strength says how rare a pattern is likely to be, for patterns of the same
// length: what repeats counts least, letters less than other bytes, those
// least that are neither text nor filler most.
func strength(p []byte) (n int) {
	for i, c := range p {
		switch {
		case bytes.IndexByte(p[:i], c) >= 0:
			n++
		case c|0x20 >= 'a' && c|0x20 <= 'z':
			n += 3
		case c >= 0x20 && c < 0x7f || c <= 1 || c == 0xff:
			n += 4
		default:
			n += 6
		}
	}
	return n
}

// anchorOf says at which end of the buffer a content must lie. Only where the
// whole buffer is matched at once.
func anchorOf(l *list, n *node) mpm.Anchor {
	if n.flags&nVar != 0 || n.vDepth != 0 || n.vOffset != 0 || n.flags&(nDistance|nWithin) != 0 {
		return mpm.Anywhere
	}
	starts := n.flags&nStarts != 0 || n.offset == 0 && n.depth != 0 && int(n.depth) == len(n.pattern)
	ends := n.flags&nEnds != 0
	for i := range l.nodes {
		m := &l.nodes[i]
		if m.op == opSize && m.size.op == numEQ && m.size.a == uint64(len(n.pattern)) {
			return mpm.Exact
		}
	}
	switch {
	case starts && ends:
		return mpm.Exact
	case starts:
		return mpm.Prefix
	case ends && n.depth == 0:
		return mpm.Suffix
	}
	return mpm.Anywhere
}

// ipIndex finds the rules that ask for addresses only.
type ipIndex struct {
	src, dst ipTable
	any      []uint32 // both sides too wide to be worth a table
}

// ipTable maps an address to the rules whose set holds it.
type ipTable struct {
	spans []ipSpan
	pts   []netip.Addr // starts of the elementary ranges
	at    [][]uint32   // sigs of each
}

type ipSpan struct {
	lo, hi netip.Addr
	sig    uint32
}

func (x *ipIndex) add(rs *Ruleset, id uint32) {
	s := &rs.sigs[id]
	narrow := func(set int32) (uint64, bool) {
		if set < 0 {
			return 1 << 40, false
		}
		a := &rs.addrs[set]
		n := a.Size4() + uint64(a.Ranges6())
		return n, n <= 1<<24
	}
	ns, okS := narrow(s.src)
	nd, okD := narrow(s.dst)
	switch {
	case okS && ns <= nd:
		x.src.add(rs, s.src, id)
	case okD:
		x.dst.add(rs, s.dst, id)
	default:
		x.any = append(x.any, id)
	}
}

func (t *ipTable) add(rs *Ruleset, set int32, id uint32) {
	rs.addrs[set].Ranges(func(lo, hi netip.Addr) bool {
		t.spans = append(t.spans, ipSpan{lo, hi, id})
		return true
	})
}

func (x *ipIndex) build(*Ruleset) {
	x.src.build()
	x.dst.build()
}

// build cuts the spans into elementary ranges, each with its rules.
func (t *ipTable) build() {
	if len(t.spans) == 0 {
		return
	}
	type edge struct {
		at  netip.Addr
		sig uint32
		on  bool
	}
	var edges []edge
	for _, s := range t.spans {
		edges = append(edges, edge{s.lo, s.sig, true})
		if n := s.hi.Next(); n.IsValid() {
			edges = append(edges, edge{n, s.sig, false})
		}
	}
	sort.Slice(edges, func(i, j int) bool { return edges[i].at.Less(edges[j].at) })
	active := map[uint32]int{}
	for i := 0; i < len(edges); {
		at := edges[i].at
		if i > 0 && edges[i-1].at.Is4() != at.Is4() {
			clear(active) // IPv4 ends where IPv6 begins
		}
		for ; i < len(edges) && edges[i].at == at; i++ {
			if edges[i].on {
				active[edges[i].sig]++
			} else if active[edges[i].sig]--; active[edges[i].sig] <= 0 {
				delete(active, edges[i].sig)
			}
		}
		list := make([]uint32, 0, len(active))
		for s := range active {
			list = append(list, s)
		}
		slices.Sort(list)
		t.pts = append(t.pts, at)
		t.at = append(t.at, list)
	}
	t.spans = nil
}

// find returns the rules whose set holds a.
func (t *ipTable) find(a netip.Addr) []uint32 {
	lo, hi := 0, len(t.pts)
	for lo < hi {
		m := int(uint(lo+hi) >> 1)
		if a.Less(t.pts[m]) {
			hi = m
		} else {
			lo = m + 1
		}
	}
	if lo == 0 || t.pts[lo-1].Is4() != a.Is4() {
		return nil
	}
	return t.at[lo-1]
}
