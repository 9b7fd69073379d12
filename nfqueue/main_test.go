package nfqueue

import (
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// nsEnv is set in the copy of the test binary that runs in a network
// namespace of its own; its value is empty, or why there is none.
const nsEnv = "GARITA_NFQUEUE_TEST_NS"

// TestMain runs the tests once more in a network namespace of their own, made
// with a user namespace if we are not root, so that the host is not touched.
func TestMain(m *testing.M) {
	flag.Parse()
	reason, inside := os.LookupEnv(nsEnv)
	fuzzing := flag.Lookup("test.fuzz").Value.String() != "" || flag.Lookup("test.fuzzworker").Value.String() == "true"
	if inside || fuzzing {
		if inside && reason == "" {
			if err := loopbackUp(); err != nil {
				fmt.Fprintln(os.Stderr, "loopback:", err)
				os.Exit(2)
			}
		}
		os.Exit(m.Run())
	}
	run := func(attr *syscall.SysProcAttr, reason string) (int, error) {
		cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		cmd.Env = append(os.Environ(), nsEnv+"="+reason)
		cmd.SysProcAttr = attr
		err := cmd.Run()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			return 0, err
		}
		return cmd.ProcessState.ExitCode(), nil
	}
	attr := &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET, Pdeathsig: unix.SIGKILL}
	if os.Geteuid() != 0 {
		attr.Cloneflags |= unix.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	code, err := run(attr, "")
	if err != nil {
		code, err = run(nil, fmt.Sprintf("no namespace of our own (euid %d): %v", os.Geteuid(), err))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 2
	}
	os.Exit(code)
}

// needKernel skips a test that would have to touch the host's network.
func needKernel(t testing.TB) {
	t.Helper()
	reason, inside := os.LookupEnv(nsEnv)
	if !inside {
		t.Skip("fuzzing: the kernel tests need a namespace of their own")
	}
	if reason != "" {
		t.Skip(reason)
	}
}

func loopbackUp() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(lo)
}

// patience is how long anything may take; emulated machines are slow.
const patience = 60 * time.Second

// rule is what is diverted into a queue.
type rule struct {
	hook   *nftables.ChainHook
	proto  uint8
	port   uint16 // destination; 0 = any
	queue  uint16
	bypass bool
	before []expr.Any // matches ahead of the others
}

// divert installs rules in a table of their own until the test ends.
func divert(t testing.TB, rules ...rule) {
	t.Helper()
	needKernel(t)
	install := func(native bool) error {
		c, err := nftables.New()
		if err != nil {
			return err
		}
		tab := c.AddTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: "t"})
		for i, r := range rules {
			prio := nftables.ChainPriority(-161 + int32(i)*2) // in the order given
			chain := c.AddChain(&nftables.Chain{
				Name: fmt.Sprint("c", i), Table: tab, Type: nftables.ChainTypeFilter,
				Hooknum: r.hook, Priority: &prio,
			})
			e := append([]expr.Any{}, r.before...)
			e = append(e,
				&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
				&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{r.proto}})
			if r.port != 0 {
				e = append(e,
					&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
					&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.BigEndian.PutUint16(r.port)})
			}
			e = append(e, queueTo(native, r.queue, r.bypass))
			c.AddRule(&nftables.Rule{Table: tab, Chain: chain, Exprs: e})
		}
		return c.Flush()
	}
	err := install(true)
	if err != nil {
		err = install(false)
	}
	if err != nil {
		t.Fatal("divert:", err)
	}
	t.Cleanup(func() {
		c, err := nftables.New()
		if err == nil {
			c.DelTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: "t"})
			err = c.Flush()
		}
		if err != nil {
			t.Error("remove the diversion:", err)
		}
	})
}

// queueTo is the native queue expression, or NFQUEUE of xtables where the
// kernel has only that.
func queueTo(native bool, queue uint16, bypass bool) expr.Any {
	if native {
		q := &expr.Queue{Num: queue, Total: 1}
		if bypass {
			q.Flag = expr.QueueFlagBypass
		}
		return q
	}
	info := make(xt.Unknown, 8)
	copy(info[0:], binaryutil.NativeEndian.PutUint16(queue))
	copy(info[2:], binaryutil.NativeEndian.PutUint16(1))
	if bypass {
		copy(info[4:], binaryutil.NativeEndian.PutUint16(1))
	}
	return &expr.Target{Name: "NFQUEUE", Rev: 3, Info: &info}
}

// markIs matches packets with the given fwmark, markIsnt those without.
func markIs(op expr.CmpOp, mark uint32) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyMARK, Register: 1},
		&expr.Cmp{Op: op, Register: 1, Data: binaryutil.NativeEndian.PutUint32(mark)},
	}
}

// open opens a queue until the test ends.
func open(t testing.TB, cfg Config) *Queue {
	t.Helper()
	needKernel(t)
	q, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := q.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			t.Error("close:", err)
		}
	})
	return q
}

// kernelKnown says whether the kernel's counters can be read. The file belongs
// to root of the initial user namespace: they must be known to it, and may be
// unknown only in a user namespace.
func kernelKnown(t testing.TB, q *Queue) bool {
	t.Helper()
	known := q.Stats().KernelKnown
	if m, err := os.ReadFile("/proc/self/uid_map"); !known && err == nil && strings.Join(strings.Fields(string(m)), " ") == "0 0 4294967295" {
		t.Fatal("the kernel's counters are not known to root")
	}
	return known
}

// until polls a state.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); {
		if time.Now().After(end) {
			t.Fatal("timed out waiting for", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// listenUDP returns a socket on a free port of ip.
func listenUDP(t testing.TB, ip string) *net.UDPConn {
	t.Helper()
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP(ip)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(fd uintptr) { // a slow machine reads late
		if unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 4<<20) != nil {
			err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 4<<20)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func dialUDP(t testing.TB, to net.Addr) *net.UDPConn {
	t.Helper()
	c, err := net.DialUDP("udp", nil, to.(*net.UDPAddr))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func portOf(c *net.UDPConn) uint16 { return c.LocalAddr().(*net.UDPAddr).AddrPort().Port() }

// expect reads one datagram.
func expect(t testing.TB, c *net.UDPConn) string {
	t.Helper()
	var buf [65536]byte
	c.SetReadDeadline(time.Now().Add(patience))
	n, err := c.Read(buf[:])
	if err != nil {
		t.Fatal(err)
	}
	return string(buf[:n])
}
