package app

// Field is a named part of a transaction, as rules name it.
type Field uint8

// The fields. Comments give names as in the rule language only where they
// need explaining; the table below has them all.
const (
	NoField Field = iota
	HTTPURI
	HTTPURIRaw
	HTTPMethod
	HTTPProtocol
	HTTPRequestLine
	HTTPHost
	HTTPHostRaw
	HTTPHeader
	HTTPHeaderRaw
	HTTPHeaderNames
	HTTPStart
	HTTPRequestHeader  // each "name: value"
	HTTPResponseHeader // each "name: value"
	HTTPCookie
	HTTPUserAgent
	HTTPAccept
	HTTPAcceptEnc
	HTTPAcceptLang
	HTTPReferer
	HTTPContentType
	HTTPContentLen
	HTTPConnection
	HTTPServer
	HTTPLocation
	HTTPStatCode
	HTTPStatMsg
	HTTPResponseLine
	HTTPRequestBody
	HTTPResponseBody
	HTTP2FrameType
	HTTP2ErrorCode
	HTTP2Priority
	HTTP2Window
	HTTP2SizeUpdate
	HTTP2Settings // identifier<<32 | value
	HTTP2HeaderName
	FileData // one body a file; for the response of HTTP1 the response body
	FileName
	DNSQuery
	DNSQueriesRRName
	DNSAnswersRRName
	DNSAuthoritiesRRName
	DNSAdditionalsRRName
	DNSResponseRRName
	DNSOpcode
	DNSRcode
	DNSRRType
	TLSSNI
	TLSALPN
	TLSVersion // wire value, 0x0303 = TLS 1.2
	TLSRandom
	TLSRandomTime
	TLSRandomBytes
	TLSCertSubject
	TLSCertIssuer
	TLSCertSerial
	TLSCertFingerprint
	TLSSubjectAltName
	TLSCerts // DER, leaf first
	TLSCertChainLen
	TLSHandshakeState // TLSState
	TLSCertNotBefore  // seconds since 1970
	TLSCertNotAfter   // seconds since 1970
	JA3Hash
	JA3String
	JA3SHash
	JA3SString
	JA4Hash
	QUICVersion
	QUICSNI
	QUICUA
	QUICCyuHash
	QUICCyuString
	SSHProto
	SSHSoftware
	SSHHassh
	SSHHasshString
	SSHHasshServer
	SSHHasshServerString
	SMTPHelo
	SMTPMailFrom
	SMTPRcptTo
	EmailFrom
	EmailTo
	EmailCC
	EmailSubject
	EmailDate
	EmailMessageID
	EmailXMailer
	EmailBodyMD5
	EmailURL
	EmailReceived
	FTPCommand
	FTPCommandData
	FTPReply
	FTPCompletionCode
	FTPReplyReceived // 0 or 1
	FTPDynamicPort
	FTPMode        // 0 active, 1 passive
	FTPDataCommand // 1 STOR, 2 RETR
	SMBNamedPipe
	SMBShare
	SMBNTLMSSPUser
	SMBNTLMSSPDomain
	SMBVersion
	DCERPCIface // 16 bytes UUID (as text order), 2 bytes major version, big endian
	DCERPCOpnum
	DCERPCStubData
	SNMPUSM
	SNMPCommunity
	SNMPVersion
	SNMPPDUType
	NTPVersion
	NTPMode
	NTPStratum
	NTPReferenceID
	DHCPLeaseTime
	DHCPRebindingTime
	DHCPRenewalTime
	MQTTType
	MQTTFlags
	MQTTQoS
	MQTTProtocolVersion
	MQTTReasonCode
	MQTTConnectFlags
	MQTTConnectClientID
	MQTTConnectUsername
	MQTTConnectPassword
	MQTTConnectWillTopic
	MQTTConnectWillMessage
	MQTTConnectProtocolString
	MQTTConnackSessionPresent
	MQTTPublishTopic
	MQTTPublishMessage
	MQTTSubscribeTopic
	MQTTUnsubscribeTopic
	KRB5CName
	KRB5SName
	KRB5MsgType
	KRB5ErrCode
	KRB5TicketEncryption
	SIPMethod
	SIPURI
	SIPRequestLine
	SIPProtocol
	SIPStatCode
	SIPStatMsg
	SIPResponseLine
	SIPFrom
	SIPTo
	SIPVia
	SIPUserAgent
	SIPContentType
	SIPContentLength
	RFBName
	RFBSecType
	RFBSecResult
	IKEExchType
	IKEInitSPI
	IKERespSPI
	IKEVendor
	IKENoncePayload
	IKEKeyExchangePayload
	IKENoncePayloadLength
	IKEKeyExchangePayloadLength
	IKEChosenSAAttribute // attribute type<<32 | value
	NFSProcedure
	NFSVersion
	ModbusFunction
	ModbusUnit
	DNP3Func
	DNP3Ind
	DNP3Obj // group<<8 | variation
	DNP3Data
	ENIPCommand
	CIPService
	WebSocketPayload
	WebSocketOpcode
	WebSocketFlags
	WebSocketMask
	FrameData // of a Frame
	NField    // number of fields
)

// Kind is what a field holds.
type Kind uint8

const (
	KindText   Kind = iota // Tx.Bytes
	KindNumber             // Tx.Number
	KindBody               // Tx.Body; grows while the transaction goes on
)

// DirSet is a set of directions: bit 0 ToServer, bit 1 ToClient.
type DirSet uint8

// Sets of directions.
const (
	DirTS   DirSet = 1 << ToServer
	DirTC   DirSet = 1 << ToClient
	DirBoth        = DirTS | DirTC
)

// Has says whether d is in the set.
func (s DirSet) Has(d Dir) bool { return s>>d&1 != 0 }

// FieldInfo describes a field.
type FieldInfo struct {
	Name   string   // as in the rule language
	Protos ProtoSet // protocols whose transactions have it
	Dirs   DirSet   // directions in which it occurs
	Stage  uint8    // final as soon as its direction has reached this stage
	Kind   Kind
	Multi  bool // may have more than one value: ask for i = 0, 1, … until false
}

// Info describes the field.
func (f Field) Info() FieldInfo {
	if f < NField {
		return fields[f]
	}
	return FieldInfo{}
}

// String is the name as in the rule language.
func (f Field) String() string { return f.Info().Name }

// FieldByName is the field with a name of the rule language, in its modern
// spelling ("http.uri"); false if there is none.
func FieldByName(s string) (Field, bool) {
	for f := NoField + 1; f < NField; f++ {
		if fields[f].Name == s {
			return f, true
		}
	}
	return NoField, false
}

var fields = [NField]FieldInfo{
	HTTPURI:                     {"http.uri", 1<<HTTP1 | 1<<HTTP2, DirTS, StageLine, KindText, false},
	HTTPURIRaw:                  {"http.uri.raw", 1<<HTTP1 | 1<<HTTP2, DirTS, StageLine, KindText, false},
	HTTPMethod:                  {"http.method", 1<<HTTP1 | 1<<HTTP2, DirTS, StageLine, KindText, false},
	HTTPProtocol:                {"http.protocol", 1<<HTTP1 | 1<<HTTP2, DirBoth, StageLine, KindText, false},
	HTTPRequestLine:             {"http.request_line", 1<<HTTP1 | 1<<HTTP2, DirTS, StageLine, KindText, false},
	HTTPHost:                    {"http.host", 1<<HTTP1 | 1<<HTTP2, DirTS, StageHeaders, KindText, false},
	HTTPHostRaw:                 {"http.host.raw", 1<<HTTP1 | 1<<HTTP2, DirTS, StageHeaders, KindText, false},
	HTTPHeader:                  {"http.header", 1<<HTTP1 | 1<<HTTP2, DirBoth, StageHeaders, KindText, false},
	HTTPHeaderRaw:               {"http.header.raw", 1<<HTTP1 | 1<<HTTP2, DirBoth, StageHeaders, KindText, false},
	HTTPHeaderNames:             {"http.header_names", 1<<HTTP1 | 1<<HTTP2, DirBoth, StageHeaders, KindText, false},
	HTTPStart:                   {"http.start", 1<<HTTP1 | 1<<HTTP2, DirBoth, StageHeaders, KindText, false},
	HTTPRequestHeader:           {"http.request_header", 1<<HTTP1 | 1<<HTTP2, DirTS, StageHeaders, KindText, true},
	HTTPResponseHeader:          {"http.response_header", 1<<HTTP1 | 1<<HTTP2, DirTC, StageHeaders, KindText, true},
	HTTPCookie:                  {"http.cookie", 1<<HTTP1 | 1<<HTTP2, DirBoth, StageHeaders, KindText, false},
	HTTPUserAgent:               {"http.user_agent", 1<<HTTP1 | 1<<HTTP2, DirTS, StageHeaders, KindText, false},
	HTTPAccept:                  {"http.accept", 1<<HTTP1 | 1<<HTTP2, DirTS, StageHeaders, KindText, false},
	HTTPAcceptEnc:               {"http.accept_enc", 1<<HTTP1 | 1<<HTTP2, DirTS, StageHeaders, KindText, false},
	HTTPAcceptLang:              {"http.accept_lang", 1<<HTTP1 | 1<<HTTP2, DirTS, StageHeaders, KindText, false},
	HTTPReferer:                 {"http.referer", 1<<HTTP1 | 1<<HTTP2, DirTS, StageHeaders, KindText, false},
	HTTPContentType:             {"http.content_type", 1<<HTTP1 | 1<<HTTP2, DirBoth, StageHeaders, KindText, false},
	HTTPContentLen:              {"http.content_len", 1<<HTTP1 | 1<<HTTP2, DirBoth, StageHeaders, KindText, false},
	HTTPConnection:              {"http.connection", 1<<HTTP1 | 1<<HTTP2, DirBoth, StageHeaders, KindText, false},
	HTTPServer:                  {"http.server", 1<<HTTP1 | 1<<HTTP2, DirTC, StageHeaders, KindText, false},
	HTTPLocation:                {"http.location", 1<<HTTP1 | 1<<HTTP2, DirTC, StageHeaders, KindText, false},
	HTTPStatCode:                {"http.stat_code", 1<<HTTP1 | 1<<HTTP2, DirTC, StageLine, KindText, false},
	HTTPStatMsg:                 {"http.stat_msg", 1<<HTTP1 | 1<<HTTP2, DirTC, StageLine, KindText, false},
	HTTPResponseLine:            {"http.response_line", 1<<HTTP1 | 1<<HTTP2, DirTC, StageLine, KindText, false},
	HTTPRequestBody:             {"http.request_body", 1<<HTTP1 | 1<<HTTP2, DirTS, StageBody, KindBody, false},
	HTTPResponseBody:            {"http.response_body", 1<<HTTP1 | 1<<HTTP2, DirTC, StageBody, KindBody, false},
	HTTP2FrameType:              {"http2.frametype", 1 << HTTP2, DirBoth, StageStarted, KindNumber, true},
	HTTP2ErrorCode:              {"http2.errorcode", 1 << HTTP2, DirBoth, StageStarted, KindNumber, true},
	HTTP2Priority:               {"http2.priority", 1 << HTTP2, DirBoth, StageStarted, KindNumber, true},
	HTTP2Window:                 {"http2.window", 1 << HTTP2, DirBoth, StageStarted, KindNumber, true},
	HTTP2SizeUpdate:             {"http2.size_update", 1 << HTTP2, DirBoth, StageStarted, KindNumber, true},
	HTTP2Settings:               {"http2.settings", 1 << HTTP2, DirBoth, StageStarted, KindNumber, true},
	HTTP2HeaderName:             {"http2.header_name", 1 << HTTP2, DirBoth, StageStarted, KindText, true},
	FileData:                    {"file.data", 1<<HTTP1 | 1<<HTTP2 | 1<<SMTP | 1<<FTPData | 1<<SMB | 1<<NFS, DirBoth, StageBody, KindBody, true},
	FileName:                    {"file.name", 1<<HTTP1 | 1<<HTTP2 | 1<<SMTP | 1<<FTPData | 1<<SMB | 1<<NFS, DirBoth, StageBody, KindText, true},
	DNSQuery:                    {"dns.query", 1<<DNS | 1<<DOH2, DirTS, StageStarted, KindText, true},
	DNSQueriesRRName:            {"dns.queries.rrname", 1<<DNS | 1<<DOH2, DirBoth, StageStarted, KindText, true},
	DNSAnswersRRName:            {"dns.answers.rrname", 1<<DNS | 1<<DOH2, DirBoth, StageStarted, KindText, true},
	DNSAuthoritiesRRName:        {"dns.authorities.rrname", 1<<DNS | 1<<DOH2, DirBoth, StageStarted, KindText, true},
	DNSAdditionalsRRName:        {"dns.additionals.rrname", 1<<DNS | 1<<DOH2, DirBoth, StageStarted, KindText, true},
	DNSResponseRRName:           {"dns.response.rrname", 1<<DNS | 1<<DOH2, DirTC, StageStarted, KindText, true},
	DNSOpcode:                   {"dns.opcode", 1<<DNS | 1<<DOH2, DirBoth, StageStarted, KindNumber, false},
	DNSRcode:                    {"dns.rcode", 1<<DNS | 1<<DOH2, DirBoth, StageStarted, KindNumber, false},
	DNSRRType:                   {"dns.rrtype", 1<<DNS | 1<<DOH2, DirBoth, StageStarted, KindNumber, true},
	TLSSNI:                      {"tls.sni", 1 << TLS, DirTS, StageStarted, KindText, false},
	TLSALPN:                     {"tls.alpn", 1 << TLS, DirBoth, StageStarted, KindText, true},
	TLSVersion:                  {"tls.version", 1 << TLS, DirBoth, StageStarted, KindNumber, false},
	TLSRandom:                   {"tls.random", 1 << TLS, DirBoth, StageStarted, KindText, false},
	TLSRandomTime:               {"tls.random_time", 1 << TLS, DirBoth, StageStarted, KindText, false},
	TLSRandomBytes:              {"tls.random_bytes", 1 << TLS, DirBoth, StageStarted, KindText, false},
	TLSCertSubject:              {"tls.cert_subject", 1 << TLS, DirBoth, StageBody, KindText, false},
	TLSCertIssuer:               {"tls.cert_issuer", 1 << TLS, DirBoth, StageBody, KindText, false},
	TLSCertSerial:               {"tls.cert_serial", 1 << TLS, DirBoth, StageBody, KindText, false},
	TLSCertFingerprint:          {"tls.cert_fingerprint", 1 << TLS, DirBoth, StageBody, KindText, false},
	TLSSubjectAltName:           {"tls.subjectaltname", 1 << TLS, DirBoth, StageBody, KindText, true},
	TLSCerts:                    {"tls.certs", 1 << TLS, DirBoth, StageBody, KindText, true},
	TLSCertChainLen:             {"tls.cert_chain_len", 1 << TLS, DirTC, StageBody, KindNumber, false},
	TLSHandshakeState:           {"ssl_state", 1 << TLS, DirBoth, StageStarted, KindNumber, false},
	TLSCertNotBefore:            {"tls_cert_notbefore", 1 << TLS, DirBoth, StageBody, KindNumber, false},
	TLSCertNotAfter:             {"tls_cert_notafter", 1 << TLS, DirBoth, StageBody, KindNumber, false},
	JA3Hash:                     {"ja3.hash", 1<<TLS | 1<<QUIC, DirTS, StageStarted, KindText, false},
	JA3String:                   {"ja3.string", 1<<TLS | 1<<QUIC, DirTS, StageStarted, KindText, false},
	JA3SHash:                    {"ja3s.hash", 1<<TLS | 1<<QUIC, DirTC, StageStarted, KindText, false},
	JA3SString:                  {"ja3s.string", 1<<TLS | 1<<QUIC, DirTC, StageStarted, KindText, false},
	JA4Hash:                     {"ja4.hash", 1<<TLS | 1<<QUIC, DirTS, StageStarted, KindText, false},
	QUICVersion:                 {"quic.version", 1 << QUIC, DirBoth, StageStarted, KindText, false},
	QUICSNI:                     {"quic.sni", 1 << QUIC, DirBoth, StageStarted, KindText, false},
	QUICUA:                      {"quic.ua", 1 << QUIC, DirBoth, StageStarted, KindText, false},
	QUICCyuHash:                 {"quic.cyu.hash", 1 << QUIC, DirTS, StageStarted, KindText, true},
	QUICCyuString:               {"quic.cyu.string", 1 << QUIC, DirTS, StageStarted, KindText, true},
	SSHProto:                    {"ssh.proto", 1 << SSH, DirBoth, StageLine, KindText, false},
	SSHSoftware:                 {"ssh.software", 1 << SSH, DirBoth, StageLine, KindText, false},
	SSHHassh:                    {"ssh.hassh", 1 << SSH, DirTS, StageHeaders, KindText, false},
	SSHHasshString:              {"ssh.hassh.string", 1 << SSH, DirTS, StageHeaders, KindText, false},
	SSHHasshServer:              {"ssh.hassh.server", 1 << SSH, DirTC, StageHeaders, KindText, false},
	SSHHasshServerString:        {"ssh.hassh.server.string", 1 << SSH, DirTC, StageHeaders, KindText, false},
	SMTPHelo:                    {"smtp.helo", 1 << SMTP, DirTS, StageStarted, KindText, false},
	SMTPMailFrom:                {"smtp.mail_from", 1 << SMTP, DirTS, StageStarted, KindText, false},
	SMTPRcptTo:                  {"smtp.rcpt_to", 1 << SMTP, DirTS, StageStarted, KindText, true},
	EmailFrom:                   {"email.from", 1 << SMTP, DirTS, StageHeaders, KindText, false},
	EmailTo:                     {"email.to", 1 << SMTP, DirTS, StageHeaders, KindText, false},
	EmailCC:                     {"email.cc", 1 << SMTP, DirTS, StageHeaders, KindText, false},
	EmailSubject:                {"email.subject", 1 << SMTP, DirTS, StageHeaders, KindText, false},
	EmailDate:                   {"email.date", 1 << SMTP, DirTS, StageHeaders, KindText, false},
	EmailMessageID:              {"email.message_id", 1 << SMTP, DirTS, StageHeaders, KindText, false},
	EmailXMailer:                {"email.x_mailer", 1 << SMTP, DirTS, StageHeaders, KindText, false},
	EmailBodyMD5:                {"email.body_md5", 1 << SMTP, DirTS, StageHeaders, KindText, false},
	EmailURL:                    {"email.url", 1 << SMTP, DirTS, StageHeaders, KindText, true},
	EmailReceived:               {"email.received", 1 << SMTP, DirTS, StageHeaders, KindText, true},
	FTPCommand:                  {"ftp.command", 1 << FTP, DirTS, StageStarted, KindText, false},
	FTPCommandData:              {"ftp.command_data", 1 << FTP, DirTS, StageStarted, KindText, false},
	FTPReply:                    {"ftp.reply", 1 << FTP, DirTC, StageStarted, KindText, true},
	FTPCompletionCode:           {"ftp.completion_code", 1 << FTP, DirTC, StageStarted, KindText, true},
	FTPReplyReceived:            {"ftp.reply_received", 1 << FTP, DirTC, StageStarted, KindNumber, false},
	FTPDynamicPort:              {"ftp.dynamic_port", 1 << FTP, DirBoth, StageStarted, KindNumber, false},
	FTPMode:                     {"ftp.mode", 1 << FTP, DirBoth, StageStarted, KindNumber, false},
	FTPDataCommand:              {"ftpdata_command", 1 << FTPData, DirBoth, StageStarted, KindNumber, false},
	SMBNamedPipe:                {"smb.named_pipe", 1 << SMB, DirTS, StageStarted, KindText, false},
	SMBShare:                    {"smb.share", 1 << SMB, DirTS, StageStarted, KindText, false},
	SMBNTLMSSPUser:              {"smb.ntlmssp_user", 1 << SMB, DirTS, StageStarted, KindText, false},
	SMBNTLMSSPDomain:            {"smb.ntlmssp_domain", 1 << SMB, DirTS, StageStarted, KindText, false},
	SMBVersion:                  {"smb.version", 1 << SMB, DirBoth, StageStarted, KindNumber, false},
	DCERPCIface:                 {"dcerpc.iface", 1<<DCERPC | 1<<SMB, DirBoth, StageStarted, KindText, true},
	DCERPCOpnum:                 {"dcerpc.opnum", 1<<DCERPC | 1<<SMB, DirBoth, StageStarted, KindNumber, false},
	DCERPCStubData:              {"dcerpc.stub_data", 1<<DCERPC | 1<<SMB, DirBoth, StageStarted, KindText, false},
	SNMPUSM:                     {"snmp.usm", 1 << SNMP, DirBoth, StageStarted, KindText, false},
	SNMPCommunity:               {"snmp.community", 1 << SNMP, DirBoth, StageStarted, KindText, false},
	SNMPVersion:                 {"snmp.version", 1 << SNMP, DirBoth, StageStarted, KindNumber, false},
	SNMPPDUType:                 {"snmp.pdu_type", 1 << SNMP, DirBoth, StageStarted, KindNumber, false},
	NTPVersion:                  {"ntp.version", 1 << NTP, DirBoth, StageStarted, KindNumber, false},
	NTPMode:                     {"ntp.mode", 1 << NTP, DirBoth, StageStarted, KindNumber, false},
	NTPStratum:                  {"ntp.stratum", 1 << NTP, DirBoth, StageStarted, KindNumber, false},
	NTPReferenceID:              {"ntp.reference_id", 1 << NTP, DirBoth, StageStarted, KindText, false},
	DHCPLeaseTime:               {"dhcp.leasetime", 1 << DHCP, DirBoth, StageStarted, KindNumber, false},
	DHCPRebindingTime:           {"dhcp.rebinding_time", 1 << DHCP, DirBoth, StageStarted, KindNumber, false},
	DHCPRenewalTime:             {"dhcp.renewal_time", 1 << DHCP, DirBoth, StageStarted, KindNumber, false},
	MQTTType:                    {"mqtt.type", 1 << MQTT, DirBoth, StageStarted, KindNumber, true},
	MQTTFlags:                   {"mqtt.flags", 1 << MQTT, DirBoth, StageStarted, KindNumber, true},
	MQTTQoS:                     {"mqtt.qos", 1 << MQTT, DirBoth, StageStarted, KindNumber, true},
	MQTTProtocolVersion:         {"mqtt.protocol_version", 1 << MQTT, DirBoth, StageStarted, KindNumber, false},
	MQTTReasonCode:              {"mqtt.reason_code", 1 << MQTT, DirBoth, StageStarted, KindNumber, true},
	MQTTConnectFlags:            {"mqtt.connect.flags", 1 << MQTT, DirBoth, StageStarted, KindNumber, false},
	MQTTConnectClientID:         {"mqtt.connect.clientid", 1 << MQTT, DirBoth, StageStarted, KindText, false},
	MQTTConnectUsername:         {"mqtt.connect.username", 1 << MQTT, DirBoth, StageStarted, KindText, false},
	MQTTConnectPassword:         {"mqtt.connect.password", 1 << MQTT, DirBoth, StageStarted, KindText, false},
	MQTTConnectWillTopic:        {"mqtt.connect.willtopic", 1 << MQTT, DirBoth, StageStarted, KindText, false},
	MQTTConnectWillMessage:      {"mqtt.connect.willmessage", 1 << MQTT, DirBoth, StageStarted, KindText, false},
	MQTTConnectProtocolString:   {"mqtt.connect.protocol_string", 1 << MQTT, DirBoth, StageStarted, KindText, false},
	MQTTConnackSessionPresent:   {"mqtt.connack.session_present", 1 << MQTT, DirBoth, StageStarted, KindNumber, false},
	MQTTPublishTopic:            {"mqtt.publish.topic", 1 << MQTT, DirBoth, StageStarted, KindText, false},
	MQTTPublishMessage:          {"mqtt.publish.message", 1 << MQTT, DirBoth, StageStarted, KindText, false},
	MQTTSubscribeTopic:          {"mqtt.subscribe.topic", 1 << MQTT, DirBoth, StageStarted, KindText, true},
	MQTTUnsubscribeTopic:        {"mqtt.unsubscribe.topic", 1 << MQTT, DirBoth, StageStarted, KindText, true},
	KRB5CName:                   {"krb5.cname", 1 << KRB5, DirBoth, StageStarted, KindText, true},
	KRB5SName:                   {"krb5.sname", 1 << KRB5, DirBoth, StageStarted, KindText, true},
	KRB5MsgType:                 {"krb5_msg_type", 1 << KRB5, DirBoth, StageStarted, KindNumber, false},
	KRB5ErrCode:                 {"krb5_err_code", 1 << KRB5, DirTC, StageStarted, KindNumber, false},
	KRB5TicketEncryption:        {"krb5.ticket_encryption", 1 << KRB5, DirBoth, StageStarted, KindNumber, false},
	SIPMethod:                   {"sip.method", 1 << SIP, DirTS, StageLine, KindText, false},
	SIPURI:                      {"sip.uri", 1 << SIP, DirTS, StageLine, KindText, false},
	SIPRequestLine:              {"sip.request_line", 1 << SIP, DirTS, StageLine, KindText, false},
	SIPProtocol:                 {"sip.protocol", 1 << SIP, DirBoth, StageLine, KindText, false},
	SIPStatCode:                 {"sip.stat_code", 1 << SIP, DirTC, StageLine, KindText, false},
	SIPStatMsg:                  {"sip.stat_msg", 1 << SIP, DirTC, StageLine, KindText, false},
	SIPResponseLine:             {"sip.response_line", 1 << SIP, DirTC, StageLine, KindText, false},
	SIPFrom:                     {"sip.from", 1 << SIP, DirBoth, StageHeaders, KindText, true},
	SIPTo:                       {"sip.to", 1 << SIP, DirBoth, StageHeaders, KindText, true},
	SIPVia:                      {"sip.via", 1 << SIP, DirBoth, StageHeaders, KindText, true},
	SIPUserAgent:                {"sip.user_agent", 1 << SIP, DirBoth, StageHeaders, KindText, true},
	SIPContentType:              {"sip.content_type", 1 << SIP, DirBoth, StageHeaders, KindText, true},
	SIPContentLength:            {"sip.content_length", 1 << SIP, DirBoth, StageHeaders, KindText, true},
	RFBName:                     {"rfb.name", 1 << RFB, DirBoth, StageStarted, KindText, false},
	RFBSecType:                  {"rfb.sectype", 1 << RFB, DirBoth, StageStarted, KindNumber, false},
	RFBSecResult:                {"rfb.secresult", 1 << RFB, DirBoth, StageStarted, KindNumber, false},
	IKEExchType:                 {"ike.exchtype", 1 << IKE, DirBoth, StageStarted, KindNumber, false},
	IKEInitSPI:                  {"ike.init_spi", 1 << IKE, DirBoth, StageStarted, KindText, false},
	IKERespSPI:                  {"ike.resp_spi", 1 << IKE, DirBoth, StageStarted, KindText, false},
	IKEVendor:                   {"ike.vendor", 1 << IKE, DirBoth, StageStarted, KindText, true},
	IKENoncePayload:             {"ike.nonce_payload", 1 << IKE, DirBoth, StageStarted, KindText, false},
	IKEKeyExchangePayload:       {"ike.key_exchange_payload", 1 << IKE, DirBoth, StageStarted, KindText, false},
	IKENoncePayloadLength:       {"ike.nonce_payload_length", 1 << IKE, DirBoth, StageStarted, KindNumber, false},
	IKEKeyExchangePayloadLength: {"ike.key_exchange_payload_length", 1 << IKE, DirBoth, StageStarted, KindNumber, false},
	IKEChosenSAAttribute:        {"ike.chosen_sa_attribute", 1 << IKE, DirBoth, StageStarted, KindNumber, true},
	NFSProcedure:                {"nfs_procedure", 1 << NFS, DirBoth, StageStarted, KindNumber, true},
	NFSVersion:                  {"nfs.version", 1 << NFS, DirBoth, StageStarted, KindNumber, false},
	ModbusFunction:              {"modbus.function", 1 << MODBUS, DirBoth, StageStarted, KindNumber, false},
	ModbusUnit:                  {"modbus.unit", 1 << MODBUS, DirBoth, StageStarted, KindNumber, false},
	DNP3Func:                    {"dnp3_func", 1 << DNP3, DirBoth, StageStarted, KindNumber, false},
	DNP3Ind:                     {"dnp3_ind", 1 << DNP3, DirTC, StageStarted, KindNumber, false},
	DNP3Obj:                     {"dnp3_obj", 1 << DNP3, DirBoth, StageStarted, KindNumber, true},
	DNP3Data:                    {"dnp3.data", 1 << DNP3, DirBoth, StageStarted, KindText, false},
	ENIPCommand:                 {"enip_command", 1 << ENIP, DirBoth, StageStarted, KindNumber, false},
	CIPService:                  {"cip_service", 1 << ENIP, DirBoth, StageStarted, KindNumber, true},
	WebSocketPayload:            {"websocket.payload", 1 << WebSocket, DirBoth, StageStarted, KindText, false},
	WebSocketOpcode:             {"websocket.opcode", 1 << WebSocket, DirBoth, StageStarted, KindNumber, false},
	WebSocketFlags:              {"websocket.flags", 1 << WebSocket, DirBoth, StageStarted, KindNumber, false},
	WebSocketMask:               {"websocket.mask", 1 << WebSocket, DirBoth, StageStarted, KindNumber, false},
	FrameData:                   {"frame", 0, DirBoth, StageStarted, KindText, false},
}
