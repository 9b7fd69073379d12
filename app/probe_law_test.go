package app

import (
	"math/rand/v2"
	"testing"
)

// TestProbesCut: what a probe of streams says does not depend on how many
// bytes it was shown before, or who cuts the beginning small goes unseen.
func TestProbesCut(t *testing.T) {
	krb5 := krb5Request(t)
	seeds := []string{
		"\x00\x00\x00\x50" + string(krb5),
		"\x00\x00\x00\x60" + string(krb5Reply(t)),
		string(modbusTalk()[0].data), string(modbusTalk()[1].data), string(enipTalk()[0].data),
		"\x05\x64\x05\xc9\x01\x00\x00\x00\x36\x4c", "\x0aDNP3 here and more",
		string(nfsTalk()[0].data), string(nfsTalk()[1].data),
		"\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04abcd",
		"\x03\x00\x00\x13\x0e\xe0\x00\x00\x00\x00\x00\x01\x00\x08\x00\x03\x00\x00\x00",
		h2frame(h2Settings, 0, 0, "\x00\x03\x00\x00\x00\x64"),
	}
	for _, say := range pgsqlTalk() {
		seeds = append(seeds, string(say.data))
	}
	for _, say := range smbTalk() {
		seeds = append(seeds, string(say.data))
	}
	r := rand.New(rand.NewPCG(7, 7))
	for range 1000 {
		data := []byte(seeds[r.IntN(len(seeds))])
		for range r.IntN(3) {
			data[r.IntN(len(data))] = [...]byte{0, 1, 5, 0x30, 0x7f, 0x80, 0xff, byte(r.Uint32())}[r.IntN(8)]
		}
		for i := range streamPorts {
			q := &streamPorts[i]
			if q.proto == DNS {
				continue // whose unfinished messages are believed on less than whole ones
			}
			for d, probe := range q.probe {
				if probe == nil {
					continue
				}
				ask := func(n int) answer {
					if n < q.least {
						return more
					}
					a := probe(&probeIn{data: data[:n], dir: Dir(d), srcPort: 40000, dstPort: q.ports[0].First})
					if a == more && n > q.limit {
						a = no
					}
					return a
				}
				whole := ask(len(data))
				for n := 1; n < len(data); n++ {
					if a := ask(n); a != more && a != whole {
						t.Fatalf("%v, %v: %d bytes of %q say %d, all say %d", q.proto, Dir(d), n, data, a, whole)
					}
				}
			}
		}
	}
}
