package doctor

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

const envChild = "GARITA_DOCTOR_TEST"

func TestMain(m *testing.M) {
	switch os.Getenv(envChild) {
	case "child":
		if err := Child(os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	case "silent":
		os.Exit(0)
	case "loud":
		fmt.Fprintln(os.Stderr, "did not work")
		os.Exit(1)
	case "bare":
		// A user without any capability.
		var none [2]unix.CapUserData
		if err := unix.Capset(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &none[0]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		for _, f := range neighbours() {
			fmt.Println(f.Name, f.Status, f.Detail)
		}
		fmt.Println(user().Status)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func self(t *testing.T, role string) Config {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(envChild, role)
	return Config{Child: []string{exe}}
}

// hostState is what a probe could have changed in our own namespace.
func hostState(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for _, p := range []string{"/proc/net/ip_tables_names", "/proc/net/ip6_tables_names", "/proc/net/netfilter/nfnetlink_queue"} {
		text, err := os.ReadFile(p)
		fmt.Fprintf(&b, "%s %q %v\n", p, text, err)
	}
	nl, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer nl.Close()
	for _, get := range []netlink.HeaderType{unix.NFT_MSG_GETTABLE, unix.NFT_MSG_GETCHAIN} {
		msgs, err := nl.Execute(netlink.Message{
			Header: netlink.Header{Type: unix.NFNL_SUBSYS_NFTABLES<<8 | get, Flags: netlink.Request | netlink.Dump}, Data: []byte{0, 0, 0, 0}})
		fmt.Fprintln(&b, get, err)
		for _, m := range msgs {
			if len(m.Data) > 4 {
				fmt.Fprintf(&b, "%x\n", m.Data[4:])
			}
		}
	}
	return b.String()
}

// Whoever runs it: it reports, it fails nowhere, and it leaves no trace.
func TestProbe(t *testing.T) {
	cfg := self(t, "child")
	before := hostState(t)
	r := Probe(context.Background(), cfg)
	if after := hostState(t); after != before {
		t.Errorf("the host's namespace changed:\n%s\nwas\n%s", after, before)
	}
	got := map[string]Finding{}
	for _, f := range r.Findings {
		t.Logf("%-8s %s: %s [%s]", f.Status, f.Name, f.Detail, f.Fix)
		if f.Name == "" || f.Detail == "" || f.Status != OK && f.Status != Warn && f.Status != Missing {
			t.Errorf("incomplete: %+v", f)
		}
		if f.Status == Missing && f.Fix == "" {
			t.Errorf("%s is missing and nothing is said about what to do", f.Name)
		}
		got[f.Name] = f
	}
	if got["private namespace for the tests below"].Status != OK {
		t.Skipf("no namespace can be made here: %s", got["private namespace for the tests below"].Detail)
	}
	// What the kernel tests of this project need, a probe must not deny.
	for _, name := range []string{"nf_tables", "queueing from nftables", "binding a queue", "one queue for both directions of a flow"} {
		if got[name].Status != OK {
			t.Errorf("%s: %+v", name, got[name])
		}
	}
	if !strings.Contains(got["queue options"].Detail, "GSO") {
		t.Errorf("queue options: %+v", got["queue options"])
	}
	// The conntrack flag works exactly where the kernel's configuration says.
	if text, err := exec.Command("zcat", "/proc/config.gz").Output(); err == nil {
		want := strings.Contains(string(text), "CONFIG_NETFILTER_NETLINK_GLUE_CT=y")
		has, _, _ := strings.Cut(got["queue options"].Detail, ";")
		if strings.Contains(has, "conntrack") != want {
			t.Errorf("conntrack in the queue: kernel configured %v, found %q", want, has)
		}
		native := strings.Contains(string(text), "CONFIG_NFT_QUEUE=")
		if strings.HasPrefix(got["queueing from nftables"].Detail, "by the queue expression") != native {
			t.Errorf("queue expression: kernel configured %v, found %q", native, got["queueing from nftables"].Detail)
		}
	}
}

func TestProbeWithoutChild(t *testing.T) {
	r := Probe(context.Background(), Config{})
	if r.Worst() == OK {
		t.Error("nothing was tried and all is well")
	}
}

func TestChildThatFails(t *testing.T) {
	for role, want := range map[string]string{"silent": "answer", "loud": "did not work"} {
		f, _ := inNamespace(context.Background(), Config{Child: self(t, role).Child, Timeout: 1 << 36})
		if f.Status != Warn || !strings.Contains(f.Detail, want) && !strings.Contains(f.Detail, "operation not permitted") {
			t.Errorf("%s: %+v", role, f)
		}
	}
}

// An unprivileged user is told what could not be seen.
func TestWithoutPrivilege(t *testing.T) {
	cmd := exec.Command(self(t, "bare").Child[0])
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWNET}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Skipf("no user namespace: %v %s", err, out)
	}
	text := string(out)
	if !strings.Contains(text, "garita in this namespace warn can not be seen without CAP_NET_ADMIN") ||
		!strings.Contains(text, "could not look at: the nftables rule set") || !strings.HasSuffix(text, "missing\n") {
		t.Errorf("got:\n%s", text)
	}
}

func TestRelease(t *testing.T) {
	for text, want := range map[string][3]int{
		"6.18.44-fc-v595": {6, 18, 44}, "6.1.0-56-cloud-amd64": {6, 1, 0}, "5.4": {5, 4, 0}, "": {}, "x.y.z": {}, "7.3-rc1": {7, 3, 0},
	} {
		if got := release(text); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
	if !atLeast([3]int{6, 18, 0}, 6, 4) || atLeast([3]int{6, 18, 0}, 7, 0) || atLeast([3]int{5, 19, 0}, 6, 4) {
		t.Error("versions compare wrongly")
	}
}

func TestToolOf(t *testing.T) {
	for _, c := range []struct {
		table, chain string
		family       byte
		want         string
	}{
		{"firewalld", "filter_INPUT", 1, byFirewalld}, {"filter", "DOCKER-USER", 2, byDocker}, {"filter", "INPUT", 2, byIptablesNft},
		{"nat", "KUBE-SERVICES", 2, byKube}, {"filter", "input", 1, ""}, {"mine", "INPUT", 2, ""}, {"docker-bridges", "x", 2, byDocker},
		{"filter", "cali-INPUT", 2, byCalico}, {"filter", "INPUT", 1, ""}, {"", "", 2, ""},
	} {
		if got := toolOf(c.table, c.chain, c.family); got != c.want {
			t.Errorf("%s %s: %q, want %q", c.table, c.chain, got, c.want)
		}
	}
}

func TestLimits(t *testing.T) {
	for _, c := range []struct {
		v      [3]int
		status Status
		says   string
	}{
		{[3]int{6, 1, 192}, OK, "in proportion"}, {[3]int{6, 12, 94}, OK, "in proportion"}, {[3]int{6, 12, 95}, OK, "65536"},
		{[3]int{6, 18, 44}, OK, "65536"}, {[3]int{7, 0, 0}, OK, "65536"}, {[3]int{7, 3, 0}, Warn, "must keep"},
	} {
		if f := limitsOf(c.v); f.Status != c.status || !strings.Contains(f.Detail, c.says) {
			t.Errorf("%v: %+v", c.v, f)
		}
	}
}
