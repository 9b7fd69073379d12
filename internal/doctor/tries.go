package doctor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/garita/garita/divert"
	"github.com/garita/garita/packet"
)

// These try things, in a namespace that was made for them.

func tries() []Finding {
	out := []Finding{tables(), queueing()}
	out = append(out, spreading(), failing())
	out = append(out, queues()...)
	out = append(out, conntrack(), legacy())
	return out
}

func tables() Finding {
	f := Finding{Name: "nf_tables"}
	if _, err := divert.List(); err != nil {
		f.Status, f.Detail = Missing, err.Error()
		f.Fix = "a kernel with CONFIG_NF_TABLES and CONFIG_NF_TABLES_INET (modprobe nf_tables)"
		return f
	}
	f.Status, f.Detail = OK, "usable"
	return f
}

// try installs a diversion, looks at it and takes it away again.
func try(spec divert.Spec, look func(*divert.Diversion)) error {
	spec.Lifelines.SSHPorts = []uint16{22}
	d, err := divert.Install(spec)
	if err != nil {
		return err
	}
	look(d)
	return d.Remove()
}

func queueing() Finding {
	f := Finding{Name: "queueing from nftables"}
	native := try(divert.Spec{Backend: divert.BackendNative}, func(*divert.Diversion) {})
	compat := try(divert.Spec{Backend: divert.BackendCompat}, func(*divert.Diversion) {})
	switch {
	case native == nil && compat == nil:
		f.Status, f.Detail = OK, "by the queue expression; the NFQUEUE target is there as well"
	case native == nil:
		f.Status, f.Detail = OK, "by the queue expression"
	case compat == nil:
		f.Status, f.Detail = OK, "by the NFQUEUE target through nft_compat (no queue expression in this kernel)"
	case errors.Is(native, divert.ErrNoQueue) && errors.Is(compat, divert.ErrNoQueue):
		f.Status, f.Detail = Missing, "neither the queue expression nor the NFQUEUE target"
		f.Fix = "modprobe nft_queue, or nft_compat and xt_NFQUEUE; or a kernel with CONFIG_NFT_QUEUE"
	default:
		f.Status, f.Detail = Missing, compat.Error()
	}
	return f
}

func spreading() Finding {
	f := Finding{Name: "one queue for both directions of a flow"}
	var have divert.Features
	err := try(divert.Spec{Queues: 2, Hooks: []packet.Hook{packet.Prerouting}}, func(d *divert.Diversion) { have = d.Features() })
	switch {
	case err != nil:
		f.Status, f.Detail = Missing, err.Error()
	case !have.Hash:
		f.Status, f.Detail = Warn, "no hash expression: all flows between two addresses share a queue"
		f.Fix = "modprobe nft_hash, or a kernel with CONFIG_NFT_HASH"
	default:
		f.Status, f.Detail = OK, "flows are spread by addresses and ports, symmetrically"
	}
	if err == nil && !have.Fib {
		f.Detail += "; no fib expression: at prerouting and postrouting all ssh is spared, not only this host's"
	}
	return f
}

// failing: what becomes of the table when garita dies?
func failing() Finding {
	f := Finding{Name: "rules that vanish or stay when garita dies"}
	var open, closed divert.Ownership
	err := errors.Join(
		try(divert.Spec{}, func(d *divert.Diversion) { open = d.Ownership() }),
		try(divert.Spec{Fail: divert.FailClosed}, func(d *divert.Diversion) { closed = d.Ownership() }))
	if err != nil {
		f.Status, f.Detail = Missing, err.Error()
		return f
	}
	f.Status = OK
	f.Detail = "fail open: the table vanishes with the process"
	if open != divert.Owned {
		f.Status = Warn
		f.Detail = "fail open: the table stays and lets traffic pass (table owners came with Linux 5.12)"
		f.Fix = "after a crash run garita clean"
	}
	switch closed {
	case divert.Persistent:
		f.Detail += "; fail closed: it stays, protected from others while garita lives"
	default:
		f.Detail += "; fail closed: it stays, and other programs can change it (persistent owners came with Linux 6.9)"
	}
	return f
}

// nfnetlink_queue's CONFIG message (uapi/linux/netfilter/nfnetlink_queue.h).
const (
	msgConfig  = unix.NFNL_SUBSYS_QUEUE<<8 | 2
	cfgCmd     = 1
	cfgMask    = 4
	cfgFlags   = 5
	cmdBind    = 1
	cmdUnbind  = 2
	probeQueue = 0 // this namespace has no other user of it
)

var queueFlags = []struct {
	bit                uint32
	name, without, fix string
}{
	{0x01, "fail-open", "when a queue is full packets are dropped", "Linux 3.6"},
	{0x02, "conntrack", "packets come without connection tracking state, and a verdict can not set it", "modprobe nf_conntrack_netlink; a kernel with CONFIG_NETFILTER_NETLINK_GLUE_CT"},
	{0x04, "GSO", "large packets are cut up before they are queued, and TCP is some ten times slower", "Linux 3.10"},
	{0x08, "uid/gid", "packets come without the user they belong to", "Linux 3.14"},
	{0x10, "security context", "packets come without their SELinux label", "a kernel with CONFIG_NETWORK_SECMARK"},
}

func queues() []Finding {
	f := Finding{Name: "binding a queue"}
	nl, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err == nil {
		defer nl.Close()
		err = config(nl, cmdBind, 0)
	}
	if err != nil {
		f.Status, f.Detail = Missing, err.Error()
		f.Fix = "modprobe nfnetlink_queue, or a kernel with CONFIG_NETFILTER_NETLINK_QUEUE"
		return []Finding{f}
	}
	f.Status, f.Detail = OK, "nfnetlink_queue answers"
	var have, lack, fixes []string
	for _, q := range queueFlags {
		_ = config(nl, cmdUnbind, 0)
		err := config(nl, cmdBind, q.bit)
		if err != nil {
			// The first try may have made the kernel load the module.
			err = config(nl, cmdBind, q.bit)
		}
		switch {
		case err == nil:
			have = append(have, q.name)
		case errnoIn(err, unix.EOPNOTSUPP, unix.EINVAL):
			lack = append(lack, q.name+": "+q.without)
			fixes = append(fixes, q.name+": "+q.fix)
		default:
			lack = append(lack, q.name+": "+err.Error())
		}
	}
	g := Finding{Name: "queue options", Status: OK, Detail: "has " + strings.Join(have, ", ")}
	if len(lack) != 0 {
		g.Status = Warn
		g.Detail += "; has not " + strings.Join(lack, "; ")
		g.Fix = strings.Join(fixes, "; ")
	}
	return []Finding{f, g}
}

func config(nl *netlink.Conn, cmd byte, flags uint32) error {
	ae := netlink.NewAttributeEncoder()
	ae.Bytes(cfgCmd, []byte{cmd, 0, 0, 0})
	if flags != 0 {
		be := []byte{byte(flags >> 24), byte(flags >> 16), byte(flags >> 8), byte(flags)}
		ae.Bytes(cfgMask, be)
		ae.Bytes(cfgFlags, be)
	}
	data, err := ae.Encode()
	if err != nil {
		return err
	}
	_, err = nl.Execute(netlink.Message{
		Header: netlink.Header{Type: msgConfig, Flags: netlink.Request | netlink.Acknowledge},
		Data:   append([]byte{unix.AF_UNSPEC, unix.NFNETLINK_V0, probeQueue >> 8, probeQueue & 0xff}, data...),
	})
	return err
}

// conntrack: can rules see it, and programs ask for it?
func conntrack() Finding {
	f := Finding{Name: "connection tracking"}
	c, err := nftables.New()
	if err == nil {
		t := c.AddTable(&nftables.Table{Name: "doctor", Family: nftables.TableFamilyINet})
		ch := c.AddChain(&nftables.Chain{Name: "ct", Table: t})
		c.AddRule(&nftables.Rule{Table: t, Chain: ch, Exprs: []expr.Any{
			&expr.Ct{Key: expr.CtKeyMARK, Register: 1},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{0, 0, 0, 0}},
		}})
		err = c.Flush()
	}
	if err != nil {
		f.Status, f.Detail = Warn, "rules can not see it: "+err.Error()
		f.Fix = "modprobe nf_conntrack nft_ct; a kernel with CONFIG_NF_CONNTRACK and CONFIG_NFT_CT. Without it fragments are judged one by one and decided flows can not skip the queue"
		return f
	}
	f.Status, f.Detail = OK, "rules can match and set its mark"
	nl, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err == nil {
		defer nl.Close()
		// Not IPCTNL_MSG_CT_GET_STATS, whose one answer says that more follow.
		const getStatsCPU = unix.NFNL_SUBSYS_CTNETLINK<<8 | 4
		_, err = nl.Execute(netlink.Message{Header: netlink.Header{Type: getStatsCPU, Flags: netlink.Request | netlink.Dump}, Data: []byte{0, 0, 0, 0}})
	}
	if err != nil {
		f.Status = Warn
		f.Detail += "; programs can not ask for it: " + err.Error()
		f.Fix = "modprobe nf_conntrack_netlink; a kernel with CONFIG_NF_CT_NETLINK"
	}
	return f
}

// legacy: does the kernel still have the tables of iptables-legacy?
func legacy() Finding {
	f := Finding{Name: "legacy tables"}
	var have, lack []string
	for _, p := range []struct {
		name           string
		domain, level  int
		module, filter string
	}{
		{"IPv4", unix.AF_INET, unix.IPPROTO_IP, "ip_tables", "iptable_filter"},
		{"IPv6", unix.AF_INET6, unix.IPPROTO_IPV6, "ip6_tables", "ip6table_filter"},
	} {
		// Asking a kernel that has to load the module first would put its hooks
		// into every namespace on some versions: never make it load.
		switch moduleState(p.filter) {
		case moduleLoadable:
			have = append(have, p.name+" (module "+p.filter+", not loaded)")
			continue
		case moduleAbsent:
			lack = append(lack, p.name)
			continue
		}
		if err := legacyInfo(p.domain, p.level); err != nil {
			lack = append(lack, fmt.Sprintf("%s (%v)", p.name, err))
		} else {
			have = append(have, p.name)
		}
	}
	f.Status = OK
	f.Detail = "available for " + strings.Join(have, " and ")
	if len(have) == 0 {
		f.Detail = "not in this kernel; garita does not need them"
	} else if len(lack) != 0 {
		f.Detail += ", not for " + strings.Join(lack, " and ")
	}
	return f
}

// legacyInfo asks for the filter table (IPT_SO_GET_INFO and IP6T_SO_GET_INFO are
// both 64, struct ipt_getinfo is 84 bytes). It brings the table to life in this
// namespace.
func legacyInfo(domain, level int) error {
	fd, err := unix.Socket(domain, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return getInfo(fd, level)
}

type modState int

const (
	moduleBuiltin modState = iota // or loaded: asking loads nothing
	moduleLoadable
	moduleAbsent
)

// moduleState says whether a module is in the kernel, or could be.
func moduleState(name string) modState {
	loaded, err := os.ReadFile("/proc/modules")
	if err != nil {
		return moduleBuiltin // a kernel without modules has it, or asking says that not
	}
	for line := range strings.Lines(string(loaded)) {
		if strings.HasPrefix(line, name+" ") {
			return moduleBuiltin
		}
	}
	dir := filepath.Join("/lib/modules", utsRelease())
	file := "/" + name + ".ko"
	if builtin, err := os.ReadFile(dir + "/modules.builtin"); err == nil && strings.Contains(string(builtin), file) {
		return moduleBuiltin
	}
	if dep, err := os.ReadFile(dir + "/modules.dep"); err == nil && strings.Contains(string(dep), file) {
		return moduleLoadable
	}
	return moduleAbsent
}
