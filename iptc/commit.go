package iptc

import (
	"bytes"
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Lock says how the xtables lock is taken. The zero value is what iptables does,
// except that it waits.
type Lock struct {
	// File is flocked, and made (mode 0600) if absent. Empty: $XTABLES_LOCKFILE,
	// or /run/xtables.lock.
	File string
	// Wait is how long to wait for another program. 0: ten seconds. Negative: do
	// not wait.
	Wait time.Duration
}

// Take takes the lock; release gives it back. ErrLocked if somebody else has it
// for too long. Programs on the nftables variant of iptables do not take it.
func (l Lock) Take() (release func(), err error) {
	path := l.File
	if path == "" {
		path = os.Getenv("XTABLES_LOCKFILE")
	}
	if path == "" {
		path = "/run/xtables.lock"
	}
	wait := l.Wait
	if wait == 0 {
		wait = 10 * time.Second
	}
	f, err := os.OpenFile(path, os.O_RDONLY|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	pause := 500 * time.Microsecond
	for deadline := time.Now().Add(wait); ; {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil
		}
		left := time.Until(deadline)
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) || left <= 0 {
			_ = f.Close()
			if errors.Is(err, unix.EWOULDBLOCK) {
				err = ErrLocked
			}
			return nil, err
		}
		// A blocking flock could not be given up at the deadline.
		time.Sleep(min(pause, left))
		pause = min(2*pause, 20*time.Millisecond)
	}
}

// Open reads a table. The first look at a table makes the kernel register its
// hooks for the namespace's lifetime, so open before binding queues. It needs
// CAP_NET_ADMIN in the namespace's owner. Close it after use.
func Open(f Family, name string) (*Table, error) {
	fd, err := control(f)
	if err != nil {
		return nil, errnoError(OpInit, f, name, err)
	}
	t := &Table{fd: fd, name: name}
	if err := t.read(f); err != nil {
		t.Close()
		return nil, err
	}
	return t, nil
}

// Close gives the socket back. The snapshot stays readable.
func (t *Table) Close() {
	if t.fd >= 0 {
		_ = unix.Close(t.fd)
		t.fd = -1
	}
}

// RawSocket is the control socket, for tests; it belongs to the table.
func (t *Table) RawSocket() int { return t.fd }

// Refresh reads the table again; edits that were not committed are forgotten.
func (t *Table) Refresh() error {
	if err := t.read(t.family); err != nil {
		return err
	}
	t.ops = nil
	return nil
}

func errnoError(o Op, f Family, table string, err error) error {
	var no unix.Errno
	if errors.As(err, &no) {
		return &Error{Op: o, Family: f, Table: table, Err: no}
	}
	return err
}

// attempts bounds how often a table is read again because it changed in between.
const attempts = 100

func (t *Table) read(f Family) error {
	if len(t.name) >= tableMax {
		return &Error{Op: OpInit, Family: f, Table: t.name, Err: unix.EINVAL}
	}
	for range attempts {
		in, err := getInfo(t.fd, f, t.name)
		if err != nil {
			return errnoError(OpInit, f, t.name, err)
		}
		blob, err := getEntries(t.fd, f, t.name, in.size)
		if errors.Is(err, unix.EAGAIN) {
			continue
		}
		if err != nil {
			return errnoError(OpInit, f, t.name, err)
		}
		c, err := parse(f, t.name, in, blob)
		if err != nil {
			return err
		}
		t.content, t.in, t.blob = c, in, blob
		return nil
	}
	return ErrBusy
}

// Commit makes the edits real, all or none, under the xtables lock. A table that
// another program changed since it was read is read again and the edits are
// applied to what is there now, so nobody's change is lost; an edit that is not
// possible any more is the error, and nothing is done. Counters of rules that
// stay are exact, what they count meanwhile included. Afterwards the table is
// as committed, read back, and has no edits.
//
// A program that does not take the lock can still be overwritten if it changes
// the table without changing its number of entries in the moment between our
// reading and our writing: the kernel has no better check.
func (t *Table) Commit(lock Lock) error {
	if !t.Changed() {
		return nil
	}
	release, err := lock.Take()
	if err != nil {
		return err
	}
	defer release()
	return t.commit()
}

// commit is Commit with the lock held.
func (t *Table) commit() error {
	if !t.Changed() {
		return nil
	}
	for range attempts {
		fresh := &Table{fd: t.fd, name: t.name}
		if err := fresh.read(t.family); err != nil {
			return err
		}
		edited := t.content
		if fresh.in != t.in || !sameBlob(t.family, fresh.blob, t.blob) {
			edited = fresh.content
			for i := range t.ops {
				if err := edited.apply(&t.ops[i]); err != 0 {
					return t.fail(t.ops[i].op, t.ops[i].chain, err)
				}
			}
		}
		err := t.replace(edited)
		if errors.Is(err, unix.EAGAIN) {
			continue
		}
		if err != nil {
			return errnoError(OpCommit, t.family, t.name, err)
		}
		return t.Refresh()
	}
	return ErrBusy
}

// Edit opens a table, lets edit change it, and commits, all under the xtables
// lock. An error of edit is returned and nothing is committed.
func Edit(f Family, name string, lock Lock, edit func(*Table) error) error {
	release, err := lock.Take()
	if err != nil {
		return err
	}
	defer release()
	t, err := Open(f, name)
	if err != nil {
		return err
	}
	defer t.Close()
	if err := edit(t); err != nil {
		return err
	}
	return t.commit()
}

// sameBlob compares two tables but for what counts and what the kernel notes in
// them.
func sameBlob(f Family, a, b []byte) bool {
	if len(a) != len(b) {
		return false
	}
	l := f.layout()
	for off := 0; off < len(a); {
		n := int(native.Uint16(a[off+l.nextOff:])) // both are parsed, so this is sound
		x, y := a[off:off+n], b[off:off+n]
		if !bytes.Equal(x[:l.comefrom], y[:l.comefrom]) || !bytes.Equal(x[l.entry:], y[l.entry:]) {
			return false
		}
		off += n
	}
	return true
}

// replace swaps the table in and gives the surviving rules their counts back.
func (t *Table) replace(c *content) error {
	var from []*Rule
	in, blob, err := c.build(func(r *Rule) { from = append(from, r) })
	if err != nil {
		return err
	}
	old, err := setReplace(t.fd, t.family, t.name, in, blob, c.entries)
	if err != nil {
		return err
	}
	add := make([]Counters, len(from))
	for i, r := range from {
		switch r.mapping {
		case mapNormal:
			add[i] = old[r.old]
		case mapZeroed:
			add[i] = since(old[r.old], r.seen)
		case mapSet:
			add[i] = r.counters
		}
	}
	return setAddCounters(t.fd, t.family, t.name, add)
}

// since is what was counted after seen; all of it if somebody else set the
// counter back meanwhile.
func since(now, seen Counters) Counters {
	if now.Packets < seen.Packets || now.Bytes < seen.Bytes {
		return now
	}
	return Counters{now.Packets - seen.Packets, now.Bytes - seen.Bytes}
}
