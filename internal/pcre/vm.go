package pcre

import (
	"bytes"
	"math/bits"
)

// frame is something to come back to: an alternative, or an old value to restore.
type frame struct {
	kind frameKind
	pc   int32 // of fReg: the register
	pos  int32
	aux  int32
}

type frameKind int32

const (
	fAlt     frameKind = iota // go on at pc, pos
	fGreedy                   // the loop at pc may also end at pos, down to aux
	fLazy                     // the loop at pc ended at pos and may go on, up to aux
	fReg                      // regs[pc] was aux
	fBarrier                  // start of an assertion at pos, or of an atomic group
	fCalls                    // there were aux subroutine calls
)

// Limits of memory, per Scratch.
const (
	maxStack = 1 << 18 // frames of 16 bytes: 4 MiB
	maxCalls = 1000    // depth of recursion and open calls
	maxMemo  = 1 << 25 // bits: 4 MiB
)

// memoAfter is the number of steps after which a search remembers where it has failed.
const memoAfter = 4096

type call struct {
	ret    int32
	parent int32
	saved  int32 // place of the registers in Scratch.saved
}

// backtrack matches at position at only. start is where the search began (\G).
// It returns the end of the match or -1; s.Limited tells that it gave up.
func (re *Regexp) backtrack(data []byte, at, start int, s *Scratch) int {
	prog := re.prog
	regs := s.regs
	stack := s.stack[:0]
	steps := s.steps
	n := len(data)
	pos := at
	pc := int32(0)
	end := -1

	for {
		if steps--; steps <= 0 {
			s.Limited = true
			break
		}
		if s.memoAt >= steps && !s.memoOn {
			re.startMemo(n, s)
			steps -= len(s.memo) >> 5 // it is cleared
		}
		if len(stack) >= maxStack {
			s.Limited = true
			break
		}
		i := &prog[pc]
		switch i.op {
		case opByte:
			if pos < n && data[pos] == i.b {
				pos++
				pc++
				continue
			}
			goto fail
		case opByteFold:
			if pos < n && data[pos]|0x20 == i.b {
				pos++
				pc++
				continue
			}
			goto fail
		case opLit:
			if l := re.lits[i.set]; len(l) <= n-pos && string(data[pos:pos+len(l)]) == l {
				pos += len(l)
				pc++
				continue
			}
			goto fail
		case opLitFold:
			if l := re.lits[i.set]; len(l) <= n-pos && hasFold(data[pos:], l) {
				pos += len(l)
				pc++
				continue
			}
			goto fail
		case opSet:
			if pos < n && re.sets[i.set].has(data[pos]) {
				pos++
				pc++
				continue
			}
			goto fail
		case opAny:
			if pos < n {
				pos++
				pc++
				continue
			}
			goto fail
		case opJmp:
			pc = i.x
			continue
		case opSplit:
			if i.memo >= 0 && s.memoOn && s.visit(i.memo, pos, n) {
				goto fail
			}
			x, y := true, true
			if pos < n {
				c := data[pos]
				x = i.fx < 0 || re.sets[i.fx].has(c)
				y = i.fy < 0 || re.sets[i.fy].has(c)
			} else {
				x, y = i.fx < 0, i.fy < 0
			}
			if x {
				if y {
					stack = append(stack, frame{fAlt, i.y, int32(pos), 0})
				}
				pc = i.x
				continue
			}
			if y {
				pc = i.y
				continue
			}
			goto fail
		case opLoop:
			lo, limit := pos+int(i.min), n
			if lo > n {
				goto fail
			}
			if i.max >= 0 && int(i.max) < n-pos {
				limit = pos + int(i.max)
			}
			if i.memo >= 0 && s.memoOn && s.visited(i.memo, pos, n) {
				goto fail
			}
			if i.mode == lazy {
				if re.run(i, data, pos, lo) < lo {
					goto fail
				}
				if i.memo >= 0 && s.memoOn {
					s.mark(i.memo, pos, pos, n)
				}
				from := pos
				if pos, lo = re.lazyStop(i, data, lo, limit, s); pos < 0 {
					steps -= (lo - from) >> 4
					goto fail
				}
				steps -= (pos - from) >> 4
				if pos < limit {
					stack = append(stack, frame{fLazy, pc, int32(pos), int32(limit)})
				}
				pc++
				continue
			}
			seen := n + 1
			if i.max == inf && i.memo >= 0 && s.memoOn {
				// Where the loop has been entered or passed before, it has nothing new to try from there on.
				seen = s.nextMarked(i.memo, pos, n)
				limit = min(limit, seen+int(i.min)-1)
			}
			e := re.run(i, data, pos, limit)
			steps -= (e - pos) >> 4
			if e < lo {
				goto fail
			}
			if i.memo >= 0 && s.memoOn {
				last := pos
				if i.max == inf {
					last = e - int(i.min)
				}
				s.mark(i.memo, pos, last, n)
				if i.mode == possessive && last+1 == seen && re.run(i, data, e, e+1) > e {
					goto fail // it would end where it ended before
				}
			}
			if i.mode == possessive {
				pos = e
				pc++
				continue
			}
			if pos = re.greedyStop(i, data, lo, e); pos < 0 {
				steps -= (e - lo) >> 4
				goto fail
			}
			steps -= (e - pos) >> 4
			if pos > lo {
				stack = append(stack, frame{fGreedy, pc, int32(pos - 1), int32(lo)})
			}
			pc++
			continue
		case opAssert:
			if re.assert(i.b, data, pos, start) {
				pc++
				continue
			}
			goto fail
		case opMark, opOpen:
			stack = append(stack, frame{fReg, i.reg, 0, regs[i.reg]})
			regs[i.reg] = int32(pos)
			pc++
			continue
		case opCheck:
			if int(regs[i.reg]) == pos {
				pc = i.x
			} else {
				pc++
			}
			continue
		case opClose:
			g := 2 * i.min
			stack = append(stack, frame{fReg, g, 0, regs[g]}, frame{fReg, g + 1, 0, regs[g+1]})
			regs[g], regs[g+1] = regs[i.reg], int32(pos)
			pc++
			continue
		case opKeep:
			stack = append(stack, frame{fReg, 0, 0, regs[0]})
			regs[0] = int32(pos)
			pc++
			continue
		case opCountInit:
			stack = append(stack, frame{fReg, i.reg, 0, regs[i.reg]})
			regs[i.reg] = 0
			pc++
			continue
		case opCountLoop:
			switch c := regs[i.reg]; {
			case c < i.min:
				pc = i.x
			case c >= i.max:
				pc = i.y
			case i.mode == lazy:
				stack = append(stack, frame{fAlt, i.x, int32(pos), 0})
				pc = i.y
			default:
				stack = append(stack, frame{fAlt, i.y, int32(pos), 0})
				pc = i.x
			}
			continue
		case opCountInc:
			stack = append(stack, frame{fReg, i.reg, 0, regs[i.reg]})
			regs[i.reg]++
			pc = i.x
			continue
		case opRef:
			l := re.refLen(i, data, pos, regs)
			if l < 0 {
				goto fail
			}
			steps -= l >> 4
			pos += l
			pc++
			continue
		case opAtomic, opLook:
			stack = append(stack, frame{fReg, i.reg, 0, regs[i.reg]})
			regs[i.reg] = int32(len(stack))
			f := frame{fBarrier, 0, int32(pos), 0}
			if i.op == opLook && i.x != noPC {
				f.kind, f.pc = fAlt, i.x
			}
			stack = append(stack, f)
			pc++
			continue
		case opBack:
			if pos < int(i.min) {
				goto fail
			}
			pos -= int(i.min)
			pc++
			continue
		case opAtomicEnd, opLookEnd:
			h := int(regs[i.reg])
			if i.op == opLookEnd {
				pos = int(stack[h].pos)
			}
			// Forget the alternatives, keep what must be restored on the way back.
			keep := h
			for _, f := range stack[h+1:] {
				if f.kind == fReg || f.kind == fCalls {
					stack[keep] = f
					keep++
				}
			}
			steps -= (len(stack) - h) >> 4
			stack = stack[:keep]
			pc++
			continue
		case opLookEndNeg:
			h := int(regs[i.reg])
			pos = int(stack[h].pos)
			for len(stack) > h {
				f := stack[len(stack)-1]
				stack = stack[:len(stack)-1]
				s.undo(f)
			}
			if i.x == noPC {
				goto fail
			}
			pc = i.x
			continue
		case opCond:
			if set, _, _ := re.group(i.set, regs); set {
				pc++
			} else {
				pc = i.x
			}
			continue
		case opCall:
			if len(s.calls) >= maxCalls {
				s.Limited = true
				goto done
			}
			stack = append(stack, frame{fCalls, 0, 0, int32(len(s.calls))}, frame{fReg, re.callReg, 0, regs[re.callReg]})
			s.calls = append(s.calls, call{pc + 1, regs[re.callReg], int32(len(s.saved))})
			s.saved = append(s.saved, regs...)
			regs[re.callReg] = int32(len(s.calls) - 1)
			pc = i.x
			continue
		case opRet:
			c := s.calls[regs[re.callReg]]
			steps -= len(regs) >> 4
			for r, old := range s.saved[c.saved : int(c.saved)+len(regs)] {
				if regs[r] != old {
					stack = append(stack, frame{fReg, int32(r), 0, regs[r]})
					regs[r] = old
				}
			}
			pc = c.ret
			continue
		case opMatch:
			end = pos
			goto done
		}
	fail:
		for {
			if len(stack) == 0 {
				goto done
			}
			f := &stack[len(stack)-1]
			switch f.kind {
			case fAlt:
				pc, pos = f.pc, int(f.pos)
				stack = stack[:len(stack)-1]
			case fGreedy:
				i := &prog[f.pc]
				lo, from := int(f.aux), int(f.pos)
				if pos = re.greedyStop(i, data, lo, from); pos < 0 {
					steps -= (from - lo) >> 4
					stack = stack[:len(stack)-1]
					continue
				}
				steps -= (from - pos) >> 4
				pc = f.pc + 1
				if pos > lo {
					f.pos = int32(pos - 1)
				} else {
					stack = stack[:len(stack)-1]
				}
			case fLazy:
				i := &prog[f.pc]
				limit, from := int(f.aux), int(f.pos)
				if re.run(i, data, from, from+1) == from {
					stack = stack[:len(stack)-1]
					continue
				}
				var to int
				if i.max == inf && i.memo >= 0 && s.memoOn && s.visited(i.memo, from+1-int(i.min), n) {
					stack = stack[:len(stack)-1]
					continue
				}
				if pos, to = re.lazyStop(i, data, from+1, limit, s); pos < 0 {
					steps -= (to - from) >> 4
					stack = stack[:len(stack)-1]
					continue
				}
				steps -= (pos - from) >> 4
				pc = f.pc + 1
				if pos < limit {
					f.pos = int32(pos)
				} else {
					stack = stack[:len(stack)-1]
				}
			default:
				g := *f
				stack = stack[:len(stack)-1]
				s.undo(g)
				continue
			}
			break
		}
	}
done:
	s.stack = stack[:0]
	s.steps = steps
	return end
}

// undo restores what a frame remembers.
func (s *Scratch) undo(f frame) {
	switch f.kind {
	case fReg:
		s.regs[f.pc] = f.aux
	case fCalls:
		s.saved = s.saved[:s.calls[f.aux].saved]
		s.calls = s.calls[:f.aux]
	}
}

// run returns where the bytes of a loop's set end, from pos on and not past limit.
func (re *Regexp) run(i *inst, data []byte, pos, limit int) int {
	limit = min(limit, len(data))
	switch i.kind {
	case loopAll:
		return max(limit, pos)
	case loopNot:
		if pos >= limit {
			return pos
		}
		if e := bytes.IndexByte(data[pos:limit], i.b); e >= 0 {
			return pos + e
		}
		return limit
	}
	set := &re.sets[i.set]
	for pos < limit && set.has(data[pos]) {
		pos++
	}
	return pos
}

// greedyStop returns the last position from e down to lo after which the expression can go on, or -1.
func (re *Regexp) greedyStop(i *inst, data []byte, lo, e int) int {
	if i.fx < 0 {
		return e
	}
	follow := &re.sets[i.fx]
	if e == len(data) {
		e--
	}
	for ; e >= lo; e-- {
		if follow.has(data[e]) {
			return e
		}
	}
	return -1
}

// lazyStop returns the first position from lo up to limit, within the run of the loop,
// after which the expression can go on, or -1; and how far it looked.
func (re *Regexp) lazyStop(i *inst, data []byte, lo, limit int, s *Scratch) (stop, to int) {
	n := len(data)
	memo := i.max == inf && i.memo >= 0 && s.memoOn
	from := lo
	if memo && lo < n {
		// Only up to where the loop has been before. Its own place is marked already.
		limit = min(limit, s.nextMarked(i.memo, lo+1-int(i.min), n)+int(i.min)-1)
	}
	stop = -1
	if i.fx < 0 {
		stop = lo
	} else {
		follow, set := &re.sets[i.fx], &re.sets[i.set]
		for ; lo < n; lo++ {
			if follow.has(data[lo]) {
				stop = lo
				break
			}
			if lo >= limit || !set.has(data[lo]) {
				break
			}
		}
	}
	if memo {
		s.mark(i.memo, from-int(i.min), min(lo, n)-int(i.min), n)
	}
	return stop, lo
}

func isWord(b byte) bool { return b-'0' < 10 || (b|0x20)-'a' < 26 || b == '_' }

func (re *Regexp) assert(what byte, data []byte, pos, start int) bool {
	n := len(data)
	switch what {
	case aBegin:
		return pos == 0
	case aLineBeg:
		return pos == 0 || pos < n && data[pos-1] == '\n'
	case aEnd:
		return pos == n
	case aEndNL:
		return pos == n || pos == n-1 && data[pos] == '\n'
	case aLineEnd:
		return pos == n || data[pos] == '\n'
	case aStart:
		return pos == start
	}
	before := pos > 0 && isWord(data[pos-1])
	after := pos < n && isWord(data[pos])
	return (before != after) == (what == aWord)
}

// group returns the place of the first set group among those of a name.
func (re *Regexp) group(list int32, regs []int32) (set bool, from, to int) {
	for _, g := range re.refs[list] {
		if g > 0 && regs[2*g] >= 0 {
			return true, int(regs[2*g]), int(regs[2*g+1])
		}
	}
	return false, 0, 0
}

// refLen returns the length of a back reference that matches at pos, or -1.
func (re *Regexp) refLen(i *inst, data []byte, pos int, regs []int32) int {
	set, from, to := re.group(i.set, regs)
	if !set {
		return -1
	}
	l := to - from
	if l > len(data)-pos || l < 0 {
		return -1
	}
	a, b := data[from:to], data[pos:pos+l]
	if !i.fold {
		if !bytes.Equal(a, b) {
			return -1
		}
		return l
	}
	for k := range a {
		if lowerByte(a[k]) != lowerByte(b[k]) {
			return -1
		}
	}
	return l
}

func lowerByte(c byte) byte {
	if c-'A' < 26 {
		return c | 0x20
	}
	return c
}

// hasFold reports whether data, not shorter than the lower-case l, begins with it in any case.
func hasFold(data []byte, l string) bool {
	data = data[:len(l)]
	for k := range data {
		if lowerByte(data[k]) != l[k] {
			return false
		}
	}
	return true
}

// startMemo begins to remember failed states, if the expression permits that: if where it fails
// depends on nothing but the instruction and the position.
func (re *Regexp) startMemo(n int, s *Scratch) {
	s.memoAt = -1
	if !re.memoOK {
		return
	}
	states := int(re.nmemo) * (n + 1)
	if states > maxMemo {
		return
	}
	words := (states + 63) / 64
	if cap(s.memo) < words {
		s.memo = make([]uint64, words)
	}
	s.memo = s.memo[:words]
	clear(s.memo)
	s.memoOn = true
}

func (s *Scratch) visited(memo int32, pos, n int) bool {
	b := uint(memo)*uint(n+1) + uint(pos)
	return s.memo[b>>6]>>(b&63)&1 != 0
}

// nextMarked returns the first marked position from pos on, or n+1.
func (s *Scratch) nextMarked(memo int32, pos, n int) int {
	base := uint(memo) * uint(n+1)
	b, end := base+uint(pos), base+uint(n+1)
	for b < end {
		if w := s.memo[b>>6] >> (b & 63); w != 0 {
			return int(min(b+uint(bits.TrailingZeros64(w)), end) - base)
		}
		b = b&^63 + 64
	}
	return n + 1
}

// visit marks a state and reports whether it was marked before.
func (s *Scratch) visit(memo int32, pos, n int) bool {
	b := uint(memo)*uint(n+1) + uint(pos)
	w := &s.memo[b>>6]
	if *w>>(b&63)&1 != 0 {
		return true
	}
	*w |= 1 << (b & 63)
	return false
}

func (s *Scratch) mark(memo int32, from, to, n int) {
	b := uint(memo)*uint(n+1) + uint(from)
	e := uint(memo)*uint(n+1) + uint(to)
	for ; b&63 != 0 && b <= e; b++ {
		s.memo[b>>6] |= 1 << (b & 63)
	}
	for ; b+63 <= e; b += 64 {
		s.memo[b>>6] = ^uint64(0)
	}
	for ; b <= e; b++ {
		s.memo[b>>6] |= 1 << (b & 63)
	}
}
