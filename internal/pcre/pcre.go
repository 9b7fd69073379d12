// Package pcre matches Perl-compatible regular expressions against bytes.
//
// It is what the pcre keyword of a rule needs and what no Go library gives: bytes
// are bytes (no UTF-8), leftmost-first choice, back references,
// look-around, atomic groups and possessive repeats, conditions, recursion, repeat counts to 65,535,
// a bound on time and memory, and no allocation in a match. The syntax and the
// meaning are those of PCRE2's pcre2pattern(3) without UTF and UCP in the C locale,
// newline LF. Not supported, and refused by name: backtracking verbs (*...),
// settings before the expression but (*UTF), callouts, \X, \N{name}, (?xx), conditions on recursion, variable-length lookbehind.
//
// # Engine
//
// The expression becomes a program for a backtracking machine with a stack of its own. What
// keeps it from the usual fates of such machines:
//
//   - A repeat of one byte class is one instruction and one stack frame, and knows which
//     bytes can follow it: it stops only there, and where the class excludes
//     them it does not backtrack at all.
//   - A choice looks at the next byte before it remembers an alternative.
//   - A search skips to places where a match can begin: a literal prefix, a set
//     of first bytes, a line start; and does not start when a literal that every
//     match contains is absent.
//   - After 4,096 steps it begins to remember where it failed (one bit an instruction
//     and position). From then on the work is linear in the buffer, for all expressions without back
//     references, counted groups too big to write out, conditions on groups, and recursion.
//   - A budget of steps ends the rest.
//
// The budget differs from libpcre2's match limit on purpose. Suricata sets 3,500, but its just-in-time
// code counts only turns of groups, afresh for every start of the search, not single bytes: a real match can need
// many of our steps. [DefaultSteps] bounds a search to milliseconds, and
// what is linear never comes near it.
package pcre

import (
	"fmt"
	"math"
	"unicode/utf8"
)

// Flags are the options of an expression, those that PCRE spells as letters after it.
type Flags uint16

const (
	Caseless      Flags = 1 << iota // i: letters match in both cases
	Multiline                       // m: ^ and $ match at inner lines too
	DotAll                          // s: the dot matches a newline too
	Extended                        // x: white space and #comments are ignored
	Anchored                        // A: a match begins where the search begins, nowhere else
	DollarEndOnly                   // E: $ matches at the very end only
	Ungreedy                        // G: repeats are lazy, and greedy with ?
	Captures                        // record all groups for Scratch.Group, not only those the expression refers to
)

// ParseFlags takes the letters i, m, s, x, A, E and G out of letters and returns
// the others in their order; they are the rule language's.
func ParseFlags(letters string) (f Flags, rest string) {
	var other []byte
	for i := range len(letters) {
		switch letters[i] {
		case 'i':
			f |= Caseless
		case 'm':
			f |= Multiline
		case 's':
			f |= DotAll
		case 'x':
			f |= Extended
		case 'A':
			f |= Anchored
		case 'E':
			f |= DollarEndOnly
		case 'G':
			f |= Ungreedy
		default:
			other = append(other, letters[i])
		}
	}
	return f, string(other)
}

// Error says what is wrong with an expression and where.
type Error struct {
	Expr   string
	Offset int // in bytes
	Msg    string
}

func (e *Error) Error() string {
	return fmt.Sprintf("pcre: %s at offset %d of %q", e.Msg, e.Offset, e.Expr)
}

// Regexp is a compiled expression, immutable and safe for concurrent use.
type Regexp struct {
	expr    string
	flags   Flags
	prog    []inst
	sets    []set
	lits    []string
	refs    [][]int
	names   map[string]int
	ngroups int
	ncap    int // groups with registers, group 0 included
	nregs   int
	callReg int32
	nmemo   int32
	memoOK  bool
	utf     bool // data that is not UTF-8 matches nothing
	lead    lead
	needs   []Literal
}

// Compile compiles an expression, without delimiters. The error is an *[Error].
func Compile(expr string, flags Flags) (*Regexp, error) {
	root, p, err := parse(expr, flags)
	if err != nil {
		return nil, err
	}
	c := &compiler{p: p, need: make([]bool, p.ngroups+1)}
	most := 0
	if flags&Captures != 0 {
		most = p.ngroups
		for i := range c.need {
			c.need[i] = true
		}
	}
	condRef, keeps := false, false
	collect(root, func(n *node) {
		if n.kind == kKeep {
			keeps = true
		}
		if n.kind == kRef || n.kind == kCond && len(n.subs) == 2 {
			condRef = true
			c.need[n.n] = true
			most = max(most, n.n)
			for _, g := range n.names {
				c.need[g] = true
				most = max(most, g)
			}
		}
	})
	re := &Regexp{expr: expr, flags: flags, ngroups: p.ngroups, ncap: most + 1, utf: p.utf, names: map[string]int{}}
	for name, g := range p.names {
		re.names[name] = g[0]
	}
	c.nregs = 2 * re.ncap
	re.callReg = c.newReg()
	c.node(root)
	c.emit(inst{op: opMatch})
	c.subroutines(root)
	if c.err != nil {
		return nil, c.err
	}
	c.finish()
	re.lead, re.needs = c.lead(root, flags)
	re.prog, re.sets, re.lits, re.refs = c.prog, c.sets, c.lits, c.refs
	re.nregs, re.nmemo = c.nregs, c.nmemo
	re.memoOK = !condRef && !keeps && !c.counted && len(c.calls) == 0
	return re, nil
}

// String returns the expression.
func (re *Regexp) String() string { return re.expr }

// NumGroups returns the number of capturing groups.
func (re *Regexp) NumGroups() int { return re.ngroups }

// GroupIndex returns the number of a named group, or 0.
func (re *Regexp) GroupIndex(name string) int { return re.names[name] }

// DefaultSteps is the step budget of a search when Scratch.Steps is 0: some 10 ms, at
// the very worst 30. To it come 16 steps for every byte of data.
const DefaultSteps = 2_000_000

// Scratch is the memory of one search at a time. The zero value is ready. It
// grows to at most about 10 MB, mostly to a few KB, and is kept for the next search.
type Scratch struct {
	Steps   int  // budget of a search; 0: DefaultSteps and 16 a byte
	Limited bool // the last search gave up for want of steps or memory, or of UTF-8 where (*UTF) asks for it, and answered no

	stack  []frame
	regs   []int32
	calls  []call
	saved  []int32
	memo   []uint64
	budget int
	steps  int
	memoAt int
	memoOn bool
	ncap   int
}

// Match searches data from offset start on and returns the place of the first match.
//
// It does what pcre2_match does with a start offset: ^ and \A hold at offset 0 of data, not at
// start; \G holds at start; \b and lookbehind see the bytes before start. A rule's
// relative expression (flag R) is a search of data cut off at the cursor, so that ^ holds at the cursor.
func (re *Regexp) Match(data []byte, start int, s *Scratch) (from, to int, ok bool) {
	return re.matchFrom(data, start, s, memoAfter)
}

// matchFrom is Match that begins to remember after the given number of steps.
func (re *Regexp) matchFrom(data []byte, start int, s *Scratch, memoAfter int) (from, to int, ok bool) {
	s.Limited = false
	s.ncap = 0
	s.steps = s.Steps
	if s.steps <= 0 {
		s.steps = DefaultSteps + 16*len(data)
	}
	s.budget = s.steps
	if start < 0 || start > len(data) || len(data) >= math.MaxInt32 {
		return 0, 0, false
	}
	if re.utf && !utf8.Valid(data) {
		s.Limited = true // an error for libpcre2, neither a match nor none
		s.steps -= len(data) >> 4
		return 0, 0, false
	}
	s.memoAt, s.memoOn = s.steps-memoAfter, false
	at := re.lead.next(data, start, start)
	s.skipped(data, start, at)
	if at < 0 {
		return 0, 0, false
	}
	// Registers are all -1 again when an attempt fails, so they are set once.
	if cap(s.regs) < re.nregs {
		s.regs = make([]int32, re.nregs)
	}
	s.regs = s.regs[:re.nregs]
	for i := range s.regs {
		s.regs[i] = -1
	}
	s.calls, s.saved = s.calls[:0], s.saved[:0]
	for at >= 0 {
		if end := re.backtrack(data, at, start, s); end >= 0 {
			if k := s.regs[0]; k >= 0 {
				at = int(k)
			}
			s.regs[0], s.regs[1] = int32(at), int32(end)
			s.ncap = re.ncap
			return at, end, true
		}
		if s.Limited {
			return 0, 0, false
		}
		from := at + 1
		at = re.lead.next(data, from, start)
		s.skipped(data, from, at)
	}
	return 0, 0, false
}

// skipped counts the way from one place to the next at which a match can begin: 16 bytes a step.
func (s *Scratch) skipped(data []byte, from, to int) {
	if to < 0 {
		to = len(data)
	}
	s.steps -= max(0, to-from)>>4 + 1
}

// Spent returns the steps of the last search, for a budget over several.
func (s *Scratch) Spent() int { return s.budget - s.steps }

// Group returns the place of group i (0: the whole match) after a successful Match with this
// Scratch. Groups are recorded if the expression was compiled with Captures or refers to them.
func (s *Scratch) Group(i int) (from, to int, ok bool) {
	if i < 0 || i >= s.ncap || s.regs[2*i] < 0 {
		return 0, 0, false
	}
	return int(s.regs[2*i]), int(s.regs[2*i+1]), true
}

// Literal is a string that every match contains.
type Literal struct {
	Bytes  []byte // lower case if NoCase; must not be changed
	NoCase bool
	Prefix bool // every match begins with it
}

// Literals returns strings every one of which occurs in data wherever the expression
// matches, longest first. It may be empty. For prefilters.
func (re *Regexp) Literals() []Literal { return re.needs }
