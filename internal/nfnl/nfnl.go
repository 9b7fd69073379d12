// Package nfnl is what users of netlink share: messages and attributes laid out
// and walked in place, bursts of datagrams in one system call, the kernel's
// answers, and what to do after an overrun.
//
// The wire format is that of include/uapi/linux/netlink.h and
// netfilter/nfnetlink.h. Lengths and types are in the host's byte order, what
// netfilter puts into attributes mostly in the network's.
package nfnl

import (
	"bytes"
	"encoding/binary"
	"syscall"

	"golang.org/x/sys/unix"
)

// Byte orders of headers and of values.
var (
	Native = binary.NativeEndian
	BE     = binary.BigEndian
)

// Sizes in bytes: of nlmsghdr, and of it and nfgenmsg together.
const (
	NLHeader  = 16
	HeaderLen = NLHeader + 4
)

// Align4 rounds up to the alignment of messages and attributes.
func Align4(n int) int { return (n + 3) &^ 3 }

// PutHeader writes nlmsghdr and nfgenmsg at the start of b, which must have
// room for HeaderLen bytes, for a request of length bytes. res is the number of
// the queue or group. Family and sequence number are 0.
func PutHeader(b []byte, typ uint16, length int, flags uint16, res uint16) {
	_ = b[HeaderLen-1]
	Native.PutUint32(b, uint32(length))
	Native.PutUint16(b[4:], typ)
	Native.PutUint16(b[6:], unix.NLM_F_REQUEST|flags)
	Native.PutUint32(b[8:], 0)
	Native.PutUint32(b[12:], 0)
	b[16], b[17] = 0, 0
	BE.PutUint16(b[18:], res)
}

// AppendAttr appends an attribute with its padding.
func AppendAttr(b []byte, typ uint16, v ...byte) []byte {
	b = Native.AppendUint16(b, uint16(4+len(v)))
	b = Native.AppendUint16(b, typ)
	b = append(b, v...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

// Attrs walks netlink attributes. A fault is sticky: once an attribute is
// found to be broken, Next yields nothing more, and Cut or Bad say why.
type Attrs struct {
	Rest []byte // what is not walked yet
	Bad  bool   // an impossible length, or a value too short for its type
	Cut  bool   // the last attribute claims more bytes than there are
	Want int    // length of the value that the cut attribute claimed
}

// Next returns the next attribute's type without its flag bits and its value,
// which is what is left of it if the attribute is cut; the value is part of
// Rest. ok is false at the end.
func (c *Attrs) Next() (typ uint16, v []byte, ok bool) {
	b := c.Rest
	if len(b) < 4 {
		c.Bad = c.Bad || len(b) != 0
		c.Rest = nil
		return 0, nil, false
	}
	n := int(Native.Uint16(b))
	typ = Native.Uint16(b[2:]) & 0x3fff
	switch {
	case n < 4:
		c.Bad = true
		c.Rest = nil
		return 0, nil, false
	case n > len(b):
		c.Cut = true
		c.Want = n - 4
		c.Rest = nil
		return typ, b[4:], true
	}
	if a := Align4(n); a < len(b) {
		c.Rest = b[a:]
	} else {
		c.Rest = nil
	}
	return typ, b[4:n], true
}

// U16 and U32 read a big-endian value, or 0 from one that is too short, which
// is Bad.
func (c *Attrs) U16(v []byte) uint16 {
	if len(v) < 2 {
		c.Bad = true
		return 0
	}
	return BE.Uint16(v)
}

func (c *Attrs) U32(v []byte) uint32 {
	if len(v) < 4 {
		c.Bad = true
		return 0
	}
	return BE.Uint32(v)
}

// What the queue and the log say of packets in the same form.

// Time is the receive stamp (nfqnl_msg_packet_timestamp) in nanoseconds since
// 1970; ok is false for a value that is too short, which is Bad.
func (c *Attrs) Time(v []byte) (ns int64, ok bool) {
	if len(v) < 16 {
		c.Bad = true
		return 0, false
	}
	return int64(BE.Uint64(v))*1e9 + int64(BE.Uint64(v[8:]))*1e3, true
}

// HWAddr puts a source's link-layer address (nfqnl_msg_packet_hw) into addr, n
// bytes of it; ok is as for Time.
func (c *Attrs) HWAddr(v []byte, addr *[8]byte) (n uint8, ok bool) {
	if len(v) < 12 {
		c.Bad = true
		return 0, false
	}
	copy(addr[:], v[4:12])
	return uint8(min(BE.Uint16(v), 8)), true
}

// Attributes of a tag, NFQA_VLAN_* and NFULA_VLAN_*.
const (
	AttrVLANProto = 1
	AttrVLANTCI   = 2
)

// VLAN reads the nested attributes of a tag: protocol and tag control
// information. A fault in them is Bad.
func (c *Attrs) VLAN(v []byte) (proto, tci uint16) {
	in := Attrs{Rest: v}
	for {
		typ, v, ok := in.Next()
		if !ok || in.Cut {
			break
		}
		switch typ {
		case AttrVLANProto:
			proto = in.U16(v)
		case AttrVLANTCI:
			tci = in.U16(v)
		}
	}
	c.Bad = c.Bad || in.Bad || in.Cut
	return proto, tci
}

// Drain throws away what waits in a netlink socket. After an overrun (ENOBUFS) the
// kernel drops every multicast, and tells no more of it, until the socket has been
// read empty: who asks for a state before that may get an answer that nothing will
// correct.
func Drain(c syscall.RawConn) error {
	var b [1]byte
	return c.Read(func(fd uintptr) bool {
		for {
			if _, _, err := unix.Recvfrom(int(fd), b[:], unix.MSG_DONTWAIT); err != nil && err != unix.EINTR && err != unix.ENOBUFS {
				return true
			}
		}
	})
}

// ParseReply reads NLMSG_ERROR, which is the kernel's acknowledgement (errno 0)
// or refusal, with its extended text if there is one. ok is false if msg is
// something else.
func ParseReply(msg []byte) (errno unix.Errno, text string, ok bool) {
	if len(msg) < NLHeader+4 || Native.Uint16(msg[4:]) != unix.NLMSG_ERROR {
		return 0, "", false
	}
	code := int32(Native.Uint32(msg[NLHeader:]))
	if code < 0 {
		code = -code
	}
	errno = unix.Errno(code)
	flags := Native.Uint16(msg[6:])
	const capped, tlvs = 0x100, 0x200 // NLM_F_CAPPED, NLM_F_ACK_TLVS
	if flags&tlvs == 0 || len(msg) < NLHeader+4+NLHeader {
		return errno, "", true
	}
	at := NLHeader + 4 + NLHeader
	if flags&capped == 0 {
		at = NLHeader + 4 + Align4(int(min(Native.Uint32(msg[NLHeader+4:]), 1<<20)))
	}
	if at > len(msg) {
		return errno, "", true
	}
	for c := (Attrs{Rest: msg[at:]}); ; {
		typ, v, ok := c.Next()
		if !ok || c.Cut {
			return errno, "", true
		}
		if typ == 1 { // NLMSGERR_ATTR_MSG
			v, _, _ = bytes.Cut(v, []byte{0})
			return errno, string(v), true
		}
	}
}

// Request sends a request on a netlink socket and returns the kernel's refusal,
// or an error of the socket. No acknowledgement is asked for: the kernel works
// inside the send and queues an error reply before it returns, so an empty
// socket, or a message of another kind in front, means success, and nothing has
// to be read out of turn.
func Request(fd int, req []byte) (text string, err error) {
	if _, err := unix.Write(fd, req); err != nil {
		return "", err
	}
	var buf [1024]byte
	for {
		n, from, err := unix.Recvfrom(fd, buf[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		if err == unix.EINTR {
			continue
		}
		if err == unix.EAGAIN {
			return "", nil
		}
		if err != nil {
			return "", err
		}
		if sa, ok := from.(*unix.SockaddrNetlink); ok && sa.Pid == 0 {
			errno, text, isReply := ParseReply(buf[:n])
			if !isReply {
				return "", nil
			}
			_, _, _ = unix.Recvfrom(fd, buf[:], unix.MSG_DONTWAIT)
			if errno == 0 {
				continue
			}
			return text, errno
		}
		_, _, _ = unix.Recvfrom(fd, buf[:], unix.MSG_DONTWAIT) // not the kernel's: out of the way
	}
}
