package app

import "encoding/binary"

const nfsMalformed Event = "malformed_data"

const (
	nfsMaxRecord  = 96 << 10 // longest record that is read whole; of longer ones the beginning
	nfsPeek       = 1024
	nfsMaxPending = 256
	nfsMaxHandles = 256
	nfsMaxOps     = 64
	nfsMaxFile    = 1 << 20
	nfsProgram    = 100003
)

// Procedures of version 3 (RFC 1813 §3) that name or carry something.
const (
	nfs3Lookup  = 3
	nfs3Read    = 6
	nfs3Write   = 7
	nfs3Create  = 8
	nfs3Mkdir   = 9
	nfs3Symlink = 10
	nfs3Mknod   = 11
	nfs3Remove  = 12
	nfs3Rmdir   = 13
	nfs3Rename  = 14
	nfs3Commit  = 21
)

// NFSTx is a call and its reply (RFC 5531, 1813, 7530), or a file that is
// transferred.
type NFSTx struct {
	plainTx
	XID        uint32
	Version    uint8
	Procedures []uint32 // one; of a version 4 compound its operations
	Filename   []byte
	Status     uint32 // of the reply
	Answered   bool
	file       File
}

// Bytes implements Tx.
func (t *NFSTx) Bytes(f Field, d Dir, i int) ([]byte, bool) {
	if f == FileName {
		if f := t.FileAt(d, i); f != nil {
			return f.Name, true
		}
	}
	return nil, false
}

// Number implements Tx.
func (t *NFSTx) Number(f Field, _ Dir, i int) (uint64, bool) {
	switch f {
	case NFSVersion:
		return only1(uint64(t.Version), true, i)
	case NFSProcedure:
		if i >= 0 && i < len(t.Procedures) {
			return uint64(t.Procedures[i]), true
		}
	}
	return 0, false
}

type nfsCall struct {
	tx        *NFSTx
	procedure uint32
	handle    string
	offset    uint64
	name      []byte
}

type nfsParser struct {
	pending map[uint32]nfsCall
	names   map[string][]byte // by file handle
	files   map[string]*NFSTx // transfers under way, by direction and handle
	skip    [2]uint32
	parts   [2][]byte // fragments of a record
	lost    [2]bool
}

func newNFS() parser { return &nfsParser{} }

func (p *nfsParser) reset()        { *p = nfsParser{} }
func (*nfsParser) maxPending() int { return 4 + nfsMaxRecord + 1 }

// parse reads records: fragments with their length and a mark on the last one
// (RFC 5531 §11).
func (p *nfsParser) parse(c *Conn, d Dir, data []byte) (n, need int) {
	for {
		b := data[n:]
		if p.lost[d] {
			return len(data), 0
		}
		if p.skip[d] > 0 {
			k := min(int(p.skip[d]), len(b))
			p.skip[d] -= uint32(k)
			n += k
			if p.skip[d] > 0 {
				return n, 0
			}
			continue
		}
		if len(b) < 4 {
			return n, 4
		}
		mark := binary.BigEndian.Uint32(b)
		last, l := mark>>31 == 1, mark&0x7fffffff
		whole := int(l)
		if l > nfsMaxRecord {
			whole = nfsPeek
		}
		if len(b) < 4+whole {
			return n, 4 + whole
		}
		body := b[4 : 4+whole]
		n += 4 + whole
		p.skip[d] = l - uint32(whole)
		if !last || len(p.parts[d]) > 0 {
			if len(p.parts[d])+len(body) <= nfsMaxRecord {
				p.parts[d] = append(p.parts[d], body...)
			}
			if !last {
				continue
			}
			body, p.parts[d] = p.parts[d], nil
		}
		p.message(c, d, body)
	}
}

func (p *nfsParser) gap(_ *Conn, d Dir, n uint64) bool {
	if uint64(p.skip[d]) >= n {
		p.skip[d] -= uint32(n)
		return true
	}
	p.lost[d] = true
	return true
}

func (p *nfsParser) close(c *Conn, d Dir, _ []byte) {
	for _, t := range p.files {
		if t.file.Dir == d {
			c.env.closeFile(&t.file)
			t.complete()
		}
	}
}

func (p *nfsParser) datagram(c *Conn, d Dir, data []byte) { p.message(c, d, data) }

// xdr reads what RFC 4506 defines; what is missing reads as zero and is noted.
type xdr struct {
	b   []byte
	bad bool
}

func (x *xdr) u32() uint32 {
	if len(x.b) < 4 {
		x.bad, x.b = true, nil
		return 0
	}
	v := binary.BigEndian.Uint32(x.b)
	x.b = x.b[4:]
	return v
}

func (x *xdr) u64() uint64 { return uint64(x.u32())<<32 | uint64(x.u32()) }

// opaque reads bytes with their length before them. Fewer may be there.
func (x *xdr) opaque() []byte {
	n := int64(x.u32())
	if n > int64(len(x.b)) {
		x.bad = true
		n = int64(len(x.b))
	}
	out := x.b[:n:n]
	x.b = x.b[min(int64(len(x.b)), (n+3)&^3):]
	return out
}

func (x *xdr) skip(n int) {
	if n > len(x.b) {
		x.bad = true
		n = len(x.b)
	}
	x.b = x.b[n:]
}

func (p *nfsParser) message(c *Conn, d Dir, b []byte) {
	x := xdr{b: b}
	xid, typ := x.u32(), x.u32()
	switch {
	case x.bad:
		return
	case typ == 0 && d == ToServer:
		p.call(c, xid, &x)
	case typ == 1 && d == ToClient:
		p.reply(c, xid, &x)
	}
}

func (p *nfsParser) call(c *Conn, xid uint32, x *xdr) {
	rpc, program, version, proc := x.u32(), x.u32(), x.u32(), x.u32()
	if rpc != 2 || program != nfsProgram || x.bad {
		return
	}
	for range 2 { // credentials, verifier
		x.u32()
		x.opaque()
	}
	t := &NFSTx{XID: xid, Version: uint8(version), Procedures: []uint32{proc}}
	t.reach(ToServer, StageComplete)
	call := nfsCall{tx: t, procedure: proc}
	switch version {
	case 3:
		p.call3(c, &call, x)
	case 4:
		// As Suricata has it, version 4 has transactions for files only.
		if proc == 1 {
			p.call4(c, xid, x)
		}
		return
	}
	if x.bad {
		t.event(nfsMalformed)
	}
	if p.pending == nil {
		p.pending = make(map[uint32]nfsCall)
	}
	if len(p.pending) >= nfsMaxPending {
		for k, o := range p.pending {
			o.tx.complete()
			delete(p.pending, k)
		}
	}
	p.pending[xid] = call
	c.add(t)
}

func (p *nfsParser) call3(c *Conn, call *nfsCall, x *xdr) {
	t := call.tx
	switch call.procedure {
	case nfs3Lookup, nfs3Create, nfs3Mkdir, nfs3Symlink, nfs3Mknod, nfs3Remove, nfs3Rmdir, nfs3Rename:
		x.opaque()
		t.Filename = clone(x.opaque())
		call.name = t.Filename
	case nfs3Read:
		call.handle = string(x.opaque())
		call.offset = x.u64()
		t.Filename = p.names[call.handle]
	case nfs3Write:
		call.handle = string(x.opaque())
		offset, _, _ := x.u64(), x.u32(), x.u32()
		t.Filename = p.names[call.handle]
		p.transfer(c, ToServer, call.handle, offset, x)
	case nfs3Commit:
		h := string(x.opaque())
		if f := p.files["w"+h]; f != nil {
			c.env.closeFile(&f.file)
			f.complete()
			delete(p.files, "w"+h)
		}
	}
}

// transfer takes the bytes of a READ or WRITE, of which the record may hold
// only the first.
func (p *nfsParser) transfer(c *Conn, d Dir, handle string, offset uint64, x *xdr) {
	size := uint64(0)
	if len(x.b) >= 4 {
		size = uint64(binary.BigEndian.Uint32(x.b))
	}
	key := "w" + handle
	if d == ToClient {
		key = "r" + handle
	}
	data := x.opaque()
	t := p.files[key]
	if t == nil {
		if len(p.files) >= nfsMaxHandles {
			return
		}
		if p.files == nil {
			p.files = make(map[string]*NFSTx)
		}
		t = &NFSTx{Version: 3, Filename: p.names[handle]}
		t.From = d
		t.file = File{Name: t.Filename, Dir: d, Start: offset}
		t.Files = append(t.Files, &t.file)
		t.reach(d.Other(), StageComplete)
		t.reach(d, StageHeaders)
		p.files[key] = t
		c.add(t)
	}
	if offset != t.file.Start+t.file.Total || uint64(len(data)) < size {
		t.file.Gaps = true
	}
	t.file.add(data, nfsMaxFile)
	x.bad = false // a record of which only the beginning is here
}

func (p *nfsParser) reply(c *Conn, xid uint32, x *xdr) {
	call, ok := p.pending[xid]
	if !ok {
		return
	}
	delete(p.pending, xid)
	t := call.tx
	defer t.complete()
	t.Answered = true
	if x.u32() != 0 { // denied
		return
	}
	x.u32() // verifier
	x.opaque()
	if x.u32() != 0 { // not executed
		return
	}
	t.Status = x.u32()
	if t.Status != 0 || t.Version != 3 || x.bad {
		return
	}
	switch call.procedure {
	case nfs3Lookup:
		p.name(string(x.opaque()), call.name)
	case nfs3Create:
		if x.u32() == 1 {
			p.name(string(x.opaque()), call.name)
		}
	case nfs3Read:
		if x.u32() == 1 {
			x.skip(84) // attributes
		}
		_, eof := x.u32(), x.u32()
		p.transfer(c, ToClient, call.handle, call.offset, x)
		if f := p.files["r"+call.handle]; eof == 1 && f != nil {
			c.env.closeFile(&f.file)
			f.complete()
			delete(p.files, "r"+call.handle)
		}
	}
}

func (p *nfsParser) name(handle string, name []byte) {
	if p.names == nil {
		p.names = make(map[string][]byte)
	}
	if len(handle) > 0 && len(p.names) < nfsMaxHandles {
		p.names[handle] = name
	}
}

// call4 walks through the operations of a compound (RFC 7530 §15.2) up to the
// first whose arguments are not known here, in search of files.
func (p *nfsParser) call4(c *Conn, xid uint32, x *xdr) {
	x.opaque() // tag
	x.u32()    // minor version
	handle := ""
	for n := min(x.u32(), nfsMaxOps); n > 0 && !x.bad; n-- {
		switch x.u32() {
		case 3: // ACCESS
			x.u32()
		case 4: // CLOSE
			x.skip(4 + 16)
			p.end4(c, handle)
		case 5: // COMMIT
			x.skip(8 + 4)
			p.end4(c, handle)
		case 9: // GETATTR
			x.skip(4 * int(min(x.u32(), 1<<16)))
		case 10, 16, 24, 31, 32: // GETFH, LOOKUPP, PUTROOTFH, RESTOREFH, SAVEFH
		case 15, 28: // LOOKUP, REMOVE
			x.opaque()
		case 22: // PUTFH
			handle = string(x.opaque())
		case 25: // READ
			x.skip(16 + 8 + 4)
		case 30: // RENEW
			x.skip(8)
		case 38: // WRITE
			x.skip(16)
			offset := x.u64()
			x.u32()
			if x.bad {
				return
			}
			p.transfer(c, ToServer, handle, offset, x)
			if t := p.files["w"+handle]; t != nil && t.Procedures == nil {
				t.XID, t.Version, t.Procedures = xid, 4, []uint32{38}
			}
		case 53: // SEQUENCE
			x.skip(16 + 4*4)
		default:
			return
		}
	}
}

// end4 ends the file that is written to a handle.
func (p *nfsParser) end4(c *Conn, handle string) {
	if f := p.files["w"+handle]; f != nil && f.Version == 4 {
		c.env.closeFile(&f.file)
		f.complete()
		delete(p.files, "w"+handle)
	}
}
