package detect

import (
	"encoding/binary"
)

// byteOp is what byte_test, byte_jump, byte_extract and byte_math do: a number
// is read from the buffer and compared, jumped by, kept or computed with.
type byteOp struct {
	bytes  int32
	vBytes uint8 // variable with the number of bytes
	offset int32
	vOff   uint8
	value  uint64
	vValue uint8
	cmp    cmpOp
	result uint8 // variable that receives the value, 1-based

	relative bool
	little   bool
	dce      bool
	text     bool // the number is written in digits
	negate   bool
	base     int // 0 as C's strtoull: by prefix
	mask     uint64
	shift    uint8 // of the mask's lowest bit

	multiplier uint64
	align      uint64
	fromStart  bool
	fromEnd    bool
	postOffset int64
	vPost      uint8
	math       byte // + - * / l r
}

type cmpOp uint8

const (
	cmpLT cmpOp = iota
	cmpLE
	cmpEQ
	cmpGE
	cmpGT
	cmpAnd
	cmpOr
)

// read reads the number; at is the place behind it.
func (m *matcher) read(o *byteOp) (v uint64, at int, ok bool) {
	off := int64(o.offset)
	if o.vOff != 0 {
		off = int64(m.vals[o.vOff-1])
	}
	if o.relative {
		off += int64(m.pos)
	}
	n := int64(o.bytes)
	if o.vBytes != 0 {
		n = int64(m.vals[o.vBytes-1])
	}
	if off < 0 || n < 0 || off > int64(len(m.buf)) || n > int64(len(m.buf))-off {
		return 0, 0, false
	}
	b := m.buf[off : off+n]
	if o.text {
		if n == 0 {
			b = m.buf[off:] // as far as the digits go
		}
		var used int
		if v, used, ok = parseDigits(b, o.base); !ok {
			return 0, 0, false
		}
		at = int(off) + used
	} else {
		if n > 8 {
			return 0, 0, false
		}
		little := o.little || o.dce && m.dceLittle()
		v = readUint(b, little)
		at = int(off + n)
	}
	if o.mask != 0 && o.math == 0 {
		v = (v & o.mask) >> o.shift
	}
	return v, at, true
}

// dceLittle is the byte order of DCERPC data: that of the sender, which is
// little endian but for museum pieces.
func (m *matcher) dceLittle() bool { return true }

func readUint(b []byte, little bool) (v uint64) {
	switch {
	case len(b) == 4 && !little:
		return uint64(binary.BigEndian.Uint32(b))
	case len(b) == 2 && !little:
		return uint64(binary.BigEndian.Uint16(b))
	case little:
		for i := len(b) - 1; i >= 0; i-- {
			v = v<<8 | uint64(b[i])
		}
	default:
		for _, c := range b {
			v = v<<8 | uint64(c)
		}
	}
	return v
}

// parseDigits reads a number written in digits as C's strtoull does: blanks, a
// sign, a prefix, then digits as far as they go.
func parseDigits(b []byte, base int) (v uint64, used int, ok bool) {
	i := 0
	for i < len(b) && (b[i] == ' ' || b[i] >= 9 && b[i] <= 13) {
		i++
	}
	minus := false
	if i < len(b) && (b[i] == '+' || b[i] == '-') {
		minus = b[i] == '-'
		i++
	}
	if (base == 16 || base == 0) && i+2 < len(b) && b[i] == '0' && b[i+1]|0x20 == 'x' && digitOf(b[i+2]) < 16 {
		i += 2
		base = 16
	}
	if base == 0 {
		base = 10
		if i < len(b) && b[i] == '0' {
			base = 8
		}
	}
	start := i
	for i < len(b) {
		d := digitOf(b[i])
		if d >= base {
			break
		}
		next := v*uint64(base) + uint64(d)
		if v > (1<<64-1)/uint64(base) || next < v {
			return 0, 0, false
		}
		v = next
		i++
	}
	if i == start {
		return 0, 0, false
	}
	if minus {
		v = -v
	}
	return v, i, true
}

func digitOf(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c|0x20 >= 'a' && c|0x20 <= 'z':
		return int(c|0x20-'a') + 10
	}
	return 255
}

func (m *matcher) byteTest(n *node) bool {
	o := n.num
	v, _, ok := m.read(o)
	if !ok {
		return false
	}
	want := o.value
	if o.vValue != 0 {
		want = m.vals[o.vValue-1]
	}
	switch o.cmp {
	case cmpLT:
		ok = v < want
	case cmpLE:
		ok = v <= want
	case cmpEQ:
		ok = v == want
	case cmpGE:
		ok = v >= want
	case cmpGT:
		ok = v > want
	case cmpAnd:
		ok = v&want != 0
	case cmpOr:
		ok = v^want != 0
	}
	return ok != o.negate
}

func (m *matcher) byteJump(n *node) bool {
	o := n.num
	v, at, ok := m.read(o)
	if !ok {
		return false
	}
	to := int64(v)
	if o.multiplier > 1 {
		to *= int64(o.multiplier)
	}
	if o.align != 0 && to%4 != 0 {
		to += 4 - to%4
	}
	if o.vPost != 0 {
		to += int64(m.vals[o.vPost-1])
	} else {
		to += o.postOffset
	}
	switch {
	case o.fromStart:
	case o.fromEnd:
		to += int64(len(m.buf))
	default:
		to += int64(at)
	}
	if to < 0 || to > int64(len(m.buf)) {
		return false
	}
	m.pos = int(to)
	return true
}

func (m *matcher) byteExtract(n *node) bool {
	o := n.num
	v, at, ok := m.read(o)
	if !ok {
		return false
	}
	if o.multiplier > 1 {
		v *= o.multiplier
	}
	if o.align != 0 && v%o.align != 0 {
		v += o.align - v%o.align
	}
	m.vals[o.result-1] = v
	m.pos = at
	return true
}

func (m *matcher) byteMath(n *node) bool {
	o := n.num
	v, at, ok := m.read(o)
	if !ok {
		return false
	}
	r := o.value
	if o.vValue != 0 {
		r = m.vals[o.vValue-1]
	}
	switch o.math {
	case '+':
		v += r
	case '-':
		v -= r
	case '*':
		v *= r
	case '/':
		if r == 0 {
			return false
		}
		v /= r
	case 'l':
		if r >= 64 {
			v = 0
		} else {
			v <<= r
		}
	case 'r':
		if r >= 64 {
			v = 0
		} else {
			v >>= r
		}
	}
	if o.mask != 0 {
		v = (v & o.mask) >> o.shift
	}
	m.vals[o.result-1] = v
	m.pos = at
	return true
}
