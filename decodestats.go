package garita

import (
	"encoding/binary"

	"github.com/garita/garita/app"
	"github.com/garita/garita/flow"
	"github.com/garita/garita/packet"
	"github.com/garita/garita/stream"
)

// DecodeStats count packets by what they are: those from the source, those that
// they carry in tunnels, and those put together from fragments.
type DecodeStats struct {
	Links                              [7]uint64 // as linkNames
	VLANs                              [3]uint64 // with one tag or more, two or more, three
	IPv4, IPv6, ARP, NSH, UnknownEther uint64
	TCP, UDP, ICMPv4, ICMPv6, SCTP     uint64
	ESP, GRE                           uint64
	Tunnels                            [packet.InTeredo + 1]uint64 // what was carried so
	MaxSize                            uint64                      // of a packet with its link layer
	Syn, SynAck, Rst                   uint64                      // TCP segments
	Events                             [packet.NumEvents]uint64
}

var linkNames = [...]struct {
	name  string
	links []packet.LinkType
}{
	{"ethernet", []packet.LinkType{packet.LinkEthernet}},
	{"sll", []packet.LinkType{packet.LinkSLL, packet.LinkSLL2}},
	{"ppp", []packet.LinkType{packet.LinkPPP}},
	{"chdlc", []packet.LinkType{packet.LinkCHDLC}},
	{"raw", []packet.LinkType{packet.LinkRaw, packet.LinkRaw12, packet.LinkRaw14, packet.LinkIPv4, packet.LinkIPv6}},
	{"null", []packet.LinkType{packet.LinkNull, packet.LinkLoop}},
}

// link counts the link layer of a packet from the source.
func (s *DecodeStats) link(p *packet.Packet) {
	s.MaxSize = max(s.MaxSize, uint64(len(p.L2)+len(p.Data)))
	if p.Number == 0 && len(p.L2) == 0 {
		s.Links[4]++ // a queue hands over IP
		return
	}
	for i := range linkNames {
		for _, l := range linkNames[i].links {
			if l == p.Link {
				s.Links[i]++
				if i == 0 && len(p.L2) >= 14 && binary.BigEndian.Uint16(p.L2[12:]) == etherNSH {
					s.NSH++
				}
				return
			}
		}
	}
}

// EtherTypes (IANA).
const (
	etherARP = 0x0806
	etherNSH = 0x894f
)

// packet counts what a decoded packet is.
func (s *DecodeStats) packet(p *packet.Packet) {
	for i := range s.VLANs {
		if int(p.NVLAN) > i {
			s.VLANs[i]++
		}
	}
	s.Tunnels[p.Tunnel]++
	for _, e := range p.Events() {
		s.Events[e]++
	}
	switch p.IPVersion() {
	case 4:
		s.IPv4++
	case 6:
		s.IPv6++
	default:
		if p.HWProtocol == etherARP {
			s.ARP++
		} else if len(p.L2) > 0 && p.LinkEvent == 0 && p.HWProtocol != packet.EtherIPv4 && p.HWProtocol != packet.EtherIPv6 {
			s.UnknownEther++
		}
		return
	}
	if p.IsFragment() {
		return
	}
	switch p.Proto() {
	case packet.ProtoTCP:
		s.TCP++
		if h, ok := p.TCP(); ok {
			f := h.Flags()
			switch {
			case f&(packet.SYN|packet.ACK) == packet.SYN|packet.ACK:
				s.SynAck++
			case f&packet.SYN != 0:
				s.Syn++
			}
			if f&packet.RST != 0 {
				s.Rst++
			}
		}
	case packet.ProtoUDP:
		s.UDP++
	case packet.ProtoICMP:
		s.ICMPv4++
	case packet.ProtoICMPv6:
		s.ICMPv6++
	case packet.ProtoSCTP:
		s.SCTP++
	case packet.ProtoESP:
		s.ESP++
	case packet.ProtoGRE:
		s.GRE++
	}
}

func (s *DecodeStats) add(o *DecodeStats) {
	for i := range s.Links {
		s.Links[i] += o.Links[i]
	}
	for i := range s.VLANs {
		s.VLANs[i] += o.VLANs[i]
	}
	for i := range s.Tunnels {
		s.Tunnels[i] += o.Tunnels[i]
	}
	for i := range s.Events {
		s.Events[i] += o.Events[i]
	}
	s.IPv4 += o.IPv4
	s.IPv6 += o.IPv6
	s.ARP += o.ARP
	s.NSH += o.NSH
	s.UnknownEther += o.UnknownEther
	s.TCP += o.TCP
	s.UDP += o.UDP
	s.ICMPv4 += o.ICMPv4
	s.ICMPv6 += o.ICMPv6
	s.SCTP += o.SCTP
	s.ESP += o.ESP
	s.GRE += o.GRE
	s.Syn += o.Syn
	s.SynAck += o.SynAck
	s.Rst += o.Rst
	s.MaxSize = max(s.MaxSize, o.MaxSize)
}

// values puts the counters into v, by Suricata's names.
func (s *DecodeStats) values(v map[string]uint64) {
	for i := range linkNames {
		v["decoder."+linkNames[i].name] = s.Links[i]
	}
	v["decoder.vlan"], v["decoder.vlan_qinq"], v["decoder.vlan_qinqinq"] = s.VLANs[0], s.VLANs[1], s.VLANs[2]
	v["decoder.ipv4"], v["decoder.ipv6"], v["decoder.arp"] = s.IPv4, s.IPv6, s.ARP
	v["decoder.nsh"], v["decoder.unknown_ethertype"] = s.NSH, s.UnknownEther
	v["decoder.tcp"], v["decoder.udp"] = s.TCP, s.UDP
	v["decoder.icmpv4"], v["decoder.icmpv6"] = s.ICMPv4, s.ICMPv6
	v["decoder.sctp"], v["decoder.esp"], v["decoder.gre"] = s.SCTP, s.ESP, s.GRE
	v["decoder.vxlan"], v["decoder.geneve"], v["decoder.teredo"] =
		s.Tunnels[packet.InVXLAN], s.Tunnels[packet.InGeneve], s.Tunnels[packet.InTeredo]
	v["decoder.max_pkt_size"] = s.MaxSize
	for e := packet.Event(1); int(e) < packet.NumEvents; e++ {
		v["decoder.event."+e.String()] = s.Events[e]
	}
	v["tcp.syn"], v["tcp.synack"], v["tcp.rst"] = s.Syn, s.SynAck, s.Rst
}

// FlowStats count flows by what they are, and what had become of them when they
// ended.
type FlowStats struct {
	TCP, UDP, ICMPv4, ICMPv6 uint64
	Ended                    [4]uint64                // by flow.State
	EndedTCP                 [stream.NumStates]uint64 // by the state of the session
}

func (s *FlowStats) begin(proto uint8) {
	switch proto {
	case packet.ProtoTCP:
		s.TCP++
	case packet.ProtoUDP:
		s.UDP++
	case packet.ProtoICMP:
		s.ICMPv4++
	case packet.ProtoICMPv6:
		s.ICMPv6++
	}
}

func (s *FlowStats) add(o *FlowStats) {
	s.TCP += o.TCP
	s.UDP += o.UDP
	s.ICMPv4 += o.ICMPv4
	s.ICMPv6 += o.ICMPv6
	for i := range s.Ended {
		s.Ended[i] += o.Ended[i]
	}
	for i := range s.EndedTCP {
		s.EndedTCP[i] += o.EndedTCP[i]
	}
}

// values puts the counters into v, by Suricata's names.
func (s *FlowStats) values(v map[string]uint64) {
	v["flow.tcp"], v["flow.udp"], v["flow.icmpv4"], v["flow.icmpv6"] = s.TCP, s.UDP, s.ICMPv4, s.ICMPv6
	v["flow.end.state.new"], v["flow.end.state.established"] = s.Ended[flow.New], s.Ended[flow.Established]
	v["flow.end.state.closed"], v["flow.end.state.local_bypassed"] = s.Ended[flow.Closed], s.Ended[flow.Bypassed]
	for i, n := range s.EndedTCP {
		v["flow.end.tcp_state."+stream.State(i).String()] = n
	}
}

// appValues puts what became of applications into v.
func appValues(s *app.Stats, v map[string]uint64) {
	for p := app.Unknown + 1; p < app.NProto; p++ {
		name := p.String()
		names := [2]string{name, name}
		switch p {
		case app.DNS, app.DCERPC, app.KRB5, app.NFS, app.Failed:
			names = [2]string{app.TCP: name + "_tcp", app.UDP: name + "_udp"}
		}
		for t, name := range names {
			v["app_layer.flow."+name] += s.Flows[t][p]
			if p != app.Failed {
				v["app_layer.tx."+name] += s.Tx[t][p]
				v["app_layer.error."+name+".parser"] += s.Errors[t][p]
			}
		}
	}
}
