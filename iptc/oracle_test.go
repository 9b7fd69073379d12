package iptc

import (
	"bytes"
	_ "embed"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/mdlayher/netlink"
	vnl "github.com/vishvananda/netlink"

	"github.com/garita/garita/internal/nstest"
)

// The oracle is Debian's iptables (iptables-legacy and its -save and -restore);
// where it is not installed these tests skip.

func program(f Family, suffix string) string {
	return [...]string{"iptables-legacy", "ip6tables-legacy"}[f] + suffix
}

func needOracle(t testing.TB) {
	t.Helper()
	for _, f := range []Family{IPv4, IPv6} {
		if _, err := exec.LookPath(program(f, "-save")); err != nil {
			t.Skipf("the program to compare with is not installed: %v", err)
		}
		needTables(t, f)
	}
}

// oracle runs the program; its output without the lines with dates.
func oracle(f Family, suffix, stdin string, args ...string) (string, error) {
	cmd := exec.Command(program(f, suffix), args...)
	cmd.Stdin = strings.NewReader(stdin)
	var out, errw bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errw
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %v: %w\n%s", cmd.Path, args, err, errw.String())
	}
	var b strings.Builder
	for line := range strings.Lines(out.String()) {
		if !strings.HasPrefix(line, "#") {
			b.WriteString(line)
		}
	}
	return b.String(), nil
}

//go:embed testdata/rules.txt
var rulesText string // embedded: the test binary also runs without its folder

// ruleLine is a line of testdata/rules.txt.
type ruleLine struct {
	f                  Family
	table, chain, rule string
}

func (l ruleLine) String() string {
	return fmt.Sprintf("%s %s -A %s %s", l.f, l.table, l.chain, l.rule)
}

func ruleLines(t testing.TB) []ruleLine {
	t.Helper()
	var list []ruleLine
	for line := range strings.Lines(rulesText) {
		line = strings.TrimSuffix(line, "\n")
		if line == "" || line[0] == '#' {
			continue
		}
		part := strings.SplitN(line+" ", " ", 4)
		for _, c := range part[0] {
			f := IPv4
			if c == '6' {
				f = IPv6
			}
			list = append(list, ruleLine{f, part[1], part[2], strings.TrimSpace(part[3])})
		}
	}
	return list
}

// prepare makes what the rules refer to: two chains in every table, and rate
// estimators.
func prepare(t testing.TB) {
	t.Helper()
	makeSets(t)
	for _, f := range []Family{IPv4, IPv6} {
		var b strings.Builder
		for _, table := range tableNames {
			fmt.Fprintf(&b, "*%s\n:user1 - [0:0]\n:user2 - [0:0]\n", table)
			if table == "filter" {
				for _, n := range []string{"RE1", "RE2"} {
					fmt.Fprintf(&b, "-A user2 -j RATEEST --rateest-name %s --rateest-interval 250ms --rateest-ewmalog 500ms\n", n)
				}
			}
			b.WriteString("COMMIT\n")
		}
		_, err := oracle(f, "-restore", b.String())
		must(t, err)
	}
}

// makeSets makes IP sets and an accounting object, where the kernel has such.
func makeSets(t testing.TB) {
	t.Helper()
	for name, family := range map[string]uint8{"set4": 2, "set6": 10} {
		timeout := uint32(100)
		err := vnl.IpsetCreate(name, "hash:ip,port", vnl.IpsetCreateOptions{Replace: true, Family: family, Timeout: &timeout, Counters: true, Skbinfo: true})
		if err != nil {
			t.Logf("no IP sets: %v", err)
		}
	}
	c, err := netlink.Dial(12, nil) // NETLINK_NETFILTER
	must(t, err)
	defer c.Close()
	body := append([]byte{0, 0, 0, 0}, 10, 0, 1, 0, 'a', 'c', 'c', 't', '1', 0, 0, 0) // nfgenmsg, NFACCT_NAME
	req := netlink.Message{Header: netlink.Header{Type: 7 << 8, Flags: netlink.Request | netlink.Create | netlink.Acknowledge}, Data: body}
	if _, err := c.Execute(req); err != nil {
		t.Logf("no accounting object: %v", err)
	}
}

// supported keeps the lines that the program and this kernel take.
func supported(t testing.TB, lines []ruleLine) []ruleLine {
	t.Helper()
	var list []ruleLine
	for _, l := range lines {
		if _, err := oracle(l.f, "-restore", fmt.Sprintf("*%s\n-A %s %s\nCOMMIT\n", l.table, l.chain, l.rule), "-n"); err != nil {
			t.Logf("not with this kernel: %v: %v", l, err)
			continue
		}
		list = append(list, l)
	}
	if len(list) < len(lines)*2/3 {
		t.Fatalf("only %d of %d rules are taken", len(list), len(lines))
	}
	return list
}

func diff(a, b string) string {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	var out []string
	for i := range max(len(x), len(y)) {
		var p, q string
		if i < len(x) {
			p = x[i]
		}
		if i < len(y) {
			q = y[i]
		}
		if p != q {
			out = append(out, fmt.Sprintf("theirs %s\nours   %s", p, q))
		}
		if len(out) == 12 {
			break
		}
	}
	return strings.Join(out, "\n")
}

func ourSave(t testing.TB, f Family, table string) string {
	t.Helper()
	tab, err := Open(f, table)
	must(t, err)
	defer tab.Close()
	var b bytes.Buffer
	unknown, err := tab.Save(&b, SaveOptions{Counters: true})
	must(t, err)
	if unknown != nil {
		t.Errorf("%s %s: not known: %v", f, table, unknown)
	}
	return b.String()
}

// compare holds every table of both families against the oracle.
func compare(t testing.TB) {
	t.Helper()
	for _, f := range []Family{IPv4, IPv6} {
		for _, table := range tableNames {
			theirs, err := oracle(f, "-save", "", "-c", "-t", table)
			must(t, err)
			if ours := ourSave(t, f, table); ours != theirs {
				t.Fatalf("%s %s:\n%s", f, table, diff(theirs, ours))
			}
		}
	}
}

// TestOracleEveryExtension: every rule of the list, loaded by the program, is
// printed by us as by it.
func TestOracleEveryExtension(t *testing.T) {
	if !nstest.Inside(t) {
		return
	}
	needOracle(t)
	prepare(t)
	lines := supported(t, ruleLines(t))
	t.Logf("%d rules", len(lines))
	compare(t)
}

// TestOracleRandomRulesets: a few hundred rules in random order, with counters
// and policies.
func TestOracleRandomRulesets(t *testing.T) {
	if !nstest.Inside(t) {
		return
	}
	needOracle(t)
	prepare(t)
	lines := supported(t, ruleLines(t))
	rounds := uint64(10)
	if os.Getenv("GARITA_SLOW") != "" {
		rounds = 2
	}
	for seed := range rounds {
		rnd := rand.New(rand.NewPCG(seed, 4))
		for f, text := range randomRulesets(rnd, lines) {
			_, err := oracle(Family(f), "-restore", text, "-c")
			must(t, err)
		}
		compare(t)
	}
}

var builtinChains = map[string][]string{
	"raw": {"PREROUTING", "OUTPUT"}, "mangle": hookNames[:], "nat": {"PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"},
	"filter": {"INPUT", "FORWARD", "OUTPUT"}, "security": {"INPUT", "FORWARD", "OUTPUT"},
}

// randomRulesets makes a file for iptables-restore for each family.
func randomRulesets(rnd *rand.Rand, lines []ruleLine) [2]string {
	var out [2]string
	for f := range out {
		var b strings.Builder
		for _, table := range tableNames {
			fmt.Fprintf(&b, "*%s\n", table)
			for _, c := range builtinChains[table] {
				policy := "ACCEPT"
				if rnd.IntN(4) == 0 && table != "nat" {
					policy = "DROP"
				}
				fmt.Fprintf(&b, ":%s %s [%d:%d]\n", c, policy, rnd.IntN(1000), rnd.IntN(1e6))
			}
			b.WriteString(":user1 - [0:0]\n:user2 - [0:0]\n")
			var own []string
			for range rnd.IntN(4) {
				own = append(own, fmt.Sprintf("c%d", rnd.IntN(1000000)))
				fmt.Fprintf(&b, ":%s - [0:0]\n", own[len(own)-1])
			}
			if table == "filter" {
				for _, n := range []string{"RE1", "RE2"} {
					fmt.Fprintf(&b, "[1:2] -A user2 -j RATEEST --rateest-name %s --rateest-interval 250ms --rateest-ewmalog 500ms\n", n)
				}
			}
			for range rnd.IntN(150) {
				l := lines[rnd.IntN(len(lines))]
				if l.table != table || l.f != Family(f) || strings.Contains(l.rule, "IDLETIMER") {
					continue
				}
				chain := l.chain
				if len(own) > 0 && rnd.IntN(5) == 0 && table == "filter" && (chain == "INPUT") && !strings.Contains(l.rule, "user") {
					chain = own[rnd.IntN(len(own))]
				}
				fmt.Fprintf(&b, "[%d:%d] -A %s %s\n", rnd.IntN(1000), rnd.Uint64N(1e12), chain, l.rule)
			}
			b.WriteString("COMMIT\n")
		}
		out[f] = b.String()
	}
	return out
}
