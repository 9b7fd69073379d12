package app

// Anomaly of BitTorrent's distributed hash table.
const dhtMalformed Event = "malformed_packet"

const (
	dhtMaxDepth = 8   // lists and dictionaries within each other
	dhtMaxNodes = 256 // noted of a message
)

// DHTTx is one message of BitTorrent's distributed hash table (BEP 5).
type DHTTx struct {
	plainTx
	Transaction, Client []byte
	Query               []byte // name of the query, nil in answers
	// ID, Target, InfoHash, Token, Nodes, Nodes6 and Values are of the query or
	// the answer, nil if absent; nodes are joined as they are sent.
	ID, Target, InfoHash, Token, Nodes, Nodes6 []byte
	Values                                     [][]byte
	Port                                       int64
	ImpliedPort                                int64
	HasPort, HasImpliedPort                    bool
	Answer                                     bool
	HasError                                   bool
	ErrorCode                                  int64
	ErrorText                                  []byte
}

type dhtParser struct{ datagramOnly }

func newDHT() parser { return &dhtParser{} }

func (*dhtParser) reset() {}

// dhtValue is a value of bencoding (BEP 3).
type dhtValue struct {
	kind byte // 's', 'i', 'l', 'd', 0 if there is none
	text []byte
	num  int64
	list []dhtValue // of a dictionary: keys and values in turns
}

// get returns the value of a key of a dictionary.
func (v *dhtValue) get(key string) *dhtValue {
	if v.kind == 'd' {
		for i := 0; i+1 < len(v.list); i += 2 {
			if string(v.list[i].text) == key {
				return &v.list[i+1]
			}
		}
	}
	return &dhtValue{}
}

// dhtDecode reads the value that b begins with.
func dhtDecode(b []byte, depth int) (v dhtValue, rest []byte, ok bool) {
	if len(b) == 0 || depth > dhtMaxDepth {
		return v, nil, false
	}
	switch c := b[0]; {
	case c == 'i':
		i, neg := 1, false
		if i < len(b) && b[i] == '-' {
			i, neg = i+1, true
		}
		at := i
		for ; i < len(b) && digit(b[i]) && i < at+18; i++ {
			v.num = v.num*10 + int64(b[i]-'0')
		}
		if i == at || i == len(b) || b[i] != 'e' {
			return v, nil, false
		}
		if neg {
			v.num = -v.num
		}
		v.kind = 'i'
		return v, b[i+1:], true
	case c == 'l' || c == 'd':
		v.kind = c
		for b = b[1:]; len(b) > 0 && b[0] != 'e'; {
			var x dhtValue
			if x, b, ok = dhtDecode(b, depth+1); !ok {
				return v, nil, false
			}
			if c == 'd' && len(v.list)&1 == 0 && x.kind != 's' {
				return v, nil, false
			}
			v.list = append(v.list, x)
		}
		if len(b) == 0 || c == 'd' && len(v.list)&1 == 1 {
			return v, nil, false
		}
		return v, b[1:], true
	case digit(c):
		n, i := 0, 0
		for ; i < len(b) && digit(b[i]) && i < 6; i++ {
			n = n*10 + int(b[i]-'0')
		}
		if i == len(b) || b[i] != ':' || len(b)-i-1 < n {
			return v, nil, false
		}
		v.kind, v.text = 's', b[i+1:i+1+n]
		return v, b[i+1+n:], true
	}
	return v, nil, false
}

// datagram takes a message.
func (p *dhtParser) datagram(c *Conn, d Dir, data []byte) {
	if data[0] != 'd' {
		return
	}
	t := &DHTTx{}
	ok := t.read(clone(data))
	if !ok {
		*t = DHTTx{}
		t.event(dhtMalformed)
	}
	t.oneWay(d)
	if c.add(t); !ok {
		c.fail()
	}
}

// read takes what a message says; false if it is malformed.
func (t *DHTTx) read(data []byte) bool {
	v, _, ok := dhtDecode(data, 0)
	if !ok || v.kind != 'd' {
		return false
	}
	t.Transaction, t.Client = v.get("t").text, v.get("v").text
	body := v.get("a")
	switch string(v.get("y").text) {
	case "q":
		t.Query = v.get("q").text
	case "r":
		t.Answer, body = true, v.get("r")
	case "e":
		if e := v.get("e"); e.kind == 'l' && len(e.list) >= 2 {
			t.HasError, t.ErrorCode, t.ErrorText = true, e.list[0].num, e.list[1].text
			return t.Transaction != nil
		}
		return false
	default:
		return false
	}
	if t.ID = body.get("id").text; body.kind != 'd' || t.ID == nil || t.Transaction == nil || !t.Answer && t.Query == nil {
		return false
	}
	t.Target, t.InfoHash, t.Token = body.get("target").text, body.get("info_hash").text, body.get("token").text
	t.Nodes, t.Nodes6 = body.get("nodes").text, body.get("nodes6").text
	if x := body.get("port"); x.kind == 'i' {
		t.Port, t.HasPort = x.num, true
	}
	if x := body.get("implied_port"); x.kind == 'i' {
		t.ImpliedPort, t.HasImpliedPort = x.num, true
	}
	for _, x := range body.get("values").list {
		if x.kind == 's' && len(t.Values) < dhtMaxNodes {
			t.Values = append(t.Values, x.text)
		}
	}
	return true
}
