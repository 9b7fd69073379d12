package doctor

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/features"
	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"github.com/garita/garita/divert"
)

// These look at the host and change nothing.

var capabilities = []struct {
	bit  uint
	name string
}{
	{unix.CAP_NET_ADMIN, "CAP_NET_ADMIN"}, {unix.CAP_NET_RAW, "CAP_NET_RAW"}, {unix.CAP_SYS_ADMIN, "CAP_SYS_ADMIN"},
	{unix.CAP_BPF, "CAP_BPF"}, {unix.CAP_PERFMON, "CAP_PERFMON"},
}

func effective() (uint64, error) {
	var data [2]unix.CapUserData
	err := unix.Capget(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &data[0])
	return uint64(data[1].Effective)<<32 | uint64(data[0].Effective), err
}

// initialUserNS: are the capabilities those of the host itself? The map of the
// initial user namespace is the identity over all numbers.
func initialUserNS() bool {
	text, err := os.ReadFile("/proc/self/uid_map")
	f := strings.Fields(string(text))
	return err == nil && len(f) == 3 && f[0] == "0" && f[1] == "0" && f[2] == "4294967295"
}

func user() Finding {
	f := Finding{Name: "privilege"}
	have, err := effective()
	if err != nil {
		f.Status, f.Detail = Warn, "capabilities can not be read: "+err.Error()
		return f
	}
	var names []string
	for _, c := range capabilities {
		if have>>c.bit&1 != 0 {
			names = append(names, c.name)
		}
	}
	where := "on the host"
	if !initialUserNS() {
		where = "inside a user namespace (a container or a lab)"
	}
	f.Detail = fmt.Sprintf("uid %d with %s, %s", os.Geteuid(), orNone(names), where)
	switch {
	case have>>unix.CAP_NET_ADMIN&1 == 0:
		f.Status = Missing
		f.Fix = "garita run needs CAP_NET_ADMIN (and CAP_NET_RAW for reject): run as root, or setcap cap_net_admin,cap_net_raw+ep on the binary. garita lab, replay and check need nothing"
	case have>>unix.CAP_NET_RAW&1 == 0:
		f.Status, f.Fix = Warn, "reject needs CAP_NET_RAW"
	default:
		f.Status = OK
	}
	return f
}

func orNone(list []string) string {
	if len(list) == 0 {
		return "no capability that matters"
	}
	return strings.Join(list, " ")
}

// release is the kernel's version as numbers: 6.1.0-13 is {6, 1, 0}.
func release(text string) [3]int {
	var v [3]int
	for i, f := range strings.SplitN(text, ".", 3) {
		end := strings.IndexFunc(f, func(r rune) bool { return r < '0' || r > '9' })
		if end < 0 {
			end = len(f)
		}
		v[i], _ = strconv.Atoi(f[:end])
	}
	return v
}

func utsRelease() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}

func atLeast(v [3]int, major, minor int) bool {
	return v[0] > major || v[0] == major && v[1] >= minor
}

func kernelVersion() Finding {
	text := utsRelease()
	f := Finding{Name: "kernel", Status: OK, Detail: "Linux " + text}
	v := release(text)
	switch {
	case !atLeast(v, 3, 14):
		f.Status, f.Fix = Missing, "garita needs Linux 3.14, and wants 5.12"
	case !atLeast(v, 5, 12):
		f.Status, f.Fix = Warn, "from Linux 5.12 on the rules vanish with garita; before, garita clean must remove them (they let traffic pass meanwhile)"
	}
	return f
}

// kernelLimits names what is known to depend on the version and cannot be tried.
func kernelLimits() Finding {
	return limitsOf(release(utsRelease()))
}

func limitsOf(v [3]int) Finding {
	f := Finding{Name: "kernel limits", Status: OK}
	var notes []string
	if hashed := atLeast(v, 7, 0) || v[0] == 6 && (v[1] == 18 && v[2] >= 44 || v[1] == 12 && v[2] >= 95); hashed {
		notes = append(notes, "at most 65536 packets wait in a queue, whatever maximum is asked for")
	} else {
		notes = append(notes, "a verdict out of order costs time in proportion to the packets waiting")
	}
	if atLeast(v, 7, 3) {
		f.Status = Warn
		notes = append(notes, "a rewritten packet must keep its IP options, extension headers and protocol, and is refused altogether in a namespace owned by another user namespace than the initial one")
		f.Fix = "try replace rules as root rather than in a lab of an ordinary user"
	}
	notes = append(notes, "a packet can be read and rewritten up to 65531 bytes")
	f.Detail = strings.Join(notes, "; ")
	return f
}

// receiveBuffer: how much may wait in a queue's socket?
func receiveBuffer() Finding {
	f := Finding{Name: "receive buffer"}
	const want = 32 << 20
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		f.Status, f.Detail = Missing, "no netfilter netlink socket: "+err.Error()
		f.Fix = "a kernel with CONFIG_NETFILTER_NETLINK"
		return f
	}
	defer unix.Close(fd)
	limit, _ := readSysctl("net/core/rmem_max")
	force := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, want)
	if force != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, want)
	}
	got, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF)
	if err != nil {
		f.Status, f.Detail = Warn, err.Error()
		return f
	}
	// The kernel charges 832 bytes for a small packet and 2315 for a full one.
	f.Detail = fmt.Sprintf("%d KiB granted of %d: room for about %d small or %d full packets in each queue",
		got>>10, 2*want>>10, got/832, got/2315)
	if got >= want {
		f.Status = OK
		return f
	}
	f.Status = Warn
	f.Detail += fmt.Sprintf("; SO_RCVBUFFORCE was refused (%v) and net.core.rmem_max is %s", force, limit)
	f.Fix = fmt.Sprintf("run with CAP_NET_ADMIN on the host, or sysctl net.core.rmem_max=%d", want)
	return f
}

func bpf() []Finding {
	f := Finding{Name: "BPF at the netfilter hooks"}
	err := features.HaveProgramType(ebpf.Netfilter)
	switch {
	case err == nil:
		f.Status, f.Detail = OK, "this kernel and user can load netfilter programs"
	case errors.Is(err, ebpf.ErrNotSupported):
		f.Status, f.Detail = Warn, "this kernel has none"
		f.Fix = "Linux 6.4 with CONFIG_BPF_SYSCALL and CONFIG_DEBUG_INFO_BTF; garita works without"
	case errors.Is(err, unix.EPERM):
		f.Status, f.Detail = Warn, "not allowed to load programs, so it can not be told"
		f.Fix = "CAP_BPF and CAP_NET_ADMIN on the host; garita works without"
	default:
		f.Status, f.Detail = Warn, err.Error()
	}
	b := Finding{Name: "kernel type information (BTF)", Status: OK, Detail: "/sys/kernel/btf/vmlinux is there"}
	if _, err := os.Stat("/sys/kernel/btf/vmlinux"); err != nil {
		b.Status, b.Detail, b.Fix = Warn, "absent", "a kernel with CONFIG_DEBUG_INFO_BTF; garita works without"
	}
	return []Finding{f, b}
}

// neighbours: who else has rules here, and is a garita at work?
func neighbours() []Finding {
	self := Finding{Name: "garita in this namespace"}
	found, err := divert.List()
	switch {
	case errors.Is(err, divert.ErrPrivilege):
		self.Status, self.Detail = Warn, "can not be seen without CAP_NET_ADMIN"
		self.Fix = "run garita doctor as root"
	case err != nil:
		self.Status, self.Detail = Warn, err.Error()
	case len(found) == 0:
		self.Status, self.Detail = OK, "none is diverting, and nothing was left behind"
	default:
		self.Status = OK
		for i := range found {
			if i > 0 {
				self.Detail += "; "
			}
			self.Detail += found[i].String()
			if found[i].Owner.PortID == 0 {
				self.Status = Warn
				self.Fix = "nobody owns it: start garita again, or remove it with garita clean"
			}
		}
	}
	other := Finding{Name: "other packet filters", Status: OK}
	var who, unseen []string
	if err == nil {
		tools, err := nftTools()
		if err != nil {
			unseen = append(unseen, "nftables: "+err.Error())
		}
		who = append(who, tools...)
	} else {
		unseen = append(unseen, "the nftables rule set (needs CAP_NET_ADMIN)")
	}
	for _, p := range []string{"ip", "ip6"} {
		text, err := os.ReadFile("/proc/net/" + p + "_tables_names")
		switch {
		case err == nil && len(text) != 0:
			who = append(who, fmt.Sprintf("legacy %stables in use (%s): they judge as well, in order of priority",
				p, strings.Join(strings.Fields(string(text)), " ")))
		case errors.Is(err, os.ErrPermission):
			unseen = append(unseen, "/proc/net/"+p+"_tables_names (needs root)")
		}
	}
	for _, s := range []struct{ path, name string }{
		{"/run/firewalld", "firewalld runs"}, {"/run/docker.sock", "docker runs"}, {"/var/lib/kubelet", "a kubelet is installed"},
	} {
		if _, err := os.Stat(s.path); err == nil {
			who = append(who, s.name)
		}
	}
	other.Detail = "none found"
	if len(who) != 0 {
		other.Detail = strings.Join(who, "; ") + ". garita adds a table of its own and touches none of theirs"
	}
	if len(unseen) != 0 {
		other.Status = Warn
		other.Detail += "; could not look at: " + strings.Join(unseen, ", ")
	}
	return []Finding{self, other}
}

// nftTools guesses from names in the nftables rule set who made it.
func nftTools() ([]string, error) {
	c, err := nftables.New()
	if err != nil {
		return nil, err
	}
	chains, err := c.ListChains()
	if err != nil {
		return nil, err
	}
	tables := map[string]bool{}
	seen := map[string]bool{}
	for _, ch := range chains {
		tables[ch.Table.Name] = true
		if by := toolOf(ch.Table.Name, ch.Name, byte(ch.Table.Family)); by != "" {
			seen[by] = true
		}
	}
	var out []string
	for _, by := range []string{byFirewalld, byDocker, byKube, byCalico, byCilium, byIptablesNft} {
		if seen[by] {
			out = append(out, by)
		}
	}
	delete(tables, "garita")
	if len(out) == 0 && len(tables) != 0 {
		out = append(out, fmt.Sprintf("%d nftables tables of other names", len(tables)))
	}
	return out, nil
}

const (
	byFirewalld   = "firewalld's nftables table"
	byDocker      = "docker's chains"
	byKube        = "kube-proxy's chains (rewritten often)"
	byCalico      = "calico's chains (rewritten often)"
	byCilium      = "cilium's chains"
	byIptablesNft = "iptables-nft tables"
)

func toolOf(table, chain string, family byte) string {
	upper := chain != "" && chain[0] >= 'A' && chain[0] <= 'Z'
	switch {
	case table == "firewalld":
		return byFirewalld
	case strings.HasPrefix(table, "docker"), strings.HasPrefix(chain, "DOCKER"):
		return byDocker
	case table == "kube-proxy", strings.HasPrefix(chain, "KUBE-"):
		return byKube
	case strings.HasPrefix(chain, "cali-"):
		return byCalico
	case strings.HasPrefix(chain, "CILIUM_"):
		return byCilium
	case (family == unix.NFPROTO_IPV4 || family == unix.NFPROTO_IPV6) && upper:
		switch table {
		case "filter", "nat", "mangle", "raw", "security":
			return byIptablesNft
		}
	}
	return ""
}

func readSysctl(name string) (string, bool) {
	text, err := os.ReadFile("/proc/sys/" + name)
	return strings.TrimSpace(string(text)), err == nil
}

func slashToDot(name string) string { return strings.ReplaceAll(name, "/", ".") }
