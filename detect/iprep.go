package detect

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Reputation says what is known of addresses: a score from 1 to 127 in each of
// several categories (Suricata's ip-reputation files). The zero value knows
// nothing. It is immutable once filled.
type Reputation struct {
	cats  map[string]uint8 // short name -> number
	hosts map[netip.Addr][]score
	nets  []scoredNet // the longest prefixes first
}

type score struct{ cat, val uint8 }

type scoredNet struct {
	net netip.Prefix
	s   score
}

// AddCategories reads a categories file: lines of "number,short name,text". It
// returns the numbers of the lines that are malformed.
func (r *Reputation) AddCategories(src string) (bad []int) {
	if r.cats == nil {
		r.cats = make(map[string]uint8)
	}
	return r.lines(src, func(f []string) bool {
		n, err := strconv.ParseUint(f[0], 10, 8)
		if err != nil || len(f) < 2 || n >= 60 {
			return false
		}
		r.cats[strings.ToLower(f[1])] = uint8(n)
		return true
	})
}

// AddScores reads a reputation file: lines of "address or prefix,category
// number,score". It returns the numbers of the lines that are malformed.
func (r *Reputation) AddScores(src string) (bad []int) {
	if r.hosts == nil {
		r.hosts = make(map[netip.Addr][]score)
	}
	bad = r.lines(src, func(f []string) bool {
		if len(f) != 3 {
			return false
		}
		cat, err1 := strconv.ParseUint(f[1], 10, 8)
		val, err2 := strconv.ParseUint(f[2], 10, 8)
		if err1 != nil || err2 != nil || cat >= 60 || val > 127 {
			return false
		}
		s := score{uint8(cat), uint8(val)}
		if a, err := netip.ParseAddr(f[0]); err == nil {
			r.hosts[a] = append(r.hosts[a], s)
			return true
		}
		p, err := netip.ParsePrefix(f[0])
		if err != nil {
			return false
		}
		r.nets = append(r.nets, scoredNet{p.Masked(), s})
		return true
	})
	slices.SortStableFunc(r.nets, func(a, b scoredNet) int { return b.net.Bits() - a.net.Bits() })
	return bad
}

func (r *Reputation) lines(src string, each func([]string) bool) (bad []int) {
	for i, line := range strings.Split(src, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		f := strings.Split(line, ",")
		for j := range f {
			f[j] = strings.TrimSpace(f[j])
		}
		if !each(f) {
			bad = append(bad, i+1)
		}
	}
	return bad
}

// score is that of a in a category; false if none is known. What is said of
// the address itself goes before what is said of its network.
func (r *Reputation) score(a netip.Addr, cat uint8) (uint8, bool) {
	for _, s := range r.hosts[a] {
		if s.cat == cat {
			return s.val, true
		}
	}
	for i := range r.nets {
		if n := &r.nets[i]; n.s.cat == cat && n.net.Contains(a) {
			return n.s.val, true
		}
	}
	return 0, false
}

// kwIPRep reads "any,CnC,>,30", "src,CnC,isset".
func kwIPRep(b *builder, v string) error {
	f := fields(v)
	if len(f) < 3 {
		return b.fail(0, "too few values", "write iprep:any,CATEGORY,>,30")
	}
	rep := b.c.cfg.Reputation
	if rep == nil {
		return b.fail(0, "no reputation files are configured", "set reputation-categories-file and reputation-files")
	}
	cat, ok := rep.cats[strings.ToLower(f[1])]
	if !ok {
		return b.fail(0, "unknown category "+strconv.Quote(f[1]), "it must be in the categories file")
	}
	c := cond{op: condIPRep, b: uint32(cat)}
	switch f[0] {
	case "any":
		c.a = 0
	case "src":
		c.a = 1
	case "dst":
		c.a = 2
	case "both":
		c.a = 3
	default:
		return b.fail(0, "unknown side "+strconv.Quote(f[0]), "any, src, dst or both")
	}
	switch f[2] {
	case "isset":
		c.num = numRange{op: numGE}
	case "isnotset":
		c.neg = true
		c.num = numRange{op: numGE}
	default:
		op, ok := map[string]numOp{"<": numLT, ">": numGT, "=": numEQ, "==": numEQ, "<=": numLE, ">=": numGE}[f[2]]
		if !ok || len(f) != 4 {
			return b.fail(0, "not a comparison: "+strconv.Quote(v), "< > = <= >= and a score, isset or isnotset")
		}
		n, ok := parseNum(f[3], 7)
		if !ok {
			return b.fail(0, "not a score: "+strconv.Quote(f[3]), "0 to 127")
		}
		c.num = numRange{op: op, a: n}
	}
	b.s.conds = append(b.s.conds, c)
	return nil
}

func (w *Worker) ipRep(c *cond) bool {
	side := func(a netip.Addr) bool {
		v, ok := w.rs.cfg.Reputation.score(a, uint8(c.b))
		if c.neg {
			return !ok
		}
		return ok && c.num.match(uint64(v))
	}
	switch c.a {
	case 1:
		return side(w.src)
	case 2:
		return side(w.dst)
	case 3:
		return side(w.src) && side(w.dst)
	}
	return side(w.src) || side(w.dst)
}
