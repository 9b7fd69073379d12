package packet

import (
	"encoding/binary"
	"errors"
)

// Errors of the editing methods.
var (
	// ErrFragment: the bytes that would have to change with the edit are in
	// another fragment.
	ErrFragment = errors.New("packet: cannot edit a fragment this way: its checksum is in the first fragment")
	// ErrLength: the new length does not fit this kind of packet.
	ErrLength = errors.New("packet: this packet cannot change its length (TCP, a super-packet, or past the largest size a verdict can carry)")
	// ErrHeader: the packet has no such header, or it is malformed.
	ErrHeader = errors.New("packet: no such header")
	// ErrTruncated: only a part of the packet was copied from the kernel;
	// writing it back would cut it.
	ErrTruncated = errors.New("packet: cannot edit a truncated packet: ask the queue for whole packets")
)

// MaxLen is the largest packet that a verdict can carry back to the kernel: a
// netlink attribute's length is 16 bits and includes its header.
const MaxLen = 65531

// Patch replaces len(b) bytes at offset off of Data and keeps the checksums
// right by the difference (RFC 1624): a packet that was wrong before stays
// wrong, so damage on the way is not hidden. Where the kernel had left the
// transport checksum to hardware the whole sum is written first.
//
// Patch changes no length and does not decode again; the header views are
// built on it.
func (p *Packet) Patch(off int, b []byte) error {
	if p.version == 0 || p.l4 == 0 {
		return ErrHeader
	}
	if off < 0 || off+len(b) > int(p.end) || len(b) == 0 {
		return ErrLength
	}
	if p.Attrs&Truncated != 0 {
		return ErrTruncated
	}
	l4 := int(p.l4)
	field, pseudo := p.csumField()
	if field >= 0 {
		field += l4
	}
	inTransport := off+len(b) > l4
	inAddrs := p.addrsTouched(off, len(b))
	if p.frag&fragLater != 0 && (inTransport || inAddrs) {
		return ErrFragment
	}
	p.prepare()
	if p.version == 4 && off < l4 {
		p.adjust(10, off, b[:min(len(b), l4-off)], 0, false)
	}
	switch {
	case field < 0:
	case p.proto == ProtoUDP && p.version == 4 && binary.BigEndian.Uint16(p.Data[field:]) == 0:
		// The sender chose to send none.
	case inTransport:
		from := max(off, l4)
		p.adjust(field, from, b[from-off:], l4&1, p.proto == ProtoUDP)
	case inAddrs && pseudo:
		p.adjust(field, off, b, 0, p.proto == ProtoUDP)
	}
	copy(p.Data[off:], b)
	p.edited = true
	if field < 0 && p.proto == ProtoSCTP && inTransport && p.frag == 0 && p.end-p.l4 >= 12 {
		binary.LittleEndian.PutUint32(p.Data[p.l4+8:], p.sctpCRC())
	}
	return nil
}

// prepare completes a checksum that the kernel left open, once, before the
// first edit. A super-packet's too: segmentation builds on it.
func (p *Packet) prepare() {
	if p.edited || p.Offload&(CsumNotReady|GSO) == 0 || p.frag != 0 {
		return
	}
	p.completeChecksum()
	p.Offload &^= CsumNotReady
}

func (p *Packet) addrsTouched(off, n int) bool {
	lo, hi := 12, 20
	if p.version == 6 {
		lo, hi = 8, 40
	}
	return off < hi && off+n > lo
}

// adjust updates the checksum at field for the replacement of the bytes at off
// by b: RFC 1624, equation 3. parity is that of the summed area's start. The
// checksum's own bytes are not part of the difference.
func (p *Packet) adjust(field, off int, b []byte, parity int, udp bool) {
	if off < field+2 && off+len(b) > field {
		// The caller writes the checksum itself (among other bytes): what it
		// says stands.
		return
	}
	acc := uint64(^binary.BigEndian.Uint16(p.Data[field:]))
	for i, c := range b {
		shift := 8
		if (off+i-parity)&1 == 1 {
			shift = 0
		}
		acc += uint64(^(uint16(p.Data[off+i]) << shift)) + uint64(uint16(c)<<shift)
	}
	c := ^fold(acc)
	if udp && c == 0 {
		c = 0xffff
	}
	binary.BigEndian.PutUint16(p.Data[field:], c)
}

// SetPayload replaces the bytes behind the transport header. For UDP and ICMP
// the length may change: the lengths in the headers follow and the transport
// checksum is written anew. For TCP it must stay, since the peers count bytes.
// A payload that grows past the buffer is copied to a new one.
func (p *Packet) SetPayload(b []byte) error {
	old := int(p.end - p.payload)
	if p.version == 0 || p.malformed != 0 {
		return ErrHeader
	}
	if p.Attrs&Truncated != 0 {
		return ErrTruncated
	}
	if len(b) == old {
		if len(b) == 0 {
			return nil
		}
		return p.Patch(int(p.payload), b)
	}
	if p.frag != 0 {
		return ErrFragment
	}
	switch p.proto {
	case ProtoUDP, ProtoICMP, ProtoICMPv6:
	default:
		return ErrLength
	}
	size := int(p.payload) + len(b)
	if p.Offload&GSO != 0 || size > MaxLen {
		return ErrLength
	}
	if size > cap(p.Data) {
		p.Data = append(make([]byte, 0, size), p.Data[:p.payload]...)
	}
	p.Data = p.Data[:size]
	copy(p.Data[p.payload:], b)
	p.end = uint32(size)
	p.FullLen = p.end
	if p.version == 4 {
		var n [2]byte
		binary.BigEndian.PutUint16(n[:], uint16(size))
		p.adjust(10, 2, n[:], 0, false)
		copy(p.Data[2:], n[:])
	} else {
		binary.BigEndian.PutUint16(p.Data[4:], uint16(size-40))
	}
	noSum := false
	if p.proto == ProtoUDP {
		binary.BigEndian.PutUint16(p.Data[p.l4+4:], uint16(p.end-p.l4))
		noSum = p.version == 4 && p.Offload&CsumNotReady == 0 && binary.BigEndian.Uint16(p.Data[p.l4+6:]) == 0
	}
	if !noSum {
		p.completeChecksum()
	}
	p.Offload &^= CsumNotReady
	p.edited = true
	return nil
}

// Replace overwrites len(b) payload bytes from offset off of the payload on.
func (p *Packet) Replace(off int, b []byte) error {
	if off < 0 || off+len(b) > int(p.end-p.payload) {
		return ErrLength
	}
	if len(b) == 0 {
		return nil
	}
	return p.Patch(int(p.payload)+off, b)
}

// SetData puts b, a packet from the network header on, in place of the whole
// packet and decodes it. Nothing is repaired: lengths and checksums are the
// caller's business. b is borrowed until the verdict is sent.
func (p *Packet) SetData(b []byte) {
	p.Data, p.FullLen = b, uint32(len(b))
	p.Attrs &^= Truncated
	p.Decode()
	p.edited = true
}

// Clone copies src into p with bytes of its own, appended to buf[:0], so that
// it may be kept past the next Receive. It returns the buffer for the next
// Clone into the same packet.
func (p *Packet) Clone(src *Packet, buf []byte) []byte {
	*p = *src
	n := len(src.Data)
	buf = append(buf[:0], src.Data...)
	l2 := len(buf)
	buf = append(buf, src.L2...)
	ct := len(buf)
	buf = append(buf, src.CT...)
	sec := len(buf)
	buf = append(buf, src.SecCtx...)
	p.Data = buf[:n:n]
	p.L2, p.CT, p.SecCtx = buf[l2:ct:ct], buf[ct:sec:sec], buf[sec:len(buf):len(buf)]
	return buf
}
