// Command usersock shows two and more processes that talk over netlink without
// the kernel's taking part: NETLINK_USERSOCK, by unicast and by multicast.
//
//	usersock listen 1            joins group 1, prints its port, answers what it hears
//	usersock unicast PORT TEXT   sends to one process and prints its answer
//	usersock multicast 1 TEXT    sends to all that joined group 1
//
// Anybody may send; joining a group needs CAP_NET_ADMIN. Try it without root:
//
//	garita lab -- sh -c 'usersock listen 1 & sleep 1; usersock multicast 1 hello'
//
// Messages reach no farther than the network namespace, and are lost when a
// receiver is slow. Between programs of one host a unix socket is the better
// choice: it has permissions, tells who sends, and passes files.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "usersock:", err)
		os.Exit(1)
	}
}

// msgText is the type of our messages. Types below 16 are netlink's own, and the
// library would take them for answers of the kernel.
const msgText = 0x10

func run(args []string, out io.Writer) error {
	if len(args) < 2 {
		return errors.New("usage: usersock listen GROUP | unicast PORT TEXT | multicast GROUP TEXT")
	}
	n, err := strconv.ParseUint(args[1], 10, 32)
	if err != nil {
		return err
	}
	switch {
	case args[0] == "listen" && group(n) != 0:
		return listen(group(n), out)
	case args[0] == "unicast" && len(args) == 3:
		return unicast(uint32(n), args[2], out)
	case args[0] == "multicast" && len(args) == 3 && group(n) != 0:
		return multicast(group(n), args[2])
	}
	return fmt.Errorf("%q: not understood (groups are 1 to 32)", args)
}

// group is the bit of a group's number; 0 if there is no such.
func group(n uint64) uint32 {
	if n < 1 || n > 32 {
		return 0
	}
	return 1 << (n - 1)
}

// listen prints what it hears and answers each message, until it hears "bye".
func listen(groups uint32, out io.Writer) error {
	c, err := netlink.Dial(unix.NETLINK_USERSOCK, &netlink.Config{Groups: groups})
	if err != nil {
		return fmt.Errorf("joining the group (this needs CAP_NET_ADMIN): %w", err)
	}
	defer c.Close()
	// The port is not the process's number for any but its first socket.
	fmt.Fprintln(out, "port", c.PID())
	for {
		msgs, err := c.Receive()
		if err != nil {
			return err
		}
		for _, m := range msgs {
			text := string(bytes.TrimRight(m.Data, "\x00"))
			// The sender wrote this number itself and the kernel does not
			// check it: good for an answer, not for trust.
			fmt.Fprintf(out, "from %d: %s\n", m.Header.PID, text)
			if text == "bye" {
				return nil
			}
			if err := send(c, m.Header.PID, 0, "you said: "+text); err != nil && !errors.Is(err, unix.ECONNREFUSED) {
				return err // refused: it did not wait for an answer
			}
		}
	}
}

// unicast sends to one port and prints the answer.
func unicast(port uint32, text string, out io.Writer) error {
	c, err := netlink.Dial(unix.NETLINK_USERSOCK, nil)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := send(c, port, 0, text); err != nil {
		return err
	}
	if text == "bye" {
		return nil
	}
	if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	msgs, err := c.Receive()
	if err != nil {
		return err
	}
	for _, m := range msgs {
		fmt.Fprintf(out, "%s\n", bytes.TrimRight(m.Data, "\x00"))
	}
	return nil
}

// multicast sends to all members of the groups.
func multicast(groups uint32, text string) error {
	c, err := netlink.Dial(unix.NETLINK_USERSOCK, nil)
	if err != nil {
		return err
	}
	defer c.Close()
	// With port 0 the kernel delivers to the group and then tries itself, where
	// nobody listens: ECONNREFUSED for a message that arrived. With our own port
	// it gives us a copy instead, which we leave unread.
	return send(c, c.PID(), groups, text)
}

// send sends one message to a port, to groups, or both. The library's Send
// knows one receiver, the kernel, so the address is given by hand.
func send(c *netlink.Conn, port, groups uint32, text string) error {
	data := append([]byte(text), make([]byte, (4-len(text)%4)%4)...) // messages are aligned
	m := netlink.Message{
		Header: netlink.Header{Length: uint32(unix.SizeofNlMsghdr + len(data)), Type: msgText, Flags: netlink.Request, PID: c.PID()},
		Data:   data,
	}
	b, err := m.MarshalBinary()
	if err != nil {
		return err
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var sent error
	err = raw.Write(func(fd uintptr) bool {
		sent = unix.Sendto(int(fd), b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Pid: port, Groups: groups})
		return !errors.Is(sent, unix.EAGAIN) // the receiver is slow: wait until it can be sent
	})
	return errors.Join(err, sent)
}
