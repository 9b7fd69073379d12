package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// forbidden is what the rule drops; lookalike differs from it in one byte.
const (
	forbidden = "forbidden-fruit"
	lookalike = "forbiXden-fruit"
	victimWeb = 80
)

const (
	fin = 1 << iota
	syn
	rst
	psh
	ack
)

// step is one packet of a script.
type step struct {
	what  string
	off   int // where its data lies in the request
	data  []byte
	flags byte
	ackBy int // added to the right acknowledgement
	ttl   byte
	sum   bool // wrong checksum
	stale bool // an old time stamp
	frag  int  // bytes a fragment, 0 for whole
	taken bool // its bytes count: whoever stands on the way cannot know better
}

// script is one connection of the attacker's: what it says, and what became of
// it.
type script struct {
	seed  uint64
	v     int // index into the addresses
	port  uint16
	req   []byte // what it wants to say
	want  []byte // what the victim must get if it is harmless
	steps []step
	ts    bool

	isn uint32

	mu     sync.Mutex
	state  int // 1 after the SYN/ACK
	sisn   uint32
	heard  uint32 // the victim's bytes that came
	acked  int    // bytes of ours that the victim acknowledged
	fins   bool
	resets int
	tsecr  uint32
	news   chan struct{}
}

func (s *script) String() string { return fmt.Sprintf("script of seed %d", s.seed) }

// hear reads a TCP segment of the victim's.
func (s *script) hear(b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	seq, an := binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[8:])
	hl := int(b[12]>>4) * 4
	if hl > len(b) {
		return
	}
	if s.ts && hl >= 32 {
		for o := b[20:hl]; len(o) > 1; {
			if o[0] == 1 {
				o = o[1:]
				continue
			}
			if o[0] == 0 || o[1] < 2 || int(o[1]) > len(o) {
				break
			}
			if o[0] == 8 && o[1] == 10 {
				s.tsecr = binary.BigEndian.Uint32(o[2:])
			}
			o = o[o[1]:]
		}
	}
	switch {
	case b[13]&rst != 0:
		s.resets++
	case b[13]&(syn|ack) == syn|ack:
		if s.state == 0 && an == s.isn+1 {
			s.state, s.sisn = 1, seq
		}
	case s.state == 1 && b[13]&ack != 0:
		if n := int(int32(an - s.isn - 1)); n > s.acked {
			s.acked = n
		}
		n := uint32(len(b) - hl)
		if b[13]&fin != 0 {
			n++
			s.fins = true
		}
		if end := seq + n - s.sisn - 1; int32(end-s.heard) > 0 && int32(seq-s.sisn-1-s.heard) <= 0 {
			s.heard = end
		}
	}
	select {
	case s.news <- struct{}{}:
	default:
	}
}

// wait waits for news until ok or the time is over.
func (s *script) wait(d time.Duration, ok func() bool) bool {
	end := time.After(d)
	for {
		s.mu.Lock()
		good := ok()
		s.mu.Unlock()
		if good {
			return true
		}
		select {
		case <-s.news:
		case <-end:
			return false
		}
	}
}

// other is the request with the forbidden word for its lookalike and the other
// way round.
func other(req []byte) []byte {
	if bytes.Contains(req, []byte(forbidden)) {
		return bytes.Replace(req, []byte(forbidden), []byte(lookalike), 1)
	}
	return bytes.Replace(req, []byte(lookalike), []byte(forbidden), 1)
}

// newScript makes the script of a seed. What the victim must get follows from
// the order of the packets alone: of bytes sent twice the first count, because
// the one at the gateway has let them pass; packets that no receiver takes
// count for nothing.
func newScript(seed uint64, port uint16) *script {
	r := rand.New(rand.NewPCG(seed, 0x6172))
	s := &script{seed: seed, port: port, v: r.IntN(2), isn: r.Uint32(), ts: r.IntN(2) == 0, news: make(chan struct{}, 1)}
	if r.IntN(8) == 0 {
		s.isn = -uint32(r.IntN(150)) // wraps round within the request
	}
	word := lookalike
	if r.IntN(2) == 0 {
		word = forbidden
	}
	pad := func(n int) string { return strings.Repeat("abcdefghijklmnop", 1+n/16)[:n] }
	var req []byte
	if r.IntN(2) == 0 {
		req = fmt.Appendf(nil, "GET /%s HTTP/1.1\r\nHost: victim\r\nX-Pad: %s\r\nX-Word: %s\r\n\r\n", pad(r.IntN(20)), pad(r.IntN(60)), word)
	} else {
		body := pad(r.IntN(100)) + word + pad(r.IntN(40))
		req = fmt.Appendf(nil, "POST /%s HTTP/1.1\r\nHost: victim\r\nContent-Length: %d\r\n\r\n%s", pad(r.IntN(20)), len(body), body)
	}
	at := bytes.Index(req, []byte(word))
	twisted := other(req)

	// The request in segments.
	most := [...]int{1, 1, 8, 100}[r.IntN(4)]
	for off := 0; off < len(req); {
		n := min(1+r.IntN(most), len(req)-off)
		st := step{what: "data", off: off, data: req[off : off+n], flags: ack, taken: true}
		if r.IntN(4) == 0 {
			st.flags |= psh
		}
		s.steps = append(s.steps, st)
		off += n
	}
	switch r.IntN(4) {
	case 0: // in order
	case 1:
		r.Shuffle(len(s.steps), func(i, j int) { s.steps[i], s.steps[j] = s.steps[j], s.steps[i] })
	case 2: // the first comes last
		for i, j := 0, len(s.steps)-1; i < j; i, j = i+1, j-1 {
			s.steps[i], s.steps[j] = s.steps[j], s.steps[i]
		}
	default: // nearly in order
		for i := range s.steps {
			j := min(i+r.IntN(6), len(s.steps)-1)
			s.steps[i], s.steps[j] = s.steps[j], s.steps[i]
		}
	}
	insert := func(st step) {
		i := r.IntN(len(s.steps) + 1)
		s.steps = append(s.steps, step{})
		copy(s.steps[i+1:], s.steps[i:])
		s.steps[i] = st
	}
	for range r.IntN(20) { // copies
		st := s.steps[r.IntN(len(s.steps))]
		st.what = "copy"
		insert(st)
	}
	// Lies, mostly where the word is.
	lies := [...]int{0, 3, 12, 30}[r.IntN(4)]
	for range lies {
		off := max(0, min(at-4+r.IntN(len(word)+4), len(req)-1))
		if r.IntN(4) == 0 {
			off = r.IntN(len(req))
		}
		n := min(1+r.IntN(12), len(req)-off)
		data := append([]byte(nil), twisted[off:off+n]...)
		if r.IntN(3) == 0 {
			for i := range data {
				data[i] = 'A' + byte(r.IntN(26))
			}
		}
		st := step{off: off, data: data, flags: ack}
		switch r.IntN(12) {
		case 0, 1:
			st.what, st.taken = "overlap", true
		case 2:
			st.what, st.ttl, st.taken = "ttl", victimTTL, true
		case 3, 4:
			st.what, st.sum = "checksum", true
		case 5:
			st.what, st.off = "beyond the window", off+1<<20
		case 6:
			st.what, st.off = "before the beginning", off-1<<20
		case 7:
			st.what, st.flags = "no ACK", psh
		case 8:
			st.what, st.ackBy = "wrong ACK", 1<<20
		case 9:
			st.what, st.stale = "old time stamp", true
			if !s.ts {
				st.what, st.sum = "checksum", true
			}
		case 10:
			st.what, st.flags, st.data = "RST far off", rst|ack*byte(r.IntN(2)), nil
			st.off = [...]int{1 << 20, -1 << 20, 1 << 30}[r.IntN(3)]
			if r.IntN(2) == 0 {
				st.what, st.off = "RST in the window", len(req)+1+r.IntN(20000)
			}
		case 11:
			st.what, st.flags, st.data, st.off, st.sum = "RST with a wrong checksum", rst|ack, nil, off, true
			if r.IntN(2) == 0 {
				st.what, st.ttl, st.sum = "RST that dies", victimTTL, false
			}
		}
		insert(st)
	}
	if r.IntN(6) == 0 {
		for i := range s.steps {
			if len(s.steps[i].data) > 0 && r.IntN(8) == 0 {
				s.steps[i].frag = 8 * (1 + r.IntN(2))
			}
		}
	}
	// What counts.
	s.req, s.want = req, append([]byte(nil), req...)
	have := make([]bool, len(req))
	for _, st := range s.steps {
		if !st.taken {
			continue
		}
		// Fragments can not be rewritten: in pieces, bytes that differ from
		// what is there are refused with all that comes with them.
		refused := false
		for i, c := range st.data {
			refused = refused || st.frag > 0 && have[st.off+i] && s.want[st.off+i] != c
		}
		if refused {
			continue
		}
		for i, c := range st.data {
			if o := st.off + i; !have[o] {
				have[o], s.want[o] = true, c
			}
		}
	}
	return s
}

func (s *script) harmless() bool { return !bytes.Contains(s.want, []byte(forbidden)) }

// options are those of a segment; stale ones lie in the past.
func (s *script) options(synFlag, stale bool) []byte {
	var o []byte
	if synFlag {
		o = append(o, 2, 4, 5, 180) // 1460 bytes a segment
	}
	if s.ts {
		v := uint32(1_000_000)
		if stale {
			v -= 500_000
		}
		s.mu.Lock()
		e := s.tsecr
		s.mu.Unlock()
		o = append(o, 1, 1, 8, 10)
		o = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(o, v), e)
	}
	return o
}

// play runs the script and reports whether the victim acknowledged all of it.
func (s *script) play(a *attacker) (bool, error) {
	a.mu.Lock()
	a.tcp[s.port], a.echo[s.port] = s, make(chan uint32, 4)
	a.mu.Unlock()
	defer func() {
		a.mu.Lock()
		delete(a.tcp, s.port)
		delete(a.echo, s.port)
		a.mu.Unlock()
	}()
	src, dst := attackerIP[s.v], victimIP[s.v]
	send := func(st *step) error {
		s.mu.Lock()
		ackNo := s.sisn + 1 + s.heard
		s.mu.Unlock()
		sp := tcpSpec{seq: s.isn + 1 + uint32(st.off), ack: ackNo + uint32(st.ackBy), flags: st.flags, win: 60000, data: st.data,
			ttl: st.ttl, wrongSum: st.sum, sport: s.port, dport: victimWeb, opts: s.options(st.flags&syn != 0, st.stale), id: uint16(st.off)}
		if st.flags&ack == 0 {
			sp.ack = 0
		}
		b := sp.packet(src, dst)
		if st.frag == 0 {
			return a.send(b)
		}
		for _, f := range fragments(b, st.frag, rand.Uint32()) {
			if err := a.send(f); err != nil {
				return err
			}
		}
		return nil
	}
	open := false
	for try := 0; try < 20 && !open; try++ {
		if err := send(&step{off: -1, flags: syn}); err != nil {
			return false, err
		}
		open = s.wait(time.Second, func() bool { return s.state == 1 })
	}
	if !open {
		return false, errors.New("no answer to the SYN")
	}
	if err := send(&step{flags: ack}); err != nil {
		return false, err
	}
	count := uint32(0)
	for i := range s.steps {
		if err := send(&s.steps[i]); err != nil {
			return false, err
		}
		if i%24 == 23 || i == len(s.steps)-1 {
			count++
			if err := a.barrier(s.v, s.port, count); err != nil {
				return false, err
			}
		}
	}
	all := func() bool { return s.acked >= len(s.want) }
	// The sender repeats what is not acknowledged, as any would.
	for try := 0; try < 4; try++ {
		if s.wait(60*time.Millisecond, all) {
			break
		}
		s.mu.Lock()
		from := s.acked
		s.mu.Unlock()
		for from < len(s.want) {
			n := min(64, len(s.want)-from)
			// Its own words, not what became of them.
			if err := send(&step{off: from, data: s.req[from : from+n], flags: ack}); err != nil {
				return false, err
			}
			from += n
		}
		count++
		if err := a.barrier(s.v, s.port, count); err != nil {
			return false, err
		}
	}
	done := s.wait(0, all)
	if done {
		s.wait(time.Second, func() bool { return s.heard > 0 })
		if err := send(&step{off: len(s.want), flags: fin | ack}); err != nil {
			return false, err
		}
		s.wait(200*time.Millisecond, func() bool { return s.fins })
		return true, send(&step{off: len(s.want) + 1, flags: ack})
	}
	return false, nil
}

// victim is a server that keeps what it is told.
type victim struct {
	mu  sync.Mutex
	got map[netip.AddrPort]*said
}

type said struct {
	bytes []byte
	conn  net.Conn
	over  bool
}

func (h host) serve(t *testing.T) *victim {
	t.Helper()
	v := &victim{got: map[netip.AddrPort]*said{}}
	var wg sync.WaitGroup
	var closers []io.Closer
	for _, ip := range victimIP {
		var ln net.Listener
		var echo net.PacketConn
		// An address of IPv6 takes a moment to become usable.
		until(t, "the victim to listen", func() bool {
			return h.in(func() (err error) {
				lc := net.ListenConfig{}
				lc.SetMultipathTCP(false)
				if ln, err = lc.Listen(context.Background(), "tcp", netip.AddrPortFrom(ip, victimWeb).String()); err != nil {
					return err
				}
				if echo, err = lc.ListenPacket(context.Background(), "udp", netip.AddrPortFrom(ip, echoPort).String()); err != nil {
					ln.Close()
				}
				return err
			}) == nil
		})
		wg.Go(func() {
			b := make([]byte, 2048)
			for {
				n, from, err := echo.ReadFrom(b)
				if errors.Is(err, net.ErrClosed) {
					return
				}
				if err == nil {
					_, _ = echo.WriteTo(b[:n], from)
				}
			}
		})
		wg.Go(func() {
			for {
				c, err := ln.Accept()
				if errors.Is(err, net.ErrClosed) {
					return
				}
				if err == nil {
					wg.Go(func() { v.listen(c) })
				}
			}
		})
		closers = append(closers, ln, echo)
	}
	t.Cleanup(func() {
		for _, c := range closers {
			c.Close()
		}
		v.mu.Lock()
		for _, s := range v.got {
			s.conn.Close()
		}
		v.mu.Unlock()
		wg.Wait()
	})
	return v
}

func (v *victim) listen(c net.Conn) {
	defer c.Close()
	ap := c.RemoteAddr().(*net.TCPAddr).AddrPort()
	s := &said{conn: c}
	v.mu.Lock()
	v.got[netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())] = s
	v.mu.Unlock()
	b := make([]byte, 4096)
	answered := false
	for {
		n, err := c.Read(b)
		v.mu.Lock()
		s.bytes = append(s.bytes, b[:n]...)
		s.over = err != nil
		ask := bytes.Contains(s.bytes, []byte("\r\n\r\n"))
		v.mu.Unlock()
		if ask && !answered {
			answered = true
			_, _ = c.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
		}
		if err != nil {
			return
		}
	}
}

// of is what a connection's application has been told so far.
func (v *victim) of(ap netip.AddrPort) []byte {
	v.mu.Lock()
	defer v.mu.Unlock()
	if s := v.got[ap]; s != nil {
		return append([]byte(nil), s.bytes...)
	}
	return nil
}

// hangUp ends a connection by reset.
func (v *victim) hangUp(ap netip.AddrPort) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if s := v.got[ap]; s != nil {
		_ = s.conn.(*net.TCPConn).SetLinger(0)
		s.conn.Close()
	}
}

// judgeScript plays a script and says what is wrong with what came of it.
func judgeScript(a *attacker, v *victim, s *script) error {
	done, err := s.play(a)
	if err != nil {
		return err
	}
	ap := netip.AddrPortFrom(attackerIP[s.v], s.port)
	if done {
		// Acknowledged is not yet read.
		for end := time.Now().Add(5 * time.Second); len(v.of(ap)) < len(s.want) && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
		}
	}
	got := v.of(ap)
	v.hangUp(ap)
	switch {
	case bytes.Contains(got, []byte(forbidden)):
		return fmt.Errorf("the victim got the forbidden word:\n%q", got)
	case !s.harmless() && done:
		return fmt.Errorf("the forbidden word was acknowledged; the victim got\n%q", got)
	case !s.harmless() && !bytes.HasPrefix(s.want, got):
		return fmt.Errorf("not what was sent: the victim got\n%q, not the beginning of\n%q", got, s.want)
	case s.harmless() && !bytes.Equal(got, s.want):
		return fmt.Errorf("a harmless request did not arrive as it was: the victim got\n%q, not\n%q", got, s.want)
	}
	return nil
}

// A request cut to pieces, out of order, with copies and lies, through the
// kernel's queue: the victim never gets the forbidden word, and a request
// without it arrives as it was. GARITA_SCRIPTS is how many (1,000 unless
// told), GARITA_SEED plays one seed alone and tells its packets.
func TestEvasion(t *testing.T) {
	l := newLab(t)
	h := newVictim(t, l)
	v := h.serve(t)
	a := newAttacker(t, l)
	ag := start(t, l, "--queues", "1", "--set", "fail.overload=closed", "--rule", `drop tcp any any -> any any (msg:"forbidden"; content:"`+forbidden+`"; sid:1;)`)
	n, seed := 1000, uint64(0)
	if os.Getenv("GARITA_SLOW") != "" {
		n = 50
	}
	if e := os.Getenv("GARITA_SCRIPTS"); e != "" {
		n, _ = strconv.Atoi(e)
	}
	if e := os.Getenv("GARITA_SEED"); e != "" {
		seed, _ = strconv.ParseUint(e, 0, 64)
		n = 1
	}
	began := time.Now()
	var wg sync.WaitGroup
	work := make(chan int)
	var mu sync.Mutex
	harmless, wrong, packets := 0, 0, 0
	for range 8 {
		wg.Go(func() {
			for i := range work {
				s := newScript(seed+uint64(i), uint16(10000+i%50000))
				err := judgeScript(a, v, s)
				mu.Lock()
				packets += len(s.steps)
				if s.harmless() {
					harmless++
				}
				if err != nil {
					if wrong++; wrong <= 5 {
						t.Errorf("GARITA_SEED=%d: %v", s.seed, err)
						if n == 1 {
							for _, st := range s.steps {
								t.Logf("%+v %q", st, st.data)
							}
						}
					}
				}
				mu.Unlock()
			}
		})
	}
	for i := range n {
		work <- i
	}
	close(work)
	wg.Wait()
	out := ag.stop(t)
	if wrong > 0 {
		t.Errorf("%d of %d scripts", wrong, n)
	}
	if n > 100 && (harmless < n/5 || harmless > n*4/5) {
		t.Errorf("%d of %d scripts are harmless: the others say little", harmless, n)
	}
	got, _, dropped := summary(t, out)
	t.Logf("%d scripts, %d harmless, %d packets in %v; garita got %d and dropped %d", n, harmless, packets, time.Since(began).Round(time.Millisecond), got, dropped)
}
