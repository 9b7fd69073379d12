package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/garita/garita"
	"github.com/garita/garita/detect"
	"github.com/garita/garita/internal/pcap"
	"github.com/garita/garita/packet"
)

type replayOptions struct {
	common
	file      string
	checksums string
	ips       bool
	write     string
	each      bool
	noRules   bool
	more      []string
	filter    string
}

func replayCommand() *cobra.Command {
	var o replayOptions
	c := &cobra.Command{
		Use:   "replay [-r] FILE",
		Short: "Judge a capture with the same engine",
		Long: `replay judges the packets of a capture (pcap or pcapng, - for standard input) as
run judges live ones, by the times in the capture. Options are spelled as
Suricata's. Without -l the alerts are printed for a person.

Packets are only looked at, as by a passive sensor, unless --simulate-ips says
that drops count: a dropped packet then never was there for what follows.`,
		Example: `  garita replay -S my.rules capture.pcap
  garita replay --simulate-ips -S my.rules -r capture.pcap -l out --write passed.pcap
  garita replay --each -S my.rules -l out a.pcap b.pcap      # out/0/eve.json, out/1/eve.json`,
		Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			if o.file != "" {
				args = append([]string{o.file}, args...)
			}
			return o.run(args, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	f := c.Flags()
	o.flags(f)
	f.StringVarP(&o.file, "read", "r", "", "capture `file`")
	f.StringArrayVarP(&o.rules, "rules", "S", nil, "judge by this rule `file` and no others (repeatable)")
	f.StringArrayVarP(&o.more, "also", "s", nil, "judge by the rules in this `file` too, beside those of the configuration (repeatable)")
	f.BoolVar(&o.noRules, "disable-detection", false, "judge by no rules, only write records")
	f.StringVarP(&o.filter, "filter", "F", "", "refused: Suricata's files of capture filters")
	_ = f.MarkHidden("filter")
	f.StringVarP(&o.logDir, "log-dir", "l", "", "write eve.json in this `directory`")
	f.StringVarP(&o.checksums, "checksums", "k", "auto", "which packets' checksums are checked: all, auto or none (sums left to hardware always pass)")
	f.BoolVar(&o.ips, "simulate-ips", false, "judge as if the packets were intercepted")
	f.StringVar(&o.write, "write", "", "keep what would have passed in this capture `file`")
	// Options that Suricata's users type by habit and that have nothing to
	// choose here: one worker reads a capture, and nothing is random.
	for _, ignored := range []string{"runmode"} {
		f.String(ignored, "", "accepted for Suricata's sake")
		_ = f.MarkHidden(ignored)
	}
	for _, ignored := range []string{"no-random", "init-errors-fatal"} {
		f.Bool(ignored, false, "accepted for Suricata's sake")
		_ = f.MarkHidden(ignored)
	}
	f.BoolVar(&o.each, "each", false, "judge each of several captures from a fresh state, into DIR/0, DIR/1, …")
	return c
}

func (o *replayOptions) run(files []string, out, errw io.Writer) error {
	switch {
	case len(files) == 0:
		return errors.New("replay: give it a capture file")
	case o.filter != "":
		return errors.New("replay: -F: capture filters (BPF) are not supported; filter the capture first: tcpdump -r IN -w OUT FILTER")
	case len(files) > 1 && !o.each && !exist(files):
		return fmt.Errorf("replay: %q is not all captures, and capture filters (BPF) are not supported; filter the capture first: tcpdump -r IN -w OUT FILTER", strings.Join(files, " "))
	case len(files) > 1 && !o.each:
		return errors.New("replay: one capture at a time, or --each for several from a fresh state each")
	case o.each && o.write != "":
		return errors.New("replay: --write goes with one capture, not with --each")
	}
	c, err := o.load(errw)
	if err != nil {
		return err
	}
	c.Rules.Files = append(c.Rules.Files, o.more...)
	if o.noRules {
		c.Rules = garita.Rules{}
	}
	if o.logDir == "" && o.each {
		return errors.New("replay: --each needs -l DIR")
	}
	switch o.checksums {
	case "none":
		c.IgnoreChecksums = true
	case "all", "auto":
	default:
		return fmt.Errorf("-k %q: all, auto or none", o.checksums)
	}
	rc := garita.ReplayConfig{Inline: o.ips}
	if o.logDir == "" {
		rc.OnAlert = func(p *packet.Packet, a *detect.Alert) { printAlert(out, p, a) }
	}
	r, err := garita.NewReplay(c.Config, rc)
	if err != nil {
		return err
	}
	printProblems(errw, r.Loaded(), 20)
	failed := false
	for i, f := range files {
		dir := o.logDir
		if o.each {
			dir = filepath.Join(dir, strconv.Itoa(i))
		}
		if err := o.one(r, c, f, dir, out, errw); err != nil {
			fmt.Fprintln(errw, "garita:", err)
			failed = true
		}
	}
	if failed {
		return exitWith(2)
	}
	return nil
}

// exist says whether all of these are files.
func exist(files []string) bool {
	for _, f := range files {
		if _, err := os.Stat(f); err != nil {
			return false
		}
	}
	return true
}

// one judges one capture.
func (o *replayOptions) one(r *garita.Replay, c *garita.FileConfig, file, dir string, out, errw io.Writer) (err error) {
	src, err := pcap.Open(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	if o.write != "" {
		if err := src.Keep(o.write); err != nil {
			return err
		}
	}
	if dir != "" {
		if err := c.OpenLogs(dir, true); err != nil {
			return err
		}
		if c.NameCapture {
			c.Eve.CaptureFile = file
		}
		r.SetLog(c.Config)
	}
	if data := c.Detect.DataDir; o.each && data != "" {
		r.SetDataDir(filepath.Join(data, filepath.Base(dir)))
	}
	began := time.Now()
	st, err := r.Run(src)
	var broken *pcap.Error
	if errors.As(err, &broken) {
		// As Suricata: what came before the damage was judged.
		fmt.Fprintln(errw, "garita: warning: the capture is damaged:", err)
		err = nil
	}
	if c.Log != nil {
		err = errors.Join(err, c.CloseLogs())
	}
	if !o.each {
		mode := "looked at"
		if o.ips {
			mode = fmt.Sprintf("%d dropped, of", st.Dropped)
		}
		fmt.Fprintf(out, "%s: %s %d packets (%d bytes) in %v, %d alerts\n", file, mode, st.Packets, st.Bytes, time.Since(began).Round(time.Millisecond), st.Alerts)
	}
	return err
}

// printAlert prints one alert for a person.
func printAlert(w io.Writer, p *packet.Packet, a *detect.Alert) {
	var b strings.Builder
	b.WriteString(time.Unix(0, p.Time).Format("15:04:05.000000"))
	word := a.Info.Action.String()
	if a.Blocked {
		word = "DROP"
	}
	fmt.Fprintf(&b, "  %-6s [%d:%d:%d] %s  ", word, a.Info.Gid, a.Info.Sid, a.Info.Rev, a.Info.Msg)
	src, dst := p.Src().String(), p.Dst().String()
	if p.SrcPort() != 0 || p.DstPort() != 0 {
		src, dst = fmt.Sprintf("%s:%d", src, p.SrcPort()), fmt.Sprintf("%s:%d", dst, p.DstPort())
	}
	fmt.Fprintf(&b, "%s -> %s", src, dst)
	if p.Number != 0 { // of a capture
		fmt.Fprintf(&b, "  packet %d", p.Number)
	}
	b.WriteByte('\n')
	_, _ = io.WriteString(w, b.String())
}
