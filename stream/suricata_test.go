package stream

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/garita/garita/packet"
)

// pcapWriter makes a capture file of raw IP packets.
type pcapWriter struct{ bytes.Buffer }

func newPcap() *pcapWriter {
	w := &pcapWriter{}
	var h [24]byte
	binary.LittleEndian.PutUint32(h[0:], 0xa1b2c3d4)
	binary.LittleEndian.PutUint16(h[4:], 2)
	binary.LittleEndian.PutUint16(h[6:], 4)
	binary.LittleEndian.PutUint32(h[16:], 65535)
	binary.LittleEndian.PutUint32(h[20:], 101) // LINKTYPE_RAW
	w.Write(h[:])
	return w
}

func (w *pcapWriter) packet(b []byte, now int64) {
	var h [16]byte
	binary.LittleEndian.PutUint32(h[0:], uint32(now/1e9))
	binary.LittleEndian.PutUint32(h[4:], uint32(now%1e9/1e3))
	binary.LittleEndian.PutUint32(h[8:], uint32(len(b)))
	binary.LittleEndian.PutUint32(h[12:], uint32(len(b)))
	w.Write(h[:])
	w.Write(b)
}

// runSuricata runs the installed Suricata over a capture and returns the
// folder of its output. It is the reference, where it is installed.
func runSuricata(t *testing.T, pcap []byte, yaml, rules string, args ...string) string {
	t.Helper()
	bin, err := exec.LookPath("suricata")
	if err != nil {
		t.Skip("suricata is not installed, there is nothing to compare with")
	}
	dir := t.TempDir()
	write := func(name, text string) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	pf := write("in.pcap", string(pcap))
	cf := write("s.yaml", "%YAML 1.1\n---\n"+yaml)
	rf := write("s.rules", rules)
	out := filepath.Join(dir, "out")
	if err := os.Mkdir(out, 0o700); err != nil {
		t.Fatal(err)
	}
	args = append([]string{"-c", cf, "-S", rf, "-r", pf, "-l", out, "-k", "none", "--runmode", "single", "--no-random"}, args...)
	if b, err := exec.Command(bin, args...).CombinedOutput(); err != nil {
		t.Fatalf("suricata: %v\n%s", err, b)
	}
	return out
}

// For every overlap policy, Suricata puts the same bytes into the stream.
func TestOverlapAgainstSuricata(t *testing.T) {
	if testing.Short() {
		t.Skip("short")
	}
	w := newPcap()
	type script struct {
		pol    Policy
		out    []byte
		ref    []byte // what Suricata's walk should give
		script string
		name   string
	}
	var all []script
	now := int64(1_700_000_000e9)
	var hosts []HostPolicy
	yaml := &strings.Builder{}
	yaml.WriteString("vars:\n  address-groups:\n    HOME_NET: any\n    EXTERNAL_NET: any\nstats:\n  enabled: no\noutputs:\n  - tcp-data:\n      enabled: yes\n      type: file\n      filename: tcp-data.log\n" +
		"stream:\n  memcap: 64mb\n  checksum-validation: no\n  reassembly:\n    memcap: 256mb\n    depth: 1mb\nhost-os-policy:\n")
	for p := range nPolicies {
		if p == First || p == Last {
			continue // not words of host-os-policy
		}
		net := fmt.Sprintf("10.%d.0.0/16", 100+p)
		fmt.Fprintf(yaml, "  %s: [%s]\n", p, net)
		hosts = append(hosts, HostPolicy{netip.MustParsePrefix(net), p})
	}
	for i := range 130 * 4 {
		rng := rand.New(rand.NewPCG(11, uint64(i)))
		pol := Policy(i % int(First))
		c := newConv(t, Config{HostOS: hosts, NoRaw: true})
		text := &strings.Builder{}
		send := func(s seg) {
			now += 1e6
			b := s.bytes(uint16(2000+i), 80)
			at := 16
			if s.dir == ToClient {
				at = 12
			}
			b[at+1] = byte(100 + pol)
			now += 1e3
			w.packet(b, now)
			c.p = packet.Packet{Data: b, Time: now}
			c.p.Decode()
			c.sendPacket(s.dir)
			fmt.Fprintf(text, "%d %v seq %d ack %d %q\n", s.dir, s.flags, int(s.seq)-cISN-1, int(s.ack)-cISN-1, s.data)
		}
		send(seg{flags: synFlag, seq: cISN})
		send(seg{dir: ToClient, flags: synFlag | ackFlag, seq: sISN, ack: cISN + 1})
		send(seg{flags: ackFlag, seq: cISN + 1, ack: sISN + 1})
		size := 30
		ref := &quirkModel{policy: pol, have: map[int]byte{}}
		var have [100]bool
		for range 3 + rng.IntN(10) {
			data := make([]byte, 2+rng.IntN(12))
			for j := range data {
				data[j] = byte('a' + rng.IntN(26))
			}
			off := rng.IntN(size)
			for j := range data {
				have[off+j] = true
			}
			send(seg{flags: ackFlag, seq: cISN + 1 + uint32(off), ack: sISN + 1, data: data})
			ref.take(off, data)
		}
		// Close the holes.
		for a := 0; a < 50; a++ {
			b := a
			for b < 50 && !have[b] {
				b++
			}
			if b > a {
				send(seg{flags: ackFlag, seq: cISN + 1 + uint32(a), ack: sISN + 1, data: bytes.Repeat([]byte("#"), b-a)})
				ref.take(a, bytes.Repeat([]byte("#"), b-a))
				a = b
			}
		}
		send(seg{dir: ToClient, flags: ackFlag, seq: sISN + 1, ack: cISN + 51})
		send(seg{flags: ackFlag, seq: cISN + 51, ack: sISN + 1, data: []byte("end")})
		send(seg{dir: ToClient, flags: ackFlag, seq: sISN + 1, ack: cISN + 54})
		c.finish()
		ref.take(50, []byte("end"))
		all = append(all, script{pol, c.out[0], ref.bytes(), text.String(), fmt.Sprintf("10.0.0.1_%d-10.%d.0.2_80-ts", 2000+i, 100+pol)})
	}
	out := runSuricata(t, w.Bytes(), yaml.String(), "")
	streams := tcpData(t, filepath.Join(out, "tcp-data.log"))
	differ, compared, quirks := map[Policy]int{}, 0, 0
	for _, s := range all {
		b := streams[s.name]
		if len(b) == 0 {
			t.Fatalf("Suricata has no stream %s", s.name)
		}
		compared++
		if !bytes.Equal(s.ref, s.out) {
			quirks++
		}
		if !bytes.Equal(b, s.out) && (bytes.Equal(s.ref, s.out) || !bytes.Equal(b, s.ref)) {
			differ[s.pol]++
			if differ[s.pol] == 1 {
				t.Logf("%v:\nours     %q\nsuricata %q\n%s", s.pol, s.out, b, s.script)
			}
		}
	}
	t.Logf("%d streams compared; in %d, Suricata's walk misses a segment behind a shorter one", compared, quirks)
	if quirks > compared/2 {
		t.Errorf("too few comparable streams")
	}
	if len(differ) != 0 {
		t.Errorf("of %d streams other than Suricata's, by policy: %v", compared, differ)
	}
}

// tcpData reads the hex dumps of Suricata's tcp-data.log, by stream.
func tcpData(t *testing.T, name string) map[string][]byte {
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	m := map[string][]byte{}
	cur := ""
	for _, l := range strings.Split(string(b), "\n") {
		if !strings.HasPrefix(l, " ") {
			cur = strings.TrimSuffix(l, ":")
			continue
		}
		h := strings.TrimSpace(l[6:])
		if len(h) > 48 {
			h = h[:48]
		}
		for _, x := range strings.Fields(h) {
			var v byte
			if n, err := fmt.Sscanf(x, "%02X", &v); n != 1 || err != nil || len(x) != 2 {
				break
			}
			m[cur] = append(m[cur], v)
		}
	}
	return m
}

// quirkModel resolves overlaps as Suricata does, including what its walk to
// the left misses: it ends at the first segment that does not reach the new
// one, though one before that may.
type quirkModel struct {
	policy Policy
	have   map[int]byte
	segs   []span // by offset, then length
}

func (m *quirkModel) take(off int, data []byte) {
	sp := span{uint64(off), uint64(off + len(data))}
	at := 0
	for at < len(m.segs) && (m.segs[at].off < sp.off || m.segs[at].off == sp.off && m.segs[at].end < sp.end) {
		at++
	}
	keep := map[uint64]bool{}
	check := func(o span) {
		if !m.policy.replaces(sp.off, sp.end, o.off, o.end) {
			for b := max(o.off, sp.off); b < min(o.end, sp.end); b++ {
				keep[b] = true
			}
		}
	}
	right := at
	if at < len(m.segs) && m.segs[at] == sp {
		check(m.segs[at])
		right++
	}
	for i := at - 1; i >= 0 && m.segs[i].end > sp.off; i-- {
		check(m.segs[i])
	}
	for i := right; i < len(m.segs) && m.segs[i].off < sp.end; i++ {
		check(m.segs[i])
	}
	for i, b := range data {
		if _, ok := m.have[off+i]; !ok || !keep[uint64(off+i)] {
			m.have[off+i] = b
		}
	}
	if right == at {
		m.segs = append(m.segs[:at], append([]span{sp}, m.segs[at:]...)...)
	}
}

func (m *quirkModel) bytes() (b []byte) {
	for i := 0; ; i++ {
		c, ok := m.have[i]
		if !ok {
			return b
		}
		b = append(b, c)
	}
}

// The raw stream is inspected with the same packets, and in the same windows,
// as Suricata does it: a pattern alerts on the same packets, and is missed
// where it is missed there.
func TestRawAgainstSuricata(t *testing.T) {
	for _, inline := range []bool{false, true} {
		for _, size := range []int{300, 1000, 1460} {
			w := newPcap()
			now := int64(1_700_000_000e9)
			rules := &strings.Builder{}
			port := uint16(2000)
			var pats []string
			ours, theirs := map[string][]int{}, map[string][]int{}
			number, first := 0, map[string]int{}
			for at := 100; at < 12000; at += 449 {
				port++
				pat := fmt.Sprintf("PAT%05d", at)
				pats = append(pats, pat)
				first[pat] = number
				fmt.Fprintf(rules, "alert tcp any any -> any any (msg:\"%s\"; content:\"%s\"; sid:%d;)\n", pat, pat, port)
				tr := New(Config{Inline: inline})
				var s TCP
				send := func(g seg) {
					now += 1e6
					number++
					b := g.bytes(port, 9999)
					w.packet(b, now)
					p := packet.Packet{Data: b, Time: now}
					p.Decode()
					tr.Update(&s, &p, g.dir)
					for d := range Dir(2) {
						for {
							if _, ok := tr.App(&s, d); !ok {
								break
							}
						}
					}
					if raw, _ := tr.Raw(&s, g.dir); len(raw) > 0 {
						if bytes.Contains(raw, []byte(pat)) {
							ours[pat] = append(ours[pat], number-first[pat])
						}
						tr.RawDone(&s, g.dir)
					}
					tr.Commit(&s)
				}
				send(seg{flags: synFlag, seq: cISN})
				send(seg{dir: ToClient, flags: synFlag | ackFlag, seq: sISN, ack: cISN + 1})
				send(seg{flags: ackFlag, seq: cISN + 1, ack: sISN + 1})
				data := bytes.Repeat([]byte("x"), 12008)
				copy(data[at:], pat)
				for i := 0; i < len(data); i += size {
					n := min(size, len(data)-i)
					send(seg{flags: ackFlag, seq: cISN + 1 + uint32(i), ack: sISN + 1, data: data[i : i+n]})
					send(seg{dir: ToClient, flags: ackFlag, seq: sISN + 1, ack: cISN + 1 + uint32(i+n)})
				}
			}
			mode, args := "no", []string(nil)
			if inline {
				mode, args = "yes", []string{"--simulate-ips"}
			}
			out := runSuricata(t, w.Bytes(), "vars:\n  address-groups:\n    HOME_NET: any\n    EXTERNAL_NET: any\nstats:\n  enabled: no\noutputs:\n  - eve-log:\n      enabled: yes\n      filetype: regular\n      filename: eve.json\n      types:\n        - alert\n"+
				"stream:\n  memcap: 64mb\n  inline: "+mode+"\n  checksum-validation: no\n  reassembly:\n    memcap: 256mb\n    depth: 1mb\n    toserver-chunk-size: 2560\n    toclient-chunk-size: 2560\n    randomize-chunk-size: no\n", rules.String(), args...)
			for _, l := range readEve(t, out) {
				p := l.Alert.Signature
				// Alerts at the end of the flow have no packet of the capture.
				if n := l.PcapCnt - first[p]; l.PcapCnt > 0 {
					theirs[p] = append(theirs[p], n)
				}
			}
			bad := 0
			for _, p := range pats {
				if fmt.Sprint(ours[p]) != fmt.Sprint(theirs[p]) {
					bad++
					t.Logf("inline %v size %d %s: ours %v theirs %v", inline, size, p, ours[p], theirs[p])
				}
			}
			if bad > 0 {
				t.Errorf("inline %v, segments of %d: %d of %d patterns differ", inline, size, bad, len(pats))
			}
		}
	}
}
