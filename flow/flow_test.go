package flow

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/garita/garita/packet"
)

const sec = int64(1e9)

func key(i uint64) Key {
	return Key{Src: [2]uint64{0, 0x0a000000 + i>>16}, Dst: [2]uint64{0, 0x0a800001}, SrcPort: uint16(i), DstPort: 80, Proto: 6, Version: 4}
}

// ip4 makes a packet of addresses a → b with a transport.
func ip4(a, b byte, proto byte, l4 []byte) *packet.Packet {
	d := make([]byte, 20+len(l4))
	d[0] = 0x45
	binary.BigEndian.PutUint16(d[2:], uint16(len(d)))
	d[8], d[9] = 64, proto
	copy(d[12:], []byte{192, 168, 0, a, 192, 168, 0, b})
	copy(d[20:], l4)
	p := &packet.Packet{Data: d}
	p.Decode()
	return p
}

func ip6(a, b byte, proto byte, l4 []byte) *packet.Packet {
	d := make([]byte, 40+len(l4))
	d[0] = 0x60
	binary.BigEndian.PutUint16(d[4:], uint16(len(l4)))
	d[6], d[7] = proto, 64
	d[8], d[24] = 0xfd, 0xfd
	d[23], d[39] = a, b
	copy(d[40:], l4)
	p := &packet.Packet{Data: d}
	p.Decode()
	return p
}

func udp(sp, dp uint16) []byte {
	b := make([]byte, 12)
	binary.BigEndian.PutUint16(b, sp)
	binary.BigEndian.PutUint16(b[2:], dp)
	binary.BigEndian.PutUint16(b[4:], 12)
	return b
}

func TestBothDirectionsAreOneFlow(t *testing.T) {
	tb := NewTable[int](Config{})
	for _, mk := range []func(a, b, proto byte, l4 []byte) *packet.Packet{ip4, ip6} {
		var k, r Key
		if !k.SetPacket(mk(1, 2, 17, udp(1000, 53)), 5) || !r.SetPacket(mk(2, 1, 17, udp(53, 1000)), 5) {
			t.Fatal("no key")
		}
		if k.Reverse() != r {
			t.Errorf("%+v reversed is not %+v", k, r)
		}
		f, d, fresh := tb.Get(&k, sec)
		if !fresh || d != ToServer {
			t.Fatal("first packet")
		}
		g, d, fresh := tb.Get(&r, sec)
		if g != f || d != ToClient || fresh {
			t.Errorf("the answer is another flow")
		}
		r.Zone = 6
		if g, _ := tb.Find(&r); g != nil {
			t.Error("found in another zone")
		}
		tb.Count(f, ToServer, sec, 100, 0)
		if f.State() != New {
			t.Errorf("after one packet: %v", f.State())
		}
		tb.Count(f, ToClient, 2*sec, 200, 0)
		if f.State() != Established || f.Sides[1].Bytes != 200 || f.Age() != 1 {
			t.Errorf("after an answer: %v %+v", f.State(), f.Sides)
		}
	}
	if a := key(0).SrcAddr().String(); a != "10.0.0.0" {
		t.Error(a)
	}
}

func TestICMP(t *testing.T) {
	tb := NewTable[int](Config{})
	echo := func(typ byte, id uint16) []byte { return []byte{typ, 0, 0, 0, byte(id >> 8), byte(id), 0, 1} }
	var k Key
	k.SetPacket(ip4(1, 2, 1, echo(8, 77)), 0)
	f, _, _ := tb.Get(&k, sec)
	k.SetPacket(ip4(2, 1, 1, echo(0, 77)), 0)
	if g, d := tb.Find(&k); g != f || d != ToClient {
		t.Error("echo reply is another flow")
	}
	k.SetPacket(ip4(1, 2, 1, echo(8, 78)), 0)
	if g, _ := tb.Find(&k); g != f {
		t.Error("another identifier is another flow, though not asked for")
	}
	te := NewTable[int](Config{EchoID: true})
	k.SetPacket(ip4(1, 2, 1, echo(8, 77)), 0)
	te.Get(&k, sec)
	k.SetPacket(ip4(1, 2, 1, echo(8, 78)), 0)
	if g, _ := te.Find(&k); g != nil {
		t.Error("another identifier is the same flow, though asked for")
	}
	k.SetPacket(ip6(1, 2, 58, echo(128, 1)), 0)
	f, _, _ = tb.Get(&k, sec)
	k.SetPacket(ip6(2, 1, 58, echo(129, 1)), 0)
	if g, _ := tb.Find(&k); g != f {
		t.Error("ICMPv6 echo reply is another flow")
	}
}

// An error finds the flow whose packet it quotes, as a packet against that
// packet's direction.
func TestErrorFindsItsFlow(t *testing.T) {
	tb := NewTable[int](Config{})
	for _, v6 := range []bool{false, true} {
		mk, proto, head := ip4, byte(1), []byte{3, 3, 0, 0, 0, 0, 0, 0}
		if v6 {
			mk, proto, head = ip6, 58, []byte{1, 4, 0, 0, 0, 0, 0, 0}
		}
		orig := mk(1, 2, 17, udp(1000, 53))
		var k Key
		k.SetPacket(orig, 0)
		f, _, _ := tb.Get(&k, sec)
		e := mk(9, 1, proto, append(head, orig.Data...)) // from a router
		if !k.SetRelated(e, 0) {
			t.Fatal("not related")
		}
		if g, d := tb.Find(&k); g != f || d != ToClient {
			t.Errorf("v6=%v: the error did not find the flow", v6)
		}
		for n := range orig.Data { // every cut
			k.SetQuoted(orig.Data[:n], 0)
		}
		if k.SetRelated(orig, 0) {
			t.Error("a plain packet is taken for an error")
		}
	}
}

func TestTimeouts(t *testing.T) {
	for _, c := range []struct {
		proto uint8
		state State
		want  int64
	}{
		{6, New, 60}, {6, Established, 600}, {6, Closed, 60}, {6, Bypassed, 100},
		{17, New, 30}, {17, Established, 300}, {1, New, 30}, {132, Established, 300}, {132, Closed, 0},
	} {
		tb := NewTable[int](Config{})
		k := key(1)
		k.Proto = c.proto
		f, _, _ := tb.Get(&k, 1000*sec)
		tb.Count(f, ToServer, 1000*sec, 1, 0)
		tb.SetState(f, c.state)
		if g := tb.Next((1000 + c.want) * sec); g != nil {
			t.Errorf("%d %v: ended at %d", c.proto, c.state, c.want)
		}
		if _, _, fresh := tb.Get(&k, (1000+c.want)*sec); fresh {
			t.Errorf("%d %v: replaced at %d", c.proto, c.state, c.want)
		}
		g := tb.Next((1001 + c.want) * sec)
		if g != f || g.Reason() != Timeout || g.State() != c.state {
			t.Errorf("%d %v: did not end after %d", c.proto, c.state, c.want)
		}
		if tb.Next((1001+c.want)*sec) != nil || tb.Len() != 0 {
			t.Errorf("%d %v: still there", c.proto, c.state)
		}
	}
	// A packet that comes too late starts anew, also when nobody swept.
	tb := NewTable[int](Config{})
	k := key(1)
	f, _, _ := tb.Get(&k, sec)
	f.Value = 7
	g, _, fresh := tb.Get(&k, 100*sec)
	if !fresh || g.Value != 0 {
		t.Error("the late packet got the old flow")
	}
	if e := tb.Next(100 * sec); e == nil || e.Value != 7 || e.Reason() != Timeout {
		t.Error("the old flow was not handed out")
	}
	// End, and Flush.
	tb.End(g, Reused)
	if e := tb.Next(100 * sec); e != g || e.Reason().String() != "tcp_reuse" {
		t.Error("reuse")
	}
	tb.Get(&k, 100*sec)
	if e := tb.Flush(); e == nil || e.Reason() != Shutdown {
		t.Error("flush")
	}
	if tb.Flush() != nil {
		t.Error("flush twice")
	}
}

// The table does what a map would, over random traffic.
func TestModel(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	tb := NewTable[uint64](Config{Seed: [2]uint64{1, 2}})
	type entry struct {
		last  int64
		value uint64
	}
	model := map[Key]*entry{}
	ends := map[uint64]bool{}
	next := uint64(0)
	now := int64(1000)
	for range 200_000 {
		now += int64(rng.IntN(3) / 2)
		k := key(uint64(rng.IntN(400)))
		q := k
		if rng.IntN(2) == 0 {
			q = k.Reverse()
		}
		e := model[k]
		f, _, fresh := tb.Get(&q, now*sec)
		if want := e == nil || e.last+60 < now; want != fresh {
			t.Fatalf("fresh is %v, last %+v, now %d", fresh, e, now)
		}
		if fresh {
			if e != nil {
				ends[e.value] = true
			}
			next++
			f.Value = next
			model[k] = &entry{value: next}
		} else if f.Value != e.value {
			t.Fatal("wrong flow")
		}
		model[k].last = now
		tb.Count(f, ToServer, now*sec, 1, 0)
		for g := tb.Next(now * sec); g != nil; g = tb.Next(now * sec) {
			if g.Last/sec+60 >= now {
				t.Fatalf("ended %d seconds early", g.Last/sec+60-now)
			}
			delete(ends, g.Value)
			for k, e := range model {
				if e.value == g.Value {
					delete(model, k)
				}
			}
		}
	}
	if len(ends) != 0 {
		t.Errorf("%d flows ended without being handed out", len(ends))
	}
	if tb.Len() != len(model) {
		t.Errorf("%d flows, model has %d", tb.Len(), len(model))
	}
}

// Two million half-open flows: memory stays within the budget, the counters
// tell, and an established flow and a handshake among them live.
func TestFlood(t *testing.T) {
	const memcap = 16 << 20
	tb := NewTable[[64]byte](Config{Memcap: memcap})
	now := 1000 * sec
	good := key(1 << 40)
	g, _, _ := tb.Get(&good, now)
	tb.SetState(g, Established)
	ended := 0
	var young Key
	for i := range uint64(2_000_000) {
		now += 1e4
		k := key(i)
		f, _, fresh := tb.Get(&k, now)
		if !fresh {
			t.Fatal("not a new flow")
		}
		tb.Count(f, ToServer, now, 60, 2)
		switch i % 10_000 {
		case 0: // a legitimate client begins; its handshake takes 5,000 packets of the flood
			young = key(1<<41 + i)
			tb.Get(&young, now)
		case 5_000:
			f, _, fresh := tb.Get(&young, now)
			if fresh {
				t.Fatal("the handshake was pushed out")
			}
			tb.SetState(f, Established)
		case 9_000:
			if f, _ := tb.Find(&young); f == nil || f.State() != Established {
				t.Fatal("the young flow was pushed out")
			}
		}
		for f := tb.Next(now); f != nil; f = tb.Next(now) {
			ended++
			if f.State() == Established {
				t.Fatalf("an established flow was ended: %v", f.Reason())
			}
		}
		if tb.Memory() > memcap {
			t.Fatalf("%d bytes", tb.Memory())
		}
	}
	if f, _ := tb.Find(&good); f != g {
		t.Error("the established flow is gone")
	}
	if tb.Evicted[New] == 0 || tb.Emergencies == 0 || !tb.Emergency() || tb.Unreported != 0 {
		t.Errorf("%+v", tb.Counters)
	}
	if uint64(ended) != tb.Evicted[New]+tb.Timeouts || tb.Created != uint64(ended+tb.Len()) {
		t.Errorf("%d handed out of %+v, %d left", ended, tb.Counters, tb.Len())
	}
	// When it is over, emergency time-outs make room and end the mode; then the
	// ordinary ones clear the rest.
	now += 10 * sec
	for f := tb.Next(now); f != nil; f = tb.Next(now) {
	}
	if tb.Emergency() || tb.Len() > tb.Cap()-tb.Cap()*30/100 {
		t.Errorf("after the flood: emergency %v, %d flows", tb.Emergency(), tb.Len())
	}
	now += 60 * sec
	for f := tb.Next(now); f != nil; f = tb.Next(now) {
	}
	if tb.Len() > 500 {
		t.Errorf("a minute after the flood: %d flows", tb.Len())
	}
}

// A caller that never fetches what ended costs records, not memory.
func TestNobodyFetches(t *testing.T) {
	tb := NewTable[[64]byte](Config{Memcap: 1 << 20})
	for i := range uint64(100_000) {
		k := key(i)
		tb.Get(&k, sec)
	}
	if tb.Memory() > 1<<20+chunk*1024 || tb.Unreported == 0 {
		t.Errorf("%d bytes, %+v", tb.Memory(), tb.Counters)
	}
}

func TestNoAllocs(t *testing.T) {
	tb := NewTable[[64]byte](Config{Memcap: 1 << 20})
	i, now := uint64(0), sec
	step := func() {
		for range 100 {
			i++
			now += 1e7
			k := key(i % 20_000)
			f, d, _ := tb.Get(&k, now)
			tb.Count(f, d, now, 60, 0)
			for f := tb.Next(now); f != nil; f = tb.Next(now) {
			}
		}
	}
	for range 300 {
		step()
	}
	if n := testing.AllocsPerRun(100, step); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// The hash of both directions is the same, and depends on everything.
func TestHash(t *testing.T) {
	seed := [2]uint64{3, 4}
	k := key(5)
	r := k.Reverse()
	if k.hash(&seed) != r.hash(&seed) {
		t.Error("directions hash differently")
	}
	for i, f := range []func(*Key){
		func(k *Key) { k.Src[0]++ }, func(k *Key) { k.Src[1]++ }, func(k *Key) { k.Dst[1]++ }, func(k *Key) { k.SrcPort++ },
		func(k *Key) { k.DstPort++ }, func(k *Key) { k.Proto++ }, func(k *Key) { k.Zone++ }, func(k *Key) { k.EchoID++ }, func(k *Key) { k.Version++ },
		func(k *Key) { k.SrcPort, k.DstPort = k.DstPort, k.SrcPort },
	} {
		c := k
		f(&c)
		if c.hash(&seed) == k.hash(&seed) {
			t.Errorf("change %d does not change the hash", i)
		}
	}
	other := [2]uint64{3, 5}
	if k.hash(&seed) == k.hash(&other) {
		t.Error("the seed does not matter")
	}
	// Buckets are used evenly.
	var n [256]int
	for i := range uint64(256 * 64) {
		k := key(i)
		n[k.hash(&seed)&255]++
	}
	for b, c := range n {
		if c < 20 || c > 128 {
			t.Errorf("bucket %d holds %d of 64 expected", b, c)
		}
	}
}

func FuzzQuoted(f *testing.F) {
	f.Add(ip4(1, 2, 17, udp(1, 2)).Data)
	f.Add(ip6(1, 2, 17, udp(1, 2)).Data)
	f.Add(append(append(make([]byte, 6), 0, 1), make([]byte, 60)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		var k Key
		if k.SetQuoted(b, 1) && (k.Version != 4 && k.Version != 6 || k.Zone != 1) {
			t.Errorf("%+v", k)
		}
	})
}

func BenchmarkTable(b *testing.B) {
	for _, n := range []uint64{100, 100_000} {
		b.Run(map[uint64]string{100: "100", 100_000: "100k"}[n], func(b *testing.B) {
			tb := NewTable[[300]byte](Config{})
			p := ip4(1, 2, 17, udp(1000, 53))
			i, now := uint64(0), sec
			b.ReportAllocs()
			for b.Loop() {
				i++
				now += 1000
				var k Key
				k.SetPacket(p, 0)
				k.SrcPort = uint16(i % n)
				k.Zone = uint32(i % n >> 16)
				f, d, _ := tb.Get(&k, now)
				tb.Count(f, d, now, 60, 0)
				for f := tb.Next(now); f != nil; f = tb.Next(now) {
				}
			}
		})
	}
}

// An atomic fragment (RFC 6946) that announces TCP and ends after one byte of it
// has no flow; with the whole header it has.
func TestNothingBehindExtensionHeader(t *testing.T) {
	for _, n := range []int{1, 20} {
		b := make([]byte, 48+n)
		b[0], b[5], b[6], b[7], b[40] = 0x60, byte(8+n), 44, 64, packet.ProtoTCP
		if n > 12 {
			b[60] = 5 << 4
		}
		p := packet.Packet{Data: b}
		p.Decode()
		var k Key
		if got := k.SetPacket(&p, 0); got != (n == 20) {
			t.Errorf("%d bytes of TCP: a flow is %v", n, got)
		}
	}
}
