package app

import (
	"encoding/binary"
)

// Anomalies of DNS messages.
const (
	dnsMalformedData Event = "malformed_data"
	dnsNotRequest    Event = "not_request"
	dnsNotResponse   Event = "not_response"
	dnsZFlagSet      Event = "z_flag_set"
	dnsInvalidOpcode Event = "invalid_opcode"
	dnsNameTooLong   Event = "name_too_long"
	dnsInfiniteLoop  Event = "infinite_loop"
	dnsTooManyLabels Event = "too_many_labels"
)

// DNS record types that are decoded (RFC 1035 §3.2.2, 2782, 3596, 4255, 6891).
const (
	DNSTypeA     = 1
	DNSTypeNS    = 2
	DNSTypeCNAME = 5
	DNSTypeSOA   = 6
	DNSTypeNULL  = 10
	DNSTypePTR   = 12
	DNSTypeMX    = 15
	DNSTypeTXT   = 16
	DNSTypeAAAA  = 28
	DNSTypeSRV   = 33
	DNSTypeDNAME = 39
	DNSTypeOPT   = 41
	DNSTypeSSHFP = 44
)

const (
	dnsHeaderLen = 12
	dnsMaxName   = 1025 // longest name in text, in bytes
	dnsMaxLabels = 255
	dnsMaxHops   = 255 // compression pointers followed for one name
	// dnsMaxNameBytes bounds the text of all names of a message: compression
	// lets 64 KiB name megabytes otherwise.
	dnsMaxNameBytes = 256 << 10
)

// DNSQuestion is one entry of the question section. Names have dots between
// the labels, none at the end, and are as the sender spelled them; the root
// is empty.
type DNSQuestion struct {
	Name  []byte
	Type  uint16
	Class uint16
}

// DNSRecord is one resource record.
type DNSRecord struct {
	Name  []byte
	Type  uint16
	Class uint16
	TTL   uint32 // seconds
	// Data is the record's data as sent, without its length.
	Data []byte
	// Target is the name that the data of CNAME, NS, PTR, DNAME, MX, SRV and
	// SOA (its primary server) holds.
	Target []byte
	// Mailbox is the second name of SOA.
	Mailbox []byte
	// Numbers are what else the data holds: MX preference; SRV priority,
	// weight, port; SOA serial, refresh, retry, expire, minimum; SSHFP
	// algorithm, fingerprint type.
	Numbers [5]uint32
}

// dnsText splits the first character string off b; ok is false at the end
// (RFC 1035 §3.3.14).
func dnsText(b []byte) (text, rest []byte, ok bool) {
	if len(b) == 0 {
		return nil, nil, false
	}
	n := int(b[0])
	if n > len(b)-1 {
		n = len(b) - 1
	}
	return b[1 : 1+n], b[1+n:], true
}

// Texts returns the character strings of a TXT record.
func (r *DNSRecord) Texts() [][]byte {
	var out [][]byte
	for b := r.Data; ; {
		t, rest, ok := dnsText(b)
		if !ok {
			return out
		}
		out, b = append(out, t), rest
	}
}

// DNSMessage is a decoded message (RFC 1035 §4).
type DNSMessage struct {
	ID          uint16
	Flags       uint16 // the header's second word
	Counts      [4]uint16
	Questions   []DNSQuestion
	Answers     []DNSRecord
	Authorities []DNSRecord
	Additionals []DNSRecord

	names []byte // text of all names
	bad   dnsNameFlags
}

// Response says whether the message's QR bit is set.
func (m *DNSMessage) Response() bool { return m.Flags&0x8000 != 0 }

// Opcode of the message.
func (m *DNSMessage) Opcode() uint8 { return uint8(m.Flags>>11) & 15 }

// Rcode of the message, without the extension of EDNS.
func (m *DNSMessage) Rcode() uint8 { return uint8(m.Flags & 15) }

type dnsNameFlags uint8

const (
	dnsNameLoop dnsNameFlags = 1 << iota
	dnsNameLong
	dnsNameLabels
)

// name decodes the name at off and returns the offset behind it. A name that
// loops, is too long or has too many labels is cut there and noted; ok is
// false only when bytes are missing or a label's type is unknown.
func (m *DNSMessage) name(msg []byte, off int) (name []byte, next int, ok bool) {
	start := len(m.names)
	next = -1
	labels, hops := 0, 0
	stop := false
	for {
		if off >= len(msg) {
			return nil, 0, false
		}
		n := int(msg[off])
		switch {
		case n == 0:
			off++
			if next < 0 {
				next = off
			}
			return m.names[start:len(m.names):len(m.names)], next, true
		case n&0xc0 == 0xc0:
			if off+1 >= len(msg) {
				return nil, 0, false
			}
			to := int(binary.BigEndian.Uint16(msg[off:]) & 0x3fff)
			if next < 0 {
				next = off + 2
			}
			if stop {
				return m.names[start:len(m.names):len(m.names)], next, true
			}
			hops++
			if hops > dnsMaxHops {
				m.bad |= dnsNameLoop
				return m.names[start:len(m.names):len(m.names)], next, true
			}
			if to >= len(msg) {
				return nil, 0, false
			}
			off = to
		case n&0xc0 != 0:
			return nil, 0, false
		default:
			if off+1+n > len(msg) {
				return nil, 0, false
			}
			labels++
			if !stop && labels > dnsMaxLabels {
				if stop = true; hops > 0 {
					m.bad |= dnsNameLoop
				} else {
					m.bad |= dnsNameLabels
				}
			}
			if !stop {
				label := msg[off+1 : off+1+n]
				if len(m.names) > start {
					m.names = append(m.names, '.')
				}
				if room := dnsMaxName - (len(m.names) - start); len(label) > room {
					label = label[:max(room, 0)] // the dot may have been one too many
					m.bad |= dnsNameLong
					stop = true
				}
				if len(m.names)+len(label) > dnsMaxNameBytes {
					return nil, 0, false
				}
				m.names = append(m.names, label...)
			}
			off += 1 + n
			if stop && next >= 0 {
				return m.names[start:len(m.names):len(m.names)], next, true
			}
		}
	}
}

// Decode decodes a whole message, without the length that precedes it on TCP.
// It keeps slices of msg. It returns false if msg is not a complete message;
// what was decoded until there stays.
func (m *DNSMessage) Decode(msg []byte) bool {
	*m = DNSMessage{names: make([]byte, 0, len(msg))}
	if len(msg) < dnsHeaderLen {
		return false
	}
	m.ID = binary.BigEndian.Uint16(msg)
	m.Flags = binary.BigEndian.Uint16(msg[2:])
	for i := range m.Counts {
		m.Counts[i] = binary.BigEndian.Uint16(msg[4+2*i:])
	}
	off := dnsHeaderLen
	for range m.Counts[0] {
		name, next, ok := m.name(msg, off)
		if !ok || next+4 > len(msg) {
			return false
		}
		m.Questions = append(m.Questions, DNSQuestion{
			Name:  name,
			Type:  binary.BigEndian.Uint16(msg[next:]),
			Class: binary.BigEndian.Uint16(msg[next+2:]),
		})
		off = next + 4
	}
	for i, sec := range []*[]DNSRecord{&m.Answers, &m.Authorities, &m.Additionals} {
		for range m.Counts[1+i] {
			var r DNSRecord
			next, ok := m.record(msg, off, &r)
			if !ok {
				return false
			}
			*sec = append(*sec, r)
			off = next
		}
	}
	return true
}

func (m *DNSMessage) record(msg []byte, off int, r *DNSRecord) (int, bool) {
	name, off, ok := m.name(msg, off)
	if !ok || off+10 > len(msg) {
		return 0, false
	}
	r.Name = name
	r.Type = binary.BigEndian.Uint16(msg[off:])
	r.Class = binary.BigEndian.Uint16(msg[off+2:])
	r.TTL = binary.BigEndian.Uint32(msg[off+4:])
	n := int(binary.BigEndian.Uint16(msg[off+8:]))
	off += 10
	if off+n > len(msg) {
		return 0, false
	}
	end := off + n
	r.Data = msg[off:end:end]
	// Names within the data may point anywhere before, so they are decoded
	// in the whole message; a name that runs out of the data is only an odd
	// record, not the end of the message.
	d := r.Data
	switch r.Type {
	case DNSTypeCNAME, DNSTypeNS, DNSTypePTR, DNSTypeDNAME:
		r.Target, _, _ = m.name(msg[:end], off)
	case DNSTypeMX:
		if len(d) >= 2 {
			r.Numbers[0] = uint32(binary.BigEndian.Uint16(d))
			r.Target, _, _ = m.name(msg[:end], off+2)
		}
	case DNSTypeSRV:
		if len(d) >= 6 {
			for i := range 3 {
				r.Numbers[i] = uint32(binary.BigEndian.Uint16(d[2*i:]))
			}
			r.Target, _, _ = m.name(msg[:end], off+6)
		}
	case DNSTypeSOA:
		at := off
		if r.Target, at, ok = m.name(msg[:end], at); ok {
			if r.Mailbox, at, ok = m.name(msg[:end], at); ok && at+20 <= end {
				for i := range r.Numbers {
					r.Numbers[i] = binary.BigEndian.Uint32(msg[at+4*i:])
				}
			}
		}
	case DNSTypeSSHFP:
		if len(d) >= 2 {
			r.Numbers[0], r.Numbers[1] = uint32(d[0]), uint32(d[1])
		}
	}
	return end, true
}

// dnsPlausible says whether the header at the beginning b of a message of total
// bytes can be one, and whether of a request.
func dnsPlausible(b []byte, total int) (ok, request bool) {
	if len(b) < dnsHeaderLen {
		return false, false
	}
	least := 0
	for i := range 4 {
		least += 2 * int(binary.BigEndian.Uint16(b[4+2*i:]))
	}
	return least <= total, b[2]&0x80 == 0
}
