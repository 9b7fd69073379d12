package stream

// Event is something odd about a segment or its session. Its String is the
// name that Suricata's stream-event keyword takes.
type Event uint8

const (
	NoEvent Event = iota
	WHS3SynAckInWrongDirection
	WHS3AckInWrongDir
	WHS3AsyncWrongSeq
	WHS3RightSeqWrongAckEvasion
	WHS3SynAckResendWithDifferentAck
	WHS3SynAckResendWithDiffSeq
	WHS3SynAckToServerOnSynRecv
	WHS3SynAckWithWrongAck
	WHS3SynAckFlood
	WHS3SynAckTFODataIgnored
	WHS3SynFlood
	WHS3SynResendDiffSeqOnSynRecv
	WHS3SynToClientOnSynRecv
	WHS3WrongSeqWrongAck
	WHS3AckDataInject
	WHS4SynAckWithWrongAck
	WHS4SynAckWithWrongSyn
	WHS4WrongSeq
	WHS4InvalidAck
	CloseWaitAckOutOfWindow
	CloseWaitFinOutOfWindow
	CloseWaitPktBeforeLastAck
	CloseWaitInvalidAck
	ClosingAckWrongSeq
	ClosingInvalidAck
	EstPacketOutOfWindow
	EstPktBeforeLastAck
	EstSynAckResend
	EstSynAckResendWithDifferentAck
	EstSynAckResendWithDiffSeq
	EstSynAckToServer
	EstSynResend
	EstSynResendDiffSeq
	EstSynToClient
	EstInvalidAck
	EstAckZWPData
	FinInvalidAck
	Fin1AckWrongSeq
	Fin1FinWrongSeq
	Fin1InvalidAck
	Fin2AckWrongSeq
	Fin2FinWrongSeq
	Fin2InvalidAck
	FinButNoSession
	FinOutOfWindow
	FinSyn
	LastAckAckWrongSeq
	LastAckInvalidAck
	RstButNoSession
	TimeWaitAckWrongSeq
	TimeWaitInvalidAck
	PktInvalidTimestamp
	PktInvalidAck
	PktBrokenAck
	RstInvalidAck
	ShutdownSynResend
	PktRetransmission
	PktSpuriousRetransmission
	PktBadWindowUpdate
	SuspectedRstInject
	WrongThread
	ReassemblySegmentBeforeBaseSeq
	ReassemblyNoSegment
	ReassemblySeqGap
	ReassemblyOverlapDifferentData
	ReassemblyDepthReached
	ReassemblyInsertMemcap
	ReassemblyInsertLimit
	ReassemblyInsertInvalid
	ReassemblyUrgentOOBLimitReached
	nEvents
)

var eventNames = [nEvents]string{
	NoEvent:                          "",
	WHS3SynAckInWrongDirection:       "3whs_synack_in_wrong_direction",
	WHS3AckInWrongDir:                "3whs_ack_in_wrong_dir",
	WHS3AsyncWrongSeq:                "3whs_async_wrong_seq",
	WHS3RightSeqWrongAckEvasion:      "3whs_right_seq_wrong_ack_evasion",
	WHS3SynAckResendWithDifferentAck: "3whs_synack_resend_with_different_ack",
	WHS3SynAckResendWithDiffSeq:      "3whs_synack_resend_with_diff_seq",
	WHS3SynAckToServerOnSynRecv:      "3whs_synack_toserver_on_syn_recv",
	WHS3SynAckWithWrongAck:           "3whs_synack_with_wrong_ack",
	WHS3SynAckFlood:                  "3whs_synack_flood",
	WHS3SynAckTFODataIgnored:         "3whs_synack_tfo_data_ignored",
	WHS3SynFlood:                     "3whs_syn_flood",
	WHS3SynResendDiffSeqOnSynRecv:    "3whs_syn_resend_diff_seq_on_syn_recv",
	WHS3SynToClientOnSynRecv:         "3whs_syn_toclient_on_syn_recv",
	WHS3WrongSeqWrongAck:             "3whs_wrong_seq_wrong_ack",
	WHS3AckDataInject:                "3whs_ack_data_inject",
	WHS4SynAckWithWrongAck:           "4whs_synack_with_wrong_ack",
	WHS4SynAckWithWrongSyn:           "4whs_synack_with_wrong_syn",
	WHS4WrongSeq:                     "4whs_wrong_seq",
	WHS4InvalidAck:                   "4whs_invalid_ack",
	CloseWaitAckOutOfWindow:          "closewait_ack_out_of_window",
	CloseWaitFinOutOfWindow:          "closewait_fin_out_of_window",
	CloseWaitPktBeforeLastAck:        "closewait_pkt_before_last_ack",
	CloseWaitInvalidAck:              "closewait_invalid_ack",
	ClosingAckWrongSeq:               "closing_ack_wrong_seq",
	ClosingInvalidAck:                "closing_invalid_ack",
	EstPacketOutOfWindow:             "est_packet_out_of_window",
	EstPktBeforeLastAck:              "est_pkt_before_last_ack",
	EstSynAckResend:                  "est_synack_resend",
	EstSynAckResendWithDifferentAck:  "est_synack_resend_with_different_ack",
	EstSynAckResendWithDiffSeq:       "est_synack_resend_with_diff_seq",
	EstSynAckToServer:                "est_synack_toserver",
	EstSynResend:                     "est_syn_resend",
	EstSynResendDiffSeq:              "est_syn_resend_diff_seq",
	EstSynToClient:                   "est_syn_toclient",
	EstInvalidAck:                    "est_invalid_ack",
	EstAckZWPData:                    "est_ack_zwp_data",
	FinInvalidAck:                    "fin_invalid_ack",
	Fin1AckWrongSeq:                  "fin1_ack_wrong_seq",
	Fin1FinWrongSeq:                  "fin1_fin_wrong_seq",
	Fin1InvalidAck:                   "fin1_invalid_ack",
	Fin2AckWrongSeq:                  "fin2_ack_wrong_seq",
	Fin2FinWrongSeq:                  "fin2_fin_wrong_seq",
	Fin2InvalidAck:                   "fin2_invalid_ack",
	FinButNoSession:                  "fin_but_no_session",
	FinOutOfWindow:                   "fin_out_of_window",
	FinSyn:                           "fin_syn",
	LastAckAckWrongSeq:               "lastack_ack_wrong_seq",
	LastAckInvalidAck:                "lastack_invalid_ack",
	RstButNoSession:                  "rst_but_no_session",
	TimeWaitAckWrongSeq:              "timewait_ack_wrong_seq",
	TimeWaitInvalidAck:               "timewait_invalid_ack",
	PktInvalidTimestamp:              "pkt_invalid_timestamp",
	PktInvalidAck:                    "pkt_invalid_ack",
	PktBrokenAck:                     "pkt_broken_ack",
	RstInvalidAck:                    "rst_invalid_ack",
	ShutdownSynResend:                "shutdown_syn_resend",
	PktRetransmission:                "pkt_retransmission",
	PktSpuriousRetransmission:        "pkt_spurious_retransmission",
	PktBadWindowUpdate:               "pkt_bad_window_update",
	SuspectedRstInject:               "suspected_rst_inject",
	WrongThread:                      "wrong_thread",
	ReassemblySegmentBeforeBaseSeq:   "reassembly_segment_before_base_seq",
	ReassemblyNoSegment:              "reassembly_no_segment",
	ReassemblySeqGap:                 "reassembly_seq_gap",
	ReassemblyOverlapDifferentData:   "reassembly_overlap_different_data",
	ReassemblyDepthReached:           "reassembly_depth_reached",
	ReassemblyInsertMemcap:           "reassembly_insert_memcap",
	ReassemblyInsertLimit:            "reassembly_insert_limit",
	ReassemblyInsertInvalid:          "reassembly_insert_invalid",
	ReassemblyUrgentOOBLimitReached:  "reassembly_urgent_oob_limit_reached",
}

// String is the name in a rule, "3whs_synack_flood".
func (e Event) String() string {
	if e < nEvents {
		return eventNames[e]
	}
	return ""
}

// EventByName is the event of that name; false if there is none.
func EventByName(s string) (Event, bool) {
	if s == "" {
		return NoEvent, false
	}
	for e, n := range eventNames {
		if n == s {
			return Event(e), true
		}
	}
	return NoEvent, false
}
