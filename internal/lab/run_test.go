package lab_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/garita/garita/internal/lab"
)

// An agent that does nothing is found out: what the policy would not have let
// pass unchanged is wrong, and only that.
func TestTrialOfAnIdleAgent(t *testing.T) {
	l := newLab(t)
	stopped := 0
	trial := lab.Trial{
		Sample: true,
		Runs:   1,
		Start: func(func(lab.Note)) (func() error, error) {
			return func() error { stopped++; return nil }, nil
		},
	}
	reports, err := trial.Run(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	if stopped != 1 {
		t.Errorf("the agent was stopped %d times", stopped)
	}
	if len(reports) != len(lab.Exchanges()) {
		t.Errorf("%d reports of %d exchanges", len(reports), len(lab.Exchanges()))
	}
	for i := range reports {
		r := &reports[i]
		if want := r.Exchange.Want.Verdict != lab.Accepted; want != (len(r.Wrong) > 0) {
			t.Errorf("%s of %v, wanted %s: wrong is %q", r.Exchange.Name, r.Exchange.Server, r.Exchange.Want.Verdict, r.Wrong)
		}
		if !r.HasLag || r.Lag > time.Second || r.Lag < -time.Second {
			t.Errorf("%s of %v: lag %v, %v", r.Exchange.Name, r.Exchange.Server, r.Lag, r.HasLag)
		}
	}
}

// What the agent says counts for the exchange whose flow it names, in either
// direction, and the strongest word counts.
func TestTrialHearsTheAgent(t *testing.T) {
	l := newLab(t)
	echo := netip.AddrPortFrom(lab.ServerIP4, lab.EchoPort)
	trial := lab.Trial{
		Runs: 1,
		Start: func(note func(lab.Note)) (func() error, error) {
			stop := make(chan struct{})
			told := make(chan struct{})
			go func() { // tells of every UDP port there is, of the server's answers
				defer close(told)
				for port := 1; port < 1<<16; port++ {
					client := netip.AddrPortFrom(lab.ClientIP4, uint16(port))
					note(lab.Note{Proto: "udp", Src: echo, Dst: client, Verdict: lab.Dropped, SID: 2, Msg: "two"})
					note(lab.Note{Proto: "udp", Src: client, Dst: echo, Verdict: lab.Alerted, SID: 1, Msg: "one"})
				}
				<-stop
			}()
			return func() error { close(stop); <-told; return nil }, nil
		},
	}
	reports, err := trial.Run(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	for i := range reports {
		r := &reports[i]
		want, sid := lab.Accepted, uint32(0)
		if r.Server == echo && r.Proto == "udp" {
			want, sid = lab.Dropped, 2
		}
		if r.Verdict != want || r.SID != sid || len(r.Wrong) != 0 {
			t.Errorf("%s of %v: %s by %d, wrong %q; want %s by %d", r.Exchange.Name, r.Exchange.Server, r.Verdict, r.SID, r.Wrong, want, sid)
		}
	}
}

func TestTrialErrors(t *testing.T) {
	l := newLab(t)
	broken := errors.New("broken")
	for name, start := range map[string]func(func(lab.Note)) (func() error, error){
		"start": func(func(lab.Note)) (func() error, error) { return nil, broken },
		"stop":  func(func(lab.Note)) (func() error, error) { return func() error { return broken }, nil },
	} {
		trial := lab.Trial{Runs: 1, Start: start}
		if _, err := trial.Run(t.Context(), l); !errors.Is(err, broken) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	trial := lab.Trial{Runs: 1}
	if _, err := trial.Run(t.Context(), l); err == nil || !strings.Contains(err.Error(), "without garita") {
		t.Errorf("a trial in a closed lab: %v", err)
	}
}
