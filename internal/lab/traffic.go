package lab

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// Outcome is how an exchange ended for the client.
type Outcome string

// Outcomes.
const (
	Answered    Outcome = "answered"
	TimedOut    Outcome = "timed out"
	Reset       Outcome = "reset"       // a TCP reset
	Unreachable Outcome = "unreachable" // an ICMP or ICMPv6 error
	Failed      Outcome = "failed"      // anything else; see Result.Err
)

// Exchange is one thing that the client does: a request and the wait for its
// answer, on a connection of its own.
type Exchange struct {
	Name   string     // "GET /evil"
	Server netip.Addr // whom the client asks
	Want   Want       // what must come of it under the sample policy

	do func(ctx context.Context, l *Lab, server netip.Addr, r *Result) error
}

// Want is what the sample policy makes of an exchange.
type Want struct {
	Verdict Verdict
	SID     uint32  // of the rule that decides, 0 for none
	Outcome Outcome // for the client
	Answer  string  // the client's, if it is answered
	Arrived string  // at the server; empty for nothing
}

// Result is what came of an exchange.
type Result struct {
	// Proto, Client and Server are the flow: tcp, udp or icmp (also for
	// ICMPv6), and its ends as the client sees them. For icmp, both ports are the echo
	// identifier.
	Proto          string
	Client, Server netip.AddrPort

	Outcome Outcome
	Answer  string        // what the client got, in short
	Err     error         // nil if answered
	Took    time.Duration // from the first packet to the whole answer
	Arrived []string      // what the server noticed of it, oldest first
}

// Do runs the exchange from the client and waits for its end, at most until
// ctx is done.
func (e *Exchange) Do(ctx context.Context, l *Lab) Result {
	var r Result
	earlier := len(l.Seen()) // the same port may have been used before
	begin := time.Now()
	r.Err = e.do(ctx, l, e.Server, &r)
	r.Took = time.Since(begin)
	r.Outcome = outcome(r.Proto, r.Err)
	// The server's kernel answers a ping before the server has read it.
	for wait := time.Now(); ; time.Sleep(time.Millisecond) {
		r.Arrived = l.seenOf(&r, earlier)
		if len(r.Arrived) > 0 || r.Outcome != Answered || time.Since(wait) > 300*time.Millisecond {
			return r
		}
	}
}

// services are the server's, by port. Two flows of a client may come from the
// same port of its, if they go to different ones here.
var services = map[uint16]string{7: "echo", 53: "dns", 80: "http", 443: "https"}

func (l *Lab) seenOf(r *Result, earlier int) (what []string) {
	service := services[r.Server.Port()]
	if r.Proto == "icmp" {
		service = "ping"
	}
	for _, s := range l.Seen()[earlier:] {
		if s.Service == service && s.Proto == r.Proto && s.From == r.Client {
			what = append(what, s.What)
		}
	}
	return what
}

func outcome(proto string, err error) Outcome {
	var timeout net.Error
	is := func(these ...error) bool {
		return slices.ContainsFunc(these, func(e error) bool { return errors.Is(err, e) })
	}
	switch {
	case err == nil:
		return Answered
	case is(syscall.ECONNRESET, syscall.EPIPE), proto == "tcp" && is(syscall.ECONNREFUSED):
		return Reset
	// A datagram socket reports a port unreachable as a refusal.
	case is(syscall.ECONNREFUSED, syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.EACCES, syscall.EPROTO):
		return Unreachable
	case is(context.DeadlineExceeded, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return TimedOut
	}
	return Failed
}

// connect dials from the client, notes the flow in r, and gives the connection
// the deadline of ctx.
func connect(ctx context.Context, l *Lab, network string, to netip.AddrPort, r *Result) (net.Conn, error) {
	r.Proto, r.Server = network, to
	c, err := l.Dial(ctx, Client, network, to.String())
	if err != nil {
		return nil, err
	}
	if ap, err := netip.ParseAddrPort(c.LocalAddr().String()); err == nil {
		r.Client = ap
	}
	if deadline, ok := ctx.Deadline(); ok {
		if err := c.SetDeadline(deadline); err != nil {
			return nil, errors.Join(err, c.Close())
		}
	}
	return c, nil
}

// request is an HTTP request. A name makes it HTTPS, asked for by that name.
type request struct {
	method, path, name string
	body               int // bytes to send
	show               bool
}

func (q request) do(ctx context.Context, l *Lab, server netip.Addr, r *Result) error {
	scheme, port := "http", uint16(HTTPPort)
	if q.name != "" {
		scheme, port = "https", HTTPSPort
	}
	host := netip.AddrPortFrom(server, port)
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return connect(ctx, l, "tcp", host, r)
		},
		// The certificate is the lab's own and the name the exchange's choice.
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true, ServerName: q.name},
	}
	defer transport.CloseIdleConnections()
	// As a reader of bytes.Reader the body has a length and is sent whole.
	req, err := http.NewRequestWithContext(ctx, q.method, scheme+"://"+host.String()+q.path,
		bytes.NewReader(bytes.Repeat([]byte{'u'}, q.body)))
	if err != nil {
		return err
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if q.show {
		r.Answer = fmt.Sprintf("%d %q", resp.StatusCode, bytes.TrimSpace(body))
	} else {
		r.Answer = fmt.Sprintf("%d, %d bytes", resp.StatusCode, len(body))
	}
	return nil
}

// echo sends a text to the echo service.
type echo struct{ network, text string }

func (e echo) do(ctx context.Context, l *Lab, server netip.Addr, r *Result) error {
	c, err := connect(ctx, l, e.network, netip.AddrPortFrom(server, EchoPort), r)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := io.WriteString(c, e.text); err != nil {
		return err
	}
	b := make([]byte, len(e.text))
	if _, err := io.ReadFull(c, b); err != nil {
		return err
	}
	r.Answer = string(b)
	return nil
}

// lookup asks the server for a name.
type lookup struct {
	network, name string
	qtype         uint16
}

func (q lookup) do(ctx context.Context, l *Lab, server netip.Addr, r *Result) error {
	c, err := connect(ctx, l, q.network, netip.AddrPortFrom(server, DNSPort), r)
	if err != nil {
		return err
	}
	defer c.Close()
	conn := dns.Conn{Conn: c}
	if err := conn.WriteMsg(new(dns.Msg).SetQuestion(q.name, q.qtype)); err != nil {
		return err
	}
	m, err := conn.ReadMsg()
	if err != nil {
		return err
	}
	switch {
	case m.Rcode != dns.RcodeSuccess || len(m.Answer) == 0:
		r.Answer = dns.RcodeToString[m.Rcode]
	case q.qtype == dns.TypeTXT:
		r.Answer = fmt.Sprintf("TXT of %d bytes", len(strings.Join(m.Answer[0].(*dns.TXT).Txt, "")))
	default:
		r.Answer = strings.TrimPrefix(m.Answer[0].String(), m.Answer[0].Header().String())
	}
	return nil
}

// ping sends an echo request with a text.
type ping struct{ text string }

func (p ping) do(ctx context.Context, l *Lab, server netip.Addr, r *Result) error {
	client, network, proto := ClientIP4, "ip4:icmp", 1
	var send, reply icmp.Type = ipv4.ICMPTypeEcho, ipv4.ICMPTypeEchoReply
	if server.Is6() {
		client, network, proto = ClientIP6, "ip6:ipv6-icmp", 58
		send, reply = ipv6.ICMPTypeEchoRequest, ipv6.ICMPTypeEchoReply
	}
	id := uint16(l.pings.Add(1))
	r.Proto = "icmp"
	r.Client, r.Server = netip.AddrPortFrom(client, id), netip.AddrPortFrom(server, id)
	c, err := l.ListenPacket(Client, network, client.String())
	if err != nil {
		return err
	}
	defer c.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := c.SetDeadline(deadline); err != nil {
			return err
		}
	}
	m := icmp.Message{Type: send, Body: &icmp.Echo{ID: int(id), Seq: 1, Data: []byte(p.text)}}
	b, err := m.Marshal(nil) // the kernel fills in the checksum of ICMPv6
	if err != nil {
		return err
	}
	if _, err := c.WriteTo(b, &net.IPAddr{IP: server.AsSlice()}); err != nil {
		return err
	}
	buf := make([]byte, 2048)
	for {
		n, _, err := c.ReadFrom(buf)
		if err != nil {
			return err
		}
		// A raw socket gets the answers to everybody's pings, and errors.
		m, err := icmp.ParseMessage(proto, buf[:n])
		if err != nil {
			continue
		}
		switch body := m.Body.(type) {
		case *icmp.Echo:
			if m.Type == reply && body.ID == int(id) {
				r.Answer = string(body.Data)
				return nil
			}
		case *icmp.DstUnreach:
			if bytes.Contains(body.Data, []byte(p.text)) {
				return syscall.EHOSTUNREACH
			}
		}
	}
}

// watchPings notes the echo requests that reach the server, which its kernel
// answers.
func (l *Lab) watchPings(conn net.PacketConn, proto int) {
	buf := make([]byte, 2048)
	for {
		n, from, err := conn.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		m, err := icmp.ParseMessage(proto, buf[:n])
		if err != nil || m.Type != ipv4.ICMPTypeEcho && m.Type != ipv6.ICMPTypeEchoRequest {
			continue
		}
		echo, ok := m.Body.(*icmp.Echo)
		if ip, isIP := from.(*net.IPAddr); ok && isIP {
			l.saw("ping", "icmp", &net.UDPAddr{IP: ip.IP, Port: echo.ID}, fmt.Sprintf("ping %q", echo.Data))
		}
	}
}
