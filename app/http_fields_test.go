package app

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/http2/hpack"
)

// TestHTTPURI: what http.uri holds for a request URI. The values are those of
// Suricata 7.0.10.
func TestHTTPURI(t *testing.T) {
	for in, want := range map[string]string{
		"/a?x=%41%zz+b":              "/a?x=A%zz+b",
		"/%41%2fb":                   "/A/b",
		`/a%5cb\c`:                   "/a/b/c",
		"//a///b":                    "/a/b",
		"/a/./b/../c":                "/a/c",
		"/q1/.":                      "/q1",
		"/q2/b/..":                   "/q2",
		"/q3/b/../":                  "/q3",
		"/q4/./":                     "/q4",
		"/../../x":                   "/x",
		"./x":                        "x",
		"..//qr":                     "qr",
		"/a/%2e%2e/b":                "/b",
		"/%u0041":                    "/A",
		"/q5%uff41":                  "/q5a",
		"/%uzzzz":                    "/%uzzzz",
		"/%u004":                     "/%u004",
		"/%4":                        "/%4",
		"/%00x":                      "/\x00x",
		"/%2541":                     "/%41",
		"/A/B?C=D#Frag%41":           "/A/B?C=D#FragA",
		"http://User:Pw@Host.:81/p?": "/p?",
		"foo:bar":                    "bar",
		"/caf\xc3\xa9":               "/caf\xe9",
		"/q7%u0100":                  "/q7A",
		"/qa\xe2\x82\xac":            "/qa?",
		"/qc%u2010%u2024%u0141":      "/qc-?L",
		"/qe\xe3\x81":                "/qe",
		"/qf\xe3\x81z":               "/qf?z",
		"/qg\xc0\xafz":               "/qg/z",
		"/\xed\xa0\x80":              "/???",
		"/qm/..%2f..%2fx":            "/x",
		"/qs/.../x":                  "/qs/.../x",
		"/x?a=%u0041":                "/x?a=%u0041",
	} {
		c := talk(HTTP1, []piece{ts("GET " + in + " HTTP/1.1\r\n\r\n")}, false, whole)
		if got := fieldOf(c, 0, HTTPURI, ToServer); got != want {
			t.Errorf("%q: http.uri is %q, want %q", in, got, want)
		}
		if got := fieldOf(c, 0, HTTPURIRaw, ToServer); got != in {
			t.Errorf("%q: http.uri.raw is %q", in, got)
		}
	}
}

func TestHTTPFields(t *testing.T) {
	type want map[Field]string
	for name, tt := range map[string]struct {
		req, resp string
		ts, tc    want
		events    []Event
	}{
		"usual": {
			req:  "GET /a HTTP/1.1\r\nHost: Ex.Com:8080\r\nUser-Agent: u\r\nCookie: c=d\r\nAccept: a\r\nAccept-Encoding: e\r\nAccept-Language: l\r\nReferer: r\r\nConnection: k\r\n\r\n",
			resp: "HTTP/1.1 200 Fine thing\r\nServer: s\r\nLocation: l\r\nContent-Type: t\r\nContent-Length: 2\r\nSet-Cookie: x\r\n\r\nhi",
			ts: want{HTTPHost: "Ex.Com", HTTPHostRaw: "Ex.Com:8080", HTTPUserAgent: "u", HTTPCookie: "c=d", HTTPAccept: "a", HTTPAcceptEnc: "e",
				HTTPAcceptLang: "l", HTTPReferer: "r", HTTPConnection: "k", HTTPMethod: "GET", HTTPProtocol: "HTTP/1.1", HTTPRequestLine: "GET /a HTTP/1.1",
				HTTPHeader:      "Host: Ex.Com:8080\r\nUser-Agent: u\r\nAccept: a\r\nAccept-Encoding: e\r\nAccept-Language: l\r\nReferer: r\r\nConnection: k\r\n",
				HTTPHeaderNames: "\r\nHost\r\nUser-Agent\r\nCookie\r\nAccept\r\nAccept-Encoding\r\nAccept-Language\r\nReferer\r\nConnection\r\n\r\n",
				HTTPContentType: "<nil>", HTTPRequestBody: "<nil>"},
			tc: want{HTTPStatCode: "200", HTTPStatMsg: "Fine thing", HTTPResponseLine: "HTTP/1.1 200 Fine thing", HTTPServer: "s", HTTPLocation: "l",
				HTTPContentType: "t", HTTPContentLen: "2", HTTPCookie: "x", HTTPResponseBody: "hi", FileData: "hi",
				HTTPHeader: "Server: s\r\nLocation: l\r\nContent-Type: t\r\nContent-Length: 2\r\n",
				HTTPStart:  "HTTP/1.1 200 Fine thing\r\nServer: s\r\nLocation: l\r\nContent-Type: t\r\nContent-Length: 2\r\nSet-Cookie: x\r\n\r\n"},
		},
		"repeated and folded": {
			req: "GET / HTTP/1.1\r\nHost: a\r\nX: one\r\n two\r\nA: 1\r\nx: three\r\na: 2\r\nA: 3\r\n\r\n",
			ts: want{HTTPHeader: "Host: a\r\nX: one two, three\r\nA: 1, 2, 3\r\n",
				HTTPHeaderRaw: "Host: a\r\nX: one\r\n two\r\nA: 1\r\nx: three\r\na: 2\r\nA: 3\r\n\r\n"},
		},
		"missing colon":    {req: "GET / HTTP/1.1\r\nHost: a\r\nNocolon\r\n\r\n", ts: want{HTTPHeader: "Host: a\r\n: Nocolon\r\n"}, events: []Event{"request_field_missing_colon"}},
		"no host":          {req: "GET / HTTP/1.1\r\n\r\n", ts: want{HTTPHost: "<nil>", HTTPHeader: "<nil>", HTTPStart: "GET / HTTP/1.1\r\n"}, events: []Event{"missing_host_header"}},
		"uri host":         {req: "GET http://A.b./x HTTP/1.1\r\nHost: c\r\n\r\n", ts: want{HTTPHost: "a.b", HTTPHostRaw: "a.b", HTTPURI: "/x"}, events: []Event{"host_header_ambiguous"}},
		"no protocol":      {req: "GET /x\r\nHost: c\r\n\r\n", ts: want{HTTPHost: "c", HTTPProtocol: "<nil>"}},
		"space in uri":     {req: "GET /a b HTTP/1.1\r\nHost: c\r\n\r\n", ts: want{HTTPURI: "/a", HTTPProtocol: "b HTTP/1.1"}},
		"body in chunks":   {req: "POST / HTTP/1.1\r\nHost: c\r\nTransfer-Encoding: chunked\r\n\r\n5;x\r\nhello\r\n0\r\n\r\n", ts: want{HTTPRequestBody: "hello"}, events: []Event{"request_chunk_extension"}},
		"unexpected body":  {req: "POST / HTTP/1.1\r\nHost: c\r\n\r\na=b&c=d\n", ts: want{HTTPRequestBody: "a=b&c=d\n"}, events: []Event{"request_body_unexpected"}},
		"gzip request":     {req: "POST / HTTP/1.1\r\nHost: c\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks(9, gzipped("squeezed")), ts: want{HTTPRequestBody: "squeezed"}},
		"length is a lie":  {req: "GET / HTTP/1.0\r\n\r\n", resp: "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcdef", tc: want{HTTPResponseBody: "abcdef"}},
		"bad chunk length": {req: "GET / HTTP/1.0\r\n\r\n", resp: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnot a number", tc: want{HTTPResponseBody: "not a number"}, events: []Event{"invalid_response_chunk_len"}},
		"no status line":   {req: "GET / HTTP/1.0\r\n\r\n", resp: "<html>", tc: want{HTTPResponseBody: "<html>", HTTPStatCode: "<nil>"}},
		"head":             {req: "HEAD / HTTP/1.0\r\n\r\n", resp: "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", tc: want{HTTPResponseBody: "<nil>"}},
		"three layers":     {req: "GET / HTTP/1.0\r\n\r\n", resp: "HTTP/1.1 200 OK\r\nContent-Encoding: gzip, gzip, gzip\r\n\r\n" + gzipped(gzipped(gzipped("deep"))), tc: want{HTTPResponseBody: gzipped("deep")}, events: []Event{"too_many_encoding_layers"}},
	} {
		t.Run(name, func(t *testing.T) {
			say := []piece{ts(tt.req)}
			if tt.resp != "" {
				say = append(say, tc(tt.resp))
			}
			checkCuts(t, HTTP1, say, 20)
			c := talk(HTTP1, say, true, whole)
			for d, w := range [2]want{tt.ts, tt.tc} {
				for f, v := range w {
					if got := fieldOf(c, 0, f, Dir(d)); got != v {
						t.Errorf("%v is %q, want %q", f, got, v)
					}
				}
			}
			for _, e := range tt.events {
				if got := c.Transactions()[0].Base().Events; !slices.Contains(got, e) {
					t.Errorf("events %v lack %s", got, e)
				}
			}
			if b := c.Transactions()[0].Base(); !b.Complete() {
				t.Errorf("progress %v at the end", b.Progress)
			}
		})
	}
}

func TestHTTPMultipart(t *testing.T) {
	say := httpTalks["multipart"]
	c := talk(HTTP1, say, true, whole)
	b := c.Transactions()[0].Base()
	if len(b.Files) != 1 {
		t.Fatalf("%d files", len(b.Files))
	}
	f := b.Files[0]
	if string(f.Name) != "evil.exe" || string(f.Data) != "MZ file\r\n-- body" || !f.Done || f.Dir != ToServer {
		t.Errorf("file %q: %q done %v", f.Name, f.Data, f.Done)
	}
}

func TestHTTPLimits(t *testing.T) {
	env := NewEnv(Config{HashFiles: true, HTTP: HTTPConfig{ResponseBodyLimit: 1000, HeadersLimit: 10}})
	c := new(Conn)
	c.Reset(env, Hints{})
	c.Feed(ToServer, []byte("GET /f HTTP/1.1\r\nHost: a\r\n\r\n"))
	c.Feed(ToClient, []byte("HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n"+strings.Repeat("z", 5000)))
	f := c.Transactions()[0].Base().Files[0]
	if len(f.Data) != 1000 || f.Total != 1000 || !f.Truncated || f.Hashed {
		t.Errorf("kept %d of %d, truncated %v, hashed %v", len(f.Data), f.Total, f.Truncated, f.Hashed)
	}
	c.Feed(ToServer, []byte("GET /"+strings.Repeat("a", 20000)))
	if !c.Done() {
		t.Error("an endless request line is still parsed")
	}
	c.Reset(env, Hints{})
	c.Feed(ToServer, []byte("GET /f HTTP/1.1\r\n"))
	for i := range 20 {
		c.Feed(ToServer, fmt.Appendf(nil, "H%d: x\r\n", i))
	}
	if !c.Done() || !slices.Contains(c.Transactions()[0].Base().Events, "request_too_many_headers") {
		t.Error("too many headers went unnoticed")
	}
}

func TestHTTPTooManyTransactions(t *testing.T) {
	env := NewEnv(Config{MaxTx: 8})
	c := new(Conn)
	c.Reset(env, Hints{})
	for range 100 {
		c.Feed(ToServer, []byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n"))
		retireAll(c)
	}
	if n := len(c.Transactions()); n > 9 {
		t.Errorf("%d transactions are live", n)
	}
	if env.Stats.TxForced == 0 {
		t.Error("none was closed by force")
	}
}

// h2frame makes one frame.
func h2frame(typ, flags byte, stream uint32, body string) string {
	n := len(body)
	return string([]byte{byte(n >> 16), byte(n >> 8), byte(n), typ, flags, byte(stream >> 24), byte(stream >> 16), byte(stream >> 8), byte(stream)}) + body
}

type h2coder struct {
	b bytes.Buffer
	e *hpack.Encoder
}

func newH2coder() *h2coder {
	c := new(h2coder)
	c.e = hpack.NewEncoder(&c.b)
	return c
}

func (c *h2coder) block(kv ...string) string {
	c.b.Reset()
	for i := 0; i < len(kv); i += 2 {
		_ = c.e.WriteField(hpack.HeaderField{Name: kv[i], Value: kv[i+1]})
	}
	return c.b.String()
}

func h2talk() []piece {
	a, b := newH2coder(), newH2coder()
	long := a.block(":method", "POST", ":path", "/up?x=%41", ":scheme", "http", ":authority", "Host.Example:81", "content-type", "text/plain", "cookie", "a=1", "cookie", "b=2")
	return []piece{
		ts(h2Preface + h2frame(h2Settings, 0, 0, "\x00\x03\x00\x00\x00\x64\x00\x04\x40\x00\x00\x00") +
			h2frame(h2WindowUpdate, 0, 0, "\x00\x00\x87\x4a")),
		tc(h2frame(h2Settings, 0, 0, "") + h2frame(h2Settings, 1, 0, "")),
		ts(h2frame(h2Headers, 0, 1, long[:10]) + h2frame(h2Continuation, 4, 1, long[10:]) +
			h2frame(h2Data, 8, 1, "\x03hello \x00\x00\x00") + h2frame(h2Data, 1, 1, "upload")),
		ts(h2frame(h2Headers, 5, 3, a.block(":method", "GET", ":path", "/g", ":scheme", "http", ":authority", "x"))),
		tc(h2frame(h2Headers, 4, 3, b.block(":status", "200", "content-encoding", "gzip", "server", "s")) +
			h2frame(h2Data, 0, 3, gzipped("packed body")) +
			h2frame(h2Headers, 4, 1, b.block(":status", "404", "server", "s")) + h2frame(h2Data, 1, 1, "not found") +
			h2frame(h2Headers, 5, 3, b.block("trailer", "t")) +
			h2frame(h2GoAway, 0, 0, "\x00\x00\x00\x03\x00\x00\x00\x02")),
	}
}

func TestHTTP2(t *testing.T) {
	say := h2talk()
	checkLaws(t, Unknown, say)
	c := talk(Unknown, say, true, whole)
	var up, get Tx
	for _, tx := range c.Transactions() {
		switch id, ok := tx.(*HTTPTx).StreamID(); {
		case !ok:
			t.Error("a transaction without a stream")
		case id == 1:
			up = tx
		case id == 3:
			get = tx
		}
	}
	if up == nil || get == nil {
		t.Fatal("streams are missing")
	}
	for _, w := range []struct {
		tx   Tx
		f    Field
		d    Dir
		want string
	}{
		{up, HTTPMethod, ToServer, "POST"}, {up, HTTPURI, ToServer, "/up?x=%41"}, {up, HTTPHost, ToServer, "host.example"},
		{up, HTTPHostRaw, ToServer, "Host.Example:81"}, {up, HTTPRequestLine, ToServer, "POST /up?x=%41 HTTP/2\r\n"},
		{up, HTTPCookie, ToServer, "a=1, b=2"}, {up, HTTPProtocol, ToServer, "HTTP/2"}, {up, HTTPStatCode, ToClient, "404"}, {up, HTTPStatMsg, ToClient, ""},
		{up, HTTPHeader, ToServer, ":method: POST\r\n:path: /up?x=%41\r\n:scheme: http\r\n:authority: Host.Example:81\r\ncontent-type: text/plain\r\n"},
		{up, HTTPResponseLine, ToClient, "HTTP/2 404\r\n"}, {get, HTTPServer, ToClient, "s"},
		{get, HTTPHeaderNames, ToServer, "\r\n:method\r\n:path\r\n:scheme\r\n:authority\r\n\r\n"},
	} {
		if got, ok := w.tx.Bytes(w.f, w.d, 0); !ok || string(got) != w.want {
			t.Errorf("%v is %q (%v), want %q", w.f, got, ok, w.want)
		}
	}
	if b := up.Body(HTTPRequestBody, ToServer, 0); b == nil || string(b.Data) != "hello upload" || !b.Done {
		t.Errorf("request body %+v", b)
	}
	if b := get.Body(FileData, ToClient, 0); b == nil || string(b.Data) != "packed body" || !b.Done {
		t.Errorf("file data %+v", b)
	}
	window, codes := false, false
	for _, tx := range c.Transactions() {
		if v, ok := tx.Number(HTTP2Window, ToServer, 0); ok && v == 34634 {
			window = true
		}
		if v, ok := tx.Number(HTTP2ErrorCode, ToClient, 0); ok && v == 3 { // the last stream, see whole
			codes = true
		}
	}
	if !window || !codes {
		t.Errorf("window update %v, error code %v", window, codes)
	}
}

func TestHTTP2Upgrade(t *testing.T) {
	b := newH2coder()
	say := []piece{
		ts("GET /up HTTP/1.1\r\nHost: h:80\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"),
		tc("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n" + h2frame(h2Settings, 0, 0, "") +
			h2frame(h2Headers, 4, 1, b.block(":status", "200")) + h2frame(h2Data, 1, 1, "done")),
		ts(h2Preface + h2frame(h2Settings, 0, 0, "")),
	}
	checkLaws(t, Unknown, say)
	c := talk(Unknown, say, true, whole)
	if c.Proto() != HTTP2 || c.OrigProto() != HTTP1 {
		t.Fatalf("protocol %v, before %v", c.Proto(), c.OrigProto())
	}
	for _, tx := range c.Transactions() {
		if id, ok := tx.(*HTTPTx).StreamID(); ok && id == 1 {
			if b := tx.Body(HTTPResponseBody, ToClient, 0); b == nil || string(b.Data) != "done" {
				t.Errorf("body %+v", b)
			}
			if h, _ := tx.Bytes(HTTPHost, ToServer, 0); string(h) != "h" {
				t.Errorf("host %q", h)
			}
			return
		}
	}
	t.Error("there is no stream 1")
}

func FuzzHTTP2(f *testing.F) { fuzzStream(f, HTTP2, h2talk()) }
