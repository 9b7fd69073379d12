package eve

import (
	"encoding/binary"
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/garita/garita/app"
	"github.com/garita/garita/detect"
	"github.com/garita/garita/packet"
	"github.com/garita/garita/rule"
)

var (
	client = netip.MustParseAddr("192.0.2.1")
	server = netip.MustParseAddr("198.51.100.2")
)

// aPacket is an empty segment or datagram from the client.
func aPacket(proto uint8, dport uint16) *packet.Packet {
	n := 28
	if proto == packet.ProtoTCP {
		n = 40
	}
	b := make([]byte, n)
	b[0], b[3], b[8], b[9] = 0x45, byte(n), 64, proto
	copy(b[12:], client.AsSlice())
	copy(b[16:], server.AsSlice())
	binary.BigEndian.PutUint16(b[20:], 40000)
	binary.BigEndian.PutUint16(b[22:], dport)
	if proto == packet.ProtoTCP {
		b[32], b[33] = 0x50, byte(packet.ACK)
	} else {
		b[25] = 8
	}
	p := &packet.Packet{Data: b, Time: 1700000000_123456000, Number: 7}
	p.Decode()
	return p
}

func info(p *packet.Packet) *FlowInfo {
	return &FlowInfo{
		ID: 42, Src: client, Dst: server, SrcPort: 40000, DstPort: p.DstPort(), Proto: p.Proto(), Start: p.Time,
		Packets: [2]uint64{3, 2}, Bytes: [2]uint64{300, 200},
	}
}

// talk is what two sides say in turn, ">" in front of the client's words.
func talk(t app.Transport, port uint16, words ...string) *app.Conn {
	c := &app.Conn{}
	c.Reset(app.NewEnv(app.Config{}), app.Hints{Transport: t, SrcPort: 40000, DstPort: port})
	for _, w := range words {
		d := app.ToClient
		if w[0] == '>' {
			d = app.ToServer
		}
		if t == app.UDP {
			c.Datagram(d, []byte(w[1:]))
		} else {
			c.Feed(d, []byte(w[1:]))
		}
	}
	return c
}

func logger() *Logger { return NewLogger(Config{Location: time.UTC}, nil, nil) }

// lines are the records that were written, checked to be JSON.
func linesOf(t testing.TB, l *Logger) []string {
	t.Helper()
	text := strings.TrimSuffix(string(l.o.b), "\n")
	l.o.b = l.o.b[:0]
	if text == "" {
		return nil
	}
	out := strings.Split(text, "\n")
	for _, s := range out {
		if !json.Valid([]byte(s)) {
			t.Fatalf("not JSON: %q", s)
		}
	}
	return out
}

func logAll(l *Logger, p *packet.Packet, c *app.Conn) {
	f := info(p)
	f.AppKnown, f.App = true, c.Proto()
	for _, tx := range c.Transactions() {
		for d := app.ToServer; d <= app.ToClient; d++ {
			if l.Due(d, tx) {
				l.Tx(p, f, d, tx)
			}
		}
	}
}

const head = `{"timestamp":"2023-11-14T22:13:20.123456+0000","flow_id":42,"pcap_cnt":7,"event_type":"`

func addrs(port, proto string) string {
	return `","src_ip":"192.0.2.1","src_port":40000,"dest_ip":"198.51.100.2","dest_port":` + port + `,"proto":"` + proto + `","pkt_src":"wire/pcap",`
}

const (
	dnsQuery = "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03www\x07example\x03com\x00\x00\x01\x00\x01"
	dnsReply = "\x12\x34\x81\x80\x00\x01\x00\x02\x00\x00\x00\x00\x03www\x07example\x03com\x00\x00\x01\x00\x01" +
		"\xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x3c\x00\x04\x01a\xc0\x10" + "\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xc0\x00\x02\x05"
)

var golden = []struct {
	name  string
	t     app.Transport
	port  uint16
	words []string
	want  []string
}{
	{"http", app.TCP, 8080, []string{
		">GET /a?b=\"c\" HTTP/1.1\r\nHost: h.example:8080\r\nUser-Agent: x\xffy\r\nReferer: r\r\n\r\n",
		"<HTTP/1.1 302 Found\r\nContent-Type: text/html; charset=x\r\nLocation: /z\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
	}, []string{
		head + "http" + addrs("8080", "TCP") + `"tx_id":0,"http":{"hostname":"h.example","http_port":8080,"url":"/a?b=\"c\"",` +
			`"http_user_agent":"x\\xffy","http_content_type":"text/html","http_refer":"r","http_method":"GET","protocol":"HTTP/1.1",` +
			`"status":302,"redirect":"/z","length":11}}`,
		`{"timestamp":"2023-11-14T22:13:20.123456+0000","flow_id":42,"pcap_cnt":7,"event_type":"fileinfo","src_ip":"198.51.100.2",` +
			`"src_port":8080,"dest_ip":"192.0.2.1","dest_port":40000,"proto":"TCP","pkt_src":"wire/pcap","http":{"hostname":"h.example",` +
			`"http_port":8080,"url":"/a?b=\"c\"","http_user_agent":"x\\xffy","http_content_type":"text/html","http_refer":"r",` +
			`"http_method":"GET","protocol":"HTTP/1.1","status":302,"redirect":"/z","length":11},"app_proto":"http",` +
			`"fileinfo":{"filename":"/a","gaps":false,"state":"CLOSED","stored":false,"size":3,"tx_id":0}}`,
	}},
	{"dns", app.UDP, 53, []string{">" + dnsQuery, "<" + dnsReply}, []string{
		head + "dns" + addrs("53", "UDP") + `"dns":{"version":2,"type":"query","id":4660,"rrname":"www.example.com","rrtype":"A","tx_id":0,"opcode":0}}`,
		head + "dns" + addrs("53", "UDP") + `"dns":{"version":2,"type":"answer","id":4660,"flags":"8180","qr":true,"rd":true,"ra":true,` +
			`"opcode":0,"rrname":"www.example.com","rrtype":"A","rcode":"NOERROR","answers":[` +
			`{"rrname":"www.example.com","rrtype":"CNAME","ttl":60,"rdata":"a.example.com"},` +
			`{"rrname":"www.example.com","rrtype":"A","ttl":60,"rdata":"192.0.2.5"}],"grouped":{"CNAME":["a.example.com"],"A":["192.0.2.5"]}}}`,
	}},
	{"ssh", app.TCP, 22, []string{"<SSH-2.0-OpenSSH_9.6 hi\r\n", ">SSH-2.0-libssh\r\n"}, []string{
		head + "ssh" + addrs("22", "TCP") + `"tx_id":0,"ssh":{"client":{"proto_version":"2.0","software_version":"libssh"},` +
			`"server":{"proto_version":"2.0","software_version":"OpenSSH_9.6"}}}`,
	}},
	{"ftp", app.TCP, 21, []string{"<220 hello\r\n", ">user me\r\n", "<331 password\r\n", ">XYZZY\r\n", "<500 what\r\n"}, []string{
		head + "ftp" + addrs("21", "TCP") + `"tx_id":0,"ftp":{"completion_code":["220"],"reply":["hello"],"reply_received":"yes","reply_truncated":false}}`,
		head + "ftp" + addrs("21", "TCP") + `"tx_id":1,"ftp":{"command":"USER","command_data":"me","command_truncated":false,` +
			`"completion_code":["331"],"reply":["password"],"reply_received":"yes","reply_truncated":false}}`,
		head + "ftp" + addrs("21", "TCP") + `"tx_id":2,"ftp":{"completion_code":["500"],"reply":["what"],"reply_received":"yes","reply_truncated":false}}`,
	}},
	{"smtp", app.TCP, 25, []string{
		"<220 mx\r\n", ">EHLO me\r\n", "<250 ok\r\n", ">MAIL FROM:<a@b>\r\n", "<250 ok\r\n", ">RCPT TO:<c@d>\r\n", "<250 ok\r\n", ">DATA\r\n", "<354 go\r\n",
		">From: a@b\r\nTo: c@d\r\nSubject: s\r\n\r\nhello\r\n.\r\n", "<250 ok\r\n",
	}, []string{
		head + "smtp" + addrs("25", "TCP") + `"tx_id":0,"smtp":{"helo":"me","mail_from":"<a@b>","rcpt_to":["<c@d>"]},` +
			`"email":{"status":"PARSE_DONE","from":"a@b","to":["c@d"]}}`,
	}},
}

func TestRecords(t *testing.T) {
	for _, g := range golden {
		t.Run(g.name, func(t *testing.T) {
			proto := uint8(packet.ProtoTCP)
			if g.t == app.UDP {
				proto = packet.ProtoUDP
			}
			l, p := logger(), aPacket(proto, g.port)
			c := talk(g.t, g.port, g.words...)
			logAll(l, p, c)
			got := linesOf(t, l)
			for i := range max(len(got), len(g.want)) {
				var a, b string
				if i < len(got) {
					a = got[i]
				}
				if i < len(g.want) {
					b = g.want[i]
				}
				if a != b {
					t.Errorf("record %d:\n got %s\nwant %s", i, a, b)
				}
			}
			// Nothing is written twice, not at the end of the flow either.
			l.Source(EndOfFlow)
			logAll(l, p, c)
			if again := linesOf(t, l); len(again) != 0 {
				t.Errorf("written again: %v", again)
			}
		})
	}
}

// A type that is not asked for is not written.
func TestTypes(t *testing.T) {
	for _, g := range golden {
		l := NewLogger(Config{Types: Flow, Location: time.UTC}, nil, nil)
		logAll(l, aPacket(packet.ProtoTCP, g.port), talk(g.t, g.port, g.words...))
		if n := len(l.o.b); n != 0 {
			t.Errorf("%s: %s", g.name, l.o.b)
		}
	}
}

// What is incomplete when its flow ends is written then.
func TestEndOfFlow(t *testing.T) {
	l, p := logger(), aPacket(packet.ProtoTCP, 80)
	c := talk(app.TCP, 80, ">GET / HTTP/1.1\r\nHost: h\r\n\r\n", "<HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
	logAll(l, p, c)
	if got := linesOf(t, l); len(got) != 0 {
		t.Fatalf("too early: %v", got)
	}
	l.Source(EndOfFlow)
	logAll(l, p, c)
	got := linesOf(t, l)
	if len(got) != 2 || !strings.Contains(got[0], `"pkt_src":"stream (flow timeout)"`) || strings.Contains(got[0], "pcap_cnt") ||
		!strings.Contains(got[1], `"state":"TRUNCATED"`) {
		t.Fatalf("%q", got)
	}
}

func TestAnomaly(t *testing.T) {
	l, p := logger(), aPacket(packet.ProtoTCP, 80)
	logAll(l, p, talk(app.TCP, 80, ">GET / HTTP/1.1\r\n\r\n", "<HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
	want := head + "anomaly" + addrs("80", "TCP") + `"tx_id":0,"anomaly":{"app_proto":"http","type":"applayer","event":"MISSING_HOST_HEADER","layer":"proto_parser"}}`
	if got := linesOf(t, l); len(got) == 0 || got[0] != want {
		t.Errorf("got %q\nwant %s", got, want)
	}
	f := info(p)
	l.Anomalies(p, f, []string{"pkt_retransmission"})
	if len(l.o.b) != 0 {
		t.Error("stream anomalies are not written unless asked for")
	}
	l.cfg.Anomalies |= AnomalyStream
	l.Anomalies(p, f, []string{"pkt_retransmission"})
	want = head + "anomaly" + addrs("80", "TCP") + `"anomaly":{"type":"stream","event":"stream.pkt_retransmission"}}`
	if got := linesOf(t, l); len(got) != 1 || got[0] != want {
		t.Errorf("got %q\nwant %s", got, want)
	}
}

func anAlert(tx app.Tx) *detect.Alert {
	return &detect.Alert{Tx: tx, Info: &detect.Info{
		Sid: 1, Rev: 2, Gid: 1, Msg: `a "rule"`, Class: "Misc", Priority: 3, Proto: "http", Target: detect.SrcIsTarget,
		Metadata: []detect.Pair{{Key: "a", Value: "1"}, {Key: "b", Value: "2"}, {Key: "a", Value: "3"}},
	}}
}

func TestAlert(t *testing.T) {
	g := golden[0]
	l, p := logger(), aPacket(packet.ProtoTCP, g.port)
	c := talk(g.t, g.port, g.words...)
	f := info(p)
	f.AppKnown, f.App = true, c.Proto()
	l.Alert(p, f, app.ToServer, anAlert(c.Transactions()[0]), rule.Alert)
	want := head + "alert" + addrs("8080", "TCP") + `"tx_id":0,"alert":{"action":"allowed","gid":1,"signature_id":1,"rev":2,` +
		`"signature":"a \"rule\"","category":"Misc","severity":3,"source":{"ip":"198.51.100.2","port":8080},` +
		`"target":{"ip":"192.0.2.1","port":40000},"metadata":{"a":["3","1"],"b":["2"]}},"http":{"hostname":"h.example","http_port":8080,` +
		`"url":"/a?b=\"c\"","http_user_agent":"x\\xffy","http_content_type":"text/html","http_refer":"r","http_method":"GET",` +
		`"protocol":"HTTP/1.1","status":302,"redirect":"/z","length":11},"app_proto":"http","direction":"to_server",` +
		`"flow":{"pkts_toserver":3,"pkts_toclient":2,"bytes_toserver":300,"bytes_toclient":200,"start":"2023-11-14T22:13:20.123456+0000",` +
		`"src_ip":"192.0.2.1","dest_ip":"198.51.100.2","src_port":40000,"dest_port":8080}}`
	if got := linesOf(t, l); len(got) != 1 || got[0] != want {
		t.Errorf("got %q\nwant %s", got, want)
	}
	// A match in the stream is shown with the transaction under way, and says
	// that this is a guess.
	a := anAlert(nil)
	a.Stream = true
	f.Guess = c.Transactions()[0]
	l.Alert(p, f, app.ToServer, a, rule.Alert)
	if got := linesOf(t, l); !strings.Contains(got[0], `"tx_id":0,"tx_guessed":true,`) || !strings.Contains(got[0], `"http":{`) {
		t.Error(got)
	}
	f.Guess = nil
	l.Alert(p, nil, app.ToServer, a, rule.Alert)
	if got := linesOf(t, l); strings.Contains(got[0], "flow_id") || strings.Contains(got[0], "tx_id") {
		t.Error(got)
	}
}

// Formatting an alert costs no allocation once the buffer has its size.
func TestAlertAllocations(t *testing.T) {
	for _, g := range golden {
		l, p := logger(), aPacket(packet.ProtoTCP, g.port)
		c := talk(g.t, g.port, g.words...)
		f := info(p)
		f.AppKnown, f.App = true, c.Proto()
		for _, tx := range c.Transactions() {
			a := anAlert(tx)
			if n := testing.AllocsPerRun(100, func() {
				l.o.b = l.o.b[:0]
				l.Alert(p, f, app.ToClient, a, rule.Alert)
			}); n != 0 {
				t.Errorf("%s: %v allocations", g.name, n)
			}
		}
	}
}
