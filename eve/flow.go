package eve

import (
	"time"

	"github.com/garita/garita/app"
	"github.com/garita/garita/packet"
)

// FlowEnd is what a flow record says besides its FlowInfo.
type FlowEnd struct {
	Last          int64 // time of the last packet, nanoseconds since 1970
	State, Reason string
	Alerted       bool
	Action        string // "drop", "pass" or ""
	VLANs         []uint16
	TCP           bool
	TCPFlags      [2]uint8 // by direction
	TCPState      string
	Emergency     bool
}

// Flow writes the record of a flow that ended. now is nanoseconds since 1970.
func (l *Logger) Flow(now int64, f *FlowInfo, e *FlowEnd) {
	if !l.Wants(Flow) {
		return
	}
	o := &l.o
	o.comma = false
	o.open("")
	o.time("timestamp", now, l.cfg.Location)
	if f.ID != 0 {
		o.uint("flow_id", f.ID)
	}
	if f.Parent != 0 {
		o.uint("parent_id", f.Parent)
	}
	o.str("event_type", "flow")
	if len(f.VLANs) > 0 {
		o.openArray("vlan")
		for _, v := range f.VLANs {
			o.item()
			o.b = appendUint(o.b, uint64(v))
		}
		o.closeArray()
	}
	l.tuple(o, f.Src, f.Dst, f.SrcPort, f.DstPort, f.Proto)
	if f.Proto == packet.ProtoICMP || f.Proto == packet.ProtoICMPv6 {
		o.uint("icmp_type", uint64(f.SrcPort>>8))
		o.uint("icmp_code", uint64(f.SrcPort&0xff))
		if f.Packets[app.ToClient] > 0 {
			o.uint("response_icmp_type", uint64(f.DstPort>>8))
			o.uint("response_icmp_code", uint64(f.DstPort&0xff))
		}
	}
	if l.cfg.CommunityID {
		o.str("community_id", communityID(f.Src, f.Dst, f.SrcPort, f.DstPort, f.Proto, l.cfg.CommunityIDSeed))
	}
	l.appProto(o, f)
	o.open("flow")
	l.counts(o, f)
	o.time("start", f.Start, l.cfg.Location)
	o.time("end", e.Last, l.cfg.Location)
	o.int("age", e.Last/int64(time.Second)-f.Start/int64(time.Second))
	if e.Emergency {
		o.bool("emergency", true)
	}
	o.str("state", e.State)
	o.str("reason", e.Reason)
	o.bool("alerted", e.Alerted)
	if e.Action != "" {
		o.str("action", e.Action)
	}
	o.close()
	if e.TCP {
		ts, tc := e.TCPFlags[app.ToServer], e.TCPFlags[app.ToClient]
		if e.TCPState == "none" {
			ts, tc = 0, 0 // no session that they would be flags of
		}
		o.open("tcp")
		o.str("tcp_flags", hexByte(ts|tc))
		o.str("tcp_flags_ts", hexByte(ts))
		o.str("tcp_flags_tc", hexByte(tc))
		for _, b := range [...]struct {
			name string
			bit  packet.TCPFlags
		}{{"syn", packet.SYN}, {"fin", packet.FIN}, {"rst", packet.RST}, {"psh", packet.PSH}, {"ack", packet.ACK},
			{"urg", packet.URG}, {"ecn", packet.ECE}, {"cwr", packet.CWR}} {
			if packet.TCPFlags(ts|tc)&b.bit != 0 {
				o.bool(b.name, true)
			}
		}
		if e.TCPState != "none" {
			o.str("state", e.TCPState)
		}
		o.close()
	}
	l.end()
}

func hexByte(b uint8) string { return string([]byte{hexDigits[b>>4], hexDigits[b&15]}) }
