package stream

import "testing"

// Comparison holds across the wrap.
func TestSeq(t *testing.T) {
	for _, base := range []Seq{0, 1, 1 << 31, 0xfffffff0, 0xffffffff} {
		b := base.Add(100)
		if !base.Less(b) || b.Less(base) || !base.LessEq(base) || b.LessEq(base) || b.Sub(base) != 100 || base.Sub(b) != -100 {
			t.Errorf("order of %d and %d", base, b)
		}
		if !base.In(base, b) || b.In(base, b) || !b.Add(-1).In(base, b) || base.Add(-1).In(base, b) {
			t.Errorf("range from %d to %d", base, b)
		}
	}
}
