package iptc

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"
)

// Counters of a rule or of a built-in chain's policy.
type Counters struct{ Packets, Bytes uint64 }

// Kind tells what a rule's target does.
type Kind uint8

const (
	// FallThrough goes on with the next rule: a rule that only counts.
	FallThrough Kind = iota
	Accept
	Drop
	// Queue is queue 0 without bypass: the target of ip_queue's times.
	Queue
	Return
	// Jump goes to a chain and comes back behind the rule.
	Jump
	// Goto goes to a chain and comes back behind the rule that jumped here.
	Goto
	// Module is an extension: everything but the standard target.
	Module
)

// verdicts of the standard target as the kernel counts them, -(NF_x)-1.
var verdicts = [...]int32{Accept: -2, Drop: -1, Queue: -4, Return: -5}

var kindNames = [...]string{FallThrough: "", Accept: "ACCEPT", Drop: "DROP", Queue: "QUEUE", Return: "RETURN"}

// Extension is a match or target: its name, revision and data as the kernel has
// them (host byte order, C alignment), the header left out.
type Extension struct {
	Name     string
	Revision uint8
	Data     []byte
}

// Target says where a packet goes. The zero value is FallThrough.
type Target struct {
	Kind   Kind
	Chain  string    // for Jump and Goto
	Module Extension // for Module
}

// Name returns what stands behind -j or -g: ACCEPT, a chain, a module's name, or
// nothing.
func (t Target) Name() string {
	switch t.Kind {
	case Jump, Goto:
		return t.Chain
	case Module:
		return t.Module.Name
	}
	return kindNames[t.Kind]
}

// Inversions in Header.Inv.
const (
	InvIn    = 0x01
	InvOut   = 0x02
	InvTOS   = 0x04
	InvSrc   = 0x08
	InvDst   = 0x10
	InvFrag  = 0x20
	InvProto = 0x40
)

// FlagFrag in Header.Flags: the rule looks at second and further fragments
// (IPv4). The flags PROTO and GOTO are kept by this package, see [Header].
const FlagFrag = 0x01

// Header is the part of a rule that every packet is compared with first. The
// zero value matches everything.
type Header struct {
	Src, SrcMask netip.Addr // both invalid: any
	Dst, DstMask netip.Addr
	In, Out      string // interface; a trailing + means "begins with"
	Proto        uint8  // 0: any
	Flags        uint8  // FlagFrag, or ip6t_ip6.flags without PROTO and GOTO
	Inv          uint8
	TOS          uint8 // IPv6
}

// mapping is libiptc's counter map: how a rule's counter survives a commit.
type mapping uint8

const (
	mapNone   mapping = iota // starts at zero
	mapNormal                // keeps what the old entry had at the moment of the swap
	mapZeroed                // keeps what the old entry got since it was read
	mapSet                   // is set to counters
)

// Rule is one rule. It never changes; the methods' slices are views that must
// not be written to.
type Rule struct {
	family   Family
	raw      []byte // the whole entry; the verdict of a standard target and the counters in it are stale
	kind     Kind
	chain    string // of Jump and Goto
	counters Counters
	seen     Counters // as read, for mapZeroed
	mapping  mapping
	old      int // index of the entry in the table that was read
}

// Family of the table that the rule is made for.
func (r *Rule) Family() Family { return r.family }

// Counters as read, or as set.
func (r *Rule) Counters() Counters { return r.counters }

// WithCounters returns the rule with counters that are set when it is inserted
// (iptables -c).
func (r *Rule) WithCounters(c Counters) *Rule {
	n := *r
	n.counters = c
	return &n
}

// Header decodes the rule's header.
func (r *Rule) Header() Header {
	l := r.family.layout()
	h := Header{
		Inv:   r.raw[l.inv],
		Flags: r.raw[l.flags] &^ (l.gotoFlag | l.protoFlag),
		In:    ifaceText(r.raw[l.in:], r.raw[l.inMask:]),
		Out:   ifaceText(r.raw[l.out:], r.raw[l.outMask:]),
		Proto: uint8(native.Uint16(r.raw[l.proto:])),
	}
	if l.tos >= 0 {
		h.TOS = r.raw[l.tos]
	}
	h.Src, h.SrcMask = addrMask(r.raw[l.src:][:l.addr], r.raw[l.smsk:][:l.addr])
	h.Dst, h.DstMask = addrMask(r.raw[l.dst:][:l.addr], r.raw[l.dmsk:][:l.addr])
	return h
}

func addrMask(a, m []byte) (netip.Addr, netip.Addr) {
	if allZero(a) && allZero(m) {
		return netip.Addr{}, netip.Addr{}
	}
	addr, _ := netip.AddrFromSlice(a)
	mask, _ := netip.AddrFromSlice(m)
	return addr, mask
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// ifaceText is the interface as iptables prints it; empty if any will do.
func ifaceText(name, mask []byte) string {
	if mask[0] == 0 {
		return ""
	}
	var b []byte
	for i := range ifNameSize {
		if mask[i] == 0 {
			if name[i-1] != 0 {
				b = append(b, '+')
			}
			break
		}
		if name[i] != 0 {
			b = append(b, name[i])
		}
	}
	return string(b)
}

// Matches decodes the rule's matches, in order. The data is the rule's own:
// read only.
func (r *Rule) Matches() []Extension {
	l := r.family.layout()
	end := int(native.Uint16(r.raw[l.targetOff:]))
	var list []Extension
	for off := l.entry; off < end; {
		e, n := extensionAt(r.raw[off:end])
		list = append(list, e)
		off += n
	}
	return list
}

// extensionAt decodes the checked match or target at the start of b.
func extensionAt(b []byte) (Extension, int) {
	n := int(native.Uint16(b))
	name := b[2 : 2+nameMax]
	if i := bytes.IndexByte(name, 0); i >= 0 {
		name = name[:i]
	}
	return Extension{Name: string(name), Revision: b[31], Data: b[headSize:n:n]}, n
}

// Target decodes the rule's target. Its data is the rule's own: read only.
func (r *Rule) Target() Target {
	t := Target{Kind: r.kind, Chain: r.chain}
	if r.kind == Module {
		t.Module, _ = extensionAt(r.raw[native.Uint16(r.raw[r.family.layout().targetOff:]):])
	}
	return t
}

// Bytes returns the rule's entry as read from the kernel, or as made, to be
// printed or compared; jump offsets and counters in it are out of date.
func (r *Rule) Bytes() []byte { return bytes.Clone(r.raw) }

// NewRule makes a rule. The addresses must be of the table's family; a mask that
// is invalid with a valid address means the address alone. Data of matches and
// targets is copied and padded to eight bytes, as the kernel wants it.
func NewRule(f Family, h Header, matches []Extension, target Target) (*Rule, error) {
	l := f.layout()
	raw := make([]byte, l.entry, l.entry+256)
	if err := putHeader(raw, l, h); err != nil {
		return nil, err
	}
	var err error
	for _, m := range matches {
		if raw, err = putExtension(raw, m); err != nil {
			return nil, err
		}
	}
	at := len(raw)
	r := &Rule{family: f, kind: target.Kind}
	switch target.Kind {
	case FallThrough, Accept, Drop, Queue, Return:
		raw = appendStandard(raw, verdicts[target.Kind])
	case Jump, Goto:
		if target.Chain == "" || len(target.Chain) >= nameMax {
			return nil, &RuleError{"bad chain name " + target.Chain}
		}
		r.chain = target.Chain
		raw = appendStandard(raw, 0)
		if target.Kind == Goto {
			raw[l.flags] |= l.gotoFlag
		}
	case Module:
		if target.Module.Name == "" || target.Module.Name == errorName {
			return nil, &RuleError{"a module target needs a name of its own"}
		}
		if raw, err = putExtension(raw, target.Module); err != nil {
			return nil, err
		}
	default:
		return nil, &RuleError{"unknown kind of target"}
	}
	if len(raw) > 0xffff {
		return nil, &RuleError{"rule is longer than 65535 bytes"}
	}
	native.PutUint16(raw[l.targetOff:], uint16(at))
	native.PutUint16(raw[l.nextOff:], uint16(len(raw)))
	r.raw = slices.Clip(raw)
	return r, nil
}

func putHeader(raw []byte, l *layout, h Header) error {
	put := func(addr, mask netip.Addr, a, m int) error {
		if !addr.IsValid() {
			return nil
		}
		ab := addr.AsSlice()
		if len(ab) != l.addr || mask.IsValid() && mask.BitLen() != addr.BitLen() {
			return &RuleError{"address " + addr.String() + " is of the other family"}
		}
		mb := bytes.Repeat([]byte{0xff}, l.addr)
		if mask.IsValid() {
			mb = mask.AsSlice()
		}
		for i := range ab {
			raw[a+i], raw[m+i] = ab[i]&mb[i], mb[i]
		}
		return nil
	}
	if err := put(h.Src, h.SrcMask, l.src, l.smsk); err != nil {
		return err
	}
	if err := put(h.Dst, h.DstMask, l.dst, l.dmsk); err != nil {
		return err
	}
	iface := func(s string, name, mask int) error {
		if len(s) >= ifNameSize {
			return &RuleError{"interface name `" + s + "' must be shorter than IFNAMSIZ (15)"}
		}
		copy(raw[name:], s)
		n := len(s) + 1
		if strings.HasSuffix(s, "+") {
			n = len(s) - 1
		}
		if s != "" {
			for i := range n {
				raw[mask+i] = 0xff
			}
		}
		return nil
	}
	if err := iface(h.In, l.in, l.inMask); err != nil {
		return err
	}
	if err := iface(h.Out, l.out, l.outMask); err != nil {
		return err
	}
	native.PutUint16(raw[l.proto:], uint16(h.Proto))
	raw[l.flags] = h.Flags &^ (l.gotoFlag | l.protoFlag)
	if h.Proto != 0 {
		raw[l.flags] |= l.protoFlag
	}
	raw[l.inv] = h.Inv
	if l.tos >= 0 {
		raw[l.tos] = h.TOS
	}
	return nil
}

func putExtension(raw []byte, e Extension) ([]byte, error) {
	n := headSize + align8(len(e.Data))
	if len(e.Name) >= nameMax {
		return nil, &RuleError{"extension name " + e.Name + " is too long"}
	}
	if n > 0xffff {
		return nil, &RuleError{"data of " + e.Name + " is too long"}
	}
	at := len(raw)
	raw = append(raw, make([]byte, n)...)
	native.PutUint16(raw[at:], uint16(n))
	copy(raw[at+2:], e.Name)
	raw[at+31] = e.Revision
	copy(raw[at+headSize:], e.Data)
	return raw, nil
}

func appendStandard(raw []byte, verdict int32) []byte {
	at := len(raw)
	raw = append(raw, make([]byte, standardLen)...)
	native.PutUint16(raw[at:], standardLen)
	native.PutUint32(raw[at+headSize:], uint32(verdict))
	return raw
}

// Same reports whether two rules are the same as iptables -D and -C see it:
// counters, kernel-private tails of extensions and offsets do not count
// (libiptc's is_same with the mask of the extensions' userspacesize).
func (r *Rule) Same(o *Rule) bool {
	if r.family != o.family || r.kind != o.kind || r.chain != o.chain {
		return false
	}
	l := r.family.layout()
	if !sameHeader(r.raw, o.raw, l) {
		return false
	}
	a, b := r.Matches(), o.Matches()
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !sameExtension(r.family, false, a[i], b[i]) {
			return false
		}
	}
	return r.kind != Module || sameExtension(r.family, true, r.Target().Module, o.Target().Module)
}

func sameHeader(a, b []byte, l *layout) bool {
	if !bytes.Equal(a[l.src:l.in], b[l.src:l.in]) || !bytes.Equal(a[l.inMask:l.ip], b[l.inMask:l.ip]) {
		return false
	}
	for i := range 2 * ifNameSize { // a name counts as far as its mask
		if (a[l.in+i]^b[l.in+i])&a[l.inMask+i] != 0 {
			return false
		}
	}
	return true
}

func sameExtension(f Family, target bool, a, b Extension) bool {
	if a.Name != b.Name || a.Revision != b.Revision || len(a.Data) != len(b.Data) {
		return false
	}
	n := userSize(f, target, a)
	return bytes.Equal(a.Data[:n], b.Data[:n])
}
