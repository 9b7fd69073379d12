package divert_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/garita/garita/divert"
	"github.com/garita/garita/internal/nstest"
	"github.com/garita/garita/packet"
)

func install(t testing.TB, spec divert.Spec) *divert.Diversion {
	t.Helper()
	if spec.Lifelines.SSHPorts == nil {
		spec.Lifelines.SSHPorts = []uint16{22} // not this machine's
	}
	d, err := divert.Install(spec)
	must(t, err)
	t.Cleanup(func() { must(t, d.Close()) })
	t.Logf("backend %s, ownership %s, degraded %q", d.Backend(), d.Ownership(), d.Degraded())
	return d
}

// nothingLeft fails unless the namespace is free of our tables.
func nothingLeft(t testing.TB) {
	t.Helper()
	found, err := divert.List()
	must(t, err)
	for i := range found {
		t.Errorf("left behind: %s", &found[i])
	}
}

func TestHooks(t *testing.T) {
	if !nstest.Inside(t) {
		return
	}
	w := newWorld(t)
	q := bind(t, 7)
	install(t, divert.Spec{Queue: 7})
	for _, v := range []struct{ client, ours, server string }{
		{client4 + ":5000", our1 + ":5001", server4 + ":5002"},
		{"[" + client6 + "]:5000", "[" + our61 + "]:5001", "[" + server6 + "]:5002"},
	} {
		client := udp(t, w.client, v.client)
		ours := udp(t, 0, v.ours)
		server := udp(t, w.server, v.server)
		for _, x := range []struct {
			from, at *net.UDPConn
			to       string
			hook     packet.Hook
		}{
			{client, ours, v.ours, packet.Input},
			{ours, client, v.client, packet.Output},
			{client, server, v.server, packet.Forward},
			{server, client, v.client, packet.Forward},
		} {
			text := fmt.Sprintf("%s at %d", x.to, x.hook)
			send(t, x.from, x.to, text)
			p := q.next()
			if p.text() != text || packet.Hook(p.hook) != x.hook || p.queue != 7 {
				t.Fatalf("queue %d hook %d got %q, want %q at hook %d", p.queue, p.hook, p.text(), text, x.hook)
			}
			q.accept(p)
			expect(t, x.at, text)
		}
	}
}

func TestOtherHooks(t *testing.T) {
	if !nstest.Inside(t) {
		return
	}
	w := newWorld(t)
	q := bind(t, 0)
	install(t, divert.Spec{Hooks: []packet.Hook{packet.Postrouting, packet.Prerouting}})
	client, server := udp(t, w.client, client4+":5000"), udp(t, w.server, server4+":5002")
	send(t, client, server4+":5002", "through")
	for _, want := range []packet.Hook{packet.Prerouting, packet.Postrouting} {
		p := q.next()
		if packet.Hook(p.hook) != want {
			t.Fatalf("hook %d, want %d", p.hook, want)
		}
		q.accept(p)
	}
	expect(t, server, "through")

	// ssh to this host is spared at prerouting, ssh through it is not.
	found, err := divert.List()
	must(t, err)
	if len(found) != 1 || len(found[0].Chains) != 2 {
		t.Fatalf("found %v", found)
	}
	listenTCP(t, 0, our1+":22")
	in(t, w.client, func() {
		c, err := net.DialTimeout("tcp", our1+":22", 60*time.Second)
		must(t, err)
		c.Close()
	})
	listenTCP(t, w.server, server4+":22")
	connect(t, w.client, server4+":22")
	if p := q.next(); p.proto() != unix.IPPROTO_TCP {
		t.Fatalf("got protocol %d, want the forwarded ssh", p.proto())
	}
}

// listenTCP listens in ns (0 = ours), accepts for the rest of the test
func listenTCP(t testing.TB, ns netns.NsHandle, addr string) {
	t.Helper()
	var l net.Listener
	open := func() {
		var err error
		l, err = net.Listen("tcp", addr)
		must(t, err)
	}
	if ns == 0 {
		open()
	} else {
		in(t, ns, open)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
}

// passes: a packet gets through although nobody answers the queue.
// taken: it is the next one in the queue.
type probe struct {
	from, to string // client or ours or server side by address
	taken    bool
}

func TestFilters(t *testing.T) {
	if !nstest.Inside(t) {
		return
	}
	w := newWorld(t)
	q := bind(t, 0)
	const (
		cl, ou, se    = client4, our1, server4
		cl6, ou6, se6 = "[" + client6 + "]", "[" + our61 + "]", "[" + server6 + "]"
	)
	in, out, fwd := packet.Input, packet.Output, packet.Forward
	for _, c := range []struct {
		name   string
		spec   divert.Spec
		probes []probe
	}{
		{"proto udp", divert.Spec{Protocols: []uint8{unix.IPPROTO_UDP}}, []probe{
			{cl + ":1000", ou + ":2000", true}, {cl6 + ":1000", ou6 + ":2000", true}}},
		{"proto tcp", divert.Spec{Protocols: []uint8{unix.IPPROTO_TCP}}, []probe{
			{cl + ":1000", ou + ":2000", false}, {cl6 + ":1000", ou6 + ":2000", false}}},
		{"ports", divert.Spec{Ports: []divert.PortRange{{First: 53}, {First: 2000, Last: 2010}}}, []probe{
			{cl + ":1000", ou + ":2000", true}, {cl + ":1000", ou + ":2010", true}, {cl + ":1000", ou + ":2011", false},
			{cl + ":1000", ou + ":1999", false}, {cl + ":53", se + ":1999", true}, {se + ":2005", cl + ":53", true},
			{cl6 + ":1000", ou6 + ":2005", true}, {cl6 + ":1000", se6 + ":1999", false}}},
		{"proto and port", divert.Spec{Protocols: []uint8{unix.IPPROTO_TCP}, Ports: []divert.PortRange{{First: 53}}}, []probe{
			{cl + ":1000", ou + ":53", false}}},
		{"in", divert.Spec{In: []string{"s0"}}, []probe{
			{cl + ":1000", ou + ":2000", false}, {cl + ":1000", se + ":2000", false}, {se + ":1000", cl + ":2000", true},
			{ou + ":1000", cl + ":2000", false}}},
		{"out", divert.Spec{Out: []string{"s0"}}, []probe{
			{cl + ":1000", ou + ":2000", false}, {cl + ":1000", se + ":2000", true}, {se + ":1000", cl + ":2000", false},
			{our2 + ":1000", se + ":2000", true}, {ou + ":1000", cl + ":2000", false}}},
		{"in and out", divert.Spec{In: []string{"nope", "c0"}, Out: []string{"c0"}}, []probe{
			{cl + ":1000", ou + ":2000", true}, {ou + ":1000", cl + ":2000", true}, {cl6 + ":1000", se6 + ":2000", false},
			{se + ":1000", cl + ":2000", false}}},
		{"in wildcard", divert.Spec{In: []string{"c+"}}, []probe{
			{cl + ":1000", ou + ":2000", true}, {se + ":1000", our2 + ":2000", false}}},
		{"in any", divert.Spec{In: []string{"*"}}, []probe{
			{cl + ":1000", ou + ":2000", true}, {ou + ":1000", cl + ":2000", false}}},
		{"in, out and port", divert.Spec{In: []string{"c*"}, Out: []string{"s*"}, Ports: []divert.PortRange{{First: 80}}}, []probe{
			{cl + ":1000", se + ":80", true}, {cl + ":1000", se + ":81", false}, {cl6 + ":80", se6 + ":81", true}}},
		{"one hook", divert.Spec{Hooks: []packet.Hook{in}}, []probe{
			{cl + ":1000", ou + ":2000", true}, {ou + ":1000", cl + ":2000", false}, {cl + ":1000", se + ":2000", false}}},
		{"two hooks", divert.Spec{Hooks: []packet.Hook{out, fwd}}, []probe{
			{cl + ":1000", ou + ":2000", false}, {ou6 + ":1000", cl6 + ":2000", true}, {cl + ":1000", se + ":2000", true}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := install(t, c.spec)
			for i, p := range c.probes {
				from, to := udp(t, w.home(p.from), p.from), udp(t, w.home(p.to), p.to)
				text := fmt.Sprintf("%s %d: %s to %s", c.name, i, p.from, p.to)
				send(t, from, p.to, text)
				if p.taken {
					got := q.next()
					if got.text() != text {
						t.Fatalf("queue got %q, want %q", got.text(), text)
					}
					q.accept(got)
				}
				expect(t, to, text)
				from.Close()
				to.Close()
			}
			must(t, d.Stop())
			must(t, d.Remove())
			nothingLeft(t)
		})
	}
}

// home is the namespace that has the address, 0 for ours.
func (w *world) home(addr string) netns.NsHandle {
	switch netip.MustParseAddrPort(addr).Addr().String() {
	case client4, client6:
		return w.client
	case server4, server6:
		return w.server
	}
	return 0
}

func TestSpread(t *testing.T) {
	if !nstest.Inside(t) {
		return
	}
	w := newWorld(t)
	q := bind(t, 10, 11, 12, 13)
	d := install(t, divert.Spec{Queue: 10, Queues: 4, Hooks: []packet.Hook{packet.Forward}})
	if len(d.Degraded()) != 0 && d.Ownership() != divert.Locked {
		t.Errorf("this kernel has the hash expression, but: %q", d.Degraded())
	}
	const flows = 60
	for _, v := range []struct{ client, server string }{{client4, server4}, {"[" + client6 + "]", "[" + server6 + "]"}} {
		seen := map[uint32]int{}
		server := udp(t, w.server, v.server+":7000")
		for i := range flows {
			addr := fmt.Sprintf("%s:%d", v.client, 20000+i)
			client := udp(t, w.client, addr)
			send(t, client, v.server+":7000", "there")
			there := q.next()
			q.accept(there)
			expect(t, server, "there")
			send(t, server, addr, "back")
			back := q.next()
			q.accept(back)
			expect(t, client, "back")
			if there.queue != back.queue {
				t.Errorf("flow of %s: there by queue %d, back by %d", addr, there.queue, back.queue)
			}
			seen[there.queue]++
			client.Close()
		}
		// 60 flows over 4 queues: a queue that gets fewer than 3 has a chance
		// of 10^-6 under an even hash.
		for n := uint32(10); n < 14; n++ {
			if seen[n] < 3 {
				t.Errorf("%s: queue %d got %d of %d flows: %v", v.client, n, seen[n], flows, seen)
			}
		}
		t.Logf("%s: flows by queue: %v", v.client, seen)
	}
}

func TestLifelines(t *testing.T) {
	if !nstest.Inside(t) {
		return
	}
	w := newWorld(t)
	q := bind(t, 0) // and nobody answers: what is not spared never arrives
	install(t, divert.Spec{
		Hooks:     []packet.Hook{packet.Prerouting, packet.Input, packet.Forward, packet.Output, packet.Postrouting},
		Lifelines: divert.Lifelines{SSHPorts: []uint16{22}, SSHConnection: "10.1.0.2 40000 10.1.0.1 2222"},
	})
	// IPv6 first: connecting needs neighbour discovery to pass as well.
	for _, addr := range []string{"[" + our61 + "]:22", our1 + ":22", our1 + ":2222"} {
		listenTCP(t, 0, addr)
		in(t, w.client, func() {
			c, err := net.DialTimeout("tcp", addr, 60*time.Second)
			must(t, err)
			_, err = io.ReadAll(c) // until the listener closes it
			must(t, err)
			c.Close()
		})
	}
	for _, x := range []struct{ from, to string }{
		{client4 + ":68", our1 + ":67"}, {our1 + ":67", client4 + ":68"},
		{"[" + client6 + "]:546", "[" + our61 + "]:547"},
		{"127.0.0.1:1", "127.0.0.1:2"}, {"[::1]:1", "[::1]:2"},
	} {
		from, to := udp(t, w.home(x.from), x.from), udp(t, w.home(x.to), x.to)
		send(t, from, x.to, x.to)
		expect(t, to, x.to)
		from.Close()
		to.Close()
	}
	own := udp(t, 0, our1+":3000")
	rc, err := own.SyscallConn()
	must(t, err)
	must(t, rc.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, int(divert.Marks{}.Own()))
	}))
	must(t, err)
	peer := udp(t, w.client, client4+":3001")
	send(t, own, client4+":3001", "own traffic")
	expect(t, peer, "own traffic")

	// ICMPv6: the real thing is spared, what only pretends is not.
	for _, x := range []struct {
		typ      byte
		hopLimit int
		taken    bool
	}{{133, 255, false}, {135, 255, false}, {137, 255, false}, {143, 1, false}, {130, 1, false},
		{135, 64, true}, {143, 64, true}, {132, 255, true}, {138, 255, true}, {128, 255, true}} {
		var sock int
		in(t, w.client, func() {
			sock, err = unix.Socket(unix.AF_INET6, unix.SOCK_RAW, unix.IPPROTO_ICMPV6)
			must(t, err)
		})
		at, err := unix.Socket(unix.AF_INET6, unix.SOCK_RAW, unix.IPPROTO_ICMPV6)
		must(t, err)
		must(t, unix.SetsockoptInt(sock, unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, x.hopLimit))
		tag := fmt.Sprintf("icmp6 %d/%d", x.typ, x.hopLimit)
		must(t, unix.Sendto(sock, append([]byte{x.typ, 0, 0, 0}, tag...), 0,
			&unix.SockaddrInet6{Addr: netip.MustParseAddr(our61).As16()}))
		if x.taken {
			if p := q.next(); p.proto() != unix.IPPROTO_ICMPV6 || !strings.Contains(string(p.data), tag) {
				t.Errorf("queue got %q, want %q", p.data, tag)
			}
		} else {
			must(t, unix.SetsockoptTimeval(at, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 60}))
			for buf := make([]byte, 2048); ; {
				n, _, err := unix.Recvfrom(at, buf, 0)
				if err != nil {
					t.Fatalf("%s did not arrive: %v", tag, err)
				}
				if strings.Contains(string(buf[:n]), tag) {
					break
				}
			}
		}
		unix.Close(sock)
		unix.Close(at)
	}
	// Not spared: an ordinary packet, and forwarded DHCP.
	send(t, peer, our1+":3000", "ordinary")
	if p := q.next(); p.text() != "ordinary" {
		t.Errorf("queue got %q", p.text())
	}
}

func TestLifelinesOff(t *testing.T) {
	if !nstest.Inside(t) {
		return
	}
	up(t, "lo")
	q := bind(t, 0)
	install(t, divert.Spec{
		Hooks: []packet.Hook{packet.Output},
		Lifelines: divert.Lifelines{DivertLoopback: true, DivertDHCP: true, DivertNeighbours: true, DivertSSH: true,
			SSHConnection: "10.1.0.2 40000 10.1.0.1 2222"},
	})
	a, b := udp(t, 0, "127.0.0.1:68"), udp(t, 0, "127.0.0.1:67")
	send(t, a, "127.0.0.1:67", "dhcp on lo")
	p := q.next()
	if p.text() != "dhcp on lo" {
		t.Fatalf("queue got %q", p.text())
	}
	q.accept(p)
	expect(t, b, "dhcp on lo")
}

func TestStopLosesNothing(t *testing.T) {
	if !nstest.Inside(t) {
		return
	}
	w := newWorld(t)
	q := bind(t, 0, 1)
	d := install(t, divert.Spec{Queues: 2})
	client, ours := udp(t, w.client, client4+":5000"), udp(t, 0, our1+":5001")
	var waiting []queued
	for i := range 20 {
		send(t, client, our1+":5001", fmt.Sprint(i))
		waiting = append(waiting, q.next())
	}
	must(t, d.Stop())
	must(t, d.Stop())
	send(t, client, our1+":5001", "after")
	expect(t, ours, "after")
	if err := d.Check(); !errors.Is(err, divert.ErrStopped) {
		t.Errorf("Check after Stop: %v", err)
	}
	for i, p := range waiting {
		q.accept(p) // an ENOENT here would mean the kernel had dropped it
		expect(t, ours, fmt.Sprint(i))
	}
	// Back again, and an update, while something waits.
	must(t, d.Reinstall())
	send(t, client, our1+":5001", "waits")
	p := q.next()
	must(t, d.Update(divert.Spec{Ports: []divert.PortRange{{First: 99}}, Lifelines: divert.Lifelines{SSHPorts: []uint16{}}}))
	must(t, d.Check())
	send(t, client, our1+":5001", "no longer taken")
	expect(t, ours, "no longer taken")
	q.accept(p)
	expect(t, ours, "waits")
	if err := d.Update(divert.Spec{Hooks: []packet.Hook{packet.Input}}); !errors.Is(err, divert.ErrHooks) {
		t.Errorf("Update of the hooks: %v", err)
	}
	must(t, d.Stop())
	must(t, d.Remove())
	must(t, d.Remove())
	nothingLeft(t)
	if err := d.Reinstall(); !errors.Is(err, divert.ErrStopped) {
		t.Errorf("Reinstall after Remove: %v", err)
	}
}

// dumpAll is everything nf_tables has in this namespace but our own tables.
func dumpAll(t testing.TB) []string {
	t.Helper()
	nl, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	must(t, err)
	defer nl.Close()
	var out []string
	for _, get := range []netlink.HeaderType{unix.NFT_MSG_GETTABLE, unix.NFT_MSG_GETCHAIN, unix.NFT_MSG_GETRULE, unix.NFT_MSG_GETSET} {
		msgs, err := nl.Execute(netlink.Message{
			Header: netlink.Header{Type: unix.NFNL_SUBSYS_NFTABLES<<8 | get, Flags: netlink.Request | netlink.Dump},
			Data:   []byte{0, 0, 0, 0},
		})
		must(t, err)
		for _, m := range msgs {
			if len(m.Data) > 4 && !strings.Contains(string(m.Data), "garita") {
				out = append(out, fmt.Sprintf("%#x %d %x", m.Header.Type, m.Data[0], m.Data[4:]))
			}
		}
	}
	return out
}

// foreignRules makes a rule set such as a firewall would, in several families.
func foreignRules(t testing.TB) {
	t.Helper()
	c, err := nftables.New()
	must(t, err)
	for _, f := range []nftables.TableFamily{nftables.TableFamilyINet, nftables.TableFamilyIPv4, nftables.TableFamilyIPv6} {
		table := c.AddTable(&nftables.Table{Name: "filter", Family: f})
		drop := nftables.ChainPolicyAccept
		for i, h := range []*nftables.ChainHook{nftables.ChainHookInput, nftables.ChainHookForward} {
			chain := c.AddChain(&nftables.Chain{Name: fmt.Sprint("CHAIN", i), Table: table, Type: nftables.ChainTypeFilter,
				Hooknum: h, Priority: nftables.ChainPriorityFilter, Policy: &drop})
			c.AddRule(&nftables.Rule{Table: table, Chain: chain, UserData: []byte("a comment"), Exprs: []expr.Any{
				&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
				&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{250}},
				&expr.Verdict{Kind: expr.VerdictDrop},
			}})
		}
		must(t, c.AddSet(&nftables.Set{Table: table, Name: "banned", KeyType: nftables.TypeInetService},
			[]nftables.SetElement{{Key: []byte{1, 2}}}))
	}
	must(t, c.Flush())
}

func TestForeignRulesUntouched(t *testing.T) {
	if !nstest.Inside(t) {
		return
	}
	foreignRules(t)
	before := dumpAll(t)
	if len(before) < 15 {
		t.Fatalf("the dump has only %d entries", len(before))
	}
	same := func(when string) {
		t.Helper()
		if d := cmp.Diff(before, dumpAll(t)); d != "" {
			t.Errorf("%s the foreign rules differ:\n%s", when, d)
		}
	}
	for _, fail := range []divert.Fail{divert.FailOpen, divert.FailClosed} {
		d := install(t, divert.Spec{Fail: fail, Queues: 3, Ports: []divert.PortRange{{First: 80}}})
		same("after Install")
		must(t, d.Reinstall())
		same("after Reinstall")
		must(t, d.Stop())
		same("after Stop")
		must(t, d.Remove())
		same("after Remove")
		d = install(t, divert.Spec{Fail: fail})
		must(t, d.Close())
		if fail == divert.FailClosed {
			what, err := divert.Clean()
			must(t, err)
			if len(what) == 0 {
				t.Error("Clean found nothing to remove")
			}
			t.Logf("cleaned: %q", what)
		}
		eventually(t, "the table is gone", func() bool { f, err := divert.List(); must(t, err); return len(f) == 0 })
		same("after Clean")
	}
	what, err := divert.Clean()
	if err != nil || what != nil {
		t.Errorf("Clean with nothing there: %q, %v", what, err)
	}
	same("after an empty Clean")
}

func TestAtomic(t *testing.T) {
	if !nstest.Inside(t) {
		return
	}
	_, err := divert.Install(divert.Spec{Ports: []divert.PortRange{{First: 9, Last: 3}}, In: []string{"waytoolonganame0"}})
	var se *divert.SpecError
	if !errors.As(err, &se) {
		t.Errorf("bad spec: %v", err)
	}
	nothingLeft(t)
	what, err := divert.CommitBroken(divert.Spec{Backend: divert.BackendCompat, Queues: 4})
	var ke *divert.Error
	if !errors.As(err, &ke) || ke.Errno != unix.ENOENT || !strings.Contains(what, "broken") {
		// The kernel without nft_compat refuses an earlier rule, with the same errno.
		t.Errorf("broken transaction: %s: %v", what, err)
	}
	nothingLeft(t)
	if d, err := divert.Install(divert.Spec{Backend: divert.BackendNative}); err == nil {
		t.Log("this kernel has the native queue expression")
		if d.Backend() != divert.BackendNative {
			t.Errorf("backend %s", d.Backend())
		}
		must(t, d.Remove())
	} else if !errors.Is(err, divert.ErrNoQueue) || !errors.Is(err, unix.ENOENT) {
		t.Errorf("forced native queue: %v", err)
	} else {
		t.Logf("this kernel has no native queue expression: %v", err)
	}
	nothingLeft(t)
}

func TestCompatBackend(t *testing.T) {
	if !nstest.Inside(t) {
		return
	}
	w := newWorld(t)
	q := bind(t, 0, 1, 2)
	install(t, divert.Spec{Backend: divert.BackendCompat, Queues: 3})
	client, ours := udp(t, w.client, client4+":5000"), udp(t, 0, our1+":5001")
	send(t, client, our1+":5001", "compat")
	q.accept(q.next())
	expect(t, ours, "compat")
	found, err := divert.List()
	must(t, err)
	want := divert.Found{Table: "inet garita", Ownership: divert.Owned, Diverting: true, Queues: []uint16{0, 1, 2}, Backend: divert.BackendCompat}
	if len(found) != 1 {
		t.Fatalf("found %v", found)
	}
	got := found[0]
	if got.Owner.PID != os.Getpid() {
		t.Errorf("the owner is %s, want process %d", got.Owner, os.Getpid())
	}
	if len(got.Chains) != 3 {
		t.Errorf("chains %v", got.Chains)
	}
	got.Owner, got.Chains = divert.Owner{}, nil
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// Without the optional expressions it still diverts.
func TestOldKernelFallbacks(t *testing.T) {
	if !nstest.Inside(t) {
		return
	}
	w := newWorld(t)
	q := bind(t, 0, 1)
	d, err := divert.InstallWithout(divert.Spec{Queues: 2, Hooks: []packet.Hook{packet.Prerouting},
		Lifelines: divert.Lifelines{SSHPorts: []uint16{22}}}, false, false)
	must(t, err)
	t.Cleanup(func() { d.Close() })
	if got := d.Degraded(); len(got) != 2 {
		t.Errorf("degraded: %q", got)
	}
	client, ours := udp(t, w.client, client4+":5000"), udp(t, 0, our1+":5001")
	send(t, client, our1+":5001", "range")
	q.accept(q.next())
	expect(t, ours, "range")
	listenTCP(t, w.server, server4+":22")
	// Without the fib, ssh to anybody gets in unseen; the answer does not.
	connect(t, w.client, server4+":22")
	if src, _ := q.next().ports(); src != 22 {
		t.Errorf("the queue got a packet from port %d, want the server's answer first", src)
	}
}

func TestSecondInstanceRefused(t *testing.T) {
	if !nstest.Inside(t) {
		return
	}
	for _, o := range []divert.Ownership{divert.Owned, divert.Persistent, divert.Locked} {
		d, err := divert.InstallAs(divert.Spec{}, o)
		must(t, err)
		if d.Ownership() != o {
			t.Logf("this kernel gives %s for %s", d.Ownership(), o)
		}
		for _, fail := range []divert.Fail{divert.FailOpen, divert.FailClosed} {
			_, err := divert.Install(divert.Spec{Fail: fail})
			var oe *divert.OwnedError
			if !errors.As(err, &oe) || !errors.Is(err, unix.EPERM) || oe.Owner.PID != os.Getpid() ||
				!strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) {
				t.Errorf("%s, second instance: %v", o, err)
			}
		}
		if _, err := divert.Clean(); !errors.As(err, new(*divert.OwnedError)) {
			t.Errorf("%s, Clean while it lives: %v", o, err)
		}
		must(t, d.Check())
		must(t, d.Remove())
		nothingLeft(t)
	}
}

// Somebody else changes the rule set without end, as orchestrators do for a
// while. We wait for a gap, and work without one.
func TestRestlessRuleset(t *testing.T) {
	if !nstest.Inside(t) {
		return
	}
	stop, done := make(chan struct{}), make(chan int)
	go func() {
		c, err := nftables.New(nftables.AsLasting())
		if err != nil {
			t.Error(err)
			close(done)
			return
		}
		defer c.CloseLasting()
		for n := 0; ; n++ {
			select {
			case <-stop:
				done <- n
				return
			default:
			}
			table := c.AddTable(&nftables.Table{Name: "restless", Family: nftables.TableFamilyINet})
			c.AddSet(&nftables.Set{Table: table, Name: fmt.Sprint("set", n%8), KeyType: nftables.TypeInetService}, nil)
			if n%8 == 7 {
				c.DelTable(table)
			}
			if err := c.Flush(); err != nil {
				t.Error(err)
			}
		}
	}()
	for i := range 20 {
		d := install(t, divert.Spec{Queues: 4, Fail: divert.Fail(i % 2)})
		must(t, d.Check())
		must(t, d.Update(divert.Spec{Queues: 2, Fail: divert.Fail(i % 2)}))
		must(t, d.Stop())
		must(t, d.Remove())
		nothingLeft(t)
	}
	close(stop)
	t.Logf("%d foreign transactions meanwhile", <-done)
}

// What nft lists, where there is an nft: an opinion that is not ours.
func TestNftOracle(t *testing.T) {
	nft, err := exec.LookPath("nft")
	if err != nil {
		t.Skip("no nft program to ask")
	}
	if !nstest.Inside(t) {
		return
	}
	install(t, divert.Spec{Queue: 5, Queues: 2, Fail: divert.FailOpen, Hooks: []packet.Hook{packet.Forward, packet.Prerouting},
		In: []string{"eth0", "wg+"}, Out: []string{"eth1"}, Protocols: []uint8{6, 17}, Ports: []divert.PortRange{{First: 80}, {First: 1000, Last: 2000}}})
	out, err := exec.Command(nft, "list", "ruleset").CombinedOutput()
	must(t, err)
	text := string(out)
	t.Log(text)
	for _, want := range []string{
		"table inet garita", "flags owner", "0x00000001 : goto q1", "symhash mod 2", "vmap @spread",
		"type filter hook forward priority -161; policy accept;", "type filter hook prerouting priority -161; policy accept;",
		`iifname "eth0" goto out`, `iifname "wg*" goto out`, `oifname "eth1" goto select`, "th dport 80 goto queue",
		"th sport 1000-2000 goto queue", "icmpv6", "fib daddr type local accept",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("nft does not list %q", want)
		}
	}
}

func TestUnprivileged(t *testing.T) {
	if !nstest.Inside(t) {
		return
	}
	// The capability goes with this thread only.
	done := make(chan error)
	go func() {
		// No unlock: the thread ends with the goroutine.
		runtime.LockOSThread()
		var none [2]unix.CapUserData
		if err := unix.Capset(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &none[0]); err != nil {
			done <- err
			return
		}
		_, err := divert.Install(divert.Spec{})
		done <- err
	}()
	err := <-done
	if !errors.Is(err, divert.ErrPrivilege) || !errors.Is(err, unix.EPERM) || !strings.Contains(err.Error(), "CAP_NET_ADMIN") {
		t.Errorf("without the capability: %v", err)
	}
}

func TestNetNSOption(t *testing.T) {
	if !nstest.Inside(t) {
		return
	}
	w := newWorld(t)
	d := install(t, divert.Spec{NetNS: int(w.client)})
	must(t, d.Check())
	nothingLeft(t) // here
	in(t, w.client, func() {
		f, err := divert.List()
		must(t, err)
		if len(f) != 1 {
			t.Errorf("found %v in the other namespace", f)
		}
	})
}

func TestParsersOfKernelText(t *testing.T) {
	const text = "sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode\n" +
		"0000000000000000 0   1234       00000000 0        0        0     2        0        11\n" +
		"0000000000000000 12  1234       00000000 0        0        0     2        0        22\n" +
		"0000000000000000 12  -4097      00000000 0        0        0     2        0        33\n" +
		"0000000000000000 12  4294963000 00000000 0        0        0     2        0        44\n" +
		"short line\n"
	for portid, want := range map[uint32]string{1234: "22", 1<<32 - 4097: "33", 4294963000: "44", 9: ""} {
		if got := divert.InodeOf(text, portid); got != want {
			t.Errorf("port %d: inode %q, want %q", portid, got, want)
		}
	}
}
