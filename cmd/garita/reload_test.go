package main

import (
	"archive/tar"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ulikunitz/xz"
	"golang.org/x/sys/unix"

	"github.com/garita/garita/internal/lab"
)

// talk is a connection to the lab's echo server.
type talk struct {
	net.Conn
	t *testing.T
}

func dialEcho(t *testing.T, l *lab.Lab, network string) talk {
	t.Helper()
	c, err := l.Dial(context.Background(), lab.Client, network, net.JoinHostPort(lab.ServerIP4.String(), strconv.Itoa(lab.EchoPort)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return talk{c, t}
}

// says sends text and says whether it comes back within wait.
func (c talk) says(text string, wait time.Duration) bool {
	c.t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		c.t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(wait))
	b := make([]byte, len(text))
	_, err := io.ReadFull(c, b)
	return err == nil && string(b) == text
}

// What is known of a flow outlives a reload, though the new rules have other
// bits at the same places.
func TestReloadKeepsFlows(t *testing.T) {
	l := newLab(t)
	f := rulesFile(t, `alert tcp any any -> any 7 (msg:"login"; content:"login"; flowbits:set,in; noalert; sid:1;)
drop tcp any any -> any 7 (msg:"old"; content:"evil"; flowbits:isset,in; sid:2;)
`)
	a := start(t, l, "--rules", f)
	in, out := dialEcho(t, l, "tcp4"), dialEcho(t, l, "tcp4")
	if !in.says("login", patience) || !out.says("hello", patience) {
		t.Fatal("the harmless does not pass")
	}
	if err := os.WriteFile(f, []byte(`alert tcp any any -> any 7 (msg:"another bit"; content:"hello"; flowbits:set,aaa; noalert; sid:11;)
alert tcp any any -> any 7 (msg:"login"; content:"login"; flowbits:set,in; noalert; sid:1;)
drop tcp any any -> any 7 (msg:"other bit"; content:"worse"; flowbits:isset,aaa; sid:12;)
drop tcp any any -> any 7 (msg:"new"; content:"bad"; flowbits:isset,in; sid:2;)
`), 0o644); err != nil {
		t.Fatal(err)
	}
	a.signal(t, unix.SIGHUP)
	until(t, "the new rules", func() bool { return strings.Contains(a.text(), "rules reloaded") })
	if !in.says("evil", patience) {
		t.Error("the old rule still holds")
	}
	if !in.says("worse", patience) {
		t.Error("a bit of before is taken for another one")
	}
	if !out.says("bad", patience) {
		t.Error("a flow without the bit is dropped")
	}
	if in.says("bad", 400*time.Millisecond) {
		t.Error("the flow's bit was lost in the reload")
	}
	a.stop(t)
}

// A reload reads threshold.config again, and a wrong one changes nothing.
func TestReloadThresholds(t *testing.T) {
	l := newLab(t)
	dir := files(t, map[string]string{
		"some.rules":       `drop udp any any -> any 7 (msg:"one"; content:"one"; sid:1;)` + "\n",
		"threshold.config": "",
	})
	th := filepath.Join(dir, "threshold.config")
	a := start(t, l, "--rules", filepath.Join(dir, "some.rules"), "--set", "threshold-file="+th)
	say := func(text, want string) {
		if err := os.WriteFile(th, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		n := strings.Count(a.text(), want)
		a.signal(t, unix.SIGHUP)
		until(t, want, func() bool { return strings.Count(a.text(), want) > n })
	}
	dropped := func() bool { return !dialEcho(t, l, "udp4").says("one", 400*time.Millisecond) }
	if !dropped() {
		t.Error("the rule does not hold")
	}
	// A threshold that is reached only after 1000 packets neither alerts nor
	// drops before.
	say("threshold gen_id 1, sig_id 1, type threshold, track by_src, count 1000, seconds 60\n", "rules reloaded")
	if dropped() {
		t.Error("the threshold does not hold")
	}
	say("threshold gen_id 1, sig_id 1, type sometimes\n", "NOT reloaded")
	if !strings.Contains(a.text(), "threshold.config:1:") {
		t.Errorf("the complaint does not say where:\n%s", a.text())
	}
	if dropped() {
		t.Error("the old threshold no longer holds")
	}
	a.stop(t)
}

// Who ends garita in the middle of a reload does not wait for it.
func TestTerminateDuringReload(t *testing.T) {
	rules := etOpen(t)
	l := newLab(t)
	a := start(t, l, "--rules", rules)
	a.signal(t, unix.SIGHUP)
	a.signal(t, unix.SIGTERM)
	select {
	case err := <-a.done:
		if err != nil {
			t.Errorf("garita ended with %v\n%s", err, a.text())
		}
	case <-time.After(patience):
		t.Fatalf("garita does not end\n%s", a.text())
	}
	if f := tables(t, l); len(f) != 0 {
		t.Errorf("left behind: %v", f)
	}
}

// A reload reads the policy again; a wrong one changes nothing.
func TestReloadPolicy(t *testing.T) {
	l := newLab(t)
	rules := rulesFile(t, `alert udp any any -> any 7 (msg:"one"; content:"one"; sid:1;)
#alert udp any any -> any 7 (msg:"two"; content:"two"; sid:2;)
`)
	policy := filepath.Join(t.TempDir(), "policy.conf")
	say := func(text string) {
		if err := os.WriteFile(policy, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	say("drop msg one\n")
	a := start(t, l, "--rules", rules, "--policy", policy)
	dropped := func(text string) bool { return !dialEcho(t, l, "udp4").says(text, 400*time.Millisecond) }
	if !dropped("one") || dropped("two") {
		t.Error("the policy does not hold")
	}
	say("drop msg one\ndrop\nblock all\n")
	a.signal(t, unix.SIGHUP)
	until(t, "the complaint", func() bool { return strings.Contains(a.text(), "NOT reloaded") })
	for _, want := range []string{"policy.conf:2:5: ", "policy.conf:3:1: "} {
		if !strings.Contains(a.text(), want) {
			t.Errorf("no %q in\n%s", want, a.text())
		}
	}
	if !dropped("one") || dropped("two") {
		t.Error("the old policy no longer holds")
	}
	say("on sid 2\ndrop sid 2\n")
	a.signal(t, unix.SIGHUP)
	until(t, "the new policy", func() bool { return strings.Contains(a.text(), "rules reloaded") })
	if dropped("one") || !dropped("two") {
		t.Error("the new policy does not hold")
	}
	a.stop(t)
}

// etOpen unpacks the rules of ET Open from the corpus.
func etOpen(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("GARITA_SHARED")
	if dir == "" {
		t.Skip("GARITA_SHARED does not name the folder with the corpus of rules")
	}
	f, err := os.Open(filepath.Join(dir, "corpus", "et-open.rules.tar.xz"))
	if err != nil {
		t.Skip(err)
	}
	defer f.Close()
	x, err := xz.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(x); ; {
		h, err := r.Next()
		if err != nil {
			t.Fatalf("no rules in the archive: %v", err)
		}
		if !strings.HasSuffix(h.Name, ".rules") {
			continue
		}
		out := filepath.Join(t.TempDir(), "et-open.rules")
		w, err := os.Create(out)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(w, r); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return out
	}
}

// resident is what the process has in memory, and had at most.
func resident(t *testing.T, a *agent) (kB [2]string) {
	t.Helper()
	b, err := os.ReadFile("/proc/" + strconv.Itoa(a.cmd.Process.Pid) + "/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "VmRSS:" {
			kB[0] = f[1]
		} else if len(f) > 1 && f[0] == "VmHWM:" {
			kB[1] = f[1]
		}
	}
	return kB
}

var tookTime = regexp.MustCompile(`rules reloaded".* rules=(\d+) .*took=(\S+)`)

// All of ET Open is loaded anew while a download runs: nothing is lost, and the
// longest that a packet waits is a small part of the time that takes.
func TestReloadUnderLoad(t *testing.T) {
	rules := etOpen(t)
	l := newLab(t)
	a := start(t, l, "--rules", rules)
	var stop atomic.Bool
	var bytes atomic.Int64
	var wg sync.WaitGroup
	wg.Go(func() {
		for !stop.Load() {
			s, err := get(l, "/large", patience)
			if err != nil {
				t.Errorf("the download broke: %v", err)
				return
			}
			bytes.Add(int64(len(s)))
		}
	})
	// Pings, one at a time, until ended says so.
	pings := func(ended func() bool) (waits []time.Duration) {
		c := dialEcho(t, l, "udp4")
		for !ended() {
			began := time.Now()
			if !c.says("ping "+strconv.Itoa(len(waits)), patience) {
				t.Error("a ping was lost")
				return waits
			}
			waits = append(waits, time.Since(began))
			time.Sleep(time.Millisecond)
		}
		slices.Sort(waits)
		return waits
	}
	brief := func(waits []time.Duration) string {
		n := len(waits)
		return fmt.Sprintf("%d pings: half within %v, 99%% within %v, all within %v", n, waits[n/2], waits[n*99/100], waits[n-1])
	}
	until(t, "the download to run", func() bool { return bytes.Load() > 0 })
	began := time.Now()
	before := pings(func() bool { return time.Since(began) > 1500*time.Millisecond })
	bytes.Store(0)
	rss0 := resident(t, a)
	began = time.Now()
	a.signal(t, unix.SIGHUP)
	reloaded := func() bool { return strings.Contains(a.text(), "rules reloaded") || time.Since(began) > patience }
	during := pings(reloaded)
	stop.Store(true)
	wg.Wait()
	m := tookTime.FindStringSubmatch(a.text())
	if m == nil {
		t.Fatalf("not reloaded within %v\n%s", patience, a.text())
	}
	took, err := time.ParseDuration(m[2])
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("resident %s and at most %s kB before, %s and at most %s kB after", rss0[0], rss0[1], resident(t, a)[0], resident(t, a)[1])
	t.Logf("%s rules reloaded in %v; %d MiB downloaded meanwhile", m[1], took, bytes.Load()>>20)
	t.Logf("before:    %s", brief(before))
	t.Logf("meanwhile: %s", brief(during))
	if longest := slices.Max(during); longest > took/2 && longest > 4*slices.Max(before) {
		t.Errorf("a packet waited %v of the %v that the reload took", longest, took)
	}
	a.stop(t)
}

// Requests that are half sent when the rules change, from many to few and back,
// are judged to their end: by the rules there are then.
func TestReloadInTheMiddleOfRequests(t *testing.T) {
	many, err := os.ReadFile(etOpen(t))
	if err != nil {
		t.Fatal(err)
	}
	const few = `alert http any any -> any any (msg:"one"; http.header; content:"X-Late"; sid:1;)
drop http any any -> any any (msg:"two"; http.uri; content:"/evil"; http.header; content:"X-Late"; sid:2;)
`
	l := newLab(t)
	f := rulesFile(t, string(many))
	a := start(t, l, "--rules", f)
	half := func(path string) net.Conn {
		t.Helper()
		c, err := l.Dial(context.Background(), lab.Client, "tcp4", net.JoinHostPort(lab.ServerIP4.String(), "80"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		_ = c.SetDeadline(time.Now().Add(patience))
		if _, err := io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: server\r\nUser-Agent: half\r\n"); err != nil {
			t.Fatal(err)
		}
		return c
	}
	finish := func(c net.Conn, wait time.Duration) bool {
		t.Helper()
		if _, err := io.WriteString(c, "X-Late: yes\r\nConnection: close\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		_ = c.SetReadDeadline(time.Now().Add(wait))
		b, _ := io.ReadAll(c)
		return len(b) > 0
	}
	for i, text := range []string{few, string(many), few} {
		var pages []net.Conn
		for range 20 {
			pages = append(pages, half("/page"))
		}
		evil := half("/evil")
		if err := os.WriteFile(f, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		a.signal(t, unix.SIGHUP)
		until(t, "the new rules", func() bool { return strings.Count(a.text(), "rules reloaded") > i })
		for _, c := range pages {
			if !finish(c, patience) {
				t.Error("a harmless request broke")
			}
		}
		if passed := finish(evil, 400*time.Millisecond); passed != (text != few) {
			t.Errorf("reload %d: the request of two halves passed: %v", i, passed)
		}
	}
	if out := a.stop(t); strings.Contains(out, "level=ERROR") {
		t.Errorf("it says\n%s", out)
	}
}

// HUP reads the configuration file again, and says what of its changes waits for
// the next start.
func TestReloadConfiguration(t *testing.T) {
	l := newLab(t)
	dir := files(t, map[string]string{
		"some.rules": `drop udp any any -> $TRAP 7 (msg:"trap"; content:"one"; sid:1;)` + "\n",
	})
	file := filepath.Join(dir, "garita.yaml")
	yaml := func(trap, more string) {
		text := "vars:\n  address-groups:\n    TRAP: \"" + trap + "\"\nrule-files: [" + filepath.Join(dir, "some.rules") + "]\n" + more
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	yaml("198.51.100.1", "")
	a := start(t, l, "-c", file)
	hup := func(want string) {
		t.Helper()
		n := strings.Count(a.text(), want)
		a.signal(t, unix.SIGHUP)
		until(t, want, func() bool { return strings.Count(a.text(), want) > n })
	}
	dropped := func() bool { return !dialEcho(t, l, "udp4").says("one", 400*time.Millisecond) }
	if dropped() {
		t.Error("the rule is about another host")
	}
	yaml(lab.ServerIP4.String(), "flow:\n  memcap: 64mb\n")
	hup("rules reloaded")
	if !dropped() {
		t.Error("the variable was not read again")
	}
	if s := a.text(); !strings.Contains(s, `next start"=flow`) {
		t.Errorf("it is not said that flow waits for the next start:\n%s", s)
	}
	yaml("nowhere", "")
	hup("NOT reloaded")
	if !dropped() {
		t.Error("a wrong configuration changed something")
	}
	a.stop(t)
}
