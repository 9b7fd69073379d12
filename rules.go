package garita

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/garita/garita/detect"
	"github.com/garita/garita/rule"
)

// Rules says where rules come from. The zero value is no rules: nothing is
// dropped.
type Rules struct {
	// Files are rule files; names with *, ? or [ are patterns.
	Files []string
	// Text are rules given directly, one or more each.
	Text []string
	// Read reads a file; nil means os.ReadFile. A reload reads again.
	Read func(name string) ([]byte, error)
}

// RuleError is a set of rules that has problems.
type RuleError struct {
	Problems []*rule.Error
}

func (e *RuleError) Error() string {
	switch len(e.Problems) {
	case 0:
		return "no problems"
	case 1:
		return e.Problems[0].Error()
	}
	return fmt.Sprintf("%v (and %d more problems in the rules)", e.Problems[0], len(e.Problems)-1)
}

// Loaded is what loading made of rules.
type Loaded struct {
	Set *detect.Ruleset
	// Parsed counts the rules that are well formed, Kept those that are judged
	// by.
	Parsed, Kept int
	// Problems are all that is wrong, in the order of the files: rules that
	// were refused, and warnings.
	Problems []*rule.Error
}

// Refused says whether rules were left out.
func (l *Loaded) Refused() bool {
	for _, p := range l.Problems {
		if !p.Warning {
			return true
		}
	}
	return false
}

// Malformed says whether a rule was refused because it is not a rule, and not
// only because a keyword is not supported.
func (l *Loaded) Malformed() bool {
	for _, p := range l.Problems {
		if !p.Warning && !p.Unsupported {
			return true
		}
	}
	return false
}

// LoadRules reads and compiles rules. Every problem of every rule is reported
// in the result; the rules without one are in the set. The error is about
// files that cannot be read.
func LoadRules(src Rules, cfg detect.Config) (*Loaded, error) {
	read := src.Read
	if read == nil {
		read = os.ReadFile
	}
	files, err := expand(src.Files)
	if err != nil {
		return nil, err
	}
	l := &Loaded{}
	var all []rule.Rule
	add := func(name, text string) {
		rules, errs := rule.Parse(name, text, rule.Options{})
		all = append(all, rules...)
		l.Problems = append(l.Problems, errs...)
	}
	var errs []error
	for _, f := range files {
		b, err := read(f)
		if err != nil {
			errs = append(errs, fmt.Errorf("reading rules: %w", err))
			continue
		}
		add(f, string(b))
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	for i, t := range src.Text {
		name := "--rule"
		if len(src.Text) > 1 {
			name = fmt.Sprintf("--rule %d", i+1)
		}
		add(name, t)
	}
	l.Parsed = len(all)
	set, problems := detect.Compile(all, cfg)
	l.Set = set
	l.Kept = set.Stats().Rules
	l.Problems = append(l.Problems, problems...)
	return l, nil
}

// expand replaces patterns by the files they match.
func expand(names []string) ([]string, error) {
	var out []string
	for _, n := range names {
		if !strings.ContainsAny(n, "*?[") {
			out = append(out, n)
			continue
		}
		m, err := filepath.Glob(n)
		if err != nil {
			return nil, fmt.Errorf("rule files %q: %w", n, err)
		}
		if len(m) == 0 {
			return nil, fmt.Errorf("rule files %q: no file matches", n)
		}
		sort.Strings(m)
		out = append(out, m...)
	}
	return out, nil
}
