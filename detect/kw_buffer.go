package detect

import (
	"strconv"

	"github.com/garita/garita/app"
)

// buffers of transactions, by the names that rules use for them. Names of
// modifiers that act on the content before them are in legacyModifiers.
var stickyBuffers = map[string]app.Field{
	"http.uri": app.HTTPURI, "http.uri.raw": app.HTTPURIRaw, "http.method": app.HTTPMethod,
	"http.protocol": app.HTTPProtocol, "http.request_line": app.HTTPRequestLine, "http_request_line": app.HTTPRequestLine,
	"http.host": app.HTTPHost, "http.host.raw": app.HTTPHostRaw, "http.header": app.HTTPHeader,
	"http.header.raw": app.HTTPHeaderRaw, "http.header_names": app.HTTPHeaderNames, "http_header_names": app.HTTPHeaderNames,
	"http.start": app.HTTPStart, "http_start": app.HTTPStart, "http.request_header": app.HTTPRequestHeader,
	"http.response_header": app.HTTPResponseHeader, "http.cookie": app.HTTPCookie, "http.user_agent": app.HTTPUserAgent,
	"http.accept": app.HTTPAccept, "http_accept": app.HTTPAccept, "http.accept_enc": app.HTTPAcceptEnc,
	"http_accept_enc": app.HTTPAcceptEnc, "http.accept_lang": app.HTTPAcceptLang, "http_accept_lang": app.HTTPAcceptLang,
	"http.referer": app.HTTPReferer, "http_referer": app.HTTPReferer, "http.content_type": app.HTTPContentType,
	"http_content_type": app.HTTPContentType, "http.content_len": app.HTTPContentLen, "http_content_len": app.HTTPContentLen,
	"http.connection": app.HTTPConnection, "http_connection": app.HTTPConnection, "http.server": app.HTTPServer,
	"http.location": app.HTTPLocation, "http.stat_code": app.HTTPStatCode, "http.stat_msg": app.HTTPStatMsg,
	"http.response_line": app.HTTPResponseLine, "http_response_line": app.HTTPResponseLine,
	"http_protocol": app.HTTPProtocol, "http.request_body": app.HTTPRequestBody, "http.response_body": app.FileData,
	"http2.header_name": app.HTTP2HeaderName, "http2.header": app.HTTPHeader,
	"file.data": app.FileData, "file_data": app.FileData, "file.name": app.FileName,
	"dns.query": app.DNSQuery, "dns_query": app.DNSQuery, "dns.queries.rrname": app.DNSQueriesRRName,
	"dns.answers.rrname": app.DNSAnswersRRName, "dns.authorities.rrname": app.DNSAuthoritiesRRName,
	"dns.additionals.rrname": app.DNSAdditionalsRRName, "dns.response.rrname": app.DNSResponseRRName,
	"tls.sni": app.TLSSNI, "tls_sni": app.TLSSNI, "tls.alpn": app.TLSALPN,
	"tls.random": app.TLSRandom, "tls.random_time": app.TLSRandomTime, "tls.random_bytes": app.TLSRandomBytes,
	"tls.cert_subject": app.TLSCertSubject, "tls_cert_subject": app.TLSCertSubject,
	"tls.cert_issuer": app.TLSCertIssuer, "tls_cert_issuer": app.TLSCertIssuer,
	"tls.cert_serial": app.TLSCertSerial, "tls_cert_serial": app.TLSCertSerial,
	"tls.cert_fingerprint": app.TLSCertFingerprint, "tls_cert_fingerprint": app.TLSCertFingerprint,
	"tls.subjectaltname": app.TLSSubjectAltName, "tls.certs": app.TLSCerts, "tls_certs": app.TLSCerts,
	"ja3.hash": app.JA3Hash, "ja3_hash": app.JA3Hash, "ja3.string": app.JA3String, "ja3_string": app.JA3String,
	"ja3s.hash": app.JA3SHash, "ja3s_hash": app.JA3SHash, "ja3s.string": app.JA3SString, "ja3s_string": app.JA3SString,
	"ja4.hash": app.JA4Hash, "ja4_hash": app.JA4Hash, "quic.version": app.QUICVersion, "quic.sni": app.QUICSNI, "quic.ua": app.QUICUA,
	"quic.cyu.hash": app.QUICCyuHash, "quic.cyu.string": app.QUICCyuString,
	"ssh.proto": app.SSHProto, "ssh_proto": app.SSHProto, "ssh.software": app.SSHSoftware, "ssh_software": app.SSHSoftware,
	"ssh.hassh": app.SSHHassh, "ssh-hassh": app.SSHHassh, "ssh.hassh.string": app.SSHHasshString, "ssh-hassh-string": app.SSHHasshString,
	"ssh.hassh.server": app.SSHHasshServer, "ssh-hassh-server": app.SSHHasshServer,
	"ssh.hassh.server.string": app.SSHHasshServerString, "ssh-hassh-server-string": app.SSHHasshServerString,
	"smtp.helo": app.SMTPHelo, "smtp.mail_from": app.SMTPMailFrom, "smtp.rcpt_to": app.SMTPRcptTo,
	"email.from": app.EmailFrom, "email.to": app.EmailTo, "email.cc": app.EmailCC, "email.subject": app.EmailSubject,
	"email.date": app.EmailDate, "email.message_id": app.EmailMessageID, "email.x_mailer": app.EmailXMailer,
	"email.body_md5": app.EmailBodyMD5, "email.url": app.EmailURL, "email.received": app.EmailReceived,
	"ftp.command": app.FTPCommand, "ftp.command_data": app.FTPCommandData, "ftp.reply": app.FTPReply, "ftp.completion_code": app.FTPCompletionCode,
	"smb.named_pipe": app.SMBNamedPipe, "smb_named_pipe": app.SMBNamedPipe, "smb.share": app.SMBShare, "smb_share": app.SMBShare,
	"smb.ntlmssp_user": app.SMBNTLMSSPUser, "smb.ntlmssp_domain": app.SMBNTLMSSPDomain,
	"dcerpc.stub_data": app.DCERPCStubData, "dce_stub_data": app.DCERPCStubData,
	"snmp.usm": app.SNMPUSM, "snmp.community": app.SNMPCommunity, "ntp.reference_id": app.NTPReferenceID,
	"mqtt.connect.clientid": app.MQTTConnectClientID, "mqtt.connect.username": app.MQTTConnectUsername,
	"mqtt.connect.password": app.MQTTConnectPassword, "mqtt.connect.willtopic": app.MQTTConnectWillTopic,
	"mqtt.connect.willmessage": app.MQTTConnectWillMessage, "mqtt.connect.protocol_string": app.MQTTConnectProtocolString,
	"mqtt.publish.topic": app.MQTTPublishTopic, "mqtt.publish.message": app.MQTTPublishMessage,
	"mqtt.subscribe.topic": app.MQTTSubscribeTopic, "mqtt.unsubscribe.topic": app.MQTTUnsubscribeTopic,
	"krb5.cname": app.KRB5CName, "krb5_cname": app.KRB5CName, "krb5.sname": app.KRB5SName, "krb5_sname": app.KRB5SName,
	"sip.method": app.SIPMethod, "sip.uri": app.SIPURI, "sip.request_line": app.SIPRequestLine, "sip.protocol": app.SIPProtocol,
	"sip.stat_code": app.SIPStatCode, "sip.stat_msg": app.SIPStatMsg, "sip.response_line": app.SIPResponseLine,
	"sip.from": app.SIPFrom, "sip.to": app.SIPTo, "sip.via": app.SIPVia, "sip.user_agent": app.SIPUserAgent,
	"sip.content_type": app.SIPContentType, "sip.content_length": app.SIPContentLength,
	"rfb.name": app.RFBName, "ike.init_spi": app.IKEInitSPI, "ike.resp_spi": app.IKERespSPI, "ike.vendor": app.IKEVendor,
	"ike.nonce_payload": app.IKENoncePayload, "ike.key_exchange_payload": app.IKEKeyExchangePayload,
	"dnp3.data": app.DNP3Data, "dnp3_data": app.DNP3Data, "websocket.payload": app.WebSocketPayload,
}

// legacyModifiers act on the content before them.
var legacyModifiers = map[string]app.Field{
	"http_uri": app.HTTPURI, "http_raw_uri": app.HTTPURIRaw, "http_method": app.HTTPMethod, "http_host": app.HTTPHost,
	"http_raw_host": app.HTTPHostRaw, "http_header": app.HTTPHeader, "http_raw_header": app.HTTPHeaderRaw,
	"http_cookie": app.HTTPCookie, "http_user_agent": app.HTTPUserAgent, "http_client_body": app.HTTPRequestBody,
	"http_server_body": app.FileData, "http_stat_code": app.HTTPStatCode, "http_stat_msg": app.HTTPStatMsg,
}

// headerBuffers are the packet's headers.
var headerBuffers = map[string]special{
	"ipv4.hdr": bufIPv4Header, "ipv6.hdr": bufIPv6Header, "tcp.hdr": bufTCPHeader, "udp.hdr": bufUDPHeader,
	"ip.src": bufSrcAddr, "ip.dst": bufDstAddr, "icmpv4.hdr": bufICMPv4Header, "icmpv6.hdr": bufICMPv6Header,
}

func addBuffers(m map[string]keyword) {
	for name, f := range stickyBuffers {
		buf := buffer{name: f.String(), field: f}
		m[name] = keyword{parse: func(b *builder, _ string) error { return b.useBuffer(buf) }, value: none}
	}
	// The response body is the file that a response carries.
	m["http.response_body"] = keyword{parse: func(b *builder, _ string) error {
		b.responseBody()
		return b.useBuffer(buffer{name: "file.data", field: app.FileData})
	}, value: none}
	for name, f := range legacyModifiers {
		buf := buffer{name: f.String(), field: f}
		m[name] = keyword{parse: func(b *builder, _ string) error { return b.moveContent(buf) }, value: none}
	}
	for name, sp := range headerBuffers {
		buf := buffer{name: name, special: sp}
		m[name] = keyword{parse: func(b *builder, _ string) error { return b.useBuffer(buf) }, value: none}
	}
	m["http_server_body"] = keyword{parse: func(b *builder, _ string) error {
		b.responseBody()
		return b.moveContent(buffer{name: "file.data", field: app.FileData})
	}, value: none}
	m["file.magic"] = keyword{parse: func(b *builder, _ string) error {
		return b.useBuffer(buffer{name: "file.magic", field: app.FileName})
	}, value: none}
	m["pkt_data"] = keyword{parse: kwPktData, value: none}
	for name, k := range numberKeywords {
		m[name] = keyword{parse: func(b *builder, v string) error { return b.fieldNumber(k, v) }, value: needs}
	}
}

// responseBody limits the rule to what HTTP servers send.
func (b *builder) responseBody() {
	b.appConds = append(b.appConds, condList{dirs: app.DirTC, protos: app.ProtoSetOf(app.HTTP1, app.HTTP2)})
}

// kwPktData goes back from a sticky buffer to the payload.
func kwPktData(b *builder, _ string) error {
	if err := b.unused(); err != nil {
		return err
	}
	b.active = payloadBuffer
	b.sticky, b.fresh, b.b64, b.last = false, false, nil, nil
	return nil
}

// numberKeyword is a keyword that compares a numeric field.
type numberKeyword struct {
	field app.Field
	bits  int
	words map[string]uint64
}

var numberKeywords = map[string]numberKeyword{
	"dns.opcode":                      {app.DNSOpcode, 8, nil},
	"dns.rcode":                       {app.DNSRcode, 8, nil},
	"dns.rrtype":                      {app.DNSRRType, 16, nil},
	"tls.cert_chain_len":              {app.TLSCertChainLen, 32, nil},
	"snmp.version":                    {app.SNMPVersion, 32, nil},
	"snmp.pdu_type":                   {app.SNMPPDUType, 32, nil},
	"ntp.version":                     {app.NTPVersion, 8, nil},
	"ntp.mode":                        {app.NTPMode, 8, nil},
	"ntp.stratum":                     {app.NTPStratum, 8, nil},
	"dhcp.leasetime":                  {app.DHCPLeaseTime, 64, nil},
	"dhcp.rebinding_time":             {app.DHCPRebindingTime, 64, nil},
	"dhcp.renewal_time":               {app.DHCPRenewalTime, 64, nil},
	"rfb.sectype":                     {app.RFBSecType, 32, nil},
	"rfb.secresult":                   {app.RFBSecResult, 32, map[string]uint64{"ok": 0, "fail": 1, "toomany": 2}},
	"ike.exchtype":                    {app.IKEExchType, 8, nil},
	"ike.nonce_payload_length":        {app.IKENoncePayloadLength, 32, nil},
	"ike.key_exchange_payload_length": {app.IKEKeyExchangePayloadLength, 32, nil},
	"mqtt.protocol_version":           {app.MQTTProtocolVersion, 8, nil},
	"http2.priority":                  {app.HTTP2Priority, 8, nil},
	"http2.window":                    {app.HTTP2Window, 32, nil},
	"http2.size_update":               {app.HTTP2SizeUpdate, 64, nil},
	"nfs.version":                     {app.NFSVersion, 32, nil},
	"nfs_procedure":                   {app.NFSProcedure, 32, nil},
	"websocket.mask":                  {app.WebSocketMask, 32, nil},
	"websocket.opcode":                {app.WebSocketOpcode, 8, map[string]uint64{"continuation": 0, "text": 1, "binary": 2, "close": 8, "connection_close": 8, "ping": 9, "pong": 10}},
	"krb5_msg_type":                   {app.KRB5MsgType, 8, nil},
	"krb5_err_code":                   {app.KRB5ErrCode, 32, nil},
	"enip_command":                    {app.ENIPCommand, 16, nil},
	"ftp.dynamic_port":                {app.FTPDynamicPort, 16, nil},
	"smb.version":                     {app.SMBVersion, 8, nil},
	"dnp3_func":                       {app.DNP3Func, 8, dnp3Functions},
}

var dnp3Functions = map[string]uint64{
	"confirm": 0, "read": 1, "write": 2, "select": 3, "operate": 4, "direct_operate": 5, "direct_operate_nr": 6,
	"immed_freeze": 7, "immed_freeze_nr": 8, "freeze_clear": 9, "freeze_clear_nr": 10, "freeze_at_time": 11,
	"freeze_at_time_nr": 12, "cold_restart": 13, "warm_restart": 14, "initialize_data": 15, "initialize_appl": 16,
	"start_appl": 17, "stop_appl": 18, "save_config": 19, "enable_unsolicited": 20, "disable_unsolicited": 21,
	"assign_class": 22, "delay_measure": 23, "record_current_time": 24, "open_file": 25, "close_file": 26,
	"delete_file": 27, "get_file_info": 28, "authenticate_file": 29, "abort_file": 30, "activate_config": 31,
	"authenticate_req": 32, "authenticate_err": 33, "response": 129, "unsolicited_response": 130, "authenticate_resp": 131,
}

func (b *builder) fieldNumber(k numberKeyword, v string) error {
	c := txCond{op: txNumber, field: k.field}
	if lo, hi, ok := cutRange(v); ok && (k.field == app.NFSVersion || k.field == app.NFSProcedure) {
		// These ranges include their ends.
		from, ok1 := parseUnit(lo, k.bits)
		to, ok2 := parseUnit(hi, k.bits)
		if !ok1 || !ok2 || from == 0 || from >= to {
			return b.fail(0, "not a range: "+strconv.Quote(v), "write 3-4")
		}
		c.num = numRange{op: numWithin, a: from, b: to}
	} else if n, ok := k.words[v]; ok {
		c.num = numRange{op: numEQ, a: n}
	} else {
		r, bad := parseRange(v, k.bits)
		if bad != "" {
			return b.fail(0, bad, "")
		}
		c.num = r
	}
	b.fieldCond(c)
	return nil
}

// fieldInfo is where and when a field is looked at. The parsers say where it
// occurs; Suricata's keywords look at some of them in one direction only.
func fieldInfo(f app.Field) app.FieldInfo {
	in := f.Info()
	switch f {
	case app.NFSVersion, app.NFSProcedure:
		in.Dirs = app.DirTS
	case app.KRB5CName, app.KRB5SName:
		in.Dirs = app.DirTC
	case app.IKEInitSPI, app.IKEVendor:
		in.Dirs = app.DirTS
	case app.IKERespSPI, app.IKEChosenSAAttribute:
		in.Dirs = app.DirTC
	}
	if in.Protos == app.ProtoSetOf(app.MQTT) {
		in.Dirs, in.Stage = app.DirTS, app.StageComplete
	}
	return in
}

// fieldCond adds a condition on a field.
func (b *builder) fieldCond(c txCond) {
	in := fieldInfo(c.field)
	b.appConds = append(b.appConds, condList{conds: []txCond{c}, stage: in.Stage, dirs: in.Dirs, protos: in.Protos})
}
