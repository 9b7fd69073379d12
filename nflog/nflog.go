// Package nflog reads the kernel's packet log (nfnetlink_log): copies of the
// packets that rules with the target NFLOG (iptables) or the statement log
// group (nftables) choose. The packets themselves go on; nothing here can stop
// one.
//
//	r, err := nflog.Open(nflog.Config{Group: 5})
//	pkts := make([]packet.Packet, 64)
//	for {
//		n, err := r.Receive(pkts)
//		if err != nil {
//			return err // net.ErrClosed after Close
//		}
//		for i := range pkts[:n] {
//			pkts[i].Decode()
//		}
//	}
//
// One Reader is one netlink socket that owns one group number of the network
// namespace it was opened in. Receive belongs to one goroutine; everything else
// may be called from any.
//
// The wire format is that of include/uapi/linux/netfilter/nfnetlink_log.h; what
// the kernel does with it is in net/netfilter/nfnetlink_log.c. libnetfilter_log's
// functions are here so:
//
//	nflog_open, bind_group, set_mode,     Open, with one request for all
//	  set_timeout, set_qthresh,
//	  set_nlbufsiz, set_flags
//	nflog_handle_packet, callback          Receive
//	nflog_get_msg_packet_hdr, hwtype,      packet.Packet
//	  packet_hw, msg_packet_hwhdr,
//	  nfmark, timestamp, indev, outdev,
//	  payload, uid, gid
//	nflog_get_prefix                       Reader.Prefix
//	nflog_get_seq                          Stats.Lost, which is what it is for
//	nflog_unbind_group, nflog_close        Close
//	nflog_bind_pf                          none: targets with a group need none
package nflog

import (
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/garita/garita/internal/nfnl"
	"github.com/garita/garita/packet"
)

// Defaults that the zero Config stands for.
const (
	DefaultThreshold  = 32                     // packets
	DefaultTimeout    = 100 * time.Millisecond // until a smaller batch comes
	DefaultReadBuffer = 16 << 20               // bytes of kernel memory
	DefaultBufSize    = 64 << 10               // bytes
	DefaultBurst      = 8                      // datagrams
)

const (
	maxCopy  = 65531 // what one attribute can carry: nla_len is 16 bits and counts its own header
	maxBuf   = 128 << 10
	metaRoom = 2048 // of a message, beside the payload
)

// Config says which group to read and how. The zero value reads group 0 with
// the defaults given at each field.
type Config struct {
	Group uint16 // number in this network namespace

	// CopyRange is how many bytes of each packet are copied. 0 = the whole
	// packet, up to 65531 bytes. A rule may ask for less (--nflog-size,
	// snaplen).
	CopyRange uint32

	// Threshold is how many packets the kernel gathers before it hands them
	// over in one datagram, unless Timeout passes first (in steps of 10 ms) or
	// BufSize bytes are full. 0 = the defaults; a Threshold of 1 hands each
	// packet over at once.
	Threshold uint32
	Timeout   time.Duration
	BufSize   uint32 // at most 128 KiB

	// ReadBuffer is the kernel memory, in bytes, that datagrams not yet read
	// may take. What comes on top is lost, see Stats.Lost. 0 =
	// DefaultReadBuffer. Without CAP_NET_ADMIN in the initial user namespace the
	// kernel grants at most twice net.core.rmem_max.
	ReadBuffer int

	// Burst is the most datagrams read at once. 0 = DefaultBurst.
	Burst int
}

func (c Config) withDefaults() Config {
	if c.CopyRange == 0 || c.CopyRange > maxCopy {
		c.CopyRange = maxCopy
	}
	if c.Threshold == 0 {
		c.Threshold = DefaultThreshold
	}
	if c.Timeout <= 0 {
		c.Timeout = DefaultTimeout
	}
	if c.BufSize == 0 {
		c.BufSize = DefaultBufSize
	}
	c.BufSize = min(c.BufSize, maxBuf)
	if c.ReadBuffer <= 0 {
		c.ReadBuffer = DefaultReadBuffer
	}
	if c.Burst <= 0 {
		c.Burst = DefaultBurst
	}
	c.Burst = min(c.Burst, 1024)
	return c
}

// Error is a refusal by the kernel. Unwrap gives the error number.
type Error struct {
	Op    string
	Group uint16
	Errno unix.Errno
	Msg   string // the kernel's own words, often empty
	Help  string // what it means, may be empty
}

func (e *Error) Error() string {
	s := fmt.Sprintf("nflog: group %d: %s: %v", e.Group, e.Op, e.Errno)
	if e.Msg != "" {
		s += " (" + e.Msg + ")"
	}
	if e.Help != "" {
		s += ": " + e.Help
	}
	return s
}

func (e *Error) Unwrap() error { return e.Errno }

func newError(op string, group uint16, err error) *Error {
	e := &Error{Op: op, Group: group, Errno: unix.EIO}
	if !errors.As(err, &e.Errno) {
		e.Msg = err.Error()
	}
	switch e.Errno {
	case unix.EPERM:
		e.Help = "either this process lacks CAP_NET_ADMIN in the user namespace that owns this network namespace, or another program reads the group"
	case unix.EINVAL, unix.EOPNOTSUPP, unix.EPROTONOSUPPORT:
		e.Help = "this kernel has no nfnetlink_log (CONFIG_NETFILTER_NETLINK_LOG)"
	}
	return e
}

// Reader is a group being read. Make one with Open.
type Reader struct {
	fd     int
	cfg    Config
	closed atomic.Bool
	busy   sync.Mutex // while the socket is in use
	rx     nfnl.Burst
	clock  nfnl.Clock
	now    int64
	got    int // datagrams of the burst that is being handed out
	at     int // the next of them, and
	off    int // how far it is read
	seq    uint32
	synced bool // seq is the next number
	prefix [][]byte

	received, bytes, lost         atomic.Uint64
	truncated, malformed, foreign atomic.Uint64
}

// Open reads group cfg.Group of the calling thread's network namespace. It
// needs CAP_NET_ADMIN in the user namespace that owns it. Errors are of type
// *Error.
func Open(cfg Config) (*Reader, error) {
	runtime.LockOSThread() // a namespace is a thread's
	defer runtime.UnlockOSThread()
	cfg = cfg.withDefaults()
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, newError("open socket", cfg.Group, err)
	}
	if err := setup(fd, cfg); err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	r := &Reader{fd: fd, cfg: cfg}
	r.rx.Init(cfg.Burst, max(int(cfg.BufSize), maxCopy+metaRoom), 0)
	return r, nil
}

func setup(fd int, cfg Config) error {
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return newError("bind socket", cfg.Group, err)
	}
	// One overrun without this option and everything is lost until the socket
	// has been read empty.
	if err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_NO_ENOBUFS, 1); err != nil {
		return newError("set NETLINK_NO_ENOBUFS", cfg.Group, err)
	}
	// Both only make error replies shorter and clearer; old kernels lack them.
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1)
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_EXT_ACK, 1)
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, cfg.ReadBuffer/2) != nil {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, cfg.ReadBuffer/2); err != nil {
			return newError("set SO_RCVBUF", cfg.Group, err)
		}
	}
	if text, err := nfnl.Request(fd, appendBind(nil, cfg)); err != nil {
		e := newError("bind group", cfg.Group, err)
		if text != "" {
			e.Msg = text
		}
		return e
	}
	return nil
}

// Receive waits for copies and fills pkts with as many as are there, at least
// one. Their bytes are borrowed until the next Receive. Decode is left to the
// caller; Offload says CsumNotReady, for the log tells nothing of checksums
// that the kernel left to hardware.
//
// After Close the error is net.ErrClosed. With an error n is 0.
func (r *Reader) Receive(pkts []packet.Packet) (int, error) {
	if len(pkts) == 0 {
		return 0, nil
	}
	r.busy.Lock()
	defer r.busy.Unlock()
	for !r.closed.Load() {
		if n := r.parse(pkts); n > 0 {
			return n, nil
		}
		got, errno := r.rx.Receive(r.fd, r.rx.Len(), unix.MSG_WAITFORONE)
		switch errno {
		case 0:
			r.got, r.at, r.off = got, 0, 0
			r.now = r.clock.Now()
		case unix.EINTR, unix.ENOBUFS:
		default:
			return 0, newError("receive", r.cfg.Group, errno)
		}
	}
	return 0, net.ErrClosed
}

// parse fills pkts from the datagrams at hand.
func (r *Reader) parse(pkts []packet.Packet) int {
	r.prefix = r.prefix[:0]
	n, octets := 0, uint64(0)
	for n < len(pkts) && r.at < r.got {
		if r.off == 0 && !r.rx.FromKernel(r.at) {
			r.foreign.Add(1)
			r.at++
			continue
		}
		msg, ok := r.next(r.rx.Bytes(r.at))
		if !ok {
			r.at, r.off = r.at+1, 0
			continue
		}
		if nfnl.Native.Uint16(msg[4:]) != msgPacket {
			continue // the answer to wake, the end of a batch
		}
		var x extra
		p := &pkts[n]
		if !parsePacket(p, msg, r.now, &x) {
			r.malformed.Add(1)
			continue
		}
		if x.hasSeq {
			r.sequence(x.seq)
		}
		if p.Attrs&packet.Truncated != 0 {
			r.truncated.Add(1)
		}
		r.prefix = append(r.prefix, x.prefix)
		octets += uint64(p.FullLen)
		n++
	}
	if n > 0 {
		r.received.Add(uint64(n))
		r.bytes.Add(octets)
	}
	return n
}

// next cuts the next message off a datagram.
func (r *Reader) next(b []byte) (msg []byte, ok bool) {
	b = b[min(r.off, len(b)):]
	if len(b) == 0 {
		return nil, false
	}
	if len(b) < nfnl.NLHeader {
		r.malformed.Add(1)
		return nil, false
	}
	n := nfnl.Native.Uint32(b)
	if n < nfnl.NLHeader || uint64(n) > uint64(len(b)) {
		r.malformed.Add(1)
		return nil, false
	}
	r.off += nfnl.Align4(int(n))
	return b[:n:n], true
}

// sequence counts what is missing before the packet with number seq.
func (r *Reader) sequence(seq uint32) {
	if d := seq - r.seq; r.synced && d > 0 && d < 1<<31 {
		r.lost.Add(uint64(d))
	}
	r.seq, r.synced = seq+1, true
}

// Prefix is the text that the rule gave packet i of the last Receive
// (--nflog-prefix), without its final zero; borrowed like the packet.
func (r *Reader) Prefix(i int) []byte { return r.prefix[i] }

// Verdict does nothing: these are copies. It makes Reader a source of packets
// for an engine.
func (r *Reader) Verdict([]packet.Packet) error { return nil }

// Close ends the reader: a blocked Receive returns net.ErrClosed at once. A
// second Close returns net.ErrClosed.
func (r *Reader) Close() error {
	if r.closed.Swap(true) {
		return net.ErrClosed
	}
	// A request that changes nothing; its answer, whatever it is, wakes
	// Receive. If the socket is too full for it, Receive is not blocked.
	b := make([]byte, nfnl.HeaderLen)
	nfnl.PutHeader(b, msgConfig, len(b), unix.NLM_F_ACK, r.cfg.Group)
	_, _ = unix.Write(r.fd, b)
	r.busy.Lock()
	defer r.busy.Unlock()
	return unix.Close(r.fd)
}

// Stats are counters since Open.
type Stats struct {
	Received  uint64 // packets
	Bytes     uint64 // of those packets, from the network header on, uncut where known
	Lost      uint64 // packets that the kernel numbered and could not hand over
	Truncated uint64 // packets that were cut
	Malformed uint64 // messages that could not be read
	Foreign   uint64 // datagrams that did not come from the kernel
}

// Stats returns the counters. It may be called from any goroutine and after
// Close.
func (r *Reader) Stats() Stats {
	return Stats{
		Received: r.received.Load(), Bytes: r.bytes.Load(), Lost: r.lost.Load(),
		Truncated: r.truncated.Load(), Malformed: r.malformed.Load(), Foreign: r.foreign.Load(),
	}
}

// Counts are the packets received and those lost on the way to us.
func (r *Reader) Counts() (received, lost uint64) { return r.received.Load(), r.lost.Load() }

// Group is the group being read.
func (r *Reader) Group() uint16 { return r.cfg.Group }
