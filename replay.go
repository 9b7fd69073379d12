package garita

import (
	"cmp"
	"errors"
	"io"
	"time"

	"github.com/garita/garita/detect"
	"github.com/garita/garita/packet"
)

// ReplayConfig says how Replay judges a capture.
type ReplayConfig struct {
	// Inline judges as if the packets were intercepted: drops count, streams
	// are inspected with the packet that carries them. Without it packets are
	// only looked at, as a passive sensor would (Suricata's --simulate-ips
	// is this option).
	Inline bool
	// OnAlert is told every alert, if not nil. Both are borrowed.
	OnAlert func(*packet.Packet, *detect.Alert)
}

// Replay judges captures with the same engine that Run drives.
type Replay struct {
	e       *Engine
	cfg     ReplayConfig
	dataDir string
}

// NewReplay loads the rules once, for any number of captures. Of cfg, what
// concerns the kernel is not used.
func NewReplay(cfg Config, rc ReplayConfig) (*Replay, error) {
	e, err := newEngine(cfg, rc.Inline)
	if err != nil {
		return nil, err
	}
	e.onAlert = rc.OnAlert
	return &Replay{e: e, cfg: rc}, nil
}

// Loaded is what was made of the rules.
func (r *Replay) Loaded() *Loaded { return r.e.loaded.Load() }

// SetLog has the records of the captures to come go to another log, and what is
// kept to another store.
func (r *Replay) SetLog(cfg Config) {
	r.e.cfg.Log, r.e.cfg.Eve, r.e.cfg.Store = cfg.Log, cfg.Eve, cfg.Store
}

// SetDataDir has the datasets of the captures to come saved in dir instead of
// in Detect.DataDir.
func (r *Replay) SetDataDir(dir string) { r.dataDir = dir }

// replayBurst is how many packets of a capture are read at once.
const replayBurst = 64

// Run judges the packets of src to its end, from a fresh state, and returns
// the counters. The error is what was wrong with the capture; what was judged
// before it counts.
func (r *Replay) Run(src Source) (Stats, error) {
	r.e.rules.Load().ResetDatasets()
	w := newWorker(r.e, src, r.cfg.Inline, false, replayBurst)
	err := w.run()
	w.flush()
	w.publish()
	if e := saveDatasets(w.rules, cmp.Or(r.dataDir, w.rules.DataDir())); e != nil {
		return w.st.out, e
	}
	if w.log != nil {
		w.log.Stats(max(w.now, time.Unix(0, 0).UnixNano()), r.e.counters(&w.st.out), r.e.ruleStats())
		w.log.Flush()
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return w.st.out, err
}
