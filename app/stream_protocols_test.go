package app

import (
	"encoding/binary"
	"testing"
)

func mqttString16(s string) string {
	return string(binary.BigEndian.AppendUint16(nil, uint16(len(s)))) + s
}

func mqttPacket(first byte, body string) string {
	out := []byte{first}
	n := len(body)
	for {
		b := byte(n & 0x7f)
		if n >>= 7; n > 0 {
			b |= 0x80
		}
		out = append(out, b)
		if n == 0 {
			return string(out) + body
		}
	}
}

func mqttTalk() []piece {
	connect := mqttPacket(0x10, mqttString16("MQTT")+"\x05\xc6\x00\x3c\x00"+mqttString16("client")+"\x00"+mqttString16("will/topic")+mqttString16("gone")+
		mqttString16("user")+mqttString16("pass"))
	return []piece{
		ts(connect), tc(mqttPacket(0x20, "\x01\x00\x00")),
		ts(mqttPacket(0x82, "\x00\x01\x00"+mqttString16("a/#")+"\x01"+mqttString16("b")+"\x00")), tc(mqttPacket(0x90, "\x00\x01\x00\x01\x00")),
		ts(mqttPacket(0x34, mqttString16("a/b")+"\x00\x02\x00"+"exactly once")), tc(mqttPacket(0x50, "\x00\x02")),
		ts(mqttPacket(0x62, "\x00\x02")), tc(mqttPacket(0x70, "\x00\x02")),
		tc(mqttPacket(0x30, mqttString16("c")+"\x00"+string(make([]byte, 200000)))),
		ts(mqttPacket(0xc0, "")), tc(mqttPacket(0xd0, "")), ts(mqttPacket(0xe0, "\x04\x00")),
	}
}

func TestMQTT(t *testing.T) {
	c := talk(MQTT, mqttTalk(), true, whole)
	if n := len(c.Transactions()); n != 7 {
		t.Fatalf("%d transactions, want 7\n%s", n, clip(dumpConn(c)))
	}
	for _, x := range []struct {
		tx   int
		f    Field
		i    int
		want string
	}{
		{0, MQTTConnectClientID, 0, "client"}, {0, MQTTConnectUsername, 0, "user"}, {0, MQTTConnectPassword, 0, "pass"},
		{0, MQTTConnectWillTopic, 0, "will/topic"}, {0, MQTTConnectWillMessage, 0, "gone"}, {0, MQTTConnectProtocolString, 0, "MQTT"},
		{1, MQTTSubscribeTopic, 0, "a/#"}, {1, MQTTSubscribeTopic, 1, "b"}, {2, MQTTPublishTopic, 0, "a/b"}, {2, MQTTPublishMessage, 0, "exactly once"},
	} {
		if got := field(t, c, x.tx, x.f, ToServer, x.i); got != x.want {
			t.Errorf("tx %d %v[%d] = %q, want %q", x.tx, x.f, x.i, got, x.want)
		}
	}
	for i, tx := range c.Transactions() {
		if !tx.Base().Complete() || len(tx.Base().Events) != 0 {
			t.Errorf("tx %d: %+v", i, tx.Base())
		}
	}
	for _, x := range []struct {
		tx   int
		f    Field
		i    int
		want uint64
	}{{0, MQTTType, 0, 1}, {0, MQTTType, 1, 2}, {0, MQTTConnectFlags, 0, 0xc6}, {0, MQTTConnackSessionPresent, 0, 1}, {0, MQTTProtocolVersion, 0, 5},
		{2, MQTTQoS, 0, 2}, {2, MQTTType, 3, 7}, {6, MQTTReasonCode, 0, 4}} {
		if v, ok := c.Transactions()[x.tx].Number(x.f, ToServer, x.i); !ok || v != x.want {
			t.Errorf("tx %d %v[%d] = %d %v, want %d", x.tx, x.f, x.i, v, ok, x.want)
		}
	}
	checkCuts(t, MQTT, mqttTalk(), 8)
	checkPrefixes(t, MQTT, mqttTalk()[:8])
	checkGaps(t, MQTT, mqttTalk())
}

func TestMQTTEvents(t *testing.T) {
	for _, x := range []struct {
		say  piece
		want Event
	}{
		{tc(mqttPacket(0x20, "\x00\x00")), mqttMissingConnect},
		{tc(mqttPacket(0x40, "\x00\x01")), mqttMissingPublish},
		{tc(mqttPacket(0x90, "\x00\x01\x00")), mqttMissingSubscribe},
		{tc(mqttPacket(0xb0, "\x00\x01")), mqttMissingUnsubscribe},
		{ts(mqttPacket(0xc0, "")), mqttUnintroduced},
		{ts(mqttPacket(0x00, "")), mqttUnassigned},
		{ts("\x30\xff\xff\xff\xff\x01"), mqttMalformed},
		{ts(mqttPacket(0x10, "\x00\x10")), mqttMalformed},
	} {
		c := talk(MQTT, []piece{x.say}, true, whole)
		found := false
		for _, e := range c.Transactions()[0].Base().Events {
			found = found || e == x.want
		}
		if !found {
			t.Errorf("%q: events %v, want %s", x.say.data, c.Transactions()[0].Base().Events, x.want)
		}
		checkCuts(t, MQTT, []piece{x.say}, 5)
	}
}

func rfbTalk() []piece {
	return []piece{
		tc("RFB 003.008\n"), ts("RFB 003.008\n"), tc("\x02\x01\x02"), ts("\x02"), tc("0123456789abcdef"), ts("fedcba9876543210"),
		tc("\x00\x00\x00\x00"), ts("\x01"), tc("\x03\x20\x02\x58" + string(make([]byte, 16)) + "\x00\x00\x00\x04desk"), tc("pictures"),
	}
}

func TestRFB(t *testing.T) {
	c := talk(RFB, rfbTalk(), false, whole)
	if got := field(t, c, 0, RFBName, ToClient, 0); got != "desk" {
		t.Errorf("name %q", got)
	}
	m := c.Transactions()[0].(*RFBTx)
	if m.SecurityType != 2 || m.Width != 800 || string(m.Challenge) != "0123456789abcdef" || !m.Complete() || !c.Done() {
		t.Errorf("%+v", m)
	}
	if p := talk(Unknown, rfbTalk(), false, whole).Proto(); p != RFB {
		t.Errorf("recognised as %v", p)
	}
	checkLaws(t, RFB, rfbTalk())
	for _, x := range []struct {
		say  []piece
		want Event
	}{
		{[]piece{tc("RFB 003x008\n")}, rfbMalformed},
		{[]piece{tc("RFB 003.008\n"), ts("RFB 003.008\n"), tc("\x01\x1e"), ts("\x1e")}, rfbUnimplemented},
		{[]piece{tc("RFB 003.003\n"), ts("RFB 003.003\n"), tc("\x00\x00\x00\x02"), tc("0123456789abcdef"), ts("0123456789abcdef"), tc("\x00\x00\x00\x09")}, rfbUnknownResult},
	} {
		c := talk(RFB, x.say, true, whole)
		if e := c.Transactions()[0].Base().Events; len(e) != 1 || e[0] != x.want {
			t.Errorf("events %v, want %s", e, x.want)
		}
		checkCuts(t, RFB, x.say, 10)
	}
}

func rdpTalk() []piece {
	tpkt := func(x string) string {
		return string([]byte{3, 0, 0, byte(4 + len(x))}) + x
	}
	cookie := "Cookie: mstshash=alice\r\n\x01\x00\x08\x00\x01\x00\x00\x00"
	return []piece{
		ts(tpkt(string([]byte{byte(6 + len(cookie)), 0xe0, 0, 0, 0, 0, 0}) + cookie)),
		tc(tpkt("\x0e\xd0\x00\x00\x00\x00\x00\x02\x00\x08\x00\x01\x00\x00\x00")), ts("\x16\x03\x01"),
	}
}

func TestRDP(t *testing.T) {
	c := talkOn(3389, Unknown, rdpTalk(), false, whole)
	if c.Proto() != RDP || len(c.Transactions()) != 2 {
		t.Fatalf("%s", dumpConn(c))
	}
	a, b := c.Transactions()[0].(*RDPTx), c.Transactions()[1].(*RDPTx)
	if string(a.Cookie) != "alice" || a.Protocol != 1 || b.Protocol != 1 || b.Kind != RDPInitialResponse || !c.Encrypted() {
		t.Errorf("%+v %+v", a, b)
	}
	checkLaws(t, RDP, rdpTalk())
}

func FuzzMQTT(f *testing.F) { fuzzStream(f, MQTT, mqttTalk()[:8]) }
func FuzzRFB(f *testing.F)  { fuzzStream(f, RFB, rfbTalk()) }
func FuzzRDP(f *testing.F)  { fuzzStream(f, RDP, rdpTalk()) }

func nfsTalk() []piece {
	u32 := func(v ...uint32) string {
		var b []byte
		for _, x := range v {
			b = binary.BigEndian.AppendUint32(b, x)
		}
		return string(b)
	}
	opaque := func(s string) string {
		return u32(uint32(len(s))) + s + string(make([]byte, -len(s)&3))
	}
	record := func(s string) string { return u32(1<<31|uint32(len(s))) + s }
	call := func(xid, proc uint32, args string) piece {
		return ts(record(u32(xid, 0, 2, nfsProgram, 3, proc, 0, 0, 0, 0) + args))
	}
	reply := func(xid uint32, res string) piece { return tc(record(u32(xid, 1, 0, 0, 0, 0) + res)) }
	two := string(call(5, nfs3Read, opaque("fh1")+u32(0, 0, 100)).data)[4:]
	return []piece{
		call(1, nfs3Lookup, opaque("root")+opaque("a.txt")), reply(1, u32(0)+opaque("fh1")+u32(0, 0)),
		call(2, nfs3Write, opaque("fh1")+u32(0, 0, 5, 0)+opaque("hello")), reply(2, u32(0)),
		call(3, nfs3Write, opaque("fh1")+u32(0, 5, 6, 0)+opaque(" world")), reply(3, u32(0)),
		call(4, nfs3Commit, opaque("fh1")), reply(4, u32(0)),
		// In two fragments.
		ts(u32(20) + two[:20] + u32(1<<31|uint32(len(two)-20)) + two[20:]),
		reply(5, u32(0)+u32(0, 11, 1)+opaque("hello world")),
	}
}

func TestNFS(t *testing.T) {
	c := talkOn(2049, Unknown, nfsTalk(), true, whole)
	if c.Proto() != NFS {
		t.Fatalf("recognised as %v", c.Proto())
	}
	var got []string
	for _, tx := range c.Transactions() {
		for d := ToServer; d <= ToClient; d++ {
			if b := tx.Body(FileData, d, 0); b != nil {
				name, _ := tx.Bytes(FileName, d, 0)
				got = append(got, string(name)+"="+string(b.Data))
			}
		}
	}
	if len(got) != 2 || got[0] != "a.txt=hello world" || got[1] != "a.txt=hello world" {
		t.Errorf("files %q", got)
	}
	if v, _ := c.Transactions()[0].Number(NFSProcedure, ToServer, 0); v != nfs3Lookup {
		t.Errorf("procedure %d", v)
	}
	checkLaws(t, NFS, nfsTalk())
}

func FuzzNFS(f *testing.F) { fuzzStream(f, NFS, nfsTalk()) }
