package packet

import "encoding/binary"

// UDP ports of the tunnels that Inner knows (IANA).
const (
	portTeredo = 3544
	portVXLAN  = 4789
	portGeneve = 6081
)

// Tunnel is how a packet was carried in another.
type Tunnel uint8

// Tunnels. NoTunnel is a packet that came by itself.
const (
	NoTunnel Tunnel = iota
	InIPv4
	InIPv6
	InGRE
	InVXLAN
	InGeneve
	InTeredo
)

// Tunnels says on which UDP ports tunnels are looked for. The zero value is
// IANA's ports.
type Tunnels struct{ VXLAN, Geneve, Teredo TunnelPorts }

// TunnelPorts are the ports of one kind of tunnel, of either side.
type TunnelPorts struct {
	Off  bool
	Any  bool     // all of them
	List []uint16 // nil means IANA's
}

func (t *TunnelPorts) has(p *Packet, usual uint16) bool {
	switch {
	case t.Off:
		return false
	case t.Any:
		return true
	case t.List == nil:
		return p.dport == usual || p.sport == usual
	}
	for _, n := range t.List {
		if p.dport == n || p.sport == n {
			return true
		}
	}
	return false
}

// Inner fills in with the packet that p carries in a tunnel: IP in IP (RFC
// 2003, 4213, 2473), GRE (RFC 2784, 2890) with IP, Ethernet or ERSPAN in it,
// VXLAN (RFC 7348), Geneve (RFC 8926) and Teredo (RFC 4380) on the ports of t. It
// returns false if p is no such tunnel or is a fragment. The bytes of in are
// those of p; its metadata is p's. Call Decode on it.
func (p *Packet) Inner(in *Packet, t *Tunnels) bool {
	if p.frag != 0 || p.malformed != 0 {
		return false
	}
	b := p.Data[p.l4:p.end]
	var etype uint16
	ok := true
	frame := false
	var vlan uint16 // that the tunnel's header names
	kind := InIPv4
	if p.version == 6 {
		kind = InIPv6
	}
	switch p.proto {
	case ProtoIPv4:
		etype = EtherIPv4
	case ProtoIPv6:
		etype = EtherIPv6
	case ProtoGRE:
		kind = InGRE
		if b, etype, ok = greInner(b); !ok {
			return false
		}
		switch etype {
		case 0x6558:
			frame = true
		case 0x88be:
			if len(b) < 8 || b[0]>>4 != 1 { // ERSPAN type II
				return false
			}
			vlan = binary.BigEndian.Uint16(b) & 0xfff
			b, frame = b[8:], true
		}
	case ProtoUDP:
		b = p.Data[p.payload:p.end]
		switch {
		case t.VXLAN.has(p, portVXLAN):
			kind = InVXLAN
			if len(b) < 8 || b[0]&8 == 0 {
				return false
			}
			b, frame = b[8:], true
		case t.Geneve.has(p, portGeneve):
			kind = InGeneve
			n := 8
			if len(b) >= 8 {
				n += int(b[0]&0x3f) * 4
			}
			if len(b) < n || b[0]>>6 != 0 {
				return false
			}
			etype = binary.BigEndian.Uint16(b[2:])
			b, frame = b[n:], etype == 0x6558
		case t.Teredo.has(p, portTeredo):
			kind = InTeredo
			if b = teredoInner(b); b == nil {
				return false
			}
			etype = EtherIPv6
		default:
			return false
		}
	default:
		return false
	}
	if !frame && (etype != EtherIPv4 && etype != EtherIPv6 || len(b) < 20) {
		return false
	}
	*in = *p
	in.edited = false
	in.Tunnel = kind
	in.L2, in.Link, in.NVLAN = nil, LinkRaw, 0
	if frame {
		in.DecodeLink(LinkEthernet, b)
		if vlan != 0 && int(in.NVLAN) < len(in.VLANs) {
			copy(in.VLANs[1:], in.VLANs[:in.NVLAN])
			in.VLANs[0] = vlan
			in.NVLAN++
		}
		return in.HWProtocol == EtherIPv4 || in.HWProtocol == EtherIPv6 || in.LinkEvent != 0
	}
	in.Data, in.HWProtocol, in.LinkEvent = b, etype, 0
	in.FullLen = uint32(len(b))
	return true
}

// teredoInner skips the indications of RFC 4380 section 5.1.1 and returns the
// IPv6 packet behind them, or nil.
func teredoInner(b []byte) []byte {
	if len(b) >= 4 && b[0] == 0 && b[1] == 1 { // authentication
		n := 13 + int(b[2]) + int(b[3])
		if len(b) < n {
			return nil
		}
		b = b[n:]
	}
	if len(b) >= 8 && b[0] == 0 && b[1] == 0 { // origin
		b = b[8:]
	}
	if len(b) < 40 || b[0]>>4 != 6 || int(binary.BigEndian.Uint16(b[4:]))+40 != len(b) {
		return nil
	}
	return b
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
	if len(b) < n {
		return nil, 0, false
	}
	return b[n:], etype, true
}
