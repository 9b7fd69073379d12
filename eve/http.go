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
	if v, ok := t.Bytes(app.HTTPHost, app.ToServer, 0); ok {
		o.bytes("hostname", v)
	}
	if n := t.Port(); n > 0 {
		o.uint("http_port", uint64(n))
	} else if _, ok := t.Bytes(app.HTTPStart, app.ToServer, 0); !ok {
		o.uint("http_port", 0) // the headers never came to an end
	}
	if v, ok := t.Bytes(app.HTTPURIRaw, app.ToServer, 0); ok {
		o.bytes("url", v)
	}
	if v, ok := t.HeaderByName(app.ToServer, "user-agent"); ok {
		o.bytes("http_user_agent", v)
	}
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
	if v, ok := t.HeaderByName(app.ToServer, "referer"); ok {
		o.bytes("http_refer", v)
	}
	if v := t.Method(); len(v) > 0 {
		o.bytes("http_method", v)
	}
	if v, ok := t.Bytes(app.HTTPProtocol, app.ToServer, 0); ok {
		o.bytes("protocol", v)
	}
	if v, ok := t.Bytes(app.HTTPStatCode, app.ToClient, 0); ok {
		o.uint("status", leadingNumber(v))
	}
	if v, ok := t.HeaderByName(app.ToClient, "location"); ok {
		o.bytes("redirect", v)
	}
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
