package app

import "bytes"

// response takes one step on the bytes from the server. ok is false when more
// bytes are needed.
func (p *http1) response(c *Conn, s *httpSide, data []byte) (n int, ok bool) {
	switch s.state {
	case hsIdle:
		return p.responseIdle(c, s, data)
	case hsLine:
		return p.responseLine(c, s, data)
	case hsHeaders:
		return p.responseHeaders(c, s, data)
	case hsBodyLength:
		n = int(min(uint64(len(data)), s.left))
		p.bodyData(c, ToClient, s.tx, data[:n])
		if s.left -= uint64(n); s.left == 0 {
			p.endMessage(c, ToClient, s)
		}
		return n, true
	case hsBodyClose:
		p.bodyData(c, ToClient, s.tx, data)
		return len(data), true
	case hsChunkLength:
		return p.responseChunk(c, s, data)
	case hsChunkData:
		n = int(min(uint64(len(data)), s.left))
		p.bodyData(c, ToClient, s.tx, data[:n])
		if s.left -= uint64(n); s.left == 0 {
			s.state = hsChunkEnd
		}
		return n, true
	case hsChunkEnd:
		n = len(data)
		if i := bytes.IndexByte(data, '\n'); i >= 0 {
			s.state = hsChunkLength
			n = i + 1
		}
		s.tx.wire[ToClient] += uint64(n)
		return n, true
	case hsExtra:
		return p.extra(c, ToClient, s, data)
	default:
		return len(data), true
	}
}

// looksHTTP says whether a line begins like a status line. more: too few bytes
// to tell.
func looksHTTP(p []byte) (yes, more bool) {
	i := 0
	for i < len(p) && (isSpace(p[i]) || p[i] == 0) {
		i++
	}
	q := p[i:min(len(p), i+4)]
	if len(q) < 4 {
		return false, equalFold(q, "http"[:len(q)])
	}
	return equalFold(q, "http"), false
}

// responseIdle stands between two responses. What follows a response and does
// not look like another belongs to its body.
func (p *http1) responseIdle(c *Conn, s *httpSide, data []byte) (int, bool) {
	if t := s.tx; t != nil && !t.Finished && t.kind != methodConnect {
		lf := 0
		for i := 0; i < len(data) && isSpace(data[i]); i++ {
			if data[i] == '\n' {
				lf = i + 1
			}
		}
		if lf > 0 {
			p.bodyData(c, ToClient, t, data[:lf])
			return lf, true // blank lines
		}
		yes, more := looksHTTP(data)
		if more && len(data) < 64 {
			return 0, false
		}
		if !yes {
			p.beginExtra(ToClient, s)
			return 0, true
		}
		p.bodyDone(c, ToClient, t)
	}
	s.tx = nil
	if len(p.waiting) > 0 {
		s.tx = p.waiting[0]
		copy(p.waiting, p.waiting[1:])
		p.waiting[len(p.waiting)-1] = nil
		p.waiting = p.waiting[:len(p.waiting)-1]
	} else {
		// A response to nothing that was seen.
		t := p.newTx(c, ToClient)
		t.event("unable_to_match_response_to_request")
		t.msg[ToServer].line = append(t.msg[ToServer].line[:0], notSeen...)
		t.uriRaw = span2{0, len(notSeen), true}
		t.reach(ToServer, StageComplete)
		s.tx = t
	}
	t := s.tx
	t.msg[ToClient].started = true
	s.open = true
	s.trailer, s.chunked, s.junk = false, false, false
	if q := &p.side[ToServer]; q.tx == t && q.state == hsExtra {
		// The server did not wait for the end of what stands behind the request:
		// that is body as far as it came, and the request complete, without its
		// raw bytes being due.
		if rest := c.buf[ToServer]; len(rest) > 0 {
			t.event("request_body_unexpected")
			p.bodyData(c, ToServer, t, rest)
			c.parsed[ToServer] += uint64(len(rest))
			c.clearBuf(ToServer)
			q.scan = 0
		}
		p.endMessage(c, ToServer, q)
		t.told |= 1 << ToServer
	}
	if !t.Done(ToServer) && p.side[ToServer].tx == t && p.side[ToServer].state == hsLine {
		t.event("request_line_incomplete")
	}
	if r := &p.side[ToServer]; r.tx == t && r.state == hsExtra {
		// Half a line behind the request does not keep it open any longer.
		half := c.buf[ToServer]
		c.buf[ToServer] = nil
		c.parsed[ToServer] += uint64(len(half))
		p.bodyData(c, ToServer, t, half)
		p.endMessage(c, ToServer, r)
		t.told |= 1 << ToServer
		r.scan = 0
		c.env.putBuf(half)
	}
	s.state = hsLine
	return 0, true
}

// notSeen is what libhtp gives for the URI of a request that was not seen.
const notSeen = "/libhtp::request_uri_not_seen"

// httpJunkAfter is how long a line may be that does not begin like a status
// line; a longer one is a body already.
const httpJunkAfter = 512

func (p *http1) responseLine(c *Conn, s *httpSide, data []byte) (int, bool) {
	t := s.tx
	if s.junk {
		// The rest of a line that is a body already.
		n := len(data)
		if i := bytes.IndexByte(data, '\n'); i >= 0 {
			n = i + 1
			s.junk = false
		}
		p.bodyData(c, ToClient, t, data[:n])
		return n, true
	}
	// The line ends at LF, or at a CR alone.
	end, n := -1, 0
	i := bytes.IndexAny(data, "\r\n")
	if i >= httpJunkAfter {
		if yes, _ := looksHTTP(data); !yes {
			i = -1 // the decision below would fall before its end was seen
		}
	}
	if i >= 0 {
		switch {
		case data[i] == '\n':
			end, n = i, i+1
		case i+1 == len(data):
			return 0, false
		case data[i+1] == '\n':
			end, n = i, i+2
		default:
			end, n = i, i+1
		}
	}
	if end < 0 {
		if yes, more := looksHTTP(data); !yes && !more && len(data) >= httpJunkAfter {
			p.startJunk(c, t)
			s.junk = true
			return 0, true
		}
		if len(data) >= httpLineMax {
			p.tooLong(c, ToClient, s, data)
		}
		return 0, false
	}
	if emptyLine(data[:n]) {
		return n, true
	}
	line := data[:end]
	if yes, _ := looksHTTP(line); !yes {
		if n == len(data) {
			return 0, false // what comes next decides
		}
		if data[n] == 'H' || len(line) <= 2 {
			return n, true // noise before the status line
		}
		p.startJunk(c, t)
		p.bodyData(c, ToClient, t, data[:n])
		return n, true
	}
	if t.interim > 0 {
		// Between an interim response and the next, nothing ends the raw headers.
		m := &t.msg[ToClient]
		m.raw = append(m.raw, data[:n]...)
	}
	p.takeStatusLine(c, s, line)
	return n, true
}

// startJunk begins a body that came instead of a status line.
func (p *http1) startJunk(c *Conn, t *HTTPTx) {
	if p.dec[ToClient] == nil || p.dec[ToClient].tx != t {
		p.beginBody(c, ToClient, t)
	}
}

func (p *http1) takeStatusLine(c *Conn, s *httpSide, line []byte) {
	t := s.tx
	m := &t.msg[ToClient]
	m.line = append(m.line[:0], line...)
	line = m.line
	t.statCode, t.statMsg, m.protocol = span2{}, span2{}, span2{}
	t.status = -1
	m.version = httpInvalid
	pos := 0
	for pos < len(line) && isSpace(line[pos]) {
		pos++
	}
	start := pos
	for pos < len(line) && !isSpace(line[pos]) {
		pos++
	}
	if pos > start {
		m.protocol = span2{start, pos - start, true}
		m.version = httpVersion(line[start:pos])
	}
	for pos < len(line) && isSpace(line[pos]) {
		pos++
	}
	start = pos
	for pos < len(line) && !isSpace(line[pos]) {
		pos++
	}
	if pos > start {
		t.statCode = span2{start, pos - start, true}
		t.status = statusNumber(line[start:pos])
	}
	for pos < len(line) && isSpace(line[pos]) {
		pos++
	}
	if pos < len(line) {
		t.statMsg = span2{pos, len(line) - pos, true}
	}
	if m.version == httpInvalid {
		t.event("response_invalid_protocol")
	}
	if t.status < 0 {
		t.event("response_invalid_status")
	}
	t.reach(ToClient, StageLine)
	s.state = hsHeaders
	s.trailer = false
}

func statusNumber(p []byte) int {
	n := 0
	i := 0
	for ; i < len(p) && p[i] >= '0' && p[i] <= '9' && n < 10000; i++ {
		n = n*10 + int(p[i]-'0')
	}
	if i == 0 || i < len(p) || n < 100 || n > 999 {
		return -1
	}
	return n
}

// responseHeaders takes one header line. Its end is LF, CR LF, LF CR or a CR
// that another byte follows.
func (p *http1) responseHeaders(c *Conn, s *httpSide, data []byte) (int, bool) {
	end, n, swallow, lfcr := s.responseLineEnd(data)
	m := &s.tx.msg[ToClient]
	if n == 0 {
		if len(data) >= httpLineMax {
			p.tooLong(c, ToClient, s, data)
		} else {
			p.headerEnds(c, ToClient, s, m, data)
		}
		return 0, false
	}
	line := data[:n]
	if len(m.raw)+n > httpHeadersMax {
		s.tx.event("response_field_too_long")
		c.fail()
		return n, false
	}
	blank := end == 0
	if !blank && end == 1 && isLWS(data[0]) && data[n-1] == '\n' && n == 2 {
		if n == len(data) {
			return 0, false
		}
		blank = data[n] != '\n'
	}
	s.lfcr = lfcr
	off := len(m.raw)
	m.raw = append(m.raw, line...)
	if !blank {
		p.headerLine(c, ToClient, s, m, off, m.raw[off:off+end])
		p.headerEnds(c, ToClient, s, m, data[n:])
		return n, true
	}
	m.raw = append(m.raw, data[n:n+swallow]...)
	n += swallow
	p.flushHeader(c, ToClient, s, m)
	s.lfcr = false
	p.responseHeadersDone(c, s)
	return n, true
}

// responseLineEnd finds the end of a header line: end is the length of its
// text, n with the line end, 0 if that is not there yet. A CR ends a line
// unless LF or another CR follows or it is the line's first byte. swallow are
// bytes of a mix of line ends that count as one blank line.
func (s *httpSide) responseLineEnd(data []byte) (end, n, swallow int, lfcr bool) {
	from := s.scan
	if from > len(data) {
		from = 0
	}
	for {
		i := bytes.IndexAny(data[from:], "\r\n")
		if i < 0 {
			s.scan = len(data)
			return 0, 0, 0, false
		}
		i += from
		s.scan = i
		if i+1 == len(data) && (data[i] == '\r' || i > 0) {
			return 0, 0, 0, false
		}
		if data[i] == '\n' {
			if i > 0 && data[i+1] == '\r' {
				return i, i + 2, 0, true
			}
			return i, i + 1, 0, false
		}
		switch data[i+1] {
		case '\r':
			from = i + 1
			continue
		case '\n':
			if s.lfcr && i == 0 { // LF CR, CR LF, CR LF
				switch q := data[2:]; {
				case len(q) == 0 || len(q) == 1 && q[0] == '\r':
					return 0, 0, 0, false
				case len(q) > 1 && q[0] == '\r' && q[1] == '\n':
					swallow = 2
				}
			}
			return i, i + 2, swallow, false
		}
		if i == 0 {
			from = 1
			continue
		}
		return i, i + 1, 0, false
	}
}

// responseHeadersDone decides where the response ends (RFC 9112, section 6.3,
// and what browsers make of it).
func (p *http1) responseHeadersDone(c *Conn, s *httpSide) {
	if c.flags&flagDone != 0 {
		return
	}
	t := s.tx
	m := &t.msg[ToClient]
	m.hasRaw = true
	m.built = 0
	if s.trailer {
		t.reach(ToClient, StageTrailer)
		t.Trailers |= DirTC
		p.endMessage(c, ToClient, s)
		return
	}
	te, hasTE := m.value(hdrTransferEnc)
	cl := m.get(hdrContentLen)
	if t.kind == methodConnect && t.status >= 200 && t.status <= 299 {
		t.reach(ToClient, StageHeaders)
		p.tunnel(c, s, Unknown)
		return
	}
	if t.status == 101 && !hasTE && cl == nil {
		t.reach(ToClient, StageHeaders)
		p.upgrade(c, s)
		return
	}
	if t.status == 100 && !hasTE {
		n := int64(0)
		if cl != nil {
			n, _ = contentLength(m.at(cl.value))
		}
		if n <= 0 {
			if t.interim++; t.interim > 1 {
				t.event("100_continue_already_seen")
			}
			m.clearHeaders()
			s.state = hsLine
			return
		}
	}
	if q := &p.side[ToServer]; t.status >= 400 && t.status <= 499 && q.tx == t && q.state == hsBodyLength && t.body[ToServer].Total == 0 {
		if v, ok := t.msg[ToServer].value(hdrExpect); ok && equalFold(v, "100-continue") {
			p.endMessage(c, ToServer, q) // the client will not send the body
		}
	}
	noBody := t.kind == methodHead ||
		(t.status >= 100 && t.status <= 199 || t.status == 204 || t.status == 304) && !hasTE && cl == nil
	bad := Event("")
	switch ct, ok := m.value(hdrContentType); {
	case noBody || hasTE && indexFoldNUL(te, "chunked") >= 0:
	case cl != nil:
		if n, _ := contentLength(m.at(cl.value)); n < 0 {
			bad = "invalid_content_length_field_in_response"
		}
	case ok && indexFold(ct, "multipart/byteranges") >= 0:
		bad = "response_multipart_byteranges"
	}
	if bad != "" {
		t.event(bad)
		m.hasRaw = false // the block is not taken for complete
		c.fail()
		return
	}
	t.reach(ToClient, StageHeaders)
	if noBody {
		p.endMessage(c, ToClient, s)
		return
	}
	p.beginBody(c, ToClient, t)
	switch {
	case hasTE && indexFoldNUL(te, "chunked") >= 0:
		if !equalFold(te, "chunked") {
			t.event("response_abnormal_transfer_encoding")
		}
		if m.version < http11 {
			t.event("response_chunked_old_proto")
		}
		s.chunked = true
		s.state = hsChunkLength
	case cl != nil:
		n, _ := contentLength(m.at(cl.value))
		if n == 0 {
			p.endMessage(c, ToClient, s)
			return
		}
		s.left = uint64(n)
		s.state = hsBodyLength
	default:
		s.state = hsBodyClose
	}
}

// indexFoldNUL is indexFold over p without its NUL bytes.
func indexFoldNUL(p []byte, s string) int {
	if bytes.IndexByte(p, 0) < 0 {
		return indexFold(p, s)
	}
	var b [256]byte
	q := b[:0]
	for _, x := range p {
		if x != 0 && len(q) < len(b) {
			q = append(q, x)
		}
	}
	return indexFold(q, s)
}

// responseChunk reads a chunk length. What is none ends the chunks: the rest,
// that line included, is taken as it is.
func (p *http1) responseChunk(c *Conn, s *httpSide, data []byte) (int, bool) {
	i := bytes.IndexByte(data[min(s.scan, len(data)):], '\n')
	if i < 0 {
		// Eight bytes are enough to see that it is no number.
		if len(data) >= 8 {
			for _, b := range data {
				if hexVal(b) >= 0 {
					break
				}
				if !chunkCtl(b) {
					p.notChunked(s, data)
					return 0, true
				}
			}
		}
		s.scan = len(data)
		if len(data) >= httpLineMax {
			p.notChunked(s, data)
			return 0, true
		}
		return 0, false
	}
	n := min(s.scan, len(data)) + i + 1
	size, ext := chunkLength(chomp(data[:n]))
	if ext && size >= 0 {
		s.tx.eventAgain("request_chunk_extension") // of a response, but so it is called
	}
	switch {
	case size > 0:
		s.left, s.state = uint64(size), hsChunkData
	case size == 0:
		p.beginTrailer(c, ToClient, s)
	case size == -4: // an empty line: on to the next
	default:
		p.notChunked(s, data[:n])
		return 0, true
	}
	s.tx.wire[ToClient] += uint64(n)
	return n, true
}

// notChunked ends the chunks at data, which is no length: the rest is taken as
// it is. What was looked at of it counts twice for the length of the body.
func (p *http1) notChunked(s *httpSide, data []byte) {
	n := len(data)
	for i, b := range data {
		if hexVal(b) >= 0 {
			break
		}
		if !chunkCtl(b) {
			n = i + 1
			break
		}
	}
	s.tx.wire[ToClient] += uint64(n)
	s.tx.event("invalid_response_chunk_len")
	s.state = hsBodyClose
	s.chunked = false
	s.scan = 0
}

// responseDone follows the end of a response: a request that waited for it may
// go on.
func (p *http1) responseDone(c *Conn, s *httpSide) {
	q := &p.side[ToServer]
	if q.state == hsConnectWait && q.tx == s.tx {
		p.endMessage(c, ToServer, q)
		c.wake(ToServer)
	}
}

// tunnel ends HTTP on this connection: what follows is another protocol.
func (p *http1) tunnel(c *Conn, s *httpSide, next Proto) {
	t := s.tx
	for d := range t.Progress {
		p.bodyDone(c, Dir(d), t)
		t.reach(Dir(d), StageComplete)
	}
	if next == Unknown {
		c.recogniseAnew(Unknown, 0)
		return
	}
	c.changeProto(next)
}

// upgrade follows a response "101 Switching Protocols".
func (p *http1) upgrade(c *Conn, s *httpSide) {
	t := s.tx
	v, _ := t.msg[ToClient].value(hdrUpgrade)
	switch {
	case equalFold(v, "h2c") && t.From == ToClient:
		t.event("failed_protocol_change")
		t.msg[ToClient].hasRaw = false // the block is not taken for complete
		c.stop()
	case equalFold(v, "h2c"):
		t.msg[ToClient].hasRaw = false // the block is not taken for complete
		p.tunnel(c, s, HTTP2)
		if q, ok := c.parser.(*http2); ok {
			q.mimic(c, t)
		}
	default:
		for d := range t.Progress {
			p.bodyDone(c, Dir(d), t)
			t.reach(Dir(d), StageComplete)
		}
		c.stop()
	}
}

func (p *http1) closeResponse(c *Conn, s *httpSide, tail []byte) {
	t := s.tx
	switch s.state {
	case hsExtra:
		p.bodyData(c, ToClient, t, tail)
	case hsIdle:
		if t != nil && len(tail) > 0 && !t.Finished && t.kind != methodConnect {
			p.bodyData(c, ToClient, t, tail)
			p.bodyDone(c, ToClient, t)
		}
	case hsLine:
		line := bytes.TrimRight(tail, "\r\n")
		if len(line) == 0 {
			return
		}
		if yes, _ := looksHTTP(line); yes && !s.junk {
			p.takeStatusLine(c, s, line)
			t.msg[ToClient].hasRaw = true
			return
		}
		p.startJunk(c, t)
		p.bodyData(c, ToClient, t, tail)
	case hsHeaders:
		p.closeHeaders(c, ToClient, s, tail)
	case hsChunkLength:
		if len(tail) > 0 {
			p.bodyData(c, ToClient, t, tail)
		}
	}
}
