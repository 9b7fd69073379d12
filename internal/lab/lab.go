// Package lab is a small network to try packets in: a client, a gateway that
// forwards, and a server with real services, each in a network namespace of
// its own, joined by veth pairs, IPv4 and IPv6.
//
//	client eth0 ──────── to-client  gateway  to-server ──────── eth0 server
//	10.77.1.2            10.77.1.1           10.77.2.1       10.77.2.2
//	fd77:1::2            fd77:1::1           fd77:2::1       fd77:2::2
//
// The addresses never change, so they can be written into rules and commands.
//
// It needs no privilege where the kernel lets ordinary users make user
// namespaces: [Enter] (or [Main] in tests) starts the process again inside
// namespaces of its own. The host's network is never touched, and since
// nothing has a name on the host, everything is gone with the process, however
// it ends.
//
// A namespace belongs to a thread, and a socket to the namespace of the thread
// that made it. So whatever opens sockets runs in [Lab.In]; once open, a socket
// may be used from any goroutine.
package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Node is one of the three hosts of the lab.
type Node int

// The hosts of the lab.
const (
	Client Node = iota
	Gateway
	Server
	nodes
)

func (n Node) String() string {
	switch n {
	case Client:
		return "client"
	case Gateway:
		return "gateway"
	case Server:
		return "server"
	}
	return fmt.Sprintf("node %d", int(n))
}

// The addresses of the lab's hosts. The gateway has one in each network.
var (
	ClientIP4  = netip.AddrFrom4([4]byte{10, 77, 1, 2})
	ServerIP4  = netip.AddrFrom4([4]byte{10, 77, 2, 2})
	ClientIP6  = netip.AddrFrom16([16]byte{0xfd, 0x77, 0, 1, 15: 2})
	ServerIP6  = netip.AddrFrom16([16]byte{0xfd, 0x77, 0, 2, 15: 2})
	gatewayIPs = [2][2]netip.Addr{ // client side, server side
		{netip.AddrFrom4([4]byte{10, 77, 1, 1}), netip.AddrFrom16([16]byte{0xfd, 0x77, 0, 1, 15: 1})},
		{netip.AddrFrom4([4]byte{10, 77, 2, 1}), netip.AddrFrom16([16]byte{0xfd, 0x77, 0, 2, 15: 1})},
	}
)

// Names of the interfaces. The client and the server have only one.
const (
	GatewayToClient = "to-client"
	GatewayToServer = "to-server"
	HostLink        = "eth0"
)

// Lab is a running lab. Its methods may be called from several goroutines.
type Lab struct {
	ns   [nodes]netns.NsHandle
	seen seen

	pings atomic.Uint32 // echo identifiers used

	stop    context.CancelFunc
	servers sync.WaitGroup
	closers []func()

	certificate []byte // DER; what the TLS server presents
}

// New makes the three hosts and starts the servers. It needs CAP_SYS_ADMIN and
// CAP_NET_ADMIN over the namespaces it is in, which [Enter] and [Main] give to
// everybody; called without them, the error is a [*DeniedError].
//
// Close the lab when done. A process may hold several labs at the same time.
func New() (*Lab, error) {
	l := &Lab{}
	for n := range l.ns {
		l.ns[n] = netns.None()
	}
	if err := l.build(); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	if err := l.serve(); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

func (l *Lab) build() error {
	for n := range l.ns {
		ns, err := newNamespace()
		if err != nil {
			return fmt.Errorf("lab: new network namespace for the %v: %w", Node(n), denied(err))
		}
		l.ns[n] = ns
	}
	return l.wire()
}

// newNamespace makes a network namespace and stays out of it.
func newNamespace() (netns.NsHandle, error) {
	ns := netns.None()
	err := onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		var err error
		// Not netns.New: it names the thread by numbers, which are wrong under
		// a /proc that belongs to another pid namespace.
		ns, err = netns.GetFromPath("/proc/thread-self/ns/net")
		return err
	})
	return ns, err
}

// Close stops the servers and lets go of the namespaces. The kernel takes them
// away as soon as no socket and no program is left in them.
func (l *Lab) Close() error {
	if l.stop != nil {
		l.stop()
	}
	for _, c := range l.closers {
		c()
	}
	l.servers.Wait()
	var errs []error
	for n := range l.ns {
		if l.ns[n].IsOpen() {
			errs = append(errs, l.ns[n].Close())
		}
	}
	return errors.Join(errs...)
}

// errLeft is what In reports if f ended its goroutine, as t.FailNow does.
var errLeft = errors.New("lab: the function ended its goroutine (t.Fatal and t.Skip do not work in another namespace; return an error)")

// In runs f on a thread in the network namespace of node n and returns what f
// returns. f runs on a goroutine of its own: t.FailNow does not work there.
// Goroutines that f starts are not in the namespace; sockets that f opens are,
// wherever they are used later. Under /proc/net, f finds the main thread's
// network, and its own under /proc/thread-self/net.
func (l *Lab) In(n Node, f func() error) error {
	return onThread(func() error {
		if err := netns.Set(l.ns[n]); err != nil {
			return fmt.Errorf("lab: enter the network namespace of the %v: %w", n, err)
		}
		return f()
	})
}

// NetNS is the open file of the network namespace of node n, for whoever takes
// one to work in. It belongs to the lab and is good until Close.
func (l *Lab) NetNS(n Node) int { return int(l.ns[n]) }

// onThread runs f on a thread that is thrown away afterwards.
func onThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlock: the thread ends with the goroutine
		err := errLeft
		defer func() { done <- err }()
		err = f()
	}()
	return <-done
}

// Dial connects from node n. Addresses are numeric, like "10.77.2.2:80".
func (l *Lab) Dial(ctx context.Context, n Node, network, address string) (net.Conn, error) {
	var c net.Conn
	err := l.In(n, func() error {
		d := net.Dialer{}
		d.SetMultipathTCP(false)
		var err error
		c, err = d.DialContext(ctx, network, address)
		return err
	})
	return c, err
}

// Listen opens a stream listener on node n. Addresses are numeric.
func (l *Lab) Listen(n Node, network, address string) (net.Listener, error) {
	var s net.Listener
	err := l.In(n, func() error {
		lc := net.ListenConfig{}
		lc.SetMultipathTCP(false)
		var err error
		s, err = lc.Listen(context.Background(), network, address)
		return err
	})
	return s, err
}

// ListenPacket opens a datagram socket on node n. Addresses are numeric.
func (l *Lab) ListenPacket(n Node, network, address string) (net.PacketConn, error) {
	var s net.PacketConn
	err := l.In(n, func() error {
		lc := net.ListenConfig{}
		var err error
		s, err = lc.ListenPacket(context.Background(), network, address)
		return err
	})
	return s, err
}

// Start starts cmd in the network namespace of node n. The caller waits for it
// as usual. Leave SysProcAttr.Pdeathsig alone: the thread that starts the
// program ends right after, and the program would with it.
func (l *Lab) Start(n Node, cmd *exec.Cmd) error {
	return l.In(n, cmd.Start)
}

// Run starts cmd in the network namespace of node n and waits for it.
func (l *Lab) Run(n Node, cmd *exec.Cmd) error {
	if err := l.Start(n, cmd); err != nil {
		return err
	}
	return cmd.Wait()
}

// Output runs a program in the network namespace of node n and returns what it
// printed, standard error included.
func (l *Lab) Output(ctx context.Context, n Node, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	var out []byte
	// The whole life of the program on one thread is simplest here: nobody
	// needs the pipes meanwhile.
	err := l.In(n, func() error {
		var err error
		out, err = cmd.CombinedOutput()
		return err
	})
	return out, err
}

// Env is what programs in the lab find in their environment, in the form of
// [os.Environ]: GARITA_CLIENT, GARITA_SERVER, GARITA_CLIENT6 and
// GARITA_SERVER6, numeric addresses.
func Env() []string {
	return []string{
		"GARITA_CLIENT=" + ClientIP4.String(),
		"GARITA_SERVER=" + ServerIP4.String(),
		"GARITA_CLIENT6=" + ClientIP6.String(),
		"GARITA_SERVER6=" + ServerIP6.String(),
	}
}
