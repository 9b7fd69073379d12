package detect

import (
	"strconv"
	"strings"

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
