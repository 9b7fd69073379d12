package eve

import (
	"github.com/garita/garita/app"
)

var mqttTypes = [...]string{
	"unassigned", "connect", "connack", "publish", "puback", "pubrec", "pubrel", "pubcomp", "subscribe", "suback",
	"unsubscribe", "unsuback", "pingreq", "pingresp", "disconnect", "auth",
}

func mqttObject(o *object, t *app.MQTTTx) {
	o.open("mqtt")
	for _, m := range t.Messages {
		o.open(mqttTypes[m.Type&15])
		o.uint("qos", uint64(m.QoS()))
		o.bool("retain", m.Flags&1 != 0)
		o.bool("dup", m.Flags&8 != 0)
		if m.Truncated {
			o.bool("truncated", true)
			o.uint("skipped_length", uint64(m.Length))
		} else {
			mqttFields(o, t, m)
			mqttProperties(o, m.Properties)
		}
		o.close()
	}
	o.close()
}

func mqttFields(o *object, t *app.MQTTTx, m *app.MQTTMessage) {
	code := func(k string) {
		if len(m.Reason) > 0 {
			o.uint(k, uint64(m.Reason[0]))
		}
	}
	switch m.Type {
	case 1:
		o.bytes("protocol_string", m.Protocol)
		o.uint("protocol_version", uint64(m.Version))
		o.bytes("client_id", m.ClientID)
		o.open("flags")
		o.bool("username", m.ConnectFlags&0x80 != 0)
		o.bool("password", m.ConnectFlags&0x40 != 0)
		o.bool("will_retain", m.ConnectFlags&0x20 != 0)
		o.bool("will", m.ConnectFlags&4 != 0)
		o.bool("clean_session", m.ConnectFlags&2 != 0)
		o.close()
		if m.Username != nil {
			o.bytes("username", m.Username)
		}
		if m.Password != nil {
			o.bytes("password", m.Password)
		}
		if m.ConnectFlags&4 != 0 {
			o.open("will")
			o.bytes("topic", m.WillTopic)
			o.bytes("message", m.WillData)
			mqttProperties(o, m.WillProperties)
			o.close()
		}
	case 2:
		o.bool("session_present", m.SessionPresent)
		code("return_code")
	case 3:
		if len(m.Topics) > 0 {
			o.bytes("topic", m.Topics[0])
		}
		if m.QoS() > 0 {
			o.uint("message_id", uint64(m.ID))
		}
		o.bytes("message", m.Payload)
	case 4, 5, 6, 7:
		o.uint("message_id", uint64(m.ID))
		if t.Version == 5 && len(m.Reason) == 0 {
			o.uint("reason_code", 0)
		}
		code("reason_code")
	case 8:
		o.uint("message_id", uint64(m.ID))
		o.openArray("topics")
		for i, s := range m.Topics {
			o.item()
			o.open("")
			o.bytes("topic", s)
			if i < len(m.QoSs) {
				o.uint("qos", uint64(m.QoSs[i]))
			}
			o.close()
		}
		o.closeArray()
	case 9, 11:
		o.uint("message_id", uint64(m.ID))
		k := "qos_granted"
		if m.Type == 11 {
			if k = "reason_codes"; len(m.Reason) == 0 {
				return
			}
		}
		o.openArray(k)
		for _, c := range m.Reason {
			o.item()
			o.b = appendUint(o.b, uint64(c))
		}
		o.closeArray()
	case 10:
		o.uint("message_id", uint64(m.ID))
		o.strings("topics", m.Topics)
	case 14, 15:
		code("reason_code")
	}
}

// mqttProperties adds the properties of a message of version 5.
func mqttProperties(o *object, b []byte) {
	p, b, ok := app.NextMQTTProperty(b)
	if !ok {
		return
	}
	o.open("properties")
	for ; ok; p, b, ok = app.NextMQTTProperty(b) {
		switch p.Kind {
		case app.MQTTNumber:
			o.uint(p.Name, uint64(p.Number))
		case app.MQTTText:
			o.bytes(p.Name, p.Text)
		case app.MQTTPair:
			o.keyEscaped(string(p.Key))
			o.b = appendString(o.b, p.Text)
		}
	}
	o.close()
}

func sipObject(o *object, t *app.SIPTx) {
	o.open("sip")
	for _, v := range [...]struct {
		name string
		v    []byte
	}{{"method", t.Method}, {"uri", t.URI}, {"version", t.Protocol}, {"code", t.Code}, {"reason", t.Reason}} {
		if v.v != nil {
			o.bytes(v.name, v.v)
		}
	}
	if t.Method != nil {
		o.bytes("request_line", t.Line)
	} else {
		o.bytes("response_line", t.Line)
	}
	o.close()
}

func rfbObject(o *object, t *app.RFBTx) {
	o.open("rfb")
	rfbVersion(o, "server_protocol_version", t.ServerVersion)
	rfbVersion(o, "client_protocol_version", t.ClientVersion)
	o.open("authentication")
	if t.HasType {
		o.uint("security_type", uint64(t.SecurityType))
		if t.SecurityType == 2 {
			o.open("vnc")
			o.hex("challenge", t.Challenge)
			o.hex("response", t.Response)
			o.close()
		}
	}
	if t.HasResult {
		o.key("security_result")
		switch t.Result {
		case 0:
			o.b = append(o.b, `"OK"`...)
		case 1:
			o.b = append(o.b, `"FAIL"`...)
		case 2:
			o.b = append(o.b, `"TOOMANY"`...)
		default:
			o.b = append(appendUint(append(o.b, `"UNKNOWN (`...), uint64(t.Result)), `)"`...)
		}
	}
	o.close()
	if t.FailureReason != nil {
		o.bytes("server_security_failure_reason", t.FailureReason)
	}
	if pf := t.PixelFormat; len(pf) >= 16 {
		o.bool("screen_shared", t.Shared)
		o.open("framebuffer")
		o.uint("width", uint64(t.Width))
		o.uint("height", uint64(t.Height))
		o.bytes("name", t.Name)
		o.open("pixel_format")
		o.uint("bits_per_pixel", uint64(pf[0]))
		o.uint("depth", uint64(pf[1]))
		o.bool("big_endian", pf[2] != 0)
		o.bool("true_color", pf[3] != 0)
		for i, n := range [...]string{"red_max", "green_max", "blue_max"} {
			o.uint(n, uint64(pf[4+2*i])<<8|uint64(pf[5+2*i]))
		}
		for i, n := range [...]string{"red_shift", "green_shift", "blue_shift"} {
			o.uint(n, uint64(pf[10+i]))
		}
		o.close()
		o.close()
	}
	o.close()
}

func rfbVersion(o *object, k string, v []byte) {
	if len(v) == 7 {
		o.open(k)
		o.bytes("major", v[:3])
		o.bytes("minor", v[4:])
		o.close()
	}
}

var rdpKinds = [...]string{
	app.RDPInitialRequest: "initial_request", app.RDPInitialResponse: "initial_response",
	app.RDPConnectRequest: "connect_request", app.RDPConnectResponse: "connect_response",
}

func rdpObject(o *object, t *app.RDPTx) {
	o.open("rdp")
	o.uint("tx_id", t.ID+1)
	o.str("event_type", rdpKinds[t.Kind])
	if t.Kind == app.RDPInitialRequest && t.Cookie != nil {
		o.bytes("cookie", t.Cookie)
	}
	o.close()
}

func ikeObject(o *object, t *app.IKETx) {
	o.open("ike")
	o.uint("version_major", uint64(t.Major))
	o.uint("version_minor", uint64(t.Minor))
	o.bytes("init_spi", t.InitSPI)
	o.bytes("resp_spi", t.RespSPI)
	o.uint("message_id", uint64(t.MessageID))
	o.uint("exchange_type", uint64(t.ExchangeType))
	if t.Major == 1 {
		o.open("ikev1")
		o.bool("encrypted_payloads", t.Encrypted)
		if len(t.Vendors) > 0 {
			o.strings("vendor_ids", t.Vendors)
		}
		o.close()
	}
	o.close()
}
