// Package nstest runs a test in a process of its own, in a user and a network
// namespace of its own: as root and as an ordinary user alike, and without a
// trace on the host. The xtables lock is a file of the test's own.
package nstest

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

const env = "GARITA_NSTEST" // name of the test that the child runs

// Inside returns true in the child that is to run the test's body; in the parent
// it runs that child, passes on its result and returns false. Where the kernel
// refuses the namespaces, the test is skipped.
func Inside(t *testing.T) bool {
	t.Helper()
	if os.Getenv(env) == t.Name() {
		return true
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+strings.ReplaceAll(t.Name(), "/", "$/^")+"$", "-test.v", "-test.timeout=300s")
	cmd.Env = append(os.Environ(), env+"="+t.Name(), "XTABLES_LOCKFILE="+filepath.Join(t.TempDir(), "lock"))
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		Pdeathsig:   syscall.SIGKILL,
	}
	runtime.LockOSThread() // Pdeathsig is about the thread
	defer runtime.UnlockOSThread()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Start()
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSPC) {
		t.Skipf("this kernel lets user %d make no user namespace: %v", os.Getuid(), err)
	}
	if err == nil {
		err = cmd.Wait()
	}
	text := out.String()
	switch {
	case err != nil:
		t.Fatalf("in namespace: %v\n%s", err, text)
	case strings.Contains(text, "--- SKIP: "+t.Name()):
		t.Skip(text)
	case !strings.Contains(text, "--- PASS: "+t.Name()):
		t.Fatalf("the test did not run in the namespace:\n%s", text)
	}
	t.Logf("ran on a real kernel as uid %d in namespaces of its own:\n%s", os.Getuid(), text)
	return false
}
