package eve

// extensionName is the name of a TLS extension (IANA, TLS ExtensionType
// Values), "" if it has none.
func extensionName(t uint16) string {
	switch t {
	case 41:
		return "pre_shared_key"
	case 42:
		return "early_data"
	case 43:
		return "supported_versions"
	case 44:
		return "cookie"
	case 45:
		return "psk_key_exchange_modes"
	case 47:
		return "certificate_authorities"
	case 48:
		return "oid_filters"
	case 49:
		return "post_handshake_auth"
	case 50:
		return "signature_algorithms_cert"
	case 51:
		return "key_share"
	case 57:
		return "quic_transport_parameters"
	case 13172:
		return "next_protocol_negotiation"
	case 0xff01:
		return "renegotiation_info"
	case 0xffce:
		return "encrypted_server_name"
	}
	if int(t) < len(extensions) {
		return extensions[t]
	}
	return ""
}

var extensions = [...]string{
	0: "server_name", 1: "max_fragment_length", 5: "status_request", 10: "supported_groups", 11: "ec_point_formats",
	13: "signature_algorithms", 15: "heartbeat", 16: "alpn", 18: "signed_certificate_timestamp",
	20: "server_certificate_type", 21: "padding", 22: "encrypt_then_mac", 23: "extended_master_secret",
	27: "compress_certificate", 28: "record_size_limit", 34: "delegated_credentials", 35: "session_ticket",
}

// quicTLSVersion is the name of a version of TLS in the list of those
// supported.
func quicTLSVersion(v uint16) string {
	switch v {
	case 0x0301:
		return "Tls10"
	case 0x0302:
		return "Tls11"
	case 0x0303:
		return "Tls12"
	case 0x0304:
		return "Tls13"
	}
	return ""
}
