package eve

import (
	"sort"
	"strings"
)

// RuleStats is what stats records say of the rules.
type RuleStats struct {
	LastReload              int64 // nanoseconds since 1970
	Loaded, Failed, Skipped int
}

// Stats writes a stats record: values by dotted names ("decoder.pkts") become
// nested objects, as in Suricata's. now is nanoseconds since 1970. The first
// call begins the differences that Config.Deltas shows.
func (l *Logger) Stats(now int64, values map[string]uint64, rules RuleStats) {
	if !l.Wants(Stats) {
		return
	}
	names := make([]string, 0, len(values))
	for n := range values {
		names = append(names, n)
	}
	// By parts: what is in one object must stand together.
	sort.Slice(names, func(i, j int) bool {
		return strings.ReplaceAll(names[i], ".", "\x00") < strings.ReplaceAll(names[j], ".", "\x00")
	})
	o := l.start("stats")
	o.time("timestamp", now, l.cfg.Location)
	o.str("event_type", "stats")
	l.common(o)
	o.open("stats")
	var path []string // the open objects
	up := func(to int) {
		for len(path) > to {
			if len(path) == 1 && path[0] == "detect" {
				l.engines(o, rules)
			}
			o.close()
			path = path[:len(path)-1]
		}
	}
	for _, n := range names {
		parts := strings.Split(n, ".")
		leaf := len(parts) - 1
		same := 0
		for same < len(path) && same < leaf && path[same] == parts[same] {
			same++
		}
		up(same)
		for len(path) < leaf {
			o.open(parts[len(path)])
			path = append(path, parts[len(path)])
		}
		if !l.cfg.NoTotals || n == "uptime" {
			o.uint(parts[leaf], values[n])
		}
		if l.cfg.Deltas && n != "uptime" {
			o.uint(parts[leaf]+"_delta", values[n]-min(values[n], l.before[n]))
		}
	}
	up(0)
	o.close()
	l.end()
	l.before = values
}

// engines adds what is known of the rules: of one engine, there are no tenants.
func (l *Logger) engines(o *object, r RuleStats) {
	o.openArray("engines")
	o.item()
	o.open("")
	o.uint("id", 0)
	o.time("last_reload", r.LastReload, l.cfg.Location)
	o.uint("rules_loaded", uint64(r.Loaded))
	o.uint("rules_failed", uint64(r.Failed))
	o.uint("rules_skipped", uint64(r.Skipped))
	o.close()
	o.closeArray()
}
