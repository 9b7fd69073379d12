package packet

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"
)

func decode(b []byte) *Packet {
	p := &Packet{Data: append([]byte(nil), b...)}
	p.Decode()
	return p
}

func TestDecode(t *testing.T) {
	fx := fixtures()
	for _, c := range []struct {
		name         string
		version      uint8
		proto        uint8
		sport, dport uint16
		payload      int
		frag         bool
	}{
		{"udp4", 4, ProtoUDP, 5353, 53, 43, false},
		{"udp4 empty", 4, ProtoUDP, 5353, 53, 0, false},
		{"udp6", 6, ProtoUDP, 5353, 53, 43, false},
		{"tcp4", 4, ProtoTCP, 1234, 80, 43, false},
		{"tcp4 ts", 4, ProtoTCP, 1234, 80, 43, false},
		{"tcp4 syn", 4, ProtoTCP, 1234, 80, 0, false},
		{"tcp6", 6, ProtoTCP, 1234, 80, 43, false},
		{"icmp4", 4, ProtoICMP, 0, 0, 43, false},
		{"icmp6", 6, ProtoICMPv6, 0, 0, 43, false},
		{"sctp4", 4, ProtoSCTP, 9, 10, 43, false},
		{"ip options", 4, ProtoTCP, 1234, 80, 43, false},
		{"ext headers", 6, ProtoUDP, 5353, 53, 43, false},
		{"frag first 4", 4, ProtoUDP, 5353, 53, 40, true},
		{"frag later 4", 4, ProtoUDP, 0, 0, 40, true},
		{"frag first 6", 6, ProtoUDP, 5353, 53, 40, true},
		{"frag later 6", 6, ProtoUDP, 0, 0, 40, true},
		{"unknown proto", 4, 200, 0, 0, 43, false},
	} {
		p := decode(fx[c.name])
		if p.IPVersion() != c.version || p.Proto() != c.proto || p.SrcPort() != c.sport || p.DstPort() != c.dport ||
			len(p.Payload()) != c.payload || p.IsFragment() != c.frag || p.Malformed() != 0 {
			t.Errorf("%s: version %d proto %d ports %d %d payload %d fragment %v malformed %q", c.name,
				p.IPVersion(), p.Proto(), p.SrcPort(), p.DstPort(), len(p.Payload()), p.IsFragment(), p.Malformed())
		}
		if !p.ChecksumOK() && c.name != "sctp4" {
			t.Errorf("%s: checksum wrong", c.name)
		}
	}
}

func TestMalformed(t *testing.T) {
	fx := fixtures()
	edit := func(name string, off int, v ...byte) []byte {
		b := append([]byte(nil), fx[name]...)
		copy(b[off:], v)
		return b
	}
	for _, c := range []struct {
		what string
		b    []byte
		want Event
	}{
		{"empty", nil, EventIPv4PacketTooSmall},
		{"short v4", fx["udp4"][:19], EventIPv4PacketTooSmall},
		{"short v6", fx["udp6"][:39], EventIPv6PacketTooSmall},
		{"version 5", edit("udp4", 0, 0x55), EventIPRawInvalidIPVersion},
		{"header length", edit("udp4", 0, 0x44), EventIPv4HeaderLenTooSmall},
		{"total length", edit("udp4", 2, 0, 10), EventIPv4IPLenSmallerThanHeaderLen},
		{"cut v4", fx["udp4"][:40], EventIPv4TruncatedPacket},
		{"cut v6", fx["udp6"][:60], EventIPv6TruncatedPacket},
		{"tcp offset", edit("tcp4", 32, 0x40), EventTCPHeaderLenTooSmall},
		{"tcp options", edit("tcp4 syn", 32, 0xf0), EventTCPInvalidOptionLen},
		{"udp length", edit("udp4", 24, 0, 4), EventUDPLenInvalid},
		{"udp too long", edit("udp4", 24, 9, 0), EventUDPPacketTooSmall},
		{"ip option", edit("ip options", 21, 1), EventIPv4OptionInvalidLen},
		{"v6 extension", edit("ext headers", 41, 9), EventIPv6TruncatedExtHeader},
	} {
		p := decode(c.b)
		if p.Malformed() != c.want {
			t.Errorf("%s: got %q, want %q", c.what, p.Malformed(), c.want)
		}
	}
	for e := Event(1); e < numEvents; e++ {
		if got, ok := EventByName(e.String()); !ok || got != e {
			t.Errorf("event %d %q: not found by its name", e, e)
		}
	}
}

// invariants hold for every packet after Decode, whatever the bytes.
func invariants(t *testing.T, p *Packet) {
	t.Helper()
	if p.l4 > p.payload || p.payload > p.end || int(p.end) > len(p.Data) {
		t.Fatalf("offsets out of order: %d %d %d of %d", p.l4, p.payload, p.end, len(p.Data))
	}
	_, _, _, _ = p.Src(), p.Dst(), p.Payload(), p.Transport()
	if h, ok := p.IP(); ok {
		_, _, _, _, _ = h.TOS(), h.TTL(), h.ID(), h.Options(), h.Bytes()
	}
	if h, ok := p.TCP(); ok {
		_, _, _ = h.Seq(), h.Flags(), h.Options()
		for k := range 40 {
			h.Option(uint8(k))
		}
	}
	if h, ok := p.UDP(); ok {
		_, _ = h.Len(), h.Bytes()
	}
	if h, ok := p.ICMP(); ok {
		_, _, _ = h.Type(), h.Code(), h.IsError()
		h.Echo()
	}
	p.ChecksumOK()
	p.AppendReset(nil, true)
	p.AppendUnreachable(nil, false)
	var in Packet
	q := p
	for range 4 {
		if !q.Inner(&in, &Tunnels{}) {
			break
		}
		if len(in.Data) >= len(q.Data) {
			t.Fatal("an inner packet as long as its tunnel")
		}
		c := in
		c.Decode()
		q = &c
	}
}

func TestEveryPrefix(t *testing.T) {
	for name, b := range fixtures() {
		for n := range len(b) + 1 {
			p := decode(b[:n])
			invariants(t, p)
			if n < len(b) && p.Malformed() == 0 {
				t.Errorf("%s: %d of %d bytes pass for a whole packet", name, n, len(b))
			}
			for lt := LinkType(0); lt < 300; lt++ {
				q := &Packet{}
				q.DecodeLink(lt, b[:n])
				q.Decode()
				invariants(t, q)
			}
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, b := range fixtures() {
		f.Add(b, uint16(0), uint16(EtherIPv4), uint16(101))
	}
	f.Fuzz(func(t *testing.T, b []byte, flags, etype, link uint16) {
		keep := append([]byte(nil), b...)
		p := &Packet{Data: b, HWProtocol: etype, Offload: Offload(flags & 7), Attrs: Attr(flags >> 3)}
		p.Decode()
		invariants(t, p)
		if !bytes.Equal(keep, b) {
			t.Fatal("Decode wrote to the packet")
		}
		q := &Packet{}
		q.DecodeLink(LinkType(link), b)
		q.Decode()
		invariants(t, q)
		// Edits: whatever is patched, a right checksum stays right.
		ok := p.ChecksumOK()
		if len(p.Payload()) > 0 && p.Replace(0, []byte{^p.Payload()[0]}) == nil && ok && !p.ChecksumOK() {
			t.Fatal("an edit broke the checksum")
		}
		if p.SetPayload([]byte("new payload")) == nil {
			p.Decode()
			if p.Malformed() == 0 && string(p.Payload()) != "new payload" {
				t.Fatalf("payload after SetPayload: %q", p.Payload())
			}
		}
	})
}

// Any patch that does not touch a length or the checksums leaves right
// checksums right and wrong ones wrong, by exactly the same amount.
func TestPatchKeepsChecksum(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for name, b := range fixtures() {
		if name == "sctp4" {
			continue
		}
		for range 2000 {
			p := decode(b)
			damaged := r.IntN(4) == 0 && len(p.Payload()) > 0
			if damaged {
				p.Data[len(p.Data)-1] ^= byte(1 + r.IntN(255))
			}
			before := p.TransportChecksumOK()
			n := 1 + r.IntN(5)
			off := int(p.payload) + r.IntN(max(1, len(p.Payload())-n+1))
			if off+n > int(p.end) {
				continue
			}
			v := make([]byte, n)
			for i := range v {
				v[i] = byte(r.Uint32())
			}
			err := p.Patch(off, v)
			if p.frag&fragLater != 0 {
				if err == nil {
					t.Fatalf("%s: a later fragment was edited", name)
				}
				continue
			}
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if !bytes.Equal(p.Data[off:off+n], v) || !p.Edited() {
				t.Fatalf("%s: not written", name)
			}
			if p.TransportChecksumOK() != before || !p.IPChecksumOK() {
				t.Fatalf("%s: patch of %d bytes at %d: checksum right before %v, after %v", name, n, off, before, !before)
			}
		}
	}
}

func TestSetters(t *testing.T) {
	for name, b := range fixtures() {
		for _, off := range []Offload{0, CsumNotReady, GSO, GSO | CsumNotReady} {
			p := decode(b)
			if name == "sctp4" {
				continue
			}
			field, pseudo := p.csumField()
			noSum := name == "udp4 no sum"
			if off != 0 && (field < 0 || p.frag != 0) {
				continue
			}
			if off&CsumNotReady != 0 && pseudo { // as the kernel leaves it
				binary.BigEndian.PutUint16(p.Data[int(p.l4)+field:], fold(p.pseudo(p.proto, p.end-p.l4)))
				noSum = false
			}
			p.Offload = off
			if off != 0 {
				noSum = false // the first edit writes a whole sum
			}
			later := p.frag&fragLater != 0
			h, _ := p.IP()
			src, dst := netip.MustParseAddr("203.0.113.9"), netip.MustParseAddr("203.0.113.10")
			if p.IPVersion() == 6 {
				src, dst = netip.MustParseAddr("2001:db8:9::9"), netip.MustParseAddr("2001:db8:9::a")
			}
			check := func(what string, err error, done bool) {
				t.Helper()
				if later && (what == "src" || what == "dst") {
					if err != ErrFragment {
						t.Errorf("%s %s: %v, want ErrFragment", name, what, err)
					}
					return
				}
				if err != nil || !done {
					t.Errorf("%s %s: %v, done %v", name, what, err, done)
				}
			}
			check("ttl", h.SetTTL(3), h.TTL() == 3)
			check("tos", h.SetTOS(0xb8), h.TOS() == 0xb8)
			check("src", h.SetSrc(src), p.Src() == src)
			check("dst", h.SetDst(dst), p.Dst() == dst)
			if h, ok := p.TCP(); ok {
				check("sport", h.SetSrcPort(4321), p.SrcPort() == 4321)
				check("dport", h.SetDstPort(8080), p.DstPort() == 8080)
				check("seq", h.SetSeq(1<<31+5), h.Seq() == 1<<31+5)
				check("ack", h.SetAck(77), h.Ack() == 77)
				check("flags", h.SetFlags(RST), h.Flags() == RST)
				check("window", h.SetWindow(9), h.Window() == 9)
				check("urgent", h.SetUrgent(8), h.Urgent() == 8)
			}
			if h, ok := p.UDP(); ok {
				check("sport", h.SetSrcPort(4321), p.SrcPort() == 4321)
				check("dport", h.SetDstPort(8080), p.DstPort() == 8080)
			}
			if h, ok := p.ICMP(); ok {
				check("type", h.SetType(3), h.Type() == 3)
				check("code", h.SetCode(1), h.Code() == 1)
			}
			if p.Offload&CsumNotReady != 0 {
				t.Errorf("%s: still not ready", name)
			}
			p.Offload = 0 // now it has to be right as it stands
			if !p.ChecksumOK() {
				t.Errorf("%s offload %d: checksum wrong after setters", name, off)
			}
			if noSum && binary.BigEndian.Uint16(p.Data[p.l4+6:]) != 0 {
				t.Errorf("%s: a sum appeared where the sender chose none", name)
			}
		}
	}
}

func TestSetPayload(t *testing.T) {
	for name, b := range fixtures() {
		for _, n := range []int{0, 1, 8, 43, 44, 999} {
			p := decode(b)
			text := bytes.Repeat([]byte("x"), n)
			err := p.SetPayload(text)
			same := n == len(decode(b).Payload())
			fits := p.frag == 0 && (p.proto == ProtoUDP || p.proto == ProtoICMP || p.proto == ProtoICMPv6)
			if same && p.frag&fragLater == 0 && n > 0 {
				fits = true
			}
			if (err == nil) != fits && !(same && n == 0) {
				t.Errorf("%s to %d bytes: %v", name, n, err)
			}
			if err != nil {
				if !bytes.Equal(p.Data, b) || p.Edited() {
					t.Errorf("%s to %d bytes: refused, but changed", name, n)
				}
				continue
			}
			q := decode(p.Data)
			if q.Malformed() != 0 || !bytes.Equal(q.Payload(), text) || (!q.ChecksumOK() && name != "sctp4") {
				t.Errorf("%s to %d bytes: %q, payload %d bytes", name, n, q.Malformed(), len(q.Payload()))
			}
		}
	}
}

func TestReplies(t *testing.T) {
	for name, b := range fixtures() {
		for _, toDst := range []bool{false, true} {
			p := decode(b)
			for kind, r := range map[string][]byte{"reset": p.AppendReset(nil, toDst), "unreachable": p.AppendUnreachable(nil, toDst)} {
				if r == nil {
					if (kind == "reset" && p.proto == ProtoTCP) || (kind == "unreachable" && p.frag&fragLater == 0) {
						t.Errorf("%s: no %s", name, kind)
					}
					continue
				}
				q := decode(r)
				if q.Malformed() != 0 || !q.ChecksumOK() {
					t.Errorf("%s: %s malformed %q", name, kind, q.Malformed())
				}
				src, dst := p.Dst(), p.Src()
				if toDst {
					src, dst = dst, src
				}
				if q.Src() != src || q.Dst() != dst {
					t.Errorf("%s: %s goes from %v to %v", name, kind, q.Src(), q.Dst())
				}
				h, ok := q.TCP()
				if !ok {
					continue
				}
				o, _ := p.TCP()
				want := o.Ack()
				if toDst {
					want = o.Seq()
				}
				if h.Seq() != want || h.Flags()&RST == 0 || q.SrcPort() == q.DstPort() {
					t.Errorf("%s: reset with sequence %d, want %d", name, h.Seq(), want)
				}
			}
		}
	}
}

func TestInner(t *testing.T) {
	for name, want := range map[string]uint8{"gre": ProtoUDP, "ip in ip": ProtoTCP, "6in4": ProtoUDP} {
		p := decode(fixtures()[name])
		var in Packet
		if !p.Inner(&in, &Tunnels{}) {
			t.Errorf("%s: not recognised", name)
			continue
		}
		in.Decode()
		if in.Proto() != want || in.Malformed() != 0 {
			t.Errorf("%s: inner protocol %d, malformed %q", name, in.Proto(), in.Malformed())
		}
	}
}

// ERSPAN type II names the VLAN of the mirrored frame in its own header.
func TestInnerERSPAN(t *testing.T) {
	frame := append([]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 8, 0}, fixtures()["udp4"]...)
	p := decode(build(shape{proto: ProtoGRE, payload: append([]byte{0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0x10, 23, 0, 0, 0, 0, 0, 0}, frame...)}))
	var in Packet
	if !p.Inner(&in, &Tunnels{}) {
		t.Fatal("not recognised")
	}
	in.Decode()
	if in.Proto() != ProtoUDP || in.NVLAN != 1 || in.VLANs[0] != 23 {
		t.Errorf("protocol %d, VLANs %v", in.Proto(), in.VLANs[:in.NVLAN])
	}
}

func TestDecodeDoesNotAllocate(t *testing.T) {
	for name, b := range fixtures() {
		p := &Packet{}
		if n := testing.AllocsPerRun(100, func() {
			p.Data = b
			p.Decode()
			p.ChecksumOK()
			p.Src()
			p.Dst()
		}); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func TestChecksumPartial(t *testing.T) {
	for _, name := range []string{"udp4", "udp6", "tcp4", "tcp6", "icmp6"} {
		p := decode(fixtures()[name])
		if p.ChecksumPartial() {
			t.Errorf("%s: a whole checksum passes for a partial one", name)
		}
		field, _ := p.csumField()
		binary.BigEndian.PutUint16(p.Data[int(p.l4)+field:], fold(p.pseudo(p.proto, p.end-p.l4)))
		if p.ChecksumOK() || !p.ChecksumPartial() {
			t.Errorf("%s: partial checksum: right %v, partial %v", name, p.ChecksumOK(), p.ChecksumPartial())
		}
	}
}

func TestSum(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 20000 {
		b := make([]byte, r.IntN(80))
		for i := range b {
			b[i] = byte(r.Uint32())
			if r.IntN(2) == 0 {
				b[i] = 0xff
			}
		}
		if got, want := ^fold(sum(0, b)), slowSum(b); got != want && !(got == 0 && want == 0xffff) {
			t.Fatalf("%x: %04x, want %04x", b, got, want)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, name := range []string{"udp4", "tcp4 ts", "tcp6"} {
		data := fixtures()[name]
		b.Run(name, func(b *testing.B) {
			p := &Packet{Data: data}
			for b.Loop() {
				p.Decode()
			}
		})
	}
}
