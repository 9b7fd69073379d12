package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
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
	case "bulk":
		d, err := time.ParseDuration(args[2])
		if err != nil {
			return err
		}
		return bulk(addr, d)
	}
	return fmt.Errorf("no role %q", name)
}

const (
	sinkPort = 7009
	echoPort = 7007
	bulkPort = 7010
)

// serve is the server: it reads and forgets datagrams on one port, echoes them
// on another, and counts the bytes of TCP connections on a third.
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
	buf := make([]byte, 1<<18)
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
	return answer(map[string]float64{"gbit": n * 8 / time.Since(start).Seconds() / 1e9})
}

func answer(v map[string]float64) error { return json.NewEncoder(os.Stdout).Encode(v) }
