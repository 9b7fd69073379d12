package ipq

import (
	"bytes"
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// Message types of MessageType.
const (
	MsgError  = unix.NLMSG_ERROR // an answer of the kernel: GetMsgErr
	MsgPacket = 0x13             // IPQM_PACKET: GetPacket
)

// The layout of a message: nlmsghdr, then struct ipq_packet_msg as it is on
// 64-bit machines, in the host's byte order but for hw_protocol.
const (
	nlHeader  = 16
	msgLen    = 96
	payloadAt = nlHeader + msgLen
	errorLen  = nlHeader + 4 + nlHeader // struct nlmsgerr
	nameLen   = 16                      // IFNAMSIZ
)

var native = binary.NativeEndian

// PacketMsg is struct ipq_packet_msg.
type PacketMsg struct {
	PacketID      uint64
	Mark          uint64
	TimestampSec  int64
	TimestampUsec int64
	Hook          uint32 // packet.Hook's numbers
	IndevName     string // "" for none
	OutdevName    string
	HWProtocol    uint16 // ethertype, in the host's byte order (C: the network's)
	HWType        uint16 // ARPHRD_* of the input interface, 0 if there is none
	HWAddrLen     uint8
	HWAddr        [8]byte // of the sender
	// Payload (payload and data_len) is the packet from the network header on;
	// borrowed from the buffer. Empty in mode CopyMeta.
	Payload []byte
}

// put writes m as a message into b and returns its length; false if it does not
// fit.
func (m *PacketMsg) put(b []byte) (int, bool) {
	n := payloadAt + len(m.Payload)
	if n > len(b) {
		return 0, false
	}
	header(b, n, MsgPacket)
	d := b[nlHeader:payloadAt]
	clear(d)
	native.PutUint64(d, m.PacketID)
	native.PutUint64(d[8:], m.Mark)
	native.PutUint64(d[16:], uint64(m.TimestampSec))
	native.PutUint64(d[24:], uint64(m.TimestampUsec))
	native.PutUint32(d[32:], m.Hook)
	copy(d[36:36+nameLen-1], m.IndevName)
	copy(d[52:52+nameLen-1], m.OutdevName)
	binary.BigEndian.PutUint16(d[68:], m.HWProtocol)
	native.PutUint16(d[70:], m.HWType)
	d[72] = m.HWAddrLen
	copy(d[73:81], m.HWAddr[:])
	native.PutUint64(d[88:], uint64(len(m.Payload)))
	copy(b[payloadAt:], m.Payload)
	return n, true
}

// putError writes the kernel's refusal as a message; b has MinBuffer bytes.
func putError(b []byte, errno unix.Errno) int {
	header(b, errorLen, MsgError)
	clear(b[nlHeader:errorLen])
	native.PutUint32(b[nlHeader:], uint32(-int32(errno)))
	return errorLen
}

func header(b []byte, n int, typ uint16) {
	clear(b[:nlHeader])
	native.PutUint32(b, uint32(n))
	native.PutUint16(b[4:], typ)
}

// MessageType is what kind of message Read put into buf: MsgPacket or MsgError;
// 0 if buf holds none.
func MessageType(buf []byte) int {
	if len(buf) < nlHeader || native.Uint32(buf) < nlHeader {
		return 0
	}
	return int(native.Uint16(buf[4:]))
}

// GetMsgErr is the error number of a message of type MsgError, positive; 0 if
// it is none.
func GetMsgErr(buf []byte) unix.Errno {
	if MessageType(buf) != MsgError || len(buf) < nlHeader+4 {
		return 0
	}
	code := int32(native.Uint32(buf[nlHeader:]))
	if code < 0 {
		code = -code
	}
	return unix.Errno(code)
}

// GetPacket is the packet of a message of type MsgPacket. ErrImpl says that buf
// holds no such message, ErrRTrunc that it is not whole.
func GetPacket(buf []byte) (PacketMsg, error) {
	if MessageType(buf) != MsgPacket {
		return PacketMsg{}, remember(&Error{Code: ErrImpl})
	}
	n := uint64(native.Uint32(buf))
	if n < payloadAt || n > uint64(len(buf)) {
		return PacketMsg{}, remember(&Error{Code: ErrRTrunc})
	}
	d := buf[nlHeader:payloadAt]
	size := native.Uint64(d[88:])
	if size != n-payloadAt {
		return PacketMsg{}, remember(&Error{Code: ErrRTrunc})
	}
	m := PacketMsg{
		PacketID: native.Uint64(d), Mark: native.Uint64(d[8:]),
		TimestampSec: int64(native.Uint64(d[16:])), TimestampUsec: int64(native.Uint64(d[24:])),
		Hook:      native.Uint32(d[32:]),
		IndevName: name(d[36:52]), OutdevName: name(d[52:68]),
		HWProtocol: binary.BigEndian.Uint16(d[68:]), HWType: native.Uint16(d[70:]),
		HWAddrLen: min(d[72], 8), HWAddr: [8]byte(d[73:81]),
		Payload: buf[payloadAt:n:n],
	}
	return m, nil
}

func name(b []byte) string {
	b, _, _ = bytes.Cut(b, []byte{0})
	return string(b)
}
