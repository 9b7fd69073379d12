package garita

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"github.com/garita/garita/detect"
	"github.com/garita/garita/policy"
	"github.com/garita/garita/rule"
)

// Rules says where rules come from. The zero value is no rules: nothing is
// dropped.
type Rules struct {
	// Files are rule files; names with *, ? or [ are patterns.
	Files []string
	// Text are rules given directly, one or more each.
	Text []string
	// Policy are the files that say what is done with which rules, see
	// package policy. A file without Text is read by its name.
	Policy []policy.File
	// Thresholds is the name of a threshold.config, "" for none. What it says
	// replaces the Thresholds of detect.Config.
	Thresholds string
	// Read reads a file; nil means os.ReadFile. A reload reads all of them
	// again.
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
	return fmt.Sprintf("%v (and %d more problems)", e.Problems[0], len(e.Problems)-1)
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
	// Policy says what the policy files changed.
	Policy policy.Report
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
// files that cannot be read; it is a *RuleError if policy files or the
// threshold file are wrong: nobody wants rules to be judged by half a policy.
func LoadRules(src Rules, cfg detect.Config) (*Loaded, error) {
	l, err := ReadRules(src)
	if err != nil {
		return nil, err
	}
	if src.Thresholds != "" {
		b, err := src.read(src.Thresholds)
		if err != nil {
			return nil, fmt.Errorf("reading the threshold file: %w", err)
		}
		entries, errs := detect.ParseThresholds(src.Thresholds, string(b), cfg.Vars)
		if len(errs) > 0 {
			return nil, &RuleError{Problems: errs}
		}
		cfg.Thresholds = entries
	}
	return l.Compile(cfg), nil
}

func (r *Rules) read(name string) ([]byte, error) {
	if r.Read != nil {
		return r.Read(name)
	}
	return os.ReadFile(name)
}

// RuleList is rules as they were read, with the policy applied.
type RuleList struct {
	// Rules are those in force that are well formed.
	Rules []rule.Rule
	// Problems are what is wrong with the others, and warnings.
	Problems []*rule.Error
	// Policy says what the policy files changed.
	Policy policy.Report
}

// ReadRules is the first half of LoadRules: it reads and applies the policy.
func ReadRules(src Rules) (*RuleList, error) {
	files, err := expand(src.Files)
	if err != nil {
		return nil, err
	}
	var errs []error
	said := make([]policy.File, len(src.Policy))
	for i, f := range src.Policy {
		if f.Text == "" {
			b, err := src.read(f.Name)
			if err != nil {
				errs = append(errs, fmt.Errorf("reading the policy: %w", err))
				continue
			}
			f.Text = string(b)
		}
		said[i] = f
	}
	pol, bad := policy.Load(said)
	if len(bad) > 0 {
		errs = append(errs, &RuleError{Problems: bad})
	}
	l := &RuleList{}
	var all []rule.Rule
	add := func(name, text string) {
		rules, errs := rule.Parse(name, text, rule.Options{Disabled: pol.WantsDisabled()})
		if all == nil {
			all = rules
		} else {
			all = append(all, rules...)
		}
		l.Problems = append(l.Problems, errs...)
	}
	for _, f := range files {
		b, err := src.read(f)
		if err != nil {
			errs = append(errs, fmt.Errorf("reading rules: %w", err))
			continue
		}
		if len(errs) == 0 {
			add(f, string(b))
		}
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
	l.Rules, l.Policy = pol.Apply(all)
	return l, nil
}

// Compile is the second half of LoadRules.
func (l *RuleList) Compile(cfg detect.Config) *Loaded {
	set, problems := detect.Compile(l.Rules, cfg)
	out := &Loaded{Set: set, Parsed: len(l.Rules), Kept: set.Stats().Rules, Policy: l.Policy}
	out.Problems = slices.Concat(l.Problems, problems, l.Policy.Problems)
	return out
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

// saveDatasets writes the sets that rules save into dir, if there is one.
func saveDatasets(rs *detect.Ruleset, dir string) error {
	if dir == "" {
		return nil
	}
	return rs.SaveDatasets(func(name string, lines []byte) error {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return fmt.Errorf("saving a dataset: %w", err)
		}
		// A half-written set would be refused at the next start, and the end may
		// come in the middle of a reload.
		f, err := os.CreateTemp(filepath.Dir(name), ".dataset-*")
		if err != nil {
			return fmt.Errorf("saving a dataset: %w", err)
		}
		_, err = f.Write(lines)
		if err = errors.Join(err, f.Close()); err == nil {
			err = os.Rename(f.Name(), name)
		}
		if err != nil {
			_ = os.Remove(f.Name())
			return fmt.Errorf("saving a dataset: %w", err)
		}
		return nil
	})
}
