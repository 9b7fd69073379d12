package iptc

import (
	"fmt"
	"net/netip"
	"strings"
)

// IPv6's extension headers.
var sixExts = []ext{
	{
		name: "ah", fam: only6, size: 14, opts: "ahspi: ahlen: ahres",
		init: func(_ *scope, d []byte) { put32(d, 4, 1<<32-1) },
		set: func(_ *scope, d []byte, o option) error {
			switch o.name {
			case "ahspi":
				return putSPI(d, o, 13)
			case "ahlen":
				return putLen(d, 8, 13, 2, o)
			}
			d[12] = 1
			return nil
		},
		save: func(p *printer, d []byte) {
			saveSPI(p, d, "ahspi", d[13]&1 != 0)
			saveLen(p, u32(d, 8), d[13]&2 != 0, "ahlen")
			p.flag(d[12] != 0, "ahres")
		},
	},
	{
		name: "frag", fam: only6, size: 14, opts: "fragid: fraglen: fragres fragfirst fragmore fraglast",
		init: func(_ *scope, d []byte) { put32(d, 4, 1<<32-1) },
		set: func(_ *scope, d []byte, o option) error {
			switch o.name {
			case "fragid":
				d[12] |= 1
				return putSPI(d, o, 13)
			case "fraglen":
				d[12] |= 2
				return putLen(d, 8, 13, 2, o)
			}
			i, _ := valueOf(fragFlags, o.name)
			d[12] |= 4 << i
			return nil
		},
		save: func(p *printer, d []byte) {
			saveSPI(p, d, "fragid", d[13]&1 != 0)
			saveLen(p, u32(d, 8), d[13]&2 != 0, "fraglen")
			for i, n := range fragFlags {
				p.flag(d[12]&(4<<i) != 0, n)
			}
		},
	},
	optsExt("hbh"),
	optsExt("dst"),
	{
		name: "rt", fam: only6, size: 280,
		opts: "rt-type: rt-segsleft: rt-len: rt-0-res rt-0-addrs: rt-0-not-strict",
		init: func(_ *scope, d []byte) { put32(d, 8, 1<<32-1) },
		set:  setRT,
		save: func(p *printer, d []byte) {
			flags, inv := d[16], d[17]
			if flags&1 != 0 {
				p.opt(inv&1 != 0, "rt-type", u32(d, 0))
			}
			if lo, hi := u32(d, 4), u32(d, 8); lo != 0 || hi != 1<<32-1 {
				p.opt(inv&2 != 0, "rt-segsleft", spanText(lo, hi))
			}
			if flags&4 != 0 {
				p.opt(inv&4 != 0, "rt-len", u32(d, 12))
			}
			p.flag(flags&8 != 0, "rt-0-res")
			if n := min(int(d[rtAddrN]), 16); flags&0x10 != 0 {
				var list []string
				for i := range n {
					list = append(list, addrText(netip.AddrFrom16([16]byte(d[20+16*i:]))))
				}
				p.opt(false, "rt-0-addrs", strings.Join(list, ","))
			}
			p.flag(flags&0x20 != 0, "rt-0-not-strict")
		},
	},
	{
		name: "ipv6header", fam: only6, size: 3, opts: "header: soft",
		set: func(_ *scope, d []byte, o option) error {
			if o.name == "soft" {
				d[2] = 0xff
				return nil
			}
			for f := range strings.SplitSeq(o.arg, ",") {
				found := false
				for _, h := range ipv6headers {
					if strings.EqualFold(f, h.name) || strings.EqualFold(f, h.short) {
						d[0] |= h.bit
						found = true
					}
				}
				if !found {
					return fmt.Errorf("ipv6header: unknown header %q", f)
				}
			}
			if o.not {
				d[1] = 0xff
			}
			return nil
		},
		done: needOne("ipv6header"),
		save: func(p *printer, d []byte) {
			var list []string
			for _, h := range ipv6headers {
				if d[0]&h.bit != 0 {
					list = append(list, h.name)
				}
			}
			p.opt(d[1] != 0, "header", strings.Join(list, ","))
			p.flag(d[2] != 0, "soft")
		},
	},
	{
		name: "mh", fam: only6, size: 3, opts: "mh-type:",
		init: func(_ *scope, d []byte) { d[1] = 255 },
		set: func(_ *scope, d []byte, o option) error {
			lo, hi, err := span(o.arg, 255, func(s string) (uint64, error) {
				if i, ok := valueOf(mhTypes, s); ok {
					return uint64(i), nil
				}
				return num(s, 255)
			})
			d[0], d[1], d[2] = byte(lo), byte(hi), boolean(o.not)
			return err
		},
		save: func(p *printer, d []byte) {
			if d[0] != 0 || d[1] != 255 || d[2]&1 != 0 {
				p.opt(d[2]&1 != 0, "mh-type", spanText(d[0], d[1]))
			}
		},
	},
	{
		name: "srh", fam: only6, rev: 1, size: 108,
		opts: "srh-next-hdr: srh-hdr-len-eq: srh-hdr-len-gt: srh-hdr-len-lt: srh-segs-left-eq: srh-segs-left-gt: srh-segs-left-lt: " +
			"srh-last-entry-eq: srh-last-entry-gt: srh-last-entry-lt: srh-tag: srh-psid: srh-nsid: srh-lsid:",
		set:  setSRH,
		save: saveSRH,
	},
}

var (
	fragFlags = []string{"fragres", "fragfirst", "fragmore", "fraglast"}
	mhTypes   = []string{"binding-refresh-request", "home-test-init", "careof-test-init", "home-test", "careof-test",
		"binding-update", "binding-acknowledgement", "binding-error"}
	ipv6headers = []struct {
		name, short string
		bit         byte
	}{{"hop-by-hop", "hop", 128}, {"ipv6-opts", "dst", 64}, {"ipv6-route", "route", 32}, {"ipv6-frag", "frag", 16},
		{"ah", "auth", 8}, {"esp", "esp", 4}, {"ipv6-nonxt", "none", 2}, {"protocol", "prot", 1}}
)

// putLen writes a header length and its inversion.
func putLen(d []byte, at, inv int, bit byte, o option) error {
	v, err := num(o.arg, 1<<32-1)
	put32(d, at, uint32(v))
	if o.not {
		d[inv] |= bit
	}
	return err
}

func saveLen(p *printer, v uint32, not bool, name string) {
	if v != 0 || not {
		p.opt(not, name, v)
	}
}

// optsExt is struct ip6t_opts: hdrlen u32, flags, invflags, opts[16] u16 (type
// and length), optsnr.
func optsExt(name string) ext {
	return ext{
		name: name, fam: only6, size: 40, opts: fmt.Sprintf("%s-len: %s-opts:", name, name),
		set: func(_ *scope, d []byte, o option) error {
			if o.name == name+"-len" {
				d[4] |= 1
				return putLen(d, 0, 5, 1, o)
			}
			d[4] |= 2
			for i, f := range strings.Split(o.arg, ",") {
				if i == 16 {
					return fmt.Errorf("%s: too many options", name)
				}
				typ, length, has := strings.Cut(f, ":")
				v, err := num(typ, 255)
				n := uint64(255)
				if err == nil && has {
					n, err = num(length, 255)
				}
				if err != nil {
					return err
				}
				put16(d, 6+2*i, uint16(v<<8|n))
				d[38] = byte(i + 1)
			}
			return nil
		},
		save: func(p *printer, d []byte) {
			if d[4]&1 != 0 {
				p.opt(d[5]&1 != 0, name+"-len", u32(d, 0))
			}
			if d[4]&2 == 0 {
				return
			}
			var list []string
			for i := range min(int(d[38]), 16) {
				v := u16(d, 6+2*i)
				s := fmt.Sprint(v >> 8)
				if v&0xff != 0xff {
					s += fmt.Sprintf(":%d", v&0xff)
				}
				list = append(list, s)
			}
			p.opt(false, name+"-opts", strings.Join(list, ","))
		},
	}
}

func setRT(c *scope, d []byte, o option) error {
	flag := func(bit byte) {
		d[16] |= bit
		if o.not {
			d[17] |= bit
		}
	}
	switch o.name {
	case "rt-type":
		flag(1)
		v, err := num(o.arg, 1<<32-1)
		put32(d, 0, uint32(v))
		return err
	case "rt-segsleft":
		flag(2)
		lo, hi, err := span32(o.arg)
		put32(d, 4, uint32(lo))
		put32(d, 8, uint32(hi))
		return err
	case "rt-len":
		flag(4)
		v, err := num(o.arg, 1<<32-1)
		put32(d, 12, uint32(v))
		return err
	case "rt-0-res":
		d[16] |= 8
	case "rt-0-not-strict":
		d[16] |= 0x20
	case "rt-0-addrs":
		d[16] |= 0x10
		for i, f := range strings.Split(o.arg, ",") {
			if i == 16 {
				return fmt.Errorf("rt: too many addresses")
			}
			a, err := c.parseAddr(f)
			if err != nil {
				return err
			}
			copy(d[20+16*i:], a.AsSlice())
			d[rtAddrN] = byte(i + 1)
		}
	}
	return nil
}

// The structure ip6t_srh1: next_hdr, hdr_len, segs_left, last_entry, tag u16,
// psid, nsid, lsid and their masks, mt_flags u16, mt_invflags u16.
const srhTag, srhAddrs, srhFlags, srhInv = 4, 8, 104, 106

// options of srh by their bit, and where the values are.
var srhOptions = []struct {
	name string
	at   int
}{{"srh-next-hdr", 0}, {"srh-hdr-len-eq", 1}, {"srh-hdr-len-gt", 1}, {"srh-hdr-len-lt", 1},
	{"srh-segs-left-eq", 2}, {"srh-segs-left-gt", 2}, {"srh-segs-left-lt", 2},
	{"srh-last-entry-eq", 3}, {"srh-last-entry-gt", 3}, {"srh-last-entry-lt", 3},
	{"srh-tag", srhTag}, {"srh-psid", srhAddrs}, {"srh-nsid", srhAddrs + 16}, {"srh-lsid", srhAddrs + 32}}

func setSRH(c *scope, d []byte, o option) error {
	for i, x := range srhOptions {
		if x.name != o.name {
			continue
		}
		put16(d, srhFlags, u16(d, srhFlags)|1<<i)
		if o.not {
			put16(d, srhInv, u16(d, srhInv)|1<<i)
		}
		switch {
		case x.at >= srhAddrs:
			addr, mask, err := c.parseNet(o.arg)
			if err != nil {
				return err
			}
			for k := range addr {
				d[x.at+k] = addr[k] & mask[k]
			}
			copy(d[x.at+48:], mask)
		case x.at == srhTag:
			v, err := num(o.arg, 65535)
			put16(d, srhTag, uint16(v))
			return err
		default:
			v, err := num(o.arg, 255)
			d[x.at] = byte(v)
			return err
		}
	}
	return nil
}

func saveSRH(p *printer, d []byte) {
	for i, x := range srhOptions {
		if u16(d, srhFlags)&(1<<i) == 0 {
			continue
		}
		var v any
		switch {
		case x.at >= srhAddrs:
			v = addrText(p.addr(d[x.at:])) + maskText(d[x.at+48:][:16])
		case x.at == srhTag:
			v = u16(d, srhTag)
		default:
			v = d[x.at]
		}
		p.opt(u16(d, srhInv)&(1<<i) != 0, x.name, v)
	}
}

// rtAddrN is where struct ip6t_rt has the number of its addresses, behind sixteen
// of them.
const rtAddrN = 276
