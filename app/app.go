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

// Tx is one transaction: a request and what answers it, or one message of a
// protocol that has no pairs. Implementations are one struct a protocol.
//
// Slices it returns are owned by the transaction and stay as they are until
// more bytes of its flow are parsed.
type Tx interface {
	// Base is the part all transactions share.
	Base() *TxBase
	// Bytes returns the i-th value of a field, in wire order; false behind the
	// last one or if the field is absent so far. A field that is present and
	// empty gives an empty slice and true.
	Bytes(f Field, i int) ([]byte, bool)
	// Number returns the i-th value of a numeric field.
	Number(f Field, i int) (uint64, bool)
}

// TxBase is the part that all transactions share.
type TxBase struct {
	ID    uint64 // ordinal in the flow, from 0
	Proto Proto
	// Progress is how far each direction has come, in the protocol's own
	// stages (see Field's table: a field is final from its stage on);
	// Complete is the last of them.
	Progress [2]uint8
	// Complete is the stage at which a direction is finished.
	Complete [2]uint8
	// OneWay marks a transaction that has only one direction (a datagram, an
	// unanswered notification): the other direction is complete by definition.
	OneWay bool
	// Events are anomalies, by the names Suricata's app-layer-event uses,
	// without the protocol prefix; oldest first.
	Events []Event
	// Files are the files the transaction carries, as they become known.
	Files []*File
	// Detect belongs to the detection engine: what it inspected already. nil
	// at first.
	Detect any
	// Logged belongs to the logger, one bit a log.
	Logged uint8
}

// Done says whether direction d is finished.
func (b *TxBase) Done(d Dir) bool { return b.Progress[d] >= b.Complete[d] }

// Event is an anomaly of an application protocol. Values are constants of the
// parsers, named as Suricata names them ("invalid_request_chunk_len").
type Event string

// Body is a stream of bytes within a transaction that is inspected as it
// grows: a request or response body, a file. Only the first Limit bytes are
// kept.
type Body struct {
	// Data is what is kept, from the start of the body: decoded (chunks
	// removed, decompressed).
	Data []byte
	// Total is how many decoded bytes there were so far, kept or not.
	Total uint64
	// Done: no more bytes will come.
	Done bool
	// Inspected belongs to the detection engine: how far it has looked, per
	// its own use.
	Inspected uint64
}

// File is one file carried by a transaction.
type File struct {
	Body
	Name      []byte
	Dir       Dir
	Gaps      bool
	Truncated bool   // kept only in part
	Start     uint64 // first byte of a range transfer
	MD5       [16]byte
	SHA1      [20]byte
	SHA256    [32]byte
	Hashed    bool // the three sums are those of the whole file
	Inspect   any  // belongs to the detection engine
}
