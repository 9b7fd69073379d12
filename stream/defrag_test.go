package stream

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/garita/garita/packet"
)

// frag describes a fragment: its bytes, where they lie, and whether more come.
type frag struct {
	off  int
	data []byte
	more bool
}

func (f frag) packet(v6 bool, id uint16, now int64) *packet.Packet {
	var b []byte
	if v6 {
		b = make([]byte, 48+len(f.data))
		b[0] = 0x60
		binary.BigEndian.PutUint16(b[4:], uint16(8+len(f.data)))
		b[6], b[7] = 44, 64
		b[23], b[39] = 1, 2
		b[40] = 17
		fo := uint16(f.off)
		if f.more {
			fo |= 1
		}
		binary.BigEndian.PutUint16(b[42:], fo)
		binary.BigEndian.PutUint32(b[44:], uint32(id))
		copy(b[48:], f.data)
	} else {
		b = make([]byte, 20+len(f.data))
		b[0] = 0x45
		binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
		binary.BigEndian.PutUint16(b[4:], id)
		fo := uint16(f.off / 8)
		if f.more {
			fo |= 0x2000
		}
		binary.BigEndian.PutUint16(b[6:], fo)
		b[8], b[9] = 64, 17
		copy(b[12:], []byte{10, 0, 0, 1, 10, 0, 0, 2})
		binary.BigEndian.PutUint16(b[10:], ^sum16(0, b[:20]))
		copy(b[20:], f.data)
	}
	p := &packet.Packet{Data: b, Time: now}
	p.Decode()
	return p
}

// The fragments that Novak published, as letters of eight bytes, and what
// systems make of them.
func TestDefragPolicies(t *testing.T) {
	type part struct {
		letter   byte
		off, len int
	}
	novak := []part{
		{'A', 0, 24}, {'B', 32, 16}, {'C', 48, 24}, {'D', 80, 8}, {'E', 104, 16}, {'F', 120, 24}, {'G', 144, 16},
		{'H', 160, 16}, {'I', 176, 8}, {'J', 8, 32}, {'K', 48, 24}, {'L', 72, 24}, {'M', 96, 24}, {'N', 128, 8},
		{'O', 152, 8}, {'P', 160, 8}, {'Q', 176, 16},
	}
	paxson := []part{{'1', 0, 24}, {'2', 32, 16}, {'3', 48, 24}, {'4', 8, 32}, {'5', 48, 24}, {'6', 72, 24}}
	for _, c := range []struct {
		parts    []part
		policies []Policy
		want     string
	}{
		{novak, []Policy{BSD, HPUX10, IRIX}, "AAAJJBCCCLLLMMMFFFGGHHIQ"},
		{novak, []Policy{Linux, OldLinux}, "AAAJJBKKKLLLMMMFFFGGPHQQ"},
		{novak, []Policy{Windows, Windows2k3}, "AAAJBBCCCLLLMEEFFFGGHHIQ"},
		{novak, []Policy{Solaris}, "AAAJBBCCCLLLMMMFFFGGHHIQ"},
		{novak, []Policy{First, OldSolaris, HPUX11, MacOS, Vista}, "AAAJBBCCCLDLMEEFFFGGHHIQ"},
		{novak, []Policy{Last}, "AJJJJBKKKLLLMMMFNFGOPHQQ"},
		{paxson, []Policy{BSD}, "111442333666"},
		{paxson, []Policy{BSDRight}, "144422555666"},
		{paxson, []Policy{Linux}, "111442555666"},
		{paxson, []Policy{First}, "111422333666"},
		{paxson, []Policy{Last}, "144442555666"},
	} {
		for _, pol := range c.policies {
			for _, v6 := range []bool{false, true} {
				d := NewDefrag(DefragConfig{HostOS: []HostPolicy{{mustPrefix("0.0.0.0/0"), pol}, {mustPrefix("::/0"), pol}}})
				var out packet.Packet
				done := false
				overlaps := 0
				for i, pt := range c.parts {
					f := frag{pt.off, bytes.Repeat([]byte{pt.letter}, pt.len), i < len(c.parts)-1}
					p := f.packet(v6, 7, 1e18)
					if !p.IsFragment() || p.Malformed() != 0 {
						t.Fatalf("fragment %d is not one: %v", i, p.Malformed())
					}
					if done {
						t.Fatal("whole before the last fragment")
					}
					done, _ = d.Add(p, 0, &out)
					for _, e := range p.Events() {
						if strings.HasSuffix(e.String(), "frag_overlap") {
							overlaps++
						}
					}
				}
				if !done {
					t.Fatalf("%v: not made whole", pol)
				}
				var want []byte
				for i := range c.want {
					want = append(want, bytes.Repeat([]byte{c.want[i]}, 8)...)
				}
				got := out.Data[20:]
				if v6 {
					got = out.Data[40:]
					if out.Data[6] != 17 {
						t.Errorf("next header %d", out.Data[6])
					}
				}
				if !bytes.Equal(got, want) {
					t.Errorf("%v v6=%v:\ngot  %q\nwant %q", pol, v6, got, want)
				}
				if out.IsFragment() || !out.IPChecksumOK() {
					t.Errorf("%v v6=%v: the whole packet is a fragment or has a wrong checksum", pol, v6)
				}
				if overlaps == 0 {
					t.Errorf("%v: no overlap was told", pol)
				}
				if d.Memory() != 0 || d.Len() != 0 {
					t.Errorf("%d bytes, %d packets held", d.Memory(), d.Len())
				}
			}
		}
	}
}

// Any order and repetition of fragments that agree gives the packet.
func TestDefragLaw(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	d := NewDefrag(DefragConfig{})
	di := NewDefrag(DefragConfig{Inline: true})
	for i := range 2000 {
		v6 := i&1 == 0
		want := make([]byte, 1+rng.IntN(3000))
		for j := range want {
			want[j] = byte(rng.Uint32())
		}
		var fs []frag
		for at := 0; at < len(want); {
			n := 8 * (1 + rng.IntN(60))
			if at+n >= len(want) || rng.IntN(30) == 0 {
				n = len(want) - at
			}
			fs = append(fs, frag{at, want[at : at+n], at+n < len(want)})
			at += n
		}
		if len(fs) == 1 {
			continue
		}
		again := fs[:rng.IntN(len(fs))]
		fs = append(fs[:len(fs):len(fs)], again...)
		rng.Shuffle(len(fs), func(a, b int) { fs[a], fs[b] = fs[b], fs[a] })
		for _, x := range []*Defrag{d, di} {
			var out packet.Packet
			n := 0
			for _, f := range fs {
				done, drop := x.Add(f.packet(v6, uint16(i), 1e18), 0, &out)
				if drop != NoCause {
					t.Fatalf("script %d: drop %v", i, drop)
				}
				if done {
					n++
					if got := out.Data[len(out.Data)-len(want):]; !bytes.Equal(got, want) {
						t.Fatalf("script %d: wrong bytes", i)
					}
				}
			}
			if n == 0 {
				t.Fatalf("script %d: never whole", i)
			}
		}
	}
}

// Inline, a fragment that overlaps others is refused.
func TestDefragInline(t *testing.T) {
	d := NewDefrag(DefragConfig{Inline: true})
	var out packet.Packet
	data := bytes.Repeat([]byte("x"), 16)
	d.Add(frag{0, data, true}.packet(false, 1, 0), 0, &out)
	if _, drop := d.Add(frag{8, data, true}.packet(false, 1, 0), 0, &out); drop != CauseConflict {
		t.Errorf("an overlap: %v", drop)
	}
	if _, drop := d.Add(frag{0, data, true}.packet(false, 1, 0), 0, &out); drop != NoCause {
		t.Errorf("a copy: %v", drop)
	}
	if done, _ := d.Add(frag{16, data, false}.packet(false, 1, 0), 0, &out); !done || len(out.Data) != 52 {
		t.Error("not made whole")
	}
}

// A hundred thousand packets that never become whole stay within the budget,
// and one that does gets through among them.
func TestDefragFlood(t *testing.T) {
	d := NewDefrag(DefragConfig{Memcap: 8 << 20})
	var out packet.Packet
	data := make([]byte, 1400)
	whole := 0
	for i := range 100_000 {
		p := frag{0, data, true}.packet(i&1 == 0, uint16(i), int64(i)*1e5)
		binary.BigEndian.PutUint32(p.Data[12:], uint32(i)) // a spoofed source
		if i&1 != 0 {
			p.Decode()
		}
		d.Add(p, uint32(i), &out)
		if i%1000 == 0 {
			d.Add(frag{0, data[:8], true}.packet(false, 9, int64(i)*1e5), 1<<30, &out)
			if done, _ := d.Add(frag{8, data[:8], false}.packet(false, 9, int64(i)*1e5), 1<<30, &out); done {
				whole++
			}
		}
		if d.Memory() > 8<<20 {
			t.Fatalf("%d bytes held", d.Memory())
		}
	}
	if whole != 100 {
		t.Errorf("%d of 100 good packets were made whole", whole)
	}
	if d.Evicted == 0 || d.Evicted+uint64(d.Len()) != 100_000-d.Refused {
		t.Errorf("counters do not add up: %+v, %d waiting", d.DefragCounters, d.Len())
	}
}

func TestDefragTimeout(t *testing.T) {
	d := NewDefrag(DefragConfig{})
	var out packet.Packet
	d.Add(frag{0, make([]byte, 8), true}.packet(false, 1, 1e18), 0, &out)
	if done, _ := d.Add(frag{8, make([]byte, 8), false}.packet(false, 1, 1e18+61e9), 0, &out); done {
		t.Error("put together with a fragment that had timed out")
	}
	if d.Timeouts != 1 || d.Len() != 1 {
		t.Errorf("%+v, %d waiting", d.DefragCounters, d.Len())
	}
}

// Hostile fragments of any shape: no panic, and nothing is held in the end.
func FuzzDefrag(f *testing.F) {
	f.Add([]byte{0, 1, 8, 1, 0, 8}, false)
	f.Add([]byte{0, 1, 3, 1, 1, 8, 0, 0, 200, 2, 0, 7}, true)
	f.Fuzz(func(t *testing.T, script []byte, inline bool) {
		d := NewDefrag(DefragConfig{Inline: inline, Memcap: 1 << 16, HostOS: []HostPolicy{{mustPrefix("10.0.0.0/8"), Policy(len(script) % int(nPolicies))}}})
		var out packet.Packet
		now := int64(0)
		for ; len(script) >= 3; script = script[3:] {
			fr := frag{int(script[0]) * 8, bytes.Repeat([]byte{script[2]}, int(script[2])), script[1]&1 != 0}
			now += int64(script[1]>>4) * 1e9
			p := fr.packet(script[1]&2 != 0, uint16(script[1]>>2&1), now)
			if done, _ := d.Add(p, 0, &out); done && out.Malformed() == 0 && out.IsFragment() {
				t.Fatal("the whole is a fragment")
			}
			if d.Memory() > 1<<16+fragOverhead {
				t.Fatalf("%d bytes", d.Memory())
			}
		}
		d.expire(now/1e9 + 1000)
		if d.Memory() != 0 || d.Len() != 0 || d.frags != 0 {
			t.Fatalf("%d bytes, %d packets, %d fragments held", d.Memory(), d.Len(), d.frags)
		}
	})
}
