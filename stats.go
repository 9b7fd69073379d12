package garita

import (
	"strings"
	"sync"
	"time"

	"github.com/garita/garita/eve"
	"github.com/garita/garita/packet"
	"github.com/garita/garita/stream"
)

// Stats are counters since the engine began, summed over its workers.
type Stats struct {
	Packets, Bytes    uint64 // received
	Accepted, Dropped uint64 // verdicts; Dropped includes rejects
	Malformed         uint64
	Alerts            uint64 // alerts that were raised
	Suppressed        uint64 // matches that thresholds hid
	Discarded         uint64 // alerts beyond the limit a packet
	RegexLimited      uint64 // searches of expressions that gave up for want of steps
	Panics            uint64 // caught; each got the failure verdict
	EditsFailed       uint64 // replacements that could not be made
	Rejects           uint64 // resets and unreachables sent
	RejectsFailed     uint64
	FlowsEnded        uint64
	Bypassed          uint64     // flows that were let go before their end
	PickedUp          uint64     // sessions followed anew after the queue had been full
	Stages            StageStats // what flows, streams and fragments have come to
	// Drops counts dropped packets by reason.
	Drops map[packet.Reason]uint64
	// StreamDrops tells the drops for a TCP session's sake apart.
	StreamDrops map[string]uint64
}

// counters are a worker's own; publish copies them out where others may read.
type counters struct {
	Stats
	generation uint64

	mu  sync.Mutex
	out Stats
}

func (c *counters) drop(why packet.Reason) {
	if c.Drops == nil {
		c.Drops = make(map[packet.Reason]uint64)
	}
	c.Drops[why]++
}

// publish makes the counters readable for others. The packet path calls it
// when somebody asked, between two bursts.
func (w *worker) publish() {
	c := &w.st
	c.generation = w.e.wantStats.Load()
	if w.reply != nil {
		c.Rejects, c.RejectsFailed = w.reply.sent, w.reply.failed
	}
	c.Stages = w.stages()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out = c.Stats
	c.out.Drops = make(map[packet.Reason]uint64, len(c.Drops))
	for k, v := range c.Drops {
		c.out.Drops[k] = v
	}
	c.out.StreamDrops = make(map[string]uint64, len(c.StreamDrops))
	for k, v := range c.StreamDrops {
		c.out.StreamDrops[k] = v
	}
}

func (s *Stats) add(o *Stats) {
	s.Packets += o.Packets
	s.Bytes += o.Bytes
	s.Accepted += o.Accepted
	s.Dropped += o.Dropped
	s.Malformed += o.Malformed
	s.Alerts += o.Alerts
	s.Suppressed += o.Suppressed
	s.Discarded += o.Discarded
	s.RegexLimited += o.RegexLimited
	s.Panics += o.Panics
	s.EditsFailed += o.EditsFailed
	s.Rejects += o.Rejects
	s.RejectsFailed += o.RejectsFailed
	s.FlowsEnded += o.FlowsEnded
	s.PickedUp += o.PickedUp
	s.Bypassed += o.Bypassed
	s.Stages.add(&o.Stages)
	if s.Drops == nil {
		s.Drops = make(map[packet.Reason]uint64)
	}
	for k, v := range o.Drops {
		s.Drops[k] += v
	}
	if s.StreamDrops == nil {
		s.StreamDrops = make(map[string]uint64)
	}
	for k, v := range o.StreamDrops {
		s.StreamDrops[k] += v
	}
}

// dropReasons are Suricata's names of what drops packets.
var dropReasons = [...]string{
	"applayer_error", "applayer_memcap", "decode_error", "defrag_error", "defrag_memcap", "flow_drop", "flow_memcap",
	"nfq_error", "rules", "stream_error", "stream_memcap", "stream_midstream", "stream_reassembly", "stream_urgent",
	"threshold_detection_filter", "tunnel_packet_drop",
}

// newStatsLogger is a logger beside those of the workers, for stats records.
func newStatsLogger(e *Engine) *eve.Logger { return eve.NewLogger(e.cfg.Eve, e.cfg.Log, nil) }

// Counters are all counters and gauges by the names that stats records have
// for them: Suricata's where it has one, with dots between the parts. The map
// is the caller's.
func (e *Engine) Counters() map[string]uint64 {
	s := e.Stats()
	return e.counters(&s)
}

func (e *Engine) counters(s *Stats) map[string]uint64 {
	v := map[string]uint64{
		"uptime":                      uint64(time.Since(e.began).Seconds()),
		"decoder.pkts":                s.Packets,
		"decoder.bytes":               s.Bytes,
		"decoder.invalid":             s.Malformed,
		"detect.alert":                s.Alerts,
		"detect.alerts_suppressed":    s.Suppressed,
		"detect.alert_queue_overflow": s.Discarded,
		"garita.bypassed":             s.Bypassed,
		"garita.picked_up":            s.PickedUp,
		"garita.pcre_limited":         s.RegexLimited,
		"garita.panics":               s.Panics,
		"garita.edits_failed":         s.EditsFailed,
		"garita.rejects_failed":       s.RejectsFailed,
	}
	if st := e.cfg.Store; st != nil {
		n := st.Stats()
		v["file_store.stored"], v["file_store.lost"], v["file_store.fs_errors"] = n.Written, n.Lost, n.Failed
	}
	s.Stages.values(v)
	if e.inline {
		v["ips.accepted"], v["ips.blocked"], v["ips.rejected"], v["ips.replaced"] = s.Accepted, s.Dropped, s.Rejects, 0
		for _, why := range dropReasons {
			v["ips.drop_reason."+why] = 0
		}
		for why, n := range s.Drops {
			v["ips.drop_reason."+strings.ReplaceAll(eve.DropReason(why), " ", "_")] += n
		}
	}
	if s.Packets > 0 {
		v["decoder.avg_pkt_size"] = s.Bytes / s.Packets
	}
	for why, n := range s.StreamDrops {
		v["stream.dropped."+why] = n
	}
	if e.cfg.Log != nil {
		v["garita.log.written"] = e.cfg.Log.Written()
		v["garita.log.lost"] = e.cfg.Log.Lost()
	}
	for _, src := range e.sources {
		if c, ok := src.(counted); ok {
			received, lost := c.Counts()
			v["capture.kernel_packets"] += received
			v["capture.kernel_drops"] += lost
		}
	}
	for _, q := range e.queues {
		k := q.Stats()
		v["capture.kernel_packets"] += k.Received
		v["capture.kernel_drops"] += uint64(k.Kernel.QueueDropped) + uint64(k.Kernel.UserDropped)
		v["ips.replaced"] += k.Rewritten
		v["garita.queue.unknown_answers"] += k.Unknown
		v["garita.queue.held"] += k.Held
	}
	return v
}

func (c *counters) streamDrop(why stream.Cause) {
	if c.StreamDrops == nil {
		c.StreamDrops = make(map[string]uint64)
	}
	c.StreamDrops[why.String()]++
}
