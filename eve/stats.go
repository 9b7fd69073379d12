package eve

import "sort"

// Stats writes a stats record: values by dotted names ("decoder.pkts") become
// nested objects, as in Suricata's. now is nanoseconds since 1970.
func (l *Logger) Stats(now int64, values map[string]uint64) {
	if !l.Wants(Stats) {
		return
	}
	names := make([]string, 0, len(values))
	for n := range values {
		names = append(names, n)
	}
	sort.Strings(names)
	o := l.start("stats")
	o.time("timestamp", now, l.cfg.Location)
	o.str("event_type", "stats")
	o.open("stats")
	var path []string // the open objects
	for _, n := range names {
		parts := splitDots(n)
		leaf := len(parts) - 1
		same := 0
		for same < len(path) && same < leaf && path[same] == parts[same] {
			same++
		}
		for len(path) > same {
			o.close()
			path = path[:len(path)-1]
		}
		for len(path) < leaf {
			o.open(parts[len(path)])
			path = append(path, parts[len(path)])
		}
		o.uint(parts[leaf], values[n])
	}
	for range path {
		o.close()
	}
	o.close()
	l.end()
}

func splitDots(s string) []string {
	var out []string
	for {
		i := 0
		for i < len(s) && s[i] != '.' {
			i++
		}
		out = append(out, s[:i])
		if i == len(s) {
			return out
		}
		s = s[i+1:]
	}
}
