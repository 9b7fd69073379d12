package garita

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/garita/garita/detect"
	"github.com/garita/garita/packet"
)

// copies is a source that delivers frames and then waits to be closed, as a
// log group does.
type copies struct {
	script
	lost   uint64
	once   sync.Once
	closed chan struct{}
}

func (c *copies) Receive(ps []packet.Packet) (int, error) {
	n, err := c.script.Receive(ps)
	if err == io.EOF {
		<-c.closed
		return 0, net.ErrClosed
	}
	return n, err
}

func (c *copies) Close() error {
	err := error(net.ErrClosed)
	c.once.Do(func() { close(c.closed); err = nil })
	return err
}

func (c *copies) Counts() (received, lost uint64) { return uint64(c.next), c.lost }

func copiesOf(lost uint64, fs ...frame) *copies {
	c := &copies{script: script{live: true}, lost: lost, closed: make(chan struct{})}
	for _, f := range fs {
		c.frames = append(c.frames, build(f))
	}
	return c
}

// TestWatch: rules that drop and reject alert on copies, and nothing is said to
// be dropped; sources are judged side by side and closed at the end.
func TestWatch(t *testing.T) {
	var mu sync.Mutex
	var seen []uint32
	blocked := 0
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	udp := func(sport uint16, text string) frame {
		return frame{proto: packet.ProtoUDP, sport: sport, payload: text}
	}
	a := copiesOf(3, udp(1001, "evil"), udp(1002, "good"))
	b := copiesOf(4, udp(2001, "wicked"))
	e, err := NewWatch(Config{Rules: Rules{Text: []string{
		`drop udp any any -> any any (msg:"evil"; content:"evil"; sid:1;)`,
		`reject udp any any -> any any (msg:"wicked"; content:"wicked"; sid:2;)`,
		`alert udp any any -> any any (msg:"good"; content:"good"; sid:3;)`,
	}}}, WatchConfig{OnAlert: func(_ *packet.Packet, al *detect.Alert) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, al.Info.Sid)
		if al.Blocked {
			blocked++
		}
		if len(seen) == 3 {
			cancel()
		}
	}}, a, b)
	if err != nil {
		t.Fatal(err)
	}
	if len(e.Loaded().Problems) > 0 {
		t.Fatal(e.Loaded().Problems[0])
	}
	if err := e.Run(ctx); err != nil {
		t.Fatal(err)
	}
	s := e.Stats()
	if len(seen) != 3 || blocked != 0 || s.Alerts != 3 || s.Packets != 3 || s.Dropped != 0 || s.Rejects != 0 || e.Lost() != 7 {
		t.Errorf("alerts %v, %d blocked, %d lost, %+v", seen, blocked, e.Lost(), s)
	}
	for _, c := range []*copies{a, b} {
		for _, v := range c.got {
			if v.Dropped() {
				t.Errorf("a copy got the verdict %+v", v)
			}
		}
		if c.Close() == nil {
			t.Error("a source was left open")
		}
	}
	if _, err := NewWatch(Config{}, WatchConfig{}); err == nil {
		t.Error("watching nothing is no error")
	}
}
