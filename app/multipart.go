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
)

// begin reads the boundary of a Content-Type; false if it is not
// multipart/form-data.
func (m *multipart) begin(ct []byte) bool {
	*m = multipart{delim: m.delim[:0], buf: m.buf[:0]}
	if indexFold(ct, "multipart/form-data") < 0 {
		return false
	}
	i := indexFold(ct, "boundary=")
	if i < 0 {
		return false
	}
	b := ct[i+len("boundary="):]
	if len(b) > 0 && b[0] == '"' {
		b = b[1:]
		if j := bytes.IndexByte(b, '"'); j >= 0 {
			b = b[:j]
		}
	} else if j := bytes.IndexAny(b, "; ,"); j >= 0 {
		b = b[:j]
	}
	if len(b) == 0 || len(b) > 200 {
		return false
	}
	m.delim = append(append(m.delim, "--"...), b...)
	return true
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
			end := i
			if end > 0 && p[end-1] == '\n' {
				end--
				if end > 0 && p[end-1] == '\r' {
					end--
				}
			}
			m.file.add(p[:end], limit)
			m.endFile()
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
		name, ok := dispositionName(line[i+1:])
		if !ok || len(name) == 0 || m.files >= maxMultiFiles {
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
		m.file.add(m.buf, limit)
		m.endFile()
	} else if m.state == mpStart {
		t.event("multipart_no_filedata")
	}
	m.buf = m.buf[:0]
	m.state = mpEnd
}

// dispositionName finds the file name in a Content-Disposition.
func dispositionName(v []byte) ([]byte, bool) {
	for from := 0; ; {
		i := indexFold(v[from:], "filename=")
		if i < 0 {
			return nil, false
		}
		i += from
		if i > 0 && !isSpace(v[i-1]) && v[i-1] != ';' && v[i-1] != '"' {
			from = i + 1
			continue
		}
		n := v[i+len("filename="):]
		if len(n) > 0 && n[0] == '"' {
			n = n[1:]
			for j := 0; j < len(n); j++ {
				if n[j] == '"' && (j == 0 || n[j-1] != '\\') {
					return n[:j], true
				}
			}
			return n, true
		}
		if j := bytes.IndexAny(n, "; \t"); j >= 0 {
			n = n[:j]
		}
		return n, true
	}
}
