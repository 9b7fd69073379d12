package eve

import (
	"net/netip"

	"github.com/garita/garita/app"
)

func dhtObject(o *object, t *app.DHTTx) {
	o.open("bittorrent_dht")
	o.hex("transaction_id", t.Transaction)
	if t.Client != nil {
		o.hex("client_version", t.Client)
	}
	if t.Query != nil {
		o.bytes("request_type", t.Query)
	}
	switch {
	case t.HasError:
		o.open("error")
		o.int("num", t.ErrorCode)
		o.bytes("msg", t.ErrorText)
		o.close()
	case t.Answer && t.ID != nil:
		o.open("response")
		o.hex("id", t.ID)
		dhtNodes(o, "nodes", t.Nodes, 4)
		dhtNodes(o, "nodes6", t.Nodes6, 16)
		if len(t.Values) > 0 {
			o.openArray("values")
			for _, v := range t.Values {
				dhtPeer(o, nil, v)
			}
			o.closeArray()
		}
		if t.Token != nil {
			o.hex("token", t.Token)
		}
		o.close()
	case t.ID != nil:
		o.open("request")
		o.hex("id", t.ID)
		for _, v := range [...]struct {
			name string
			v    []byte
		}{{"target", t.Target}, {"info_hash", t.InfoHash}, {"token", t.Token}} {
			if v.v != nil {
				o.hex(v.name, v.v)
			}
		}
		if t.HasImpliedPort {
			o.int("implied_port", t.ImpliedPort)
		}
		if t.HasPort {
			o.int("port", t.Port)
		}
		o.close()
	}
	o.close()
}

// dhtNodes adds nodes: an identifier of twenty bytes, an address of size
// bytes, a port.
func dhtNodes(o *object, name string, b []byte, size int) {
	if len(b) < 22+size {
		return
	}
	o.openArray(name)
	for ; len(b) >= 22+size; b = b[22+size:] {
		dhtPeer(o, b[:20], b[20:22+size])
	}
	o.closeArray()
}

func dhtPeer(o *object, id, addr []byte) {
	if len(addr) < 6 {
		return
	}
	a, ok := netip.AddrFromSlice(addr[:len(addr)-2])
	if !ok {
		return
	}
	o.item()
	o.open("")
	if id != nil {
		o.hex("id", id)
	}
	o.addr("ip", a)
	o.uint("port", uint64(addr[len(addr)-2])<<8|uint64(addr[len(addr)-1]))
	o.close()
}
