package eve

import "github.com/garita/garita/app"

// frame describes the frame that an alert is about.
func (l *Logger) frame(o *object, f *app.Frame) {
	o.open("frame")
	o.str("type", f.Kind)
	o.str("direction", frameDir(f.From))
	o.uint("stream_offset", f.Offset)
	if f.Done(f.From) {
		o.uint("length", f.Length)
		o.bool("complete", true)
	} else {
		o.bool("complete", false)
	}
	o.close()
}

func frameDir(d app.Dir) string {
	if d == app.ToClient {
		return "toclient"
	}
	return "toserver"
}
