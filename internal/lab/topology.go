package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// wire joins the three namespaces: two veth pairs, addresses, routes, and
// forwarding on the gateway.
func (l *Lab) wire() error {
	for n := range nodes {
		// Before there are links: nobody else can have our addresses, and
		// looking for duplicates takes up to two seconds. The kernel looks if
		// either of the two settings says so.
		err := l.In(n, func() error {
			return errors.Join(
				sysctl("net/ipv6/conf/all/accept_dad", "0"),
				sysctl("net/ipv6/conf/default/accept_dad", "0"))
		})
		if err != nil {
			return fmt.Errorf("lab: %v: %w", n, denied(err))
		}
	}
	if err := l.In(Gateway, l.wireGateway); err != nil {
		return fmt.Errorf("lab: gateway: %w", denied(err))
	}
	hosts := [...]struct {
		node Node
		net  int // index into gatewayIPs
		ips  [2]netip.Addr
	}{
		{Client, 0, [2]netip.Addr{ClientIP4, ClientIP6}},
		{Server, 1, [2]netip.Addr{ServerIP4, ServerIP6}},
	}
	for _, h := range hosts {
		err := l.In(h.node, func() error {
			return withNetlink(func(nl *netlink.Handle) error {
				if err := linkUp(nl, HostLink, h.ips); err != nil {
					return err
				}
				return defaultRoutes(nl, gatewayIPs[h.net])
			})
		})
		if err != nil {
			return fmt.Errorf("lab: %v: %w", h.node, denied(err))
		}
	}
	for n := range nodes {
		if err := l.In(n, settled); err != nil {
			return fmt.Errorf("lab: %v: %w", n, err)
		}
	}
	return nil
}

// settled waits until no IPv6 address is tentative. That takes
// one turn of a kernel work queue; before it the host is not a member of its
// solicited-node groups, and the first packet to it would wait a second for
// neighbour discovery to try again.
func settled() error {
	return withNetlink(func(nl *netlink.Handle) error {
		for begin := time.Now(); ; time.Sleep(time.Millisecond) {
			addrs, err := nl.AddrList(nil, unix.AF_INET6)
			if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
				return err
			}
			tentative := slices.IndexFunc(addrs, func(a netlink.Addr) bool { return a.Flags&unix.IFA_F_TENTATIVE != 0 })
			if err == nil && tentative < 0 {
				return nil
			}
			if err == nil && time.Since(begin) > 5*time.Second {
				return fmt.Errorf("the address %v does not become usable", addrs[tentative].IPNet)
			}
		}
	})
}

func (l *Lab) wireGateway() error {
	return withNetlink(func(nl *netlink.Handle) error {
		for i, link := range [...]struct {
			name string
			peer Node
		}{{GatewayToClient, Client}, {GatewayToServer, Server}} {
			attrs := netlink.NewLinkAttrs()
			attrs.Name = link.name
			// Created with its far end in the other namespace: moving it there
			// later costs an RCU grace period.
			veth := &netlink.Veth{
				LinkAttrs:     attrs,
				PeerName:      HostLink,
				PeerNamespace: netlink.NsFd(l.ns[link.peer]),
			}
			if err := nl.LinkAdd(veth); err != nil {
				return fmt.Errorf("make veth pair %s: %w", link.name, err)
			}
			if err := linkUp(nl, link.name, gatewayIPs[i]); err != nil {
				return err
			}
		}
		return errors.Join(
			sysctl("net/ipv4/ip_forward", "1"),
			sysctl("net/ipv6/conf/all/forwarding", "1"))
	})
}

// sysctl writes a kernel setting of the current thread's namespace.
func sysctl(name, value string) error {
	err := os.WriteFile("/proc/sys/"+name, []byte(value), 0)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w (no IPv6 in this kernel?)", err)
	}
	return err
}

// withNetlink gives f a netlink socket of the current thread's namespace.
func withNetlink(f func(*netlink.Handle) error) error {
	nl, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer nl.Close()
	return f(nl)
}

// linkUp raises the loopback and the named link and gives the link its addresses.
func linkUp(nl *netlink.Handle, name string, ips [2]netip.Addr) error {
	lo, err := nl.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("lo: %w", err)
	}
	if err := nl.LinkSetUp(lo); err != nil {
		return fmt.Errorf("raise lo: %w", err)
	}
	link, err := nl.LinkByName(name)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	for _, ip := range ips {
		bits := 24
		if ip.Is6() {
			bits = 64
		}
		err := nl.AddrAdd(link, &netlink.Addr{
			IPNet: &net.IPNet{IP: ip.AsSlice(), Mask: net.CIDRMask(bits, ip.BitLen())},
		})
		if errors.Is(err, unix.EOPNOTSUPP) && ip.Is6() {
			return fmt.Errorf("give %s the address %v: this kernel has no IPv6 (booted with ipv6.disable=1?): %w", name, ip, err)
		}
		if err != nil {
			return fmt.Errorf("give %s the address %v: %w", name, ip, err)
		}
	}
	if err := nl.LinkSetUp(link); err != nil {
		return fmt.Errorf("raise %s: %w", name, err)
	}
	return nil
}

func defaultRoutes(nl *netlink.Handle, via [2]netip.Addr) error {
	link, err := nl.LinkByName(HostLink)
	if err != nil {
		return err
	}
	for _, gw := range via {
		dst := &net.IPNet{IP: make(net.IP, gw.BitLen()/8), Mask: net.CIDRMask(0, gw.BitLen())}
		err := nl.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: dst, Gw: gw.AsSlice()})
		if err != nil {
			return fmt.Errorf("default route via %v: %w", gw, err)
		}
	}
	return nil
}
