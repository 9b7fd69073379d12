// Command acceptall accepts every packet of a queue with the package nfqueue
// and nothing else: the floor below which garita itself cannot come.
//
//	acceptall QUEUE
package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"

	"github.com/garita/garita/nfqueue"
	"github.com/garita/garita/packet"
)

func main() { os.Exit(run()) }

func run() int {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: acceptall QUEUE")
		return 2
	}
	n, err := strconv.ParseUint(os.Args[1], 10, 16)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	runtime.LockOSThread()
	q, err := nfqueue.Open(nfqueue.Config{Queue: uint16(n)})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, os.Interrupt)
	go func() {
		<-stop
		q.Close()
	}()
	fmt.Println("ready")
	if err := loop(q); !errors.Is(err, net.ErrClosed) {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	s := q.Stats()
	fmt.Printf("%+v\n", s)
	return 0
}

func loop(q *nfqueue.Queue) error {
	pkts := make([]packet.Packet, q.Info().Burst)
	for {
		n, err := q.Receive(pkts)
		if err != nil {
			return err
		}
		for i := range pkts[:n] {
			pkts[i].Verdict = packet.Accept()
		}
		if err := q.Verdict(pkts[:n]); err != nil {
			return err
		}
	}
}
