// Package doctor finds out what this kernel and this user can do for garita, and
// what to do about what is missing. It prints nothing.
//
// What can only be learned by trying (does the kernel queue, which flags does it
// take) is tried in a network namespace made for it and thrown away, by a child
// process; the host's own namespace is only read. The one thing that may
// remain is that the kernel has loaded a module of its own.
package doctor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Status is how a finding is.
type Status string

const (
	// OK: as it should be.
	OK Status = "ok"
	// Warn: garita works, with a restriction the detail names; or it could not
	// be looked at.
	Warn Status = "warn"
	// Missing: something garita needs is not there.
	Missing Status = "missing"
)

// Finding is one thing that was looked at.
type Finding struct {
	Name   string `json:"name"`
	Status Status `json:"status"`
	Detail string `json:"detail"`        // what was found
	Fix    string `json:"fix,omitempty"` // what to do about it, if it is not OK
}

// Report is all of them, in the order in which a person wants to read them.
type Report struct {
	Findings []Finding `json:"findings"`
}

// Worst is the worst status in the report.
func (r *Report) Worst() Status {
	worst := OK
	for _, f := range r.Findings {
		if f.Status == Missing {
			return Missing
		}
		if f.Status == Warn {
			worst = Warn
		}
	}
	return worst
}

// Config says how to probe. The zero value looks at what can be seen without a
// namespace of its own.
type Config struct {
	// Child is the command line of a program that does nothing but call Child
	// with its standard output; it is run in fresh namespaces. nil: what needs
	// trying is reported as not looked at.
	Child []string
	// Timeout for each child; 0 means 20 seconds.
	Timeout time.Duration
}

// Probe looks at everything. It never fails: what could not be looked at is a
// finding, too.
func Probe(ctx context.Context, cfg Config) Report {
	if cfg.Timeout == 0 {
		cfg.Timeout = 20 * time.Second
	}
	var r Report
	add := func(f ...Finding) { r.Findings = append(r.Findings, f...) }
	add(user(), kernelVersion(), kernelLimits())
	how, tried := inNamespace(ctx, cfg)
	add(how)
	add(userNamespaces(ctx, cfg))
	add(tried...)
	add(receiveBuffer())
	add(bpf()...)
	add(neighbours()...)
	return r
}

// probed is what a child prints.
type probed struct {
	Findings []Finding `json:"findings"`
}

// Child does the probes that try things, in the namespaces it was started in,
// and writes the result to w for Probe to read. To be called by the program in
// Config.Child and by nothing else: it makes tables and binds queues.
func Child(w io.Writer) error {
	return json.NewEncoder(w).Encode(probed{Findings: tries()})
}

func inNamespace(ctx context.Context, cfg Config) (Finding, []Finding) {
	f := Finding{Name: "private namespace for the tests below"}
	if cfg.Child == nil {
		f.Status, f.Detail = Warn, "not asked for: nothing was tried"
		return f, nil
	}
	// With privilege, a network namespace owned by the same user namespace
	// shows what this user can do. Without, a user namespace of one's own shows
	// what the kernel can do.
	kinds := []struct {
		flags  uintptr
		detail string
	}{
		{unix.CLONE_NEWNET, "a network namespace of this user namespace"},
		{unix.CLONE_NEWNET | unix.CLONE_NEWUSER, "a user and network namespace of its own: what the kernel can do; on the host itself you need CAP_NET_ADMIN"},
	}
	var last error
	for _, k := range kinds {
		out, err := runChild(ctx, cfg, k.flags)
		if err != nil {
			last = err
			if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EINVAL) {
				continue
			}
			break
		}
		f.Status, f.Detail = OK, k.detail
		return f, out
	}
	f.Status = Warn
	f.Detail = fmt.Sprintf("could not be made (%v): what needs trying was not tried", last)
	f.Fix = "run garita doctor as root"
	return f, nil
}

func runChild(ctx context.Context, cfg Config, flags uintptr) ([]Finding, error) {
	ctx, cancel := context.WithTimeout(ctx, cfg.Timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, cfg.Child[0], cfg.Child[1:]...)
	cmd.SysProcAttr = attributes(flags)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		if said.Len() != 0 {
			return nil, fmt.Errorf("%w: %s", err, bytes.TrimSpace(said.Bytes()))
		}
		return nil, err
	}
	var p probed
	if err := json.Unmarshal(out.Bytes(), &p); err != nil {
		return nil, fmt.Errorf("the child's answer: %w", err)
	}
	return p.Findings, nil
}

func attributes(flags uintptr) *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Cloneflags: flags}
	if flags&unix.CLONE_NEWUSER != 0 {
		a.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
		a.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	}
	return a
}

// userNamespaces: may one be made, as the lab does for an ordinary user?
func userNamespaces(ctx context.Context, cfg Config) Finding {
	f := Finding{Name: "user namespaces (garita lab without root)"}
	if cfg.Child == nil {
		f.Status, f.Detail = Warn, "not tried"
		return f
	}
	_, err := runChild(ctx, cfg, unix.CLONE_NEWNET|unix.CLONE_NEWUSER)
	if err == nil {
		f.Status, f.Detail = OK, "this user can make one with a network namespace in it"
		if os.Geteuid() == 0 {
			f.Detail = "root can make one; for others the kernel says: " + usernsSettings()
		}
		return f
	}
	f.Status = Warn
	f.Detail = fmt.Sprintf("refused: %v (%s)", err, usernsSettings())
	f.Fix = "sysctl user.max_user_namespaces > 0, kernel.unprivileged_userns_clone=1 (Debian), kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu); or run garita lab as root"
	return f
}

func usernsSettings() string {
	s := ""
	for _, name := range []string{"user/max_user_namespaces", "kernel/unprivileged_userns_clone", "kernel/apparmor_restrict_unprivileged_userns"} {
		if v, ok := readSysctl(name); ok {
			if s != "" {
				s += ", "
			}
			s += fmt.Sprintf("%s=%s", slashToDot(name), v)
		}
	}
	if s == "" {
		return "no restriction known"
	}
	return s
}

func errnoIn(err error, list ...unix.Errno) bool {
	return slices.ContainsFunc(list, func(e unix.Errno) bool { return errors.Is(err, e) })
}
