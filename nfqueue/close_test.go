package nfqueue

import (
	"errors"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"github.com/garita/garita/packet"
)

// blocked tells when a thread of ours sleeps in recvmmsg on a netlink
// socket, so that a test need not guess when Receive blocks.
func blocked(t *testing.T) bool {
	t.Helper()
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		if w, err := os.ReadFile("/proc/self/task/" + task.Name() + "/wchan"); err == nil && string(w) == "__skb_wait_for_more_packets" {
			return true
		}
		if s, err := os.ReadFile("/proc/self/task/" + task.Name() + "/syscall"); err == nil && len(s) > 4 && string(s[:4]) == "299 " {
			return true
		}
	}
	return false
}

func TestCloseWakesReceive(t *testing.T) {
	needKernel(t)
	for range 200 {
		q, err := Open(Config{Queue: 2, Burst: 4, CopyRange: 64})
		if err != nil {
			t.Fatal(err)
		}
		got := make(chan error)
		go func() {
			_, err := q.Receive(make([]packet.Packet, 4))
			got <- err
		}()
		if err := q.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-got; err != net.ErrClosed {
			t.Fatal(err)
		}
		if err := q.Close(); err != net.ErrClosed {
			t.Fatal(err)
		}
		if _, err := q.Receive(make([]packet.Packet, 1)); err != net.ErrClosed {
			t.Fatal(err)
		}
		if err := q.Verdict(make([]packet.Packet, 1)); err != net.ErrClosed {
			t.Fatal(err)
		}
		if err := q.Drain(); err != net.ErrClosed {
			t.Fatal(err)
		}
	}
}

// TestCloseAtOnce closes a queue whose Receive is asleep for sure.
func TestCloseAtOnce(t *testing.T) {
	needKernel(t)
	q := open(t, Config{Queue: 2})
	got := make(chan error)
	go func() {
		_, err := q.Receive(make([]packet.Packet, 4))
		got <- err
	}()
	until(t, "Receive to block", func() bool { return blocked(t) })
	start := time.Now()
	q.Close()
	if err := <-got; err != net.ErrClosed {
		t.Fatal(err)
	}
	t.Log("closed in", time.Since(start))
	if d := time.Since(start); d > patience/10 {
		t.Error("Close took", d)
	}
}

// TestCloseUnderTraffic closes while packets flow and verdicts of held packets
// are sent from elsewhere; the race detector and the kernel's file table watch.
func TestCloseUnderTraffic(t *testing.T) {
	needKernel(t)
	server := listenUDP(t, "127.0.0.1")
	divert(t, rule{hook: nftables.ChainHookOutput, proto: unix.IPPROTO_UDP, port: portOf(server), queue: 3, bypass: true})
	client := dialUDP(t, server.LocalAddr())
	stop := make(chan struct{})
	var sending sync.WaitGroup
	sending.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				client.Write([]byte("x"))
			}
		}
	})
	for range 20 {
		q, err := Open(Config{Queue: 3})
		if err != nil {
			t.Fatal(err)
		}
		var working sync.WaitGroup
		first := make(chan struct{})
		working.Go(func() {
			pkts := make([]packet.Packet, 8)
			for once := false; ; once = true {
				n, err := q.Receive(pkts)
				if err == net.ErrClosed {
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
				for i := range pkts[:n] {
					pkts[i].Verdict = packet.Accept()
					if i%3 == 0 {
						h, err := q.Hold(&pkts[i], time.Now().Add(time.Duration(i)*time.Microsecond))
						if err == nil && i%2 == 0 {
							working.Go(func() {
								if err := h.Decide(packet.Accept()); err != nil && err != ErrDecided && err != net.ErrClosed {
									t.Error(err)
								}
							})
						}
					}
				}
				if err := q.Verdict(pkts[:n]); err != nil && err != net.ErrClosed {
					t.Error(err)
				}
				if !once {
					close(first)
				}
			}
		})
		<-first
		q.Stats()
		if err := q.Close(); err != nil {
			t.Error(err)
		}
		working.Wait()
		if s := q.Stats(); s.Held != 0 || s.Foreign != 0 || s.Malformed != 0 || s.Refused != 0 {
			t.Errorf("%+v", s)
		}
	}
	close(stop)
	sending.Wait()
}

// TestDrain answers everything that waits and loses nothing.
func TestDrain(t *testing.T) {
	needKernel(t)
	server := listenUDP(t, "127.0.0.1")
	q := open(t, Config{Queue: 3, Burst: 5})
	divert(t, rule{hook: nftables.ChainHookOutput, proto: unix.IPPROTO_UDP, port: portOf(server), queue: 3})
	client := dialUDP(t, server.LocalAddr())
	const total = 33
	for range total {
		client.Write([]byte("x"))
	}
	if err := q.Drain(); err != nil {
		t.Fatal(err)
	}
	pkts := make([]packet.Packet, 64)
	for {
		n, err := q.Receive(pkts)
		if errors.Is(err, net.ErrClosed) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		for i := range pkts[:n] {
			pkts[i].Verdict = packet.Accept()
		}
		if err := q.Verdict(pkts[:n]); err != nil {
			t.Fatal(err)
		}
	}
	for range total {
		expect(t, server)
	}
	if s := q.Stats(); s.Accepted != total || s.Kernel.Waiting != 0 {
		t.Errorf("%+v", s)
	}
}
