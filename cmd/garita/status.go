package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/garita/garita/divert"
)

func statusCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "status",
		Short: "Is this host protected?",
		Long: `status looks at the kernel, not at what a program believes: whether traffic of
this network namespace is diverted to garita and whether a process answers. It
exits with 0 if so, with 1 if not.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			found, err := divert.List()
			if err != nil {
				return err
			}
			w := c.OutOrStdout()
			protected := answered(found)
			if asJSON {
				if err := json.NewEncoder(w).Encode(map[string]any{"protected": protected, "found": found}); err != nil {
					return err
				}
			} else {
				for i := range found {
					fmt.Fprintln(w, found[i].String())
				}
				if protected {
					fmt.Fprintln(w, "protected: traffic is diverted to a living garita")
				} else if len(found) > 0 {
					fmt.Fprintln(w, "NOT protected: no garita answers; start it, or take the rest away with: garita clean")
				} else {
					fmt.Fprintln(w, "NOT protected: nothing is diverted to garita")
				}
			}
			if !protected {
				return exitWith(1)
			}
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}

// answered says whether traffic is diverted to a process that lives.
func answered(found []divert.Found) bool {
	for i := range found {
		if o := found[i].Owner; found[i].Diverting && (o.PortID != 0 || o.PID != 0) {
			return true
		}
	}
	return false
}
