package app

import "encoding/binary"

// MQTTPropertyKind is what a property of MQTT 5 holds.
type MQTTPropertyKind uint8

// Kinds of properties.
const (
	MQTTNumber MQTTPropertyKind = iota
	MQTTText
	MQTTPair // of texts
)

// MQTTProperty is one property (MQTT 5.0 §2.2.2.2).
type MQTTProperty struct {
	Name   string // as in the specification, in lower case, with underscores; "" for a pair
	Kind   MQTTPropertyKind
	Number uint32
	Key    []byte // of a pair
	Text   []byte
}

// width is how many bytes a number has, 0 for one of variable length; -1 is a
// text, -2 a pair.
var mqttProperties = [...]struct {
	name  string
	width int8
}{
	1: {"payload_format_indicator", 1}, 2: {"message_expiry_interval", 4}, 3: {"content_type", -1},
	8: {"response_topic", -1}, 9: {"correlation_data", -1}, 11: {"subscription_identifier", 0},
	17: {"session_expiry_interval", 4}, 18: {"assigned_client_identifier", -1}, 19: {"server_keep_alive", 2},
	21: {"authentication_method", -1}, 22: {"authentication_data", -1}, 23: {"request_problem_information", 1},
	24: {"will_delay_interval", 4}, 25: {"request_response_information", 1}, 26: {"response_information", -1},
	28: {"server_reference", -1}, 31: {"reason_string", -1}, 33: {"receive_maximum", 2},
	34: {"topic_alias_maximum", 2}, 35: {"topic_alias", 2}, 36: {"maximum_qos", 1}, 37: {"retain_available", 1},
	38: {"user_property", -2}, 39: {"maximum_packet_size", 4}, 40: {"wildcard_subscription_available", 1},
	41: {"subscription_identifiers_available", 1}, 42: {"shared_subscription_available", 1},
}

// NextMQTTProperty reads the first of properties b, which it borrows, and
// returns what is left; false at the end and at what is none.
func NextMQTTProperty(b []byte) (p MQTTProperty, rest []byte, ok bool) {
	if len(b) == 0 || int(b[0]) >= len(mqttProperties) || mqttProperties[b[0]].name == "" {
		return p, nil, false
	}
	k := mqttProperties[b[0]]
	b = b[1:]
	p.Name = k.name
	switch w := int(k.width); {
	case w == 0:
		v, n := mqttVarint(b)
		p.Number = v
		return p, b[n:], n > 0
	case w > len(b):
		return p, nil, false
	case w == 1:
		p.Number = uint32(b[0])
		return p, b[1:], true
	case w == 2:
		p.Number = uint32(binary.BigEndian.Uint16(b))
		return p, b[2:], true
	case w == 4:
		p.Number = binary.BigEndian.Uint32(b)
		return p, b[4:], true
	case w == -2:
		p.Kind, p.Name = MQTTPair, ""
		if p.Key, b, ok = mqttString(b); !ok {
			return p, nil, false
		}
	default:
		p.Kind = MQTTText
	}
	p.Text, rest, ok = mqttString(b)
	return p, rest, ok
}
