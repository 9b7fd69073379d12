package detect

import (
	"fmt"
	"github.com/garita/garita/rule"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/garita/garita/packet"
)

// TestIndexLosesNothing: whatever a rule is found by (its beginning, its size, its
// ports, the length of its stream), the same rules match as if all were tried.
func TestIndexLosesNothing(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 1))
	var rules []string
	for sid := 1; sid <= 400; sid++ {
		head, gates := fmt.Sprintf("alert tcp any %s -> any %s (flow:to_server; ",
			[]string{"any", "any", "1234", "!80"}[r.IntN(4)], []string{"any", "any", "80", "[81,90:95]", "1000:"}[r.IntN(5)]), ""
		if r.IntN(4) == 0 {
			gates += fmt.Sprintf("dsize:%s; ", []string{"<10", "5", "5<>20", ">8", "!7"}[r.IntN(5)])
		}
		if r.IntN(4) == 0 {
			gates += fmt.Sprintf("stream_size:%s,%s,%d; ", []string{"server", "client", "both", "either"}[r.IntN(4)],
				[]string{"<", "<=", "=", ">"}[r.IntN(4)], r.IntN(40))
		}
		_, opts, _ := strings.Cut(randomChain(r, sid), "(")
		text := head + gates + opts
		if parsed, _ := rule.Parse("test", text, rule.Options{}); len(parsed) == 1 {
			if _, problems := Compile(parsed, Config{}); len(problems) == 0 { // dsize may be too small for the contents
				rules = append(rules, text)
			}
		}
	}
	cfg := Config{MaxAlerts: 1000, Inline: true}
	set, all := compile(t, cfg, rules...), compile(t, cfg, rules...)
	for i := range all.sigs {
		all.sigs[i].fast.buf = -1
	}
	all.payload, all.plain, all.ipOnly = [2][nPayload]payGroup{}, [2][nClass][]uint32{}, ipIndex{}
	(&compiler{rs: all}).index()
	gated := &set.payload[0][payTCPPacket]
	if gated.near.m == nil || gated.young[0].m == nil || gated.young[1].m == nil || len(gated.ports[0]) == 0 || len(gated.ports[1]) == 0 || gated.far.m == nil {
		t.Fatal("not every kind of place has a rule")
	}
	letters := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = "abAB1 "[r.IntN(6)]
		}
		return b
	}
	w, every := NewWorker(set), NewWorker(all)
	var o Outcome
	total := 0
	for range 2000 {
		p := pktFrom("10.0.0.1", "203.0.113.5", uint16(1233+r.IntN(2)), []uint16{80, 81, 92, 1000}[r.IntN(4)], packet.ProtoTCP, string(letters(r.IntN(24))))
		in := &Input{Packet: p, Established: true, InStream: r.IntN(2) == 0}
		if r.IntN(2) == 0 {
			in.Raw, in.RawOffset = letters(1+r.IntN(24)), uint64(r.IntN(3)*r.IntN(12))
		}
		size := [2]uint32{uint32(r.IntN(40)), uint32(r.IntN(40))}
		in.Flow = &Flow{StreamSize: size}
		w.Inspect(in, &o)
		got := sidsOf(&o)
		in.Flow = &Flow{StreamSize: size}
		every.Inspect(in, &o)
		want := sidsOf(&o)
		slices.Sort(got)
		slices.Sort(want)
		total += len(want)
		if !slices.Equal(got, want) {
			t.Fatalf("%q, stream %q from %d, sizes %v: %v, want %v", p.Payload(), in.Raw, in.RawOffset, size, got, want)
		}
	}
	if total == 0 {
		t.Fatal("nothing matched at all")
	}
}
