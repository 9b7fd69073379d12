package app

import "encoding/binary"

const smb2Header = 64

// Commands of SMB 2 and 3 (MS-SMB2 §2.2.1).
const (
	smb2Negotiate   = 0
	smb2Setup       = 1
	smb2TreeConnect = 3
	smb2Create      = 5
	smb2Close       = 6
	smb2Read        = 8
	smb2Write       = 9
	smb2Ioctl       = 11
	smb2Cancel      = 12
	smb2GetInfo     = 16
	smb2PipeCall    = 0x0011c017 // FSCTL_PIPE_TRANSCEIVE
)

// smb2 takes a message of SMB 2 or 3, or the beginning of one of size bytes.
func (p *smbParser) smb2(c *Conn, d Dir, b []byte, size int) {
	le := binary.LittleEndian
	command := le.Uint16(b[12:])
	response := b[16]&1 != 0
	id := le.Uint64(b[24:])
	tree := le.Uint32(b[36:])
	if b[16]&2 != 0 {
		tree = 0 // asynchronous: half of an identifier stands here
	}
	session := le.Uint64(b[40:])
	body := b[smb2Header:]
	p.head = smbHead{session, tree, le.Uint32(b[8:])}
	if response != (d == ToClient) {
		t := p.add(c, d, 2)
		t.Command = command
		if response {
			t.event(smbResponseToServer)
		} else {
			t.event(smbRequestToClient)
		}
		t.complete()
		return
	}
	if response {
		p.smb2Response(c, b, body, command, id, le.Uint32(b[8:]), tree, session, size)
		return
	}
	switch command {
	case smb2Write:
		if len(body) < 48 {
			break
		}
		at, n := int(le.Uint16(body[2:])), int64(le.Uint32(body[4:]))
		if at < smb2Header || at > len(b) || n > int64(size-at) {
			break
		}
		fid := smbID(body[16:32])
		o := p.find(fid, p.isPipe(session, tree))
		if o == nil {
			return
		}
		data := b[at:min(int64(len(b)), int64(at)+n)]
		if o.pipe {
			p.rpc(c, d, o, 2, command, data)
		} else {
			p.transfer(c, d, o, 2, command, le.Uint64(body[8:]), data, int(n))
		}
		return
	case smb2Read:
		if len(body) < 32 {
			break
		}
		// The offset is needed with the response.
		p.wait(id, smbRequest{command: command, id: smbID(body[16:32]), name: body[8:16:16]})
		r := p.pending[id]
		r.name = clone(r.name)
		p.pending[id] = r
		return
	case smb2Ioctl:
		if len(body) < 32 || le.Uint32(body[4:]) != smb2PipeCall {
			break
		}
		at, n := int64(le.Uint32(body[24:])), int64(le.Uint32(body[28:]))
		fid := smbID(body[8:24])
		p.wait(id, smbRequest{command: command, id: fid})
		if o := p.find(fid, true); o != nil && at+n <= int64(len(b)) && at >= smb2Header {
			p.rpc(c, d, o, 2, command, b[at:at+n])
		}
		return
	}
	if command == smb2GetInfo || command == smb2Cancel {
		return // what asks for information only is no transaction, nor what takes a request back
	}
	t := p.add(c, d, 2)
	t.Command, t.MessageID, t.Session, t.Tree = command, id, session, tree
	t.reach(ToServer, StageComplete)
	r := smbRequest{tx: t, command: command}
	switch command {
	case smb2Negotiate:
		if len(body) < 36 || 36+2*int(le.Uint16(body[2:])) > len(body) {
			t.event(smbDialects)
		}
	case smb2Setup:
		t.ntlmssp(body)
	case smb2TreeConnect:
		if len(body) < 8 {
			t.event(smbMalformed)
			break
		}
		at, n := int(le.Uint16(body[4:])), int(le.Uint16(body[6:]))
		if at+n > len(b) {
			t.event(smbMalformed)
			break
		}
		name := smbText(b[at : at+n])
		t.share(name)
		r.name = name
	case smb2Create:
		if len(body) < 48 {
			t.event(smbMalformed)
			break
		}
		at, n := int(le.Uint16(body[44:])), int(le.Uint16(body[46:]))
		if at+n > len(b) {
			t.event(smbMalformed)
			break
		}
		t.Filename = smbText(b[at : at+n])
		r.name = t.Filename
	case smb2Close:
		if len(body) >= 24 {
			r.id = smbID(body[8:24])
		}
	case smb2Write, smb2Read:
		t.event(smbMalformed)
	}
	p.wait(id, r)
}

func (p *smbParser) smb2Response(c *Conn, b, body []byte, command uint16, id uint64, status, tree uint32, session uint64, size int) {
	le := binary.LittleEndian
	const pending = 0x103
	if status == pending {
		return // the real answer follows
	}
	r, ok := p.pending[id]
	if !ok || r.command != command {
		return
	}
	delete(p.pending, id)
	if t := r.tx; t != nil {
		t.Answered, t.Status = true, status
		if session != 0 {
			t.Session = session
		}
		if tree != 0 {
			t.Tree = tree
		}
		defer t.complete()
	}
	// A short read and a pipe that has more are successes.
	if status != 0 && status>>30 == 3 {
		return
	}
	switch command {
	case smb2Negotiate:
		if len(body) >= 6 {
			p.dialect = le.Uint16(body[4:])
			r.tx.Dialect = p.dialect
		}
	case smb2TreeConnect:
		if len(body) >= 3 {
			pipe := body[2] == 2
			p.setTree(session, tree, pipe)
			if pipe && r.tx.NamedPipe == nil {
				r.tx.NamedPipe, r.tx.Share = r.tx.Share, nil
			}
		}
	case smb2Create:
		if len(body) >= 80 {
			p.open(smbID(body[64:80]), r.name, p.isPipe(session, r.tx.Tree))
		}
	case smb2Close:
		p.closeFile(c, r.id)
	case smb2Read:
		if len(body) < 16 {
			return
		}
		at, n := int(body[2]), int64(le.Uint32(body[4:]))
		if at < smb2Header || at > len(b) || n > int64(size-at) {
			return
		}
		o := p.find(r.id, p.isPipe(session, tree))
		if o == nil {
			return
		}
		data := b[at:min(int64(len(b)), int64(at)+n)]
		if o.pipe {
			p.rpc(c, ToClient, o, 2, command, data)
		} else {
			p.transfer(c, ToClient, o, 2, command, le.Uint64(r.name), data, int(n))
		}
	case smb2Ioctl:
		if r.tx != nil || len(body) < 40 {
			return
		}
		at, n := int64(le.Uint32(body[32:])), int64(le.Uint32(body[36:]))
		if o := p.find(r.id, true); o != nil && at >= smb2Header && at+n <= int64(len(b)) {
			p.rpc(c, ToClient, o, 2, command, b[at:at+n])
		}
	}
}
