package packet

import (
	"encoding/binary"
	"net/netip"
)

// The header views are the packet itself seen as one of its headers. They are
// only had from a decoded packet, are valid until its bytes change hands, and
// their setters keep lengths and checksums right for either version of IP, for
// checksums left to hardware and for super-packets. All numbers are in host
// byte order.

// IP is the network header, version 4 or 6.
type IP struct{ p *Packet }

// IP returns the network header; false if there is none.
func (p *Packet) IP() (IP, bool) { return IP{p}, p.version != 0 }

// HeaderLen is the header's length in bytes: with options, without extension
// headers.
func (h IP) HeaderLen() int {
	if h.p.version == 4 {
		return int(h.p.Data[0]&15) * 4
	}
	return 40
}

// TotalLen is the length of header and payload as the header says; 0 for
// super-packets longer than the field can say.
func (h IP) TotalLen() int {
	if h.p.version == 4 {
		return int(binary.BigEndian.Uint16(h.p.Data[2:]))
	}
	return 40 + int(binary.BigEndian.Uint16(h.p.Data[4:]))
}

// TOS is the type of service, or the traffic class of IPv6.
func (h IP) TOS() uint8 {
	if h.p.version == 4 {
		return h.p.Data[1]
	}
	return h.p.Data[0]<<4 | h.p.Data[1]>>4
}

// TTL is the time to live, or the hop limit of IPv6.
func (h IP) TTL() uint8 {
	if h.p.version == 4 {
		return h.p.Data[8]
	}
	return h.p.Data[7]
}

// ID is the identification of IPv4; of IPv6, that of the fragment header, 0
// without one.
func (h IP) ID() uint32 {
	if h.p.version == 4 {
		return uint32(binary.BigEndian.Uint16(h.p.Data[4:]))
	}
	return h.p.fragID
}

// FragBits are the three flag bits of IPv4 as they stand in the header's top
// bits: 4 reserved, 2 don't fragment, 1 more fragments. Of IPv6 only the last.
func (h IP) FragBits() uint8 {
	if h.p.version == 4 {
		return h.p.Data[6] >> 5
	}
	return uint8(h.p.frag & fragMore)
}

// NextHeader is the protocol field of the fixed header; Packet.Proto is the one
// behind the extension headers.
func (h IP) NextHeader() uint8 {
	if h.p.version == 4 {
		return h.p.Data[9]
	}
	return h.p.Data[6]
}

// FlowLabel is that of IPv6, 0 for IPv4.
func (h IP) FlowLabel() uint32 {
	if h.p.version == 4 {
		return 0
	}
	return binary.BigEndian.Uint32(h.p.Data) & 0xfffff
}

// Bytes is the header: with options, without extension headers.
func (h IP) Bytes() []byte {
	n := h.HeaderLen()
	if h.p.version == 4 && (n < 20 || n > len(h.p.Data)) {
		n = 20
	}
	return h.p.Data[:n]
}

// Options are the options of IPv4; of IPv6, the extension headers as they
// stand.
func (h IP) Options() []byte {
	lo := uint32(40)
	if h.p.version == 4 {
		lo = 20
	}
	if h.p.l4 < lo {
		return nil
	}
	return h.p.Data[lo:h.p.l4]
}

// SetTOS sets type of service or traffic class.
func (h IP) SetTOS(v uint8) error {
	if h.p.version == 4 {
		return h.p.Patch(1, []byte{v})
	}
	return h.p.Patch(0, []byte{h.p.Data[0]&0xf0 | v>>4, v<<4 | h.p.Data[1]&15})
}

// SetTTL sets time to live or hop limit.
func (h IP) SetTTL(v uint8) error {
	off := 8
	if h.p.version == 6 {
		off = 7
	}
	return h.p.Patch(off, []byte{v})
}

// SetID sets the identification of IPv4.
func (h IP) SetID(v uint16) error {
	if h.p.version != 4 {
		return ErrHeader
	}
	return h.p.put16(4, v)
}

// SetSrc sets the source address; its family must be the packet's.
func (h IP) SetSrc(a netip.Addr) error { return h.setAddr(12, 8, a) }

// SetDst sets the destination address; its family must be the packet's.
func (h IP) SetDst(a netip.Addr) error { return h.setAddr(16, 24, a) }

func (h IP) setAddr(off4, off6 int, a netip.Addr) error {
	switch {
	case h.p.version == 4 && a.Unmap().Is4():
		b := a.Unmap().As4()
		return h.p.Patch(off4, b[:])
	case h.p.version == 6 && a.Is6():
		b := a.As16()
		return h.p.Patch(off6, b[:])
	}
	return ErrHeader
}

func (p *Packet) put16(off int, v uint16) error {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], v)
	return p.Patch(off, b[:])
}

func (p *Packet) put32(off int, v uint32) error {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], v)
	return p.Patch(off, b[:])
}

// TCP is the TCP header (RFC 9293).
type TCP struct{ p *Packet }

// TCPFlags are the flag bits of a TCP header.
type TCPFlags uint8

const (
	FIN TCPFlags = 1 << iota
	SYN
	RST
	PSH
	ACK
	URG
	ECE
	CWR
)

// TCP returns the TCP header; false if the packet has none that is whole.
func (p *Packet) TCP() (TCP, bool) {
	return TCP{p}, p.proto == ProtoTCP && p.payload >= p.l4+20
}

func (h TCP) b() []byte { return h.p.Data[h.p.l4:h.p.payload] }

// Bytes is the header with its options.
func (h TCP) Bytes() []byte { return h.b() }

// Seq is the sequence number of the first payload byte (of SYN, if set).
func (h TCP) Seq() uint32 { return binary.BigEndian.Uint32(h.b()[4:]) }

// Ack is the acknowledgement number; it means something with the ACK flag.
func (h TCP) Ack() uint32 { return binary.BigEndian.Uint32(h.b()[8:]) }

// Flags are the eight flag bits.
func (h TCP) Flags() TCPFlags { return TCPFlags(h.b()[13]) }

// Window is the receive window, unscaled.
func (h TCP) Window() uint16 { return binary.BigEndian.Uint16(h.b()[14:]) }

// Urgent is the urgent pointer.
func (h TCP) Urgent() uint16 { return binary.BigEndian.Uint16(h.b()[18:]) }

// Options are the options as they stand.
func (h TCP) Options() []byte { return h.b()[20:] }

// Option finds the first option of a kind (IANA TCP option numbers: 2 MSS, 3
// window scale, 4 SACK permitted, 5 SACK, 8 timestamps, 34 fast open) and
// returns its data, borrowed; false if absent or cut.
func (h TCP) Option(kind uint8) ([]byte, bool) {
	for o := h.b()[20:]; len(o) > 0 && o[0] != 0; {
		if o[0] == 1 {
			o = o[1:]
			continue
		}
		if len(o) < 2 || o[1] < 2 || int(o[1]) > len(o) {
			return nil, false
		}
		if o[0] == kind {
			return o[2:o[1]], true
		}
		o = o[o[1]:]
	}
	return nil, false
}

// SetSrcPort and the other setters write one field.
func (h TCP) SetSrcPort(v uint16) error { return h.p.setPort(0, v) }

// SetDstPort sets the destination port.
func (h TCP) SetDstPort(v uint16) error { return h.p.setPort(2, v) }

// SetSeq sets the sequence number.
func (h TCP) SetSeq(v uint32) error { return h.p.put32(int(h.p.l4)+4, v) }

// SetAck sets the acknowledgement number.
func (h TCP) SetAck(v uint32) error { return h.p.put32(int(h.p.l4)+8, v) }

// SetFlags sets the eight flag bits.
func (h TCP) SetFlags(v TCPFlags) error { return h.p.Patch(int(h.p.l4)+13, []byte{byte(v)}) }

// SetWindow sets the window.
func (h TCP) SetWindow(v uint16) error { return h.p.put16(int(h.p.l4)+14, v) }

// SetUrgent sets the urgent pointer.
func (h TCP) SetUrgent(v uint16) error { return h.p.put16(int(h.p.l4)+18, v) }

func (p *Packet) setPort(off int, v uint16) error {
	if err := p.put16(int(p.l4)+off, v); err != nil {
		return err
	}
	p.ports(p.Data[p.l4:])
	return nil
}

// UDP is the UDP header (RFC 768). Its length follows SetPayload.
type UDP struct{ p *Packet }

// UDP returns the UDP header; false if the packet has none that is whole.
func (p *Packet) UDP() (UDP, bool) {
	return UDP{p}, p.proto == ProtoUDP && p.payload >= p.l4+8
}

// Len is the length field: header and payload.
func (h UDP) Len() uint16 { return binary.BigEndian.Uint16(h.p.Data[h.p.l4+4:]) }

// Bytes is the header.
func (h UDP) Bytes() []byte { return h.p.Data[h.p.l4:h.p.payload] }

// SetSrcPort sets the source port.
func (h UDP) SetSrcPort(v uint16) error { return h.p.setPort(0, v) }

// SetDstPort sets the destination port.
func (h UDP) SetDstPort(v uint16) error { return h.p.setPort(2, v) }

// ICMP is the header of ICMP or ICMPv6 (RFC 792, RFC 4443).
type ICMP struct{ p *Packet }

// ICMP returns the ICMP or ICMPv6 header; false if the packet has none that is
// whole.
func (p *Packet) ICMP() (ICMP, bool) {
	return ICMP{p}, (p.proto == ProtoICMP || p.proto == ProtoICMPv6) && p.payload >= p.l4+8
}

// Type is the message type; ICMP and ICMPv6 number differently.
func (h ICMP) Type() uint8 { return h.p.Data[h.p.l4] }

// Code is the message code.
func (h ICMP) Code() uint8 { return h.p.Data[h.p.l4+1] }

// Bytes is the eight-byte header.
func (h ICMP) Bytes() []byte { return h.p.Data[h.p.l4:h.p.payload] }

// Echo returns identifier and sequence number of the query messages that have
// them; false for all others.
func (h ICMP) Echo() (id, seq uint16, ok bool) {
	t := h.Type()
	if h.p.proto == ProtoICMP {
		switch t {
		case 0, 8, 13, 14, 15, 16, 17, 18:
			ok = true
		}
	} else {
		ok = t == 128 || t == 129
	}
	if !ok {
		return 0, 0, false
	}
	b := h.p.Data[h.p.l4:]
	return binary.BigEndian.Uint16(b[4:]), binary.BigEndian.Uint16(b[6:]), true
}

// IsError says whether the message reports an error about another packet, the
// start of which is its payload.
func (h ICMP) IsError() bool {
	if h.p.proto == ProtoICMP {
		return isICMPError(h.Type())
	}
	return h.Type() >= 1 && h.Type() <= 4
}

// SetType sets the message type.
func (h ICMP) SetType(v uint8) error { return h.p.Patch(int(h.p.l4), []byte{v}) }

// SetCode sets the message code.
func (h ICMP) SetCode(v uint8) error { return h.p.Patch(int(h.p.l4)+1, []byte{v}) }
