package app

import (
	"encoding/binary"
	"testing"
)

func modbusMsg(id uint16, unit byte, pdu string) string {
	b := binary.BigEndian.AppendUint16(nil, id)
	b = append(b, 0, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(1+len(pdu)))
	return string(append(append(b, unit), pdu...))
}

func modbusTalk() []piece {
	return []piece{
		ts(modbusMsg(1, 10, "\x01\x00\x00\x00\x01") + modbusMsg(2, 10, "\x10\x00\x03\x00\x02\x04\x00\x07\x00\x08")),
		tc(modbusMsg(2, 10, "\x10\x00\x03\x00\x02") + modbusMsg(1, 10, "\x81\x0b")),
		ts(modbusMsg(3, 1, "\x08\x00\x04\x00\x00") + modbusMsg(4, 1, "\x17\x00\x01\x00\x02\x00\x05\x00\x01\x02\xab\xcd")),
		tc(modbusMsg(9, 1, "\x08\x00\x04\x00\x00")),
		ts(modbusMsg(5, 1, "\x0f\x00\x13\x00\x0a\x02\xcd\x01") + "\x00\x06\x00\x00\x00\x00"),
	}
}

func TestModbus(t *testing.T) {
	c := talk(MODBUS, modbusTalk(), true, whole)
	txs := c.Transactions()
	if len(txs) != 7 {
		t.Fatalf("%d transactions, want 7", len(txs))
	}
	tx := func(i int) *ModbusTx { return txs[i].(*ModbusTx) }
	if r := tx(0).Response; r.Function != 1 || r.Exception != 11 || r.Unit != 10 {
		t.Errorf("response of the first: %+v", r)
	}
	for _, x := range []struct {
		tx      int
		address uint16
		want    uint16
		ok      bool
	}{{1, 4, 7, true}, {1, 5, 8, true}, {1, 6, 0, false}, {1, 3, 0, false}, {3, 6, 0xabcd, true}, {5, 20, 1, true}, {5, 21, 0, true}, {5, 29, 0, true}, {5, 30, 0, false}} {
		if v, ok := tx(x.tx).Request.Value(x.address); v != x.want || ok != x.ok {
			t.Errorf("transaction %d writes %d, %v to %d; want %d, %v", x.tx, v, ok, x.address, x.want, x.ok)
		}
	}
	if e := tx(4).Events; len(e) != 1 || e[0] != modbusUnsolicited {
		t.Errorf("events of an answer nobody asked for: %v", e)
	}
	if e := tx(6).Events; len(e) != 1 || e[0] != modbusBadLength {
		t.Errorf("events of an empty message: %v", e)
	}
	checkLaws(t, MODBUS, modbusTalk())
}

func enipMsg(command uint16, body string) string {
	b := binary.LittleEndian.AppendUint16(nil, command)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(body)))
	return string(append(append(b, make([]byte, 20)...), body...))
}

func enipTalk() []piece {
	// Two services in one packet: get an attribute of class 0x6b, list two of class 1.
	get := "\x0e\x03\x20\x6b\x24\x01\x30\x07"
	list := "\x03\x02\x20\x01\x24\x01\x02\x00\x05\x00\x06\x00"
	multi := "\x0a\x02\x20\x02\x24\x01\x02\x00\x06\x00\x0e\x00" + get + list
	item := func(typ byte, b string) string {
		return string([]byte{0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, typ, 0, byte(len(b)), byte(len(b) >> 8)}) + b
	}
	return []piece{
		ts(enipMsg(0x65, "\x01\x00\x00\x00")), tc(enipMsg(0x65, "\x01\x00\x00\x00")),
		ts(enipMsg(0x6f, item(0xb2, multi)) + enipMsg(0x70, item(0xb1, "\x01\x00"+get))),
		tc(enipMsg(0x6f, item(0xb2, "\x8a\x00\x00\x00\x01\x00\x04\x00\x8e\x00\x00\x00"))),
	}
}

func TestENIP(t *testing.T) {
	c := talk(ENIP, enipTalk(), true, whole)
	txs := c.Transactions()
	if len(txs) != 5 {
		t.Fatalf("%d transactions, want 5", len(txs))
	}
	got := txs[2].(*ENIPTx).Services
	if len(got) != 3 || got[0].Service != 10 || got[1].Service != 14 || got[1].Class != 0x6b || len(got[1].Attributes) != 1 || got[1].Attributes[0] != 7 ||
		got[2].Service != 3 || got[2].Class != 1 || len(got[2].Attributes) != 2 || got[2].Attributes[1] != 6 {
		t.Errorf("services: %+v", got)
	}
	if s := txs[3].(*ENIPTx).Services; len(s) != 1 || s[0].Service != 14 {
		t.Errorf("connected: %+v", s)
	}
	if s := txs[4].(*ENIPTx).Services; len(s) != 2 || !s[0].Response || s[1].Service != 14 || !s[1].Response {
		t.Errorf("answer: %+v", s)
	}
	checkLaws(t, ENIP, enipTalk())
}

func pgsqlMsg(typ, body string) string {
	return typ + string(binary.BigEndian.AppendUint32(nil, uint32(4+len(body)))) + body
}

func pgsqlTalk() []piece {
	return []piece{
		ts("\x00\x00\x00\x08\x04\xd2\x16\x2f"), tc("N"),
		ts(pgsqlMsg("", "\x00\x03\x00\x00user\x00joe\x00database\x00shop\x00\x00")),
		tc(pgsqlMsg("R", "\x00\x00\x00\x05salt")),
		ts(pgsqlMsg("p", "md5abc\x00")),
		tc(pgsqlMsg("R", "\x00\x00\x00\x00") + pgsqlMsg("S", "TimeZone\x00UTC\x00") + pgsqlMsg("K", "\x00\x00\x00\x01\x00\x00\x00\x02") + pgsqlMsg("Z", "I")),
		ts(pgsqlMsg("Q", "select 1\x00")),
		tc(pgsqlMsg("T", "\x00\x02") + pgsqlMsg("D", "\x00\x02\x00\x00\x00\x03abc\xff\xff\xff\xff") + pgsqlMsg("C", "SELECT 1\x00") + pgsqlMsg("Z", "I")),
		ts(pgsqlMsg("Q", "select 1/0\x00")),
		tc(pgsqlMsg("E", "SERROR\x00C22012\x00\x00") + pgsqlMsg("Z", "E")),
		ts(pgsqlMsg("X", "")),
	}
}

func TestPGSQL(t *testing.T) {
	c := talk(PGSQL, pgsqlTalk(), true, whole)
	txs := c.Transactions()
	if len(txs) != 6 {
		t.Fatalf("%d transactions, want 6", len(txs))
	}
	tx := func(i int) *PGSQLTx { return txs[i].(*PGSQLTx) }
	if x := tx(0); x.Kind != PGSQLSSLRequest || !x.SSLAnswered || x.SSLAccepted {
		t.Errorf("request for TLS: %+v", x)
	}
	if x := tx(1); x.Kind != PGSQLStartup || len(x.Params) != 2 || string(x.Params[1].Value) != "shop" || string(x.Salt) != "salt" {
		t.Errorf("startup: %+v", x)
	}
	if x := tx(2); x.Kind != PGSQLPassword || x.SecretKey != 2 || len(x.Status) != 1 {
		t.Errorf("password: %+v", x)
	}
	if x := tx(3); string(x.Text) != "select 1" || x.Rows != 1 || x.RowBytes != 3 || x.Fields != 2 || string(x.Completed) != "SELECT 1" {
		t.Errorf("query: %+v", x)
	}
	if x := tx(4); len(x.Error) != 2 || string(x.Error[1].Value) != "22012" {
		t.Errorf("error: %+v", x)
	}
	checkLaws(t, PGSQL, pgsqlTalk())
	// Where the server agrees, TLS follows.
	tls, _ := recordTLS(t, 0x0303)
	say := append([]piece{pgsqlTalk()[0], tc("S")}, tls...)
	if c := talk(PGSQL, say, false, whole); c.Proto() != TLS || c.OrigProto() != PGSQL {
		t.Errorf("behind an agreement: %v, was %v", c.Proto(), c.OrigProto())
	}
	checkCuts(t, PGSQL, say, 20)
}

// TestOffByDefault: what Suricata does not look for unless told, we do not.
func TestOffByDefault(t *testing.T) {
	for _, x := range []struct {
		p    Proto
		port uint16
		say  string
	}{
		{MODBUS, 502, string(modbusTalk()[0].data)}, {ENIP, 44818, string(enipTalk()[0].data)}, {PGSQL, 5432, string(pgsqlTalk()[0].data)},
	} {
		for _, on := range []bool{false, true} {
			cfg := Config{}
			if on {
				cfg.Enabled = ProtoSetOf(x.p)
			}
			c := new(Conn)
			c.Reset(NewEnv(cfg), Hints{SrcPort: 40000, DstPort: x.port})
			c.Feed(ToServer, []byte(x.say))
			if got := c.Proto() == x.p; got != on {
				t.Errorf("%v enabled %v: recognised %v", x.p, on, got)
			}
		}
	}
}

func FuzzModbus(f *testing.F) { fuzzStream(f, MODBUS, modbusTalk()) }
func FuzzENIP(f *testing.F)   { fuzzStream(f, ENIP, enipTalk()) }
func FuzzPGSQL(f *testing.F)  { fuzzStream(f, PGSQL, pgsqlTalk()) }
