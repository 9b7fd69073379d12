package divert

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Owner is the netlink socket that owns a table, and the process behind it as
// far as it could be found.
type Owner struct {
	PortID  uint32 // netlink port of the owning socket; 0 = nobody, or a legacy owner
	PID     int    // process that holds the socket, 0 = could not be seen
	Command string // its name, if PID is known
}

func (o Owner) String() string {
	switch {
	case o.PID != 0:
		return fmt.Sprintf("process %d (%s)", o.PID, o.Command)
	case o.PortID == 0:
		return "nobody"
	}
	return fmt.Sprintf("netlink port %d, of a process that can not be seen from here; "+
		"as root, find the line of that Pid in /proc/net/netlink, and its inode in `ls -l /proc/[0-9]*/fd | grep socket:`", o.PortID)
}

// findOwner looks for the process that holds the netlink socket: by its inode in
// the calling thread's /proc/net/netlink, then among everybody's open files.
func findOwner(portid uint32) Owner {
	o := Owner{PortID: portid}
	if portid == 0 {
		return o
	}
	inode := netlinkInode(portid)
	if inode == "" {
		return o
	}
	want := "socket:[" + inode + "]"
	fds, err := filepath.Glob("/proc/[0-9]*/fd")
	if err != nil {
		return o
	}
	for _, dir := range fds {
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, e := range entries {
			if l, err := os.Readlink(dir + "/" + e.Name()); err != nil || l != want {
				continue
			}
			proc := filepath.Dir(dir)
			o.PID, _ = strconv.Atoi(filepath.Base(proc))
			comm, _ := os.ReadFile(proc + "/comm")
			o.Command = strings.TrimSpace(string(comm))
			return o
		}
	}
	return o
}

func netlinkInode(portid uint32) string {
	text, err := os.ReadFile("/proc/thread-self/net/netlink")
	if err != nil {
		return ""
	}
	return inodeOf(string(text), portid)
}

// inodeOf finds a netfilter socket in the text of /proc/net/netlink: columns sk,
// Eth (protocol), Pid (port), Groups, Rmem, Wmem, Dump, Locks, Drops, Inode.
func inodeOf(text string, portid uint32) string {
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 10 || f[1] != strconv.Itoa(unix.NETLINK_NETFILTER) {
			continue
		}
		// The port is printed unsigned by some kernels and signed by others.
		n, err := strconv.ParseInt(f[2], 10, 64)
		if err == nil && uint32(n) == portid {
			return f[9]
		}
	}
	return ""
}
