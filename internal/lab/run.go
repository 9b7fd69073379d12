package lab

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// Note is what the agent at the gateway tells about one packet for which it
// did more than accept it.
type Note struct {
	Proto    string         // tcp, udp, icmp (also for ICMPv6), or another name
	Src, Dst netip.AddrPort // of the packet; for icmp both ports are the echo identifier, or 0
	Verdict  Verdict
	SID      uint32 // the rule's, 0 if no rule decided
	Msg      string // the rule's, or why else
}

// Verdict is what the agent did with a packet, in the operator's words.
type Verdict string

// The verdicts, from the weakest to the strongest; of several on one exchange
// the strongest is reported.
const (
	Accepted Verdict = "accept"
	Alerted  Verdict = "alert"
	Passed   Verdict = "pass"
	Replaced Verdict = "replace"
	Held     Verdict = "hold"
	Dropped  Verdict = "drop"
	Rejected Verdict = "reject"
)

var verdicts = [...]Verdict{Accepted, Alerted, Passed, Replaced, Held, Dropped, Rejected}

// flowKey is the same for both directions.
type flowKey struct {
	proto string
	a, b  netip.AddrPort
}

func keyOf(proto string, a, b netip.AddrPort) flowKey {
	if a.Compare(b) > 0 {
		a, b = b, a
	}
	return flowKey{proto, a, b}
}

// Notes collects notes from several goroutines. The zero value is ready.
type Notes struct {
	mu    sync.Mutex
	flows map[flowKey][]Note
}

// Add keeps a note. It says whether it is the first of its kind: same flow,
// direction, verdict and rule.
func (n *Notes) Add(note Note) (first bool) {
	k := keyOf(note.Proto, note.Src, note.Dst)
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.flows == nil {
		n.flows = map[flowKey][]Note{}
	}
	if slices.Contains(n.flows[k], note) {
		return false
	}
	n.flows[k] = append(n.flows[k], note)
	return true
}

// strongest is the note that decided over a flow.
func (n *Notes) strongest(proto string, a, b netip.AddrPort) Note {
	n.mu.Lock()
	defer n.mu.Unlock()
	best := Note{Verdict: Accepted}
	for _, x := range n.flows[keyOf(proto, a, b)] {
		if slices.Index(verdicts[:], x.Verdict) > slices.Index(verdicts[:], best.Verdict) {
			best = x
		}
	}
	return best
}

// Report is one exchange, and what came of it.
type Report struct {
	Exchange Exchange
	Result
	Verdict Verdict
	SID     uint32
	Msg     string
	// Lag is how much longer the exchange took through the agent than without:
	// the difference between the shortest of several runs with and without.
	// Only for answered exchanges (HasLag). Where it is small beside what else
	// goes on on the machine, it can come out negative.
	Lag    time.Duration
	HasLag bool
	// Wrong is what is not as the policy says, empty if all is well.
	Wrong []string
}

// Trial is a run of the sample exchanges.
type Trial struct {
	// Start starts the agent at the gateway. It returns when traffic is
	// diverted to it. The agent calls note from wherever it likes, until stop
	// returns; stop is called once.
	Start func(note func(Note)) (stop func() error, err error)
	// Sample says that the agent follows the sample policy, so that there is
	// a right and a wrong.
	Sample bool
	// Runs is how often an exchange is repeated to measure times; 0 means 20.
	// Long exchanges are repeated less often.
	Runs int
}

const (
	// answerTime is how long a client waits for an answer that should come.
	// Long, for a slow machine is no reason to report a mismatch.
	answerTime = 8 * time.Second
	// silenceTime is how long it waits if none is expected, or if nobody knows.
	silenceTime = 1500 * time.Millisecond
	// repeatTime is enough for repeating one exchange.
	repeatTime = 50 * time.Millisecond
)

// Run makes the exchanges: first without the agent, for their times; then all
// at once with it, for the report; then again one by one for their times.
func (t *Trial) Run(ctx context.Context, l *Lab) ([]Report, error) {
	runs := cmp.Or(t.Runs, 20)
	exchanges := Exchanges()
	reports := make([]Report, len(exchanges))
	plain := make([]time.Duration, len(exchanges))
	for i := range exchanges {
		var r Result
		plain[i], r = repeat(ctx, l, &exchanges[i], runs)
		if r.Outcome != Answered {
			return nil, fmt.Errorf("lab: %s of %v does not work even without garita: %s: %w",
				exchanges[i].Name, exchanges[i].Server, r.Outcome, r.Err)
		}
	}

	var notes Notes
	stop, err := t.Start(func(n Note) { notes.Add(n) })
	if err != nil {
		return nil, err
	}
	var all sync.WaitGroup
	for i := range exchanges {
		all.Go(func() {
			wait := silenceTime
			if t.Sample && exchanges[i].Want.Outcome != TimedOut {
				wait = answerTime
			}
			ctx, cancel := context.WithTimeout(ctx, wait)
			defer cancel()
			reports[i].Result = exchanges[i].Do(ctx, l)
		})
	}
	all.Wait()
	for i := range reports {
		if r := &reports[i]; r.Outcome == Answered {
			took, again := repeat(ctx, l, &exchanges[i], runs)
			r.Lag, r.HasLag = took-plain[i], again.Outcome == Answered
		}
	}
	if err := stop(); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	for i := range reports {
		r := &reports[i]
		r.Exchange = exchanges[i]
		n := notes.strongest(r.Proto, r.Client, r.Server)
		r.Verdict, r.SID, r.Msg = n.Verdict, n.SID, n.Msg
		if t.Sample {
			r.Wrong = r.Exchange.Want.compare(r)
		}
	}
	return reports, nil
}

// repeat returns the time of the quickest of several runs, and the last result,
// which is the first that was not answered if one was not.
func repeat(ctx context.Context, l *Lab, e *Exchange, runs int) (time.Duration, Result) {
	var r Result
	quickest := answerTime
	begin := time.Now()
	for i := range runs {
		if i >= 3 && time.Since(begin) > repeatTime {
			break
		}
		ctx, cancel := context.WithTimeout(ctx, answerTime)
		r = e.Do(ctx, l)
		cancel()
		if r.Outcome != Answered {
			return 0, r
		}
		quickest = min(quickest, r.Took)
	}
	return quickest, r
}

// compare says what is not as wanted.
func (w *Want) compare(r *Report) (wrong []string) {
	expect := func(what string, got, want any) {
		if got != want {
			wrong = append(wrong, fmt.Sprintf("%s: %v, not %v", what, orNothing(got), orNothing(want)))
		}
	}
	expect("verdict", r.Verdict, w.Verdict)
	expect("rule", r.SID, w.SID)
	expect("the client's request was", r.Outcome, w.Outcome)
	expect("the client got", r.Answer, w.Answer)
	expect("the server got", strings.Join(r.Arrived, ", "), w.Arrived)
	if w.Verdict == Held && r.Took < HoldTime {
		expect("answered after", r.Took, HoldTime)
	}
	return wrong
}

func orNothing(v any) any {
	switch v {
	case "", uint32(0):
		return "none"
	}
	return v
}
