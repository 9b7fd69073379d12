package packet

import (
	"encoding/binary"
	"net/netip"
)

// shape says what build makes. The zero value is a plain IPv4 UDP packet.
type shape struct {
	v6      bool
	proto   uint8
	payload []byte
	ipOpts  []byte // IPv4 options or whole IPv6 extension headers (first one's type in ext)
	ext     uint8
	tcpOpts []byte
	fragOff int
	more    bool
	noSum   bool // UDP checksum 0
}

// build makes a packet with right checksums, by plain means that share
// nothing with the code under test.
func build(s shape) []byte {
	if s.proto == 0 {
		s.proto = ProtoUDP
	}
	var l4 []byte
	put16 := func(b []byte, v int) []byte { return append(b, byte(v>>8), byte(v)) }
	switch s.proto {
	case ProtoTCP:
		l4 = put16(put16(l4, 1234), 80)
		l4 = append(l4, 0, 0, 0, 100, 0, 0, 0, 200, byte((20+len(s.tcpOpts))/4)<<4, byte(ACK|PSH), 0xff, 0xff, 0, 0, 0, 0)
		l4 = append(l4, s.tcpOpts...)
	case ProtoUDP:
		l4 = put16(put16(put16(l4, 5353), 53), 8+len(s.payload))
		l4 = append(l4, 0, 0)
	case ProtoICMP:
		l4 = append(l4, 8, 0, 0, 0, 0, 7, 0, 1)
	case ProtoICMPv6:
		l4 = append(l4, 128, 0, 0, 0, 0, 7, 0, 1)
	case ProtoSCTP:
		l4 = append(put16(put16(l4, 9), 10), 0, 0, 0, 1, 0, 0, 0, 0)
	}
	if s.fragOff > 0 {
		l4 = nil
	}
	l4 = append(l4, s.payload...)
	var h []byte
	src, dst := netip.MustParseAddr("192.0.2.1").AsSlice(), netip.MustParseAddr("198.51.100.2").AsSlice()
	if s.v6 {
		src, dst = netip.MustParseAddr("2001:db8::1").AsSlice(), netip.MustParseAddr("2001:db8:1::2").AsSlice()
		ext := append([]byte(nil), s.ipOpts...)
		first := s.proto
		if s.ext != 0 {
			first = s.ext
		}
		if s.fragOff > 0 || s.more {
			f := []byte{s.proto, 0, 0, 0, 0, 0, 0, 9}
			off := s.fragOff
			if s.more {
				off |= 1
			}
			binary.BigEndian.PutUint16(f[2:], uint16(off))
			ext, first = append(f, ext...), 44
		}
		h = append([]byte{0x60, 0, 0, 0}, 0, 0, first, 64)
		binary.BigEndian.PutUint16(h[4:], uint16(len(ext)+len(l4)))
		h = append(append(append(h, src...), dst...), ext...)
	} else {
		n := 20 + len(s.ipOpts)
		h = append([]byte{0x40 | byte(n/4), 0}, 0, 0, 0, 9, 0, 0, 64, s.proto, 0, 0)
		binary.BigEndian.PutUint16(h[2:], uint16(n+len(l4)))
		off := s.fragOff / 8
		if s.more {
			off |= 0x2000
		}
		binary.BigEndian.PutUint16(h[6:], uint16(off))
		h = append(append(append(h, src...), dst...), s.ipOpts...)
		binary.BigEndian.PutUint16(h[10:], slowSum(h))
	}
	if s.fragOff == 0 && !s.noSum {
		pseudo := append(append(append([]byte(nil), src...), dst...), 0, 0, byte(len(l4)>>8), byte(len(l4)), 0, 0, 0, s.proto)
		switch s.proto {
		case ProtoTCP:
			binary.BigEndian.PutUint16(l4[16:], slowSum(append(pseudo, l4...)))
		case ProtoUDP:
			c := slowSum(append(pseudo, l4...))
			if c == 0 {
				c = 0xffff
			}
			binary.BigEndian.PutUint16(l4[6:], c)
		case ProtoICMP:
			binary.BigEndian.PutUint16(l4[2:], slowSum(l4))
		case ProtoICMPv6:
			binary.BigEndian.PutUint16(l4[2:], slowSum(append(pseudo, l4...)))
		}
	}
	return append(h, l4...)
}

// slowSum is RFC 1071 as it is written.
func slowSum(b []byte) uint16 {
	var s uint32
	for i := 0; i < len(b); i += 2 {
		w := uint32(b[i]) << 8
		if i+1 < len(b) {
			w |= uint32(b[i+1])
		}
		s += w
		s = s>>16 + s&0xffff
	}
	return ^uint16(s)
}

var (
	tsOpt  = []byte{1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2}
	synOpt = []byte{2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7}
)

// fixtures are one packet of every kind the decoder tells apart.
func fixtures() map[string][]byte {
	text := []byte("GET /index.html HTTP/1.1\r\nHost: example\r\n\r\n")
	return map[string][]byte{
		"udp4":          build(shape{payload: text}),
		"udp4 odd":      build(shape{payload: text[:13]}),
		"udp4 empty":    build(shape{}),
		"udp4 no sum":   build(shape{payload: text, noSum: true}),
		"udp6":          build(shape{v6: true, payload: text}),
		"tcp4":          build(shape{proto: ProtoTCP, payload: text}),
		"tcp4 ts":       build(shape{proto: ProtoTCP, payload: text, tcpOpts: tsOpt}),
		"tcp4 syn":      build(shape{proto: ProtoTCP, tcpOpts: synOpt}),
		"tcp6":          build(shape{v6: true, proto: ProtoTCP, payload: text, tcpOpts: tsOpt}),
		"icmp4":         build(shape{proto: ProtoICMP, payload: text}),
		"icmp6":         build(shape{v6: true, proto: ProtoICMPv6, payload: text}),
		"sctp4":         build(shape{proto: ProtoSCTP, payload: text}),
		"ip options":    build(shape{proto: ProtoTCP, payload: text, ipOpts: []byte{0x94, 4, 0, 0, 1, 1, 1, 0}}),
		"hop-by-hop":    build(shape{v6: true, payload: text, ext: 0, ipOpts: nil}),
		"ext headers":   build(shape{v6: true, payload: text, ext: 60, ipOpts: []byte{43, 0, 1, 4, 0, 0, 0, 0, 17, 0, 4, 0, 0, 0, 0, 0}}),
		"frag first 4":  build(shape{payload: text[:40], more: true}),
		"frag later 4":  build(shape{payload: text[:40], fragOff: 48}),
		"frag first 6":  build(shape{v6: true, payload: text[:40], more: true}),
		"frag later 6":  build(shape{v6: true, payload: text[:40], fragOff: 48}),
		"gre":           build(shape{proto: ProtoGRE, payload: append([]byte{0, 0, 8, 0}, build(shape{payload: text})...)}),
		"ip in ip":      build(shape{proto: ProtoIPv4, payload: build(shape{proto: ProtoTCP, payload: text})}),
		"6in4":          build(shape{proto: ProtoIPv6, payload: build(shape{v6: true, payload: text})}),
		"unknown proto": build(shape{proto: 200, payload: text}),
	}
}
