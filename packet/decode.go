package packet

import "encoding/binary"

// IP protocol numbers (IANA) that Decode looks into or that callers ask about.
const (
	ProtoICMP   = 1
	ProtoIPv4   = 4 // IP in IP
	ProtoTCP    = 6
	ProtoUDP    = 17
	ProtoIPv6   = 41
	ProtoGRE    = 47
	ProtoESP    = 50
	ProtoAH     = 51
	ProtoICMPv6 = 58
	ProtoNoNext = 59
	ProtoSCTP   = 132
)

// maxExtHeaders bounds the walk along IPv6 extension headers; the kernel's own
// parser and every sane sender stay far below.
const maxExtHeaders = 16

// Decode finds the headers of Data. It cannot fail: what is wrong is noted as
// an event, and Malformed names the first event that makes the packet invalid.
// It writes only the decoded part of p, never its bytes, and may be called
// again after the bytes were changed.
//
// Layouts: RFC 791, RFC 8200, RFC 9293, RFC 768, RFC 792, RFC 4443, RFC 9260.
func (p *Packet) Decode() {
	p.version, p.proto, p.frag = 0, 0, 0
	p.nevents, p.malformed = 0, 0
	p.fragOff, p.fragID = 0, 0
	p.sport, p.dport = 0, 0
	n := uint32(len(p.Data))
	p.l4, p.payload, p.end = 0, 0, n
	if p.LinkEvent != 0 {
		p.invalid(p.LinkEvent)
	}
	if p.HWProtocol != 0 && p.HWProtocol != EtherIPv4 && p.HWProtocol != EtherIPv6 {
		return // ARP and the like: nothing here to decode
	}
	if n == 0 {
		if p.LinkEvent != 0 {
			return
		}
		p.invalid(EventIPv4PacketTooSmall)
		return
	}
	switch p.Data[0] >> 4 {
	case 4:
		p.decodeIPv4()
	case 6:
		p.decodeIPv6()
	default:
		switch p.HWProtocol {
		case EtherIPv4:
			p.invalid(EventIPv4WrongIPVersion)
		case EtherIPv6:
			p.invalid(EventIPv6WrongIPVersion)
		default:
			p.invalid(EventIPRawInvalidIPVersion)
		}
	}
}

// AddEvent notes an event found outside Decode, by the layer below. Call it
// after Decode. Events beyond the eighth are forgotten.
func (p *Packet) AddEvent(e Event) {
	if int(p.nevents) < len(p.events) {
		p.events[p.nevents] = e
		p.nevents++
	}
}

// Invalidate notes an event that makes the packet malformed.
func (p *Packet) Invalidate(e Event) { p.invalid(e) }

func (p *Packet) invalid(e Event) {
	p.AddEvent(e)
	if p.malformed == 0 {
		p.malformed = e
	}
}

func (p *Packet) decodeIPv4() {
	b := p.Data
	n := uint32(len(b))
	if n < 20 {
		p.invalid(EventIPv4PacketTooSmall)
		return
	}
	if p.HWProtocol == EtherIPv6 {
		p.invalid(EventIPv6WrongIPVersion)
		return
	}
	p.version = 4
	hlen := uint32(b[0]&15) * 4
	total := uint32(binary.BigEndian.Uint16(b[2:]))
	if hlen < 20 {
		p.invalid(EventIPv4HeaderLenTooSmall)
		return
	}
	if total < hlen {
		// A super-packet longer than the field can say has 0 there
		// (net/ipv4/ip_output.c, BIG TCP).
		if total != 0 || p.Offload&GSO == 0 {
			p.invalid(EventIPv4IPLenSmallerThanHeaderLen)
			return
		}
		total = n
	}
	if n < hlen {
		p.invalid(EventIPv4TruncatedPacket)
		return
	}
	if n < total {
		if p.Attrs&Truncated == 0 {
			p.invalid(EventIPv4TruncatedPacket)
		}
		total = n
	}
	p.end = total
	p.l4, p.payload = hlen, hlen
	proto := b[9]
	if hlen > 20 {
		p.ipv4Options(b[20:hlen])
	}
	fo := binary.BigEndian.Uint16(b[6:])
	if fo&0x3fff != 0 {
		p.fragOff = uint32(fo&0x1fff) * 8
		p.fragID = uint32(binary.BigEndian.Uint16(b[4:]))
		if fo&0x2000 != 0 {
			p.frag |= fragMore
		}
		if p.fragOff != 0 {
			p.frag |= fragLater
		} else {
			p.frag |= fragFirst
		}
		if p.fragOff+(total-hlen) > 65535 {
			p.invalid(EventIPv4FragmentPacketTooLarge)
		}
	}
	if proto == ProtoICMPv6 {
		p.AddEvent(EventIPv4ICMPv6)
	}
	p.transport(proto)
}

// ipv4Options checks the options' framing; ipopts rules read them again from
// the bytes.
func (p *Packet) ipv4Options(o []byte) {
	if len(o)%8 != 0 {
		p.AddEvent(EventIPv4OptionPadRequired)
	}
	var seen [4]uint64
	for len(o) > 0 {
		t := o[0]
		if t == 0 {
			return
		}
		if t == 1 {
			o = o[1:]
			continue
		}
		if len(o) < 2 {
			p.AddEvent(EventIPv4OptionEOLRequired)
			return
		}
		n := int(o[1])
		if n < 2 || n > len(o) {
			p.invalid(EventIPv4OptionInvalidLen)
			return
		}
		if !ipv4OptionKnown(t) {
			p.AddEvent(EventIPv4OptionInvalid)
		} else if seen[t>>6]&(1<<(t&63)) != 0 {
			p.AddEvent(EventIPv4OptionDuplicate)
		}
		seen[t>>6] |= 1 << (t & 63)
		o = o[n:]
	}
}

func ipv4OptionKnown(t byte) bool {
	switch t {
	// RR, QS, TS, SEC, LSRR, ESEC, CIPSO, SID, SSRR, RTRALT
	case 7, 25, 68, 130, 131, 133, 134, 136, 137, 148:
		return true
	}
	return false
}

func (p *Packet) decodeIPv6() {
	b := p.Data
	n := uint32(len(b))
	if n < 40 {
		p.invalid(EventIPv6PacketTooSmall)
		return
	}
	if p.HWProtocol == EtherIPv4 {
		p.invalid(EventIPv4WrongIPVersion)
		return
	}
	p.version = 6
	end := 40 + uint32(binary.BigEndian.Uint16(b[4:]))
	if end == 40 && p.Offload&GSO != 0 {
		end = n // jumbogram: the length field is 0
	}
	if n < end {
		if p.Attrs&Truncated == 0 {
			p.invalid(EventIPv6TruncatedPacket)
		}
		end = n
	}
	p.end = end
	p.l4, p.payload = 40, 40
	p.ipv6Headers(b[6], b[:end])
}

// ipv6Headers walks the extension headers that start at offset 40 of b.
func (p *Packet) ipv6Headers(next byte, b []byte) {
	const (
		hop = 1 << iota
		dst
		rth
		frg
		auth
	)
	var seen, dsts uint8
	off := uint32(40)
	end := uint32(len(b))
	for i := 0; ; i++ {
		var bit uint8
		var dup Event
		switch next {
		case 0:
			bit, dup = hop, EventIPv6ExtHeaderDuplicateHH
		case 60:
			bit, dup = dst, EventIPv6ExtHeaderDuplicateDH
		case 43:
			bit, dup = rth, EventIPv6ExtHeaderDuplicateRH
		case 44:
			bit, dup = frg, EventIPv6ExtHeaderDuplicateFH
		case ProtoAH:
			bit, dup = auth, EventIPv6ExtHeaderDuplicateAH
		case ProtoNoNext:
			p.proto, p.l4, p.payload = next, off, off
			if off < end {
				p.AddEvent(EventIPv6DataAfterNoneHeader)
			}
			return
		default:
			p.l4, p.payload = off, off
			if i > 0 && end-off < 2 {
				// Nothing is left for what the last extension header announced.
				p.proto = next
				p.AddEvent(EventIPv6TruncatedExtHeader)
				return
			}
			if next == ProtoICMP {
				p.AddEvent(EventIPv6ICMPv4)
			}
			p.transport(next)
			return
		}
		if i == maxExtHeaders {
			p.proto, p.l4, p.payload = next, off, off
			p.invalid(EventTooManyLayers)
			return
		}
		if end < off+8 {
			p.proto, p.l4, p.payload = next, off, off
			p.invalid(EventIPv6TruncatedExtHeader)
			return
		}
		h := b[off:]
		hlen := uint32(8)
		switch next {
		case 44:
			if h[1] != 0 {
				p.AddEvent(EventIPv6FHNonZeroReservedField)
			}
		case ProtoAH:
			hlen = (uint32(h[1]) + 2) * 4
			if h[2] != 0 || h[3] != 0 {
				p.AddEvent(EventIPv6ExtHeaderAHReservedNotNull)
			}
		default:
			hlen = (uint32(h[1]) + 1) * 8
		}
		if end-off < hlen {
			p.proto, p.l4, p.payload = next, off, off
			p.invalid(EventIPv6TruncatedExtHeader)
			return
		}
		// Destination options may stand twice: before a routing header and
		// last (RFC 8200 section 4.1).
		if seen&bit != 0 && (bit != dst || dsts == 2) {
			p.AddEvent(dup)
		}
		seen |= bit
		switch bit {
		case dst:
			dsts++
			p.ipv6Options(h[2:hlen], EventIPv6DstOptsUnknownOption, EventIPv6DstOptsOnlyPadding)
		case hop:
			p.ipv6Options(h[2:hlen], EventIPv6HopOptsUnknownOption, EventIPv6HopOptsOnlyPadding)
		case rth:
			if h[2] == 0 {
				p.AddEvent(EventIPv6RHType0)
			}
		case frg:
			fo := binary.BigEndian.Uint16(h[2:])
			p.fragOff = uint32(fo &^ 7)
			p.fragID = binary.BigEndian.Uint32(h[4:])
			if fo&1 != 0 {
				p.frag |= fragMore
				if (end-off-8)%8 != 0 {
					p.invalid(EventIPv6FragmentInvalidLength)
				}
			}
			switch {
			case p.fragOff != 0:
				p.frag |= fragLater
			case fo&1 != 0:
				p.frag |= fragFirst
			default:
				p.AddEvent(EventIPv6ExtHeaderUselessFH)
			}
			if p.fragOff+(end-off-8) > 65535 {
				p.invalid(EventIPv6FragmentPacketTooLarge)
			}
			if p.fragOff != 0 {
				p.proto, p.l4, p.payload = h[0], off+8, off+8
				return
			}
		}
		next = h[0]
		off += hlen
	}
}

func (p *Packet) ipv6Options(o []byte, unknown, onlyPad Event) {
	padding := len(o) > 0
	for len(o) > 0 {
		if o[0] == 0 { // Pad1
			o = o[1:]
			continue
		}
		if len(o) < 2 || int(o[1])+2 > len(o) {
			p.AddEvent(EventIPv6ExtHeaderInvalidOptionLen)
			return
		}
		switch o[0] {
		case 1: // PadN
			if o[1] == 0 {
				p.AddEvent(EventIPv6ZeroLenPadN)
			}
		case 5, 0xc2, 0xc9, 0x04, 0x26, 0x8a, 0x63: // router alert, jumbo, home address, tunnel limit, quick start, …
			padding = false
		default:
			padding = false
			p.AddEvent(unknown)
		}
		o = o[2+int(o[1]):]
	}
	if padding {
		p.AddEvent(onlyPad)
	}
}

// transport decodes the header at p.l4.
func (p *Packet) transport(proto byte) {
	p.proto = proto
	if p.frag&fragLater != 0 {
		return
	}
	b := p.Data[p.l4:p.end]
	switch proto {
	case ProtoTCP:
		p.tcp(b)
	case ProtoUDP:
		p.udp(b)
	case ProtoICMP:
		p.icmp(b)
	case ProtoICMPv6:
		p.icmpv6(b)
	case ProtoSCTP:
		if len(b) < 12 {
			p.invalid(EventSCTPPacketTooSmall)
			return
		}
		p.ports(b)
		p.payload = p.l4 + 12
	case ProtoESP:
		if len(b) < 8 {
			p.invalid(EventESPPacketTooSmall)
		}
	case ProtoGRE:
		if len(b) < 4 {
			p.invalid(EventGREPacketTooSmall)
		}
	}
}

func (p *Packet) ports(b []byte) {
	p.sport = binary.BigEndian.Uint16(b)
	p.dport = binary.BigEndian.Uint16(b[2:])
}

func (p *Packet) tcp(b []byte) {
	if len(b) < 20 {
		if len(b) >= 4 && p.frag != 0 {
			p.ports(b) // a tiny first fragment; reassembly will tell more
		}
		p.invalid(EventTCPPacketTooSmall)
		return
	}
	hlen := uint32(b[12]>>4) * 4
	if hlen < 20 {
		p.invalid(EventTCPHeaderLenTooSmall)
		return
	}
	if hlen > uint32(len(b)) {
		p.invalid(EventTCPInvalidOptionLen)
		return
	}
	p.ports(b)
	p.payload = p.l4 + hlen
	if hlen > 20 {
		p.tcpOptions(b[20:hlen])
	}
}

func (p *Packet) tcpOptions(o []byte) {
	if len(o) == 12 && binary.BigEndian.Uint32(o) == 0x0101080a {
		return // the usual: two NOPs and a time stamp
	}
	var seen uint64
	for len(o) > 0 {
		t := o[0]
		if t == 0 {
			return
		}
		if t == 1 {
			o = o[1:]
			continue
		}
		if len(o) < 2 || o[1] < 2 || int(o[1]) > len(o) {
			p.AddEvent(EventTCPOptionInvalidLen)
			return
		}
		n := o[1]
		bad := false
		switch t {
		case 2:
			bad = n != 4
		case 3:
			bad = n != 3
		case 4:
			bad = n != 2
		case 8:
			bad = n != 10
		}
		if bad {
			p.AddEvent(EventTCPOptionInvalidLen)
		} else if t < 64 && t <= 8 {
			if seen&(1<<t) != 0 {
				p.AddEvent(EventTCPOptionDuplicate)
			}
			seen |= 1 << t
		}
		o = o[n:]
	}
}

func (p *Packet) udp(b []byte) {
	if len(b) < 8 {
		if len(b) >= 4 && p.frag != 0 {
			p.ports(b)
		}
		p.invalid(EventUDPHeaderLenTooSmall)
		return
	}
	p.ports(b)
	p.payload = p.l4 + 8
	if p.frag != 0 || p.Offload&GSO != 0 || p.Attrs&Truncated != 0 {
		return // the field speaks of the whole datagram
	}
	n := int(binary.BigEndian.Uint16(b[4:]))
	switch {
	case n < 8:
		if n != 0 || p.version != 6 { // 0: jumbogram, RFC 2675
			p.invalid(EventUDPLenInvalid)
		}
	case n > len(b):
		p.invalid(EventUDPPacketTooSmall)
	case n < len(b):
		// Bytes behind the datagram are not delivered to anybody.
		p.AddEvent(EventUDPLenInvalid)
		p.end = p.l4 + uint32(n)
	}
}

func (p *Packet) icmp(b []byte) {
	if len(b) < 8 {
		p.invalid(EventICMPv4PacketTooSmall)
		return
	}
	p.payload = p.l4 + 8
	t, c := b[0], b[1]
	var maxCode byte
	switch t {
	case 3:
		maxCode = 15
	case 5:
		maxCode = 3
	case 11:
		maxCode = 1
	case 12:
		maxCode = 2
	case 9:
		maxCode = 255
	case 0, 4, 8, 10, 13, 14, 15, 16, 17, 18:
	default:
		p.AddEvent(EventICMPv4UnknownType)
		return
	}
	if c > maxCode {
		p.AddEvent(EventICMPv4UnknownCode)
		return
	}
	if isICMPError(t) && len(b) > 8 {
		switch in := b[8:]; {
		case len(in) < 20:
			p.AddEvent(EventICMPv4IPv4TruncatedPacket)
		case in[0]>>4 != 4:
			p.AddEvent(EventICMPv4IPv4UnknownVersion)
		}
	}
}

func isICMPError(t byte) bool { return t == 3 || t == 4 || t == 5 || t == 11 || t == 12 }

func (p *Packet) icmpv6(b []byte) {
	if len(b) < 8 {
		p.invalid(EventICMPv6PacketTooSmall)
		return
	}
	p.payload = p.l4 + 8
	t, c := b[0], b[1]
	code := func(limit byte) {
		if c > limit {
			p.AddEvent(EventICMPv6UnknownCode)
		}
	}
	switch {
	case t == 1:
		code(7)
	case t == 2:
		code(0)
	case t == 3:
		code(1)
	case t == 4:
		code(3)
	case t >= 130 && t <= 132:
		code(0)
		if p.version == 6 && p.Data[7] != 1 {
			p.AddEvent(EventICMPv6MLDMessageWithInvalidHopLimit)
		}
	case t == 128, t == 129, t == 133, t == 134, t == 135, t == 136, t == 137:
		code(0)
	case t == 100, t == 101, t == 200, t == 201:
		p.AddEvent(EventICMPv6ExperimentationType)
	case t > 4 && t < 100, t >= 160 && t < 200, t > 201 && t < 255:
		p.AddEvent(EventICMPv6UnassignedType)
	case t == 127, t == 255, t == 0, t > 101 && t < 127:
		p.AddEvent(EventICMPv6UnknownType)
	}
	if t >= 1 && t <= 4 && len(b) > 8 {
		switch in := b[8:]; {
		case len(in) < 40:
			p.AddEvent(EventICMPv6IPv6TruncatedPacket)
		case in[0]>>4 != 6:
			p.AddEvent(EventICMPv6IPv6UnknownVersion)
		}
	}
}
