package nfqueue

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/garita/garita/packet"
)

func TestOwnedByAnother(t *testing.T) {
	first := open(t, Config{Queue: 30})
	_, err := Open(Config{Queue: 30})
	var e *Error
	if !errors.As(err, &e) || !errors.Is(err, unix.EPERM) || e.Queue != 30 || e.Op == "" {
		t.Fatalf("%#v", err)
	}
	want := "another program owns the queue"
	if kernelKnown(t, first) {
		want = fmt.Sprintf("netlink port %d", first.Info().PortID)
	}
	if !strings.Contains(err.Error(), want) {
		t.Errorf("%q does not say %q", err, want)
	}
	first.Close()
	again, err := Open(Config{Queue: 30})
	if err != nil {
		t.Fatal("after Close:", err)
	}
	again.Close()
}

// TestFeatures: what is refused is said, what is required is required.
func TestFeatures(t *testing.T) {
	needKernel(t)
	q := open(t, Config{Queue: 31, Try: allFeatures, Require: Owner})
	i := q.Info()
	t.Logf("granted %v, refused %v, read buffer %d, send buffer %d", i.Features, i.Refused, i.ReadBuffer, i.SendBuffer)
	if i.Features|i.Refused != allFeatures || i.Features&i.Refused != 0 || i.Features&Owner == 0 {
		t.Errorf("%+v", i)
	}
	q.Close()
	for _, f := range []Feature{Conntrack, SecCtx} {
		q, err := Open(Config{Queue: 31, Require: f})
		if granted := i.Features&f != 0; granted != (err == nil) {
			t.Errorf("require %v: %v", f, err)
		}
		if err == nil {
			q.Close()
		} else if !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.EINVAL) {
			t.Error(err)
		}
	}
	if i.ReadBuffer < 100_000 || i.SendBuffer < 4096 {
		t.Errorf("%+v", i)
	}
}

// TestMetadata checks what the kernel says about a packet.
func TestMetadata(t *testing.T) {
	server := listenUDP(t, "127.0.0.1")
	port := portOf(server)
	out := open(t, Config{Queue: 32, Require: Owner})
	in := open(t, Config{Queue: 33, Try: Conntrack})
	divert(t,
		rule{hook: nftables.ChainHookOutput, proto: unix.IPPROTO_UDP, port: port, queue: 32},
		rule{hook: nftables.ChainHookInput, proto: unix.IPPROTO_UDP, port: port, queue: 33})
	client := dialUDP(t, server.LocalAddr())
	raw, err := client.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(fd uintptr) {
		err = errors.Join(
			unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, 77),
			unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PRIORITY, 3))
	})
	if err != nil {
		t.Fatal(err)
	}
	before := time.Now()
	client.Write([]byte("who"))
	p := take(t, out, 1)
	o := p[0]
	if o.Hook != packet.Output || o.OutDev == 0 || o.InDev != 0 || o.Mark != 77 || o.HWProtocol != 0x0800 || o.FullLen != 31 {
		t.Errorf("%+v", o)
	}
	// The numbers are those of the initial user namespace.
	if os.Getuid() != 0 || o.Attrs&packet.HasOwner == 0 {
		t.Errorf("owner %b %d %d", o.Attrs, o.UID, o.GID)
	}
	if o.Priority != 0 && o.Priority != 3 { // NFQA_PRIORITY came with 5.18
		t.Errorf("priority %d", o.Priority)
	}
	if d := time.Unix(0, o.Time).Sub(before); d < -time.Second || d > patience {
		t.Errorf("time is off by %v", d)
	}
	if string(o.Payload()) != "who" || o.DstPort() != port {
		t.Errorf("payload %q to %d", o.Payload(), o.DstPort())
	}
	p[0].Verdict = packet.Accept().WithMark(78)
	if err := out.Verdict(p); err != nil {
		t.Fatal(err)
	}
	p = take(t, in, 1)
	if p[0].Hook != packet.Input || p[0].InDev == 0 || p[0].Mark != 78 || p[0].Attrs&packet.HasHWAddr == 0 || p[0].HWAddrLen != 6 {
		t.Errorf("%+v", p[0])
	}
	if ct := in.Info().Features&Conntrack != 0; ct {
		t.Logf("conntrack %d bytes, info %d", len(p[0].CT), p[0].CTInfo)
	}
	p[0].Verdict = packet.Accept()
	in.Verdict(p)
	expect(t, server)
}

// TestHandOver gives a queue with waiting packets to a successor.
func TestHandOver(t *testing.T) {
	q, client, server := through(t, "127.0.0.1", Config{Queue: 34})
	port := q.Info().PortID
	for i := range 3 {
		fmt.Fprint(client, i)
	}
	one := make([]packet.Packet, 1)
	if n, err := q.Receive(one); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	one[0].Verdict = packet.Accept()
	if err := q.Verdict(one); err != nil {
		t.Fatal(err)
	}
	f, err := q.File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	next, err := FromFD(fd, Config{Queue: 34})
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	if next.Info().PortID != port {
		t.Error("the successor has another port")
	}
	fmt.Fprint(client, 3)
	p := take(t, next, 3)
	for i := range p {
		p[i].Verdict = packet.Accept()
	}
	if err := next.Verdict(p); err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		if got := expect(t, server); got != fmt.Sprint(i) {
			t.Errorf("%d: got %q", i, got)
		}
	}
	if _, err := FromFD(0, Config{}); err == nil {
		t.Error("took over what is no queue")
	}
}

// TestNonBlocking: somebody who shares the socket made it non-blocking.
func TestNonBlocking(t *testing.T) {
	q, client, server := through(t, "127.0.0.1", Config{Queue: 35})
	if err := unix.SetNonblock(q.fd, true); err != nil {
		t.Fatal(err)
	}
	got := make(chan error)
	go func() {
		p := make([]packet.Packet, 1)
		_, err := q.Receive(p)
		p[0].Verdict = packet.Accept()
		got <- errors.Join(err, q.Verdict(p))
		_, err = q.Receive(p)
		got <- err
	}()
	client.Write([]byte("x"))
	if err := <-got; err != nil {
		t.Fatal(err)
	}
	expect(t, server)
	q.Close()
	if err := <-got; err != net.ErrClosed {
		t.Fatal(err)
	}
}

// TestFull fills the queue, with and without fail-open, and reads the kernel's
// count of what it dropped.
func TestFull(t *testing.T) {
	for _, open := range []bool{false, true} {
		t.Run(fmt.Sprint("fail open ", open), func(t *testing.T) {
			const room, sent = 5, 12
			q, client, server := through(t, "127.0.0.1", Config{Queue: 36, MaxLen: room, FailOpen: open})
			for i := range sent {
				fmt.Fprint(client, i)
			}
			k := q.Stats().Kernel
			want := uint32(sent - room)
			if open {
				want = 0
				for i := room; i < sent; i++ {
					if got := expect(t, server); got != fmt.Sprint(i) {
						t.Errorf("got %q, want %d", got, i)
					}
				}
			}
			if kernelKnown(t, q) && (k.Waiting != room || k.QueueDropped != want || k.UserDropped != 0) {
				t.Errorf("%+v", k)
			}
			p := take(t, q, room)
			for i := range p {
				p[i].Verdict = packet.Accept()
			}
			if err := q.Verdict(p); err != nil {
				t.Fatal(err)
			}
			if !kernelKnown(t, q) {
				client.Write([]byte("end")) // to see that nothing else came
				p := take(t, q, 1)
				p[0].Verdict = packet.Accept()
				if p[0].ID != room+1 {
					t.Errorf("%d packets were queued, want %d", p[0].ID-1, room)
				}
				q.Verdict(p)
			}
			for i := range room {
				if got := expect(t, server); got != fmt.Sprint(i) {
					t.Errorf("got %q, want %d", got, i)
				}
			}
		})
	}
}

// TestReadBuffer overruns the read buffer: dropped packets are counted by the
// kernel, the socket goes on working at once, and what waits is not lost.
func TestReadBuffer(t *testing.T) {
	q, client, server := through(t, "127.0.0.1", Config{Queue: 37, ReadBuffer: 8192})
	const sent = 100
	for i := range sent {
		fmt.Fprint(client, i)
	}
	k := q.Stats().Kernel
	if kernelKnown(t, q) && (k.Waiting == 0 || k.UserDropped == 0 || k.Waiting+k.UserDropped != sent || k.QueueDropped != 0) {
		t.Fatalf("%+v", k)
	}
	p := make([]packet.Packet, sent)
	n, err := q.Receive(p) // the buffer holds fewer than a burst
	if err != nil || kernelKnown(t, q) && n != int(k.Waiting) {
		t.Fatal(n, err)
	}
	p = p[:n]
	for i := range p {
		p[i].Verdict = packet.Accept()
	}
	if err := q.Verdict(p); err != nil {
		t.Fatal(err)
	}
	for range p {
		expect(t, server)
	}
	client.Write([]byte("again"))
	p = take(t, q, 1)
	p[0].Verdict = packet.Accept()
	if err := q.Verdict(p); err != nil {
		t.Fatal(err)
	}
	if got := expect(t, server); got != "again" {
		t.Errorf("got %q", got)
	}
}

// TestBulk moves TCP through queues at both ends, whole and segmented.
func TestBulk(t *testing.T) {
	needKernel(t)
	// With the loopback's own 64 KiB one segment is a whole packet, and nothing
	// need be offloaded.
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetMTU(lo, 1500); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := netlink.LinkSetMTU(lo, lo.Attrs().MTU); err != nil {
			t.Error(err)
		}
	}()
	for _, ip := range []string{"127.0.0.1", "::1"} {
		for _, noGSO := range []bool{false, true} {
			t.Run(fmt.Sprint(ip, " no GSO ", noGSO), func(t *testing.T) {
				needKernel(t)
				ln, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
				if err != nil {
					t.Fatal(err)
				}
				defer ln.Close()
				port := uint16(ln.Addr().(*net.TCPAddr).Port)
				q := open(t, Config{Queue: 38, NoGSO: noGSO, ReadBuffer: 64 << 20})
				divert(t, rule{hook: nftables.ChainHookOutput, proto: unix.IPPROTO_TCP, port: port, queue: 38})
				const total = 8 << 20
				sum := make(chan [2]uint64, 1)
				go func() {
					c, err := ln.Accept()
					if err != nil {
						sum <- [2]uint64{}
						return
					}
					defer c.Close()
					var n, s uint64
					buf := make([]byte, 1<<16)
					for {
						k, err := c.Read(buf)
						for _, b := range buf[:k] {
							s = s*31 + uint64(b)
						}
						n += uint64(k)
						if err != nil {
							sum <- [2]uint64{n, s}
							return
						}
					}
				}()
				var offloaded uint64
				largest := 0
				done := make(chan error, 1)
				go func() {
					pkts := make([]packet.Packet, 32)
					for {
						n, err := q.Receive(pkts)
						if err != nil {
							done <- err
							return
						}
						for i := range pkts[:n] {
							if pkts[i].Offload&packet.GSO != 0 {
								offloaded++
							}
							largest = max(largest, len(pkts[i].Data))
							pkts[i].Verdict = packet.Accept()
						}
						if err := q.Verdict(pkts[:n]); err != nil {
							done <- err
							return
						}
					}
				}()
				c, err := net.DialTimeout("tcp", ln.Addr().String(), patience)
				if err != nil {
					t.Fatal(err)
				}
				var want uint64
				data := make([]byte, total)
				for i := range data {
					data[i] = byte(i * 7 >> 3)
					want = want*31 + uint64(data[i])
				}
				c.SetDeadline(time.Now().Add(patience))
				if _, err := c.Write(data); err != nil {
					t.Fatal(err)
				}
				c.(*net.TCPConn).CloseWrite()
				io.Copy(io.Discard, c)
				c.Close()
				if got := <-sum; got != [2]uint64{total, want} {
					t.Errorf("got %d bytes, sum %x, want %d, %x", got[0], got[1], total, want)
				}
				q.Drain() // the end of the connection may still be on its way
				if err := <-done; err != net.ErrClosed {
					t.Error(err)
				}
				s := q.Stats()
				t.Logf("%d packets, %d offloaded, largest %d bytes", s.Received, offloaded, largest)
				if noGSO == (offloaded > 0) || s.Received == 0 || s.Received != s.Accepted || s.Unknown != 0 {
					t.Errorf("%d offloaded, %+v", offloaded, s)
				}
			})
		}
	}
}

// TestHostile sends datagrams of all sorts from another socket straight to the
// queue's: none of them may count as a packet.
func TestHostile(t *testing.T) {
	q, client, server := through(t, "127.0.0.1", Config{Queue: 39})
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	forged := fixtures()
	for _, m := range forged {
		if err := unix.Sendto(fd, m.msg, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Pid: q.Info().PortID}); err != nil {
			t.Fatal(err)
		}
	}
	client.Write([]byte("real"))
	p := take(t, q, 1)
	if string(p[0].Payload()) != "real" {
		t.Errorf("got %q", p[0].Data)
	}
	p[0].Verdict = packet.Accept()
	if err := q.Verdict(p); err != nil {
		t.Fatal(err)
	}
	expect(t, server)
	if s := q.Stats(); s.Foreign != uint64(len(forged)) || s.Received != 1 || s.Refused+s.Unknown+s.Malformed != 0 {
		t.Errorf("%+v", s)
	}
}

// TestTwoQueues runs two queues at once, with one client each.
func TestTwoQueues(t *testing.T) {
	type side struct {
		q              *Queue
		client, server *net.UDPConn
	}
	needKernel(t)
	var sides [2]side
	var rules []rule
	for i := range sides {
		s := &sides[i]
		s.server = listenUDP(t, "127.0.0.1")
		s.q = open(t, Config{Queue: uint16(40 + i)})
		r := outputUDP
		r.port, r.queue = portOf(s.server), uint16(40+i)
		rules = append(rules, r)
	}
	divert(t, rules...)
	done := make(chan error, 2)
	const total = 500
	for i := range sides {
		s := &sides[i]
		s.client = dialUDP(t, s.server.LocalAddr())
		go func() {
			pkts := make([]packet.Packet, 8)
			for {
				n, err := s.q.Receive(pkts)
				if err != nil {
					done <- err
					return
				}
				for j := range pkts[:n] {
					pkts[j].Verdict = packet.Accept()
				}
				if err := s.q.Verdict(pkts[:n]); err != nil {
					done <- err
					return
				}
			}
		}()
	}
	for i := range total {
		for j := range sides {
			fmt.Fprint(sides[j].client, i)
			if got := expect(t, sides[j].server); got != fmt.Sprint(i) {
				t.Fatalf("queue %d: got %q, want %d", j, got, i)
			}
		}
	}
	for i := range sides {
		sides[i].q.Close()
		if err := <-done; err != net.ErrClosed {
			t.Error(err)
		}
		if s := sides[i].q.Stats(); s.Accepted != total {
			t.Errorf("%+v", s)
		}
	}
}

// TestAllocs: from Receive to Verdict nothing is allocated.
func TestAllocs(t *testing.T) {
	for _, ip := range []string{"127.0.0.1", "::1"} {
		t.Run(ip, func(t *testing.T) { testAllocs(t, ip) })
	}
}

func testAllocs(t *testing.T, ip string) {
	q, client, server := through(t, ip, Config{Queue: 42})
	pkts := make([]packet.Packet, 16)
	buf := make([]byte, 64)
	raw, err := server.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	craw, err := client.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	write := func(fd uintptr) bool { unix.Write(int(fd), buf); return true }
	read := func(fd uintptr) bool { unix.Read(int(fd), buf); return true }
	allocs := testing.AllocsPerRun(200, func() {
		for range 5 {
			craw.Write(write)
		}
		for seen := 0; seen < 5; {
			n, err := q.Receive(pkts)
			if err != nil {
				t.Fatal(err)
			}
			for i := range pkts[:n] {
				pkts[i].Verdict = packet.Accept()
				if i%2 == 0 {
					pkts[i].Verdict = packet.Accept().WithMark(9)
				}
			}
			if err := q.Verdict(pkts[:n]); err != nil {
				t.Fatal(err)
			}
			seen += n
		}
		for range 5 {
			raw.Read(read)
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
	if s := q.Stats(); s.Accepted < 1000 {
		t.Errorf("%+v", s)
	}
}
