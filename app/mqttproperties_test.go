package app

import (
	"fmt"
	"testing"
)

func TestMQTTProperties(t *testing.T) {
	for _, x := range []struct{ b, want string }{
		{"", ""},
		{"\x01\x01", "payload_format_indicator=1;"},
		{"\x21\x01\x02\x11\x00\x00\x00\x05", "receive_maximum=258;session_expiry_interval=5;"},
		{"\x0b\x80\x01\x03\x00\x02ab", "subscription_identifier=128;content_type=ab;"},
		{"\x26\x00\x01k\x00\x02vw", "k:vw;"},
		{"\x21\x01", ""},                                    // cut
		{"\x26\x00\x01k\x00\x02v", ""},                      // cut
		{"\x01\x01\x04\x01", "payload_format_indicator=1;"}, // no such property
	} {
		got := ""
		for p, rest, ok := NextMQTTProperty([]byte(x.b)); ok; p, rest, ok = NextMQTTProperty(rest) {
			switch p.Kind {
			case MQTTNumber:
				got += fmt.Sprintf("%s=%d;", p.Name, p.Number)
			case MQTTText:
				got += fmt.Sprintf("%s=%s;", p.Name, p.Text)
			case MQTTPair:
				got += fmt.Sprintf("%s:%s;", p.Key, p.Text)
			}
		}
		if got != x.want {
			t.Errorf("%q: %q, want %q", x.b, got, x.want)
		}
	}
}

func FuzzMQTTProperties(f *testing.F) {
	f.Add([]byte("\x21\x01\x02\x26\x00\x01k\x00\x02vw\x0b\x80\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, rest, ok := NextMQTTProperty(b); ok; _, rest, ok = NextMQTTProperty(rest) {
			if len(rest) >= len(b) {
				t.Fatal("no progress")
			}
			b = rest
		}
	})
}
