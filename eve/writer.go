package eve

import (
	"io"
	"os"
	"sync"
	"sync/atomic"
)

// Writer is one log file. Its methods may be called from any goroutine.
type Writer struct {
	path   string
	wait   bool
	queue  chan []byte
	spare  chan []byte
	reopen chan chan error
	done   chan struct{}
	once   sync.Once
	out    io.WriteCloser
	err    atomic.Pointer[error]

	written, lost atomic.Uint64 // records
}

// queued is how many buffers may wait for the disk.
const queued = 256

// OpenFile opens a log file for appending. With wait, records are never lost
// and a slow disk slows the packets down: for replay. Without, what does not
// fit the queue is counted as lost and packets never wait.
func OpenFile(path string, wait bool) (*Writer, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return nil, err
	}
	w := NewWriter(f, wait)
	w.path = path
	return w, nil
}

// NewWriter writes to out and closes it in the end.
func NewWriter(out io.WriteCloser, wait bool) *Writer {
	w := &Writer{
		wait:   wait,
		queue:  make(chan []byte, queued),
		spare:  make(chan []byte, 8),
		reopen: make(chan chan error),
		done:   make(chan struct{}),
		out:    out,
	}
	go w.run()
	return w
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
	if _, err := w.out.Write(b); err != nil {
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

func (w *Writer) swap() error {
	f, err := os.OpenFile(w.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
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
