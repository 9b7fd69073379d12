package packet

import "encoding/binary"

// AppendReset appends to buf a whole TCP reset that ends the connection of p
// at one of its ends: at p's sender, or with toDst at its receiver. It appears
// to come from the other end, as Suricata's reject does. It returns buf
// unchanged if p is not TCP or is a reset itself.
//
// RFC 9293 section 3.10.7: sequence number where the addressed end expects it.
func (p *Packet) AppendReset(buf []byte, toDst bool) []byte {
	t, ok := p.TCP()
	if !ok || t.Flags()&RST != 0 {
		return buf
	}
	var seq, ack uint32
	flags := RST | ACK
	if toDst {
		seq, ack = t.Seq(), t.Ack()
		if t.Flags()&ACK == 0 {
			flags = RST
		}
	} else {
		seq = t.Ack()
		ack = t.Seq() + uint32(len(p.Payload()))
		if t.Flags()&(SYN|FIN) != 0 {
			ack++
		}
	}
	buf, at := p.appendIP(buf, ProtoTCP, 20, toDst)
	h := buf[at:]
	sp, dp := p.dport, p.sport
	if toDst {
		sp, dp = dp, sp
	}
	binary.BigEndian.PutUint16(h[0:], sp)
	binary.BigEndian.PutUint16(h[2:], dp)
	binary.BigEndian.PutUint32(h[4:], seq)
	binary.BigEndian.PutUint32(h[8:], ack)
	h[12] = 5 << 4
	h[13] = byte(flags)
	binary.BigEndian.PutUint16(h[14:], t.Window())
	p.finishReply(buf[at-p.fixedIP():])
	return buf
}

// AppendUnreachable appends to buf a whole ICMP "administratively prohibited"
// about p: addressed to p's sender, or with toDst to its receiver. It returns
// buf unchanged where RFC 1122 section 3.2.2 and RFC 4443 section 2.4 forbid an
// error: about an ICMP error, a later fragment, a multicast or unspecified
// address.
func (p *Packet) AppendUnreachable(buf []byte, toDst bool) []byte {
	if p.version == 0 || p.frag&fragLater != 0 || p.l4 == 0 {
		return buf
	}
	if h, ok := p.ICMP(); ok && h.IsError() {
		return buf
	}
	for _, a := range [...]func() bool{p.Src().IsMulticast, p.Dst().IsMulticast, p.Src().IsUnspecified} {
		if a() {
			return buf
		}
	}
	// As much of the packet as fits the size every host must take (RFC 1812
	// section 4.3.2.3, RFC 4443 section 2.4 (c)).
	room, proto, typ, code := 576-28, byte(ProtoICMP), byte(3), byte(10)
	if p.version == 6 {
		room, proto, typ, code = 1280-48, ProtoICMPv6, 1, 1
	}
	quote := p.Data[:min(int(p.end), room)]
	buf, at := p.appendIP(buf, proto, 8+len(quote), toDst)
	h := buf[at:]
	h[0], h[1] = typ, code
	copy(h[8:], quote)
	p.finishReply(buf[at-p.fixedIP():])
	return buf
}

func (p *Packet) fixedIP() int {
	if p.version == 4 {
		return 20
	}
	return 40
}

// appendIP appends an IP header for n bytes of transport, which it zeroes, and
// returns where they start.
func (p *Packet) appendIP(buf []byte, proto byte, n int, toDst bool) ([]byte, int) {
	start := len(buf)
	size := p.fixedIP() + n
	for range size {
		buf = append(buf, 0)
	}
	h := buf[start:]
	lo, alen := 12, 4
	if p.version == 4 {
		h[0] = 0x45
		binary.BigEndian.PutUint16(h[2:], uint16(size))
		h[8], h[9] = 64, proto
	} else {
		h[0] = 0x60
		binary.BigEndian.PutUint16(h[4:], uint16(n))
		h[6], h[7] = proto, 64
		lo, alen = 8, 16
	}
	src, dst := p.Data[lo:lo+alen], p.Data[lo+alen:lo+2*alen]
	if !toDst {
		src, dst = dst, src
	}
	copy(h[lo:], src)
	copy(h[lo+alen:], dst)
	return buf, start + p.fixedIP()
}

// finishReply fills in the checksums of the packet b.
func (p *Packet) finishReply(b []byte) {
	var r Packet
	r.Data = b
	if p.version == 4 {
		binary.BigEndian.PutUint16(b[10:], ^fold(sum(0, b[:20])))
	}
	r.Decode()
	r.completeChecksum()
}
