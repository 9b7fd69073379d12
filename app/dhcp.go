package app

import "encoding/binary"

// Anomalies of DHCP.
const (
	dhcpTruncatedOptions Event = "truncated_options"
	dhcpMalformedOptions Event = "malformed_options"
)

const dhcpMaxOptions = 256

// DHCPOption is one option (RFC 2132).
type DHCPOption struct {
	Code uint8
	Data []byte
}

// DHCPTx is one DHCP message (RFC 2131 §2).
type DHCPTx struct {
	plainTx
	Op      uint8 // 1 request, 2 reply
	XID     uint32
	Options []DHCPOption
	// Fixed is the message up to the options.
	Fixed []byte
}

// Option returns the first option with a code; false if there is none.
func (t *DHCPTx) Option(code uint8) ([]byte, bool) {
	for _, o := range t.Options {
		if o.Code == code {
			return o.Data, true
		}
	}
	return nil, false
}

// Number implements Tx.
func (t *DHCPTx) Number(f Field, d Dir, i int) (uint64, bool) {
	if d != t.From {
		return 0, false
	}
	code := uint8(0)
	switch f {
	case DHCPLeaseTime:
		code = 51
	case DHCPRenewalTime:
		code = 58
	case DHCPRebindingTime:
		code = 59
	default:
		return 0, false
	}
	b, ok := t.Option(code)
	if !ok || len(b) < 4 {
		return 0, false
	}
	return only1(uint64(binary.BigEndian.Uint32(b)), true, i)
}

type dhcpParser struct{ datagramOnly }

func newDHCP() parser { return dhcpParser{} }

func (dhcpParser) reset() {}

func (dhcpParser) datagram(c *Conn, d Dir, data []byte) {
	if len(data) < 240 {
		return
	}
	raw := clone(data)
	t := &DHCPTx{Op: raw[0], XID: binary.BigEndian.Uint32(raw[4:]), Fixed: raw[:240:240]}
	t.oneWay(d)
	b, ended := raw[240:], false
	for len(b) > 0 && len(t.Options) < dhcpMaxOptions {
		if b[0] == 0 {
			b = b[1:]
			continue
		}
		if b[0] == 255 {
			ended = true
			break
		}
		if len(b) < 2 || len(b) < 2+int(b[1]) {
			t.event(dhcpTruncatedOptions)
			break
		}
		o := DHCPOption{b[0], b[2 : 2+int(b[1]) : 2+int(b[1])]}
		b = b[2+len(o.Data):]
		t.Options = append(t.Options, o)
		switch o.Code {
		case 53:
			if len(o.Data) != 1 {
				t.event(dhcpMalformedOptions)
			}
		case 51, 58, 59, 50, 54:
			if len(o.Data) != 4 {
				t.event(dhcpMalformedOptions)
			}
		case 61:
			if len(o.Data) < 2 {
				t.event(dhcpMalformedOptions)
			}
		}
	}
	if !ended && len(b) == 0 {
		t.event(dhcpTruncatedOptions)
	}
	c.add(t)
}
