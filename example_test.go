package garita_test

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"github.com/garita/garita"
	"github.com/garita/garita/divert"
	"github.com/garita/garita/nfqueue"
	"github.com/garita/garita/packet"
)

// A program that judges packets by itself: nobody telnets through this host.
func ExampleRun() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := garita.Run(ctx, garita.Config{
		Divert: divert.Spec{Hooks: []packet.Hook{packet.Forward}},
		Handler: func(p *packet.Packet) packet.Verdict {
			if p.Proto() == packet.ProtoTCP && p.DstPort() == 23 {
				return packet.Drop("no-telnet")
			}
			return packet.Accept()
		},
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

// The queue alone, with bursts and no allocation: for rules of your own such
// as `iptables -A INPUT -p icmp -j NFQUEUE --queue-num 5`.
func Example_queue() {
	q, err := nfqueue.Open(nfqueue.Config{Queue: 5})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	defer q.Close()
	ps := make([]packet.Packet, q.Info().Burst)
	for {
		n, err := q.Receive(ps)
		if err != nil {
			return // net.ErrClosed after Close
		}
		for i := range ps[:n] {
			p := &ps[i]
			p.Decode()
			if h, ok := p.IP(); ok && h.TTL() == 1 {
				p.Verdict = packet.Drop("too-far")
				continue
			}
			p.Verdict = packet.Accept()
		}
		if err := q.Verdict(ps[:n]); err != nil {
			return
		}
	}
}
