package detect

import (
	"strconv"
	"strings"

	"github.com/garita/garita/app"
	"github.com/garita/garita/rule"
)

// errValue makes a fault inside a value one of the keyword at hand.
func (b *builder) errValue(off int, err error) error {
	if v, ok := err.(*rule.ValueError); ok {
		return b.fail(off+v.Off, v.What, v.Mend)
	}
	return b.fail(off, err.Error(), "")
}

// quoted takes the quotes off a value that needs them.
func (b *builder) quoted(v string) (neg bool, text string, off int, err error) {
	neg, q, text, off := rule.Quoted(v)
	if !q {
		return false, "", 0, b.fail(0, "the value has no quotes", `write `+b.o.Name+`:"…";`)
	}
	return neg, text, off, nil
}

func kwContent(b *builder, v string) error {
	neg, text, off, err := b.quoted(v)
	if err != nil {
		return err
	}
	p, err := rule.Content(text)
	if err != nil {
		return b.errValue(off, err)
	}
	if len(p) > 255*255 {
		return b.fail(off, "the content is too long", "")
	}
	n := node{op: opContent, pattern: p}
	if neg {
		n.flags |= nNegated
	}
	b.last = b.add(n)
	return nil
}

// kwURIContent is the old spelling of a content on the normalised URI.
func kwURIContent(b *builder, v string) error {
	saved, sticky, fresh := b.active, b.sticky, b.fresh
	b.active = buffer{name: "http.uri", field: app.HTTPURI}
	err := kwContent(b, v)
	b.active, b.sticky, b.fresh = saved, sticky, fresh
	return err
}

func kwNocase(b *builder, v string) error {
	_, n, err := b.lastContent()
	if err != nil {
		return err
	}
	if n.flags&nNocase != 0 {
		return b.fail(0, "nocase stands twice", "remove one of them")
	}
	n.flags |= nNocase
	n.pattern = lowered(n.pattern)
	return nil
}

func lowered(p []byte) []byte {
	q := make([]byte, len(p))
	for i, c := range p {
		if c-'A' < 26 {
			c |= 0x20
		}
		q[i] = c
	}
	return q
}

// number reads the value of a content modifier: a number, or the name of a
// byte variable.
func (b *builder) number(v string, lo, hi int) (n int32, variable uint8, err error) {
	v = strings.TrimSpace(v)
	if v != "" && (v[0] >= 'a' && v[0] <= 'z' || v[0] >= 'A' && v[0] <= 'Z' || v[0] == '_') {
		if i := b.byteVar(v); i != 0 {
			return 0, i, nil
		}
		if len(b.faults) > 0 {
			return 0, 0, errFollows
		}
		return 0, 0, b.fail(0, "unknown byte variable "+strconv.Quote(v), "it is made by byte_extract or byte_math earlier in the rule")
	}
	x, e := strconv.Atoi(v)
	if e != nil || x < lo || x > hi {
		return 0, 0, b.fail(0, "not a number between "+strconv.Itoa(lo)+" and "+strconv.Itoa(hi)+": "+strconv.Quote(v), "")
	}
	return int32(x), 0, nil
}

// cNumber writes a number that is in C's notation, octal with 0 or hexadecimal with 0x, in decimal:
// places of contents may be written so.
func cNumber(v string) string {
	t := strings.TrimSpace(v)
	if digits := strings.TrimLeft(t, "+-"); len(digits) > 1 && digits[0] == '0' {
		if x, err := strconv.ParseInt(t, 0, 32); err == nil {
			return strconv.FormatInt(x, 10)
		}
	}
	return v
}

func (b *builder) modifier(forbidden nodeFlags, clash string) (*list, *node, error) {
	l, n, err := b.lastContent()
	if err != nil {
		return nil, nil, err
	}
	if n.flags&forbidden != 0 {
		return nil, nil, b.fail(0, "it cannot be combined with "+clash+" on the same content", "")
	}
	return l, n, nil
}

func kwOffset(b *builder, v string) error {
	_, n, err := b.modifier(nDistance|nWithin|nOffset|nStarts, "distance, within, startswith or another offset")
	if err != nil {
		return err
	}
	if n.offset, n.vOffset, err = b.number(cNumber(v), 0, 65535); err != nil {
		return err
	}
	n.flags |= nOffset
	if n.flags&nDepth != 0 && n.vOffset == 0 && n.vDepth == 0 {
		n.depth = min(n.depth+n.offset, 1<<16)
	}
	return nil
}

func kwDepth(b *builder, v string) error {
	_, n, err := b.modifier(nDistance|nWithin|nDepth|nStarts, "distance, within, startswith or another depth")
	if err != nil {
		return err
	}
	if n.depth, n.vDepth, err = b.number(cNumber(v), 0, 65535); err != nil {
		return err
	}
	n.flags |= nDepth
	if n.vDepth == 0 {
		if int(n.depth) < len(n.pattern) {
			return b.fail(0, "the depth is smaller than the content, which has "+strconv.Itoa(len(n.pattern))+" bytes", "make it at least as large")
		}
		if n.vOffset == 0 {
			n.depth += n.offset
		}
	}
	return nil
}

func kwDistance(b *builder, v string) error {
	l, n, err := b.modifier(nDepth|nOffset|nDistance|nStarts, "depth, offset, startswith or another distance")
	if err != nil {
		return err
	}
	if n.distance, n.vDist, err = b.number(cNumber(v), -1<<20, 1<<20); err != nil {
		return err
	}
	n.flags |= nDistance
	b.relative(l, n)
	return nil
}

func kwWithin(b *builder, v string) error {
	l, n, err := b.modifier(nDepth|nOffset|nWithin|nStarts, "depth, offset, startswith or another within")
	if err != nil {
		return err
	}
	if n.within, n.vWithin, err = b.number(cNumber(v), -1<<20, 1<<20); err != nil {
		return err
	}
	if n.vWithin == 0 && int(n.within) < len(n.pattern) {
		return b.fail(0, "within is smaller than the content, which has "+strconv.Itoa(len(n.pattern))+" bytes", "make it at least as large")
	}
	n.flags |= nWithin
	b.relative(l, n)
	return nil
}

// relative marks what n is relative to.
func (b *builder) relative(l *list, n *node) {
	for i := range l.nodes {
		if &l.nodes[i] == n {
			markRelative(l.nodes[:i])
			return
		}
	}
}

func kwStartswith(b *builder, v string) error {
	_, n, err := b.modifier(nDepth|nOffset|nDistance|nWithin|nStarts, "depth, offset, distance, within or another startswith")
	if err != nil {
		return err
	}
	n.flags |= nStarts | nDepth
	n.depth = int32(len(n.pattern))
	return nil
}

func kwEndswith(b *builder, v string) error {
	_, n, err := b.lastContent()
	if err != nil {
		return err
	}
	n.flags |= nEnds
	return nil
}

func kwRawbytes(b *builder, v string) error {
	l, n, err := b.lastContent()
	if err != nil {
		return err
	}
	if l.def.special != bufPayload {
		return b.fail(0, "rawbytes is for contents of the payload", "remove it")
	}
	n.flags |= nRaw
	return nil
}

func kwReplace(b *builder, v string) error {
	n, p, err := b.replacement(v)
	if !b.c.cfg.Inline { // a sensor changes nothing, and takes whatever stands there
		if e, ok := err.(*rule.Error); ok {
			b.c.warn(e)
		}
		return nil
	}
	if err != nil {
		return err
	}
	n.replace = p
	b.s.flags |= sigReplace
	return nil
}

// replacement reads what the last content is to be replaced by.
func (b *builder) replacement(v string) (*node, []byte, error) {
	l, n, err := b.lastContent()
	if err != nil {
		return nil, nil, err
	}
	neg, text, off, err := b.quoted(v)
	if err != nil {
		return nil, nil, err
	}
	if neg {
		return nil, nil, b.fail(0, "a replacement cannot be negated", "")
	}
	p, err := rule.Content(text)
	if err != nil {
		return nil, nil, b.errValue(off, err)
	}
	if len(p) != len(n.pattern) {
		return nil, nil, b.fail(off, "the replacement has "+strconv.Itoa(len(p))+" bytes, the content "+strconv.Itoa(len(n.pattern)), "both must have the same length")
	}
	if n.flags&nNegated != 0 {
		return nil, nil, b.fail(0, "a negated content cannot be replaced", "")
	}
	if l.def.special != bufPayload {
		return nil, nil, b.fail(0, "only contents of the payload can be replaced", "")
	}
	return n, p, nil
}

func kwFastPattern(b *builder, v string) error {
	_, n, err := b.lastContent()
	if err != nil {
		return err
	}
	if n.flags&nNegated != 0 && n.flags&(nDistance|nWithin|nOffset|nDepth) != 0 {
		return b.fail(0, "a negated content with a place cannot be the fast pattern", "choose another content")
	}
	if b.fast {
		return b.fail(0, "a rule has only one fast_pattern", "remove the others")
	}
	b.fast = true
	n.flags |= nFast
	switch {
	case v == "":
	case v == "only":
		if n.flags&(nNegated|nDistance|nWithin|nOffset|nDepth) != 0 {
			return b.fail(0, "fast_pattern:only cannot be combined with negation or a place", "")
		}
		n.flags |= nFastOnly
	default:
		o, l, ok := strings.Cut(v, ",")
		off, err1 := strconv.Atoi(strings.TrimSpace(o))
		length, err2 := strconv.Atoi(strings.TrimSpace(l))
		if !ok || err1 != nil || err2 != nil || off < 0 || length < 1 || off+length > len(n.pattern) {
			return b.fail(0, "not a part of the content: "+strconv.Quote(v), "write offset,length within the content, or nothing")
		}
	}
	return nil
}

func kwIsdataat(b *builder, v string) error {
	n := node{op: opIsDataAt}
	if strings.HasPrefix(v, "!") {
		n.flags |= nNegated
		v = strings.TrimSpace(v[1:])
	}
	at, rest, more := strings.Cut(v, ",")
	var err error
	if n.offset, n.vOffset, err = b.number(at, 0, 65535); err != nil {
		return err
	}
	for more {
		var w string
		w, rest, more = strings.Cut(rest, ",")
		switch strings.TrimSpace(w) {
		case "relative":
			n.flags |= nRelative
		case "rawbytes":
		default:
			return b.fail(0, "unknown option "+strconv.Quote(w), "relative and rawbytes are known")
		}
	}
	l := b.target()
	// "!N,relative" right behind a content with N = 1 says that it ends the
	// buffer.
	if n.flags&(nNegated|nRelative) == nNegated|nRelative && n.offset == 1 && n.vOffset == 0 && len(l.nodes) > 0 {
		if c := &l.nodes[len(l.nodes)-1]; c.op == opContent {
			c.flags |= nEnds
			return nil
		}
	}
	b.add(n)
	return nil
}

func kwBsize(b *builder, v string) error {
	r, bad := parseRange(v, 64)
	if bad != "" {
		return b.fail(0, bad, "")
	}
	if !b.sticky {
		return b.fail(0, "bsize needs a buffer", "write it behind a sticky buffer such as http.uri;")
	}
	b.add(node{op: opSize, flags: nBsize, size: r})
	return nil
}

func kwUrilen(b *builder, v string) error {
	field := app.HTTPURIRaw
	name := "http.uri.raw"
	val, opt, more := strings.Cut(v, ",")
	if more {
		switch strings.TrimSpace(opt) {
		case "norm":
			field, name = app.HTTPURI, "http.uri"
		case "raw":
		default: // as Suricata takes it
			field, name = app.HTTPURI, "http.uri"
			b.c.warn(b.fail(0, "unknown option "+strconv.Quote(opt)+" is read as norm", "raw and norm are known"))
		}
	}
	r, bad := parseLeading(val, 16)
	if bad != "" {
		return b.fail(0, bad, "")
	}
	saved, fresh := b.active, b.fresh
	b.active = buffer{name: name, field: field}
	b.fresh = false
	b.list().nodes = append(b.list().nodes, node{op: opSize, size: r})
	b.active, b.fresh = saved, fresh && !b.sticky
	return nil
}

func kwAbsent(b *builder, v string) error {
	if !b.sticky || b.active.field == app.NoField {
		return b.fail(0, "absent needs a buffer of a transaction", "write it behind a sticky buffer such as http.referer;")
	}
	l := b.list()
	switch strings.TrimSpace(v) {
	case "":
		l.abs = absentOnly
	case "or_else":
		l.abs = absentOr
	default:
		return b.fail(0, "unknown option "+strconv.Quote(v), "nothing or or_else")
	}
	return nil
}
