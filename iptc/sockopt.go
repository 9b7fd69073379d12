package iptc

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// control opens the socket that the tables are reached by.
func control(f Family) (int, error) {
	if !wide {
		return -1, fmt.Errorf("iptc: %w: the tables' 32-bit layout", errors.ErrUnsupported)
	}
	return unix.Socket(f.layout().domain, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
}

func getsockopt(fd, level, opt int, b []byte) (int, error) {
	n := uint32(len(b))
	_, _, no := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), uintptr(level), uintptr(opt),
		uintptr(unsafe.Pointer(&b[0])), uintptr(unsafe.Pointer(&n)), 0)
	if no != 0 {
		return 0, no
	}
	return int(n), nil
}

func setsockopt(fd, level, opt int, b []byte) error {
	_, _, no := unix.Syscall6(unix.SYS_SETSOCKOPT, uintptr(fd), uintptr(level), uintptr(opt),
		uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), 0)
	if no != 0 {
		return no
	}
	return nil
}

// getInfo asks for struct ipt_getinfo.
func getInfo(fd int, f Family, table string) (info, error) {
	b := make([]byte, 84)
	copy(b, table)
	n, err := getsockopt(fd, f.layout().level, optGetInfo, b)
	if err != nil {
		return info{}, err
	}
	if n != len(b) {
		return info{}, &BlobError{f, table, 0, "the kernel's description of the table has another size"}
	}
	in := info{validHooks: native.Uint32(b[32:]), entries: native.Uint32(b[76:]), size: native.Uint32(b[80:])}
	for h := range hooks {
		in.hook[h] = native.Uint32(b[36+4*h:])
		in.underflow[h] = native.Uint32(b[56+4*h:])
	}
	return in, nil
}

// getEntries asks for struct ipt_get_entries; EAGAIN if size is not the table's
// any more.
func getEntries(fd int, f Family, table string, size uint32) ([]byte, error) {
	b := make([]byte, 40+int(size))
	copy(b, table)
	native.PutUint32(b[32:], size)
	if _, err := getsockopt(fd, f.layout().level, optGetEntries, b); err != nil {
		return nil, err
	}
	return b[40:], nil
}

// setReplace swaps in a new table and returns the old one's counters as they were
// at that moment. oldEntries is the old number of entries, EAGAIN if wrong.
func setReplace(fd int, f Family, table string, in info, blob []byte, oldEntries int) ([]Counters, error) {
	old := make([]byte, oldEntries*counterSize)
	var pin runtime.Pinner // the kernel writes to old through an address in b
	defer pin.Unpin()
	pin.Pin(&old[0])
	b := make([]byte, 96+len(blob))
	copy(b, table)
	native.PutUint32(b[32:], in.validHooks)
	native.PutUint32(b[36:], in.entries)
	native.PutUint32(b[40:], in.size)
	for h := range hooks {
		native.PutUint32(b[44+4*h:], in.hook[h])
		native.PutUint32(b[64+4*h:], in.underflow[h])
	}
	native.PutUint32(b[84:], uint32(oldEntries))
	native.PutUint64(b[88:], uint64(uintptr(unsafe.Pointer(&old[0]))))
	copy(b[96:], blob)
	if err := setsockopt(fd, f.layout().level, optReplace, b); err != nil {
		return nil, err
	}
	counters := make([]Counters, oldEntries)
	for i := range counters {
		counters[i] = Counters{native.Uint64(old[i*counterSize:]), native.Uint64(old[i*counterSize+8:])}
	}
	return counters, nil
}

// setAddCounters adds to the counters of every entry.
func setAddCounters(fd int, f Family, table string, add []Counters) error {
	b := make([]byte, 40+len(add)*counterSize)
	copy(b, table)
	native.PutUint32(b[32:], uint32(len(add)))
	for i, c := range add {
		native.PutUint64(b[40+i*counterSize:], c.Packets)
		native.PutUint64(b[48+i*counterSize:], c.Bytes)
	}
	return setsockopt(fd, f.layout().level, optAddCounters, b)
}

// Revision returns the highest revision of a match or target, at most revision,
// that the kernel knows; an error that is unix.ENOENT if it knows none at all.
func Revision(f Family, name string, target bool, revision uint8) (uint8, error) {
	fd, err := control(f)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	return maxRevision(fd, f, name, target, revision)
}

func maxRevision(fd int, f Family, name string, target bool, revision uint8) (uint8, error) {
	opt := f.layout().revMatch
	if target {
		opt = f.layout().revTarget
	}
	if len(name) >= nameMax {
		return 0, unix.ENOENT
	}
	for rev := int(revision); rev >= 0; rev-- {
		b := make([]byte, 30)
		copy(b, name)
		b[29] = uint8(rev)
		_, err := getsockopt(fd, f.layout().level, opt, b)
		if err == nil {
			return uint8(rev), nil
		}
		if !errors.Is(err, unix.EPROTONOSUPPORT) {
			return 0, err
		}
	}
	return 0, unix.EPROTONOSUPPORT
}

// Names lists the tables that exist in this thread's network namespace, that is,
// that somebody has looked at, in the kernel's order.
func Names(f Family) ([]string, error) {
	b, err := readProc(f.layout().procNames)
	if err != nil {
		return nil, err
	}
	var names []string
	for line := range bytes.Lines(b) {
		if s := bytes.TrimSpace(line); len(s) > 0 {
			names = append(names, string(s))
		}
	}
	return names, nil
}

// readProc reads a file of /proc/net of the calling thread, not of the process,
// whose namespace may be another.
func readProc(path string) ([]byte, error) {
	if rest, ok := strings.CutPrefix(path, "/proc/net/"); ok {
		path = "/proc/thread-self/net/" + rest
	}
	return os.ReadFile(path)
}
