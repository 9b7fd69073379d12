package nfqueue

import (
	"net"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/garita/garita/internal/nfnl"
	"github.com/garita/garita/packet"
)

// sender lays out verdict messages and writes many of them in one send.
// Headers stand in buf; the bytes of an edited packet are not copied there,
// they are a piece of their own.
type sender struct {
	buf    []byte // never grows: pieces point into it
	pieces []unix.Iovec
	from   int // where in buf the piece that is being laid out starts
	size   int // bytes in all
	limit  int // most bytes of one send
	msg    unix.Msghdr
}

// room is what one message takes of buf at most, with a mark, a payload's
// header and its padding.
const room = verdictLen + markLen + 4 + 4

func (s *sender) init(burst, sndbuf int) {
	s.buf = make([]byte, 0, burst*room)
	s.pieces = make([]unix.Iovec, 0, 2*burst+1)
	// The kernel refuses what exceeds the send buffer less 32
	// (netlink_sendmsg), with EMSGSIZE.
	s.limit = max(sndbuf-32, room)
}

func (s *sender) reset() {
	clear(s.pieces) // let go of the callers' bytes
	s.buf, s.pieces = s.buf[:0], s.pieces[:0]
	s.from, s.size = 0, 0
}

// fits says whether another message with a payload of n bytes can be added to
// what waits to be sent.
func (s *sender) fits(n int) bool {
	return s.size+room+n <= s.limit && cap(s.buf)-len(s.buf) >= room && cap(s.pieces)-len(s.pieces) >= 3
}

func (s *sender) grow(n int) []byte {
	at := len(s.buf)
	s.buf = s.buf[:at+n]
	s.size += n
	return s.buf[at : at+n]
}

// add lays out one message. v is final: resolve has seen it. payload is nil
// if the packet stays as it is.
func (s *sender) add(typ, queue uint16, id uint32, v packet.Verdict, payload []byte) {
	n := verdictLen
	if v.SetMark {
		n += markLen
	}
	if payload != nil {
		n += 4
	}
	b := s.grow(n)
	// In nlmsg_len even the padding counts: the next message stands behind it.
	nfnl.PutHeader(b, typ, n+nfnl.Align4(len(payload)), 0, queue)
	nfnl.Native.PutUint16(b[nfnl.HeaderLen:], 12)
	nfnl.Native.PutUint16(b[nfnl.HeaderLen+2:], attrVerdictHdr)
	nfnl.BE.PutUint32(b[nfnl.HeaderLen+4:], verdictWord(v))
	nfnl.BE.PutUint32(b[nfnl.HeaderLen+8:], id)
	at := verdictLen
	if v.SetMark {
		nfnl.Native.PutUint16(b[at:], 8)
		nfnl.Native.PutUint16(b[at+2:], attrMark)
		nfnl.BE.PutUint32(b[at+4:], v.Mark)
		at += markLen
	}
	if payload == nil {
		return
	}
	nfnl.Native.PutUint16(b[at:], uint16(4+len(payload)))
	nfnl.Native.PutUint16(b[at+2:], attrPayload)
	s.piece(s.buf[s.from:])
	s.piece(payload)
	s.size += len(payload)
	s.from = len(s.buf)
	clear(s.grow(nfnl.Align4(len(payload)) - len(payload)))
}

func (s *sender) piece(b []byte) {
	s.pieces = append(s.pieces, unix.Iovec{Base: &b[0]})
	s.pieces[len(s.pieces)-1].SetLen(len(b))
}

// flush writes everything laid out in one send and starts anew.
func (s *sender) flush(fd int) unix.Errno {
	if s.size == 0 {
		return 0
	}
	var errno unix.Errno
	for {
		if len(s.pieces) == 0 {
			_, _, errno = unix.Syscall6(unix.SYS_SENDTO, uintptr(fd),
				uintptr(unsafe.Pointer(&s.buf[0])), uintptr(len(s.buf)), 0, 0, 0)
		} else {
			if s.from < len(s.buf) {
				s.piece(s.buf[s.from:])
				s.from = len(s.buf)
			}
			s.msg.Iov = &s.pieces[0]
			s.msg.SetIovlen(len(s.pieces))
			_, _, errno = unix.Syscall(unix.SYS_SENDMSG, uintptr(fd), uintptr(unsafe.Pointer(&s.msg)), 0)
		}
		if errno != unix.EINTR {
			break
		}
	}
	s.reset()
	return errno
}

// verdictWord is what the kernel hears.
func verdictWord(v packet.Verdict) uint32 {
	switch v.Kind {
	case packet.KindAccept:
		return nfAccept
	case packet.KindRepeat:
		return nfRepeat
	case packet.KindStop:
		return nfStop
	case packet.KindQueue:
		w := uint32(v.Queue)<<16 | nfQueue
		if v.Bypass {
			w |= nfQueueBypass
		}
		return w
	}
	return nfDrop
}

// resolve settles p's verdict: the failure verdict takes the place of none and
// of one that cannot be carried out, in p too. It returns the payload to be
// written back, nil if none.
func (q *Queue) resolve(p *packet.Packet) (payload []byte, err error) {
	switch p.Verdict.Kind {
	case packet.KindDrop:
		return nil, nil
	case packet.KindAccept, packet.KindStop, packet.KindQueue:
	case packet.KindRepeat:
		if !p.Verdict.SetMark {
			err = ErrRepeatUnmarked
		}
	case packet.Undecided:
		p.Verdict = q.cfg.Failure
		q.counters.failures.Add(1)
		if p.Verdict.Kind == packet.KindDrop {
			return nil, nil
		}
	default:
		err = ErrUnknownKind
	}
	if err == nil && p.Edited() {
		switch {
		case p.Attrs&packet.Truncated != 0:
			err = ErrEditTruncated
		case len(p.Data) == 0, len(p.Data) > maxCopy, len(p.Data)+room > q.tx.limit:
			err = ErrEditSize
		default:
			return p.Data, nil
		}
	}
	if err != nil {
		err = &VerdictError{Queue: q.cfg.Queue, ID: p.ID, Kind: p.Verdict.Kind, Err: err}
		p.Verdict = q.cfg.Failure
		q.counters.failures.Add(1)
	}
	return nil, err
}

// tally counts what a burst of verdicts was made of, to be added up once.
type tally struct {
	kinds     [packet.KindHeld + 1]uint32
	rewritten uint32
}

func (c *counters) add(t *tally) {
	for k, n := range t.kinds {
		if n > 0 {
			c.kinds[k].Add(uint64(n))
		}
	}
	if t.rewritten > 0 {
		c.rewritten.Add(uint64(t.rewritten))
	}
}

// Verdict answers the packets of the last Receive: all of them, in the order
// they came, once. The field Verdict of each says what becomes of it; where it
// is Undecided, or cannot be carried out, the failure verdict is written there
// and sent. Held packets are passed over. An edited packet's bytes go back to
// the kernel with its verdict, unless it is dropped.
//
// The error is a *VerdictError if a verdict was replaced (the first of them;
// all packets were answered), an *Error if the kernel refused the send, or
// net.ErrClosed. The kernel carries verdicts out inside this call: it runs the
// rest of the network stack for each packet. That a packet is unknown by then
// is no error, see Stats.Unknown.
func (q *Queue) Verdict(pkts []packet.Packet) error {
	if len(pkts) == 0 {
		return nil
	}
	if !q.enter() {
		return net.ErrClosed
	}
	err := q.verdict(pkts)
	q.leave()
	return err
}

func (q *Queue) verdict(pkts []packet.Packet) (first error) {
	var (
		t     tally
		s     = &q.tx
		batch = q.mayBatch(pkts)
		start = 0 // first packet that is not sent yet
		run   = 0 // packets before i that one batch verdict can answer
	)
	q.unanswered -= len(pkts)
	for i := range pkts {
		p := &pkts[i]
		if p.Verdict.Kind == packet.KindHeld {
			continue // batch is false: there is no run to end
		}
		payload, err := q.resolve(p)
		if err != nil && first == nil {
			first = err
		}
		v := p.Verdict
		t.kinds[v.Kind]++
		if payload != nil {
			t.rewritten++
		}
		plain := batch && payload == nil && !v.SetMark && (v.Kind == packet.KindAccept || v.Kind == packet.KindDrop)
		if run > 0 && (!plain || v.Kind != pkts[i-1].Verdict.Kind) {
			q.addRun(&pkts[i-1], run)
			run = 0
		}
		if !s.fits(nfnl.Align4(len(payload))) {
			if run > 0 {
				q.addRun(&pkts[i-1], run) // room for it was left
				run = 0
			}
			if err := q.send(pkts[start:i]); err != nil {
				first = err
			}
			start = i
		}
		if plain {
			run++
		} else {
			s.add(msgVerdict, q.cfg.Queue, p.ID, v, payload)
		}
	}
	if run > 0 {
		q.addRun(&pkts[len(pkts)-1], run)
	}
	if err := q.send(pkts[start:]); err != nil {
		first = err
	}
	q.counters.add(&t)
	return first
}

// mayBatch says whether VERDICT_BATCH, which answers everything up to an id,
// may be used: nothing older waits, nothing is held, and the order is the
// kernel's.
func (q *Queue) mayBatch(pkts []packet.Packet) bool {
	if q.unanswered != len(pkts) || q.hold.count.Load() != 0 || q.lost {
		return false
	}
	for i := range pkts {
		if pkts[i].Verdict.Kind == packet.KindHeld || i > 0 && int32(pkts[i].ID-pkts[i-1].ID) <= 0 {
			return false
		}
	}
	return true
}

// addRun lays out the verdict of the n packets up to last.
func (q *Queue) addRun(last *packet.Packet, n int) {
	typ := uint16(msgVerdict)
	if n > 1 {
		typ = msgVerdictBatch
	}
	q.tx.add(typ, q.cfg.Queue, last.ID, last.Verdict, nil)
}

// send writes what is laid out, the verdicts of pkts. If the kernel has no
// memory for it, they are sent once more, small and one by one, with the
// failure verdict for those that would take their payload along.
func (q *Queue) send(pkts []packet.Packet) error {
	errno := q.tx.flush(q.fd)
	if errno == 0 {
		return nil
	}
	if errno == unix.ENOBUFS || errno == unix.ENOMEM || errno == unix.EMSGSIZE {
		errno = 0
		for i := range pkts {
			p := &pkts[i]
			if p.Verdict.Kind == packet.KindHeld {
				continue
			}
			if p.Edited() && p.Verdict.Kind != packet.KindDrop {
				p.Verdict = q.cfg.Failure
				q.counters.failures.Add(1)
			}
			q.tx.add(msgVerdict, q.cfg.Queue, p.ID, p.Verdict, nil)
			if e := q.tx.flush(q.fd); e != 0 {
				errno = e
			}
		}
	}
	if errno == 0 {
		return nil
	}
	q.lost = true // packets wait unanswered: a batch would answer them too
	return newError("send verdicts", q.cfg.Queue, errno)
}
