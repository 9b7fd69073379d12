package eve

import (
	"crypto/md5"
	"strings"
	"unicode/utf8"

	"github.com/garita/garita/app"
)

func (l *Logger) sshObject(o *object, t *app.SSHTx) {
	o.open("ssh")
	for d, k := range [...]string{"client", "server"} {
		s := &t.Side[d]
		if s.Proto == nil {
			continue
		}
		o.open(k)
		o.bytes("proto_version", s.Proto)
		if len(s.Software) > 0 {
			o.bytes("software_version", s.Software)
		}
		if (l.cfg.Hassh || l.hassh) && s.Hassh != nil {
			o.open("hassh")
			o.bytes("hash", s.Hassh)
			o.bytes("string", s.HasshString)
			o.close()
		}
		o.close()
	}
	o.close()
}

func smtpObject(o *object, t *app.SMTPTx) {
	o.open("smtp")
	if len(t.Helo) > 0 {
		o.bytes("helo", t.Helo)
	}
	if len(t.MailFrom) > 0 {
		o.bytes("mail_from", t.MailFrom)
	}
	if len(t.RcptTo) > 0 {
		o.strings("rcpt_to", t.RcptTo)
	}
	o.close()
}

// MailFields are the fields of messages that records show, by the bits of
// mailFields.
type MailFields uint32

// mailFields are the fields that can be asked for; those with more belong to an
// extended record.
var mailFields = [...]struct {
	name, key  string
	more, many bool
	list       bool // of addresses
}{
	{name: "reply-to", key: "reply_to"}, {name: "bcc", key: "bcc", list: true},
	{name: "message-id", key: "message_id", more: true}, {name: "subject", key: "subject", more: true},
	{name: "x-mailer", key: "x_mailer", more: true}, {name: "user-agent", key: "user_agent", more: true},
	{name: "received", key: "received", many: true}, {name: "x-originating-ip", key: "x_originating_ip"},
	{name: "in-reply-to", key: "in_reply_to"}, {name: "references", key: "references"},
	{name: "importance", key: "importance"}, {name: "priority", key: "priority"},
	{name: "sensitivity", key: "sensitivity"}, {name: "organization", key: "organization"},
	{name: "content-md5", key: "content_md5"}, {name: "date", key: "date"},
}

// MailFieldByName finds a field of messages; false if it cannot be shown.
func MailFieldByName(name string) (MailFields, bool) {
	for i, f := range mailFields {
		if strings.EqualFold(f.name, name) {
			return 1 << i, true
		}
	}
	return 0, false
}

// MailExtended are the fields of an extended record.
func MailExtended() (m MailFields) {
	for i, f := range mailFields {
		if f.more {
			m |= 1 << i
		}
	}
	return m
}

var mailStates = [...]string{
	app.EmailReady: "HEADER_READY", app.EmailHeaderStarted: "HEADER_STARTED", app.EmailHeaderDone: "HEADER_DONE",
	app.EmailBodyStarted: "BODY_STARTED", app.EmailDone: "PARSE_DONE", app.EmailError: "PARSE_ERROR",
}

// emailObject describes the message of a mail; record: in a record of its own.
func (l *Logger) emailObject(o *object, t *app.SMTPTx, record bool) {
	if !t.HasMail {
		return
	}
	e := &t.Email
	o.open("email")
	o.str("status", mailStates[e.State])
	mailText(o, "from", e.Header("from"))
	mailAddresses(o, "to", "to", e)
	mailAddresses(o, "cc", "cc", e)
	any := false
	for _, f := range t.Files {
		if f == t.Whole {
			continue
		}
		if !any {
			any = true
			o.openArray("attachment")
		}
		o.itemBytes(f.Name)
	}
	if any {
		o.closeArray()
	}
	if e.HasURL {
		o.bool("has_ipv6_url", e.HasAddressURL) // of both versions: so it is in Suricata
		o.bool("has_ipv4_url", false)
		o.bool("has_exe_url", e.HasExeURL)
	}
	if len(e.URLs) > 0 {
		o.openArray("url")
		for i := len(e.URLs) - 1; i >= 0; i-- {
			o.itemBytes(e.URLs[i])
		}
		o.closeArray()
	}
	if record {
		l.emailDetails(o, e)
	}
	o.close()
}

// emailDetails adds what only records of mails show.
func (l *Logger) emailDetails(o *object, e *app.Email) {
	for i := range mailFields {
		if l.cfg.MailFields>>i&1 == 0 {
			continue
		}
		switch f := &mailFields[i]; {
		case f.list:
			mailAddresses(o, f.key, f.name, e)
		case f.many:
			mailAll(o, f.key, f.name, e)
		default:
			mailText(o, f.key, e.Header(f.name))
		}
	}
	if s := e.Header("subject"); l.cfg.MailSubjectMD5 && len(s) > 0 {
		sum := md5.Sum(s)
		o.hex("subject_md5", sum[:])
	}
	if l.cfg.MailBodyMD5 && e.HasBodyMD5 {
		o.hex("body_md5", e.BodyMD5[:])
	}
}

// mailText adds a value unless it is empty or no text.
func mailText(o *object, k string, v []byte) {
	if len(v) > 0 && utf8.Valid(v) {
		o.bytes(k, v)
	}
}

func mailAddresses(o *object, k, name string, e *app.Email) {
	for i := 0; ; i++ {
		a, ok := e.Address(name, i)
		if i == 0 && ok {
			o.openArray(k)
		}
		if !ok {
			if i > 0 {
				o.closeArray()
			}
			return
		}
		o.itemBytes(a)
	}
}

func mailAll(o *object, k, name string, e *app.Email) {
	for i := 0; ; i++ {
		v, ok := e.HeaderAt(name, i)
		if i == 0 && ok {
			o.openArray(k)
		}
		if !ok {
			if i > 0 {
				o.closeArray()
			}
			return
		}
		o.itemBytes(v)
	}
}
