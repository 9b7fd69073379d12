package app

import "encoding/binary"

// Anomalies of MQTT.
const (
	mqttMissingConnect     Event = "missing_connect"
	mqttMissingPublish     Event = "missing_publish"
	mqttMissingSubscribe   Event = "missing_subscribe"
	mqttMissingUnsubscribe Event = "missing_unsubscribe"
	mqttDoubleConnect      Event = "double_connect"
	mqttUnintroduced       Event = "unintroduced_message"
	mqttInvalidQoS         Event = "invalid_qos_level"
	mqttMissingID          Event = "missing_msg_id"
	mqttUnassigned         Event = "unassigned_msg_type"
	mqttMalformed          Event = "malformed_traffic"
)

// Message types of MQTT (MQTT 5.0 §2.1.2).
const (
	mqttConnect     = 1
	mqttConnack     = 2
	mqttPublish     = 3
	mqttPuback      = 4
	mqttPubrec      = 5
	mqttPubrel      = 6
	mqttPubcomp     = 7
	mqttSubscribe   = 8
	mqttSuback      = 9
	mqttUnsubscribe = 10
	mqttUnsuback    = 11
	mqttPingreq     = 12
	mqttPingresp    = 13
	mqttDisconnect  = 14
	mqttAuth        = 15
)

const (
	mqttMaxMessage  = 128 << 10 // longest message that is read; of longer ones the beginning
	mqttMaxTopics   = 256
	mqttMaxMessages = 32 // of a transaction
	mqttMaxOpen     = 128
)

// MQTTMessage is one control packet.
type MQTTMessage struct {
	Type    uint8
	Flags   uint8 // low half of the first byte: DUP 8, QoS 6, RETAIN 1
	Length  uint32
	Dir     Dir
	ID      uint16
	Reason  []byte // reason or return codes
	Topics  [][]byte
	Payload []byte // of PUBLISH
	// Of CONNECT:
	Protocol              []byte
	Version               uint8
	ConnectFlags          uint8
	ClientID              []byte
	WillTopic, WillData   []byte
	Username, Password    []byte
	SessionPresent, HasSP bool   // of CONNACK
	QoSs                  []byte // of SUBSCRIBE, one for each topic
	// Properties of version 5 as they stand in the message, those of the will
	// apart; MQTTProperty reads them.
	Properties, WillProperties []byte
	Truncated                  bool
}

// QoS of the message.
func (m *MQTTMessage) QoS() uint8 { return m.Flags >> 1 & 3 }

// MQTTTx is a message and what answers it.
type MQTTTx struct {
	plainTx
	Version  uint8 // of the protocol, as CONNECT said
	Messages []*MQTTMessage
	id       uint16
	open     uint8 // type of the message that completes it, 0 if it is complete
}

// message returns the first message of a type.
func (t *MQTTTx) message(typ uint8) *MQTTMessage {
	for _, m := range t.Messages {
		if m.Type == typ {
			return m
		}
	}
	return nil
}

// Bytes implements Tx.
func (t *MQTTTx) Bytes(f Field, _ Dir, i int) ([]byte, bool) {
	switch f {
	case MQTTConnectClientID, MQTTConnectUsername, MQTTConnectPassword, MQTTConnectWillTopic, MQTTConnectWillMessage, MQTTConnectProtocolString:
		m := t.message(mqttConnect)
		if m == nil {
			return nil, false
		}
		switch f {
		case MQTTConnectClientID:
			return only(m.ClientID, i)
		case MQTTConnectUsername:
			return only(m.Username, i)
		case MQTTConnectPassword:
			return only(m.Password, i)
		case MQTTConnectWillTopic:
			return only(m.WillTopic, i)
		case MQTTConnectWillMessage:
			return only(m.WillData, i)
		}
		return only(m.Protocol, i)
	case MQTTPublishTopic, MQTTPublishMessage:
		m := t.message(mqttPublish)
		if m == nil {
			return nil, false
		}
		if f == MQTTPublishTopic && len(m.Topics) > 0 {
			return only(m.Topics[0], i)
		}
		return only(m.Payload, i)
	case MQTTSubscribeTopic:
		if m := t.message(mqttSubscribe); m != nil {
			return at(m.Topics, i)
		}
	case MQTTUnsubscribeTopic:
		if m := t.message(mqttUnsubscribe); m != nil {
			return at(m.Topics, i)
		}
	}
	return nil, false
}

// Number implements Tx.
func (t *MQTTTx) Number(f Field, d Dir, i int) (uint64, bool) {
	switch f {
	case MQTTProtocolVersion:
		return only1(uint64(t.Version), t.Version != 0, i)
	case MQTTConnectFlags:
		m := t.message(mqttConnect)
		return only1(uint64(value(m).ConnectFlags), m != nil, i)
	case MQTTConnackSessionPresent:
		m := t.message(mqttConnack)
		v := uint64(0)
		if value(m).SessionPresent {
			v = 1
		}
		return only1(v, m != nil && m.HasSP, i)
	}
	for _, m := range t.Messages {
		switch f {
		case MQTTType, MQTTFlags, MQTTQoS:
			if i > 0 {
				i--
				continue
			}
			switch f {
			case MQTTType:
				return uint64(m.Type), true
			case MQTTFlags:
				return uint64(m.Flags), true
			}
			return uint64(m.QoS()), true
		case MQTTReasonCode:
			if i >= 0 && i < len(m.Reason) {
				return uint64(m.Reason[i]), true
			}
			i -= len(m.Reason)
		}
	}
	return 0, false
}

func value(m *MQTTMessage) MQTTMessage {
	if m == nil {
		return MQTTMessage{}
	}
	return *m
}

type mqttParser struct {
	streamOnly
	version   uint8
	connected bool
	open      []*MQTTTx
	skip      [2]uint32
	lost      [2]bool
}

func newMQTT() parser { return &mqttParser{} }

func (p *mqttParser) reset()        { *p = mqttParser{} }
func (*mqttParser) maxPending() int { return 5 + mqttMaxMessage + 1 }

func (p *mqttParser) parse(c *Conn, d Dir, data []byte) (n, need int) {
	for {
		b := data[n:]
		if p.lost[d] {
			return len(data), 0
		}
		if p.skip[d] > 0 {
			k := min(int(p.skip[d]), len(b))
			p.skip[d] -= uint32(k)
			n += k
			if p.skip[d] > 0 {
				return n, 0
			}
			continue
		}
		if len(b) < 2 {
			return n, 2
		}
		l, h := mqttVarint(b[1:])
		if h == 0 {
			if len(b) >= 5 {
				p.malformed(c, d)
				c.fail()
				return n, 0
			}
			return n, len(b) + 1
		}
		have := int(min(l, mqttMaxMessage))
		if len(b) < 1+h+have {
			return n, 1 + h + have
		}
		m := &MQTTMessage{Type: b[0] >> 4, Flags: b[0] & 15, Length: l, Dir: d, Truncated: have < int(l)}
		if c.wantsFrames() {
			all := b[:1+h+have]
			c.frame(d, "pdu", n, all)
			c.frame(d, "header", n, all[:2])
			c.frame(d, "data", n+2, all[2:min(len(all), 2+have)])
		}
		p.message(c, d, m, clone(b[1+h:1+h+have]))
		n += 1 + h + have
		p.skip[d] = l - uint32(have)
		if c.Done() {
			return n, 0
		}
	}
}

// mqttVarint reads a variable byte integer (MQTT 5.0 §1.5.5); its length is 0
// if it is not complete or longer than four bytes.
func mqttVarint(b []byte) (v uint32, n int) {
	for i := 0; i < 4 && i < len(b); i++ {
		v |= uint32(b[i]&0x7f) << (7 * i)
		if b[i]&0x80 == 0 {
			return v, i + 1
		}
	}
	return 0, 0
}

func (p *mqttParser) malformed(c *Conn, d Dir) {
	t := &MQTTTx{Version: p.version}
	t.oneWay(d)
	t.event(mqttMalformed)
	c.add(t)
}

// mqttString reads two bytes of length and as many bytes.
func mqttString(b []byte) (s, rest []byte, ok bool) {
	if len(b) < 2 {
		return nil, nil, false
	}
	n := int(binary.BigEndian.Uint16(b))
	if len(b) < 2+n {
		return nil, nil, false
	}
	return b[2 : 2+n : 2+n], b[2+n:], true
}

// properties cuts off the properties of version 5 and puts them in dst.
func (p *mqttParser) properties(dst *[]byte, b []byte) ([]byte, bool) {
	if p.version < 5 {
		return b, true
	}
	l, n := mqttVarint(b)
	if n == 0 || int64(l) > int64(len(b)-n) {
		return nil, false
	}
	*dst = b[n : n+int(l)]
	return b[n+int(l):], true
}

// decode fills m from the variable header and payload b.
func (p *mqttParser) decode(m *MQTTMessage, b []byte) (ok bool) {
	switch m.Type {
	case mqttConnect:
		if m.Protocol, b, ok = mqttString(b); !ok || len(b) < 4 {
			return false
		}
		m.Version, m.ConnectFlags = b[0], b[1]
		p.version = m.Version
		if b, ok = p.properties(&m.Properties, b[4:]); !ok {
			return false
		}
		if m.ClientID, b, ok = mqttString(b); !ok {
			return false
		}
		if m.ConnectFlags&4 != 0 {
			if b, ok = p.properties(&m.WillProperties, b); !ok {
				return false
			}
			if m.WillTopic, b, ok = mqttString(b); !ok {
				return false
			}
			if m.WillData, b, ok = mqttString(b); !ok {
				return false
			}
		}
		if m.ConnectFlags&0x80 != 0 {
			if m.Username, b, ok = mqttString(b); !ok {
				return false
			}
		}
		if m.ConnectFlags&0x40 != 0 {
			if m.Password, _, ok = mqttString(b); !ok {
				return false
			}
		}
		return true
	case mqttConnack:
		if len(b) < 2 {
			return false
		}
		m.SessionPresent, m.HasSP, m.Reason = b[0]&1 != 0, true, b[1:2]
		p.properties(&m.Properties, b[2:])
		return true
	case mqttPublish:
		topic, rest, ok := mqttString(b)
		if !ok {
			return false
		}
		m.Topics = [][]byte{topic}
		if m.QoS() > 0 {
			if len(rest) < 2 {
				return false
			}
			m.ID, rest = binary.BigEndian.Uint16(rest), rest[2:]
		}
		if rest, ok = p.properties(&m.Properties, rest); !ok {
			return false
		}
		m.Payload = rest
		return true
	case mqttPuback, mqttPubrec, mqttPubrel, mqttPubcomp:
		if len(b) < 2 {
			return false
		}
		m.ID = binary.BigEndian.Uint16(b)
		if len(b) > 2 {
			m.Reason = b[2:3]
			p.properties(&m.Properties, b[3:])
		}
		return true
	case mqttSubscribe, mqttUnsubscribe:
		if len(b) < 2 {
			return false
		}
		m.ID = binary.BigEndian.Uint16(b)
		if b, ok = p.properties(&m.Properties, b[2:]); !ok {
			return false
		}
		for len(b) > 0 && len(m.Topics) < mqttMaxTopics {
			var topic []byte
			if topic, b, ok = mqttString(b); !ok {
				return false
			}
			if m.Type == mqttSubscribe {
				if len(b) < 1 {
					return false
				}
				m.QoSs = append(m.QoSs, b[0]&3)
				b = b[1:]
			}
			m.Topics = append(m.Topics, topic)
		}
		return true
	case mqttSuback, mqttUnsuback:
		if len(b) < 2 {
			return false
		}
		m.ID = binary.BigEndian.Uint16(b)
		if b, ok = p.properties(&m.Properties, b[2:]); !ok {
			return false
		}
		m.Reason = b
		return true
	case mqttDisconnect, mqttAuth:
		if p.version >= 5 {
			m.Reason = []byte{0}
			// Suricata reads a reason only where properties follow, were they
			// none.
			if len(b) > 1 || len(b) == 1 && m.Type == mqttAuth {
				m.Reason = b[:1]
				p.properties(&m.Properties, b[1:])
			}
		}
		return true
	}
	return true
}

func (p *mqttParser) message(c *Conn, d Dir, m *MQTTMessage, b []byte) {
	if !p.decode(m, b) && !m.Truncated {
		p.malformed(c, d)
		return
	}
	first := mqttFirst(m)
	var t *MQTTTx
	var missing Event
	if first == 0 {
		// It answers something.
		for _, o := range p.open {
			if o.open != 0 && mqttAnswers(o, m) {
				t = o
				break
			}
		}
		switch m.Type {
		case mqttConnack:
			missing = mqttMissingConnect
		case mqttPuback, mqttPubrec, mqttPubrel, mqttPubcomp:
			missing = mqttMissingPublish
		case mqttSuback:
			missing = mqttMissingSubscribe
		case mqttUnsuback:
			missing = mqttMissingUnsubscribe
		}
	}
	if t == nil {
		t = &MQTTTx{Version: p.version, id: m.ID}
		t.From = d
		c.add(t)
		if missing != "" {
			t.event(missing)
		} else if first != 255 {
			t.open = first
			if len(p.open) >= mqttMaxOpen {
				p.open[0].complete()
				p.open = append(p.open[:0], p.open[1:]...)
			}
			p.open = append(p.open, t)
		}
	}
	if len(t.Messages) < mqttMaxMessages {
		t.Messages = append(t.Messages, m)
	}
	t.reach(d, StageComplete)
	switch {
	case m.Type == mqttConnect:
		if p.connected {
			t.event(mqttDoubleConnect)
		}
	case m.Type == mqttAuth:
	case !p.connected && m.Type != mqttConnack:
		t.event(mqttUnintroduced)
	}
	switch {
	case m.Type == mqttPublish && m.QoS() > 2:
		t.event(mqttInvalidQoS)
	case m.Type == 0:
		t.event(mqttUnassigned)
	case m.Type == mqttConnack:
		p.connected = true
	case m.Type == mqttPubrec:
		t.open = mqttPubrel
	case m.Type == mqttPubrel:
		t.open = mqttPubcomp
	}
	if (m.Type == mqttSubscribe || m.Type == mqttUnsubscribe) && m.ID == 0 {
		t.event(mqttMissingID)
	}
	if first == 255 || missing != "" && t.open == 0 || t.open == m.Type {
		t.complete()
		t.open = 0
	}
	k := 0
	for _, o := range p.open {
		if !o.Complete() || o.open != 0 {
			p.open[k] = o
			k++
		}
	}
	clear(p.open[k:])
	p.open = p.open[:k]
}

// mqttFirst is the type of the message that answers m; 255 if none does, 0 if
// m is an answer itself.
func mqttFirst(m *MQTTMessage) uint8 {
	switch m.Type {
	case mqttConnect:
		return mqttConnack
	case mqttPublish:
		switch m.QoS() {
		case 1:
			return mqttPuback
		case 2:
			return mqttPubrec
		}
		return 255
	case mqttSubscribe:
		return mqttSuback
	case mqttUnsubscribe:
		return mqttUnsuback
	case mqttConnack, mqttPuback, mqttPubrec, mqttPubrel, mqttPubcomp, mqttSuback, mqttUnsuback:
		return 0
	}
	return 255
}

func mqttAnswers(t *MQTTTx, m *MQTTMessage) bool {
	if t.open != m.Type {
		return false
	}
	return m.Type == mqttConnack || t.id == m.ID
}

func (p *mqttParser) gap(_ *Conn, d Dir, n uint64) bool {
	if uint64(p.skip[d]) >= n {
		p.skip[d] -= uint32(n)
		return true
	}
	p.lost[d] = true
	return true
}

func (p *mqttParser) close(_ *Conn, d Dir, _ []byte) {
	for _, t := range p.open {
		t.reach(d, StageComplete)
	}
}
