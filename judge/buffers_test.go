package judge

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Values of the sticky buffers of HTTP. A rule for each buffer and direction
// puts the SHA-256 of every value that it is shown into a dataset, which is
// saved. What Suricata 7.0.10 saved for the captures of the corpus is kept in
// bufferTruth, the first four bytes of each sum; garita has to save the same.
//
//	go test ./judge -run HTTPBuffers -ask-suricata
//
// writes that file anew, by the suricata that is installed.
const bufferTruth = "testdata/http_buffers.gz"

var askSuricata = flag.Bool("ask-suricata", false, "have the installed suricata write "+bufferTruth+" anew")

// httpBuffers are the buffers by direction.
var httpBuffers = [2]struct {
	flow, prefix string
	names        []string
}{
	{"to_server", "ts_", strings.Fields("http.uri http.uri.raw http.method http.protocol http.request_line http.host http.host.raw http.header " +
		"http.header.raw http.header_names http.start http.cookie http.user_agent http.accept http.accept_enc http.accept_lang http.referer " +
		"http.content_type http.content_len http.connection http.request_header http.request_body file.data file.name")},
	{"to_client", "tc_", strings.Fields("http.protocol http.header http.header.raw http.header_names http.start http.cookie http.content_type " +
		"http.content_len http.connection http.server http.location http.stat_code http.stat_msg http.response_line http.response_header " +
		"http.response_body file.data file.name")},
}

func bufferRules(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	sid := 0
	for _, d := range httpBuffers {
		for _, n := range d.names {
			sid++
			fmt.Fprintf(&b, "alert http any any -> any any (flow:%s; %s; to_sha256; dataset:set,%s,type sha256,save %s.lst; noalert; sid:%d;)\n",
				d.flow, n, d.prefix+n, d.prefix+n, sid)
		}
	}
	file := filepath.Join(t.TempDir(), "buffers.rules")
	if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// captureFiles are the captures of both archives of the corpus, by their names
// there.
func captureFiles(t *testing.T) map[string]string {
	t.Helper()
	files := map[string]string{}
	for _, archive := range []string{"et_dev_captures.tar.xz", "sv_dev.tar.xz"} {
		root := unpack(t, archive)
		err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
			if err != nil || !e.Type().IsRegular() || !strings.Contains(filepath.Base(path), ".pcap") || !judgeable(path) {
				return err
			}
			name, err := filepath.Rel(root, path)
			files[name] = path
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// judgeable says whether Suricata 7.0.10 reads captures of the link type.
func judgeable(file string) bool {
	const sll2 = 276
	f, err := os.Open(file)
	if err != nil {
		return false
	}
	defer f.Close()
	var head [24]byte
	if _, err := io.ReadFull(f, head[:]); err != nil {
		return false
	}
	return binary.LittleEndian.Uint32(head[20:]) != sll2 && binary.BigEndian.Uint32(head[20:]) != sll2
}

// value is one value of one buffer in one capture.
type value struct{ capture, buffer, sum string }

// saved adds the datasets in dir.
func saved(t *testing.T, capture, dir string, to map[value]bool) {
	t.Helper()
	lists, _ := filepath.Glob(filepath.Join(dir, "*.lst"))
	for _, l := range lists {
		b, err := os.ReadFile(l)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			if len(line) > 8 {
				to[value{capture, strings.TrimSuffix(filepath.Base(l), ".lst"), line[:8]}] = true
			}
		}
	}
}

func TestHTTPBuffers(t *testing.T) {
	corpus(t)
	files, rules := captureFiles(t), bufferRules(t)
	names := slices.Sorted(maps.Keys(files))
	if *askSuricata {
		want := map[value]bool{}
		for _, n := range names {
			dir := t.TempDir()
			// A damaged capture is no reason to stop.
			_ = exec.Command("suricata", "-c", "/etc/suricata/suricata.yaml", "--runmode", "single", "--no-random", "-k", "none",
				"-S", rules, "-l", dir, "--data-dir", dir, "-r", files[n]).Run()
			saved(t, n, dir, want)
		}
		writeTruth(t, want)
	}
	want := readTruth(t)
	out := t.TempDir()
	// What the packaged configuration and --no-random say besides the defaults.
	args := []string{"replay", "--each", "-k", "none", "--set", "decoder.teredo.ports=3544",
		"--set", "app-layer.protocols.http.libhtp.default-config.randomize-inspection-sizes=no", "-S", rules, "-l", out, "--data-dir", out}
	for _, n := range names {
		args = append(args, files[n])
	}
	run(t, args...)
	got := map[value]bool{}
	for i, n := range names {
		saved(t, n, filepath.Join(out, fmt.Sprint(i)), got)
	}
	differ := func(word string, a, b map[value]bool) (n int) {
		by := map[string]int{}
		for v := range a {
			if !b[v] {
				n++
				by[v.capture+" "+v.buffer]++
			}
		}
		for _, k := range slices.Sorted(maps.Keys(by)) {
			t.Logf("%s: %s, %d values", word, k, by[k])
		}
		return n
	}
	missed, extra := differ("missed", want, got), differ("extra", got, want)
	t.Logf("%d values in %d captures", len(want), len(names))
	if (missed+extra)*200 > len(want) {
		t.Errorf("%d values are missed and %d are extra: more than one in 200", missed, extra)
	}
	held(t, "HTTP buffers: missed", float64(missed))
	held(t, "HTTP buffers: extra", float64(extra))
}

func writeTruth(t *testing.T, values map[value]bool) {
	t.Helper()
	sums := map[[2]string][]string{}
	for v := range values {
		k := [2]string{v.capture, v.buffer}
		sums[k] = append(sums[k], v.sum)
	}
	keys := slices.SortedFunc(maps.Keys(sums), func(a, b [2]string) int { return slices.Compare(a[:], b[:]) })
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, gzip.BestCompression)
	for _, k := range keys {
		slices.Sort(sums[k])
		fmt.Fprintf(z, "%s\t%s\t%s\n", k[0], k[1], strings.Join(sums[k], ""))
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(bufferTruth, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

func readTruth(t *testing.T) map[value]bool {
	t.Helper()
	f, err := os.Open(bufferTruth)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	values := map[value]bool{}
	s := bufio.NewScanner(z)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		p := strings.Split(s.Text(), "\t")
		if len(p) != 3 || len(p[2])%8 != 0 {
			t.Fatalf("%s: line %q", bufferTruth, s.Text())
		}
		for sums := p[2]; sums != ""; sums = sums[8:] {
			values[value{p[0], p[1], sums[:8]}] = true
		}
	}
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	return values
}
