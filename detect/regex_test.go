package detect

import (
	"math/rand/v2"
	"testing"
)

// TestRegexPrefilter: a rule that has nothing but an expression is found by a string in it, and
// that changes no answer: the same rule that cannot be found so says the same.
func TestRegexPrefilter(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	found, hits := 0, 0
	for _, re := range []string{
		"/ab+a/", "/aba|bab/", "/(ab)?ba1/i", "/^ab1/m", "/a(?=b1)b/", "/(?!ab)ba/", "/(?<=ab)1a/", "/(ab|ba){2}1/", "/[ab]b1A?/", "/(?i)AB(?-i)1a/",
		"/\\x61b{2,3}1/", "/(a)(b)\\1\\2/", "/(?>ab|a)b1/", "/a.?b1/s", "/ab1$/", "/(?:ab1)*ba/", "/B\\QA1\\E/", "/ab\\K1/",
	} {
		set := compile(t, Config{}, `alert udp any any -> any any (pcre:"`+re+`"; sid:1;)`)
		bare := compile(t, Config{}, `alert udp any any -> any any (pcre:"/(?:`+re[1:len(re)-len(tail(re))]+`)`+tail(re)+`"; sid:1;)`)
		for i := range bare.sigs {
			bare.sigs[i].fast.buf = -1
		}
		bare = reindexed(bare)
		if set.sigs[0].fast.buf >= 0 {
			found++
		}
		for range 400 {
			b := make([]byte, r.IntN(12))
			for i := range b {
				b[i] = "abAB1\n"[r.IntN(6)]
			}
			got, want := len(sids(t, set, &Input{Packet: pkt(17, string(b))})), len(sids(t, bare, &Input{Packet: pkt(17, string(b))}))
			if got != want {
				t.Fatalf("%s on %q: %d, without the prefilter %d", re, b, got, want)
			}
			hits += want
		}
	}
	if found < 12 || hits == 0 {
		t.Errorf("%d expressions are found by a string, %d matches", found, hits)
	}
}

// tail is the closing slash of an expression and what is behind it.
func tail(re string) string {
	i := len(re) - 1
	for re[i] != '/' {
		i--
	}
	return re[i:]
}

// reindexed builds the indexes of a ruleset anew.
func reindexed(rs *Ruleset) *Ruleset {
	fresh := &Ruleset{cfg: rs.cfg, sigs: rs.sigs, buffers: rs.buffers, addrs: rs.addrs, ports: rs.ports}
	(&compiler{rs: fresh, cfg: &fresh.cfg}).index()
	return fresh
}
