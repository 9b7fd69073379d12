package app

// newParser makes the parser of a protocol; nil for protocols that are only
// recognised. This is the one table of parsers.
func newParser(p Proto) parser {
	switch p {
	case HTTP1:
		return newHTTP1()
	case HTTP2:
		return newHTTP2()
	case DNS:
		return newDNS()
	case FTP:
		return newFTP()
	case FTPData:
		return newFTPData()
	case QUIC:
		return newQUIC()
	case SNMP:
		return newSNMP()
	case NTP:
		return newNTP()
	case DHCP:
		return newDHCP()
	case TFTP:
		return newTFTP()
	case KRB5:
		return newKRB5()
	case DCERPC:
		return newDCERPC()
	case SMB:
		return newSMB()
	case MQTT:
		return newMQTT()
	case SIP:
		return newSIP()
	case RFB:
		return newRFB()
	case IKE:
		return newIKE()
	case RDP:
		return newRDP()
	case NFS:
		return newNFS()
	case SMTP:
		return newSMTP()
	case SSH:
		return newSSH()
	case MODBUS:
		return newModbus()
	case PGSQL:
		return newPGSQL()
	case TELNET:
		return newTelnet()
	case BitTorrentDHT:
		return newDHT()
	case DNP3:
		return newDNP3()
	case ENIP:
		return newENIP()
	case TLS:
		return newTLS()
	}
	return nil
}
