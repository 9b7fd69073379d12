package detect

import (
	"strconv"
	"strings"

	"github.com/garita/garita/app"
)

// modbusCond is what the keyword modbus wants of a request.
type modbusCond struct {
	unit            numRange
	hasUnit         bool
	access          app.ModbusAccess
	category        app.ModbusCategory
	function        int32 // -1: any
	sub             int32 // -1: any
	address, value  modbusRange
	hasAddr, hasVal bool
}

// modbusRange is a range without its ends, or one number.
type modbusRange struct{ lo, hi uint16 }

func (r modbusRange) overlaps(first, last uint16) bool {
	if r.lo == r.hi {
		return r.lo >= first && r.lo <= last
	}
	return (r.lo == 0 || last > r.lo) && (r.hi == 0xffff || first < r.hi)
}

func (c *modbusCond) match(m *app.ModbusMessage) bool {
	if !m.Seen || c.hasUnit && !c.unit.match(uint64(m.Unit)) {
		return false
	}
	if c.category != 0 {
		return m.Category&c.category != 0
	}
	if c.function >= 0 {
		return int32(m.Function) == c.function && (c.sub < 0 || m.HasSub && int32(m.Subfunction) == c.sub)
	}
	if c.access == 0 {
		return true
	}
	rw, tables := c.access&(app.ModbusRead|app.ModbusWrite), c.access&app.ModbusTables
	if m.Access&rw == 0 || tables != 0 && m.Access&tables == 0 {
		return false
	}
	if c.hasAddr {
		first, n := m.Address, m.Quantity
		if m.Function == 23 && c.access&app.ModbusRead == 0 {
			first, n = m.WriteAddress, m.WriteQuantity
		}
		if !m.HasAddress || !c.address.overlaps(first+1, first+n) {
			return false
		}
	}
	if c.hasVal {
		v, ok := m.Value(c.address.lo)
		return ok && c.value.overlaps(v, v)
	}
	return true
}

// kwModbus is about requests: their unit, function, category, access.
func kwModbus(b *builder, v string) error {
	c := &modbusCond{function: -1, sub: -1}
	wrong := func(what string) error {
		return b.fail(0, what, "write function 8, subfunction 4; function !user; unit 10, access read coils, address 1<>3; access write holding, address 100, value >2000")
	}
	parse := func(s string) (modbusRange, bool) {
		num := func(s string) (uint16, bool) {
			n, err := strconv.ParseUint(strings.TrimSpace(s), 10, 16)
			return uint16(n), err == nil
		}
		if lo, hi, ok := strings.Cut(s, "<>"); ok {
			l, ok1 := num(lo)
			h, ok2 := num(hi)
			return modbusRange{l, h}, ok1 && ok2 && l < h
		}
		if r, ok := strings.CutPrefix(s, "<"); ok {
			h, ok := num(r)
			return modbusRange{0, h}, ok
		}
		if r, ok := strings.CutPrefix(s, ">"); ok {
			l, ok := num(r)
			return modbusRange{l, 0xffff}, ok
		}
		n, ok := num(s)
		return modbusRange{n, n}, ok
	}
	for _, part := range strings.Split(v, ",") {
		word, rest, _ := strings.Cut(strings.TrimSpace(part), " ")
		rest = strings.TrimSpace(rest)
		switch strings.ToLower(word) {
		case "unit":
			r, bad := parseRange(rest, 8)
			if bad != "" {
				return wrong(bad)
			}
			c.unit, c.hasUnit = r, true
		case "function":
			if n, err := strconv.ParseUint(rest, 10, 8); err == nil {
				c.function = int32(n)
				continue
			}
			name, neg := strings.CutPrefix(strings.ToLower(rest), "!")
			sets := map[string]app.ModbusCategory{
				"assigned": app.ModbusAssigned, "unassigned": app.ModbusUnassigned, "public": app.ModbusAssigned | app.ModbusUnassigned,
				"user": app.ModbusUser, "reserved": app.ModbusReserved,
				"all": app.ModbusAssigned | app.ModbusUnassigned | app.ModbusUser | app.ModbusReserved,
			}
			set, ok := sets[name]
			if !ok {
				return wrong("not a function: " + strconv.Quote(rest))
			}
			if neg {
				set = sets["all"] &^ set
			}
			c.category = set
		case "subfunction":
			n, err := strconv.ParseUint(rest, 10, 16)
			if err != nil || c.function < 0 {
				return wrong("not a subfunction: " + strconv.Quote(rest))
			}
			c.sub = int32(n)
		case "access":
			for i, w := range strings.Fields(strings.ToLower(rest)) {
				bits := map[string]app.ModbusAccess{
					"read": app.ModbusRead, "write": app.ModbusWrite, "discretes": app.ModbusDiscretes, "coils": app.ModbusCoils,
					"input": app.ModbusInput, "holding": app.ModbusHolding,
				}[w]
				if bits == 0 || (i == 0) != (bits&app.ModbusTables == 0) || i > 1 {
					return wrong("not an access: " + strconv.Quote(rest))
				}
				c.access |= bits
			}
			if c.access&app.ModbusWrite != 0 && c.access&(app.ModbusDiscretes|app.ModbusInput) != 0 {
				return wrong("this table cannot be written")
			}
		case "address", "value":
			r, ok := parse(rest)
			if !ok || c.access == 0 {
				return wrong("not a number or range: " + strconv.Quote(rest))
			}
			if word == "address" {
				c.address, c.hasAddr = r, true
				continue
			}
			if !c.hasAddr || c.access&app.ModbusWrite == 0 {
				return wrong("a value needs the address that is written")
			}
			c.value, c.hasVal = r, true
		default:
			return wrong("unknown word " + strconv.Quote(word))
		}
	}
	if *c == (modbusCond{function: -1, sub: -1}) {
		return wrong("nothing is asked for")
	}
	b.appConds = append(b.appConds, condList{conds: []txCond{{op: txModbus, modbus: c}}, stage: app.StageStarted, dirs: app.DirTS, protos: app.ProtoSetOf(app.MODBUS)})
	return nil
}

// kwCIPService is about services of CIP: "service", "service, class",
// "service, class, attribute".
func kwCIPService(b *builder, v string) error {
	var n [3]uint64
	parts := strings.Split(v, ",")
	if len(parts) > 3 {
		return b.fail(0, "more than three numbers", "write SERVICE, CLASS, ATTRIBUTE")
	}
	for i, s := range parts {
		x, err := strconv.ParseUint(strings.TrimSpace(s), 10, 16)
		if err != nil || i == 0 && x > 127 {
			return b.fail(0, "not a number: "+strconv.Quote(s), "write SERVICE, CLASS, ATTRIBUTE")
		}
		n[i] = x
	}
	b.appConds = append(b.appConds, condList{
		conds: []txCond{{op: txCIP, set: n[:len(parts)]}}, stage: app.StageStarted, dirs: app.DirBoth, protos: app.ProtoSetOf(app.ENIP),
	})
	return nil
}

func matchCIP(t *app.ENIPTx, want []uint64) bool {
	for i := range t.Services {
		s := &t.Services[i]
		if s.Response || uint64(s.Service) != want[0] || len(want) > 1 && (!s.HasClass || uint64(s.Class) != want[1]) {
			continue
		}
		if len(want) < 3 {
			return true
		}
		for _, a := range s.Attributes {
			if uint64(a) == want[2] {
				return true
			}
		}
	}
	return false
}
