package nfqueue

import (
	"net"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/garita/garita/packet"
)

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
	_   [unsafe.Sizeof(uintptr(0)) - 4]byte
}

// receiver owns the buffers of one burst.
type receiver struct {
	msgs  []mmsghdr
	iovs  []unix.Iovec
	names []unix.RawSockaddrNetlink
	slots [][]byte
}

// clock is the time of day at the price of one reading of the monotonic clock:
// time.Now takes two. It follows a step of the time of day within a second.
type clock struct {
	base time.Time
	wall int64
}

func (c *clock) now() int64 {
	d := time.Since(c.base)
	if uint64(d) > uint64(time.Second) {
		c.base = time.Now()
		c.wall = c.base.UnixNano()
		return c.wall
	}
	return c.wall + int64(d)
}

// metaRoom is what a message needs beside the payload: all fixed attributes
// take less than 300 bytes, the rest is for conntrack and security labels.
const metaRoom = 2048

func (r *receiver) init(burst, copyRange int) {
	// Slots a multiple of 4096 apart would fight for the same few lines of the
	// first-level cache; five lines beside it spread them evenly.
	stride := (copyRange+metaRoom+4095)&^4095 + 5*64
	mem := make([]byte, burst*stride)
	r.msgs = make([]mmsghdr, burst)
	r.iovs = make([]unix.Iovec, burst)
	r.names = make([]unix.RawSockaddrNetlink, burst)
	r.slots = make([][]byte, burst)
	for i := range r.msgs {
		slot := mem[i*stride : (i+1)*stride : (i+1)*stride]
		r.slots[i] = slot
		r.iovs[i].Base = &slot[0]
		r.iovs[i].SetLen(len(slot))
		h := &r.msgs[i].hdr
		h.Iov = &r.iovs[i]
		h.SetIovlen(1)
		h.Name = (*byte)(unsafe.Pointer(&r.names[i]))
		h.Namelen = unix.SizeofSockaddrNetlink
	}
}

// Receive waits for packets and fills pkts with one burst of them: as many as
// wait, at most len(pkts) and Info.Burst, at least one. Their bytes are
// borrowed until the next Receive. Decode is left to the caller.
//
// Each of them is owed a verdict: pass pkts[:n] to Verdict before the next
// Receive.
//
// After Close, and after Drain when nothing waits, the error is net.ErrClosed.
// An *Error says that the queue is lost (ENODEV) or that the process may not
// answer any more (EPERM). With an error n is 0.
func (q *Queue) Receive(pkts []packet.Packet) (int, error) {
	if err := q.deferred; err != nil {
		q.deferred = nil
		return 0, err
	}
	if len(pkts) == 0 {
		return 0, nil
	}
	if !q.enter() {
		return 0, net.ErrClosed
	}
	for {
		got, err := q.recvmmsg(min(len(pkts), len(q.rx.msgs)))
		if err != nil {
			q.leave()
			return 0, err
		}
		n := q.parseBurst(pkts, got, q.clock.now())
		if n > 0 {
			q.unanswered += n
			q.leave()
			return n, nil
		}
		if err := q.deferred; err != nil {
			q.deferred = nil
			q.leave()
			return 0, err
		}
		if q.state.Load()&closedBit != 0 {
			q.leave()
			return 0, net.ErrClosed
		}
	}
}

// recvmmsg reads a burst of datagrams, waiting for the first.
func (q *Queue) recvmmsg(burst int) (int, error) {
	for {
		flags := uintptr(unix.MSG_WAITFORONE)
		draining := q.state.Load()&drainBit != 0
		if draining {
			flags = unix.MSG_DONTWAIT
		}
		n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(q.fd),
			uintptr(unsafe.Pointer(&q.rx.msgs[0])), uintptr(burst), flags, 0, 0)
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
		case unix.ENOBUFS:
			// Only from a reply that the kernel had no memory for.
			q.counters.overruns.Add(1)
		case unix.EAGAIN:
			if draining {
				return 0, net.ErrClosed
			}
			// Somebody who shares the socket made it non-blocking.
			fds := [1]unix.PollFd{{Fd: int32(q.fd), Events: unix.POLLIN}}
			if _, err := unix.Poll(fds[:], -1); err != nil && err != unix.EINTR {
				return 0, newError("wait for packets", q.cfg.Queue, err)
			}
		default:
			return 0, newError("receive", q.cfg.Queue, errno)
		}
	}
}

// parseBurst fills pkts from got datagrams and returns how many packets they
// hold. Replies and what is not from the kernel are counted and left out.
func (q *Queue) parseBurst(pkts []packet.Packet, got int, now int64) int {
	n, octets := 0, uint64(0)
	for i := range q.rx.msgs[:got] {
		m := &q.rx.msgs[i]
		if q.rx.names[i].Pid != 0 || m.hdr.Namelen != unix.SizeofSockaddrNetlink {
			m.hdr.Namelen = unix.SizeofSockaddrNetlink
			q.counters.foreign.Add(1)
			continue
		}
		msg := q.rx.slots[i][:m.len]
		if len(msg) < nlHeader {
			q.counters.malformed.Add(1)
			continue
		}
		if typ := native.Uint16(msg[4:]); typ != msgPacket {
			q.reply(msg, typ)
			continue
		}
		if m.hdr.Flags&unix.MSG_TRUNC == 0 {
			length := int(native.Uint32(msg))
			if length > len(msg) {
				q.counters.malformed.Add(1)
			} else {
				msg = msg[:length]
			}
		}
		p := &pkts[n]
		if !parsePacket(p, msg, now) {
			q.counters.malformed.Add(1)
			continue
		}
		if p.Attrs&packet.Truncated != 0 {
			q.counters.truncated.Add(1)
		}
		octets += uint64(p.FullLen)
		n++
	}
	if n > 0 {
		q.counters.received.Add(uint64(n))
		q.counters.bytes.Add(octets)
	}
	return n
}

// reply counts an answer to one of our verdicts.
func (q *Queue) reply(msg []byte, typ uint16) {
	errno, text, ok := parseReply(msg)
	switch {
	case !ok:
		q.counters.malformed.Add(1)
	case errno == 0: // the acknowledgement of wake
	case errno == unix.ENOENT:
		q.counters.unknown.Add(1)
	default:
		q.counters.refused.Add(1)
		if (errno == unix.EPERM || errno == unix.ENODEV) && q.state.Load()&(closedBit|drainBit) == 0 {
			e := newError("verdict", q.cfg.Queue, errno)
			e.Msg = text
			if errno == unix.EPERM {
				e.Help = "the process lost CAP_NET_ADMIN, or another program took the queue"
			}
			q.deferred = e
		}
	}
}
