package packet

import "encoding/binary"

// Ethertypes (IEEE 802 numbers).
const (
	EtherIPv4  = 0x0800
	EtherARP   = 0x0806
	EtherIPv6  = 0x86dd
	EtherOther = 0xffff // HWProtocol of a frame whose protocol is not known
)

// LinkType is a link layer by its number in capture files (the tcpdump
// LINKTYPE_ registry).
type LinkType uint32

const (
	LinkNull      LinkType = 0
	LinkEthernet  LinkType = 1
	LinkPPP       LinkType = 9
	LinkRaw12     LinkType = 12
	LinkRaw14     LinkType = 14
	LinkRaw       LinkType = 101
	LinkCHDLC     LinkType = 104
	LinkLoop      LinkType = 108
	LinkSLL       LinkType = 113
	LinkIPv4      LinkType = 228
	LinkIPv6      LinkType = 229
	LinkNFLog     LinkType = 239
	LinkSLL2      LinkType = 276
	maxLinkLayers          = 16
)

// LinkTypeKnown says whether DecodeLink understands a link type.
func LinkTypeKnown(t LinkType) bool {
	switch t {
	case LinkNull, LinkEthernet, LinkPPP, LinkRaw12, LinkRaw14, LinkRaw, LinkCHDLC, LinkLoop, LinkSLL, LinkIPv4, LinkIPv6, LinkSLL2:
		return true
	}
	return false
}

// DecodeLink strips the link layer of a frame: it sets Data to what follows
// it, HWProtocol, the VLAN ids, Link, L2 (the stripped bytes) and LinkEvent, and
// touches nothing else. It cannot fail: a frame without IP gets its
// HWProtocol, or EtherOther, and a broken one its event. Call Decode next.
//
// VLAN tags, MPLS labels, PPPoE and PPP are looked through, as Suricata does.
func (p *Packet) DecodeLink(t LinkType, frame []byte) {
	p.NVLAN, p.LinkEvent, p.HWProtocol, p.Link = 0, 0, EtherOther, t
	rest := frame
	switch t {
	case LinkEthernet:
		rest = p.linkEthernet(frame)
	case LinkRaw, LinkRaw12, LinkRaw14, LinkIPv4, LinkIPv6:
		p.HWProtocol = etherOfIP(frame)
		if p.HWProtocol == EtherOther {
			p.LinkEvent = EventIPRawInvalidIPVersion
		}
	case LinkNull, LinkLoop:
		rest = p.linkNull(frame)
	case LinkSLL:
		if len(frame) < 16 {
			p.LinkEvent = EventSLLPacketTooSmall
			break
		}
		rest = p.linkNext(binary.BigEndian.Uint16(frame[14:]), frame[16:], 0)
	case LinkSLL2:
		if len(frame) < 20 {
			p.LinkEvent = EventSLLPacketTooSmall
			break
		}
		rest = p.linkNext(binary.BigEndian.Uint16(frame), frame[20:], 0)
	case LinkPPP:
		rest = p.linkPPP(frame)
	case LinkCHDLC:
		if len(frame) < 4 {
			p.LinkEvent = EventCHDLCPacketTooSmall
			break
		}
		rest = p.linkNext(binary.BigEndian.Uint16(frame[2:]), frame[4:], 0)
	}
	p.Data = rest
	p.L2 = frame[:len(frame)-len(rest)]
	p.FullLen = uint32(len(rest))
}

func etherOfIP(b []byte) uint16 {
	if len(b) > 0 {
		switch b[0] >> 4 {
		case 4:
			return EtherIPv4
		case 6:
			return EtherIPv6
		}
	}
	return EtherOther
}

func (p *Packet) linkEthernet(b []byte) []byte {
	if len(b) < 14 {
		p.LinkEvent = EventEthernetPacketTooSmall
		return b
	}
	return p.linkNext(binary.BigEndian.Uint16(b[12:]), b[14:], 0)
}

// linkNull: the BSD loopback's family word, in the byte order of the capturing
// host (LINKTYPE_NULL) or of the network (LINKTYPE_LOOP).
func (p *Packet) linkNull(b []byte) []byte {
	if len(b) < 4 {
		p.LinkEvent = EventNullPacketTooSmall
		return b
	}
	f := binary.BigEndian.Uint32(b)
	if f > 0xffff {
		f = binary.LittleEndian.Uint32(b)
	}
	switch f {
	case 2:
		p.HWProtocol = EtherIPv4
	case 10, 24, 28, 30: // AF_INET6 of Linux, NetBSD, FreeBSD, Darwin
		p.HWProtocol = EtherIPv6
	default:
		p.LinkEvent = EventNullUnsupportedType
		return b
	}
	return b[4:]
}

// linkNext goes on behind a header that named the next protocol by ethertype.
func (p *Packet) linkNext(etype uint16, b []byte, depth int) []byte {
	for ; depth < maxLinkLayers; depth++ {
		switch etype {
		case EtherIPv4, EtherIPv6, EtherARP:
			p.HWProtocol = etype
			return b
		case 0x8100, 0x88a8, 0x9100: // 802.1Q, 802.1ad, QinQ
			if len(b) < 4 {
				p.LinkEvent = EventVLANHeaderTooSmall
				return b
			}
			if int(p.NVLAN) == len(p.VLANs) {
				p.LinkEvent = EventVLANTooManyLayers
				return b
			}
			p.VLANs[p.NVLAN] = binary.BigEndian.Uint16(b) & 0xfff
			p.NVLAN++
			etype, b = binary.BigEndian.Uint16(b[2:]), b[4:]
		case 0x8847, 0x8848:
			return p.linkMPLS(b, depth+1)
		case 0x8864:
			if len(b) < 8 {
				p.LinkEvent = EventPPPoEPacketTooSmall
				return b
			}
			return p.linkPPPProtocol(b[6:])
		case 0x8926: // VNTag
			if len(b) < 6 {
				p.LinkEvent = EventVNTagHeaderTooSmall
				return b
			}
			etype, b = binary.BigEndian.Uint16(b[4:]), b[6:]
		case 0x88e7: // 802.1ah
			if len(b) < 18 {
				p.LinkEvent = EventIEEE8021ahHeaderTooSmall
				return b
			}
			etype, b = binary.BigEndian.Uint16(b[16:]), b[18:]
		case 0x8903: // Cisco DCE
			if len(b) < 16 {
				p.LinkEvent = EventDCEPacketTooSmall
				return b
			}
			etype, b = binary.BigEndian.Uint16(b[14:]), b[16:]
		case 0x6558: // transparent Ethernet bridging
			if len(b) < 14 {
				p.LinkEvent = EventEthernetPacketTooSmall
				return b
			}
			etype, b = binary.BigEndian.Uint16(b[12:]), b[14:]
		case 0x894f:
			var ok bool
			if etype, b, ok = p.linkNSH(b); !ok {
				return b
			}
		default:
			p.HWProtocol = etype
			if etype == 0 {
				p.HWProtocol = EtherOther
			}
			return b
		}
	}
	p.LinkEvent = EventTooManyLayers
	return b
}

// linkMPLS: RFC 3032. What lies below the stack is told by its first half
// byte, as everybody does.
func (p *Packet) linkMPLS(b []byte, depth int) []byte {
	for {
		if len(b) < 4 {
			p.LinkEvent = EventMPLSHeaderTooSmall
			return b
		}
		e := binary.BigEndian.Uint32(b)
		b = b[4:]
		if e&0x100 == 0 {
			continue
		}
		switch label := e >> 12; {
		case label == 0:
			p.HWProtocol = EtherIPv4
			return b
		case label == 2:
			p.HWProtocol = EtherIPv6
			return b
		case label == 1:
			p.LinkEvent = EventMPLSBadLabelRouterAlert
			return b
		case label == 3:
			p.LinkEvent = EventMPLSBadLabelImplicitNull
			return b
		case label < 16:
			p.LinkEvent = EventMPLSBadLabelReserved
			return b
		}
		if p.HWProtocol = etherOfIP(b); p.HWProtocol != EtherOther {
			return b
		}
		if len(b) >= 18 && b[0]>>4 == 0 { // pseudowire control word, RFC 4385
			return p.linkNext(binary.BigEndian.Uint16(b[16:]), b[18:], depth)
		}
		p.LinkEvent = EventMPLSUnknownPayloadType
		return b
	}
}

func (p *Packet) linkPPP(b []byte) []byte {
	if len(b) < 2 {
		p.LinkEvent = EventPPPPacketTooSmall
		return b
	}
	if b[0] == 0xff && b[1] == 3 { // address and control, RFC 1662
		b = b[2:]
	}
	return p.linkPPPProtocol(b)
}

func (p *Packet) linkPPPProtocol(b []byte) []byte {
	if len(b) < 1 {
		p.LinkEvent = EventPPPPacketTooSmall
		return b
	}
	proto, n := uint16(b[0]), 1
	if b[0]&1 == 0 { // not compressed
		if len(b) < 2 {
			p.LinkEvent = EventPPPPacketTooSmall
			return b
		}
		proto, n = binary.BigEndian.Uint16(b), 2
	}
	switch proto {
	case 0x21:
		p.HWProtocol = EtherIPv4
	case 0x57:
		p.HWProtocol = EtherIPv6
	case 0x2d, 0x2f: // Van Jacobson compression
		p.LinkEvent = EventPPPUnsupportedProtocol
	default:
		// LCP, IPCP and their like carry nothing to look at.
		return b
	}
	return b[n:]
}

// linkNSH: RFC 8300.
func (p *Packet) linkNSH(b []byte) (uint16, []byte, bool) {
	if len(b) < 8 {
		p.LinkEvent = EventNSHHeaderTooSmall
		return 0, b, false
	}
	n := int(binary.BigEndian.Uint16(b)&0x3f) * 4
	switch {
	case b[0]>>6 != 0:
		p.LinkEvent = EventNSHUnsupportedVersion
	case n < 8 || n > len(b):
		p.LinkEvent = EventNSHBadHeaderLength
	case b[2]&0xf == 0:
		p.LinkEvent = EventNSHReservedType
	case b[2]&0xf != 1 && b[2]&0xf != 2:
		p.LinkEvent = EventNSHUnsupportedType
	}
	if p.LinkEvent != 0 {
		return 0, b, false
	}
	switch b[3] {
	case 1:
		return EtherIPv4, b[n:], true
	case 2:
		return EtherIPv6, b[n:], true
	case 3:
		return 0x6558, b[n:], true
	}
	p.LinkEvent = EventNSHUnknownPayload
	return 0, b, false
}
