package pcre

import (
	"fmt"
	"strconv"
	"strings"
)

// Limits of PCRE itself: repeat counts and the nesting of parentheses.
const (
	maxCount = 65535
	maxNest  = 250
	maxGroup = 65535
)

type kind uint8

const (
	kEmpty  kind = iota
	kChar        // b, fold
	kSet         // set
	kCat         // subs
	kAlt         // subs
	kRep         // subs[0], min, max, mode
	kGroup       // subs[0] captured as n
	kRef         // back reference to group n (names, resolved later), fold
	kAssert      // a simple assertion: b is one of the letters below
	kLook        // subs[0]; behind, neg
	kAtomic      // subs[0]
	kCond        // condition n or subs[2] (a kLook); subs[0] yes, subs[1] no
	kCall        // subroutine call of group n
	kKeep        // \K
)

// The simple assertions.
const (
	aBegin   = 'A' // start of subject
	aLineBeg = '^' // start of subject or of an inner line
	aEnd     = 'z' // end of subject
	aEndNL   = 'Z' // end of subject, or before a final newline
	aLineEnd = '$' // end of subject or of a line
	aWord    = 'b'
	aNotWord = 'B'
	aStart   = 'G' // where the search began
)

const inf = -1

type mode uint8

const (
	greedy mode = iota
	lazy
	possessive
)

type node struct {
	kind     kind
	b        byte
	fold     bool
	neg      bool
	behind   bool
	mode     mode
	min, max int // max may be inf
	n        int
	names    []int // groups of a name that several groups bear
	set      set
	subs     []*node
}

type parser struct {
	src     string
	pos     int
	flags   Flags
	nocap   bool // (?n)
	dupes   bool // (?J)
	utf     bool // (*UTF)
	quote   bool // inside \Q..\E
	ngroups int
	depth   int
	names   map[string][]int
	refs    []ref
	calls   map[int]bool
	// Which features there are; they decide what optimisations are sound.
	hasRef, hasCond, hasCall bool
}

// ref is a reference by name or number to resolve when all groups are known.
type ref struct {
	node *node
	name string
	at   int
}

func (p *parser) fail(at int, format string, args ...any) error {
	return &Error{Expr: p.src, Offset: at, Msg: fmt.Sprintf(format, args...)}
}

func (p *parser) more() bool { return p.pos < len(p.src) }

func (p *parser) peek(s string) bool { return strings.HasPrefix(p.src[p.pos:], s) }

func (p *parser) take(s string) bool {
	if p.peek(s) {
		p.pos += len(s)
		return true
	}
	return false
}

func parse(src string, flags Flags) (*node, *parser, error) {
	p := &parser{src: src, flags: flags, names: map[string][]int{}, calls: map[int]bool{}}
	if err := p.settings(); err != nil {
		return nil, p, err
	}
	n, err := p.alternation()
	if err != nil {
		return nil, p, err
	}
	if p.utf {
		if err := p.plainUTF(n); err != nil {
			return nil, p, err
		}
	}
	if p.more() {
		return nil, p, p.fail(p.pos, "unmatched closing parenthesis")
	}
	for _, r := range p.refs {
		if r.name != "" {
			g := p.names[r.name]
			if len(g) == 0 {
				return nil, p, p.fail(r.at, "reference to a group name that does not exist: %s", r.name)
			}
			r.node.n, r.node.names = g[0], g
		}
		if r.node.n > p.ngroups || r.node.n < 0 {
			return nil, p, p.fail(r.at, "reference to a group that does not exist: %d", r.node.n)
		}
		if r.node.kind == kCall {
			p.calls[r.node.n] = true
		}
	}
	return n, p, nil
}

// settings reads what may stand before an expression: how libpcre2 is to go about it, which does
// not matter here, and (*UTF).
func (p *parser) settings() error {
	for p.peek("(*") {
		at := p.pos
		word, _, ok := strings.Cut(p.src[at+2:], ")")
		if !ok {
			return p.fail(at, "a verb is not closed")
		}
		p.pos += len(word) + 3
		switch name, _, _ := strings.Cut(word, "="); name {
		case "UTF", "UTF8":
			p.utf = true
		case "LF", "NO_START_OPT", "NO_AUTO_POSSESS", "NO_DOTSTAR_ANCHOR", "NO_JIT", "LIMIT_MATCH", "LIMIT_DEPTH", "LIMIT_RECURSION", "LIMIT_HEAP":
		default:
			return p.fail(at, "start-of-pattern settings but (*UTF), and backtracking verbs, are not supported")
		}
	}
	return nil
}

// plainUTF refuses an expression under (*UTF) that is not about single bytes of ASCII: only then
// characters and bytes are the same.
func (p *parser) plainUTF(root *node) (err error) {
	collect(root, func(n *node) {
		ascii := true
		switch n.kind {
		case kChar:
			ascii = n.b < 0x80 && !(n.fold && (n.b|0x20 == 'k' || n.b|0x20 == 's'))
		case kSet:
			// The long s and the sign of Kelvin are k and s in another case.
			folds := p.flags&Caseless != 0 || strings.Contains(p.src, "(?")
			ascii = n.set[2]|n.set[3] == 0 && !(folds && (n.set.has('k') || n.set.has('s')))
		case kRef:
			ascii = !n.fold
		}
		if !ascii && err == nil {
			err = p.fail(0, "under (*UTF) only characters of ASCII and classes of such are supported")
		}
	})
	return err
}

func (p *parser) alternation() (*node, error) {
	if p.depth++; p.depth > maxNest {
		return nil, p.fail(p.pos, "parentheses are nested too deeply")
	}
	defer func() { p.depth-- }()
	var alts []*node
	for {
		n, err := p.concat()
		if err != nil {
			return nil, err
		}
		alts = append(alts, n)
		if !p.take("|") {
			break
		}
	}
	if len(alts) == 1 {
		return alts[0], nil
	}
	return &node{kind: kAlt, subs: alts}, nil
}

func (p *parser) concat() (*node, error) {
	cat := &node{kind: kCat}
	for p.more() {
		c := p.src[p.pos]
		if p.quote {
			if p.take(`\E`) {
				p.quote = false
				continue
			}
		} else {
			if c == '|' || c == ')' {
				break
			}
			if p.take(`\Q`) {
				p.quote = true
				continue
			}
			if p.take(`\E`) {
				continue
			}
			if p.flags&Extended != 0 {
				if c == ' ' || '\t' <= c && c <= '\r' {
					p.pos++
					continue
				}
				if c == '#' {
					p.comment()
					continue
				}
			}
			if p.peek("(?#") {
				end := strings.IndexByte(p.src[p.pos:], ')')
				if end < 0 {
					return nil, p.fail(p.pos, "missing ) after (?# comment")
				}
				p.pos += end + 1
				continue
			}
		}
		at := p.pos
		n, quantifiable, err := p.atom()
		if err != nil {
			return nil, err
		}
		if n == nil { // option setting
			continue
		}
		if n, err = p.quantifier(n, quantifiable, at); err != nil {
			return nil, err
		}
		cat.subs = append(cat.subs, n)
	}
	switch len(cat.subs) {
	case 0:
		return &node{kind: kEmpty}, nil
	case 1:
		return cat.subs[0], nil
	}
	return cat, nil
}

func (p *parser) comment() {
	if end := strings.IndexByte(p.src[p.pos:], '\n'); end >= 0 {
		p.pos += end + 1
	} else {
		p.pos = len(p.src)
	}
}

// skipSpace passes what extended mode ignores between an item and its quantifier.
func (p *parser) skipSpace() {
	for !p.quote && p.more() {
		c := p.src[p.pos]
		switch {
		case p.flags&Extended != 0 && (c == ' ' || '\t' <= c && c <= '\r'):
			p.pos++
		case p.flags&Extended != 0 && c == '#':
			p.comment()
		case p.peek("(?#") && strings.IndexByte(p.src[p.pos:], ')') >= 0:
			p.pos += strings.IndexByte(p.src[p.pos:], ')') + 1
		default:
			return
		}
	}
}

func (p *parser) quantifier(n *node, ok bool, at int) (*node, error) {
	if p.quote {
		if !p.peek(`\E`) {
			return n, nil
		}
		p.pos += 2
		p.quote = false
	}
	for p.take(`\E`) {
	}
	p.skipSpace()
	if !p.more() {
		return n, nil
	}
	lo, hi := 0, 0
	q := p.pos
	switch p.src[p.pos] {
	case '*':
		lo, hi = 0, inf
		p.pos++
	case '+':
		lo, hi = 1, inf
		p.pos++
	case '?':
		lo, hi = 0, 1
		p.pos++
	case '{':
		var isq bool
		var err error
		if lo, hi, isq, err = p.braces(); err != nil {
			return nil, err
		}
		if !isq {
			return n, nil
		}
	default:
		return n, nil
	}
	if !ok {
		return nil, p.fail(q, "quantifier does not follow a repeatable item")
	}
	m := greedy
	if p.flags&Ungreedy != 0 {
		m = lazy
	}
	p.skipSpace()
	switch {
	case p.take("?"):
		m ^= lazy
	case p.take("+"):
		m = possessive
	}
	p.skipSpace()
	if p.more() && strings.IndexByte("*+?", p.src[p.pos]) >= 0 {
		return nil, p.fail(p.pos, "quantifier does not follow a repeatable item")
	}
	if n.kind == kLook {
		// An assertion is as true the second time: once or not at all.
		lo = min(lo, 1)
		if hi != 0 {
			hi = 1
		}
	}
	return &node{kind: kRep, min: lo, max: hi, mode: m, subs: []*node{n}, n: at}, nil
}

// braces reads {n}, {n,} or {n,m}; anything else after a brace is literal text.
func (p *parser) braces() (lo, hi int, ok bool, err error) {
	end := strings.IndexByte(p.src[p.pos:], '}')
	if end < 0 {
		return 0, 0, false, nil
	}
	a, b, two := strings.Cut(p.src[p.pos+1:p.pos+end], ",")
	if !digits(a) || two && b != "" && !digits(b) {
		return 0, 0, false, nil
	}
	at := p.pos
	p.pos += end + 1
	num := func(s string) int {
		v, e := strconv.Atoi(s)
		if e != nil || v > maxCount {
			err = p.fail(at, "number too big in {} quantifier")
		}
		return v
	}
	lo = num(a)
	switch {
	case !two:
		hi = lo
	case b == "":
		hi = inf
	default:
		if hi = num(b); err == nil && hi < lo {
			err = p.fail(at, "numbers out of order in {} quantifier")
		}
	}
	return lo, hi, true, err
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i]-'0' > 9 {
			return false
		}
	}
	return s != ""
}

func (p *parser) char(b byte) *node {
	return &node{kind: kChar, b: b, fold: p.flags&Caseless != 0 && (b|0x20)-'a' < 26}
}

// atom reads one item; a nil node without error is an option setting.
func (p *parser) atom() (n *node, quantifiable bool, err error) {
	c := p.src[p.pos]
	if p.quote {
		p.pos++
		return p.char(c), true, nil
	}
	at := p.pos
	p.pos++
	switch c {
	case '(':
		return p.group(at)
	case '[':
		n, err := p.class(at)
		return n, true, err
	case '\\':
		return p.escape(at)
	case '.':
		s := fullSet()
		if p.flags&DotAll == 0 {
			s, _ = escapeSet('N')
		}
		return &node{kind: kSet, set: s}, true, nil
	case '^':
		if p.flags&Multiline != 0 {
			return &node{kind: kAssert, b: aLineBeg}, false, nil
		}
		return &node{kind: kAssert, b: aBegin}, false, nil
	case '$':
		switch {
		case p.flags&Multiline != 0:
			return &node{kind: kAssert, b: aLineEnd}, false, nil
		case p.flags&DollarEndOnly != 0:
			return &node{kind: kAssert, b: aEnd}, false, nil
		}
		return &node{kind: kAssert, b: aEndNL}, false, nil
	case '*', '+', '?':
		return nil, false, p.fail(at, "quantifier does not follow a repeatable item")
	case '{':
		p.pos = at
		if _, _, isq, err := p.braces(); isq || err != nil {
			return nil, false, p.fail(at, "quantifier does not follow a repeatable item")
		}
		p.pos = at + 1
	}
	return p.char(c), true, nil
}

func (p *parser) escape(at int) (*node, bool, error) {
	if !p.more() {
		return nil, false, p.fail(at, "\\ at end of pattern")
	}
	c := p.src[p.pos]
	p.pos++
	if s, ok := escapeSet(c); ok {
		if c == 'N' && p.peek("{") {
			if _, _, isq, _ := p.braces(); !isq {
				return nil, false, p.fail(at, "\\N{name} is not supported")
			}
			p.pos = at + 2
		}
		return &node{kind: kSet, set: s}, true, nil
	}
	switch c {
	case 'A', 'z', 'Z', 'b', 'B', 'G':
		return &node{kind: kAssert, b: c}, false, nil
	case 'K':
		return &node{kind: kKeep}, false, nil
	case 'C':
		return &node{kind: kSet, set: fullSet()}, true, nil
	case 'R':
		crlf := &node{kind: kCat, subs: []*node{{kind: kChar, b: '\r'}, {kind: kChar, b: '\n'}}}
		one, _ := escapeSet('v')
		return &node{kind: kAtomic, subs: []*node{{kind: kAlt, subs: []*node{crlf, {kind: kSet, set: one}}}}}, true, nil
	case 'p', 'P':
		s, err := p.property(at, c == 'P')
		return &node{kind: kSet, set: s}, true, err
	case 'g':
		return p.gref(at)
	case 'k':
		for _, q := range []string{"{}", "<>", "''"} {
			if p.take(q[:1]) {
				name, err := p.name(at, q[1])
				return p.ref(&node{kind: kRef}, name, at), true, err
			}
		}
		return nil, false, p.fail(at, "\\k is not followed by a name")
	}
	if c-'1' < 9 {
		end := p.pos
		for end < len(p.src) && p.src[end]-'0' < 10 {
			end++
		}
		v, err := strconv.Atoi(p.src[p.pos-1 : end])
		if err == nil && (v < 10 || c >= '8' || v <= p.ngroups) {
			p.pos = end
			n := &node{kind: kRef, n: v}
			return p.ref(n, "", at), true, nil
		}
	}
	b, err := p.byteEscape(c, at)
	if err != nil {
		return nil, false, err
	}
	return p.char(b), true, nil
}

// ref records a reference to resolve and gives it the case rule in force.
func (p *parser) ref(n *node, name string, at int) *node {
	n.fold = p.flags&Caseless != 0
	p.refs = append(p.refs, ref{n, name, at})
	if n.kind == kRef {
		p.hasRef = true
	}
	return n
}

func (p *parser) gref(at int) (*node, bool, error) {
	for _, q := range []string{"<>", "''"} {
		if p.take(q[:1]) {
			end := strings.IndexByte(p.src[p.pos:], q[1])
			if end < 0 {
				return nil, false, p.fail(at, "\\g is not followed by a closed name or number")
			}
			s := p.src[p.pos : p.pos+end]
			p.pos += end + 1
			n, err := p.call(s, at)
			return n, true, err
		}
	}
	var s string
	if p.take("{") {
		end := strings.IndexByte(p.src[p.pos:], '}')
		if end < 0 {
			return nil, false, p.fail(at, "\\g{ is not closed")
		}
		s = p.src[p.pos : p.pos+end]
		p.pos += end + 1
	} else {
		end := p.pos
		if end < len(p.src) && (p.src[end] == '-' || p.src[end] == '+') {
			end++
		}
		for end < len(p.src) && p.src[end]-'0' < 10 {
			end++
		}
		s = p.src[p.pos:end]
		p.pos = end
	}
	v, isNum, err := p.number(s, at)
	if err != nil {
		return nil, false, err
	}
	if isNum {
		if v == 0 {
			return nil, false, p.fail(at, "a back reference to group 0 is not allowed")
		}
		return p.ref(&node{kind: kRef, n: v}, "", at), true, nil
	}
	if !isName(s) {
		return nil, false, p.fail(at, "\\g is not followed by a name or number")
	}
	return p.ref(&node{kind: kRef}, s, at), true, nil
}

// number reads a group number, absolute or relative to the groups opened so far.
func (p *parser) number(s string, at int) (v int, ok bool, err error) {
	t := strings.TrimLeft(s, "+-")
	if !digits(t) || len(s)-len(t) > 1 {
		return 0, false, nil
	}
	v, err = strconv.Atoi(t)
	if err != nil || v > maxGroup {
		return 0, false, p.fail(at, "group number too big")
	}
	switch s[0] {
	case '-':
		if v = p.ngroups + 1 - v; v <= 0 {
			return 0, false, p.fail(at, "reference to a group that does not exist: %s", s)
		}
	case '+':
		v += p.ngroups
	}
	return v, true, nil
}

func (p *parser) call(s string, at int) (*node, error) {
	p.hasCall = true
	if s == "R" {
		s = "0"
	}
	v, isNum, err := p.number(s, at)
	if err != nil {
		return nil, err
	}
	if isNum {
		return p.ref(&node{kind: kCall, n: v}, "", at), nil
	}
	if !isName(s) {
		return nil, p.fail(at, "subroutine name or number expected")
	}
	return p.ref(&node{kind: kCall}, s, at), nil
}

func isName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c != '_' && (c|0x20)-'a' >= 26 && (c-'0' > 9 || i == 0) {
			return false
		}
	}
	return s != "" && len(s) <= 32
}

func (p *parser) name(at int, end byte) (string, error) {
	i := strings.IndexByte(p.src[p.pos:], end)
	if i < 0 || !isName(p.src[p.pos:p.pos+i]) {
		return "", p.fail(at, "group name expected")
	}
	s := p.src[p.pos : p.pos+i]
	p.pos += i + 1
	return s, nil
}

func (p *parser) property(at int, neg bool) (set, error) {
	var name string
	switch {
	case p.take("{"):
		end := strings.IndexByte(p.src[p.pos:], '}')
		if end < 0 {
			return set{}, p.fail(at, "malformed \\p")
		}
		name = p.src[p.pos : p.pos+end]
		p.pos += end + 1
	case p.more():
		name = p.src[p.pos : p.pos+1]
		p.pos++
	}
	s, ok := propertySet(name)
	if !ok {
		return set{}, p.fail(at, "unknown property after \\p: %q", name)
	}
	if neg {
		s = s.not()
	}
	return s, nil
}

// byteEscape reads the rest of an escape that means one byte; c, its first byte, is already read.
func (p *parser) byteEscape(c byte, at int) (byte, error) {
	octal := func(max int) int {
		v := 0
		for i := 0; i < max && p.more() && p.src[p.pos]-'0' < 8; i++ {
			v = v<<3 | int(p.src[p.pos]-'0')
			p.pos++
		}
		return v
	}
	var v int
	switch c {
	case 'a':
		return 7, nil
	case 'e':
		return 27, nil
	case 'f':
		return '\f', nil
	case 'n':
		return '\n', nil
	case 'r':
		return '\r', nil
	case 't':
		return '\t', nil
	case 'c':
		if !p.more() || p.src[p.pos] < ' ' || p.src[p.pos] > '~' {
			return 0, p.fail(at, "\\c must be followed by a printable ASCII character")
		}
		x := p.src[p.pos]
		p.pos++
		if x-'a' < 26 {
			x -= 0x20
		}
		return x ^ 0x40, nil
	case 'x':
		if p.take("{") {
			end := strings.IndexByte(p.src[p.pos:], '}')
			if end < 0 {
				return 0, p.fail(at, "\\x{ is not closed")
			}
			u, err := strconv.ParseUint(p.src[p.pos:p.pos+end], 16, 32)
			if err != nil || u > 255 {
				return 0, p.fail(at, "character code in \\x{} is not a byte")
			}
			p.pos += end + 1
			return byte(u), nil
		}
		for i := 0; i < 2 && p.more(); i++ {
			h := unhex(p.src[p.pos])
			if h < 0 {
				break
			}
			v = v<<4 | h
			p.pos++
		}
		return byte(v), nil
	case 'o':
		if !p.take("{") {
			return 0, p.fail(at, "missing opening brace after \\o")
		}
		v = octal(8)
		if !p.take("}") || v > 255 {
			return 0, p.fail(at, "character code in \\o{} is not a byte")
		}
		return byte(v), nil
	case '0', '1', '2', '3', '4', '5', '6', '7':
		p.pos--
		if v = octal(3); v > 255 {
			return 0, p.fail(at, "octal value is greater than \\377")
		}
		return byte(v), nil
	}
	if (c|0x20)-'a' < 26 || c == '8' || c == '9' {
		return 0, p.fail(at, "unrecognized or unsupported escape \\%c", c)
	}
	return c, nil
}

func unhex(c byte) int {
	switch {
	case c-'0' < 10:
		return int(c - '0')
	case (c|0x20)-'a' < 6:
		return int(c|0x20) - 'a' + 10
	}
	return -1
}

// class reads a character class after its opening bracket.
func (p *parser) class(at int) (*node, error) {
	// [:name:] outside a class is a likely mistake that PCRE refuses.
	if i := strings.Index(p.src[p.pos:], ":]"); p.peek(":") && i > 0 {
		if _, ok := posixSet(strings.TrimPrefix(p.src[p.pos+1:p.pos+i], "^")); ok {
			return nil, p.fail(at, "POSIX named classes are supported only within a class")
		}
	}
	neg := p.take("^")
	var s set
	last := -1 // byte a range can start with
	quote, first := false, true
	for ; ; first = false {
		if !p.more() {
			return nil, p.fail(at, "missing terminating ] for character class")
		}
		c := p.src[p.pos]
		if quote {
			if p.take(`\E`) {
				quote = false
				continue
			}
		} else {
			switch {
			case c == ']' && !first:
				p.pos++
				if p.flags&Caseless != 0 {
					s.fold()
				}
				if neg {
					s = s.not()
				}
				return &node{kind: kSet, set: s}, nil
			case p.take(`\Q`):
				quote = true
				continue
			case p.take(`\E`):
				continue
			case p.peek("[:") || p.peek("[.") || p.peek("[="):
				kind := p.src[p.pos+1]
				end := strings.Index(p.src[p.pos+2:], string(kind)+"]")
				if end >= 0 && strings.IndexByte(p.src[p.pos+2:p.pos+2+end], ']') < 0 {
					name := p.src[p.pos+2 : p.pos+2+end]
					if kind != ':' {
						return nil, p.fail(p.pos, "POSIX collating elements are not supported")
					}
					pneg := strings.HasPrefix(name, "^")
					ps, ok := posixSet(strings.TrimPrefix(name, "^"))
					if !ok {
						return nil, p.fail(p.pos, "unknown POSIX class name: %s", name)
					}
					if p.flags&Caseless != 0 && (name == "lower" || name == "upper" || name == "^lower" || name == "^upper") {
						ps, _ = posixSet("alpha")
					}
					if pneg {
						ps = ps.not()
					}
					s.union(ps)
					p.pos += 2 + end + 2
					if p.peek("-") && !p.peek("-]") {
						return nil, p.fail(p.pos, "invalid range in character class")
					}
					last = -1
					continue
				}
			}
		}
		item := p.pos
		b, sub, err := p.classItem(quote)
		if err != nil {
			return nil, err
		}
		if sub != nil {
			s.union(*sub)
			if p.peek("-") && !p.peek("-]") {
				return nil, p.fail(p.pos, "invalid range in character class")
			}
			continue
		}
		last = int(b)
		// A range, unless the hyphen is the last in the class.
		save, saveQuote := p.pos, quote
		for quote && p.take(`\E`) {
			quote = false
		}
		if !quote && p.peek("-") && p.pos+1 < len(p.src) && p.src[p.pos+1] != ']' {
			p.pos++
			for p.take(`\E`) {
			}
			if p.take(`\Q`) {
				quote = true
			}
			if !p.more() {
				return nil, p.fail(at, "missing terminating ] for character class")
			}
			if !quote && (p.peek("[:") && strings.Contains(p.src[p.pos:], ":]")) {
				return nil, p.fail(p.pos, "invalid range in character class")
			}
			hi, sub, err := p.classItem(quote)
			if err != nil {
				return nil, err
			}
			if sub != nil {
				return nil, p.fail(item, "invalid range in character class")
			}
			if int(hi) < last {
				return nil, p.fail(item, "range out of order in character class")
			}
			s.addRange(byte(last), hi)
			continue
		}
		p.pos, quote = save, saveQuote
		s.add(b)
	}
}

// classItem reads one byte or one class escape within a class.
func (p *parser) classItem(quote bool) (byte, *set, error) {
	at := p.pos
	c := p.src[p.pos]
	p.pos++
	if c != '\\' || quote {
		return c, nil, nil
	}
	if !p.more() {
		return 0, nil, p.fail(at, "\\ at end of pattern")
	}
	c = p.src[p.pos]
	p.pos++
	switch c {
	case 'b':
		return 8, nil, nil
	case 'B', 'R', 'X', 'N':
		return 0, nil, p.fail(at, "escape sequence \\%c is invalid in a character class", c)
	case 'p', 'P':
		s, err := p.property(at, c == 'P')
		return 0, &s, err
	}
	if s, ok := escapeSet(c); ok {
		return 0, &s, nil
	}
	b, err := p.byteEscape(c, at)
	return b, nil, err
}
