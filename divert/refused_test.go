package divert

import (
	"errors"
	"os"
	"testing"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// What a refusal means on kernels that cannot be had here.
func TestRefused(t *testing.T) {
	table := &message{what: "make table", table: tableName}
	native, compat := &message{uses: usesNative}, &message{uses: usesCompat}
	for _, c := range []struct {
		name   string
		no     refusal
		before *Diversion
		after  *Diversion // owner and features
		again  bool
		reason error
	}{
		{"no nf_tables", refusal{errno: unix.EOPNOTSUPP}, &Diversion{}, &Diversion{}, false, ErrNoNFTables},
		{"no capability", refusal{errno: unix.EPERM}, &Diversion{}, &Diversion{}, false, ErrPrivilege},
		{"no family inet", refusal{at: table, errno: unix.EAFNOSUPPORT}, &Diversion{}, &Diversion{}, false, ErrNoNFTables},
		{"raced", refusal{errno: unix.ERESTART}, &Diversion{}, &Diversion{}, true, nil},
		{"no persist", refusal{at: table, errno: unix.EOPNOTSUPP}, &Diversion{owner: Persistent}, &Diversion{owner: Locked}, true, nil},
		{"no owner for the lock", refusal{at: table, errno: unix.EINVAL}, &Diversion{owner: Locked}, &Diversion{owner: Unowned}, true, nil},
		{"no owner", refusal{at: table, errno: unix.EOPNOTSUPP}, &Diversion{owner: Owned}, &Diversion{owner: Unowned}, true, nil},
		{"not even a plain one", refusal{at: table, errno: unix.EOPNOTSUPP}, &Diversion{owner: Unowned}, &Diversion{owner: Unowned}, false, unix.EOPNOTSUPP},
		{"no queue expression", refusal{at: native, errno: unix.ENOENT}, &Diversion{feat: features{native: true}}, &Diversion{}, true, nil},
		{"no NFQUEUE target", refusal{at: compat, errno: unix.ENOENT}, &Diversion{}, &Diversion{}, false, ErrNoQueue},
		{"no hash", refusal{at: &message{uses: usesHash}, errno: unix.ENOENT}, &Diversion{feat: features{hash: true}}, &Diversion{}, true, nil},
		{"no fib", refusal{at: &message{uses: usesFib}, errno: unix.ENOENT}, &Diversion{feat: features{fib: true}}, &Diversion{}, true, nil},
		{"out of memory", refusal{at: native, errno: unix.ENOMEM}, &Diversion{feat: features{native: true}}, &Diversion{feat: features{native: true}}, false, unix.ENOMEM},
	} {
		again, err := c.before.refused(&c.no)
		if again != c.again || c.reason != nil && !errors.Is(err, c.reason) {
			t.Errorf("%s: again %v, error %v", c.name, again, err)
		}
		if c.before.owner != c.after.owner || c.before.feat != c.after.feat {
			t.Errorf("%s: left with %s %+v", c.name, c.before.owner, c.before.feat)
		}
	}
	if err := openError(os.NewSyscallError("socket", unix.EPROTONOSUPPORT)); !errors.Is(err, ErrNoNFTables) {
		t.Errorf("no netfilter netlink: %v", err)
	}
	err := asError("receive", &netlink.OpError{Op: "receive", Err: errors.New("not an errno")})
	if err.Error() != "divert: receive: input/output error: netlink receive: not an errno" {
		t.Errorf("an error without a number: %v", err)
	}
}
