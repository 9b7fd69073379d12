package eve

import (
	"bytes"
	"errors"
	"sync"
	"testing"
)

// gate is a disk that writes nothing until it is opened.
type gate struct {
	open chan struct{}
	mu   sync.Mutex
	b    bytes.Buffer
}

func (g *gate) Write(p []byte) (int, error) {
	<-g.open
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.b.Write(p)
}

func (g *gate) Close() error { return nil }

// A disk that stands still never makes a logger wait: what does not fit is
// counted, and nothing else is missing.
func TestWriterNeverWaits(t *testing.T) {
	g := &gate{open: make(chan struct{})}
	w := NewWriter(g, false)
	const loggers, each = 4, 3 * queued
	var wg sync.WaitGroup
	for range loggers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			b := []byte(nil)
			for range each {
				b = w.put(append(b, "{}\n{}\n"...))
				if len(b) != 0 {
					t.Error("the new buffer is not empty")
				}
			}
		}()
	}
	wg.Wait() // ends although nothing can be written
	if w.Lost() == 0 {
		t.Error("nothing was lost")
	}
	close(g.open)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if got := w.Written() + w.Lost(); got != 2*loggers*each {
		t.Errorf("%d written and %d lost are not %d", w.Written(), w.Lost(), 2*loggers*each)
	}
	if got := uint64(bytes.Count(g.b.Bytes(), []byte("{}\n"))); got != w.Written() {
		t.Errorf("%d lines for %d written", got, w.Written())
	}
}

// A writer that is asked to wait loses nothing.
func TestWriterWaits(t *testing.T) {
	g := &gate{open: make(chan struct{})}
	close(g.open)
	w := NewWriter(g, true)
	for range 5 * queued {
		w.put([]byte("{}\n"))
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if w.Lost() != 0 || w.Written() != 5*queued {
		t.Errorf("%d written, %d lost", w.Written(), w.Lost())
	}
}

type broken struct{}

var errFull = errors.New("disk full")

func (broken) Write([]byte) (int, error) { return 0, errFull }
func (broken) Close() error              { return nil }

// What the disk refuses is counted, and Close tells why.
func TestWriterError(t *testing.T) {
	w := NewWriter(broken{}, true)
	w.put([]byte("{}\n{}\n"))
	if err := w.Close(); !errors.Is(err, errFull) {
		t.Errorf("Close: %v", err)
	}
	if w.Lost() != 2 || w.Written() != 0 {
		t.Errorf("%d written, %d lost", w.Written(), w.Lost())
	}
}
