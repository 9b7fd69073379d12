package flow

// State is how far a flow has come; it decides how long silence is tolerated.
type State uint8

const (
	New         State = iota // one side has spoken, or the handshake is not over
	Established              // both sides have spoken; TCP: handshake seen
	Closed                   // TCP: ended by FIN or RST
	Bypassed                 // decided, no longer looked at
	nStates
)

var stateNames = [nStates]string{"new", "established", "closed", "bypassed"}

// String is the word that flow records use.
func (s State) String() string {
	if s < nStates {
		return stateNames[s]
	}
	return "unknown"
}

// Reason says why a flow ended.
type Reason uint8

const (
	NotEnded Reason = iota
	Timeout         // silent for too long
	Forced          // pushed out of a full table
	Shutdown        // the table was flushed
	Reused          // TCP: a new connection on the same ports
	nReasons
)

var reasonNames = [nReasons]string{"unknown", "timeout", "forced", "shutdown", "tcp_reuse"}

// String is the word that flow records use.
func (r Reason) String() string {
	if r < nReasons {
		return reasonNames[r]
	}
	return "unknown"
}

// TimeoutSet are the seconds of silence after which a flow ends, by state. The
// emergency values hold while the table is short of memory.
type TimeoutSet struct {
	New, Established, Closed, Bypassed                                     uint32
	EmergencyNew, EmergencyEstablished, EmergencyClosed, EmergencyBypassed uint32
}

// Timeouts is Suricata's flow-timeouts section.
type Timeouts struct {
	Default, TCP, UDP, ICMP TimeoutSet
}

// DefaultTimeouts are those that Suricata 7 ships.
func DefaultTimeouts() Timeouts {
	short := TimeoutSet{
		New: 30, Established: 300, Closed: 0, Bypassed: 100,
		EmergencyNew: 10, EmergencyEstablished: 100, EmergencyClosed: 0, EmergencyBypassed: 50,
	}
	return Timeouts{
		Default: short,
		TCP: TimeoutSet{
			New: 60, Established: 600, Closed: 60, Bypassed: 100,
			EmergencyNew: 5, EmergencyEstablished: 100, EmergencyClosed: 10, EmergencyBypassed: 50,
		},
		UDP:  short,
		ICMP: short,
	}
}

// class is a row of Timeouts.
type class uint8

const (
	classDefault class = iota
	classTCP
	classUDP
	classICMP
	nClasses
)

func classOf(proto uint8) class {
	switch proto {
	case 6:
		return classTCP
	case 17:
		return classUDP
	case 1, 58:
		return classICMP
	}
	return classDefault
}

// seconds is the table that expiry reads: class, state, emergency.
type seconds [nClasses][nStates][2]int64

func (t *Timeouts) seconds() (s seconds) {
	for c, set := range [nClasses]TimeoutSet{t.Default, t.TCP, t.UDP, t.ICMP} {
		s[c][New] = [2]int64{int64(set.New), int64(set.EmergencyNew)}
		s[c][Established] = [2]int64{int64(set.Established), int64(set.EmergencyEstablished)}
		s[c][Closed] = [2]int64{int64(set.Closed), int64(set.EmergencyClosed)}
		s[c][Bypassed] = [2]int64{int64(set.Bypassed), int64(set.EmergencyBypassed)}
	}
	return s
}
