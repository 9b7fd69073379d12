package policy

import (
	"path"
	"regexp"
	"regexp/syntax"
	"strconv"
	"strings"

	"github.com/garita/garita/rule"
)

type matchKind uint8

const (
	everything matchKind = iota
	bySid
	byGroup
	byPath
	byClass
	byMetadata
	byMsg
	byProto
	byAction
	byText
)

// matcher is one condition on a rule.
type matcher struct {
	kind   matchKind
	not    bool
	ids    []idRange
	key    string   // of metadata, lower case
	values []string // alternatives; lower case where case is ignored
	re     *regexp.Regexp
	needs  string // lower case: every text that re matches holds this
}

type idRange struct{ gid, lo, hi uint32 }

// wide says whether there are too many ids to list each.
func (m *matcher) wide() bool {
	n := 0
	for _, r := range m.ids {
		n += int(r.hi - r.lo)
	}
	return n > 4096
}

// facts is what matchers ask about a rule.
type facts struct {
	r        *rule.Rule
	gid, sid uint32
	class    string
	msg      string // lower case
	noalert  bool
	lower    string // the text in lower case, once asked for
}

func factsOf(r *rule.Rule) facts {
	f := facts{r: r, gid: 1}
	for i := range r.Options {
		o := &r.Options[i]
		switch o.Name {
		case "sid":
			n, _ := strconv.ParseUint(o.Value, 10, 32)
			f.sid = uint32(n)
		case "gid":
			n, _ := strconv.ParseUint(o.Value, 10, 32)
			f.gid = uint32(n)
		case "classtype":
			f.class = strings.ToLower(o.Value)
		case "msg":
			_, _, text, _ := rule.Quoted(o.Value)
			f.msg = strings.ToLower(rule.Unescape(text))
		case "noalert":
			f.noalert = true
		case "flowbits", "xbits", "hostbits":
			v := strings.TrimSpace(o.Value)
			if strings.EqualFold(v, "noalert") || strings.HasSuffix(strings.ToLower(v), ",noalert") {
				f.noalert = true
			}
		}
	}
	return f
}

// match says whether m holds, not counting not.
func (m *matcher) match(f *facts) bool {
	switch m.kind {
	case everything:
		return true
	case bySid:
		for _, r := range m.ids {
			if r.gid == f.gid && f.sid >= r.lo && f.sid <= r.hi {
				return true
			}
		}
	case byGroup:
		base := path.Base(f.r.File)
		return m.one(base) || m.one(strings.TrimSuffix(base, path.Ext(base)))
	case byPath:
		return m.one(f.r.File) || m.one(path.Base(f.r.File))
	case byClass:
		return m.one(f.class)
	case byMsg:
		return m.one(f.msg)
	case byProto:
		return m.one(f.r.Proto)
	case byAction:
		return m.one(f.r.Action.String())
	case byMetadata:
		for i := range f.r.Options {
			o := &f.r.Options[i]
			if o.Name != "metadata" {
				continue
			}
			for kv := range strings.SplitSeq(o.Value, ",") {
				k, v, _ := strings.Cut(strings.TrimSpace(kv), " ")
				if strings.EqualFold(k, m.key) && m.one(strings.ToLower(strings.TrimSpace(v))) {
					return true
				}
			}
		}
	case byText:
		if m.needs != "" {
			if f.lower == "" {
				f.lower = strings.ToLower(f.r.Text())
			}
			if !strings.Contains(f.lower, m.needs) {
				return false
			}
		}
		return m.re.MatchString(f.r.Text())
	}
	return false
}

func (m *matcher) one(s string) bool {
	for _, v := range m.values {
		if glob(v, s) {
			return true
		}
	}
	return false
}

// glob says whether s is what pattern describes: * is any text, ? any byte,
// [a-z] and [!a-z] a byte out of, or not out of, a set.
func glob(pattern, s string) bool {
	// Where to go on when what follows the last * does not fit.
	star, back := -1, 0
	p, i := 0, 0
	for i < len(s) {
		if p < len(pattern) {
			switch c := pattern[p]; c {
			case '*':
				star, back = p, i
				p++
				continue
			case '?':
				p++
				i++
				continue
			case '[':
				if n, ok := set(pattern[p:], s[i]); n > 0 {
					if ok {
						p += n
						i++
						continue
					}
					break
				}
				fallthrough
			default:
				if c == s[i] {
					p++
					i++
					continue
				}
			}
		}
		if star < 0 {
			return false
		}
		back++
		p, i = star+1, back
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// set reads the set that pattern begins with: its length (0 if it is not
// closed, and [ stands for itself) and whether c is in it.
func set(pattern string, c byte) (n int, in bool) {
	i := 1
	not := i < len(pattern) && pattern[i] == '!'
	if not {
		i++
	}
	for first := true; i < len(pattern) && (pattern[i] != ']' || first); first = false {
		lo, hi := pattern[i], pattern[i]
		if i+2 < len(pattern) && pattern[i+1] == '-' && pattern[i+2] != ']' {
			hi = pattern[i+2]
			i += 2
		}
		i++
		in = in || lo <= c && c <= hi
	}
	if i >= len(pattern) {
		return 0, false
	}
	return i + 1, in != not
}

// compile makes an expression that ignores case, and the text it cannot match
// without: most rules are told apart by that alone.
func compile(expr string) (*regexp.Regexp, string, error) {
	re, err := regexp.Compile("(?i)" + expr)
	if err != nil {
		return nil, "", err
	}
	needs := ""
	if t, err := syntax.Parse("(?i)"+expr, syntax.Perl); err == nil {
		needs = literal(t.Simplify())
	}
	return re, needs, nil
}

// literal is the longest plain ASCII text that all matches of t hold, in lower
// case.
func literal(t *syntax.Regexp) string {
	switch t.Op {
	case syntax.OpLiteral:
		// ſ folds to s, but is no capital of it.
		best, run := "", ""
		for _, c := range t.Rune {
			if c >= 0x80 || c == 's' || c == 'S' {
				run = ""
				continue
			}
			run += strings.ToLower(string(c))
			if len(run) > len(best) {
				best = run
			}
		}
		return best
	case syntax.OpCapture, syntax.OpPlus:
		return literal(t.Sub[0])
	case syntax.OpRepeat:
		if t.Min > 0 {
			return literal(t.Sub[0])
		}
	case syntax.OpConcat:
		best := ""
		for _, s := range t.Sub {
			if l := literal(s); len(l) > len(best) {
				best = l
			}
		}
		return best
	}
	return ""
}
