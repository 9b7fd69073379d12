package nfqueue

import (
	"errors"
	"testing"
	"time"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"github.com/garita/garita/packet"
)

// TestSetMode changes the mode while packets wait to be read: none of them is
// lost or answered out of turn, and what comes later comes as asked.
func TestSetMode(t *testing.T) {
	needKernel(t)
	server := listenUDP(t, "127.0.0.1")
	q := open(t, Config{Queue: 1, Burst: 4})
	divert(t, rule{hook: nftables.ChainHookOutput, proto: unix.IPPROTO_UDP, port: portOf(server), queue: 1})
	client := dialUDP(t, server.LocalAddr())
	send := func(n int) {
		for range n {
			if _, err := client.Write([]byte("0123456789")); err != nil {
				t.Fatal(err)
			}
		}
	}
	pkts := make([]packet.Packet, 3)
	next := uint32(1)
	read := func(n, length, full int) {
		t.Helper()
		for n > 0 {
			got, err := q.ReceiveUntil(pkts, time.Now().Add(patience))
			if err != nil || got == 0 {
				t.Fatal(got, err)
			}
			for i := range pkts[:got] {
				p := &pkts[i]
				if p.ID != next || len(p.Data) != length || (length > 0 && int(p.FullLen) != full) {
					t.Errorf("packet %d (want %d): %d of %d bytes", p.ID, next, len(p.Data), p.FullLen)
				}
				next++
				p.Verdict = packet.Accept()
			}
			if err := q.Verdict(pkts[:got]); err != nil {
				t.Fatal(err)
			}
			n -= got
		}
	}
	send(10)
	if err := q.SetMode(CopyPacket, 24); err != nil {
		t.Fatal(err)
	}
	send(2)
	read(10, 38, 38)
	read(2, 24, 38)
	if err := q.SetMode(CopyMeta, 0); err != nil {
		t.Fatal(err)
	}
	send(2)
	read(2, 0, 0)
	if err := q.SetMode(CopyPacket, 0); err != nil {
		t.Fatal(err)
	}
	send(1)
	read(1, 38, 38)
	for range 15 {
		expect(t, server)
	}
	began := time.Now()
	if n, err := q.ReceiveUntil(pkts, began.Add(20*time.Millisecond)); n != 0 || err != nil || time.Since(began) < 20*time.Millisecond {
		t.Error("nothing waits:", n, err, time.Since(began))
	}
	if n, err := q.ReceiveUntil(pkts, time.Time{}); n != 0 || err != nil {
		t.Error("a look without waiting:", n, err)
	}
}

// TestReportReplies hears of a verdict for a packet that was never queued.
func TestReportReplies(t *testing.T) {
	needKernel(t)
	q := open(t, Config{Queue: 1, Burst: 1, ReportReplies: true})
	if err := q.Verdict([]packet.Packet{{ID: 77, Verdict: packet.Accept()}}); err != nil {
		t.Fatal(err)
	}
	pkts := make([]packet.Packet, 1)
	n, err := q.ReceiveUntil(pkts, time.Now().Add(patience))
	if n != 0 || !errors.Is(err, unix.ENOENT) {
		t.Errorf("%d, %v; want ENOENT", n, err)
	}
	if s := q.Stats(); s.Unknown != 1 {
		t.Errorf("%+v", s)
	}
}
