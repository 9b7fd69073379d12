package iptc

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

// needTables skips where the kernel has no legacy tables at all.
func needTables(t testing.TB, f Family) {
	t.Helper()
	fd, err := control(f)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if _, err := getInfo(fd, f, "filter"); errors.Is(err, unix.ENOPROTOOPT) || errors.Is(err, unix.ENOENT) {
		t.Skipf("this kernel has no legacy %s tables: %v", f, err)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open(t testing.TB, f Family, name string) *Table {
	t.Helper()
	tab, err := Open(f, name)
	must(t, err)
	t.Cleanup(tab.Close)
	return tab
}
