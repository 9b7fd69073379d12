package mpm

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
)

// naive is the law: what a plain search finds.
func naive(ps []Pattern, data []byte) []uint32 {
	var out []uint32
	folded := asciiLower(data)
	for i, p := range ps {
		d, b := data, p.Bytes
		if p.NoCase {
			d, b = folded, asciiLower(b)
		}
		var ok bool
		switch p.Anchor {
		case Anywhere:
			ok = bytes.Contains(d, b)
		case Prefix:
			ok = bytes.HasPrefix(d, b)
		case Suffix:
			ok = bytes.HasSuffix(d, b)
		case Exact:
			ok = bytes.Equal(d, b)
		}
		if ok {
			out = append(out, uint32(i))
		}
	}
	return out
}

func asciiLower(b []byte) []byte {
	out := bytes.Clone(b)
	for i, c := range out {
		if 'A' <= c && c <= 'Z' {
			out[i] = c + 'a' - 'A'
		}
	}
	return out
}

func checkLaw(t testing.TB, m *Matcher, ps []Pattern, data []byte, s *Scratch) int {
	t.Helper()
	got := slices.Clone(m.Scan(data, s))
	slices.Sort(got)
	want := naive(ps, data)
	if !slices.Equal(got, want) {
		t.Fatalf("data %q\n got %v\nwant %v\nmissed or extra %s", data, got, want, describe(ps, got, want))
	}
	return len(want)
}

func describe(ps []Pattern, got, want []uint32) string {
	var out string
	for i, p := range ps {
		g, w := slices.Contains(got, uint32(i)), slices.Contains(want, uint32(i))
		if g != w {
			out += fmt.Sprintf("[%d] %q nocase=%v anchor=%d got=%v want=%v; ", i, p.Bytes, p.NoCase, p.Anchor, g, w)
		}
	}
	return out
}

func TestTable(t *testing.T) {
	ps := []Pattern{
		{Bytes: []byte("")},
		{Bytes: []byte(""), Anchor: Exact},
		{Bytes: []byte("a")},
		{Bytes: []byte("A"), NoCase: true},
		{Bytes: []byte("/x")},
		{Bytes: []byte("aBc"), NoCase: true},
		{Bytes: []byte("evil.com"), NoCase: true, Anchor: Suffix},
		{Bytes: []byte(".evil.com"), Anchor: Suffix},
		{Bytes: []byte("very.evil.com"), Anchor: Exact},
		{Bytes: []byte("very"), Anchor: Prefix},
		{Bytes: []byte("very.evi"), Anchor: Prefix},
		{Bytes: []byte("very.evil"), Anchor: Prefix},
		{Bytes: []byte("\x00\x01\x02\xff")},
		{Bytes: []byte("@bcd")}, // the filter takes '@' for '`'
		{Bytes: []byte("`bcd"), NoCase: true},
		{Bytes: []byte("very.evil.com"), Anchor: Exact}, // twice
		{Bytes: []byte("com"), Anchor: Suffix},
		{Bytes: []byte("c"), Anchor: Prefix},
		{Bytes: []byte("z"), Anchor: Suffix, NoCase: true},
	}
	m := Build(ps)
	if m.Len() != len(ps) {
		t.Fatalf("Len %d", m.Len())
	}
	var s Scratch
	for _, d := range []string{
		"", "a", "A", "b", "/", "/x", "x/x", "ABC", "abc", "xaBcx", "evil.com", "EVIL.com", "very.evil.com", "Very.evil.com",
		"very", "very.evi", "very.evil", "very.evil.comx", "x.very.evil.com", "\x00\x01\x02\xff", "q\x00\x01\x02\xffq", "\x00\x01\x02\xdf",
		"@bcd", "`bcd", "@BCD", "`BCD", "com", "co", "c", "zZ",
	} {
		checkLaw(t, m, ps, []byte(d), &s)
	}
}

func TestZero(t *testing.T) {
	var m Matcher
	var s Scratch
	if got := m.Scan([]byte("anything"), &s); len(got) != 0 {
		t.Fatal(got)
	}
	if got := Build(nil).Scan([]byte("anything"), &s); len(got) != 0 {
		t.Fatal(got)
	}
}

// TestLaw draws patterns from the data itself, so that they really occur, with
// flipped case and wrong neighbours, over alphabets from two bytes to all.
func TestLaw(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	alphabets := []string{"ab", "aA", "abAB.", "a@`A[{", "\x00\x20\x40\x60\x80\xa0\xc0\xe0", ""}
	var s Scratch
	hits := 0
	for round := range 1500 {
		alpha := alphabets[round%len(alphabets)]
		data := randBytes(r, alpha, r.IntN(70))
		ps := make([]Pattern, r.IntN(60))
		// How short the shortest is decides at which positions a scan looks.
		shortest := []int{0, 0, 3, 5, 7}[r.IntN(5)]
		for i := range ps {
			var b []byte
			if len(data) > 0 && r.IntN(3) > 0 {
				lo := r.IntN(len(data))
				hi := lo + r.IntN(len(data)-lo+1)
				switch r.IntN(4) {
				case 0:
					lo = 0
				case 1:
					hi = len(data)
				}
				b = bytes.Clone(data[lo:hi])
				for j := range b {
					if r.IntN(4) == 0 && b[j]|0x20 >= 'a' && b[j]|0x20 <= 'z' {
						b[j] ^= 0x20
					}
				}
			} else {
				b = randBytes(r, alpha, r.IntN(24))
			}
			ps[i] = Pattern{Bytes: b, NoCase: r.IntN(2) == 0, Anchor: Anchor(r.IntN(4))}
			if ps[i].Anchor == Anywhere && len(b) < shortest && r.IntN(20) > 0 {
				ps[i].Anchor = Suffix
			}
		}
		m := Build(ps)
		hits += checkLaw(t, m, ps, data, &s)
		for range 5 {
			hits += checkLaw(t, m, ps, randBytes(r, alpha, r.IntN(40)), &s)
		}
	}
	if hits < 10000 {
		t.Fatalf("only %d patterns occurred: the test does not test", hits)
	}
}

func randBytes(r *rand.Rand, alpha string, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		if alpha == "" {
			b[i] = byte(r.Uint32())
		} else {
			b[i] = alpha[r.IntN(len(alpha))]
		}
	}
	return b
}

// TestPrefixes scans every prefix and every suffix of a text that holds all patterns.
func TestPrefixes(t *testing.T) {
	text := []byte("GET /very/Long.path?q=1 HTTP/1.1\r\nHost: sub.domain.very.evil.example.com\r\n\r\n\x00\x01\x02\x03tail.of.the.text")
	var ps []Pattern
	for lo := 0; lo < len(text); lo += 3 {
		for _, n := range []int{1, 2, 3, 4, 5, 8, 9, 16, 17, 33} {
			if lo+n <= len(text) {
				ps = append(ps, Pattern{Bytes: text[lo : lo+n], NoCase: lo%2 == 0, Anchor: Anchor(lo % 4)})
			}
		}
	}
	m := Build(ps)
	var s Scratch
	for i := range text {
		checkLaw(t, m, ps, text[:i], &s)
		checkLaw(t, m, ps, text[i:], &s)
	}
}

func TestManyInOneBucket(t *testing.T) {
	var ps []Pattern
	for i := range 300 {
		ps = append(ps,
			Pattern{Bytes: fmt.Appendf(nil, "%d.dyndns.example.org", i), Anchor: Suffix},
			Pattern{Bytes: fmt.Appendf(nil, "/wp-content/plugins/%d", i), Anchor: Prefix},
			Pattern{Bytes: bytes.Repeat([]byte{'a'}, 4+i)},
		)
	}
	m := Build(ps)
	var s Scratch
	for _, d := range []string{"x7.dyndns.example.org", "299.dyndns.example.org", "/wp-content/plugins/299x", string(bytes.Repeat([]byte{'a'}, 500))} {
		if checkLaw(t, m, ps, []byte(d), &s) == 0 {
			t.Fatalf("%q: nothing", d)
		}
	}
}

func TestScanAllocatesNothing(t *testing.T) {
	ps := []Pattern{{Bytes: []byte("needle")}, {Bytes: []byte("hay"), NoCase: true}, {Bytes: []byte(".org"), Anchor: Suffix}, {Bytes: []byte("x")}, {Bytes: []byte("stack"), Anchor: Prefix}}
	m := Build(ps)
	var s Scratch
	data := []byte("stack of HAY with a needle x.org")
	m.Scan(data, &s)
	if n := testing.AllocsPerRun(100, func() {
		if len(m.Scan(data, &s)) != len(ps) {
			t.Fatal("missed")
		}
	}); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}

func TestConcurrent(t *testing.T) {
	ps := []Pattern{{Bytes: []byte("needle")}, {Bytes: []byte("hay")}}
	m := Build(ps)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			var s Scratch
			for range 200 {
				if len(m.Scan([]byte("a needle in the hay"), &s)) != 2 {
					t.Error("missed")
				}
			}
		})
	}
	wg.Wait()
}

// FuzzScan: the first byte of each pattern line says fold and anchor; patterns and data are the fuzzer's.
func FuzzScan(f *testing.F) {
	f.Add([]byte("0abc\n1ABC\n4x\n6evil.com"), []byte("xabc.evil.com"))
	f.Add([]byte("2aaaa\n3AAAAAAAAA\n5aaaaaaaaaaaaaaaaa"), []byte("AAAAaaaaaaaaaaaaaaaaaaaaaa"))
	f.Add([]byte("0\n1\x00\x00\n7\xff"), []byte{0, 0, 0, 0xff})
	f.Fuzz(func(t *testing.T, list, data []byte) {
		if len(list) > 4096 || len(data) > 4096 {
			return
		}
		var ps []Pattern
		for line := range bytes.SplitSeq(list, []byte{'\n'}) {
			if len(line) == 0 {
				continue
			}
			ps = append(ps, Pattern{Bytes: line[1:], NoCase: line[0]&1 != 0, Anchor: Anchor(line[0] >> 1 & 3)})
		}
		var s Scratch
		m := Build(ps)
		checkLaw(t, m, ps, data, &s)
		checkLaw(t, m, ps, data, &s)
	})
}
