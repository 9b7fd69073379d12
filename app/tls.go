package app

import (
	"bytes"
	"encoding/binary"
)

// Anomalies of the TLS record and handshake layer.
const (
	tlsInvalidSSLv2Header  Event = "invalid_sslv2_header"
	tlsInvalidRecordLength Event = "invalid_record_length"
	tlsInvalidType         Event = "invalid_record_type"
	tlsInvalidVersion      Event = "invalid_record_version"
	tlsInvalidRecord       Event = "invalid_ssl_record"
	tlsErrorMessage        Event = "error_message_encountered"
	tlsHeartbeat           Event = "heartbeat_message"
	tlsHeartbeatInvalid    Event = "invalid_heartbeat_message"
	tlsHeartbeatOverflow   Event = "overflow_heartbeat_message"
	tlsHeartbeatLeak       Event = "dataleak_heartbeat_mismatch"
)

const (
	tlsRecordHeader = 5
	// tlsMaxRecord is the longest record body (RFC 5246 §6.2.2 allows a
	// compressed one 1,024 bytes more than its plain text).
	tlsMaxRecord = 1<<14 + 1024
	// tlsMaxHandshake is the longest handshake message that is kept: longer
	// ones are skipped.
	tlsMaxHandshake = 128 << 10
	tlsMaxCerts     = 32
)

// TLSTx is a TLS connection: there is one transaction a connection. Its
// directions reach StageHeaders with their hello, StageBody with their
// certificates (or when none can come any more) and StageComplete when the
// handshake is over.
type TLSTx struct {
	plainTx
	Client, Server TLSHello
	// Certs are the certificates a direction has sent, leaf first.
	Certs [2][][]byte
	// Leaf is the first of them, decoded; DER is nil if there is none.
	Leaf [2]Certificate
	// Resumed: the server took up an earlier session.
	Resumed bool

	// State is the last message of the handshake that decides how it goes on.
	State TLSState

	recordVersion [2]uint16
	text          [2]tlsTexts
	ja3           []byte
	ja3Hash       []byte
	ja3s          []byte
	ja3sHash      []byte
	ja4           []byte
}

// TLSState is how far a handshake is.
type TLSState uint8

const (
	TLSNoState TLSState = iota
	TLSClientHello
	TLSServerHello
	TLSServerKeys // ServerKeyExchange
	TLSClientKeys // ClientKeyExchange
)

// tlsTexts are the renderings of a certificate, made when first asked for.
type tlsTexts struct{ serial, fingerprint []byte }

// Version of direction d as far as known: what the hello says, the record
// before that. Zero if there is none.
func (t *TLSTx) Version(d Dir) uint16 {
	h := &t.Client
	if d == ToClient {
		h = &t.Server
	}
	if !h.Seen || h.Version == 0 && h.Random == nil {
		return t.recordVersion[d]
	}
	for _, v := range h.Versions {
		if v >= VersionSSL3 && v <= VersionTLS13 || v>>8 == 0x7f {
			return v
		}
	}
	return h.Version
}

// JA3 returns the JA3 string of the client and its hash; nil before its hello.
func (t *TLSTx) JA3() (str, hash []byte) {
	if t.ja3 == nil && t.Client.Seen && !t.Client.SSLv2 {
		t.ja3 = appendJA3(nil, &t.Client)
		t.ja3Hash = md5Hex(t.ja3)
	}
	return t.ja3, t.ja3Hash
}

// JA3S returns the JA3S string of the server and its hash; nil before its
// hello.
func (t *TLSTx) JA3S() (str, hash []byte) {
	if t.ja3s == nil && t.Server.Seen && !t.Server.SSLv2 {
		t.ja3s = appendJA3S(nil, &t.Server)
		t.ja3sHash = md5Hex(t.ja3s)
	}
	return t.ja3s, t.ja3sHash
}

// JA4 returns the JA4 fingerprint of the client; nil before its hello.
func (t *TLSTx) JA4() []byte {
	if t.ja4 == nil && t.Client.Seen && !t.Client.SSLv2 {
		t.ja4 = ja4(&t.Client, false)
	}
	return t.ja4
}

// CertSerial is the serial number of the leaf of direction d as "0A:BC", nil
// if there is none.
func (t *TLSTx) CertSerial(d Dir) []byte {
	if t.text[d].serial == nil && t.Leaf[d].Serial != nil {
		t.text[d].serial = t.Leaf[d].SerialText()
	}
	return t.text[d].serial
}

// CertFingerprint is the SHA-1 of the leaf of direction d as "0a:bc", nil if
// there is none.
func (t *TLSTx) CertFingerprint(d Dir) []byte {
	if t.text[d].fingerprint == nil && t.Leaf[d].DER != nil {
		t.text[d].fingerprint = t.Leaf[d].Fingerprint()
	}
	return t.text[d].fingerprint
}

// Bytes implements Tx.
func (t *TLSTx) Bytes(f Field, d Dir, i int) ([]byte, bool) {
	h := &t.Client
	if d == ToClient {
		h = &t.Server
	}
	switch f {
	case TLSSNI:
		if d == ToServer {
			return only(h.SNI, i)
		}
	case TLSALPN:
		return at(h.ALPN, i)
	case TLSRandom:
		return only(h.Random, i)
	case TLSRandomTime:
		if len(h.Random) == 32 {
			return only(h.Random[:4], i)
		}
	case TLSRandomBytes:
		if len(h.Random) == 32 {
			return only(h.Random[4:], i)
		}
	case TLSCertSubject:
		return only(t.Leaf[d].Subject, i)
	case TLSCertIssuer:
		return only(t.Leaf[d].Issuer, i)
	case TLSCertSerial:
		return only(t.CertSerial(d), i)
	case TLSCertFingerprint:
		return only(t.CertFingerprint(d), i)
	case TLSSubjectAltName:
		return at(t.Leaf[d].AltNames, i)
	case TLSCerts:
		return at(t.Certs[d], i)
	case JA3String, JA3Hash:
		if d != ToServer {
			break
		}
		s, hash := t.JA3()
		if f == JA3Hash {
			s = hash
		}
		return only(s, i)
	case JA3SString, JA3SHash:
		if d != ToClient {
			break
		}
		s, hash := t.JA3S()
		if f == JA3SHash {
			s = hash
		}
		return only(s, i)
	case JA4Hash:
		if d == ToServer {
			return only(t.JA4(), i)
		}
	}
	return nil, false
}

// Number implements Tx.
func (t *TLSTx) Number(f Field, d Dir, i int) (uint64, bool) {
	l := &t.Leaf[d]
	switch f {
	case TLSVersion:
		v := t.Version(d)
		return only1(uint64(v), v != 0, i)
	case TLSCertChainLen:
		return only1(uint64(len(t.Certs[d])), d == ToClient && t.Progress[d] >= StageBody, i)
	case TLSHandshakeState:
		return only1(uint64(t.State), t.State != TLSNoState, i)
	case TLSCertNotBefore:
		return only1(uint64(l.NotBefore.Unix()), !l.NotBefore.IsZero(), i)
	case TLSCertNotAfter:
		return only1(uint64(l.NotAfter.Unix()), !l.NotAfter.IsZero(), i)
	}
	return 0, false
}

// tlsParser reads records (RFC 8446 §5.1, RFC 5246 §6.2) and the clear part of
// the handshake.
type tlsParser struct {
	streamOnly
	tx    *TLSTx
	dir   [2]tlsDir
	early bool // the client offered early data
}

type tlsDir struct {
	records uint64
	skip    int    // bytes of a record body that is not looked at
	hs      []byte // handshake message under way, with its header
	hsSkip  int    // bytes of a handshake message that is not kept
	ccs     bool   // change_cipher_spec was sent: handshake records are cipher text
	beat    int    // payload length of the last heartbeat request
	lost    bool   // behind a gap
	v2      bool   // SSLv2 records
}

func newTLS() parser { return &tlsParser{} }

func (p *tlsParser) reset() { *p = tlsParser{} }

func (*tlsParser) maxPending() int { return tlsRecordHeader + tlsMaxRecord + 1 }

func (p *tlsParser) parse(c *Conn, d Dir, data []byte) (n, need int) {
	if p.tx == nil {
		p.tx = &TLSTx{}
		p.tx.From = d
		c.add(p.tx)
	}
	s := &p.dir[d]
	for {
		b := data[n:]
		if s.lost {
			return len(data), 0
		}
		if s.skip > 0 {
			k := min(s.skip, len(b))
			s.skip -= k
			n += k
			if s.skip > 0 {
				return n, 0
			}
			continue
		}
		if len(b) < tlsRecordHeader {
			return n, tlsRecordHeader
		}
		if s.v2 || s.records == 0 && b[0]&0x80 != 0 && (b[2] == 1 && d == ToServer || b[2] == 4 && d == ToClient) {
			k, want := p.v2Record(c, d, b)
			if k == 0 {
				return n, want
			}
			n += k
			if c.Done() {
				return n, 0
			}
			continue
		}
		typ, version, l := b[0], binary.BigEndian.Uint16(b[1:]), int(binary.BigEndian.Uint16(b[3:]))
		switch v := version >> 8; {
		case typ < 20 || typ > 24:
			if typ&0xc0 != 0 {
				// The length of a record of SSLv2, which Suricata accepts
				// anywhere: not understood, but no fault.
				c.stop()
				return n, 0
			}
			p.bad(c, tlsInvalidType)
			return n, 0
		case s.records == 0 && (version < VersionSSL3 || version > VersionTLS13) && v != 0x7f:
			// Later ones are not looked at: the connection has its version.
			p.bad(c, tlsInvalidVersion)
			return n, 0
		case l > tlsMaxRecord || l == 0:
			p.bad(c, tlsInvalidRecordLength)
			return n, 0
		case typ == 22 && l < 4 && !s.ccs:
			// RFC 8446 §5.1 allows it, Suricata does not.
			p.bad(c, tlsInvalidRecord)
			return n, 0
		}
		if p.tx.recordVersion[d] == 0 {
			p.tx.recordVersion[d] = version
		}
		if c.wantsFrames() {
			// Frames are of whole records, be they cipher text or not.
			if len(b) < tlsRecordHeader+l {
				return n, tlsRecordHeader + l
			}
			c.frame(d, "pdu", n, b[:tlsRecordHeader+l])
			c.frame(d, "hdr", n, b[:tlsRecordHeader])
			c.frame(d, "data", n+tlsRecordHeader, b[tlsRecordHeader:tlsRecordHeader+l])
			switch typ {
			case 21:
				c.frame(d, "alert", n+tlsRecordHeader, b[tlsRecordHeader:tlsRecordHeader+l])
			case 24:
				c.frame(d, "heartbeat", n+tlsRecordHeader, b[tlsRecordHeader:tlsRecordHeader+l])
			}
		}
		if len(b) >= tlsRecordHeader+l {
			c.message(d)
		}
		switch {
		case typ == 23:
			s.records++
			if p.applicationData(c, d) {
				return n, 0
			}
			s.skip = l
			n += tlsRecordHeader
		case typ == 22 && s.ccs:
			s.records++
			s.skip = l
			n += tlsRecordHeader
		default:
			if len(b) < tlsRecordHeader+l {
				return n, tlsRecordHeader + l
			}
			s.records++
			n += tlsRecordHeader + l
			if !p.record(d, typ, b[tlsRecordHeader:tlsRecordHeader+l]) {
				p.bad(c, tlsInvalidRecord)
				return n, 0
			}
		}
	}
}

// bad ends parsing because the bytes are no TLS.
func (p *tlsParser) bad(c *Conn, e Event) {
	p.tx.event(e)
	c.fail()
}

// applicationData is cipher text by definition: whatever could be read of the
// handshake has been. It returns true if the connection is done with. A client
// may send early data before the server said anything (RFC 8446 §2.3).
func (p *tlsParser) applicationData(c *Conn, d Dir) bool {
	if d == ToServer && p.early && !p.tx.Server.Seen {
		return false
	}
	p.finish()
	if c.wantsFrames() {
		c.flags |= flagEncrypted // but records are still told apart
		return false
	}
	c.stopEncrypted()
	return true
}

func (p *tlsParser) finish() {
	p.tx.complete()
	for d := range p.dir {
		p.dir[d].hs = nil
	}
}

// record takes the body of a record; false if it breaks the protocol.
func (p *tlsParser) record(d Dir, typ byte, b []byte) bool {
	s := &p.dir[d]
	switch typ {
	case 20:
		s.ccs = true
		if d == ToClient {
			p.tx.State = TLSNoState
		}
		s.hs = nil
		p.tx.reach(d, StageBody)
		// Before TLS 1.3 the second of them ends what can be read.
		if p.dir[d.Other()].ccs {
			p.tx.reach(d.Other(), StageBody)
		}
	case 22:
		return p.handshake(d, b)
	case 24:
		return p.heartbeat(d, b)
	}
	return true
}

// handshake takes the body of a handshake record: messages may be cut and
// joined at will, but for the four bytes at their head, which Suricata wants in
// one record: false if they are not.
func (p *tlsParser) handshake(d Dir, b []byte) bool {
	s := &p.dir[d]
	for len(b) > 0 {
		if s.hsSkip > 0 {
			k := min(s.hsSkip, len(b))
			s.hsSkip -= k
			b = b[k:]
			continue
		}
		if len(s.hs) == 0 && len(b) >= 4 {
			if !tlsHandshakeType(b[0]) {
				p.tx.event(tlsInvalidHandshake)
				return true // what follows has no known beginning
			}
			l := int(b[1])<<16 | int(b[2])<<8 | int(b[3])
			if len(b) >= 4+l {
				p.message(d, b[0], clone(b[4:4+l]))
				b = b[4+l:]
				continue
			}
		}
		want := 4
		if len(s.hs) >= 4 {
			want = 4 + (int(s.hs[1])<<16 | int(s.hs[2])<<8 | int(s.hs[3]))
		} else if len(b) < 4 {
			p.tx.event(tlsInvalidHandshake)
			return false
		}
		k := min(want-len(s.hs), len(b))
		s.hs = append(s.hs, b[:k]...)
		b = b[k:]
		want = int(s.hs[1])<<16 | int(s.hs[2])<<8 | int(s.hs[3])
		if want > tlsMaxHandshake {
			s.hsSkip = want
			s.hs = s.hs[:0]
			continue
		}
		if len(s.hs) == 4+want {
			p.message(d, s.hs[0], s.hs[4:])
			s.hs = nil // the transaction keeps slices of it
		}
	}
	return true
}

// tlsHandshakeType says whether Suricata knows the type of a handshake message:
// those of TLS 1.2 and before.
func tlsHandshakeType(t byte) bool {
	return t <= 2 || t == 4 || t >= 11 && t <= 16 || t >= 20 && t <= 22
}

// tlsKnownVersion says whether Suricata knows the version.
func tlsKnownVersion(v uint16) bool {
	return v >= VersionSSL3 && v <= VersionTLS13 || v == VersionSSL2 || v == 0 || v == 2 || v > 0x7f00 && v <= 0x7f1c
}

// message takes one handshake message, whose bytes it may keep.
func (p *tlsParser) message(d Dir, typ byte, b []byte) {
	t := p.tx
	if len(b) == 0 {
		return
	}
	switch typ {
	case 1:
		t.State = TLSClientHello
	case 2:
		t.State = TLSServerHello
	case 12:
		t.State = TLSServerKeys
	case 16:
		t.State = TLSClientKeys
	}
	switch typ {
	case 1:
		if t.Client.Seen {
			// A second one is in order only if the server asked for it (RFC
			// 8446 §4.1.4).
			var again TLSHello
			if again.decode(b, true); again.SNI != nil && t.Client.SNI != nil && !t.Server.retry() {
				t.event(tlsMultipleSNI)
			}
			return
		}
		if e := t.Client.decode(b, true); e != "" {
			t.event(e)
		}
		for _, x := range t.Client.Extensions {
			p.early = p.early || x == 42
		}
		t.reach(ToServer, StageHeaders)
	case 2:
		if t.Server.Seen {
			return
		}
		if e := t.Server.decode(b, false); e != "" {
			t.event(e)
		}
		if len(b) >= 2 && !tlsKnownVersion(t.Server.Version) {
			t.event(tlsInvalidVersion)
		}
		id := t.Client.SessionID
		t.Resumed = len(id) > 0 && bytes.Equal(id, t.Server.SessionID) && t.Server.NegotiatedVersion() < VersionTLS13
		t.reach(ToClient, StageHeaders)
	case 11:
		p.certificates(d, b)
	case 14, 16: // the last of the server's or the client's flight
		t.reach(d, StageBody)
	}
}

func (p *tlsParser) certificates(d Dir, b []byte) {
	t := p.tx
	defer t.reach(d, StageBody)
	if len(t.Certs[d]) > 0 {
		return
	}
	if len(b) < 3 {
		return
	}
	l := int(b[0])<<16 | int(b[1])<<8 | int(b[2])
	b = b[3:]
	if l > len(b) {
		return
	}
	// The length of the list says where the last certificate may begin.
	for end := len(b) - l; len(b) > end && len(t.Certs[d]) < tlsMaxCerts; {
		if len(b) < 3 {
			t.event(x509InvalidCertificate)
			break
		}
		l = int(b[0])<<16 | int(b[1])<<8 | int(b[2])
		b = b[3:]
		if l > len(b) {
			t.event(x509InvalidCertificate)
			break
		}
		t.Certs[d] = append(t.Certs[d], b[:l:l])
		b = b[l:]
	}
	if len(t.Certs[d]) > 0 {
		if e := t.Leaf[d].Decode(t.Certs[d][0]); e != "" {
			t.event(e)
		}
	}
}

// heartbeat looks for the messages of CVE-2014-0160 (RFC 6520 §4); false if it
// is none.
func (p *tlsParser) heartbeat(d Dir, b []byte) bool {
	t, s := p.tx, &p.dir[d]
	t.event(tlsHeartbeat)
	if s.ccs || len(b) < 3 {
		return true // cipher text: nothing can be said
	}
	n := int(binary.BigEndian.Uint16(b[1:]))
	switch b[0] {
	case 1:
		s.beat = n
		if n > len(b)-3 || n+16 > len(b)-3 {
			t.event(tlsHeartbeatOverflow)
		}
	case 2:
		if asked := p.dir[d.Other()].beat; asked > 0 && len(b)-3 > asked+16 {
			t.event(tlsHeartbeatLeak)
		}
		p.dir[d.Other()].beat = 0
	default:
		t.event(tlsHeartbeatInvalid)
		return false
	}
	return true
}

// v2Record takes a record of SSLv2 (or the hello that is compatible with it,
// RFC 5246 appendix E.2): two bytes of length with the top bit set, or three
// with padding.
func (p *tlsParser) v2Record(c *Conn, d Dir, b []byte) (n, need int) {
	s, t := &p.dir[d], p.tx
	l, h := int(b[0]&0x7f)<<8|int(b[1]), 2
	if b[0]&0x80 == 0 {
		l, h = int(b[0]&0x3f)<<8|int(b[1]), 3
	}
	if l == 0 || h+l > p.maxPending()-1 {
		p.tx.event(tlsInvalidRecord)
		p.tx.event(tlsInvalidSSLv2Header)
		c.stop()
		return h, 0
	}
	if len(b) < h+l {
		return 0, h + l
	}
	s.records++
	m := b[h : h+l]
	switch {
	case m[0] == 1 && d == ToServer && len(m) >= 9 && !t.Client.Seen:
		hello := &t.Client
		hello.Seen, hello.SSLv2 = true, true
		hello.Version = binary.BigEndian.Uint16(m[1:])
		specs := int(binary.BigEndian.Uint16(m[3:]))
		id := int(binary.BigEndian.Uint16(m[5:]))
		if 9+specs+id > len(m) {
			t.event(tlsInvalidHandshake)
		} else {
			for k := 9; k+3 <= 9+specs; k += 3 {
				if m[k] == 0 {
					hello.Ciphers = append(hello.Ciphers, binary.BigEndian.Uint16(m[k+1:]))
				}
			}
			hello.SessionID = clone(m[9+specs : 9+specs+id])
		}
		t.recordVersion[d] = VersionSSL2
		t.reach(ToServer, StageHeaders)
	case m[0] == 4 && d == ToClient && len(m) >= 11 && !t.Server.Seen:
		t.Server.Seen, t.Server.SSLv2 = true, true
		t.Server.Version = binary.BigEndian.Uint16(m[3:])
		t.recordVersion[d] = VersionSSL2
		t.reach(ToClient, StageHeaders)
		if cl := int(binary.BigEndian.Uint16(m[5:])); 11+cl <= len(m) && cl > 0 {
			t.Certs[d] = [][]byte{clone(m[11 : 11+cl])}
			if e := t.Leaf[d].Decode(t.Certs[d][0]); e != "" {
				t.event(e)
			}
		}
		t.reach(ToClient, StageBody)
		// Both sides speak SSLv2 from here: what follows is keys and cipher text.
		p.dir[ToServer].v2, p.dir[ToClient].v2 = true, true
	case m[0] == 0 && s.v2:
		t.event(tlsErrorMessage)
	case s.v2:
		p.finish()
		c.stopEncrypted()
	}
	return h + l, 0
}

func (p *tlsParser) gap(_ *Conn, d Dir, n uint64) bool {
	if p.tx == nil {
		return false
	}
	s := &p.dir[d]
	if uint64(s.skip) >= n {
		s.skip -= int(n) // within cipher text: nothing is lost
		return true
	}
	s.lost, s.hs = true, nil
	p.tx.reach(d, StageBody)
	return !p.dir[d.Other()].lost
}

func (p *tlsParser) close(_ *Conn, d Dir, _ []byte) {
	if p.tx != nil {
		p.tx.reach(d, StageComplete)
	}
}
