package app

import (
	"crypto/aes"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"testing"
)

// The keys of RFC 9001 appendix A.1 and RFC 9369 appendix A.1.
func TestQUICKeys(t *testing.T) {
	dcid, _ := hex.DecodeString("8394c8f03e515708")
	for _, x := range []struct {
		version uint32
		iv, hp  [2]string
	}{
		{quicV1, [2]string{"fa044b2f42a3fd3b46fb255c", "0ac1493ca1905853b0bba03e"}, [2]string{"9f50449e04a0e810283a1e9933adedd2", "c206b8d9b9f0f37644430b490eeaa314"}},
		{quicV2, [2]string{"91f73e2351d8fa91660e909f", ""}, [2]string{"45b95e15235d6f45a6b19cbcb0294ba9", ""}},
	} {
		keys, ok := quicInitialKeys(x.version, dcid)
		if !ok {
			t.Fatal("no keys")
		}
		for d := range keys {
			if len(x.iv[d]) == 24 && hex.EncodeToString(keys[d].iv[:]) != x.iv[d] {
				t.Errorf("version %x direction %d: iv %x, want %s", x.version, d, keys[d].iv, x.iv[d])
			}
			if x.hp[d] == "" {
				continue
			}
			raw, _ := hex.DecodeString(x.hp[d])
			want, _ := aes.NewCipher(raw)
			var a, b [16]byte
			keys[d].hp.Encrypt(a[:], make([]byte, 16))
			want.Encrypt(b[:], make([]byte, 16))
			if a != b {
				t.Errorf("version %x direction %d: another header key", x.version, d)
			}
		}
	}
}

// quicSeal makes an initial packet around frames.
func quicSeal(version uint32, d Dir, dcid []byte, pn byte, frames []byte) []byte {
	keys, ok := quicInitialKeys(version, dcid)
	if !ok {
		return nil
	}
	k := keys[d]
	for len(frames) < 40 {
		frames = append(frames, 0)
	}
	typ := byte(0)
	if version == quicV2 {
		typ = 1
	}
	head := []byte{0xc0 | typ<<4}
	head = binary.BigEndian.AppendUint32(head, version)
	head = append(append(head, byte(len(dcid))), dcid...)
	head = append(head, 0, 0) // source identifier, token
	head = binary.BigEndian.AppendUint16(head, 0x4000|uint16(1+len(frames)+16))
	pnAt := len(head)
	head = append(head, pn)
	nonce := k.iv
	nonce[11] ^= pn
	pkt := k.aead.Seal(clone(head), nonce[:], frames, head)
	var mask [16]byte
	k.hp.Encrypt(mask[:], pkt[pnAt+4:pnAt+20])
	pkt[0] ^= mask[0] & 0x0f
	pkt[pnAt] ^= mask[1]
	return pkt
}

func quicHello(t testing.TB) []byte {
	t.Helper()
	c := tls.QUICClient(&tls.QUICConfig{TLSConfig: &tls.Config{ServerName: "quic.example.org", NextProtos: []string{"h3"}, MinVersion: tls.VersionTLS13}})
	c.SetTransportParameters([]byte{})
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	for {
		if e := c.NextEvent(); e.Kind == tls.QUICWriteData {
			return clone(e.Data)
		} else if e.Kind == tls.QUICNoEvent {
			t.Fatal("no hello")
		}
	}
}

func quicCryptoFrame(off int, b []byte) []byte {
	out := []byte{6}
	out = binary.BigEndian.AppendUint16(out, 0x4000|uint16(off))
	out = binary.BigEndian.AppendUint16(out, 0x4000|uint16(len(b)))
	return append(out, b...)
}

func TestQUIC(t *testing.T) {
	hello := quicHello(t)
	dcid := []byte("12345678")
	for _, version := range []uint32{quicV1, quicV2, 0xff00001d} {
		// In one packet, and in three out of order over two datagrams.
		one := quicSeal(version, ToServer, dcid, 0, quicCryptoFrame(0, hello))
		cut := append(quicSeal(version, ToServer, dcid, 0, quicCryptoFrame(100, hello[100:])),
			quicSeal(version, ToServer, dcid, 1, append([]byte{1, 2, 0, 0, 0, 0}, quicCryptoFrame(50, hello[50:100])...))...)
		last := quicSeal(version, ToServer, dcid, 2, quicCryptoFrame(0, hello[:50]))
		for _, say := range [][]piece{{{ToServer, one}}, {{ToServer, cut}, {ToServer, last}}} {
			c := tell(QUIC, say...)
			if n := len(c.Transactions()); n != 1 {
				t.Fatalf("version %x: %d transactions, want 1\n%s", version, n, dumpConn(c))
			}
			if got := field(t, c, 0, QUICSNI, ToServer, 0); got != "quic.example.org" {
				t.Errorf("version %x: SNI %q", version, got)
			}
			if got := field(t, c, 0, JA4Hash, ToServer, 0); len(got) != 36 || got[:4] != "q13d" {
				t.Errorf("version %x: JA4 %q", version, got)
			}
		}
	}
	if c := tellOn(443, Unknown, piece{ToServer, append(quicSeal(quicV1, ToServer, dcid, 0, quicCryptoFrame(0, hello)), make([]byte, 900)...)}); c.Proto() != QUIC {
		t.Errorf("recognised as %v", c.Proto())
	}
}

func TestQUICBroken(t *testing.T) {
	dcid := []byte("12345678")
	good := quicSeal(quicV1, ToServer, dcid, 0, quicCryptoFrame(0, quicHello(t)))
	bad := clone(good)
	bad[len(bad)-1] ^= 1
	if e := tell(QUIC, piece{ToServer, bad}).Transactions()[0].Base().Events; len(e) != 1 || e[0] != quicFailedDecrypt {
		t.Errorf("events %v", e)
	}
	odd := quicSeal(quicV1, ToServer, dcid, 0, []byte{0x77, 0x77})
	if e := tell(QUIC, piece{ToServer, odd}).Transactions()[0].Base().Events; len(e) != 1 || e[0] != quicErrorOnData {
		t.Errorf("events %v", e)
	}
	for n := range good {
		_ = dumpConn(tell(QUIC, piece{ToServer, good[:n]}))
	}
}

// What a hostile client can make us keep is bounded.
func TestQUICFragmentsBounded(t *testing.T) {
	c := new(quicCrypto)
	for i := range 10000 {
		c.add(uint64(10+2*i), []byte{1})
	}
	if len(c.parts) > quicMaxFragments {
		t.Errorf("%d fragments are kept", len(c.parts))
	}
	if e := c.add(1<<40, []byte{1}); e != quicCryptoTooLong {
		t.Errorf("event %q for an offset beyond the limit", e)
	}
}

func FuzzQUIC(f *testing.F) {
	hello := quicHello(f)
	f.Add(quicCryptoFrame(0, hello), []byte{})
	f.Add(quicCryptoFrame(100, hello[100:]), quicCryptoFrame(0, hello[:100]))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		dcid := []byte("12345678")
		if len(a) > 1200 || len(b) > 1200 {
			return
		}
		_ = dumpConn(tell(QUIC, piece{ToServer, quicSeal(quicV1, ToServer, dcid, 0, clone(a))},
			piece{ToServer, quicSeal(quicV1, ToServer, dcid, 1, clone(b))}, piece{ToClient, a}, piece{ToServer, b}))
	})
}
