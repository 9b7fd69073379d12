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
				t.event("invalid_authority_port")
			}
		}
		t.uri = append(t.uri[:0], raw...)
		t.uriSet = true
		return
	}
	u := splitURI(raw)
	if u.hasHost {
		t.setURIHost(m, u.host)
		if u.port != nil {
			if t.port = portNumber(u.port); t.port < 0 {
				t.event("invalid_authority_port")
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
	out = t.decodePath(out, u.path)
	if cfg.DoubleDecodePath {
		out = append(out[:from], uriDecode(out[from:], false)...)
	}
	out = out[:from+len(removeDots(out[from:]))]
	if u.hasQuery {
		out = append(out, '?')
		q := u.query
		if cfg.DoubleDecodeQuery {
			q = uriDecode(uriDecode(append([]byte(nil), q...), true), true)
		}
		out = append(out, q...)
	}
	if u.hasFragment {
		out = append(append(out, '#'), u.fragment...)
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
		t.event("request_uri_host_invalid")
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
			t.event("missing_host_header")
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
		t.event("request_header_host_invalid")
	}
	if len(host) == 0 {
		if t.hostSet {
			t.event("host_header_ambiguous")
		}
		return
	}
	if !t.hostSet {
		t.host = normalHost(t.host[:0], host)
		t.hostSet = true
		t.port = n
		return
	}
	if !equalFoldBytes(bytes.TrimRight(host, "."), t.host) || n != -1 && t.port != -1 && n != t.port {
		t.event("host_header_ambiguous")
	}
}

// checkAuth notes an Authorization header of a scheme that nobody knows.
func (t *HTTPTx) checkAuth(m *httpMsg) {
	v, _ := m.value(hdrAuthorization)
	for _, s := range [...]string{"basic", "digest", "bearer"} {
		if len(v) >= len(s) && equalFold(v[:len(s)], s) {
			return
		}
	}
	t.event("request_auth_unrecognized")
}

// decodePath appends the path to dst with percent and %u encoding undone,
// backslashes turned and separators compressed.
func (t *HTTPTx) decodePath(dst, p []byte) []byte {
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
		if step == 3 && c == '%' && i+4 < len(p) && hexVal(p[i+3]) >= 0 && hexVal(p[i+4]) >= 0 {
			t.event("double_encoded_uri")
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

// bestFit is the byte that a UTF-16 unit becomes on a system with a one-byte
// code page (Windows 1252), as far as the characters look alike.
func bestFit(hi, lo int) byte {
	switch {
	case hi == 0:
		return byte(lo)
	case hi == 0xff && lo >= 1 && lo <= 0x5e:
		return byte(lo + 0x20) // full-width forms
	case hi == 0x22 && lo == 0x15, hi == 0x20 && lo == 0x44:
		return '/'
	case hi == 0x22 && lo == 0x16:
		return '\\'
	}
	return '?'
}

// uriDecode undoes percent encoding in place.
func uriDecode(p []byte, plus bool) []byte {
	w := 0
	for i := 0; i < len(p); i++ {
		c := p[i]
		if c == '%' && i+2 < len(p) && hexVal(p[i+1]) >= 0 && hexVal(p[i+2]) >= 0 {
			c = byte(hexVal(p[i+1])<<4 | hexVal(p[i+2]))
			i += 2
		} else if c == '+' && plus {
			c = ' '
		}
		p[w] = c
		w++
	}
	return p[:w]
}

// removeDots removes dot segments in place (RFC 3986, section 5.2.4).
func removeDots(p []byte) []byte {
	if bytes.IndexByte(p, '.') < 0 {
		return p
	}
	w := 0
	for i := 0; i < len(p); {
		q := p[i:]
		switch {
		case bytes.HasPrefix(q, []byte("../")):
			i += 3
		case bytes.HasPrefix(q, []byte("./")):
			i += 2
		case bytes.HasPrefix(q, []byte("/./")):
			i += 2
		case len(q) == 2 && q[0] == '/' && q[1] == '.':
			p[i+1] = '/'
			i++
		case bytes.HasPrefix(q, []byte("/../")):
			i += 3
			w = lastSlash(p[:w])
		case len(q) == 3 && q[0] == '/' && q[1] == '.' && q[2] == '.':
			p[i+2] = '/'
			i += 2
			w = lastSlash(p[:w])
		case len(q) == 1 && q[0] == '.', len(q) == 2 && q[0] == '.' && q[1] == '.':
			i = len(p)
		default:
			// One segment, with the slash that begins it.
			for first := true; i < len(p) && (first || p[i] != '/'); first = false {
				p[w] = p[i]
				w++
				i++
			}
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
