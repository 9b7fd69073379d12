package nfqueue

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"

	"github.com/garita/garita/internal/nfnl"
	"github.com/garita/garita/packet"
)

type fixture struct {
	name string
	msg  []byte
	want packet.Packet
}

const now = 1234567890

func message(attrs ...[]byte) []byte {
	b := make([]byte, nfnl.HeaderLen)
	for _, a := range attrs {
		for len(b)%4 != 0 {
			b = append(b, 0)
		}
		b = append(b, a...)
	}
	nfnl.PutHeader(b, msgPacket, len(b), 0, 5)
	return b
}

func attr(typ uint16, v ...byte) []byte {
	b := nfnl.Native.AppendUint16(nil, uint16(4+len(v)))
	return append(nfnl.Native.AppendUint16(b, typ), v...)
}

var hdr = attr(attrPacketHdr, 0, 0, 1, 2, 0x86, 0xdd, 2)

// fixtures are PACKET messages as the kernel lays them out (nfqnl_build_packet_message),
// and what they mean.
func fixtures() []fixture {
	ip := []byte("E not really an IP packet")
	base := packet.Packet{ID: 258, Queue: 5, HWProtocol: 0x86dd, Hook: packet.Forward, Time: now}
	with := func(f func(*packet.Packet)) packet.Packet { p := base; f(&p); return p }
	return []fixture{
		{"bare", message(hdr), base},
		{"payload", message(hdr, attr(attrPayload, ip...)), with(func(p *packet.Packet) { p.Data, p.FullLen = ip, uint32(len(ip)) })},
		{"empty payload", message(hdr, attr(attrPayload)), with(func(p *packet.Packet) { p.Data = []byte{} })},
		{"devices", message(hdr, attr(attrInDev, 0, 0, 0, 1), attr(attrOutDev, 0, 0, 1, 0), attr(attrPhysInDev, 0, 1, 0, 0), attr(attrPhysOutDev, 1, 0, 0, 0)),
			with(func(p *packet.Packet) { p.InDev, p.OutDev, p.PhysInDev, p.PhysOutDev = 1, 1<<8, 1<<16, 1<<24 })},
		{"marks", message(hdr, attr(attrMark, 1, 2, 3, 4), attr(attrPriority, 5, 6, 7, 8), attr(attrCgroupClass, 0, 1, 0, 2)),
			with(func(p *packet.Packet) {
				p.Mark, p.Priority, p.ClassID, p.Attrs = 0x01020304, 0x05060708, 0x00010002, packet.HasClassID
			})},
		{"address and time", message(hdr, attr(attrHWAddr, 0, 6, 0, 0, 1, 2, 3, 4, 5, 6, 0, 0), attr(attrTimestamp, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 7)),
			with(func(p *packet.Packet) {
				p.HWAddr, p.HWAddrLen, p.Time = [8]byte{1, 2, 3, 4, 5, 6}, 6, 9_000_007_000
				p.Attrs = packet.HasHWAddr | packet.HasTime
			})},
		{"owner", message(hdr, attr(attrUID, 0, 0, 3, 232), attr(attrGID, 0, 0, 0, 100)),
			with(func(p *packet.Packet) { p.UID, p.GID, p.Attrs = 1000, 100, packet.HasOwner })},
		{"conntrack", message(hdr, attr(attrCT|0x8000, 8, 0, 3, 0, 0, 0, 1, 0x8e), attr(attrCTInfo, 0, 0, 0, 2), attr(attrSecCtx, []byte("label\x00")...)),
			with(func(p *packet.Packet) {
				p.CT, p.CTInfo, p.SecCtx = []byte{8, 0, 3, 0, 0, 0, 1, 0x8e}, 2, []byte("label")
				p.Attrs = packet.HasCT | packet.HasSecCtx
			})},
		{"bridge", message(hdr, attr(attrVLAN|0x8000, slices.Concat(attr(nfnl.AttrVLANProto, 0x81, 0), []byte{0, 0}, attr(nfnl.AttrVLANTCI, 0, 42), []byte{0, 0})...), attr(attrL2, make([]byte, 14)...)),
			with(func(p *packet.Packet) {
				p.VLANProto, p.VLANTCI, p.L2, p.Attrs = 0x8100, 42, make([]byte, 14), packet.HasVLAN|packet.HasL2
			})},
		{"cut by copy range, offloaded", message(hdr, attr(attrCapLen, 0, 0, 5, 0), attr(attrSkbInfo, 0, 0, 0, 3), attr(attrPayload, ip...)),
			with(func(p *packet.Packet) {
				p.Data, p.FullLen, p.Attrs, p.Offload = ip, 0x500, packet.Truncated, packet.GSO|packet.CsumNotReady
			})},
		{"cut by a short read", message(hdr, attr(attrPayload, ip...))[:nfnl.HeaderLen+12+4+6],
			with(func(p *packet.Packet) { p.Data, p.FullLen, p.Attrs = ip[:6], uint32(len(ip)), packet.Truncated })},
		{"unknown and short attributes", message(hdr, attr(99, 1, 2, 3), attr(attrMark, 1), attr(attrTimestamp, 1, 2), attr(attrHWAddr, 0, 6), attr(attrInDev, 0, 0, 0, 3)),
			with(func(p *packet.Packet) { p.InDev = 3 })},
	}
}

var samePacket = cmp.Options{cmpopts.IgnoreUnexported(packet.Packet{}), cmpopts.EquateEmpty()}

func TestParsePacket(t *testing.T) {
	for _, f := range fixtures() {
		t.Run(f.name, func(t *testing.T) {
			p := packet.Packet{Mark: 99, Attrs: packet.HasL2, Data: []byte("old"), Verdict: packet.Accept(), L2: []byte("old")}
			if !parsePacket(&p, f.msg, now) {
				t.Fatal("no packet")
			}
			if d := cmp.Diff(f.want, p, samePacket); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestNoID: without an id there is nothing to answer.
func TestNoID(t *testing.T) {
	for _, m := range [][]byte{nil, make([]byte, 10), message(), message(attr(attrPayload, 1, 2, 3)), message(attr(attrPacketHdr, 1, 2, 3))} {
		if parsePacket(new(packet.Packet), m, now) {
			t.Errorf("%x is a packet", m)
		}
	}
}

// TestParseAllocs: parsing needs no memory of its own.
func TestParseAllocs(t *testing.T) {
	var p packet.Packet
	for _, f := range fixtures() {
		if n := testing.AllocsPerRun(50, func() { parsePacket(&p, f.msg, now) }); n != 0 {
			t.Errorf("%s: %v allocations", f.name, n)
		}
	}
}

// TestRoomToGrow: a payload may be lengthened in place where nothing is
// overwritten by it.
func TestRoomToGrow(t *testing.T) {
	slot := make([]byte, 0, 256)
	last := append(slot, message(hdr, attr(attrPayload, 1, 2, 3))...)
	var p packet.Packet
	parsePacket(&p, last, now)
	if cap(p.Data) != 256-len(last)+3 {
		t.Errorf("capacity %d", cap(p.Data))
	}
	parsePacket(&p, append(slot, message(hdr, attr(attrPayload, 1, 2, 3), attr(attrL2, 1))...), now)
	if cap(p.Data) != 3 {
		t.Errorf("capacity %d of a payload that is not the last", cap(p.Data))
	}
}

// obvious is parsePacket written for the eye: it collects the attributes
// first, by copying, and then looks each one up.
func obvious(msg []byte) (p packet.Packet, ok bool) {
	p.Time = now
	if len(msg) < 20 {
		return p, false
	}
	p.Queue = uint16(msg[18])<<8 | uint16(msg[19])
	type attribute struct {
		typ   int
		value []byte
		size  int
	}
	var list []attribute
	split := func(b []byte) (list []attribute) {
		for at := 0; at+4 <= len(b); {
			size := int(nfnl.Native.Uint16(b[at:]))
			typ := int(nfnl.Native.Uint16(b[at+2:])) & 0x3fff
			if size < 4 {
				break
			}
			end := min(at+size, len(b))
			list = append(list, attribute{typ, bytes.Clone(b[at+4 : end]), size - 4})
			at += (size + 3) / 4 * 4
		}
		return list
	}
	num := func(v []byte) (n uint64) {
		for _, b := range v {
			n = n<<8 | uint64(b)
		}
		return n
	}
	list = split(msg[20:])
	capLen := uint64(0)
	for _, a := range list {
		whole := len(a.value) == a.size
		if a.typ == attrPayload {
			p.Data, p.FullLen = a.value, uint32(a.size)
			if !whole {
				p.Attrs |= packet.Truncated
			}
		}
		if !whole {
			break
		}
		v := a.value
		long := func(n int) bool { return len(v) >= n }
		u32 := uint32(0)
		if long(4) {
			u32 = uint32(num(v[:4]))
		}
		switch a.typ {
		case 1:
			if long(7) {
				ok = true
				p.ID, p.HWProtocol, p.Hook = u32, uint16(num(v[4:6])), packet.Hook(v[6])
			}
		case 3:
			p.Mark = u32
		case 4:
			if long(16) {
				p.Time, p.Attrs = int64(num(v[:8])*1e9+num(v[8:16])*1e3), p.Attrs|packet.HasTime
			}
		case 5:
			p.InDev = u32
		case 6:
			p.OutDev = u32
		case 7:
			p.PhysInDev = u32
		case 8:
			p.PhysOutDev = u32
		case 9:
			if long(12) {
				p.HWAddrLen, p.HWAddr, p.Attrs = uint8(min(num(v[:2]), 8)), [8]byte(v[4:12]), p.Attrs|packet.HasHWAddr
			}
		case 11:
			p.CT, p.Attrs = v, p.Attrs|packet.HasCT
		case 12:
			p.CTInfo, p.Attrs = u32, p.Attrs|packet.HasCT
		case 13:
			capLen = uint64(u32)
		case 14:
			p.Offload = packet.Offload(u32)
		case 16:
			p.UID, p.Attrs = u32, p.Attrs|packet.HasOwner
		case 17:
			p.GID, p.Attrs = u32, p.Attrs|packet.HasOwner
		case 18:
			p.SecCtx, p.Attrs = bytes.SplitN(v, []byte{0}, 2)[0], p.Attrs|packet.HasSecCtx
		case 19:
			p.Attrs |= packet.HasVLAN
			for _, a := range split(v) {
				if len(a.value) != a.size {
					break
				}
				n := uint16(0)
				if len(a.value) >= 2 {
					n = uint16(num(a.value[:2]))
				}
				switch a.typ {
				case 1:
					p.VLANProto = n
				case 2:
					p.VLANTCI = n
				}
			}
		case 20:
			p.L2, p.Attrs = v, p.Attrs|packet.HasL2
		case 21:
			p.Priority = u32
		case 22:
			p.ClassID, p.Attrs = u32, p.Attrs|packet.HasClassID
		}
	}
	if capLen > uint64(len(p.Data)) {
		p.FullLen, p.Attrs = uint32(capLen), p.Attrs|packet.Truncated
	}
	return p, ok
}

// law parses msg both ways, with guard bytes around it, and compares.
func law(t testing.TB, msg []byte) {
	t.Helper()
	guarded := append(append(bytes.Repeat([]byte{0xaa}, 64), msg...), bytes.Repeat([]byte{0xaa}, 64)...)
	in := guarded[64 : 64+len(msg) : 64+len(msg)]
	p := packet.Packet{Data: []byte("old"), Verdict: packet.Stop()}
	got := parsePacket(&p, in, now)
	want, ok := obvious(msg)
	if got != ok {
		t.Fatalf("%x: packet %v, want %v", msg, got, ok)
	}
	if got {
		if d := cmp.Diff(want, p, samePacket); d != "" {
			t.Fatalf("%x: %s", msg, d)
		}
	}
	for _, b := range [][]byte{p.Data, p.L2, p.CT, p.SecCtx} {
		if len(b) > len(msg) {
			t.Fatalf("%x: %d bytes borrowed from %d", msg, len(b), len(msg))
		}
		for i := range b[:cap(b)] { // nothing outside the message is within reach
			b[:cap(b)][i] = 0x55
		}
	}
	if !bytes.Equal(guarded[:64], guarded[64+len(msg):]) || bytes.Count(guarded[:64], []byte{0xaa}) != 64 {
		t.Fatalf("%x: wrote outside", msg)
	}
	nfnl.ParseReply(msg)
}

func TestEveryPrefix(t *testing.T) {
	for _, f := range fixtures() {
		for n := range f.msg {
			law(t, f.msg[:n])
		}
		for n := range f.msg { // and every byte wrong
			for _, x := range []byte{1, 0x80, 0xff} {
				m := bytes.Clone(f.msg)
				m[n] ^= x
				law(t, m)
			}
		}
	}
}

func FuzzMessage(f *testing.F) {
	for _, x := range fixtures() {
		f.Add(x.msg)
	}
	f.Add(ackMessage(-int32(unix.ENOENT), ""))
	f.Add(ackMessage(-int32(unix.EINVAL), "what"))
	f.Fuzz(func(t *testing.T, msg []byte) { law(t, msg) })
}

// ackMessage is an NLMSG_ERROR with a capped request.
func ackMessage(code int32, text string) []byte {
	b := make([]byte, 36)
	if text != "" {
		b = append(b, attr(1, append([]byte(text), 0)...)...)
		nfnl.Native.PutUint16(b[6:], 0x300)
	}
	nfnl.Native.PutUint32(b, uint32(len(b)))
	nfnl.Native.PutUint16(b[4:], unix.NLMSG_ERROR)
	nfnl.Native.PutUint32(b[16:], uint32(code))
	return b
}

func TestParseReply(t *testing.T) {
	uncapped := ackMessage(-int32(unix.EPERM), "not so")
	nfnl.Native.PutUint16(uncapped[6:], 0x200)
	nfnl.Native.PutUint32(uncapped[20:], 24) // the request's length: 8 more bytes before the text
	uncapped = slices.Insert(uncapped, 36, make([]byte, 8)...)
	for _, x := range []struct {
		msg   []byte
		errno unix.Errno
		text  string
		ok    bool
	}{
		{ackMessage(0, ""), 0, "", true},
		{ackMessage(-int32(unix.ENOENT), ""), unix.ENOENT, "", true},
		{ackMessage(-int32(unix.EINVAL), "no such thing"), unix.EINVAL, "no such thing", true},
		{uncapped, unix.EPERM, "not so", true},
		{ackMessage(-1, "")[:20], unix.EPERM, "", true},
		{ackMessage(-1, "")[:19], 0, "", false},
		{message(hdr), 0, "", false},
	} {
		if errno, text, ok := nfnl.ParseReply(x.msg); errno != x.errno || text != x.text || ok != x.ok {
			t.Errorf("%x: %v %q %v", x.msg, errno, text, ok)
		}
	}
}

// TestWire pins what is sent, byte by byte, on a little-endian machine.
func TestWire(t *testing.T) {
	if nfnl.Native.Uint16([]byte{1, 0}) != 1 {
		t.Skip("the expected bytes are little-endian")
	}
	var s sender
	s.init(4, 1<<16)
	s.add(msgVerdict, 0x0102, 7, packet.Accept(), nil)
	s.add(msgVerdictBatch, 2, 8, packet.Drop("x"), nil)
	s.add(msgVerdict, 2, 9, packet.ToQueue(0x1234, true).WithMark(0xdeadbeef), nil)
	const want = "2000000001030100000000000000000000000102" + "0c000200" + "00000001" + "00000007" +
		"2000000003030100000000000000000000000002" + "0c000200" + "00000000" + "00000008" +
		"2800000001030100000000000000000000000002" + "0c000200" + "12348003" + "00000009" + "08000300" + "deadbeef"
	if got := fmt.Sprintf("%x", s.buf); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for kind, want := range map[packet.Kind]uint32{packet.KindAccept: 1, packet.KindDrop: 0, packet.KindRepeat: 4, packet.KindStop: 5, packet.KindQueue: 3} {
		if got := verdictWord(packet.Verdict{Kind: kind, Bypass: kind != packet.KindQueue}); got != want {
			t.Errorf("kind %d is %#x, want %#x", kind, got, want)
		}
	}
}
