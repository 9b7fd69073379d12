package app

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// framesOf gives a conversation to a connection that announces frames, and
// lists them.
func framesOf(p Proto, say []piece, cut func(int) int) string {
	c := new(Conn)
	c.Reset(NewEnv(Config{Frames: true}), Hints{SrcPort: 40000, DstPort: 9999, Expected: &Expectation{Proto: p}})
	var w [2]strings.Builder
	take := func(last bool) {
		for _, f := range c.Frames() {
			if f.Done(f.From) || last {
				fmt.Fprintf(&w[f.From], "%v %s at %d length %d %q\n", f.From, f.Kind, f.Offset, f.Length, f.Data)
			}
		}
		c.FramesInspected(ToServer)
		c.FramesInspected(ToClient)
	}
	for _, s := range say {
		for b := s.data; len(b) > 0; {
			n := min(max(cut(len(b)), 1), len(b))
			c.Feed(s.dir, append([]byte(nil), b[:n]...))
			b = b[n:]
			take(false)
		}
	}
	c.Close(ToServer)
	c.Close(ToClient)
	take(true)
	return w[0].String() + w[1].String()
}

func TestFrames(t *testing.T) {
	tls, _ := recordTLS(t, VersionTLS12)
	telnet := []piece{ts("\xff\xfd\x03login\n"), tc("\xff\xfa\x18\x01\xff\xf0Password: "), ts("secret\n\xff\xf4rest")}
	http := []piece{
		ts("GET /a HTTP/1.1\r\nHost: a\r\n\r\nPOST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"),
		tc("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"),
	}
	for _, x := range []struct {
		p    Proto
		say  []piece
		want []string // lines that are there
	}{
		{TELNET, telnet, []string{
			`0 ctl at 0 length 3 "\xff\xfd\x03"`, `0 data at 3 length 6 "login\n"`, `1 ctl at 0 length 6 "\xff\xfa\x18\x01\xff\xf0"`,
			`1 data at 6 length 10 "Password: "`, `0 ctl at 16 length 2 "\xff\xf4"`, `0 data at 18 length 4 "rest"`,
		}},
		{HTTP1, http, []string{
			`0 request at 0 length 28 "GET /a HTTP/1.1\r\nHost: a\r\n\r\n"`,
			`0 request at 28 length 51 "POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"`,
			`1 response at 0 length 40 "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"`,
		}},
		{TLS, tls, []string{`0 pdu at 0`, `0 hdr at 0 length 5 "\x16\x03`, `1 data at 5`}},
		{SMB, smbTalk(), []string{`0 nbss.pdu at 0`, `1 nbss.hdr at 0 length 4`}},
		{DCERPC, rpcTalk(), []string{`0 stream at 0 length 100`, `1 stream at 0 length 90`}},
		{MQTT, mqttTalk(), []string{`0 pdu at 0`, `0 header at 0 length 2`, `0 data at 2`}},
	} {
		want := framesOf(x.p, x.say, whole)
		for _, l := range x.want {
			if !strings.Contains(want, l) {
				t.Errorf("%v: no %s in\n%s", x.p, l, clip(want))
			}
		}
		r := rand.New(rand.NewPCG(3, uint64(x.p)))
		for i := range 30 {
			cut := randomCuts(r)
			if i == 0 {
				cut = func(int) int { return 1 }
			}
			if got := framesOf(x.p, x.say, cut); got != want {
				t.Fatalf("%v: chunking changes the frames:\n--- whole\n%s\n--- cut\n%s", x.p, clip(want), clip(got))
			}
		}
	}
}

// TestFramesBounded: frames that nobody looks at are let go.
func TestFramesBounded(t *testing.T) {
	c := new(Conn)
	c.Reset(NewEnv(Config{Frames: true}), Hints{Expected: &Expectation{Proto: TELNET}})
	line := []byte(strings.Repeat("x", 4000) + "\n")
	for range 1000 {
		c.Feed(ToServer, line)
	}
	n := 0
	for _, f := range c.Frames() {
		n += len(f.Data)
	}
	if n > framesKeep+frameKeep || len(c.Frames()) > framesWaiting {
		t.Errorf("%d frames with %d bytes wait", len(c.Frames()), n)
	}
	c.FramesInspected(ToServer)
	if f := c.Frames(); len(f) != 1 || f[0].Kind != frameStream || c.frameBytes != frameKeep { // which goes on
		t.Errorf("behind inspection %d frames, %d bytes", len(c.Frames()), c.frameBytes)
	}
}

// TestFramesOfOnePacket: many frames in one piece are all there, or a packet
// full of small ones would hide the one that matters.
func TestFramesOfOnePacket(t *testing.T) {
	c := new(Conn)
	c.Reset(NewEnv(Config{Frames: true}), Hints{Expected: &Expectation{Proto: TELNET}})
	c.Feed(ToServer, []byte("evil\n"+strings.Repeat("\n", 10*framesWaiting)))
	if f := c.Frames(); len(f) != 2*(10*framesWaiting+1)+1 || string(f[1].Data) != "evil\n" {
		t.Errorf("%d frames", len(f))
	}
}

func TestTelnet(t *testing.T) {
	checkLaws(t, TELNET, []piece{ts("\xff\xfd\x03login\n"), tc("\xff\xfa\x18\x01\xff\xf0Password: ")})
}

// FuzzTelnet looks at frames: they are all there is.
func FuzzTelnet(f *testing.F) {
	f.Add([]byte("\xff\xfd\x03login\n\xff\xfa\x01\xff\xf0"), uint64(1))
	f.Fuzz(func(t *testing.T, b []byte, seed uint64) {
		say := []piece{{ToServer, b}}
		want := framesOf(TELNET, say, whole)
		if got := framesOf(TELNET, say, randomCuts(rand.New(rand.NewPCG(seed, 1)))); got != want {
			t.Fatalf("chunking changes the frames:\n--- whole\n%s\n--- cut\n%s", clip(want), clip(got))
		}
	})
}
