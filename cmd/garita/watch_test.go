package main

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/garita/garita/internal/lab"
	"github.com/garita/garita/iptc"
)

// spawn runs garita on the gateway of l and waits until it says so.
func spawn(t *testing.T, l *lab.Lab, ready string, args ...string) *agent {
	t.Helper()
	a := &agent{cmd: command(args...), done: make(chan error, 1)}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	a.cmd.Stdout, a.cmd.Stderr = w, w
	if err := l.Start(lab.Gateway, a.cmd); err != nil {
		t.Fatal(err)
	}
	w.Close()
	go func() {
		s := bufio.NewScanner(r)
		for s.Scan() {
			a.mu.Lock()
			a.out.WriteString(s.Text() + "\n")
			a.mu.Unlock()
		}
		r.Close()
		a.done <- a.cmd.Wait()
	}()
	t.Cleanup(func() { _ = a.cmd.Process.Kill() })
	until(t, "garita to begin", func() bool { return strings.Contains(a.text(), ready) || len(a.done) > 0 })
	if len(a.done) > 0 {
		t.Fatalf("garita ended: %v\n%s", <-a.done, a.text())
	}
	return a
}

// logForwarded copies what the gateway forwards to a log group.
func logForwarded(t *testing.T, l *lab.Lab, group uint16) {
	t.Helper()
	if err := l.In(lab.Gateway, func() error {
		c, err := nftables.New()
		if err != nil {
			return err
		}
		tab := c.AddTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: "copies"})
		ch := c.AddChain(&nftables.Chain{Name: "forward", Table: tab, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookForward, Priority: nftables.ChainPriorityFilter})
		c.AddRule(&nftables.Rule{Table: tab, Chain: ch, Exprs: []expr.Any{&expr.Log{Group: group, Key: 1 << unix.NFTA_LOG_GROUP}}})
		return c.Flush()
	}); errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EOPNOTSUPP) {
		t.Skipf("this kernel's nftables has no log expression: %v", err)
	} else if err != nil {
		t.Fatal(err)
	}
}

// twoRules would stop the page if this were no copy.
const twoRules = `drop http any any -> any any (msg:"evil page"; http.uri; content:"evil"; sid:1;)
reject tcp any any -> any 80 (msg:"wicked bytes"; content:"wicked"; sid:2;)
`

// TestWatchPrints: a dropping rule alerts on copies from the log, for a person
// to read, and the packets go on.
func TestWatchPrints(t *testing.T) {
	l := newLab(t)
	logForwarded(t, l, 5)
	a := spawn(t, l, "garita: watching", "watch", "--nflog", "5", "-S", rulesFile(t, twoRules))
	if s := a.text(); !strings.Contains(s, "watching log group 5 by 2 rules") || !strings.Contains(s, "drop and reject rules only alert here") {
		t.Errorf("it does not say what it does:\n%s", s)
	}
	for _, path := range []string{"/evil", "/wicked", "/evil", "/wicked"} {
		if page, err := get(l, path, patience); err != nil || !strings.Contains(page, "HTTP/1") {
			t.Fatalf("%q %v: the page must arrive", page, err)
		}
	}
	until(t, "both alerts, twice", func() bool {
		s := a.text()
		return strings.Count(s, "[1:1:0] evil page") == 2 && strings.Count(s, "[1:2:0] wicked bytes") == 2
	})
	a.signal(t, unix.SIGHUP)
	until(t, "a reload", func() bool { return strings.Contains(a.text(), "rules reloaded") })
	s := a.stop(t)
	if strings.Contains(s, "DROP") {
		t.Errorf("it claims to have dropped:\n%s", s)
	}
	if m := regexp.MustCompile(`done: looked at (\d+) packets \(0 more were lost on the way\), 4 alerts`).FindStringSubmatch(s); m == nil || len(m[1]) < 2 {
		t.Errorf("no summary:\n%s", s)
	}
}

// record is what the tests look at in eve.json.
type record struct {
	EventType string `json:"event_type"`
	InIface   string `json:"in_iface"`
	Alert     struct {
		Action string `json:"action"`
		Sid    int    `json:"signature_id"`
	} `json:"alert"`
}

func records(t *testing.T, dir string) (rs []record) {
	t.Helper()
	f, err := os.Open(filepath.Join(dir, "eve.json"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		var r record
		if json.Unmarshal(s.Bytes(), &r) == nil { // the last may be half written
			rs = append(rs, r)
		}
	}
	return rs
}

func alerts(t *testing.T, dir string, sid int) (rs []record) {
	for _, r := range records(t, dir) {
		if r.EventType == "alert" && r.Alert.Sid == sid {
			rs = append(rs, r)
		}
	}
	return rs
}

// TestWatchInterface: the same from an interface, written as records.
func TestWatchInterface(t *testing.T) {
	l := newLab(t)
	dir := t.TempDir()
	a := spawn(t, l, "garita: watching", "watch", "--interface", lab.GatewayToClient, "-S", rulesFile(t, twoRules), "-l", dir)
	for _, path := range []string{"/evil", "/wicked"} {
		if page, err := get(l, path, patience); err != nil || !strings.Contains(page, "HTTP/1") {
			t.Fatalf("%q %v: the page must arrive", page, err)
		}
	}
	until(t, "the alerts", func() bool { return len(alerts(t, dir, 1)) > 0 && len(alerts(t, dir, 2)) > 0 })
	a.stop(t)
	for _, sid := range []int{1, 2} {
		for _, r := range alerts(t, dir, sid) {
			if r.Alert.Action != "allowed" || r.InIface != lab.GatewayToClient {
				t.Errorf("%+v", r)
			}
		}
	}
	var flows int
	for _, r := range records(t, dir) {
		if r.EventType == "drop" {
			t.Errorf("a record of a drop: %+v", r)
		}
		if r.EventType == "flow" {
			flows++
		}
	}
	if flows == 0 {
		t.Error("no record of the flow that ended with it")
	}
}

func TestWatchArguments(t *testing.T) {
	l := newLab(t)
	for _, x := range []struct {
		args []string
		says string
	}{
		{nil, "give it --interface IF or --nflog GROUP"},
		{[]string{"--interface", "nonesuch"}, "no such interface"},
		{[]string{"--nflog", "70000"}, "groups are 0 to 65535"},
		{[]string{"--interface", "lo", "-k", "some"}, "all or none"},
	} {
		c := command(append([]string{"watch"}, x.args...)...)
		var out strings.Builder
		c.Stdout, c.Stderr = &out, &out
		err := l.Run(lab.Gateway, c)
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 2 || !strings.Contains(out.String(), x.says) {
			t.Errorf("%v: %v\n%s", x.args, err, out.String())
		}
	}
}

// TestRename renames an interface while garita runs: from then on records carry
// the new name.
func TestRename(t *testing.T) {
	l := newLab(t)
	dir := t.TempDir()
	a := start(t, l, "-l", dir, "--rule", `alert tcp any any -> any 80 (msg:"page"; content:"GET"; sid:7;)`)
	see := func(name string) {
		t.Helper()
		if page, err := get(l, "/", patience); err != nil || !strings.Contains(page, "HTTP/1") {
			t.Fatalf("%q %v", page, err)
		}
		until(t, "an alert by "+name, func() bool {
			rs := alerts(t, dir, 7)
			return len(rs) > 0 && rs[len(rs)-1].InIface == name
		})
	}
	see(lab.GatewayToClient)
	if err := l.In(lab.Gateway, func() error {
		link, err := netlink.LinkByName(lab.GatewayToClient)
		if err != nil {
			return err
		}
		// Older kernels rename only what is down.
		return errors.Join(netlink.LinkSetDown(link), netlink.LinkSetName(link, "renamed"), netlink.LinkSetUp(link))
	}); err != nil {
		t.Fatal(err)
	}
	see("renamed")
	a.stop(t)
	if n := len(alerts(t, dir, 7)); n != 2 {
		t.Errorf("%d alerts", n)
	}
}

// TestByHand is the tutorial's command: a rule typed by hand, garita judging
// what it queues.
func TestByHand(t *testing.T) {
	l := newLab(t)
	lock := filepath.Join(t.TempDir(), "lock")
	if iptables, err := exec.LookPath("iptables-legacy"); err == nil {
		typed := exec.Command(iptables, "-A", "OUTPUT", "-p", "icmp", "-j", "NFQUEUE", "--queue-num", "0")
		typed.Env = append(os.Environ(), "XTABLES_LOCKFILE="+lock)
		var said strings.Builder
		typed.Stdout, typed.Stderr = &said, &said
		if err := l.Run(lab.Gateway, typed); err != nil {
			t.Skipf("iptables-legacy does not work on this kernel: %v: %s", err, said.String())
		}
	} else if err := l.In(lab.Gateway, func() error { // the rule that it would write
		return iptc.Edit(iptc.IPv4, "filter", iptc.Lock{File: lock}, func(tab *iptc.Table) error {
			info := make([]byte, 8)
			binary.NativeEndian.PutUint16(info[2:], 1) // one queue, number 0
			r, err := iptc.NewRule(iptc.IPv4, iptc.Header{Proto: unix.IPPROTO_ICMP}, nil, iptc.Target{
				Kind:   iptc.Module,
				Module: iptc.Extension{Name: "NFQUEUE", Revision: 3, Data: info},
			})
			if err != nil {
				return err
			}
			return tab.Append("OUTPUT", r)
		})
	}); errors.Is(err, unix.ENOPROTOOPT) || errors.Is(err, unix.ENOENT) {
		t.Skipf("this kernel has no legacy tables: %v", err)
	} else if err != nil {
		t.Fatal(err)
	}
	a := spawn(t, l, "garita: judging", "run", "--no-divert", "--queue", "0", "--queues", "1",
		"--rule", `drop icmp any any -> any any (msg:"large ping"; itype:8; dsize:>100; sid:3;)`)
	if err := ping(l, 40, patience); err != nil {
		t.Errorf("a small ping: %v", err)
	}
	if err := ping(l, 400, 300*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a large ping: %v; it must be dropped", err)
	}
	packets, _, dropped := summary(t, a.stop(t))
	if packets < 2 || dropped != 1 {
		t.Errorf("%d packets, %d dropped", packets, dropped)
	}
}

// ping sends one echo request of n bytes from the gateway to the server.
func ping(l *lab.Lab, n int, wait time.Duration) error {
	return l.In(lab.Gateway, func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMP)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		echo := make([]byte, 8+n)
		echo[0], echo[4], echo[5] = 8, byte(n>>8), byte(n)
		sum := uint32(0x800) + uint32(n)
		sum = sum>>16 + sum&0xffff
		echo[2], echo[3] = byte(^sum>>8), byte(^sum)
		if err := unix.Sendto(fd, echo, 0, &unix.SockaddrInet4{Addr: lab.ServerIP4.As4()}); err != nil {
			return err
		}
		end := time.Now().Add(wait)
		buf := make([]byte, 2048)
		for {
			left := time.Until(end)
			if left <= 0 {
				return os.ErrDeadlineExceeded
			}
			tv := unix.NsecToTimeval(int64(left))
			if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv); err != nil {
				return err
			}
			got, _, err := unix.Recvfrom(fd, buf, 0)
			if err == unix.EAGAIN {
				return os.ErrDeadlineExceeded
			}
			if err != nil {
				return err
			}
			if got >= 28 && buf[20] == 0 && buf[24] == echo[4] && buf[25] == echo[5] {
				return nil
			}
		}
	})
}
