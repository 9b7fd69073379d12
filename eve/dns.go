package eve

import (
	"net/netip"

	"github.com/garita/garita/app"
	"github.com/garita/garita/packet"
)

// dnsRecords writes the records of a message, version 2: one a question, or
// one for the whole answer.
func (l *Logger) dnsRecords(p *packet.Packet, f *FlowInfo, t *app.DNSTx) {
	if !l.Wants(DNS) {
		return
	}
	if t.Response() {
		o := l.beginAs("dns", p, f, ofFlow)
		o.open("dns")
		o.uint("version", 2)
		dnsAnswer(o, t)
		o.close()
		l.end()
		return
	}
	for i := range t.Questions {
		o := l.beginAs("dns", p, f, ofFlow)
		o.open("dns")
		o.uint("version", 2)
		dnsQuestion(o, t, i)
		o.close()
		l.end()
	}
}

// dnsAlertObject is the object in alerts: all questions, or the answer.
func (l *Logger) dnsAlertObject(o *object, t *app.DNSTx) {
	o.open("dns")
	o.uint("version", 2)
	if t.Response() {
		o.open("answer")
		o.uint("version", 2)
		dnsAnswerHead(o, t)
		dnsAuthorities(o, t)
		o.close()
	} else if len(t.Questions) > 0 {
		o.openArray("query")
		for i := range t.Questions {
			o.item()
			o.open("")
			dnsQuestion(o, t, i)
			o.close()
		}
		o.closeArray()
	}
	o.close()
}

func dnsQuestion(o *object, t *app.DNSTx, i int) {
	q := &t.Questions[i]
	o.str("type", "query")
	o.uint("id", uint64(t.DNSMessage.ID))
	o.bytes("rrname", q.Name)
	o.rrtype("rrtype", q.Type)
	o.uint("tx_id", t.Base().ID)
	if t.Flags&0x0040 != 0 {
		o.bool("z", true)
	}
	o.uint("opcode", uint64(t.Opcode()))
}

func dnsAnswer(o *object, t *app.DNSTx) {
	dnsAnswerHead(o, t)
	if len(t.Answers) > 0 {
		o.openArray("answers")
		for i := range t.Answers {
			dnsRR(o, &t.Answers[i])
		}
		o.closeArray()
		dnsGrouped(o, t.Answers)
	}
	dnsAuthorities(o, t)
}

// dnsAnswerHead is an answer without its records: what alerts show of it.
func dnsAnswerHead(o *object, t *app.DNSTx) {
	o.str("type", "answer")
	o.uint("id", uint64(t.DNSMessage.ID))
	o.key("flags")
	o.b = append(o.b, '"')
	// Without leading zeros, as "{:x}" prints.
	for s, any := 12, false; s >= 0; s -= 4 {
		if d := t.Flags >> s & 15; d != 0 || any || s == 0 {
			o.b = append(o.b, hexDigits[d])
			any = true
		}
	}
	o.b = append(o.b, '"')
	for _, fl := range [...]struct {
		name string
		bit  uint16
	}{{"qr", 0x8000}, {"aa", 0x0400}, {"tc", 0x0200}, {"rd", 0x0100}, {"ra", 0x0080}, {"z", 0x0040}} {
		if t.Flags&fl.bit != 0 {
			o.bool(fl.name, true)
		}
	}
	o.uint("opcode", uint64(t.Opcode()))
	if len(t.Questions) > 0 {
		o.bytes("rrname", t.Questions[0].Name)
		o.rrtype("rrtype", t.Questions[0].Type)
	}
	o.key("rcode")
	o.b = appendRcode(o.b, t.Rcode())
}

func dnsAuthorities(o *object, t *app.DNSTx) {
	if len(t.Authorities) > 0 {
		o.openArray("authorities")
		for i := range t.Authorities {
			dnsRR(o, &t.Authorities[i])
		}
		o.closeArray()
	}
}

// dnsRR adds a resource record to an array; one with several texts is shown
// once a text.
func dnsRR(o *object, r *app.DNSRecord) {
	if r.Type == app.DNSTypeTXT {
		for _, s := range r.Texts() {
			dnsRROpen(o, r)
			o.bytes("rdata", s)
			o.close()
		}
		return
	}
	dnsRROpen(o, r)
	switch r.Type {
	case app.DNSTypeA, app.DNSTypeAAAA:
		if a, ok := dnsAddr(r); ok {
			o.addr("rdata", a)
		}
	case app.DNSTypeCNAME, app.DNSTypeMX, app.DNSTypeNS, app.DNSTypePTR:
		o.bytes("rdata", r.Target)
	case app.DNSTypeNULL:
		o.bytes("rdata", r.Data)
	case app.DNSTypeSOA:
		o.open("soa")
		o.bytes("mname", r.Target)
		o.bytes("rname", r.Mailbox)
		for i, n := range [...]string{"serial", "refresh", "retry", "expire", "minimum"} {
			o.uint(n, uint64(r.Numbers[i]))
		}
		o.close()
	case app.DNSTypeSRV:
		dnsSRV(o, "srv", r)
	case app.DNSTypeSSHFP:
		dnsSSHFP(o, "sshfp", r)
	}
	o.close()
}

func dnsRROpen(o *object, r *app.DNSRecord) {
	o.item()
	o.open("")
	o.bytes("rrname", r.Name)
	o.rrtype("rrtype", r.Type)
	o.uint("ttl", uint64(r.TTL))
}

func dnsAddr(r *app.DNSRecord) (netip.Addr, bool) {
	if n := len(r.Data); r.Type == app.DNSTypeA && n != 4 || r.Type == app.DNSTypeAAAA && n != 16 {
		return netip.Addr{}, false
	}
	return netip.AddrFromSlice(r.Data)
}

func dnsSRV(o *object, k string, r *app.DNSRecord) {
	o.open(k)
	o.uint("priority", uint64(r.Numbers[0]))
	o.uint("weight", uint64(r.Numbers[1]))
	o.uint("port", uint64(r.Numbers[2]))
	o.bytes("name", r.Target)
	o.close()
}

func dnsSSHFP(o *object, k string, r *app.DNSRecord) {
	o.open(k)
	o.key("fingerprint")
	o.b = append(o.b, '"')
	if len(r.Data) > 2 {
		for i, c := range r.Data[2:] {
			if i > 0 {
				o.b = append(o.b, ':')
			}
			o.b = append(o.b, hexDigits[c>>4], hexDigits[c&15])
		}
	}
	o.b = append(o.b, '"')
	o.uint("algo", uint64(r.Numbers[0]))
	o.uint("type", uint64(r.Numbers[1]))
	o.close()
}

// dnsGrouped adds the answers once more, by type.
func dnsGrouped(o *object, rr []app.DNSRecord) {
	open := false
	for i := range rr {
		r := &rr[i]
		if !dnsInGroups(r) || dnsTypeBefore(rr[:i], r.Type) {
			continue
		}
		if !open {
			o.open("grouped")
			open = true
		}
		o.openArray(rrtypeName(r.Type))
		for j := i; j < len(rr); j++ {
			s := &rr[j]
			if s.Type != r.Type || !dnsInGroups(s) {
				continue
			}
			switch s.Type {
			case app.DNSTypeA, app.DNSTypeAAAA:
				a, _ := dnsAddr(s)
				o.item()
				o.b = appendAddr(o.b, a)
			case app.DNSTypeTXT:
				for _, x := range s.Texts() {
					o.itemBytes(x)
				}
			case app.DNSTypeNULL:
				o.itemBytes(s.Data)
			case app.DNSTypeSRV:
				o.item()
				dnsSRV(o, "", s)
			case app.DNSTypeSSHFP:
				o.item()
				dnsSSHFP(o, "", s)
			default:
				o.itemBytes(s.Target)
			}
		}
		o.closeArray()
	}
	if open {
		o.close()
	}
}

func dnsInGroups(r *app.DNSRecord) bool {
	switch r.Type {
	case app.DNSTypeA, app.DNSTypeAAAA:
		_, ok := dnsAddr(r)
		return ok
	case app.DNSTypeTXT:
		return len(r.Data) > 0
	case app.DNSTypeCNAME, app.DNSTypeMX, app.DNSTypeNS, app.DNSTypePTR, app.DNSTypeNULL, app.DNSTypeSRV, app.DNSTypeSSHFP:
		return true
	}
	return false
}

func dnsTypeBefore(rr []app.DNSRecord, t uint16) bool {
	for i := range rr {
		if rr[i].Type == t && dnsInGroups(&rr[i]) {
			return true
		}
	}
	return false
}

func (o *object) rrtype(k string, t uint16) {
	o.key(k)
	if n := rrtypeName(t); n != "" {
		o.b = appendString(o.b, n)
		return
	}
	o.b = append(o.b, '"')
	o.b = append(appendUint(o.b, uint64(t)), '"')
}

// rrtypeName is the name of a record type (IANA, DNS Parameters); "" if it has
// none.
func rrtypeName(t uint16) string {
	switch {
	case int(t) < len(rrtypes):
		return rrtypes[t]
	case t == 99:
		return "SPF"
	case t >= 249 && t <= 256:
		return [...]string{"TKEY", "TSIG", "", "", "", "MAILA", "ANY", "URI"}[t-249]
	}
	return ""
}

var rrtypes = [...]string{
	1: "A", 2: "NS", 3: "MD", 4: "MF", 5: "CNAME", 6: "SOA", 7: "MB", 8: "MG", 9: "MR", 10: "NULL", 11: "WKS",
	12: "PTR", 13: "HINFO", 14: "MINFO", 15: "MX", 16: "TXT", 17: "RP", 18: "AFSDB", 19: "X25", 20: "ISDN",
	21: "RT", 22: "NSAP", 23: "NSAPPTR", 24: "SIG", 25: "KEY", 26: "PX", 27: "GPOS", 28: "AAAA", 29: "LOC",
	30: "NXT", 33: "SRV", 34: "ATMA", 35: "NAPTR", 36: "KX", 37: "CERT", 38: "A6", 39: "DNAME", 41: "OPT",
	42: "APL", 43: "DS", 44: "SSHFP", 45: "IPSECKEY", 46: "RRSIG", 47: "NSEC", 48: "DNSKEY", 49: "DHCID",
	50: "NSEC3", 51: "NSEC3PARAM", 52: "TLSA", 55: "HIP", 59: "CDS", 60: "CDNSKEY",
}

var rcodes = [...]string{
	"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET", "NXRRSET", "NOTAUTH",
	"NOTZONE",
}

func appendRcode(b []byte, c uint8) []byte {
	if int(c) < len(rcodes) {
		return appendString(b, rcodes[c])
	}
	b = append(b, '"')
	return append(appendUint(b, uint64(c)), '"')
}
