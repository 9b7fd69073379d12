// Package eve writes events as Suricata's EVE JSON records, one a line, so that
// what people built on those (EveBox, jq recipes, SIEM pipelines) works
// unchanged.
//
// A Logger belongs to one worker: it formats records into its own buffer and
// hands the buffer over once a burst. A Writer belongs to one file and may be
// shared; it never makes a Logger wait unless it is asked to.
package eve

import (
	"net/netip"
	"time"

	"github.com/garita/garita/app"
	"github.com/garita/garita/detect"
	"github.com/garita/garita/packet"
	"github.com/garita/garita/rule"
)

// Types is a set of record types.
type Types uint64

// Record types, by Suricata's names.
const (
	Alert Types = 1 << iota
	Drop
	Flow
	Stats
	HTTP
	DNS
	TLS
	QUIC
	SSH
	SMTP
	FTP
	SMB
	FileInfo
	Anomaly
	DHCP
	SNMP
	TFTP
	SIP
	RDP
	MQTT
	KRB5
	RFB
	IKE
	FTPData
	HTTP2
	DCERPC
	NFS
	NetFlow
	Metadata
	DNP3
	BitTorrentDHT
	Modbus
	PGSQL
	Frame
	allTypes Types = 1<<iota - 1
)

// Default are the types that are written unless chosen otherwise: all but
// those that repeat what others say.
const Default = allTypes &^ (NetFlow | Metadata | Frame)

var typeNames = map[string]Types{
	"alert": Alert, "drop": Drop, "flow": Flow, "stats": Stats, "http": HTTP, "dns": DNS, "tls": TLS, "quic": QUIC,
	"ssh": SSH, "smtp": SMTP, "ftp": FTP, "smb": SMB, "files": FileInfo, "anomaly": Anomaly, "dhcp": DHCP,
	"snmp": SNMP, "tftp": TFTP, "sip": SIP, "rdp": RDP, "mqtt": MQTT, "krb5": KRB5, "rfb": RFB, "ike": IKE,
	"ftp-data": FTPData, "http2": HTTP2, "dcerpc": DCERPC, "nfs": NFS,
	"dnp3": DNP3, "bittorrent-dht": BitTorrentDHT, "modbus": Modbus, "pgsql": PGSQL, "netflow": NetFlow,
	"metadata": Metadata, "frame": Frame,
}

// TypeByName finds a type by its name in a configuration
// (outputs.eve-log.types).
func TypeByName(s string) (Types, bool) {
	t, ok := typeNames[s]
	return t, ok
}

// Config says what is written. The zero value writes every type, without
// payloads.
type Config struct {
	Types Types // 0 means Default
	// Also are other outputs. Only is what the first one then gets, 0 for all.
	Also []Output
	Only Types
	// Prefix begins every line of the first output.
	Prefix string
	// NoTotals leaves the sums out of stats records, Deltas adds what came since
	// the record before.
	NoTotals, Deltas bool
	// Payload adds the payload of alerts, in base64; Printable, as text;
	// Packet, the whole packet in base64.
	Payload, Printable, Packet bool
	// PayloadMax is how many bytes of a stream are shown; 0 means 4096.
	PayloadMax int
	FrameMax   int // likewise, of a frame
	// HTTPBody and HTTPBodyPrintable add the bodies of HTTP messages to alerts.
	HTTPBody, HTTPBodyPrintable bool
	// NoFlow, NoApp and NoRuleMetadata leave these out of alerts: the flow, the
	// transaction, and the rule's metadata with the files. RawRule adds the
	// rule's text.
	NoFlow, NoApp, NoRuleMetadata, RawRule bool
	// NoTagged leaves out the packets that a tag of an alert asks for.
	NoTagged bool
	// NoDropAlert leaves out of drop records the rule that decided.
	NoDropAlert bool
	// PacketHeader adds the packet to records of anomalies.
	PacketHeader bool
	// Magic shows what kind a file is by its first bytes.
	Magic bool
	// Verdict and DropVerdict add what became of the packet to alerts and drops.
	Verdict, DropVerdict bool
	// AllDrops writes a record for every dropped packet, not for the first of
	// each direction of a flow.
	AllDrops bool
	// CommunityID adds the flow hash of that name (version 1) with this seed.
	CommunityID     bool
	CommunityIDSeed uint16
	// Anomalies are the kinds of anomaly records; 0 means AnomalyAppLayer.
	Anomalies AnomalyTypes
	// JA3 and JA4 add fingerprints to tls and quic records.
	JA3, JA4 bool
	// Hassh adds the key exchange fingerprints to ssh records.
	Hassh bool
	// Sums are the sums of files that are shown; 0 means all that are known.
	Sums Sums
	// NoTLSResumption leaves out handshakes that resume a session.
	NoTLSResumption bool
	// MailFields are the fields of messages that smtp records show beside
	// sender and receivers; MailSubjectMD5 and MailBodyMD5 add sums (the latter
	// if app.SMTPConfig.BodyMD5 makes them).
	MailFields                  MailFields
	MailSubjectMD5, MailBodyMD5 bool
	// DHCPExtended writes every DHCP message in full, not only what gave an
	// address to somebody.
	DHCPExtended bool
	// AlertXFF, HTTPXFF and FileXFF say how records show for whom a proxy asked.
	AlertXFF, HTTPXFF, FileXFF XFF
	// NoVars leaves out flow bits and variables (Suricata's metadata: no of
	// eve-log).
	NoVars bool
	// SensorName is the host in every record, "" for none.
	SensorName string
	// Ethernet adds the addresses of the link layer to records of packets.
	Ethernet bool
	// CaptureFile names the capture that is replayed in every record.
	CaptureFile string
	// Location is the time zone of timestamps; nil means local.
	Location *time.Location
}

// FlowInfo is what records say about the flow of a packet. The caller fills it
// in; From tells which way the flow began.
type FlowInfo struct {
	// Stream is what is there of the packet's direction of the stream: the
	// payload of alerts on the stream and on transactions. Borrowed for the call.
	Stream           []Piece
	ID               uint64
	Src, Dst         netip.Addr // of the first packet
	SrcPort, DstPort uint16
	Proto            uint8
	Packets, Bytes   [2]uint64
	Start            int64
	App              app.Proto
	AppTS, AppTC     app.Proto
	AppOrig          app.Proto
	AppKnown         bool // the flow has an application layer
	DropLogged       *[2]bool
	// Parent is the flow that announced this one (the control connection of
	// FTP data), 0 if none.
	Parent uint64
	VLANs  []uint16 // of its packets, outermost first
	InDev  uint32   // interface of its first packet, 0 if not known
	// Vars has the flow's bits and variables, PacketVars the packet's variables.
	Vars       *detect.Flow
	PacketVars []detect.Var
	// Txs are the transactions of the flow that are live.
	Txs []app.Tx
	// Guess is the transaction that was under way, for alerts that matched in
	// the stream or by datagram; nil if there is none.
	Guess app.Tx
}

// Piece is bytes of a stream, and how many are missing before them.
type Piece struct {
	Missing uint64
	Data    []byte
}

// Logger formats records for one worker. It is not safe for concurrent use.
type Logger struct {
	cfg  Config
	raw  []byte // scratch
	out  *Writer
	o    object
	at   int   // where the record being written begins
	typ  Types // what it is, if there are other outputs
	also []output
	// before are the values of the stats record before.
	before map[string]uint64
	names  func(ifindex uint32) string
	from   Source
	root   *packet.Packet // what carries the packet, if from a tunnel
	depth  int
	// inAlert: what is described stands in an alert, which has all fingerprints.
	inAlert bool
	// rules know the names of flow bits and variables.
	rules *detect.Ruleset
	// ja3, ja4, hassh: there are rules that ask for these fingerprints.
	ja3, ja4, hassh bool
}

// Source is where a packet comes from that records are written for.
type Source uint8

// Sources, by Suricata's pkt_src.
const (
	Wire         Source = iota // from the network or a capture
	Tunneled                   // inside of another packet, see packet.Tunnel
	Defragmented               // put together from fragments
	EndOfFlow                  // none: made up when the flow ended
	Flushed                    // none: made up because the rest of the flow is not looked at
)

// Source says where the packets of the calls to come are from.
func (l *Logger) Source(s Source) {
	if l != nil {
		l.from, l.root = s, nil
	}
}

// Instead says that the packets of the calls to come are from s, until it is
// called again with what it returns: where they were from before.
func (l *Logger) Instead(s Source) (was Source) {
	if l != nil {
		was, l.from = l.from, s
	}
	return was
}

// Tunnel says that the packets of the calls to come, up to the next call of
// Source, are inside of root, depth tunnels deep. root is borrowed until then.
func (l *Logger) Tunnel(root *packet.Packet, depth int) {
	if l != nil {
		l.root, l.depth, l.from = root, depth, Tunneled
	}
}

// Whole says that the packet of the calls to come, up to the next call of
// Source, was put together from fragments, of which last is the last.
func (l *Logger) Whole(last *packet.Packet) {
	if l != nil {
		l.root, l.depth, l.from = last, 0, Defragmented
	}
}

func (l *Logger) tunnel(o *object) {
	p := l.root
	if p == nil || l.from == Wire || l.from >= EndOfFlow {
		return
	}
	o.open("tunnel")
	o.addr("src_ip", p.Src())
	o.uint("src_port", uint64(p.SrcPort()))
	o.addr("dest_ip", p.Dst())
	o.uint("dest_port", uint64(p.DstPort()))
	o.str("proto", protoName(shownProto(p)))
	o.uint("depth", uint64(l.depth))
	if p.Number != 0 {
		o.uint("pcap_cnt", p.Number)
		o.str("pkt_src", "wire/pcap")
	} else {
		o.str("pkt_src", "wire/nfq")
	}
	o.close()
}

// ending says whether the flow is at its end: nothing will be added to what is
// there.
func (l *Logger) ending() bool { return l.from == EndOfFlow }

// NewLogger makes a logger that writes to out. names gives the name of an
// interface, or nil to leave interfaces out.
func NewLogger(cfg Config, out *Writer, names func(uint32) string) *Logger {
	if cfg.Types == 0 {
		cfg.Types = Default
	}
	if cfg.Anomalies == 0 {
		cfg.Anomalies = AnomalyAppLayer
	}
	if cfg.PayloadMax == 0 {
		cfg.PayloadMax = 4096
	}
	if cfg.FrameMax == 0 {
		cfg.FrameMax = 4096
	}
	if cfg.Location == nil {
		cfg.Location = time.Local
	}
	l := &Logger{cfg: cfg, out: out, names: names}
	for _, a := range cfg.Also {
		l.also = append(l.also, output{Output: a})
	}
	return l
}

// Use says by which rules is judged: they know the names of flow bits.
func (l *Logger) Use(rs *detect.Ruleset) {
	if l != nil {
		l.rules = rs
	}
}

// Fingerprints says which fingerprints rules ask for: those are computed, and
// shown where Suricata then shows them: JA3 in all tls objects, JA4 in those of
// alerts, HASSH in all ssh objects.
func (l *Logger) Fingerprints(ja3, ja4, hassh bool) {
	if l != nil {
		l.ja3, l.ja4, l.hassh = ja3, ja4, hassh
	}
}

// Wants says whether records of a type are written at all.
func (l *Logger) Wants(t Types) bool { return l != nil && l.cfg.Types&t != 0 }

// WantsPayload says whether alerts show the bytes they are about.
func (l *Logger) WantsPayload() bool {
	return l.Wants(Alert) && (l.cfg.Payload || l.cfg.Printable)
}

// Flush hands what was written since the last Flush to the Writer. Call it
// once a burst.
func (l *Logger) Flush() {
	if l == nil {
		return
	}
	if len(l.o.b) > 0 {
		l.o.b = l.out.put(l.o.b)
		l.at = 0
	}
	for i := range l.also {
		if b := &l.also[i]; len(b.buf) > 0 {
			b.buf = b.To.put(b.buf)
		}
	}
}

// begin starts a record with the fields that all packet records share.
func (l *Logger) begin(event string, p *packet.Packet, f *FlowInfo) *object {
	return l.beginWith(event, p, f, p.Src(), p.Dst(), p.SrcPort(), p.DstPort(), shownProto(p))
}

// shownProto is the protocol of p. A fragment in IPv6 is shown as that.
func shownProto(p *packet.Packet) uint8 {
	if p.IPVersion() == 6 && p.IsFragment() {
		return protoFragment
	}
	return p.Proto()
}

const protoFragment = 44

func (l *Logger) beginWith(event string, p *packet.Packet, f *FlowInfo, src, dst netip.Addr, sport, dport uint16, proto uint8) *object {
	o := l.start(event)
	o.time("timestamp", p.Time, l.cfg.Location)
	if f != nil && f.ID != 0 {
		o.uint("flow_id", f.ID)
	}
	if f != nil && f.Parent != 0 {
		o.uint("parent_id", f.Parent)
	}
	l.interfaceName(o, p.InDev)
	if p.Number != 0 && l.from == Wire {
		o.uint("pcap_cnt", p.Number)
	}
	o.str("event_type", event)
	vlans := p.VLANs[:p.NVLAN]
	if l.from >= EndOfFlow && f != nil {
		vlans = f.VLANs
	}
	o.vlan(vlans)
	l.tuple(o, src, dst, sport, dport, proto)
	if h, ok := p.ICMP(); ok {
		o.uint("icmp_type", uint64(h.Type()))
		o.uint("icmp_code", uint64(h.Code()))
	}
	switch {
	case l.from == Tunneled:
		o.str("pkt_src", tunnelNames[p.Tunnel])
	case l.from != Wire:
		o.str("pkt_src", sourceNames[l.from])
	case p.Number != 0:
		o.str("pkt_src", "wire/pcap")
	default:
		o.str("pkt_src", "wire/nfq")
	}
	l.common(o)
	l.ether(o, p)
	l.vars(o, f)
	l.community(o, f)
	return o
}

var sourceNames = [...]string{Defragmented: "defrag", EndOfFlow: "stream (flow timeout)", Flushed: "stream (detect/log)"}

var tunnelNames = [...]string{
	packet.NoTunnel: "wire/pcap", packet.InIPv4: "ipv4 tunnel", packet.InIPv6: "ipv6 tunnel", packet.InGRE: "gre tunnel",
	packet.InVXLAN: "vxlan encapsulation", packet.InGeneve: "geneve encapsulation", packet.InTeredo: "teredo tunnel",
}

func (l *Logger) tuple(o *object, src, dst netip.Addr, sport, dport uint16, proto uint8) {
	if !src.IsValid() {
		return
	}
	o.addr("src_ip", src)
	ports := proto == packet.ProtoTCP || proto == packet.ProtoUDP || proto == packet.ProtoSCTP
	if ports {
		o.uint("src_port", uint64(sport))
	}
	o.addr("dest_ip", dst)
	if ports {
		o.uint("dest_port", uint64(dport))
	}
	o.str("proto", protoName(proto))
}

// Alert writes an alert record. f may be nil; act is what the rules together
// made of the packet.
func (l *Logger) Alert(p *packet.Packet, f *FlowInfo, dir app.Dir, a *detect.Alert, act rule.Action) {
	if !l.Wants(Alert) {
		return
	}
	tx, guessed := a.Tx, false
	if tx == nil && f != nil && f.Guess != nil {
		if f.Proto == packet.ProtoUDP {
			if proto, ok := app.ProtoByName(a.Info.Proto); ok && proto > app.Failed {
				tx = f.Guess
			}
		} else if a.Stream {
			tx, guessed = f.Guess, true
		}
	}
	frame, _ := tx.(*app.Frame)
	src, dst := p.Src(), p.Dst()
	client, forwarded := l.cfg.AlertXFF.forwarded(a.Tx, f)
	over := forwarded && l.cfg.AlertXFF.Mode == XFFOverwrite
	if over && dir == app.ToServer {
		src = client
	} else if over {
		dst = client
	}
	o := l.beginWith("alert", p, f, src, dst, p.SrcPort(), p.DstPort(), shownProto(p))
	if frame != nil {
		tx = nil
		l.frame(o, frame)
	}
	if tx != nil {
		o.uint("tx_id", tx.Base().ID)
		if guessed {
			o.bool("tx_guessed", true)
		}
	}
	l.alertObject(o, p, a, src, dst, client)
	l.tunnel(o)
	l.verdict(o, p, act, l.cfg.Verdict)
	if f != nil {
		if tx != nil {
			l.inAlert = true
			l.alertTx(o, tx, dir)
			l.inAlert = false
		}
		l.appProto(o, f)
		o.str("direction", dirName(dir))
		if !l.cfg.NoFlow {
			o.open("flow")
			l.counts(o, f)
			o.time("start", f.Start, l.cfg.Location)
			if !over {
				client = f.Src
			}
			l.tupleIn(o, f, client)
			o.close()
		}
	}
	l.payload(o, p, f, p.Proto() == packet.ProtoTCP && (a.Stream || a.Tx != nil))
	l.end()
}

// alertObject describes the rule. src and dst are the addresses to be shown,
// forwarded is for whom a proxy asked, if that is known.
func (l *Logger) alertObject(o *object, p *packet.Packet, a *detect.Alert, src, dst, forwarded netip.Addr) {
	i := a.Info
	o.open("alert")
	if a.Blocked {
		o.str("action", "blocked")
	} else {
		o.str("action", "allowed")
	}
	o.uint("gid", uint64(i.Gid))
	o.uint("signature_id", uint64(i.Sid))
	o.uint("rev", uint64(i.Rev))
	o.str("signature", i.Msg)
	o.str("category", i.Class)
	o.int("severity", int64(i.Priority))
	if i.Target != detect.NoTarget && p.Src().IsValid() {
		sp, dp := p.SrcPort(), p.DstPort()
		if i.Target == detect.SrcIsTarget {
			src, dst, sp, dp = dst, src, dp, sp
		}
		for _, e := range []struct {
			name string
			a    netip.Addr
			port uint16
		}{{"source", src, sp}, {"target", dst, dp}} {
			o.open(e.name)
			o.addr("ip", e.a)
			if hasPorts(p.Proto()) {
				o.uint("port", uint64(e.port))
			}
			o.close()
		}
	}
	if !l.cfg.NoRuleMetadata && len(i.Metadata) > 0 {
		o.open("metadata")
		for n, m := range i.Metadata {
			if seenKey(i.Metadata[:n], m.Key) {
				continue
			}
			o.openArray(m.Key)
			// The last comes first, as in Suricata.
			for k := len(i.Metadata) - 1; k >= n; k-- {
				if v := &i.Metadata[k]; v.Key == m.Key {
					o.item()
					o.b = appendString(o.b, v.Value)
				}
			}
			o.closeArray()
		}
		o.close()
	}
	if forwarded.IsValid() {
		o.addr("xff", forwarded)
	}
	if l.cfg.RawRule {
		o.str("rule", i.Text)
	}
	o.close()
}

// verdict tells what became of the packet as a whole, which may be another
// rule's doing.
func (l *Logger) verdict(o *object, p *packet.Packet, act rule.Action, on bool) {
	if !on {
		return
	}
	o.open("verdict")
	switch {
	case p.Verdict.Dropped():
		o.str("action", "drop")
	case act == rule.Pass:
		o.str("action", "pass")
	default:
		o.str("action", "alert")
	}
	if act.IsReject() {
		target := "to_client"
		switch act {
		case rule.RejectDst:
			target = "to_server"
		case rule.RejectBoth:
			target = "both"
		}
		o.str("reject-target", target)
		o.openArray("reject")
		o.item()
		if p.Proto() == packet.ProtoTCP {
			o.b = append(o.b, `"tcp-reset"`...)
		} else {
			o.b = append(o.b, `"icmp-prohib"`...)
		}
		o.closeArray()
	}
	o.close()
}

func seenKey(ps []detect.Pair, k string) bool {
	for _, p := range ps {
		if p.Key == k {
			return true
		}
	}
	return false
}

func (l *Logger) appProto(o *object, f *FlowInfo) {
	if !f.AppKnown {
		return
	}
	if f.App == app.Unknown && f.Proto == packet.ProtoUDP {
		o.str("app_proto", app.Failed.String()) // a datagram has but one chance
		return
	}
	if f.App != app.Unknown {
		o.str("app_proto", f.App.String())
	}
	if f.AppOrig != app.Unknown {
		o.str("app_proto_orig", f.AppOrig.String())
	}
	if f.AppTS != f.App && f.AppTS != app.Unknown {
		o.str("app_proto_ts", f.AppTS.String())
	}
	if f.AppTC != f.App && f.AppTC != app.Unknown {
		o.str("app_proto_tc", f.AppTC.String())
	}
}

func (l *Logger) counts(o *object, f *FlowInfo) {
	o.uint("pkts_toserver", f.Packets[app.ToServer])
	o.uint("pkts_toclient", f.Packets[app.ToClient])
	o.uint("bytes_toserver", f.Bytes[app.ToServer])
	o.uint("bytes_toclient", f.Bytes[app.ToClient])
}

// tupleIn adds the addresses of a flow, client in place of its source.
func (l *Logger) tupleIn(o *object, f *FlowInfo, client netip.Addr) {
	o.addr("src_ip", client)
	o.addr("dest_ip", f.Dst)
	if hasPorts(f.Proto) {
		o.uint("src_port", uint64(f.SrcPort))
		o.uint("dest_port", uint64(f.DstPort))
	}
}

// payload adds the bytes that an alert is about. Of a stream, that is what is
// still kept of it, whatever part of it the rule matched.
func (l *Logger) payload(o *object, p *packet.Packet, f *FlowInfo, stream bool) {
	if l.cfg.Payload || l.cfg.Printable {
		b := shownPayload(p)
		if stream && f != nil {
			if s := l.streamPayload(f.Stream); len(s) > 0 {
				b = s
			}
		}
		if l.cfg.Payload && len(b) > 0 {
			o.base64("payload", b)
		}
		if l.cfg.Printable {
			o.key("payload_printable")
			o.b = appendPrintable(o.b, b)
		}
		n := uint64(0)
		if stream {
			n = 1
		}
		o.uint("stream", n)
	}
	if l.cfg.Packet {
		l.packet(o, p)
	}
}

// shownPayload is the payload where Suricata decodes one: of whole packets of the
// transports that it knows.
func shownPayload(p *packet.Packet) []byte {
	if p.IsFragment() || p.IPVersion() == 0 {
		return nil
	}
	switch p.Proto() {
	case packet.ProtoTCP, packet.ProtoUDP, packet.ProtoICMP, packet.ProtoICMPv6, packet.ProtoSCTP:
		return p.Payload()
	}
	return nil
}

// streamPayload puts pieces together, up to the configured length, with a note
// where some are missing.
func (l *Logger) streamPayload(ps []Piece) []byte {
	b := l.raw[:0]
	for _, p := range ps {
		if p.Missing > 0 {
			b = append(b, '[')
			b = append(appendUint(b, p.Missing), " bytes missing]"...)
		}
		b = append(b, p.Data...)
		if last := l.cfg.PayloadMax - 1; len(b) > last { // Suricata's buffer ends with a NUL
			b = b[:last]
			break
		}
	}
	l.raw = b
	return b
}

// packet adds the whole packet, with its link layer if it came with one.
func (l *Logger) packet(o *object, p *packet.Packet) { l.packetBytes(o, p, len(p.L2)+len(p.Data)) }

// packetHeader adds the first bytes of the packet.
func (l *Logger) packetHeader(o *object, p *packet.Packet) { l.packetBytes(o, p, 32) }

func (l *Logger) packetBytes(o *object, p *packet.Packet, n int) {
	link := p.Link
	if link == packet.LinkNull && len(p.L2) == 0 && p.Number == 0 {
		link = packet.LinkRaw // from a queue
	}
	l.raw = append(append(l.raw[:0], p.L2...), p.Data...)
	o.base64("packet", l.raw[:min(n, len(l.raw))])
	o.open("packet_info")
	o.uint("linktype", uint64(linkType(link)))
	o.close()
}

// linkType is a link layer by libpcap's number for programs, as Suricata shows
// it: for raw IP it is another one than in files.
func linkType(t packet.LinkType) packet.LinkType {
	if t == packet.LinkRaw {
		return packet.LinkRaw12
	}
	return t
}

// dropReasons are Suricata's words for ours; a reason without one stands as it
// is.
var dropReasons = map[packet.Reason]string{
	packet.ReasonRule:      "rules",
	packet.ReasonFlow:      "flow drop",
	packet.ReasonMalformed: "decode error",
	packet.ReasonStream:    "stream error",
	packet.ReasonMidstream: "stream midstream",
	packet.ReasonRate:      "threshold detection_filter",
	packet.ReasonMemory:    "stream memcap",
}

// DropReason is Suricata's word for why a packet was dropped, or ours where it
// has none.
func DropReason(why packet.Reason) string {
	if s, ok := dropReasons[why]; ok {
		return s
	}
	return string(why)
}

// Drop writes a record of a dropped packet: unless all are asked for, of the
// first in each direction of a flow. a is the rule that decided, or nil; act is
// what the rules together made of the packet.
func (l *Logger) Drop(p *packet.Packet, f *FlowInfo, dir app.Dir, why packet.Reason, a *detect.Alert, act rule.Action) {
	if !l.Wants(Drop) {
		return
	}
	if f != nil && f.DropLogged != nil && !l.cfg.AllDrops {
		if f.DropLogged[dir] {
			return
		}
		f.DropLogged[dir] = true
	}
	o := l.begin("drop", p, f)
	if f != nil {
		o.str("direction", dirName(dir))
	}
	o.open("drop")
	if h, ok := p.IP(); ok {
		o.uint("len", uint64(h.TotalLen()))
		if p.IPVersion() == 4 {
			o.uint("tos", uint64(h.TOS()))
			o.uint("ttl", uint64(h.TTL()))
			o.uint("ipid", uint64(h.ID()))
		} else {
			o.uint("tc", uint64(h.TOS()))
			o.uint("hoplimit", uint64(h.TTL()))
			o.uint("flowlbl", uint64(h.FlowLabel()))
		}
	}
	if h, ok := p.TCP(); ok {
		fl := h.Flags()
		o.uint("tcpseq", uint64(h.Seq()))
		o.uint("tcpack", uint64(h.Ack()))
		o.uint("tcpwin", uint64(h.Window()))
		o.bool("syn", fl&packet.SYN != 0)
		o.bool("ack", fl&packet.ACK != 0)
		o.bool("psh", fl&packet.PSH != 0)
		o.bool("rst", fl&packet.RST != 0)
		o.bool("urg", fl&packet.URG != 0)
		o.bool("fin", fl&packet.FIN != 0)
		o.uint("tcpres", 0)
		o.uint("tcpurgp", uint64(h.Urgent()))
	} else if h, ok := p.UDP(); ok {
		o.uint("udplen", uint64(h.Len()))
	} else if h, ok := p.ICMP(); ok {
		if id, seq, ok := h.Echo(); ok {
			o.uint("icmp_id", uint64(id))
			o.uint("icmp_seq", uint64(seq))
		}
	}
	o.str("reason", DropReason(why))
	o.close()
	if a != nil && !l.cfg.NoDropAlert {
		l.alertObject(o, p, a, p.Src(), p.Dst(), netip.Addr{})
	}
	l.verdict(o, p, act, l.cfg.DropVerdict)
	l.end()
}

// Tagged writes a packet record: a packet that a tag of an earlier alert asked
// to be logged.
func (l *Logger) Tagged(p *packet.Packet, f *FlowInfo, by *detect.Info) {
	if !l.Wants(Alert) || l.cfg.NoTagged {
		return
	}
	o := l.begin("packet", p, f)
	l.packet(o, p)
	if by != nil {
		o.open("tag")
		o.uint("gid", uint64(by.Gid))
		o.uint("signature_id", uint64(by.Sid))
		o.close()
	}
	l.end()
}

func dirName(d app.Dir) string {
	if d == app.ToClient {
		return "to_client"
	}
	return "to_server"
}

func hasPorts(proto uint8) bool {
	return proto == packet.ProtoTCP || proto == packet.ProtoUDP || proto == packet.ProtoSCTP
}
