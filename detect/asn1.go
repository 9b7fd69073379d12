package detect

import (
	"strconv"
	"strings"
)

// asn1Op is what the asn1 keyword looks for in BER-encoded data.
type asn1Op struct {
	bitstring, double bool
	oversize          int // 0: not asked
	offset            int
	relative          bool
}

func kwASN1(b *builder, v string) error {
	o := &asn1Op{}
	for _, f := range fields(v) {
		word, arg, _ := strings.Cut(f, " ")
		n, err := strconv.Atoi(strings.TrimSpace(arg))
		switch {
		case word == "bitstring_overflow":
			o.bitstring = true
		case word == "double_overflow":
			o.double = true
		case word == "oversize_length" && err == nil && n > 0:
			o.oversize = n
		case word == "absolute_offset" && err == nil && n >= 0:
			o.offset = n
		case word == "relative_offset" && err == nil:
			o.offset, o.relative = n, true
		default:
			return b.fail(0, "unknown option "+strconv.Quote(f), "bitstring_overflow, double_overflow, oversize_length N, absolute_offset N, relative_offset N")
		}
	}
	n := node{op: opASN1, asn: o}
	if o.relative {
		n.flags |= nRelative
	}
	b.add(n)
	return nil
}

// maxASN1 bounds how many elements are looked at.
const maxASN1 = 256

// asn1 walks along the elements of BER data (X.690 §8.1) and says whether one
// of them is malformed as asked.
func (m *matcher) asn1(o *asn1Op) bool {
	at := o.offset
	if o.relative {
		at += m.pos
	}
	if at < 0 || at >= len(m.buf) {
		return false
	}
	data := m.buf[at:]
	for range maxASN1 {
		if len(data) < 2 {
			return false
		}
		tag := data[0]
		i := 1
		if tag&31 == 31 { // long tag
			for i < len(data) && data[i]&0x80 != 0 {
				i++
			}
			i++
		}
		if i >= len(data) {
			return false
		}
		n := uint64(data[i])
		i++
		if n > 0x80 {
			k := int(n & 0x7f)
			if k > 8 || i+k > len(data) {
				return false
			}
			n = 0
			for _, c := range data[i : i+k] {
				n = n<<8 | uint64(c)
			}
			i += k
		} else if n == 0x80 {
			n = 0 // indefinite: its contents follow
		}
		body := data[min(i, len(data)):]
		if o.oversize > 0 && n > uint64(o.oversize) {
			return true
		}
		universal, primitive := tag&0xc0 == 0, tag&0x20 == 0
		if universal && primitive {
			switch tag & 31 {
			case 3: // bit string: more unused bits than there are
				if o.bitstring && len(body) > 0 && n > 0 && (n-1)*8 < uint64(body[0]) {
					return true
				}
			case 9: // real: decimal encodings of more than 256 bytes
				if o.double && len(body) > 0 && body[0]&0xc0 == 0 && n > 256 {
					return true
				}
			}
		}
		if !primitive {
			data = body
			continue
		}
		if n > uint64(len(body)) {
			return false
		}
		data = body[n:]
	}
	return false
}
