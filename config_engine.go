package garita

import (
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"github.com/garita/garita/app"
	"github.com/garita/garita/flow"
	"github.com/garita/garita/internal/conf"
	"github.com/garita/garita/packet"
	"github.com/garita/garita/rule"
	"github.com/garita/garita/stream"
)

// number reads a whole number at path, or leaves *to as it is.
func number[T ~int | ~int64 | ~uint32 | ~uint64](r *reader, n *conf.Node, path string, to *T) {
	if n == nil {
		return
	}
	s := n.String(path, "")
	if s == "" {
		return
	}
	v, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		r.bad(path, fmt.Errorf("%q is not a whole number", s))
		return
	}
	*to = T(v)
}

// size reads a number of bytes at path, or leaves *to as it is.
func size[T ~int | ~int64 | ~uint64](r *reader, path string, to *T) {
	if r.n.String(path, "") == "" {
		return
	}
	v, err := r.n.Size(path, 0)
	r.bad(path, err)
	*to = T(v)
}

func (r *reader) exception(path string) stream.Exception {
	s := r.n.String(path, "")
	if s == "" || s == "auto" {
		if s = r.n.String("exception-policy", "auto"); s == "auto" {
			return stream.Auto
		}
	}
	e, ok := stream.ExceptionByName(s)
	if !ok {
		r.bad(path, fmt.Errorf("%q is no exception policy (auto, ignore, pass-packet, pass-flow, drop-packet, drop-flow, reject, bypass)", s))
	}
	return e
}

func (r *reader) stream() {
	c := &r.c.Stream
	n := r.n
	// In this file "auto" is the mode of the run.
	c.Inline = n.String("stream.inline", "auto") != "auto" && n.Bool("stream.inline", false)
	c.Midstream = n.Bool("stream.midstream", false)
	c.AsyncOneside = n.Bool("stream.async-oneside", false)
	r.c.Bypass.Depth = n.Bool("stream.bypass", false)
	c.KeepInvalid = !n.Bool("stream.drop-invalid", true)
	c.CheckOverlap = n.Bool("stream.reassembly.check-overlap-different-data", false)
	c.LiberalTimestamps = n.Bool("stream.liberal-timestamps", false)
	size(r, "stream.reassembly.memcap", &c.Memcap)
	size(r, "stream.reassembly.depth", &c.Depth)
	if n.String("stream.reassembly.depth", "") == "0" {
		c.Depth = -1 // Suricata's 0 is "no limit"
	}
	size(r, "stream.reassembly.toserver-chunk-size", &c.ChunkToServer)
	size(r, "stream.reassembly.toclient-chunk-size", &c.ChunkToClient)
	r.least("stream.reassembly.randomize-chunk", "size", "range", sized{&c.ChunkToServer, 2560}, sized{&c.ChunkToClient, 2560})
	number(r, n, "stream.max-syn-queued", &c.MaxSyn)
	number(r, n, "stream.max-synack-queued", &c.MaxSynAck)
	switch v := n.String("stream.reassembly.urgent.policy", "inline"); v {
	case "inline":
	case "drop":
		c.Urgent = stream.UrgentDrop
	case "oob":
		c.Urgent = stream.UrgentOOB
	case "gap":
		c.Urgent = stream.UrgentGap
	default:
		r.bad("stream.reassembly.urgent.policy", fmt.Errorf("%q is neither inline, drop, oob nor gap", v))
	}
	c.MemcapPolicy = r.exception("stream.reassembly.memcap-policy")
	c.MidstreamPolicy = r.exception("stream.midstream-policy")
	if s := n.Get("host-os-policy"); s != nil {
		for _, k := range s.Kids {
			p, ok := stream.PolicyByName(k.Name)
			if !ok {
				r.c.Warnings = append(r.c.Warnings, "host-os-policy: "+k.Name+" is not known here")
				continue
			}
			for _, net := range values(k) {
				for _, one := range strings.Split(strings.Trim(net, "[] "), ",") {
					if one = strings.TrimSpace(one); one == "" {
						continue
					}
					pre, err := prefix(one)
					r.bad("host-os-policy."+k.Name, err)
					if err == nil {
						c.HostOS = append(c.HostOS, stream.HostPolicy{Net: pre, Policy: p})
					}
				}
			}
		}
	}
}

func (r *reader) defrag() {
	c := &r.c.Defrag
	size(r, "defrag.memcap", &c.Memcap)
	number(r, r.n, "defrag.trackers", &c.Trackers)
	number(r, r.n, "defrag.max-frags", &c.Fragments)
	number(r, r.n, "defrag.timeout", &c.Timeout)
}

func prefix(s string) (netip.Prefix, error) {
	if strings.Contains(s, "/") {
		p, err := netip.ParsePrefix(s)
		return p.Masked(), err
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Prefix{}, err
	}
	return a.Prefix(a.BitLen())
}

func (r *reader) flow() {
	c := &r.c.Flow
	size(r, "flow.memcap", &c.Memcap)
	number(r, r.n, "flow.emergency-recovery", &c.EmergencyRecovery)
	s := r.n.Get("flow-timeouts")
	if s == nil {
		return
	}
	t := flow.DefaultTimeouts()
	for _, g := range []struct {
		name string
		to   *flow.TimeoutSet
	}{{"default", &t.Default}, {"tcp", &t.TCP}, {"udp", &t.UDP}, {"icmp", &t.ICMP}} {
		k := s.Get(g.name)
		if k == nil {
			continue
		}
		number(r, k, "new", &g.to.New)
		number(r, k, "established", &g.to.Established)
		number(r, k, "closed", &g.to.Closed)
		number(r, k, "bypassed", &g.to.Bypassed)
		number(r, k, "emergency-new", &g.to.EmergencyNew)
		number(r, k, "emergency-established", &g.to.EmergencyEstablished)
		number(r, k, "emergency-closed", &g.to.EmergencyClosed)
		number(r, k, "emergency-bypassed", &g.to.EmergencyBypassed)
	}
	c.Timeouts = &t
}

func (r *reader) app() {
	c := &r.c.App
	if s := r.n.Get("app-layer.protocols"); s != nil {
		for _, k := range s.Kids {
			p, ok := app.ProtoByName(k.Name)
			switch {
			case k.Name == "http":
				p, ok = app.HTTP1, true
			case k.Name == "ftp":
				p, ok = app.FTP, true
			}
			if !ok {
				continue
			}
			r.detectionPorts(p, k)
			on := k.String("enabled", "")
			if on == "" && k.Get("udp") != nil {
				on = k.String("udp.enabled", "")
			}
			switch on {
			case "no", "false", "off", "0":
				c.Disabled |= app.ProtoSetOf(p)
			case "yes", "true", "on", "1":
				c.Enabled |= app.ProtoSetOf(p)
			case "detection-only":
				c.Enabled |= app.ProtoSetOf(p)
				c.DetectOnly |= app.ProtoSetOf(p)
			}
		}
	}
	switch v := r.n.String("app-layer.protocols.tls.encryption-handling", "default"); v {
	case "default", "track-only", "full":
	case "bypass":
		r.c.Bypass.TLS = true
	default:
		r.bad("app-layer.protocols.tls.encryption-handling", fmt.Errorf("%q is neither default, bypass nor full", v))
	}
	r.c.AppError = r.exception("app-layer.error-policy")
	r.c.App.SMTP.NoMIME = !r.n.Bool("app-layer.protocols.smtp.mime.decode-mime", true)
	r.c.App.SMTP.BodyMD5 = r.n.Bool("app-layer.protocols.smtp.mime.body-md5", false)
	h := "app-layer.protocols.http.libhtp.default-config."
	r.http(strings.TrimSuffix(h, "."), &c.HTTP)
	if s := r.n.Get("app-layer.protocols.http.libhtp.server-config"); s != nil {
		for i, k := range s.Kids {
			if len(k.Kids) == 0 {
				continue
			}
			r.httpServer(fmt.Sprintf("app-layer.protocols.http.libhtp.server-config.%d.%s", i, k.Kids[0].Name), k.Kids[0])
		}
	}
	size(r, h+"request-body-minimal-inspect-size", &r.c.Detect.RequestBodyMinInspect)
	size(r, h+"request-body-inspect-window", &r.c.Detect.RequestBodyWindow)
	size(r, h+"response-body-minimal-inspect-size", &r.c.Detect.ResponseBodyMinInspect)
	size(r, h+"response-body-inspect-window", &r.c.Detect.ResponseBodyWindow)
	d := &r.c.Detect
	r.least(h+"randomize-inspection", "sizes", "range", sized{&d.RequestBodyMinInspect, 32 << 10}, sized{&d.RequestBodyWindow, 4 << 10},
		sized{&d.ResponseBodyMinInspect, 40 << 10}, sized{&d.ResponseBodyWindow, 16 << 10})
}

// sized is a size in bytes and its default.
type sized struct {
	n   *int
	def int
}

// least makes sizes small that Suricata takes at random within a range about what is
// configured, to be hard to predict: its --no-random takes the least of them. What
// is judged must not be up to chance here.
func (r *reader) least(option, on, span string, sizes ...sized) {
	if !r.n.Bool(option+"-"+on, true) {
		return
	}
	percent := 10
	number(r, r.n, option+"-"+span, &percent)
	for _, s := range sizes {
		if *s.n == 0 {
			*s.n = s.def
		}
		*s.n -= *s.n * percent / 200
	}
}

// http reads how HTTP is read, from the section at path.
func (r *reader) http(path string, c *app.HTTPConfig) {
	h := path + "."
	limit(r, h+"request-body-limit", &c.RequestBodyLimit)
	limit(r, h+"response-body-limit", &c.ResponseBodyLimit)
	if s := r.n.String(h+"response-body-decompress-layer-limit", ""); s != "" {
		number(r, r.n, h+"response-body-decompress-layer-limit", &c.DecompressLayers)
		if s == "0" {
			c.DecompressLayers = -1
		}
	}
	c.LZMA = r.n.Bool(h+"lzma-enabled", false)
	size(r, h+"lzma-memlimit", &c.LZMAMemLimit)
	c.DoubleDecodePath = r.n.Bool(h+"double-decode-path", false)
	c.DoubleDecodeQuery = r.n.Bool(h+"double-decode-query", false)
	c.URIIncludeAll = r.n.Bool(h+"uri-include-all", false)
	number(r, r.n, h+"headers-limit", &c.HeadersLimit)
	if p := r.n.String(h+"personality", "IDS"); !strings.EqualFold(p, "IDS") {
		r.warn(path + ".personality: " + p + " is read as IDS")
	}
}

// httpServer reads one entry of server-config. What it does not say is
// Suricata's default, not that of default-config.
func (r *reader) httpServer(path string, k *conf.Node) {
	var h app.HTTPConfig
	r.http(path, &h)
	for _, name := range [...]string{"request-body-minimal-inspect-size", "request-body-inspect-window", "response-body-minimal-inspect-size", "response-body-inspect-window"} {
		if k.Get(name) != nil {
			r.warn(path + "." + name + " has no effect: it is the same for all servers")
		}
	}
	a := k.Get("address")
	if a == nil {
		return
	}
	for _, s := range values(a) {
		for _, one := range strings.Split(strings.Trim(s, "[] "), ",") {
			p, err := prefix(strings.TrimSpace(one))
			r.bad(path+".address", err)
			if err == nil {
				r.c.HTTPServers = append(r.c.HTTPServers, HTTPServer{Net: p, HTTP: h.WithDefaults()})
			}
		}
	}
}

// detectionPorts reads on which ports protocol p is looked for: of one transport
// or of both.
func (r *reader) detectionPorts(p app.Proto, k *conf.Node) {
	for t, path := range [...]string{app.TCP: "tcp.", app.UDP: "udp."} {
		v := k.String("detection-ports.dp", "")
		if v == "" {
			v = k.String(path+"detection-ports.dp", "")
		}
		if v == "" {
			continue
		}
		var list []app.PortRange
		for _, s := range strings.Split(strings.Trim(v, "[] "), ",") {
			s = strings.TrimSpace(s)
			if s == "any" {
				list = append(list, app.PortRange{First: 0, Last: 65535})
				continue
			}
			first, last, ok := strings.Cut(s, ":")
			if !ok {
				last = first
			}
			a, err := strconv.ParseUint(first, 10, 16)
			b, err2 := strconv.ParseUint(last, 10, 16)
			if err != nil || err2 != nil {
				r.bad("app-layer.protocols."+k.Name+".detection-ports.dp", fmt.Errorf("no port: %q", s))
				continue
			}
			list = append(list, app.PortRange{First: uint16(a), Last: uint16(b)})
		}
		m := &r.c.App.Ports[t]
		if *m == nil {
			*m = make(map[app.Proto][]app.PortRange)
		}
		(*m)[p] = list
	}
}

// limit is size, where 0 means no limit.
func limit(r *reader, path string, to *int) {
	size(r, path, to)
	if r.n.String(path, "") == "0" {
		*to = -1
	}
}

// tunnel reads the ports of a kind of tunnel, decoder.NAME.
func (r *reader) tunnel(name string) (t packet.TunnelPorts) {
	path := "decoder." + name
	t.Off = !r.n.Bool(path+".enabled", true)
	k := r.n.Get(path + ".ports")
	if k == nil || k.Null {
		return t
	}
	for _, v := range values(k) {
		for _, s := range strings.Split(strings.Trim(r.port(v), "[] "), ",") {
			if s = strings.Trim(r.port(strings.TrimSpace(s)), "[] "); s == "any" {
				return packet.TunnelPorts{Off: t.Off, Any: true}
			}
			n, err := strconv.ParseUint(s, 10, 16)
			r.bad(path+".ports", err)
			t.List = append(t.List, uint16(n))
		}
	}
	return t
}

// port is a port group's value for its name ($NAME), anything else as it is.
func (r *reader) port(s string) string {
	if name, ok := strings.CutPrefix(strings.TrimSpace(s), "$"); ok {
		return r.c.Detect.Vars.Ports[name]
	}
	return s
}

func (r *reader) detect() {
	c := &r.c.Detect
	number(r, r.n, "packet-alert-max", &c.MaxAlerts)
	if k := r.n.Get("action-order"); k != nil {
		for _, v := range values(k) {
			a, ok := rule.ParseAction(v)
			if !ok {
				r.bad("action-order", fmt.Errorf("%q is no action", v))
			}
			c.ActionOrder = append(c.ActionOrder, a)
		}
	}
	switch r.n.String("pcap-file.checksum-checks", "auto") {
	case "no", "false", "off":
		r.c.IgnoreChecksums = true
	}
	r.c.IPIP = r.n.Bool("decoder.ipip.enabled", false)
	t := &r.c.Tunnels
	t.Teredo, t.VXLAN, t.Geneve = r.tunnel("teredo"), r.tunnel("vxlan"), r.tunnel("geneve")
	// A file that says nothing about the ports of Teredo means all of them;
	// without a file they are those of Suricata's packaged one.
	t.Teredo.Any = r.file && !t.Teredo.Off && t.Teredo.List == nil
	c.ReadFile = os.ReadFile
	c.DataDir = r.n.String("default-data-dir", "")
	r.geoIP()
	r.reputation()
	r.datasets()
	if f := r.n.String("threshold-file", ""); f != "" {
		if _, err := os.Stat(f); err != nil {
			r.c.Warnings = append(r.c.Warnings, fmt.Sprintf("threshold-file: %v", err))
			return
		}
		r.c.Rules.Thresholds = f
	}
}
