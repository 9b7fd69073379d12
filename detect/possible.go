package detect

import (
	"bytes"
	"strconv"

	"github.com/garita/garita/app"
)

// hashLens are how long the texts of hashes always are.
var hashLens = map[app.Field]int{
	app.JA3Hash: 32, app.JA3SHash: 32, app.SSHHassh: 32, app.SSHHasshServer: 32, app.TLSCertFingerprint: 59,
}

// possible refuses contents that their buffer can never have, as Suricata does: it
// is hardly what was meant.
func (b *builder) possible(l *list) error {
	if len(l.def.transforms) == 0 {
		if err := b.hostCase(l); err != nil {
			return err
		}
		if n, ok := hashLens[l.def.field]; ok {
			var wrong *node
			for i := range l.nodes {
				if c := &l.nodes[i]; c.op == opContent {
					if wrong = c; len(c.pattern) == n {
						wrong = nil
						break // one whole hash is enough
					}
				}
			}
			if c := wrong; c != nil {
				return b.fail(0, "texts of "+l.def.name+" have "+strconv.Itoa(n)+" characters, the content "+strconv.Quote(string(c.pattern))+" has "+strconv.Itoa(len(c.pattern)), "write the whole hash, or use pcre for a part of it")
			}
		}
	}
	need := required(l)
	tooLong := func(r *numRange, what string) error {
		if (r.op == numEQ || r.op == numLT) && need > r.a {
			return b.fail(0, "the contents need "+strconv.FormatUint(need, 10)+" bytes, more than "+what+" allows: "+strconv.FormatUint(r.a, 10), "raise "+what+" or shorten the contents")
		}
		return nil
	}
	for i := range l.nodes {
		if n := &l.nodes[i]; n.op == opSize && n.flags&nBsize != 0 {
			if err := tooLong(&n.size, "bsize"); err != nil {
				return err
			}
		}
	}
	if l.def.special == bufPayload {
		for i := range b.s.conds {
			if c := &b.s.conds[i]; c.op == condDsize {
				if err := tooLong(&c.num, "dsize"); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// required is how many bytes the contents of a list need at least. Negated ones
// need none and move nothing.
func required(l *list) uint64 {
	total, end := 0, 0
	for i := range l.nodes {
		n := &l.nodes[i]
		switch {
		case n.op != opContent:
			end = 0
			continue
		case n.flags&nNegated != 0:
			continue
		case n.vOffset|n.vDist|n.vDepth|n.vWithin != 0:
			end = 0
			continue
		case n.flags&nDistance != 0 && n.distance >= 0:
			end += int(n.distance) + len(n.pattern)
		case n.flags&(nDistance|nWithin) != 0:
			end = len(n.pattern)
		default:
			end = int(n.offset) + len(n.pattern)
		}
		total = max(total, end)
	}
	return uint64(total)
}

// hostCase refuses what cannot be meant: http.host is in lower case.
func (b *builder) hostCase(l *list) error {
	if l.def.field != app.HTTPHost {
		return nil
	}
	for i := range l.nodes {
		if n := &l.nodes[i]; n.op == opContent && (n.flags&nNocase != 0 || !bytes.Equal(n.pattern, lowered(n.pattern))) {
			return b.fail(0, "http.host is in lower case, the content "+strconv.Quote(string(n.pattern))+" asks for more", "write it in lower case without nocase, or use http.host.raw")
		}
	}
	return nil
}
