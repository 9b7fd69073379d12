package detect

import (
	"encoding/binary"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sort"
	"strings"
	"testing"

	"github.com/garita/garita/packet"
	"github.com/garita/garita/rule"
)

// compile compiles rules that must all be right.
func compile(t testing.TB, cfg Config, rules ...string) *Ruleset {
	t.Helper()
	rs, errs := rule.Parse("test", strings.Join(rules, "\n"), rule.Options{})
	for _, e := range errs {
		t.Fatal(e)
	}
	set, problems := Compile(rs, cfg)
	for _, p := range problems {
		if !p.Warning {
			t.Fatal(p)
		}
	}
	return set
}

// pkt makes a packet of the test network: 10.0.0.1:1234 to 203.0.113.5:80.
func pkt(proto uint8, payload string, edit ...func(ip []byte, l4 []byte)) *packet.Packet {
	return pktFrom("10.0.0.1", "203.0.113.5", 1234, 80, proto, payload, edit...)
}

func pktFrom(src, dst string, sport, dport uint16, proto uint8, payload string, edit ...func(ip []byte, l4 []byte)) *packet.Packet {
	a, b := netip.MustParseAddr(src), netip.MustParseAddr(dst)
	var ip []byte
	if a.Is4() {
		ip = make([]byte, 20)
		ip[0], ip[8], ip[9] = 0x45, 64, proto
		s, d := a.As4(), b.As4()
		copy(ip[12:], s[:])
		copy(ip[16:], d[:])
	} else {
		ip = make([]byte, 40)
		ip[0], ip[6], ip[7] = 0x60, proto, 64
		s, d := a.As16(), b.As16()
		copy(ip[8:], s[:])
		copy(ip[24:], d[:])
	}
	var l4 []byte
	switch proto {
	case 6:
		l4 = make([]byte, 20)
		binary.BigEndian.PutUint16(l4, sport)
		binary.BigEndian.PutUint16(l4[2:], dport)
		l4[12], l4[13] = 5<<4, 0x18
	case 17:
		l4 = make([]byte, 8)
		binary.BigEndian.PutUint16(l4, sport)
		binary.BigEndian.PutUint16(l4[2:], dport)
		binary.BigEndian.PutUint16(l4[4:], uint16(8+len(payload)))
	case 1, 58:
		l4 = make([]byte, 8)
		l4[0] = 8
	}
	for _, e := range edit {
		e(ip, l4)
	}
	data := append(append(append([]byte{}, ip...), l4...), payload...)
	if a.Is4() {
		binary.BigEndian.PutUint16(data[2:], uint16(len(data)))
	} else {
		binary.BigEndian.PutUint16(data[4:], uint16(len(data)-40))
	}
	p := &packet.Packet{Data: data, FullLen: uint32(len(data)), Time: 1e18}
	p.Decode()
	return p
}

// sids judges one packet and returns the sids of its alerts.
func sids(t testing.TB, set *Ruleset, in *Input) []uint32 {
	t.Helper()
	var o Outcome
	NewWorker(set).Inspect(in, &o)
	return sidsOf(&o)
}

func sidsOf(o *Outcome) []uint32 {
	var s []uint32
	for _, a := range o.Alerts {
		s = append(s, a.Info.Sid)
	}
	return s
}

func unpack(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("GARITA_SHARED")
	if dir == "" {
		t.Skip("GARITA_SHARED is not set: the corpus is not here")
	}
	out, err := exec.Command("tar", "xJOf", filepath.Join(dir, "corpus", "et-open.rules.tar.xz")).Output()
	if err != nil {
		t.Skip("cannot unpack the corpus:", err)
	}
	return string(out)
}

// TestEmergingThreats compiles the whole of ET Open.
func TestEmergingThreats(t *testing.T) {
	rules, errs := rule.Parse("et-open.rules", unpack(t), rule.Options{})
	if len(errs) != 0 {
		t.Fatal(errs[0])
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	set, problems := Compile(rules, Config{})
	runtime.ReadMemStats(&after)
	why := map[string]int{}
	for _, p := range problems {
		why[p.Keyword+": "+p.What]++
		if testing.Verbose() && why[p.Keyword+": "+p.What] == 1 {
			t.Log(p)
		}
	}
	var keys []string
	for k := range why {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	t.Logf("%+v; %d MB more heap in use, %d MB allocated", set.Stats(), (after.HeapAlloc-before.HeapAlloc)>>20, (after.TotalAlloc-before.TotalAlloc)>>20)
	for _, k := range keys {
		t.Logf("%5d %s", why[k], k)
	}
	if set.Stats().Refused > 0 {
		t.Errorf("%d rules refused", set.Stats().Refused)
	}
}
