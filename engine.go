package garita

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/garita/garita/detect"
	"github.com/garita/garita/divert"
	"github.com/garita/garita/eve"
	"github.com/garita/garita/internal/links"
	"github.com/garita/garita/nfqueue"
	"github.com/garita/garita/packet"
)

// Engine intercepts packets in one network namespace. Make it with New, run it
// once.
type Engine struct {
	cfg      Config
	rules    atomic.Pointer[detect.Ruleset]
	loaded   atomic.Pointer[Loaded]
	loadedAt atomic.Int64 // nanoseconds since 1970
	queues   []*nfqueue.Queue
	diver    *divert.Diversion

	workers   []*worker
	wantStats atomic.Uint64
	idSeed    uint64
	onAlert   func(*packet.Packet, *detect.Alert)
	decided   atomic.Uint32 // the mark of flows that were let go; 0 if the kernel cannot tell them
	links     *links.Cache
	sources   []Source // of NewWatch
	reloading sync.Mutex
	asked     struct {
		sync.Mutex
		rules           *detect.Ruleset
		ja3, ja4, hassh bool
	}
	began  time.Time
	inline bool // drops count
}

// New loads the rules, binds the queues and diverts the traffic, in this order:
// once it returns, packets are waiting for Run. It works in the network
// namespace of the calling thread and needs CAP_NET_ADMIN there (CAP_NET_RAW
// for rejects). After an error nothing is left behind.
//
// Rules with problems are left out, see Loaded; it is for the caller to decide
// whether to go on without them.
func New(cfg Config) (*Engine, error) {
	e, err := newEngine(cfg, true)
	if err != nil {
		return nil, err
	}
	if err := e.open(); err != nil {
		e.closeQueues()
		return nil, err
	}
	return e, nil
}

// follow has the engine know the interfaces of the calling thread's network
// namespace by name: records carry names, packets carry numbers.
func (e *Engine) follow() {
	var err error
	if e.links, err = links.Open(); err != nil {
		e.notify(Notice{Severity: Warning, Text: "records will not name interfaces", Err: err})
	}
}

// ifname is the name of an interface as of now, "" if it is not known. It may
// be called from any goroutine and costs no system call.
func (e *Engine) ifname(i uint32) string { return e.links.Name(i) }

// newEngine is the part of New that touches no kernel.
func newEngine(cfg Config, inline bool) (*Engine, error) {
	cfg.Detect.Inline = inline || cfg.Stream.Inline
	if cfg.StatsEvery == 0 {
		cfg.StatsEvery = 8 * time.Second
	}
	if cfg.Flow.Seed == [2]uint64{} {
		cfg.Flow.Seed = [2]uint64{rand.Uint64(), rand.Uint64()}
	}
	l, err := LoadRules(cfg.Rules, cfg.Detect)
	if err != nil {
		return nil, err
	}
	e := &Engine{cfg: cfg, inline: inline, idSeed: cfg.Flow.Seed[0], began: time.Now()}
	e.loadedAt.Store(e.began.UnixNano())
	e.loaded.Store(l)
	e.rules.Store(l.Set)
	return e, nil
}

func (e *Engine) open() error {
	spec := e.cfg.Divert
	if spec.Queues == 0 {
		spec.Queues = uint16(runtime.NumCPU())
	}
	spec.Fail = divert.FailOpen
	if e.cfg.Fail.Crash == Closed {
		spec.Fail = divert.FailClosed
	}
	if err := spec.Validate(); err != nil && !e.cfg.NoDivert {
		return err
	}
	e.follow()
	maxLen := e.cfg.MaxLen
	if maxLen == 0 && e.cfg.Fail.Overload == Open {
		// The receive buffer shall be the first limit: what it makes the kernel
		// let pass leaves a gap in the numbers, see lostLately.
		maxLen = 65536
	}
	for i := range spec.Queues {
		q, err := nfqueue.Open(nfqueue.Config{
			Queue:    spec.Queue + i,
			MaxLen:   maxLen,
			NoGSO:    e.cfg.NoGSO,
			FailOpen: e.cfg.Fail.Overload == Open,
			Failure:  e.cfg.Fail.Internal.verdict(packet.ReasonFailure),
		})
		if err != nil {
			return err
		}
		e.queues = append(e.queues, q)
		w := newWorker(e, q, true, true, q.Info().Burst)
		w.queue = q.Info().Queue
		// A replier of its own: workers share nothing that changes.
		if w.reply, err = newReplier(spec.Marks.Own()); err != nil {
			e.notify(Notice{Severity: Warning, Text: "no raw socket: reject only drops", Err: err})
		}
		e.workers = append(e.workers, w)
	}
	if e.cfg.NoDivert {
		return nil
	}
	spec.SpareDecided = e.wantsBypass()
	spec.Generation = uint8(e.idSeed)
	d, err := divert.Install(spec)
	if err != nil {
		return err
	}
	e.diver = d
	e.decided.Store(d.Decided())
	for _, s := range d.Degraded() {
		e.notify(Notice{Severity: Warning, Text: s})
	}
	return nil
}

// Loaded is what was made of the rules at New or the last Reload.
func (e *Engine) Loaded() *Loaded { return e.loaded.Load() }

// Diversion is the traffic being diverted; nil with NoDivert.
func (e *Engine) Diversion() *divert.Diversion { return e.diver }

// Queues are the bound queues: for their counters. They belong to the engine.
func (e *Engine) Queues() []*nfqueue.Queue { return e.queues }

// Run judges packets until ctx ends, then takes the diversion away, answers
// what waits, and leaves nothing behind. An error is what made it end early.
func (e *Engine) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var workers, helpers sync.WaitGroup
	for _, w := range e.workers {
		workers.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			if err := w.run(); err != nil && !errors.Is(err, net.ErrClosed) {
				cancel(fmt.Errorf("queue %d: %w", w.queue, err))
			}
		})
	}
	if e.diver != nil {
		helpers.Go(func() { e.guard(ctx) })
	}
	if e.cfg.Log != nil {
		helpers.Go(func() { e.writeStats(ctx) })
	}
	<-ctx.Done()
	err := context.Cause(ctx)
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		err = nil
	}
	err = errors.Join(err, e.shutdown(&workers))
	helpers.Wait()
	return err
}

// shutdown un-diverts before it unbinds: no new packets come, those that wait
// are answered, and only then do table and queues go.
func (e *Engine) shutdown(workers *sync.WaitGroup) error {
	var errs []error
	if e.diver != nil {
		errs = append(errs, e.diver.Stop())
	}
	for _, q := range e.queues {
		if err := q.Drain(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	for _, s := range e.sources {
		if err := s.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	workers.Wait()
	for _, w := range e.workers {
		w.flush()
		w.publish()
		w.reply.close()
	}
	if e.diver != nil {
		errs = append(errs, e.diver.Remove())
	}
	e.closeQueues()
	rs := e.rules.Load()
	errs = append(errs, saveDatasets(rs, rs.DataDir()))
	if e.cfg.Log != nil && len(e.workers) > 0 {
		e.workers[0].log.Stats(time.Now().UnixNano(), e.Counters(), e.ruleStats())
		e.workers[0].log.Flush()
	}
	return errors.Join(errs...)
}

func (e *Engine) closeQueues() {
	for _, q := range e.queues {
		_ = q.Close()
	}
	_ = e.links.Close() // its names stay for the last records
}

// Close gives up an engine that was never run: diversion and queues go.
func (e *Engine) Close() error {
	var wg sync.WaitGroup
	return e.shutdown(&wg)
}

// guard puts the table back when somebody else removes or changes it.
func (e *Engine) guard(ctx context.Context) {
	for {
		err := e.diver.Watch(ctx)
		var changed *divert.ChangedError
		if !errors.As(err, &changed) {
			if ctx.Err() == nil && !errors.Is(err, divert.ErrStopped) {
				e.notify(Notice{Severity: Failure, Text: "the diversion is no longer watched", Err: err})
			}
			return
		}
		e.notify(Notice{Severity: Warning, Text: "somebody else changed garita's table; it is put back", Err: err})
		if err := e.diver.Reinstall(); err != nil {
			e.notify(Notice{Severity: Failure, Text: "NOT PROTECTED: the table could not be put back", Err: err})
			return
		}
	}
}

// Reload is Reconfigure with the configuration that the engine has: it reads the
// rules, the policy, the threshold file and the datasets again.
func (e *Engine) Reload() error {
	e.reloading.Lock()
	defer e.reloading.Unlock()
	return e.reload(e.cfg.Rules, e.cfg.Detect)
}

// Reconfigure reads the rules anew by the Rules and the Detect of another
// configuration and switches to them between two bursts; packets go on being
// judged meanwhile, and flows keep what is known of them. All else of cfg takes
// effect at a start only and is not looked at; so do the windows over bodies and
// what is stored. If
// a rule is malformed, or a file cannot be read, nothing changes and the error (a
// *RuleError for rules and policies) says what is wrong. Datasets that rules
// change are saved first, and keep their values.
//
// The work is done on a thread of the lowest priority: where the processors
// are busy judging packets, a reload takes longer rather than they wait. For
// that, GOMAXPROCS should be greater than the number of queues; otherwise
// workers wait for Go's scheduler (99 of 100 packets within 60 ms instead of
// 10, measured with 36,296 rules on two processors).
func (e *Engine) Reconfigure(cfg Config) error {
	e.reloading.Lock()
	defer e.reloading.Unlock()
	return e.reload(cfg.Rules, cfg.Detect)
}

func (e *Engine) reload(src Rules, cfg detect.Config) error {
	was := &e.cfg.Detect
	cfg.Inline, cfg.StoresFiles, cfg.StoresCerts = was.Inline, was.StoresFiles, was.StoresCerts
	cfg.RequestBodyMinInspect, cfg.RequestBodyWindow = was.RequestBodyMinInspect, was.RequestBodyWindow
	cfg.ResponseBodyMinInspect, cfg.ResponseBodyWindow = was.ResponseBodyMinInspect, was.ResponseBodyWindow
	var l *Loaded
	var err error
	atLowPriority(func() {
		old := e.rules.Load()
		if err = saveDatasets(old, old.DataDir()); err == nil {
			l, err = LoadRules(src, cfg)
		}
	})
	if err != nil {
		return err
	}
	if l.Malformed() {
		return &RuleError{Problems: l.Problems}
	}
	e.cfg.Rules, e.cfg.Detect = src, cfg // read under the lock only
	l.Set.Inherit(e.rules.Load())
	e.loadedAt.Store(time.Now().UnixNano())
	e.loaded.Store(l)
	e.rules.Store(l.Set)
	if e.decided.Load() != 0 {
		// What was let go by the rules before is judged by those of now.
		if err := e.diver.Undecide(); err != nil {
			return err
		}
		e.decided.Store(e.diver.Decided())
	}
	return nil
}

// Hold keeps p waiting in the kernel until it is decided from any goroutine or
// the time until has come; then it gets the failure verdict. Call it in a
// Handler and return p.Verdict.
func (e *Engine) Hold(p *packet.Packet, until time.Time) (*nfqueue.Held, error) {
	for _, q := range e.queues {
		if q.Info().Queue == p.Queue {
			return q.Hold(p, until)
		}
	}
	return nil, fmt.Errorf("hold: packet %d is not from a queue of this engine", p.ID)
}

// Delay is Hold with the verdict for the time until.
func (e *Engine) Delay(p *packet.Packet, until time.Time, v packet.Verdict) (*nfqueue.Held, error) {
	for _, q := range e.queues {
		if q.Info().Queue == p.Queue {
			return q.Delay(p, until, v)
		}
	}
	return nil, fmt.Errorf("delay: packet %d is not from a queue of this engine", p.ID)
}

// Stats sums the counters of all workers, as of their last burst before the
// call or at most a moment earlier.
func (e *Engine) Stats() Stats {
	e.wantStats.Add(1)
	var s Stats
	for _, w := range e.workers {
		w.st.mu.Lock()
		s.add(&w.st.out)
		w.st.mu.Unlock()
	}
	return s
}

// fingerprints says which fingerprints the rules ask for, so that records show
// them. Workers ask at every switch of rules: the texts are searched once.
func (e *Engine) fingerprints(rs *detect.Ruleset) (ja3, ja4, hassh bool) {
	e.asked.Lock()
	defer e.asked.Unlock()
	if a := &e.asked; a.rules != rs {
		a.rules, a.ja3, a.ja4, a.hassh = rs, false, false, false
		for _, i := range rs.Rules() {
			a.ja3 = a.ja3 || strings.Contains(i.Text, "ja3")
			a.ja4 = a.ja4 || strings.Contains(i.Text, "ja4")
			a.hassh = a.hassh || strings.Contains(i.Text, "hassh")
		}
	}
	return e.asked.ja3, e.asked.ja4, e.asked.hassh
}

func (e *Engine) notify(n Notice) {
	if e.cfg.Notify != nil {
		e.cfg.Notify(n)
	}
}

// verdictError sorts out what Verdict said: what concerns one packet is told
// and counted, what concerns the queue ends the worker.
func (w *worker) verdictError(err error) error {
	var ve *nfqueue.VerdictError
	if errors.As(err, &ve) {
		w.e.notify(Notice{Severity: Warning, Queue: w.queue, Text: "a verdict could not be carried out; the packet got the failure verdict", Err: err})
		return nil
	}
	return err
}

// ruleStats is what stats records say of the rules.
func (e *Engine) ruleStats() eve.RuleStats {
	l := e.loaded.Load()
	failed := 0
	for _, p := range l.Problems {
		if !p.Warning && !p.More {
			failed++
		}
	}
	return eve.RuleStats{
		LastReload: e.loadedAt.Load(), Loaded: l.Kept, Failed: failed, Skipped: l.Set.Stats().Skipped,
	}
}

func (e *Engine) writeStats(ctx context.Context) {
	t := time.NewTicker(e.cfg.StatsEvery)
	defer t.Stop()
	log := newStatsLogger(e)
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-t.C:
			log.Stats(now.UnixNano(), e.Counters(), e.ruleStats())
			log.Flush()
		}
	}
}
