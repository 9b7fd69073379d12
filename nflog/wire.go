package nflog

import (
	"bytes"
	"time"

	"github.com/garita/garita/internal/nfnl"
	"github.com/garita/garita/packet"
)

// Message types, NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_*.
const (
	msgPacket = 0x0400
	msgConfig = 0x0401
)

// Attributes of packets, NFULA_*. Their numbers are not those of the queue.
const (
	attrPacketHdr  = 1
	attrMark       = 2
	attrTimestamp  = 3
	attrInDev      = 4
	attrOutDev     = 5
	attrPhysInDev  = 6
	attrPhysOutDev = 7
	attrHWAddr     = 8
	attrPayload    = 9
	attrPrefix     = 10
	attrUID        = 11
	attrSeq        = 12
	attrGID        = 14
	attrHWType     = 15
	attrHWHeader   = 16
	attrCT         = 18
	attrCTInfo     = 19
	attrVLAN       = 20
	attrL2         = 21
)

// Configuration, NFULA_CFG_*.
const (
	cfgAttrCmd       = 1
	cfgAttrMode      = 2
	cfgAttrBufSize   = 3
	cfgAttrTimeout   = 4 // in 1/100 s
	cfgAttrThreshold = 5
	cfgAttrFlags     = 6

	cfgCmdBind = 1
	cfgFlagSeq = 1
	copyPacket = 2
)

const arphrdEther = 1

// appendBind appends the one CONFIG message that binds and configures.
func appendBind(b []byte, cfg Config) []byte {
	at := len(b)
	be := nfnl.BE
	b = append(b, make([]byte, nfnl.HeaderLen)...)
	b = nfnl.AppendAttr(b, cfgAttrCmd, cfgCmdBind)
	b = nfnl.AppendAttr(b, cfgAttrMode, append(be.AppendUint32(nil, cfg.CopyRange), copyPacket, 0)...)
	b = nfnl.AppendAttr(b, cfgAttrBufSize, be.AppendUint32(nil, cfg.BufSize)...)
	b = nfnl.AppendAttr(b, cfgAttrTimeout, be.AppendUint32(nil, uint32(max(cfg.Timeout/(10*time.Millisecond), 1)))...)
	b = nfnl.AppendAttr(b, cfgAttrThreshold, be.AppendUint32(nil, cfg.Threshold)...)
	b = nfnl.AppendAttr(b, cfgAttrFlags, be.AppendUint16(nil, cfgFlagSeq)...)
	nfnl.PutHeader(b[at:], msgConfig, len(b)-at, 0, cfg.Group)
	return b
}

// extra is what a packet.Packet has no place for.
type extra struct {
	prefix []byte
	seq    uint32
	hasSeq bool
}

// parsePacket fills *p and *x from msg, one PACKET message starting at its
// nlmsghdr. now is the time for packets that the kernel did not stamp. What p
// held before is gone. p's byte fields are borrowed from msg.
//
// It returns false if the message has no packet header. Other faults leave
// their field empty and cost nothing else.
func parsePacket(p *packet.Packet, msg []byte, now int64, x *extra) bool {
	*x = extra{}
	if len(msg) < nfnl.HeaderLen {
		*p = packet.Packet{}
		return false
	}
	*p = packet.Packet{Time: now, Queue: nfnl.BE.Uint16(msg[18:]), Offload: packet.CsumNotReady}
	c := nfnl.Attrs{Rest: msg[nfnl.HeaderLen:]}
	known := false
	var hwType uint16
	for {
		typ, v, ok := c.Next()
		if !ok || c.Cut {
			break
		}
		switch typ {
		case attrPacketHdr:
			if len(v) < 3 {
				c.Bad = true
				continue
			}
			p.HWProtocol = nfnl.BE.Uint16(v)
			p.Hook = packet.Hook(v[2])
			known = true
		case attrPayload:
			p.Data = v[:len(v):len(v)]
			p.FullLen = uint32(len(v))
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
		case attrTimestamp:
			if ns, ok := c.Time(v); ok {
				p.Time = ns
				p.Attrs |= packet.HasTime
			}
		case attrHWAddr:
			if n, ok := c.HWAddr(v, &p.HWAddr); ok {
				p.HWAddrLen = n
				p.Attrs |= packet.HasHWAddr
			}
		case attrUID:
			p.UID = c.U32(v)
			p.Attrs |= packet.HasOwner
		case attrGID:
			p.GID = c.U32(v)
			p.Attrs |= packet.HasOwner
		case attrSeq:
			x.seq, x.hasSeq = c.U32(v), len(v) >= 4
		case attrPrefix:
			x.prefix, _, _ = bytes.Cut(v, []byte{0})
			x.prefix = x.prefix[:len(x.prefix):len(x.prefix)]
		case attrHWType:
			hwType = c.U16(v)
		case attrHWHeader, attrL2:
			p.L2 = v[:len(v):len(v)]
			p.Attrs |= packet.HasL2
		case attrCT:
			p.CT = v[:len(v):len(v)]
			p.Attrs |= packet.HasCT
		case attrCTInfo:
			p.CTInfo = c.U32(v)
			p.Attrs |= packet.HasCT
		case attrVLAN:
			p.VLANProto, p.VLANTCI = c.VLAN(v)
			p.Attrs |= packet.HasVLAN
		}
	}
	if hwType != arphrdEther && p.Attrs&packet.HasVLAN == 0 {
		// The header of a tunnel or of something stranger is not a frame's.
		p.L2 = nil
		p.Attrs &^= packet.HasL2
	}
	// The log does not tell that it cut a packet; the packet does.
	if n := claimed(p.Data); n > p.FullLen {
		p.FullLen = n
		p.Attrs |= packet.Truncated
	}
	return known
}

// claimed is the length that the IP header in b names, 0 if there is none.
func claimed(b []byte) uint32 {
	switch {
	case len(b) >= 20 && b[0]>>4 == 4:
		return uint32(nfnl.BE.Uint16(b[2:]))
	case len(b) >= 40 && b[0]>>4 == 6:
		return uint32(nfnl.BE.Uint16(b[4:])) + 40
	}
	return 0
}
