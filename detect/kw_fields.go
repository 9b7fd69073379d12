package detect

import (
	"encoding/hex"
	"strconv"
	"strings"

	"github.com/garita/garita/app"
)

// Keywords on numeric fields with words or forms of their own.

func addFieldKeywords(m map[string]keyword) {
	for _, n := range []string{"dcerpc.iface", "dce_iface"} {
		m[n] = keyword{parse: kwDCEIface, value: needs}
	}
	for _, n := range []string{"dcerpc.opnum", "dce_opnum"} {
		m[n] = keyword{parse: kwDCEOpnum, value: needs}
	}
	words := func(f app.Field, bits int, w map[string]uint64) keyword {
		return keyword{parse: func(b *builder, v string) error {
			if n, ok := w[strings.ToLower(strings.TrimSpace(v))]; ok {
				b.fieldCond(txCond{op: txNumber, field: f, num: numRange{op: numEQ, a: n}})
				return nil
			}
			if s, ok := strings.CutPrefix(strings.TrimSpace(v), "!"); ok {
				if n, ok := w[strings.ToLower(strings.TrimSpace(s))]; ok {
					b.fieldCond(txCond{op: txNumber, field: f, num: numRange{op: numNE, a: n}})
					return nil
				}
			}
			return b.fieldNumber(numberKeyword{f, bits, nil}, v)
		}, value: needs}
	}
	flags := func(f app.Field, w map[string]uint64) keyword {
		return keyword{parse: func(b *builder, v string) error { return b.flagWords(f, w, v) }, value: needs}
	}
	m["mqtt.type"] = words(app.MQTTType, 8, map[string]uint64{
		"connect": 1, "connack": 2, "publish": 3, "puback": 4, "pubrec": 5, "pubrel": 6, "pubcomp": 7, "subscribe": 8,
		"suback": 9, "unsubscribe": 10, "unsuback": 11, "pingreq": 12, "pingresp": 13, "disconnect": 14, "auth": 15, "unassigned": 0})
	m["mqtt.flags"] = flags(app.MQTTFlags, map[string]uint64{"dup": 8, "retain": 1})
	m["mqtt.qos"] = words(app.MQTTQoS, 8, nil)
	m["mqtt.reason_code"] = words(app.MQTTReasonCode, 8, nil)
	m["mqtt.connack.return_code"] = m["mqtt.reason_code"]
	m["mqtt.connect.flags"] = flags(app.MQTTConnectFlags, map[string]uint64{
		"username": 0x80, "password": 0x40, "will_retain": 0x20, "will": 4, "clean_session": 2})
	m["mqtt.connack.session_present"] = words(app.MQTTConnackSessionPresent, 8, map[string]uint64{"yes": 1, "true": 1, "no": 0, "false": 0})
	m["http2.frametype"] = words(app.HTTP2FrameType, 8, map[string]uint64{
		"data": 0, "headers": 1, "priority": 2, "rststream": 3, "settings": 4, "pushpromise": 5, "ping": 6, "goaway": 7,
		"windowupdate": 8, "continuation": 9})
	m["http2.errorcode"] = words(app.HTTP2ErrorCode, 32, map[string]uint64{
		"no_error": 0, "protocol_error": 1, "internal_error": 2, "flow_control_error": 3, "settings_timeout": 4,
		"stream_closed": 5, "frame_size_error": 6, "refused_stream": 7, "cancel": 8, "compression_error": 9,
		"connect_error": 10, "enhance_your_calm": 11, "inadequate_security": 12, "http_1_1_required": 13})
	m["http2.settings"] = keyword{parse: kwHTTP2Settings, value: needs}
	m["ike.chosen_sa_attribute"] = keyword{parse: kwIKEAttribute, value: needs}
	m["ftpdata_command"] = words(app.FTPDataCommand, 8, map[string]uint64{"stor": 1, "retr": 2})
	m["nfs_version"] = words(app.NFSVersion, 32, nil)
	m["dce_stub_data"] = m["dcerpc.stub_data"]
	m["krb5.ticket_encryption"] = keyword{parse: kwKRB5Encryption, value: needs}
	m["cip_service"] = keyword{parse: kwCIPService, value: needs}
	m["modbus"] = keyword{parse: kwModbus, value: needs}
	m["dnp3_ind"] = keyword{parse: kwDNP3Ind, value: needs}
	m["dnp3_obj"] = keyword{parse: kwDNP3Obj, value: needs}
	m["ssh.protoversion"] = keyword{parse: kwSSHProtoVersion, value: needs}
	m["ssh.softwareversion"] = keyword{parse: kwSSHSoftwareVersion, value: needs}
}

// dnp3Indications are the names of internal indications.
var dnp3Indications = map[string]uint64{
	"all_stations": 0x0100, "class_1_events": 0x0200, "class_2_events": 0x0400, "class_3_events": 0x0800, "need_time": 0x1000,
	"local_control": 0x2000, "device_trouble": 0x4000, "device_restart": 0x8000, "no_func_code_support": 0x0001,
	"object_unknown": 0x0002, "parameter_error": 0x0004, "event_buffer_overflow": 0x0008, "already_executing": 0x0010,
	"config_corrupt": 0x0020, "reserved_2": 0x0040, "reserved_1": 0x0080,
}

// flagWords reads "username,!password": the plain ones must be set, the
// negated ones must not. A plain number is the whole value.
func (b *builder) flagWords(f app.Field, w map[string]uint64, v string) error {
	var mask, want uint64
	for _, s := range fields(v) {
		name := strings.ToLower(strings.TrimSpace(strings.TrimPrefix(s, "!")))
		bit, ok := w[name]
		if !ok {
			if !strings.Contains(v, ",") {
				return b.fieldNumber(numberKeyword{f, 16, nil}, v)
			}
			return b.fail(0, "unknown flag "+strconv.Quote(name), "")
		}
		mask |= bit
		if !strings.HasPrefix(s, "!") {
			want |= bit
		}
	}
	b.fieldCond(txCond{op: txNumber, field: f, num: numRange{op: numMaskEQ, a: mask, b: want}})
	return nil
}

// kwDCEIface reads "UUID[,=1|>1|<1|!1][,any_frag]".
func kwDCEIface(b *builder, v string) error {
	f := fields(v)
	id, err := hex.DecodeString(strings.ReplaceAll(f[0], "-", ""))
	if err != nil || len(id) != 16 {
		return b.fail(0, "not a UUID: "+strconv.Quote(f[0]), "write 367abb81-9844-35f1-ad32-98f038001003")
	}
	c := txCond{op: txIface, field: app.DCERPCIface, name: string(id), num: numRange{op: numGE}}
	for _, s := range f[1:] {
		if s == "any_frag" {
			continue
		}
		if strings.HasPrefix(s, "!") {
			s = "!=" + s[1:]
		}
		r, bad := parseRange(s, 16)
		if bad != "" {
			return b.fail(0, bad, "")
		}
		c.num = r
	}
	b.fieldCond(c)
	return nil
}

// kwDCEOpnum reads a list of numbers and ranges, or a comparison.
func kwDCEOpnum(b *builder, v string) error {
	c := txCond{op: txNumberIn, field: app.DCERPCOpnum}
	for _, s := range fields(v) {
		if lo, hi, ok := strings.Cut(s, "-"); ok {
			a, ok1 := parseNum(strings.TrimSpace(lo), 16)
			z, ok2 := parseNum(strings.TrimSpace(hi), 16)
			if !ok1 || !ok2 || a > z {
				return b.fail(0, "not a range: "+strconv.Quote(s), "write 1-5")
			}
			c.ranges = append(c.ranges, numRange{op: numWithin, a: a, b: z})
			continue
		}
		r, bad := parseRange(s, 16)
		if bad != "" {
			return b.fail(0, bad, "")
		}
		c.ranges = append(c.ranges, r)
	}
	b.fieldCond(c)
	return nil
}

func kwHTTP2Settings(b *builder, v string) error {
	ids := map[string]uint64{"SETTINGS_HEADER_TABLE_SIZE": 1, "SETTINGS_ENABLE_PUSH": 2, "SETTINGS_MAX_CONCURRENT_STREAMS": 3,
		"SETTINGS_INITIAL_WINDOW_SIZE": 4, "SETTINGS_MAX_FRAME_SIZE": 5, "SETTINGS_MAX_HEADER_LIST_SIZE": 6}
	i := strings.IndexAny(v, "<>=! ")
	if i < 0 {
		i = len(v)
	}
	id, ok := ids[strings.ToUpper(v[:i])]
	if !ok {
		if id, ok = parseNum(v[:i], 16); !ok {
			return b.fail(0, "unknown setting "+strconv.Quote(v[:i]), "")
		}
	}
	c := txCond{op: txTagged, field: app.HTTP2Settings, low: id, num: numRange{op: numGE}}
	if rest := strings.TrimSpace(v[i:]); rest != "" {
		r, bad := parseRange(rest, 32)
		if bad != "" {
			return b.fail(0, bad, "")
		}
		c.num = r
	}
	b.fieldCond(c)
	return nil
}

func kwIKEAttribute(b *builder, v string) error {
	ids := map[string]uint64{"alg_enc": 1, "alg_hash": 2, "alg_auth": 3, "alg_dh": 4, "sa_group_type": 5, "sa_life_type": 11,
		"sa_life_duration": 12, "alg_prf": 13, "sa_key_length": 14, "sa_field_size": 15}
	name, val, ok := strings.Cut(v, "=")
	id, ok2 := ids[strings.TrimSpace(name)]
	n, ok3 := parseNum(strings.TrimSpace(val), 32)
	if !ok || !ok2 || !ok3 {
		return b.fail(0, "not an attribute: "+strconv.Quote(v), "write alg_enc=7")
	}
	b.fieldCond(txCond{op: txTagged, field: app.IKEChosenSAAttribute, low: id, num: numRange{op: numEQ, a: n}})
	return nil
}

// kwKRB5Encryption reads a list of encryption types, or weak or strong.
func kwKRB5Encryption(b *builder, v string) error {
	neg := strings.HasPrefix(v, "!")
	v = strings.TrimPrefix(v, "!")
	c := txCond{op: txNumberIn, field: app.KRB5TicketEncryption, neg: neg}
	// The weak ones are those that RFC 8429 and RFC 6649 take back.
	weak := []uint64{1, 2, 3, 4, 5, 6, 7, 8, 16, 23, 24}
	types := map[string]uint64{"des-cbc-crc": 1, "des-cbc-md4": 2, "des-cbc-md5": 3, "des3-cbc-md5": 5, "des3-cbc-sha1": 7, "des3-cbc-sha1-kd": 16,
		"aes128-cts-hmac-sha1-96": 17, "aes256-cts-hmac-sha1-96": 18, "aes128-cts-hmac-sha256-128": 19,
		"aes256-cts-hmac-sha384-192": 20, "rc4-hmac": 23, "rc4-hmac-exp": 24, "camellia128-cts-cmac": 25, "camellia256-cts-cmac": 26}
	switch v {
	case "weak", "strong":
		for _, w := range weak {
			c.ranges = append(c.ranges, numRange{op: numEQ, a: w})
		}
		if v == "strong" {
			c.neg = !c.neg
		}
	default:
		for _, s := range fields(v) {
			n, ok := types[s]
			if !ok {
				if n, ok = parseNum(s, 32); !ok {
					return b.fail(0, "unknown encryption type "+strconv.Quote(s), "")
				}
			}
			c.ranges = append(c.ranges, numRange{op: numEQ, a: n})
		}
	}
	b.fieldCond(c)
	return nil
}

func kwDNP3Obj(b *builder, v string) error {
	f := fields(v)
	if len(f) == 2 {
		g, ok1 := parseNum(f[0], 8)
		n, ok2 := parseNum(f[1], 8)
		if ok1 && ok2 {
			b.fieldCond(txCond{op: txNumber, field: app.DNP3Obj, num: numRange{op: numEQ, a: g<<8 | n}})
			return nil
		}
	}
	return b.fail(0, "not an object: "+strconv.Quote(v), "write group,variation")
}

func kwSSHProtoVersion(b *builder, v string) error {
	v = strings.Trim(v, `" `)
	c := txCond{op: txText, field: app.SSHProto, name: v}
	if v == "2_compat" {
		c.op, c.texts = txTextIn, []string{"2", "2.0", "1.99"}
	}
	b.fieldCond(c)
	return nil
}

func kwSSHSoftwareVersion(b *builder, v string) error {
	b.fieldCond(txCond{op: txContains, field: app.SSHSoftware, name: strings.Trim(v, `" `)})
	return nil
}

// kwDNP3Ind wants any of some internal indications.
func kwDNP3Ind(b *builder, v string) error {
	var mask uint64
	for _, s := range strings.FieldsFunc(v, func(r rune) bool { return r == ',' || r == ' ' }) {
		bit, ok := dnp3Indications[strings.ToLower(s)]
		if !ok {
			return b.fail(0, "unknown indication "+strconv.Quote(s), "")
		}
		mask |= bit
	}
	b.fieldCond(txCond{op: txNumber, field: app.DNP3Ind, num: numRange{op: numAnyBit, a: mask}})
	return nil
}
