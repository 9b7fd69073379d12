package nfqueue

import (
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/garita/garita/packet"
)

// take receives and decodes exactly want packets.
func take(t testing.TB, q *Queue, want int) []packet.Packet {
	t.Helper()
	stuck := time.AfterFunc(patience, func() { q.Close() })
	defer stuck.Stop()
	var all []packet.Packet
	for len(all) < want {
		pkts := make([]packet.Packet, min(want-len(all), q.Info().Burst))
		n, err := q.Receive(pkts)
		if err != nil {
			t.Fatal(err)
		}
		for i := range pkts[:n] {
			if pkts[i].Verdict != (packet.Verdict{}) || pkts[i].Edited() {
				t.Fatal("a received packet is not fresh")
			}
			pkts[i].Decode()
		}
		all = append(all, pkts[:n]...)
		if len(all) < want {
			// Borrowed bytes do not survive the next Receive.
			for i := range all {
				all[i].Data = append([]byte(nil), all[i].Data...)
			}
		}
	}
	return all
}

var outputUDP = rule{hook: nftables.ChainHookOutput, proto: unix.IPPROTO_UDP}

// through makes a queue on the way to a server.
func through(t testing.TB, ip string, cfg Config, more ...rule) (q *Queue, client, server *net.UDPConn) {
	t.Helper()
	needKernel(t)
	server = listenUDP(t, ip)
	q = open(t, cfg)
	r := outputUDP
	r.port, r.queue = portOf(server), cfg.Queue
	for i := range more {
		if more[i].port == 0 {
			more[i].port = r.port
		}
	}
	divert(t, append(more, r)...)
	return q, dialUDP(t, server.LocalAddr()), server
}

func TestKinds(t *testing.T) {
	const mark = 0x1234
	for _, ip := range []string{"127.0.0.1", "::1"} {
		t.Run(ip, func(t *testing.T) {
			needKernel(t)
			server := listenUDP(t, ip)
			port := portOf(server)
			q := open(t, Config{Queue: 10})
			next := open(t, Config{Queue: 11})
			late := open(t, Config{Queue: 12})
			other := open(t, Config{Queue: 13})
			base := rule{hook: nftables.ChainHookOutput, proto: unix.IPPROTO_UDP, port: port}
			first, second, marked := base, base, base
			first.queue, first.before = 10, markIs(expr.CmpOpNeq, mark)
			second.queue = 12 // what goes on after the hook function that queued it
			marked.hook, marked.queue, marked.before = nftables.ChainHookInput, 13, markIs(expr.CmpOpEq, mark)
			divert(t, first, second, marked)
			client := dialUDP(t, server.LocalAddr())

			send := func(v packet.Verdict) {
				t.Helper()
				client.Write([]byte("x"))
				p := take(t, q, 1)
				p[0].Verdict = v
				if err := q.Verdict(p); err != nil {
					t.Fatal(err)
				}
			}
			pass := func(q *Queue, what string, mark uint32) {
				t.Helper()
				p := take(t, q, 1)
				if p[0].Mark != mark {
					t.Errorf("%s: mark %#x, want %#x", what, p[0].Mark, mark)
				}
				p[0].Verdict = packet.Accept()
				if err := q.Verdict(p); err != nil {
					t.Fatal(err)
				}
			}
			arrived := func(what string) {
				t.Helper()
				if got := expect(t, server); got != "x" {
					t.Fatalf("%s: got %q", what, got)
				}
			}

			send(packet.Accept())
			pass(late, "accept meets the next hook function", 0)
			arrived("accept")

			send(packet.Stop())
			arrived("stop skips the next hook function")

			send(packet.Accept().WithMark(mark))
			pass(late, "accept with mark", mark)
			pass(other, "at another hook", mark)
			arrived("mark")

			send(packet.Repeat(mark)) // its rule does not match any more
			pass(late, "repeat", mark)
			pass(other, "repeat", mark)
			arrived("repeat")

			send(packet.ToQueue(11, false))
			pass(next, "to queue", 0)
			pass(late, "goes on after the hook function that queued it first", 0)
			arrived("queue")

			send(packet.ToQueue(999, true))
			pass(late, "bypass", 0)
			arrived("bypass")

			send(packet.ToQueue(999, false)) // nobody there: dropped
			send(packet.Drop("test"))
			send(packet.Accept())
			pass(late, "after drops", 0)
			arrived("after drops")

			s := q.Stats()
			if s.Accepted != 3 || s.Stopped != 1 || s.Repeated != 1 || s.Requeued != 3 || s.Dropped != 1 || s.Unknown+s.Refused != 0 {
				t.Errorf("%+v", s)
			}
			for _, o := range []*Queue{next, late, other} {
				if k := o.Stats().Kernel; k.Waiting != 0 {
					t.Errorf("%+v", k)
				}
			}
		})
	}
}

// TestFailureVerdict: what is not decided, or cannot be, is the failure
// verdict, and everything is answered.
func TestFailureVerdict(t *testing.T) {
	for _, fail := range []packet.Verdict{{}, packet.Accept()} {
		t.Run(fmt.Sprint("kind ", fail.Kind), func(t *testing.T) {
			q, client, server := through(t, "127.0.0.1", Config{Queue: 14, Failure: fail})
			for _, s := range []string{"undecided", "repeat", "nonsense", "good"} {
				client.Write([]byte(s))
			}
			p := take(t, q, 4)
			p[1].Verdict = packet.Verdict{Kind: packet.KindRepeat}
			p[2].Verdict = packet.Verdict{Kind: 77}
			p[3].Verdict = packet.Accept()
			err := q.Verdict(p)
			var ve *VerdictError
			if !errors.As(err, &ve) || !errors.Is(err, ErrRepeatUnmarked) || ve.ID != 2 || ve.Queue != 14 {
				t.Error(err)
			}
			want := []string{"good"}
			if fail.Kind == packet.KindAccept {
				want = []string{"undecided", "repeat", "nonsense", "good"}
			}
			for _, w := range want {
				if got := expect(t, server); got != w {
					t.Errorf("got %q, want %q", got, w)
				}
			}
			for i := range p[:3] {
				if v := p[i].Verdict; v.Kind == packet.Undecided || v.Reason != packet.ReasonFailure {
					t.Errorf("packet %d: %+v", i, v)
				}
			}
			s := q.Stats()
			if s.Failures != 3 || s.Accepted+s.Dropped != 4 || s.Kernel.Waiting != 0 {
				t.Errorf("%+v", s)
			}
		})
	}
}

// TestRewrite changes a payload over IPv4 and IPv6, to the same length, to a
// longer and to a shorter one.
func TestRewrite(t *testing.T) {
	for _, ip := range []string{"127.0.0.1", "::1"} {
		for _, text := range []string{"blue", "a good deal longer than before", "b"} {
			t.Run(ip+" "+text, func(t *testing.T) {
				q, client, server := through(t, ip, Config{Queue: 15})
				client.Write([]byte("red!"))
				client.Write([]byte("plain"))
				client.Write([]byte("red?"))
				p := take(t, q, 3)
				for i := range p {
					p[i].Verdict = packet.Accept()
					if string(p[i].Payload()[:3]) != "red" {
						continue
					}
					if err := p[i].SetPayload([]byte(text)); err != nil {
						t.Fatal(err)
					}
					if !p[i].Edited() {
						t.Fatal("not marked as edited")
					}
				}
				if err := q.Verdict(p); err != nil {
					t.Fatal(err)
				}
				for _, want := range []string{text, "plain", text} {
					if got := expect(t, server); got != want {
						t.Errorf("got %q, want %q", got, want)
					}
				}
				if s := q.Stats(); s.Rewritten != 2 || s.Accepted != 3 || s.Refused+s.Unknown != 0 {
					t.Errorf("%+v", s)
				}
			})
		}
	}
}

// TestRewriteRefused: a cut packet must not be written back.
func TestRewriteRefused(t *testing.T) {
	q, client, server := through(t, "127.0.0.1", Config{Queue: 16, CopyRange: 40, Failure: packet.Accept()})
	text := "0123456789012345678901234567890123456789"
	client.Write([]byte(text))
	p := take(t, q, 1)
	if p[0].Attrs&packet.Truncated == 0 || p[0].FullLen != 28+40 || len(p[0].Data) != 40 {
		t.Errorf("attrs %b, %d of %d bytes", p[0].Attrs, len(p[0].Data), p[0].FullLen)
	}
	v := p[0]
	p[0].Verdict = packet.Accept()
	ip, ok := p[0].IP()
	if !ok {
		t.Fatal("no IP header")
	}
	if err := ip.SetTTL(9); err == nil {
		t.Error("a cut packet can be edited")
	}
	p[0].Attrs &^= packet.Truncated // even if the packet did not know
	if err := ip.SetTTL(9); err != nil {
		t.Fatal(err)
	}
	p[0].Attrs |= packet.Truncated
	if err := q.Verdict(p); !errors.Is(err, ErrEditTruncated) {
		t.Error(err)
	}
	if got := expect(t, server); got != text {
		t.Errorf("got %q", got)
	}
	if s := q.Stats(); s.Truncated != 1 || s.Failures != 1 || s.Rewritten != 0 || s.Bytes != uint64(v.FullLen) {
		t.Errorf("%+v", s)
	}
}

// TestBatches judges bursts of every pattern of accept, drop and mark that
// matters to the grouping into batch verdicts, and checks each packet's fate.
func TestBatches(t *testing.T) {
	q, client, server := through(t, "127.0.0.1", Config{Queue: 17, Burst: 64})
	for _, pattern := range []string{
		"a", "d", "aa", "dd", "ad", "da", "aad", "add", "ada", "dad", "aamaa", "maam", "mmm", "ddamdda", "aaaaaaaaaaaaaaaadaaaaaaaaaaaaaaa", "udau",
	} {
		for i := range pattern {
			fmt.Fprintf(client, "%s %d", pattern, i)
		}
		p := take(t, q, len(pattern))
		for i := range p {
			switch pattern[i] {
			case 'a':
				p[i].Verdict = packet.Accept()
			case 'd':
				p[i].Verdict = packet.Drop("test")
			case 'm':
				p[i].Verdict = packet.Accept().WithMark(5)
			case 'u': // the failure verdict is a drop
			}
		}
		if err := q.Verdict(p); err != nil {
			t.Fatal(err)
		}
		for i, c := range pattern {
			if c == 'd' || c == 'u' {
				continue
			}
			if got, want := expect(t, server), fmt.Sprintf("%s %d", pattern, i); got != want {
				t.Fatalf("got %q, want %q", got, want)
			}
		}
		if k := q.Stats().Kernel; k.Waiting != 0 {
			t.Fatalf("%s: %+v", pattern, k)
		}
	}
	if s := q.Stats(); s.Unknown+s.Refused != 0 {
		t.Errorf("%+v", s)
	}
}

// TestPartialBursts: answers out of turn and in parts reach the right packets.
func TestPartialBursts(t *testing.T) {
	q, client, server := through(t, "127.0.0.1", Config{Queue: 18})
	for i := range 8 {
		fmt.Fprint(client, i)
	}
	p := take(t, q, 8)
	for i := range p {
		p[i].Verdict = packet.Accept()
	}
	p[0].Verdict = packet.Drop("test")
	if err := q.Verdict(p[5:8]); err != nil { // older ones wait: no batch may touch them
		t.Fatal(err)
	}
	if w := q.Stats().Kernel.Waiting; kernelKnown(t, q) && w != 5 {
		t.Errorf("%d packets wait, want 5", w)
	}
	p[1], p[4] = p[4], p[1] // and not in the kernel's order
	if err := q.Verdict(p[:5]); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"5", "6", "7", "4", "2", "3", "1"} {
		if got := expect(t, server); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if s := q.Stats(); s.Unknown != 0 || s.Kernel.Waiting != 0 || s.Accepted != 7 || s.Dropped != 1 {
		t.Errorf("%+v", s)
	}
}

// TestUnknown answers packets twice, which must be counted and harm nothing.
func TestUnknown(t *testing.T) {
	q, client, server := through(t, "127.0.0.1", Config{Queue: 19})
	client.Write([]byte("1"))
	p := take(t, q, 1)
	p[0].Verdict = packet.Accept()
	for range 3 {
		if err := q.Verdict(p); err != nil {
			t.Fatal(err)
		}
	}
	expect(t, server)
	client.Write([]byte("2"))
	p = take(t, q, 1) // the replies come first
	p[0].Verdict = packet.Accept()
	if err := q.Verdict(p); err != nil {
		t.Fatal(err)
	}
	expect(t, server)
	if s := q.Stats(); s.Unknown != 2 || s.Received != 2 {
		t.Errorf("%+v", s)
	}
}

// TestSplit sends more verdicts than the send buffer takes at once, with large
// payloads among them.
func TestSplit(t *testing.T) {
	server := listenUDP(t, "127.0.0.1")
	q := open(t, Config{Queue: 20, Burst: 256})
	r := outputUDP
	r.port, r.queue = portOf(server), 20
	divert(t, r)
	q.tx.limit = 2000 // as with a small SO_SNDBUF
	client := dialUDP(t, server.LocalAddr())
	const total = 60 // more than that and the sender may not have waiting
	for i := range total {
		fmt.Fprintf(client, "%d %0*d", i, i*7%1400, 0)
	}
	p := take(t, q, total)
	for i := range p {
		p[i].Verdict = packet.Accept()
		switch i % 3 {
		case 0:
			if err := p[i].SetPayload(fmt.Appendf(nil, "new %d", i)); err != nil {
				t.Fatal(err)
			}
		case 1:
			p[i].Verdict.Mark, p[i].Verdict.SetMark = 7, true
		}
	}
	if err := q.Verdict(p); err != nil {
		t.Fatal(err)
	}
	for i := range total {
		want := fmt.Sprintf("%d %0*d", i, i*7%1400, 0)
		if i%3 == 0 {
			want = fmt.Sprintf("new %d", i)
		}
		if got := expect(t, server); got != want {
			t.Fatalf("%d: got %q", i, got)
		}
	}
	if s := q.Stats(); s.Accepted != total || s.Refused+s.Unknown != 0 || s.Kernel.Waiting != 0 {
		t.Errorf("%+v", s)
	}
}

// TestSendFails: where the kernel refuses a send for its size, every packet
// still gets a verdict.
func TestSendFails(t *testing.T) {
	q, client, server := through(t, "127.0.0.1", Config{Queue: 21, Failure: packet.Accept()})
	if err := unix.SetsockoptInt(q.fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 1); err != nil { // the kernel's minimum
		t.Fatal(err)
	}
	big := make([]byte, 9000)
	for range 3 {
		client.Write(big)
	}
	client.Write([]byte("small"))
	p := take(t, q, 4)
	for i := range p {
		p[i].Verdict = packet.Accept()
	}
	if err := p[1].SetPayload(append([]byte("new"), big[3:]...)); err != nil {
		t.Fatal(err)
	}
	if err := q.Verdict(p); err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		got := expect(t, server)
		if i < 3 && got != string(big) || i == 3 && got != "small" {
			t.Errorf("%d: %d bytes arrived", i, len(got))
		}
	}
	if s := q.Stats(); s.Failures != 1 || s.Kernel.Waiting != 0 {
		t.Errorf("%+v", s)
	}
}
