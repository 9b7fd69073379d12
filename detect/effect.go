package detect

import "github.com/garita/garita/app"

// effect is something a rule does when it matches, besides its action.
type effect struct {
	op    effectOp
	a     uint32
	b     uint32
	v     uint32
	secs  uint32
	track trackBy
	tag   *tagRule
}

type effectOp uint8

const (
	effFlowbitSet effectOp = iota
	effFlowbitUnset
	effFlowbitToggle
	effXbitSet
	effXbitUnset
	effXbitToggle
	effHostbitSet
	effHostbitUnset
	effHostbitToggle
	effFlowintSet
	effFlowintAdd
	effFlowintSub
	effTag
	effBypass
	effMark  // a: bits, b: their mask
	effNoLog // the transaction is not recorded
	effStore // a: directions (app.DirSet), b: storeScope
	effCerts // the certificates are kept
)

// apply does what a matching rule does at once, so that later rules on the
// same packet see it.
func (w *Worker) apply(s *sig, in *Input, tx app.Tx) {
	f := in.Flow
	for i := range s.post {
		e := &s.post[i]
		switch e.op {
		case effBypass:
			w.bypass = true
		case effMark:
			w.markBits = w.markBits&^e.b | e.a
			w.markMask |= e.b
		case effNoLog:
			if tx != nil {
				tx.Base().Unlogged = true
			}
		case effStore:
			storeFiles(e, s, in, tx)
		case effCerts:
			if c := in.conn(); c != nil {
				for _, t := range c.Transactions() {
					t.Base().Store = app.DirBoth
				}
			}
		case effFlowbitSet:
			if f != nil {
				f.setBit(e.a)
			}
		case effFlowbitUnset:
			if f != nil {
				f.clearBit(e.a)
			}
		case effFlowbitToggle:
			if f != nil {
				if f.bit(e.a) >= 0 {
					f.clearBit(e.a)
				} else {
					f.setBit(e.a)
				}
			}
		case effFlowintSet, effFlowintAdd, effFlowintSub:
			if f != nil {
				f.changeInt(e)
			}
		case effXbitSet, effXbitUnset, effXbitToggle, effHostbitSet, effHostbitUnset, effHostbitToggle:
			w.changeBit(e, in)
		}
	}
}

func (f *Flow) changeInt(e *effect) {
	val := e.v
	if e.b != 0 { // by another variable
		o := f.intOf(e.b - 1)
		if o == nil {
			return
		}
		val = o.v
	}
	v := f.intOf(e.a)
	if v == nil {
		if len(f.ints) >= 64 {
			return
		}
		f.ints = append(f.ints, flowInt{id: e.a})
		v = &f.ints[len(f.ints)-1]
	}
	switch e.op {
	case effFlowintSet:
		v.v = val
	case effFlowintAdd:
		v.v += val
	case effFlowintSub:
		v.v -= val
	}
}

// hasFlow says whether the packet's flow has an application layer.
func (in *Input) conn() *app.Conn {
	if in.Flow == nil {
		return nil
	}
	return in.Flow.Conn
}
