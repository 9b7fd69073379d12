package app

import "testing"

// TestProbes: what the first bytes of a direction are taken for, cut at every
// place.
func TestProbes(t *testing.T) {
	for _, tt := range []struct {
		dir  Dir
		data string
		port uint16
		want Proto
	}{
		{ToServer, "GET / HTTP/1.1\r\n", 4711, HTTP1},
		{ToServer, "get\t/ HTTP/1.1\r\n", 4711, HTTP1},
		{ToServer, "VERSION-CONTROL /x\r\n", 4711, HTTP1},
		{ToServer, "GETX /\r\n and so on and so on and so on", 4711, Unknown},
		{ToClient, "HTTP/1.0 200 OK\r\n", 4711, HTTP1},
		{ToServer, h2Preface, 4711, HTTP2},
		{ToClient, h2frame(h2Settings, 0, 0, "\x00\x03\x00\x00\x00\x64"), 80, HTTP2},
		{ToServer, "\x16\x03\x01\x00\x10\x01\x00\x00\x0c", 4711, TLS},
		{ToClient, "\x15\x03\x03\x00\x02\x02\x28", 4711, TLS},
		{ToServer, "SSH-2.0-x\r\n", 4711, SSH},
		{ToServer, "EHLO me\r\n", 4711, SMTP},
		{ToServer, "USER me\r\n", 4711, FTP},
		{ToClient, "220 mail.example ESMTP ready\r\n", 25, Unknown},
		{ToClient, "220 (vsFTPd 3.0)\r\n", 4711, FTP},
		{ToServer, "\x00\x00\x00\x20\xffSMBr\x00\x00", 4711, SMB},
		{ToServer, "\x00\x00\x00\x20\xfeSMB@\x00", 4711, SMB},
		{ToClient, "RFB 003.008\n", 4711, RFB},
		{ToServer, "\x05\x00\x0b\x03\x10\x00\x00\x00\x48\x00\x00\x00\x01\x00\x00\x00", 4711, DCERPC},
		{ToServer, "\x03\x00\x00\x13\x0e\xe0\x00\x00\x00\x00\x00\x01\x00\x08\x00\x03\x00\x00\x00", 3389, RDP},
		{ToServer, "\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04abcd", 1883, MQTT},
		{ToServer, "\x00\x1d\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03www\x07example\x03com\x00\x00\x01\x00\x01", 53, DNS},
		{ToServer, "\xff\xfd\x03\xff\xfb\x18", 23, TELNET},
		{ToServer, "plain text that means nothing to anybody at all", 4711, Unknown},
	} {
		for _, cut := range []int{1, 2, 5, 1000} {
			env := NewEnv(Config{})
			c := new(Conn)
			c.Reset(env, Hints{SrcPort: 40000, DstPort: tt.port})
			for p := tt.data; len(p) > 0; {
				n := min(cut, len(p))
				c.Feed(tt.dir, []byte(p[:n]))
				p = p[n:]
			}
			if got := c.ProtoOf(tt.dir); got != tt.want {
				t.Errorf("%q in pieces of %d: %v, want %v", tt.data, cut, got, tt.want)
			}
		}
	}
}

func TestMismatch(t *testing.T) {
	c := talk(Unknown, []piece{ts("GET / HTTP/1.1\r\n\r\n"), tc("SSH-2.0-OpenSSH\r\n")}, false, func(int) int { return 3 })
	if len(c.Events) != 1 || c.Events[0] != "applayer_mismatch_protocol_both_directions" {
		t.Errorf("events %v", c.Events)
	}
	c = talk(Unknown, []piece{ts("GET / HTTP/1.1\r\n\r\n"), tc("and something else that is no protocol at all")}, false, whole)
	if len(c.Events) != 1 || c.Events[0] != "applayer_detect_protocol_only_one_direction" {
		t.Errorf("events %v", c.Events)
	}
}

// TestLateRecognition: the side that nobody could name is parsed from its
// beginning once the other gave the name.
func TestLateRecognition(t *testing.T) {
	c := talk(Unknown, []piece{tc("220 hello\r\n"), ts("EHLO me\r\n"), tc("250 ok\r\n")}, true, whole)
	if c.Proto() != SMTP {
		t.Fatalf("protocol %v", c.Proto())
	}
}

// Of a session whose beginning was not seen either end may be the server: what
// it says first tells, and turns the connection round. Of others it does not.
func TestTurned(t *testing.T) {
	smbAnswer := append([]byte{0, 0, 0, 40, 0xff, 'S', 'M', 'B', 0x73, 0, 0, 0, 0, 0x88}, make([]byte, 40)...)
	for _, c := range []struct {
		name string
		from uint16
		data []byte
		want Proto
	}{
		{"http response", 8080, []byte("HTTP/1.1 200 OK\r\n\r\n"), HTTP1},
		{"smb answer", 445, smbAnswer, SMB},
		{"dns answer", 53, append([]byte{0, 29, 1, 2, 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0, 7}, "example\x03com\x00\x00\x01\x00\x01"...), DNS},
	} {
		for _, midstream := range []bool{false, true} {
			var conn Conn
			conn.Reset(NewEnv(Config{}), Hints{Transport: TCP, SrcPort: c.from, DstPort: 50000, Midstream: midstream})
			conn.Feed(ToServer, c.data)
			if conn.Turned() != midstream {
				t.Errorf("%s: turned %v although midstream is %v", c.name, !midstream, midstream)
			}
			if got := conn.Proto(); midstream && (got != c.want || conn.ProtoOf(ToClient) != c.want) {
				t.Errorf("%s: %v, want %v", c.name, got, c.want)
			}
			if conn.Turned() {
				t.Errorf("%s: told twice", c.name)
			}
		}
	}
}
