package pcre

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/garita/garita/internal/mpm/corpus"
)

// realJob is an expression of ET Open with buffers of the kind it is for.
type realJob struct {
	corpus.Expr
	flags Flags
	data  [][]byte
}

var real = sync.OnceValues(func() ([]realJob, error) {
	rules, err := corpus.Rules(corpus.Dir())
	if err != nil {
		return nil, err
	}
	bufs, err := corpus.Buffers(corpus.Dir())
	if err != nil {
		return nil, err
	}
	syn, err := corpus.Synth(corpus.Dir())
	if err != nil {
		return nil, err
	}
	r := rand.New(rand.NewPCG(1, 1))
	seen := map[string]bool{}
	var jobs []realJob
	for _, rule := range rules {
		for _, e := range rule.Exprs {
			k := e.Pattern + "/" + e.Flags + e.Buffer
			if seen[k] {
				continue
			}
			seen[k] = true
			j := realJob{Expr: e}
			var rest string
			j.flags, rest = ParseFlags(e.Flags)
			b := e.Buffer
			if len(bufs[b]) == 0 {
				b = "stream"
			}
			for i := range 12 {
				set := bufs[b]
				if i >= 4 && len(syn[b]) > 0 {
					set = syn[b]
				}
				d := set[r.IntN(len(set))]
				if strings.Contains(rest, "R") && len(d) > 0 {
					d = d[r.IntN(len(d)):]
				}
				j.data = append(j.data, d)
			}
			jobs = append(jobs, j)
		}
	}
	return jobs, nil
})

func loadReal(t testing.TB) []realJob {
	t.Helper()
	if corpus.Dir() == "" {
		t.Skipf("%s is not set: no rules and captures to measure with", corpus.Env)
	}
	jobs, err := real()
	if err != nil {
		t.Fatal(err)
	}
	return jobs
}

// TestReal compiles every expression of ET Open and holds the law of literals on real buffers: where it matches, its
// literals are, and no search gives up.
func TestReal(t *testing.T) {
	jobs := loadReal(t)
	if len(jobs) < 3000 {
		t.Fatalf("only %d expressions", len(jobs))
	}
	var s Scratch
	literals, hits := 0, 0
	for _, j := range jobs {
		re, err := Compile(j.Pattern, j.flags)
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		if len(re.Literals()) > 0 {
			literals++
		}
		for _, d := range j.data {
			from, _, ok := re.Match(d, 0, &s)
			if s.Limited {
				t.Errorf("/%s/%s gave up on %d bytes", j.Pattern, j.Expr.Flags, len(d))
			}
			if ok {
				hits++
				checkLiterals(t, re, d, from)
			}
		}
	}
	t.Logf("%d expressions, %d with literals, %d matches", len(jobs), literals, hits)
	if hits < 100 {
		t.Errorf("only %d matches", hits)
	}
}

// TestRealAgainstGo: the expressions that Go's regexp takes, on data lifted to one rune a byte.
func TestRealAgainstGo(t *testing.T) {
	var s Scratch
	compared, hits := 0, 0
	for _, j := range loadReal(t) {
		if j.flags&Extended != 0 || strings.Contains(j.Pattern, "$") {
			continue // Go has no x, and its $ does not match before a final newline
		}
		g, err := regexp.Compile(goFlags(j.flags) + j.Pattern)
		if err != nil {
			continue
		}
		re, err := Compile(j.Pattern, j.flags)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range j.data {
			d = d[:min(len(d), 4096)]
			if len(d) == 0 && strings.Contains(j.Pattern, `\b`) {
				continue
			}
			from, to, ok := re.Match(d, 0, &s)
			got := "-"
			if ok {
				got = fmt.Sprintf("%d,%d", from, to)
				hits++
			}
			text := lift(d)
			want := "-"
			if m := g.FindStringIndex(text); m != nil {
				want = fmt.Sprintf("%d,%d", len([]rune(text[:m[0]])), len([]rune(text[:m[1]])))
			}
			compared++
			if got != want && !goDiffers(j.Pattern, d) {
				t.Errorf("/%s/%s on %.200q: %s, Go says %s", j.Pattern, j.Expr.Flags, d, got, want)
			}
		}
	}
	t.Logf("%d searches compared, %d matches", compared, hits)
	if compared < 10000 {
		t.Errorf("only %d searches compared", compared)
	}
}

// goDiffers reports what Go takes differently: \s does not hold a vertical tab, and (?i) folds
// beyond ASCII (the long s, the Kelvin sign, accented letters).
func goDiffers(expr string, data []byte) bool {
	for _, b := range data {
		if b == '\v' && strings.Contains(expr, `\s`) || b >= 0x80 {
			return true
		}
	}
	return false
}

func goFlags(f Flags) string {
	out := ""
	for i, c := range "ims" {
		if f&(1<<i) != 0 {
			out += string(c)
		}
	}
	if out != "" {
		out = "(?" + out + ")"
	}
	return out
}

func lift(b []byte) string {
	r := make([]rune, len(b))
	for i, c := range b {
		r[i] = rune(c)
	}
	return string(r)
}

func BenchmarkRealCompile(b *testing.B) {
	jobs := loadReal(b)
	for b.Loop() {
		for _, j := range jobs {
			if _, err := Compile(j.Pattern, j.flags); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(jobs)), "ns/expr")
}

// BenchmarkReal searches every expression in its buffers, beside it Go's regexp with those it takes
// (in data lifted beforehand).
func BenchmarkReal(b *testing.B) {
	jobs := loadReal(b)
	b.Run("pcre", func(b *testing.B) {
		var res []*Regexp
		n := 0
		for _, j := range jobs {
			re, err := Compile(j.Pattern, j.flags)
			if err != nil {
				b.Fatal(err)
			}
			res = append(res, re)
			n += len(j.data)
		}
		var s Scratch
		for b.Loop() {
			for i, re := range res {
				for _, d := range jobs[i].data {
					re.Match(d, 0, &s)
				}
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/match")
	})
	b.Run("regexp", func(b *testing.B) {
		var res []*regexp.Regexp
		var data [][]string
		n := 0
		for _, j := range jobs {
			re, err := regexp.Compile(goFlags(j.flags) + j.Pattern)
			if err != nil {
				continue
			}
			var lifted []string
			for _, d := range j.data {
				lifted = append(lifted, lift(d))
			}
			res = append(res, re)
			data = append(data, lifted)
			n += len(lifted)
		}
		for b.Loop() {
			for i, re := range res {
				for _, d := range data[i] {
					re.MatchString(d)
				}
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/match")
	})
}

// TestRealWorst finds the slowest search: no rule may hold up a packet for long.
func TestRealWorst(t *testing.T) {
	var s Scratch
	var worst time.Duration
	var which string
	for _, j := range loadReal(t) {
		re, err := Compile(j.Pattern, j.flags)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range j.data {
			t0 := time.Now()
			re.Match(d, 0, &s)
			if took := time.Since(t0); took > worst {
				worst, which = took, fmt.Sprintf("/%s/%s on %d bytes, %d steps", j.Pattern, j.Expr.Flags, len(d), s.Spent())
			}
		}
	}
	t.Logf("%v: %s", worst, which)
	if worst > time.Second {
		t.Error("too slow")
	}
}
