package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/garita/garita/internal/lab"
)

const dropEvil = `drop http any any -> any any (msg:"evil page"; http.uri; content:"/evil"; sid:1;)`

// keep runs `garita keep` on the gateway.
func keep(t *testing.T, l *lab.Lab) (string, int) {
	t.Helper()
	c := command("keep")
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	if err := l.Start(lab.Gateway, c); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait()
	return out.String(), c.ProcessState.ExitCode()
}

// A trial that nobody keeps leaves nothing behind.
func TestTrialEnds(t *testing.T) {
	l := newLab(t)
	a := startAs(t, l, "try", "--for", "500ms", "--rule", dropEvil)
	until(t, "the trial to end", func() bool { return len(a.done) > 0 })
	if err := <-a.done; err != nil {
		t.Errorf("garita try ended with %v", err)
	}
	if !strings.Contains(a.text(), "nobody kept it") {
		t.Errorf("it did not say why it ended:\n%s", a.text())
	}
	if f := tables(t, l); len(f) != 0 {
		t.Errorf("left behind: %v", f)
	}
	if page, err := get(l, "/evil", patience); err != nil || page == "" {
		t.Errorf("after the trial: %q, %v", page, err)
	}
	if said, status := keep(t, l); status != 1 || !strings.Contains(said, "nothing to keep") {
		t.Errorf("keep without a trial: status %d, %q", status, said)
	}
}

// A trial that is kept outlives its time, and two are not possible at once.
func TestTrialKept(t *testing.T) {
	l := newLab(t)
	limit := 4 * time.Second
	if os.Getenv("GARITA_SLOW") != "" {
		limit *= 10
	}
	began := time.Now()
	a := startAs(t, l, "try", "--for", limit.String(), "--rule", dropEvil)
	second := command("try", "--hook", "forward", "--queue", "40")
	var said bytes.Buffer
	second.Stderr = &said
	if err := l.Start(lab.Gateway, second); err != nil {
		t.Fatal(err)
	}
	if err := second.Wait(); err == nil || !strings.Contains(said.String(), "another garita is on trial") {
		t.Errorf("a second trial: %v, %q", err, said.String())
	}
	if out, status := keep(t, l); status != 0 || !strings.HasPrefix(out, "kept") {
		t.Fatalf("keep: status %d, %q\n%s", status, out, a.text())
	}
	for time.Since(began) < 2*limit {
		if page, _ := get(l, "/evil", 200*time.Millisecond); page != "" {
			t.Fatalf("the kept trial let the evil page by: %q\n%s", page, a.text())
		}
	}
	if page, err := get(l, "/", patience); err != nil || page == "" {
		t.Errorf("the harmless page: %q, %v", page, err)
	}
	a.signal(t, unix.SIGTERM)
	if err := <-a.done; err != nil {
		t.Errorf("garita ended with %v\n%s", err, a.text())
	}
	if f := tables(t, l); len(f) != 0 {
		t.Errorf("left behind: %v", f)
	}
}
