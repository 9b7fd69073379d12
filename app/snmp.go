package app

// snmpMalformed and the others are anomalies of SNMP.
const (
	snmpMalformed       Event = "malformed_data"
	snmpUnknownSecurity Event = "unknown_security_model"
	snmpVersionMismatch Event = "version_mismatch"
)

const snmpMaxVars = 256

// SNMPTx is one SNMP message (RFC 1157, 3416, 3412).
type SNMPTx struct {
	plainTx
	Version   uint8 // 1, 2 or 3
	Community []byte
	PDU       uint8 // number of the PDU's tag: 0 get, 1 get next, 2 response …
	HasPDU    bool
	Encrypted bool     // the PDU cannot be read
	USM       []byte   // user name of version 3
	Vars      [][]byte // object identifiers in dotted form
	// Of a version 1 trap:
	TrapOID, TrapAddress []byte
	TrapType             uint64
	ErrorStatus          uint64
}

// Bytes implements Tx.
func (t *SNMPTx) Bytes(f Field, d Dir, i int) ([]byte, bool) {
	if d != t.From {
		return nil, false
	}
	switch f {
	case SNMPCommunity:
		return only(t.Community, i)
	case SNMPUSM:
		return only(t.USM, i)
	}
	return nil, false
}

// Number implements Tx.
func (t *SNMPTx) Number(f Field, d Dir, i int) (uint64, bool) {
	if d != t.From {
		return 0, false
	}
	switch f {
	case SNMPVersion:
		return only1(uint64(t.Version), t.Version != 0, i)
	case SNMPPDUType:
		return only1(uint64(t.PDU), t.HasPDU, i)
	}
	return 0, false
}

type snmpParser struct {
	datagramOnly
	version uint8
}

func newSNMP() parser { return &snmpParser{} }

func (p *snmpParser) reset() { *p = snmpParser{} }

func (p *snmpParser) datagram(c *Conn, d Dir, data []byte) {
	t := &SNMPTx{}
	t.oneWay(d)
	if !t.decode(clone(data)) {
		// An error of the flow; an event only if something came before it.
		if n := len(c.txs); n > 0 {
			c.txs[n-1].Base().event(snmpMalformed)
		}
		c.fail()
		return
	}
	switch {
	case p.version == 0:
		p.version = t.Version
	case t.Version != 0 && t.Version != p.version:
		t.event(snmpVersionMismatch)
	}
	c.add(t)
}

// berUint reads an INTEGER, ENUMERATED or counter.
func berUint(b []byte) uint64 {
	var v uint64
	for _, c := range b[max(0, len(b)-8):] {
		v = v<<8 | uint64(c)
	}
	return v
}

func (t *SNMPTx) decode(b []byte) bool {
	tag, b, _, ok := derNext(b)
	if !ok || tag != derTagSequence {
		return false
	}
	tag, v, b, ok := derNext(b)
	if !ok || tag != derTagInteger {
		return false
	}
	switch berUint(v) {
	case 0, 1:
		t.Version = uint8(berUint(v)) + 1
		if tag, v, b, ok = derNext(b); !ok || tag != derTagOctetString {
			return false
		}
		t.Community = v
		return t.pdu(b)
	case 3:
		t.Version = 3
		return t.v3(b)
	}
	return false
}

func (t *SNMPTx) v3(b []byte) bool {
	tag, header, b, ok := derNext(b)
	if !ok || tag != derTagSequence {
		return false
	}
	model := uint64(0)
	for range 4 { // identifier, size, flags, security model
		var v []byte
		if _, v, header, ok = derNext(header); !ok {
			return false
		}
		model = berUint(v)
	}
	tag, security, b, ok := derNext(b)
	if !ok || tag != derTagOctetString {
		return false
	}
	if model == 3 {
		// RFC 3414 §2.4: engine, boots, time, user, two parameters.
		tag, s, _, ok := derNext(security)
		if !ok || tag != derTagSequence {
			return false
		}
		for k := range 4 {
			var v []byte
			if _, v, s, ok = derNext(s); !ok {
				return false
			}
			if k == 3 {
				t.USM = v
			}
		}
	} else {
		t.event(snmpUnknownSecurity)
	}
	tag, scoped, _, ok := derNext(b)
	if !ok {
		return false
	}
	if tag == derTagOctetString {
		t.Encrypted = true
		return true
	}
	for range 2 { // context
		if _, _, scoped, ok = derNext(scoped); !ok {
			return false
		}
	}
	return t.pdu(scoped)
}

func (t *SNMPTx) pdu(b []byte) bool {
	long := len(b) > 1 && b[0]&0x1f == 0x1f
	number := byte(0)
	if long {
		number = b[1]
	}
	tag, b, _, ok := derNext(b)
	if !long {
		number = tag & 0x1f
	}
	if !ok || tag&0xe0 != 0xa0 || number > 8 { // Report is the last (RFC 3416 §3)
		return false
	}
	t.PDU, t.HasPDU = number, true
	var v []byte
	if t.PDU == 4 { // trap of version 1: enterprise, agent, generic, specific, time
		for k := range 5 {
			if _, v, b, ok = derNext(b); !ok {
				return false
			}
			switch k {
			case 0:
				t.TrapOID = appendOID(nil, v)
			case 1:
				t.TrapAddress = v
			case 2:
				t.TrapType = berUint(v)
			}
		}
	} else {
		for k := range 3 { // request, error status, error index
			if _, v, b, ok = derNext(b); !ok {
				return false
			}
			if k == 1 {
				t.ErrorStatus = berUint(v)
			}
		}
	}
	tag, b, _, ok = derNext(b)
	if !ok || tag != derTagSequence {
		return false
	}
	for len(b) > 0 && len(t.Vars) < snmpMaxVars {
		var bind []byte
		if _, bind, b, ok = derNext(b); !ok {
			return false
		}
		tag, oid, _, ok := derNext(bind)
		if !ok || tag != derTagOID {
			return false
		}
		t.Vars = append(t.Vars, appendOID(nil, oid))
	}
	return true
}
