package app

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"

	"golang.org/x/net/http2/hpack"
)

// Frame types (RFC 9113, section 6).
const (
	h2Data = iota
	h2Headers
	h2Priority
	h2RstStream
	h2Settings
	h2PushPromise
	h2Ping
	h2GoAway
	h2WindowUpdate
	h2Continuation
)

const (
	h2Preface    = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	h2MaxPending = 64 << 10  // largest frame, other than DATA, that is parsed
	h2MaxBlock   = 100 << 10 // largest header block over CONTINUATION frames
	h2MaxStreams = 4096
	h2MaxFrames  = 1024 // frame headers kept of a stream and direction
	h2MaxHeaders = 1024 // headers kept of a stream and direction
	h2MaxNumbers = 256
)

// http2 parses HTTP/2 (RFC 9113). Every stream is a transaction; so is every
// frame that belongs to the connection.
type http2 struct {
	side    [2]http2Side
	streams map[uint32]*HTTPTx
}

type http2Side struct {
	preface bool // it has been seen, or was not to be expected
	hp      *hpack.Decoder
	// the frame under way
	typ, flags uint8
	stream     uint32
	left       int  // payload bytes of it that are streamed
	pad        int  // of those, padding at the end
	streaming  bool // DATA
	block      []byte
	blockTx    *HTTPTx
	blockFlags uint8
	// the header block that is being decoded
	tx    *HTTPTx
	count int
}

// http2Stream is what a transaction of HTTP/2 has beyond HTTP.
type http2Stream struct {
	id      uint32
	frames  [2][]http2Frame
	numbers []http2Number
	dec     [2]*decoderChain
	blocks  [2]int // header blocks seen
}

// http2Frame is the header of one frame.
type http2Frame struct {
	typ, flags uint8
}

// http2Number is a value of a numeric field.
type http2Number struct {
	field Field
	dir   Dir
	value uint64
}

func (s *http2Stream) headerName(t *HTTPTx, d Dir, i int) ([]byte, bool) {
	m := &t.msg[d]
	if i >= len(m.headers) {
		return nil, false
	}
	return m.at(m.headers[i].name), true
}

func (s *http2Stream) number(f Field, d Dir, i int) (uint64, bool) {
	if f == HTTP2FrameType {
		if i < len(s.frames[d]) {
			return uint64(s.frames[d][i].typ), true
		}
		return 0, false
	}
	for _, n := range s.numbers {
		if n.field == f && n.dir == d {
			if i == 0 {
				return n.value, true
			}
			i--
		}
	}
	return 0, false
}

func (s *http2Stream) addNumber(f Field, d Dir, v uint64) {
	if len(s.numbers) < h2MaxNumbers {
		s.numbers = append(s.numbers, http2Number{f, d, v})
	}
}

// StreamID is the stream of an HTTP/2 transaction, 0 for frames of the
// connection; ok is false for HTTP/1.
func (t *HTTPTx) StreamID() (id uint32, ok bool) {
	if t.h2 == nil {
		return 0, false
	}
	return t.h2.id, true
}

func newHTTP2() parser {
	p := new(http2)
	p.reset()
	return p
}

func (p *http2) maxPending() int { return h2MaxPending + 9 }

func (p *http2) reset() {
	*p = http2{streams: map[uint32]*HTTPTx{}}
	for d := range p.side {
		s := &p.side[d]
		s.preface = Dir(d) == ToClient
		s.hp = hpack.NewDecoder(4096, nil)
		s.hp.SetAllowedMaxDynamicTableSize(64 << 10)
		s.hp.SetMaxStringLength(64 << 10)
		s.hp.SetEmitFunc(func(f hpack.HeaderField) { p.header(Dir(d), f) })
	}
}

func (p *http2) datagram(*Conn, Dir, []byte) {}

func (p *http2) parse(c *Conn, d Dir, data []byte) (n, need int) {
	s := &p.side[d]
	for n < len(data) && c.flags&flagDone == 0 {
		k, want := p.step(c, d, s, data[n:])
		n += k
		if k == 0 {
			return n, want
		}
	}
	return n, 0
}

// step takes the preface, a frame, or a piece of one. need is how many bytes it
// wants if it takes none.
func (p *http2) step(c *Conn, d Dir, s *http2Side, data []byte) (n, need int) {
	if !s.preface {
		switch prefix(data, h2Preface) {
		case yes:
			s.preface = true
			return len(h2Preface), 0
		case more:
			return 0, len(data) + 1
		}
		s.preface = true // the beginning was not seen, or is not as it should be
		if len(data) >= 4 && string(data[:4]) == "PRI " {
			c.event("invalid_client_magic")
		}
	}
	if s.left > 0 {
		n = min(len(data), s.left)
		if s.streaming {
			p.data(c, d, s, data[:min(n, max(0, s.left-s.pad))])
		}
		if s.left -= n; s.left == 0 && s.streaming {
			p.endData(c, d, s)
		}
		return n, 0
	}
	if len(data) < 9 {
		return 0, 9
	}
	size := int(data[0])<<16 | int(data[1])<<8 | int(data[2])
	s.typ, s.flags = data[3], data[4]
	s.stream = binary.BigEndian.Uint32(data[5:]) & 0x7fffffff
	s.streaming, s.pad = false, 0
	if s.typ == h2Settings && size == 0 {
		return 9, 0 // says nothing, or acknowledges
	}
	if s.typ == h2Data && s.stream != 0 {
		head := 9
		if s.flags&8 != 0 {
			if size == 0 {
				return 9, 0
			}
			if len(data) < 10 {
				return 0, 10
			}
			s.pad = int(data[9])
			head, size = 10, size-1
		}
		s.streaming = true
		s.left = size
		if t := p.stream(c, d, s.stream); t != nil {
			p.frame(t, d, s)
		}
		if size == 0 {
			p.endData(c, d, s)
		}
		return head, 0
	}
	if size > h2MaxPending {
		c.event("long_frame_data")
		s.left = size
		return 9, 0
	}
	if len(data) < 9+size {
		return 0, 9 + size
	}
	p.whole(c, d, s, data[9:9+size])
	return 9 + size, 0
}

// stream finds or makes the transaction of a stream; nil if there are too many.
func (p *http2) stream(c *Conn, d Dir, id uint32) *HTTPTx {
	if t := p.streams[id]; t != nil {
		return t
	}
	if len(p.streams) >= h2MaxStreams {
		c.event("too_many_streams")
		return nil
	}
	t := p.newTx(c, d, id)
	p.streams[id] = t
	return t
}

func (p *http2) newTx(c *Conn, d Dir, id uint32) *HTTPTx {
	t := new(HTTPTx)
	t.reset()
	t.Proto = HTTP2
	t.From = d
	t.port = -1
	t.h2 = &http2Stream{id: id}
	t.msg[0].line = append(t.msg[0].line, "  HTTP/2\r\n"...)
	t.msg[0].protocol = span2{2, 6, true}
	t.msg[1].line = append(t.msg[1].line, "HTTP/2 \r\n"...)
	t.msg[1].protocol = span2{0, 6, true}
	c.add(t)
	return t
}

// frame notes a frame header.
func (p *http2) frame(t *HTTPTx, d Dir, s *http2Side) {
	if f := &t.h2.frames[d]; len(*f) < h2MaxFrames {
		*f = append(*f, http2Frame{s.typ, s.flags})
	}
}

func (p *http2) data(c *Conn, d Dir, s *http2Side, data []byte) {
	t := p.streams[s.stream]
	if t == nil || len(data) == 0 {
		return
	}
	if x := t.h2.dec[d]; x != nil {
		x.push(c.env, data)
		return
	}
	t.bodyAdd(d, data, c.http().bodyLimit(d))
}

func (p *http2) endData(c *Conn, d Dir, s *http2Side) {
	if s.flags&1 != 0 {
		if t := p.streams[s.stream]; t != nil {
			p.endStream(c, d, t)
		}
	}
}

// endStream ends one direction of a stream.
func (p *http2) endStream(c *Conn, d Dir, t *HTTPTx) {
	if t.Done(d) {
		return
	}
	if x := t.h2.dec[d]; x != nil {
		x.finish(c.env)
		x.release(c.env)
		t.h2.dec[d] = nil
	}
	t.body[d].Done = true
	t.finishFiles(c.env, d)
	t.reach(d, StageComplete)
}

// forget drops the reference to a transaction that was retired: only until then
// do frames that come late (RST_STREAM, WINDOW_UPDATE) belong to it.
func (p *http2) forget(t *HTTPTx) {
	if p.streams[t.h2.id] == t {
		delete(p.streams, t.h2.id)
	}
}

// whole takes a frame other than DATA.
func (p *http2) whole(c *Conn, d Dir, s *http2Side, body []byte) {
	var t *HTTPTx
	if s.typ == h2Continuation && s.blockTx != nil && s.blockTx.h2.id == s.stream {
		t = s.blockTx
	} else if s.stream == 0 {
		t = p.newTx(c, d, 0)
		t.OneWay = true
		t.Progress = [2]uint8{StageComplete, StageComplete}
	} else if t = p.stream(c, d, s.stream); t == nil {
		return
	}
	p.frame(t, d, s)
	bad := false
	switch s.typ {
	case h2Headers, h2PushPromise:
		rest := body
		pad := 0
		if s.flags&8 != 0 {
			if len(rest) < 1 {
				bad = true
				break
			}
			pad = int(rest[0])
			rest = rest[1:]
		}
		skip := 0
		if s.typ == h2PushPromise {
			skip = 4
		} else if s.flags&0x20 != 0 {
			skip = 5
		}
		if len(rest) < skip+pad {
			bad = true
			break
		}
		if skip == 5 {
			t.h2.addNumber(HTTP2Priority, d, uint64(rest[4]))
		}
		s.block = append(s.block[:0], rest[skip:len(rest)-pad]...)
		s.blockTx, s.blockFlags = t, s.flags
		if s.flags&4 != 0 {
			p.endBlock(c, d, s)
		}
	case h2Continuation:
		if s.blockTx == nil {
			bad = true
			break
		}
		if len(s.block)+len(body) > h2MaxBlock {
			t.event("reassembly_limit_reached")
		} else {
			s.block = append(s.block, body...)
		}
		if s.flags&4 != 0 {
			p.endBlock(c, d, s)
		}
	case h2Priority:
		if bad = len(body) != 5; !bad {
			t.h2.addNumber(HTTP2Priority, d, uint64(body[4]))
		}
	case h2RstStream:
		if bad = len(body) != 4; !bad {
			t.h2.addNumber(HTTP2ErrorCode, d, uint64(binary.BigEndian.Uint32(body)))
			p.endStream(c, ToServer, t)
			p.endStream(c, ToClient, t)
		}
	case h2Settings:
		if s.flags&1 != 0 {
			break
		}
		if bad = len(body)%6 != 0; bad {
			break
		}
		p.settings(t, d, body)
	case h2GoAway:
		if bad = len(body) < 4; !bad {
			// Suricata 7 takes the last stream's number for the error code.
			t.h2.addNumber(HTTP2ErrorCode, d, uint64(binary.BigEndian.Uint32(body)))
		}
	case h2WindowUpdate:
		if bad = len(body) != 4; !bad {
			t.h2.addNumber(HTTP2Window, d, uint64(binary.BigEndian.Uint32(body)&0x7fffffff))
		}
	}
	if bad {
		t.event("invalid_frame_data")
	}
}

// settings takes the values of a SETTINGS frame.
func (p *http2) settings(t *HTTPTx, d Dir, body []byte) {
	for ; len(body) >= 6; body = body[6:] {
		id, v := binary.BigEndian.Uint16(body), binary.BigEndian.Uint32(body[2:])
		if id < 1 || id > 6 {
			return // what comes behind an unknown one is not read
		}
		t.h2.addNumber(HTTP2Settings, d, uint64(id)<<32|uint64(v))
		if id == 1 {
			// How much of a table the other side may use.
			p.side[d.Other()].hp.SetAllowedMaxDynamicTableSize(min(v, 64<<10))
		}
	}
}

// endBlock decodes a complete header block.
func (p *http2) endBlock(c *Conn, d Dir, s *http2Side) {
	t := s.blockTx
	s.blockTx = nil
	s.tx, s.count = t, 0
	m := &t.msg[d]
	m.started, m.hasRaw = true, true
	m.built = 0
	// Table size updates stand before the headers (RFC 7541, section 4.2).
	for b := s.block; len(b) > 0 && b[0]&0xe0 == 0x20; {
		v := uint64(b[0] & 0x1f)
		i := 1
		if v == 0x1f {
			for shift := uint(0); i < len(b) && shift < 28; shift += 7 {
				x := b[i]
				i++
				v += uint64(x&0x7f) << shift
				if x&0x80 == 0 {
					break
				}
			}
		}
		t.h2.addNumber(HTTP2SizeUpdate, d, v)
		p.addHeader(t, d, "", "")
		b = b[i:]
	}
	_, err := s.hp.Write(s.block)
	if cerr := s.hp.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		t.event("invalid_header")
	}
	s.tx = nil
	s.block = s.block[:0]
	p.takeHeaders(c, d, t)
	if s.blockFlags&1 != 0 {
		p.endStream(c, d, t)
	}
}

// header is called by the decoder for every header.
func (p *http2) header(d Dir, f hpack.HeaderField) {
	s := &p.side[d]
	if s.tx == nil {
		return
	}
	if s.count++; s.count > h2MaxHeaders || len(s.tx.msg[d].raw) > httpHeadersMax {
		s.tx.event("reassembly_limit_reached")
		return
	}
	p.addHeader(s.tx, d, f.Name, f.Value)
}

func (p *http2) addHeader(t *HTTPTx, d Dir, name, value string) {
	m := &t.msg[d]
	if len(m.headers) >= 2*h2MaxHeaders {
		return
	}
	off := uint32(len(m.raw))
	m.raw = append(append(append(append(m.raw, name...), ": "...), value...), "\r\n"...)
	n := m.raw[off : int(off)+len(name)]
	h := httpHeader{name: span{off, uint32(len(name))}, value: span{off + uint32(len(name)) + 2, uint32(len(value))}, known: knownHeader(n)}
	if h.known != hdrOther && name != knownNames[h.known] {
		h.known = hdrOther // names are in lower case (RFC 9113, section 8.2.1)
	}
	m.headers = append(m.headers, h)
	switch {
	case h.known == hdrOther:
	case m.known[h.known] == 0:
		m.known[h.known] = int16(len(m.headers))
	default:
		// Fields that ask for it by name see the values joined.
		var old httpHeader
		i := m.known[h.known]
		if i > 0 {
			old = m.headers[i-1]
		} else {
			old = m.joined[-i-1]
		}
		o := len(m.extra)
		if old.value.off&inExtra == 0 || int(old.value.off&^inExtra+old.value.n) != o {
			m.extra = append(m.extra, m.at(old.value)...)
			old.value = span{uint32(o) | inExtra, old.value.n}
		}
		m.extra = append(append(m.extra, ", "...), value...)
		old.value.n += 2 + uint32(len(value))
		if i > 0 {
			m.joined = append(m.joined, old)
			m.known[h.known] = -int16(len(m.joined))
		} else {
			m.joined[-i-1] = old
		}
	}
}

// pseudo finds a header by its exact name.
func (m *httpMsg) pseudo(name string) ([]byte, bool) {
	for i := range m.headers {
		if h := &m.headers[i]; string(m.at(h.name)) == name {
			return m.at(h.value), true
		}
	}
	return nil, false
}

// takeHeaders derives the fields of a message whose headers are there.
func (p *http2) takeHeaders(c *Conn, d Dir, t *HTTPTx) {
	m := &t.msg[d]
	t.h2.blocks[d]++
	if t.h2.blocks[d] > 1 {
		t.reach(d, StageTrailer)
		return
	}
	if d == ToServer {
		method, hasMethod := m.pseudo(":method")
		path, hasPath := m.pseudo(":path")
		line := append(m.line[:0], method...)
		line = append(append(append(line, ' '), path...), " HTTP/2\r\n"...)
		m.line = line
		t.method = span2{0, len(method), hasMethod}
		t.uriRaw = span2{len(method) + 1, len(path), hasPath}
		m.protocol = span2{len(line) - 8, 6, true}
		t.kind = methodOf(method)
		t.uri = append(t.uri[:0], path...)
		t.uriSet = hasPath
		auth, ok := m.pseudo(":authority")
		host, hasHost := m.value(hdrHost)
		if !ok {
			auth, ok = host, hasHost
		} else if hasHost && !equalFoldBytes(auth, host) {
			t.event("authority_host_mismatch")
		}
		if ok {
			if i := bytes.IndexByte(auth, '@'); i >= 0 {
				t.event("userinfo_in_uri")
				auth = auth[i+1:]
			}
			h, port := splitHostPort(auth)
			t.host = t.host[:0]
			for _, b := range h {
				t.host = append(t.host, lower(b))
			}
			t.hostSet = true
			t.port = portNumber(port)
		}
	} else {
		status, ok := m.pseudo(":status")
		line := append(append(append(m.line[:0], "HTTP/2 "...), status...), "\r\n"...)
		m.line = line
		m.protocol = span2{0, 6, true}
		t.statCode = span2{7, len(status), ok}
		t.statMsg = span2{0, 0, true}
		t.status = statusNumber(status)
		if t.status >= 100 && t.status < 200 {
			t.h2.blocks[d]-- // an interim response
		}
	}
	t.reach(d, StageLine)
	t.reach(d, StageHeaders)
	if d == ToServer {
		t.bodyKind = bodyFile
	}
	ce, _ := m.value(hdrContentEnc)
	switch string(ce) {
	case "gzip", "deflate", "br":
		if c.http().DecompressLayers > 0 && t.h2.dec[d] == nil {
			t.h2.dec[d] = newDecoderChain(c.env, c.http(), t, d, ce)
		}
	}
}

// mimic makes stream 1 of the request that asked for the upgrade, as if it had
// come in a HEADERS frame, and a frame of its settings (RFC 7540, section 3.2).
func (p *http2) mimic(c *Conn, old *HTTPTx) {
	t := p.newTx(c, ToServer, 1)
	p.streams[1] = t
	t.h2.frames[ToServer] = append(t.h2.frames[ToServer], http2Frame{h2Headers, 0})
	m := &old.msg[ToServer]
	var settings []byte
	method, _ := m.inLine(old.method)
	path, _ := m.inLine(old.uriRaw)
	p.addHeader(t, ToServer, ":method", string(method))
	p.addHeader(t, ToServer, ":path", string(path))
	for i := range m.headers {
		h := &m.headers[i]
		v := string(m.at(h.value))
		switch h.known {
		case hdrHost:
			p.addHeader(t, ToServer, ":authority", v)
		case hdrHTTP2Settings:
			settings = m.at(h.value)
		default:
			p.addHeader(t, ToServer, string(m.at(h.name)), v)
		}
	}
	n := &t.msg[ToServer]
	n.started, n.hasRaw = true, true
	p.takeHeaders(c, ToServer, t)
	t.h2.blocks[ToServer] = 1
	p.endStream(c, ToServer, t)
	if b, err := base64.RawURLEncoding.DecodeString(string(bytes.TrimRight(settings, "="))); err == nil && len(b) > 0 {
		t = p.newTx(c, ToServer, 0)
		t.OneWay = true
		t.Progress = [2]uint8{StageComplete, StageComplete}
		t.h2.frames[ToServer] = append(t.h2.frames[ToServer], http2Frame{h2Settings, 0})
		p.settings(t, ToServer, b)
	}
}

// gap loses the frame boundaries: only a DATA frame survives one.
func (p *http2) gap(c *Conn, d Dir, n uint64) bool {
	s := &p.side[d]
	if s.left == 0 || n > uint64(s.left) {
		return false
	}
	if t := p.streams[s.stream]; t != nil && s.streaming {
		t.body[d].Gaps, t.body[d].Truncated = true, true
		if x := t.h2.dec[d]; x != nil {
			x.broken = true
		}
	}
	if s.left -= int(n); s.left == 0 && s.streaming {
		p.endData(c, d, s)
	}
	return true
}

func (p *http2) close(c *Conn, d Dir, tail []byte) {
	for _, t := range c.txs {
		if h, ok := t.(*HTTPTx); ok && h.h2 != nil {
			p.endStream(c, d, h)
		}
	}
}
