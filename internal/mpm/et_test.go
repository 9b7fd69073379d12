package mpm

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/garita/garita/internal/mpm/corpus"
)

var real = sync.OnceValues(func() (*realSet, error) {
	rules, err := corpus.Rules(corpus.Dir())
	if err != nil {
		return nil, err
	}
	buffers, err := corpus.Buffers(corpus.Dir())
	if err != nil {
		return nil, err
	}
	return &realSet{fastPatterns(rules), buffers}, nil
})

type realSet struct {
	patterns map[string][]Pattern
	buffers  map[string][][]byte
}

// loadReal gives the fast patterns of ET Open by buffer and the buffers of the captures.
func loadReal(t testing.TB) *realSet {
	t.Helper()
	if corpus.Dir() == "" {
		t.Skipf("%s is not set: no rules and captures to measure with", corpus.Env)
	}
	r, err := real()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// fastPatterns takes of every rule the content marked fast_pattern, or the longest.
func fastPatterns(rules []corpus.Rule) map[string][]Pattern {
	out := map[string][]Pattern{}
	seen := map[string]bool{}
	for _, r := range rules {
		best := -1
		for i, c := range r.Contents {
			if c.Fast {
				best = i
				break
			}
			if c.Buffer != "other" && (best < 0 || len(c.Bytes) > len(r.Contents[best].Bytes)) {
				best = i
			}
		}
		if best < 0 {
			continue
		}
		c := r.Contents[best]
		p := Pattern{Bytes: c.Bytes, NoCase: c.NoCase}
		switch {
		case c.All || c.Prefix && c.Suffix:
			p.Anchor = Exact
		case c.Prefix:
			p.Anchor = Prefix
		case c.Suffix:
			p.Anchor = Suffix
		}
		k := fmt.Sprint(c.Buffer, p)
		if !seen[k] {
			seen[k] = true
			out[c.Buffer] = append(out[c.Buffer], p)
		}
	}
	return out
}

// measured are the buffers with most patterns.
var measured = []string{"http_uri", "dns_query", "http_host", "user_agent", "tls_sni", "http_header", "request_body", "file_data", "stream"}

// TestRealLaw: on real patterns and real buffers, what a naive search finds, no more and no less.
func TestRealLaw(t *testing.T) {
	r := loadReal(t)
	rng := rand.New(rand.NewPCG(9, 9))
	var s Scratch
	for _, name := range measured {
		ps := r.patterns[name]
		m := Build(ps)
		hits, bufs := 0, r.buffers[name]
		for i := range min(len(bufs), 60) {
			b := bufs[(i*7919)%len(bufs)]
			hits += checkLaw(t, m, ps, b[:min(len(b), 4096)], &s)
		}
		// Buffers that hold patterns.
		for range 60 {
			p := ps[rng.IntN(len(ps))]
			b := slices.Concat(p.Bytes, []byte(" x "), ps[rng.IntN(len(ps))].Bytes)
			hits += checkLaw(t, m, ps, b, &s) + checkLaw(t, m, ps, p.Bytes, &s)
		}
		if hits < 60 {
			t.Errorf("%s: only %d hits", name, hits)
		}
	}
}

// TestRealBuild: all sets of ET Open within the time and memory a reload may cost.
func TestRealBuild(t *testing.T) {
	r := loadReal(t)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	t0 := time.Now()
	var all []*Matcher
	n := 0
	for _, ps := range r.patterns {
		all = append(all, Build(ps))
		n += len(ps)
	}
	took := time.Since(t0)
	runtime.GC()
	runtime.ReadMemStats(&after)
	kept := int64(after.HeapAlloc) - int64(before.HeapAlloc)
	t.Logf("%d patterns in %d matchers: %v, %d KiB", n, len(all), took, kept>>10)
	if took > 5*time.Second || kept > 50<<20 {
		t.Errorf("%v and %d KiB", took, kept>>10)
	}
	runtime.KeepAlive(all)
}

// BenchmarkReal scans the real buffers of each kind with the real patterns for them; beside it the plain
// Aho-Corasick automaton and the naive search.
func BenchmarkReal(b *testing.B) {
	r := loadReal(b)
	for _, name := range measured {
		ps, bufs := r.patterns[name], sample(r.buffers[name], 1<<20)
		var total int64
		for _, d := range bufs {
			total += int64(len(d))
		}
		title := fmt.Sprintf("%s-%d", name, len(ps))
		b.Run(title+"/mpm", func(b *testing.B) {
			m := Build(ps)
			var s Scratch
			hits := 0
			best := quickest(b, func() {
				hits = 0
				for _, d := range bufs {
					hits += len(m.Scan(d, &s))
				}
			})
			report(b, best, total, len(bufs))
			b.ReportMetric(float64(hits), "hits")
		})
		b.Run(title+"/ac", func(b *testing.B) {
			a := newAutomaton(ps)
			var s Scratch
			report(b, quickest(b, func() {
				for _, d := range bufs {
					a.scan(d, &s)
				}
			}), total, len(bufs))
			b.ReportMetric(float64(len(a.next))*4/1024, "table-KiB")
		})
		b.Run(title+"/naive", func(b *testing.B) {
			few := bufs[:min(len(bufs), 4)]
			total = 0
			for _, d := range few {
				total += int64(len(d))
			}
			report(b, quickest(b, func() {
				for _, d := range few {
					naive(ps, d)
				}
			}), total, len(few))
		})
	}
}

// quickest returns the time of the fastest turn: on a busy machine the mean says more about the neighbours.
func quickest(b *testing.B, f func()) time.Duration {
	best := time.Hour
	for b.Loop() {
		t0 := time.Now()
		f()
		best = min(best, time.Since(t0))
	}
	return best
}

func report(b *testing.B, best time.Duration, bytes int64, buffers int) {
	b.ReportMetric(float64(bytes)/1e6/best.Seconds(), "best-MB/s")
	b.ReportMetric(float64(best.Nanoseconds())/float64(buffers), "best-ns/buffer")
}

// BenchmarkMixed scans buffers of all kinds in turn, as traffic does: no table stays in the nearest cache.
func BenchmarkMixed(b *testing.B) {
	r := loadReal(b)
	type job struct {
		kind int
		data []byte
	}
	var jobs []job
	var ms []*Matcher
	var as []*automaton
	var total int64
	rng := rand.New(rand.NewPCG(13, 14))
	for k, name := range measured {
		ms = append(ms, Build(r.patterns[name]))
		as = append(as, newAutomaton(r.patterns[name]))
		for _, d := range sample(r.buffers[name], 1<<18) {
			d = d[:min(len(d), 2048)]
			jobs = append(jobs, job{k, d})
			total += int64(len(d))
		}
	}
	rng.Shuffle(len(jobs), func(i, j int) { jobs[i], jobs[j] = jobs[j], jobs[i] })
	var s Scratch
	b.Run("mpm", func(b *testing.B) {
		report(b, quickest(b, func() {
			for _, j := range jobs {
				ms[j.kind].Scan(j.data, &s)
			}
		}), total, len(jobs))
	})
	b.Run("ac", func(b *testing.B) {
		report(b, quickest(b, func() {
			for _, j := range jobs {
				as[j.kind].scan(j.data, &s)
			}
		}), total, len(jobs))
	})
}

func BenchmarkBuild(b *testing.B) {
	r := loadReal(b)
	for b.Loop() {
		for _, ps := range r.patterns {
			Build(ps)
		}
	}
}

// sample takes buffers from all over until they hold limit bytes.
func sample(bufs [][]byte, limit int) (out [][]byte) {
	rng := rand.New(rand.NewPCG(11, 12))
	bufs = slices.Clone(bufs)
	rng.Shuffle(len(bufs), func(i, j int) { bufs[i], bufs[j] = bufs[j], bufs[i] })
	for _, b := range bufs {
		if limit -= len(b); limit < 0 && len(out) > 0 {
			break
		}
		out = append(out, b)
	}
	return out
}

// automaton is the reference: Aho-Corasick over folded bytes with a dense table of byte classes,
// as Suricata's ac, verified like ours.
type automaton struct {
	m     *Matcher
	class [256]uint8
	n     int
	next  []uint32
	out   [][]uint32
}

func newAutomaton(ps []Pattern) *automaton {
	a := &automaton{m: Build(ps)}
	used := map[byte]bool{}
	for d := range a.m.pats {
		for _, c := range a.m.bytes(uint32(d)) {
			used[lowerOf(c)] = true
		}
	}
	a.n = 1
	for c := range 256 {
		if used[byte(c)] {
			a.class[c] = uint8(a.n)
			a.n++
		}
	}
	for c := 'A'; c <= 'Z'; c++ {
		a.class[c] = a.class[c|0x20]
	}
	add := func() uint32 {
		a.next = append(a.next, make([]uint32, a.n)...)
		a.out = append(a.out, nil)
		return uint32(len(a.out) - 1)
	}
	add()
	for d := range a.m.pats {
		st := uint32(0)
		for _, c := range a.m.bytes(uint32(d)) {
			i := int(st)*a.n + int(a.class[c])
			if a.next[i] == 0 {
				to := add()
				a.next[i] = to
			}
			st = a.next[i]
		}
		a.out[st] = append(a.out[st], uint32(d))
	}
	fail := make([]uint32, len(a.out))
	var queue []uint32
	for c := range a.n {
		if to := a.next[c]; to != 0 {
			queue = append(queue, to)
		}
	}
	for len(queue) > 0 {
		st := queue[0]
		queue = queue[1:]
		a.out[st] = append(a.out[st], a.out[fail[st]]...)
		for c := range a.n {
			i := int(st)*a.n + c
			if to := a.next[i]; to != 0 {
				fail[to] = a.next[int(fail[st])*a.n+c]
				queue = append(queue, to)
			} else {
				a.next[i] = a.next[int(fail[st])*a.n+c]
			}
		}
	}
	return a
}

func lowerOf(c byte) byte {
	if c-'A' < 26 {
		return c | 0x20
	}
	return c
}

func (a *automaton) scan(data []byte, s *Scratch) []uint32 {
	if need := (len(a.m.pats) + 63) / 64; len(s.seen) < need {
		s.seen = make([]uint64, need)
	}
	s.found = s.found[:0]
	st := uint32(0)
	for i, c := range data {
		st = a.next[int(st)*a.n+int(a.class[c])]
		for _, d := range a.out[st] {
			p := &a.m.pats[d]
			start := i + 1 - int(p.n)
			if (p.anchor == Prefix && start != 0) || p.anchor == Suffix && i+1 != len(data) {
				continue
			}
			a.m.try(d, data, start, s)
		}
	}
	s.out = s.out[:0]
	for _, d := range s.found {
		s.seen[d>>6] = 0
		p := &a.m.pats[d]
		s.out = append(s.out, a.m.ids[p.id0:p.id1]...)
	}
	return s.out
}

// TestAutomaton keeps the reference honest.
func TestAutomaton(t *testing.T) {
	ps := []Pattern{{Bytes: []byte("he")}, {Bytes: []byte("SHE"), NoCase: true}, {Bytes: []byte("his")}, {Bytes: []byte("hers"), Anchor: Suffix}, {Bytes: []byte("ushers"), Anchor: Exact}}
	a := newAutomaton(ps)
	var s Scratch
	for _, d := range []string{"ushers", "uSHErs", "his hers", "hersx"} {
		got := slices.Clone(a.scan([]byte(d), &s))
		slices.Sort(got)
		if want := naive(ps, []byte(d)); !slices.Equal(got, want) || bytes.Equal(nil, []byte(d)) {
			t.Errorf("%s: %v, want %v", d, got, want)
		}
	}
}
