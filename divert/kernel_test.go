package divert_test

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/mdlayher/netlink"
	vnl "github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

const envChild = "GARITA_DIVERT_CHILD" // role of a helper process

func TestMain(m *testing.M) {
	if role := os.Getenv(envChild); role != "" {
		os.Exit(childMain(role))
	}
	os.Exit(m.Run())
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually polls until f is true. The limit is generous for emulated machines.
func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline); {
		if f() {
			return
		}
		runtime.Gosched()
		unixPoll(5)
	}
	t.Fatalf("waited 60 s in vain until %s", what)
}

// unixPoll gives the processor away for up to ms milliseconds between two looks
// at a state that has no event to wait for.
func unixPoll(ms int) { _, _ = unix.Poll(nil, ms) }

// world is a client and a server namespace beside the process's own, each joined
// to it by a veth pair. Ours routes between them.
//
//	client 10.1.0.2 fd01::2 —c0— ours 10.1.0.1/10.2.0.1 —s0— 10.2.0.2 fd02::2 server
type world struct {
	t              testing.TB
	client, server netns.NsHandle
}

const (
	our1, our2 = "10.1.0.1", "10.2.0.1"
	our61      = "fd01::1"
	client4    = "10.1.0.2"
	client6    = "fd01::2"
	server4    = "10.2.0.2"
	server6    = "fd02::2"
)

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t}
	up(t, "lo")
	must(t, os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0))
	must(t, os.WriteFile("/proc/sys/net/ipv6/conf/all/forwarding", []byte("1"), 0))
	w.client = join(t, "c0", our1+"/24", our61+"/64", client4, client6)
	w.server = join(t, "s0", our2+"/24", "fd02::1/64", server4, server6)
	return w
}

func up(t testing.TB, name string) {
	t.Helper()
	l, err := vnl.LinkByName(name)
	must(t, err)
	must(t, vnl.LinkSetUp(l))
}

func join(t testing.TB, name, gw4, gw6, peer4, peer6 string) netns.NsHandle {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	here, err := netns.Get()
	must(t, err)
	there, err := netns.New()
	must(t, err)
	must(t, netns.Set(here))
	must(t, vnl.LinkAdd(&vnl.Veth{
		LinkAttrs: vnl.LinkAttrs{Name: name}, PeerName: "eth0", PeerNamespace: vnl.NsFd(there),
	}))
	address(t, name, gw4, gw6)
	up(t, name)
	must(t, netns.Set(there))
	address(t, "eth0", peer4+"/24", peer6+"/64")
	up(t, "lo")
	up(t, "eth0")
	g4, _, _ := strings.Cut(gw4, "/")
	g6, _, _ := strings.Cut(gw6, "/")
	must(t, vnl.RouteAdd(&vnl.Route{Gw: net.ParseIP(g4)}))
	must(t, vnl.RouteAdd(&vnl.Route{Gw: net.ParseIP(g6)}))
	must(t, netns.Set(here))
	return there
}

func address(t testing.TB, link string, addrs ...string) {
	t.Helper()
	l, err := vnl.LinkByName(link)
	must(t, err)
	for _, a := range addrs {
		p, err := vnl.ParseAddr(a)
		must(t, err)
		p.Flags = unix.IFA_F_NODAD
		must(t, vnl.AddrAdd(l, p))
	}
}

// in runs f on a thread in namespace ns. Sockets that f makes stay there.
func in(t testing.TB, ns netns.NsHandle, f func()) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	here, err := netns.Get()
	must(t, err)
	defer here.Close()
	must(t, netns.Set(ns))
	defer func() { must(t, netns.Set(here)) }()
	f()
}

// udp opens a UDP socket in ns (0 = ours) at addr ("" = any).
func udp(t testing.TB, ns netns.NsHandle, addr string) *net.UDPConn {
	t.Helper()
	var c *net.UDPConn
	open := func() {
		a := netip.MustParseAddrPort(addr)
		var err error
		eventually(t, "the address "+addr+" is usable", func() bool {
			c, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(a))
			return err == nil
		})
	}
	if ns == 0 {
		open()
	} else {
		in(t, ns, open)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func send(t testing.TB, from *net.UDPConn, to string, text string) {
	t.Helper()
	_, err := from.WriteToUDPAddrPort([]byte(text), netip.MustParseAddrPort(to))
	must(t, err)
}

// expect reads one datagram with the given text.
func expect(t testing.TB, c *net.UDPConn, text string) netip.AddrPort {
	t.Helper()
	must(t, c.SetReadDeadline(time.Now().Add(60*time.Second)))
	buf := make([]byte, 2048)
	n, from, err := c.ReadFromUDPAddrPort(buf)
	if err != nil {
		t.Fatalf("waiting for %q: %v", text, err)
	}
	if string(buf[:n]) != text {
		t.Fatalf("got %q, want %q", buf[:n], text)
	}
	return netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
}

// queues is a netlink socket that has queues bound, a few lines that do not lean
// on the package under development beside this one.
type queues struct {
	t  testing.TB
	nl *netlink.Conn
}

type queued struct {
	queue, id uint32
	hook      uint8
	data      []byte
}

// text is the payload of a UDP packet.
func (q queued) text() string { return string(q.data[q.l4()+8:]) }
func (q queued) proto() byte {
	if q.data[0]>>4 == 4 {
		return q.data[9]
	}
	return q.data[6]
}
func (q queued) l4() int {
	if q.data[0]>>4 == 4 {
		return int(q.data[0]&15) * 4
	}
	return 40
}
func (q queued) ports() (src, dst uint16) {
	return binary.BigEndian.Uint16(q.data[q.l4():]), binary.BigEndian.Uint16(q.data[q.l4()+2:])
}

func bind(t testing.TB, nums ...uint16) *queues {
	t.Helper()
	nl, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	must(t, err)
	t.Cleanup(func() { nl.Close() })
	for _, n := range nums {
		ae := netlink.NewAttributeEncoder()
		ae.Bytes(1, []byte{1, 0, 0, 0})          // NFQA_CFG_CMD: BIND
		ae.Bytes(2, []byte{0, 0, 0xff, 0xff, 2}) // NFQA_CFG_PARAMS: copy whole packets
		ae.Bytes(3, []byte{0, 0, 0x10, 0})       // NFQA_CFG_QUEUE_MAXLEN
		data, err := ae.Encode()
		must(t, err)
		_, err = nl.Execute(netlink.Message{
			Header: netlink.Header{Type: 0x0302, Flags: netlink.Request | netlink.Acknowledge},
			Data:   append([]byte{0, 0, byte(n >> 8), byte(n)}, data...),
		})
		must(t, err)
	}
	return &queues{t, nl}
}

// next returns the next packet.
func (q *queues) next() queued {
	q.t.Helper()
	must(q.t, q.nl.SetReadDeadline(time.Now().Add(60*time.Second)))
	return q.receive()
}

func (q *queues) receive() queued {
	q.t.Helper()
	msgs, err := q.nl.Receive()
	must(q.t, err)
	return parsePacket(q.t, msgs[0])
}

func parsePacket(t testing.TB, m netlink.Message) queued {
	t.Helper()
	if m.Header.Type != 0x0300 {
		t.Fatalf("got message type %#x from the queue", m.Header.Type)
	}
	p := queued{queue: uint32(binary.BigEndian.Uint16(m.Data[2:]))}
	ad, err := netlink.NewAttributeDecoder(m.Data[4:])
	must(t, err)
	for ad.Next() {
		switch ad.Type() {
		case 1:
			p.id, p.hook = binary.BigEndian.Uint32(ad.Bytes()), ad.Bytes()[6]
		case 10:
			p.data = ad.Bytes()
		}
	}
	must(t, ad.Err())
	return p
}

func (q *queues) accept(p queued) { q.acceptMarked(p, 0) }

// acceptMarked accepts with a mark, if it is not 0.
func (q *queues) acceptMarked(p queued, mark uint32) {
	q.t.Helper()
	const accept = 1
	ae := netlink.NewAttributeEncoder()
	hdr := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, accept), p.id)
	ae.Bytes(2, hdr)
	if mark != 0 {
		ae.Bytes(3, binary.BigEndian.AppendUint32(nil, mark))
	}
	data, err := ae.Encode()
	must(q.t, err)
	// No acknowledgement: the packet may come back at a later hook before the
	// kernel answers. An error is found by the next receive.
	_, err = q.nl.Send(netlink.Message{
		Header: netlink.Header{Type: 0x0301, Flags: netlink.Request},
		Data:   append([]byte{0, 0, byte(p.queue >> 8), byte(p.queue)}, data...),
	})
	must(q.t, err)
}

// connect begins a TCP connection from ns and waits for nothing.
func connect(t testing.TB, ns netns.NsHandle, to string) {
	t.Helper()
	a := netip.MustParseAddrPort(to)
	in(t, ns, func() {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK, 0)
		must(t, err)
		t.Cleanup(func() { unix.Close(fd) })
		err = unix.Connect(fd, &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()})
		if err != unix.EINPROGRESS {
			t.Fatalf("connect to %s: %v", to, err)
		}
	})
}
