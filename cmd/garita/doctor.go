package main

import (
	"encoding/json"
	"fmt"
	"os"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/garita/garita/internal/doctor"
)

func doctorCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "doctor",
		Short: "What this kernel and this user can do, and what to do about the rest",
		Long: `doctor looks at what garita needs: queues, diversion, buffers, namespaces. What can
only be learned by trying is tried in namespaces of its own; this host's network is
only looked at. It exits with 0 if garita can run here, with 1 if something it
needs is missing.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var cfg doctor.Config
			if exe, err := os.Executable(); err == nil {
				cfg.Child = []string{exe, "doctor", "try"}
			}
			r := doctor.Probe(c.Context(), cfg)
			w := c.OutOrStdout()
			if asJSON {
				if err := json.NewEncoder(w).Encode(r); err != nil {
					return err
				}
			} else {
				t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
				for _, f := range r.Findings {
					fmt.Fprintf(t, "%s\t%s\t%s\n", f.Status, f.Name, f.Detail)
					if f.Fix != "" {
						fmt.Fprintf(t, "\t\t→ %s\n", f.Fix)
					}
				}
				if err := t.Flush(); err != nil {
					return err
				}
			}
			if r.Worst() == doctor.Missing {
				return exitWith(1)
			}
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	c.AddCommand(&cobra.Command{
		Use:    "try",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE:   func(c *cobra.Command, _ []string) error { return doctor.Child(c.OutOrStdout()) },
	})
	return c
}
