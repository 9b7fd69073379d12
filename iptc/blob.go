package iptc

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

const errorName = "ERROR"

// info is struct ipt_getinfo without the name.
type info struct {
	validHooks, entries, size uint32
	hook, underflow           [hooks]uint32
}

// Chain is a chain of a table. The zero value is of no use; a table has them.
type Chain struct {
	name    string
	hook    int // -1: user-defined
	head    []byte
	foot    *Rule // the policy, or the RETURN at the end
	rules   []*Rule
	headOld int // index of the head entry in the table that was read
}

// content is a table's content: what is parsed from a blob and built into one.
type content struct {
	family     Family
	validHooks uint32
	chains     []*Chain
	tail       []byte // the ERROR entry at the end
	entries    int    // of the blob that was parsed
}

// parser reads a blob.
type parser struct {
	*content
	l     *layout
	table string
	in    info
	blob  []byte
	first map[int32]string // offset of a user chain's first rule
	off   int
	index int
}

func (p *parser) bad(format string, args ...any) error {
	return &BlobError{p.family, p.table, p.off, fmt.Sprintf(format, args...)}
}

// parse reads a table as the kernel gives it. It trusts nothing: every size and
// offset is checked, and what libiptc could not edit is an error. Nothing of
// blob is kept.
func parse(f Family, table string, in info, blob []byte) (*content, error) {
	p := &parser{content: &content{family: f, validHooks: in.validHooks}, l: f.layout(), table: table, in: in, blob: blob,
		first: map[int32]string{}}
	if uint64(in.size) != uint64(len(blob)) {
		return nil, p.bad("%d bytes announced, %d received", in.size, len(blob))
	}
	if in.validHooks == 0 || in.validHooks >= 1<<hooks {
		return nil, p.bad("hooks %#x", in.validHooks)
	}
	if err := p.findChains(); err != nil {
		return nil, err
	}
	p.off, p.index = 0, 0
	for h := range hooks {
		if in.validHooks&(1<<h) == 0 {
			continue
		}
		if err := p.builtin(h); err != nil {
			return nil, err
		}
	}
	for {
		head, err := p.entry()
		if err != nil {
			return nil, err
		}
		name, isHead := p.errorEntry(head)
		if !isHead {
			return nil, p.bad("a rule outside of all chains")
		}
		if p.off+len(head) == len(blob) {
			if name != errorName {
				return nil, p.bad("the last entry is not the end of the table but %q", name)
			}
			p.tail = bytes.Clone(head)
			p.index++
			break
		}
		if err := p.user(name, head); err != nil {
			return nil, err
		}
	}
	if uint64(p.index) != uint64(in.entries) {
		return nil, p.bad("%d entries announced, %d found", in.entries, p.index)
	}
	p.entries = p.index
	return p.content, nil
}

// entry returns the checked entry at p.off.
func (p *parser) entry() ([]byte, error) {
	l, b := p.l, p.blob[p.off:]
	if len(b) < l.entry+headSize {
		return nil, p.bad("%d bytes left, too few for an entry", len(b))
	}
	next, target := int(native.Uint16(b[l.nextOff:])), int(native.Uint16(b[l.targetOff:]))
	switch {
	case next%8 != 0 || next < l.entry+headSize || next > len(b):
		return nil, p.bad("next entry at +%d", next)
	case target%8 != 0 || target < l.entry || target+headSize > next:
		return nil, p.bad("target at +%d of %d", target, next)
	}
	b = b[:next:next]
	for off := l.entry; off < target; {
		if target-off < headSize {
			return nil, p.bad("match at +%d reaches into the target", off)
		}
		n := int(native.Uint16(b[off:]))
		if n%8 != 0 || n < headSize || n > target-off {
			return nil, p.bad("match at +%d has %d bytes", off, n)
		}
		if !terminated(b[off+2 : off+2+nameMax]) {
			return nil, p.bad("match at +%d has a name without end", off)
		}
		off += n
	}
	n := int(native.Uint16(b[target:]))
	if n < headSize || n > next-target {
		return nil, p.bad("target has %d bytes", n)
	}
	switch {
	case !terminated(b[target+2 : target+2+nameMax]):
		return nil, p.bad("target name without end")
	case b[target+2] == 0 && (n != standardLen || n != next-target):
		return nil, p.bad("standard target of %d bytes", n)
	}
	return b, nil
}

func terminated(name []byte) bool { return bytes.IndexByte(name, 0) >= 0 }

// errorEntry tells a chain's head, or the table's end, and its name.
func (p *parser) errorEntry(b []byte) (string, bool) {
	t := int(native.Uint16(b[p.l.targetOff:]))
	name := b[t+2 : t+2+nameMax]
	if string(name[:len(errorName)+1]) != errorName+"\x00" || len(b)-t < errorLen {
		return "", false
	}
	text := b[t+headSize : t+headSize+30]
	if i := bytes.IndexByte(text, 0); i >= 0 {
		text = text[:i]
	}
	return string(text), true
}

// findChains notes where user chains begin: what jumps may lead to.
func (p *parser) findChains() error {
	names := map[string]bool{}
	for h, n := range hookNames {
		names[n] = p.validHooks&(1<<h) != 0
	}
	for p.off < len(p.blob) {
		b, err := p.entry()
		if err != nil {
			return err
		}
		if name, ok := p.errorEntry(b); ok && p.off+len(b) < len(p.blob) {
			if name == "" || names[name] {
				return p.bad("second chain of the name %q", name)
			}
			names[name] = true
			p.first[int32(p.off+len(b))] = name
		}
		p.off += len(b)
	}
	return nil
}

// rule reads the entry at p.off as a rule and steps behind it.
func (p *parser) rule() (*Rule, error) {
	b, err := p.entry()
	if err != nil {
		return nil, err
	}
	if _, ok := p.errorEntry(b); ok {
		return nil, p.bad("chain without an end")
	}
	l := p.l
	r := &Rule{family: p.family, raw: bytes.Clone(b), mapping: mapNormal, old: p.index, kind: Module,
		counters: Counters{native.Uint64(b[l.counters:]), native.Uint64(b[l.counters+8:])}}
	r.seen = r.counters
	t := int(native.Uint16(b[l.targetOff:]))
	if b[t+2] == 0 { // the standard target has no name
		v := int32(native.Uint32(b[t+headSize:]))
		isGoto := b[l.flags]&l.gotoFlag != 0
		switch {
		case v == int32(p.off+len(b)) && p.first[v] == "":
			r.kind = FallThrough
		case v >= 0:
			name, ok := p.first[v]
			if !ok {
				return nil, p.bad("jump to offset %d, where no chain begins", v)
			}
			r.kind, r.chain = Jump, name
			if isGoto {
				r.kind = Goto
			}
		default:
			k := slices.Index(verdicts[1:], v)
			if k < 0 {
				return nil, p.bad("verdict %d", v)
			}
			r.kind = Kind(k + 1)
		}
	}
	p.off += len(b)
	p.index++
	return r, nil
}

// unconditional tells a foot: a standard target without any condition.
func (r *Rule) unconditional() bool {
	l := r.family.layout()
	return r.kind != Module && int(native.Uint16(r.raw[l.targetOff:])) == l.entry && allZero(r.raw[:l.ip])
}

func (p *parser) builtin(h int) error {
	if int64(p.in.hook[h]) != int64(p.off) {
		return p.bad("chain %s expected here, but it begins at %d", hookNames[h], p.in.hook[h])
	}
	c := &Chain{name: hookNames[h], hook: h, headOld: -1}
	for int64(p.off) <= int64(p.in.underflow[h]) && p.off < len(p.blob) {
		at := p.off
		r, err := p.rule()
		if err != nil {
			return err
		}
		if int64(at) == int64(p.in.underflow[h]) {
			if !r.unconditional() || r.kind != Accept && r.kind != Drop {
				p.off = at
				return p.bad("chain %s ends in something that is no policy", c.name)
			}
			c.foot = r
			p.chains = append(p.chains, c)
			return nil
		}
		c.rules = append(c.rules, r)
	}
	return p.bad("chain %s has its policy at %d, where no entry begins", c.name, p.in.underflow[h])
}

func (p *parser) user(name string, head []byte) error {
	c := &Chain{name: name, hook: -1, head: bytes.Clone(head), headOld: p.index}
	p.off += len(head)
	p.index++
	for {
		b, err := p.entry()
		if err != nil {
			return err
		}
		if _, ok := p.errorEntry(b); ok {
			break
		}
		r, err := p.rule()
		if err != nil {
			return err
		}
		c.rules = append(c.rules, r)
	}
	last := len(c.rules) - 1
	if last < 0 || c.rules[last].kind != Return || !c.rules[last].unconditional() {
		return p.bad("chain %q does not end in RETURN", name)
	}
	c.foot, c.rules = c.rules[last], c.rules[:last:last]
	p.chains = append(p.chains, c)
	return nil
}

// build lays the table out. counterOf is asked, in order, where each entry's
// counters come from; it may be nil.
func (c *content) build(counterOf func(*Rule)) (info, []byte, error) {
	l := c.family.layout()
	in := info{validHooks: c.validHooks}
	first := map[string]int{}
	size := 0
	for _, ch := range c.chains {
		size += len(ch.head)
		if ch.hook < 0 {
			first[ch.name] = size
		}
		for _, r := range ch.rules {
			size += len(r.raw)
		}
		size += len(ch.foot.raw)
	}
	size += len(c.tail)
	if int64(size) > 1<<31-1 {
		return in, nil, &RuleError{"table is longer than 2 GiB"}
	}
	blob := make([]byte, 0, size)
	add := func(r *Rule) error {
		at := len(blob)
		blob = append(blob, r.raw...)
		e := blob[at:]
		v := int32(-1)
		switch r.kind {
		case FallThrough:
			v = int32(len(blob))
		case Jump, Goto:
			to, ok := first[r.chain]
			if !ok {
				return &RuleError{"jump to chain " + r.chain + ", which does not exist"}
			}
			v = int32(to)
		}
		if v >= 0 {
			native.PutUint32(e[int(native.Uint16(e[l.targetOff:]))+headSize:], uint32(v))
		}
		native.PutUint64(e[l.counters:], r.counters.Packets)
		native.PutUint64(e[l.counters+8:], r.counters.Bytes)
		if counterOf != nil {
			counterOf(r)
		}
		in.entries++
		return nil
	}
	none := &Rule{}
	for _, ch := range c.chains {
		if ch.hook >= 0 {
			in.hook[ch.hook] = uint32(len(blob))
		} else {
			blob = append(blob, ch.head...)
			in.entries++
			if counterOf != nil {
				counterOf(none)
			}
		}
		for _, r := range ch.rules {
			if err := add(r); err != nil {
				return in, nil, err
			}
		}
		if ch.hook >= 0 {
			in.underflow[ch.hook] = uint32(len(blob))
		}
		if err := add(ch.foot); err != nil {
			return in, nil, err
		}
	}
	blob = append(blob, c.tail...)
	in.entries++
	if counterOf != nil {
		counterOf(none)
	}
	in.size = uint32(len(blob))
	return in, blob, nil
}

// errorHead makes a user chain's first entry.
func errorHead(f Family, name string) []byte {
	l := f.layout()
	b := make([]byte, l.entry+errorLen)
	native.PutUint16(b[l.targetOff:], uint16(l.entry))
	native.PutUint16(b[l.nextOff:], uint16(len(b)))
	native.PutUint16(b[l.entry:], errorLen)
	copy(b[l.entry+2:], errorName)
	copy(b[l.entry+headSize:], name)
	return b
}

// rename writes another name into a copy of a chain's head.
func rename(f Family, head []byte, name string) []byte {
	head = bytes.Clone(head)
	at := int(native.Uint16(head[f.layout().targetOff:])) + headSize
	clear(head[at : at+30])
	copy(head[at:], name)
	return head
}

// place returns where libiptc would put a new user chain: sorted by name.
func (c *content) place(name string) int {
	for i, ch := range c.chains {
		if ch.hook < 0 && strings.Compare(ch.name, name) > 0 {
			return i
		}
	}
	return len(c.chains)
}
