package eve

import (
	"bytes"

	"github.com/garita/garita/app"
)

var http2Settings = [...]string{
	1: "SETTINGSHEADERTABLESIZE", 2: "SETTINGSENABLEPUSH", 3: "SETTINGSMAXCONCURRENTSTREAMS",
	4: "SETTINGSINITIALWINDOWSIZE", 5: "SETTINGSMAXFRAMESIZE", 6: "SETTINGSMAXHEADERLISTSIZE",
}

// http2Errors are the error codes (RFC 9113 §7).
var http2Errors = [...]string{
	"NoError", "ProtocolError", "InternalError", "FlowControlError", "SettingsTimeout", "StreamClosed", "FrameSizeError",
	"RefusedStream", "Cancel", "CompressionError", "ConnectError", "EnhanceYourCalm", "InadequateSecurity",
	"Http11Required",
}

// http2Fields describes a stream of HTTP/2: its headers in order, the most
// used of them once more by name, and what its frames say.
func http2Fields(o *object, t *app.HTTPTx) {
	o.str("version", "2")
	_, _, req := t.Header(app.ToServer, 0)
	_, _, resp := t.Header(app.ToClient, 0)
	if req || resp {
		http2Headers(o, t, "request_headers", app.ToServer)
		http2Headers(o, t, "response_headers", app.ToClient)
		http2Known(o, t)
	}
	o.open("http2")
	id, _ := t.StreamID()
	o.uint("stream_id", uint64(id))
	for d, k := range [...]string{"request", "response"} {
		o.open(k)
		http2Frames(o, t, app.Dir(d))
		o.close()
	}
	o.close()
}

// http2Shown says whether there is anything to tell of a stream.
func http2Shown(t *app.HTTPTx) bool {
	for d := app.ToServer; d <= app.ToClient; d++ {
		if _, _, ok := t.Header(d, 0); ok {
			return true
		}
		for _, f := range [...]app.Field{app.HTTP2Settings, app.HTTP2ErrorCode, app.HTTP2Priority} {
			if _, ok := t.Number(f, d, 0); ok {
				return true
			}
		}
	}
	return false
}

func http2Headers(o *object, t *app.HTTPTx, k string, d app.Dir) {
	o.openArray(k)
	updates := 0
	for i := 0; ; i++ {
		name, value, ok := t.Header(d, i)
		if !ok {
			break
		}
		o.item()
		o.open("")
		if n, ok := t.Number(app.HTTP2SizeUpdate, d, updates); ok && len(name) == 0 && len(value) == 0 {
			o.uint("table_size_update", n)
			updates++
		} else {
			o.bytes("name", name)
			o.bytes("value", value)
		}
		o.close()
	}
	o.closeArray()
}

func http2Known(o *object, t *app.HTTPTx) {
	for d := app.ToServer; d <= app.ToClient; d++ {
		for i := 0; ; i++ {
			name, value, ok := t.Header(d, i)
			if !ok {
				break
			}
			if http2Before(t, d, i, name) {
				continue
			}
			switch {
			case d == app.ToServer && string(name) == ":method":
				o.bytes("http_method", value)
			case d == app.ToServer && string(name) == ":path":
				o.bytes("url", value)
			case d == app.ToClient && string(name) == ":status":
				if n, ok := decimal(value); ok {
					o.uint("status", n)
				}
			case d == app.ToServer && bytes.EqualFold(name, []byte("user-agent")):
				o.bytes("http_user_agent", value)
			case d == app.ToServer && bytes.EqualFold(name, []byte("host")):
				o.bytes("hostname", value)
			case d == app.ToClient && bytes.EqualFold(name, []byte("content-length")):
				if n, ok := decimal(value); ok {
					o.uint("length", n)
				}
			}
		}
	}
}

// http2Before says whether a name was among the headers before i: of those
// shown by name, the first counts.
func http2Before(t *app.HTTPTx, d app.Dir, i int, name []byte) bool {
	for j := range i {
		if n, _, _ := t.Header(d, j); bytes.EqualFold(n, name) {
			return true
		}
	}
	return false
}

func http2Frames(o *object, t *app.HTTPTx, d app.Dir) {
	if _, ok := t.Number(app.HTTP2Settings, d, 0); ok {
		o.openArray("settings")
		for i := 0; ; i++ {
			v, ok := t.Number(app.HTTP2Settings, d, i)
			if !ok {
				break
			}
			o.item()
			o.open("")
			if id := v >> 32; id < uint64(len(http2Settings)) && http2Settings[id] != "" {
				o.str("settings_id", http2Settings[id])
			} else {
				o.key("settings_id")
				o.b = append(appendUint(append(o.b, `"SETTINGSUNKNOWN(`...), id), `)"`...)
			}
			o.uint("settings_value", v&0xffffffff)
			o.close()
		}
		o.closeArray()
	}
	if v, ok := t.Number(app.HTTP2ErrorCode, d, 0); ok {
		o.key("error_code")
		name := "Unknown"
		if v < uint64(len(http2Errors)) {
			name = http2Errors[v]
		}
		at := len(o.b)
		o.b = appendString(o.b, name)
		if id, _ := t.StreamID(); id == 0 { // of GOAWAY, which is written in capitals
			copy(o.b[at:], bytes.ToUpper(o.b[at:]))
		}
	}
	if v, ok := t.Number(app.HTTP2Priority, d, 0); ok {
		o.uint("priority", v)
	}
}
