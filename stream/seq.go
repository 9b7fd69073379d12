package stream

// Seq is a TCP sequence number (RFC 9293 §3.4). It wraps round at 2^32, so
// comparison means something only between numbers less than 2^31 apart.
type Seq uint32

// Add is the number n bytes on.
func (s Seq) Add(n int) Seq { return s + Seq(uint32(n)) }

// Less says whether s comes before t.
func (s Seq) Less(t Seq) bool { return int32(s-t) < 0 }

// LessEq says whether s comes before t or is t.
func (s Seq) LessEq(t Seq) bool { return int32(s-t) <= 0 }

// Sub is the signed distance from t to s in bytes.
func (s Seq) Sub(t Seq) int { return int(int32(s - t)) }

// In says whether s is in the half-open range from lo to hi.
func (s Seq) In(lo, hi Seq) bool { return s-lo < hi-lo }
