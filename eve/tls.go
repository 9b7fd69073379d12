package eve

import (
	"bytes"
	"slices"
	"time"

	"github.com/garita/garita/app"
	"github.com/garita/garita/packet"
)

// tlsRecord writes the record of a handshake, unless nothing was learnt by it.
func (l *Logger) tlsRecord(p *packet.Packet, f *FlowInfo, t *app.TLSTx) {
	if !l.Wants(TLS) {
		return
	}
	leaf := &t.Leaf[app.ToClient]
	known := leaf.Subject != nil && leaf.Issuer != nil || t.Server.Seen && t.Version(app.ToClient) >= app.VersionTLS13
	if !known && (l.cfg.NoTLSResumption || !takesUp(t)) {
		return
	}
	o := l.beginAs("tls", p, f, ofFlow)
	l.tlsObject(o, t, f)
	l.end()
}

// takesUp says whether the handshake may be one that takes up an earlier
// session: the client knows tickets (RFC 5077), or the server gave its session
// identifier back.
func takesUp(t *app.TLSTx) bool {
	return slices.Contains(t.Client.Extensions, 35) ||
		len(t.Client.SessionID) > 0 && bytes.Equal(t.Client.SessionID, t.Server.SessionID)
}

// tlsObject describes a handshake. f is nil in alerts.
func (l *Logger) tlsObject(o *object, t *app.TLSTx, f *FlowInfo) {
	o.open("tls")
	l.certificate(o, t, app.ToClient)
	if takesUp(t) && t.Leaf[app.ToClient].Subject == nil && t.Leaf[app.ToClient].Issuer == nil &&
		t.Server.Seen && t.Version(app.ToClient) < app.VersionTLS13 {
		o.bool("session_resumed", true)
	}
	l.certificateIDs(o, t, app.ToClient)
	if s := t.Client.SNI; s != nil {
		o.bytes("sni", s)
	}
	o.str("version", app.TLSVersionName(t.Version(app.ToClient)))
	l.validity(o, t, app.ToClient)
	if l.cfg.JA3 || l.ja3 {
		if s, h := t.JA3(); s != nil {
			ja3(o, "ja3", s, h)
		}
		if s, h := t.JA3S(); s != nil {
			ja3(o, "ja3s", s, h)
		}
	}
	if h := t.JA4(); (l.cfg.JA4 || l.ja4 && l.inAlert) && h != nil {
		o.bytes("ja4", h)
	}
	if t.Leaf[app.ToServer].DER != nil {
		o.open("client")
		l.certificate(o, t, app.ToServer)
		l.certificateIDs(o, t, app.ToServer)
		l.validity(o, t, app.ToServer)
		o.close()
	}
	if f != nil && f.AppOrig != app.Unknown {
		o.str("from_proto", f.AppOrig.String())
	}
	o.close()
}

func (l *Logger) certificate(o *object, t *app.TLSTx, d app.Dir) {
	if s := t.Leaf[d].Subject; s != nil {
		o.bytes("subject", s)
	}
	if s := t.Leaf[d].Issuer; s != nil {
		o.bytes("issuerdn", s)
	}
}

func (l *Logger) certificateIDs(o *object, t *app.TLSTx, d app.Dir) {
	if s := t.CertSerial(d); s != nil {
		o.bytes("serial", s)
	}
	if s := t.CertFingerprint(d); s != nil {
		o.bytes("fingerprint", s)
	}
}

func (l *Logger) validity(o *object, t *app.TLSTx, d app.Dir) {
	for _, v := range [...]struct {
		name string
		t    time.Time
	}{{"notbefore", t.Leaf[d].NotBefore}, {"notafter", t.Leaf[d].NotAfter}} {
		if !v.t.IsZero() {
			o.key(v.name)
			o.b = append(o.b, '"')
			o.b = v.t.UTC().AppendFormat(o.b, "2006-01-02T15:04:05")
			o.b = append(o.b, '"')
		}
	}
}

func ja3(o *object, k string, s, hash []byte) {
	o.open(k)
	o.bytes("hash", hash)
	o.bytes("string", s)
	o.close()
}

func (l *Logger) quicObject(o *object, t *app.QUICTx) {
	o.open("quic")
	o.bytes("version", t.VersionName())
	if t.SNI != nil {
		o.bytes("sni", t.SNI)
	}
	if t.UserAgent != nil {
		o.bytes("ua", t.UserAgent)
	}
	if t.CYU != nil {
		o.openArray("cyu")
		o.item()
		o.open("")
		h, _ := t.Bytes(app.QUICCyuHash, t.From, 0)
		o.bytes("hash", h)
		o.bytes("string", t.CYU)
		o.close()
		o.closeArray()
	}
	if s, h := t.JA3(); s != nil {
		if t.From == app.ToServer {
			ja3(o, "ja3", s, h)
		} else {
			ja3(o, "ja3s", s, h)
		}
	}
	if h := t.JA4(); (l.cfg.JA4 || l.ja4 && l.inAlert) && h != nil {
		o.bytes("ja4", h)
	}
	if len(t.Hello.Extensions) > 0 {
		quicExtensions(o, t)
	}
	o.close()
}

// quicExtensions lists the extensions of the hello with their names.
func quicExtensions(o *object, t *app.QUICTx) {
	o.openArray("extensions")
	for _, e := range t.Hello.Extensions {
		o.item()
		o.open("")
		if n := extensionName(e); n != "" {
			o.str("name", n)
		}
		o.uint("type", uint64(e))
		switch e {
		case 0:
			if t.SNI != nil {
				o.openArray("values")
				o.itemBytes(t.SNI)
				o.closeArray()
			}
		case 13:
			o.openArray("values")
			for _, v := range t.Hello.SigAlgs {
				o.item()
				o.b = append(appendUint(append(o.b, '"'), uint64(v)), '"')
			}
			o.closeArray()
		case 16:
			if len(t.Hello.ALPN) > 0 {
				o.strings("values", t.Hello.ALPN)
			}
		case 43:
			o.openArray("values")
			for _, v := range t.Hello.Versions {
				if n := quicTLSVersion(v); n != "" {
					o.item()
					o.b = appendString(o.b, n)
				}
			}
			o.closeArray()
		}
		o.close()
	}
	o.closeArray()
}
