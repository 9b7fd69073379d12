package app

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"slices"
)

// appendJA3 writes the JA3 string of a ClientHello: version, ciphers,
// extensions, groups and point formats in decimal, without the values that
// RFC 8701 reserves (github.com/salesforce/ja3).
func appendJA3(dst []byte, h *TLSHello) []byte {
	dst = appendUint(dst, uint64(h.Version))
	dst = append(dst, ',')
	dst = appendDashed(dst, h.Ciphers)
	dst = append(dst, ',')
	dst = appendDashed(dst, h.Extensions)
	dst = append(dst, ',')
	dst = appendDashed(dst, h.Groups)
	dst = append(dst, ',')
	for i, p := range h.Points {
		if i > 0 {
			dst = append(dst, '-')
		}
		dst = appendUint(dst, uint64(p))
	}
	return dst
}

// appendJA3S writes the JA3S string of a ServerHello: version, cipher,
// extensions.
func appendJA3S(dst []byte, h *TLSHello) []byte {
	dst = appendUint(dst, uint64(h.Version))
	dst = append(dst, ',')
	dst = appendDashed(dst, h.Ciphers)
	dst = append(dst, ',')
	return appendDashed(dst, h.Extensions)
}

func appendDashed(dst []byte, v []uint16) []byte {
	sep := false
	for _, x := range v {
		if tlsGrease(x) {
			continue
		}
		if sep {
			dst = append(dst, '-')
		}
		sep = true
		dst = appendUint(dst, uint64(x))
	}
	return dst
}

// md5Hex is the MD5 of b in lower-case hexadecimal.
func md5Hex(b []byte) []byte {
	sum := md5.Sum(b)
	return hex.AppendEncode(nil, sum[:])
}

// ja4 is the JA4 fingerprint of a ClientHello (github.com/FoxIO-LLC/ja4,
// technical_details/JA4.md).
func ja4(h *TLSHello, quic bool) []byte {
	out := make([]byte, 0, 36)
	if quic {
		out = append(out, 'q')
	} else {
		out = append(out, 't')
	}
	switch h.NegotiatedVersion() {
	case VersionTLS13:
		out = append(out, "13"...)
	case VersionTLS12:
		out = append(out, "12"...)
	case VersionTLS11:
		out = append(out, "11"...)
	case VersionTLS10:
		out = append(out, "10"...)
	case VersionSSL3:
		out = append(out, "s3"...)
	case VersionSSL2, 2:
		out = append(out, "s2"...)
	case 0xfeff:
		out = append(out, "d1"...)
	case 0xfefd:
		out = append(out, "d2"...)
	case 0xfefc:
		out = append(out, "d3"...)
	default:
		out = append(out, "00"...)
	}
	if slices.Contains(h.Extensions, tlsExtSNI) {
		out = append(out, 'd')
	} else {
		out = append(out, 'i')
	}
	ciphers := withoutGrease(h.Ciphers)
	exts := withoutGrease(h.Extensions)
	out = appendTwoDigits(out, len(ciphers))
	out = appendTwoDigits(out, len(exts))
	first, last := byte('0'), byte('0')
	if len(h.ALPN) > 0 && len(h.ALPN[0]) > 0 {
		a := h.ALPN[0]
		f, l := a[0], a[len(a)-1]
		switch {
		case len(a) == 2 && tlsGrease(uint16(f)<<8|uint16(l)):
		case !alnum(f) || !alnum(l):
			const digits = "0123456789abcdef"
			first, last = digits[f>>4], digits[l&15]
		default:
			first, last = f, l
		}
	}
	out = append(out, first, last, '_')

	slices.Sort(ciphers)
	out = appendShortSum(out, appendHex16(nil, ciphers))
	out = append(out, '_')
	exts = slices.DeleteFunc(exts, func(e uint16) bool { return e == tlsExtSNI || e == tlsExtALPN })
	slices.Sort(exts)
	raw := appendHex16(nil, exts)
	raw = append(raw, '_')
	raw = appendHex16(raw, withoutGrease(h.SigAlgs))
	return appendShortSum(out, raw)
}

func alnum(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

func withoutGrease(v []uint16) []uint16 {
	out := make([]uint16, 0, len(v))
	for _, x := range v {
		if !tlsGrease(x) {
			out = append(out, x)
		}
	}
	return out
}

func appendTwoDigits(dst []byte, n int) []byte {
	n = min(n, 99)
	return append(dst, byte('0'+n/10), byte('0'+n%10))
}

// appendHex16 writes values as "0a0b,0c0d".
func appendHex16(dst []byte, v []uint16) []byte {
	for i, x := range v {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = hex.AppendEncode(dst, []byte{byte(x >> 8), byte(x)})
	}
	return dst
}

// appendShortSum writes the first 12 hexadecimal digits of SHA-256.
func appendShortSum(dst, b []byte) []byte {
	sum := sha256.Sum256(b)
	return hex.AppendEncode(dst, sum[:6])
}
