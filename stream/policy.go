package stream

import "net/netip"

// Policy is how a receiver resolves data that overlaps: segments of a TCP
// stream, or fragments of a packet. The names are those of Suricata's
// host-os-policy; what they mean was published by Novak and Sturges
// ("Target-Based TCP Stream Reassembly", 2007; "Target-Based Fragmentation
// Reassembly", 2005).
type Policy uint8

const (
	BSD Policy = iota // the default
	BSDRight
	OldLinux
	Linux
	OldSolaris
	Solaris
	HPUX10
	HPUX11
	IRIX
	MacOS
	Windows
	Vista
	Windows2k3
	First // what came first stays
	Last  // what came last counts
	nPolicies
)

var policyNames = [nPolicies]string{
	BSD: "bsd", BSDRight: "bsd-right", OldLinux: "old-linux", Linux: "linux", OldSolaris: "old-solaris",
	Solaris: "solaris", HPUX10: "hpux10", HPUX11: "hpux11", IRIX: "irix", MacOS: "macos", Windows: "windows",
	Vista: "vista", Windows2k3: "windows2k3", First: "first", Last: "last",
}

// String is Suricata's name.
func (p Policy) String() string {
	if p < nPolicies {
		return policyNames[p]
	}
	return "unknown"
}

// PolicyByName is the policy of that name; false if there is none.
func PolicyByName(s string) (Policy, bool) {
	for p, n := range policyNames {
		if n == s {
			return Policy(p), true
		}
	}
	return 0, false
}

// replaces says whether the bytes of a new segment [a,b) replace those of an
// old one [c,d) where the two overlap. Offsets are in the stream.
func (p Policy) replaces(a, b, c, d uint64) bool {
	switch p {
	case Last:
		return true
	case Linux: // begins before, or begins together and goes beyond
		return a < c || a == c && b > d
	case OldLinux: // begins before, or begins together and reaches the end
		return a < c || a == c && b >= d
	case BSD, BSDRight, HPUX10, IRIX, Windows, Windows2k3, MacOS: // begins before
		return a < c
	case Solaris, OldSolaris, HPUX11: // covers, or begins later and goes beyond
		if a <= c {
			return b >= d
		}
		return b > d
	}
	return false // First, Vista
}

// Exception is what happens to traffic that the engine cannot follow. The zero
// value, Auto, is drop-flow inline and ignore otherwise, as in Suricata.
type Exception uint8

const (
	Auto Exception = iota
	Ignore
	PassPacket
	PassFlow
	DropPacket
	DropFlow
	Reject
	Bypass
	nExceptions
)

var exceptionNames = [nExceptions]string{"auto", "ignore", "pass-packet", "pass-flow", "drop-packet", "drop-flow", "reject", "bypass"}

// String is Suricata's name.
func (e Exception) String() string {
	if e < nExceptions {
		return exceptionNames[e]
	}
	return "unknown"
}

// ExceptionByName is the exception policy of that name; false if there is
// none.
func ExceptionByName(s string) (Exception, bool) {
	for e, n := range exceptionNames {
		if n == s {
			return Exception(e), true
		}
	}
	return 0, false
}

func (e Exception) resolve(inline bool) Exception {
	if e != Auto {
		return e
	}
	if inline {
		return DropFlow
	}
	return Ignore
}

// HostPolicy says that hosts of a network resolve overlaps by a policy.
type HostPolicy struct {
	Net    netip.Prefix
	Policy Policy
}

// hostTable finds the policy of a host: the longest prefix wins.
type hostTable []HostPolicy

func (t hostTable) lookup(a netip.Addr) Policy {
	best, bits := BSD, -1
	for i := range t {
		if t[i].Net.Bits() > bits && t[i].Net.Contains(a) {
			best, bits = t[i].Policy, t[i].Net.Bits()
		}
	}
	return best
}
