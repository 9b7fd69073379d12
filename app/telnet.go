package app

// telnetParser tells commands (RFC 854) from lines of data: frames. There are
// no transactions.
type telnetParser struct{ streamOnly }

const telnetMaxLine = 8192

func newTelnet() parser { return &telnetParser{} }

func (p *telnetParser) reset()        { *p = telnetParser{} }
func (*telnetParser) maxPending() int { return telnetMaxLine + 1 }

func (p *telnetParser) parse(c *Conn, d Dir, data []byte) (n, need int) {
	for n < len(data) {
		b := data[n:]
		if b[0] == 0xff {
			k := telnetCommand(b)
			if k == 0 {
				if len(b) >= telnetMaxLine {
					n = len(data) // an option without an end
					continue
				}
				return n, len(b) + 1
			}
			c.frame(d, "pdu", n, b[:k])
			c.frame(d, "ctl", n, b[:k])
			n += k
			continue
		}
		// A line: up to its end, or to a command within it.
		k := 0
		for k < len(b) && k < telnetMaxLine && b[k] != 0xff && b[k] != '\n' {
			k++
		}
		switch {
		case k < len(b) && b[k] == '\n':
			k++
		case k == len(b) && k < telnetMaxLine:
			return n, len(b) + 1
		}
		c.frame(d, "pdu", n, b[:k])
		c.frame(d, "data", n, b[:k])
		n += k
	}
	return n, 0
}

// telnetCommand is the length of the command that b begins with, 0 if it is
// not whole.
func telnetCommand(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch {
	case b[1] == 250: // SB … IAC SE
		for i := 2; i+1 < len(b); i++ {
			if b[i] == 0xff && b[i+1] == 240 {
				return i + 2
			}
		}
		return 0
	case b[1] >= 251 && b[1] <= 254:
		if len(b) < 3 {
			return 0
		}
		return 3
	}
	return 2
}

func (p *telnetParser) gap(*Conn, Dir, uint64) bool { return true }

func (p *telnetParser) close(c *Conn, d Dir, tail []byte) {
	if len(tail) > 0 && tail[0] != 0xff {
		c.frame(d, "pdu", 0, tail)
		c.frame(d, "data", 0, tail)
	}
}
