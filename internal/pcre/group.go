package pcre

import "strings"

// group reads a parenthesis whose opening character, at offset at, is already read.
// A nil node without error is an option setting such as (?i).
func (p *parser) group(at int) (*node, bool, error) {
	if p.peek("*") {
		return nil, false, p.fail(at, "backtracking verbs and alphabetic assertions (*...) are not supported")
	}
	if !p.take("?") {
		if p.nocap {
			n, err := p.body(at)
			return n, true, err
		}
		n, err := p.capture("", at)
		return n, true, err
	}
	switch {
	case p.take(":"):
		n, err := p.body(at)
		return n, true, err
	case p.take("|"):
		n, err := p.branchReset(at)
		return n, true, err
	case p.take(">"):
		n, err := p.body(at)
		return &node{kind: kAtomic, subs: []*node{n}}, true, err
	case p.take("="):
		return p.look(at, false, false)
	case p.take("!"):
		return p.look(at, false, true)
	case p.take("<="):
		return p.look(at, true, false)
	case p.take("<!"):
		return p.look(at, true, true)
	case p.take("P<"), p.take("<"):
		return p.named(at, '>')
	case p.take("'"):
		return p.named(at, '\'')
	case p.take("P="):
		name, err := p.name(at, ')')
		return p.ref(&node{kind: kRef}, name, at), true, err
	case p.take("P>"), p.take("&"):
		name, err := p.name(at, ')')
		if err != nil {
			return nil, false, err
		}
		n, err := p.call(name, at)
		return n, true, err
	case p.take("("):
		n, err := p.cond(at)
		return n, true, err
	case p.peek("C"):
		return nil, false, p.fail(at, "callouts are not supported")
	}
	if p.more() {
		c := p.src[p.pos]
		next := byte(0)
		if p.pos+1 < len(p.src) {
			next = p.src[p.pos+1]
		}
		if c == 'R' || c-'0' < 10 || (c == '+' || c == '-') && next-'0' < 10 {
			end := strings.IndexByte(p.src[p.pos:], ')')
			if end < 0 {
				return nil, false, p.fail(at, "missing closing parenthesis")
			}
			s := p.src[p.pos : p.pos+end]
			if s != "R" && !digits(strings.TrimLeft(s, "+-")) {
				return nil, false, p.fail(at, "unrecognized character in a subroutine call")
			}
			p.pos += end + 1
			n, err := p.call(s, at)
			return n, true, err
		}
	}
	return p.options(at)
}

// body reads up to and with the closing parenthesis; options set inside end there.
func (p *parser) body(at int) (*node, error) {
	flags, nocap, dupes := p.flags, p.nocap, p.dupes
	n, err := p.alternation()
	if err != nil {
		return nil, err
	}
	if !p.take(")") {
		return nil, p.fail(at, "missing closing parenthesis")
	}
	p.flags, p.nocap, p.dupes = flags, nocap, dupes
	return n, nil
}

func (p *parser) capture(name string, at int) (*node, error) {
	if p.ngroups++; p.ngroups > maxGroup {
		return nil, p.fail(at, "too many groups")
	}
	g := &node{kind: kGroup, n: p.ngroups}
	if name != "" {
		if old := p.names[name]; len(old) > 0 && !p.dupes && old[0] != g.n {
			return nil, p.fail(at, "two named groups have the same name: %s", name)
		}
		p.names[name] = append(p.names[name], g.n)
	}
	n, err := p.body(at)
	g.subs = []*node{n}
	return g, err
}

func (p *parser) named(at int, end byte) (*node, bool, error) {
	name, err := p.name(at, end)
	if err != nil {
		return nil, false, err
	}
	n, err := p.capture(name, at)
	return n, true, err
}

func (p *parser) look(at int, behind, neg bool) (*node, bool, error) {
	n, err := p.body(at)
	if err != nil {
		return nil, false, err
	}
	keeps := false
	collect(n, func(n *node) { keeps = keeps || n.kind == kKeep })
	if keeps {
		return nil, false, p.fail(at, "\\K is not allowed in lookarounds")
	}
	if behind {
		for _, b := range branches(n) {
			if _, ok := fixedLen(b); !ok {
				return nil, false, p.fail(at, "lookbehind assertion is not fixed length")
			}
		}
	}
	return &node{kind: kLook, behind: behind, neg: neg, subs: []*node{n}}, true, nil
}

func branches(n *node) []*node {
	if n.kind == kAlt {
		return n.subs
	}
	return []*node{n}
}

// fixedLen returns the number of bytes n always matches.
func fixedLen(n *node) (int, bool) {
	switch n.kind {
	case kChar, kSet:
		return 1, true
	case kEmpty, kAssert, kLook, kKeep:
		return 0, true
	case kCat:
		sum := 0
		for _, s := range n.subs {
			l, ok := fixedLen(s)
			if !ok {
				return 0, false
			}
			sum += l
		}
		return sum, sum <= maxCount
	case kAlt:
		first, ok := fixedLen(n.subs[0])
		for _, s := range n.subs[1:] {
			if l, k := fixedLen(s); !k || l != first {
				return 0, false
			}
		}
		return first, ok
	case kGroup, kAtomic:
		return fixedLen(n.subs[0])
	case kRep:
		l, ok := fixedLen(n.subs[0])
		return l * n.min, ok && n.min == n.max && l*n.min <= maxCount
	}
	return 0, false
}

// branchReset reads (?|a|b): every branch numbers its groups from the same number on.
func (p *parser) branchReset(at int) (*node, error) {
	if p.depth++; p.depth > maxNest {
		return nil, p.fail(p.pos, "parentheses are nested too deeply")
	}
	defer func() { p.depth-- }()
	flags, nocap, dupes := p.flags, p.nocap, p.dupes
	first, most := p.ngroups, p.ngroups
	alt := &node{kind: kAlt}
	for {
		p.ngroups = first
		n, err := p.concat()
		if err != nil {
			return nil, err
		}
		alt.subs = append(alt.subs, n)
		most = max(most, p.ngroups)
		if !p.take("|") {
			break
		}
	}
	if !p.take(")") {
		return nil, p.fail(at, "missing closing parenthesis")
	}
	p.ngroups = most
	p.flags, p.nocap, p.dupes = flags, nocap, dupes
	return alt, nil
}

// cond reads a conditional group after its "(?(".
func (p *parser) cond(at int) (*node, error) {
	p.hasCond = true
	n := &node{kind: kCond}
	var define bool
	switch {
	case p.peek("?=") || p.peek("?!") || p.peek("?<=") || p.peek("?<!"):
		look, _, err := p.group(p.pos - 1)
		if err != nil {
			return nil, err
		}
		n.subs = []*node{nil, nil, look}
	default:
		end := strings.IndexByte(p.src[p.pos:], ')')
		if end < 0 {
			return nil, p.fail(at, "missing closing parenthesis for condition")
		}
		s := p.src[p.pos : p.pos+end]
		p.pos += end + 1
		v, isNum, err := p.number(s, at)
		if err != nil {
			return nil, err
		}
		bare := s
		if len(s) > 2 && (s[0] == '<' && s[len(s)-1] == '>' || s[0] == '\'' && s[len(s)-1] == '\'') {
			bare = s[1 : len(s)-1]
		}
		switch {
		case isNum && v > 0:
			n.n = v
			p.refs = append(p.refs, ref{n, "", at})
		case s == "DEFINE":
			define = true
		case s == "R" || strings.HasPrefix(s, "R&") || len(s) > 1 && s[0] == 'R' && digits(s[1:]) || strings.HasPrefix(s, "VERSION"):
			return nil, p.fail(at, "condition (%s) is not supported", s)
		case isName(bare):
			p.refs = append(p.refs, ref{n, bare, at})
		default:
			return nil, p.fail(at, "malformed condition")
		}
		n.subs = []*node{nil, nil}
	}
	b, err := p.body(at)
	if err != nil {
		return nil, err
	}
	br := branches(b)
	if len(br) > 2 || define && len(br) > 1 {
		return nil, p.fail(at, "conditional group contains more than two branches")
	}
	if define {
		// Never entered in its place; its groups are there to be called.
		return &node{kind: kRep, subs: []*node{b}}, nil
	}
	n.subs[0], n.subs[1] = br[0], &node{kind: kEmpty}
	if len(br) == 2 {
		n.subs[1] = br[1]
	}
	return n, nil
}

// options reads (?imsx-imsx) and (?imsx-imsx:...).
func (p *parser) options(at int) (*node, bool, error) {
	old, oldNocap, oldDupes := p.flags, p.nocap, p.dupes
	on := true
	if p.take("^") {
		p.flags &^= Caseless | Multiline | DotAll | Extended
		p.nocap = false
	}
	set := func(f Flags) {
		if on {
			p.flags |= f
		} else {
			p.flags &^= f
		}
	}
	for p.more() {
		c := p.src[p.pos]
		p.pos++
		switch c {
		case 'i':
			set(Caseless)
		case 'm':
			set(Multiline)
		case 's':
			set(DotAll)
		case 'x':
			if p.peek("x") {
				return nil, false, p.fail(at, "option (?xx) is not supported")
			}
			set(Extended)
		case 'U':
			set(Ungreedy)
		case 'n':
			p.nocap = on
		case 'J':
			p.dupes = on
		case '-':
			if !on {
				return nil, false, p.fail(p.pos-1, "invalid hyphen in option setting")
			}
			on = false
		case ')':
			return nil, false, nil
		case ':':
			flags, nocap, dupes := p.flags, p.nocap, p.dupes
			p.flags, p.nocap, p.dupes = old, oldNocap, oldDupes
			n, err := p.bodyWith(at, flags, nocap, dupes)
			return n, true, err
		default:
			return nil, false, p.fail(p.pos-1, "unrecognized character after (?")
		}
	}
	return nil, false, p.fail(at, "missing closing parenthesis")
}

// bodyWith reads a group body under options of its own.
func (p *parser) bodyWith(at int, flags Flags, nocap, dupes bool) (*node, error) {
	old, oldNocap, oldDupes := p.flags, p.nocap, p.dupes
	p.flags, p.nocap, p.dupes = flags, nocap, dupes
	n, err := p.body(at)
	p.flags, p.nocap, p.dupes = old, oldNocap, oldDupes
	return n, err
}
