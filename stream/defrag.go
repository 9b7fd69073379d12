package stream

import (
	"bytes"
	"encoding/binary"

	"github.com/garita/garita/packet"
)

// DefragConfig is Suricata's defrag section. The zero value has its defaults.
type DefragConfig struct {
	// Inline says that the fragments themselves go on to the receiver. One that
	// overlaps others and is no copy is then to be dropped (for IPv6 that is
	// RFC 5722), so that no policy is left to guess.
	Inline bool
	// Memcap is the byte budget; 0 means 32 MiB. The packet that waits longest
	// makes room.
	Memcap int64
	// Trackers is how many packets may be incomplete at once, Fragments how
	// many fragments of theirs; 0 means 65,535.
	Trackers, Fragments int
	// Timeout is how many seconds a packet may stay incomplete after its last
	// fragment came; 0 means 60.
	Timeout int64
	// HostOS names the policies of receivers.
	HostOS []HostPolicy
}

// DefragCounters tell what a Defrag has done.
type DefragCounters struct {
	Fragments   uint64 // seen
	Reassembled uint64 // packets made whole
	Overlaps    uint64 // fragments that overlapped others
	Timeouts    uint64 // packets given up: silent for too long
	Evicted     uint64 // packets given up: the budget was used up
	Refused     uint64 // fragments not kept
}

// Defrag puts fragments of IPv4 and IPv6 together. It belongs to one
// goroutine.
type Defrag struct {
	cfg      DefragConfig
	trackers map[fragKey]*fragTracker
	head     *fragTracker // waiting longest since its last fragment
	tail     *fragTracker
	free     *fragTracker
	pool     pool
	frags    int
	hosts    hostTable
	owner    [8192]uint16 // by unit of 8 bytes: which fragment's bytes count, from 1
	whole    []byte
	DefragCounters
}

type fragKey struct {
	src, dst [16]byte
	id, zone uint32
	proto    uint8 // 0 for IPv6, where the identification is enough
	version  uint8
}

type fragment struct {
	off, end uint32 // bytes in the whole payload
	data     []byte
}

type fragTracker struct {
	key        fragKey
	prev, next *fragTracker
	last       int64 // seconds, time of the last fragment
	frags      []fragment
	header     []byte // of the first fragment, with extension headers
	nextAt     int    // where in header the number of the next header stands (IPv6)
	nextHeader byte   // what the fragment header names
	total      uint32 // length of the payload, once the last fragment was seen
	sum        uint64 // bytes kept
	hasLast    bool
}

const (
	maxFragsPerPacket = 2048
	fragOverhead      = 256 // of a tracker
)

// NewDefrag makes a Defrag.
func NewDefrag(cfg DefragConfig) *Defrag {
	if cfg.Memcap <= 0 {
		cfg.Memcap = 32 << 20
	}
	if cfg.Trackers <= 0 {
		cfg.Trackers = 65535
	}
	if cfg.Fragments <= 0 {
		cfg.Fragments = 65535
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = 60
	}
	d := &Defrag{cfg: cfg, trackers: map[fragKey]*fragTracker{}, hosts: cfg.HostOS, whole: make([]byte, 0, 1<<16)}
	d.pool.cap = cfg.Memcap
	return d
}

// Len is the number of incomplete packets.
func (d *Defrag) Len() int { return len(d.trackers) }

// Memory is the number of bytes held, of at most DefragConfig.Memcap.
func (d *Defrag) Memory() int64 { return d.pool.used }

// Add takes a fragment in. If it was the last one missing, out becomes the
// whole packet, decoded, and done is true; its bytes are borrowed until the
// next Add. Zone keeps equal addresses apart, as in a flow's key. Drop says
// that the fragment should not go on (inline). Decoder events are put on p.
//
// A packet that is no fragment, or whose IP header makes no sense, is left
// alone. A first fragment too small for its transport header is a fragment like
// others: receivers take it, so leaving it out would be a way past.
func (d *Defrag) Add(p *packet.Packet, zone uint32, out *packet.Packet) (done bool, drop Cause) {
	if !p.IsFragment() {
		return false, NoCause
	}
	key := fragKey{id: p.FragID(), zone: zone, version: p.IPVersion()}
	var hlen, nextAt int
	var next byte
	b := p.Data
	switch key.version {
	case 4:
		if len(b) < 20 {
			return false, NoCause
		}
		copy(key.src[:], b[12:16])
		copy(key.dst[:], b[16:20])
		key.proto = b[9]
		hlen = int(b[0]&15) * 4
		total := int(binary.BigEndian.Uint16(b[2:]))
		if hlen < 20 || total < hlen || total > len(b) {
			return false, NoCause
		}
		b = b[:total]
	case 6:
		if len(b) < 40 {
			return false, NoCause
		}
		copy(key.src[:], b[8:24])
		copy(key.dst[:], b[24:40])
		end := 40 + int(binary.BigEndian.Uint16(b[4:]))
		if end > len(b) {
			return false, NoCause
		}
		b = b[:end]
		var ok bool
		if hlen, nextAt, next, ok = fragHeader(b); !ok {
			return false, NoCause
		}
	default:
		return false, NoCause
	}
	d.Fragments++
	sec := p.Time / 1e9
	d.expire(sec)
	data := b[hlen:]
	if key.version == 6 {
		data = data[8:] // fragHeader saw that they are there
	}
	f := fragment{off: uint32(p.FragOffset())}
	f.end = f.off + uint32(len(data))
	if f.end > 65535 || len(data) == 0 {
		d.refuse(p)
		return false, NoCause
	}
	t := d.tracker(key, sec)
	if t == nil || len(t.frags) >= maxFragsPerPacket || d.frags >= d.cfg.Fragments {
		d.refuse(p)
		return false, d.inlineDrop(CauseLimit)
	}
	// Overlaps. A copy of what is there needs no keeping.
	overlap, copied := false, false
	for i := range t.frags {
		o := &t.frags[i]
		if f.off < o.end && o.off < f.end {
			overlap = true
			if f.off == o.off && f.end == o.end && bytes.Equal(o.data, data) {
				copied = true
			}
		}
	}
	if t.hasLast && (f.end > t.total || !p.MoreFragments() && f.end != t.total) {
		overlap = true // it changes the length
	}
	if overlap {
		d.Overlaps++
		if key.version == 4 {
			p.AddEvent(packet.EventIPv4FragmentOverlap)
		} else {
			p.AddEvent(packet.EventIPv6FragmentOverlap)
		}
		if copied {
			return false, NoCause
		}
		if d.cfg.Inline {
			d.Refused++
			return false, CauseConflict
		}
	}
	if f.data = d.store(t, data); f.data == nil {
		d.refuse(p)
		if len(t.frags) == 0 {
			d.remove(t)
		}
		return false, d.inlineDrop(CauseMemcap)
	}
	if f.off == 0 && t.header == nil {
		if t.header = d.store(t, b[:hlen]); t.header == nil {
			d.remove(t)
			d.refuse(p)
			return false, d.inlineDrop(CauseMemcap)
		}
		t.nextAt, t.nextHeader = nextAt, next
	}
	t.frags = append(t.frags, f)
	t.sum += uint64(len(data))
	d.frags++
	if !p.MoreFragments() && !t.hasLast {
		t.hasLast, t.total = true, f.end
	}
	if !t.hasLast || t.header == nil || t.sum < uint64(t.total) {
		return false, NoCause
	}
	if !d.assemble(t, d.fragPolicy(p)) {
		return false, NoCause
	}
	d.Reassembled++
	d.remove(t)
	// The events of the last fragment are its own.
	*out = *p
	out.Data = d.whole
	out.FullLen = uint32(len(d.whole))
	out.Decode()
	return true, NoCause
}

func (d *Defrag) inlineDrop(c Cause) Cause {
	if d.cfg.Inline {
		return c
	}
	return NoCause
}

func (d *Defrag) refuse(p *packet.Packet) {
	d.Refused++
	if p.IPVersion() == 4 {
		p.AddEvent(packet.EventIPv4FragmentIgnored)
	} else {
		p.AddEvent(packet.EventIPv6FragmentIgnored)
	}
}

// fragHeader finds the fragment header of an IPv6 packet: where it begins,
// where the number that announces it stands, and what follows it.
func fragHeader(b []byte) (at, numberAt int, next byte, ok bool) {
	numberAt, at = 6, 40
	for {
		n := b[numberAt]
		if at+8 > len(b) {
			return 0, 0, 0, false
		}
		switch n {
		case 44:
			return at, numberAt, b[at], true
		case 0, 43, 60:
			numberAt = at
			at += 8 + int(b[at+1])*8
		default:
			return 0, 0, 0, false
		}
	}
}

// fragReplaces says whether a later fragment [a,b) takes the place of an
// earlier one [c,d) where they overlap. Systems treat fragments otherwise than
// segments (Novak, "Target-Based Fragmentation Reassembly", 2005).
func (p Policy) fragReplaces(a, b, c, d uint32) bool {
	switch p {
	case Last:
		return true
	case BSD, HPUX10, IRIX: // begins before
		return a < c
	case BSDRight: // begins together or later
		return a >= c
	case Linux, OldLinux: // begins before or together
		return a <= c
	case Windows, Windows2k3: // begins before and ends behind
		return a < c && b > d
	case Solaris: // begins before and covers
		return a < c && b >= d
	}
	return false // First, OldSolaris, HPUX11, MacOS, Vista
}

func (d *Defrag) fragPolicy(p *packet.Packet) Policy { return d.hosts.lookup(p.Dst()) }

// assemble puts the packet together; false if a part is missing.
func (d *Defrag) assemble(t *fragTracker, pol Policy) bool {
	units := int(t.total+7) / 8
	owner := d.owner[:units]
	clear(owner)
	for i := range t.frags {
		f := &t.frags[i]
		for u := int(f.off / 8); u < units && uint32(u)*8 < f.end; u++ {
			if o := owner[u]; o == 0 || pol.fragReplaces(f.off, f.end, t.frags[o-1].off, t.frags[o-1].end) {
				owner[u] = uint16(i + 1)
			}
		}
	}
	for u, o := range owner {
		if o == 0 || t.frags[o-1].end < min(uint32(u)*8+8, t.total) {
			return false
		}
	}
	if len(t.header)+int(t.total) > 65535+40 {
		return false
	}
	w := append(d.whole[:0], t.header...)
	for u, o := range owner {
		f := &t.frags[o-1]
		lo := uint32(u) * 8
		w = append(w, f.data[lo-f.off:min(lo+8, t.total)-f.off]...)
	}
	d.whole = w
	if t.key.version == 6 {
		w[t.nextAt] = t.nextHeader
		binary.BigEndian.PutUint16(w[4:], uint16(len(w)-40))
		return len(w)-40 <= 65535
	}
	if len(w) > 65535 {
		return false
	}
	h := w[:len(t.header)]
	binary.BigEndian.PutUint16(h[2:], uint16(len(w)))
	h[6] &= 0x40 // don't fragment may stay
	h[7] = 0
	h[10], h[11] = 0, 0
	sum := uint32(0)
	for i := 0; i < len(h); i += 2 {
		sum += uint32(h[i])<<8 | uint32(h[i+1])
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	binary.BigEndian.PutUint16(h[10:], ^uint16(sum))
	return true
}

// tracker finds or makes the tracker of a packet, and puts it last in line.
func (d *Defrag) tracker(key fragKey, sec int64) *fragTracker {
	t := d.trackers[key]
	if t == nil {
		if len(d.trackers) >= d.cfg.Trackers {
			d.Evicted++
			d.remove(d.head)
		}
		if t = d.free; t != nil {
			d.free = t.next
		} else {
			t = &fragTracker{}
		}
		*t = fragTracker{key: key, frags: t.frags[:0]}
		d.trackers[key] = t
		d.pool.used += fragOverhead
	} else {
		d.unlink(t)
	}
	t.last = max(sec, t.last)
	t.prev, t.next = d.tail, nil
	if d.tail != nil {
		d.tail.next = t
	} else {
		d.head = t
	}
	d.tail = t
	return t
}

func (d *Defrag) unlink(t *fragTracker) {
	if t.prev != nil {
		t.prev.next = t.next
	} else {
		d.head = t.next
	}
	if t.next != nil {
		t.next.prev = t.prev
	} else {
		d.tail = t.prev
	}
}

// store keeps bytes; those that wait longest, but for keep's, make room.
func (d *Defrag) store(keep *fragTracker, b []byte) []byte {
	for {
		if buf := d.pool.get(len(b)); buf != nil {
			return append(buf, b...)
		}
		if d.head == nil || d.head == keep {
			return nil
		}
		d.Evicted++
		d.remove(d.head)
	}
}

func (d *Defrag) expire(sec int64) {
	for d.head != nil && d.head.last+d.cfg.Timeout < sec {
		d.Timeouts++
		d.remove(d.head)
	}
}

func (d *Defrag) remove(t *fragTracker) {
	d.unlink(t)
	delete(d.trackers, t.key)
	for i := range t.frags {
		d.pool.put(t.frags[i].data)
	}
	d.frags -= len(t.frags)
	clear(t.frags)
	t.frags = t.frags[:0]
	if t.header != nil {
		d.pool.put(t.header)
		t.header = nil
	}
	d.pool.used -= fragOverhead
	t.next = d.free
	d.free = t
}
