package app

import (
	"bytes"
	"net/netip"
	"sync/atomic"
)

// Anomalies of FTP.
const (
	ftpLongRequest  Event = "request_command_too_long"
	ftpLongResponse Event = "response_command_too_long"
)

const (
	ftpMaxLine    = 4096
	ftpMaxReplies = 512 // reply lines kept of a command
	ftpMaxFile    = 1 << 20
)

// What a data connection carries.
const (
	FTPStore    = 1
	FTPRetrieve = 2
)

// FTPTransfer is the Info of the Expectation of a data connection. The
// control connection fills it in when the command comes, which may be after
// the data connection was opened and in another goroutine.
type FTPTransfer struct {
	cmd atomic.Pointer[ftpTransferCommand]
}

type ftpTransferCommand struct {
	verb uint8
	name []byte
}

// FTPTx is a command and its replies; the greeting has no command.
type FTPTx struct {
	plainTx
	Command []byte // upper or lower case as sent; nil for the greeting
	Data    []byte // argument
	Codes   [][]byte
	Replies [][]byte // text behind the code, one a line
	Port    uint16   // of the data connection the exchange agreed on, 0 if none
	Passive bool     // the server listens for it
}

// Bytes implements Tx.
func (t *FTPTx) Bytes(f Field, d Dir, i int) ([]byte, bool) {
	switch f {
	case FTPCommand:
		return only(t.Command, i)
	case FTPCommandData:
		return only(t.Data, i)
	case FTPReply:
		return at(t.Replies, i)
	case FTPCompletionCode:
		return at(t.Codes, i)
	}
	return nil, false
}

// Number implements Tx.
func (t *FTPTx) Number(f Field, d Dir, i int) (uint64, bool) {
	var v uint64
	switch f {
	case FTPReplyReceived:
		if len(t.Replies) > 0 {
			v = 1
		}
		return only1(v, true, i)
	case FTPDynamicPort:
		return only1(uint64(t.Port), t.Port != 0, i)
	case FTPMode:
		if t.Passive {
			v = 1
		}
		return only1(v, t.Port != 0, i)
	}
	return 0, false
}

type ftpParser struct {
	streamOnly
	open     []*FTPTx // without a final reply, oldest first
	last     *FTPTx
	drop     [2]bool
	multi    [3]byte // code of the reply that goes on over lines, 0 if none
	asked    string  // code by which the server would answer PASV or EPSV, "" after other commands
	transfer *FTPTransfer
}

func newFTP() parser { return &ftpParser{} }

func (p *ftpParser) reset()        { *p = ftpParser{} }
func (*ftpParser) maxPending() int { return ftpMaxLine + 2 }

func (p *ftpParser) parse(c *Conn, d Dir, data []byte) (n, need int) {
	for n < len(data) {
		b := data[n:]
		k := bytes.IndexByte(b[:min(len(b), ftpMaxLine)], '\n')
		if k < 0 && len(b) < ftpMaxLine && !p.drop[d] {
			return n, len(b) + 1
		}
		line := b[:min(len(b), ftpMaxLine)]
		if k >= 0 {
			line = b[:k]
			n++
		}
		n += len(line)
		if p.drop[d] {
			p.drop[d] = k < 0
			continue
		}
		p.drop[d] = k < 0
		line = bytes.TrimSuffix(line, []byte("\r"))
		if d == ToServer {
			p.command(c, line, k < 0)
		} else {
			p.reply(c, line, k < 0)
			if c.parser != parser(p) {
				return n, 0
			}
		}
	}
	return n, 0
}

func (p *ftpParser) add(c *Conn, d Dir) *FTPTx {
	t := &FTPTx{}
	t.From = d
	if d == ToServer {
		if len(p.open) >= c.env.Config.MaxTx {
			p.open = append(p.open[:0], p.open[1:]...)
		}
		p.open = append(p.open, t)
	}
	p.last = t
	c.add(t)
	return t
}

func (p *ftpParser) command(c *Conn, b []byte, long bool) {
	if len(b) == 0 {
		return
	}
	t := p.add(c, ToServer)
	if long {
		t.event(ftpLongRequest)
	}
	t.reach(ToServer, StageComplete)
	word, arg, spaced := bytes.Cut(b, []byte(" "))
	t.Command = clone(word)
	if spaced {
		t.Data = clone(bytes.TrimLeft(arg, " "))
	}
	p.asked = ""
	switch {
	case equalFold(word, "pasv"):
		p.asked = "227"
	case equalFold(word, "epsv"):
		p.asked = "229"
	case equalFold(word, "port"):
		if port, ok := ftpHostPort(arg); ok {
			p.expect(c, t, ToClient, port)
		}
	case equalFold(word, "eprt"):
		if port, ok := ftpExtendedPort(arg); ok {
			p.expect(c, t, ToClient, port)
		}
	// Suricata knows these by their letters, whatever follows.
	case hasPrefixFold(b, "retr"):
		p.begin(c, FTPRetrieve, b[4:])
	case hasPrefixFold(b, "stor"):
		p.begin(c, FTPStore, b[4:])
	}
}

// begin names what the data connection agreed on will carry. A transfer for
// which no connection was agreed on breaks the protocol (RFC 959 §3.3; the
// default ports are used by nobody), and so does one without a name.
func (p *ftpParser) begin(c *Conn, verb uint8, name []byte) {
	if p.transfer == nil || len(name) < 2 {
		c.fail()
		return
	}
	p.transfer.cmd.Store(&ftpTransferCommand{verb, clone(bytes.TrimSpace(name))})
	p.transfer = nil // another needs its own connection
}

func (p *ftpParser) expect(c *Conn, t *FTPTx, listener Dir, port uint16) {
	t.Port, t.Passive = port, listener == ToServer
	p.transfer = &FTPTransfer{}
	if len(c.Expected) < 16 {
		c.Expected = append(c.Expected, Expectation{Proto: FTPData, Addr: netip.Addr{}, Listener: listener, Port: port, Info: p.transfer})
	}
}

func (p *ftpParser) reply(c *Conn, b []byte, long bool) {
	var t *FTPTx
	switch {
	case len(p.open) > 0:
		t = p.open[0]
	case p.last != nil && p.multi != [3]byte{}:
		t = p.last
	default:
		if len(b) == 0 {
			return
		}
		t = p.add(c, ToClient)
		t.reach(ToServer, StageComplete)
	}
	if long {
		t.event(ftpLongResponse)
	}
	coded := len(b) >= 3 && digit(b[0]) && digit(b[1]) && digit(b[2]) && (len(b) == 3 || b[3] == ' ' || b[3] == '-')
	if len(t.Replies) < ftpMaxReplies {
		if coded {
			t.Codes = append(t.Codes, clone(b[:3]))
			t.Replies = append(t.Replies, clone(b[min(len(b), 4):]))
		} else if len(b) > 0 {
			t.Replies = append(t.Replies, clone(b))
		}
	}
	if !coded {
		return
	}
	if string(b[:3]) == p.asked {
		if k := bytes.IndexByte(b, '('); k >= 0 {
			read := ftpHostPort
			if p.asked == "229" {
				read = ftpExtendedPort
			}
			if port, ok := read(b[k+1:]); ok {
				p.expect(c, t, ToServer, port)
			}
		}
	}
	// RFC 959 §4.2: a reply of many lines ends with its code and a space.
	code := [3]byte(b[:3])
	switch {
	case p.multi != [3]byte{}:
		if code != p.multi || len(b) > 3 && b[3] == '-' {
			return
		}
		p.multi = [3]byte{}
	case len(b) > 3 && b[3] == '-':
		p.multi = code
		return
	}
	if string(code[:]) == "234" && equalFold(t.Command, "auth") {
		p.finish(t)
		c.recogniseAnew(TLS, 443)
		return
	}
	if code[0] != '1' { // a preliminary reply: another one follows
		p.finish(t)
	}
}

func (p *ftpParser) finish(t *FTPTx) {
	t.complete()
	if len(p.open) > 0 && p.open[0] == t {
		copy(p.open, p.open[1:])
		p.open[len(p.open)-1] = nil
		p.open = p.open[:len(p.open)-1]
	}
}

func (p *ftpParser) gap(_ *Conn, d Dir, _ uint64) bool {
	p.drop[d] = true // up to the next line
	return true
}

func (p *ftpParser) close(_ *Conn, d Dir, _ []byte) {
	for _, t := range p.open {
		t.reach(d, StageComplete)
	}
}

// ftpHostPort reads "h1,h2,h3,h4,p1,p2" (RFC 959 §4.1.2) and returns the port.
func ftpHostPort(b []byte) (uint16, bool) {
	b = bytes.TrimLeft(b, " ")
	var v [6]int
	for i := range v {
		n := 0
		for n < len(b) && n < 4 && digit(b[n]) {
			v[i] = 10*v[i] + int(b[n]-'0')
			n++
		}
		if n == 0 || v[i] > 255 || i < 5 && (n >= len(b) || b[n] != ',') {
			return 0, false
		}
		b = b[min(n+1, len(b)):]
	}
	port := uint16(v[4]<<8 | v[5])
	return port, port != 0
}

// ftpExtendedPort reads "|1|address|port|" (RFC 2428 §2, §3) and returns the
// port.
func ftpExtendedPort(b []byte) (uint16, bool) {
	b = bytes.TrimLeft(b, " ")
	if len(b) == 0 {
		return 0, false
	}
	parts := bytes.Split(b[1:], b[:1])
	if len(parts) < 3 {
		return 0, false
	}
	v, ok := parseUint(parts[2])
	return uint16(v), ok && v > 0 && v < 1<<16
}

// FTPDataTx is a data connection: its file is the only one of Files.
type FTPDataTx struct {
	plainTx
	Command uint8 // FTPStore or FTPRetrieve
	file    File
}

// Bytes implements Tx.
func (t *FTPDataTx) Bytes(f Field, d Dir, i int) ([]byte, bool) {
	if f == FileName {
		if f := t.FileAt(d, i); f != nil {
			return f.Name, true
		}
	}
	return nil, false
}

// Number implements Tx.
func (t *FTPDataTx) Number(f Field, d Dir, i int) (uint64, bool) {
	if f == FTPDataCommand {
		return only1(uint64(t.Command), true, i)
	}
	return 0, false
}

type ftpDataParser struct {
	streamOnly
	tx *FTPDataTx
}

func newFTPData() parser { return &ftpDataParser{} }

func (p *ftpDataParser) reset()        { *p = ftpDataParser{} }
func (*ftpDataParser) maxPending() int { return 64 << 10 }

func (p *ftpDataParser) parse(c *Conn, d Dir, data []byte) (n, need int) {
	if p.tx == nil {
		var cmd *ftpTransferCommand
		if c.hints.Expected != nil {
			if t, ok := c.hints.Expected.Info.(*FTPTransfer); ok {
				cmd = t.cmd.Load()
			}
		}
		if cmd == nil {
			// A listing, or something else that only happens to come here.
			c.recogniseAnew(Unknown, 0)
			return 0, 0
		}
		t := &FTPDataTx{Command: cmd.verb}
		t.From = d
		t.file.Name, t.file.Dir = cmd.name, d
		t.Files = append(t.Files, &t.file)
		t.reach(d.Other(), StageComplete)
		t.reach(d, StageHeaders)
		p.tx = t
		c.add(t)
	}
	if d == p.tx.file.Dir {
		p.tx.file.add(data, ftpMaxFile)
	}
	return len(data), 0
}

func (p *ftpDataParser) gap(_ *Conn, d Dir, n uint64) bool {
	if p.tx != nil && d == p.tx.file.Dir {
		p.tx.file.Gaps = true
		p.tx.file.Total += n
	}
	return true
}

func (p *ftpDataParser) close(c *Conn, d Dir, _ []byte) {
	if p.tx != nil && d == p.tx.file.Dir {
		c.env.closeFile(&p.tx.file)
		p.tx.complete()
	}
}
