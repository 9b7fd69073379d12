package iptc

import (
	"fmt"
	"strings"
)

// Targets that change a packet or what the kernel does with it.
var mangleExts = []ext{
	{
		name: "DSCP", target: true, fam: both, size: 1, opts: "set-dscp: set-dscp-class:",
		set: func(_ *scope, d []byte, o option) error {
			v, err := parseDSCP(o)
			d[0] = v
			return err
		},
		done: needOne("DSCP"),
		save: func(p *printer, d []byte) { p.opt(false, "set-dscp", fmt.Sprintf("0x%02x", d[0])) },
	},
	{
		name: "TOS", target: true, fam: both, rev: 1, size: 2, opts: "set-tos: and-tos: or-tos: xor-tos:",
		set: func(_ *scope, d []byte, o option) error {
			v, m, err := parseTOS(o, 0x3f)
			switch o.name {
			case "and-tos":
				v, m = 0, ^v
			case "or-tos":
				m = v
			case "xor-tos":
				m = 0
			}
			d[0], d[1] = v, m
			return err
		},
		done: needOne("TOS"),
		save: func(p *printer, d []byte) { p.opt(false, "set-tos", fmt.Sprintf("0x%02x/0x%02x", d[0], d[1])) },
	},
	ttlTarget("TTL", "ttl", only4),
	ttlTarget("HL", "hl", only6),
	{
		name: "ECN", target: true, fam: only4, size: 3, opts: "ecn-tcp-remove ecn-tcp-cwr: ecn-tcp-ece: ecn-ip-ect:",
		set: func(_ *scope, d []byte, o option) error {
			switch o.name {
			case "ecn-tcp-remove":
				d[0], d[2] = 0x30, 0
				return nil
			case "ecn-ip-ect":
				v, err := num(o.arg, 3)
				d[0], d[1] = d[0]|1, byte(v)
				return err
			}
			v, err := num(o.arg, 1)
			bit, shift := byte(0x10), 0
			if o.name == "ecn-tcp-cwr" {
				bit, shift = 0x20, 1
			}
			d[0] |= bit
			d[2] |= byte(v) << shift
			return err
		},
		done: needOne("ECN"),
		save: func(p *printer, d []byte) {
			if d[0]&0x30 == 0x30 && d[2]&3 == 0 {
				p.opt(false, "ecn-tcp-remove")
			} else {
				if d[0]&0x10 != 0 {
					p.opt(false, "ecn-tcp-ece", d[2]&1)
				}
				if d[0]&0x20 != 0 {
					p.opt(false, "ecn-tcp-cwr", d[2]>>1&1)
				}
			}
			if d[0]&1 != 0 {
				p.opt(false, "ecn-ip-ect", d[1])
			}
		},
	},
	{
		name: "CHECKSUM", target: true, fam: both, size: 1, opts: "checksum-fill",
		set:  func(_ *scope, d []byte, _ option) error { d[0] = 1; return nil },
		done: needOne("CHECKSUM"),
		save: func(p *printer, d []byte) { p.flag(d[0]&1 != 0, "checksum-fill") },
	},
	{
		name: "TCPMSS", target: true, fam: both, size: 2, opts: "set-mss: clamp-mss-to-pmtu",
		set: func(_ *scope, d []byte, o option) error {
			if o.name == "clamp-mss-to-pmtu" {
				put16(d, 0, 65535)
				return nil
			}
			v, err := num(o.arg, 65535-40)
			put16(d, 0, uint16(v))
			return err
		},
		done: needOne("TCPMSS"),
		save: func(p *printer, d []byte) {
			if v := u16(d, 0); v == 65535 {
				p.opt(false, "clamp-mss-to-pmtu")
			} else {
				p.opt(false, "set-mss", v)
			}
		},
	},
	{
		name: "TCPOPTSTRIP", target: true, fam: both, size: 32, opts: "strip-options:",
		set: func(_ *scope, d []byte, o option) error {
			for f := range strings.SplitSeq(o.arg, ",") {
				v, ok := tcpOptions[f]
				if !ok {
					n, err := num(f, 255)
					if err != nil {
						return err
					}
					v = byte(n)
				}
				put32(d, int(v/32)*4, u32(d, int(v/32)*4)|1<<(v%32))
			}
			return nil
		},
		save: func(p *printer, d []byte) {
			var list []string
			for i := range 256 {
				if u32(d, i/32*4)&(1<<(i%32)) != 0 {
					list = append(list, fmt.Sprint(i))
				}
			}
			if list != nil {
				p.opt(false, "strip-options", strings.Join(list, ","))
			}
		},
	},
	{
		name: "TEE", target: true, fam: both, rev: 1, size: 40, user: 32, opts: "gateway: oif:",
		set: func(c *scope, d []byte, o option) error {
			if o.name == "oif" {
				return putStr(d[16:32], o, o.arg)
			}
			a, err := c.parseAddr(o.arg)
			copy(d, a.AsSlice())
			return err
		},
		done: func(c *scope, _ []byte) error {
			if !c.has("gateway") {
				return fmt.Errorf("TEE: option \"--gateway\" must be specified")
			}
			return nil
		},
		save: func(p *printer, d []byte) {
			p.opt(false, "gateway", addrText(p.addr(d)))
			if s := cstr(d[16:32]); s != "" {
				p.opt(false, "oif", s)
			}
		},
	},
	{
		name: "TPROXY", target: true, fam: both, rev: 1, size: 28, opts: "on-port: on-ip: tproxy-mark:",
		set: func(c *scope, d []byte, o option) error {
			switch o.name {
			case "on-port":
				v, err := c.port(o.arg)
				putBE16(d, 24, uint16(v))
				return err
			case "on-ip":
				a, err := c.parseAddr(o.arg)
				copy(d[8:], a.AsSlice())
				return err
			}
			v, m, err := valueMask(o.arg)
			put32(d, 0, m)
			put32(d, 4, v)
			return err
		},
		done: func(c *scope, _ []byte) error {
			if !c.has("on-port") {
				return fmt.Errorf("TPROXY: option \"--on-port\" must be specified")
			}
			return nil
		},
		save: func(p *printer, d []byte) {
			p.opt(false, "on-port", be16(d, 24))
			p.opt(false, "on-ip", addrText(p.addr(d[8:])))
			p.opt(false, "tproxy-mark", hexMask(u32(d, 4), u32(d, 0)))
		},
	},
	{
		name: "SECMARK", target: true, fam: both, rev: 1, size: 264, user: 257, opts: "selctx:",
		set: func(_ *scope, d []byte, o option) error {
			d[0] = 1
			return putStr(d[1:257], o, o.arg)
		},
		done: needOne("SECMARK"),
		save: func(p *printer, d []byte) { p.opt(false, "selctx", cstr(d[1:257])) },
	},
	{
		name: "CONNSECMARK", target: true, fam: both, size: 1, opts: "save restore",
		set: func(_ *scope, d []byte, o option) error {
			d[0] = 1
			if o.name == "restore" {
				d[0] = 2
			}
			return nil
		},
		done: needOne("CONNSECMARK"),
		save: func(p *printer, d []byte) {
			p.flag(d[0] == 1, "save")
			p.flag(d[0] == 2, "restore")
		},
	},
	{
		name: "SYNPROXY", target: true, fam: both, size: 4, opts: "sack-perm timestamp ecn wscale: mss:",
		set: func(_ *scope, d []byte, o option) error {
			switch o.name {
			case "mss":
				v, err := num(o.arg, 65535)
				d[0] |= 1
				put16(d, 2, uint16(v))
				return err
			case "wscale":
				v, err := num(o.arg, 14)
				d[0] |= 2
				d[1] = byte(v)
				return err
			}
			d[0] |= map[string]byte{"sack-perm": 4, "timestamp": 8, "ecn": 16}[o.name]
			return nil
		},
		save: func(p *printer, d []byte) {
			p.flag(d[0]&4 != 0, "sack-perm")
			p.flag(d[0]&8 != 0, "timestamp")
			if d[0]&2 != 0 {
				p.opt(false, "wscale", d[1])
			}
			if d[0]&1 != 0 {
				p.opt(false, "mss", u16(d, 2))
			}
			p.flag(d[0]&16 != 0, "ecn")
		},
	},
}

var tcpOptions = map[string]byte{"wscale": 3, "mss": 2, "sack-permitted": 4, "sack": 5, "timestamp": 8, "md5": 19}

func ttlTarget(name, opt string, fam families) ext {
	modes := []string{opt + "-set", opt + "-inc", opt + "-dec"}
	return ext{
		name: name, target: true, fam: fam, size: 2, opts: strings.Join(modes, ": ") + ":",
		set: func(_ *scope, d []byte, o option) error {
			v, err := num(o.arg, 255)
			i, _ := valueOf(modes, o.name)
			d[0], d[1] = byte(i), byte(v)
			return err
		},
		done: needOne(name),
		save: func(p *printer, d []byte) { p.opt(false, modes[min(int(d[0]), 2)], d[1]) },
	}
}
