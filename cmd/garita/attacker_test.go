package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/garita/garita/internal/lab"
)

// The attacker sits in the client's namespace at addresses that its kernel
// does not own, so that no reset of a kernel disturbs it, and writes every
// packet by hand. Its victim sits one hop behind the lab's server, so that a
// packet can pass the gateway and die before it arrives:
//
//	attacker ── client's eth0 ── gateway (garita) ── server ── victim
//	10.77.1.100                                                10.77.3.2
var (
	attackerIP = [2]netip.Addr{netip.MustParseAddr("10.77.1.100"), netip.MustParseAddr("fd77:1::100")}
	hopIP      = [2]netip.Addr{netip.MustParseAddr("10.77.3.1"), netip.MustParseAddr("fd77:3::1")}
	victimIP   = [2]netip.Addr{netip.MustParseAddr("10.77.3.2"), netip.MustParseAddr("fd77:3::2")}
)

const (
	echoPort  = 7
	victimTTL = 2 // passes the gateway, dies at the server
)

// host is a network namespace beyond those of the lab.
type host struct{ ns netns.NsHandle }

func (h host) in(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if err := netns.Set(h.ns); err != nil {
			done <- err
			return
		}
		done <- f()
	}()
	return <-done
}

// newVictim makes the host behind the lab's server.
func newVictim(t *testing.T, l *lab.Lab) host {
	t.Helper()
	var h host
	made := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			h.ns, err = netns.GetFromPath("/proc/thread-self/ns/net")
		}
		made <- err
	}()
	if err := <-made; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.ns.Close() })
	set := func(name, value string) error { return os.WriteFile("/proc/sys/"+name, []byte(value), 0) }
	noDAD := func() error {
		return errors.Join(set("net/ipv6/conf/all/accept_dad", "0"), set("net/ipv6/conf/default/accept_dad", "0"))
	}
	raise := func(nl *netlink.Handle, name string, ips ...netip.Addr) (netlink.Link, error) {
		link, err := nl.LinkByName(name)
		if err != nil {
			return nil, err
		}
		for _, ip := range ips {
			bits := 24
			if ip.Is6() {
				bits = 64
			}
			if err := nl.AddrAdd(link, &netlink.Addr{IPNet: &net.IPNet{IP: ip.AsSlice(), Mask: net.CIDRMask(bits, ip.BitLen())}}); err != nil {
				return nil, err
			}
		}
		return link, nl.LinkSetUp(link)
	}
	route := func(nl *netlink.Handle, link netlink.Link, dst string, via netip.Addr) error {
		d := netip.MustParsePrefix(dst)
		return nl.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Gw: via.AsSlice(),
			Dst: &net.IPNet{IP: d.Addr().AsSlice(), Mask: net.CIDRMask(d.Bits(), d.Addr().BitLen())}})
	}
	with := func(f func(*netlink.Handle) error) func() error {
		return func() error {
			nl, err := netlink.NewHandle(unix.NETLINK_ROUTE)
			if err != nil {
				return err
			}
			defer nl.Close()
			return f(nl)
		}
	}
	must := func(err error) {
		if err != nil {
			t.Helper()
			t.Fatal(err)
		}
	}
	must(h.in(noDAD))
	must(l.In(lab.Server, with(func(nl *netlink.Handle) error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = "to-victim"
		if err := nl.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "eth0", PeerNamespace: netlink.NsFd(h.ns)}); err != nil {
			return err
		}
		_, err := raise(nl, "to-victim", hopIP[:]...)
		return errors.Join(err, set("net/ipv4/ip_forward", "1"), set("net/ipv6/conf/all/forwarding", "1"))
	})))
	must(h.in(with(func(nl *netlink.Handle) error {
		if _, err := raise(nl, "lo"); err != nil {
			return err
		}
		link, err := raise(nl, "eth0", victimIP[:]...)
		if err != nil {
			return err
		}
		return errors.Join(route(nl, link, "0.0.0.0/0", hopIP[0]), route(nl, link, "::/0", hopIP[1]))
	})))
	must(l.In(lab.Gateway, with(func(nl *netlink.Handle) error {
		link, err := nl.LinkByName(lab.GatewayToServer)
		if err != nil {
			return err
		}
		return errors.Join(route(nl, link, "10.77.3.0/24", lab.ServerIP4), route(nl, link, "fd77:3::/64", lab.ServerIP6))
	})))
	return h
}

// attacker writes and reads packets on the client's link.
type attacker struct {
	fd      int
	to      unix.SockaddrLinklayer
	mu      sync.Mutex
	tcp     map[uint16]*script // by the attacker's port
	echo    map[uint16]chan uint32
	closed  atomic.Bool
	reading sync.WaitGroup
}

func htons(v uint16) uint16 { return v<<8 | v>>8 }

// newAttacker opens the link and makes the gateway know where the attacker's
// addresses are.
func newAttacker(t *testing.T, l *lab.Lab) *attacker {
	t.Helper()
	a := &attacker{fd: -1, tcp: map[uint16]*script{}, echo: map[uint16]chan uint32{}}
	var own, gate net.HardwareAddr
	var index int
	if err := l.In(lab.Client, func() error {
		i, err := net.InterfaceByName(lab.HostLink)
		if err != nil {
			return err
		}
		own, index = i.HardwareAddr, i.Index
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		a.fd = fd
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20) != nil { // refused in user namespaces
			_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 8<<20)
		}
		tv := unix.Timeval{Usec: 100_000}
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv); err != nil {
			return err
		}
		return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ALL), Ifindex: index})
	}); err != nil {
		t.Fatal(err)
	}
	if err := l.In(lab.Gateway, func() error {
		i, err := net.InterfaceByName(lab.GatewayToClient)
		if err != nil {
			return err
		}
		gate = i.HardwareAddr
		nl, err := netlink.NewHandle(unix.NETLINK_ROUTE)
		if err != nil {
			return err
		}
		defer nl.Close()
		for _, ip := range attackerIP {
			err = errors.Join(err, nl.NeighSet(&netlink.Neigh{LinkIndex: i.Index, State: netlink.NUD_PERMANENT, IP: ip.AsSlice(), HardwareAddr: own}))
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	a.to = unix.SockaddrLinklayer{Ifindex: index, Halen: 6}
	copy(a.to.Addr[:], gate)
	a.reading.Go(a.read)
	t.Cleanup(func() {
		a.closed.Store(true)
		a.reading.Wait()
		unix.Close(a.fd)
	})
	return a
}

// send puts an IP packet on the wire.
func (a *attacker) send(b []byte) error {
	to := a.to
	to.Protocol = htons(unix.ETH_P_IP)
	if b[0]>>4 == 6 {
		to.Protocol = htons(unix.ETH_P_IPV6)
	}
	for {
		err := unix.Sendto(a.fd, b, 0, &to)
		if errors.Is(err, unix.ENOBUFS) || errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
			runtime.Gosched()
			continue
		}
		return err
	}
}

// read hands what comes in to those it is for.
func (a *attacker) read() {
	b := make([]byte, 1<<17)
	for !a.closed.Load() {
		n, from, err := unix.Recvfrom(a.fd, b, 0)
		if err != nil {
			continue // nothing for a while
		}
		if ll, ok := from.(*unix.SockaddrLinklayer); !ok || ll.Pkttype == unix.PACKET_OUTGOING {
			continue
		}
		p := b[:n]
		var proto byte
		var l4 []byte
		switch {
		case n >= 28 && p[0]>>4 == 4:
			if binary.BigEndian.Uint16(p[6:])&0x1fff != 0 {
				continue
			}
			proto, l4 = p[9], p[int(p[0]&15)*4:min(n, int(binary.BigEndian.Uint16(p[2:])))]
		case n >= 48 && p[0]>>4 == 6:
			proto, l4 = p[6], p[40:]
		default:
			continue
		}
		if len(l4) < 8 {
			continue
		}
		port := binary.BigEndian.Uint16(l4[2:])
		a.mu.Lock()
		s, e := a.tcp[port], a.echo[port]
		a.mu.Unlock()
		switch {
		case proto == unix.IPPROTO_TCP && s != nil && len(l4) >= 20:
			s.hear(l4)
		case proto == unix.IPPROTO_UDP && e != nil && len(l4) >= 12:
			select {
			case e <- binary.BigEndian.Uint32(l4[8:]):
			default:
			}
		}
	}
}

// barrier waits until everything sent from this port's script before has been
// judged: a datagram that goes through the same queue behind it comes back.
func (a *attacker) barrier(v int, port uint16, n uint32) error {
	a.mu.Lock()
	c := a.echo[port]
	a.mu.Unlock()
	for range 10 {
		if err := a.send(udpPacket(attackerIP[v], victimIP[v], port, echoPort, binary.BigEndian.AppendUint32(nil, n))); err != nil {
			return err
		}
		wait := time.After(time.Second)
		for waiting := true; waiting; {
			select {
			case got := <-c:
				if got == n {
					return nil
				}
			case <-wait:
				waiting = false
			}
		}
	}
	return fmt.Errorf("the datagram %d behind the segments does not come back", n)
}

func sum16(acc uint32, b []byte) uint32 {
	for ; len(b) > 1; b = b[2:] {
		acc += uint32(b[0])<<8 | uint32(b[1])
	}
	if len(b) == 1 {
		acc += uint32(b[0]) << 8
	}
	for acc > 0xffff {
		acc = acc&0xffff + acc>>16
	}
	return acc
}

// ipPacket puts an IP header before l4 and the checksum into it at field.
func ipPacket(src, dst netip.Addr, proto, ttl byte, id uint16, l4 []byte, field int) []byte {
	var b []byte
	s, d := src.AsSlice(), dst.AsSlice()
	if src.Is4() {
		b = append(b, 0x45, 0, byte((20+len(l4))>>8), byte(20+len(l4)), byte(id>>8), byte(id), 0, 0, ttl, proto, 0, 0)
		b = append(append(b, s...), d...)
		binary.BigEndian.PutUint16(b[10:], ^uint16(sum16(0, b)))
	} else {
		b = append(b, 0x60, 0, 0, 0, byte(len(l4)>>8), byte(len(l4)), proto, ttl)
		b = append(append(b, s...), d...)
	}
	if field >= 0 {
		binary.BigEndian.PutUint16(l4[field:], 0)
		c := sum16(sum16(sum16(sum16(0, s), d), []byte{0, proto, byte(len(l4) >> 8), byte(len(l4))}), l4)
		binary.BigEndian.PutUint16(l4[field:], ^uint16(c))
	}
	return append(b, l4...)
}

func udpPacket(src, dst netip.Addr, sport, dport uint16, data []byte) []byte {
	h := make([]byte, 8, 8+len(data))
	binary.BigEndian.PutUint16(h, sport)
	binary.BigEndian.PutUint16(h[2:], dport)
	binary.BigEndian.PutUint16(h[4:], uint16(8+len(data)))
	return ipPacket(src, dst, unix.IPPROTO_UDP, 64, 0, append(h, data...), 6)
}

// tcpSpec is a segment to be written.
type tcpSpec struct {
	seq, ack     uint32
	flags        byte
	win          uint16
	opts, data   []byte // opts of a length divisible by 4
	ttl          byte   // 0 means 64
	wrongSum     bool
	sport, dport uint16
	id           uint16
}

func (s *tcpSpec) packet(src, dst netip.Addr) []byte {
	h := make([]byte, 20, 20+len(s.opts)+len(s.data))
	binary.BigEndian.PutUint16(h, s.sport)
	binary.BigEndian.PutUint16(h[2:], s.dport)
	binary.BigEndian.PutUint32(h[4:], s.seq)
	binary.BigEndian.PutUint32(h[8:], s.ack)
	h[12], h[13] = byte(5+len(s.opts)/4)<<4, s.flags
	binary.BigEndian.PutUint16(h[14:], s.win)
	ttl := s.ttl
	if ttl == 0 {
		ttl = 64
	}
	b := ipPacket(src, dst, unix.IPPROTO_TCP, ttl, s.id, append(append(h, s.opts...), s.data...), 16)
	if s.wrongSum {
		at := len(b) - len(s.data) - len(s.opts) - 4
		b[at] ^= 0x5a
	}
	return b
}

// fragments cuts an IP packet into fragments that carry at most size bytes, a
// multiple of 8.
func fragments(b []byte, size int, id uint32) [][]byte {
	var out [][]byte
	v6 := b[0]>>4 == 6
	hl := 20
	if v6 {
		hl = 40
	}
	load := b[hl:]
	for off := 0; off < len(load); off += size {
		end := min(off+size, len(load))
		more := uint16(0)
		f := append([]byte(nil), b[:hl]...)
		if v6 {
			if end < len(load) {
				more = 1
			}
			f[6] = unix.IPPROTO_FRAGMENT
			binary.BigEndian.PutUint16(f[4:], uint16(8+end-off))
			f = append(f, b[6], 0)
			f = binary.BigEndian.AppendUint16(f, uint16(off)|more)
			f = binary.BigEndian.AppendUint32(f, id)
		} else {
			if end < len(load) {
				more = 0x2000
			}
			binary.BigEndian.PutUint16(f[2:], uint16(20+end-off))
			binary.BigEndian.PutUint16(f[4:], uint16(id))
			binary.BigEndian.PutUint16(f[6:], uint16(off/8)|more)
			binary.BigEndian.PutUint16(f[10:], 0)
			binary.BigEndian.PutUint16(f[10:], ^uint16(sum16(0, f)))
		}
		out = append(out, append(f, load[off:end]...))
	}
	return out
}
