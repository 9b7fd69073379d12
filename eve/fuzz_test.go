package eve

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/garita/garita/app"
	"github.com/garita/garita/packet"
	"github.com/garita/garita/rule"
)

// Whatever the bytes, a string stays valid JSON in UTF-8 and says what they
// were: as they are if they are UTF-8, otherwise with \xNN for what is not.
func FuzzString(f *testing.F) {
	for _, s := range []string{"", "a", "\"\\/\b\f\n\r\t\x00\x1f\x7f", "é世🙂", "\xff\xfe", "a\xc3", "\xe2\x82", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\u2028\ufffd"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, s []byte) {
		b := appendString(nil, s)
		if !json.Valid(b) || !utf8.Valid(b) {
			t.Fatalf("%q became %q", s, b)
		}
		var back string
		if err := json.Unmarshal(b, &back); err != nil {
			t.Fatal(err)
		}
		var want strings.Builder
		for i := 0; i < len(s); {
			r, n := utf8.DecodeRune(s[i:])
			if r == utf8.RuneError && n <= 1 {
				want.WriteString(`\x`)
				want.WriteByte(hexDigits[s[i]>>4])
				want.WriteByte(hexDigits[s[i]&15])
				i++
				continue
			}
			want.Write(s[i : i+n])
			i += n
		}
		if back != want.String() {
			t.Fatalf("%q came back as %q, not %q", s, back, want.String())
		}
	})
}

// Whatever two sides say, every line that is written about it is JSON.
func FuzzRecords(f *testing.F) {
	for _, g := range golden {
		var to, from []byte
		for _, w := range g.words {
			if w[0] == '>' {
				to = append(to, w[1:]...)
			} else {
				from = append(from, w[1:]...)
			}
		}
		f.Add(g.t == app.UDP, g.port, to, from)
	}
	for _, port := range []uint16{443, 445, 161, 5060, 1883, 88, 67, 2049, 3389, 500, 69, 135, 5900} {
		f.Add(port != 443 && port != 445, port, []byte("\x16\x03\x01\x00\x05hello"), []byte("\xff\x00\"\\"))
	}
	f.Fuzz(func(t *testing.T, udp bool, port uint16, to, from []byte) {
		tr, proto := app.TCP, uint8(packet.ProtoTCP)
		if udp {
			tr, proto = app.UDP, packet.ProtoUDP
		}
		c := talk(tr, port, ">"+string(to), "<"+string(from))
		p := aPacket(proto, port)
		fi := info(p)
		fi.AppKnown, fi.App = true, c.Proto()
		l := NewLogger(Config{JA3: true, JA4: true, Hassh: true, Payload: true, Printable: true}, nil, nil)
		for _, tx := range c.Transactions() {
			for d := app.ToServer; d <= app.ToClient; d++ {
				l.Alert(p, fi, d, anAlert(tx), rule.Alert)
			}
		}
		logAll(l, p, c)
		for _, e := range c.Events {
			l.ConnAnomaly(p, fi, e)
		}
		l.Source(EndOfFlow)
		logAll(l, p, c)
		for _, s := range linesOf(t, l) {
			if !utf8.ValidString(s) {
				t.Fatalf("not UTF-8: %q", s)
			}
		}
	})
}
