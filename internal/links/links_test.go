package links

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"testing"
	"time"

	nl "github.com/mdlayher/netlink"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/garita/garita/internal/lab"
)

func TestMain(m *testing.M) { os.Exit(lab.Main(m)) }

const patience = 20 * time.Second

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); {
		if time.Now().After(end) {
			t.Fatal("waited in vain for", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// TestFollow makes, renames, addresses and removes an interface; the cache
// knows each time, without being asked to look.
func TestFollow(t *testing.T) {
	c, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	if l, ok := c.Link(1); !ok || l.Name != "lo" || l.Type != unix.ARPHRD_LOOPBACK {
		t.Errorf("%+v", l)
	}
	pair := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "one"}, PeerName: "other"}
	if err := netlink.LinkAdd(pair); err != nil {
		t.Fatal(err)
	}
	link, err := netlink.LinkByName("one")
	if err != nil {
		t.Fatal(err)
	}
	index := uint32(link.Attrs().Index)
	until(t, "the new interface", func() bool { return c.Name(index) == "one" })
	if err := netlink.LinkSetName(link, "two"); err != nil {
		t.Fatal(err)
	}
	until(t, "its new name", func() bool { return c.Name(index) == "two" })
	if l, _ := c.Link(index); l.Up || l.Type != unix.ARPHRD_ETHER || l.Gone {
		t.Errorf("%+v", l)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		t.Fatal(err)
	}
	until(t, "it to be up", func() bool { l, _ := c.Link(index); return l.Up })
	for _, a := range []string{"10.1.2.3/24", "fd00::1/64"} {
		want := netip.MustParsePrefix(a)
		has := func() bool {
			l, _ := c.Link(index)
			for _, p := range l.Addrs {
				if p == want {
					return true
				}
			}
			return false
		}
		addr, err := netlink.ParseAddr(a)
		if err != nil {
			t.Fatal(err)
		}
		if err := netlink.AddrAdd(link, addr); err != nil {
			t.Fatal(err)
		}
		until(t, a, has)
		if err := netlink.AddrDel(link, addr); err != nil {
			t.Fatal(err)
		}
		until(t, a+" to go", func() bool { return !has() })
	}
	if n := len(c.All()); n < 3 {
		t.Errorf("%d interfaces: %v", n, c.All())
	}
	if err := netlink.LinkDel(link); err != nil {
		t.Fatal(err)
	}
	until(t, "it to go", func() bool { l, _ := c.Link(index); return l.Gone })
	if c.Name(index) != "two" {
		t.Error("the name of an interface that went is forgotten: records of its last packets need it")
	}
	for _, l := range c.All() {
		if l.Index == index {
			t.Error("it is still among those there are")
		}
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if c.Name(1) != "lo" {
		t.Error("what was known is gone after Close")
	}
	if n := testing.AllocsPerRun(100, func() { c.Name(1) }); n != 0 {
		t.Errorf("%v allocations a lookup", n)
	}
	var none *Cache
	if none.Name(1) != "" || none.All() != nil || none.Close() != nil {
		t.Error("a nil cache knows something")
	}
}

// TestOverrun loses multicasts on purpose: the cache asks anew.
func TestOverrun(t *testing.T) {
	c, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	// Renames faster than they can be read, in a buffer that holds few.
	if err := c.conn.SetReadBuffer(1); err != nil {
		t.Fatal(err)
	}
	pair := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "fast"}, PeerName: "fastpeer"}
	if err := netlink.LinkAdd(pair); err != nil {
		t.Fatal(err)
	}
	link, err := netlink.LinkByName("fast")
	if err != nil {
		t.Fatal(err)
	}
	defer netlink.LinkDel(link)
	for i := range 150 {
		if err := netlink.LinkSetName(link, fmt.Sprint("fast", i)); err != nil {
			t.Fatal(err)
		}
	}
	// What is lost behind the overrun is told by nothing: it must be asked for
	// when the socket is empty.
	until(t, "the last name", func() bool { return c.Name(uint32(link.Attrs().Index)) == "fast149" })
}

// TestGoneIsBounded: interfaces that come and go do not pile up.
func TestGoneIsBounded(t *testing.T) {
	m := map[uint32]Link{1: {Index: 1, Name: "lo"}}
	for i := range uint32(10 * maxGone) {
		learn(m, []nl.Message{newlink(i+2, "x"), {Header: nl.Header{Type: unix.RTM_DELLINK}, Data: newlink(i+2, "x").Data}})
	}
	if len(m) > maxGone+2 || m[1].Name != "lo" {
		t.Errorf("%d interfaces are remembered", len(m))
	}
}

func newlink(index uint32, name string) nl.Message {
	b := make([]byte, unix.SizeofIfInfomsg)
	native.PutUint16(b[2:], unix.ARPHRD_ETHER)
	native.PutUint32(b[4:], index)
	attrs, err := nl.MarshalAttributes([]nl.Attribute{{Type: unix.IFLA_IFNAME, Data: append([]byte(name), 0)}})
	if err != nil {
		panic(errors.New("a name that cannot be laid out"))
	}
	return nl.Message{Header: nl.Header{Type: unix.RTM_NEWLINK}, Data: append(b, attrs...)}
}

func FuzzApply(f *testing.F) {
	f.Add(uint16(unix.RTM_NEWLINK), newlink(7, "eth0").Data)
	addr := []byte{unix.AF_INET, 24, 0, 0, 1, 0, 0, 0, 8, 0, 1, 0, 10, 0, 0, 1, 8, 0, 2, 0, 10, 0, 0, 2}
	f.Add(uint16(unix.RTM_NEWADDR), addr)
	f.Add(uint16(unix.RTM_DELADDR), addr)
	for n := range addr {
		f.Add(uint16(unix.RTM_NEWADDR), addr[:n])
	}
	f.Fuzz(func(t *testing.T, typ uint16, b []byte) {
		m := map[uint32]Link{1: {Index: 1, Name: "lo"}}
		apply(m, typ, b)
		for i, l := range m {
			if i != l.Index || l.Name == "" {
				t.Errorf("%d: %+v", i, l)
			}
			for _, p := range l.Addrs {
				if !p.IsValid() {
					t.Errorf("address %v", p)
				}
			}
		}
	})
}
