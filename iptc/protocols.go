package iptc

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// protocols are the names of IP protocols that hold without /etc/protocols.
var protocols = map[uint8]string{1: "icmp", 6: "tcp", 17: "udp", 33: "dccp", 50: "esp", 51: "ah", 58: "ipv6-icmp", 108: "ipcomp",
	132: "sctp", 135: "mobility-header", 136: "udplite"}

// protoAliases are names that are read but not written.
var protoAliases = map[string]uint8{"all": 0, "icmpv6": 58, "icmp6": 58, "mh": 135, "ipv6-mh": 135}

// protoNames is the machine's list, as getprotobynumber(3) sees it: the first
// name of a number counts. Read anew each time: it is small, and a long-running
// program should see it change.
func protoNames() map[uint8]string {
	names := map[uint8]string{}
	b, _ := os.ReadFile("/etc/protocols")
	for line := range strings.Lines(string(b)) {
		line, _, _ = strings.Cut(line, "#")
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		if n, err := strconv.ParseUint(f[1], 10, 8); err == nil && names[uint8(n)] == "" {
			names[uint8(n)] = f[0]
		}
	}
	for n, s := range protocols {
		if names[n] == "" {
			names[n] = s
		}
	}
	return names
}

func protoName(n uint8) string {
	if s := protocols[n]; s != "" {
		return s
	}
	return strconv.Itoa(int(n))
}

// protoNumber reads a protocol's number or name.
func protoNumber(s string) (uint8, error) {
	if v, err := num(s, 255); err == nil {
		return uint8(v), nil
	}
	l := strings.ToLower(s)
	if n, ok := protoAliases[l]; ok {
		return n, nil
	}
	for n, name := range protocols {
		if name == l {
			return n, nil
		}
	}
	for n, name := range protoNames() {
		if strings.EqualFold(name, s) {
			return n, nil
		}
	}
	return 0, fmt.Errorf("unknown protocol \"%s\" specified", s)
}
