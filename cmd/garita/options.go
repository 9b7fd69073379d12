package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/garita/garita"
	"github.com/garita/garita/policy"
)

// common are the options that run and replay share.
type common struct {
	config string
	set    []string
	rules  []string
	texts  []string
	logDir string
	data   string
	policy policyFlags
}

// policyFlags are the files that say what is done with which rules.
type policyFlags [5]struct {
	kind  policy.Kind
	files []string
}

func (p *policyFlags) flags(f *pflag.FlagSet) {
	for i, g := range [len(p)]struct {
		kind       policy.Kind
		name, what string
	}{
		{policy.Own, "policy", "what is done with which rules: a policy `file` (repeatable; see garita check --help)"},
		{policy.Disable, "disable-conf", "switch off the rules in this `file` of suricata-update's kind (repeatable)"},
		{policy.Enable, "enable-conf", "switch on the rules in this `file`, also those commented out (repeatable)"},
		{policy.Drop, "drop-conf", "turn the rules in this `file` from alert to drop (repeatable)"},
		{policy.Modify, "modify-conf", "edit rules as this `file` says (repeatable)"},
	} {
		p[i].kind = g.kind
		f.StringArrayVar(&p[i].files, g.name, nil, g.what)
	}
}

// list is the files that were given.
func (p *policyFlags) list() (out []policy.File) {
	for i := range p {
		for _, name := range p[i].files {
			out = append(out, policy.File{Kind: p[i].kind, Name: name})
		}
	}
	return out
}

func (o *common) flags(f *pflag.FlagSet) {
	f.StringVarP(&o.config, "config", "c", "", "configuration `file` (a suricata.yaml is fine)")
	f.StringArrayVar(&o.set, "set", nil, "override one setting, `name=value` with dots between sections (repeatable)")
	f.StringArrayVar(&o.texts, "rule", nil, "judge by this `rule` (repeatable)")
	f.StringVar(&o.data, "data-dir", "", "`directory` where rules save datasets (default-data-dir)")
	o.policy.flags(f)
}

// load reads the configuration and puts the options on top. Warnings go to
// errw.
func (o *common) load(errw io.Writer) (*garita.FileConfig, error) {
	c, err := garita.LoadConfig(o.config, o.set)
	if err != nil {
		return nil, err
	}
	for _, w := range c.Warnings {
		fmt.Fprintln(errw, "garita: warning:", w)
	}
	if len(o.rules) > 0 || len(o.texts) > 0 {
		// As Suricata's -S: these and no others.
		c.Rules.Files = o.rules
	}
	c.Rules.Text = o.texts
	if o.data != "" {
		c.Detect.DataDir = o.data
	}
	c.Rules.Policy = append(c.Rules.Policy, o.policy.list()...)
	return c, nil
}

// noWords refuses words that belong to no option, which mostly are rule files
// of a pattern that the shell expanded.
func noWords(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return fmt.Errorf("%q belongs to no option (has the shell expanded a pattern? quote it: --rules '/etc/garita/*.rules')", args[0])
}

// printProblems lists what is wrong with rules, at most max lines of it (0: all
// of them).
func printProblems(w io.Writer, l *garita.Loaded, max int) {
	for i, p := range l.Problems {
		if max > 0 && i == max {
			fmt.Fprintf(w, "garita: … and %d more problems; garita check lists them all\n", len(l.Problems)-max)
			return
		}
		fmt.Fprintln(w, p)
	}
}
