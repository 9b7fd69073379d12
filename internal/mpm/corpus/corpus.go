// Package corpus reads the evaluation corpus (real rules, real captures) for the
// measurements of packages mpm and pcre. It is used by tests only. It knows as little of rules and
// protocols as gives realistic patterns and buffers; package rule and package app do that in earnest.
package corpus

import (
	"archive/tar"
	"bufio"
	"bytes"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/gopacket/gopacket/pcapgo"
	"github.com/ulikunitz/xz"
)

// Env names the variable that holds the corpus' parent directory.
const Env = "GARITA_SHARED"

// Dir returns the corpus directory, or "" if the environment does not name it.
func Dir() string {
	if d := os.Getenv(Env); d != "" {
		return filepath.Join(d, "corpus")
	}
	return ""
}

func open(path string) (io.Reader, io.Closer, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	r, err := xz.NewReader(bufio.NewReaderSize(f, 1<<20))
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return r, f, nil
}

// eachFile calls f for every file of a tar.xz.
func eachFile(path string, f func(name string, data []byte)) error {
	r, c, err := open(path)
	if err != nil {
		return err
	}
	defer c.Close()
	tr := tar.NewReader(r)
	for {
		h, err := tr.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		data, err := io.ReadAll(tr)
		if err != nil {
			return err
		}
		f(h.Name, data)
	}
}

// Rule is what the measurements need of a rule.
type Rule struct {
	Contents []Content
	Exprs    []Expr
}

// Content is a content that is not negated.
type Content struct {
	Buffer              string
	Bytes               []byte
	NoCase, Fast        bool
	Prefix, Suffix, All bool // startswith, endswith, bsize of the same length
}

// Expr is a pcre option.
type Expr struct {
	Buffer  string
	Pattern string
	Flags   string
	Negated bool
}

// Rules reads the whole of ET Open.
func Rules(dir string) ([]Rule, error) {
	var rules []Rule
	err := eachFile(filepath.Join(dir, "et-open.rules.tar.xz"), func(name string, data []byte) {
		if !strings.HasSuffix(name, ".rules") {
			return
		}
		for line := range strings.Lines(string(data)) {
			if strings.HasPrefix(line, "alert") {
				rules = append(rules, parseRule(line))
			}
		}
	})
	return rules, err
}

var buffers = map[string]string{
	"http.uri": "http_uri", "http_uri": "http_uri", "http.uri.raw": "http_uri", "http.host": "http_host", "http.user_agent": "user_agent", "dns.query": "dns_query",
	"dns_query": "dns_query", "tls.sni": "tls_sni", "tls_sni": "tls_sni", "file.data": "file_data", "file_data": "file_data", "http.response_body": "file_data",
	"http.request_body": "request_body", "http.header": "http_header", "pkt_data": "stream", "http.method": "other", "http.stat_code": "other",
	"http.header_names": "header_names", "http.cookie": "cookie", "http.content_type": "other", "http.request_line": "request_line", "http.start": "request_line",
}

func parseRule(line string) (r Rule) {
	i, j := strings.IndexByte(line, '('), strings.LastIndexByte(line, ')')
	if i < 0 || j < i {
		return r
	}
	buffer := "stream"
	last := -1
	for _, o := range split(line[i+1 : j]) {
		key, val, _ := strings.Cut(o, ":")
		key, val = strings.TrimSpace(key), strings.TrimSpace(val)
		switch key {
		case "content":
			last = -1
			if b, ok := content(val); ok {
				last = len(r.Contents)
				r.Contents = append(r.Contents, Content{Buffer: buffer, Bytes: b})
			}
			continue
		case "pcre":
			if e, ok := expr(val); ok {
				e.Buffer = buffer
				r.Exprs = append(r.Exprs, e)
			}
			continue
		}
		if b, ok := buffers[key]; ok {
			buffer, last = b, -1
			continue
		}
		if dot := strings.IndexByte(key, '.'); dot > 0 && val == "" {
			buffer, last = key, -1 // some other sticky buffer
			continue
		}
		if last < 0 {
			continue
		}
		c := &r.Contents[last]
		switch key {
		case "nocase":
			c.NoCase = true
		case "fast_pattern":
			c.Fast = true
		case "startswith":
			c.Prefix = true
		case "endswith":
			c.Suffix = true
		case "bsize":
			c.All = val == strconv.Itoa(len(c.Bytes))
		}
	}
	return r
}

func split(s string) (out []string) {
	from := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case ';':
			out = append(out, s[from:i])
			from = i + 1
		}
	}
	return out
}

func content(v string) (b []byte, ok bool) {
	if !strings.HasPrefix(v, `"`) || !strings.HasSuffix(v, `"`) || len(v) < 3 {
		return nil, false
	}
	v = v[1 : len(v)-1]
	for i := 0; i < len(v); i++ {
		switch v[i] {
		case '\\':
			if i++; i < len(v) {
				b = append(b, v[i])
			}
		case '|':
			end := strings.IndexByte(v[i+1:], '|')
			if end < 0 {
				return nil, false
			}
			h := strings.ReplaceAll(v[i+1:i+1+end], " ", "")
			for k := 0; k+2 <= len(h); k += 2 {
				x, err := strconv.ParseUint(h[k:k+2], 16, 8)
				if err != nil {
					return nil, false
				}
				b = append(b, byte(x))
			}
			i += end + 1
		default:
			b = append(b, v[i])
		}
	}
	return b, len(b) > 0
}

func expr(v string) (e Expr, ok bool) {
	e.Negated = strings.HasPrefix(v, "!")
	v = strings.Trim(strings.TrimPrefix(v, "!"), `"`)
	i := strings.LastIndexByte(v, '/')
	if !strings.HasPrefix(v, "/") || i < 1 {
		return e, false
	}
	e.Pattern, e.Flags = v[1:i], v[i+1:]
	return e, true
}

// Buffers reads the captures and takes apart their flows: http_uri, http_host, user_agent,
// http_header, request_body, file_data, dns_query, tls_sni, and stream (each direction's first 64 KiB).
func Buffers(dir string) (map[string][][]byte, error) {
	out := map[string][][]byte{}
	err := eachFile(filepath.Join(dir, "et_dev_captures.tar.xz"), func(name string, data []byte) {
		if strings.Contains(name, "pcap") {
			capture(data, out)
		}
	})
	return out, err
}

// Synth reads the made capture with one conversation a rule: a buffer in it is one that a rule matches.
func Synth(dir string) (map[string][][]byte, error) {
	r, c, err := open(filepath.Join(dir, "synth_dev.pcap.xz"))
	if err != nil {
		return nil, err
	}
	defer c.Close()
	data, err := io.ReadAll(r)
	out := map[string][][]byte{}
	capture(data, out)
	return out, err
}

type flowKey struct {
	a, b netip.AddrPort
}

func capture(data []byte, out map[string][][]byte) {
	var next func() ([]byte, error)
	link := 1
	if r, err := pcapgo.NewReader(bytes.NewReader(data)); err == nil {
		link = int(r.LinkType())
		next = func() ([]byte, error) { b, _, err := r.ReadPacketData(); return b, err }
	} else if r, err := pcapgo.NewNgReader(bytes.NewReader(data), pcapgo.DefaultNgReaderOptions); err == nil {
		link = int(r.LinkType())
		next = func() ([]byte, error) { b, _, err := r.ReadPacketData(); return b, err }
	} else {
		return
	}
	flows := map[flowKey][]byte{}
	seqs := map[flowKey]uint32{}
	var order []flowKey
	for {
		b, err := next()
		if err != nil {
			break
		}
		switch link {
		case 1:
			if len(b) < 14 {
				continue
			}
			b = b[14:]
		case 113:
			if len(b) < 16 {
				continue
			}
			b = b[16:]
		case 12, 101:
		default:
			continue
		}
		k, proto, seq, payload, ok := packet(b)
		if !ok || len(payload) == 0 {
			continue
		}
		if proto == 17 {
			if k.a.Port() == 53 || k.b.Port() == 53 {
				dns(payload, out)
			}
			out["stream"] = append(out["stream"], bytes.Clone(payload))
			continue
		}
		if old, ok := flows[k]; !ok {
			order = append(order, k)
		} else if seqs[k] != seq || len(old) > 1<<16 {
			continue // lost, repeated or enough
		}
		flows[k] = append(flows[k], payload...)
		seqs[k] = seq + uint32(len(payload))
	}
	for _, k := range order {
		f := flows[k]
		f = f[:min(len(f), 1<<16)]
		out["stream"] = append(out["stream"], f)
		http(f, out)
		sni(f, out)
	}
}

func packet(b []byte) (k flowKey, proto byte, seq uint32, payload []byte, ok bool) {
	if len(b) < 20 {
		return
	}
	var src, dst netip.Addr
	switch b[0] >> 4 {
	case 4:
		h, total := int(b[0]&15)*4, int(b[2])<<8|int(b[3])
		if len(b) < h || total > len(b) || total < h || b[6]&0x3f != 0 || b[7] != 0 {
			return
		}
		src, dst, proto = netip.AddrFrom4([4]byte(b[12:])), netip.AddrFrom4([4]byte(b[16:])), b[9]
		b = b[h:total]
	case 6:
		if len(b) < 40 {
			return
		}
		src, dst, proto = netip.AddrFrom16([16]byte(b[8:])), netip.AddrFrom16([16]byte(b[24:])), b[6]
		b = b[40:]
	default:
		return
	}
	head := 8
	if proto == 6 {
		if len(b) < 20 {
			return
		}
		head = int(b[12]>>4) * 4
		seq = uint32(b[4])<<24 | uint32(b[5])<<16 | uint32(b[6])<<8 | uint32(b[7])
	} else if proto != 17 {
		return
	}
	if len(b) < head {
		return
	}
	k.a = netip.AddrPortFrom(src, uint16(b[0])<<8|uint16(b[1]))
	k.b = netip.AddrPortFrom(dst, uint16(b[2])<<8|uint16(b[3]))
	return k, proto, seq, b[head:], true
}

func dns(b []byte, out map[string][][]byte) {
	if len(b) < 13 {
		return
	}
	var name []byte
	for i := 12; i < len(b) && b[i] != 0 && b[i] < 64; i += int(b[i]) + 1 {
		if i+1+int(b[i]) > len(b) {
			return
		}
		if len(name) > 0 {
			name = append(name, '.')
		}
		name = append(name, b[i+1:i+1+int(b[i])]...)
	}
	if len(name) > 0 {
		out["dns_query"] = append(out["dns_query"], name)
	}
}

func sni(b []byte, out map[string][][]byte) {
	if len(b) < 11 || b[0] != 22 || b[5] != 1 {
		return
	}
	// The server_name extension with one name: 00 00, lengths, 00, length, name.
	for i := 40; i+9 < len(b) && i < 2000; i++ {
		n := int(b[i+7])<<8 | int(b[i+8])
		if b[i] == 0 && b[i+1] == 0 && b[i+6] == 0 && n > 3 && int(b[i+4])<<8|int(b[i+5]) == n+3 && int(b[i+2])<<8|int(b[i+3]) == n+5 && i+9+n <= len(b) {
			out["tls_sni"] = append(out["tls_sni"], bytes.Clone(b[i+9:i+9+n]))
			return
		}
	}
}

func http(b []byte, out map[string][][]byte) {
	add := func(name string, v []byte) {
		if len(v) > 0 {
			out[name] = append(out[name], v)
		}
	}
	for len(b) > 0 {
		end := bytes.Index(b, []byte("\r\n\r\n"))
		eol := bytes.Index(b, []byte("\r\n"))
		if end < 0 || eol < 0 || eol > 8192 {
			return
		}
		line, headers := b[:eol], b[min(eol+2, end):end]
		request := bytes.HasSuffix(line, []byte("HTTP/1.1")) || bytes.HasSuffix(line, []byte("HTTP/1.0"))
		if !request && !bytes.HasPrefix(line, []byte("HTTP/1.")) {
			return
		}
		length := 0
		for h := range bytes.SplitSeq(headers, []byte("\r\n")) {
			k, v, _ := bytes.Cut(h, []byte(":"))
			v = bytes.TrimSpace(v)
			switch strings.ToLower(string(k)) {
			case "host":
				add("http_host", v)
			case "user-agent":
				add("user_agent", v)
			case "content-length":
				length, _ = strconv.Atoi(string(v))
			}
		}
		add("http_header", headers)
		b = b[end+4:]
		if request {
			add("request_line", line)
			if f := bytes.Split(line, []byte(" ")); len(f) == 3 {
				add("http_uri", f[1])
			}
			n := max(min(length, len(b)), 0)
			add("request_body", b[:n])
			b = b[n:]
		} else {
			n := len(b)
			if length > 0 {
				n = min(length, n)
			}
			add("file_data", b[:n])
			b = b[n:]
		}
	}
}
