package app

// plainTx is a transaction without fields of its own; transactions embed it
// and define the methods they have something to say to.
type plainTx struct{ TxBase }

func (*plainTx) Bytes(Field, Dir, int) ([]byte, bool)  { return nil, false }
func (*plainTx) Number(Field, Dir, int) (uint64, bool) { return 0, false }

// Body returns the transaction's files for FileData.
func (t *plainTx) Body(f Field, d Dir, i int) *Body {
	if f == FileData {
		return t.FileBody(d, i)
	}
	return nil
}

// complete closes both directions.
func (t *plainTx) complete() { t.Progress = [2]uint8{StageComplete, StageComplete} }

// oneWay makes t a transaction of a single message in direction d.
func (t *plainTx) oneWay(d Dir) {
	t.OneWay, t.From = true, d
	t.complete()
}

// streamOnly is embedded by parsers that know no datagrams.
type streamOnly struct{}

func (streamOnly) datagram(*Conn, Dir, []byte) {}

// datagramOnly is embedded by parsers that know no streams.
type datagramOnly struct{}

func (datagramOnly) parse(_ *Conn, _ Dir, data []byte) (int, int) { return len(data), 0 }
func (datagramOnly) gap(*Conn, Dir, uint64) bool                  { return true }
func (datagramOnly) close(*Conn, Dir, []byte)                     {}
func (datagramOnly) maxPending() int                              { return 64 }

// at returns the i-th of a list.
func at(list [][]byte, i int) ([]byte, bool) {
	if i < 0 || i >= len(list) {
		return nil, false
	}
	return list[i], true
}

// only returns b as the single value of a field that is present if b is not
// nil.
func only(b []byte, i int) ([]byte, bool) {
	if i != 0 || b == nil {
		return nil, false
	}
	return b, true
}

// only1 returns v as the single value of a field that is present if ok.
func only1(v uint64, ok bool, i int) (uint64, bool) {
	if i != 0 || !ok {
		return 0, false
	}
	return v, true
}

// clone copies b; the copy is never nil.
func clone(b []byte) []byte { return append(make([]byte, 0, len(b)), b...) }
