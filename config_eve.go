package garita

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/garita/garita/eve"
	"github.com/garita/garita/internal/conf"
	"github.com/garita/garita/store"
)

// LogFile is one file, or socket, of records.
type LogFile struct {
	// Name is relative to the log directory.
	Name  string
	Types eve.Types
	// Network is "" for a file, "unix" or "unixgram" for a socket.
	Network string
	// Truncate: what the file held before is not kept.
	Truncate bool
	// Prefix begins every line.
	Prefix string
}

// outputs reads the eve-log sections, and names the outputs that are not
// written. Records of one type look alike in all files: as the first section
// says that wants the type.
func (r *reader) outputs() {
	o := r.n.Get("outputs")
	if o == nil {
		return
	}
	r.c.Eve.SensorName = r.n.String("sensor-name", "")
	for _, k := range o.Kids {
		name, s := k.Name, k
		if o.IsList {
			if k.Scalar || len(k.Kids) == 0 {
				continue
			}
			name, s = k.Kids[0].Name, k.Kids[0]
		}
		switch {
		case !s.Bool("enabled", false):
		case name == "eve-log":
			r.eve(s)
		case name == "file-store":
			r.fileStore(s)
		case name == "tls-store":
			r.c.Keep.Certs = s.String("certs-log-dir", "certs")
			r.c.Detect.StoresCerts = true
		case name == "stats" || name == "fast":
			// The same is in eve.json.
		default:
			r.warn("outputs." + name + " is not written; its records are in eve-log where it has them")
		}
	}
}

// fileStore reads the section file-store. How many files may be open has no
// meaning here: each is written at once.
func (r *reader) fileStore(s *conf.Node) {
	if v := s.String("version", "2"); v != "2" {
		r.warn("outputs.file-store: version " + v + " is not supported; files are kept as version 2 does")
	}
	k := &r.c.Keep
	k.Files = s.String("dir", "filestore")
	k.Fileinfo = s.Bool("write-fileinfo", false)
	k.All = s.Bool("force-filestore", false)
	k.MaxBytes = 0
	max, err := s.Size("max-bytes", 0)
	r.bad("outputs.file-store.max-bytes", err)
	k.MaxBytes = int64(min(max, 1<<62))
	if s.String("stream-depth", "") != "" {
		r.warn("outputs.file-store.stream-depth: files are kept as far as they are inspected (request-body-limit, response-body-limit, stream.reassembly.depth)")
	}
	r.c.Detect.StoresFiles = true
	r.c.App.HashFiles = true
	r.c.Eve.Sums |= eve.SHA256
	r.forceHash(s)
}

// forceHash reads which sums are computed of all files.
func (r *reader) forceHash(s *conf.Node) {
	e := &r.c.Eve
	if h := s.Get("force-hash"); h != nil {
		for _, v := range values(h) {
			for name, s := range map[string]eve.Sums{"md5": eve.MD5, "sha1": eve.SHA1, "sha256": eve.SHA256} {
				if strings.Contains(v, name) {
					e.Sums |= s
				}
			}
		}
		r.c.App.HashFiles = r.c.App.HashFiles || e.Sums != 0
	}
}

func (r *reader) warn(text string) { r.c.Warnings = append(r.c.Warnings, text) }

func (r *reader) eve(o *conf.Node) {
	e := &r.c.Eve
	first := len(r.c.Logs) == 0
	f := LogFile{Name: o.String("filename", "eve.json"), Prefix: o.String("prefix", ""), Truncate: !o.Bool("append", true)}
	if v := o.Get("append"); v == nil {
		f.Truncate = false
	}
	switch t := o.String("filetype", o.String("type", "regular")); t {
	case "regular", "file":
	case "unix_stream":
		f.Network = "unix"
	case "unix_dgram":
		f.Network = "unixgram"
	default:
		f.Name = "eve.json"
		r.warn("outputs.eve-log.filetype " + t + " is not supported; the records go to the file " + f.Name)
	}
	if o.Bool("threaded", false) {
		r.warn("outputs.eve-log.threaded: all workers write to one file")
	}
	if first {
		e.CommunityID = o.Bool("community-id", false)
		if s, err := strconv.ParseUint(o.String("community-id-seed", "0"), 10, 16); err == nil {
			e.CommunityIDSeed = uint16(s)
		} else {
			r.bad("outputs.eve-log.community-id-seed", err)
		}
		e.NoVars = !o.Bool("metadata", true)
		e.Ethernet = o.Bool("ethernet", false)
		r.c.NameCapture = o.Bool("pcap-file", false)
		e.JA3 = r.n.Bool("app-layer.protocols.tls.ja3-fingerprints", false)
		e.Hassh = r.n.Bool("app-layer.protocols.ssh.hassh", false)
	}
	xff := r.xff(o)
	if types := o.Get("types"); types != nil {
		for _, k := range types.Kids {
			name, sub := k.Value, (*conf.Node)(nil)
			if !k.Scalar && len(k.Kids) > 0 {
				name, sub = k.Kids[0].Name, k.Kids[0]
			}
			if sub == nil {
				sub = &conf.Node{}
			}
			if !sub.Bool("enabled", true) {
				continue
			}
			t, ok := eve.TypeByName(name)
			if !ok {
				r.warn("outputs.eve-log.types: " + name + " records are not written")
				continue
			}
			f.Types |= t
			if e.Types&t != t {
				r.eveType(t, sub, xff)
			}
			e.Types |= t
		}
	} else {
		f.Types = eve.Default
		e.Types |= f.Types
	}
	r.c.Logs = append(r.c.Logs, f)
}

// xff reads a section xff; the zero value if there is none that is on.
func (r *reader) xff(n *conf.Node) (x eve.XFF) {
	s := n.Get("xff")
	if s == nil || !s.Bool("enabled", false) {
		return x
	}
	x.Mode = eve.XFFExtra
	switch m := s.String("mode", "extra-data"); m {
	case "extra-data":
	case "overwrite":
		x.Mode = eve.XFFOverwrite
	default:
		r.warn("xff.mode " + m + " is neither extra-data nor overwrite: extra-data")
	}
	switch d := s.String("deployment", "reverse"); d {
	case "reverse":
	case "forward":
		x.Forward = true
	default:
		r.warn("xff.deployment " + d + " is neither forward nor reverse: reverse")
	}
	x.Header = strings.ToLower(s.String("header", ""))
	return x
}

// eveType reads the options of one type of records. xff is that of the file,
// which a type may have its own in place of.
func (r *reader) eveType(t eve.Types, sub *conf.Node, xff eve.XFF) {
	e := &r.c.Eve
	if sub.Get("xff") != nil {
		xff = r.xff(sub)
	}
	switch t {
	case eve.Alert:
		e.Payload = sub.Bool("payload", false)
		e.Printable = sub.Bool("payload-printable", false)
		e.Packet = sub.Bool("packet", false)
		e.HTTPBody = sub.Bool("http-body", false)
		e.HTTPBodyPrintable = sub.Bool("http-body-printable", false)
		e.NoTagged = !sub.Bool("tagged-packets", false)
		e.Verdict = sub.Bool("verdict", false)
		e.AlertXFF = xff
		if v, err := sub.Size("payload-buffer-size", 0); err == nil {
			e.PayloadMax = int(min(v, 1<<30))
		} else {
			r.bad("outputs.eve-log.types.alert", err)
		}
		m := sub.Get("metadata")
		if m == nil {
			break
		}
		if m.Scalar {
			if !sub.Bool("metadata", true) && !m.Null {
				e.NoFlow, e.NoApp, e.NoRuleMetadata = true, true, true
			}
			break
		}
		e.NoFlow, e.NoApp = !m.Bool("flow", true), !m.Bool("app-layer", true)
		e.NoRuleMetadata, e.RawRule = !m.Bool("rule.metadata", true), m.Bool("rule.raw", false)
	case eve.Frame:
		if v, err := sub.Size("payload-buffer-size", 0); err == nil {
			e.FrameMax = int(min(v, 1<<30))
		} else {
			r.bad("outputs.eve-log.types.frame", err)
		}
	case eve.Anomaly:
		for _, a := range [...]struct {
			name string
			t    eve.AnomalyTypes
			on   bool
		}{{"decode", eve.AnomalyDecode, false}, {"stream", eve.AnomalyStream, false}, {"applayer", eve.AnomalyAppLayer, true}} {
			if sub.Bool("types."+a.name, a.on) {
				e.Anomalies |= a.t
			}
		}
		if e.Anomalies == 0 {
			e.Anomalies = eve.NoAnomaly
		}
		e.PacketHeader = sub.Bool("packethdr", false)
	case eve.HTTP:
		e.HTTPXFF = xff
	case eve.FileInfo:
		e.FileXFF = xff
		e.Magic = sub.Bool("force-magic", false)
		r.forceHash(sub)
	case eve.TLS:
		e.NoTLSResumption = !sub.Bool("session-resumption", true)
		e.JA4 = e.JA4 || sub.Bool("ja4", false)
	case eve.QUIC:
		e.JA4 = e.JA4 || sub.Bool("ja4", false)
	case eve.SMTP:
		if sub.Bool("extended", false) {
			e.MailFields = eve.MailExtended()
		}
		for _, name := range strs(sub, "custom") {
			m, ok := eve.MailFieldByName(name)
			if !ok {
				r.warn("outputs.eve-log.types.smtp.custom: " + name + " is not shown")
			}
			e.MailFields |= m
		}
		for _, v := range strs(sub, "md5") {
			e.MailSubjectMD5 = e.MailSubjectMD5 || v == "subject"
			e.MailBodyMD5 = e.MailBodyMD5 || v == "body"
		}
	case eve.DHCP:
		e.DHCPExtended = sub.Bool("extended", false)
	case eve.Stats:
		e.NoTotals = !sub.Bool("totals", true)
		if sub.Bool("threads", false) {
			r.warn("outputs.eve-log.types.stats.threads: only sums are written")
		}
		e.Deltas = sub.Bool("deltas", false)
	case eve.Drop:
		switch v := sub.String("flows", "start"); v {
		case "start":
		case "all":
			e.AllDrops = true
		default:
			r.bad("outputs.eve-log.types.drop.flows", fmt.Errorf("%q is neither start nor all", v))
		}
		e.NoDropAlert = !sub.Bool("alerts", false)
		e.DropVerdict = sub.Bool("verdict", false)
	}
}

// OpenLogs opens what Logs and Keep name, in dir, and a file for all records if
// Logs is nothing. wait makes packets wait for the disk rather than lose records.
func (c *FileConfig) OpenLogs(dir string, wait bool) error {
	logs := c.Logs
	if len(logs) == 0 {
		logs = []LogFile{{Name: "eve.json"}}
	}
	c.Log, c.Eve.Also, c.Eve.Only = nil, nil, 0
	for i, f := range logs {
		w, err := f.open(dir, wait)
		if err != nil {
			return errors.Join(err, c.CloseLogs())
		}
		if i > 0 {
			c.Eve.Also = append(c.Eve.Also, eve.Output{Types: f.Types, To: w, Prefix: f.Prefix})
			continue
		}
		c.Log, c.Eve.Prefix = w, f.Prefix
		if len(logs) > 1 {
			c.Eve.Only = f.Types
		}
	}
	if c.Store = nil; c.Keep.Files == "" && c.Keep.Certs == "" {
		return nil
	}
	k := c.Keep
	k.Wait = wait
	for _, d := range []*string{&k.Files, &k.Certs} {
		if *d != "" {
			*d = under(dir, *d)
		}
	}
	var err error
	if c.Store, err = store.Open(k); err != nil {
		return errors.Join(err, c.CloseLogs())
	}
	return nil
}

func (f *LogFile) open(dir string, wait bool) (*eve.Writer, error) {
	name := f.Name
	if !filepath.IsAbs(name) {
		name = filepath.Join(dir, name)
	}
	if f.Network != "" {
		return eve.Dial(f.Network, name, wait)
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return nil, err
	}
	if f.Truncate {
		if err := os.Truncate(name, 0); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
	}
	return eve.OpenFile(name, wait)
}

// CloseLogs writes what waits and closes the logs and the store; the error is the
// first of writing.
func (c *Config) CloseLogs() error {
	var errs []error
	for _, w := range c.logs() {
		errs = append(errs, w.Close())
	}
	if c.Store != nil {
		errs = append(errs, c.Store.Close())
	}
	c.Log, c.Eve.Also, c.Store = nil, nil, nil
	return errors.Join(errs...)
}

// ReopenLogs opens the logs anew by their names, after they were moved away.
func (c *Config) ReopenLogs() error {
	var errs []error
	for _, w := range c.logs() {
		errs = append(errs, w.Reopen())
	}
	return errors.Join(errs...)
}

func (c *Config) logs() (ws []*eve.Writer) {
	if c.Log != nil {
		ws = append(ws, c.Log)
	}
	for _, a := range c.Eve.Also {
		ws = append(ws, a.To)
	}
	return ws
}

// strs are the values of a list, none if there is no such list.
func strs(n *conf.Node, name string) []string {
	if k := n.Get(name); k != nil {
		return values(k)
	}
	return nil
}
