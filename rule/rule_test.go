package rule

import (
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

var fixtures = []string{
	`alert tcp any any -> any any (msg:"a"; sid:1;)`,
	`DROP tcp !$HOME_NET [80,443,1024:] <> [10.0.0.0/8,![10.1.0.0/16,!10.1.1.1]] !22 (msg:"x\; y \"z\" a\:b"; content:!"|3a 20|a\;b"; depth: 5; nocase ; Sid:7; rev:2;)`,
	`reject http $HOME_NET any -> any $HTTP_PORTS (http.uri; content:"/evil"; pcre:"/a\/b\;c/Ui"; sid:3;)`,
	`pass ip [2001:db8::/32, fe80::1] any -> 1.2.3.4-1.2.3.9 any (ip_proto:!6; sid:4;)`,
	"alert udp any any -> any 53 ( \\\n  msg:\"two lines\"; \\\n  content:\"abc\"; sid:5;)",
	`alert ip any any -> any any (sid:6; )`,
}

// structure is r without its places.
func structure(r *Rule) Rule {
	c := Rule{Action: r.Action, Proto: r.Proto, Arrow: r.Arrow, Disabled: r.Disabled}
	c.Src, c.Dst, c.SrcPort, c.DstPort = bare(r.Src), bare(r.Dst), bare(r.SrcPort), bare(r.DstPort)
	for _, o := range r.Options {
		o.off, o.voff = 0, 0
		c.Options = append(c.Options, o)
	}
	return c
}

func bare(t Term) Term {
	t.off = 0
	l := t.List
	t.List = nil
	for _, x := range l {
		t.List = append(t.List, bare(x))
	}
	return t
}

func checkRoundTrip(t *testing.T, src string) int {
	t.Helper()
	rules, _ := Parse("f", src, Options{Disabled: true})
	for i := range rules {
		r := &rules[i]
		again, errs := Parse("g", r.String(), Options{Disabled: true})
		if len(errs) != 0 || len(again) != 1 {
			t.Fatalf("%q printed as %q does not parse: %v", r.text, r.String(), errs)
		}
		if a, b := structure(r), structure(&again[0]); !reflect.DeepEqual(a, b) {
			t.Fatalf("round trip of %q:\n%+v\n%+v", r.text, a, b)
		}
	}
	return len(rules)
}

func TestRoundTrip(t *testing.T) {
	if n := checkRoundTrip(t, strings.Join(fixtures, "\n")); n != len(fixtures) {
		t.Fatalf("%d of %d rules parse", n, len(fixtures))
	}
}

func TestEveryPrefix(t *testing.T) {
	for _, f := range fixtures {
		for i := range len(f) {
			rules, errs := Parse("f", f[:i], Options{})
			if len(rules) != 0 {
				t.Errorf("%q parses", f[:i])
			}
			if strings.TrimSpace(f[:i]) != "" && len(errs) != 1 {
				t.Errorf("%q: %d errors", f[:i], len(errs))
			}
			for _, e := range errs {
				if e.Line < 1 || e.Col < 1 || e.What == "" || e.File != "f" {
					t.Errorf("%q: incomplete error %+v", f[:i], e)
				}
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range fixtures {
		f.Add(s)
		f.Add("#" + s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		checkRoundTrip(t, s)
	})
}

func FuzzContent(f *testing.F) {
	for _, s := range []string{"abc", "|0d 0a|x", `\;\"\:\\`, "|0", "a|zz|"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		b, err := Content(s)
		if (err == nil) == (len(b) == 0) {
			t.Fatalf("%q gives %q and %v", s, b, err)
		}
		if err != nil {
			if v, ok := err.(*ValueError); !ok || v.Off < 0 || v.Off > len(s) {
				t.Fatalf("%q: %#v", s, err)
			}
			return
		}
		var h strings.Builder
		h.WriteByte('|')
		for _, c := range b {
			h.WriteString(string("0123456789abcdef"[c>>4]) + string("0123456789abcdef"[c&15]) + " ")
		}
		h.WriteByte('|')
		if c, err := Content(h.String()); err != nil || string(c) != string(b) {
			t.Fatalf("%q is %q, in hex %q, %v", s, b, c, err)
		}
	})
}

func TestErrors(t *testing.T) {
	for _, c := range []struct {
		src       string
		line, col int
		keyword   string
	}{
		{"\n  alret tcp any any -> any any (sid:1;)", 2, 3, ""},
		{"alert tcp any any any any (sid:1;)", 1, 19, ""},
		{"alert tcp any any <- any any (sid:1;)", 1, 19, ""},
		{"alert tcp [1.1.1.1 any -> any any (sid:1;)", 1, 20, ""},
		{"alert tcp any any -> any any", 1, 29, ""},
		{"alert tcp any any -> any any (sid:1; content:\"a\")", 1, 38, "content"},
		{"alert tcp any any -> any any (sid:1;", 1, 37, ""},
		{"alert tcp any any -> any any ( \\\n sid:1; \\\n !x;)", 3, 2, ""},
		{"alert tcp any any -> any any (sid:1;) x", 1, 38, ""},
		{"alert tcp any any -> any any (sid\"1;)", 1, 34, "sid"},
	} {
		_, errs := Parse("f", c.src, Options{})
		if len(errs) != 1 {
			t.Errorf("%q: errors %v", c.src, errs)
			continue
		}
		if e := errs[0]; e.Line != c.line || e.Col != c.col || e.Keyword != c.keyword {
			t.Errorf("%q: %v, want %d:%d %s", c.src, e, c.line, c.col, c.keyword)
		}
	}
}

func TestAllErrorsReported(t *testing.T) {
	src := "alert x\nalert tcp any any -> any any (sid:1;)\nfoo\n# comment\n\nbar bar\n"
	rules, errs := Parse("f", src, Options{})
	if len(rules) != 1 || len(errs) != 3 {
		t.Fatalf("%d rules, errors %v", len(rules), errs)
	}
}

func TestOptions(t *testing.T) {
	r, err := ParseOne(fixtures[1])
	if err != nil {
		t.Fatal(err)
	}
	want := []Option{
		{Name: "msg", Value: `"x\; y \"z\" a\:b"`, HasValue: true},
		{Name: "content", Value: `!"|3a 20|a\;b"`, HasValue: true},
		{Name: "depth", Value: "5", HasValue: true},
		{Name: "nocase"},
		{Name: "sid", Value: "7", HasValue: true},
		{Name: "rev", Value: "2", HasValue: true},
	}
	if got := structure(r).Options; !reflect.DeepEqual(got, want) {
		t.Fatalf("%+v", got)
	}
	if r.Action != Drop || r.Arrow != Both {
		t.Fatal(r.Action, r.Arrow)
	}
	o := r.Lookup("content")
	if p := r.OptionPos(o); fixtures[1][p.Col-1:p.Col+6] != "content" {
		t.Fatal(p)
	}
	neg, quoted, text, off := Quoted(o.Value)
	if !neg || !quoted || text != `|3a 20|a\;b` || o.Value[off:off+1] != "|" {
		t.Fatal(neg, quoted, text, off)
	}
}

func addrs(t *testing.T, v *Vars, expr string) (AddrSet, error) {
	t.Helper()
	term, err := ParseTerm(expr)
	if err != nil {
		t.Fatal(err)
	}
	return v.Addr(term)
}

func TestAddr(t *testing.T) {
	v := DefaultVars()
	v.Addresses["LOOP"] = "[1.1.1.1,$LOOP2]"
	v.Addresses["LOOP2"] = "$LOOP"
	v.Addresses["ANY"] = "any"
	for _, c := range []struct{ expr, want string }{
		{"1.2.3.4", "1.2.3.4"},
		{"10.0.0.0/8", "10.0.0.0-10.255.255.255"},
		{"10.0.0.0/255.0.0.0", "10.0.0.0-10.255.255.255"},
		{"[1.1.1.1,1.1.1.2,1.1.1.4-1.1.1.5]", "1.1.1.1-1.1.1.2,1.1.1.4-1.1.1.5"},
		{"[10.0.0.0/30,!10.0.0.1]", "10.0.0.0,10.0.0.2-10.0.0.3"},
		{"[10.0.0.0/30,![10.0.0.0/31,!10.0.1.0]]", "10.0.0.2-10.0.0.3,10.0.1.0"},
		{"!128.0.0.0/1", "0.0.0.0-127.255.255.255"},
		{"!8000::/1", "::-7fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
		{"!$EXTERNAL_NET", "10.0.0.0-10.255.255.255,172.16.0.0-172.31.255.255,192.168.0.0-192.168.255.255"},
		{"any", "0.0.0.0-255.255.255.255,::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
		{"[any,!0.0.0.0/0]", "::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
	} {
		s, err := addrs(t, &v, c.expr)
		if err != nil || s.String() != c.want {
			t.Errorf("%s: %s, %v, want %s", c.expr, s.String(), err, c.want)
		}
	}
	for _, expr := range []string{"!any", "!$ANY", "$NOPE", "$LOOP", "1.2.3", "1.2.3.4/33", "1.1.1.2-1.1.1.1", "[1.1.1.1,!1.1.1.1]", "[1.1.1.1,!1.1.0.0/16]"} {
		if s, err := addrs(t, &v, expr); err == nil {
			t.Errorf("%s is %s", expr, s.String())
		}
	}
}

// TestAddrLaw: membership of a flat expression is membership by its parts.
func TestAddrLaw(t *testing.T) {
	v := Vars{}
	parts := []string{"10.0.0.0/29", "10.0.0.4-10.0.0.9", "10.0.0.12", "10.0.0.2/31", "2001:db8::/125", "2001:db8::3", "2001:db8::6-2001:db8::a"}
	for mask := 0; mask < 1<<(2*len(parts)); mask += 7 {
		var pos, neg []string
		for i, p := range parts {
			switch mask >> (2 * i) & 3 {
			case 1:
				pos = append(pos, p)
			case 2:
				neg = append(neg, "!"+p)
			}
		}
		if len(pos) == 0 {
			continue
		}
		set, err := addrs(t, &v, "["+strings.Join(append(pos, neg...), ",")+"]")
		if err != nil {
			continue
		}
		for _, base := range []string{"10.0.0.0", "2001:db8::"} {
			a := netip.MustParseAddr(base)
			covered := false
			for _, p := range append(pos, neg...) {
				s, _ := addrs(t, &v, strings.TrimPrefix(p, "!"))
				s.Ranges(func(lo, _ netip.Addr) bool { covered = covered || lo.Is4() == a.Is4(); return true })
			}
			for range 16 {
				want, any4 := false, false
				for _, p := range pos {
					s, _ := addrs(t, &v, p)
					want = want || s.Contains(a)
					s.Ranges(func(lo, _ netip.Addr) bool { any4 = any4 || lo.Is4() == a.Is4(); return true })
				}
				want = want || !any4 && covered
				for _, n := range neg {
					s, _ := addrs(t, &v, n[1:])
					want = want && !s.Contains(a)
				}
				if set.Contains(a) != want {
					t.Fatalf("%v %v: %v is %v", pos, neg, a, !want)
				}
				a = a.Next()
			}
		}
	}
}

func TestPort(t *testing.T) {
	v := DefaultVars()
	for _, c := range []struct{ expr, want string }{
		{"80", "80"}, {"[80,81,90:]", "80:81,90:65535"}, {"!80", "0:79,81:65535"},
		{"[1:10,!5]", "1:4,6:10"}, {"$SHELLCODE_PORTS", "0:79,81:65535"}, {":1023", "0:1023"},
		{"[1024:65535,![2000:3000,!2500]]", "1024:1999,3001:65535"}, {"any", "0:65535"}, {":", "0:65535"},
	} {
		term, _ := ParseTerm(c.expr)
		s, err := v.Port(term)
		if err != nil || s.String() != c.want {
			t.Errorf("%s: %s, %v", c.expr, s.String(), err)
		}
	}
	for _, expr := range []string{"!any", "65536", "9:1", "$X", "x", "[80,!80]"} {
		term, _ := ParseTerm(expr)
		if s, err := v.Port(term); err == nil {
			t.Errorf("%s is %s", expr, s.String())
		}
	}
}

func TestContent(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"abc", "abc"}, {"a|0d0A 0 0|b", "a\r\n\x00b"}, {`\;\"\\\:`, `;"\:`}, {"a:b", "a:b"}, {"|3a 20|", ": "},
	} {
		if b, err := Content(c.in); err != nil || string(b) != c.want {
			t.Errorf("%q: %q, %v", c.in, b, err)
		}
	}
	for _, in := range []string{"", "|0|", "|0g|", "|00", `\a`, `a\`, `a"b`, "||"} {
		if b, err := Content(in); err == nil {
			t.Errorf("%q is %q", in, b)
		}
	}
}

// TestEmergingThreats reads the whole of ET Open: every rule parses and prints
// as itself, in well under a second.
func TestEmergingThreats(t *testing.T) {
	dir := os.Getenv("GARITA_SHARED")
	if dir == "" {
		t.Skip("GARITA_SHARED is not set: the corpus is not here")
	}
	out, err := exec.Command("tar", "xJOf", filepath.Join(dir, "corpus", "et-open.rules.tar.xz")).Output()
	if err != nil {
		t.Skip("cannot unpack the corpus:", err)
	}
	src := string(out)
	start := time.Now()
	rules, errs := Parse("et-open.rules", src, Options{})
	took := time.Since(start)
	t.Logf("%d rules, %d MB, %v", len(rules), len(src)>>20, took)
	if len(errs) != 0 {
		t.Fatal(len(errs), errs[0])
	}
	if len(rules) != 36296 {
		t.Fatal(len(rules))
	}
	if took > 2*time.Second {
		t.Error("too slow")
	}
	checkRoundTrip(t, src)
}
