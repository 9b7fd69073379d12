package app

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
)

// TestJudgeHTTPBuffers compares the sets of values of every HTTP field with
// those that Suricata 7 saw. GARITA_DATASETS names a directory of numbered
// directories, each with "path" (the capture) and, for each field and
// direction, a file "ts_http.uri.lst" as a rule
// `http.uri; dataset:set,…,type string,state ts_http.uri.lst` leaves it.
func TestJudgeHTTPBuffers(t *testing.T) {
	root := os.Getenv("GARITA_DATASETS")
	if root == "" {
		t.Skip("GARITA_DATASETS is not set: no values of Suricata to compare with")
	}
	paths, _ := filepath.Glob(filepath.Join(root, "*", "path"))
	if len(paths) == 0 {
		t.Fatal("nothing under GARITA_DATASETS")
	}
	sort.Strings(paths)
	same, missing, extra := 0, 0, 0
	perField := map[string][3]int{}
	for _, pf := range paths {
		dir := filepath.Dir(pf)
		name, _ := os.ReadFile(pf)
		capture := strings.TrimSpace(string(name))
		lists, _ := filepath.Glob(filepath.Join(dir, "*.lst"))
		theirs := map[string]map[string]bool{}
		for _, l := range lists {
			b, _ := os.ReadFile(l)
			key := strings.TrimSuffix(filepath.Base(l), ".lst")
			theirs[key] = map[string]bool{}
			for _, line := range strings.Fields(string(b)) {
				v, err := base64.StdEncoding.DecodeString(strings.SplitN(line, ",", 2)[0])
				if err == nil {
					theirs[key][string(v)] = true
				}
			}
		}
		ours := map[string]map[string]bool{}
		bodies := map[string][][]byte{}
		for _, f := range playCapture(t, capture, nil) {
			for _, tx := range f.conn.Transactions() {
				if p := tx.Base().Proto; p != HTTP1 && p != HTTP2 {
					continue
				}
				collect(tx, ours, bodies)
			}
		}
		for key := range keys(theirs, ours) {
			n := perField[key]
			for v := range theirs[key] {
				if strings.HasSuffix(key, "_body") || strings.HasSuffix(key, "file.data") {
					ok := false
					for _, b := range bodies[key] {
						ok = ok || bytes.Contains(b, []byte(v))
					}
					if ok {
						n[0]++
					} else {
						n[1]++
						t.Logf("%s: %s misses %s", capture, key, clipped(v))
					}
					continue
				}
				if ours[key][v] {
					n[0]++
				} else {
					n[1]++
					t.Logf("%s: %s misses %s", capture, key, clipped(v))
				}
			}
			for v := range ours[key] {
				// Of a field with many values a dataset takes one at a time.
				if !theirs[key][v] && !strings.HasSuffix(key, "request_header") && !strings.HasSuffix(key, "response_header") {
					n[2]++
					t.Logf("%s: %s has extra %s", capture, key, clipped(v))
				}
			}
			perField[key] = n
		}
	}
	for k, n := range perField {
		t.Logf("%-24s same %d missing %d extra %d", k, n[0], n[1], n[2])
		same += n[0]
		missing += n[1]
		extra += n[2]
	}
	t.Logf("%d values agree, %d missing, %d extra", same, missing, extra)
	if (missing+extra)*50 > same {
		t.Error("more than two values in a hundred differ")
	}
}

func keys(ms ...map[string]map[string]bool) map[string]bool {
	out := map[string]bool{}
	for _, m := range ms {
		for k := range m {
			out[k] = true
		}
	}
	return out
}

func clipped(s string) string {
	if len(s) > 300 {
		return fmt.Sprintf("%q…(%d)", s[:300], len(s))
	}
	return fmt.Sprintf("%q", s)
}

// collect adds the values of a transaction's HTTP fields. Empty values are
// left out: a dataset never has them.
func collect(tx Tx, out map[string]map[string]bool, bodies map[string][][]byte) {
	for f := HTTPURI; f <= FileData; f++ {
		for d, prefix := range [2]string{"ts_", "tc_"} {
			if !f.Info().Dirs.Has(Dir(d)) || strings.HasPrefix(f.String(), "http2.") || f == FileData && Dir(d) == ToServer {
				continue
			}
			key := prefix + f.String()
			for i := 0; ; i++ {
				if f.Info().Kind == KindBody {
					b := tx.Body(f, Dir(d), i)
					if b == nil {
						break
					}
					bodies[key] = append(bodies[key], bytes.Clone(b.Data))
					continue
				}
				v, ok := tx.Bytes(f, Dir(d), i)
				if !ok {
					break
				}
				if len(v) == 0 {
					continue
				}
				if out[key] == nil {
					out[key] = map[string]bool{}
				}
				out[key][string(v)] = true
			}
		}
	}
}
