package app

import (
	"encoding/binary"
	"encoding/hex"
)

// Anomalies of IKE.
const (
	ikeMalformed    Event = "malformed_data"
	ikeNoEncryption Event = "no_encryption"
	ikeWeakEnc      Event = "weak_crypto_enc"
	ikeWeakPRF      Event = "weak_crypto_prf"
	ikeWeakAuth     Event = "weak_crypto_auth"
	ikeWeakDH       Event = "weak_crypto_dh"
	ikeNoDH         Event = "weak_crypto_no_dh"
	ikeNoAuth       Event = "weak_crypto_no_auth"
	ikeManyServer   Event = "multiple_server_proposal"
)

// Attributes of IKEChosenSAAttribute. Those of version 1 have their numbers
// (RFC 2409 appendix A), those of version 2 the number of the same thing.
const (
	IKEAttrEncryption   = 1
	IKEAttrHash         = 2
	IKEAttrAuth         = 3
	IKEAttrDH           = 4
	IKEAttrGroupType    = 5
	IKEAttrLifeType     = 11
	IKEAttrLifeDuration = 12
	IKEAttrPRF          = 13
	IKEAttrKeyLength    = 14
	IKEAttrFieldSize    = 15
	IKEAttrESN          = 100
)

const (
	ikeHeader      = 28
	ikeMaxPayloads = 64
	ikeMaxAttrs    = 64
	ikeMaxVendors  = 32
)

// IKEAttribute is an attribute of a transform.
type IKEAttribute struct {
	Type  uint16
	Value uint32
}

// IKETx is one IKE message (RFC 2408 §3, RFC 7296 §3).
type IKETx struct {
	plainTx
	Major, Minor  uint8
	ExchangeType  uint8
	MessageID     uint32
	InitSPI       []byte // in hexadecimal
	RespSPI       []byte
	Vendors       [][]byte // in hexadecimal
	Nonce         []byte
	KeyExchange   []byte
	Payloads      []uint8
	Encrypted     bool
	Chosen        []IKEAttribute // what the responder took, known from its answer on
	Notifications []uint16

	chose bool // this very message has it
}

// Bytes implements Tx.
func (t *IKETx) Bytes(f Field, _ Dir, i int) ([]byte, bool) {
	switch f {
	case IKEInitSPI:
		return only(t.InitSPI, i)
	case IKERespSPI:
		return only(t.RespSPI, i)
	case IKEVendor:
		return at(t.Vendors, i)
	case IKENoncePayload:
		return only(t.Nonce, i)
	case IKEKeyExchangePayload:
		return only(t.KeyExchange, i)
	}
	return nil, false
}

// Number implements Tx.
func (t *IKETx) Number(f Field, _ Dir, i int) (uint64, bool) {
	switch f {
	case IKEExchType:
		return only1(uint64(t.ExchangeType), true, i)
	case IKENoncePayloadLength:
		return only1(uint64(len(t.Nonce)), t.Nonce != nil, i)
	case IKEKeyExchangePayloadLength:
		return only1(uint64(len(t.KeyExchange)), t.KeyExchange != nil, i)
	case IKEChosenSAAttribute:
		if t.chose && i >= 0 && i < len(t.Chosen) {
			return uint64(t.Chosen[i].Type)<<32 | uint64(t.Chosen[i].Value), true
		}
	}
	return 0, false
}

type ikeParser struct {
	datagramOnly
	chosen []IKEAttribute
}

func newIKE() parser { return &ikeParser{} }

func (p *ikeParser) reset() { *p = ikeParser{} }

func (p *ikeParser) datagram(c *Conn, d Dir, b []byte) {
	if len(b) >= 4 && binary.BigEndian.Uint32(b) == 0 {
		b = b[4:] // RFC 3948 §2.2: not ESP
	}
	if len(b) < ikeHeader {
		return
	}
	t := &IKETx{
		Major: b[17] >> 4, Minor: b[17] & 15, ExchangeType: b[18], MessageID: binary.BigEndian.Uint32(b[20:]),
		InitSPI: hex.AppendEncode(nil, b[:8]), RespSPI: hex.AppendEncode(nil, b[8:16]),
	}
	t.oneWay(d)
	t.Encrypted = t.Major == 1 && b[19]&1 != 0
	if !t.Encrypted && !p.payloads(t, d, b[16], b[ikeHeader:]) {
		t.event(ikeMalformed)
	}
	t.Chosen = p.chosen
	c.add(t)
}

func (p *ikeParser) payloads(t *IKETx, d Dir, next byte, b []byte) bool {
	for n := 0; next != 0 && n < ikeMaxPayloads; n++ {
		if len(b) < 4 {
			return false
		}
		l := int(binary.BigEndian.Uint16(b[2:]))
		if l < 4 || l > len(b) {
			return false
		}
		typ, body := next, b[4:l]
		next, b = b[0], b[l:]
		t.Payloads = append(t.Payloads, typ)
		switch {
		case t.Major == 1 && typ == 1:
			if len(body) < 8 {
				return false
			}
			if d == ToClient {
				p.chosen, t.chose = nil, true
			}
			p.proposals1(t, d, body[8:])
		case t.Major == 2 && typ == 33:
			if d == ToClient {
				p.chosen, t.chose = nil, true
			}
			p.proposals2(t, d, body)
		case typ == 4 && t.Major == 1:
			t.KeyExchange = clone(body)
		case typ == 34:
			if len(body) < 4 {
				return false
			}
			t.KeyExchange = clone(body[4:])
		case typ == 10 && t.Major == 1, typ == 40:
			t.Nonce = clone(body)
		case typ == 13 && t.Major == 1, typ == 43:
			if len(t.Vendors) < ikeMaxVendors {
				t.Vendors = append(t.Vendors, hex.AppendEncode(nil, body))
			}
		case typ == 41 && len(body) >= 4:
			t.Notifications = append(t.Notifications, binary.BigEndian.Uint16(body[2:]))
		case typ == 46: // encrypted: nothing behind it can be read
			t.Encrypted = true
			return true
		}
	}
	return true
}

// ikePart splits the first proposal or transform off b.
func ikePart(b []byte) (body, rest []byte, last, ok bool) {
	if len(b) < 8 {
		return nil, nil, true, false
	}
	l := int(binary.BigEndian.Uint16(b[2:]))
	if l < 8 || l > len(b) {
		return nil, nil, true, false
	}
	return b[4:l], b[l:], b[0] == 0, true
}

func (p *ikeParser) choose(d Dir, typ uint16, v uint32) {
	if d == ToClient && len(p.chosen) < ikeMaxAttrs {
		p.chosen = append(p.chosen, IKEAttribute{typ, v})
	}
}

func (p *ikeParser) proposals1(t *IKETx, d Dir, b []byte) {
	for count := 1; ; count++ {
		body, rest, last, ok := ikePart(b)
		if !ok {
			return
		}
		if d == ToClient && count == 2 {
			t.event(ikeManyServer)
		}
		if spi := int(body[2]); 4+spi <= len(body) {
			for tr := body[4+spi:]; ; {
				one, more, end, ok := ikePart(tr)
				if !ok {
					break
				}
				p.attributes(d, one[4:])
				if tr = more; end {
					break
				}
			}
		}
		if b = rest; last {
			return
		}
	}
}

// attributes reads those of a transform (RFC 2408 §3.3).
func (p *ikeParser) attributes(d Dir, b []byte) {
	for len(b) >= 4 {
		typ, v := binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
		b = b[4:]
		if typ&0x8000 != 0 {
			p.choose(d, typ&0x7fff, uint32(v))
			continue
		}
		if int(v) > len(b) {
			return
		}
		p.choose(d, typ, uint32(berUint(b[:v])))
		b = b[v:]
	}
}

func (p *ikeParser) proposals2(t *IKETx, d Dir, b []byte) {
	for count := 1; ; count++ {
		body, rest, last, ok := ikePart(b)
		if !ok {
			return
		}
		if d == ToClient && count == 2 {
			t.event(ikeManyServer)
		}
		hasDH, hasAuth, aead := false, false, false
		if spi := int(body[2]); 4+spi <= len(body) {
			for tr := body[4+spi:]; ; {
				one, more, end, ok := ikePart(tr)
				if !ok {
					break
				}
				id := binary.BigEndian.Uint16(one[2:])
				switch one[0] {
				case 1:
					p.choose(d, IKEAttrEncryption, uint32(id))
					p.attributes(d, one[4:])
					aead = aead || id >= 14 && id <= 20 || id == 28
					if id == 11 {
						t.event(ikeNoEncryption)
					}
					if id <= 9 || id == 11 {
						t.event(ikeWeakEnc)
					}
				case 2:
					p.choose(d, IKEAttrPRF, uint32(id))
					if id <= 2 {
						t.event(ikeWeakPRF)
					}
				case 3:
					p.choose(d, IKEAttrAuth, uint32(id))
					hasAuth = id != 0
					switch id {
					case 1, 2, 3, 4, 6, 7:
						t.event(ikeWeakAuth)
					}
				case 4:
					p.choose(d, IKEAttrDH, uint32(id))
					hasDH = id != 0
					switch id {
					case 1, 2, 5, 22:
						t.event(ikeWeakDH)
					}
				case 5:
					p.choose(d, IKEAttrESN, uint32(id))
				}
				if tr = more; end {
					break
				}
			}
		}
		if body[1] == 1 { // of IKE itself
			if !hasDH {
				t.event(ikeNoDH)
			}
			if !hasAuth && !aead {
				t.event(ikeNoAuth)
			}
		}
		if b = rest; last {
			return
		}
	}
}
