package ipq_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/garita/garita/internal/lab"
	"github.com/garita/garita/ipq"
	"github.com/garita/garita/iptc"
)

func TestMain(m *testing.M) { os.Exit(lab.Main(ready{m})) }

// ready brings the namespace's loopback up before the tests run.
type ready struct{ m *testing.M }

func (r ready) Run() int {
	lo, err := netlink.LinkByName("lo")
	if err == nil {
		err = netlink.LinkSetUp(lo)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "loopback:", err)
		return 2
	}
	return r.m.Run()
}

const patience = 20 * time.Second

// queue adds -A OUTPUT -p PROTO -j QUEUE until the test ends.
func queue(t *testing.T, f iptc.Family, proto uint8) {
	t.Helper()
	lock := iptc.Lock{File: filepath.Join(t.TempDir(), "lock")}
	h := iptc.Header{Proto: proto}
	err := iptc.Edit(f, "filter", lock, func(tab *iptc.Table) error {
		r, err := iptc.NewRule(f, h, nil, iptc.Target{Kind: iptc.Queue})
		if err != nil {
			return err
		}
		return tab.Append("OUTPUT", r)
	})
	if errors.Is(err, unix.ENOPROTOOPT) || errors.Is(err, unix.ENOENT) {
		t.Skipf("this kernel has no legacy tables: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := iptc.Edit(f, "filter", lock, func(tab *iptc.Table) error { return tab.Flush("OUTPUT") }); err != nil {
			t.Error(err)
		}
	})
}

func create(t *testing.T, protocol int) *ipq.Handle {
	t.Helper()
	h, err := ipq.CreateHandle(0, protocol)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Destroy(); err != nil && !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	})
	return h
}

// output is what the example prints, readable while it runs.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// TestExample runs the ported example against -j QUEUE: a conversation over TCP
// works, and every length is told.
func TestExample(t *testing.T) {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() {
		for {
			c, err := server.Accept()
			if err != nil {
				return
			}
			_, _ = io.Copy(c, c)
			c.Close()
		}
	}()
	queue(t, iptc.IPv4, unix.IPPROTO_TCP)
	h := create(t, ipq.IPv4)
	var out output
	done := make(chan error, 1)
	go func() { done <- acceptTCP(h, &out) }()

	c, err := net.DialTimeout("tcp", server.Addr().String(), patience)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	for _, text := range []string{"hello", strings.Repeat("x", 1234)} {
		if _, err := io.WriteString(c, text); err != nil {
			t.Fatal(err)
		}
		echo := make([]byte, len(text))
		if _, err := io.ReadFull(c, echo); err != nil || string(echo) != text {
			t.Fatalf("%q %v", echo, err)
		}
	}
	c.Close()
	if err := h.Destroy(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		// In Read or, with the last packets of the conversation, in SetVerdict.
		if !errors.Is(err, net.ErrClosed) || !errors.Is(err, ipq.ErrEOF) && !errors.Is(err, ipq.ErrSend) {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Fatal("the example is still reading")
	}
	for _, want := range []string{"tcp payload: 0\n", "tcp payload: 5\n", "tcp payload: 1234\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

func listen(t *testing.T, ip string) (client, server *net.UDPConn) {
	t.Helper()
	server, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP(ip)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	client, err = net.DialUDP("udp", nil, server.LocalAddr().(*net.UDPAddr))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client, server
}

func send(t *testing.T, c *net.UDPConn, text string) {
	t.Helper()
	// A full queue or a drop may come back as an error of the socket.
	if _, err := c.Write([]byte(text)); err != nil && !errors.Is(err, unix.EPERM) {
		t.Fatal(err)
	}
}

func arrives(t *testing.T, c *net.UDPConn, want string) {
	t.Helper()
	b := make([]byte, 2000)
	c.SetReadDeadline(time.Now().Add(patience))
	n, err := c.Read(b)
	if err != nil || string(b[:n]) != want {
		t.Fatalf("%q %v, want %q", b[:n], err, want)
	}
}

// TestCalls goes through the calls and what they promise, on both protocols.
func TestCalls(t *testing.T) {
	for _, x := range []struct {
		name     string
		family   iptc.Family
		protocol int
		ip       string
		ether    uint16
		header   int
	}{
		{"IPv4", iptc.IPv4, ipq.IPv4, "127.0.0.1", 0x800, 20},
		{"IPv6", iptc.IPv6, ipq.IPv6, "::1", 0x86dd, 40},
	} {
		t.Run(x.name, func(t *testing.T) {
			client, server := listen(t, x.ip)
			queue(t, x.family, unix.IPPROTO_UDP)
			h := create(t, x.protocol)
			buf := make([]byte, ipq.Headers+65531)
			if n, err := h.Read(buf, -1); n != 0 || err != nil {
				t.Errorf("nothing waits: %d, %v", n, err)
			}
			began := time.Now()
			if n, err := h.Read(buf, 20_000); n != 0 || err != nil || time.Since(began) < 20*time.Millisecond {
				t.Errorf("20 ms: %d, %v after %v", n, err, time.Since(began))
			}
			send(t, client, "before any mode")
			if n, err := h.Read(buf, -1); n != 0 || err != nil {
				t.Errorf("before any mode packets are dropped: %d, %v", n, err)
			}
			next := func() ipq.PacketMsg {
				t.Helper()
				n, err := h.Read(buf, 20_000_000)
				if err != nil || n == 0 || ipq.MessageType(buf) != ipq.MsgPacket {
					t.Fatalf("%d bytes, type %d, %v", n, ipq.MessageType(buf), err)
				}
				m, err := ipq.GetPacket(buf[:n])
				if err != nil {
					t.Fatal(err)
				}
				if m.OutdevName != "lo" || m.IndevName != "" || m.Hook != 3 || m.HWProtocol != x.ether || m.TimestampSec < began.Unix() || m.HWType != 0 {
					t.Errorf("%+v", m)
				}
				return m
			}
			answer := func(m ipq.PacketMsg, verdict uint32, data []byte) {
				t.Helper()
				if err := h.SetVerdict(m.PacketID, verdict, data); err != nil {
					t.Fatal(err)
				}
			}
			if err := h.SetMode(ipq.CopyMeta, 0); err != nil {
				t.Fatal(err)
			}
			send(t, client, "meta")
			m := next()
			if len(m.Payload) != 0 {
				t.Errorf("%d bytes in mode meta", len(m.Payload))
			}
			answer(m, ipq.Accept, nil)
			arrives(t, server, "meta")

			if err := h.SetMode(ipq.CopyPacket, 24); err != nil {
				t.Fatal(err)
			}
			send(t, client, "cut")
			if m = next(); len(m.Payload) != 24 {
				t.Errorf("%d bytes of 24", len(m.Payload))
			}
			answer(m, ipq.Accept, nil)
			arrives(t, server, "cut")

			if err := h.SetMode(ipq.CopyPacket, 0); err != nil {
				t.Fatal(err)
			}
			send(t, client, "bad")
			answer(next(), ipq.Drop, nil)
			send(t, client, "Good")
			m = next()
			if string(m.Payload[x.header+8:]) != "Good" {
				t.Fatalf("%q", m.Payload)
			}
			// Words that change places leave the checksum right.
			data := bytes.Replace(m.Payload, []byte("Good"), []byte("odGo"), 1)
			answer(m, ipq.Accept, data)
			arrives(t, server, "odGo")

			// Two may wait, and be answered in any order.
			send(t, client, "first")
			first := next()
			send(t, client, "second")
			second := next()
			answer(second, ipq.Accept, nil)
			arrives(t, server, "second")
			answer(first, ipq.Stop, nil)
			arrives(t, server, "first")

			// What the kernel does not know comes back as a message.
			answer(second, ipq.Accept, nil)
			if n, err := h.Read(buf, 20_000_000); err != nil || n == 0 || ipq.MessageType(buf) != ipq.MsgError || ipq.GetMsgErr(buf) != unix.ENOENT {
				t.Errorf("answered twice: %d, %v, type %d, %v", n, err, ipq.MessageType(buf), ipq.GetMsgErr(buf))
			}
			// A buffer too small costs the packet and is told.
			send(t, client, "too long for it")
			if n, err := h.Read(buf[:ipq.Headers+10], 20_000_000); n != 0 || !errors.Is(err, ipq.ErrRTrunc) || ipq.Errstr() != "Received message truncated" {
				t.Errorf("%d, %v", n, err)
			}
			if n, err := h.Read(buf[:3], 0); n != 0 || !errors.Is(err, ipq.ErrRecvBuf) || !errors.Is(h.Err(), ipq.ErrRecvBuf) {
				t.Errorf("%d, %v", n, err)
			}
			for _, v := range []uint32{ipq.Repeat, 2, 77} {
				if err := h.SetVerdict(1, v, nil); !errors.Is(err, ipq.ErrSupp) {
					t.Errorf("verdict %d: %v", v, err)
				}
			}
			if err := h.SetVerdict(1<<40, ipq.Accept, nil); !errors.Is(err, unix.ENOENT) {
				t.Error(err)
			}
			if err := h.SetMode(9, 0); !errors.Is(err, ipq.ErrSupp) {
				t.Error(err)
			}
			if h.Ctl(5) != 1 {
				t.Error("ipq_ctl returns 1")
			}
		})
	}
}

// TestOtherProtocol: IPv6 on a handle for IPv4 is dropped and counted.
func TestOtherProtocol(t *testing.T) {
	c4, s4 := listen(t, "127.0.0.1")
	c6, _ := listen(t, "::1")
	queue(t, iptc.IPv4, unix.IPPROTO_UDP)
	queue(t, iptc.IPv6, unix.IPPROTO_UDP)
	h := create(t, ipq.IPv4)
	if err := h.SetMode(ipq.CopyPacket, 0); err != nil {
		t.Fatal(err)
	}
	send(t, c6, "six")
	send(t, c4, "four")
	buf := make([]byte, 2000)
	n, err := h.Read(buf, 20_000_000)
	if err != nil {
		t.Fatal(err)
	}
	m, err := ipq.GetPacket(buf[:n])
	if err != nil || m.HWProtocol != 0x800 || h.Foreign() != 1 {
		t.Fatalf("%+v, %v, %d of the other protocol", m, err, h.Foreign())
	}
	if err := h.SetVerdict(m.PacketID, ipq.Accept, nil); err != nil {
		t.Fatal(err)
	}
	arrives(t, s4, "four")
}

func TestCreateHandle(t *testing.T) {
	if h, err := ipq.CreateHandle(0, 7); h != nil || !errors.Is(err, ipq.ErrProtocol) {
		t.Errorf("%v, %v", h, err)
	}
	var b strings.Builder
	if ipq.Perror(&b, "passer"); b.String() != "passer: Invalid protocol specified\n" {
		t.Errorf("%q", b.String())
	}
	create(t, ipq.IPv4)
	_, err := ipq.CreateHandle(0, ipq.IPv6)
	if !errors.Is(err, ipq.ErrBind) || !errors.Is(err, unix.EPERM) {
		t.Errorf("a second reader: %v", err)
	}
	b.Reset()
	if ipq.Perror(&b, ""); b.String() != "ERROR: Unable to bind netlink socket: operation not permitted\n" {
		t.Errorf("%q", b.String())
	}
	h, err := ipq.CreateHandleOn(7, ipq.IPv6)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Destroy(); err != nil {
		t.Error(err)
	}
	if err := h.SetMode(ipq.CopyPacket, 0); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}
