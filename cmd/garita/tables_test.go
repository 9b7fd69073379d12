package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/google/nftables"

	"github.com/garita/garita/internal/nstest"
	"github.com/garita/garita/iptc"
)

// garita runs the command in this process.
func tablesRun(t *testing.T, in string, want int, args ...string) (stdout, stderr string) {
	t.Helper()
	var out, errw bytes.Buffer
	if got := run(append([]string{"tables"}, args...), strings.NewReader(in), &out, &errw); got != want {
		t.Fatalf("tables %v: status %d, want %d\n%s", args, got, want, errw.String())
	}
	return out.String(), errw.String()
}

func withoutDates(s string) string {
	var b strings.Builder
	for line := range strings.Lines(s) {
		if !strings.HasPrefix(line, "#") {
			b.WriteString(line)
		}
	}
	return b.String()
}

func TestTablesCommand(t *testing.T) {
	if !nstest.Inside(t) {
		return
	}
	tab, err := iptc.Open(iptc.IPv4, "filter")
	if errors.Is(err, unix.ENOPROTOOPT) || errors.Is(err, unix.ENOENT) {
		t.Skipf("this kernel has no legacy tables: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	tab.Close()
	const file = `*filter
:INPUT DROP [7:700]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:own - [0:0]
[1:2] -A INPUT -p tcp -m tcp --dport 22 -j ACCEPT
[3:4] -A INPUT -i eth+ -m comment --comment "two words" -j own
COMMIT
`
	tablesRun(t, file, 0, "--restore", "-", "--counters")
	out, _ := tablesRun(t, "", 0, "filter")
	if withoutDates(out) != file {
		t.Errorf("restored and printed:\n%s", out)
	}
	if strings.Count(out, "# ") != 2 {
		t.Errorf("want two lines with dates:\n%s", out)
	}
	if path, err := exec.LookPath("iptables-legacy-save"); err == nil {
		theirs, err := exec.Command(path, "-c", "-t", "filter").Output()
		if err != nil || withoutDates(string(theirs)) != file {
			t.Errorf("iptables-legacy-save: %v\n%s", err, theirs)
		}
	}
	// Without --counters they are zero; --noflush adds; --test does nothing.
	tablesRun(t, "*filter\n[5:6] -A OUTPUT -j DROP\nCOMMIT\n", 0, "--restore", "-", "--noflush")
	tablesRun(t, "*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n", 0, "--restore", "-", "--test")
	out, _ = tablesRun(t, "", 0, "filter")
	if want := strings.Replace(file, "COMMIT\n", "[0:0] -A OUTPUT -j DROP\nCOMMIT\n", 1); withoutDates(out) != want {
		t.Errorf("after --noflush and --test:\n%s", out)
	}
	_, errw := tablesRun(t, "*filter\n-A OUTPUT -j nowhere\nCOMMIT\n", 2, "--restore", "-")
	if !strings.Contains(errw, "-: line 2:") {
		t.Errorf("no position: %s", errw)
	}
	var doc jsonTable
	out, _ = tablesRun(t, "", 0, "filter", "--json")
	if err := json.Unmarshal([]byte(out), &doc); err != nil {
		t.Fatal(err)
	}
	if doc.Table != "filter" || len(doc.Chains) != 4 || doc.Chains[0].Policy != "DROP" || doc.Chains[0].Rules[1].Target != "own" ||
		doc.Chains[3].Refs != 1 {
		t.Errorf("%+v", doc)
	}
	tablesRun(t, "", 2, "nosuch")
	tablesRun(t, "", 2, "--noflush")
}

func TestTablesHooks(t *testing.T) {
	if !nstest.Inside(t) {
		return
	}
	c, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	table := c.AddTable(&nftables.Table{Name: "own", Family: nftables.TableFamilyINet})
	drop := nftables.ChainPolicyDrop
	c.AddChain(&nftables.Chain{Name: "early", Table: table, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookInput,
		Priority: nftables.ChainPriorityRef(-161), Policy: &drop})
	if err := c.Flush(); err != nil {
		t.Skipf("this kernel has no nf_tables here: %v", err)
	}
	legacy := true
	for _, table := range []string{"filter", "raw"} {
		tab, err := iptc.Open(iptc.IPv4, table)
		if err != nil {
			t.Logf("only nftables are drawn: %v", err)
			legacy = false
			break
		}
		tab.Close()
	}
	if _, err := iptc.Names(iptc.IPv4); errors.Is(err, os.ErrPermission) {
		legacy = false // the list belongs to who made the namespace
	}
	out, errw := tablesRun(t, "", 0, "hooks")
	at := -1
	want := []string{"\nINPUT", "nft inet", "early", "else drop", "takes in new flows", "\nOUTPUT"}
	if legacy {
		want = []string{"\nPREROUTING", "put together", "raw PREROUTING", "looks up", "\nINPUT", "-161", "early", "filter INPUT", "\nOUTPUT"}
	}
	for _, s := range want {
		i := strings.Index(out[at+1:], s)
		if i < 0 {
			t.Fatalf("%q is missing or in the wrong place:\n%s%s", s, out, errw)
		}
		at += 1 + i
	}
	out, _ = tablesRun(t, "", 0, "hooks", "--svg")
	for d := xml.NewDecoder(strings.NewReader(out)); ; {
		if _, err := d.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatalf("no XML: %v", err)
		}
	}
	for _, s := range []string{"early", "PREROUTING", "POSTROUTING"} {
		if !strings.Contains(out, s) {
			t.Errorf("the drawing lacks %s", s)
		}
	}
	var doc map[string][]hookEntry
	out, _ = tablesRun(t, "", 0, "hooks", "--json")
	if err := json.Unmarshal([]byte(out), &doc); err != nil || len(doc["input"]) == 0 {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestHooksOrder: priorities are signed, landmarks stand first, equals keep
// their order.
func TestHooksOrder(t *testing.T) {
	var m hookMap
	for _, e := range []hookEntry{{Priority: 10, Chain: "d"}, {Priority: -5, Chain: "b"}, {Priority: -5, Chain: "c"}, {Priority: -5, Kind: "kernel", Chain: "a"}} {
		m.add(hookIn, e)
	}
	m.add(99, hookEntry{Chain: "nowhere"})
	m.sort()
	var s string
	for _, e := range m[hookIn] {
		s += e.Chain
	}
	if s != "abcd" {
		t.Error(s)
	}
}
