package app

import (
	"bytes"
	"encoding/binary"
)

const smb1Header = 32

// Commands of SMB 1 (MS-CIFS §2.2.2.1).
const (
	smb1Close       = 0x04
	smb1Trans       = 0x25
	smb1ReadX       = 0x2e
	smb1WriteX      = 0x2f
	smb1Trans2      = 0x32
	smb1Negotiate   = 0x72
	smb1SetupX      = 0x73
	smb1TreeConnect = 0x75
	smb1CreateX     = 0xa2
)

// smb1Block is the parameters and data of a command.
type smb1Block struct {
	words, bytes []byte
	bytesAt      int // where the data is in the message
}

// smb1Read reads a block at off.
func smb1Read(b []byte, off int) (k smb1Block, ok bool) {
	if off+1 > len(b) {
		return k, false
	}
	w := 2 * int(b[off])
	if off+1+w+2 > len(b) {
		return k, false
	}
	k.words = b[off+1 : off+1+w]
	k.bytesAt = off + 1 + w + 2
	n := int(binary.LittleEndian.Uint16(b[off+1+w:]))
	k.bytes = b[k.bytesAt:min(len(b), k.bytesAt+n)]
	return k, true
}

func smb1ID(fid uint16) (id smbID) {
	binary.LittleEndian.PutUint16(id[:], fid)
	return id
}

// smb1Sets says whether a TRANS2 request of a message b deletes or renames a
// file (MS-CIFS §2.2.6: SET_PATH_INFORMATION and SET_FILE_INFORMATION, by their
// level of information).
func smb1Sets(b []byte, k smb1Block) bool {
	if len(k.words) < 30 || k.words[29] != 0 || k.words[28] != 6 && k.words[28] != 8 {
		return false
	}
	at := int(binary.LittleEndian.Uint16(k.words[20:]))
	if k.words[28] == 8 {
		at += 2 // behind the file's identifier
	}
	if at+2 > len(b) {
		return false
	}
	switch binary.LittleEndian.Uint16(b[at:]) {
	case 0x102, 1013, 1010:
		return true
	}
	return false
}

// smb1 takes a message of SMB 1, or the beginning of one of size bytes.
func (p *smbParser) smb1(c *Conn, d Dir, b []byte, size int) {
	le := binary.LittleEndian
	command := uint16(b[4])
	response := b[9]&0x80 != 0
	unicode := b[11]&0x80 != 0
	tree, user := uint32(le.Uint16(b[24:])), uint64(le.Uint16(b[28:]))
	// Process and multiplex identifiers tell requests apart.
	p.head = smbHead{user, tree, le.Uint32(b[5:])}
	key := uint64(le.Uint16(b[26:]))<<16 | uint64(le.Uint16(b[30:])) | 1<<63
	if response != (d == ToClient) {
		t := p.add(c, d, 1)
		t.Command = command
		if response {
			t.event(smbResponseToServer)
		} else {
			t.event(smbRequestToClient)
		}
		t.complete()
		return
	}
	k, ok := smb1Read(b, smb1Header)
	if response {
		p.smb1Response(c, b, k, command, key, tree, user, size)
		return
	}
	if ok && p.smb1Data(c, b, k, command, key, tree, user, size) {
		return
	}
	if ok && command == smb1Trans2 && !smb1Sets(b, k) {
		return // what asks for information only is no transaction
	}
	t := p.add(c, d, 1)
	t.Command, t.MessageID, t.Session, t.Tree = command, key&^(1<<63), user, tree
	t.reach(ToServer, StageComplete)
	r := smbRequest{tx: t, command: command}
	if !ok {
		t.event(smbMalformed)
	}
	// Commands may be chained (MS-CIFS §2.2.3.4): words 0 and 1 tell.
	for cmd, n := command, 0; ok && n < 8; n++ {
		switch cmd {
		case smb1SetupX:
			t.ntlmssp(k.bytes)
		case smb1TreeConnect:
			if len(k.words) >= 8 {
				p.smb1Tree(t, k, unicode)
				r.name = t.Share
				if r.name == nil {
					r.name = t.NamedPipe
				}
			}
		case smb1CreateX:
			if len(k.words) >= 8 {
				name := k.bytes
				if unicode && k.bytesAt&1 == 1 && len(name) > 0 {
					name = name[1:]
				}
				if l := int(le.Uint16(k.words[5:])); l < len(name) {
					name = name[:l]
				}
				t.Filename = smbText(name)
				r.name = t.Filename
			}
		case smb1Close:
			if len(k.words) >= 2 {
				r.id = smb1ID(le.Uint16(k.words))
			}
		}
		if cmd != smb1SetupX && cmd != smb1TreeConnect && cmd != smb1CreateX || len(k.words) < 4 || k.words[0] == 0xff {
			break
		}
		next := int(le.Uint16(k.words[2:]))
		if next <= smb1Header {
			break
		}
		cmd = uint16(k.words[0])
		k, ok = smb1Read(b, next)
	}
	p.wait(key, r)
}

func (p *smbParser) smb1Tree(t *SMBTx, k smb1Block, unicode bool) {
	n := int(binary.LittleEndian.Uint16(k.words[6:]))
	if n > len(k.bytes) {
		t.event(smbMalformed)
		return
	}
	path := k.bytes[n:]
	if unicode {
		if (k.bytesAt+n)&1 == 1 && len(path) > 0 {
			path = path[1:]
		}
		for i := 0; i+1 < len(path); i += 2 {
			if path[i] == 0 && path[i+1] == 0 {
				path = path[:i]
				break
			}
		}
	} else if i := bytes.IndexByte(path, 0); i >= 0 {
		path = path[:i]
	}
	name := smbText(path)
	if len(name) > 1 {
		name = name[1:] // as Suricata has it: one backslash less
	}
	t.share(name)
}

// smb1Data takes the requests that carry data of files and pipes; false: it is
// none.
func (p *smbParser) smb1Data(c *Conn, b []byte, k smb1Block, command uint16, key uint64, tree uint32, user uint64, size int) bool {
	le := binary.LittleEndian
	w := k.words
	switch command {
	case smb1WriteX:
		if len(w) < 24 {
			return false
		}
		at, n := int(le.Uint16(w[22:])), int(le.Uint16(w[20:]))|int(le.Uint16(w[18:]))<<16
		if at < smb1Header || at > len(b) || n > size-at {
			return false
		}
		offset := uint64(le.Uint32(w[6:]))
		if len(w) >= 28 {
			offset |= uint64(le.Uint32(w[24:])) << 32
		}
		o := p.find(smb1ID(le.Uint16(w[4:])), p.isPipe(user, tree))
		if o == nil {
			return true
		}
		data := b[at:min(len(b), at+n)]
		if o.pipe {
			p.rpc(c, ToServer, o, 1, command, data)
		} else {
			p.transfer(c, ToServer, o, 1, command, offset, data, n)
		}
		return true
	case smb1ReadX:
		if len(w) < 10 {
			return false
		}
		p.wait(key, smbRequest{command: command, id: smb1ID(le.Uint16(w[4:])), name: clone(w[6:10])})
		return true
	case smb1Trans:
		if len(w) < 32 || w[26] < 2 || le.Uint16(w[28:]) != 0x26 { // TransactNmPipe
			return false
		}
		id := smb1ID(le.Uint16(w[30:]))
		p.wait(key, smbRequest{command: command, id: id})
		n, at := int(le.Uint16(w[22:])), int(le.Uint16(w[24:]))
		if o := p.find(id, true); o != nil && at >= smb1Header && at+n <= len(b) {
			p.rpc(c, ToServer, o, 1, command, b[at:at+n])
		}
		return true
	}
	return false
}

func (p *smbParser) smb1Response(c *Conn, b []byte, k smb1Block, command uint16, key uint64, tree uint32, user uint64, size int) {
	le := binary.LittleEndian
	r, ok := p.pending[key]
	if !ok || r.command != command {
		return
	}
	delete(p.pending, key)
	status := le.Uint32(b[5:])
	if t := r.tx; t != nil {
		t.Answered, t.Status = true, status
		t.Session = user
		t.Tree = tree
		defer t.complete()
	}
	if status>>30 == 3 {
		return
	}
	w := k.words
	switch command {
	case smb1TreeConnect, smb1SetupX:
		if r.name != nil {
			p.setTree(user, tree, smbIsPipe(r.name))
		}
	case smb1CreateX:
		if len(w) >= 7 {
			p.open(smb1ID(le.Uint16(w[5:])), r.name, p.isPipe(user, tree))
		}
	case smb1Close:
		p.closeFile(c, r.id)
	case smb1ReadX:
		if len(w) < 14 {
			return
		}
		at, n := int(le.Uint16(w[12:])), int(le.Uint16(w[10:]))
		if len(w) >= 18 {
			n |= int(le.Uint32(w[14:])&0xff) << 16
		}
		if at < smb1Header || at > len(b) || n > size-at {
			return
		}
		o := p.find(r.id, p.isPipe(user, tree))
		if o == nil {
			return
		}
		data := b[at:min(len(b), at+n)]
		if o.pipe {
			p.rpc(c, ToClient, o, 1, command, data)
		} else {
			p.transfer(c, ToClient, o, 1, command, uint64(le.Uint32(r.name)), data, n)
		}
	case smb1Trans:
		if r.tx != nil {
			return
		}
		if len(w) < 16 {
			// An interim response: more of the request is to come, and then the
			// answer.
			if o := p.opens[r.id]; o != nil && len(o.calls) > 0 {
				o.calls[len(o.calls)-1].event(smbMalformed)
			}
			p.pending[key] = r
			return
		}
		n, at := int(le.Uint16(w[12:])), int(le.Uint16(w[14:]))
		if o := p.find(r.id, true); o != nil && at >= smb1Header && at+n <= len(b) {
			p.rpc(c, ToClient, o, 1, command, b[at:at+n])
		}
	}
}
