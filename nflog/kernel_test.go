package nflog

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/garita/garita/internal/lab"
	"github.com/garita/garita/packet"
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

// patience is how long anything may take; emulated machines are slow.
const patience = 60 * time.Second

// logTo copies what leaves by the loopback to a UDP port to a group, until the
// test ends.
func logTo(t testing.TB, port int, group uint16, prefix string, snap uint32) {
	t.Helper()
	c, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	tab := c.AddTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: "nflog-test"})
	ch := c.AddChain(&nftables.Chain{Name: "out", Table: tab, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookOutput, Priority: nftables.ChainPriorityFilter})
	log := &expr.Log{Group: group, Data: []byte(prefix), Key: 1<<unix.NFTA_LOG_GROUP | 1<<unix.NFTA_LOG_PREFIX}
	if snap != 0 {
		log.Snaplen = snap
		log.Key |= 1 << unix.NFTA_LOG_SNAPLEN
	}
	c.AddRule(&nftables.Rule{Table: tab, Chain: ch, Exprs: []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.IPPROTO_UDP}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{byte(port >> 8), byte(port)}},
		log,
	}})
	if err := c.Flush(); err != nil {
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EOPNOTSUPP) {
			t.Skipf("this kernel's nftables has no log expression: %v", err)
		}
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.DelTable(tab)
		if err := c.Flush(); err != nil {
			t.Error(err)
		}
	})
}

func open(t testing.TB, cfg Config) *Reader {
	t.Helper()
	r, err := Open(cfg)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EPROTONOSUPPORT) {
		t.Skipf("this kernel has no nfnetlink_log: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	})
	return r
}

// pair is a UDP client and its server on ip.
func pair(t testing.TB, ip string) (client, server *net.UDPConn) {
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

func port(c *net.UDPConn) int { return c.LocalAddr().(*net.UDPAddr).Port }

// watchdog ends the test's wait for packets that do not come.
func watchdog(t testing.TB, r *Reader) {
	timer := time.AfterFunc(patience, func() { r.Close() })
	t.Cleanup(func() { timer.Stop() })
}

func TestCopies(t *testing.T) {
	for _, ip := range []string{"127.0.0.1", "::1"} {
		t.Run(ip, func(t *testing.T) {
			client, server := pair(t, ip)
			r := open(t, Config{Group: 5})
			logTo(t, port(server), 5, "hello: ", 0)
			lo, err := net.InterfaceByName("lo")
			if err != nil {
				t.Fatal(err)
			}
			watchdog(t, r)
			const sent = 100
			for i := range sent {
				if _, err := client.Write(fmt.Appendf(nil, "datagram %d", i)); err != nil {
					t.Fatal(err)
				}
			}
			pkts := make([]packet.Packet, 7) // no divisor of the batch
			seen := 0
			for seen < sent {
				n, err := r.Receive(pkts)
				if err != nil {
					t.Fatal(err)
				}
				for i := range pkts[:n] {
					p := &pkts[i]
					p.Decode()
					if want := fmt.Sprintf("datagram %d", seen); string(p.Payload()) != want || p.Malformed() != 0 {
						t.Fatalf("packet %d: %q, want %q; %v", seen, p.Payload(), want, p.Malformed())
					}
					if p.Hook != packet.Output || int(p.OutDev) != lo.Index || p.Queue != 5 || p.Dst().String() != ip || int(p.DstPort()) != port(server) {
						t.Errorf("%+v", p)
					}
					if string(r.Prefix(i)) != "hello: " {
						t.Errorf("prefix %q", r.Prefix(i))
					}
					if !p.ChecksumOK() {
						t.Error("a checksum that nobody has computed is held against the packet")
					}
					seen++
				}
				if err := r.Verdict(pkts[:n]); err != nil {
					t.Fatal(err)
				}
			}
			if s := r.Stats(); s.Received != sent || s.Lost+s.Malformed+s.Foreign+s.Truncated != 0 {
				t.Errorf("%+v", s)
			}
			// The packets themselves went on.
			buf := make([]byte, 100)
			for i := range sent {
				server.SetReadDeadline(time.Now().Add(patience))
				n, err := server.Read(buf)
				if want := fmt.Sprintf("datagram %d", i); err != nil || string(buf[:n]) != want {
					t.Fatalf("%q %v, want %q", buf[:n], err, want)
				}
			}
		})
	}
}

func TestCut(t *testing.T) {
	for _, x := range []struct {
		name      string
		copyRange uint32
		snap      uint32
	}{{"by us", 40, 0}, {"by the rule", 0, 40}} {
		t.Run(x.name, func(t *testing.T) {
			client, server := pair(t, "127.0.0.1")
			r := open(t, Config{Group: 5, Threshold: 1, CopyRange: x.copyRange})
			logTo(t, port(server), 5, "", x.snap)
			watchdog(t, r)
			if _, err := client.Write(bytes.Repeat([]byte{'x'}, 1000)); err != nil {
				t.Fatal(err)
			}
			pkts := make([]packet.Packet, 1)
			if _, err := r.Receive(pkts); err != nil {
				t.Fatal(err)
			}
			p := &pkts[0]
			p.Decode()
			if len(p.Data) != 40 || p.FullLen != 1028 || p.Attrs&packet.Truncated == 0 || p.Malformed() != 0 || r.Stats().Truncated != 1 {
				t.Errorf("%d of %d bytes, %v, %v", len(p.Data), p.FullLen, p.Attrs, p.Malformed())
			}
		})
	}
}

// TestLost sends more than the read buffer takes while nobody reads: what is
// missing is counted, to the packet.
func TestLost(t *testing.T) {
	client, server := pair(t, "127.0.0.1")
	r := open(t, Config{Group: 5, Threshold: 1, ReadBuffer: 16 << 10})
	logTo(t, port(server), 5, "", 0)
	watchdog(t, r)
	const sent = 3000
	for range sent {
		if _, err := client.Write(make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
	}
	pkts := make([]packet.Packet, 64)
	total := uint64(sent)
	last := false
	for !last {
		n, err := r.Receive(pkts)
		if err != nil {
			t.Fatal(err)
		}
		for i := range pkts[:n] {
			pkts[i].Decode()
			last = last || string(pkts[i].Payload()) == "last"
		}
		if total == sent { // there is room now: something to see the end by
			total++
			if _, err := client.Write([]byte("last")); err != nil {
				t.Fatal(err)
			}
		}
	}
	s := r.Stats()
	if s.Lost == 0 || s.Received+s.Lost != total {
		t.Errorf("%d received, %d lost, of %d", s.Received, s.Lost, total)
	}
	t.Logf("%d received, %d lost, of %d", s.Received, s.Lost, total)
}

func TestSecondReader(t *testing.T) {
	open(t, Config{Group: 9})
	r, err := Open(Config{Group: 9})
	var e *Error
	if !errors.As(err, &e) || !errors.Is(err, unix.EPERM) || !strings.Contains(err.Error(), "another program") {
		t.Errorf("%v, %v", r, err)
	}
}

func TestClose(t *testing.T) {
	r := open(t, Config{Group: 9})
	result := make(chan error, 1)
	go func() {
		_, err := r.Receive(make([]packet.Packet, 4))
		result <- err
	}()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-result:
		if !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Fatal("Receive is still blocked")
	}
	if err := r.Close(); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	if _, err := r.Receive(make([]packet.Packet, 4)); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	open(t, Config{Group: 9}) // the group is free again
}
