package rule

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// AddrSet is a set of IPv4 and IPv6 addresses. It is immutable once resolved
// and its zero value is empty.
type AddrSet struct {
	v4 []range4 // sorted, disjoint
	v6 []range6
}

type range4 struct{ lo, hi uint32 }

type u128 struct{ hi, lo uint64 }

type range6 struct{ lo, hi u128 }

func (a u128) less(b u128) bool { return a.hi < b.hi || a.hi == b.hi && a.lo < b.lo }

func (a u128) cmp(b u128) int {
	switch {
	case a.less(b):
		return -1
	case b.less(a):
		return 1
	}
	return 0
}

func (a u128) next() u128 {
	a.lo++
	if a.lo == 0 {
		a.hi++
	}
	return a
}

func (a u128) prev() u128 {
	if a.lo == 0 {
		a.hi--
	}
	a.lo--
	return a
}

func (a u128) isMax() bool { return a.hi == ^uint64(0) && a.lo == ^uint64(0) }

func (a u128) isZero() bool { return a.hi == 0 && a.lo == 0 }

func u32(a netip.Addr) uint32 {
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}

func to128(a netip.Addr) u128 {
	b := a.As16()
	return u128{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

func hostMask(bits int) u128 {
	switch {
	case bits <= 0:
		return u128{^uint64(0), ^uint64(0)}
	case bits < 64:
		return u128{^uint64(0) >> bits, ^uint64(0)}
	case bits == 64:
		return u128{0, ^uint64(0)}
	case bits < 128:
		return u128{0, ^uint64(0) >> (bits - 64)}
	}
	return u128{}
}

// Contains says whether a is in the set.
func (s *AddrSet) Contains(a netip.Addr) bool {
	if a.Is4() {
		n := u32(a)
		lo, hi := 0, len(s.v4)
		for lo < hi {
			m := int(uint(lo+hi) >> 1)
			if s.v4[m].hi < n {
				lo = m + 1
			} else {
				hi = m
			}
		}
		return lo < len(s.v4) && s.v4[lo].lo <= n
	}
	if !a.IsValid() {
		return false
	}
	n := to128(a)
	lo, hi := 0, len(s.v6)
	for lo < hi {
		m := int(uint(lo+hi) >> 1)
		if s.v6[m].hi.less(n) {
			lo = m + 1
		} else {
			hi = m
		}
	}
	return lo < len(s.v6) && !n.less(s.v6[lo].lo)
}

func (s *AddrSet) all4() bool {
	return len(s.v4) == 1 && s.v4[0] == range4{0, 1<<32 - 1}
}

func (s *AddrSet) all6() bool {
	return len(s.v6) == 1 && s.v6[0].lo.isZero() && s.v6[0].hi.isMax()
}

// All says whether every address is in the set.
func (s *AddrSet) All() bool { return s.all4() && s.all6() }

// Empty says whether no address is in the set.
func (s *AddrSet) Empty() bool { return len(s.v4) == 0 && len(s.v6) == 0 }

// Ranges calls f for every range of the set, IPv4 first, in order, until f
// returns false.
func (s *AddrSet) Ranges(f func(lo, hi netip.Addr) bool) {
	for _, r := range s.v4 {
		if !f(addr4(r.lo), addr4(r.hi)) {
			return
		}
	}
	for _, r := range s.v6 {
		if !f(addr6(r.lo), addr6(r.hi)) {
			return
		}
	}
}

// Size4 is how many IPv4 addresses the set holds, and Ranges6 how many IPv6
// ranges: what an index needs to know.
func (s *AddrSet) Size4() (n uint64) {
	for _, r := range s.v4 {
		n += uint64(r.hi-r.lo) + 1
	}
	return n
}

// Ranges6 is the number of IPv6 ranges.
func (s *AddrSet) Ranges6() int { return len(s.v6) }

func addr4(n uint32) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], n)
	return netip.AddrFrom4(b)
}

func addr6(n u128) netip.Addr {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], n.hi)
	binary.BigEndian.PutUint64(b[8:], n.lo)
	return netip.AddrFrom16(b)
}

// String lists the ranges of the set.
func (s *AddrSet) String() string {
	var b strings.Builder
	s.Ranges(func(lo, hi netip.Addr) bool {
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.WriteString(lo.String())
		if lo != hi {
			b.WriteByte('-')
			b.WriteString(hi.String())
		}
		return true
	})
	return b.String()
}

func (s *AddrSet) normalise() {
	slices.SortFunc(s.v4, func(a, b range4) int {
		if a.lo != b.lo {
			if a.lo < b.lo {
				return -1
			}
			return 1
		}
		return 0
	})
	n := 0
	for _, r := range s.v4 {
		if n > 0 && (s.v4[n-1].hi == 1<<32-1 || r.lo <= s.v4[n-1].hi+1) {
			s.v4[n-1].hi = max(s.v4[n-1].hi, r.hi)
			continue
		}
		s.v4[n] = r
		n++
	}
	s.v4 = s.v4[:n]
	slices.SortFunc(s.v6, func(a, b range6) int { return a.lo.cmp(b.lo) })
	n = 0
	for _, r := range s.v6 {
		if n > 0 && (s.v6[n-1].hi.isMax() || !s.v6[n-1].hi.next().less(r.lo)) {
			if s.v6[n-1].hi.less(r.hi) {
				s.v6[n-1].hi = r.hi
			}
			continue
		}
		s.v6[n] = r
		n++
	}
	s.v6 = s.v6[:n]
}

// minus is the part of s that is not in t. Both are normalised.
func (s *AddrSet) minus(t *AddrSet) AddrSet {
	var d AddrSet
	for _, r := range s.v4 {
		lo, done := r.lo, false
		for _, x := range t.v4 {
			if x.hi < lo {
				continue
			}
			if x.lo > r.hi {
				break
			}
			if x.lo > lo {
				d.v4 = append(d.v4, range4{lo, x.lo - 1})
			}
			if x.hi >= r.hi {
				done = true
				break
			}
			lo = x.hi + 1
		}
		if !done {
			d.v4 = append(d.v4, range4{lo, r.hi})
		}
	}
	for _, r := range s.v6 {
		lo, done := r.lo, false
		for _, x := range t.v6 {
			if x.hi.less(lo) {
				continue
			}
			if r.hi.less(x.lo) {
				break
			}
			if lo.less(x.lo) {
				d.v6 = append(d.v6, range6{lo, x.lo.prev()})
			}
			if !x.hi.less(r.hi) {
				done = true
				break
			}
			lo = x.hi.next()
		}
		if !done {
			d.v6 = append(d.v6, range6{lo, r.hi})
		}
	}
	return d
}

// PortRange is a range of ports, both ends included.
type PortRange struct{ Lo, Hi uint16 }

// PortSet is a set of ports. Immutable once resolved; the zero value is empty.
type PortSet struct{ r []PortRange }

// Contains says whether port n is in the set.
func (s *PortSet) Contains(n uint16) bool {
	for _, r := range s.r {
		if n < r.Lo {
			return false
		}
		if n <= r.Hi {
			return true
		}
	}
	return false
}

// All says whether every port is in the set.
func (s *PortSet) All() bool { return len(s.r) == 1 && s.r[0] == PortRange{0, 65535} }

// Ranges are the ranges of the set, sorted and disjoint; not to be changed.
func (s *PortSet) Ranges() []PortRange { return s.r }

// String lists the ranges of the set.
func (s *PortSet) String() string {
	var b strings.Builder
	for i, r := range s.r {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Itoa(int(r.Lo)))
		if r.Hi != r.Lo {
			b.WriteByte(':')
			b.WriteString(strconv.Itoa(int(r.Hi)))
		}
	}
	return b.String()
}

func (s *PortSet) normalise() {
	slices.SortFunc(s.r, func(a, b PortRange) int { return int(a.Lo) - int(b.Lo) })
	n := 0
	for _, r := range s.r {
		if n > 0 && int(r.Lo) <= int(s.r[n-1].Hi)+1 {
			s.r[n-1].Hi = max(s.r[n-1].Hi, r.Hi)
			continue
		}
		s.r[n] = r
		n++
	}
	s.r = s.r[:n]
}

func (s *PortSet) minus(t *PortSet) PortSet {
	var d PortSet
	for _, r := range s.r {
		lo := int(r.Lo)
		for _, x := range t.r {
			if int(x.Hi) < lo || x.Lo > r.Hi {
				continue
			}
			if int(x.Lo) > lo {
				d.r = append(d.r, PortRange{uint16(lo), x.Lo - 1})
			}
			lo = int(x.Hi) + 1
		}
		if lo <= int(r.Hi) {
			d.r = append(d.r, PortRange{uint16(lo), r.Hi})
		}
	}
	return d
}
