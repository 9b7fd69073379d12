package detect

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/garita/garita/app"
)

// session is a TCP flow whose bytes are parsed and judged chunk by chunk, as an
// engine does it inline.
type session struct {
	w     *Worker
	flow  Flow
	conn  app.Conn
	out   Outcome
	got   []uint32
	ports [2]uint16
}

func newSession(set *Ruleset, tr app.Transport, dport uint16) *session {
	s := &session{w: NewWorker(set), ports: [2]uint16{40000, dport}}
	s.conn.Reset(app.NewEnv(app.Config{}), app.Hints{Transport: tr, SrcPort: 40000, DstPort: dport})
	s.flow.Conn = &s.conn
	return s
}

func (s *session) judge(d app.Dir, data string, proto uint8) []uint32 {
	p := pktFrom("10.0.0.1", "203.0.113.5", s.ports[0], s.ports[1], proto, data)
	if d == app.ToClient {
		p = pktFrom("203.0.113.5", "10.0.0.1", s.ports[1], s.ports[0], proto, data)
	}
	s.w.Inspect(&Input{Packet: p, Flow: &s.flow, Dir: d, Established: true, InStream: proto == 6, Raw: p.Payload()}, &s.out)
	got := sidsOf(&s.out)
	s.got = append(s.got, got...)
	return got
}

func (s *session) send(d app.Dir, data string) []uint32 {
	s.conn.Feed(d, []byte(data))
	return s.judge(d, data, 6)
}

const request = "POST /a/b.php?x=1 HTTP/1.1\r\nHost: WWW.Evil.example\r\nUser-Agent: Wicked/1\r\nCookie: k=v\r\nContent-Length: 11\r\n\r\nhello=world"
const response = "HTTP/1.1 404 Not Found\r\nServer: nix\r\nContent-Type: text/html\r\nContent-Length: 12\r\n\r\n<html>secret"

func TestHTTPBuffers(t *testing.T) {
	for _, c := range []struct {
		opts string
		want bool
	}{
		{`http.uri; content:"/a/b.php?x=1"; bsize:12;`, true},
		{`http.uri; content:"/a/b.php?x="; bsize:11;`, false},
		{`http.uri; content:".php"; endswith;`, false},
		{`http.method; content:"POST";`, true},
		{`content:"POST"; http_method; content:"b.php"; http_uri;`, true},
		{`uricontent:"b.php";`, true},
		{`http.host; content:"www.evil.example"; startswith; endswith;`, true},
		{`http.host; dotprefix; content:".evil.example"; endswith;`, true},
		{`http.host; dotprefix; content:".vil.example"; endswith;`, false},
		{`http.user_agent; content:"wicked"; nocase; startswith;`, true},
		{`http.user_agent; to_lowercase; content:"wicked/1"; bsize:8;`, true},
		{`http.cookie; content:"k=v";`, true},
		{`http.header; content:"Cookie";`, false},
		{`http.header_names; content:"|0d 0a|Host|0d 0a|User-Agent|0d 0a|";`, true},
		{`http.request_body; content:"hello"; content:"world"; distance:1; within:5;`, true},
		{`http.request_body; content:"help";`, false},
		{`urilen:12;`, true},
		{`urilen:>12;`, false},
		{`http.referer; absent;`, true},
		{`flow:to_server; http.cookie; absent;`, false},
		{`http.uri; pcre:"/b\.php\?x=\d$/";`, true},
		{`pcre:"/b\.php\?x=\d$/U";`, true},
		{`flow:to_client; http.stat_code; content:"404";`, true},
		{`flow:to_server; http.method; content:"POST"; content:"hello=world"; pcre:"/wor/";`, true},
		{`flow:to_client; file.data; content:"<html>"; startswith; content:"secret"; distance:0;`, true},
		{`flow:to_client; http.response_body; content:"secret";`, true},
		{`flow:to_client; http.server; content:"nix"; bsize:3;`, true},
		{`http.uri; xor:"01"; content:"cob"; within:99;`, false},
	} {
		set := compile(t, Config{Inline: true}, `alert http any any -> any any (`+c.opts+` sid:1;)`)
		for _, size := range []int{1, 7, 1000} {
			s := newSession(set, app.TCP, 80)
			for _, m := range []struct {
				d    app.Dir
				data string
			}{{app.ToServer, request}, {app.ToClient, response}} {
				for rest := m.data; rest != ""; {
					n := min(size, len(rest))
					s.send(m.d, rest[:n])
					rest = rest[n:]
				}
			}
			s.judge(app.ToServer, "", 6)
			s.judge(app.ToClient, "", 6)
			if got := len(s.got); got != map[bool]int{true: 1}[c.want] && !strings.Contains(c.opts, `content:"hello=world"`) {
				t.Errorf("%s in chunks of %d: %d alerts, want %v", c.opts, size, got, c.want)
			}
		}
	}
}

// TestOneAlertPerTransaction: and a new one for the next.
func TestOneAlertPerTransaction(t *testing.T) {
	set := compile(t, Config{Inline: true}, `alert http any any -> any any (http.uri; content:"b.php"; sid:1;)`)
	s := newSession(set, app.TCP, 80)
	for i := range 3 {
		s.send(app.ToServer, request)
		if n := len(s.out.Alerts); n != 1 || s.out.Alerts[0].Tx == nil || s.out.Alerts[0].Tx.Base().ID != uint64(i) {
			t.Fatalf("request %d: %d alerts", i, n)
		}
		s.judge(app.ToServer, "", 6)
		s.send(app.ToClient, response)
	}
	if len(s.got) != 3 {
		t.Fatal(s.got)
	}
}

// TestDropEndsFlow: a drop on the application layer is for the flow, and it is
// the packet that completes the match that is dropped.
func TestDropEndsFlow(t *testing.T) {
	set := compile(t, Config{Inline: true}, `drop http any any -> any any (http.request_body; content:"world"; sid:1;)`)
	s := newSession(set, app.TCP, 80)
	half := len(request) - 3
	if s.send(app.ToServer, request[:half]); s.out.Action.Drops() {
		t.Fatal("dropped too early")
	}
	if s.send(app.ToServer, request[half:]); !s.out.Action.Drops() || !s.out.WholeFlow {
		t.Fatal("not dropped:", s.out.Action)
	}
	if s.judge(app.ToClient, "x", 6); !s.out.Action.Drops() || len(s.out.Alerts) != 0 {
		t.Fatal("the flow goes on")
	}
}

// TestBodyWindow: in detection mode a body is first looked at when enough of it
// is there.
func TestBodyWindow(t *testing.T) {
	set := compile(t, Config{RequestBodyMinInspect: 100}, `alert http any any -> any any (http.request_body; content:"needle"; sid:1;)`)
	s := newSession(set, app.TCP, 80)
	s.send(app.ToServer, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nneedle")
	s.send(app.ToServer, strings.Repeat("x", 90))
	if len(s.got) != 0 {
		t.Fatal("looked at too early")
	}
	s.send(app.ToServer, strings.Repeat("x", 10))
	if len(s.got) != 1 {
		t.Fatal(s.got)
	}
}

func dnsQuery(name string) string {
	q := "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"
	for _, l := range strings.Split(name, ".") {
		q += string(rune(len(l))) + l
	}
	return q + "\x00\x00\x01\x00\x01"
}

func TestDNS(t *testing.T) {
	set := compile(t, Config{Inline: true}, `alert dns any any -> any any (dns.query; dotprefix; content:".evil.com"; nocase; endswith; sid:1;)`,
		`alert dns any any -> any any (dns.query; content:"bad.example"; bsize:11; sid:2;)`,
		`alert dns any any -> any any (dns.query; pcre:"/^[a-z]{20}\.com$/"; sid:3;)`)
	for name, want := range map[string][]uint32{
		"evil.com": {1}, "www.EVIL.com": {1}, "notevil.com": nil, "bad.example": {2}, "xbad.example": nil,
		"abcdefghijklmnopqrst.com": {3}, "good.example": nil,
	} {
		s := newSession(set, app.UDP, 53)
		q := dnsQuery(name)
		s.conn.Datagram(app.ToServer, []byte(q))
		s.judge(app.ToServer, q, 17)
		if !slices.Equal(s.got, want) {
			t.Errorf("%s: %v, want %v", name, s.got, want)
		}
	}
}

func TestFlowbitsAcrossTransactions(t *testing.T) {
	set := compile(t, Config{Inline: true},
		`alert http any any -> any any (flow:to_server; http.uri; content:"b.php"; flowbits:set,seen; flowbits:noalert; sid:1;)`,
		`alert http any any -> any any (flow:to_client; http.stat_code; content:"404"; flowbits:isset,seen; sid:2;)`,
		`alert http any any -> any any (flow:to_client; http.stat_code; content:"404"; flowbits:isnotset,seen; sid:3;)`)
	s := newSession(set, app.TCP, 80)
	s.send(app.ToServer, request)
	s.send(app.ToClient, response)
	if !slices.Equal(s.got, []uint32{2}) {
		t.Fatal(s.got)
	}
	// A reload keeps the bit.
	again := compile(t, Config{Inline: true}, `alert udp any any -> any any (flowbits:set,other; content:"q"; sid:9;)`,
		`alert http any any -> any any (flow:to_server; http.uri; content:"b.php"; flowbits:isset,seen; sid:4;)`)
	s.w.Use(again)
	s.send(app.ToServer, request)
	if !slices.Contains(s.got, 4) {
		t.Fatal("the bit is lost:", s.got)
	}
}

func TestTransforms(t *testing.T) {
	w := NewWorker(compile(t, Config{}))
	for _, c := range []struct {
		op       transformOp
		key      string
		in, want string
	}{
		{xDotPrefix, "", "a.b", ".a.b"}, {xLower, "", "AbC1", "abc1"}, {xUpper, "", "AbC1", "ABC1"},
		{xStripWhitespace, "", " a\tb\r\n", "ab"}, {xCompressWhitespace, "", "a  b\t\t c", "a b\tc"},
		{xURLDecode, "", "a%20b+c%zz", "a b c%zz"}, {xXor, "\x01\x02", "abc", "``b"},
		{xMD5, "", "", "\xd4\x1d\x8c\xd9\x8f\x00\xb2\x04\xe9\x80\x09\x98\xec\xf8\x42\x7e"},
		{xStripPseudo, "", ":method: GET\r\na: b\r\n", "a: b\r\n"}, {xHeaderLower, "", "Ab: Cd\r\n", "ab: Cd\r\n"},
	} {
		if got := w.transformed([]transform{{op: c.op, key: c.key}}, nil, []byte(c.in)); string(got) != c.want {
			t.Errorf("%d %q: %q, want %q", c.op, c.in, got, c.want)
		}
	}
	// One behind the other, in the same memory.
	mem := make([]byte, 0, 64)
	if got := w.transformed([]transform{{op: xLower}, {op: xDotPrefix}, {op: xUpper}, {op: xDotPrefix}}, mem, []byte("aB")); string(got) != "..AB" {
		t.Errorf("%q", got)
	}
}

func ExampleCompile() {
	set, problems := Compile(nil, Config{})
	fmt.Println(set.Stats().Rules, len(problems))
	// Output: 0 0
}
