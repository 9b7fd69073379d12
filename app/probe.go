package app

// probeState is what recognition remembers of a connection.
type probeState struct {
	lost  [2]bool  // bytes of this direction are missing
	tries [2]uint8 // datagrams that were not recognised
	// head and n are the first bytes of the direction that did not decide the
	// protocol.
	head [32]byte
	n    int
}

// probeLimit is how many bytes of a direction recognition looks at.
const probeLimit = 4096

// probeDatagrams is how many datagrams of a direction recognition looks at.
const probeDatagrams = 8

// answer is what a probe says of the first bytes of a direction. Once no or
// yes, it stays so however many bytes follow: then what the probes say together
// does not depend on chunks.
type answer uint8

const (
	no answer = iota
	more
	yes
)

// probeIn is what a probe may look at.
type probeIn struct {
	data             []byte
	dir              Dir
	srcPort, dstPort uint16 // of the flow
}

// port says whether either end of the flow is p.
func (in *probeIn) port(p uint16) bool { return in.srcPort == p || in.dstPort == p }

// streamProbes are asked in this order; the first that does not say no
// decides, or waits for more bytes. The strict ones come first.
var streamProbes = [...]struct {
	proto Proto
	probe func(in *probeIn) answer
}{
	{HTTP2, probeHTTP2},
	{HTTP1, probeHTTP1},
	{TLS, probeTLS},
	{SSH, probeSSH},
	{SMB, probeSMB},
	{SMTP, probeSMTP},
	{FTP, probeFTP},
	{RFB, probeRFB},
	{IMAP, probeIMAP},
	{SIP, probeSIP},
	{DCERPC, probeDCERPC},
	{RDP, probeRDP},
	{MQTT, probeMQTT},
	{KRB5, probeKRB5Stream},
	{NFS, probeNFSStream},
	{DNS, probeDNSStream},
	{MODBUS, probeModbus},
	{PGSQL, probePGSQL},
	{ENIP, probeENIP},
	{TELNET, probeTelnet},
	{BitTorrentDHT, probeDHT},
}

// datagramProbes are asked in this order.
var datagramProbes = [...]struct {
	proto Proto
	probe func(in *probeIn) answer
}{
	{BitTorrentDHT, probeDHT},
	{SIP, probeSIP},
	{DHCP, probeDHCP},
	{QUIC, probeQUIC},
	{SNMP, probeSNMP},
	{NTP, probeNTP},
	{TFTP, probeTFTP},
	{IKE, probeIKE},
	{KRB5, probeKRB5Datagram},
	{NFS, probeNFSDatagram},
	{DCERPC, probeDCERPCDatagram},
	{ENIP, probeENIP},
	{DNS, probeDNSDatagram},
}

// recognise says what the first bytes of direction d look like. wait: nothing
// yet, but more bytes could tell.
func (c *Conn) recognise(d Dir, data []byte) (p Proto, wait bool) {
	in := probeIn{data, d, c.hints.SrcPort, c.hints.DstPort}
	if c.hints.Transport == UDP {
		for i := range datagramProbes {
			if q := &datagramProbes[i]; !c.env.Config.Disabled.Has(q.proto) && q.probe(&in) == yes {
				return q.proto, false
			}
		}
		return Unknown, false
	}
	for i := range streamProbes {
		q := &streamProbes[i]
		if c.env.Config.Disabled.Has(q.proto) {
			continue
		}
		switch q.probe(&in) {
		case yes:
			return q.proto, false
		case more:
			return Unknown, true
		}
	}
	return Unknown, false
}

// prefix compares the beginning of data with s.
func prefix(data []byte, s string) answer {
	n := min(len(data), len(s))
	if string(data[:n]) != s[:n] {
		return no
	}
	if n < len(s) {
		return more
	}
	return yes
}

// prefixFold is prefix without regard to case; s is in lower case.
func prefixFold(data []byte, s string) answer {
	n := min(len(data), len(s))
	if !equalFold(data[:n], s[:n]) {
		return no
	}
	if n < len(s) {
		return more
	}
	return yes
}

// anyPrefix is the best of prefix over several strings.
func anyPrefix(data []byte, f func([]byte, string) answer, ss []string) answer {
	best := no
	for _, s := range ss {
		if a := f(data, s); a > best {
			best = a
		}
	}
	return best
}
