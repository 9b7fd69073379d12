// Package store keeps what rules ask to keep: files that were transferred
// (filestore) and certificates (tls.store), in the layout of Suricata.
//
// Whoever hands something over never waits for the disk, unless he wants to:
// what does not fit the queue, or the byte budget of the disk, is counted as
// lost. Names on disk are made of sums and numbers, never of what came over
// the network.
package store

import (
	"bytes"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// DefaultMaxBytes is the budget of the disk unless Config says otherwise.
const DefaultMaxBytes = 8 << 30

// Config says what is kept, and where. What has no directory is not kept.
type Config struct {
	// Files is the directory of files: one of its 256 folders, named by the
	// first byte of the SHA-256 sum in hex, holds the file, named by the sum.
	Files string
	// Fileinfo adds a record of each time the file was seen: SUM.SECONDS.ID.json.
	Fileinfo bool
	// All keeps all files, whether rules ask for it or not.
	All bool
	// Certs is the directory of certificates: SECONDS.MICROSECONDS-ID.pem, the
	// chain as it was sent, and .meta, what is known of it.
	Certs string
	// MaxBytes bounds the bytes that the two directories hold, with what they hold
	// already at the start; 0 means DefaultMaxBytes.
	MaxBytes int64
	// Wait has who hands over wait for the disk rather than lose anything: for
	// captures.
	Wait bool
}

// Store is an open store. Its methods may be called from any goroutine.
type Store struct {
	cfg   Config
	queue chan item
	done  chan struct{}
	once  sync.Once
	held  atomic.Int64 // bytes in the queue
	ids   struct{ files, certs atomic.Uint32 }

	used               int64 // bytes on the disk; belongs to run
	written, lost, bad atomic.Uint64
	err                atomic.Pointer[error]
}

// item is one thing to be written: all of its parts or none.
type item struct {
	parts [2]part
	size  int64
}

type part struct {
	name string
	data []byte
	same bool // the name says what is in it: one that exists is the same
}

// Bounds of the queue, in items and in bytes.
const (
	maxItems = 256
	maxHeld  = 64 << 20
)

// Open makes the directories and begins to write. The error is about the
// directories.
func Open(cfg Config) (*Store, error) {
	if cfg.MaxBytes == 0 {
		cfg.MaxBytes = DefaultMaxBytes
	}
	s := &Store{cfg: cfg, queue: make(chan item, maxItems), done: make(chan struct{})}
	if cfg.Files != "" {
		for i := range 256 {
			if err := os.MkdirAll(filepath.Join(cfg.Files, hex.EncodeToString([]byte{byte(i)})), 0o750); err != nil {
				return nil, fmt.Errorf("opening the file store: %w", err)
			}
		}
	}
	if cfg.Certs != "" {
		if err := os.MkdirAll(cfg.Certs, 0o750); err != nil {
			return nil, fmt.Errorf("opening the store of certificates: %w", err)
		}
	}
	go s.run()
	return s, nil
}

// Config is what the store was opened with.
func (s *Store) Config() Config { return s.cfg }

// File is a file that is to be kept.
type File struct {
	ID     uint32   // from NextFile
	SHA256 [32]byte // of Data
	Data   []byte   // copied
	Time   int64    // when it was seen, nanoseconds since 1970
	Info   []byte   // its record, for Fileinfo; the store's from now on
}

// NextFile is the number of the next file, from 1.
func (s *Store) NextFile() uint32 { return s.ids.files.Add(1) }

// Keep takes a file; false if there is no room for it.
func (s *Store) Keep(f *File) bool {
	sum := hex.EncodeToString(f.SHA256[:])
	name := filepath.Join(s.cfg.Files, sum[:2], sum)
	it := item{parts: [2]part{{name: name, data: f.Data, same: true}}, size: int64(len(f.Data) + len(f.Info))}
	if s.cfg.Fileinfo && f.Info != nil {
		it.parts[1] = part{name: fmt.Sprintf("%s.%d.%d.json", name, f.Time/1e9, f.ID), data: f.Info}
	}
	return s.put(it)
}

// Chain is a chain of certificates that is to be kept.
type Chain struct {
	Certs [][]byte // DER, leaf first; borrowed for the call
	Meta  []byte   // what is known of it, as text; the store's from now on
	Time  int64    // nanoseconds since 1970
}

// KeepChain takes a chain; false if there is no room for it.
func (s *Store) KeepChain(c *Chain) bool {
	var b []byte
	for _, der := range c.Certs {
		b = append(b, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	base := filepath.Join(s.cfg.Certs, fmt.Sprintf("%d.%d-%d", c.Time/1e9, c.Time%1e9/1e3, s.ids.certs.Add(1)))
	return s.put(item{parts: [2]part{{name: base + ".pem", data: b}, {name: base + ".meta", data: c.Meta}}, size: int64(len(b) + len(c.Meta))})
}

func (s *Store) put(it item) bool {
	if !s.cfg.Wait && (len(s.queue) == cap(s.queue) || s.held.Load()+it.size > maxHeld) {
		s.lost.Add(1)
		return false
	}
	it.parts[0].data = bytes.Clone(it.parts[0].data)
	s.held.Add(it.size)
	if s.cfg.Wait {
		s.queue <- it
		return true
	}
	select {
	case s.queue <- it:
		return true
	default:
		s.held.Add(-it.size)
		s.lost.Add(1)
		return false
	}
}

func (s *Store) run() {
	defer close(s.done)
	for _, dir := range [...]string{s.cfg.Files, s.cfg.Certs} {
		if dir != "" {
			s.sweep(dir)
		}
	}
	for it := range s.queue {
		s.write(&it)
		s.held.Add(-it.size)
	}
}

// halfWritten begins the names of files that are not complete.
const halfWritten = ".writing-"

// sweep counts what is there, and takes away what an earlier run left half
// written.
func (s *Store) sweep(dir string) {
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil
		}
		if len(d.Name()) > len(halfWritten) && d.Name()[:len(halfWritten)] == halfWritten {
			_ = os.Remove(path)
		} else if i, err := d.Info(); err == nil {
			s.used += i.Size()
		}
		return nil
	})
}

// errFull is the error of a disk budget that is used up.
var errFull = errors.New("the byte budget of the store is used up")

func (s *Store) write(it *item) {
	for i := range it.parts {
		p := &it.parts[i]
		if p.name == "" {
			continue
		}
		if err := s.writePart(p); err != nil {
			s.err.CompareAndSwap(nil, &err)
			if errors.Is(err, errFull) {
				s.lost.Add(1)
			} else {
				s.bad.Add(1)
			}
			return
		}
	}
	s.written.Add(1)
}

// writePart writes under another name first, so that who looks into the
// directory never sees half of a file.
func (s *Store) writePart(p *part) error {
	if p.same {
		if _, err := os.Lstat(p.name); err == nil {
			now := time.Now()
			return os.Chtimes(p.name, now, now) // seen again
		}
	}
	if s.used+int64(len(p.data)) > s.cfg.MaxBytes {
		return errFull
	}
	f, err := os.CreateTemp(filepath.Dir(p.name), halfWritten+"*")
	if err != nil {
		return err
	}
	_, err = f.Write(p.data)
	if err == nil {
		err = f.Chmod(0o640)
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), p.name)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return err
	}
	s.used += int64(len(p.data))
	return nil
}

// Stats are the counters of a store, in files and chains.
type Stats struct {
	Written uint64
	Lost    uint64 // no room: in the queue, or on the disk
	Failed  uint64 // the disk refused
}

// Stats is what became of what was handed over so far.
func (s *Store) Stats() Stats {
	return Stats{Written: s.written.Load(), Lost: s.lost.Load(), Failed: s.bad.Load()}
}

// Close writes what waits and returns the first error of writing. Nothing may
// be handed over any more.
func (s *Store) Close() error {
	s.once.Do(func() { close(s.queue) })
	<-s.done
	if e := s.err.Load(); e != nil {
		return fmt.Errorf("storing files: %w", *e)
	}
	return nil
}
