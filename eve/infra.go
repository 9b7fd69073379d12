package eve

import (
	"net/netip"
	"strconv"

	"github.com/garita/garita/app"
)

// dhcpShown says whether a message is logged: unless all are asked for, those
// that give an address to somebody.
func dhcpShown(t *app.DHCPTx) bool {
	k, ok := t.Option(53)
	return ok && len(k) == 1 && k[0] == 5 && t.Op == 2
}

var dhcpTypes = [...]string{
	1: "discover", 2: "offer", 3: "request", 4: "decline", 5: "ack", 6: "nak", 7: "release", 8: "inform",
}

// dhcpParams are the names of options that a client asks for.
var dhcpParams = map[uint8]string{
	1: "subnet_mask", 3: "router", 6: "dns_server", 15: "domain", 35: "arp_timeout", 42: "ntp_server",
	66: "tftp_server_name", 150: "tftp_server_ip",
}

func dhcpObject(o *object, t *app.DHCPTx, extended bool) {
	o.open("dhcp")
	if t.Op == 1 {
		o.str("type", "request")
	} else {
		o.str("type", "reply")
	}
	o.uint("id", uint64(t.XID))
	o.mac("client_mac", t.Fixed[28:34])
	o.addrBytes("assigned_ip", t.Fixed[16:20])
	if extended {
		o.addrBytes("client_ip", t.Fixed[12:16])
		if t.Op == 2 {
			o.addrBytes("relay_ip", t.Fixed[24:28])
			o.addrBytes("next_server_ip", t.Fixed[20:24])
		}
	}
	for i := range t.Options {
		dhcpOption(o, t, &t.Options[i], extended)
	}
	o.close()
}

func dhcpOption(o *object, t *app.DHCPTx, x *app.DHCPOption, extended bool) {
	v := x.Data
	number := func(k string) {
		if len(v) == 4 {
			o.uint(k, uint64(v[0])<<24|uint64(v[1])<<16|uint64(v[2])<<8|uint64(v[3]))
		}
	}
	switch x.Code {
	case 53:
		if len(v) == 1 && int(v[0]) < len(dhcpTypes) && v[0] > 0 {
			o.str("dhcp_type", dhcpTypes[v[0]])
		}
	case 50:
		if t.Op == 1 && len(v) == 4 {
			o.addrBytes("requested_ip", v)
		}
	case 58:
		number("renewal_time")
	case 12:
		o.bytes("hostname", v)
	}
	if !extended {
		return
	}
	switch x.Code {
	case 51:
		number("lease_time")
	case 59:
		number("rebinding_time")
	case 1:
		if len(v) == 4 {
			o.addrBytes("subnet_mask", v)
		}
	case 3:
		dhcpAddrs(o, "routers", v)
	case 6:
		dhcpAddrs(o, "dns_servers", v)
	case 55:
		o.openArray("params")
		for _, c := range v {
			if n := dhcpParams[c]; n != "" {
				o.item()
				o.b = append(append(append(o.b, '"'), n...), '"')
			}
		}
		o.closeArray()
	case 60:
		o.bytes("vendor_class_identifier", v)
	case 61:
		if len(v) > 1 {
			o.mac("client_id", v[1:])
		}
	}
}

// dhcpAddrs adds a list of addresses.
func dhcpAddrs(o *object, k string, v []byte) {
	o.openArray(k)
	for ; len(v) >= 4; v = v[4:] {
		if a, ok := netip.AddrFromSlice(v[:4]); ok {
			o.item()
			o.b = append(a.AppendTo(append(o.b, '"')), '"')
		}
	}
	o.closeArray()
}

func (o *object) mac(k string, v []byte) {
	o.key(k)
	o.b = append(o.b, '"')
	for i, c := range v {
		if i > 0 {
			o.b = append(o.b, ':')
		}
		o.b = append(o.b, hexDigits[c>>4], hexDigits[c&15])
	}
	o.b = append(o.b, '"')
}

var snmpPDUs = [...]string{
	"get_request", "get_next_request", "response", "set_request", "trap_v1", "get_bulk_request", "inform_request",
	"trap_v2", "report",
}

var snmpTraps = [...]string{
	"coldStart", "warmStart", "linkDown", "linkUp", "authenticationFailure", "egpNeighborLoss", "enterpriseSpecific",
}

func snmpObject(o *object, t *app.SNMPTx) {
	o.open("snmp")
	o.uint("version", uint64(t.Version))
	if t.Encrypted {
		o.str("pdu_type", "encrypted")
	} else if t.HasPDU {
		if int(t.PDU) < len(snmpPDUs) {
			o.str("pdu_type", snmpPDUs[t.PDU])
		}
		if t.ErrorStatus != 0 {
			o.uint("error", t.ErrorStatus)
		}
		if t.PDU == 4 {
			o.key("trap_type")
			if t.TrapType < uint64(len(snmpTraps)) {
				o.b = appendString(o.b, snmpTraps[t.TrapType])
			} else {
				o.b = append(appendUint(append(o.b, '"'), t.TrapType), '"')
			}
			o.bytes("trap_oid", t.TrapOID)
			o.addrBytes("trap_address", t.TrapAddress)
		}
		if len(t.Vars) > 0 {
			o.strings("vars", t.Vars)
		}
		if t.Community != nil {
			o.bytes("community", t.Community)
		}
	}
	if t.USM != nil {
		o.bytes("usm", t.USM)
	}
	o.close()
}

func tftpObject(o *object, t *app.TFTPTx) {
	o.open("tftp")
	switch t.Opcode {
	case 1:
		o.str("packet", "read")
	case 2:
		o.str("packet", "write")
	}
	o.bytes("file", t.File)
	o.bytes("mode", t.Mode)
	o.close()
}

var krb5Types = map[uint8]string{
	10: "KRB_AS_REQ", 11: "KRB_AS_REP", 12: "KRB_TGS_REQ", 13: "KRB_TGS_REP", 14: "KRB_AP_REQ", 15: "KRB_AP_REP",
	20: "KRB_SAFE", 21: "KRB_PRIV", 22: "KRB_CRED", 30: "KRB_ERROR",
}

func krb5Object(o *object, t *app.KRB5Tx) {
	o.open("krb5")
	o.key("msg_type")
	o.b = appendNamed(o.b, krb5Types, t.MsgType)
	if t.HasError {
		o.key("failed_request")
		if t.Request != 0 {
			o.b = appendNamed(o.b, krb5Types, t.Request)
		} else {
			o.b = append(o.b, `"UNKNOWN"`...)
		}
		o.key("error_code")
		o.b = appendNamed(o.b, krb5Errors, t.ErrCode)
	}
	o.joined("cname", t.CName)
	o.key("realm")
	if len(t.Realm) > 0 {
		o.b = appendString(o.b, t.Realm)
	} else {
		o.b = append(o.b, `"<empty>"`...)
	}
	o.joined("sname", t.SName)
	o.key("encryption")
	if t.HasEType {
		o.b = appendNamed(o.b, krb5Ciphers, t.EType)
	} else {
		o.b = append(o.b, `"<none>"`...)
	}
	o.bool("weak_encryption", t.HasEType && weak(t.EType))
	if t.HasTicket {
		o.key("ticket_encryption")
		o.b = appendNamed(o.b, krb5Ciphers, t.TicketEType)
		o.bool("ticket_weak_encryption", weak(t.TicketEType))
	}
	o.close()
}

// weak says whether an encryption type of Kerberos is to be given up (RFC 6649,
// 8429).
func weak(t int32) bool { return t < 0 || t >= 1 && t <= 16 || t >= 23 && t <= 24 }

// joined adds the parts of a principal's name.
func (o *object) joined(k string, parts [][]byte) {
	o.key(k)
	if len(parts) == 0 {
		o.b = append(o.b, `"<empty>"`...)
		return
	}
	at := len(o.b)
	for i, s := range parts {
		if i > 0 {
			o.b[len(o.b)-1] = '/' // instead of the quote
			n := len(o.b)
			o.b = appendString(o.b, s)
			copy(o.b[n:], o.b[n+1:])
			o.b = o.b[:len(o.b)-1]
			continue
		}
		o.b = appendString(o.b[:at], s)
	}
}

// appendNamed appends the name of a number, or the number as text.
func appendNamed[T uint8 | uint32 | int32](b []byte, names map[T]string, v T) []byte {
	if n, ok := names[v]; ok {
		return appendString(b, n)
	}
	b = append(b, '"')
	return append(strconv.AppendInt(b, int64(v), 10), '"')
}

// krb5Ciphers are the encryption types (IANA, Kerberos Encryption Type
// Numbers).
var krb5Ciphers = map[int32]string{
	0: "<none>", 1: "des-cbc-crc", 2: "des-cbc-md4", 3: "des-cbc-md5", 5: "des3-cbc-md5", 7: "des3-cbc-sha1",
	9: "dsaWithSHA1-CmsOID", 10: "md5WithRSAEncryption-CmsOID", 11: "sha1WithRSAEncryption-CmsOID", 12: "rc2CBC-EnvOID",
	13: "rsaEncryption-EnvOID", 14: "rsaES-OAEP-ENV-OID", 15: "des-ede3-cbc-Env-OID", 16: "des3-cbc-sha1-kd",
	17: "aes128-cts-hmac-sha1-96", 18: "aes256-cts-hmac-sha1-96", 19: "aes128-cts-hmac-sha256-128",
	20: "aes256-cts-hmac-sha384-192", 23: "rc4-hmac", 24: "rc4-hmac-exp", 25: "camellia128-cts-cmac",
	26: "camellia256-cts-cmac",
}

// krb5Errors are the error codes (RFC 4120 §7.5.9).
var krb5Errors = map[uint32]string{
	0: "KDC_ERR_NONE", 1: "KDC_ERR_NAME_EXP", 2: "KDC_ERR_SERVICE_EXP", 3: "KDC_ERR_BAD_PVNO",
	4: "KDC_ERR_C_OLD_MAST_KVNO", 5: "KDC_ERR_S_OLD_MAST_KVNO", 6: "KDC_ERR_C_PRINCIPAL_UNKNOWN",
	7: "KDC_ERR_S_PRINCIPAL_UNKNOWN", 8: "KDC_ERR_PRINCIPAL_NOT_UNIQUE", 9: "KDC_ERR_NULL_KEY",
	10: "KDC_ERR_CANNOT_POSTDATE", 11: "KDC_ERR_NEVER_VALID", 12: "KDC_ERR_POLICY", 13: "KDC_ERR_BADOPTION",
	14: "KDC_ERR_ETYPE_NOSUPP", 15: "KDC_ERR_SUMTYPE_NOSUPP", 16: "KDC_ERR_PADATA_TYPE_NOSUPP",
	17: "KDC_ERR_TRTYPE_NOSUPP", 18: "KDC_ERR_CLIENT_REVOKED", 19: "KDC_ERR_SERVICE_REVOKED", 20: "KDC_ERR_TGT_REVOKED",
	21: "KDC_ERR_CLIENT_NOTYET", 22: "KDC_ERR_SERVICE_NOTYET", 23: "KDC_ERR_KEY_EXPIRED", 24: "KDC_ERR_PREAUTH_FAILED",
	25: "KDC_ERR_PREAUTH_REQUIRED", 26: "KDC_ERR_SERVER_NOMATCH", 27: "KDC_ERR_MUST_USE_USER2USER",
	28: "KDC_ERR_PATH_NOT_ACCEPTED", 29: "KDC_ERR_SVC_UNAVAILABLE", 31: "KRB_AP_ERR_BAD_INTEGRITY",
	32: "KRB_AP_ERR_TKT_EXPIRED", 33: "KRB_AP_ERR_TKT_NYV", 34: "KRB_AP_ERR_REPEAT", 35: "KRB_AP_ERR_NOT_US",
	36: "KRB_AP_ERR_BADMATCH", 37: "KRB_AP_ERR_SKEW", 38: "KRB_AP_ERR_BADADDR", 39: "KRB_AP_ERR_BADVERSION",
	40: "KRB_AP_ERR_MSG_TYPE", 41: "KRB_AP_ERR_MODIFIED", 42: "KRB_AP_ERR_BADORDER", 44: "KRB_AP_ERR_BADKEYVER",
	45: "KRB_AP_ERR_NOKEY", 46: "KRB_AP_ERR_MUT_FAIL", 47: "KRB_AP_ERR_BADDIRECTION", 48: "KRB_AP_ERR_METHOD",
	49: "KRB_AP_ERR_BADSEQ", 50: "KRB_AP_ERR_INAPP_CKSUM", 51: "KRB_AP_PATH_NOT_ACCEPTED",
	52: "KRB_ERR_RESPONSE_TOO_BIG", 60: "KRB_ERR_GENERIC", 61: "KRB_ERR_FIELD_TOOLONG", 68: "KDC_ERR_WRONG_REALM",
}
