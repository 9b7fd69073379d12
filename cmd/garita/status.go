package main

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/garita/garita/divert"
	"github.com/garita/garita/nfqueue"
)

func statusCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "status",
		Short: "Is this host protected?",
		Long: `status looks at the kernel, not at what a program believes: whether traffic of
this network namespace is diverted to garita, whether a process answers every
queue, and what waits or was lost there. It exits with 0 if this host is
protected, with 1 if not.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			found, err := divert.List()
			if err != nil {
				return err
			}
			w := c.OutOrStdout()
			queues, _ := nfqueue.KernelQueues() // nil if it may not be read
			protected := answered(found, queues)
			if asJSON {
				if err := json.NewEncoder(w).Encode(map[string]any{"protected": protected, "found": found, "queues": queues}); err != nil {
					return err
				}
			} else {
				for i := range found {
					fmt.Fprintln(w, found[i].String())
					for _, n := range found[i].Queues {
						if k, ok := queues[n]; ok {
							fmt.Fprintf(w, "queue %d: %d packets wait; lost because it was full %d, because its buffer was %d\n",
								n, k.Waiting, k.QueueDropped, k.UserDropped)
						} else if queues != nil {
							fmt.Fprintf(w, "queue %d: nobody answers\n", n)
						}
					}
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

// answered says whether traffic is diverted to a process that lives and has all
// its queues; of a process that ends, the table may outlive them for a moment.
// queues is nil if they are not known.
func answered(found []divert.Found, queues map[uint16]nfqueue.KernelStats) bool {
	return slices.ContainsFunc(found, func(f divert.Found) bool {
		return f.Diverting && (f.Owner.PortID != 0 || f.Owner.PID != 0) &&
			!slices.ContainsFunc(f.Queues, func(n uint16) bool {
				_, bound := queues[n]
				return queues != nil && !bound
			})
	})
}
