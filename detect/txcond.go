package detect

import (
	"bytes"
	"slices"
	"strings"

	"github.com/garita/garita/app"
)

// txCond is a condition on a transaction that is not a chain of contents.
type txCond struct {
	op     txCondOp
	neg    bool
	field  app.Field
	num    numRange
	name   string
	set    []uint64
	ranges []numRange
	texts  []string
	low    uint64
	hash   *hashSet
	modbus *modbusCond
}

type txCondOp uint8

const (
	txNumber txCondOp = iota
	txEvent
	txFlagSet // every bit of num.a is set, or none if neg
	txFtpBounce
	txHandshake // the handshake is in one of the states of num.a, or not in those of num.b
	txVersions  // a number is in a set
	txText      // a field is this text
	txTextIn
	txContains
	txNumberIn // a number is in one of several ranges
	txTagged   // a number's upper half is low, and the lower half as num says
	txIface
	txAge    // a time is before or after the packet's
	txModbus // the request of a Modbus transaction
	txCIP    // a service of CIP
	txFile
	txFileName
	txFileExt
	txFileSize
	txFileHash
	txFileMagic
)

// verdict is what a condition on a transaction says: yes, not yet, never.
type verdict uint8

const (
	notYet verdict = iota
	matches
	never
)

// matchTx evaluates a condition on a transaction in direction d. final: what
// is not there now will not come.
func (w *Worker) matchTx(c *txCond, in *Input, tx app.Tx, d app.Dir, final bool) verdict {
	miss := notYet
	if final {
		miss = never
	}
	switch c.op {
	case txNumber:
		for i := 0; ; i++ {
			n, ok := tx.Number(c.field, d, i)
			if !ok {
				return miss
			}
			if c.num.match(n) {
				return matches
			}
		}
	case txFlagSet:
		n, ok := tx.Number(c.field, d, 0)
		switch {
		case !ok:
			return miss
		case (n&c.num.a != 0) != c.neg:
			return matches
		}
		return miss
	case txHandshake:
		if w.rs.cfg.Inline && len(in.Packet.Payload()) == 0 {
			return notYet // it changed nothing
		}
		n, ok := tx.Number(c.field, d, 0)
		if ok && (c.num.a&(1<<n))^c.num.b != 0 {
			return matches
		}
		return notYet
	case txVersions:
		n, ok := tx.Number(c.field, d, 0)
		switch {
		case !ok || n == 0:
			return miss
		case slices.Contains(c.set, n) != c.neg:
			return matches
		}
		return miss
	case txNumberIn:
		for i := 0; ; i++ {
			n, ok := tx.Number(c.field, d, i)
			if !ok {
				return miss
			}
			in := false
			for j := range c.ranges {
				in = in || c.ranges[j].match(n)
			}
			if in != c.neg {
				return matches
			}
		}
	case txTagged:
		for i := 0; ; i++ {
			n, ok := tx.Number(c.field, d, i)
			if !ok {
				return miss
			}
			if n>>32 == c.low && c.num.match(n&0xffffffff) {
				return matches
			}
		}
	case txIface:
		for i := 0; ; i++ {
			v, ok := tx.Bytes(c.field, d, i)
			if !ok {
				return miss
			}
			if len(v) >= 18 && string(v[:16]) == c.name && c.num.match(uint64(v[16])<<8|uint64(v[17])) {
				return matches
			}
		}
	case txTextIn, txContains:
		for i := 0; ; i++ {
			v, ok := tx.Bytes(c.field, d, i)
			if !ok {
				return miss
			}
			hit := false
			if c.op == txContains {
				hit = bytes.Contains(v, []byte(c.name))
			}
			for _, t := range c.texts {
				hit = hit || string(v) == t
			}
			if hit != c.neg {
				return matches
			}
		}
	case txAge:
		n, ok := tx.Number(c.field, d, 0)
		if !ok {
			return miss
		}
		if (n < uint64(max(0, in.Packet.Time/1e9))) != c.neg {
			return matches
		}
		return miss
	case txFtpBounce:
		cmd, _ := tx.Bytes(app.FTPCommand, d, 0)
		arg, ok := tx.Bytes(app.FTPCommandData, d, 0)
		if ok && strings.EqualFold(string(cmd), "PORT") && ftpBounce(in, arg) {
			return matches
		}
		return miss
	case txModbus:
		if t, ok := tx.(*app.ModbusTx); ok && c.modbus.match(&t.Request) {
			return matches
		}
		return miss
	case txCIP:
		if t, ok := tx.(*app.ENIPTx); ok && t.From == d && matchCIP(t, c.set) {
			return matches
		}
		return miss
	case txEvent:
		for _, e := range tx.Base().Events {
			if string(e) == c.name {
				return matches
			}
		}
		if tx.Base().Done(d) || in.EndOfFlow {
			return never
		}
		return notYet // events come until the end
	case txText:
		for i := 0; ; i++ {
			v, ok := tx.Bytes(c.field, d, i)
			if !ok {
				return miss
			}
			if (strings.EqualFold(string(v), c.name)) != c.neg {
				return matches
			}
		}
	}
	return never
}
