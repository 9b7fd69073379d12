package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"sync"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/garita/garita"
	"github.com/garita/garita/afpacket"
	"github.com/garita/garita/detect"
	"github.com/garita/garita/nflog"
	"github.com/garita/garita/packet"
)

type watchOptions struct {
	common
	groups     []uint
	interfaces []string
	promisc    bool
	checksums  string
}

func watchCommand() *cobra.Command {
	var o watchOptions
	c := &cobra.Command{
		Use:   "watch (--nflog GROUP | --interface IF)...",
		Short: "Judge copies of packets: detection without interception",
		Long: `watch judges copies of packets by the rules and tells what it finds. The packets
themselves go on: drop and reject rules only alert here (to stop packets: garita
run). It changes nothing on this host.

Copies come from groups of the kernel's packet log, which rules of yours fill:

    iptables -A FORWARD -j NFLOG --nflog-group 5
    nft add rule inet filter forward log group 5

or from all that passes an interface. Give both directions of a connection by
the same group or interface: each is followed by itself.

Without -l the alerts are printed for a person. Signals: HUP reads configuration and
rules again and opens the log anew; TERM and INT end it.

It needs root, or CAP_NET_ADMIN for groups and CAP_NET_RAW for interfaces.`,
		Example: `  garita watch --interface eth0 -S my.rules
  garita watch --nflog 5 -S my.rules -l /var/log/garita`,
		Args: noWords,
		RunE: func(c *cobra.Command, _ []string) error {
			return o.run(c.Context(), c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	f := c.Flags()
	o.flags(f)
	f.StringArrayVarP(&o.rules, "rules", "S", nil, "judge by this rule `file` and no others (repeatable)")
	f.StringVarP(&o.logDir, "log-dir", "l", "", "write eve.json in this `directory`")
	f.UintSliceVar(&o.groups, "nflog", nil, "read this `group` of the kernel's packet log (repeatable)")
	f.StringArrayVarP(&o.interfaces, "interface", "i", nil, "read this `interface` (repeatable)")
	f.BoolVar(&o.promisc, "promisc", false, "ask the interfaces for frames that are not for this host: on a mirror port")
	f.StringVarP(&o.checksums, "checksums", "k", "all", "whether packets with wrong checksums are left out: all or none")
	return c
}

// sources opens what the options name; all of it or nothing.
func (o *watchOptions) sources() (srcs []garita.Source, names []string, err error) {
	defer func() {
		if err != nil {
			for _, s := range srcs {
				_ = s.Close()
			}
		}
	}()
	for _, g := range o.groups {
		if g > 65535 {
			return srcs, nil, fmt.Errorf("--nflog %d: groups are 0 to 65535", g)
		}
		r, err := nflog.Open(nflog.Config{Group: uint16(g)})
		if err != nil {
			return srcs, nil, err
		}
		srcs, names = append(srcs, r), append(names, fmt.Sprintf("log group %d", g))
	}
	for _, i := range o.interfaces {
		r, err := afpacket.Open(afpacket.Config{Interface: i, Promiscuous: o.promisc})
		if err != nil {
			return srcs, nil, err
		}
		srcs, names = append(srcs, r), append(names, "interface "+i)
	}
	if len(srcs) == 0 {
		return nil, nil, errors.New("watch: give it --interface IF or --nflog GROUP")
	}
	return srcs, names, nil
}

func (o *watchOptions) run(ctx context.Context, out, errw io.Writer) error {
	if ctx == nil {
		ctx = context.Background()
	}
	c, err := o.load(errw)
	if err != nil {
		return err
	}
	switch o.checksums {
	case "none":
		c.IgnoreChecksums = true
	case "all":
	default:
		return fmt.Errorf("-k %q: all or none", o.checksums)
	}
	c.Notify = func(n garita.Notice) {
		if n.Err != nil {
			fmt.Fprintf(errw, "garita: %s: %v\n", n.Text, n.Err)
		} else {
			fmt.Fprintf(errw, "garita: %s\n", n.Text)
		}
	}
	srcs, names, err := o.sources()
	if err != nil {
		return explain(err)
	}
	closeAll := func() {
		for _, s := range srcs {
			_ = s.Close()
		}
	}
	var wc garita.WatchConfig
	if o.logDir != "" {
		if err := c.OpenLogs(o.logDir, false); err != nil {
			closeAll()
			return err
		}
	} else {
		var mu sync.Mutex // sources alert at the same time
		wc.OnAlert = func(p *packet.Packet, a *detect.Alert) {
			mu.Lock()
			defer mu.Unlock()
			printAlert(out, p, a)
		}
	}
	ctx, stop := signal.NotifyContext(ctx, unix.SIGTERM, unix.SIGINT)
	defer stop()
	again := make(chan os.Signal, 1)
	signal.Notify(again, unix.SIGHUP)
	defer signal.Stop(again)
	e, err := garita.NewWatch(c.Config, wc, srcs...)
	if err != nil {
		closeAll()
		return err
	}
	printProblems(errw, e.Loaded(), 20)
	fmt.Fprintf(errw, "garita: watching %s by %d rules; these are copies: drop and reject rules only alert here\n",
		strings.Join(names, ", "), e.Loaded().Kept)
	go func() {
		log := slog.New(slog.NewTextHandler(errw, nil))
		for {
			select {
			case <-again:
				reload(e, c, o.load, log, errw)
			case <-ctx.Done():
				return
			}
		}
	}()
	err = e.Run(ctx)
	if c.Log != nil {
		err = errors.Join(err, c.CloseLogs())
	}
	s := e.Stats()
	fmt.Fprintf(errw, "garita: done: looked at %d packets (%d more were lost on the way), %d alerts\n", s.Packets, e.Lost(), s.Alerts)
	return err
}
