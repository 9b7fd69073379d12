package divert

import (
	"context"
	"errors"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Watch blocks until the table is no longer as it was installed and returns a
// [*ChangedError], or until ctx ends and returns its error, or until the diversion
// is stopped and returns ErrStopped (which it notices on Stop and Remove, and on
// Close of an owned table). Our own changes (Reinstall, Update) are not reported.
// To stand guard:
//
//	for {
//	    err := d.Watch(ctx)
//	    if _, changed := errors.AsType[*divert.ChangedError](err); !changed {
//	        return err
//	    }
//	    if err := d.Reinstall(); err != nil {
//	        return err
//	    }
//	}
//
// A change between two calls is found at once by the second.
func (d *Diversion) Watch(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	d.mu.Lock()
	netns := d.spec.NetNS
	d.mu.Unlock()
	nl, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: netns})
	if err != nil {
		return openError(err)
	}
	defer nl.Close()
	if err := nl.JoinGroup(unix.NFNLGRP_NFTABLES); err != nil {
		return asError("join the nf_tables multicast group", err)
	}
	defer context.AfterFunc(ctx, func() { _ = nl.SetReadDeadline(time.Unix(1, 0)) })()
	for {
		if err := d.Check(); err != nil {
			return err
		}
		if err := waitForOurs(nl); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return asError("watch nf_tables", err)
		}
	}
}

// waitForOurs returns when an event names one of our tables, or when events
// were lost.
func waitForOurs(nl *netlink.Conn) error {
	for {
		msgs, err := nl.Receive()
		if errors.Is(err, unix.ENOBUFS) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, m := range msgs {
			if m.Header.Type>>8 != unix.NFNL_SUBSYS_NFTABLES {
				continue
			}
			ours := false
			// The table's name is attribute 1 of every kind of event.
			_ = eachAttr(m.Data, func(typ uint16, v []byte) {
				if typ == unix.NFTA_TABLE_NAME {
					n := cstring(v)
					ours = ours || n == tableName || n == lockName
				}
			})
			if ours {
				return nil
			}
		}
	}
}
