package app

import "bytes"

// multipart finds the files in a body of type multipart/form-data (RFC 7578)
// as it arrives.
type multipart struct {
	delim []byte // "--boundary"
	buf   []byte // bytes not consumed yet
	state multiState
	file  *File
	files int
}

type multiState uint8

const (
	mpStart multiState = iota // before the first delimiter
	mpHeaders
	mpData
	mpEnd
)

const (
	maxMultiHeaders = 8 << 10 // bytes of the headers of a part
	maxMultiFiles   = 64      // files of a body
	maxFileName     = 4096
	maxBoundary     = 200
)

// begin reads the boundary of a Content-Type, of which it does not matter what
// type it is. ok is false if there is none, bad true if it is too long.
func (m *multipart) begin(ct []byte) (ok, bad bool) {
	*m = multipart{delim: m.delim[:0], buf: m.buf[:0]}
	b, ok := paramValue(ct, "boundary=")
	if !ok {
		return false, false
	}
	if len(b) >= maxBoundary {
		return false, true
	}
	m.delim = append(append(m.delim, "--"...), b...)
	return true, false
}

// restart forgets the body so far.
func (m *multipart) restart() {
	*m = multipart{delim: m.delim, buf: m.buf[:0]}
}

// push takes bytes of the body. limit is how many bytes of a file are kept.
func (m *multipart) push(t *HTTPTx, data []byte, limit int) {
	if m.state == mpEnd {
		return
	}
	m.buf = append(m.buf, data...)
	used := 0
	for {
		n, ok := m.step(t, m.buf[used:], limit)
		used += n
		if !ok {
			break
		}
	}
	m.buf = m.buf[:copy(m.buf, m.buf[used:])]
}

func (m *multipart) step(t *HTTPTx, p []byte, limit int) (n int, ok bool) {
	switch m.state {
	case mpStart, mpData:
		i := bytes.Index(p, m.delim)
		if i < 0 {
			// The delimiter may begin in what is here, with CR LF before it.
			n = max(0, len(p)-len(m.delim)-1)
			if m.file != nil && n > 0 {
				m.file.add(p[:n], limit)
			}
			return n, false
		}
		if len(p) < i+len(m.delim)+2 {
			return 0, false
		}
		if m.file != nil {
			if i == 0 && m.file.Total == 0 && bytes.HasPrefix(p[len(m.delim):], []byte("--")) {
				t.event("multipart_no_filedata")
				t.Files = t.Files[:len(t.Files)-1]
				m.file = nil
			} else {
				m.file.add(p[:max(0, i-2)], limit) // without the end of line before it
				m.endFile()
			}
		}
		n = i + len(m.delim)
		if p[n] == '-' && p[n+1] == '-' {
			m.state = mpEnd
			return len(p), false
		}
		m.state = mpHeaders
		if p[n] == '\r' && p[n+1] == '\n' {
			return n + 2, true
		}
		if p[n] == '\n' {
			return n + 1, true
		}
		return n, true
	case mpHeaders:
		i := bytes.Index(p, []byte("\r\n\r\n"))
		if bytes.HasPrefix(p, []byte("\r\n")) {
			m.state = mpData
			return 2, true
		}
		if i < 0 {
			if len(p) > maxMultiHeaders {
				t.event("multipart_generic_error")
				m.state = mpEnd
				return len(p), false
			}
			return 0, false
		}
		m.part(t, p[:i])
		m.state = mpData
		return i + 4, true
	}
	return len(p), false
}

// part reads the headers of a part and opens its file if it has one.
func (m *multipart) part(t *HTTPTx, p []byte) {
	m.file = nil
	for len(p) > 0 {
		line := p
		if i := bytes.Index(p, []byte("\r\n")); i >= 0 {
			line, p = p[:i], p[i+2:]
		} else {
			p = nil
		}
		i := bytes.IndexByte(line, ':')
		if i < 0 {
			t.event("multipart_invalid_header")
			continue
		}
		if !equalFold(bytes.TrimSpace(line[:i]), "content-disposition") {
			continue
		}
		name, ok := paramValue(line[i+1:], "filename=")
		if !ok || m.files >= maxMultiFiles {
			continue
		}
		if len(name) > maxFileName {
			t.event("file_name_too_long")
			name = name[:maxFileName]
		}
		m.files++
		m.file = &File{Name: append([]byte(nil), name...), Dir: ToServer}
		t.Files = append(t.Files, m.file)
	}
}

func (m *multipart) endFile() {
	m.file.Done = true
	m.file = nil
}

// finish: the body is complete.
func (m *multipart) finish(t *HTTPTx, limit int) {
	if m.file != nil {
		m.file.add(bytes.TrimSuffix(m.buf, []byte("\r\n")), limit)
		m.endFile()
	}
	m.buf = m.buf[:0]
	m.state = mpEnd
}

// paramValue finds a parameter of a header value, such as "filename=": the
// pieces between semicolons that are not in quotes, without regard to case. One
// quote at each end of the value goes.
func paramValue(v []byte, name string) ([]byte, bool) {
	v = bytes.TrimLeft(v, " \t\r\n\v\f")
	quoted := false
	from := 0
	for i := 1; i < len(v); i++ {
		if v[i] == '"' && v[i-1] != '\\' {
			quoted = !quoted
		}
		last := i+1 == len(v)
		if quoted || !last && (v[i] != ';' || v[i-1] == '\\') {
			continue
		}
		tok := v[from:i]
		if last {
			tok = v[from:]
		}
		for from = i + 1; from < len(v) && isSpace(v[from]); from++ {
			i++
		}
		if len(tok) <= len(name) || !equalFold(tok[:len(name)], name) {
			continue
		}
		tok = tok[len(name):]
		if tok[0] == '"' {
			tok = tok[1:]
		}
		if n := len(tok); n > 0 && tok[n-1] == '"' {
			tok = tok[:n-1]
		}
		return tok, true
	}
	return nil, false
}
