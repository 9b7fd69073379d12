package garita

import (
	"github.com/garita/garita/app"
	"github.com/garita/garita/flow"
	"github.com/garita/garita/stream"
)

// StageStats are the counters of the stages between the packet and the rules,
// summed over the workers. Memory is in bytes, as of now.
type StageStats struct {
	Flow                                  flow.Counters
	FlowsActive                           uint64
	FlowMemory, StreamMemory, FragsMemory uint64
	Stream                                stream.Counters
	Frags                                 stream.DefragCounters
	Decode                                DecodeStats
	Flows                                 FlowStats
	App                                   app.Stats
}

// stages reads what the stages of w have counted.
func (w *worker) stages() StageStats {
	return StageStats{
		Flow: w.flows.Counters, FlowsActive: uint64(w.flows.Len()), FlowMemory: w.flows.Memory(),
		Stream: w.tcp.Counters, StreamMemory: uint64(w.tcp.Memory()),
		Frags: w.defrag.DefragCounters, FragsMemory: uint64(w.defrag.Memory()),
		Decode: w.decoded, Flows: w.flowStats, App: w.env.Stats,
	}
}

func (s *StageStats) add(o *StageStats) {
	s.FlowsActive += o.FlowsActive
	s.FlowMemory += o.FlowMemory
	s.StreamMemory += o.StreamMemory
	s.FragsMemory += o.FragsMemory
	s.Decode.add(&o.Decode)
	s.Flows.add(&o.Flows)
	s.App.Add(&o.App)

	f := &s.Flow
	f.Created += o.Flow.Created
	f.Timeouts += o.Flow.Timeouts
	f.Reused += o.Flow.Reused
	for i := range f.Evicted {
		f.Evicted[i] += o.Flow.Evicted[i]
	}
	f.Emergencies += o.Flow.Emergencies
	f.Unreported += o.Flow.Unreported

	t, u := &s.Stream, &o.Stream
	t.Sessions += u.Sessions
	t.Midstream += u.Midstream
	t.Invalid += u.Invalid
	t.Conflicts += u.Conflicts
	t.Rewritten += u.Rewritten
	t.Overlaps += u.Overlaps
	t.OverlapDiffData += u.OverlapDiffData
	t.Gaps += u.Gaps
	t.DepthReached += u.DepthReached
	t.MemcapDrops += u.MemcapDrops
	t.LimitDrops += u.LimitDrops
	t.AckUnseen += u.AckUnseen
	t.UrgentOOB += u.UrgentOOB
	t.RolledBack += u.RolledBack

	d, e := &s.Frags, &o.Frags
	d.Fragments += e.Fragments
	d.Reassembled += e.Reassembled
	d.Overlaps += e.Overlaps
	d.Timeouts += e.Timeouts
	d.Evicted += e.Evicted
	d.Refused += e.Refused
}

// sessionsEnded is how many flows ended that had a TCP session.
func (s *StageStats) sessionsEnded() (n uint64) {
	for i, e := range s.Flows.EndedTCP {
		if i != int(stream.None) {
			n += e
		}
	}
	return n
}

// values puts the counters into v, by Suricata's names where it has one.
func (s *StageStats) values(v map[string]uint64) {
	s.Decode.values(v)
	s.Flows.values(v)
	appValues(&s.App, v)
	v["flow.total"] = s.Flow.Created
	v["flow.active"] = s.FlowsActive
	v["flow.memuse"] = s.FlowMemory
	v["flow.emerg_mode_entered"] = s.Flow.Emergencies
	v["flow.tcp_reuse"] = s.Flow.Reused
	v["flow.mgr.flows_timeout"] = s.Flow.Timeouts
	for st, n := range s.Flow.Evicted {
		v["flow.evicted."+flow.State(st).String()] = n
	}
	v["tcp.active_sessions"] = s.Stream.Sessions - min(s.Stream.Sessions, s.sessionsEnded())
	v["tcp.sessions"] = s.Stream.Sessions
	v["tcp.midstream_pickups"] = s.Stream.Midstream
	v["tcp.overlap"] = s.Stream.Overlaps
	v["tcp.overlap_diff_data"] = s.Stream.OverlapDiffData
	v["tcp.reassembly_gap"] = s.Stream.Gaps
	v["tcp.stream_depth_reached"] = s.Stream.DepthReached
	v["tcp.segment_memcap_drop"] = s.Stream.MemcapDrops
	v["tcp.insert_data_normal_fail"] = s.Stream.LimitDrops
	v["tcp.ack_unseen_data"] = s.Stream.AckUnseen
	v["tcp.reassembly_memuse"] = s.StreamMemory
	v["tcp.invalid"] = s.Stream.Invalid
	v["tcp.rewritten"] = s.Stream.Rewritten
	v["tcp.rolled_back"] = s.Stream.RolledBack
	v["defrag.fragments"] = s.Frags.Fragments
	v["defrag.reassembled"] = s.Frags.Reassembled
	v["defrag.overlaps"] = s.Frags.Overlaps
	v["defrag.tracker_timeout"] = s.Frags.Timeouts
	v["defrag.evicted"] = s.Frags.Evicted
	v["defrag.max_frag_hits"] = s.Frags.Refused
	v["defrag.memuse"] = s.FragsMemory
}
