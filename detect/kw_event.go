package detect

import (
	"strconv"
	"strings"

	"github.com/garita/garita/app"
)

// kwAppEvent is an anomaly of an application protocol: of a transaction, or of
// the connection as a whole ("applayer_…").
func kwAppEvent(b *builder, v string) error {
	name := strings.ToLower(strings.TrimSpace(v))
	if e, ok := strings.CutPrefix(name, "applayer_"); ok {
		if !app.KnownConnEvent(app.Event(name)) {
			return b.fail(0, "unknown event "+strconv.Quote(e), "")
		}
		b.s.conds = append(b.s.conds, cond{op: condAppEvent, name: name})
		b.s.flags |= sigNeedFlow
		return nil
	}
	proto, event, ok := strings.Cut(name, ".")
	if !ok {
		// A protocol alone: any event of it.
		return b.fail(0, "not an event: "+strconv.Quote(v), "write PROTOCOL.EVENT")
	}
	ps, _, ok := appProtocol(proto)
	if !ok {
		return b.unsupported("unknown protocol " + strconv.Quote(proto))
	}
	known := false
	for p := app.Unknown; p < app.NProto; p++ {
		known = known || ps.Has(p) && app.KnownEvent(p, app.Event(event))
	}
	if !known {
		return b.unsupported("event " + strconv.Quote(event) + " of " + proto)
	}
	b.appConds = append(b.appConds, condList{conds: []txCond{{op: txEvent, name: event}}, dirs: app.DirBoth, protos: ps})
	return nil
}
