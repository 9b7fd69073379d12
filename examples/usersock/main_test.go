package main

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/garita/garita/internal/lab"
)

// asCommand makes the test binary be the command, so that the processes that
// talk are processes.
const asCommand = "GARITA_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
		return
	}
	os.Exit(lab.Main(m))
}

func command(args ...string) *exec.Cmd {
	c := exec.Command("/proc/self/exe", args...)
	c.Env = append(os.Environ(), asCommand+"=1")
	return c
}

// listener is a process that listens.
type listener struct {
	port string
	out  *bufio.Scanner
	cmd  *exec.Cmd
}

func start(t *testing.T, group string) *listener {
	t.Helper()
	l := &listener{cmd: command("listen", group)}
	r, err := l.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	l.cmd.Stderr = os.Stderr
	if err := l.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	watchdog := time.AfterFunc(30*time.Second, func() { _ = l.cmd.Process.Kill() })
	t.Cleanup(func() {
		watchdog.Stop()
		_ = l.cmd.Process.Kill()
	})
	l.out = bufio.NewScanner(r)
	l.port = strings.TrimPrefix(l.line(t), "port ")
	return l
}

func (l *listener) line(t *testing.T) string {
	t.Helper()
	if !l.out.Scan() {
		t.Fatal("it says no more:", l.out.Err())
	}
	return l.out.Text()
}

func TestTalk(t *testing.T) {
	a, b, other := start(t, "1"), start(t, "1"), start(t, "2")
	if a.port == b.port || a.port == "0" {
		t.Fatalf("ports %s and %s", a.port, b.port)
	}
	answer, err := command("unicast", a.port, "hello").Output()
	if err != nil || string(answer) != "you said: hello\n" {
		t.Errorf("%q %v", answer, err)
	}
	if s := a.line(t); !strings.HasSuffix(s, ": hello") {
		t.Errorf("%q", s)
	}
	for _, text := range []string{"to all", "bye"} {
		if out, err := command("multicast", "1", text).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	for _, l := range []*listener{a, b} {
		for _, want := range []string{": to all", ": bye"} {
			if s := l.line(t); !strings.HasSuffix(s, want) {
				t.Errorf("%q, want %q", s, want)
			}
		}
		if err := l.cmd.Wait(); err != nil {
			t.Error(err)
		}
	}
	// The other group heard nothing of it.
	if out, err := command("unicast", other.port, "bye").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if s := other.line(t); !strings.HasSuffix(s, ": bye") {
		t.Errorf("%q: a message of another group", s)
	}
	if err := other.cmd.Wait(); err != nil {
		t.Error(err)
	}
	// Nobody is there any more.
	out, err := command("unicast", a.port, "hello").CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || !strings.Contains(string(out), "connection refused") {
		t.Errorf("%v: %s", err, out)
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{nil, {"listen"}, {"listen", "33"}, {"unicast", "x", "y"}, {"multicast", "0", "x"}, {"shout", "1"}} {
		if err := run(args, io.Discard); err == nil {
			t.Errorf("%v is understood", args)
		}
	}
}
