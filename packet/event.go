package packet

const maxEvents = 8

// Event is a decoder event: something odd about a packet. Its String is the
// name Suricata's decode-event keyword uses ("ipv4.trunc_pkt").
type Event uint8
