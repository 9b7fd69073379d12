package app

import (
	"bytes"
	"compress/flate"
	"io"
	"math/rand/v2"
	"testing"
)

// deflated compresses p at a level.
func deflated(t testing.TB, p []byte, level int) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, level)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(p); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// inflateTexts are inputs that reach every kind of block.
func inflateTexts() [][]byte {
	r := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 70000)
	for i := range noise {
		noise[i] = byte(r.Uint32())
	}
	words := make([]byte, 0, 200000)
	for len(words) < 190000 {
		words = append(words, []string{"alpha ", "beta ", "gamma\n", "delta-", "x"}[r.IntN(5)]...)
		if r.IntN(50) == 0 {
			words = append(words, noise[r.IntN(1000):][:r.IntN(40)]...)
		}
	}
	return [][]byte{nil, []byte("a"), []byte("hello, hello, hello"), bytes.Repeat([]byte{0}, 100000), noise, words}
}

func TestInflateAnyCut(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	z := new(inflater)
	for i, text := range inflateTexts() {
		for _, level := range []int{0, 1, 6, 9, flate.HuffmanOnly} {
			packed := append(deflated(t, text, level), "trailing"...)
			for _, size := range []int{1, 3, 100, 1 << 20} {
				z.reset()
				var out, rest []byte
				for p := packed; len(p) > 0; {
					n := min(len(p), 1+r.IntN(size))
					if z.state == inflDone {
						rest = append(rest, p[:n]...)
					} else {
						var back []byte
						out, back = z.push(out, p[:n], 1<<30)
						rest = append(rest, back...)
					}
					p = p[n:]
				}
				if z.state != inflDone || !bytes.Equal(out, text) || string(rest) != "trailing" {
					t.Fatalf("text %d level %d pieces %d: state %d, %d of %d bytes, rest %q", i, level, size, z.state, len(out), len(text), rest)
				}
			}
		}
	}
}

func FuzzInflate(f *testing.F) {
	for _, text := range inflateTexts()[:3] {
		f.Add(deflated(f, text, 9), uint8(7))
	}
	f.Fuzz(func(t *testing.T, p []byte, cut uint8) {
		want, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(p)), 1<<20))
		z := new(inflater)
		z.reset()
		var out []byte
		for q := p; len(q) > 0 && z.state != inflDone; {
			n := min(len(q), int(cut)+1)
			out, _ = z.push(out, q[:n], 1<<20)
			q = q[n:]
		}
		if len(out) > 1<<20 {
			out = out[:1<<20]
		}
		if err == nil && !bytes.Equal(out, want) {
			t.Fatalf("got %d bytes, want %d", len(out), len(want))
		}
		if z.state == inflDone && err != nil {
			t.Fatalf("accepted what the standard library refuses: %v", err)
		}
	})
}

func BenchmarkInflate(b *testing.B) {
	text := inflateTexts()[5]
	packed := deflated(b, text, 6)
	z := new(inflater)
	out := make([]byte, 0, 300000)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		z.reset()
		out, _ = z.push(out[:0], packed, 1<<30)
	}
}

func BenchmarkInflateStd(b *testing.B) {
	text := inflateTexts()[5]
	packed := deflated(b, text, 6)
	b.SetBytes(int64(len(text)))
	rd := flate.NewReader(bytes.NewReader(packed))
	for b.Loop() {
		rd.(flate.Resetter).Reset(bytes.NewReader(packed), nil)
		io.Copy(io.Discard, rd)
	}
}
