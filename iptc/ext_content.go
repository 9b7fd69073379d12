package iptc

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// What a packet contains and when it comes: text, bytes, programs, lengths, the
// IP header's small fields, the time.
var contentExts = []ext{
	{
		name: "string", fam: both, rev: 1, size: 160, user: 152,
		opts: "string: hex-string: algo: from: to: icase",
		init: func(_ *scope, d []byte) { put16(d, 2, 65535) },
		set:  setString,
		done: func(c *scope, d []byte) error {
			if d[148] == 0 {
				return fmt.Errorf("STRING match: You must specify `--string' or `--hex-string'")
			}
			if cstr(d[4:20]) == "" {
				return fmt.Errorf("STRING match: You must specify `--algo'")
			}
			return nil
		},
		save: func(p *printer, d []byte) {
			s := string(d[20:][:min(int(d[148]), 128)])
			if needsHex(s) {
				p.opt(d[149]&1 != 0, "hex-string", `"|`+hex.EncodeToString([]byte(s))+`|"`)
			} else {
				var b strings.Builder
				for _, c := range []byte(s) {
					if c == '"' || c == '\\' {
						b.WriteByte('\\')
					}
					b.WriteByte(c)
				}
				p.opt(d[149]&1 != 0, "string", `"`+b.String()+`"`)
			}
			p.opt(false, "algo", cstr(d[4:20]))
			if v := u16(d, 0); v != 0 {
				p.opt(false, "from", v)
			}
			if v := u16(d, 2); v != 65535 {
				p.opt(false, "to", v)
			}
			p.flag(d[149]&2 != 0, "icase")
		},
	},
	{
		name: "length", fam: both, size: 6, opts: "length:",
		set: func(_ *scope, d []byte, o option) error {
			d[4] = boolean(o.not)
			return putRange16(d, 0, o)
		},
		done: needOne("length"),
		save: func(p *printer, d []byte) { p.opt(d[4] != 0, "length", spanText(u16(d, 0), u16(d, 2))) },
	},
	{
		name: "dscp", fam: both, size: 2, opts: "dscp: dscp-class:",
		set: func(_ *scope, d []byte, o option) error {
			v, err := parseDSCP(o)
			d[0], d[1] = v, boolean(o.not)
			return err
		},
		done: needOne("dscp"),
		save: func(p *printer, d []byte) { p.opt(d[1] != 0, "dscp", fmt.Sprintf("0x%02x", d[0])) },
	},
	{
		name: "tos", fam: both, rev: 1, size: 3, opts: "tos:",
		set: func(_ *scope, d []byte, o option) error {
			v, m, err := parseTOS(o, 0x3f)
			d[0], d[1], d[2] = m, v, boolean(o.not)
			return err
		},
		done: needOne("tos"),
		save: func(p *printer, d []byte) { p.opt(d[2] != 0, "tos", fmt.Sprintf("0x%02x/0x%02x", d[1], d[0])) },
	},
	{
		name: "ecn", fam: both, size: 4, opts: "ecn-tcp-cwr ecn-tcp-ece ecn-ip-ect:",
		set: func(_ *scope, d []byte, o option) error {
			bit := map[string]byte{"ecn-tcp-cwr": 0x20, "ecn-tcp-ece": 0x10, "ecn-ip-ect": 1}[o.name]
			d[0] |= bit
			if o.not {
				d[1] |= bit
			}
			if bit == 1 {
				v, err := num(o.arg, 3)
				d[2] = byte(v)
				return err
			}
			return nil
		},
		done: needOne("ecn"),
		save: func(p *printer, d []byte) {
			for _, f := range []struct {
				bit  byte
				name string
			}{{0x10, "ecn-tcp-ece"}, {0x20, "ecn-tcp-cwr"}, {1, "ecn-ip-ect"}} {
				if d[0]&f.bit != 0 {
					p.opt(d[1]&f.bit != 0, f.name)
					if f.bit == 1 {
						p.f2(" %d", d[2])
					}
				}
			}
		},
	},
	ttlMatch("ttl", only4),
	ttlMatch("hl", only6),
	{
		name: "time", fam: both, size: 22,
		opts: "datestart: datestop: timestart: timestop: monthdays: weekdays: localtz kerneltz utc contiguous",
		init: func(_ *scope, d []byte) {
			put32(d, 4, 1<<31-1)
			put32(d, 12, 86399)
			put32(d, 16, allMonthdays)
			d[20] = allWeekdays
		},
		set:  setTime,
		save: saveTime,
	},
	{
		name: "u32", fam: both, size: 1982, opts: "u32:",
		set: func(_ *scope, d []byte, o option) error {
			d[1981] = boolean(o.not)
			return parseU32(d, o.arg)
		},
		done: needOne("u32"),
		save: func(p *printer, d []byte) { p.opt(d[1981] != 0, "u32", `"`+u32Text(d)+`"`) },
	},
	{
		name: "bpf", fam: both, rev: 1, size: 528, user: 520, opts: "bytecode: object-pinned:",
		set: func(_ *scope, d []byte, o option) error {
			if o.name == "object-pinned" {
				put16(d, 0, 1)
				put32(d, 4, 1<<32-1)
				return putStr(d[8:520], o, o.arg)
			}
			return parseBytecode(d, o)
		},
		done: needOne("bpf"),
		save: func(p *printer, d []byte) {
			if u16(d, 0) != 0 {
				p.opt(false, "object-pinned", cstr(d[8:520]))
				return
			}
			n := min(int(u16(d, 2)), 64)
			var b strings.Builder
			fmt.Fprint(&b, n)
			for i := range n {
				at := 8 + 8*i
				fmt.Fprintf(&b, ",%d %d %d %d", u16(d, at), d[at+2], d[at+3], u32(d, at+4))
			}
			p.opt(false, "bytecode", `"`+b.String()+`"`)
		},
	},
	{
		name: "osf", fam: only4, size: 48, opts: "genre: ttl: log:",
		set: func(_ *scope, d []byte, o option) error {
			if o.name == "genre" {
				put32(d, 32, uint32(len(o.arg)))
				put32(d, 36, u32(d, 36)|uint32(boolean(o.not))<<3)
				return putStr(d[:32], o, o.arg)
			}
			v, err := num(o.arg, 2)
			flag, at := uint32(2), 44
			if o.name == "log" {
				flag, at = 4, 40
			}
			put32(d, 36, u32(d, 36)|flag)
			put32(d, at, uint32(v))
			return err
		},
		done: needOne("osf"),
		save: func(p *printer, d []byte) {
			flags := u32(d, 36)
			p.opt(flags&8 != 0, "genre", cstr(d[:32]))
			if flags&2 != 0 {
				p.opt(false, "ttl", u32(d, 44))
			}
			if flags&4 != 0 {
				p.opt(false, "log", u32(d, 40))
			}
		},
	},
	nfacctExt(0), nfacctExt(1),
}

const (
	allMonthdays = 0xfffffffe
	allWeekdays  = 0xfe
)

// needsHex tells a pattern that is printed in hexadecimal: one with anything but
// visible characters and blanks, or with a backslash as last.
func needsHex(s string) bool {
	for _, c := range []byte(s) {
		if c < 0x20 || c > 0x7e {
			return true
		}
	}
	return s != "" && s[len(s)-1] == '\\'
}

func setString(_ *scope, d []byte, o option) error {
	switch o.name {
	case "algo":
		return putStr(d[4:20], o, o.arg)
	case "from", "to":
		v, err := num(o.arg, 65535)
		at := 0
		if o.name == "to" {
			at = 2
		}
		put16(d, at, uint16(v))
		return err
	case "icase":
		d[149] |= 2
		return nil
	}
	s := []byte(o.arg)
	if o.name == "hex-string" {
		var err error
		if s, err = parseHexString(o.arg); err != nil {
			return err
		}
	}
	if len(s) == 0 || len(s) > 128 {
		return fmt.Errorf("STRING too long or empty: %q", o.arg)
	}
	copy(d[20:148], s)
	d[148] = byte(len(s))
	d[149] |= boolean(o.not)
	return nil
}

// parseHexString reads text with |00 ff| in it; a backslash makes the next
// character plain.
func parseHexString(s string) ([]byte, error) {
	var out []byte
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s):
			i++
			out = append(out, s[i])
		case s[i] == '|':
			end := strings.IndexByte(s[i+1:], '|')
			if end < 0 {
				return nil, fmt.Errorf("bad hex string %q: no closing bar", s)
			}
			b, err := hex.DecodeString(strings.ReplaceAll(s[i+1:i+1+end], " ", ""))
			if err != nil {
				return nil, fmt.Errorf("bad hex string %q: odd number of hex digits or no digits", s)
			}
			out = append(out, b...)
			i += end + 1
		default:
			out = append(out, s[i])
		}
	}
	return out, nil
}

// Differentiated services classes, RFC 2474, 2597, 3246.
func parseDSCP(o option) (byte, error) {
	if o.name == "dscp" || o.name == "set-dscp" {
		v, err := num(o.arg, 63)
		return byte(v), err
	}
	s := strings.ToUpper(o.arg)
	switch {
	case s == "EF":
		return 0x2e, nil
	case s == "BE":
		return 0, nil
	case len(s) == 3 && s[:2] == "CS" && s[2] >= '0' && s[2] <= '7':
		return (s[2] - '0') << 3, nil
	case len(s) == 4 && s[:2] == "AF" && s[2] >= '1' && s[2] <= '4' && s[3] >= '1' && s[3] <= '3':
		return (s[2]-'0')<<3 | (s[3]-'0')<<1, nil
	}
	return 0, fmt.Errorf("invalid DSCP value `%s'", o.arg)
}

var tosNames = map[string]byte{"MINIMIZE-DELAY": 16, "MAXIMIZE-THROUGHPUT": 8, "MAXIMIZE-RELIABILITY": 4, "MINIMIZE-COST": 2, "NORMAL-SERVICE": 0}

// parseTOS reads value, value/mask or a name, which stands for the mask named.
func parseTOS(o option, named byte) (v, m byte, err error) {
	if v, ok := tosNames[strings.ToUpper(o.arg)]; ok {
		return v, named, nil
	}
	a, b, has := strings.Cut(o.arg, "/")
	x, err := num(a, 255)
	y := uint64(255)
	if err == nil && has {
		y, err = num(b, 255)
	}
	return byte(x), byte(y), err
}

func ttlMatch(name string, fam families) ext {
	return ext{
		name: name, fam: fam, size: 2, opts: fmt.Sprintf("%s-eq: %s=%s-eq: %s-lt: %s-gt:", name, name, name, name, name),
		set: func(_ *scope, d []byte, o option) error {
			v, err := num(o.arg, 255)
			d[1] = byte(v)
			switch o.name[len(name):] {
			case "-lt":
				d[0] = 2
			case "-gt":
				d[0] = 3
			default:
				d[0] = boolean(o.not)
			}
			return err
		},
		done: needOne(name),
		save: func(p *printer, d []byte) {
			p.opt(d[0] == 1, name+[...]string{"-eq", "-eq", "-lt", "-gt"}[d[0]&3], d[1])
		},
	}
}

var weekdays = []string{"", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"}

func setTime(_ *scope, d []byte, o option) error {
	switch o.name {
	case "datestart", "datestop":
		t, err := parseDate(o.arg)
		at := 0
		if o.name == "datestop" {
			at = 4
		}
		put32(d, at, t)
		return err
	case "timestart", "timestop":
		var v [3]uint64
		parts := strings.Split(o.arg, ":")
		if len(parts) < 2 || len(parts) > 3 {
			return o.bad()
		}
		for i, s := range parts {
			n, err := strconv.ParseUint(s, 10, 8)
			if err != nil || n > []uint64{23, 59, 59}[i] || len(s) > 2 {
				return o.bad()
			}
			v[i] = n
		}
		at := 8
		if o.name == "timestop" {
			at = 12
		}
		put32(d, at, uint32(v[0]*3600+v[1]*60+v[2]))
	case "monthdays":
		v := uint32(0)
		for f := range strings.SplitSeq(o.arg, ",") {
			n, err := num(f, 31)
			if err != nil || n == 0 {
				return o.bad()
			}
			v |= 1 << n
		}
		if o.not {
			v ^= allMonthdays
		}
		put32(d, 16, v)
	case "weekdays":
		v := byte(0)
		for f := range strings.SplitSeq(o.arg, ",") {
			n, err := strconv.Atoi(f)
			if err != nil {
				n = 0
				for i, w := range weekdays {
					if len(f) >= 2 && w != "" && strings.EqualFold(w[:2], f[:2]) {
						n = i
					}
				}
			}
			if n < 1 || n > 7 {
				return o.bad()
			}
			v |= 1 << n
		}
		if o.not {
			v ^= allWeekdays
		}
		d[20] = v
	case "localtz", "kerneltz":
		d[21] |= 1
	case "contiguous":
		d[21] |= 2
	}
	return nil
}

// parseDate reads ISO 8601, shortened from the right, as UTC.
func parseDate(s string) (uint32, error) {
	for _, layout := range []string{"2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02T15", "2006-01-02", "2006-01", "2006"} {
		if t, err := time.Parse(layout, s); err == nil {
			if t.Unix() < 0 || t.Unix() >= 1<<32 {
				break
			}
			return uint32(t.Unix()), nil
		}
	}
	return 0, fmt.Errorf("bad date %q", s)
}

func saveTime(p *printer, d []byte) {
	clock := func(name string, at int) {
		v := u32(d, at)
		p.opt(false, name, fmt.Sprintf("%02d:%02d:%02d", v/3600, v/60%60, v%60))
	}
	if u32(d, 8) != 0 || u32(d, 12) != 86399 {
		clock("timestart", 8)
		clock("timestop", 12)
	}
	list := func(name string, bits uint32, text func(int) string) {
		var s []string
		for i := 1; i < 32; i++ {
			if bits&(1<<i) != 0 {
				s = append(s, text(i))
			}
		}
		p.opt(false, name, strings.Join(s, ","))
	}
	if m := u32(d, 16); m != allMonthdays {
		list("monthdays", m, strconv.Itoa)
	}
	if w := d[20]; w != allWeekdays {
		list("weekdays", uint32(w), func(i int) string { return weekdays[i&7] })
	}
	date := func(name string, at int) {
		p.opt(false, name, time.Unix(int64(u32(d, at)), 0).UTC().Format("2006-01-02T15:04:05"))
	}
	if u32(d, 0) != 0 {
		date("datestart", 0)
	}
	if u32(d, 4) != 1<<32-1 && u32(d, 4) != 0 {
		date("datestop", 4)
	}
	p.flag(d[21]&1 != 0, "kerneltz")
	p.flag(d[21]&2 != 0, "contiguous")
}

// The structure xt_u32: eleven tests of 180 bytes {location[11] of {number u32,
// nextop u8, pad}, value[11] of {min, max}, nnums, nvalues, pad}, ntests, invert.
const (
	u32Test, u32Max             = 180, 11
	u32Values, u32Nums, u32Vals = 88, 176, 177
	u32Tests                    = 1980
)

var u32Ops = []string{"&", "<<", ">>", "@"}

func u32Text(d []byte) string {
	var b strings.Builder
	for i := range min(int(d[u32Tests]), u32Max) {
		if i > 0 {
			b.WriteString("&&")
		}
		t := d[i*u32Test:][:u32Test]
		for k := range min(int(t[u32Nums]), u32Max) {
			if k > 0 {
				b.WriteString(u32Ops[t[8*k+4]&3])
			}
			fmt.Fprintf(&b, "0x%x", u32(t, 8*k))
		}
		b.WriteByte('=')
		for k := range min(int(t[u32Vals]), u32Max) {
			if k > 0 {
				b.WriteByte(',')
			}
			lo, hi := u32(t, u32Values+8*k), u32(t, u32Values+8*k+4)
			fmt.Fprintf(&b, "0x%x", lo)
			if lo != hi {
				fmt.Fprintf(&b, ":0x%x", hi)
			}
		}
	}
	return b.String()
}

func parseU32(d []byte, s string) error {
	bad := func(why string) error { return fmt.Errorf("u32: %s in %q", why, s) }
	value := func(f string) (uint32, error) {
		v, err := num(strings.TrimSpace(f), 1<<32-1)
		return uint32(v), err
	}
	tests := strings.Split(s, "&&")
	if len(tests) > u32Max-1 {
		return bad("too many tests")
	}
	for i, test := range tests {
		t := d[i*u32Test:][:u32Test]
		left, right, has := strings.Cut(test, "=")
		if !has {
			return bad("a test without =")
		}
		for n := 0; ; n++ {
			if n == u32Max {
				return bad("too many operations")
			}
			at, op := len(left), -1
			for k, o := range u32Ops {
				if j := strings.Index(left, o); j >= 0 && j < at {
					at, op = j, k
				}
			}
			v, err := value(left[:at])
			if err != nil {
				return bad("bad number")
			}
			put32(t, 8*n, v)
			t[u32Nums] = byte(n + 1)
			if op < 0 {
				break
			}
			if n+1 < u32Max {
				t[8*(n+1)+4] = byte(op)
			}
			left = left[at+len(u32Ops[op]):]
		}
		for n, f := range strings.Split(right, ",") {
			if n == u32Max {
				return bad("too many values")
			}
			a, b, has := strings.Cut(f, ":")
			lo, err := value(a)
			hi := lo
			if err == nil && has {
				hi, err = value(b)
			}
			if err != nil || lo > hi {
				return bad("bad range")
			}
			put32(t, u32Values+8*n, lo)
			put32(t, u32Values+8*n+4, hi)
			t[u32Vals] = byte(n + 1)
		}
	}
	d[u32Tests] = byte(len(tests))
	return nil
}

// parseBytecode reads "4,48 0 0 9,…": the number of instructions, then each as
// code jt jf k.
func parseBytecode(d []byte, o option) error {
	parts := strings.Split(strings.TrimSuffix(o.arg, ","), ",")
	n, err := strconv.Atoi(parts[0])
	if err != nil || n != len(parts)-1 || n < 1 || n > 64 {
		return fmt.Errorf("bpf: bad number of instructions in %q", o.arg)
	}
	put16(d, 2, uint16(n))
	for i, s := range parts[1:] {
		var code uint16
		var jt, jf uint8
		var k uint32
		if m, err := fmt.Sscanf(s, "%d %d %d %d", &code, &jt, &jf, &k); m != 4 || err != nil {
			return fmt.Errorf("bpf: bad instruction %q", s)
		}
		at := 8 + 8*i
		put16(d, at, code)
		d[at+2], d[at+3] = jt, jf
		put32(d, at+4, k)
	}
	return nil
}

// nfacctExt is nfacct in a revision; they differ in nothing that is seen here.
func nfacctExt(rev uint8) ext {
	return ext{
		name: "nfacct", fam: both, rev: rev, size: 40, user: 32, opts: "nfacct-name:",
		set:  func(_ *scope, d []byte, o option) error { return putStr(d[:32], o, o.arg) },
		done: needOne("nfacct"),
		// with the two blanks that iptables-save prints
		save: func(p *printer, d []byte) { p.opt(false, "nfacct-name", " "+cstr(d[:32])) },
	}
}
