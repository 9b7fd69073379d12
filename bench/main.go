// Command bench measures what garita costs beside the loop that programs over
// libnetfilter_queue usually have (cloop/cloop.c), in the same run, in turns.
//
//	go run ./bench [-agent garita|acceptall] [-reps 5] [-packets 200000]
//
// It makes a client, a gateway and a server in network namespaces of its own
// and prints a Markdown table. It needs root and gcc (or cc); the host's network
// is not touched.
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

// contender is one way to accept every packet.
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
	only := flag.String("only", "", "one of cpu, rtt, tcp")
	dir := flag.String("dir", "", "where the programs are built (used by bench itself)")
	flag.Parse()
	if os.Getenv(insideNS) == "" {
		tmp, err := os.MkdirTemp("", "garita-bench-")
		if err != nil {
			return 2, err
		}
		defer os.RemoveAll(tmp)
		if err := compile(tmp, *agent); err != nil {
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
			if err := measure(c, n, *only, *packets, *pings, *seconds); err != nil {
				return 2, fmt.Errorf("%s: %w", c.name, err)
			}
		}
	}
	fmt.Fprint(os.Stderr, "\r\033[K")
	report(all, ours, plain)
	return 0, nil
}

// compile builds the contenders into dir.
func compile(dir, agent string) error {
	src := filepath.Join(dir, "cloop.c")
	if err := os.WriteFile(src, cloopSource, 0o600); err != nil {
		return err
	}
	cc := "gcc"
	if _, err := exec.LookPath(cc); err != nil {
		cc = "cc"
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
	for _, cmd := range []*exec.Cmd{exec.Command(cc, "-O2", "-o", filepath.Join(dir, "cloop"), src), build} {
		cmd.Stderr = os.Stderr
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("%s: %w", strings.Join(cmd.Args, " "), err)
		}
	}
	return nil
}

// measure runs one contender through one repetition.
func measure(c *contender, n *network, only string, packets, pings int, tcp time.Duration) (err error) {
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

	if only == "" || only == "cpu" {
		before, cpu := queues(), cpuTime(cmd.Process.Pid)
		if _, err := load(n, "flood", fmt.Sprint(packets)); err != nil {
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
	if only == "" || only == "rtt" {
		v, err := load(n, "ping", fmt.Sprint(pings))
		if err != nil {
			return err
		}
		c.add("p50", v["p50"])
		c.add("p99", v["p99"])
	}
	if only == "" || only == "tcp" {
		v, err := load(n, "bulk", tcp.String())
		if err != nil {
			return err
		}
		c.add("tcp", v["gbit"])
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
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
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
		{"p50", "UDP round trip, median", "µs", 1},
		{"p99", "UDP round trip, 99 %", "µs", 1},
		{"tcp", "TCP through the queue", "Gbit/s", 1},
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
			fmt.Printf(" %.4g |", median(c.values[r.key]))
		}
		ratios := make([]float64, len(ours.values[r.key]))
		for i, v := range ours.values[r.key] {
			ratios[i] = v / yardstick.values[r.key][i]
		}
		fmt.Printf(" **%.2f** (%.2f – %.2f) |\n", median(ratios), slices.Min(ratios), slices.Max(ratios))
	}
	fmt.Printf("\nMedians of %d repetitions in turns; %s; %d processors; packets handed over per repetition: ",
		len(ours.values["cpu"]), kernel(), runtime.NumCPU())
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
