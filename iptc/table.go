package iptc

import (
	"iter"
	"slices"

	"golang.org/x/sys/unix"
)

// Table is a snapshot of a legacy table and the edits made to it, which nobody
// sees before [Table.Commit]. It belongs to the network namespace in which it
// was opened, whatever thread uses it later. Not for concurrent use.
type Table struct {
	fd   int // -1: no kernel behind it
	name string
	*content
	in   info
	blob []byte // as read
	ops  []op
}

// op is one edit, kept to be applied again to a table that changed meanwhile.
type op struct {
	op       Op
	chain    string
	arg      string // new name
	num      int
	rule     *Rule
	kind     Kind // policy
	counters *Counters
}

// Name of the table: filter, nat, mangle, raw or security.
func (t *Table) Name() string { return t.name }

// Family of the table.
func (t *Table) Family() Family { return t.family }

// Changed reports whether there is anything to commit.
func (t *Table) Changed() bool { return len(t.ops) > 0 }

// Chains lists the built-in chains in the order of their hooks, then the user's
// in the table's order.
func (t *Table) Chains() iter.Seq[*Chain] { return slices.Values(t.chains) }

// Chain finds a chain; nil if there is none of the name.
func (t *Table) Chain(name string) *Chain { return t.find(name) }

func (c *content) find(name string) *Chain {
	for _, ch := range c.chains {
		if ch.name == name {
			return ch
		}
	}
	return nil
}

// References counts the rules that jump or go to a chain; -1 if there is no such
// chain.
func (t *Table) References(chain string) int {
	if t.find(chain) == nil {
		return -1
	}
	return t.references(chain)
}

func (c *content) references(chain string) int {
	n := 0
	for _, ch := range c.chains {
		for _, r := range ch.rules {
			if r.chain == chain { // empty unless it jumps
				n++
			}
		}
	}
	return n
}

// Name of the chain.
func (c *Chain) Name() string { return c.name }

// Builtin reports whether the chain stands at a hook.
func (c *Chain) Builtin() bool { return c.hook >= 0 }

// Hook is the number of the netfilter hook (0 PREROUTING … 4 POSTROUTING); -1
// for a user's chain.
func (c *Chain) Hook() int { return c.hook }

// Policy is Accept or Drop for a built-in chain, Return for a user's.
func (c *Chain) Policy() Kind { return c.foot.kind }

// Counters are those of the policy; zero for a user's chain.
func (c *Chain) Counters() Counters {
	if c.hook < 0 {
		return Counters{}
	}
	return c.foot.counters
}

// Len is the number of rules.
func (c *Chain) Len() int { return len(c.rules) }

// Rule returns rule i, counted from 0; nil if there is none.
func (c *Chain) Rule(i int) *Rule {
	if i < 0 || i >= len(c.rules) {
		return nil
	}
	return c.rules[i]
}

// Rules lists the rules with their numbers, counted from 0.
func (c *Chain) Rules() iter.Seq2[int, *Rule] { return slices.All(c.rules) }

// Insert puts a rule before rule num (counted from 0), at the end if num is the
// number of rules. Its counters begin at rule.Counters().
func (t *Table) Insert(chain string, num int, rule *Rule) error {
	return t.do(op{op: OpInsert, chain: chain, num: num, rule: rule})
}

// Append puts a rule at the end of a chain.
func (t *Table) Append(chain string, rule *Rule) error {
	return t.do(op{op: OpAppend, chain: chain, rule: rule})
}

// Replace puts a rule in the place of rule num, counted from 0.
func (t *Table) Replace(chain string, num int, rule *Rule) error {
	return t.do(op{op: OpReplace, chain: chain, num: num, rule: rule})
}

// Delete removes the first rule that is the [Rule.Same].
func (t *Table) Delete(chain string, rule *Rule) error {
	return t.do(op{op: OpDelete, chain: chain, rule: rule})
}

// DeleteNum removes rule num, counted from 0.
func (t *Table) DeleteNum(chain string, num int) error {
	return t.do(op{op: OpDeleteNum, chain: chain, num: num})
}

// Check returns nil if the chain has a rule that is the [Rule.Same].
func (t *Table) Check(chain string, rule *Rule) error {
	ch := t.find(chain)
	if ch == nil || indexSame(ch, rule) < 0 {
		// libiptc implements the check as a deletion that is not done, and has
		// its text
		return t.fail(OpDelete, chain, unix.ENOENT)
	}
	return nil
}

// Flush removes all rules of a chain.
func (t *Table) Flush(chain string) error { return t.do(op{op: OpFlush, chain: chain}) }

// Zero sets the counters of all rules and of the policy of a chain to zero, less
// what they have counted since the table was read. As with libiptc, counters that
// were given in this same snapshot (with an inserted rule, or set) stay.
func (t *Table) Zero(chain string) error { return t.do(op{op: OpZero, chain: chain}) }

// ZeroCounter is Zero for rule num, counted from 0.
func (t *Table) ZeroCounter(chain string, num int) error {
	return t.do(op{op: OpZeroCounter, chain: chain, num: num})
}

// SetCounter sets the counters of rule num, counted from 0.
func (t *Table) SetCounter(chain string, num int, c Counters) error {
	return t.do(op{op: OpSetCounter, chain: chain, num: num, counters: &c})
}

// CreateChain makes an empty user chain. Names have at most 28 bytes.
func (t *Table) CreateChain(name string) error {
	return t.do(op{op: OpCreateChain, chain: name})
}

// DeleteChain removes a user chain that is empty and not jumped to.
func (t *Table) DeleteChain(name string) error {
	return t.do(op{op: OpDeleteChain, chain: name})
}

// RenameChain gives a user chain, and all jumps to it, another name.
func (t *Table) RenameChain(name, to string) error {
	return t.do(op{op: OpRenameChain, chain: name, arg: to})
}

// SetPolicy sets a built-in chain's policy, Accept or Drop. Its counters become
// *c, or zero if c is nil, as with libiptc.
func (t *Table) SetPolicy(chain string, policy Kind, c *Counters) error {
	return t.do(op{op: OpSetPolicy, chain: chain, kind: policy, counters: c})
}

func (t *Table) fail(o Op, chain string, err unix.Errno) error {
	return &Error{o, t.family, t.name, chain, err}
}

func (t *Table) do(o op) error {
	if o.rule != nil && o.rule.family != t.family {
		return t.fail(o.op, o.chain, unix.EINVAL)
	}
	if o.counters != nil {
		c := *o.counters
		o.counters = &c
	}
	if err := t.apply(&o); err != 0 {
		return t.fail(o.op, o.chain, err)
	}
	t.ops = append(t.ops, o)
	return nil
}

func indexSame(ch *Chain, rule *Rule) int {
	return slices.IndexFunc(ch.rules, rule.Same)
}

// apply does one edit, or nothing and says why not.
func (c *content) apply(o *op) unix.Errno {
	ch := c.find(o.chain)
	if ch == nil && o.op != OpCreateChain {
		return unix.ENOENT
	}
	switch o.op {
	case OpInsert, OpAppend, OpReplace:
		return c.put(ch, o)
	case OpDelete:
		i := indexSame(ch, o.rule)
		if i < 0 {
			return unix.ENOENT
		}
		ch.rules = slices.Delete(ch.rules, i, i+1)
	case OpDeleteNum:
		if o.num < 0 || o.num >= len(ch.rules) {
			return unix.E2BIG
		}
		ch.rules = slices.Delete(ch.rules, o.num, o.num+1)
	case OpFlush:
		ch.rules = nil
	case OpZero:
		for i, r := range ch.rules {
			ch.rules[i] = r.zeroed()
		}
		if ch.hook >= 0 {
			ch.foot = ch.foot.zeroed()
		}
	case OpZeroCounter, OpSetCounter:
		if o.num < 0 || o.num >= len(ch.rules) {
			return unix.E2BIG
		}
		if o.op == OpZeroCounter {
			ch.rules[o.num] = ch.rules[o.num].zeroed()
		} else {
			ch.rules[o.num] = ch.rules[o.num].set(*o.counters)
		}
	case OpSetPolicy:
		return c.policy(ch, o)
	default:
		return c.chainOp(ch, o)
	}
	return 0
}

func (c *content) put(ch *Chain, o *op) unix.Errno {
	if o.op == OpAppend {
		o = &op{op: OpAppend, num: len(ch.rules), rule: o.rule}
	}
	switch {
	case o.num < 0 || o.num > len(ch.rules) || o.op == OpReplace && o.num == len(ch.rules):
		return unix.E2BIG
	case o.rule.chain != "":
		to := c.find(o.rule.chain)
		if to == nil {
			return unix.ENOENT
		}
		if to.hook >= 0 {
			return unix.EINVAL
		}
	}
	r := o.rule.set(o.rule.counters)
	if o.op == OpReplace {
		ch.rules[o.num] = r
	} else {
		ch.rules = slices.Insert(ch.rules, o.num, r)
	}
	return 0
}

// set returns the rule with counters that replace whatever it had.
func (r *Rule) set(c Counters) *Rule {
	n := *r
	n.counters, n.mapping = c, mapSet
	if c == (Counters{}) {
		n.mapping = mapNone
	}
	return &n
}

// zeroed returns the rule with its counter to be taken back.
func (r *Rule) zeroed() *Rule {
	if r.mapping != mapNormal {
		return r
	}
	n := *r
	n.counters, n.mapping = Counters{}, mapZeroed
	return &n
}

func (c *content) policy(ch *Chain, o *op) unix.Errno {
	if ch.hook < 0 {
		return unix.ENOENT
	}
	if o.kind != Accept && o.kind != Drop {
		return unix.EINVAL
	}
	foot := *ch.foot
	foot.raw = slices.Clone(foot.raw)
	l := c.family.layout()
	native.PutUint32(foot.raw[l.entry+headSize:], uint32(verdicts[o.kind]))
	foot.kind = o.kind
	counters := Counters{}
	if o.counters != nil {
		counters = *o.counters
	}
	ch.foot = foot.set(counters)
	return 0
}

func (c *content) chainOp(ch *Chain, o *op) unix.Errno {
	name := o.chain
	if o.op == OpRenameChain {
		name = o.arg
	}
	if o.op != OpDeleteChain {
		if c.find(name) != nil || slices.Contains(kindNames[Accept:], name) {
			return unix.EEXIST
		}
		if name == "" || len(name) >= nameMax {
			return unix.EINVAL
		}
	}
	switch o.op {
	case OpCreateChain:
		foot := &Rule{family: c.family, kind: Return}
		l := c.family.layout()
		foot.raw = appendStandard(make([]byte, l.entry), verdicts[Return])
		native.PutUint16(foot.raw[l.targetOff:], uint16(l.entry))
		native.PutUint16(foot.raw[l.nextOff:], uint16(len(foot.raw)))
		ch = &Chain{name: name, hook: -1, head: errorHead(c.family, name), headOld: -1, foot: foot}
		c.chains = slices.Insert(c.chains, c.place(name), ch)
	case OpDeleteChain:
		switch {
		case ch.hook >= 0:
			return unix.EINVAL
		case c.references(ch.name) > 0:
			return unix.EMLINK
		case len(ch.rules) > 0:
			return unix.ENOTEMPTY
		}
		i := slices.Index(c.chains, ch)
		c.chains = slices.Delete(c.chains, i, i+1)
	case OpRenameChain:
		if ch.hook >= 0 {
			return unix.ENOENT
		}
		for _, other := range c.chains {
			for i, r := range other.rules {
				if r.chain == ch.name {
					n := *r
					n.chain = name
					other.rules[i] = &n
				}
			}
		}
		i := slices.Index(c.chains, ch)
		c.chains = slices.Delete(c.chains, i, i+1)
		ch.head, ch.name = rename(c.family, ch.head, name), name
		c.chains = slices.Insert(c.chains, c.place(name), ch)
	default:
		return unix.EINVAL
	}
	return 0
}
