package iptc

import (
	"fmt"
	"strings"
)

// Targets that log, queue or refuse.
var logExts = []ext{
	{
		name: "LOG", target: true, fam: both, size: 32,
		opts: "log-level: log-prefix: log-tcp-sequence log-tcp-options log-ip-options log-uid log-macdecode",
		init: func(_ *scope, d []byte) { d[0] = 4 },
		set: func(_ *scope, d []byte, o option) error {
			switch o.name {
			case "log-level":
				v, ok := valueOf(logLevels, o.arg)
				if alias, is := map[string]int{"panic": 0, "error": 3, "warn": 4}[o.arg]; is {
					v, ok = alias, true
				}
				if n, err := num(o.arg, 7); err == nil {
					v, ok = int(n), true
				}
				if !ok {
					return o.bad()
				}
				d[0] = byte(v)
			case "log-prefix":
				return putStr(d[2:32], o, o.arg)
			default:
				for _, f := range logFlags {
					if f.name == o.name {
						d[1] |= f.bit
					}
				}
			}
			return nil
		},
		save: func(p *printer, d []byte) {
			if s := cstr(d[2:32]); s != "" {
				p.opt(false, "log-prefix", quote(s))
			}
			if d[0] != 4 {
				p.opt(false, "log-level", d[0])
			}
			for _, f := range logFlags {
				p.flag(d[1]&f.bit != 0, f.name)
			}
		},
	},
	{
		name: "NFLOG", target: true, fam: both, size: 76,
		opts: "nflog-group: nflog-prefix: nflog-range: nflog-size: nflog-threshold:",
		set: func(_ *scope, d []byte, o option) error {
			switch o.name {
			case "nflog-prefix":
				return putStr(d[12:76], o, o.arg)
			case "nflog-range", "nflog-size":
				v, err := num(o.arg, 1<<32-1)
				put32(d, 0, uint32(v))
				if o.name == "nflog-size" {
					put16(d, 8, 1)
				}
				return err
			}
			v, err := num(o.arg, 65535)
			at := 4
			if o.name == "nflog-threshold" {
				at = 6
			}
			put16(d, at, uint16(v))
			return err
		},
		save: func(p *printer, d []byte) {
			if s := cstr(d[12:76]); s != "" {
				p.opt(false, "nflog-prefix", quote(s))
			}
			if v := u16(d, 4); v != 0 {
				p.opt(false, "nflog-group", v)
			}
			if u16(d, 8)&1 != 0 {
				p.opt(false, "nflog-size", u32(d, 0))
			} else if v := u32(d, 0); v != 0 {
				p.opt(false, "nflog-range", v)
			}
			if v := u16(d, 6); v != 0 {
				p.opt(false, "nflog-threshold", v)
			}
		},
	},
	nfqueueExt(0, 2), nfqueueExt(1, 4), nfqueueExt(2, 6), nfqueueExt(3, 6),
	{
		name: "REJECT", target: true, fam: only4, size: 4, opts: "reject-with:",
		init: func(_ *scope, d []byte) { d[0] = 3 },
		set:  func(_ *scope, d []byte, o option) error { return setReject(d, o, reject4) },
		save: func(p *printer, d []byte) { saveReject(p, d, reject4) },
	},
	{
		name: "REJECT", target: true, fam: only6, size: 4, opts: "reject-with:",
		init: func(_ *scope, d []byte) { d[0] = 4 },
		set:  func(_ *scope, d []byte, o option) error { return setReject(d, o, reject6) },
		save: func(p *printer, d []byte) { saveReject(p, d, reject6) },
	},
	{
		name: "AUDIT", target: true, fam: both, size: 1, opts: "type:",
		set: func(_ *scope, d []byte, o option) error {
			v, ok := valueOf(auditTypes, o.arg)
			d[0] = byte(v)
			if !ok {
				return o.bad()
			}
			return nil
		},
		done: needOne("AUDIT"),
		save: func(p *printer, d []byte) { p.opt(false, "type", auditTypes[min(int(d[0]), 2)]) },
	},
	{name: "TRACE", target: true, fam: both, save: func(*printer, []byte) {}},
	{
		name: "IDLETIMER", target: true, fam: both, rev: 1, size: 48, user: 40,
		opts: "timeout: label: alarm",
		set: func(_ *scope, d []byte, o option) error {
			switch o.name {
			case "label":
				return putStr(d[4:32], o, o.arg)
			case "alarm":
				d[33] = 1
				return nil
			}
			v, err := num(o.arg, 1<<32-1)
			put32(d, 0, uint32(v))
			return err
		},
		done: func(c *scope, _ []byte) error {
			if !c.has("timeout") || !c.has("label") {
				return fmt.Errorf("IDLETIMER: --timeout and --label are needed")
			}
			return nil
		},
		save: func(p *printer, d []byte) {
			p.opt(false, "timeout", u32(d, 0))
			p.opt(false, "label", cstr(d[4:32]))
			p.flag(d[33] == 1, "alarm")
		},
	},
}

var (
	logLevels = []string{"emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"}
	logFlags  = []struct {
		name string
		bit  byte
	}{{"log-tcp-sequence", 1}, {"log-tcp-options", 2}, {"log-ip-options", 4}, {"log-uid", 8}, {"log-macdecode", 32}}
	auditTypes = []string{"accept", "drop", "reject"}
	reject4    = []string{"icmp-net-unreachable", "icmp-host-unreachable", "icmp-proto-unreachable", "icmp-port-unreachable",
		"", "icmp-net-prohibited", "icmp-host-prohibited", "tcp-reset", "icmp-admin-prohibited"}
	reject6 = []string{"icmp6-no-route", "icmp6-adm-prohibited", "", "icmp6-addr-unreachable", "icmp6-port-unreachable", "",
		"tcp-reset", "icmp6-policy-fail", "icmp6-reject-route"}
	// older spellings
	rejectAlias = map[string]string{"net-unreach": "icmp-net-unreachable", "host-unreach": "icmp-host-unreachable",
		"proto-unreach": "icmp-proto-unreachable", "port-unreach": "icmp-port-unreachable", "net-prohib": "icmp-net-prohibited",
		"host-prohib": "icmp-host-prohibited", "admin-prohib": "icmp-admin-prohibited", "tcp-rst": "tcp-reset",
		"no-route": "icmp6-no-route", "adm-prohibited": "icmp6-adm-prohibited", "addr-unreach": "icmp6-addr-unreachable",
		"policy-fail": "icmp6-policy-fail", "reject-route": "icmp6-reject-route"}
)

func setReject(d []byte, o option, names []string) error {
	s := o.arg
	if full, ok := rejectAlias[s]; ok {
		s = full
	}
	if s == "port-unreach" || s == "icmp-port-unreachable" && len(names) > 2 && names[4] == "icmp6-port-unreachable" {
		s = "icmp6-port-unreachable"
	}
	v, ok := valueOf(names, s)
	if !ok {
		return fmt.Errorf("unknown reject type %q", o.arg)
	}
	put32(d, 0, uint32(v))
	return nil
}

func saveReject(p *printer, d []byte, names []string) {
	if v := u32(d, 0); int(v) < len(names) && names[v] != "" {
		p.opt(false, "reject-with", names[v])
	}
}

// nfqueueExt is NFQUEUE in a revision: queuenum, then queues_total, then bypass
// (revision 2) or flags (3).
func nfqueueExt(rev uint8, size int) ext {
	return ext{
		name: "NFQUEUE", target: true, fam: both, rev: rev, size: size,
		opts: "queue-num: queue-balance: queue-bypass queue-cpu-fanout",
		init: func(_ *scope, d []byte) { put16(d, 2, 1) },
		set: func(_ *scope, d []byte, o option) error {
			switch o.name {
			case "queue-num":
				v, err := num(o.arg, 65535)
				put16(d, 0, uint16(v))
				return err
			case "queue-balance":
				a, b, has := strings.Cut(o.arg, ":")
				lo, err := num(a, 65535)
				hi, err2 := num(b, 65535)
				if !has || err != nil || err2 != nil || lo >= hi {
					return o.bad()
				}
				put16(d, 0, uint16(lo))
				put16(d, 2, uint16(hi-lo+1))
			case "queue-bypass":
				d[4] |= 1
			case "queue-cpu-fanout":
				d[4] |= 2
			}
			return nil
		},
		done: func(c *scope, d []byte) error {
			if d[4]&2 != 0 && !c.has("queue-balance") {
				return fmt.Errorf("NFQUEUE: --queue-cpu-fanout needs --queue-balance")
			}
			return nil
		},
		save: func(p *printer, d []byte) {
			n, total := u16(d, 0), uint16(1)
			if rev >= 1 {
				total = u16(d, 2)
			}
			if total > 1 {
				p.opt(false, "queue-balance", fmt.Sprintf("%d:%d", n, uint32(n)+uint32(total)-1))
			} else {
				p.opt(false, "queue-num", n)
			}
			p.flag(rev >= 2 && d[4]&1 != 0, "queue-bypass")
			p.flag(rev >= 3 && d[4]&2 != 0, "queue-cpu-fanout")
		},
	}
}
