package app

import (
	"bytes"
	"encoding/binary"
)

const (
	pgsqlMaxMessage = 64 << 10 // longest message that is read whole; longer ones are skipped
	pgsqlMaxOpen    = 64
	pgsqlMaxParams  = 64
	pgsqlMaxText    = 16 << 10
	pgsqlMaxStartup = 10000 // Suricata believes no longer one
)

// Kinds of requests.
const (
	PGSQLSSLRequest PGSQLKind = iota + 1
	PGSQLCancel
	PGSQLStartup
	PGSQLPassword
	PGSQLSASLInitial
	PGSQLSASLResponse
	PGSQLQuery
	PGSQLTerminate
	PGSQLOther
)

// PGSQLKind says what a request is.
type PGSQLKind uint8

// PGSQLParam is a name and its value.
type PGSQLParam struct{ Name, Value []byte }

// PGSQLTx is a request and what the server answers until it is ready for the
// next (PostgreSQL documentation, chapter 55).
type PGSQLTx struct {
	plainTx
	Kind      PGSQLKind
	Type      byte // of a message that has one
	Text      []byte
	Mechanism []byte // of SASL
	Version   [2]uint16
	Params    []PGSQLParam // of a startup

	SSLAnswered, SSLAccepted bool
	Auth                     []uint32 // what the server asked for, 0: nothing more
	Salt                     []byte   // of MD5
	SASLFinal                []byte
	Status                   []PGSQLParam
	HasKey                   bool
	ProcessID, SecretKey     uint32
	HasFields                bool
	Fields                   uint16
	Rows, RowBytes           uint64
	Completed                []byte
	Error                    []PGSQLParam // name is the one letter of the field
	Notice                   []PGSQLParam
}

type pgsqlParser struct {
	streamOnly
	started bool
	auth    uint32 // what the server asked for last
	open    []*PGSQLTx
	ssl     *PGSQLTx // waits for the one byte that answers it
	skip    [2]int
	lost    [2]bool
}

func newPGSQL() parser { return &pgsqlParser{} }

func (p *pgsqlParser) reset()        { *p = pgsqlParser{open: p.open[:0]} }
func (*pgsqlParser) maxPending() int { return pgsqlMaxMessage + 8 }

// probePGSQL knows the first message of a client, and those of a server on the
// port of the protocol.
func probePGSQL(in *probeIn) answer {
	p := in.data
	if in.dir == ToClient {
		switch p[0] {
		case 'N', 'S', 'E', 'R':
			return anyMore(len(p) > 1 || p[0] == 'N' || p[0] == 'S')
		}
		return no
	}
	if len(p) < 8 {
		return more
	}
	n, code := binary.BigEndian.Uint32(p), binary.BigEndian.Uint32(p[4:])
	switch code {
	case 80877102, 80877103, 80877104:
		return decided(n == 8 || n == 16)
	case 196608:
		if n <= 8 || n >= pgsqlMaxStartup {
			return no
		}
		return anyMore(len(p) >= int(n))
	}
	return no
}

func (p *pgsqlParser) parse(c *Conn, d Dir, data []byte) (n, need int) {
	for {
		b := data[n:]
		if p.lost[d] {
			return len(data), 0
		}
		if p.skip[d] > 0 {
			k := min(p.skip[d], len(b))
			p.skip[d] -= k
			n += k
			if p.skip[d] > 0 {
				return n, 0
			}
			continue
		}
		if len(b) == 0 {
			return n, 1
		}
		if d == ToClient && p.ssl != nil {
			t := p.ssl
			p.ssl = nil
			t.SSLAnswered, t.SSLAccepted = true, b[0] == 'S'
			t.complete()
			p.forget()
			n++
			if t.SSLAccepted {
				c.changeProto(TLS)
				return n, 0
			}
			c.wake(ToServer)
			return n, 0
		}
		if d == ToServer && p.ssl != nil {
			return n, 0 // what it is depends on the answer
		}
		head := 5
		if d == ToServer && !p.started {
			head = 4
		}
		if len(b) < head {
			return n, head
		}
		l := int64(binary.BigEndian.Uint32(b[head-4:]))
		if l < 4 || l > 1<<30 {
			c.fail()
			return n, 0
		}
		whole := head - 4 + int(l)
		if whole > pgsqlMaxMessage {
			p.message(c, d, b[0], nil, head == 4, int(l)-4)
			p.skip[d] = whole
			continue
		}
		if len(b) < whole {
			return n, whole
		}
		p.message(c, d, b[0], b[head:whole], head == 4, whole-head)
		n += whole
	}
}

// message takes one message; b is nil if it is too long.
func (p *pgsqlParser) message(c *Conn, d Dir, typ byte, b []byte, first bool, size int) {
	if d == ToClient {
		p.answer(c, typ, b, size)
		return
	}
	t := &PGSQLTx{Type: typ}
	if first {
		t.Type = 0
		p.startup(t, b)
	} else {
		p.request(t, b)
	}
	t.reach(ToServer, StageComplete)
	if t.Kind == PGSQLTerminate || t.Kind == PGSQLCancel {
		t.complete()
	} else {
		if len(p.open) >= pgsqlMaxOpen {
			p.open[0].complete()
			p.open = append(p.open[:0], p.open[1:]...)
		}
		p.open = append(p.open, t)
	}
	c.add(t)
}

func (p *pgsqlParser) startup(t *PGSQLTx, b []byte) {
	t.Kind = PGSQLOther
	if len(b) < 4 {
		return
	}
	switch binary.BigEndian.Uint32(b) {
	case 80877102:
		t.Kind = PGSQLCancel
	case 80877103, 80877104:
		t.Kind, p.ssl = PGSQLSSLRequest, t
	default:
		t.Kind, p.started = PGSQLStartup, true
		t.Version = [2]uint16{binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])}
		for b = b[4:]; len(t.Params) < pgsqlMaxParams; {
			var x PGSQLParam
			var ok bool
			if x.Name, b, ok = cString(b); !ok || len(x.Name) == 0 {
				break
			}
			if x.Value, b, ok = cString(b); !ok {
				break
			}
			t.Params = append(t.Params, x)
		}
	}
}

// cString splits a copy of a zero-terminated text off b.
func cString(b []byte) (s, rest []byte, ok bool) {
	i := bytes.IndexByte(b, 0)
	if i < 0 {
		return nil, nil, false
	}
	return clone(b[:min(i, pgsqlMaxText)]), b[i+1:], true
}

func (p *pgsqlParser) request(t *PGSQLTx, b []byte) {
	text := func() {
		s, _, ok := cString(b)
		if !ok {
			s = clone(b[:min(len(b), pgsqlMaxText)])
		}
		t.Text = s
	}
	switch t.Type {
	case 'Q':
		t.Kind = PGSQLQuery
		text()
	case 'X':
		t.Kind = PGSQLTerminate
	case 'p':
		switch p.auth {
		case 10:
			t.Kind = PGSQLSASLInitial
			if m, rest, ok := cString(b); ok {
				t.Mechanism = m
				t.Text = clone(rest[min(4, len(rest)):])
			}
		case 11:
			t.Kind = PGSQLSASLResponse
			t.Text = clone(b[:min(len(b), pgsqlMaxText)])
		default:
			t.Kind = PGSQLPassword
			text()
		}
	default:
		t.Kind = PGSQLOther
	}
}

func (p *pgsqlParser) answer(c *Conn, typ byte, b []byte, size int) {
	var t *PGSQLTx
	if len(p.open) > 0 {
		t = p.open[0]
	} else {
		if typ == 'Z' || typ == 'S' || typ == 'N' || typ == 'A' {
			return // nobody asked
		}
		t = &PGSQLTx{}
		t.From = ToClient
		t.reach(ToServer, StageComplete)
		p.open = append(p.open, t)
		c.add(t)
	}
	switch typ {
	case 'R':
		if len(b) < 4 {
			return
		}
		p.auth = binary.BigEndian.Uint32(b)
		if len(t.Auth) < 8 {
			t.Auth = append(t.Auth, p.auth)
		}
		switch p.auth {
		case 5:
			t.Salt = clone(b[4:min(len(b), 8)])
		case 12:
			t.SASLFinal = clone(b[4:min(len(b), pgsqlMaxText)])
		}
		if p.auth != 0 && p.auth != 12 {
			t.complete()
		}
	case 'S':
		if name, rest, ok := cString(b); ok && len(t.Status) < pgsqlMaxParams {
			if v, _, ok := cString(rest); ok {
				t.Status = append(t.Status, PGSQLParam{name, v})
			}
		}
	case 'K':
		if len(b) >= 8 {
			t.HasKey, t.ProcessID, t.SecretKey = true, binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
		}
	case 'T':
		if len(b) >= 2 {
			t.HasFields, t.Fields = true, binary.BigEndian.Uint16(b)
		}
	case 'D':
		t.Rows++
		if len(b) < 2 {
			t.RowBytes += uint64(size)
			return
		}
		for r := b[2:]; len(r) >= 4; {
			l := int64(int32(binary.BigEndian.Uint32(r)))
			r = r[4:]
			if l > 0 {
				l = min(l, int64(len(r)))
				t.RowBytes += uint64(l)
				r = r[l:]
			}
		}
	case 'C':
		if s, _, ok := cString(b); ok {
			t.Completed = s
		}
	case 'E':
		t.Error = pgsqlFields(b)
	case 'N':
		t.Notice = pgsqlFields(b)
	case 'Z':
		t.complete()
	}
	p.forget()
}

// pgsqlFields reads the fields of an error or a notice.
func pgsqlFields(b []byte) (fs []PGSQLParam) {
	for len(b) > 1 && b[0] != 0 && len(fs) < pgsqlMaxParams {
		v, rest, ok := cString(b[1:])
		if !ok {
			break
		}
		fs = append(fs, PGSQLParam{clone(b[:1]), v})
		b = rest
	}
	return fs
}

// forget drops what is complete.
func (p *pgsqlParser) forget() {
	k := 0
	for _, t := range p.open {
		if !t.Complete() {
			p.open[k] = t
			k++
		}
	}
	clear(p.open[k:])
	p.open = p.open[:k]
}

func (p *pgsqlParser) gap(c *Conn, d Dir, n uint64) bool {
	if uint64(p.skip[d]) >= n {
		p.skip[d] -= int(n)
		return true
	}
	p.lost[d] = true
	if p.ssl != nil {
		p.ssl = nil
		c.wake(ToServer)
	}
	return true
}

func (p *pgsqlParser) close(_ *Conn, d Dir, _ []byte) {
	for _, t := range p.open {
		t.reach(d, StageComplete)
	}
}
