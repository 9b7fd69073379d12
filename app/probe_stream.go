package app

import (
	"bytes"
	"encoding/binary"
)

// httpMethodNames are the methods by which Suricata knows a request.
var httpMethodNames = []string{
	"get", "put", "post", "head", "trace", "options", "connect", "delete", "patch", "propfind", "proppatch", "mkcol",
	"copy", "move", "lock", "unlock", "checkout", "uncheckout", "checkin", "update", "label", "report",
	"mkworkspace", "mkactivity", "merge", "invalid", "version-control", "baseline-control",
}

func probeHTTP1(in *probeIn) answer {
	p := in.data
	if in.dir == ToClient {
		return anyPrefix(p, prefixFold, []string{"http/0.9", "http/1.0", "http/1.1"})
	}
	best := no
	for _, m := range httpMethodNames {
		if lower(p[0]) != m[0] {
			continue
		}
		switch prefixFold(p, m) {
		case more:
			best = more
		case yes:
			if len(p) == len(m) {
				best = more
			} else if p[len(m)] == ' ' || p[len(m)] == '\t' {
				return yes
			}
		}
	}
	return best
}

func probeHTTP2(in *probeIn) answer {
	if in.dir == ToServer {
		return prefix(in.data, "PRI * HTTP/2.0\r\n")
	}
	// A server begins with SETTINGS: stream 0, a multiple of six bytes.
	p := in.data
	if p[0] != 0 {
		return no
	}
	if len(p) < 9 {
		return anyOf(len(p) < 4 || p[3] == 4)
	}
	n := int(p[1])<<8 | int(p[2])
	if p[3] == 4 && p[4] == 0 && n%6 == 0 && n <= 600 && binary.BigEndian.Uint32(p[5:])&0x7fffffff == 0 && len(p) >= 9 {
		return yes
	}
	return no
}

// anyOf turns "still possible" into an answer.
func anyOf(possible bool) answer {
	if possible {
		return more
	}
	return no
}

// probeTLS knows records of SSL 3.0 to TLS 1.3, and the hello of SSL 2.0.
func probeTLS(in *probeIn) answer {
	p := in.data
	if p[0] == 0x80 && in.dir == ToServer {
		// SSL 2.0 client hello: length, type 1, version.
		if len(p) < 5 {
			return anyOf(len(p) < 3 || p[2] == 1)
		}
		if p[2] == 1 && (p[3] == 0 && p[4] == 2 || p[3] == 3 && p[4] <= 3) {
			return yes
		}
		return no
	}
	if p[0] < 0x14 || p[0] > 0x17 {
		return no
	}
	if len(p) < 2 {
		return more
	}
	if p[1] != 3 {
		return no
	}
	if len(p) < 3 {
		return more
	}
	if p[2] > 4 || in.dir == ToServer && p[0] != 0x16 {
		return no
	}
	return yes
}

func probeSSH(in *probeIn) answer { return prefix(in.data, "SSH-") }

// probeSMB knows the headers of SMB 1 to 3 behind the NetBIOS length, and the
// NetBIOS session request.
func probeSMB(in *probeIn) answer {
	p := in.data
	if p[0] == 0x81 && in.port(139) {
		if len(p) < 4 {
			return more
		}
		if p[1] == 0 && p[2] == 0 && p[3] == 68 {
			return yes
		}
		return no
	}
	if p[0] != 0 {
		return no
	}
	if len(p) < 8 {
		return anyOf(len(p) < 5 || p[4] >= 0xfc && (len(p) < 6 || p[5] == 'S'))
	}
	if string(p[5:8]) == "SMB" && p[4] >= 0xfc {
		return yes
	}
	return no
}

func probeSMTP(in *probeIn) answer {
	if in.dir == ToServer {
		return anyPrefix(in.data, prefixFold, []string{"ehlo", "helo", "quit"})
	}
	// A greeting that says what it is.
	p := in.data
	if a := prefix(p, "220"); a != yes {
		return a
	}
	i := bytes.IndexByte(p, '\n')
	if i < 0 {
		return anyOf(len(p) < 512)
	}
	if indexFold(p[:i], "smtp") >= 0 && (in.port(25) || in.port(465) || in.port(587)) {
		return yes
	}
	return no
}

func probeFTP(in *probeIn) answer {
	if in.dir == ToClient {
		p := in.data
		if a := prefix(p, "220"); a != yes {
			return a
		}
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			return anyOf(len(p) < 512)
		}
		if in.port(21) && indexFold(p[:i], "ftp") >= 0 {
			return yes
		}
		return no
	}
	return anyPrefix(in.data, prefixFold, []string{"user ", "pass ", "port ", "feat"})
}

func probeRFB(in *probeIn) answer {
	p := in.data
	if a := prefix(p, "RFB "); a != yes {
		return a
	}
	if len(p) < 12 {
		return more
	}
	if p[7] == '.' && p[11] == '\n' {
		return yes
	}
	return no
}

func probeIMAP(in *probeIn) answer {
	if in.dir == ToServer {
		return prefixFold(in.data, "1 capability")
	}
	return prefix(in.data, "* OK ")
}

var sipMethods = []string{
	"REGISTER ", "INVITE ", "OPTIONS ", "ACK ", "BYE ", "CANCEL ", "PRACK ", "SUBSCRIBE ", "NOTIFY ", "PUBLISH ",
	"INFO ", "REFER ", "MESSAGE ", "UPDATE ",
}

func probeSIP(in *probeIn) answer {
	p := in.data
	switch prefix(p, "SIP/2.0 ") {
	case yes:
		return yes
	case more:
		return more
	}
	for _, m := range sipMethods {
		switch prefix(p, m) {
		case more:
			return more
		case yes:
			q := p[len(m):]
			if a := anyPrefix(q, prefixFold, []string{"sip:", "sips:", "tel:"}); a != no {
				return a
			}
			return no
		}
	}
	return no
}

// probeDCERPC knows connection-oriented DCE/RPC by its header.
func probeDCERPC(in *probeIn) answer {
	p := in.data
	if p[0] != 5 {
		return no
	}
	if len(p) < 16 {
		return anyOf(len(p) < 2 || p[1] == 0)
	}
	order := binary.ByteOrder(binary.BigEndian)
	if p[4]&0x10 != 0 {
		order = binary.LittleEndian
	}
	n := order.Uint16(p[8:])
	if p[1] == 0 && p[2] <= 19 && p[4]&0xee == 0 && p[5] <= 3 && n >= 16 {
		return yes
	}
	return no
}

// probeRDP knows X.224 connection requests and confirms in TPKT.
func probeRDP(in *probeIn) answer {
	p := in.data
	if p[0] != 3 {
		return no
	}
	if len(p) < 7 {
		return anyOf(len(p) < 2 || p[1] == 0)
	}
	n := int(p[2])<<8 | int(p[3])
	want := byte(0xe0)
	if in.dir == ToClient {
		want = 0xd0
	}
	if p[1] == 0 && n >= 11 && int(p[4]) == n-5 && p[5] == want {
		return yes
	}
	return no
}

// probeMQTT knows CONNECT and CONNACK.
func probeMQTT(in *probeIn) answer {
	p := in.data
	if in.dir == ToClient {
		if p[0] != 0x20 {
			return no
		}
		if len(p) < 4 {
			return more
		}
		if p[1] >= 2 && p[1] < 0x80 && p[2] <= 1 && (p[3] <= 5 || p[3] >= 0x80 && p[3] < 0xa3) && in.port(1883) {
			return yes
		}
		return no
	}
	if p[0] != 0x10 {
		return no
	}
	i := 1
	for i < len(p) && i < 5 && p[i]&0x80 != 0 {
		i++
	}
	if len(p) < i+7 {
		return more
	}
	q := p[i+1:]
	if prefix(q, "\x00\x04MQTT") != no {
		return prefix(q, "\x00\x04MQTT")
	}
	return prefix(q, "\x00\x06MQIsdp")
}

// probeKRB5Stream knows Kerberos messages behind their record mark.
func probeKRB5Stream(in *probeIn) answer {
	p := in.data
	if !in.port(88) {
		return no
	}
	if p[0] != 0 {
		return no
	}
	if len(p) < 8 {
		return more
	}
	return krb5Message(p[4:])
}

// krb5Message looks for an application tag of Kerberos with a version field
// behind it.
func krb5Message(p []byte) answer {
	if len(p) < 4 || p[0]&0xe0 != 0x60 {
		return no
	}
	switch p[0] & 0x1f {
	case 10, 11, 12, 13, 14, 15, 30:
	default:
		return no
	}
	if len(p) < 20 {
		return more
	}
	i := 1 + derLen(p[1:])
	if i+1 < len(p) && p[i] == 0x30 {
		return yes
	}
	return no
}

// derLen is how many bytes a DER length takes.
func derLen(p []byte) int {
	if p[0]&0x80 == 0 {
		return 1
	}
	return 1 + int(p[0]&0x7f)&7
}

// probeNFSStream knows ONC RPC with the program of NFS (RFC 5531).
func probeNFSStream(in *probeIn) answer {
	p := in.data
	if p[0]&0x80 == 0 {
		return no
	}
	if len(p) < 4 {
		return anyOf(len(p) < 2 || p[0] == 0x80)
	}
	if p[0] != 0x80 {
		return no
	}
	return rpcMessage(p[4:], in)
}

func rpcMessage(p []byte, in *probeIn) answer {
	if len(p) < 20 {
		return anyOf(len(p) < 8 || p[4] == 0 && p[5] == 0 && p[6] == 0 && p[7] <= 1)
	}
	if binary.BigEndian.Uint32(p[4:]) == 0 && binary.BigEndian.Uint32(p[8:]) == 2 &&
		binary.BigEndian.Uint32(p[12:]) == 100003 && binary.BigEndian.Uint32(p[16:]) <= 4 {
		return yes
	}
	if in.port(2049) && binary.BigEndian.Uint32(p[4:]) == 1 && binary.BigEndian.Uint32(p[8:]) <= 1 {
		return yes
	}
	return no
}

// probeDNSStream knows DNS behind its two bytes of length.
func probeDNSStream(in *probeIn) answer {
	p := in.data
	if !in.port(53) {
		if len(p) < 14 {
			return anyOf(len(p) < 2 || p[0] < 2 && (p[0] != 0 || p[1] >= 17))
		}
		n := int(p[0])<<8 | int(p[1])
		if n < 17 || n > 512 || p[5] != 0 && p[4]&0x80 == 0 && p[5]&0x8f != 0 {
			return no
		}
		if len(p) < n+2 {
			// Wait only if what is there looks like one question.
			return anyOf(dnsHeader(p[2:]))
		}
		return decided(dnsWhole(p[2:n+2], in.dir))
	}
	if len(p) < 14 {
		return more
	}
	return decided(int(p[0])<<8|int(p[1]) >= 12 && dnsHeaderLoose(p[2:], in.dir))
}

func decided(b bool) answer {
	if b {
		return yes
	}
	return no
}

// probeTelnet knows option negotiation: IAC WILL, WONT, DO or DONT, twice.
func probeTelnet(in *probeIn) answer {
	p := in.data
	for i := 0; i < 6; i++ {
		if i == len(p) {
			return more
		}
		switch i % 3 {
		case 0:
			if p[i] != 0xff {
				return no
			}
		case 1:
			if p[i] < 0xfb || p[i] > 0xfe {
				return no
			}
		}
	}
	return yes
}
