package app

import (
	"bytes"
	"slices"
)

// Anomalies of MIME.
const (
	mimeInvalidBase64   Event = "mime_invalid_base64"
	mimeInvalidQP       Event = "mime_invalid_qp"
	mimeLongLine        Event = "mime_long_line"
	mimeLongEncLine     Event = "mime_long_enc_line"
	mimeLongHeaderName  Event = "mime_long_header_name"
	mimeLongHeaderValue Event = "mime_long_header_value"
	mimeLongBoundary    Event = "mime_long_boundary"
	mimeLongFilename    Event = "mime_long_filename"
	mimeMalformed       Event = "mime_malformed_msg"
	mimeParseFailed     Event = "mime_parse_failed"
)

// Bounds of MIME parsing, Suricata's where it has them.
const (
	mimeMaxDepth       = 10
	mimeMaxLine        = 998 // RFC 5322 §2.1.1
	mimeMaxEncodedLine = 76  // RFC 2045 §6.7, §6.8
	mimeMaxHeaderName  = 75
	mimeMaxHeaderValue = 2000
	mimeMaxBoundary    = 254
	mimeMaxFilename    = 255
	mimeMaxURLs        = 64
	mimeMaxURL         = 1024
	mimeMaxReceived    = 32
	mimeMaxText        = 2048 // longest line in which URLs are looked for
	mimeMaxFiles       = 256
)

// Email is what the header of a message says. Values are unfolded and
// trimmed, nil if the field is absent.
type Email struct {
	From, Subject, Date, MessageID, XMailer []byte
	To, CC                                  [][]byte // one address each
	Received                                [][]byte
	URLs                                    [][]byte // in text parts, without http://
}

type mimeEncoding uint8

const (
	mimePlain mimeEncoding = iota
	mimeBase64
	mimeQP
)

// mimeParser takes a message line by line (RFC 5322, 2045, 2046) and hands the
// attachments to its transaction as files.
type mimeParser struct {
	env   *Env
	tx    *TxBase
	email *Email
	limit int // bytes kept of a file

	bounds   [][]byte // of the multiparts we are in, outermost first
	inBody   bool
	preamble bool // in a multipart, outside of its parts
	entities int
	header   []byte // header field under way, folded lines joined
	long     bool   // the field under way is longer than what is kept

	// The entity under way.
	encoding mimeEncoding
	boundary []byte
	filename []byte
	attached bool
	text     bool
	message  bool
	file     *File
	crlf     bool // a line end to be delivered before the next line
	cont     bool // within a line that came in pieces
	b64      [4]byte
	b64n     int
	b64end   bool
	out      []byte // decoded bytes of a line
	urlLine  []byte
	started  bool
}

func (m *mimeParser) begin(env *Env, tx *TxBase, e *Email, limit int) {
	*m = mimeParser{env: env, tx: tx, email: e, limit: limit, header: m.header[:0], out: m.out[:0], urlLine: m.urlLine[:0], bounds: m.bounds[:0]}
	m.entity()
}

// entity begins a new entity: its header comes next.
func (m *mimeParser) entity() {
	m.inBody, m.preamble = false, false
	m.encoding, m.boundary, m.filename = mimePlain, nil, nil
	m.attached, m.text, m.message = false, true, false
	m.file = nil
	m.crlf = false
	m.b64n, m.b64end = 0, false
	m.header = m.header[:0]
	m.entities++
}

// line takes a line without its end, or a piece of one: end says whether the
// line ends behind it.
func (m *mimeParser) line(b []byte, end bool) {
	m.started = true
	first := !m.cont
	m.cont = !end
	if end {
		b = bytes.TrimSuffix(b, []byte("\r"))
	}
	if len(b) > mimeMaxLine {
		m.tx.event(mimeLongLine)
	}
	if !m.inBody {
		m.headerLine(b, first)
		return
	}
	if first && m.delimiter(b) {
		return
	}
	if m.preamble {
		return
	}
	m.bodyLine(b, first, end)
}

// delimiter acts on a boundary line of any of the multiparts we are in: mail
// programs disagree about a part that its multipart does not end.
func (m *mimeParser) delimiter(b []byte) bool {
	if len(b) < 3 || b[0] != '-' || b[1] != '-' {
		return false
	}
	for i := len(m.bounds) - 1; i >= 0; i-- {
		rest, ok := bytes.CutPrefix(b[2:], m.bounds[i])
		if !ok {
			continue
		}
		last := bytes.HasPrefix(rest, []byte("--"))
		if last {
			rest = rest[2:]
		}
		if len(bytes.TrimRight(rest, " \t")) != 0 {
			continue
		}
		m.endEntity()
		if last {
			m.bounds = m.bounds[:i]
			m.inBody, m.preamble = true, true
		} else {
			m.bounds = m.bounds[:i+1]
			m.entity()
		}
		return true
	}
	return false
}

func (m *mimeParser) headerLine(b []byte, first bool) {
	switch {
	case !first || len(b) > 0 && (b[0] == ' ' || b[0] == '\t'):
		if len(m.header) == 0 {
			return
		}
		if first {
			b = append([]byte(" "), bytes.TrimLeft(b, " \t")...)
		}
		if room := mimeMaxHeaderName + mimeMaxHeaderValue + 2 - len(m.header); len(b) > room {
			b = b[:max(0, room)]
			m.long = true
		}
		m.header = append(m.header, b...)
	case len(b) == 0:
		m.field()
		m.beginBody()
	default:
		m.field()
		if bytes.IndexByte(b, ':') < 0 {
			if m.delimiter(b) {
				return
			}
			m.tx.event(mimeMalformed)
			if m.entities == 1 && len(m.header) == 0 && m.email.From == nil {
				return
			}
		}
		if room := mimeMaxHeaderName + mimeMaxHeaderValue + 2; len(b) > room {
			b, m.long = b[:room], true
		}
		m.header = append(m.header[:0], b...)
	}
}

// field takes the header field that is complete.
func (m *mimeParser) field() {
	defer func() { m.header, m.long = m.header[:0], false }()
	name, value, ok := bytes.Cut(m.header, []byte(":"))
	if !ok {
		return
	}
	if len(name) > mimeMaxHeaderName {
		m.tx.event(mimeLongHeaderName)
		return
	}
	value = bytes.TrimSpace(value)
	if len(value) > mimeMaxHeaderValue || m.long {
		m.tx.event(mimeLongHeaderValue)
		value = value[:min(len(value), mimeMaxHeaderValue)]
	}
	name = bytes.TrimSpace(name)
	top := m.entities == 1
	e := m.email
	set := func(dst *[]byte) {
		if *dst == nil {
			*dst = clone(value)
		}
	}
	switch string(bytes.ToLower(name)) {
	case "from":
		if top {
			set(&e.From)
		}
	case "subject":
		if top {
			set(&e.Subject)
		}
	case "date":
		if top {
			set(&e.Date)
		}
	case "message-id":
		if top {
			set(&e.MessageID)
		}
	case "x-mailer":
		if top {
			set(&e.XMailer)
		}
	case "to":
		if top {
			e.To = appendAddresses(e.To, value)
		}
	case "cc":
		if top {
			e.CC = appendAddresses(e.CC, value)
		}
	case "received":
		if top && len(e.Received) < mimeMaxReceived {
			e.Received = append(e.Received, clone(value))
		}
	case "content-transfer-encoding":
		switch string(bytes.ToLower(value)) {
		case "base64":
			m.encoding = mimeBase64
		case "quoted-printable":
			m.encoding = mimeQP
		default:
			m.encoding = mimePlain
		}
	case "content-disposition":
		m.setFilename(value, "filename")
	case "content-type":
		kind := bytes.ToLower(bytes.TrimSpace(bytes.SplitN(value, []byte(";"), 2)[0]))
		m.text = bytes.HasPrefix(kind, []byte("text/plain")) || bytes.HasPrefix(kind, []byte("text/html"))
		m.message = bytes.HasPrefix(kind, []byte("message/"))
		if b, ok := mimeParam(value, "boundary"); ok && len(b) > 0 {
			if len(b) > mimeMaxBoundary {
				m.tx.event(mimeLongBoundary)
				m.tx.event(mimeParseFailed)
			} else {
				m.boundary = b
			}
		}
		if !m.attached {
			m.setFilename(value, "name")
		}
	}
}

func (m *mimeParser) setFilename(value []byte, param string) {
	name, ok := mimeParam(value, param)
	if !ok {
		return
	}
	if len(name) > mimeMaxFilename {
		m.tx.event(mimeLongFilename)
		name = name[:mimeMaxFilename]
	}
	m.attached = true
	m.filename = name
}

// beginBody: the empty line behind a header was seen.
func (m *mimeParser) beginBody() {
	m.inBody = true
	switch {
	case m.boundary != nil && len(m.bounds) < mimeMaxDepth:
		m.bounds = append(m.bounds, m.boundary)
		m.preamble = true
	case m.message && !m.attached && len(m.bounds) < mimeMaxDepth && m.encoding == mimePlain:
		m.entity() // the message within begins with a header
	case m.attached:
		if len(m.tx.Files) < mimeMaxFiles {
			m.file = &File{Name: m.filename, Dir: ToServer}
			m.tx.Files = append(m.tx.Files, m.file)
		}
	}
}

// endEntity closes what is under way.
func (m *mimeParser) endEntity() {
	if !m.inBody {
		m.field()
	}
	if m.encoding == mimeBase64 && m.inBody && !m.preamble {
		m.out = m.out[:0]
		m.flushBase64()
		m.deliver(m.out)
	}
	m.scanURLs(true)
	if m.file != nil {
		m.env.closeFile(m.file)
		m.file = nil
	}
}

// end closes the message.
func (m *mimeParser) end() {
	if m.tx == nil {
		return
	}
	m.endEntity()
	m.tx = nil
}

func (m *mimeParser) deliver(b []byte) {
	if len(b) == 0 {
		return
	}
	if m.file != nil {
		m.file.add(b, m.limit)
		if m.limit > 0 && m.file.Total > uint64(m.limit) {
			m.file.Truncated = true
		}
		return
	}
	if m.text {
		if room := mimeMaxText - len(m.urlLine); len(b) > room {
			b = b[:max(room, 0)]
		}
		m.urlLine = append(m.urlLine, b...)
	}
}

func (m *mimeParser) bodyLine(b []byte, first, end bool) {
	m.out = m.out[:0]
	switch m.encoding {
	case mimeBase64:
		if first && end && len(b) > mimeMaxEncodedLine {
			m.tx.event(mimeLongEncLine)
		}
		m.base64(b)
		m.deliver(m.out)
		if m.file == nil {
			m.scanURLs(false)
		}
		return
	case mimeQP:
		if first && end && len(b) > mimeMaxEncodedLine {
			m.tx.event(mimeLongEncLine)
		}
		soft := m.qp(b, end)
		if m.crlf {
			m.crlf = false
			m.deliver([]byte("\r\n"))
			m.scanURLs(true)
		}
		m.deliver(m.out)
		m.crlf = end && !soft
	default:
		// The line end before a boundary belongs to the boundary (RFC 2046
		// §5.1.1), so each is delivered with what follows it.
		if m.crlf {
			m.crlf = false
			m.deliver([]byte("\r\n"))
			m.scanURLs(true)
		}
		m.deliver(b)
		m.crlf = end
	}
}

// base64 decodes what b has of RFC 2045 §6.8; anything outside of the alphabet
// is jumped over.
func (m *mimeParser) base64(b []byte) {
	for _, c := range b {
		var v byte
		switch {
		case c >= 'A' && c <= 'Z':
			v = c - 'A'
		case c >= 'a' && c <= 'z':
			v = c - 'a' + 26
		case c >= '0' && c <= '9':
			v = c - '0' + 52
		case c == '+':
			v = 62
		case c == '/':
			v = 63
		case c == '=':
			m.flushBase64()
			continue
		case c == ' ' || c == '\t':
			continue
		default:
			m.tx.event(mimeInvalidBase64)
			continue
		}
		m.b64[m.b64n] = v
		if m.b64n++; m.b64n == 4 {
			m.out = append(m.out, m.b64[0]<<2|m.b64[1]>>4, m.b64[1]<<4|m.b64[2]>>2, m.b64[2]<<6|m.b64[3])
			m.b64n = 0
		}
	}
}

func (m *mimeParser) flushBase64() {
	switch m.b64n {
	case 2:
		m.out = append(m.out, m.b64[0]<<2|m.b64[1]>>4)
	case 3:
		m.out = append(m.out, m.b64[0]<<2|m.b64[1]>>4, m.b64[1]<<4|m.b64[2]>>2)
	}
	m.b64n = 0
}

// qp decodes a line of RFC 2045 §6.7; soft: its end is not part of the text.
func (m *mimeParser) qp(b []byte, end bool) (soft bool) {
	if end {
		b = bytes.TrimRight(b, " \t")
	}
	for i := 0; i < len(b); i++ {
		if b[i] != '=' {
			m.out = append(m.out, b[i])
			continue
		}
		if i+1 == len(b) {
			return true
		}
		if i+2 < len(b) {
			h, ok1 := unhex(b[i+1])
			l, ok2 := unhex(b[i+2])
			if ok1 && ok2 {
				m.out = append(m.out, h<<4|l)
				i += 2
				continue
			}
		}
		m.tx.event(mimeInvalidQP)
		m.out = append(m.out, '=')
	}
	return false
}

func unhex(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// scanURLs looks for addresses in the text collected; all: it ends here,
// otherwise only if there is much of it.
func (m *mimeParser) scanURLs(all bool) {
	if !all && len(m.urlLine) < mimeMaxText/2 {
		return
	}
	b := m.urlLine
	for len(m.email.URLs) < mimeMaxURLs {
		i := indexFold(b, "http://")
		if i < 0 {
			break
		}
		b = b[i+len("http://"):]
		n := 0
		for n < len(b) && n < mimeMaxURL && urlByte(b[n]) {
			n++
		}
		if n > 0 {
			url := b[:n]
			if !slices.ContainsFunc(m.email.URLs, func(u []byte) bool { return bytes.Equal(u, url) }) {
				m.email.URLs = append(m.email.URLs, clone(url))
			}
		}
		b = b[n:]
	}
	m.urlLine = m.urlLine[:0]
}

func urlByte(c byte) bool {
	return c > ' ' && c < 0x7f && c != '"' && c != '\'' && c != '<' && c != '>' && c != '(' && c != ')'
}

func appendAddresses(dst [][]byte, value []byte) [][]byte {
	quoted, start := false, 0
	for i := 0; i <= len(value) && len(dst) < 64; i++ {
		if i < len(value) && value[i] == '"' {
			quoted = !quoted
		}
		if i == len(value) || value[i] == ',' && !quoted {
			if a := bytes.TrimSpace(value[start:i]); len(a) > 0 {
				dst = append(dst, clone(a))
			}
			start = i + 1
		}
	}
	return dst
}

// mimeParam returns a parameter of a header value (RFC 2045 §5.1), quoted or
// not, in the forms of RFC 2231 too.
func mimeParam(value []byte, name string) ([]byte, bool) {
	var out []byte
	found := false
	for i := 0; ; {
		k := bytes.IndexByte(value, ';')
		if i++; k < 0 || i > 64 {
			return out, found
		}
		value = bytes.TrimLeft(value[k+1:], " \t\r\n")
		// Up to the next ';' outside of quotes.
		end, quoted := 0, false
		for end < len(value) && (quoted || value[end] != ';') {
			switch value[end] {
			case '"':
				quoted = !quoted
			case '\\':
				if quoted && end+1 < len(value) {
					end++
				}
			}
			end++
		}
		param := value[:min(end, len(value))]
		value = value[min(end, len(value)):]
		key, val, ok := bytes.Cut(param, []byte("="))
		if !ok {
			continue
		}
		key, val = bytes.TrimSpace(key), bytes.TrimSpace(val)
		base, _, starred := bytes.Cut(key, []byte("*"))
		if !bytes.EqualFold(base, []byte(name)) {
			continue
		}
		if len(val) > 0 && val[0] == '"' {
			val = unquote(val[1:])
		}
		if starred {
			if bytes.HasSuffix(key, []byte("*")) {
				if p := bytes.SplitN(val, []byte("'"), 3); len(p) == 3 {
					val = p[2]
				}
				val = percentDecode(val)
			}
			out, found = append(out, val...), true
			continue
		}
		if !found {
			return clone(val), true
		}
	}
}

func unquote(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b) && b[i] != '"'; i++ {
		if b[i] == '\\' && i+1 < len(b) {
			i++
		}
		out = append(out, b[i])
	}
	return out
}

func percentDecode(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		if b[i] == '%' && i+2 < len(b) {
			h, ok1 := unhex(b[i+1])
			l, ok2 := unhex(b[i+2])
			if ok1 && ok2 {
				out = append(out, h<<4|l)
				i += 2
				continue
			}
		}
		out = append(out, b[i])
	}
	return out
}
