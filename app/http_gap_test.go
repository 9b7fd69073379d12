package app

import (
	"slices"
	"testing"
)

// TestHTTPGap: lost bytes of a body cost only themselves; elsewhere what comes
// behind them is joined to what was before.
func TestHTTPGap(t *testing.T) {
	env := NewEnv(Config{})
	c := new(Conn)
	c.Reset(env, Hints{})
	c.Feed(ToServer, []byte("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\nGET /3 HTTP/1.1\r\nHost: a\r\n\r\n"))
	c.Feed(ToClient, []byte("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"))
	c.Gap(ToClient, 4)
	c.Feed(ToClient, []byte("hij"))
	if got := fieldOf(c, 0, HTTPResponseBody, ToClient); got != "abchij" {
		t.Errorf("body with a gap: %q", got)
	}
	tx := c.Transactions()[0]
	if f := tx.Base().FileAt(ToClient, 0); f == nil || f.Size() != 10 || !f.Gaps || !f.Truncated || !f.Done {
		t.Errorf("file %+v", f)
	}
	c.Feed(ToClient, []byte("HTTP/1.1 201 OK\r\nContent-Length: 10\r\n\r\nabc"))
	c.Gap(ToClient, 100)
	c.Feed(ToClient, []byte("lost in the middle\r\nHTTP/1.1 202 OK\r\nContent-Length: 2\r\n\r\nok"))
	if got := fieldOf(c, 2, HTTPStatCode, ToClient); got != "202" {
		t.Errorf("behind the gap: %q", got)
	}
	c.Feed(ToServer, []byte("GET /"))
	c.Gap(ToServer, 50)
	c.Feed(ToServer, []byte("5 HTTP/1.1\r\nHost: a\r\n\r\n"))
	if got := fieldOf(c, 3, HTTPURI, ToServer); got != "/5" {
		t.Errorf("request behind the gap: %q", got)
	}
	if c.Done() {
		t.Error("given up")
	}
}

// TestExpect: a refused expectation means that no body comes.
func TestExpect(t *testing.T) {
	c := talk(HTTP1, []piece{
		ts("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"),
		tc("HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n"),
		ts("GET /next HTTP/1.1\r\nHost: a\r\n\r\n"),
	}, false, whole)
	if got := fieldOf(c, 1, HTTPURI, ToServer); got != "/next" {
		t.Errorf("after a refused body: %q", got)
	}
}

func TestConnectTunnel(t *testing.T) {
	c := talk(Unknown, []piece{
		ts("CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n"), tc("HTTP/1.1 200 OK\r\n\r\n"),
		ts("\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00"),
	}, false, whole)
	if c.Proto() != TLS || c.OrigProto() != HTTP1 {
		t.Errorf("protocol %v, before %v", c.Proto(), c.OrigProto())
	}
	tx := c.Transactions()[0]
	if b := tx.Base(); !b.Complete() || slices.Contains(b.Events, "failed_protocol_change") {
		t.Errorf("the transaction of the tunnel: %v %v", b.Progress, b.Events)
	}
}
