package app

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// piece is what one side says before the other does.
type piece struct {
	dir  Dir
	data []byte
}

func ts(s string) piece { return piece{ToServer, []byte(s)} }
func tc(s string) piece { return piece{ToClient, []byte(s)} }

// dumpTx writes everything that a transaction tells.
func dumpTx(w *strings.Builder, t Tx) {
	b := t.Base()
	fmt.Fprintf(w, "tx %d %v progress %v oneway %v events %v\n", b.ID, b.Proto, b.Progress, b.OneWay, b.Events)
	for f := NoField + 1; f < NField; f++ {
		info := f.Info()
		if !info.Protos.Has(b.Proto) {
			continue
		}
		for d := ToServer; d <= ToClient; d++ {
			for i := range 300 {
				var ok bool
				switch info.Kind {
				case KindText:
					var v []byte
					if v, ok = t.Bytes(f, d, i); ok {
						fmt.Fprintf(w, "  %v %d %d %q\n", f, d, i, v)
					}
				case KindNumber:
					var v uint64
					if v, ok = t.Number(f, d, i); ok {
						fmt.Fprintf(w, "  %v %d %d %d\n", f, d, i, v)
					}
				case KindBody:
					if v := t.Body(f, d, i); v != nil {
						ok = true
						fmt.Fprintf(w, "  %v %d %d total %d done %v %q\n", f, d, i, v.Total, v.Done, v.Data)
					}
				}
				if !ok {
					break
				}
			}
		}
	}
	for _, f := range b.Files {
		fmt.Fprintf(w, "  file %q %d total %d done %v trunc %v gaps %v\n", f.Name, f.Dir, f.Total, f.Done, f.Truncated, f.Gaps)
	}
}

// dumpConn writes everything that a connection tells.
func dumpConn(c *Conn) string {
	var w strings.Builder
	fmt.Fprintf(&w, "proto %v done %v encrypted %v events %v\n", c.Proto(), c.Done(), c.Encrypted(), c.Events)
	for _, e := range c.Expected {
		fmt.Fprintf(&w, "expected %v %v %d\n", e.Proto, e.Listener, e.Port)
	}
	for _, t := range c.Transactions() {
		dumpTx(&w, t)
	}
	return w.String()
}

// talk gives a conversation to a fresh connection of protocol p (Unknown: to
// be recognised), cut by cut: it returns the length of the next chunk.
func talk(p Proto, say []piece, closed bool, cut func(left int) int) *Conn {
	return talkOn(9999, p, say, closed, cut)
}

// talkOn is talk to a port of the server.
func talkOn(port uint16, p Proto, say []piece, closed bool, cut func(left int) int) *Conn {
	env := NewEnv(Config{})
	c := new(Conn)
	h := Hints{SrcPort: 40000, DstPort: port}
	if p != Unknown {
		h.Expected = &Expectation{Proto: p}
	}
	c.Reset(env, h)
	for _, s := range say {
		for b := s.data; len(b) > 0; {
			n := min(max(cut(len(b)), 1), len(b))
			c.Feed(s.dir, append([]byte(nil), b[:n]...))
			b = b[n:]
		}
	}
	if closed {
		c.Close(ToServer)
		c.Close(ToClient)
	}
	return c
}

func whole(left int) int { return left }

func randomCuts(r *rand.Rand) func(int) int {
	most := []int{1, 3, 17, 200, 1460, 1 << 20}[r.IntN(6)]
	return func(left int) int { return 1 + r.IntN(min(left, most)) }
}

// checkCuts is the law of the package: any chunking gives the same.
func checkCuts(t *testing.T, p Proto, say []piece, n int) {
	t.Helper()
	want := dumpConn(talk(p, say, true, whole))
	r := rand.New(rand.NewPCG(1, uint64(len(want))))
	for i := range n {
		cut := randomCuts(r)
		if i == 0 {
			cut = func(int) int { return 1 }
		}
		if got := dumpConn(talk(p, say, true, cut)); got != want {
			t.Fatalf("chunking %d changes the transactions:\n--- whole\n%s\n--- cut\n%s", i, clip(want), clip(got))
		}
	}
}

// checkPrefixes feeds every prefix of the conversation: nothing may break.
func checkPrefixes(t *testing.T, p Proto, say []piece) {
	t.Helper()
	for i, s := range say {
		step := 1 + len(s.data)/400
		for n := 0; n <= len(s.data); n += step {
			part := append(append([]piece(nil), say[:i]...), piece{s.dir, s.data[:n]})
			_ = dumpConn(talk(p, part, true, whole))
		}
	}
}

// checkGaps loses bytes at every boundary: nothing may break.
func checkGaps(t *testing.T, p Proto, say []piece) {
	t.Helper()
	r := rand.New(rand.NewPCG(7, 7))
	for range 50 {
		env := NewEnv(Config{})
		c := new(Conn)
		c.Reset(env, Hints{Expected: &Expectation{Proto: p}})
		for _, s := range say {
			for b := s.data; len(b) > 0; {
				n := 1 + r.IntN(len(b))
				if r.IntN(4) == 0 {
					c.Gap(s.dir, uint64(n))
				} else {
					c.Feed(s.dir, b[:n])
				}
				b = b[n:]
			}
		}
		c.Close(ToClient)
		c.Close(ToServer)
		_ = dumpConn(c)
	}
}

func checkLaws(t *testing.T, p Proto, say []piece) {
	t.Helper()
	checkCuts(t, p, say, 40)
	checkPrefixes(t, p, say)
	checkGaps(t, p, say)
}

func clip(s string) string {
	if len(s) > 6000 {
		return s[:6000] + "…"
	}
	return s
}

// fuzzStream runs hostile bytes of both directions through a parser, whole
// and cut, and compares.
func fuzzStream(f *testing.F, p Proto, seeds ...[]piece) {
	for _, say := range seeds {
		var a, b []byte
		for _, s := range say {
			if s.dir == ToServer {
				a = append(a, s.data...)
			} else {
				b = append(b, s.data...)
			}
		}
		f.Add(a, b, uint64(len(a)))
	}
	f.Fuzz(func(t *testing.T, a, b []byte, seed uint64) {
		say := []piece{{ToServer, a}, {ToClient, b}}
		if seed&1 == 1 {
			say[0], say[1] = say[1], say[0]
		}
		want := dumpConn(talk(p, say, true, whole))
		got := dumpConn(talk(p, say, true, randomCuts(rand.New(rand.NewPCG(seed, 1)))))
		if got != want {
			t.Fatalf("chunking changes the transactions:\n--- whole\n%s\n--- cut\n%s", clip(want), clip(got))
		}
	})
}

// fuzzDatagrams runs hostile datagrams through a parser.
func fuzzDatagrams(f *testing.F, p Proto, seeds ...[]byte) {
	for _, s := range seeds {
		f.Add(s, false)
		f.Add(s, true)
	}
	f.Fuzz(func(t *testing.T, b []byte, toClient bool) {
		d := ToServer
		if toClient {
			d = ToClient
		}
		_ = dumpConn(tell(p, piece{d, b}, piece{d.Other(), b}))
	})
}

// tell gives datagrams to a fresh connection of protocol p.
func tell(p Proto, say ...piece) *Conn { return tellOn(9999, p, say...) }

// tellOn is tell to a port of the server.
func tellOn(port uint16, p Proto, say ...piece) *Conn {
	c := new(Conn)
	h := Hints{Transport: UDP, SrcPort: 40000, DstPort: port}
	if p != Unknown {
		h.Expected = &Expectation{Proto: p}
	}
	c.Reset(NewEnv(Config{}), h)
	for _, s := range say {
		c.Datagram(s.dir, append([]byte(nil), s.data...))
	}
	return c
}

// field is the i-th value of a text field of the n-th transaction.
func field(t *testing.T, c *Conn, n int, f Field, d Dir, i int) string {
	t.Helper()
	txs := c.Transactions()
	if n >= len(txs) {
		t.Fatalf("%d transactions, want number %d", len(txs), n)
	}
	b, ok := txs[n].Bytes(f, d, i)
	if !ok {
		return "<absent>"
	}
	return string(b)
}
