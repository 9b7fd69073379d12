package eve

// Output is another place for records of some types.
type Output struct {
	Types  Types
	To     *Writer
	Prefix string
}

type output struct {
	Output
	buf []byte
}

// eventTypes are the types by the names in records, where they are others than
// in configurations.
var eventTypes = map[string]Types{
	"packet": Alert, "bittorrent_dht": BitTorrentDHT, "fileinfo": FileInfo, "ftp_data": FTP | FTPData, "http": HTTP | HTTP2,
}

// start begins a record.
func (l *Logger) start(event string) *object {
	o := &l.o
	l.at = len(o.b)
	o.b = append(o.b, l.cfg.Prefix...)
	o.comma = false
	o.open("")
	if len(l.also) > 0 {
		var ok bool
		if l.typ, ok = eventTypes[event]; !ok {
			l.typ = typeNames[event]
		}
	}
	return o
}

// end ends a record and gives it to the outputs that want it.
func (l *Logger) end() {
	o := &l.o
	o.close()
	o.b = append(o.b, '\n')
	if len(l.also) == 0 {
		return
	}
	for i := range l.also {
		if a := &l.also[i]; a.Types&l.typ != 0 {
			a.buf = append(append(a.buf, a.Prefix...), o.b[l.at+len(l.cfg.Prefix):]...)
		}
	}
	if l.cfg.Only != 0 && l.cfg.Only&l.typ == 0 {
		o.b = o.b[:l.at]
	}
}
