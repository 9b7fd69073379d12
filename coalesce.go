package garita

import (
	"golang.org/x/sys/unix"

	"github.com/garita/garita/packet"
)

// A flood of small datagrams comes faster than one wake-up a packet is worth:
// the worker is done with a packet before the next is there, and most of its
// time goes into sleeping and waking. So after a small burst of datagrams it
// waits a moment for more, as network cards do with their interrupts. A lone
// packet (a question that waits for its answer) is never made to wait, nor is
// TCP, whose senders wait for what they sent.

const (
	coalesceWait = 20_000 // nanoseconds
	coalesceFull = 12     // packets of a burst that is worth its wake-up
	coalesceSize = 256    // bytes; larger packets are worth one anyhow
)

// sharpTimer lets the calling thread sleep for microseconds; by default the
// kernel rounds sleeps up by 50 of them.
func sharpTimer() { _ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0) }

// worthWaiting says whether more packets are about to come that should share
// a wake-up, by the burst that just came.
func worthWaiting(ps []packet.Packet) bool {
	if len(ps) < 2 || len(ps) >= coalesceFull {
		return false
	}
	for i := range ps {
		b := ps[i].Data
		if len(b) < 20 || len(b) > coalesceSize {
			return false
		}
		proto := b[9]
		if b[0]>>4 == 6 {
			proto = b[6]
		}
		if proto == packet.ProtoTCP {
			return false
		}
	}
	return true
}

// coalesce waits a moment if that pays.
func coalesce(ps []packet.Packet) {
	if worthWaiting(ps) {
		t := unix.Timespec{Nsec: coalesceWait}
		_ = unix.Nanosleep(&t, nil) // a signal only ends it early
	}
}
