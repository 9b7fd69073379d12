// Package ipq is libipq on the kernel queue of today: a program written for
// ip_queue, which Linux 3.5 removed, is ported by changing its calls one for
// one. For new programs there is package nfqueue.
//
//	ipq_create_handle(flags, protocol)           CreateHandle(flags, protocol)
//	ipq_destroy_handle(h)                        h.Destroy()
//	ipq_read(h, buf, len, timeout)               h.Read(buf, timeout)
//	ipq_set_mode(h, mode, range)                 h.SetMode(mode, range)
//	ipq_get_packet(buf)                          GetPacket(buf)
//	ipq_message_type(buf)                        MessageType(buf)
//	ipq_get_msgerr(buf)                          GetMsgErr(buf)
//	ipq_set_verdict(h, id, verdict, len, data)   h.SetVerdict(id, verdict, data)
//	ipq_ctl(h, request, ...)                     h.Ctl(request)
//	ipq_errstr()                                 Errstr(), or the error that the call returned
//	ipq_perror(s)                                Perror(w, s)
//	struct ipq_handle                            Handle
//	struct ipq_packet_msg                        PacketMsg
//	IPQ_COPY_META, IPQ_COPY_PACKET               CopyMeta, CopyPacket
//	IPQM_PACKET, NLMSG_ERROR                     MsgPacket, MsgError
//	NF_ACCEPT, NF_DROP …                         Accept, Drop …
//	PF_INET, PF_INET6                            IPv4, IPv6
//
// # What is as it was
//
// Packets come from the iptables target QUEUE, which today means queue 0.
// Before SetMode every packet is dropped. A message in the buffer of Read has
// the layout that struct ipq_packet_msg has on 64-bit machines, behind a netlink
// header. Packets that nobody answered when the handle is destroyed are dropped.
//
// # What is different
//
//   - Each call returns its error. Errstr and Perror tell of the last error of
//     the whole process, as in C; it is the one global variable here.
//   - A queue has one owner, whatever the protocol: IPv4 and IPv6 come to the
//     same one, and those that are not of the handle's protocol are dropped, as
//     they were when nobody read the other protocol's queue (see Foreign). For
//     both protocols at once give each its queue number: CreateHandleOn, with
//     rules -j NFQUEUE --queue-num.
//   - A second program gets its refusal (EPERM) from CreateHandle, not (EBUSY)
//     from SetMode.
//   - SetMode waits for the kernel's answer.
//   - Repeat is refused (ErrSupp): without a new mark the packet would come back
//     for ever. Package nfqueue can set one.
//   - The queue's length is not the sysctl net.ipv4.ip_queue_maxlen but
//     nfqueue.DefaultMaxLen.
//   - The time stamp is the time of reading where the kernel gave none, which is
//     often.
//
// A handle's calls belong to one goroutine, as they did to one thread; Destroy
// may be called from any.
package ipq

import (
	"errors"
	"net"
	"time"

	"golang.org/x/sys/unix"

	"github.com/garita/garita/internal/links"
	"github.com/garita/garita/nfqueue"
	"github.com/garita/garita/packet"
)

// Protocols of CreateHandle (NFPROTO_*, the same numbers as PF_INET and
// PF_INET6).
const (
	IPv4 = unix.AF_INET
	IPv6 = unix.AF_INET6
)

// Modes of SetMode (IPQ_COPY_*).
const (
	CopyNone   uint8 = iota // every packet is dropped
	CopyMeta                // metadata only
	CopyPacket              // and bytes
)

// Verdicts of SetVerdict (NF_*). Queue takes the number of another queue in its
// upper 16 bits.
const (
	Drop   uint32 = 0
	Accept uint32 = 1
	Queue  uint32 = 3
	Repeat uint32 = 4
	Stop   uint32 = 5
)

// Handle is an open queue. Make one with CreateHandle.
type Handle struct {
	q       *nfqueue.Queue
	links   *links.Cache
	family  uint16 // ethertype
	pkts    [1]packet.Packet
	foreign uint64
	last    *Error
}

// CreateHandle opens queue 0 for one protocol, IPv4 or IPv6. flags are not
// used, as ever. It needs CAP_NET_ADMIN in the user namespace that owns the
// network namespace of the calling thread. The error is an *Error.
func CreateHandle(flags uint32, protocol int) (*Handle, error) {
	return CreateHandleOn(0, protocol)
}

// CreateHandleOn is CreateHandle on another queue than 0.
func CreateHandleOn(queue uint16, protocol int) (*Handle, error) {
	h := &Handle{}
	switch protocol {
	case IPv4:
		h.family = packet.EtherIPv4
	case IPv6:
		h.family = packet.EtherIPv6
	default:
		return nil, remember(&Error{Code: ErrProtocol})
	}
	var err error
	// One message at a time, as ipq_read reads them; nothing is handed over
	// before SetMode.
	h.q, err = nfqueue.Open(nfqueue.Config{Queue: queue, Mode: nfqueue.CopyNone, Burst: 1, NoGSO: true, ReportReplies: true})
	if err != nil {
		code := ErrBind
		if errors.Is(err, unix.EPROTONOSUPPORT) || errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) {
			code = ErrSocket
		}
		return nil, remember(&Error{Code: code, Err: err})
	}
	if h.links, err = links.Open(); err != nil {
		_ = h.q.Close()
		return nil, remember(&Error{Code: ErrHandle, Err: err})
	}
	return h, nil
}

// Destroy closes the handle. Packets that wait for a verdict are dropped.
func (h *Handle) Destroy() error {
	err := h.q.Close()
	_ = h.links.Close()
	if err != nil {
		return h.fail(ErrHandle, err)
	}
	return nil
}

// SetMode says what of each packet is handed over from now on: CopyNone (it is
// dropped), CopyMeta, or CopyPacket with up to rng bytes; 0 is all of it. It
// waits for the kernel's answer.
func (h *Handle) SetMode(mode uint8, rng uint32) error {
	var m nfqueue.CopyMode
	switch mode {
	case CopyNone:
		m = nfqueue.CopyNone
	case CopyMeta:
		m = nfqueue.CopyMeta
	case CopyPacket:
		m = nfqueue.CopyPacket
	default:
		return h.fail(ErrSupp, unix.EINVAL)
	}
	if err := h.q.SetMode(m, rng); err != nil {
		return h.fail(ErrSend, err)
	}
	return nil
}

// MinBuffer is the smallest buffer that Read takes; Headers is what stands
// before a packet's bytes.
const (
	MinBuffer = errorLen
	Headers   = payloadAt
)

// Read waits for a message and puts it into buf: timeout is in microseconds, 0
// waits without an end, a negative one does not wait. It returns the message's
// length in bytes, and 0 if nothing came in time. Look at MessageType next.
//
// buf must have room for Headers and the range that SetMode was given (at most
// 65531 bytes). A packet that does not fit is dropped and the error is ErrRTrunc.
// The error is an *Error; after Destroy it wraps net.ErrClosed.
func (h *Handle) Read(buf []byte, timeout int64) (int, error) {
	if len(buf) < MinBuffer {
		return 0, h.fail(ErrRecvBuf, nil)
	}
	var deadline time.Time
	if timeout > 0 {
		deadline = time.Now().Add(time.Duration(min(timeout, 1<<53/1000)) * time.Microsecond)
	}
	for {
		var n int
		var err error
		if timeout == 0 {
			n, err = h.q.Receive(h.pkts[:])
		} else {
			n, err = h.q.ReceiveUntil(h.pkts[:], deadline)
		}
		var refused *nfqueue.Error
		switch {
		case errors.As(err, &refused) && refused.Reply:
			return putError(buf, refused.Errno), nil
		case errors.Is(err, net.ErrClosed):
			return 0, h.fail(ErrEOF, err)
		case err != nil:
			return 0, h.fail(ErrRecv, err)
		case n == 0:
			return 0, nil
		}
		p := &h.pkts[0]
		if p.HWProtocol != h.family {
			h.foreign++
			if err := h.answer(packet.Packet{ID: p.ID, Verdict: packet.Drop("other-protocol")}); err != nil {
				return 0, err
			}
			continue
		}
		m := h.message(p)
		if n, ok := m.put(buf); ok {
			return n, nil
		}
		if err := h.answer(packet.Packet{ID: p.ID, Verdict: packet.Drop("truncated")}); err != nil {
			return 0, err
		}
		return 0, h.fail(ErrRTrunc, nil)
	}
}

// message is what libipq told of a packet.
func (h *Handle) message(p *packet.Packet) PacketMsg {
	m := PacketMsg{
		PacketID: uint64(p.ID), Mark: uint64(p.Mark),
		TimestampSec: p.Time / 1e9, TimestampUsec: p.Time % 1e9 / 1e3,
		Hook: uint32(p.Hook), HWProtocol: p.HWProtocol,
		HWAddrLen: p.HWAddrLen, HWAddr: p.HWAddr, Payload: p.Data,
	}
	if p.InDev != 0 {
		in, _ := h.links.Link(p.InDev)
		m.IndevName, m.HWType = in.Name, in.Type
	}
	if p.OutDev != 0 {
		m.OutdevName = h.links.Name(p.OutDev)
	}
	return m
}

// SetVerdict answers a packet: Accept, Drop, Stop, or Queue. With data that is
// not empty the packet is replaced by it (from the network header on, with
// checksums of its own).
//
// That the kernel does not know the packet (ENOENT) is told by the next Read, as
// a message of type MsgError.
func (h *Handle) SetVerdict(id uint64, verdict uint32, data []byte) error {
	p := packet.Packet{ID: uint32(id)}
	if uint64(p.ID) != id {
		return h.fail(ErrSend, unix.ENOENT)
	}
	switch {
	case verdict == Accept:
		p.Verdict = packet.Accept()
	case verdict == Drop:
		p.Verdict = packet.Drop("ipq")
	case verdict == Stop:
		p.Verdict = packet.Stop()
	case verdict&0xffff == Queue:
		p.Verdict = packet.ToQueue(uint16(verdict>>16), false)
	default:
		return h.fail(ErrSupp, unix.EINVAL)
	}
	if len(data) > 0 {
		p.SetData(data)
	}
	return h.answer(p)
}

func (h *Handle) answer(p packet.Packet) error {
	h.pkts[0] = p
	if err := h.q.Verdict(h.pkts[:]); err != nil {
		return h.fail(ErrSend, err)
	}
	return nil
}

// Ctl does nothing and returns 1, as it always did.
func (h *Handle) Ctl(request int) int { return 1 }

// Foreign is how many packets of the other protocol were dropped.
func (h *Handle) Foreign() uint64 { return h.foreign }

// Err is the last error of this handle, nil if there was none.
func (h *Handle) Err() error {
	if h.last == nil {
		return nil
	}
	return h.last
}

func (h *Handle) fail(code Code, err error) error {
	h.last = &Error{Code: code, Err: err}
	return remember(h.last)
}
