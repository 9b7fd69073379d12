package detect

import (
	"encoding/binary"
	"strconv"
	"strings"

	"github.com/garita/garita/packet"
)

// kwRPC is about calls of ONC RPC (RFC 5531 §9): "program[,version[,procedure]]",
// of which the last two may be "*".
func kwRPC(b *builder, v string) error {
	f := strings.Split(v, ",")
	c := cond{op: condRPC}
	for i, s := range f {
		s = strings.TrimSpace(s)
		if i > 0 && s == "*" {
			continue
		}
		n, err := strconv.ParseUint(s, 10, 32)
		if err != nil || i > 2 {
			return b.fail(0, "not a call: "+strconv.Quote(v), "write program,version,procedure, as in 100000,2,*")
		}
		switch i {
		case 0:
			c.a = uint32(n)
		case 1:
			c.num.a, c.b = n, c.b|1
		default:
			c.num.b, c.b = n, c.b|2
		}
	}
	b.packetCond(c)
	return nil
}

// matchRPC says whether a packet begins with the call that c wants.
func matchRPC(c *cond, p *packet.Packet) bool {
	m := p.Payload()
	switch p.Proto() {
	case packet.ProtoTCP:
		if len(m) < 4 {
			return false
		}
		m = m[4:] // the record mark
	case packet.ProtoUDP:
	default:
		return false
	}
	if len(m) < 24 {
		return false
	}
	word := func(i int) uint32 { return binary.BigEndian.Uint32(m[4*i:]) }
	return word(1) == 0 && word(2) == 2 && word(3) == c.a && (c.b&1 == 0 || uint64(word(4)) == c.num.a) && (c.b&2 == 0 || uint64(word(5)) == c.num.b)
}
