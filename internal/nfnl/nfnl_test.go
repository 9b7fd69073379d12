package nfnl

import (
	"bytes"
	"testing"

	"golang.org/x/sys/unix"
)

// walk goes through b as Attrs does and holds what comes out against b.
func walk(t *testing.T, b []byte) (n int) {
	total := 0
	for c := (Attrs{Rest: b}); ; n++ {
		typ, v, ok := c.Next()
		if !ok {
			if len(c.Rest) != 0 {
				t.Fatal("it ends with a rest")
			}
			if _, _, ok := c.Next(); ok {
				t.Fatal("there is something behind the end")
			}
			return n
		}
		if total += 4 + len(v); total > len(b) || typ > 0x3fff {
			t.Fatalf("type %#x, %d bytes of %d", typ, total, len(b))
		}
		if c.Cut && c.Want <= len(v) {
			t.Fatalf("cut: %d bytes, %d claimed", len(v), c.Want)
		}
		c.U16(v)
		c.U32(v)
	}
}

func TestAttrs(t *testing.T) {
	var b []byte
	for i, v := range [][]byte{{1}, {1, 2}, {1, 2, 3}, {1, 2, 3, 4}, {}} {
		b = AppendAttr(b, uint16(i+1), v...)
	}
	c := Attrs{Rest: b}
	for i, want := range [][]byte{{1}, {1, 2}, {1, 2, 3}, {1, 2, 3, 4}, {}} {
		typ, v, ok := c.Next()
		if !ok || int(typ) != i+1 || !bytes.Equal(v, want) {
			t.Fatalf("%d: type %d, %x, %v", i, typ, v, ok)
		}
	}
	if _, _, ok := c.Next(); ok || c.Bad || c.Cut {
		t.Error("the end is no end")
	}
	for n := range b {
		walk(t, b[:n])
	}
	if n := walk(t, b); n != 5 {
		t.Errorf("%d attributes", n)
	}
}

func TestParseReply(t *testing.T) {
	b := make([]byte, NLHeader+4+NLHeader)
	Native.PutUint16(b[4:], unix.NLMSG_ERROR)
	Native.PutUint32(b[NLHeader:], ^uint32(unix.ENOENT)+1)
	if errno, text, ok := ParseReply(b); errno != unix.ENOENT || text != "" || !ok {
		t.Error(errno, text, ok)
	}
	Native.PutUint16(b[6:], 0x300) // capped, with text
	told := AppendAttr(bytes.Clone(b), 1, 'n', 'o', 0)
	if errno, text, ok := ParseReply(told); errno != unix.ENOENT || text != "no" || !ok {
		t.Error(errno, text, ok)
	}
	for n := range told[:len(told)-1] { // the last byte is padding
		if _, text, ok := ParseReply(told[:n]); text != "" || ok != (n >= NLHeader+4) {
			t.Errorf("%d bytes: %q %v", n, text, ok)
		}
	}
}

func FuzzWalk(f *testing.F) {
	f.Add(AppendAttr(AppendAttr(nil, 1, 1, 2, 3), 2))
	f.Add([]byte{3, 0, 1, 0})
	f.Add([]byte{255, 255, 1, 0, 9})
	f.Fuzz(func(t *testing.T, b []byte) {
		walk(t, b)
		ParseReply(b)
	})
}
