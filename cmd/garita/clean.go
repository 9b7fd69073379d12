package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/garita/garita/divert"
)

func cleanCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "clean",
		Short: "Remove everything of garita's from this network namespace, and nothing else",
		Long: `clean removes the nftables table that garita diverts traffic with, also one that
a garita that was killed has left (fail closed). Traffic flows again. Packets
that wait in a queue of this namespace at that moment are dropped by the kernel.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			removed, err := divert.Clean()
			for _, s := range removed {
				fmt.Fprintln(c.OutOrStdout(), "removed", s)
			}
			if _, living := errors.AsType[*divert.OwnedError](err); living {
				return fmt.Errorf("%w\nit is at work, so nothing of it is left over: stop it, and it takes its rules away itself", err)
			}
			if err != nil {
				return err
			}
			if len(removed) == 0 {
				fmt.Fprintln(c.OutOrStdout(), "nothing of garita's is here")
			}
			return nil
		},
	}
}
