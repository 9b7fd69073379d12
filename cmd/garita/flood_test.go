package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/garita/garita/internal/lab"
)

// The budgets that garita gets under a flood, and what it may hold beyond what
// it held before: the budgets, and as much again for Go's collector, which lets
// the heap double before it looks, and for what lies in queues.
const (
	floodFlows, floodStreams, floodFrags = 16 << 20, 32 << 20, 8 << 20

	floodCap = 2*(floodFlows+floodStreams+floodFrags) + 32<<20
)

// nowhere are addresses behind the lab's server that answer nothing.
var nowhere = [2]netip.Addr{netip.MustParseAddr("10.77.9.1"), netip.MustParseAddr("fd77:9::1")}

func routeNowhere(t *testing.T, l *lab.Lab) {
	t.Helper()
	do := func(n lab.Node, r func(i int, r *netlink.Route)) {
		if err := l.In(n, func() error {
			nl, err := netlink.NewHandle(unix.NETLINK_ROUTE)
			if err != nil {
				return err
			}
			defer nl.Close()
			for i, bits := range []int{24, 64} {
				rt := &netlink.Route{Dst: &net.IPNet{IP: nowhere[i].AsSlice(), Mask: net.CIDRMask(bits, nowhere[i].BitLen())}}
				rt.Dst.IP = rt.Dst.IP.Mask(rt.Dst.Mask)
				r(i, rt)
				if err := nl.RouteAdd(rt); err != nil {
					return fmt.Errorf("route to nowhere: %w", err)
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	do(lab.Gateway, func(i int, r *netlink.Route) {
		r.Gw = [2]netip.Addr{lab.ServerIP4, lab.ServerIP6}[i].AsSlice()
	})
	do(lab.Server, func(_ int, r *netlink.Route) { r.Type = unix.RTN_BLACKHOLE })
}

// memory is a line of the program's /proc/PID/status, in bytes.
func (a *agent) memory(t *testing.T, name string) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", a.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, name+":"); ok {
			n, _ := strconv.Atoi(strings.Fields(v)[0])
			return n << 10
		}
	}
	t.Fatalf("no %s in the status", name)
	return 0
}

// lastStats is the last stats record of a log.
func lastStats(t *testing.T, file string) func(name string) uint64 {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var stats map[string]any
	for line := range bytes.Lines(b) {
		var r struct {
			Type  string         `json:"event_type"`
			Stats map[string]any `json:"stats"`
		}
		if json.Unmarshal(line, &r) == nil && r.Type == "stats" {
			stats = r.Stats
		}
	}
	return func(name string) uint64 {
		t.Helper()
		var v any = stats
		for _, k := range strings.Split(name, ".") {
			m, _ := v.(map[string]any)
			v = m[k]
		}
		f, ok := v.(float64)
		if !ok {
			t.Errorf("the stats record has no %s", name)
		}
		return uint64(f)
	}
}

// downloads fetches the large page until told to stop and says how often it
// came whole.
func downloads(l *lab.Lab, stop <-chan struct{}) (times int, err error) {
	c := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return l.Dial(ctx, lab.Client, network, addr)
		}}}
	for {
		r, err := c.Get("http://" + lab.ServerIP4.String() + "/large")
		if err != nil {
			return times, err
		}
		var b bytes.Buffer
		_, err = b.ReadFrom(r.Body)
		r.Body.Close()
		if err != nil {
			return times, err
		}
		if b.Len() != lab.LargeSize || strings.Trim(b.String(), "g") != "" {
			return times, fmt.Errorf("%d bytes of %d came, or others", b.Len(), lab.LargeSize)
		}
		times++
		select {
		case <-stop:
			return times, nil
		default:
		}
	}
}

// scaled is full with GARITA_FULL, otherwise a tenth, less still under
// emulation.
func scaled(full int) int {
	switch {
	case os.Getenv("GARITA_FULL") != "":
		return full
	case os.Getenv("GARITA_SLOW") != "":
		return full / 200
	}
	return full / 10
}

// underFlood runs garita with small budgets, the flood, and downloads beside
// it, and returns the counters of the end.
func underFlood(t *testing.T, flood func(l *lab.Lab, h host, a *attacker)) func(string) uint64 {
	t.Helper()
	l := newLab(t)
	h := newVictim(t, l)
	routeNowhere(t, l)
	a := newAttacker(t, l)
	dir := t.TempDir()
	config := filepath.Join(dir, "garita.yaml")
	if err := os.WriteFile(config, []byte("outputs:\n  - eve-log:\n      enabled: yes\n      filename: eve.json\n      types:\n        - stats\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ag := start(t, l, "--queues", "1", "--log-dir", dir, "--config", config,
		"--set", fmt.Sprintf("flow.memcap=%d", floodFlows),
		"--set", fmt.Sprintf("stream.reassembly.memcap=%d", floodStreams),
		"--set", fmt.Sprintf("defrag.memcap=%d", floodFrags),
		"--rule", `drop tcp any any -> any any (msg:"forbidden"; content:"`+forbidden+`"; sid:1;)`)
	before := ag.memory(t, "VmRSS")
	stop := make(chan struct{})
	type result struct {
		n   int
		err error
	}
	fetched := make(chan result, 1)
	go func() {
		n, err := downloads(l, stop)
		fetched <- result{n, err}
	}()
	began := time.Now()
	flood(l, h, a)
	took := time.Since(began)
	close(stop)
	r := <-fetched
	if r.err != nil {
		t.Errorf("the download beside the flood, after %d that went well: %v", r.n, r.err)
	}
	peak := ag.memory(t, "VmHWM")
	if peak-before > floodCap {
		t.Errorf("the flood took %d MiB, more than %d MiB", (peak-before)>>20, floodCap>>20)
	}
	packets, _, dropped := summary(t, ag.stop(t))
	t.Logf("%v; garita judged %d packets and dropped %d; memory before %d MiB, at most %d MiB; %d downloads whole",
		took.Round(time.Millisecond), packets, dropped, before>>20, peak>>20, r.n)
	return lastStats(t, filepath.Join(dir, "eve.json"))
}

// Two million SYNs of two million senders that never answer.
func TestFloodSYN(t *testing.T) {
	n := scaled(2_000_000)
	stat := underFlood(t, func(l *lab.Lab, _ host, a *attacker) {
		s := tcpSpec{flags: syn, win: 1000, dport: victimWeb}
		b := [2][]byte{s.packet(attackerIP[0], nowhere[0]), s.packet(attackerIP[1], nowhere[1])}
		for i := range n {
			p := b[i&1]
			p4 := p[len(p)-20:]
			// Another sender each time: its port and the last bytes of its address.
			binary.BigEndian.PutUint16(p4, uint16(i>>1)+1)
			if i&1 == 0 {
				p[15] = byte(100 + i>>17)
				binary.BigEndian.PutUint16(p[10:], 0)
				binary.BigEndian.PutUint16(p[10:], ^uint16(sum16(0, p[:20])))
			} else {
				binary.BigEndian.PutUint32(p[20:], uint32(i)|1<<31)
			}
			if err := a.send(p); err != nil {
				t.Error(err)
				return
			}
		}
	})
	if f := stat("flow.memuse"); f > floodFlows+1<<20 {
		t.Errorf("flow.memuse %d", f)
	}
	if os.Getenv("GARITA_SLOW") == "" {
		if stat("flow.emerg_mode_entered") == 0 || stat("flow.evicted.new") == 0 {
			t.Errorf("emergencies %d, half-open flows evicted %d, of %d flows: the flood was none", stat("flow.emerg_mode_entered"), stat("flow.evicted.new"), stat("flow.total"))
		}
	}
	if stat("flow.evicted.established") != 0 {
		t.Errorf("%d established flows had to go", stat("flow.evicted.established"))
	}
	t.Logf("%d sent; %d flows, %d evicted half-open, %d bytes", n, stat("flow.total"), stat("flow.evicted.new"), stat("flow.memuse"))
}

// A hundred thousand fragments of packets that never become whole.
func TestFloodFragments(t *testing.T) {
	n := 100_000
	if os.Getenv("GARITA_SLOW") != "" {
		n = 2000
	}
	stat := underFlood(t, func(l *lab.Lab, _ host, a *attacker) {
		data := bytes.Repeat([]byte("f"), 1200)
		for i := range n {
			v := i & 1
			p := udpPacket(attackerIP[v], nowhere[v], 1000, 9, data)
			if err := a.send(fragments(p, 600, uint32(i))[i>>1&1]); err != nil {
				t.Error(err)
				return
			}
		}
	})
	if m := stat("defrag.memuse"); m > floodFrags {
		t.Errorf("defrag.memuse %d", m)
	}
	if seen := stat("defrag.fragments"); seen < uint64(n)/10 || os.Getenv("GARITA_SLOW") == "" && stat("defrag.evicted") == 0 {
		t.Errorf("of %d fragments %d were seen, %d given up", n, seen, stat("defrag.evicted"))
	}
	t.Logf("%d sent; %d seen, %d packets given up, %d bytes held", n, stat("defrag.fragments"), stat("defrag.evicted"), stat("defrag.memuse"))
}

// One connection with a million segments of one byte, out of order, with holes
// between them that never close.
func TestFloodTinySegments(t *testing.T) {
	n := scaled(1_000_000)
	stat := underFlood(t, func(l *lab.Lab, h host, a *attacker) {
		h.serve(t)
		s := &script{port: 7777, isn: 99, news: make(chan struct{}, 1)}
		a.mu.Lock()
		a.tcp[s.port], a.echo[s.port] = s, make(chan uint32, 4)
		a.mu.Unlock()
		sp := tcpSpec{seq: s.isn, flags: syn, win: 60000, sport: s.port, dport: victimWeb, opts: s.options(true, false)}
		open := false
		for try := 0; try < 20 && !open; try++ {
			if err := a.send(sp.packet(attackerIP[0], victimIP[0])); err != nil {
				t.Error(err)
				return
			}
			open = s.wait(time.Second, func() bool { return s.state == 1 })
		}
		if !open {
			t.Error("no answer to the SYN")
			return
		}
		sp = tcpSpec{seq: s.isn + 1, ack: s.sisn + 1, flags: ack, win: 60000, sport: s.port, dport: victimWeb}
		if err := a.send(sp.packet(attackerIP[0], victimIP[0])); err != nil {
			t.Error(err)
			return
		}
		r := rand.New(rand.NewPCG(3, 3))
		sp.data = []byte("x")
		for i := range n {
			sp.seq = s.isn + 3 + 2*uint32(r.IntN(30_000))
			if err := a.send(sp.packet(attackerIP[0], victimIP[0])); err != nil {
				t.Error(err)
				return
			}
			if i%128 == 127 {
				if err := a.barrier(0, s.port, uint32(i)); err != nil {
					t.Error(err)
					return
				}
			}
		}
	})
	if stat("tcp.insert_data_normal_fail")+stat("tcp.segment_memcap_drop") == 0 {
		t.Error("nothing had to be refused: the flood was none")
	}
	t.Logf("%d sent; %d refused for the connection's budget, %d for that of all, %d overlapped", n,
		stat("tcp.insert_data_normal_fail"), stat("tcp.segment_memcap_drop"), stat("tcp.overlap"))
}
