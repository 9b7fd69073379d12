package policy

import (
	"errors"
	"math"
	"regexp/syntax"
	"strconv"
	"strings"

	"github.com/garita/garita/rule"
)

// line is one line of a file.
type line struct {
	file   string
	number int
	text   string
}

func (l *line) fail(off int, what, mend string) *rule.Error {
	return &rule.Error{Pos: rule.Pos{File: l.file, Line: l.number, Col: off + 1}, What: what, Mend: mend}
}

// word is a part of a line, off bytes from its beginning.
type word struct {
	text   string
	off    int
	quoted bool // begins with a quote
}

const ownForm = `a line is an action and matchers: drop classtype trojan-activity`

// parseOwn reads a line of our own file; ok is false if there is nothing in it.
func parseOwn(l *line) (e entry, ok bool, err *rule.Error) {
	words, err := ownWords(l)
	if err != nil || len(words) == 0 {
		return e, false, err
	}
	switch a := strings.ToLower(words[0].text); a {
	case "off":
		e.effect = turnOff
	case "on":
		e.effect = turnOn
	default:
		act, known := rule.ParseAction(a)
		if !known || act > rule.RejectBoth {
			return e, false, l.fail(words[0].off, "unknown action "+strconv.Quote(words[0].text),
				"write drop, reject, rejectdst, rejectboth, pass, alert, off or on")
		}
		e.effect, e.action = setAction, act
	}
	rest := words[1:]
	if len(rest) == 0 {
		return e, false, l.fail(len(l.text), "which rules is not said", ownForm+"; or all")
	}
	for len(rest) > 0 {
		var m matcher
		if m, rest, err = ownMatcher(l, rest); err != nil {
			return e, false, err
		}
		e.all = append(e.all, m)
		e.sid = e.sid || m.kind == bySid && !m.not
	}
	return e, true, nil
}

// ownWords cuts a line at blanks. Quotes keep blanks together; behind # is a
// comment.
func ownWords(l *line) ([]word, *rule.Error) {
	var out []word
	s := l.text
	for i := 0; i < len(s); {
		if s[i] == ' ' || s[i] == '\t' {
			i++
			continue
		}
		if s[i] == '#' {
			break
		}
		w := word{off: i, quoted: s[i] == '"' || s[i] == '\''}
		var b strings.Builder
		for i < len(s) && s[i] != ' ' && s[i] != '\t' {
			q := s[i]
			if q != '"' && q != '\'' {
				b.WriteByte(q)
				i++
				continue
			}
			n := strings.IndexByte(s[i+1:], q)
			if n < 0 {
				return nil, l.fail(i, "the quote is not closed", "close it with "+string(q))
			}
			b.WriteString(s[i+1 : i+1+n])
			i += n + 2
		}
		w.text = b.String()
		out = append(out, w)
	}
	return out, nil
}

var matchNames = map[string]matchKind{
	"all": everything, "*": everything, "sid": bySid, "group": byGroup, "file": byGroup, "filename": byPath,
	"classtype": byClass, "metadata": byMetadata, "msg": byMsg, "protocol": byProto, "proto": byProto,
	"action": byAction, "re": byText,
}

const matchList = "known are all, sid, group, file, filename, classtype, metadata, msg, protocol, action, re and not"

// ownMatcher takes one matcher off ws.
func ownMatcher(l *line, ws []word) (m matcher, rest []word, err *rule.Error) {
	not := false
	for len(ws) > 0 && !ws[0].quoted && (strings.EqualFold(ws[0].text, "not") || ws[0].text == "!") {
		not = !not
		ws = ws[1:]
	}
	if len(ws) == 0 {
		return m, nil, l.fail(len(l.text), "a matcher is missing behind not", matchList)
	}
	w := ws[0]
	// name:value is name value.
	name, value, colon := strings.Cut(w.text, ":")
	kind, known := matchNames[strings.ToLower(name)]
	if !known {
		if c := w.text[0:min(1, len(w.text))]; c >= "0" && c <= "9" {
			m, err = sids(l, w)
			m.not = not
			return m, ws[1:], err
		}
		return m, nil, l.fail(w.off, "unknown matcher "+strconv.Quote(name), matchList)
	}
	m.kind, m.not = kind, not
	ws = ws[1:]
	if kind == everything {
		if colon {
			return m, nil, l.fail(w.off, name+" takes no value", "write all")
		}
		return m, ws, nil
	}
	next := func(what string) (word, *rule.Error) {
		if colon && value != "" {
			v := word{text: value, off: w.off + len(name) + 1}
			colon, value = false, ""
			return v, nil
		}
		if len(ws) == 0 {
			return word{}, l.fail(len(l.text), strings.ToLower(name)+": "+what+" is missing", "")
		}
		v := ws[0]
		ws = ws[1:]
		return v, nil
	}
	if kind == byMetadata {
		k, err := next("the key")
		if err != nil {
			return m, nil, err
		}
		m.key = strings.ToLower(k.text)
	}
	v, err := next("the value")
	if err != nil {
		return m, nil, err
	}
	switch kind {
	case bySid:
		m, err = sids(l, v)
		m.not = not
		return m, ws, err
	case byText:
		err = m.expression(l, v.text, v.off)
		return m, ws, err
	case byMsg:
		// A message may hold commas.
		m.values = []string{strings.ToLower(v.text)}
		return m, ws, nil
	}
	off := v.off
	for one := range strings.SplitSeq(v.text, ",") {
		t := strings.TrimSpace(one)
		if t == "" {
			return m, nil, l.fail(off, strings.ToLower(name)+": an empty name in the list", "remove the comma")
		}
		if kind != byGroup && kind != byPath {
			t = strings.ToLower(t)
		}
		if kind == byAction {
			if _, ok := rule.ParseAction(t); !ok {
				return m, nil, l.fail(off, "unknown action "+strconv.Quote(t), "write alert, drop, reject or pass")
			}
		}
		m.values = append(m.values, t)
		off += len(one) + 1
	}
	return m, ws, nil
}

// sids reads 1,5-9,3:40.
func sids(l *line, w word) (m matcher, err *rule.Error) {
	m.kind = bySid
	const mend = "write numbers and ranges, separated by commas: 2019401,2019410-2019415,1:2100366"
	off := w.off
	number := func(s string) (uint32, *rule.Error) {
		n, e := strconv.ParseUint(s, 10, 32)
		if e != nil {
			return 0, l.fail(off, strconv.Quote(s)+" is not a number up to "+strconv.FormatUint(math.MaxUint32, 10), mend)
		}
		return uint32(n), nil
	}
	for one := range strings.SplitSeq(w.text, ",") {
		t := strings.TrimSpace(one)
		r := idRange{gid: 1}
		if g, s, ok := strings.Cut(t, ":"); ok {
			if r.gid, err = number(strings.TrimSpace(g)); err != nil {
				return m, err
			}
			t = strings.TrimSpace(s)
		}
		lo, hi, isRange := strings.Cut(t, "-")
		if r.lo, err = number(lo); err != nil {
			return m, err
		}
		r.hi = r.lo
		if isRange {
			if r.hi, err = number(hi); err != nil {
				return m, err
			}
			if r.hi < r.lo {
				return m, l.fail(off, "the range "+t+" ends before it begins", "write the smaller number first")
			}
		}
		m.ids = append(m.ids, r)
		off += len(one) + 1
	}
	return m, nil
}

// expression compiles the regular expression at off.
func (m *matcher) expression(l *line, text string, off int) *rule.Error {
	if text == "" {
		return l.fail(off, "re: the expression is empty", "")
	}
	var err error
	if m.re, m.needs, err = compile(text); err != nil {
		return l.fail(off, "re: "+expressionFault(err), expressionMend)
	}
	return nil
}

const expressionMend = "the syntax is that of RE2 (https://github.com/google/re2/wiki/Syntax): there is no looking ahead or behind and no back reference inside the expression"

func expressionFault(err error) string {
	var e *syntax.Error
	if errors.As(err, &e) {
		return e.Code.String() + ": " + strconv.Quote(e.Expr)
	}
	return err.Error()
}
