package eve

import (
	"strings"

	"github.com/garita/garita/app"
	"github.com/garita/garita/packet"
)

// AnomalyTypes is a set of kinds of anomaly records.
type AnomalyTypes uint8

// Kinds of anomaly records, by Suricata's names. The default is AppLayer.
const (
	AnomalyDecode AnomalyTypes = 1 << iota
	AnomalyStream
	AnomalyAppLayer
	// NoAnomaly is none of them: 0 means the default.
	NoAnomaly
)

// Anomalies writes what is odd about a packet: in its headers, and in how it
// fits its TCP session (names as in stream-event, without "stream."). f may be
// nil.
func (l *Logger) Anomalies(p *packet.Packet, f *FlowInfo, stream []string) {
	if !l.Wants(Anomaly) {
		return
	}
	if l.cfg.Anomalies&AnomalyDecode != 0 {
		for _, e := range p.Events() {
			l.anomaly(p, f, "decode", "decoder.", e.String())
		}
	}
	if l.cfg.Anomalies&AnomalyStream != 0 {
		for _, e := range stream {
			l.anomaly(p, f, "stream", "stream.", e)
		}
	}
}

// WantsPacketAnomalies says whether Anomalies writes anything at all.
func (l *Logger) WantsPacketAnomalies() bool {
	return l.Wants(Anomaly) && l.cfg.Anomalies&(AnomalyDecode|AnomalyStream) != 0
}

func (l *Logger) anomaly(p *packet.Packet, f *FlowInfo, typ, prefix, name string) {
	o := l.begin("anomaly", p, f)
	o.open("anomaly")
	o.str("type", typ)
	o.key("event")
	o.b = append(o.b, '"')
	o.b = append(o.b, prefix...)
	o.b = append(append(o.b, name...), '"')
	o.close()
	if l.cfg.PacketHeader {
		l.packetHeader(o, p)
	}
	l.end()
}

// txAnomalies writes the events of a transaction that were not written yet.
func (l *Logger) txAnomalies(p *packet.Packet, f *FlowInfo, b *app.TxBase) {
	from := b.LoggedEvents
	b.LoggedEvents = uint8(len(b.Events))
	if !l.Wants(Anomaly) || l.cfg.Anomalies&AnomalyAppLayer == 0 {
		return
	}
	for _, e := range b.Events[from:] {
		o := l.begin("anomaly", p, f)
		o.uint("tx_id", b.ID)
		applayer(o, b.Proto, eventName(b.Proto, e), "proto_parser")
		l.end()
	}
}

// ConnAnomaly writes an event of a connection: what recognising its protocol
// found odd.
func (l *Logger) ConnAnomaly(p *packet.Packet, f *FlowInfo, e app.Event) {
	if !l.Wants(Anomaly) || l.cfg.Anomalies&AnomalyAppLayer == 0 {
		return
	}
	o := l.begin("anomaly", p, f)
	applayer(o, f.App, strings.ToUpper(string(e)), "proto_detect")
	l.end()
}

func applayer(o *object, proto app.Proto, name, layer string) {
	o.open("anomaly")
	o.str("app_proto", proto.String())
	o.str("type", "applayer")
	o.str("event", name)
	o.str("layer", layer)
	o.close()
}

// eventName is the event as Suricata writes it: in capitals if its parser is
// one of the older ones.
func eventName(p app.Proto, e app.Event) string {
	switch p {
	case app.HTTP1, app.TLS, app.SMTP, app.ENIP, app.DNP3:
		return strings.ToUpper(string(e))
	}
	return string(e)
}
