package eve

import (
	"github.com/garita/garita/app"
)

func dcerpcTypeName(t uint8) string {
	names := [...]string{
		"REQUEST", "PING", "RESPONSE", "FAULT", "WORKING", "NOCALL", "REJECT", "ACK", "CL_CANCEL", "FACK", "CANCEL_ACK",
		"BIND", "BINDACK", "BINDNAK", "ALTER_CONTEXT", "ALTER_CONTEXT_RESP", "AUTH3", "SHUTDOWN", "CO_CANCEL", "ORPHANED",
		"RTS",
	}
	if int(t) < len(names) {
		return names[t]
	}
	return "UNKNOWN"
}

func dcerpcObject(o *object, t *app.DCERPCTx) {
	o.open("dcerpc")
	o.str("request", dcerpcTypeName(t.Type))
	switch t.Type {
	case 0:
		o.open("req")
		o.uint("opnum", uint64(t.Opnum))
		o.uint("frag_cnt", uint64(t.Fragments[app.ToServer]))
		o.uint("stub_data_size", uint64(t.StubSize(app.ToServer)))
		o.close()
	case 11, 14:
		dcerpcInterfaces(o, &t.DCERPCCall)
	}
	if t.Answered {
		o.str("response", dcerpcTypeName(t.RespType))
		if t.RespType == 2 {
			o.open("res")
			o.uint("frag_cnt", uint64(t.Fragments[app.ToClient]))
			o.uint("stub_data_size", uint64(t.StubSize(app.ToClient)))
			o.close()
		}
	} else {
		o.str("response", "UNREPLIED")
	}
	if !t.Datagram {
		o.uint("call_id", uint64(t.CallID))
		o.str("rpc_version", "5.0")
	} else {
		o.str("rpc_version", "4.0")
	}
	o.close()
}

func dcerpcInterfaces(o *object, c *app.DCERPCCall) {
	if len(c.Interfaces) == 0 {
		return
	}
	o.openArray("interfaces")
	for i := range c.Interfaces {
		x := &c.Interfaces[i]
		o.item()
		o.open("")
		o.uuid("uuid", &x.UUID)
		o.version("version", x.Major, x.Minor)
		if x.Acked {
			o.uint("ack_result", uint64(x.Result))
		}
		o.close()
	}
	o.closeArray()
}

func (o *object) uuid(k string, u *[16]byte) {
	o.key(k)
	o.b = append(o.b, '"')
	for i, c := range u {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			o.b = append(o.b, '-')
		}
		o.b = append(o.b, hexDigits[c>>4], hexDigits[c&15])
	}
	o.b = append(o.b, '"')
}

func (o *object) version(k string, major, minor uint16) {
	o.key(k)
	o.b = append(o.b, '"')
	o.b = appendUint(o.b, uint64(major))
	o.b = append(o.b, '.')
	o.b = append(appendUint(o.b, uint64(minor)), '"')
}
