package ipq_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"

	"github.com/garita/garita/ipq"
)

// acceptTCP is the classic example of libipq's manual, ported call for call: it
// accepts all TCP, drops what is not, and prints how long the payloads are. It
// ends with the first error.
func acceptTCP(h *ipq.Handle, w io.Writer) error {
	if err := h.SetMode(ipq.CopyPacket, 0); err != nil {
		return err
	}
	buf := make([]byte, ipq.Headers+65531)
	for {
		if _, err := h.Read(buf, 0); err != nil {
			return err
		}
		switch ipq.MessageType(buf) {
		case ipq.MsgError:
			fmt.Fprintln(w, "received error message:", ipq.GetMsgErr(buf))
		case ipq.MsgPacket:
			m, err := ipq.GetPacket(buf)
			if err != nil {
				return err
			}
			verdict := ipq.Drop
			if n, ok := tcpPayload(m.Payload); ok {
				fmt.Fprintln(w, "tcp payload:", n)
				verdict = ipq.Accept
			}
			if err := h.SetVerdict(m.PacketID, verdict, nil); err != nil {
				return err
			}
		}
	}
}

// tcpPayload is the length of the payload of a TCP packet over IPv4.
func tcpPayload(b []byte) (n int, ok bool) {
	if len(b) < 20 || b[9] != 6 {
		return 0, false
	}
	ip := int(b[0]&15) * 4
	if len(b) < ip+20 {
		return 0, false
	}
	return int(binary.BigEndian.Uint16(b[2:])) - ip - int(b[ip+12]>>4)*4, true
}

// Needs a rule such as: iptables -A OUTPUT -p tcp --dport 80 -j QUEUE
func Example() {
	h, err := ipq.CreateHandle(0, ipq.IPv4)
	if err != nil {
		ipq.Perror(os.Stderr, "passer")
		return
	}
	defer h.Destroy()
	if err := acceptTCP(h, os.Stdout); err != nil {
		ipq.Perror(os.Stderr, "passer")
	}
}
