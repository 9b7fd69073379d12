package divert

import (
	"encoding/binary"
	"fmt"

	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"
	"golang.org/x/sys/unix"

	"github.com/garita/garita/packet"
)

// Names in the kernel.
const (
	tableName   = "garita"
	lockName    = "garita-lock" // empty table with an owner; see kindPlainLocked
	spreadName  = "spread"
	queueName   = "queue"
	portsName   = "ports"
	selectName  = "select"
	outName     = "out"
	reg1        = 1 // NFT_REG_1: 16 bytes
	loopbackIdx = 1 // LOOPBACK_IFINDEX (uapi/linux/if_link.h): lo in every namespace
	rtnLocal    = 2 // RTN_LOCAL, the fib expression's address type
)

// features is what the kernel offers, as far as found out.
type features struct {
	native bool // the queue expression
	hash   bool // the hash expression
	fib    bool // the fib expression for inet
	ct     bool // the ct expression
}

type rule struct {
	what  string // for errors; says which expression may be missing
	uses  feature
	exprs []expr.Any
}

// feature names the optional expression a rule stands or falls with.
type feature uint8

const (
	usesNothing feature = iota
	usesNative
	usesCompat
	usesHash
	usesFib
	usesCt
)

type chain struct {
	name     string
	base     bool
	hook     packet.Hook
	priority int32
	rules    []rule
}

// layout is everything below the table. Chains come before those that jump to
// them.
type layout struct {
	chains  []chain
	targets []string // chains of the verdict map, by hash; nil = no map
}

// layout composes the chains. sshPorts are resolved already.
func (s *Spec) layout(f features, sshPorts []uint16) layout {
	var l layout
	n := s.queues()
	q := chain{name: queueName}
	switch {
	case n == 1:
		q.rules = []rule{s.queueRule(f, s.Queue, 1)}
	case f.hash:
		for i := range n {
			name := fmt.Sprintf("q%d", i)
			l.chains = append(l.chains, chain{name: name, rules: []rule{s.queueRule(f, s.Queue+i, 1)}})
			l.targets = append(l.targets, name)
		}
		// The kernel's hash over addresses and ports that is the same for both
		// directions (net/core/flow_dissector.c, __skb_get_hash_symmetric).
		q.rules = []rule{{what: "spread over the queues", uses: usesHash, exprs: []expr.Any{
			&expr.Hash{DestRegister: reg1, Modulus: uint32(n), Type: expr.HashTypeSym},
			&expr.Lookup{SourceRegister: reg1, SetName: spreadName, IsDestRegSet: true, DestRegister: unix.NFT_REG_VERDICT},
		}}}
	default:
		// The range's own hash knows addresses and protocol only.
		q.rules = []rule{s.queueRule(f, s.Queue, n)}
	}
	l.chains = append(l.chains, q)

	next := queueName
	if protos := s.selectProtocols(); protos != nil {
		inner := next
		if len(s.Ports) != 0 {
			l.chains = append(l.chains, s.portsChain(next))
			inner = portsName
		}
		sel := chain{name: selectName}
		for _, p := range protos {
			sel.rules = append(sel.rules, rule{what: "select protocol", exprs: append(l4proto(p), to(inner))})
		}
		l.chains = append(l.chains, sel)
		next = selectName
	}
	if len(s.In) != 0 && len(s.Out) != 0 {
		l.chains = append(l.chains, chain{name: outName, rules: ifRules(expr.MetaKeyOIFNAME, s.Out, next)})
	}
	for _, h := range s.hooks() {
		c := chain{name: hookName(h), base: true, hook: h, priority: s.priority(h)}
		c.rules = s.lifelines(h, f, sshPorts)
		if s.SpareDecided && f.ct {
			c.rules = append(c.rules, s.decidedRule())
		}
		c.rules = append(c.rules, s.entrance(h, next)...)
		l.chains = append(l.chains, c)
	}
	if s.SpareDecided && f.ct {
		for _, h := range s.hooks() {
			l.chains = append(l.chains, s.noteChain(h))
		}
	}
	return l
}

// decidedRule spares packets of connections that were decided.
func (s *Spec) decidedRule() rule {
	mask, d := s.Marks.Field(), s.Marks.Decided(s.Generation)
	return rule{what: "spare decided flows", uses: usesCt, exprs: []expr.Any{
		&expr.Ct{Key: expr.CtKeyMARK, Register: reg1},
		bits(mask, 0), equal(host32(d)), accept(),
	}}
}

// noteSuffix ends the names of the chains that note decisions.
const noteSuffix = "-note"

// noteChain comes right behind the queue: a packet that was accepted with the
// mark of a decision has it noted with its connection, and loses it.
func (s *Spec) noteChain(h packet.Hook) chain {
	mask, d := s.Marks.Field(), s.Marks.Decided(s.Generation)
	return chain{name: hookName(h) + noteSuffix, base: true, hook: h, priority: s.priority(h) + 1, rules: []rule{{
		what: "note decisions", uses: usesCt, exprs: []expr.Any{
			meta(expr.MetaKeyMARK), bits(mask, 0), equal(host32(d)),
			&expr.Ct{Key: expr.CtKeyMARK, Register: reg1}, bits(^mask, d),
			&expr.Ct{Key: expr.CtKeyMARK, Register: reg1, SourceRegister: true},
			meta(expr.MetaKeyMARK), bits(^mask, 0),
			&expr.Meta{Key: expr.MetaKeyMARK, Register: reg1, SourceRegister: true},
		},
	}}}
}

// bits keeps those of mask and sets those of set.
func bits(mask, set uint32) expr.Any {
	return &expr.Bitwise{SourceRegister: reg1, DestRegister: reg1, Len: 4, Mask: host32(mask), Xor: host32(set)}
}

// selectProtocols is nil when all protocols are taken.
func (s *Spec) selectProtocols() []uint8 {
	if len(s.Protocols) != 0 || len(s.Ports) == 0 {
		return s.Protocols
	}
	return []uint8{unix.IPPROTO_TCP, unix.IPPROTO_UDP, unix.IPPROTO_SCTP, unix.IPPROTO_DCCP, unix.IPPROTO_UDPLITE}
}

func (s *Spec) portsChain(next string) chain {
	c := chain{name: portsName}
	for _, r := range s.Ports {
		for _, offset := range []uint32{0, 2} {
			c.rules = append(c.rules, rule{what: "select port", exprs: append(transport16(offset, r.First, r.last()), to(next))})
		}
	}
	return c
}

func knowsIn(h packet.Hook) bool {
	return h == packet.Prerouting || h == packet.Input || h == packet.Forward
}

func knowsOut(h packet.Hook) bool {
	return h == packet.Forward || h == packet.Output || h == packet.Postrouting
}

// entrance is the end of a base chain: which interfaces lead to the selection.
func (s *Spec) entrance(h packet.Hook, next string) []rule {
	in, out := len(s.In) != 0, len(s.Out) != 0
	switch {
	case !in && !out:
		return []rule{{what: "divert at " + hookName(h), exprs: []expr.Any{to(next)}}}
	case in && out && knowsIn(h) && knowsOut(h):
		return ifRules(expr.MetaKeyIIFNAME, s.In, outName)
	case in && knowsIn(h):
		return ifRules(expr.MetaKeyIIFNAME, s.In, next)
	case out && knowsOut(h):
		return ifRules(expr.MetaKeyOIFNAME, s.Out, next)
	}
	return nil
}

func ifRules(key expr.MetaKey, names []string, next string) []rule {
	var out []rule
	for _, n := range names {
		r := rule{what: "select interface " + n}
		name, prefix := ifPattern(n)
		if !prefix || name != "" {
			data := []byte(name)
			if !prefix {
				data = make([]byte, unix.IFNAMSIZ)
				copy(data, name)
			}
			r.exprs = []expr.Any{meta(key), equal(data)}
		}
		r.exprs = append(r.exprs, to(next))
		out = append(out, r)
	}
	return out
}

// lifelines are the rules that spare; the cheapest and commonest first.
func (s *Spec) lifelines(h packet.Hook, f features, sshPorts []uint16) []rule {
	own := s.Marks.Own()
	rules := []rule{{what: "spare own traffic", exprs: []expr.Any{
		meta(expr.MetaKeyMARK),
		&expr.Bitwise{SourceRegister: reg1, DestRegister: reg1, Len: 4, Mask: host32(own), Xor: host32(0)},
		equal(host32(own)), accept(),
	}}}
	if !s.Lifelines.DivertLoopback {
		if knowsIn(h) && h != packet.Forward {
			rules = append(rules, rule{what: "spare loopback", exprs: []expr.Any{meta(expr.MetaKeyIIF), equal(host32(loopbackIdx)), accept()}})
		}
		if knowsOut(h) && h != packet.Forward {
			rules = append(rules, rule{what: "spare loopback", exprs: []expr.Any{meta(expr.MetaKeyOIF), equal(host32(loopbackIdx)), accept()}})
		}
	}
	if h != packet.Forward {
		for _, p := range sshPorts {
			rules = append(rules, sshRule(h, p, f))
		}
	}
	if !s.Lifelines.DivertNeighbours {
		rules = append(rules,
			icmpv6Rule("spare neighbour discovery", 255, 133, 137),
			icmpv6Rule("spare multicast listener reports", 1, 130, 132),
			icmpv6Rule("spare multicast listener reports", 1, 143, 143))
	}
	if !s.Lifelines.DivertDHCP && h != packet.Forward {
		rules = append(rules, dhcpRule(unix.NFPROTO_IPV4, 67, 68), dhcpRule(unix.NFPROTO_IPV6, 546, 547))
	}
	return rules
}

// sshRule spares this host's own ssh server. Before routing has decided (and
// after it is forgotten) only the fib knows what is local; without it, ssh to
// everybody is spared there, for the operator's lifeline is worth more than
// looking into forwarded ssh.
func sshRule(h packet.Hook, port uint16, f features) rule {
	r := rule{what: "spare ssh", exprs: l4proto(unix.IPPROTO_TCP)}
	inward := h == packet.Input || h == packet.Prerouting
	offset := uint32(0)
	if inward {
		offset = 2
	}
	r.exprs = append(r.exprs, transport16(offset, port, port)...)
	if f.fib && (h == packet.Prerouting || h == packet.Postrouting) {
		r.uses = usesFib
		r.exprs = append(r.exprs,
			&expr.Fib{Register: reg1, ResultADDRTYPE: true, FlagDADDR: inward, FlagSADDR: !inward},
			equal(host32(rtnLocal)))
	}
	r.exprs = append(r.exprs, accept())
	return r
}

// icmpv6Rule spares types first to last, but only with the hop limit that real
// ones have, so that it is no way around the inspection.
func icmpv6Rule(what string, hopLimit, first, last uint8) rule {
	return rule{what: what, exprs: append(append(l4proto(unix.IPPROTO_ICMPV6),
		meta(expr.MetaKeyNFPROTO), equal([]byte{unix.NFPROTO_IPV6}),
		&expr.Payload{DestRegister: reg1, Base: expr.PayloadBaseNetworkHeader, Offset: 7, Len: 1},
		equal([]byte{hopLimit}),
		&expr.Payload{DestRegister: reg1, Base: expr.PayloadBaseTransportHeader, Offset: 0, Len: 1}),
		append(between([]byte{first}, []byte{last}), accept())...)}
}

func dhcpRule(family byte, first, last uint16) rule {
	e := append(l4proto(unix.IPPROTO_UDP), meta(expr.MetaKeyNFPROTO), equal([]byte{family}))
	e = append(e, transport16(0, first, last)...)
	e = append(e, transport16(2, first, last)...)
	return rule{what: "spare DHCP", exprs: append(e, accept())}
}

// queueRule sends to queues first…first+total-1.
func (s *Spec) queueRule(f features, first, total uint16) rule {
	r := rule{what: fmt.Sprintf("queue to %d", first)}
	open := s.Fail == FailOpen
	if f.native {
		q := &expr.Queue{Num: first, Total: total}
		if open {
			q.Flag = expr.QueueFlagBypass
		}
		r.uses, r.exprs = usesNative, []expr.Any{q}
		return r
	}
	// struct xt_NFQ_info_v3 (uapi/linux/netfilter/xt_NFQUEUE.h): queuenum, total
	// and flags, host byte order, padded to XT_ALIGN.
	info := make(xt.Unknown, 8)
	binary.NativeEndian.PutUint16(info[0:], first)
	binary.NativeEndian.PutUint16(info[2:], total)
	if open {
		binary.NativeEndian.PutUint16(info[4:], nfqFlagBypass)
	}
	r.uses, r.exprs = usesCompat, []expr.Any{&expr.Target{Name: nfqTarget, Rev: 3, Info: &info}}
	return r
}

const (
	nfqTarget     = "NFQUEUE"
	nfqFlagBypass = 1 // NFQ_FLAG_BYPASS
)

func meta(k expr.MetaKey) expr.Any { return &expr.Meta{Key: k, Register: reg1} }

func equal(data []byte) expr.Any {
	return &expr.Cmp{Op: expr.CmpOpEq, Register: reg1, Data: data}
}

func between(first, last []byte) []expr.Any {
	if string(first) == string(last) {
		return []expr.Any{equal(first)}
	}
	return []expr.Any{
		&expr.Cmp{Op: expr.CmpOpGte, Register: reg1, Data: first},
		&expr.Cmp{Op: expr.CmpOpLte, Register: reg1, Data: last},
	}
}

func accept() expr.Any         { return &expr.Verdict{Kind: expr.VerdictAccept} }
func to(chain string) expr.Any { return &expr.Verdict{Kind: expr.VerdictGoto, Chain: chain} }

func l4proto(p uint8) []expr.Any {
	return []expr.Any{meta(expr.MetaKeyL4PROTO), equal([]byte{p})}
}

// transport16 compares a 16-bit field of the transport header with a range.
func transport16(offset uint32, first, last uint16) []expr.Any {
	return append([]expr.Any{&expr.Payload{DestRegister: reg1, Base: expr.PayloadBaseTransportHeader, Offset: offset, Len: 2}},
		between(binary.BigEndian.AppendUint16(nil, first), binary.BigEndian.AppendUint16(nil, last))...)
}

func host32(v uint32) []byte { return binary.NativeEndian.AppendUint32(nil, v) }

// parseTarget reads the attributes of an xtables target expression.
func parseTarget(data []byte) (first, total uint16, bypass, ok bool) {
	var name string
	var rev uint32
	var info []byte
	_ = eachNested(data, func(typ uint16, v []byte) {
		switch {
		case typ == unix.NFTA_TARGET_NAME:
			name = cstring(v)
		case typ == unix.NFTA_TARGET_REV && len(v) == 4:
			rev = binary.BigEndian.Uint32(v)
		case typ == unix.NFTA_TARGET_INFO:
			info = v
		}
	})
	if name != nfqTarget || rev != 3 || len(info) < 6 {
		return 0, 0, false, false
	}
	return binary.NativeEndian.Uint16(info), binary.NativeEndian.Uint16(info[2:]),
		binary.NativeEndian.Uint16(info[4:])&nfqFlagBypass != 0, true
}
