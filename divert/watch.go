package divert

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/garita/garita/internal/nfnl"
)

// Watch blocks until the table is no longer as it was installed and returns a
// [*ChangedError], or until ctx ends and returns its error, or until the diversion
// is stopped, removed or closed and returns ErrStopped. Our own changes (Reinstall,
// Update) are not reported. One call at a time, another waits. To stand guard:
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
// A change between two calls is found at once by the second. Legacy tables tell
// nobody when they change: they are looked at once a second.
func (d *Diversion) Watch(ctx context.Context) error {
	d.watching.Lock()
	defer d.watching.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	d.mu.Lock()
	old := d.leg != nil
	d.mu.Unlock()
	if old {
		return d.watchLegacy(ctx)
	}
	if d.monitor == nil {
		return ErrStopped // a legacy one that is over
	}
	nl := d.monitor
	if err := nl.JoinGroup(unix.NFNLGRP_NFTABLES); err != nil {
		return d.watchError(ctx, asError("join the nf_tables multicast group", err))
	}
	defer func() { _ = nl.LeaveGroup(unix.NFNLGRP_NFTABLES) }()
	_ = nl.SetReadDeadline(time.Time{})
	// A late call of an earlier Watch's must not end this one: the deadline is
	// set under a lock, and only while this call runs.
	var ending sync.Mutex
	over := false
	cancel := context.AfterFunc(ctx, func() {
		ending.Lock()
		defer ending.Unlock()
		if !over {
			_ = nl.SetReadDeadline(time.Unix(1, 0))
		}
	})
	defer func() {
		cancel()
		ending.Lock()
		over = true
		ending.Unlock()
	}()
	for {
		if err := d.Check(); err != nil {
			return err
		}
		if err := waitForOurs(nl); err != nil {
			return d.watchError(ctx, asError("watch nf_tables", err))
		}
	}
}

// watchError tells why the socket gave up: because the caller wanted it, because
// it was closed, or for a reason of its own.
func (d *Diversion) watchError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if stopped := d.Check(); errors.Is(stopped, ErrStopped) {
		return stopped
	}
	return err
}

// waitForOurs returns when an event names one of our tables, or when events were
// lost; then what waited is thrown away, so that none is lost untold after it.
func waitForOurs(nl *netlink.Conn) error {
	for {
		msgs, err := nl.Receive()
		if errors.Is(err, unix.ENOBUFS) {
			raw, err := nl.SyscallConn()
			if err != nil {
				return err
			}
			return nfnl.Drain(raw)
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
