// Package judge measures garita against Suricata on real rules and captures:
// the corpus that the environment variable GARITA_SHARED points to (a folder
// with corpus/ and tools/). Every figure is printed (go test -v) and held
// against floors.json, where figures only get better: who raises one writes the
// new figure down, and whoever falls below it finds out here.
package judge

import (
	"archive/tar"
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ulikunitz/xz"
)

// corpus returns the folder that holds corpus/ and tools/.
func corpus(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("GARITA_SHARED")
	if dir == "" {
		t.Skip("GARITA_SHARED does not name the folder with the corpus of rules and captures")
	}
	if _, err := os.Stat(filepath.Join(dir, "corpus", "et-open.rules.tar.xz")); err != nil {
		t.Skipf("no corpus: %v", err)
	}
	return dir
}

// bound is what a figure may be.
type bound struct {
	AtLeast *float64 `json:"at_least"`
	AtMost  *float64 `json:"at_most"`
}

// held prints a figure and fails if it is worse than in floors.json.
func held(t *testing.T, name string, value float64) {
	t.Helper()
	b, err := os.ReadFile("floors.json")
	if err != nil {
		t.Fatal(err)
	}
	floors := map[string]bound{}
	if err := json.Unmarshal(b, &floors); err != nil {
		t.Fatalf("floors.json: %v", err)
	}
	f, ok := floors[name]
	switch {
	case !ok || f.AtLeast == nil && f.AtMost == nil:
		t.Errorf("%s: %v; floors.json holds no bound for it", name, value)
	case f.AtLeast != nil && value < *f.AtLeast:
		t.Errorf("%s: %v, was at least %v", name, value, *f.AtLeast)
	case f.AtMost != nil && value > *f.AtMost:
		t.Errorf("%s: %v, was at most %v", name, value, *f.AtMost)
	case f.AtLeast != nil:
		t.Logf("%s: %v (at least %v)", name, value, *f.AtLeast)
	default:
		t.Logf("%s: %v (at most %v)", name, value, *f.AtMost)
	}
}

// bin is garita, built by TestMain; why says what kept it from being built.
var (
	bin string
	why error
)

func garita(t *testing.T) string {
	t.Helper()
	if errors.Is(why, exec.ErrNotFound) {
		t.Skip("the go command is not here to build garita with")
	}
	if why != nil {
		t.Fatal(why)
	}
	return bin
}

func TestMain(m *testing.M) { os.Exit(measure(m)) }

func measure(m *testing.M) int {
	if os.Getenv("GARITA_SHARED") == "" {
		return m.Run() // all of them skip
	}
	dir, err := os.MkdirTemp("", "garita-judge-")
	if err != nil {
		why = err
		return m.Run()
	}
	defer os.RemoveAll(dir)
	bin = filepath.Join(dir, "garita")
	if out, err := exec.Command("go", "build", "-o", bin, "github.com/garita/garita/cmd/garita").CombinedOutput(); err != nil {
		why = fmt.Errorf("go build: %w\n%s", err, out)
	}
	return m.Run()
}

// unpack unpacks corpus/name into a folder of its own: a tar archive, or a
// single file.
func unpack(t *testing.T, name string) string {
	t.Helper()
	f, err := os.Open(filepath.Join(corpus(t), "corpus", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := xz.NewReader(bufio.NewReaderSize(f, 1<<20))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	dir := t.TempDir()
	write := func(name string, r io.Reader) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		w, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(w, r); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	single, isTar := strings.CutSuffix(name, ".tar.xz")
	if !isTar {
		write(strings.TrimSuffix(single, ".xz"), r)
		return dir
	}
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if err == io.EOF {
			return dir
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if h.Typeflag == tar.TypeReg && filepath.IsLocal(h.Name) {
			write(h.Name, tr)
		}
	}
}

// rules are the rules of ET Open.
func rules(t *testing.T) string {
	t.Helper()
	found := ""
	err := filepath.WalkDir(unpack(t, "et-open.rules.tar.xz"), func(path string, _ os.DirEntry, err error) error {
		if strings.HasSuffix(path, ".rules") {
			found = path
		}
		return err
	})
	if err != nil || found == "" {
		t.Fatalf("no rules in the archive (%v)", err)
	}
	return found
}

// run runs garita and returns what it said.
func run(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command(garita(t), args...).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if err != nil {
		t.Logf("garita %s: %v\n%.2000s", args[0], err, out)
	}
	return string(out)
}

var judgedBy = regexp.MustCompile(`(\d+) rules are judged by, (\d+) are not`)

// All of ET Open loads, fast and in little memory.
func TestLoading(t *testing.T) {
	corpus(t)
	file, bin := rules(t), garita(t)
	best, most := time.Duration(0), int64(0)
	var out []byte
	// The fastest of some, and not more than the processor time it took: other
	// work on the machine is not what is measured.
	for i := range 3 {
		c := exec.Command(bin, "check", "--summary", file)
		began := time.Now()
		var err error
		if out, err = c.Output(); err != nil && c.ProcessState == nil {
			t.Fatal(err)
		}
		took := min(time.Since(began), c.ProcessState.UserTime()+c.ProcessState.SystemTime())
		if i == 0 || took < best {
			best = took
		}
		most = max(most, c.ProcessState.SysUsage().(*syscall.Rusage).Maxrss)
	}
	m := judgedBy.FindSubmatch(out)
	if m == nil {
		t.Fatalf("garita check says\n%.2000s", out)
	}
	n, _ := strconv.Atoi(string(m[1]))
	held(t, "ET Open: rules loaded", float64(n))
	held(t, "ET Open: seconds to load", best.Seconds())
	held(t, "ET Open: megabytes to load", float64(most>>10))
}

// alert is what is compared of a record.
type alert struct {
	Type  string     `json:"event_type"`
	Src   netip.Addr `json:"src_ip"`
	Dst   netip.Addr `json:"dest_ip"`
	Alert struct {
		SID uint32 `json:"signature_id"`
	} `json:"alert"`
}

// alerts calls f for every alert in the file.
func alerts(t *testing.T, file string, f func(*alert)) {
	t.Helper()
	b, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(b) {
		if !bytes.Contains(line, []byte(`"alert"`)) {
			continue
		}
		var a alert
		if err := json.Unmarshal(line, &a); err != nil {
			t.Fatalf("%s: %v: %s", file, err, line)
		}
		if a.Type == "alert" {
			f(&a)
		}
	}
}

func readJSON(t *testing.T, file string, to any) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(b, to)
	}
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

// pair is one rule on one flow or capture.
type pair struct {
	where string
	sid   uint32
}

// compare returns how many pairs of the truth are missed, and how many there
// are besides, and tells of some.
func compare(t *testing.T, want, got map[pair]int) (missed, extra int) {
	t.Helper()
	tell := func(word string, a, b map[pair]int) (n int) {
		keys := slices.SortedFunc(maps.Keys(a), func(x, y pair) int {
			return cmp.Or(cmp.Compare(x.sid, y.sid), cmp.Compare(x.where, y.where))
		})
		for _, p := range keys {
			if b[p] == 0 {
				if n++; n <= 20 {
					t.Logf("%s: sid %d in %s", word, p.sid, p.where)
				}
			}
		}
		return n
	}
	return tell("missed", want, got), tell("extra", got, want)
}

// One made conversation for each rule, and the same with one byte changed.
func TestMadeConversations(t *testing.T) {
	dir := corpus(t)
	file := rules(t)
	for _, c := range []struct{ name, capture string }{
		{"made conversations", "synth_dev"},
		{"made conversations, one byte changed", "synth_dev_mut"},
	} {
		t.Run(c.capture, func(t *testing.T) {
			t.Parallel()
			pcap := filepath.Join(unpack(t, c.capture+".pcap.xz"), c.capture+".pcap")
			out := t.TempDir()
			run(t, "replay", "--simulate-ips", "-k", "none", "-S", file, "-l", out, pcap)
			oracle := map[string][][2]uint32{}
			readJSON(t, filepath.Join(dir, "corpus", c.capture+"_ips_oracle.json"), &oracle)
			want, got := map[pair]int{}, map[pair]int{}
			for flow, sids := range oracle {
				for _, s := range sids {
					want[pair{flow, s[0]}] = int(s[1])
				}
			}
			alerts(t, filepath.Join(out, "eve.json"), func(a *alert) {
				// The flow's number is in the address 10.b.c.d of the client.
				flow := 0
				for _, ip := range []netip.Addr{a.Src, a.Dst} {
					if b := ip.As16(); ip.Is4() && b[12] == 10 {
						flow = int(b[13])<<16 | int(b[14])<<8 | int(b[15])
						break
					}
				}
				got[pair{strconv.Itoa(flow), a.Alert.SID}]++
			})
			missed, extra := compare(t, want, got)
			t.Logf("%d pairs of flow and rule", len(want))
			held(t, c.name+": missed", float64(missed))
			held(t, c.name+": extra", float64(extra))
		})
	}
}

// The whole of ET Open on real captures, inline.
func TestCaptures(t *testing.T) {
	dir := corpus(t)
	t.Parallel()
	var oracle struct {
		Sums  map[string]string      `json:"sha256"`
		Truth map[string][][2]uint32 `json:"any_ips"`
	}
	readJSON(t, filepath.Join(dir, "corpus", "et_oracle_dev.json"), &oracle)
	root, out := unpack(t, "et_dev_captures.tar.xz"), t.TempDir()
	args := []string{"replay", "--each", "--simulate-ips", "-k", "none", "--set", "vars.address-groups.HOME_NET=any",
		"--set", "vars.address-groups.EXTERNAL_NET=any", "-S", rules(t), "-l", out}
	captures := slices.Sorted(maps.Keys(oracle.Sums))
	for _, c := range captures {
		args = append(args, filepath.Join(root, c))
	}
	run(t, args...)
	want, got := map[pair]int{}, map[pair]int{}
	exact := 0
	for i, c := range captures {
		one := map[uint32]int{}
		alerts(t, filepath.Join(out, strconv.Itoa(i), "eve.json"), func(a *alert) { one[a.Alert.SID]++ })
		truth := map[uint32]int{}
		for _, s := range oracle.Truth[c] {
			truth[s[0]] = int(s[1])
			want[pair{c, s[0]}] = int(s[1])
		}
		for s, n := range one {
			got[pair{c, s}] = n
		}
		if maps.Equal(one, truth) {
			exact++
		} else {
			t.Logf("%s: %v, want %v", c, one, truth)
		}
	}
	missed, extra := compare(t, want, got)
	t.Logf("%d captures, %d pairs of capture and rule", len(captures), len(want))
	held(t, "captures: missed", float64(missed))
	held(t, "captures: extra", float64(extra))
	held(t, "captures: exactly equal", float64(exact))
}

var passed = regexp.MustCompile(`(\d+) of (\d+) passed`)

// suricata-verify's tests, by the harness that is part of the corpus.
func TestSuricataVerify(t *testing.T) {
	dir := corpus(t)
	if out, err := exec.Command("python3", "-c", "import yaml").CombinedOutput(); err != nil {
		t.Skipf("the harness needs python3 and its module yaml: %v %s", err, out)
	}
	root := unpack(t, "sv_dev.tar.xz")
	list, err := os.ReadFile(filepath.Join(dir, "corpus", "sv_dev.txt"))
	if err != nil {
		t.Fatal(err)
	}
	bin := garita(t)
	for _, c := range []struct {
		name   string
		evader bool
	}{{"suricata-verify without http-evader", false}, {"suricata-verify http-evader", true}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var names strings.Builder
			for l := range strings.Lines(string(list)) {
				if strings.Contains(l, "http-evader") == c.evader {
					names.WriteString(l)
				}
			}
			wanted := filepath.Join(t.TempDir(), "list")
			if err := os.WriteFile(wanted, []byte(names.String()), 0o644); err != nil {
				t.Fatal(err)
			}
			h := exec.Command("python3", filepath.Join(dir, "tools", "sv_harness.py"), "--tests", filepath.Join(root, "tests"), "--list", wanted,
				"--events", "alert,drop", "--engine", bin+" replay {args} {ips} {conf} -S {rules} -l {out} {pcap}")
			h.Dir = t.TempDir()
			out, err := h.Output()
			var exit *exec.ExitError
			if err != nil && !errors.As(err, &exit) {
				t.Fatal(err)
			}
			m := passed.FindSubmatch(out)
			if m == nil {
				t.Fatalf("the harness says\n%.2000s", out)
			}
			for l := range strings.Lines(string(out)) {
				if strings.HasPrefix(l, "FAIL") {
					t.Log(strings.TrimSpace(l))
				}
			}
			n, _ := strconv.Atoi(string(m[1]))
			t.Logf("%s", m[0])
			held(t, c.name+": passed", float64(n))
		})
	}
}
