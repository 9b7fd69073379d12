package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/garita/garita"
	"github.com/garita/garita/detect"
	"github.com/garita/garita/internal/lab"
)

const labLong = `Try garita without risk: a client, a gateway and a server in network namespaces
of their own, with real servers and real traffic. Nothing on this host is
touched, and no privilege is needed where ordinary users may make user
namespaces.

    client ────────────── gateway ────────────── server
    10.77.1.2             (garita)            10.77.2.2
    fd77:1::2                                 fd77:2::2
    GARITA_CLIENT, GARITA_CLIENT6             GARITA_SERVER, GARITA_SERVER6

Everything that the gateway forwards goes through garita. Without arguments the
client sends traffic that meets every verdict of a sample policy; each exchange
is shown with its verdict and rule, what arrived on either side, and how much
longer it took than without garita.

With --rules or --rule, your rules are the policy, and the same traffic is sent.

With -- CMD, CMD runs on the client instead, and what garita does is told on
standard error. CMD finds the addresses in its environment, and the hosts by
name (client, gateway, server; any other name resolves to the server, names
below nx. to nothing). The server speaks HTTP (80; /, /page, /upload, /large),
HTTPS (443), DNS (53) and echo (7), both of the latter over UDP and TCP.

A shell expands $GARITA_SERVER before garita sees it. So write the name or the
address, or quote it: garita itself replaces these four variables in the words
of CMD, and takes an http URL without a host for one of the server.`

const labExample = `  garita lab
  garita lab --rule 'drop tcp any any -> any 80 (content:"evil"; sid:1;)' -- curl -m 2 http://server/evil
  garita lab --rules my.rules -- sh -c 'dig +short evil.example; curl http://$GARITA_SERVER/page'`

type labOptions struct {
	files, texts []string
	policy       policyFlags
	skipBad      bool
	json         bool
	command      []string
}

func labCommand() *cobra.Command {
	var o labOptions
	cmd := &cobra.Command{
		Use:     "lab [--rules FILE | --rule RULE]... [-- CMD [ARG]...]",
		Short:   "Try rules on real traffic in namespaces of their own",
		Long:    labLong,
		Example: labExample,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 && cmd.ArgsLenAtDash() != 0 {
				return fmt.Errorf("%q: write -- before the command to run", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			o.command = args
			return o.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.StringArrayVarP(&o.files, "rules", "S", nil, "rule `file` to use instead of the sample policy (repeatable)")
	f.StringArrayVar(&o.texts, "rule", nil, "`rule` to use instead of the sample policy (repeatable)")
	o.policy.flags(f)
	f.BoolVar(&o.skipBad, "skip-bad", false, "go on without the rules that have errors")
	f.BoolVar(&o.json, "json", false, "print one JSON object for each exchange")
	return cmd
}

func (o *labOptions) sample() bool { return len(o.files)+len(o.texts) == 0 }

func (o *labOptions) rules() garita.Rules {
	if !o.sample() {
		return garita.Rules{Files: o.files, Text: o.texts, Policy: o.policy.list()}
	}
	return garita.Rules{
		Files:  []string{lab.SampleRulesName},
		Policy: o.policy.list(),
		Read: func(name string) ([]byte, error) {
			if name == lab.SampleRulesName {
				return []byte(lab.SampleRules), nil
			}
			return os.ReadFile(name)
		},
	}
}

func (o *labOptions) run(ctx context.Context, out, errOut io.Writer) error {
	if !lab.Second() {
		if err := o.check(errOut); err != nil {
			return err
		}
	}
	inside, status, err := lab.Enter()
	if err != nil {
		return exitError{2, err}
	}
	if !inside {
		return exitWith(status)
	}
	ctx, stop := signal.NotifyContext(ctx, unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	defer stop()
	l, err := lab.New()
	if err != nil {
		return exitError{2, err}
	}
	defer l.Close()
	if len(o.command) > 0 {
		status, err = o.runCommand(ctx, l, errOut)
	} else {
		status, err = o.runTraffic(ctx, l, out)
	}
	var already exitError
	switch {
	case err == nil:
		return exitWith(status)
	case errors.As(err, &already):
		return already
	case ctx.Err() != nil:
		return exitWith(128 + int(unix.SIGINT))
	}
	return exitError{2, err}
}

// check finds what can be found wrong before anything is made.
func (o *labOptions) check(errOut io.Writer) error {
	for _, name := range o.files {
		// The rules are read once more inside.
		if s, err := os.Stat(name); err == nil && !s.Mode().IsRegular() {
			return exitError{2, fmt.Errorf("%s: not a regular file; the lab reads rules twice", name)}
		}
	}
	loaded, err := garita.LoadRules(o.rules(), detect.Config{Inline: true})
	if err != nil {
		return exitError{2, err}
	}
	printProblems(errOut, loaded, 20)
	// A keyword that is not supported may be left out of a big file of rules;
	// a rule from the command line is what this is about.
	bad := loaded.Malformed() || loaded.Refused() && (len(o.texts) > 0 || o.sample())
	if bad && !o.skipBad {
		return no(errors.New("nothing was started; mend these rules, or go on without them with --skip-bad"))
	}
	if len(o.command) > 0 {
		if _, err := exec.LookPath(o.command[0]); err != nil {
			return exitError{commandStatus(err), err}
		}
	}
	return nil
}

// commandStatus is what shells exit with if a command cannot be started.
func commandStatus(err error) int {
	if errors.Is(err, os.ErrPermission) {
		return 126
	}
	return 127
}

func (o *labOptions) runTraffic(ctx context.Context, l *lab.Lab, out io.Writer) (int, error) {
	begin := time.Now()
	trial := lab.Trial{
		Sample: o.sample(),
		Start: func(note func(lab.Note)) (func() error, error) {
			return startGateway(l, o.rules(), o.sample(), note)
		},
	}
	reports, err := trial.Run(ctx, l)
	if err != nil {
		return 0, err
	}
	wrong := 0
	for i := range reports {
		if len(reports[i].Wrong) > 0 {
			wrong++
		}
	}
	if o.json {
		err = printLabJSON(out, reports)
	} else {
		err = printLabTable(out, reports, o.sample(), wrong, time.Since(begin))
	}
	if wrong > 0 {
		return 1, err
	}
	return 0, err
}

func printLabTable(out io.Writer, reports []lab.Report, sample bool, wrong int, took time.Duration) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "SENT\tOVER\tVERDICT\tRULE\tTHE SERVER GOT\tTHE CLIENT GOT\tLAG")
	for i := range reports {
		r := &reports[i]
		rule := "-"
		if r.SID != 0 {
			rule = fmt.Sprintf("%d %s", r.SID, r.Msg)
		} else if r.Msg != "" {
			rule = r.Msg
		}
		got := r.Answer
		if r.Outcome != lab.Answered {
			got = string(r.Outcome)
		}
		if r.Outcome == lab.Reset || r.Outcome == lab.Unreachable {
			got += fmt.Sprintf(" after %.1f ms", milliseconds(r.Took))
		}
		if r.Outcome == lab.Failed {
			got += ": " + r.Err.Error()
		}
		arrived := strings.Join(r.Arrived, ", ")
		if arrived == "" {
			arrived = "nothing"
		}
		lag := "-"
		if r.HasLag {
			lag = fmt.Sprintf("%.2f ms", milliseconds(r.Lag))
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.Exchange.Name, over(r), r.Verdict, rule, arrived, got, lag)
		for _, x := range r.Wrong {
			fmt.Fprintf(w, "    WRONG %s\t\t\t\t\t\t\n", x)
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	end := "This is what your rules made of it."
	if sample {
		end = "All went as the sample policy says."
		if wrong > 0 {
			end = fmt.Sprintf("%d of them did NOT go as the sample policy says.", wrong)
		}
	}
	_, err := fmt.Fprintf(out, "\n%d exchanges in %.1f s. %s\n", len(reports), took.Seconds(), end)
	return err
}

func over(r *lab.Report) string {
	if r.Exchange.Server.Is6() {
		return "IPv6"
	}
	return "IPv4"
}

// labRecord is what --json prints for each exchange.
type labRecord struct {
	Sent    string   `json:"sent"`
	Proto   string   `json:"proto"`
	Client  string   `json:"client"` // address and port
	Server  string   `json:"server"`
	Verdict string   `json:"verdict"`
	SID     uint32   `json:"signature_id,omitempty"`
	Msg     string   `json:"signature,omitempty"`
	Outcome string   `json:"outcome"` // for the client
	Answer  string   `json:"answer,omitempty"`
	Arrived []string `json:"arrived"` // at the server
	TookMS  float64  `json:"took_ms"`
	LagMS   *float64 `json:"lag_ms,omitempty"`
	Wrong   []string `json:"wrong,omitempty"`
}

func printLabJSON(out io.Writer, reports []lab.Report) error {
	enc := json.NewEncoder(out)
	for i := range reports {
		r := &reports[i]
		rec := labRecord{
			Sent: r.Exchange.Name, Proto: r.Proto, Client: r.Client.String(), Server: r.Server.String(),
			Verdict: string(r.Verdict), SID: r.SID, Msg: r.Msg,
			Outcome: string(r.Outcome), Answer: r.Answer, Arrived: append([]string{}, r.Arrived...),
			TookMS: milliseconds(r.Took), Wrong: r.Wrong,
		}
		if r.HasLag {
			lag := milliseconds(r.Lag)
			rec.LagMS = &lag
		}
		if err := enc.Encode(&rec); err != nil {
			return err
		}
	}
	return nil
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// runCommand runs the user's command on the client and returns its status.
func (o *labOptions) runCommand(ctx context.Context, l *lab.Lab, errOut io.Writer) (int, error) {
	var notes lab.Notes
	var mu sync.Mutex
	stop, err := startGateway(l, o.rules(), o.sample(), func(n lab.Note) {
		if n.Verdict == lab.Accepted || !notes.Add(n) {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintln(errOut, noteLine(n))
	})
	if err != nil {
		return 0, err
	}
	args, notice := lab.Expand(o.command)
	if notice != "" {
		fmt.Fprintln(errOut, "garita lab:", notice)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), lab.Env()...)
	if err := l.Start(lab.Client, cmd); err != nil {
		return 0, errors.Join(exitError{commandStatus(err), err}, stop())
	}
	ended := make(chan struct{})
	go func() {
		select {
		case <-ctx.Done():
			// At a terminal the command got the signal too, and may have its
			// own mind about it.
			if !isTerminal(os.Stdin) {
				_ = cmd.Process.Signal(unix.SIGTERM)
			}
		case <-ended:
		}
	}()
	status, err := lab.ExitStatus(cmd.Wait())
	close(ended)
	return status, errors.Join(err, stop())
}

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

func noteLine(n lab.Note) string {
	s := fmt.Sprintf("garita: %s %s %v -> %v", n.Verdict, n.Proto, n.Src, n.Dst)
	if n.SID != 0 {
		s += fmt.Sprintf(" [%d]", n.SID)
	}
	if n.Msg != "" {
		s += " " + n.Msg
	}
	return s
}
