package app

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"unicode/utf8"
)

// Anomalies of hello messages.
const (
	tlsInvalidHandshake Event = "invalid_handshake_message"
	tlsInvalidLength    Event = "handshake_invalid_length"
	tlsMultipleSNI      Event = "multiple_sni_extensions"
	tlsInvalidSNIType   Event = "invalid_sni_type"
	tlsInvalidSNILength Event = "invalid_sni_length"
)

// Versions in the protocol's coding (RFC 8446 §4.1.2, RFC 6101).
const (
	VersionSSL2  = 0x0200
	VersionSSL3  = 0x0300
	VersionTLS10 = 0x0301
	VersionTLS11 = 0x0302
	VersionTLS12 = 0x0303
	VersionTLS13 = 0x0304
)

// Extensions that are looked into (IANA, TLS ExtensionType Values).
const (
	tlsExtSNI        = 0
	tlsExtGroups     = 10
	tlsExtPoints     = 11
	tlsExtSigAlgs    = 13
	tlsExtHeartbeat  = 15
	tlsExtALPN       = 16
	tlsExtTicket     = 35
	tlsExtVersions   = 43
	tlsExtQUICParams = 57
	tlsMaxNames      = 64
)

// TLSHello is a decoded ClientHello or ServerHello. Slices are owned by
// whoever owns the bytes it was decoded from.
type TLSHello struct {
	Seen       bool
	SSLv2      bool   // in the form of SSLv2: no extensions
	Version    uint16 // legacy_version
	Random     []byte // 32 bytes
	SessionID  []byte
	Ciphers    []uint16 // offered, or the one chosen
	Extensions []uint16 // types in wire order
	Groups     []uint16
	Points     []byte
	SigAlgs    []uint16
	Versions   []uint16 // supported_versions, or the one chosen
	ALPN       [][]byte
	SNI        []byte // nil if there is none
	Ticket     bool   // a non-empty session ticket was offered
	QUICParams []byte // quic_transport_parameters
}

// NegotiatedVersion is the version that a ServerHello settles, or the best that
// a ClientHello offers.
func (h *TLSHello) NegotiatedVersion() uint16 {
	best := uint16(0)
	for _, v := range h.Versions {
		if !tlsGrease(v) && (v > best || best == 0) {
			best = v
		}
	}
	if best != 0 {
		return best
	}
	return h.Version
}

// retry says whether h is a HelloRetryRequest (RFC 8446 §4.1.3).
func (h *TLSHello) retry() bool {
	return string(h.Random) == "\xcf\x21\xad\x74\xe5\x9a\x61\x11\xbe\x1d\x8c\x02\x1e\x65\xb8\x91"+
		"\xc2\xa2\x11\x16\x7a\xbb\x8c\x5e\x07\x9e\x09\xe2\xc8\xa8\x33\x9c"
}

// TLSVersionName is Suricata's name of a version.
func TLSVersionName(v uint16) string {
	switch v {
	case VersionSSL2:
		return "SSLv2"
	case VersionSSL3:
		return "SSLv3"
	case VersionTLS10:
		return "TLSv1"
	case VersionTLS11:
		return "TLS 1.1"
	case VersionTLS12:
		return "TLS 1.2"
	case VersionTLS13:
		return "TLS 1.3"
	}
	if v >= 0x7f10 && v <= 0x7f1c {
		return "TLS 1.3 draft-" + string(appendUint(nil, uint64(v&0xff)))
	}
	if v > 0x7f00 && v < 0x7f10 {
		return "TLS 1.3 draft-<16"
	}
	if v == 0 {
		return "UNDETERMINED"
	}
	return fmt.Sprintf("0x%04x", v)
}

// tlsGrease says whether v is one of the values that RFC 8701 reserves.
func tlsGrease(v uint16) bool { return v&0x0f0f == 0x0a0a && v>>8 == v&0xff }

// decode reads the body of a hello message (without type and length) that
// the client or the server sent. It returns what is wrong with it; what was
// read before stays.
func (h *TLSHello) decode(b []byte, client bool) Event {
	*h = TLSHello{Seen: true}
	if len(b) < 2 {
		return tlsInvalidLength
	}
	h.Version = binary.BigEndian.Uint16(b)
	if len(b) < 2+32+1 {
		return tlsInvalidLength
	}
	h.Random = b[2:34:34]
	b = b[34:]
	if !client && (h.Version > 0x7f00 && h.Version <= 0x7f15 || h.Version == VersionTLS13) {
		// Drafts of TLS 1.3 up to 21 had neither session nor compression; the
		// first ones called themselves 1.3.
		if h.Version == VersionTLS13 {
			h.Versions = []uint16{0x7f01}
		}
		if len(b) < 4 {
			return tlsInvalidLength
		}
		h.Ciphers = be16s(b[:2])
		n := int(binary.BigEndian.Uint16(b[2:]))
		if n > len(b)-4 {
			return tlsInvalidLength
		}
		return h.extensions(b[4:], n, client)
	}
	n := int(b[0])
	if n > 32 || len(b) < 1+n {
		return tlsInvalidLength
	}
	h.SessionID, b = b[1:1+n:1+n], b[1+n:]
	if client {
		if len(b) < 2 {
			return tlsInvalidLength
		}
		n = int(binary.BigEndian.Uint16(b))
		b = b[2:]
		if n > len(b) || n%2 != 0 {
			return tlsInvalidLength
		}
		h.Ciphers = be16s(b[:n])
		b = b[n:]
		if len(b) < 1 || len(b) < 1+int(b[0]) {
			return tlsInvalidLength
		}
		b = b[1+int(b[0]):]
	} else {
		if len(b) < 3 {
			return tlsInvalidLength
		}
		h.Ciphers = be16s(b[:2])
		b = b[3:]
	}
	if len(b) < 2 {
		return ""
	}
	n = int(binary.BigEndian.Uint16(b))
	b = b[2:]
	if n > len(b) {
		return tlsInvalidLength
	}
	return h.extensions(b, n, client)
}

// extensions reads extensions as long as one begins within the first n bytes of
// b. One whose lists do not fill it ends the reading.
func (h *TLSHello) extensions(b []byte, n int, client bool) Event {
	var bad Event
	for end := len(b) - n; len(b) > end; {
		if len(b) < 4 {
			return tlsInvalidLength
		}
		typ, n := binary.BigEndian.Uint16(b), int(binary.BigEndian.Uint16(b[2:]))
		b = b[4:]
		if n > len(b) {
			return tlsInvalidLength
		}
		body := b[:n:n]
		whole := b // the next one begins where what is read of this one ends
		b = b[n:]
		h.Extensions = append(h.Extensions, typ)
		switch typ {
		case tlsExtSNI:
			if !client {
				continue
			}
			if h.SNI != nil {
				bad = tlsMultipleSNI
				continue
			}
			n, e := h.sni(body)
			if e != "" {
				return e
			}
			b = whole[n:]
		case tlsExtGroups:
			list, n, ok := tlsList(body, 2)
			if !ok {
				return tlsInvalidLength
			}
			h.Groups, b = be16s(list), whole[n:]
		case tlsExtPoints:
			list, n, ok := tlsList(body, 1)
			if !ok {
				return tlsInvalidLength
			}
			h.Points, b = list, whole[n:]
		case tlsExtSigAlgs:
			list, n, ok := tlsList(body, 2)
			if !ok {
				return tlsInvalidLength
			}
			h.SigAlgs, b = be16s(list), whole[n:]
		case tlsExtALPN:
			list, n, ok := tlsList(body, 2)
			if !ok {
				return tlsInvalidLength
			}
			b = whole[n:]
			for p := list; len(p) > 0 && len(h.ALPN) < tlsMaxNames; {
				l := int(p[0])
				if 1+l > len(p) {
					break
				}
				h.ALPN = append(h.ALPN, p[1:1+l:1+l])
				p = p[1+l:]
			}
		case tlsExtTicket:
			h.Ticket = len(body) > 0
		case tlsExtVersions:
			if client {
				list, n, ok := tlsList(body, 1)
				if !ok {
					return tlsInvalidLength
				}
				h.Versions, b = be16s(list), whole[n:]
			} else if len(body) >= 2 {
				h.Versions = be16s(body[:2])
			}
		case tlsExtQUICParams:
			h.QUICParams = body
		}
	}
	return bad
}

// tlsList reads the list that is the content b of an extension, whose length
// stands in the first size bytes, and says how many bytes it took: in Suricata
// they say where the next extension begins, whatever follows the list. No
// content is no list.
func tlsList(b []byte, size int) (list []byte, n int, ok bool) {
	if len(b) == 0 {
		return nil, 0, true
	}
	if len(b) < size {
		return nil, 0, false
	}
	n = size + int(b[0])
	if size == 2 {
		n = size + int(binary.BigEndian.Uint16(b))
	}
	if n > len(b) {
		return nil, 0, false
	}
	return b[size:n:n], n, true
}

// sni reads the server_name extension (RFC 6066 §3) and says how many bytes it
// took.
func (h *TLSHello) sni(b []byte) (int, Event) {
	switch {
	case len(b) == 0:
		return 0, "" // a client that names nothing
	case len(b) < 3:
		return 0, tlsInvalidLength
	case b[2] != 0:
		return 0, tlsInvalidSNIType
	case len(b) < 5:
		return 0, tlsInvalidLength
	}
	n := int(binary.BigEndian.Uint16(b[3:]))
	if n == 0 || n > 255 || n > len(b)-5 {
		return 0, tlsInvalidSNILength
	}
	if name := b[5 : 5+n : 5+n]; utf8.Valid(name) {
		name, _, _ = bytes.Cut(name, []byte{0}) // a text of C in Suricata
		h.SNI = name
	}
	return 5 + n, ""
}

func be16s(b []byte) []uint16 {
	out := make([]uint16, 0, len(b)/2)
	for ; len(b) >= 2; b = b[2:] {
		out = append(out, binary.BigEndian.Uint16(b))
	}
	return out
}
