package nfqueue

import (
	"container/heap"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/garita/garita/internal/nfnl"
	"github.com/garita/garita/packet"
)

// Held is a packet that waits in the kernel for a verdict that comes later.
type Held struct {
	// Packet is a copy that lives as long as Held. Whoever decides may edit
	// it, until Decide.
	Packet packet.Packet

	q        *Queue
	deadline time.Time
	seq      uint64 // holds with equal deadlines stay in order
	at       int    // index in the heap, -1 when decided
	late     packet.Verdict
	expires  bool // reaching the deadline means that nobody decided
	cost     int
}

// holder keeps the held packets, soonest deadline first, with one goroutine
// and one timer for all.
type holder struct {
	q     *Queue
	count atomic.Int64 // held packets whose verdict is not sent yet

	mu      sync.Mutex
	heap    heldHeap
	seq     uint64
	used    int // bytes
	started bool
	stopped bool
	wake    chan struct{} // the soonest deadline changed
	quit    chan struct{}
	tx      sender // for all verdicts of held packets, under mu
}

func (h *holder) init(q *Queue) {
	h.q = q
	h.wake = make(chan struct{}, 1)
	h.quit = make(chan struct{})
}

// Hold keeps p waiting in the kernel: pass it to Verdict with the rest of its
// burst (its verdict is KindHeld now) and settle it later with Held.Decide. If
// nobody did by the time until, it gets the failure verdict.
//
// Its bytes are copied. If HoldBytes would be exceeded, p gets the failure
// verdict for packet.ReasonMemory, to be sent with its burst, and the error
// is ErrHoldBudget. Hold belongs to the goroutine that received p.
func (q *Queue) Hold(p *packet.Packet, until time.Time) (*Held, error) {
	return q.hold.add(p, until, q.cfg.Failure.Because(packet.ReasonDeadline), true)
}

// Delay is Hold with a verdict for the time until, when nobody is to decide.
// An edit of p made so far counts. The packet may still be decided earlier.
func (q *Queue) Delay(p *packet.Packet, until time.Time, v packet.Verdict) (*Held, error) {
	return q.hold.add(p, until, v, false)
}

func (h *holder) add(p *packet.Packet, until time.Time, late packet.Verdict, expires bool) (*Held, error) {
	q := h.q
	cost := int(unsafe.Sizeof(Held{})) + len(p.Data) + len(p.L2) + len(p.CT) + len(p.SecCtx)
	h.mu.Lock()
	if h.stopped || h.used+cost > q.cfg.HoldBytes {
		stopped := h.stopped
		h.mu.Unlock()
		p.Verdict = q.cfg.Failure.Because(packet.ReasonMemory)
		if stopped {
			p.Verdict.Reason = q.cfg.Failure.Reason
			return nil, net.ErrClosed
		}
		q.counters.holdBudget.Add(1)
		q.counters.failures.Add(1)
		return nil, ErrHoldBudget
	}
	held := &Held{Packet: *p, q: q, deadline: until, late: late, expires: expires, cost: cost, seq: h.seq}
	c := &held.Packet
	c.Data, c.L2, c.CT, c.SecCtx = slices.Clone(p.Data), slices.Clone(p.L2), slices.Clone(p.CT), slices.Clone(p.SecCtx)
	h.seq++
	h.used += cost
	if !h.started {
		h.started = true
		h.tx.init(q.cfg.Burst, q.info.SendBuffer)
		go h.run()
	}
	// Counted before anything can send its verdict, so that no batch verdict
	// overtakes it.
	h.count.Add(1)
	heap.Push(&h.heap, held)
	first := held.at == 0
	h.mu.Unlock()
	if first {
		h.poke()
	}
	p.Verdict.Kind = packet.KindHeld
	q.counters.heldTotal.Add(1)
	return held, nil
}

func (h *holder) poke() {
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// Decide sends the verdict of a held packet, with its bytes if Packet was
// edited. It may be called from any goroutine; the first call wins, later
// ones get ErrDecided, as does a call after the deadline. After Close it
// returns net.ErrClosed. Undecided and impossible verdicts become the failure
// verdict, as with Verdict.
func (d *Held) Decide(v packet.Verdict) error {
	q, h := d.q, &d.q.hold
	if !q.enter() {
		return net.ErrClosed
	}
	defer q.leave()
	h.mu.Lock()
	defer h.mu.Unlock()
	if d.at < 0 {
		return ErrDecided
	}
	heap.Remove(&h.heap, d.at)
	return h.settle(d, v)
}

// settle sends the verdict of d, which is out of the heap. h.mu is locked.
func (h *holder) settle(d *Held, v packet.Verdict) error {
	err := h.lay(d, v)
	if e := h.flush(1); e != nil {
		err = e
	}
	return err
}

// lay lays out the verdict of d; flush must follow. h.mu is locked.
func (h *holder) lay(d *Held, v packet.Verdict) error {
	q, p := h.q, &d.Packet
	p.Verdict = v
	if v.Kind == packet.KindHeld {
		p.Verdict.Kind = packet.Undecided
	}
	payload, err := q.resolve(p)
	h.tx.add(msgVerdict, q.cfg.Queue, p.ID, p.Verdict, payload)
	q.counters.kinds[p.Verdict.Kind].Add(1)
	if payload != nil {
		q.counters.rewritten.Add(1)
	}
	h.used -= d.cost
	return err
}

// flush sends the verdicts of n held packets. h.mu is locked.
func (h *holder) flush(n int) error {
	errno := h.tx.flush(h.q.fd)
	h.count.Add(int64(-n))
	if errno != 0 {
		return newError("send verdict of held packet", h.q.cfg.Queue, errno)
	}
	return nil
}

// run releases packets at their deadlines.
func (h *holder) run() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		if next, ok := h.release(time.Now()); ok {
			timer.Reset(time.Until(next))
		}
		select {
		case <-timer.C:
		case <-h.wake:
		case <-h.quit:
			return
		}
	}
}

// release settles what is due at now and returns the next deadline.
func (h *holder) release(now time.Time) (next time.Time, ok bool) {
	if !h.q.enter() {
		return time.Time{}, false
	}
	defer h.q.leave()
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for len(h.heap) > 0 && !h.heap[0].deadline.After(now) {
		d := heap.Pop(&h.heap).(*Held)
		if d.expires {
			h.q.counters.holdDeadline.Add(1)
			h.q.counters.failures.Add(1)
		}
		h.put(d, d.late, &n)
	}
	_ = h.flush(n)
	if len(h.heap) == 0 {
		return time.Time{}, false
	}
	return h.heap[0].deadline, true
}

// put lays out the verdict of d, after sending what leaves no room for it. n
// counts the verdicts laid out.
func (h *holder) put(d *Held, v packet.Verdict, n *int) {
	if !h.tx.fits(nfnl.Align4(len(d.Packet.Data))) {
		_ = h.flush(*n)
		*n = 0
	}
	_ = h.lay(d, v)
	*n++
}

// stop ends the releasing goroutine and refuses new packets.
func (h *holder) stop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.stopped {
		h.stopped = true
		close(h.quit)
	}
}

// releaseAll gives what is left the failure verdict, in order of deadlines.
// Nobody else uses the socket any more.
func (h *holder) releaseAll() {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for len(h.heap) > 0 {
		h.put(heap.Pop(&h.heap).(*Held), packet.Verdict{}, &n)
	}
	_ = h.flush(n)
}

// heldHeap is the container/heap of held packets.
type heldHeap []*Held

func (h heldHeap) Len() int { return len(h) }

func (h heldHeap) Less(i, j int) bool {
	if !h[i].deadline.Equal(h[j].deadline) {
		return h[i].deadline.Before(h[j].deadline)
	}
	return h[i].seq < h[j].seq
}

func (h heldHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].at, h[j].at = i, j
}

func (h *heldHeap) Push(x any) {
	d := x.(*Held)
	d.at = len(*h)
	*h = append(*h, d)
}

func (h *heldHeap) Pop() any {
	old := *h
	d := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	d.at = -1
	return d
}
