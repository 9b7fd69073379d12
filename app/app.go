// Package app names what is in the bytes: it recognises application protocols
// by content and parses them into transactions with named fields.
//
// It knows nothing of packets, rules or the kernel: bytes come in by direction
// and in order, transactions come out. Any way of cutting the same bytes into
// chunks gives the same transactions.
package app

// Dir is the direction of bytes within a flow.
type Dir uint8

const (
	ToServer Dir = iota // from the flow's initiator
	ToClient
)

// Other is the opposite direction.
func (d Dir) Other() Dir { return d ^ 1 }

// Proto is an application protocol.
type Proto uint8

const (
	Unknown Proto = iota // not recognised yet
	Failed               // looked at enough bytes, recognised nothing
	HTTP1
	HTTP2
	DNS
	TLS
	QUIC
	SSH
	SMTP
	FTP
	FTPData
	SMB
	DCERPC
	SNMP
	NTP
	DHCP
	TFTP
	SIP
	RDP
	MQTT
	KRB5
	IMAP
	POP3
	IRC
	NFS
	RFB
	TELNET
	LDAP
	PGSQL
	MODBUS
	DNP3
	ENIP
	BitTorrentDHT
	IKE
	WebSocket
	DOH2
	LLMNR
	NProto // number of protocols
)

// protoNames are Suricata's names of app_proto.
var protoNames = [NProto]string{
	Unknown: "unknown", Failed: "failed", HTTP1: "http", HTTP2: "http2", DNS: "dns", TLS: "tls", QUIC: "quic",
	SSH: "ssh", SMTP: "smtp", FTP: "ftp", FTPData: "ftp-data", SMB: "smb", DCERPC: "dcerpc", SNMP: "snmp",
	NTP: "ntp", DHCP: "dhcp", TFTP: "tftp", SIP: "sip", RDP: "rdp", MQTT: "mqtt", KRB5: "krb5", IMAP: "imap",
	POP3: "pop3", IRC: "irc", NFS: "nfs", RFB: "rfb", TELNET: "telnet", LDAP: "ldap", PGSQL: "pgsql",
	MODBUS: "modbus", DNP3: "dnp3", ENIP: "enip", BitTorrentDHT: "bittorrent-dht", IKE: "ike",
	WebSocket: "websocket", DOH2: "doh2", LLMNR: "llmnr",
}

// String is Suricata's name of the protocol, as in the app_proto of a flow
// record.
func (p Proto) String() string {
	if p < NProto {
		return protoNames[p]
	}
	return "unknown"
}

// ProtoByName is the protocol with Suricata's name s; false if there is none.
func ProtoByName(s string) (Proto, bool) {
	for p, n := range protoNames {
		if n == s {
			return Proto(p), true
		}
	}
	switch s {
	case "http1":
		return HTTP1, true
	case "ftp_data":
		return FTPData, true
	case "bittorrent_dht":
		return BitTorrentDHT, true
	}
	return Unknown, false
}

// ProtoSet is a set of protocols, one bit each.
type ProtoSet uint64

// Has says whether p is in the set.
func (s ProtoSet) Has(p Proto) bool { return s>>p&1 != 0 }

// ProtoSetOf makes a set.
func ProtoSetOf(ps ...Proto) ProtoSet {
	var s ProtoSet
	for _, p := range ps {
		s |= 1 << p
	}
	return s
}

// Transport is what carries the bytes.
type Transport uint8

const (
	TCP Transport = iota // a stream, Conn.Feed
	UDP                  // datagrams, Conn.Datagram
)

// Stages of a direction of a transaction. All protocols share this scale; a
// protocol that has no headers or body jumps over them. A stage is reached
// when the part it names is complete, not when it begins.
const (
	StageStarted  uint8 = iota // something was seen of this direction, or nothing yet
	StageLine                  // request or status line, first record
	StageHeaders               // headers, hello
	StageBody                  // body, certificates
	StageTrailer               // trailer
	StageComplete              // nothing more will come in this direction
)

// Tx is one transaction: a request and what answers it, or one message of a
// protocol that has no pairs. Implementations are one struct a protocol
// (HTTPTx, DNSTx …).
//
// Slices it returns are owned by the transaction and stay as they are until
// more bytes of its flow are parsed. Direction d matters for fields that both
// directions have (http.header …); FieldInfo.Dirs tells.
type Tx interface {
	// Base is the part all transactions share.
	Base() *TxBase
	// Bytes returns the i-th value of a field, in wire order; false behind the
	// last one or if the field is absent so far. A field that is present and
	// empty gives an empty slice and true.
	Bytes(f Field, d Dir, i int) ([]byte, bool)
	// Number returns the i-th value of a numeric field.
	Number(f Field, d Dir, i int) (uint64, bool)
	// Body returns the i-th body of a body-like field (KindBody), nil behind
	// the last one. For FileData of a protocol without bodies of its own it
	// is Base().FileBody(d, i).
	Body(f Field, d Dir, i int) *Body
}

// TxBase is the part that all transactions share.
type TxBase struct {
	ID    uint64 // ordinal in the flow, from 0
	Proto Proto
	// Progress is the stage each direction has reached.
	Progress [2]uint8
	// OneWay marks a transaction that has only one direction (a datagram, an
	// unanswered notification); the parser sets the other direction's Progress
	// to StageComplete. From is the direction of the bytes that opened it.
	OneWay bool
	From   Dir
	// Finished is set by the engine when neither detection nor a log needs
	// the transaction any more; Conn.Retire then takes it away.
	Finished bool
	// Events are anomalies, by the names Suricata's app-layer-event uses,
	// without the protocol prefix; oldest first, bounded.
	Events []Event
	// Files are the files the transaction carries, as they become known.
	Files []*File
	// Detect belongs to the detection engine: what it inspected already. nil
	// at first.
	Detect any
	// Logged belongs to the loggers, one bit a log; LoggedEvents is how many of
	// Events they wrote.
	Logged       uint8
	LoggedEvents uint8
	// Store are the directions of which a rule wants kept what they carry: files,
	// certificates. It belongs to the detection engine.
	Store DirSet
	// Unlogged: a rule does not want the transaction recorded.
	Unlogged bool

	// Trailers are the directions in which a trailer ended a body in chunks,
	// if only an empty one (RFC 9112 section 7.1.2).
	Trailers DirSet

	told DirSet // directions whose end MessageEnded has reported
}

// maxEvents bounds the events a transaction or connection keeps.
const maxEvents = 64

// Done says whether direction d is finished.
func (b *TxBase) Done(d Dir) bool { return b.Progress[d] >= StageComplete }

// Complete says whether both directions are finished.
func (b *TxBase) Complete() bool { return b.Done(ToServer) && b.Done(ToClient) }

// Base makes every struct that embeds TxBase half a Tx.
func (b *TxBase) Base() *TxBase { return b }

// FileBody is the body of the i-th file that goes in direction d, nil behind
// the last one.
func (b *TxBase) FileBody(d Dir, i int) *Body {
	if f := b.FileAt(d, i); f != nil {
		return &f.Body
	}
	return nil
}

// FileAt is the i-th file that goes in direction d, nil behind the last one.
func (b *TxBase) FileAt(d Dir, i int) *File {
	for _, f := range b.Files {
		if f.Dir == d {
			if i == 0 {
				return f
			}
			i--
		}
	}
	return nil
}

// event notes an anomaly, once.
func (b *TxBase) event(e Event) {
	for _, x := range b.Events {
		if x == e {
			return
		}
	}
	b.eventAgain(e)
}

// eventAgain notes an anomaly, also if it was noted before.
func (b *TxBase) eventAgain(e Event) {
	if len(b.Events) < maxEvents {
		b.Events = append(b.Events, e)
	}
}

// reach moves direction d to stage s; it never goes back.
func (b *TxBase) reach(d Dir, s uint8) {
	if b.Progress[d] < s {
		b.Progress[d] = s
	}
}

// Event is an anomaly of an application protocol. Values are constants of the
// parsers, named as Suricata names them in rules behind the protocol and a dot
// ("http.invalid_request_chunk_len" is Event "invalid_request_chunk_len").
type Event string

// Body is a stream of bytes within a transaction that is inspected as it
// grows: a request or response body, a file. Only the first bytes, up to the
// configured limit, are kept.
type Body struct {
	// Data is what is kept, from the start of the body: decoded (chunks
	// removed, decompressed).
	Data []byte
	// Total is how many decoded bytes there were so far, kept or not.
	Total uint64
	// Done: no more bytes will come.
	Done bool
	// Full: as much is kept as ever will be.
	Full bool
	// Inspected belongs to the detection engine: how far it has looked, per
	// its own use.
	Inspected uint64
}

// add appends decoded bytes, keeping at most limit of them in all (0: all).
func (b *Body) add(p []byte, limit int) {
	b.Total += uint64(len(p))
	if limit > 0 && len(b.Data)+len(p) >= limit {
		p = p[:max(0, limit-len(b.Data))]
		b.Full = true
	}
	b.Data = append(b.Data, p...)
}

// Size is how many bytes the file had, those that were lost included.
func (f *File) Size() uint64 { return f.Total + f.Lost }

// File is one file carried by a transaction.
type File struct {
	Body
	Name      []byte
	Dir       Dir
	Gaps      bool
	Lost      uint64 // bytes that are not kept, though the file had them
	Truncated bool   // kept or transferred only in part
	Start     uint64 // first byte of a range transfer
	MD5       [16]byte
	SHA1      [20]byte
	SHA256    [32]byte
	Hashed    bool // the three sums are those of the whole file
	Inspect   any  // belongs to the detection engine
	Logged    bool // belongs to the loggers
	// Store: a rule wants the file kept; Sids are the rules that asked for that and
	// matched the file. They belong to the detection engine.
	Store bool
	Sids  []uint32
	// ID is the file's number among those that are kept, 0 if it is not. It
	// belongs to who keeps it, who also sets SHA256 of a file that is not whole.
	ID uint32
}
