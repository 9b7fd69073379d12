// Package pcap reads capture files (pcap and pcapng) as a source of packets,
// and writes the packets that passed.
package pcap

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"github.com/garita/garita/packet"
)

// maxFrame is the largest frame taken from a file. A record that claims more
// is damage; libpcap draws the same line.
const maxFrame = 262144

// Reader is a capture file as a packet source. It is not safe for concurrent
// use.
type Reader struct {
	name string
	file *os.File
	next func() ([]byte, gopacket.CaptureInfo, error)
	link func(iface int) packet.LinkType
	bufs [][]byte // one a slot of the burst: packets borrow them until the next Receive
	n    uint64   // frames read
	err  error    // what ended the file
	out  *pcapgo.Writer
	outb *bufio.Writer
	outf *os.File
	frm  []byte // scratch: link header and packet of a rewritten frame
	lt   packet.LinkType
}

// Error is what is wrong with a capture file.
type Error struct {
	File  string
	Frame uint64 // the frame at which reading stopped, from 1; 0 for the file header
	Err   error
}

func (e *Error) Error() string {
	if e.Frame == 0 {
		return fmt.Sprintf("%s: not a capture file that can be read: %v (pcap and pcapng are understood)", e.File, e.Err)
	}
	return fmt.Sprintf("%s: frame %d: %v", e.File, e.Frame, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// Open opens a capture file. "-" is the standard input. The error is an *Error
// or that of opening the file.
func Open(name string) (*Reader, error) {
	f := os.Stdin
	if name != "-" {
		var err error
		if f, err = os.Open(name); err != nil {
			return nil, err
		}
	}
	r, err := NewReader(name, f)
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	r.file = f
	return r, nil
}

// NewReader reads a capture from a stream; name is for messages.
func NewReader(name string, in io.Reader) (*Reader, error) {
	r := &Reader{name: name}
	br := bufio.NewReaderSize(in, 1<<18)
	magic, err := br.Peek(4)
	if err != nil {
		if err == io.EOF {
			err = errors.New("the file is shorter than a header")
		}
		return nil, &Error{File: name, Err: err}
	}
	if bytes.Equal(magic, []byte{0x0a, 0x0d, 0x0d, 0x0a}) {
		ng, err := pcapgo.NewNgReader(br, pcapgo.NgReaderOptions{WantMixedLinkType: true})
		if err != nil {
			return nil, &Error{File: name, Err: err}
		}
		r.next = ng.ZeroCopyReadPacketData
		r.link = func(i int) packet.LinkType {
			d, err := ng.Interface(i)
			if err != nil {
				return packet.LinkType(ng.LinkType())
			}
			return packet.LinkType(d.LinkType)
		}
		r.lt = packet.LinkType(ng.LinkType())
		return r, nil
	}
	in, err = oldVersion(br)
	if err != nil {
		return nil, &Error{File: name, Err: err}
	}
	p, err := pcapgo.NewReader(in)
	if err != nil {
		return nil, &Error{File: name, Err: err}
	}
	if p.Snaplen() < maxFrame {
		// Some writers put a smaller number in the header than they keep to.
		p.SetSnaplen(maxFrame)
	}
	r.lt = packet.LinkType(p.LinkType())
	if !packet.LinkTypeKnown(r.lt) {
		return nil, &Error{File: name, Err: fmt.Errorf("link type %d is not supported", r.lt)}
	}
	r.next = p.ZeroCopyReadPacketData
	r.link = func(int) packet.LinkType { return r.lt }
	return r, nil
}

// oldVersion lets files of format versions 2.0 to 2.3 pass for 2.4, which
// differs only in that old writers may have swapped the two lengths of a
// frame (libpcap, sf-pcap.c).
func oldVersion(br *bufio.Reader) (io.Reader, error) {
	h := make([]byte, 24)
	if _, err := io.ReadFull(br, h); err != nil {
		return nil, fmt.Errorf("the file is shorter than a header: %w", err)
	}
	lo := 6 // the low byte of the minor version
	if h[0] == 0xa1 {
		lo = 7
	}
	h[lo] = max(h[lo], 4)
	return io.MultiReader(bytes.NewReader(h), br), nil
}

// Receive fills ps with the next frames of the file and returns how many. The
// bytes are borrowed until the next Receive. The end is io.EOF, after the last
// frame was delivered; a file that breaks off or is damaged ends with an
// *Error.
func (r *Reader) Receive(ps []packet.Packet) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	for len(r.bufs) < len(ps) {
		r.bufs = append(r.bufs, nil)
	}
	n := 0
	for n < len(ps) {
		frame, ci, err := r.next()
		if err != nil {
			r.err = err
			if err != io.EOF {
				r.err = &Error{File: r.name, Frame: r.n + 1, Err: err}
			}
			break
		}
		r.n++
		r.bufs[n] = append(r.bufs[n][:0], frame...)
		p := &ps[n]
		*p = packet.Packet{Number: r.n, Time: ci.Timestamp.UnixNano(), Attrs: packet.HasTime | packet.HasL2}
		p.DecodeLink(r.link(ci.InterfaceIndex), r.bufs[n])
		n++
	}
	if n == 0 {
		return 0, r.err
	}
	return n, nil
}

// Keep has Verdict write what passes to a capture file: with the link-layer
// header it came with, rewritten packets as rewritten. The file gets the link
// type of the first interface.
func (r *Reader) Keep(name string) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	r.outf, r.outb = f, bufio.NewWriterSize(f, 1<<16)
	r.out = pcapgo.NewWriterNanos(r.outb)
	return r.out.WriteFileHeader(maxFrame, layers.LinkType(r.lt))
}

// Verdict takes note of the verdicts: accepted packets go to the file that
// Keep named.
func (r *Reader) Verdict(ps []packet.Packet) error {
	if r.out == nil {
		return nil
	}
	for i := range ps {
		p := &ps[i]
		if p.Verdict.Dropped() {
			continue
		}
		r.frm = append(append(r.frm[:0], p.L2...), p.Data...)
		ci := gopacket.CaptureInfo{Timestamp: time.Unix(0, p.Time).UTC(), CaptureLength: len(r.frm), Length: len(r.frm)}
		if err := r.out.WritePacket(ci, r.frm); err != nil {
			return fmt.Errorf("writing kept packets: %w", err)
		}
	}
	return nil
}

// Frames is how many frames were read.
func (r *Reader) Frames() uint64 { return r.n }

// Close closes the file and what Keep opened.
func (r *Reader) Close() error {
	var err error
	if r.outf != nil {
		err = errors.Join(r.outb.Flush(), r.outf.Close())
		r.outf, r.out = nil, nil
	}
	if r.file != nil {
		err = errors.Join(err, r.file.Close())
		r.file = nil
	}
	return err
}
