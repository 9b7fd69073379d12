package eve

import (
	"encoding/base64"
	"net/netip"

	"github.com/garita/garita/app"
	"github.com/garita/garita/packet"
)

// Bits of app.TxBase.Logged.
const logged uint8 = 1

// tuple says whose addresses a record bears.
type tuple uint8

const (
	ofPacket   tuple = iota // the packet's, as it went
	ofFlow                  // the flow's: source is who began it
	toServerOf              // from client to server
	toClientOf              // from server to client
)

// Tx writes what is due of a transaction: its record if it is complete, its
// files and its anomalies as far as they are known. Call it for each
// transaction with every packet of its flow, once more at the end of the flow
// (EndOfFlow), and before it is let go. d is the packet's direction: files are
// written by a packet that goes the same way.
func (l *Logger) Tx(p *packet.Packet, f *FlowInfo, d app.Dir, tx app.Tx) {
	b := tx.Base()
	if int(b.LoggedEvents) < len(b.Events) {
		l.txAnomalies(p, f, b)
	}
	if b.Logged&logged == 0 && (l.ending() || b.Complete() || l.due(tx)) {
		b.Logged |= logged
		if !b.Unlogged {
			l.txRecord(p, f, tx)
		}
	}
	for _, file := range b.Files {
		if !file.Logged && (file.Done && file.Dir == d || l.ending()) {
			file.Logged = true
			l.fileInfo(p, f, tx, file)
		}
	}
}

// Due says whether Tx would write anything.
func (l *Logger) Due(d app.Dir, tx app.Tx) bool {
	b := tx.Base()
	end := l.ending()
	if int(b.LoggedEvents) < len(b.Events) || b.Logged&logged == 0 && (end || b.Complete() || l.due(tx)) {
		return true
	}
	for _, file := range b.Files {
		if !file.Logged && (end || file.Done && file.Dir == d) {
			return true
		}
	}
	return false
}

// due says whether a transaction that goes on has all that its record tells.
func (l *Logger) due(tx app.Tx) bool {
	switch t := tx.(type) {
	case *app.SSHTx:
		stage := app.StageLine
		if l.cfg.Hassh || l.hassh {
			stage = app.StageHeaders
		}
		return t.Progress[0] >= stage && t.Progress[1] >= stage
	case *app.TLSTx:
		return t.Server.Seen && t.Progress[app.ToClient] >= app.StageBody
	}
	return false
}

// txRecord writes the record of a protocol.
func (l *Logger) txRecord(p *packet.Packet, f *FlowInfo, tx app.Tx) {
	switch t := tx.(type) {
	case *app.HTTPTx:
		l.httpRecord(p, f, t)
	case *app.DNSTx:
		l.dnsRecords(p, f, t)
	case *app.TLSTx:
		l.tlsRecord(p, f, t)
	case *app.QUICTx:
		l.plainRecord(QUIC, "quic", p, f, tx, ofPacket, false)
	case *app.SSHTx:
		if t.Side[0].Proto != nil || t.Side[1].Proto != nil {
			l.plainRecord(SSH, "ssh", p, f, tx, ofFlow, true)
		}
	case *app.SMTPTx:
		if l.Wants(SMTP) {
			o := l.beginAs("smtp", p, f, ofFlow)
			o.uint("tx_id", t.ID)
			smtpObject(o, t)
			l.emailObject(o, t, true)
			l.end()
		}
	case *app.FTPTx:
		l.plainRecord(FTP, "ftp", p, f, tx, ofFlow, true)
	case *app.FTPDataTx:
		l.plainRecord(FTP|FTPData, "ftp_data", p, f, tx, ofFlow, true)
	case *app.DCERPCTx:
		l.plainRecord(DCERPC, "dcerpc", p, f, tx, ofPacket, false)
	case *app.DHCPTx:
		if l.cfg.DHCPExtended || dhcpShown(t) {
			l.plainRecord(DHCP, "dhcp", p, f, tx, ofPacket, false)
		}
	case *app.SNMPTx:
		l.plainRecord(SNMP, "snmp", p, f, tx, ofPacket, false)
	case *app.TFTPTx:
		l.plainRecord(TFTP, "tftp", p, f, tx, ofPacket, false)
	case *app.KRB5Tx:
		l.plainRecord(KRB5, "krb5", p, f, tx, ofPacket, false)
	case *app.SMBTx:
		l.plainRecord(SMB, "smb", p, f, tx, ofFlow, false)
	case *app.NFSTx:
		l.plainRecord(NFS, "nfs", p, f, tx, ofPacket, false)
	case *app.MQTTTx:
		l.plainRecord(MQTT, "mqtt", p, f, tx, ofFlow, false)
	case *app.SIPTx:
		l.plainRecord(SIP, "sip", p, f, tx, ofPacket, false)
	case *app.RFBTx:
		l.plainRecord(RFB, "rfb", p, f, tx, ofPacket, false)
	case *app.RDPTx:
		l.plainRecord(RDP, "rdp", p, f, tx, ofPacket, false)
	case *app.IKETx:
		l.plainRecord(IKE, "ike", p, f, tx, ofPacket, false)
	case *app.DNP3Tx:
		l.plainRecord(DNP3, "dnp3", p, f, tx, ofFlow, false)
	case *app.DHTTx:
		l.plainRecord(BitTorrentDHT, "bittorrent_dht", p, f, tx, ofPacket, false)
	case *app.ModbusTx:
		l.plainRecord(Modbus, "modbus", p, f, tx, ofFlow, false)
	case *app.PGSQLTx:
		l.plainRecord(PGSQL, "pgsql", p, f, tx, ofFlow, false)
	}
}

// plainRecord writes a record that is nothing but its object.
func (l *Logger) plainRecord(t Types, event string, p *packet.Packet, f *FlowInfo, tx app.Tx, of tuple, id bool) {
	if !l.Wants(t) {
		return
	}
	o := l.beginAs(event, p, f, of)
	if id {
		o.uint("tx_id", tx.Base().ID)
	}
	l.txObject(o, tx)
	l.end()
}

// txObject adds the object that describes a transaction, named after its
// protocol.
func (l *Logger) txObject(o *object, tx app.Tx) {
	switch t := tx.(type) {
	case *app.HTTPTx:
		l.httpObject(o, t)
	case *app.DNSTx:
		l.dnsAlertObject(o, t)
	case *app.TLSTx:
		l.tlsObject(o, t, nil)
	case *app.QUICTx:
		l.quicObject(o, t)
	case *app.SSHTx:
		l.sshObject(o, t)
	case *app.SMTPTx:
		smtpObject(o, t)
		l.emailObject(o, t, false)
	case *app.FTPTx:
		ftpObject(o, t)
	case *app.FTPDataTx:
		ftpDataObject(o, t)
	case *app.DCERPCTx:
		dcerpcObject(o, t)
	case *app.DHCPTx:
		dhcpObject(o, t, l.cfg.DHCPExtended)
	case *app.SNMPTx:
		snmpObject(o, t)
	case *app.TFTPTx:
		tftpObject(o, t)
	case *app.KRB5Tx:
		krb5Object(o, t)
	case *app.SMBTx:
		smbObject(o, t)
	case *app.NFSTx:
		nfsObject(o, t)
	case *app.MQTTTx:
		mqttObject(o, t)
	case *app.SIPTx:
		sipObject(o, t)
	case *app.RFBTx:
		rfbObject(o, t)
	case *app.RDPTx:
		rdpObject(o, t)
	case *app.IKETx:
		ikeObject(o, t)
	case *app.DNP3Tx:
		dnp3Object(o, t)
	case *app.DHTTx:
		dhtObject(o, t)
	case *app.ModbusTx:
		modbusObject(o, t)
	case *app.PGSQLTx:
		pgsqlObject(o, t)
	}
}

// inAlerts says whether Suricata describes a transaction in alerts.
func inAlerts(tx app.Tx) bool {
	switch tx.(type) {
	case *app.FTPTx, *app.DCERPCTx, *app.DHCPTx, *app.KRB5Tx, *app.TFTPTx:
		return false
	}
	return true
}

// alertTx adds what alerts say of the transaction they belong to. d is the
// direction of the packet.
func (l *Logger) alertTx(o *object, tx app.Tx, d app.Dir) {
	if inAlerts(tx) && !l.cfg.NoApp {
		l.txObject(o, tx)
	}
	if l.cfg.NoRuleMetadata {
		return // files go with it, as in Suricata
	}
	b := tx.Base()
	any := false
	for _, f := range b.Files {
		if f.Dir != d || f.Logged { // let go with its record
			continue
		}
		if !any {
			any = true
			o.openArray("files")
		}
		o.item()
		o.open("")
		l.fileFields(o, f, tx, false)
		o.close()
	}
	if any {
		o.closeArray()
	}
}

// beginAs starts a record as begin does, with addresses as Suricata chooses
// them for its kind.
func (l *Logger) beginAs(event string, p *packet.Packet, f *FlowInfo, of tuple) *object {
	if of == ofPacket {
		return l.begin(event, p, f)
	}
	src, dst, sp, dp := f.Src, f.Dst, f.SrcPort, f.DstPort
	if of == toClientOf {
		src, dst, sp, dp = dst, src, dp, sp
	}
	return l.beginWith(event, p, f, src, dst, sp, dp, f.Proto)
}

// strings adds an array of texts.
func (o *object) strings(k string, list [][]byte) {
	o.openArray(k)
	for _, s := range list {
		o.item()
		o.b = appendString(o.b, s)
	}
	o.closeArray()
}

func (o *object) itemBytes(v []byte) {
	o.item()
	o.b = appendString(o.b, v)
}

// hex adds bytes as lower case hexadecimal.
func (o *object) hex(k string, v []byte) {
	o.key(k)
	o.b = append(o.b, '"')
	for _, c := range v {
		o.b = append(o.b, hexDigits[c>>4], hexDigits[c&15])
	}
	o.b = append(o.b, '"')
}

// base64 adds bytes in base64.
func (o *object) base64(k string, v []byte) {
	o.key(k)
	o.b = append(o.b, '"')
	o.b = base64.StdEncoding.AppendEncode(o.b, v)
	o.b = append(o.b, '"')
}

func (o *object) addrBytes(k string, v []byte) {
	if a, ok := netip.AddrFromSlice(v); ok {
		o.addr(k, a)
	}
}
