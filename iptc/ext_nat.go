package iptc

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// natLayout is one of the structures that carry a NAT range: the old one of
// IPv4 (nf_nat_ipv4_multi_range_compat), nf_nat_range, nf_nat_range2.
type natLayout struct {
	size                          int
	flags, min, max, lo, hi, base int
}

var (
	natOld  = natLayout{size: 20, flags: 4, min: 8, max: 12, lo: 16, hi: 18}
	natNew  = natLayout{size: 40, flags: 0, min: 4, max: 20, lo: 36, hi: 38}
	natNew2 = natLayout{size: 44, flags: 0, min: 4, max: 20, lo: 36, hi: 38, base: 40}
)

const natIPs, natPorts, natRandom, natPersistent, natFully, natOffset = 1, 2, 4, 8, 16, 32

// Network address translation.
var natExts = []ext{
	natExt("SNAT", only4, 0, natOld, "to-source", true),
	natExt("SNAT", only6, 1, natNew, "to-source", true),
	natExt("DNAT", only4, 0, natOld, "to-destination", true),
	natExt("DNAT", only6, 1, natNew, "to-destination", true),
	natExt("DNAT", both, 2, natNew2, "to-destination", true),
	natExt("MASQUERADE", only4, 0, natOld, "to-ports", false),
	natExt("MASQUERADE", only6, 0, natNew, "to-ports", false),
	natExt("REDIRECT", only4, 0, natOld, "to-ports", false),
	natExt("REDIRECT", only6, 0, natNew, "to-ports", false),
	netmapExt(only4, natOld),
	netmapExt(only6, natNew),
	nptExt("SNPT"), nptExt("DNPT"),
}

func (l natLayout) init(_ *scope, d []byte) {
	if l == natOld {
		put32(d, 0, 1) // rangesize
	}
}

func natExt(name string, fam families, rev uint8, l natLayout, to string, addrs bool) ext {
	return ext{
		name: name, target: true, fam: fam, rev: rev, size: l.size, opts: to + ": random random-fully persistent",
		init: l.init,
		set: func(c *scope, d []byte, o option) error {
			flag := func(v uint32) { put32(d, l.flags, u32(d, l.flags)|v) }
			switch o.name {
			case "random":
				flag(natRandom)
			case "random-fully":
				flag(natFully)
			case "persistent":
				flag(natPersistent)
			default:
				if !addrs {
					return l.setPorts(c, d, o.arg, '-')
				}
				return l.setTo(c, d, o)
			}
			return nil
		},
		done: func(c *scope, d []byte) error {
			if addrs && !c.has(to) {
				return fmt.Errorf("%s: option \"--%s\" must be specified", name, to)
			}
			return nil
		},
		save: func(p *printer, d []byte) {
			if s := l.text(p, d, addrs); s != "" {
				p.opt(false, to, s)
			}
			flags := u32(d, l.flags)
			p.flag(flags&natRandom != 0, "random")
			p.flag(flags&natFully != 0, "random-fully")
			p.flag(flags&natPersistent != 0, "persistent")
		},
	}
}

// setTo reads addr[-addr][:port[-port][/base]], with brackets around IPv6 where
// ports follow.
func (l natLayout) setTo(c *scope, d []byte, o option) error {
	s, ports := o.arg, ""
	if c.f == IPv6 {
		if inner, ok := strings.CutPrefix(s, "["); ok {
			addrs, rest, ok := strings.Cut(inner, "]")
			if !ok || rest != "" && rest[0] != ':' {
				return o.bad()
			}
			s, ports = addrs, strings.TrimPrefix(rest, ":")
		}
	} else {
		s, ports, _ = strings.Cut(s, ":")
	}
	if ports != "" {
		if err := l.setPorts(c, d, ports, '-'); err != nil {
			return err
		}
	}
	if s == "" {
		if ports == "" {
			return o.bad()
		}
		return nil
	}
	from, to, has := strings.Cut(s, "-")
	if !has {
		to = from
	}
	a, err := c.parseAddr(from)
	if err != nil {
		return err
	}
	b, err := c.parseAddr(to)
	copy(d[l.min:], a.AsSlice())
	copy(d[l.max:], b.AsSlice())
	put32(d, l.flags, u32(d, l.flags)|natIPs)
	return err
}

func (l natLayout) setPorts(c *scope, d []byte, s string, sep byte) error {
	switch c.proto {
	case 6, 17, 33, 132, 1, 58, 136:
	default:
		return fmt.Errorf("need TCP, UDP, SCTP or DCCP with port specification")
	}
	r, base, hasBase := strings.Cut(s, "/")
	from, to, has := strings.Cut(r, string(sep))
	lo, err := c.port(from)
	hi := lo
	if err == nil && has {
		hi, err = c.port(to)
	}
	if err != nil || lo > hi {
		return fmt.Errorf("bad port range %q", s)
	}
	putBE16(d, l.lo, uint16(lo))
	putBE16(d, l.hi, uint16(hi))
	flags := u32(d, l.flags) | natPorts
	if hasBase {
		v, err := c.port(base)
		if err != nil || l.base == 0 {
			return fmt.Errorf("bad port range %q", s)
		}
		putBE16(d, l.base, uint16(v))
		flags |= natOffset
	}
	put32(d, l.flags, flags)
	return nil
}

func (l natLayout) text(p *printer, d []byte, addrs bool) string {
	flags := u32(d, l.flags)
	var b strings.Builder
	if addrs && flags&natIPs != 0 {
		lo, hi := p.addr(d[l.min:]), p.addr(d[l.max:])
		s := addrText(lo)
		if lo != hi {
			s += "-" + addrText(hi)
		}
		if p.f == IPv6 && flags&natPorts != 0 {
			s = "[" + s + "]"
		}
		b.WriteString(s)
	}
	if flags&natPorts != 0 {
		if addrs {
			b.WriteByte(':')
		}
		lo, hi := be16(d, l.lo), be16(d, l.hi)
		b.WriteString(strconv.Itoa(int(lo)))
		if lo != hi {
			fmt.Fprintf(&b, "-%d", hi)
		}
		if flags&natOffset != 0 && l.base != 0 {
			fmt.Fprintf(&b, "/%d", be16(d, l.base))
		}
	}
	return b.String()
}

// netmapExt: the range holds the network's address and, in the place of the
// upper end, the address with all host bits set.
func netmapExt(fam families, l natLayout) ext {
	return ext{
		name: "NETMAP", target: true, fam: fam, size: l.size, opts: "to:", init: l.init,
		set: func(c *scope, d []byte, o option) error {
			addr, mask, err := c.parseNet(o.arg)
			if err != nil {
				return err
			}
			for i := range addr {
				d[l.min+i] = addr[i] & mask[i]
				d[l.max+i] = d[l.min+i] | ^mask[i]
			}
			put32(d, l.flags, natIPs)
			return nil
		},
		done: needOne("NETMAP"),
		save: func(p *printer, d []byte) {
			n := p.f.layout().addr
			mask := make([]byte, n)
			for i := range mask {
				mask[i] = ^(d[l.min+i] ^ d[l.max+i])
			}
			p.opt(false, "to", addrText(p.addr(d[l.min:]))+maskText(mask))
		},
	}
}

func nptExt(name string) ext {
	return ext{
		name: name, target: true, fam: only6, size: 40, user: 34, opts: "src-pfx: dst-pfx:",
		set: func(c *scope, d []byte, o option) error {
			i := 0
			if o.name == "dst-pfx" {
				i = 1
			}
			pfx, err := netip.ParsePrefix(o.arg)
			if err != nil || !pfx.Addr().Is6() {
				return o.bad()
			}
			copy(d[16*i:], pfx.Addr().AsSlice())
			d[32+i] = byte(pfx.Bits())
			return nil
		},
		done: func(c *scope, _ []byte) error {
			if len(c.seen) < 2 {
				return fmt.Errorf("%s: --src-pfx and --dst-pfx are needed", name)
			}
			return nil
		},
		save: func(p *printer, d []byte) {
			p.opt(false, "src-pfx", fmt.Sprintf("%s/%d", addrText(p.addr(d)), d[32]))
			p.opt(false, "dst-pfx", fmt.Sprintf("%s/%d", addrText(p.addr(d[16:])), d[33]))
		},
	}
}
