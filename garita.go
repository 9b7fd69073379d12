// Package garita intercepts packets on Linux and gives each one a verdict.
//
// An Engine joins the stages: it binds queues, diverts traffic into them,
// decodes each packet, follows flows, judges by rules in Suricata's language
// and by a handler of your own, answers the kernel, and writes EVE records.
//
//	err := garita.Run(ctx, garita.Config{
//		Handler: func(p *packet.Packet) packet.Verdict {
//			if p.DstPort() == 23 {
//				return packet.Drop("no-telnet")
//			}
//			return packet.Accept()
//		},
//	})
//
// One worker is one queue, one socket and one goroutine locked to its thread,
// which runs a burst of packets to completion. Workers share nothing that
// changes but the pointer to the compiled rules.
package garita

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/garita/garita/app"
	"github.com/garita/garita/detect"
	"github.com/garita/garita/divert"
	"github.com/garita/garita/eve"
	"github.com/garita/garita/flow"
	"github.com/garita/garita/packet"
	"github.com/garita/garita/store"
	"github.com/garita/garita/stream"
)

// Source is where packets come from and verdicts go: a kernel queue
// (nfqueue.Queue) or a capture file (internal/pcap).
type Source interface {
	// Receive fills the slice with the next burst. The bytes are borrowed until
	// the next Receive. It returns net.ErrClosed after Close, io.EOF at the end
	// of a capture.
	Receive([]packet.Packet) (n int, err error)
	// Verdict answers the packets of the last Receive, each by its Verdict.
	Verdict([]packet.Packet) error
	Close() error
}

// Handler judges one packet after the rules let it pass. The packet and its
// bytes are borrowed for the call; edits through its header views go to the
// kernel with an accepting verdict. Handlers of different workers run at the
// same time. A packet with the zero verdict gets the failure policy's.
type Handler func(*packet.Packet) packet.Verdict

// Config is everything an Engine can be told. The zero value diverts what
// comes in, goes out and is forwarded into one queue a core, and accepts it.
type Config struct {
	// Divert chooses the traffic, the first queue and their number (0 queues
	// means one a core). Its Fail is overruled by Config.Fail.
	Divert divert.Spec
	// NoDivert only binds the queues: the rules that fill them are somebody
	// else's.
	NoDivert bool
	// Fail is what happens when something goes wrong.
	Fail FailPolicy
	// Rules are the rules to judge by.
	Rules Rules
	// Handler judges what the rules let pass; nil accepts.
	Handler Handler
	// Detect is detection's own configuration. Inline is set by the engine.
	Detect detect.Config
	// Flow, App and their time-outs and limits. Seeds are set by the engine
	// unless given.
	Flow flow.Config
	// Stream's Inline is set on a live queue. There, sessions that began before
	// the engine are picked up and inspected from where they are, unless
	// MidstreamPolicy says otherwise: starting garita must not cut them.
	Stream stream.Config
	Defrag stream.DefragConfig
	App    app.Config
	// Eve, with Log, says what records to write. Without Log none are.
	Eve eve.Config
	Log *eve.Writer
	// Store keeps the files and certificates that rules ask to keep; nil keeps
	// none. It is the caller's to close, behind Run.
	Store *store.Store
	// StatsEvery is the interval of stats records; 0 means 8 seconds, as
	// Suricata has it.
	StatsEvery time.Duration
	// MaxLen is how many packets may wait in each queue; 0 means nfqueue's
	// default.
	MaxLen uint32
	// NoGSO asks for segmented packets: slower, for rules that must see what
	// goes over the wire.
	NoGSO bool
	// HTTPServers read HTTP in ways of their own; for a server, the longest
	// network that it is in counts, and App.HTTP where it is in none.
	HTTPServers []HTTPServer
	// AppError is what becomes of a flow whose bytes break its application
	// protocol (Suricata's app-layer.error-policy). Auto is drop-flow in an
	// inline replay and where Fail.Malformed is Closed, ignore otherwise: a live
	// gateway that fails open does not cut a flow because a parser gave up.
	AppError stream.Exception
	// Tunnels says on which ports tunnels over UDP are looked for.
	Tunnels packet.Tunnels
	// Bypass says which flows are finished with before they end.
	Bypass BypassConfig
	// IPIP looks into IPv4 within IPv4 too. Suricata 7 looks into all other
	// tunnels that garita does, but not into this one.
	IPIP bool
	// IgnoreChecksums has packets with wrong checksums inspected like others
	// (Suricata's -k none). A live queue never looks: the kernel does.
	IgnoreChecksums bool
	// Notify is told what an operator should know: a caught panic, a table
	// removed by others, a log that cannot be written. It may be called from
	// several goroutines, never on the path of a packet that is well. nil is
	// deaf.
	Notify func(Notice)
}

// HTTPServer is how servers of a network read HTTP.
type HTTPServer struct {
	Net  netip.Prefix
	HTTP *app.HTTPConfig // see app.HTTPConfig.WithDefaults
}

// FailMode is one of the two ways to fail.
type FailMode uint8

const (
	// Open lets traffic pass uninspected.
	Open FailMode = iota
	// Closed drops it.
	Closed
)

// String is "open" or "closed".
func (m FailMode) String() string {
	if m == Closed {
		return "closed"
	}
	return "open"
}

// ParseFailMode reads "open" or "closed".
func ParseFailMode(s string) (FailMode, error) {
	switch s {
	case "open":
		return Open, nil
	case "closed":
		return Closed, nil
	}
	return Open, fmt.Errorf("%q is neither open nor closed", s)
}

// FailPolicy says what happens to traffic, case by case, when garita cannot
// judge it. The zero value fails open everywhere: the network goes on.
type FailPolicy struct {
	Crash     FailMode // the process is gone
	Overload  FailMode // queue or receive buffer full
	Malformed FailMode // a packet that cannot be decoded
	Internal  FailMode // a panic, or a handler without a verdict
	Memory    FailMode // a byte budget is used up
}

// FailAll is the policy that is m in every case.
func FailAll(m FailMode) FailPolicy {
	return FailPolicy{Crash: m, Overload: m, Malformed: m, Internal: m, Memory: m}
}

func (m FailMode) verdict(why packet.Reason) packet.Verdict {
	if m == Closed {
		return packet.Drop(why)
	}
	return packet.Accept().Because(why)
}

// Notice is something an operator should know.
type Notice struct {
	Severity Severity
	Text     string
	Err      error  // may be nil
	Packet   []byte // the bytes of the packet it is about, or nil; yours to keep
	Queue    uint16
}

// Severity ranks notices.
type Severity uint8

const (
	Info Severity = iota
	Warning
	Failure
)

// Run opens an engine, runs it until ctx ends, and leaves nothing behind. It
// needs CAP_NET_ADMIN in the network namespace.
func Run(ctx context.Context, cfg Config) error {
	e, err := New(cfg)
	if err != nil {
		return err
	}
	return e.Run(ctx)
}
