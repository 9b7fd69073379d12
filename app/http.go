package app

import "bytes"

// HTTPConfig is the part of the configuration that concerns HTTP/1 and HTTP/2.
// The zero value is Suricata's packaged default.
type HTTPConfig struct {
	// RequestBodyLimit and ResponseBodyLimit are how many decoded bytes of a
	// body are kept; 0 means 100 KiB, negative means no limit.
	RequestBodyLimit, ResponseBodyLimit int
	// DecompressLayers is how many content encodings on top of each other are
	// undone; 0 means 2, negative means none.
	DecompressLayers int
	// LZMA turns LZMA decompression on.
	LZMA bool
	// LZMAMemLimit bounds the dictionary of LZMA in bytes; 0 means 1 MiB.
	LZMAMemLimit int
	// DoubleDecodePath and DoubleDecodeQuery decode percent encoding a second
	// time.
	DoubleDecodePath, DoubleDecodeQuery bool
	// URIIncludeAll puts scheme, user, host and port of an absolute URI into
	// http.uri.
	URIIncludeAll bool
	// HeadersLimit is how many headers a message may have; 0 means 1024.
	HeadersLimit int
}

// WithDefaults puts the defaults in place of zeros, as NewEnv does for Config.
func (h HTTPConfig) WithDefaults() *HTTPConfig {
	h.defaults()
	return &h
}

func (h *HTTPConfig) defaults() {
	for _, l := range [2]*int{&h.RequestBodyLimit, &h.ResponseBodyLimit} {
		if *l == 0 {
			*l = 100 << 10
		} else if *l < 0 {
			*l = 1 << 40
		}
	}
	if h.DecompressLayers == 0 {
		h.DecompressLayers = 2
	}
	if h.LZMAMemLimit == 0 {
		h.LZMAMemLimit = 1 << 20
	}
	if h.HeadersLimit == 0 {
		h.HeadersLimit = 1024
	}
}

// Methods that the parser treats apart.
type httpMethod uint8

const (
	methodOther httpMethod = iota // known, nothing special
	methodUnknown
	methodGet
	methodHead
	methodPost
	methodPut
	methodConnect
)

// methodOf classes a method name. Names are case-sensitive.
func methodOf(m []byte) httpMethod {
	switch string(m) {
	case "GET":
		return methodGet
	case "HEAD":
		return methodHead
	case "POST":
		return methodPost
	case "PUT":
		return methodPut
	case "CONNECT":
		return methodConnect
	case "DELETE", "OPTIONS", "TRACE", "PATCH", "PROPFIND", "PROPPATCH", "MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK",
		"VERSION-CONTROL", "CHECKOUT", "UNCHECKOUT", "CHECKIN", "UPDATE", "LABEL", "REPORT", "MKWORKSPACE",
		"MKACTIVITY", "BASELINE-CONTROL", "MERGE", "INVALID":
		return methodOther
	}
	return methodUnknown
}

// Protocol versions.
const (
	httpInvalid = -1
	http09      = 9 // or none
	http10      = 100
	http11      = 101
)

// span is a piece of one of a message's two buffers; the top bit of off
// chooses extra.
type span struct{ off, n uint32 }

const inExtra = 1 << 31

// httpHeader is one header line, or several of one name that were joined.
type httpHeader struct {
	name, value span
	repeated    bool
	folded      bool
	known       httpKnown
}

// httpKnown is a header name that a field or the parser asks for.
type httpKnown uint8

const (
	hdrOther httpKnown = iota
	hdrHost
	hdrCookie
	hdrSetCookie
	hdrUserAgent
	hdrAccept
	hdrAcceptEnc
	hdrAcceptLang
	hdrReferer
	hdrContentType
	hdrContentLen
	hdrContentEnc
	hdrContentDisp
	hdrContentRange
	hdrConnection
	hdrServer
	hdrLocation
	hdrTransferEnc
	hdrUpgrade
	hdrHTTP2Settings
	hdrExpect
	hdrAuthorization
	nHdr
)

var knownNames = [nHdr]string{
	hdrHost: "host", hdrCookie: "cookie", hdrSetCookie: "set-cookie", hdrUserAgent: "user-agent",
	hdrAccept: "accept", hdrAcceptEnc: "accept-encoding", hdrAcceptLang: "accept-language",
	hdrReferer: "referer", hdrContentType: "content-type", hdrContentLen: "content-length",
	hdrContentEnc: "content-encoding", hdrContentDisp: "content-disposition",
	hdrContentRange: "content-range", hdrConnection: "connection", hdrServer: "server",
	hdrLocation: "location", hdrTransferEnc: "transfer-encoding", hdrUpgrade: "upgrade",
	hdrHTTP2Settings: "http2-settings", hdrExpect: "expect", hdrAuthorization: "authorization",
}

func knownHeader(name []byte) httpKnown {
	if bytes.IndexByte(name, 0) >= 0 && len(name) < 64 {
		// NUL bytes do not hide a name.
		var b [64]byte
		k := b[:0]
		for _, c := range name {
			if c != 0 {
				k = append(k, c)
			}
		}
		name = k
	}
	if len(name) < 4 || len(name) > 19 {
		return hdrOther
	}
	c := lower(name[0])
	for k := hdrOther + 1; k < nHdr; k++ {
		if s := knownNames[k]; len(s) == len(name) && s[0] == c && equalFold(name, s) {
			return k
		}
	}
	return hdrOther
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 32
	}
	return c
}

// equalFold compares ASCII letters without case; s is in lower case.
func equalFold(p []byte, s string) bool {
	if len(p) != len(s) {
		return false
	}
	for i, c := range p {
		if lower(c) != s[i] {
			return false
		}
	}
	return true
}

// equalFoldBytes compares two names without case.
func equalFoldBytes(p, q []byte) bool {
	if len(p) != len(q) {
		return false
	}
	for i, c := range p {
		if lower(c) != lower(q[i]) {
			return false
		}
	}
	return true
}

// indexFold finds s (lower case) in p without regard to case; -1 if absent.
func indexFold(p []byte, s string) int {
	for i := 0; i+len(s) <= len(p); i++ {
		if equalFold(p[i:i+len(s)], s) {
			return i
		}
	}
	return -1
}

// httpMsg is one direction of a transaction.
type httpMsg struct {
	line  []byte // request or status line without its end
	raw   []byte // header lines as they came, trailers behind them
	extra []byte // joined and folded header values

	headers []httpHeader
	joined  []httpHeader // of HTTP/2: headers that came more than once
	known   [nHdr]int16  // index of the header + 1; negative: of joined

	started bool // bytes of this direction were seen
	hasRaw  bool // the header block is complete
	version int  // httpInvalid, http09 …

	protocol span2 // within line
	// derived buffers, built when first asked for
	header, names, start []byte
	built                uint8
}

// span2 is a piece of the line; present tells empty from absent.
type span2 struct {
	off, n  int
	present bool
}

const (
	builtHeader = 1 << iota
	builtNames
	builtStart
)

func (m *httpMsg) reset() {
	*m = httpMsg{line: m.line[:0], raw: m.raw[:0], extra: m.extra[:0], headers: m.headers[:0], joined: m.joined[:0],
		header: m.header[:0], names: m.names[:0], start: m.start[:0]}
}

// clearHeaders forgets the headers of an interim response. Their bytes stay at
// the front of raw.
func (m *httpMsg) clearHeaders() {
	m.headers, m.extra = m.headers[:0], m.extra[:0]
	m.known = [nHdr]int16{}
	m.built = 0
	m.hasRaw = false
}

func (m *httpMsg) at(s span) []byte {
	if s.off&inExtra != 0 {
		o := s.off &^ inExtra
		return m.extra[o : o+s.n]
	}
	return m.raw[s.off : s.off+s.n]
}

func (m *httpMsg) inLine(s span2) ([]byte, bool) { return m.line[s.off : s.off+s.n], s.present }

// get returns the header, nil if absent.
func (m *httpMsg) get(k httpKnown) *httpHeader {
	switch i := m.known[k]; {
	case i > 0:
		return &m.headers[i-1]
	case i < 0:
		return &m.joined[-i-1]
	}
	return nil
}

// value returns the value of a header.
func (m *httpMsg) value(k httpKnown) ([]byte, bool) {
	if h := m.get(k); h != nil {
		return m.at(h.value), true
	}
	return nil, false
}

// HTTPTx is a request with its response, of HTTP/1 or one stream of HTTP/2.
type HTTPTx struct {
	TxBase
	msg [2]httpMsg

	method      span2
	uriRaw      span2
	uri         []byte // normalised
	uriSet      bool
	host        []byte // normalised
	hostSet     bool
	hostFromURI span2 // within line
	port        int   // of the URI or the Host header, -1 if none, 0 before the headers
	pathLen     int   // of uri, up to the query
	odd         uint8 // what is wrong with the request, one bit each of oddRequest
	kind        httpMethod

	statCode, statMsg span2
	status            int // -1 unknown or invalid
	interim           int // 100 Continue responses seen
	reps              [2]int
	wire              [2]uint64 // bytes of the bodies as sent

	body     [2]File // request and response body; also in Files if it is a file
	bodyKind bodyKind
	multi    multipart
	h2       *http2Stream
	fileOpen uint8 // by direction: the body is among Files
}

type bodyKind uint8

const (
	bodyPlain bodyKind = iota
	bodyFile           // POST and PUT: the body is a file
	bodyMultipart
)

func (t *HTTPTx) reset() {
	for d := range t.msg {
		t.msg[d].reset()
	}
	keep := *t
	*t = HTTPTx{}
	t.msg = keep.msg
	t.uri, t.host = keep.uri[:0], keep.host[:0]
	t.Events, t.Files = keep.Events[:0], keep.Files[:0]
	for d := range t.body {
		if b := keep.body[d].Data; cap(b) <= 128<<10 {
			t.body[d].Data = b[:0]
		}
		t.body[d].Dir = Dir(d)
		t.body[d].Name = keep.body[d].Name[:0]
	}
	t.status = -1
}

// Method is the request method as sent; nil if there is none.
func (t *HTTPTx) Method() []byte { p, _ := t.Bytes(HTTPMethod, ToServer, 0); return p }

// Status is the response status code; -1 if there is none or it is invalid.
func (t *HTTPTx) Status() int { return t.status }

// Port is the port that the URI or the Host header names; -1 if none, 0 if the
// headers never came to an end.
func (t *HTTPTx) Port() int { return t.port }

// BodyLength is how many bytes the body of direction d took as sent: before
// decompression, with the lengths of its chunks.
func (t *HTTPTx) BodyLength(d Dir) uint64 { return t.wire[d] }

// Headers calls for the i-th header of direction d, joined if its name came
// more than once; ok is false behind the last.
func (t *HTTPTx) Header(d Dir, i int) (name, value []byte, ok bool) {
	m := &t.msg[d]
	if i >= len(m.headers) {
		return nil, nil, false
	}
	h := &m.headers[i]
	return m.at(h.name), m.at(h.value), true
}

// HeaderByName is the value of the header named name (any case) in direction d.
func (t *HTTPTx) HeaderByName(d Dir, name string) ([]byte, bool) {
	m := &t.msg[d]
	for i := range m.headers {
		if bytes.EqualFold(m.at(m.headers[i].name), []byte(name)) {
			return m.at(m.headers[i].value), true
		}
	}
	return nil, false
}

// Bytes returns the i-th value of a field.
func (t *HTTPTx) Bytes(f Field, d Dir, i int) ([]byte, bool) {
	if t.h2 != nil {
		if f == HTTP2HeaderName {
			return t.h2.headerName(t, d, i)
		}
	}
	if f == FileName {
		if x := t.FileAt(d, i); x != nil {
			return x.Name, true
		}
		return nil, false
	}
	m := &t.msg[d]
	switch f {
	case HTTPRequestHeader, HTTPResponseHeader:
		if (f == HTTPRequestHeader) != (d == ToServer) || i >= len(m.headers) {
			return nil, false
		}
		h := &m.headers[i]
		return t.nameValue(m, h), true
	}
	if i > 0 {
		return nil, false
	}
	if d == ToServer {
		switch f {
		case HTTPURI:
			return t.uri, t.uriSet
		case HTTPURIRaw:
			return m.inLine(t.uriRaw)
		case HTTPMethod:
			return m.inLine(t.method)
		case HTTPRequestLine:
			return m.line, len(m.line) > 0 && (t.From == ToServer || t.h2 != nil)
		case HTTPHost:
			return t.host, t.hostSet
		case HTTPHostRaw:
			if t.h2 != nil {
				if v, ok := m.pseudo(":authority"); ok {
					return v, true
				}
			}
			if t.hostFromURI.present {
				return t.host, t.hostSet
			}
			return m.value(hdrHost)
		case HTTPUserAgent:
			return m.value(hdrUserAgent)
		case HTTPAccept:
			return m.value(hdrAccept)
		case HTTPAcceptEnc:
			return m.value(hdrAcceptEnc)
		case HTTPAcceptLang:
			return m.value(hdrAcceptLang)
		case HTTPReferer:
			return m.value(hdrReferer)
		case HTTPCookie:
			return m.value(hdrCookie)
		}
	} else {
		switch f {
		case HTTPResponseLine:
			return m.line, len(m.line) > 0
		case HTTPStatCode:
			return m.inLine(t.statCode)
		case HTTPStatMsg:
			return m.inLine(t.statMsg)
		case HTTPServer:
			return m.value(hdrServer)
		case HTTPLocation:
			return m.value(hdrLocation)
		case HTTPCookie:
			return m.value(hdrSetCookie)
		}
	}
	switch f {
	case HTTPProtocol:
		return m.inLine(m.protocol)
	case HTTPHeaderRaw:
		return m.raw, m.hasRaw && len(m.raw) > 0
	case HTTPHeader:
		return m.buildHeader(d), m.hasRaw && len(m.header) > 0
	case HTTPHeaderNames:
		return m.buildNames(), m.hasRaw && len(m.names) > 0
	case HTTPStart:
		if t.h2 != nil {
			return nil, false
		}
		return m.buildStart(), m.hasRaw && len(m.start) > 0
	case HTTPContentType:
		return m.value(hdrContentType)
	case HTTPContentLen:
		return m.value(hdrContentLen)
	case HTTPConnection:
		return m.value(hdrConnection)
	}
	return nil, false
}

// nameValue is "name: value" of a header. In the raw block it stands there as
// it is needed more often than not.
func (t *HTTPTx) nameValue(m *httpMsg, h *httpHeader) []byte {
	n, v := h.name, h.value
	if n.off&inExtra == 0 && v.off == n.off+n.n+2 && m.raw[n.off+n.n] == ':' && m.raw[n.off+n.n+1] == ' ' {
		return m.raw[n.off : v.off+v.n]
	}
	b := make([]byte, 0, n.n+v.n+2)
	b = append(append(append(b, m.at(n)...), ": "...), m.at(v)...)
	return b
}

func (m *httpMsg) buildHeader(d Dir) []byte {
	if m.built&builtHeader != 0 || !m.hasRaw {
		return m.header
	}
	m.built |= builtHeader
	skip := hdrCookie
	if d == ToClient {
		skip = hdrSetCookie
	}
	m.header = m.header[:0]
	for i := range m.headers {
		h := &m.headers[i]
		if h.known == skip {
			continue
		}
		m.header = append(append(append(append(m.header, m.at(h.name)...), ": "...), m.at(h.value)...), "\r\n"...)
	}
	return m.header
}

func (m *httpMsg) buildNames() []byte {
	if m.built&builtNames != 0 || !m.hasRaw {
		return m.names
	}
	m.built |= builtNames
	m.names = m.names[:0]
	if len(m.headers) > 0 {
		m.names = append(m.names, "\r\n"...)
		for i := range m.headers {
			m.names = append(append(m.names, m.at(m.headers[i].name)...), "\r\n"...)
		}
		m.names = append(m.names, "\r\n"...)
	}
	return m.names
}

func (m *httpMsg) buildStart() []byte {
	if m.built&builtStart != 0 || !m.hasRaw {
		return m.start
	}
	m.built |= builtStart
	m.start = append(append(m.start[:0], m.line...), "\r\n"...)
	for i := range m.headers {
		h := &m.headers[i]
		m.start = append(append(append(append(m.start, m.at(h.name)...), ": "...), m.at(h.value)...), "\r\n"...)
	}
	if len(m.headers) > 0 {
		m.start = append(m.start, "\r\n"...)
	}
	return m.start
}

// Number returns numeric fields, which only HTTP/2 has.
func (t *HTTPTx) Number(f Field, d Dir, i int) (uint64, bool) {
	if t.h2 != nil {
		return t.h2.number(f, d, i)
	}
	return 0, false
}

// Body returns bodies.
func (t *HTTPTx) Body(f Field, d Dir, i int) *Body {
	switch f {
	case HTTPRequestBody:
		if d == ToServer && i == 0 && t.body[d].Total > 0 {
			return &t.body[d].Body
		}
	case HTTPResponseBody:
		if d == ToClient && i == 0 && t.body[d].Total > 0 {
			return &t.body[d].Body
		}
	case FileData:
		if t.h2 != nil && d == ToServer {
			return nil // that is http.request_body only
		}
		if d == ToClient && t.h2 == nil {
			if i == 0 && t.body[d].Total > 0 {
				return &t.body[d].Body
			}
			return nil
		}
		if d == ToServer {
			if f := t.FileAt(d, i); f != nil && f.Truncated && !f.Full && f.Inspected == 0 {
				return nil // the connection's end cut it off
			}
		}
		return t.FileBody(d, i)
	}
	return nil
}
