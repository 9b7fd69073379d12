package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// files writes files for a test and returns their folder.
func files(t *testing.T, content map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range content {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestCheckPolicy(t *testing.T) {
	dir := files(t, map[string]string{
		"some.rules": `alert tcp any any -> any 80 (msg:"one"; content:"a"; classtype:trojan-activity; sid:1; metadata:signature_severity Major;)
alert tcp any any -> any 80 (msg:"two"; content:"b"; classtype:misc-activity; sid:2;)
# alert tcp any any -> any 80 (msg:"three"; content:"c"; classtype:misc-activity; sid:3;)
alert tcp any any -> any 80 (msg:"four"; content:"d"; flowbits:set,x; noalert; classtype:misc-activity; sid:4;)
`,
		"policy.conf":  "reject metadata signature_severity Major\noff sid 99\n",
		"wrong.conf":   "dropp all\ndrop sid one\n",
		"drop.conf":    "2,4\n",
		"enable.conf":  "re:\"three\"\n",
		"disable.conf": "group:some\n",
		"modify.conf":  `2 "misc-activity" "trojan-activity"` + "\n",
	})
	in := func(name string) string { return filepath.Join(dir, name) }
	if err := os.WriteFile(in("garita.yaml"), []byte("rule-files: ["+in("some.rules")+"]\npolicy-files: "+in("policy.conf")+"\ndrop-conf: ["+in("drop.conf")+"]\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	rules := in("some.rules")
	for _, c := range []struct {
		args   []string
		status int
		want   []string // in this order
	}{
		{[]string{"--list", rules}, 0, []string{"alert      [1:1:0] one\nalert      [1:2:0] two\nalert      [1:4:0] four\n"}},
		{[]string{"--list", "--policy", in("policy.conf"), rules}, 0, []string{
			"policy.conf:2:1: warning: no rule matches this line", "reject     [1:1:0] one\nalert      [1:2:0] two\n"}},
		{[]string{"--list", "-c", in("garita.yaml")}, 0, []string{"reject     [1:1:0] one\ndrop       [1:2:0] two\nalert      [1:4:0] four\n"}},
		{[]string{"--list", "--enable-conf", in("enable.conf"), "--drop-conf", in("drop.conf"), rules}, 0, []string{
			"alert      [1:1:0] one\ndrop       [1:2:0] two\nalert      [1:3:0] three\nalert      [1:4:0] four\n"}},
		{[]string{"--list", "--disable-conf", in("disable.conf"), "--enable-conf", in("enable.conf"), rules}, 0, []string{"alert      [1:3:0] three\n"}},
		{[]string{"--list", "--json", "--drop-conf", in("drop.conf"), rules}, 0, []string{`"action":"alert"`, `"action":"drop"`, `"sid":2`}},
		{[]string{"--summary", "--policy", in("policy.conf"), "--modify-conf", in("modify.conf"), rules}, 0, []string{
			"policy.conf:2:1: warning", "3 rules are judged by, 0 are not\n", "before the policy: alert 3\nafter it:          alert 2, reject 1\n",
			"switched off 0, on 0; another action 1; edited 1\n", "trojan-activity  2      alert 1, reject 1\n", "Major        1      reject 1\n"}},
		{[]string{"--policy", in("wrong.conf"), rules}, 1, []string{"wrong.conf:1:1: unknown action \"dropp\"", "wrong.conf:2:10: \"one\" is not a number"}},
		{[]string{"--policy", in("missing.conf"), rules}, 2, []string{"reading the policy", "missing.conf"}},
	} {
		var out bytes.Buffer
		status := run(append([]string{"check"}, c.args...), nil, &out, &out)
		at := 0
		for _, w := range c.want {
			i := strings.Index(out.String()[at:], w)
			if i < 0 {
				t.Errorf("%q: no %q (in this order) in\n%s", c.args, w, out.String())
				break
			}
			at += i + len(w)
		}
		if status != c.status {
			t.Errorf("%q: status %d", c.args, status)
		}
	}
	// A wrong policy stops replay and run before anything is judged.
	for _, args := range [][]string{{"replay", "/dev/null"}, {"run"}} {
		var out bytes.Buffer
		status := run(append(args, "-S", rules, "--policy", in("wrong.conf")), nil, &out, &out)
		if status != 2 || strings.Count(out.String(), "wrong.conf:") < 2 {
			t.Errorf("%q: status %d\n%s", args, status, out.String())
		}
	}
}
