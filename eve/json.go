package eve

import (
	"net/netip"
	"strconv"
	"time"
	"unicode/utf8"
)

// object appends one JSON record to a buffer, field by field in the order of
// the calls. It allocates nothing but the buffer's growth: records are written
// from the packet path.
type object struct {
	b     []byte
	comma bool
}

func (o *object) key(k string) {
	if o.comma {
		o.b = append(o.b, ',')
	}
	o.comma = true
	o.b = append(o.b, '"')
	o.b = append(o.b, k...)
	o.b = append(o.b, '"', ':')
}

// keyEscaped is key for names that come from rules.
func (o *object) keyEscaped(k string) {
	if o.comma {
		o.b = append(o.b, ',')
	}
	o.comma = true
	o.b = append(appendString(o.b, k), ':')
}

func (o *object) open(k string) {
	if k != "" {
		o.key(k)
	}
	o.b = append(o.b, '{')
	o.comma = false
}

func (o *object) close() {
	o.b = append(o.b, '}')
	o.comma = true
}

func (o *object) openArray(k string) {
	o.key(k)
	o.b = append(o.b, '[')
	o.comma = false
}

func (o *object) closeArray() {
	o.b = append(o.b, ']')
	o.comma = true
}

// item starts the next element of an array.
func (o *object) item() {
	if o.comma {
		o.b = append(o.b, ',')
	}
	o.comma = true
}

func (o *object) str(k, v string) {
	o.key(k)
	o.b = appendString(o.b, v)
}

func (o *object) bytes(k string, v []byte) {
	o.key(k)
	o.b = appendString(o.b, v)
}

// text is bytes for values that are left out when they are empty.
func (o *object) text(k string, v []byte) {
	if len(v) > 0 {
		o.bytes(k, v)
	}
}

func (o *object) uint(k string, v uint64) {
	o.key(k)
	o.b = strconv.AppendUint(o.b, v, 10)
}

func (o *object) int(k string, v int64) {
	o.key(k)
	o.b = strconv.AppendInt(o.b, v, 10)
}

func (o *object) bool(k string, v bool) {
	o.key(k)
	o.b = strconv.AppendBool(o.b, v)
}

func (o *object) addr(k string, a netip.Addr) {
	o.key(k)
	o.b = appendAddr(o.b, a)
}

func appendAddr(b []byte, a netip.Addr) []byte {
	b = append(b, '"')
	if a.Is6() {
		b = appendAddr6(b, a)
	} else if a.IsValid() {
		b = a.AppendTo(b)
	}
	return append(b, '"')
}

// appendAddr6 writes all eight groups in full, as Suricata does
// ("fe80:0000:…"), so that records of both can be joined.
func appendAddr6(b []byte, a netip.Addr) []byte {
	v := a.As16()
	for i := 0; i < 16; i += 2 {
		if i > 0 {
			b = append(b, ':')
		}
		b = append(b, hexDigits[v[i]>>4], hexDigits[v[i]&15], hexDigits[v[i+1]>>4], hexDigits[v[i+1]&15])
	}
	return b
}

// time writes nanoseconds since 1970 as ISO 8601 in local time with
// microseconds, as Suricata does.
func (o *object) time(k string, ns int64, loc *time.Location) {
	o.key(k)
	o.b = append(o.b, '"')
	o.b = time.Unix(0, ns).In(loc).AppendFormat(o.b, "2006-01-02T15:04:05.000000-0700")
	o.b = append(o.b, '"')
}

const hexDigits = "0123456789abcdef"

// appendString appends s as a JSON string. If it is not UTF-8 as a whole, its
// bytes beyond ASCII become the text \xNN, as in Suricata's records: the file
// stays valid JSON whatever the network sent.
func appendString[T string | []byte](b []byte, s T) []byte {
	b = append(b, '"')
	checked, text := false, false
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			i++
			switch {
			case c == '"' || c == '\\':
				b = append(b, '\\', c)
			case c == '\n':
				b = append(b, '\\', 'n')
			case c == '\r':
				b = append(b, '\\', 'r')
			case c == '\t':
				b = append(b, '\\', 't')
			case c == '\b':
				b = append(b, '\\', 'b')
			case c == '\f':
				b = append(b, '\\', 'f')
			case c < 0x20 || c == 0x7f:
				b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
			default:
				b = append(b, c)
			}
			continue
		}
		if !checked {
			checked, text = true, utf8.ValidString(string(s[i:]))
		}
		if text {
			b = append(b, c)
		} else {
			b = append(b, '\\', '\\', 'x', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
	}
	return append(b, '"')
}
