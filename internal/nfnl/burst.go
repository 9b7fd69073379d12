package nfnl

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
	_   [unsafe.Sizeof(uintptr(0)) - 4]byte
}

// Burst owns the buffers into which one recvmmsg(2) reads many datagrams.
type Burst struct {
	msgs    []mmsghdr
	iovs    []unix.Iovec
	names   []unix.RawSockaddrAny
	slots   [][]byte
	control [][]byte
	used    int // slots that the last call filled
}

// Init reserves n slots for datagrams of up to size bytes, and control bytes
// of ancillary data each.
func (r *Burst) Init(n, size, control int) {
	// Slots a multiple of 4096 apart would fight for the same few lines of the
	// first-level cache; five lines beside it spread them evenly.
	stride := (size+4095)&^4095 + 5*64
	mem := make([]byte, n*stride)
	r.msgs = make([]mmsghdr, n)
	r.iovs = make([]unix.Iovec, n)
	r.names = make([]unix.RawSockaddrAny, n)
	r.slots = make([][]byte, n)
	r.control = make([][]byte, n)
	ctl := make([]byte, n*control)
	for i := range r.msgs {
		slot := mem[i*stride : (i+1)*stride : (i+1)*stride]
		r.slots[i] = slot
		r.iovs[i].Base = &slot[0]
		r.iovs[i].SetLen(len(slot))
		h := &r.msgs[i].hdr
		h.Iov = &r.iovs[i]
		h.SetIovlen(1)
		h.Name = (*byte)(unsafe.Pointer(&r.names[i]))
		h.Namelen = unix.SizeofSockaddrAny
		if control > 0 {
			r.control[i] = ctl[i*control : (i+1)*control : (i+1)*control]
			h.Control = &r.control[i][0]
			h.SetControllen(control)
		}
	}
}

// Len is the number of slots.
func (r *Burst) Len() int { return len(r.msgs) }

// Receive reads up to n datagrams in one system call with flags of recv(2).
// What it read is good until the next call.
func (r *Burst) Receive(fd, n, flags int) (int, unix.Errno) {
	for i := range r.msgs[:r.used] {
		// The kernel wrote there what it needed of them.
		h := &r.msgs[i].hdr
		h.Namelen = unix.SizeofSockaddrAny
		if c := len(r.control[i]); c > 0 {
			h.SetControllen(c)
		}
	}
	got, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(fd),
		uintptr(unsafe.Pointer(&r.msgs[0])), uintptr(n), uintptr(flags), 0, 0)
	r.used = 0
	if errno == 0 {
		r.used = int(got)
	}
	return r.used, errno
}

// Bytes are the bytes of datagram i, with the capacity of its slot.
func (r *Burst) Bytes(i int) []byte { return r.slots[i][:min(int(r.msgs[i].len), len(r.slots[i]))] }

// Length is the length of datagram i before it was cut to its slot; the true
// one only if Receive was asked with MSG_TRUNC.
func (r *Burst) Length(i int) int { return int(r.msgs[i].len) }

// Truncated says whether datagram i did not fit into its slot.
func (r *Burst) Truncated(i int) bool { return r.msgs[i].hdr.Flags&unix.MSG_TRUNC != 0 }

// Control is the ancillary data of datagram i.
func (r *Burst) Control(i int) []byte { return r.control[i][:r.msgs[i].hdr.Controllen] }

// FromKernel says whether datagram i of a netlink socket was sent by the
// kernel: a privileged process can write to our socket too.
func (r *Burst) FromKernel(i int) bool {
	sa := (*unix.RawSockaddrNetlink)(unsafe.Pointer(&r.names[i]))
	return r.msgs[i].hdr.Namelen == unix.SizeofSockaddrNetlink && sa.Pid == 0
}

// LinkLayer is the address that datagram i of a packet socket came with.
func (r *Burst) LinkLayer(i int) *unix.RawSockaddrLinklayer {
	return (*unix.RawSockaddrLinklayer)(unsafe.Pointer(&r.names[i]))
}

// Clock is the time of day at the price of one reading of the monotonic clock:
// time.Now takes two. It follows a step of the time of day within a second.
type Clock struct {
	base time.Time
	wall int64
}

// Now is the time in nanoseconds since 1970.
func (c *Clock) Now() int64 {
	d := time.Since(c.base)
	if uint64(d) > uint64(time.Second) {
		c.base = time.Now()
		c.wall = c.base.UnixNano()
		return c.wall
	}
	return c.wall + int64(d)
}
