package nfqueue

import (
	"bytes"

	"github.com/garita/garita/internal/nfnl"
	"github.com/garita/garita/packet"
)

// parsePacket fills *p from msg, one PACKET message starting at its nlmsghdr.
// now is the time for packets that the kernel did not stamp. What p held before
// is gone, its verdict and decode state too. p's byte fields are borrowed from
// msg; Data may grow up to msg's capacity if nothing follows it.
//
// It returns false if the message has no packet id, without which there is
// nothing to answer. Other faults leave their field empty and cost nothing
// else. A payload cut by a short read gives a packet with packet.Truncated.
func parsePacket(p *packet.Packet, msg []byte, now int64) bool {
	if len(msg) < nfnl.HeaderLen {
		*p = packet.Packet{}
		return false
	}
	*p = packet.Packet{Time: now, Queue: nfnl.BE.Uint16(msg[18:])}
	c := nfnl.Attrs{Rest: msg[nfnl.HeaderLen:]}
	var (
		known, capped bool
		capLen        uint32
	)
	for {
		typ, v, ok := c.Next()
		if !ok {
			break
		}
		if c.Cut && typ != attrPayload {
			break
		}
		switch typ {
		case attrPacketHdr:
			if len(v) < 7 {
				c.Bad = true
				continue
			}
			p.ID = nfnl.BE.Uint32(v)
			p.HWProtocol = nfnl.BE.Uint16(v[4:])
			p.Hook = packet.Hook(v[6])
			known = true
		case attrPayload:
			p.Data = v[:len(v):len(v)]
			if len(c.Rest) == 0 {
				p.Data = v // the last attribute: room to grow
			}
			p.FullLen = uint32(len(v))
			if c.Cut {
				p.FullLen = uint32(c.Want)
				p.Attrs |= packet.Truncated
			}
		case attrInDev:
			p.InDev = c.U32(v)
		case attrOutDev:
			p.OutDev = c.U32(v)
		case attrPhysInDev:
			p.PhysInDev = c.U32(v)
		case attrPhysOutDev:
			p.PhysOutDev = c.U32(v)
		case attrMark:
			p.Mark = c.U32(v)
		case attrPriority:
			p.Priority = c.U32(v)
		case attrSkbInfo:
			p.Offload = packet.Offload(c.U32(v))
		case attrHWAddr:
			if n, ok := c.HWAddr(v, &p.HWAddr); ok {
				p.HWAddrLen = n
				p.Attrs |= packet.HasHWAddr
			}
		case attrTimestamp:
			if ns, ok := c.Time(v); ok {
				p.Time = ns
				p.Attrs |= packet.HasTime
			}
		case attrCapLen:
			capLen, capped = c.U32(v), len(v) >= 4
		case attrUID:
			p.UID = c.U32(v)
			p.Attrs |= packet.HasOwner
		case attrGID:
			p.GID = c.U32(v)
			p.Attrs |= packet.HasOwner
		case attrCgroupClass:
			p.ClassID = c.U32(v)
			p.Attrs |= packet.HasClassID
		case attrCTInfo:
			p.CTInfo = c.U32(v)
			p.Attrs |= packet.HasCT
		case attrCT:
			p.CT = v[:len(v):len(v)]
			p.Attrs |= packet.HasCT
		case attrSecCtx:
			v, _, _ = bytes.Cut(v, []byte{0})
			p.SecCtx = v[:len(v):len(v)]
			p.Attrs |= packet.HasSecCtx
		case attrL2:
			p.L2 = v[:len(v):len(v)]
			p.Attrs |= packet.HasL2
		case attrVLAN:
			p.VLANProto, p.VLANTCI = c.VLAN(v)
			p.Attrs |= packet.HasVLAN
		}
	}
	if capped && capLen > uint32(len(p.Data)) {
		p.FullLen = capLen
		p.Attrs |= packet.Truncated
	}
	return known
}
