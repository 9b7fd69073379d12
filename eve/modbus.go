package eve

import (
	"strings"

	"github.com/garita/garita/app"
)

func modbusObject(o *object, t *app.ModbusTx) {
	o.open("modbus")
	o.uint("id", t.ID+1)
	if t.Request.Seen {
		o.open("request")
		modbusMessage(o, &t.Request, app.ToServer)
		o.close()
	}
	if t.Response.Seen {
		o.open("response")
		modbusMessage(o, &t.Response, app.ToClient)
		o.close()
	}
	o.close()
}

var modbusFunctions = map[uint8]string{
	1: "RdCoils", 2: "RdDiscreteInputs", 3: "RdHoldRegs", 4: "RdInputRegs", 5: "WrSingleCoil", 6: "WrSingleReg",
	7: "RdExcStatus", 8: "Diagnostic", 9: "Program484", 10: "Poll484", 11: "GetCommEventCtr", 12: "GetCommEventLog",
	13: "ProgramController", 14: "PollController", 15: "WrMultCoils", 16: "WrMultRegs", 17: "ReportServerID",
	18: "Program884", 19: "ResetCommLink", 20: "RdFileRec", 21: "WrFileRec", 22: "MaskWrReg", 23: "RdWrMultRegs",
	24: "RdFIFOQueue", 43: "MEI",
}

var modbusDiagnostics = map[uint16]string{
	0: "RetQueryData", 1: "RestartCommOpt", 2: "RetDiagReg", 3: "ChangeInputDelimiter", 4: "ForceListenOnlyMode",
	10: "ClearCtrDiagReg", 11: "RetBusMsgCount", 12: "RetBusCommErrCount", 13: "RetBusExcErrCount", 14: "RetServerMsgCount",
	15: "RetServerNoRespCount", 16: "RetServerNAKCount", 17: "RetServerBusyCount", 18: "RetBusCharOverrunCount",
	20: "ClearOverrunCounterFlag",
}

var modbusExceptions = map[uint8]string{
	1: "IllegalFunction", 2: "IllegalDataAddr", 3: "IllegalDataValue", 4: "ServerDeviceFail", 5: "Ack", 6: "ServerDeviceBusy",
	7: "NegAck", 8: "MemParityErr", 10: "GatewayPathUnavailable", 11: "GatewayTargetFailToResp",
}

func modbusMessage(o *object, m *app.ModbusMessage, d app.Dir) {
	name := func(s string) string {
		if s == "" {
			return "Unknown"
		}
		return s
	}
	raw := uint64(m.Function)
	access, category := m.Access, m.Category
	if m.Exception != 0 {
		raw |= 0x80
		access, category = 0, 0
	}
	o.uint("transaction_id", uint64(m.Transaction))
	o.uint("protocol_id", uint64(m.Protocol))
	o.uint("unit_id", uint64(m.Unit))
	o.uint("function_raw", raw)
	o.str("function_code", name(modbusFunctions[m.Function]))
	o.str("access_type", modbusAccess(access))
	o.str("category", modbusCategory(category))
	o.str("error_flags", "NONE")
	write := access&app.ModbusWrite != 0
	switch {
	case m.Exception != 0:
		o.open("exception")
		o.uint("raw", uint64(m.Exception))
		o.str("code", name(modbusExceptions[m.Exception]))
		o.close()
	case m.Function == 8 && m.HasSub:
		o.open("diagnostic")
		o.uint("raw", uint64(m.Subfunction))
		o.str("code", name(modbusDiagnostics[m.Subfunction]))
		o.bytes("data", m.Data[2:])
		o.close()
	case m.Function == 43 && m.HasSub:
		o.open("mei")
		o.uint("raw", uint64(m.Subfunction))
		code := "Unknown"
		switch m.Subfunction {
		case 13:
			code = "CANOpenGenRefReqResp"
		case 14:
			code = "RdDevId"
		}
		o.str("code", code)
		o.bytes("data", m.Data[1:])
		o.close()
	case access&app.ModbusRead != 0 && !write:
		o.open("read")
		if d == app.ToServer {
			o.uint("address", uint64(m.Address))
			o.uint("quantity", uint64(m.Quantity))
		} else if len(m.Data) > 0 {
			o.bytes("data", m.Data[1:])
		}
		o.close()
	case access&app.ModbusWriteSingle != 0 && len(m.Data) >= 4:
		o.open("write")
		o.uint("address", uint64(m.Data[0])<<8|uint64(m.Data[1]))
		if m.Function == 22 && len(m.Data) >= 6 {
			o.uint("and_mask", uint64(m.Data[2])<<8|uint64(m.Data[3]))
			o.uint("or_mask", uint64(m.Data[4])<<8|uint64(m.Data[5]))
		} else {
			o.uint("data", uint64(m.Data[2])<<8|uint64(m.Data[3]))
		}
		o.close()
	case write && d == app.ToServer:
		if m.Function == 23 {
			o.open("read")
			o.uint("address", uint64(m.Address))
			o.uint("quantity", uint64(m.Quantity))
			o.close()
			o.open("write")
			o.uint("address", uint64(m.WriteAddress))
			o.uint("quantity", uint64(m.WriteQuantity))
		} else {
			o.open("write")
			o.uint("address", uint64(m.Address))
			o.uint("quantity", uint64(m.Quantity))
		}
		o.bytes("data", m.Values)
		o.close()
	default:
		o.bytes("data", m.Data)
	}
}

func modbusAccess(a app.ModbusAccess) string {
	var s []string
	for _, x := range [...]struct {
		bit  app.ModbusAccess
		name string
	}{
		{app.ModbusRead, "READ"}, {app.ModbusWrite, "WRITE"}, {app.ModbusDiscretes, "DISCRETES"}, {app.ModbusCoils, "COILS"},
		{app.ModbusInput, "INPUT"}, {app.ModbusHolding, "HOLDING"}, {app.ModbusWriteSingle, "SINGLE"}, {app.ModbusWriteMultiple, "MULTIPLE"},
		{app.ModbusWriteSingle, "WRITE_SINGLE"}, {app.ModbusWriteMultiple, "WRITE_MULTIPLE"},
	} {
		if a&x.bit != 0 {
			s = append(s, x.name)
		}
	}
	if s == nil {
		return "NONE"
	}
	return strings.Join(s, " | ")
}

func modbusCategory(c app.ModbusCategory) string {
	switch c {
	case app.ModbusAssigned:
		return "PUBLIC_ASSIGNED"
	case app.ModbusUnassigned:
		return "PUBLIC_UNASSIGNED"
	case app.ModbusUser:
		return "USER_DEFINED"
	case app.ModbusReserved:
		return "RESERVED"
	}
	return "NONE"
}
