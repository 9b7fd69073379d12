package afpacket

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/garita/garita/internal/lab"
	"github.com/garita/garita/internal/nfnl"
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
const patience = 20 * time.Second

func open(t testing.TB, cfg Config) *Reader {
	t.Helper()
	r, err := Open(cfg)
	if errors.Is(err, unix.EAFNOSUPPORT) {
		t.Skipf("this kernel has no packet sockets: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	watchdog := time.AfterFunc(patience, func() { r.Close() })
	t.Cleanup(func() {
		watchdog.Stop()
		if err := r.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	})
	return r
}

// find returns the next packet whose UDP payload is text.
func find(t testing.TB, r *Reader, text string) packet.Packet {
	t.Helper()
	pkts := make([]packet.Packet, 1) // no more than is looked for
	for {
		n, err := r.Receive(pkts)
		if err != nil {
			t.Fatal(err)
		}
		for i := range pkts[:n] {
			p := &pkts[i]
			p.Decode()
			if p.Proto() == packet.ProtoUDP && string(p.Payload()) == text {
				return *p
			}
		}
		if err := r.Verdict(pkts[:n]); err != nil {
			t.Fatal(err)
		}
	}
}

func send(t testing.TB, from, to string, text string) {
	t.Helper()
	var local *net.UDPAddr
	if from != "" {
		local = net.UDPAddrFromAddrPort(netip.MustParseAddrPort(from))
	}
	c, err := net.DialUDP("udp", local, net.UDPAddrFromAddrPort(netip.MustParseAddrPort(to)))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
}

func TestLoopback(t *testing.T) {
	for _, to := range []string{"127.0.0.1:9", "[::1]:9"} {
		for _, name := range []string{"lo", ""} {
			t.Run(to+" on "+name, func(t *testing.T) {
				r := open(t, Config{Interface: name})
				began := time.Now().Add(-time.Second).UnixNano()
				send(t, "", to, "once")
				send(t, "", to, "end")
				p := find(t, r, "once")
				if p.InDev != 1 || p.OutDev != 0 || p.Time < began || p.Attrs&packet.HasTime == 0 || p.Malformed() != 0 || !p.ChecksumOK() {
					t.Errorf("%+v", p)
				}
				if (len(p.L2) == 14) != (name == "lo") {
					t.Errorf("link layer %x", p.L2)
				}
				// The loopback shows each frame twice; we want it once.
				pkts := make([]packet.Packet, 16)
				for end := false; !end; {
					n, err := r.Receive(pkts)
					if err != nil {
						t.Fatal(err)
					}
					for i := range pkts[:n] {
						pkts[i].Decode()
						if string(pkts[i].Payload()) == "once" && pkts[i].Proto() == packet.ProtoUDP {
							t.Error("the frame came twice")
						}
						end = end || string(pkts[i].Payload()) == "end"
					}
				}
				if n, lost := r.Counts(); lost != 0 || n < 2 {
					t.Errorf("%d received, %d lost", n, lost)
				}
			})
		}
	}
}

// cable is a pair of connected interfaces, up, until the test ends.
func cable(t testing.TB) (a, b *net.Interface) {
	t.Helper()
	pair := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "va"}, PeerName: "vb"}
	if err := netlink.LinkAdd(pair); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = netlink.LinkDel(pair) })
	for _, name := range []string{"va", "vb"} {
		l, err := netlink.LinkByName(name)
		if err == nil {
			err = netlink.LinkSetUp(l)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	// The kernel switches the sending on later, beside us: a frame before that
	// is lost.
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		va, err := netlink.LinkByName("va")
		if err != nil {
			t.Fatal(err)
		}
		vb, err := netlink.LinkByName("vb")
		if err != nil {
			t.Fatal(err)
		}
		if va.Attrs().OperState == netlink.OperUp && vb.Attrs().OperState == netlink.OperUp {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the cable has no carrier: %v, %v", va.Attrs().OperState, vb.Attrs().OperState)
		}
	}
	a, err := net.InterfaceByName("va")
	if err != nil {
		t.Fatal(err)
	}
	if b, err = net.InterfaceByName("vb"); err != nil {
		t.Fatal(err)
	}
	return a, b
}

// write puts a frame with a datagram on the wire.
func write(t testing.TB, i *net.Interface, vlan uint16, text string) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	f := append([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, i.HardwareAddr...)
	if vlan != 0 {
		f = append(f, 0x81, 0, byte(vlan>>8), byte(vlan))
	}
	f = append(f, 8, 0)
	f = append(f, 0x45, 0, 0, byte(28+len(text)), 0, 0, 0, 0, 9, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0, 7, 0, 7, 0, byte(8+len(text)), 0, 0)
	f = append(f, text...)
	proto := nfnl.Native.Uint16(f[12:])
	if err := unix.Sendto(fd, f, 0, &unix.SockaddrLinklayer{Protocol: proto, Ifindex: i.Index}); err != nil {
		t.Fatal(err)
	}
}

// TestVLAN reads both ends of a cable on which a tagged frame travels: at one
// the tag stands in the frame, at the other the kernel took it off.
func TestVLAN(t *testing.T) {
	a, b := cable(t)
	ra, rb := open(t, Config{Interface: "va"}), open(t, Config{Interface: "vb", Promiscuous: true})
	write(t, a, 42, "tagged")
	pa, pb := find(t, ra, "tagged"), find(t, rb, "tagged")
	for _, p := range []packet.Packet{pa, pb} {
		if p.NVLAN != 1 || p.VLANs[0] != 42 || p.Malformed() != 0 {
			t.Errorf("%d tags: %v, %v", p.NVLAN, p.VLANs, p.Malformed())
		}
	}
	if int(pa.OutDev) != a.Index || int(pb.InDev) != b.Index || pa.InDev != 0 || pb.OutDev != 0 {
		t.Errorf("interfaces %d→%d, %d→%d", pa.InDev, pa.OutDev, pb.InDev, pb.OutDev)
	}
	if !bytes.Equal(pb.HWAddr[:pb.HWAddrLen], a.HardwareAddr) {
		t.Errorf("from %x, want %v", pb.HWAddr, a.HardwareAddr)
	}
}

func TestCut(t *testing.T) {
	r := open(t, Config{Interface: "lo", SnapLen: 8000})
	send(t, "", "127.0.0.1:9", string(make([]byte, 20000)))
	pkts := make([]packet.Packet, 1)
	for {
		n, err := r.Receive(pkts)
		if err != nil {
			t.Fatal(err)
		}
		pkts[0].Decode()
		if n == 1 && pkts[0].Proto() == packet.ProtoUDP {
			break
		}
	}
	p := &pkts[0]
	if p.FullLen != 20028 || p.Attrs&packet.Truncated == 0 || len(p.Data) >= 20028 || p.Malformed() != 0 {
		t.Errorf("%d of %d bytes, %v %v", len(p.Data), p.FullLen, p.Attrs, p.Malformed())
	}
}

// TestLost floods a reader that does not read.
func TestLost(t *testing.T) {
	r := open(t, Config{Interface: "lo", ReadBuffer: 16 << 10})
	for range 200 {
		send(t, "", "127.0.0.1:9", "flood")
	}
	if _, lost := r.Counts(); lost == 0 {
		t.Error("nothing is lost")
	}
	_, once := r.Counts()
	if _, again := r.Counts(); again != once {
		t.Errorf("%d lost, and then %d: asking twice must not forget", once, again)
	}
}

func TestNoInterface(t *testing.T) {
	for _, name := range []string{"nonesuch", "a-name-that-is-far-too-long"} {
		_, err := Open(Config{Interface: name})
		var e *Error
		if !errors.As(err, &e) || e.Interface != name || !errors.Is(err, unix.ENODEV) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestGone takes the interface down, which is waited for, and away, which is
// not.
func TestGone(t *testing.T) {
	a, _ := cable(t)
	link, err := netlink.LinkByName("va")
	if err != nil {
		t.Fatal(err)
	}
	r := open(t, Config{Interface: "va"})
	write(t, a, 0, "before")
	find(t, r, "before")
	if err := netlink.LinkSetDown(link); err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		t.Fatal(err)
	}
	write(t, a, 0, "after")
	find(t, r, "after")
	if err := netlink.LinkDel(link); err != nil {
		t.Fatal(err)
	}
	pkts := make([]packet.Packet, 8)
	for {
		if _, err := r.Receive(pkts); err != nil {
			if !errors.Is(err, unix.ENETDOWN) {
				t.Error(err)
			}
			break
		}
	}
}

func TestClose(t *testing.T) {
	r := open(t, Config{Interface: "lo"})
	result := make(chan error, 1)
	go func() {
		pkts := make([]packet.Packet, 4)
		for {
			if _, err := r.Receive(pkts); err != nil {
				result <- err
				return
			}
		}
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
	r.Counts() // good after Close
}

// control is one ancillary message.
func control(level, typ uint32, v []byte) []byte {
	b := make([]byte, headerLen, headerLen+len(v)+word)
	if word == 8 {
		nfnl.Native.PutUint64(b, uint64(headerLen+len(v)))
	} else {
		nfnl.Native.PutUint32(b, uint32(headerLen+len(v)))
	}
	nfnl.Native.PutUint32(b[word:], level)
	nfnl.Native.PutUint32(b[word+4:], typ)
	b = append(b, v...)
	for len(b)%word != 0 {
		b = append(b, 0)
	}
	return b
}

func auxdata(status uint32, tci uint16) []byte {
	b := make([]byte, auxLen)
	nfnl.Native.PutUint32(b, status)
	nfnl.Native.PutUint16(b[16:], tci)
	return control(unix.SOL_PACKET, unix.PACKET_AUXDATA, b)
}

func TestParseControl(t *testing.T) {
	stamp := make([]byte, 2*word)
	if word == 8 {
		nfnl.Native.PutUint64(stamp, 7)
		nfnl.Native.PutUint64(stamp[8:], 9)
	} else {
		nfnl.Native.PutUint32(stamp, 7)
		nfnl.Native.PutUint32(stamp[4:], 9)
	}
	b := append(control(unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, stamp), auxdata(statusCsumNotReady|statusVLANValid, 0x2005)...)
	p := packet.Packet{NVLAN: 1, VLANs: [3]uint16{3}}
	parseControl(&p, b)
	if p.Time != 7e9+9 || p.Attrs != packet.HasTime || p.Offload != packet.CsumNotReady || p.NVLAN != 2 || p.VLANs != [3]uint16{5, 3} {
		t.Errorf("%+v", p)
	}
	p = packet.Packet{NVLAN: 3, VLANs: [3]uint16{1, 2, 3}}
	parseControl(&p, auxdata(statusVLANValid, 9))
	if p.NVLAN != 3 || p.VLANs != [3]uint16{1, 2, 3} {
		t.Errorf("a fourth tag: %+v", p)
	}
	for n := range b {
		parseControl(&p, b[:n])
	}
	if n := testing.AllocsPerRun(100, func() { parseControl(&p, b) }); n != 0 {
		t.Errorf("%v allocations a packet", n)
	}
}

func FuzzParseControl(f *testing.F) {
	f.Add(auxdata(statusVLANValid, 9))
	f.Add(append(auxdata(statusCsumNotReady, 9), control(unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, make([]byte, 16))...))
	f.Fuzz(func(t *testing.T, b []byte) {
		var p packet.Packet
		for range 5 {
			parseControl(&p, b)
		}
		if int(p.NVLAN) > len(p.VLANs) {
			t.Errorf("%d tags", p.NVLAN)
		}
	})
}

// TestNoAllocation receives without making garbage.
func TestNoAllocation(t *testing.T) {
	r := open(t, Config{Interface: "lo"})
	server, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	c, err := net.Dial("udp", server.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	text := []byte("x")
	pkts := make([]packet.Packet, 8)
	if n := testing.AllocsPerRun(100, func() {
		if _, err := c.Write(text); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Receive(pkts); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations a packet", n)
	}
}
