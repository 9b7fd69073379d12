package divert_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/garita/garita/divert"
	"github.com/garita/garita/internal/nstest"
	"github.com/garita/garita/packet"
)

// childMain is what a helper process does.
func childMain(role string) int {
	spec := divert.Spec{Lifelines: divert.Lifelines{SSHPorts: []uint16{}}}
	own := divert.Owned
	switch role {
	case "open":
	case "closed":
		spec.Fail, own = divert.FailClosed, divert.Persistent
	case "locked":
		spec.Fail, own = divert.FailClosed, divert.Locked
	}
	d, err := divert.InstallAs(spec, own)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("ready", d.Ownership())
	_, _ = io.ReadAll(os.Stdin) // until killed, or the parent is gone
	return 0
}

// child starts a garita in a process of its own, in our namespace, and returns
// when it has installed.
func child(t testing.TB, role string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), envChild+"="+role)
	_, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "ready") {
		t.Fatalf("helper %s: %q, %v", role, line, err)
	}
	t.Logf("helper process: %s", strings.TrimSpace(line))
	return cmd
}

func kill9(t testing.TB, cmd *exec.Cmd) {
	t.Helper()
	must(t, cmd.Process.Signal(syscall.SIGKILL))
	_ = cmd.Wait()
}

func TestDeathOpen(t *testing.T) {
	if !nstest.Inside(t) {
		return
	}
	w := newWorld(t)
	client, ours := udp(t, w.client, client4+":5000"), udp(t, 0, our1+":5001")
	cmd := child(t, "open")
	found, err := divert.List()
	must(t, err)
	if len(found) != 1 || found[0].Owner.PID != cmd.Process.Pid || found[0].Fail != divert.FailOpen || !found[0].Diverting {
		t.Fatalf("found %+v, want the table of process %d", found, cmd.Process.Pid)
	}
	// Nobody has the queue bound: the bypass flag lets it by.
	send(t, client, our1+":5001", "bypass")
	expect(t, ours, "bypass")
	kill9(t, cmd)
	began := time.Now()
	eventually(t, "the table has vanished", func() bool { f, err := divert.List(); must(t, err); return len(f) == 0 })
	t.Logf("the table was gone %v after the process", time.Since(began))
	send(t, client, our1+":5001", "free")
	expect(t, ours, "free")
}

func TestDeathClosed(t *testing.T) {
	for _, role := range []string{"closed", "locked"} {
		t.Run(role, func(t *testing.T) { deathClosed(t, role) })
	}
}

func deathClosed(t *testing.T, role string) {
	if !nstest.Inside(t) {
		return
	}
	w := newWorld(t)
	client, ours := udp(t, w.client, client4+":5000"), udp(t, 0, our1+":5001")
	send(t, client, our1+":5001", "before")
	expect(t, ours, "before")
	cmd := child(t, role)
	kill9(t, cmd)
	eventually(t, "the owner is gone", func() bool {
		f, err := divert.List()
		must(t, err)
		return len(f) != 0 && f[0].Owner.PortID == 0
	})
	found, err := divert.List()
	must(t, err)
	if !found[0].Diverting || found[0].Fail != divert.FailClosed {
		t.Fatalf("left behind: %s", &found[0])
	}
	send(t, client, our1+":5001", "must not pass")

	// A successor takes it over, and only then traffic flows again: the datagram
	// before it is neither in the queue nor in the socket.
	q := bind(t, 0)
	own := divert.Persistent
	if role == "locked" {
		own = divert.Locked
	}
	d, err := divert.InstallAs(divert.Spec{Fail: divert.FailClosed}, own)
	must(t, err)
	send(t, client, our1+":5001", "judged")
	p := q.next()
	if p.text() != "judged" {
		t.Fatalf("queue got %q", p.text())
	}
	q.accept(p)
	expect(t, ours, "judged")

	// It dies while a packet waits in a queue that somebody keeps open. With the
	// same hooks the next one loses nothing by taking over.
	send(t, client, our1+":5001", "waits")
	p = q.next()
	must(t, d.Close())
	d, err = divert.InstallAs(divert.Spec{Fail: divert.FailClosed, Protocols: []uint8{unix.IPPROTO_UDP}}, own)
	must(t, err)
	q.accept(p)
	expect(t, ours, "waits")
	must(t, d.Close())

	// Once more without an owner; an operator cleans up.
	send(t, client, our1+":5001", "waits for nobody to answer")
	if p := q.next(); p.text() != "waits for nobody to answer" {
		t.Fatalf("queue got %q", p.text())
	}
	what, err := divert.Clean()
	must(t, err)
	t.Logf("cleaned: %q", what)
	nothingLeft(t)
	send(t, client, our1+":5001", "free")
	expect(t, ours, "free")
}

// A garita that fails open after one that failed closed, and with other hooks.
func TestTakeOverOther(t *testing.T) {
	if !nstest.Inside(t) {
		return
	}
	for _, role := range []string{"closed", "locked"} {
		kill9(t, child(t, role))
		d := install(t, divert.Spec{Hooks: []packet.Hook{packet.Output}})
		if d.Ownership() != divert.Owned {
			t.Errorf("ownership %s", d.Ownership())
		}
		found, err := divert.List()
		must(t, err)
		if len(found) != 1 || len(found[0].Chains) != 1 || found[0].Chains[0].Hook != packet.Output || found[0].Fail != divert.FailOpen {
			t.Errorf("found %+v", found)
		}
		must(t, d.Remove())
		nothingLeft(t)
	}
}

// TestWatchAfterOverrun: when events were lost, what comes after the comparison
// is not lost untold.
func TestWatchAfterOverrun(t *testing.T) {
	if !nstest.Inside(t) {
		return
	}
	d, err := divert.InstallAs(divert.Spec{}, divert.Unowned)
	must(t, err)
	defer d.Remove()
	c, err := nftables.New()
	must(t, err)
	wait, err := divert.Overrun(d, func() {
		x := c.AddTable(&nftables.Table{Name: "other", Family: nftables.TableFamilyINet})
		c.DelTable(x)
		must(t, c.Flush())
	})
	must(t, err)
	must(t, wait(10*time.Second)) // says that events were lost
	c.FlushChain(&nftables.Chain{Name: "input", Table: &nftables.Table{Name: "garita", Family: nftables.TableFamilyINet}})
	must(t, c.Flush())
	if err := wait(10 * time.Second); err != nil {
		t.Errorf("the change after the overrun was not told: %v", err)
	}
	var changed *divert.ChangedError
	if err := d.Check(); !errors.As(err, &changed) {
		t.Errorf("Check says %v", err)
	}
}

func TestWatch(t *testing.T) {
	if !nstest.Inside(t) {
		return
	}
	d, err := divert.InstallAs(divert.Spec{Queues: 2, Fail: divert.FailClosed}, divert.Locked)
	must(t, err)
	defer d.Remove()
	c, err := nftables.New()
	must(t, err)
	table := &nftables.Table{Name: "garita", Family: nftables.TableFamilyINet}
	for _, x := range []struct {
		name string
		do   func()
		want string
	}{
		{"flush a chain", func() { c.FlushChain(&nftables.Chain{Name: "input", Table: table}) }, "rules of chain input"},
		{"add a rule", func() {
			c.InsertRule(&nftables.Rule{Table: table, Chain: &nftables.Chain{Name: "q0", Table: table}, Exprs: []expr.Any{&expr.Verdict{Kind: expr.VerdictAccept}}})
		}, "rules of chain q0"},
		{"change the policy", func() {
			drop := nftables.ChainPolicyDrop
			c.AddChain(&nftables.Chain{Name: "forward", Table: table, Policy: &drop})
		}, "policy of chain forward"},
		{"delete the table", func() { c.DelTable(table) }, "the table is gone"},
		{"flush the rule set", func() { c.FlushRuleset() }, "the table is gone"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
		got := make(chan error, 1)
		go func() { got <- d.Watch(ctx) }()
		// A foreign change is no alarm; nor is ours.
		foreignRules(t)
		must(t, d.Reinstall())
		x.do()
		must(t, c.Flush())
		var ce *divert.ChangedError
		if err := <-got; !errors.As(err, &ce) || !strings.Contains(err.Error(), x.want) {
			t.Fatalf("%s: Watch says %v, want %q", x.name, err, x.want)
		}
		must(t, d.Reinstall())
		must(t, d.Check())
		cancel()
	}
	ctx, cancel := context.WithCancel(t.Context())
	got := make(chan error, 1)
	go func() { got <- d.Watch(ctx) }()
	cancel()
	if err := <-got; !errors.Is(err, context.Canceled) {
		t.Errorf("Watch after cancel: %v", err)
	}
	go func() { got <- d.Watch(t.Context()) }()
	must(t, d.Stop())
	if err := <-got; !errors.Is(err, divert.ErrStopped) {
		t.Errorf("Watch after Stop: %v", err)
	}
	must(t, d.Reinstall())
	go func() { got <- d.Watch(t.Context()) }()
	must(t, d.Close())
	if err := <-got; !errors.Is(err, divert.ErrStopped) {
		t.Errorf("Watch after Close: %v", err)
	}
	if _, err := divert.Clean(); err != nil {
		t.Error(err)
	}
}
