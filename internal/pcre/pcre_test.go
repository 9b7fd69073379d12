package pcre

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
)

// matchCases were answered by libpcre2 10.42.
var matchCases = []struct {
	expr  string
	flags string
	data  string
	start int
	want  string // "from,to" and the groups, "-" for none
}{
	{"abc", "", "xabcx", 0, "1,4"},
	{"abc", "i", "xAbCx", 0, "1,4"},
	{"a|ab", "", "ab", 0, "0,1"},
	{"(a|ab)(c|bcd)(d*)", "", "abcd", 0, "0,4 0,1 1,4 4,4"},
	{"a.c", "", "a\nc", 0, "-"},
	{"a.c", "s", "a\nc", 0, "0,3"},
	{"^b", "", "a\nb", 0, "-"},
	{"^b", "m", "a\nb", 0, "2,3"},
	{"^", "m", "a\n", 1, "-"},
	{"a$", "", "a\n", 0, "0,1"},
	{"a$", "E", "a\n", 0, "-"},
	{"a$", "", "a\n\n", 0, "-"},
	{"a$", "m", "a\nb", 0, "0,1"},
	{`a\Z`, "", "a\n", 0, "0,1"},
	{`a\z`, "", "a\n", 0, "-"},
	{"^b", "", "ab", 1, "-"},
	{`\Gb`, "", "ab", 1, "1,2"},
	{"b", "A", "ab", 0, "-"},
	{"b", "A", "ab", 1, "1,2"},
	{`\bb`, "", "ab", 1, "-"},
	{`(?<=a)b`, "", "ab", 1, "1,2"},
	{`(?<!a)b`, "", "abb", 0, "2,3"},
	{`(?<=a|bc)d`, "", "bcd", 0, "2,3"},
	{`a(?=b)`, "", "acab", 0, "2,3"},
	{`a(?!b)`, "", "abac", 0, "2,3"},
	{`(?>a+)ab`, "", "aaab", 0, "-"},
	{`a++ab`, "", "aaab", 0, "-"},
	{`(a)(b)?\2`, "", "ab", 0, "-"},
	{`(ab?)\1`, "", "abab", 0, "0,4 0,2"},
	{`(ab)\1`, "i", "abAB", 0, "0,4 0,2"},
	{`(?P<q>['"]).*?(?P=q)`, "", `x'a"b'`, 0, "1,6 1,2"},
	{`(a)?(?(1)b|c)`, "", "ab", 0, "0,2 0,1"},
	{`(a)?(?(1)b|c)`, "", "c", 0, "0,1 -"},
	{`\((?:[^()]++|(?R))*\)`, "", "x(a(b)c)(", 0, "1,8"},
	{`(?<n>a(?&n)?b)`, "", "aaabbb", 0, "0,6 0,6"},
	{`a{1001}`, "", strings.Repeat("a", 1001), 0, "0,1001"},
	{`(?:ab){1200}c`, "", strings.Repeat("ab", 1300) + "c", 0, "200,2601"},
	{`[\x80-\xff]{2}`, "", "a\x80\xff", 0, "1,3"},
	{`\xe9`, "i", "\xc9\xe9", 0, "1,2"},
	{`[^a]`, "", "a\x80\n", 0, "1,2"},
	{`[[:alpha:]\d]+`, "", "--a1--", 0, "2,4"},
	{`[]a]+`, "", "x]a]", 0, "1,4"},
	{`[^]a]+`, "", "]xa", 0, "1,2"},
	{`[a\-z]+`, "", "b-az", 0, "1,4"},
	{`\Qa.b\E+`, "", "a.bbb", 0, "0,5"},
	{`a{,2}`, "", "a{,2}", 0, "0,5"},
	{`a{x`, "", "a{x", 0, "0,3"},
	{`a b # c`, "x", "ab", 0, "0,2"},
	{`a+ ?b`, "x", "aab", 0, "0,3"},
	{`a+ ?`, "x", "aab", 0, "0,1"},
	{`a+ +ab`, "x", "aaab", 0, "-"},
	{`a+?b`, "", "aab", 0, "0,3"},
	{`a+?`, "", "aab", 0, "0,1"},
	{`a+`, "G", "aab", 0, "0,1"},
	{`a+?`, "G", "aab", 0, "0,2"},
	{`(?i)a(?-i)b|c`, "", "AB", 0, "-"},
	{`(?i:a)b`, "", "Ab", 0, "0,2"},
	{`a(?i)b|C`, "", "c", 0, "0,1"},
	{`\R`, "", "\r\n", 0, "0,2"},
	{`(?>\r\n|\n)`, "", "\r\n", 0, "0,2"},
	{`\h\v\N`, "", "\xa0\x85x", 0, "0,3"},
	{`a\Kb`, "", "ab", 0, "1,2"},
	{`(?|(a)|(b))\1`, "", "bb", 0, "0,2 0,1"},
	{`\101\x41\x{41}\cA`, "", "AAA\x01", 0, "0,4"},
	{`(a*)*b`, "", "aab", 0, "0,3 2,2"},
	{`(a*)+`, "", "b", 0, "0,0 0,0"},
	{`(?:a?)*?b`, "", "aab", 0, "0,3"},
	{`(?#comment)a`, "", "a", 0, "0,1"},
	{`.*foo`, "", "a\nb foo", 0, "2,7"},
	{`.*foo`, "s", "a\nb foo", 0, "0,7"},
	{`\p{Lu}\p{^L}`, "", "A1", 0, "0,2"},
	{`(a(?=(b)))`, "", "ab", 0, "0,1 0,1 1,2"},
	{`[a-z]+\d`, "", "abc1", 0, "0,4"},
	{``, "", "abc", 1, "1,1"},
	{`x*`, "", "", 0, "0,0"},
}

func answer(re *Regexp, data string, start int, s *Scratch) string {
	from, to, ok := re.Match([]byte(data), start, s)
	if !ok {
		return "-"
	}
	out := fmt.Sprintf("%d,%d", from, to)
	for g := 1; g <= re.NumGroups(); g++ {
		if a, b, ok := s.Group(g); ok {
			out += fmt.Sprintf(" %d,%d", a, b)
		} else {
			out += " -"
		}
	}
	return out
}

func TestMatch(t *testing.T) {
	var s Scratch
	for _, c := range matchCases {
		f, rest := ParseFlags(c.flags)
		if rest != "" {
			t.Fatal(rest)
		}
		re, err := Compile(c.expr, f|Captures)
		if err != nil {
			t.Errorf("%q: %v", c.expr, err)
			continue
		}
		if got := answer(re, c.data, c.start, &s); got != c.want {
			t.Errorf("/%s/%s on %q from %d: got %s, want %s", c.expr, c.flags, c.data, c.start, got, c.want)
		}
		plain, err := Compile(c.expr, f)
		if err != nil {
			t.Fatal(err)
		}
		from, to, ok := plain.Match([]byte(c.data), c.start, &s)
		want, _, _ := strings.Cut(c.want, " ")
		if got := fmt.Sprintf("%d,%d", from, to); ok != (want != "-") || ok && got != want {
			t.Errorf("/%s/%s without captures: got %s %v, want %s", c.expr, c.flags, got, ok, want)
		}
	}
}

func TestRefused(t *testing.T) {
	for _, c := range []struct {
		expr   string
		offset int
		msg    string
	}{
		{"a(", 1, "missing closing parenthesis"},
		{"a)", 1, "unmatched closing parenthesis"},
		{"a**", 2, "quantifier"},
		{"*a", 0, "quantifier"},
		{"^*", 1, "quantifier"},
		{"[a", 0, "missing terminating ]"},
		{"[z-a]", 1, "range out of order"},
		{"[\\d-z]", 3, "invalid range"},
		{"[[:foo:]]", 1, "unknown POSIX class"},
		{"a{2,1}", 1, "out of order"},
		{"a{65536}", 1, "too big"},
		{`\`, 0, "end of pattern"},
		{`\y`, 0, "unrecognized"},
		{`\X`, 0, "unsupported"},
		{`\x{100}`, 0, "not a byte"},
		{`(a)\2`, 3, "does not exist"},
		{`(?P=x)`, 0, "does not exist"},
		{`(?<=a+)b`, 0, "fixed length"},
		{`(*SKIP)a`, 0, "verbs"},
		{`a(*FAIL)`, 1, "verbs"},
		{`(?C1)a`, 0, "callouts"},
		{`(?z)a`, 2, "unrecognized"},
		{`(?<a>x)(?<a>y)`, 7, "same name"},
		{strings.Repeat("(", 300) + strings.Repeat(")", 300), 250, "nested too deeply"},
		{strings.Repeat(`(?:ab|c){100}`, 200), 0, "too large"},
	} {
		_, err := Compile(c.expr, 0)
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("%.60q: no error", c.expr)
			continue
		}
		if e.Offset != c.offset || !strings.Contains(e.Error(), c.msg) {
			t.Errorf("%.60q: %d %s, want %d %s", c.expr, e.Offset, e.Msg, c.offset, c.msg)
		}
	}
}

func TestParseFlags(t *testing.T) {
	f, rest := ParseFlags("RsmiUxAEG")
	if f != DotAll|Multiline|Caseless|Extended|Anchored|DollarEndOnly|Ungreedy || rest != "RU" {
		t.Fatalf("%b %q", f, rest)
	}
}

func TestGroupNames(t *testing.T) {
	re, err := Compile(`(?<a>x)(?P<b>y)`, Captures)
	if err != nil {
		t.Fatal(err)
	}
	if re.GroupIndex("b") != 2 || re.GroupIndex("c") != 0 || re.NumGroups() != 2 {
		t.Fatal(re.names)
	}
}

// bombs take a plain backtracking machine exponential or quadratic time. All must
// come to an end; those marked linear must come to the right answer, too.
var bombs = []struct {
	expr   string
	data   string
	linear bool
	match  bool
}{
	{`(a+)+$`, strings.Repeat("a", 40) + "b", true, false},
	{`(?:a*)*b$`, strings.Repeat("a", 5000), true, false},
	{`(?:a|aa)+$`, strings.Repeat("a", 5000) + "b", true, false},
	{`(?:a|a)*c$`, strings.Repeat("a", 60000), true, false},
	{`a[^b]*c`, strings.Repeat("a", 60000), true, false},
	{`a.*b.*c.*d`, strings.Repeat("abc", 20000), true, false},
	{`.*.*.*=$`, strings.Repeat("x", 60000), true, false},
	{`(?:x[a-z]+)+y`, strings.Repeat("xab", 20000) + "!", true, false},
	{`(?:x[a-z]+)+y`, strings.Repeat("xab", 20000) + "y", true, true},
	{`a[^b]*?c`, strings.Repeat("a", 60000), true, false},
	{`(a+)+\1$`, strings.Repeat("a", 4000) + "b", false, false},
	{`(?:(?:a?){2000}){2000}b`, strings.Repeat("a", 3000), false, false},
	{`(?R)`, "a", false, false},
	{`(a|(?1)b)c`, strings.Repeat("a", 3000), false, false},
	{`(?=(a+)+$)b`, strings.Repeat("a", 60000), false, false},
	{`(?>(a+)+b)`, strings.Repeat("a", 60000), false, false},
}

func TestBombs(t *testing.T) {
	var s Scratch
	for _, b := range bombs {
		re, err := Compile(b.expr, 0)
		if err != nil {
			t.Errorf("%s: %v", b.expr, err)
			continue
		}
		// The literals a match needs stand in front, where they are no use.
		data := []byte("d=b\nc y!" + b.data)
		_, _, ok := re.Match(data, 0, &s)
		if ok != b.match {
			t.Errorf("%s: match %v", b.expr, ok)
		}
		if b.linear && s.Limited {
			t.Errorf("%s gave up on %d bytes", b.expr, len(b.data))
		}
		if cap(s.stack) > 2*maxStack || cap(s.memo) > maxMemo/64 {
			t.Errorf("%s: %d frames, %d words", b.expr, cap(s.stack), cap(s.memo))
		}
	}
}

func TestStepsBound(t *testing.T) {
	re, err := Compile(`(a+)+\1$`, 0)
	if err != nil {
		t.Fatal(err)
	}
	s := Scratch{Steps: 1000}
	if _, _, ok := re.Match([]byte(strings.Repeat("a", 500)+"b"), 0, &s); ok || !s.Limited {
		t.Fatal("not limited")
	}
	if s.steps < -1000 {
		t.Fatalf("overdrawn by %d steps", -s.steps)
	}
	if _, _, ok := re.Match([]byte("aa"), 0, &s); !ok || s.Limited {
		t.Fatal("the limit of one search must not reach the next")
	}
}

func TestMatchAllocatesNothing(t *testing.T) {
	var s Scratch
	for _, c := range matchCases {
		f, _ := ParseFlags(c.flags)
		re, err := Compile(c.expr, f)
		if err != nil {
			t.Fatal(err)
		}
		data := []byte(c.data)
		re.Match(data, c.start, &s)
		if n := testing.AllocsPerRun(10, func() { re.Match(data, c.start, &s) }); n != 0 {
			t.Errorf("%s: %v allocations", c.expr, n)
		}
	}
	re, err := Compile(`(?:a|a)*c`, 0)
	if err != nil {
		t.Fatal(err)
	}
	data := []byte(strings.Repeat("a", 10000))
	re.Match(data, 0, &s)
	if n := testing.AllocsPerRun(3, func() { re.Match(data, 0, &s) }); n != 0 {
		t.Errorf("remembering states: %v allocations", n)
	}
}

func TestLiterals(t *testing.T) {
	for _, c := range []struct {
		expr, flags, want string
	}{
		{"abc", "", `"abc" prefix`},
		{"abc", "i", `"abc" nocase prefix`},
		{"^GET /x", "", `"GET /x" prefix`},
		{`\d+abc[0-9]de`, "", `"abc", "de"`},
		{`(?:foo|bar)baz`, "", `"baz"`},
		{`(foo)+bar`, "", `"foo" prefix, "bar"`},
		{`a{3}b`, "", `"aaab" prefix`},
		{`[.]php`, "", `".php" prefix`},
		{`[Aa]b`, "", `"ab" nocase prefix`},
		{`x?abc`, "", `"abc"`},
		{`foo|bar`, "", ``},
		{`(?=foo)bar`, "", `"bar" prefix`},
	} {
		f, _ := ParseFlags(c.flags)
		re, err := Compile(c.expr, f)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, l := range re.Literals() {
			s := fmt.Sprintf("%q", l.Bytes)
			if l.NoCase {
				s += " nocase"
			}
			if l.Prefix {
				s += " prefix"
			}
			got = append(got, s)
		}
		if g := strings.Join(got, ", "); g != c.want {
			t.Errorf("%s: %s, want %s", c.expr, g, c.want)
		}
	}
}

// TestLiteralsLaw: where an expression matches, each of its literals occurs.
func TestLiteralsLaw(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	var s Scratch
	checked := 0
	for range 20000 {
		e := randomExpr(r, 3, true)
		re, err := Compile(e, Flags(r.IntN(2)))
		if err != nil {
			t.Fatalf("%s: %v", e, err)
		}
		data := randomData(r)
		if from, _, ok := re.Match(data, 0, &s); ok {
			checked += checkLiterals(t, re, data, from)
		}
	}
	if checked < 1000 {
		t.Fatalf("only %d literals checked", checked)
	}
}

func checkLiterals(t testing.TB, re *Regexp, data []byte, from int) int {
	t.Helper()
	for _, l := range re.Literals() {
		hay := string(data)
		if l.NoCase {
			hay = string(lowered(data))
		}
		if !strings.Contains(hay, string(l.Bytes)) {
			t.Fatalf("/%s/ matches %q without %q", re, data, l.Bytes)
		}
	}
	return len(re.Literals())
}

// lowered is ASCII only, as the classes of PCRE.
func lowered(b []byte) []byte {
	out := make([]byte, len(b))
	for i, c := range b {
		out[i] = c
		if 'A' <= c && c <= 'Z' {
			out[i] = c + 'a' - 'A'
		}
	}
	return out
}

// randomExpr writes an expression in the syntax that PCRE and Go's regexp share.
func randomExpr(r *rand.Rand, depth int, more bool) string {
	var b strings.Builder
	for i := range 1 + r.IntN(3) {
		if i > 0 && r.IntN(4) == 0 {
			b.WriteByte('|')
		}
		var a string
		switch k := r.IntN(10); {
		case k < 2 && depth > 0:
			a = "(" + randomExpr(r, depth-1, more) + ")"
		case k < 4 && depth > 0:
			a = "(?:" + randomExpr(r, depth-1, more) + ")"
		case k < 6:
			a = []string{"[ab]", "[^a]", ".", `\d`, `\w`, `[b-d1]`, `\x61`, `[[:digit:]x]`}[r.IntN(8)]
		case k == 6:
			a = []string{`\b`, `\B`, `\A`, `\z`, "^", "(?:)"}[r.IntN(6)]
			b.WriteString(a)
			continue
		default:
			a = []string{"a", "b", "c", "ab", "1", "bc"}[r.IntN(6)]
		}
		b.WriteString(a)
		if r.IntN(3) == 0 {
			q := []string{"?", "*", "+", "{2}", "{1,3}", "{0,2}", "{2,}"}
			b.WriteString(q[r.IntN(len(q))])
			if r.IntN(3) == 0 {
				b.WriteByte('?')
			}
		}
	}
	return b.String()
}

func randomData(r *rand.Rand) []byte {
	data := make([]byte, r.IntN(16))
	for i := range data {
		data[i] = "aaabbbccd1 \nA"[r.IntN(13)]
	}
	return data
}

// TestAgainstGo: on what both understand alike, this package and Go's regexp (which also chooses leftmost-first)
// give the same places, before and after failed states are remembered.
// Groups are left out: the two differ in what an empty last turn of a loop leaves behind.
func TestAgainstGo(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	var s Scratch
	hits := 0
	for range 30000 {
		e := randomExpr(r, 3, false)
		f := []string{"", "i", "s", "m"}[r.IntN(4)]
		g, err := regexp.Compile("(?" + f + ":" + e + ")")
		if f == "" {
			g, err = regexp.Compile(e)
		}
		if err != nil || emptyLoop(e) {
			continue
		}
		flags, _ := ParseFlags(f)
		re, err := Compile(e, flags)
		if err != nil {
			t.Fatalf("%s: %v", e, err)
		}
		for range 4 {
			data := randomData(r)
			if flags&Multiline != 0 && strings.HasSuffix(string(data), "\n") {
				continue // PCRE's ^ does not match after a final newline
			}
			want := "-"
			if m := g.FindIndex(data); m != nil {
				want = fmt.Sprintf("%d,%d", m[0], m[1])
				hits++
			}
			got, _, _ := strings.Cut(answer(re, string(data), 0, &s), " ")
			if got != want {
				t.Fatalf("/%s/%s on %q: %s, Go says %s", e, f, data, got, want)
			}
		}
	}
	if hits < 10000 {
		t.Fatalf("only %d matches", hits)
	}
}

// emptyLoop reports a repeated group, which may match nothing: there PCRE and RE2 choose differently.
func emptyLoop(e string) bool {
	for _, q := range []string{")*", ")+", "){2,}"} {
		if strings.Contains(e, q) {
			return true
		}
	}
	return false
}

// TestMemoLaw: remembering failed states changes no answer.
func TestMemoLaw(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	var s, early Scratch
	for range 20000 {
		e := randomExpr(r, 3, true)
		re, err := Compile(e, Flags(r.IntN(2)))
		if err != nil {
			t.Fatalf("%s: %v", e, err)
		}
		data := randomData(r)
		_, _, want := re.Match(data, 0, &s)
		from, to, ok := re.matchFrom(data, 0, &early, 0)
		if ok != want {
			t.Fatalf("/%s/ on %q: %v (%d,%d) with memory, %v without", e, data, ok, from, to, want)
		}
	}
}

func FuzzMatch(f *testing.F) {
	for _, c := range matchCases {
		fl, _ := ParseFlags(c.flags)
		f.Add(c.expr, uint16(fl), []byte(c.data), c.start)
	}
	for _, b := range bombs {
		f.Add(b.expr, uint16(0), []byte(b.data)[:min(len(b.data), 200)], 0)
	}
	for _, e := range []string{`(?<=a|bc)(?!d)`, `(?(?=a)b|c)`, `(?|(a)|(b))\g{-1}`, `(?P<x>a)(?P>x)`, `[\w\-\]]{3,}?`, `(?i)(?:x(?-i)y)++`} {
		f.Add(e, uint16(Captures), []byte("abcabc"), 1)
	}
	f.Fuzz(func(t *testing.T, expr string, flags uint16, data []byte, start int) {
		if len(expr) > 300 || len(data) > 2000 {
			return
		}
		re, err := Compile(expr, Flags(flags))
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Offset < 0 || e.Offset > len(expr) {
				t.Fatalf("%q: %v", expr, err)
			}
			return
		}
		s := Scratch{Steps: 20000}
		from, to, ok := re.Match(data, start, &s)
		if s.steps < -1<<16 {
			t.Fatalf("%q: overdrawn by %d steps", expr, -s.steps)
		}
		if !ok {
			return
		}
		// \K in a subroutine can put the start behind the end, as in PCRE.
		if from < 0 || to > len(data) || from > to && !strings.Contains(expr, `\K`) || s.Limited {
			t.Fatalf("%q on %q: %d,%d", expr, data, from, to)
		}
		if !strings.Contains(expr, `\K`) {
			checkLiterals(t, re, data, from)
		}
	})
}

// TestEveryPrefix compiles every prefix of every expression and searches every prefix of its data.
func TestEveryPrefix(t *testing.T) {
	var s Scratch
	for _, c := range matchCases {
		for i := range min(len(c.expr), 60) {
			re, err := Compile(c.expr[:i], 0)
			if err != nil {
				continue
			}
			for j := range min(len(c.data), 60) {
				if from, to, ok := re.Match([]byte(c.data[:j]), 0, &s); ok && (from < 0 || to > j) {
					t.Fatalf("%q on %q: %d,%d", c.expr[:i], c.data[:j], from, to)
				}
			}
		}
	}
}
