package app

// keepLimit is how many bytes of a direction are kept while the protocol is
// not known. A parser that starts later sees them from the first one; a
// direction that had more by then is not parsed.
const keepLimit = 32 << 10

// waitLimit is how many bytes one direction may bring, the other being silent,
// before the flow counts as not recognised.
const waitLimit = 100000

// detect looks at more bytes of direction d, whose protocol is not settled.
// Recognition sees all bytes of the direction so far each time, as Suricata's
// does; what it says of a flow can depend on where chunks end, what parsers say
// cannot.
func (c *Conn) detect(d Dir, data []byte) {
	s := &c.probe
	if !s.began {
		s.began, s.first = true, d
	}
	if !s.lost[d] {
		if room := keepLimit - len(c.buf[d]); len(data) > room {
			c.keep(d, data[:room])
			s.lost[d] = true
		} else {
			c.keep(d, data)
		}
	}
	c.look(d)
}

// look decides what direction d is, if its bytes tell.
func (c *Conn) look(d Dir) {
	s, o := &c.probe, d.Other()
	p := c.recognise(d, c.buf[d])
	other := c.proto[o]
	if c.flags&flagTurned != 0 && (other != Unknown || !c.hints.Midstream) {
		c.flags &^= flagTurned
	}
	if c.flags&flagTurned != 0 {
		c.turn()
		d, o = o, d
	}
	switch {
	case p != Unknown:
		c.proto[d] = p
		s.settled[d] = true
		if other != Unknown && other != p {
			c.event("applayer_mismatch_protocol_both_directions")
		}
		if c.expect != Unknown && p != c.expect {
			c.event("applayer_unexpected_protocol")
			if c.expect == TLS {
				c.event("applayer_no_tls_after_starttls")
			}
			c.expect = Unknown
		}
		if c.alp == Unknown {
			c.start(p)
		}
		if !s.parsing {
			if s.first != d && !s.settled[o] {
				if c.look(o); c.alp == Failed {
					return
				}
			}
			if !s.parsing && fromServer(p, s.first) {
				c.event("applayer_wrong_direction_first_data")
				c.giveUp()
				return
			}
		}
		c.settle(d)
	case other != Unknown:
		if !s.parsing && fromServer(other, d) {
			c.giveUp()
			return
		}
		if s.texts[d] && s.ports[d] {
			s.settled[d] = true
			c.event("applayer_detect_protocol_only_one_direction")
			c.settle(d)
			if c.flags&flagBroken == 0 && s.settled[d] && c.proto[d] == Unknown {
				c.proto[d] = Failed
			}
		}
	case s.texts[d] && s.ports[d] && s.texts[o] && s.ports[o],
		s.lost[ToServer] && s.lost[ToClient],
		s.texts[d] && s.ports[d] && c.total[d] > waitLimit && c.total[o] == 0:
		c.giveUp()
	}
}

// fromServer says whether p is a protocol in which the client speaks first,
// and d is the server's direction.
func fromServer(p Proto, d Dir) bool { return p == TLS && d == ToClient }

// settle gives what was kept of direction d to the parser.
func (c *Conn) settle(d Dir) {
	s := &c.probe
	s.parsing = true
	if c.parser == nil {
		c.clearBuf(d)
		if s.settled[ToServer] && s.settled[ToClient] {
			c.flags |= flagDone // recognised only
		}
		return
	}
	if s.lost[d] {
		c.clearBuf(d)
		c.skip(d)
		return
	}
	c.pump(d)
}

func (c *Conn) giveUp() {
	c.clearBuf(ToServer)
	c.clearBuf(ToClient)
	c.dropParser()
	c.start(Failed)
}

// detectGap: recognition of a direction ends where bytes are missing.
func (c *Conn) detectGap(d Dir) {
	s := &c.probe
	s.lost[d] = true
	s.texts[d], s.ports[d] = true, true
	if c.alp == Unknown {
		if o := d.Other(); s.texts[o] && s.ports[o] {
			c.giveUp()
		}
		return
	}
	s.settled[d] = true
	c.clearBuf(d)
	c.skip(d)
}

// detectDatagram looks at the first datagram of a direction, which has but one
// chance. It returns the direction that the datagram really has: a probe may
// find that the flow goes the other way.
func (c *Conn) detectDatagram(d Dir, data []byte) Dir {
	p := c.recognise(d, data)
	other := c.proto[d.Other()]
	if c.flags&flagTurned != 0 && other != Unknown && other != Failed {
		c.flags &^= flagTurned // too late: the flow has its protocol
	}
	switch {
	case p != Unknown:
		c.proto[d] = p
		if other != Unknown && other != Failed && other != p {
			c.event("applayer_mismatch_protocol_both_directions")
		} else if c.parser == nil {
			c.start(p)
		}
	case other != Unknown:
		c.proto[d] = other
	default:
		c.proto[d] = Failed
		c.alp = Failed
		c.env.Stats.Flows[c.hints.Transport][Failed]++
	}
	if c.proto[ToServer] == Failed && c.proto[ToClient] == Failed {
		c.flags |= flagDone
	}
	if c.flags&flagTurned != 0 {
		c.turn()
		d = d.Other()
	}
	return d
}

// turn exchanges the directions of what is known so far.
func (c *Conn) turn() {
	h, s := &c.hints, &c.probe
	h.SrcPort, h.DstPort = h.DstPort, h.SrcPort
	c.proto[0], c.proto[1] = c.proto[1], c.proto[0]
	c.total[0], c.total[1] = c.total[1], c.total[0]
	c.buf[0], c.buf[1] = c.buf[1], c.buf[0]
	s.settled[0], s.settled[1] = s.settled[1], s.settled[0]
	s.lost[0], s.lost[1] = s.lost[1], s.lost[0]
	s.texts[0], s.texts[1] = s.texts[1], s.texts[0]
	s.ports[0], s.ports[1] = s.ports[1], s.ports[0]
	s.refused[0], s.refused[1] = s.refused[1], s.refused[0]
	s.first = s.first.Other()
	closed := c.flags & (flagClosedTS | flagClosedTC)
	c.flags &^= flagClosedTS | flagClosedTC
	if closed&flagClosedTS != 0 {
		c.flags |= flagClosedTC
	}
	if closed&flagClosedTC != 0 {
		c.flags |= flagClosedTS
	}
}
