package detect

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// dataset is a named set of values that rules test and change. It is shared by
// all workers.
type dataset struct {
	*values
	name string
	kind datasetKind
	load string            // file that filled it, "" for none
	save string            // file that the set goes to at the end, "" for none
	orig map[string]uint16 // what it began with, if rules change it
}

// values are what is in a set. They outlive a reload.
type values struct {
	mu   sync.RWMutex
	set  map[string]uint16 // value and its reputation
	size int               // bytes of all values
}

type datasetKind uint8

const (
	setString datasetKind = iota
	setMD5
	setSHA256
	setIPv4
	setIP
)

// maxDataset bounds the bytes of one set.
const maxDataset = 64 << 20

// datasetRef is how a rule uses a set.
type datasetRef struct {
	set *dataset
	op  datasetOp
	rep numRange
}

type datasetOp uint8

const (
	dsIsSet datasetOp = iota
	dsIsNotSet
	dsSet
	dsUnset
	dsRep
)

// key is the value as it stands in the set; nil if it cannot be in it.
func (s *dataset) key(dst []byte, data []byte) []byte {
	if n := setSizes[s.kind]; n != 0 && len(data) != n {
		return nil
	}
	return append(dst, data...)
}

var setKinds = map[string]datasetKind{"string": setString, "md5": setMD5, "sha256": setSHA256, "ipv4": setIPv4, "ip": setIP}

// setSizes are the lengths that values must have: sums and addresses are
// looked up as they are, a transform such as to_md5 makes them.
var setSizes = [...]int{setMD5: 16, setSHA256: 32, setIPv4: 4, setIP: 0}

// dataset applies a dataset keyword to the buffer.
func (m *matcher) dataset(n *node) bool {
	var tmp [64]byte
	r := n.data
	key := r.set.key(tmp[:0], m.buf)
	if key == nil {
		return r.op == dsIsNotSet
	}
	r.set.mu.RLock()
	rep, ok := r.set.set[string(key)]
	r.set.mu.RUnlock()
	switch r.op {
	case dsIsSet:
		return ok
	case dsIsNotSet:
		return !ok
	case dsRep:
		return ok && r.rep.match(uint64(rep))
	case dsSet:
		if ok {
			return false
		}
		r.set.mu.Lock()
		defer r.set.mu.Unlock()
		if r.set.size+len(key) > maxDataset {
			return false
		}
		r.set.set[string(key)] = 0
		r.set.size += len(key)
		return true
	case dsUnset:
		if ok {
			r.set.mu.Lock()
			delete(r.set.set, string(key))
			r.set.size -= len(key)
			r.set.mu.Unlock()
		}
		return ok
	}
	return false
}

func kwDataset(b *builder, v string) error { return b.dataset(v, false) }
func kwDatarep(b *builder, v string) error { return b.dataset(v, true) }

func (b *builder) dataset(v string, rep bool) error {
	f := fields(v)
	least := 2
	if rep {
		least = 3
	}
	if len(f) < least {
		return b.fail(0, "too few values", "write dataset:isset,NAME,type string,load FILE; or datarep:NAME,>,100,type string,load FILE")
	}
	r := &datasetRef{}
	name := f[1]
	if rep {
		name = f[0]
		r.op = dsRep
		op, ok := map[string]numOp{">": numGT, "<": numLT, "=": numEQ, "==": numEQ, ">=": numGE, "<=": numLE}[f[1]]
		n, ok2 := parseNum(f[2], 16)
		if !ok || !ok2 {
			return b.fail(0, "not a comparison: "+f[1]+" "+f[2], "")
		}
		r.rep = numRange{op: op, a: n}
	} else {
		op, ok := map[string]datasetOp{"isset": dsIsSet, "isnotset": dsIsNotSet, "set": dsSet, "unset": dsUnset}[f[0]]
		if !ok {
			return b.fail(0, "unknown action "+strconv.Quote(f[0]), "isset, isnotset, set or unset")
		}
		r.op = op
	}
	kind, kinded, load, save := setString, false, "", ""
	for _, s := range f[least:] {
		word, arg, _ := strings.Cut(s, " ")
		arg = strings.TrimSpace(arg)
		switch word {
		case "type":
			k, ok := setKinds[arg]
			if !ok {
				return b.fail(0, "unknown type "+strconv.Quote(arg), "string, md5, sha256, ipv4 or ip")
			}
			kind, kinded = k, true
		case "load":
			load = arg
		case "state", "save":
			if word == "state" {
				load = arg
			}
			if filepath.IsAbs(arg) || !filepath.IsLocal(arg) {
				return b.fail(0, "the file to save to is outside of the data directory", "write a relative name")
			}
			if save = arg; b.c.cfg.DataDir == "" {
				b.c.warn(b.fail(0, "the set is not saved", "no data directory is set (default-data-dir, --data-dir)"))
			}
		case "memcap", "hashsize":
		default:
			return b.fail(0, "unknown option "+strconv.Quote(word), "type, load, save, state, memcap, hashsize")
		}
	}
	set := b.c.sets[name]
	if set == nil {
		for _, d := range b.c.cfg.Datasets {
			if k, ok := setKinds[d.Type]; ok && d.Name == name {
				if !kinded {
					kind, kinded = k, true
				}
				if load == "" {
					load = d.Load
				}
			}
		}
	}
	switch {
	case set == nil:
		if !kinded {
			return b.fail(0, "the type is missing", "write type string, md5, sha256, ipv4 or ip")
		}
		set = &dataset{name: name, kind: kind, load: load, values: &values{set: map[string]uint16{}}}
		if load != "" {
			data, err := b.readNear(load)
			if err != nil {
				if r.op != dsSet && r.op != dsUnset || !strings.Contains(v, "state") {
					return err
				}
			} else if bad := set.fill(string(data), rep); bad != 0 {
				return b.fail(0, "line "+strconv.Itoa(bad)+" of "+load+" is malformed", "strings are base64, sums hex; a reputation follows a comma")
			}
		}
		b.c.sets[name] = set
	case kinded && set.kind != kind:
		return b.fail(0, "the set has another type elsewhere", "use one type")
	}
	if save != "" {
		set.save = save
	}
	if (r.op == dsSet || r.op == dsUnset) && set.orig == nil {
		set.orig = maps.Clone(set.set)
	}
	r.set = set
	b.add(node{op: opDataset, data: r})
	return nil
}

// fill reads the lines of a file into the set; it returns the number of a
// malformed line.
func (s *dataset) fill(src string, rep bool) int {
	for i, line := range strings.Split(src, "\n") {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		val, num, hasNum := strings.Cut(line, ",")
		var r uint64
		if rep {
			n, ok := parseNum(strings.TrimSpace(num), 16)
			if !ok || !hasNum {
				return i + 1
			}
			r = n
		}
		val = strings.TrimSpace(val)
		var key []byte
		var err error
		switch s.kind {
		case setString:
			key, err = base64.StdEncoding.DecodeString(val)
		case setMD5, setSHA256:
			key, err = hex.DecodeString(val)
		default:
			var a netip.Addr
			if a, err = netip.ParseAddr(val); err == nil {
				key = a.AsSlice()
			}
		}
		if err != nil {
			return i + 1
		}
		s.set[string(key)] = uint16(r)
		s.size += len(key)
	}
	return 0
}

// SaveDatasets hands every set that a rule saves (save, state) to write: the
// name as the rule has it, the lines as load reads them.
func (rs *Ruleset) SaveDatasets(write func(name string, lines []byte) error) error {
	var errs []error
	for _, s := range rs.datasets {
		if s.save != "" {
			errs = append(errs, write(s.save, s.lines()))
		}
	}
	return errors.Join(errs...)
}

// Inherit takes over what rules put into the sets of old, which rs is to
// replace: of a set that is saved or came from no file all values, which both
// have in common from then on. A set that was only read from a file is what the
// file says now. Packets may be judged by old meanwhile, not by rs yet.
func (rs *Ruleset) Inherit(old *Ruleset) {
	for _, s := range rs.datasets {
		if s.save == "" && s.load != "" {
			continue
		}
		for _, o := range old.datasets {
			if o.name != s.name || o.kind != s.kind {
				continue
			}
			o.mu.Lock()
			for k, v := range s.set {
				if _, ok := o.set[k]; !ok && o.size+len(k) <= maxDataset {
					o.size += len(k)
					o.set[k] = v
				}
			}
			o.mu.Unlock()
			s.values = o.values
		}
	}
}

// DataDir is where the datasets of these rules are to be saved, "" for nowhere.
func (rs *Ruleset) DataDir() string { return rs.cfg.DataDir }

// ResetDatasets takes back what rules changed in sets. No packet may be judged
// meanwhile.
func (rs *Ruleset) ResetDatasets() {
	for _, s := range rs.datasets {
		if s.orig == nil {
			continue
		}
		s.mu.Lock()
		s.set, s.size = maps.Clone(s.orig), 0
		for k := range s.set {
			s.size += len(k)
		}
		s.mu.Unlock()
	}
}

// lines are the values of the set, one a line, sorted.
func (s *dataset) lines() []byte {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var out []byte
	for _, k := range slices.Sorted(maps.Keys(s.set)) {
		switch s.kind {
		case setString:
			out = base64.StdEncoding.AppendEncode(out, []byte(k))
		case setMD5, setSHA256:
			out = hex.AppendEncode(out, []byte(k))
		default:
			if a, ok := netip.AddrFromSlice([]byte(k)); ok {
				out = a.AppendTo(out)
			}
		}
		out = append(out, '\n')
	}
	return out
}
