package lab

import (
	"context"
	"net"
	"net/netip"
	"strings"

	"github.com/miekg/dns"
)

// The lab's DNS answers every name with the server's addresses, so that a rule
// about any name can be tried with a command that resolves it and goes there.
// The exceptions: client, gateway and what ends in them have their own
// addresses, names below "nx." do not exist, and a TXT query is answered with a
// text too long for a datagram (txtSize bytes), which makes clients come back over TCP.
const txtSize = 3000

func serveDNS(ctx context.Context, s *dns.Server) {
	// Shutdown ends idle connections too. If it comes before the server has
	// started it does nothing; then the closed socket ends the server.
	defer context.AfterFunc(ctx, func() { _ = s.Shutdown() })()
	_ = s.ActivateAndServe()
}

func (l *Lab) dnsHandler(proto string) dns.HandlerFunc {
	return func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		m.Authoritative = true
		if len(q.Question) == 1 {
			l.saw("dns", proto, w.RemoteAddr(), dns.TypeToString[q.Question[0].Qtype]+" "+q.Question[0].Name)
			answer(m, q.Question[0])
		} else {
			m.Rcode = dns.RcodeFormatError
		}
		if proto == "udp" {
			size := dns.MinMsgSize
			if opt := q.IsEdns0(); opt != nil {
				size = max(size, int(opt.UDPSize()))
				m.SetEdns0(dns.DefaultMsgSize, false)
			}
			m.Truncate(size)
		}
		_ = w.WriteMsg(m)
	}
}

func answer(m *dns.Msg, q dns.Question) {
	name := strings.ToLower(q.Name)
	under := func(label string) bool { return name == label || strings.HasSuffix(name, "."+label) }
	ip4, ip6 := ServerIP4, ServerIP6
	switch {
	case under("nx."):
		m.Rcode = dns.RcodeNameError
		return
	case under("client."):
		ip4, ip6 = ClientIP4, ClientIP6
	case under("gateway."):
		ip4, ip6 = gatewayIPs[0][0], gatewayIPs[0][1]
	}
	header := dns.RR_Header{Name: q.Name, Rrtype: q.Qtype, Class: dns.ClassINET, Ttl: 60}
	bytes := func(a netip.Addr) net.IP { return a.AsSlice() }
	switch q.Qtype {
	case dns.TypeA:
		m.Answer = append(m.Answer, &dns.A{Hdr: header, A: bytes(ip4)})
	case dns.TypeAAAA:
		m.Answer = append(m.Answer, &dns.AAAA{Hdr: header, AAAA: bytes(ip6)})
	case dns.TypeTXT:
		txt := &dns.TXT{Hdr: header}
		for n := txtSize; n > 0; n -= 250 {
			txt.Txt = append(txt.Txt, strings.Repeat("t", min(n, 250)))
		}
		m.Answer = append(m.Answer, txt)
	}
}
