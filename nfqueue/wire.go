package nfqueue

import "github.com/garita/garita/internal/nfnl"

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

// Sizes.
const (
	verdictLen = nfnl.HeaderLen + 12 // with the verdict attribute
	markLen    = 8
)

// appendCommand appends a CONFIG message with only a command.
func appendCommand(b []byte, queue uint16, cmd uint8, flags uint16) []byte {
	at := len(b)
	b = append(b, make([]byte, nfnl.HeaderLen)...)
	b = nfnl.AppendAttr(b, cfgAttrCmd, cmd, 0, 0, 0)
	nfnl.PutHeader(b[at:], msgConfig, len(b)-at, flags, queue)
	return b
}

// appendBind appends the one CONFIG message that binds and configures. A bare
// bind would drop every packet until its parameters come.
func appendBind(b []byte, cfg Config, flags uint32) []byte {
	at := len(b)
	b = append(b, make([]byte, nfnl.HeaderLen)...)
	b = nfnl.AppendAttr(b, cfgAttrCmd, cfgCmdBind, 0, 0, 0)
	b = nfnl.AppendAttr(b, cfgAttrParams, append(nfnl.BE.AppendUint32(nil, cfg.CopyRange), cfg.Mode.wire())...)
	b = nfnl.AppendAttr(b, cfgAttrMaxLen, nfnl.BE.AppendUint32(nil, cfg.MaxLen)...)
	const all = cfgFlagFailOpen | cfgFlagConntrack | cfgFlagGSO | cfgFlagUIDGID | cfgFlagSecCtx
	mask := flags & all
	b = nfnl.AppendAttr(b, cfgAttrMask, nfnl.BE.AppendUint32(nil, mask)...)
	b = nfnl.AppendAttr(b, cfgAttrFlags, nfnl.BE.AppendUint32(nil, flags)...)
	nfnl.PutHeader(b[at:], msgConfig, len(b)-at, 0, cfg.Queue)
	return b
}

// sendConfig binds and configures the queue.
func sendConfig(fd int, cfg Config, flags uint32) *Error {
	text, err := nfnl.Request(fd, appendBind(nil, cfg, flags))
	if err == nil {
		return nil
	}
	e := newError("bind queue", cfg.Queue, err)
	if text != "" {
		e.Msg = text
	}
	e.explain(fd)
	return e
}
