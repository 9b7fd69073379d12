package iptc

import (
	"fmt"
	"strings"
)

// Extensions on connection tracking.
var conntrackExts = []ext{
	conntrackExt("", "ctstate: ctproto: ctorigsrc: ctorigdst: ctreplsrc: ctrepldst: ctorigsrcport: ctorigdstport: "+
		"ctreplsrcport: ctrepldstport: ctstatus: ctexpire: ctdir:"),
	conntrackExt("state", "state:"),
	{
		name: "connbytes", fam: both, size: 18, opts: "connbytes: connbytes-dir: connbytes-mode:",
		set: func(_ *scope, d []byte, o option) error {
			switch o.name {
			case "connbytes-mode":
				i, ok := valueOf(connbytesModes, o.arg)
				d[16] = byte(i)
				if !ok {
					return o.bad()
				}
			case "connbytes-dir":
				i, ok := valueOf(connbytesDirs, o.arg)
				d[17] = byte(i)
				if !ok {
					return o.bad()
				}
			default:
				lo, hi, err := span(o.arg, 1<<64-1, func(s string) (uint64, error) { return num(s, 1<<64-1) })
				if err != nil {
					return err
				}
				if !strings.Contains(o.arg, ":") {
					hi = 1<<64 - 1
				}
				if o.not { // the kernel inverts a range that runs backwards
					lo, hi = hi, lo
				}
				put64(d, 0, lo)
				put64(d, 8, hi)
			}
			return nil
		},
		done: func(c *scope, _ []byte) error {
			if len(c.seen) < 3 {
				return fmt.Errorf("connbytes: --connbytes, --connbytes-dir and --connbytes-mode are all needed")
			}
			return nil
		},
		save: func(p *printer, d []byte) {
			lo, hi := u64(d, 0), u64(d, 8)
			not := lo > hi
			if not {
				lo, hi = hi, lo
			}
			s := fmt.Sprint(lo)
			if hi != 1<<64-1 {
				s += fmt.Sprintf(":%d", hi)
			}
			p.opt(not, "connbytes", s)
			p.opt(false, "connbytes-mode", connbytesModes[min(d[16], 2)])
			p.opt(false, "connbytes-dir", connbytesDirs[min(d[17], 2)])
		},
	},
	{
		name: "connlimit", fam: both, rev: 1, size: 32, user: 24,
		opts: "connlimit-above: connlimit-upto: connlimit-mask: connlimit-saddr connlimit-daddr",
		init: func(_ *scope, d []byte) { prefixMask(d[:16], 128) },
		set: func(c *scope, d []byte, o option) error {
			flags := u32(d, 20)
			switch o.name {
			case "connlimit-above", "connlimit-upto":
				v, err := num(o.arg, 1<<32-1)
				if err != nil {
					return err
				}
				put32(d, 16, uint32(v))
				if (o.name == "connlimit-upto") != o.not {
					flags |= 1
				}
			case "connlimit-mask":
				v, err := num(o.arg, uint64(8*c.f.layout().addr))
				if err != nil {
					return err
				}
				clear(d[:16])
				prefixMask(d[:c.f.layout().addr], int(v))
			case "connlimit-daddr":
				flags |= 2
			}
			put32(d, 20, flags)
			return nil
		},
		save: func(p *printer, d []byte) {
			flags := u32(d, 20)
			p.opt(false, [...]string{"connlimit-above", "connlimit-upto"}[flags&1], u32(d, 16))
			n, _ := prefixLen(d[:p.f.layout().addr])
			p.opt(false, "connlimit-mask", n)
			p.opt(false, [...]string{"connlimit-saddr", "connlimit-daddr"}[flags>>1&1])
		},
	},
	{
		name: "connlabel", fam: both, size: 4, opts: "label: set",
		set: func(_ *scope, d []byte, o option) error {
			if o.name == "set" {
				put16(d, 2, u16(d, 2)|2)
				return nil
			}
			v, err := num(o.arg, 127) // names in connlabel.conf are nobody's in practice
			put16(d, 0, uint16(v))
			put16(d, 2, u16(d, 2)|uint16(boolean(o.not)))
			return err
		},
		save: func(p *printer, d []byte) {
			p.opt(u16(d, 2)&1 != 0, "label", fmt.Sprintf("\"%d\"", u16(d, 0)))
			p.flag(u16(d, 2)&2 != 0, "set")
		},
	},
	{
		name: "helper", fam: both, size: 36, opts: "helper:",
		set: func(_ *scope, d []byte, o option) error {
			d[0] = boolean(o.not)
			return putStr(d[4:34], o, o.arg)
		},
		save: func(p *printer, d []byte) { p.opt(u32(d, 0) != 0, "helper", quote(cstr(d[4:34]))) },
	},
	ctExt("", "notrack helper: timeout: ctevents: expevents: zone: zone-orig: zone-reply:"),
	ctExt("NOTRACK", ""),
}

var (
	connbytesModes = []string{"packets", "bytes", "avgpkt"}
	connbytesDirs  = []string{"original", "reply", "both"}
	ctEvents       = []string{"new", "related", "destroy", "reply", "assured", "protoinfo", "helper", "mark", "natseqinfo", "secmark"}
)

// The structure xt_conntrack_mtinfo3.
const (
	ctAddrs, ctExpires, ctProto, ctPorts             = 0, 128, 136, 138
	ctFlags, ctInvert, ctState, ctStatus, ctPortHigh = 146, 148, 150, 152, 154
	ctStateAlias                                     = 1 << 13
)

// flags of conntrack: bit i is this option.
var ctOptions = []string{"ctstate", "ctproto", "ctorigsrc", "ctorigdst", "ctreplsrc", "ctrepldst", "ctstatus", "ctexpire",
	"ctorigsrcport", "ctorigdstport", "ctreplsrcport", "ctrepldstport", "ctdir"}

// states in the order in which they are printed.
var ctStates = []struct {
	name string
	bit  uint16
}{{"INVALID", 1}, {"NEW", 8}, {"RELATED", 4}, {"ESTABLISHED", 2}, {"UNTRACKED", 0x100}, {"SNAT", 0x40}, {"DNAT", 0x80}}

var ctStatusNames = []string{"EXPECTED", "SEEN_REPLY", "ASSURED", "CONFIRMED"}

func conntrackExt(as, opts string) ext {
	return ext{
		name: "conntrack", as: as, fam: both, rev: 3, size: 164, opts: opts,
		is:   func(d []byte) bool { return (u16(d, ctFlags)&ctStateAlias != 0) == (as != "") },
		set:  setConntrack,
		done: needOne("conntrack"),
		save: saveConntrack,
	}
}

func setConntrack(c *scope, d []byte, o option) error {
	name := o.name
	if name == "state" {
		name = "ctstate"
		put16(d, ctFlags, u16(d, ctFlags)|ctStateAlias)
		put16(d, ctInvert, u16(d, ctInvert)&^1)
	}
	bit, _ := valueOf(ctOptions, name)
	put16(d, ctFlags, u16(d, ctFlags)|1<<bit)
	if o.not {
		put16(d, ctInvert, u16(d, ctInvert)|1<<bit)
	}
	switch name {
	case "ctstate":
		for f := range strings.SplitSeq(o.arg, ",") {
			found := false
			for _, s := range ctStates {
				if strings.EqualFold(s.name, f) {
					put16(d, ctState, u16(d, ctState)|s.bit)
					found = true
				}
			}
			if !found {
				return fmt.Errorf("bad ctstate %q", f)
			}
		}
	case "ctproto":
		v, err := protoNumber(o.arg)
		put16(d, ctProto, uint16(v))
		return err
	case "ctstatus":
		if strings.EqualFold(o.arg, "NONE") {
			return nil
		}
		v, err := bitsOf(ctStatusNames, o.arg)
		put16(d, ctStatus, uint16(v))
		return err
	case "ctexpire":
		lo, hi, err := span32(o.arg)
		put32(d, ctExpires, uint32(lo))
		put32(d, ctExpires+4, uint32(hi))
		return err
	case "ctdir":
		switch strings.ToUpper(o.arg) {
		case "ORIGINAL":
		case "REPLY":
			put16(d, ctInvert, u16(d, ctInvert)|1<<bit)
		default:
			return o.bad()
		}
	case "ctorigsrc", "ctorigdst", "ctreplsrc", "ctrepldst":
		addr, mask, err := c.parseNet(o.arg)
		if err != nil {
			return err
		}
		at := ctAddrs + 32*(bit-2)
		copy(d[at:], addr)
		if c.f == IPv4 && string(mask) == "\xff\xff\xff\xff" {
			mask = []byte(strings.Repeat("\xff", 16))
		}
		copy(d[at+16:], mask)
	default:
		lo, hi, err := c.ports(o.arg)
		put16(d, ctPorts+2*(bit-8), uint16(lo))
		put16(d, ctPortHigh+2*(bit-8), uint16(hi))
		return err
	}
	return nil
}

func saveConntrack(p *printer, d []byte) {
	flags, inv := u16(d, ctFlags), u16(d, ctInvert)
	has := func(bit int) bool { return flags&(1<<bit) != 0 }
	opt := func(bit int, arg any) { p.opt(inv&(1<<bit) != 0, ctOptions[bit], arg) }
	if has(0) {
		var list []string
		for _, s := range ctStates {
			if u16(d, ctState)&s.bit != 0 {
				list = append(list, s.name)
			}
		}
		name := "ctstate"
		if flags&ctStateAlias != 0 {
			name = "state"
		}
		p.opt(inv&1 != 0, name, strings.Join(list, ","))
	}
	if has(1) {
		opt(1, u16(d, ctProto))
	}
	for bit := 2; bit <= 5; bit++ {
		if has(bit) {
			at := ctAddrs + 32*(bit-2)
			m := d[at+16:][:p.f.layout().addr]
			text := maskText(m)
			if n, ok := prefixLen(m); ok && n == 8*len(m) {
				text = ""
			}
			opt(bit, addrText(p.addr(d[at:]))+text)
		}
	}
	for bit := 8; bit <= 11; bit++ {
		if has(bit) {
			opt(bit, spanText(u16(d, ctPorts+2*(bit-8)), u16(d, ctPortHigh+2*(bit-8))))
		}
	}
	if has(6) {
		s := bitNames(ctStatusNames, uint32(u16(d, ctStatus)))
		if s == "" {
			s = "NONE"
		}
		opt(6, s)
	}
	if has(7) {
		opt(7, spanText(u32(d, ctExpires), u32(d, ctExpires+4)))
	}
	if has(12) {
		p.opt(false, "ctdir", [...]string{"ORIGINAL", "REPLY"}[inv>>12&1])
	}
}

// The structure xt_ct_target_info_v1: flags u16, zone u16, ct_events u32,
// exp_events u32, helper[16], timeout[32].
const ctNotrack, ctNotrackAlias, ctZoneOrig, ctZoneReply, ctZoneMark = 1, 2, 4, 8, 16

func ctExt(as, opts string) ext {
	x := ext{
		name: "CT", as: as, target: true, fam: both, rev: 2, size: 72, user: 64, opts: opts,
		is:   func(d []byte) bool { return (u16(d, 0)&ctNotrackAlias != 0) == (as != "") },
		set:  setCT,
		save: saveCT,
	}
	if as != "" {
		x.init = func(_ *scope, d []byte) { put16(d, 0, ctNotrack|ctNotrackAlias) }
		x.save = func(*printer, []byte) {}
	}
	return x
}

func setCT(_ *scope, d []byte, o option) error {
	flag := func(v uint16) { put16(d, 0, u16(d, 0)|v) }
	switch o.name {
	case "notrack":
		flag(ctNotrack)
	case "helper":
		return putStr(d[12:28], o, o.arg)
	case "timeout":
		return putStr(d[28:60], o, o.arg)
	case "ctevents":
		v, err := bitsOf(ctEvents, o.arg)
		put32(d, 4, v)
		return err
	case "expevents":
		if o.arg != "new" {
			return o.bad()
		}
		put32(d, 8, 1)
	default: // zone, zone-orig, zone-reply
		switch o.name {
		case "zone-orig":
			flag(ctZoneOrig)
		case "zone-reply":
			flag(ctZoneReply)
		}
		if o.arg == "mark" {
			flag(ctZoneMark)
			return nil
		}
		v, err := num(o.arg, 65535)
		put16(d, 2, uint16(v))
		return err
	}
	return nil
}

func saveCT(p *printer, d []byte) {
	flags := u16(d, 0)
	p.flag(flags&ctNotrack != 0, "notrack")
	if s := cstr(d[12:28]); s != "" {
		p.opt(false, "helper", quote(s))
	}
	if s := cstr(d[28:60]); s != "" {
		p.opt(false, "timeout", quote(s))
	}
	if v := u32(d, 4); v != 0 {
		p.opt(false, "ctevents", bitNames(ctEvents, v))
	}
	if u32(d, 8) != 0 {
		p.opt(false, "expevents", "new")
	}
	name := "zone"
	switch {
	case flags&ctZoneOrig != 0:
		name = "zone-orig"
	case flags&ctZoneReply != 0:
		name = "zone-reply"
	}
	if flags&ctZoneMark != 0 {
		p.opt(false, name, "mark")
	} else if z := u16(d, 2); z != 0 {
		p.opt(false, name, z)
	}
}
