package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/pflag"

	"github.com/garita/garita"
	"github.com/garita/garita/eve"
)

// common are the options that run and replay share.
type common struct {
	config string
	set    []string
	rules  []string
	texts  []string
	logDir string
}

func (o *common) flags(f *pflag.FlagSet) {
	f.StringVarP(&o.config, "config", "c", "", "configuration `file` (a suricata.yaml is fine)")
	f.StringArrayVar(&o.set, "set", nil, "override one setting, `name=value` with dots between sections (repeatable)")
	f.StringArrayVar(&o.texts, "rule", nil, "judge by this `rule` (repeatable)")
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
	return c, nil
}

// openLog opens the record file in dir. wait makes packets wait for the disk
// rather than lose records.
func openLog(c *garita.FileConfig, dir string, wait bool) error {
	name := c.EveFile
	if name == "" {
		name = "eve.json"
	}
	if !filepath.IsAbs(name) {
		name = filepath.Join(dir, name)
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	w, err := eve.OpenFile(name, wait)
	if err != nil {
		return err
	}
	c.Log = w
	return nil
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
