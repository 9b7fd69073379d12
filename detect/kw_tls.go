package detect

import (
	"strconv"
	"strings"
	"time"

	"github.com/garita/garita/app"
)

var tlsVersions = map[string]uint64{
	"sslv2": 0x0002, "sslv3": 0x0300, "tls1.0": 0x0301, "tls1.1": 0x0302, "tls1.2": 0x0303, "tls1.3": 0x0304,
	"1.0": 0x0301, "1.1": 0x0302, "1.2": 0x0303, "1.3": 0x0304,
}

func kwTLSVersion(b *builder, v string) error {
	s := strings.Trim(v, `" `)
	n, ok := tlsVersions[s]
	if !ok || strings.HasPrefix(s, "ssl") {
		x, err := strconv.ParseUint(strings.TrimPrefix(s, "0x"), 16, 16)
		if err != nil || !strings.HasPrefix(s, "0x") {
			return b.fail(0, "not a version: "+strconv.Quote(v), "1.0, 1.1, 1.2, 1.3 or 0x0303")
		}
		n = x
	}
	b.fieldCond(txCond{op: txNumber, field: app.TLSVersion, num: numRange{op: numEQ, a: n}})
	return nil
}

// kwSSLVersion takes several versions, all plain or all negated.
func kwSSLVersion(b *builder, v string) error {
	c := txCond{op: txVersions, field: app.TLSVersion}
	for i, f := range fields(strings.Trim(v, `"`)) {
		neg := strings.HasPrefix(f, "!")
		if i > 0 && neg != c.neg {
			return b.fail(0, "negated and plain versions together", "use either")
		}
		c.neg = neg
		n, ok := tlsVersions[strings.ToLower(strings.TrimPrefix(f, "!"))]
		if !ok || f[len(f)-1] != '2' && f[len(f)-1] != '3' && f[len(f)-1] != '0' && f[len(f)-1] != '1' {
			return b.fail(0, "not a version: "+strconv.Quote(f), "sslv2, sslv3, tls1.0, tls1.1, tls1.2, tls1.3")
		}
		c.set = append(c.set, n)
	}
	b.fieldCond(c)
	return nil
}

// sslStates are the words of ssl_state; the number is a set of app.TLSState.
var sslStates = map[string]uint64{
	"client_hello": 1 << app.TLSClientHello, "server_hello": 1 << app.TLSServerHello,
	"client_keyx": 1 << app.TLSClientKeys, "server_keyx": 1 << app.TLSServerKeys, "unknown": 1 << 31, // no handshake is ever in it
}

// kwSSLState reads states joined by commas or bars, each with ! before it or
// not. One ! is enough to make the rule match in any state that is not the
// one behind it.
func kwSSLState(b *builder, v string) error {
	c := txCond{op: txHandshake, field: app.TLSHandshakeState}
	for _, s := range strings.FieldsFunc(v, func(r rune) bool { return r == ',' || r == '|' }) {
		name, neg := strings.CutPrefix(strings.TrimSpace(s), "!")
		bit, ok := sslStates[name]
		if !ok {
			return b.fail(0, "unknown state "+strconv.Quote(s), "client_hello, server_hello, client_keyx, server_keyx, unknown, each with ! before it if it is not wanted")
		}
		c.num.a |= bit
		if neg {
			c.num.b |= bit
		}
	}
	if c.num.a == 0 {
		return b.fail(0, "no state is named", "")
	}
	b.fieldCond(c)
	return nil
}

func kwFtpBounce(b *builder, _ string) error {
	b.appConds = append(b.appConds, condList{conds: []txCond{{op: txFtpBounce, field: app.FTPCommandData}}, dirs: app.DirTS, protos: app.ProtoSetOf(app.FTP)})
	return nil
}

// ftpBounce: the address in a PORT command is not the client's.
func ftpBounce(in *Input, arg []byte) bool {
	src := in.Packet.Src()
	if !src.Is4() {
		return false
	}
	a := src.As4()
	n, part := 0, 0
	digits := false
	for _, c := range arg {
		switch {
		case c >= '0' && c <= '9':
			if n = n*10 + int(c-'0'); n > 255 {
				return false
			}
			digits = true
		case c == ',' && digits:
			if byte(n) != a[part] {
				return true
			}
			n, digits = 0, false
			if part++; part == 4 {
				return false
			}
		default:
			return false
		}
	}
	return false
}

// kwTLSText is the older form of the certificate buffers: a text that the
// field is, or that is in it.
func kwTLSText(b *builder, v string) error {
	neg, text, _, err := b.quoted(v)
	if err != nil {
		return err
	}
	c := txCond{name: text, neg: neg}
	switch b.o.Name {
	case "tls.fingerprint":
		c.op, c.field = txText, app.TLSCertFingerprint
	case "tls.subject":
		c.op, c.field = txContains, app.TLSCertSubject
	default:
		c.op, c.field = txContains, app.TLSCertIssuer
	}
	b.fieldCond(c)
	return nil
}

// kwTLSDate compares a date of the certificate: "<2015-10", ">2015-10-22T23:59",
// "2015-10<>2016-10", or seconds since 1970.
func kwTLSDate(b *builder, v string) error {
	f := app.TLSCertNotBefore
	if b.o.Name == "tls_cert_notafter" {
		f = app.TLSCertNotAfter
	}
	var r numRange
	s := strings.Trim(v, `" `)
	date := func(s string) uint64 {
		s = strings.TrimSpace(s)
		if n, ok := parseNum(s, 64); ok && len(s) > 4 {
			return n
		}
		for _, layout := range []string{"2006", "2006-01", "2006-01-02", "2006-01-02T15", "2006-01-02T15:04", "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02 15"} {
			if t, err := time.Parse(layout, s); err == nil {
				return uint64(max(0, t.Unix()))
			}
		}
		return 0
	}
	lo, hi, ok := strings.Cut(s, "<>")
	switch {
	case ok:
		r = numRange{op: numIn, a: date(lo), b: date(hi)}
	case strings.HasPrefix(s, "<"):
		r = numRange{op: numLT, a: date(s[1:])}
	case strings.HasPrefix(s, ">"):
		r = numRange{op: numGT, a: date(s[1:])}
	default:
		r = numRange{op: numEQ, a: date(s)}
	}
	if r.a == 0 || r.op == numIn && r.b == 0 {
		return b.fail(0, "not a date: "+strconv.Quote(v), "write <2015-10-22, >2015-10 or 2015-01<>2016-01")
	}
	b.fieldCond(txCond{op: txNumber, field: f, num: r})
	return nil
}

func kwTLSValid(b *builder, _ string) error {
	if b.o.Name == "tls_cert_expired" {
		b.fieldCond(txCond{op: txAge, field: app.TLSCertNotAfter})
		return nil
	}
	b.fieldCond(txCond{op: txAge, field: app.TLSCertNotBefore})
	b.fieldCond(txCond{op: txAge, field: app.TLSCertNotAfter, neg: true})
	return nil
}
