package garita

import (
	"github.com/garita/garita/app"
	"github.com/garita/garita/flow"
	"github.com/garita/garita/packet"
)

// BypassConfig says which flows are finished with before they end, so that
// their packets need no looking at. The zero value is Suricata's default: only
// what a rule with the keyword bypass or an exception policy lets go.
type BypassConfig struct {
	// Depth lets flows go of which a direction has passed the stream's depth
	// (stream.bypass).
	Depth bool
	// TLS lets flows go once both sides encrypt
	// (app-layer.protocols.tls.encryption-handling: bypass). In a replay it
	// takes Depth too, as in Suricata.
	TLS bool
}

// wantsBypass says whether flows can come to be let go, by configuration or
// rules: then the diversion must tell them from others.
func (e *Engine) wantsBypass() bool {
	c := &e.cfg
	return c.Bypass.Depth || c.Bypass.TLS || e.rules.Load().WantsBypass()
}

// finished lets f go if nothing that is left of it needs looking at.
func (w *worker) finished(f *flow.Flow[conn]) {
	c := &f.Value
	if c.det.Action().Drops() {
		return
	}
	b := &w.e.cfg.Bypass
	if b.TLS && (w.live || b.Depth) && c.app != nil && c.app.Encrypted() && c.app.Proto() == app.TLS ||
		b.Depth && w.tcp.PassedDepth(&c.tcp) || w.out.Bypass {
		w.bypass(f)
	}
}

// bypass lets f go: its packets are accepted unseen from the next one on, by
// the kernel if it can tell them.
func (w *worker) bypass(f *flow.Flow[conn]) {
	if f.State() == flow.Bypassed {
		return
	}
	w.st.Bypassed++
	w.flows.SetState(f, flow.Bypassed)
	w.tcp.Stop(&f.Value.tcp)
}

// decided marks an accepted packet of a flow that was let go: the kernel notes
// that with its connection and does not queue what follows. Packets within
// others, or put together from others, have no connection of their own.
func (w *worker) decided(p *packet.Packet, f *flow.Flow[conn]) {
	if m := w.e.decided.Load(); m != 0 && f.State() == flow.Bypassed && p != &w.inner && p != &w.whole {
		p.Verdict.Mark, p.Verdict.SetMark = p.Mark&^w.e.cfg.Divert.Marks.Field()|m, true
	}
}
