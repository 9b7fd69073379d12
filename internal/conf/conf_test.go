package conf

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const sample = `%YAML 1.1
---
vars:
  address-groups:
    HOME_NET: "[192.168.0.0/16,10.0.0.0/8]"
    EXTERNAL_NET: "!$HOME_NET"
default-rule-path: /etc/suricata/rules
rule-files:
  - suricata.rules
  - more.rules
outputs:
  - fast:
      enabled: yes
  - eve-log:
      enabled: yes
      types:
        - alert:
            payload: yes
        - dns
        - stats:
stream:
  memcap: 64mb
  inline: auto
`

func TestTree(t *testing.T) {
	n, err := Parse("x.yaml", []byte(sample))
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"vars.address-groups.HOME_NET":          "[192.168.0.0/16,10.0.0.0/8]",
		"rule-files.1":                          "more.rules",
		"outputs.1.eve-log.enabled":             "yes",
		"outputs.eve-log.types.0.alert.payload": "yes",
		"outputs.eve-log.types.1":               "dns",
		"stream.memcap":                         "64mb",
		"absent":                                "?",
		"stream.memcap.deeper":                  "?",
	} {
		if got := n.String(path, "?"); got != want {
			t.Errorf("%s = %q, want %q", path, got, want)
		}
	}
	if v, err := n.Size("stream.memcap", 0); v != 64<<20 || err != nil {
		t.Error(v, err)
	}
	if !n.Bool("outputs.1.eve-log.enabled", false) || n.Bool("nothing", false) {
		t.Error("booleans")
	}
	for _, kv := range []string{"stream.memcap=1gb", "outputs.1.eve-log.enabled=no", "new.section.key=7"} {
		if err := n.SetOption(kv); err != nil {
			t.Error(err)
		}
		k, v, _ := strings.Cut(kv, "=")
		if got := n.String(k, ""); got != v {
			t.Errorf("after --set %s: %q", kv, got)
		}
	}
	if n.SetOption("nothing") == nil {
		t.Error("an option without = passes")
	}
}

func TestErrors(t *testing.T) {
	for _, bad := range []string{"a: [1", "- just\n- a list", "text", "a: b: c", "\t- x"} {
		if _, err := Parse("bad.yaml", []byte(bad)); err == nil || !strings.Contains(err.Error(), "bad.yaml") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if n, err := Parse("empty", nil); err != nil || n == nil {
		t.Error(err)
	}
	if _, err := Load(t.TempDir() + "/absent"); !os.IsNotExist(err) {
		t.Error(err)
	}
	for _, s := range []string{"", "x", "12 parsecs", "1.2.3"} {
		if _, err := ParseSize(s); err == nil {
			t.Errorf("%q passes for a size", s)
		}
	}
}

// What is included stands where it is named, as Suricata's --dump-config shows it.
func TestInclude(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"main.yaml": "a: 1\nb:\n  x: 1\n  y: 2\ninclude: [one.yaml, two.yaml]\nvars: !include vars.yaml\n" +
			"c:\n  k: 0\n  include: in.yaml\n  l: 2\nd: [1, 2]\n",
		"one.yaml":      "%YAML 1.1\n---\nb:\n  z: 3\na: 7\nd:\n  - 9\n",
		"two.yaml":      "two: 2\na: 8\n",
		"vars.yaml":     "address-groups:\n  HOME_NET: any\ninclude: sub/deep.yaml\n",
		"sub/deep.yaml": "port-groups:\n  P: 80\n",
		"in.yaml":       "k: 5\nm: 6\n",
		"absent.yaml":   "include: nowhere.yaml\n",
		"self.yaml":     "include: self.yaml\n",
		"number.yaml":   "include: 7\n",
		"outer.yaml":    "include: broken.yaml\n",
		"broken.yaml":   "a: [1",
	} {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	n, err := Load(filepath.Join(dir, "main.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"a": "8", "b.x": "?", "b.y": "?", "b.z": "3", "d.0": "1", "d.1": "2", "two": "2",
		"vars.address-groups.HOME_NET": "any", "vars.port-groups.P": "80",
		"c.k": "5", "c.m": "6", "c.l": "2", "include": "?",
	} {
		if got := n.String(path, "?"); got != want {
			t.Errorf("%s = %q, want %q", path, got, want)
		}
	}
	for name, want := range map[string]string{
		"absent.yaml": "nowhere.yaml", "self.yaml": "include each other", "number.yaml": "number.yaml", "outer.yaml": "broken.yaml",
	} {
		if _, err := Load(filepath.Join(dir, name)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(sample)
	f.Add("a: {b: [c, d: e]}")
	f.Fuzz(func(t *testing.T, s string) {
		if strings.Contains(s, "include") {
			t.Skip("would read any file of this machine")
		}
		n, err := Parse("f", []byte(s))
		if err != nil {
			return
		}
		n.Set("a.b.c", "v")
		if n.String("a.b.c", "") != "v" {
			t.Fatalf("set value is not found in %q", s)
		}
	})
}
