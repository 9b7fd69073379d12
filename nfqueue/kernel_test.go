package nfqueue

import (
	"testing"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"github.com/garita/garita/packet"
)

// TestAcceptDrop sends datagrams over IPv4 and IPv6 through every hook of the
// loopback and judges them by their text.
func TestAcceptDrop(t *testing.T) {
	hooks := []struct {
		name string
		nft  *nftables.ChainHook
		hook packet.Hook
	}{
		{"prerouting", nftables.ChainHookPrerouting, packet.Prerouting},
		{"input", nftables.ChainHookInput, packet.Input},
		{"output", nftables.ChainHookOutput, packet.Output},
		{"postrouting", nftables.ChainHookPostrouting, packet.Postrouting},
	}
	for _, ip := range []string{"127.0.0.1", "::1"} {
		for _, h := range hooks {
			t.Run(h.name+" "+ip, func(t *testing.T) {
				needKernel(t)
				server := listenUDP(t, ip)
				q := open(t, Config{Queue: 1})
				divert(t, rule{hook: h.nft, proto: unix.IPPROTO_UDP, port: portOf(server), queue: 1})
				client := dialUDP(t, server.LocalAddr())
				for _, text := range []string{"bad", "good", "bad", "last"} {
					client.Write([]byte(text))
				}
				pkts := make([]packet.Packet, 16)
				for seen := 0; seen < 4; {
					n, err := q.Receive(pkts)
					if err != nil {
						t.Fatal(err)
					}
					for i := range pkts[:n] {
						p := &pkts[i]
						seen++
						if p.ID != uint32(seen) || p.Hook != h.hook || p.Queue != 1 {
							t.Errorf("id %d hook %d queue %d", p.ID, p.Hook, p.Queue)
						}
						p.Verdict = packet.Accept()
						if string(p.Data[len(p.Data)-3:]) == "bad" {
							p.Verdict = packet.Drop("test")
						}
					}
					if err := q.Verdict(pkts[:n]); err != nil {
						t.Fatal(err)
					}
				}
				if a, b := expect(t, server), expect(t, server); a != "good" || b != "last" {
					t.Errorf("got %q and %q", a, b)
				}
				s := q.Stats()
				if s.Received != 4 || s.Accepted != 2 || s.Dropped != 2 || s.Unknown != 0 {
					t.Errorf("%+v", s)
				}
				if kernelKnown(t, q) && (s.Kernel.LastID != 4 || s.Kernel.PortID != q.Info().PortID) {
					t.Errorf("%+v", s.Kernel)
				}
			})
		}
	}
}
