package app

import (
	"bytes"
	"encoding/binary"
)

// Anomalies of Kerberos.
const (
	krb5Malformed Event = "malformed_data"
	krb5Weak      Event = "weak_encryption"
)

const (
	krb5MaxRecord = 64 << 10
	krb5MaxNames  = 16
)

// KRB5Tx is one Kerberos message (RFC 4120 §5).
type KRB5Tx struct {
	plainTx
	MsgType     uint8 // 10 AS-REQ … 30 KRB-ERROR
	CName       [][]byte
	SName       [][]byte
	Realm       []byte
	EType       int32 // of the encrypted part; 0 if there is none
	TicketEType int32
	HasTicket   bool
	HasEType    bool
	ErrCode     uint32
	HasError    bool
	Request     uint8 // type of the last request before an error
}

// Bytes implements Tx.
func (t *KRB5Tx) Bytes(f Field, d Dir, i int) ([]byte, bool) {
	if d != t.From {
		return nil, false
	}
	switch f {
	case KRB5CName:
		return at(t.CName, i)
	case KRB5SName:
		return at(t.SName, i)
	}
	return nil, false
}

// Number implements Tx. Encryption types are negative for some: they come as
// two's complement of 32 bits.
func (t *KRB5Tx) Number(f Field, d Dir, i int) (uint64, bool) {
	if d != t.From {
		return 0, false
	}
	switch f {
	case KRB5MsgType:
		return only1(uint64(t.MsgType), true, i)
	case KRB5ErrCode:
		return only1(uint64(t.ErrCode), t.HasError, i)
	case KRB5TicketEncryption:
		return only1(uint64(uint32(t.TicketEType)), t.HasTicket, i)
	}
	return 0, false
}

type krb5Parser struct {
	request uint8
	lost    [2]bool
}

func newKRB5() parser { return &krb5Parser{} }

func (p *krb5Parser) reset()        { *p = krb5Parser{} }
func (*krb5Parser) maxPending() int { return 4 + krb5MaxRecord + 1 }

// parse: four bytes of length before each message (RFC 4120 §7.2.2).
func (p *krb5Parser) parse(c *Conn, d Dir, data []byte) (n, need int) {
	for {
		b := data[n:]
		if p.lost[d] {
			return len(data), 0
		}
		if len(b) < 4 {
			return n, 4
		}
		l := binary.BigEndian.Uint32(b)
		if l > krb5MaxRecord {
			p.lost[d] = true // of nobody: its end is waited for
			continue
		}
		if len(b) < 4+int(l) {
			return n, 4 + int(l)
		}
		if l > 0 {
			p.message(c, d, b[4:4+l])
		}
		n += 4 + int(l)
	}
}

func (p *krb5Parser) gap(_ *Conn, d Dir, _ uint64) bool {
	p.lost[d] = true
	return true
}

func (*krb5Parser) close(*Conn, Dir, []byte) {}

func (p *krb5Parser) datagram(c *Conn, d Dir, data []byte) { p.message(c, d, data) }

func (p *krb5Parser) message(c *Conn, d Dir, data []byte) {
	t := &KRB5Tx{}
	t.oneWay(d)
	if !t.decode(clone(data)) {
		t.event(krb5Malformed)
	}
	switch t.MsgType {
	case 10, 12, 14:
		p.request = t.MsgType
	case 30:
		t.Request = p.request
	}
	if (t.MsgType == 11 || t.MsgType == 13) && (t.HasEType && krb5IsWeak(t.EType)) {
		t.event(krb5Weak)
	}
	c.add(t)
}

// krb5IsWeak: everything but AES and Camellia.
func krb5IsWeak(etype int32) bool {
	switch etype {
	case 17, 18, 19, 20, 25, 26:
		return false
	}
	return true
}

func (t *KRB5Tx) decode(b []byte) bool {
	tag, b, _, ok := derNext(b)
	if !ok || tag&0xe0 != 0x60 {
		return false
	}
	t.MsgType = tag & 0x1f
	tag, b, _, ok = derNext(b)
	if !ok || tag != derTagSequence {
		return false
	}
	for len(b) > 0 {
		var v []byte
		if tag, v, b, ok = derNext(b); !ok {
			return false
		}
		switch t.MsgType {
		case 10, 12:
			if tag == 0xa4 {
				return t.requestBody(v)
			}
		case 11, 13:
			switch tag {
			case 0xa3:
				t.Realm = krb5String(v)
			case 0xa4:
				t.CName = krb5Name(v)
			case 0xa5:
				if !t.ticket(v) {
					return false
				}
			case 0xa6:
				t.EType, t.HasEType = krb5EncryptionType(v)
			}
		case 14:
			if tag == 0xa3 {
				return t.ticket(v)
			}
		case 30:
			switch tag {
			case 0xa6:
				if _, n, _, ok := derNext(v); ok {
					t.ErrCode, t.HasError = uint32(berUint(n)), true
				}
			case 0xa8:
				t.CName = krb5Name(v)
			case 0xa9:
				t.Realm = krb5String(v)
			case 0xaa:
				t.SName = krb5Name(v)
			}
		case 15:
		default:
			return false
		}
	}
	return true
}

func (t *KRB5Tx) requestBody(b []byte) bool {
	tag, b, _, ok := derNext(b)
	if !ok || tag != derTagSequence {
		return false
	}
	for len(b) > 0 {
		var v []byte
		if tag, v, b, ok = derNext(b); !ok {
			return false
		}
		switch tag {
		case 0xa1:
			t.CName = krb5Name(v)
		case 0xa2:
			t.Realm = krb5String(v)
		case 0xa3:
			t.SName = krb5Name(v)
		}
	}
	return true
}

func (t *KRB5Tx) ticket(b []byte) bool {
	tag, b, _, ok := derNext(b)
	if !ok || tag != 0x61 {
		return false
	}
	tag, b, _, ok = derNext(b)
	if !ok || tag != derTagSequence {
		return false
	}
	for len(b) > 0 {
		var v []byte
		if tag, v, b, ok = derNext(b); !ok {
			return false
		}
		switch tag {
		case 0xa2:
			if t.MsgType != 14 {
				t.SName = krb5Name(v)
			}
		case 0xa3:
			t.TicketEType, t.HasTicket = krb5EncryptionType(v)
		}
	}
	return true
}

func krb5String(b []byte) []byte {
	_, v, _, ok := derNext(b)
	if !ok {
		return nil
	}
	return v
}

// krb5Name reads a PrincipalName: its type, then its components.
func krb5Name(b []byte) [][]byte {
	_, b, _, ok := derNext(b)
	if !ok {
		return nil
	}
	if _, _, b, ok = derNext(b); !ok {
		return nil
	}
	_, b, _, ok = derNext(b)
	if !ok {
		return nil
	}
	if _, b, _, ok = derNext(b); !ok {
		return nil
	}
	var out [][]byte
	for len(b) > 0 && len(out) < krb5MaxNames {
		var v []byte
		if _, v, b, ok = derNext(b); !ok {
			break
		}
		out = append(out, v)
	}
	return out
}

func krb5EncryptionType(b []byte) (int32, bool) {
	_, b, _, ok := derNext(b)
	if !ok {
		return 0, false
	}
	tag, v, _, ok := derNext(b)
	if !ok || tag != 0xa0 {
		return 0, false
	}
	_, n, _, ok := derNext(v)
	if !ok || len(n) == 0 {
		return 0, false
	}
	e := int32(uint32(berUint(n)))
	if len(n) < 4 && n[0]&0x80 != 0 {
		e |= -1 << (8 * len(n))
	}
	return e, true
}

// Principal joins the components of a name with slashes.
func Principal(name [][]byte) []byte { return bytes.Join(name, []byte("/")) }
