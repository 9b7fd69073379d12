package ipq

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

var sample = PacketMsg{
	PacketID: 77, Mark: 5, TimestampSec: 1_700_000_000, TimestampUsec: 999_999, Hook: 1, IndevName: "eth0",
	OutdevName: "a-name-of-15-xx", HWProtocol: 0x800, HWType: 1, HWAddrLen: 6, HWAddr: [8]byte{1, 2, 3, 4, 5, 6},
	Payload: []byte("packet"),
}

// TestLayout holds the message against the offsets of struct ipq_packet_msg on
// 64-bit machines.
func TestLayout(t *testing.T) {
	buf := make([]byte, 200)
	n, ok := sample.put(buf)
	if !ok || n != 16+96+6 || MessageType(buf) != MsgPacket {
		t.Fatal(n, ok)
	}
	d := buf[16:]
	switch {
	case native.Uint64(d[0:]) != 77, native.Uint64(d[8:]) != 5, native.Uint64(d[16:]) != 1_700_000_000, native.Uint64(d[24:]) != 999_999,
		native.Uint32(d[32:]) != 1, string(d[36:41]) != "eth0\x00", string(d[52:68]) != "a-name-of-15-xx\x00",
		!bytes.Equal(d[68:70], []byte{8, 0}), native.Uint16(d[70:]) != 1, d[72] != 6, d[73] != 1, d[78] != 6,
		native.Uint64(d[88:]) != 6, string(d[96:102]) != "packet":
		t.Errorf("%x", d)
	}
	got, err := GetPacket(buf[:n])
	if err != nil || !cmp.Equal(got, sample) {
		t.Errorf("%v\n%s", err, cmp.Diff(sample, got))
	}
	for short := range n {
		if m, err := GetPacket(buf[:short]); err == nil {
			t.Errorf("%d bytes of it are a packet: %+v", short, m)
		}
		if _, ok := sample.put(buf[:short]); ok {
			t.Errorf("it fits into %d bytes", short)
		}
	}
}

func TestErrors(t *testing.T) {
	if n := len(texts); n != 17 || ErrProtocol != 16 || ErrRTrunc.Error() != "Received message truncated" || Code(200).Error() != "Unknown error" {
		t.Error(n, ErrProtocol)
	}
	buf := make([]byte, MinBuffer)
	if n := putError(buf, unix.ENOENT); n != 36 || MessageType(buf) != MsgError || GetMsgErr(buf) != unix.ENOENT {
		t.Errorf("%d %x", n, buf)
	}
	if _, err := GetPacket(buf); err == nil || GetMsgErr(nil) != 0 || MessageType(nil) != 0 {
		t.Error("an error message is no packet")
	}
}

func FuzzGetPacket(f *testing.F) {
	buf := make([]byte, 200)
	n, _ := sample.put(buf)
	f.Add(buf[:n])
	f.Add(buf[:n-1])
	f.Add(buf[:MinBuffer])
	putError(buf, unix.EPERM)
	f.Add(buf[:MinBuffer])
	f.Fuzz(func(t *testing.T, b []byte) {
		GetMsgErr(b)
		m, err := GetPacket(b)
		if err != nil {
			return
		}
		// What is taken for a packet says the same when it is written again.
		out := make([]byte, len(b))
		n, ok := m.put(out)
		if !ok || n > len(b) {
			t.Fatalf("%+v does not fit into the %d bytes that it came from", m, len(b))
		}
		again, err := GetPacket(out[:n])
		if len(m.IndevName) < nameLen && len(m.OutdevName) < nameLen && (err != nil || !cmp.Equal(m, again)) {
			t.Errorf("%v\n%s", err, cmp.Diff(m, again))
		}
	})
}
