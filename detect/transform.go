package detect

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"

	"github.com/garita/garita/internal/pcre"
)

// transform is one thing done to a buffer before contents are matched on it.
type transform struct {
	op  transformOp
	key string // xor: the key's bytes; pcrexform: the expression
	re  *pcre.Regexp
}

type transformOp uint8

const (
	xDotPrefix transformOp = iota
	xLower
	xUpper
	xStripWhitespace
	xCompressWhitespace
	xURLDecode
	xXor
	xMD5
	xSHA1
	xSHA256
	xStripPseudo
	xHeaderLower
	xPcre
)

func addTransforms(m map[string]keyword) {
	for name, op := range map[string]transformOp{
		"dotprefix": xDotPrefix, "to_lowercase": xLower, "to_uppercase": xUpper, "strip_whitespace": xStripWhitespace,
		"compress_whitespace": xCompressWhitespace, "url_decode": xURLDecode, "to_md5": xMD5, "to_sha1": xSHA1,
		"to_sha256": xSHA256, "strip_pseudo_headers": xStripPseudo, "header_lowercase": xHeaderLower,
	} {
		m[name] = keyword{parse: func(b *builder, _ string) error { return b.transform(transform{op: op}) }, value: none}
	}
	m["xor"] = keyword{parse: kwXor, value: needs}
	m["pcrexform"] = keyword{parse: kwPcrexform, value: needs}
}

func (b *builder) transform(t transform) error {
	if !b.sticky {
		return b.fail(0, "a transform stands behind a sticky buffer", "write for example http.uri; "+b.o.Name+"; content:…;")
	}
	b.active.transforms = append(b.active.transforms[:len(b.active.transforms):len(b.active.transforms)], t)
	return nil
}

func kwXor(b *builder, v string) error {
	key, err := hex.DecodeString(strings.Trim(v, `" `))
	if err != nil || len(key) == 0 || len(key) > 255 {
		return b.fail(0, "not a key in hex: "+strconv.Quote(v), `write xor:"0d0a"`)
	}
	return b.transform(transform{op: xXor, key: string(key)})
}

func kwPcrexform(b *builder, v string) error {
	_, text, off, err := b.quoted(v)
	if err != nil {
		return err
	}
	re, err := pcre.Compile(text, pcre.Captures)
	if err != nil {
		return b.fail(off, err.Error(), "")
	}
	if re.NumGroups() < 1 {
		return b.fail(off, "the expression has no group", "what stands in its first group becomes the buffer")
	}
	return b.transform(transform{op: xPcre, key: text, re: re})
}

// key identifies a list of transforms.
func transformKey(ts []transform) string {
	var s strings.Builder
	for _, t := range ts {
		s.WriteByte(byte(t.op) + 1)
		s.WriteString(strconv.Quote(t.key))
	}
	return s.String()
}

// transformed applies transforms to data. The result is in dst, or data itself
// where nothing had to be copied.
func (w *Worker) transformed(ts []transform, dst, data []byte) []byte {
	for _, t := range ts {
		switch t.op {
		case xPcre:
			if _, _, ok := w.search(t.re, data, 0); ok {
				if a, b, ok := w.re.Group(1); ok {
					data = data[a:b]
				}
			}
			continue
		case xStripPseudo:
			data = stripPseudo(dst[:0], data)
		case xMD5:
			h := md5.Sum(data)
			data = append(dst[:0], h[:]...)
		case xSHA1:
			h := sha1.Sum(data)
			data = append(dst[:0], h[:]...)
		case xSHA256:
			h := sha256.Sum256(data)
			data = append(dst[:0], h[:]...)
		default:
			data = rewrite(&t, dst[:0], data)
		}
		dst = data[:0]
	}
	return data
}

// rewrite does the transforms that go byte by byte. dst may be data's own
// memory only for those that do not grow.
func rewrite(t *transform, dst, data []byte) []byte {
	switch t.op {
	case xDotPrefix:
		if sameStart(dst, data) {
			dst = make([]byte, 0, len(data)+1)
		}
		return append(append(dst, '.'), data...)
	case xLower:
		for _, c := range data {
			if c-'A' < 26 {
				c |= 0x20
			}
			dst = append(dst, c)
		}
	case xUpper:
		for _, c := range data {
			if c-'a' < 26 {
				c &^= 0x20
			}
			dst = append(dst, c)
		}
	case xStripWhitespace:
		for _, c := range data {
			if !isSpace(c) {
				dst = append(dst, c)
			}
		}
	case xCompressWhitespace:
		for i := 0; i < len(data); {
			if !isSpace(data[i]) {
				dst = append(dst, data[i])
				i++
				continue
			}
			dst = append(dst, data[i])
			for i < len(data) && isSpace(data[i]) {
				i++
			}
		}
	case xURLDecode:
		for i := 0; i < len(data); i++ {
			c := data[i]
			switch {
			case c == '+':
				c = ' '
			case c == '%' && i+2 < len(data) && digitOf(data[i+1]) < 16 && digitOf(data[i+2]) < 16:
				c = byte(digitOf(data[i+1])<<4 | digitOf(data[i+2]))
				i += 2
			}
			dst = append(dst, c)
		}
	case xXor:
		for i, c := range data {
			dst = append(dst, c^t.key[i%len(t.key)])
		}
	case xHeaderLower:
		// Names are lowered, values kept.
		name := true
		for _, c := range data {
			switch {
			case c == ':':
				name = false
			case c == '\n':
				name = true
			}
			if name && c-'A' < 26 {
				c |= 0x20
			}
			dst = append(dst, c)
		}
	}
	return dst
}

func sameStart(a, b []byte) bool {
	return cap(a) > 0 && len(b) > 0 && &a[:1][0] == &b[0]
}

func isSpace(c byte) bool { return c == ' ' || c >= 9 && c <= 13 }

// stripPseudo removes the lines that begin with a colon (HTTP/2 pseudo
// headers).
func stripPseudo(dst, data []byte) []byte {
	for len(data) > 0 {
		n := 0
		for n < len(data) && data[n] != '\n' {
			n++
		}
		if n < len(data) {
			n++
		}
		if data[0] != ':' {
			dst = append(dst, data[:n]...)
		}
		data = data[n:]
	}
	return dst
}
