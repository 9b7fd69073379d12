package main

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/garita/garita/iptc"
)

const tablesLong = `tables prints the legacy tables (those of iptables-legacy) with their counters, as
iptables-legacy-save -c does and without running it: IPv4, or IPv6 with -6; all
tables that are in use, or the one named. An extension that garita does not know is
shown as hexadecimal, and standard error says so; --restore reads that form too.

--restore applies such a file, each table as a whole, under the xtables lock, as
iptables-legacy-restore does; "-" is standard input. Without --noflush it replaces
what was there.

tables hooks draws what a packet meets on its way, legacy and nftables together.`

type tablesOptions struct {
	four, six, json         bool
	restore                 string
	noflush, counters, test bool
	wait                    time.Duration
}

func (o *tablesOptions) family() iptc.Family {
	if o.six {
		return iptc.IPv6
	}
	return iptc.IPv4
}

func tablesCommand() *cobra.Command {
	var o tablesOptions
	c := &cobra.Command{
		Use:   "tables [filter|nat|mangle|raw|security]",
		Short: "The legacy tables, as iptables-save prints them",
		Long:  tablesLong,
		Example: `  garita tables > before
  garita tables -6 filter
  garita tables --restore before --counters
  garita tables hooks`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			table := ""
			if len(args) > 0 {
				table = args[0]
			}
			if o.restore != "" {
				return o.apply(c.InOrStdin(), table)
			}
			if o.noflush || o.counters || o.test {
				return errors.New("--noflush, --counters and --test go with --restore")
			}
			return o.print(table, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	f := c.Flags()
	f.BoolVarP(&o.four, "ipv4", "4", false, "IPv4 (the default)")
	f.BoolVarP(&o.six, "ipv6", "6", false, "IPv6")
	f.BoolVar(&o.json, "json", false, "print one JSON object a table")
	f.StringVar(&o.restore, "restore", "", "apply `file`")
	f.BoolVarP(&o.noflush, "noflush", "n", false, "with --restore: keep what is in the tables")
	f.BoolVarP(&o.counters, "counters", "c", false, "with --restore: take the counters from the file")
	f.BoolVarP(&o.test, "test", "t", false, "with --restore: read and build everything, change nothing")
	f.DurationVar(&o.wait, "wait", 10*time.Second, "how long to wait for the xtables lock")
	c.MarkFlagsMutuallyExclusive("ipv4", "ipv6")
	c.MarkFlagsMutuallyExclusive("json", "restore")
	c.AddCommand(tablesHooksCommand())
	return c
}

func (o *tablesOptions) apply(in io.Reader, table string) error {
	if o.restore != "-" {
		f, err := os.Open(o.restore)
		if err != nil {
			return err
		}
		defer f.Close()
		in = f
	}
	wait := o.wait
	if wait <= 0 {
		wait = -1
	}
	err := iptc.Restore(o.family(), in, iptc.RestoreOptions{NoFlush: o.noflush, Counters: o.counters, Test: o.test, Table: table,
		Lock: iptc.Lock{Wait: wait}})
	var re *iptc.RestoreError
	if errors.As(err, &re) {
		return fmt.Errorf("%s: %w", o.restore, err)
	}
	return err
}

func (o *tablesOptions) print(table string, w, errw io.Writer) error {
	names := []string{table}
	if table == "" {
		var err error
		if names, err = iptc.Names(o.family()); err != nil {
			if errors.Is(err, os.ErrNotExist) {
				return fmt.Errorf("this kernel has no legacy tables, or nobody has loaded them: %w", err)
			}
			if errors.Is(err, os.ErrPermission) {
				return fmt.Errorf("%w (only root sees the names of the legacy tables)", err)
			}
			return err
		}
	}
	for _, name := range names {
		if err := o.printTable(name, w, errw); err != nil {
			return err
		}
	}
	return nil
}

func (o *tablesOptions) printTable(name string, w, errw io.Writer) error {
	t, err := iptc.Open(o.family(), name)
	if errors.Is(err, unix.ENOPROTOOPT) {
		return fmt.Errorf("this kernel has no legacy tables: %w", err)
	}
	if err != nil {
		return err
	}
	defer t.Close()
	if o.json {
		return json.NewEncoder(w).Encode(tableJSON(t))
	}
	unknown, err := t.Save(w, iptc.SaveOptions{Counters: true, Time: time.Now(), Program: "garita tables"})
	for _, u := range unknown {
		fmt.Fprintf(errw, "garita: table %s: %s is not known and printed as hexadecimal\n", name, u)
	}
	return err
}

// What --json prints.
type (
	jsonTable struct {
		Family string      `json:"family"`
		Table  string      `json:"table"`
		Chains []jsonChain `json:"chains"`
	}
	jsonChain struct {
		Name    string     `json:"name"`
		Policy  string     `json:"policy,omitempty"`
		Packets uint64     `json:"packets"`
		Bytes   uint64     `json:"bytes"`
		Refs    int        `json:"references"`
		Rules   []jsonRule `json:"rules"`
	}
	jsonRule struct {
		Packets uint64          `json:"packets"`
		Bytes   uint64          `json:"bytes"`
		Spec    string          `json:"spec"`
		Matches []jsonExtension `json:"matches,omitempty"`
		Target  string          `json:"target,omitempty"`
		Goto    bool            `json:"goto,omitempty"`
		Module  *jsonExtension  `json:"module,omitempty"`
	}
	jsonExtension struct {
		Name     string `json:"name"`
		Revision uint8  `json:"revision"`
		Data     string `json:"data"`
	}
)

func extensionJSON(e iptc.Extension) jsonExtension {
	return jsonExtension{e.Name, e.Revision, hex.EncodeToString(e.Data)}
}

func tableJSON(t *iptc.Table) jsonTable {
	out := jsonTable{Family: strings.ToLower(t.Family().String()), Table: t.Name()}
	for c := range t.Chains() {
		n := c.Counters()
		jc := jsonChain{Name: c.Name(), Packets: n.Packets, Bytes: n.Bytes, Refs: t.References(c.Name()), Rules: []jsonRule{}}
		if c.Builtin() {
			jc.Policy = iptc.Target{Kind: c.Policy()}.Name()
		}
		for _, r := range c.Rules() {
			n := r.Counters()
			target := r.Target()
			jr := jsonRule{Packets: n.Packets, Bytes: n.Bytes, Spec: r.Spec(), Target: target.Name(), Goto: target.Kind == iptc.Goto}
			for _, m := range r.Matches() {
				jr.Matches = append(jr.Matches, extensionJSON(m))
			}
			if target.Kind == iptc.Module {
				e := extensionJSON(target.Module)
				jr.Module = &e
			}
			jc.Rules = append(jc.Rules, jr)
		}
		out.Chains = append(out.Chains, jc)
	}
	return out
}
