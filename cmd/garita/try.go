package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

func tryCommand() *cobra.Command {
	var o runOptions
	c := &cobra.Command{
		Use:   "try",
		Short: "Intercept on this host, and undo it unless it is kept",
		Long: `try does what run does, with the same options, but takes everything back after a
while: who has cut himself off needs only to wait. As soon as you see that you
still get in, say so from any shell of this host, best from a new connection:

    garita keep

From then on it goes on as run would, until it is stopped.`,
		Args: noWords,
		RunE: func(c *cobra.Command, _ []string) error {
			if o.trial <= 0 {
				return fmt.Errorf("--for: %v is not a time to try for (write --for 60s)", o.trial)
			}
			return o.run(c.Context(), c.ErrOrStderr())
		},
	}
	o.bind(c)
	c.Flags().DurationVar(&o.trial, "for", time.Minute, "how long, unless kept")
	return c
}

func keepCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "keep",
		Short: "Keep what \"garita try\" does",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			conn, err := net.Dial("unix", trialAddress)
			if errors.Is(err, unix.ECONNREFUSED) {
				fmt.Fprintln(c.OutOrStdout(), "nothing to keep: no garita is on trial here")
				return exitWith(1)
			}
			if err != nil {
				return err
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
			if _, err := io.WriteString(conn, keepWord); err != nil {
				return err
			}
			answer, err := io.ReadAll(conn)
			if err != nil {
				return err
			}
			if string(answer) != keptWord {
				return fmt.Errorf("not kept: only root and the user who began the trial may keep it")
			}
			fmt.Fprintln(c.OutOrStdout(), "kept: garita goes on until it is stopped")
			return nil
		},
	}
}

// trialAddress is where a trial waits to be kept. A name that begins with @ is
// no file: it belongs to the network namespace, as the diversion does, and
// goes with its process.
const (
	trialAddress = "@garita-try"
	keepWord     = "keep\n"
	keptWord     = "kept\n"
)

// trial ends a run after its time, unless somebody keeps it.
type trial struct {
	l    *net.UnixListener
	time time.Duration
	kept atomic.Bool
}

// newTrial is called before anything is diverted: two trials at once could not
// be told apart by keep.
func newTrial(d time.Duration) (*trial, error) {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: trialAddress, Net: "unix"})
	if errors.Is(err, unix.EADDRINUSE) {
		return nil, errors.New("another garita is on trial here: keep it (garita keep) or wait for its end")
	}
	if err != nil {
		return nil, err
	}
	return &trial{l: l, time: d}, nil
}

// watch calls end after the trial's time, unless it is kept or ctx is done
// before.
func (t *trial) watch(ctx context.Context, errw io.Writer, end func()) {
	fmt.Fprintf(errw, "garita: on trial for %v: all is undone at %s unless you say \"garita keep\"\n",
		t.time, time.Now().Add(t.time).Format(time.TimeOnly))
	kept := make(chan struct{})
	go func() {
		for !t.kept.Load() {
			c, err := t.l.AcceptUnix()
			if err != nil {
				return
			}
			if t.answer(c) {
				close(kept)
			}
		}
	}()
	go func() {
		defer t.l.Close()
		timer := time.NewTimer(t.time)
		defer timer.Stop()
		select {
		case <-ctx.Done():
		case <-kept:
			fmt.Fprintln(errw, "garita: kept")
		case <-timer.C:
			fmt.Fprintln(errw, "garita: the trial is over; nobody kept it, all is undone")
			end()
		}
	}()
}

// answer says whether c may keep the trial, and asked to.
func (t *trial) answer(c *net.UnixConn) bool {
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	var peer *unix.Ucred
	if cerr := raw.Control(func(fd uintptr) {
		peer, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); cerr != nil || err != nil || peer.Uid != 0 && int(peer.Uid) != os.Geteuid() {
		return false
	}
	word, err := bufio.NewReaderSize(io.LimitReader(c, int64(len(keepWord))), 16).ReadString('\n')
	if err != nil || word != keepWord {
		return false
	}
	t.kept.Store(true)
	_, _ = io.WriteString(c, keptWord)
	return true
}
