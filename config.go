package garita

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/garita/garita/detect"
	"github.com/garita/garita/divert"
	"github.com/garita/garita/internal/conf"
	"github.com/garita/garita/policy"
	"github.com/garita/garita/rule"
	"github.com/garita/garita/store"
)

// FileConfig is what a configuration file says.
type FileConfig struct {
	Config
	// Logs are the files for records; none if no eve-log is on.
	Logs []LogFile
	// Keep says which files and certificates are kept; its directories are relative
	// to the log directory.
	Keep store.Config
	// NameCapture: records name the capture that is replayed.
	NameCapture bool
	// LogDir is default-log-dir.
	LogDir string
	// Warnings are for a person: sections that have no meaning here, files that
	// could not be read and are done without.
	Warnings []string

	tree *conf.Node
}

// Restart names the sections in which other says something else than c that only
// takes effect at a start: what Engine.Reconfigure does not look at.
func (c *FileConfig) Restart(other *FileConfig) (names []string) {
	for name, reloaded := range known {
		if a, b := c.tree.Get(name), other.tree.Get(name); !reloaded && !reflect.DeepEqual(a, b) {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	return names
}

// LoadConfig reads a configuration file in Suricata's words (a suricata.yaml
// can be given as it is) with our own sections beside them, and overrides
// single values by "name=value" (sections by dots). file may be empty: then
// only the overrides count.
//
// Read are: vars, default-rule-path, rule-files, classification-file,
// reference-config-file, threshold-file, outputs (eve-log, file-store, tls-store), default-log-dir,
// stream, defrag, flow, flow-timeouts, app-layer, host-os-policy, exception-policy,
// packet-alert-max, pcap-file, datasets, default-data-dir, geoip-database,
// reputation-categories-file, default-reputation-path, reputation-files; ours are policy-files, disable-conf,
// enable-conf, drop-conf and modify-conf (files or lists of files),
// divert (hooks, protocols, ports, in, out, queue, queues, mark-mask, backend,
// loopback), fail (default, crash, overload, malformed, internal, memory) and
// queue (max-len, gso).
func LoadConfig(file string, set []string) (*FileConfig, error) {
	n := &conf.Node{}
	if file != "" {
		var err error
		if n, err = conf.Load(file); err != nil {
			return nil, err
		}
	}
	for _, kv := range set {
		if err := n.SetOption(kv); err != nil {
			return nil, err
		}
	}
	c := &FileConfig{LogDir: n.String("default-log-dir", ""), tree: n}
	r := reader{n: n, c: c, file: file != ""}
	r.vars()
	r.rules()
	r.outputs()
	r.stream()
	r.defrag()
	r.flow()
	r.app()
	r.detect()
	r.divert()
	r.queue()
	r.fail()
	r.unknown()
	if err := errors.Join(r.errs...); err != nil {
		if file == "" {
			file = "--set"
		} else if len(set) > 0 {
			file += " with --set"
		}
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return c, nil
}

type reader struct {
	n    *conf.Node
	c    *FileConfig
	errs []error
	file bool // there is a file; else what it does not say is as in the packaged one
}

func (r *reader) bad(path string, err error) {
	if err != nil {
		r.errs = append(r.errs, fmt.Errorf("%s: %w", path, err))
	}
}

func (r *reader) vars() {
	v := rule.DefaultVars()
	for _, g := range []struct {
		path string
		m    map[string]string
	}{{"vars.address-groups", v.Addresses}, {"vars.port-groups", v.Ports}} {
		if s := r.n.Get(g.path); s != nil {
			for _, k := range s.Kids {
				g.m[k.Name] = k.Value
			}
		}
	}
	r.c.Detect.Vars = &v
	// A variable that is no list of addresses spoils nearly every rule, so that
	// is said once, here.
	for _, g := range []struct {
		path    string
		m       map[string]string
		resolve func(*rule.Term) error
	}{
		{"vars.address-groups.", v.Addresses, func(t *rule.Term) error { _, err := v.Addr(t); return err }},
		{"vars.port-groups.", v.Ports, func(t *rule.Term) error { _, err := v.Port(t); return err }},
	} {
		for _, name := range slices.Sorted(maps.Keys(g.m)) {
			t, err := rule.ParseTerm(g.m[name])
			if err == nil {
				err = g.resolve(t)
			}
			if te, ok := errors.AsType[*rule.TermError](err); ok && te.Mend != "" {
				err = fmt.Errorf("%w (%s)", err, te.Mend)
			}
			r.bad(g.path+name, err)
		}
	}
}

func (r *reader) rules() {
	dir := r.n.String("default-rule-path", "")
	if s := r.n.Get("rule-files"); s != nil {
		for _, k := range s.Kids {
			r.c.Rules.Files = append(r.c.Rules.Files, under(dir, k.Value))
		}
	}
	for _, g := range policyKeys {
		if k := r.n.Get(g.name); k != nil {
			for _, name := range values(k) {
				r.c.Rules.Policy = append(r.c.Rules.Policy, policy.File{Kind: g.kind, Name: name})
			}
		}
	}
	if f := r.n.String("classification-file", ""); f != "" {
		if b, err := os.ReadFile(f); err == nil {
			classes, bad := detect.ParseClasses(string(b))
			for _, l := range bad {
				r.c.Warnings = append(r.c.Warnings, fmt.Sprintf("%s:%d: not a classification line", f, l))
			}
			r.c.Detect.Classes = classes
		} else {
			r.c.Warnings = append(r.c.Warnings, fmt.Sprintf("classification-file: %v; the built-in classes are used", err))
		}
	}
	if f := r.n.String("reference-config-file", ""); f != "" {
		if b, err := os.ReadFile(f); err == nil {
			r.c.Detect.References, _ = detect.ParseReferences(string(b))
		} else {
			r.c.Warnings = append(r.c.Warnings, fmt.Sprintf("reference-config-file: %v; the built-in references are used", err))
		}
	}
}

// policyKeys are ours: files, or lists of them, as package policy reads them.
var policyKeys = [...]struct {
	name string
	kind policy.Kind
}{
	{"policy-files", policy.Own}, {"disable-conf", policy.Disable}, {"enable-conf", policy.Enable},
	{"drop-conf", policy.Drop}, {"modify-conf", policy.Modify},
}

func under(dir, name string) string {
	if dir == "" || filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(dir, name)
}

// only refuses settings of our own sections that do not exist: one that is
// misspelled would leave a host less protected than its owner believes.
func (r *reader) only(s *conf.Node, section string, names ...string) {
	for _, k := range s.Kids {
		if !slices.Contains(names, k.Name) {
			r.bad(section+"."+k.Name, fmt.Errorf("no such setting (there are %s)", strings.Join(names, ", ")))
		}
	}
}

func (r *reader) divert() {
	s := r.n.Get("divert")
	if s == nil {
		return
	}
	r.only(s, "divert", "hooks", "protocols", "ports", "in", "out", "queue", "queues", "mark-mask", "backend", "loopback")
	d := &r.c.Divert
	list := func(name string) string {
		k := s.Get(name)
		if k == nil {
			return ""
		}
		out := k.Value
		for i, e := range k.Kids {
			if i > 0 {
				out += ","
			}
			out += e.Value
		}
		return out
	}
	var err error
	if v := list("hooks"); v != "" {
		d.Hooks, err = divert.ParseHooks(v)
		r.bad("divert.hooks", err)
	}
	if v := list("protocols"); v != "" {
		d.Protocols, err = divert.ParseProtocols(v)
		r.bad("divert.protocols", err)
	}
	if v := list("ports"); v != "" {
		d.Ports, err = divert.ParsePorts(v)
		r.bad("divert.ports", err)
	}
	for _, f := range []struct {
		name string
		to   *[]string
	}{{"in", &d.In}, {"out", &d.Out}} {
		if k := s.Get(f.name); k != nil {
			*f.to = values(k)
		}
	}
	for _, f := range []struct {
		name string
		to   *uint16
	}{{"queue", &d.Queue}, {"queues", &d.Queues}} {
		if v := s.String(f.name, ""); v != "" {
			x, err := strconv.ParseUint(v, 10, 16)
			r.bad("divert."+f.name, err)
			*f.to = uint16(x)
		}
	}
	if v := s.String("mark-mask", ""); v != "" {
		x, err := strconv.ParseUint(v, 0, 32)
		r.bad("divert.mark-mask", err)
		d.Marks.Mask = uint32(x)
	}
	d.Lifelines.DivertLoopback = s.Bool("loopback", false)
	d.Backend, err = divert.ParseBackend(s.String("backend", "auto"))
	r.bad("divert.backend", err)
}

func (r *reader) queue() {
	if s := r.n.Get("queue"); s != nil {
		r.only(s, "queue", "max-len", "gso")
		number(r, s, "max-len", &r.c.MaxLen)
		r.c.NoGSO = !s.Bool("gso", true)
	}
	var seconds int64
	number(r, r.n, "stats.interval", &seconds)
	r.c.StatsEvery = time.Duration(seconds) * time.Second
}

func values(k *conf.Node) []string {
	if k.Scalar {
		return []string{k.Value}
	}
	var out []string
	for _, e := range k.Kids {
		out = append(out, e.Value)
	}
	return out
}

func (r *reader) fail() {
	s := r.n.Get("fail")
	if s == nil {
		return
	}
	r.only(s, "fail", "default", "crash", "overload", "malformed", "internal", "memory")
	mode := func(name string, def FailMode) FailMode {
		v := s.String(name, "")
		if v == "" {
			return def
		}
		m, err := ParseFailMode(v)
		r.bad("fail."+name, err)
		return m
	}
	all := Open
	if s.Scalar {
		m, err := ParseFailMode(s.Value)
		r.bad("fail", err)
		all = m
	}
	all = mode("default", all)
	f := &r.c.Fail
	f.Crash, f.Overload, f.Malformed = mode("crash", all), mode("overload", all), mode("malformed", all)
	f.Internal, f.Memory = mode("internal", all), mode("memory", all)
}

// known are the sections that are read here, and whether a reload takes what
// they say.
var known = map[string]bool{
	"vars": true, "default-rule-path": true, "rule-files": true, "classification-file": true,
	"reference-config-file": true, "threshold-file": true, "packet-alert-max": true, "action-order": true, "datasets": true,
	"geoip-database": true, "reputation-categories-file": true, "default-reputation-path": true, "reputation-files": true,
	"default-data-dir": true, "policy-files": true, "disable-conf": true, "enable-conf": true, "drop-conf": true, "modify-conf": true,

	"outputs": false, "default-log-dir": false, "stats": false, "divert": false, "fail": false, "queue": false,
	"stream": false, "flow": false, "decoder": false, "flow-timeouts": false, "app-layer": false, "host-os-policy": false,
	"exception-policy": false, "pcap-file": false, "defrag": false,
}

func (r *reader) unknown() {
	var names []string
	for _, k := range r.n.Kids {
		if _, ok := known[k.Name]; !ok {
			names = append(names, k.Name)
		}
	}
	sort.Strings(names)
	if len(names) > 0 {
		r.c.Warnings = append(r.c.Warnings, "without effect here: "+strings.Join(names, ", "))
	}
}
