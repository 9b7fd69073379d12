package app

import (
	"bytes"
	"encoding/binary"
)

// Packet types of DCE/RPC (C706 §12.6.3.1 and, for datagrams, §12.5.3.1).
const (
	dcerpcRequest      = 0
	dcerpcResponse     = 2
	dcerpcFault        = 3
	dcerpcBind         = 11
	dcerpcBindAck      = 12
	dcerpcBindNak      = 13
	dcerpcAlterContext = 14
	dcerpcAlterResp    = 15
)

const (
	dcerpcHeader     = 16
	dcerpcMaxStub    = 256 << 10 // bytes kept of the data of a call, either way
	dcerpcMaxIfaces  = 64
	dcerpcMaxOpen    = 64
	dcerpcDatagramAt = 80 // length of the header of a datagram
)

// DCERPCInterface is an interface that was asked for in a bind.
type DCERPCInterface struct {
	Context      uint16
	UUID         [16]byte // in the order in which it is written
	Major, Minor uint16
	Acked        bool
	Result       uint16 // 0: accepted
}

// key is the form of the field DCERPCIface.
func (i *DCERPCInterface) key() []byte {
	return binary.BigEndian.AppendUint16(append(make([]byte, 0, 18), i.UUID[:]...), i.Major)
}

// DCERPCCall is a request and its response, or a bind and its answer.
type DCERPCCall struct {
	Type      uint8 // packet type of the request
	RespType  uint8 // of the response
	Answered  bool
	CallID    uint32
	Context   uint16
	Opnum     uint16
	Fragments [2]int
	// Interfaces are those of a bind, or those that a request may mean.
	Interfaces []DCERPCInterface

	stub  [2][]byte
	whole [2]bool
}

// Stub is the data of direction d once its last fragment was seen.
func (c *DCERPCCall) Stub(d Dir) ([]byte, bool) {
	return c.stub[d], c.whole[d] && c.stub[d] != nil
}

// StubSize is how many bytes of data direction d has so far.
func (c *DCERPCCall) StubSize(d Dir) int { return len(c.stub[d]) }

func (c *DCERPCCall) bytes(f Field, d Dir, i int) ([]byte, bool) {
	switch f {
	case DCERPCIface:
		if c.Type == dcerpcRequest && i >= 0 && i < len(c.Interfaces) {
			return c.Interfaces[i].key(), true
		}
	case DCERPCStubData:
		if s, ok := c.Stub(d); ok && i == 0 {
			return s, true
		}
	}
	return nil, false
}

func (c *DCERPCCall) number(f Field, i int) (uint64, bool) {
	if f == DCERPCOpnum {
		return only1(uint64(c.Opnum), c.Type == dcerpcRequest, i)
	}
	return 0, false
}

// DCERPCTx is a call over TCP or UDP.
type DCERPCTx struct {
	plainTx
	DCERPCCall
	Datagram bool // version 4
}

// Bytes implements Tx.
func (t *DCERPCTx) Bytes(f Field, d Dir, i int) ([]byte, bool) { return t.bytes(f, d, i) }

// Number implements Tx.
func (t *DCERPCTx) Number(f Field, _ Dir, i int) (uint64, bool) { return t.number(f, i) }

// dcerpcSession is what a connection or a pipe remembers.
type dcerpcSession struct {
	// plain leaves the header of the call away from the data of responses:
	// over a pipe it does not count, over TCP it does, as Suricata has it.
	plain  bool
	ifaces []DCERPCInterface
	open   []*DCERPCCall
}

// dcerpcUUID reads a UUID whose first three parts are in the given order.
func dcerpcUUID(b []byte, order binary.ByteOrder) (u [16]byte) {
	binary.BigEndian.PutUint32(u[:], order.Uint32(b))
	binary.BigEndian.PutUint16(u[4:], order.Uint16(b[4:]))
	binary.BigEndian.PutUint16(u[6:], order.Uint16(b[6:]))
	copy(u[8:], b[8:16])
	return u
}

// dcerpcLength is the length of the packet that b begins with; 0 if b does
// not begin one. It takes at least ten bytes.
func dcerpcLength(b []byte) int {
	if b[0] != 5 || b[1] > 1 || b[2] > 19 {
		return 0
	}
	n := int(dcerpcOrder(b).Uint16(b[8:]))
	if n < dcerpcHeader {
		return 0
	}
	return n
}

func dcerpcOrder(b []byte) binary.ByteOrder {
	if b[4]&0x10 != 0 {
		return binary.LittleEndian
	}
	return binary.BigEndian
}

// call returns the open call with an identifier.
func (s *dcerpcSession) call(id uint32) *DCERPCCall {
	for i := len(s.open) - 1; i >= 0; i-- {
		if s.open[i].CallID == id {
			return s.open[i]
		}
	}
	return nil
}

func (s *dcerpcSession) close(c *DCERPCCall) {
	for i, o := range s.open {
		if o == c {
			s.open = append(s.open[:i], s.open[i+1:]...)
			return
		}
	}
}

// pdu takes one whole packet of direction d. It returns the call that it
// belongs to, nil if there is none; fresh says that it begins with it.
func (s *dcerpcSession) pdu(d Dir, b []byte) (c *DCERPCCall, fresh bool) {
	if len(b) < dcerpcHeader {
		return nil, false
	}
	order := dcerpcOrder(b)
	typ, flags := b[2], b[3]
	id := order.Uint32(b[12:])
	body := b[dcerpcHeader:]
	switch typ {
	case dcerpcBind, dcerpcAlterContext, dcerpcRequest:
		c = s.call(id)
		if c == nil || c.whole[ToServer] || c.Type != typ {
			c = &DCERPCCall{Type: typ, CallID: id}
			fresh = true
			if len(s.open) >= dcerpcMaxOpen {
				s.open = append(s.open[:0], s.open[1:]...)
			}
			s.open = append(s.open, c)
		}
		c.Fragments[ToServer]++
		if typ != dcerpcRequest {
			s.bind(c, body, order)
			c.whole[ToServer] = true
			return c, fresh
		}
		if len(body) >= 8 {
			c.Context, c.Opnum = order.Uint16(body[4:]), order.Uint16(body[6:])
		}
		if fresh {
			c.Interfaces = s.meant(c.Context)
		}
		c.data(ToServer, body, 8)
		c.whole[ToServer] = flags&2 != 0
	case dcerpcBindAck, dcerpcAlterResp, dcerpcBindNak, dcerpcResponse, dcerpcFault:
		if c = s.call(id); c == nil {
			return nil, false
		}
		c.RespType, c.Answered = typ, true
		c.Fragments[ToClient]++
		switch typ {
		case dcerpcBindAck, dcerpcAlterResp:
			s.ack(c, body, order)
			c.whole[ToClient] = true
		case dcerpcResponse:
			at := 0
			if s.plain {
				at = 8
			}
			c.data(ToClient, body, at)
			c.whole[ToClient] = flags&2 != 0
		default:
			c.whole[ToClient] = true
		}
		if c.whole[ToClient] {
			c.whole[ToServer] = true
			s.close(c)
		}
	}
	return c, fresh
}

// data appends what a fragment carries from at on. What authenticates it stays,
// an object's UUID too, and in responses the header of the call: rules are
// written for that.
func (c *DCERPCCall) data(d Dir, body []byte, at int) {
	end := len(body)
	if at > end {
		return
	}
	if c.stub[d] == nil {
		c.stub[d] = make([]byte, 0, end-at)
	}
	if room := dcerpcMaxStub - len(c.stub[d]); end-at > room {
		end = at + max(room, 0)
	}
	c.stub[d] = append(c.stub[d], body[at:end]...)
}

func (s *dcerpcSession) bind(c *DCERPCCall, b []byte, order binary.ByteOrder) {
	if len(b) < 12 {
		return
	}
	n := int(b[8])
	b = b[12:]
	for ; n > 0 && len(b) >= 24; n-- {
		i := DCERPCInterface{Context: order.Uint16(b), UUID: dcerpcUUID(b[4:], order), Major: order.Uint16(b[20:]), Minor: order.Uint16(b[22:])}
		skip := 24 + 20*int(b[2])
		b = b[min(skip, len(b)):]
		if len(c.Interfaces) < dcerpcMaxIfaces {
			c.Interfaces = append(c.Interfaces, i)
		}
	}
}

// ack notes which interfaces of a bind the server accepts.
func (s *dcerpcSession) ack(c *DCERPCCall, b []byte, order binary.ByteOrder) {
	if c.Type == dcerpcRequest || len(b) < 10 {
		return
	}
	at := 10 + int(order.Uint16(b[8:]))
	at += -(dcerpcHeader + at) & 3
	if at+4 > len(b) {
		return
	}
	n := int(b[at])
	b = b[at+4:]
	for i := 0; i < n && len(b) >= 24 && i < len(c.Interfaces); i++ {
		c.Interfaces[i].Acked, c.Interfaces[i].Result = true, order.Uint16(b)
		b = b[24:]
		if c.Interfaces[i].Result == 0 && len(s.ifaces) < dcerpcMaxIfaces {
			s.ifaces = append(s.ifaces, c.Interfaces[i])
		}
	}
}

// meant returns the interfaces that a request in a context can be for: the
// one that was accepted last for it, or all if the context is unknown.
func (s *dcerpcSession) meant(context uint16) []DCERPCInterface {
	for i := len(s.ifaces) - 1; i >= 0; i-- {
		if s.ifaces[i].Context == context {
			return []DCERPCInterface{s.ifaces[i]}
		}
	}
	return append([]DCERPCInterface(nil), s.ifaces...)
}

type dcerpcParser struct {
	session dcerpcSession
	txs     []*DCERPCTx // of the open calls and datagrams
	lost    [2]bool
}

func newDCERPC() parser { return &dcerpcParser{} }

func (p *dcerpcParser) reset()        { *p = dcerpcParser{} }
func (*dcerpcParser) maxPending() int { return 1 << 16 }

func (p *dcerpcParser) parse(c *Conn, d Dir, data []byte) (n, need int) {
	for {
		b := data[n:]
		if p.lost[d] {
			return len(data), 0
		}
		if len(b) < 10 {
			return n, 10
		}
		l := dcerpcLength(b)
		if l == 0 {
			// An error, but only once there is as much as it says of itself.
			if l = max(int(dcerpcOrder(b).Uint16(b[8:])), dcerpcHeader); len(b) < l {
				return n, l
			}
			c.fail()
			return n, 0
		}
		if len(b) < l {
			return n, l
		}
		p.update(c, d, b[:l])
		n += l
	}
}

func (p *dcerpcParser) update(c *Conn, d Dir, b []byte) {
	call, fresh := p.session.pdu(d, b)
	if call == nil {
		return
	}
	var t *DCERPCTx
	if fresh {
		t = &DCERPCTx{}
		t.From = d
		// The session keeps calls by address: let it have that of the transaction.
		t.DCERPCCall = *call
		p.session.open[len(p.session.open)-1] = &t.DCERPCCall
		p.remember(t)
		c.add(t)
	} else {
		for _, o := range p.txs {
			if &o.DCERPCCall == call {
				t = o
			}
		}
		if t == nil {
			return
		}
	}
	for _, e := range [2]Dir{ToServer, ToClient} {
		if t.whole[e] {
			t.reach(e, StageComplete)
		}
	}
	p.forget()
}

func (p *dcerpcParser) remember(t *DCERPCTx) {
	if len(p.txs) >= dcerpcMaxOpen {
		p.txs[0].complete()
		p.txs = append(p.txs[:0], p.txs[1:]...)
	}
	p.txs = append(p.txs, t)
}

// forget drops what is complete.
func (p *dcerpcParser) forget() {
	k := 0
	for _, t := range p.txs {
		if !t.Complete() {
			p.txs[k] = t
			k++
		}
	}
	clear(p.txs[k:])
	p.txs = p.txs[:k]
}

func (p *dcerpcParser) gap(_ *Conn, d Dir, _ uint64) bool {
	p.lost[d] = true
	return true
}

func (p *dcerpcParser) close(_ *Conn, d Dir, _ []byte) {
	for _, t := range p.txs {
		t.reach(d, StageComplete)
	}
}

// datagram takes a packet of version 4 (C706 §12.5.2). Its interface is in its
// header; calls are told apart by interface and sequence number.
func (p *dcerpcParser) datagram(c *Conn, d Dir, b []byte) {
	if len(b) < dcerpcDatagramAt || b[0] != 4 {
		return
	}
	order := dcerpcOrder(b)
	typ, flags := b[1], b[2]
	length := int(order.Uint16(b[74:]))
	stub := b[dcerpcDatagramAt:]
	stub = stub[:min(len(stub), length)]
	seq := order.Uint32(b[64:])
	var t *DCERPCTx
	for _, o := range p.txs {
		if o.CallID == seq && o.Interfaces != nil && bytes.Equal(o.Interfaces[0].UUID[:], udpUUID(b, order)) {
			t = o
		}
	}
	if t == nil {
		t = &DCERPCTx{Datagram: true}
		t.From = d
		t.CallID, t.Opnum, t.Type = seq, order.Uint16(b[68:]), typ
		if typ == dcerpcResponse || typ == dcerpcFault {
			t.Type = dcerpcRequest
		}
		t.Interfaces = []DCERPCInterface{{UUID: [16]byte(udpUUID(b, order)), Major: uint16(order.Uint32(b[60:])), Acked: true}}
		p.remember(t)
		c.add(t)
	}
	e := ToServer
	if typ == dcerpcResponse || typ == dcerpcFault {
		e = ToClient
		t.Answered, t.RespType = true, typ
	} else if typ != dcerpcRequest {
		return
	}
	t.Fragments[e]++
	t.data(e, stub, 0)
	if flags&4 == 0 || flags&2 != 0 { // not a fragment, or the last one
		t.whole[e] = true
		t.reach(e, StageComplete)
	}
	p.forget()
}

func udpUUID(b []byte, order binary.ByteOrder) []byte {
	u := dcerpcUUID(b[24:], order)
	return u[:]
}
