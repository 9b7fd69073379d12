package iptc

import (
	"fmt"
	"os/user"
	"strconv"
	"strings"
)

// What this host knows about a packet: owner, control group, socket, processor,
// who was seen lately.
var localExts = []ext{
	{
		name: "owner", fam: both, rev: 1, size: 20, opts: "uid-owner: gid-owner: socket-exists suppl-groups",
		set: func(_ *scope, d []byte, o option) error {
			i, _ := valueOf([]string{"uid-owner", "gid-owner", "socket-exists", "suppl-groups"}, o.name)
			d[16] |= 1 << i
			if o.not {
				d[17] |= 1 << i
			}
			if i > 1 {
				return nil
			}
			lo, hi, err := ownerRange(o.arg, i == 1)
			put32(d, 8*i, lo)
			put32(d, 8*i+4, hi)
			return err
		},
		done: needOne("owner"),
		save: func(p *printer, d []byte) {
			p.flag2(d, 2, "socket-exists")
			for i, n := range []string{"uid-owner", "gid-owner"} {
				if d[16]&(1<<i) != 0 {
					lo, hi := u32(d, 8*i), u32(d, 8*i+4)
					s := fmt.Sprint(lo)
					if lo != hi {
						s = fmt.Sprintf("%d-%d", lo, hi)
					}
					p.opt(d[17]&(1<<i) != 0, n, s)
				}
			}
			p.flag2(d, 3, "suppl-groups")
		},
	},
	{
		name: "cgroup", fam: both, rev: 2, size: 528, user: 520, opts: "path: cgroup:",
		set: func(_ *scope, d []byte, o option) error {
			if o.name == "path" {
				d[0], d[2] = 1, boolean(o.not)
				return putStr(d[4:516], o, o.arg)
			}
			v, err := num(o.arg, 1<<32-1)
			d[1], d[3] = 1, boolean(o.not)
			put32(d, 4, uint32(v))
			return err
		},
		done: needOne("cgroup"),
		save: func(p *printer, d []byte) {
			if d[0] != 0 {
				s := quote(cstr(d[4:516]))
				if s[0] != '"' { // always between quotes here
					s = `"` + s + `"`
				}
				p.opt(d[2] != 0, "path", s)
			}
			if d[1] != 0 {
				p.opt(d[3] != 0, "cgroup", u32(d, 4))
			}
		},
	},
	{
		name: "socket", fam: both, rev: 3, size: 1, opts: "transparent nowildcard restore-skmark",
		set: func(_ *scope, d []byte, o option) error {
			i, _ := valueOf(socketFlags, o.name)
			d[0] |= 1 << i
			return nil
		},
		save: func(p *printer, d []byte) {
			for i, n := range socketFlags {
				p.flag(d[0]&(1<<i) != 0, n)
			}
		},
	},
	{
		name: "cpu", fam: both, size: 8, opts: "cpu:",
		set: func(_ *scope, d []byte, o option) error {
			v, err := num(o.arg, 1<<32-1)
			put32(d, 0, uint32(v))
			d[4] = boolean(o.not)
			return err
		},
		done: needOne("cpu"),
		save: func(p *printer, d []byte) { p.opt(u32(d, 4) != 0, "cpu", u32(d, 0)) },
	},
	{
		name: "cluster", fam: both, size: 16,
		opts: "cluster-total-nodes: cluster-local-node: cluster-local-nodemask: cluster-hash-seed:",
		set: func(_ *scope, d []byte, o option) error {
			v, err := num(o.arg, 1<<32-1)
			if err != nil {
				return err
			}
			switch o.name {
			case "cluster-total-nodes":
				put32(d, 0, uint32(v))
			case "cluster-local-node":
				if v < 1 || v > 32 {
					return o.bad()
				}
				put32(d, 4, 1<<(v-1))
			case "cluster-local-nodemask":
				put32(d, 4, uint32(v))
			case "cluster-hash-seed":
				put32(d, 8, uint32(v))
				return nil
			}
			if o.not {
				put32(d, 12, 1)
			}
			return nil
		},
		done: func(c *scope, _ []byte) error {
			if len(c.seen) < 3 {
				return fmt.Errorf("cluster match: --cluster-total-nodes, --cluster-local-node and --cluster-hash-seed are needed")
			}
			return nil
		},
		save: func(p *printer, d []byte) {
			p.opt(u32(d, 12)&1 != 0, "cluster-local-nodemask", fmt.Sprintf("0x%08x", u32(d, 4)))
			p.opt(false, "cluster-total-nodes", u32(d, 0))
			p.opt(false, "cluster-hash-seed", fmt.Sprintf("0x%08x", u32(d, 8)))
		},
	},
	{
		name: "comment", fam: both, size: 256, opts: "comment:",
		set:  func(_ *scope, d []byte, o option) error { return putStr(d[:256], o, o.arg) },
		done: needOne("comment"),
		save: func(p *printer, d []byte) { p.opt(false, "comment", quote(cstr(d))) },
	},
	{
		name: "recent", fam: both, rev: 1, size: 228,
		opts: "set rcheck update remove seconds: hitcount: reap rttl name: mask: rsource rdest",
		init: func(c *scope, d []byte) {
			copy(d[10:], "DEFAULT")
			prefixMask(d[212:228], 128)
		},
		set:  setRecent,
		done: needOne("recent"),
		save: func(p *printer, d []byte) {
			how := d[8]
			not := d[9] != 0
			if not {
				p.b.WriteString(" !")
			}
			for i, n := range recentOps {
				p.flag(how&(1<<i) != 0 && i < 4, n)
			}
			if v := u32(d, 0); v != 0 {
				p.opt(false, "seconds", v)
			}
			p.flag(how&32 != 0, "reap")
			if v := u32(d, 4); v != 0 {
				p.opt(false, "hitcount", v)
			}
			p.flag(how&16 != 0, "rttl")
			p.opt(false, "name", cstr(d[10:210]))
			p.opt(false, "mask", addrText(p.addr(d[212:])))
			if d[210] == 0 {
				p.opt(false, "rsource")
			} else {
				p.opt(false, "rdest")
			}
		},
	},
}

var (
	socketFlags = []string{"transparent", "nowildcard", "restore-skmark"}
	recentOps   = []string{"rcheck", "set", "update", "remove", "rttl", "reap"}
)

// flag2 prints owner's flag number i.
func (p *printer) flag2(d []byte, i int, name string) {
	if d[16]&(1<<i) != 0 {
		p.opt(d[17]&(1<<i) != 0, name)
	}
}

func ownerRange(s string, group bool) (lo, hi uint32, err error) {
	name := s
	if group {
		if g, err := user.LookupGroup(s); err == nil {
			name = g.Gid
		}
	} else if u, err := user.Lookup(s); err == nil {
		name = u.Uid
	}
	a, b, has := strings.Cut(name, "-")
	if !has {
		b = a
	}
	x, err := strconv.ParseUint(a, 10, 32)
	y, err2 := strconv.ParseUint(b, 10, 32)
	if err != nil || err2 != nil {
		return 0, 0, fmt.Errorf("bad owner %q", s)
	}
	return uint32(x), uint32(y), nil
}

func setRecent(c *scope, d []byte, o option) error {
	switch o.name {
	case "set", "rcheck", "update", "remove", "rttl", "reap":
		i, _ := valueOf(recentOps, o.name)
		d[8] |= 1 << i
		d[9] |= boolean(o.not)
	case "seconds", "hitcount":
		v, err := num(o.arg, 1<<32-1)
		at := 0
		if o.name == "hitcount" {
			at = 4
		}
		put32(d, at, uint32(v))
		return err
	case "name":
		return putStr(d[10:210], o, o.arg)
	case "mask":
		a, err := c.parseAddr(o.arg)
		if err != nil {
			return err
		}
		clear(d[212:228])
		copy(d[212:], a.AsSlice())
	case "rsource":
		d[210] = 0
	case "rdest":
		d[210] = 1
	}
	return nil
}
