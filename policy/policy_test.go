package policy

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/garita/garita/rule"
)

const someRules = `alert http any any -> any any (msg:"ET MALWARE Beacon, loud"; content:"a"; classtype:trojan-activity; sid:1; rev:1; metadata:signature_severity Major, deployment Perimeter, confidence High;)
alert dns any any -> any any (msg:"ET DNS Query"; content:"b"; classtype:bad-unknown; sid:2; metadata:signature_severity Informational;)
alert tcp any any -> any any (msg:"sets a bit"; content:"c"; flowbits:set,x; flowbits:noalert; classtype:trojan-activity; sid:3;)
pass tcp any any -> any any (msg:"an exception"; content:"d"; classtype:trojan-activity; sid:4;)
#alert tcp any any -> any any (msg:"sleeps"; content:"e"; flowbits:set,y; classtype:trojan-activity; sid:5;)
alert tcp any any -> any any (msg:"tests a bit"; content:"f"; flowbits:isset,x; sid:6; gid:3;)
drop tcp any any -> any any (msg:"drops already"; content:"g"; sid:7;)
`

func parsed(t testing.TB, file, text string) []rule.Rule {
	t.Helper()
	rs, errs := rule.Parse(file, text, rule.Options{Disabled: true})
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	return rs
}

// state is what is in force: "1 drop, 2 alert".
func state(rs []rule.Rule) string {
	var out []string
	for i := range rs {
		s := rs[i].Lookup("sid").Value + " " + rs[i].Action.String()
		if rs[i].Lookup("noalert") != nil {
			s += " noalert"
		}
		out = append(out, s)
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

func apply(t testing.TB, files ...File) ([]rule.Rule, Report) {
	t.Helper()
	p, errs := Load(files)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	return p.Apply(parsed(t, "rules/emerging-some.rules", someRules))
}

const asTheyAre = "1 alert, 2 alert, 3 alert, 4 pass, 6 alert, 7 drop"

func TestOwn(t *testing.T) {
	for _, c := range []struct{ policy, want string }{
		{"", asTheyAre},
		{"# nothing", asTheyAre},
		{"drop all", "1 drop, 2 drop, 3 alert, 4 pass, 6 drop, 7 drop"},
		{"drop *", "1 drop, 2 drop, 3 alert, 4 pass, 6 drop, 7 drop"},
		{"drop sid 1", "1 drop, 2 alert, 3 alert, 4 pass, 6 alert, 7 drop"},
		{"drop 1,4", "1 drop, 2 alert, 3 alert, 4 drop, 6 alert, 7 drop"},
		{"drop 3", "1 alert, 2 alert, 3 drop, 4 pass, 6 alert, 7 drop"},
		{"drop 6", asTheyAre}, // another generator
		{"drop 3:6", "1 alert, 2 alert, 3 alert, 4 pass, 6 drop, 7 drop"},
		{"reject 2-7", "1 alert, 2 reject, 3 reject, 4 reject, 6 alert, 7 reject"},
		{"drop classtype trojan-activity,nothing", "1 drop, 2 alert, 3 alert, 4 pass, 6 alert, 7 drop"},
		{"drop classtype:TROJAN-activity", "1 drop, 2 alert, 3 alert, 4 pass, 6 alert, 7 drop"},
		{"drop metadata signature_severity Major,Critical", "1 drop, 2 alert, 3 alert, 4 pass, 6 alert, 7 drop"},
		{"drop metadata signature_severity *", "1 drop, 2 drop, 3 alert, 4 pass, 6 alert, 7 drop"},
		{"drop metadata: deployment perimeter", "1 drop, 2 alert, 3 alert, 4 pass, 6 alert, 7 drop"},
		{"drop metadata deployment Internal", asTheyAre},
		{"pass protocol dns", "1 alert, 2 pass, 3 alert, 4 pass, 6 alert, 7 drop"},
		{"drop protocol tcp not sid 3:6", "1 alert, 2 alert, 3 alert, 4 pass, 6 alert, 7 drop"},
		{"drop not protocol tcp", "1 drop, 2 drop, 3 alert, 4 pass, 6 alert, 7 drop"},
		{`drop msg "et malware *, loud"`, "1 drop, 2 alert, 3 alert, 4 pass, 6 alert, 7 drop"},
		{`drop msg "malware"`, asTheyAre},
		{`drop re "beacon|query"`, "1 drop, 2 drop, 3 alert, 4 pass, 6 alert, 7 drop"},
		{`drop re:ET\sMALWARE`, "1 drop, 2 alert, 3 alert, 4 pass, 6 alert, 7 drop"},
		{"drop group emerging-some", "1 drop, 2 drop, 3 alert, 4 pass, 6 drop, 7 drop"},
		{"drop group:emerging-some.rules", "1 drop, 2 drop, 3 alert, 4 pass, 6 drop, 7 drop"},
		{"drop file emerging-*", "1 drop, 2 drop, 3 alert, 4 pass, 6 drop, 7 drop"},
		{"drop filename rules/*", "1 drop, 2 drop, 3 alert, 4 pass, 6 drop, 7 drop"},
		{"drop group other", asTheyAre},
		{"alert action drop", "1 alert, 2 alert, 3 alert, 4 pass, 6 alert, 7 alert"},
		{"on sid 5", "1 alert, 2 alert, 3 alert, 4 pass, 5 alert, 6 alert, 7 drop"},
		{"on sid 5\ndrop sid 5", "1 alert, 2 alert, 3 alert, 4 pass, 5 drop, 6 alert, 7 drop"},
		{"drop sid 5", asTheyAre},
		{"off sid 1 # a comment", "2 alert, 3 alert, 4 pass, 6 alert, 7 drop"},
		// The last line decides.
		{"drop all\nalert sid 1", "1 alert, 2 drop, 3 alert, 4 pass, 6 drop, 7 drop"},
		{"alert sid 1\ndrop all", "1 drop, 2 drop, 3 alert, 4 pass, 6 drop, 7 drop"},
		{"off all\non protocol dns", "2 alert"},
		{"drop classtype trojan-activity metadata confidence Low", asTheyAre},
		{"drop classtype trojan-activity metadata confidence High", "1 drop, 2 alert, 3 alert, 4 pass, 6 alert, 7 drop"},
		// Who sets a bit that somebody tests stays, quietly.
		{"off sid 3", "1 alert, 2 alert, 3 alert noalert, 4 pass, 6 alert, 7 drop"},
		{"off sid 3\noff sid 3:6", "1 alert, 2 alert, 4 pass, 7 drop"},
	} {
		got, rep := apply(t, File{Kind: Own, Name: "policy.conf", Text: c.policy})
		s := strings.ReplaceAll(state(got), "3 alert noalert", "3 alert")
		want := strings.ReplaceAll(c.want, "3 alert noalert", "3 alert")
		if s != want {
			t.Errorf("%q: %s, want %s", c.policy, s, want)
		}
		if kept := len(rep.ForFlowbits) > 0; kept != (c.policy == "off sid 3") {
			t.Errorf("%q: kept for flowbits %v", c.policy, rep.ForFlowbits)
		}
		n := 0
		for _, k := range rep.After {
			n += k
		}
		if n != len(got) {
			t.Errorf("%q: %d counted, %d in force", c.policy, n, len(got))
		}
	}
}

// A rule that sleeps in its file wakes for those that test its bits.
func TestSleeperForFlowbits(t *testing.T) {
	text := someRules + `alert tcp any any -> any any (msg:"tests y"; content:"h"; flowbits:isset,y; flowbits:set,z; sid:8;)
`
	for _, c := range []struct{ policy, want string }{
		{"drop sid 1", "1 drop, 2 alert, 3 alert, 4 pass, 6 alert, 7 drop, 8 alert"}, // nothing is switched
		{"off sid 1", "2 alert, 3 alert, 4 pass, 5 alert noalert, 6 alert, 7 drop, 8 alert"},
		{"off sid 1\noff sid 8\noff 3:6", "2 alert, 3 alert, 4 pass, 7 drop"},
	} {
		p, errs := Load([]File{{Own, "p", c.policy}})
		if errs != nil {
			t.Fatal(errs)
		}
		rules, _ := rule.Parse("f", text, rule.Options{Disabled: p.WantsDisabled()})
		got, rep := p.Apply(rules)
		if s := state(got); s != c.want {
			t.Errorf("%q: %s, want %s", c.policy, s, c.want)
		}
		if n := strings.Count(c.policy, "off"); rep.TurnedOff != n || rep.TurnedOn != 0 {
			t.Errorf("%q: %d switched off, %d on", c.policy, rep.TurnedOff, rep.TurnedOn)
		}
	}
}

func TestUpdateFiles(t *testing.T) {
	for _, c := range []struct {
		kind       Kind
		text, want string
	}{
		{Disable, "1", "2 alert, 3 alert, 4 pass, 6 alert, 7 drop"},
		{Disable, "1:1, 2", "3 alert, 4 pass, 6 alert, 7 drop"},
		{Disable, "re:MALWARE|dns query", "3 alert, 4 pass, 6 alert, 7 drop"},
		{Disable, "group:emerging-some", ""},
		{Disable, "emerging-some.rules", ""},
		{Disable, "group:emerging*  # all of them", ""},
		{Disable, "# group:emerging*", asTheyAre},
		{Disable, "metadata: deployment perimeter", "2 alert, 3 alert, 4 pass, 6 alert, 7 drop"},
		{Disable, "filename:rules/emerging-some.rules", ""},
		{Enable, "5", "1 alert, 2 alert, 3 alert, 4 pass, 5 alert, 6 alert, 7 drop"},
		{Enable, "re:sleeps", "1 alert, 2 alert, 3 alert, 4 pass, 5 alert, 6 alert, 7 drop"},
		{Drop, "*", "1 drop, 2 drop, 3 alert, 4 pass, 6 drop, 7 drop"},
		{Drop, "1,3,4", "1 drop, 2 alert, 3 alert, 4 pass, 6 alert, 7 drop"},
		{Modify, `1 "^alert" "reject"`, "1 reject, 2 alert, 3 alert, 4 pass, 6 alert, 7 drop"},
		{Modify, `re:. ^alert drop`, "1 drop, 2 drop, 3 drop, 4 pass, 6 drop, 7 drop"},
		{Modify, `modifysid * "^alert(.*)" | "drop${1}"`, "1 drop, 2 drop, 3 drop, 4 pass, 6 drop, 7 drop"},
		{Modify, `re:classtype:trojan-activity "(alert)(.*)" "drop\\2"`, "1 drop, 2 alert, 3 drop, 4 pass, 6 alert, 7 drop"},
		{Modify, "re:. ^alert drop\n" + `re:. "^drop(.*)noalert(.*)" "alert\\1noalert\\2"`, "1 drop, 2 drop, 3 alert, 4 pass, 6 drop, 7 drop"},
	} {
		got, _ := apply(t, File{Kind: c.kind, Name: c.kind.String(), Text: c.text})
		if s := state(got); s != c.want {
			t.Errorf("%s %q: %q, want %q", c.kind, c.text, s, c.want)
		}
	}
}

// disable.conf, enable.conf, drop.conf, modify.conf, ours: in this order,
// whatever the order of the files.
func TestOrder(t *testing.T) {
	got, rep := apply(t,
		File{Own, "policy.conf", "alert sid 2"},
		File{Modify, "modify.conf", `1 "^drop" "reject"`},
		File{Drop, "drop.conf", "1,2,5"},
		File{Enable, "enable.conf", "1,5"},
		File{Disable, "disable.conf", "1\n7"},
	)
	if s, want := state(got), "1 reject, 2 alert, 3 alert, 4 pass, 5 drop, 6 alert"; s != want {
		t.Errorf("%s, want %s", s, want)
	}
	if rep.TurnedOff != 1 || rep.TurnedOn != 1 || rep.Changed != 2 || rep.Modified != 0 || len(rep.Problems) != 0 {
		t.Errorf("%+v", rep)
	}
}

// Text and places of a rule stay as in its file where only the action changes;
// an edited rule has its new text and its old line.
func TestTextStays(t *testing.T) {
	before := parsed(t, "rules/emerging-some.rules", someRules)
	for _, f := range []File{{Own, "p", "drop all"}, {Drop, "p", "*"}, {Modify, "p", `* "^alert" "drop"`}} {
		got, _ := apply(t, f)
		for i := range got {
			r := &got[i]
			for j := range before {
				if b := &before[j]; b.Line == r.Line && (b.Text() != r.Text() || b.Pos() != r.Pos() || b.OptionPos(&b.Options[0]) != r.OptionPos(&r.Options[0])) {
					t.Errorf("%v: text or place of %s changed", f.Kind, b.Text())
				}
			}
		}
	}
	got, rep := apply(t, File{Modify, "m", `2 "content:\"b\"" "content:\"bb\""` + "\n" + `metadata-add 2 "by" "us"`})
	for i := range got {
		if got[i].Line == 2 {
			if c := got[i].Lookup("content").Value; c != `"bb"` {
				t.Errorf("content is %s", c)
			}
			if !strings.HasSuffix(got[i].Text(), "metadata:by us;)") || got[i].File != "rules/emerging-some.rules" {
				t.Errorf("%s: %s", got[i].File, got[i].Text())
			}
		}
	}
	if rep.Modified != 1 {
		t.Errorf("%d modified", rep.Modified)
	}
}

func TestWarnings(t *testing.T) {
	got, rep := apply(t, File{Own, "p.conf", "drop sid 1\n  off sid 999"}, File{Modify, "m.conf", `2 "\)$" ""`})
	if s := state(got); s != "1 drop, 2 alert, 3 alert, 4 pass, 6 alert, 7 drop" {
		t.Error(s)
	}
	var out []string
	for _, p := range rep.Problems {
		if !p.Warning {
			t.Errorf("not a warning: %v", p)
		}
		out = append(out, p.Error())
	}
	all := strings.Join(out, "\n")
	for _, want := range []string{"p.conf:2:3: warning: no rule matches", "m.conf:1:1: warning: sid 2 would be no rule"} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is not in\n%s", want, all)
		}
	}
}

func TestErrors(t *testing.T) {
	for _, c := range []struct {
		kind Kind
		text string
		want string // begins so
	}{
		{Own, "block sid 1", `f:1:1: unknown action "block" (write drop,`},
		{Own, "config sid 1", `f:1:1: unknown action "config"`},
		{Own, "drop", "f:1:5: which rules is not said"},
		{Own, "drop sid", "f:1:9: sid: the value is missing"},
		{Own, "drop sids 1", `f:1:6: unknown matcher "sids" (known are`},
		{Own, "drop sid 1,x", `f:1:12: "x" is not a number`},
		{Own, "drop sid 9-1", "f:1:10: the range 9-1 ends before"},
		{Own, "drop sid 99999999999", "f:1:10: \"99999999999\" is not a number up to 4294967295"},
		{Own, "drop metadata a", "f:1:16: metadata: the value is missing"},
		{Own, "drop metadata", "f:1:14: metadata: the key is missing"},
		{Own, `drop msg "a`, "f:1:10: the quote is not closed"},
		{Own, `drop re "a(?=b)"`, "f:1:9: re: invalid or unsupported Perl syntax"},
		{Own, "drop not", "f:1:9: a matcher is missing behind not"},
		{Own, "drop group a,,b", "f:1:14: group: an empty name"},
		{Own, "drop all:1", "f:1:6: all takes no value"},
		{Own, "drop action jump", `f:1:13: unknown action "jump"`},
		{Disable, "  nonsense", `f:1:3: not a matcher: "nonsense" (write a sid`},
		{Disable, "re:(", "f:1:4: re: missing closing )"},
		{Disable, "12x", `f:1:1: "12x" is not a number`},
		{Disable, "metadata: deployment", "f:1:11: metadata needs a key and a value"},
		{Disable, "group:", "f:1:7: the value is missing"},
		{Modify, `1 "a"`, "f:1:1: a modification has three words, found 2"},
		{Modify, `1 "a" "b`, "f:1:7: the quote is not closed"},
		{Modify, `1 "a" "\2"`, `f:1:8: the expression has no group "2"`},
		{Modify, `1 "(" "b"`, "f:1:4: missing closing )"},
		{Modify, `modifysid 1 "a" "b"`, "f:1:1: not a modifysid line"},
		{Modify, `x "a" "b"`, `f:1:1: not a matcher: "x"`},
		{Modify, `"" "a" "b"`, "f:1:2: the matcher is empty"},
		{Modify, `metadata-add 1 a`, "f:1:1: metadata-add takes three words"},
	} {
		p, errs := Load([]File{{c.kind, "f", c.text}})
		if p != nil || len(errs) != 1 || !strings.HasPrefix(errs[0].Error(), c.want) {
			t.Errorf("%s %q: %v, want %s", c.kind, c.text, errs, c.want)
		}
	}
	// All of them are reported.
	if _, errs := Load([]File{{Own, "a", "x\ndrop all\ny"}, {Disable, "b", "?"}}); len(errs) != 3 {
		t.Errorf("%v", errs)
	}
}

func TestGlob(t *testing.T) {
	for _, c := range []struct {
		pattern, s string
		want       bool
	}{
		{"", "", true}, {"", "a", false}, {"*", "", true}, {"a*", "abc", true}, {"*c", "abc", true}, {"a*c*e", "abcde", true},
		{"a*c*f", "abcde", false}, {"a?c", "abc", true}, {"a?c", "ac", false}, {"[a-c]x", "bx", true}, {"[!a-c]x", "bx", false},
		{"[!a-c]x", "dx", true}, {"[]]", "]", true}, {"[a", "[a", true}, {"*[0-9]", "ab7", true}, {"*aab", "aaaab", true},
		{"a.b", "axb", false}, {"**", "x", true}, {"x*", "y", false}, {"[a-", "[a-", true},
	} {
		if got := glob(c.pattern, c.s); got != c.want {
			t.Errorf("glob(%q, %q) is %v", c.pattern, c.s, got)
		}
	}
}

// What an expression cannot match without is really in everything it matches.
func TestNeeded(t *testing.T) {
	for _, c := range []struct{ expr, want string }{
		{"heartbleed", "heartbleed"}, {"a|b", ""}, {"(abc)+x?", "abc"}, {`MS(0[7-9]|10)-\d+`, ""}, {"tes", "te"}, {"(?:ab){2}cde*", "ab"}, {"", ""},
	} {
		re, needs, err := compile(c.expr)
		if err != nil {
			t.Fatal(err)
		}
		if len(needs) < len(c.want) {
			t.Errorf("%s: %q, want %q", c.expr, needs, c.want)
		}
		for _, text := range []string{"a HeartBleed b", "b", "xABCABCX", "MS07-1", "MS10-22", "teS", "te\u017f", "ababcde", ""} {
			if re.MatchString(text) && !strings.Contains(strings.ToLower(text), needs) {
				t.Errorf("%s matches %q, which is without %q", c.expr, text, needs)
			}
		}
	}
}

func FuzzLoad(f *testing.F) {
	for _, s := range []string{
		"drop classtype trojan-activity metadata confidence High # why", `drop msg "ET * 'x'" not sid 1-3,4:5`, "on re:a|b[c-d]", "off group a*,b",
		`modifysid * "^alert(.*)" | "drop${1}"`, `1 "a(b)" "\1\g<1>\\"`, "metadata: a b", "group:x", `metadata-add re:"X Y" "k" "v"`, "1:2,3", "*", `"" '' "b"`, `2 ';\)$' ''`,
	} {
		for k := Own; k <= Modify; k++ {
			f.Add(uint8(k), s)
			for i := range s {
				f.Add(uint8(k), s[:i])
			}
		}
	}
	rules := parsed(f, "f.rules", someRules)
	f.Fuzz(func(t *testing.T, k uint8, text string) {
		p, errs := Load([]File{{Kind(k % 5), "f", text}})
		if (p == nil) != (len(errs) > 0) {
			t.Fatalf("%v and %v", p, errs)
		}
		lines := strings.Count(text, "\n") + 1
		for _, e := range errs {
			if e.Line < 1 || e.Line > lines || e.Col < 1 || e.Col > len(text)+2 || e.What == "" {
				t.Fatalf("%q: %v", text, e)
			}
		}
		if p == nil {
			return
		}
		out, rep := p.Apply(rules)
		n := 0
		for _, c := range rep.After {
			n += c
		}
		if n != len(out) || len(out) > len(rules) {
			t.Fatalf("%d rules, %d counted", len(out), n)
		}
		for i := range out {
			if out[i].Disabled || out[i].Action == rule.NoAction {
				t.Fatalf("%+v", out[i])
			}
		}
	})
}

func BenchmarkApply(b *testing.B) {
	var text strings.Builder
	for i := range 36_000 {
		fmt.Fprintf(&text, "alert http any any -> any any (msg:\"ET MALWARE number %d\"; flow:established,to_server; http.uri; content:\"/%d/some/longer/path\"; reference:url,example.com; classtype:trojan-activity; sid:%d; rev:2; metadata:created_at 2020_01_01, signature_severity Major;)\n", i, i, 2_000_000+i)
	}
	rules := parsed(b, "big.rules", text.String())
	for _, c := range []struct {
		name string
		file File
	}{
		{"class", File{Own, "p", "drop classtype trojan-activity"}},
		{"re", File{Drop, "p", "re:heartbleed"}},
		{"modify", File{Modify, "p", `modifysid * "^alert(.*)" | "drop${1}"`}},
	} {
		b.Run(c.name, func(b *testing.B) {
			p, errs := Load([]File{c.file})
			if len(errs) > 0 {
				b.Fatal(errs)
			}
			for b.Loop() {
				p.Apply(rules)
			}
		})
	}
}
