package garita

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/garita/garita/divert"
	"github.com/garita/garita/packet"
)

func TestLoadConfig(t *testing.T) {
	file := filepath.Join(t.TempDir(), "garita.yaml")
	if err := os.WriteFile(file, []byte(`%YAML 1.1
---
vars:
  address-groups:
    HOME_NET: "[192.0.2.0/24]"
rule-files: [a.rules]
default-rule-path: /rules
af-packet:
  - interface: eth0
threading: {}
divert: {hooks: [input, forward], queue: 7, loopback: yes}
queue: {max-len: 2000, gso: no}
fail: {default: closed, overload: open}
stats: {interval: 3}
decoder: {ipip: {enabled: yes}}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := LoadConfig(file, []string{"divert.queue=9"})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(c.Rules.Files, []string{"/rules/a.rules"}) || c.Detect.Vars.Addresses["HOME_NET"] != "[192.0.2.0/24]" {
		t.Errorf("%v %v", c.Rules.Files, c.Detect.Vars)
	}
	if d := c.Divert; !slices.Equal(d.Hooks, []packet.Hook{packet.Input, packet.Forward}) || d.Queue != 9 || !d.Lifelines.DivertLoopback || d.Backend != divert.BackendAuto {
		t.Errorf("divert %+v", d)
	}
	want := FailAll(Closed)
	want.Overload = Open
	if c.MaxLen != 2000 || !c.NoGSO || c.Fail != want || c.StatsEvery != 3*time.Second || !c.IPIP {
		t.Errorf("%d %v %+v %v %v", c.MaxLen, c.NoGSO, c.Fail, c.StatsEvery, c.IPIP)
	}
	if !slices.Equal(c.Warnings, []string{"without effect here: af-packet, threading"}) {
		t.Errorf("warnings %q", c.Warnings)
	}
}

// TestLoadConfigRefuses: what would leave a host less protected than its owner
// believes is an error that names the setting.
func TestLoadConfigRefuses(t *testing.T) {
	for set, want := range map[string]string{
		"divert.hook=input":                              "divert.hook: no such setting",
		"divert.hooks=sideways":                          "divert.hooks",
		"fail=maybe":                                     "fail: ",
		"fail.crush=open":                                "fail.crush: no such setting",
		"queue.length=5":                                 "queue.length: no such setting",
		"queue.max-len=many":                             "max-len",
		"vars.address-groups.HOME_NET=[10.0.0.0/8":       "vars.address-groups.HOME_NET",
		"vars.address-groups.HOME_NET=300.1.1.1":         "vars.address-groups.HOME_NET",
		"vars.port-groups.HTTP_PORTS=http":               "vars.port-groups.HTTP_PORTS",
		"vars.address-groups.EXTERNAL_NET=!$NOT_DEFINED": "NOT_DEFINED",
		"stream.reassembly.memcap=lots":                  "stream.reassembly.memcap",
		"stream.midstream-policy=shrug":                  "stream.midstream-policy",
		"nothing":                                        "name=value",
	} {
		if _, err := LoadConfig("", []string{set}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", set, err, want)
		}
	}
}
