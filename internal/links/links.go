// Package links knows the network interfaces of a network namespace by number:
// it asks once and then follows the kernel's multicast messages (rtnetlink(7),
// groups LINK, IPV4_IFADDR and IPV6_IFADDR), so that a lookup costs no system
// call.
package links

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/garita/garita/internal/nfnl"
)

// Link is one interface.
type Link struct {
	Index uint32
	Name  string
	Type  uint16 // ARPHRD_*
	Up    bool
	// Gone: it left the namespace; the rest is what was known last.
	Gone bool
	// Addrs are its addresses; not to be changed.
	Addrs []netip.Prefix
}

// maxGone is how many interfaces that left are remembered, for records of their
// last packets.
const maxGone = 256

// Cache is what is known of a namespace's interfaces. Make one with Open. A nil
// Cache knows none.
type Cache struct {
	conn    *netlink.Conn                   // for multicasts
	query   *netlink.Conn                   // for questions: a multicast between an answer's parts would spoil it
	known   atomic.Pointer[map[uint32]Link] // never changed, only replaced
	done    chan struct{}
	once    sync.Once
	closing atomic.Bool
	err     error // of the follower, after done
}

// Open asks for the interfaces of the calling thread's network namespace and
// follows their changes until Close. It needs no privilege.
func Open() (*Cache, error) {
	// Joined before asking: nothing falls between.
	conn, err := netlink.Dial(unix.NETLINK_ROUTE, &netlink.Config{
		Groups: unix.RTMGRP_LINK | unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV6_IFADDR,
	})
	if err != nil {
		return nil, fmt.Errorf("following interfaces: %w", err)
	}
	query, err := netlink.Dial(unix.NETLINK_ROUTE, nil)
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("asking for interfaces: %w", err)
	}
	c := &Cache{conn: conn, query: query, done: make(chan struct{})}
	c.known.Store(&map[uint32]Link{})
	if err := c.ask(); err != nil {
		_, _ = conn.Close(), query.Close()
		return nil, err
	}
	go func() {
		defer close(c.done)
		c.err = c.follow()
		_ = c.query.Close()
	}()
	return c, nil
}

// Name is the name of an interface, "" if it is not known.
func (c *Cache) Name(index uint32) string {
	l, _ := c.Link(index)
	return l.Name
}

// Link is an interface by its number.
func (c *Cache) Link(index uint32) (Link, bool) {
	if c == nil {
		return Link{}, false
	}
	l, ok := (*c.known.Load())[index]
	return l, ok
}

// All are the interfaces there are, by number.
func (c *Cache) All() []Link {
	if c == nil {
		return nil
	}
	var all []Link
	for _, l := range *c.known.Load() {
		if !l.Gone {
			all = append(all, l)
		}
	}
	slices.SortFunc(all, func(a, b Link) int { return int(a.Index) - int(b.Index) })
	return all
}

// Close ends the following; what is known stays. The error is what ended it
// earlier, if something did.
func (c *Cache) Close() error {
	if c == nil {
		return nil
	}
	c.once.Do(func() {
		c.closing.Store(true)
		_ = c.conn.Close()
	})
	<-c.done
	return c.err
}

// ask replaces what is known by what the kernel says now. Multicasts that are
// older may still come; newer ones behind them put it right.
func (c *Cache) ask() error {
	fresh := map[uint32]Link{}
	for _, q := range []struct {
		typ  netlink.HeaderType
		size int
	}{{unix.RTM_GETLINK, unix.SizeofIfInfomsg}, {unix.RTM_GETADDR, unix.SizeofIfAddrmsg}} {
		msgs, err := c.query.Execute(netlink.Message{
			Header: netlink.Header{Type: q.typ, Flags: netlink.Request | netlink.Dump},
			Data:   make([]byte, q.size),
		})
		if err != nil {
			return fmt.Errorf("asking for interfaces: %w", err)
		}
		learn(fresh, msgs)
	}
	for i, l := range *c.known.Load() {
		if _, ok := fresh[i]; !ok {
			l.Gone, l.Up, l.Addrs = true, false, nil
			fresh[i] = l
		}
	}
	c.known.Store(&fresh)
	return nil
}

// follow learns from multicasts until the socket is closed.
func (c *Cache) follow() error {
	for {
		msgs, err := c.conn.Receive()
		switch {
		case err == nil:
			m := maps.Clone(*c.known.Load())
			learn(m, msgs)
			c.known.Store(&m)
		case errors.Is(err, unix.ENOBUFS): // some were lost: start over
			raw, err := c.conn.SyscallConn()
			if err == nil {
				err = nfnl.Drain(raw)
			}
			if err == nil {
				err = c.ask()
			}
			if c.closing.Load() {
				return nil
			}
			if err != nil {
				return err
			}
		case c.closing.Load():
			return nil
		default:
			return fmt.Errorf("following interfaces: %w", err)
		}
	}
}

// learn puts what messages say into m, and forgets those that are gone if they
// become too many.
func learn(m map[uint32]Link, msgs []netlink.Message) {
	for i := range msgs {
		apply(m, uint16(msgs[i].Header.Type), msgs[i].Data)
	}
	gone := 0
	for _, l := range m {
		if l.Gone {
			gone++
		}
	}
	if gone > maxGone {
		maps.DeleteFunc(m, func(_ uint32, l Link) bool { return l.Gone })
	}
}
