package rule

import (
	"errors"
	"net/netip"
	"strconv"
	"strings"
)

// Vars are the variables that rules name with a dollar sign. Each value is an
// expression as it stands in a rule: "[10.0.0.0/8,!10.1.0.0/16]",
// "!$HOME_NET", "any". Names are written without the dollar sign.
type Vars struct {
	Addresses map[string]string // vars.address-groups
	Ports     map[string]string // vars.port-groups
}

// DefaultVars are the variables of Suricata's packaged configuration.
func DefaultVars() Vars {
	return Vars{
		Addresses: map[string]string{
			"HOME_NET":       "[192.168.0.0/16,10.0.0.0/8,172.16.0.0/12]",
			"EXTERNAL_NET":   "!$HOME_NET",
			"HTTP_SERVERS":   "$HOME_NET",
			"SMTP_SERVERS":   "$HOME_NET",
			"SQL_SERVERS":    "$HOME_NET",
			"DNS_SERVERS":    "$HOME_NET",
			"TELNET_SERVERS": "$HOME_NET",
			"AIM_SERVERS":    "$EXTERNAL_NET",
			"DC_SERVERS":     "$HOME_NET",
			"DNP3_SERVER":    "$HOME_NET",
			"DNP3_CLIENT":    "$HOME_NET",
			"MODBUS_CLIENT":  "$HOME_NET",
			"MODBUS_SERVER":  "$HOME_NET",
			"ENIP_CLIENT":    "$HOME_NET",
			"ENIP_SERVER":    "$HOME_NET",
		},
		Ports: map[string]string{
			"HTTP_PORTS":      "80",
			"SHELLCODE_PORTS": "!80",
			"ORACLE_PORTS":    "1521",
			"SSH_PORTS":       "22",
			"DNP3_PORTS":      "20000",
			"MODBUS_PORTS":    "502",
			"FILE_DATA_PORTS": "[$HTTP_PORTS,110,143]",
			"FTP_PORTS":       "21",
			"GENEVE_PORTS":    "6081",
			"VXLAN_PORTS":     "4789",
			"TEREDO_PORTS":    "3544",
		},
	}
}

// A TermError says what is wrong with an address or port expression.
type TermError struct {
	What string
	Mend string
	Off  int // byte of the rule text, or -1 if the fault is inside a variable
}

func (e *TermError) Error() string { return e.What }

// At makes it an error of rule r.
func (e *TermError) At(r *Rule, keyword string, fallback *Term) *Error {
	off := e.Off
	if off < 0 {
		off = int(fallback.off)
	}
	return &Error{Pos: r.pos(off), Keyword: keyword, What: e.What, Mend: e.Mend}
}

// Addr resolves an address expression.
//
// As in Suricata the expression is flattened: every word is either wanted or
// excluded, by the number of negations around it, and the set is what is
// wanted without what is excluded. If nothing of an address family is wanted
// but something of it is excluded, the rest of that family is wanted.
func (v *Vars) Addr(t *Term) (AddrSet, error) {
	var pos, neg AddrSet
	if err := v.addr(t, t.off == 0, false, &pos, &neg, nil); err != nil {
		return AddrSet{}, err
	}
	pos.normalise()
	neg.normalise()
	if neg.all4() && neg.all6() {
		return AddrSet{}, &TermError{Off: -1, What: "the whole address space is excluded: " + t.String() + " matches nothing", Mend: "a negated \"any\", often by a variable that is any"}
	}
	if len(pos.v4) == 0 && len(neg.v4) > 0 {
		pos.v4 = append(pos.v4, range4{0, 1<<32 - 1})
	}
	if len(pos.v6) == 0 && len(neg.v6) > 0 {
		pos.v6 = append(pos.v6, range6{u128{}, u128{^uint64(0), ^uint64(0)}})
	}
	s := pos.minus(&neg)
	if len(s.v4) == 0 && len(s.v6) == 0 {
		return s, &TermError{Off: -1, What: "nothing is left of " + t.String(), Mend: "what is excluded covers all that is wanted"}
	}
	return s, nil
}

func (v *Vars) addr(t *Term, invar, negated bool, pos, neg *AddrSet, seen []string) error {
	negated = negated != t.Negated
	off := int(t.off)
	if invar {
		off = -1
	}
	if t.IsList {
		for i := range t.List {
			if err := v.addr(&t.List[i], invar, negated, pos, neg, seen); err != nil {
				return err
			}
		}
		return nil
	}
	if strings.HasPrefix(t.Word, "$") {
		sub, seen, err := lookupVar(v.Addresses, t.Word, off, "address-groups", seen)
		if err != nil {
			return err
		}
		return v.addr(sub, true, negated, pos, neg, seen)
	}
	into := pos
	if negated {
		into = neg
	}
	if !into.add(t.Word) {
		return &TermError{Off: off, What: "not an address: " + strconv.Quote(t.Word), Mend: "write 10.0.0.1, 10.0.0.0/8, 10.0.0.1-10.0.0.9, 2001:db8::/32, $VARIABLE or any"}
	}
	return nil
}

func lookupVar(m map[string]string, word string, off int, section string, seen []string) (*Term, []string, error) {
	name := word[1:]
	for _, s := range seen {
		if s == name {
			return nil, nil, &TermError{Off: off, What: "the variable $" + name + " contains itself", Mend: "look at vars." + section}
		}
	}
	expr, ok := m[name]
	if !ok {
		return nil, nil, &TermError{Off: off, What: "undefined variable " + word, Mend: "define " + name + " under vars." + section}
	}
	t, err := ParseTerm(expr)
	if err != nil {
		return nil, nil, &TermError{Off: off, What: "the variable $" + name + " is malformed: " + err.Error(), Mend: "look at vars." + section}
	}
	return t, append(seen[:len(seen):len(seen)], name), nil
}

// ParseTerm reads an address or port expression that stands alone, as in a
// configuration file.
func ParseTerm(expr string) (*Term, error) {
	p := parser{r: &Rule{text: expr}, s: expr}
	t, e := p.term("the expression", 0)
	if e != nil {
		return nil, errors.New(e.What)
	}
	p.blanks()
	if p.i < len(expr) {
		return nil, errors.New("text behind the expression: " + strconv.Quote(expr[p.i:]))
	}
	return &t, nil
}

// Port resolves a port expression, by the same rules as Addr.
func (v *Vars) Port(t *Term) (PortSet, error) {
	var pos, neg PortSet
	if err := v.port(t, t.off == 0, false, &pos, &neg, nil); err != nil {
		return PortSet{}, err
	}
	pos.normalise()
	neg.normalise()
	if neg.All() {
		return PortSet{}, &TermError{Off: -1, What: "every port is excluded: " + t.String() + " matches nothing", Mend: "a negated \"any\", often by a variable that is any"}
	}
	if len(pos.r) == 0 && len(neg.r) > 0 {
		pos.r = append(pos.r, PortRange{0, 65535})
	}
	s := pos.minus(&neg)
	if len(s.r) == 0 {
		return s, &TermError{Off: -1, What: "no port is left of " + t.String(), Mend: "what is excluded covers all that is wanted"}
	}
	return s, nil
}

func (v *Vars) port(t *Term, invar, negated bool, pos, neg *PortSet, seen []string) error {
	negated = negated != t.Negated
	off := int(t.off)
	if invar {
		off = -1
	}
	if t.IsList {
		for i := range t.List {
			if err := v.port(&t.List[i], invar, negated, pos, neg, seen); err != nil {
				return err
			}
		}
		return nil
	}
	if strings.HasPrefix(t.Word, "$") {
		sub, seen, err := lookupVar(v.Ports, t.Word, off, "port-groups", seen)
		if err != nil {
			return err
		}
		return v.port(sub, true, negated, pos, neg, seen)
	}
	into := pos
	if negated {
		into = neg
	}
	lo, hi, ok := parsePortRange(t.Word)
	if !ok {
		return &TermError{Off: off, What: "not a port: " + strconv.Quote(t.Word), Mend: "write 80, 1024:2048, 1024:, $VARIABLE or any"}
	}
	into.r = append(into.r, PortRange{lo, hi})
	return nil
}

func parsePortRange(w string) (lo, hi uint16, ok bool) {
	if strings.EqualFold(w, "any") {
		return 0, 65535, true
	}
	num := func(s string) (uint16, bool) {
		n, err := strconv.ParseUint(s, 10, 16)
		return uint16(n), err == nil
	}
	i := strings.IndexByte(w, ':')
	if i < 0 {
		lo, ok = num(w)
		return lo, lo, ok
	}
	lo, hi = 0, 65535
	if i > 0 {
		if lo, ok = num(w[:i]); !ok {
			return 0, 0, false
		}
	}
	if i < len(w)-1 {
		if hi, ok = num(w[i+1:]); !ok {
			return 0, 0, false
		}
	}
	return lo, hi, lo <= hi
}

// add adds one word ("any", an address, a prefix, a range) to the set.
func (s *AddrSet) add(w string) bool {
	if strings.EqualFold(w, "any") {
		s.v4 = append(s.v4, range4{0, 1<<32 - 1})
		s.v6 = append(s.v6, range6{u128{}, u128{^uint64(0), ^uint64(0)}})
		return true
	}
	if i := strings.IndexByte(w, '/'); i >= 0 {
		a, err := netip.ParseAddr(w[:i])
		if err != nil || a.Zone() != "" {
			return false
		}
		var bits int
		if m, err := netip.ParseAddr(w[i+1:]); err == nil && m.Is4() && a.Is4() {
			mask := u32(m)
			for bits = 0; bits < 32 && mask&(1<<(31-bits)) != 0; bits++ {
			}
			if bits < 32 && mask<<bits != 0 {
				return false
			}
		} else if bits, err = strconv.Atoi(w[i+1:]); err != nil || bits < 0 || bits > a.BitLen() {
			return false
		}
		if a.Is4() {
			n := u32(a)
			host := uint32(uint64(1)<<(32-bits) - 1)
			s.v4 = append(s.v4, range4{n &^ host, n | host})
			return true
		}
		n := to128(a)
		host := hostMask(bits)
		s.v6 = append(s.v6, range6{u128{n.hi &^ host.hi, n.lo &^ host.lo}, u128{n.hi | host.hi, n.lo | host.lo}})
		return true
	}
	lo, hi := w, w
	if i := strings.IndexByte(w, '-'); i >= 0 {
		lo, hi = w[:i], w[i+1:]
	}
	a, err := netip.ParseAddr(lo)
	if err != nil || a.Zone() != "" {
		return false
	}
	b, err := netip.ParseAddr(hi)
	if err != nil || b.Zone() != "" || a.Is4() != b.Is4() || b.Less(a) {
		return false
	}
	if a.Is4() {
		s.v4 = append(s.v4, range4{u32(a), u32(b)})
	} else {
		s.v6 = append(s.v6, range6{to128(a), to128(b)})
	}
	return true
}
