package app

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// joined puts pieces of one direction that follow each other together.
func joined(say []piece) []piece {
	var out []piece
	for _, s := range say {
		if n := len(out); n > 0 && out[n-1].dir == s.dir {
			out[n-1].data = append(out[n-1].data, s.data...)
			continue
		}
		out = append(out, piece{s.dir, bytes.Clone(s.data)})
	}
	return out
}

// TestCorpusCuts: the streams of real captures, recognition included, give the
// same transactions however they are cut.
func TestCorpusCuts(t *testing.T) {
	tmp := filepath.Join(t.TempDir(), "capture")
	r := rand.New(rand.NewPCG(11, 5))
	streams, bad := 0, 0
	var by [NProto]int
	corpusTar(t, "et_dev_captures.tar.xz", func(path string, data []byte) {
		if !strings.Contains(path, ".pcap") || len(data) > 1<<20 {
			return
		}
		if err := os.WriteFile(tmp, data, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, f := range playCapture(t, tmp, nil) {
			total := 0
			for _, s := range f.say {
				total += len(s.data)
			}
			if f.udp || len(f.say) == 0 || total > 128<<10 {
				continue
			}
			say := joined(f.say)
			play := func(cut func(int) int) string {
				c := new(Conn)
				c.Reset(NewEnv(Config{}), Hints{SrcPort: f.a.Port(), DstPort: f.b.Port()})
				for _, s := range say {
					for b := s.data; len(b) > 0; {
						n := min(max(cut(len(b)), 1), len(b))
						c.Feed(s.dir, b[:n])
						b = b[n:]
					}
				}
				c.Close(ToServer)
				c.Close(ToClient)
				by[c.Proto()]++
				// Whether the second direction is recognised before the parser of
				// the first gives up does depend on chunks.
				c.Events = nil
				return dumpConn(c)
			}
			want := play(whole)
			streams++
			for range 3 {
				if got := play(randomCuts(r)); got != want {
					if bad++; bad < 4 {
						t.Errorf("%s %s:\n--- whole\n%s\n--- cut\n%s", path, f.key(), clip(want), clip(got))
					}
					break
				}
			}
		}
	})
	t.Logf("%d streams, of which %d depend on how they are cut", streams, bad)
	for p, n := range by {
		if n > 0 {
			t.Logf("%v %d", Proto(p), n/4)
		}
	}
	if streams == 0 {
		t.Error("no streams")
	}
}
