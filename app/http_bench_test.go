package app

import (
	"fmt"
	"strings"
	"testing"
)

// exchange is a plain request and response with a body of n bytes.
func exchange(n int) (req, resp []byte) {
	req = []byte("GET /path/to/some/page.html?with=a&query=string HTTP/1.1\r\nHost: www.example.com\r\n" +
		"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36\r\nAccept: text/html,*/*\r\n" +
		"Accept-Encoding: gzip, deflate\r\nAccept-Language: en\r\nCookie: session=0123456789abcdef\r\nConnection: keep-alive\r\n\r\n")
	resp = []byte(fmt.Sprintf("HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Fri, 21 Nov 2026 21:00:00 GMT\r\n"+
		"Content-Type: text/html\r\nContent-Length: %d\r\nSet-Cookie: a=b\r\n\r\n%s", n, strings.Repeat("x", n)))
	return req, resp
}

// retireAll plays the engine that is done with everything complete.
func retireAll(c *Conn) {
	for _, t := range c.Transactions() {
		if b := t.Base(); b.Complete() {
			b.Finished = true
		}
	}
	c.Retire()
}

func benchHTTP(b *testing.B, size, segment int) {
	req, resp := exchange(size)
	env := NewEnv(Config{})
	c := new(Conn)
	c.Reset(env, Hints{DstPort: 80})
	b.SetBytes(int64(len(req) + len(resp)))
	b.ReportAllocs()
	for b.Loop() {
		c.Feed(ToServer, req)
		for p := resp; len(p) > 0; {
			n := min(segment, len(p))
			c.Feed(ToClient, p[:n])
			p = p[n:]
		}
		retireAll(c)
	}
}

func BenchmarkHTTP1Small(b *testing.B)    { benchHTTP(b, 200, 1460) }
func BenchmarkHTTP1Page(b *testing.B)     { benchHTTP(b, 20000, 1460) }
func BenchmarkHTTP1Download(b *testing.B) { benchHTTP(b, 10<<20, 65536) }

func BenchmarkHTTP1OneByteSegments(b *testing.B) { benchHTTP(b, 200, 1) }

// TestHTTP1Steady: keep-alive connections cost no allocations once warm.
func TestHTTP1Steady(t *testing.T) {
	req, resp := exchange(5000)
	env := NewEnv(Config{})
	c := new(Conn)
	c.Reset(env, Hints{DstPort: 80})
	round := func() {
		c.Feed(ToServer, req)
		c.Feed(ToClient, resp[:1000])
		c.Feed(ToClient, resp[1000:])
		retireAll(c)
	}
	for range 10 {
		round()
	}
	if n := testing.AllocsPerRun(100, round); n != 0 {
		t.Errorf("%v allocations for a request and its response", n)
	}
	if len(c.Transactions()) > 1 {
		t.Errorf("%d transactions are left", len(c.Transactions()))
	}
}

// TestConnSteady: a connection that is reset for flow after flow costs nothing
// but its transactions.
func TestConnSteady(t *testing.T) {
	req, resp := exchange(500)
	env := NewEnv(Config{})
	c := new(Conn)
	flow := func() {
		c.Reset(env, Hints{DstPort: 80})
		c.Feed(ToServer, req)
		c.Feed(ToClient, resp)
		c.Close(ToServer)
		c.Close(ToClient)
		retireAll(c)
		c.Release()
	}
	for range 10 {
		flow()
	}
	if n := testing.AllocsPerRun(100, flow); n > 3 {
		t.Errorf("%v allocations a flow", n)
	}
}
