package detect

import (
	"strconv"

	"github.com/garita/garita/packet"
)

// tagRule is what a tag keyword asks for: packets after the alert are logged.
type tagRule struct {
	host   bool
	dst    bool // host: that of the destination
	count  uint64
	metric tagMetric
}

type tagMetric uint8

const (
	tagPackets tagMetric = iota
	tagSeconds
	tagBytes
)

// tagState is a tag in force.
type tagState struct {
	rule  *tagRule
	info  *Info
	left  uint64
	until int64
}

func kwTag(b *builder, v string) error {
	f := fields(v)
	t := &tagRule{metric: tagPackets, count: 256}
	switch f[0] {
	case "session":
	case "host":
		t.host = true
	default:
		return b.fail(0, "unknown type "+strconv.Quote(f[0]), "session or host")
	}
	if len(f) > 1 {
		n, ok := parseNum(f[1], 32)
		if !ok {
			return b.fail(0, "not a count: "+strconv.Quote(f[1]), "")
		}
		t.count = n
	}
	if len(f) > 2 {
		switch f[2] {
		case "packets":
		case "seconds":
			t.metric = tagSeconds
		case "bytes":
			t.metric = tagBytes
		default:
			return b.fail(0, "unknown metric "+strconv.Quote(f[2]), "packets, seconds or bytes")
		}
	}
	if len(f) > 3 {
		switch f[3] {
		case "src":
		case "dst":
			t.dst = true
		default:
			return b.fail(0, "unknown direction "+strconv.Quote(f[3]), "src or dst")
		}
	}
	b.s.post = append(b.s.post, effect{op: effTag, tag: t})
	return nil
}

// setTag puts a tag in force. Only tags of sessions are kept per flow; those
// of hosts are kept by the worker.
func (w *Worker) setTag(e *effect, s *sig, in *Input) {
	st := tagState{rule: e.tag, info: s.info, left: e.tag.count}
	if e.tag.metric == tagSeconds {
		st.until = in.Packet.Time + int64(e.tag.count)*1e9
	}
	if !e.tag.host {
		if f := in.Flow; f != nil && len(f.tags) < 8 {
			for i := range f.tags {
				if f.tags[i].rule == e.tag {
					return
				}
			}
			f.tags = append(f.tags, st)
		}
		return
	}
	a := in.Packet.Src()
	if e.tag.dst {
		a = in.Packet.Dst()
	}
	if len(w.hostTags) < 4096 {
		w.hostTags[a] = st
	}
}

// tagged counts a packet against the tags in force.
func (w *Worker) tagged(in *Input, o *Outcome) {
	if f := in.Flow; f != nil && len(f.tags) > 0 {
		for i := 0; i < len(f.tags); i++ {
			if !f.tags[i].count(in.Packet) {
				f.tags = append(f.tags[:i], f.tags[i+1:]...)
				i--
				continue
			}
			o.Tagged, o.TaggedBy = true, f.tags[i].info
		}
	}
	if len(w.hostTags) == 0 {
		return
	}
	for _, a := range [2]bool{false, true} {
		addr := in.Packet.Src()
		if a {
			addr = in.Packet.Dst()
		}
		st, ok := w.hostTags[addr]
		if !ok {
			continue
		}
		if !st.count(in.Packet) {
			delete(w.hostTags, addr)
			continue
		}
		w.hostTags[addr] = st
		o.Tagged, o.TaggedBy = true, st.info
	}
}

// count takes one packet off the tag; false when it has run out.
func (t *tagState) count(p *packet.Packet) bool {
	switch t.rule.metric {
	case tagSeconds:
		return p.Time <= t.until
	case tagBytes:
		if t.left == 0 {
			return false
		}
		t.left -= min(t.left, uint64(len(p.Data)))
		return true
	}
	if t.left == 0 {
		return false
	}
	t.left--
	return true
}
