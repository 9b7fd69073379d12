package garita

import (
	"errors"

	"github.com/garita/garita/detect"
	"github.com/garita/garita/packet"
)

// WatchConfig says how NewWatch judges copies.
type WatchConfig struct {
	// OnAlert is told every alert, if not nil. Both are borrowed. It is called
	// on the goroutine of the source that the packet came from, so with several
	// sources from several at the same time.
	OnAlert func(*packet.Packet, *detect.Alert)
}

// counted is a source that knows what it lost (nflog.Reader, afpacket.Reader).
type counted interface {
	Counts() (received, lost uint64)
}

// NewWatch makes an engine that judges copies of packets, one worker a source:
// detection without interception. Rules that drop or reject only alert,
// verdicts of a Handler go nowhere, and nothing is diverted; of cfg, what
// concerns queues is not used.
//
// Flows are followed within a source: both directions of a connection should
// come by the same one. The sources belong to the engine, which closes them;
// after an error they are the caller's still. Interfaces are named by the
// network namespace of the calling thread.
func NewWatch(cfg Config, wc WatchConfig, srcs ...Source) (*Engine, error) {
	if len(srcs) == 0 {
		return nil, errors.New("watch: no source of packets")
	}
	e, err := newEngine(cfg, false)
	if err != nil {
		return nil, err
	}
	e.onAlert = wc.OnAlert
	e.sources = srcs
	e.follow()
	for i, s := range srcs {
		w := newWorker(e, s, false, false, watchBurst)
		w.queue = uint16(i) // keeps the ids of flows apart
		e.workers = append(e.workers, w)
	}
	return e, nil
}

// watchBurst is how many copies are judged at once.
const watchBurst = 64

// Lost is how many packets the kernel could not hand over: those that came
// while a queue, or the read buffer of a source, was full.
func (e *Engine) Lost() uint64 {
	v := e.Counters()
	return v["capture.kernel_drops"]
}
