package detect

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/garita/garita/app"
	"github.com/garita/garita/packet"
	"github.com/garita/garita/rule"
)

func TestChains(t *testing.T) {
	for _, c := range []struct {
		opts, payload string
		want          bool
	}{
		{`content:"abc";`, "xxabcxx", true},
		{`content:"abc";`, "xxaBcxx", false},
		{`content:"abc"; nocase;`, "xxaBCxx", true},
		{`content:!"abc";`, "xxabxx", true},
		{`content:!"abc";`, "xabcxx", false},
		{`content:"a|62 63|d";`, "abcd", true},
		{`content:"abc"; offset:3;`, "abcabc", true},
		{`content:"abc"; offset:4;`, "abcabc", false},
		{`content:"abc"; depth:5;`, "xxabc", true},
		{`content:"abc"; depth:4;`, "xxabc", false},
		{`content:"abc"; offset:2; depth:3;`, "xxabc", true},
		{`content:"abc"; startswith;`, "abcx", true},
		{`content:"abc"; startswith;`, "xabc", false},
		{`content:"abc"; endswith;`, "abcabc", true},
		{`content:"abc"; endswith;`, "abcx", false},
		{`content:"a"; content:"b"; distance:1; within:1;`, "a_b", true},
		{`content:"a"; content:"b"; distance:1; within:1;`, "a__b", false},
		// The first a is not the right one: the chain goes back for the next.
		{`content:"a"; content:"b"; within:1;`, "axxab", true},
		{`content:"a"; content:"b"; within:1; content:"c"; within:1;`, "abxabxabc", true},
		{`content:"a"; pcre:"/^b/R";`, "axab", true},
		{`content:"a"; content:!"b"; within:1;`, "abac", true},
		{`content:"a"; content:!"b"; within:1;`, "abab", false},
		{`content:"a"; isdataat:2,relative;`, "abc", true},
		{`content:"a"; isdataat:3,relative;`, "abc", false},
		{`content:"a"; isdataat:!1,relative;`, "bca", true},
		{`isdataat:2; content:"a";`, "abc", true},
		{`isdataat:3; content:"a";`, "abc", false},
		{`content:"a"; byte_test:2,=,0x0102,0,relative;`, "a\x01\x02", true},
		{`content:"a"; byte_test:2,=,0x0201,0,relative,little;`, "a\x01\x02", true},
		{`content:"a"; byte_test:2,>,0x0102,0,relative;`, "a\x01\x02", false},
		{`content:"a"; byte_test:1,&,2,0,relative;`, "a\x06", true},
		{`content:"a"; byte_test:1,!&,2,0,relative;`, "a\x06", false},
		{`content:"a"; byte_test:3,=,123,0,relative,string,dec;`, "a123", true},
		{`content:"a"; byte_test:0,=,1234,0,relative,string,dec;`, "a1234x", true},
		{`content:"a"; byte_test:4,=,0x1f,0,relative,string,hex;`, "a001f", true},
		{`content:"a"; byte_test:1,=,3,0,relative,bitmask 0xf0;`, "a\x3f", true},
		{`content:"a"; byte_jump:1,0,relative; content:"b"; within:1;`, "a\x02xxb", true},
		{`content:"a"; byte_jump:1,0,relative; content:"b"; within:1;`, "a\x03xxb", false},
		{`content:"a"; byte_jump:1,0,relative,from_beginning; content:"b"; within:1;`, "a\x02b", true},
		{`content:"a"; byte_jump:1,0,relative,multiplier 2; content:"b"; within:1;`, "a\x02xxxxb", true},
		{`content:"a"; byte_jump:1,0,relative,post_offset -1; content:"b"; within:1;`, "a\x02xb", true},
		{`byte_extract:1,0,n; content:"b"; offset:n;`, "\x02bb", true},
		{`byte_extract:1,0,n; content:"b"; offset:n;`, "\x03bb", false},
		{`byte_extract:1,0,n; byte_test:1,=,n,1;`, "\x07\x07", true},
		{`byte_math:bytes 1, offset 0, oper +, rvalue 2, result r; content:"b"; offset:r;`, "\x01xxb", true},
		{`byte_math:bytes 1, offset 0, oper *, rvalue 3, result r; byte_test:1,=,r,1;`, "\x02\x06", true},
		{`pcre:"/a.c/";`, "xabcx", true},
		{`pcre:"/A.C/i";`, "xabcx", true},
		{`pcre:!"/a.c/";`, "xabcx", false},
		{`pcre:"/(?<!x)abc(?!x)/";`, "yabcy", true},
		{`pcre:"/c$/";`, "abc\n", true},
		{`pcre:"/\xff\x80/";`, "\xff\x80", true},
		{`content:"key="; base64_decode:bytes 8,offset 0,relative; base64_data; content:"hello";`, "key=aGVsbG8=", true},
		{`content:"key="; base64_decode:bytes 8,offset 0,relative; base64_data; content:"hellp";`, "key=aGVsbG8=", false},
		{`content:"a"; rawbytes;`, "a", true},
		{`base64_decode;`, "aGVsbG8=", false}, // nobody looks at what is decoded
		{`byte_extract:1,0,n; content:"b"; depth:n;`, "\x00b", false},
		{`byte_extract:1,0,n; content:"b"; depth:n;`, "\x02b", true},
		{`dsize:3; content:"a";`, "abc", true},
		{`dsize:>3; content:"a";`, "abc", false},
		{`dsize:2<>5; content:"a";`, "abc", true},
	} {
		set := compile(t, Config{}, `alert udp any any -> any any (`+c.opts+` sid:1;)`)
		if got := len(sids(t, set, &Input{Packet: pkt(17, c.payload)})) == 1; got != c.want {
			t.Errorf("%s on %q: %v", c.opts, c.payload, got)
		}
	}
}

func TestPacketKeywords(t *testing.T) {
	l4 := func(i int, b ...byte) func(ip, l4 []byte) { return func(_, x []byte) { copy(x[i:], b) } }
	ip := func(i int, b ...byte) func(ip, l4 []byte) { return func(x, _ []byte) { copy(x[i:], b) } }
	for _, c := range []struct {
		head, opts string
		p          *packet.Packet
		want       bool
	}{
		{"ip", "ttl:64;", pkt(17, ""), true},
		{"ip", "ttl:<64;", pkt(17, ""), false},
		{"ip", "tos:8;", pkt(17, "", ip(1, 8)), true},
		{"ip", "tos:!8;", pkt(17, "", ip(1, 8)), false},
		{"ip", "id:258;", pkt(17, "", ip(4, 1, 2)), true},
		{"ip", "fragbits:D;", pkt(17, "", ip(6, 0x40)), true},
		{"ip", "fragbits:M;", pkt(17, "", ip(6, 0x40)), false},
		{"ip", "fragbits:+D;", pkt(17, "", ip(6, 0xc0)), true},
		{"ip", "fragbits:+D;", pkt(17, "", ip(6, 0x40)), false},  // more than it
		{"ip", "fragbits:M,D;", pkt(17, "", ip(6, 0x40)), false}, // the comma ends it
		{"ip", "fragoffset:2-9;", pkt(17, "xx", ip(6, 0x20, 2)), true},
		{"ip", "fragoffset:2-9;", pkt(17, "xx", ip(6, 0x20, 3)), false},
		{"udp", "ttl:>0;", pkt(17, "xx", ip(6, 0x20, 2)), true},
		{"icmp", "itype:8;", pkt(1, "xx", ip(6, 0x20, 0)), false},
		{"ip", "dsize:0;", pkt(17, "xx", ip(6, 0x20, 2)), true},
		{"ip", "dsize:!5;", pkt(17, ""), false},
		{"ip", "dsize:!5;", pkt(17, "a"), true},
		{"ip", "flow:to_server; ttl:>0;", pkt(17, ""), true},
		{"ip", "flow:to_client; ttl:>0;", pkt(17, ""), false},
		{"ip", "flow:stateless; ttl:>0;", pkt(17, ""), false},
		{"ip", "flowbits:isnotset,abc; ttl:>0;", pkt(17, ""), false},
		{"ip", "fragoffset:>0;", pkt(17, "xx", ip(6, 0x20, 0x10)), true},
		{"ip", "ip_proto:17;", pkt(17, ""), true},
		{"ip", "ip_proto:!17;", pkt(17, ""), false},
		{"ip", "ip_proto:tcp;", pkt(6, ""), true},
		{"ip", "sameip;", pktFrom("10.0.0.1", "10.0.0.1", 1, 2, 17, ""), true},
		{"ip", "sameip;", pkt(17, ""), false},
		{"tcp", "flags:PA;", pkt(6, ""), true},
		{"tcp", "flags:S;", pkt(6, ""), false},
		{"tcp", "flags:+P;", pkt(6, ""), true},
		{"tcp", "flags:*AP;", pkt(6, ""), true},
		{"tcp", "flags:*SP;", pkt(6, ""), false}, // S, F, R: one of them must be there
		{"tcp", "flags:!S;", pkt(6, "", l4(13, 0x11)), true},
		{"tcp", "flags:!S;", pkt(6, ""), false},
		{"tcp", "flags:!0;", pkt(6, ""), true},
		{"tcp", "flags:0;", pkt(6, "", l4(13, 0)), true},
		{"tcp", "flags:!P;", pkt(6, ""), false},
		{"tcp", "flags:S,12;", pkt(6, "", l4(13, 0xc2)), true},
		{"tcp", "seq:66051;", pkt(6, "", l4(4, 0, 1, 2, 3)), true},
		{"tcp", "ack:7;", pkt(6, "", l4(8, 0, 0, 0, 7)), true},
		{"tcp", "window:!0;", pkt(6, "", l4(14, 1, 0)), true},
		{"icmp", "itype:8; icode:0;", pkt(1, ""), true},
		{"icmp", "itype:>8;", pkt(1, ""), false},
		{"icmp", "icmp_id:258;", pkt(1, "", l4(4, 1, 2)), true},
		{"icmp", "icmp_seq:3;", pkt(1, "", l4(6, 0, 3)), true},
		{"udp", "udp.hdr; content:\"|00 50|\"; offset:2; depth:2;", pkt(17, ""), true},
		{"tcp", "tcp.hdr; content:\"|00 50|\"; offset:2; depth:2;", pkt(6, ""), true},
		{"ip", "ipv4.hdr; content:\"|40 11|\"; offset:8;", pkt(17, ""), true},
		{"ip", "l3_proto:ipv6;", pktFrom("2001:db8::1", "2001:db8::2", 1, 2, 17, ""), true},
		{"ip", "l3_proto:ipv6;", pkt(17, ""), false},
		{"ip", "ip.src; content:\"|0a 00 00 01|\"; startswith; endswith;", pkt(17, ""), true},
		{"ip", "ip.dst; content:\"|0a 00 00 01|\";", pkt(17, ""), false},
	} {
		set := compile(t, Config{}, `alert `+c.head+` any any -> any any (`+c.opts+` sid:1;)`)
		if got := len(sids(t, set, &Input{Packet: c.p})) == 1; got != c.want {
			t.Errorf("%s %s on % x: %v", c.head, c.opts, c.p.Data, got)
		}
	}
}

// TestPacketKeywordsAgainstSuricata judges packets with odd headers by every
// form of the keywords on headers as the installed Suricata does.
func TestPacketKeywordsAgainstSuricata(t *testing.T) {
	l4 := func(i int, b ...byte) func(ip, l4 []byte) { return func(_, x []byte) { copy(x[i:], b) } }
	ip := func(i int, b ...byte) func(ip, l4 []byte) { return func(x, _ []byte) { copy(x[i:], b) } }
	var pkts []*packet.Packet
	port := uint16(1000)
	add := func(proto uint8, payload string, edit ...func(ip, l4 []byte)) {
		port++
		pkts = append(pkts, pktFrom("10.0.0.1", "203.0.113.5", port, 9999, proto, payload, edit...))
	}
	for _, f := range []byte{0, 1, 2, 3, 4, 0x10, 0x11, 0x12, 0x14, 0x18, 0x20, 0x28, 0x42, 0x82, 0xc2, 0xff} {
		add(6, "", l4(13, f))
	}
	for _, b := range []byte{0, 0x40, 0x80, 0xc0} {
		add(17, "payload", ip(6, b))
		add(6, "payload", ip(6, b), ip(1, b), ip(8, b+1))
	}
	for _, b := range []byte{0, 3, 5, 8, 13, 128} {
		add(1, "abcdefghijklmnop", l4(0, b, b), l4(4, 0, b, 0, 1))
	}
	add(17, "", ip(4, 0, 5))
	add(6, "abcde", l4(4, 0, 0, 0, 5), l4(8, 0, 0, 0, 5), l4(14, 0, 5))
	var rules []string
	rule := func(head, opts string) {
		rules = append(rules, fmt.Sprintf("alert %s any any -> any any (%s sid:%d;)", head, opts, len(rules)+1))
	}
	for _, m := range []string{"", "!", "+", "*"} {
		for _, f := range []string{"S", "F", "R", "P", "A", "U", "SA", "FA", "SP", "AP", "AU", "CE", "SE", "0", "S,12", "A,P", "AP,F", "SAFRPU"} {
			rule("tcp", "flags:"+m+f+";")
		}
		for _, f := range []string{"M", "D", "R", "MD", "DR", "MDR", "D,M", "D+"} {
			rule("ip", "fragbits:"+m+f+";")
		}
	}
	for _, v := range []string{"0", "5", "!5", ">5", ">=5", "<5", "<=5", "5-8", "5<>9", "!=5", "=5", "7-9", "1kb", "!0", ">0", "<1"} {
		for _, k := range []string{"ttl", "dsize", "itype", "icode", "tos", "id", "icmp_id", "icmp_seq", "fragoffset", "window", "seq", "ack", "tcp.mss"} {
			head := map[byte]string{'i': "icmp", 'w': "tcp", 's': "tcp", 'a': "tcp"}[k[0]]
			if head == "" || k == "id" {
				head = "ip"
			}
			rule(head, k+":"+v+";")
		}
	}
	theirs, refused := askSuricata(t, rules, pkts)
	var w *Worker
	for i, text := range rules {
		parsed, errs := ruleParse(text)
		if len(errs) > 0 {
			t.Fatal(errs[0])
		}
		set, problems := Compile(parsed, Config{})
		if (len(problems) > 0) != refused[uint32(i+1)] {
			t.Errorf("%s: refused %v, by Suricata %v", text, problems, refused[uint32(i+1)])
			continue
		}
		w = NewWorker(set)
		var o Outcome
		for n, p := range pkts {
			w.Inspect(&Input{Packet: p}, &o)
			if got, want := len(o.Alerts) > 0, theirs[hitAt{n, uint32(i + 1)}]; got != want {
				t.Errorf("%s on % x: %v, Suricata %v", text, p.Data, got, want)
			}
		}
	}
}

func ruleParse(text string) ([]rule.Rule, []*rule.Error) {
	return rule.Parse("test", text, rule.Options{})
}

func TestHeads(t *testing.T) {
	for _, c := range []struct {
		head string
		want bool
	}{
		{"udp any any -> any any", true},
		{"tcp any any -> any any", false},
		{"ip any any -> any any", true},
		{"udp 10.0.0.0/8 any -> any any", true},
		{"udp !10.0.0.0/8 any -> any any", false},
		{"udp $HOME_NET any -> $EXTERNAL_NET any", true},
		{"udp $EXTERNAL_NET any -> $HOME_NET any", false},
		{"udp $EXTERNAL_NET any <> $HOME_NET any", true},
		{"udp any 1234 -> any 80", true},
		{"udp any any -> any [1:79,81:]", false},
		{"udp any any -> [203.0.113.0/24,!203.0.113.5] any", false},
		{"udp any any -> any !$HTTP_PORTS", false},
	} {
		set := compile(t, Config{}, `alert `+c.head+` (content:"x"; sid:1;)`)
		if got := len(sids(t, set, &Input{Packet: pkt(17, "x")})) == 1; got != c.want {
			t.Errorf("%s: %v", c.head, got)
		}
	}
}

func TestRefused(t *testing.T) {
	for _, c := range []struct {
		rule, keyword string
		unsupported   bool
	}{
		{`alert tcp any any -> any any (content:"a"; nonsense; sid:1;)`, "nonsense", true},
		{`alert quux any any -> any any (sid:1;)`, "quux", true},
		{`alert tcp any any -> any any (content:"a|0|"; sid:1;)`, "content", false},
		{`alert tcp any any -> any any (content:"abc"; depth:2; sid:1;)`, "depth", false},
		{`alert tcp any any -> any any (nocase; sid:1;)`, "nocase", false},
		{`alert tcp any any -> any any (pcre:"/a(/"; sid:1;)`, "pcre", false},
		{`alert tcp any any -> any any (content:"a"; distance:q; sid:1;)`, "distance", false},
		{`alert tcp any any -> any any (flow:sideways; sid:1;)`, "flow", false},
		{`alert tcp any any -> any any (content:"a"; replace:"ab"; sid:1;)`, "replace", false},
		{`alert tcp $NOWHERE any -> any any (sid:1;)`, "", false},
		{`alert tcp any any -> any any (msg:"no sid";)`, "", false},
		{`alert http any any -> any any (http.method; content:"GET"; http.stat_code; content:"200"; sid:1;)`, "", false},
		{`alert dns any any -> any any (http.uri; content:"a"; sid:1;)`, "", false},
	} {
		rs, errs := rule.Parse("f", "\n"+c.rule+"\nalert udp any any -> any any (content:\"x\"; sid:99;)", rule.Options{})
		if len(errs) > 0 {
			t.Fatal(errs[0])
		}
		set, problems := Compile(rs, Config{})
		if len(problems) != 1 || problems[0].Keyword != c.keyword || problems[0].Unsupported != c.unsupported || problems[0].Line != 2 || problems[0].Col < 1 {
			t.Errorf("%s: %+v", c.rule, problems)
		}
		// The others work.
		if s := sids(t, set, &Input{Packet: pkt(17, "x")}); !slices.Equal(s, []uint32{99}) {
			t.Errorf("%s: the other rule gives %v", c.rule, s)
		}
	}
}

func TestDuplicates(t *testing.T) {
	rs, _ := rule.Parse("f", `alert udp any any -> any any (content:"a"; sid:1; rev:1;)
alert udp any any -> any any (content:"b"; sid:1; rev:2;)
alert udp any any -> any any (content:"c"; sid:1; rev:1;)`, rule.Options{})
	set, problems := Compile(rs, Config{})
	if len(problems) != 1 || problems[0].Line != 3 {
		t.Fatal(problems)
	}
	for payload, want := range map[string]int{"a": 0, "b": 1, "c": 0} {
		if got := len(sids(t, set, &Input{Packet: pkt(17, payload)})); got != want {
			t.Errorf("%s: %d alerts", payload, got)
		}
	}
}

// TestOrder: actions, flow bits and priorities decide, not the order of lines.
func TestOrder(t *testing.T) {
	set := compile(t, Config{},
		`alert udp any any -> any any (content:"x"; flowbits:isset,a; priority:1; sid:1;)`,
		`alert udp any any -> any any (content:"x"; flowbits:set,a; priority:3; sid:2;)`,
		`alert udp any any -> any any (content:"x"; priority:2; sid:3;)`,
		`drop udp any any -> any any (content:"y"; sid:4;)`,
		`pass udp any any -> any any (content:"z"; sid:5;)`,
		`reject udp any any -> any any (content:"y"; sid:6;)`,
	)
	w := NewWorker(set)
	var o Outcome
	judge := func(payload string) *Outcome {
		w.Inspect(&Input{Packet: pkt(17, payload), Flow: &Flow{}}, &o)
		return &o
	}
	if got := sidsOf(judge("x")); !slices.Equal(got, []uint32{2, 1, 3}) {
		t.Error("setter, tester, others:", got)
	}
	if judge("xy"); o.Action != rule.Reject || o.By.Sid != 4 || o.WholeFlow {
		t.Error("drop:", o.Action, o.WholeFlow)
	}
	if got := sidsOf(&o); !slices.Equal(got, []uint32{2, 1, 4, 6, 3}) && !slices.Equal(got, []uint32{4, 6, 2, 1, 3}) {
		t.Error("drops first:", got)
	}
	if judge("xyz"); o.Action != rule.Pass || len(o.Alerts) != 0 {
		t.Error("pass ends it:", o.Action, sidsOf(&o))
	}
}

func TestMaxAlerts(t *testing.T) {
	var rules []string
	for i := 1; i <= 20; i++ {
		rules = append(rules, fmt.Sprintf(`alert udp any any -> any any (content:"x"; sid:%d;)`, i))
	}
	rules = append(rules, `drop udp any any -> any any (content:"x"; priority:9; sid:99;)`)
	var o Outcome
	NewWorker(compile(t, Config{ActionOrder: []rule.Action{rule.Alert, rule.Drop}}, rules...)).Inspect(&Input{Packet: pkt(17, "x")}, &o)
	if len(o.Alerts) != MaxAlerts || o.Discarded != 6 || o.Action != rule.Drop {
		t.Error(len(o.Alerts), o.Discarded, o.Action)
	}
}

func TestIPOnlyOncePerDirection(t *testing.T) {
	set := compile(t, Config{}, `alert ip 10.0.0.0/8 any -> any any (sid:1;)`, `alert ip any any -> [10.0.0.0/8,2001:db8::/32] any (sid:2;)`,
		`drop ip 192.0.2.1 any -> any any (sid:3;)`)
	w := NewWorker(set)
	var o Outcome
	f := &Flow{}
	back := pktFrom("203.0.113.5", "10.0.0.1", 80, 1234, 17, "")
	for i, c := range []struct {
		p    *packet.Packet
		dir  app.Dir
		want []uint32
	}{{pkt(17, ""), 0, []uint32{1}}, {pkt(17, ""), 0, nil}, {back, 1, []uint32{2}}, {back, 1, nil}} {
		w.Inspect(&Input{Packet: c.p, Flow: f, Dir: c.dir}, &o)
		if got := sidsOf(&o); !slices.Equal(got, c.want) {
			t.Errorf("packet %d: %v, want %v", i, got, c.want)
		}
	}
	f = &Flow{}
	w.Inspect(&Input{Packet: pktFrom("192.0.2.1", "10.0.0.9", 1, 2, 17, ""), Flow: f}, &o)
	if o.Action != rule.Drop || !o.WholeFlow || f.Action() != rule.Drop || f.By().Sid != 3 {
		t.Error("drop by address is for the flow:", o.Action, o.WholeFlow)
	}
	w.Inspect(&Input{Packet: pkt(17, ""), Flow: f}, &o)
	if o.Action != rule.Drop || len(o.Alerts) != 0 {
		t.Error("the rest of the flow:", o.Action, len(o.Alerts))
	}
}

// TestIPOnlyLaw: the index finds what asking every set finds.
func TestIPOnlyLaw(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	var rules []string
	for i := range 60 {
		var l []string
		for range 1 + r.IntN(4) {
			if r.IntN(3) == 0 {
				l = append(l, fmt.Sprintf("2001:db8::%x-2001:db8::%x", r.IntN(20), 20+r.IntN(20)))
			} else {
				l = append(l, fmt.Sprintf("10.0.0.%d-10.0.0.%d", r.IntN(40), 40+r.IntN(40)))
			}
		}
		src, dst := "["+strings.Join(l, ",")+"]", "any"
		if r.IntN(2) == 0 {
			src, dst = dst, src
		}
		rules = append(rules, fmt.Sprintf("alert ip %s any -> %s any (sid:%d;)", src, dst, i+1))
	}
	set := compile(t, Config{MaxAlerts: 1000}, rules...)
	w := NewWorker(set)
	var o Outcome
	for range 500 {
		a, b := netip.AddrFrom4([4]byte{10, 0, 0, byte(r.IntN(100))}), netip.AddrFrom4([4]byte{10, 0, 0, byte(r.IntN(100))})
		if r.IntN(2) == 0 {
			a, b = netip.MustParseAddr(fmt.Sprintf("2001:db8::%x", r.IntN(50))), netip.MustParseAddr(fmt.Sprintf("2001:db8::%x", r.IntN(50)))
		}
		w.Inspect(&Input{Packet: pktFrom(a.String(), b.String(), 1, 2, 17, "")}, &o)
		var want []uint32
		for i := range set.sigs {
			s := &set.sigs[i]
			if (s.src < 0 || set.addrs[s.src].Contains(a)) && (s.dst < 0 || set.addrs[s.dst].Contains(b)) {
				want = append(want, s.info.Sid)
			}
		}
		if got := sidsOf(&o); !slices.Equal(got, want) {
			t.Fatalf("%v %v: %v, want %v", a, b, got, want)
		}
	}
}

func TestThresholds(t *testing.T) {
	for _, c := range []struct {
		kw     string
		alerts string // of twelve packets in one window, then two in the next
		drops  string
	}{
		{"threshold:type limit,track by_src,count 3,seconds 60;", "xxx.........xx", "xxxxxxxxxxxxxx"},
		{"threshold:type threshold,track by_src,count 4,seconds 60;", "...x...x...x..", "...x...x...x.."},
		{"threshold:type both,track by_dst,count 4,seconds 60;", "...x..........", "...xxxxxxxxx.."},
		{"detection_filter:track by_src,count 4,seconds 60;", "....xxxxxxxx..", "....xxxxxxxx.."},
	} {
		set := compile(t, Config{}, `drop udp any any -> any any (content:"x"; `+c.kw+` sid:1;)`)
		w := NewWorker(set)
		var o Outcome
		alerts, drops := "", ""
		for i := range 14 {
			p := pkt(17, "x")
			p.Time += int64(i) * 1e9
			if i >= 12 {
				p.Time += 100e9
			}
			w.Inspect(&Input{Packet: p}, &o)
			mark := func(s *string, on bool) {
				if on {
					*s += "x"
				} else {
					*s += "."
				}
			}
			mark(&alerts, len(o.Alerts) > 0)
			mark(&drops, o.Action == rule.Drop)
			// Another host has a count of its own.
			w.Inspect(&Input{Packet: pktFrom("10.9.9.9", "203.0.113.99", 1, 2, 17, "q")}, &o)
		}
		if alerts != c.alerts || drops != c.drops {
			t.Errorf("%s: alerts %s, want %s; drops %s, want %s", c.kw, alerts, c.alerts, drops, c.drops)
		}
	}
}

func TestThresholdConfig(t *testing.T) {
	entries, errs := ParseThresholds("t", `# comment
suppress gen_id 1, sig_id 1, track by_src, ip [10.0.0.0/24,!10.0.0.9]
suppress gen_id 1, sig_id 2
rate_filter gen_id 1, sig_id 3, track by_src, count 2, seconds 60, \
  new_action drop, timeout 30
bogus line
`, nil)
	if len(errs) != 1 || errs[0].Line != 6 || len(entries) != 3 {
		t.Fatal(errs, len(entries))
	}
	set := compile(t, Config{Thresholds: entries}, `alert udp any any -> any any (content:"x"; sid:1;)`, `drop udp any any -> any any (content:"y"; sid:2;)`,
		`alert udp any any -> any any (content:"z"; sid:3;)`)
	w := NewWorker(set)
	var o Outcome
	if w.Inspect(&Input{Packet: pkt(17, "x")}, &o); len(o.Alerts) != 0 || o.Suppressed != 1 {
		t.Error("suppressed by address:", len(o.Alerts))
	}
	if w.Inspect(&Input{Packet: pktFrom("10.0.0.9", "203.0.113.5", 1, 2, 17, "x")}, &o); len(o.Alerts) != 1 {
		t.Error("not suppressed:", len(o.Alerts))
	}
	if w.Inspect(&Input{Packet: pkt(17, "y")}, &o); len(o.Alerts) != 0 || o.Action != rule.Drop {
		t.Error("suppress hides the alert, not the drop:", o.Action)
	}
	for i, want := range []rule.Action{rule.NoAction, rule.NoAction, rule.Drop, rule.Drop} {
		if w.Inspect(&Input{Packet: pkt(17, "z")}, &o); o.Action != want {
			t.Errorf("rate filter, packet %d: %v", i, o.Action)
		}
	}
}

func TestReplace(t *testing.T) {
	set := compile(t, Config{Inline: true}, `alert udp any any -> any any (content:"good"; content:"news"; within:6; replace:"nuts"; sid:1;)`)
	var o Outcome
	NewWorker(set).Inspect(&Input{Packet: pkt(17, "good? good news")}, &o)
	if len(o.Edits) != 1 || o.Edits[0].Off != 11 || string(o.Edits[0].Data) != "nuts" {
		t.Fatalf("%+v", o.Edits)
	}
	// Only inline.
	set = compile(t, Config{}, `alert udp any any -> any any (content:"good"; replace:"evil"; sid:1;)`)
	if NewWorker(set).Inspect(&Input{Packet: pkt(17, "good")}, &o); len(o.Edits) != 0 || len(o.Alerts) != 1 {
		t.Fatalf("%+v", o.Edits)
	}
}

func TestIPRep(t *testing.T) {
	rep := &Reputation{}
	if bad := rep.AddCategories("1,BadHosts,Known bad\n2,Good,Known good\nx"); !slices.Equal(bad, []int{3}) {
		t.Fatal(bad)
	}
	if bad := rep.AddScores("10.0.0.1,1,50\n203.0.113.0/24,1,20\n203.0.113.5,2,100\n1.2.3.4,1,500\n"); !slices.Equal(bad, []int{4}) {
		t.Fatal(bad)
	}
	for opts, want := range map[string]bool{
		"any,BadHosts,>,30": true, "src,BadHosts,>,60": false, "dst,BadHosts,=,20": true, "both,badhosts,>,10": true, "both,BadHosts,>,30": false,
		"dst,Good,isset": true, "src,Good,isset": false, "src,Good,isnotset": true,
	} {
		set := compile(t, Config{Reputation: rep}, `alert ip any any -> any any (iprep:`+opts+`; sid:1;)`)
		if got := len(sids(t, set, &Input{Packet: pkt(17, "x")})) == 1; got != want {
			t.Errorf("%s: %v", opts, got)
		}
	}
}

func TestHostBits(t *testing.T) {
	set := compile(t, Config{}, `alert udp any any -> any any (content:"set"; xbits:set,b,track ip_src,expire 10; noalert; sid:1;)`,
		`alert udp any any -> any any (content:"ask"; xbits:isset,b,track ip_src; sid:2;)`)
	w := NewWorker(set)
	var o Outcome
	at := func(sec int64, src, payload string) int {
		p := pktFrom(src, "203.0.113.5", 1, 2, 17, payload)
		p.Time += sec * 1e9
		w.Inspect(&Input{Packet: p}, &o)
		return len(o.Alerts)
	}
	if at(0, "10.0.0.1", "ask") != 0 || at(1, "10.0.0.1", "set") != 0 || at(2, "10.0.0.1", "ask") != 1 || at(3, "10.0.0.2", "ask") != 0 || at(12, "10.0.0.1", "ask") != 0 {
		t.Error("bit of a host")
	}
}

// TestWholeIsSum: a set of rules alerts on what each of them alone alerts on.
func TestWholeIsSum(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	var rules []string
	for sid := 1; sid <= 120; sid++ {
		rules = append(rules, randomChain(r, sid))
	}
	set := compile(t, Config{MaxAlerts: 1000}, rules...)
	w := NewWorker(set)
	var single []*Worker
	for _, x := range rules {
		single = append(single, NewWorker(compile(t, Config{}, x)))
	}
	var o Outcome
	total := 0
	for range 60 {
		payload := make([]byte, 1+r.IntN(30))
		for i := range payload {
			payload[i] = "abAB1 "[r.IntN(6)]
		}
		in := &Input{Packet: pkt(17, string(payload))}
		w.Inspect(in, &o)
		got := sidsOf(&o)
		slices.Sort(got)
		var want []uint32
		for _, s := range single {
			s.Inspect(in, &o)
			want = append(want, sidsOf(&o)...)
		}
		total += len(want)
		if !slices.Equal(got, want) {
			t.Fatalf("%q: %v, each alone %v", payload, got, want)
		}
	}
	if total == 0 {
		t.Fatal("nothing matched at all")
	}
}

func FuzzCompile(f *testing.F) {
	r := rand.New(rand.NewPCG(3, 3))
	for sid := range 20 {
		f.Add(randomChain(r, sid+1), "abAB11 ab")
	}
	f.Add(`alert http any any -> any any (http.uri; dotprefix; content:".php"; endswith; flowbits:set,a; sid:1;)`, "x")
	f.Add(`drop tcp any any -> any any (flags:S; threshold:type limit,track by_src,count 1,seconds 1; sid:1;)`, "x")
	f.Fuzz(func(t *testing.T, text, payload string) {
		rs, _ := rule.Parse("f", text, rule.Options{})
		if len(rs) > 20 || len(payload) > 1000 {
			return
		}
		set, problems := Compile(rs, Config{Inline: true})
		for _, p := range problems {
			if p.Line < 1 || p.Col < 1 || p.What == "" {
				t.Fatalf("%q: incomplete problem %+v", text, p)
			}
		}
		w := NewWorker(set)
		var o Outcome
		for _, proto := range []uint8{6, 17, 1} {
			in := &Input{Packet: pkt(proto, payload), Flow: &Flow{}, Raw: []byte(payload)}
			w.Inspect(in, &o)
			for _, e := range o.Edits {
				if e.Off < 0 || e.Off+len(e.Data) > len(payload) {
					t.Fatalf("%q: edit %d+%d of %d bytes", text, e.Off, len(e.Data), len(payload))
				}
			}
			if len(o.Alerts) > MaxAlerts {
				t.Fatal(len(o.Alerts))
			}
		}
	})
}

// TestNothingAllocated: a packet that no rule matches costs no memory.
func TestNothingAllocated(t *testing.T) {
	set := compile(t, Config{Inline: true},
		`alert tcp $HOME_NET any -> any 80 (content:"evil"; nocase; content:"very"; distance:0; sid:1;)`,
		`alert udp any any -> any any (content:"bad"; pcre:"/b[a-z]+d$/"; sid:2;)`,
		`alert icmp any any -> any any (itype:3; sid:3;)`,
		`alert ip [192.0.2.0/24,198.51.100.7] any -> any any (sid:4;)`,
		`alert tcp any any -> any 22 (flags:S; threshold:type limit,track by_src,count 1,seconds 60; sid:5;)`,
		`drop http any any -> any any (http.uri; content:"/evil"; sid:6;)`,
		`alert dns any any -> any any (dns.query; dotprefix; content:".evil.com"; endswith; sid:7;)`,
	)
	w := NewWorker(set)
	var o Outcome
	for _, v6 := range []bool{false, true} {
		for _, proto := range []uint8{6, 17, 1, 58} {
			for _, frag := range []bool{false, true} {
				for dir := app.ToServer; dir <= app.ToClient; dir++ {
					src, dst := "10.0.0.1", "203.0.113.5"
					if v6 {
						src, dst = "2001:db8::1", "2001:db8::2"
					}
					p := pktFrom(src, dst, 1234, 80, proto, "an innocent payload with very bad intent", func(ip, _ []byte) {
						if frag && !v6 {
							binary.BigEndian.PutUint16(ip[6:], 0x2000)
						}
					})
					in := &Input{Packet: p, Flow: &Flow{}, Dir: dir, Established: true, Raw: p.Payload()}
					w.Inspect(in, &o)
					if len(o.Alerts) != 0 {
						t.Fatal("a rule matches:", o.Alerts[0].Info.Sid)
					}
					if n := testing.AllocsPerRun(100, func() { w.Inspect(in, &o) }); n != 0 {
						t.Errorf("v6 %v proto %d fragment %v direction %d: %v allocations", v6, proto, frag, dir, n)
					}
				}
			}
		}
	}
}
