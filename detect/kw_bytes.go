package detect

import (
	"strconv"
	"strings"

	"github.com/garita/garita/app"
)

// fields splits a value at commas and trims the pieces.
func fields(v string) []string {
	f := strings.Split(v, ",")
	for i := range f {
		f[i] = strings.TrimSpace(f[i])
	}
	return f
}

// intOrVar reads a number or the name of a byte variable.
func (b *builder) intOrVar(s string) (n int64, variable uint8, err error) {
	if s != "" && (s[0] >= 'a' && s[0] <= 'z' || s[0] >= 'A' && s[0] <= 'Z' || s[0] == '_') {
		if i := b.byteVar(s); i != 0 {
			return 0, i, nil
		}
		if len(b.faults) > 0 {
			return 0, 0, errFollows
		}
		return 0, 0, b.fail(0, "unknown byte variable "+strconv.Quote(s), "it is made by byte_extract or byte_math earlier in the rule")
	}
	neg := strings.HasPrefix(s, "-")
	u, ok := parseNum(strings.TrimPrefix(s, "-"), 64)
	if !ok {
		return 0, 0, b.fail(0, "not a number: "+strconv.Quote(s), "")
	}
	n = int64(u)
	if neg {
		n = -n
	}
	return n, 0, nil
}

// byteOption understands the options that byte operations share; false if s
// is none of them.
func (b *builder) byteOption(o *byteOp, s string) (bool, error) {
	word, arg, _ := strings.Cut(s, " ")
	arg = strings.TrimSpace(arg)
	switch word {
	case "relative":
		o.relative = true
	case "big":
		o.little = false
	case "little":
		o.little = true
	case "dce":
		// Only stub data has an order of its own; the payload is big endian.
		o.dce = b.active.field != app.NoField
		return true, b.restrict(dceProtos)
	case "string":
		o.text = true
		switch arg {
		case "", "dec", "hex", "oct":
			if arg != "" {
				return b.byteOption(o, arg)
			}
		default:
			return false, b.fail(0, "unknown base "+strconv.Quote(arg), "hex, dec or oct")
		}
	case "hex":
		o.base = 16
	case "dec":
		o.base = 10
	case "oct":
		o.base = 8
	case "endian":
		switch arg {
		case "big":
		case "little":
			o.little = true
		case "dce":
			o.dce = b.active.field != app.NoField
			return true, b.restrict(dceProtos)
		default:
			return false, b.fail(0, "unknown byte order "+strconv.Quote(arg), "big, little or dce")
		}
	case "bitmask":
		m, err := strconv.ParseUint(strings.TrimPrefix(strings.TrimPrefix(arg, "0x"), "0X"), 16, 32)
		if err != nil || m == 0 {
			return false, b.fail(0, "not a bit mask: "+strconv.Quote(arg), "write bitmask 0x7fff")
		}
		o.mask, o.shift = m, trailingZeros(m)
	default:
		return false, nil
	}
	return true, nil
}

// dceProtos are the protocols that carry DCERPC data, whose byte order "dce"
// is.
const dceProtos = app.ProtoSet(1<<app.DCERPC | 1<<app.SMB)

func (b *builder) addByte(kind op, o *byteOp) {
	n := node{op: kind, num: o}
	if o.relative {
		n.flags |= nRelative
	}
	b.add(n)
}

func (b *builder) bytesOf(s string, o *byteOp) error {
	n, v, err := b.intOrVar(s)
	if err != nil {
		return err
	}
	if n < 0 || n > 23 {
		return b.fail(0, "cannot read "+s+" bytes", "up to 8 bytes, or 23 digits with string")
	}
	o.bytes, o.vBytes = int32(n), v
	return nil
}

func (b *builder) checkWidth(o *byteOp) error {
	if !o.text && o.bytes > 8 {
		return b.fail(0, "cannot read more than 8 bytes", "use string for digits")
	}
	return nil
}

func (b *builder) offsetOf(s string, o *byteOp) error {
	n, v, err := b.intOrVar(s)
	if err != nil {
		return err
	}
	if n < -1<<31 || n >= 1<<31 {
		return b.fail(0, "the offset is out of range: "+s, "a number of 32 bits")
	}
	o.offset, o.vOff = int32(n), v
	return nil
}

func kwByteTest(b *builder, v string) error {
	f := fields(v)
	if len(f) < 4 {
		return b.fail(0, "at least four values are needed", "byte_test:bytes,operator,value,offset[,options]")
	}
	o := &byteOp{}
	if err := b.bytesOf(f[0], o); err != nil {
		return err
	}
	cmp := f[1]
	if strings.HasPrefix(cmp, "!") {
		o.negate = true
		cmp = strings.TrimSpace(cmp[1:])
	}
	switch cmp {
	case "<":
		o.cmp = cmpLT
	case "<=":
		o.cmp = cmpLE
	case "=", "":
		o.cmp = cmpEQ
	case ">=":
		o.cmp = cmpGE
	case ">":
		o.cmp = cmpGT
	case "&":
		o.cmp = cmpAnd
	case "^":
		o.cmp = cmpOr
	default:
		return b.fail(0, "unknown operator "+strconv.Quote(f[1]), "< <= = >= > & ^, each with ! before it if negated")
	}
	val := f[2]
	neg := strings.HasPrefix(val, "-")
	n, vv, err := b.intOrVar(strings.TrimPrefix(val, "-"))
	if err != nil {
		return err
	}
	if neg {
		n = -n
	}
	o.value, o.vValue = uint64(n), vv
	if err := b.offsetOf(f[3], o); err != nil {
		return err
	}
	for _, s := range f[4:] {
		ok, err := b.byteOption(o, s)
		if err != nil {
			return err
		}
		if !ok {
			return b.fail(0, "unknown option "+strconv.Quote(s), "relative, big, little, string, hex, dec, oct, dce, bitmask")
		}
	}
	if err := b.checkWidth(o); err != nil {
		return err
	}
	b.addByte(opByteTest, o)
	return nil
}

func kwByteJump(b *builder, v string) error {
	f := fields(v)
	if len(f) < 2 {
		return b.fail(0, "at least two values are needed", "byte_jump:bytes,offset[,options]")
	}
	o := &byteOp{}
	if err := b.bytesOf(f[0], o); err != nil {
		return err
	}
	if err := b.offsetOf(f[1], o); err != nil {
		return err
	}
	for _, s := range f[2:] {
		ok, err := b.byteOption(o, s)
		if err != nil {
			return err
		}
		if ok {
			continue
		}
		word, arg, _ := strings.Cut(s, " ")
		arg = strings.TrimSpace(arg)
		switch word {
		case "align":
			o.align = 4
		case "from_beginning":
			o.fromStart = true
		case "from_end":
			o.fromEnd = true
		case "multiplier":
			m, ok := parseNum(arg, 16)
			if !ok {
				return b.fail(0, "not a multiplier: "+strconv.Quote(arg), "1 to 65535")
			}
			o.multiplier = m
		case "post_offset":
			if o.postOffset, o.vPost, err = b.intOrVar(arg); err != nil {
				return err
			}
		default:
			return b.fail(0, "unknown option "+strconv.Quote(s), "relative, multiplier, big, little, string, hex, dec, oct, align, from_beginning, from_end, post_offset, dce, bitmask")
		}
	}
	if o.fromStart && o.fromEnd {
		return b.fail(0, "from_beginning and from_end exclude each other", "")
	}
	if err := b.checkWidth(o); err != nil {
		return err
	}
	b.addByte(opByteJump, o)
	return nil
}

func kwByteExtract(b *builder, v string) error {
	f := fields(v)
	if len(f) < 3 {
		return b.fail(0, "at least three values are needed", "byte_extract:bytes,offset,name[,options]")
	}
	o := &byteOp{}
	if err := b.bytesOf(f[0], o); err != nil {
		return err
	}
	if err := b.offsetOf(f[1], o); err != nil {
		return err
	}
	for _, s := range f[3:] {
		ok, err := b.byteOption(o, s)
		if err != nil {
			return err
		}
		if ok {
			continue
		}
		word, arg, _ := strings.Cut(s, " ")
		n, isNum := parseNum(strings.TrimSpace(arg), 16)
		switch {
		case word == "multiplier" && isNum:
			o.multiplier = n
		case word == "align" && (n == 2 || n == 4):
			o.align = n
		default:
			return b.fail(0, "unknown option "+strconv.Quote(s), "relative, multiplier N, big, little, dce, string, hex, dec, oct, align 2, align 4")
		}
	}
	if err := b.checkWidth(o); err != nil {
		return err
	}
	var err error
	if o.result, err = b.newByteVar(f[2]); err != nil {
		return err
	}
	b.addByte(opByteExtract, o)
	return nil
}

func kwByteMath(b *builder, v string) error {
	o := &byteOp{}
	var name string
	have := map[string]bool{}
	for _, s := range fields(v) {
		word, arg, _ := strings.Cut(s, " ")
		arg = strings.TrimSpace(arg)
		var err error
		switch word {
		case "bytes":
			err = b.bytesOf(arg, o)
		case "offset":
			err = b.offsetOf(arg, o)
		case "oper":
			switch arg {
			case "+", "-", "*", "/":
				o.math = arg[0]
			case "<<":
				o.math = 'l'
			case ">>":
				o.math = 'r'
			default:
				return b.fail(0, "unknown operator "+strconv.Quote(arg), "+ - * / << >>")
			}
		case "rvalue":
			var n int64
			n, o.vValue, err = b.intOrVar(arg)
			o.value = uint64(n)
		case "result":
			name = arg
		default:
			var ok bool
			if ok, err = b.byteOption(o, s); !ok && err == nil {
				err = b.fail(0, "unknown option "+strconv.Quote(s), "bytes, offset, oper, rvalue, result, relative, endian, string, dce, bitmask")
			}
		}
		if err != nil {
			return err
		}
		have[word] = true
	}
	for _, w := range []string{"bytes", "offset", "oper", "rvalue", "result"} {
		if !have[w] {
			return b.fail(0, w+" is missing", "byte_math:bytes N, offset N, oper +, rvalue N, result NAME")
		}
	}
	if name == "" {
		return b.fail(0, "the result has no name", "")
	}
	if o.math == '/' && o.value == 0 && o.vValue == 0 {
		b.c.warn(b.fail(0, "division by zero: the rule never matches", ""))
	}
	if err := b.checkWidth(o); err != nil {
		return err
	}
	var err error
	if o.result, err = b.newByteVar(name); err != nil {
		return err
	}
	b.addByte(opByteMath, o)
	return nil
}
