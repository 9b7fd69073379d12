package divert

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/garita/garita/iptc"
	"github.com/garita/garita/packet"
)

// The legacy backend: the same chains as xtables rules, in IPv4's and IPv6's
// tables. Ours are chains whose names begin with legacyPrefix and, as the first
// rule of a built-in chain, a jump to one of them; nothing else is touched, and
// each table is replaced in one step with everybody's counters kept.
//
// A queued packet goes on behind the table that queued it, so it skips what
// others have in the same table and chain behind us. Hence the table security,
// which is there for the three usual hooks and which hardly anybody uses; it
// stands behind the host's filter. Prerouting and Postrouting have only mangle.

const legacyPrefix = "garita-"

// legacyOwnerSocket is bound, in the abstract namespace that each network
// namespace has of its own, as long as the owner lives.
const legacyOwnerSocket = "@garita/divert/legacy"

// legacy is what an installed diversion holds.
type legacy struct {
	tables []*iptc.Table
	hooks  [][]packet.Hook // of each table
	lock   iptc.Lock
	owner  *net.UnixListener
	want   []string // what each table held of ours after the last change
}

// inNetNS runs f on a thread in that network namespace (0: where it is).
func inNetNS(fd int, f func() error) error {
	if fd == 0 {
		return f()
	}
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with its namespace
		if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
			done <- &Error{Op: "enter network namespace", Errno: errnoOf(err)}
			return
		}
		done <- f()
	}()
	return <-done
}

// openLegacy opens the tables and becomes the owner.
func openLegacy(spec *Spec) (*legacy, error) {
	l := &legacy{}
	err := inNetNS(spec.NetNS, func() error {
		var err error
		l.owner, err = net.ListenUnix("unix", &net.UnixAddr{Name: legacyOwnerSocket, Net: "unix"})
		if errors.Is(err, unix.EADDRINUSE) {
			return &OwnedError{legacyOwner()}
		}
		if err != nil {
			return &Error{Op: "bind the owner's socket", Errno: errnoOf(err)}
		}
		for _, f := range []iptc.Family{iptc.IPv4, iptc.IPv6} {
			if err := l.open(f, spec.hooks()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		_ = l.close()
		return nil, err
	}
	return l, nil
}

// open opens the tables of one family that the hooks need.
func (l *legacy) open(f iptc.Family, hooks []packet.Hook) error {
	const security, mangle = "security", "mangle"
	groups := map[string][]packet.Hook{}
	for _, h := range hooks {
		name := security
		if h == packet.Prerouting || h == packet.Postrouting {
			name = mangle
		}
		groups[name] = append(groups[name], h)
	}
	for _, name := range []string{security, mangle} {
		if groups[name] == nil {
			continue
		}
		t, err := iptc.Open(f, name)
		if errors.Is(err, unix.ENOENT) && name == security { // a kernel without it
			groups[mangle] = append(groups[mangle], groups[name]...)
			continue
		}
		if err != nil {
			return legacyError("open table "+name, err)
		}
		l.tables = append(l.tables, t)
		l.hooks = append(l.hooks, groups[name])
	}
	return nil
}

func legacyError(op string, err error) error {
	e := &Error{Op: op, Errno: errnoOf(err), Message: err.Error()}
	switch {
	case errors.Is(err, unix.EPERM):
		e.Reason = ErrPrivilege
	case errors.Is(err, unix.ENOPROTOOPT), errors.Is(err, unix.ENOENT) && strings.HasPrefix(op, "open"):
		e.Reason = ErrNoLegacy
	}
	if e.Errno == 0 {
		e.Reason = err
	}
	return e
}

// legacyOwner asks who holds the owner's socket.
func legacyOwner() Owner {
	o := Owner{}
	c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: legacyOwnerSocket, Net: "unix"})
	if err != nil {
		return o
	}
	defer c.Close()
	raw, err := c.SyscallConn()
	if err != nil {
		return o
	}
	_ = raw.Control(func(fd uintptr) {
		if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			o.PID = int(cred.Pid)
		}
	})
	comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", o.PID))
	o.Command = strings.TrimSpace(string(comm))
	return o
}

func (l *legacy) close() error {
	for _, t := range l.tables {
		t.Close()
	}
	if l.owner != nil {
		return l.owner.Close()
	}
	return nil
}

// change edits every table and commits; if one is refused, those before it are
// put back by undo.
func (l *legacy) change(what string, edit, undo func(i int, t *iptc.Table) error) error {
	for i, t := range l.tables {
		err := t.Refresh()
		if err == nil {
			err = edit(i, t)
		}
		if err == nil {
			err = t.Commit(l.lock)
		}
		if err == nil {
			continue
		}
		for k := range i {
			if l.tables[k].Refresh() == nil && undo(k, l.tables[k]) == nil {
				_ = l.tables[k].Commit(l.lock)
			}
		}
		return legacyError(what+" in table "+t.Name(), err)
	}
	return nil
}

// apply makes the tables what the specification says.
func (l *legacy) apply(s *Spec, sshPorts []uint16) error {
	err := l.change("divert", func(i int, t *iptc.Table) error {
		if err := removeLegacy(t); err != nil {
			return err
		}
		for _, line := range s.legacyLines(t.Family(), l.hooks[i], sshPorts) {
			words, err := iptc.Words(line)
			if err == nil {
				err = t.Command(words)
			}
			if err != nil {
				return fmt.Errorf("%s: %w", line, err)
			}
		}
		return nil
	}, func(_ int, t *iptc.Table) error { return removeLegacy(t) })
	if err != nil {
		return err
	}
	l.want = l.want[:0]
	for _, t := range l.tables {
		l.want = append(l.want, legacyOurs(t))
	}
	return nil
}

// removeLegacy takes out what is ours.
func removeLegacy(t *iptc.Table) error {
	var ours []string
	for c := range t.Chains() {
		if strings.HasPrefix(c.Name(), legacyPrefix) {
			ours = append(ours, c.Name())
		}
	}
	for c := range t.Chains() {
		if !c.Builtin() {
			continue
		}
		for i := c.Len() - 1; i >= 0; i-- {
			if slices.Contains(ours, c.Rule(i).Target().Chain) {
				if err := t.DeleteNum(c.Name(), i); err != nil {
					return err
				}
			}
		}
	}
	for _, n := range ours {
		if err := t.Flush(n); err != nil {
			return err
		}
	}
	for _, n := range ours {
		if err := t.DeleteChain(n); err != nil {
			return err
		}
	}
	return nil
}

// legacyOurs is what is ours in a table as text: the chains' rules, and which
// built-in chains begin with a jump to us.
func legacyOurs(t *iptc.Table) string {
	var b strings.Builder
	for c := range t.Chains() {
		ours := strings.HasPrefix(c.Name(), legacyPrefix)
		if !ours {
			if r := c.Rule(0); r == nil || !strings.HasPrefix(r.Target().Chain, legacyPrefix) {
				continue
			}
		}
		for i, r := range c.Rules() {
			if ours || i == 0 {
				fmt.Fprintf(&b, "%s %s\n", c.Name(), r.Spec())
			}
		}
	}
	return b.String()
}

// stop takes the jumps' targets their rules: nothing is queued any more.
func (l *legacy) stop() error {
	return l.change("stop", func(i int, t *iptc.Table) error {
		for _, h := range l.hooks[i] {
			if name := legacyPrefix + hookName(h); t.Chain(name) != nil {
				if err := t.Flush(name); err != nil {
					return err
				}
			}
		}
		return nil
	}, func(int, *iptc.Table) error { return nil })
}

func (l *legacy) remove() error {
	return l.change("remove", func(_ int, t *iptc.Table) error { return removeLegacy(t) },
		func(int, *iptc.Table) error { return nil })
}

// check compares with what was installed.
func (l *legacy) check() error {
	var what []string
	for i, t := range l.tables {
		if err := t.Refresh(); err != nil {
			return legacyError("read table "+t.Name(), err)
		}
		if legacyOurs(t) != l.want[i] {
			what = append(what, fmt.Sprintf("our chains in the legacy %s table %s", t.Family(), t.Name()))
		}
	}
	if what != nil {
		return &ChangedError{What: what}
	}
	return nil
}

// legacyWatchEvery is how often the tables are looked at: they tell nobody when
// they change.
const legacyWatchEvery = time.Second

func (d *Diversion) watchLegacy(ctx context.Context) error {
	tick := time.NewTicker(legacyWatchEvery)
	defer tick.Stop()
	for {
		if err := d.Check(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

func (l *legacy) syscallConn() (syscall.RawConn, error) { return l.owner.SyscallConn() }

// degraded says what is not as with nftables.
func (l *legacy) degraded(s *Spec) []string {
	out := []string{"the rules do not vanish with the process, they only let traffic by then: legacy tables have no owners"}
	if s.Fail == FailClosed {
		out = []string{"other programs can change the rules: legacy tables have no owners"}
	}
	if s.queues() > 1 {
		out = append(out, "flows between the same two addresses share one queue: legacy tables spread by address")
	}
	if s.SpareDecided {
		out = append(out, "flows that are finished with stay in the queue: with legacy tables they are not told apart")
	}
	for i, t := range l.tables {
		for _, h := range l.hooks[i] {
			c := t.Chain(strings.ToUpper(hookName(h)))
			if c == nil || c.Len() < 2 {
				continue
			}
			out = append(out, fmt.Sprintf("packets that were queued skip the %d rules of others in the %s table %s, chain %s", c.Len()-1, t.Family(), t.Name(), c.Name()))
		}
	}
	return out
}

// legacyLines is the installation in one table, in iptables' words.
func (s *Spec) legacyLines(f iptc.Family, hooks []packet.Hook, sshPorts []uint16) []string {
	const queue, sel, out = legacyPrefix + queueName, legacyPrefix + selectName, legacyPrefix + outName
	target := fmt.Sprintf("-j NFQUEUE --queue-num %d", s.Queue)
	if n := s.queues(); n > 1 {
		target = fmt.Sprintf("-j NFQUEUE --queue-balance %d:%d", s.Queue, s.Queue+n-1)
	}
	if s.Fail == FailOpen {
		target += " --queue-bypass"
	}
	lines := []string{"-N " + queue, "-A " + queue + " " + target}
	next := queue
	if protos := s.selectProtocols(); protos != nil {
		lines = append(lines, "-N "+sel)
		for _, p := range protos {
			if len(s.Ports) == 0 {
				lines = append(lines, fmt.Sprintf("-A %s -p %d -g %s", sel, p, queue))
			}
			for _, r := range s.Ports {
				ports := fmt.Sprint(r.First)
				if r.last() != r.First {
					ports = fmt.Sprintf("%d:%d", r.First, r.last())
				}
				lines = append(lines, fmt.Sprintf("-A %s -p %d -m multiport --ports %s -g %s", sel, p, ports, queue))
			}
		}
		next = sel
	}
	if len(s.In) != 0 && len(s.Out) != 0 {
		lines = append(lines, "-N "+out)
		for _, n := range s.Out {
			lines = append(lines, fmt.Sprintf("-A %s%s -g %s", out, legacyIface("-o", n), next))
		}
	}
	for _, h := range hooks {
		chain := legacyPrefix + hookName(h)
		lines = append(lines, "-N "+chain)
		for _, r := range s.legacyLifelines(f, h, sshPorts) {
			lines = append(lines, "-A "+chain+" "+r+" -j RETURN")
		}
		for _, r := range s.legacyEntrance(h, next, out) {
			lines = append(lines, "-A "+chain+r)
		}
		lines = append(lines, fmt.Sprintf("-I %s 1 -j %s", strings.ToUpper(hookName(h)), chain))
	}
	return lines
}

func legacyIface(opt, name string) string {
	n, prefix := ifPattern(name)
	switch {
	case !prefix:
		return " " + opt + " " + n
	case n == "":
		return ""
	}
	return " " + opt + " " + n + "+"
}

func (s *Spec) legacyEntrance(h packet.Hook, next, out string) []string {
	list := func(opt string, names []string, to string) []string {
		var l []string
		for _, n := range names {
			l = append(l, legacyIface(opt, n)+" -g "+to)
		}
		return l
	}
	in, outs := len(s.In) != 0, len(s.Out) != 0
	switch {
	case !in && !outs:
		return []string{" -g " + next}
	case in && outs && knowsIn(h) && knowsOut(h):
		return list("-i", s.In, out)
	case in && knowsIn(h):
		return list("-i", s.In, next)
	case outs && knowsOut(h):
		return list("-o", s.Out, next)
	}
	return nil
}

// legacyLifelines are the conditions of what is spared.
func (s *Spec) legacyLifelines(f iptc.Family, h packet.Hook, sshPorts []uint16) []string {
	own := s.Marks.Own()
	list := []string{fmt.Sprintf("-m mark --mark %#x/%#x", own, own)}
	inward := h == packet.Input || h == packet.Prerouting
	if h != packet.Forward {
		side, port, local := "-o", "--sport", "--src-type"
		if inward {
			side, port, local = "-i", "--dport", "--dst-type"
		}
		if !s.Lifelines.DivertLoopback {
			list = append(list, side+" lo")
		}
		for _, p := range sshPorts {
			r := fmt.Sprintf("-p tcp -m tcp %s %d", port, p)
			if h == packet.Prerouting || h == packet.Postrouting {
				r += " -m addrtype " + local + " LOCAL"
			}
			list = append(list, r)
		}
	}
	if !s.Lifelines.DivertNeighbours && f == iptc.IPv6 {
		for _, t := range []struct{ first, last, hops int }{{133, 137, 255}, {130, 132, 1}, {143, 143, 1}} {
			for typ := t.first; typ <= t.last; typ++ {
				list = append(list, fmt.Sprintf("-p 58 -m icmp6 --icmpv6-type %d -m hl --hl-eq %d", typ, t.hops))
			}
		}
	}
	if !s.Lifelines.DivertDHCP && h != packet.Forward {
		ports := "67:68"
		if f == iptc.IPv6 {
			ports = "546:547"
		}
		list = append(list, fmt.Sprintf("-p udp -m udp --sport %s --dport %s", ports, ports))
	}
	return list
}

// foundLegacy says what of ours is in the legacy tables of the calling thread's
// network namespace. Tables that do not exist are not made by it, except where
// the kernel does not let us see which exist (in namespaces of ordinary users).
func foundLegacy() []Found {
	var out []Found
	for _, f := range []iptc.Family{iptc.IPv4, iptc.IPv6} {
		names, err := iptc.Names(f)
		if errors.Is(err, os.ErrPermission) {
			names, err = []string{"mangle", "security"}, nil
		}
		if err != nil {
			continue // no legacy tables
		}
		for _, name := range names {
			t, err := iptc.Open(f, name)
			if err != nil {
				continue
			}
			if found, ok := foundIn(t); ok {
				out = append(out, found)
			}
			t.Close()
		}
	}
	return out
}

func foundIn(t *iptc.Table) (Found, bool) {
	f := Found{Table: fmt.Sprintf("legacy %s %s", t.Family(), t.Name()), Backend: BackendLegacy, Owner: legacyOwner()}
	ours := false
	for c := range t.Chains() {
		if !strings.HasPrefix(c.Name(), legacyPrefix) {
			continue
		}
		ours = true
		for h := packet.Prerouting; h <= packet.Postrouting; h++ {
			if c.Name() == legacyPrefix+hookName(h) {
				f.Chains = append(f.Chains, FoundChain{Hook: h, Rules: c.Len()})
				f.Diverting = f.Diverting || c.Len() != 0
			}
		}
		for _, r := range c.Rules() {
			m := r.Target().Module
			if m.Name != nfqTarget || m.Revision != 3 || len(m.Data) < 6 {
				continue
			}
			first, total, flags := native16(m.Data), native16(m.Data[2:]), native16(m.Data[4:])
			if flags&nfqFlagBypass == 0 {
				f.Fail = FailClosed
			}
			for i := range total {
				f.Queues = append(f.Queues, first+i)
			}
		}
	}
	f.Diverting = f.Diverting && len(f.Queues) != 0
	return f, ours
}

// cleanLegacy removes what foundLegacy finds, unless its owner lives.
func cleanLegacy() ([]string, error) {
	var what []string
	for _, f := range foundLegacy() {
		if f.Owner.PID != 0 {
			return what, &OwnedError{f.Owner}
		}
		kind := strings.Fields(f.Table)
		family := iptc.IPv4
		if kind[1] == iptc.IPv6.String() {
			family = iptc.IPv6
		}
		if err := iptc.Edit(family, kind[2], iptc.Lock{}, removeLegacy); err != nil {
			return what, legacyError("remove from table "+kind[2], err)
		}
		what = append(what, f.String())
	}
	return what, nil
}
