package app

// probeState is what recognition remembers of a connection.
type probeState struct {
	// settled directions are looked at no longer: their bytes go to the
	// parser, or nowhere.
	settled [2]bool
	lost    [2]bool     // bytes of this direction are missing
	texts   [2]bool     // the patterns have been looked for
	ports   [2]bool     // the probes of the ports have all said no
	refused [2]ProtoSet // those that said no
	// began says that there were bytes, first by which direction. parsing: a
	// parser has had some.
	began, parsing bool
	first          Dir
}

// answer is what a probe says of the first bytes of a direction.
type answer uint8

const (
	no   answer = iota
	more        // too few bytes to say
	yes
)

// probeIn is what a probe may look at.
type probeIn struct {
	data             []byte
	dir              Dir
	srcPort, dstPort uint16 // of the flow
	// turned is set by a probe that sees bytes of the other direction.
	turned bool
}

// pattern is a text that names a protocol by its place at the beginning of a
// direction, on any port.
type pattern struct {
	proto Proto
	at    int
	text  string // in lower case if fold
	fold  bool
	probe func(in *probeIn) answer // has the last word, nil if there is none
}

// portProbe is a probe that is asked on certain ports of the server only.
type portProbe struct {
	proto  Proto
	ports  []PortRange
	source bool // also as port of the client
	// A probe is not asked before there are so many bytes; one that cannot say
	// of limit bytes will not be able to say.
	least, limit int
	probe        [2]func(in *probeIn) answer
}

func both(f func(in *probeIn) answer) [2]func(in *probeIn) answer {
	return [2]func(in *probeIn) answer{f, f}
}

// streamPatterns are looked for in streams, by direction; the first that is
// found decides. The words of HTTP come by themselves (probeMethod).
var streamPatterns = [2][]pattern{
	ToServer: {
		{proto: HTTP2, text: "PRI * HTTP/2.0\r\n"},
		{proto: SMTP, text: "ehlo", fold: true}, {proto: SMTP, text: "helo", fold: true}, {proto: SMTP, text: "quit", fold: true},
		{proto: FTP, text: "feat", fold: true}, {proto: FTP, text: "user ", fold: true}, {proto: FTP, text: "pass ", fold: true},
		{proto: FTP, text: "port ", fold: true},
		{proto: SSH, text: "SSH-"},
		{proto: TLS, text: "\x16\x03\x00"}, {proto: TLS, text: "\x16\x03\x01"}, {proto: TLS, text: "\x16\x03\x02"}, {proto: TLS, text: "\x16\x03\x03"},
		{proto: TLS, text: "\x01\x03\x00"}, {proto: TLS, text: "\x01\x03\x01"}, {proto: TLS, text: "\x01\x03\x02"}, {proto: TLS, text: "\x01\x03\x03"},
		{proto: TLS, text: "\x01\x00\x02", at: 2, probe: probeSSL2},
		{proto: IMAP, text: "1 capability", fold: true},
		{proto: RFB, text: "RFB "},
		{proto: SMB, text: "\xffSMB", at: 4, probe: probeSMB}, {proto: SMB, text: "\xfeSMB", at: 4, probe: probeSMB}, {proto: SMB, text: "\xfdSMB", at: 4, probe: probeSMB},
		{proto: DCERPC, text: "\x05\x00", probe: probeDCERPC},
	},
	ToClient: {
		{proto: HTTP1, text: "http/0.9", fold: true}, {proto: HTTP1, text: "http/1.0", fold: true}, {proto: HTTP1, text: "http/1.1", fold: true},
		{proto: FTP, text: "220 (", fold: true},
		{proto: SSH, text: "SSH-"},
		{proto: TLS, text: "\x15\x03\x00"}, {proto: TLS, text: "\x15\x03\x01"}, {proto: TLS, text: "\x15\x03\x02"}, {proto: TLS, text: "\x15\x03\x03"},
		{proto: TLS, text: "\x16\x03\x00"}, {proto: TLS, text: "\x16\x03\x01"}, {proto: TLS, text: "\x16\x03\x02"}, {proto: TLS, text: "\x16\x03\x03"},
		{proto: TLS, text: "\x17\x03\x00"}, {proto: TLS, text: "\x17\x03\x01"}, {proto: TLS, text: "\x17\x03\x02"}, {proto: TLS, text: "\x17\x03\x03"},
		{proto: RFB, text: "RFB "},
		{proto: SMB, text: "\xffSMB", at: 4, probe: probeSMB}, {proto: SMB, text: "\xfeSMB", at: 4, probe: probeSMB}, {proto: SMB, text: "\xfdSMB", at: 4, probe: probeSMB},
		{proto: DCERPC, text: "\x05\x00", probe: probeDCERPC},
	},
}

// patternDepth is how many bytes of a direction of a stream the patterns need.
var patternDepth = [2]int{ToServer: len("baseline-control "), ToClient: 8}

var datagramPatterns = [...]pattern{
	{proto: BitTorrentDHT, text: "d1:ad2:id20:"},
	{proto: DCERPC, text: "\x04\x00", probe: probeDCERPCDatagram},
}

// streamPorts are asked in this order when no pattern is found.
var streamPorts = [...]portProbe{
	{proto: HTTP2, ports: []PortRange{{80, 80}}, limit: 24, probe: [2]func(*probeIn) answer{ToClient: probeHTTP2}},
	{proto: TLS, ports: []PortRange{{443, 443}}, limit: 3, probe: [2]func(*probeIn) answer{ToServer: probeSSL2}},
	{proto: DNS, ports: []PortRange{{53, 53}}, limit: 14, probe: both(probeDNSStream)},
	{proto: SMB, ports: []PortRange{{139, 139}, {445, 445}}, least: 36, limit: 36, probe: both(probeSMB)},
	{proto: NFS, ports: []PortRange{{2049, 2049}}, limit: 4 + 24 + rpcMaxAuth, probe: both(probeNFSStream)},
	{proto: KRB5, ports: []PortRange{{88, 88}}, limit: 4 + krb5Most, probe: both(probeKRB5Stream)},
	{proto: MQTT, ports: []PortRange{{1883, 1883}}, limit: 16, probe: both(probeMQTT)},
	{proto: RDP, ports: []PortRange{{3389, 3389}}, limit: 16, probe: both(probeRDP)},
	{proto: TELNET, ports: []PortRange{{23, 23}}, limit: 16, probe: both(probeTelnet)},
	{proto: MODBUS, ports: []PortRange{{502, 502}}, limit: modbusMaxUnit, probe: both(probeModbus)},
	{proto: DNP3, ports: []PortRange{{20000, 20000}}, limit: 16, probe: both(probeDNP3)},
	{proto: PGSQL, ports: []PortRange{{5432, 5432}}, limit: pgsqlMaxStartup, probe: both(probePGSQL)},
	{proto: ENIP, ports: []PortRange{{44818, 44818}}, source: true, limit: 24, probe: both(probeENIP)},
}

var datagramPorts = [...]portProbe{
	{proto: DNS, ports: []PortRange{{53, 53}}, probe: both(probeDNSDatagram)},
	{proto: DHCP, ports: []PortRange{{67, 67}, {68, 68}}, probe: both(probeDHCP)},
	{proto: SNMP, ports: []PortRange{{161, 161}, {162, 162}}, probe: both(probeSNMP)},
	{proto: NTP, ports: []PortRange{{123, 123}}, probe: both(probeNTP)},
	{proto: TFTP, ports: []PortRange{{69, 69}}, probe: both(probeTFTP)},
	{proto: QUIC, ports: []PortRange{{443, 443}, {80, 80}}, probe: both(probeQUIC)},
	{proto: SIP, ports: []PortRange{{5060, 5060}, {5061, 5061}}, probe: both(probeSIP)},
	{proto: IKE, ports: []PortRange{{500, 500}}, probe: both(probeIKE)},
	{proto: KRB5, ports: []PortRange{{88, 88}}, probe: both(probeKRB5Datagram)},
	{proto: NFS, ports: []PortRange{{2049, 2049}}, probe: both(probeNFSDatagram)},
	{proto: ENIP, ports: []PortRange{{44818, 44818}}, source: true, probe: both(probeENIP)},
}

// PortRange are the ports from First to Last.
type PortRange struct{ First, Last uint16 }

func (r PortRange) has(p uint16) bool { return p >= r.First && p <= r.Last }

// on says whether the probe is asked on a flow with these ports.
func (q *portProbe) on(in *probeIn) bool {
	for _, r := range q.ports {
		if r.has(in.dstPort) || q.source && r.has(in.srcPort) {
			return true
		}
	}
	return false
}

// probesOn is a table of probes with the ports that the operator chose.
func probesOn(table []portProbe, chosen map[Proto][]PortRange) []portProbe {
	if len(chosen) == 0 {
		return table
	}
	table = append([]portProbe(nil), table...)
	for i := range table {
		if r := chosen[table[i].proto]; r != nil {
			table[i].ports = r
		}
	}
	return table
}

// find looks for a pattern at the beginning of in.data.
func find(list []pattern, in *probeIn, off ProtoSet) Proto {
	for i := range list {
		q := &list[i]
		end := q.at + len(q.text)
		if len(in.data) < end || off.Has(q.proto) {
			continue
		}
		b := in.data[q.at:end]
		if q.fold && !equalFold(b, q.text) || !q.fold && string(b) != q.text {
			continue
		}
		if q.probe == nil || q.probe(in) == yes {
			return q.proto
		}
	}
	return Unknown
}

// recognise says what the first bytes of direction d look like: all bytes of
// the direction so far, or a datagram. What can no longer be found is noted in
// c.probe.
func (c *Conn) recognise(d Dir, data []byte) Proto {
	in := probeIn{data: data, dir: d, srcPort: c.hints.SrcPort, dstPort: c.hints.DstPort}
	off, s := c.env.Config.Disabled, &c.probe
	ports := c.env.streamPorts
	if c.hints.Transport == UDP {
		if p := find(datagramPatterns[:], &in, off); p != Unknown {
			return p
		}
		ports = c.env.datagramPorts
	} else if !s.texts[d] {
		p := Unknown
		if d == ToServer && !off.Has(HTTP1) && probeMethod(data) {
			p = HTTP1
		}
		if p == Unknown {
			p = find(streamPatterns[d], &in, off)
		}
		if p == Unknown && c.hints.Midstream {
			// Who is the client was guessed: it may be the other one.
			back := in
			back.dir = d.Other()
			if d == ToClient && !off.Has(HTTP1) && probeMethod(data) {
				p = HTTP1
			}
			if p == Unknown {
				p = find(streamPatterns[back.dir], &back, off)
			}
			in.turned = p != Unknown
		}
		if p != Unknown {
			if in.turned {
				c.flags |= flagTurned
			}
			s.texts[d] = true
			if o := d.Other(); s.ports[o] && c.proto[o] == Unknown {
				s.ports[o] = false // ask again, now that this side is known
			}
			return p
		}
		s.texts[d] = len(data) >= patternDepth[d]
	}
	if s.ports[d] {
		return Unknown
	}
	waiting := false
	// What the other direction is comes first, on any port.
	other := c.proto[d.Other()]
	rounds := 2
	if c.hints.Transport == TCP && c.hints.Midstream {
		rounds = 3 // and last the port of what was taken for the client
	}
	for round := range rounds {
		if round == 2 {
			in.srcPort, in.dstPort = in.dstPort, in.srcPort
		}
		for i := range ports {
			q := &ports[i]
			known := q.proto == other
			if off.Has(q.proto) || s.refused[d].Has(q.proto) || known != (round == 0) || !known && !q.on(&in) {
				continue
			}
			a := more
			in.turned = false
			if f := q.probe[d]; f != nil && len(data) >= q.least {
				a = f(&in)
			}
			if a == yes {
				if in.turned {
					c.flags |= flagTurned
				}
				return q.proto
			}
			if round == 2 {
				continue
			}
			if a == no || q.limit > 0 && len(data) > q.limit {
				s.refused[d] |= 1 << q.proto
				continue
			}
			waiting = true
		}
	}
	s.ports[d] = !waiting
	return Unknown
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
