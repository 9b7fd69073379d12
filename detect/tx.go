package detect

import (
	"slices"

	"github.com/garita/garita/app"
)

// txState is what detection keeps on a transaction.
type txState struct {
	rs  *Ruleset
	dir [2]txDir
}

type txDir struct {
	done bool
	// trailer: the headers were searched once more behind the trailer.
	trailer bool
	// What the direction had when the rules were last judged.
	progress uint8
	seen     uint64   // in bytes, and 1 more
	ran      []uint64 // groups that need not run again, one bit each
	rules    []ruleState
}

// ruleState is a rule that matched in part, or cannot match any more.
type ruleState struct {
	sig  uint32
	met  uint32 // engines that matched
	over bool   // matched wholly, or cannot
}

// bodyWindow is the part of a body that is shown to the rules with this
// packet.
type bodyWindow struct {
	body *app.Body
	off  uint64
	none bool
}

// xbuf is the last result of transforms on a buffer.
type xbuf struct {
	gen  uint32
	src  []byte
	i    int
	data []byte
	mem  []byte
}

// Forget gives back what detection keeps on a transaction that is going to be
// retired.
func (w *Worker) Forget(b *app.TxBase) {
	if st, ok := b.Detect.(*txState); ok {
		b.Detect = nil
		for d := range st.dir {
			clear(st.dir[d].ran)
			st.dir[d] = txDir{ran: st.dir[d].ran, rules: st.dir[d].rules[:0]}
		}
		if len(w.spare) < 1024 && st.rs == w.rs {
			w.spare = append(w.spare, st)
		}
	}
}

// Inspected says whether detection is through with a transaction: nothing more
// of it will be looked at.
func (w *Worker) Inspected(b *app.TxBase) bool {
	st, ok := b.Detect.(*txState)
	if !ok {
		return !w.rs.anyTx // nothing ever will be
	}
	for d := app.ToServer; d <= app.ToClient; d++ {
		if !st.dir[d].done && !(b.OneWay && b.From != d) {
			return false
		}
	}
	return true
}

func (w *Worker) state(b *app.TxBase) *txState {
	if st, ok := b.Detect.(*txState); ok && st.rs == w.rs {
		return st
	}
	var st *txState
	if n := len(w.spare); n > 0 {
		st = w.spare[n-1]
		w.spare = w.spare[:n-1]
	} else {
		st = &txState{rs: w.rs}
	}
	b.Detect = st
	return st
}

// txRules judges by the rules on transactions.
func (w *Worker) txRules(in *Input, c *app.Conn) {
	for _, tx := range c.Transactions() {
		w.inspectTx(in, tx)
	}
	if w.rs.anyFrame {
		for _, f := range c.Frames() {
			w.inspectTx(in, f)
			if f.From == in.Dir && f.Done(in.Dir) {
				w.Forget(&f.TxBase)
			}
		}
		c.FramesInspected(in.Dir)
	}
}

func (w *Worker) inspectTx(in *Input, tx app.Tx) {
	b := tx.Base()
	d := in.Dir
	if b.OneWay && b.From != d {
		return
	}
	frames := sigFlags(0)
	if _, ok := tx.(*app.Frame); ok {
		frames = sigFrame
	}
	st := w.state(b)
	sd := &st.dir[d]
	if sd.done {
		return
	}
	progress := b.Progress[d]
	through := progress >= app.StageComplete || in.EndOfFlow
	rs := w.rs

	// Candidates: by pattern, by none, by what matched in part before, and
	// those whose pattern is in the payload.
	w.gen0()
	w.cand = w.cand[:0]
	groups := rs.tx[b.Proto][d]
	seen := uint64(1)
	if c := in.conn(); c != nil {
		seen += c.Seen(d)
	}
	fresh := seen != sd.seen || progress != sd.progress || in.EndOfFlow
	sd.seen, sd.progress = seen, progress
	trailer := !sd.trailer && progress >= app.StageTrailer && b.Trailers.Has(d)
	sd.trailer = sd.trailer || trailer
	for len(sd.ran)*64 < len(groups) {
		sd.ran = append(sd.ran, 0)
	}
	for i := range groups {
		g := &groups[i]
		if g.from > progress && !in.EndOfFlow {
			continue
		}
		if sd.ran[i>>6]>>(i&63)&1 != 0 && !(g.again && trailer) {
			continue
		}
		w.scanTx(g, in, tx, d)
		if !g.grows && isFinal(g.stage, progress, false) || through {
			sd.ran[i>>6] |= 1 << (i & 63)
		}
	}
	for _, id := range rs.txPlain[b.Proto][d] {
		w.candidate(id)
	}
	for i := range sd.rules {
		if !sd.rules[i].over {
			w.candidate(sd.rules[i].sig)
		}
	}
	for _, id := range w.txc {
		if rs.sigs[id].apps.Has(b.Proto) {
			w.candidate(id)
		}
	}
	slices.Sort(w.cand)
	for _, id := range w.cand {
		if rs.sigs[id].flags&sigFrame == frames {
			w.inspectRule(in, tx, b, sd, id, progress, through, fresh)
		}
	}
	if through {
		sd.done = true
	}
}

// gen0 begins a new set of candidates within the packet.
func (w *Worker) gen0() {
	for _, id := range w.cand {
		w.mark[id] = 0
	}
}

// scanTx looks for patterns in a buffer of a transaction.
func (w *Worker) scanTx(g *txGroup, in *Input, tx app.Tx, d app.Dir) {
	def := &w.rs.buffers[g.buf]
	if g.kind == app.KindBody {
		for i := 0; ; i++ {
			body := tx.Body(def.field, d, i)
			if body == nil {
				return
			}
			if data, _, ok := w.window(def, body, in, tx, d); ok {
				w.scan(g.group, w.transformedBuf(g.buf, i, data))
			}
			if !g.multi {
				return
			}
		}
	}
	for i := 0; ; i++ {
		data, ok := def.bytesOf(tx, d, i)
		if !ok {
			return
		}
		w.scan(g.group, w.transformedBuf(g.buf, i, data))
		if !g.multi {
			return
		}
	}
}

// inspectRule looks at one rule for one transaction; fresh says that its
// direction has gone on since the last look.
func (w *Worker) inspectRule(in *Input, tx app.Tx, b *app.TxBase, sd *txDir, id uint32, progress uint8, through, fresh bool) {
	s := &w.rs.sigs[id]
	at := -1
	for i := range sd.rules {
		if sd.rules[i].sig == id {
			at = i
			break
		}
	}
	var met uint32
	if at >= 0 {
		if sd.rules[at].over {
			return
		}
		met = sd.rules[at].met
	} else {
		w.Stats.Candidates++
		if !s.apps.Has(b.Proto) || !w.headerTx(s, in) || !w.conds(s, in) || !w.pktBuffers(s, in.Packet) {
			return
		}
	}
	before := met
	engines := s.engines[in.Dir]
	passed := false
	all, cannot, stream := true, false, false
	for i := range engines {
		if met>>i&1 != 0 {
			continue
		}
		e := &engines[i]
		if e.from > progress && !through {
			all = false
			break
		}
		v, fromStream := w.engine(e, s, in, tx, progress, through)
		if v != matches {
			all = false
			cannot = v == never
			break
		}
		stream = stream || fromStream
		met |= 1 << i
		passed = passed || e.fast && isFinal(e.stage, progress, through)
	}
	if all && passed && at < 0 && !fresh {
		return
	}
	over := all || cannot
	// A rule that matches at its first look, when what its fast pattern lies in
	// is final, is not kept in mind by Suricata: the pattern is not looked for
	// again. Yet the rule is judged again where it comes up all the same: by a
	// pattern in the payload, a negated pattern, or headers searched once more.
	// Of a message of HTTP/1 nothing is kept before its first line is whole.
	if at >= 0 {
		sd.rules[at].met, sd.rules[at].over = met, over
	} else if (met != before || over) && !(all && passed) && !(b.Proto == app.HTTP1 && progress == app.StageStarted) {
		sd.rules = append(sd.rules, ruleState{sig: id, met: met, over: over})
	}
	if all {
		w.hit(id, s, in, tx, stream, true)
	}
}

// engine evaluates one condition of a rule on a transaction.
func (w *Worker) engine(e *engine, s *sig, in *Input, tx app.Tx, progress uint8, through bool) (v verdict, stream bool) {
	switch e.kind {
	case enginePayload:
		ok, stream := w.payload(s, e.chain, in, payloadOf(in.Packet))
		if ok {
			return matches, stream
		}
		return notYet, false
	case engineConds:
		final := isFinal(e.stage, progress, through)
		if e.file {
			return w.matchFiles(e.conds, in, tx.Base(), in.Dir, through), false
		}
		for i := range e.conds {
			if v := w.matchTx(&e.conds[i], in, tx, in.Dir, final); v != matches {
				return v, false
			}
		}
		return matches, false
	}
	def := &w.rs.buffers[e.buf]
	d := in.Dir
	if def.kind == app.KindBody {
		final := through || progress >= e.stage
		any := false
		for i := 0; ; i++ {
			body := tx.Body(def.field, d, i)
			if body == nil {
				break
			}
			any = true
			if data, off, ok := w.window(def, body, in, tx, d); ok {
				if e.chain == nil || w.m.match(e.chain, w.transformedBuf(e.buf, i, data), off) {
					if e.absent != absentOnly {
						return matches, false
					}
				}
			}
			if !def.multi {
				break
			}
		}
		if final {
			if !any && e.absent != presentOnly {
				return matches, false
			}
			return never, false
		}
		return notYet, false
	}
	final := isFinal(e.stage, progress, through)
	any := false
	for i := 0; ; i++ {
		data, ok := def.bytesOf(tx, d, i)
		if !ok {
			break
		}
		any = true
		if e.absent == absentOnly {
			return never, false
		}
		if def.frame != "" && !final && e.chain != nil && e.chain.needsEnd() {
			return notYet, false
		}
		if e.chain == nil || w.m.match(e.chain, w.transformedBuf(e.buf, i, data), 0) {
			return matches, false
		}
		if !def.multi {
			break
		}
	}
	if final {
		if !any && e.absent != presentOnly {
			return matches, false
		}
		return never, false
	}
	return notYet, false
}

// transformedBuf is value i of a buffer after its transforms, computed once a
// packet.
func (w *Worker) transformedBuf(buf int32, i int, data []byte) []byte {
	ts := w.rs.buffers[buf].transforms
	if len(ts) == 0 {
		return data
	}
	x := &w.xbufs[buf]
	if x.gen == w.gen && x.i == i && len(x.src) == len(data) && (len(data) == 0 || &x.src[0] == &data[0]) {
		return x.data
	}
	x.gen, x.i, x.src = w.gen, i, data
	x.data = w.transformed(ts, x.mem[:0], data)
	if cap(x.data) > cap(x.mem) && !sameStart(x.data[:0], data) {
		x.mem = x.data[:0]
	}
	return x.data
}

// window is the part of a body that is to be looked at with this packet, and
// its place in the body. Suricata's windows: until enough was seen everything
// from the start, then what is new with a part of what was before it. Inline
// every packet is looked at; else only when enough has come.
func (w *Worker) window(def *bufDef, b *app.Body, in *Input, tx app.Tx, d app.Dir) ([]byte, uint64, bool) {
	for i := range w.bodies {
		if x := &w.bodies[i]; x.body == b {
			return b.Data[min(x.off, uint64(len(b.Data))):], x.off, !x.none
		}
	}
	cfg := &w.rs.cfg
	least, win := uint64(cfg.ResponseBodyMinInspect), uint64(cfg.ResponseBodyWindow)
	if d == app.ToServer {
		least, win = uint64(cfg.RequestBodyMinInspect), uint64(cfg.RequestBodyWindow)
	}
	size := uint64(len(b.Data))
	if size == 0 {
		return nil, 0, false
	}
	if !cfg.Inline && size < least && !b.Done && !b.Full && !in.EndOfFlow && !tx.Base().Done(d) {
		w.bodies = append(w.bodies, bodyWindow{body: b, none: true})
		return nil, 0, false
	}
	var off uint64
	if b.Inspected > least {
		if fresh := size - min(size, b.Inspected); fresh < win {
			short := win - fresh
			if b.Inspected > short {
				off = b.Inspected - short
			}
		} else {
			off = b.Inspected - win/4
		}
	}
	off = min(off, size)
	b.Inspected = size
	w.bodies = append(w.bodies, bodyWindow{body: b, off: off})
	return b.Data[off:], off, true
}

// connEvent looks for an anomaly of the connection that came with this packet.
func (w *Worker) connEvent(c *cond, in *Input) bool {
	conn := in.conn()
	if conn == nil {
		return false
	}
	for _, e := range conn.Events[min(int(in.Flow.aEvents), len(conn.Events)):] {
		if string(e) == c.name {
			return true
		}
	}
	return false
}
