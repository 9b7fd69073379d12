package app

import (
	"bytes"
	"encoding/binary"
)

// probeDHT knows BitTorrent's distributed hash table (BEP 5).
func probeDHT(in *probeIn) answer {
	p := in.data
	best := no
	for _, s := range [...]string{"d1:ad2:id20:", "d1:rd2:id20:", "d2:ip6:", "d1:eli20"} {
		if a := prefix(p, s); a > best {
			best = a
		}
	}
	return best
}

// dnsHeader says whether a header looks like a plain query or answer.
func dnsHeader(p []byte) bool {
	if len(p) < 12 {
		return true
	}
	flags := binary.BigEndian.Uint16(p[2:])
	qd := binary.BigEndian.Uint16(p[4:])
	op := flags >> 11 & 15
	return op <= 5 && op != 3 && flags&0x40 == 0 && qd == 1 && flags&15 <= 10
}

// dnsHeaderLoose is what is asked of a message on DNS's own port.
func dnsHeaderLoose(p []byte, d Dir) bool {
	if len(p) < 12 {
		return false
	}
	flags := binary.BigEndian.Uint16(p[2:])
	op := flags >> 11 & 15
	n := int(binary.BigEndian.Uint16(p[4:])) + int(binary.BigEndian.Uint16(p[6:])) + int(binary.BigEndian.Uint16(p[8:])) + int(binary.BigEndian.Uint16(p[10:]))
	return op <= 6 && n > 0 && n < 1000
}

// dnsWhole says whether p is a message of one question with a sane name.
func dnsWhole(p []byte, d Dir) bool {
	if len(p) < 17 || !dnsHeader(p) {
		return false
	}
	i := 12
	for labels := 0; ; labels++ {
		if i >= len(p) || labels > 127 {
			return false
		}
		n := int(p[i])
		if n == 0 {
			i++
			break
		}
		if n > 63 || i+1+n >= len(p) {
			return false
		}
		for _, b := range p[i+1 : i+1+n] {
			if b <= 32 || b >= 127 {
				return false
			}
		}
		i += 1 + n
	}
	if i+4 > len(p) {
		return false
	}
	class := binary.BigEndian.Uint16(p[i+2:])
	typ := binary.BigEndian.Uint16(p[i:])
	if class != 1 && class != 255 && class != 3 || typ == 0 {
		return false
	}
	query := p[2]&0x80 == 0
	rest := binary.BigEndian.Uint16(p[6:]) | binary.BigEndian.Uint16(p[8:])
	return !query || rest == 0 && (i+4 == len(p) || binary.BigEndian.Uint16(p[10:]) > 0)
}

func probeDNSDatagram(in *probeIn) answer {
	if in.port(53) {
		return decided(dnsHeaderLoose(in.data, in.dir))
	}
	if in.port(5353) || in.port(5355) || in.port(137) {
		return no // relatives of DNS
	}
	return decided(dnsWhole(in.data, in.dir))
}

// probeDHCP knows BOOTP with the magic cookie of DHCP (RFC 2131).
func probeDHCP(in *probeIn) answer {
	p := in.data
	return decided(len(p) >= 240 && p[0] >= 1 && p[0] <= 2 && p[1] == 1 && binary.BigEndian.Uint32(p[236:]) == 0x63825363 &&
		(in.port(67) || in.port(68)))
}

// probeQUIC knows long headers of the versions that can be decrypted, and
// those of Google.
func probeQUIC(in *probeIn) answer {
	p := in.data
	if len(p) < 8 || !in.port(443) && !in.port(80) && in.dir == ToServer && len(p) < 1200 {
		return no
	}
	if p[0]&0xc0 == 0xc0 {
		v := binary.BigEndian.Uint32(p[1:])
		if v == 1 || v == 0x6b3343cf || v>>8 == 0xff0000 && v&0xff >= 23 && v&0xff <= 34 || v&0x0f0f0f0f == 0x0a0a0a0a {
			return decided(p[5] <= 20)
		}
		return decided(v>>16 == 0x5130 || v>>16 == 0x5430) // Q046, T051 …
	}
	// Google's public header: version flag, connection identifier, Q0xx.
	if in.port(443) && p[0]&0xc9 == 0x09 && len(p) > 13 && p[9] == 'Q' && p[10] == '0' {
		return yes
	}
	return no
}

// probeSNMP knows a BER sequence with a version of 0, 1 or 3 first.
func probeSNMP(in *probeIn) answer {
	p := in.data
	if !in.port(161) && !in.port(162) || len(p) < 8 || p[0] != 0x30 {
		return no
	}
	i := 1 + derLen(p[1:])
	return decided(i+3 <= len(p) && p[i] == 2 && p[i+1] == 1 && (p[i+2] <= 1 || p[i+2] == 3))
}

func probeNTP(in *probeIn) answer {
	p := in.data
	if !in.port(123) || len(p) < 12 {
		return no
	}
	v, mode := p[0]>>3&7, p[0]&7
	switch {
	case mode == 6 || mode == 7:
		return decided(v >= 1 && v <= 4)
	case len(p) < 48:
		return no
	}
	return decided(v >= 1 && v <= 4 && mode >= 1)
}

func probeTFTP(in *probeIn) answer {
	p := in.data
	if in.dstPort != 69 || len(p) < 6 || p[0] != 0 || p[1] < 1 || p[1] > 2 {
		return no
	}
	i := bytes.IndexByte(p[2:], 0)
	if i < 1 {
		return no
	}
	q := p[2+i+1:]
	j := bytes.IndexByte(q, 0)
	if j < 0 {
		return no
	}
	return decided(equalFold(q[:j], "octet") || equalFold(q[:j], "netascii") || equalFold(q[:j], "mail"))
}

// probeIKE knows ISAKMP headers (RFC 7296, section 3.1).
func probeIKE(in *probeIn) answer {
	p := in.data
	if in.port(4500) && len(p) > 4 && binary.BigEndian.Uint32(p) == 0 {
		p = p[4:]
	}
	if len(p) < 28 || !in.port(500) && !in.port(4500) && !in.port(848) {
		return no
	}
	if v := p[17]; v != 0x10 && v != 0x20 && v != 0x21 {
		return no
	}
	return decided(binary.BigEndian.Uint64(p) != 0 && int(binary.BigEndian.Uint32(p[24:])) >= 28 && p[18] != 0)
}

func probeKRB5Datagram(in *probeIn) answer {
	if !in.port(88) || len(in.data) < 20 {
		return no
	}
	return decided(krb5Message(in.data) == yes)
}

func probeNFSDatagram(in *probeIn) answer {
	return decided(len(in.data) >= 20 && rpcMessage(in.data, in) == yes)
}

// probeDCERPCDatagram knows connectionless DCE/RPC.
func probeDCERPCDatagram(in *probeIn) answer {
	p := in.data
	if len(p) < 80 || p[0] != 4 || p[1] > 10 || p[3]&0xfc != 0 {
		return no
	}
	return decided(p[4]&0xee == 0 && p[5] <= 3)
}
