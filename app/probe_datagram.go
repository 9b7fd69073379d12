package app

import (
	"bytes"
	"encoding/binary"
)

// dnsLooks says whether p looks like a message of n bytes, of which some may
// be missing: as many records as n has room for.
func dnsLooks(p []byte, n int, part bool) bool {
	if len(p) < 12 {
		return false
	}
	questions, records := int(binary.BigEndian.Uint16(p[4:])), 0
	for i := 4; i < 12; i += 2 {
		records += int(binary.BigEndian.Uint16(p[i:]))
	}
	if 2*records > n {
		return false
	}
	if part {
		return true
	}
	// The names of the questions must not be wrong; they may be cut off.
	at := 12
	for ; questions > 0; questions-- {
		for labels := 0; ; labels++ {
			if at >= len(p) {
				return true
			}
			l := int(p[at])
			if l == 0 {
				at++
				break
			}
			if l&0xc0 == 0xc0 {
				at += 2
				break
			}
			if l&0xc0 != 0 || labels > 255 {
				return false
			}
			at += 1 + l
		}
		at += 4
	}
	return true
}

func probeDNSDatagram(in *probeIn) answer {
	p := in.data
	if !dnsLooks(p, len(p), false) {
		return no
	}
	in.turned = (p[2]&0x80 != 0) != (in.dir == ToClient)
	return yes
}

// probeDHCP takes whatever is long enough for BOOTP.
func probeDHCP(in *probeIn) answer { return decided(len(in.data) >= 232) }

// probeQUIC knows a header: a long one of any version, or a short one.
func probeQUIC(in *probeIn) answer {
	p := in.data
	if p[0]&0x80 == 0 {
		return decided(len(p) >= 17)
	}
	if len(p) < 6 {
		return no
	}
	n := 6 + int(p[5])
	if len(p) <= n || len(p) < n+1+int(p[n]) {
		return no
	}
	return yes
}

// probeSNMP knows a BER sequence with a version and, by that, a community or a
// header.
func probeSNMP(in *probeIn) answer {
	p := in.data
	if len(p) < 8 || p[0] != 0x30 {
		return no
	}
	i, n := 1+derLen(p[1:]), int(p[1])
	if n&0x80 != 0 {
		if n = 0; i > 4 || i > len(p) {
			return no
		}
		for _, b := range p[2:i] {
			n = n<<8 | int(b)
		}
	}
	if i+4 > len(p) || i+n > len(p) || p[i] != 2 || p[i+1] != 1 {
		return no
	}
	switch p[i+2] {
	case 0, 1:
		return decided(p[i+3] == 4)
	case 3:
		return decided(p[i+3] == 0x30)
	}
	return no
}

func probeNTP(in *probeIn) answer {
	p := in.data
	v := p[0] >> 3 & 7
	return decided(len(p) >= 48 && (v == 3 || v == 4))
}

// probeTFTP takes whatever begins with a zero.
func probeTFTP(in *probeIn) answer { return decided(len(in.data) >= 4 && in.data[0] == 0) }

// probeSIP knows a whole head: a request in the client's direction, a response
// in the server's.
func probeSIP(in *probeIn) answer {
	line, rest, ok := bytes.Cut(in.data, []byte("\r\n"))
	if !ok {
		return no
	}
	one, two, ok := bytes.Cut(line, []byte(" "))
	if !ok {
		return no
	}
	if in.dir == ToServer {
		uri, version, ok := bytes.Cut(two, []byte(" "))
		if !ok || len(one) == 0 || len(uri) == 0 || len(version) == 0 {
			return no
		}
		for _, c := range one {
			if lower(c) < 'a' || lower(c) > 'z' {
				return no
			}
		}
	} else if code, _, ok := bytes.Cut(two, []byte(" ")); !ok || len(one) == 0 || len(code) != 3 || !digit(code[0]) || !digit(code[1]) || !digit(code[2]) {
		return no
	}
	for {
		if line, rest, ok = bytes.Cut(rest, []byte("\r\n")); !ok {
			return no
		}
		if len(line) == 0 {
			return yes
		}
		if line[0] != ' ' && line[0] != '\t' && bytes.IndexByte(line, ':') < 1 {
			return no
		}
	}
}

// probeIKE knows ISAKMP headers (RFC 7296, section 3.1).
func probeIKE(in *probeIn) answer {
	p := in.data
	if len(p) < 28 {
		return no
	}
	switch p[17] >> 4 {
	case 1:
	case 2:
		if p[17]&15 != 0 || p[18] < 34 || p[18] > 37 || int(binary.BigEndian.Uint32(p[24:])) != len(p) {
			return no
		}
	default:
		return no
	}
	in.turned = in.dir == ToClient && binary.BigEndian.Uint64(p[8:]) == 0
	return yes
}

func probeKRB5Datagram(in *probeIn) answer { return decided(krb5Message(in.data) == yes) }

func probeNFSDatagram(in *probeIn) answer {
	p := in.data
	if len(p) < 24 {
		return no
	}
	if in.dir == ToClient {
		return decided(rpcAnswer(p) == yes)
	}
	v := binary.BigEndian.Uint32(p[16:])
	if !rpcCall(p) || v != 2 && v != 3 {
		return no
	}
	// Two kinds of credentials must be there, too.
	at := 24
	for range 2 {
		if at+8 > len(p) {
			return no
		}
		at += 8 + int(binary.BigEndian.Uint32(p[at+4:])&0xffff)
	}
	return decided(at < len(p))
}

// probeDCERPCDatagram knows connectionless DCE/RPC.
func probeDCERPCDatagram(in *probeIn) answer {
	p := in.data
	return decided(len(p) >= dcerpcDatagramAt && p[0] == 4 && p[3]&0xfc == 0 && p[4]&0xee == 0 && p[5] <= 3)
}
