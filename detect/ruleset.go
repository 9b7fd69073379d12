package detect

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/garita/garita/app"
	"github.com/garita/garita/internal/mpm"
	"github.com/garita/garita/internal/pcre"
	"github.com/garita/garita/rule"
)

// Ruleset is a set of compiled rules. It is immutable and may be used by any
// number of workers at once.
type Ruleset struct {
	cfg     Config
	sigs    []sig
	buffers []bufDef
	addrs   []rule.AddrSet
	ports   []rule.PortSet
	stats   Stats
	th      []ThresholdEntry // of threshold.config
	thBy    map[uint64][]int32

	// packet stage
	ipOnly  ipIndex
	payload [2][nPayload]payGroup // by direction and what is scanned
	plain   [2][nClass][]uint32   // sigs without a pattern
	headers []headerGroup
	// transaction stage
	tx         [app.NProto][2][]txGroup
	txPlain    [app.NProto][2][]uint32
	anyTx      bool // there are rules on transactions
	anyFrame   bool // there are rules on frames
	anyBypass  bool // there are rules that let flows go
	anyOverlap bool // there are rules on overlaps that differ
	fileHashes bool // a rule asks for sums of files
	datasets   []*dataset
	names      map[uint32]string // of flow bits, variables and the like
}

// Stats says what became of the rules.
type Stats struct {
	Rules   int // compiled
	Refused int
	Skipped int // not wanted by their requires keyword
	IPOnly  int
	Plain   int // without a fast pattern
	Buffers int
	Took    time.Duration
}

// Name is the name of a flow bit, integer or variable by its number; "" if no
// rule of the set knows it.
func (r *Ruleset) Name(id uint32) string {
	s := r.names[id]
	if i := strings.IndexByte(s, ' '); i >= 0 {
		s = s[i+1:] // the kind
	}
	return s
}

// Stats of the compilation.
func (r *Ruleset) Stats() Stats { return r.stats }

// NeedsFileHashes says whether a rule asks for sums of files.
func (r *Ruleset) NeedsFileHashes() bool { return r.fileHashes }

// Rules returns what is known of each rule, in the order in which they take
// effect. Rules of "<>" stand in it once.
func (r *Ruleset) Rules() []*Info {
	var out []*Info
	seen := make(map[int32]bool, len(r.sigs))
	for i := range r.sigs {
		if !seen[r.sigs[i].num] {
			seen[r.sigs[i].num] = true
			out = append(out, r.sigs[i].info)
		}
	}
	return out
}

// What a payload matcher scans.
const (
	payTCPPacket = iota // payloads of TCP packets
	payTCPStream        // pieces of TCP streams
	payTCPBoth          // payloads that are packet and piece in one
	payUDP
	payOther
	nPayload
)

// ReadsStream says whether rules look at the raw stream of a direction.
func (r *Ruleset) ReadsStream(d app.Dir) bool { return r.payload[d][payTCPStream].used }

// Classes of packets for rules without a pattern.
const (
	classTCP = iota
	classUDP
	classICMP
	classOther
	nClass
)

func classOf(proto uint8) int {
	switch proto {
	case 6:
		return classTCP
	case 17:
		return classUDP
	case 1, 58:
		return classICMP
	}
	return classOther
}

// group is a matcher and the sig of each of its patterns.
type group struct {
	m    *mpm.Matcher
	sigs []uint32
	pats []mpm.Pattern // while it is built
}

func (g *group) add(p mpm.Pattern, s uint32) {
	g.pats = append(g.pats, p)
	g.sigs = append(g.sigs, s)
}

func (g *group) build() {
	if len(g.pats) > 0 {
		g.m = mpm.Build(g.pats)
		g.pats = nil
	}
}

type headerGroup struct {
	group
	buf int32
}

// txGroup is the patterns of one buffer for transactions.
type txGroup struct {
	*group
	buf   int32
	from  uint8 // as in engine
	stage uint8
	kind  app.Kind
	grows bool
	multi bool
	again bool // looked at once more behind a trailer
}

// compiler is what is shared while rules are compiled.
type compiler struct {
	rs       *Ruleset
	cfg      *Config
	vars     rule.Vars
	classes  map[string]Class
	refs     map[string]string
	features []string
	problems []*rule.Error
	keywords map[string]keyword

	addrIDs  map[string]int32
	portIDs  map[string]int32
	termAddr map[string]int32
	termPort map[string]int32
	termErr  map[string]error
	neg      []bool // address set was written with a negation
	bufIDs   map[string]int32
	names    map[string]uint32
	taken    map[uint32]bool
	strs     map[string]string
	regexes  map[regexKey]*pcre.Regexp
	sets     map[string]*dataset
	hashes   bool
	num      int32
	maxVars  int
	curr     *rule.Rule
}

// Compile compiles rules. A rule that is wrong or uses something that is not
// supported is left out and reported; the others work. Problems that are only
// warnings are marked as such.
func Compile(rules []rule.Rule, cfg Config) (*Ruleset, []*rule.Error) {
	start := time.Now()
	if cfg.MaxAlerts == 0 {
		cfg.MaxAlerts = MaxAlerts
	}
	def := func(p *int, v int) {
		if *p == 0 {
			*p = v
		}
	}
	def(&cfg.ContentSteps, 3000)
	def(&cfg.RegexSteps, RegexSteps)
	def(&cfg.RequestBodyMinInspect, 32<<10)
	def(&cfg.RequestBodyWindow, 4<<10)
	def(&cfg.ResponseBodyMinInspect, 40<<10)
	def(&cfg.ResponseBodyWindow, 16<<10)
	rs := &Ruleset{cfg: cfg, names: map[uint32]string{}}
	c := &compiler{
		rs: rs, cfg: &rs.cfg, classes: cfg.Classes, refs: cfg.References, features: cfg.Features,
		addrIDs: map[string]int32{}, portIDs: map[string]int32{}, termAddr: map[string]int32{}, termPort: map[string]int32{},
		termErr: map[string]error{}, bufIDs: map[string]int32{}, names: map[string]uint32{}, taken: map[uint32]bool{}, strs: map[string]string{},
		regexes: map[regexKey]*pcre.Regexp{}, keywords: keywordTable(), sets: map[string]*dataset{},
	}
	if cfg.Vars != nil {
		c.vars = *cfg.Vars
	} else {
		c.vars = rule.DefaultVars()
	}
	if c.classes == nil {
		c.classes = DefaultClasses()
	}
	if c.refs == nil {
		c.refs = DefaultReferences()
	}
	rs.sigs = make([]sig, 0, len(rules))
	bySid := make(map[uint64]int, len(rules)) // gid, sid -> place in sigs
	for i := range rules {
		r := &rules[i]
		if r.Disabled {
			continue
		}
		c.curr = r
		ss, faults, skip := c.compileRule(r)
		if skip != nil {
			rs.stats.Skipped++
			continue
		}
		if len(faults) > 0 {
			c.problems = append(c.problems, faults...)
			rs.stats.Refused++
			continue
		}
		key := uint64(ss[0].info.Gid)<<32 | uint64(ss[0].info.Sid)
		if at, ok := bySid[key]; ok {
			old := rs.sigs[at].info
			if old.Rev >= ss[0].info.Rev {
				c.problems = append(c.problems, &rule.Error{Pos: r.Pos(), Keyword: "sid", Sid: ss[0].info.Sid, What: "duplicate of the rule at " + old.File + " line " + itoa(old.Line),
					Mend: "give it another sid, or a higher rev to replace the other"})
				rs.stats.Refused++
				continue
			}
			// The newer revision takes the place of the older.
			n := 1
			if at+1 < len(rs.sigs) && rs.sigs[at+1].info == old {
				n = 2
			}
			rs.sigs = slices.Delete(rs.sigs, at, at+n)
			for k, v := range bySid {
				if v > at {
					bySid[k] = v - n
				}
			}
			rs.stats.Rules--
		}
		bySid[key] = len(rs.sigs)
		rs.sigs = append(rs.sigs, ss...)
		rs.stats.Rules++
	}
	slices.SortStableFunc(rs.sigs, func(a, b sig) int {
		x, y := a.order, b.order
		return cmp.Or(cmp.Compare(x.action, y.action), cmp.Compare(x.flowbits, y.flowbits), cmp.Compare(x.flowint, y.flowint),
			cmp.Compare(x.flowvar, y.flowvar), cmp.Compare(x.pktvar, y.pktvar), cmp.Compare(x.hostbits, y.hostbits), cmp.Compare(x.ipbits, y.ipbits),
			cmp.Compare(x.prio, y.prio))
	})
	for i := range rs.sigs {
		rs.anyTx = rs.anyTx || rs.sigs[i].flags&sigTx != 0
	}
	rs.fileHashes = c.hashes
	for _, name := range slices.Sorted(maps.Keys(c.sets)) {
		rs.datasets = append(rs.datasets, c.sets[name])
	}
	c.thresholds()
	c.index()
	for p := range rs.tx {
		for d := range rs.tx[p] {
			rs.anyTx = rs.anyTx || len(rs.tx[p][d]) > 0 || len(rs.txPlain[p][d]) > 0
		}
	}
	rs.stats.Buffers = len(rs.buffers)
	rs.stats.Took = time.Since(start)
	return rs, c.problems
}

func itoa(n int) string {
	if n == 0 {
		return "0"
	}
	var b [20]byte
	i := len(b)
	for ; n > 0; n /= 10 {
		i--
		b[i] = byte('0' + n%10)
	}
	return string(b[i:])
}

func (c *compiler) warn(err error) {
	if e, ok := err.(*rule.Error); ok {
		e.Warning = true
		c.problems = append(c.problems, e)
	}
}

// str shares equal strings: metadata repeats a lot.
func (c *compiler) str(s string) string {
	if t, ok := c.strs[s]; ok {
		return t
	}
	c.strs[s] = s
	return s
}

// name numbers a name of flow bits, variables and the like. The number comes
// from the name, so that flows keep their bits when rules are loaded anew.
func (c *compiler) name(s string) uint32 {
	if id, ok := c.names[s]; ok {
		return id
	}
	id := uint32(2166136261) // FNV-1a
	for i := range len(s) {
		id = (id ^ uint32(s[i])) * 16777619
	}
	for c.taken[id] {
		id++
	}
	c.taken[id] = true
	c.names[s] = id
	c.rs.names[id] = s
	return id
}

// buffer interns a buffer.
func (c *compiler) buffer(b *buffer) (*bufDef, int32) {
	key := b.name + "\x00" + string(rune(b.special)) + transformKey(b.transforms)
	if id, ok := c.bufIDs[key]; ok {
		return &c.rs.buffers[id], id
	}
	d := bufDef{name: b.name, field: b.field, special: b.special, transforms: b.transforms}
	if b.field != app.NoField {
		in := fieldInfo(b.field)
		d.protos, d.dirs, d.stage, d.kind, d.multi = in.Protos, in.Dirs, in.Stage, in.Kind, in.Multi
		d.magic = b.name == "file.magic"
		if b.frame != "" {
			d.frame, d.protos = b.frame, b.frameOf
			c.rs.anyFrame = true
		}
	}
	id := int32(len(c.rs.buffers))
	if cap(c.rs.buffers) == 0 {
		c.rs.buffers = make([]bufDef, 0, 1024) // pointers into it stay good
	}
	c.rs.buffers = append(c.rs.buffers, d)
	c.bufIDs[key] = id
	return &c.rs.buffers[id], id
}

func (c *compiler) addrSet(r *rule.Rule, t *rule.Term) (int32, error) {
	if !t.IsList && !t.Negated && strings.EqualFold(t.Word, "any") {
		return -1, nil
	}
	key := t.String()
	if id, ok := c.termAddr[key]; ok {
		return id, nil
	}
	if err, ok := c.termErr["a"+key]; ok {
		return -1, err.(*rule.TermError).At(r, "", t)
	}
	s, err := c.vars.Addr(t)
	if err != nil {
		c.termErr["a"+key] = err
		return -1, err.(*rule.TermError).At(r, "", t)
	}
	id := int32(-1)
	if !s.All() {
		canon := s.String()
		var ok bool
		if id, ok = c.addrIDs[canon]; !ok {
			id = int32(len(c.rs.addrs))
			c.rs.addrs = append(c.rs.addrs, s)
			c.addrIDs[canon] = id
			c.neg = append(c.neg, strings.Contains(c.expand(t, 0), "!"))
		}
	}
	c.termAddr[key] = id
	return id, nil
}

// expand writes a term with the variables in it.
func (c *compiler) expand(t *rule.Term, depth int) string {
	s := t.String()
	if depth > 8 || !strings.Contains(s, "$") {
		return s
	}
	for name, v := range c.vars.Addresses {
		if strings.Contains(s, "$"+name) {
			if sub, err := rule.ParseTerm(v); err == nil {
				s += c.expand(sub, depth+1)
			}
		}
	}
	return s
}

func (c *compiler) negated(id int32) bool { return id >= 0 && c.neg[id] }

func (c *compiler) portSet(r *rule.Rule, t *rule.Term) (int32, error) {
	if !t.IsList && !t.Negated && strings.EqualFold(t.Word, "any") {
		return -1, nil
	}
	key := t.String()
	if id, ok := c.termPort[key]; ok {
		return id, nil
	}
	if err, ok := c.termErr["p"+key]; ok {
		return -1, err.(*rule.TermError).At(r, "", t)
	}
	s, err := c.vars.Port(t)
	if err != nil {
		c.termErr["p"+key] = err
		return -1, err.(*rule.TermError).At(r, "", t)
	}
	id := int32(-1)
	if !s.All() {
		canon := s.String()
		var ok bool
		if id, ok = c.portIDs[canon]; !ok {
			id = int32(len(c.rs.ports))
			c.rs.ports = append(c.rs.ports, s)
			c.portIDs[canon] = id
		}
	}
	c.termPort[key] = id
	return id, nil
}

// thresholds attaches the entries of threshold.config to the rules.
func (c *compiler) thresholds() {
	rs := c.rs
	rs.th = c.cfg.Thresholds
	if len(rs.th) == 0 {
		return
	}
	rs.thBy = make(map[uint64][]int32)
	for i, e := range rs.th {
		k := uint64(e.Gid)<<32 | uint64(e.Sid)
		rs.thBy[k] = append(rs.thBy[k], int32(i))
	}
}
