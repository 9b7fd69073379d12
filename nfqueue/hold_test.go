package nfqueue

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/garita/garita/packet"
)

// TestHoldThousand holds 1,000 packets for 50 ms each, with deadlines in an
// order that is not that of arrival, while others pass. On a machine that
// cannot even send them in that time (an emulated one) they are held longer.
func TestHoldThousand(t *testing.T) {
	for _, d := range []time.Duration{50 * time.Millisecond, 2 * time.Second, 20 * time.Second} {
		inTime := false
		t.Run(d.String(), func(t *testing.T) { inTime = holdThousand(t, d) })
		if inTime || t.Failed() {
			return
		}
	}
	t.Error("too slow to tell anything")
}

// holdThousand returns false if the first deadline passed before the last
// packet was held, which says nothing about order.
func holdThousand(t *testing.T, hold time.Duration) (inTime bool) {
	const total = 1000
	q, client, server := through(t, "127.0.0.1", Config{Queue: 50})
	base := make(chan time.Time, 1)
	worker := make(chan error, 1)
	go func() {
		pkts := make([]packet.Packet, 32)
		var from time.Time
		for {
			n, err := q.Receive(pkts)
			if err != nil {
				worker <- err
				return
			}
			if from.IsZero() {
				from = time.Now()
				base <- from
			}
			for i := range pkts[:n] {
				p := &pkts[i]
				p.Decode()
				k, err := strconv.Atoi(string(p.Payload()))
				if err != nil {
					p.Verdict = packet.Accept() // the others
					continue
				}
				// Neighbours swap places: 1 0 3 2 5 4 …, a tenth of a millisecond apart.
				at := from.Add(hold + time.Duration(k^1)*100*time.Microsecond)
				if _, err := q.Delay(p, at, packet.Accept()); err != nil {
					worker <- err
					return
				}
			}
			if err := q.Verdict(pkts[:n]); err != nil {
				worker <- err
				return
			}
		}
	}()
	// A sender may have only so much waiting: more senders than one.
	var clients []*net.UDPConn
	for range 10 {
		clients = append(clients, dialUDP(t, server.LocalAddr()))
	}
	passed := 0
	var held []int
	var slowest time.Duration
	var start time.Time
	arrive := func(want string) {
		for {
			s := expect(t, server)
			if s == want {
				return
			}
			k, err := strconv.Atoi(s)
			if err != nil {
				t.Fatalf("got %q", s)
			}
			if at := start.Add(hold + time.Duration(k^1)*100*time.Microsecond); time.Now().Before(at) {
				t.Errorf("%d came %v early", k, time.Until(at))
			}
			held = append(held, k)
		}
	}
	for k := range total {
		fmt.Fprint(clients[k%len(clients)], k)
		if k == 0 {
			start = <-base
		}
		if k%50 == 0 { // in the midst of the held ones
			begin := time.Now()
			client.Write([]byte("other"))
			arrive("other")
			passed++
			slowest = max(slowest, time.Since(begin))
		}
	}
	until(t, "all to be held", func() bool { return q.Stats().HeldTotal == total })
	inTime = time.Now().Before(start.Add(hold))
	for len(held) < total {
		k, err := strconv.Atoi(expect(t, server))
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, k)
	}
	for i, k := range held {
		if inTime && k != i^1 {
			t.Fatalf("place %d: packet %d, want %d", i, k, i^1)
		}
	}
	until(t, "nothing to be held", func() bool { return q.Stats().Held == 0 })
	s := q.Stats()
	if s.Accepted != uint64(total+passed) || s.HoldDeadline != 0 || s.Unknown != 0 || s.Kernel.Waiting != 0 {
		t.Errorf("%+v", s)
	}
	t.Logf("%d others passed, the slowest in %v", passed, slowest)
	q.Close()
	if err := <-worker; err != net.ErrClosed {
		t.Fatal(err)
	}
	return inTime
}

// TestHoldDecide decides from other goroutines, once each, with an edit.
func TestHoldDecide(t *testing.T) {
	q, client, server := through(t, "127.0.0.1", Config{Queue: 51, Failure: packet.Drop("late")})
	for _, s := range []string{"one", "two", "six"} {
		client.Write([]byte(s))
	}
	p := take(t, q, 3)
	far := time.Now().Add(time.Hour)
	var held []*Held
	for i := range p[:2] {
		h, err := q.Hold(&p[i], far)
		if err != nil {
			t.Fatal(err)
		}
		if p[i].Verdict.Kind != packet.KindHeld {
			t.Error("not marked as held")
		}
		held = append(held, h)
	}
	p[2].Verdict = packet.Accept()
	if err := q.Verdict(p); err != nil {
		t.Fatal(err)
	}
	if got := expect(t, server); got != "six" { // which must not have swept the older ones along
		t.Fatalf("got %q", got)
	}
	client.Write([]byte("ten"))
	p = take(t, q, 1) // and the borrowed bytes are gone
	p[0].Verdict = packet.Accept()
	if err := q.Verdict(p); err != nil {
		t.Fatal(err)
	}
	if got := expect(t, server); got != "ten" {
		t.Fatalf("got %q", got)
	}
	if s := q.Stats(); s.Held != 2 || kernelKnown(t, q) && s.Kernel.Waiting != 2 {
		t.Errorf("%+v", s)
	}
	if got := string(held[1].Packet.Payload()); got != "two" {
		t.Errorf("held payload %q", got)
	}
	if err := held[1].Packet.SetPayload([]byte("TWO")); err != nil {
		t.Fatal(err)
	}
	errs := make([]error, 8)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { errs[i] = held[1].Decide(packet.Accept()) })
	}
	wg.Wait()
	if n := slices.Index(errs, nil); n < 0 {
		t.Error("nobody decided")
	} else {
		for i, err := range errs {
			if i != n && err != ErrDecided {
				t.Errorf("%d: %v", i, err)
			}
		}
	}
	if got := expect(t, server); got != "TWO" {
		t.Errorf("got %q", got)
	}
	if err := held[0].Decide(packet.Verdict{Kind: packet.KindRepeat}); !errors.Is(err, ErrRepeatUnmarked) {
		t.Error(err)
	}
	if s := q.Stats(); s.Held != 0 || s.HeldTotal != 2 || s.Dropped != 1 || s.Rewritten != 1 || s.Kernel.Waiting != 0 || s.Unknown != 0 {
		t.Errorf("%+v", s)
	}
}

// TestHoldLimits: deadline, budget and Close give the failure verdict.
func TestHoldLimits(t *testing.T) {
	q, client, server := through(t, "127.0.0.1", Config{Queue: 52, Failure: packet.Accept(), HoldBytes: 1500})
	big := string(make([]byte, 1000))
	for _, s := range []string{"a", big + "b", "c"} {
		client.Write([]byte(s))
	}
	p := take(t, q, 3)
	soon, err := q.Hold(&p[0], time.Now().Add(20*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := q.Hold(&p[1], time.Now().Add(time.Hour)); err != ErrHoldBudget {
		t.Errorf("budget: %v", err)
	}
	if v := p[1].Verdict; v.Kind != packet.KindAccept || v.Reason != packet.ReasonMemory {
		t.Errorf("%+v", v)
	}
	last, err := q.Hold(&p[2], time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if err := q.Verdict(p); err != nil {
		t.Fatal(err)
	}
	if got := expect(t, server); got != big+"b" {
		t.Errorf("got %q", got)
	}
	if got := expect(t, server); got != "a" {
		t.Errorf("got %q", got)
	}
	if err := soon.Decide(packet.Drop("x")); err != ErrDecided {
		t.Error(err)
	}
	if v := soon.Packet.Verdict; v.Reason != packet.ReasonDeadline {
		t.Errorf("%+v", v)
	}
	s := q.Stats()
	if s.HoldDeadline != 1 || s.HoldBudget != 1 || s.Failures != 2 || s.Held != 1 {
		t.Errorf("%+v", s)
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	if got := expect(t, server); got != "c" {
		t.Errorf("got %q", got)
	}
	if err := last.Decide(packet.Accept()); err != net.ErrClosed {
		t.Error(err)
	}
	if _, err := q.Hold(&p[2], time.Now()); err != net.ErrClosed {
		t.Error(err)
	}
	if s := q.Stats(); s.Failures != 3 || s.Held != 0 {
		t.Errorf("%+v", s)
	}
}
