package app

import "net/netip"

// Config is what the operator may choose. The zero value is Suricata's
// default.
type Config struct {
	// Disabled protocols are neither recognised nor parsed.
	Disabled ProtoSet
	// Enabled are protocols to be recognised although they are not by
	// default: MODBUS, ENIP, DNP3, PGSQL.
	Enabled ProtoSet
	// DetectOnly protocols are recognised, not parsed.
	DetectOnly ProtoSet
	// Ports are those of the server on which a protocol is looked for that has no
	// unmistakable beginning, by transport, instead of the usual ones.
	Ports [2]map[Proto][]PortRange
	// MaxTx is how many unfinished transactions a flow may have before the
	// oldest is closed by force; 0 means 512.
	MaxTx int
	// Frames has parsers announce frames (Conn.Frames).
	Frames bool
	// HashFiles computes the sums of files that are kept whole.
	HashFiles bool
	HTTP      HTTPConfig // a protocol with options adds its section behind this one
	SMTP      SMTPConfig
}

// offByDefault are the protocols that Suricata leaves off unless told
// otherwise.
const offByDefault ProtoSet = 1<<MODBUS | 1<<ENIP | 1<<DNP3 | 1<<PGSQL

// Env is what the connections of one worker share: the configuration, spare
// parsers and buffers, counters. It belongs to one goroutine.
type Env struct {
	Config Config
	Stats  Stats

	streamPorts, datagramPorts []portProbe

	spare    [NProto][]parser
	bufs     [][]byte
	httpTx   []*HTTPTx
	decoders []*decoder
	chains   []*decoderChain
}

// Stats counts what happened to the connections of an Env.
type Stats struct {
	Flows     [2][NProto]uint64 // flows by transport and recognised protocol, Failed included
	Tx        [2][NProto]uint64 // transactions
	Gaps      uint64            // gaps given to parsers
	Errors    [2][NProto]uint64 // parsers that gave up
	TxForced  uint64            // transactions closed because of MaxTx
	BodyBytes uint64            // decoded body bytes kept
}

// Add adds o.
func (s *Stats) Add(o *Stats) {
	for t := range s.Flows {
		for p := range s.Flows[t] {
			s.Flows[t][p] += o.Flows[t][p]
			s.Tx[t][p] += o.Tx[t][p]
			s.Errors[t][p] += o.Errors[t][p]
		}
	}
	s.Gaps += o.Gaps
	s.TxForced += o.TxForced
	s.BodyBytes += o.BodyBytes
}

// NewEnv makes the shared part for one worker.
func NewEnv(cfg Config) *Env {
	if cfg.MaxTx == 0 {
		cfg.MaxTx = 512
	}
	cfg.HTTP.defaults()
	cfg.Disabled |= offByDefault &^ cfg.Enabled
	return &Env{Config: cfg, streamPorts: probesOn(streamPorts[:], cfg.Ports[TCP]), datagramPorts: probesOn(datagramPorts[:], cfg.Ports[UDP])}
}

// parser is one protocol's state on one connection.
//
// parse gets bytes of a direction in order, always beginning with the first
// byte it has not consumed yet, and says how many it consumed. need is the
// least number of bytes it wants to see (from the first unconsumed one) before
// it is called again; 0 means any more. The rest is kept for it, up to
// its maxPending; a parser that cannot consume anything of so many bytes
// has failed. So what a parser does may depend only on the bytes, never on
// where a chunk ends.
//
// data is borrowed for the call.
type parser interface {
	parse(c *Conn, d Dir, data []byte) (n, need int)
	// gap: n bytes of direction d are lost; the unconsumed ones before
	// them were passed to parse and are gone too. false: cannot go on.
	gap(c *Conn, d Dir, n uint64) bool
	// close: no more bytes in direction d. tail is what was never consumed.
	close(c *Conn, d Dir, tail []byte)
	// datagram parses one whole message.
	datagram(c *Conn, d Dir, data []byte)
	// reset makes the parser as new, for use on another connection. It keeps
	// what saves allocations and is small.
	reset()
	// maxPending bounds the bytes kept for the parser in one direction.
	maxPending() int
}

// Hints is what the flow tells about itself before there are bytes.
type Hints struct {
	Transport Transport
	// Ports of the flow as its first packet had them: destination is the
	// server's.
	SrcPort, DstPort uint16
	// Midstream: the beginning was not seen, the direction may be wrong.
	Midstream bool
	// HTTP is how the server reads HTTP; nil means as Config.HTTP says. It has
	// been through WithDefaults.
	HTTP *HTTPConfig
	// Expected is the expectation the flow fulfils, nil as a rule.
	Expected *Expectation
}

// Expectation announces a connection that a control connection has agreed on
// (FTP data). The engine keeps it and passes it in Hints when such a flow
// begins.
type Expectation struct {
	Proto Proto
	// Addr is the listening side; the zero Addr means the side that
	// Listener names of the control connection.
	Addr     netip.Addr
	Listener Dir // ToServer: the control connection's server listens
	Port     uint16
	// Info is for the parser of the expected connection.
	Info any
	// Owner belongs to the engine: the flow that announced it.
	Owner uint64
}

// Conn is the application layer of one flow. The zero Conn needs Reset before
// use. It belongs to its Env's goroutine.
type Conn struct {
	// Events are anomalies of the connection that belong to no transaction,
	// by Suricata's names (applayer_mismatch_protocol_both_directions …).
	Events []Event
	// Expected are connections announced since the engine last emptied it.
	Expected []Expectation

	env    *Env
	parser parser
	hints  Hints
	txs    []Tx
	nextID uint64

	proto [2]Proto // by direction; Unknown until recognised
	alp   Proto    // the one that is parsed
	orig  Proto    // before the last protocol change
	// expect is what a protocol change promised to follow, Unknown if nothing.
	expect Proto
	buf    [2][]byte
	need   [2]int
	total  [2]uint64 // bytes seen, gaps included

	frames     []*Frame
	frameBytes int
	frameIDs   [2]uint64
	whole      [2]*Frame // each direction of a stream
	framesOld  int       // of frames, how many are older than the bytes at hand
	parsed     [2]uint64 // bytes that parsers are through with, gaps included

	flags connFlags
	probe probeState
}

// Seen is how many bytes of direction d were given to the parser, gaps included.
func (c *Conn) Seen(d Dir) uint64 { return c.total[d] }

type connFlags uint16

const (
	flagEncrypted connFlags = 1 << iota // the rest is cipher text
	flagDone                            // nothing more will be parsed
	flagSwitch                          // the parser asked for a protocol change
	flagClosedTS
	flagClosedTC
	flagMismatch
	flagSkipTS // direction is no longer looked at
	flagSkipTC
	flagBroken // the parser gave up
	flagWakeTS
	flagWakeTC
	flagTurned    // what was taken for the server is the client
	flagMessageTS // a message was read that ends no transaction
	flagMessageTC
)

// message notes that a message of direction d was read, for MessageEnded.
func (c *Conn) message(d Dir) { c.flags |= flagMessageTS << d }

// Reset prepares the connection for a new flow. What an earlier flow left is
// given back to its Env.
func (c *Conn) Reset(env *Env, h Hints) {
	c.Release()
	c.env = env
	c.hints = h
	if h.Expected != nil {
		c.become(h.Expected.Proto)
	}
}

// Release gives buffers and parsers back to the Env. The connection is empty
// afterwards; transactions obtained from it are no longer valid.
func (c *Conn) Release() {
	if c.env == nil {
		return
	}
	for d := range c.buf {
		c.env.putBuf(c.buf[d])
	}
	c.dropParser()
	for _, t := range c.txs {
		if h, ok := t.(*HTTPTx); ok && h.h2 == nil {
			c.env.recycle(h)
		}
	}
	clear(c.txs)
	clear(c.frames)
	*c = Conn{frames: c.frames[:0], Events: c.Events[:0], Expected: c.Expected[:0], txs: c.txs[:0]}
}

// Proto is the protocol that is parsed: Unknown while nothing is recognised,
// Failed once nothing will be.
func (c *Conn) Proto() Proto { return c.alp }

// ProtoOf is what direction d by itself looked like.
func (c *Conn) ProtoOf(d Dir) Proto { return c.proto[d] }

// OrigProto is the protocol before the last change (STARTTLS, CONNECT,
// Upgrade); Unknown if there was none.
func (c *Conn) OrigProto() Proto { return c.orig }

// Encrypted says that what follows is cipher text.
func (c *Conn) Encrypted() bool { return c.flags&flagEncrypted != 0 }

// Done says that no more bytes of this flow will be parsed: the protocol is
// encrypted, finished or unknown for good. Transactions may still be live.
func (c *Conn) Done() bool { return c.flags&flagDone != 0 }

// Transactions are the live transactions, oldest first. The slice is valid
// until the next call of another method.
func (c *Conn) Transactions() []Tx { return c.txs }

// MessageEnded says whether a message of direction d has become complete since
// it was last asked: the raw bytes of the direction are worth a look then,
// together with the transaction.
func (c *Conn) MessageEnded(d Dir) bool {
	any := c.flags&(flagMessageTS<<d) != 0
	c.flags &^= flagMessageTS << d
	h, _ := c.parser.(*http1)
	for i, t := range c.txs {
		if b := t.Base(); b.Done(d) && !b.told.Has(d) {
			if i == len(c.txs)-1 && d == ToServer && h != nil && h.undecided(len(c.buf[d]) > 0) {
				break // told once it is clear that it is the end
			}
			b.told |= 1 << d
			any = any || !b.OneWay || b.From == d
		}
	}
	return any
}

// Retire takes away the transactions that are Finished. Their memory may be
// used again: nothing of them may be touched afterwards.
func (c *Conn) Retire() {
	k := 0
	for _, t := range c.txs {
		if !t.Base().Finished {
			c.txs[k] = t
			k++
			continue
		}
		if h, ok := t.(*HTTPTx); ok {
			switch p := c.parser.(type) {
			case *http1:
				if h.h2 == nil && p.forget(h) {
					c.env.recycle(h)
				}
			case *http2:
				if h.h2 != nil {
					p.forget(h)
				}
			}
		}
	}
	clear(c.txs[k:])
	c.txs = c.txs[:k]
}

// Feed gives the next bytes of direction d. data is borrowed for the call.
func (c *Conn) Feed(d Dir, data []byte) {
	if len(data) == 0 || c.env == nil {
		return
	}
	c.framesOld = len(c.frames)
	c.total[d] += uint64(len(data))
	c.feed(d, data)
	// A parser may have made the other direction's waiting bytes interesting:
	// it answered a question, or the protocol has changed.
	for i := 0; i < 4 && c.flags&(flagWakeTS|flagWakeTC) != 0; i++ {
		for _, e := range [2]Dir{ToServer, ToClient} {
			if c.flags&(flagWakeTS<<e) != 0 {
				c.flags &^= flagWakeTS << e
				c.pump(e)
			}
		}
	}
}

func (c *Conn) feed(d Dir, data []byte) {
	for len(data) > 0 && c.flags&flagDone == 0 {
		if !c.probe.settled[d] {
			c.detect(d, data)
			return
		}
		if c.parser == nil {
			return // recognised only
		}
		data = c.run(d, data)
		if o := d.Other(); len(data) > 0 && c.flags&(flagWakeTS<<o) != 0 {
			c.flags &^= flagWakeTS << o
			c.pump(o) // older than the rest of this chunk
		}
	}
}

// pump feeds what is kept of direction d once more.
func (c *Conn) pump(d Dir) {
	b := c.buf[d]
	if len(b) == 0 {
		return
	}
	c.buf[d] = nil
	c.need[d] = 0
	c.feed(d, b)
	c.env.putBuf(b)
}

// wake has the kept bytes of direction d fed again, when the running call is
// through.
func (c *Conn) wake(d Dir) { c.flags |= flagWakeTS << d }

// run gives data to the parser, behind what it left unconsumed, and keeps what
// it leaves. It returns what is left when the parser went away (protocol
// change), nil as a rule.
func (c *Conn) run(d Dir, data []byte) []byte {
	if c.flags&(flagSkipTS<<d) != 0 {
		return nil
	}
	if c.wantsFrames() {
		c.streamFrame(d, data)
	}
	limit := c.parser.maxPending()
	for len(data) > 0 {
		// The parser sees at most limit bytes at a time, whatever the chunk.
		var win []byte
		kept := len(c.buf[d])
		take := min(len(data), limit-kept)
		if kept == 0 {
			win = data[:take]
		} else {
			c.keep(d, data[:take])
			win = c.buf[d]
		}
		data = data[take:]
		if len(win) < c.need[d] && len(win) < limit {
			if kept == 0 {
				c.keep(d, win)
			}
			continue
		}
		p := c.parser
		n, need := p.parse(c, d, win)
		n = min(n, len(win))
		c.parsed[d] += uint64(n)
		for c.flags&(flagWakeTS<<d.Other()) != 0 && c.flags&(flagDone|flagSwitch) == 0 && c.parser == p {
			// What waits in the other direction comes before the rest of
			// this one, wherever the chunk ends.
			c.flags &^= flagWakeTS << d.Other()
			c.pump(d.Other())
			if n == len(win) || c.flags&flagDone != 0 || c.parser != p {
				break
			}
			var k int
			k, need = p.parse(c, d, win[n:])
			k = min(k, len(win)-n)
			c.parsed[d] += uint64(k)
			n += k
		}
		if c.flags&flagDone != 0 || c.flags&(flagSkipTS<<d) != 0 {
			c.clearBuf(d)
			return nil
		}
		if c.flags&flagSwitch != 0 || c.parser != p {
			c.flags &^= flagSwitch
			return c.afterSwitch(d, win[n:], data)
		}
		c.need[d] = need
		rest := len(win) - n
		switch {
		case rest >= limit || need > limit:
			c.fail()
			return nil
		case kept > 0:
			if n > 0 {
				copy(c.buf[d], c.buf[d][n:])
				c.buf[d] = c.buf[d][:rest]
			}
			if rest == 0 {
				c.clearBuf(d)
			}
		case rest > 0:
			c.keep(d, win[n:])
		}
	}
	return nil
}

// afterSwitch joins what the old parser left with what it never saw.
func (c *Conn) afterSwitch(d Dir, left, data []byte) []byte {
	c.need[d] = 0
	if len(c.buf[d]) == 0 && len(left)+len(data) <= cap(left) && len(left) > 0 {
		return left[:len(left)+len(data)] // both are pieces of the caller's chunk
	}
	if len(c.buf[d]) == 0 {
		if len(left) == 0 {
			return data
		}
		return left
	}
	joined := make([]byte, 0, len(left)+len(data)) // rare: once a protocol change
	joined = append(append(joined, left...), data...)
	c.clearBuf(d)
	return joined
}

// Gap says that n bytes of direction d will never come.
func (c *Conn) Gap(d Dir, n uint64) {
	if c.env == nil || n == 0 {
		return
	}
	c.total[d] += n
	c.env.Stats.Gaps++
	if c.flags&flagDone != 0 {
		return
	}
	if !c.probe.settled[d] {
		c.detectGap(d)
		return
	}
	if c.parser == nil {
		return
	}
	if p, ok := c.parser.(*http1); ok {
		c.parsed[d] += n
		p.gap(c, d, n) // keeps half a line
		return
	}
	tail := c.buf[d]
	c.buf[d] = nil
	c.need[d] = 0
	c.parsed[d] += uint64(len(tail)) + n
	if !c.parser.gap(c, d, n) {
		c.fail()
	}
	c.env.putBuf(tail)
}

// Close says that no more bytes will come in direction d.
func (c *Conn) Close(d Dir) {
	if c.env == nil || c.flags&(flagClosedTS<<d) != 0 {
		return
	}
	c.flags |= flagClosedTS << d
	if c.parser == nil {
		return
	}
	tail := c.buf[d]
	c.buf[d] = nil
	if c.flags&flagDone == 0 {
		c.parser.close(c, d, tail)
	}
	c.env.putBuf(tail)
	if c.flags&(flagClosedTS|flagClosedTC) == flagClosedTS|flagClosedTC {
		c.finishAll()
	}
}

// Datagram gives one whole message of a datagram protocol. data is borrowed
// for the call.
func (c *Conn) Datagram(d Dir, data []byte) {
	if len(data) == 0 || c.env == nil || c.flags&flagDone != 0 {
		return
	}
	c.framesOld = len(c.frames)
	c.total[d] += uint64(len(data))
	if c.proto[d] == Unknown {
		d = c.detectDatagram(d, data)
	}
	if c.parser != nil {
		c.parser.datagram(c, d, data)
	}
}

// Turned says, once, that a datagram, or the stream of a session of which the
// client was guessed (Hints.Midstream), made known that the flow goes the other
// way: what was given as ToServer is from now on to be given as ToClient. What was
// given already is turned.
func (c *Conn) Turned() bool {
	t := c.flags&flagTurned != 0
	c.flags &^= flagTurned
	return t
}

// The rest of this file is for parsers.

// add appends a new transaction, numbers it and closes the oldest by force if
// there are too many.
func (c *Conn) add(t Tx) {
	b := t.Base()
	b.ID = c.nextID
	c.nextID++
	if b.Proto == Unknown {
		b.Proto = c.alp
	}
	c.env.Stats.Tx[c.hints.Transport][b.Proto]++
	c.txs = append(c.txs, t)
	live := 0
	for i := len(c.txs) - 1; i >= 0; i-- {
		if o := c.txs[i].Base(); !o.Complete() {
			if live++; live > c.env.Config.MaxTx {
				o.event("too_many_transactions")
				o.Progress = [2]uint8{StageComplete, StageComplete}
				c.env.Stats.TxForced++
				break
			}
		}
	}
}

// event notes an anomaly of the connection.
func (c *Conn) event(e Event) {
	for _, x := range c.Events {
		if x == e {
			return
		}
	}
	if len(c.Events) < maxEvents {
		c.Events = append(c.Events, e)
	}
}

// http is how the server of the connection reads HTTP.
func (c *Conn) http() *HTTPConfig {
	if h := c.hints.HTTP; h != nil {
		return h
	}
	return &c.env.Config.HTTP
}

// fail gives up parsing for good. Transactions under way are closed.
func (c *Conn) fail() {
	c.env.Stats.Errors[c.hints.Transport][c.alp]++
	c.flags |= flagBroken
	c.stop()
}

// Broken says that the parser gave up because the bytes break the protocol.
func (c *Conn) Broken() bool { return c.flags&flagBroken != 0 }

// stop ends parsing for good and closes the transactions under way.
func (c *Conn) stop() {
	c.flags |= flagDone
	c.finishAll()
}

// stopEncrypted ends parsing for good because the rest is cipher text.
// Transactions stay as the parser left them.
func (c *Conn) stopEncrypted() { c.flags |= flagDone | flagEncrypted }

// skip ends parsing of one direction.
func (c *Conn) skip(d Dir) {
	c.flags |= flagSkipTS << d
	if c.flags&(flagSkipTS|flagSkipTC) == flagSkipTS|flagSkipTC {
		c.flags |= flagDone
	}
}

// finishAll closes what is still open: nothing more will come.
func (c *Conn) finishAll() {
	for _, f := range c.frames {
		f.complete()
	}
	for _, t := range c.txs {
		b := t.Base()
		b.Progress = [2]uint8{StageComplete, StageComplete}
		for _, f := range b.Files {
			if !f.Done {
				f.Done, f.Truncated = true, true
			}
		}
	}
}

// changeProto ends the present protocol behind the bytes that the running
// parse call says it consumed. p is what follows. Transactions of the old
// protocol stay.
func (c *Conn) changeProto(p Proto) {
	c.endProto()
	c.become(p)
}

// recogniseAnew is changeProto to a protocol that is to be recognised, by the
// probes of this port of the server if it is not 0. expect is what should come,
// Unknown if anything may.
func (c *Conn) recogniseAnew(expect Proto, port uint16) {
	c.endProto()
	c.probe.parsing = true
	c.expect = expect
	if port != 0 {
		c.hints.DstPort = port
	}
}

func (c *Conn) endProto() {
	c.nextID = 0
	c.orig = c.alp
	c.flags |= flagSwitch
	c.parser = nil // the spare list gets it not: the caller still runs in it
	c.probe = probeState{}
	c.proto = [2]Proto{}
	c.alp = Unknown
	c.need = [2]int{}
	c.flags |= flagWakeTS | flagWakeTC
}

// become makes p the protocol of both directions.
func (c *Conn) become(p Proto) {
	c.proto = [2]Proto{p, p}
	c.probe.settled = [2]bool{true, true}
	c.probe.parsing = true
	c.start(p)
}

// start makes p the protocol that is parsed.
func (c *Conn) start(p Proto) {
	c.alp = p
	c.env.Stats.Flows[c.hints.Transport][p]++
	if p == Failed {
		c.flags |= flagDone
		return
	}
	if c.env.Config.DetectOnly.Has(p) {
		return
	}
	if s := c.env.spare[p]; len(s) > 0 {
		c.parser = s[len(s)-1]
		s[len(s)-1] = nil
		c.env.spare[p] = s[:len(s)-1]
		return
	}
	c.parser = newParser(p)
}

func (c *Conn) dropParser() {
	if c.parser == nil {
		return
	}
	if s := c.env.spare[c.alp]; len(s) < 64 {
		c.parser.reset()
		c.env.spare[c.alp] = append(s, c.parser)
	}
	c.parser = nil
}

// keep appends to what is kept for direction d.
func (c *Conn) keep(d Dir, p []byte) {
	if c.buf[d] == nil {
		c.buf[d] = c.env.getBuf()
	}
	c.buf[d] = append(c.buf[d], p...)
}

func (c *Conn) clearBuf(d Dir) {
	c.env.putBuf(c.buf[d])
	c.buf[d] = nil
}

func (e *Env) getBuf() []byte {
	if n := len(e.bufs); n > 0 {
		b := e.bufs[n-1]
		e.bufs[n-1] = nil
		e.bufs = e.bufs[:n-1]
		return b
	}
	return make([]byte, 0, 2048)
}

func (e *Env) putBuf(b []byte) {
	if cap(b) > 0 && cap(b) <= 64<<10 && len(e.bufs) < 256 {
		e.bufs = append(e.bufs, b[:0])
	}
}
