package nfqueue

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"sync/atomic"

	"github.com/garita/garita/packet"
)

type counters struct {
	received, bytes                     atomic.Uint64
	kinds                               [packet.KindHeld + 1]atomic.Uint64
	rewritten, failures                 atomic.Uint64
	unknown, refused                    atomic.Uint64
	truncated, foreign                  atomic.Uint64
	malformed, overruns                 atomic.Uint64
	holdDeadline, holdBudget, heldTotal atomic.Uint64
}

// Stats are counters since Open. Packets of a burst are counted when it is
// received, verdicts when they were sent.
type Stats struct {
	Received uint64 // packets
	Bytes    uint64 // of those packets, from the network header on, uncut

	Accepted, Dropped, Repeated, Requeued, Stopped uint64 // verdicts sent, by kind
	Rewritten                                      uint64 // of those, with a new payload
	Failures                                       uint64 // of those, the failure verdict in place of none or of one that cannot be

	Held         uint64 // packets being held now
	HeldTotal    uint64 // packets ever held
	HoldDeadline uint64 // held packets that nobody decided in time
	HoldBudget   uint64 // packets not held because HoldBytes were used up

	Unknown   uint64 // verdicts for packets the kernel no longer knew (ENOENT); one for a whole batch
	Refused   uint64 // verdicts the kernel refused otherwise
	Truncated uint64 // packets that were cut
	Foreign   uint64 // datagrams that did not come from the kernel
	Malformed uint64 // messages without a packet id, or of an impossible length
	Overruns  uint64 // replies the kernel could not queue

	// Kernel is what the kernel says of this queue. Zero if KernelKnown is
	// false: there is no procfs, or the queue is gone.
	Kernel      KernelStats
	KernelKnown bool
}

// KernelStats is the queue's line in /proc/net/netfilter/nfnetlink_queue.
type KernelStats struct {
	PortID       uint32 // netlink port of the owner
	Waiting      uint32 // packets waiting for a verdict
	CopyRange    uint32 // bytes
	QueueDropped uint32 // because MaxLen packets waited; not counted with FailOpen
	UserDropped  uint32 // because the read buffer was full; not counted with FailOpen
	LastID       uint32 // of the newest packet
}

// Stats returns the counters. It may be called from any goroutine and after
// Close.
func (q *Queue) Stats() Stats {
	c := &q.counters
	s := Stats{
		Received:     c.received.Load(),
		Bytes:        c.bytes.Load(),
		Accepted:     c.kinds[packet.KindAccept].Load(),
		Dropped:      c.kinds[packet.KindDrop].Load(),
		Repeated:     c.kinds[packet.KindRepeat].Load(),
		Requeued:     c.kinds[packet.KindQueue].Load(),
		Stopped:      c.kinds[packet.KindStop].Load(),
		Rewritten:    c.rewritten.Load(),
		Failures:     c.failures.Load(),
		Held:         uint64(q.hold.count.Load()),
		HeldTotal:    c.heldTotal.Load(),
		HoldDeadline: c.holdDeadline.Load(),
		HoldBudget:   c.holdBudget.Load(),
		Unknown:      c.unknown.Load(),
		Refused:      c.refused.Load(),
		Truncated:    c.truncated.Load(),
		Foreign:      c.foreign.Load(),
		Malformed:    c.malformed.Load(),
		Overruns:     c.overruns.Load(),
	}
	if q.proc != nil && q.enter() {
		s.Kernel, s.KernelKnown = readKernelStats(q.proc, q.cfg.Queue)
		q.leave()
	}
	return s
}

// KernelQueues is what the kernel says of all queues in the network namespace
// of the calling thread, by number. Only root may read it.
func KernelQueues() (map[uint16]KernelStats, error) {
	f, err := os.Open(procQueues)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	all := map[uint16]KernelStats{}
	eachKernelStats(f, func(num uint16, k KernelStats) bool {
		all[num] = k
		return true
	})
	return all, nil
}

const procQueues = "/proc/thread-self/net/netfilter/nfnetlink_queue"

// readKernelStats finds the line of a queue.
func readKernelStats(f *os.File, queue uint16) (found KernelStats, ok bool) {
	eachKernelStats(f, func(num uint16, k KernelStats) bool {
		if ok = num == queue; ok {
			found = k
		}
		return !ok
	})
	return found, ok
}

// eachKernelStats reads lines until yield returns false. Reading at an offset
// leaves the file's position alone, so that several may read at once.
func eachKernelStats(f *os.File, yield func(uint16, KernelStats) bool) {
	lines := bufio.NewScanner(io.NewSectionReader(f, 0, 1<<24))
	for lines.Scan() {
		var (
			k    KernelStats
			num  uint16
			mode uint8
		)
		n, err := fmt.Sscan(lines.Text(), &num, &k.PortID, &k.Waiting, &mode, &k.CopyRange,
			&k.QueueDropped, &k.UserDropped, &k.LastID)
		if err == nil && n == 8 && !yield(num, k) {
			return
		}
	}
}
