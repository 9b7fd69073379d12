// Package packet is one packet: its bytes, what the kernel told about it, what
// decoding found in it, and the verdict it gets.
//
// A Packet is owned by the caller and meant to be reused. Its bytes are
// borrowed from whoever filled it in (a queue, a capture file) until the next
// Receive of that source. Decode works in place: it cannot fail, allocate or
// panic, on any bytes.
package packet

import (
	"net/netip"
)

// Hook is the netfilter hook a packet was taken at (uapi/linux/netfilter.h,
// NF_INET_*).
type Hook uint8

const (
	Prerouting Hook = iota
	Input
	Forward
	Output
	Postrouting
)

// Attr says which of the optional metadata fields the source filled in.
type Attr uint16

const (
	HasTime    Attr = 1 << iota // Time comes from the kernel or the capture, not from our own clock
	HasOwner                    // UID, GID
	HasHWAddr                   // HWAddr
	HasCT                       // CT, CTInfo
	HasVLAN                     // VLANProto, VLANTCI of a bridge-family packet
	HasL2                       // L2
	HasSecCtx                   // SecCtx
	HasClassID                  // ClassID
	Truncated                   // Data was cut; FullLen is the packet's real length
)

// Offload is what the kernel left undone (NFQA_SKB_INFO).
type Offload uint8

const (
	// CsumNotReady: the transport checksum field holds only the sum of the
	// pseudo header; hardware or the next hop of the stack completes it. Never
	// verify it.
	CsumNotReady Offload = 1 << iota
	// GSO: one super-packet of up to 64 KiB that the kernel segments later.
	GSO
	// CsumNotVerified: received, and no hardware has checked the sum.
	CsumNotVerified
)

// Packet is one packet and its verdict. The zero value is an empty packet with
// the failure verdict. Fill in Data and the metadata, call Decode, judge, set
// Verdict.
type Packet struct {
	// Data starts at the network header. Borrowed from the source until its
	// next Receive; Clone what must live longer. Edit it through the header
	// views only, they keep lengths and checksums right.
	Data []byte

	// What the source says.

	ID         uint32 // the kernel's number of the packet in its queue
	Queue      uint16 // the queue it came from
	HWProtocol uint16 // ethertype, host byte order (0x0800, 0x86dd)
	Hook       Hook
	Offload    Offload
	Attrs      Attr
	HWAddrLen  uint8
	Mark       uint32 // fwmark when it was queued
	Priority   uint32
	InDev      uint32 // interface index, 0 = none; likewise the next three
	OutDev     uint32
	PhysInDev  uint32 // bridge port, or the bridge for bridge-family packets
	PhysOutDev uint32
	FullLen    uint32 // length on the wire from the network header on; more than len(Data) if Truncated
	UID, GID   uint32 // owner of the local socket, numbers of the initial user namespace
	ClassID    uint32 // net_cls cgroup
	CTInfo     uint32 // 0 established, 1 related, 2 new; +3 for the reply direction
	VLANProto  uint16
	VLANTCI    uint16
	HWAddr     [8]byte // source MAC in the first HWAddrLen bytes
	Time       int64   // nanoseconds since 1970; from our own clock unless HasTime
	Tunnel     Tunnel  // how it was carried, for what Inner gave
	Number     uint64  // ordinal in a capture, from 1; 0 from a live queue
	VLANs      [3]uint16
	NVLAN      uint8    // how many of VLANs hold a tag's VLAN id, outermost first (captures)
	Link       LinkType // link layer of L2, set by DecodeLink; LinkNull if there is none
	LinkEvent  Event    // what was wrong with the link layer, set by DecodeLink; Decode takes it over
	L2         []byte   // link-layer header or frame start; borrowed like Data
	CT         []byte   // nested CTA_* attributes as the kernel sent them; borrowed
	SecCtx     []byte   // security label; borrowed

	// Verdict is what the kernel will hear. Its zero value is the failure
	// verdict of the queue's owner.
	Verdict Verdict

	// What Decode found.

	version   uint8 // 4, 6, or 0 if Data is not IP
	proto     uint8
	frag      fragFlags
	nevents   uint8
	edited    bool
	malformed Event
	events    [maxEvents]Event
	l4        uint32 // offset of the transport header
	payload   uint32 // offset of the payload
	end       uint32 // one past the last byte that belongs to the packet
	fragOff   uint32 // offset of this fragment in bytes
	sport     uint16 // TCP, UDP, SCTP; else 0
	dport     uint16
	fragID    uint32
}

// Src returns the source address, or the zero Addr if the packet has no IP
// header. IPv4 addresses are plain (not 4-in-6).
func (p *Packet) Src() netip.Addr {
	switch p.version {
	case 4:
		return netip.AddrFrom4([4]byte(p.Data[12:16]))
	case 6:
		return netip.AddrFrom16([16]byte(p.Data[8:24]))
	}
	return netip.Addr{}
}

// Dst returns the destination address, or the zero Addr.
func (p *Packet) Dst() netip.Addr {
	switch p.version {
	case 4:
		return netip.AddrFrom4([4]byte(p.Data[16:20]))
	case 6:
		return netip.AddrFrom16([16]byte(p.Data[24:40]))
	}
	return netip.Addr{}
}

// IPVersion is 4, 6, or 0 if no IP header was found.
func (p *Packet) IPVersion() uint8 { return p.version }

// Proto is the IP protocol number of the transport header, behind all
// extension headers of IPv6.
func (p *Packet) Proto() uint8 { return p.proto }

// SrcPort is the source port of TCP, UDP and SCTP, else 0.
func (p *Packet) SrcPort() uint16 { return p.sport }

// DstPort is the destination port of TCP, UDP and SCTP, else 0.
func (p *Packet) DstPort() uint16 { return p.dport }

// Payload returns the bytes behind the transport header; for an unknown
// transport, those behind the IP header. Link-layer padding is not part of it.
// Borrowed like Data.
func (p *Packet) Payload() []byte { return p.Data[p.payload:p.end] }

// Transport returns the transport header with its payload. It is empty in any
// fragment but the first. Borrowed like Data.
func (p *Packet) Transport() []byte { return p.Data[p.l4:p.end] }

// Malformed is the first event that made the packet invalid, or 0 if it is
// well formed. A malformed packet keeps what could be decoded before the fault.
func (p *Packet) Malformed() Event { return p.malformed }

// Events are all decoder events of the packet, oldest first, borrowed until
// the next Decode. An event need not make the packet malformed.
func (p *Packet) Events() []Event { return p.events[:p.nevents] }

// Edited says whether the bytes were changed since Receive, so that the kernel
// must be given them back.
func (p *Packet) Edited() bool { return p.edited }

// IsFragment says whether the packet is one fragment of a larger one.
func (p *Packet) IsFragment() bool { return p.frag != 0 }

// MoreFragments is the flag of that name.
func (p *Packet) MoreFragments() bool { return p.frag&fragMore != 0 }

// FragOffset is the place of this fragment's bytes in the whole, in bytes.
func (p *Packet) FragOffset() int { return int(p.fragOff) }

// FragID is the identification of the fragmented packet.
func (p *Packet) FragID() uint32 { return p.fragID }

type fragFlags uint8

const (
	fragMore fragFlags = 1 << iota
	fragLater
	fragFirst
)

var hookNames = [...]string{"prerouting", "input", "forward", "output", "postrouting"}

// String is the hook's name in lower case.
func (h Hook) String() string {
	if int(h) < len(hookNames) {
		return hookNames[h]
	}
	return "unknown"
}
