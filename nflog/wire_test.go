package nflog

import (
	"bytes"
	"testing"

	"github.com/garita/garita/internal/nfnl"
	"github.com/garita/garita/packet"
)

var ip = append([]byte{0x45, 0, 0, 28, 0, 1, 0, 0, 64, 17, 0x7c, 0xce, 127, 0, 0, 1, 127, 0, 0, 2}, 0, 7, 0, 8, 0, 8, 0, 0)

// message is a PACKET message of the given attributes.
func message(attrs ...[]byte) []byte {
	b := make([]byte, nfnl.HeaderLen)
	for _, a := range attrs {
		b = append(b, a...)
	}
	nfnl.PutHeader(b, msgPacket, len(b), 0, 7)
	return b
}

func attr(typ uint16, v ...byte) []byte { return nfnl.AppendAttr(nil, typ, v...) }

func full() []byte {
	return message(
		attr(attrPacketHdr, 8, 0, 3, 0),
		attr(attrPrefix, 'h', 'i', 0),
		attr(attrMark, 0, 0, 1, 2),
		attr(attrTimestamp, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 5),
		attr(attrInDev, 0, 0, 0, 1),
		attr(attrOutDev, 0, 0, 0, 2),
		attr(attrPhysInDev, 0, 0, 0, 3),
		attr(attrPhysOutDev, 0, 0, 0, 4),
		attr(attrHWAddr, 0, 6, 0, 0, 1, 2, 3, 4, 5, 6, 0, 0),
		attr(attrHWType, 0, arphrdEther),
		attr(attrHWHeader, 1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 6, 8, 0),
		attr(attrUID, 0, 0, 3, 232),
		attr(attrGID, 0, 0, 3, 233),
		attr(attrSeq, 0, 0, 0, 77),
		attr(attrCT, 1, 2, 3, 4),
		attr(attrCTInfo, 0, 0, 0, 2),
		attr(attrVLAN, append(attr(nfnl.AttrVLANProto, 0x81, 0), attr(nfnl.AttrVLANTCI, 0, 42)...)...),
		attr(attrPayload, ip...),
	)
}

func TestParsePacket(t *testing.T) {
	var p packet.Packet
	var x extra
	if !parsePacket(&p, full(), 1, &x) {
		t.Fatal("no packet")
	}
	p.Decode()
	switch {
	case p.Time != 9_000_005_000, p.Queue != 7, p.HWProtocol != 0x800, p.Hook != packet.Output, p.Mark != 0x102,
		p.InDev != 1, p.OutDev != 2, p.PhysInDev != 3, p.PhysOutDev != 4, p.HWAddrLen != 6, p.HWAddr[5] != 6,
		len(p.L2) != 14, p.UID != 1000, p.GID != 1001, p.CTInfo != 2, !bytes.Equal(p.CT, []byte{1, 2, 3, 4}),
		p.VLANProto != 0x8100, p.VLANTCI != 42, !bytes.Equal(p.Data, ip), p.FullLen != 28, p.Malformed() != 0,
		p.Attrs != packet.HasTime|packet.HasHWAddr|packet.HasL2|packet.HasOwner|packet.HasCT|packet.HasVLAN,
		string(x.prefix) != "hi", x.seq != 77, !x.hasSeq:
		t.Errorf("%+v %+v", p, x)
	}
	for name, m := range map[string][]byte{
		"empty": nil, "only a header": message(), "no packet header": message(attr(attrPayload, ip...)),
		"a packet header too short": message(attr(attrPacketHdr, 8, 0)),
	} {
		if parsePacket(&p, m, 1, &x) {
			t.Error(name, "is taken for a packet")
		}
	}
	// A tunnel's header is not a frame's.
	parsePacket(&p, message(attr(attrPacketHdr, 8, 0, 0, 0), attr(attrHWType, 3, 0), attr(attrHWHeader, 1, 2, 3), attr(attrPayload, ip...)), 1, &x)
	if p.L2 != nil || p.Attrs&packet.HasL2 != 0 {
		t.Errorf("%x", p.L2)
	}
}

// check parses anything: it must not panic, nor hand out bytes that are not
// the message's.
func check(t *testing.T, msg []byte) {
	var p packet.Packet
	var x extra
	ok := parsePacket(&p, msg, 1, &x)
	if ok && len(msg) < nfnl.HeaderLen+8 {
		t.Error("a packet out of nothing")
	}
	if int(p.FullLen) < len(p.Data) || (int(p.FullLen) > len(p.Data)) != (p.Attrs&packet.Truncated != 0) {
		t.Errorf("%d of %d bytes, %v", len(p.Data), p.FullLen, p.Attrs)
	}
	if len(p.Data)+len(p.L2)+len(p.CT)+len(x.prefix) > len(msg) {
		t.Error("more bytes than the message has")
	}
	p.Decode()

	r := Reader{}
	for {
		m, ok := r.next(msg)
		if !ok {
			break
		}
		if len(m) < nfnl.NLHeader {
			t.Fatalf("a message of %d bytes", len(m))
		}
	}
}

func TestEveryPrefix(t *testing.T) {
	m := full()
	for n := range m {
		check(t, m[:n])
	}
}

func FuzzParse(f *testing.F) {
	f.Add(full())
	f.Add(message(attr(attrPacketHdr, 8, 0, 3, 0)))
	f.Add(append(full(), full()...))
	f.Fuzz(func(t *testing.T, msg []byte) { check(t, msg) })
}

func TestSequence(t *testing.T) {
	for _, x := range []struct {
		seqs []uint32
		lost uint64
	}{
		{[]uint32{0, 1, 2}, 0},
		{[]uint32{40, 41}, 0}, // the first is where we came in
		{[]uint32{0, 2, 3, 7}, 4},
		{[]uint32{1<<32 - 1, 0, 1}, 0},
		{[]uint32{1<<32 - 2, 1}, 2},
		{[]uint32{5, 5, 6}, 0},
	} {
		r := Reader{}
		for _, s := range x.seqs {
			r.sequence(s)
		}
		if r.lost.Load() != x.lost {
			t.Errorf("%v: %d lost, want %d", x.seqs, r.lost.Load(), x.lost)
		}
	}
}

func TestNoAllocation(t *testing.T) {
	m := full()
	var p packet.Packet
	var x extra
	if n := testing.AllocsPerRun(100, func() { parsePacket(&p, m, 1, &x); p.Decode() }); n != 0 {
		t.Errorf("%v allocations a packet", n)
	}
}
