package app

import (
	"bytes"
	"encoding/binary"
	"testing"
	"unicode/utf16"
)

func utf16le(s string) []byte {
	var out []byte
	for _, u := range utf16.Encode([]rune(s)) {
		out = binary.LittleEndian.AppendUint16(out, u)
	}
	return out
}

// smb2Message frames one message.
func smb2Message(command uint16, response bool, id uint64, tree uint32, body []byte) []byte {
	h := make([]byte, 64)
	copy(h, "\xfeSMB\x40")
	binary.LittleEndian.PutUint16(h[12:], command)
	if response {
		h[16] = 1
	}
	binary.LittleEndian.PutUint64(h[24:], id)
	binary.LittleEndian.PutUint32(h[36:], tree)
	binary.LittleEndian.PutUint64(h[40:], 77)
	out := binary.BigEndian.AppendUint32(nil, uint32(len(h)+len(body)))
	return append(append(out, h...), body...)
}

func smb2Name(size, offAt, lenAt int, name string) []byte {
	b := make([]byte, size)
	n := utf16le(name)
	binary.LittleEndian.PutUint16(b[offAt:], uint16(64+size))
	binary.LittleEndian.PutUint16(b[lenAt:], uint16(len(n)))
	return append(b, n...)
}

func smb2WriteBody(id byte, off uint64, data []byte) []byte {
	b := make([]byte, 48)
	binary.LittleEndian.PutUint16(b[2:], 64+48)
	binary.LittleEndian.PutUint32(b[4:], uint32(len(data)))
	binary.LittleEndian.PutUint64(b[8:], off)
	b[16] = id
	return append(b, data...)
}

func smb2CloseBody(id byte) []byte {
	b := make([]byte, 24)
	b[8] = id
	return b
}

func smb2CreateResponse(id byte) []byte {
	b := make([]byte, 88)
	b[64] = id
	return b
}

// rpcPDU makes a packet of DCE/RPC.
func rpcPDU(typ byte, call uint32, body []byte) []byte {
	b := []byte{5, 0, typ, 3, 0x10, 0, 0, 0}
	b = binary.LittleEndian.AppendUint16(b, uint16(16+len(body)))
	b = append(b, 0, 0)
	b = binary.LittleEndian.AppendUint32(b, call)
	return append(b, body...)
}

var rpcUUID = []byte("\x78\x56\x34\x12\x34\x12\xcd\xab\xef\x00\x01\x23\x45\x67\x89\xab")

func rpcTalk() []piece {
	bind := append([]byte{0, 16, 0, 16, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0}, rpcUUID...)
	bind = append(bind, 1, 0, 0, 0)
	bind = append(bind, make([]byte, 20)...)
	ack := append([]byte{0, 16, 0, 16, 0, 0, 0, 0, 4, 0, 'p', 'i', 'p', 0, 0, 0, 1, 0, 0, 0}, make([]byte, 24)...)
	return []piece{
		{ToServer, rpcPDU(dcerpcBind, 1, bind)}, {ToClient, rpcPDU(dcerpcBindAck, 1, ack)},
		{ToServer, rpcPDU(dcerpcRequest, 2, []byte("\x04\x00\x00\x00\x00\x00\x0f\x00stub"))},
		{ToClient, rpcPDU(dcerpcResponse, 2, []byte("\x04\x00\x00\x00\x00\x00\x00\x00answer"))},
	}
}

const rpcKey = "\x12\x34\x56\x78\x12\x34\xab\xcd\xef\x00\x01\x23\x45\x67\x89\xab\x00\x01"

func TestDCERPC(t *testing.T) {
	c := talk(DCERPC, rpcTalk(), false, whole)
	if n := len(c.Transactions()); n != 2 {
		t.Fatalf("%d transactions, want 2", n)
	}
	if got := field(t, c, 0, DCERPCIface, ToServer, 0); got != "<absent>" {
		t.Errorf("a bind has interface %q", got)
	}
	if got := field(t, c, 1, DCERPCIface, ToServer, 0); got != rpcKey {
		t.Errorf("interface %q", got)
	}
	if got := field(t, c, 1, DCERPCStubData, ToServer, 0); got != "stub" {
		t.Errorf("stub %q", got)
	}
	if v, _ := c.Transactions()[1].Number(DCERPCOpnum, ToServer, 0); v != 15 {
		t.Errorf("opnum %d", v)
	}
	if p := talk(Unknown, rpcTalk(), false, whole).Proto(); p != DCERPC {
		t.Errorf("recognised as %v", p)
	}
	checkLaws(t, DCERPC, rpcTalk())
}

func smbTalk() []piece {
	big := bytes.Repeat([]byte("0123456789"), 12000)
	ioctl := func(response bool, id byte, data []byte) []byte {
		b := make([]byte, 56)
		binary.LittleEndian.PutUint32(b[4:], smb2PipeCall)
		b[8] = id
		at := 24
		if response {
			b = b[:48]
			at = 32
		}
		binary.LittleEndian.PutUint32(b[at:], uint32(64+len(b)))
		binary.LittleEndian.PutUint32(b[at+4:], uint32(len(data)))
		return append(b, data...)
	}
	rpc := rpcTalk()
	read := make([]byte, 48)
	read[16] = 2
	return []piece{
		{ToServer, smb2Message(smb2TreeConnect, false, 1, 0, smb2Name(8, 4, 6, `\\srv\share`))},
		{ToClient, smb2Message(smb2TreeConnect, true, 1, 5, []byte{16, 0, 1, 0, 0, 0, 0, 0})},
		{ToServer, smb2Message(smb2TreeConnect, false, 2, 0, smb2Name(8, 4, 6, `\\srv\IPC$`))},
		{ToClient, smb2Message(smb2TreeConnect, true, 2, 6, []byte{16, 0, 2, 0, 0, 0, 0, 0})},
		{ToServer, smb2Message(smb2Create, false, 3, 5, smb2Name(56, 44, 46, `a.exe`))},
		{ToClient, smb2Message(smb2Create, true, 3, 5, smb2CreateResponse(1))},
		{ToServer, smb2Message(smb2Write, false, 4, 5, smb2WriteBody(1, 0, []byte("small ")))},
		{ToServer, smb2Message(smb2Write, false, 5, 5, smb2WriteBody(1, 6, big))},
		{ToServer, smb2Message(smb2Close, false, 6, 5, smb2CloseBody(1))},
		{ToClient, smb2Message(smb2Close, true, 6, 5, make([]byte, 60))},
		{ToServer, smb2Message(smb2Create, false, 7, 6, smb2Name(56, 44, 46, `svcctl`))},
		{ToClient, smb2Message(smb2Create, true, 7, 6, smb2CreateResponse(2))},
		{ToServer, smb2Message(smb2Write, false, 8, 6, smb2WriteBody(2, 0, rpc[0].data))},
		{ToServer, smb2Message(smb2Read, false, 9, 6, read)},
		{ToClient, smb2Message(smb2Read, true, 9, 6, append([]byte{17, 0, 80, 0, byte(len(rpc[1].data)), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, rpc[1].data...))},
		{ToServer, smb2Message(smb2Ioctl, false, 10, 6, ioctl(false, 2, rpc[2].data))},
		{ToClient, smb2Message(smb2Ioctl, true, 10, 6, ioctl(true, 2, rpc[3].data))},
	}
}

func TestSMB2(t *testing.T) {
	c := talk(SMB, smbTalk(), false, whole)
	var share, pipe, iface, stub, name string
	var file *File
	for _, tx := range c.Transactions() {
		get := func(f Field, d Dir, into *string) {
			if b, ok := tx.Bytes(f, d, 0); ok {
				*into = string(b)
			}
		}
		get(SMBShare, ToServer, &share)
		get(SMBNamedPipe, ToServer, &pipe)
		get(DCERPCIface, ToServer, &iface)
		get(DCERPCStubData, ToClient, &stub)
		get(FileName, ToServer, &name)
		if f := tx.Base().FileAt(ToServer, 0); f != nil {
			file = f
		}
		if !tx.Base().Complete() {
			t.Errorf("not complete: %+v", tx)
		}
	}
	for _, x := range [][2]string{{share, `\\srv\share`}, {pipe, `\\srv\IPC$`}, {iface, rpcKey}, {stub, "answer"}, {name, "a.exe"}} {
		if x[0] != x[1] {
			t.Errorf("%q, want %q", x[0], x[1])
		}
	}
	if file == nil || file.Total != 120006 || !file.Done || !bytes.HasPrefix(file.Data, []byte("small 0123456789")) || file.Gaps {
		t.Errorf("file %+v", file)
	}
	checkCuts(t, SMB, smbTalk(), 12)
	checkGaps(t, SMB, smbTalk())
	checkPrefixes(t, SMB, append(smbTalk()[:7:7], smbTalk()[8:]...))
}

// The names of an authenticate message come out of whatever wraps it.
func TestNTLMSSP(t *testing.T) {
	m := append([]byte("wrap NTLMSSP\x00\x03\x00\x00\x00"), make([]byte, 52)...)
	at := 5
	put := func(k int, s string) {
		n := utf16le(s)
		binary.LittleEndian.PutUint16(m[at+28+8*k:], uint16(len(n)))
		binary.LittleEndian.PutUint32(m[at+28+8*k+4:], uint32(len(m)-at))
		m = append(m, n...)
	}
	put(0, "DOM")
	put(1, "alice")
	put(2, "PC")
	var x SMBTx
	x.ntlmssp(m)
	if string(x.Domain) != "DOM" || string(x.User) != "alice" || string(x.Host) != "PC" {
		t.Errorf("%q %q %q", x.Domain, x.User, x.Host)
	}
	for n := range m {
		x.ntlmssp(m[:n])
	}
}

func smb1Message(command byte, response bool, mid uint16, tree uint16, words, data []byte) []byte {
	h := make([]byte, 32)
	copy(h, "\xffSMB")
	h[4] = command
	if response {
		h[9] = 0x80
	}
	binary.LittleEndian.PutUint16(h[24:], tree)
	binary.LittleEndian.PutUint16(h[30:], mid)
	h = append(h, byte(len(words)/2))
	h = append(h, words...)
	h = binary.LittleEndian.AppendUint16(h, uint16(len(data)))
	h = append(h, data...)
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(h))), h...)
}

func TestSMB1(t *testing.T) {
	tree := append(make([]byte, 6), 1, 0)
	tree[0] = 0xff
	create := make([]byte, 48)
	create[0] = 0xff
	create[5] = 5
	created := make([]byte, 68)
	created[5] = 9
	write := make([]byte, 28)
	write[0], write[4] = 0xff, 9
	write[20], write[22] = 4, 32+1+28+2
	say := []piece{
		{ToServer, smb1Message(smb1TreeConnect, false, 1, 0, tree, []byte("\x00\\\\srv\\C$\x00?????\x00"))},
		{ToClient, smb1Message(smb1TreeConnect, true, 1, 3, make([]byte, 6), nil)},
		{ToServer, smb1Message(smb1CreateX, false, 2, 3, create, []byte("a.txt\x00"))},
		{ToClient, smb1Message(smb1CreateX, true, 2, 3, created, nil)},
		{ToServer, smb1Message(smb1WriteX, false, 3, 3, write, []byte("data"))},
		{ToServer, smb1Message(smb1Close, false, 4, 3, []byte{9, 0}, nil)},
		{ToClient, smb1Message(smb1Close, true, 4, 3, nil, nil)},
	}
	c := talk(SMB, say, false, whole)
	if got := field(t, c, 0, SMBShare, ToServer, 0); got != `\srv\C$` {
		t.Errorf("share %q", got)
	}
	if got := field(t, c, 2, FileName, ToServer, 0); got != "a.txt" {
		t.Errorf("file name %q", got)
	}
	if f := c.Transactions()[2].Base().FileAt(ToServer, 0); string(f.Data) != "data" || !f.Done {
		t.Errorf("file %+v", f)
	}
	checkLaws(t, SMB, say)
}

func FuzzSMB(f *testing.F) {
	small := append(smbTalk()[:7:7], smbTalk()[8:]...)
	fuzzStream(f, SMB, small)
}

func FuzzDCERPC(f *testing.F) { fuzzStream(f, DCERPC, rpcTalk()) }
