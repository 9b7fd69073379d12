package detect

import (
	"strconv"
	"strings"
)

// base64Op is base64_decode: how much is decoded, from where.
type base64Op struct {
	bytes    int
	offset   int
	relative bool
}

func kwBase64Decode(b *builder, v string) error {
	o := &base64Op{}
	for _, f := range fields(v) {
		word, arg, _ := strings.Cut(f, " ")
		n, err := strconv.ParseUint(strings.TrimSpace(arg), 10, 32)
		switch {
		case f == "":
		case f == "relative":
			o.relative = true
		case word == "bytes" && err == nil && n > 0:
			o.bytes = int(n)
		case word == "offset" && err == nil:
			o.offset = int(n)
		default:
			return b.fail(0, "unknown option "+strconv.Quote(f), "bytes N, offset N, relative")
		}
	}
	n := node{op: opBase64, b64: o}
	if o.relative {
		n.flags |= nRelative
	}
	b.add(n)
	return nil
}

func kwBase64Data(b *builder, _ string) error {
	found := false
	for _, l := range b.lists {
		for i := range l.nodes {
			found = found || l.nodes[i].op == opBase64
		}
	}
	if !found {
		return b.fail(0, "base64_data stands without base64_decode", "write base64_decode before it")
	}
	saved := b.active
	b.active = buffer{name: "base64_data", special: bufBase64}
	b.b64 = b.list()
	b.active = saved
	b.last = nil
	b.sticky = true
	return nil
}

// base64 decodes from the place of the chain on and matches the contents of
// base64_data on the result.
func (m *matcher) base64(c *chain, n *node) bool {
	data := m.buf
	o := n.b64
	if o.relative {
		data = data[m.pos:]
	}
	if o.offset >= len(data) {
		return false
	}
	data = data[o.offset:]
	if o.bytes > 0 && len(data) > o.bytes {
		data = data[:o.bytes]
	}
	m.w.b64 = decodeBase64(m.w.b64[:0], data)
	if len(m.w.b64) == 0 {
		return false
	}
	if c.base64 == nil {
		return false // without base64_data Suricata matches nothing
	}
	in := matcher{w: m.w, in: m.in, limit: m.limit, vals: m.vals, b64: true}
	return in.match(c.base64, m.w.b64, 0)
}

// decodeBase64 decodes as far as the alphabet goes, skipping blanks; what
// is left of an unfinished group of four is decoded too.
func decodeBase64(dst, src []byte) []byte {
	var acc uint32
	n := 0
	for _, c := range src {
		var v byte
		switch {
		case c >= 'A' && c <= 'Z':
			v = c - 'A'
		case c >= 'a' && c <= 'z':
			v = c - 'a' + 26
		case c >= '0' && c <= '9':
			v = c - '0' + 52
		case c == '+':
			v = 62
		case c == '/':
			v = 63
		case isSpace(c):
			continue
		default:
			return flushBase64(dst, acc, n)
		}
		acc = acc<<6 | uint32(v)
		if n++; n == 4 {
			dst = append(dst, byte(acc>>16), byte(acc>>8), byte(acc))
			acc, n = 0, 0
		}
	}
	return flushBase64(dst, acc, n)
}

func flushBase64(dst []byte, acc uint32, n int) []byte {
	switch n {
	case 2:
		dst = append(dst, byte(acc>>4))
	case 3:
		dst = append(dst, byte(acc>>10), byte(acc>>2))
	}
	return dst
}
