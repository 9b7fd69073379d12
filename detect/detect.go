// Package detect compiles rules to an immutable [Ruleset] and says what they
// make of each packet: an [Outcome] with an action, its reach and the alerts.
//
// The meaning of keywords, the order of rules and the effect of actions are
// those of Suricata 7. A [Ruleset] is shared by any number of workers; a
// [Worker] belongs to one goroutine and holds all that changes: scratch
// memory, thresholds, host bits. What belongs to a flow is in its [Flow], what
// belongs to a transaction hangs on the transaction.
//
// Nothing is allocated for a packet that matches no rule.
package detect

import (
	"github.com/oschwald/maxminddb-golang"

	"github.com/garita/garita/app"
	"github.com/garita/garita/packet"
	"github.com/garita/garita/rule"
)

// MaxAlerts is how many alerts of one packet are kept, unless Config says
// otherwise (Suricata's packet-alert-max).
const MaxAlerts = 15

// RegexSteps is how many steps the expressions of all rules may take on one
// packet, unless Config says otherwise: some 15 to 40 ms, three times what the
// busiest packet of the test captures takes under all rules of ET Open.
const RegexSteps = 2_500_000

// Config is what the operator may choose. The zero value is Suricata's
// packaged configuration, in detection mode.
type Config struct {
	Vars *rule.Vars // nil: rule.DefaultVars
	// Classes are the classtypes, by short name; nil: Suricata's own.
	Classes map[string]Class
	// References are the prefixes of reference kinds (reference.config); nil:
	// Suricata's own.
	References map[string]string
	// Inline: packets are judged before they are forwarded. Bodies are
	// inspected with every packet, replace is done.
	Inline bool
	// ActionOrder is the order in which actions take effect; nil: pass, drop,
	// reject, alert.
	ActionOrder []rule.Action
	// MaxAlerts of one packet; 0 means 15.
	MaxAlerts int
	// ContentSteps bounds the tries of one chain of contents; 0 means 3000.
	ContentSteps int
	// RegexSteps bounds the steps of all expressions on one packet; 0 means
	// RegexSteps. One search takes no more than pcre.DefaultSteps of them, and 16 a byte.
	RegexSteps int
	// Body windows of HTTP in bytes, 0 for the defaults: what is seen at
	// first, and how much of what was seen is shown again with new bytes.
	RequestBodyMinInspect  int // 32 KiB
	RequestBodyWindow      int // 4 KiB
	ResponseBodyMinInspect int // 40 KiB
	ResponseBodyWindow     int // 16 KiB
	// DataDir is where relative names of dataset files are looked up, and where
	// SaveDatasets is to put them; "" for none.
	DataDir string
	// ReadFile reads the files that rules name (datasets, hash lists); nil
	// refuses such rules.
	ReadFile func(name string) ([]byte, error)
	// Env lists what the requires keyword may ask for besides keywords; nil:
	// the features of a plain build.
	Features []string
	// Datasets are the sets that the configuration declares (section datasets);
	// rules may name them without a type.
	Datasets []DatasetConfig
	// Reputation of addresses, for iprep; nil refuses such rules.
	Reputation *Reputation
	// GeoIP is the database of countries, see OpenGeoIP; nil refuses the rules
	// that need one.
	GeoIP *maxminddb.Reader
	// StoresFiles and StoresCerts say that what filestore and tls.store ask for is
	// kept; otherwise such rules get a warning.
	StoresFiles, StoresCerts bool
	// Thresholds are the entries of threshold.config.
	Thresholds []ThresholdEntry
}

// DatasetConfig declares a dataset.
type DatasetConfig struct {
	Name string
	Type string // string, md5, sha256, ipv4 or ip
	Load string // file to fill it from; "" begins empty
}

// Class is a classtype.
type Class struct {
	Text     string
	Priority int
}

// Info is what is known of a rule besides how it matches: all that a log
// wants to say about it. Immutable.
type Info struct {
	Sid, Rev, Gid uint32
	Msg           string
	Class         string // the classtype's text, "" without classtype
	Classtype     string // its short name
	Priority      int
	References    []Reference
	Metadata      []Pair // in the order of the rule
	Target        Target
	Action        rule.Action
	NoAlert       bool
	Proto         string // as in the rule's head
	Text          string // the rule as it was written
	File          string
	Line          int
}

// Reference is a pointer to more about a rule.
type Reference struct{ Kind, Value, URL string }

// Pair is one entry of a rule's metadata.
type Pair struct{ Key, Value string }

// Target says which side of a packet the rule protects.
type Target uint8

const (
	NoTarget Target = iota
	SrcIsTarget
	DstIsTarget
)

// Input is one packet and what the flow and stream stages know about it. The
// engine fills it in; the slices are borrowed for the call.
type Input struct {
	Packet *packet.Packet
	// Flow is the packet's flow, nil if it belongs to none.
	Flow *Flow
	// Dir is the packet's direction in its flow.
	Dir app.Dir
	// Established: the flow is set up (TCP: handshake seen; others: both
	// sides have spoken).
	Established bool
	// InStream: the payload was given to TCP reassembly. A TCP payload that was
	// not is inspected by itself as if it were a piece of a stream.
	InStream bool
	// Raw is the piece of the stream in the packet's direction that is due
	// for inspection, nil if none is. RawOffset is its place in the stream.
	Raw       []byte
	RawOffset uint64
	// RawStart and RawEnd: Raw begins at the stream's first byte, ends at its
	// last.
	RawStart, RawEnd bool
	// Rebuilt: the packet was put together from fragments.
	Rebuilt bool
	// Carrier: the packet carries another one in a tunnel, which is judged by
	// itself. The carrier's payload is not looked at.
	Carrier bool
	// EndOfFlow: no more packets of this direction will be judged; what waited
	// for more bytes is judged with what there is.
	EndOfFlow bool
	// Flush: there is no packet, only Raw, which no packet will show any more.
	Flush bool
	// Unfinished, at the end of a flow: this direction was not judged to its end
	// before. Then rules that ask for addresses or an application protocol
	// alone are judged once more, as by the packet that Suricata makes up.
	Unfinished bool
	// Refused: the packet is dropped already because it does not fit its session.
	// What it carries is not looked at, what is odd about it is.
	Refused bool
	// StreamEvents are oddities of the TCP session that this packet showed,
	// by Suricata's names ("3whs_ack_in_wrong_dir"), without the prefix
	// "stream.".
	StreamEvents []string
}

// Flow is what detection keeps on a flow. Embed it in the flow's record; the
// zero value is a new flow. Reset it before reuse.
type Flow struct {
	// Conn is the application layer, nil if there is none.
	Conn *app.Conn
	// Key distinguishes the flow from others, for keys of thresholds and tags.
	Key uint64
	// StreamSize is how many sequence numbers each direction's sender has used
	// in its turn, the SYN's included: what stream_size compares.
	StreamSize [2]uint32
	// Packets and Bytes of each direction, the current packet included.
	Packets [2]uint64
	Bytes   [2]uint64
	// Start is the time of the first packet in nanoseconds.
	Start int64
	// Store are the directions of which all files to come are to be kept.
	Store app.DirSet

	bits    []uint32 // ids of flowbits that are set
	ints    []flowInt
	fvars   []flowVar
	action  rule.Action // of the whole flow
	by      *Info
	ipOnly  [2]bool
	cipher  bool    // payload is no longer looked at
	aEvents uint8   // how many of Conn.Events were judged
	known   [2]bool // the direction's protocol was known behind the last packet
	told    [2]bool // and a packet of it began so
	tags    []tagState
}

type flowInt struct {
	id uint32
	v  uint32
}

type flowVar struct {
	id uint32
	v  []byte
}

// Reset makes f as new; it keeps memory for reuse.
func (f *Flow) Reset() {
	*f = Flow{bits: f.bits[:0], ints: f.ints[:0], fvars: f.fvars[:0], tags: f.tags[:0]}
}

// Action is what became of the whole flow: NoAction, Pass, Drop. Who drops a
// packet by it needs no Inspect.
func (f *Flow) Action() rule.Action { return f.action }

// By is the rule that decided over the whole flow, or nil.
func (f *Flow) By() *Info { return f.by }

// SetAction decides over the rest of the flow from outside the rules (an
// exception policy, an operator).
func (f *Flow) SetAction(a rule.Action) { f.action = a }

// Alert is one rule that matched.
type Alert struct {
	Info *Info
	// Tx is the transaction it matched, nil if it matched the packet or the
	// stream. Valid until the transaction is retired.
	Tx app.Tx
	// Stream: it matched in the reassembled stream.
	Stream bool
	// Blocked: the packet is dropped by this rule.
	Blocked bool
	// Rated: the action was changed by a rate_filter to NewAction.
	NewAction rule.Action

	sig *sig
}

// Edit replaces bytes of the packet's payload.
type Edit struct {
	Off  int // of the payload
	Data []byte
}

// Outcome is what the rules made of a packet. It belongs to the caller, who
// gives the same one again.
type Outcome struct {
	// Action is what is to be done: NoAction (let it go on), Pass (the same,
	// and no rule of lower order counts), Drop, or one of the rejects.
	Action rule.Action
	// WholeFlow: the action is for the rest of the flow too.
	WholeFlow bool
	// By is the rule that decided, nil without an action.
	By *Info
	// Bypass: a rule says that the rest of the flow needs no looking at.
	Bypass bool
	// Mark are the bits of MarkMask that rules want in the packet's mark
	// (nfq_set_mark).
	Mark, MarkMask uint32
	// Alerts to be logged, in order.
	Alerts []Alert
	// Suppressed counts matches that thresholds hid, Discarded those that
	// exceeded MaxAlerts.
	Suppressed, Discarded int
	// RegexLimited counts the searches of expressions that gave up for want of
	// steps. They found nothing, and a negated one did not match either.
	RegexLimited int
	// Edits are payload replacements to be done. Their bytes belong to the
	// rules.
	Edits []Edit
	// Vars are the variables of the packet that expressions kept (pcre with
	// pkt:). They belong to the worker until the next packet.
	Vars []Var
	// Tagged: a tag of an earlier alert wants this packet logged. TaggedBy
	// is the rule that set it.
	Tagged   bool
	TaggedBy *Info
}

// Var is a variable: the number of its name, see Ruleset.Name, and its value.
type Var struct {
	Name    uint32
	Value   []byte
	at, end int
}

func (o *Outcome) reset() {
	clear(o.Alerts)
	o.Alerts = o.Alerts[:0]
	o.Edits = o.Edits[:0]
	o.Vars = nil
	o.Action, o.WholeFlow, o.By = rule.NoAction, false, nil
	o.Suppressed, o.Discarded, o.RegexLimited = 0, 0, 0
	o.Tagged, o.TaggedBy, o.Bypass = false, nil, false
	o.Mark, o.MarkMask = 0, 0
}
