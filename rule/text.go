package rule

import (
	"strconv"
	"strings"
)

// ValueError is a fault inside the value of an option; Off counts bytes of the
// value.
type ValueError struct {
	Off  int
	What string
	Mend string
}

func (e *ValueError) Error() string { return e.What }

// Quoted takes a value that may be negated and quoted apart: !"text". The
// escapes in text are kept. off is where text begins in value.
func Quoted(value string) (negated, quoted bool, text string, off int) {
	s := value
	if strings.HasPrefix(s, "!") {
		negated = true
		s = strings.TrimLeft(s[1:], " \t")
	}
	off = len(value) - len(s)
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
		return negated, true, s[1 : len(s)-1], off + 1
	}
	return negated, false, s, off
}

// Unescape removes the backslashes before ; " : and \ as in a msg.
func Unescape(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) && strings.IndexByte(`;":\`, s[i+1]) >= 0 {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// Content turns the text of a content, without its quotes, into bytes:
// |0d 0a| is hex, and ; " : and \ are escaped by a backslash.
func Content(s string) ([]byte, error) {
	if !strings.ContainsAny(s, `\|`) {
		if i := strings.IndexAny(s, `";`); i >= 0 {
			return nil, &ValueError{Off: i, What: strconv.Quote(s[i:i+1]) + " is not escaped", Mend: "write \\" + s[i:i+1] + " or its hex code between bars"}
		}
		if s == "" {
			return nil, &ValueError{What: "the content is empty", Mend: "a content needs at least one byte"}
		}
		return []byte(s), nil
	}
	out := make([]byte, 0, len(s))
	hex, nib, n := false, byte(0), 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '|' && !hex:
			hex, n = true, 0
		case c == '|':
			if n%2 == 1 {
				return nil, &ValueError{Off: i, What: "a hex byte has only one digit", Mend: "write two digits a byte: |0d 0a|"}
			}
			hex = false
		case hex && c == ' ':
		case hex:
			d, ok := hexDigit(c)
			if !ok {
				return nil, &ValueError{Off: i, What: strconv.Quote(s[i:i+1]) + " is not a hex digit", Mend: "between bars only hex digits and blanks may stand; a bar as such is |7c|"}
			}
			n++
			if n%2 == 1 {
				nib = d
			} else {
				out = append(out, nib<<4|d)
			}
		case c == '\\':
			if i+1 == len(s) || strings.IndexByte(`;":\`, s[i+1]) < 0 {
				return nil, &ValueError{Off: i, What: "a backslash before something that needs none", Mend: `only \; \" \: and \\ are escapes; a backslash as such is \\`}
			}
			i++
			out = append(out, s[i])
		case c == '"' || c == ';':
			return nil, &ValueError{Off: i, What: strconv.Quote(s[i:i+1]) + " is not escaped", Mend: "write \\" + s[i:i+1] + " or its hex code between bars"}
		default:
			out = append(out, c)
		}
	}
	if hex {
		return nil, &ValueError{Off: len(s) - 1, What: "the hex part is not closed", Mend: "close it with |"}
	}
	if len(out) == 0 {
		return nil, &ValueError{What: "the content is empty", Mend: "a content needs at least one byte"}
	}
	return out, nil
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}
