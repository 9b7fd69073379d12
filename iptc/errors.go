package iptc

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Op names what was being done when an [Error] came about.
type Op string

const (
	OpInit        Op = "init"
	OpCommit      Op = "commit"
	OpCreateChain Op = "create chain"
	OpDeleteChain Op = "delete chain"
	OpRenameChain Op = "rename chain"
	OpSetPolicy   Op = "set policy"
	OpInsert      Op = "insert"
	OpAppend      Op = "append"
	OpReplace     Op = "replace"
	OpDelete      Op = "delete"
	OpDeleteNum   Op = "delete by number"
	OpCheck       Op = "check"
	OpFlush       Op = "flush"
	OpZero        Op = "zero"
	OpZeroCounter Op = "zero counter"
	OpSetCounter  Op = "set counter"
	OpReadCounter Op = "read counter"
)

// Error is what libiptc reports by errno and iptc_strerror: the operation, where
// it happened, and the errno, which errors.Is finds (unix.Errno compares with
// os.ErrNotExist, os.ErrPermission and so on as usual).
type Error struct {
	Op     Op
	Family Family
	Table  string
	Chain  string // empty when no chain was named
	Err    unix.Errno
}

func (e *Error) Error() string {
	where := e.Table
	if e.Chain != "" {
		where += " " + e.Chain
	}
	return fmt.Sprintf("iptc: %s %s (%s): %s", e.Op, where, e.Family, e.Strerror())
}

func (e *Error) Unwrap() error { return e.Err }

// Strerror returns the text that libiptc's iptc_strerror gives for this
// operation and errno.
func (e *Error) Strerror() string {
	for _, m := range strerrors {
		if m.err == e.Err && (m.op == "" || m.op == e.Op) {
			return m.text
		}
	}
	return e.Err.Error()
}

var strerrors = []struct {
	op   Op // empty: any
	err  unix.Errno
	text string
}{
	{OpInit, unix.EPERM, "Permission denied (you must be root)"},
	{OpInit, unix.EINVAL, "Module is wrong version"},
	{OpInit, unix.ENOENT, "Table does not exist (do you need to insmod?)"},
	{OpDeleteChain, unix.ENOTEMPTY, "Chain is not empty"},
	{OpDeleteChain, unix.EINVAL, "Can't delete built-in chain"},
	{OpDeleteChain, unix.EMLINK, "Can't delete chain with references left"},
	{OpCreateChain, unix.EEXIST, "Chain already exists"},
	{OpInsert, unix.E2BIG, "Index of insertion too big"},
	{OpReplace, unix.E2BIG, "Index of replacement too big"},
	{OpDeleteNum, unix.E2BIG, "Index of deletion too big"},
	{OpReadCounter, unix.E2BIG, "Index of counter too big"},
	{OpZeroCounter, unix.E2BIG, "Index of counter too big"},
	{OpInsert, unix.ELOOP, "Loop found in table"},
	{OpInsert, unix.EINVAL, "Target problem"},
	{OpDelete, unix.ENOENT, "Bad rule (does a matching rule exist in that chain?)"},
	{OpSetPolicy, unix.ENOENT, "Bad built-in chain name"},
	{OpSetPolicy, unix.EINVAL, "Bad policy name"},
	{"", 0, "Incompatible with this kernel"},
	{"", unix.ENOPROTOOPT, "iptables who? (do you need to insmod?)"},
	{"", unix.ENOSYS, "Will be implemented real soon.  I promise ;)"},
	{"", unix.ENOMEM, "Memory allocation problem"},
	{"", unix.ENOENT, "No chain/target/match by that name"},
}

// BlobError says what is wrong with a table as the kernel handed it over. Such a
// table is never edited or written back.
type BlobError struct {
	Family Family
	Table  string
	Offset int // into the entries, in bytes
	Reason string
}

func (e *BlobError) Error() string {
	return fmt.Sprintf("iptc: %s table %s, offset %d: %s", e.Family, e.Table, e.Offset, e.Reason)
}

// ErrLocked means that another program held the xtables lock all the time.
var ErrLocked = errors.New("iptc: another program holds the xtables lock")

// ErrBusy means that the table changed under every attempt to commit, by a
// program that does not take the xtables lock.
var ErrBusy = errors.New("iptc: the table keeps changing under us")

// RuleError says why a rule could not be made.
type RuleError struct{ Reason string }

func (e *RuleError) Error() string { return "iptc: " + e.Reason }
