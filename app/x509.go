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
	x509InvalidName        Event = "certificate_invalid_x509name"
	x509InvalidDate        Event = "certificate_invalid_date"
	x509InvalidExtensions  Event = "certificate_invalid_extensions"
	x509InvalidDER         Event = "certificate_invalid_der"
	x509InvalidSubject     Event = "certificate_invalid_subject"
	x509InvalidIssuer      Event = "certificate_invalid_issuer"
	x509InvalidValidity    Event = "certificate_invalid_validity"
	x509MaxAltNames              = 256
	x509MaxNameText              = 16 << 10
	x509MaxAttributesPerDN       = 128
	derTagInteger                = 0x02
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

// derNext splits the first element off b. Lengths in long form may have
// needless zeros (BER), the indefinite form is not understood.
func derNext(b []byte) (tag byte, body, rest []byte, ok bool) {
	if len(b) < 2 {
		return 0, nil, b, false
	}
	tag = b[0]
	i := 1
	if tag&0x1f == 0x1f {
		for i < len(b) && b[i]&0x80 != 0 {
			i++
		}
		i++
		if i >= len(b) {
			return 0, nil, b, false
		}
	}
	n := int(b[i])
	i++
	if n >= 0x80 {
		octets := n & 0x7f
		if octets == 0 || octets > 8 || i+octets > len(b) {
			return 0, nil, b, false
		}
		n = 0
		for _, c := range b[i : i+octets] {
			if n > 1<<31 {
				return 0, nil, b, false
			}
			n = n<<8 | int(c)
		}
		i += octets
	}
	if n > len(b)-i {
		return 0, nil, b, false
	}
	return tag, b[i : i+n : i+n], b[i+n:], true
}

// Decode reads the certificate der, of which it keeps slices. It reads as far
// as it can; the event names what stopped it and is empty if nothing did.
func (c *Certificate) Decode(der []byte) Event {
	*c = Certificate{DER: der, Version: 1}
	tag, cert, _, ok := derNext(der)
	if !ok || tag != derTagSequence {
		return x509InvalidDER
	}
	tag, tbs, _, ok := derNext(cert)
	if !ok || tag != derTagSequence {
		return x509InvalidDER
	}
	tag, el, rest, ok := derNext(tbs)
	if !ok {
		return x509InvalidDER
	}
	if tag == 0xa0 {
		_, v, _, ok := derNext(el)
		if !ok || len(v) == 0 || len(v) > 4 {
			return x509InvalidVersion
		}
		c.Version = int(v[len(v)-1]) + 1
		if tag, el, rest, ok = derNext(rest); !ok {
			return x509InvalidSerial
		}
	}
	if tag != derTagInteger {
		return x509InvalidSerial
	}
	c.Serial = el
	if tag, _, rest, ok = derNext(rest); !ok || tag != derTagSequence {
		return x509InvalidAlgorithm
	}
	if tag, el, rest, ok = derNext(rest); !ok || tag != derTagSequence {
		return x509InvalidIssuer
	}
	var good bool
	if c.Issuer, good = appendDN(nil, el); !good {
		return x509InvalidIssuer
	}
	if tag, el, rest, ok = derNext(rest); !ok || tag != derTagSequence {
		return x509InvalidValidity
	}
	var bad Event
	tag, when, after, ok := derNext(el)
	if ok {
		c.NotBefore, ok = derTime(tag, when)
	}
	if !ok {
		bad = x509InvalidDate
	}
	if tag, when, _, ok = derNext(after); ok {
		c.NotAfter, ok = derTime(tag, when)
	}
	if !ok {
		bad = x509InvalidDate
	}
	if tag, el, rest, ok = derNext(rest); !ok || tag != derTagSequence {
		return x509InvalidSubject
	}
	if c.Subject, good = appendDN(nil, el); !good {
		return x509InvalidSubject
	}
	if bytes.IndexByte(c.Subject, 0) >= 0 {
		bad = x509InvalidSubject // a name that ends early for those who write C
	}
	for len(rest) > 0 {
		if tag, el, rest, ok = derNext(rest); !ok {
			return x509InvalidExtensions
		}
		if tag != 0xa3 {
			continue
		}
		tag, list, _, ok := derNext(el)
		if !ok || tag != derTagSequence {
			return x509InvalidExtensions
		}
		if !c.extensions(list) {
			return x509InvalidExtensions
		}
	}
	return bad
}

func (c *Certificate) extensions(list []byte) bool {
	for len(list) > 0 {
		tag, ext, rest, ok := derNext(list)
		if !ok || tag != derTagSequence {
			return false
		}
		list = rest
		tag, oid, body, ok := derNext(ext)
		if !ok || tag != derTagOID {
			return false
		}
		if string(oid) != "\x55\x1d\x11" { // subjectAltName
			continue
		}
		for len(body) > 0 {
			var val []byte
			if tag, val, body, ok = derNext(body); !ok {
				return false
			}
			if tag != derTagOctetString {
				continue
			}
			tag, names, _, ok := derNext(val)
			if !ok || tag != derTagSequence {
				return false
			}
			for len(names) > 0 && len(c.AltNames) < x509MaxAltNames {
				var name []byte
				if tag, name, names, ok = derNext(names); !ok {
					return false
				}
				if tag == 0x81 || tag == 0x82 || tag == 0x86 {
					c.AltNames = append(c.AltNames, name)
				}
			}
		}
	}
	return true
}

// derTime reads a UTCTime or GeneralizedTime (RFC 5280 §4.1.2.5).
func derTime(tag byte, b []byte) (time.Time, bool) {
	year, n := 0, 0
	switch tag {
	case derTagUTCTime:
		n = 2
	case derTagGeneralizedTime:
		n = 4
	default:
		return time.Time{}, false
	}
	num := func(at, n int) int { // no closure escapes: b is a slice header
		v := 0
		for i := at; i < at+n; i++ {
			if i >= len(b) || b[i] < '0' || b[i] > '9' {
				return -1
			}
			v = 10*v + int(b[i]-'0')
		}
		return v
	}
	if year = num(0, n); year < 0 {
		return time.Time{}, false
	}
	if n == 2 {
		year += 1900
		if year < 1950 {
			year += 100
		}
	}
	month, day, hour, minute := num(n, 2), num(n+2, 2), num(n+4, 2), num(n+6, 2)
	sec, at := num(n+8, 2), n+10
	if sec < 0 { // seconds may be left out in UTCTime
		sec, at = 0, n+8
	}
	if month < 1 || month > 12 || day < 1 || day > 31 || hour < 0 || hour > 23 || minute < 0 || minute > 59 || sec > 60 {
		return time.Time{}, false
	}
	t := time.Date(year, time.Month(month), day, hour, minute, sec, 0, time.UTC)
	if at < len(b) && (b[at] == '+' || b[at] == '-') {
		h, m := num(at+1, 2), num(at+3, 2)
		if h < 0 || m < 0 {
			return time.Time{}, false
		}
		off := time.Duration(h)*time.Hour + time.Duration(m)*time.Minute
		if b[at] == '+' {
			off = -off
		}
		t = t.Add(off)
	}
	return t, true
}

// appendDN writes a Name (RFC 5280 §4.1.2.4) as text: attributes in wire
// order, ", " between the sets and " + " within one.
func appendDN(dst, b []byte) ([]byte, bool) {
	if dst == nil {
		dst = []byte{}
	}
	count := 0
	for len(b) > 0 {
		tag, set, rest, ok := derNext(b)
		if !ok || tag != derTagSet {
			return dst, false
		}
		b = rest
		sep := ", "
		for len(set) > 0 {
			tag, attr, next, ok := derNext(set)
			if !ok || tag != derTagSequence {
				return dst, false
			}
			set = next
			tag, oid, val, ok := derNext(attr)
			if !ok || tag != derTagOID {
				return dst, false
			}
			tag, text, _, ok := derNext(val)
			if !ok {
				return dst, false
			}
			if count++; count > x509MaxAttributesPerDN || len(dst)+len(text) > x509MaxNameText {
				return dst, false
			}
			if len(dst) > 0 {
				dst = append(dst, sep...)
			}
			dst = appendAttributeType(dst, oid)
			dst = append(dst, '=')
			if dst, ok = appendAttributeValue(dst, tag, text); !ok {
				return dst, false
			}
			sep = " + "
		}
	}
	return dst, true
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
// hexadecimal.
func appendAttributeValue(dst []byte, tag byte, b []byte) ([]byte, bool) {
	switch tag {
	case 0x0c, 0x12, 0x13, 0x14, 0x15, 0x16, 0x19, 0x1a, 0x1b, 0x07:
		if utf8.Valid(b) {
			return append(dst, b...), true
		}
		// Latin-1, the only other reading of bytes that is ever meant.
		for _, c := range b {
			dst = utf8.AppendRune(dst, rune(c))
		}
		return dst, true
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
