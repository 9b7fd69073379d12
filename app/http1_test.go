package app

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"fmt"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
)

func gzipped(s string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(s))
	_ = w.Close()
	return b.String()
}

func zlibbed(s string) string {
	var b bytes.Buffer
	w := zlib.NewWriter(&b)
	_, _ = w.Write([]byte(s))
	_ = w.Close()
	return b.String()
}

func brotlied(s string) string {
	var b bytes.Buffer
	w := brotli.NewWriter(&b)
	_, _ = w.Write([]byte(s))
	_ = w.Close()
	return b.String()
}

func chunks(sizes int, s string) string {
	var b strings.Builder
	for len(s) > 0 {
		n := min(sizes, len(s))
		fmt.Fprintf(&b, "%x\r\n%s\r\n", n, s[:n])
		s = s[n:]
	}
	return b.String() + "0\r\n\r\n"
}

const body = "X5O!P%@AP[4 a body that is longer than a few bytes, so that it compresses compresses compresses"

// httpTalks are conversations that reach most of the parser.
var httpTalks = map[string][]piece{
	"plain": {ts("GET /index.html?q=%41 HTTP/1.1\r\nHost: Example.COM:8080\r\nUser-Agent: x/1\r\nCookie: a=b\r\nAccept: */*\r\n\r\n"),
		tc("HTTP/1.1 200 OK\r\nServer: s\r\nContent-Length: 5\r\nSet-Cookie: c\r\n\r\nhello")},
	"pipeline": {ts("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcHEAD /3 HTTP/1.1\r\nHost: a\r\n\r\n"),
		tc("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks(3, body) + "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")},
	"odd request":  {ts("\r\n\r\n  GET \t /a b\\c/../%2e/d%u002fe%zz//f HTTP/1.1 \r\nhost :X\r\n folded\r\nNo colon\r\nA: 1\r\na: 2\r\n A: 3\r\n: empty\r\n\r\n")},
	"odd response": {ts("GET / HTTP/1.0\r\n\r\n"), tc("junk\nhttp/1.1 200\nA: b\n c: d\r\nE\r\nF: g\rH: i\n\r\nthe rest until the end")},
	"short":        {ts("GET /old\r\n"), tc("<html>no status line here</html>\n and more")},
	"no protocol":  {ts("GET /old\r\nHost: x\r\n\r\n"), tc("HTTP/1.1 200 OK\r\n\r\n" + body)},
	"continue": {ts("POST /c HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"),
		tc("HTTP/1.1 100 Continue\r\nX: y\r\n\r\n"), ts("body"), tc("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n!")},
	"gzip": {ts("GET /g HTTP/1.1\r\nHost: a\r\n\r\n"),
		tc("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzipped(body) + gzipped(" second"))},
	"gzip is not": {ts("GET /g HTTP/1.1\r\nHost: a\r\n\r\n"),
		tc("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + body)},
	"gzip is raw": {ts("GET /g HTTP/1.1\r\nHost: a\r\n\r\n"),
		tc("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks(7, zlibbed(body)[2:]))},
	"deflate is zlib": {ts("GET /g HTTP/1.1\r\nHost: a\r\n\r\n"),
		tc("HTTP/1.1 200 OK\r\nContent-Encoding: deflate\r\n\r\n" + zlibbed(body))},
	"two layers": {ts("GET /g HTTP/1.1\r\nHost: a\r\n\r\n"),
		tc("HTTP/1.1 200 OK\r\nContent-Encoding: gzip, deflate\r\n\r\n" + gzipped(zlibbed(body)[2:]))},
	"brotli": {ts("GET /g HTTP/1.1\r\nHost: a\r\n\r\n"),
		tc("HTTP/1.1 200 OK\r\nContent-Encoding: br\r\n\r\n" + brotlied(body))},
	"bad chunks": {ts("GET /g HTTP/1.1\r\nHost: a\r\n\r\n"),
		tc("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nnonsense\r\nmore")},
	"trailer": {ts("POST /t HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + "3;x=y\r\nabc\r\n0\r\nT: u\r\n\r\n"),
		tc("HTTP/1.1 204 No\r\n\r\n")},
	"multipart": {ts("POST /m HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary=XX\r\nContent-Length: 183\r\n\r\n" +
		"--XX\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nvalue\r\n--XX\r\nContent-Disposition: form-data; name=\"f\"; filename=\"evil.exe\"\r\nContent-Type: x/y\r\n\r\nMZ file\r\n-- body\r\n--XX--\r\nxxxx"),
		tc("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")},
	"unexpected body":   {ts("GET /u HTTP/1.1\r\nHost: a\r\n\r\nsome=body&that=came\r\nand more"), tc("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokXX and more")},
	"connect":           {ts("CONNECT host.example:443 HTTP/1.1\r\nHost: host.example\r\n\r\n"), tc("HTTP/1.1 200 Established\r\n\r\n"), ts("GET /inner HTTP/1.1\r\nHost: b\r\n\r\n"), tc("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")},
	"connect refused":   {ts("CONNECT host.example:443 HTTP/1.1\r\nHost: host.example\r\n\r\nGET /again HTTP/1.1\r\n\r\n"), tc("HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno"), tc("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")},
	"response first":    {tc("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"), ts("GET / HTTP/1.1\r\nHost: late\r\n\r\n")},
	"switch":            {ts("GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: other\r\n\r\n"), tc("HTTP/1.1 101 Switching Protocols\r\nUpgrade: other\r\n\r\n\x81\x05hello")},
	"blank line header": {ts("GET /b HTTP/1.1\r\nHost: a\r\n\nX: y\r\n \nGET /c HTTP/1.1\r\nHost: a\r\n \nZ")},
	"bad length":        {ts("POST /b HTTP/1.1\r\nContent-Length: x\r\n\r\nabc")},
	"absolute":          {ts("GET http://User:pw@HOST.example.:81/p/./q/?a#f HTTP/1.1\r\nHost: other\r\n\r\n")},
}

func TestHTTP1Laws(t *testing.T) {
	for name, say := range httpTalks {
		t.Run(name, func(t *testing.T) {
			checkLaws(t, Unknown, say)
			checkGaps(t, HTTP1, say)
		})
	}
}

func FuzzHTTP1(f *testing.F) {
	var seeds [][]piece
	for _, s := range httpTalks {
		seeds = append(seeds, s)
	}
	fuzzStream(f, HTTP1, seeds...)
}

// field is one value of a field of the n-th transaction, "<nil>" if absent.
func fieldOf(c *Conn, n int, f Field, d Dir) string {
	if n >= len(c.Transactions()) {
		return "<no transaction>"
	}
	t := c.Transactions()[n]
	if f.Info().Kind == KindBody {
		b := t.Body(f, d, 0)
		if b == nil {
			return "<nil>"
		}
		return string(b.Data)
	}
	v, ok := t.Bytes(f, d, 0)
	if !ok {
		return "<nil>"
	}
	return string(v)
}
