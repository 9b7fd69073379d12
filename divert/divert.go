package divert

import (
	"errors"
	"os"
	"slices"
	"sync"
	"syscall"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Decided is the mark for the accepted packets of a flow that needs no more
// looking at; 0 if this diversion cannot tell such flows.
func (d *Diversion) Decided() uint32 {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.spec.SpareDecided || !d.feat.ct || d.leg != nil {
		return 0
	}
	return d.spec.Marks.Decided(d.spec.Generation)
}

// Undecide has all flows diverted again; Decided is another mark from then on.
func (d *Diversion) Undecide() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.gone() || d.stopped {
		return ErrStopped
	}
	d.spec.Generation++
	return d.apply()
}

// Ownership is how the table is bound to the process.
type Ownership uint8

const (
	// Unowned: a plain table; it stays until somebody removes it. This is what
	// kernels before 5.12 give when asked for Owned.
	Unowned Ownership = iota
	// Owned: it vanishes with the process and nobody else can change it.
	Owned
	// Persistent: nobody else can change it while the process lives; then it
	// stays, and the next garita takes it over.
	Persistent
	// Locked: a plain table, and beside it an empty one with an owner that
	// tells whether the first one's garita lives. Anybody can change it. This
	// is what kernels before 6.9 give when asked for Persistent.
	Locked
)

// String is "unowned", "owned", "persistent" or "locked".
func (o Ownership) String() string {
	return [...]string{"unowned", "owned", "persistent", "locked"}[o&3]
}

func (o Ownership) flags() uint32 {
	switch o {
	case Owned:
		return flagOwner
	case Persistent:
		return flagOwner | flagPersist
	}
	return 0
}

// takesOver says whether a table with these flags can become one of kind o. A
// persistent table loses the flag owner with its owner.
func (o Ownership) takesOver(flags uint32) bool {
	return flags == o.flags() || o == Persistent && flags == flagPersist
}

// Diversion is traffic being diverted. Its methods may be called from any
// goroutine, at the same time.
type Diversion struct {
	mu       sync.Mutex
	spec     Spec
	ssh      []uint16
	sess     *session // nil after Remove and Close, and with the legacy backend
	leg      *legacy  // the legacy backend, until Remove and Close
	feat     features
	owner    Ownership
	want     *state // as the kernel listed it right after the last change
	stopped  bool
	degraded []string

	watching sync.Mutex
	monitor  *netlink.Conn // for Watch; made at Install, in the same namespace
}

// Install diverts what spec says. The queues should be bound before.
//
// If a table of a garita that is gone is still there (fail closed), it is taken
// over: with the same hooks and priorities its chains stay and only the rules
// are replaced, so that nothing that waits is lost; otherwise it is replaced in
// the same transaction. While another garita lives, Install fails with
// [*OwnedError]. Other errors are [*SpecError] (joined) and [*Error], whose Reason may
// be ErrNoNFTables, ErrNoLegacy, ErrNoQueue or ErrPrivilege. A kernel without
// nf_tables gets the rules in its legacy tables, unless Backend forbids it. After an error nothing has
// changed.
func Install(spec Spec) (*Diversion, error) {
	if err := spec.Validate(); err != nil {
		return nil, err
	}
	owner := Owned
	if spec.Fail == FailClosed {
		owner = Persistent
	}
	if spec.Backend == BackendLegacy {
		return installLegacy(spec)
	}
	d, err := install(spec, owner)
	if errors.Is(err, ErrNoNFTables) && spec.Backend == BackendAuto {
		old, lerr := installLegacy(spec)
		if lerr != nil {
			return nil, errors.Join(err, lerr)
		}
		return old, nil
	}
	return d, err
}

func installLegacy(spec Spec) (*Diversion, error) {
	d := &Diversion{spec: spec.clone(), owner: Unowned}
	d.ssh = d.spec.sshPorts()
	var err error
	if d.leg, err = openLegacy(&d.spec); err != nil {
		return nil, err
	}
	if err := d.apply(); err != nil {
		_ = d.close()
		return nil, err
	}
	return d, nil
}

// gone says that there is nothing any more that could be changed.
func (d *Diversion) gone() bool { return d.sess == nil && d.leg == nil }

func install(spec Spec, owner Ownership) (*Diversion, error) {
	d := &Diversion{
		spec:  spec.clone(),
		owner: owner,
		feat:  features{native: spec.Backend != BackendCompat, hash: true, fib: true, ct: true},
	}
	d.ssh = d.spec.sshPorts()
	sess, err := openSession(spec.NetNS)
	if err != nil {
		return nil, err
	}
	d.sess = sess
	d.monitor, err = netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: spec.NetNS})
	if err != nil {
		sess.close()
		return nil, openError(err)
	}
	if err := d.apply(); err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

func (s *Spec) clone() Spec {
	c := *s
	c.Hooks = slices.Clone(s.Hooks)
	c.Protocols = slices.Clone(s.Protocols)
	c.Ports = slices.Clone(s.Ports)
	c.In = slices.Clone(s.In)
	c.Out = slices.Clone(s.Out)
	c.Lifelines.SSHPorts = slices.Clone(s.Lifelines.SSHPorts)
	return c
}

func (s *Spec) sshPorts() []uint16 {
	l := &s.Lifelines
	if l.DivertSSH {
		return nil
	}
	ports := slices.Clone(l.SSHPorts)
	if l.SSHPorts == nil {
		ports = SSHPorts(os.DirFS("/"))
	}
	if p, ok := sshConnectionPort(l.SSHConnection); ok && !slices.Contains(ports, p) {
		ports = append(ports, p)
	}
	return ports
}

// maxAttempts bounds the race against programs that change the rule set at the
// same time.
const maxAttempts = 100

// apply makes the kernel's state what d.spec says, trying what this kernel has
// not until what it has is known.
func (d *Diversion) apply() error {
	if d.leg != nil {
		if err := d.leg.apply(&d.spec, d.ssh); err != nil {
			return err
		}
		d.stopped, d.degraded = false, d.leg.degraded(&d.spec)
		return nil
	}
	for attempt := 1; ; attempt++ {
		now, err := d.sess.read()
		if err != nil {
			return err
		}
		if err := d.foreign(now); err != nil {
			return err
		}
		b := d.compose(now)
		if attempt > calmAttempts {
			b.genid = 0 // ours is still one transaction, only composed on a guess
		}
		no, err := d.sess.commit(b)
		if err != nil {
			return err
		}
		if no == nil {
			break
		}
		if again, err := d.refused(no); !again {
			return err
		}
		if attempt == maxAttempts {
			return no.error()
		}
	}
	want, err := d.sess.read()
	if err != nil {
		return err
	}
	d.want, d.stopped = want, false
	d.note()
	return nil
}

// foreign reports a live owner that is not us.
func (d *Diversion) foreign(now *state) error {
	for _, t := range now.tables {
		if t.owner != 0 && t.owner != d.sess.nl.PID() {
			return &OwnedError{findOwner(t.owner)}
		}
	}
	return nil
}

// compose is the transaction from now to what is wanted.
func (d *Diversion) compose(now *state) *batch {
	b := &batch{genid: now.genid}
	l := d.spec.layout(d.feat, d.ssh)
	lock, locked := now.tables[lockName]
	switch {
	case d.owner == Locked:
		b.newTable(lockName, flagOwner, "tells whether the garita of table "+tableName+" lives")
	case locked && lock.owner == 0:
		b.delTable(lockName)
	}
	table, exists := now.tables[tableName]
	keep := exists && d.owner.takesOver(table.flags) && now.sameHooks(&l)
	if exists && !keep {
		b.delTable(tableName)
	}
	b.newTable(tableName, d.owner.flags(), "made and unmade by garita")
	if keep {
		b.flush("")
		if now.spread {
			b.delSpread()
		}
		for i := range now.chains {
			if c := &now.chains[i]; !c.base {
				b.delChain(c.name)
			}
		}
	}
	// Chains first, since rules jump to them, then the map, then the rules.
	for i := range l.chains {
		b.newChain(&l.chains[i], keep && l.chains[i].base)
	}
	if l.targets != nil {
		b.newSpread(l.targets)
	}
	for _, c := range l.chains {
		for _, r := range c.rules {
			b.addRule(c.name, r)
		}
	}
	return b
}

// sameHooks says whether the base chains there are those wanted, so that none
// needs to go.
func (s *state) sameHooks(l *layout) bool {
	n := 0
	for i := range l.chains {
		w := &l.chains[i]
		if !w.base {
			continue
		}
		n++
		c := s.chain(w.name)
		if c == nil || !c.base || c.hook != w.hook || c.priority != w.priority {
			return false
		}
	}
	for i := range s.chains {
		if s.chains[i].base {
			n--
		}
	}
	return n == 0
}

// refused decides what a refusal means: try again with less, or give up.
func (d *Diversion) refused(no *refusal) (again bool, err error) {
	e := no.error()
	if no.raced() {
		return true, nil
	}
	if e.Errno == unix.EPERM {
		if no.at == nil {
			e.Reason = ErrPrivilege
			return false, e
		}
		// The capability is checked for the batch as a whole, so this is about
		// the table: one with an owner that came up since we looked.
		now, err := d.sess.read()
		if err != nil {
			return false, err
		}
		if err := d.foreign(now); err != nil {
			return false, err
		}
		return false, e
	}
	if no.at == nil {
		if e.Errno == unix.EOPNOTSUPP || e.Errno == unix.EINVAL {
			e.Reason = ErrNoNFTables
		}
		return false, e
	}
	if no.at.table != "" {
		switch e.Errno {
		case unix.EAFNOSUPPORT:
			e.Reason = ErrNoNFTables
		case unix.EOPNOTSUPP, unix.EINVAL:
			// An older kernel does not know the flags.
			switch d.owner {
			case Persistent:
				d.owner = Locked
				return true, nil
			case Owned, Locked:
				d.owner = Unowned
				return true, nil
			}
		}
		return false, e
	}
	if e.Errno != unix.ENOENT && e.Errno != unix.EOPNOTSUPP {
		return false, e
	}
	switch no.at.uses {
	case usesNative:
		if d.spec.Backend == BackendNative {
			e.Reason = ErrNoQueue
			return false, e
		}
		d.feat.native = false
		return true, nil
	case usesCompat:
		e.Reason = ErrNoQueue
		return false, e
	case usesHash:
		d.feat.hash = false
		return true, nil
	case usesFib:
		d.feat.fib = false
		return true, nil
	case usesCt:
		d.feat.ct = false
		return true, nil
	}
	return false, e
}

// note puts into words what this kernel did not give.
func (d *Diversion) note() {
	d.degraded = nil
	if d.spec.queues() > 1 && !d.feat.hash {
		d.degraded = append(d.degraded, "flows between the same two addresses share one queue: the kernel has no hash expression (CONFIG_NFT_HASH)")
	}
	if !d.feat.fib && len(d.ssh) != 0 {
		d.degraded = append(d.degraded, "at prerouting and postrouting ssh to and from everybody is spared: the kernel has no fib expression (CONFIG_NFT_FIB_INET)")
	}
	if d.spec.SpareDecided && !d.feat.ct {
		d.degraded = append(d.degraded, "flows that are finished with stay in the queue: the kernel has no ct expression (CONFIG_NFT_CT)")
	}
	switch d.owner {
	case Unowned:
		d.degraded = append(d.degraded, "the table does not vanish with the process, its rules only let traffic by then: the kernel has no table owners (Linux 5.12)")
	case Locked:
		d.degraded = append(d.degraded, "other programs can change the table: the kernel has no persistent table owners (Linux 6.9)")
	}
}

// Backend is the way in which packets are queued.
func (d *Diversion) Backend() Backend {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.spec.Backend == BackendLegacy || d.leg != nil {
		return BackendLegacy
	}
	if d.feat.native {
		return BackendNative
	}
	return BackendCompat
}

// Features is what this kernel's nf_tables has of what is not everywhere.
// A field is only as true as the Spec made it necessary to find out.
type Features struct {
	NativeQueue bool // the queue expression; else the NFQUEUE target
	Hash        bool // spread by flow, needed with several queues
	Fib         bool // needed to spare ssh at Prerouting and Postrouting
}

// Features says what Install found out.
func (d *Diversion) Features() Features {
	d.mu.Lock()
	defer d.mu.Unlock()
	return Features{NativeQueue: d.feat.native, Hash: d.feat.hash, Fib: d.feat.fib}
}

// Ownership is how the table is bound to this process.
func (d *Diversion) Ownership() Ownership {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.owner
}

// Degraded says, in sentences for the operator, what this kernel could not do
// as asked. The slice is the caller's.
func (d *Diversion) Degraded() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.degraded)
}

// SSHPorts are the ports that were spared. The slice is the caller's.
func (d *Diversion) SSHPorts() []uint16 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.ssh)
}

// Stop takes the traffic out of the queues: the rules of our base chains go, in
// one transaction, and the chains, with policy accept, stay. Packets that
// already wait keep waiting and can be answered as before; no new ones come.
// Stopping twice is no error. Reinstall undoes it.
func (d *Diversion) Stop() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.gone() {
		return ErrStopped
	}
	if d.stopped {
		return nil
	}
	if d.leg != nil {
		if err := d.leg.stop(); err != nil {
			return err
		}
		d.stopped = true
		return nil
	}
	for attempt := 1; ; attempt++ {
		now, err := d.sess.read()
		if err != nil {
			return err
		}
		b := &batch{genid: now.genid}
		if attempt > calmAttempts {
			b.genid = 0
		}
		for i := range now.chains {
			if c := &now.chains[i]; c.base {
				b.flush(c.name)
			}
		}
		if len(b.msgs) == 0 {
			break // somebody removed it: nothing is diverted
		}
		no, err := d.sess.commit(b)
		if err != nil {
			return err
		}
		if no == nil {
			break
		}
		if !no.raced() || attempt == maxAttempts {
			return no.error()
		}
	}
	d.stopped = true
	return nil
}

// Remove removes the table and gives up the socket. The kernel then drops every
// packet that waits in any queue of this namespace, our own and others': call
// it when Stop was called and everything was answered. Removing twice, or after
// Close, is no error.
func (d *Diversion) Remove() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.gone() {
		return nil
	}
	if d.leg != nil {
		if err := d.leg.remove(); err != nil {
			return err
		}
		return d.close()
	}
	if _, err := d.sess.removeTables(d.sess.nl.PID()); err != nil {
		return err
	}
	return d.close()
}

// Close gives up the socket and nothing else: what happens then is what would
// happen if the process died. An owned table vanishes (and waiting packets are
// dropped), others stay.
func (d *Diversion) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.gone() {
		return nil
	}
	return d.close()
}

func (d *Diversion) close() error {
	d.stopped = true
	if d.leg != nil {
		err := d.leg.close()
		d.leg = nil
		d.spec.Backend = BackendLegacy // still what it was
		return err
	}
	err := errors.Join(d.sess.close(), d.monitor.Close())
	d.sess = nil
	return err
}

// Reinstall puts the table back as Install made it, after Stop or after
// somebody else changed it, in one transaction.
func (d *Diversion) Reinstall() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.gone() {
		return ErrStopped
	}
	return d.apply()
}

// ErrHooks: Update was asked to change hooks, priorities, the namespace or the
// failure policy.
var ErrHooks = errors.New("divert: hooks, priorities, namespace and failure policy can not change while packets wait; stop and install anew")

// Update changes what is diverted, in one transaction that loses no waiting
// packet. Hooks, Priority, Fail, Backend and NetNS must stay as they are
// (ErrHooks). After an error nothing has changed.
func (d *Diversion) Update(spec Spec) error {
	if err := spec.Validate(); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.gone() {
		return ErrStopped
	}
	old, oldSSH := d.spec, d.ssh
	if !slices.Equal(spec.hooks(), old.hooks()) || spec.Priority != old.Priority ||
		spec.Fail != old.Fail || spec.Backend != old.Backend || spec.NetNS != old.NetNS {
		return ErrHooks
	}
	d.spec = spec.clone()
	d.ssh = d.spec.sshPorts()
	if err := d.apply(); err != nil {
		d.spec, d.ssh = old, oldSSH
		return err
	}
	return nil
}

// Check compares the kernel's table with what was installed: nil if they are the
// same, [*ChangedError] if not, ErrStopped after Stop.
func (d *Diversion) Check() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.gone() || d.stopped {
		return ErrStopped
	}
	if d.leg != nil {
		return d.leg.check()
	}
	now, err := d.sess.read()
	if err != nil {
		return err
	}
	if what := d.want.diff(now); len(what) != 0 {
		return &ChangedError{What: what}
	}
	return nil
}

// SyscallConn gives access to the netlink socket that owns the table (with the
// legacy backend, the socket that tells that the owner lives). Ownership
// follows the open file: a process that holds a duplicate keeps the table alive.
func (d *Diversion) SyscallConn() (syscall.RawConn, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.leg != nil {
		return d.leg.syscallConn()
	}
	if d.sess == nil {
		return nil, ErrStopped
	}
	return d.sess.nl.SyscallConn()
}
