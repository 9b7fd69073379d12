// Package stream puts bytes in order: TCP segments into two streams, IP
// fragments into packets, under a named overlap policy.
//
// A Tracker belongs to one goroutine; the state of a session is a TCP value
// that the caller keeps with the flow. Every packet goes through two phases:
//
//	r := t.Update(&conn.tcp, p, dir) // what the packet would do
//	… judge: r.Drop, r.Edits, t.App, t.Raw …
//	t.Commit(&conn.tcp)              // it goes on: the stream advances
//	t.Rollback(&conn.tcp)            // it was dropped: it never was there
//
// Inline (Config.Inline), the bytes of an in-order segment are available with
// the packet that carries them, and what the receiver will accept is exactly
// what was made available: of bytes that come twice and differ, the second
// copy is rewritten to the first (Result.Edits) as long as the receiver may
// not have got the first, and a segment that cannot be kept track of is
// dropped. Otherwise (detection only), bytes are available once the receiver
// has acknowledged them, and overlaps are resolved by the receiver's policy.
package stream

// Dir is the way a packet goes within its session.
type Dir uint8

const (
	ToServer Dir = iota // from the client, who sent the first SYN
	ToClient
)

// Other is the opposite direction.
func (d Dir) Other() Dir { return d ^ 1 }

// State is how far a session has come (RFC 9293 §3.3.2), seen from the middle.
type State uint8

const (
	None State = iota // no session: nothing seen that would start one
	SynSent
	SynRecv
	Established
	FinWait1
	FinWait2
	TimeWait
	LastAck
	CloseWait
	Closing
	Closed
	nStates
)

// NumStates is the number of states.
const NumStates = int(nStates)

var stateNames = [nStates]string{"none", "syn_sent", "syn_recv", "established", "fin_wait1", "fin_wait2",
	"time_wait", "last_ack", "close_wait", "closing", "closed"}

// String is the word that flow records use (tcp.state).
func (s State) String() string {
	if s < nStates {
		return stateNames[s]
	}
	return "unknown"
}

// Cause says why a packet is to be dropped, or which exception arose.
type Cause uint8

const (
	NoCause        Cause = iota
	CauseInvalid         // does not fit the session (wrong sequence, acknowledgement, time stamp, window)
	CauseConflict        // its bytes disagree with bytes that were refused before
	CauseMidstream       // the session's start was not seen
	CauseMemcap          // the budget of all streams is used up
	CauseLimit           // the budget of this stream is used up: too much out of order
	CauseUrgent          // urgent data, by policy
	nCauses
)

var causeNames = [nCauses]string{"", "stream-invalid", "stream-conflict", "stream-midstream", "stream-memcap", "stream-limit", "stream-urgent"}

// String is a short label, fit for a counter or a log.
func (c Cause) String() string {
	if c < nCauses {
		return causeNames[c]
	}
	return "unknown"
}

// Edit says which bytes of a packet's payload must be overwritten before it
// goes on, because the receiver may already hold others in that place.
type Edit struct {
	Off  int    // in the payload
	Data []byte // what must stand there; borrowed until the next call of the tracker
}

// Result is what a packet does to its session. It is good until the next
// Update of the same tracker.
type Result struct {
	Events []Event // in the order they arose; borrowed like the rest
	Edits  []Edit  // inline: bytes to overwrite in the packet

	// Drop says why an inline engine should drop the packet; NoCause if it may
	// pass. A packet that is dropped is not inspected.
	Drop Cause
	// Exception is the policy to apply for Why; Ignore if there is none. It is
	// already resolved (never Auto).
	Exception Exception
	Why       Cause

	// Invalid says that the packet does not fit its session and changed
	// nothing in it.
	Invalid bool
	// Added says that the packet's payload belongs to a stream, so that its
	// contents are inspected there; if not, the payload stands alone.
	Added bool
	// Taken says that the session took the packet, so that its payload and
	// acknowledgement count. The bytes of a repetition are not taken again.
	Taken bool
	// Established says that the session's handshake is over (flow:established).
	Established bool
	// Swap says that the client turned out to be the server: turn the flow
	// round. The session already is, and Dir is the packet's direction now.
	Swap bool
	Dir  Dir
	// Ready tells by direction whether App has something.
	Ready [2]bool
	// End tells by direction whether the stream ended with this packet: FIN or
	// RST, or the depth was reached. Raw data that waits is due.
	End [2]bool
	// Depth tells by direction whether the stream passed the depth, now or
	// earlier: its data is not followed any more.
	Depth [2]bool
	// Retransmission says that all of the payload was there before.
	Retransmission bool
}

// Chunk is a piece of a stream for the application parser.
type Chunk struct {
	Off  uint64 // where it begins in the stream, Gap included
	Gap  uint64 // bytes that are missing before Data, never to come
	Data []byte // borrowed until the next call of the tracker
	End  bool   // nothing will follow
}
