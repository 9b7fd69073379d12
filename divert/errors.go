package divert

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

var (
	// ErrNoNFTables: this kernel has no nf_tables (or not for family inet).
	ErrNoNFTables = errors.New("this kernel has no nf_tables for family inet")
	// ErrNoLegacy: this kernel has no legacy tables.
	ErrNoLegacy = errors.New("this kernel has no legacy tables (CONFIG_IP_NF_IPTABLES_LEGACY, CONFIG_IP6_NF_IPTABLES_LEGACY)")
	// ErrNoQueue: nf_tables is there, but no way to queue from it.
	ErrNoQueue = errors.New("this kernel can not queue from nftables: it has neither the queue expression (CONFIG_NFT_QUEUE) nor the NFQUEUE target with nft_compat (CONFIG_NFT_COMPAT, CONFIG_NETFILTER_XT_TARGET_NFQUEUE)")
	// ErrPrivilege: CAP_NET_ADMIN is missing.
	ErrPrivilege = errors.New("needs CAP_NET_ADMIN in the user namespace that owns this network namespace (run as root, or give the binary the capability with setcap cap_net_admin+ep)")
	// ErrStopped: the diversion was stopped, removed or closed.
	ErrStopped = errors.New("divert: stopped")
)

// Error is a refusal of the kernel.
type Error struct {
	Op      string     // what was being done: "add rule q0", "open socket"
	Errno   unix.Errno // what the kernel answered
	Message string     // its own words (extended acknowledgement), or empty
	Reason  error      // one of this package's errors that explains it, or nil
}

func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "divert: %s: %s", e.Op, e.Errno.Error())
	if e.Message != "" {
		fmt.Fprintf(&b, " (%s)", e.Message)
	}
	if e.Reason != nil {
		fmt.Fprintf(&b, ": %s", e.Reason)
	}
	return b.String()
}

// Unwrap makes errors.Is find the errno and the reason.
func (e *Error) Unwrap() []error {
	if e.Reason == nil {
		return []error{e.Errno}
	}
	return []error{e.Errno, e.Reason}
}

// OwnedError says that a live program owns the table: another garita runs in
// this network namespace.
type OwnedError struct{ Owner Owner }

func (e *OwnedError) Error() string {
	return "divert: another garita already diverts in this network namespace: " + e.Owner.String()
}

// Unwrap makes errors.Is(err, unix.EPERM) true, which is what the kernel says.
func (e *OwnedError) Unwrap() error { return unix.EPERM }

// ChangedError says that the table is not as Install left it: somebody else
// removed or changed it. [Diversion.Reinstall] puts it right.
type ChangedError struct {
	What []string // in words, such as "the table is gone"
}

func (e *ChangedError) Error() string {
	return "divert: the table garita was changed by somebody else: " + strings.Join(e.What, ", ")
}
