package app

import "testing"

// FuzzRecognition gives bytes of both directions to connections whose protocol
// is to be recognised, on any port, whole and in two pieces.
func FuzzRecognition(f *testing.F) {
	for _, s := range []struct {
		a, b string
		port uint16
	}{{"GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n", 80}, {"\x00\x00\x00\x20\xfeSMB", "\x81\x00\x00\x01", 445}, {"\x05\x64\x05\xc4", "DNP3", 20000},
		{"INVITE a SIP/2.0\r\n\r\n", "SIP/2.0 200 OK\r\n\r\n", 5060}, {"\x30\x05\x02\x01\x00\x04\x00", "\x00\x01", 161}} {
		f.Add([]byte(s.a), []byte(s.b), s.port, uint8(1))
	}
	f.Fuzz(func(t *testing.T, a, b []byte, port uint16, cut uint8) {
		for _, transport := range []Transport{TCP, UDP} {
			c := new(Conn)
			c.Reset(NewEnv(Config{Frames: true, Enabled: offByDefault}), Hints{Transport: transport, SrcPort: 40000, DstPort: port})
			for d, data := range [2][]byte{a, b} {
				k := min(int(cut), len(data))
				for _, part := range [2][]byte{data[:k], data[k:]} {
					if transport == UDP {
						c.Datagram(Dir(d), part)
						_ = c.Turned()
					} else {
						c.Feed(Dir(d), part)
					}
				}
			}
			c.Close(ToServer)
			c.Close(ToClient)
			_ = dumpConn(c)
			c.Release()
		}
	})
}
