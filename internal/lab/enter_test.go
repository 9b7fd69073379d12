package lab_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/garita/garita/internal/lab"
)

// The test binary plays a program that uses Enter when this is set.
const playEnv = "GARITA_LAB_TEST_PLAY"

func TestMain(m *testing.M) {
	if role := os.Getenv(playEnv); role != "" {
		os.Exit(play(role))
	}
	os.Exit(lab.Main(m))
}

// play is such a program: it enters, makes a lab and a long-running child in
// it, and says so.
func play(role string) int {
	if role == "refused" {
		if err := os.WriteFile("/proc/sys/user/max_net_namespaces", []byte("0"), 0); err != nil {
			fmt.Println("cannot set the limit:", err)
			return 9
		}
	}
	signals := make(chan os.Signal, 1)
	inside, status, err := lab.Enter()
	var denied *lab.DeniedError
	switch {
	case errors.As(err, &denied):
		fmt.Println("denied", denied.Setting)
		return 2
	case err != nil:
		fmt.Println(err)
		return 9
	case !inside:
		return status
	}
	signal.Notify(signals, unix.SIGTERM)
	l, err := lab.New()
	if err != nil {
		fmt.Println(err)
		return 9
	}
	stray := exec.Command("sleep", "1000")
	stray.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = l.In(lab.Client, func() error {
		nft, err := nftables.New()
		if err != nil {
			return err
		}
		nft.AddTable(&nftables.Table{Name: "left", Family: nftables.TableFamilyINet})
		return errors.Join(nft.Flush(), stray.Start())
	})
	if err != nil {
		fmt.Println(err)
		return 9
	}
	fmt.Println("ready")
	switch role {
	case "crash":
		panic("as the test wants it")
	case "return":
		return 42
	}
	<-signals
	return 43
}

// player starts the program outside of the namespaces that the tests are in.
func player(role string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(s string) bool {
		return strings.HasPrefix(s, "GARITA_LAB_INSIDE=")
	}), playEnv+"="+role)
	return cmd
}

// surroundings is what a lab must not change where it is started: processes,
// links, nftables tables, mounts.
func surroundings(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.Trim(e.Name(), "0123456789") != "" {
			continue
		}
		// An orphan that is dead and not waited for is no process any more.
		stat, err := os.ReadFile("/proc/" + e.Name() + "/stat")
		if _, state, _ := strings.Cut(string(stat), ") "); err == nil && !strings.HasPrefix(state, "Z") {
			fmt.Fprintf(&b, "process %s\n", e.Name())
		}
	}
	links, err := netlink.LinkList()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		fmt.Fprintf(&b, "link %s %v\n", l.Attrs().Name, l.Attrs().Flags)
	}
	nft, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	tables, err := nft.ListTables()
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range tables {
		fmt.Fprintf(&b, "table %s\n", x.Name)
	}
	for _, file := range []string{"/proc/self/mounts", "/etc/hosts", "/etc/resolv.conf"} {
		text, _ := os.ReadFile(file)
		fmt.Fprintf(&b, "%s:\n%s", file, text)
	}
	return b.String()
}

func TestNothingIsLeft(t *testing.T) {
	for _, c := range []struct {
		role   string
		signal os.Signal
		want   int
	}{
		{"return", nil, 42},
		{"crash", nil, 2},
		{"wait", unix.SIGTERM, 43},
		{"wait", unix.SIGKILL, 128 + 9},
	} {
		t.Run(fmt.Sprint(c.role, " ", c.signal), func(t *testing.T) {
			before := surroundings(t)
			cmd := player(c.role)
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			r := bufio.NewReader(out)
			if line, err := r.ReadString('\n'); line != "ready\n" {
				t.Fatalf("the program said %q, %v", line, err)
			}
			if c.signal != nil {
				if during := surroundings(t); during == before {
					t.Error("no process more while the lab runs: this test sees nothing")
				}
				if err := cmd.Process.Signal(c.signal); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := io.Copy(io.Discard, r); err != nil { // until the last one that has it open is dead
				t.Fatal(err)
			}
			status, err := lab.ExitStatus(cmd.Wait())
			if err != nil || status != c.want {
				t.Errorf("status %d, %v; want %d", status, err, c.want)
			}
			for begin := time.Now(); ; time.Sleep(5 * time.Millisecond) {
				after := surroundings(t)
				if after == before {
					break
				}
				if time.Since(begin) > 5*time.Second {
					t.Fatalf("before:\n%s\nafter:\n%s", before, after)
				}
			}
		})
	}
}

// Where the kernel refuses, the error names the setting. The limit that the
// program sets here on itself counts only below its own user namespace.
func TestRefused(t *testing.T) {
	cmd := player("refused")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 1}},
	}
	out, err := cmd.Output()
	status, err := lab.ExitStatus(err)
	if err != nil || status != 2 || string(out) != "denied user.max_net_namespaces=15000\n" {
		t.Errorf("status %d, %v, said %q", status, err, out)
	}
}

// A program started inside does not enter again.
func TestEnterInside(t *testing.T) {
	inside, status, err := lab.Enter()
	if !inside || status != 0 || err != nil {
		t.Errorf("inside %v, status %d, %v", inside, status, err)
	}
}
