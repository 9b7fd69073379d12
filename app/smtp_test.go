package app

import (
	"crypto/md5"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
)

func smtpMail() string {
	return "From: A <a@example.org>\r\nTo: b@example.org,\r\n \"C, D\" <c@example.org>\r\nSubject: hello\r\n world\r\n" +
		"Content-Type: multipart/mixed; boundary=\"=_b\"\r\n\r\npreamble http://no.example/\r\n--=_b\r\n" +
		"Content-Type: text/plain\r\n\r\nsee http://www.example.com/x.exe now\r\n..dot\r\n--=_b\r\n" +
		"Content-Type: application/octet-stream; name=\"a.bin\"\r\nContent-Transfer-Encoding: base64\r\n\r\n" +
		base64.StdEncoding.EncodeToString([]byte("attached bytes")) + "\r\n--=_b\r\n" +
		"Content-Disposition: attachment; filename=q.txt\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" +
		"so=\r\nft =3D hard\r\nend\r\n--=_b\r\n" +
		"Content-Disposition: attachment; filename*0*=utf-8''x%20;\r\n filename*1=y.txt\r\n\r\nplain\r\ntext\r\n--=_b--\r\nepilogue\r\n"
}

func smtpTalk() []piece {
	return []piece{
		tc("220 mx ready\r\n"), ts("EHLO client.example\r\n"), tc("250-mx\r\n250 8BITMIME\r\n"),
		ts("MAIL FROM:<a@example.org> SIZE=100\r\nRCPT TO:<b@example.org>\r\nRCPT TO:<c@example.org>\r\nDATA\r\n"),
		tc("250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n"),
		ts(smtpMail() + ".\r\n"), tc("250 queued\r\n"), ts("RSET\r\nMAIL FROM: <z@example.org>\r\n"), tc("250 ok\r\n250 ok\r\n"),
		ts("QUIT\r\n"), tc("221 bye\r\n"),
	}
}

func TestSMTP(t *testing.T) {
	c := talk(SMTP, smtpTalk(), true, whole)
	if n := len(c.Transactions()); n != 2 {
		t.Fatalf("%d transactions, want 2", n)
	}
	for _, x := range []struct {
		tx   int
		f    Field
		i    int
		want string
	}{
		{0, SMTPHelo, 0, "client.example"},
		{0, SMTPMailFrom, 0, "<a@example.org>"},
		{0, SMTPRcptTo, 1, "<c@example.org>"},
		{0, EmailFrom, 0, "A <a@example.org>"},
		{0, EmailTo, 1, `"C, D" <c@example.org>`},
		{0, EmailSubject, 0, "hello world"},
		{0, EmailURL, 0, "no.example/"}, // Suricata reads what comes before the parts, too
		{0, EmailURL, 1, "www.example.com/x.exe"},
		{0, EmailURL, 2, "<absent>"},
		{0, FileName, 0, "a.bin"},
		{0, FileName, 1, "q.txt"},
		{0, FileName, 2, "x y.txt"},
		{0, FileName, 3, "<absent>"},
		{1, SMTPMailFrom, 0, "<z@example.org>"},
	} {
		if got := field(t, c, x.tx, x.f, ToServer, x.i); got != x.want {
			t.Errorf("tx %d %v[%d] = %q, want %q", x.tx, x.f, x.i, got, x.want)
		}
	}
	for i, want := range []string{"attached bytes", "soft = hard\r\nend", "plain\r\ntext"} {
		b := c.Transactions()[0].Body(FileData, ToServer, i)
		if b == nil || string(b.Data) != want || !b.Done {
			t.Errorf("file %d is %+v, want %q", i, b, want)
		}
	}
	checkLaws(t, SMTP, smtpTalk())
}

func TestSMTPBDAT(t *testing.T) {
	mail := smtpMail()
	a, b := mail[:333], mail[333:]
	say := []piece{
		tc("220 mx\r\n"), ts("EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n"), tc("250 a\r\n250 b\r\n250 c\r\n"),
		ts(fmt.Sprintf("BDAT %d\r\n%s", len(a), a)), ts(fmt.Sprintf("BDAT %d LAST\r\n%sQUIT\r\n", len(b), b)),
	}
	c := talk(SMTP, say, true, whole)
	if n := len(c.Transactions()[0].Base().Files); n != 3 {
		t.Errorf("%d files, want 3", n)
	}
	checkLaws(t, SMTP, say)
}

// TestSMTPBodies: what belongs to the body of a message, told by its sum.
func TestSMTPBodies(t *testing.T) {
	for _, x := range []struct{ mail, body, from string }{
		{"From: a\r\n\r\nx\r\n", "x\r\n", "a"},
		{"From: a\r\n\r\n..x\r\n", "..x\r\n", "a"},
		{"From: a\r\nmore\r\nFrom : b\r\n\r\nx\r\n", "x\r\n", "amoreFrom : b"},
		{"From: a\r\nFrom: b\r\n\r\nx\n", "x\n", "b"},
		{"no header\r\nFrom: a\r\n", "no header\r\nFrom: a\r\n", ""},
		{"From: a\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nA: b\r\n\r\nx\r\n--b--\r\n", "--b\r\nA: b\r\n\r\nx\r\n--b--\r\n", "a"},
		{"From: a\r\nContent-Type: message/rfc822\r\n\r\nFrom: b\r\n\r\nx\r\n", "x\r\n", "a"},
	} {
		c := new(Conn)
		c.Reset(NewEnv(Config{SMTP: SMTPConfig{BodyMD5: true}}), Hints{SrcPort: 40000, DstPort: 25, Expected: &Expectation{Proto: SMTP}})
		for _, p := range []piece{tc("220 x ESMTP\r\n"), ts("EHLO x\r\n"), tc("250 x\r\n"), ts("DATA\r\n"), tc("354 go\r\n"), ts(x.mail + ".\r\n")} {
			c.Feed(p.dir, p.data)
		}
		m := c.Transactions()[0].(*SMTPTx)
		if want := md5.Sum([]byte(x.body)); !m.HasBodyMD5 || m.BodyMD5 != want || string(m.Header("from")) != x.from {
			t.Errorf("%q: sum %v of another body, or from %q", x.mail, m.HasBodyMD5, m.Header("from"))
		}
	}
}

func TestSMTPEvents(t *testing.T) {
	for _, x := range []struct {
		name string
		say  []piece
		want Event
	}{
		{"client first", []piece{ts("EHLO x\r\n")}, smtpNoWelcome},
		{"DATA refused", []piece{tc("220 x\r\n"), ts("EHLO x\r\nDATA\r\n"), tc("250 x\r\n550 no\r\n")}, smtpDataRejected},
		{"TLS refused", []piece{tc("220 x\r\n"), ts("STARTTLS\r\n"), tc("502 no\r\n")}, smtpTLSRejected},
		{"long command", []piece{tc("220 x\r\n"), ts("EHLO " + strings.Repeat("x", 600) + "\r\n")}, smtpLongCommand},
		{"odd reply", []piece{tc("220 x\r\n"), ts("EHLO x\r\n"), tc("xyz\r\n")}, smtpInvalidReply},
		{"bad base64", []piece{tc("220 x\r\n"), ts("DATA\r\n"), tc("354\r\n"),
			ts("Content-Transfer-Encoding: base64\r\nContent-Type: a/b; name=x\r\n\r\n!!!!\r\n.\r\n")}, mimeInvalidBase64},
	} {
		c := talk(SMTP, x.say, true, whole)
		found := false
		for _, tx := range c.Transactions() {
			for _, e := range tx.Base().Events {
				found = found || e == x.want
			}
		}
		if !found {
			t.Errorf("%s: no %s in\n%s", x.name, x.want, dumpConn(c))
		}
		checkLaws(t, SMTP, x.say)
	}
}

func TestSMTPStartTLS(t *testing.T) {
	say := []piece{tc("220 x\r\n"), ts("EHLO x\r\nSTARTTLS\r\n"), tc("250 x\r\n220 go\r\n"), ts("\x16\x03\x01\x00\x02\x01\x00")}
	c := talk(SMTP, say, false, whole)
	if c.Proto() != TLS || c.OrigProto() != SMTP {
		t.Errorf("protocol %v, before %v; want tls, smtp", c.Proto(), c.OrigProto())
	}
	checkCuts(t, SMTP, say, 20)
}

// A line longer than any buffer comes in pieces, everything of it arrives.
func TestSMTPLongLines(t *testing.T) {
	body := strings.Repeat("0123456789abcdef", 3000)
	say := []piece{tc("220 x\r\n"), ts("DATA\r\n"), tc("354\r\n"),
		ts("Content-Disposition: attachment; filename=x\r\n\r\n" + body + "\r\n" + strings.Repeat("y", 8191) + "\r\n.\r\n")}
	c := talk(SMTP, say, true, whole)
	want := body + "\r\n" + strings.Repeat("y", 8191)
	if b := c.Transactions()[0].Body(FileData, ToServer, 0); b == nil || string(b.Data) != want {
		t.Error("a long line does not arrive whole")
	}
	checkCuts(t, SMTP, say, 10)
}

func FuzzSMTP(f *testing.F) {
	fuzzStream(f, SMTP, smtpTalk(), []piece{tc("220 x\r\n"), ts("BDAT 5 LAST\r\nabcde")})
}
