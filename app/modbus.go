package app

import "encoding/binary"

// Anomalies of Modbus.
const (
	modbusBadProtocol Event = "invalid_protocol_id"
	modbusUnsolicited Event = "unsolicited_response"
	modbusBadLength   Event = "invalid_length"
	modbusBadFunction Event = "invalid_function_code"
	modbusBadValue    Event = "invalid_value"
	modbusBadExcept   Event = "invalid_exception_code"
)

const (
	modbusHeader  = 7   // MBAP: transaction, protocol, length, unit
	modbusMaxUnit = 260 // longest message (Modbus Messaging on TCP/IP §4.1)
	modbusMaxOpen = 64
)

// ModbusAccess says what a function does with which table.
type ModbusAccess uint8

// Bits of ModbusAccess.
const (
	ModbusRead ModbusAccess = 1 << iota
	ModbusWriteSingle
	ModbusWriteMultiple
	ModbusDiscretes
	ModbusCoils
	ModbusInput
	ModbusHolding
)

// ModbusWrite is both ways of writing.
const ModbusWrite = ModbusWriteSingle | ModbusWriteMultiple

// ModbusTables are the four tables.
const ModbusTables = ModbusDiscretes | ModbusCoils | ModbusInput | ModbusHolding

// ModbusCategory says who has given a function its meaning.
type ModbusCategory uint8

// Bits of ModbusCategory.
const (
	ModbusAssigned ModbusCategory = 1 << iota
	ModbusUnassigned
	ModbusUser
	ModbusReserved
)

// ModbusMessage is a request or a response (Modbus Application Protocol §4).
type ModbusMessage struct {
	Seen        bool
	Transaction uint16
	Protocol    uint16
	Length      uint16
	Unit        uint8
	Function    uint8 // without the bit of exceptions
	Exception   uint8 // 0: it is none
	Access      ModbusAccess
	Category    ModbusCategory
	Subfunction uint16 // of diagnostics and of encapsulated transport
	HasSub      bool
	Data        []byte // behind the function
	// Address and Quantity are those of a request that names them; Values is
	// what it writes, as it stands in the message.
	Address, Quantity uint16
	HasAddress        bool
	Values            []byte
	// Of function 23: what it writes besides.
	WriteAddress, WriteQuantity uint16
}

// ModbusTx is a request and its response.
type ModbusTx struct {
	plainTx
	Request, Response ModbusMessage
}

// Number implements Tx.
func (t *ModbusTx) Number(f Field, d Dir, i int) (uint64, bool) {
	m := &t.Request
	if d == ToClient {
		m = &t.Response
	}
	switch f {
	case ModbusFunction:
		return only1(uint64(m.Function), m.Seen, i)
	case ModbusUnit:
		return only1(uint64(m.Unit), m.Seen, i)
	}
	return 0, false
}

// Value is what the request writes to an address, counted from 1 as rules
// count; false if it does not.
func (m *ModbusMessage) Value(address uint16) (uint16, bool) {
	first, n := m.Address, m.Quantity
	if m.Function == 23 {
		first, n = m.WriteAddress, m.WriteQuantity
	}
	at := int(address) - 1 - int(first)
	if m.Access&ModbusWrite == 0 || at < 0 || at >= int(n) {
		return 0, false
	}
	if m.Function == 15 {
		if at/8 >= len(m.Values) {
			return 0, false
		}
		return uint16(m.Values[at/8] >> (at % 8) & 1), true
	}
	if 2*at+2 > len(m.Values) {
		return 0, false
	}
	return binary.BigEndian.Uint16(m.Values[2*at:]), true
}

type modbusParser struct {
	streamOnly
	open []*ModbusTx
	lost [2]bool
}

func newModbus() parser { return &modbusParser{} }

func (p *modbusParser) reset()        { *p = modbusParser{open: p.open[:0]} }
func (*modbusParser) maxPending() int { return 6 + 1<<16 }

// probeModbus knows the header on the port of the protocol.
func probeModbus(in *probeIn) answer {
	p := in.data
	if len(p) < modbusHeader+1 {
		return more
	}
	n := int(binary.BigEndian.Uint16(p[4:]))
	if p[2] != 0 || p[3] != 0 || n < 2 || n > modbusMaxUnit-6 {
		return no
	}
	return anyMore(len(p) >= 6+n)
}

func (p *modbusParser) parse(c *Conn, d Dir, data []byte) (n, need int) {
	for {
		b := data[n:]
		if p.lost[d] {
			return len(data), 0
		}
		if len(b) < 6 {
			return n, 6
		}
		l := 6 + int(binary.BigEndian.Uint16(b[4:]))
		if len(b) < l {
			return n, l
		}
		p.message(c, d, b[:l])
		n += l
	}
}

func (p *modbusParser) message(c *Conn, d Dir, b []byte) {
	m := ModbusMessage{Seen: true, Transaction: binary.BigEndian.Uint16(b), Protocol: binary.BigEndian.Uint16(b[2:]), Length: binary.BigEndian.Uint16(b[4:])}
	var t *ModbusTx
	if d == ToClient {
		for i, o := range p.open {
			if o.Request.Transaction == m.Transaction {
				t = o
				p.open = append(p.open[:i], p.open[i+1:]...)
				break
			}
		}
	}
	fresh := t == nil
	if fresh {
		t = &ModbusTx{}
		t.From = d
		if d == ToClient {
			t.event(modbusUnsolicited)
		}
	}
	if m.Protocol != 0 {
		t.event(modbusBadProtocol)
	}
	if len(b) < modbusHeader+1 || len(b) > modbusMaxUnit {
		t.event(modbusBadLength)
	}
	if len(b) > modbusHeader {
		m.Unit = b[6]
		t.event0(m.decode(b[7], clone(b[8:]), d))
	}
	if d == ToServer {
		t.Request = m
		t.reach(ToServer, StageComplete)
		if len(p.open) >= modbusMaxOpen {
			p.open[0].complete()
			p.open = append(p.open[:0], p.open[1:]...)
		}
		p.open = append(p.open, t)
	} else {
		t.Response = m
		t.complete()
	}
	if fresh {
		c.add(t)
	}
}

// event0 notes e unless it is none.
func (b *TxBase) event0(e Event) {
	if e != "" {
		b.event(e)
	}
}

// decode understands the function and its data.
func (m *ModbusMessage) decode(function byte, data []byte, d Dir) Event {
	m.Function, m.Data = function&0x7f, data
	m.Access, m.Category = modbusFunction(m.Function)
	u16 := func(i int) uint16 {
		if i+2 > len(data) {
			return 0
		}
		return binary.BigEndian.Uint16(data[i:])
	}
	switch m.Function {
	case 8:
		if len(data) >= 2 {
			m.Subfunction, m.HasSub = u16(0), true
			if m.Subfunction == 19 || m.Subfunction >= 21 {
				m.Category = ModbusReserved
			}
		}
	case 43:
		if len(data) >= 1 {
			m.Subfunction, m.HasSub = uint16(data[0]), true
			if data[0] != 13 && data[0] != 14 {
				m.Category = ModbusReserved
			}
		}
	}
	if function&0x80 != 0 {
		if len(data) < 1 {
			return modbusBadLength
		}
		m.Exception = data[0]
		if e := data[0]; e == 0 || e == 7 || e == 9 || e > 11 {
			return modbusBadExcept
		}
		return ""
	}
	if m.Function == 0 {
		return modbusBadFunction
	}
	if d == ToClient {
		return ""
	}
	switch m.Function {
	case 1, 2, 3, 4, 5, 6, 15, 16:
		if len(data) < 4 {
			return modbusBadLength
		}
		m.Address, m.Quantity, m.HasAddress = u16(0), u16(2), true
		switch m.Function {
		case 1, 2:
			if m.Quantity == 0 || m.Quantity > 2000 {
				return modbusBadValue
			}
		case 3, 4:
			if m.Quantity == 0 || m.Quantity > 125 {
				return modbusBadValue
			}
		case 5:
			m.Quantity, m.Values = 1, data[2:4]
			if v := u16(2); v != 0 && v != 0xff00 {
				return modbusBadValue
			}
		case 6:
			m.Quantity, m.Values = 1, data[2:4]
		default:
			if len(data) < 5 || len(data) < 5+int(data[4]) {
				return modbusBadLength
			}
			m.Values = data[5 : 5+int(data[4])]
			want := (int(m.Quantity) + 7) / 8
			if m.Function == 16 {
				want = 2 * int(m.Quantity)
			}
			if want != int(data[4]) || m.Quantity == 0 {
				return modbusBadValue
			}
		}
	case 22:
		if len(data) < 6 {
			return modbusBadLength
		}
		m.Address, m.Quantity, m.HasAddress = u16(0), 1, true
	case 23:
		if len(data) < 9 || len(data) < 9+int(data[8]) {
			return modbusBadLength
		}
		m.Address, m.Quantity, m.HasAddress = u16(0), u16(2), true
		m.WriteAddress, m.WriteQuantity = u16(4), u16(6)
		m.Values = data[9 : 9+int(data[8])]
	}
	return ""
}

// modbusFunction tells of a function what it does and who has defined it.
func modbusFunction(f uint8) (ModbusAccess, ModbusCategory) {
	switch f {
	case 1:
		return ModbusRead | ModbusCoils, ModbusAssigned
	case 2:
		return ModbusRead | ModbusDiscretes, ModbusAssigned
	case 3:
		return ModbusRead | ModbusHolding, ModbusAssigned
	case 4:
		return ModbusRead | ModbusInput, ModbusAssigned
	case 5:
		return ModbusWriteSingle | ModbusCoils, ModbusAssigned
	case 6:
		return ModbusWriteSingle | ModbusHolding, ModbusAssigned
	case 15:
		return ModbusWriteMultiple | ModbusCoils, ModbusAssigned
	case 16:
		return ModbusWriteMultiple | ModbusHolding, ModbusAssigned
	case 22:
		return ModbusWriteSingle | ModbusHolding, ModbusAssigned
	case 23:
		return ModbusRead | ModbusWriteMultiple | ModbusHolding, ModbusAssigned
	case 7, 8, 11, 12, 17, 20, 21, 24, 43:
		return 0, ModbusAssigned
	case 9, 10, 13, 14, 41, 42, 90, 91, 125, 126, 127:
		return 0, ModbusReserved
	}
	if f >= 65 && f <= 72 || f >= 100 && f <= 110 {
		return 0, ModbusUser
	}
	return 0, ModbusUnassigned
}

func (p *modbusParser) gap(_ *Conn, d Dir, _ uint64) bool {
	p.lost[d] = true
	return true
}

func (p *modbusParser) close(_ *Conn, d Dir, _ []byte) {
	for _, t := range p.open {
		t.reach(d, StageComplete)
	}
}
