package app

import "bytes"

// probeState is what recognition remembers of a connection.
type probeState struct {
	lost  [2]bool  // bytes of this direction are missing
	tries [2]uint8 // datagrams that were not recognised
}

// probeLimit is how many bytes of a direction recognition looks at.
const probeLimit = 4096

// probeDatagrams is how many datagrams of a direction recognition looks at.
const probeDatagrams = 8

// recognise says what the first bytes of direction d look like. more: nothing
// yet, but more bytes could tell.
func (c *Conn) recognise(d Dir, data []byte) (p Proto, more bool) {
	if c.hints.Transport == UDP {
		return c.recogniseUDP(d, data), false
	}
	return c.recogniseTCP(d, data)
}

func (c *Conn) recogniseTCP(d Dir, data []byte) (p Proto, more bool) {
	if d == ToServer && bytes.HasPrefix(data, []byte("GET ")) {
		return HTTP1, false
	}
	return Unknown, len(data) < 64
}

func (c *Conn) recogniseUDP(d Dir, data []byte) Proto {
	return Unknown
}
