package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// insideEnv tells a process that it is inside: entering in the second process
// before it has settled; afterwards the name of the mount namespace, so that
// programs started inside (test helpers, fuzz workers, garita itself) do not
// enter once more, wherever in the lab they run.
const (
	insideEnv = "GARITA_LAB_INSIDE"
	entering  = "entering"
)

// DeniedError is returned when the kernel does not let this user make
// namespaces.
type DeniedError struct {
	// Setting is the kernel setting that forbids it and the value it would
	// need, as sysctl takes it ("kernel.unprivileged_userns_clone=1"); empty if
	// none could be made out.
	Setting string
	Err     error // what the kernel said
}

func (e *DeniedError) Error() string {
	if e.Setting != "" {
		return fmt.Sprintf("this user may not make namespaces (%v); either run this as root, or let root run: sysctl -w %s", e.Err, e.Setting)
	}
	return fmt.Sprintf("this user may not make namespaces (%v), perhaps because of a container's seccomp or capability settings; run this as root outside of the container, or start the container with --privileged", e.Err)
}

func (e *DeniedError) Unwrap() error { return e.Err }

// denied makes a DeniedError of a kernel's refusal and leaves other errors alone.
func denied(err error) error {
	var already *DeniedError
	if errors.As(err, &already) {
		return err
	}
	for _, refusal := range [...]error{unix.EPERM, unix.EACCES, unix.ENOSPC, unix.EUSERS, unix.EROFS} {
		if errors.Is(err, refusal) {
			return &DeniedError{Setting: forbidding(os.ReadFile), Err: err}
		}
	}
	return err
}

// forbidding finds the kernel setting that forbids user namespaces.
func forbidding(read func(string) ([]byte, error)) string {
	for _, s := range [...]struct{ file, bad, good string }{
		// Debian's and others' own patch.
		{"/proc/sys/kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone=1"},
		// Ubuntu 23.10 and later: they can be made, but give no capability.
		{"/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1", "kernel.apparmor_restrict_unprivileged_userns=0"},
		{"/proc/sys/user/max_user_namespaces", "0", "user.max_user_namespaces=15000"},
		{"/proc/sys/user/max_net_namespaces", "0", "user.max_net_namespaces=15000"},
		{"/proc/sys/user/max_pid_namespaces", "0", "user.max_pid_namespaces=15000"},
		{"/proc/sys/user/max_mnt_namespaces", "0", "user.max_mnt_namespaces=15000"},
	} {
		if b, err := read(s.file); err == nil && strings.TrimSpace(string(b)) == s.bad {
			return s.good
		}
	}
	return ""
}

// Enter puts the program into namespaces of its own: network, mounts, process
// ids, and for anybody but root a user namespace in which the user is root.
//
// A running Go program cannot change its user namespace, so Enter starts the
// program again with the same arguments, environment and open files. In the
// first process it returns when the second has ended, with inside false and
// the second's exit status (128+n if it died of signal n): return that from
// main and do nothing else. In the second it returns at once with inside true.
// Signals that the first process gets are passed on; if it is killed, the
// second dies with it, and with the second every program started in it,
// because it is the init of its process id namespace.
//
// If the kernel refuses, the error is a [*DeniedError]; in the second process
// too, for some systems hand out user namespaces without capabilities.
func Enter() (inside bool, status int, err error) {
	here, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		return false, 0, fmt.Errorf("is /proc mounted? %w", err)
	}
	switch os.Getenv(insideEnv) {
	case entering:
		if err := os.Setenv(insideEnv, here); err != nil {
			return true, 0, err
		}
		return true, 0, settle()
	case here:
		return true, 0, nil
	}
	status, err = again()
	return false, status, err
}

// Second says whether this is the second process, before it calls [Enter]:
// what the first has checked and said need not be checked and said again.
func Second() bool { return os.Getenv(insideEnv) == entering }

// Main is [Enter] for tests: `func TestMain(m *testing.M) { os.Exit(lab.Main(m)) }`.
// It returns the exit status. Tests of a package that uses it run as root of
// their own namespaces, whoever started them, also with -run, -bench and -fuzz.
func Main(m interface{ Run() int }) int {
	inside, status, err := Enter()
	if err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		return 2
	}
	if inside {
		return m.Run()
	}
	return status
}

// again runs this program in new namespaces and waits for it.
func again() (int, error) {
	// The kernel sends the parent-death signal when the *thread* that started
	// the child ends, so that thread must live as long as the child.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	signals := make(chan os.Signal, 16)
	signal.Notify(signals, unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2)
	defer signal.Stop(signals)

	var cmd *exec.Cmd
	var err error
	if os.Geteuid() == 0 {
		cmd, err = start(0, nil, nil)
	}
	if cmd == nil { // an ordinary user, or a root without capabilities
		cmd, err = start(unix.CLONE_NEWUSER,
			[]syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}},
			[]syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}})
	}
	if err != nil {
		return 0, &DeniedError{Setting: forbidding(os.ReadFile), Err: err}
	}

	ended := make(chan struct{})
	go func() {
		for {
			select {
			case s := <-signals:
				_ = cmd.Process.Signal(s) // it may have ended just now
			case <-ended:
				return
			}
		}
	}()
	err = cmd.Wait()
	close(ended)
	return ExitStatus(err)
}

func start(flags uintptr, uids, gids []syscall.SysProcIDMap) (*exec.Cmd, error) {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), insideEnv+"="+entering)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWPID | flags,
		Pdeathsig:   unix.SIGKILL,
		UidMappings: uids,
		GidMappings: gids,
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return cmd, nil
}

// ExitStatus is the status a shell would give to a program that ended with
// err, as [exec.Cmd.Wait] returned it: 0, the program's own status, 128+n for
// signal n. An err that tells of something else than the program's end is
// returned.
func ExitStatus(err error) (int, error) {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0, nil
	case errors.As(err, &exit):
		if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			return 128 + int(ws.Signal()), nil
		}
		return exit.ExitCode(), nil
	}
	return 0, err
}

// settle does what has to be done first in new namespaces.
func settle() error {
	// As root the mounts are still shared with the host's.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return denied(fmt.Errorf("make the mounts private: %w", err))
	}
	// A /proc that counts processes as we do. Refused in containers that hide
	// parts of /proc, and nothing here depends on it.
	_ = unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
	return names()
}
