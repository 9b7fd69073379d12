package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/garita/garita/divert"
	"github.com/garita/garita/internal/lab"
)

// asCommand makes the test binary be garita itself, so that the tests drive
// the real program: its flags, signals and exit statuses.
const asCommand = "GARITA_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(lab.Main(m))
}

// agent is a running `garita run`.
type agent struct {
	cmd  *exec.Cmd
	mu   sync.Mutex
	out  bytes.Buffer
	done chan error
}

func (a *agent) text() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.out.String()
}

func command(args ...string) *exec.Cmd {
	c := exec.Command("/proc/self/exe", args...)
	c.Env = append(os.Environ(), asCommand+"=1")
	return c
}

// start runs garita on the gateway of l and waits until it judges.
func start(t *testing.T, l *lab.Lab, args ...string) *agent {
	t.Helper()
	return startAs(t, l, "run", args...)
}

// startAs is start for a subcommand that intercepts.
func startAs(t *testing.T, l *lab.Lab, sub string, args ...string) *agent {
	t.Helper()
	a := &agent{cmd: command(append([]string{sub, "--hook", "forward"}, args...)...), done: make(chan error, 1)}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	a.cmd.Stderr = w
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
	until(t, "garita to run", func() bool { return strings.Contains(a.text(), "garita: judging") || len(a.done) > 0 })
	if len(a.done) > 0 {
		t.Fatalf("garita ended: %v\n%s", <-a.done, a.text())
	}
	return a
}

func (a *agent) signal(t *testing.T, s os.Signal) {
	t.Helper()
	if err := a.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// stop ends it as an operator would and returns what it said.
func (a *agent) stop(t *testing.T) string {
	t.Helper()
	a.signal(t, unix.SIGTERM)
	select {
	case err := <-a.done:
		if err != nil {
			t.Errorf("garita ended with %v\n%s", err, a.text())
		}
	case <-time.After(patience):
		t.Fatalf("garita does not end\n%s", a.text())
	}
	return a.text()
}

// patience is how long a state may take to come: long, for kernels under
// emulation.
const patience = 60 * time.Second

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func newLab(t *testing.T) *lab.Lab {
	t.Helper()
	l, err := lab.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// rulesFile writes rules for a test.
func rulesFile(t *testing.T, text string) string {
	t.Helper()
	f := filepath.Join(t.TempDir(), "test.rules")
	if err := os.WriteFile(f, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return f
}

// get fetches a page of the lab's server; "" if nothing came in time.
func get(l *lab.Lab, path string, wait time.Duration) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	c, err := l.Dial(ctx, lab.Client, "tcp", net.JoinHostPort(lab.ServerIP4.String(), "80"))
	if err != nil {
		return "", err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(wait))
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.0\r\nHost: server\r\n\r\n", path); err != nil {
		return "", err
	}
	var b bytes.Buffer
	_, err = b.ReadFrom(c)
	return b.String(), err
}

// tables says what of garita's is on the gateway.
func tables(t *testing.T, l *lab.Lab) []divert.Found {
	t.Helper()
	var found []divert.Found
	if err := l.In(lab.Gateway, func() (err error) {
		found, err = divert.List()
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return found
}

// ipCounters are InReceives and ForwDatagrams of IPv4 on the gateway: what its
// IP layer was given, and what came out behind the hook forward. What is lost
// before (the queue of a device) or behind concerns nobody here.
func ipCounters(t *testing.T, l *lab.Lab) (in, forwarded int) {
	t.Helper()
	if err := l.In(lab.Gateway, func() error {
		b, err := os.ReadFile("/proc/thread-self/net/snmp")
		if err != nil {
			return err
		}
		lines := strings.Split(string(b), "\n")
		names, values := strings.Fields(lines[0]), strings.Fields(lines[1])
		for i, n := range names {
			switch n {
			case "InReceives":
				in, _ = strconv.Atoi(values[i])
			case "ForwDatagrams":
				forwarded, _ = strconv.Atoi(values[i])
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return in, forwarded
}

// arrived waits until everything that the gateway was given since the counters
// in0 and out0 was forwarded, and returns how much that was.
func arrived(t *testing.T, l *lab.Lab, in0, out0 int) int {
	t.Helper()
	last, same := -1, 0
	until(t, "everything the gateway was given to be forwarded", func() bool {
		in, out := ipCounters(t, l)
		if in != last {
			last, same = in, 0
			return false
		}
		same++
		return same > 20 && in-in0 == out-out0
	})
	return last - in0
}

// flood sends n datagrams of 64 bytes to the server's discard port at full
// speed.
func flood(t *testing.T, l *lab.Lab, n int) {
	t.Helper()
	c, err := l.Dial(context.Background(), lab.Client, "udp4", net.JoinHostPort(lab.ServerIP4.String(), "9"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	b := make([]byte, 36) // 64 with headers
	for range n {
		// The server refuses the port by ICMP, which a connected socket hears
		// of; the packets count, not the answers.
		if _, err := c.Write(b); err != nil && !errors.Is(err, unix.ECONNREFUSED) && !errors.Is(err, unix.ENOBUFS) {
			t.Fatal(err)
		}
	}
}

var doneLine = regexp.MustCompile(`done: (\d+) packets, (\d+) accepted, (\d+) dropped`)

func summary(t *testing.T, out string) (packets, accepted, dropped int) {
	t.Helper()
	m := doneLine.FindStringSubmatch(out)
	if m == nil {
		t.Fatalf("no summary in:\n%s", out)
	}
	packets, _ = strconv.Atoi(m[1])
	accepted, _ = strconv.Atoi(m[2])
	dropped, _ = strconv.Atoi(m[3])
	return
}

func amount() int {
	if os.Getenv("GARITA_SLOW") != "" {
		return 10_000
	}
	return 200_000
}

// A flood, reloads in the middle of it, and the end: every packet that was
// sent arrives, every packet that garita got was answered.
func TestFloodReloadTerminate(t *testing.T) {
	l := newLab(t)
	rules := rulesFile(t, `drop udp any any -> any 7 (msg:"never sent"; content:"evil"; sid:1;)`)
	a := start(t, l, "--queues", "2", "--rules", rules)
	n := amount()
	in0, out0 := ipCounters(t, l)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	reloads := 0
	wg.Go(func() {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				if a.cmd.Process.Signal(unix.SIGHUP) == nil {
					reloads++
				}
			case <-stop:
				return
			}
		}
	})
	flood(t, l, n)
	close(stop)
	wg.Wait()
	through := arrived(t, l, in0, out0)
	if reloads > 0 {
		until(t, "a reload", func() bool { return strings.Contains(a.text(), "rules reloaded") })
	}
	out := a.stop(t)
	got, accepted, dropped := summary(t, out)
	if got != accepted+dropped || dropped != 0 || got == 0 {
		t.Errorf("%d packets, %d accepted, %d dropped", got, accepted, dropped)
	}
	if f := tables(t, l); len(f) != 0 {
		t.Errorf("left behind: %v", f)
	}
	t.Logf("%d sent; the gateway was given %d and forwarded all, %d of them through garita, %d reloads meanwhile", n, through, got, reloads)
}

// SIGTERM in the middle of a flood loses none of those that wait.
func TestTerminateInTheMiddle(t *testing.T) {
	l := newLab(t)
	a := start(t, l, "--queues", "2", "--rule", `alert udp any any -> any any (content:"never"; sid:1;)`)
	n := amount() / 4
	in0, out0 := ipCounters(t, l)
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		flood(t, l, n)
	}()
	until(t, "the flood to begin", func() bool { in, _ := ipCounters(t, l); return in-in0 > n/10 })
	out := a.stop(t)
	<-sent
	through := arrived(t, l, in0, out0)
	got, accepted, dropped := summary(t, out)
	if got != accepted+dropped || dropped != 0 || got == 0 {
		t.Errorf("%d packets, %d accepted, %d dropped", got, accepted, dropped)
	}
	t.Logf("%d sent; the gateway was given %d and forwarded all, %d of them through garita before it ended", n, through, got)
}

func TestKillOpen(t *testing.T) {
	l := newLab(t)
	a := start(t, l, "--rule", `drop tcp any any -> any 80 (content:"/evil"; sid:1;)`)
	if s, err := get(l, "/evil", time.Second); err == nil {
		t.Fatalf("not dropped: %q", s)
	}
	a.signal(t, syscall.SIGKILL)
	<-a.done
	began := time.Now()
	until(t, "traffic to flow", func() bool { s, err := get(l, "/evil", time.Second); return err == nil && s != "" })
	if d := time.Since(began); d > time.Second && os.Getenv("GARITA_SLOW") == "" {
		t.Errorf("traffic flows after %v", d)
	}
	// Legacy tables know no owners: there the rules stay, and let traffic by.
	if f := tables(t, l); len(f) != 0 && f[0].Backend != divert.BackendLegacy {
		t.Errorf("left behind: %v", f)
	}
}

func TestKillClosed(t *testing.T) {
	l := newLab(t)
	a := start(t, l, "--fail", "closed", "--rule", `drop tcp any any -> any 80 (content:"/evil"; sid:1;)`)
	if s, err := get(l, "/", 5*time.Second); err != nil || s == "" {
		t.Fatalf("%q %v", s, err)
	}
	status := func() (string, error) {
		c := command("status")
		out := &bytes.Buffer{}
		c.Stdout, c.Stderr = out, out
		err := l.Run(lab.Gateway, c)
		return out.String(), err
	}
	if s, err := status(); err != nil || !strings.Contains(s, "\nprotected") {
		t.Errorf("status of a living garita: %v\n%s", err, s)
	}
	a.signal(t, syscall.SIGKILL)
	<-a.done
	if s, err := get(l, "/", 500*time.Millisecond); err == nil {
		t.Fatalf("traffic flows although fail is closed: %q", s)
	}
	if s, err := status(); err == nil || !strings.Contains(s, "NOT protected") {
		t.Errorf("status of a dead garita: %v\n%s", err, s)
	}
	// Back again: it takes the table over and traffic flows.
	b := start(t, l, "--fail", "closed", "--rule", `drop tcp any any -> any 80 (content:"/evil"; sid:1;)`)
	if s, err := get(l, "/", 5*time.Second); err != nil || s == "" {
		t.Fatalf("after the restart: %q %v", s, err)
	}
	b.signal(t, syscall.SIGKILL)
	<-b.done
	clean := command("clean")
	out := &bytes.Buffer{}
	clean.Stdout, clean.Stderr = out, out
	if err := l.Run(lab.Gateway, clean); err != nil {
		t.Fatalf("clean: %v\n%s", err, out)
	}
	if !strings.Contains(out.String(), "removed") {
		t.Errorf("clean says %q", out)
	}
	until(t, "traffic to flow after clean", func() bool { s, err := get(l, "/", time.Second); return err == nil && s != "" })
	if f := tables(t, l); len(f) != 0 {
		t.Errorf("left behind: %v", f)
	}
}

// TestOneDirection: where only half of each connection comes by, it is judged by
// that half, and whatever is not forbidden flows.
func TestOneDirection(t *testing.T) {
	for _, c := range []struct{ from, rule, allowed, forbidden string }{
		{lab.GatewayToClient, `drop http any any -> any any (http.uri; content:"/evil"; sid:1;)`, "/", "/evil"},
		{lab.GatewayToServer, `drop tcp any 80 -> any any (content:"Hello from"; sid:1;)`, "/page", "/"},
	} {
		l := newLab(t)
		a := start(t, l, "--hook", "forward", "--in", c.from, "--rule", c.rule)
		until(t, "it to be told that it is one direction", func() bool { return strings.Contains(a.text(), "only one direction") })
		for range 3 {
			if s, err := get(l, c.allowed, 5*time.Second); err != nil || s == "" {
				t.Fatalf("from %s: %q %v", c.from, s, err)
			}
		}
		if s, err := get(l, c.forbidden, time.Second); err == nil {
			t.Errorf("from %s: the forbidden page came: %q", c.from, s)
		}
		a.stop(t)
	}
}

// A rule file that does not parse leaves the old rules working and says so; a
// good one takes effect.
func TestReload(t *testing.T) {
	l := newLab(t)
	good := `drop tcp any any -> any 80 (msg:"old"; content:"/evil"; sid:1;)`
	f := rulesFile(t, good)
	a := start(t, l, "--rules", f)
	dropped := func(path string) bool { _, err := get(l, path, 400*time.Millisecond); return err != nil }
	if !dropped("/evil") || dropped("/page") {
		t.Fatal("the first rules do not hold")
	}
	if err := os.WriteFile(f, []byte("drop tcp any any -> any 80 (content:\"/page\"; sid:1\nnonsense"), 0o644); err != nil {
		t.Fatal(err)
	}
	a.signal(t, unix.SIGHUP)
	until(t, "the complaint", func() bool { return strings.Contains(a.text(), "NOT reloaded") })
	if !strings.Contains(a.text(), "test.rules:1:") {
		t.Errorf("the complaint does not say where:\n%s", a.text())
	}
	if !dropped("/evil") || dropped("/page") {
		t.Error("the old rules no longer hold")
	}
	if err := os.WriteFile(f, []byte(strings.ReplaceAll(good, "/evil", "/page")), 0o644); err != nil {
		t.Fatal(err)
	}
	a.signal(t, unix.SIGHUP)
	until(t, "the new rules", func() bool { return strings.Contains(a.text(), "rules reloaded") })
	if dropped("/evil") || !dropped("/page") {
		t.Error("the new rules do not hold")
	}
	a.stop(t)
}

func TestRunRefuses(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"run --hook sideways", "sideways"},
		{"run --fail maybe", "neither open nor closed"},
		{"run --port 99999", "99999"},
		{"run --rules /nonexistent.rules", "nonexistent.rules"},
		{"run --config /nonexistent.yaml", "nonexistent.yaml"},
		{"replay", "capture"},
		{"replay /nonexistent.pcap", "nonexistent.pcap"},
		{"check", "rule files"},
		{"bogus", "bogus"},
	} {
		var out bytes.Buffer
		if status := run(strings.Fields(c.args), nil, &out, &out); status != 2 || !strings.Contains(out.String(), c.want) {
			t.Errorf("garita %s: status %d, says %q", c.args, status, out.String())
		}
	}
}

// Connections that are there when garita starts go on, and are inspected.
func TestConnectionsGoOn(t *testing.T) {
	l := newLab(t)
	c, err := l.Dial(context.Background(), lab.Client, "tcp", net.JoinHostPort(lab.ServerIP4.String(), "7"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	echo := func(s string, wait time.Duration) error {
		_ = c.SetDeadline(time.Now().Add(wait))
		if _, err := c.Write([]byte(s)); err != nil {
			return err
		}
		b := make([]byte, len(s))
		_, err := io.ReadFull(c, b)
		if err == nil && string(b) != s {
			t.Errorf("%q came back as %q", s, b)
		}
		return err
	}
	if err := echo("before", patience); err != nil {
		t.Fatal(err)
	}
	a := start(t, l, "--rule", `drop tcp any any -> any 7 (content:"evil"; sid:1;)`)
	for _, s := range []string{"one", "two", "three"} {
		if err := echo(s, patience); err != nil {
			t.Fatalf("the connection was cut: %v\n%s", err, a.text())
		}
	}
	if err := echo("evil", 500*time.Millisecond); err == nil {
		t.Error("what a rule drops arrives on a connection that was there before")
	}
	if _, _, dropped := summary(t, a.stop(t)); dropped == 0 {
		t.Error("nothing was dropped")
	}
}
