package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func keep(s *Store, data string, info bool) bool {
	f := &File{ID: s.NextFile(), SHA256: sha256.Sum256([]byte(data)), Data: []byte(data), Time: 5e9}
	if info {
		f.Info = []byte(`{"of":"` + data + `"}`)
	}
	return s.Keep(f)
}

// tree are the files below dir and what they hold.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.Walk(dir, func(p string, i os.FileInfo, err error) error {
		if err != nil || i.IsDir() {
			return err
		}
		b, err := os.ReadFile(p)
		rel, _ := filepath.Rel(dir, p)
		out[rel] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	left := filepath.Join(dir, "00", halfWritten+"1")
	if err := os.MkdirAll(filepath.Dir(left), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(left, []byte("ha"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Open(Config{Files: dir, Fileinfo: true, Wait: true})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for i := range 3 * maxItems { // more than wait at once
		data := fmt.Sprint("file ", i%300) // some more than once
		if !keep(s, data, true) {
			t.Fatal("lost while waiting")
		}
		sum := sha256.Sum256([]byte(data))
		x := hex.EncodeToString(sum[:])
		want[x[:2]+"/"+x] = data
		want[fmt.Sprintf("%s/%s.5.%d.json", x[:2], x, i+1)] = `{"of":"` + data + `"}`
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	got := tree(t, dir)
	if len(got) != len(want) {
		t.Errorf("%d files, want %d", len(got), len(want))
	}
	for n, data := range want {
		if got[n] != data {
			t.Errorf("%s: %q, want %q", n, got[n], data)
		}
	}
	if st := s.Stats(); st != (Stats{Written: 3 * maxItems}) {
		t.Errorf("%+v", st)
	}
}

// Who does not wait loses what does not fit, and that is counted.
func TestNeverWaits(t *testing.T) {
	s := &Store{cfg: Config{MaxBytes: 1 << 40}, queue: make(chan item, maxItems), done: make(chan struct{})} // nobody writes
	kept := 0
	big := strings.Repeat("x", maxHeld/4)
	for i := range 8 {
		if keep(s, big+fmt.Sprint(i), false) {
			kept++
		}
	}
	if kept != 3 {
		t.Errorf("%d of 16 MiB each were taken", kept)
	}
	for range 2 * maxItems {
		if keep(s, "x", false) {
			kept++
		}
	}
	if kept != maxItems || s.Stats().Lost != 8+2*maxItems-maxItems {
		t.Errorf("%d taken, %d lost", kept, s.Stats().Lost)
	}
}

// The budget counts what is there already, and what is there is not touched.
func TestBudget(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		data string
		want uint64
	}{{"0123456789", 1}, {"abcdefghij", 1}, {"too much now", 0}, {"0123456789", 1}} {
		s, err := Open(Config{Files: dir, MaxBytes: 20, Wait: true})
		if err != nil {
			t.Fatal(err)
		}
		keep(s, c.data, false)
		if err := s.Close(); (err == nil) != (c.want == 1) {
			t.Errorf("%q: %v", c.data, err)
		}
		if n := s.Stats(); n.Written != c.want || n.Lost != 1-c.want {
			t.Errorf("%q: %+v", c.data, n)
		}
	}
	if n := len(tree(t, dir)); n != 2 {
		t.Errorf("%d files", n)
	}
}

func TestChains(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(Config{Certs: dir, Wait: true})
	if err != nil {
		t.Fatal(err)
	}
	s.KeepChain(&Chain{Certs: [][]byte{bytes.Repeat([]byte{1}, 60), {2}}, Meta: []byte("TIME\n"), Time: 7e9 + 123456789})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	begin, end := "-----BEGIN CERTIFICATE-----\n", "\n-----END CERTIFICATE-----\n"
	want := map[string]string{
		"7.123456-1.meta": "TIME\n",
		"7.123456-1.pem":  begin + strings.Repeat("AQEB", 16) + "\n" + strings.Repeat("AQEB", 4) + end + begin + "Ag==" + end,
	}
	if got := tree(t, dir); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%q", got)
	}
}

// A directory that cannot be written is told and counted; nothing stops.
func TestDiskRefuses(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(Config{Files: dir, Wait: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	keep(s, "a", false)
	keep(s, "b", false)
	if err := s.Close(); err == nil || s.Stats().Failed != 2 {
		t.Errorf("%v, %+v", err, s.Stats())
	}
}
