package app

import "encoding/binary"

// Anomalies of RFB.
const (
	rfbMalformed     Event = "malformed_message"
	rfbConfused      Event = "confused_state"
	rfbUnimplemented Event = "unimplemented_security_type"
	rfbUnknownResult Event = "unknown_security_result"
)

const rfbMaxName = 4096

// RFBTx is the handshake of a VNC connection (RFC 6143 §7.1 to §7.3).
type RFBTx struct {
	plainTx
	ServerVersion []byte // "003.008"
	ClientVersion []byte
	SecurityTypes []byte // offered
	SecurityType  uint32 // chosen
	HasType       bool
	Challenge     []byte
	Response      []byte
	Result        uint32
	HasResult     bool
	FailureReason []byte
	Shared        bool
	Width, Height uint16
	PixelFormat   []byte // 16 bytes
	Name          []byte
}

// Bytes implements Tx.
func (t *RFBTx) Bytes(f Field, _ Dir, i int) ([]byte, bool) {
	if f == RFBName {
		return only(t.Name, i)
	}
	return nil, false
}

// Number implements Tx.
func (t *RFBTx) Number(f Field, _ Dir, i int) (uint64, bool) {
	switch f {
	case RFBSecType:
		return only1(uint64(t.SecurityType), t.HasType, i)
	case RFBSecResult:
		return only1(uint64(t.Result), t.HasResult, i)
	}
	return 0, false
}

type rfbState uint8

const (
	rfbServerVersion rfbState = iota
	rfbClientVersion
	rfbTypes
	rfbChoice
	rfbChallenge
	rfbAnswer
	rfbResult
	rfbReason
	rfbClientInit
	rfbServerInit
)

// rfbSpeaker is who speaks in a state.
func rfbSpeaker(s rfbState) Dir {
	switch s {
	case rfbClientVersion, rfbChoice, rfbAnswer, rfbClientInit:
		return ToServer
	}
	return ToClient
}

type rfbParser struct {
	streamOnly
	tx    *RFBTx
	state rfbState
	minor byte // of the client's version
}

func newRFB() parser { return &rfbParser{} }

func (p *rfbParser) reset()        { *p = rfbParser{} }
func (*rfbParser) maxPending() int { return rfbMaxName + 64 }

func (p *rfbParser) parse(c *Conn, d Dir, data []byte) (n, need int) {
	if p.tx == nil {
		p.tx = &RFBTx{}
		p.tx.From = d
		c.add(p.tx)
	}
	for {
		if rfbSpeaker(p.state) != d {
			// The other side's turn. What is here waits, as far as it fits.
			if len(data)-n > rfbMaxName {
				p.tx.event(rfbConfused)
				c.stop()
			}
			return n, len(data) - n + 1
		}
		k, want := p.step(c, data[n:])
		if want > 0 {
			return n, want
		}
		c.frame(d, "pdu", n, data[n:n+k])
		n += k
		if c.Done() {
			return n, 0
		}
	}
}

// step takes what the present state is about: how many bytes it consumed, or
// how many it wants to see.
func (p *rfbParser) step(c *Conn, b []byte) (n, want int) {
	t := p.tx
	lack := func(k int) bool { return len(b) < k }
	switch p.state {
	case rfbServerVersion, rfbClientVersion:
		if lack(12) {
			return 0, 12
		}
		if string(b[:4]) != "RFB " || b[7] != '.' || b[11] != '\n' {
			t.event(rfbMalformed)
			c.fail()
			return 12, 0
		}
		v := clone(b[4:11])
		if p.state == rfbServerVersion {
			t.ServerVersion, p.state = v, rfbClientVersion
			t.reach(ToClient, StageLine)
		} else {
			t.ClientVersion, p.state = v, rfbTypes
			p.minor = v[6] - '0'
			t.reach(ToServer, StageLine)
		}
		return 12, 0
	case rfbTypes:
		if p.minor == 3 {
			if lack(4) {
				return 0, 4
			}
			t.SecurityType, t.HasType = binary.BigEndian.Uint32(b), true
			p.chosen(c)
			return 4, 0
		}
		if lack(1) {
			return 0, 1
		}
		k := int(b[0])
		if lack(1 + k) {
			return 0, 1 + k
		}
		t.SecurityTypes = clone(b[1 : 1+k])
		p.state = rfbChoice
		if k == 0 {
			p.state = rfbReason
		}
		return 1 + k, 0
	case rfbChoice:
		if lack(1) {
			return 0, 1
		}
		t.SecurityType, t.HasType = uint32(b[0]), true
		p.chosen(c)
		return 1, 0
	case rfbChallenge, rfbAnswer:
		if lack(16) {
			return 0, 16
		}
		if p.state == rfbChallenge {
			t.Challenge, p.state = clone(b[:16]), rfbAnswer
		} else {
			t.Response, p.state = clone(b[:16]), rfbResult
		}
		return 16, 0
	case rfbResult:
		if lack(4) {
			return 0, 4
		}
		t.Result, t.HasResult = binary.BigEndian.Uint32(b), true
		switch t.Result {
		case 0:
			p.state = rfbClientInit
		case 1, 2:
			p.state = rfbReason
		default:
			t.event(rfbUnknownResult)
			c.stop()
		}
		return 4, 0
	case rfbReason:
		if lack(4) {
			return 0, 4
		}
		k := binary.BigEndian.Uint32(b)
		if k > rfbMaxName {
			t.event(rfbMalformed)
			c.stop()
			return 4, 0
		}
		if lack(4 + int(k)) {
			return 0, 4 + int(k)
		}
		t.FailureReason = clone(b[4 : 4+k])
		c.stop()
		return 4 + int(k), 0
	case rfbClientInit:
		if lack(1) {
			return 0, 1
		}
		t.Shared, p.state = b[0] != 0, rfbServerInit
		t.reach(ToServer, StageComplete)
		return 1, 0
	}
	if lack(24) {
		return 0, 24
	}
	k := binary.BigEndian.Uint32(b[20:])
	if k > rfbMaxName {
		t.event(rfbMalformed)
		c.stop()
		return 24, 0
	}
	if lack(24 + int(k)) {
		return 0, 24 + int(k)
	}
	t.Width, t.Height = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	t.PixelFormat, t.Name = clone(b[4:20]), clone(b[24:24+k])
	t.complete()
	c.stop() // pictures follow
	return 24 + int(k), 0
}

func (p *rfbParser) chosen(c *Conn) {
	switch p.tx.SecurityType {
	case 0:
		p.state = rfbReason
	case 1:
		p.state = rfbClientInit
		if p.minor >= 8 {
			p.state = rfbResult
		}
	case 2:
		p.state = rfbChallenge
	default:
		p.tx.event(rfbUnimplemented)
		c.stop()
	}
}

func (p *rfbParser) gap(*Conn, Dir, uint64) bool { return false }

func (p *rfbParser) close(_ *Conn, d Dir, _ []byte) {
	if p.tx != nil {
		p.tx.reach(d, StageComplete)
	}
}
