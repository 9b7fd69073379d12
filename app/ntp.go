package app

const ntpMalformed Event = "malformed_data"

// NTPTx is one NTP message (RFC 5905 §7.3).
type NTPTx struct {
	plainTx
	Version     uint8
	Mode        uint8
	Stratum     uint8
	ReferenceID []byte // 4 bytes; nil in control messages
	OriginTime  []byte // 8 bytes
}

// Bytes implements Tx.
func (t *NTPTx) Bytes(f Field, d Dir, i int) ([]byte, bool) {
	if f == NTPReferenceID && d == t.From {
		return only(t.ReferenceID, i)
	}
	return nil, false
}

// Number implements Tx.
func (t *NTPTx) Number(f Field, d Dir, i int) (uint64, bool) {
	if d != t.From {
		return 0, false
	}
	switch f {
	case NTPVersion:
		return only1(uint64(t.Version), true, i)
	case NTPMode:
		return only1(uint64(t.Mode), true, i)
	case NTPStratum:
		return only1(uint64(t.Stratum), t.ReferenceID != nil, i)
	}
	return 0, false
}

type ntpParser struct{ datagramOnly }

func newNTP() parser { return ntpParser{} }

func (ntpParser) reset() {}

func (ntpParser) datagram(c *Conn, d Dir, data []byte) {
	t := &NTPTx{Version: data[0] >> 3 & 7, Mode: data[0] & 7}
	t.oneWay(d)
	switch {
	case t.Mode == 6 || t.Mode == 7: // control and private messages
		if len(data) < 8 {
			t.event(ntpMalformed)
		}
	case len(data) < 48:
		t.event(ntpMalformed)
	default:
		t.Stratum = data[1]
		t.ReferenceID = clone(data[12:16])
		t.OriginTime = clone(data[24:32])
	}
	c.add(t)
}
