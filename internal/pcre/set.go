package pcre

import (
	"math/bits"
	"unicode"
)

// set is a set of byte values.
type set [4]uint64

func (s *set) has(b byte) bool { return s[b>>6]>>(b&63)&1 != 0 }
func (s *set) add(b byte)      { s[b>>6] |= 1 << (b & 63) }
func (s *set) addRange(a, b byte) {
	for c := int(a); c <= int(b); c++ {
		s.add(byte(c))
	}
}
func (s *set) union(o set) {
	for i := range s {
		s[i] |= o[i]
	}
}
func (s set) not() set {
	for i := range s {
		s[i] = ^s[i]
	}
	return s
}
func (s *set) count() int {
	n := 0
	for _, w := range s {
		n += bits.OnesCount64(w)
	}
	return n
}
func (s *set) disjoint(o *set) bool {
	return s[0]&o[0]|s[1]&o[1]|s[2]&o[2]|s[3]&o[3] == 0
}

// fold adds the other case of every ASCII letter: PCRE's tables in the C locale
// know no other letters.
func (s *set) fold() {
	const letters = 0x07fffffe
	lo, hi := uint32(s[1]), uint32(s[1]>>32)
	l := (lo | hi) & letters
	s[1] |= uint64(l) | uint64(l)<<32
}

// first returns the least member.
func (s *set) first() byte {
	for i, w := range s {
		if w != 0 {
			return byte(i<<6 + bits.TrailingZeros64(w))
		}
	}
	return 0
}

func ofRanges(r ...byte) (s set) {
	for i := 0; i+1 < len(r); i += 2 {
		s.addRange(r[i], r[i+1])
	}
	return s
}

func fullSet() set { return ofRanges(0, 255) }

// escapeSet returns the class of a one-letter escape.
func escapeSet(c byte) (s set, ok bool) {
	switch c {
	case 'd', 'D':
		s = ofRanges('0', '9')
	case 'w', 'W':
		s = ofRanges('0', '9', 'A', 'Z', 'a', 'z', '_', '_')
	case 's', 'S':
		s = ofRanges('\t', '\r', ' ', ' ')
	case 'h', 'H':
		s = ofRanges('\t', '\t', ' ', ' ', 0xa0, 0xa0)
	case 'v', 'V':
		s = ofRanges('\n', '\r', 0x85, 0x85)
	case 'N':
		return ofRanges('\n', '\n').not(), true
	default:
		return s, false
	}
	if c < 'a' {
		s = s.not()
	}
	return s, true
}

// posixSet returns the class [:name:].
func posixSet(name string) (s set, ok bool) {
	switch name {
	case "alpha":
		s = ofRanges('A', 'Z', 'a', 'z')
	case "lower":
		s = ofRanges('a', 'z')
	case "upper":
		s = ofRanges('A', 'Z')
	case "alnum":
		s = ofRanges('0', '9', 'A', 'Z', 'a', 'z')
	case "ascii":
		s = ofRanges(0, 127)
	case "blank":
		s = ofRanges('\t', '\t', ' ', ' ')
	case "cntrl":
		s = ofRanges(0, 31, 127, 127)
	case "digit":
		s = ofRanges('0', '9')
	case "graph":
		s = ofRanges('!', '~')
	case "print":
		s = ofRanges(' ', '~')
	case "punct":
		s = ofRanges('!', '/', ':', '@', '[', '`', '{', '~')
	case "space":
		s = ofRanges('\t', '\r', ' ', ' ')
	case "word":
		s = ofRanges('0', '9', 'A', 'Z', 'a', 'z', '_', '_')
	case "xdigit":
		s = ofRanges('0', '9', 'A', 'F', 'a', 'f')
	default:
		return s, false
	}
	return s, true
}

// propertySet returns the bytes whose Latin-1 code point has a Unicode property,
// which is how PCRE takes \p on bytes.
func propertySet(name string) (s set, ok bool) {
	neg := false
	if len(name) > 0 && name[0] == '^' {
		neg, name = true, name[1:]
	}
	var tab *unicode.RangeTable
	switch name {
	case "Any":
		s = fullSet()
	case "L&":
		for c := range 256 {
			if r := rune(c); unicode.IsUpper(r) || unicode.IsLower(r) || unicode.IsTitle(r) {
				s.add(byte(c))
			}
		}
	default:
		if tab = unicode.Categories[name]; tab == nil {
			tab = unicode.Scripts[name]
		}
		if tab == nil {
			return s, false
		}
		for c := range 256 {
			if unicode.Is(tab, rune(c)) {
				s.add(byte(c))
			}
		}
	}
	if neg {
		s = s.not()
	}
	return s, true
}
