// Package afpacket reads copies of an interface's frames from a packet socket
// (packet(7)). The frames themselves go on; nothing here can stop one.
//
//	r, err := afpacket.Open(afpacket.Config{Interface: "eth0"})
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
// Frames are read by recvmmsg(2), many in one system call, not from a mapped
// ring (TPACKET_V3): a super-packet of 64 KiB comes whole, there is no time-out
// of a block to wait for, a burst is handed out when it is there, and one way of
// reading serves all sources. The price is one copy a frame.
//
// Receive belongs to one goroutine; everything else may be called from any.
package afpacket

import (
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/garita/garita/internal/nfnl"
	"github.com/garita/garita/packet"
)

// Defaults that the zero Config stands for.
const (
	DefaultSnapLen    = 65536 + 64 // bytes
	DefaultReadBuffer = 32 << 20   // bytes of kernel memory
	DefaultBurst      = 32         // frames
)

// Config says which interface to read and how.
type Config struct {
	// Interface is its name in the network namespace of the calling thread.
	// "" reads all of them.
	Interface string
	// Promiscuous asks the interface for frames that are not addressed to this
	// host: what a mirror port needs.
	Promiscuous bool
	// SnapLen is the most bytes taken of a frame, its link layer included. 0 =
	// DefaultSnapLen, which is all of it but for super-packets over 64 KiB.
	SnapLen int
	// ReadBuffer is the kernel memory, in bytes, that frames not yet read may
	// take; what comes on top is lost, see Counts. 0 = DefaultReadBuffer. Without
	// CAP_NET_ADMIN in the initial user namespace the kernel grants at most twice
	// net.core.rmem_max.
	ReadBuffer int
	// Burst is the most frames of one Receive. 0 = DefaultBurst.
	Burst int
}

func (c Config) withDefaults() Config {
	if c.SnapLen <= 0 {
		c.SnapLen = DefaultSnapLen
	}
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
	Op        string
	Interface string
	Errno     unix.Errno
	Help      string // what it means, may be empty
}

func (e *Error) Error() string {
	s := fmt.Sprintf("afpacket: interface %q: %s: %v", e.Interface, e.Op, e.Errno)
	if e.Help != "" {
		s += ": " + e.Help
	}
	return s
}

func (e *Error) Unwrap() error { return e.Errno }

func newError(op, name string, err error) *Error {
	e := &Error{Op: op, Interface: name, Errno: unix.EIO}
	if !errors.As(err, &e.Errno) {
		e.Help = err.Error()
	}
	switch e.Errno {
	case unix.EPERM, unix.EACCES:
		e.Help = "this process lacks CAP_NET_RAW in the user namespace that owns this network namespace"
	case unix.EAFNOSUPPORT:
		e.Help = "this kernel has no packet sockets (CONFIG_PACKET)"
	case unix.ENODEV, unix.ENXIO:
		e.Help = "there is no such interface in this network namespace"
	}
	return e
}

// Reader is an interface being read. Make one with Open.
type Reader struct {
	fd, event int // the socket, and what wakes Receive
	cfg       Config
	link      packet.LinkType // of every frame; 0 (LinkNull) if the kernel strips it
	closed    atomic.Bool
	busy      sync.Mutex // while the sockets are in use
	rx        nfnl.Burst
	clock     nfnl.Clock

	received atomic.Uint64
	counting sync.Mutex
	lost     uint64
}

// Open reads cfg.Interface of the calling thread's network namespace. It needs
// CAP_NET_RAW in the user namespace that owns it. Errors are of type *Error.
func Open(cfg Config) (*Reader, error) {
	runtime.LockOSThread() // a namespace is a thread's
	defer runtime.UnlockOSThread()
	cfg = cfg.withDefaults()
	r := &Reader{fd: -1, event: -1, cfg: cfg}
	if err := r.open(); err != nil {
		r.shut()
		return nil, err
	}
	r.rx.Init(cfg.Burst, cfg.SnapLen, controlRoom)
	return r, nil
}

func (r *Reader) open() error {
	name := r.cfg.Interface
	// Protocol 0 receives nothing: not before it is bound to the interface.
	probe, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return newError("open socket", name, err)
	}
	r.fd = probe
	index := 0
	// With all interfaces at once, link layers differ: the kernel strips them.
	kind := unix.SOCK_DGRAM
	if name != "" {
		ifr, err := unix.NewIfreq(name)
		if err != nil {
			return newError("find interface", name, unix.ENODEV)
		}
		if err := unix.IoctlIfreq(r.fd, unix.SIOCGIFINDEX, ifr); err != nil {
			return newError("find interface", name, err)
		}
		index = int(ifr.Uint32())
		if err := unix.IoctlIfreq(r.fd, unix.SIOCGIFHWADDR, ifr); err != nil {
			return newError("ask for the link type", name, err)
		}
		switch ifr.Uint16() { // sockaddr's family: ARPHRD_*
		case unix.ARPHRD_ETHER, unix.ARPHRD_LOOPBACK:
			kind = unix.SOCK_RAW
			r.link = packet.LinkEthernet
		}
	}
	if kind == unix.SOCK_DGRAM {
		_ = unix.Close(r.fd)
		if r.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
			return newError("open socket", name, err)
		}
	}
	if unix.SetsockoptInt(r.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, r.cfg.ReadBuffer/2) != nil {
		if err := unix.SetsockoptInt(r.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, r.cfg.ReadBuffer/2); err != nil {
			return newError("set SO_RCVBUF", name, err)
		}
	}
	// VLAN tags that the hardware took off, and the state of checksums.
	if err := unix.SetsockoptInt(r.fd, unix.SOL_PACKET, unix.PACKET_AUXDATA, 1); err != nil {
		return newError("set PACKET_AUXDATA", name, err)
	}
	if err := unix.SetsockoptInt(r.fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1); err != nil {
		return newError("set SO_TIMESTAMPNS", name, err)
	}
	if r.cfg.Promiscuous && index != 0 {
		m := unix.PacketMreq{Ifindex: int32(index), Type: unix.PACKET_MR_PROMISC}
		if err := unix.SetsockoptPacketMreq(r.fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &m); err != nil {
			return newError("make it promiscuous", name, err)
		}
	}
	if r.event, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return newError("eventfd", name, err)
	}
	proto := nfnl.Native.Uint16([]byte{0, unix.ETH_P_ALL}) // in the network's order
	if err := unix.Bind(r.fd, &unix.SockaddrLinklayer{Protocol: proto, Ifindex: index}); err != nil {
		return newError("bind", name, err)
	}
	return nil
}

// Receive waits for frames and fills pkts with as many as are there, at least
// one. Their bytes are borrowed until the next Receive. Decode is left to the
// caller. Of the loopback, which shows each frame twice, it takes the incoming
// one.
//
// After Close the error is net.ErrClosed. An *Error with ENETDOWN says that the
// interface is gone; one that is only down is waited for. With an error n is 0.
func (r *Reader) Receive(pkts []packet.Packet) (int, error) {
	if len(pkts) == 0 {
		return 0, nil
	}
	r.busy.Lock()
	defer r.busy.Unlock()
	for !r.closed.Load() {
		got, errno := r.rx.Receive(r.fd, min(len(pkts), r.rx.Len()), unix.MSG_DONTWAIT|unix.MSG_TRUNC)
		switch errno {
		case 0:
			if n := r.parse(pkts, got); n > 0 {
				return n, nil
			}
		case unix.EINTR:
		case unix.EAGAIN:
			fds := [2]unix.PollFd{{Fd: int32(r.fd), Events: unix.POLLIN}, {Fd: int32(r.event), Events: unix.POLLIN}}
			if _, err := unix.Poll(fds[:], -1); err != nil && err != unix.EINTR {
				return 0, newError("wait for frames", r.cfg.Interface, err)
			}
		case unix.ENETDOWN:
			sa, err := unix.Getsockname(r.fd)
			if ll, ok := sa.(*unix.SockaddrLinklayer); r.cfg.Interface != "" && (err != nil || !ok || ll.Ifindex <= 0) {
				return 0, newError("the interface is gone", r.cfg.Interface, errno)
			}
		default:
			return 0, newError("receive", r.cfg.Interface, errno)
		}
	}
	return 0, net.ErrClosed
}

// parse fills pkts from got frames.
func (r *Reader) parse(pkts []packet.Packet, got int) int {
	n, now := 0, r.clock.Now()
	for i := range got {
		sa := r.rx.LinkLayer(i)
		if sa.Pkttype == unix.PACKET_OUTGOING && sa.Hatype == unix.ARPHRD_LOOPBACK {
			continue
		}
		p := &pkts[n]
		*p = packet.Packet{Time: now}
		frame := r.rx.Bytes(i)
		if r.link == 0 {
			p.Data = frame[:len(frame):len(frame)]
			p.FullLen = uint32(len(frame))
			var b [2]byte
			nfnl.Native.PutUint16(b[:], sa.Protocol)
			p.HWProtocol = nfnl.BE.Uint16(b[:])
		} else {
			p.DecodeLink(r.link, frame[:len(frame):len(frame)])
			p.Attrs |= packet.HasL2
		}
		if cut := r.rx.Length(i) - len(frame); cut > 0 {
			p.FullLen += uint32(cut)
			p.Attrs |= packet.Truncated
		}
		if sa.Pkttype == unix.PACKET_OUTGOING {
			p.OutDev = uint32(sa.Ifindex)
		} else {
			p.InDev = uint32(sa.Ifindex)
			p.HWAddrLen = min(sa.Halen, 8)
			copy(p.HWAddr[:], sa.Addr[:])
			p.Attrs |= packet.HasHWAddr
		}
		parseControl(p, r.rx.Control(i))
		n++
	}
	r.received.Add(uint64(n))
	return n
}

// Verdict does nothing: these are copies. It makes Reader a source of packets
// for an engine.
func (r *Reader) Verdict([]packet.Packet) error { return nil }

// Close ends the reader: a blocked Receive returns net.ErrClosed at once. A
// second Close returns net.ErrClosed.
func (r *Reader) Close() error {
	if r.closed.Swap(true) {
		return net.ErrClosed
	}
	_, _ = unix.Write(r.event, nfnl.Native.AppendUint64(nil, 1))
	r.busy.Lock()
	defer r.busy.Unlock()
	r.counting.Lock()
	defer r.counting.Unlock()
	r.count()
	r.shut()
	return nil
}

func (r *Reader) shut() {
	for _, fd := range []*int{&r.fd, &r.event} {
		if *fd >= 0 {
			_ = unix.Close(*fd)
		}
		*fd = -1
	}
}

// Counts are the frames received and those that the kernel had no room for.
func (r *Reader) Counts() (received, lost uint64) {
	r.counting.Lock()
	defer r.counting.Unlock()
	r.count()
	return r.received.Load(), r.lost
}

// count adds what the kernel counted since it was asked last.
func (r *Reader) count() {
	if r.fd < 0 {
		return
	}
	if s, err := unix.GetsockoptTpacketStats(r.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS); err == nil {
		r.lost += uint64(s.Drops)
	}
}

// Interface is the name of the interface, as it was given.
func (r *Reader) Interface() string { return r.cfg.Interface }
