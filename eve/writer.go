package eve

import (
	"bytes"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
)

// Writer is one log file. Its methods may be called from any goroutine.
type Writer struct {
	path    string
	network string
	wait    bool
	queue   chan []byte
	spare   chan []byte
	reopen  chan chan error
	done    chan struct{}
	once    sync.Once
	out     io.WriteCloser
	err     atomic.Pointer[error]

	written, lost atomic.Uint64 // records
}

// queued is how many buffers may wait for the disk.
const queued = 256

// OpenFile opens a log file for appending. With wait, records are never lost
// and a slow disk slows the packets down: for replay. Without, what does not
// fit the queue is counted as lost and packets never wait.
func OpenFile(path string, wait bool) (*Writer, error) {
	return open("", path, wait)
}

// Dial connects to a socket ("unix", or "unixgram", where each record is a
// datagram) that somebody else listens on. Where the other end goes away,
// records are counted as lost until it is back.
func Dial(network, path string, wait bool) (*Writer, error) {
	return open(network, path, wait)
}

func open(network, path string, wait bool) (*Writer, error) {
	w := newWriter(nil, wait)
	w.path, w.network = path, network
	var err error
	if w.out, err = w.connect(); err != nil {
		return nil, err
	}
	go w.run()
	return w, nil
}

func (w *Writer) connect() (io.WriteCloser, error) {
	if w.network == "" {
		return os.OpenFile(w.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	}
	return net.Dial(w.network, w.path)
}

// NewWriter writes to out and closes it in the end.
func NewWriter(out io.WriteCloser, wait bool) *Writer {
	w := newWriter(out, wait)
	go w.run()
	return w
}

func newWriter(out io.WriteCloser, wait bool) *Writer {
	return &Writer{
		wait:   wait,
		queue:  make(chan []byte, queued),
		spare:  make(chan []byte, 8),
		reopen: make(chan chan error),
		done:   make(chan struct{}),
		out:    out,
	}
}

func (w *Writer) run() {
	defer close(w.done)
	for {
		select {
		case b, ok := <-w.queue:
			if !ok {
				return
			}
			w.write(b)
		case answer := <-w.reopen:
			answer <- w.swap()
		}
	}
}

func (w *Writer) write(b []byte) {
	n := uint64(lines(b))
	if err := w.send(b); err != nil {
		w.err.CompareAndSwap(nil, &err)
		w.lost.Add(n)
	} else {
		w.written.Add(n)
	}
	select {
	case w.spare <- b[:0]:
	default:
	}
}

// send writes b as what is written to wants it.
func (w *Writer) send(b []byte) error {
	if w.network == "" {
		_, err := w.out.Write(b)
		return err
	}
	err := w.transmit(b)
	if err != nil && w.swap() == nil {
		err = w.transmit(b)
	}
	return err
}

func (w *Writer) transmit(b []byte) error {
	if w.network != "unixgram" {
		_, err := w.out.Write(b)
		return err
	}
	for len(b) > 0 {
		n := bytes.IndexByte(b, '\n') + 1
		if n == 0 {
			n = len(b)
		}
		if _, err := w.out.Write(b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

func (w *Writer) swap() error {
	f, err := w.connect()
	if err != nil {
		return err // the old file goes on
	}
	_ = w.out.Close()
	w.out = f
	return nil
}

// Reopen opens the file by its name again, after it was moved away.
func (w *Writer) Reopen() error {
	if w.path == "" {
		return nil
	}
	answer := make(chan error)
	select {
	case w.reopen <- answer:
		return <-answer
	case <-w.done:
		return os.ErrClosed
	}
}

// put queues a buffer of whole records and returns an empty one.
func (w *Writer) put(b []byte) []byte {
	if w.wait {
		w.queue <- b
	} else {
		select {
		case w.queue <- b:
		default:
			w.lost.Add(uint64(lines(b)))
			return b[:0]
		}
	}
	select {
	case s := <-w.spare:
		return s
	default:
		return nil
	}
}

func lines(b []byte) int {
	n := 0
	for _, c := range b {
		if c == '\n' {
			n++
		}
	}
	return n
}

// Written is how many records went to the file.
func (w *Writer) Written() uint64 { return w.written.Load() }

// Lost is how many records did not: the queue was full or the disk refused.
func (w *Writer) Lost() uint64 { return w.lost.Load() }

// Close writes what waits, closes the file and returns the first error of
// writing. No Logger may use the Writer any more.
func (w *Writer) Close() error {
	w.once.Do(func() { close(w.queue) })
	<-w.done
	err := w.out.Close()
	if e := w.err.Load(); e != nil {
		return *e
	}
	return err
}
