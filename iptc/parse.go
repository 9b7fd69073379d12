package iptc

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// ParseSpec makes a rule from options as iptables takes them behind "-A CHAIN":
// what [Rule.Spec] prints, or a human writes. The words are already split. jump
// tells whether a name behind -j is a chain; nil: everything that is no known
// target is one.
func ParseSpec(f Family, words []string, jump func(name string) bool) (*Rule, error) {
	p := &specParser{f: f, words: words, jump: jump}
	if err := p.all(); err != nil {
		return nil, &RuleError{err.Error()}
	}
	return NewRule(f, p.h, p.matches(), p.target)
}

// loaded is an extension of the rule that is being parsed.
type loaded struct {
	x    *ext
	c    scope
	data []byte
	raw  *Extension // given as hexadecimal
	name string
}

type specParser struct {
	f      Family
	words  []string
	jump   func(string) bool
	h      Header
	protoN bool // -p was inverted
	exts   []*loaded
	module *loaded
	target Target
	not    bool
}

func (p *specParser) next(opt string) (string, error) {
	if len(p.words) == 0 {
		return "", fmt.Errorf("option \"%s\" requires an argument", opt)
	}
	w := p.words[0]
	p.words = p.words[1:]
	return w, nil
}

func (p *specParser) all() error {
	for len(p.words) > 0 {
		w := p.words[0]
		p.words = p.words[1:]
		if w == "!" {
			if p.not {
				return errors.New("several ! in a row")
			}
			p.not = true
			continue
		}
		if err := p.option(w); err != nil {
			return err
		}
		p.not = false
	}
	if p.not {
		return errors.New("a ! with nothing behind it")
	}
	for _, l := range append(p.exts, p.module) {
		if l == nil || l.x == nil || l.x.done == nil {
			continue
		}
		if err := l.x.done(&l.c, l.data); err != nil {
			return err
		}
	}
	if p.module != nil {
		p.target = Target{Kind: Module, Module: p.module.extension()}
	}
	return nil
}

func (l *loaded) extension() Extension {
	if l.raw != nil {
		return *l.raw
	}
	if l.x == nil {
		return Extension{Name: l.name}
	}
	return Extension{Name: l.x.name, Revision: l.x.rev, Data: l.data}
}

func (p *specParser) matches() []Extension {
	var list []Extension
	for _, l := range p.exts {
		list = append(list, l.extension())
	}
	return list
}

// proto is what extensions see of -p.
func (p *specParser) proto() uint8 {
	if p.protoN {
		return 0
	}
	return p.h.Proto
}

func (p *specParser) inv(bit uint8) {
	if p.not {
		p.h.Inv |= bit
	}
}

// baseOptions are those of the header, by all their names.
var baseOptions = map[string]string{
	"--source": "-s", "--src": "-s", "--destination": "-d", "--dst": "-d", "--in-interface": "-i", "--out-interface": "-o",
	"--protocol": "-p", "--proto": "-p", "--match": "-m", "--jump": "-j", "--goto": "-g", "--fragment": "-f",
	"--set-counters": "-c", "--ipv4": "-4", "--ipv6": "-6",
}

func (p *specParser) option(w string) error {
	opt := w
	if o, ok := baseOptions[w]; ok && !p.known(w) {
		opt = o
	}
	switch opt {
	case "-s", "-d", "-i", "-o", "-p", "-m", "-j", "-g":
		v, err := p.next(w)
		if err != nil {
			return err
		}
		return p.base(opt, v)
	case "-f":
		if p.f != IPv4 {
			return errors.New("unknown option \"-f\"")
		}
		p.h.Flags |= FlagFrag
		p.inv(InvFrag)
		return nil
	case "-4", "-6":
		return nil
	}
	if name, ok := strings.CutPrefix(w, "--"); ok {
		return p.extOption(name)
	}
	return fmt.Errorf("unknown option \"%s\"", w)
}

// known tells an option of a loaded extension, which goes before the header's.
func (p *specParser) known(w string) bool {
	for _, l := range p.exts {
		if l.x != nil {
			if _, _, ok := l.x.optionOf(strings.TrimPrefix(w, "--")); ok {
				return true
			}
		}
	}
	return false
}

func (p *specParser) base(opt, v string) error {
	sc := scope{f: p.f}
	switch opt {
	case "-s", "-d":
		if strings.Contains(v, ",") {
			return fmt.Errorf("several addresses in one rule: %q", v)
		}
		addr, mask, err := sc.parseNet(v)
		if err != nil {
			return err
		}
		a, m := &p.h.Src, &p.h.SrcMask
		bit := uint8(InvSrc)
		if opt == "-d" {
			a, m, bit = &p.h.Dst, &p.h.DstMask, InvDst
		}
		if !allZero(mask) {
			for i := range addr {
				addr[i] &= mask[i]
			}
			*a, *m = addrMask(addr, mask)
		}
		p.inv(bit)
	case "-i":
		p.h.In = v
		p.inv(InvIn)
	case "-o":
		p.h.Out = v
		p.inv(InvOut)
	case "-p":
		n, err := protoNumber(v)
		if err != nil {
			return err
		}
		if n == 0 && p.not {
			return errors.New("rule would never match protocol")
		}
		p.h.Proto, p.protoN = n, p.not
		p.inv(InvProto)
	case "-m":
		if p.not {
			return fmt.Errorf("unexpected ! flag before --match")
		}
		return p.load(v)
	case "-j", "-g":
		if p.not {
			return fmt.Errorf("unexpected ! flag before --jump")
		}
		if p.target.Kind != FallThrough || p.module != nil {
			return errors.New("multiple -j or -g options")
		}
		return p.jumpTo(opt == "-g", v)
	}
	return nil
}

func (p *specParser) load(name string) error {
	x := p.f.findCommand(false, name)
	if x == nil && !p.hexFollows() {
		return fmt.Errorf("unknown match `%s'", name)
	}
	p.exts = append(p.exts, p.newLoaded(x, name))
	return nil
}

func (p *specParser) hexFollows() bool { return len(p.words) > 1 && p.words[0] == "--hex" }

func (p *specParser) newLoaded(x *ext, name string) *loaded {
	l := &loaded{x: x, c: scope{f: p.f, proto: p.proto()}, name: name}
	if p.hexFollows() {
		l.x = nil
		return l
	}
	if x != nil {
		l.data = make([]byte, x.padded())
		if x.init != nil {
			x.init(&l.c, l.data)
		}
	}
	return l
}

func (p *specParser) jumpTo(isGoto bool, name string) error {
	if isGoto {
		p.target = Target{Kind: Goto, Chain: name}
		return nil
	}
	for k, n := range kindNames {
		if n == name && n != "" {
			p.target = Target{Kind: Kind(k)}
			return nil
		}
	}
	x := p.f.findCommand(true, name)
	if p.jump != nil && p.jump(name) || x == nil && p.jump == nil && !p.hexFollows() {
		p.target = Target{Kind: Jump, Chain: name}
		return nil
	}
	if x == nil && !p.hexFollows() {
		return fmt.Errorf("unknown target or chain `%s'", name)
	}
	p.module = p.newLoaded(x, name)
	return nil
}

// implicit is the match that -p PROTO brings with it when one of its options is
// used without -m.
func (p *specParser) implicit() string {
	switch p.proto() {
	case 1:
		return "icmp"
	case 6:
		return "tcp"
	case 17:
		return "udp"
	case 33:
		return "dccp"
	case 50:
		return "esp"
	case 51:
		return "ah"
	case 58:
		return "icmp6"
	case 132:
		return "sctp"
	case 135:
		return "mh"
	}
	return ""
}

// extOption gives an option to the extension that has it: the target, else the
// match loaded last.
func (p *specParser) extOption(name string) error {
	name, value, hasValue := strings.Cut(name, "=")
	list := make([]*loaded, 0, len(p.exts)+1)
	if p.module != nil {
		list = append(list, p.module)
	}
	for i := len(p.exts) - 1; i >= 0; i-- {
		list = append(list, p.exts[i])
	}
	for _, l := range list {
		if l.x == nil && name == "hex" && l.raw == nil {
			v, err := p.next("--hex")
			if err != nil {
				return err
			}
			e, err := parseHex(l.name, v)
			l.raw = &e
			return err
		}
		if l.x == nil {
			continue
		}
		full, n, ok := l.x.optionOf(name)
		if !ok {
			continue
		}
		if hasValue {
			p.words = append([]string{value}, p.words...)
		}
		return p.give(l, full, n)
	}
	if m := p.implicit(); m != "" {
		x := p.f.findCommand(false, m)
		if x != nil {
			if _, _, ok := x.optionOf(name); ok {
				for _, l := range p.exts {
					if l.x == x {
						return fmt.Errorf("unknown option \"--%s\"", name)
					}
				}
				p.exts = append(p.exts, p.newLoaded(x, m))
				return p.extOption(name)
			}
		}
	}
	return fmt.Errorf("unknown option \"--%s\"", name)
}

func (p *specParser) give(l *loaded, name string, n int) error {
	o := option{name: name, not: p.not}
	if n == -1 && len(p.words) > 0 && !strings.HasPrefix(p.words[0], "-") && p.words[0] != "!" {
		n = 1
	}
	// The old place of the exclamation mark is behind the option.
	if n > 0 && len(p.words) > n && p.words[0] == "!" {
		o.not, p.words = true, p.words[1:]
	}
	var err error
	if n > 0 {
		if o.arg, err = p.next("--" + name); err != nil {
			return err
		}
	}
	if n > 1 {
		if o.arg2, err = p.next("--" + name); err != nil {
			return err
		}
	}
	l.c.proto = p.proto()
	l.c.seen = append(l.c.seen, name)
	if err := l.x.set(&l.c, l.data, o); err != nil {
		return fmt.Errorf("%s: %w", l.x.command(), err)
	}
	return nil
}

// Words splits a line as iptables-restore does: at blanks, except between double
// quotes, where a backslash takes the next character as it is.
func Words(line string) ([]string, error) {
	var words []string
	var b strings.Builder
	open, have := false, false
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case open && c == '\\' && i+1 < len(line):
			i++
			b.WriteByte(line[i])
		case open && c == '"':
			open = false
			words = append(words, b.String())
			b.Reset()
			have = false
		case open:
			b.WriteByte(c)
		case c == '"':
			open, have = true, true
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			if have {
				words = append(words, b.String())
				b.Reset()
				have = false
			}
		default:
			have = true
			b.WriteByte(c)
		}
	}
	if open {
		return nil, errors.New("a quotation mark is not closed")
	}
	if have {
		words = append(words, b.String())
	}
	return words, nil
}

// parseCounters reads "[1:2]".
func parseCounters(s string) (Counters, bool) {
	inner, ok := strings.CutPrefix(s, "[")
	inner, ok2 := strings.CutSuffix(inner, "]")
	a, b, ok3 := strings.Cut(inner, ":")
	p, err := strconv.ParseUint(a, 10, 64)
	q, err2 := strconv.ParseUint(b, 10, 64)
	return Counters{p, q}, ok && ok2 && ok3 && err == nil && err2 == nil
}
