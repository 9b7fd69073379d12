package eve

import "github.com/garita/garita/app"

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

func emailObject(o *object, t *app.SMTPTx) {
	if !t.HasMail {
		return
	}
	o.open("email")
	status := "PARSE_DONE"
	if !t.Complete() {
		status = "BODY_STARTED"
	}
	o.str("status", status)
	if t.Email.From != nil {
		o.bytes("from", t.Email.From)
	}
	if t.To != nil {
		o.strings("to", t.To)
	}
	if t.CC != nil {
		o.strings("cc", t.CC)
	}
	if len(t.Files) > 0 {
		o.openArray("attachment")
		for _, f := range t.Files {
			o.itemBytes(f.Name)
		}
		o.closeArray()
	}
	if len(t.URLs) > 0 {
		o.strings("url", t.URLs)
	}
	o.close()
}
