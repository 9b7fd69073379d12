package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/garita/garita"
	"github.com/garita/garita/detect"
	"github.com/garita/garita/rule"
)

const checkLong = `check reads rule files as run would and reports every problem with file, line,
column and keyword. It exits with 0 if every rule is judged by, with 1 if one is
not.

From alert to drop: published rules only alert. A policy file says which of them
drop, reject, pass or are off, and check shows what comes of it. One line is an
action (drop, reject, rejectdst, rejectboth, pass, alert, off, on) and matchers,
which must all hold:

    # what is known to be bad ends here
    drop    classtype trojan-activity,command-and-control
    drop    metadata signature_severity Major,Critical  metadata confidence High
    reject  protocol http  msg "ET SCAN *"
    alert   sid 2019401,2019410-2019415    # not sure about these
    off     group emerging-games,emerging-chat.rules

Every line is tried, and the last one that matches a rule decides: the general
first, the exception below it. Matchers are all, sid, group (or file: the rule
file's name), filename, classtype, metadata KEY VALUE, msg, protocol, action, re
(a regular expression over the rule's text) and not; behind a comma stand
alternatives. "on" takes in rules that are commented out.

A rule that never alerts (noalert) only takes note for others, and a rule that
says pass is somebody's exception: only a line that names its sid changes these.

The files of suricata-update are read as they are: --disable-conf, --enable-conf,
--drop-conf, --modify-conf, in this order, and then --policy. In a configuration
file the keys are policy-files, disable-conf, enable-conf, drop-conf, modify-conf.`

type checkOptions struct {
	common
	summary, list, json bool
}

func checkCommand() *cobra.Command {
	var o checkOptions
	c := &cobra.Command{
		Use:   "check FILE...",
		Short: "Read rules and a policy, and report everything that is wrong or not supported",
		Long:  checkLong,
		Example: `  garita check my.rules
  garita check --summary --policy policy.conf emerging-all.rules
  garita check --list --drop-conf drop.conf emerging-all.rules | grep '^drop'`,
		RunE: func(c *cobra.Command, args []string) error {
			o.rules = append(o.rules, args...)
			return o.run(c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	f := c.Flags()
	o.flags(f)
	f.StringArrayVarP(&o.rules, "rules", "S", nil, "rule `file` (repeatable)")
	f.BoolVar(&o.summary, "summary", false, "only count: how many rules are not judged by, and why; actions by classtype and severity")
	f.BoolVar(&o.list, "list", false, "print the rules that are judged by, with the action they have; problems go to standard error")
	f.BoolVar(&o.json, "json", false, "print one JSON object for each problem, with --list for each rule")
	return c
}

func (o *checkOptions) run(w, errw io.Writer) error {
	cfg, err := o.load(errw)
	if err != nil {
		return err
	}
	if len(cfg.Rules.Files)+len(cfg.Rules.Text) == 0 {
		return fmt.Errorf("check: give it rule files, or -c with a configuration that names some")
	}
	problems := w
	if o.list {
		problems = errw
	}
	l, err := garita.LoadRules(cfg.Rules, cfg.Detect)
	var bad *garita.RuleError
	if errors.As(err, &bad) {
		// The policy is wrong; without it there is nothing to show.
		if err := o.tell(problems, bad.Problems); err != nil {
			return err
		}
		return exitWith(1)
	}
	if err != nil {
		return err
	}
	said := l.Problems
	if o.summary && !o.list && !o.json {
		said = l.Policy.Problems
	}
	if err := o.tell(problems, said); err != nil {
		return err
	}
	if o.list {
		err = o.printRules(w, l)
	} else if !o.json {
		err = o.count(w, l, len(cfg.Rules.Policy) > 0)
	}
	if err == nil && l.Refused() {
		return exitWith(1)
	}
	return err
}

func (o *checkOptions) tell(w io.Writer, problems []*rule.Error) error {
	enc := json.NewEncoder(w)
	for _, p := range problems {
		var err error
		if o.json && !o.list {
			err = enc.Encode(problem(p))
		} else {
			_, err = fmt.Fprintln(w, p)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// count prints how many rules there are, and of what kind.
func (o *checkOptions) count(w io.Writer, l *garita.Loaded, policy bool) error {
	refused, why := 0, map[string]int{}
	for _, p := range l.Problems {
		if p.Warning || p.More {
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
		why[what]++
	}
	fmt.Fprintf(w, "%d rules are judged by, %d are not\n", l.Kept, refused)
	if o.summary {
		for _, n := range byCount(why) {
			fmt.Fprintf(w, "%8d  %s\n", why[n], n)
		}
	}
	if policy {
		r := &l.Policy
		fmt.Fprintf(w, "before the policy: %s\nafter it:          %s\n", actions(r.Before), actions(r.After))
		fmt.Fprintf(w, "switched off %d, on %d; another action %d; edited %d\n", r.TurnedOff, r.TurnedOn, r.Changed, r.Modified)
		if n := len(r.ForFlowbits); n > 0 {
			fmt.Fprintf(w, "%d rules that are off are in force without alert, because others test the bits they set: %s\n", n, someSids(r.ForFlowbits))
		}
	}
	if !o.summary {
		return nil
	}
	rules := l.Set.Rules()
	if err := table(w, "classtype", rules, func(i *detect.Info) string { return i.Classtype }); err != nil {
		return err
	}
	return table(w, "severity", rules, func(i *detect.Info) string {
		for _, p := range i.Metadata {
			if p.Key == "signature_severity" {
				return p.Value
			}
		}
		return ""
	})
}

func byCount(m map[string]int) []string {
	names := make([]string, 0, len(m))
	for n := range m {
		names = append(names, n)
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(m[b]-m[a], cmp.Compare(a, b)) })
	return names
}

// actions is "alert 20, drop 3".
func actions(m map[rule.Action]int) string {
	var out []string
	for a := rule.Alert; a <= rule.Config; a++ {
		if m[a] > 0 {
			out = append(out, fmt.Sprintf("%v %d", a, m[a]))
		}
	}
	if out == nil {
		return "no rules"
	}
	return strings.Join(out, ", ")
}

func someSids(sids []uint32) string {
	const most = 10
	s := strings.Trim(fmt.Sprint(sids[:min(most, len(sids))]), "[]")
	if len(sids) > most {
		s += " …"
	}
	return s
}

// table counts actions by what of says of a rule, the largest row first.
func table(w io.Writer, name string, rules []*detect.Info, of func(*detect.Info) string) error {
	total, counts := map[string]int{}, map[string]map[rule.Action]int{}
	for _, i := range rules {
		k := of(i)
		if k == "" {
			k = "(none)"
		}
		if counts[k] == nil {
			counts[k] = map[rule.Action]int{}
		}
		counts[k][i.Action]++
		total[k]++
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "\nby %s\trules\tactions\n", name)
	for _, k := range byCount(total) {
		fmt.Fprintf(t, "%s\t%d\t%s\n", k, total[k], actions(counts[k]))
	}
	return t.Flush()
}

// printRules lists the rules in force by their numbers.
func (o *checkOptions) printRules(w io.Writer, l *garita.Loaded) error {
	rules := l.Set.Rules()
	slices.SortFunc(rules, func(a, b *detect.Info) int {
		return cmp.Or(cmp.Compare(a.Gid, b.Gid), cmp.Compare(a.Sid, b.Sid))
	})
	enc := json.NewEncoder(w)
	for _, i := range rules {
		var err error
		if o.json {
			err = enc.Encode(map[string]any{"gid": i.Gid, "sid": i.Sid, "rev": i.Rev, "action": i.Action.String(), "msg": i.Msg,
				"classtype": i.Classtype, "noalert": i.NoAlert, "file": i.File, "line": i.Line})
		} else {
			_, err = fmt.Fprintf(w, "%-10s [%d:%d:%d] %s\n", i.Action, i.Gid, i.Sid, i.Rev, i.Msg)
		}
		if err != nil {
			return err
		}
	}
	return nil
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
