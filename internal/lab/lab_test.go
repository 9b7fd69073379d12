package lab_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/vishvananda/netlink"

	"github.com/garita/garita/internal/lab"
)

func newLab(t *testing.T) *lab.Lab {
	t.Helper()
	l, err := lab.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// families are the two addresses of the server, and of the client.
var families = []struct {
	name           string
	server, client netip.Addr
}{
	{"IPv4", lab.ServerIP4, lab.ClientIP4},
	{"IPv6", lab.ServerIP6, lab.ClientIP6},
}

func at(ip netip.Addr, port uint16) string { return netip.AddrPortFrom(ip, port).String() }

func TestWhoWeAre(t *testing.T) {
	uid, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() != 0 {
		t.Errorf("uid %d inside, want 0", os.Geteuid())
	}
	t.Logf("the lab's tests run under the uid map %q", strings.Join(strings.Fields(string(uid)), " "))
	links, err := netlink.LinkList()
	if err != nil {
		t.Fatal(err)
	}
	// A namespace of our own has a loopback and at most the kernel's fallback
	// tunnel devices, none with a carrier.
	for _, l := range links {
		if l.Attrs().Name != "lo" && l.Attrs().Flags&net.FlagUp != 0 {
			t.Errorf("link %s is up: this is not a namespace of our own", l.Attrs().Name)
		}
	}
}

func TestServers(t *testing.T) {
	l := newLab(t)
	cert, err := l.Certificate()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		t.Run(f.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()

			roots := x509.NewCertPool()
			roots.AddCert(cert)
			transport := &http.Transport{
				DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
					return l.Dial(ctx, lab.Client, network, address)
				},
				TLSClientConfig: &tls.Config{RootCAs: roots},
			}
			defer transport.CloseIdleConnections()
			web := &http.Client{Transport: transport}

			for _, c := range []struct {
				method, url, body, want string
			}{
				{"GET", "http://" + at(f.server, 80) + "/", "", "Hello from behind the gateway.\n"},
				{"GET", "http://" + at(f.server, 80) + "/evil", "", "Hello from behind the gateway.\n"},
				{"GET", "http://" + at(f.server, 80) + "/page", "", lab.PageText},
				{"POST", "http://" + at(f.server, 80) + "/upload", strings.Repeat("u", 100_000), "got 100000 bytes\n"},
				{"GET", "http://" + at(f.server, 80) + "/large", "", strings.Repeat("g", lab.LargeSize)},
				{"GET", "https://" + at(f.server, 443) + "/page", "", lab.PageText},
			} {
				req, err := http.NewRequestWithContext(ctx, c.method, c.url, strings.NewReader(c.body))
				if err != nil {
					t.Fatal(err)
				}
				resp, err := web.Do(req)
				if err != nil {
					t.Errorf("%s %s: %v", c.method, c.url, err)
					continue
				}
				got, err := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				if err != nil || resp.StatusCode != 200 || string(got) != c.want {
					t.Errorf("%s %s: %s, %d bytes, %v; want 200 and %d bytes", c.method, c.url, resp.Status, len(got), err, len(c.want))
				}
			}

			for _, network := range []string{"udp", "tcp"} {
				conn, err := l.Dial(ctx, lab.Client, network, at(f.server, 7))
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				if host := conn.LocalAddr().String(); !strings.Contains(host, f.client.String()) {
					t.Errorf("%s: connected from %s, want %s", network, host, f.client)
				}
				deadline, _ := ctx.Deadline()
				_ = conn.SetDeadline(deadline)
				text := []byte("echo over " + network)
				if _, err := conn.Write(text); err != nil {
					t.Fatal(err)
				}
				got := make([]byte, len(text))
				if _, err := io.ReadFull(conn, got); err != nil || !bytes.Equal(got, text) {
					t.Errorf("%s echo: %q, %v", network, got, err)
				}
			}

			for _, c := range []struct {
				network, name string
				qtype         uint16
				rcode         int
				want          string
			}{
				{"udp", "evil.example.", dns.TypeA, dns.RcodeSuccess, "10.77.2.2"},
				{"udp", "evil.example.", dns.TypeAAAA, dns.RcodeSuccess, "fd77:2::2"},
				{"udp", "client.", dns.TypeA, dns.RcodeSuccess, "10.77.1.2"},
				{"udp", "some.nx.", dns.TypeA, dns.RcodeNameError, ""},
				{"tcp", "server.", dns.TypeA, dns.RcodeSuccess, "10.77.2.2"},
				{"tcp", "long.", dns.TypeTXT, dns.RcodeSuccess, "ttt"},
			} {
				got, err := query(ctx, l, c.network, at(f.server, 53), c.name, c.qtype)
				if err != nil {
					t.Errorf("%s %s: %v", c.network, c.name, err)
					continue
				}
				if got.Rcode != c.rcode || got.Truncated {
					t.Errorf("%s %s: %s, truncated %v", c.network, c.name, dns.RcodeToString[got.Rcode], got.Truncated)
				}
				if c.want != "" && (len(got.Answer) == 0 || !strings.Contains(got.Answer[0].String(), c.want)) {
					t.Errorf("%s %s: answers %v, want %s", c.network, c.name, got.Answer, c.want)
				}
			}
			long, err := query(ctx, l, "udp", at(f.server, 53), "long.", dns.TypeTXT)
			if err != nil || !long.Truncated || len(long.Answer) != 0 {
				t.Errorf("a long answer over UDP: %v, %v; want it truncated", long, err)
			}

			want := lab.Seen{Service: "http", Proto: "tcp", What: "GET /evil"}
			found := false
			for _, s := range l.Seen() {
				found = found || s.From.Addr() == f.client && s.Service == want.Service && s.Proto == want.Proto && s.What == want.What
			}
			if !found {
				t.Errorf("the server does not know of %q from %v: %v", want.What, f.client, l.Seen())
			}
		})
	}
}

func query(ctx context.Context, l *lab.Lab, network, server, name string, qtype uint16) (*dns.Msg, error) {
	conn, err := l.Dial(ctx, lab.Client, network, server)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	c := dns.Client{Timeout: 5 * time.Second}
	m, _, err := c.ExchangeWithConnContext(ctx, new(dns.Msg).SetQuestion(name, qtype), &dns.Conn{Conn: conn})
	return m, err
}

// Everything between client and server passes the gateway: without forwarding
// there, nothing arrives, and a TTL of 1 dies there.
func TestGatewayIsOnTheWay(t *testing.T) {
	l := newLab(t)
	for _, f := range families {
		t.Run(f.name, func(t *testing.T) {
			hops := "/proc/sys/net/ipv4/ip_default_ttl"
			if f.server.Is6() {
				hops = "/proc/sys/net/ipv6/conf/eth0/hop_limit"
			}
			try := func(ttl string) error {
				if err := l.In(lab.Client, func() error { return writeSysctl(hops, ttl) }); err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				c, err := l.Dial(ctx, lab.Client, "tcp", at(f.server, 7))
				if err == nil {
					_ = c.Close()
				}
				return err
			}
			if err := try("1"); err == nil {
				t.Error("connected with a hop limit of 1: nothing forwards between client and server")
			}
			if err := try("2"); err != nil {
				t.Errorf("with a hop limit of 2: %v", err)
			}
		})
	}
}

func writeSysctl(name, value string) error { return os.WriteFile(name, []byte(value), 0) }

func TestIn(t *testing.T) {
	l := newLab(t)
	want := errors.New("mine")
	if err := l.In(lab.Gateway, func() error { return want }); err != want {
		t.Errorf("got %v, want the function's own error", err)
	}
	if err := l.In(lab.Gateway, func() error { runtime.Goexit(); return nil }); err == nil {
		t.Error("no error from a function that ended its goroutine")
	}
	for n, want := range map[lab.Node][]string{
		lab.Client:  {lab.HostLink},
		lab.Gateway: {lab.GatewayToClient, lab.GatewayToServer},
		lab.Server:  {lab.HostLink},
	} {
		err := l.In(n, func() error {
			for _, name := range append(want, "lo") {
				link, err := net.InterfaceByName(name)
				if err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
				if link.Flags&net.FlagUp == 0 {
					return fmt.Errorf("%s is down", name)
				}
			}
			return nil
		})
		if err != nil {
			t.Errorf("%v: %v", n, err)
		}
	}
	if _, err := net.InterfaceByName(lab.GatewayToClient); err == nil {
		t.Error("a link of the lab shows outside of it")
	}
}

func TestPrograms(t *testing.T) {
	l := newLab(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()

	// Inside, names resolve by our own files.
	for _, name := range []string{"/etc/hosts", "/etc/resolv.conf"} {
		if _, err := os.Stat(name); err != nil {
			t.Logf("this host has no %s, so the lab has none", name)
			continue
		}
		text, err := l.Output(ctx, lab.Client, "cat", name)
		if err != nil || !strings.Contains(string(text), "10.77.2.2") {
			t.Errorf("%s in the lab: %q, %v", name, text, err)
		}
	}
	out, err := l.Output(ctx, lab.Client, "cat", "/proc/self/net/route")
	if err != nil || !strings.Contains(string(out), lab.HostLink) {
		t.Errorf("routes that a program sees: %q, %v", out, err)
	}
	cmd := exec.Command("sh", "-c", "exit 7")
	status, err := lab.ExitStatus(l.Run(lab.Client, cmd))
	if status != 7 || err != nil {
		t.Errorf("status %d, %v; want 7", status, err)
	}
	cmd = exec.Command("sh", "-c", "kill -9 $$")
	status, err = lab.ExitStatus(l.Run(lab.Client, cmd))
	if status != 128+9 || err != nil {
		t.Errorf("status %d, %v; want 137", status, err)
	}
	status, err = lab.ExitStatus(l.Run(lab.Client, exec.Command("/no/such/program")))
	if status != 0 || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("status %d, %v; want ErrNotExist", status, err)
	}
}

// A closed lab is gone: its services do not answer, and a second lab with the
// same addresses works beside a first.
func TestCloseAndSecondLab(t *testing.T) {
	first, second := newLab(t), newLab(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	idle, err := first.Dial(ctx, lab.Client, "tcp", at(lab.ServerIP4, 53))
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	begin := time.Now()
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if d := time.Since(begin); d > 3*time.Second {
		t.Errorf("Close took %v with an idle connection open", d)
	}
	c, err := second.Dial(ctx, lab.Client, "tcp", at(lab.ServerIP4, 7))
	if err != nil {
		t.Fatalf("the second lab after the first was closed: %v", err)
	}
	_ = c.Close()
	if _, err := first.Dial(ctx, lab.Client, "tcp", at(lab.ServerIP4, 7)); err == nil {
		t.Error("a closed lab still answers")
	}
}
