package detect

import (
	"strconv"
	"strings"
)

// numRange is a condition on a number, as Suricata's integer keywords write
// it: "5", ">5", "<=5", "!5", "3-9" and "3<>9" (both ends excluded).
type numRange struct {
	op   numOp
	a, b uint64
}

type numOp uint8

const (
	numEQ numOp = iota
	numNE
	numLT
	numLE
	numGT
	numGE
	numIn // a < x < b
	numWithin
	numNotIn  // not numIn
	numAnyBit // x & a != 0
	numMaskEQ // x & a == b
	numMaskNE // x & a != b
)

func (r *numRange) match(x uint64) bool {
	switch r.op {
	case numEQ:
		return x == r.a
	case numNE:
		return x != r.a
	case numLT:
		return x < r.a
	case numLE:
		return x <= r.a
	case numGT:
		return x > r.a
	case numGE:
		return x >= r.a
	case numIn:
		return r.a < x && x < r.b
	case numWithin:
		return r.a <= x && x <= r.b
	case numNotIn:
		return !(r.a < x && x < r.b)
	case numAnyBit:
		return x&r.a != 0
	case numMaskEQ:
		return x&r.a == r.b
	case numMaskNE:
		return x&r.a != r.b
	}
	return false
}

// parseNum reads a number in decimal, or in hex with 0x.
func parseNum(s string, bits int) (uint64, bool) {
	base := 10
	if len(s) > 2 && (s[:2] == "0x" || s[:2] == "0X") {
		s, base = s[2:], 16
	}
	n, err := strconv.ParseUint(s, base, bits)
	return n, err == nil
}

// parseUnit reads a number that may have a unit behind it: 5kb, 5MB, 5GB.
func parseUnit(s string, bits int) (uint64, bool) {
	for i, u := range [...]string{"kb", "MB", "GB"} {
		if d, ok := strings.CutSuffix(s, u); ok {
			n, ok := parseNum(d, bits)
			shift := 10 * (i + 1)
			return n << shift, ok && n<<shift>>shift == n && (bits == 64 || n<<shift < 1<<bits)
		}
	}
	return parseNum(s, bits)
}

// parseRange reads a condition on a number of so many bits.
func parseRange(s string, bits int) (numRange, string) {
	bad := func(why string) (numRange, string) { return numRange{}, why }
	s = strings.TrimSpace(s)
	if s == "" {
		return bad("a number is missing")
	}
	const form = "write 5, !5, >5, >=5, <5, <=5 or 3-9"
	var r numRange
	rest := s
	switch {
	case strings.HasPrefix(s, ">="):
		r.op, rest = numGE, s[2:]
	case strings.HasPrefix(s, "<="):
		r.op, rest = numLE, s[2:]
	case strings.HasPrefix(s, "!="):
		r.op, rest = numNE, s[2:]
	case s[0] == '>':
		r.op, rest = numGT, s[1:]
	case s[0] == '<':
		r.op, rest = numLT, s[1:]
	case s[0] == '=':
		rest = s[1:]
	default:
		neg := s[0] == '!'
		if neg {
			rest = s[1:]
		}
		lo, hi, ok := strings.Cut(rest, "<>")
		if !ok {
			lo, hi, ok = strings.Cut(rest, "-")
		}
		if ok {
			a, ok1 := parseUnit(strings.TrimSpace(lo), bits)
			b, ok2 := parseUnit(strings.TrimSpace(hi), bits)
			if !ok1 || !ok2 {
				return bad("not a range of numbers: " + strconv.Quote(s) + "; " + form)
			}
			if a >= b || b-a <= 1 {
				return bad("no number lies between " + lo + " and " + hi)
			}
			r = numRange{op: numIn, a: a, b: b}
			if neg {
				r.op = numNotIn
			}
			return r, ""
		}
		if neg {
			r.op = numNE
		}
	}
	n, ok := parseUnit(strings.TrimSpace(rest), bits)
	if !ok {
		return bad("not a number of " + strconv.Itoa(bits) + " bits: " + strconv.Quote(s) + "; " + form)
	}
	r.a = n
	last := uint64(1)<<bits - 1
	if n == 0 && (r.op == numLT || r.op == numGE) || n == last && (r.op == numGT || r.op == numLE) {
		return bad("no number of " + strconv.Itoa(bits) + " bits is " + s)
	}
	return r, ""
}

// parseLeading is parseRange that passes over what stands behind a number, as
// some keywords of Suricata do.
func parseLeading(s string, bits int) (numRange, string) {
	r, bad := parseRange(s, bits)
	if bad == "" && r.op != numNotIn && !strings.Contains(s, "x") {
		return r, ""
	}
	digits := strings.TrimLeft(s, "!<>= ")
	end := len(digits) - len(strings.TrimLeft(digits, "0123456789"))
	if end == 0 || end == len(digits) {
		return r, bad
	}
	return parseRange(s[:len(s)-len(digits)+end], bits)
}

// cutRange takes "a-b" or "a<>b" apart.
func cutRange(s string) (lo, hi string, ok bool) {
	if lo, hi, ok = strings.Cut(s, "<>"); !ok {
		lo, hi, ok = strings.Cut(s, "-")
	}
	return strings.TrimSpace(lo), strings.TrimSpace(hi), ok
}
