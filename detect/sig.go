package detect

import (
	"github.com/garita/garita/app"
	"github.com/garita/garita/rule"
)

// sig is one compiled rule, in one direction of its head ("<>" makes two).
// Sigs are sorted by the order in which they take effect; their index is their
// place in it.
type sig struct {
	info  *Info
	flags sigFlags
	kind  sigKind
	flow  flowFlags

	protos  *protoSet    // IP protocols; nil = any
	apps    app.ProtoSet // application protocols; 0 = any or none
	src     int32        // index of an address set, -1 = any
	dst     int32
	sport   int32 // index of a port set, -1 = any
	dport   int32
	dirs    app.DirSet
	conds   []cond      // conditions on the packet and the flow
	payload *chain      // contents of payload or stream, nil = none
	pktBufs []pbuf      // contents of packet header buffers
	engines [2][]engine // conditions on a transaction, by direction, in order of stage
	post    []effect
	fast    fastPattern
	thresh  []*threshold
	detFilt *threshold
	num     int32 // of the rule, both directions of "<>" alike
	order   orderKey
}

type sigFlags uint32

const (
	sigIPv4       sigFlags = 1 << iota // only IPv4
	sigIPv6                            // only IPv6
	sigNeedPacket                      // payload is that of the packet
	sigNeedStream                      // payload is the stream
	sigNeedFlow
	sigTx // has conditions on transactions
	sigFrame
	sigNoAlert
	sigAlert // keyword alert: a pass rule leaves a record
	sigTargetSrc
	sigTargetDst
	sigPrefilter // reached through a matcher only
	sigStreamSize
	sigReplace
	sigProtoDetect // inspects app-layer-protocol
	sigBidirectional
	sigRealPacket // a keyword needs a packet, not only its payload
)

// sigKind is how Suricata classes the rule; it decides whether an action is
// for the packet or the flow.
type sigKind uint8

const (
	kindPacket       sigKind = iota
	kindIPOnly               // addresses only: once a flow and direction
	kindLikeIPOnly           // as above, but with negated addresses or flow bits
	kindProtoOnly            // application protocol only
	kindDecodeOnly           // decoder events only
	kindPacketStream         // payload of packet and stream
	kindStream               // payload of the stream
	kindApp                  // conditions on the application layer as a whole
	kindTx                   // conditions on transactions
)

type protoSet [4]uint64

func (s *protoSet) has(p uint8) bool { return s[p>>6]>>(p&63)&1 != 0 }
func (s *protoSet) set(p uint8)      { s[p>>6] |= 1 << (p & 63) }

type flowFlags uint16

const (
	flowToServer flowFlags = 1 << iota
	flowToClient
	flowEstablished
	flowNotEstablished
	flowStateless
	flowOnlyStream
	flowNoStream
	flowOnlyFrag
	flowNoFrag
)

// engine is one condition on a transaction: a chain of contents on a buffer,
// or a number, an event, a file.
type engine struct {
	kind   engineKind
	from   uint8 // what the transaction must have reached to be looked at
	stage  uint8 // where what is looked at is final
	multi  bool
	fast   bool // has the fast pattern, or would if it were not negated
	file   bool // conditions on one file
	absent absence
	buf    int32  // of engineBuffer: index of a bufDef
	chain  *chain // engineBuffer
	conds  []txCond
}

type engineKind uint8

const (
	engineBuffer  engineKind = iota
	enginePayload            // contents of payload or stream in a rule on transactions
	engineConds              // numbers, events, files
)

// absence is what the absent keyword says.
type absence uint8

const (
	presentOnly absence = iota
	absentOnly          // absent;
	absentOr            // absent: or_else;
)

// bufDef is a buffer that contents are matched on: a field, and what is done to
// it before.
type bufDef struct {
	name       string
	field      app.Field
	special    special
	transforms []transform
	protos     app.ProtoSet
	dirs       app.DirSet
	stage      uint8
	kind       app.Kind
	multi      bool   // a field with several values: each is matched by itself
	frame      string // of FrameData: which frames
	magic      bool   // of files: what kind they are, not their names
}

// grows says whether the buffer has values before its stage is reached: bodies,
// and the names of files, of which a message may bring more.
func (d *bufDef) grows() bool { return d.kind == app.KindBody || d.field == app.FileName }

// from is the stage a transaction must have reached for the buffer to be looked
// at. Single headers of HTTP/1 are as soon as their line is whole; the block of
// all of them, and the host that is made of it, with its end.
func (d *bufDef) from() uint8 {
	switch d.field {
	case app.HTTPUserAgent, app.HTTPAccept, app.HTTPAcceptEnc, app.HTTPAcceptLang, app.HTTPReferer, app.HTTPCookie,
		app.HTTPContentType, app.HTTPContentLen, app.HTTPConnection, app.HTTPServer, app.HTTPLocation,
		app.HTTPRequestHeader, app.HTTPResponseHeader:
		return app.StageLine
	}
	if d.grows() {
		return app.StageStarted
	}
	return d.stage
}

// isFinal says that what is looked at at a stage does not change any more.
func isFinal(stage, progress uint8, through bool) bool {
	return through || progress > stage || stage > 0 && progress >= stage
}

// special are buffers that are no fields of transactions.
type special uint8

const (
	notSpecial special = iota
	bufPayload
	bufIPv4Header
	bufIPv6Header
	bufTCPHeader
	bufUDPHeader
	bufICMPv4Header
	bufICMPv6Header
	bufBase64
	bufSrcAddr // the address as 4 or 16 bytes
	bufDstAddr
)

// pbuf is a chain on a buffer of the packet's headers.
type pbuf struct {
	buf   int32
	chain *chain
}

// chain is a sequence of contents, expressions and byte operations on one
// buffer.
type chain struct {
	nodes []node
	// base64 is matched on what a base64_decode node of this chain decoded.
	base64 *chain
}

// orderKey sorts sigs: action, then what they do to shared state, then
// priority.
type orderKey struct {
	action   uint8
	flowbits uint8
	flowint  uint8
	flowvar  uint8
	pktvar   uint8
	hostbits uint8
	ipbits   uint8
	prio     uint8
}

// actionOrder is the place of an action in the order of the configuration.
func (c *compiler) actionOrder(a rule.Action) uint8 {
	if a.IsReject() {
		a = rule.Reject
	}
	for i, x := range c.cfg.ActionOrder {
		if x.IsReject() {
			x = rule.Reject
		}
		if x == a {
			return uint8(i)
		}
	}
	switch a {
	case rule.Pass:
		return 10
	case rule.Drop:
		return 11
	case rule.Reject:
		return 12
	}
	return 13
}
