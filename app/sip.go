package app

import "bytes"

const sipInvalid Event = "invalid_data"

const (
	sipMaxHeader = 16 << 10
	sipMaxBody   = 1 << 20
	sipMaxFields = 128
)

// SIPTx is one SIP message (RFC 3261 §7).
type SIPTx struct {
	plainTx
	Line     []byte // request or response line
	Method   []byte
	URI      []byte
	Protocol []byte // "SIP/2.0"
	Code     []byte
	Reason   []byte
	Headers  [][2][]byte // name and value, in order
	Payload  []byte
}

// header returns the i-th value of a header field, by its long or short name.
func (t *SIPTx) header(name, short string, i int) ([]byte, bool) {
	for _, h := range t.Headers {
		if equalFold(h[0], name) || short != "" && equalFold(h[0], short) {
			if i == 0 {
				return h[1], true
			}
			i--
		}
	}
	return nil, false
}

// Bytes implements Tx.
func (t *SIPTx) Bytes(f Field, d Dir, i int) ([]byte, bool) {
	request := t.Method != nil
	switch f {
	case SIPMethod:
		return only(t.Method, i)
	case SIPURI:
		return only(t.URI, i)
	case SIPProtocol:
		if d == t.From {
			return only(t.Protocol, i)
		}
	case SIPRequestLine:
		if request {
			return only(t.Line, i)
		}
	case SIPResponseLine:
		if !request {
			return only(t.Line, i)
		}
	case SIPStatCode:
		return only(t.Code, i)
	case SIPStatMsg:
		return only(t.Reason, i)
	}
	if d != t.From {
		return nil, false
	}
	switch f {
	case SIPFrom:
		return t.header("from", "f", i)
	case SIPTo:
		return t.header("to", "t", i)
	case SIPVia:
		return t.header("via", "v", i)
	case SIPUserAgent:
		return t.header("user-agent", "", i)
	case SIPContentType:
		return t.header("content-type", "c", i)
	case SIPContentLength:
		return t.header("content-length", "l", i)
	}
	return nil, false
}

type sipParser struct {
	skip [2]int // of a body that is not kept
	lost [2]bool
}

func newSIP() parser { return &sipParser{} }

func (p *sipParser) reset()        { *p = sipParser{} }
func (*sipParser) maxPending() int { return sipMaxHeader + 1 }

func (p *sipParser) parse(c *Conn, d Dir, data []byte) (n, need int) {
	for {
		b := data[n:]
		if p.lost[d] {
			return len(data), 0
		}
		if p.skip[d] > 0 {
			k := min(p.skip[d], len(b))
			p.skip[d] -= k
			n += k
			if p.skip[d] > 0 {
				return n, 0
			}
			continue
		}
		if len(b) == 0 {
			return n, 0
		}
		if b[0] == '\r' || b[0] == '\n' { // keep-alive (RFC 5626 §3.5.1)
			n++
			continue
		}
		end := bytes.Index(b[:min(len(b), sipMaxHeader)], []byte("\r\n\r\n"))
		if end < 0 {
			if len(b) >= sipMaxHeader {
				c.fail()
				return n, 0
			}
			return n, len(b) + 1
		}
		t := p.message(c, d, b[:end+2])
		if c.wantsFrames() {
			c.frame(d, "pdu", n, b[:end+4])
			t.frames(c, d, n, b[:end+2])
		}
		n += end + 4
		if v, ok := t.header("content-length", "l", 0); ok {
			if l, ok := parseUint(bytes.TrimSpace(v)); ok && l < sipMaxBody {
				p.skip[d] = int(l)
			}
		}
	}
}

func (p *sipParser) gap(_ *Conn, d Dir, n uint64) bool {
	if uint64(p.skip[d]) >= n {
		p.skip[d] -= int(n)
		return true
	}
	p.lost[d] = true
	return true
}

func (*sipParser) close(*Conn, Dir, []byte) {}

func (p *sipParser) datagram(c *Conn, d Dir, data []byte) {
	if len(bytes.TrimLeft(data, "\r\n\x00 ")) == 0 {
		return // keep-alive
	}
	head, body, ok := bytes.Cut(data, []byte("\r\n\r\n"))
	if !ok {
		head, body = data, nil
	}
	t := p.message(c, d, head)
	if len(body) > 0 {
		t.Payload = clone(body)
	}
	if c.wantsFrames() {
		c.frame(d, "pdu", 0, data)
		t.frames(c, d, 0, data[:min(len(data), len(head)+2)])
		if kind := "request.body"; len(body) > 0 {
			if t.Code != nil {
				kind = "response.body"
			}
			c.frame(d, kind, len(data)-len(body), body)
		}
	}
}

// frames announces the first line and the headers; head ends with the line end
// of the last one.
func (t *SIPTx) frames(c *Conn, d Dir, off int, head []byte) {
	line, headers := "request.line", "request.headers"
	if t.Code != nil {
		line, headers = "response.line", "response.headers"
	}
	k := bytes.IndexByte(head, '\n') + 1
	if k == 0 {
		k = len(head)
	}
	c.frame(d, line, off, head[:k])
	if k < len(head) {
		c.frame(d, headers, off+k, head[k:])
	}
}

// message reads the lines of head.
func (p *sipParser) message(c *Conn, d Dir, head []byte) *SIPTx {
	t := &SIPTx{}
	t.oneWay(d)
	head = clone(head[:min(len(head), sipMaxHeader)])
	line, rest := sipLine(head)
	t.Line = line
	one, two, ok := bytes.Cut(line, []byte(" "))
	if bytes.HasPrefix(line, []byte("SIP/")) {
		t.Protocol = one
		code, reason, _ := bytes.Cut(two, []byte(" "))
		t.Code, t.Reason = code, reason
		ok = ok && len(code) == 3
	} else {
		uri, proto, ok2 := bytes.Cut(two, []byte(" "))
		t.Method, t.URI, t.Protocol = one, uri, proto
		ok = ok && ok2 && bytes.HasPrefix(proto, []byte("SIP/"))
	}
	if !ok {
		t.event(sipInvalid)
	}
	for len(rest) > 0 && len(t.Headers) < sipMaxFields {
		line, rest = sipLine(rest)
		if len(line) > 0 && (line[0] == ' ' || line[0] == '\t') && len(t.Headers) > 0 {
			h := &t.Headers[len(t.Headers)-1]
			h[1] = append(append(clone(h[1]), ' '), bytes.TrimSpace(line)...)
			continue
		}
		name, v, ok := bytes.Cut(line, []byte(":"))
		if !ok {
			continue
		}
		t.Headers = append(t.Headers, [2][]byte{bytes.TrimSpace(name), bytes.TrimSpace(v)})
	}
	c.add(t)
	return t
}

func sipLine(b []byte) (line, rest []byte) {
	line, rest, _ = bytes.Cut(b, []byte("\n"))
	return bytes.TrimSuffix(line, []byte("\r")), rest
}
