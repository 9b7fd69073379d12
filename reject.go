package garita

import (
	"errors"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/garita/garita/packet"
	"github.com/garita/garita/rule"
)

// replier sends what a reject owes: TCP resets, ICMP unreachables. Its raw
// sockets carry garita's own mark, so that they are not diverted again.
type replier struct {
	fd4, fd6 int
	buf      []byte
	sent     uint64
	failed   uint64
}

// newReplier opens the sockets in the network namespace of the calling thread.
// It needs CAP_NET_RAW and CAP_NET_ADMIN. A host without IPv6 gets none for
// it.
func newReplier(mark uint32) (*replier, error) {
	r := &replier{fd4: -1, fd6: -1}
	var err4, err6 error
	r.fd4, err4 = rawSocket(unix.AF_INET, mark)
	r.fd6, err6 = rawSocket(unix.AF_INET6, mark)
	if err4 != nil && err6 != nil {
		return nil, errors.Join(err4, err6)
	}
	return r, nil
}

func rawSocket(family int, mark uint32) (int, error) {
	fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_RAW)
	if err != nil {
		return -1, err
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, int(mark)); err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func (r *replier) close() {
	if r == nil {
		return
	}
	for _, fd := range []int{r.fd4, r.fd6} {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
	r.fd4, r.fd6 = -1, -1
}

// reject answers p as the action says: towards its sender, its receiver, or
// both.
func (r *replier) reject(p *packet.Packet, a rule.Action) {
	if r == nil {
		return
	}
	if a != rule.RejectDst {
		r.answer(p, false)
	}
	if a == rule.RejectDst || a == rule.RejectBoth {
		r.answer(p, true)
	}
}

func (r *replier) answer(p *packet.Packet, toDst bool) {
	to := p.Src()
	if toDst {
		to = p.Dst()
	}
	r.buf = r.buf[:0]
	if p.Proto() == packet.ProtoTCP {
		r.buf = p.AppendReset(r.buf, toDst)
	} else {
		r.buf = p.AppendUnreachable(r.buf, toDst)
	}
	if len(r.buf) == 0 {
		return
	}
	zone := p.InDev
	if toDst {
		zone = p.OutDev
	}
	if err := r.send(to, zone); err != nil {
		r.failed++
		return
	}
	r.sent++
}

func (r *replier) send(to netip.Addr, zone uint32) error {
	if to.Is4() {
		if r.fd4 < 0 {
			return unix.EAFNOSUPPORT
		}
		return unix.Sendto(r.fd4, r.buf, 0, &unix.SockaddrInet4{Addr: to.As4()})
	}
	if r.fd6 < 0 {
		return unix.EAFNOSUPPORT
	}
	sa := &unix.SockaddrInet6{Addr: to.As16()}
	if to.IsLinkLocalUnicast() {
		sa.ZoneId = zone
	}
	return unix.Sendto(r.fd6, r.buf, 0, sa)
}
