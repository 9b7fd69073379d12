package garita

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/garita/garita/detect"
	"github.com/garita/garita/packet"
)

// alerts are the sids that one packet of the client raises now.
func alerts(t *testing.T, w *detect.Worker, e *Engine, payload string) (out []uint32) {
	t.Helper()
	w.Use(e.rules.Load())
	p := packet.Packet{Data: build(frame{proto: packet.ProtoUDP, payload: payload})}
	p.Decode()
	var o detect.Outcome
	w.Inspect(&detect.Input{Packet: &p}, &o)
	for _, a := range o.Alerts {
		out = append(out, a.Info.Sid)
	}
	slices.Sort(out)
	return out
}

// A reload takes what the configuration file and the files it names say now; a
// file that is wrong changes nothing; sets keep what rules put into them.
func TestReconfigure(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "garita.yaml")
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	yaml := func(home, stream string) {
		write("garita.yaml", `
vars:
  address-groups:
    HOME_NET: "`+home+`"
  port-groups:
    NAMES: "9999"
rule-files: [`+filepath.Join(dir, "a.rules")+`]
classification-file: `+filepath.Join(dir, "classes")+`
threshold-file: `+filepath.Join(dir, "thresholds")+`
reputation-categories-file: `+filepath.Join(dir, "cats")+`
reputation-files: [`+filepath.Join(dir, "scores")+`]
default-data-dir: `+dir+`
stream:
  memcap: `+stream+`
`)
	}
	write("a.rules", `alert udp any any -> $HOME_NET $NAMES (msg:"home"; content:"home"; classtype:mine; sid:1;)
alert udp any any -> any any (msg:"bad source"; content:"rep"; iprep:src,Bad,>,10; sid:2;)
alert udp any any -> any any (msg:"listed"; content:"lis"; startswith; dataset:isset,list,type string,load list.lst; sid:3;)
alert udp any any -> any any (msg:"seen"; content:"key"; startswith; dataset:set,seen,type string,state seen.lst; sid:4;)
alert udp any any -> any any (msg:"kept"; content:"own"; startswith; dataset:set,own,type string; sid:5;)
alert udp any any -> any any (msg:"suppressed"; content:"sup"; sid:6;)
`)
	write("classes", "config classification: mine,Mine,3\n")
	write("thresholds", "")
	write("cats", "1,Bad,bad ones\n")
	write("scores", "192.0.2.1,1,50\n")
	write("list.lst", "YQ==\n")
	yaml("10.9.0.0/16", "1mb")
	c, err := LoadConfig(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	e, err := newEngine(c.Config, true)
	if err != nil {
		t.Fatal(err)
	}
	if l := e.Loaded(); l.Kept != 6 {
		t.Fatal(l.Problems)
	}
	w := detect.NewWorker(e.rules.Load())
	check := func(when, payload string, want ...uint32) {
		t.Helper()
		if got := alerts(t, w, e, payload); !slices.Equal(got, want) {
			t.Errorf("%s, %q: %v, want %v", when, payload, got, want)
		}
	}
	check("at first", "home")
	check("at first", "rep")
	check("at first", "list")
	check("at first", "key", 4)
	check("at first", "own", 5)
	check("at first", "sup", 6)

	yaml("10.2.0.0/16", "2mb")
	write("classes", "config classification: mine,Mine,1\n")
	write("thresholds", "suppress gen_id 1, sig_id 6\n")
	write("scores", "10.1.0.2,1,50\n")
	write("list.lst", "bGlzdA==\n")
	now, err := LoadConfig(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Reconfigure(now.Config); err != nil {
		t.Fatal(err)
	}
	if got := c.Restart(now); !slices.Equal(got, []string{"stream"}) {
		t.Errorf("for the next start: %v", got)
	}
	if got := c.Restart(c); got != nil {
		t.Errorf("nothing changed, but %v", got)
	}
	for _, i := range e.Loaded().Set.Rules() {
		if i.Sid == 1 && i.Priority != 1 {
			t.Errorf("priority %d", i.Priority)
		}
	}
	again := func(when string) {
		t.Helper()
		check(when, "home", 1)
		check(when, "rep", 2)
		check(when, "list", 3)
		check(when, "key")
		check(when, "own")
		check(when, "sup")
	}
	again("after the reload")
	if b, err := os.ReadFile(filepath.Join(dir, "seen.lst")); err != nil || string(b) != "a2V5\n" {
		t.Errorf("the set that is saved holds %q, %v", b, err)
	}

	// What is wrong changes nothing, wherever it is.
	yaml("10.9.0.0/16, nowhere", "1mb")
	if _, err := LoadConfig(file, nil); err == nil {
		t.Error("a variable that is no address is taken")
	}
	yaml("10.9.0.0/16", "1mb")
	write("thresholds", "suppress everything\n")
	now, err = LoadConfig(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := errors.AsType[*RuleError](e.Reconfigure(now.Config)); !ok {
		t.Error("a wrong threshold file is taken")
	}
	again("after one that failed")
	if _, ok := errors.AsType[*RuleError](e.Reload()); !ok { // the files are still wrong
		t.Error("a wrong threshold file is taken by Reload")
	}
	write("thresholds", "suppress gen_id 1, sig_id 6\n")
	if err := e.Reload(); err != nil { // by the configuration that is in force
		t.Error(err)
	}
	again("after Reload")
}
