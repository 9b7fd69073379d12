package iptc

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/garita/garita/internal/nstest"
)

// blobs reads every table, to be compared byte for byte.
func blobs(t testing.TB) map[string]*Table {
	t.Helper()
	m := map[string]*Table{}
	for _, f := range []Family{IPv4, IPv6} {
		for _, name := range tableNames {
			tab, err := Open(f, name)
			must(t, err)
			tab.Close()
			m[f.String()+" "+name] = tab
		}
	}
	return m
}

// sameTables holds two readings against each other, in bytes and in text.
func sameTables(t testing.TB, theirs, ours map[string]*Table) {
	t.Helper()
	for name, a := range theirs {
		b := ours[name]
		var x, y strings.Builder
		_, _ = a.Save(&x, SaveOptions{Counters: true})
		_, _ = b.Save(&y, SaveOptions{Counters: true})
		if x.String() != y.String() {
			t.Fatalf("%s:\n%s", name, diff(x.String(), y.String()))
		}
		if a.in != b.in || !sameBlob(a.family, a.blob, b.blob) {
			for i, c := range a.sorted() {
				for k, r := range c.rules {
					if o := b.sorted()[i].rules[k]; !r.Same(o) {
						t.Errorf("%s: rule %q differs in its bytes: %s", name, r.Spec(), diffBytes(r.raw, o.raw))
					}
				}
			}
			t.Fatalf("%s: prints the same but differs in its bytes", name)
		}
	}
}

func diffBytes(a, b []byte) string {
	if len(a) != len(b) {
		return fmt.Sprintf("%d and %d bytes", len(a), len(b))
	}
	var s strings.Builder
	for i := range a {
		if a[i] != b[i] {
			fmt.Fprintf(&s, " %d:%02x/%02x", i, a[i], b[i])
		}
	}
	return s.String()
}

// TestOracleRestore: files applied by us give, byte for byte, the tables that
// they give when applied by the program.
func TestOracleRestore(t *testing.T) {
	if !nstest.Inside(t) {
		return
	}
	needOracle(t)
	prepare(t)
	lines := supported(t, ruleLines(t))
	for seed := range uint64(10) {
		files := randomRulesets(rand.New(rand.NewPCG(seed, 5)), lines)
		for f, text := range files {
			_, err := oracle(Family(f), "-restore", text, "-c")
			must(t, err)
		}
		theirs := blobs(t)
		for f, text := range files {
			must(t, Restore(Family(f), strings.NewReader(text), RestoreOptions{Counters: true}))
		}
		sameTables(t, theirs, blobs(t))
		compare(t)
	}
}

// TestOracleRestoreEvery: every rule of the list, as a human writes it and as it
// is printed, becomes the same bytes as by the program.
func TestOracleRestoreEvery(t *testing.T) {
	if !nstest.Inside(t) {
		return
	}
	needOracle(t)
	prepare(t)
	lines := supported(t, ruleLines(t))
	theirs := blobs(t)
	var printed [2]strings.Builder
	for _, f := range []Family{IPv4, IPv6} {
		for _, name := range tableNames {
			_, err := theirs[f.String()+" "+name].Save(&printed[f], SaveOptions{Counters: true})
			must(t, err)
		}
	}
	for _, f := range []Family{IPv4, IPv6} {
		_, err := oracle(f, "-restore", printed[f].String(), "-c")
		must(t, err)
	}
	reread := blobs(t)
	for _, f := range []Family{IPv4, IPv6} {
		must(t, Restore(f, strings.NewReader(printed[f].String()), RestoreOptions{Counters: true}))
	}
	sameTables(t, reread, blobs(t))
	prepare(t) // empties the tables
	for _, l := range lines {
		err := Restore(l.f, strings.NewReader(fmt.Sprintf("*%s\n-A %s %s\nCOMMIT\n", l.table, l.chain, l.rule)), RestoreOptions{NoFlush: true})
		if err != nil {
			t.Errorf("%v: %v", l, err)
		}
	}
	sameTables(t, theirs, blobs(t))
}

// TestOracleEditScripts: the program edits the table filter, we edit security,
// which has the same hooks, by the same scripts; afterwards both are equal,
// counters included, and one refuses what the other refuses.
func TestOracleEditScripts(t *testing.T) {
	if !nstest.Inside(t) {
		return
	}
	needOracle(t)
	var rules [2][]string
	for _, l := range ruleLines(t) {
		if l.table == "filter" && l.chain == "INPUT" && !strings.Contains(l.rule, "user") && !strings.Contains(l.rule, "-j") &&
			!strings.Contains(l.rule, "rateest") && !strings.Contains(l.rule, "-set") && !strings.Contains(l.rule, "nfacct") && !strings.Contains(l.rule, "recent") {
			rules[l.f] = append(rules[l.f], l.rule)
		}
	}
	scripts, refused := 1000, 0
	if testing.Short() {
		scripts = 100
	}
	for seed := range scripts {
		f := Family(seed & 1)
		rnd := rand.New(rand.NewPCG(uint64(seed), 6))
		tab, err := Open(f, "security")
		must(t, err)
		tab.Close()
		script := randomScript(rnd, tab, rules[f])
		_, theirs := oracle(f, "-restore", "*filter\n"+script+"COMMIT\n", "-n", "-c")
		ours := Restore(f, strings.NewReader("*security\n"+script+"COMMIT\n"), RestoreOptions{NoFlush: true, Counters: true})
		if (theirs == nil) != (ours == nil) {
			t.Fatalf("script %d: theirs: %v\nours: %v\n%s", seed, theirs, ours, script)
		}
		if ours != nil {
			refused++
		}
		want, err := oracle(f, "-save", "", "-c", "-t", "filter")
		must(t, err)
		want = strings.Replace(want, "*filter", "*security", 1)
		if got := ourSave(t, f, "security"); got != want {
			t.Fatalf("script %d:\n%s\n%s", seed, script, diff(want, got))
		}
	}
	if refused > scripts/2 {
		t.Errorf("%d of %d scripts refused: too few edits tried", refused, scripts)
	}
	t.Logf("%d scripts, %d of them refused by both", scripts, refused)
}

// randomScript makes lines for iptables-restore --noflush that mostly make sense
// for the table as it is.
func randomScript(rnd *rand.Rand, tab *Table, rules []string) string {
	var b strings.Builder
	chains := []string{"INPUT", "FORWARD", "OUTPUT"}
	n := map[string]int{}
	for c := range tab.Chains() {
		if !c.Builtin() {
			chains = append(chains, c.Name())
		}
		n[c.Name()] = c.Len()
	}
	chain := func() string { return chains[rnd.IntN(len(chains))] }
	user := func() string {
		if len(chains) > 3 && rnd.IntN(10) > 0 {
			return chains[3+rnd.IntN(len(chains)-3)]
		}
		return fmt.Sprintf("u%d", rnd.IntN(20))
	}
	rule := func() string {
		s := rules[rnd.IntN(len(rules))]
		if strings.Contains(s, "hashlimit") {
			s = "-p tcp" // its tables outlive the rules and must agree
		}
		target := []string{"", " -j DROP", " -j ACCEPT", " -j RETURN", " -j LOG --log-prefix \"a b\"", " -j NFQUEUE --queue-num 3"}[rnd.IntN(6)]
		if rnd.IntN(6) == 0 && len(chains) > 3 {
			target = [...]string{" -j ", " -g "}[rnd.IntN(2)] + chains[len(chains)-1]
		}
		return s + target
	}
	counters := func() string {
		if rnd.IntN(2) == 0 {
			return ""
		}
		return fmt.Sprintf("[%d:%d] ", rnd.IntN(9999), rnd.Uint64N(1e15))
	}
	for range 1 + rnd.IntN(8) {
		c := chain()
		switch rnd.IntN(16) {
		case 0, 1, 2, 3:
			fmt.Fprintf(&b, "%s-A %s %s\n", counters(), c, rule())
			n[c]++
		case 4, 5, 6:
			fmt.Fprintf(&b, "%s-I %s %d %s\n", counters(), c, 1+rnd.IntN(n[c]+1), rule())
			n[c]++
		case 7, 8:
			if n[c] > 0 {
				fmt.Fprintf(&b, "-D %s %d\n", c, 1+rnd.IntN(n[c]))
				n[c]--
			}
		case 9:
			if ch := tab.Chain(c); ch != nil && ch.Len() > 0 {
				fmt.Fprintf(&b, "-D %s %s\n", c, ch.Rule(rnd.IntN(ch.Len())).Spec())
				n[c] = max(0, n[c]-1)
			}
		case 10:
			if n[c] > 0 {
				fmt.Fprintf(&b, "%s-R %s %d %s\n", counters(), c, 1+rnd.IntN(n[c]), rule())
			}
		case 11, 12:
			name := fmt.Sprintf("u%d", rnd.IntN(100))
			if _, exists := n[name]; !exists {
				fmt.Fprintf(&b, "-N %s\n", name)
				chains = append(chains, name)
				n[name] = 0
			}
		case 13:
			switch rnd.IntN(4) {
			case 0:
				fmt.Fprintf(&b, "-X %s\n", user())
			case 1:
				fmt.Fprintf(&b, "-E %s r%d\n", user(), rnd.IntN(100))
			default:
				fmt.Fprintf(&b, "-F %s\n", c)
				n[c] = 0
			}
		case 14:
			if rnd.IntN(2) == 0 && n[c] > 0 {
				fmt.Fprintf(&b, "-Z %s %d\n", c, 1+rnd.IntN(n[c]))
			} else {
				fmt.Fprintf(&b, "-Z %s\n", c)
			}
		case 15:
			fmt.Fprintf(&b, "-P %s %s\n", chains[rnd.IntN(3)], [...]string{"ACCEPT", "DROP"}[rnd.IntN(2)])
		}
	}
	return b.String()
}

func TestRestoreErrors(t *testing.T) {
	if !nstest.Inside(t) {
		return
	}
	needTables(t, IPv4)
	for _, c := range []struct {
		text string
		line int
		err  error
	}{
		{"*filter\n-A INPUT -j DROP\n", 3, nil},
		{"-A INPUT -j DROP\n", 1, nil},
		{"COMMIT\n", 1, nil},
		{"*nosuch\nCOMMIT\n", 1, unix.ENOENT},
		{"*filter\n-A NONE -j DROP\nCOMMIT\n", 2, unix.ENOENT},
		{"*filter\n-A INPUT -m nosuch\nCOMMIT\n", 2, nil},
		{"*filter\n-A INPUT -j nosuch\nCOMMIT\n", 2, nil},
		{"*filter\n-A INPUT --dport 5\nCOMMIT\n", 2, nil},
		{"*filter\n-A INPUT ! !\nCOMMIT\n", 2, nil},
		{"*filter\n-A INPUT -s\nCOMMIT\n", 2, nil},
		{"*filter\n-A INPUT -s fd00::1\nCOMMIT\n", 2, nil},
		{"*filter\n-A INPUT -m comment --comment \"open\nCOMMIT\n", 2, nil},
		{"*filter\n:INPUT MAYBE [0:0]\nCOMMIT\n", 2, unix.EINVAL},
		{"*filter\n:x - [0:0]\n-A INPUT -j x\n-A x -j x\nCOMMIT\n", 5, unix.ELOOP},
	} {
		err := Restore(IPv4, strings.NewReader(c.text), RestoreOptions{})
		var re *RestoreError
		if !errors.As(err, &re) || re.Line != c.line || c.err != nil && !errors.Is(err, c.err) {
			t.Errorf("%q: %v, want line %d %v", c.text, err, c.line, c.err)
		}
	}
	if got := ourSave(t, IPv4, "filter"); got != "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n" {
		t.Errorf("something was done:\n%s", got)
	}
	must(t, Restore(IPv4, strings.NewReader("*filter\n-A INPUT -j DROP\nCOMMIT\n"), RestoreOptions{Test: true}))
	if strings.Contains(ourSave(t, IPv4, "filter"), "-A") {
		t.Error("a test was committed")
	}
}

// TestUnknownByteForByte: an extension that is not in our table goes through
// printing and restoring unchanged.
func TestUnknownByteForByte(t *testing.T) {
	tab := offline(t, IPv4, 0x0e)
	r, err := NewRule(IPv4, Header{Proto: 6}, []Extension{{"l2tp", 0, []byte{1, 2, 3, 4, 5, 6, 7, 8}}},
		Target{Kind: Module, Module: Extension{"NEW", 9, []byte("abcdefgh")}})
	must(t, err)
	must(t, tab.Append("INPUT", r))
	var b strings.Builder
	unknown, err := tab.Save(&b, SaveOptions{})
	must(t, err)
	if fmt.Sprint(unknown) != "[match l2tp revision 0 target NEW revision 9]" {
		t.Errorf("unknown: %v", unknown)
	}
	want := "-p tcp -m l2tp --hex 0:0102030405060708 -j NEW --hex 9:6162636465666768"
	if got := r.Spec(); got != want {
		t.Fatalf("%s", got)
	}
	words, err := Words(want)
	must(t, err)
	again, err := ParseSpec(IPv4, words, nil)
	must(t, err)
	if !r.Same(again) {
		t.Errorf("%x\n%x", r.raw, again.raw)
	}
}

// TestSpecRoundTrip needs no program and no tables: what is printed is parsed
// into a rule that is printed the same.
func TestSpecRoundTrip(t *testing.T) {
	_, noProtocols := os.Stat("/etc/protocols")
	_, noServices := os.Stat("/etc/services")
	for _, l := range ruleLines(t) {
		if strings.Contains(l.rule, "-set set") { // needs the set
			continue
		}
		if noProtocols != nil && strings.Contains(l.rule, "gre") || noServices != nil && strings.Contains(l.rule, "domain") {
			continue // a name that only these files know (Debian: netbase)
		}
		words, err := Words(l.rule)
		must(t, err)
		chain := func(s string) bool { return strings.HasPrefix(s, "user") }
		r, err := ParseSpec(l.f, words, chain)
		if err != nil {
			t.Errorf("%v: %v", l, err)
			continue
		}
		words, err = Words(r.Spec())
		must(t, err)
		again, err := ParseSpec(l.f, words, chain)
		if err != nil || again.Spec() != r.Spec() {
			t.Errorf("%v: printed as %q, then as %q: %v", l, r.Spec(), again.Spec(), err)
		}
	}
}

// TestOldRevisions: rules as older programs make them. iptables-save of today
// prints "[unsupported revision]" for each, so this is held against the kernel's
// headers only.
func TestOldRevisions(t *testing.T) {
	data := func(n int, at map[int]byte) []byte {
		b := make([]byte, n)
		for i, v := range at {
			b[i] = v
		}
		return b
	}
	for _, c := range []struct {
		f      Family
		target bool
		e      Extension
		want   string
	}{
		{IPv4, false, Extension{"conntrack", 1, data(152, map[int]byte{139: 80, 146: 0x41, 147: 1, 148: 0x40, 150: 8, 151: 4})},
			"-m conntrack --ctstate NEW --ctorigsrcport 80 ! --ctstatus ASSURED"},
		{IPv6, false, Extension{"conntrack", 2, data(160, map[int]byte{139: 80, 146: 0x41, 147: 1, 148: 0x40, 150: 8, 152: 4})},
			"-m conntrack --ctstate NEW --ctorigsrcport 80 ! --ctstatus ASSURED"},
		{IPv4, false, Extension{"socket", 0, nil}, "-m socket"},
		{IPv4, false, Extension{"socket", 1, data(8, map[int]byte{0: 1})}, "-m socket --transparent"},
		{IPv6, false, Extension{"socket", 2, data(8, map[int]byte{0: 3})}, "-m socket --transparent --nowildcard"},
		{IPv4, false, Extension{"cgroup", 0, data(8, map[int]byte{0: 7, 4: 1})}, "-m cgroup ! --cgroup 7"},
		{IPv4, false, Extension{"addrtype", 0, data(16, map[int]byte{0: 4, 2: 8, 8: 1})}, "-m addrtype --src-type LOCAL ! --dst-type BROADCAST"},
		{IPv6, false, Extension{"srh", 0, data(16, map[int]byte{0: 6, 1: 8, 4: 3, 6: 3, 7: 4, 8: 2})},
			"-m srh --srh-next-hdr 6 ! --srh-hdr-len-eq 8 --srh-tag 3"},
		{IPv4, true, Extension{"CONNMARK", 1, data(16, map[int]byte{0: 1, 4: 255, 8: 15})}, "-j CONNMARK --set-xmark 0x1/0xff"},
		{IPv4, true, Extension{"CONNMARK", 1, data(16, map[int]byte{4: 255, 8: 15, 12: 2})}, "-j CONNMARK --restore-mark --nfmask 0xf --ctmask 0xff"},
		{IPv4, true, Extension{"CT", 0, data(40, map[int]byte{2: 9, 12: 'f'})}, "-j CT --helper f --zone 9"},
		{IPv6, true, Extension{"CT", 1, data(72, map[int]byte{0: 1})}, "-j CT --notrack"},
		{IPv4, true, Extension{"IDLETIMER", 0, data(40, map[int]byte{0: 9, 4: 'x'})}, "-j IDLETIMER --timeout 9 --label x"},
		{IPv4, true, Extension{"NFQUEUE", 0, data(8, map[int]byte{0: 3})}, "-j NFQUEUE --queue-num 3"},
		{IPv4, true, Extension{"NFQUEUE", 1, data(8, map[int]byte{0: 3, 2: 4})}, "-j NFQUEUE --queue-balance 3:6"},
		{IPv4, true, Extension{"NFQUEUE", 2, data(8, map[int]byte{0: 3, 2: 4, 4: 1})}, "-j NFQUEUE --queue-balance 3:6 --queue-bypass"},
	} {
		matches, target := []Extension{c.e}, Target{}
		if c.target {
			matches, target = nil, Target{Kind: Module, Module: c.e}
		}
		r, err := NewRule(c.f, Header{}, matches, target)
		must(t, err)
		if got := r.Spec(); got != c.want {
			t.Errorf("%s revision %d: %s, want %s", c.e.Name, c.e.Revision, got, c.want)
		}
	}
}

func FuzzSpec(fz *testing.F) {
	for _, l := range ruleLines(fz) {
		fz.Add(l.rule, l.f == IPv6)
	}
	fz.Fuzz(func(t *testing.T, line string, six bool) {
		f := IPv4
		if six {
			f = IPv6
		}
		words, err := Words(line)
		if err != nil {
			return
		}
		r, err := ParseSpec(f, words, nil)
		if err != nil {
			var re *RuleError
			if !errors.As(err, &re) {
				t.Fatalf("%T %v", err, err)
			}
			return
		}
		_ = r.Spec()
	})
}
