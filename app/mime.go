package app

import (
	"bytes"
	"crypto/md5"
	"hash"
	"net/netip"
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
	mimeMaxHeaders     = 256
	mimeMaxText        = 2048 // longest line in which URLs are looked for
	mimeMaxFiles       = 256
)

// Email is what a message says.
type Email struct {
	Headers []EmailHeader // of the message itself, not of its parts; bounded
	URLs    [][]byte      // without http://, in lower case
	// BodyMD5 is the sum of all bytes behind the header as they were sent,
	// once the message is complete; only if SMTPConfig.BodyMD5 asks for it.
	BodyMD5    [16]byte
	HasBodyMD5 bool
	State      EmailState
	// Of the URLs of the entity that was under way at the end (else of the
	// message): there are any, an address in place of a name, a program.
	HasURL, HasAddressURL, HasExeURL bool
}

// EmailHeader is a field of a header: its name in lower case, its value with
// the line ends of folding taken out and trimmed.
type EmailHeader struct {
	Name, Value []byte
}

// EmailState is how far the parsing of a message came.
type EmailState uint8

// States of a message.
const (
	EmailReady         EmailState = iota // nothing seen
	EmailHeaderStarted                   // within its header
	EmailHeaderDone
	EmailBodyStarted
	EmailDone
	EmailError // not parsed to its end
)

// Header returns the value of the last field with a name, which is in lower
// case; nil if there is none.
func (e *Email) Header(name string) []byte {
	for i := len(e.Headers) - 1; i >= 0; i-- {
		if string(e.Headers[i].Name) == name {
			return e.Headers[i].Value
		}
	}
	return nil
}

// HeaderAt returns the i-th value of a field, the last one sent first.
func (e *Email) HeaderAt(name string, i int) ([]byte, bool) {
	for k := len(e.Headers) - 1; k >= 0; k-- {
		if string(e.Headers[k].Name) == name {
			if i == 0 {
				return e.Headers[k].Value, true
			}
			i--
		}
	}
	return nil, false
}

// Address returns the i-th of the addresses in a field; false behind the last.
func (e *Email) Address(name string, i int) ([]byte, bool) {
	rest := e.Header(name)
	for len(rest) > 0 {
		var a []byte
		if a, rest = nextAddress(rest); len(a) > 0 {
			if i == 0 {
				return a, true
			}
			i--
		}
	}
	return nil, false
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
	env     *Env
	tx      *SMTPTx
	email   *Email
	limit   int  // bytes kept of a file
	sumBody bool // the body is to be summed; summing: it is
	summing bool

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
	failed   bool // the rest is not looked at
	sum      hash.Hash
	summed   bool
	urls     [2]urlKinds // of the message, of the part under way
}

// urlKinds is what URLs were found.
type urlKinds struct{ any, address, exe bool }

func (m *mimeParser) begin(env *Env, tx *SMTPTx, limit int) {
	*m = mimeParser{env: env, tx: tx, email: &tx.Email, limit: limit, header: m.header[:0], out: m.out[:0], urlLine: m.urlLine[:0], bounds: m.bounds[:0], sum: m.sum}
	m.entity()
}

// entity begins a new entity: its header comes next.
func (m *mimeParser) entity() {
	m.inBody, m.preamble = false, false
	m.encoding, m.boundary, m.filename = mimePlain, nil, nil
	m.attached, m.message = false, false
	m.file = nil
	m.crlf = false
	m.b64n, m.b64end = 0, false
	m.header = m.header[:0]
	m.entities++
	m.urls[1] = urlKinds{}
}

// line takes a line without its end, or a piece of one: end says whether the
// line ends behind it. raw is the line as it was sent.
func (m *mimeParser) line(raw, b []byte, end bool) {
	if m.failed {
		return
	}
	m.started = true
	first := !m.cont
	m.cont = !end
	if end {
		b = bytes.TrimSuffix(b, []byte("\r"))
	}
	if len(b) > mimeMaxLine {
		m.tx.event(mimeLongLine)
	}
	summing := m.summing
	header := !m.inBody && m.headerLine(b, first)
	if summing || m.summing && !header {
		m.sumLine(raw, end)
	}
	if header {
		return
	}
	if first && m.delimiter(b) {
		return
	}
	m.reach(EmailBodyStarted)
	if m.preamble && m.entities > 1 {
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

// headerLine takes a line of a header; false: the body begins with it.
func (m *mimeParser) headerLine(b []byte, first bool) bool {
	switch {
	case len(b) == 0 && first:
		m.field()
		m.beginBody()
		return true
	case !first, b[0] == ' ', b[0] == '\t', !mimeFieldBegins(b):
		if first && m.delimiter(b) {
			return true
		}
		if len(m.header) == 0 {
			if !first || b[0] == ' ' || b[0] == '\t' {
				return true
			}
			m.beginBody() // it has no header
			return false
		}
		if room := mimeMaxHeaderName + mimeMaxHeaderValue + 2 - len(m.header); len(b) > room {
			b = b[:max(0, room)]
			m.long = true
		}
		m.header = append(m.header, b...)
	default:
		m.field()
		if room := mimeMaxHeaderName + mimeMaxHeaderValue + 2; len(b) > room {
			b, m.long = b[:room], true
		}
		m.header = append(m.header[:0], b...)
	}
	m.reach(EmailHeaderStarted)
	return true
}

// mimeFieldBegins says whether a line has the name of a field and a colon (RFC
// 5322 §2.2).
func mimeFieldBegins(b []byte) bool {
	k := bytes.IndexByte(b, ':')
	if k <= 0 {
		return false
	}
	for _, c := range b[:k] {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	return true
}

func (m *mimeParser) reach(s EmailState) {
	if m.email.State < s {
		m.email.State = s
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
	lower := bytes.ToLower(name)
	if m.entities == 1 && len(m.email.Headers) < mimeMaxHeaders {
		m.email.Headers = append(m.email.Headers, EmailHeader{lower, clone(value)})
	}
	switch string(lower) {
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
		m.message = bytes.HasPrefix(kind, []byte("message/"))
		if b, ok := mimeParam(value, "boundary"); ok && len(b) > 0 {
			if len(b) > mimeMaxBoundary {
				m.tx.event(mimeLongBoundary)
				m.tx.event(mimeParseFailed)
				m.failed = true
				m.reach(EmailError)
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
	if m.entities == 1 {
		m.reach(EmailHeaderDone)
	}
	inner := m.message && !m.attached && len(m.bounds) < mimeMaxDepth && m.encoding == mimePlain
	m.summing = m.summing || m.sumBody && !inner
	switch {
	case m.boundary != nil && len(m.bounds) < mimeMaxDepth:
		m.bounds = append(m.bounds, m.boundary)
		m.preamble = true
	case inner:
		m.entity() // the message within begins with a header
	case m.attached:
		if len(m.tx.Files) < mimeMaxFiles {
			m.file = &File{Name: m.filename, Dir: ToServer}
			m.tx.Files = append(m.tx.Files, m.file)
			if m.entities == 1 {
				m.tx.Whole = m.file
			}
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
	m.closeFile()
}

func (m *mimeParser) closeFile() {
	if m.file != nil {
		m.env.closeFile(m.file)
		m.file = nil
	}
}

// end closes the message; whole: it came to its end.
func (m *mimeParser) end(whole bool) {
	if m.tx == nil {
		return
	}
	if m.failed {
		m.closeFile()
	} else {
		m.endEntity()
		if m.entities > 1 && len(m.bounds) > 0 {
			m.tx.event(mimeMalformed) // a part goes on
		}
		if whole && !m.cont {
			m.reach(EmailDone)
		}
	}
	k := m.urls[0]
	if m.entities > 1 && len(m.bounds) > 0 {
		k = m.urls[1]
	}
	e := m.email
	e.HasURL, e.HasAddressURL, e.HasExeURL = k.any, k.address, k.exe
	if m.summed {
		m.sum.Sum(e.BodyMD5[:0])
		e.HasBodyMD5 = true
		m.sum.Reset()
		m.summed = false
	}
	m.tx = nil
}

// sumLine adds a line as it was sent to the sum of the body.
func (m *mimeParser) sumLine(raw []byte, end bool) {
	if m.sum == nil {
		m.sum = md5.New()
	}
	m.summed = true
	m.sum.Write(raw)
	if end {
		m.sum.Write([]byte{'\n'})
	}
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
	if !m.attached {
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
		m.scanURLs(end)
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
			url := bytes.ToLower(b[:n])
			m.kindOfURL(url)
			if !slices.ContainsFunc(m.email.URLs, func(u []byte) bool { return bytes.Equal(u, url) }) {
				m.email.URLs = append(m.email.URLs, url)
			}
		}
		b = b[n:]
	}
	m.urlLine = m.urlLine[:0]
}

// kindOfURL notes what a URL shows of itself.
func (m *mimeParser) kindOfURL(url []byte) {
	k := &m.urls[min(m.entities-1, 1)]
	k.any = true
	host, _, _ := bytes.Cut(url, []byte("/"))
	if a, err := netip.ParseAddr(string(host)); err == nil && a.Zone() == "" {
		k.address = true
	}
	for i := bytes.Index(url, []byte(".exe")); i >= 0; {
		rest := url[i+4:]
		if len(rest) == 0 || !(rest[0] >= 'a' && rest[0] <= 'z' || digit(rest[0])) {
			k.exe = true
			break
		}
		next := bytes.Index(rest, []byte(".exe"))
		if next < 0 {
			break
		}
		i += 4 + next
	}
}

func urlByte(c byte) bool {
	return c > ' ' && c != '"' && c != '\'' && c != '<' && c != '>' && c != ']'
}

// nextAddress takes the first of a list of addresses.
func nextAddress(value []byte) (addr, rest []byte) {
	quoted := false
	for i, c := range value {
		if c == '"' {
			quoted = !quoted
		}
		if c == ',' && !quoted {
			return bytes.TrimSpace(value[:i]), value[i+1:]
		}
	}
	return bytes.TrimSpace(value), nil
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
