package app

import (
	"bytes"
	"encoding/binary"
)

// Anomalies of SMB.
const (
	smbMalformed        Event = "malformed_data"
	smbMalformedNTLMSSP Event = "malformed_ntlmssp_request"
	smbResponseToServer Event = "response_to_server"
	smbRequestToClient  Event = "request_to_client"
	smbDialects         Event = "negotiate_malformed_dialects"
)

const (
	smbMaxRecord  = 80 << 10 // longest message that is read whole; of longer ones only the beginning and the file data
	smbPeek       = 256      // the beginning
	smbMaxOpen    = 256      // files and pipes
	smbMaxPending = 256      // requests without a response
	smbMaxTrees   = 256
	smbMaxName    = 2048
	smbMaxFile    = 1 << 20 // bytes kept of a file
	smb3Header    = 52      // of an encrypted message (MS-SMB2 §2.2.41)
)

// SMBTx is a request and its response, or a file that is transferred, or a
// call over a pipe.
type SMBTx struct {
	plainTx
	Version   uint8  // 1 or 2 (which 3 is a dialect of)
	Command   uint16 // of the request
	Dialect   uint16 // SMB 2 and 3, as negotiated so far
	Session   uint64
	Tree      uint32
	MessageID uint64
	Status    uint32 // of the response
	Answered  bool
	Share     []byte // of a tree connect that is no pipe
	NamedPipe []byte // of one that is
	Filename  []byte // of a create, or of the file transferred
	User      []byte // NTLMSSP
	Domain    []byte
	Host      []byte
	Call      *DCERPCCall // nil if it is no call
	file      File
}

// Bytes implements Tx.
func (t *SMBTx) Bytes(f Field, d Dir, i int) ([]byte, bool) {
	switch f {
	case SMBShare:
		return only(t.Share, i)
	case SMBNamedPipe:
		return only(t.NamedPipe, i)
	case SMBNTLMSSPUser:
		return only(t.User, i)
	case SMBNTLMSSPDomain:
		return only(t.Domain, i)
	case FileName:
		if f := t.FileAt(d, i); f != nil {
			return f.Name, true
		}
	case DCERPCIface, DCERPCStubData:
		if t.Call != nil {
			return t.Call.bytes(f, d, i)
		}
	}
	return nil, false
}

// Number implements Tx.
func (t *SMBTx) Number(f Field, _ Dir, i int) (uint64, bool) {
	switch f {
	case SMBVersion:
		return only1(uint64(t.Version), true, i)
	case DCERPCOpnum:
		if t.Call != nil {
			return t.Call.number(f, i)
		}
	}
	return 0, false
}

// smbID is the identifier of an open file or pipe: 16 bytes, or two.
type smbID [16]byte

// smbOpen is an open file or pipe.
type smbOpen struct {
	name    []byte
	pipe    bool
	rpc     dcerpcSession
	calls   []*SMBTx // without an answer
	partial [2][]byte
	written *SMBTx // the transfer in each direction
	read    *SMBTx
}

// smbRequest waits for its response.
type smbRequest struct {
	tx      *SMBTx
	command uint16
	name    []byte
	id      smbID
}

type smbParser struct {
	streamOnly
	dialect uint16
	trees   map[uint64]bool // session and tree: is it a pipe
	opens   map[smbID]*smbOpen
	pending map[uint64]smbRequest
	dir     [2]smbDir
	head    smbHead
}

// smbHead is what the header of the message being read says.
type smbHead struct {
	session uint64
	tree    uint32
	status  uint32
}

type smbDir struct {
	skip int   // bytes of a message that is not looked at
	file *File // to which they belong, nil if to none
	left int   // how many of them are the file's
	lost bool
}

func newSMB() parser { return &smbParser{} }

func (p *smbParser) reset()        { *p = smbParser{} }
func (*smbParser) maxPending() int { return 4 + smbMaxRecord + 1 }

// parse reads messages behind four bytes of type and length (RFC 1002 §4.3.1,
// MS-SMB2 §2.1).
func (p *smbParser) parse(c *Conn, d Dir, data []byte) (n, need int) {
	s := &p.dir[d]
	for {
		b := data[n:]
		if s.skip > 0 {
			k := min(s.skip, len(b))
			if s.file != nil {
				w := min(k, s.left)
				s.file.add(b[:w], smbMaxFile)
				s.left -= w
			}
			s.skip -= k
			n += k
			if s.skip > 0 {
				return n, 0
			}
			s.file, s.left = nil, 0
			continue
		}
		if s.lost {
			// A message begins where its length and its magic say so.
			k := p.resync(b)
			n += k
			if s.lost = k == len(b) || !smbMagic(data[n:]); s.lost {
				return n, 9
			}
			continue
		}
		if len(b) < 4 {
			return n, 4
		}
		l := int(b[1])<<16 | int(b[2])<<8 | int(b[3])
		if b[0] != 0 {
			// Session service: requests and answers without interest, and what
			// is none of them.
			n += 4
			s.skip = l
			continue
		}
		whole := min(l, smbMaxRecord)
		if l > smbMaxRecord {
			whole = smbPeek
		}
		if len(b) < 4+whole {
			return n, 4 + whole
		}
		if c.wantsFrames() && whole == l {
			smbFrames(c, d, n, b[:4+l])
		}
		n += 4 + whole
		s.skip = l - whole
		if !p.message(c, d, b[4:4+whole], l) {
			t := p.add(c, d, 0)
			t.event(smbMalformed)
			t.complete()
			c.fail()
			return n, 0
		}
	}
}

// smbFrames announces a message and its parts.
func smbFrames(c *Conn, d Dir, off int, b []byte) {
	c.frame(d, "nbss.pdu", off, b)
	c.frame(d, "nbss.hdr", off, b[:4])
	c.frame(d, "nbss.data", off+4, b[4:])
	if len(b) == 4 {
		return
	}
	kinds, head := [3]string{"smb1.pdu", "smb1.hdr", "smb1.data"}, smb1Header
	switch b[4] {
	case 0xfe:
		kinds, head = [3]string{"smb2.pdu", "smb2.hdr", "smb2.data"}, smb2Header
	case 0xfd:
		kinds, head = [3]string{"smb3.pdu", "smb3.hdr", "smb3.data"}, smb3Header
	}
	if len(b) < 4+head {
		return
	}
	c.frame(d, kinds[0], off+4, b[4:])
	c.frame(d, kinds[1], off+4, b[4:4+head])
	c.frame(d, kinds[2], off+4+head, b[4+head:])
}

func smbMagic(b []byte) bool {
	return len(b) >= 8 && b[0] == 0 && (b[4] == 0xff || b[4] == 0xfe || b[4] == 0xfd) && string(b[5:8]) == "SMB"
}

// resync returns where the next message may begin.
func (*smbParser) resync(b []byte) int {
	for i := range b {
		if len(b)-i < 8 || smbMagic(b[i:]) {
			return i
		}
	}
	return len(b)
}

// message takes a message, or the beginning of one of size bytes; false if it is
// none.
func (p *smbParser) message(c *Conn, d Dir, b []byte, size int) bool {
	if len(b) < 4 || string(b[1:4]) != "SMB" {
		return false
	}
	switch b[0] {
	case 0xff:
		if len(b) < smb1Header {
			return false
		}
		p.smb1(c, d, b, size)
		return true
	case 0xfe:
		// Several may be joined (MS-SMB2 §2.2.1, NextCommand).
		for {
			if len(b) < smb2Header || b[0] != 0xfe || binary.LittleEndian.Uint16(b[4:]) != smb2Header {
				return false
			}
			next := int(binary.LittleEndian.Uint32(b[20:]))
			if next < smb2Header || next >= len(b) {
				p.smb2(c, d, b, size)
				return true
			}
			p.smb2(c, d, b[:next], next)
			b, size = b[next:], size-next
		}
	case 0xfd: // encrypted
		return len(b) >= smb3Header
	}
	return true // of a version that does not exist: not looked into
}

func (p *smbParser) add(c *Conn, d Dir, version uint8) *SMBTx {
	t := &SMBTx{Version: version, Dialect: p.dialect, Session: p.head.session, Tree: p.head.tree}
	t.From = d
	c.add(t)
	return t
}

// wait remembers a request until its response comes.
func (p *smbParser) wait(key uint64, r smbRequest) {
	if p.pending == nil {
		p.pending = make(map[uint64]smbRequest)
	}
	if len(p.pending) >= smbMaxPending {
		// The client does not wait for answers, or does not get any.
		for k, o := range p.pending {
			if o.tx != nil {
				o.tx.complete()
			}
			delete(p.pending, k)
		}
	}
	p.pending[key] = r
}

func (p *smbParser) setTree(session uint64, tree uint32, pipe bool) {
	if p.trees == nil {
		p.trees = make(map[uint64]bool)
	}
	if len(p.trees) < smbMaxTrees {
		p.trees[session<<32^uint64(tree)] = pipe
	}
}

func (p *smbParser) isPipe(session uint64, tree uint32) bool {
	return p.trees[session<<32^uint64(tree)]
}

func (p *smbParser) open(id smbID, name []byte, pipe bool) *smbOpen {
	if p.opens == nil {
		p.opens = make(map[smbID]*smbOpen)
	}
	o := p.opens[id]
	if o == nil {
		if len(p.opens) >= smbMaxOpen {
			return nil
		}
		o = &smbOpen{rpc: dcerpcSession{plain: true}}
		p.opens[id] = o
	}
	o.name, o.pipe = name, pipe || smbPipeName(name)
	return o
}

// smbPipeName knows the well-known pipes of services by which calls are made,
// for trees whose kind was not seen (MS-WKST, MS-SRVS, MS-SCMR, MS-TSCH …).
func smbPipeName(name []byte) bool {
	for len(name) > 0 && name[0] == '\\' {
		name = name[1:]
	}
	for _, s := range [...]string{
		"atsvc", "browser", "epmapper", "eventlog", "lsarpc", "lsass", "netlogon", "ntsvcs", "samr", "spoolss", "srvsvc", "svcctl", "winreg", "wkssvc",
	} {
		if len(name) == len(s) && equalFold(name, s) {
			return true
		}
	}
	return false
}

// find returns an open file or pipe; one whose opening was not seen is taken
// for what its tree is.
func (p *smbParser) find(id smbID, pipe bool) *smbOpen {
	if o := p.opens[id]; o != nil {
		return o
	}
	return p.open(id, nil, pipe)
}

func (p *smbParser) closeFile(c *Conn, id smbID) {
	o := p.opens[id]
	if o == nil {
		return
	}
	delete(p.opens, id)
	for _, t := range [2]*SMBTx{o.written, o.read} {
		if t != nil {
			c.env.closeFile(&t.file)
			t.complete()
		}
	}
	for _, t := range o.calls {
		t.complete()
	}
}

// transfer takes bytes of a file; size is how many there are in all, of which
// b may be the first.
func (p *smbParser) transfer(c *Conn, d Dir, o *smbOpen, version uint8, command uint16, offset uint64, b []byte, size int) {
	tx := &o.written
	if d == ToClient {
		tx = &o.read
	}
	t := *tx
	if t == nil {
		t = p.add(c, d, version)
		t.Command, t.Filename = command, o.name
		t.file.Name, t.file.Dir = o.name, d
		t.file.Start = offset
		t.Files = append(t.Files, &t.file)
		t.reach(d.Other(), StageComplete)
		t.reach(d, StageHeaders)
		*tx = t
	}
	if want := t.file.Start + t.file.Total; offset != want && size > 0 {
		t.file.Gaps = true
		if offset < want {
			t.event("file_overlap")
		}
	}
	t.file.add(b, smbMaxFile)
	if size > len(b) {
		p.dir[d].file, p.dir[d].left = &t.file, size-len(b)
	}
}

// rpc takes bytes that go through a pipe: packets may be cut and joined.
func (p *smbParser) rpc(c *Conn, d Dir, o *smbOpen, version uint8, command uint16, b []byte) {
	if len(o.partial[d]) > 0 {
		b = append(o.partial[d], b...)
		o.partial[d] = nil
	}
	for len(b) >= 10 {
		n := dcerpcLength(b)
		if n == 0 {
			return
		}
		if len(b) < n {
			break
		}
		call, fresh := o.rpc.pdu(d, b[:n])
		b = b[n:]
		if call == nil {
			continue
		}
		var t *SMBTx
		if fresh {
			t = p.add(c, d, version)
			t.Command, t.Call = command, call
			if len(o.calls) >= dcerpcMaxOpen {
				o.calls[0].complete()
				o.calls = append(o.calls[:0], o.calls[1:]...)
			}
			o.calls = append(o.calls, t)
		}
		for i, x := range o.calls {
			if x.Call != call {
				continue
			}
			if d == ToClient {
				x.Status, x.Answered = p.head.status, true
			}
			for _, e := range [2]Dir{ToServer, ToClient} {
				if call.whole[e] {
					x.reach(e, StageComplete)
				}
			}
			if x.Complete() {
				o.calls = append(o.calls[:i], o.calls[i+1:]...)
			}
			break
		}
	}
	if len(b) > 0 && len(b) < 1<<16 {
		o.partial[d] = clone(b)
	}
}

// smbText makes a name of UTF-16 (its zeros go) or of bytes.
func smbText(b []byte) []byte {
	b = b[:min(len(b), smbMaxName)]
	out := make([]byte, 0, len(b))
	for _, c := range b {
		if c != 0 {
			out = append(out, c)
		}
	}
	return out
}

func smbIsPipe(share []byte) bool {
	return len(share) >= 4 && equalFold(share[len(share)-4:], "ipc$")
}

// share notes the share of a tree connect.
func (t *SMBTx) share(name []byte) {
	if smbIsPipe(name) {
		t.NamedPipe = name
	} else {
		t.Share = name
	}
}

// ntlmssp reads the names of an authenticate message (MS-NLMP §2.2.1.3)
// wherever in b it is.
func (t *SMBTx) ntlmssp(b []byte) {
	i := bytes.Index(b, []byte("NTLMSSP\x00"))
	if i < 0 {
		return
	}
	b = b[i:]
	if len(b) < 12 || binary.LittleEndian.Uint32(b[8:]) != 3 {
		return
	}
	if len(b) < 52 {
		t.event(smbMalformedNTLMSSP)
		return
	}
	for k, dst := range [3]*[]byte{&t.Domain, &t.User, &t.Host} {
		at := 28 + 8*k
		n, off := int(binary.LittleEndian.Uint16(b[at:])), int64(binary.LittleEndian.Uint32(b[at+4:]))
		if off+int64(n) > int64(len(b)) {
			t.event(smbMalformedNTLMSSP)
			continue
		}
		*dst = smbText(b[off : off+int64(n)])
	}
}

func (p *smbParser) gap(_ *Conn, d Dir, n uint64) bool {
	s := &p.dir[d]
	if uint64(s.skip) >= n {
		s.skip -= int(n)
		if s.file != nil {
			s.file.Gaps = true
			s.file.Total += min(n, uint64(s.left))
			s.left -= int(min(n, uint64(s.left)))
		}
		return true
	}
	*s = smbDir{lost: true}
	return true
}

func (p *smbParser) close(c *Conn, d Dir, _ []byte) {
	for _, o := range p.opens {
		t := o.written
		if d == ToClient {
			t = o.read
		}
		if t != nil {
			c.env.closeFile(&t.file)
			t.complete()
		}
	}
}
