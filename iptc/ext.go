package iptc

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// families that an extension's layout is for.
type families uint8

const (
	only4 families = 1 << IPv4
	only6 families = 1 << IPv6
	both           = only4 | only6
)

// ext is one match or target: its layout, its options, how it is printed and how
// it is parsed. One table (exts) lists them all.
type ext struct {
	name   string // in the kernel
	as     string // on the command line, if another
	target bool
	fam    families
	rev    uint8
	size   int // of the C structure; the kernel wants it padded to eight
	user   int // how much of it counts in comparisons, as libxtables has it; 0: all
	// opts lists the options: "name" takes no argument, "name:" one, "name::" two,
	// "name?" one or none; "alias=name:" is another spelling.
	opts string
	init func(c *scope, d []byte)
	set  func(c *scope, d []byte, o option) error
	done func(c *scope, d []byte) error
	// save prints the options, each with a space before it.
	save func(p *printer, d []byte)
	// is tells which of several entries with one kernel name (state and conntrack,
	// NOTRACK and CT) data belongs to; nil: this one.
	is func(d []byte) bool
}

func (e *ext) command() string {
	if e.as != "" {
		return e.as
	}
	return e.name
}

func (e *ext) padded() int { return align8(e.size) }

// find looks an extension up as the kernel has it.
func (f Family) find(target bool, e Extension) *ext {
	for _, group := range exts {
		for i := range group {
			x := &group[i]
			if x.name == e.Name && x.target == target && x.rev == e.Revision && x.fam&(1<<f) != 0 &&
				len(e.Data) == x.padded() && (x.is == nil || x.is(e.Data)) {
				return x
			}
		}
	}
	return nil
}

// findCommand looks an extension up by its name on the command line: the newest
// revision.
func (f Family) findCommand(target bool, name string) *ext {
	var best *ext
	for _, group := range exts {
		for i := range group {
			x := &group[i]
			if x.command() == name && x.target == target && x.fam&(1<<f) != 0 && (best == nil || x.rev > best.rev) {
				best = x
			}
		}
	}
	return best
}

// userSize is how many bytes of an extension's data count when rules are
// compared: the rest is the kernel's own.
func userSize(f Family, target bool, e Extension) int {
	if x := f.find(target, e); x != nil && x.user > 0 {
		return x.user
	}
	return len(e.Data)
}

// exts is every extension that is printed and parsed, by topic.
var exts = [...][]ext{
	portExts, icmpExts, markExts, conntrackExts, rateExts, addressExts, localExts,
	contentExts, sixExts, logExts, mangleExts, natExts, setExts, oldExts,
}

// scope is what an extension sees of the rule that is being parsed or printed.
type scope struct {
	f     Family
	proto uint8 // 0: any, or inverted
	seen  []string
}

func (c *scope) has(opt string) bool {
	for _, s := range c.seen {
		if s == opt {
			return true
		}
	}
	return false
}

// option is one option as given: its full name, arguments, and whether a !
// stood before it.
type option struct {
	name, arg, arg2 string
	not             bool
}

func (o option) bad() error { return fmt.Errorf("bad value for option \"--%s\": %q", o.name, o.arg) }

// optionOf finds an option in an extension's list. args is its number of
// arguments; -1: one or none.
func (e *ext) optionOf(name string) (full string, args int, ok bool) {
	for field := range strings.FieldsSeq(e.opts) {
		spelled, full, isAlias := strings.Cut(field, "=")
		if !isAlias {
			full = field
		}
		if strings.TrimRight(spelled, ":?") != name {
			continue
		}
		base := strings.TrimRight(full, ":?")
		if strings.HasSuffix(full, "?") {
			return base, -1, true
		}
		return base, len(full) - len(base), true
	}
	return "", 0, false
}

// printer writes options.
type printer struct {
	scope
	b      bytes.Buffer
	failed bool // what the options need to know cannot be had: print as unknown
}

func (p *printer) f2(format string, args ...any) { fmt.Fprintf(&p.b, format, args...) }

// opt prints " [! ]--name args…".
func (p *printer) opt(not bool, name string, args ...any) {
	if not {
		p.b.WriteString(" !")
	}
	p.b.WriteString(" --")
	p.b.WriteString(name)
	for _, a := range args {
		p.b.WriteByte(' ')
		fmt.Fprint(&p.b, a)
	}
}

// flag prints " --name" if on.
func (p *printer) flag(on bool, name string) {
	if on {
		p.opt(false, name)
	}
}

// quote writes a string as iptables-save does: bare if it is a word, else between
// double quotes.
func quote(s string) string {
	word := s != ""
	for _, c := range []byte(s) {
		if !(c == '_' || c == '-' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z') {
			word = false
		}
	}
	if word {
		return s
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range []byte(s) {
		if c == '"' || c == '\\' || c == '\'' {
			b.WriteByte('\\')
		}
		b.WriteByte(c)
	}
	b.WriteByte('"')
	return b.String()
}

// Reading and writing fields of the C structures.

func u16(d []byte, at int) uint16        { return native.Uint16(d[at:]) }
func u32(d []byte, at int) uint32        { return native.Uint32(d[at:]) }
func u64(d []byte, at int) uint64        { return native.Uint64(d[at:]) }
func put16(d []byte, at int, v uint16)   { native.PutUint16(d[at:], v) }
func put32(d []byte, at int, v uint32)   { native.PutUint32(d[at:], v) }
func put64(d []byte, at int, v uint64)   { native.PutUint64(d[at:], v) }
func be16(d []byte, at int) uint16       { return binary.BigEndian.Uint16(d[at:]) }
func putBE16(d []byte, at int, v uint16) { binary.BigEndian.PutUint16(d[at:], v) }

// cstr is the NUL-terminated string in a field.
func cstr(d []byte) string {
	if i := bytes.IndexByte(d, 0); i >= 0 {
		d = d[:i]
	}
	return string(d)
}

// putStr writes a string with its NUL into a field.
func putStr(field []byte, o option, s string) error {
	if len(s) >= len(field) {
		return fmt.Errorf("option \"--%s\" takes at most %d characters", o.name, len(field)-1)
	}
	copy(field, s)
	field[len(s)] = 0
	return nil
}

// addr is the address of the rule's family at the start of a union nf_inet_addr.
func (c *scope) addr(d []byte) netip.Addr {
	a, _ := netip.AddrFromSlice(d[:c.f.layout().addr])
	return a
}

// text is an address as inet_ntop writes it.
func addrText(a netip.Addr) string {
	if a.Is6() && !a.Is4In6() {
		b := a.As16()
		// inet_ntop also shows the old IPv4-compatible form
		if allZero(b[:12]) && (b[12] != 0 || b[13] != 0) {
			return "::" + netip.AddrFrom4([4]byte(b[12:])).String()
		}
	}
	return a.String()
}

// maskText is what stands behind an address: /24, or /255.0.255.0.
func maskText(m []byte) string {
	if n, ok := prefixLen(m); ok {
		return "/" + strconv.Itoa(n)
	}
	a, _ := netip.AddrFromSlice(m)
	return "/" + addrText(a)
}

func prefixLen(m []byte) (int, bool) {
	n := 0
	for _, b := range m {
		for bit := 7; bit >= 0; bit-- {
			if b&(1<<bit) == 0 {
				if !allZero([]byte{b & (1<<bit - 1)}) || !allZero(m[n/8+1:]) {
					return 0, false
				}
				return n, true
			}
			n++
		}
	}
	return n, true
}

// prefixMask writes a mask of n bits.
func prefixMask(m []byte, n int) {
	for i := range m {
		k := min(max(n-8*i, 0), 8)
		m[i] = byte(0xff << (8 - k))
	}
}

// parseAddr reads an address of the rule's family.
func (c *scope) parseAddr(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if err != nil || a.Is4() != (c.f == IPv4) || a.Zone() != "" {
		return a, fmt.Errorf("bad %s address %q", c.f, s)
	}
	return a, nil
}

// parseNet reads addr, addr/bits or addr/mask into an address, not yet masked,
// and a mask.
func (c *scope) parseNet(s string) (addr, mask []byte, err error) {
	host, m, has := strings.Cut(s, "/")
	a, err := c.parseAddr(host)
	if err != nil {
		return nil, nil, err
	}
	addr = a.AsSlice()
	mask = make([]byte, len(addr))
	switch n, err := strconv.ParseUint(m, 10, 8); {
	case !has:
		prefixMask(mask, 8*len(mask))
	case err == nil && int(n) <= 8*len(mask):
		prefixMask(mask, int(n))
	default:
		a, err := c.parseAddr(m)
		if err != nil {
			return nil, nil, fmt.Errorf("bad mask %q", m)
		}
		mask = a.AsSlice()
	}
	return addr, mask, nil
}

// num reads a number as C's strtoul with base 0 does.
func num(s string, max uint64) (uint64, error) {
	if strings.ContainsAny(s, "_bBoO") && !strings.HasPrefix(s, "0x") && !strings.HasPrefix(s, "0X") || strings.Contains(s, "_") {
		return 0, fmt.Errorf("bad number %q", s)
	}
	v, err := strconv.ParseUint(s, 0, 64)
	if err != nil || v > max {
		return 0, fmt.Errorf("bad number %q, at most %d", s, max)
	}
	return v, nil
}

// span reads "a", "a:b", ":b" or "a:".
func span(s string, max uint64, value func(string) (uint64, error)) (lo, hi uint64, err error) {
	a, b, has := strings.Cut(s, ":")
	lo, hi = 0, max
	if a != "" || !has {
		if lo, err = value(a); err != nil {
			return
		}
	}
	if !has {
		return lo, lo, nil
	}
	if b != "" {
		if hi, err = value(b); err != nil {
			return
		}
	}
	if lo > hi {
		err = fmt.Errorf("range %q runs backwards", s)
	}
	return
}

func span32(s string) (lo, hi uint64, err error) {
	return span(s, 1<<32-1, func(s string) (uint64, error) { return num(s, 1<<32-1) })
}

// port reads a port number or a service's name.
func (c *scope) port(s string) (uint64, error) {
	if v, err := num(s, 65535); err == nil {
		return v, nil
	}
	network := "tcp"
	if c.proto == 17 {
		network = "udp"
	}
	if s == "" || s[0] >= '0' && s[0] <= '9' {
		return 0, fmt.Errorf("bad port %q", s)
	}
	v, err := net.LookupPort(network, s)
	if err != nil {
		return 0, fmt.Errorf("port %q is no number and no known service", s)
	}
	return uint64(v), nil
}

func (c *scope) ports(s string) (lo, hi uint64, err error) { return span(s, 65535, c.port) }

// spanText is "a" or "a:b".
func spanText[T uint8 | uint16 | uint32 | uint64](lo, hi T) string {
	if lo == hi {
		return fmt.Sprint(lo)
	}
	return fmt.Sprintf("%d:%d", lo, hi)
}

// valueMask reads value or value/mask, 32 bits; without a mask, all ones.
func valueMask(s string) (v, m uint32, err error) {
	a, b, has := strings.Cut(s, "/")
	n, err := num(a, 1<<32-1)
	k := uint64(1<<32 - 1)
	if err == nil && has {
		k, err = num(b, 1<<32-1)
	}
	return uint32(n), uint32(k), err
}

// nameOf and valueOf translate by a list of names; the value is the index.
func valueOf(names []string, s string) (int, bool) {
	for i, n := range names {
		if n != "" && strings.EqualFold(n, s) {
			return i, true
		}
	}
	return 0, false
}

// bitsOf reads a comma-separated list of names into a bit set.
func bitsOf(names []string, s string) (uint32, error) {
	var v uint32
	for f := range strings.SplitSeq(s, ",") {
		i, ok := valueOf(names, f)
		if !ok {
			return 0, fmt.Errorf("unknown name %q, want some of %s", f, strings.Join(names, ","))
		}
		v |= 1 << i
	}
	return v, nil
}

// bitNames is the list again.
func bitNames(names []string, v uint32) string {
	var list []string
	for i, n := range names {
		if v&(1<<i) != 0 && n != "" {
			list = append(list, n)
		}
	}
	return strings.Join(list, ",")
}

// iface writes an interface name and its mask.
func putIface(name, mask []byte, s string) error {
	if len(s) >= ifNameSize || s == "" {
		return fmt.Errorf("bad interface name %q", s)
	}
	copy(name, s)
	n := len(s) + 1
	if strings.HasSuffix(s, "+") {
		n = len(s) - 1
	}
	for i := range n {
		mask[i] = 0xff
	}
	return nil
}

// boolean is 1 for true.
func boolean(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// hexText is how an extension is printed that this package does not know, and
// what the parser takes for it.
func hexText(e Extension) string {
	return fmt.Sprintf(" --hex %d:%s", e.Revision, hex.EncodeToString(e.Data))
}

func parseHex(name, s string) (Extension, error) {
	rev, data, ok := strings.Cut(s, ":")
	r, err := strconv.ParseUint(rev, 10, 8)
	b, err2 := hex.DecodeString(data)
	if !ok || err != nil || err2 != nil {
		return Extension{}, errors.New("bad --hex for " + name)
	}
	return Extension{Name: name, Revision: uint8(r), Data: b}, nil
}
