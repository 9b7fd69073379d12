package app

import "bytes"

// httpLineMax bounds a request line, status line, header line or chunk length
// line, in bytes. Longer ones end the parsing of the connection, as they do
// in libhtp.
const httpLineMax = 18000

// maxHeaderReps bounds how often headers may be joined in one message.
const maxHeaderReps = 64

// maxFolded bounds a folded header, in bytes.
const maxFolded = 10240

type httpState uint8

const (
	hsIdle httpState = iota
	hsLine
	hsHeaders     // and trailers
	hsConnectWait // CONNECT was sent, the answer decides
	hsBodyLength
	hsBodyClose
	hsChunkLength
	hsChunkData
	hsChunkEnd
	hsExtra  // a line behind a message that ended: it belongs to it
	hsIgnore // nothing of this direction matters any more
)

// http1 parses HTTP/1 as libhtp does with the personality IDS: forgiving, so
// that it sees what some server or browser would.
type http1 struct {
	side [2]httpSide
	// waiting are the transactions without a response, oldest first.
	waiting []*HTTPTx
	dec     [2]*decoderChain
}

// httpSide is the state of one direction.
type httpSide struct {
	tx    *HTTPTx // under way, or the last one
	state httpState
	scan  int    // bytes of the unconsumed ones that hold no LF
	left  uint64 // bytes of the body or chunk to come
	// pending is the header line read last: the next line may continue it.
	pending    span
	hasPending bool
	folded     bool
	trailer    bool
	chunked    bool
	junk       bool // within a response line that is a body
	open       bool // tx is not complete in this direction
	lfcr       bool // the last line ended in LF CR
	frame      *Frame
}

func newHTTP1() parser { return &http1{} }

func (p *http1) maxPending() int { return httpLineMax }

func (p *http1) reset() {
	clear(p.waiting)
	*p = http1{waiting: p.waiting[:0]}
}

func (p *http1) datagram(*Conn, Dir, []byte) {}

func (p *http1) parse(c *Conn, d Dir, data []byte) (n, need int) {
	s := &p.side[d]
	for n < len(data) && c.flags&(flagDone|flagSwitch|flagWakeTS) == 0 {
		var k int
		var ok bool
		if d == ToServer {
			k, ok = p.request(c, s, data[n:])
		} else {
			k, ok = p.response(c, s, data[n:])
		}
		if c.wantsFrames() {
			p.grow(c, d, s, n, data[n:n+k])
		}
		n += k
		if k > 0 {
			s.scan = 0
		}
		if !ok {
			break
		}
	}
	return n, 0
}

// grow adds what a step has consumed to the frame of the message at hand.
func (p *http1) grow(c *Conn, d Dir, s *httpSide, off int, data []byte) {
	if s.frame == nil && len(chomp(data)) > 0 {
		kind := "request"
		if d == ToClient {
			kind = "response"
		}
		s.frame = c.openFrame(d, kind, off)
	}
	if s.frame == nil {
		return
	}
	if s.frame.Done(d) {
		s.frame = nil
		return
	}
	c.growFrame(s.frame, data)
	if !s.open && s.tx != nil && s.tx.Done(d) {
		s.frame.complete()
		s.frame = nil
	}
}

// line finds the next line; n is its length with the LF, 0 if it is not
// complete. A line that is too long ends everything.
func (p *http1) line(c *Conn, d Dir, s *httpSide, data []byte) int {
	if s.scan > len(data) {
		s.scan = 0
	}
	i := bytes.IndexByte(data[s.scan:], '\n')
	if i >= 0 {
		return s.scan + i + 1
	}
	s.scan = len(data)
	if len(data) >= httpLineMax {
		p.tooLong(c, d, s, data)
	}
	return 0
}

func (p *http1) tooLong(c *Conn, d Dir, s *httpSide, data []byte) {
	e := Event("request_field_too_long")
	if d == ToClient {
		e = "response_field_too_long"
	}
	if s.tx != nil {
		if len(data) > 0 && !isFold(data[0]) {
			p.flushHeader(c, d, s, &s.tx.msg[d])
		}
		s.tx.event(e)
	} else {
		c.event(e)
	}
	c.fail()
}

func isSpace(b byte) bool { return b == ' ' || b >= '\t' && b <= '\r' }
func isLWS(b byte) bool   { return b == ' ' || b == '\t' }
func isFold(b byte) bool  { return b == ' ' || b == '\t' || b == 0 }

// chomp takes the line ends off, however many CRs and LFs there are.
func chomp(p []byte) []byte {
	for len(p) > 0 && (p[len(p)-1] == '\n' || p[len(p)-1] == '\r') {
		p = p[:len(p)-1]
	}
	return p
}

func emptyLine(p []byte) bool {
	return len(p) == 1 && (p[0] == '\n' || p[0] == '\r') || len(p) == 2 && p[0] == '\r' && p[1] == '\n'
}

// isToken says whether b may stand in a header name (RFC 9110, section 5.6.2).
func isToken(b byte) bool {
	if b <= 32 || b >= 127 {
		return false
	}
	switch b {
	case '(', ')', '<', '>', '@', ',', ';', ':', '\\', '"', '/', '[', ']', '?', '=', '{', '}':
		return false
	}
	return true
}

// extra takes a line that belongs to the message before it, once it is whole.
func (p *http1) extra(c *Conn, d Dir, s *httpSide, data []byte) (int, bool) {
	n := p.line(c, d, s, data)
	if n == 0 {
		return 0, false
	}
	if d == ToServer {
		s.tx.event("request_body_unexpected")
	}
	p.bodyData(c, d, s.tx, data[:n])
	p.endMessage(c, d, s)
	return n, true
}

// beginExtra has the message go on that seemed to be complete.
func (p *http1) beginExtra(d Dir, s *httpSide) {
	t := s.tx
	s.state, s.open = hsExtra, true
	t.Progress[d] = min(t.Progress[d], StageHeaders)
	t.told &^= 1 << d
	t.body[d].Done = false
}

// newTx makes a transaction and queues it for its response.
func (p *http1) newTx(c *Conn, from Dir) *HTTPTx {
	t := c.env.newHTTPTx()
	t.Proto = HTTP1
	t.From = from
	c.add(t)
	return t
}

// beginTrailer ends a body in chunks.
func (p *http1) beginTrailer(c *Conn, d Dir, s *httpSide) {
	p.bodyDone(c, d, s.tx)
	s.state, s.trailer = hsHeaders, true
}

var foldingEvent = [2]Event{"invalid_request_field_folding", "invalid_response_field_folding"}

// headerLine takes one more line of a header block, with its end; line stands
// in m.raw at off already. It says whether the block is complete.
func (p *http1) headerLine(c *Conn, d Dir, s *httpSide, m *httpMsg, off int, line []byte) {
	text := chomp(line)
	at := span{uint32(off), uint32(len(text))}
	if len(text) == 0 || !isFold(text[0]) {
		p.flushHeader(c, d, s, m)
		if len(text) == 0 { // nothing but CRs
			s.tx.event(foldingEvent[d])
		}
		s.pending, s.hasPending, s.folded = at, true, false
		return
	}
	if !s.hasPending {
		s.tx.event(foldingEvent[d])
		trim := 0
		for trim < len(text) && isFold(text[trim]) {
			trim++
		}
		s.pending = span{at.off + uint32(trim), at.n - uint32(trim)}
		s.hasPending, s.folded = true, false
		return
	}
	if d == ToClient && m.version == http11 && bytes.IndexByte(text, ':') >= 0 && bytes.IndexByte(m.at(s.pending), ':') >= 0 {
		// Folding is not allowed any more; clients take it for a header.
		s.tx.event("invalid_response_field_folding")
		p.flushHeader(c, d, s, m)
		trim := 0
		for trim < len(text) && isFold(text[trim]) {
			trim++
		}
		s.pending = span{at.off + uint32(trim), at.n - uint32(trim)}
		s.hasPending, s.folded = true, false
		return
	}
	if int(s.pending.n) > maxFolded {
		return
	}
	if s.pending.off&inExtra == 0 {
		o := len(m.extra)
		m.extra = append(m.extra, m.at(s.pending)...)
		s.pending.off = uint32(o) | inExtra
	}
	m.extra = append(m.extra, m.raw[off:off+len(text)]...)
	s.pending.n += uint32(len(text))
	s.folded = true
}

// headerEnds takes in the pending header if what follows is known and does not
// continue it.
func (p *http1) headerEnds(c *Conn, d Dir, s *httpSide, m *httpMsg, next []byte) {
	if len(next) > 0 && !isFold(next[0]) {
		p.flushHeader(c, d, s, m)
	}
}

// flushHeader parses the pending header line.
func (p *http1) flushHeader(c *Conn, d Dir, s *httpSide, m *httpMsg) {
	if !s.hasPending {
		return
	}
	s.hasPending = false
	t := s.tx
	line := m.at(s.pending)
	name, value := span{s.pending.off, 0}, s.pending
	var colon int
	if d == ToServer {
		colon = bytes.IndexAny(line, ":\x00")
		if colon >= 0 && line[colon] == 0 {
			colon = -1
		}
	} else {
		colon = bytes.IndexByte(line, ':')
	}
	invalid := Event("request_header_invalid")
	missing := Event("request_field_missing_colon")
	if d == ToClient {
		invalid, missing = "response_header_invalid", "response_field_missing_colon"
	}
	end := len(line)
	start := 0
	if colon < 0 {
		if len(line) == 0 && s.trailer {
			return
		}
		t.event(missing)
		if d == ToServer {
			p.addHeader(c, d, s, m, name, value)
			return
		}
	} else {
		if colon == 0 {
			t.event(invalid)
		}
		ne := colon
		for ne > 0 && isSpace(line[ne-1]) {
			ne--
			t.event(invalid)
		}
		for _, b := range line[:ne] {
			if !isToken(b) {
				t.event(invalid)
				break
			}
		}
		name.n = uint32(ne)
		start = colon + 1
	}
	for start < end && isLWS(line[start]) {
		start++
	}
	for end > start+1 && isLWS(line[end-1]) {
		end--
	}
	value = span{s.pending.off + uint32(start), uint32(end - start)}
	p.addHeader(c, d, s, m, name, value)
}

// addHeader adds a header or joins it to one of the same name.
func (p *http1) addHeader(c *Conn, d Dir, s *httpSide, m *httpMsg, name, value span) {
	t := s.tx
	nm := m.at(name)
	k := knownHeader(nm)
	old := -1
	if k != hdrOther {
		old = int(m.known[k]) - 1
	} else {
		for i := range m.headers {
			if h := &m.headers[i]; h.name.n == name.n && h.known == hdrOther && equalFoldBytes(m.at(h.name), nm) {
				old = i
				break
			}
		}
	}
	if old < 0 {
		if len(m.headers) >= c.http().HeadersLimit {
			if d == ToServer {
				t.event("request_too_many_headers")
			} else {
				t.event("response_too_many_headers")
			}
			c.fail()
			return
		}
		m.headers = append(m.headers, httpHeader{name: name, value: value, folded: s.folded, known: k})
		if k != hdrOther {
			m.known[k] = int16(len(m.headers))
		}
		return
	}
	h := &m.headers[old]
	if h.repeated {
		if t.reps[d]++; t.reps[d] > maxHeaderReps {
			if d == ToServer {
				t.event("request_header_repetition")
			} else {
				t.event("response_header_repetition")
			}
			return
		}
	}
	h.repeated = true
	if k == hdrContentLen {
		a, _ := contentLength(m.at(h.value))
		b, _ := contentLength(m.at(value))
		if a < 0 || b < 0 || a != b {
			if d == ToServer {
				t.event("duplicate_content_length_field_in_request")
			} else {
				t.event("duplicate_content_length_field_in_response")
			}
		}
		return
	}
	o := len(m.extra)
	if h.value.off&inExtra != 0 && int(h.value.off&^inExtra+h.value.n) == o {
		// It is the last in extra and can grow there.
		m.extra = append(m.extra, ", "...)
		m.extra = append(m.extra, m.at(value)...)
		h.value.n += 2 + value.n
		return
	}
	m.extra = append(m.extra, m.at(h.value)...)
	m.extra = append(m.extra, ", "...)
	m.extra = append(m.extra, m.at(value)...)
	h.value = span{uint32(o) | inExtra, h.value.n + 2 + value.n}
}

// contentLength reads a Content-Length as libhtp does: the first number in
// it. junk: there was something else. Negative: no number, or too large.
func contentLength(v []byte) (n int64, junk bool) {
	i := 0
	for i < len(v) && (v[i] < '0' || v[i] > '9') {
		if !isLWS(v[i]) {
			junk = true
		}
		i++
	}
	if i == len(v) {
		return -1, junk
	}
	for ; i < len(v) && v[i] >= '0' && v[i] <= '9'; i++ {
		if n > (1<<63-10)/10 {
			return -2, junk
		}
		n = n*10 + int64(v[i]-'0')
	}
	return n, junk || i < len(v)
}

// chunkLength reads the length of a chunk. -1: not a number; -4: the line is
// empty. ext: there is an extension.
func chunkLength(p []byte) (n int64, ext bool) {
	for len(p) > 0 && chunkCtl(p[0]) {
		p = p[1:]
	}
	if len(p) == 0 {
		return -4, false
	}
	i := 0
	for i < len(p) && hexVal(p[i]) >= 0 {
		i++
	}
	if i < len(p) && bytes.IndexByte(p[i:], ';') >= 0 {
		ext = true
	}
	if i == 0 {
		return -1, ext
	}
	for _, b := range p[:i] {
		if n = n<<4 | int64(hexVal(b)); n > 1<<31-1 {
			return -1, ext
		}
	}
	return n, ext
}

func chunkCtl(b byte) bool { return b == ' ' || b >= '\t' && b <= '\r' }

func hexVal(b byte) int {
	switch {
	case b >= '0' && b <= '9':
		return int(b - '0')
	case b >= 'a' && b <= 'f':
		return int(b-'a') + 10
	case b >= 'A' && b <= 'F':
		return int(b-'A') + 10
	}
	return -1
}

// version reads "HTTP/1.1" and the like.
func httpVersion(p []byte) int {
	if len(p) < 8 || string(p[:5]) != "HTTP/" {
		return httpInvalid
	}
	i := 5
	for i < len(p) && (isSpace(p[i]) || p[i] == '0') {
		i++
	}
	// "0.9" lost its zero to the loop above.
	if i < len(p) && p[i] == '.' && i > 5 && p[i-1] == '0' {
		i--
	}
	if i+3 > len(p) || p[i+1] != '.' {
		return httpInvalid
	}
	for _, b := range p[i+3:] {
		if !isSpace(b) {
			return httpInvalid
		}
	}
	switch string(p[i : i+3]) {
	case "0.9":
		return http09
	case "1.0":
		return http10
	case "1.1":
		return http11
	}
	return httpInvalid
}

// gap: of a body nothing but the bytes is lost. Elsewhere parsing goes on as if
// there had been none, half a line included, as libhtp does.
func (p *http1) gap(c *Conn, d Dir, n uint64) bool {
	s := &p.side[d]
	switch s.state {
	case hsBodyLength:
		n = min(n, s.left)
		p.bodyGap(c, d, s.tx, n)
		if s.left -= n; s.left == 0 {
			p.endMessage(c, d, s)
		}
	case hsBodyClose, hsExtra:
		p.bodyGap(c, d, s.tx, n)
	}
	return true
}

// close ends the message under way. What is only then found odd is no event:
// the connection's end is no anomaly of HTTP.
func (p *http1) close(c *Conn, d Dir, tail []byte) {
	s := &p.side[d]
	s.scan = 0
	known := 0
	if s.tx != nil {
		known = len(s.tx.Events)
	}
	if d == ToServer {
		p.closeRequest(c, s, tail)
	} else {
		p.closeResponse(c, s, tail)
	}
	if s.open {
		p.endMessage(c, d, s)
	}
	s.state = hsIgnore // what comes behind a reset
	if s.tx != nil && len(s.tx.Events) > known {
		s.tx.Events = s.tx.Events[:known]
	}
}

// holds says whether the parser still refers to t.
func (p *http1) holds(t *HTTPTx) bool {
	if p.side[0].tx == t || p.side[1].tx == t {
		return true
	}
	for _, w := range p.waiting {
		if w == t {
			return true
		}
	}
	return false
}

// forget drops the references to a transaction that was retired; false if
// the parser still needs it.
func (p *http1) forget(t *HTTPTx) bool {
	for d := range p.side {
		if s := &p.side[d]; s.tx == t && (s.state == hsIdle || s.state == hsIgnore) && !s.open {
			s.tx = nil
		}
	}
	return !p.holds(t)
}

// newHTTPTx takes a spare transaction or makes one.
func (e *Env) newHTTPTx() *HTTPTx {
	if n := len(e.httpTx); n > 0 {
		t := e.httpTx[n-1]
		e.httpTx[n-1] = nil
		e.httpTx = e.httpTx[:n-1]
		return t
	}
	t := new(HTTPTx)
	t.reset()
	return t
}

// recycle takes a retired transaction back.
func (e *Env) recycle(t *HTTPTx) {
	if len(e.httpTx) < 64 && cap(t.msg[0].raw) < 16<<10 && cap(t.msg[1].raw) < 16<<10 {
		t.reset()
		e.httpTx = append(e.httpTx, t)
	}
}
