package app

import "encoding/binary"

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
	return "UNDETERMINED"
}

// tlsGrease says whether v is one of the values that RFC 8701 reserves.
func tlsGrease(v uint16) bool { return v&0x0f0f == 0x0a0a && v>>8 == v&0xff }

// decode reads the body of a hello message (without type and length) that
// the client or the server sent. It returns what is wrong with it; what was
// read before stays.
func (h *TLSHello) decode(b []byte, client bool) Event {
	*h = TLSHello{}
	if len(b) < 2+32+1 {
		return tlsInvalidHandshake
	}
	h.Seen = true
	h.Version = binary.BigEndian.Uint16(b)
	h.Random = b[2:34:34]
	b = b[34:]
	if !client && (h.Version > 0x7f00 && h.Version <= 0x7f15 || h.Version == VersionTLS13) {
		// Drafts of TLS 1.3 up to 21 had neither session nor compression; the
		// first ones called themselves 1.3.
		if h.Version == VersionTLS13 {
			h.Versions = []uint16{0x7f01}
		}
		if len(b) < 4 {
			return tlsInvalidHandshake
		}
		h.Ciphers = be16s(b[:2])
		n := int(binary.BigEndian.Uint16(b[2:]))
		if n > len(b)-4 {
			return tlsInvalidLength
		}
		return h.extensions(b[4:4+n], client)
	}
	n := int(b[0])
	if n > 32 || len(b) < 1+n {
		return tlsInvalidHandshake
	}
	h.SessionID, b = b[1:1+n:1+n], b[1+n:]
	if client {
		if len(b) < 2 {
			return tlsInvalidHandshake
		}
		n = int(binary.BigEndian.Uint16(b))
		b = b[2:]
		if n > len(b) || n%2 != 0 {
			return tlsInvalidHandshake
		}
		h.Ciphers = be16s(b[:n])
		b = b[n:]
		if len(b) < 1 || len(b) < 1+int(b[0]) {
			return tlsInvalidHandshake
		}
		b = b[1+int(b[0]):]
	} else {
		if len(b) < 3 {
			return tlsInvalidHandshake
		}
		h.Ciphers = be16s(b[:2])
		b = b[3:]
	}
	if len(b) == 0 {
		return ""
	}
	if len(b) < 2 {
		return tlsInvalidLength
	}
	n = int(binary.BigEndian.Uint16(b))
	b = b[2:]
	if n > len(b) {
		return tlsInvalidLength
	}
	return h.extensions(b[:n], client)
}

func (h *TLSHello) extensions(b []byte, client bool) Event {
	var bad Event
	for len(b) > 0 {
		if len(b) < 4 {
			return tlsInvalidLength
		}
		typ, n := binary.BigEndian.Uint16(b), int(binary.BigEndian.Uint16(b[2:]))
		b = b[4:]
		if n > len(b) {
			return tlsInvalidLength
		}
		body := b[:n:n]
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
			if e := h.sni(body); e != "" {
				bad = e
			}
		case tlsExtGroups:
			if len(body) >= 2 {
				h.Groups = be16s(body[2:min(len(body), 2+int(binary.BigEndian.Uint16(body)))])
			}
		case tlsExtPoints:
			if len(body) >= 1 {
				h.Points = body[1:min(len(body), 1+int(body[0]))]
			}
		case tlsExtSigAlgs:
			if len(body) >= 2 {
				h.SigAlgs = be16s(body[2:min(len(body), 2+int(binary.BigEndian.Uint16(body)))])
			}
		case tlsExtALPN:
			if len(body) < 2 {
				continue
			}
			for p := body[2:]; len(p) > 0 && len(h.ALPN) < tlsMaxNames; {
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
				if len(body) >= 1 {
					h.Versions = be16s(body[1:min(len(body), 1+int(body[0]))])
				}
			} else if len(body) >= 2 {
				h.Versions = be16s(body[:2])
			}
		case tlsExtQUICParams:
			h.QUICParams = body
		}
	}
	return bad
}

// sni reads the server_name extension (RFC 6066 §3).
func (h *TLSHello) sni(b []byte) Event {
	if len(b) == 0 {
		return "" // a server's acknowledgement, or a client that names nothing
	}
	if len(b) < 5 {
		return tlsInvalidSNILength
	}
	if b[2] != 0 {
		return tlsInvalidSNIType
	}
	n := int(binary.BigEndian.Uint16(b[3:]))
	if n > len(b)-5 || n > 255 {
		return tlsInvalidSNILength
	}
	h.SNI = b[5 : 5+n : 5+n]
	return ""
}

func be16s(b []byte) []uint16 {
	out := make([]uint16, 0, len(b)/2)
	for ; len(b) >= 2; b = b[2:] {
		out = append(out, binary.BigEndian.Uint16(b))
	}
	return out
}
