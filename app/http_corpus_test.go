package app

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ulikunitz/xz"
)

// corpusTar calls f for every file of a compressed archive of the corpus.
func corpusTar(t *testing.T, name string, f func(path string, data []byte)) {
	t.Helper()
	dir := os.Getenv("GARITA_SHARED")
	if dir == "" {
		t.Skip("GARITA_SHARED is not set: the corpus is not there")
	}
	file, err := os.Open(filepath.Join(dir, "corpus", name))
	if err != nil {
		t.Skip("no corpus: ", err)
	}
	defer func() { _ = file.Close() }()
	z, err := xz.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	r := tar.NewReader(z)
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		f(h.Name, data)
	}
}

// TestHTTPEvader plays the odd framings of suricata-verify's http-evader
// tests. Suricata finds what they hide in the response body of every one.
func TestHTTPEvader(t *testing.T) {
	found, all := 0, 0
	tmp := filepath.Join(t.TempDir(), "capture")
	corpusTar(t, "sv_dev.tar.xz", func(path string, data []byte) {
		if !strings.Contains(path, "http-evader-") || !strings.HasSuffix(path, ".pcap") {
			return
		}
		all++
		if err := os.WriteFile(tmp, data, 0o600); err != nil {
			t.Fatal(err)
		}
		ok := false
		for _, f := range playConfig(t, tmp, nil, Config{HTTP: HTTPConfig{DecompressLayers: 3}}) {
			for _, tx := range f.conn.Transactions() {
				if b := tx.Body(FileData, ToClient, 0); b != nil &&
					bytes.Contains(b.Data, []byte("EICAR-STANDARD-ANTIVIRUS-TEST-FILE")) && bytes.Contains(b.Data, []byte("X5O!P%@AP[4")) {
					ok = true
				}
			}
		}
		if ok {
			found++
		} else {
			t.Logf("%s: not found", filepath.Base(filepath.Dir(path)))
		}
	})
	t.Logf("%d of %d", found, all)
	if all == 0 || found < all {
		t.Errorf("%d of %d", found, all)
	}
}
