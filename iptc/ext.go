package iptc

// userSize is how many bytes of an extension's data count when rules are
// compared: the rest is the kernel's own (xt_match.usersize).
func userSize(_ Family, _ bool, e Extension) int { return len(e.Data) }
