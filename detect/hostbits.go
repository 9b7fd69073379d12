package detect

import (
	"net/netip"
	"strconv"
	"strings"
)

// Bits that belong to a host or a pair of hosts and run out after a while.

type hostBit struct {
	id   uint32
	a, b netip.Addr
}

const maxHostBits = 1 << 16

func kwXbits(b *builder, v string) error {
	f := fields(v)
	cmd := f[0]
	if cmd == "noalert" && len(f) == 1 {
		b.info.NoAlert = true
		return nil
	}
	if len(f) < 3 {
		return b.fail(0, "not an xbit: "+strconv.Quote(v), "write xbits:set,NAME,track ip_src,expire 60")
	}
	var track trackBy
	switch f[2] {
	case "track ip_src":
		track = bySrc
	case "track ip_dst":
		track = byDst
	case "track ip_pair":
		track = byPair
	default:
		return b.fail(0, "unknown track "+strconv.Quote(f[2]), "track ip_src, ip_dst or ip_pair")
	}
	expire := uint64(30)
	if len(f) > 3 {
		n, ok := parseNum(strings.TrimSpace(strings.TrimPrefix(f[3], "expire")), 32)
		if !ok || n == 0 {
			return b.fail(0, "not an expiry: "+strconv.Quote(f[3]), "write expire SECONDS")
		}
		expire = n
	}
	id := b.c.name("xbit " + f[1])
	return b.hostBit(cmd, id, track, expire, condXbit, [3]effectOp{effXbitSet, effXbitUnset, effXbitToggle})
}

func (b *builder) hostBit(cmd string, id uint32, track trackBy, expire uint64, test condOp, set [3]effectOp) error {
	e := effect{a: id, track: track, secs: uint32(expire)}
	switch cmd {
	case "isset":
		b.flowCond(cond{op: test, a: id, b: uint32(track)})
		return nil
	case "isnotset":
		b.flowCond(cond{op: test, a: id, b: uint32(track), neg: true})
		return nil
	case "set":
		e.op = set[0]
	case "unset":
		e.op = set[1]
	case "toggle":
		e.op = set[2]
	default:
		return b.fail(0, "unknown action "+strconv.Quote(cmd), "set, unset, toggle, isset or isnotset")
	}
	b.s.post = append(b.s.post, e)
	return nil
}

func kwHostbits(b *builder, v string) error {
	f := fields(v)
	if f[0] == "noalert" && len(f) == 1 {
		b.info.NoAlert = true
		return nil
	}
	if len(f) < 2 {
		return b.fail(0, "not a hostbit: "+strconv.Quote(v), "write hostbits:set,NAME[,src|dst|both]")
	}
	track := bySrc
	if len(f) > 2 {
		switch f[2] {
		case "src":
		case "dst":
			track = byDst
		case "both":
			track = byBoth
		default:
			return b.fail(0, "unknown direction "+strconv.Quote(f[2]), "src, dst or both")
		}
	}
	return b.hostBit(f[0], b.c.name("hostbit "+f[1]), track, 1<<31, condHostbit, [3]effectOp{effHostbitSet, effHostbitUnset, effHostbitToggle})
}

func hostBitKey(id uint32, track trackBy, in *Input) hostBit {
	k := hostBit{id: id}
	switch track {
	case bySrc:
		k.a = in.Packet.Src()
	case byDst:
		k.a = in.Packet.Dst()
	default:
		k.a, k.b = in.Packet.Src(), in.Packet.Dst()
		if k.b.Less(k.a) {
			k.a, k.b = k.b, k.a
		}
	}
	return k
}

func (w *Worker) hostBitSet(id uint32, track trackBy, in *Input) bool {
	if track == byBoth {
		return w.hostBitSet(id, bySrc, in) && w.hostBitSet(id, byDst, in)
	}
	until, ok := w.hostBits[hostBitKey(id, track, in)]
	return ok && in.Packet.Time < until
}

func (w *Worker) xbitTest(c *cond, in *Input) bool {
	return w.hostBitSet(c.a, trackBy(c.b), in) != c.neg
}

func (w *Worker) hostbitTest(c *cond, in *Input) bool { return w.xbitTest(c, in) }

func (w *Worker) changeBit(e *effect, in *Input) {
	if e.track == byBoth {
		one := *e
		one.track = bySrc
		w.changeBit(&one, in)
		one.track = byDst
		w.changeBit(&one, in)
		return
	}
	k := hostBitKey(e.a, e.track, in)
	set := false
	switch e.op {
	case effXbitSet, effHostbitSet:
		set = true
	case effXbitToggle, effHostbitToggle:
		set = !w.hostBitSet(e.a, e.track, in)
	}
	if !set {
		delete(w.hostBits, k)
		return
	}
	if len(w.hostBits) >= maxHostBits {
		for k, until := range w.hostBits {
			if in.Packet.Time >= until {
				delete(w.hostBits, k)
			}
		}
		if len(w.hostBits) >= maxHostBits {
			clear(w.hostBits)
			w.Stats.HostBitsLost++
		}
	}
	w.hostBits[k] = in.Packet.Time + int64(e.secs)*1e9
}
