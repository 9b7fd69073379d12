package nfqueue

import (
	"net"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/garita/garita/internal/nfnl"
	"github.com/garita/garita/packet"
)

// metaRoom is what a message needs beside the payload: all fixed attributes
// take less than 300 bytes, the rest is for conntrack and security labels.
const metaRoom = 2048

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
	return q.receive(pkts, time.Time{})
}

// ReceiveUntil is Receive that gives up at a time: then it returns 0 and no
// error. A time that has passed has it look without waiting. It costs one more
// system call than Receive.
func (q *Queue) ReceiveUntil(pkts []packet.Packet, deadline time.Time) (int, error) {
	if deadline.IsZero() {
		deadline = time.Unix(1, 0)
	}
	return q.receive(pkts, deadline)
}

// receive waits without an end if deadline is zero.
func (q *Queue) receive(pkts []packet.Packet, deadline time.Time) (int, error) {
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
	if len(q.early) > 0 {
		n := copy(pkts, q.early)
		q.early = slices.Delete(q.early, 0, n)
		q.unanswered += n
		q.leave()
		return n, nil
	}
	for {
		got, err := q.recvmmsg(min(len(pkts), q.rx.Len()), deadline)
		if err != nil || got == 0 {
			q.leave()
			return 0, err
		}
		n := q.parseBurst(pkts, got, q.clock.Now())
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

// recvmmsg reads a burst of datagrams, waiting for the first until deadline. It
// returns none after it.
func (q *Queue) recvmmsg(burst int, deadline time.Time) (int, error) {
	flags := unix.MSG_WAITFORONE
	if !deadline.IsZero() {
		flags = unix.MSG_DONTWAIT
	}
	for {
		draining := q.state.Load()&drainBit != 0
		if draining {
			flags = unix.MSG_DONTWAIT
		}
		n, errno := q.rx.Receive(q.fd, burst, flags)
		switch errno {
		case 0:
			return n, nil
		case unix.EINTR:
		case unix.ENOBUFS:
			// Only from a reply that the kernel had no memory for.
			q.counters.overruns.Add(1)
		case unix.EAGAIN:
			if draining {
				return 0, net.ErrClosed
			}
			// A deadline, or somebody who shares the socket made it
			// non-blocking.
			wait := -1
			if !deadline.IsZero() {
				left := time.Until(deadline)
				if left <= 0 {
					return 0, nil
				}
				wait = int(min((left+time.Millisecond-1)/time.Millisecond, 1<<30))
			}
			fds := [1]unix.PollFd{{Fd: int32(q.fd), Events: unix.POLLIN}}
			if _, err := unix.Poll(fds[:], wait); err != nil && err != unix.EINTR {
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
	for i := range got {
		if !q.rx.FromKernel(i) {
			q.counters.foreign.Add(1)
			continue
		}
		msg := q.rx.Bytes(i)
		if len(msg) < nfnl.NLHeader {
			q.counters.malformed.Add(1)
			continue
		}
		if typ := nfnl.Native.Uint16(msg[4:]); typ != msgPacket {
			q.reply(msg)
			continue
		}
		if !q.rx.Truncated(i) {
			length := int(nfnl.Native.Uint32(msg))
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
func (q *Queue) reply(msg []byte) {
	errno, text, ok := nfnl.ParseReply(msg)
	if seq := q.asked; ok && seq != 0 && nfnl.Native.Uint32(msg[8:]) == seq {
		q.asked, q.answer = 0, nil
		if errno != 0 {
			q.answer = newError("set mode", q.cfg.Queue, errno)
			q.answer.Msg = text
		}
		return
	}
	switch {
	case !ok:
		q.counters.malformed.Add(1)
		return
	case errno == 0: // the acknowledgement of wake
		return
	case errno == unix.ENOENT:
		q.counters.unknown.Add(1)
	default:
		q.counters.refused.Add(1)
	}
	lost := (errno == unix.EPERM || errno == unix.ENODEV) && q.state.Load()&(closedBit|drainBit) == 0
	if !lost && !q.cfg.ReportReplies {
		return
	}
	e := newError("verdict", q.cfg.Queue, errno)
	e.Msg, e.Reply = text, true
	if errno == unix.EPERM {
		e.Help = "the process lost CAP_NET_ADMIN, or another program took the queue"
	}
	q.deferred = e
}

// SetMode changes how much of each packet the kernel hands over from now on;
// a range of 0 is the whole packet, up to 65531 bytes. It waits for the
// kernel's answer; packets that come before it are kept for the next Receive.
//
// It belongs to the goroutine that receives, and the packets of its last
// Receive are no longer good afterwards. The error is an *Error or
// net.ErrClosed.
func (q *Queue) SetMode(mode CopyMode, copyRange uint32) error {
	if !q.enter() {
		return net.ErrClosed
	}
	defer q.leave()
	if copyRange == 0 || copyRange > q.info.CopyRange {
		copyRange = q.info.CopyRange // the room there is
	}
	q.seq++
	b := make([]byte, nfnl.HeaderLen)
	b = nfnl.AppendAttr(b, cfgAttrParams, append(nfnl.BE.AppendUint32(nil, copyRange), mode.wire())...)
	nfnl.PutHeader(b, msgConfig, len(b), unix.NLM_F_ACK, q.cfg.Queue)
	nfnl.Native.PutUint32(b[8:], q.seq)
	if _, err := unix.Write(q.fd, b); err != nil {
		return newError("set mode", q.cfg.Queue, err)
	}
	q.asked = q.seq
	pkts := make([]packet.Packet, q.rx.Len())
	for q.asked != 0 {
		got, err := q.recvmmsg(len(pkts), time.Time{})
		if err != nil {
			return err
		}
		n := q.parseBurst(pkts, got, q.clock.Now())
		for i := range pkts[:n] {
			p := pkts[i]
			p.Data, p.L2, p.CT, p.SecCtx = slices.Clone(p.Data), slices.Clone(p.L2), slices.Clone(p.CT), slices.Clone(p.SecCtx)
			q.early = append(q.early, p)
		}
	}
	if q.answer != nil {
		return q.answer
	}
	return nil
}
