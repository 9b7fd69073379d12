package lab

import (
	_ "embed"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// SampleRules is the policy that the sample exchanges are made for, in the
// language of package rule.
//
//go:embed sample.rules
var SampleRules string

// SampleRulesName is the file name to give to SampleRules in messages.
const SampleRulesName = "sample.rules"

// HoldText in a datagram to the echo service asks for the verdict that no rule
// can give: whoever runs the gateway holds it for HoldTime.
const HoldText = "wait a moment"

// HoldTime is how long it is to be held.
const HoldTime = 50 * time.Millisecond

// Exchanges returns the sample traffic: every exchange over IPv4 and over IPv6.
func Exchanges() []Exchange {
	const hello = "200, 31 bytes"
	var all []Exchange
	for _, ip := range [...]netip.Addr{ServerIP4, ServerIP6} {
		get := func(path string) func(e *Exchange) {
			return func(e *Exchange) {
				e.Name, e.do = "HTTP GET "+path, request{method: "GET", path: path}.do
				e.Want = Want{Verdict: Accepted, Outcome: Answered, Answer: hello, Arrived: "GET " + path}
			}
		}
		add := func(makeIt func(*Exchange), change ...func(*Want)) {
			e := Exchange{Server: ip}
			makeIt(&e)
			for _, c := range change {
				c(&e.Want)
			}
			all = append(all, e)
		}
		web := func(name string, q request, answer string) func(*Exchange) {
			return func(e *Exchange) {
				e.Name, e.do = name, q.do
				e.Want = Want{Verdict: Accepted, Outcome: Answered, Answer: answer, Arrived: q.method + " " + q.path}
			}
		}
		say := func(network, text string) func(*Exchange) {
			return func(e *Exchange) {
				e.Name, e.do = "echo/"+strings.ToUpper(network)+" "+brief([]byte(text)), echo{network, text}.do
				e.Want = Want{Verdict: Accepted, Outcome: Answered, Answer: text, Arrived: brief([]byte(text))}
			}
		}
		ask := func(network, name string, qtype uint16, answer string) func(*Exchange) {
			return func(e *Exchange) {
				what := dns.TypeToString[qtype] + " " + name
				e.Name, e.do = "DNS/"+strings.ToUpper(network)+" "+what, lookup{network, name, qtype}.do
				e.Want = Want{Verdict: Accepted, Outcome: Answered, Answer: answer, Arrived: what}
			}
		}
		pinging := func(text string) func(*Exchange) {
			return func(e *Exchange) {
				e.Name, e.do = "ping "+brief([]byte(text)), ping{text}.do
				e.Want = Want{Verdict: Accepted, Outcome: Answered, Answer: text, Arrived: "ping " + brief([]byte(text))}
			}
		}
		rule := func(verdict Verdict, sid uint32) func(*Want) {
			return func(w *Want) { w.Verdict, w.SID = verdict, sid }
		}
		lost := func(outcome Outcome) func(*Want) {
			return func(w *Want) { w.Outcome, w.Answer, w.Arrived = outcome, "", "" }
		}
		address := map[bool]string{false: ServerIP4.String(), true: ServerIP6.String()}[ip.Is6()]
		qtype := map[bool]uint16{false: dns.TypeA, true: dns.TypeAAAA}[ip.Is6()]

		add(get("/"))
		add(get("/watch"), rule(Alerted, 9000001))
		add(get("/evil"), rule(Dropped, 9000002), lost(TimedOut))
		add(get("/evil?friend"), rule(Passed, 9000003))
		add(get("/forbidden"), rule(Rejected, 9000004), lost(Reset))
		add(web("HTTP GET /page", request{method: "GET", path: "/page", show: true},
			`200 "`+strings.Replace(strings.TrimSpace(PageText), "brown fox", "green cat", 1)+`"`),
			rule(Replaced, 9000006))
		add(web("HTTP POST 200 kB", request{method: "POST", path: "/upload", body: 200_000, show: true}, `200 "got 200000 bytes"`))
		add(web("HTTP GET 4 MB", request{method: "GET", path: "/large"}, "200, 4194304 bytes"))
		add(web("HTTPS GET friend.example/page", request{method: "GET", path: "/page", name: "friend.example"}, "200, 21 bytes"))
		add(web("HTTPS GET evil.example/page", request{method: "GET", path: "/page", name: "evil.example"}, ""),
			rule(Dropped, 9000009), lost(TimedOut))
		add(ask("udp", "friend.example.", qtype, address))
		add(ask("udp", "evil.example.", qtype, ""), rule(Dropped, 9000007), lost(TimedOut))
		add(ask("tcp", "friend.example.", dns.TypeTXT, "TXT of 3000 bytes"))
		add(ask("tcp", "evil.example.", dns.TypeTXT, ""), rule(Dropped, 9000008), lost(TimedOut))
		add(say("tcp", "hello"))
		add(say("udp", "hello"))
		add(say("udp", "go away"), rule(Rejected, 9000005), lost(Unreachable))
		add(say("udp", HoldText), rule(Held, 0))
		add(pinging("good ping"))
		add(pinging("evil ping"), rule(Dropped, 9000010), lost(TimedOut))
	}
	return all
}
