package iptc

import (
	"encoding/binary"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Family chooses between ip_tables and ip6_tables. The zero value is IPv4.
type Family uint8

const (
	IPv4 Family = iota
	IPv6
)

// String returns "IPv4" or "IPv6".
func (f Family) String() string {
	if f == IPv6 {
		return "IPv6"
	}
	return "IPv4"
}

// layout describes one family's C structures on a 64-bit kernel: everything in
// which ip_tables and ip6_tables differ (include/uapi/linux/netfilter_ipv4/ip_tables.h,
// netfilter_ipv6/ip6_tables.h). All numbers are bytes or byte offsets.
type layout struct {
	domain, level             int // of the control socket
	revMatch, revTarget       int // socket options that ask for a revision
	addr                      int // size of an address
	src, dst, smsk, dmsk      int
	in, out, inMask, outMask  int
	proto                     int
	tos                       int // -1: none
	flags, inv                int
	ip                        int // size of ipt_ip or ip6t_ip6
	targetOff, nextOff        int
	comefrom, counters, entry int
	gotoFlag                  byte
	protoFlag                 byte // set in flags when proto is looked at
	procNames                 string
}

var layouts = [2]layout{
	IPv4: {
		domain: unix.AF_INET, level: unix.IPPROTO_IP, revMatch: 66, revTarget: 67,
		addr: 4, src: 0, dst: 4, smsk: 8, dmsk: 12, in: 16, out: 32, inMask: 48, outMask: 64,
		proto: 80, tos: -1, flags: 82, inv: 83, ip: 84,
		targetOff: 88, nextOff: 90, comefrom: 92, counters: 96, entry: 112,
		gotoFlag: 2, procNames: "/proc/net/ip_tables_names",
	},
	IPv6: {
		domain: unix.AF_INET6, level: unix.IPPROTO_IPV6, revMatch: 68, revTarget: 69,
		addr: 16, src: 0, dst: 16, smsk: 32, dmsk: 48, in: 64, out: 80, inMask: 96, outMask: 112,
		proto: 128, tos: 130, flags: 131, inv: 132, ip: 136,
		targetOff: 140, nextOff: 142, comefrom: 144, counters: 152, entry: 168,
		gotoFlag: 4, protoFlag: 1, procNames: "/proc/net/ip6_tables_names",
	},
}

func (f Family) layout() *layout { return &layouts[f&1] }

const (
	ifNameSize  = 16
	headSize    = 32 // struct xt_entry_match and xt_entry_target
	nameMax     = 29 // XT_EXTENSION_MAXNAMELEN, with the NUL
	tableMax    = 32 // XT_TABLE_MAXNAMELEN, with the NUL
	standardLen = 40
	errorLen    = 64
	counterSize = 16
	hooks       = 5

	optReplace     = 64 // IPT_SO_SET_REPLACE
	optAddCounters = 65
	optGetInfo     = 64
	optGetEntries  = 65
)

// native is the byte order of the tables: the machine's own.
var native = binary.NativeEndian

// wide tells a 64-bit process; the compat layout of 32-bit ones is not spoken.
const wide = unsafe.Sizeof(uintptr(0)) == 8

var hookNames = [hooks]string{"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"}

func align8(n int) int { return (n + 7) &^ 7 }
