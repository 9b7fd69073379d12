package rule

import (
	"strconv"
	"strings"
)

// Options of parsing. The zero value reads active rules only.
type Options struct {
	// Disabled keeps rules that are commented out ("#alert …"), marked as
	// such. Comments that do not parse as a rule are still only comments.
	Disabled bool
}

// Parse reads the rules of one file. Every rule that is well formed is
// returned, and one error for every rule that is not. The rules share src's
// memory as a string; name is the file's name for messages.
func Parse(name, src string, opt Options) ([]Rule, []*Error) {
	var errs []*Error
	rules := make([]Rule, 0, len(src)/700+1)
	var p parser
	line := 0
	for len(src) > 0 {
		line++
		first := line
		text, rest := cutLine(src)
		src = rest
		var breaks []lineBreak
		if strings.HasSuffix(text, "\\") && !isComment(text) {
			var b strings.Builder
			for strings.HasSuffix(text, "\\") {
				b.WriteString(text[:len(text)-1])
				if src == "" {
					text = ""
					break
				}
				line++
				text, src = cutLine(src)
				breaks = append(breaks, lineBreak{off: b.Len(), line: line, col: 1})
			}
			b.WriteString(text)
			text = b.String()
		}
		trimmed := strings.TrimLeft(text, " \t\ufeff")
		if trimmed == "" || trimmed[0] == ';' {
			continue
		}
		disabled := false
		if trimmed[0] == '#' {
			if !opt.Disabled {
				continue
			}
			trimmed = strings.TrimLeft(trimmed, "# \t")
			if !looksLikeRule(trimmed) {
				continue
			}
			disabled = true
		}
		off0 := len(text) - len(trimmed)
		for i := range breaks {
			breaks[i].off -= off0
		}
		r := Rule{File: name, Line: first, text: trimmed, off0: off0, breaks: breaks, Disabled: disabled}
		if e := p.parse(&r); e != nil {
			if !disabled {
				errs = append(errs, e)
			}
			continue
		}
		rules = append(rules, r)
	}
	return rules, errs
}

// ParseOne reads a single rule.
func ParseOne(text string) (*Rule, error) {
	rs, errs := Parse("rule", text, Options{})
	if len(errs) > 0 {
		return nil, errs[0]
	}
	if len(rs) != 1 {
		return nil, &Error{Pos: Pos{File: "rule", Line: 1, Col: 1}, What: "expected exactly one rule, found " + strconv.Itoa(len(rs))}
	}
	return &rs[0], nil
}

func cutLine(s string) (line, rest string) {
	i := strings.IndexByte(s, '\n')
	if i < 0 {
		return strings.TrimRight(s, " \t\r"), ""
	}
	return strings.TrimRight(s[:i], " \t\r"), s[i+1:]
}

func isComment(s string) bool {
	s = strings.TrimLeft(s, " \t")
	return s != "" && s[0] == '#'
}

func looksLikeRule(s string) bool {
	i := strings.IndexAny(s, " \t")
	if i < 0 {
		return false
	}
	_, ok := ParseAction(s[:i])
	return ok && strings.HasSuffix(s, ")") && strings.Contains(s, "sid:")
}

type parser struct {
	r    *Rule
	s    string
	i    int
	opts []Option // the tail of a chunk that rules share
}

const maxDepth = 32 // of nested lists

func (p *parser) fail(off int, keyword, what, mend string) *Error {
	e := &Error{Pos: p.r.pos(off), Keyword: keyword, What: what, Mend: mend}
	for _, o := range p.r.Options {
		if o.Name == "sid" {
			n, _ := strconv.ParseUint(o.Value, 10, 32)
			e.Sid = uint32(n)
		}
	}
	return e
}

func (p *parser) blanks() {
	for p.i < len(p.s) && (p.s[p.i] == ' ' || p.s[p.i] == '\t') {
		p.i++
	}
}

func (p *parser) word() (string, int) {
	p.blanks()
	start := p.i
	for p.i < len(p.s) && p.s[p.i] != ' ' && p.s[p.i] != '\t' && p.s[p.i] != '(' {
		p.i++
	}
	return p.s[start:p.i], start
}

func (p *parser) parse(r *Rule) *Error {
	p.r, p.s, p.i = r, r.text, 0
	w, off := p.word()
	a, ok := ParseAction(w)
	if !ok {
		return p.fail(off, "", "unknown action "+strconv.Quote(w), "a rule begins with alert, pass, drop, reject, rejectsrc, rejectdst or rejectboth")
	}
	r.Action = a
	w, off = p.word()
	if w == "" {
		return p.fail(off, "", "the protocol is missing", "write tcp, udp, icmp, ip or an application protocol behind the action")
	}
	r.Proto = lower(w)
	var e *Error
	if r.Src, e = p.term("source address", 0); e != nil {
		return e
	}
	if r.SrcPort, e = p.term("source port", 0); e != nil {
		return e
	}
	w, off = p.word()
	switch w {
	case "->":
		r.Arrow = Forward
	case "<>":
		r.Arrow = Both
	case "=>":
		r.Arrow = Transactional
	default:
		mend := "write -> or <> between the two ends"
		if w == "<-" {
			mend = "swap the two ends and write ->"
		}
		return p.fail(off, "", "expected a direction, found "+strconv.Quote(w), mend)
	}
	if r.Dst, e = p.term("destination address", 0); e != nil {
		return e
	}
	if r.DstPort, e = p.term("destination port", 0); e != nil {
		return e
	}
	p.blanks()
	if p.i == len(p.s) || p.s[p.i] != '(' {
		return p.fail(p.i, "", "the options are missing", "put them in parentheses: (msg:\"…\"; sid:1;)")
	}
	p.i++
	return p.options()
}

func (p *parser) options() *Error {
	r, s := p.r, p.s
	opts := p.opts[len(p.opts):]
	for {
		p.blanks()
		if p.i == len(s) {
			return p.fail(p.i, "", "the closing parenthesis is missing", "end the rule with ;)")
		}
		if s[p.i] == ')' {
			if t := strings.TrimLeft(s[p.i+1:], " \t"); t != "" {
				return p.fail(p.i+1, "", "text behind the closing parenthesis", "end the rule with ) and begin the next one on a new line")
			}
			break
		}
		start := p.i
		for p.i < len(s) && isNameByte(s[p.i]) {
			p.i++
		}
		if p.i == start {
			return p.fail(start, "", "expected a keyword, found "+strconv.Quote(s[start:start+1]), "options are keyword; or keyword:value; and a ; inside a value is written \\;")
		}
		o := Option{Name: lower(s[start:p.i]), off: int32(start)}
		p.blanks()
		if p.i == len(s) {
			r.Options = opts
			return p.fail(start, o.Name, "the option is not terminated", "put a ; behind it")
		}
		switch s[p.i] {
		case ';':
			p.i++
		case ':':
			p.i++
			p.blanks()
			vstart := p.i
			for {
				n := strings.IndexByte(s[p.i:], ';')
				if n < 0 {
					r.Options = opts
					return p.fail(start, o.Name, "the option is not terminated", "put a ; behind its value; a ; inside the value is written \\;")
				}
				p.i += n
				if !escaped(s[vstart:p.i]) {
					break
				}
				p.i++
			}
			o.Value, o.HasValue, o.voff = strings.TrimRight(s[vstart:p.i], " \t"), true, int32(vstart)
			p.i++
		default:
			r.Options = opts
			return p.fail(p.i, o.Name, "expected : or ; behind the keyword, found "+strconv.Quote(s[p.i:p.i+1]), "")
		}
		if len(opts) == cap(opts) {
			grown := make([]Option, len(opts), 4096+2*len(opts))
			copy(grown, opts)
			p.opts, opts = grown[:0], grown
		}
		opts = append(opts, o)
	}
	// The chunk's rest goes to the next rule.
	r.Options = opts[:len(opts):len(opts)]
	p.opts = opts
	return nil
}

// escaped says whether what follows s is escaped by a backslash at its end.
func escaped(s string) bool {
	n := 0
	for n < len(s) && s[len(s)-1-n] == '\\' {
		n++
	}
	return n%2 == 1
}

func isNameByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '.' || c == '-'
}

func lower(s string) string {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c >= 'A' && c <= 'Z' || c >= 0x80 {
			return strings.ToLower(s)
		}
	}
	return s
}

func (p *parser) term(what string, depth int) (Term, *Error) {
	p.blanks()
	t := Term{off: int32(p.i)}
	if depth > maxDepth {
		return t, p.fail(p.i, "", what+": lists are nested more than "+strconv.Itoa(maxDepth)+" deep", "")
	}
	for p.i < len(p.s) && p.s[p.i] == '!' {
		if t.Negated {
			return t, p.fail(p.i, "", what+": negated twice", "remove both !")
		}
		t.Negated = true
		p.i++
		p.blanks()
	}
	if p.i < len(p.s) && p.s[p.i] == '[' {
		t.IsList = true
		p.i++
		for {
			p.blanks()
			if p.i < len(p.s) && p.s[p.i] == ']' && len(t.List) > 0 {
				p.i++
				return t, nil
			}
			sub, e := p.term(what, depth+1)
			if e != nil {
				return t, e
			}
			t.List = append(t.List, sub)
			p.blanks()
			switch {
			case p.i == len(p.s):
				return t, p.fail(int(t.off), "", what+": the list is not closed", "close it with ]")
			case p.s[p.i] == ',':
				p.i++
			case p.s[p.i] == ']':
				p.i++
				return t, nil
			default:
				return t, p.fail(p.i, "", what+": expected , or ] in the list, found "+strconv.Quote(p.s[p.i:p.i+1]), "")
			}
		}
	}
	start := p.i
	for p.i < len(p.s) && !strings.ContainsRune(" \t,[]()!", rune(p.s[p.i])) {
		p.i++
	}
	t.Word = p.s[start:p.i]
	if t.Word == "" {
		return t, p.fail(start, "", what+" is missing", "")
	}
	return t, nil
}
