package app

// http2Stream is what a transaction of HTTP/2 has beyond HTTP.
type http2Stream struct {
	id      uint32
	frames  [2][]http2Frame
	names   [2][]span
	numbers []http2Number
}

// http2Frame is the header of one frame.
type http2Frame struct {
	typ, flags uint8
}

// http2Number is a value of a numeric field.
type http2Number struct {
	field Field
	dir   Dir
	value uint64
}

func (s *http2Stream) headerName(d Dir, i int) ([]byte, bool) { return nil, false }

func (s *http2Stream) number(f Field, d Dir, i int) (uint64, bool) {
	if f == HTTP2FrameType {
		if i < len(s.frames[d]) {
			return uint64(s.frames[d][i].typ), true
		}
		return 0, false
	}
	for _, n := range s.numbers {
		if n.field == f && n.dir == d {
			if i == 0 {
				return n.value, true
			}
			i--
		}
	}
	return 0, false
}
