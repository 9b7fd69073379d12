package app

// keepLimit is how many bytes of a direction are kept while the protocol is
// not known. A parser that starts later sees them from the first one; a
// direction that had more by then is not parsed.
const keepLimit = 32 << 10

// detect looks at more bytes of direction d. true: the protocol is known now,
// a parser stands ready and the bytes are in c.buf. false: nothing to do.
func (c *Conn) detect(d Dir, data []byte) bool {
	if !c.probe.lost[d] {
		if room := keepLimit - len(c.buf[d]); len(data) > room {
			c.keep(d, data[:room])
			c.probe.lost[d] = true
		} else {
			c.keep(d, data)
		}
	}
	if c.proto[d] == Unknown {
		win := c.buf[d]
		win = win[:min(len(win), probeLimit)]
		p, more := c.recognise(d, win)
		switch {
		case p != Unknown && !c.env.Config.Disabled.Has(p):
			return c.recognised(d, p)
		case p != Unknown || !more || len(win) == probeLimit:
			c.proto[d] = Failed
		}
	}
	if c.proto[ToServer] == Failed && c.proto[ToClient] == Failed ||
		c.probe.lost[ToServer] && c.probe.lost[ToClient] {
		c.giveUp()
	} else if c.probe.lost[d] && c.proto[d] == Failed && c.total[d] > 100000 {
		c.giveUp() // a flow that talks in one direction only
	}
	return false
}

// compare looks at the beginning of the direction that did not decide the
// protocol: does it look like the same one?
func (c *Conn) compare(d Dir, data []byte) {
	h := &c.probe.head
	c.probe.n += copy(h[c.probe.n:], data)
	p, wait := c.recognise(d, h[:c.probe.n])
	switch {
	case p == c.alp:
		c.proto[d] = p
	case p != Unknown:
		c.proto[d] = p
		c.event("applayer_mismatch_protocol_both_directions")
	case !wait || c.probe.n == len(h):
		c.proto[d] = Failed
		switch c.alp {
		case HTTP1, TLS, SSH, SMB:
			c.event("applayer_detect_protocol_only_one_direction")
		}
	}
}

// recognised makes p the protocol of the flow. It reports whether there is a
// parser to feed.
func (c *Conn) recognised(d Dir, p Proto) bool {
	c.proto[d] = p
	c.start(p)
	if c.parser == nil {
		c.clearBuf(ToServer)
		c.clearBuf(ToClient)
		return false
	}
	for _, e := range [2]Dir{ToServer, ToClient} {
		if c.probe.lost[e] && e != d {
			c.clearBuf(e)
			c.skip(e)
		}
	}
	return true
}

func (c *Conn) giveUp() {
	c.clearBuf(ToServer)
	c.clearBuf(ToClient)
	c.start(Failed)
}

// detectGap: recognition of a direction ends where bytes are missing.
func (c *Conn) detectGap(d Dir) {
	c.probe.lost[d] = true
	if c.proto[d] == Unknown {
		c.proto[d] = Failed
	}
	if c.proto[d.Other()] == Failed {
		c.giveUp()
	}
}

// detectDatagram looks at one datagram; true: the parser can have it.
func (c *Conn) detectDatagram(d Dir, data []byte) bool {
	if c.proto[d] != Unknown {
		return false
	}
	p, _ := c.recognise(d, data)
	if p == Unknown || c.env.Config.Disabled.Has(p) {
		if c.probe.tries[d]++; c.probe.tries[d] >= probeDatagrams {
			c.proto[d] = Failed
			if c.proto[d.Other()] == Failed {
				c.start(Failed)
			}
		}
		return false
	}
	c.proto[d] = p
	c.start(p)
	return c.parser != nil
}
