package app

import (
	"bytes"
	"encoding/binary"
)

// Anomalies of DNP3.
const (
	dnp3BadLinkCRC  Event = "bad_link_crc"
	dnp3BadUserCRC  Event = "bad_transport_crc"
	dnp3TooShort    Event = "len_too_small"
	dnp3UnknownKind Event = "unknown_object"
)

const (
	dnp3Header     = 10       // of the link layer
	dnp3MaxMessage = 64 << 10 // bytes kept of a message of the application
	dnp3MaxObjects = 1024     // noted of a message
	dnp3Confirm    = 0        // function code
	dnp3MaxOpen    = 32       // messages in pieces, each way
	dnp3MaxFrame   = 10 + 282 // longest frame
	dnp3CRCPoly    = 0xa6bc   // reflected (IEEE 1815 §9.2.4.3.2)
)

// DNP3Object is a header of objects in a message (IEEE 1815 §4.2.2.7).
type DNP3Object struct {
	Group, Variation, Qualifier uint8
	Start, Stop, Count          uint32
}

// DNP3Tx is one message of the application layer, put together of its segments.
type DNP3Tx struct {
	plainTx
	Control  uint8 // of the link layer, of the first segment
	Src, Dst uint16
	// Message begins with the application's control and function code.
	Message []byte
	Objects []DNP3Object
	ReadAll bool // all objects could be read

	seq uint8 // of the last segment
}

// Response says whether the message is an answer or was not asked for.
func (t *DNP3Tx) Response() bool { return t.From == ToClient }

// Indications are the internal indications of a response, the first byte in
// the upper half.
func (t *DNP3Tx) Indications() (uint16, bool) {
	if !t.Response() || len(t.Message) < 4 {
		return 0, false
	}
	return binary.BigEndian.Uint16(t.Message[2:]), true
}

// Bytes implements Tx.
func (t *DNP3Tx) Bytes(f Field, d Dir, i int) ([]byte, bool) {
	if f == DNP3Data && d == t.From && t.Done(d) {
		return only(t.Message, i)
	}
	return nil, false
}

// Number implements Tx.
func (t *DNP3Tx) Number(f Field, d Dir, i int) (uint64, bool) {
	if d != t.From || len(t.Message) < 2 {
		return 0, false
	}
	switch f {
	case DNP3Func:
		return only1(uint64(t.Message[1]), true, i)
	case DNP3Ind:
		v, ok := t.Indications()
		return only1(uint64(v), ok, i)
	case DNP3Obj:
		if i < len(t.Objects) {
			return uint64(t.Objects[i].Group)<<8 | uint64(t.Objects[i].Variation), true
		}
	}
	return 0, false
}

type dnp3Parser struct {
	streamOnly
	open [2][]*DNP3Tx // whose last segment was not seen
	last *DNP3Tx
	lost [2]bool
}

func newDNP3() parser { return &dnp3Parser{} }

func (p *dnp3Parser) reset()        { *p = dnp3Parser{} }
func (*dnp3Parser) maxPending() int { return dnp3MaxFrame + 1 }

// probeDNP3 knows the start of a link frame, or a banner with the protocol's
// name.
func probeDNP3(in *probeIn) answer {
	p := in.data
	if bytes.Contains(p[:min(len(p), dnp3Header)], []byte("DNP3")) {
		return yes
	}
	if len(p) < dnp3Header {
		return more
	}
	return decided(p[0] == 5 && p[1] == 0x64 && p[2] >= 5)
}

// dnp3CRC is the sum over b as it stands in a frame.
func dnp3CRC(b []byte) uint16 {
	var crc uint16
	for _, x := range b {
		crc ^= uint16(x)
		for range 8 {
			if crc&1 != 0 {
				crc = crc>>1 ^ dnp3CRCPoly
			} else {
				crc >>= 1
			}
		}
	}
	return ^crc
}

// parse reads frames of the link layer (IEEE 1815 §9.2.4).
func (p *dnp3Parser) parse(c *Conn, d Dir, data []byte) (n, need int) {
	for {
		b := data[n:]
		if p.lost[d] {
			return len(data), 0
		}
		if len(b) < dnp3Header {
			return n, dnp3Header
		}
		if b[0] != 5 || b[1] != 0x64 {
			c.fail()
			return n, 0
		}
		if dnp3CRC(b[:8]) != binary.LittleEndian.Uint16(b[8:]) {
			p.event(dnp3BadLinkCRC)
			c.fail()
			return n, 0
		}
		if b[2] < 5 {
			p.event(dnp3TooShort)
			c.fail()
			return n, 0
		}
		user := int(b[2]) - 5
		l := dnp3Header + user + 2*((user+15)/16)
		if len(b) < l {
			return n, l
		}
		n += l
		least := 3
		if d == ToClient {
			least = 5
		}
		switch b[3] & 15 {
		case 3, 4: // user data
			if user < least {
				p.event(dnp3TooShort)
				continue
			}
			p.segment(c, d, b[:l], user)
		}
	}
}

// event notes an anomaly of the link layer at the last message, if there is one.
func (p *dnp3Parser) event(e Event) {
	if p.last != nil {
		p.last.event(e)
	}
}

// segment takes a frame with user bytes of the transport layer, in blocks of
// sixteen with a sum behind each.
func (p *dnp3Parser) segment(c *Conn, d Dir, b []byte, user int) {
	control := b[3]
	dst, src := binary.LittleEndian.Uint16(b[4:]), binary.LittleEndian.Uint16(b[6:])
	out := make([]byte, 0, user)
	for rest := b[dnp3Header:]; len(rest) > 0; {
		k := min(16, len(rest)-2)
		if dnp3CRC(rest[:k]) != binary.LittleEndian.Uint16(rest[k:]) {
			p.event(dnp3BadUserCRC)
			return
		}
		out = append(out, rest[:k]...)
		rest = rest[k+2:]
	}
	th, out := out[0], out[1:]
	var t *DNP3Tx
	if th&0x40 != 0 { // the first
		if d == ToServer && out[1] == dnp3Confirm {
			return
		}
		t = &DNP3Tx{Control: control, Src: src, Dst: dst}
		t.From, t.OneWay = d, true
		t.reach(d.Other(), StageComplete)
		c.add(t)
		p.last = t
		if len(p.open[d]) >= dnp3MaxOpen {
			p.open[d][0].complete()
			p.open[d] = append(p.open[d][:0], p.open[d][1:]...)
		}
		p.open[d] = append(p.open[d], t)
	} else {
		for _, o := range p.open[d] {
			if o.Src == src && o.Dst == dst && (o.seq+1)&0x3f == th&0x3f {
				t = o
				break
			}
		}
		if t == nil {
			return
		}
	}
	t.seq = th & 0x3f
	if room := dnp3MaxMessage - len(t.Message); len(out) > room {
		out = out[:room]
	}
	t.Message = append(t.Message, out...)
	if th&0x80 == 0 { // more follow
		return
	}
	for i, o := range p.open[d] {
		if o == t {
			p.open[d] = append(p.open[d][:i], p.open[d][i+1:]...)
			break
		}
	}
	t.objects()
	t.complete()
}

// objects reads the headers of the objects.
func (t *DNP3Tx) objects() {
	b := t.Message[min(len(t.Message), 2):]
	if t.Response() {
		b = t.Message[min(len(t.Message), 4):]
	}
	le := binary.LittleEndian
	for len(b) > 0 {
		if len(b) < 3 || len(t.Objects) == dnp3MaxObjects {
			return
		}
		o := DNP3Object{Group: b[0], Variation: b[1], Qualifier: b[2]}
		b = b[3:]
		// Widths of the fields of the range (IEEE 1815 §4.2.2.7.3.3).
		var start, count int
		switch o.Qualifier & 15 {
		case 0, 3:
			start = 1
		case 1, 4:
			start = 2
		case 2, 5:
			start = 4
		case 6:
		case 7, 11:
			count = 1
		case 8:
			count = 2
		case 9:
			count = 4
		default:
			t.Objects = append(t.Objects, o)
			return
		}
		if len(b) < 2*start+count {
			t.Objects = append(t.Objects, o)
			return
		}
		number := func(k int) (v uint32) {
			var x [4]byte
			copy(x[:], b[:k])
			b = b[k:]
			return le.Uint32(x[:])
		}
		if start > 0 {
			o.Start, o.Stop = number(start), number(start)
			o.Count = o.Stop - o.Start + 1
		} else if count > 0 {
			o.Count = number(count)
		}
		t.Objects = append(t.Objects, o)
		if o.Variation == 0 || o.Count == 0 {
			continue
		}
		k, known := o.size(b)
		switch {
		case !known:
			t.event(dnp3UnknownKind)
			return
		case k < 0:
			t.event(dnp3UnknownKind) // as Suricata calls it, too
			return
		}
		b = b[k:]
	}
	t.ReadAll = true
}

// dnp3Bits are the sizes of points in bits, by group and variation (IEEE 1815,
// annex A). Those of 1 and 2 bits are packed; 0 is a size that the prefix tells.
var dnp3Bits = map[uint16]int{
	0x0101: 1, 0x0102: 8, 0x0201: 8, 0x0202: 56, 0x0203: 24, 0x0301: 2, 0x0302: 8, 0x0401: 8, 0x0402: 56, 0x0403: 24,
	0x0a01: 1, 0x0a02: 8, 0x0b01: 8, 0x0b02: 56, 0x0c01: 88, 0x0c02: 88, 0x0c03: 1, 0x0d01: 8, 0x0d02: 56,
	0x1401: 40, 0x1402: 24, 0x1403: 40, 0x1404: 24, 0x1405: 32, 0x1406: 16, 0x1407: 32, 0x1408: 16,
	0x1501: 40, 0x1502: 24, 0x1503: 40, 0x1504: 24, 0x1505: 88, 0x1506: 72, 0x1507: 88, 0x1508: 72, 0x1509: 32, 0x150a: 16,
	0x150b: 32, 0x150c: 16,
	0x1601: 40, 0x1602: 24, 0x1603: 40, 0x1604: 24, 0x1605: 88, 0x1606: 72, 0x1607: 88, 0x1608: 72,
	0x1701: 40, 0x1702: 24, 0x1703: 40, 0x1704: 24, 0x1705: 88, 0x1706: 72, 0x1707: 88, 0x1708: 72,
	0x1e01: 40, 0x1e02: 24, 0x1e03: 32, 0x1e04: 16, 0x1e05: 40, 0x1e06: 72,
	0x1f01: 40, 0x1f02: 24, 0x1f03: 88, 0x1f04: 72, 0x1f05: 40, 0x1f06: 24, 0x1f07: 40, 0x1f08: 72,
	0x2001: 40, 0x2002: 24, 0x2003: 88, 0x2004: 72, 0x2005: 40, 0x2006: 72, 0x2007: 88, 0x2008: 120,
	0x2101: 40, 0x2102: 24, 0x2103: 88, 0x2104: 72, 0x2105: 40, 0x2106: 72, 0x2107: 88, 0x2108: 120,
	0x2201: 16, 0x2202: 32, 0x2203: 32, 0x2801: 40, 0x2802: 24, 0x2803: 40, 0x2804: 72,
	0x2901: 40, 0x2902: 24, 0x2903: 40, 0x2904: 72,
	0x2a01: 40, 0x2a02: 24, 0x2a03: 88, 0x2a04: 72, 0x2a05: 40, 0x2a06: 72, 0x2a07: 88, 0x2a08: 120,
	0x2b01: 40, 0x2b02: 24, 0x2b03: 88, 0x2b04: 72, 0x2b05: 40, 0x2b06: 72, 0x2b07: 88, 0x2b08: 120,
	0x3201: 48, 0x3202: 80, 0x3203: 48, 0x3204: 88, 0x3301: 48, 0x3302: 48, 0x3401: 16, 0x3402: 16,
	0x4601: 0, 0x4602: 0, 0x4603: 0, 0x4604: 0, 0x4605: 0, 0x4606: 0, 0x4607: 0, 0x4608: 0,
	0x5001: 1, 0x5101: 24, 0x5301: 0, 0x5601: 0, 0x5602: 8, 0x5603: 0, 0x6601: 8,
	0x7801: 0, 0x7802: 0, 0x7803: 64, 0x7804: 32, 0x7805: 0, 0x7806: 0, 0x7807: 0, 0x7808: 0, 0x7809: 0, 0x780a: 0, 0x780b: 0,
	0x780c: 0, 0x780d: 0, 0x780e: 0, 0x780f: 0, 0x7901: 56, 0x7a01: 56, 0x7a02: 104,
}

// size is how many bytes of b the points of an object take, -1 if they are not
// there; false if its kind is not known.
func (o *DNP3Object) size(b []byte) (n int, known bool) {
	bits, known := dnp3Bits[uint16(o.Group)<<8|uint16(o.Variation)]
	if !known {
		return 0, false
	}
	if bits == 1 || bits == 2 {
		if n := (uint64(o.Count)*uint64(bits) + 7) / 8; n <= uint64(len(b)) {
			return int(n), true
		}
		return -1, true
	}
	// An index or a size stands before each point.
	prefix := [8]int{0, 1, 2, 4, 1, 2, 4, 0}[o.Qualifier>>4&7]
	sized := o.Qualifier>>4&7 >= 4
	if bits == 0 && !sized {
		return -1, true
	}
	for range o.Count {
		if len(b)-n < prefix {
			return -1, true
		}
		size := bits / 8
		if bits == 0 {
			var x [4]byte
			copy(x[:], b[n:n+prefix])
			v := binary.LittleEndian.Uint32(x[:])
			if v > uint32(len(b)) {
				return -1, true
			}
			size = int(v)
		}
		if n += prefix + size; n > len(b) {
			return -1, true
		}
	}
	return n, true
}

func (p *dnp3Parser) gap(_ *Conn, d Dir, _ uint64) bool {
	p.lost[d] = true
	return true
}

func (p *dnp3Parser) close(_ *Conn, d Dir, _ []byte) {
	for _, t := range p.open[d] {
		t.complete()
	}
	p.open[d] = nil
}
