package lab

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// Ports of the server's services. Each listens on both addresses.
const (
	HTTPPort  = 80  // HTTP/1.1
	HTTPSPort = 443 // the same over TLS
	DNSPort   = 53  // UDP and TCP
	EchoPort  = 7   // UDP and TCP
)

// What the HTTP server says, fixed so that tests and rules can count on it.
const (
	PageText  = "The quick brown fox.\n" // GET /page
	LargeSize = 4 << 20                  // bytes of GET /large, all 'g'
)

// Seen is one thing that reached the server.
type Seen struct {
	Service string         // http, https, dns, echo, ping
	Proto   string         // tcp, udp or icmp
	From    netip.AddrPort // the client's end, plain IPv4 addresses; for icmp the port is the echo identifier
	What    string         // "GET /page", "A evil.example.", "hello" in quotes or "100 bytes", `ping "hello"`
}

type seen struct {
	mu   sync.Mutex
	list []Seen
}

// Seen returns what has reached the server so far, oldest first.
func (l *Lab) Seen() []Seen {
	l.seen.mu.Lock()
	defer l.seen.mu.Unlock()
	return append([]Seen(nil), l.seen.list...)
}

// maxSeen bounds the memory of a lab that is under load from a benchmark.
const maxSeen = 100_000

func (l *Lab) saw(service, proto string, from net.Addr, what string) {
	var ap netip.AddrPort
	switch a := from.(type) {
	case *net.TCPAddr:
		ap = a.AddrPort()
	case *net.UDPAddr:
		ap = a.AddrPort()
	}
	ap = netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	l.seen.mu.Lock()
	defer l.seen.mu.Unlock()
	if len(l.seen.list) < maxSeen {
		l.seen.list = append(l.seen.list, Seen{service, proto, ap, what})
	}
}

// Certificate is what the server presents on the HTTPS port: self-signed, for
// the name server and both addresses.
func (l *Lab) Certificate() (*x509.Certificate, error) {
	return x509.ParseCertificate(l.certificate)
}

// serve starts all services. They run until Close.
func (l *Lab) serve() error {
	ctx, stop := context.WithCancel(context.Background())
	l.stop = stop
	cert, err := selfSigned()
	if err != nil {
		return fmt.Errorf("lab: make a certificate: %w", err)
	}
	l.certificate = cert.Certificate[0]
	for _, ip := range [...]netip.Addr{ServerIP4, ServerIP6} {
		for _, s := range [...]struct {
			port  uint16
			serve func(net.Listener)
		}{
			{HTTPPort, func(s net.Listener) { l.serveHTTP("http", s) }},
			{HTTPSPort, func(s net.Listener) {
				l.serveHTTP("https", tls.NewListener(s, &tls.Config{
					Certificates: []tls.Certificate{cert},
					NextProtos:   []string{"http/1.1"},
				}))
			}},
			{DNSPort, func(s net.Listener) {
				serveDNS(ctx, &dns.Server{Listener: s, Handler: l.dnsHandler("tcp")})
			}},
			{EchoPort, func(s net.Listener) { l.echoTCP(ctx, s) }},
		} {
			listener, err := l.Listen(Server, "tcp", netip.AddrPortFrom(ip, s.port).String())
			if err != nil {
				return fmt.Errorf("lab: server: %w", err)
			}
			l.closers = append(l.closers, func() { _ = listener.Close() })
			l.servers.Go(func() { s.serve(listener) })
		}
		pings, icmpProto := "ip4:icmp", 1
		if ip.Is6() {
			pings, icmpProto = "ip6:ipv6-icmp", 58
		}
		for _, s := range [...]struct {
			network, address string
			serve            func(net.PacketConn)
		}{
			{"udp", netip.AddrPortFrom(ip, DNSPort).String(), func(s net.PacketConn) {
				serveDNS(ctx, &dns.Server{PacketConn: s, Handler: l.dnsHandler("udp")})
			}},
			{"udp", netip.AddrPortFrom(ip, EchoPort).String(), l.echoUDP},
			{pings, ip.String(), func(s net.PacketConn) { l.watchPings(s, icmpProto) }},
		} {
			conn, err := l.ListenPacket(Server, s.network, s.address)
			if err != nil {
				return fmt.Errorf("lab: server: %w", err)
			}
			l.closers = append(l.closers, func() { _ = conn.Close() })
			l.servers.Go(func() { s.serve(conn) })
		}
	}
	return nil
}

func (l *Lab) serveHTTP(service string, listener net.Listener) {
	s := &http.Server{
		Handler: l.httpHandler(service),
		// Connections that break are what the lab is for.
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	_ = s.Serve(listener) // ends when Close closes the listener
	_ = s.Close()         // and the connections
}

func (l *Lab) httpHandler(service string) http.Handler {
	mux := http.NewServeMux()
	text := func(body string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			w.Header().Set("Content-Length", fmt.Sprint(len(body)))
			_, _ = io.WriteString(w, body)
		}
	}
	mux.HandleFunc("/", text("Hello from behind the gateway.\n"))
	mux.HandleFunc("/page", text(PageText))
	mux.HandleFunc("/upload", func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		text(fmt.Sprintf("got %d bytes\n", n))(w, r)
	})
	mux.HandleFunc("/large", text(strings.Repeat("g", LargeSize)))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var from net.Addr
		if ap, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
			from = net.TCPAddrFromAddrPort(ap)
		}
		l.saw(service, "tcp", from, r.Method+" "+r.URL.RequestURI())
		mux.ServeHTTP(w, r)
	})
}

func (l *Lab) echoTCP(ctx context.Context, listener net.Listener) {
	var conns sync.WaitGroup
	defer conns.Wait()
	for {
		c, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // a connection that died before it was accepted
		}
		conns.Go(func() {
			defer context.AfterFunc(ctx, func() { _ = c.Close() })()
			defer c.Close()
			b := make([]byte, 64<<10)
			for {
				n, err := c.Read(b)
				if n > 0 {
					l.saw("echo", "tcp", c.RemoteAddr(), brief(b[:n]))
					if _, err := c.Write(b[:n]); err != nil {
						return
					}
				}
				if err != nil {
					return
				}
			}
		})
	}
}

func (l *Lab) echoUDP(conn net.PacketConn) {
	b := make([]byte, 64<<10)
	for {
		n, from, err := conn.ReadFrom(b)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // an ICMP error for an earlier answer
		}
		l.saw("echo", "udp", from, brief(b[:n]))
		_, _ = conn.WriteTo(b[:n], from)
	}
}

// brief is a short text as it is, quoted, and the length of a long one.
func brief(b []byte) string {
	if len(b) > 40 {
		return fmt.Sprintf("%d bytes", len(b))
	}
	return strconv.Quote(string(b))
}

// selfSigned makes a certificate that is valid for a day on either side of now.
func selfSigned() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "server", Organization: []string{"garita lab"}},
		DNSNames:              []string{"server"},
		IPAddresses:           []net.IP{ServerIP4.AsSlice(), ServerIP6.AsSlice()},
		NotBefore:             now.Add(-24 * time.Hour),
		NotAfter:              now.Add(24 * time.Hour),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
