package stream

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/garita/garita/packet"
)

// seg describes a segment of a test.
type seg struct {
	dir   Dir
	flags packet.TCPFlags
	seq   uint32
	ack   uint32
	win   uint16
	urg   uint16
	opts  []byte
	data  []byte
}

var (
	clientIP = netip.MustParseAddr("10.0.0.1")
	serverIP = netip.MustParseAddr("10.0.0.2")
)

// bytes makes the IPv4 packet of a segment, with right checksums.
func (s *seg) bytes(cport, sport uint16) []byte {
	for len(s.opts)%4 != 0 {
		s.opts = append(s.opts, 0)
	}
	n := 40 + len(s.opts) + len(s.data)
	b := make([]byte, n)
	b[0] = 0x45
	binary.BigEndian.PutUint16(b[2:], uint16(n))
	b[8], b[9] = 64, 6
	src, dst := clientIP.As4(), serverIP.As4()
	if s.dir == ToClient {
		src, dst = dst, src
		cport, sport = sport, cport
	}
	copy(b[12:], src[:])
	copy(b[16:], dst[:])
	binary.BigEndian.PutUint16(b[10:], ^sum16(0, b[:20]))
	t := b[20:]
	binary.BigEndian.PutUint16(t, cport)
	binary.BigEndian.PutUint16(t[2:], sport)
	binary.BigEndian.PutUint32(t[4:], s.seq)
	binary.BigEndian.PutUint32(t[8:], s.ack)
	t[12] = byte(5+len(s.opts)/4) << 4
	t[13] = byte(s.flags)
	win := s.win
	if win == 0 {
		win = 65535
	}
	binary.BigEndian.PutUint16(t[14:], win)
	binary.BigEndian.PutUint16(t[18:], s.urg)
	copy(t[20:], s.opts)
	copy(t[20+len(s.opts):], s.data)
	acc := uint32(6) + uint32(len(t))
	for i := 12; i < 20; i += 2 {
		acc += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	binary.BigEndian.PutUint16(t[16:], ^sum16(acc, t))
	return b
}

func sum16(acc uint32, b []byte) uint16 {
	for ; len(b) > 1; b = b[2:] {
		acc += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		acc += uint32(b[0]) << 8
	}
	for acc > 0xffff {
		acc = acc&0xffff + acc>>16
	}
	return uint16(acc)
}

func (s *seg) packet(p *packet.Packet, now int64) {
	*p = packet.Packet{Data: s.bytes(40000, 80), Time: now}
	p.Decode()
}

// conv drives a session through a tracker as an engine does, and collects what
// comes out.
type conv struct {
	t      testing.TB
	tr     *Tracker
	tcp    TCP
	p      packet.Packet
	now    int64
	out    [2][]byte
	gaps   [2]uint64
	ends   [2]bool
	events map[Event]int
	last   Result
	drop   func(app [2][]byte) bool // judges the packet by what it makes available
}

func newConv(t testing.TB, cfg Config) *conv {
	return &conv{t: t, tr: New(cfg), events: map[Event]int{}, now: 1e18}
}

// send puts a segment through; it says whether the packet went on, and returns
// the payload that it went on with.
func (c *conv) send(s seg) (bool, []byte) {
	c.now += 1e6
	s.packet(&c.p, c.now)
	return c.sendPacket(s.dir)
}

func (c *conv) sendPacket(dir Dir) (bool, []byte) {
	r := c.tr.Update(&c.tcp, &c.p, dir)
	c.last = *r
	for _, e := range r.Events {
		c.events[e]++
	}
	if r.Drop != NoCause {
		c.tr.Rollback(&c.tcp)
		return false, nil
	}
	payload := append([]byte(nil), c.p.Payload()...)
	for _, e := range r.Edits {
		copy(payload[e.Off:], e.Data)
	}
	copy(c.p.Payload(), payload)
	var got [2][]byte
	for d := range got {
		for {
			ch, ok := c.tr.App(&c.tcp, Dir(d))
			if !ok {
				break
			}
			c.gaps[d] += ch.Gap
			got[d] = append(got[d], ch.Data...)
			c.ends[d] = c.ends[d] || ch.End
		}
		if raw, _ := c.tr.Raw(&c.tcp, Dir(d)); len(raw) > 0 {
			c.tr.RawDone(&c.tcp, Dir(d))
		}
	}
	if c.drop != nil && c.drop(got) {
		for d := range got {
			c.out[d] = append(c.out[d], got[d]...) // parsers keep what they got
		}
		c.tr.Rollback(&c.tcp)
		return false, nil
	}
	for d := range got {
		c.out[d] = append(c.out[d], got[d]...)
	}
	c.tr.Commit(&c.tcp)
	return true, payload
}

const (
	cISN = 1000
	sISN = 9000
)

// open does a handshake.
func (c *conv) open() { c.openAt(cISN, sISN) }

func (c *conv) openAt(ci, si uint32) {
	c.send(seg{flags: synFlag, seq: ci})
	c.send(seg{dir: ToClient, flags: synFlag | ackFlag, seq: si, ack: ci + 1})
	c.send(seg{flags: ackFlag, seq: ci + 1, ack: si + 1})
	if c.tcp.State() != Established {
		c.t.Fatalf("after the handshake the session is %v", c.tcp.State())
	}
}

// finish flushes the session as the end of a flow does.
func (c *conv) finish() {
	c.tr.Finish(&c.tcp)
	for d := range c.out {
		for {
			ch, ok := c.tr.App(&c.tcp, Dir(d))
			if !ok {
				if raw, _ := c.tr.Raw(&c.tcp, Dir(d)); len(raw) > 0 {
					c.tr.RawDone(&c.tcp, Dir(d))
					continue
				}
				break
			}
			c.gaps[d] += ch.Gap
			c.out[d] = append(c.out[d], ch.Data...)
		}
	}
}

func mustPrefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }
