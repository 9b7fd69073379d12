package app

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// Anomalies of QUIC.
const (
	quicFailedDecrypt Event = "failed_decrypt"
	quicErrorOnData   Event = "error_on_data"
	quicCryptoTooLong Event = "crypto_frag_too_long"
)

const (
	quicMaxCrypto    = 64 << 10 // bytes of the crypto stream kept of a direction
	quicMaxFragments = 256
	quicMaxTags      = 128
)

// QUICTx is one packet that could be read, or the packets over which a hello
// is spread.
type QUICTx struct {
	plainTx
	Version   uint32
	Hello     TLSHello // of the direction that opened the transaction
	SNI       []byte
	UserAgent []byte // of Google's QUIC
	CYU       []byte // version and tags of Google's client hello; nil if none
	cyuHash   []byte
	ja3       []byte
	ja3Hash   []byte
	ja4       []byte
}

// VersionName is Suricata's name of the version.
func (t *QUICTx) VersionName() []byte { return quicVersionName(t.Version) }

func quicVersionName(v uint32) []byte {
	switch {
	case v == quicV1:
		return []byte("1")
	case v == quicV2:
		return []byte("v2")
	case v>>8 == 0xff0000:
		return appendUint([]byte("draft-"), uint64(v&0xff))
	case v>>24 == 'Q' || v>>24 == 'T':
		return binary.BigEndian.AppendUint32(nil, v)
	}
	const digits = "0123456789abcdef"
	out := make([]byte, 0, 8)
	for i := 28; i >= 0; i -= 4 {
		if d := v >> i & 15; d != 0 || len(out) > 0 {
			out = append(out, digits[d])
		}
	}
	return out
}

// JA3 returns the JA3 (client) or JA3S (server) string and its hash; nil if the
// transaction has no hello. Unlike those of TLS they keep the values that RFC
// 8701 reserves (all extensions of them as one), as Suricata has it.
func (t *QUICTx) JA3() (str, hash []byte) {
	if t.ja3 == nil && t.Hello.Seen {
		t.ja3 = quicJA3(&t.Hello, t.From == ToServer)
		t.ja3Hash = md5Hex(t.ja3)
	}
	return t.ja3, t.ja3Hash
}

// JA4 returns the JA4 fingerprint of the client's hello, nil if there is none.
func (t *QUICTx) JA4() []byte {
	if t.ja4 == nil && t.Hello.Seen && t.From == ToServer {
		t.ja4 = ja4(&t.Hello, true)
	}
	return t.ja4
}

func quicJA3(h *TLSHello, client bool) []byte {
	join := func(dst []byte, v []uint16) []byte {
		for i, x := range v {
			if i > 0 {
				dst = append(dst, '-')
			}
			dst = appendUint(dst, uint64(x))
		}
		return dst
	}
	out := append(appendUint(nil, uint64(h.Version)), ',')
	out = append(join(out, h.Ciphers), ',')
	exts := slices.Clone(h.Extensions)
	for i, x := range exts {
		if tlsGrease(x) {
			exts[i] = 0xfafa
		}
	}
	out = join(out, exts)
	if !client {
		return out
	}
	out = append(join(append(out, ','), h.Groups), ',')
	for i, p := range h.Points {
		if i > 0 {
			out = append(out, '-')
		}
		out = appendUint(out, uint64(p))
	}
	return out
}

// Bytes implements Tx.
func (t *QUICTx) Bytes(f Field, d Dir, i int) ([]byte, bool) {
	if d != t.From {
		return nil, false
	}
	switch f {
	case QUICVersion:
		if i == 0 {
			return t.VersionName(), true
		}
	case QUICSNI:
		return only(t.SNI, i)
	case QUICUA:
		return only(t.UserAgent, i)
	case QUICCyuString:
		return only(t.CYU, i)
	case QUICCyuHash:
		if t.CYU != nil && t.cyuHash == nil {
			t.cyuHash = md5Hex(t.CYU)
		}
		return only(t.cyuHash, i)
	case JA3String, JA3Hash, JA3SString, JA3SHash:
		if (f == JA3String || f == JA3Hash) != (d == ToServer) {
			break
		}
		s, hash := t.JA3()
		if f == JA3Hash || f == JA3SHash {
			s = hash
		}
		return only(s, i)
	case JA4Hash:
		return only(t.JA4(), i)
	}
	return nil, false
}

type quicParser struct {
	datagramOnly
	keyed   bool
	keys    [2]quicKeys
	version uint32
	dcid    []byte // from which the keys were made
	crypto  [2]quicCrypto
	largest [2]uint64
}

// quicCrypto is the crypto stream of a direction: pieces may come in any
// order.
type quicCrypto struct {
	hello bool
	size  int
	parts []quicPart
}

type quicPart struct {
	off  uint64
	data []byte
}

func newQUIC() parser { return &quicParser{} }

func (p *quicParser) reset() { *p = quicParser{} }

// datagram takes the packets of a datagram one by one (RFC 9000 §12.2).
func (p *quicParser) datagram(c *Conn, d Dir, data []byte) {
	for b := data; len(b) > 0; {
		if b[0]&0x80 == 0 {
			if b[0]&0x09 == 0x09 && len(b) > 13 && b[9] == 'Q' {
				p.google(c, d, binary.BigEndian.Uint32(b[9:]), b)
			} else if p.crypto[ToServer].hello && p.crypto[ToClient].hello {
				c.stopEncrypted()
			}
			return
		}
		n := p.long(c, d, b)
		if n <= 0 {
			return
		}
		b = b[min(n, len(b)):]
	}
}

// long takes a packet with a long header and returns its length, 0 if it ends
// the datagram.
func (p *quicParser) long(c *Conn, d Dir, b []byte) int {
	if len(b) < 7 {
		return 0
	}
	version := binary.BigEndian.Uint32(b[1:])
	if version>>24 == 'Q' {
		p.google(c, d, version, b)
		return 0
	}
	if version == 0 { // version negotiation
		return 0
	}
	at := 5
	dn := int(b[at])
	if at+1+dn+1 > len(b) || dn > 20 {
		return 0
	}
	dcid := b[at+1 : at+1+dn]
	at += 1 + dn
	sn := int(b[at])
	if at+1+sn > len(b) || sn > 20 {
		return 0
	}
	at += 1 + sn
	typ := b[0] >> 4 & 3
	if version == quicV2 {
		typ = (typ - 1) & 3
	}
	if typ == 3 { // retry: the client begins anew with another identifier
		p.keyed = false
		p.crypto = [2]quicCrypto{}
		p.add(c, d, version)
		return 0
	}
	if typ == 0 {
		tn, k := quicVarint(b[at:])
		if k == 0 || tn > uint64(len(b)-at-k) {
			return 0
		}
		at += k + int(tn)
	}
	length, k := quicVarint(b[at:])
	if k == 0 {
		return 0
	}
	at += k
	if length > uint64(len(b)-at) {
		return 0
	}
	end := at + int(length)
	if typ == 0 {
		p.initial(c, d, version, dcid, b[:end], at)
	}
	return end
}

func (p *quicParser) initial(c *Conn, d Dir, version uint32, dcid, pkt []byte, pnAt int) {
	if quicSalt(version) == nil {
		p.add(c, d, version)
		return
	}
	if p.keyed && p.version == version {
		if frames, pn, ok := p.keys[d].open(pkt, pnAt, p.largest[d]); ok {
			p.largest[d] = max(p.largest[d], pn)
			p.frames(c, d, version, frames)
			return
		}
	}
	// The client's first packet, or its first one after a retry, or an attempt
	// with another version.
	if d == ToServer && (!p.keyed || p.version != version || !bytes.Equal(p.dcid, dcid)) {
		if keys, ok := quicInitialKeys(version, dcid); ok {
			if frames, pn, ok := keys[d].open(pkt, pnAt, 0); ok {
				p.keys, p.keyed, p.version, p.dcid = keys, true, version, clone(dcid)
				p.crypto = [2]quicCrypto{}
				p.largest = [2]uint64{}
				p.largest[d] = pn
				p.frames(c, d, version, frames)
				return
			}
		}
	}
	p.add(c, d, version).event(quicFailedDecrypt)
}

func (p *quicParser) add(c *Conn, d Dir, version uint32) *QUICTx {
	t := &QUICTx{Version: version}
	t.oneWay(d)
	c.add(t)
	return t
}

// frames looks for crypto frames (RFC 9000 §19); only few kinds are allowed in
// initial packets (§17.2.2).
func (p *quicParser) frames(c *Conn, d Dir, version uint32, b []byte) {
	s := &p.crypto[d]
	var bad Event
	found := false
loop:
	for len(b) > 0 {
		typ := b[0]
		b = b[1:]
		switch typ {
		case 0, 1: // padding, ping
		case 2, 3:
			var v [4]uint64
			for i := range v {
				n := 0
				if v[i], n = quicVarint(b); n == 0 {
					bad = quicErrorOnData
					break loop
				}
				b = b[n:]
			}
			more := 2 * min(v[2], 1<<20)
			if typ == 3 {
				more += 3
			}
			for ; more > 0; more-- {
				_, n := quicVarint(b)
				if n == 0 {
					bad = quicErrorOnData
					break loop
				}
				b = b[n:]
			}
		case 6:
			off, n := quicVarint(b)
			l, m := quicVarint(b[n:])
			if n == 0 || m == 0 || l > uint64(len(b)-n-m) {
				bad = quicErrorOnData
				break loop
			}
			found = true
			b = b[n+m:]
			if e := s.add(off, b[:l]); e != "" {
				bad = e
			}
			b = b[l:]
		case 0x1c, 0x1d: // the connection ends
			break loop
		default:
			bad = quicErrorOnData
			break loop
		}
	}
	typ := byte(1)
	if d == ToClient {
		typ = 2
	}
	if found && !s.hello {
		if m := s.message(); m != nil {
			s.hello = true
			s.parts, s.size = nil, 0
			t := p.add(c, d, version)
			if m[0] == typ {
				if e := t.Hello.decode(m[4:], d == ToServer); e != "" {
					t.event(quicErrorOnData)
				}
				t.SNI = t.Hello.SNI
			}
			if bad != "" {
				t.event(bad)
			}
			return
		}
		if bad == "" {
			return // more of it must come
		}
	}
	t := p.add(c, d, version)
	if bad != "" {
		t.event(bad)
	}
}

// add keeps a piece of the crypto stream.
func (s *quicCrypto) add(off uint64, b []byte) Event {
	if s.hello {
		return ""
	}
	if off+uint64(len(b)) > quicMaxCrypto || len(s.parts) >= quicMaxFragments || s.size+len(b) > 2*quicMaxCrypto {
		return quicCryptoTooLong
	}
	i, _ := slices.BinarySearchFunc(s.parts, off, func(p quicPart, off uint64) int {
		switch {
		case p.off < off:
			return -1
		case p.off > off:
			return 1
		}
		return 0
	})
	s.parts = slices.Insert(s.parts, i, quicPart{off, b})
	s.size += len(b)
	return ""
}

// message returns the first handshake message, nil while it is not complete.
// Where pieces overlap the one that begins first wins.
func (s *quicCrypto) message() []byte {
	var out []byte
	for _, p := range s.parts {
		if p.off > uint64(len(out)) {
			break
		}
		if end := p.off + uint64(len(p.data)); end > uint64(len(out)) {
			out = append(out, p.data[uint64(len(out))-p.off:]...)
		}
	}
	if len(out) < 4 {
		return nil
	}
	n := 4 + (int(out[1])<<16 | int(out[2])<<8 | int(out[3]))
	if len(out) < n {
		return nil
	}
	return out[:n]
}

// quicVarint reads a variable-length integer (RFC 9000 §16) and returns how
// many bytes it took, 0 if there are too few.
func quicVarint(b []byte) (uint64, int) {
	if len(b) == 0 {
		return 0, 0
	}
	n := 1 << (b[0] >> 6)
	if len(b) < n {
		return 0, 0
	}
	v := uint64(b[0] & 0x3f)
	for _, c := range b[1:n] {
		v = v<<8 | uint64(c)
	}
	return v, n
}

// google reads the client hello of Google's QUIC (versions Q039 to Q046), which
// is not encrypted: a message "CHLO" of tags and values. Where frames and
// header end does not matter to find it.
func (p *quicParser) google(c *Conn, d Dir, version uint32, b []byte) {
	t := p.add(c, d, version)
	if d != ToServer {
		return
	}
	i := bytes.Index(b, []byte("CHLO"))
	if i < 0 || i+8 > len(b) {
		return
	}
	b = b[i:]
	count := int(binary.LittleEndian.Uint16(b[4:]))
	if count > quicMaxTags || 8+8*count > len(b) {
		t.event(quicErrorOnData)
		return
	}
	table, values := b[8:8+8*count], b[8+8*count:]
	cyu := append(appendUint(nil, uint64((version>>8&15)*10+version&15)), ',')
	start := uint32(0)
	for k := range count {
		tag := bytes.TrimRight(table[8*k:8*k+4], "\x00")
		end := binary.LittleEndian.Uint32(table[8*k+4:])
		if k > 0 {
			cyu = append(cyu, '-')
		}
		cyu = append(cyu, tag...)
		if end < start || end > uint32(len(values)) {
			t.event(quicErrorOnData)
			start = uint32(len(values))
			continue
		}
		switch string(tag) {
		case "SNI":
			t.SNI = clone(values[start:end])
		case "UAID":
			t.UserAgent = clone(values[start:end])
		}
		start = end
	}
	t.CYU = cyu
}
