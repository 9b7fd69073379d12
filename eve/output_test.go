package eve

import (
	"bytes"
	"encoding/json"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/garita/garita/app"
	"github.com/garita/garita/detect"
	"github.com/garita/garita/packet"
)

// buffer is a file in memory.
type buffer struct{ bytes.Buffer }

func (b *buffer) Close() error { return nil }

// Each output gets the records of its types, whole and once.
func TestOutputs(t *testing.T) {
	var all, flows, stats buffer
	first, second, third := NewWriter(&all, true), NewWriter(&flows, true), NewWriter(&stats, true)
	l := NewLogger(Config{
		Types: Alert | Flow | Stats, Only: Alert, Prefix: "@cee: ",
		Also: []Output{{Types: Flow | Alert, To: second}, {Types: Stats, To: third}},
	}, first, nil)
	p := aPacket(packet.ProtoTCP, 80)
	f := info(p)
	a := detect.Alert{Info: &detect.Info{Sid: 1, Gid: 1}}
	l.Alert(p, f, app.ToServer, &a, 0)
	l.Flow(p.Time, f, &FlowEnd{State: "new", Reason: "timeout"})
	l.Stats(p.Time, map[string]uint64{"a.b": 1}, RuleStats{})
	l.Alert(p, f, app.ToServer, &a, 0)
	l.Flush()
	for _, w := range []*Writer{first, second, third} {
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		got, prefix, want string
	}{{all.String(), "@cee: ", "alert alert"}, {flows.String(), "", "alert flow alert"}, {stats.String(), "", "stats"}} {
		var names []string
		for _, line := range strings.Split(strings.TrimSpace(c.got), "\n") {
			rest, ok := strings.CutPrefix(line, c.prefix)
			var e struct {
				EventType string `json:"event_type"`
			}
			if err := json.Unmarshal([]byte(rest), &e); err != nil || !ok {
				t.Fatalf("%q: %v", line, err)
			}
			names = append(names, e.EventType)
		}
		if got := strings.Join(names, " "); got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
}

func TestXFF(t *testing.T) {
	for _, c := range []struct {
		x            XFF
		header, want string
	}{
		{XFF{}, "192.0.2.7", ""},
		{XFF{Mode: XFFExtra}, "192.0.2.7", "192.0.2.7"},
		{XFF{Mode: XFFExtra}, "192.0.2.7, 192.0.2.8", "192.0.2.8"},
		{XFF{Mode: XFFOverwrite, Forward: true}, "192.0.2.7, 192.0.2.8", "192.0.2.7"},
		{XFF{Mode: XFFExtra}, "192.0.2.7:4711", "192.0.2.7"},
		{XFF{Mode: XFFExtra}, "[2001:db8::1]:80", "2001:db8::1"},
		{XFF{Mode: XFFExtra}, "2001:db8::1", "2001:db8::1"},
		{XFF{Mode: XFFExtra}, "unknown", ""},
		{XFF{Mode: XFFExtra, Header: "x-real-ip"}, "192.0.2.7", ""},
	} {
		conn := talk(app.TCP, 80, ">GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: "+c.header+"\r\n\r\n")
		a, ok := c.x.addr(conn.Transactions()[0])
		if want, _ := netip.ParseAddr(c.want); a != want && ok || ok != (c.want != "") {
			t.Errorf("%+v %q: %v %v, want %q", c.x, c.header, a, ok, c.want)
		}
	}
}

// A socket's other end that goes away costs the records of that time, no more.
func TestSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	listen := func() net.PacketConn {
		_ = os.Remove(path)
		c, err := net.ListenPacket("unixgram", path)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	read := func(c net.PacketConn) string {
		b := make([]byte, 100)
		n, _, err := c.ReadFrom(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
	c := listen()
	w, err := Dial("unixgram", path, true)
	if err != nil {
		t.Fatal(err)
	}
	w.put([]byte("{1}\n{2}\n"))
	if got := read(c) + read(c); got != "{1}\n{2}\n" {
		t.Errorf("got %q", got)
	}
	_ = c.Close()
	w.put([]byte("{3}\n"))
	for w.Lost() == 0 {
		runtime.Gosched()
	}
	c = listen()
	defer c.Close()
	w.put([]byte("{4}\n"))
	if got := read(c); got != "{4}\n" || w.Written() != 3 || w.Lost() != 1 {
		t.Errorf("got %q, written %d, lost %d", got, w.Written(), w.Lost())
	}
	if err := w.Close(); err == nil {
		t.Error("the loss is not told")
	}
}

// A full disk is counted and told in the end; what fits again is written.
func TestFullDisk(t *testing.T) {
	d := &fullDisk{left: 8}
	w := NewWriter(d, true)
	for range 4 {
		w.put([]byte("{123}\n"))
	}
	if err := w.Close(); !errors.Is(err, errNoSpace) || w.Written() != 1 || w.Lost() != 3 {
		t.Errorf("%v, written %d, lost %d", err, w.Written(), w.Lost())
	}
}

var errNoSpace = errors.New("no space left")

type fullDisk struct{ left int }

func (d *fullDisk) Write(b []byte) (int, error) {
	if len(b) > d.left {
		return 0, errNoSpace
	}
	d.left -= len(b)
	return len(b), nil
}

func (d *fullDisk) Close() error { return nil }
