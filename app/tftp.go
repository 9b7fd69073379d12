package app

import "bytes"

// TFTPTx is a request to read or write a file (RFC 1350 §5); the transfer
// itself is on other ports.
type TFTPTx struct {
	plainTx
	Opcode uint8 // 1 read, 2 write
	File   []byte
	Mode   []byte // in lower case
}

type tftpParser struct{ datagramOnly }

func newTFTP() parser { return tftpParser{} }

func (tftpParser) reset() {}

// datagram takes what is sent to the port of requests; a client that sends
// something else there breaks the protocol.
func (tftpParser) datagram(c *Conn, d Dir, data []byte) {
	if d == ToClient {
		return
	}
	if len(data) < 4 || data[0] != 0 || data[1] < 1 || data[1] > 2 {
		c.fail()
		return
	}
	file, rest, ok := bytes.Cut(data[2:], []byte{0})
	mode, _, ok2 := bytes.Cut(rest, []byte{0})
	if !ok || !ok2 || !(equalFold(mode, "netascii") || equalFold(mode, "mail") || equalFold(mode, "octet")) {
		c.fail()
		return
	}
	t := &TFTPTx{Opcode: data[1], File: clone(file), Mode: bytes.ToLower(mode)}
	t.oneWay(d)
	c.add(t)
}
