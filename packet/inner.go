package packet

import "encoding/binary"

// Inner fills in with the packet that p carries in a tunnel: IP in IP (RFC
// 2003, 4213, 2473) and GRE (RFC 2784, 2890) with an IP payload. It returns
// false if p is no such tunnel or is a fragment. The bytes of in are those of
// p; its metadata is p's. Call Decode on it.
func (p *Packet) Inner(in *Packet) bool {
	if p.frag != 0 || p.malformed != 0 {
		return false
	}
	b := p.Data[p.l4:p.end]
	var etype uint16
	switch p.proto {
	case ProtoIPv4:
		etype = 0x0800
	case ProtoIPv6:
		etype = 0x86dd
	case ProtoGRE:
		var ok bool
		if b, etype, ok = greInner(b); !ok {
			return false
		}
	default:
		return false
	}
	if len(b) < 20 {
		return false
	}
	v := p.Verdict
	*in = *p
	in.Data, in.Verdict, in.HWProtocol = b, v, etype
	in.FullLen = uint32(len(b))
	in.edited = false
	return true
}

func greInner(b []byte) ([]byte, uint16, bool) {
	if len(b) < 4 || b[1]&7 != 0 {
		return nil, 0, false // version 1 is PPTP's, it carries PPP
	}
	etype := binary.BigEndian.Uint16(b[2:])
	n := 4
	if b[0]&0xc0 != 0 { // checksum or routing present: both fields stand
		n += 4
	}
	if b[0]&0x20 != 0 {
		n += 4 // key
	}
	if b[0]&0x10 != 0 {
		n += 4 // sequence number
	}
	if b[0]&0x40 != 0 { // source routes, RFC 1701
		for {
			if len(b) < n+4 {
				return nil, 0, false
			}
			l := int(b[n+3])
			family := binary.BigEndian.Uint16(b[n:])
			n += 4 + l
			if family == 0 && l == 0 {
				break
			}
		}
	}
	if len(b) < n || (etype != 0x0800 && etype != 0x86dd) {
		return nil, 0, false
	}
	return b[n:], etype, true
}
