// Package nfqueue is the kernel's packet queue (nfnetlink_queue): bind it,
// receive packets in bursts, answer each burst in one write.
//
//	q, err := nfqueue.Open(nfqueue.Config{Queue: 5})
//	pkts := make([]packet.Packet, q.Info().Burst)
//	for {
//		n, err := q.Receive(pkts)
//		if err != nil {
//			return err // net.ErrClosed after Close
//		}
//		for i := range pkts[:n] {
//			pkts[i].Verdict = packet.Accept()
//		}
//		if err := q.Verdict(pkts[:n]); err != nil {
//			return err
//		}
//	}
//
// One Queue is one netlink socket that owns one queue number of the network
// namespace it was opened in. Receive and Verdict belong to one goroutine;
// everything else may be called from any.
//
// The wire format is that of include/uapi/linux/netfilter/nfnetlink_queue.h;
// what the kernel does with it is in net/netfilter/nfnetlink_queue.c.
package nfqueue

import (
	"math/bits"
	"net"
	"os"
	"runtime"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/garita/garita/internal/nfnl"
	"github.com/garita/garita/packet"
)

// Defaults that the zero Config stands for.
const (
	DefaultMaxLen     = 4096     // packets
	DefaultBurst      = 32       // packets
	DefaultReadBuffer = 16 << 20 // bytes of kernel memory
	DefaultHoldBytes  = 16 << 20 // bytes
)

// maxCopy is the most payload bytes that one attribute can carry in either
// direction: nla_len is 16 bits and counts its own header.
const maxCopy = 65531

// Feature is a set of optional metadata that the kernel may or may not be able
// to give.
type Feature uint8

const (
	// Owner asks for the user and group of the local socket that sent the
	// packet.
	Owner Feature = 1 << iota
	// Conntrack asks for the connection tracking entry. Needs
	// CONFIG_NETFILTER_NETLINK_GLUE_CT.
	Conntrack
	// SecCtx asks for the security label. Needs CONFIG_NETWORK_SECMARK.
	SecCtx

	allFeatures = Owner | Conntrack | SecCtx
)

// String names the features, joined by commas.
func (f Feature) String() string {
	s := ""
	for i, name := range [...]string{"owner", "conntrack", "secctx"} {
		if f&(1<<i) != 0 {
			if s != "" {
				s += ","
			}
			s += name
		}
	}
	return s
}

// wire returns the NFQA_CFG_F_* bits of f.
func (f Feature) wire() (w uint32) {
	if f&Owner != 0 {
		w |= cfgFlagUIDGID
	}
	if f&Conntrack != 0 {
		w |= cfgFlagConntrack
	}
	if f&SecCtx != 0 {
		w |= cfgFlagSecCtx
	}
	return w
}

// CopyMode is how much of a packet the kernel hands over (NFQNL_COPY_*).
type CopyMode uint8

const (
	// CopyPacket hands over metadata and bytes.
	CopyPacket CopyMode = iota
	// CopyMeta hands over metadata alone.
	CopyMeta
	// CopyNone has the kernel drop every packet.
	CopyNone
)

func (m CopyMode) wire() byte { return byte(2 - min(m, CopyNone)) }

// Config says which queue to bind and how. The zero value binds queue 0 with
// the defaults given at each field.
type Config struct {
	Queue uint16 // queue number in this network namespace

	// MaxLen is how many packets may wait in the kernel for a verdict; what
	// comes on top is dropped, or accepted with FailOpen. 0 = DefaultMaxLen.
	// Recent kernels wait for at most 65536 whatever is asked.
	MaxLen uint32

	// CopyRange is how many bytes of each packet the kernel hands over. 0 =
	// the whole packet, up to 65531 bytes. A cut packet (packet.Truncated)
	// cannot be rewritten.
	CopyRange uint32

	// Mode is how much the kernel hands over of each packet: see CopyMode. It
	// can be changed later, see SetMode.
	Mode CopyMode

	// ReportReplies has Receive return the kernel's refusal of a verdict as an
	// *Error (ENOENT for a packet it does not know), not only count it. Of
	// several in one burst the last is told: set Burst to 1 to hear of each.
	ReportReplies bool

	// Burst is the most packets that one Receive returns. 0 = DefaultBurst.
	// Buffers of Burst × CopyRange bytes are reserved.
	Burst int

	// ReadBuffer is the kernel memory, in bytes, that messages not yet read
	// may take; a small packet is charged about 832 bytes, a full one 2315, a
	// segmentation-offloaded one its whole length. It is the first limit a
	// busy queue meets, before MaxLen. 0 = DefaultReadBuffer. Without
	// CAP_NET_ADMIN in the initial user namespace the kernel grants at most
	// twice net.core.rmem_max: see Info.ReadBuffer.
	ReadBuffer int

	// NoGSO has the kernel cut offloaded packets into segments and complete
	// their checksums before they are handed over. It costs most of the
	// throughput of bulk TCP; ask for it where lengths are rewritten.
	NoGSO bool

	// FailOpen has the kernel accept, not drop, what it cannot hand over
	// because the queue or the read buffer is full. No counter tells.
	FailOpen bool

	// Try are features that are welcome: Info says which were refused.
	Try Feature
	// Require are features without which Open fails.
	Require Feature

	// Failure is the verdict of packets left Undecided, of those whose verdict
	// cannot be carried out, and of held packets whose deadline passed. If it
	// is Undecided itself, it is a drop. Held and Queue verdicts are not
	// allowed here.
	Failure packet.Verdict

	// HoldBytes is the memory, in bytes, that held packets may take together.
	// 0 = DefaultHoldBytes.
	HoldBytes int
}

// withDefaults fills in what the zero values stand for.
func (c Config) withDefaults() Config {
	if c.MaxLen == 0 {
		c.MaxLen = DefaultMaxLen
	}
	if c.CopyRange == 0 || c.CopyRange > maxCopy {
		c.CopyRange = maxCopy
	}
	if c.Burst <= 0 {
		c.Burst = DefaultBurst
	}
	if c.Burst > 1024 { // UIO_MAXIOV, the kernel's limit for recvmmsg
		c.Burst = 1024
	}
	if c.ReadBuffer <= 0 {
		c.ReadBuffer = DefaultReadBuffer
	}
	if c.HoldBytes <= 0 {
		c.HoldBytes = DefaultHoldBytes
	}
	switch c.Failure.Kind {
	case packet.KindAccept, packet.KindDrop, packet.KindStop:
	case packet.KindRepeat:
		if !c.Failure.SetMark {
			c.Failure.Kind = packet.KindDrop
		}
	default:
		c.Failure.Kind = packet.KindDrop
	}
	if c.Failure.Reason == packet.ReasonNone {
		c.Failure.Reason = packet.ReasonFailure
	}
	return c
}

// Info is what Open was granted.
type Info struct {
	Queue      uint16
	PortID     uint32  // netlink port, the queue's owner in /proc/net/netfilter/nfnetlink_queue
	Burst      int     // most packets of one Receive
	CopyRange  uint32  // bytes of each packet
	ReadBuffer int     // bytes, as the kernel accounts them
	SendBuffer int     // bytes; a larger burst of verdicts takes several writes
	Features   Feature // granted
	Refused    Feature // tried and refused
}

// Queue is a bound queue. Make one with Open or FromFD.
type Queue struct {
	fd   int
	cfg  Config
	info Info

	state    atomic.Int64 // references in use, and the bits below
	finished atomic.Bool
	shared   atomic.Bool // somebody else holds the socket too: do not unbind
	done     chan struct{}

	rx         nfnl.Burst
	clock      nfnl.Clock
	tx         sender
	unanswered int   // packets received and not passed to Verdict; owner goroutine only
	lost       bool  // a send of verdicts failed; likewise
	deferred   error // for the next Receive; likewise

	// Of SetMode, likewise: the sequence number it waits for, what was
	// answered, and the packets that came before.
	seq, asked uint32
	answer     *Error
	early      []packet.Packet

	counters counters
	hold     holder
	proc     *os.File // nfnetlink_queue of our namespace, nil if there is no procfs
}

const (
	closedBit = 1 << 62
	drainBit  = 1 << 61
)

// Open binds queue cfg.Queue of the calling thread's network namespace. It
// needs CAP_NET_ADMIN in the user namespace that owns the network namespace,
// as does every later Verdict. Errors are of type *Error.
//
// From then on packets may be waiting: bind before traffic is diverted.
func Open(cfg Config) (*Queue, error) {
	// The socket and the counters' file must be of the same namespace, and a
	// namespace is a thread's.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	cfg = cfg.withDefaults()
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, newError("open socket", cfg.Queue, err)
	}
	q, err := bind(fd, cfg)
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return q, nil
}

func bind(fd int, cfg Config) (*Queue, error) {
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, newError("bind socket", cfg.Queue, err)
	}
	// One overrun without this option and every packet is dropped until the
	// socket has been read empty.
	if err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_NO_ENOBUFS, 1); err != nil {
		return nil, newError("set NETLINK_NO_ENOBUFS", cfg.Queue, err)
	}
	// Both only make error replies shorter and clearer; old kernels lack them.
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1)
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_EXT_ACK, 1)

	// The kernel doubles what it is asked for, to cover its own overhead.
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, cfg.ReadBuffer/2) != nil {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, cfg.ReadBuffer/2); err != nil {
			return nil, newError("set SO_RCVBUF", cfg.Queue, err)
		}
	}
	const sendBuffer = 1 << 20
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, sendBuffer/2) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, sendBuffer/2)
	}

	base := uint32(0)
	if !cfg.NoGSO {
		base |= cfgFlagGSO
	}
	if cfg.FailOpen {
		base |= cfgFlagFailOpen
	}
	features, err := configure(fd, cfg, base)
	if err != nil {
		return nil, err
	}
	q, err := attach(fd, cfg)
	if err != nil {
		return nil, err
	}
	q.info.Features = features
	q.info.Refused = (cfg.Try | cfg.Require) & allFeatures &^ features
	return q, nil
}

// configure binds the queue with as many of the wanted features as the kernel
// accepts. A refused message leaves no queue behind, so the next attempt
// starts clean: fewer features each time, never less than required.
func configure(fd int, cfg Config, base uint32) (Feature, error) {
	want := (cfg.Try | cfg.Require) & allFeatures
	for n := bits.OnesCount8(uint8(want)); ; n-- {
		var last error
		for f := want; ; f = (f - 1) & want {
			if bits.OnesCount8(uint8(f)) == n && f&cfg.Require == cfg.Require&allFeatures {
				err := sendConfig(fd, cfg, base|f.wire())
				if err == nil {
					return f, nil
				}
				if e := err.Errno; e != unix.EOPNOTSUPP && e != unix.EINVAL {
					return 0, err
				}
				last = err
			}
			if f == 0 {
				break
			}
		}
		if n == bits.OnesCount8(uint8(cfg.Require&allFeatures)) {
			return 0, last
		}
	}
}

// attach makes a Queue of a socket that owns the queue.
func attach(fd int, cfg Config) (*Queue, error) {
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return nil, newError("getsockname", cfg.Queue, err)
	}
	nl, ok := sa.(*unix.SockaddrNetlink)
	if !ok {
		return nil, newError("getsockname", cfg.Queue, unix.ENOTSOCK)
	}
	rcv, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF)
	if err != nil {
		return nil, newError("get SO_RCVBUF", cfg.Queue, err)
	}
	snd, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF)
	if err != nil {
		return nil, newError("get SO_SNDBUF", cfg.Queue, err)
	}
	q := &Queue{
		fd:   fd,
		cfg:  cfg,
		done: make(chan struct{}),
		info: Info{
			Queue: cfg.Queue, PortID: nl.Pid, Burst: cfg.Burst,
			CopyRange: cfg.CopyRange, ReadBuffer: rcv, SendBuffer: snd,
		},
	}
	q.state.Store(1)
	q.rx.Init(cfg.Burst, int(cfg.CopyRange)+metaRoom, 0)
	q.tx.init(cfg.Burst, snd)
	q.hold.init(q)
	// Kept open because the namespace of whoever asks for counters later need
	// not be ours, and because the file is root's and we may not stay it.
	q.proc, _ = os.Open(procQueues)
	return q, nil
}

// Info says what Open was granted.
func (q *Queue) Info() Info { return q.info }

// File returns a duplicate of the queue's socket, for a keeper or a successor
// that takes the queue over without loss: the binding, the configuration and
// the waiting packets follow the socket. The caller closes it. From now on
// Close leaves the queue bound; it ends with the last duplicate.
func (q *Queue) File() (*os.File, error) {
	if !q.enter() {
		return nil, net.ErrClosed
	}
	defer q.leave()
	fd, err := unix.FcntlInt(uintptr(q.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, newError("duplicate socket", q.cfg.Queue, err)
	}
	q.shared.Store(true)
	return os.NewFile(uintptr(fd), "nfqueue"), nil
}

// FromFD takes over the socket fd of a queue that another Queue (perhaps of
// another process) opened and gave away with File. fd belongs to the new Queue
// if the error is nil. The kernel's settings stay as they are: cfg must name the
// same queue, and of the rest only Burst, Failure and HoldBytes count. Close
// unbinds.
//
// Packets that the predecessor received and did not answer still wait; only
// it knew them: answer by Config.Failure what Stats says is waiting, or let them time out with their senders.
func FromFD(fd int, cfg Config) (*Queue, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	cfg = cfg.withDefaults()
	if p, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PROTOCOL); err != nil {
		return nil, newError("take over", cfg.Queue, err)
	} else if p != unix.NETLINK_NETFILTER {
		return nil, newError("take over", cfg.Queue, unix.EPROTOTYPE)
	}
	cfg.CopyRange = maxCopy // what the predecessor chose is unknown: fit for anything
	unix.CloseOnExec(fd)
	return attach(fd, cfg)
}

// enter takes a reference to the socket, so that it is not closed under a
// system call; false means the queue is closed.
func (q *Queue) enter() bool {
	if q.state.Add(1)&closedBit != 0 {
		q.leave()
		return false
	}
	return true
}

func (q *Queue) leave() {
	if q.state.Add(-1)&^drainBit == closedBit {
		q.finish()
	}
}

// finish runs once, when the queue is closed and nobody uses the socket.
func (q *Queue) finish() {
	if !q.finished.CompareAndSwap(false, true) {
		return
	}
	q.hold.releaseAll()
	if !q.shared.Load() {
		// Closing alone would unbind too, but only when a duplicate that some
		// child process inherited is gone as well.
		_, _ = unix.Write(q.fd, appendCommand(nil, q.cfg.Queue, cfgCmdUnbind, 0))
	}
	unix.Close(q.fd)
	if q.proc != nil {
		q.proc.Close()
	}
	close(q.done)
}

// Close ends the queue: a blocked Receive returns net.ErrClosed at once, held
// packets get the failure verdict, the queue is unbound (see File) and the
// kernel drops what still waits. To lose nothing, take the diversion away,
// Drain, answer what Receive returns until net.ErrClosed, and then Close.
// A second Close returns net.ErrClosed.
func (q *Queue) Close() error {
	if q.state.Or(closedBit)&closedBit != 0 {
		return net.ErrClosed
	}
	q.wake()
	q.hold.stop()
	q.leave()
	<-q.done
	return nil
}

// Drain has Receive return what waits to be read and then net.ErrClosed,
// instead of blocking. Verdict goes on working until Close.
func (q *Queue) Drain() error {
	if !q.enter() {
		return net.ErrClosed
	}
	defer q.leave()
	q.state.Or(drainBit)
	q.wake()
	return nil
}

// wake makes a blocked Receive return, by a request that does nothing and asks
// for an acknowledgement, which arrives on the same socket. If the socket is
// too full for it, Receive is not blocked. A process that lost its
// capability gets EPERM as the answer, which wakes just as well.
func (q *Queue) wake() {
	_, _ = unix.Write(q.fd, appendCommand(nil, q.cfg.Queue, cfgCmdPFBind, unix.NLM_F_ACK))
}
