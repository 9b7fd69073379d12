// Command bench measures what garita costs beside the loop that programs over
// libnetfilter_queue usually have (cloop/cloop.c), in the same run, in turns.
//
//	go run ./bench [-agent garita|acceptall] [-reps 5] [-packets 200000]
//	go run ./bench -rules FILE
//
// With -rules it measures what judging by those rules costs, beside the Suricata
// that is installed (suricata -q), with the same configuration and the same
// diversion into one queue.
//
// It makes a client, a gateway and a server in network namespaces of its own
// and prints a Markdown table. It needs root, and gcc (or cc) or Suricata; the
// host's network is not touched.
package main

import (
	"bufio"
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

//go:embed cloop/cloop.c
var cloopSource []byte

func main() {
	code, err := run()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
	}
	os.Exit(code)
}

// contender is one way to answer for every packet.
type contender struct {
	name    string
	command []string
	diverts bool // it makes the rules itself
	values  map[string][]float64
}

func run() (int, error) {
	if len(os.Args) > 2 && os.Args[1] == "role" {
		if err := role(os.Args[2:]); err != nil {
			return 2, err
		}
		return 0, nil
	}
	agent := flag.String("agent", "garita", "what to measure: garita (the command), or acceptall (the package nfqueue alone)")
	reps := flag.Int("reps", 7, "repetitions of everything")
	packets := flag.Int("packets", 200000, "datagrams of 64 bytes a repetition")
	pings := flag.Int("pings", 5000, "round trips a repetition")
	seconds := flag.Duration("tcp", time.Second, "how long to send over TCP a repetition")
	only := flag.String("only", "", "one of cpu, rtt, tcp, get, requests")
	rules := flag.String("rules", "", "judge by the rules in this file, beside Suricata")
	config := flag.String("config", "/etc/suricata/suricata.yaml", "with -rules: the configuration of both")
	requests := flag.Int("requests", 2000, "with -rules: HTTP requests a repetition, each on a connection of its own")
	dir := flag.String("dir", "", "where the programs are built (used by bench itself)")
	flag.Parse()
	if os.Getenv(insideNS) == "" {
		tmp, err := os.MkdirTemp("", "garita-bench-")
		if err != nil {
			return 2, err
		}
		defer os.RemoveAll(tmp)
		if *rules != "" {
			*agent = "garita"
		}
		if err := compile(tmp, *agent, *rules == ""); err != nil {
			return 2, err
		}
		os.Args = append(os.Args[:1], append([]string{"-dir", tmp}, os.Args[1:]...)...)
		return enter()
	}

	gso := &contender{name: "C loop, GSO", command: []string{*dir + "/cloop", fmt.Sprint(queueNum), "gso"}}
	plain := &contender{name: "C loop", command: []string{*dir + "/cloop", fmt.Sprint(queueNum)}}
	ours := &contender{name: "garita run", command: []string{*dir + "/garita", "run", "--hook", "forward"}, diverts: true}
	if *agent == "acceptall" {
		ours = &contender{name: "nfqueue alone", command: []string{*dir + "/acceptall", fmt.Sprint(queueNum)}}
	}
	all := []*contender{plain, ours, gso}
	yardstick, loads := plain, []string{"cpu", "rtt", "tcp"}
	if *rules != "" {
		yardstick, ours = judges(*rules, *config, *dir)
		all, loads = []*contender{yardstick, ours}, []string{"cpu", "rtt", "tcp", "get", "requests"}
	}
	if *only != "" {
		loads = []string{*only}
	}
	for _, c := range all {
		c.values = map[string][]float64{}
	}

	runtime.LockOSThread()
	n, err := build()
	if err != nil {
		return 2, fmt.Errorf("make the network: %w", err)
	}
	server := exec.Command("/proc/self/exe", "role", "serve", serverIP)
	ready, err := server.StdoutPipe()
	if err != nil {
		return 2, err
	}
	server.Stderr = os.Stderr
	if err := start(n.server, server); err != nil {
		return 2, err
	}
	defer func() {
		server.Process.Kill()
		server.Wait()
	}()
	if _, err := bufio.NewReader(ready).ReadString('\n'); err != nil {
		return 2, fmt.Errorf("server: %w", err)
	}
	for rep := range *reps {
		for i := range all {
			c := all[(i+rep)%len(all)] // nobody is always first
			fmt.Fprintf(os.Stderr, "\r%d/%d %-20s", rep+1, *reps, c.name)
			if err := measure(c, n, loads, amounts{*packets, *pings, *requests, *seconds}); err != nil {
				return 2, fmt.Errorf("%s: %w", c.name, err)
			}
		}
	}
	fmt.Fprint(os.Stderr, "\r\033[K")
	report(all, ours, yardstick)
	return 0, nil
}

// judges are Suricata and garita with the same rules, configuration, records
// and diversion. The server is what they protect: with everything in HOME_NET
// rules about strangers would not be looked at.
func judges(rules, config, dir string) (suricata, ours *contender) {
	same := []string{"-c", config, "-S", rules, "--set", "vars.address-groups.HOME_NET=[" + serverIP + "]"}
	suricata = &contender{name: "Suricata", command: append([]string{"suricata", "-q", fmt.Sprint(queueNum),
		"--runmode", "workers", "-l", dir}, same...)}
	ours = &contender{name: "garita run", command: append([]string{dir + "/garita", "run", "--no-divert",
		"--queue", fmt.Sprint(queueNum), "--queues", "1", "-l", dir}, same...)}
	return suricata, ours
}

// compile builds the contenders into dir.
func compile(dir, agent string, loop bool) error {
	var builds []*exec.Cmd
	if loop {
		src := filepath.Join(dir, "cloop.c")
		if err := os.WriteFile(src, cloopSource, 0o600); err != nil {
			return err
		}
		cc := "gcc"
		if _, err := exec.LookPath(cc); err != nil {
			cc = "cc"
		}
		builds = append(builds, exec.Command(cc, "-O2", "-o", filepath.Join(dir, "cloop"), src))
	}
	pkg := "./cmd/garita"
	if agent == "acceptall" {
		pkg = "./bench/acceptall"
	}
	root, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/garita/garita").Output()
	if err != nil {
		return fmt.Errorf("find the module: %w", err)
	}
	build := exec.Command("go", "build", "-o", filepath.Join(dir, agent), pkg)
	build.Dir = string(bytes.TrimSpace(root))
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	for _, cmd := range append(builds, build) {
		cmd.Stderr = os.Stderr
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("%s: %w", strings.Join(cmd.Args, " "), err)
		}
	}
	return nil
}

// amounts is how much load a repetition makes.
type amounts struct {
	packets, pings, requests int
	tcp                      time.Duration
}

// measure runs one contender through one repetition.
func measure(c *contender, n *network, loads []string, a amounts) (err error) {
	cmd := exec.Command(c.command[0], c.command[1:]...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := start(n.gateway, cmd); err != nil {
		return err
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	defer func() {
		cmd.Process.Signal(unix.SIGTERM)
		select {
		case <-exited:
		case <-time.After(10 * time.Second):
			cmd.Process.Kill()
			<-exited
			err = errors.Join(err, errors.New("did not end when asked to"))
		}
		if err != nil {
			err = fmt.Errorf("%w\n%s", err, out.String())
		}
	}()
	if !c.diverts {
		if err := wait(func() bool { q := queues(); return q.number > 0 }); err != nil {
			return fmt.Errorf("bind: %w", err)
		}
		if err := divert(); err != nil {
			return fmt.Errorf("divert: %w", err)
		}
		defer func() { err = errors.Join(err, undivert()) }()
	}
	// A warm-up, which also tells when the diversion works.
	var before counts
	if err := wait(func() bool {
		before = queues()
		_, e := load(n, "ping", fmt.Sprint(100))
		return e == nil && before.number > 0 && queues().handled > before.handled
	}); err != nil {
		return fmt.Errorf("warm up: %w", err)
	}

	if slices.Contains(loads, "cpu") {
		before, cpu := queues(), cpuTime(cmd.Process.Pid)
		if _, err := load(n, "flood", fmt.Sprint(a.packets)); err != nil {
			return err
		}
		if err := wait(func() bool { return queues().waiting == 0 }); err != nil {
			return fmt.Errorf("drain: %w", err)
		}
		handled := queues().handled - before.handled
		if handled == 0 {
			return errors.New("no packet was handled")
		}
		c.add("cpu", float64(cpuTime(cmd.Process.Pid)-cpu)/float64(handled))
		c.add("handled", float64(handled))
	}
	for _, l := range []struct {
		name, role, arg string
	}{
		{"rtt", "ping", fmt.Sprint(a.pings)},
		{"tcp", "bulk", a.tcp.String()},
		{"get", "get", a.tcp.String()},
		{"requests", "requests", fmt.Sprint(a.requests)},
	} {
		if !slices.Contains(loads, l.name) {
			continue
		}
		cpu := cpuTime(cmd.Process.Pid)
		v, err := load(n, l.role, l.arg)
		if err != nil {
			return err
		}
		for k, x := range v {
			c.add(l.name+" "+k, x)
		}
		if done := v["done"]; done > 0 {
			c.add(l.name+" cpu", float64(cpuTime(cmd.Process.Pid)-cpu)/done)
		}
	}
	return nil
}

func (c *contender) add(name string, v float64) { c.values[name] = append(c.values[name], v) }

// load runs a role in the client's namespace.
func load(n *network, role, arg string) (map[string]float64, error) {
	cmd := exec.Command("/proc/self/exe", "role", role, serverIP, arg)
	var out, msg bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &msg
	if err := start(n.client, cmd); err != nil {
		return nil, err
	}
	if err := cmd.Wait(); err != nil {
		return nil, fmt.Errorf("%s: %w: %s", role, err, msg.String())
	}
	var v map[string]float64
	return v, json.Unmarshal(out.Bytes(), &v)
}

// cpuTime is the processor time of all threads of a process, user and system,
// in nanoseconds, from its CPU clock (clock_getcpuclockid(3)): the same as
// utime + stime of /proc/PID/stat, but not rounded to ticks.
func cpuTime(pid int) int64 {
	var ts unix.Timespec
	const sched = 2
	if err := unix.ClockGettime(int32(^pid<<3|sched), &ts); err != nil {
		return 0
	}
	return ts.Nano()
}

// counts is what the kernel says of all queues of the gateway.
type counts struct {
	number  int
	waiting int64
	handled int64 // packets handed over
}

func queues() (c counts) {
	b, err := os.ReadFile("/proc/thread-self/net/netfilter/nfnetlink_queue")
	if err != nil {
		return c
	}
	for line := range strings.Lines(string(b)) {
		var queue, port, waiting, mode, copied, full, user, id int64
		if n, _ := fmt.Sscan(line, &queue, &port, &waiting, &mode, &copied, &full, &user, &id); n == 8 {
			c.number++
			c.waiting += waiting
			c.handled += id - user
		}
	}
	return c
}

func wait(ok func() bool) error {
	// Long enough for Suricata to read its rules on a busy machine.
	for end := time.Now().Add(4 * time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			return errors.New("timed out")
		}
	}
	return nil
}

// report prints the medians, and the medians of the ratios of each repetition.
func report(all []*contender, ours, yardstick *contender) {
	rows := []struct {
		key, name, unit string
		scale           float64
	}{
		{"cpu", "CPU per packet", "ns", 1},
		{"rtt p50", "UDP round trip, median", "µs", 1},
		{"rtt p99", "UDP round trip, 99 %", "µs", 1},
		{"tcp gbit", "TCP through the queue", "Gbit/s", 1},
		{"tcp cpu", "TCP, CPU a byte", "ns", 1},
		{"get gbit", "HTTP download", "Gbit/s", 1},
		{"get cpu", "HTTP download, CPU a byte", "ns", 1},
		{"requests p50", "HTTP request on a new connection, median", "µs", 1},
		{"requests p99", "HTTP request on a new connection, 99 %", "µs", 1},
		{"requests rate", "such requests a second, eight at a time", "1/s", 1},
		{"requests cpu", "HTTP request, CPU", "µs", 1e-3},
	}
	fmt.Print("| |")
	for _, c := range all {
		fmt.Printf(" %s |", c.name)
	}
	fmt.Printf(" %s ÷ %s (min – max) |\n|---|%s---|\n", ours.name, yardstick.name, strings.Repeat("---|", len(all)))
	for _, r := range rows {
		if len(ours.values[r.key]) == 0 {
			continue
		}
		fmt.Printf("| %s, %s |", r.name, r.unit)
		for _, c := range all {
			fmt.Printf(" %.4g |", r.scale*median(c.values[r.key]))
		}
		ratios := make([]float64, len(ours.values[r.key]))
		for i, v := range ours.values[r.key] {
			ratios[i] = v / yardstick.values[r.key][i]
		}
		fmt.Printf(" **%.2f** (%.2f – %.2f) |\n", median(ratios), slices.Min(ratios), slices.Max(ratios))
	}
	fmt.Printf("\nMedians of repetitions in turns; %s; %d processors; packets handed over per flood: ",
		kernel(), runtime.NumCPU())
	for i, c := range all {
		if i > 0 {
			fmt.Print(", ")
		}
		fmt.Printf("%s %.0f", c.name, median(c.values["handled"]))
	}
	fmt.Println(".")
}

func kernel() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return "Linux"
	}
	return "Linux " + unix.ByteSliceToString(u.Release[:])
}

func median(v []float64) float64 {
	if len(v) == 0 {
		return math.NaN()
	}
	s := slices.Sorted(slices.Values(v))
	if n := len(s); n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[len(s)/2]
}
