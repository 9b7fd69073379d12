package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/garita/garita"
	"github.com/garita/garita/divert"
	"github.com/garita/garita/packet"
)

type runOptions struct {
	common
	hooks, protos, ports string
	in, out              []string
	queue, queues        uint16
	fail                 string
	noDivert, loopback   bool
	backend              string
	trial                time.Duration // 0: until stopped
	metrics              string
}

func runCommand() *cobra.Command {
	var o runOptions
	c := &cobra.Command{
		Use:   "run",
		Short: "Intercept on this host until stopped",
		Long: `run takes packets from the kernel, judges them by the rules and answers. It binds
its queues before it diverts traffic into them, and takes the diversion away
before it lets go of the queues.

Loopback, IPv6 neighbour discovery, DHCP and the ports of this host's ssh server
are never diverted, so a rule cannot cut off the one who types.

Signals: HUP reads the configuration, the rules and the policy again, beside the
work and at low priority, and switches between two bursts (a file that does not
parse leaves the old rules working; sections that only a start heeds are named);
it opens the log anew, too. TERM and INT end it and
leave nothing behind. After kill -9, traffic flows uninspected (--fail open) or
stops until garita is back or "garita clean" (--fail closed).

It needs root, or CAP_NET_ADMIN and CAP_NET_RAW.`,
		Args: noWords,
		RunE: func(c *cobra.Command, _ []string) error {
			return o.run(c.Context(), c.ErrOrStderr())
		},
	}
	o.bind(c)
	return c
}

// bind gives c the options.
func (o *runOptions) bind(c *cobra.Command) {
	f := c.Flags()
	o.flags(f)
	f.StringArrayVarP(&o.rules, "rules", "S", nil, "judge by this rule `file` (repeatable; patterns such as *.rules are fine)")
	f.StringVarP(&o.logDir, "log-dir", "l", "", "write eve.json in this `directory`")
	f.StringVar(&o.hooks, "hook", "", "where to intercept: input, output, forward, prerouting, postrouting (default input,output,forward)")
	f.StringVar(&o.protos, "proto", "", "only these `protocols` (tcp,udp,icmp or numbers)")
	f.StringVar(&o.ports, "port", "", "only these `ports` (80,443,8000-8100), on either side")
	f.StringArrayVar(&o.in, "in", nil, "only what comes in by this `interface` (eth+ means all that begin so; repeatable)")
	f.StringArrayVar(&o.out, "out", nil, "only what goes out by this `interface` (repeatable)")
	f.Uint16Var(&o.queue, "queue", 0, "first queue `number`")
	f.Uint16Var(&o.queues, "queues", 0, "how many queues, one worker each (default: one a core)")
	f.StringVar(&o.fail, "fail", "", "what happens to traffic when garita cannot judge it: open or closed (default open)")
	f.BoolVar(&o.noDivert, "no-divert", false, "only answer the queues: you fill them by rules of your own, with both directions of connections")
	f.StringVar(&o.backend, "backend", "", "how to divert: auto, native (nftables queue), compat (nftables with NFQUEUE), legacy (ip_tables)")
	f.StringVar(&o.metrics, "metrics", "", "answer Prometheus on this `address`, such as 127.0.0.1:9742 (path /metrics)")
	f.BoolVar(&o.loopback, "loopback", false, "intercept the loopback interface too")
}

// join puts together file and options.
func (o *runOptions) join(errw io.Writer) (*garita.FileConfig, error) {
	c, err := o.load(errw)
	if err != nil {
		return nil, err
	}
	d := &c.Divert
	if o.hooks != "" {
		if d.Hooks, err = divert.ParseHooks(o.hooks); err != nil {
			return nil, fmt.Errorf("--hook: %w", err)
		}
	}
	if o.protos != "" {
		if d.Protocols, err = divert.ParseProtocols(o.protos); err != nil {
			return nil, fmt.Errorf("--proto: %w", err)
		}
	}
	if o.ports != "" {
		if d.Ports, err = divert.ParsePorts(o.ports); err != nil {
			return nil, fmt.Errorf("--port: %w", err)
		}
	}
	if len(o.in) > 0 {
		d.In = o.in
	}
	if len(o.out) > 0 {
		d.Out = o.out
	}
	if o.queue != 0 {
		d.Queue = o.queue
	}
	if o.queues != 0 {
		d.Queues = o.queues
	}
	if o.backend != "" {
		if d.Backend, err = divert.ParseBackend(o.backend); err != nil {
			return nil, fmt.Errorf("--backend: %w", err)
		}
	}
	if o.loopback {
		d.Lifelines.DivertLoopback = true
	}
	d.Lifelines.SSHConnection = os.Getenv("SSH_CONNECTION")
	if o.fail != "" {
		m, err := garita.ParseFailMode(o.fail)
		if err != nil {
			return nil, fmt.Errorf("--fail: %w", err)
		}
		c.Fail = garita.FailAll(m)
	}
	c.NoDivert = o.noDivert
	return c, nil
}

func (o *runOptions) run(ctx context.Context, errw io.Writer) error {
	c, err := o.join(errw)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(errw, nil))
	c.Notify = func(n garita.Notice) {
		level := map[garita.Severity]slog.Level{garita.Info: slog.LevelInfo, garita.Warning: slog.LevelWarn, garita.Failure: slog.LevelError}[n.Severity]
		args := []any{}
		if n.Err != nil {
			args = append(args, "error", n.Err)
		}
		if n.Packet != nil {
			args = append(args, "queue", n.Queue, "packet", fmt.Sprintf("%x", n.Packet))
		}
		log.Log(context.Background(), level, n.Text, args...)
	}
	if o.logDir != "" || len(c.Logs) > 0 || c.Keep.Files != "" || c.Keep.Certs != "" {
		dir := o.logDir
		if dir == "" {
			dir = c.LogDir
		}
		if err := c.OpenLogs(dir, false); err != nil {
			return err
		}
	}
	var onTrial *trial
	if o.trial > 0 {
		if onTrial, err = newTrial(o.trial); err != nil {
			return err
		}
	}
	var counters *metrics
	if o.metrics != "" {
		if counters, err = listenMetrics(o.metrics); err != nil {
			return err
		}
		defer counters.close()
	}
	// Asked for before anything is diverted: a signal that comes early must
	// not leave something behind.
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, unix.SIGHUP, unix.SIGTERM, unix.SIGINT)
	defer signal.Stop(signals)

	if os.Getenv("GOMAXPROCS") == "" {
		// Go shares out as many turns as there are processors, and a worker
		// that has a packet would wait up to 10 ms for the turn of a reload or
		// of the garbage collector. With two turns more it is the kernel that
		// shares out, and it knows priorities.
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 2)
	}
	e, err := garita.New(c.Config)
	if err != nil {
		return explain(err)
	}
	printProblems(errw, e.Loaded(), 20)
	o.greet(errw, e, c)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	if counters != nil {
		counters.serve(e, log)
	}
	if onTrial != nil {
		onTrial.watch(ctx, errw, stop)
	}
	// One reload at a time, and one more if it was asked for meanwhile. It is
	// not waited for: who ends the program does not want to see it to its end.
	wanted := make(chan struct{}, 1)
	go func() {
		for range wanted {
			reload(e, c, o.join, log, errw)
		}
	}()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case s := <-signals:
				if s != unix.SIGHUP {
					stop()
					return
				}
				select {
				case wanted <- struct{}{}:
				default:
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	err = e.Run(ctx)
	stop()
	<-done
	if c.Log != nil {
		err = errors.Join(err, c.CloseLogs())
	}
	s := e.Stats()
	fmt.Fprintf(errw, "garita: done: %d packets, %d accepted, %d dropped, %d alerts\n", s.Packets, s.Accepted, s.Dropped, s.Alerts)
	return err
}

// reload opens the logs of c, by which e was started, anew, and has e go on by
// the configuration as read says it is now.
func reload(e *garita.Engine, c *garita.FileConfig, read func(io.Writer) (*garita.FileConfig, error), log *slog.Logger, errw io.Writer) {
	began := time.Now()
	if c.Log != nil {
		if err := c.ReopenLogs(); err != nil {
			log.Warn("the log could not be opened anew; the old file goes on", "error", err)
		}
	}
	now, err := read(errw)
	if err == nil {
		err = e.Reconfigure(now.Config)
	}
	if err != nil {
		var re *garita.RuleError
		if errors.As(err, &re) {
			for _, p := range re.Problems {
				fmt.Fprintln(errw, p)
			}
		}
		log.Error("rules NOT reloaded; the old ones go on", "error", err)
		return
	}
	l := e.Loaded()
	printProblems(errw, l, 20)
	args := []any{"rules", l.Kept, "refused", len(l.Problems), "took", time.Since(began).Round(time.Millisecond)}
	if late := c.Restart(now); len(late) > 0 {
		args = append(args, "changed, but only for the next start", strings.Join(late, ", "))
	}
	log.Info("rules reloaded", args...)
}

// explain adds what to do to the errors people meet first.
func explain(err error) error {
	if errors.Is(err, unix.EPERM) && os.Geteuid() != 0 {
		return fmt.Errorf("%w\nrun it as root, or try it without: garita lab", err)
	}
	return err
}

// greet says what is intercepted and what happens if things go wrong.
func (o *runOptions) greet(w io.Writer, e *garita.Engine, c *garita.FileConfig) {
	hooks := c.Divert.Hooks
	if hooks == nil {
		hooks = []packet.Hook{packet.Input, packet.Output, packet.Forward}
	}
	var names []string
	for _, h := range hooks {
		names = append(names, h.String())
	}
	qs := e.Queues()
	first, last := qs[0].Info().Queue, qs[len(qs)-1].Info().Queue
	where := "whatever your rules queue"
	if d := e.Diversion(); d != nil {
		where = fmt.Sprintf("%s (by %s", strings.Join(names, ", "), mechanisms[d.Backend()])
		if ports := d.SSHPorts(); len(ports) > 0 {
			where += fmt.Sprint("; not ssh, port ", strings.Trim(fmt.Sprint(ports), "[]"))
		}
		where += ")"
	}
	fmt.Fprintf(w, "garita: judging %s by %d rules, queues %d-%d, receive buffer %d KiB each, fail %s\n",
		where, e.Loaded().Kept, first, last, qs[0].Info().ReadBuffer>>10, failures(c.Fail))
	switch {
	case e.Loaded().Kept > 0:
	case len(e.Loaded().Problems) > 0:
		fmt.Fprintln(w, "garita: NONE of the rules can be judged by: nothing will be dropped")
	default:
		fmt.Fprintln(w, "garita: no rules: nothing will be dropped")
	}
	if e.Diversion() != nil && c.Divert.OneSided() {
		fmt.Fprintln(w, "garita: warning: of some connections only one direction comes by (see --hook, --in, --out). They are judged by that half,")
		fmt.Fprintln(w, "garita: and what does not fit into them is not dropped. Both halves are safer: input with output, all interfaces")
	}
	if c.Log == nil {
		fmt.Fprintln(w, "garita: no log: give --log-dir to write eve.json")
	}
}

var mechanisms = map[divert.Backend]string{
	divert.BackendNative: "nftables", divert.BackendCompat: "nftables with the NFQUEUE target", divert.BackendLegacy: "the legacy tables",
}

// failures is "open", or which failures are open and which closed.
func failures(f garita.FailPolicy) string {
	if f == garita.FailAll(f.Crash) {
		return f.Crash.String()
	}
	return fmt.Sprintf("%s on a crash, %s on overload, %s on malformed packets, %s on faults inside, %s without memory",
		f.Crash, f.Overload, f.Malformed, f.Internal, f.Memory)
}
