package nfqueue

import (
	"bytes"

	"golang.org/x/sys/unix"

	"github.com/garita/garita/packet"
)

// cursor walks netlink attributes. A fault is sticky: once an attribute is
// found to be broken, next yields nothing more, and cut or bad say why.
type cursor struct {
	rest []byte
	bad  bool // an impossible length, or a value too short for its type
	cut  bool // the last attribute claims more bytes than there are
	want int  // length of the value that the cut attribute claimed
}

// next returns the next attribute's type without its flag bits and its value,
// which is what is left of it if the attribute is cut. ok is false at the end.
func (c *cursor) next() (typ uint16, v []byte, ok bool) {
	b := c.rest
	if len(b) < 4 {
		c.bad = c.bad || len(b) != 0
		c.rest = nil
		return 0, nil, false
	}
	n := int(native.Uint16(b))
	typ = native.Uint16(b[2:]) & 0x3fff
	switch {
	case n < 4:
		c.bad = true
		c.rest = nil
		return 0, nil, false
	case n > len(b):
		c.cut = true
		c.want = n - 4
		c.rest = nil
		return typ, b[4:], true
	}
	if a := align4(n); a < len(b) {
		c.rest = b[a:]
	} else {
		c.rest = nil
	}
	return typ, b[4:n], true
}

// u16 and u32 read a big-endian value, or 0 from one that is too short.
func (c *cursor) u16(v []byte) uint16 {
	if len(v) < 2 {
		c.bad = true
		return 0
	}
	return be.Uint16(v)
}

func (c *cursor) u32(v []byte) uint32 {
	if len(v) < 4 {
		c.bad = true
		return 0
	}
	return be.Uint32(v)
}

// parsePacket fills *p from msg, one PACKET message starting at its nlmsghdr.
// now is the time for packets that the kernel did not stamp. What p held before
// is gone, its verdict and decode state too. p's byte fields are borrowed from
// msg; Data may grow up to msg's capacity if nothing follows it.
//
// It returns false if the message has no packet id, without which there is
// nothing to answer. Other faults leave their field empty and cost nothing
// else. A payload cut by a short read gives a packet with packet.Truncated.
func parsePacket(p *packet.Packet, msg []byte, now int64) bool {
	if len(msg) < headerLen {
		*p = packet.Packet{}
		return false
	}
	*p = packet.Packet{Time: now, Queue: be.Uint16(msg[18:])}
	c := cursor{rest: msg[headerLen:]}
	var (
		known, capped bool
		capLen        uint32
	)
	for {
		typ, v, ok := c.next()
		if !ok {
			break
		}
		if c.cut && typ != attrPayload {
			break
		}
		switch typ {
		case attrPacketHdr:
			if len(v) < 7 {
				c.bad = true
				continue
			}
			p.ID = be.Uint32(v)
			p.HWProtocol = be.Uint16(v[4:])
			p.Hook = packet.Hook(v[6])
			known = true
		case attrPayload:
			p.Data = v[:len(v):len(v)]
			if len(c.rest) == 0 {
				p.Data = v // the last attribute: room to grow
			}
			p.FullLen = uint32(len(v))
			if c.cut {
				p.FullLen = uint32(c.want)
				p.Attrs |= packet.Truncated
			}
		case attrInDev:
			p.InDev = c.u32(v)
		case attrOutDev:
			p.OutDev = c.u32(v)
		case attrPhysInDev:
			p.PhysInDev = c.u32(v)
		case attrPhysOutDev:
			p.PhysOutDev = c.u32(v)
		case attrMark:
			p.Mark = c.u32(v)
		case attrPriority:
			p.Priority = c.u32(v)
		case attrSkbInfo:
			p.Offload = packet.Offload(c.u32(v))
		case attrHWAddr:
			if len(v) < 12 {
				c.bad = true
				continue
			}
			p.HWAddrLen = uint8(min(be.Uint16(v), 8))
			copy(p.HWAddr[:], v[4:12])
			p.Attrs |= packet.HasHWAddr
		case attrTimestamp:
			if len(v) < 16 {
				c.bad = true
				continue
			}
			p.Time = int64(be.Uint64(v))*1e9 + int64(be.Uint64(v[8:]))*1e3
			p.Attrs |= packet.HasTime
		case attrCapLen:
			capLen, capped = c.u32(v), len(v) >= 4
		case attrUID:
			p.UID = c.u32(v)
			p.Attrs |= packet.HasOwner
		case attrGID:
			p.GID = c.u32(v)
			p.Attrs |= packet.HasOwner
		case attrCgroupClass:
			p.ClassID = c.u32(v)
			p.Attrs |= packet.HasClassID
		case attrCTInfo:
			p.CTInfo = c.u32(v)
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
			parseVLAN(p, &c, v)
		}
	}
	if capped && capLen > uint32(len(p.Data)) {
		p.FullLen = capLen
		p.Attrs |= packet.Truncated
	}
	return known
}

func parseVLAN(p *packet.Packet, outer *cursor, v []byte) {
	c := cursor{rest: v}
	for {
		typ, v, ok := c.next()
		if !ok || c.cut {
			break
		}
		switch typ {
		case attrVLANProto:
			p.VLANProto = c.u16(v)
		case attrVLANTCI:
			p.VLANTCI = c.u16(v)
		}
	}
	p.Attrs |= packet.HasVLAN
	outer.bad = outer.bad || c.bad || c.cut
}

// parseReply reads NLMSG_ERROR, which is the kernel's acknowledgement (errno 0)
// or refusal, with its extended text if there is one.
func parseReply(msg []byte) (errno unix.Errno, text string, ok bool) {
	if len(msg) < nlHeader+4 || native.Uint16(msg[4:]) != unix.NLMSG_ERROR {
		return 0, "", false
	}
	code := int32(native.Uint32(msg[nlHeader:]))
	if code < 0 {
		code = -code
	}
	errno = unix.Errno(code)
	flags := native.Uint16(msg[6:])
	const capped, tlvs = 0x100, 0x200 // NLM_F_CAPPED, NLM_F_ACK_TLVS
	if flags&tlvs == 0 || len(msg) < nlHeader+4+nlHeader {
		return errno, "", true
	}
	at := nlHeader + 4 + nlHeader
	if flags&capped == 0 {
		at = nlHeader + 4 + align4(int(min(native.Uint32(msg[nlHeader+4:]), 1<<20)))
	}
	if at > len(msg) {
		return errno, "", true
	}
	for c := (cursor{rest: msg[at:]}); ; {
		typ, v, ok := c.next()
		if !ok || c.cut {
			return errno, "", true
		}
		if typ == 1 { // NLMSGERR_ATTR_MSG
			v, _, _ = bytes.Cut(v, []byte{0})
			return errno, string(v), true
		}
	}
}
