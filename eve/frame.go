package eve

import (
	"github.com/garita/garita/app"
	"github.com/garita/garita/packet"
)

// Frame writes the record of a frame.
func (l *Logger) Frame(p *packet.Packet, f *FlowInfo, fr *app.Frame) {
	if !l.Wants(Frame) {
		return
	}
	o := l.begin("frame", p, f)
	l.appProto(o, f)
	l.frame(o, fr)
	l.end()
}

// frame describes the frame that an alert is about.
func (l *Logger) frame(o *object, f *app.Frame) {
	o.open("frame")
	o.str("type", f.Kind)
	o.uint("id", f.ID)
	o.str("direction", frameDir(f.From))
	o.uint("stream_offset", f.Offset)
	if f.Done(f.From) {
		o.uint("length", f.Length)
	}
	data := f.Data[:min(len(f.Data), l.cfg.FrameMax)]
	if len(data) > 0 {
		o.base64("payload", data)
		o.key("payload_printable")
		o.b = appendPrintable(o.b, data)
	}
	o.bool("complete", f.Done(f.From))
	o.close()
}

func frameDir(d app.Dir) string {
	if d == app.ToClient {
		return "toclient"
	}
	return "toserver"
}
