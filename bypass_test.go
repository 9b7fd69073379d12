package garita

import (
	"errors"
	"io"
	"testing"

	"github.com/garita/garita/packet"
)

// A flow that a rule lets go is judged no more, and its accepted packets carry
// the mark by which the kernel keeps it out of the queue; others are as before.
func TestBypass(t *testing.T) {
	rules := `alert udp any any -> any any (content:"enough"; bypass; sid:1;)
drop udp any any -> any any (content:"evil"; sid:2;)`
	udp := func(sport uint16, s string) frame { return frame{proto: packet.ProtoUDP, sport: sport, payload: s} }
	frames := []frame{udp(1, "begin"), udp(1, "enough"), udp(1, "evil"), {proto: packet.ProtoUDP, sport: 1, back: true, payload: "evil"}, udp(2, "evil")}
	for _, mark := range []uint32{0, 0x04000000} {
		s := &script{live: true}
		for _, f := range frames {
			s.frames = append(s.frames, build(f))
		}
		e, err := newEngine(Config{Rules: Rules{Text: []string{rules}}}, true)
		if err != nil {
			t.Fatal(err)
		}
		if !e.wantsBypass() {
			t.Error("the rule does not show")
		}
		e.decided.Store(mark)
		w := newWorker(e, s, true, true, 2)
		if err := w.run(); !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		if got := kinds(s.got); got != "aaaad" {
			t.Errorf("mark %#x: verdicts %s", mark, got)
		}
		for i, want := range []bool{false, true, true, true, false} {
			if v := s.got[i]; v.SetMark != (want && mark != 0) || v.SetMark && v.Mark != mark {
				t.Errorf("mark %#x, packet %d: %+v", mark, i, v)
			}
		}
		if w.st.Bypassed != 1 {
			t.Errorf("%d flows let go", w.st.Bypassed)
		}
	}
}

// What a handler drops does not advance its stream.
func TestHandlerDropRollsBack(t *testing.T) {
	n := 0
	cfg := Config{Rules: Rules{Text: []string{`drop tcp any any -> any any (content:"evil"; sid:1;)`}}}
	cfg.Handler = func(p *packet.Packet) packet.Verdict {
		if len(p.Payload()) > 0 {
			if n++; n == 1 {
				return packet.Drop(packet.ReasonHandler)
			}
		}
		return packet.Accept()
	}
	data := frame{proto: packet.ProtoTCP, sport: 1, seq: 101, ack: 501, flags: packet.ACK, payload: "good"}
	s := &script{live: true}
	for _, f := range append(handshake(false, 1), data, data) {
		s.frames = append(s.frames, build(f))
	}
	e, err := newEngine(cfg, true)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorker(e, s, true, true, 4)
	if err := w.run(); !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	if got := kinds(s.got); got != "aaada" {
		t.Errorf("verdicts %s", got)
	}
	if w.tcp.RolledBack != 1 {
		t.Errorf("%d packets taken back, want the one that the handler dropped", w.tcp.RolledBack)
	}
}
