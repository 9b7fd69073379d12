package iptc

import (
	"fmt"
	"strings"
)

// Marks of packets and connections.
var markExts = []ext{
	markMatch("mark"),
	markMatch("connmark"),
	{
		name: "MARK", target: true, fam: both, rev: 2, size: 8,
		opts: "set-xmark: set-mark: and-mark: or-mark: xor-mark:",
		set:  setMark,
		done: needOne("MARK"),
		save: func(p *printer, d []byte) { p.opt(false, "set-xmark", hexMask(u32(d, 0), u32(d, 4))) },
	},
	{
		name: "CONNMARK", target: true, fam: both, rev: 2, size: 16,
		opts: "set-xmark: set-mark: and-mark: or-mark: xor-mark: save-mark restore-mark mask: nfmask: ctmask: " +
			"left-shift-mark: right-shift-mark:",
		init: func(_ *scope, d []byte) { put32(d, 4, 1<<32-1); put32(d, 8, 1<<32-1) },
		set:  setConnmark,
		done: needOne("CONNMARK"),
		save: func(p *printer, d []byte) {
			switch d[14] {
			case 0:
				p.opt(false, "set-xmark", hexMask(u32(d, 0), u32(d, 4)))
			case 1, 2:
				p.opt(false, [...]string{1: "save-mark", 2: "restore-mark"}[d[14]])
				p.f2(" --nfmask 0x%x --ctmask 0x%x", u32(d, 8), u32(d, 4))
			}
			if d[13] != 0 {
				p.opt(false, [...]string{"left-shift-mark", "right-shift-mark"}[d[12]&1], d[13])
			}
		},
	},
	{
		name: "CLASSIFY", target: true, fam: both, size: 4, opts: "set-class:",
		set: func(_ *scope, d []byte, o option) error {
			var hi, lo uint16
			if n, err := fmt.Sscanf(o.arg, "%x:%x", &hi, &lo); n != 2 || err != nil {
				return o.bad()
			}
			put32(d, 0, uint32(hi)<<16|uint32(lo))
			return nil
		},
		done: needOne("CLASSIFY"),
		save: func(p *printer, d []byte) {
			v := u32(d, 0)
			p.opt(false, "set-class", fmt.Sprintf("%04x:%04x", v>>16, v&0xffff))
		},
	},
	{
		name: "HMARK", target: true, fam: both, size: 60,
		opts: "hmark-tuple: hmark-mod: hmark-offset: hmark-src-prefix: hmark-dst-prefix: hmark-sport-mask: hmark-dport-mask: " +
			"hmark-spi-mask: hmark-sport: hmark-dport: hmark-spi: hmark-proto-mask: hmark-rnd:",
		set: setHmark,
		done: func(c *scope, d []byte) error {
			if !c.has("hmark-mod") {
				return fmt.Errorf("HMARK: option \"--hmark-mod\" is mandatory")
			}
			if !c.has("hmark-rnd") {
				return fmt.Errorf("HMARK: option \"--hmark-rnd\" is mandatory")
			}
			return nil
		},
		save: saveHmark,
	},
}

// needOne wants at least one option.
func needOne(name string) func(*scope, []byte) error {
	return func(c *scope, _ []byte) error {
		if len(c.seen) == 0 {
			return fmt.Errorf("%s: an option is required", name)
		}
		return nil
	}
}

func hexMask(v, m uint32) string { return fmt.Sprintf("0x%x/0x%x", v, m) }

// hexMaskOpt leaves a mask of all ones out.
func hexMaskOpt(v, m uint32) string {
	if m == 1<<32-1 {
		return fmt.Sprintf("0x%x", v)
	}
	return hexMask(v, m)
}

func markMatch(name string) ext {
	return ext{
		name: name, fam: both, rev: 1, size: 12, opts: "mark:",
		set: func(_ *scope, d []byte, o option) error {
			v, m, err := valueMask(o.arg)
			put32(d, 0, v)
			put32(d, 4, m)
			d[8] = boolean(o.not)
			return err
		},
		done: needOne(name),
		save: func(p *printer, d []byte) { p.opt(d[8] != 0, "mark", hexMaskOpt(u32(d, 0), u32(d, 4))) },
	}
}

// setMark reads the ways to say "new = old and not mask, xor value".
func setMark(_ *scope, d []byte, o option) error {
	v, m, err := valueMask(o.arg)
	if strings.Contains(o.arg, "/") && o.name != "set-xmark" && o.name != "set-mark" {
		return o.bad()
	}
	switch o.name {
	case "set-mark":
		m |= v
	case "and-mark":
		v, m = 0, ^v
	case "or-mark":
		m = v
	case "xor-mark":
		m = 0
	}
	put32(d, 0, v)
	put32(d, 4, m)
	return err
}

func setConnmark(c *scope, d []byte, o option) error {
	switch o.name {
	case "save-mark":
		d[14] = 1
	case "restore-mark":
		d[14] = 2
	case "mask", "nfmask", "ctmask":
		v, err := num(o.arg, 1<<32-1)
		if err != nil {
			return err
		}
		if o.name != "nfmask" {
			put32(d, 4, uint32(v))
		}
		if o.name != "ctmask" {
			put32(d, 8, uint32(v))
		}
	case "left-shift-mark", "right-shift-mark":
		v, err := num(o.arg, 32)
		d[12], d[13] = boolean(o.name[0] == 'r'), byte(v)
		return err
	default:
		return setMark(c, d, o)
	}
	return nil
}

// flags of HMARK: bit i is option i of this list.
const (
	hmarkSrc, hmarkDst, hmarkSPI, hmarkSPIMask           = 1 << 0, 1 << 1, 1 << 2, 1 << 3
	hmarkSport, hmarkDport, hmarkSportMask, hmarkDportM  = 1 << 4, 1 << 5, 1 << 6, 1 << 7
	hmarkProto, hmarkRnd, hmarkMod, hmarkOffset, hmarkCT = 1 << 8, 1 << 9, 1 << 10, 1 << 11, 1 << 12
)

func setHmark(c *scope, d []byte, o option) error {
	flag := func(bits uint32) { put32(d, 40, u32(d, 40)|bits) }
	prefix := func(at int, bits uint32) error {
		v, err := num(o.arg, uint64(8*c.f.layout().addr))
		clear(d[at : at+16])
		prefixMask(d[at:at+c.f.layout().addr], int(v))
		flag(bits)
		return err
	}
	field16 := func(at int, bits uint32) error {
		v, err := num(o.arg, 65535)
		putBE16(d, at, uint16(v))
		flag(bits)
		return err
	}
	field32 := func(at int, bits uint32) error {
		v, err := num(o.arg, 1<<32-1)
		put32(d, at, uint32(v))
		flag(bits)
		return err
	}
	switch o.name {
	case "hmark-tuple":
		return setHmarkTuple(d, o)
	case "hmark-src-prefix":
		return prefix(0, hmarkSrc)
	case "hmark-dst-prefix":
		return prefix(16, hmarkDst)
	case "hmark-sport-mask":
		return field16(32, hmarkSportMask)
	case "hmark-dport-mask":
		return field16(34, hmarkDportM)
	case "hmark-sport":
		return field16(36, hmarkSport)
	case "hmark-dport":
		return field16(38, hmarkDport)
	case "hmark-spi-mask":
		return field32(32, hmarkSPIMask)
	case "hmark-spi":
		return field32(36, hmarkSPI)
	case "hmark-proto-mask":
		v, err := num(o.arg, 65535)
		put16(d, 44, uint16(v))
		flag(hmarkProto)
		return err
	case "hmark-rnd":
		return field32(48, hmarkRnd)
	case "hmark-mod":
		return field32(52, hmarkMod)
	default:
		return field32(56, hmarkOffset)
	}
}

func setHmarkTuple(d []byte, o option) error {
	flags := u32(d, 40)
	for f := range strings.SplitSeq(o.arg, ",") {
		switch f {
		case "ct":
			flags |= hmarkCT
		case "src":
			flags |= hmarkSrc
			prefixMask(d[0:16], 128)
		case "dst":
			flags |= hmarkDst
			prefixMask(d[16:32], 128)
		case "sport":
			flags |= hmarkSportMask
			put16(d, 32, 0xffff)
		case "dport":
			flags |= hmarkDportM
			put16(d, 34, 0xffff)
		case "spi":
			flags |= hmarkSPIMask
			put32(d, 32, 1<<32-1)
		default:
			return o.bad()
		}
	}
	put32(d, 40, flags)
	return nil
}

func saveHmark(p *printer, d []byte) {
	flags := u32(d, 40)
	bits := func(at int) int {
		n, _ := prefixLen(d[at : at+p.f.layout().addr])
		return n
	}
	if flags&hmarkSrc != 0 {
		p.opt(false, "hmark-src-prefix", bits(0))
	}
	if flags&hmarkDst != 0 {
		p.opt(false, "hmark-dst-prefix", bits(16))
	}
	for _, f := range []struct {
		bit  uint32
		name string
		at   int
	}{{hmarkSport, "hmark-sport", 36}, {hmarkDport, "hmark-dport", 38}, {hmarkSportMask, "hmark-sport-mask", 32}, {hmarkDportM, "hmark-dport-mask", 34}} {
		if flags&f.bit != 0 {
			p.opt(false, f.name, fmt.Sprintf("0x%04x", be16(d, f.at)))
		}
	}
	if flags&hmarkSPI != 0 {
		p.opt(false, "hmark-spi", fmt.Sprintf("0x%08x", u32(d, 36)))
	}
	if flags&hmarkSPIMask != 0 {
		p.opt(false, "hmark-spi-mask", fmt.Sprintf("0x%08x", u32(d, 32)))
	}
	if flags&hmarkProto != 0 {
		p.opt(false, "hmark-proto-mask", fmt.Sprintf("0x%02x", u16(d, 44)))
	}
	if flags&hmarkRnd != 0 {
		p.opt(false, "hmark-rnd", fmt.Sprintf("0x%08x", u32(d, 48)))
	}
	if flags&hmarkMod != 0 {
		p.opt(false, "hmark-mod", u32(d, 52))
	}
	if flags&hmarkOffset != 0 {
		p.opt(false, "hmark-offset", u32(d, 56))
	}
	if flags&hmarkCT != 0 {
		p.opt(false, "hmark-tuple", "ct")
	}
}
