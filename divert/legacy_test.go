package divert_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/garita/garita/divert"
	"github.com/garita/garita/internal/nstest"
	"github.com/garita/garita/iptc"
	"github.com/garita/garita/packet"
)

// needLegacy skips where the kernel has no legacy tables, and keeps the xtables
// lock to the test.
func needLegacy(t *testing.T) {
	t.Helper()
	t.Setenv("XTABLES_LOCKFILE", filepath.Join(t.TempDir(), "lock"))
	for _, f := range []iptc.Family{iptc.IPv4, iptc.IPv6} {
		tab, err := iptc.Open(f, "mangle")
		if errors.Is(err, unix.ENOPROTOOPT) || errors.Is(err, unix.ENOENT) {
			t.Skipf("this kernel has no legacy tables: %v", err)
		}
		must(t, err)
		tab.Close()
	}
}

// legacyText is every legacy table with its counters.
func legacyText(t testing.TB) string {
	t.Helper()
	var b strings.Builder
	for _, f := range []iptc.Family{iptc.IPv4, iptc.IPv6} {
		for _, name := range []string{"filter", "mangle", "security"} {
			tab, err := iptc.Open(f, name)
			if errors.Is(err, unix.ENOENT) {
				continue
			}
			must(t, err)
			_, err = tab.Save(&b, iptc.SaveOptions{Counters: true})
			must(t, err)
			tab.Close()
		}
	}
	return b.String()
}

// edit does iptables' commands, one a line, in a table.
func edit(t testing.TB, f iptc.Family, table string, lines ...string) {
	t.Helper()
	must(t, iptc.Edit(f, table, iptc.Lock{}, func(tab *iptc.Table) error {
		for _, line := range lines {
			words, err := iptc.Words(line)
			if err != nil {
				return err
			}
			if err := tab.Command(words); err != nil {
				return err
			}
		}
		return nil
	}))
}

func legacySpec(s divert.Spec) divert.Spec {
	s.Backend = divert.BackendLegacy
	return s
}

func TestLegacyHooks(t *testing.T) {
	if !nstest.Inside(t) {
		return
	}
	needLegacy(t)
	w := newWorld(t)
	q := bind(t, 7)
	for _, f := range []iptc.Family{iptc.IPv4, iptc.IPv6} { // somebody else's rules, at our hooks, with counters
		edit(t, f, "filter", "-N theirs", "-A INPUT -i nowhere -j theirs -c 3 4", "-A theirs -m comment --comment \"not ours\" -c 5 6")
		edit(t, f, "mangle", "-A FORWARD -o nowhere -c 7 8")
	}
	before := legacyText(t)
	d := install(t, legacySpec(divert.Spec{Queue: 7}))
	if d.Backend() != divert.BackendLegacy {
		t.Errorf("backend %s", d.Backend())
	}
	must(t, d.Check())
	for _, v := range []struct{ client, ours, server string }{
		{client4 + ":5000", our1 + ":5001", server4 + ":5002"},
		{"[" + client6 + "]:5000", "[" + our61 + "]:5001", "[" + server6 + "]:5002"},
	} {
		client, ours, server := udp(t, w.client, v.client), udp(t, 0, v.ours), udp(t, w.server, v.server)
		for _, x := range []struct {
			from, at *net.UDPConn
			to       string
			hook     packet.Hook
		}{{client, ours, v.ours, packet.Input}, {ours, client, v.client, packet.Output}, {client, server, v.server, packet.Forward}} {
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
	found, err := divert.List()
	must(t, err)
	if len(found) == 0 || !found[0].Diverting || found[0].Owner.PID != os.Getpid() || fmt.Sprint(found[0].Queues) != "[7]" {
		t.Errorf("found %+v", found)
	}
	var owned *divert.OwnedError
	if _, err := divert.Install(legacySpec(divert.Spec{Queue: 8})); !errors.As(err, &owned) || owned.Owner.PID != os.Getpid() {
		t.Errorf("a second one: %v", err)
	}
	must(t, d.Remove())
	nothingLeft(t)
	if after := legacyText(t); withoutPolicies(after) != withoutPolicies(before) {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

// TestFallsBackToLegacy: a kernel without nf_tables gets the legacy backend
// without being asked, and everything else works there too.
func TestFallsBackToLegacy(t *testing.T) {
	if !nstest.Inside(t) {
		return
	}
	if _, err := divert.InstallAs(divert.Spec{}, divert.Unowned); !errors.Is(err, divert.ErrNoNFTables) {
		if _, err := divert.Clean(); err != nil {
			t.Error(err)
		}
		t.Skip("this kernel has nf_tables: GARITA_KERNEL_WITHOUT=nf_tables test/kernels/run starts one that has not")
	}
	needLegacy(t)
	nothingLeft(t)
	if what, err := divert.Clean(); err != nil || len(what) != 0 {
		t.Errorf("cleaning what is clean: %q, %v", what, err)
	}
	var e *divert.Error
	if _, err := divert.Install(divert.Spec{Backend: divert.BackendNative}); !errors.As(err, &e) || !errors.Is(err, divert.ErrNoNFTables) {
		t.Errorf("native: %v", err)
	}
	w := newWorld(t)
	q := bind(t, 7)
	d := install(t, divert.Spec{Queue: 7})
	if d.Backend() != divert.BackendLegacy {
		t.Fatalf("backend %s", d.Backend())
	}
	client, server := udp(t, w.client, client4+":5000"), udp(t, w.server, server4+":5002")
	send(t, client, server4+":5002", "hello")
	p := q.next()
	if p.text() != "hello" || packet.Hook(p.hook) != packet.Forward {
		t.Errorf("hook %d got %q", p.hook, p.text())
	}
	q.accept(p)
	expect(t, server, "hello")
	must(t, d.Stop())
	must(t, d.Remove())
	nothingLeft(t)
}

// withoutPolicies leaves out the lines that count what passed meanwhile.
func withoutPolicies(s string) string {
	var b strings.Builder
	for line := range strings.Lines(s) {
		if !strings.HasPrefix(line, ":") {
			b.WriteString(line)
		}
	}
	return b.String()
}

// TestLegacySelection: what is chosen is queued, what is spared is not, at all
// five hooks; without anybody at the queue it passes.
func TestLegacySelection(t *testing.T) {
	if !nstest.Inside(t) {
		return
	}
	needLegacy(t)
	w := newWorld(t)
	q := bind(t, 3)
	d := install(t, legacySpec(divert.Spec{Queue: 3, Ports: []divert.PortRange{{First: 5000, Last: 5009}}, In: []string{"c*"},
		Hooks: []packet.Hook{packet.Prerouting, packet.Input}, Lifelines: divert.Lifelines{SSHPorts: []uint16{5005}}}))
	client, ours, other := udp(t, w.client, client4+":6000"), udp(t, 0, our1+":5001"), udp(t, 0, our1+":7001")
	send(t, client, our1+":7001", "not chosen")
	expect(t, other, "not chosen")
	send(t, client, our1+":5001", "chosen")
	for _, h := range []packet.Hook{packet.Prerouting, packet.Input} {
		p := q.next()
		if packet.Hook(p.hook) != h || p.text() != "chosen" {
			t.Fatalf("hook %d: %q", p.hook, p.text())
		}
		q.accept(p)
	}
	expect(t, ours, "chosen")
	listenTCP(t, 0, our1+":5005") // as the ssh server's: spared
	in(t, w.client, func() {
		c, err := net.DialTimeout("tcp", our1+":5005", 60*time.Second)
		must(t, err)
		c.Close()
	})
	must(t, d.Update(legacySpec(divert.Spec{Queue: 9, Queues: 2, Hooks: []packet.Hook{packet.Prerouting, packet.Input},
		Lifelines: divert.Lifelines{SSHPorts: []uint16{22}}})))
	send(t, client, our1+":5001", "nobody there")
	expect(t, ours, "nobody there")
	if text := legacyText(t); !strings.Contains(text, "--queue-balance 9:10 --queue-bypass") {
		t.Errorf("not updated:\n%s", text)
	}
}

// TestLegacyLife: stopped, changed by others, put back, left behind, cleaned.
func TestLegacyLife(t *testing.T) {
	if !nstest.Inside(t) {
		return
	}
	needLegacy(t)
	w := newWorld(t)
	q := bind(t, 0)
	d := install(t, legacySpec(divert.Spec{Fail: divert.FailClosed}))
	client, ours := udp(t, w.client, client4+":6000"), udp(t, 0, our1+":5001")
	send(t, client, our1+":5001", "waits")
	waiting := q.next()
	must(t, d.Stop())
	send(t, client, our1+":5001", "passes")
	expect(t, ours, "passes")
	q.accept(waiting)
	expect(t, ours, "waits")
	if err := d.Check(); !errors.Is(err, divert.ErrStopped) {
		t.Errorf("stopped: %v", err)
	}
	must(t, d.Reinstall())
	must(t, d.Check())

	edit(t, iptc.IPv4, "mangle", "-A INPUT -i nowhere") // not ours: nothing to see
	must(t, d.Check())
	watched := make(chan error, 1)
	go func() { watched <- d.Watch(context.Background()) }()
	found, err := divert.List()
	must(t, err)
	table := strings.Fields(found[0].Table)[2]
	edit(t, iptc.IPv4, table, "-F INPUT")
	var changed *divert.ChangedError
	if err := <-watched; !errors.As(err, &changed) {
		t.Fatalf("watch: %v", err)
	}
	must(t, d.Reinstall())
	must(t, d.Check())
	send(t, client, our1+":5001", "again")
	p := q.next()
	q.accept(p)
	expect(t, ours, "again")

	if _, err := divert.Clean(); err == nil {
		t.Error("cleaned while it lives")
	}
	must(t, d.Close())
	what, err := divert.Clean()
	must(t, err)
	if len(what) == 0 {
		t.Error("nothing was there to be cleaned")
	}
	nothingLeft(t)
	if _, err := divert.Install(legacySpec(divert.Spec{Priority: [5]int32{1: -5}})); err == nil {
		t.Error("took a priority that it can not give")
	}
}
