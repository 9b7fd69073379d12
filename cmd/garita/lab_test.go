package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/garita/garita/internal/lab"
)

// garitaProgram is garita as it runs on a host, which is not in a lab already.
func garitaProgram(args ...string) *exec.Cmd {
	cmd := command(args...)
	cmd.Env = slices.DeleteFunc(cmd.Env, func(s string) bool { return strings.HasPrefix(s, "GARITA_LAB_INSIDE=") })
	return cmd
}

func runGarita(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	cmd := garitaProgram(args...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	status, err := lab.ExitStatus(cmd.Run())
	if err != nil {
		t.Fatal(err)
	}
	return status, out.String(), errOut.String()
}

// The sample policy meets every verdict, over IPv4 and IPv6, and all goes as
// it says.
func TestLabSample(t *testing.T) {
	begin := time.Now()
	status, out, errOut := runGarita(t, "lab", "--json")
	if status != 0 || errOut != "" {
		t.Errorf("status %d, %s", status, errOut)
	}
	if d := time.Since(begin); d > 20*time.Second {
		t.Errorf("it took %v", d)
	}
	met := map[string]int{}
	n := 0
	for line := range strings.Lines(out) {
		var r labRecord
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		n++
		met[r.Verdict]++
		if len(r.Wrong) > 0 {
			t.Errorf("%s %s: %s", r.Sent, r.Server, r.Wrong)
		}
		if r.Verdict == "reject" && r.Outcome == "reset" && r.TookMS > 1000 {
			t.Errorf("%s: the reset took %v ms", r.Sent, r.TookMS)
		}
	}
	if n != len(lab.Exchanges()) {
		t.Errorf("%d lines for %d exchanges", n, len(lab.Exchanges()))
	}
	for _, v := range []string{"accept", "alert", "pass", "drop", "reject", "replace", "hold"} {
		if met[v] < 2 {
			t.Errorf("verdict %s was met %d times", v, met[v])
		}
	}
}

func TestLabTable(t *testing.T) {
	status, out, errOut := runGarita(t, "lab", "--rule", `drop udp any any -> any 7 (msg:"no hello"; content:"hello"; sid:42;)`)
	if status != 0 || errOut != "" {
		t.Errorf("status %d, %s", status, errOut)
	}
	found := 0
	for line := range strings.Lines(out) {
		f := strings.Join(strings.Fields(line), " ")
		if strings.HasPrefix(f, `echo/UDP "hello" IPv`) && strings.Contains(f, "drop 42 no hello nothing timed out -") {
			found++
		}
		if strings.Contains(f, " 42 ") && !strings.HasPrefix(f, `echo/UDP "hello"`) {
			t.Errorf("another exchange met the rule: %s", f)
		}
	}
	if found != 2 {
		t.Errorf("the rule is seen at work %d times, want 2:\n%s", found, out)
	}
}

func TestLabAndBadRules(t *testing.T) {
	file := filepath.Join(t.TempDir(), "my.rules")
	if err := os.WriteFile(file, []byte("# fine\nalert tcp any any -> any any (sid:1;)\ndrop tcp any -> any 80 (sid:2;)\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args   []string
		status int
		says   string
	}{
		{[]string{"lab", "--rules", file}, 1, file + ":3:"},
		{[]string{"lab", "--rule", `drop tcp any any -> any 80 (content:"evil"; sid:1;`}, 1, "--rule:1:"},
		{[]string{"lab", "--rule", `drop tcp any any -> any 80 (no.such.keyword; sid:1;)`, "--", "true"}, 1, "no.such.keyword"},
		{[]string{"lab", "--skip-bad", "--rule", `drop tcp any any -> any 80 (no.such.keyword; sid:1;)`, "--", "true"}, 0, "no.such.keyword"},
		{[]string{"lab", "--skip-bad", "--rules", file, "--", "true"}, 0, file + ":3:"},
		{[]string{"lab", "--rules", file + ".not"}, 2, "my.rules.not"},
		{[]string{"lab", "--rules", "/dev/null"}, 2, "regular"},
		{[]string{"lab", "curl"}, 2, "--"},
		{[]string{"lab", "--", "no-such-program-anywhere"}, 127, "no-such-program-anywhere"},
		{[]string{"lab", "--", file}, 126, "permission"},
	} {
		status, out, errOut := runGarita(t, c.args...)
		if status != c.status || !strings.Contains(errOut, c.says) || out != "" {
			t.Errorf("%q: status %d, %q, %q; want %d and %q", c.args, status, out, errOut, c.status, c.says)
		}
	}
}

func TestLabCommand(t *testing.T) {
	evil := `drop tcp any any -> any 80 (msg:"evil"; content:"GET /evil"; sid:77;)`
	for _, c := range []struct {
		args        []string
		status      int
		out, errOut string // part of it
	}{
		{[]string{"true"}, 0, "", ""},
		{[]string{"sh", "-c", "exit 9"}, 9, "", ""},
		{[]string{"sh", "-c", "kill -TERM $$"}, 128 + 15, "", ""},
		{[]string{"sh", "-c", "echo $GARITA_CLIENT $GARITA_SERVER $GARITA_CLIENT6 $GARITA_SERVER6"}, 0,
			"10.77.1.2 10.77.2.2 fd77:1::2 fd77:2::2\n", ""},
		{[]string{"echo", "http://$GARITA_SERVER/", "[$GARITA_SERVER6]"}, 0, "http://10.77.2.2/ [fd77:2::2]\n", ""},
		{[]string{"echo", "http:///evil"}, 0, "http://10.77.2.2/evil\n", "no host"},
		{[]string{"sh", "-c", "cat; echo to stderr >&2"}, 0, "from stdin", "to stderr"},
	} {
		cmd := garitaProgram(append([]string{"lab", "--rule", evil, "--"}, c.args...)...)
		var out, errOut bytes.Buffer
		cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader("from stdin"), &out, &errOut
		status, err := lab.ExitStatus(cmd.Run())
		if err != nil {
			t.Fatal(err)
		}
		if status != c.status || !strings.Contains(out.String(), c.out) || !strings.Contains(errOut.String(), c.errOut) {
			t.Errorf("%q: status %d, %q, %q", c.args, status, out.String(), errOut.String())
		}
		if strings.Contains(errOut.String(), "garita: drop") {
			t.Errorf("%q: dropped something: %s", c.args, errOut.String())
		}
	}
}

func TestLabCommandMeetsRules(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("curl is not installed")
	}
	rules := []string{"lab",
		"--rule", `drop tcp any any -> any 80 (msg:"evil"; content:"GET /evil"; sid:77;)`,
		"--rule", `reject tcp any any -> any 80 (msg:"forbidden"; content:"GET /forbidden"; sid:78;)`,
		"--rule", `alert tcp any 80 -> any any (msg:"fox"; content:"brown fox"; replace:"green cat"; sid:79;)`,
		"--", "curl", "-sS", "-m", "2"}
	for _, c := range []struct {
		url         string
		status      int // curl's: 28 timed out, 56 connection reset
		out, errOut string
	}{
		{"http://server/", 0, "Hello", ""},
		{"http://$GARITA_SERVER/evil", 28, "", "garita: drop tcp 10.77.1.2:"},
		{"http://[$GARITA_SERVER6]/evil", 28, "", "garita: drop tcp [fd77:1::2]:"},
		{"http:///evil", 28, "", "[77] evil"},
		{"http://$GARITA_SERVER/forbidden", 56, "", "[78] forbidden"},
		{"http://[$GARITA_SERVER6]/forbidden", 56, "", "[78] forbidden"},
		{"http://$GARITA_SERVER/page", 0, strings.Replace(lab.PageText, "brown fox", "green cat", 1), "garita: replace"},
		{"http://[$GARITA_SERVER6]/page", 0, strings.Replace(lab.PageText, "brown fox", "green cat", 1), "garita: replace"},
		{"http://any.name.example/", 0, "Hello", ""},
		{"http://a.nx/", 6, "", "resolve"},
	} {
		status, out, errOut := runGarita(t, append(rules, c.url)...)
		if status != c.status || !strings.Contains(out, c.out) || !strings.Contains(errOut, c.errOut) {
			t.Errorf("%s: status %d, %q, %q", c.url, status, out, errOut)
		}
	}
}

// A lab can be made in a lab.
func TestLabInLab(t *testing.T) {
	cmd := command("lab", "--rule", "drop udp any any -> any 7 (sid:1;)", "--", "true")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	cmd = command("lab", "--rule", "drop", "--", "true")
	if status, err := lab.ExitStatus(cmd.Run()); status != 1 || err != nil {
		t.Errorf("a bad rule inside: status %d, %v", status, err)
	}
}

// However the lab ends, what it started is dead.
func TestLabKilled(t *testing.T) {
	for _, sig := range []unix.Signal{unix.SIGKILL, unix.SIGTERM, unix.SIGINT} {
		cmd := garitaProgram("lab", "--", "sh", "-c", "setsid sleep 1000 & echo ready; sleep 1000")
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		r := bufio.NewReader(out)
		if line, err := r.ReadString('\n'); line != "ready\n" {
			t.Fatalf("%q, %v", line, err)
		}
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		// Standard output ends when nobody is left who has it open.
		ended := make(chan error, 1)
		go func() { _, err := io.Copy(io.Discard, r); ended <- err }()
		select {
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(10 * time.Second):
			t.Errorf("%v: something of the lab lives on", sig)
		}
		if err := cmd.Wait(); err == nil {
			t.Errorf("%v: ended with status 0", sig)
		}
	}
}
