package divert

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/garita/garita/packet"
)

// Fail is what becomes of traffic when nobody answers the queues.
type Fail uint8

const (
	// FailOpen lets it pass.
	FailOpen Fail = iota
	// FailClosed drops it.
	FailClosed
)

// String is "open" or "closed".
func (f Fail) String() string {
	if f == FailClosed {
		return "closed"
	}
	return "open"
}

// Spec says which traffic goes where. The zero value diverts everything that
// comes in, goes out or is forwarded, except the lifelines, into queue 0, and
// fails open.
type Spec struct {
	// Hooks at which to take packets; nil means Input, Output and Forward.
	Hooks []packet.Hook
	// Protocols are IP protocol numbers; nil means all, or with Ports those
	// that have ports (TCP, UDP, SCTP, DCCP, UDP-Lite).
	Protocols []uint8
	// Ports are matched against the source and the destination port; nil means
	// all. Only the first fragment of a packet has ports: where the namespace
	// does not reassemble (no conntrack), later fragments are not diverted.
	Ports []PortRange
	// In and Out are interface names, exact or with a trailing + or * that
	// stands for any rest. Each is applied at the hooks that know that side:
	// In at Prerouting, Input and Forward, Out at Forward, Output and
	// Postrouting. A hook that knows neither of the sides given takes nothing.
	In, Out []string

	// Queue is the first queue, Queues how many follow on (0 means 1). Both
	// directions of a flow go to the same one.
	Queue, Queues uint16

	// Fail is what happens when no program has the queue bound.
	Fail Fail

	// Lifelines are never diverted.
	Lifelines Lifelines

	// Marks is the part of the packet mark that is garita's.
	Marks Marks

	// SpareDecided spares flows whose accepted packets carried the mark
	// Diversion.Decided: the mark is noted with their connection, and what
	// follows is not diverted. It has the kernel track connections.
	SpareDecided bool
	// Generation tells the decided flows of this diversion from those of
	// earlier ones, as far as the mark's field has room.
	Generation uint8

	// Priority of the base chain at each hook (index is packet.Hook). 0 means
	// the default: -161 (behind conntrack and before mangle, so that the host's
	// own filter still sees what we accept), at Postrouting 161 (behind source
	// NAT). 0 itself, where everybody's filter sits, cannot be asked for; nor
	// can priorities the kernel reserves.
	Priority [5]int32

	// Backend forces the way to queue; the zero value takes the best there is.
	Backend Backend

	// NetNS is an open file of the network namespace to work in; 0 means that
	// of the calling thread (lock the goroutine to it if it is not the
	// process's).
	NetNS int
}

// Backend is the kernel facility that queues.
type Backend uint8

const (
	// BackendAuto takes the first of the others that this kernel has.
	BackendAuto Backend = iota
	// BackendNative is the nftables queue expression (CONFIG_NFT_QUEUE).
	BackendNative
	// BackendCompat is the xtables target NFQUEUE inside an nftables rule
	// (CONFIG_NFT_COMPAT and CONFIG_NETFILTER_XT_TARGET_NFQUEUE).
	BackendCompat
	// BackendLegacy is the NFQUEUE target in rules of the legacy tables
	// (ip_tables, ip6_tables): security, or mangle at Prerouting, Postrouting and
	// where there is no security. IPv4 and IPv6 are changed one after the other,
	// and the rules outlive the process.
	BackendLegacy
)

// String is "auto", "native", "compat" or "legacy".
func (b Backend) String() string {
	switch b {
	case BackendNative:
		return "native"
	case BackendCompat:
		return "compat"
	case BackendLegacy:
		return "legacy"
	}
	return "auto"
}

// ParseBackend reads the name of a backend.
func ParseBackend(s string) (Backend, error) {
	for b := BackendAuto; b <= BackendLegacy; b++ {
		if s == b.String() {
			return b, nil
		}
	}
	return BackendAuto, &SpecError{Field: "Backend", Value: s, Why: "is neither auto, native, compat nor legacy"}
}

// PortRange is one port, or First to Last inclusive. Last 0 means First.
type PortRange struct{ First, Last uint16 }

func (r PortRange) last() uint16 {
	if r.Last == 0 {
		return r.First
	}
	return r.Last
}

// Lifelines are kinds of traffic that are spared so that a mistake in a rule
// does not cut the operator off. The zero value spares them all.
type Lifelines struct {
	// SSHPorts are the ports of this host's ssh server; TCP from and to this
	// host on them is spared. SSH that is forwarded to others is not. nil means
	// the ports of /etc/ssh/sshd_config; use an empty slice for none.
	SSHPorts []uint16
	// SSHConnection is the environment variable SSH_CONNECTION of the session
	// garita was started from ("client port server port"); the server port is
	// spared too. Empty: none.
	SSHConnection string
	// DivertLoopback takes packets of the loopback interface too.
	DivertLoopback bool
	// DivertSSH spares no ssh, whatever SSHPorts and SSHConnection say.
	DivertSSH bool
	// DivertNeighbours takes IPv6 neighbour discovery (ICMPv6 133–137 with hop
	// limit 255, RFC 4861) and multicast listener reports (130–132, 143 with
	// hop limit 1, RFC 3810) too.
	DivertNeighbours bool
	// DivertDHCP takes this host's DHCP (UDP 67/68, 546/547) too. Forwarded
	// DHCP is always diverted.
	DivertDHCP bool
}

// Marks is a field of the packet mark. Other programs use other bits; the
// default keeps clear of those of Kubernetes (0xc000), Cilium (0xf00),
// Tailscale (0xff0000) and small hand-made numbers.
type Marks struct {
	// Mask is the field: consecutive bits, at least one; 0 means 0x1e000000.
	Mask uint32
}

const defaultMarkMask = 0x1e000000

// Field is the mask in force.
func (m Marks) Field() uint32 {
	if m.Mask == 0 {
		return defaultMarkMask
	}
	return m.Mask
}

// Own is the mark (a single bit of the field) of packets that are never
// diverted: set it with SO_MARK on garita's own sockets and on packets it
// injects, and in the mark of a Repeat verdict so that the packet does not come
// back for ever.
func (m Marks) Own() uint32 {
	mask := m.Field()
	return mask & -mask
}

// Decided is the mark of a flow that needs no more looking at: the second bit
// of the field, and in those above the generation. 0 if the field has one bit.
func (m Marks) Decided(generation uint8) uint32 {
	own, mask := m.Own(), m.Field()
	if mask == own {
		return 0
	}
	return (own<<1 | uint32(generation)*(own<<2)&mask) & mask
}

// SpecError says what is wrong with a Spec. Nothing was changed.
type SpecError struct {
	Field string // name of the field of Spec
	Value string
	Why   string
}

func (e *SpecError) Error() string {
	return fmt.Sprintf("divert: %s %q: %s", e.Field, e.Value, e.Why)
}

// OneSided says whether of some connections only one direction is diverted: of
// this host's own by Input without Output, of forwarded ones by the name of one
// interface. Who follows connections must know.
func (s *Spec) OneSided() bool {
	at := func(hooks ...packet.Hook) bool {
		return slices.ContainsFunc(hooks, func(h packet.Hook) bool { return slices.Contains(s.hooks(), h) })
	}
	filtered := len(s.In) > 0 || len(s.Out) > 0
	in := at(packet.Input, packet.Prerouting) && (len(s.In) > 0 || !filtered)
	out := at(packet.Output, packet.Postrouting) && (len(s.Out) > 0 || !filtered)
	if in != out || in && !slices.Equal(slices.Sorted(slices.Values(s.In)), slices.Sorted(slices.Values(s.Out))) {
		return true
	}
	one := func(names []string) bool { return len(names) == 1 && !strings.ContainsAny(names[0], "+*") }
	return at(packet.Forward) && (one(s.In) || one(s.Out))
}

const maxQueues = 1024

// Validate reports everything that is wrong with s as [*SpecError] values
// joined together, or nil.
func (s *Spec) Validate() error {
	var errs []error
	bad := func(field, value, why string) {
		errs = append(errs, &SpecError{Field: field, Value: value, Why: why})
	}
	for _, h := range s.Hooks {
		if h > packet.Postrouting {
			bad("Hooks", strconv.Itoa(int(h)), "no such hook")
		}
	}
	for _, r := range s.Ports {
		v := fmt.Sprintf("%d-%d", r.First, r.last())
		switch {
		case r.First == 0 && r.Last == 0:
			bad("Ports", v, "port 0 is no port")
		case r.last() < r.First:
			bad("Ports", v, "the range ends before it begins")
		}
	}
	if len(s.Ports) != 0 {
		for _, p := range s.Protocols {
			if !hasPorts(p) {
				bad("Protocols", strconv.Itoa(int(p)), "this protocol has no ports, but ports were given")
			}
		}
	}
	for _, f := range []struct {
		name string
		list []string
	}{{"In", s.In}, {"Out", s.Out}} {
		for _, n := range f.list {
			if why := badIfname(n); why != "" {
				bad(f.name, n, why)
			}
		}
	}
	if int(s.Queue)+int(s.queues())-1 > 0xffff {
		bad("Queues", strconv.Itoa(int(s.queues())), "the last queue number would be above 65535")
	}
	if s.queues() > maxQueues {
		bad("Queues", strconv.Itoa(int(s.Queues)), fmt.Sprintf("more than %d", maxQueues))
	}
	m := s.Marks.Field()
	if s.SpareDecided && s.Marks.Decided(0) == 0 {
		bad("Marks", fmt.Sprintf("%#x", m), "sparing decided flows takes two bits")
	}
	if low := m & -m; (m+low)&m != 0 {
		bad("Marks", fmt.Sprintf("%#x", m), "the bits are not consecutive")
	}
	for h, p := range s.Priority {
		if p == -1<<31 || p == 1<<31-1 {
			bad("Priority", strconv.Itoa(int(p)), "reserved by the kernel, at hook "+hookName(packet.Hook(h)))
		}
	}
	if s.Fail > FailClosed {
		bad("Fail", strconv.Itoa(int(s.Fail)), "neither open nor closed")
	}
	if s.Backend == BackendLegacy && s.Priority != [5]int32{} {
		bad("Priority", fmt.Sprint(s.Priority), "legacy tables have priorities of their own")
	}
	if s.Backend > BackendLegacy {
		bad("Backend", strconv.Itoa(int(s.Backend)), "no such backend")
	}
	if c := s.Lifelines.SSHConnection; c != "" && !s.Lifelines.DivertSSH {
		if _, ok := sshConnectionPort(c); !ok {
			bad("Lifelines.SSHConnection", c, "want four fields: client port server port")
		}
	}
	return errors.Join(errs...)
}

func (s *Spec) queues() uint16 { return max(s.Queues, 1) }

func (s *Spec) hooks() []packet.Hook {
	if len(s.Hooks) == 0 {
		return []packet.Hook{packet.Input, packet.Forward, packet.Output}
	}
	var out []packet.Hook
	for h := packet.Prerouting; h <= packet.Postrouting; h++ {
		for _, w := range s.Hooks {
			if w == h {
				out = append(out, h)
				break
			}
		}
	}
	return out
}

func (s *Spec) priority(h packet.Hook) int32 {
	if p := s.Priority[h]; p != 0 {
		return p
	}
	if h == packet.Postrouting {
		return 161
	}
	return -161
}

var hookNames = [...]string{"prerouting", "input", "forward", "output", "postrouting"}

func hookName(h packet.Hook) string {
	if int(h) < len(hookNames) {
		return hookNames[h]
	}
	return "hook " + strconv.Itoa(int(h))
}

// ParseHooks reads a list such as "input,output".
func ParseHooks(list string) ([]packet.Hook, error) {
	var out []packet.Hook
next:
	for _, n := range splitList(list) {
		for i, name := range hookNames {
			if strings.EqualFold(n, name) {
				out = append(out, packet.Hook(i))
				continue next
			}
		}
		return nil, &SpecError{"Hooks", n, "want " + strings.Join(hookNames[:], ", ")}
	}
	return out, nil
}

// ParsePorts reads a list of ports and ranges such as "80,443,6000-6100"; a
// colon may stand for the dash.
func ParsePorts(list string) ([]PortRange, error) {
	var out []PortRange
	for _, n := range splitList(list) {
		from, to, ranged := strings.Cut(strings.Replace(n, ":", "-", 1), "-")
		first, err := strconv.ParseUint(from, 10, 16)
		if err != nil || first == 0 {
			return nil, &SpecError{"Ports", n, "want a port from 1 to 65535, or two with a dash between"}
		}
		r := PortRange{First: uint16(first)}
		if ranged {
			last, err := strconv.ParseUint(to, 10, 16)
			if err != nil || last == 0 {
				return nil, &SpecError{"Ports", n, "want a port from 1 to 65535, or two with a dash between"}
			}
			if last < first {
				return nil, &SpecError{"Ports", n, "the range ends before it begins"}
			}
			r.Last = uint16(last)
		}
		out = append(out, r)
	}
	return out, nil
}

var protocolNames = []struct {
	name string
	nums []uint8
}{
	{"tcp", []uint8{unix.IPPROTO_TCP}},
	{"udp", []uint8{unix.IPPROTO_UDP}},
	{"icmp", []uint8{unix.IPPROTO_ICMP, unix.IPPROTO_ICMPV6}},
	{"icmpv4", []uint8{unix.IPPROTO_ICMP}},
	{"icmpv6", []uint8{unix.IPPROTO_ICMPV6}},
	{"ipv6-icmp", []uint8{unix.IPPROTO_ICMPV6}},
	{"sctp", []uint8{unix.IPPROTO_SCTP}},
	{"dccp", []uint8{unix.IPPROTO_DCCP}},
	{"udplite", []uint8{unix.IPPROTO_UDPLITE}},
	{"gre", []uint8{unix.IPPROTO_GRE}},
	{"esp", []uint8{unix.IPPROTO_ESP}},
	{"ah", []uint8{unix.IPPROTO_AH}},
	{"igmp", []uint8{unix.IPPROTO_IGMP}},
}

// ParseProtocols reads a list of names and numbers such as "tcp,udp,47". As in
// Suricata's rules "icmp" is both ICMP and ICMPv6; "ip", "any" and "all" are no
// restriction (nil).
func ParseProtocols(list string) ([]uint8, error) {
	var out []uint8
next:
	for _, n := range splitList(list) {
		switch strings.ToLower(n) {
		case "ip", "any", "all":
			return nil, nil
		}
		for _, p := range protocolNames {
			if strings.EqualFold(n, p.name) {
				out = append(out, p.nums...)
				continue next
			}
		}
		num, err := strconv.ParseUint(n, 10, 8)
		if err != nil {
			return nil, &SpecError{"Protocols", n, "want a name such as tcp, udp, icmp, or a number from 0 to 255"}
		}
		out = append(out, uint8(num))
	}
	return out, nil
}

func splitList(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
}

func hasPorts(proto uint8) bool {
	switch proto {
	case unix.IPPROTO_TCP, unix.IPPROTO_UDP, unix.IPPROTO_SCTP, unix.IPPROTO_DCCP, unix.IPPROTO_UDPLITE:
		return true
	}
	return false
}

func badIfname(n string) string {
	name, _ := ifPattern(n)
	switch {
	case n == "":
		return "empty interface name"
	case len(name) >= unix.IFNAMSIZ:
		return "longer than 15 bytes"
	case name == "." || name == "..":
		return "no interface has this name"
	}
	for _, c := range []byte(name) {
		if c == '/' || c == ':' || c <= ' ' || c == 0x7f {
			return "a character that no interface name has"
		}
	}
	return ""
}

// ifPattern splits "eth+" into "eth" and true.
func ifPattern(n string) (name string, prefix bool) {
	if k := len(n) - 1; k >= 0 && (n[k] == '+' || n[k] == '*') {
		return n[:k], true
	}
	return n, false
}
