package policy

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/garita/garita/rule"
)

// parseUpdate reads a line of one of suricata-update's files; ok is false if
// there is nothing in it. A '#' at the beginning, or behind a blank, begins a
// comment.
func parseUpdate(l *line, k Kind) (e entry, ok bool, err *rule.Error) {
	text := l.text
	if i := strings.Index(text, " #"); i >= 0 {
		text = text[:i]
	}
	off := len(text) - len(strings.TrimLeft(text, " \t"))
	text = strings.TrimSpace(text)
	if text == "" || text[0] == '#' {
		return e, false, nil
	}
	var m matcher
	switch k {
	case Disable:
		e.effect = turnOff
	case Enable:
		e.effect = turnOn
	case Drop:
		e.effect = dropAlert
	default:
		if m, err = e.modification(l, text, off); err != nil {
			return e, false, err
		}
		e.all = []matcher{m}
		return e, true, nil
	}
	if m, err = updateMatcher(l, text, off); err != nil {
		return e, false, err
	}
	e.all = []matcher{m}
	e.sid = m.kind == bySid
	return e, true, nil
}

const updateMend = "write a sid, gid:sid, group:NAME, filename:PATH, re:EXPRESSION, metadata: KEY VALUE or *"

// updateMatcher reads the one matcher that is the whole of text.
func updateMatcher(l *line, text string, off int) (m matcher, err *rule.Error) {
	value := func(prefix string) (string, int, bool) {
		v, ok := strings.CutPrefix(text, prefix)
		t := strings.TrimSpace(v)
		return t, off + len(prefix) + len(v) - len(strings.TrimLeft(v, " \t")), ok
	}
	need := func(v string, at int) *rule.Error {
		if v == "" {
			return l.fail(at, "the value is missing", "")
		}
		return nil
	}
	switch text {
	case "":
		return m, l.fail(off, "the matcher is empty", updateMend)
	case "*":
		return matcher{kind: everything}, nil
	}
	if v, at, ok := value("re:"); ok {
		m.kind = byText
		return m, m.expression(l, v, at)
	}
	if v, at, ok := value("filename:"); ok {
		return matcher{kind: byPath, values: []string{v}}, need(v, at)
	}
	if v, at, ok := value("group:"); ok {
		return matcher{kind: byGroup, values: []string{v}}, need(v, at)
	}
	if v, at, ok := value("metadata:"); ok {
		key, val, both := strings.Cut(v, " ")
		if !both {
			return m, l.fail(at, "metadata needs a key and a value", "metadata: deployment perimeter")
		}
		return matcher{kind: byMetadata, key: strings.ToLower(key), values: []string{strings.ToLower(strings.TrimSpace(val))}}, nil
	}
	if strings.HasSuffix(text, ".rules") {
		return matcher{kind: byGroup, values: []string{text}}, nil
	}
	if text[0] >= '0' && text[0] <= '9' {
		return sids(l, word{text: text, off: off})
	}
	return m, l.fail(off, "not a matcher: "+strconv.Quote(text), updateMend)
}

// edit is a substitution in the text of a rule.
type edit struct {
	re   *regexp.Regexp
	with []piece
}

// piece is a text, or the group of the match.
type piece struct {
	text  string
	group int // -1: text
}

// modification reads MATCHER "FROM" "TO", Oinkmaster's
// modifysid MATCHER "FROM" | "TO", and metadata-add MATCHER "KEY" "VALUE".
func (e *entry) modification(l *line, text string, off int) (m matcher, err *rule.Error) {
	words, err := shellWords(l, text, off)
	if err != nil {
		return m, err
	}
	var which, from, to word
	switch {
	case words[0].text == "metadata-add":
		if len(words) != 4 {
			return m, l.fail(off, "metadata-add takes three words, found "+strconv.Itoa(len(words)-1), `metadata-add 2019401 "key" "value"`)
		}
		e.effect, e.meta = addMetadata, words[2].text+" "+words[3].text
		return updateMatcher(l, words[1].text, words[1].off)
	case words[0].text == "modifysid":
		if len(words) != 5 || words[3].text != "|" {
			return m, l.fail(off, "not a modifysid line", `modifysid 2019401 "from" | "to"`)
		}
		which, from, to = words[1], words[2], words[4]
	case len(words) == 3:
		which, from, to = words[0], words[1], words[2]
	default:
		return m, l.fail(off, "a modification has three words, found "+strconv.Itoa(len(words)), `2019401 "from" "to": put what holds blanks in quotes`)
	}
	e.effect = substitute
	// A dollar sign may be escaped for the sake of other tools.
	re, bad := regexp.Compile(strings.ReplaceAll(from.text, `\\$`, `\$`))
	if bad != nil {
		return m, l.fail(from.off, expressionFault(bad), expressionMend)
	}
	e.edit.re = re
	if e.edit.with, err = replacement(l, to, re); err != nil {
		return m, err
	}
	return updateMatcher(l, which.text, which.off)
}

// replacement reads \1, \g<1>, \g<name> and ${1}.
func replacement(l *line, w word, re *regexp.Regexp) (out []piece, err *rule.Error) {
	s := w.text
	var b strings.Builder
	flush := func() {
		if b.Len() > 0 {
			out = append(out, piece{b.String(), -1})
			b.Reset()
		}
	}
	group := func(name string) *rule.Error {
		n, bad := strconv.Atoi(name)
		if bad != nil {
			n = re.SubexpIndex(name)
		}
		if n < 0 || n > re.NumSubexp() {
			return l.fail(w.off, "the expression has no group "+strconv.Quote(name), "it has "+strconv.Itoa(re.NumSubexp())+"; put parentheses around what is to be kept")
		}
		flush()
		out = append(out, piece{"", n})
		return nil
	}
	for i := 0; i < len(s); {
		rest := s[i:]
		end := 0
		switch {
		case strings.HasPrefix(rest, "${") && strings.IndexByte(rest, '}') > 2:
			end = strings.IndexByte(rest, '}') + 1
			err = group(rest[2 : end-1])
		case strings.HasPrefix(rest, `\g<`) && strings.IndexByte(rest, '>') > 3:
			end = strings.IndexByte(rest, '>') + 1
			err = group(rest[3 : end-1])
		case len(rest) > 1 && rest[0] == '\\' && rest[1] >= '0' && rest[1] <= '9':
			end = 2
			if len(rest) > 2 && rest[2] >= '0' && rest[2] <= '9' {
				end = 3
			}
			err = group(rest[1:end])
		case strings.HasPrefix(rest, `\\`):
			end = 2
			b.WriteByte('\\')
		default:
			end = 1
			b.WriteByte(rest[0])
		}
		if err != nil {
			return nil, err
		}
		i += end
	}
	flush()
	return out, nil
}

// shellWords cuts text as a POSIX shell does: in ” all is itself, in "" a
// backslash escapes " and \, outside it escapes everything.
func shellWords(l *line, text string, off int) ([]word, *rule.Error) {
	var out []word
	for i := 0; i < len(text); {
		if text[i] == ' ' || text[i] == '\t' {
			i++
			continue
		}
		w := word{off: off + i}
		var b strings.Builder
		var quote byte
		for ; i < len(text); i++ {
			c := text[i]
			switch {
			case quote == 0 && (c == ' ' || c == '\t'):
			case quote == 0 && (c == '"' || c == '\''):
				quote = c
				w.off = off + i + 1
				continue
			case quote != 0 && c == quote:
				quote = 0
				continue
			case c == '\\' && quote != '\'' && i+1 < len(text) && (quote == 0 || text[i+1] == '"' || text[i+1] == '\\'):
				i++
				b.WriteByte(text[i])
				continue
			default:
				b.WriteByte(c)
				continue
			}
			break
		}
		if quote != 0 {
			return nil, l.fail(w.off-1, "the quote is not closed", "close it with "+string(quote))
		}
		w.text = b.String()
		out = append(out, w)
	}
	return out, nil
}

// apply edits r; nil is "nothing to do".
func (e *entry) apply(r *rule.Rule) (*rule.Rule, *rule.Error) {
	// The text is the file's; the action may have been changed since.
	old := r.Text()
	word, rest, _ := strings.Cut(old, " ")
	if a, ok := rule.ParseAction(word); ok && a != r.Action {
		old = r.Action.String() + " " + rest
	}
	var text string
	if e.effect == addMetadata {
		i := strings.LastIndexByte(old, ')')
		text = strings.TrimRight(old[:i], " \t") + " metadata:" + e.meta + ";)"
	} else {
		all := e.edit.re.FindAllStringSubmatchIndex(old, -1)
		if all == nil {
			return nil, nil
		}
		var b strings.Builder
		at := 0
		for _, m := range all {
			b.WriteString(old[at:m[0]])
			for _, p := range e.edit.with {
				switch {
				case p.group < 0:
					b.WriteString(p.text)
				case m[2*p.group] >= 0:
					b.WriteString(old[m[2*p.group]:m[2*p.group+1]])
				}
			}
			at = m[1]
		}
		b.WriteString(old[at:])
		text = b.String()
	}
	if text == old {
		return nil, nil
	}
	// Only another action: the rule's text and its places in the file stay.
	if a, tail, ok := strings.Cut(text, " "); ok && tail == rest {
		if act, known := rule.ParseAction(a); known {
			n := *r
			n.Action = act
			return &n, nil
		}
	}
	list, errs := rule.Parse(r.File, text, rule.Options{Disabled: true})
	if len(errs) > 0 || len(list) != 1 {
		why := "nothing is left of it"
		if len(errs) > 0 {
			why = errs[0].What
		}
		f := factsOf(r)
		w := e.warn("sid "+strconv.FormatUint(uint64(f.sid), 10)+" would be no rule any more, so it stays as it is: "+why, "")
		w.Sid = f.sid
		return nil, w
	}
	n := &list[0]
	n.Line, n.Disabled = r.Line, r.Disabled
	return n, nil
}
