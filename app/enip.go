package app

import "encoding/binary"

const (
	enipHeader      = 24
	enipMaxServices = 64
	enipMaxAttrs    = 64
)

// CIPServiceCall is a service that is asked of, or answered by, an object of CIP.
type CIPServiceCall struct {
	Service    uint8
	Response   bool
	Class      uint16
	HasClass   bool
	Attributes []uint16 // of the path, or of a list of attributes
}

// ENIPTx is one message of EtherNet/IP encapsulation (CIP volume 2, chapter
// 2). There are no pairs: each message is a transaction.
type ENIPTx struct {
	plainTx
	Command  uint16
	Length   uint16
	Session  uint32
	Status   uint32
	Services []CIPServiceCall
}

// Number implements Tx.
func (t *ENIPTx) Number(f Field, d Dir, i int) (uint64, bool) {
	if d != t.From {
		return 0, false
	}
	switch f {
	case ENIPCommand:
		return only1(uint64(t.Command), true, i)
	case CIPService:
		if i >= 0 && i < len(t.Services) {
			s := uint64(t.Services[i].Service)
			if t.Services[i].Response {
				s |= 0x80
			}
			return s, true
		}
	}
	return 0, false
}

type enipParser struct{ lost [2]bool }

func newENIP() parser { return &enipParser{} }

func (p *enipParser) reset()        { *p = enipParser{} }
func (*enipParser) maxPending() int { return enipHeader + 1<<16 }

// probeENIP knows the header on the port of the protocol.
func probeENIP(in *probeIn) answer {
	p := in.data
	if len(p) < enipHeader {
		return more
	}
	le := binary.LittleEndian
	cmd, n := le.Uint16(p), le.Uint16(p[2:])
	switch le.Uint32(p[8:]) {
	case 0, 1, 2, 3, 0x64, 0x65, 0x69:
	default:
		return no // not a status
	}
	switch cmd {
	case 0: // NOP
		return decided(le.Uint32(p[20:]) == 0)
	case 4, 0x63, 0x64, 0x65, 0x66, 0x6f, 0x70, 0x72, 0x73:
		return decided(n <= 65511 && le.Uint32(p[20:]) == 0)
	}
	return no
}

func (p *enipParser) parse(c *Conn, d Dir, data []byte) (n, need int) {
	for {
		b := data[n:]
		if p.lost[d] {
			return len(data), 0
		}
		if len(b) < enipHeader {
			return n, enipHeader
		}
		l := enipHeader + int(binary.LittleEndian.Uint16(b[2:]))
		if len(b) < l {
			return n, l
		}
		p.datagram(c, d, b[:l])
		n += l
	}
}

func (p *enipParser) datagram(c *Conn, d Dir, b []byte) {
	if len(b) < enipHeader {
		return
	}
	le := binary.LittleEndian
	t := &ENIPTx{Command: le.Uint16(b), Length: le.Uint16(b[2:]), Session: le.Uint32(b[4:]), Status: le.Uint32(b[8:])}
	t.oneWay(d)
	body := b[enipHeader:]
	body = body[:min(len(body), int(t.Length))]
	switch t.Command {
	case 0x6f, 0x70: // SendRRData, SendUnitData: interface, timeout, items
		if len(body) >= 8 {
			t.items(int(le.Uint16(body[6:])), body[8:])
		}
	}
	c.add(t)
}

// items reads the common packet format (CIP volume 2, §2-6).
func (t *ENIPTx) items(n int, b []byte) {
	le := binary.LittleEndian
	for ; n > 0 && len(b) >= 4; n-- {
		typ, l := le.Uint16(b), int(le.Uint16(b[2:]))
		b = b[4:]
		item := b[:min(l, len(b))]
		b = b[len(item):]
		switch typ {
		case 0xb1: // connected: a sequence number first
			if len(item) >= 2 {
				t.cip(item[2:], 0)
			}
		case 0xb2:
			t.cip(item, 0)
		}
	}
}

// cip reads a request or response of CIP (volume 1, §2-4).
func (t *ENIPTx) cip(b []byte, depth int) {
	if len(b) < 2 || len(t.Services) >= enipMaxServices || depth > 2 {
		return
	}
	le := binary.LittleEndian
	s := CIPServiceCall{Service: b[0] & 0x7f, Response: b[0]&0x80 != 0}
	if s.Response {
		t.Services = append(t.Services, s)
		if len(b) < 4 {
			return
		}
		b = b[min(len(b), 4+2*int(b[3])):]
	} else {
		n := 2 * int(b[1])
		b = b[2:]
		path := b[:min(n, len(b))]
		b = b[len(path):]
		s.path(path)
		if (s.Service == 3 || s.Service == 4) && len(b) >= 2 {
			count := int(le.Uint16(b))
			for l := b[2:]; count > 0 && len(l) >= 2 && len(s.Attributes) < enipMaxAttrs; count-- {
				s.Attributes = append(s.Attributes, le.Uint16(l))
				l = l[2:]
				if s.Service == 4 {
					break // values of unknown size stand between
				}
			}
		}
		t.Services = append(t.Services, s)
	}
	if s.Service != 0x0a || len(b) < 2 {
		return
	}
	// Several services in one packet: their places, from the count on.
	count := int(le.Uint16(b))
	for i := 0; i < count && 4+2*i <= len(b) && len(t.Services) < enipMaxServices; i++ {
		at := int(le.Uint16(b[2+2*i:]))
		if at < 2+2*count || at >= len(b) {
			return
		}
		t.cip(b[at:], depth+1)
	}
}

// path reads a request path: logical segments of 8 and 16 bits (volume 1,
// appendix C).
func (s *CIPServiceCall) path(b []byte) {
	for len(b) >= 2 {
		var v uint16
		seg := b[0]
		switch {
		case seg>>5 != 1:
			return // no logical segment
		case seg&3 == 0:
			v, b = uint16(b[1]), b[2:]
		case seg&3 == 1 && len(b) >= 4:
			v, b = binary.LittleEndian.Uint16(b[2:]), b[4:]
		default:
			return
		}
		switch seg >> 2 & 7 {
		case 0:
			s.Class, s.HasClass = v, true
		case 4:
			s.Attributes = append(s.Attributes, v)
		}
		if len(s.Attributes) >= enipMaxAttrs {
			return
		}
	}
}

func (p *enipParser) gap(_ *Conn, d Dir, _ uint64) bool {
	p.lost[d] = true
	return true
}

func (*enipParser) close(*Conn, Dir, []byte) {}
