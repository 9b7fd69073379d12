package nfqueue

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// Message types, NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_*.
const (
	msgPacket       = 0x0300
	msgVerdict      = 0x0301
	msgConfig       = 0x0302
	msgVerdictBatch = 0x0303
)

// Attributes of packets and verdicts, NFQA_*.
const (
	attrPacketHdr   = 1
	attrVerdictHdr  = 2
	attrMark        = 3
	attrTimestamp   = 4
	attrInDev       = 5
	attrOutDev      = 6
	attrPhysInDev   = 7
	attrPhysOutDev  = 8
	attrHWAddr      = 9
	attrPayload     = 10
	attrCT          = 11
	attrCTInfo      = 12
	attrCapLen      = 13
	attrSkbInfo     = 14
	attrUID         = 16
	attrGID         = 17
	attrSecCtx      = 18
	attrVLAN        = 19
	attrL2          = 20
	attrPriority    = 21
	attrCgroupClass = 22

	attrVLANProto = 1
	attrVLANTCI   = 2
)

// Configuration, NFQA_CFG_*.
const (
	cfgAttrCmd    = 1
	cfgAttrParams = 2
	cfgAttrMaxLen = 3
	cfgAttrMask   = 4
	cfgAttrFlags  = 5

	cfgCmdBind   = 1
	cfgCmdUnbind = 2
	cfgCmdPFBind = 3 // does nothing since Linux 3.8

	cfgFlagFailOpen  = 0x01
	cfgFlagConntrack = 0x02
	cfgFlagGSO       = 0x04
	cfgFlagUIDGID    = 0x08
	cfgFlagSecCtx    = 0x10

	copyPacket = 2
)

// Verdicts, NF_*. The kernel selects by the low 8 bits but compares the whole
// word when it goes on, so these are sent bare.
const (
	nfDrop   = 0
	nfAccept = 1
	nfQueue  = 3
	nfRepeat = 4
	nfStop   = 5

	nfQueueBypass = 0x8000
)

// Sizes. A header is nlmsghdr and nfgenmsg.
const (
	nlHeader   = 16
	headerLen  = nlHeader + 4
	verdictLen = headerLen + 12 // with the verdict attribute
	markLen    = 8
)

var (
	native = binary.NativeEndian
	be     = binary.BigEndian
)

// align4 rounds up to the alignment of messages and attributes.
func align4(n int) int { return (n + 3) &^ 3 }

// putHeader writes nlmsghdr and nfgenmsg at the start of b, for a message of
// length bytes. Family and sequence number are not looked at.
func putHeader(b []byte, typ uint16, length int, flags uint16, queue uint16) {
	_ = b[headerLen-1]
	native.PutUint32(b, uint32(length))
	native.PutUint16(b[4:], typ)
	native.PutUint16(b[6:], unix.NLM_F_REQUEST|flags)
	native.PutUint32(b[8:], 0)
	native.PutUint32(b[12:], 0)
	b[16], b[17] = 0, 0
	be.PutUint16(b[18:], queue)
}

// appendAttr appends an attribute with its padding.
func appendAttr(b []byte, typ uint16, v ...byte) []byte {
	b = native.AppendUint16(b, uint16(4+len(v)))
	b = native.AppendUint16(b, typ)
	b = append(b, v...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

// appendCommand appends a CONFIG message with only a command.
func appendCommand(b []byte, queue uint16, cmd uint8, flags uint16) []byte {
	at := len(b)
	b = append(b, make([]byte, headerLen)...)
	b = appendAttr(b, cfgAttrCmd, cmd, 0, 0, 0)
	putHeader(b[at:], msgConfig, len(b)-at, flags, queue)
	return b
}

// appendBind appends the one CONFIG message that binds and configures. A bare
// bind would drop every packet until its parameters come.
func appendBind(b []byte, cfg Config, flags uint32) []byte {
	at := len(b)
	b = append(b, make([]byte, headerLen)...)
	b = appendAttr(b, cfgAttrCmd, cfgCmdBind, 0, 0, 0)
	b = appendAttr(b, cfgAttrParams, append(be.AppendUint32(nil, cfg.CopyRange), copyPacket)...)
	b = appendAttr(b, cfgAttrMaxLen, be.AppendUint32(nil, cfg.MaxLen)...)
	const all = cfgFlagFailOpen | cfgFlagConntrack | cfgFlagGSO | cfgFlagUIDGID | cfgFlagSecCtx
	mask := flags & all
	b = appendAttr(b, cfgAttrMask, be.AppendUint32(nil, mask)...)
	b = appendAttr(b, cfgAttrFlags, be.AppendUint32(nil, flags)...)
	putHeader(b[at:], msgConfig, len(b)-at, 0, cfg.Queue)
	return b
}

// sendConfig binds and configures the queue. No acknowledgement is asked for:
// the kernel works inside the send and queues an error reply before it
// returns, so an empty socket, or a packet in front, means success, and no
// packet has to be read out of turn.
func sendConfig(fd int, cfg Config, flags uint32) *Error {
	const op = "bind queue"
	if _, err := unix.Write(fd, appendBind(nil, cfg, flags)); err != nil {
		return newError(op, cfg.Queue, err)
	}
	var buf [1024]byte
	for {
		n, from, err := unix.Recvfrom(fd, buf[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		if err == unix.EINTR {
			continue
		}
		if err == unix.EAGAIN {
			return nil
		}
		if err != nil {
			return newError(op, cfg.Queue, err)
		}
		if sa, ok := from.(*unix.SockaddrNetlink); ok && sa.Pid == 0 {
			errno, text, isReply := parseReply(buf[:n])
			if !isReply {
				return nil
			}
			_, _, _ = unix.Recvfrom(fd, buf[:], unix.MSG_DONTWAIT)
			if errno == 0 {
				continue
			}
			e := newError(op, cfg.Queue, errno)
			e.Msg = text
			e.explain(fd)
			return e
		}
		_, _, _ = unix.Recvfrom(fd, buf[:], unix.MSG_DONTWAIT) // not the kernel's: out of the way
	}
}
