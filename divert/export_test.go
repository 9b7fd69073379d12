package divert

import (
	"time"

	"golang.org/x/sys/unix"
)

// InstallAs installs with an ownership that a newer kernel would not choose, so
// that one kernel can test what the older ones do.
func InstallAs(spec Spec, o Ownership) (*Diversion, error) { return install(spec, o) }

// InstallWithout installs as on a kernel that lacks expressions.
func InstallWithout(spec Spec, hash, fib bool) (*Diversion, error) {
	d, err := install(spec, Owned)
	if err != nil {
		return nil, err
	}
	d.feat.hash, d.feat.fib = hash, fib
	return d, d.Reinstall()
}

// CommitBroken sends the transaction of an installation with one message more,
// which no kernel accepts, and returns what was refused.
func CommitBroken(spec Spec) (what string, err error) {
	d := &Diversion{spec: spec.clone(), owner: Owned}
	if d.sess, err = openSession(0); err != nil {
		return "", err
	}
	defer d.sess.close()
	now, err := d.sess.read()
	if err != nil {
		return "", err
	}
	b := d.compose(now)
	b.addRule("no-such-chain", rule{what: "broken"})
	no, err := d.sess.commit(b)
	if err != nil || no == nil {
		return "", err
	}
	return no.at.what, no.error()
}

// InodeOf is inodeOf.
func InodeOf(text string, portid uint32) string { return inodeOf(text, portid) }

// Overrun fills the socket of d's Watch until the kernel gives up telling, with
// events that change makes, and returns what waits for the next event of ours.
func Overrun(d *Diversion, change func()) (wait func(time.Duration) error, err error) {
	if err := d.monitor.SetReadBuffer(4096); err != nil {
		return nil, err
	}
	if err := d.monitor.JoinGroup(unix.NFNLGRP_NFTABLES); err != nil {
		return nil, err
	}
	for range 50 {
		change()
	}
	return func(limit time.Duration) error {
		_ = d.monitor.SetReadDeadline(time.Now().Add(limit))
		return waitForOurs(d.monitor)
	}, nil
}
