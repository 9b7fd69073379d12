package iptc

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Rates, quotas and chance.
var rateExts = []ext{
	{
		name: "limit", fam: both, size: 40, user: 8, opts: "limit: limit-burst:",
		init: func(_ *scope, d []byte) { put32(d, 0, limitScale*3600/3); put32(d, 4, 5) },
		set: func(_ *scope, d []byte, o option) error {
			if o.name == "limit-burst" {
				v, err := num(o.arg, 10000)
				put32(d, 4, uint32(v))
				return err
			}
			period, _, err := parseRate(o.arg, limitScale)
			put32(d, 0, uint32(period))
			if period > 1<<32-1 {
				return o.bad()
			}
			return err
		},
		save: func(p *printer, d []byte) {
			text, _ := rateText(uint64(u32(d, 0)), limitScale)
			p.opt(false, "limit", text)
			if b := u32(d, 4); b != 5 {
				p.opt(false, "limit-burst", b)
			}
		},
	},
	{
		name: "hashlimit", fam: both, rev: 3, size: 312, user: 304,
		opts: "hashlimit-above: hashlimit-upto: hashlimit=hashlimit-upto: hashlimit-burst: hashlimit-mode: hashlimit-name: " +
			"hashlimit-htable-size: hashlimit-htable-max: hashlimit-htable-gcinterval: hashlimit-htable-expire: " +
			"hashlimit-srcmask: hashlimit-dstmask: hashlimit-rate-match hashlimit-rate-interval:",
		init: func(c *scope, d []byte) {
			put64(d, hlBurst, 5)
			put32(d, hlGC, 1000)
			d[hlSrcMask], d[hlDstMask] = byte(8*c.f.layout().addr), byte(8*c.f.layout().addr)
		},
		set:  setHashlimit,
		done: doneHashlimit,
		save: saveHashlimit,
	},
	{
		name: "quota", fam: both, size: 24, user: 8, opts: "quota:",
		set: func(_ *scope, d []byte, o option) error {
			v, err := num(o.arg, 1<<64-1)
			put32(d, 0, uint32(boolean(o.not)))
			put64(d, 8, v)
			return err
		},
		done: needOne("quota"),
		save: func(p *printer, d []byte) { p.opt(u32(d, 0)&1 != 0, "quota", u64(d, 8)) },
	},
	{
		name: "statistic", fam: both, size: 24, user: 12, opts: "mode: probability: every: packet:",
		set: setStatistic,
		done: func(c *scope, d []byte) error {
			switch {
			case !c.has("mode"):
				return fmt.Errorf("statistic: --mode must be specified")
			case u16(d, 0) == 0 && !c.has("probability"):
				return fmt.Errorf("statistic: --probability must be specified when using random mode")
			case u16(d, 0) == 1 && !c.has("every"):
				return fmt.Errorf("statistic: --every must be specified when using nth mode")
			}
			put32(d, 12, u32(d, 4)-u32(d, 8))
			return nil
		},
		save: func(p *printer, d []byte) {
			not := u16(d, 2)&1 != 0
			if u16(d, 0) == 0 {
				p.opt(false, "mode", "random")
				p.opt(not, "probability", fmt.Sprintf("%.11f", float64(u32(d, 4))/(1<<31)))
				return
			}
			p.opt(false, "mode", "nth")
			p.opt(not, "every", u32(d, 4)+1)
			p.opt(false, "packet", u32(d, 8))
		},
	},
	{
		name: "rateest", fam: both, size: 72, user: 56,
		opts: "rateest: rateest1=rateest: rateest2: rateest-delta rateest-bps? rateest-bps1: rateest-bps2: rateest-pps? " +
			"rateest-pps1: rateest-pps2: rateest-lt rateest-gt rateest-eq",
		set:  setRateest,
		done: doneRateest,
		save: saveRateest,
	},
	{
		name: "RATEEST", target: true, fam: both, size: 32, user: 24,
		opts: "rateest-name: rateest-interval: rateest-ewmalog:",
		set:  setRATEEST,
		done: doneRATEEST,
		save: func(p *printer, d []byte) {
			interval := uint64(250000) << (int8(d[16]) + 2&31)
			p.opt(false, "rateest-name", cstr(d[:16]))
			p.opt(false, "rateest-interval", timeText(interval))
			p.opt(false, "rateest-ewmalog", timeText(interval<<(d[17]&31)))
		},
	},
}

const (
	limitScale     = 10000
	hashlimitScale = 1000000
)

var rateUnits = []struct {
	name string
	long string
	secs uint64
}{{"day", "day", 86400}, {"hour", "hour", 3600}, {"min", "minute", 60}, {"sec", "second", 1}}

// parseRate reads "3/hour"; the result is the time between packets in 1/scale
// seconds, and the unit's length in seconds.
func parseRate(s string, scale uint64) (period, unit uint64, err error) {
	n, u, has := strings.Cut(s, "/")
	unit = 1
	if has {
		found := false
		for _, r := range rateUnits {
			if u != "" && len(u) <= len(r.long) && strings.EqualFold(r.long[:len(u)], u) {
				unit, found = r.secs, true
			}
		}
		if !found {
			return 0, 0, fmt.Errorf("bad rate %q", s)
		}
	}
	r, err := strconv.ParseUint(n, 10, 32)
	if err != nil || r == 0 {
		return 0, 0, fmt.Errorf("bad rate %q", s)
	}
	if period = scale * unit / r; period == 0 {
		return 0, 0, fmt.Errorf("rate too fast %q", s)
	}
	return period, unit, nil
}

// rateText writes a period as a rate in the unit that loses least; unit is that
// unit's length in seconds.
func rateText(period, scale uint64) (text string, unit uint64) {
	if period == 0 {
		return "inf", 1
	}
	i := 1
	for ; i < len(rateUnits); i++ {
		if m := rateUnits[i].secs * scale; period > m || m/period < m%period {
			break
		}
	}
	u := rateUnits[i-1]
	return fmt.Sprintf("%d/%s", u.secs*scale/period, u.name), u.secs
}

// The structure xt_hashlimit_mtinfo3 behind name[255].
const (
	hlAvg, hlBurst, hlMode, hlSize, hlMax, hlGC, hlExpire = 256, 264, 272, 276, 280, 284, 288
	hlInterval, hlSrcMask, hlDstMask                      = 292, 296, 297
	hlInvert, hlBytes, hlRateMatch                        = 16, 32, 64
	hlByteExpire, hlByteExpireBurst                       = 15, 60 // seconds
)

// modes in the order in which they are printed.
var hashModes = []struct {
	name string
	bit  uint32
}{{"srcip", 4}, {"srcport", 8}, {"dstip", 1}, {"dstport", 2}}

func bytesToCost(b uint64) uint64 { return (1<<32 - 1) / (b>>4 + 1) }

func costToBytes(c uint64) uint64 {
	if c == 0 {
		return (1<<32 - 1 - 1) << 4
	}
	return ((1<<32-1)/c - 1) << 4
}

var byteUnits = []struct {
	name string
	size uint64
}{{"m", 1 << 20}, {"k", 1 << 10}, {"", 1}}

// parseBytes reads "512kb"; ok is false if it is no number of bytes.
func parseBytes(s string) (v uint64, ok bool) {
	s, ok = strings.CutSuffix(s, "b")
	if !ok {
		return 0, false
	}
	for _, u := range byteUnits {
		if n, has := strings.CutSuffix(s, u.name); has {
			v, err := strconv.ParseUint(n, 10, 32)
			if err == nil && v*u.size < 1<<32 {
				return v * u.size, true
			}
			return 0, false
		}
	}
	return 0, false
}

func setHashlimit(c *scope, d []byte, o option) error {
	small := func(at int) error {
		v, err := num(o.arg, 1<<32-1)
		put32(d, at, uint32(v))
		return err
	}
	mode := u32(d, hlMode)
	switch o.name {
	case "hashlimit-above", "hashlimit-upto":
		if (o.name == "hashlimit-above") != o.not {
			mode |= hlInvert
		}
		unit := uint64(hlByteExpire)
		if r, per := strings.CutSuffix(o.arg, "/s"); per && strings.HasSuffix(r, "b") {
			v, ok := parseBytes(r)
			if !ok {
				return o.bad()
			}
			mode |= hlBytes
			put64(d, hlAvg, bytesToCost(v))
		} else {
			period, u, err := parseRate(o.arg, hashlimitScale)
			if err != nil {
				return err
			}
			put64(d, hlAvg, period)
			unit = u
		}
		if !c.has("hashlimit-htable-expire") {
			put32(d, hlExpire, uint32(unit*1000))
		}
		put32(d, hlMode, mode)
	case "hashlimit-burst":
		v, ok := parseBytes(o.arg)
		if !ok {
			var err error
			if v, err = num(o.arg, 1<<32-1); err != nil {
				return err
			}
		}
		put64(d, hlBurst, v)
	case "hashlimit-mode":
		for f := range strings.SplitSeq(o.arg, ",") {
			found := false
			for _, m := range hashModes {
				if m.name == f {
					mode |= m.bit
					found = true
				}
			}
			if !found {
				return o.bad()
			}
		}
		put32(d, hlMode, mode)
	case "hashlimit-name":
		return putStr(d[:255], o, o.arg)
	case "hashlimit-htable-size":
		return small(hlSize)
	case "hashlimit-htable-max":
		return small(hlMax)
	case "hashlimit-htable-gcinterval":
		return small(hlGC)
	case "hashlimit-htable-expire":
		return small(hlExpire)
	case "hashlimit-srcmask", "hashlimit-dstmask":
		v, err := num(o.arg, uint64(8*c.f.layout().addr))
		at := hlSrcMask
		if o.name == "hashlimit-dstmask" {
			at = hlDstMask
		}
		d[at] = byte(v)
		return err
	case "hashlimit-rate-match":
		put32(d, hlMode, mode|hlRateMatch)
		if u32(d, hlInterval) == 0 {
			put32(d, hlInterval, 1)
		}
	case "hashlimit-rate-interval":
		return small(hlInterval)
	}
	return nil
}

func doneHashlimit(c *scope, d []byte) error {
	if !c.has("hashlimit-above") && !c.has("hashlimit-upto") {
		return fmt.Errorf("hashlimit: --hashlimit-upto or --hashlimit-above must be specified")
	}
	if !c.has("hashlimit-name") {
		return fmt.Errorf("hashlimit: --hashlimit-name must be specified")
	}
	if u32(d, hlMode)&hlBytes == 0 {
		return nil
	}
	burst := uint64(0)
	if c.has("hashlimit-burst") {
		per := max(costToBytes(u64(d, hlAvg)), 1)
		if u64(d, hlBurst) < per {
			return fmt.Errorf("burst cannot be smaller than %db", per)
		}
		burst = (u64(d, hlBurst) + per - 1) / per
		if !c.has("hashlimit-htable-expire") {
			put32(d, hlExpire, hlByteExpireBurst*1000)
		}
	}
	put64(d, hlBurst, burst)
	return nil
}

func saveHashlimit(p *printer, d []byte) {
	mode := u32(d, hlMode)
	name := "hashlimit-upto"
	if mode&hlInvert != 0 {
		name = "hashlimit-above"
	}
	var unit uint64
	burst := u64(d, hlBurst)
	if mode&hlBytes != 0 {
		text := func(v uint64, exact bool) string {
			for _, u := range byteUnits {
				if v >= u.size && (!exact || bytesToCost(v&^(u.size-1)) == u64(d, hlAvg)) || u.size == 1 {
					return fmt.Sprintf("%d%sb", v/u.size, u.name)
				}
			}
			return ""
		}
		v := costToBytes(u64(d, hlAvg))
		p.opt(false, name, text(v, true)+"/s")
		unit = hlByteExpire
		if burst != 0 {
			p.opt(false, "hashlimit-burst", text(v*burst, false))
			unit = hlByteExpireBurst
		}
	} else {
		var s string
		s, unit = rateText(u64(d, hlAvg), hashlimitScale)
		p.opt(false, name, s)
		p.opt(false, "hashlimit-burst", burst)
	}
	var modes []string
	for _, m := range hashModes {
		if mode&m.bit != 0 {
			modes = append(modes, m.name)
		}
	}
	if len(modes) > 0 {
		p.opt(false, "hashlimit-mode", strings.Join(modes, ","))
	}
	p.opt(false, "hashlimit-name", cstr(d[:255]))
	for _, f := range []struct {
		name string
		at   int
		not  uint32
	}{{"htable-size", hlSize, 0}, {"htable-max", hlMax, 0}, {"htable-gcinterval", hlGC, 1000}, {"htable-expire", hlExpire, uint32(unit * 1000)}} {
		if v := u32(d, f.at); v != f.not {
			p.opt(false, "hashlimit-"+f.name, v)
		}
	}
	full := byte(8 * p.f.layout().addr)
	if d[hlSrcMask] != full {
		p.opt(false, "hashlimit-srcmask", d[hlSrcMask])
	}
	if d[hlDstMask] != full {
		p.opt(false, "hashlimit-dstmask", d[hlDstMask])
	}
	if mode&hlRateMatch != 0 {
		p.opt(false, "hashlimit-rate-match")
		if v := u32(d, hlInterval); v != 1 {
			p.opt(false, "hashlimit-rate-interval", v)
		}
	}
}

func setStatistic(_ *scope, d []byte, o option) error {
	if o.not {
		put16(d, 2, 1)
	}
	switch o.name {
	case "mode":
		i, ok := valueOf([]string{"random", "nth"}, o.arg)
		if !ok {
			return o.bad()
		}
		put16(d, 0, uint16(i))
	case "probability":
		v, err := strconv.ParseFloat(o.arg, 64)
		if err != nil || v < 0 || v > 1 {
			return o.bad()
		}
		put32(d, 4, uint32(math.Round(v*(1<<31))))
	case "every":
		v, err := num(o.arg, 1<<32-1)
		if err != nil || v == 0 {
			return o.bad()
		}
		put32(d, 4, uint32(v-1))
	case "packet":
		v, err := num(o.arg, 1<<32-1)
		put32(d, 8, uint32(v))
		return err
	}
	return nil
}

// The structure xt_rateest_match_info: name1[16], name2[16], flags u16, mode u16,
// bps1, pps1, bps2, pps2 u32.
const (
	reFlags, reMode, reBps1, rePps1, reBps2, rePps2   = 32, 34, 36, 40, 44, 48
	reInvert, reAbs, reRel, reDelta, reInBps, reInPps = 1, 2, 4, 8, 16, 32
)

var rateestModes = []string{"", "rateest-eq", "rateest-lt", "rateest-gt"}

func setRateest(_ *scope, d []byte, o option) error {
	flag := func(v uint16) { put16(d, reFlags, u16(d, reFlags)|v) }
	bps := func(at int) error {
		v, err := parseBitRate(o.arg)
		put32(d, at, v)
		flag(reInBps)
		return err
	}
	pps := func(at int) error {
		v, err := num(o.arg, 1<<32-1)
		put32(d, at, uint32(v))
		flag(reInPps)
		return err
	}
	switch o.name {
	case "rateest":
		return putStr(d[:16], o, o.arg)
	case "rateest2":
		flag(reRel)
		return putStr(d[16:32], o, o.arg)
	case "rateest-delta":
		flag(reDelta)
	case "rateest-bps":
		flag(reInBps)
		if o.arg != "" {
			return bps(reBps2)
		}
	case "rateest-pps":
		flag(reInPps)
		if o.arg != "" {
			return pps(rePps2)
		}
	case "rateest-bps1":
		return bps(reBps1)
	case "rateest-bps2":
		return bps(reBps2)
	case "rateest-pps1":
		return pps(rePps1)
	case "rateest-pps2":
		return pps(rePps2)
	default:
		i, _ := valueOf(rateestModes, o.name)
		put16(d, reMode, uint16(i))
		flag(uint16(boolean(o.not)))
	}
	return nil
}

func doneRateest(_ *scope, d []byte) error {
	if cstr(d[:16]) == "" {
		return fmt.Errorf("rateest match: you need to specify an estimator name")
	}
	if u16(d, reMode) == 0 {
		return fmt.Errorf("rateest match: you need to specify an action")
	}
	if u16(d, reFlags)&reRel == 0 {
		put16(d, reFlags, u16(d, reFlags)|reAbs)
	}
	return nil
}

func saveRateest(p *printer, d []byte) {
	flags := u16(d, reFlags)
	rel, delta := flags&reRel != 0, flags&reDelta != 0
	rates := func(suffix string, bps, pps int, values bool) {
		if flags&reInBps != 0 {
			p.opt(false, "rateest-bps"+suffix)
			if values {
				p.f2(" %s", bitRateText(u32(d, bps)))
			}
		}
		if flags&reInPps != 0 {
			p.opt(false, "rateest-pps"+suffix)
			if values {
				p.f2(" %d", u32(d, pps))
			}
		}
	}
	p.flag(delta, "rateest-delta")
	if rel {
		p.opt(false, "rateest1", cstr(d[:16]))
	} else {
		p.opt(false, "rateest", cstr(d[:16]))
	}
	if delta {
		rates("1", reBps1, rePps1, true)
	}
	p.opt(flags&reInvert != 0, rateestModes[u16(d, reMode)&3])
	if delta {
		rates("2", reBps2, rePps2, true)
	} else {
		rates("", reBps2, rePps2, !rel)
	}
	if rel {
		p.opt(false, "rateest2", cstr(d[16:32]))
	}
}

// parseBitRate reads a rate with tc's units into bytes a second.
func parseBitRate(s string) (uint32, error) {
	i := strings.IndexFunc(s, func(r rune) bool { return r != '.' && (r < '0' || r > '9') })
	if i < 0 {
		i = len(s)
	}
	v, err := strconv.ParseFloat(s[:i], 64)
	unit := strings.ToLower(s[i:])
	scale := 1.0
	if rest, ok := strings.CutSuffix(unit, "bps"); ok {
		scale, unit = 8, rest
	} else if rest, ok := strings.CutSuffix(unit, "bit"); ok {
		unit = rest
	} else if unit != "" {
		return 0, fmt.Errorf("bad rate %q", s)
	}
	if unit != "" {
		k := strings.IndexByte("kmgt", unit[0]) + 1
		switch {
		case k == 0 || unit[1:] != "" && unit[1:] != "i":
			return 0, fmt.Errorf("bad rate %q", s)
		case unit[1:] == "i":
			scale *= math.Pow(1024, float64(k))
		default:
			scale *= math.Pow(1000, float64(k))
		}
	}
	if v = v * scale / 8; err != nil || v < 0 || v >= 1<<32 {
		return 0, fmt.Errorf("bad rate %q", s)
	}
	return uint32(v), nil
}

func bitRateText(bytes uint32) string {
	switch v := float64(bytes) * 8; {
	case v >= 1e9:
		return fmt.Sprintf("%.0fMbit", v/1e6)
	case v >= 1e6:
		return fmt.Sprintf("%.0fKbit", v/1e3)
	default:
		return fmt.Sprintf("%.0fbit", v)
	}
}

// parseTime reads "250ms" into microseconds; without a unit they are that
// already.
func parseTime(s string) (uint64, error) {
	i := strings.IndexFunc(s, func(r rune) bool { return r != '.' && (r < '0' || r > '9') })
	unit := ""
	if i >= 0 {
		s, unit = s[:i], s[i:]
	}
	v, err := strconv.ParseFloat(s, 64)
	switch strings.ToLower(unit) {
	case "s", "sec", "secs":
		v *= 1e6
	case "ms", "msec", "msecs":
		v *= 1e3
	case "", "us", "usec", "usecs":
	default:
		return 0, fmt.Errorf("bad time %q", s+unit)
	}
	if err != nil || v < 0 || v > 1<<32 {
		return 0, fmt.Errorf("bad time %q", s+unit)
	}
	return uint64(v), nil
}

func timeText(usec uint64) string {
	switch {
	case usec >= 1000000:
		return fmt.Sprintf("%.1fs", float64(usec)/1e6)
	case usec >= 1000:
		return fmt.Sprintf("%.1fms", float64(usec)/1e3)
	}
	return fmt.Sprintf("%dus", usec)
}

// setRATEEST keeps the two times, in microseconds, in the private part of the
// data until doneRATEEST makes exponents of them.
func setRATEEST(_ *scope, d []byte, o option) error {
	if o.name == "rateest-name" {
		return putStr(d[:16], o, o.arg)
	}
	v, err := parseTime(o.arg)
	at := 24
	if o.name == "rateest-ewmalog" {
		at = 28
	}
	put32(d, at, uint32(v))
	return err
}

func doneRATEEST(_ *scope, d []byte) error {
	interval, ewma := u32(d, 24), u32(d, 28)
	clear(d[24:32])
	if cstr(d[:16]) == "" || interval == 0 || ewma == 0 {
		return fmt.Errorf("RATEEST: --rateest-name, --rateest-interval and --rateest-ewmalog are needed")
	}
	i := 0
	for i <= 5 && interval > 250000<<i {
		i++
	}
	if i > 5 {
		return fmt.Errorf("RATEEST: interval is too large")
	}
	log := 1
	for ; log < 32; log++ {
		if float64(interval)/-math.Log(1-1/float64(uint64(1)<<log)) > float64(ewma) {
			break
		}
	}
	if log--; log == 0 || log >= 31 {
		return fmt.Errorf("RATEEST: ewmalog value is out of range")
	}
	d[16], d[17] = byte(int8(i-2)), byte(log)
	return nil
}
