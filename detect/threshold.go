package detect

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/garita/garita/rule"
)

// threshold limits how often a rule alerts or acts.
type threshold struct {
	kind    thresholdKind
	track   trackBy
	count   uint32
	seconds uint32
	timeout uint32 // rate_filter: how long the new action lasts
	action  rule.Action
	nets    *rule.AddrSet // suppress: whom; nil = everybody
}

type thresholdKind uint8

const (
	limitKind thresholdKind = iota
	thresholdEach
	bothKind
	detectionFilter
	rateFilter
	suppress
)

type trackBy uint8

const (
	bySrc trackBy = iota
	byDst
	byBoth
	byRule
	byFlow
	byEither // suppress only
	byPair   // xbits
)

// ThresholdEntry is one line of threshold.config.
type ThresholdEntry struct {
	Gid, Sid uint32 // 0: all
	th       threshold
}

// ParseThresholds reads threshold.config: lines of "threshold …", "suppress …",
// "rate_filter …" and "event_filter …". Addresses may use variables.
func ParseThresholds(name, src string, vars *rule.Vars) ([]ThresholdEntry, []*rule.Error) {
	var out []ThresholdEntry
	var errs []*rule.Error
	if vars == nil {
		v := rule.DefaultVars()
		vars = &v
	}
	lines := strings.Split(src, "\n")
	for i := 0; i < len(lines); i++ {
		first := i
		line := strings.TrimSpace(lines[i])
		for strings.HasSuffix(line, "\\") && i+1 < len(lines) {
			i++
			line = strings.TrimSuffix(line, "\\") + " " + strings.TrimSpace(lines[i])
		}
		if line == "" || line[0] == '#' {
			continue
		}
		e, what := parseThresholdLine(line, vars)
		if what != "" {
			word, _, _ := strings.Cut(line, " ")
			errs = append(errs, &rule.Error{Pos: rule.Pos{File: name, Line: first + 1, Col: 1}, Keyword: word, What: what,
				Mend: "see Suricata's documentation of threshold.config"})
			continue
		}
		out = append(out, e)
	}
	return out, errs
}

func parseThresholdLine(line string, vars *rule.Vars) (ThresholdEntry, string) {
	word, rest, _ := strings.Cut(line, " ")
	e := ThresholdEntry{}
	th := &e.th
	th.count, th.seconds = 0, 0
	switch word {
	case "threshold", "event_filter":
	case "suppress":
		th.kind, th.track = suppress, byEither
	case "rate_filter":
		th.kind = rateFilter
	default:
		return e, "unknown command " + strconv.Quote(word)
	}
	tracked := false
	for _, f := range splitOutside(rest) {
		k, v, _ := strings.Cut(f, " ")
		v = strings.TrimSpace(v)
		n, err := strconv.ParseUint(v, 10, 32)
		switch k {
		case "gen_id", "sig_id", "count", "seconds", "timeout":
			if err != nil {
				return e, k + " needs a number"
			}
		}
		switch k {
		case "gen_id":
			e.Gid = uint32(n)
		case "sig_id":
			e.Sid = uint32(n)
		case "count":
			th.count = uint32(n)
		case "seconds":
			th.seconds = uint32(n)
		case "timeout":
			th.timeout = uint32(n)
		case "type":
			switch v {
			case "limit":
				th.kind = limitKind
			case "threshold":
				th.kind = thresholdEach
			case "both":
				th.kind = bothKind
			default:
				return e, "unknown type " + strconv.Quote(v)
			}
		case "track":
			t, ok := trackNames[v]
			if !ok {
				return e, "unknown track " + strconv.Quote(v)
			}
			th.track, tracked = t, true
		case "new_action":
			a, ok := rule.ParseAction(v)
			if !ok {
				return e, "unknown action " + strconv.Quote(v)
			}
			th.action = a
		case "ip":
			t, err := rule.ParseTerm(v)
			if err != nil {
				return e, err.Error()
			}
			s, err := vars.Addr(t)
			if err != nil {
				return e, err.Error()
			}
			th.nets = &s
		default:
			return e, "unknown word " + strconv.Quote(k)
		}
	}
	switch th.kind {
	case suppress:
		if tracked != (th.nets != nil) {
			return e, "track and ip go together"
		}
	case rateFilter:
		if th.count == 0 || th.seconds == 0 || th.action == rule.NoAction {
			return e, "count, seconds and new_action are needed"
		}
	default:
		if th.count == 0 || th.seconds == 0 {
			return e, "count and seconds are needed"
		}
	}
	return e, ""
}

// splitOutside splits at commas that are not in brackets.
func splitOutside(s string) []string {
	var out []string
	depth, start := 0, 0
	for i := 0; i <= len(s); i++ {
		switch {
		case i == len(s) || s[i] == ',' && depth == 0:
			if f := strings.TrimSpace(s[start:i]); f != "" {
				out = append(out, f)
			}
			start = i + 1
		case s[i] == '[':
			depth++
		case s[i] == ']':
			depth--
		}
	}
	return out
}

var trackNames = map[string]trackBy{"by_src": bySrc, "by_dst": byDst, "by_both": byBoth, "by_rule": byRule, "by_flow": byFlow, "by_either": byEither}

func (b *builder) rate(v string, th *threshold) error {
	var have [3]bool
	for _, f := range fields(v) {
		k, val, _ := strings.Cut(f, " ")
		val = strings.TrimSpace(val)
		switch k {
		case "type":
			switch val {
			case "limit":
				th.kind = limitKind
			case "threshold":
				th.kind = thresholdEach
			case "both":
				th.kind = bothKind
			default:
				return b.fail(0, "unknown type "+strconv.Quote(val), "limit, threshold or both")
			}
		case "track":
			t, ok := trackNames[val]
			if !ok || t == byEither {
				return b.fail(0, "unknown track "+strconv.Quote(val), "by_src, by_dst, by_both, by_rule or by_flow")
			}
			th.track, have[0] = t, true
		case "count", "seconds":
			n, err := strconv.ParseUint(val, 10, 32)
			if err != nil || n == 0 && th.kind == detectionFilter {
				return b.fail(0, k+" is not a number: "+strconv.Quote(val), "")
			}
			if n == 0 {
				b.c.warn(b.fail(0, k+" is 0: it limits nothing, or everything", ""))
			}
			if k == "count" {
				th.count, have[1] = uint32(n), true
			} else {
				th.seconds, have[2] = uint32(n), true
			}
		default:
			if th.kind == detectionFilter {
				return b.fail(0, "unknown word "+strconv.Quote(k), "track, count, seconds")
			}
			b.c.warn(b.fail(0, "unknown word "+strconv.Quote(k)+" has no effect", "type, track, count, seconds"))
		}
	}
	if have != [3]bool{true, true, true} {
		return b.fail(0, "track, count and seconds are needed", "")
	}
	return nil
}

func kwThreshold(b *builder, v string) error {
	if b.s.detFilt != nil {
		return b.fail(0, "threshold and detection_filter exclude each other", "")
	}
	t := &threshold{kind: 255}
	b.s.thresh = append(b.s.thresh, t)
	if err := b.rate(v, t); err != nil {
		return err
	}
	if t.kind == 255 {
		return b.fail(0, "the type is missing", "type limit, threshold or both")
	}
	return nil
}

func kwDetectionFilter(b *builder, v string) error {
	if len(b.s.thresh) > 0 {
		return b.fail(0, "threshold and detection_filter exclude each other", "")
	}
	b.s.detFilt = &threshold{kind: detectionFilter}
	return b.rate(v, b.s.detFilt)
}

// thKey names one counter.
type thKey struct {
	rule uint64 // gid and sid
	kind uint8
	a, b netip.Addr
	flow uint64
}

// thState is one counter.
type thState struct {
	count uint32
	start int64 // nanoseconds
	until int64 // rate_filter: the new action lasts until then
}

// maxCounters bounds the counters of a worker; the oldest windows go first.
const maxCounters = 1 << 17

func (w *Worker) thKey(t *threshold, id uint64, in *Input) (thKey, bool) {
	k := thKey{rule: id, kind: uint8(t.kind)}
	p := in.Packet
	switch t.track {
	case bySrc:
		k.a = p.Src()
	case byDst:
		k.a = p.Dst()
	case byBoth:
		k.a, k.b = p.Src(), p.Dst()
		if k.b.Less(k.a) {
			k.a, k.b = k.b, k.a
		}
	case byFlow:
		if in.Flow == nil {
			return k, false
		}
		k.flow = in.Flow.Key
	}
	return k, true
}

// rated says what a threshold makes of one more match: whether it alerts,
// whether its action takes place, and by which action it is replaced.
func (w *Worker) rated(t *threshold, id uint64, in *Input) (alert, act bool, instead rule.Action) {
	if t.kind == suppress {
		p := in.Packet
		hit := t.nets == nil
		if !hit {
			switch t.track {
			case bySrc:
				hit = t.nets.Contains(p.Src())
			case byDst:
				hit = t.nets.Contains(p.Dst())
			default:
				hit = t.nets.Contains(p.Src()) || t.nets.Contains(p.Dst())
			}
		}
		return !hit, true, rule.NoAction
	}
	k, ok := w.thKey(t, id, in)
	if !ok {
		return true, true, rule.NoAction
	}
	now := in.Packet.Time
	window := int64(t.seconds) * 1e9
	st := w.counters[k]
	first := st == nil || now-st.start > window // of a window
	if st == nil {
		if len(w.counters) >= maxCounters {
			w.expire(now)
		}
		st = &thState{start: now}
		w.counters[k] = st
		st.count = 1
	} else if now-st.start > window && t.kind != rateFilter {
		st.start, st.count = now, 1
	} else {
		st.count++
	}
	switch t.kind {
	case limitKind:
		return st.count <= max(t.count, 1), true, rule.NoAction // the first of a window always
	case thresholdEach:
		if st.count >= t.count && (t.count > 0 || !first) {
			st.count = 0
			return true, true, rule.NoAction
		}
		return false, false, rule.NoAction
	case bothKind:
		return st.count == t.count, st.count >= t.count, rule.NoAction
	case detectionFilter:
		return st.count > t.count, st.count > t.count, rule.NoAction
	case rateFilter:
		if st.until != 0 && now < st.until {
			return true, true, t.action
		}
		if st.until != 0 || now-st.start > window {
			st.until, st.start, st.count = 0, now, 1
		}
		if st.count > t.count {
			st.until = now + int64(t.timeout)*1e9
			if t.timeout == 0 {
				st.until = 1<<63 - 1
			}
			return true, true, t.action
		}
		return true, true, rule.NoAction
	}
	return true, true, rule.NoAction
}

// expire drops counters whose window is long over, or all if that does not
// help.
func (w *Worker) expire(now int64) {
	for k, st := range w.counters {
		if now-st.start > 600e9 {
			delete(w.counters, k)
		}
	}
	if len(w.counters) >= maxCounters {
		clear(w.counters)
		w.Stats.CountersLost++
	}
}
