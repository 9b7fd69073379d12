package pcre

import "bytes"

// lead knows where a match can begin.
type lead struct {
	kind   leadKind
	lit    finder // leadLit
	set    set    // leadSet, leadRun
	follow set    // leadRun: what must follow the run
	absent finder // if this does not occur there is no match; may be empty
}

type leadKind uint8

const (
	leadAny   leadKind = iota // everywhere
	leadStart                 // where the search starts
	leadBegin                 // at offset 0
	leadLine                  // where the search starts and at line starts
	leadLit                   // where a literal is
	leadSet                   // where one of a set of bytes is
	leadRun                   // in a run of a set of bytes behind which stands one of another
)

// next returns the first place from at on where a match can begin, or -1.
func (l *lead) next(data []byte, at, start int) int {
	if at > len(data) {
		return -1
	}
	if at == start && l.absent.lit != "" && l.absent.index(data[at:]) < 0 {
		return -1
	}
	switch l.kind {
	case leadStart:
		if at > start {
			return -1
		}
	case leadBegin:
		if at > 0 {
			return -1
		}
	case leadLine:
		if at > start && data[at-1] != '\n' {
			i := bytes.IndexByte(data[at:], '\n')
			if i < 0 {
				return -1
			}
			return at + i + 1
		}
	case leadLit:
		i := l.lit.index(data[at:])
		if i < 0 {
			return -1
		}
		return at + i
	case leadSet:
		for ; at < len(data); at++ {
			if l.set.has(data[at]) {
				return at
			}
		}
		return -1
	case leadRun:
		for at < len(data) {
			if !l.set.has(data[at]) {
				at++
				continue
			}
			e := at + 1
			for e < len(data) && l.set.has(data[e]) {
				e++
			}
			if e == len(data) {
				return -1
			}
			if l.follow.has(data[e]) {
				return at
			}
			at = e + 1
		}
		return -1
	}
	return at
}

// finder looks for a literal by its rarest byte.
type finder struct {
	lit    string // lower case if fold
	fold   bool
	rare   int  // index of the byte to look for
	letter bool // it is a letter in either case
}

// often lists bytes from the most frequent on, as they occur in HTTP, HTML and binary traffic.
const often = " e\x00taoinsrhldcumpfgw.,-/\n\r\"=byv01:;<>k2_34xSCTAE856DPR97MIjFLNO()BqzHG&?%"

func newFinder(l Literal) finder {
	f := finder{lit: string(l.Bytes), fold: l.NoCase}
	best := -256
	for i := range l.Bytes {
		rank := bytes.IndexByte([]byte(often), l.Bytes[i])
		if rank < 0 {
			rank = len(often)
		}
		letter := l.NoCase && l.Bytes[i]-'a' < 26
		if letter {
			rank -= 8 // two searches instead of one
		}
		if rank > best {
			best, f.rare, f.letter = rank, i, letter
		}
	}
	return f
}

// index returns the first place of the literal in data, or -1.
func (f *finder) index(data []byte) int {
	if !f.fold {
		if len(f.lit) == 1 {
			return bytes.IndexByte(data, f.lit[0])
		}
		return f.exact(data)
	}
	c := f.lit[f.rare]
	n := len(f.lit)
	if n > len(data) {
		return -1
	}
	// Places of the rare byte in both cases; end if there is none.
	end := len(data) - (n - 1 - f.rare)
	lo := f.after(data[:end], f.rare, c)
	up := end
	if f.letter {
		up = f.after(data[:end], f.rare, c-0x20)
	}
	for {
		at := min(lo, up)
		if at >= end {
			return -1
		}
		if at -= f.rare; hasFold(data[at:], f.lit) {
			return at
		}
		if lo < up {
			lo = f.after(data[:end], lo+1, c)
		} else {
			up = f.after(data[:end], up+1, c-0x20)
		}
	}
}

func (f *finder) exact(data []byte) int {
	c := f.lit[f.rare]
	n := len(f.lit)
	if n > len(data) {
		return -1
	}
	end := len(data) - (n - 1 - f.rare)
	for at := f.after(data[:end], f.rare, c); at < end; at = f.after(data[:end], at+1, c) {
		if from := at - f.rare; string(data[from:from+n]) == f.lit {
			return from
		}
	}
	return -1
}

// after returns the first place of c from at on, or the length of data.
func (f *finder) after(data []byte, at int, c byte) int {
	if i := bytes.IndexByte(data[at:], c); i >= 0 {
		return at + i
	}
	return len(data)
}
