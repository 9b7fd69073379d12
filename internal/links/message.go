package links

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

var native = binary.NativeEndian

// apply puts one message, without its nlmsghdr, into m. What cannot be read is
// left out.
func apply(m map[uint32]Link, typ uint16, b []byte) {
	switch typ {
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		// struct ifinfomsg: family, type u16 at 2, index i32 at 4, flags at 8.
		// AF_BRIDGE's messages tell of bridge ports, not of interfaces.
		if len(b) < unix.SizeofIfInfomsg || b[0] == unix.AF_BRIDGE {
			return
		}
		index := native.Uint32(b[4:])
		l := m[index]
		l.Index, l.Type = index, native.Uint16(b[2:])
		l.Up = native.Uint32(b[8:])&unix.IFF_UP != 0
		l.Gone = typ == unix.RTM_DELLINK
		if l.Gone {
			l.Up, l.Addrs = false, nil
		}
		each(b[unix.SizeofIfInfomsg:], func(typ uint16, v []byte) {
			if typ == unix.IFLA_IFNAME {
				l.Name = unix.ByteSliceToString(v)
			}
		})
		if l.Name != "" {
			m[index] = l
		}
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		// struct ifaddrmsg: family, prefix length, flags, scope, index u32.
		if len(b) < unix.SizeofIfAddrmsg {
			return
		}
		bits, index := int(b[1]), native.Uint32(b[4:])
		l, ok := m[index]
		if !ok {
			return
		}
		var addr, local netip.Addr
		each(b[unix.SizeofIfAddrmsg:], func(typ uint16, v []byte) {
			switch typ {
			case unix.IFA_ADDRESS: // of the peer, on a point-to-point link
				addr, _ = netip.AddrFromSlice(v)
			case unix.IFA_LOCAL:
				local, _ = netip.AddrFromSlice(v)
			}
		})
		if local.IsValid() {
			addr = local
		}
		if !addr.IsValid() || bits > addr.BitLen() {
			return
		}
		p := netip.PrefixFrom(addr, bits)
		// A new slice: readers hold the old one.
		l.Addrs = slices.DeleteFunc(slices.Clone(l.Addrs), func(q netip.Prefix) bool { return p == q })
		if typ == unix.RTM_NEWADDR {
			l.Addrs = append(l.Addrs, p)
		}
		m[index] = l
	}
}

// each calls f for the attributes in b, as far as they can be read.
func each(b []byte, f func(typ uint16, v []byte)) {
	d, err := netlink.NewAttributeDecoder(b)
	if err != nil {
		return
	}
	for d.Next() {
		f(d.Type(), d.Bytes())
	}
}
