package packet

const maxEvents = 8

// Event is a decoder event: something odd about a packet. Its String is the
// name that Suricata's decode-event keyword uses ("ipv4.trunc_pkt"); the zero
// value is no event.
type Event uint8

// The events, by Suricata's names. Those of link layers are set by the source
// that decodes the link layer, through AddEvent.
const (
	_ Event = iota
	EventARPPacketTooSmall
	EventARPUnsupportedHardware
	EventCHDLCPacketTooSmall
	EventDCEPacketTooSmall
	EventErspanHeaderTooSmall
	EventErspanTooManyVLANLayers
	EventErspanUnsupportedVersion
	EventESPPacketTooSmall
	EventEthernetPacketTooSmall
	EventEthernetUnknownEthertype
	EventGeneveUnknownPayloadType
	EventGREPacketTooSmall
	EventGREVersion0Flags
	EventGREVersion0HeaderTooBig
	EventGREVersion0Recursion
	EventGREVersion1Checksum
	EventGREVersion1Flags
	EventGREVersion1HeaderTooBig
	EventGREVersion1MalformedSREHeader
	EventGREVersion1NoKey
	EventGREVersion1Recursion
	EventGREVersion1Route
	EventGREVersion1SSR
	EventGREVersion1WrongProtocol
	EventGREWrongVersion
	EventICMPv4IPv4TruncatedPacket
	EventICMPv4IPv4UnknownVersion
	EventICMPv4PacketTooSmall
	EventICMPv4UnknownCode
	EventICMPv4UnknownType
	EventICMPv6ExperimentationType
	EventICMPv6IPv6TruncatedPacket
	EventICMPv6IPv6UnknownVersion
	EventICMPv6MLDMessageWithInvalidHopLimit
	EventICMPv6PacketTooSmall
	EventICMPv6UnassignedType
	EventICMPv6UnknownCode
	EventICMPv6UnknownType
	EventIEEE8021ahHeaderTooSmall
	EventIPRawInvalidIPVersion
	EventIPv4FragmentIgnored
	EventIPv4FragmentOverlap
	EventIPv4FragmentPacketTooLarge
	EventIPv4HeaderLenTooSmall
	EventIPv4ICMPv6
	EventIPv4IPLenSmallerThanHeaderLen
	EventIPv4OptionDuplicate
	EventIPv4OptionEOLRequired
	EventIPv4OptionInvalid
	EventIPv4OptionInvalidLen
	EventIPv4OptionMalformed
	EventIPv4OptionPadRequired
	EventIPv4OptionUnknown
	EventIPv4PacketTooSmall
	EventIPv4TruncatedPacket
	EventIPv4WrongIPVersion
	EventIPv6DataAfterNoneHeader
	EventIPv6DstOptsOnlyPadding
	EventIPv6DstOptsUnknownOption
	EventIPv6ExtHeaderAHReservedNotNull
	EventIPv6ExtHeaderDuplicateAH
	EventIPv6ExtHeaderDuplicateDH
	EventIPv6ExtHeaderDuplicateEH
	EventIPv6ExtHeaderDuplicateFH
	EventIPv6ExtHeaderDuplicateHH
	EventIPv6ExtHeaderDuplicateRH
	EventIPv6ExtHeaderInvalidOptionLen
	EventIPv6ExtHeaderUselessFH
	EventIPv6FHNonZeroReservedField
	EventIPv6FragmentIgnored
	EventIPv6FragmentInvalidLength
	EventIPv6FragmentOverlap
	EventIPv6FragmentPacketTooLarge
	EventIPv6HopOptsOnlyPadding
	EventIPv6HopOptsUnknownOption
	EventIPv6ICMPv4
	EventIPv6IPv4InIPv6TooSmall
	EventIPv6IPv4InIPv6WrongVersion
	EventIPv6IPv6InIPv6TooSmall
	EventIPv6IPv6InIPv6WrongVersion
	EventIPv6PacketTooSmall
	EventIPv6RHType0
	EventIPv6TruncatedExtHeader
	EventIPv6TruncatedPacket
	EventIPv6UnknownNextHeader
	EventIPv6WrongIPVersion
	EventIPv6ZeroLenPadN
	EventNullPacketTooSmall
	EventNullUnsupportedType
	EventMPLSBadLabelImplicitNull
	EventMPLSBadLabelReserved
	EventMPLSBadLabelRouterAlert
	EventMPLSHeaderTooSmall
	EventMPLSPacketTooSmall
	EventMPLSUnknownPayloadType
	EventNSHBadHeaderLength
	EventNSHHeaderTooSmall
	EventNSHReservedType
	EventNSHUnknownPayload
	EventNSHUnsupportedType
	EventNSHUnsupportedVersion
	EventPPPIPv4PacketTooSmall
	EventPPPIPv6PacketTooSmall
	EventPPPPacketTooSmall
	EventPPPUnsupportedProtocol
	EventPPPVJUPacketTooSmall
	EventPPPWrongType
	EventPPPoEMalformedTags
	EventPPPoEPacketTooSmall
	EventPPPoEWrongCode
	EventSCTPPacketTooSmall
	EventSLLPacketTooSmall
	EventTCPHeaderLenTooSmall
	EventTCPInvalidOptionLen
	EventTCPOptionDuplicate
	EventTCPOptionInvalidLen
	EventTCPPacketTooSmall
	EventTooManyLayers
	EventUDPHeaderLenTooSmall
	EventUDPLenInvalid
	EventUDPPacketTooSmall
	EventVLANHeaderTooSmall
	EventVLANTooManyLayers
	EventVLANUnknownType
	EventVNTagHeaderTooSmall
	EventVNTagUnknownType
	EventVXLANUnknownPayloadType
	numEvents
)

// NumEvents is one more than the last Event.
const NumEvents = int(numEvents)

var eventNames = [numEvents]string{
	EventARPPacketTooSmall:                   "arp.pkt_too_small",
	EventARPUnsupportedHardware:              "arp.unsupported_hardware",
	EventCHDLCPacketTooSmall:                 "chdlc.pkt_too_small",
	EventDCEPacketTooSmall:                   "dce.pkt_too_small",
	EventErspanHeaderTooSmall:                "erspan.header_too_small",
	EventErspanTooManyVLANLayers:             "erspan.too_many_vlan_layers",
	EventErspanUnsupportedVersion:            "erspan.unsupported_version",
	EventESPPacketTooSmall:                   "esp.pkt_too_small",
	EventEthernetPacketTooSmall:              "ethernet.pkt_too_small",
	EventEthernetUnknownEthertype:            "ethernet.unknown_ethertype",
	EventGeneveUnknownPayloadType:            "geneve.unknown_payload_type",
	EventGREPacketTooSmall:                   "gre.pkt_too_small",
	EventGREVersion0Flags:                    "gre.version0_flags",
	EventGREVersion0HeaderTooBig:             "gre.version0_hdr_too_big",
	EventGREVersion0Recursion:                "gre.version0_recur",
	EventGREVersion1Checksum:                 "gre.version1_chksum",
	EventGREVersion1Flags:                    "gre.version1_flags",
	EventGREVersion1HeaderTooBig:             "gre.version1_hdr_too_big",
	EventGREVersion1MalformedSREHeader:       "gre.version1_malformed_sre_hdr",
	EventGREVersion1NoKey:                    "gre.version1_no_key",
	EventGREVersion1Recursion:                "gre.version1_recur",
	EventGREVersion1Route:                    "gre.version1_route",
	EventGREVersion1SSR:                      "gre.version1_ssr",
	EventGREVersion1WrongProtocol:            "gre.version1_wrong_protocol",
	EventGREWrongVersion:                     "gre.wrong_version",
	EventICMPv4IPv4TruncatedPacket:           "icmpv4.ipv4_trunc_pkt",
	EventICMPv4IPv4UnknownVersion:            "icmpv4.ipv4_unknown_ver",
	EventICMPv4PacketTooSmall:                "icmpv4.pkt_too_small",
	EventICMPv4UnknownCode:                   "icmpv4.unknown_code",
	EventICMPv4UnknownType:                   "icmpv4.unknown_type",
	EventICMPv6ExperimentationType:           "icmpv6.experimentation_type",
	EventICMPv6IPv6TruncatedPacket:           "icmpv6.ipv6_trunc_pkt",
	EventICMPv6IPv6UnknownVersion:            "icmpv6.ipv6_unknown_version",
	EventICMPv6MLDMessageWithInvalidHopLimit: "icmpv6.mld_message_with_invalid_hl",
	EventICMPv6PacketTooSmall:                "icmpv6.pkt_too_small",
	EventICMPv6UnassignedType:                "icmpv6.unassigned_type",
	EventICMPv6UnknownCode:                   "icmpv6.unknown_code",
	EventICMPv6UnknownType:                   "icmpv6.unknown_type",
	EventIEEE8021ahHeaderTooSmall:            "ieee8021ah.header_too_small",
	EventIPRawInvalidIPVersion:               "ipraw.invalid_ip_version",
	EventIPv4FragmentIgnored:                 "ipv4.frag_ignored",
	EventIPv4FragmentOverlap:                 "ipv4.frag_overlap",
	EventIPv4FragmentPacketTooLarge:          "ipv4.frag_pkt_too_large",
	EventIPv4HeaderLenTooSmall:               "ipv4.hlen_too_small",
	EventIPv4ICMPv6:                          "ipv4.icmpv6",
	EventIPv4IPLenSmallerThanHeaderLen:       "ipv4.iplen_smaller_than_hlen",
	EventIPv4OptionDuplicate:                 "ipv4.opt_duplicate",
	EventIPv4OptionEOLRequired:               "ipv4.opt_eol_required",
	EventIPv4OptionInvalid:                   "ipv4.opt_invalid",
	EventIPv4OptionInvalidLen:                "ipv4.opt_invalid_len",
	EventIPv4OptionMalformed:                 "ipv4.opt_malformed",
	EventIPv4OptionPadRequired:               "ipv4.opt_pad_required",
	EventIPv4OptionUnknown:                   "ipv4.opt_unknown",
	EventIPv4PacketTooSmall:                  "ipv4.pkt_too_small",
	EventIPv4TruncatedPacket:                 "ipv4.trunc_pkt",
	EventIPv4WrongIPVersion:                  "ipv4.wrong_ip_version",
	EventIPv6DataAfterNoneHeader:             "ipv6.data_after_none_header",
	EventIPv6DstOptsOnlyPadding:              "ipv6.dstopts_only_padding",
	EventIPv6DstOptsUnknownOption:            "ipv6.dstopts_unknown_opt",
	EventIPv6ExtHeaderAHReservedNotNull:      "ipv6.exthdr_ah_res_not_null",
	EventIPv6ExtHeaderDuplicateAH:            "ipv6.exthdr_dupl_ah",
	EventIPv6ExtHeaderDuplicateDH:            "ipv6.exthdr_dupl_dh",
	EventIPv6ExtHeaderDuplicateEH:            "ipv6.exthdr_dupl_eh",
	EventIPv6ExtHeaderDuplicateFH:            "ipv6.exthdr_dupl_fh",
	EventIPv6ExtHeaderDuplicateHH:            "ipv6.exthdr_dupl_hh",
	EventIPv6ExtHeaderDuplicateRH:            "ipv6.exthdr_dupl_rh",
	EventIPv6ExtHeaderInvalidOptionLen:       "ipv6.exthdr_invalid_optlen",
	EventIPv6ExtHeaderUselessFH:              "ipv6.exthdr_useless_fh",
	EventIPv6FHNonZeroReservedField:          "ipv6.fh_non_zero_reserved_field",
	EventIPv6FragmentIgnored:                 "ipv6.frag_ignored",
	EventIPv6FragmentInvalidLength:           "ipv6.frag_invalid_length",
	EventIPv6FragmentOverlap:                 "ipv6.frag_overlap",
	EventIPv6FragmentPacketTooLarge:          "ipv6.frag_pkt_too_large",
	EventIPv6HopOptsOnlyPadding:              "ipv6.hopopts_only_padding",
	EventIPv6HopOptsUnknownOption:            "ipv6.hopopts_unknown_opt",
	EventIPv6ICMPv4:                          "ipv6.icmpv4",
	EventIPv6IPv4InIPv6TooSmall:              "ipv6.ipv4_in_ipv6_too_small",
	EventIPv6IPv4InIPv6WrongVersion:          "ipv6.ipv4_in_ipv6_wrong_version",
	EventIPv6IPv6InIPv6TooSmall:              "ipv6.ipv6_in_ipv6_too_small",
	EventIPv6IPv6InIPv6WrongVersion:          "ipv6.ipv6_in_ipv6_wrong_version",
	EventIPv6PacketTooSmall:                  "ipv6.pkt_too_small",
	EventIPv6RHType0:                         "ipv6.rh_type_0",
	EventIPv6TruncatedExtHeader:              "ipv6.trunc_exthdr",
	EventIPv6TruncatedPacket:                 "ipv6.trunc_pkt",
	EventIPv6UnknownNextHeader:               "ipv6.unknown_next_header",
	EventIPv6WrongIPVersion:                  "ipv6.wrong_ip_version",
	EventIPv6ZeroLenPadN:                     "ipv6.zero_len_padn",
	EventNullPacketTooSmall:                  "ltnull.pkt_too_small",
	EventNullUnsupportedType:                 "ltnull.unsupported_type",
	EventMPLSBadLabelImplicitNull:            "mpls.bad_label_implicit_null",
	EventMPLSBadLabelReserved:                "mpls.bad_label_reserved",
	EventMPLSBadLabelRouterAlert:             "mpls.bad_label_router_alert",
	EventMPLSHeaderTooSmall:                  "mpls.header_too_small",
	EventMPLSPacketTooSmall:                  "mpls.pkt_too_small",
	EventMPLSUnknownPayloadType:              "mpls.unknown_payload_type",
	EventNSHBadHeaderLength:                  "nsh.bad_header_length",
	EventNSHHeaderTooSmall:                   "nsh.header_too_small",
	EventNSHReservedType:                     "nsh.reserved_type",
	EventNSHUnknownPayload:                   "nsh.unknown_payload",
	EventNSHUnsupportedType:                  "nsh.unsupported_type",
	EventNSHUnsupportedVersion:               "nsh.unsupported_version",
	EventPPPIPv4PacketTooSmall:               "ppp.ip4_pkt_too_small",
	EventPPPIPv6PacketTooSmall:               "ppp.ip6_pkt_too_small",
	EventPPPPacketTooSmall:                   "ppp.pkt_too_small",
	EventPPPUnsupportedProtocol:              "ppp.unsup_proto",
	EventPPPVJUPacketTooSmall:                "ppp.vju_pkt_too_small",
	EventPPPWrongType:                        "ppp.wrong_type",
	EventPPPoEMalformedTags:                  "pppoe.malformed_tags",
	EventPPPoEPacketTooSmall:                 "pppoe.pkt_too_small",
	EventPPPoEWrongCode:                      "pppoe.wrong_code",
	EventSCTPPacketTooSmall:                  "sctp.pkt_too_small",
	EventSLLPacketTooSmall:                   "sll.pkt_too_small",
	EventTCPHeaderLenTooSmall:                "tcp.hlen_too_small",
	EventTCPInvalidOptionLen:                 "tcp.invalid_optlen",
	EventTCPOptionDuplicate:                  "tcp.opt_duplicate",
	EventTCPOptionInvalidLen:                 "tcp.opt_invalid_len",
	EventTCPPacketTooSmall:                   "tcp.pkt_too_small",
	EventTooManyLayers:                       "too_many_layers",
	EventUDPHeaderLenTooSmall:                "udp.hlen_too_small",
	EventUDPLenInvalid:                       "udp.len_invalid",
	EventUDPPacketTooSmall:                   "udp.pkt_too_small",
	EventVLANHeaderTooSmall:                  "vlan.header_too_small",
	EventVLANTooManyLayers:                   "vlan.too_many_layers",
	EventVLANUnknownType:                     "vlan.unknown_type",
	EventVNTagHeaderTooSmall:                 "vntag.header_too_small",
	EventVNTagUnknownType:                    "vntag.unknown_type",
	EventVXLANUnknownPayloadType:             "vxlan.unknown_payload_type",
}

// String is the event's name in rules.
func (e Event) String() string {
	if e < numEvents {
		return eventNames[e]
	}
	return ""
}

// EventByName finds an event by the name used in rules.
func EventByName(name string) (Event, bool) {
	for e, n := range eventNames {
		if n == name && n != "" {
			return Event(e), true
		}
	}
	return 0, false
}
