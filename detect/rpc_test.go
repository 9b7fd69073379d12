package detect

import (
	"encoding/binary"
	"testing"

	"github.com/garita/garita/packet"
)

func TestRPC(t *testing.T) {
	call := func(words ...uint32) (b []byte) {
		for _, w := range words {
			b = binary.BigEndian.AppendUint32(b, w)
		}
		return b
	}
	for _, x := range []struct {
		rule string
		msg  []byte
		want bool
	}{
		{"100000", call(7, 0, 2, 100000, 2, 3), true},
		{"100000,2,3", call(7, 0, 2, 100000, 2, 3), true},
		{"100000,*,3", call(7, 0, 2, 100000, 2, 3), true},
		{"100000, 3, *", call(7, 0, 2, 100000, 2, 3), false},
		{"100000,2,4", call(7, 0, 2, 100000, 2, 3), false},
		{"100003", call(7, 0, 2, 100000, 2, 3), false},
		{"100000", call(7, 1, 2, 100000, 2, 3), false}, // an answer
		{"100000", call(7, 0, 1, 100000, 2, 3), false},
		{"100000", call(7, 0, 2, 100000, 2), false},
	} {
		b := []byte{0x45, 0, 0, byte(28 + len(x.msg)), 0, 0, 0, 0, 64, packet.ProtoUDP, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0, 99, 0, 111, 0, byte(8 + len(x.msg)), 0, 0}
		p := packet.Packet{Data: append(b, x.msg...)}
		p.Decode()
		bld := &builder{}
		if err := kwRPC(bld, x.rule); err != nil {
			t.Fatal(err)
		}
		if got := matchRPC(&bld.s.conds[0], &p); got != x.want {
			t.Errorf("rpc:%s on %x: %v", x.rule, x.msg, got)
		}
	}
}
