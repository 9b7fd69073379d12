package ipq

import (
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Code is one of libipq's errors (IPQ_ERR_*). It is an error itself, so
// errors.Is(err, ipq.ErrRTrunc) works.
type Code uint8

const (
	ErrNone     Code = iota // IPQ_ERR_NONE
	ErrImpl                 // IPQ_ERR_IMPL
	ErrHandle               // IPQ_ERR_HANDLE
	ErrSocket               // IPQ_ERR_SOCKET
	ErrBind                 // IPQ_ERR_BIND
	ErrBuffer               // IPQ_ERR_BUFFER
	ErrRecv                 // IPQ_ERR_RECV
	ErrEOF                  // IPQ_ERR_NLEOF
	ErrAddrLen              // IPQ_ERR_ADDRLEN
	ErrSTrunc               // IPQ_ERR_STRUNC
	ErrRTrunc               // IPQ_ERR_RTRUNC
	ErrNLRecv               // IPQ_ERR_NLRECV
	ErrSend                 // IPQ_ERR_SEND
	ErrSupp                 // IPQ_ERR_SUPP
	ErrRecvBuf              // IPQ_ERR_RECVBUF
	ErrTimeout              // IPQ_ERR_TIMEOUT
	ErrProtocol             // IPQ_ERR_PROTOCOL
)

var texts = [...]string{
	"Unknown error",
	"Implementation error",
	"Unable to create netlink handle",
	"Unable to create netlink socket",
	"Unable to bind netlink socket",
	"Unable to allocate buffer",
	"Failed to receive netlink message",
	"Received EOF on netlink socket",
	"Invalid peer address length",
	"Sent message truncated",
	"Received message truncated",
	"Received error from netlink",
	"Failed to send netlink message",
	"Operation not supported",
	"Receive buffer size invalid",
	"Timeout",
	"Invalid protocol specified",
}

// Error is the text that ipq_errstr gives.
func (c Code) Error() string {
	if int(c) < len(texts) {
		return texts[c]
	}
	return texts[ErrNone]
}

// Error is what went wrong. errors.Is finds both the Code and what the kernel
// said.
type Error struct {
	Code Code
	Err  error // the cause, may be nil
}

func (e *Error) Error() string {
	if e.Err == nil {
		return "ipq: " + e.Code.Error()
	}
	return "ipq: " + e.Code.Error() + ": " + e.Err.Error()
}

func (e *Error) Unwrap() []error {
	if e.Err == nil {
		return []error{e.Code}
	}
	return []error{e.Code, e.Err}
}

// last is the process's last error, which libipq's programs ask for. Nothing in
// this package depends on it.
var last atomic.Pointer[Error]

func remember(e *Error) error {
	last.Store(e)
	return e
}

// Errstr is the text of the last error of the process.
func Errstr() string {
	if e := last.Load(); e != nil {
		return e.Code.Error()
	}
	return ErrNone.Error()
}

// Perror writes s (or "ERROR" if it is empty), the last error of the process and
// the kernel's error, if any, as one line.
func Perror(w io.Writer, s string) {
	if s == "" {
		s = "ERROR"
	}
	if e := last.Load(); e != nil {
		s += ": " + e.Code.Error()
		var errno unix.Errno
		if errors.As(e.Err, &errno) {
			s += ": " + errno.Error()
		}
	}
	fmt.Fprintln(w, s)
}
