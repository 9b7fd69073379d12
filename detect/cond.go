package detect

import (
	"encoding/binary"

	"github.com/garita/garita/app"
	"github.com/garita/garita/packet"
)

// cond is a condition on the packet or on what is known of its flow.
type cond struct {
	op   condOp
	neg  bool
	a, b uint32
	num  numRange
	ids  []uint32 // flow bits of which one suffices
	name string
	set  *protoSet
	geo  *geoRule
}

type condOp uint8

const (
	condNever condOp = iota
	condDsize
	condTTL
	condTOS
	condIPID
	condIPOpts
	condFragBits
	condFragOffset
	condIPProto
	condSameIP
	condICMPType
	condICMPCode
	condICMPID
	condICMPSeq
	condMTU
	condTCPFlags
	condSeq
	condAck
	condWindow
	condMSS
	condDecodeEvent
	condStreamEvent
	condChecksum
	condStreamSize
	condFlowbit
	condXbit
	condHostbit
	condFlowint
	condAppProto
	condFlowAge
	condFlowPackets
	condFlowBytes
	condL3
	condEngineEvent
	condFlowvar
	condAppEvent
	condIPRep
	condGeoIP
	condPktvar
	condRPC
)

// match evaluates one condition. The head of the rule has matched already.
func (w *Worker) match(c *cond, in *Input) bool {
	p := in.Packet
	if c.op >= condICMPType && c.op <= condMSS && p.IsFragment() {
		return false // its transport header is not complete
	}
	switch c.op {
	case condDsize:
		// Sizes that only a payload can have need one that is looked at.
		n := uint64(len(payloadOf(p)))
		if n == 0 || in.NoPayload() {
			switch c.num.op {
			case numNE, numGT, numGE, numIn:
				return false
			}
		}
		return c.num.match(n)
	case condTTL:
		ip, ok := p.IP()
		return ok && c.num.match(uint64(ip.TTL()))
	case condTOS:
		ip, ok := p.IP()
		return ok && p.IPVersion() == 4 && (uint32(ip.TOS()) == c.a) != c.neg
	case condIPID:
		ip, ok := p.IP()
		return ok && p.IPVersion() == 4 && ip.ID() == c.a
	case condIPOpts:
		return w.ipOption(c, p)
	case condFragBits:
		return w.fragBits(c, p)
	case condFragOffset:
		if p.IPVersion() == 0 || p.IPVersion() == 6 && !p.IsFragment() {
			return false
		}
		return c.num.match(uint64(p.FragOffset()) / 8)
	case condIPProto:
		return p.IPVersion() != 0 && c.set.has(p.Proto())
	case condRPC:
		return matchRPC(c, p)
	case condSameIP:
		return p.IPVersion() != 0 && p.Src() == p.Dst()
	case condICMPType:
		h, ok := p.ICMP()
		return ok && c.num.match(uint64(h.Type()))
	case condICMPCode:
		h, ok := p.ICMP()
		return ok && c.num.match(uint64(h.Code()))
	case condICMPID:
		h, ok := p.ICMP()
		if !ok {
			return false
		}
		id, _, ok := h.Echo()
		return ok && uint32(id) == c.a
	case condICMPSeq:
		h, ok := p.ICMP()
		if !ok {
			return false
		}
		_, seq, ok := h.Echo()
		return ok && uint32(seq) == c.a
	case condMTU:
		h, ok := p.ICMP()
		return ok && p.Proto() == packet.ProtoICMPv6 && h.Type() == 2 && c.num.match(uint64(binary.BigEndian.Uint32(h.Bytes()[4:])))
	case condTCPFlags:
		h, ok := p.TCP()
		if !ok {
			return false
		}
		return tcpFlagsMatch(c, uint8(h.Flags()))
	case condSeq:
		h, ok := p.TCP()
		return ok && h.Seq() == c.a
	case condAck:
		h, ok := p.TCP()
		return ok && h.Ack() == c.a
	case condWindow:
		h, ok := p.TCP()
		return ok && (uint32(h.Window()) == c.a) != c.neg
	case condMSS:
		h, ok := p.TCP()
		if !ok {
			return false
		}
		o, ok := h.Option(2)
		return ok && len(o) == 2 && c.num.match(uint64(binary.BigEndian.Uint16(o)))
	case condDecodeEvent:
		for _, e := range p.Events() {
			if uint32(e) == c.a {
				return true
			}
		}
		return false
	case condStreamEvent:
		for _, e := range in.StreamEvents {
			if e == c.name {
				return true
			}
		}
		return false
	case condChecksum:
		return w.checksum(c, p)
	case condStreamSize:
		return streamSize(c, in)
	case condFlowbit:
		return in.Flow != nil && in.Flow.anyBit(c.ids) != c.neg
	case condXbit:
		return w.xbitTest(c, in)
	case condHostbit:
		return w.hostbitTest(c, in)
	case condFlowint:
		return in.Flow != nil && in.Flow.testInt(c)
	case condAppProto:
		return w.appProto(c, in)
	case condFlowAge:
		return in.Flow != nil && c.num.match(uint64(max(0, p.Time/1e9-in.Flow.Start/1e9)))
	case condFlowPackets:
		return in.Flow != nil && c.num.match(in.Flow.Packets[c.a])
	case condFlowBytes:
		return in.Flow != nil && c.num.match(in.Flow.Bytes[c.a])
	case condL3:
		return uint32(p.IPVersion()) == c.a
	case condIPRep:
		return w.ipRep(c)
	case condGeoIP:
		return w.geoIP(c.geo, in)
	case condPktvar:
		return w.packetVarContains(c.a, c.name)
	case condAppEvent:
		return w.connEvent(c, in)
	case condFlowvar:
		return in.Flow != nil && in.Flow.varContains(c.a, c.name) != c.neg
	}
	return false
}

// Bits of TCP headers by which Suricata sorts rules out before they are looked
// at: a rule that names one of a class wants a packet that has one of it.
const (
	beginOrEnd   = uint32(packet.SYN | packet.FIN | packet.RST)
	unusualFlags = uint32(packet.URG | packet.ECE | packet.CWR)
)

// tcpFlagsMatch: a are the bits, b those that are looked at; num.op is how:
// EQ all and no others, GE all at least ('+'), AnyBit one of them ('*').
func tcpFlagsMatch(c *cond, flags uint8) bool {
	all := uint32(flags)
	if c.a&beginOrEnd != 0 && all&beginOrEnd == 0 || c.a&unusualFlags != 0 && all&unusualFlags == 0 {
		return false
	}
	f := all & c.b
	if c.a == 0 {
		return (f == 0) != c.neg && c.num.op != numAnyBit
	}
	switch c.num.op {
	case numGE:
		return f&c.a == c.a != c.neg
	case numAnyBit:
		return f&c.a != 0 && (c.a&uint32(packet.SYN) == 0 || f&uint32(packet.SYN) != 0)
	}
	return f == c.a != c.neg
}

func (w *Worker) fragBits(c *cond, p *packet.Packet) bool {
	ip, ok := p.IP()
	if !ok || p.IPVersion() != 4 {
		return false
	}
	f := uint32(ip.FragBits())
	switch c.num.op {
	case numGE: // and more than these
		return f&c.a == c.a && f > c.a
	case numAnyBit:
		return f&c.a != 0
	case numNE:
		return f&c.a != c.a
	}
	return f == c.a
}

func (w *Worker) ipOption(c *cond, p *packet.Packet) bool {
	ip, ok := p.IP()
	if !ok || p.IPVersion() != 4 {
		return false
	}
	o := ip.Options()
	for len(o) > 0 {
		if uint32(o[0]) == c.a {
			return true
		}
		if o[0] == 0 {
			return false
		}
		if o[0] == 1 {
			o = o[1:]
			continue
		}
		if len(o) < 2 || o[1] < 2 || int(o[1]) > len(o) {
			return false
		}
		o = o[o[1]:]
	}
	return false
}

// noIPOption is what "ipopts:any" looks for: it matches nothing in Suricata.
const noIPOption = 1 << 16

func (w *Worker) checksum(c *cond, p *packet.Packet) bool {
	valid := true
	switch c.name {
	case "ipv4-csum":
		if p.IPVersion() != 4 {
			return false
		}
		valid = p.IPChecksumOK()
	default:
		v, proto := uint8(4), uint8(c.b)
		if c.num.a == 6 {
			v = 6
		}
		if p.IPVersion() != v || p.Proto() != proto || p.IsFragment() {
			return false
		}
		if p.Offload&packet.CsumNotReady == 0 {
			valid = p.TransportChecksumOK()
		}
	}
	return valid == (c.a == 1)
}

// streamSize: a is the side (0 server, 1 client, 2 both, 3 either).
func streamSize(c *cond, in *Input) bool {
	if in.Flow == nil || in.Packet.Proto() != packet.ProtoTCP {
		return false
	}
	// "client" is what the client sent.
	ts := c.num.match(uint64(in.Flow.StreamSize[app.ToServer]))
	tc := c.num.match(uint64(in.Flow.StreamSize[app.ToClient]))
	switch c.a {
	case 0:
		return tc
	case 1:
		return ts
	case 2:
		return ts && tc
	}
	return ts || tc
}

func (w *Worker) appProto(c *cond, in *Input) bool {
	conn := in.conn()
	if conn == nil && (c.b != 0 || in.Flow == nil) {
		return false
	}
	var p app.Proto
	switch c.b {
	case 0: // of the packet's direction
		p = in.proto()
	case 1:
		p = conn.ProtoOf(app.ToServer)
	case 2:
		p = conn.ProtoOf(app.ToClient)
	case 3:
		p = conn.Proto()
	case 4:
		p = conn.OrigProto()
	case 5:
		return (protoIs(conn.ProtoOf(app.ToServer), c.a) || protoIs(conn.ProtoOf(app.ToClient), c.a)) != c.neg
	}
	if c.neg && p == app.Unknown {
		return false // nothing can be said yet
	}
	return protoIs(p, c.a) != c.neg
}

func protoIs(p app.Proto, set uint32) bool {
	if set == protoHTTPAny {
		return p == app.HTTP1 || p == app.HTTP2
	}
	return p == app.Proto(set)
}

const protoHTTPAny = 1 << 16

// The state of a flow.

func (f *Flow) bit(id uint32) int {
	for i, b := range f.bits {
		if b == id {
			return i
		}
	}
	return -1
}

func (f *Flow) anyBit(ids []uint32) bool {
	for _, id := range ids {
		if f.bit(id) >= 0 {
			return true
		}
	}
	return false
}

func (f *Flow) setBit(id uint32) {
	if f.bit(id) < 0 {
		f.bits = append(f.bits, id)
	}
}

func (f *Flow) clearBit(id uint32) {
	if i := f.bit(id); i >= 0 {
		f.bits[i] = f.bits[len(f.bits)-1]
		f.bits = f.bits[:len(f.bits)-1]
	}
}

func (f *Flow) intOf(id uint32) *flowInt {
	for i := range f.ints {
		if f.ints[i].id == id {
			return &f.ints[i]
		}
	}
	return nil
}

// testInt: a is the variable; b = 1 asks whether it is set, 2 whether not.
func (f *Flow) testInt(c *cond) bool {
	v := f.intOf(c.a)
	switch c.b {
	case 1:
		return v != nil
	case 2:
		return v == nil
	}
	r := c.num
	if len(c.ids) > 0 { // compared with another variable
		o := f.intOf(c.ids[0])
		if o == nil {
			return false
		}
		r.a = uint64(o.v)
	}
	return v != nil && r.match(uint64(v.v))
}

func (f *Flow) varOf(id uint32) []byte {
	for i := range f.fvars {
		if f.fvars[i].id == id {
			return f.fvars[i].v
		}
	}
	return nil
}

func (f *Flow) setVar(id uint32, v []byte) {
	for i := range f.fvars {
		if f.fvars[i].id == id {
			f.fvars[i].v = append(f.fvars[i].v[:0], v...)
			return
		}
	}
	if len(f.fvars) < 64 {
		f.fvars = append(f.fvars, flowVar{id, append([]byte(nil), v...)})
	}
}

// savePacketVar remembers a variable of the packet under inspection.
func (w *Worker) savePacketVar(id uint32, v []byte) {
	if len(w.vars) < maxPacketVars {
		at := len(w.varBytes)
		w.varBytes = append(w.varBytes, v...)
		w.vars = append(w.vars, Var{Name: id, at: at, end: len(w.varBytes)})
	}
}

const maxPacketVars = 64

func (w *Worker) packetVarContains(id uint32, s string) bool {
	for _, v := range w.vars {
		if v.Name == id {
			return containsString(w.varBytes[v.at:v.end], s)
		}
	}
	return false
}

// Bits are the numbers of the flow's bits that are set, see Ruleset.Name. They
// belong to the flow.
func (f *Flow) Bits() []uint32 { return f.bits }

// Int is the i-th integer of the flow and the number of its name; false if
// there are not so many.
func (f *Flow) Int(i int) (name, value uint32, ok bool) {
	if i >= len(f.ints) {
		return 0, 0, false
	}
	return f.ints[i].id, f.ints[i].v, true
}

// Var is the i-th variable of the flow, as Int. Its value belongs to the flow.
func (f *Flow) Var(i int) (name uint32, value []byte, ok bool) {
	if i >= len(f.fvars) {
		return 0, nil, false
	}
	return f.fvars[i].id, f.fvars[i].v, true
}

func (f *Flow) varContains(id uint32, s string) bool {
	v := f.varOf(id)
	return v != nil && containsString(v, s)
}

func containsString(b []byte, s string) bool {
	for i := 0; i+len(s) <= len(b); i++ {
		if string(b[i:i+len(s)]) == s {
			return true
		}
	}
	return false
}
