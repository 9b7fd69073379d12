// Package policy says what is done with which rules: it turns rules that only
// alert into drop, reject or pass, switches rules off and on, and edits them,
// without touching the rule files.
//
// It reads what the users of suricata-update have (disable.conf, enable.conf,
// drop.conf and modify.conf, see https://suricata-update.readthedocs.io) and a
// file of our own, [Own].
//
// The order is fixed: what disable.conf says, then enable.conf, drop.conf,
// modify.conf, and then the lines of our own files, in the order of the files.
// In the file of our own every line is tried and the last line that matches a
// rule decides: about on and off the last line that says on or off, about the
// action the last line that says drop, reject, pass or alert. So the general
// comes first and the exception below it.
//
// # The file of our own
//
// One line is an action and one or more matchers, which must all hold:
//
//	# everything that is known to be bad ends here
//	drop    classtype trojan-activity,command-and-control
//	drop    metadata signature_severity Major,Critical  metadata confidence High
//	reject  protocol http  msg "ET SCAN *"
//	alert   sid 2019401,2019410-2019415   # not sure about these
//	off     group emerging-games,emerging-chat.rules
//	on      sid 2100366
//
// Actions are drop, reject (also rejectsrc, rejectdst, rejectboth), pass,
// alert, off and on. "on" takes in rules that are commented out in their file.
//
// Matchers; values behind a comma are alternatives, and what holds blanks is
// put in quotes:
//
//	all                     every rule (or *)
//	sid 1,5-9,3:40          signature ids, ranges, generator:signature
//	group NAME              the rule file's name, with or without its
//	                        extension; *, ? and [a-z] are patterns (or file)
//	filename PATH           the rule file's path as it was given
//	classtype NAME          the rule's classtype
//	metadata KEY VALUE      what the keyword metadata says, case ignored;
//	                        VALUE may be a pattern
//	msg PATTERN             the whole message, a pattern, case ignored
//	protocol NAME           the protocol in the rule's head
//	action NAME             what the rule file says: alert, drop, …
//	re EXPRESSION           a regular expression anywhere in the rule's text,
//	                        case ignored
//	not MATCHER             the contrary
//
// Between the name of a matcher and its value a colon may stand instead of a
// blank, and a bare number is a sid, so that the lines of a drop.conf can be
// taken over with "drop" in front.
//
// A rule that never alerts (noalert) only takes note for others, and a rule
// whose file says pass is somebody's exception: neither is changed to another
// action but by a line that names its sid.
package policy

import (
	"slices"
	"strconv"
	"strings"

	"github.com/garita/garita/rule"
)

// Kind is the language of a file.
type Kind uint8

const (
	Own     Kind = iota // the file described above
	Disable             // suricata-update's disable.conf
	Enable              // enable.conf
	Drop                // drop.conf
	Modify              // modify.conf
)

// String is the name such a file usually has.
func (k Kind) String() string {
	switch k {
	case Disable:
		return "disable.conf"
	case Enable:
		return "enable.conf"
	case Drop:
		return "drop.conf"
	case Modify:
		return "modify.conf"
	}
	return "policy.conf"
}

// File is one file's name and content.
type File struct {
	Kind Kind
	Name string
	Text string
}

// Policy is what the files say. It does not change and may be shared.
type Policy struct {
	entries []entry
	bySid   map[id][]int32 // entries that name exactly this rule, ascending
	general []int32        // the others, ascending
}

type effect uint8

const (
	setAction effect = iota
	turnOff
	turnOn
	dropAlert // drop.conf's way: alert only, never noalert
	substitute
	addMetadata
)

// entry is one line.
type entry struct {
	effect   effect
	own      bool
	action   rule.Action
	all      []matcher // all must hold
	sid      bool      // names rules by their sid
	edit     edit
	meta     string // addMetadata: "key value"
	file     string
	line     int
	col      int
	describe string
}

type id struct{ gid, sid uint32 }

// Load reads the files. All problems of all lines are returned; a policy with
// problems is not to be used, and is nil.
func Load(files []File) (*Policy, []*rule.Error) {
	p := &Policy{bySid: map[id][]int32{}}
	var errs []*rule.Error
	// The stages are in the order of suricata-update, whatever the order of
	// the options was.
	for _, k := range [...]Kind{Disable, Enable, Drop, Modify, Own} {
		for i := range files {
			if files[i].Kind == k {
				errs = append(errs, p.read(&files[i])...)
			}
		}
	}
	if len(errs) > 0 {
		return nil, errs
	}
	for i := range p.entries {
		p.index(int32(i))
	}
	return p, nil
}

func (p *Policy) read(f *File) (errs []*rule.Error) {
	n := 0
	for text := range strings.Lines(strings.TrimPrefix(f.Text, "\ufeff")) {
		n++
		text = strings.TrimRight(text, "\r\n")
		l := line{file: f.Name, number: n, text: text}
		var e entry
		var ok bool
		var err *rule.Error
		if f.Kind == Own {
			e, ok, err = parseOwn(&l)
		} else {
			e, ok, err = parseUpdate(&l, f.Kind)
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if ok {
			e.file, e.line, e.describe, e.own = f.Name, n, strings.TrimSpace(text), f.Kind == Own
			e.col = 1 + len(text) - len(strings.TrimLeft(text, " \t"))
			p.entries = append(p.entries, e)
		}
	}
	return errs
}

// index files entry i under the rules it names, if it names them one by one.
func (p *Policy) index(i int32) {
	e := &p.entries[i]
	if len(e.all) == 1 && e.all[0].kind == bySid && !e.all[0].not && !e.all[0].wide() {
		for _, r := range e.all[0].ids {
			for s := r.lo; ; s++ {
				k := id{r.gid, s}
				if l := p.bySid[k]; len(l) == 0 || l[len(l)-1] != i {
					p.bySid[k] = append(l, i)
				}
				if s == r.hi {
					break
				}
			}
		}
		return
	}
	p.general = append(p.general, i)
}

// Empty says whether the policy changes nothing.
func (p *Policy) Empty() bool { return p == nil || len(p.entries) == 0 }

// WantsDisabled says whether rules that are commented out must be parsed too
// (rule.Options.Disabled): a line switches rules on or off, and those that are
// then in force may need the flowbits of others.
func (p *Policy) WantsDisabled() bool {
	if p == nil {
		return false
	}
	for i := range p.entries {
		if e := p.entries[i].effect; e == turnOn || e == turnOff {
			return true
		}
	}
	return false
}

// Report is what a policy did.
type Report struct {
	// Before and After count the rules in force by action.
	Before, After map[rule.Action]int
	// TurnedOff and TurnedOn count rules, Changed those with another action,
	// Modified those with another text.
	TurnedOff, TurnedOn, Changed, Modified int
	// ForFlowbits are rules that are switched off, by a line or in their file,
	// and are in force without alert all the same, because others test the
	// bits they set. So does suricata-update.
	ForFlowbits []uint32
	// Problems are warnings: lines that match no rule, modifications that
	// would leave no rule. The latter are not made.
	Problems []*rule.Error
}

// Apply returns the rules that are in force under p, with the action they have
// then. A rule's Text stays as it is in its file unless modify.conf edits more
// than its action. rules is not changed; what is returned shares memory with
// it, or is rules itself.
func (p *Policy) Apply(rules []rule.Rule) ([]rule.Rule, Report) {
	rep := Report{Before: map[rule.Action]int{}, After: map[rule.Action]int{}}
	disabled := 0
	for i := range rules {
		if rules[i].Disabled {
			disabled++
		} else {
			rep.Before[rules[i].Action]++
		}
	}
	if p.Empty() && disabled == 0 {
		rep.After = rep.Before
		return rules, rep
	}
	out := make([]rule.Rule, 0, len(rules))
	if p.Empty() {
		for i := range rules {
			if !rules[i].Disabled {
				out = append(out, rules[i])
			}
		}
		rep.After = rep.Before
		return out, rep
	}
	hits := make([]bool, len(p.entries))
	var off []rule.Rule // not in force
	var todo []int32
	for i := range rules {
		r := rules[i]
		f := factsOf(&r)
		todo = p.matching(&f, todo[:0])
		was, on, modified := r.Action, !r.Disabled, false
		for _, n := range todo {
			e := &p.entries[n]
			hits[n] = true
			switch e.effect {
			case turnOff:
				on = false
			case turnOn:
				on = true
			case setAction:
				if e.sid || !f.noalert && was != rule.Pass && was != rule.Config && was != rule.Accept {
					r.Action = e.action
				}
			case dropAlert:
				if !f.noalert && r.Action == rule.Alert {
					r.Action = rule.Drop
				}
			case substitute, addMetadata:
				next, err := e.apply(&r)
				if err != nil {
					rep.Problems = append(rep.Problems, err)
				} else if next != nil {
					modified = modified || next.Text() != r.Text()
					r = *next
				}
			}
		}
		if !on {
			off = append(off, r)
			if !rules[i].Disabled {
				rep.TurnedOff++
			}
			continue
		}
		if r.Disabled {
			r.Disabled = false
			rep.TurnedOn++
		}
		if r.Action != was {
			rep.Changed++
		}
		if modified {
			rep.Modified++
		}
		out = append(out, r)
	}
	if len(off) > 0 {
		kept := neededBits(out, off)
		for i := range kept {
			f := factsOf(&kept[i])
			rep.ForFlowbits = append(rep.ForFlowbits, f.sid)
			if !kept[i].Disabled {
				rep.TurnedOff--
			}
			kept[i].Disabled = false
		}
		out = append(out, kept...)
	}
	for i := range out {
		rep.After[out[i].Action]++
	}
	for i, hit := range hits {
		if !hit {
			rep.Problems = append(rep.Problems, p.entries[i].warn("no rule matches this line", "the rule may be gone, or the name be spelled another way"))
		}
	}
	slices.Sort(rep.ForFlowbits)
	return out, rep
}

// matching appends the entries that hold for f, in their order.
func (p *Policy) matching(f *facts, to []int32) []int32 {
	for _, n := range p.general {
		if p.entries[n].holds(f) {
			to = append(to, n)
		}
	}
	if named := p.bySid[id{f.gid, f.sid}]; len(named) > 0 {
		to = append(to, named...)
		slices.Sort(to)
	}
	return to
}

func (e *entry) holds(f *facts) bool {
	for i := range e.all {
		if e.all[i].match(f) == e.all[i].not {
			return false
		}
	}
	return true
}

func (e *entry) warn(what, mend string) *rule.Error {
	return &rule.Error{Pos: rule.Pos{File: e.file, Line: e.line, Col: e.col}, What: what + ": " + strconv.Quote(e.describe), Mend: mend, Warning: true}
}

// neededBits returns those of off that change flowbits which rules in force test,
// and which then are in force themselves, so that the bits they test are
// needed too. They alert and drop no longer, whatever they did. Who unsets a bit
// counts as well: without it, more would alert than before.
func neededBits(on, off []rule.Rule) []rule.Rule {
	tested := map[string]bool{}
	note := func(rs []rule.Rule) {
		for i := range rs {
			flowbits(&rs[i], func(verb, bit string) {
				if verb == "isset" || verb == "isnotset" {
					tested[bit] = true
				}
			})
		}
	}
	note(on)
	var kept []rule.Rule
	for {
		var found, rest []rule.Rule
		for i := range off {
			needed := false
			flowbits(&off[i], func(verb, bit string) {
				if (verb == "set" || verb == "unset" || verb == "toggle") && tested[bit] {
					needed = true
				}
			})
			if !needed {
				rest = append(rest, off[i])
				continue
			}
			r := off[i]
			if f := factsOf(&r); !f.noalert {
				r.Options = append(slices.Clip(r.Options), rule.Option{Name: "noalert"})
			}
			if r.Action.Drops() {
				r.Action = rule.Alert
			}
			found = append(found, r)
		}
		if len(found) == 0 {
			return kept
		}
		kept = append(kept, found...)
		note(found)
		off = rest
	}
}

// flowbits calls f for every flowbit the rule deals with.
func flowbits(r *rule.Rule, f func(verb, bit string)) {
	for i := range r.Options {
		if r.Options[i].Name != "flowbits" {
			continue
		}
		verb, bits, _ := strings.Cut(r.Options[i].Value, ",")
		for b := range strings.SplitSeq(bits, "|") {
			f(strings.ToLower(strings.TrimSpace(verb)), strings.TrimSpace(b))
		}
	}
}
