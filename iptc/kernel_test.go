package iptc

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	vnl "github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/garita/garita/internal/nstest"
)

var tableNames = []string{"raw", "mangle", "nat", "filter", "security"}

// openAny opens a table, or says that this kernel does not have it.
func openAny(t *testing.T, f Family, name string) *Table {
	t.Helper()
	tab, err := Open(f, name)
	if errors.Is(err, unix.ENOENT) {
		t.Logf("this kernel has no %s table %s", f, name)
		return nil
	}
	must(t, err)
	t.Cleanup(tab.Close)
	return tab
}

func TestKernelTables(t *testing.T) {
	if !nstest.Inside(t) {
		return
	}
	for _, f := range []Family{IPv4, IPv6} {
		needTables(t, f)
		seen := 0
		for _, name := range tableNames {
			tab := openAny(t, f, name)
			if tab == nil {
				continue
			}
			seen++
			user, err := NewRule(f, Header{In: "lo"}, nil, Target{Kind: Jump, Chain: "one"})
			must(t, err)
			must(t, tab.CreateChain("two"))
			must(t, tab.CreateChain("one"))
			must(t, tab.Append("OUTPUT", user.WithCounters(Counters{5, 7})))
			must(t, tab.Append("two", user))
			must(t, tab.Commit(Lock{}))
			in, blob, err := tab.build(nil)
			must(t, err)
			for h := range hooks { // unused slots mean nothing
				if in.validHooks&(1<<h) == 0 {
					tab.in.hook[h], tab.in.underflow[h] = 0, 0
				}
			}
			if in != tab.in || !bytes.Equal(blob, tab.blob) {
				t.Errorf("%s %s: rebuilt differently", f, name)
			}
			if got := tab.Chain("OUTPUT").Rule(0).Counters(); got != (Counters{5, 7}) {
				t.Errorf("%s %s: counters %v", f, name, got)
			}
		}
		names, err := Names(f)
		if errors.Is(err, os.ErrPermission) {
			// the file belongs to who made the namespace, before it had user ids
			t.Log(err)
			continue
		}
		must(t, err)
		if len(names) != seen {
			t.Errorf("%s: %d tables opened, the kernel lists %v", f, seen, names)
		}
	}
	_, err := Open(IPv4, "no such table")
	var e *Error
	if !errors.As(err, &e) || e.Strerror() != "Table does not exist (do you need to insmod?)" {
		t.Errorf("no such table: %v", err)
	}
}

// TestBothEditsSurvive: two snapshots of one table are edited, then committed one
// after the other.
func TestBothEditsSurvive(t *testing.T) {
	if !nstest.Inside(t) {
		return
	}
	needTables(t, IPv4)
	a, b := open(t, IPv4, "filter"), open(t, IPv4, "filter")
	rule := func(k Kind) *Rule {
		r, err := NewRule(IPv4, Header{Src: netip.MustParseAddr("192.0.2.1")}, nil, Target{Kind: k})
		must(t, err)
		return r
	}
	must(t, a.Append("INPUT", rule(Drop)))
	must(t, a.CreateChain("x"))
	must(t, b.Append("INPUT", rule(Accept)))
	must(t, b.CreateChain("y"))
	must(t, a.Commit(Lock{}))
	must(t, b.Commit(Lock{}))
	now := open(t, IPv4, "filter")
	if c := now.Chain("INPUT"); c.Len() != 2 || c.Rule(0).Target().Kind != Drop || c.Rule(1).Target().Kind != Accept {
		t.Errorf("INPUT has %d rules", c.Len())
	}
	if now.Chain("x") == nil || now.Chain("y") == nil {
		t.Error("a chain is lost")
	}
	// An edit that is not possible any more says so, and does nothing.
	must(t, a.Refresh())
	must(t, a.DeleteNum("INPUT", 1))
	must(t, a.SetPolicy("FORWARD", Drop, nil))
	must(t, now.Flush("INPUT"))
	must(t, now.Commit(Lock{}))
	if err := a.Commit(Lock{}); !errors.Is(err, unix.E2BIG) {
		t.Errorf("deleted what is gone: %v", err)
	}
	must(t, a.Refresh())
	if a.Chain("FORWARD").Policy() != Accept {
		t.Error("half a commit was done")
	}
	// What the kernel refuses leaves everything as it was.
	loop, err := NewRule(IPv4, Header{}, nil, Target{Kind: Jump, Chain: "x"})
	must(t, err)
	must(t, a.Append("INPUT", loop))
	must(t, a.Append("x", loop))
	if err := a.Commit(Lock{}); !errors.Is(err, unix.ELOOP) {
		t.Errorf("a loop: %v", err)
	}
}

func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	release, err := Lock{File: path}.Take()
	must(t, err)
	st, err := os.Stat(path)
	must(t, err)
	if st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", st.Mode())
	}
	if _, err := (Lock{File: path, Wait: -1}).Take(); !errors.Is(err, ErrLocked) {
		t.Errorf("taken twice: %v", err)
	}
	start := time.Now()
	if _, err := (Lock{File: path, Wait: 50 * time.Millisecond}).Take(); !errors.Is(err, ErrLocked) || time.Since(start) < 50*time.Millisecond {
		t.Errorf("after %v: %v", time.Since(start), err)
	}
	done := make(chan error)
	go func() {
		again, err := Lock{File: path}.Take()
		if err == nil {
			again()
		}
		done <- err
	}()
	release()
	must(t, <-done)
	t.Setenv("XTABLES_LOCKFILE", filepath.Join(t.TempDir(), "no/such/folder"))
	if _, err := (Lock{}).Take(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("XTABLES_LOCKFILE is not looked at: %v", err)
	}
}

// TestCommitsUnderTraffic: while packets run over the rules, commits lose neither
// a packet nor a count.
func TestCommitsUnderTraffic(t *testing.T) {
	if !nstest.Inside(t) {
		return
	}
	needTables(t, IPv4)
	lo, err := vnl.LinkByName("lo")
	must(t, err)
	must(t, vnl.LinkSetUp(lo))
	const commits = 1000
	tab := open(t, IPv4, "filter")
	count, err := NewRule(IPv4, Header{Proto: unix.IPPROTO_UDP}, nil, Target{})
	must(t, err)
	must(t, tab.CreateChain("side"))
	into, err := NewRule(IPv4, Header{Proto: unix.IPPROTO_UDP}, nil, Target{Kind: Jump, Chain: "side"})
	must(t, err)
	must(t, tab.Append("OUTPUT", count))
	must(t, tab.Append("OUTPUT", into))
	must(t, tab.Append("side", count))
	must(t, tab.Append("INPUT", count))
	must(t, tab.Commit(Lock{}))

	recv, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	must(t, err)
	defer recv.Close()
	stop, sent := make(chan bool), uint64(0)
	got := uint64(0)
	var wg sync.WaitGroup
	wg.Go(func() { // one packet under way at a time: none is lost to a full buffer
		c, err := net.DialUDP("udp4", nil, recv.LocalAddr().(*net.UDPAddr))
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		b := make([]byte, 100)
		for {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := c.Write(b); err != nil {
				t.Error(err)
				return
			}
			sent++
			_ = recv.SetReadDeadline(time.Now().Add(5 * time.Second))
			if _, _, err := recv.ReadFrom(b); err != nil {
				t.Errorf("packet %d did not arrive: %v", sent, err)
				return
			}
			got++
		}
	})
	other, err := NewRule(IPv4, Header{Src: netip.MustParseAddr("192.0.2.9")}, nil, Target{Kind: Drop})
	must(t, err)
	for i := range commits {
		chain := []string{"OUTPUT", "INPUT", "side", "FORWARD"}[i%4]
		if i%8 < 4 {
			must(t, tab.Insert(chain, 0, other))
		} else {
			must(t, tab.Delete(chain, other))
		}
		must(t, tab.Commit(Lock{}))
	}
	close(stop)
	wg.Wait()
	must(t, tab.Refresh())
	if got != sent || sent == 0 {
		t.Errorf("%d packets sent, %d received", sent, got)
	}
	for chain, n := range map[string]int{"OUTPUT": 2, "side": 1, "INPUT": 1} {
		c := tab.Chain(chain)
		if c.Len() != n {
			t.Fatalf("%s has %d rules", chain, c.Len())
		}
		for i, r := range c.Rules() {
			if r.Counters() != (Counters{sent, sent * 128}) {
				t.Errorf("%s rule %d counted %v of %d packets", chain, i, r.Counters(), sent)
			}
		}
	}
	t.Logf("%d packets during %d commits", sent, commits)
}

// TestZeroKeepsWhatCameSince: zeroing takes away what the snapshot saw and no
// more.
func TestZeroKeepsWhatCameSince(t *testing.T) {
	if !nstest.Inside(t) {
		return
	}
	needTables(t, IPv4)
	tab := open(t, IPv4, "filter")
	r, err := NewRule(IPv4, Header{In: "nowhere"}, nil, Target{})
	must(t, err)
	must(t, tab.Append("INPUT", r.WithCounters(Counters{10, 1000})))
	must(t, tab.Append("INPUT", r.WithCounters(Counters{20, 2000})))
	must(t, tab.Commit(Lock{}))
	late := open(t, IPv4, "filter")
	must(t, setAddCounters(late.fd, IPv4, "filter", []Counters{{1, 100}, {2, 200}, {}, {}, {}, {}}))
	must(t, tab.ZeroCounter("INPUT", 0))
	must(t, tab.SetCounter("INPUT", 1, Counters{3, 4}))
	must(t, tab.Commit(Lock{}))
	if a, b := tab.Chain("INPUT").Rule(0).Counters(), tab.Chain("INPUT").Rule(1).Counters(); a != (Counters{1, 100}) || b != (Counters{3, 4}) {
		t.Errorf("%v %v", a, b)
	}
	must(t, tab.SetPolicy("INPUT", Drop, &Counters{8, 9}))
	must(t, tab.Commit(Lock{}))
	if c := tab.Chain("INPUT"); c.Policy() != Drop || c.Counters() != (Counters{8, 9}) {
		t.Errorf("%v %v", c.Policy(), c.Counters())
	}
	must(t, tab.Zero("INPUT"))
	must(t, tab.Commit(Lock{}))
	if c := tab.Chain("INPUT"); c.Counters() != (Counters{}) || c.Rule(0).Counters() != (Counters{}) {
		t.Errorf("%v %v", c.Rule(0).Counters(), c.Counters())
	}
}

func TestNoPrivilege(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root may do this")
	}
	_, err := Open(IPv4, "filter")
	var e *Error
	if !errors.As(err, &e) || !errors.Is(err, os.ErrPermission) || e.Strerror() != "Permission denied (you must be root)" {
		t.Errorf("%v", err)
	}
}

// TestBesideIptables: iptables-legacy and we change one table at the same time,
// each its own rules; nothing of either is lost.
func TestBesideIptables(t *testing.T) {
	if !nstest.Inside(t) {
		return
	}
	needOracle(t)
	const n = 150
	done := make(chan error, 1)
	go func() {
		for i := range n {
			mark := fmt.Sprintf("0x%x", i+1)
			if _, err := oracle(IPv4, "", "", "-w", "-A", "INPUT", "-m", "mark", "--mark", mark); err != nil {
				done <- err
				return
			}
			if i%3 == 0 {
				if _, err := oracle(IPv4, "", "", "-w", "-D", "INPUT", "-m", "mark", "--mark", mark); err != nil {
					done <- err
					return
				}
			}
		}
		done <- nil
	}()
	ours, theirs := 0, false
	var err error
	for !theirs || ours < n {
		select {
		case err = <-done:
			theirs = true
		default:
		}
		tab := open(t, IPv4, "filter")
		words, werr := Words(fmt.Sprintf("-A INPUT -m connmark --mark 0x%x", ours+1))
		must(t, werr)
		must(t, tab.Command(words))
		must(t, tab.Commit(Lock{Wait: time.Minute}))
		tab.Close()
		ours++
	}
	must(t, err)
	rules := map[string]int{}
	for _, r := range open(t, IPv4, "filter").Chain("INPUT").Rules() {
		rules[r.Spec()]++
	}
	for i := range ours {
		if s := fmt.Sprintf("-m connmark --mark 0x%x", i+1); rules[s] != 1 {
			t.Fatalf("our rule %q is there %d times", s, rules[s])
		}
	}
	for i := range n {
		want := 1
		if i%3 == 0 {
			want = 0
		}
		if s := fmt.Sprintf("-m mark --mark 0x%x", i+1); rules[s] != want {
			t.Fatalf("their rule %q is there %d times, want %d", s, rules[s], want)
		}
	}
	t.Logf("%d commits of ours beside %d of iptables-legacy", ours, n+n/3)
}

// TestBigTable: twenty thousand rules in a thousand chains are no trouble
// (the times are logged).
func TestBigTable(t *testing.T) {
	if !nstest.Inside(t) {
		return
	}
	needTables(t, IPv4)
	var b strings.Builder
	b.WriteString("*filter\n")
	for i := range 1000 {
		fmt.Fprintf(&b, ":chain%d - [0:0]\n", i)
	}
	for i := range 20000 {
		fmt.Fprintf(&b, "-A chain%d -s 10.%d.%d.0/24 -p tcp -m tcp --dport %d -m comment --comment \"rule %d\" -j RETURN\n", i%1000, i>>8&255, i&255, i, i)
	}
	b.WriteString("COMMIT\n")
	start := time.Now()
	must(t, Restore(IPv4, strings.NewReader(b.String()), RestoreOptions{}))
	restored := time.Since(start)
	start = time.Now()
	text := ourSave(t, IPv4, "filter")
	t.Logf("20000 rules in 1000 chains: restored in %v, printed in %v", restored, time.Since(start))
	if strings.Count(text, "-A chain") != 20000 {
		t.Errorf("%d rules", strings.Count(text, "-A chain"))
	}
	must(t, Restore(IPv4, strings.NewReader("*filter\nCOMMIT\n"), RestoreOptions{}))
	if n := strings.Count(ourSave(t, IPv4, "filter"), "chain"); n != 0 {
		t.Errorf("%d left", n)
	}
}
