// Command garita intercepts packets on Linux and gives each one a verdict: an
// inline intrusion prevention system that runs Suricata's rules on NFQUEUE.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/garita/garita"
)

func main() {
	if os.Getenv("GOGC") == "" {
		// The packet path makes no garbage, so collecting twice as often costs
		// little and keeps the resident memory of many flows down by a fifth.
		debug.SetGCPercent(50)
	}
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// Exit statuses: 0 success, 1 the answer is no (a rule file has errors, the
// host is not protected), 2 could not do it; lab with a command exits with the
// command's own.
type exitError struct {
	status int
	err    error // what to print; nil if everything was said
}

func (e exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit status %d", e.status)
	}
	return e.err.Error()
}

func (e exitError) Unwrap() error { return e.err }

// no is the answer no: the error is printed, if any.
func no(err error) error { return exitError{1, err} }

// exitWith ends with a status, everything having been said.
func exitWith(status int) error {
	if status == 0 {
		return nil
	}
	return exitError{status: status}
}

func run(args []string, in io.Reader, out, errw io.Writer) int {
	root := &cobra.Command{
		Use:   "garita",
		Short: "Intercept packets and give each one a verdict",
		Long: `garita intercepts packets on Linux and gives each one a verdict, by rules in
Suricata's language. Try it without root and without touching this host's
network:

    garita lab
    garita lab --rule 'drop tcp any any -> any 80 (content:"evil"; sid:1;)' -- curl -m 2 http://server/evil`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errw)
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(labCommand(), runCommand(), tryCommand(), keepCommand(), watchCommand(), replayCommand(), checkCommand(), doctorCommand(),
		statusCommand(), cleanCommand(), tablesCommand(), versionCommand())
	err := root.Execute()
	if err == nil {
		return 0
	}
	status := 2
	var e exitError
	if errors.As(err, &e) {
		status = e.status
		err = e.err
	}
	var bad *garita.RuleError
	if errors.As(err, &bad) && len(bad.Problems) > 1 {
		// All of them: nobody wants to mend a file one line a run.
		for _, p := range bad.Problems {
			fmt.Fprintln(errw, p)
		}
		err = fmt.Errorf("%d problems", len(bad.Problems))
	}
	if err != nil {
		fmt.Fprintln(errw, "garita:", err)
	}
	return status
}
