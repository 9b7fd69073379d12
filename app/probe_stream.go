package app

import "encoding/binary"

// httpMethodNames are the methods by which Suricata knows a request.
var httpMethodNames = []string{
	"get", "put", "post", "head", "trace", "options", "connect", "delete", "patch", "propfind", "proppatch", "mkcol",
	"copy", "move", "lock", "unlock", "checkout", "uncheckout", "checkin", "update", "label", "report",
	"mkworkspace", "mkactivity", "merge", "invalid", "version-control", "baseline-control",
}

// probeMethod knows a method of HTTP with white space behind it.
func probeMethod(p []byte) bool {
	for _, m := range httpMethodNames {
		n := len(m)
		if len(p) > n && lower(p[0]) == m[0] && (p[n] == ' ' || p[n] == '\t') && equalFold(p[:n], m) {
			return true
		}
	}
	return false
}

// probeHTTP2 knows the SETTINGS that a server begins with.
func probeHTTP2(in *probeIn) answer {
	p := in.data
	if len(p) < 9 {
		return more
	}
	n := int(p[0])<<16 | int(p[1])<<8 | int(p[2])
	return decided(p[3] == 4 && p[4]&0xfe == 0 && p[5]&0x80 == 0 && n <= 16384)
}

// probeSSL2 knows the hello of a client of SSL 2.0.
func probeSSL2(in *probeIn) answer {
	p := in.data
	if len(p) < 3 {
		return more
	}
	return decided(p[0]&0x80 != 0 && p[2] == 1)
}

// probeSMB knows the headers of SMB 1 to 3 behind the length of NetBIOS, also
// behind a first short message of the session service.
func probeSMB(in *probeIn) answer {
	p := in.data
	if len(p) < 4 {
		return more
	}
	if p[0] != 0 && (p[0] < 0x81 || p[0] > 0x85) {
		return no
	}
	n := int(binary.BigEndian.Uint32(p) & 0x1ffff)
	if p = p[4:]; len(p) < 4 {
		return anyOf(n >= 4)
	}
	if smbText4(p) {
		// Both versions say whether they answer.
		switch {
		case p[0] == 0xff && len(p) > 9:
			in.turned = (p[9]&0x80 != 0) != (in.dir == ToClient)
		case p[0] == 0xfe && len(p) > 16:
			in.turned = (p[16]&1 != 0) != (in.dir == ToClient)
		}
		return yes
	}
	if in.data[0] == 0 {
		return no
	}
	if len(p) >= n+8 {
		return decided(p[n] == 0 && smbText4(p[n+4:]))
	}
	return anyOf(n < 256)
}

// smbText4 says whether p begins with the name of SMB.
func smbText4(p []byte) bool { return p[0] >= 0xfd && string(p[1:4]) == "SMB" }

// anyOf turns "still possible" into an answer.
func anyOf(possible bool) answer {
	if possible {
		return more
	}
	return no
}

func anyMore(b bool) answer {
	if b {
		return yes
	}
	return more
}

// probeDCERPC knows connection-oriented DCE/RPC by its header.
func probeDCERPC(in *probeIn) answer {
	p := in.data
	if len(p) < dcerpcHeader {
		return more
	}
	return decided(p[0] == 5 && p[1] == 0 && p[4]&0xee == 0 && p[5] <= 3)
}

// probeRDP knows TPKT.
func probeRDP(in *probeIn) answer { return anyMore(in.data[0] == 3) }

// probeMQTT knows a fixed header.
func probeMQTT(in *probeIn) answer {
	p := in.data
	if p[0]>>4 == 0 || p[0]>>1&3 == 3 {
		return no
	}
	for i := 1; i < 5; i++ {
		if i == len(p) {
			return more
		}
		if p[i]&0x80 == 0 {
			return yes
		}
	}
	return no
}

// probeKRB5Stream knows Kerberos messages behind their record mark.
func probeKRB5Stream(in *probeIn) answer {
	p := in.data
	if len(p) < 4 {
		return more
	}
	if binary.BigEndian.Uint32(p) > 16384 {
		return no
	}
	return krb5Message(p[4:])
}

// krb5Most is how many bytes krb5Message needs at most: tags and lengths of
// the message and of its sequence, and the version.
const krb5Most = 1 + 8 + 1 + 8 + 5

// krb5Message looks for an application tag of Kerberos with a version field
// behind it.
func krb5Message(p []byte) answer {
	if len(p) == 0 {
		return more
	}
	if p[0]&0xc0 != 0x40 || p[0]&0x1f > 30 {
		return no
	}
	if len(p) < 2 {
		return more
	}
	i := 1 + derLen(p[1:])
	if i+1 >= len(p) {
		return more
	}
	if p[i] != 0x30 {
		return no
	}
	i++
	if i += derLen(p[i:]); i+5 >= len(p) {
		return more
	}
	return decided(p[i+2] == 2 && p[i+3] == 1 && p[i+4] == 5)
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
	if len(p) < 28 {
		return more
	}
	n := binary.BigEndian.Uint32(p) & 0x7fffffff
	p = p[4:]
	if in.dir == ToClient {
		if n < 24 || n > 35000 {
			return no
		}
		return rpcAnswer(p)
	}
	v := binary.BigEndian.Uint32(p[16:])
	return decided(n >= 40 && rpcCall(p) && (v == 3 || v == 4))
}

// rpcCall says whether p is a call of NFS, of any version.
func rpcCall(p []byte) bool {
	return binary.BigEndian.Uint32(p[4:]) == 0 && binary.BigEndian.Uint32(p[8:]) == 2 && binary.BigEndian.Uint32(p[12:]) == 100003
}

// rpcAnswer looks for an answer to a call that was accepted. p has 24 bytes.
func rpcAnswer(p []byte) answer {
	if binary.BigEndian.Uint32(p[4:]) != 1 || binary.BigEndian.Uint32(p[8:]) != 0 {
		return no
	}
	n := int(binary.BigEndian.Uint32(p[16:]) & 0xffff)
	if n > rpcMaxAuth {
		return no
	}
	if len(p) < 24+n {
		return more
	}
	return decided(binary.BigEndian.Uint32(p[20+n:]) == 0)
}

// rpcMaxAuth is how long a verifier may be (RFC 5531 §8.2).
const rpcMaxAuth = 400

// probeDNSStream knows DNS behind its two bytes of length.
func probeDNSStream(in *probeIn) answer {
	p := in.data
	if len(p) < 14 {
		return more
	}
	n := int(binary.BigEndian.Uint16(p))
	p = p[2:]
	in.turned = (p[2]&0x80 != 0) != (in.dir == ToClient)
	return anyMore(dnsLooks(p[:min(n, len(p))], n, len(p) < n))
}

func decided(b bool) answer {
	if b {
		return yes
	}
	return no
}

// probeTelnet takes whatever comes on its port.
func probeTelnet(in *probeIn) answer { return anyMore(len(in.data) > 1) }
