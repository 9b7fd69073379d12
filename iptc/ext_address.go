package iptc

import (
	"encoding/hex"
	"fmt"
	"os"
	"strings"
)

// Addresses, devices, routes and IPsec policies.
var addressExts = []ext{
	{
		name: "iprange", fam: both, rev: 1, size: 68, opts: "src-range: dst-range:",
		set: func(c *scope, d []byte, o option) error {
			i := 0
			if o.name == "dst-range" {
				i = 1
			}
			d[64] |= 1 << i
			if o.not {
				d[64] |= 16 << i
			}
			from, to, has := strings.Cut(o.arg, "-")
			if !has {
				to = from
			}
			a, err := c.parseAddr(from)
			if err != nil {
				return err
			}
			b, err := c.parseAddr(to)
			copy(d[32*i:], a.AsSlice())
			copy(d[32*i+16:], b.AsSlice())
			return err
		},
		done: needOne("iprange"),
		save: func(p *printer, d []byte) {
			for i, n := range []string{"src-range", "dst-range"} {
				if d[64]&(1<<i) != 0 {
					p.opt(d[64]&(16<<i) != 0, n, addrText(p.addr(d[32*i:]))+"-"+addrText(p.addr(d[32*i+16:])))
				}
			}
		},
	},
	{
		name: "addrtype", fam: both, rev: 1, size: 8, opts: "src-type: dst-type: limit-iface-in limit-iface-out",
		set: func(_ *scope, d []byte, o option) error {
			flag := map[string]uint32{"src-type": 1, "dst-type": 2, "limit-iface-in": 4, "limit-iface-out": 8}[o.name]
			if o.not || flag > 2 {
				put32(d, 4, u32(d, 4)|flag)
			}
			if flag > 2 {
				return nil
			}
			v, err := bitsOf(routeTypes, o.arg)
			put16(d, int(2*flag-2), uint16(v))
			return err
		},
		done: func(c *scope, d []byte) error {
			if u32(d, 0) == 0 {
				return fmt.Errorf("addrtype: you must specify --src-type or --dst-type")
			}
			return nil
		},
		save: func(p *printer, d []byte) {
			flags := u32(d, 4)
			for i, n := range []string{"src-type", "dst-type"} {
				if v := u16(d, 2*i); v != 0 {
					p.opt(flags&(1<<i) != 0, n, bitNames(routeTypes, uint32(v)))
				}
			}
			p.flag(flags&4 != 0, "limit-iface-in")
			p.flag(flags&8 != 0, "limit-iface-out")
		},
	},
	{
		name: "mac", fam: both, size: 12, opts: "mac-source:",
		set: func(_ *scope, d []byte, o option) error {
			d[8] = boolean(o.not)
			b, err := hex.DecodeString(strings.ReplaceAll(o.arg, ":", ""))
			if err != nil || len(b) != 6 || len(o.arg) != 17 {
				return o.bad()
			}
			copy(d, b)
			return nil
		},
		done: needOne("mac"),
		save: func(p *printer, d []byte) {
			p.opt(u32(d, 8) != 0, "mac-source", fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", d[0], d[1], d[2], d[3], d[4], d[5]))
		},
	},
	{
		name: "physdev", fam: both, size: 66,
		opts: "physdev-in: physdev-out: physdev-is-in physdev-is-out physdev-is-bridged",
		set: func(_ *scope, d []byte, o option) error {
			i, _ := valueOf(physdevOps, o.name)
			d[65] |= 1 << i
			if o.not {
				d[64] |= 1 << i
			}
			if i < 2 {
				return putIface(d[32*i:][:16], d[32*i+16:][:16], o.arg)
			}
			return nil
		},
		done: needOne("physdev"),
		save: func(p *printer, d []byte) {
			for _, i := range []int{3, 0, 4, 1, 2} {
				if d[65]&(1<<i) == 0 {
					continue
				}
				p.opt(d[64]&(1<<i) != 0, physdevOps[i])
				if i < 2 {
					p.f2(" %s", ifaceText(d[32*i:], d[32*i+16:]))
				}
			}
		},
	},
	{
		name: "devgroup", fam: both, size: 20, opts: "src-group: dst-group:",
		set: func(_ *scope, d []byte, o option) error {
			i := uint32(0)
			if o.name == "dst-group" {
				i = 2
			}
			put32(d, 0, u32(d, 0)|1<<i)
			if o.not {
				put32(d, 0, u32(d, 0)|2<<i)
			}
			v, m, err := namedMask(groupNames, o.arg)
			put32(d, int(4+4*i), v)
			put32(d, int(8+4*i), m)
			return err
		},
		done: needOne("devgroup"),
		save: func(p *printer, d []byte) {
			flags := u32(d, 0)
			for i, n := range []string{"src-group", "dst-group"} {
				if flags&(1<<(2*i)) != 0 {
					p.opt(flags&(2<<(2*i)) != 0, n, namedMaskText(groupNames, u32(d, 4+8*i), u32(d, 8+8*i)))
				}
			}
		},
	},
	{
		name: "pkttype", fam: both, size: 8, opts: "pkt-type:",
		set: func(_ *scope, d []byte, o option) error {
			v, ok := valueOf(packetTypes, o.arg)
			if strings.EqualFold(o.arg, "host") {
				v, ok = 0, true
			}
			put32(d, 0, uint32(v))
			d[4] = boolean(o.not)
			if !ok {
				return o.bad()
			}
			return nil
		},
		done: needOne("pkttype"),
		save: func(p *printer, d []byte) {
			s := fmt.Sprint(u32(d, 0))
			if v := u32(d, 0); int(v) < len(packetTypes) {
				s = packetTypes[v]
			}
			p.opt(u32(d, 4) != 0, "pkt-type", s)
		},
	},
	{
		name: "rpfilter", fam: both, size: 1, opts: "loose validmark accept-local invert",
		set: func(_ *scope, d []byte, o option) error {
			i, _ := valueOf(rpfilterFlags, o.name)
			d[0] |= 1 << i
			return nil
		},
		save: func(p *printer, d []byte) {
			for i, n := range rpfilterFlags {
				p.flag(d[0]&(1<<i) != 0, n)
			}
		},
	},
	{
		name: "realm", fam: only4, size: 12, opts: "realm:",
		set: func(_ *scope, d []byte, o option) error {
			v, m, err := namedMask(realmNames, o.arg)
			put32(d, 0, v)
			put32(d, 4, m)
			d[8] = boolean(o.not)
			return err
		},
		done: needOne("realm"),
		save: func(p *printer, d []byte) { p.opt(d[8] != 0, "realm", namedMaskText(realmNames, u32(d, 0), u32(d, 4))) },
	},
	{name: "eui64", fam: only6, size: 4, save: func(*printer, []byte) {}},
	{
		name: "policy", fam: both, size: 308,
		opts: "dir: pol: strict reqid: spi: tunnel-src: tunnel-dst: proto: mode: next",
		set:  setPolicy,
		done: donePolicy,
		save: savePolicy,
	},
}

var (
	routeTypes = []string{"UNSPEC", "UNICAST", "LOCAL", "BROADCAST", "ANYCAST", "MULTICAST", "BLACKHOLE", "UNREACHABLE",
		"PROHIBIT", "THROW", "NAT", "XRESOLVE"}
	physdevOps    = []string{"physdev-in", "physdev-out", "physdev-is-bridged", "physdev-is-in", "physdev-is-out"}
	packetTypes   = []string{"unicast", "broadcast", "multicast"}
	rpfilterFlags = []string{"loose", "validmark", "accept-local", "invert"}
)

// Where this machine names device groups and route realms (iproute2).
const (
	groupNames = "/etc/iproute2/group"
	realmNames = "/etc/iproute2/rt_realms"
)

// namesIn reads lines of number and name.
func namesIn(path string) map[uint32]string {
	names := map[uint32]string{}
	b, _ := os.ReadFile(path)
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) < 2 || f[0][0] == '#' {
			continue
		}
		if v, err := num(f[0], 1<<32-1); err == nil && names[uint32(v)] == "" {
			names[uint32(v)] = f[1]
		}
	}
	return names
}

func namedMask(path, s string) (v, m uint32, err error) {
	if v, m, err = valueMask(s); err == nil {
		return v, m, nil
	}
	for n, name := range namesIn(path) {
		if name == s {
			return n, 1<<32 - 1, nil
		}
	}
	return 0, 0, err
}

func namedMaskText(path string, v, m uint32) string {
	if m == 1<<32-1 {
		if s := namesIn(path)[v]; s != "" {
			return s
		}
	}
	return hexMaskOpt(v, m)
}

// The structure xt_policy_info: four elements of 76 bytes {saddr, smask, daddr,
// dmask, spi, reqid, proto, mode, match, invert}, flags u16, len u16.
const (
	polElem, polMax                                    = 76, 4
	polSPI, polReqid, polProto, polMode, polMatch      = 64, 68, 72, 73, 74
	polInvert, polFlags, polLen                        = 75, 304, 306
	polIn, polOut, polNone, polStrict                  = 1, 2, 4, 8
	polHasSrc, polHasDst, polHasProto, polHasMode      = 1, 2, 4, 8
	polHasSPI, polHasReqid                        byte = 16, 32
)

// policyElement is the element that options go to: the last one.
func policyElement(d []byte) []byte {
	i := min(int(u16(d, polLen)), polMax-1)
	return d[i*polElem:][:polElem]
}

func setPolicy(c *scope, d []byte, o option) error {
	flag := func(v uint16) { put16(d, polFlags, u16(d, polFlags)|v) }
	e := policyElement(d)
	has := func(bit byte) {
		e[polMatch] |= bit
		if o.not {
			e[polInvert] |= bit
		}
	}
	switch o.name {
	case "dir":
		switch o.arg {
		case "in":
			flag(polIn)
		case "out":
			flag(polOut)
		default:
			return o.bad()
		}
	case "pol":
		switch o.arg {
		case "none":
			flag(polNone)
		case "ipsec":
		default:
			return o.bad()
		}
	case "strict":
		flag(polStrict)
	case "reqid", "spi":
		v, err := num(o.arg, 1<<32-1)
		if err != nil {
			return err
		}
		if o.name == "reqid" {
			has(polHasReqid)
			put32(e, polReqid, uint32(v))
		} else {
			has(polHasSPI)
			put32(e, polSPI, uint32(v)) // host order, whatever the header says
		}
	case "tunnel-src", "tunnel-dst":
		at := 0
		if o.name == "tunnel-dst" {
			at = 32
		}
		has(1 << (at / 32))
		addr, mask, err := c.parseNet(o.arg)
		if err != nil {
			return err
		}
		copy(e[at:], addr)
		if c.f == IPv4 && string(mask) == "\xff\xff\xff\xff" {
			mask = []byte(strings.Repeat("\xff", 16))
		}
		copy(e[at+16:], mask)
	case "proto":
		v, err := protoNumber(o.arg)
		if err != nil || v != 50 && v != 51 && v != 108 {
			return o.bad()
		}
		has(polHasProto)
		e[polProto] = v
	case "mode":
		i, ok := valueOf([]string{"transport", "tunnel"}, o.arg)
		if !ok {
			return o.bad()
		}
		has(polHasMode)
		e[polMode] = byte(i)
	case "next":
		n := u16(d, polLen)
		if n >= polMax-1 {
			return fmt.Errorf("policy match: maximum policy depth reached")
		}
		put16(d, polLen, n+1)
	}
	return nil
}

func donePolicy(c *scope, d []byte) error {
	flags := u16(d, polFlags)
	if flags&(polIn|polOut) == 0 {
		return fmt.Errorf("policy match: neither --dir in nor --dir out specified")
	}
	if flags&polNone == 0 {
		put16(d, polLen, u16(d, polLen)+1)
	}
	return nil
}

func savePolicy(p *printer, d []byte) {
	flags := u16(d, polFlags)
	if flags&polIn != 0 {
		p.opt(false, "dir", "in")
	} else {
		p.opt(false, "dir", "out")
	}
	if flags&polNone != 0 {
		p.opt(false, "pol", "none")
	} else {
		p.opt(false, "pol", "ipsec")
	}
	p.flag(flags&polStrict != 0, "strict")
	for i := range min(int(u16(d, polLen)), polMax) {
		if i > 0 {
			p.opt(false, "next")
		}
		e := d[i*polElem:][:polElem]
		has := func(bit byte) bool { return e[polMatch]&bit != 0 }
		not := func(bit byte) bool { return e[polInvert]&bit != 0 }
		if has(polHasReqid) {
			p.opt(not(polHasReqid), "reqid", u32(e, polReqid))
		}
		if has(polHasSPI) {
			p.opt(not(polHasSPI), "spi", fmt.Sprintf("0x%x", u32(e, polSPI)))
		}
		if has(polHasProto) {
			p.opt(not(polHasProto), "proto", protoName(e[polProto]))
		}
		if has(polHasMode) {
			p.opt(not(polHasMode), "mode", [...]string{"transport", "tunnel"}[e[polMode]&1])
		}
		for _, t := range []struct {
			bit  byte
			name string
			at   int
		}{{polHasDst, "tunnel-dst", 32}, {polHasSrc, "tunnel-src", 0}} {
			if has(t.bit) {
				m := e[t.at+16:][:p.f.layout().addr]
				text := maskText(m)
				if n, ok := prefixLen(m); ok && n == 8*len(m) {
					text = ""
				}
				p.opt(not(t.bit), t.name, addrText(p.addr(e[t.at:]))+text)
			}
		}
	}
}
