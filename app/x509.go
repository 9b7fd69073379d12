package app

import (
	"bytes"
	"crypto/sha1"
	"encoding/hex"
	"time"
	"unicode/utf8"
)

// Anomalies of certificates.
const (
	x509InvalidCertificate Event = "invalid_certificate"
	x509InvalidLength      Event = "certificate_invalid_length"
	x509InvalidVersion     Event = "certificate_invalid_version"
	x509InvalidSerial      Event = "certificate_invalid_serial"
	x509InvalidAlgorithm   Event = "certificate_invalid_algorithmidentifier"
	x509InvalidDate        Event = "certificate_invalid_date"
	x509InvalidExtensions  Event = "certificate_invalid_extensions"
	x509InvalidDER         Event = "certificate_invalid_der"
	x509InvalidSubject     Event = "certificate_invalid_subject"
	x509InvalidIssuer      Event = "certificate_invalid_issuer"
	x509MaxAltNames              = 256
	x509MaxNameText              = 16 << 10
	x509MaxAttributesPerDN       = 128
	derTagBoolean                = 0x01
	derTagInteger                = 0x02
	derTagBitString              = 0x03
	derTagOctetString            = 0x04
	derTagOID                    = 0x06
	derTagUTCTime                = 0x17
	derTagGeneralizedTime        = 0x18
	derTagSequence               = 0x30
	derTagSet                    = 0x31
)

// Certificate is what rules and records need of an X.509 certificate (RFC
// 5280), read leniently: hostile certificates are exactly those that a strict
// reader refuses. Texts are as Suricata writes them.
type Certificate struct {
	DER       []byte // whole, as sent
	Version   int    // 1, 2 or 3
	Serial    []byte // bytes of the INTEGER, leading zero kept
	Issuer    []byte // "C=.., O=.., CN=.."
	Subject   []byte
	NotBefore time.Time // zero if it is not a time
	NotAfter  time.Time
	AltNames  [][]byte // dNSName, rfc822Name and URI of subjectAltName
}

// SerialText writes the serial number as "0A:BC".
func (c *Certificate) SerialText() []byte { return hexColons(c.Serial, "0123456789ABCDEF") }

// Fingerprint is the SHA-1 of the certificate, as "0a:bc".
func (c *Certificate) Fingerprint() []byte {
	sum := sha1.Sum(c.DER)
	return hexColons(sum[:], "0123456789abcdef")
}

func hexColons(b []byte, digits string) []byte {
	if len(b) == 0 {
		return []byte{}
	}
	out := make([]byte, 0, 3*len(b))
	for i, c := range b {
		if i > 0 {
			out = append(out, ':')
		}
		out = append(out, digits[c>>4], digits[c&15])
	}
	return out
}

// What reading the head of an element came to.
type derState uint8

const (
	derOK    derState = iota
	derShort          // it ends within the head, or before its content does
	derBad            // no length that can be read
)

// derHead reads tag and length of the element at the head of b: n is the length
// of its content, which may be more than what follows it, content. Lengths in
// long form may have needless zeros (BER), the indefinite form is not
// understood.
func derHead(b []byte) (tag byte, n int, content []byte, state derState) {
	if len(b) < 2 {
		return 0, 0, nil, derShort
	}
	tag = b[0]
	i := 1
	if tag&0x1f == 0x1f {
		for i < len(b) && b[i]&0x80 != 0 {
			i++
		}
		i++
		if i >= len(b) {
			return 0, 0, nil, derShort
		}
	}
	n = int(b[i])
	i++
	if n >= 0x80 {
		octets := n & 0x7f
		if octets == 0 || octets > 8 {
			return 0, 0, nil, derBad
		}
		if octets > len(b)-i {
			return 0, 0, nil, derShort
		}
		n = 0
		for _, c := range b[i : i+octets] {
			n = min(n<<8|int(c), 1<<40)
		}
		i += octets
	}
	return tag, n, b[i:], derOK
}

// derSplit splits the first element off b.
func derSplit(b []byte) (tag byte, body, rest []byte, state derState) {
	tag, n, content, state := derHead(b)
	if state == derOK && n > len(content) {
		state = derShort
	}
	if state != derOK {
		return tag, nil, b, state
	}
	return tag, content[:n:n], content[n:], derOK
}

// derNext is derSplit for those who do not ask what is wrong.
func derNext(b []byte) (tag byte, body, rest []byte, ok bool) {
	tag, body, rest, state := derSplit(b)
	return tag, body, rest, state == derOK
}

// isTag says whether tag has the number of want: its class and whether it is
// constructed are not looked at, as Suricata does not.
func isTag(tag, want byte) bool { return tag&0x1f == want&0x1f }

// derSequence splits a SEQUENCE off b; the event is what Suricata calls its
// absence.
func derSequence(b []byte) (body, rest []byte, bad Event) {
	tag, n, content, state := derHead(b)
	switch {
	case state == derShort:
		return nil, nil, x509InvalidLength
	case state == derBad || !isTag(tag, derTagSequence):
		return nil, nil, x509InvalidDER
	case n > len(content):
		return nil, nil, x509InvalidCertificate
	}
	return content[:n:n], content[n:], ""
}

// derAlgorithm splits an AlgorithmIdentifier (RFC 5280 §4.1.1.2) off b.
func derAlgorithm(b []byte) (rest []byte, bad Event) {
	body, rest, bad := derSequence(b)
	if bad != "" {
		return nil, bad
	}
	tag, _, params, state := derSplit(body)
	switch {
	case state == derShort:
		return nil, x509InvalidLength
	case state == derBad || isTag(tag, derTagOID) && tag&0x20 != 0:
		return nil, x509InvalidAlgorithm
	}
	if len(params) > 0 {
		switch _, _, _, state = derSplit(params); state {
		case derShort:
			return nil, x509InvalidLength
		case derBad:
			return nil, x509InvalidDER
		}
	}
	return rest, ""
}

// derBitString splits a BIT STRING off b.
func derBitString(b []byte) (rest []byte, ok bool) {
	tag, body, rest, state := derSplit(b)
	if state != derOK || tag != derTagBitString || len(body) == 0 || body[0] > 7 {
		return nil, false
	}
	unused := byte(1)<<body[0] - 1
	return rest, len(body) == 1 && unused == 0 || body[len(body)-1]&unused == 0
}

// Decode reads the certificate der, of which it keeps slices. The event names
// what stopped it and is empty if nothing did. Of a certificate that is no DER
// nothing is kept; names and numbers of one whose names hold a NUL are kept as
// far as they come before it, subject first.
func (c *Certificate) Decode(der []byte) Event {
	*c = Certificate{}
	x := Certificate{DER: der, Version: 1}
	if bad := x.read(der); bad != "" {
		return bad
	}
	if bytes.IndexByte(x.Subject, 0) >= 0 {
		return x509InvalidSubject // a name that ends early for those who write C
	}
	if bytes.IndexByte(x.Issuer, 0) >= 0 {
		c.Subject = x.Subject
		return x509InvalidIssuer
	}
	*c = x
	return ""
}

// read reads a whole certificate (RFC 5280 §4.1), and says of what is wrong
// with it what Suricata says.
func (c *Certificate) read(der []byte) Event {
	cert, _, bad := derSequence(der)
	if bad != "" {
		return bad
	}
	tbs, behind, bad := derSequence(cert)
	if bad != "" {
		return bad
	}
	if bad := c.readBody(tbs); bad != "" {
		return bad
	}
	if behind, bad = derAlgorithm(behind); bad != "" {
		return bad
	}
	if _, ok := derBitString(behind); !ok {
		return x509InvalidCertificate
	}
	return ""
}

// readBody reads a TBSCertificate.
func (c *Certificate) readBody(tbs []byte) Event {
	tag, body, rest, state := derSplit(tbs)
	switch {
	case state == derBad || state == derOK && tag == 0:
		return x509InvalidDER
	case state == derOK && isTag(tag, 0):
		vtag, v, _, vstate := derSplit(body)
		if vstate != derOK || vtag != derTagInteger || len(v) != 1 || v[0] >= 0x80 {
			return x509InvalidVersion
		}
		c.Version = int(v[0]) + 1
		tbs = rest
	}
	tag, body, rest, state = derSplit(tbs)
	if state != derOK || !isTag(tag, derTagInteger) {
		return x509InvalidSerial
	}
	c.Serial = body
	rest, bad := derAlgorithm(rest)
	if bad != "" {
		return bad
	}
	if body, rest, bad = derSequence(rest); bad != "" {
		return bad
	}
	c.Issuer = appendDN(nil, body)
	if body, rest, bad = derSequence(rest); bad != "" {
		return bad
	}
	tag, when, body, state := derSplit(body)
	ok := state == derOK
	if ok {
		c.NotBefore, ok = derTime(tag, when)
	}
	if ok {
		if tag, when, _, state = derSplit(body); state == derOK {
			c.NotAfter, ok = derTime(tag, when)
		}
	}
	if !ok || state != derOK {
		return x509InvalidDate
	}
	if body, rest, bad = derSequence(rest); bad != "" {
		return bad
	}
	c.Subject = appendDN(nil, body)
	if body, rest, bad = derSequence(rest); bad != "" {
		return bad
	}
	if body, bad = derAlgorithm(body); bad != "" {
		return bad
	}
	if _, ok := derBitString(body); !ok {
		return x509InvalidCertificate
	}
	return c.readRest(rest)
}

// readRest reads what is optional behind the public key: unique identifiers and
// extensions.
func (c *Certificate) readRest(rest []byte) Event {
	for id := byte(1); id <= 2 && len(rest) > 0 && isTag(rest[0], id); id++ {
		_, body, after, state := derSplit(rest)
		if state != derOK || len(body) == 0 || body[0] > 7 {
			return x509InvalidCertificate
		}
		rest = after
	}
	if len(rest) == 0 {
		return ""
	}
	tag, body, _, state := derSplit(rest)
	switch {
	case !isTag(rest[0], 3):
		return x509InvalidExtensions
	case state != derOK || !isTag(tag, 3):
		return x509InvalidCertificate
	case len(body) == 0:
		return ""
	}
	list, _, bad := derSequence(body)
	if bad != "" {
		return bad
	}
	if !c.extensions(list) {
		return x509InvalidCertificate
	}
	return ""
}

func (c *Certificate) extensions(list []byte) bool {
	for len(list) > 0 {
		tag, ext, rest, state := derSplit(list)
		if state != derOK || !isTag(tag, derTagSequence) {
			return false
		}
		list = rest
		tag, oid, body, state := derSplit(ext)
		if state != derOK || isTag(tag, derTagOID) && tag&0x20 != 0 {
			return false
		}
		tag, val, body, state := derSplit(body)
		if state == derOK && isTag(tag, derTagBoolean) {
			tag, val, _, state = derSplit(body)
		}
		if state != derOK || !isTag(tag, derTagOctetString) {
			return false
		}
		if string(oid) == "\x55\x1d\x11" { // subjectAltName
			c.altNames(val)
		}
	}
	return true
}

func (c *Certificate) altNames(val []byte) {
	tag, names, _, state := derSplit(val)
	if !isTag(tag, derTagSequence) {
		return
	}
	for state == derOK && len(names) > 0 && len(c.AltNames) < x509MaxAltNames {
		var name []byte
		tag, name, names, state = derSplit(names)
		if state == derOK && (tag == 0x81 || tag == 0x82 || tag == 0x86) {
			c.AltNames = append(c.AltNames, name)
		}
	}
}

// derTime reads a UTCTime or GeneralizedTime (RFC 5280 §4.1.2.5), in UTC or
// with the offset that older certificates have.
func derTime(tag byte, b []byte) (time.Time, bool) {
	n := 2 // digits of the year
	switch {
	case isTag(tag, derTagGeneralizedTime):
		n = 4
	case !isTag(tag, derTagUTCTime):
		return time.Time{}, false
	}
	year, month, day := derDigits(b, 0, n), derDigits(b, n, 2), derDigits(b, n+2, 2)
	hour, minute, sec := derDigits(b, n+4, 2), derDigits(b, n+6, 2), derDigits(b, n+8, 2)
	zone := n + 10
	if n == 4 && sec < 0 {
		sec, zone = 0, n+8 // which may be left out
	}
	if n == 2 && year >= 0 {
		year += 1900
		if year < 1950 {
			year += 100
		}
	}
	if year < 0 || month < 1 || month > 12 || day < 1 || hour < 0 || hour > 23 || minute < 0 || minute > 59 || sec < 0 || sec > 60 {
		return time.Time{}, false
	}
	t := time.Date(year, time.Month(month), day, hour, minute, sec, 0, time.UTC)
	if day > 31 || sec < 60 && t.Day() != day {
		return time.Time{}, false
	}
	switch zone := b[zone:]; {
	case len(zone) == 1 && zone[0] == 'Z':
		return t, true
	case len(zone) == 5 && (zone[0] == '+' || zone[0] == '-'):
		h, m := derDigits(zone, 1, 2), derDigits(zone, 3, 2)
		off := time.Duration(h)*time.Hour + time.Duration(m)*time.Minute
		if zone[0] == '+' {
			off = -off
		}
		return t.Add(off), h >= 0 && m >= 0
	}
	return time.Time{}, false
}

// derDigits reads n digits at b[at:], -1 if they are not there.
func derDigits(b []byte, at, n int) int {
	v := 0
	for i := at; i < at+n; i++ {
		if i >= len(b) || b[i] < '0' || b[i] > '9' {
			return -1
		}
		v = 10*v + int(b[i]-'0')
	}
	return v
}

// appendDN writes a Name (RFC 5280 §4.1.2.4) as text: attributes in wire
// order, ", " between the sets and " + " within one, up to the first set that
// cannot be read.
func appendDN(dst, b []byte) []byte {
	if dst == nil {
		dst = []byte{}
	}
	count := 0
	for len(b) > 0 {
		tag, set, rest, state := derSplit(b)
		if state != derOK || !isTag(tag, derTagSet) {
			return dst
		}
		b = rest
		sep, kept := ", ", len(dst)
		for len(set) > 0 {
			tag, attr, next, state := derSplit(set)
			if state != derOK || !isTag(tag, derTagSequence) {
				return dst[:kept]
			}
			set = next
			tag, oid, val, state := derSplit(attr)
			if state != derOK || tag == derTagOID|0x20 {
				return dst[:kept]
			}
			tag, text, _, state := derSplit(val)
			if count++; state != derOK || count > x509MaxAttributesPerDN || len(dst)+len(text) > x509MaxNameText {
				return dst[:kept]
			}
			if len(dst) > 0 {
				dst = append(dst, sep...)
			}
			dst = appendAttributeType(dst, oid)
			dst = append(dst, '=')
			var ok bool
			if dst, ok = appendAttributeValue(dst, tag, text); !ok {
				return []byte("<X509Error: Invalid X.509 name>")
			}
			sep = " + "
		}
	}
	return dst
}

// appendAttributeType writes the short name of an attribute type, or its OID.
func appendAttributeType(dst, oid []byte) []byte {
	switch string(oid) {
	case "\x55\x04\x03":
		return append(dst, "CN"...)
	case "\x55\x04\x04":
		return append(dst, "surname"...)
	case "\x55\x04\x05":
		return append(dst, "serialNumber"...)
	case "\x55\x04\x06":
		return append(dst, "C"...)
	case "\x55\x04\x07":
		return append(dst, "L"...)
	case "\x55\x04\x08":
		return append(dst, "ST"...)
	case "\x55\x04\x09":
		return append(dst, "streetAddress"...)
	case "\x55\x04\x0a":
		return append(dst, "O"...)
	case "\x55\x04\x0b":
		return append(dst, "OU"...)
	case "\x55\x04\x0c":
		return append(dst, "title"...)
	case "\x55\x04\x0d":
		return append(dst, "description"...)
	case "\x55\x04\x0f":
		return append(dst, "businessCategory"...)
	case "\x55\x04\x10":
		return append(dst, "postalAddress"...)
	case "\x55\x04\x2d":
		return append(dst, "uniqueIdentifier"...)
	case "\x55\x04\x11":
		return append(dst, "postalCode"...)
	case "\x55\x04\x29":
		return append(dst, "name"...)
	case "\x55\x04\x2a":
		return append(dst, "givenName"...)
	case "\x55\x04\x2b":
		return append(dst, "initials"...)
	case "\x55\x04\x2c":
		return append(dst, "generationQualifier"...)
	case "\x55\x04\x2e":
		return append(dst, "dnQualifier"...)
	case "\x55\x1d\x11":
		return append(dst, "subjectAltName"...)
	case "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x01":
		return append(dst, "Email"...)
	case "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x02":
		return append(dst, "unstructuredName"...)
	case "\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x19":
		return append(dst, "DC"...)
	case "\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x01":
		return append(dst, "uid"...)
	case "\x2b\x06\x01\x04\x01\x82\x37\x3c\x02\x01\x01":
		return append(dst, "msJurisdictionLocality"...)
	case "\x2b\x06\x01\x04\x01\x82\x37\x3c\x02\x01\x02":
		return append(dst, "msJurisdictionStateOrProvince"...)
	case "\x2b\x06\x01\x04\x01\x82\x37\x3c\x02\x01\x03":
		return append(dst, "msJurisdictionCountry"...)
	}
	dst = append(dst, "OID("...)
	dst = appendOID(dst, oid)
	return append(dst, ')')
}

// appendOID writes an object identifier in dotted form (X.690 §8.19). Arcs
// that do not fit into 64 bits are cut.
func appendOID(dst, oid []byte) []byte {
	var v uint64
	first := true
	for _, c := range oid {
		v = v<<7 | uint64(c&0x7f)
		if c&0x80 != 0 {
			continue
		}
		if first {
			first = false
			top := min(v/40, 2)
			dst = append(dst, byte('0'+top), '.')
			v -= 40 * top
		} else {
			dst = append(dst, '.')
		}
		dst = appendUint(dst, v)
		v = 0
	}
	return dst
}

func appendUint(dst []byte, v uint64) []byte {
	var buf [20]byte
	i := len(buf)
	for {
		i--
		buf[i] = byte('0' + v%10)
		if v /= 10; v == 0 {
			return append(dst, buf[i:]...)
		}
	}
}

// appendAttributeValue writes a string value in UTF-8 and anything else in
// hexadecimal; false for a string that is no UTF-8.
func appendAttributeValue(dst []byte, tag byte, b []byte) ([]byte, bool) {
	switch tag &^ 0x20 {
	case 0x0c, 0x12, 0x13, 0x14, 0x15, 0x16, 0x19, 0x1a, 0x1b, 0x07:
		return append(dst, b...), utf8.Valid(b)
	}
	if tag == 0x1e && len(b)%2 == 0 { // BMPString
		for i := 0; i < len(b); i += 2 {
			dst = utf8.AppendRune(dst, rune(b[i])<<8|rune(b[i+1]))
		}
		return dst, true
	}
	n := len(dst)
	dst = append(dst, make([]byte, 2*len(b))...)
	hex.Encode(dst[n:], b)
	for i := n; i < len(dst); i++ {
		if dst[i] >= 'a' {
			dst[i] -= 'a' - 'A'
		}
	}
	return dst, true
}
