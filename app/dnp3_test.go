package app

import (
	"encoding/binary"
	"testing"
)

func dnp3Frame(d Dir, user []byte) []byte {
	control := byte(0xc4)
	if d == ToClient {
		control = 0x44
	}
	b := []byte{5, 0x64, byte(5 + len(user)), control, 2, 0, 1, 0}
	b = binary.LittleEndian.AppendUint16(b, dnp3CRC(b))
	for len(user) > 0 {
		k := min(16, len(user))
		b = binary.LittleEndian.AppendUint16(append(b, user[:k]...), dnp3CRC(user[:k]))
		user = user[k:]
	}
	return b
}

func dnp3Talk() []piece {
	operate := []byte("\xc0\xc1\x03\x0c\x01\x28\x01\x00\x01\x00\x03\x01\x64\x00\x00\x00\x64\x00\x00\x00\x00")
	one := []byte("\x41\xc1\x81\x90\x00\x1e\x02\x00\x00\x03") // the first of two segments: four points of three bytes
	two := []byte("\x82abcabcabcabc")
	return []piece{
		{ToServer, dnp3Frame(ToServer, operate)},
		{ToClient, dnp3Frame(ToClient, one)}, {ToClient, dnp3Frame(ToClient, two)},
		{ToServer, dnp3Frame(ToServer, []byte("\xc1\xc2\x02\x77\x77\x07\x01"))},
	}
}

func TestDNP3(t *testing.T) {
	c := talkOn(20000, DNP3, dnp3Talk(), true, whole)
	txs := c.Transactions()
	if len(txs) != 3 {
		t.Fatalf("%s", dumpConn(c))
	}
	for i, x := range []struct {
		d         Dir
		fc, obj   uint64
		ind       uint64
		data      int
		allEvents int
	}{{ToServer, 3, 0x0c01, 0, 20, 0}, {ToClient, 129, 0x1e02, 0x9000, 21, 0}, {ToServer, 2, 0x7777, 0, 6, 1}} {
		fc, _ := txs[i].Number(DNP3Func, x.d, 0)
		obj, _ := txs[i].Number(DNP3Obj, x.d, 0)
		ind, _ := txs[i].Number(DNP3Ind, x.d, 0)
		data, _ := txs[i].Bytes(DNP3Data, x.d, 0)
		if fc != x.fc || obj != x.obj || ind != x.ind || len(data) != x.data || len(txs[i].Base().Events) != x.allEvents {
			t.Errorf("%d: function %d, object %x, indications %x, %d bytes, events %v", i, fc, obj, ind, len(data), txs[i].Base().Events)
		}
	}
	checkLaws(t, DNP3, dnp3Talk())
}

func FuzzDNP3(f *testing.F) { fuzzStream(f, DNP3, dnp3Talk()) }

func TestDHT(t *testing.T) {
	const query = "d1:ad2:id20:abcdefghij01234567899:info_hash20:mnopqrstuvwxyz1234564:porti6881e5:token8:aoeusnthe1:q13:announce_peer1:t2:aa1:y1:qe"
	c := tell(Unknown, ts(query), tc("d1:rd2:id20:abcdefghij0123456789e1:t2:aa1:y1:re"), tc("d1:eli201e3:bade1:t2:aa1:y1:ee"), tc("d1:ade"))
	if c.Proto() != BitTorrentDHT || len(c.Transactions()) != 4 {
		t.Fatalf("%s", dumpConn(c))
	}
	q, r, e, bad := c.Transactions()[0].(*DHTTx), c.Transactions()[1].(*DHTTx), c.Transactions()[2].(*DHTTx), c.Transactions()[3].(*DHTTx)
	if string(q.Query) != "announce_peer" || string(q.InfoHash) != "mnopqrstuvwxyz123456" || q.Port != 6881 || string(q.Token) != "aoeusnth" {
		t.Errorf("query %+v", q)
	}
	if !r.Answer || string(r.ID) != "abcdefghij0123456789" || e.ErrorCode != 201 || string(e.ErrorText) != "bad" || len(bad.Events) != 1 {
		t.Errorf("answer %+v, error %+v, malformed %v", r, e, bad.Events)
	}
	prefixesOf(BitTorrentDHT, []byte(query))
}

func FuzzDHT(f *testing.F) {
	fuzzDatagrams(f, BitTorrentDHT, []byte("d1:ad2:id20:abcdefghij01234567896:target20:mnopqrstuvwxyz123456e1:q9:find_node1:t2:aa1:y1:qe"))
}
