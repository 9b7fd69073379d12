package garita

import (
	"net/netip"

	"github.com/garita/garita/app"
	"github.com/garita/garita/flow"
)

// maxExpected bounds the connections that control connections have announced
// and that did not come yet; the oldest are forgotten.
const maxExpected = 1024

// expectations are announced connections (FTP data): who will listen where.
type expectations struct {
	by    map[expectedKey]app.Expectation
	order []expectedKey // oldest first, at most maxExpected; may hold keys that are gone
}

type expectedKey struct {
	addr netip.Addr
	port uint16
	peer netip.Addr // the other end; nobody else may fulfil it
}

// add notes what the control connection k, whose flow is owner, announced.
func (e *expectations) add(k *flow.Key, owner uint64, xs []app.Expectation) {
	if e.by == nil {
		e.by = make(map[expectedKey]app.Expectation)
	}
	for _, x := range xs {
		at := expectedKey{addr: k.DstAddr(), port: x.Port, peer: k.SrcAddr()}
		if x.Listener == app.ToClient {
			at.addr, at.peer = at.peer, at.addr
		}
		if _, known := e.by[at]; !known {
			e.order = append(e.order, at)
		}
		x.Owner = owner
		e.by[at] = x
		for len(e.order) > maxExpected {
			delete(e.by, e.order[0])
			e.order = e.order[:copy(e.order, e.order[1:])]
		}
	}
}

// take returns what the new flow k fulfils, once; nil as a rule.
func (e *expectations) take(k *flow.Key) *app.Expectation {
	if len(e.by) == 0 {
		return nil
	}
	for _, at := range [2]expectedKey{
		{addr: k.DstAddr(), port: k.DstPort, peer: k.SrcAddr()},
		{addr: k.SrcAddr(), port: k.SrcPort, peer: k.DstAddr()}, // picked up from the listener's side
	} {
		if x, ok := e.by[at]; ok {
			delete(e.by, at)
			if len(e.by) == 0 {
				e.order = e.order[:0]
			}
			return &x
		}
	}
	return nil
}
