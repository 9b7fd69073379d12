package eve

import (
	"strings"

	"github.com/garita/garita/app"
	"github.com/garita/garita/packet"
)

// The bits of a flow with these names are shown as what they say of it.
const (
	trafficID    = "traffic/id/"
	trafficLabel = "traffic/label/"
)

// vars adds the bits and variables that rules gave to the flow and the packet.
func (l *Logger) vars(o *object, f *FlowInfo) {
	if f == nil || f.Vars == nil || l.rules == nil || l.cfg.NoVars {
		return
	}
	bits := f.Vars.Bits()
	n := l.bits(o, bits, "id", trafficID, "traffic", false)
	if l.bits(o, bits, "label", trafficLabel, "traffic", n) || n {
		o.close()
	}
	open := l.bits(o, bits, "flowbits", "", "metadata", false)
	section := func() {
		if !open {
			open = true
			o.open("metadata")
		}
	}
	if _, _, ok := f.Vars.Int(0); ok {
		section()
		o.open("flowints")
		for i := 0; ; i++ {
			name, v, ok := f.Vars.Int(i)
			if !ok {
				break
			}
			if s := l.rules.Name(name); s != "" {
				o.keyEscaped(s)
				o.b = appendUint(o.b, uint64(v))
			}
		}
		o.close()
	}
	if _, _, ok := f.Vars.Var(0); ok {
		section()
		o.openArray("flowvars")
		for i := 0; ; i++ {
			name, v, ok := f.Vars.Var(i)
			if !ok {
				break
			}
			l.variable(o, name, v)
		}
		o.closeArray()
	}
	if len(f.PacketVars) > 0 {
		section()
		o.openArray("pktvars")
		for i := range f.PacketVars {
			l.variable(o, f.PacketVars[i].Name, f.PacketVars[i].Value)
		}
		o.closeArray()
	}
	if open {
		o.close()
	}
}

// bits adds an array of the names of bits that begin with prefix, or with none
// of those that mean something if it is "". The section around it is opened
// unless it is open; bits says whether it is now.
func (l *Logger) bits(o *object, bits []uint32, name, prefix, section string, open bool) bool {
	array := false
	for _, id := range bits {
		s := l.rules.Name(id)
		if prefix == "" && (strings.HasPrefix(s, trafficID) || strings.HasPrefix(s, trafficLabel)) || !strings.HasPrefix(s, prefix) || s == "" {
			continue
		}
		if !open {
			open = true
			o.open(section)
		}
		if !array {
			array = true
			o.openArray(name)
		}
		o.item()
		o.b = appendString(o.b, s[len(prefix):])
	}
	if array {
		o.closeArray()
	}
	return open
}

func (l *Logger) variable(o *object, name uint32, v []byte) {
	s := l.rules.Name(name)
	if s == "" {
		return
	}
	o.item()
	o.open("")
	o.keyEscaped(s)
	o.b = appendPrintable(o.b, v)
	o.close()
}

// Metadata writes the record of a packet whose rules kept variables of it.
func (l *Logger) Metadata(p *packet.Packet, f *FlowInfo) {
	if !l.Wants(Metadata) {
		return
	}
	l.begin("metadata", p, f)
	l.end()
}

// community adds the Community ID of the flow.
func (l *Logger) community(o *object, f *FlowInfo) {
	if l.cfg.CommunityID && f != nil {
		o.str("community_id", communityID(f.Src, f.Dst, f.SrcPort, f.DstPort, f.Proto, l.cfg.CommunityIDSeed))
	}
}

// ether adds the addresses of an Ethernet header.
func (l *Logger) ether(o *object, p *packet.Packet) {
	if !l.cfg.Ethernet || p.Link != packet.LinkEthernet || len(p.L2) < 14 {
		return
	}
	o.open("ether")
	o.mac("src_mac", p.L2[6:12])
	o.mac("dest_mac", p.L2[:6])
	o.close()
}

// NetFlow writes the two records of a flow that ended, one a direction; of one
// that had no answer, one.
func (l *Logger) NetFlow(now int64, f *FlowInfo, e *FlowEnd) {
	if !l.Wants(NetFlow) {
		return
	}
	l.netFlow(now, f, e, app.ToServer)
	if f.Packets[app.ToClient] > 0 {
		l.netFlow(now, f, e, app.ToClient)
	}
}

func (l *Logger) netFlow(now int64, f *FlowInfo, e *FlowEnd, d app.Dir) {
	o := l.beginFlow("netflow", now, f, d)
	proto := f.App
	if f.AppKnown && proto == app.Unknown && f.Proto == packet.ProtoUDP {
		proto = app.Failed // a datagram has but one chance
	}
	o.str("app_proto", proto.String())
	o.open("netflow")
	o.uint("pkts", f.Packets[d])
	o.uint("bytes", f.Bytes[d])
	l.span(o, f, e)
	o.uint("min_ttl", uint64(e.TTL[d][0]))
	o.uint("max_ttl", uint64(e.TTL[d][1]))
	o.close()
	if e.TCP {
		o.open("tcp")
		flags := e.TCPFlags[d]
		if e.TCPState == "none" {
			flags = 0
		}
		tcpFlags(o, flags)
		o.close()
	}
	l.vars(o, f)
	l.community(o, f)
	l.end()
}

// common adds what is the same in all records.
func (l *Logger) common(o *object) {
	if l.cfg.SensorName != "" {
		o.str("host", l.cfg.SensorName)
	}
	if l.cfg.CaptureFile != "" {
		o.str("pcap_filename", l.cfg.CaptureFile)
	}
}

func (l *Logger) interfaceName(o *object, dev uint32) {
	if l.names == nil || dev == 0 {
		return
	}
	if n := l.names(dev); n != "" {
		o.str("in_iface", n)
	}
}

func (o *object) vlan(tags []uint16) {
	if len(tags) == 0 {
		return
	}
	o.openArray("vlan")
	for _, v := range tags {
		o.item()
		o.b = appendUint(o.b, uint64(v))
	}
	o.closeArray()
}
