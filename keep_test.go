package garita

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/garita/garita/packet"
)

// download is a connection in which the client asks for names one after the
// other and gets as many answers.
func download(names, bodies []string) []frame {
	fs := handshake(false, 0)
	seq, ack := uint32(101), uint32(501)
	for i, name := range names {
		req := "GET /" + name + " HTTP/1.1\r\nHost: server\r\n\r\n"
		fs = append(fs, frame{proto: packet.ProtoTCP, seq: seq, ack: ack, flags: packet.ACK | packet.PSH, payload: req})
		seq += uint32(len(req))
		resp := "HTTP/1.1 200 OK\r\nContent-Length: " + strconv.Itoa(len(bodies[i])) + "\r\n\r\n" + bodies[i]
		for len(resp) > 0 {
			n := min(len(resp), 1000)
			fs = append(fs, frame{proto: packet.ProtoTCP, seq: ack, ack: seq, flags: packet.ACK | packet.PSH, payload: resp[:n], back: true})
			ack += uint32(n)
			resp = resp[n:]
		}
		fs = append(fs, frame{proto: packet.ProtoTCP, seq: seq, ack: ack, flags: packet.ACK})
	}
	return fs
}

// What filestore asks for is kept, the rest is not, and the records say so.
func TestFilestore(t *testing.T) {
	names := []string{"a.txt", "../../b.exe", "c.txt", "d.bin"}
	bodies := []string{"first", strings.Repeat("second ", 1000), "third", "fourth"}
	for _, c := range []struct {
		name, rule, more string
		inline           bool
		want             []int
	}{
		{"none", `sid:1;`, "", false, nil},
		{"matched", `fileext:"exe"; filestore; sid:1;`, "", false, []int{1}},
		{"inline", `fileext:"exe"; filestore; sid:1;`, "", true, []int{1}},
		{"all that match", `fileext:"txt"; filestore; sid:1;`, "", true, []int{0, 2}},
		{"flow from there", `flow:to_client; fileext:"exe"; filestore:response,ssn; sid:1;`, "", false, []int{1, 2, 3}},
		{"the other direction", `flow:to_client; fileext:"exe"; filestore:request,flow; sid:1;`, "", false, nil},
		{"the answer to a request", `flow:to_client; fileext:"exe"; filestore:both,tx; sid:1;`, "", false, []int{1}},
		{"this file", `flow:to_client; fileext:"exe"; filestore:request,file; sid:1;`, "", false, []int{1}},
		{"forced", `sid:1;`, "      force-filestore: yes\n", false, []int{0, 1, 2, 3}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, "garita.yaml")
			text := "outputs:\n  - eve-log:\n      enabled: yes\n      types: [files, alert]\n" +
				"  - file-store:\n      version: 2\n      enabled: yes\n      dir: kept\n      write-fileinfo: yes\n" + c.more
			if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			cfg, err := LoadConfig(file, nil)
			if err != nil {
				t.Fatal(err)
			}
			cfg.Rules.Text = []string{"alert http any any -> any any (" + c.rule + ")"}
			r, err := NewReplay(cfg.Config, ReplayConfig{Inline: c.inline})
			if err != nil {
				t.Fatal(err)
			}
			if p := r.Loaded().Problems; len(p) > 0 {
				t.Fatal(p[0])
			}
			if err := cfg.OpenLogs(dir, true); err != nil {
				t.Fatal(err)
			}
			r.SetLog(cfg.Config)
			s := &script{}
			for _, f := range download(names, bodies) {
				s.frames = append(s.frames, build(f))
			}
			if _, err := r.Run(s); err != nil {
				t.Fatal(err)
			}
			if err := cfg.CloseLogs(); err != nil {
				t.Fatal(err)
			}
			var want []string
			for _, i := range c.want {
				sum := sha256.Sum256([]byte(bodies[i]))
				want = append(want, hex.EncodeToString(sum[:]))
			}
			slices.Sort(want)
			var got []string
			all, _ := filepath.Glob(filepath.Join(dir, "kept", "*", "*"))
			for _, f := range all {
				if !strings.HasSuffix(f, ".json") {
					got = append(got, filepath.Base(f))
					continue
				}
				var e struct {
					Fileinfo struct {
						SHA256 string
						Stored bool
						ID     int `json:"file_id"`
						Sid    []int
					}
				}
				b, err := os.ReadFile(f)
				if err == nil {
					err = json.Unmarshal(b, &e)
				}
				base, _, _ := strings.Cut(filepath.Base(f), ".")
				if err != nil || !e.Fileinfo.Stored || e.Fileinfo.ID == 0 || e.Fileinfo.SHA256 != base {
					t.Errorf("%s: %s, %v", f, b, err)
				}
			}
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("kept %v, want %v", got, want)
			}
			if len(all) != 2*len(want) {
				t.Errorf("not as many records as files: %v", all)
			}
			b, err := os.ReadFile(filepath.Join(dir, "eve.json"))
			if n := strings.Count(string(b), `"stored":true`); err != nil || n != len(want) {
				t.Errorf("%d records say that a file is kept, want %d (%v)", n, len(want), err)
			}
		})
	}
}
