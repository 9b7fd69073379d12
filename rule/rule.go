// Package rule is the rule language of Suricata: it reads rules into a plain
// syntax tree, resolves their variables, and prints them again.
//
// It matches nothing and knows no keyword: every option is kept as it was
// written, with its place, so that whoever compiles it can say where and what
// is wrong.
//
// The grammar is that of Suricata 7 (doc/userguide/rules/intro): one rule a
// line, a backslash at the end of a line continues it, '#' begins a comment.
package rule

import "strings"

// Action is what the operator wants done with what matches. It is the
// operator's word, not the kernel's verdict.
type Action uint8

const (
	NoAction Action = iota
	Alert
	Pass
	Drop
	Reject     // drop, and tell the sender (same as RejectSrc)
	RejectSrc  // drop, and tell the sender
	RejectDst  // drop, and tell the receiver
	RejectBoth // drop, and tell both
	Accept     // firewall mode of newer versions: recognised by name
	Config     // change a setting for what matches: recognised by name
)

var actionNames = [...]string{
	NoAction: "none", Alert: "alert", Pass: "pass", Drop: "drop", Reject: "reject",
	RejectSrc: "rejectsrc", RejectDst: "rejectdst", RejectBoth: "rejectboth",
	Accept: "accept", Config: "config",
}

// String is the word as it stands in a rule.
func (a Action) String() string {
	if int(a) < len(actionNames) {
		return actionNames[a]
	}
	return "none"
}

// IsReject says whether a answers the packet besides dropping it.
func (a Action) IsReject() bool { return a >= Reject && a <= RejectBoth }

// Drops says whether a packet that matches ends here.
func (a Action) Drops() bool { return a == Drop || a.IsReject() }

// ParseAction returns the action of that name, in any case.
func ParseAction(s string) (Action, bool) {
	for a := Alert; a <= Config; a++ {
		if strings.EqualFold(s, actionNames[a]) {
			return a, true
		}
	}
	return NoAction, false
}

// Direction is the arrow between the two ends of a rule.
type Direction uint8

const (
	Forward       Direction = iota // ->
	Both                           // <>
	Transactional                  // => (Suricata 8)
)

// String is the arrow.
func (d Direction) String() string { return [...]string{"->", "<>", "=>"}[d] }

// Rule is one rule. Its strings are parts of the text that was parsed.
type Rule struct {
	Action   Action
	Proto    string // as written, lower case
	Src, Dst Term
	SrcPort  Term
	DstPort  Term
	Arrow    Direction
	Options  []Option

	// Disabled: the rule was commented out. It is only kept on request.
	Disabled bool

	File string
	Line int // first line, from 1

	text   string
	off0   int // column offset of text in its first line
	breaks []lineBreak
}

// Option is one keyword with its value.
type Option struct {
	Name     string // lower case
	Value    string // between ':' and ';', without the blanks around it; escapes and quotes as written
	HasValue bool
	off      int32
	voff     int32
}

// Term is an address or port expression: a word ("any", "$HOME_NET",
// "10.0.0.0/8", "1024:") or a bracketed list of terms.
type Term struct {
	Negated bool
	IsList  bool
	Word    string
	List    []Term
	off     int32
}

// lineBreak says that text from off on stands in another line.
type lineBreak struct {
	off, line, col int
}

// Pos is a place in a rule file.
type Pos struct {
	File string
	Line int // from 1
	Col  int // in bytes, from 1
}

func (r *Rule) pos(off int) Pos {
	p := Pos{File: r.File, Line: r.Line, Col: off + r.off0 + 1}
	for _, b := range r.breaks {
		if off < b.off {
			break
		}
		p.Line, p.Col = b.line, off-b.off+b.col
	}
	return p
}

// Pos is the place where the rule begins.
func (r *Rule) Pos() Pos { return r.pos(0) }

// OptionPos is the place of the keyword o of r.
func (r *Rule) OptionPos(o *Option) Pos { return r.pos(int(o.off)) }

// ValuePos is the place of byte i of the value of o.
func (r *Rule) ValuePos(o *Option, i int) Pos { return r.pos(int(o.voff) + i) }

// TermPos is the place of t, a term of r.
func (r *Rule) TermPos(t *Term) Pos { return r.pos(int(t.off)) }

// Text is the rule as it was written, continued lines joined.
func (r *Rule) Text() string { return r.text }

// Lookup returns the first option of that name (lower case), or nil.
func (r *Rule) Lookup(name string) *Option {
	for i := range r.Options {
		if r.Options[i].Name == name {
			return &r.Options[i]
		}
	}
	return nil
}
