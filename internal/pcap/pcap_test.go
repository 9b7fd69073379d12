package pcap

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"path/filepath"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"github.com/garita/garita/packet"
)

// udp is an Ethernet frame with an IPv4 UDP packet in it.
var udp = append([]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 8, 0},
	0x45, 0, 0, 31, 0, 1, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0, 53, 0, 54, 0, 11, 0, 0, 'a', 'b', 'c')

func frame(i int) []byte {
	b := append([]byte(nil), udp...)
	b[19] = byte(i)
	return b
}

func classic(t testing.TB, nanos bool, n int) []byte {
	var out bytes.Buffer
	w := pcapgo.NewWriter(&out)
	if nanos {
		w = pcapgo.NewWriterNanos(&out)
	}
	if err := w.WriteFileHeader(65535, layers.LinkTypeEthernet); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		b := frame(i)
		if err := w.WritePacket(gopacket.CaptureInfo{Timestamp: time.Unix(1000+int64(i), 5000), CaptureLength: len(b), Length: len(b)}, b); err != nil {
			t.Fatal(err)
		}
	}
	return out.Bytes()
}

func ng(t testing.TB, n int) []byte {
	var out bytes.Buffer
	w, err := pcapgo.NewNgWriter(&out, layers.LinkTypeEthernet)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		b := frame(i)
		if err := w.WritePacket(gopacket.CaptureInfo{Timestamp: time.Unix(1000+int64(i), 5000), CaptureLength: len(b), Length: len(b)}, b); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// readAll reads a whole capture in bursts and returns how many packets it
// held, and what ended it.
func readAll(r *Reader, burst int, each func(*packet.Packet)) (int, error) {
	ps := make([]packet.Packet, burst)
	total := 0
	for {
		n, err := r.Receive(ps)
		if err != nil {
			return total, err
		}
		for i := range ps[:n] {
			ps[i].Decode()
			if each != nil {
				each(&ps[i])
			}
			ps[i].Verdict = packet.Accept()
		}
		total += n
		if err := r.Verdict(ps[:n]); err != nil {
			return total, err
		}
	}
}

func TestRead(t *testing.T) {
	for name, b := range map[string][]byte{"pcap": classic(t, false, 10), "nanoseconds": classic(t, true, 10), "pcapng": ng(t, 10)} {
		for _, burst := range []int{1, 3, 64} {
			r, err := NewReader(name, bytes.NewReader(b))
			if err != nil {
				t.Fatal(name, err)
			}
			i := 0
			n, err := readAll(r, burst, func(p *packet.Packet) {
				if p.Proto() != packet.ProtoUDP || string(p.Payload()) != "abc" || p.Number != uint64(i+1) || p.Time != int64(1000+i)*1e9+5000 {
					t.Errorf("%s packet %d: proto %d payload %q time %d", name, i, p.Proto(), p.Payload(), p.Time)
				}
				if h, _ := p.IP(); h.ID() != uint32(i) {
					t.Errorf("%s packet %d: bytes of packet %d", name, i, h.ID())
				}
				i++
			})
			if n != 10 || err != io.EOF {
				t.Errorf("%s in bursts of %d: %d packets, %v", name, burst, n, err)
			}
		}
	}
}

// Every prefix of a capture gives its whole packets and then one clear error.
func TestEveryPrefix(t *testing.T) {
	for name, b := range map[string][]byte{"pcap": classic(t, false, 3), "pcapng": ng(t, 3)} {
		last := 0
		for n := range len(b) {
			r, err := NewReader(name, bytes.NewReader(b[:n]))
			var e *Error
			if err != nil {
				if !errors.As(err, &e) || e.Error() == "" {
					t.Fatalf("%s cut to %d: %T %v", name, n, err, err)
				}
				continue
			}
			got, err := readAll(r, 2, nil)
			if err != io.EOF && !errors.As(err, &e) {
				t.Fatalf("%s cut to %d: %T %v", name, n, err, err)
			}
			if got < last || got > 2 {
				t.Fatalf("%s cut to %d of %d: %d packets", name, n, len(b), got)
			}
			last = got
		}
		if last != 2 {
			t.Errorf("%s: %d packets before the last byte", name, last)
		}
	}
}

func TestNotACapture(t *testing.T) {
	for _, s := range []string{"", "x", "hello, this is no capture at all", "\xd4\xc3\xb2\xa1"} {
		_, err := NewReader("f", bytes.NewReader([]byte(s)))
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("%q: %v", s, err)
		}
	}
	if _, err := Open(filepath.Join(t.TempDir(), "absent")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent file: %v", err)
	}
}

func TestKeep(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out.pcap")
	r, err := NewReader("in", bytes.NewReader(classic(t, false, 6)))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Keep(out); err != nil {
		t.Fatal(err)
	}
	ps := make([]packet.Packet, 6)
	n, err := r.Receive(ps)
	if n != 6 || err != nil {
		t.Fatal(n, err)
	}
	for i := range ps {
		ps[i].Decode()
		ps[i].Verdict = packet.Accept()
		switch i {
		case 2:
			ps[i].Verdict = packet.Drop(packet.ReasonRule)
		case 3:
			if err := ps[i].SetPayload([]byte("longer than before")); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := r.Verdict(ps); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	k, err := Open(out)
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	var got []string
	if n, err := readAll(k, 10, func(p *packet.Packet) { got = append(got, string(p.Payload())) }); n != 5 || err != io.EOF {
		t.Fatal(n, err)
	}
	if got[2] != "longer than before" || got[0] != "abc" {
		t.Errorf("kept payloads: %q", got)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(classic(f, false, 2))
	f.Add(ng(f, 2))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := NewReader("fuzz", bytes.NewReader(b))
		if err != nil {
			return
		}
		_, err = readAll(r, 3, func(p *packet.Packet) {
			if len(p.Data)+len(p.L2) > maxFrame {
				t.Fatalf("a frame of %d bytes", len(p.Data))
			}
		})
		var e *Error
		if err != io.EOF && !errors.As(err, &e) {
			t.Fatalf("%T %v", err, err)
		}
	})
}
