package detect

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/garita/garita/app"
	"github.com/garita/garita/rule"
)

// hello is a TLS record with a ClientHello (RFC 5246 §7.4.1.2), serverHello one
// with a ServerHello.
var (
	hello       = handshakeRecord(1, "\x03\x03"+strings.Repeat("r", 32)+"\x00\x00\x02\x00\x35\x01\x00")
	serverHello = handshakeRecord(2, "\x03\x03"+strings.Repeat("s", 32)+"\x00\x00\x35\x00")
)

func handshakeRecord(typ byte, body string) string {
	m := string([]byte{typ, 0, byte(len(body) >> 8), byte(len(body))}) + body
	return string([]byte{22, 3, 3, byte(len(m) >> 8), byte(len(m))}) + m
}

// TestSSLState says what each rule makes of a ClientHello and the answer.
func TestSSLState(t *testing.T) {
	for _, c := range []struct {
		value          string
		client, server bool
	}{
		{"client_hello", true, false},
		{"server_hello", false, true},
		{"client_hello,server_hello", true, true},
		{"client_hello|server_hello", true, true},
		{"!client_hello", false, true},
		{"!server_hello", true, false},
		{"!client_hello,!server_hello", true, true},
		{"!client_hello|server_hello", false, true},
		{"client_keyx", false, false},
		{"unknown", false, false},
	} {
		set := compile(t, Config{Inline: true}, "alert tls any any -> any any (ssl_state:"+c.value+"; sid:1;)")
		s := newSession(set, app.TCP, 443)
		client := len(s.send(app.ToServer, hello)) > 0
		server := len(s.send(app.ToClient, serverHello)) > 0
		if client != c.client || server != c.server {
			t.Errorf("ssl_state:%s: %v %v", c.value, client, server)
		}
	}
}

func TestMark(t *testing.T) {
	set := compile(t, Config{},
		`alert udp any any -> any any (nfq_set_mark:0x12/0xff; sid:1;)`,
		`alert udp any any -> any any (nfq_set_mark:0x340/0xff0; sid:2;)`)
	w := NewWorker(set)
	var o Outcome
	w.Inspect(&Input{Packet: pkt(17, "x")}, &o)
	if o.MarkMask != 0xfff || o.Mark != 0x342 {
		t.Errorf("mark %#x/%#x", o.Mark, o.MarkMask)
	}
	w.Inspect(&Input{Packet: pkt(6, "x")}, &o)
	if o.MarkMask != 0 {
		t.Errorf("a packet that matches nothing gets the mask %#x", o.MarkMask)
	}
}

func TestPktvar(t *testing.T) {
	set := compile(t, Config{},
		`alert udp any any -> any any (pcre:"/id=(\w+)/,pkt:id"; sid:1;)`,
		`alert udp any any -> any any (content:"x"; pktvar:id,"ab|63|"; sid:2;)`)
	for payload, want := range map[string]string{"id=abc x": "[1 2]", "id=abd x": "[1]", "x": "[]"} {
		if got := fmt.Sprint(sids(t, set, &Input{Packet: pkt(17, payload)})); got != want {
			t.Errorf("%q: %s, want %s", payload, got, want)
		}
	}
}

func TestConfigKeepsRecordsAway(t *testing.T) {
	set := compile(t, Config{}, `config http any any -> any any (http.host; content:"quiet"; config:logging disable, type tx, scope tx; sid:1;)`)
	for host, want := range map[string]bool{"quiet": true, "loud": false} {
		s := newSession(set, app.TCP, 80)
		got := s.send(app.ToServer, "GET / HTTP/1.1\r\nHost: "+host+"\r\n\r\n")
		if len(got) != 0 {
			t.Errorf("%s: alerts %v", host, got)
		}
		if tx := s.conn.Transactions()[0]; tx.Base().Unlogged != want {
			t.Errorf("%s: unlogged %v", host, tx.Base().Unlogged)
		}
	}
}

// countryDB makes a database of MaxMind's format (MaxMind DB File Format
// Specification 2.0): addresses whose first bit is 0 lie in one country, the
// others in another.
func countryDB(low, high string) []byte {
	text := func(s string) string { return string([]byte{0x40 | byte(len(s))}) + s }
	record := func(c string) string {
		return "\xe1" + text("country") + "\xe1" + text("iso_code") + text(c)
	}
	a, b := record(low), record(high)
	var f bytes.Buffer
	for _, off := range []int{0, len(a)} { // one node of two records of 24 bits
		v := 1 + 16 + off
		f.Write([]byte{byte(v >> 16), byte(v >> 8), byte(v)})
	}
	f.Write(make([]byte, 16))
	f.WriteString(a + b)
	f.WriteString("\xab\xcd\xefMaxMind.com")
	f.WriteString("\xe5" + text("binary_format_major_version") + "\xa1\x02" + text("node_count") + "\xc1\x01" +
		text("record_size") + "\xa1\x18" + text("ip_version") + "\xa1\x04" + text("database_type") + text("Test"))
	return f.Bytes()
}

func TestGeoIP(t *testing.T) {
	db, err := OpenGeoIP(countryDB("DE", "FR"))
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{GeoIP: db}
	for _, c := range []struct {
		value    string
		src, dst string
		want     bool
	}{
		{"src,DE", "10.0.0.1", "203.0.113.5", true},
		{"dst,DE", "10.0.0.1", "203.0.113.5", false},
		{"dst,FR", "10.0.0.1", "203.0.113.5", true},
		{"dest,fr,us", "10.0.0.1", "203.0.113.5", true},
		{"DE", "10.0.0.1", "203.0.113.5", true},
		{"any,US,FR", "10.0.0.1", "203.0.113.5", true},
		{"both,DE", "10.0.0.1", "203.0.113.5", false},
		{"both,DE", "10.0.0.1", "11.0.0.1", true},
		{"src,!FR", "10.0.0.1", "203.0.113.5", true},
		{"src,!DE", "10.0.0.1", "203.0.113.5", false},
		{"src,DE", "2001:db8::1", "2001:db8::2", false},
	} {
		set := compile(t, cfg, "alert udp any any -> any any (geoip:"+c.value+"; sid:1;)")
		if got := len(sids(t, set, &Input{Packet: pktFrom(c.src, c.dst, 1, 2, 17, "")})) == 1; got != c.want {
			t.Errorf("geoip:%s from %s to %s: %v", c.value, c.src, c.dst, got)
		}
	}
	rules, _ := ruleParse("alert udp any any -> any any (geoip:src,DE; sid:1;)")
	if _, bad := Compile(rules, Config{}); len(bad) != 1 || bad[0].Keyword != "geoip" {
		t.Errorf("without a database: %v", bad)
	}
}

// TestForms holds which forms of a keyword are rules and which are not.
func TestForms(t *testing.T) {
	for form, ok := range map[string]bool{
		"dsize:5kb;": true, "dsize:5KB;": false, "dsize:64kb;": false, "ttl:>255;": false, "ttl:<0;": false, "ttl:>=0;": false,
		"flow.age:5MB;": true, "flow.age:5GB;": false, "id:!5;": false, "window:!5;": true, "fragoffset:5-9;": true, "fragoffset:x;": false,
		"flowbits:isset,a|;": true, "flowbits:isset,|;": false, "priority:0;": true, "priority:300;": true, "fragbits:m;": false,
		"stream_size:client,!,5;": true, "app-layer-protocol:\"http\";": true, "decode-event:IPV4.pkt_too_small;": true,
		"nfq_set_mark:1/1;": true, "nfq_set_mark:1;": false, "ssl_state:foo;": false, "config:logging disable, type tx;": false,
		"config:logging disable, type flow, scope flow;": true, "tls_store;": true, "tls.store;": true, "template2:64;": true,
		"pktvar:a,b;": true, "pktvar:a,!\"b\";": false, "file.magic; content:\"PDF\";": true, "ja4_hash; content:\"a\";": true,
		"urilen:5foo;": true, "urilen:9-3;": true, "urilen:5,norm;": true, "urilen:x;": false,
	} {
		rules, errs := rule.Parse("test", "alert ip any any -> any any ("+form+" sid:1;)", rule.Options{})
		if len(errs) > 0 {
			t.Fatal(errs[0])
		}
		_, problems := Compile(rules, Config{})
		got := true
		for _, p := range problems {
			got = got && p.Warning
		}
		if got != ok {
			t.Errorf("%s loads: %v %v", form, got, problems)
		}
	}
}
