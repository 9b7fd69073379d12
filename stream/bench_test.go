package stream

import (
	"testing"

	"github.com/garita/garita/packet"
)

// BenchmarkSession is the cost per packet of Update, App and Commit in a
// download: 1,400-byte segments, an acknowledgement for every second one.
func BenchmarkSession(b *testing.B) {
	for _, m := range []struct {
		name string
		cfg  Config
	}{
		{"detect", Config{NoRaw: true, Depth: -1}},
		{"detect-raw", Config{Depth: -1}},
		{"inline", Config{Inline: true, NoRaw: true, Depth: -1}},
		{"inline-raw", Config{Inline: true, Depth: -1}},
	} {
		b.Run(m.name, func(b *testing.B) {
			tr := New(m.cfg)
			var s TCP
			data := make([]byte, 1400)
			var pk [3]packet.Packet
			open := []seg{{flags: synFlag, seq: 0}, {dir: ToClient, flags: synFlag | ackFlag, seq: 0, ack: 1}, {flags: ackFlag, seq: 1, ack: 1}}
			for i := range open {
				open[i].packet(&pk[0], 1e18)
				tr.Update(&s, &pk[0], open[i].dir)
				tr.Commit(&s)
			}
			mk := []seg{
				{dir: ToClient, flags: ackFlag, seq: 1, ack: 1, data: data},
				{dir: ToClient, flags: ackFlag, seq: 1401, ack: 1, data: data},
				{flags: ackFlag, seq: 1, ack: 2801},
			}
			for i := range mk {
				mk[i].packet(&pk[i], 1e18)
			}
			seq := uint32(1)
			b.ReportAllocs()
			b.ResetTimer()
			for i := 0; b.Loop(); i++ {
				p := &pk[i%3]
				h := p.Transport()
				put := func(at int, v uint32) {
					h[at], h[at+1], h[at+2], h[at+3] = byte(v>>24), byte(v>>16), byte(v>>8), byte(v)
				}
				switch i % 3 {
				case 0, 1:
					put(4, seq)
					seq += 1400
				case 2:
					put(8, seq)
				}
				dir := mk[i%3].dir
				r := tr.Update(&s, p, dir)
				if r.Invalid {
					b.Fatal(r.Events)
				}
				for d := range Dir(2) {
					for r.Ready[d] {
						if _, ok := tr.App(&s, d); !ok {
							break
						}
					}
					if !m.cfg.NoRaw {
						tr.Raw(&s, d)
						tr.RawDone(&s, d)
					}
				}
				tr.Commit(&s)
			}
		})
	}
}
