package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"syscall"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

const (
	clientIP = "10.81.1.2"
	serverIP = "10.81.2.2"
	queueNum = 81
	insideNS = "GARITA_BENCH_INSIDE"
)

// enter runs this program again in a network namespace of its own, so that the
// host's network is not touched.
func enter() (int, error) {
	if os.Geteuid() != 0 {
		return 2, errors.New("needs root: packets are counted by /proc/net/netfilter/nfnetlink_queue, " +
			"which belongs to root even in a user namespace")
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), insideNS+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET, Pdeathsig: unix.SIGKILL}
	if err := cmd.Run(); err != nil {
		if cmd.ProcessState == nil {
			return 2, err
		}
		return cmd.ProcessState.ExitCode(), nil
	}
	return 0, nil
}

// network is client – gateway – server; the gateway is the namespace we are in.
type network struct {
	gateway, client, server netns.NsHandle
}

// build makes the network. The calling goroutine must be locked to its thread.
func build() (*network, error) {
	n := &network{}
	var err error
	if n.gateway, err = netns.Get(); err != nil {
		return nil, err
	}
	// /proc/sys/net shows the namespace of the thread that opens it.
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0); err != nil {
		return nil, err
	}
	side := func(name, gw, ip string) (netns.NsHandle, error) {
		ns, err := netns.New()
		if err != nil {
			return 0, err
		}
		if err := netns.Set(n.gateway); err != nil {
			return 0, err
		}
		link := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: "eth0", PeerNamespace: netlink.NsFd(ns)}
		if err := netlink.LinkAdd(link); err != nil {
			return 0, fmt.Errorf("veth %s: %w", name, err)
		}
		here, err := netlink.LinkByName(name)
		if err != nil {
			return 0, err
		}
		if err := address(netlink.AddrAdd, here, gw); err != nil {
			return 0, err
		}
		h, err := netlink.NewHandleAt(ns)
		if err != nil {
			return 0, err
		}
		defer h.Close()
		there, err := h.LinkByName("eth0")
		if err != nil {
			return 0, err
		}
		if err := address(h.AddrAdd, there, ip); err != nil {
			return 0, err
		}
		if err := h.LinkSetUp(there); err != nil {
			return 0, err
		}
		if err := netlink.LinkSetUp(here); err != nil {
			return 0, err
		}
		return ns, h.RouteAdd(&netlink.Route{LinkIndex: there.Attrs().Index, Gw: net.ParseIP(gw)})
	}
	if n.client, err = side("client", "10.81.1.1", clientIP); err != nil {
		return nil, err
	}
	if n.server, err = side("server", "10.81.2.1", serverIP); err != nil {
		return nil, err
	}
	return n, nil
}

func address(add func(netlink.Link, *netlink.Addr) error, l netlink.Link, ip string) error {
	return add(l, &netlink.Addr{IPNet: &net.IPNet{IP: net.ParseIP(ip).To4(), Mask: net.CIDRMask(24, 32)}})
}

// start starts a command in a namespace. A child gets that of the thread that
// makes it.
func start(ns netns.NsHandle, cmd *exec.Cmd) error {
	failed := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with us
		if err := netns.Set(ns); err != nil {
			failed <- err
			return
		}
		failed <- cmd.Start()
	}()
	return <-failed
}

// divert queues all that the gateway forwards.
func divert() error {
	install := func(native bool) error {
		c, err := nftables.New()
		if err != nil {
			return err
		}
		tab := c.AddTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: "bench"})
		prio := nftables.ChainPriority(-161)
		chain := c.AddChain(&nftables.Chain{
			Name: "forward", Table: tab, Type: nftables.ChainTypeFilter,
			Hooknum: nftables.ChainHookForward, Priority: &prio,
		})
		var to expr.Any
		if native {
			to = &expr.Queue{Num: queueNum, Total: 1, Flag: expr.QueueFlagBypass}
		} else {
			info := make(xt.Unknown, 8)
			copy(info[0:], binaryutil.NativeEndian.PutUint16(queueNum))
			copy(info[2:], binaryutil.NativeEndian.PutUint16(1))
			copy(info[4:], binaryutil.NativeEndian.PutUint16(1))
			to = &expr.Target{Name: "NFQUEUE", Rev: 3, Info: &info}
		}
		c.AddRule(&nftables.Rule{Table: tab, Chain: chain, Exprs: []expr.Any{to}})
		return c.Flush()
	}
	if install(true) == nil {
		return nil
	}
	return install(false)
}

func undivert() error {
	c, err := nftables.New()
	if err != nil {
		return err
	}
	c.DelTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: "bench"})
	return c.Flush()
}
