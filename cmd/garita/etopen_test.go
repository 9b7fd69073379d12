package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"

	"github.com/garita/garita/internal/lab"
	"github.com/garita/garita/rule"
)

// attack is traffic that one rule of ET Open speaks of. What is sent is made
// from the rule's contents when the test runs: no rule is kept here.
type attack struct {
	sid  uint32
	what string
	port uint16 // of the server; 0: not by port
	send func(a *arena, port uint16, p parts) (arrived func() bool)
	// harmless turns the rule's contents into those of the twin; nil changes
	// one letter of the longest.
	harmless func(parts) parts
	twinPort uint16 // of the twin, if it is another
}

var attacks = []attack{
	{sid: 2008538, what: "a scanner for SQL injections", port: 8080, send: sendHTTP},
	{sid: 2009358, what: "a port scanner's scripts", port: 8080, send: sendHTTP, harmless: swapped("Nmap Scripting", "Plain Browsing")},
	{sid: 2008186, what: "a scanner for folders", port: 8080, send: sendHTTP},
	{sid: 2010715, what: "a scanner for phpMyAdmin", port: 8080, send: sendHTTP},
	{sid: 2009445, what: "a downloader's user agent", port: 8080, send: sendHTTP},
	{sid: 2019232, what: "Shellshock in a header", port: 8080, send: sendHTTP},
	{sid: 2034647, what: "Log4Shell", port: 8080, send: sendHTTP, harmless: swapped("jndi", "note")},
	{sid: 2019143, what: "a beacon's path", port: 8080, send: sendHTTP},
	{sid: 2008798, what: "a beacon's form", port: 8080, send: sendHTTP},
	{sid: 2014192, what: "an installer reports", port: 8080, send: sendHTTP},
	{sid: 2032766, what: "an exploit in the body of a POST", port: 8080, send: sendHTTP},
	{sid: 2033284, what: "a router's command injection", port: 8080, send: sendHTTP},
	{sid: 2036951, what: "DNS: a name of a control server", send: sendDNS},
	{sid: 2031038, what: "DNS: another one", send: sendDNS},
	{sid: 2031615, what: "TLS: a name of an exploit kit", port: 8443, send: sendTLS},
	{sid: 2031442, what: "TLS: a name of a control server", port: 8443, send: sendTLS},
	{sid: 2008705, what: "SMB: an overflow", port: 445, send: sendTCP},
	{sid: 2025649, what: "SMB: a probe for EternalBlue", port: 445, send: sendSMB},
	{sid: 2009247, what: "a shell code", port: 4444, send: sendTCP},
	{sid: 2031295, what: "UDP: a ticket tool", port: 88, send: sendUDP},
	{sid: 2101918, what: "ICMP: a scanner's ping", send: sendPing},
	{sid: 2010686, what: "ICMP: another one", send: sendPing},
	{sid: 2100498, what: "an answer that says root", port: 9999, send: sendAnswer},
	{sid: 2010935, what: "a SYN to a data base", port: 1433, twinPort: 1434, send: sendSYN, harmless: func(p parts) parts { return p }},
}

// What drops: as somebody would write it who wants to be safe.
const attackPolicy = `drop classtype attempted-recon,network-scan,web-application-attack,attempted-admin,attempted-user
drop classtype trojan-activity,command-and-control,domain-c2,exploit-kit,shellcode-detect,pup-activity
drop metadata signature_severity Major,Critical
drop sid 2100498,2010935
`

// With the whole of ET Open and a policy, attacks do not arrive, and what
// differs from them by a letter does.
func TestAttacksDoNotArrive(t *testing.T) {
	file := etOpen(t)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	bySid := map[uint32]*rule.Rule{}
	rules, _ := rule.Parse(file, string(text), rule.Options{})
	for i := range rules {
		sid, _ := strconv.ParseUint(rules[i].Lookup("sid").Value, 10, 32)
		bySid[uint32(sid)] = &rules[i]
	}
	policy := filepath.Join(t.TempDir(), "policy.conf")
	if err := os.WriteFile(policy, []byte(attackPolicy), 0o644); err != nil {
		t.Fatal(err)
	}
	logs := t.TempDir()
	l := newLab(t)
	a := newArena(t, l)
	g := start(t, l, "--rules", file, "--policy", policy, "-l", logs,
		"--set", "vars.address-groups.HOME_NET=any", "--set", "vars.address-groups.EXTERNAL_NET=any")
	for _, x := range attacks {
		t.Run(x.what, func(t *testing.T) {
			r := bySid[x.sid]
			if r == nil {
				t.Fatalf("sid %d is not in the corpus", x.sid)
			}
			p := partsOf(t, r)
			twin, twinPort := p.mutated(), x.port
			if x.harmless != nil {
				twin = x.harmless(p)
			}
			if x.twinPort != 0 {
				twinPort = x.twinPort
			}
			a.t = t
			arrived := x.send(a, x.port, p)
			until(t, fmt.Sprintf("the drop by sid %d (%s)", x.sid, r.Text()), func() bool { return blocked(t, logs, x.sid) })
			came := x.send(a, twinPort, twin)
			until(t, "the harmless twin to arrive", came)
			if arrived() {
				t.Errorf("it arrived: sid %d", x.sid)
			}
		})
	}
	g.stop(t)
}

// blocked says whether a record tells that sid dropped something.
func blocked(t *testing.T, logs string, sid uint32) bool {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(logs, "eve.json"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	for line := range bytes.Lines(b) {
		var e struct {
			Alert struct {
				Action string `json:"action"`
				SID    uint32 `json:"signature_id"`
			} `json:"alert"`
		}
		if bytes.HasSuffix(line, []byte("\n")) && bytes.Contains(line, []byte(`"blocked"`)) && json.Unmarshal(line, &e) == nil &&
			e.Alert.SID == sid && e.Alert.Action == "blocked" {
			return true
		}
	}
	return false
}

// parts are what a rule's contents say, by buffer ("" is the payload).
type parts map[string][]byte

// partsOf puts the contents of each buffer together as their modifiers ask.
func partsOf(t *testing.T, r *rule.Rule) parts {
	t.Helper()
	p, buf := parts{}, ""
	for i := 0; i < len(r.Options); i++ {
		o := &r.Options[i]
		switch o.Name {
		case "http.method", "http.uri", "http.user_agent", "http.header", "http.request_body", "http.header_names", "http.host", "dns.query", "tls.sni":
			buf = o.Name
		case "content":
			not, _, text, _ := rule.Quoted(o.Value)
			b, err := rule.Content(text)
			if err != nil {
				t.Fatal(err)
			}
			if not {
				continue
			}
			offset, gap := 0, 0
			for _, m := range r.Options[i+1:] {
				if m.Name == "content" {
					break
				}
				n, _ := strconv.Atoi(m.Value)
				switch m.Name {
				case "offset":
					offset = n
				case "distance":
					gap = n
				}
			}
			have := p[buf]
			for len(have) < offset {
				have = append(have, 0)
			}
			p[buf] = append(append(have, make([]byte, max(gap, 0))...), b...)
		}
	}
	return p
}

// mutated changes one letter in the middle of the longest buffer that is not a
// method.
func (p parts) mutated() parts {
	longest := ""
	out := parts{}
	for k, v := range p {
		out[k] = slices.Clone(v)
		if k != "http.method" && len(v) > len(out[longest]) || longest == "" && k != "http.method" {
			longest = k
		}
	}
	b := out[longest]
	for d := range len(b) {
		for _, i := range []int{len(b)/2 + d, len(b)/2 - d} {
			if i < 0 || i >= len(b) {
				continue
			}
			switch c := b[i]; {
			case c >= 'a' && c < 'z', c >= 'A' && c < 'Z', c >= '0' && c < '9', c >= 0x80 && c < 0xff:
				b[i]++
				return out
			}
		}
	}
	return out
}

// swapped puts other words in: where the letter of mutated would be an attack
// to another rule.
func swapped(old, with string) func(parts) parts {
	return func(p parts) parts {
		out := parts{}
		for k, v := range p {
			out[k] = bytes.ReplaceAll(v, []byte(old), []byte(with))
		}
		return out
	}
}

// arena is the lab with servers that say what reached them.
type arena struct {
	*lab.Lab
	t    *testing.T
	mu   sync.Mutex
	got  map[string]string // by the client's address: what came from it
	pins uint16
}

func newArena(t *testing.T, l *lab.Lab) *arena {
	t.Helper()
	a := &arena{Lab: l, t: t, got: map[string]string{}, pins: 4000}
	for _, port := range []uint16{8080, 8443, 445, 4444, 9999, 1433, 1434} {
		s, err := l.Listen(lab.Server, "tcp4", a.at(port))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		go func() {
			for {
				c, err := s.Accept()
				if err != nil {
					return
				}
				a.note(c.RemoteAddr(), nil)
				go a.serve(c, port == 9999)
			}
		}()
	}
	u, err := l.ListenPacket(lab.Server, "udp4", a.at(88))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { u.Close() })
	go func() {
		b := make([]byte, 4096)
		for {
			n, from, err := u.ReadFrom(b)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				a.note(from, b[:n])
			}
		}
	}()
	return a
}

func (a *arena) at(port uint16) string { return netip.AddrPortFrom(lab.ServerIP4, port).String() }

func (a *arena) note(from net.Addr, b []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.got[from.String()] += string(b)
}

// serve notes what comes; answer makes it say the contrary of each byte.
func (a *arena) serve(c net.Conn, answer bool) {
	defer c.Close()
	b := make([]byte, 64<<10)
	for {
		n, err := c.Read(b)
		if err != nil {
			return
		}
		a.note(c.RemoteAddr(), b[:n])
		if answer {
			if _, err := c.Write(inverted(b[:n])); err != nil {
				return
			}
		}
	}
}

func inverted(b []byte) []byte {
	out := make([]byte, len(b))
	for i, c := range b {
		out[i] = ^c
	}
	return out
}

// from says what came from there, and whether anybody called at all.
func (a *arena) from(addr net.Addr) (string, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s, ok := a.got[addr.String()]
	return s, ok
}

func (a *arena) dial(network string, port uint16) net.Conn {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := a.Dial(ctx, lab.Client, network, a.at(port))
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() { c.Close() })
	return c
}

// deliver sends b and says whether any of it arrived.
func (a *arena) deliver(network string, port uint16, b []byte) func() bool {
	a.t.Helper()
	c := a.dial(network, port)
	if _, err := c.Write(b); err != nil {
		a.t.Fatal(err)
	}
	return func() bool { s, _ := a.from(c.LocalAddr()); return s != "" }
}

func sendTCP(a *arena, port uint16, p parts) func() bool { return a.deliver("tcp4", port, p[""]) }
func sendUDP(a *arena, port uint16, p parts) func() bool { return a.deliver("udp4", port, p[""]) }

// sendSMB puts the length in front.
func sendSMB(a *arena, port uint16, p parts) func() bool {
	b := slices.Clone(p[""])
	n := len(b) - 4
	b[0], b[1], b[2], b[3] = 0, 0, byte(n>>8), byte(n)
	return a.deliver("tcp4", port, b)
}

func sendHTTP(a *arena, port uint16, p parts) func() bool {
	or := func(name, otherwise string) string {
		if v, ok := p[name]; ok {
			return strings.ReplaceAll(string(v), "\x00", "x")
		}
		return otherwise
	}
	body := or("http.request_body", "")
	method := "GET"
	if body != "" {
		method = "POST"
	}
	var b strings.Builder
	uri := or("http.uri", "/index.html")
	if uri[0] != '/' {
		uri = "/" + uri
	}
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: %s\r\n", or("http.method", method), uri, or("http.host", "www.example.org"), or("http.user_agent", "Mozilla/5.0 (X11; Linux x86_64)"))
	if h := or("http.header", or("", "")); h != "" {
		fmt.Fprintf(&b, "X-Note: %s\r\n", h)
	}
	if body != "" {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(body))
	}
	b.WriteString("\r\n" + body)
	return a.deliver("tcp4", port, []byte(b.String()))
}

// sendDNS asks the lab's DNS server.
func sendDNS(a *arena, _ uint16, p parts) func() bool {
	name := string(p["dns.query"])
	if name[0] == '.' {
		name = "www" + name
	}
	q := []byte{0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0}
	for label := range strings.SplitSeq(name, ".") {
		q = append(append(q, byte(len(label))), label...)
	}
	q = append(q, 0, 0, 1, 0, 1)
	c := a.dial("udp4", lab.DNSPort)
	if _, err := c.Write(q); err != nil {
		a.t.Fatal(err)
	}
	return a.seen("dns", c.LocalAddr().(*net.UDPAddr).AddrPort().Port())
}

// seen says whether the lab's server saw something from that port, or with
// that identifier.
func (a *arena) seen(service string, port uint16) func() bool {
	return func() bool {
		return slices.ContainsFunc(a.Seen(), func(s lab.Seen) bool { return s.Service == service && s.From.Port() == port })
	}
}

// sendTLS sends the beginning of a handshake with the name.
func sendTLS(a *arena, port uint16, p parts) func() bool {
	name := p["tls.sni"]
	two := func(n int) []byte { return []byte{byte(n >> 8), byte(n)} }
	ext := slices.Concat([]byte{0, 0}, two(len(name)+5), two(len(name)+3), []byte{0}, two(len(name)), name)
	hello := slices.Concat([]byte{3, 3}, make([]byte, 32), []byte{0, 0, 2, 0x13, 1, 1, 0}, two(len(ext)), ext)
	msg := slices.Concat([]byte{1, 0}, two(len(hello)), hello)
	return a.deliver("tcp4", port, slices.Concat([]byte{22, 3, 1}, two(len(msg)), msg))
}

func sendPing(a *arena, _ uint16, p parts) func() bool {
	c, err := a.ListenPacket(lab.Client, "ip4:icmp", lab.ClientIP4.String())
	if err != nil {
		a.t.Fatal(err)
	}
	defer c.Close()
	a.pins++
	m := icmp.Message{Type: ipv4.ICMPTypeEcho, Body: &icmp.Echo{ID: int(a.pins), Seq: 1, Data: p[""]}}
	b, err := m.Marshal(nil)
	if err != nil {
		a.t.Fatal(err)
	}
	if _, err := c.WriteTo(b, &net.IPAddr{IP: lab.ServerIP4.AsSlice()}); err != nil {
		a.t.Fatal(err)
	}
	return a.seen("ping", a.pins)
}

// sendAnswer makes the server say it.
func sendAnswer(a *arena, port uint16, p parts) func() bool {
	c := a.dial("tcp4", port)
	if _, err := c.Write(inverted(p[""])); err != nil {
		a.t.Fatal(err)
	}
	return func() bool {
		_ = c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		n, err := c.Read(make([]byte, 1))
		return err == nil && n > 0
	}
}

// sendSYN only tries to connect.
func sendSYN(a *arena, port uint16, _ parts) func() bool {
	ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	c, err := a.Dial(ctx, lab.Client, "tcp4", a.at(port))
	if err != nil {
		return func() bool { return false }
	}
	a.t.Cleanup(func() { c.Close() })
	return func() bool { _, ok := a.from(c.LocalAddr()); return ok }
}
