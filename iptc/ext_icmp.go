package iptc

import (
	"fmt"
	"strings"
)

// icmpName is a type, or a type and code, by name (RFC 792, RFC 4443 and IANA's
// registries; the spellings are iptables').
type icmpName struct {
	name        string
	typ, lo, hi uint8
}

var icmp4Names = []icmpName{
	{"any", 255, 0, 255},
	{"echo-reply", 0, 0, 255}, {"pong", 0, 0, 255},
	{"destination-unreachable", 3, 0, 255}, {"network-unreachable", 3, 0, 0}, {"host-unreachable", 3, 1, 1},
	{"protocol-unreachable", 3, 2, 2}, {"port-unreachable", 3, 3, 3}, {"fragmentation-needed", 3, 4, 4},
	{"source-route-failed", 3, 5, 5}, {"network-unknown", 3, 6, 6}, {"host-unknown", 3, 7, 7},
	{"network-prohibited", 3, 9, 9}, {"host-prohibited", 3, 10, 10}, {"TOS-network-unreachable", 3, 11, 11},
	{"TOS-host-unreachable", 3, 12, 12}, {"communication-prohibited", 3, 13, 13},
	{"host-precedence-violation", 3, 14, 14}, {"precedence-cutoff", 3, 15, 15},
	{"source-quench", 4, 0, 255},
	{"redirect", 5, 0, 255}, {"network-redirect", 5, 0, 0}, {"host-redirect", 5, 1, 1},
	{"TOS-network-redirect", 5, 2, 2}, {"TOS-host-redirect", 5, 3, 3},
	{"echo-request", 8, 0, 255}, {"ping", 8, 0, 255},
	{"router-advertisement", 9, 0, 255}, {"router-solicitation", 10, 0, 255},
	{"time-exceeded", 11, 0, 255}, {"ttl-exceeded", 11, 0, 255}, {"ttl-zero-during-transit", 11, 0, 0},
	{"ttl-zero-during-reassembly", 11, 1, 1},
	{"parameter-problem", 12, 0, 255}, {"ip-header-bad", 12, 0, 0}, {"required-option-missing", 12, 1, 1},
	{"timestamp-request", 13, 0, 255}, {"timestamp-reply", 14, 0, 255},
	{"address-mask-request", 17, 0, 255}, {"address-mask-reply", 18, 0, 255},
}

var icmp6Names = []icmpName{
	{"destination-unreachable", 1, 0, 255}, {"no-route", 1, 0, 0}, {"communication-prohibited", 1, 1, 1},
	{"beyond-scope", 1, 2, 2}, {"address-unreachable", 1, 3, 3}, {"port-unreachable", 1, 4, 4},
	{"failed-policy", 1, 5, 5}, {"reject-route", 1, 6, 6},
	{"packet-too-big", 2, 0, 255},
	{"time-exceeded", 3, 0, 255}, {"ttl-exceeded", 3, 0, 255}, {"ttl-zero-during-transit", 3, 0, 0},
	{"ttl-zero-during-reassembly", 3, 1, 1},
	{"parameter-problem", 4, 0, 255}, {"bad-header", 4, 0, 0}, {"unknown-header-type", 4, 1, 1}, {"unknown-option", 4, 2, 2},
	{"echo-request", 128, 0, 255}, {"ping", 128, 0, 255}, {"echo-reply", 129, 0, 255}, {"pong", 129, 0, 255},
	{"mld-listener-query", 130, 0, 255}, {"mld-listener-report", 131, 0, 255},
	{"mld-listener-done", 132, 0, 255}, {"mld-listener-reduction", 132, 0, 255},
	{"router-solicitation", 133, 0, 255}, {"router-advertisement", 134, 0, 255},
	{"neighbour-solicitation", 135, 0, 255}, {"neighbor-solicitation", 135, 0, 255},
	{"neighbour-advertisement", 136, 0, 255}, {"neighbor-advertisement", 136, 0, 255},
	{"redirect", 137, 0, 255},
}

var icmpExts = []ext{
	icmpExt("icmp", only4, "icmp-type", icmp4Names),
	icmpExt("icmp6", only6, "icmpv6-type", icmp6Names),
}

func icmpExt(name string, fam families, opt string, names []icmpName) ext {
	return ext{
		name: name, fam: fam, size: 4, opts: opt + ":",
		init: func(c *scope, d []byte) {
			d[2] = 255
			if c.f == IPv4 {
				d[0] = 255
			}
		},
		set: func(c *scope, d []byte, o option) error {
			d[3] = boolean(o.not)
			for _, n := range names {
				if strings.EqualFold(n.name, o.arg) {
					d[0], d[1], d[2] = n.typ, n.lo, n.hi
					return nil
				}
			}
			t, code, has := strings.Cut(o.arg, "/")
			v, err := num(t, 255)
			if err != nil {
				return fmt.Errorf("unknown %s type %q", strings.ToUpper(name), o.arg)
			}
			d[0], d[1], d[2] = byte(v), 0, 255
			if has {
				v, err = num(code, 255)
				d[1], d[2] = byte(v), byte(v)
			}
			return err
		},
		done: func(c *scope, _ []byte) error {
			if c.f == IPv6 && !c.has(opt) {
				return fmt.Errorf("option \"--%s\" must be specified", opt)
			}
			return nil
		},
		save: func(p *printer, d []byte) {
			if name == "icmp" && d[0] == 255 {
				p.opt(d[3]&1 != 0, opt, "any")
				return
			}
			s := fmt.Sprint(d[0])
			if d[1] != 0 || d[2] != 255 {
				s += fmt.Sprintf("/%d", d[1])
			}
			p.opt(d[3]&1 != 0, opt, s)
		},
	}
}
