package iptc

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// IP sets. Rules hold a set's number; its name is asked of the kernel, in the
// calling thread's network namespace (socket option SO_IP_SET,
// include/uapi/linux/netfilter/ipset/ip_set.h).
var setExts = []ext{
	{
		name: "set", fam: both, rev: 4, size: 48,
		opts: "match-set:: return-nomatch update-counters update-subcounters packets-eq: packets-lt: packets-gt: " +
			"bytes-eq: bytes-lt: bytes-gt:",
		set:  setMatch,
		done: needOne("set"),
		save: func(p *printer, d []byte) {
			p.set(d[3]&1 != 0, "match-set", d)
			flags := u32(d, 40)
			p.flag(flags&ipsetNomatch != 0, "return-nomatch")
			if flags&ipsetSkip != 0 {
				p.opt(true, "update-counters")
			}
			if flags&ipsetSkipSub != 0 {
				p.opt(true, "update-subcounters")
			}
			for i, n := range []string{"packets", "bytes"} {
				if op := d[16+16*i]; op != 0 {
					p.opt(op == 2, n+[...]string{"", "-eq", "-eq", "-lt", "-gt", "", "", ""}[op&7], u64(d, 8+16*i))
				}
			}
		},
	},
	{
		name: "SET", target: true, fam: both, rev: 3, size: 20,
		opts: "add-set:: del-set:: map-set:: timeout: exist map-mark map-prio map-queue",
		init: func(_ *scope, d []byte) {
			for i := range 3 {
				put16(d, 4*i, ipsetNone)
			}
			put32(d, 16, 1<<32-1)
		},
		set:  setTarget,
		done: needOne("SET"),
		save: func(p *printer, d []byte) {
			flags := u32(d, 12)
			if u16(d, 0) != ipsetNone {
				p.set(false, "add-set", d)
				p.flag(flags&ipsetExist != 0, "exist")
				if t := u32(d, 16); t != 1<<32-1 {
					p.opt(false, "timeout", t)
				}
			}
			if u16(d, 4) != ipsetNone {
				p.set(false, "del-set", d[4:])
			}
			if u16(d, 8) != ipsetNone {
				p.set(false, "map-set", d[8:])
				p.flag(flags&ipsetMark != 0, "map-mark")
				p.flag(flags&ipsetPrio != 0, "map-prio")
				p.flag(flags&ipsetQueue != 0, "map-queue")
			}
		},
	},
}

const (
	ipsetNone                                      = 65535
	ipsetExist, ipsetSkip, ipsetSkipSub            = 1, 8, 16
	ipsetCounters, ipsetNomatch                    = 32, 128
	ipsetMark, ipsetPrio, ipsetQueue               = 256, 512, 1024
	ipsetSockopt, ipsetByName, ipsetByIndex        = 83, 6, 7
	ipsetVersion                            uint32 = 0x100
	ipsetNameLen                                   = 32
)

// putSet writes struct xt_set_info: index u16, dimensions, and a bit for each
// that is a source; bit 0 inverts.
func putSet(d []byte, o option) error {
	index, err := setIndex(o.arg)
	if err != nil {
		return err
	}
	put16(d, 0, index)
	dims := strings.Split(o.arg2, ",")
	if len(dims) > 6 {
		return fmt.Errorf("at most six of src and dst: %q", o.arg2)
	}
	d[2], d[3] = byte(len(dims)), boolean(o.not)
	for i, s := range dims {
		switch s {
		case "src":
			d[3] |= 2 << i
		case "dst":
		default:
			return fmt.Errorf("want src or dst, not %q", s)
		}
	}
	return nil
}

// set prints an option with a set.
func (p *printer) set(not bool, name string, d []byte) {
	set, err := setName(u16(d, 0))
	if err != nil {
		p.failed = true
		return
	}
	var dims []string
	for i := range min(int(d[2]), 6) {
		if d[3]&(2<<i) != 0 {
			dims = append(dims, "src")
		} else {
			dims = append(dims, "dst")
		}
	}
	p.opt(not, name, set, strings.Join(dims, ","))
}

func setMatch(_ *scope, d []byte, o option) error {
	flag := func(v uint32) { put32(d, 40, u32(d, 40)|v) }
	switch o.name {
	case "match-set":
		return putSet(d, o)
	case "return-nomatch":
		flag(ipsetNomatch)
	case "update-counters":
		if o.not {
			flag(ipsetSkip)
		}
	case "update-subcounters":
		if o.not {
			flag(ipsetSkipSub)
		}
	default:
		v, err := num(o.arg, 1<<64-1)
		at := 8
		if o.name[0] == 'b' {
			at = 24
		}
		put64(d, at, v)
		switch {
		case strings.HasSuffix(o.name, "-lt"):
			d[at+8] = 3
		case strings.HasSuffix(o.name, "-gt"):
			d[at+8] = 4
		default:
			d[at+8] = 1 + boolean(o.not)
		}
		return err
	}
	return nil
}

func setTarget(_ *scope, d []byte, o option) error {
	flag := func(v uint32) { put32(d, 12, u32(d, 12)|v) }
	switch o.name {
	case "add-set":
		return putSet(d, o)
	case "del-set":
		return putSet(d[4:], o)
	case "map-set":
		return putSet(d[8:], o)
	case "timeout":
		v, err := num(o.arg, 1<<32-2)
		put32(d, 16, uint32(v))
		return err
	case "exist":
		flag(ipsetExist)
	case "map-mark":
		flag(ipsetMark)
	case "map-prio":
		flag(ipsetPrio)
	case "map-queue":
		flag(ipsetQueue)
	}
	return nil
}

// askSet sends struct ip_set_req_get_set: op u32, version u32, name[32] or index
// u16.
func askSet(op uint32, fill func([]byte)) ([]byte, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	v := make([]byte, 8)
	put32(v, 0, ipsetVersion)
	if _, err := getsockopt(fd, unix.IPPROTO_IP, ipsetSockopt, v); err != nil {
		return nil, fmt.Errorf("IP sets: %w", err)
	}
	b := make([]byte, 8+ipsetNameLen)
	put32(b, 0, op)
	put32(b, 4, u32(v, 4))
	fill(b[8:])
	if _, err := getsockopt(fd, unix.IPPROTO_IP, ipsetSockopt, b); err != nil {
		return nil, fmt.Errorf("IP sets: %w", err)
	}
	return b[8:], nil
}

func setIndex(name string) (uint16, error) {
	if len(name) >= ipsetNameLen || name == "" {
		return 0, fmt.Errorf("bad set name %q", name)
	}
	b, err := askSet(ipsetByName, func(b []byte) { copy(b, name) })
	if err == nil && u16(b, 0) == ipsetNone {
		err = fmt.Errorf("set %s doesn't exist", name)
	}
	if err != nil {
		return 0, err
	}
	return u16(b, 0), nil
}

func setName(index uint16) (string, error) {
	b, err := askSet(ipsetByIndex, func(b []byte) { put16(b, 0, index) })
	if err != nil {
		return "", err
	}
	if s := cstr(b); s != "" {
		return s, nil
	}
	return "", errors.New("no set of that number")
}
