package packet

// Reason says why a packet got its verdict. It is a constant: it becomes a
// metric label, a counter and a log field, so keep it short, lower case, with
// dashes.
type Reason string

// Reasons that garita itself gives. A handler may use its own.
const (
	ReasonNone      Reason = ""
	ReasonRule      Reason = "rule"
	ReasonFlow      Reason = "flow-drop"
	ReasonMalformed Reason = "malformed"
	ReasonRate      Reason = "rate-filter"
	ReasonStream    Reason = "stream"
	ReasonMidstream Reason = "midstream"
	ReasonApp       Reason = "app-error"
	ReasonMemory    Reason = "memory-cap"
	ReasonOverload  Reason = "overload"
	ReasonPanic     Reason = "internal-error"
	ReasonFailure   Reason = "failure-policy"
	ReasonDeadline  Reason = "hold-deadline"
	ReasonHandler   Reason = "handler"
)

// Kind is what the kernel is told to do.
type Kind uint8

const (
	// Undecided is the zero value: the packet gets the failure verdict its
	// queue was configured with, so a forgotten verdict is a policy, not an
	// accident.
	Undecided Kind = iota
	// KindAccept goes on at the next hook function; the rest of the table that
	// queued the packet is not evaluated.
	KindAccept
	// KindDrop frees the packet.
	KindDrop
	// KindRepeat runs the queueing hook function again from its first rule; it
	// takes a mark, and without one it is refused, because the packet would
	// come back for ever.
	KindRepeat
	// KindQueue moves the packet to another queue.
	KindQueue
	// KindStop skips all remaining hook functions of this hook.
	KindStop
	// KindHeld: not answered now; somebody holds it and answers later.
	KindHeld
)

// Verdict is what becomes of a packet, and why. Compose it with the functions
// below; the zero value is the failure verdict.
type Verdict struct {
	Kind    Kind
	Bypass  bool   // KindQueue: accept if nobody listens there
	SetMark bool   // Mark is to be written
	Queue   uint16 // KindQueue: the queue to move to
	Mark    uint32 // new fwmark, whole word
	Reason  Reason
}

// Accept lets the packet go on.
func Accept() Verdict { return Verdict{Kind: KindAccept} }

// Drop frees the packet for the given reason.
func Drop(why Reason) Verdict { return Verdict{Kind: KindDrop, Reason: why} }

// Repeat sends the packet through the same hook function again, with a mark
// by which a rule there can tell it has been here.
func Repeat(mark uint32) Verdict { return Verdict{Kind: KindRepeat, Mark: mark, SetMark: true} }

// ToQueue moves the packet to queue n. If nobody listens there it is dropped,
// or accepted with bypass.
func ToQueue(n uint16, bypass bool) Verdict {
	return Verdict{Kind: KindQueue, Queue: n, Bypass: bypass}
}

// Stop accepts and skips every remaining hook function of this hook. At INPUT
// and POSTROUTING that skips connection tracking's confirmation and source
// NAT: prefer Accept.
func Stop() Verdict { return Verdict{Kind: KindStop} }

// WithMark returns v with a new fwmark for the packet (the whole word).
func (v Verdict) WithMark(m uint32) Verdict {
	v.Mark, v.SetMark = m, true
	return v
}

// Because returns v with a reason.
func (v Verdict) Because(why Reason) Verdict {
	v.Reason = why
	return v
}

// Dropped says whether the packet ends here.
func (v Verdict) Dropped() bool { return v.Kind == KindDrop }
