package detect

import (
	"math/bits"
	"strconv"
	"strings"

	"github.com/garita/garita/packet"
)

// cond adds a condition on the packet itself.
func (b *builder) packetCond(c cond) {
	b.s.flags |= sigNeedPacket | sigRealPacket
	b.s.conds = append(b.s.conds, c)
}

func (b *builder) numCond(op condOp, v string, width int) error {
	r, bad := parseRange(v, width)
	if bad != "" {
		return b.fail(0, bad, "")
	}
	b.packetCond(cond{op: op, num: r})
	return nil
}

func kwDsize(b *builder, v string) error { return b.numCond(condDsize, v, 16) }
func kwTTL(b *builder, v string) error   { return b.numCond(condTTL, v, 8) }
func kwIType(b *builder, v string) error { return b.icmp(condICMPType, v) }
func kwICode(b *builder, v string) error { return b.icmp(condICMPCode, v) }
func kwMTU(b *builder, v string) error   { return b.numCond(condMTU, v, 32) }
func kwMSS(b *builder, v string) error   { return b.numCond(condMSS, v, 16) }

func (b *builder) icmp(op condOp, v string) error { return b.numCond(op, v, 8) }

// exact is a keyword for one number; only the window may be negated.
func (b *builder) exact(op condOp, v string, width int) error {
	digits, neg := strings.CutPrefix(v, "!")
	n, err := strconv.ParseUint(strings.TrimSpace(digits), 10, width)
	if err != nil || neg && op != condWindow {
		return b.fail(0, "not a number of "+strconv.Itoa(width)+" bits: "+strconv.Quote(v), "")
	}
	b.packetCond(cond{op: op, a: uint32(n), neg: neg})
	return nil
}

func kwIPID(b *builder, v string) error    { return b.exact(condIPID, v, 16) }
func kwICMPID(b *builder, v string) error  { return b.exact(condICMPID, v, 16) }
func kwICMPSeq(b *builder, v string) error { return b.exact(condICMPSeq, v, 16) }
func kwSeq(b *builder, v string) error     { return b.exact(condSeq, v, 32) }
func kwAck(b *builder, v string) error     { return b.exact(condAck, v, 32) }
func kwWindow(b *builder, v string) error  { return b.exact(condWindow, v, 16) }

func kwTOS(b *builder, v string) error {
	s := strings.Trim(v, `" `)
	s, neg := strings.CutPrefix(s, "!")
	s = strings.TrimSpace(s)
	var n uint64
	var err error
	if strings.HasPrefix(s, "x") {
		n, err = strconv.ParseUint(s[1:], 16, 8)
	} else {
		n, err = strconv.ParseUint(s, 10, 8)
	}
	if err != nil {
		return b.fail(0, "not a type of service: "+strconv.Quote(v), "write 0 to 255, or xNN in hex")
	}
	b.packetCond(cond{op: condTOS, a: uint32(n), neg: neg})
	return nil
}

func kwIPOpts(b *builder, v string) error {
	opts := map[string]uint32{"rr": 7, "lsrr": 131, "eol": 0, "nop": 1, "ts": 68, "sec": 130, "esec": 133, "ssrr": 137, "satid": 136, "cipso": 134, "qs": 25, "ets": 148, "mtup": 11, "mtur": 12, "tr": 82, "addext": 147, "rtralt": 148, "sdb": 149, "nsapa": 150, "dps": 151, "ump": 152, "any": noIPOption}
	n, ok := opts[strings.ToLower(strings.TrimSpace(v))]
	if !ok {
		return b.fail(0, "unknown IP option "+strconv.Quote(v), "rr, eol, nop, ts, sec, esec, lsrr, ssrr, satid, any")
	}
	b.packetCond(cond{op: condIPOpts, a: n})
	return nil
}

func kwFragBits(b *builder, v string) error {
	c := cond{op: condFragBits, num: numRange{op: numEQ}}
	switch v[0] {
	case '+':
		c.num.op, v = numGE, v[1:]
	case '*':
		c.num.op, v = numAnyBit, v[1:]
	case '!':
		c.num.op, v = numNE, v[1:]
	}
	// What stands behind the letters is passed over.
	for _, r := range v {
		i := strings.IndexRune("MDR", r)
		if i < 0 {
			break
		}
		c.a |= 1 << i
	}
	if c.a == 0 {
		return b.fail(0, "not fragment bits: "+strconv.Quote(v), "write M, D and R, with +, * or ! before them")
	}
	b.packetCond(c)
	return nil
}

// kwFragOffset reads "5", "<5", ">5" or "!5"; what stands behind the number is
// passed over, as Suricata does.
func kwFragOffset(b *builder, v string) error {
	op := numEQ
	switch v[0] {
	case '<':
		op, v = numLT, v[1:]
	case '>':
		op, v = numGT, v[1:]
	}
	v = strings.TrimSpace(v)
	n, err := strconv.ParseUint(v[:len(v)-len(strings.TrimLeft(v, "0123456789"))], 10, 16)
	if err != nil {
		return b.fail(0, "not an offset in units of 8 bytes: "+strconv.Quote(v), "write 5, <5 or >5")
	}
	b.packetCond(cond{op: condFragOffset, num: numRange{op: op, a: n}})
	return nil
}

// ipProtoNames are the names of /etc/protocols that rules use.
var ipProtoNames = map[string]uint8{
	"ip": 0, "hopopt": 0, "icmp": 1, "igmp": 2, "ggp": 3, "ipencap": 4, "ipv4": 4, "st": 5, "tcp": 6, "egp": 8, "igp": 9,
	"pup": 12, "udp": 17, "hmp": 20, "xns-idp": 22, "rdp": 27, "iso-tp4": 29, "dccp": 33, "xtp": 36, "ddp": 37,
	"idpr-cmtp": 38, "ipv6": 41, "ipv6-route": 43, "ipv6-frag": 44, "idrp": 45, "rsvp": 46, "gre": 47, "esp": 50,
	"ah": 51, "skip": 57, "ipv6-icmp": 58, "icmpv6": 58, "icmp6": 58, "ipv6-nonxt": 59, "ipv6-opts": 60, "rspf": 73, "vmtp": 81,
	"eigrp": 88, "ospf": 89, "ax.25": 93, "ipip": 94, "etherip": 97, "encap": 98, "pim": 103, "ipcomp": 108,
	"vrrp": 112, "l2tp": 115, "isis": 124, "sctp": 132, "fc": 133, "mobility-header": 135, "udplite": 136,
	"mpls-in-ip": 137, "manet": 138, "hip": 139, "shim6": 140,
}

func kwIPProto(b *builder, v string) error {
	s := strings.Trim(v, `" `)
	op := byte('=')
	if s != "" && strings.IndexByte("!<>", s[0]) >= 0 {
		op = s[0]
		s = strings.TrimSpace(s[1:])
	}
	n, err := strconv.ParseUint(s, 10, 8)
	if err != nil {
		p, ok := ipProtoNames[strings.ToLower(s)]
		if !ok {
			return b.fail(0, "unknown IP protocol "+strconv.Quote(s), "write its number or its name in /etc/protocols")
		}
		n = uint64(p)
	}
	set := new(protoSet)
	for p := range 256 {
		var in bool
		switch op {
		case '=':
			in = uint64(p) == n
		case '!':
			in = uint64(p) != n
		case '<':
			in = uint64(p) < n
		case '>':
			in = uint64(p) > n
		}
		if in {
			set.set(uint8(p))
		}
	}
	// Several of them restrict the protocols of the head.
	if b.s.protos == nil {
		b.s.protos = set
		return nil
	}
	if op == '=' && b.seen["ip_proto="] > 0 {
		return b.fail(0, "two protocols at once", "only negated ones can be combined")
	}
	both := *b.s.protos
	for i := range both {
		both[i] &= set[i]
	}
	b.s.protos = &both
	return nil
}

func kwSameIP(b *builder, v string) error {
	b.packetCond(cond{op: condSameIP})
	return nil
}

func kwL3Proto(b *builder, v string) error {
	switch strings.ToLower(v) {
	case "ip4", "ipv4":
		b.s.flags |= sigIPv4
	case "ip6", "ipv6":
		b.s.flags |= sigIPv6
	default:
		return b.fail(0, "unknown protocol "+strconv.Quote(v), "ip4 or ip6")
	}
	return nil
}

// kwFlags reads "[!*+]FSRPAUECN0[,ignored]".
func kwFlags(b *builder, v string) error {
	have, ignored, _ := strings.Cut(v, ",")
	c := cond{op: condTCPFlags, num: numRange{op: numEQ}, b: 0xff}
	flags := func(s string, mods bool) (f uint32, err error) {
		for _, r := range s {
			switch r {
			case 'F', 'f':
				f |= uint32(packet.FIN)
			case 'S', 's':
				f |= uint32(packet.SYN)
			case 'R', 'r':
				f |= uint32(packet.RST)
			case 'P', 'p':
				f |= uint32(packet.PSH)
			case 'A', 'a':
				f |= uint32(packet.ACK)
			case 'U', 'u':
				f |= uint32(packet.URG)
			case 'E', 'e', '2':
				f |= uint32(packet.ECE)
			case 'C', 'c', '1':
				f |= uint32(packet.CWR)
			case '0', ' ':
			case '+', '*', '!':
				if !mods {
					return 0, b.fail(0, "modifiers do not go with ignored flags", "")
				}
				switch r {
				case '+':
					c.num.op = numGE
				case '*':
					c.num.op = numAnyBit
				case '!':
					c.neg = true
				}
			default:
				return 0, b.fail(0, "not a TCP flag: "+strconv.QuoteRune(r), "F S R P A U E C and 0, with +, * or !")
			}
		}
		return f, nil
	}
	var err error
	if c.a, err = flags(have, true); err != nil {
		return err
	}
	ign, err := flags(ignored, false)
	if err != nil {
		return err
	}
	c.b &^= ign
	if c.neg && c.num.op == numEQ {
		c.num.op = numGE // not all of these
	}
	b.packetCond(c)
	return nil
}

func kwCsum(b *builder, v string) error {
	c := cond{op: condChecksum, name: b.o.Name, num: numRange{a: 4}}
	switch strings.ToLower(strings.Trim(v, `"`)) {
	case "valid":
		c.a = 1
	case "invalid":
	default:
		return b.fail(0, "unknown value "+strconv.Quote(v), "valid or invalid")
	}
	switch {
	case strings.HasPrefix(c.name, "tcp"):
		c.b = packet.ProtoTCP
	case strings.HasPrefix(c.name, "udp"):
		c.b = packet.ProtoUDP
	case c.name == "icmpv4-csum":
		c.b = packet.ProtoICMP
	case c.name == "icmpv6-csum":
		c.b = packet.ProtoICMPv6
	}
	if strings.Contains(c.name, "v6-") {
		c.num.a = 6
	}
	b.packetCond(c)
	return nil
}

func kwDecodeEvent(b *builder, v string) error {
	name := strings.TrimPrefix(strings.ToLower(v), "decoder.")
	if s, ok := strings.CutPrefix(name, "stream."); ok {
		return kwStreamEvent(b, s)
	}
	e, ok := packet.EventByName(name)
	if !ok && strings.HasPrefix(name, "afpacket.") {
		// Events of a source that is not used here.
		b.hasEvent = true
		b.packetCond(cond{op: condNever})
		return nil
	}
	if !ok {
		return b.fail(0, "unknown event "+strconv.Quote(v), "")
	}
	b.hasEvent = true
	b.packetCond(cond{op: condDecodeEvent, a: uint32(e)})
	return nil
}

func kwStreamEvent(b *builder, v string) error {
	name := strings.TrimPrefix(v, "stream.")
	b.c.rs.anyOverlap = b.c.rs.anyOverlap || name == "reassembly_overlap_different_data"
	b.packetCond(cond{op: condStreamEvent, name: name})
	return nil
}

// trailingZeros is the shift that a byte operation's mask implies.
func trailingZeros(mask uint64) uint8 { return uint8(bits.TrailingZeros64(mask) & 63) }
