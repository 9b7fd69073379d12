package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"runtime"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The load is made by copies of this program in the namespaces, so that none
// of its work is charged to the agent. A role prints one line of JSON.

const payload = 64 // bytes of a datagram

// role runs in a copy of this program.
func role(args []string) error {
	name, addr := args[0], args[1]
	// All load on one processor leaves the agent one where the other's receive
	// interrupts are not charged to it.
	if runtime.NumCPU() > 1 {
		var set unix.CPUSet
		set.Set(0)
		if err := unix.SchedSetaffinity(0, &set); err != nil {
			return fmt.Errorf("pin to processor 0: %w", err)
		}
	}
	switch name {
	case "serve":
		return serve(addr)
	case "flood":
		var n int
		if _, err := fmt.Sscan(args[2], &n); err != nil {
			return err
		}
		return flood(addr, n)
	case "ping":
		var n int
		if _, err := fmt.Sscan(args[2], &n); err != nil {
			return err
		}
		return ping(addr, n)
	case "bulk", "get":
		d, err := time.ParseDuration(args[2])
		if err != nil {
			return err
		}
		if name == "get" {
			return get(addr, d)
		}
		return bulk(addr, d)
	case "requests":
		var n int
		if _, err := fmt.Sscan(args[2], &n); err != nil {
			return err
		}
		return requests(addr, n)
	}
	return fmt.Errorf("no role %q", name)
}

const (
	sinkPort = 7009
	echoPort = 7007
	bulkPort = 7010
	webPort  = 80
)

// endless is how long a download would be if the client let it.
const endless = 1 << 40

// noise is what bulk transfers carry: like anything compressed or encrypted.
func noise() []byte {
	b := make([]byte, 1<<18)
	rand.NewChaCha8([32]byte{}).Read(b)
	return b
}

// page is what small requests ask for.
const page = "<html><head><title>A page</title></head><body><p>Hello, world.</p></body></html>\n"

// web answers like any web server: a page, or a file without an end.
func web(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/file" {
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, page)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", fmt.Sprint(int64(endless)))
	buf := noise()
	for {
		if _, err := w.Write(buf); err != nil {
			return
		}
	}
}

// serve is the server: it reads and forgets datagrams on one port, echoes them
// on another, counts the bytes of TCP connections on a third, and speaks HTTP.
func serve(ip string) error {
	addr := net.ParseIP(ip)
	sink, err := net.ListenUDP("udp", &net.UDPAddr{IP: addr, Port: sinkPort})
	if err != nil {
		return err
	}
	echo, err := net.ListenUDP("udp", &net.UDPAddr{IP: addr, Port: echoPort})
	if err != nil {
		return err
	}
	tcp, err := net.ListenTCP("tcp", &net.TCPAddr{IP: addr, Port: bulkPort})
	if err != nil {
		return err
	}
	go func() {
		buf := make([]byte, 2048)
		for {
			if _, err := sink.Read(buf); err != nil {
				return
			}
		}
	}()
	go func() {
		buf := make([]byte, 2048)
		for {
			n, from, err := echo.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			echo.WriteToUDPAddrPort(buf[:n], from)
		}
	}()
	webs, err := net.ListenTCP("tcp", &net.TCPAddr{IP: addr, Port: webPort})
	if err != nil {
		return err
	}
	go http.Serve(webs, http.HandlerFunc(web))
	fmt.Println("ready")
	for {
		c, err := tcp.AcceptTCP()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			buf := make([]byte, 1<<18)
			n := int64(0)
			for {
				m, err := c.Read(buf)
				n += int64(m)
				if err != nil {
					break
				}
			}
			fmt.Fprintln(c, n)
		}()
	}
}

// flood sends n datagrams as fast as it can.
func flood(ip string, n int) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	sa := &unix.SockaddrInet4{Port: sinkPort, Addr: [4]byte(net.ParseIP(ip).To4())}
	if err := unix.Connect(fd, sa); err != nil {
		return err
	}
	buf := make([]byte, payload)
	start := time.Now()
	for range n {
		if _, err := syscall.Write(fd, buf); err != nil && err != unix.ENOBUFS && err != unix.EAGAIN {
			return err
		}
	}
	return answer(map[string]float64{"seconds": time.Since(start).Seconds()})
}

// ping measures n round trips of a datagram.
func ping(ip string, n int) error {
	c, err := net.Dial("udp", net.JoinHostPort(ip, fmt.Sprint(echoPort)))
	if err != nil {
		return err
	}
	defer c.Close()
	buf := make([]byte, payload)
	times := make([]float64, 0, n)
	for i := range n + n/10 { // the first tenth warms up
		start := time.Now()
		c.SetDeadline(start.Add(5 * time.Second))
		if _, err := c.Write(buf); err != nil {
			return err
		}
		if _, err := c.Read(buf); err != nil {
			return err
		}
		if i >= n/10 {
			times = append(times, float64(time.Since(start).Nanoseconds())/1e3)
		}
	}
	slices.Sort(times)
	return answer(map[string]float64{"p50": times[n/2], "p99": times[n*99/100]})
}

// bulk sends over one TCP connection for d and reports what arrived.
func bulk(ip string, d time.Duration) error {
	c, err := net.Dial("tcp", net.JoinHostPort(ip, fmt.Sprint(bulkPort)))
	if err != nil {
		return err
	}
	defer c.Close()
	buf := noise()
	start := time.Now()
	for time.Since(start) < d {
		if _, err := c.Write(buf); err != nil {
			return err
		}
	}
	c.(*net.TCPConn).CloseWrite()
	var n float64
	if _, err := fmt.Fscan(c, &n); err != nil && err != io.EOF {
		return err
	}
	return answer(map[string]float64{"gbit": n * 8 / time.Since(start).Seconds() / 1e9, "done": n})
}

// get downloads a file for d over one connection.
func get(ip string, d time.Duration) error {
	start := time.Now()
	r, err := http.Get("http://" + ip + "/file")
	if err != nil {
		return err
	}
	defer r.Body.Close()
	buf := make([]byte, 1<<18)
	var n float64
	for time.Since(start) < d {
		m, err := r.Body.Read(buf)
		n += float64(m)
		if err != nil {
			return err
		}
	}
	return answer(map[string]float64{"gbit": n * 8 / time.Since(start).Seconds() / 1e9, "done": n})
}

// requests asks n times for a page, each time on a new connection: one after
// the other for the time it takes, then as many again, eight at a time, for the
// rate.
func requests(ip string, n int) error {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second}
	ask := func() error {
		r, err := client.Get("http://" + ip + "/page?id=17&name=value")
		if err != nil {
			return err
		}
		defer r.Body.Close()
		b, err := io.ReadAll(r.Body)
		if err == nil && string(b) != page {
			err = errors.New("another page came")
		}
		return err
	}
	times := make([]float64, 0, n)
	for range n {
		start := time.Now()
		if err := ask(); err != nil {
			return err
		}
		times = append(times, float64(time.Since(start).Nanoseconds())/1e3)
	}
	slices.Sort(times)
	start := time.Now()
	ended := make(chan error)
	for range 8 {
		go func() {
			for range n / 8 {
				if err := ask(); err != nil {
					ended <- err
					return
				}
			}
			ended <- nil
		}()
	}
	for range 8 {
		if err := <-ended; err != nil {
			return err
		}
	}
	return answer(map[string]float64{"p50": times[n/2], "p99": times[n*99/100],
		"rate": float64(n/8*8) / time.Since(start).Seconds(), "done": float64(n + n/8*8)})
}

func answer(v map[string]float64) error { return json.NewEncoder(os.Stdout).Encode(v) }
