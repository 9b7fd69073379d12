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
	Gap           [2]bool     // bytes are missing in a direction
	TTL           [2][2]uint8 // by direction: lowest, highest
	Emergency     bool
	Bypass        string // who let it go: "local", "capture" or ""
}

// Flow writes the record of a flow that ended. now is nanoseconds since 1970.
func (l *Logger) Flow(now int64, f *FlowInfo, e *FlowEnd) {
	if !l.Wants(Flow) {
		return
	}
	o := l.beginFlow("flow", now, f, app.ToServer)
	l.appProto(o, f)
	o.open("flow")
	l.counts(o, f)
	if e.Bypass != "" {
		// What the kernel let pass is not counted here.
		o.open("bypassed")
		for _, n := range [...]string{"pkts_toserver", "pkts_toclient", "bytes_toserver", "bytes_toclient"} {
			o.uint(n, 0)
		}
		o.close()
	}
	l.span(o, f, e)
	if e.Emergency {
		o.bool("emergency", true)
	}
	if e.Bypass != "" {
		o.str("bypass", e.Bypass)
	}
	o.str("state", e.State)
	o.str("reason", e.Reason)
	o.bool("alerted", e.Alerted)
	if e.Action != "" {
		o.str("action", e.Action)
	}
	o.close()
	l.vars(o, f)
	l.community(o, f)
	if e.TCP {
		ts, tc := e.TCPFlags[app.ToServer], e.TCPFlags[app.ToClient]
		if e.TCPState == "none" {
			ts, tc = 0, 0 // no session that they would be flags of
		}
		o.open("tcp")
		o.str("tcp_flags", hexByte(ts|tc))
		o.str("tcp_flags_ts", hexByte(ts))
		o.str("tcp_flags_tc", hexByte(tc))
		tcpFlagNames(o, ts|tc)
		if e.TCPState != "none" {
			o.str("state", e.TCPState)
			if e.Gap[app.ToServer] {
				o.bool("ts_gap", true)
			}
			if e.Gap[app.ToClient] {
				o.bool("tc_gap", true)
			}
			// What is kept of a direction is always in one piece here.
			o.uint("ts_max_regions", 1)
			o.uint("tc_max_regions", 1)
		}
		o.close()
	}
	l.end()
}

func hexByte(b uint8) string { return string([]byte{hexDigits[b>>4], hexDigits[b&15]}) }

// beginFlow starts a record of a flow, or of one of its directions.
func (l *Logger) beginFlow(event string, now int64, f *FlowInfo, d app.Dir) *object {
	o := l.start(event)
	o.time("timestamp", now, l.cfg.Location)
	if f.ID != 0 {
		o.uint("flow_id", f.ID)
	}
	if f.Parent != 0 {
		o.uint("parent_id", f.Parent)
	}
	l.interfaceName(o, f.InDev)
	o.str("event_type", event)
	o.vlan(f.VLANs)
	src, dst, sp, dp := f.Src, f.Dst, f.SrcPort, f.DstPort
	if d == app.ToClient {
		src, dst, sp, dp = dst, src, dp, sp
	}
	l.tuple(o, src, dst, sp, dp, f.Proto)
	switch {
	case f.Proto == packet.ProtoICMP || f.Proto == packet.ProtoICMPv6:
		o.uint("icmp_type", uint64(sp>>8))
		o.uint("icmp_code", uint64(sp&0xff))
		if event == "flow" && f.Packets[app.ToClient] > 0 {
			o.uint("response_icmp_type", uint64(dp>>8))
			o.uint("response_icmp_code", uint64(dp&0xff))
		}
	}
	l.common(o)
	return o
}

// span adds when a flow began and ended.
func (l *Logger) span(o *object, f *FlowInfo, e *FlowEnd) {
	o.time("start", f.Start, l.cfg.Location)
	o.time("end", e.Last, l.cfg.Location)
	o.int("age", e.Last/int64(time.Second)-f.Start/int64(time.Second))
}

// tcpFlags adds the flags of one direction.
func tcpFlags(o *object, flags uint8) {
	o.str("tcp_flags", hexByte(flags))
	tcpFlagNames(o, flags)
}

func tcpFlagNames(o *object, flags uint8) {
	for _, b := range [...]struct {
		name string
		bit  packet.TCPFlags
	}{{"syn", packet.SYN}, {"fin", packet.FIN}, {"rst", packet.RST}, {"psh", packet.PSH}, {"ack", packet.ACK},
		{"urg", packet.URG}, {"ecn", packet.ECE}, {"cwr", packet.CWR}} {
		if packet.TCPFlags(flags)&b.bit != 0 {
			o.bool(b.name, true)
		}
	}
}
