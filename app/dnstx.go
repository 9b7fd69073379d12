package app

import "encoding/binary"

// DNSTx is one DNS message: a request and its answer are two transactions,
// matched by DNSMessage.ID if somebody wants to.
type DNSTx struct {
	plainTx
	DNSMessage
	raw []byte
	odd bool // a response where requests go, or the reverse
}

// Bytes implements Tx.
func (t *DNSTx) Bytes(f Field, d Dir, i int) ([]byte, bool) {
	if t.odd || d != t.From || i < 0 {
		return nil, false
	}
	switch f {
	case DNSQuery, DNSQueriesRRName:
		if i < len(t.Questions) {
			return t.Questions[i].Name, true
		}
	case DNSAnswersRRName:
		return dnsRRName(t.Answers, i)
	case DNSAuthoritiesRRName:
		return dnsRRName(t.Authorities, i)
	case DNSAdditionalsRRName:
		return dnsRRName(t.Additionals, i)
	case DNSResponseRRName:
		if d != ToClient {
			return nil, false
		}
		if i < len(t.Questions) {
			return t.Questions[i].Name, true
		}
		i -= len(t.Questions)
		for _, sec := range [3][]DNSRecord{t.Answers, t.Authorities, t.Additionals} {
			if i < len(sec) {
				return sec[i].Name, true
			}
			i -= len(sec)
		}
	}
	return nil, false
}

func dnsRRName(rr []DNSRecord, i int) ([]byte, bool) {
	if i < len(rr) {
		return rr[i].Name, true
	}
	return nil, false
}

// Number implements Tx.
func (t *DNSTx) Number(f Field, d Dir, i int) (uint64, bool) {
	if t.odd || d != t.From || i < 0 {
		return 0, false
	}
	switch f {
	case DNSOpcode:
		return only1(uint64(t.Opcode()), true, i)
	case DNSRcode:
		return only1(uint64(t.Rcode()), t.Response(), i)
	case DNSRRType:
		if i < len(t.Questions) {
			return uint64(t.Questions[i].Type), true
		}
		i -= len(t.Questions)
		for _, sec := range [3][]DNSRecord{t.Answers, t.Authorities, t.Additionals} {
			if i < len(sec) {
				return uint64(sec[i].Type), true
			}
			i -= len(sec)
		}
	}
	return 0, false
}

// dnsParser frames DNS on TCP (RFC 7766 §8: two bytes of length before each
// message) and takes datagrams as they are.
type dnsParser struct {
	sync [2]dnsSync
}

type dnsSync uint8

const (
	dnsInSync   dnsSync = iota
	dnsAfterGap         // the next byte may begin a message
	dnsLost             // nothing is known until the next gap
)

func newDNS() parser { return &dnsParser{} }

func (p *dnsParser) reset()        { *p = dnsParser{} }
func (*dnsParser) maxPending() int { return 2 + 65535 + 1 }

func (p *dnsParser) parse(c *Conn, d Dir, data []byte) (n, need int) {
	for {
		b := data[n:]
		if p.sync[d] == dnsLost {
			return len(data), 0
		}
		if len(b) < 2 {
			return n, 2
		}
		l := int(binary.BigEndian.Uint16(b))
		if p.sync[d] == dnsAfterGap {
			if len(b) < 2+dnsHeaderLen {
				return n, 2 + dnsHeaderLen
			}
			// Only the header counts here, so that chunks do not.
			ok, request := dnsPlausible(b[2:2+dnsHeaderLen], max(l, dnsHeaderLen+1))
			if !ok || request != (d == ToServer) {
				p.sync[d] = dnsLost
				continue
			}
			p.sync[d] = dnsInSync
		}
		if len(b) < 2+l {
			return n, 2 + l
		}
		if l > 0 {
			c.frame(d, "pdu", n+2, b[2:2+l])
			if !dnsMessage(c, d, b[2:2+l], true) {
				c.fail()
				return n, 0
			}
		}
		n += 2 + l
	}
}

func (p *dnsParser) gap(_ *Conn, d Dir, _ uint64) bool {
	p.sync[d] = dnsAfterGap
	return true
}

func (*dnsParser) close(*Conn, Dir, []byte) {}

func (*dnsParser) datagram(c *Conn, d Dir, data []byte) {
	c.frame(d, "pdu", 0, data)
	dnsMessage(c, d, data, false)
}

// dnsMessage takes a message. One that cannot be read makes no transaction, its
// anomaly is told of the message before it, if that is still open; false on
// TCP, where nothing can be found behind it. The error does not end datagrams:
// each stands for itself.
func dnsMessage(c *Conn, d Dir, data []byte, stream bool) bool {
	if ok, _ := dnsPlausible(data, len(data)); !ok {
		return !stream
	}
	t := &DNSTx{raw: clone(data)}
	t.oneWay(d)
	if !t.Decode(t.raw) && (d == ToClient || len(t.Questions) < int(t.Counts[0])) {
		// Of a request only the questions count.
		dnsAnomaly(c, dnsMalformedData)
		return false
	}
	switch {
	case t.Response() && d == ToServer:
		if stream {
			dnsAnomaly(c, dnsNotRequest)
			return false
		}
		t.odd = true
	case !t.Response() && d == ToClient:
		t.odd = true
		if stream {
			dnsAnomaly(c, dnsNotResponse)
		}
	}
	if t.Flags&0x0040 != 0 {
		t.event(dnsZFlagSet)
	}
	if t.Opcode() >= 7 {
		t.event(dnsInvalidOpcode)
	}
	if t.bad&dnsNameLong != 0 {
		t.event(dnsNameTooLong)
	}
	if t.bad&dnsNameLoop != 0 {
		t.event(dnsInfiniteLoop)
	}
	if t.bad&dnsNameLabels != 0 {
		t.event(dnsTooManyLabels)
	}
	c.add(t)
	return true
}

func dnsAnomaly(c *Conn, e Event) {
	if open := c.Transactions(); len(open) > 0 {
		open[len(open)-1].Base().event(e)
	}
}
