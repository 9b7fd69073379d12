package app

import "bytes"

// probeDNP3 knows the start of a link frame, or a banner with the protocol's
// name.
func probeDNP3(in *probeIn) answer {
	p := in.data
	if bytes.Contains(p, []byte("DNP3")) {
		return yes
	}
	if len(p) < 10 {
		return more
	}
	return decided(p[0] == 5 && p[1] == 0x64 && p[2] >= 5)
}
