package eve

import (
	"bytes"

	"github.com/garita/garita/app"
	"github.com/garita/garita/packet"
)

func (l *Logger) httpRecord(p *packet.Packet, f *FlowInfo, t *app.HTTPTx) {
	typ := HTTP
	if t.Proto == app.HTTP2 {
		typ = HTTP2
	}
	if !l.Wants(typ) || typ == HTTP2 && !http2Shown(t) {
		return
	}
	o := l.beginXFF("http", p, f, ofFlow, &l.cfg.HTTPXFF, t)
	o.uint("tx_id", t.ID)
	l.httpObject(o, t)
	l.end()
}

func (l *Logger) httpObject(o *object, t *app.HTTPTx) {
	o.open("http")
	if t.Proto == app.HTTP2 {
		http2Fields(o, t)
		o.close()
		return
	}
	host, _ := t.Bytes(app.HTTPHost, app.ToServer, 0)
	o.text("hostname", host)
	if n := t.Port(); n >= 0 {
		o.uint("http_port", uint64(n))
	}
	url, _ := t.Bytes(app.HTTPURIRaw, app.ToServer, 0)
	o.text("url", url)
	agent, _ := t.HeaderByName(app.ToServer, "user-agent")
	o.text("http_user_agent", agent)
	if v, ok := t.HeaderByName(app.ToServer, "x-forwarded-for"); ok {
		o.bytes("xff", v)
	}
	if v, ok := t.HeaderByName(app.ToClient, "content-type"); ok {
		v, _, _ = bytes.Cut(v, []byte(";"))
		o.bytes("http_content_type", v)
	}
	if v, ok := t.HeaderByName(app.ToClient, "content-range"); ok {
		contentRange(o, v)
	}
	refer, _ := t.HeaderByName(app.ToServer, "referer")
	o.text("http_refer", refer)
	o.text("http_method", t.Method())
	proto, _ := t.Bytes(app.HTTPProtocol, app.ToServer, 0)
	o.text("protocol", proto)
	if v, ok := t.Bytes(app.HTTPStatCode, app.ToClient, 0); ok {
		o.uint("status", leadingNumber(v))
	}
	redirect, _ := t.HeaderByName(app.ToClient, "location")
	o.text("redirect", redirect)
	o.uint("length", t.BodyLength(app.ToClient))
	if l.inAlert {
		l.httpBody(o, t, app.HTTPRequestBody, app.ToServer, "http_request_body", "http_request_body_printable")
		l.httpBody(o, t, app.HTTPResponseBody, app.ToClient, "http_response_body", "http_response_body_printable")
	}
	o.close()
}

func (l *Logger) httpBody(o *object, t *app.HTTPTx, f app.Field, d app.Dir, name, printable string) {
	if !l.cfg.HTTPBody && !l.cfg.HTTPBodyPrintable {
		return
	}
	b := t.Body(f, d, 0)
	if b == nil || len(b.Data) == 0 {
		return
	}
	if l.cfg.HTTPBodyPrintable {
		o.key(printable)
		o.b = appendPrintable(o.b, b.Data)
	}
	if l.cfg.HTTPBody {
		o.base64(name, b.Data)
	}
}

// contentRange takes a Content-Range apart (RFC 9110 §14.4).
func contentRange(o *object, v []byte) {
	o.open("content_range")
	o.bytes("raw", v)
	rest, ok := bytes.CutPrefix(v, []byte("bytes"))
	if ok {
		rest = bytes.TrimLeft(rest, " \t")
		span, size, _ := bytes.Cut(rest, []byte("/"))
		from, to, _ := bytes.Cut(span, []byte("-"))
		if n, ok := decimal(from); ok {
			o.uint("start", n)
		}
		if n, ok := decimal(to); ok {
			o.uint("end", n)
		}
		if n, ok := decimal(size); ok {
			o.uint("size", n)
		}
	}
	o.close()
}

// leadingNumber is the number that b begins with, as C's strtoul reads it; 0 if
// there is none.
func leadingNumber(b []byte) uint64 {
	b = bytes.TrimLeft(b, " \t\r\n\v\f")
	n := uint64(0)
	for _, c := range b {
		if c < '0' || c > '9' || n > 1<<28 {
			break
		}
		n = n*10 + uint64(c-'0')
	}
	return n
}

func decimal(b []byte) (uint64, bool) {
	if len(b) == 0 || len(b) > 18 {
		return 0, false
	}
	n := uint64(0)
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return n, true
}
