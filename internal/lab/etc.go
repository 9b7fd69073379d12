package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// names makes name resolution work inside: programs in our mount namespace,
// and only they, see other contents in /etc/hosts, /etc/resolv.conf and
// /etc/nsswitch.conf.
//
// The new files lie in a tmpfs that is mounted for a moment over /etc (nothing
// else runs in the namespace yet), so that no file is made on the host. Files
// that the host does not have cannot be replaced and are left out.
func names() error {
	const etc = "/etc"
	files := []struct {
		name string
		text func(old []byte) string
	}{
		{"hosts", func([]byte) string { return hosts() }},
		{"resolv.conf", func([]byte) string {
			return "nameserver " + ServerIP4.String() + "\noptions timeout:1 attempts:2\n"
		}},
		{"nsswitch.conf", hostsByFileAndDNS},
	}
	var targets [3]*os.File
	var olds [3][]byte
	for i, f := range files {
		t, err := os.Open(filepath.Join(etc, f.name)) // through symbolic links
		if err != nil {
			continue
		}
		defer t.Close()
		if olds[i], err = os.ReadFile(t.Name()); err == nil {
			targets[i] = t
		}
	}
	if targets == [len(targets)]*os.File{} {
		return nil
	}
	if err := unix.Mount("tmpfs", etc, "tmpfs", 0, "mode=755,size=64k"); err != nil {
		return denied(fmt.Errorf("mount a tmpfs: %w", err))
	}
	// The bind mounts below keep what they show.
	defer func() { _ = unix.Unmount(etc, unix.MNT_DETACH) }()
	for i, f := range files {
		if targets[i] == nil {
			continue
		}
		name := filepath.Join(etc, f.name)
		if err := os.WriteFile(name, []byte(f.text(olds[i])), 0o644); err != nil {
			return err
		}
		// The real /etc is hidden now; the open file still leads to it.
		target := fmt.Sprintf("/proc/self/fd/%d", targets[i].Fd())
		if err := unix.Mount(name, target, "", unix.MS_BIND, ""); err != nil {
			return denied(fmt.Errorf("put our own %s in place: %w", name, err))
		}
	}
	return nil
}

func hosts() string {
	var b strings.Builder
	b.WriteString("127.0.0.1 localhost\n::1 localhost\n")
	for _, h := range [...]struct{ ip, name string }{
		{ClientIP4.String(), "client"}, {ClientIP6.String(), "client"},
		{gatewayIPs[0][0].String(), "gateway"}, {gatewayIPs[0][1].String(), "gateway"},
		{ServerIP4.String(), "server"}, {ServerIP6.String(), "server"},
	} {
		fmt.Fprintf(&b, "%s %s\n", h.ip, h.name)
	}
	return b.String()
}

// hostsByFileAndDNS replaces the hosts line: other services (systemd-resolved)
// live outside and would answer with the host's view.
func hostsByFileAndDNS(old []byte) string {
	var b strings.Builder
	for line := range strings.Lines(string(old)) {
		if !strings.HasPrefix(strings.TrimSpace(line), "hosts:") {
			b.WriteString(line)
		}
	}
	b.WriteString("\nhosts: files dns\n")
	return b.String()
}
