package app

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha1"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/big"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// recorder keeps what both ends of a pipe say, in order.
type recorder struct {
	mu  sync.Mutex
	say []piece
}

type recordedConn struct {
	net.Conn
	r *recorder
	d Dir
}

func (c recordedConn) Write(b []byte) (int, error) {
	c.r.mu.Lock()
	if n := len(c.r.say); n > 0 && c.r.say[n-1].dir == c.d {
		c.r.say[n-1].data = append(c.r.say[n-1].data, b...)
	} else {
		c.r.say = append(c.r.say, piece{c.d, append([]byte(nil), b...)})
	}
	c.r.mu.Unlock()
	return c.Conn.Write(b)
}

func testCertificate(t testing.TB) (tls.Certificate, *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tpl := &x509.Certificate{
		SerialNumber: big.NewInt(0x8badf00d),
		Subject: pkix.Name{Country: []string{"ES"}, Organization: []string{"Garita, Ltd"}, CommonName: "www.example.org",
			ExtraNames: []pkix.AttributeTypeAndValue{{Type: []int{1, 2, 840, 113549, 1, 9, 1}, Value: "a@example.org"}, {Type: []int{1, 2, 3, 4}, Value: "odd"}}},
		NotBefore: time.Date(2024, 2, 3, 4, 5, 6, 0, time.UTC),
		NotAfter:  time.Date(2051, 2, 3, 4, 5, 6, 0, time.UTC),
		DNSNames:  []string{"www.example.org", "example.org"},
	}
	der, err := x509.CreateCertificate(rand.Reader, tpl, tpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der, der}, PrivateKey: key}, c
}

// recordTLS makes a real handshake and some data of the given version.
func recordTLS(t testing.TB, version uint16) ([]piece, *x509.Certificate) {
	t.Helper()
	cert, leaf := testCertificate(t)
	a, b := net.Pipe()
	r := &recorder{}
	cl := tls.Client(recordedConn{a, r, ToServer}, &tls.Config{ServerName: "www.example.org", InsecureSkipVerify: true,
		MinVersion: version, MaxVersion: version, NextProtos: []string{"h2", "http/1.1"}})
	sv := tls.Server(recordedConn{b, r, ToClient}, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: version, MaxVersion: version, NextProtos: []string{"h2"}})
	done := make(chan error, 1)
	go func() {
		buf := make([]byte, 64)
		n, err := sv.Read(buf)
		if err == nil {
			_, err = sv.Write(buf[:n])
		}
		done <- err
	}()
	if _, err := cl.Write([]byte("secret")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(cl, make([]byte, 6)); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return r.say, leaf
}

func TestTLS12(t *testing.T) {
	say, leaf := recordTLS(t, tls.VersionTLS12)
	c := talk(TLS, say, false, whole)
	sum := sha1.Sum(leaf.Raw)
	fp := strings.ReplaceAll(fmt.Sprintf("% x", sum[:]), " ", ":")
	for _, x := range []struct {
		f    Field
		d    Dir
		i    int
		want string
	}{
		{TLSSNI, ToServer, 0, "www.example.org"},
		{TLSALPN, ToServer, 1, "http/1.1"},
		{TLSALPN, ToClient, 0, "h2"},
		{TLSCertSubject, ToClient, 0, "C=ES, O=Garita, Ltd, CN=www.example.org, Email=a@example.org, OID(1.2.3.4)=odd"},
		{TLSCertIssuer, ToClient, 0, "C=ES, O=Garita, Ltd, CN=www.example.org, Email=a@example.org, OID(1.2.3.4)=odd"},
		{TLSCertSerial, ToClient, 0, "00:8B:AD:F0:0D"},
		{TLSCertFingerprint, ToClient, 0, fp},
		{TLSCerts, ToClient, 1, string(leaf.Raw)},
		{TLSCerts, ToClient, 2, "<absent>"},
		{TLSCerts, ToServer, 0, "<absent>"},
		{TLSSubjectAltName, ToClient, 1, "example.org"},
	} {
		if got := field(t, c, 0, x.f, x.d, x.i); got != x.want {
			t.Errorf("%v %v[%d] = %q, want %q", x.f, x.d, x.i, got, x.want)
		}
	}
	tx := c.Transactions()[0].(*TLSTx)
	if v := tx.Version(ToClient); v != VersionTLS12 {
		t.Errorf("version %#x", v)
	}
	if l := tx.Leaf[ToClient]; !l.NotBefore.Equal(leaf.NotBefore) || !l.NotAfter.Equal(leaf.NotAfter) {
		t.Errorf("validity %v to %v, want %v to %v", l.NotBefore, l.NotAfter, leaf.NotBefore, leaf.NotAfter)
	}
	if !c.Encrypted() || !c.Done() || !tx.Complete() {
		t.Error("an encrypted connection does not say so")
	}
	checkLaws(t, TLS, say)
}

func TestTLS13(t *testing.T) {
	say, _ := recordTLS(t, tls.VersionTLS13)
	c := talk(TLS, say, false, whole)
	tx := c.Transactions()[0].(*TLSTx)
	if v := tx.Version(ToClient); v != VersionTLS13 {
		t.Errorf("version %#x", v)
	}
	if string(tx.Client.SNI) != "www.example.org" || !c.Encrypted() || len(tx.Events) != 0 {
		t.Errorf("%s", dumpConn(c))
	}
	checkLaws(t, TLS, say)
}

// A hello in small records is the same hello; in such as hold no head of a
// message it is none, as Suricata judges.
func TestTLSRecordsCut(t *testing.T) {
	say, _ := recordTLS(t, tls.VersionTLS12)
	cutTo := func(size int) (cut []piece) {
		for _, s := range say[:2] {
			var out []byte
			for b := s.data; len(b) > 0; {
				n := 5 + int(b[3])<<8 + int(b[4])
				for body := b[5:n]; len(body) > 0; {
					k := min(size, len(body))
					if len(body)-k < 4 {
						k = len(body) // the rest would be too small
					}
					out = append(append(out, b[0], b[1], b[2], byte(k>>8), byte(k)), body[:k]...)
					body = body[k:]
				}
				b = b[n:]
			}
			cut = append(cut, piece{s.dir, out})
		}
		return cut
	}
	want := dumpConn(talk(TLS, say[:2], false, whole))
	for _, size := range []int{4, 5, 17} {
		if got := dumpConn(talk(TLS, cutTo(size), false, whole)); got != want {
			t.Errorf("%d bytes a record:\n%s\nwhole:\n%s", size, clip(got), clip(want))
		}
	}
	for size := 1; size < 4; size++ {
		if c := talk(TLS, cutTo(size), false, whole); !c.Broken() {
			t.Errorf("%d bytes a record: %s", size, dumpConn(c))
		}
	}
}

func TestSSLv2Hello(t *testing.T) {
	say := []piece{ts("\x80\x1f\x01\x03\x01\x00\x06\x00\x00\x00\x10\x00\x00\x05\x07\x00\xc00123456789abcdef")}
	c := talk(TLS, say, false, whole)
	if !c.Transactions()[0].(*TLSTx).Client.SSLv2 {
		t.Errorf("%s", dumpConn(c))
	}
	checkLaws(t, TLS, say)
}

// Published JA3 and JA4: github.com/salesforce/ja3 and github.com/FoxIO-LLC/ja4.
func TestJA(t *testing.T) {
	h := &TLSHello{Seen: true, Version: 769, Ciphers: []uint16{47, 53, 5, 10, 49161, 49162, 49171, 49172, 50, 56, 19, 4},
		Extensions: []uint16{0, 10, 11}, Groups: []uint16{23, 24, 25}, Points: []byte{0}}
	s := appendJA3(nil, h)
	if want := "769,47-53-5-10-49161-49162-49171-49172-50-56-19-4,0-10-11,23-24-25,0"; string(s) != want {
		t.Errorf("JA3 %s, want %s", s, want)
	}
	if got := string(md5Hex(s)); got != "ada70206e40642a3e4461f35503241d5" {
		t.Errorf("JA3 hash %s", got)
	}
	h = &TLSHello{Seen: true, Version: 0x0303, Versions: []uint16{0x3a3a, 0x0304, 0x0303},
		Ciphers:    []uint16{0x1a1a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x009c, 0x009d, 0x002f, 0x0035},
		Extensions: []uint16{0x2a2a, 0x001b, 0x0000, 0x0033, 0x0010, 0x4469, 0x0017, 0x002d, 0x000d, 0x0005, 0x0023, 0x0012, 0x002b, 0xff01, 0x000b, 0x000a, 0x0015},
		SigAlgs:    []uint16{0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601}, ALPN: [][]byte{[]byte("h2")}}
	if got := string(ja4(h, false)); got != "t13d1516h2_8daaf6152771_e5627efa2ab1" {
		t.Errorf("JA4 %s", got)
	}
}

func FuzzTLS(f *testing.F) {
	a, _ := recordTLS(f, tls.VersionTLS12)
	b, _ := recordTLS(f, tls.VersionTLS13)
	fuzzStream(f, TLS, a[:2], b[:2], []piece{ts("\x80\x1f\x01\x03\x01\x00\x06\x00\x00\x00\x10\x00\x00\x05\x07\x00\xc00123456789abcdef")})
}

func FuzzCertificate(f *testing.F) {
	_, c := testCertificate(f)
	f.Add(c.Raw)
	f.Fuzz(func(t *testing.T, b []byte) {
		var c Certificate
		c.Decode(b)
		_, _ = c.SerialText(), c.Fingerprint()
	})
}

func TestCertificatePrefixes(t *testing.T) {
	_, leaf := testCertificate(t)
	for n := range leaf.Raw {
		var c Certificate
		if c.Decode(leaf.Raw[:n]) == "" {
			t.Fatalf("%d of %d bytes are a whole certificate", n, len(leaf.Raw))
		}
	}
}

// The text of names, as Suricata 7.0.10 writes it.
func TestDNText(t *testing.T) {
	for _, x := range []struct {
		oid, value []byte
		tag        byte
		want       string
	}{
		{[]byte("\x55\x04\x03"), []byte("\x00a\x00b"), 0x1e, "CN=ab"},
		{[]byte("\x55\x04\x03"), []byte("caf\xc3\xa9, \"x\""), 0x0c, "CN=café, \"x\""},
		{[]byte("\x55\x04\x03"), []byte("\x00\x00\x00a"), 0x1c, "CN=00000061"},
		{[]byte("\x55\x04\x03"), nil, 0x13, "CN="},
		{[]byte("\x55\x04\x2d"), []byte("u"), 0x13, "uniqueIdentifier=u"},
		{[]byte("\x55\x04\x14"), []byte("1"), 0x13, "OID(2.5.4.20)=1"},
		{[]byte("\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x01"), []byte("u"), 0x0c, "uid=u"},
	} {
		name := tlv(0x31, tlv(0x30, tlv(6, x.oid), tlv(x.tag, x.value)))
		if got := appendDN(nil, name); string(got) != x.want {
			t.Errorf("%q, want %q", got, x.want)
		}
	}
	two := tlv(0x31, tlv(0x30, tlv(6, []byte("\x55\x04\x06")), tlv(0x13, []byte("ES"))), tlv(0x30, tlv(6, []byte("\x55\x04\x0a")), tlv(0x13, []byte("G"))))
	if got := appendDN(nil, append(two, two...)); string(got) != "C=ES + O=G, C=ES + O=G" {
		t.Errorf("%q", got)
	}
}

// Certificates that are damaged, and what Suricata 7.0.10 says of them.
func TestCertificateEvents(t *testing.T) {
	_, leaf := testCertificate(t)
	der := leaf.Raw
	cn := bytes.Index(der, []byte(leaf.Subject.CommonName))
	utc := bytes.Index(der, []byte{derTagUTCTime, 13})
	key := bytes.LastIndex(der, leaf.RawSubjectPublicKeyInfo)
	if cn < 0 || utc < 0 || key < 0 {
		t.Fatal("the certificate for the test has not what is to be damaged")
	}
	at := func(i int, v byte) []byte {
		b := slices.Clone(der)
		b[i] = v
		return b
	}
	for _, x := range []struct {
		name string
		der  []byte
		want Event
	}{
		{"whole", der, ""},
		{"nothing", nil, x509InvalidLength},
		{"head alone", der[:2], x509InvalidLength},
		{"cut", der[:len(der)-1], x509InvalidCertificate},
		{"no sequence", at(0, 0x31), x509InvalidDER},
		{"a sequence of another class", at(0, 0x10), ""},
		{"content behind its end", []byte("\x30\x06\x30\x84\xff\xff\xff\xfa\x04"), x509InvalidCertificate},
		{"length behind its end", []byte("\x30\x05\x30\x84\xff\xff\xff\xfa\x04"), x509InvalidLength},
		{"month", at(utc+4, '2'), x509InvalidDate},
		{"key", at(key, 0), x509InvalidDER},
	} {
		var c Certificate
		if got := c.Decode(x.der); got != x.want || (got == "") != (c.DER != nil) {
			t.Errorf("%s: %q, want %q; kept %d bytes", x.name, got, x.want, len(c.DER))
		}
	}
	// Names with a NUL: the subject is read first.
	for _, x := range []struct {
		issuer, subject string
		want            Event
		kept            string
	}{
		{"a", "b", "", "CN=b"},
		{"a\x00", "b", x509InvalidIssuer, "CN=b"},
		{"a", "b\x00", x509InvalidSubject, ""},
		{"a", "b\xff", "", "<X509Error: Invalid X.509 name>"},
	} {
		name := func(s string) []byte {
			return tlv(0x30, tlv(0x31, tlv(0x30, tlv(6, []byte("\x55\x04\x03")), tlv(0x0c, []byte(s)))))
		}
		alg, when := tlv(0x30, tlv(6, []byte{42})), tlv(0x17, []byte("250101000000Z"))
		tbs := tlv(0x30, tlv(2, []byte{1}), alg, name(x.issuer), tlv(0x30, when, when), name(x.subject), tlv(0x30, alg, tlv(3, []byte{0})))
		var c Certificate
		if got := c.Decode(tlv(0x30, tbs, alg, tlv(3, []byte{0}))); got != x.want || string(c.Subject) != x.kept {
			t.Errorf("%q, %q: %q, subject %q; want %q, %q", x.issuer, x.subject, got, c.Subject, x.want, x.kept)
		}
	}
}

// Hellos with odd extensions, as Suricata 7.0.10 reads them.
func TestHelloExtensions(t *testing.T) {
	for _, x := range []struct {
		name, extensions string
		want             Event
		sni              string
		ticket           bool // whether the extension behind was found
	}{
		{"name", "\x00\x00\x00\x06\x00\x04\x00\x00\x01a", "", "a", true},
		{"nothing named", "\x00\x00\x00\x00", "", "", true},
		{"empty name", "\x00\x00\x00\x05\x00\x03\x00\x00\x00", tlsInvalidSNILength, "", false},
		{"type of name", "\x00\x00\x00\x04\x03\x00\x01\x02", tlsInvalidSNIType, "", false},
		{"NUL ends a name", "\x00\x00\x00\x08\x00\x06\x00\x00\x03a\x00b", "", "a", true},
		{"no UTF-8", "\x00\x00\x00\x06\x00\x04\x00\x00\x01\xff", "", "", true},
		{"list longer than its extension", "\x00\x0a\x00\x04\x00\x03\x00\x1d", tlsInvalidLength, "", false},
		{"list of nothing", "\x00\x0a\x00\x00", "", "", true},
	} {
		ext := []byte(x.extensions)
		ext = append(ext, 0, 35, 0, 0)
		b := append([]byte{3, 3}, make([]byte, 32)...)
		b = append(b, 0, 0, 2, 0xc0, 0x2f, 1, 0, 0, byte(len(ext)))
		var h TLSHello
		got := h.decode(append(b, ext...), true)
		if got != x.want || string(h.SNI) != x.sni || slices.Contains(h.Extensions, 35) != x.ticket {
			t.Errorf("%s: %q, name %q, extensions %v", x.name, got, h.SNI, h.Extensions)
		}
	}
}
