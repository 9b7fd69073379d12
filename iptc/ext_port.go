package iptc

import (
	"fmt"
	"strings"
)

// Extensions that look at the ports and headers of transport protocols.
var portExts = []ext{
	{
		name: "tcp", fam: both, size: 12,
		opts: "sport: source-port=sport: dport: destination-port=dport: tcp-flags:: syn tcp-option:",
		init: func(_ *scope, d []byte) { put16(d, 2, 65535); put16(d, 6, 65535) },
		set: func(c *scope, d []byte, o option) error {
			inv := map[string]byte{"sport": 1, "dport": 2, "tcp-flags": 4, "syn": 4, "tcp-option": 8}[o.name]
			if o.not {
				d[11] |= inv
			}
			switch o.name {
			case "sport", "dport":
				return putPorts(c, d, o, o.name == "dport")
			case "syn":
				d[9], d[10] = 0x17, 0x02
			case "tcp-flags":
				mask, err := tcpFlags(o.arg)
				if err != nil {
					return err
				}
				comp, err := tcpFlags(o.arg2)
				d[9], d[10] = mask, comp
				return err
			case "tcp-option":
				v, err := num(o.arg, 255)
				if err != nil || v == 0 {
					return o.bad()
				}
				d[8] = byte(v)
			}
			return nil
		},
		save: func(p *printer, d []byte) {
			savePorts(p, d, d[11])
			if d[8] != 0 || d[11]&8 != 0 {
				p.opt(d[11]&8 != 0, "tcp-option", d[8])
			}
			if d[9] != 0 || d[11]&4 != 0 {
				p.opt(d[11]&4 != 0, "tcp-flags", tcpFlagText(d[9]), tcpFlagText(d[10]))
			}
		},
	},
	{
		name: "udp", fam: both, size: 10,
		opts: "sport: source-port=sport: dport: destination-port=dport:",
		init: func(_ *scope, d []byte) { put16(d, 2, 65535); put16(d, 6, 65535) },
		set: func(c *scope, d []byte, o option) error {
			if o.not {
				d[8] |= map[string]byte{"sport": 1, "dport": 2}[o.name]
			}
			return putPorts(c, d, o, o.name == "dport")
		},
		save: func(p *printer, d []byte) { savePorts(p, d, d[8]) },
	},
	{
		name: "multiport", fam: both, rev: 1, size: 48,
		opts: "sports: source-ports=sports: dports: destination-ports=dports: ports:",
		set: func(c *scope, d []byte, o option) error {
			d[0] = map[string]byte{"sports": 0, "dports": 1, "ports": 2}[o.name]
			d[47] = boolean(o.not)
			n := 0
			for f := range strings.SplitSeq(o.arg, ",") {
				lo, hi, err := c.ports(f)
				if err != nil {
					return err
				}
				list := []uint64{lo, hi}
				if !strings.Contains(f, ":") {
					list = list[:1]
				}
				if n+len(list) > 15 {
					return fmt.Errorf("too many ports specified: %s", o.arg)
				}
				for i, v := range list {
					put16(d, 2+2*n, uint16(v))
					d[32+n] = boolean(i == 0 && len(list) == 2)
					n++
				}
			}
			d[1] = byte(n)
			return nil
		},
		done: func(c *scope, _ []byte) error {
			if len(c.seen) == 0 {
				return fmt.Errorf("multiport expects an option")
			}
			switch c.proto {
			case 6, 17, 33, 132, 136:
				return nil
			}
			return fmt.Errorf("multiport needs `-p tcp', `-p udp', `-p udplite', `-p sctp' or `-p dccp'")
		},
		save: func(p *printer, d []byte) {
			var s strings.Builder
			for i := range min(int(d[1]), 15) {
				if i > 0 {
					s.WriteByte(":,"[1-boolean(d[32+i-1] != 0)])
				}
				fmt.Fprint(&s, u16(d, 2+2*i))
			}
			p.opt(d[47] != 0, [...]string{"sports", "dports", "ports"}[min(d[0], 2)], s.String())
		},
	},
	{
		name: "sctp", fam: both, size: 292,
		opts: "sport: source-port=sport: dport: destination-port=dport: chunk-types::",
		init: func(_ *scope, d []byte) {
			for i := range 4 {
				d[sctpFlags+3*i] = 0xff
			}
		},
		set: func(c *scope, d []byte, o option) error {
			bit := map[string]uint32{"sport": 1, "dport": 2, "chunk-types": 4}[o.name]
			put32(d, sctpLook, u32(d, sctpLook)|bit)
			if o.not {
				put32(d, sctpInv, u32(d, sctpInv)|bit)
			}
			if o.name == "chunk-types" {
				return parseChunks(d, o)
			}
			lo, hi, err := c.ports(o.arg)
			at := map[string]int{"sport": 4, "dport": 0}[o.name]
			put16(d, at, uint16(lo))
			put16(d, at+2, uint16(hi))
			return err
		},
		save: func(p *printer, d []byte) {
			flags, inv := u32(d, sctpLook), u32(d, sctpInv)
			for i, n := range []string{"sport", "dport"} {
				if flags&(1<<i) != 0 {
					p.opt(inv&(1<<i) != 0, n, spanText(u16(d, 4-4*i), u16(d, 6-4*i)))
				}
			}
			if flags&4 != 0 {
				saveChunks(p, d, inv&4 != 0)
			}
		},
	},
	{
		name: "dccp", fam: both, size: 15,
		opts: "sport: source-port=sport: dport: destination-port=dport: dccp-types: dccp-option:",
		set: func(c *scope, d []byte, o option) error {
			bit := map[string]uint16{"sport": 1, "dport": 2, "dccp-types": 4, "dccp-option": 8}[o.name]
			put16(d, 8, u16(d, 8)|bit)
			if o.not {
				put16(d, 10, u16(d, 10)|bit)
			}
			switch o.name {
			case "dccp-types":
				v, err := bitsOf(dccpTypes, o.arg)
				if v&dccpInvalid != 0 { // all the types that are none
					v |= 0xfc00
				}
				put16(d, 12, uint16(v))
				return err
			case "dccp-option":
				v, err := num(o.arg, 255)
				d[14] = byte(v)
				return err
			}
			lo, hi, err := c.ports(o.arg)
			at := map[string]int{"sport": 4, "dport": 0}[o.name]
			put16(d, at, uint16(lo))
			put16(d, at+2, uint16(hi))
			return err
		},
		save: func(p *printer, d []byte) {
			flags, inv := u16(d, 8), u16(d, 10)
			for i, n := range []string{"sport", "dport"} {
				if flags&(1<<i) != 0 {
					p.opt(inv&(1<<i) != 0, n, spanText(u16(d, 4-4*i), u16(d, 6-4*i)))
				}
			}
			if flags&4 != 0 {
				p.opt(inv&4 != 0, "dccp-types", bitNames(dccpTypes, uint32(u16(d, 12))))
			}
			if flags&8 != 0 {
				p.opt(inv&8 != 0, "dccp-option", d[14])
			}
		},
	},
	spiExt("esp", both, "espspi", 12, 8),
	spiExt("ah", only4, "ahspi", 12, 8),
	{
		name: "ipcomp", fam: both, size: 12, opts: "ipcompspi: compres",
		init: func(_ *scope, d []byte) { put32(d, 4, 1<<32-1) },
		set: func(_ *scope, d []byte, o option) error {
			if o.name == "compres" {
				d[9] = 1
				return nil
			}
			return putSPI(d, o, 8)
		},
		save: func(p *printer, d []byte) {
			saveSPI(p, d, "ipcompspi", d[8]&1 != 0)
			p.flag(d[9] != 0, "compres")
		},
	},
	{
		name: "tcpmss", fam: both, size: 6, opts: "mss:",
		set: func(_ *scope, d []byte, o option) error {
			d[4] = boolean(o.not)
			return putRange16(d, 0, o)
		},
		save: func(p *printer, d []byte) { p.opt(d[4] != 0, "mss", spanText(u16(d, 0), u16(d, 2))) },
	},
}

// putRange16 writes a range of numbers into two u16 fields.
func putRange16(d []byte, at int, o option) error {
	lo, hi, err := span(o.arg, 65535, func(s string) (uint64, error) { return num(s, 65535) })
	put16(d, at, uint16(lo))
	put16(d, at+2, uint16(hi))
	return err
}

func putPorts(c *scope, d []byte, o option, dst bool) error {
	lo, hi, err := c.ports(o.arg)
	at := 4 * int(boolean(dst))
	put16(d, at, uint16(lo))
	put16(d, at+2, uint16(hi))
	return err
}

// savePorts prints the ranges at the start of tcp's and udp's data.
func savePorts(p *printer, d []byte, inv byte) {
	for i, n := range []string{"sport", "dport"} {
		lo, hi := u16(d, 4*i), u16(d, 4*i+2)
		not := inv&(1<<i) != 0
		if lo != 0 || hi != 65535 || not {
			p.opt(not, n, spanText(lo, hi))
		}
	}
}

var tcpFlagNames = []string{"FIN", "SYN", "RST", "PSH", "ACK", "URG"}

func tcpFlags(s string) (byte, error) {
	var v byte
	for f := range strings.SplitSeq(s, ",") {
		i, ok := valueOf(tcpFlagNames, f)
		switch {
		case ok:
			v |= 1 << i
		case strings.EqualFold(f, "ALL"):
			v |= 0x3f
		case !strings.EqualFold(f, "NONE"):
			return 0, fmt.Errorf("unknown TCP flag `%s'", f)
		}
	}
	return v, nil
}

func tcpFlagText(v byte) string {
	if v == 0 {
		return "NONE"
	}
	return bitNames(tcpFlagNames, uint32(v))
}

var dccpTypes = []string{"REQUEST", "RESPONSE", "DATA", "ACK", "DATAACK", "CLOSEREQ", "CLOSE", "RESET", "SYNC", "SYNCACK", "INVALID"}

const dccpInvalid = 1 << 10

// spiExt is a match of a range of security parameter indexes.
func spiExt(name string, fam families, opt string, size, inv int) ext {
	return ext{
		name: name, fam: fam, size: size, opts: opt + ":",
		init: func(_ *scope, d []byte) { put32(d, 4, 1<<32-1) },
		set:  func(_ *scope, d []byte, o option) error { return putSPI(d, o, inv) },
		save: func(p *printer, d []byte) { saveSPI(p, d, opt, d[inv]&1 != 0) },
	}
}

func putSPI(d []byte, o option, inv int) error {
	lo, hi, err := span32(o.arg)
	put32(d, 0, uint32(lo))
	put32(d, 4, uint32(hi))
	d[inv] |= boolean(o.not)
	return err
}

func saveSPI(p *printer, d []byte, opt string, not bool) {
	if lo, hi := u32(d, 0), u32(d, 4); lo != 0 || hi != 1<<32-1 || not {
		p.opt(not, opt, spanText(lo, hi))
	}
}

// SCTP chunk types: name, number, and the letters of the flags from bit 7 down.
var sctpChunks = []struct {
	name  string
	num   int
	flags string
}{
	{"DATA", 0, "----IUBE"}, {"INIT", 1, "--------"}, {"INIT_ACK", 2, "--------"}, {"SACK", 3, "--------"},
	{"HEARTBEAT", 4, "--------"}, {"HEARTBEAT_ACK", 5, "--------"}, {"ABORT", 6, "-------T"}, {"SHUTDOWN", 7, "--------"},
	{"SHUTDOWN_ACK", 8, "--------"}, {"ERROR", 9, "--------"}, {"COOKIE_ECHO", 10, "--------"}, {"COOKIE_ACK", 11, "--------"},
	{"ECN_ECNE", 12, "--------"}, {"ECN_CWR", 13, "--------"}, {"SHUTDOWN_COMPLETE", 14, "-------T"}, {"I_DATA", 64, "----IUBE"},
	{"RE_CONFIG", 130, "--------"}, {"PAD", 132, "--------"}, {"ASCONF", 193, "--------"}, {"ASCONF_ACK", 128, "--------"},
	{"FORWARD_TSN", 192, "--------"}, {"I_FORWARD_TSN", 194, "--------"},
}

const (
	sctpMap    = 8   // 64 words, of which eight are used
	sctpHow    = 264 // 1 any, 2 all, 4 only
	sctpFlags  = 268 // four of {type, flag, mask}
	sctpFlagsN = 280
	sctpLook   = 284 // what is looked at, and inverted
	sctpInv    = 288
)

func parseChunks(d []byte, o option) error {
	i, ok := valueOf([]string{"", "any", "all", "", "only"}, o.arg)
	if !ok {
		return o.bad()
	}
	put32(d, sctpHow, uint32(i))
	switch {
	case strings.EqualFold(o.arg2, "ALL"):
		for i := range sctpHow - sctpMap {
			d[sctpMap+i] = 0xff
		}
		return nil
	case strings.EqualFold(o.arg2, "NONE"):
		return nil
	}
	n := 0
	for f := range strings.SplitSeq(o.arg2, ",") {
		name, flags, has := strings.Cut(f, ":")
		found := false
		for _, ch := range sctpChunks {
			if !strings.EqualFold(ch.name, name) {
				continue
			}
			found = true
			put32(d, sctpMap+4*(ch.num/32), u32(d, sctpMap+4*(ch.num/32))|1<<(ch.num%32))
			if !has {
				break
			}
			if n == 4 {
				return fmt.Errorf("flags of more than four chunk types")
			}
			at := sctpFlags + 3*n
			d[at] = byte(ch.num)
			n++
			for _, c := range flags {
				bit := strings.IndexRune(ch.flags, c&^0x20)
				if bit < 0 || c == '-' {
					return fmt.Errorf("invalid flag %q of chunk type %s", c, ch.name)
				}
				d[at+2] |= 0x80 >> bit
				if c&0x20 == 0 { // upper case: set
					d[at+1] |= 0x80 >> bit
				}
			}
		}
		if !found {
			return fmt.Errorf("unknown sctp chunk type %q", name)
		}
	}
	put32(d, sctpFlagsN, uint32(n))
	return nil
}

func saveChunks(p *printer, d []byte, not bool) {
	p.opt(not, "chunk-types", map[uint32]string{1: "any", 2: "all", 4: "only"}[u32(d, sctpHow)])
	m := d[sctpMap:sctpHow]
	switch full := strings.Repeat("\xff", sctpHow-sctpMap); {
	case allZero(m):
		p.b.WriteString(" NONE")
		return
	case string(m) == full:
		p.b.WriteString(" ALL")
		return
	}
	sep := " "
	for num := range 256 {
		if u32(d, sctpMap+4*(num/32))&(1<<(num%32)) == 0 {
			continue
		}
		for _, ch := range sctpChunks {
			if ch.num != num {
				continue
			}
			p.f2("%s%s", sep, ch.name)
			sep = ","
			for k := range min(int(u32(d, sctpFlagsN)), 4) {
				at := sctpFlags + 3*k
				if int(d[at]) != num {
					continue
				}
				p.b.WriteByte(':')
				for _, upper := range []bool{true, false} {
					for bit := range 8 {
						if d[at+2]&(0x80>>bit) == 0 || d[at+1]&(0x80>>bit) != 0 != upper {
							continue
						}
						c := ch.flags[bit]
						if !upper {
							c |= 0x20
						}
						p.b.WriteByte(c)
					}
				}
			}
		}
	}
}
