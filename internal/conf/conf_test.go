package conf

import (
	"os"
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

func FuzzParse(f *testing.F) {
	f.Add(sample)
	f.Add("a: {b: [c, d: e]}")
	f.Fuzz(func(t *testing.T, s string) {
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
