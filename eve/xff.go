package eve

import (
	"bytes"
	"net/netip"

	"github.com/garita/garita/app"
	"github.com/garita/garita/packet"
)

// XFF says how a proxy's word for whom it forwards is shown (X-Forwarded-For).
// The zero value does not show it.
type XFF struct {
	Mode XFFMode
	// Forward: the proxy is one of the clients' side, and the first address
	// counts; otherwise it stands before servers, and the last one does.
	Forward bool
	Header  string // its name; "" means X-Forwarded-For
}

// XFFMode is how the address is shown.
type XFFMode uint8

// Modes by Suricata's names: disabled, extra-data (beside the addresses of the
// connection) and overwrite (in place of the client's).
const (
	XFFOff XFFMode = iota
	XFFExtra
	XFFOverwrite
)

// addr is the address that a transaction was forwarded for; false if it names
// none. x may be nil.
func (x *XFF) addr(tx app.Tx) (netip.Addr, bool) {
	t, ok := tx.(*app.HTTPTx)
	if !ok || t == nil || x.Mode == XFFOff {
		return netip.Addr{}, false
	}
	name := x.Header
	if name == "" {
		name = "x-forwarded-for"
	}
	v, ok := t.HeaderByName(app.ToServer, name)
	if !ok {
		return netip.Addr{}, false
	}
	if i := bytes.IndexByte(v, ','); i >= 0 && x.Forward {
		v = v[:i]
	} else if i := bytes.LastIndexByte(v, ','); i >= 0 {
		v = v[i+1:]
	}
	v = bytes.Trim(v, " \t")
	// An IPv6 address may stand in brackets, an IPv4 address with a port.
	if n := len(v); n > 2 && v[0] == '[' {
		if i := bytes.IndexByte(v, ']'); i > 0 {
			v = v[1:i]
		}
	} else if bytes.Count(v, []byte(":")) == 1 {
		v = v[:bytes.IndexByte(v, ':')]
	}
	a, err := netip.ParseAddr(string(v))
	return a, err == nil && a.Zone() == ""
}

// forwarded is the address that the transaction of an alert was forwarded for,
// or if it has none, the first of the connection's.
func (x *XFF) forwarded(tx app.Tx, f *FlowInfo) (netip.Addr, bool) {
	if x.Mode == XFFOff || f == nil || f.App != app.HTTP1 {
		return netip.Addr{}, false
	}
	if tx != nil {
		return x.addr(tx)
	}
	for _, t := range f.Txs {
		if a, ok := x.addr(t); ok {
			return a, true
		}
	}
	return netip.Addr{}, false
}

// beginXFF is beginAs for records of transactions that may have been forwarded.
func (l *Logger) beginXFF(event string, p *packet.Packet, f *FlowInfo, of tuple, x *XFF, tx app.Tx) *object {
	a, ok := x.addr(tx)
	if !ok {
		return l.beginAs(event, p, f, of)
	}
	if x.Mode == XFFExtra {
		o := l.beginAs(event, p, f, of)
		o.addr("xff", a)
		return o
	}
	if of == toClientOf {
		return l.beginWith(event, p, f, f.Dst, a, f.DstPort, f.SrcPort, f.Proto)
	}
	return l.beginWith(event, p, f, a, f.Dst, f.SrcPort, f.DstPort, f.Proto)
}
