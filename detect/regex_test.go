package detect

import (
	"fmt"
	"strings"
	"testing"

	"github.com/garita/garita/internal/pcre"
)

// hostile are rules whose expressions take all the steps they are given on many
// equal letters: back references cannot be remembered.
func hostile(n int) []string {
	var rules []string
	for i := range n {
		rules = append(rules, fmt.Sprintf(`alert udp any any -> any any (content:"aaaa"; pcre:"/(a+)+(a+)+\1\2(a*)*b%d/"; sid:%d;)`, i, i+1))
	}
	return rules
}

// ends holds what the hostile expressions end with, so that none is given up for want of it.
func ends(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "b%d", i)
	}
	return b.String()
}

// TestRegexSteps: all expressions on one packet share one budget, whatever the
// number of rules, and every packet has it anew.
func TestRegexSteps(t *testing.T) {
	rules := append(hostile(50),
		`alert udp any any -> any any (pcre:!"/(a+)+(a+)+\1\2(a*)*c/"; sid:900;)`,
		`alert udp any any -> any any (content:"find"; pcre:"/f[a-z]+me/"; sid:901;)`)
	set := compile(t, Config{}, rules...)
	w := NewWorker(set)
	var o Outcome
	bad := &Input{Packet: pkt(17, ends(50)+"c"+strings.Repeat("a", 1200))}
	w.Inspect(bad, &o)
	if spent := RegexSteps - w.reSteps; spent < RegexSteps || spent > RegexSteps+1<<16 {
		t.Errorf("%d steps for a packet, the budget is %d", spent, RegexSteps)
	}
	if o.RegexLimited < 40 {
		t.Errorf("%d searches gave up", o.RegexLimited)
	}
	if len(o.Alerts) != 0 {
		t.Error("a search that gave up matches:", o.Alerts[0].Info.Sid)
	}
	if w.Stats.RegexLimited != uint64(o.RegexLimited) {
		t.Error("counted:", w.Stats.RegexLimited)
	}
	if n := testing.AllocsPerRun(2, func() { w.Inspect(bad, &o) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	w.Inspect(&Input{Packet: pkt(17, "find me not, but findme")}, &o)
	if got := fmt.Sprint(sidsOf(&o)); got != "[900 901]" || o.RegexLimited != 0 {
		t.Errorf("the packet behind it: %s, %d gave up", got, o.RegexLimited)
	}
}

// TestRegexStepsWays: also the ways over bytes between the tries of one
// expression count.
func TestRegexStepsWays(t *testing.T) {
	re, err := pcre.Compile("z[^z]+q", 0)
	if err != nil {
		t.Fatal(err)
	}
	s := pcre.Scratch{}
	data := []byte(strings.Repeat("a", 64<<10) + "q")
	if _, _, ok := re.Match(data, 0, &s); ok || s.Spent() < 1<<12 || s.Spent() > 1<<14 {
		t.Error("steps of a look over 64 KiB:", s.Spent())
	}
}

func BenchmarkHostileRegex(b *testing.B) {
	w := NewWorker(compile(b, Config{}, hostile(200)...))
	in := &Input{Packet: pkt(17, ends(200)+strings.Repeat("a", 600))}
	var o Outcome
	for b.Loop() {
		w.Inspect(in, &o)
	}
}
