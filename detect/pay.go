package detect

import (
	"math/bits"

	"github.com/garita/garita/app"
	"github.com/garita/garita/internal/mpm"
)

// payGroup is the patterns of payloads. Most of those of real rules can lie near
// the beginning only, or matter only for a few ports, for one protocol or while a
// stream is young: these are not looked for in the whole of every packet, which
// may have 64 KiB. What is left is mostly long, and long patterns are cheap.
type payGroup struct {
	used  bool // there is a pattern
	far   group
	near  group
	reach int // where the last of near ends, in bytes from the beginning
	young [2]youngGroup
	ports [2]map[uint16]*group // by source and by destination
	apps  [app.NProto]*group   // with far, and scanned instead
}

// youngGroup is the patterns of rules that ask for few bytes (stream_size) in one
// direction of the stream.
type youngGroup struct {
	group
	most uint64 // none of them matches a longer stream
}

const (
	// nearEnd is how far from the beginning is near.
	nearEnd = 512
	// fewPorts is how many ports a rule may name to stand with each of them.
	fewPorts = 16
	// fewApps is the same for protocols.
	fewApps = 4
)

// add takes in the fast pattern of a rule on payloads. stream says that pieces of
// streams are scanned.
func (g *payGroup) add(rs *Ruleset, id uint32, p mpm.Pattern, stream bool) {
	s := &rs.sigs[id]
	g.used = true
	if s.flags&sigTx != 0 {
		g.far.add(p, id) // what it has in the payload is judged elsewhere
		return
	}
	if q, reach := s.nearPattern(p, stream); reach > 0 {
		g.near.add(q, id)
		g.reach = max(g.reach, reach)
		return
	}
	if side, most, ok := s.youth(); ok {
		y := &g.young[side]
		y.add(p, id)
		y.most = max(y.most, most)
		return
	}
	p = s.longPattern(p)
	for side, set := range [2]int32{s.sport, s.dport} {
		if set < 0 {
			continue
		}
		n := 0
		for _, r := range rs.ports[set].Ranges() {
			n += int(r.Hi-r.Lo) + 1
		}
		if n > fewPorts {
			continue
		}
		if g.ports[side] == nil {
			g.ports[side] = map[uint16]*group{}
		}
		for _, r := range rs.ports[set].Ranges() {
			for n := int(r.Lo); n <= int(r.Hi); n++ {
				x := g.ports[side][uint16(n)]
				if x == nil {
					x = &group{}
					g.ports[side][uint16(n)] = x
				}
				x.add(p, id)
			}
		}
		return
	}
	if n := bits.OnesCount64(uint64(s.apps)); n > 0 && n <= fewApps {
		for a := range g.apps {
			if s.apps.Has(app.Proto(a)) {
				if g.apps[a] == nil {
					g.apps[a] = &group{}
				}
				g.apps[a].add(p, id)
			}
		}
		return
	}
	g.far.add(p, id)
}

func (g *payGroup) build() {
	g.near.build()
	for i := range g.young {
		g.young[i].build()
	}
	for _, m := range g.ports {
		for _, x := range m {
			x.build()
		}
	}
	for _, x := range g.apps {
		if x != nil {
			x.pats, x.sigs = append(x.pats, g.far.pats...), append(x.sigs, g.far.sigs...)
			x.build()
		}
	}
	g.far.build()
}

// scanPay looks through a payload or a piece of a stream.
func (w *Worker) scanPay(g *payGroup, data []byte, in *Input) {
	far := &g.far
	if c := in.conn(); c != nil {
		if x := g.apps[c.Proto()]; x != nil {
			far = x
		}
	}
	w.scan(far, data)
	w.scan(&g.near, data[:min(len(data), g.reach)])
	for side, port := range [2]uint16{in.Packet.SrcPort(), in.Packet.DstPort()} {
		if x := g.ports[side][port]; x != nil {
			w.scan(x, data)
		}
	}
	if in.Flow == nil {
		return // and no stream
	}
	for side := range g.young {
		if y := &g.young[side]; y.m != nil && uint64(in.Flow.StreamSize[side]) <= y.most {
			w.scan(&y.group, data)
		}
	}
}

// nearPattern is a content without which the rule does not match and which must
// end within reach bytes: fast itself, or another that is as good to find the rule
// by. reach is 0 if there is none.
func (s *sig) nearPattern(fast mpm.Pattern, stream bool) (p mpm.Pattern, reach int) {
	for i := range s.payload.nodes {
		n := &s.payload.nodes[i]
		if n.op != opContent || n.flags&nDepth == 0 || n.flags&(nNegated|nDistance|nWithin|nVar) != 0 || n.depth <= 0 || n.depth > nearEnd {
			continue
		}
		nocase := n.flags&nNocase != 0
		if string(n.pattern) == string(fast.Bytes) && nocase == fast.NoCase {
			return fast, int(n.depth)
		}
		// A short one finds too many packets, except beside one that is short
		// itself.
		if len(n.pattern) > len(p.Bytes) && len(n.pattern) >= min(len(fast.Bytes), 4) {
			p, reach = mpm.Pattern{Bytes: n.pattern, NoCase: nocase}, int(n.depth)
		}
	}
	if stream {
		return p, reach // dsize is about the packet
	}
	for i := range s.conds {
		if c := &s.conds[i]; c.op == condDsize && !c.neg {
			if most, ok := c.num.most(); ok && most <= nearEnd {
				return fast, int(max(most, 1))
			}
		}
	}
	return p, reach
}

// longPattern is fast, or another content of the payload that must occur if fast
// is too short to be looked for at every fourth byte only.
func (s *sig) longPattern(fast mpm.Pattern) mpm.Pattern {
	if len(fast.Bytes) >= mpm.Long {
		return fast
	}
	for i := range s.payload.nodes {
		n := &s.payload.nodes[i]
		if n.op == opContent && n.flags&nNegated == 0 && len(n.pattern) >= mpm.Long && len(n.pattern) > len(fast.Bytes) && !mpm.Common(n.pattern) {
			fast = mpm.Pattern{Bytes: n.pattern, NoCase: n.flags&nNocase != 0}
		}
	}
	return fast
}

// youth says up to which length of which direction the rule can match.
func (s *sig) youth() (side app.Dir, most uint64, ok bool) {
	for i := range s.conds {
		c := &s.conds[i]
		if c.op != condStreamSize || c.neg || c.a > 2 {
			continue
		}
		if most, ok := c.num.most(); ok {
			if c.a == 0 {
				return app.ToClient, most, true
			}
			return app.ToServer, most, true
		}
	}
	return 0, 0, false
}

// most is the greatest number in the range, if it has one.
func (r *numRange) most() (uint64, bool) {
	switch r.op {
	case numEQ, numLE:
		return r.a, true
	case numLT:
		return max(r.a, 1) - 1, true
	case numIn:
		return max(r.b, 1) - 1, true
	case numWithin:
		return r.b, true
	}
	return 0, false
}
