package main

import (
	"encoding/json"
	"fmt"
	"sort"

	"github.com/spf13/cobra"

	"github.com/garita/garita"
	"github.com/garita/garita/rule"
)

func checkCommand() *cobra.Command {
	var o common
	var summary, asJSON bool
	c := &cobra.Command{
		Use:   "check FILE...",
		Short: "Read rules and report everything that is wrong or not supported",
		Long: `check reads rule files as run would and reports every problem with file, line,
column and keyword. It exits with 0 if every rule is judged by, with 1 if one is
not.`,
		RunE: func(c *cobra.Command, args []string) error {
			o.rules = append(o.rules, args...)
			cfg, err := o.load(c.ErrOrStderr())
			if err != nil {
				return err
			}
			if len(cfg.Rules.Files)+len(cfg.Rules.Text) == 0 {
				return fmt.Errorf("check: give it rule files, or -c with a configuration that names some")
			}
			l, err := garita.LoadRules(cfg.Rules, cfg.Detect)
			if err != nil {
				return err
			}
			w := c.OutOrStdout()
			if asJSON {
				enc := json.NewEncoder(w)
				for _, p := range l.Problems {
					if err := enc.Encode(problem(p)); err != nil {
						return err
					}
				}
			} else if !summary {
				printProblems(w, l, 0)
			}
			refused, byKeyword := 0, map[string]int{}
			for _, p := range l.Problems {
				if p.Warning {
					continue
				}
				refused++
				what := p.Keyword
				if what == "" {
					what = "(head of the rule)"
				}
				if p.Unsupported {
					what += " not supported"
				} else {
					what += " not valid"
				}
				byKeyword[what]++
			}
			if !asJSON {
				fmt.Fprintf(w, "%d rules are judged by, %d are not\n", l.Kept, refused)
				if summary {
					var names []string
					for n := range byKeyword {
						names = append(names, n)
					}
					sort.Slice(names, func(i, j int) bool {
						if a, b := byKeyword[names[i]], byKeyword[names[j]]; a != b {
							return a > b
						}
						return names[i] < names[j]
					})
					for _, n := range names {
						fmt.Fprintf(w, "%8d  %s\n", byKeyword[n], n)
					}
				}
			}
			if refused > 0 {
				return exitWith(1)
			}
			return nil
		},
	}
	f := c.Flags()
	o.flags(f)
	f.StringArrayVarP(&o.rules, "rules", "S", nil, "rule `file` (repeatable)")
	f.BoolVar(&summary, "summary", false, "only count: how many rules are not judged by, and why")
	f.BoolVar(&asJSON, "json", false, "print one JSON object for each problem")
	return c
}

func problem(p *rule.Error) map[string]any {
	m := map[string]any{"file": p.File, "line": p.Line, "column": p.Col, "what": p.What, "unsupported": p.Unsupported, "warning": p.Warning}
	if p.Keyword != "" {
		m["keyword"] = p.Keyword
	}
	if p.Mend != "" {
		m["mend"] = p.Mend
	}
	if p.Sid != 0 {
		m["sid"] = p.Sid
	}
	return m
}
