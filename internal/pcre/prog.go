package pcre

type op uint8

const (
	opByte       op = iota // b
	opByteFold             // b, a lower-case letter
	opLit                  // lits[set]
	opLitFold              // lits[set], lower case
	opSet                  // sets[set]
	opAny                  // one byte, any
	opLoop                 // sets[set] min to max times; see loopKind
	opSplit                // first x, then y
	opJmp                  // x
	opMark                 // regs[reg] = position
	opCheck                // if regs[reg] is the position (an empty turn) go to x
	opCountInit            // regs[reg] = 0
	opCountLoop            // turn again (x) or go on, by regs[reg], min and max
	opCountInc             // regs[reg]++, go to x
	opOpen                 // regs[reg] = position
	opClose                // group min is regs[reg] to position
	opRef                  // bytes of a group of refs[set]
	opAssert               // b
	opLook                 // remember position; if the body fails go to x (noPC: fail)
	opLookEnd              // positive: back to the remembered position
	opLookEndNeg           // negative: as before the body; go to x (noPC: fail)
	opBack                 // min bytes back
	opAtomic               // remember the stack
	opAtomicEnd            // forget alternatives since
	opCond                 // a group of refs[set] is set, else go to x
	opKeep                 // the match starts here
	opCall                 // go to x, come back
	opRet                  // come back
	opMatch
)

const noPC = -1

// The fast ways through an opLoop.
type loopKind uint8

const (
	loopSet loopKind = iota // sets[set]
	loopAll                 // every byte
	loopNot                 // every byte but b
)

// inst is one instruction. What follows an instruction is at pc+1 unless said otherwise.
type inst struct {
	op   op
	b    byte
	mode mode
	kind loopKind
	fold bool
	x, y int32
	min  int32
	max  int32 // inf: no limit
	set  int32
	reg  int32
	memo int32 // number among the instructions whose (pc, position) states are remembered; none: -1
	fx   int32 // sets[fx] holds the first bytes of what x (of a loop: what follows) matches; -1: not known
	fy   int32 // the same of y
}

// Sizes beyond which repeats are counted instead of written out, and programs refused.
const (
	maxUnroll = 1024
	maxProg   = 1 << 16
	maxFirst  = 512 // instructions looked at for first bytes
)

type compiler struct {
	p       *parser
	prog    []inst
	sets    []set
	lits    []string
	refs    [][]int
	nregs   int
	need    []bool // groups whose place somebody wants to know
	calls   []int  // opCall instructions to patch; set is the group
	closed  int    // in assertions and atomic groups: there a state that failed may have failed outside, later
	counted bool
	nmemo   int32
	err     error
}

func (c *compiler) emit(i inst) int {
	if len(c.prog) >= maxProg {
		if c.err == nil {
			c.err = c.p.fail(0, "regular expression is too large")
		}
		return 0
	}
	if i.op != opSplit && i.op != opLoop {
		i.memo = -1
	} else if c.closed > 0 {
		i.memo = -1
	} else {
		i.memo = c.nmemo
		c.nmemo++
	}
	i.fx, i.fy = -1, -1
	c.prog = append(c.prog, i)
	return len(c.prog) - 1
}

func (c *compiler) newReg() int32 {
	c.nregs++
	return int32(c.nregs - 1)
}

func (c *compiler) addSet(s set) int32 {
	for i := range c.sets {
		if c.sets[i] == s {
			return int32(i)
		}
	}
	c.sets = append(c.sets, s)
	return int32(len(c.sets) - 1)
}

// single returns the set of a node that matches exactly one byte and does nothing else.
func (c *compiler) single(n *node) (s set, ok bool) {
	switch n.kind {
	case kChar:
		s.add(n.b)
		if n.fold {
			s.fold()
		}
		return s, true
	case kSet:
		return n.set, true
	case kGroup:
		if c.need[n.n] {
			return s, false
		}
		return c.single(n.subs[0])
	case kAtomic:
		return c.single(n.subs[0])
	case kAlt:
		for _, b := range n.subs {
			t, ok := c.single(b)
			if !ok {
				return s, false
			}
			s.union(t)
		}
		return s, true
	}
	return s, false
}

// size estimates the instructions of n.
func (c *compiler) size(n *node) int {
	if _, ok := c.single(n); ok {
		return 1
	}
	sum := 2
	for _, s := range n.subs {
		if s != nil {
			sum += c.size(s)
		}
	}
	if n.kind == kRep {
		if _, ok := c.single(n.subs[0]); ok {
			return 2
		}
		times := n.max
		if times == inf {
			times = n.min + 1
		}
		if sum*times <= maxUnroll {
			sum *= times
		} else {
			sum += 4
		}
	}
	return sum
}

// canBeEmpty reports whether n may match no byte.
func canBeEmpty(n *node) bool {
	switch n.kind {
	case kChar, kSet:
		return false
	case kCat:
		for _, s := range n.subs {
			if !canBeEmpty(s) {
				return false
			}
		}
		return true
	case kAlt:
		for _, s := range n.subs {
			if canBeEmpty(s) {
				return true
			}
		}
		return false
	case kRep:
		return n.min == 0 || canBeEmpty(n.subs[0])
	case kGroup, kAtomic:
		return canBeEmpty(n.subs[0])
	case kCond:
		return canBeEmpty(n.subs[0]) || canBeEmpty(n.subs[1])
	}
	return true
}

func (c *compiler) node(n *node) {
	if c.err != nil {
		return
	}
	if n.kind != kChar {
		if s, ok := c.single(n); ok {
			c.one(s)
			return
		}
	}
	switch n.kind {
	case kChar:
		o := opByte
		b := n.b
		if n.fold {
			o, b = opByteFold, b|0x20
		}
		c.emit(inst{op: o, b: b})
	case kCat:
		c.cat(n.subs)
	case kAlt:
		var ends []int
		for i, s := range n.subs {
			if i == len(n.subs)-1 {
				c.node(s)
				break
			}
			split := c.emit(inst{op: opSplit})
			c.prog[split].x = int32(split + 1)
			c.node(s)
			ends = append(ends, c.emit(inst{op: opJmp}))
			c.prog[split].y = int32(len(c.prog))
		}
		for _, e := range ends {
			c.prog[e].x = int32(len(c.prog))
		}
	case kRep:
		c.rep(n)
	case kGroup:
		if !c.need[n.n] {
			c.node(n.subs[0])
			return
		}
		reg := c.newReg()
		c.emit(inst{op: opOpen, reg: reg})
		c.node(n.subs[0])
		c.emit(inst{op: opClose, reg: reg, min: int32(n.n)})
	case kRef:
		c.emit(inst{op: opRef, set: c.refList(n), fold: n.fold})
	case kAssert:
		c.emit(inst{op: opAssert, b: n.b})
	case kKeep:
		c.emit(inst{op: opKeep})
	case kAtomic:
		c.atomic(n.subs[0])
	case kLook:
		c.look(n, noPC)
	case kCond:
		c.cond(n)
	case kCall:
		c.calls = append(c.calls, c.emit(inst{op: opCall, set: int32(n.n)}))
	}
}

func (c *compiler) refList(n *node) int32 {
	l := n.names
	if len(l) == 0 {
		l = []int{n.n}
	}
	c.refs = append(c.refs, l)
	return int32(len(c.refs) - 1)
}

func (c *compiler) one(s set) {
	switch s.count() {
	case 256:
		c.emit(inst{op: opAny})
		return
	case 1:
		c.emit(inst{op: opByte, b: s.first()})
		return
	case 2:
		if b := s.first(); b-'A' < 26 && s.has(b|0x20) {
			c.emit(inst{op: opByteFold, b: b | 0x20})
			return
		}
	}
	c.emit(inst{op: opSet, set: c.addSet(s)})
}

// charOf sees through to a kChar: [.] and [Aa] are characters as well.
func (c *compiler) charOf(n *node) (b byte, fold, ok bool) {
	s, ok := c.single(n)
	if !ok {
		return 0, false, false
	}
	b = s.first()
	switch s.count() {
	case 1:
		return b, false, true
	case 2:
		return b | 0x20, true, b-'A' < 26 && s.has(b|0x20)
	}
	return 0, false, false
}

// cat joins neighbouring characters into literals.
func (c *compiler) cat(subs []*node) {
	for i := 0; i < len(subs); {
		var lit []byte
		anyFold, anyExact := false, false
		j := i
		for ; j < len(subs); j++ {
			b, fold, ok := c.charOf(subs[j])
			letter := (b|0x20)-'a' < 26
			if !ok || fold && anyExact || letter && !fold && anyFold {
				break
			}
			anyFold = anyFold || fold
			anyExact = anyExact || letter && !fold
			lit = append(lit, b)
		}
		if len(lit) < 2 {
			c.node(subs[i])
			i++
			continue
		}
		o := opLit
		if anyFold {
			o = opLitFold
		}
		c.lits = append(c.lits, string(lit))
		c.emit(inst{op: o, set: int32(len(c.lits) - 1)})
		i = j
	}
}

func (c *compiler) rep(n *node) {
	sub, lo, hi := n.subs[0], n.min, n.max
	if hi == 0 {
		return
	}
	if s, ok := c.single(sub); ok {
		if lo == 1 && hi == 1 {
			c.one(s)
			return
		}
		i := inst{op: opLoop, mode: n.mode, min: int32(lo), max: int32(hi), set: c.addSet(s)}
		switch s.count() {
		case 256:
			i.kind = loopAll
		case 255:
			not := s.not()
			i.kind, i.b = loopNot, not.first()
		}
		c.emit(i)
		return
	}
	if n.mode == possessive {
		m := *n
		m.mode = greedy
		c.atomic(&m)
		return
	}
	times := hi
	if hi == inf {
		times = lo + 1
	}
	if times > 1 && c.size(sub)*times > maxUnroll {
		c.count(n, lo, hi)
		return
	}
	if hi == inf {
		c.loop(sub, lo, n.mode)
		return
	}
	for range lo {
		c.node(sub)
	}
	var splits []int
	for range hi - lo {
		splits = append(splits, c.emit(inst{op: opSplit}))
		c.node(sub)
	}
	for _, s := range splits {
		c.setSplit(s, s+1, len(c.prog), n.mode)
	}
}

func (c *compiler) setSplit(at, body, exit int, m mode) {
	if m == lazy {
		body, exit = exit, body
	}
	c.prog[at].x, c.prog[at].y = int32(body), int32(exit)
}

// loop repeats a body min times and then as often as it can. The last turn that must be is already a turn of
// the loop: if it is empty, there is no next one.
func (c *compiler) loop(sub *node, lo int, m mode) {
	if lo == 0 || !canBeEmpty(sub) {
		for range lo {
			c.node(sub)
		}
		c.star(sub, m)
		return
	}
	for range lo - 1 {
		c.node(sub)
	}
	reg := c.newReg()
	c.emit(inst{op: opMark, reg: reg})
	c.node(sub)
	check := c.emit(inst{op: opCheck, reg: reg})
	c.star(sub, m)
	c.prog[check].x = int32(len(c.prog))
}

func (c *compiler) star(sub *node, m mode) {
	split := c.emit(inst{op: opSplit})
	check := -1
	if canBeEmpty(sub) {
		reg := c.newReg()
		c.emit(inst{op: opMark, reg: reg})
		c.node(sub)
		check = c.emit(inst{op: opCheck, reg: reg})
	} else {
		c.node(sub)
	}
	c.emit(inst{op: opJmp, x: int32(split)})
	if check >= 0 {
		c.prog[check].x = int32(len(c.prog))
	}
	c.setSplit(split, split+1, len(c.prog), m)
}

// count repeats a body by a counter, for counts too big to write out.
func (c *compiler) count(n *node, lo, hi int) {
	c.counted = true
	m := n.mode
	top := hi
	if hi == inf {
		top = lo
	}
	if top > 0 {
		reg := c.newReg()
		c.emit(inst{op: opCountInit, reg: reg})
		loop := c.emit(inst{op: opCountLoop, reg: reg, min: int32(lo), max: int32(top), mode: m})
		inc := c.emit(inst{op: opCountInc, reg: reg})
		c.prog[inc].x = int32(inc + 1)
		c.node(n.subs[0])
		c.emit(inst{op: opJmp, x: int32(loop)})
		c.prog[loop].x, c.prog[loop].y = int32(inc), int32(len(c.prog))
	}
	if hi == inf {
		c.star(n.subs[0], m)
	}
}

func (c *compiler) atomic(body *node) {
	reg := c.newReg()
	c.emit(inst{op: opAtomic, reg: reg})
	c.closed++
	c.node(body)
	c.closed--
	c.emit(inst{op: opAtomicEnd, reg: reg})
}

// look compiles an assertion. If it does not hold, go to otherwise (patched by the caller if
// that is not yet known). It returns the instruction whose x is that way out.
func (c *compiler) look(n *node, otherwise int32) (out int) {
	c.closed++
	reg := c.newReg()
	start := c.emit(inst{op: opLook, reg: reg, x: otherwise})
	if n.behind {
		br := branches(n.subs[0])
		var ends []int
		for i, b := range br {
			split := -1
			if i < len(br)-1 {
				split = c.emit(inst{op: opSplit})
				c.prog[split].x = int32(split + 1)
			}
			l, _ := fixedLen(b)
			c.emit(inst{op: opBack, min: int32(l)})
			c.node(b)
			if split >= 0 {
				ends = append(ends, c.emit(inst{op: opJmp}))
				c.prog[split].y = int32(len(c.prog))
			}
		}
		for _, e := range ends {
			c.prog[e].x = int32(len(c.prog))
		}
	} else {
		c.node(n.subs[0])
	}
	c.closed--
	if !n.neg {
		c.emit(inst{op: opLookEnd, reg: reg})
		return start
	}
	end := c.emit(inst{op: opLookEndNeg, reg: reg, x: otherwise})
	c.prog[start].x = int32(end + 1)
	return end
}

func (c *compiler) cond(n *node) {
	var out int
	if len(n.subs) == 3 {
		out = c.look(n.subs[2], 0)
	} else {
		out = c.emit(inst{op: opCond, set: c.refList(n)})
	}
	c.node(n.subs[0])
	end := c.emit(inst{op: opJmp})
	c.prog[out].x = int32(len(c.prog))
	c.node(n.subs[1])
	c.prog[end].x = int32(len(c.prog))
}

func collect(n *node, f func(*node)) {
	if n == nil {
		return
	}
	f(n)
	for _, s := range n.subs {
		collect(s, f)
	}
}

// subroutines appends a copy of every called group, ended by opRet.
func (c *compiler) subroutines(root *node) {
	if len(c.calls) == 0 {
		return
	}
	body := map[int]*node{0: root}
	collect(root, func(n *node) {
		if n.kind == kGroup && body[n.n] == nil {
			body[n.n] = n
		}
	})
	at := map[int32]int32{}
	// Compiling a subroutine may add calls to others.
	for i := 0; i < len(c.calls) && c.err == nil; i++ {
		g := c.prog[c.calls[i]].set
		if _, ok := at[g]; !ok {
			at[g] = int32(len(c.prog))
			c.node(body[int(g)])
			c.emit(inst{op: opRet})
		}
		c.prog[c.calls[i]].x = at[g]
	}
}

// first returns the bytes with which a match from pc can begin; not ok if a match may be
// empty from there or if that is not known.
func (c *compiler) first(pc int32, seen map[int32]bool) (s set, ok bool) {
	for {
		if seen[pc] {
			return s, true // adds nothing new
		}
		if len(seen) >= maxFirst {
			return s, false
		}
		seen[pc] = true
		i := &c.prog[pc]
		switch i.op {
		case opByte:
			s.add(i.b)
			return s, true
		case opByteFold:
			s.add(i.b)
			s.fold()
			return s, true
		case opLit, opLitFold:
			s.add(c.lits[i.set][0])
			if i.op == opLitFold {
				s.fold()
			}
			return s, true
		case opSet:
			return c.sets[i.set], true
		case opAny:
			return fullSet(), true
		case opLoop:
			if i.min > 0 {
				return c.sets[i.set], true
			}
			s, ok = c.first(pc+1, seen)
			s.union(c.sets[i.set])
			return s, ok
		case opSplit:
			s, ok = c.first(i.x, seen)
			if !ok {
				return s, false
			}
			t, ok := c.first(i.y, seen)
			s.union(t)
			return s, ok
		case opJmp, opCountInc:
			pc = i.x
		case opMark, opOpen, opClose, opAssert, opAtomic, opKeep, opCountInit:
			pc++ // not opAtomicEnd: inside, what follows outside has no say
		case opLook:
			if i.x < 0 || i.x <= pc {
				return s, false
			}
			if end := &c.prog[i.x-1]; end.op != opLookEndNeg || end.reg != i.reg || end.x != noPC {
				return s, false
			}
			pc = i.x // a negative assertion: what follows it must still match
		case opCountLoop:
			if i.min == 0 {
				return s, false
			}
			pc = i.x
		default:
			return s, false
		}
	}
}

// finish fills in what is known about the bytes that can follow.
func (c *compiler) finish() {
	know := func(pc int32) int32 {
		s, ok := c.first(pc, map[int32]bool{})
		if !ok || s.count() == 256 {
			return -1
		}
		return c.addSet(s)
	}
	for pc := range c.prog {
		i := &c.prog[pc]
		switch i.op {
		case opSplit:
			i.fx, i.fy = know(i.x), know(i.y)
		case opLoop:
			i.fx = know(int32(pc + 1))
			// If what follows cannot begin with what is repeated, there is only one place to stop.
			if i.fx >= 0 && i.mode == greedy && c.sets[i.set].disjoint(&c.sets[i.fx]) {
				i.mode = possessive
			}
		}
	}
}
