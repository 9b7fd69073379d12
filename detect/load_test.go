package detect

import (
	"fmt"
	"strings"
	"testing"

	"github.com/garita/garita/packet"
	"github.com/garita/garita/rule"
)

// oddRules are rules at the edge of what loads.
var oddRules = []struct {
	head, opts string
	loads      bool
}{
	{"ikev2", `ttl:64;`, true},
	{"udp any : -> any any", `content:"abc";`, true},
	{"udp", `pcre:/bc/;`, true},
	{"udp", `pcre:!/zzz/;`, true},
	{"udp", `pcre:!"/(?P<flow_x>a)/";`, true},
	{"udp", `pcre:"/(*UTF8)a/";`, true},
	{"udp", `pcre:!"/(*UTF8)qqq/";`, true},
	{"udp", `pcre:"/(*UTF)(*NO_JIT)bc/";`, true},
	{"udp", `pcre:"/(*NOSUCH)bc/";`, false},
	{"udp", `content:"abcdef"; offset:0x5;`, true},
	{"udp", `content:"def"; offset:010;`, true},
	{"udp", `content:"fghi"; offset:0x5;`, true},
	{"udp", `content:"ab"; depth:0x5;`, true},
	{"udp", `content:"cdef"; depth:010;`, true},
	{"udp", `content:"ab"; content:"ij"; distance:010;`, true},
	{"udp", `content:"ab"; content:"kl"; distance:010;`, true},
	{"udp", `content:"ab"; content:"ij"; within:0xa;`, true},
	{"udp", `threshold:type limit, track by_src, count 0, seconds 60;`, true},
	{"udp", `threshold:type limit, track by_src, count 1, seconds 0;`, true},
	{"udp", `threshold:type threshold, track by_src, count 0, seconds 60;`, true},
	{"udp", `threshold:type threshold, track by_src, count 2, seconds 0;`, true},
	{"udp", `threshold:type both, track by_src, count 0, seconds 60;`, true},
	{"udp", `threshold:type both, track by_src, count 1, seconds 0;`, true},
	{"udp", `detection_filter:track by_src, count 0, seconds 60;`, false},
	{"udp", `content:"ab"; byte_math:bytes 1, offset 0, oper /, rvalue 0, result x;`, true},
	{"udp", `content:!"zz"; prefilter;`, true},
	{"udp", `content:"ab"; priority:1; priority:2; gid:1; gid:1;`, true},
	{"udp", `content:"ab"; requires: version >= 7; requires: version < 8;`, true},
	{"udp", `content:"ab"; replace:"c";`, true},
	{"udp", `replace:"c"; content:"ab";`, true},
	{"udp", `content:"abcd"; dsize:3;`, false},
	{"udp", `content:"abcd"; offset:3; dsize:5;`, false},
	{"udp", `content:"ab"; content:"cd"; distance:0; dsize:<4;`, true},
	{"http", `http.uri;`, false},
	{"http", `http.uri; http.method; content:"GET";`, false},
	{"http", `http.uri; pkt_data; content:"a";`, false},
	{"http", `http.uri; to_lowercase;`, false},
	{"http", `http.uri; urilen:5;`, true},
	{"http", `http.uri; pcre:"/a/U";`, true},
	{"http", `http.uri; isdataat:5;`, true},
	{"http", `http.uri; bsize:3; content:"abcd";`, false},
	{"http", `http.uri; bsize:<5; content:"abcd";`, true},
	{"http", `http.uri; bsize:<3; content:"abcd";`, false},
	{"http", `http.uri; bsize:5; content:"ab"; content:"cd"; distance:3;`, false},
	{"tls", `ja3s.hash; content:"a";`, false},
	{"tls", `ja3.hash; content:"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";`, true},
	{"tls", `ja3s.hash; pcre:"/a/";`, true},
	{"tls", `tls.cert_fingerprint; content:"aa";`, false},
	{"ssh", `ssh.hassh; content:"aa";`, false},
}

func oddRule(i int) string {
	head := oddRules[i].head
	if !strings.Contains(head, " ") {
		head += " any any -> any any"
	}
	return fmt.Sprintf("alert %s (%s sid:%d;)", head, oddRules[i].opts, i+1)
}

// TestOddRules: which rules load; what is refused says why.
func TestOddRules(t *testing.T) {
	for i, c := range oddRules {
		parsed, errs := rule.Parse("test", oddRule(i), rule.Options{})
		if len(errs) > 0 {
			t.Errorf("%s: %v", c.opts, errs[0])
			continue
		}
		_, problems := Compile(parsed, Config{})
		refused := false
		for _, p := range problems {
			refused = refused || !p.Warning
		}
		if refused == c.loads {
			t.Errorf("%s: loads %v: %v", oddRule(i), !refused, problems)
		}
	}
}

// TestOddRulesAgainstSuricata: the installed Suricata loads the same of them, and
// they match the same packets.
func TestOddRulesAgainstSuricata(t *testing.T) {
	var rules []string
	for i := range oddRules {
		rules = append(rules, oddRule(i))
	}
	var pkts []*packet.Packet
	for i, payload := range []string{"abcdefghijkl", "xyabcYWJjYWJj", "a", "abc\xff\xfe", "a\xc3\xa9c abc defghi", "bcbcbcbcbcbcbcbc", "ab"} {
		p := pktFrom("10.0.0.1", "203.0.113.5", uint16(1000+i), 9999, 17, payload)
		p.Time = int64(1700000000+i) * 1e9
		pkts = append(pkts, p)
	}
	theirs, failed := askSuricata(t, rules, pkts)
	var mineRules []string
	for i, c := range oddRules {
		if failed[uint32(i+1)] == c.loads {
			t.Errorf("%s: Suricata loads it: %v", rules[i], !failed[uint32(i+1)])
		}
		if c.loads {
			mineRules = append(mineRules, rules[i])
		}
	}
	w := NewWorker(compile(t, Config{MaxAlerts: 255}, mineRules...))
	var o Outcome
	flows := make([]Flow, len(pkts))
	for i, p := range pkts {
		w.Inspect(&Input{Packet: p, Flow: &flows[i]}, &o)
		got := map[uint32]bool{}
		for _, sid := range sidsOf(&o) {
			got[sid] = true
		}
		for sid := range uint32(len(rules)) {
			if sid++; got[sid] != theirs[hitAt{i, sid}] {
				t.Errorf("%s on %q: %v", rules[sid-1], p.Payload(), got[sid])
			}
		}
	}
}

// TestEmptyPayload: an empty payload is looked at where a piece of the stream is due, and
// only there.
func TestEmptyPayload(t *testing.T) {
	set := compile(t, Config{},
		`alert tcp any any -> any any (isdataat:!10; sid:1;)`,
		`alert tcp-pkt any any -> any any (content:!"stream"; sid:2;)`,
		`alert tcp any any -> any any (content:!"stream"; flow:only_stream; sid:3;)`,
		`alert tcp any any -> any any (isdataat:20; sid:4;)`,
		`alert tcp any any -> any any (isdataat:!0; sid:5;)`)
	for _, c := range []struct{ payload, raw, want string }{
		{"", "", "[]"},
		{"", "a long piece of the stream", "[1 2 4 5]"},
		{"short", "", "[1 2]"}, // not in the stream: looked at by itself
	} {
		in := &Input{Packet: pkt(6, c.payload), Flow: &Flow{}, Established: true}
		if c.raw != "" {
			in.Raw = []byte(c.raw)
		}
		if got := fmt.Sprint(sids(t, set, in)); got != c.want {
			t.Errorf("payload %q, stream %q: %s, want %s", c.payload, c.raw, got, c.want)
		}
	}
}
