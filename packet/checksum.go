package packet

import (
	"encoding/binary"
	"hash/crc32"
	"math/bits"
)

// sum adds b as 16-bit big-endian words to acc, an odd last byte padded with
// zero (RFC 1071). Eight bytes a step: one's complement addition may be done
// in any word size (section 2(B)).
func sum(acc uint64, b []byte) uint64 {
	for len(b) >= 8 {
		var c uint64
		acc, c = bits.Add64(acc, binary.BigEndian.Uint64(b), 0)
		acc += c
		b = b[8:]
	}
	var last uint64
	switch {
	case len(b) >= 4:
		last = uint64(binary.BigEndian.Uint32(b)) << 32
		b = b[4:]
		switch len(b) {
		case 3:
			last |= uint64(b[0])<<24 | uint64(b[1])<<16 | uint64(b[2])<<8
		case 2:
			last |= uint64(b[0])<<24 | uint64(b[1])<<16
		case 1:
			last |= uint64(b[0]) << 24
		}
	case len(b) == 3:
		last = uint64(b[0])<<56 | uint64(b[1])<<48 | uint64(b[2])<<40
	case len(b) == 2:
		last = uint64(b[0])<<56 | uint64(b[1])<<48
	case len(b) == 1:
		last = uint64(b[0]) << 56
	}
	acc, c := bits.Add64(acc, last, 0)
	return acc + c
}

// fold brings a sum down to 16 bits.
func fold(acc uint64) uint16 {
	acc = acc>>32 + acc&0xffffffff
	acc = acc>>32 + acc&0xffffffff
	acc = acc>>16 + acc&0xffff
	acc = acc>>16 + acc&0xffff
	return uint16(acc)
}

// pseudo is the sum of the pseudo header for a transport of n bytes (RFC 9293
// section 3.1, RFC 8200 section 8.1).
func (p *Packet) pseudo(proto byte, n uint32) uint64 {
	addrs := p.Data[12:20]
	if p.version == 6 {
		addrs = p.Data[8:40]
	}
	var tail [8]byte
	binary.BigEndian.PutUint32(tail[:], n)
	tail[7] = proto
	return sum(sum(0, addrs), tail[:])
}

// csumField is the offset of the transport checksum within the transport
// header, and whether the pseudo header is part of the sum; -1 if there is none
// of this kind (SCTP has a CRC) or the header is not in this packet.
func (p *Packet) csumField() (off int, pseudo bool) {
	off = -1
	switch p.proto {
	case ProtoTCP:
		off, pseudo = 16, true
	case ProtoUDP:
		off, pseudo = 6, true
	case ProtoICMP:
		off = 2
	case ProtoICMPv6:
		off, pseudo = 2, true
	}
	if p.version == 0 || p.frag&fragLater != 0 || uint32(off)+2 > p.end-p.l4 {
		return -1, false
	}
	return off, pseudo
}

// transportSum is the folded sum of the transport header and payload as they
// stand, checksum field included: 0xffff if the checksum is right.
func (p *Packet) transportSum(pseudo bool) uint16 {
	var acc uint64
	if pseudo {
		acc = p.pseudo(p.proto, p.end-p.l4)
	}
	return fold(sum(acc, p.Data[p.l4:p.end]))
}

// ChecksumOK says whether the checksums of the IP header and the transport are
// right. A checksum that the kernel has not filled in yet (CsumNotReady, GSO)
// counts as right, as do those of fragments and of truncated packets, which
// cannot be known.
func (p *Packet) ChecksumOK() bool { return p.IPChecksumOK() && p.TransportChecksumOK() }

// IPChecksumOK says whether an IPv4 header's checksum is right; IPv6 has none.
func (p *Packet) IPChecksumOK() bool {
	if p.version != 4 || p.l4 < 20 {
		return true
	}
	return fold(sum(0, p.Data[:uint32(p.Data[0]&15)*4])) == 0xffff
}

// TransportChecksumOK is ChecksumOK for the transport alone.
func (p *Packet) TransportChecksumOK() bool {
	if p.Offload&(CsumNotReady|GSO) != 0 || p.frag != 0 || p.Attrs&Truncated != 0 || p.malformed != 0 {
		return true
	}
	if p.proto == ProtoSCTP && p.end-p.l4 >= 12 {
		return p.sctpCRC() == binary.LittleEndian.Uint32(p.Data[p.l4+8:])
	}
	off, pseudo := p.csumField()
	if off < 0 {
		return true
	}
	if p.proto == ProtoUDP && binary.BigEndian.Uint16(p.Data[p.l4+6:]) == 0 {
		return p.version == 4 // RFC 768: not computed; RFC 8200: not allowed
	}
	return p.transportSum(pseudo) == 0xffff
}

// ChecksumPartial says whether the transport checksum is what a kernel leaves
// for its hardware to complete: the sum of the pseudo header alone. Captures
// taken on the sending host are full of such packets; on the wire they were
// right.
func (p *Packet) ChecksumPartial() bool {
	off, pseudo := p.csumField()
	if off < 0 || !pseudo || p.malformed != 0 {
		return false
	}
	return binary.BigEndian.Uint16(p.Data[int(p.l4)+off:]) == fold(p.pseudo(p.proto, p.end-p.l4))
}

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	noCRC      = make([]byte, 4)
)

// sctpCRC is the CRC32c of RFC 9260 appendix A, over the packet with a zero
// checksum field.
func (p *Packet) sctpCRC() uint32 {
	b := p.Data[p.l4:p.end]
	c := crc32.Update(0, castagnoli, b[:8])
	c = crc32.Update(c, castagnoli, noCRC)
	return crc32.Update(c, castagnoli, b[12:])
}

// completeChecksum writes a whole transport checksum where the kernel had left
// it to hardware. The kernel takes a rewritten packet as it is (CHECKSUM_NONE),
// also a super-packet (nfnetlink_queue.c, nfqnl_mangle).
func (p *Packet) completeChecksum() {
	off, pseudo := p.csumField()
	if off < 0 {
		if p.proto == ProtoSCTP && p.frag == 0 && p.end-p.l4 >= 12 {
			binary.LittleEndian.PutUint32(p.Data[p.l4+8:], p.sctpCRC())
		}
		return
	}
	f := p.Data[int(p.l4)+off:]
	f[0], f[1] = 0, 0
	p.putChecksum(f, ^p.transportSum(pseudo))
}

func (p *Packet) putChecksum(f []byte, c uint16) {
	if c == 0 && p.proto == ProtoUDP {
		c = 0xffff // 0 means "none"
	}
	binary.BigEndian.PutUint16(f, c)
}
