package nfqueue

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/garita/garita/packet"
)

// Error is a refusal by the kernel. Unwrap gives the error number, so
// errors.Is(err, unix.EPERM) works.
type Error struct {
	Op    string // what was tried
	Queue uint16
	Errno unix.Errno
	Msg   string // the kernel's own words (extended acknowledgement), often empty
	Help  string // what it means and what to do about it, may be empty

	// Reply: this is the kernel's answer to a verdict, which came with the
	// packets; the socket is well.
	Reply bool
}

func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "nfqueue: queue %d: %s: %v", e.Queue, e.Op, e.Errno)
	if e.Msg != "" {
		b.WriteString(" (" + e.Msg + ")")
	}
	if e.Help != "" {
		b.WriteString(": " + e.Help)
	}
	return b.String()
}

func (e *Error) Unwrap() error { return e.Errno }

func newError(op string, queue uint16, err error) *Error {
	e := &Error{Op: op, Queue: queue, Errno: unix.EIO}
	if !errors.As(err, &e.Errno) {
		e.Msg = err.Error()
	}
	switch e.Errno {
	case unix.EPROTONOSUPPORT:
		e.Help = "this kernel has no nfnetlink (CONFIG_NETFILTER_NETLINK)"
	}
	return e
}

// explain finds out what a refused bind means.
func (e *Error) explain(fd int) {
	switch e.Errno {
	case unix.EPERM:
		e.Help = "either this process lacks CAP_NET_ADMIN in the user namespace that owns this network namespace " +
			"(CapEff in /proc/self/status), or another program owns the queue " +
			"(second column of /proc/net/netfilter/nfnetlink_queue: its netlink port, usually its process id)"
		port := uint32(0)
		if sa, err := unix.Getsockname(fd); err == nil {
			if nl, ok := sa.(*unix.SockaddrNetlink); ok {
				port = nl.Pid
			}
		}
		f, err := os.Open(procQueues)
		if err != nil {
			return
		}
		defer f.Close()
		if k, ok := readKernelStats(f, e.Queue); ok && k.PortID != port {
			e.Help = fmt.Sprintf("the queue is owned by netlink port %d", k.PortID)
			if comm, err := os.ReadFile("/proc/" + strconv.FormatUint(uint64(k.PortID), 10) + "/comm"); err == nil {
				e.Help += fmt.Sprintf(", perhaps process %d (%s)", k.PortID, strings.TrimSpace(string(comm)))
			}
		}
	case unix.EINVAL, unix.EOPNOTSUPP:
		e.Help = "this kernel has no nfnetlink_queue (CONFIG_NETFILTER_NETLINK_QUEUE), or not the features required"
	case unix.EBUSY:
		e.Help = "this socket has bound the queue already"
	}
}

// Verdicts that cannot be carried out, in a VerdictError.
var (
	ErrRepeatUnmarked = errors.New("repeat without a mark would loop for ever")
	ErrEditTruncated  = errors.New("the packet was cut on the way to us; writing it back would cut it for good")
	ErrEditSize       = errors.New("the rewritten packet is empty or larger than 65531 bytes")
	ErrUnknownKind    = errors.New("no such kind of verdict")
)

// ErrHoldBudget is returned by Hold when HoldBytes are in use.
var ErrHoldBudget = errors.New("nfqueue: no memory left for held packets")

// ErrDecided is returned by Held.Decide when the packet has its verdict
// already, from an earlier Decide or because its deadline passed.
var ErrDecided = errors.New("nfqueue: held packet is decided already")

// VerdictError is a verdict that was not carried out; its packet got the
// failure verdict instead.
type VerdictError struct {
	Queue uint16
	ID    uint32 // the packet's
	Kind  packet.Kind
	Err   error // one of the Err values above
}

func (e *VerdictError) Error() string {
	return fmt.Sprintf("nfqueue: queue %d: packet %d: verdict refused: %v", e.Queue, e.ID, e.Err)
}

func (e *VerdictError) Unwrap() error { return e.Err }
