package rule

import "strconv"

// Error is one thing wrong with one rule: where, in which keyword, what, and
// how to mend it. A rule with an Error is not loaded; the others are.
type Error struct {
	Pos
	Keyword string // "" if it is about the head of the rule
	Sid     uint32 // 0 if not known
	What    string
	Mend    string // what the operator can do; may be empty
	// Unsupported: the rule is well formed, but this program does not know the
	// keyword, protocol or form. Keyword names it.
	Unsupported bool
	// More: the rule has another fault, which was told before this one.
	More bool
	// Warning: the rule is loaded all the same.
	Warning bool
}

func (e *Error) Error() string {
	s := e.File + ":" + strconv.Itoa(e.Line) + ":" + strconv.Itoa(e.Col) + ": "
	if e.Warning {
		s += "warning: "
	}
	if e.Keyword != "" {
		s += e.Keyword + ": "
	}
	s += e.What
	if e.Mend != "" {
		s += " (" + e.Mend + ")"
	}
	if e.Sid != 0 {
		s += " [sid " + strconv.FormatUint(uint64(e.Sid), 10) + "]"
	}
	return s
}
