package app

import (
	"bytes"
	"encoding/binary"
)

// Anomalies of SSH.
const (
	sshInvalidBanner Event = "invalid_banner"
	sshLongBanner    Event = "long_banner"
	sshInvalidRecord Event = "invalid_record"
)

const (
	sshMaxBanner = 256
	// sshMaxKexinit is the longest key exchange message that is read; RFC
	// 4253 §6.1 makes implementations take packets of 35000 bytes.
	sshMaxKexinit = 64 << 10
)

// SSHSide is what one side of an SSH connection says in clear.
type SSHSide struct {
	Proto    []byte // "2.0"
	Software []byte // up to the comment
	Hassh    []byte // MD5 in hexadecimal; nil before the key exchange message
	// HasshString is what Hassh is the sum of: key exchange, cipher, MAC and
	// compression algorithms of this side's direction
	// (github.com/salesforce/hassh).
	HasshString []byte
}

// SSHTx is an SSH connection: there is one transaction a connection.
type SSHTx struct {
	plainTx
	Side [2]SSHSide
}

// Bytes implements Tx.
func (t *SSHTx) Bytes(f Field, d Dir, i int) ([]byte, bool) {
	s := &t.Side[d]
	switch f {
	case SSHProto:
		return only(s.Proto, i)
	case SSHSoftware:
		return only(s.Software, i)
	case SSHHassh:
		return only(t.Side[ToServer].Hassh, i)
	case SSHHasshString:
		return only(t.Side[ToServer].HasshString, i)
	case SSHHasshServer:
		return only(t.Side[ToClient].Hassh, i)
	case SSHHasshServerString:
		return only(t.Side[ToClient].HasshString, i)
	}
	return nil, false
}

type sshParser struct {
	streamOnly
	tx  *SSHTx
	dir [2]sshDir
}

type sshDir struct {
	banner    bool
	encrypted bool
	long      bool   // within a line that is too long
	skip      uint32 // bytes of a packet that is not looked at
}

func newSSH() parser { return &sshParser{} }

func (p *sshParser) reset()        { *p = sshParser{} }
func (*sshParser) maxPending() int { return 4 + sshMaxKexinit + 1 }

func (p *sshParser) parse(c *Conn, d Dir, data []byte) (n, need int) {
	if p.tx == nil {
		p.tx = &SSHTx{}
		p.tx.From = d
		c.add(p.tx)
	}
	s := &p.dir[d]
	for n < len(data) {
		b := data[n:]
		switch {
		case s.encrypted:
			return len(data), 0
		case s.long:
			k := bytes.IndexByte(b, '\n')
			if k < 0 {
				return len(data), 0
			}
			s.long = false
			n += k + 1
		case !s.banner:
			k := bytes.IndexByte(b[:min(len(b), sshMaxBanner+1)], '\n')
			switch {
			case k >= 0:
				n += k + 1
				p.line(c, d, b[:k])
			case len(b) > sshMaxBanner:
				n += sshMaxBanner + 1
				s.long = true
				p.line(c, d, b[:sshMaxBanner+1])
			default:
				return n, len(b) + 1
			}
			if c.Done() {
				return n, 0
			}
		case s.skip > 0:
			k := min(int(s.skip), len(b))
			s.skip -= uint32(k)
			n += k
		default:
			if len(b) < 6 {
				return n, 6
			}
			l := binary.BigEndian.Uint32(b)
			if l < 2 || l > 1<<20 {
				// Not the beginning of a packet: nothing more can be read.
				p.tx.event(sshInvalidRecord)
				p.secret(c, d)
				continue
			}
			if b[5] == 20 && l <= sshMaxKexinit {
				if len(b) < 4+int(l) {
					return n, 4 + int(l)
				}
				p.kexinit(d, b[6:4+l])
				n += 4 + int(l)
				continue
			}
			if b[5] == 21 {
				n += 6
				p.secret(c, d)
				continue
			}
			s.skip = l - 2
			n += 6
		}
	}
	return n, 0
}

// secret: direction d is cipher text from here.
func (p *sshParser) secret(c *Conn, d Dir) {
	p.dir[d].encrypted = true
	p.tx.reach(d, StageComplete)
	if p.dir[d.Other()].encrypted {
		c.stopEncrypted()
	}
}

func (p *sshParser) line(c *Conn, d Dir, b []byte) {
	s, side := &p.dir[d], &p.tx.Side[d]
	if len(b) > sshMaxBanner {
		p.tx.event(sshLongBanner)
	}
	b = bytes.TrimSuffix(b, []byte("\r"))
	rest, ok := bytes.CutPrefix(b, []byte("SSH-"))
	var proto, software []byte
	if ok {
		proto, software, ok = bytes.Cut(rest, []byte("-"))
	}
	if !ok || len(proto) == 0 {
		// A server may say other lines first (RFC 4253 §4.2); not here, where
		// the first line has made the protocol known.
		p.tx.event(sshInvalidBanner)
		c.fail()
		return
	}
	if k := bytes.IndexAny(software, " \r"); k >= 0 {
		software = software[:k]
	}
	side.Proto, side.Software = clone(proto), clone(software)
	s.banner = true
	p.tx.reach(d, StageLine)
	if side.Proto[0] == '1' && string(side.Proto) != "1.99" {
		p.secret(c, d) // other packets, without names in them
	}
}

// kexinit reads the name lists of RFC 4253 §7.1.
func (p *sshParser) kexinit(d Dir, b []byte) {
	side := &p.tx.Side[d]
	p.tx.reach(d, StageHeaders)
	if len(b) < 16 || side.HasshString != nil {
		return
	}
	b = b[16:]
	var lists [8][]byte // kex, host key, cipher, MAC, compression; each of the last three both ways
	for i := range lists {
		if len(b) < 4 {
			p.tx.event(sshInvalidRecord)
			return
		}
		l := binary.BigEndian.Uint32(b)
		if uint64(l) > uint64(len(b)-4) {
			p.tx.event(sshInvalidRecord)
			return
		}
		lists[i], b = b[4:4+l], b[4+l:]
	}
	o := int(d)
	out := make([]byte, 0, len(lists[0])+len(lists[2+o])+len(lists[4+o])+len(lists[6+o])+3)
	out = append(append(out, lists[0]...), ';')
	out = append(append(out, lists[2+o]...), ';')
	out = append(append(out, lists[4+o]...), ';')
	out = append(out, lists[6+o]...)
	side.HasshString, side.Hassh = out, md5Hex(out)
}

func (p *sshParser) gap(c *Conn, d Dir, n uint64) bool {
	if p.tx == nil {
		return false
	}
	s := &p.dir[d]
	if uint64(s.skip) >= n {
		s.skip -= uint32(n)
		return true
	}
	p.secret(c, d)
	return true
}

func (p *sshParser) close(_ *Conn, d Dir, _ []byte) {
	if p.tx != nil {
		p.tx.reach(d, StageComplete)
	}
}
