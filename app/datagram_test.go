package app

import (
	"encoding/asn1"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// prefixesOf feeds every prefix of a datagram, in both directions.
func prefixesOf(p Proto, b []byte) {
	for n := 1; n <= len(b); n++ {
		for d := ToServer; d <= ToClient; d++ {
			_ = dumpConn(tell(p, piece{d, b[:n]}))
		}
	}
}

func ber(t testing.TB, v any, params string) []byte {
	t.Helper()
	b, err := asn1.MarshalWithParams(v, params)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func tlv(tag byte, parts ...[]byte) []byte {
	var body []byte
	for _, p := range parts {
		body = append(body, p...)
	}
	out := []byte{tag}
	if len(body) < 128 {
		out = append(out, byte(len(body)))
	} else {
		out = append(out, 0x82, byte(len(body)>>8), byte(len(body)))
	}
	return append(out, body...)
}

func dnsAnswer(t testing.TB) []byte {
	t.Helper()
	m := new(dns.Msg)
	m.SetQuestion("www.Example.org.", dns.TypeA)
	m.Response = true
	m.Compress = true
	for _, s := range []string{
		"www.Example.org. 60 IN CNAME host.example.org.", "host.example.org. 60 IN A 192.0.2.1",
		"example.org. 60 IN MX 10 mail.example.org.", "example.org. 60 IN TXT \"one\" \"two\"",
		"example.org. 60 IN SRV 1 2 3 srv.example.org.",
	} {
		rr, err := dns.NewRR(s)
		if err != nil {
			t.Fatal(err)
		}
		m.Answer = append(m.Answer, rr)
	}
	soa, _ := dns.NewRR("example.org. 60 IN SOA ns.example.org. admin.example.org. 1 2 3 4 5")
	m.Ns = append(m.Ns, soa)
	m.SetEdns0(1232, true)
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func dnsQuery(t testing.TB, names ...string) []byte {
	t.Helper()
	m := new(dns.Msg)
	for _, n := range names {
		m.Question = append(m.Question, dns.Question{Name: n, Qtype: dns.TypeA, Qclass: dns.ClassINET})
	}
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestDNS(t *testing.T) {
	q, a := dnsQuery(t, "one.example.", "Two.Example."), dnsAnswer(t)
	c := tell(DNS, piece{ToServer, q}, piece{ToClient, a})
	for _, x := range []struct {
		tx   int
		f    Field
		d    Dir
		i    int
		want string
	}{
		{0, DNSQuery, ToServer, 0, "one.example"},
		{0, DNSQuery, ToServer, 1, "Two.Example"},
		{0, DNSQuery, ToServer, 2, "<absent>"},
		{1, DNSQuery, ToServer, 0, "<absent>"},
		{1, DNSQueriesRRName, ToClient, 0, "www.Example.org"},
		{1, DNSAnswersRRName, ToClient, 1, "host.example.org"},
		{1, DNSAuthoritiesRRName, ToClient, 0, "example.org"},
		{1, DNSResponseRRName, ToClient, 1, "www.Example.org"},
		{1, DNSAdditionalsRRName, ToClient, 0, ""},
	} {
		if got := field(t, c, x.tx, x.f, x.d, x.i); got != x.want {
			t.Errorf("tx %d %v[%d] = %q, want %q", x.tx, x.f, x.i, got, x.want)
		}
	}
	m := c.Transactions()[1].(*DNSTx)
	if string(m.Answers[0].Target) != "host.example.org" || string(m.Answers[2].Target) != "mail.example.org" || m.Answers[2].Numbers[0] != 10 ||
		len(m.Answers[3].Texts()) != 2 || string(m.Answers[4].Target) != "srv.example.org" || m.Answers[4].Numbers != [5]uint32{1, 2, 3} ||
		string(m.Authorities[0].Mailbox) != "admin.example.org" || m.Authorities[0].Numbers != [5]uint32{1, 2, 3, 4, 5} {
		t.Errorf("records %+v", m.DNSMessage)
	}
	if len(m.Events) != 0 {
		t.Errorf("events %v", m.Events)
	}
	prefixesOf(DNS, a)
	prefixesOf(DNS, q)

	var stream []piece
	for range 3 {
		stream = append(stream, piece{ToServer, append(binary.BigEndian.AppendUint16(nil, uint16(len(q))), q...)},
			piece{ToClient, append(binary.BigEndian.AppendUint16(nil, uint16(len(a))), a...)})
	}
	if n := len(talk(DNS, stream, true, whole).Transactions()); n != 6 {
		t.Errorf("%d transactions over TCP, want 6", n)
	}
	checkLaws(t, DNS, stream)
}

func TestDNSHostile(t *testing.T) {
	head := "\x12\x34\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00"
	for _, x := range []struct {
		name, msg string
		want      Event
	}{
		{"a pointer to itself", head + "\xc0\x0c\x00\x01\x00\x01", dnsInfiniteLoop},
		{"two pointers to each other", head + "\xc0\x0e\xc0\x0c\x00\x01\x00\x01", dnsInfiniteLoop},
		{"a label and a pointer back", head + "\x01a\xc0\x0c\x00\x01\x00\x01", dnsInfiniteLoop},
		{"a long name", head + strings.Repeat("\x3f"+strings.Repeat("x", 63), 20) + "\x00\x00\x01\x00\x01", dnsNameTooLong},
		{"many labels", head + strings.Repeat("\x01x", 300) + "\x00\x00\x01\x00\x01", dnsTooManyLabels},
		{"a forbidden label type", head + "\x80\x00\x00\x01\x00\x01", dnsMalformedData},
		{"nothing behind the header", head, dnsMalformedData},
		{"the Z bit", "\x12\x34\x00\x40" + head[4:] + "\x01a\x00\x00\x01\x00\x01", dnsZFlagSet},
		{"an unknown opcode", "\x12\x34\x78\x00" + head[4:] + "\x01a\x00\x00\x01\x00\x01", dnsInvalidOpcode},
	} {
		// What makes no transaction of its own is told of the one before.
		txs := tell(DNS, piece{ToServer, []byte(head + "\x01a\x00\x00\x01\x00\x01")}, piece{ToServer, []byte(x.msg)}).Transactions()
		e := txs[len(txs)-1].Base().Events
		if len(e) == 0 || e[0] != x.want {
			t.Errorf("%s: events %v, want %s", x.name, e, x.want)
		}
	}
	// A message that names the same long name thousands of times.
	b := []byte("\x12\x34\x80\x00\x00\x01\x13\x88\x00\x00\x00\x00")
	b = append(b, strings.Repeat("\x3f"+strings.Repeat("x", 63), 15)+"\x00\x00\x01\x00\x01"...)
	for range 5000 {
		b = append(b, "\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x00\x00\x00"...)
	}
	var m DNSMessage
	m.Decode(b)
	if len(m.names) > dnsMaxNameBytes {
		t.Errorf("%d bytes of names", len(m.names))
	}
}

func snmpMessage(t testing.TB) []byte {
	oid := ber(t, asn1.ObjectIdentifier{1, 3, 6, 1, 2, 1}, "")
	pdu := tlv(0xa0, ber(t, 1, ""), ber(t, 0, ""), ber(t, 0, ""), tlv(0x30, tlv(0x30, oid, []byte{5, 0})))
	return tlv(0x30, ber(t, 1, ""), tlv(4, []byte("public")), pdu)
}

func TestSNMP(t *testing.T) {
	b := snmpMessage(t)
	c := tell(SNMP, piece{ToServer, b})
	if got := field(t, c, 0, SNMPCommunity, ToServer, 0); got != "public" {
		t.Errorf("community %q", got)
	}
	m := c.Transactions()[0].(*SNMPTx)
	if m.Version != 2 || m.PDU != 0 || !m.HasPDU || len(m.Vars) != 1 || string(m.Vars[0]) != "1.3.6.1.2.1" || len(m.Events) != 0 {
		t.Errorf("%+v", m)
	}
	usm := tlv(0x30, tlv(4, nil), ber(t, 0, ""), ber(t, 0, ""), tlv(4, []byte("bert")), tlv(4, nil), tlv(4, nil))
	v3 := tlv(0x30, ber(t, 3, ""), tlv(0x30, ber(t, 1, ""), ber(t, 1400, ""), tlv(4, []byte{3}), ber(t, 3, "")), tlv(4, usm), tlv(4, []byte("cipher text")))
	c = tell(SNMP, piece{ToServer, v3})
	if got := field(t, c, 0, SNMPUSM, ToServer, 0); got != "bert" {
		t.Errorf("user %q", got)
	}
	prefixesOf(SNMP, b)
	prefixesOf(SNMP, v3)
}

func TestNTP(t *testing.T) {
	b := make([]byte, 48)
	b[0], b[1] = 0x23, 2
	copy(b[12:], "GPS\x00")
	c := tell(NTP, piece{ToServer, b})
	m := c.Transactions()[0].(*NTPTx)
	if m.Version != 4 || m.Mode != 3 || m.Stratum != 2 || string(m.ReferenceID) != "GPS\x00" {
		t.Errorf("%+v", m)
	}
	prefixesOf(NTP, b)
}

func dhcpMessage() []byte {
	b := make([]byte, 240)
	b[0], b[1], b[2] = 1, 1, 6
	binary.BigEndian.PutUint32(b[236:], 0x63825363)
	return append(b, 53, 1, 3, 51, 4, 0, 0, 0x0e, 0x10, 58, 4, 0, 0, 1, 0, 12, 2, 'p', 'c', 255)
}

func TestDHCP(t *testing.T) {
	b := dhcpMessage()
	tx := tell(DHCP, piece{ToServer, b}).Transactions()[0]
	if v, ok := tx.Number(DHCPLeaseTime, ToServer, 0); !ok || v != 3600 {
		t.Errorf("lease %d", v)
	}
	if _, ok := tx.Number(DHCPRebindingTime, ToServer, 0); ok {
		t.Error("a rebinding time that is not there")
	}
	if name, _ := tx.(*DHCPTx).Option(12); string(name) != "pc" || len(tx.Base().Events) != 0 {
		t.Errorf("%+v", tx)
	}
	if e := tell(DHCP, piece{ToServer, b[:len(b)-2]}).Transactions()[0].Base().Events; len(e) != 1 || e[0] != dhcpTruncatedOptions {
		t.Errorf("events %v", e)
	}
	prefixesOf(DHCP, b)
}

func TestTFTP(t *testing.T) {
	b := []byte("\x00\x02boot.img\x00OCTET\x00")
	m := tell(TFTP, piece{ToServer, b}).Transactions()[0].(*TFTPTx)
	if string(m.File) != "boot.img" || string(m.Mode) != "octet" || m.Opcode != 2 {
		t.Errorf("%+v", m)
	}
	prefixesOf(TFTP, b)
}

func krb5Request(t testing.TB) []byte {
	name := func(parts ...string) []byte {
		var list [][]byte
		for _, p := range parts {
			list = append(list, tlv(0x1b, []byte(p)))
		}
		return tlv(0x30, tlv(0xa0, ber(t, 1, "")), tlv(0xa1, tlv(0x30, list...)))
	}
	body := tlv(0x30, tlv(0xa0, tlv(3, []byte{0, 0, 0, 0, 0})), tlv(0xa1, name("alice")), tlv(0xa2, tlv(0x1b, []byte("REALM"))), tlv(0xa3, name("krbtgt", "REALM")))
	return tlv(0x6a, tlv(0x30, tlv(0xa1, ber(t, 5, "")), tlv(0xa2, ber(t, 10, "")), tlv(0xa4, body)))
}

func krb5Reply(t testing.TB) []byte {
	enc := tlv(0x30, tlv(0xa0, ber(t, 23, "")), tlv(0xa2, tlv(4, []byte("x"))))
	ticket := tlv(0x61, tlv(0x30, tlv(0xa0, ber(t, 5, "")), tlv(0xa1, tlv(0x1b, []byte("REALM"))), tlv(0xa3, enc)))
	return tlv(0x6b, tlv(0x30, tlv(0xa0, ber(t, 5, "")), tlv(0xa1, ber(t, 11, "")), tlv(0xa5, ticket), tlv(0xa6, enc)))
}

func TestKRB5(t *testing.T) {
	req, rep := krb5Request(t), krb5Reply(t)
	c := tell(KRB5, piece{ToServer, req}, piece{ToClient, rep})
	for _, x := range []struct {
		f    Field
		i    int
		want string
	}{{KRB5CName, 0, "alice"}, {KRB5SName, 0, "krbtgt"}, {KRB5SName, 1, "REALM"}} {
		if got := field(t, c, 0, x.f, ToServer, x.i); got != x.want {
			t.Errorf("%v[%d] = %q, want %q", x.f, x.i, got, x.want)
		}
	}
	m := c.Transactions()[1].(*KRB5Tx)
	if m.MsgType != 11 || m.TicketEType != 23 || len(m.Events) != 1 || m.Events[0] != krb5Weak {
		t.Errorf("%+v", m)
	}
	prefixesOf(KRB5, req)
	prefixesOf(KRB5, rep)
	frame := func(b []byte) []byte { return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...) }
	checkLaws(t, KRB5, []piece{{ToServer, frame(req)}, {ToClient, frame(rep)}, {ToServer, frame(req)}})
}

func ikeMessage() []byte {
	attrs := []byte{0x80, 1, 0, 7, 0x80, 2, 0, 2, 0, 12, 0, 4, 0, 1, 0x51, 0x80}
	tr := append([]byte{0, 0, 0, byte(8 + len(attrs)), 1, 1, 0, 0}, attrs...)
	prop := append([]byte{0, 0, 0, byte(8 + len(tr)), 1, 1, 0, 1}, tr...)
	sa := append([]byte{10, 0, 0, byte(12 + len(prop)), 0, 0, 0, 1, 0, 0, 0, 1}, prop...)
	nonce := []byte{13, 0, 0, 8, 'n', 'o', 'n', 'c'}
	vendor := []byte{0, 0, 0, 6, 0xab, 0xcd}
	body := append(append(sa, nonce...), vendor...)
	h := append([]byte("initiate\x00\x00\x00\x00\x00\x00\x00\x00"), 1, 0x10, 2, 0, 0, 0, 0, 0)
	h = binary.BigEndian.AppendUint32(h, uint32(28+len(body)))
	return append(h, body...)
}

func TestIKE(t *testing.T) {
	b := ikeMessage()
	c := tell(IKE, piece{ToServer, b}, piece{ToClient, b})
	if got := field(t, c, 0, IKEVendor, ToServer, 0); got != "abcd" {
		t.Errorf("vendor %q", got)
	}
	if got := field(t, c, 0, IKENoncePayload, ToServer, 0); got != "nonc" {
		t.Errorf("nonce %q", got)
	}
	want := []IKEAttribute{{1, 7}, {2, 2}, {12, 86400}}
	m := c.Transactions()[1].(*IKETx)
	if len(m.Chosen) != 3 || m.Chosen[0] != want[0] || m.Chosen[1] != want[1] || m.Chosen[2] != want[2] || len(m.Events) != 0 {
		t.Errorf("chosen %v, want %v; events %v", m.Chosen, want, m.Events)
	}
	prefixesOf(IKE, b)
}

const sipInvite = "INVITE sip:b@example.org SIP/2.0\r\nVia: SIP/2.0/UDP a\r\nf: <sip:a@example.org>\r\nSubject: x\r\n y\r\nContent-Length: 4\r\n\r\nbody"

func TestSIP(t *testing.T) {
	c := tellOn(5060, Unknown, ts(sipInvite), tc("SIP/2.0 180 Ringing now\r\nContent-Length: 0\r\n\r\n"))
	for _, x := range []struct {
		tx   int
		f    Field
		d    Dir
		want string
	}{
		{0, SIPMethod, ToServer, "INVITE"}, {0, SIPURI, ToServer, "sip:b@example.org"}, {0, SIPProtocol, ToServer, "SIP/2.0"},
		{0, SIPRequestLine, ToServer, "INVITE sip:b@example.org SIP/2.0"}, {0, SIPFrom, ToServer, "<sip:a@example.org>"},
		{0, SIPStatCode, ToClient, "<absent>"}, {1, SIPStatCode, ToClient, "180"}, {1, SIPStatMsg, ToClient, "Ringing now"},
		{1, SIPResponseLine, ToClient, "SIP/2.0 180 Ringing now"},
	} {
		if got := field(t, c, x.tx, x.f, x.d, 0); got != x.want {
			t.Errorf("tx %d %v = %q, want %q", x.tx, x.f, got, x.want)
		}
	}
	checkLaws(t, SIP, []piece{ts("\r\n" + sipInvite + sipInvite), tc("SIP/2.0 200 OK\r\n\r\n"), ts(sipInvite)})
	prefixesOf(SIP, []byte(sipInvite))
}

func FuzzDNS(f *testing.F) { fuzzDatagrams(f, DNS, dnsAnswer(f), dnsQuery(f, "a.example.")) }
func FuzzDNSStream(f *testing.F) {
	a := dnsAnswer(f)
	fuzzStream(f, DNS, []piece{{ToClient, append(binary.BigEndian.AppendUint16(nil, uint16(len(a))), a...)}})
}
func FuzzSNMP(f *testing.F)       { fuzzDatagrams(f, SNMP, snmpMessage(f)) }
func FuzzNTP(f *testing.F)        { fuzzDatagrams(f, NTP, make([]byte, 48)) }
func FuzzDHCP(f *testing.F)       { fuzzDatagrams(f, DHCP, dhcpMessage()) }
func FuzzTFTP(f *testing.F)       { fuzzDatagrams(f, TFTP, []byte("\x00\x02boot.img\x00OCTET\x00")) }
func FuzzKRB5(f *testing.F)       { fuzzDatagrams(f, KRB5, krb5Request(f), krb5Reply(f)) }
func FuzzKRB5Stream(f *testing.F) { fuzzStream(f, KRB5, []piece{ts("\x00\x00\x00\x04abcd")}) }
func FuzzIKE(f *testing.F)        { fuzzDatagrams(f, IKE, ikeMessage()) }
func FuzzSIP(f *testing.F)        { fuzzDatagrams(f, SIP, []byte(sipInvite)) }
func FuzzSIPStream(f *testing.F) {
	fuzzStream(f, SIP, []piece{ts(sipInvite), tc("SIP/2.0 200 OK\r\n\r\n")})
}
func FuzzDCERPCDatagram(f *testing.F) {
	f.Helper()
	b := make([]byte, 100)
	b[0], b[4] = 4, 0x10
	fuzzDatagrams(f, DCERPC, b)
}
