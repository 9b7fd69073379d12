package detect

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/garita/garita/rule"
)

func TestDatasets(t *testing.T) {
	dir := t.TempDir()
	for name, data := range map[string]string{
		"names.lst": "YmFk\nd29yc2U=\n", "rep.lst": "YmFk,250\nd29yc2U=,10\n", "sums.lst": "bae60998ffe4923b131e3d6e4c19993e\n",
		"broken.lst": "YmFk\n%%%\n", "addrs.lst": "10.0.0.1\n2001:db8::1\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg := Config{ReadFile: os.ReadFile, DataDir: dir, Datasets: []DatasetConfig{{Name: "declared", Type: "string", Load: "names.lst"}}}
	for _, c := range []struct {
		opts, payload string
		want          bool
	}{
		{"dataset:isset,a,type ip,load addrs.lst;", "", true},
		{"dataset:isnotset,a,type ip,load addrs.lst;", "", false},
		{"dataset:isset,s,type md5,load sums.lst;", "", false}, // an address is no sum
	} {
		set := compile(t, cfg, `alert ip any any -> any any (ip.src; `+c.opts+` sid:1;)`)
		if got := len(sids(t, set, &Input{Packet: pkt(17, c.payload)})) == 1; got != c.want {
			t.Errorf("%s: %v", c.opts, got)
		}
	}
	// The payload is a buffer as well.
	for _, c := range []struct {
		opts, payload string
		want          bool
	}{
		{"dataset:isset,n,type string,load names.lst;", "bad", true},
		{"dataset:isset,n,type string,load names.lst;", "good", false},
		{"dataset:isset,declared;", "worse", true},
		{"datarep:r,>,200,type string,load rep.lst;", "bad", true},
		{"datarep:r,>,200,type string,load rep.lst;", "worse", false},
	} {
		set := compile(t, cfg, `alert udp any any -> any any (`+c.opts+` sid:1;)`)
		if got := len(sids(t, set, &Input{Packet: pkt(17, c.payload)})) == 1; got != c.want {
			t.Errorf("%s on %q: %v", c.opts, c.payload, got)
		}
	}
	// What one rule adds another finds; adding again is no match.
	set := compile(t, cfg, `alert udp any any -> any any (dataset:set,seen,type string; sid:1;)`)
	w := NewWorker(set)
	var o Outcome
	for i, want := range []int{1, 0} {
		if w.Inspect(&Input{Packet: pkt(17, "x")}, &o); len(o.Alerts) != want {
			t.Errorf("packet %d: %d alerts", i, len(o.Alerts))
		}
	}
	for _, bad := range []string{"dataset:isset,b,type string,load broken.lst;", "dataset:isset,m,type string,load missing.lst;", "dataset:isset,untyped;"} {
		rs, _ := rule.Parse("f", `alert udp any any -> any any (content:"a"; `+bad+` sid:1;)`, rule.Options{})
		if _, problems := Compile(rs, cfg); len(problems) != 1 || problems[0].Keyword != "dataset" {
			t.Errorf("%s: %v", bad, problems)
		}
	}
}

// What rules add is saved, is read again, and can be taken back.
func TestDatasetsSaved(t *testing.T) {
	dir := t.TempDir()
	cfg := Config{ReadFile: os.ReadFile, DataDir: dir}
	const set = `alert udp any any -> any any (dataset:set,seen,type string,state s/seen.lst; sid:1;)`
	rs := compile(t, cfg, set)
	var o Outcome
	NewWorker(rs).Inspect(&Input{Packet: pkt(17, "x")}, &o)
	save := func(name string, lines []byte) error {
		_ = os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o700)
		return os.WriteFile(filepath.Join(dir, name), lines, 0o600)
	}
	if err := rs.SaveDatasets(save); err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(filepath.Join(dir, "s/seen.lst")); string(b) != "eA==\n" {
		t.Fatalf("saved %q", b)
	}
	again := compile(t, cfg, set)
	w := NewWorker(again)
	for i, want := range []int{0, 0, 1, 0} {
		if i == 2 {
			w.Inspect(&Input{Packet: pkt(17, "y")}, &o)
			again.ResetDatasets() // y goes, x was read and stays
		}
		payload := "x"
		if i == 2 {
			payload = "y"
		}
		if w.Inspect(&Input{Packet: pkt(17, payload)}, &o); len(o.Alerts) != want {
			t.Errorf("packet %d: %d alerts", i, len(o.Alerts))
		}
	}
	rsBad, _ := rule.Parse("f", `alert udp any any -> any any (dataset:set,a,type string,save ../a.lst; sid:1;)`, rule.Options{})
	if _, problems := Compile(rsBad, cfg); len(problems) != 1 {
		t.Errorf("a set may be saved outside of the data directory: %v", problems)
	}
}
