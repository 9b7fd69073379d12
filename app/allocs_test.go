package app

import (
	"strings"
	"testing"
)

// What is only passed over costs no memory: the steady state of long flows.
func TestSteadyStateAllocs(t *testing.T) {
	line := []byte(strings.Repeat("plain text ", 6) + "\r\n")
	block := make([]byte, 1400)
	for _, x := range []struct {
		name  string
		proto Proto
		say   []piece
		dir   Dir
		chunk []byte
	}{
		{"text of a mail", SMTP, []piece{tc("220 x\r\n"), ts("DATA\r\n"), tc("354\r\n"), ts("Content-Type: text/x-none\r\n\r\nfirst\r\n")}, ToServer, line},
		{"one side of ssh encrypted", SSH, []piece{ts("SSH-2.0-x\r\n" + sshPacket(21, ""))}, ToServer, block},
		{"a large message of mqtt", MQTT, []piece{ts(mqttPacket(0x10, mqttString16("MQTT")+"\x04\x00\x00\x3c"+mqttString16("c")) + "\x30\x80\x80\x80\x7f\x00\x01x" + string(make([]byte, mqttMaxMessage)))}, ToServer, block},
		{"a large file over smb", SMB, []piece{{ToServer, smb2Message(smb2Write, false, 4, 5, smb2WriteBody(1, 0, make([]byte, 12<<20)))[: 4+64+48+2<<20 : 4+64+48+2<<20]}}, ToServer, block},
	} {
		c := talk(x.proto, x.say, false, whole)
		if c.Done() {
			t.Fatalf("%s: the connection is over", x.name)
		}
		c.Feed(x.dir, x.chunk)
		if n := testing.AllocsPerRun(200, func() { c.Feed(x.dir, x.chunk) }); n != 0 {
			t.Errorf("%s: %v allocations a chunk", x.name, n)
		}
	}
}
