package garita

import (
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/garita/garita"

// allowed is the import graph of ARCHITECTURE.md: what of ours a package may
// import, directly or not. A package that is not named here may import nothing
// of ours.
var allowed = map[string][]string{
	"packet":          nil,
	"app":             nil,
	"rule":            nil,
	"iptc":            nil,
	"internal/mpm":    nil,
	"internal/pcre":   nil,
	"internal/conf":   nil,
	"internal/nfnl":   nil,
	"internal/links":  {"internal/nfnl"},
	"nfqueue":         {"packet", "internal/nfnl"},
	"nflog":           {"packet", "internal/nfnl"},
	"afpacket":        {"packet", "internal/nfnl"},
	"flow":            {"packet"},
	"stream":          {"packet"},
	"ipq":             {"packet", "nfqueue", "internal/nfnl", "internal/links"},
	"internal/pcap":   {"packet"},
	"divert":          {"packet", "iptc", "internal/nfnl"},
	"internal/doctor": {"packet", "nfqueue", "divert", "iptc", "internal/nfnl"},
	"detect":          {"packet", "app", "rule", "internal/mpm", "internal/pcre"},
	"eve":             {"packet", "app", "rule", "detect", "internal/mpm", "internal/pcre"},
	"store":           nil,
	"internal/lab":    nil,
	"internal/nstest": nil,
	"policy":          {"rule"},
	"": {"packet", "app", "rule", "iptc", "nfqueue", "flow", "stream", "divert", "detect", "eve", "policy", "store",
		"internal/mpm", "internal/pcre", "internal/conf", "internal/pcap", "internal/nfnl", "internal/links"},
}

// free are the programs: they may import everything.
func free(p string) bool {
	return strings.HasPrefix(p, "cmd/") || p == "bench" || strings.HasPrefix(p, "bench/")
}

func TestImportsPointDown(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("the go command is not here: the import graph is checked where garita is built")
	}
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}}: {{join .Deps " "}}`, "./...").CombinedOutput()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, out)
	}
	local := func(p string) (string, bool) {
		if p == module {
			return "", true
		}
		return strings.CutPrefix(p, module+"/")
	}
	seen := 0
	for line := range strings.Lines(string(out)) {
		name, deps, ok := strings.Cut(strings.TrimSpace(line), ":")
		pkg, ours := local(name)
		if !ok || !ours || free(pkg) {
			continue
		}
		seen++
		may := map[string]bool{}
		for _, a := range allowed[pkg] {
			may[a] = true
		}
		for _, d := range strings.Fields(deps) {
			if dep, ours := local(d); ours && !may[dep] {
				t.Errorf("%s imports %s: imports point only down, see ARCHITECTURE.md", name, d)
			}
		}
	}
	if seen < 5 {
		t.Fatalf("only %d packages seen:\n%s", seen, out)
	}
}

// Libraries neither log, nor exit, nor register themselves.
func TestLibrariesKeepQuiet(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("the go command is not here")
	}
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}}: {{join .Imports " "}}`, "./...").CombinedOutput()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		name, imports, _ := strings.Cut(strings.TrimSpace(line), ":")
		if free(strings.TrimPrefix(name, module+"/")) {
			continue
		}
		for _, i := range strings.Fields(imports) {
			if i == "log/slog" && strings.HasSuffix(name, "/internal/lab") {
				continue // to tell its HTTP server to be quiet
			}
			if i == "log" || i == "log/slog" || i == "flag" || i == "C" {
				t.Errorf("%s imports %s", name, i)
			}
		}
	}
}
