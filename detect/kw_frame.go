package detect

import (
	"strconv"
	"strings"

	"github.com/garita/garita/app"
)

// kwFrame makes frames of a protocol the buffer: "frame:pdu" of the rule's own
// protocol, or "frame:tls.pdu".
func kwFrame(b *builder, v string) error {
	name := strings.ToLower(strings.TrimSpace(v))
	var of app.ProtoSet
	kind := name
	own := b.s.apps
	switch {
	case own.Has(app.HTTP1) && own.Has(app.HTTP2) && name != "stream":
		own = 0 // versions have different frames
	case own.Has(app.DCERPC):
		own = app.ProtoSetOf(app.DCERPC)
	}
	for p := app.Proto(0); p < app.NProto; p++ {
		if own.Has(p) && app.HasFrame(p, name) {
			of |= app.ProtoSetOf(p)
		}
	}
	if of == 0 {
		proto, rest, ok := strings.Cut(name, ".")
		if proto == "http" {
			proto = "http1"
		}
		if p, known := app.ProtoByName(proto); ok && known && app.HasFrame(p, rest) {
			of, kind = app.ProtoSetOf(p), rest
		}
	}
	if of == 0 {
		return b.unsupported("unknown frame " + strconv.Quote(v))
	}
	b.s.flags |= sigFrame
	key := "frame " + kind
	for p := app.Proto(0); p < app.NProto; p++ {
		if of.Has(p) {
			key += " " + p.String()
		}
	}
	return b.useBuffer(buffer{name: key, field: app.FrameData, frame: kind, frameOf: of})
}

// WantsOverlaps says whether there are rules on segments that bring other bytes
// for a place in the stream than were there.
func (rs *Ruleset) WantsOverlaps() bool { return rs.anyOverlap }

// WantsBypass says whether there are rules that let flows go.
func (rs *Ruleset) WantsBypass() bool { return rs.anyBypass }

// WantsFrames says whether there are rules that look into frames.
func (rs *Ruleset) WantsFrames() bool { return rs.anyFrame }

// bytesOf is value i of a buffer of a transaction or a frame.
func (d *bufDef) bytesOf(tx app.Tx, dir app.Dir, i int) ([]byte, bool) {
	if d.magic {
		f := tx.Base().FileAt(dir, i)
		if f == nil {
			return nil, false
		}
		return []byte(magic(f.Data, f.Done)), true
	}
	if d.frame != "" {
		if f, ok := tx.(*app.Frame); !ok || f.Kind != d.frame {
			return nil, false
		}
	}
	return tx.Bytes(d.field, dir, i)
}

// needsEnd says whether a chain asks where its buffer ends.
func (c *chain) needsEnd() bool {
	for i := range c.nodes {
		if n := &c.nodes[i]; n.flags&(nEnds|nNegated) != 0 || n.op != opContent && n.op != opRegex {
			return true
		}
	}
	return false
}
