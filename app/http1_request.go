package app

import "bytes"

// request takes one step on the bytes from the client. ok is false when more
// bytes are needed.
func (p *http1) request(c *Conn, s *httpSide, data []byte) (n int, ok bool) {
	switch s.state {
	case hsIdle:
		return p.requestIdle(c, s, data)
	case hsLine:
		return p.requestLine(c, s, data)
	case hsHeaders:
		return p.requestHeaders(c, s, data)
	case hsConnectWait:
		for n < len(data) && (data[n] == '\r' || data[n] == '\n') {
			n++ // blank lines are not the tunnel's yet
		}
		return n, false
	case hsBodyLength:
		n = int(min(uint64(len(data)), s.left))
		p.bodyData(c, ToServer, s.tx, data[:n])
		if s.left -= uint64(n); s.left == 0 {
			p.endMessage(c, ToServer, s)
		}
		return n, true
	case hsChunkLength:
		n = p.line(c, ToServer, s, data)
		if n == 0 {
			return 0, false
		}
		size, ext := chunkLength(chomp(data[:n]))
		if ext {
			s.tx.eventAgain("request_chunk_extension")
		}
		switch {
		case size > 0:
			s.left, s.state = uint64(size), hsChunkData
		case size == 0:
			p.beginTrailer(c, ToServer, s)
		default:
			s.tx.event("invalid_request_chunk_len")
			c.fail()
			return n, false
		}
		return n, true
	case hsChunkData:
		n = int(min(uint64(len(data)), s.left))
		p.bodyData(c, ToServer, s.tx, data[:n])
		if s.left -= uint64(n); s.left == 0 {
			s.state = hsChunkEnd
		}
		return n, true
	case hsChunkEnd:
		if i := bytes.IndexByte(data, '\n'); i >= 0 {
			s.state = hsChunkLength
			return i + 1, true
		}
		return len(data), true
	case hsExtra:
		return p.extra(c, ToServer, s, data)
	default: // hsIgnore
		return len(data), true
	}
}

// requestIdle stands between two requests. What follows a request and does not
// begin with a method is taken for a body that was not announced, as long as
// the server has not begun to answer.
func (p *http1) requestIdle(c *Conn, s *httpSide, data []byte) (int, bool) {
	if t := s.tx; t != nil && t.Progress[ToClient] == StageStarted && !t.msg[ToClient].started && !t.Finished && p.holds(t) {
		i, lf := 0, 0
		for i < len(data) && isSpace(data[i]) {
			if i++; data[i-1] == '\n' {
				lf = i
			}
		}
		if lf > 0 {
			p.bodyData(c, ToServer, t, data[:lf])
			return lf, true // blank lines
		}
		switch startsRequest(data[i:]) {
		case more:
			if i < 64 {
				return 0, false
			}
			fallthrough
		case no:
			p.beginExtra(ToServer, s)
			return 0, true
		}
	}
	p.bodyDone(c, ToServer, s.tx)
	s.tx = nil
	s.state = hsLine
	return 0, true
}

// undecided says whether bytes behind the last request, of a line without its
// end so far, may still become a body of it; rest, whether any wait.
func (p *http1) undecided(rest bool) bool {
	switch p.side[ToServer].state {
	case hsExtra:
		return true
	case hsIdle, hsLine:
		return rest
	}
	return false
}

// startsRequest says whether a line begins with a method that is known, or
// with a word in capitals and a path.
func startsRequest(p []byte) answer {
	n := 0
	for n < len(p) && !isSpace(p[n]) {
		if n++; n > 20 {
			return no
		}
	}
	if n < len(p) {
		if methodOf(p[:n]) != methodUnknown {
			return yes
		}
		for _, b := range p[:n] {
			if b < 'A' || b > 'Z' {
				return no
			}
		}
		if n+1 == len(p) {
			return more
		}
		return decided(n >= 3 && p[n] == ' ' && p[n+1] == '/')
	}
	for _, b := range p {
		if (b < 'A' || b > 'Z') && b != '-' {
			return no
		}
	}
	return more
}

func (p *http1) requestLine(c *Conn, s *httpSide, data []byte) (int, bool) {
	n := p.line(c, ToServer, s, data)
	if n == 0 {
		if c.flags&flagDone == 0 && s.tx == nil && len(bytes.TrimSpace(data)) > 0 {
			p.beginRequest(c, s)
		}
		return 0, false
	}
	if len(bytes.TrimSpace(data[:n])) == 0 {
		return n, true // blank lines before a request mean nothing
	}
	if s.tx == nil {
		p.beginRequest(c, s)
	}
	p.takeRequestLine(c, s, chomp(data[:n]))
	return n, true
}

func (p *http1) beginRequest(c *Conn, s *httpSide) {
	s.tx = p.newTx(c, ToServer)
	s.tx.msg[ToServer].started = true
	s.open = true
	s.trailer, s.chunked = false, false
	p.waiting = append(p.waiting, s.tx)
}

// takeRequestLine parses a request line without its end.
func (p *http1) takeRequestLine(c *Conn, s *httpSide, line []byte) {
	t := s.tx
	m := &t.msg[ToServer]
	m.line = append(m.line[:0], line...)
	line = m.line
	pos := 0
	for pos < len(line) && isSpace(line[pos]) {
		pos++
	}
	if pos > 0 {
		t.event("request_line_leading_whitespace")
	}
	start := pos
	for pos < len(line) && !isSpace(line[pos]) {
		pos++
	}
	t.method = span2{start, pos - start, true}
	t.kind = methodOf(line[start:pos])
	odd := false
	for pos < len(line) && isSpace(line[pos]) {
		odd = odd || line[pos] != ' '
		pos++
	}
	if odd {
		t.event("method_delim_non_compliant")
	}
	m.version = http09
	if pos == len(line) {
		// Only a method.
		if t.kind == methodUnknown {
			t.event("request_line_invalid")
		}
		p.afterRequestLine(c, s)
		return
	}
	// The URI goes to the next space; only if there is none does other white
	// space end it.
	start = pos
	odd = false
	for pos < len(line) && line[pos] != ' ' {
		odd = odd || isSpace(line[pos])
		pos++
	}
	if odd && pos == len(line) {
		pos = start
		for pos < len(line) && !isSpace(line[pos]) {
			pos++
		}
	}
	if odd {
		t.event("uri_delim_non_compliant")
	}
	uriEnd := pos
	for pos < len(line) && isSpace(line[pos]) {
		pos++
	}
	t.uriRaw = span2{start, uriEnd - start, true}
	if pos < len(line) {
		m.protocol = span2{pos, len(line) - pos, true}
		m.version = httpVersion(line[pos:])
	}
	p.afterRequestLine(c, s)
}

// afterRequestLine takes the URI apart and decides what comes next.
func (p *http1) afterRequestLine(c *Conn, s *httpSide) {
	t := s.tx
	if t.uriRaw.present {
		t.takeURI(c.http())
	}
	t.tellOdd()
	t.reach(ToServer, StageLine)
	// Headers may follow even if there is no protocol: HTTP/0.9 is dead, but
	// servers take requests of that look.
	s.state = hsHeaders
}

func (p *http1) requestHeaders(c *Conn, s *httpSide, data []byte) (int, bool) {
	n := p.line(c, ToServer, s, data)
	m := &s.tx.msg[ToServer]
	if n == 0 {
		p.headerEnds(c, ToServer, s, m, data)
		return 0, false
	}
	line := data[:n]
	end := emptyLine(line)
	if !end && n == 2 && isLWS(line[0]) {
		// A blank line ends the headers unless an empty one comes behind it.
		if n == len(data) {
			return 0, false
		}
		end = data[n] != '\n'
	}
	if len(m.raw)+n > httpHeadersMax {
		s.tx.event("request_field_too_long")
		c.fail()
		return n, false
	}
	off := len(m.raw)
	m.raw = append(m.raw, line...)
	if !end {
		p.headerLine(c, ToServer, s, m, off, line)
		p.headerEnds(c, ToServer, s, m, data[n:])
		return n, true
	}
	p.flushHeader(c, ToServer, s, m)
	p.requestHeadersDone(c, s)
	return n, true
}

// httpHeadersMax bounds the header block of a message, in bytes.
const httpHeadersMax = 1 << 20

func (p *http1) requestHeadersDone(c *Conn, s *httpSide) {
	if c.flags&flagDone != 0 {
		return
	}
	t := s.tx
	m := &t.msg[ToServer]
	m.hasRaw = true
	m.built = 0
	if s.trailer {
		t.tellOdd()
		t.reach(ToServer, StageTrailer)
		t.Trailers |= DirTS
		p.endMessage(c, ToServer, s)
		return
	}
	invalid := false
	te, hasTE := m.value(hdrTransferEnc)
	cl := m.get(hdrContentLen)
	s.left = 0
	switch {
	case hasTE:
		if !hasToken(te, "chunked") {
			t.odd |= oddTransferEncoding
			invalid = true
			break
		}
		if m.version < http11 {
			t.odd |= oddTransferEncoding
		}
		s.chunked = true
	case cl != nil:
		n, _ := contentLength(m.at(cl.value))
		if n < 0 {
			t.odd |= oddContentLength
			invalid = true
			break
		}
		s.left = uint64(n)
	}
	t.takeHost(m)
	if t.port == 0 {
		t.port = -1
	}
	if v, ok := m.value(hdrAuthorization); ok {
		invalid = !t.checkAuth(v) || invalid
	}
	t.tellOdd()
	if invalid {
		m.hasRaw = false // the block is not taken for complete
		c.fail()
		return
	}
	t.reach(ToServer, StageHeaders)
	p.beginBody(c, ToServer, t)
	switch {
	case t.kind == methodConnect:
		s.state = hsConnectWait
		p.finishRequest(c, s)
		s.open = true
	case s.chunked:
		s.state = hsChunkLength
	case s.left > 0:
		s.state = hsBodyLength
	default:
		p.endMessage(c, ToServer, s)
	}
}

// hasToken finds a token in a list that commas separate.
func hasToken(v []byte, tok string) bool {
	for len(v) > 0 {
		var e []byte
		if i := bytes.IndexByte(v, ','); i >= 0 {
			e, v = v[:i], v[i+1:]
		} else {
			e, v = v, nil
		}
		if equalFold(bytes.Trim(e, " \t"), tok) {
			return true
		}
	}
	return false
}

// finishRequest marks a request complete.
func (p *http1) finishRequest(c *Conn, s *httpSide) {
	s.open = false
	s.tx.reach(ToServer, StageComplete)
}

// endMessage ends the message under way in direction d.
func (p *http1) endMessage(c *Conn, d Dir, s *httpSide) {
	t := s.tx
	p.bodyDone(c, d, t)
	s.open = false
	s.hasPending = false
	s.state = hsIdle
	s.trailer, s.chunked = false, false
	t.reach(d, StageComplete)
	if d == ToServer {
		if t.kind != methodConnect {
			t.tellOdd()
		}
		return
	}
	p.responseDone(c, s)
}

func (p *http1) closeRequest(c *Conn, s *httpSide, tail []byte) {
	switch s.state {
	case hsLine:
		if len(tail) > 0 && s.tx != nil {
			p.takeRequestLine(c, s, chomp(tail))
			s.tx.msg[ToServer].hasRaw = true
		}
	case hsBodyLength, hsChunkLength, hsChunkData, hsChunkEnd:
		for _, f := range s.tx.Files {
			f.Truncated = f.Truncated || f.Dir == ToServer && !f.Done
		}
	case hsHeaders:
		p.closeHeaders(c, ToServer, s, tail)
	case hsExtra:
		p.bodyData(c, ToServer, s.tx, tail)
	case hsIdle:
		if s.tx != nil && len(tail) > 0 && s.tx.Progress[ToClient] == StageStarted && !s.tx.msg[ToClient].started {
			p.bodyData(c, ToServer, s.tx, tail)
		}
		p.bodyDone(c, ToServer, s.tx)
	}
}

// closeHeaders ends a header block that the connection's end cut off. A line
// without an end is not taken for a header.
func (p *http1) closeHeaders(c *Conn, d Dir, s *httpSide, tail []byte) {
	m := &s.tx.msg[d]
	p.flushHeader(c, d, s, m)
	m.raw = append(m.raw, tail...)
	m.hasRaw = s.trailer || d == ToServer || len(tail) == 0
	m.built = 0
	s.tx.wire[d] += uint64(len(tail)) // what is no line counts as body
}
