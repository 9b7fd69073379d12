// Package flow keeps the table of flows: who talks to whom, how far they have
// come, and whatever the caller hangs on a flow.
//
// A table belongs to one goroutine. Time comes from packets, in nanoseconds
// since 1970, so a replayed capture behaves as the traffic did. Memory is a
// fixed budget: when it is used up the least useful flow makes room, in
// constant time, and is handed to the caller like one that timed out.
package flow

import "unsafe"

// Dir is the way a packet goes within its flow.
type Dir uint8

const (
	ToServer Dir = iota // from the side that began
	ToClient
)

// Other is the opposite direction.
func (d Dir) Other() Dir { return d ^ 1 }

// Side is what one direction of a flow has carried.
type Side struct {
	Packets, Bytes uint64
	First, Last    int64 // packet times in nanoseconds since 1970; 0 if Packets is 0
	TCPFlags       uint8 // all flags seen, or-ed
}

// Flow is one flow with a T riding on it. It is owned by its table; a pointer
// to it is good until the table hands the flow out of Next or Flush and is
// called again, which no call but Get brings about.
type Flow[T any] struct {
	hnext, prev, next *Flow[T]
	hash              uint32
	state             State
	class             class
	reason            Reason
	emergency         bool
	queued            int64 // the second for which the place in its list is right

	Key         Key   // from client to server
	Start, Last int64 // time of the first and the last packet, nanoseconds since 1970
	Sides       [2]Side
	Value       T // zero when the flow is made
}

// State is how far the flow has come.
func (f *Flow[T]) State() State { return f.state }

// Reason is why the flow ended.
func (f *Flow[T]) Reason() Reason { return f.reason }

// Emergency says whether the flow ended while its table was short of memory.
func (f *Flow[T]) Emergency() bool { return f.emergency }

// Age is the flow's life in whole seconds, as flow records count it.
func (f *Flow[T]) Age() int64 { return f.Last/1e9 - f.Start/1e9 }

// BothSides says whether packets went both ways.
func (f *Flow[T]) BothSides() bool { return f.Sides[0].Packets != 0 && f.Sides[1].Packets != 0 }

// Config is Suricata's flow section. The zero value has Suricata's defaults.
type Config struct {
	// Memcap is the byte budget of the table, 0 means 128 MiB. Only flows are
	// counted, with the T in them, not what a T points to.
	Memcap uint64
	// EmergencyRecovery is the percentage of the flows that must be gone before
	// emergency mode ends; 0 means 30.
	EmergencyRecovery int
	// Timeouts are the time-outs; nil means DefaultTimeouts.
	Timeouts *Timeouts
	// EchoID makes every identifier of ICMP echoes a flow of its own. Suricata
	// has one flow per pair of hosts.
	EchoID bool
	// Seed keys the hash. Give random bytes unless the run is to be repeated.
	Seed [2]uint64
}

// Counters tell what the table has done.
type Counters struct {
	Created     uint64
	Timeouts    uint64
	Reused      uint64
	Evicted     [4]uint64 // pushed out of a full table, by State
	Emergencies uint64    // times emergency mode began
	Unreported  uint64    // ended, but the caller did not fetch them with Next before the memory was needed
}

type list[T any] struct{ head, tail *Flow[T] }

// Table is a flow table. Make it with NewTable.
type Table[T any] struct {
	buckets []*Flow[T]
	mask    uint32
	live    int
	slots   int // made so far
	max     int
	recover int // leave emergency mode at this many
	emerg   int // 1 in emergency mode
	swept   int64
	free    *Flow[T] // by hnext
	out     *Flow[T] // handed out, to be freed
	dead    list[T]  // ended, to be handed out
	lists   [nClasses][nStates]list[T]
	seconds seconds
	seed    [2]uint64
	echo    bool
	Counters
}

const chunk = 128 // flows are made this many at a time

// NewTable makes a table. It allocates as flows come, up to the budget.
func NewTable[T any](cfg Config) *Table[T] {
	if cfg.Memcap == 0 {
		cfg.Memcap = 128 << 20
	}
	if cfg.EmergencyRecovery <= 0 || cfg.EmergencyRecovery > 100 {
		cfg.EmergencyRecovery = 30
	}
	to := DefaultTimeouts()
	if cfg.Timeouts != nil {
		to = *cfg.Timeouts
	}
	size := uint64(unsafe.Sizeof(Flow[T]{})) + 8 // and its share of the buckets
	m := max(int(cfg.Memcap/size), 16)
	n := 16
	for n < m && n < 1<<24 {
		n <<= 1
	}
	return &Table[T]{
		buckets: make([]*Flow[T], n),
		mask:    uint32(n - 1),
		max:     m,
		recover: m - m*cfg.EmergencyRecovery/100,
		seconds: to.seconds(),
		seed:    cfg.Seed,
		echo:    cfg.EchoID,
		swept:   -1,
	}
}

// Len is the number of live flows.
func (t *Table[T]) Len() int { return t.live }

// Cap is the number of flows the budget allows.
func (t *Table[T]) Cap() int { return t.max }

// Memory is the number of bytes the table holds for flows.
func (t *Table[T]) Memory() uint64 { return uint64(t.slots) * uint64(unsafe.Sizeof(Flow[T]{})) }

// Emergency says whether the table is short of memory.
func (t *Table[T]) Emergency() bool { return t.emerg != 0 }

// Find looks a flow up without touching it. The direction is the one in which
// a packet with this key goes. It does not look at time: the flow may have
// timed out, which Get would notice.
func (t *Table[T]) Find(k *Key) (*Flow[T], Dir) {
	if !t.echo {
		k.EchoID = 0
	}
	return t.find(k, k.hash(&t.seed))
}

func (t *Table[T]) find(k *Key, h uint32) (*Flow[T], Dir) {
	for f := t.buckets[h&t.mask]; f != nil; f = f.hnext {
		if f.hash != h || f.Key.Proto != k.Proto || f.Key.Zone != k.Zone || f.Key.EchoID != k.EchoID || f.Key.Version != k.Version {
			continue
		}
		if f.Key.SrcPort == k.SrcPort && f.Key.DstPort == k.DstPort && f.Key.Src == k.Src && f.Key.Dst == k.Dst {
			return f, ToServer
		}
		if f.Key.SrcPort == k.DstPort && f.Key.DstPort == k.SrcPort && f.Key.Src == k.Dst && f.Key.Dst == k.Src {
			return f, ToClient
		}
	}
	return nil, ToServer
}

// Get finds the flow of a packet that came at time now, or makes it; fresh
// says which. A flow that was silent for too long is ended and replaced. Get
// never fails: in a full table the least useful flow makes room (finished
// ones, then the oldest half-open one, then the oldest). Ended flows wait in
// Next. If the table is not asked for EchoID, k.EchoID is cleared.
func (t *Table[T]) Get(k *Key, now int64) (f *Flow[T], d Dir, fresh bool) {
	if !t.echo {
		k.EchoID = 0
	}
	h := k.hash(&t.seed)
	f, d = t.find(k, h)
	if f != nil {
		if !t.expired(f, now/1e9) {
			return f, d, false
		}
		t.Timeouts++
		t.end(f, Timeout)
	}
	f = t.alloc()
	f.hash, f.Key = h, *k
	f.class = classOf(k.Proto)
	f.Start, f.Last, f.queued = now, now, now/1e9
	b := &t.buckets[h&t.mask]
	f.hnext, *b = *b, f
	t.lists[f.class][New].push(f)
	t.live++
	t.Created++
	return f, ToServer, true
}

// Count records a packet of f: its time, direction, length in bytes (as the
// records are to have it) and TCP flags (0 for others). Flows of other
// protocols than TCP are established once both sides have spoken; TCP's state
// is the caller's to set.
func (t *Table[T]) Count(f *Flow[T], d Dir, now int64, length int, tcpFlags uint8) {
	s := &f.Sides[d&1]
	s.Packets++
	s.Bytes += uint64(length)
	s.TCPFlags |= tcpFlags
	if s.First == 0 {
		s.First = now
	}
	s.Last = now
	if now > f.Last {
		f.Last = now
	}
	if f.state == New && f.class != classTCP && f.Sides[d&1^1].Packets != 0 {
		t.SetState(f, Established)
		return
	}
	// The place in the list is exact to a second: most packets do not move
	// their flow, and touch no other flow's memory.
	if sec := f.Last / 1e9; sec != f.queued {
		f.queued = sec
		l := &t.lists[f.class][f.state]
		if l.tail != f {
			l.remove(f)
			l.push(f)
		}
	}
}

// SetState moves f to another state.
func (t *Table[T]) SetState(f *Flow[T], s State) {
	if f.state == s || s >= nStates || f.reason != NotEnded {
		return
	}
	t.lists[f.class][f.state].remove(f)
	f.state = s
	f.queued = f.Last / 1e9
	t.lists[f.class][s].push(f)
}

// Swap turns f round: client becomes server. For flows that were picked up in
// the middle, when the first packet turns out to have been the server's.
func (t *Table[T]) Swap(f *Flow[T]) {
	f.Key = f.Key.Reverse()
	f.Sides[0], f.Sides[1] = f.Sides[1], f.Sides[0]
}

// End takes f out of the table, so that the next packet makes a new flow; f is
// handed out by Next.
func (t *Table[T]) End(f *Flow[T], why Reason) {
	if f.reason != NotEnded {
		return
	}
	if why == Reused {
		t.Reused++
	}
	t.end(f, why)
}

// Next returns a flow that has ended: pushed out, replaced, or silent for too
// long at time now; nil if there is none. The flow is good until the table is
// called again. Call it until it returns nil, after every packet or burst;
// without news it costs next to nothing, because time-outs are looked at once
// a second.
func (t *Table[T]) Next(now int64) *Flow[T] {
	t.release()
	if f := t.dead.head; f != nil {
		return t.hand(f)
	}
	sec := now / 1e9
	if sec <= t.swept {
		return nil
	}
	for c := range t.lists {
		for s := range t.lists[c] {
			if f := t.lists[c][s].head; f != nil && t.expired(f, sec) {
				t.Timeouts++
				t.end(f, Timeout)
				return t.hand(f)
			}
		}
	}
	t.swept = sec
	return nil
}

// Flush ends the flows that are left, oldest first within each kind, one a
// call; nil when the table is empty.
func (t *Table[T]) Flush() *Flow[T] {
	t.release()
	if f := t.dead.head; f != nil {
		return t.hand(f)
	}
	for c := range t.lists {
		for s := range t.lists[c] {
			if f := t.lists[c][s].head; f != nil {
				t.end(f, Shutdown)
				return t.hand(f)
			}
		}
	}
	return nil
}

// All visits the live flows in no particular order.
func (t *Table[T]) All(yield func(*Flow[T]) bool) {
	for c := range t.lists {
		for s := range t.lists[c] {
			for f := t.lists[c][s].head; f != nil; f = f.next {
				if !yield(f) {
					return
				}
			}
		}
	}
}

func (t *Table[T]) expired(f *Flow[T], sec int64) bool {
	return f.Last/1e9+t.seconds[f.class][f.state][t.emerg] < sec
}

// end unlinks a live flow and puts it with the dead.
func (t *Table[T]) end(f *Flow[T], why Reason) {
	for b := &t.buckets[f.hash&t.mask]; *b != nil; b = &(*b).hnext {
		if *b == f {
			*b = f.hnext
			break
		}
	}
	t.lists[f.class][f.state].remove(f)
	f.reason, f.emergency = why, t.emerg != 0
	t.dead.push(f)
	t.live--
	if t.emerg != 0 && t.live <= t.recover {
		t.emerg = 0
	}
}

// hand takes f from the dead for the caller to look at.
func (t *Table[T]) hand(f *Flow[T]) *Flow[T] {
	t.dead.remove(f)
	t.out = f
	return f
}

// release frees what the caller has looked at.
func (t *Table[T]) release() {
	if f := t.out; f != nil {
		t.out = nil
		f.hnext, t.free = t.free, f
	}
}

// alloc returns a cleared flow, at any price.
func (t *Table[T]) alloc() *Flow[T] {
	t.release()
	if t.live >= t.max {
		t.evict()
	}
	f := t.free
	switch {
	case f != nil:
		t.free = f.hnext
	case t.slots < t.max+chunk: // a chunk's worth beyond, for the dead that wait
		s := make([]Flow[T], chunk)
		for i := 1; i < chunk; i++ {
			s[i].hnext, t.free = t.free, &s[i]
		}
		t.slots += chunk
		return &s[0]
	default:
		f = t.dead.head
		t.dead.remove(f)
		t.Unreported++
	}
	*f = Flow[T]{}
	return f
}

// evict ends the least useful flow.
func (t *Table[T]) evict() {
	if t.emerg == 0 {
		t.emerg = 1
		t.swept = -1 // the emergency time-outs may already have passed
		t.Emergencies++
	}
	for _, s := range [...]State{Closed, New, Established, Bypassed} {
		var old *Flow[T]
		for c := range t.lists {
			if f := t.lists[c][s].head; f != nil && (old == nil || f.queued < old.queued) {
				old = f
			}
		}
		if old != nil {
			t.Evicted[s]++
			t.end(old, Forced)
			return
		}
	}
}

func (l *list[T]) push(f *Flow[T]) {
	f.next, f.prev = nil, l.tail
	if l.tail != nil {
		l.tail.next = f
	} else {
		l.head = f
	}
	l.tail = f
}

func (l *list[T]) remove(f *Flow[T]) {
	if f.prev != nil {
		f.prev.next = f.next
	} else {
		l.head = f.next
	}
	if f.next != nil {
		f.next.prev = f.prev
	} else {
		l.tail = f.prev
	}
	f.prev, f.next = nil, nil
}
