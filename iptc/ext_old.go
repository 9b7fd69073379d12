package iptc

import "fmt"

// Older revisions, which no iptables of today makes but other programs and older
// ones do. They are printed; what is parsed becomes the newest revision.
var oldExts = []ext{
	oldConntrack(1, 152), oldConntrack(2, 156),
	{name: "socket", fam: both, rev: 0, size: 0, save: func(*printer, []byte) {}},
	oldSocket(1), oldSocket(2),
	{
		name: "CT", target: true, fam: both, rev: 0, size: 40, user: 32,
		save: func(p *printer, d []byte) {
			// the later structure with a timeout's name behind the helper's
			now := make([]byte, 72)
			copy(now, d[:28])
			saveCT(p, now)
		},
	},
	{name: "CT", target: true, fam: both, rev: 1, size: 72, user: 64, save: saveCT,
		is: func(d []byte) bool { return u16(d, 0)&ctNotrackAlias == 0 }},
	{
		name: "CONNMARK", target: true, fam: both, rev: 1, size: 13,
		save: func(p *printer, d []byte) {
			switch d[12] {
			case 0:
				p.opt(false, "set-xmark", hexMask(u32(d, 0), u32(d, 4)))
			case 1, 2:
				p.opt(false, [...]string{1: "save-mark", 2: "restore-mark"}[d[12]])
				p.f2(" --nfmask 0x%x --ctmask 0x%x", u32(d, 8), u32(d, 4))
			}
		},
	},
	{
		name: "addrtype", fam: only4, rev: 0, size: 12,
		save: func(p *printer, d []byte) {
			for i, n := range []string{"src-type", "dst-type"} {
				if v := u16(d, 2*i); v != 0 {
					p.opt(u32(d, 4+4*i) != 0, n, bitNames(routeTypes, uint32(v)))
				}
			}
		},
	},
	{
		name: "IDLETIMER", target: true, fam: both, rev: 0, size: 40, user: 32,
		save: func(p *printer, d []byte) {
			p.opt(false, "timeout", u32(d, 0))
			p.opt(false, "label", cstr(d[4:32]))
		},
	},
	{
		name: "cgroup", fam: both, rev: 0, size: 8,
		save: func(p *printer, d []byte) { p.opt(u32(d, 4) != 0, "cgroup", u32(d, 0)) },
	},
	{
		name: "srh", fam: only6, rev: 0, size: 10,
		save: func(p *printer, d []byte) {
			for i, x := range srhOptions[:11] {
				if u16(d, 6)&(1<<i) == 0 {
					continue
				}
				v := fmt.Sprint(d[x.at])
				if x.at == srhTag {
					v = fmt.Sprint(u16(d, srhTag))
				}
				p.opt(u16(d, 8)&(1<<i) != 0, x.name, v)
			}
		},
	},
}

func oldSocket(rev uint8) ext {
	return ext{name: "socket", fam: both, rev: rev, size: 1, save: func(p *printer, d []byte) {
		for i, n := range socketFlags[:rev] {
			p.flag(d[0]&(1<<i) != 0, n)
		}
	}}
}

// oldConntrack is the structure of revision 3 with ports in network order and
// without ranges of them; in revision 1 the masks have one byte each.
func oldConntrack(rev uint8, size int) ext {
	return ext{name: "conntrack", fam: both, rev: rev, size: size, save: func(p *printer, d []byte) {
		now := make([]byte, 168)
		copy(now, d[:ctState])
		if rev == 1 {
			put16(now, ctState, uint16(d[ctState]))
			put16(now, ctStatus, uint16(d[ctState+1]))
		} else {
			copy(now[ctState:], d[ctState:ctState+4])
		}
		for i := range 4 {
			v := be16(d, ctPorts+2*i)
			put16(now, ctPorts+2*i, v)
			put16(now, ctPortHigh+2*i, v)
		}
		put16(now, ctFlags, u16(d, ctFlags)&^ctStateAlias)
		saveConntrack(p, now)
	}}
}
