package app

import "bytes"

// uriParts are the pieces of a request URI; nil means absent.
type uriParts struct {
	scheme, userinfo, host, port, path, query, fragment []byte
	hasHost, hasQuery, hasFragment                      bool
}

// splitURI takes a URI apart. An authority is looked for only behind a scheme;
// what begins without a slash and has no colon is a path.
func splitURI(u []byte) (p uriParts) {
	if len(u) == 0 {
		return p
	}
	pos := 0
	if u[0] != '/' {
		if i := bytes.IndexByte(u, ':'); i >= 0 {
			p.scheme = u[:i]
			pos = i + 1
		}
	}
	if p.scheme != nil && pos+2 < len(u) && u[pos] == '/' && u[pos+1] == '/' && u[pos+2] != '/' {
		pos += 2
		start := pos
		for pos < len(u) && u[pos] != '?' && u[pos] != '/' && u[pos] != '#' {
			pos++
		}
		auth := u[start:pos]
		if i := bytes.IndexByte(auth, '@'); i >= 0 {
			p.userinfo = auth[:i]
			auth = auth[i+1:]
		}
		p.hasHost = true
		p.host, p.port = splitHostPort(auth)
	}
	start := pos
	for pos < len(u) && u[pos] != '?' && u[pos] != '#' {
		pos++
	}
	p.path = u[start:pos]
	if pos < len(u) && u[pos] == '?' {
		start = pos + 1
		for pos < len(u) && u[pos] != '#' {
			pos++
		}
		p.query, p.hasQuery = u[start:pos], true
	}
	if pos < len(u) && u[pos] == '#' {
		p.fragment, p.hasFragment = u[pos+1:], true
	}
	return p
}

// splitHostPort takes "host:port" or "[v6]:port" apart. port is nil without a
// colon.
func splitHostPort(a []byte) (host, port []byte) {
	if len(a) > 0 && a[0] == '[' {
		i := bytes.IndexByte(a, ']')
		if i < 0 {
			return a, nil
		}
		host = a[:i+1]
		if i+1 < len(a) && a[i+1] == ':' {
			port = a[i+2:]
		}
		return host, port
	}
	if i := bytes.IndexByte(a, ':'); i >= 0 {
		return a[:i], a[i+1:]
	}
	return a, nil
}

// portNumber reads a port; -1 if it is none.
func portNumber(p []byte) int {
	p = bytes.Trim(p, " \t")
	n := 0
	for _, b := range p {
		if b < '0' || b > '9' {
			return -1
		}
		if n = n*10 + int(b-'0'); n > 65535 {
			return -1
		}
	}
	if n == 0 {
		return -1
	}
	return n
}

// takeURI derives http.uri and what the URI says of the host.
func (t *HTTPTx) takeURI(cfg *HTTPConfig) {
	m := &t.msg[ToServer]
	raw, _ := m.inLine(t.uriRaw)
	if t.kind == methodConnect {
		host, port := splitHostPort(bytes.Trim(raw, " \t"))
		t.setURIHost(m, host)
		if port != nil {
			if t.port = portNumber(port); t.port < 0 {
				t.odd |= oddURIHost
			}
		}
		t.uri, t.uriSet = t.uri[:0], true
		return // there is no path
	}
	u := splitURI(raw)
	if u.hasHost {
		t.setURIHost(m, u.host)
		if u.port != nil {
			if t.port = portNumber(u.port); t.port < 0 {
				t.odd |= oddURIHost
			}
		}
	}
	out := t.uri[:0]
	if cfg.URIIncludeAll {
		if u.scheme != nil {
			out = append(append(out, u.scheme...), "://"...)
		}
		if u.userinfo != nil {
			out = append(append(out, u.userinfo...), '@')
		}
		if u.hasHost {
			out = append(out, t.host...)
			if u.port != nil {
				out = append(append(out, ':'), u.port...)
			}
		}
	}
	from := len(out)
	out = decodePath(out, u.path)
	if cfg.DoubleDecodePath {
		if bytes.IndexByte(out[from:], '%') >= 0 {
			t.event("double_encoded_uri")
		}
		out = out[:from+len(uriDecode(out[from:]))]
	}
	out = out[:from+len(fromUTF8(out[from:]))]
	out = out[:from+len(removeDots(out[from:]))]
	t.pathLen = len(out)
	if u.hasQuery {
		out = append(out, '?')
		from = len(out)
		out = append(out, u.query...)
		out = out[:from+len(uriDecode(out[from:]))]
		if cfg.DoubleDecodeQuery {
			out = out[:from+len(uriDecode(out[from:]))]
		}
	}
	if u.hasFragment {
		out = append(out, '#')
		from = len(out)
		out = append(out, u.fragment...)
		out = out[:from+len(uriDecode(out[from:]))]
	}
	t.uri = out
	t.uriSet = true
}

func (t *HTTPTx) setURIHost(m *httpMsg, host []byte) {
	// host is a piece of the line.
	off := cap(m.line) - cap(host)
	t.hostFromURI = span2{off, len(host), true}
	t.host = normalHost(t.host[:0], host)
	t.hostSet = len(host) > 0
	if !validHost(t.host) {
		t.odd |= oddURIHost
	}
}

// normalHost appends the host in lower case without trailing dots.
func normalHost(dst, host []byte) []byte {
	from := len(dst)
	for _, b := range host {
		dst = append(dst, lower(b))
	}
	for len(dst) > from && dst[len(dst)-1] == '.' {
		dst = dst[:len(dst)-1]
	}
	return dst
}

// validHost says whether a host name or bracketed address is well-formed.
func validHost(h []byte) bool {
	if len(h) == 0 || len(h) > 255 {
		return false
	}
	if h[0] == '[' {
		return h[len(h)-1] == ']'
	}
	label := 0
	for _, b := range h {
		switch {
		case b == '.':
			if label == 0 {
				return false
			}
			label = 0
		case b >= 'a' && b <= 'z', b >= 'A' && b <= 'Z', b >= '0' && b <= '9', b == '-', b == '_':
			if label++; label > 63 {
				return false
			}
		default:
			return false
		}
	}
	return true
}

// takeHost combines what the URI and the Host header say. The URI wins.
func (t *HTTPTx) takeHost(m *httpMsg) {
	v, ok := m.value(hdrHost)
	if !ok {
		if m.version >= http11 {
			t.odd |= oddNoHost
		}
		return
	}
	host, port := splitHostPort(bytes.Trim(v, " \t\r\n\v\f"))
	n := -1
	bad := false
	if port != nil {
		if n = portNumber(port); n < 0 {
			bad = true
		}
	}
	host = bytes.TrimRight(host, " \t")
	if bad || !validHost(bytes.TrimRight(host, ".")) {
		t.odd |= oddHost
	}
	if len(host) == 0 || host[0] == '[' && bytes.IndexByte(host, ']') < 0 {
		if t.hostSet {
			t.odd |= oddHostAmbiguous
		}
		return
	}
	if !t.hostSet {
		t.host = append(t.host[:0], host...)
		if port == nil && host[0] != '[' { // only then it is normalised
			for i, b := range t.host {
				t.host[i] = lower(b)
			}
		}
		t.hostSet = true
		t.port = n
		return
	}
	if !equalFoldBytes(host, t.host) || n != -1 && t.port > 0 && n != t.port {
		t.odd |= oddHostAmbiguous
	}
}

// checkAuth notes an Authorization header of a scheme that nobody knows. It is
// false for one that nothing can be made of.
func (t *HTTPTx) checkAuth(v []byte) bool {
	for _, s := range [...]string{"basic", "digest", "bearer"} {
		if len(v) >= len(s) && equalFold(v[:len(s)], s) {
			if s != "basic" {
				return true
			}
			digits := 0 // two of base64 make a byte
			for _, b := range bytes.TrimSpace(v[len(s):]) {
				if b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' || b == '+' || b == '/' {
					if digits++; digits == 2 {
						return true
					}
				}
			}
			return len(bytes.TrimSpace(v[len(s):])) == 0
		}
	}
	t.event("request_auth_unrecognized")
	return true
}

// What can be odd about a request as a whole.
const (
	oddTransferEncoding = 1 << iota
	oddContentLength
	oddNoHost
	oddHostAmbiguous
	oddURIHost
	oddHost
)

var oddEvents = [...]Event{"invalid_transfer_encoding_value_in_request", "invalid_content_length_field_in_request", "missing_host_header",
	"host_header_ambiguous", "request_uri_host_invalid", "request_header_host_invalid"}

// tellOdd makes events of what is odd about the request so far: behind its line,
// its headers, its trailer and its end, each time all of them.
func (t *HTTPTx) tellOdd() {
	for i, e := range oddEvents {
		if t.odd>>i&1 != 0 {
			t.eventAgain(e)
		}
	}
}

// decodePath appends the path to dst with percent and %u encoding undone,
// backslashes turned and separators compressed.
func decodePath(dst, p []byte) []byte {
	sep := false
	for i := 0; i < len(p); {
		c := p[i]
		step := 1
		if c == '%' && i+2 < len(p) {
			if p[i+1] == 'u' || p[i+1] == 'U' {
				if i+5 < len(p) && hexVal(p[i+2]) >= 0 && hexVal(p[i+3]) >= 0 && hexVal(p[i+4]) >= 0 && hexVal(p[i+5]) >= 0 {
					hi := hexVal(p[i+2])<<4 | hexVal(p[i+3])
					lo := hexVal(p[i+4])<<4 | hexVal(p[i+5])
					c = bestFit(hi, lo)
					step = 6
				}
			} else if hexVal(p[i+1]) >= 0 && hexVal(p[i+2]) >= 0 {
				c = byte(hexVal(p[i+1])<<4 | hexVal(p[i+2]))
				step = 3
			}
		}
		i += step
		if c == '\\' {
			c = '/'
		}
		if c == '/' && sep {
			continue
		}
		sep = c == '/'
		dst = append(dst, c)
	}
	return dst
}

// bestFit is the byte that a UTF-16 unit becomes on a system with code page
// Windows 1252 if the character is not in it, by Unicode's table of best fits;
// those that are in it have no best fit.
func bestFit(hi, lo int) byte {
	switch hi {
	case 0:
		return byte(lo)
	case 1:
		if lo < len(bestFitLatin) {
			return bestFitLatin[lo]
		}
		switch lo {
		case 0x80:
			return 'b'
		case 0x97:
			return 'I'
		case 0x9a:
			return 'l'
		case 0x9f, 0xa0:
			return 'O'
		case 0xa1:
			return 'o'
		case 0xab:
			return 't'
		case 0xae:
			return 'T'
		case 0xaf:
			return 'U'
		case 0xb0:
			return 'u'
		case 0xb6:
			return 'z'
		case 0xc0:
			return '|'
		case 0xc3:
			return '!'
		}
		if lo >= 0xcd && lo <= 0xdc {
			return "AaIiOoUuUuUuUuUu"[lo-0xcd]
		}
		if lo >= 0xe4 && lo <= 0xed {
			return "GgGgKkOoOo"[lo-0xe4]
		}
	case 0x20:
		switch {
		case lo <= 6:
			return ' '
		case lo == 0x10 || lo == 0x11:
			return '-'
		case lo == 0x32:
			return '\''
		case lo == 0x35:
			return '`'
		case lo == 0x44:
			return '/'
		case lo >= 0x74 && lo <= 0x78:
			return byte(lo-0x70) + '0'
		}
	case 0x22:
		switch lo {
		case 0x12:
			return '-'
		case 0x15:
			return '/'
		case 0x16:
			return '\\'
		case 0x17:
			return '*'
		case 0x23:
			return '|'
		case 0x36:
			return ':'
		case 0x3c:
			return '~'
		}
	case 0x30:
		if lo == 0 {
			return ' '
		}
	case 0xff:
		if lo >= 1 && lo <= 0x5e {
			return byte(lo + 0x20) // full-width forms
		}
	}
	return '?'
}

// bestFitLatin are the best fits of U+0100 to U+017F.
const bestFitLatin = "AaAaAaCcCcCcCcDd\xd0dEeEeEeEeEeGgGg" + // 0100
	"GgGgHhHhIiIiIiIiIi??JjKk?LlLlLl?" + // 0120
	"?LlNnNnNn???OoOoOo??RrRrRrSsSsSs" + // 0140
	"??TtTtTtUuUuUuUuUuUuWwYy?ZzZz??" + "?" // 0160

// uriDecode undoes percent encoding in place; what is no encoding stays.
func uriDecode(p []byte) []byte {
	if bytes.IndexByte(p, '%') < 0 {
		return p
	}
	w := 0
	for i := 0; i < len(p); i++ {
		c := p[i]
		if c == '%' && i+2 < len(p) && hexVal(p[i+1]) >= 0 && hexVal(p[i+2]) >= 0 {
			c = byte(hexVal(p[i+1])<<4 | hexVal(p[i+2]))
			i += 2
		}
		p[w] = c
		w++
	}
	return p[:w]
}

// fromUTF8 turns UTF-8 into a one-byte code page in place, as a server that
// looks for the best fit would: overlong forms count, what is invalid or has
// no likeness becomes a question mark, a sequence that the end cuts off goes.
func fromUTF8(p []byte) []byte {
	w := 0
	for w < len(p) && p[w] < 0x80 {
		w++
	}
	for i := w; i < len(p); {
		c := p[i]
		n, cp := 0, rune(0)
		switch {
		case c < 0x80:
			p[w] = c
			w++
			i++
			continue
		case c >= 0xc0 && c < 0xe0:
			n, cp = 1, rune(c&0x1f)
		case c >= 0xe0 && c < 0xf0:
			n, cp = 2, rune(c&0x0f)
		case c >= 0xf0 && c < 0xf5:
			n, cp = 3, rune(c&0x07)
		default:
			p[w] = '?'
			w++
			i++
			continue
		}
		i++
		bad := false
		for k := 0; k < n; k++ {
			if i == len(p) {
				return p[:w]
			}
			b := p[i]
			if b&0xc0 != 0x80 || k == 0 && (c == 0xed && b >= 0xa0 || c == 0xf4 && b >= 0x90) {
				bad = true
				break
			}
			cp = cp<<6 | rune(b&0x3f)
			i++
		}
		switch {
		case bad:
			p[w] = '?'
		case cp < 0x100:
			p[w] = byte(cp)
		case cp > 0xffff:
			p[w] = '?'
		default:
			p[w] = bestFit(int(cp>>8), int(cp&0xff))
		}
		w++
	}
	return p[:w]
}

// removeDots removes dot segments in place (RFC 3986, section 5.2.4), with the
// difference that a slash which only a dot segment leaves at the very end goes
// too: "/a/./" is "/a".
func removeDots(p []byte) []byte {
	if bytes.IndexByte(p, '.') < 0 {
		return p
	}
	w := 0
	for i := 0; i < len(p); {
		q := p[i:]
		dots := 0
		if q[0] == '/' {
			dots = 1
		}
		n := dots
		for n < len(q) && q[n] == '.' && n-dots < 3 {
			n++
		}
		k := n - dots // dots of the segment
		if k >= 1 && k <= 2 && (n == len(q) || q[n] == '/') {
			if dots == 1 && k == 2 {
				w = lastSlash(p[:w])
			}
			i += n
			if dots == 0 && i < len(p) {
				i++ // "../x" and "./x" lose their slash
			}
			if dots == 1 && i == len(p)-1 {
				break
			}
			continue
		}
		// One segment, with the slash that begins it.
		for first := true; i < len(p) && (first || p[i] != '/'); first = false {
			p[w] = p[i]
			w++
			i++
		}
	}
	return p[:w]
}

func lastSlash(p []byte) int {
	if i := bytes.LastIndexByte(p, '/'); i >= 0 {
		return i
	}
	return 0
}
