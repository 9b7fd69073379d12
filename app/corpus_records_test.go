package app

import (
	"fmt"
	"sort"
	"strings"
	"testing"
)

func list(r eveRecord, path ...string) []string {
	var v any = map[string]any(r)
	for _, p := range path {
		m, _ := v.(map[string]any)
		v = m[p]
	}
	l, _ := v.([]any)
	var out []string
	for _, x := range l {
		out = append(out, fmt.Sprint(x))
	}
	return out
}

func texts(b [][]byte) []string {
	var out []string
	for _, x := range b {
		out = append(out, string(x))
	}
	return out
}

// each returns all values of a field that goes to the server.
func each(t Tx, f Field) (out []string) {
	for i := 0; ; i++ {
		v, ok := t.Bytes(f, ToServer, i)
		if !ok {
			return out
		}
		out = append(out, string(v))
	}
}

func TestJudgeSSH(t *testing.T) {
	judgeRecords(t, SSH, "ssh", func(tx Tx) []string {
		m := tx.(*SSHTx)
		c, s := m.Side[0], m.Side[1]
		return []string{fmt.Sprintf("%s %s %s %s / %s %s %s %s", c.Proto, c.Software, c.Hassh, c.HasshString, s.Proto, s.Software, s.Hassh, s.HasshString)}
	}, func(r eveRecord) []string {
		side := func(d string) string {
			return r.str("ssh", d, "proto_version") + " " + r.str("ssh", d, "software_version") + " " + r.str("ssh", d, "hassh", "hash") + " " + r.str("ssh", d, "hassh", "string")
		}
		return []string{side("client") + " / " + side("server")}
	})
}

func TestJudgeSMTP(t *testing.T) {
	judgeRecords(t, SMTP, "smtp", func(tx Tx) []string {
		m := tx.(*SMTPTx)
		var names []string
		for _, f := range m.Files {
			names = append(names, string(f.Name))
		}
		return []string{fmt.Sprintf("%s %s %v from=%s to=%v cc=%v urls=%v files=%v", m.Helo, m.MailFrom, texts(m.RcptTo),
			m.Header("from"), each(m, EmailTo), each(m, EmailCC), each(m, EmailURL), names)}
	}, func(r eveRecord) []string {
		return []string{fmt.Sprintf("%s %s %v from=%s to=%v cc=%v urls=%v files=%v", r.str("smtp", "helo"), r.str("smtp", "mail_from"),
			list(r, "smtp", "rcpt_to"), r.str("email", "from"), list(r, "email", "to"), list(r, "email", "cc"), list(r, "email", "url"), list(r, "email", "attachment"))}
	})
}

func TestJudgeFTP(t *testing.T) {
	judgeRecords(t, FTP, "ftp", func(tx Tx) []string {
		m := tx.(*FTPTx)
		return []string{fmt.Sprintf("%s %s %v %d", strings.ToUpper(string(m.Command)), m.Data, texts(m.Codes), m.Port)}
	}, func(r eveRecord) []string {
		port := r.str("ftp", "dynamic_port")
		if port == "" {
			port = "0"
		}
		return []string{fmt.Sprintf("%s %s %v %s", r.str("ftp", "command"), r.str("ftp", "command_data"), list(r, "ftp", "completion_code"), port)}
	})
}

// judgeFiles compares names and sizes of files.
func judgeFiles(t *testing.T, proto Proto) {
	dirs, _ := judgeDirs(t)
	_ = dirs
	judgeRecords(t, proto, "fileinfo", func(tx Tx) []string {
		var out []string
		for _, f := range tx.Base().Files {
			if f.Total > 0 {
				out = append(out, fmt.Sprintf("%s %d", f.Name, f.Total))
			}
		}
		return out
	}, func(r eveRecord) []string {
		if r.str("app_proto") != proto.String() {
			return nil
		}
		return []string{r.str("fileinfo", "filename") + " " + r.str("fileinfo", "size")}
	})
}

func TestJudgeFilesSMTP(t *testing.T)    { judgeFiles(t, SMTP) }
func TestJudgeFilesFTPData(t *testing.T) { judgeFiles(t, FTPData) }

func TestJudgeQUIC(t *testing.T) {
	judgeRecords(t, QUIC, "quic", func(tx Tx) []string {
		m := tx.(*QUICTx)
		s, _ := m.JA3()
		return []string{fmt.Sprintf("%s sni=%s ua=%s cyu=%s ja3=%s", m.VersionName(), m.SNI, m.UserAgent, m.CYU, s)}
	}, func(r eveRecord) []string {
		cyu := ""
		if q, ok := r["quic"].(map[string]any); ok {
			if l, ok := q["cyu"].([]any); ok && len(l) > 0 {
				cyu = eveRecord(l[0].(map[string]any)).str("string")
			}
		}
		return []string{fmt.Sprintf("%s sni=%s ua=%s cyu=%s ja3=%s", r.str("quic", "version"), r.str("quic", "sni"), r.str("quic", "ua"), cyu,
			r.str("quic", "ja3", "string")+r.str("quic", "ja3s", "string"))}
	})
}

func TestJudgeSNMP(t *testing.T) {
	pdus := map[uint8]string{0: "get_request", 1: "get_next_request", 2: "response", 3: "set_request", 4: "trap_v1", 5: "get_bulk_request", 6: "inform_request", 7: "trap_v2", 8: "report"}
	judgeRecords(t, SNMP, "snmp", func(tx Tx) []string {
		m := tx.(*SNMPTx)
		pdu := ""
		if m.HasPDU {
			pdu = pdus[m.PDU]
		}
		return []string{fmt.Sprintf("%d %s %s %s %v", m.Version, pdu, m.Community, m.USM, texts(m.Vars))}
	}, func(r eveRecord) []string {
		return []string{fmt.Sprintf("%s %s %s %s %v", r.str("snmp", "version"), r.str("snmp", "pdu_type"), r.str("snmp", "community"), r.str("snmp", "usm"), list(r, "snmp", "vars"))}
	})
}

func TestJudgeDHCP(t *testing.T) {
	judgeRecords(t, DHCP, "dhcp", func(tx Tx) []string {
		m := tx.(*DHCPTx)
		lease, _ := m.Number(DHCPLeaseTime, m.From, 0)
		return []string{fmt.Sprintf("%d %d", m.XID, lease)}
	}, func(r eveRecord) []string {
		lease := r.str("dhcp", "lease_time")
		if lease == "" {
			lease = "0"
		}
		return []string{r.str("dhcp", "id") + " " + lease}
	})
}

func TestJudgeTFTP(t *testing.T) {
	judgeRecords(t, TFTP, "tftp", func(tx Tx) []string {
		m := tx.(*TFTPTx)
		return []string{fmt.Sprintf("%s %s %s", map[uint8]string{1: "read", 2: "write"}[m.Opcode], m.File, m.Mode)}
	}, func(r eveRecord) []string {
		return []string{r.str("tftp", "packet") + " " + r.str("tftp", "file") + " " + r.str("tftp", "mode")}
	})
}

func TestJudgeKRB5(t *testing.T) {
	types := map[uint8]string{10: "KRB_AS_REQ", 11: "KRB_AS_REP", 12: "KRB_TGS_REQ", 13: "KRB_TGS_REP", 14: "KRB_AP_REQ", 15: "KRB_AP_REP", 30: "KRB_ERROR"}
	or := func(s string) string {
		if s == "" {
			return "<empty>"
		}
		return s
	}
	judgeRecords(t, KRB5, "krb5", func(tx Tx) []string {
		m := tx.(*KRB5Tx)
		weak := len(m.Events) > 0
		return []string{fmt.Sprintf("%s c=%s s=%s weak=%v", types[m.MsgType], or(string(Principal(m.CName))), or(string(Principal(m.SName))), weak)}
	}, func(r eveRecord) []string {
		return []string{fmt.Sprintf("%s c=%s s=%s weak=%s", r.str("krb5", "msg_type"), r.str("krb5", "cname"), r.str("krb5", "sname"), r.str("krb5", "weak_encryption"))}
	})
}

func TestJudgeDCERPC(t *testing.T) {
	names := map[uint8]string{0: "REQUEST", 2: "RESPONSE", 3: "FAULT", 11: "BIND", 12: "BINDACK", 13: "BINDNAK", 14: "ALTER_CONTEXT", 15: "ALTER_CONTEXT_RESP"}
	judgeRecords(t, DCERPC, "dcerpc", func(tx Tx) []string {
		m := tx.(*DCERPCTx)
		resp := "UNREPLIED"
		if m.Answered {
			resp = names[m.RespType]
		}
		s := fmt.Sprintf("%s %s %d", names[m.Type], resp, m.CallID)
		if m.Type == 0 {
			s += fmt.Sprintf(" opnum=%d in=%d out=%d", m.Opnum, m.StubSize(ToServer), m.StubSize(ToClient))
		}
		return []string{s}
	}, func(r eveRecord) []string {
		s := r.str("dcerpc", "request") + " " + r.str("dcerpc", "response") + " " + r.str("dcerpc", "call_id")
		if r.str("dcerpc", "request") == "REQUEST" {
			z := func(s string) string {
				if s == "" {
					return "0"
				}
				return s
			}
			s += fmt.Sprintf(" opnum=%s in=%s out=%s", r.str("dcerpc", "req", "opnum"), z(r.str("dcerpc", "req", "stub_data_size")), z(r.str("dcerpc", "res", "stub_data_size")))
		}
		return []string{s}
	})
}

// SMB is compared by what rules look at: trees, names, calls.
func TestJudgeSMB(t *testing.T) {
	judgeRecords(t, SMB, "smb", func(tx Tx) []string {
		m := tx.(*SMBTx)
		switch {
		case m.Call != nil && m.Call.Type == 0:
			return []string{fmt.Sprintf("call opnum=%d in=%d out=%d", m.Call.Opnum, m.Call.StubSize(ToServer), m.Call.StubSize(ToClient))}
		case m.Call != nil:
			return []string{fmt.Sprintf("bind %d", len(m.Call.Interfaces))}
		case m.Share != nil || m.NamedPipe != nil:
			return []string{fmt.Sprintf("tree %s%s", m.Share, m.NamedPipe)}
		case m.User != nil:
			return []string{fmt.Sprintf("user %s %s", m.Domain, m.User)}
		case m.Filename != nil && (m.Command == smb1CreateX || m.Command == smb2Create):
			name := string(m.Filename)
			if name == "" {
				name = "<share_root>"
			}
			return []string{"create " + name}
		}
		return nil
	}, func(r eveRecord) []string {
		switch {
		case r.str("smb", "dcerpc", "request") == "REQUEST":
			return []string{fmt.Sprintf("call opnum=%s in=%s out=%s", r.str("smb", "dcerpc", "opnum"), r.str("smb", "dcerpc", "req", "stub_data_size"), r.str("smb", "dcerpc", "res", "stub_data_size"))}
		case r.str("smb", "dcerpc", "request") == "BIND":
			return []string{fmt.Sprintf("bind %d", len(list(r, "smb", "dcerpc", "interfaces")))}
		case strings.Contains(r.str("smb", "command"), "TREE_CONNECT"):
			return []string{"tree " + r.str("smb", "share") + r.str("smb", "named_pipe")}
		case r.str("smb", "ntlmssp") != "":
			return []string{"user " + r.str("smb", "ntlmssp", "domain") + " " + r.str("smb", "ntlmssp", "user")}
		case strings.Contains(r.str("smb", "command"), "CREATE"):
			return []string{"create " + r.str("smb", "filename")}
		}
		return nil
	})
}

func TestJudgeFilesSMB(t *testing.T) { judgeFiles(t, SMB) }

func TestJudgeMQTT(t *testing.T) {
	names := map[uint8]string{1: "connect", 2: "connack", 3: "publish", 4: "puback", 5: "pubrec", 6: "pubrel", 7: "pubcomp", 8: "subscribe", 9: "suback", 10: "unsubscribe", 11: "unsuback", 12: "pingreq", 13: "pingresp", 14: "disconnect", 15: "auth"}
	judgeRecords(t, MQTT, "mqtt", func(tx Tx) []string {
		m := tx.(*MQTTTx)
		var parts []string
		for _, x := range m.Messages {
			s := names[x.Type]
			switch x.Type {
			case mqttConnect:
				s += fmt.Sprintf(" %s %s %s", x.ClientID, x.Username, x.Password)
			case mqttPublish:
				s += " " + string(x.Topics[0])
			case mqttSubscribe:
				s += fmt.Sprint(texts(x.Topics))
			}
			parts = append(parts, s)
		}
		sort.Strings(parts)
		return []string{strings.Join(parts, "+")}
	}, func(r eveRecord) []string {
		var parts []string
		q, _ := r["mqtt"].(map[string]any)
		for _, n := range names {
			x, ok := q[n].(map[string]any)
			if !ok {
				continue
			}
			s := n
			switch n {
			case "connect":
				s += " " + eveRecord(x).str("client_id") + " " + eveRecord(x).str("username") + " " + eveRecord(x).str("password")
			case "publish":
				s += " " + eveRecord(x).str("topic")
			case "subscribe":
				var l []string
				ts, _ := x["topics"].([]any)
				for _, e := range ts {
					l = append(l, eveRecord(e.(map[string]any)).str("topic"))
				}
				s += fmt.Sprint(l)
			}
			parts = append(parts, s)
		}
		sort.Strings(parts)
		return []string{strings.Join(parts, "+")}
	})
}

func TestJudgeSIP(t *testing.T) {
	judgeRecords(t, SIP, "sip", func(tx Tx) []string {
		m := tx.(*SIPTx)
		return []string{fmt.Sprintf("%s|%s|%s|%s|%s|%s", m.Method, m.URI, m.Protocol, m.Code, m.Reason, m.Line)}
	}, func(r eveRecord) []string {
		return []string{fmt.Sprintf("%s|%s|%s|%s|%s|%s", r.str("sip", "method"), r.str("sip", "uri"), r.str("sip", "version"), r.str("sip", "code"), r.str("sip", "reason"),
			r.str("sip", "request_line")+r.str("sip", "response_line"))}
	})
}

func TestJudgeRFB(t *testing.T) {
	judgeRecords(t, RFB, "rfb", func(tx Tx) []string {
		m := tx.(*RFBTx)
		return []string{fmt.Sprintf("%s %d %d", m.ServerVersion, m.SecurityType, m.Width)}
	}, func(r eveRecord) []string {
		z := func(s string) string {
			if s == "" {
				return "0"
			}
			return s
		}
		return []string{r.str("rfb", "server_protocol_version", "major") + "." + r.str("rfb", "server_protocol_version", "minor") + " " +
			z(r.str("rfb", "authentication", "security_type")) + " " + z(r.str("rfb", "framebuffer", "width"))}
	})
}

func TestJudgeIKE(t *testing.T) {
	judgeRecords(t, IKE, "ike", func(tx Tx) []string {
		m := tx.(*IKETx)
		enc := uint32(0)
		for _, a := range m.Chosen {
			if a.Type == IKEAttrEncryption {
				enc = a.Value
			}
		}
		return []string{fmt.Sprintf("%s %s %d %d enc=%d", m.InitSPI, m.RespSPI, m.MessageID, m.ExchangeType, enc)}
	}, func(r eveRecord) []string {
		enc := r.str("ike", "alg_enc_raw")
		if enc == "" {
			enc = "0"
		}
		return []string{fmt.Sprintf("%s %s %s %s enc=%s", r.str("ike", "init_spi"), r.str("ike", "resp_spi"), r.str("ike", "message_id"), r.str("ike", "exchange_type"), enc)}
	})
}

func TestJudgeRDP(t *testing.T) {
	names := []string{"initial_request", "initial_response", "connect_request", "connect_response"}
	judgeRecords(t, RDP, "rdp", func(tx Tx) []string {
		m := tx.(*RDPTx)
		return []string{names[m.Kind] + " " + string(m.Cookie)}
	}, func(r eveRecord) []string {
		return []string{r.str("rdp", "event_type") + " " + r.str("rdp", "cookie")}
	})
}

// TestJudgeEvents compares the anomalies of our protocols with Suricata's.
func TestJudgeEvents(t *testing.T) {
	for _, p := range []Proto{DNS, TLS, QUIC, SSH, SMTP, FTP, SMB, DCERPC, SNMP, NTP, DHCP, SIP, RDP, MQTT, KRB5, RFB, IKE} {
		t.Run(p.String(), func(t *testing.T) {
			judgeRecords(t, p, "anomaly", func(tx Tx) []string {
				var out []string
				for _, e := range tx.Base().Events {
					out = append(out, string(e))
				}
				return out
			}, func(r eveRecord) []string {
				if r.str("anomaly", "app_proto") != p.String() || r.str("anomaly", "layer") != "proto_parser" {
					return nil
				}
				return []string{strings.ToLower(r.str("anomaly", "event"))}
			})
		})
	}
}

func TestJudgeNFS(t *testing.T) {
	names := map[uint32]string{0: "NULL", 1: "GETATTR", 2: "SETATTR", 3: "LOOKUP", 4: "ACCESS", 5: "READLINK", 6: "READ", 7: "WRITE", 8: "CREATE", 9: "MKDIR",
		10: "SYMLINK", 11: "MKNOD", 12: "REMOVE", 13: "RMDIR", 14: "RENAME", 15: "LINK", 16: "READDIR", 17: "READDIRPLUS", 18: "FSSTAT", 19: "FSINFO", 20: "PATHCONF", 21: "COMMIT"}
	judgeRecords(t, NFS, "nfs", func(tx Tx) []string {
		m := tx.(*NFSTx)
		if m.Version != 3 || len(m.Procedures) == 0 || m.Procedures[0] == 1 || m.Procedures[0] == 0 || m.Procedures[0] == 17 {
			return nil // which Suricata does not log
		}
		return []string{fmt.Sprintf("%d %s", m.XID, names[m.Procedures[0]])}
	}, func(r eveRecord) []string {
		if r.str("nfs", "version") != "3" {
			return nil
		}
		return []string{r.str("rpc", "xid") + " " + r.str("nfs", "procedure")}
	})
}
