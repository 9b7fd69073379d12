package stream

import (
	"bytes"
	"testing"
)

// Urgent bytes that are no part of the stream show neither in App nor in Raw,
// which goes on behind them.
func TestRawWithoutUrgent(t *testing.T) {
	for _, inline := range []bool{false, true} {
		for _, u := range []Urgent{UrgentInline, UrgentOOB, UrgentGap} {
			c := newConv(t, Config{Inline: inline, Urgent: u})
			c.open()
			var raw []byte
			look := func() {
				c.tr.TriggerRaw(&c.tcp, ToServer, false)
				b, _ := c.tr.Raw(&c.tcp, ToServer)
				c.tr.RawDone(&c.tcp, ToServer)
				if inline {
					raw = append(raw[:0], b...)
				} else {
					raw = append(raw, b...)
				}
			}
			put := func(s seg) {
				c.now += 1e6
				s.packet(&c.p, c.now)
				c.tr.Update(&c.tcp, &c.p, s.dir)
				for d := range Dir(2) {
					for {
						ch, ok := c.tr.App(&c.tcp, d)
						if !ok {
							break
						}
						c.out[d] = append(c.out[d], ch.Data...)
					}
				}
				if s.dir == ToServer || !inline {
					look()
				}
				c.tr.Commit(&c.tcp)
			}
			at := uint32(cISN + 1)
			for _, s := range []seg{{data: []byte("GET /mal")}, {flags: urgFlag, urg: 1, data: []byte("X")}, {data: []byte("ice")}} {
				s.flags |= ackFlag
				s.seq, s.ack = at, sISN+1
				put(s)
				at += uint32(len(s.data))
				put(seg{dir: ToClient, flags: ackFlag, seq: sISN + 1, ack: at})
			}
			want := "GET /malice"
			if u == UrgentInline {
				want = "GET /malXice"
			}
			if string(raw) != want || !bytes.Equal(c.out[ToServer], []byte(want)) {
				t.Errorf("inline %v, %v: raw %q, app %q, want %q", inline, u, raw, c.out[ToServer], want)
			}
		}
	}
}

// A session that is turned in the middle goes on as if its client had been known.
func TestTurn(t *testing.T) {
	for _, inline := range []bool{false, true} {
		c := newConv(t, Config{Inline: inline, Midstream: true})
		c.now += 1e6
		first := seg{flags: ackFlag, seq: sISN, ack: cISN, data: []byte("HTTP/1.1 200")}
		first.packet(&c.p, c.now)
		c.tr.Update(&c.tcp, &c.p, ToServer)
		if !c.tcp.Guessed() {
			t.Fatal("the client of a session picked up at data is guessed")
		}
		c.tr.Turn(&c.tcp)
		if ch, ok := c.tr.App(&c.tcp, ToClient); ok != inline || string(ch.Data) != "HTTP/1.1 200"[:len(ch.Data)] {
			t.Fatalf("inline %v: after the turn %q, %v", inline, ch.Data, ok)
		}
		c.tr.Commit(&c.tcp)
		c.send(seg{flags: ackFlag, seq: cISN, ack: sISN + 12})
		c.send(seg{flags: ackFlag, seq: cISN, ack: sISN + 12, data: []byte("GET / HTTP/1.1")})
		c.send(seg{dir: ToClient, flags: ackFlag, seq: sISN + 12, ack: cISN + 14, data: []byte(" OK")})
		c.send(seg{flags: ackFlag, seq: cISN + 14, ack: sISN + 15})
		want := "HTTP/1.1 200 OK"
		if inline {
			want = " OK" // the rest was given before
		}
		if got := string(c.out[ToClient]); got != want || string(c.out[ToServer]) != "GET / HTTP/1.1" {
			t.Errorf("inline %v: to the client %q, to the server %q", inline, got, c.out[ToServer])
		}
		// A turn that is rolled back leaves a session turned, without the bytes.
		c.tr.Release(&c.tcp)
		if c.tr.Memory() != 0 {
			t.Errorf("%d bytes are held after Release", c.tr.Memory())
		}
	}
}
