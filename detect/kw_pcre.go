package detect

import (
	"strings"

	"github.com/garita/garita/app"
	"github.com/garita/garita/internal/pcre"
)

// regex is a compiled expression of a rule.
type regex struct {
	re    *pcre.Regexp
	saves []save
}

// save is a group whose text is kept as a variable of the flow.
type save struct {
	group  int
	id     uint32
	packet bool // of the packet, not of the flow
}

// pcreBuffers are the flags that name a buffer, as modifiers did.
var pcreBuffers = map[byte]buffer{
	'U': {name: "http.uri", field: app.HTTPURI},
	'I': {name: "http.uri.raw", field: app.HTTPURIRaw},
	'P': {name: "http.request_body", field: app.HTTPRequestBody},
	'Q': {name: "file.data", field: app.FileData},
	'H': {name: "http.header", field: app.HTTPHeader},
	'D': {name: "http.header.raw", field: app.HTTPHeaderRaw},
	'M': {name: "http.method", field: app.HTTPMethod},
	'C': {name: "http.cookie", field: app.HTTPCookie},
	'S': {name: "http.stat_code", field: app.HTTPStatCode},
	'Y': {name: "http.stat_msg", field: app.HTTPStatMsg},
	'V': {name: "http.user_agent", field: app.HTTPUserAgent},
	'W': {name: "http.host", field: app.HTTPHost},
	'Z': {name: "http.host.raw", field: app.HTTPHostRaw},
}

func kwPcre(b *builder, v string) error {
	neg := strings.HasPrefix(v, "!")
	body := strings.TrimSpace(strings.TrimPrefix(v, "!"))
	off := len(v) - len(body)
	if strings.HasPrefix(body, "/") {
		body = `"` + body + `"` // the quotes may be missing
		off--
	}
	if !strings.HasPrefix(body, `"`) {
		return b.fail(0, "the expression has no quotes", `write pcre:"/…/i";`)
	}
	if strings.HasPrefix(body, `"m/`) {
		body = `"` + body[2:]
		off++
	}
	end := strings.LastIndexByte(body, '"')
	if end < 2 || body[1] != '/' {
		return b.fail(off, "the expression does not begin with a slash", `write pcre:"/…/i";`)
	}
	names := strings.TrimLeft(body[end+1:], " ")
	expr := body[2:end]
	slash := strings.LastIndexByte(expr, '/')
	if slash < 0 {
		return b.fail(off, "the expression is not closed by a slash", `write pcre:"/…/i";`)
	}
	tail, inner, _ := strings.Cut(expr[slash+1:], ",")
	if inner != "" {
		names = inner
	}
	flags, letters := pcre.ParseFlags(tail)
	expr = expr[:slash]
	n := node{op: opRegex}
	if neg {
		n.flags |= nNegated
	}
	var buf *buffer
	for i := range len(letters) {
		switch l := letters[i]; l {
		case 'R':
			n.flags |= nRelative
		case 'B', 'O', ' ':
		default:
			bf, ok := pcreBuffers[l]
			if !ok {
				return b.fail(off+2+slash+1, "unknown flag "+string(l), "i m s x A E G, R, B, O, and the buffers U I P Q H D M C S Y V W Z")
			}
			if buf != nil && buf.field != bf.field {
				return b.fail(off+2+slash+1, "flags of two buffers", "use one")
			}
			buf = &bf
		}
	}
	g := &regex{}
	if names != "" || strings.Contains(expr, "(?P<flow_") || strings.Contains(expr, "(?P<pkt_") {
		flags |= pcre.Captures
	}
	key := regexKey{expr, flags}
	re, ok := b.c.regexes[key]
	if !ok {
		var err error
		if re, err = pcre.Compile(expr, flags); err != nil {
			msg, at := err.Error(), 0
			if e, ok := err.(*pcre.Error); ok {
				msg, at = e.Msg, e.Offset
			}
			return b.fail(off+2+at, msg, "")
		}
		b.c.regexes[key] = re
	}
	g.re = re
	if names != "" {
		for i, f := range strings.Split(strings.TrimPrefix(names, ","), ",") {
			kind, name, ok := strings.Cut(strings.TrimSpace(f), ":")
			if !ok || kind != "flow" && kind != "pkt" && kind != "alert" {
				return b.fail(0, "not a variable: "+f, "write flow:NAME or pkt:NAME behind the expression")
			}
			if kind != "alert" {
				g.saves = append(g.saves, save{i + 1, b.c.name("var " + name), kind == "pkt"})
			}
		}
	} else {
		for _, kind := range [...]string{"flow", "pkt"} {
			for rest := expr; ; {
				_, after, ok := strings.Cut(rest, "(?P<"+kind+"_")
				if !ok {
					break
				}
				name, r, ok := strings.Cut(after, ">")
				if ok {
					g.saves = append(g.saves, save{re.GroupIndex(kind + "_" + name), b.c.name("var " + name), kind == "pkt"})
				}
				rest = r
			}
		}
	}
	n.re = g
	if buf == nil {
		b.add(n)
		return nil
	}
	if b.sticky && b.active.field != buf.field {
		return b.fail(off+2+slash+1, "a buffer flag does not go with the sticky buffer "+b.active.name, "remove the flag or the buffer")
	}
	saved, fresh, b64 := b.active, b.fresh, b.b64
	b.active, b.fresh, b.b64 = *buf, false, nil
	b.add(n)
	b.active, b.fresh, b.b64 = saved, fresh && !b.sticky, b64
	return nil
}

// regex tries an expression at the place where the chain has come to, and if
// others are relative to it, at its next places too.
func (m *matcher) regex(c *chain, n *node, i int) bool {
	data, base := m.buf, 0
	if n.flags&nRelative != 0 {
		base = m.pos
		data = m.buf[base:]
	}
	start := 0
	for {
		from, to, ok := m.w.search(n.re.re, data, start)
		if n.flags&nNegated != 0 {
			if ok || m.w.re.Limited {
				return false // a search that gave up says nothing, as in Suricata
			}
			return m.run(c, i+1)
		}
		if !ok {
			return false
		}
		m.pos = base + to
		if n.re.saves != nil {
			m.save(n.re, data)
		}
		if n.flags&nRelativeNext == 0 || i+1 == len(c.nodes) {
			return m.run(c, i+1)
		}
		if m.run(c, i+1) {
			return true
		}
		if m.stop || from+1 > len(data) {
			return false
		}
		start = from + 1
	}
}

// search looks for an expression with what is left of the packet's steps. A search
// that gives up finds nothing and leaves Limited set.
func (w *Worker) search(re *pcre.Regexp, data []byte, start int) (from, to int, ok bool) {
	if w.reSteps <= 0 {
		w.re.Limited = true
		w.reLimited++
		return 0, 0, false
	}
	w.re.Steps = min(w.reSteps, pcre.DefaultSteps+16*len(data))
	from, to, ok = re.Match(data, start, &w.re)
	w.reSteps -= w.re.Spent()
	if w.re.Limited {
		w.reLimited++
	}
	return from, to, ok
}

// save remembers the text of groups, for the flow or for the packet.
func (m *matcher) save(g *regex, data []byte) {
	if m.in == nil {
		return
	}
	for _, s := range g.saves {
		if from, to, ok := m.w.re.Group(s.group); ok {
			if s.packet {
				m.w.savePacketVar(s.id, data[from:to])
			} else if m.in.Flow != nil {
				m.in.Flow.setVar(s.id, data[from:to])
			}
		}
	}
}

type regexKey struct {
	expr  string
	flags pcre.Flags
}
