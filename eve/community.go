package eve

import (
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"math/bits"
	"net/netip"
	"strconv"

	"github.com/garita/garita/packet"
)

func appendUint(b []byte, v uint64) []byte { return strconv.AppendUint(b, v, 10) }

// appendPrintable writes bytes as text, everything that cannot be shown as a
// dot.
func appendPrintable(b, s []byte) []byte {
	t := make([]byte, len(s))
	for i, c := range s {
		if (c < 0x20 && c != '\n' && c != '\r') || c >= 0x7f {
			c = '.'
		}
		t[i] = c
	}
	return appendString(b, t)
}

// communityID is the Community ID flow hash, version 1
// (github.com/corelight/community-id-spec).
func communityID(src, dst netip.Addr, sport, dport uint16, proto uint8, seed uint16) string {
	if !src.IsValid() {
		return ""
	}
	if proto == packet.ProtoICMP || proto == packet.ProtoICMPv6 {
		sport, dport = sport>>8, dport>>8 // the types
	}
	// Between a host and itself Suricata compares the ports as they lie in the
	// memory of a little-endian machine.
	if c := src.Compare(dst); c > 0 || (c == 0 && bits.ReverseBytes16(sport) > bits.ReverseBytes16(dport)) {
		src, dst, sport, dport = dst, src, dport, sport
	}
	b := binary.BigEndian.AppendUint16(nil, seed)
	b = append(append(b, src.AsSlice()...), dst.AsSlice()...)
	b = append(b, proto, 0)
	if hasPorts(proto) || proto == packet.ProtoICMP || proto == packet.ProtoICMPv6 {
		b = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(b, sport), dport)
	}
	h := sha1.Sum(b)
	return "1:" + base64.StdEncoding.EncodeToString(h[:])
}
