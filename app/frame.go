package app

// Frame is a typed part of a stream or a datagram as a protocol cuts it: a
// record, a header, a whole message. Rules look into it with the keyword
// frame. It grows as bytes come; like a transaction it is inspected by
// direction, but it stands in no list of transactions.
type Frame struct {
	plainTx
	Kind   string // "pdu", "request.line" …, by Suricata's names without the protocol
	Offset uint64 // of its first byte in its direction; within a datagram for datagrams
	Length uint64 // bytes so far, kept or not; all of them once complete
	Data   []byte // the first ones
	ID     uint64 // from 1 in each direction; in a stream, 1 is the stream itself
	Logged bool   // belongs to whoever writes records
}

const (
	frameKeep     = 32 << 10  // bytes kept of a frame
	framesKeep    = 256 << 10 // and of all that wait for inspection
	framesWaiting = 256
)

// Bytes implements Tx.
func (f *Frame) Bytes(field Field, d Dir, i int) ([]byte, bool) {
	if field == FrameData && d == f.From {
		return only(f.Data, i)
	}
	return nil, false
}

// frameKinds are the frames that parsers announce.
var frameKinds = map[Proto][]string{
	HTTP1:  {"request", "response"},
	SIP:    {"pdu", "request.line", "request.headers", "request.body", "response.line", "response.headers", "response.body"},
	TLS:    {"pdu", "hdr", "data", "alert", "heartbeat"},
	DNS:    {"pdu"},
	TELNET: {"pdu", "ctl", "data"},
	MQTT:   {"pdu", "header", "data"},
	RFB:    {"pdu"},
	SMB:    {"nbss.pdu", "nbss.hdr", "nbss.data", "smb1.pdu", "smb1.hdr", "smb1.data", "smb2.pdu", "smb2.hdr", "smb2.data", "smb3.pdu", "smb3.hdr", "smb3.data"},
}

// frameStream is the frame that is a direction as a whole, from its first byte.
const frameStream = "stream"

// streamFrames are the protocols that have it.
const streamFrames ProtoSet = 1<<HTTP1 | 1<<HTTP2 | 1<<FTP | 1<<SMTP | 1<<TLS | 1<<SSH | 1<<IMAP | 1<<SMB | 1<<DCERPC | 1<<DNS | 1<<MODBUS |
	1<<ENIP | 1<<DNP3 | 1<<NFS | 1<<FTPData | 1<<KRB5 | 1<<RFB | 1<<MQTT | 1<<PGSQL | 1<<TELNET | 1<<RDP

// HasFrame says whether the parser of p announces frames of a kind.
func HasFrame(p Proto, kind string) bool {
	if kind == frameStream {
		return streamFrames.Has(p)
	}
	for _, k := range frameKinds[p] {
		if k == kind {
			return true
		}
	}
	return false
}

// Frames are those that wait for inspection, oldest first. The slice is valid
// until the next call of another method.
func (c *Conn) Frames() []*Frame { return c.frames }

// FramesInspected takes away the complete frames of a direction.
func (c *Conn) FramesInspected(d Dir) {
	k := 0
	for _, f := range c.frames {
		if f.From == d && f.Done(d) {
			c.frameBytes -= len(f.Data)
			continue
		}
		c.frames[k] = f
		k++
	}
	clear(c.frames[k:])
	c.frames = c.frames[:k]
	c.framesOld = k
}

// streamFrame lets the frame of a whole direction grow.
func (c *Conn) streamFrame(d Dir, data []byte) {
	if c.whole[d] == nil {
		if !streamFrames.Has(c.alp) {
			return
		}
		c.whole[d] = c.openFrame(d, frameStream, 0)
	}
	if f := c.whole[d]; !f.Done(d) {
		c.growFrame(f, data)
	}
}

// wantsFrames says whether anybody looks at frames.
func (c *Conn) wantsFrames() bool { return c.env.Config.Frames }

// frame announces a whole frame at offset off of what the parser is looking at.
func (c *Conn) frame(d Dir, kind string, off int, data []byte) {
	if !c.wantsFrames() {
		return
	}
	f := c.openFrame(d, kind, off)
	c.growFrame(f, data)
	f.complete()
}

// openFrame announces a frame that grows.
func (c *Conn) openFrame(d Dir, kind string, off int) *Frame {
	f := &Frame{Kind: kind, Offset: c.parsed[d] + uint64(off)}
	f.Proto, f.OneWay, f.From = c.alp, true, d
	c.frameIDs[d]++
	f.ID = c.frameIDs[d]
	if c.hints.Transport == TCP {
		f.ID++
	}
	f.Progress[d.Other()] = StageComplete
	for c.framesOld > 0 && (len(c.frames) >= framesWaiting || c.frameBytes > framesKeep) {
		// Nobody has looked at them for long. Those of the bytes at hand stay
		// however many they are: a packet full of small frames must not hide one.
		i := 0
		for i < c.framesOld && (c.frames[i] == c.whole[0] || c.frames[i] == c.whole[1]) {
			i++ // goes on
		}
		if i == c.framesOld {
			break
		}
		c.frameBytes -= len(c.frames[i].Data)
		c.frames = append(c.frames[:i], c.frames[i+1:]...)
		c.framesOld--
	}
	c.frames = append(c.frames, f)
	return f
}

func (c *Conn) growFrame(f *Frame, data []byte) {
	f.Length += uint64(len(data))
	if room := frameKeep - len(f.Data); len(data) > room {
		data = data[:room]
	}
	if f.Data == nil {
		f.Data = make([]byte, 0, len(data))
	}
	f.Data = append(f.Data, data...)
	c.frameBytes += len(data)
}
