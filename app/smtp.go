package app

import (
	"bytes"
)

// Anomalies of SMTP.
const (
	smtpInvalidReply      Event = "invalid_reply"
	smtpUnmatchedReply    Event = "unable_to_match_reply_with_request"
	smtpLongCommand       Event = "max_command_line_len_exceeded"
	smtpLongReply         Event = "max_reply_line_len_exceeded"
	smtpInvalidPipelining Event = "invalid_pipelined_sequence"
	smtpChunkExceeded     Event = "bdat_chunk_len_exceeded"
	smtpNoWelcome         Event = "no_server_welcome_message"
	smtpTLSRejected       Event = "tls_rejected"
	smtpDataRejected      Event = "data_command_rejected"
	smtpFailedChange      Event = "failed_protocol_change"
	smtpDuplicateFields   Event = "duplicate_fields"
)

const (
	smtpMaxLine     = 4096 // longest command or reply that is read; the rest of the line is not
	smtpMaxDataLine = 8192 // longer lines of a message come in pieces of this length
	smtpRFCLine     = 510  // RFC 5321 §4.5.3.1.4, without the line end
	smtpMaxPending  = 255  // commands without a reply
	smtpMaxRcpt     = 1000
)

// SMTPConfig is what the operator may choose about SMTP.
type SMTPConfig struct {
	// ContentLimit is how many bytes of an attachment are kept; 0 means
	// 100,000, Suricata's inspected-tracker.content-limit.
	ContentLimit int
	// NoMIME leaves messages alone.
	NoMIME bool
	// BodyMD5 sums the bodies of messages.
	BodyMD5 bool
}

// SMTPTx is one mail: from the first command (or the end of the mail before)
// to the end of the message.
type SMTPTx struct {
	plainTx
	Email
	Helo     []byte // argument of the last HELO or EHLO of the session
	MailFrom []byte // with angle brackets, as sent
	RcptTo   [][]byte
	HasMail  bool // a message was begun: Email means something
	// Whole is the file that is the message itself, not a part of it; nil if it
	// is none.
	Whole *File
}

// Bytes implements Tx.
func (t *SMTPTx) Bytes(f Field, d Dir, i int) ([]byte, bool) {
	if d != ToServer {
		return nil, false
	}
	switch f {
	case SMTPHelo:
		return only(t.Helo, i)
	case SMTPMailFrom:
		return only(t.MailFrom, i)
	case SMTPRcptTo:
		return at(t.RcptTo, i)
	case EmailFrom:
		return only(t.Header("from"), i)
	case EmailTo:
		return t.Address("to", i)
	case EmailCC:
		return t.Address("cc", i)
	case EmailSubject:
		return only(t.Header("subject"), i)
	case EmailDate:
		return only(t.Header("date"), i)
	case EmailMessageID:
		return only(t.Header("message-id"), i)
	case EmailXMailer:
		return only(t.Header("x-mailer"), i)
	case EmailURL:
		return at(t.URLs, i)
	case EmailReceived:
		return t.HeaderAt("received", i)
	case FileName:
		if f := t.FileAt(d, i); f != nil {
			return f.Name, true
		}
	}
	return nil, false
}

type smtpCommand uint8

const (
	smtpOther smtpCommand = iota
	smtpData
	smtpBDAT
	smtpStartTLS
	smtpRset
)

type smtpParser struct {
	streamOnly
	tx       *SMTPTx
	helo     []byte
	mime     mimeParser
	pending  []smtpCommand // without a reply so far
	welcomed bool
	data     bool    // within a message
	answered bool    // the server said 354 to it
	midLine  bool    // the next bytes continue a line of the message
	drop     [2]bool // the rest of a line that is too long
	bdat     uint64  // bytes left of a chunk
	bdatLast bool
	mail     bool // mime is within a message
	tls      bool // what follows is TLS, but for replies that come before it
}

func newSMTP() parser { return &smtpParser{} }

func (p *smtpParser) reset() {
	*p = smtpParser{pending: p.pending[:0], mime: mimeParser{header: p.mime.header[:0], out: p.mime.out[:0], urlLine: p.mime.urlLine[:0], sum: p.mime.sum}}
}

func (*smtpParser) maxPending() int { return smtpMaxDataLine + 2 }

func (p *smtpParser) parse(c *Conn, d Dir, data []byte) (n, need int) {
	for n < len(data) {
		b := data[n:]
		if p.tls && (d == ToServer || !digit(b[0])) {
			c.recogniseAnew(TLS, 443)
			return n, 0
		}
		if d == ToServer && p.bdat > 0 {
			k := p.chunk(b)
			if k == 0 {
				return n, len(b) + 1
			}
			n += k
			continue
		}
		limit := smtpMaxLine
		if d == ToServer && p.data && !p.drop[d] {
			limit = smtpMaxDataLine
		}
		k := bytes.IndexByte(b[:min(len(b), limit)], '\n')
		if k < 0 && len(b) < limit && !p.drop[d] {
			return n, len(b) + 1
		}
		line, end := b[:min(len(b), limit)], false
		if k >= 0 {
			line, end = b[:k], true
			n++
		} else if len(line) > 1 && line[len(line)-1] == '\r' {
			line = line[:len(line)-1] // it may belong to the line end
		}
		n += len(line)
		switch {
		case p.drop[d]:
			p.drop[d] = !end
		case d == ToServer && p.data:
			p.message(line, end)
		case d == ToServer:
			p.drop[d] = !end
			p.command(c, bytes.TrimSuffix(line, []byte("\r")))
		default:
			p.drop[d] = !end
			if !p.tls {
				p.reply(c, bytes.TrimSuffix(line, []byte("\r")))
			}
			if c.Done() {
				return n, 0
			}
		}
	}
	return n, 0
}

// transaction returns the mail under way, a new one if there is none.
func (p *smtpParser) transaction(c *Conn, d Dir) *SMTPTx {
	if p.tx == nil {
		p.tx = &SMTPTx{Helo: p.helo}
		p.tx.TxBase.From = d
		c.add(p.tx)
	}
	return p.tx
}

// done closes the mail under way.
func (p *smtpParser) done() {
	if p.mail {
		p.mime.end(true)
		p.mail = false
	}
	if p.tx != nil {
		p.tx.complete()
		p.tx = nil
	}
	p.data, p.midLine = false, false
}

func (p *smtpParser) command(c *Conn, b []byte) {
	cmd := smtpOther
	word, arg := b, []byte(nil)
	if k := bytes.IndexByte(b, ' '); k >= 0 {
		word, arg = b[:k], bytes.TrimSpace(b[k:])
	}
	if equalFold(word, "rset") {
		if cmd = smtpRset; p.tx == nil && c.nextID > 0 {
			p.queue(nil, cmd)
			return
		}
	}
	t := p.transaction(c, ToServer)
	if !p.welcomed {
		t.event(smtpNoWelcome)
	}
	if len(b) > smtpRFCLine {
		t.event(smtpLongCommand)
	}
	switch {
	case bytes.EqualFold(word, []byte("starttls")):
		cmd = smtpStartTLS
	case bytes.EqualFold(word, []byte("data")):
		cmd = smtpData
	case bytes.EqualFold(word, []byte("bdat")):
		cmd = smtpBDAT
	case bytes.EqualFold(word, []byte("helo")), bytes.EqualFold(word, []byte("ehlo")):
		if p.helo != nil {
			t.event(smtpDuplicateFields)
		} else {
			p.helo = clone(firstWord(arg))
			t.Helo = p.helo
		}
	case hasPrefixFold(b, "mail from"):
		if t.MailFrom != nil {
			t.event(smtpDuplicateFields)
		} else {
			t.MailFrom = clone(firstWord(afterColon(b, len("mail from"))))
		}
	case hasPrefixFold(b, "rcpt to"):
		if len(t.RcptTo) < smtpMaxRcpt {
			t.RcptTo = append(t.RcptTo, clone(firstWord(afterColon(b, len("rcpt to")))))
		}
	}
	p.queue(t, cmd)
	switch cmd {
	case smtpData:
		p.data, p.answered, p.midLine = true, false, false
		p.beginMail(c)
	case smtpBDAT:
		size, rest, _ := bytes.Cut(arg, []byte(" "))
		v, ok := parseUint(size)
		if !ok {
			return
		}
		p.bdat, p.bdatLast = v, hasPrefixFold(bytes.TrimSpace(rest), "last")
		if !p.mail {
			p.beginMail(c)
		}
		if v == 0 && p.bdatLast {
			p.done()
		}
	case smtpRset:
		p.done()
	}
}

// queue notes a command that wants a reply.
func (p *smtpParser) queue(t *SMTPTx, cmd smtpCommand) {
	if n := len(p.pending); n > 0 && t != nil && p.pending[n-1] == smtpStartTLS {
		t.event(smtpInvalidPipelining)
	}
	if len(p.pending) < smtpMaxPending {
		p.pending = append(p.pending, cmd)
	}
}

func (p *smtpParser) beginMail(c *Conn) {
	t := p.tx
	t.HasMail = true
	if c.env.Config.SMTP.NoMIME {
		return
	}
	limit := c.env.Config.SMTP.ContentLimit
	if limit == 0 {
		limit = 100000
	}
	p.mail = true
	p.mime.begin(c.env, t, limit)
	p.mime.sumBody = c.env.Config.SMTP.BodyMD5
}

// message takes a line of DATA, or a piece of a line.
func (p *smtpParser) message(line []byte, end bool) {
	first := !p.midLine
	p.midLine = !end
	if !p.answered {
		p.tx.event(smtpInvalidPipelining)
	}
	raw := line
	if first && len(line) > 0 && line[0] == '.' {
		if end && (len(line) == 1 || len(line) == 2 && line[1] == '\r') {
			p.done()
			return
		}
		line = line[1:] // RFC 5321 §4.5.2
	}
	if p.mail {
		p.mime.line(raw, line, end)
		p.progress()
	}
}

func (p *smtpParser) progress() {
	if p.mime.entities > 1 || p.mime.inBody {
		p.tx.reach(ToServer, StageHeaders)
	}
}

// chunk takes a line of BDAT (RFC 3030), which has no dots and may end
// anywhere; 0: more bytes are needed.
func (p *smtpParser) chunk(b []byte) int {
	most := int(min(p.bdat, smtpMaxDataLine))
	k := bytes.IndexByte(b[:min(len(b), most)], '\n')
	if k < 0 && len(b) < most {
		return 0
	}
	line, n := b[:min(len(b), most)], min(len(b), most)
	if k >= 0 {
		line, n = b[:k], k+1
	} else if n > 1 && line[n-1] == '\r' {
		n-- // it may belong to the line end
		line = line[:n]
	}
	if p.mail {
		p.mime.line(line, line, k >= 0)
		p.progress()
	}
	p.bdat -= uint64(n)
	if p.bdat == 0 && p.bdatLast {
		p.done()
	}
	return n
}

func (p *smtpParser) reply(c *Conn, b []byte) {
	t := p.tx
	if len(b) < 3 || !smtpReplyCode(b[:3]) {
		if t != nil {
			t.event(smtpInvalidReply)
		}
		c.fail()
		return
	}
	if !p.welcomed {
		// The greeting belongs to no command.
		p.welcomed = true
		if t == nil {
			p.welcomed = len(b) < 4 || b[3] != '-'
			return
		}
	}
	if len(b) > smtpRFCLine && t != nil {
		t.event(smtpLongReply)
	}
	if len(b) > 3 && b[3] == '-' {
		return // more lines follow
	}
	if len(p.pending) == 0 {
		if t != nil && string(b[:3]) != "220" && string(b[:3]) != "421" {
			t.event(smtpUnmatchedReply)
		}
		return
	}
	cmd := p.pending[0]
	copy(p.pending, p.pending[1:])
	p.pending = p.pending[:len(p.pending)-1]
	switch cmd {
	case smtpData:
		if b[0] == '3' {
			p.answered = true
			// The reply to the message itself.
			p.pending = append(p.pending, smtpOther)
			return
		}
		if t != nil {
			t.event(smtpDataRejected)
		}
		if p.data && !p.answered {
			p.data, p.midLine = false, false
			if p.mail {
				p.mime.end(false)
				p.mail = false
			}
		}
	case smtpStartTLS:
		if string(b[:3]) == "220" {
			p.done()
			p.tls = true
		} else if t != nil {
			t.event(smtpTLSRejected)
		}
	}
}

// smtpReplyCode knows the replies of RFC 5321 §4.2.3 and the few of its
// extensions that Suricata knows; another is no SMTP.
func smtpReplyCode(b []byte) bool {
	switch string(b) {
	case "211", "214", "220", "221", "235", "250", "251", "252", "334", "354", "421", "450", "451", "452", "455",
		"500", "501", "502", "503", "504", "550", "551", "552", "553", "554", "555":
		return true
	}
	return false
}

func (p *smtpParser) gap(_ *Conn, d Dir, n uint64) bool {
	if d == ToServer {
		if p.bdat > 0 {
			p.bdat -= min(p.bdat, n)
		}
		if p.tx != nil {
			for _, f := range p.tx.Files {
				if !f.Done {
					f.Gaps = true
				}
			}
		}
	}
	p.drop[d] = !p.data || d == ToClient // up to the next line
	if d == ToServer {
		p.midLine = false
	}
	return true
}

func (p *smtpParser) close(_ *Conn, d Dir, tail []byte) {
	if d == ToServer && p.data && p.mail && len(tail) > 0 {
		p.mime.line(tail, tail, true)
	}
	if p.tx != nil && (d == ToServer || !p.data) {
		if p.mail && d == ToServer {
			p.mime.end(false)
			p.mail = false
		}
		p.tx.reach(d, StageComplete)
	}
}

func firstWord(b []byte) []byte {
	if k := bytes.IndexAny(b, " \t"); k >= 0 {
		return b[:k]
	}
	return b
}

// afterColon returns what follows the first n bytes and a colon.
func afterColon(b []byte, n int) []byte {
	b = bytes.TrimLeft(b[n:], " \t")
	b = bytes.TrimPrefix(b, []byte(":"))
	return bytes.TrimLeft(b, " \t")
}

func hasPrefixFold(b []byte, prefix string) bool {
	return len(b) >= len(prefix) && bytes.EqualFold(b[:len(prefix)], []byte(prefix))
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

// parseUint reads decimal digits; false if there are none, others or too many.
func parseUint(b []byte) (uint64, bool) {
	if len(b) == 0 || len(b) > 18 {
		return 0, false
	}
	var v uint64
	for _, c := range b {
		if !digit(c) {
			return 0, false
		}
		v = 10*v + uint64(c-'0')
	}
	return v, true
}
