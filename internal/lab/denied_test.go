package lab

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestDeniedNamesTheSetting(t *testing.T) {
	for _, c := range []struct {
		files map[string]string
		want  string
	}{
		{nil, ""},
		{map[string]string{"/proc/sys/user/max_user_namespaces": "96365\n"}, ""},
		{map[string]string{"/proc/sys/user/max_user_namespaces": "0\n"}, "user.max_user_namespaces=15000"},
		{map[string]string{"/proc/sys/kernel/unprivileged_userns_clone": "1\n"}, ""},
		{map[string]string{"/proc/sys/kernel/unprivileged_userns_clone": "0\n"}, "kernel.unprivileged_userns_clone=1"},
		{map[string]string{"/proc/sys/kernel/apparmor_restrict_unprivileged_userns": "1\n"}, "kernel.apparmor_restrict_unprivileged_userns=0"},
	} {
		got := forbidding(func(name string) ([]byte, error) {
			if s, ok := c.files[name]; ok {
				return []byte(s), nil
			}
			return nil, fs.ErrNotExist
		})
		if got != c.want {
			t.Errorf("%v: %q, want %q", c.files, got, c.want)
		}
		err := &DeniedError{Setting: got, Err: unix.EPERM}
		if text := err.Error(); !strings.Contains(text, got) || !strings.Contains(text, "root") || !errors.Is(err, os.ErrPermission) {
			t.Errorf("%v: the message %q does not help", c.files, text)
		}
	}
}

func TestHostsByFileAndDNS(t *testing.T) {
	got := hostsByFileAndDNS([]byte("passwd: files\n hosts: mymachines resolve files\nhosts: dns"))
	if want := "passwd: files\n\nhosts: files dns\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
