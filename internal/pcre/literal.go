package pcre

import "slices"

// lead finds out where matches can begin and what they must contain.
func (c *compiler) lead(root *node, flags Flags) (l lead, needs []Literal) {
	w := litWalk{c: c}
	w.walk(root)
	w.flush()
	needs = w.out
	slices.SortStableFunc(needs, func(a, b Literal) int { return len(b.Bytes) - len(a.Bytes) })

	anchor := anchorOf(root)
	switch {
	case flags&Anchored != 0 || anchor == aStart:
		l.kind = leadStart
	case anchor == aBegin:
		l.kind = leadBegin
	case anchor == aLineBeg:
		l.kind = leadLine
	default:
		if dot, all := c.dotStar(root); dot {
			l.kind = leadLine
			if all {
				l.kind = leadStart
			}
			break
		}
		if i := slices.IndexFunc(needs, func(n Literal) bool { return n.Prefix }); i >= 0 {
			l.kind, l.lit = leadLit, newFinder(needs[i])
			break
		}
		if s, ok := c.first(0, map[int32]bool{}); ok && s.count() < 256 {
			l.kind, l.set = leadSet, s
			// A run that what must follow cannot be part of: if that does not follow, no place in the run is one.
			pc := 0
			for c.prog[pc].op == opOpen {
				pc++
			}
			if i := &c.prog[pc]; i.op == opLoop && i.min > 0 && i.max == inf && i.fx >= 0 && c.sets[i.set].disjoint(&c.sets[i.fx]) {
				l.kind, l.follow = leadRun, c.sets[i.fx]
			}
		}
	}
	// An attempt at one place is cheaper than a search for a literal.
	if l.kind != leadStart && l.kind != leadBegin || l.kind == leadStart && anchor == 0 && flags&Anchored == 0 {
		if i := slices.IndexFunc(needs, func(n Literal) bool { return l.kind != leadLit || !n.Prefix }); i >= 0 {
			l.absent = newFinder(needs[i])
		}
	}
	return l, needs
}

// anchorOf returns the assertion with which every match begins, or 0.
func anchorOf(n *node) byte {
	switch n.kind {
	case kAssert:
		if n.b == aBegin || n.b == aLineBeg || n.b == aStart {
			return n.b
		}
	case kCat:
		for _, s := range n.subs {
			if a := anchorOf(s); a != 0 {
				return a
			}
			if !zeroWidth(s) {
				return 0
			}
		}
	case kAlt:
		a := anchorOf(n.subs[0])
		for _, s := range n.subs[1:] {
			if anchorOf(s) != a {
				return 0
			}
		}
		return a
	case kGroup, kAtomic:
		return anchorOf(n.subs[0])
	case kRep:
		if n.min > 0 {
			return anchorOf(n.subs[0])
		}
	}
	return 0
}

func zeroWidth(n *node) bool {
	l, ok := fixedLen(n)
	return ok && l == 0
}

// dotStar reports whether the expression begins with .*: if a match fails where the search
// starts it fails up to the next newline too, or, if the dot matches everything, everywhere.
func (c *compiler) dotStar(n *node) (ok, all bool) {
	if c.p.hasRef || c.p.hasCond || c.p.hasCall {
		return false, false
	}
	for {
		switch {
		case n.kind == kCat:
			n = n.subs[0]
		case n.kind == kGroup:
			n = n.subs[0]
		case n.kind == kRep && n.min == 0 && n.max == inf && n.mode != possessive:
			s, ok := c.single(n.subs[0])
			if !ok {
				return false, false
			}
			switch not := s.not(); {
			case not.count() == 0:
				return true, true
			case not.count() == 1 && not.has('\n'):
				return true, false
			}
			return false, false
		default:
			return false, false
		}
	}
}

// litWalk collects literals. A run is open while nodes follow each other without a gap.
type litWalk struct {
	c      *compiler
	out    []Literal
	run    []byte
	fold   bool
	prefix bool // the open run began at the start of the expression
	inside bool // some byte or gap has passed: no run can be a prefix any more
	visits int
}

const (
	maxLiteral = 64
	maxVisits  = 1 << 14 // nested repeats multiply
)

func (w *litWalk) flush() {
	if len(w.run) > 0 {
		l := Literal{Bytes: w.run, NoCase: w.fold, Prefix: w.prefix}
		if l.NoCase {
			for i, b := range l.Bytes {
				l.Bytes[i] = lowerByte(b)
			}
		}
		w.out = append(w.out, l)
	}
	w.run, w.fold = nil, false
	w.inside = true
}

// walk visits a node that every match passes.
func (w *litWalk) walk(n *node) {
	if w.visits++; w.visits > maxVisits {
		w.flush()
		return
	}
	if b, fold, ok := w.c.charOf(n); ok {
		if len(w.run) == 0 {
			w.prefix = !w.inside
		}
		if len(w.run) >= maxLiteral {
			w.flush()
			w.prefix = false
		}
		w.run = append(w.run, b)
		w.fold = w.fold || fold
		return
	}
	switch n.kind {
	case kEmpty:
	case kAssert, kKeep:
		// Takes no byte: the run goes on.
	case kCat:
		for _, s := range n.subs {
			w.walk(s)
		}
	case kGroup, kAtomic:
		w.walk(n.subs[0])
	case kRep:
		// Once through the body for certain, then nobody knows.
		if n.min > 0 {
			for range min(n.min, 16) {
				w.walk(n.subs[0])
			}
			if n.min == n.max && n.min <= 16 {
				return
			}
		}
		w.flush()
	case kLook:
		// Other bytes, or the same again: no part of the run, and no gap.
	default:
		w.flush()
	}
}
