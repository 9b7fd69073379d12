package app

import (
	"bytes"
	"encoding/binary"
)

const rdpMaxPacket = 64 << 10

// RDPTx is one packet of the connection sequence (MS-RDPBCGR §1.3.1.1).
type RDPTx struct {
	plainTx
	Kind     RDPKind
	Cookie   []byte // user of "Cookie: mstshash="
	Protocol uint32 // asked for or chosen: 1 TLS, 2 CredSSP, 8 RDSTLS
	Failure  uint32
}

// RDPKind says which packet it is.
type RDPKind uint8

// Kinds of packets.
const (
	RDPInitialRequest RDPKind = iota
	RDPInitialResponse
	RDPConnectRequest
	RDPConnectResponse
)

type rdpParser struct {
	streamOnly
	connected bool
	lost      [2]bool
}

func newRDP() parser { return &rdpParser{} }

func (p *rdpParser) reset()        { *p = rdpParser{} }
func (*rdpParser) maxPending() int { return rdpMaxPacket + 1 }

// parse reads TPKT packets (RFC 1006 §6) with X.224 in them.
func (p *rdpParser) parse(c *Conn, d Dir, data []byte) (n, need int) {
	for {
		b := data[n:]
		if p.lost[d] {
			return len(data), 0
		}
		if len(b) < 4 {
			return n, 4
		}
		l := int(binary.BigEndian.Uint16(b[2:]))
		if b[0] != 3 || l < 7 {
			if !p.connected && b[0] != 0x16 && b[0] != 3 {
				c.fail()
				return n, 0
			}
			// Compressed or encrypted packets of another form follow.
			c.stopEncrypted()
			return n, 0
		}
		if len(b) < l {
			return n, l
		}
		chosen := p.packet(c, d, b[4:l])
		n += l
		if chosen != 0 { // TLS begins in the middle of the flow
			c.stopEncrypted()
			return n, 0
		}
		if c.Done() {
			return n, 0
		}
	}
}

// packet returns the security protocol that the server has chosen, 0 if it has
// not, or the old one of RDP.
func (p *rdpParser) packet(c *Conn, d Dir, b []byte) uint32 {
	if len(b) < 3 {
		return 0
	}
	t := &RDPTx{}
	t.oneWay(d)
	switch b[1] {
	case 0xe0:
		t.Kind = RDPInitialRequest
		rest := b[min(len(b), 7):]
		if k := bytes.Index(rest, []byte("\r\n")); k >= 0 {
			if user, ok := bytes.CutPrefix(rest[:k], []byte("Cookie: mstshash=")); ok {
				t.Cookie = clone(user)
			}
			rest = rest[k+2:]
		}
		if len(rest) >= 8 && rest[0] == 1 {
			t.Protocol = binary.LittleEndian.Uint32(rest[4:])
		}
	case 0xd0:
		t.Kind = RDPInitialResponse
		if len(b) >= 15 {
			switch b[7] {
			case 2:
				t.Protocol = binary.LittleEndian.Uint32(b[11:])
			case 3:
				t.Failure = binary.LittleEndian.Uint32(b[11:])
			}
		}
		c.add(t)
		return t.Protocol
	case 0xf0:
		body := b[3:]
		switch {
		case len(body) >= 2 && body[0] == 0x7f && body[1] == 0x65:
			t.Kind = RDPConnectRequest
		case len(body) >= 2 && body[0] == 0x7f && body[1] == 0x66:
			t.Kind = RDPConnectResponse
			p.connected = true
		default:
			if p.connected {
				c.stopEncrypted() // what rules look at is over
			}
			return 0
		}
	default:
		return 0
	}
	c.add(t)
	return 0
}

func (p *rdpParser) gap(_ *Conn, d Dir, _ uint64) bool {
	p.lost[d] = true
	return true
}

func (*rdpParser) close(*Conn, Dir, []byte) {}
