package flow

import (
	"encoding/binary"
	"math/bits"
	"net/netip"

	"github.com/garita/garita/packet"
)

// Key names a flow: who talks to whom, seen in one direction. The same key
// turned round names the same flow. It is comparable.
type Key struct {
	// Src and Dst are addresses, most significant half first. An IPv4 address
	// stands alone in the low 32 bits; Version tells the two apart.
	Src, Dst [2]uint64
	// SrcPort and DstPort are the ports of TCP, UDP and SCTP. For the queries
	// of ICMP and ICMPv6 they are type and code (type<<8 | code) of the message
	// and of its counterpart, so that request and reply are one flow; see
	// Config.EchoID of the table for one flow per identifier.
	SrcPort, DstPort uint16
	Proto            uint8 // IP protocol number
	Version          uint8 // 4 or 6
	// EchoID is the identifier of an ICMP echo, 0 otherwise or if the table
	// does not ask for it.
	EchoID uint16
	// Zone keeps equal addresses apart that are not the same host: VLAN,
	// conntrack zone or queue. The caller composes it.
	Zone uint32
}

// Reverse is the key of the same flow seen from the other side.
func (k Key) Reverse() Key {
	k.Src, k.Dst = k.Dst, k.Src
	k.SrcPort, k.DstPort = k.DstPort, k.SrcPort
	return k
}

// SrcAddr is the source address.
func (k Key) SrcAddr() netip.Addr { return addr(k.Src, k.Version) }

// DstAddr is the destination address.
func (k Key) DstAddr() netip.Addr { return addr(k.Dst, k.Version) }

func addr(a [2]uint64, version uint8) netip.Addr {
	if version == 4 {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], uint32(a[1]))
		return netip.AddrFrom4(b)
	}
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], a[0])
	binary.BigEndian.PutUint64(b[8:], a[1])
	return netip.AddrFrom16(b)
}

// SetPacket fills k from a decoded packet and says whether the packet belongs
// to a flow at all: it has an IP header, is not malformed, is no fragment, and has
// what its last extension header announced.
func (k *Key) SetPacket(p *packet.Packet, zone uint32) bool {
	if p.Malformed() != 0 || p.IsFragment() {
		return false
	}
	if p.IPVersion() == 6 && len(p.Transport()) < 2 {
		return false
	}
	b := p.Data
	switch p.IPVersion() {
	case 4:
		k.Version = 4
		k.Src = [2]uint64{0, uint64(binary.BigEndian.Uint32(b[12:]))}
		k.Dst = [2]uint64{0, uint64(binary.BigEndian.Uint32(b[16:]))}
	case 6:
		k.Version = 6
		k.Src = [2]uint64{binary.BigEndian.Uint64(b[8:]), binary.BigEndian.Uint64(b[16:])}
		k.Dst = [2]uint64{binary.BigEndian.Uint64(b[24:]), binary.BigEndian.Uint64(b[32:])}
	default:
		return false
	}
	k.Proto, k.Zone, k.EchoID = p.Proto(), zone, 0
	k.SrcPort, k.DstPort = p.SrcPort(), p.DstPort()
	if k.Proto == packet.ProtoICMP || k.Proto == packet.ProtoICMPv6 {
		k.setICMP(p.Transport())
	}
	return true
}

// setICMP puts type and counterpart where ports stand.
func (k *Key) setICMP(h []byte) {
	k.SrcPort, k.DstPort, k.EchoID = 0, 0, 0
	if len(h) < 2 {
		return
	}
	k.SrcPort = uint16(h[0])<<8 | uint16(h[1])
	peer, echo, ok := counterpart(k.Proto, h[0])
	if ok {
		k.DstPort = uint16(peer)<<8 | uint16(h[1])
	}
	if echo && len(h) >= 6 {
		k.EchoID = binary.BigEndian.Uint16(h[4:])
	}
}

// counterpart is the type that answers, or is answered by, a query's type.
func counterpart(proto, t uint8) (peer uint8, echo, ok bool) {
	if proto == packet.ProtoICMP {
		switch t {
		case 0, 8:
			return t ^ 8, true, true
		case 13, 14, 15, 16, 17, 18: // timestamp, information, address mask
			return (t - 1) ^ 1 + 1, false, true
		case 9, 10: // router advertisement, solicitation
			return 19 - t, false, true
		}
		return 0, false, false
	}
	switch t {
	case 128, 129: // echo
		return t ^ 1, true, true
	case 133, 134, 135, 136: // neighbour discovery
		return (t - 1) ^ 1 + 1, false, true
	case 139, 140: // node information
		return t ^ 139 ^ 140, false, true
	case 144, 145, 146, 147: // home agent discovery, mobile prefix
		return t ^ 1, false, true
	}
	return 0, false, false
}

// SetRelated fills k with the flow that an ICMP or ICMPv6 error is about, in
// the error's own direction (from the host that the quoted packet was sent to,
// to the one that sent it); false if p is no error, or does not quote enough
// to tell. The quoted bytes come from whoever sent the error: a flow that the
// key finds was talked about, not proven.
func (k *Key) SetRelated(p *packet.Packet, zone uint32) bool {
	if p.Malformed() != 0 || p.IsFragment() {
		return false
	}
	h, ok := p.ICMP()
	if !ok || !h.IsError() {
		return false
	}
	return k.SetQuoted(p.Payload(), zone)
}

// SetQuoted fills k from the bytes of a packet that an ICMP error quotes, from
// its IP header on, turned round into the error's direction; false if they are
// cut too short. Eight bytes of transport header are enough.
func (k *Key) SetQuoted(b []byte, zone uint32) bool {
	var q Key
	q.Zone = zone
	if len(b) < 1 {
		return false
	}
	switch b[0] >> 4 {
	case 4:
		n := int(b[0]&15) * 4
		if n < 20 || len(b) < n+8 || binary.BigEndian.Uint16(b[6:])&0x1fff != 0 {
			return false
		}
		q.Version, q.Proto = 4, b[9]
		q.Src[1] = uint64(binary.BigEndian.Uint32(b[12:]))
		q.Dst[1] = uint64(binary.BigEndian.Uint32(b[16:]))
		b = b[n:]
	case 6:
		if len(b) < 48 {
			return false
		}
		q.Version = 6
		q.Src = [2]uint64{binary.BigEndian.Uint64(b[8:]), binary.BigEndian.Uint64(b[16:])}
		q.Dst = [2]uint64{binary.BigEndian.Uint64(b[24:]), binary.BigEndian.Uint64(b[32:])}
		next := b[6]
		b = b[40:]
		for next == 0 || next == 43 || next == 60 { // options and routing (RFC 8200 §4.1)
			n := 8 + int(b[1])*8
			if len(b) < n+8 {
				return false
			}
			next, b = b[0], b[n:]
		}
		if next == 44 { // fragment
			if len(b) < 16 || binary.BigEndian.Uint16(b[2:])&0xfff8 != 0 {
				return false
			}
			next, b = b[0], b[8:]
		}
		q.Proto = next
	default:
		return false
	}
	switch q.Proto {
	case packet.ProtoTCP, packet.ProtoUDP, packet.ProtoSCTP:
		q.SrcPort, q.DstPort = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	case packet.ProtoICMP, packet.ProtoICMPv6:
		q.setICMP(b)
	}
	*k = q.Reverse()
	return true
}

// hash is the same for both directions of a key. Each end is mixed with the
// seed before the two are added, so a sender who does not know the seed cannot
// aim at a bucket.
func (k *Key) hash(seed *[2]uint64) uint32 {
	a := end(k.Src, k.SrcPort, seed)
	b := end(k.Dst, k.DstPort, seed)
	h := mix(a+b^seed[1], uint64(k.Zone)<<32|uint64(k.EchoID)<<16|uint64(k.Proto)<<8|uint64(k.Version)^seed[0])
	return uint32(h ^ h>>32)
}

func end(a [2]uint64, port uint16, seed *[2]uint64) uint64 {
	return mix(mix(a[0]^seed[0], a[1]^seed[1])^seed[0], uint64(port)^seed[1])
}

// mix folds the 128-bit product of its operands. The constants keep a zero
// operand from swallowing the other.
func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a^0x9e3779b97f4a7c15, b^0xd1b54a32d192ed03)
	return hi ^ lo
}
