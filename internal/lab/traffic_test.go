package lab_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/garita/garita/internal/lab"
	"github.com/garita/garita/rule"
)

// Without anybody at the gateway every exchange is answered, arrives, and says
// what the sample policy wants of those that it leaves alone.
func TestExchangesUnhindered(t *testing.T) {
	l := newLab(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for _, e := range lab.Exchanges() {
		r := e.Do(ctx, l)
		if r.Outcome != lab.Answered || r.Err != nil || r.Answer == "" {
			t.Errorf("%s of %v: %s, %q, %v", e.Name, e.Server, r.Outcome, r.Answer, r.Err)
			continue
		}
		if len(r.Arrived) != 1 {
			t.Errorf("%s of %v: %q arrived, want one thing", e.Name, e.Server, r.Arrived)
		}
		if r.Server.Addr() != e.Server || !r.Client.IsValid() || r.Took <= 0 {
			t.Errorf("%s of %v: incomplete: %+v", e.Name, e.Server, r)
		}
		switch e.Want.Verdict {
		case lab.Accepted, lab.Alerted, lab.Passed, lab.Held:
			if r.Answer != e.Want.Answer || !slices.Equal(r.Arrived, []string{e.Want.Arrived}) {
				t.Errorf("%s of %v: answer %q, arrived %q; want %q, %q", e.Name, e.Server, r.Answer, r.Arrived, e.Want.Answer, e.Want.Arrived)
			}
		case lab.Replaced:
			if r.Answer == e.Want.Answer || len(r.Answer) != len(e.Want.Answer) {
				t.Errorf("%s of %v: answer %q, and replaced %q", e.Name, e.Server, r.Answer, e.Want.Answer)
			}
		}
	}
}

// Nobody at the other end of the address: the client sees how it ends.
func TestOutcomes(t *testing.T) {
	l := newLab(t)
	for _, f := range families {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		for _, e := range lab.Exchanges() {
			if e.Server != f.server {
				continue
			}
			// The client itself answers none of it.
			e.Server = f.client
			r := e.Do(ctx, l)
			want := map[string]lab.Outcome{
				"tcp":  lab.Reset,
				"udp":  lab.Unreachable,
				"icmp": lab.Answered, // by the client's kernel
			}[r.Proto]
			if r.Outcome != want || len(r.Arrived) != 0 {
				t.Errorf("%s of %v: %s, %v, arrived %q; want %s", e.Name, e.Server, r.Outcome, r.Err, r.Arrived, want)
			}
		}
	}
}

// The sample policy parses, and every rule of it is met by some exchange.
func TestSamplePolicy(t *testing.T) {
	rules, problems := rule.Parse(lab.SampleRulesName, lab.SampleRules, rule.Options{})
	for _, p := range problems {
		t.Error(p)
	}
	met := map[string]bool{}
	for _, e := range lab.Exchanges() {
		met[fmt.Sprint(e.Want.SID)] = true
	}
	for i := range rules {
		r := &rules[i]
		sid := ""
		for _, o := range r.Options {
			if o.Name == "sid" {
				sid = o.Value
			}
		}
		if !met[sid] {
			t.Errorf("%v: no exchange is made for the rule with sid %q", r.Pos(), sid)
		}
		delete(met, sid)
	}
	delete(met, "0")
	if len(met) != 0 {
		t.Errorf("exchanges want rules that do not exist: %v", met)
	}
}
