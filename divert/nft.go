package divert

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// The messages of a transaction are put together here rather than by
// google/nftables' Conn, because that sends no table flags, gives up reading
// acknowledgements in the middle when one of them is EPERM, and drops the
// extended acknowledgement. Its expressions are used as they are.

const (
	attrTableUserdata = 6  // NFTA_TABLE_USERDATA
	attrTableOwner    = 7  // NFTA_TABLE_OWNER
	attrSetUserdata   = 13 // NFTA_SET_USERDATA

	flagDormant = 1 // NFT_TABLE_F_DORMANT
	flagOwner   = 2 // NFT_TABLE_F_OWNER, Linux 5.12
	flagPersist = 4 // NFT_TABLE_F_PERSIST, Linux 6.9

	batchGenID = 1 // NFNL_BATCH_GENID
	nfAccept   = 1 // NF_ACCEPT, as a chain's policy

	// Room for a table with maxQueues chains: a batch is one datagram.
	sndbuf = 4 << 20
)

// session is a netlink socket that speaks nf_tables. If it makes a table with an
// owner, it is the owner.
type session struct{ nl *netlink.Conn }

func openSession(netns int) (*session, error) {
	nl, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: netns})
	if err != nil {
		return nil, openError(err)
	}
	// Kernels before 4.12 lack it; errors are only less wordy then. Capped
	// acknowledgements would suit as well, but the library cannot read them
	// together with extended ones.
	_ = nl.SetOption(netlink.ExtendedAcknowledge, true)
	setSendBuffer(nl)
	return &session{nl}, nil
}

// setSendBuffer asks for room for one big batch. Without the privilege to exceed
// the limit, a batch that is too big for what was granted fails with EMSGSIZE,
// before anything happened.
func setSendBuffer(nl *netlink.Conn) {
	rc, err := nl.SyscallConn()
	if err != nil {
		return
	}
	_ = rc.Control(func(fd uintptr) {
		if unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, sndbuf) != nil {
			_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF, sndbuf)
		}
	})
}

func openError(err error) error {
	e := &Error{Op: "open netlink socket", Errno: errnoOf(err)}
	if e.Errno == unix.EPROTONOSUPPORT {
		e.Reason = ErrNoNFTables
	}
	return e
}

func (s *session) close() error { return s.nl.Close() }

func errnoOf(err error) unix.Errno {
	var no unix.Errno
	switch {
	case errors.As(err, &no):
		return no
	case errors.Is(err, os.ErrClosed):
		return unix.EBADF
	}
	return unix.EIO
}

// asError turns an error of the netlink library into ours.
func asError(op string, err error) error {
	e := &Error{Op: op, Errno: errnoOf(err)}
	var oe *netlink.OpError
	if errors.As(err, &oe) {
		e.Message = oe.Message
	}
	if !errors.As(err, new(unix.Errno)) {
		e.Reason = err // not the kernel's words: keep them
	}
	return e
}

type message struct {
	netlink.Message
	what string  // for errors
	uses feature // optional expression in it
	// table is set on the message that makes a table.
	table string
}

type batch struct {
	genid uint32 // the generation the batch was composed for; 0 = any
	msgs  []message
	err   error
}

// refusal is the first error the kernel gave for a batch. at is the message it
// is about, nil if it is about the batch as a whole.
type refusal struct {
	at      *message
	errno   unix.Errno
	message string
}

// raced: somebody changed the rule set since we read it.
func (r *refusal) raced() bool { return r.errno == unix.ERESTART || r.errno == unix.EAGAIN }

func (r *refusal) error() *Error {
	op := "nf_tables transaction"
	if r.at != nil {
		op = r.at.what
	}
	return &Error{Op: op, Errno: r.errno, Message: r.message}
}

func header(family uint8, resID uint16) []byte {
	return []byte{family, unix.NFNETLINK_V0, byte(resID >> 8), byte(resID)}
}

func nftType(msg uint16) netlink.HeaderType {
	return netlink.HeaderType(unix.NFNL_SUBSYS_NFTABLES<<8 | msg)
}

func (b *batch) add(what string, msg uint16, flags netlink.HeaderFlags, attrs func(*netlink.AttributeEncoder)) *message {
	ae := netlink.NewAttributeEncoder()
	ae.ByteOrder = binary.BigEndian
	attrs(ae)
	data, err := ae.Encode()
	if err != nil && b.err == nil {
		b.err = fmt.Errorf("divert: %s: %w", what, err)
	}
	b.msgs = append(b.msgs, message{what: what, Message: netlink.Message{
		Header: netlink.Header{Type: nftType(msg), Flags: netlink.Request | flags},
		Data:   append(header(unix.NFPROTO_INET, 0), data...),
	}})
	return &b.msgs[len(b.msgs)-1]
}

func (b *batch) newTable(name string, flags uint32, comment string) {
	m := b.add("make table "+name, unix.NFT_MSG_NEWTABLE, netlink.Create, func(ae *netlink.AttributeEncoder) {
		ae.String(unix.NFTA_TABLE_NAME, name)
		ae.Uint32(unix.NFTA_TABLE_FLAGS, flags)
		// libnftnl's user data: type 0 comment, length, NUL-terminated text.
		ae.Bytes(attrTableUserdata, append([]byte{0, byte(len(comment) + 1)}, comment+"\x00"...))
	})
	m.table = name
}

func (b *batch) delTable(name string) {
	m := b.add("remove table "+name, unix.NFT_MSG_DELTABLE, 0, func(ae *netlink.AttributeEncoder) {
		ae.String(unix.NFTA_TABLE_NAME, name)
	})
	m.table = name
}

func (b *batch) newChain(c *chain, exists bool) {
	b.add("make chain "+c.name, unix.NFT_MSG_NEWCHAIN, netlink.Create, func(ae *netlink.AttributeEncoder) {
		ae.String(unix.NFTA_CHAIN_TABLE, tableName)
		ae.String(unix.NFTA_CHAIN_NAME, c.name)
		if !c.base {
			return
		}
		ae.Uint32(unix.NFTA_CHAIN_POLICY, nfAccept)
		if exists {
			return
		}
		ae.Nested(unix.NFTA_CHAIN_HOOK, func(ae *netlink.AttributeEncoder) error {
			ae.Uint32(unix.NFTA_HOOK_HOOKNUM, uint32(c.hook))
			ae.Uint32(unix.NFTA_HOOK_PRIORITY, uint32(c.priority))
			return nil
		})
		ae.String(unix.NFTA_CHAIN_TYPE, "filter")
	})
}

func (b *batch) delChain(name string) {
	b.add("remove chain "+name, unix.NFT_MSG_DELCHAIN, 0, func(ae *netlink.AttributeEncoder) {
		ae.String(unix.NFTA_CHAIN_TABLE, tableName)
		ae.String(unix.NFTA_CHAIN_NAME, name)
	})
}

// flush empties one chain, or all of the table if chain is "".
func (b *batch) flush(chain string) {
	b.add("empty chain "+chain, unix.NFT_MSG_DELRULE, 0, func(ae *netlink.AttributeEncoder) {
		ae.String(unix.NFTA_RULE_TABLE, tableName)
		if chain != "" {
			ae.String(unix.NFTA_RULE_CHAIN, chain)
		}
	})
}

func (b *batch) addRule(chain string, r rule) {
	m := b.add(fmt.Sprintf("add rule %q to chain %s", r.what, chain), unix.NFT_MSG_NEWRULE, netlink.Create|netlink.Append, func(ae *netlink.AttributeEncoder) {
		ae.String(unix.NFTA_RULE_TABLE, tableName)
		ae.String(unix.NFTA_RULE_CHAIN, chain)
		ae.Nested(unix.NFTA_RULE_EXPRESSIONS, func(ae *netlink.AttributeEncoder) error {
			for _, e := range r.exprs {
				data, err := expr.Marshal(unix.NFPROTO_INET, e)
				if err != nil {
					return err
				}
				ae.Bytes(unix.NLA_F_NESTED|unix.NFTA_LIST_ELEM, data)
			}
			return nil
		})
	})
	m.uses = r.uses
}

const (
	typeMark    = 19         // nft's number of the datatype "mark", for listings
	typeVerdict = 0xffffff00 // NFT_DATA_VERDICT
	spreadID    = 1          // the map's name within a transaction
)

// newSpread makes the verdict map hash → goto chain.
func (b *batch) newSpread(targets []string) {
	b.add("make map "+spreadName, unix.NFT_MSG_NEWSET, netlink.Create, func(ae *netlink.AttributeEncoder) {
		ae.String(unix.NFTA_SET_TABLE, tableName)
		ae.String(unix.NFTA_SET_NAME, spreadName)
		ae.Uint32(unix.NFTA_SET_FLAGS, unix.NFT_SET_MAP)
		ae.Uint32(unix.NFTA_SET_KEY_TYPE, typeMark)
		ae.Uint32(unix.NFTA_SET_KEY_LEN, 4)
		ae.Uint32(unix.NFTA_SET_DATA_TYPE, typeVerdict)
		ae.Uint32(unix.NFTA_SET_DATA_LEN, 16) // sizeof(struct nft_verdict), as libnftnl sends it
		ae.Uint32(unix.NFTA_SET_ID, spreadID)
		// For listings: libnftnl's user data, type 0 (byte order of the key),
		// length, 1 (the host's).
		ae.Bytes(attrSetUserdata, append([]byte{0, 4}, host32(1)...))
	})
	b.add("fill map "+spreadName, unix.NFT_MSG_NEWSETELEM, netlink.Create, func(ae *netlink.AttributeEncoder) {
		ae.String(unix.NFTA_SET_ELEM_LIST_TABLE, tableName)
		ae.String(unix.NFTA_SET_ELEM_LIST_SET, spreadName)
		ae.Uint32(unix.NFTA_SET_ELEM_LIST_SET_ID, spreadID)
		ae.Nested(unix.NFTA_SET_ELEM_LIST_ELEMENTS, func(ae *netlink.AttributeEncoder) error {
			for i, target := range targets {
				ae.Nested(unix.NFTA_LIST_ELEM, func(ae *netlink.AttributeEncoder) error {
					ae.Nested(unix.NFTA_SET_ELEM_KEY, func(ae *netlink.AttributeEncoder) error {
						ae.Bytes(unix.NFTA_DATA_VALUE, host32(uint32(i)))
						return nil
					})
					ae.Nested(unix.NFTA_SET_ELEM_DATA, func(ae *netlink.AttributeEncoder) error {
						ae.Nested(unix.NFTA_DATA_VERDICT, func(ae *netlink.AttributeEncoder) error {
							ae.Int32(unix.NFTA_VERDICT_CODE, int32(expr.VerdictGoto))
							ae.String(unix.NFTA_VERDICT_CHAIN, target)
							return nil
						})
						return nil
					})
					return nil
				})
			}
			return nil
		})
	})
}

func (b *batch) delSpread() {
	b.add("remove map "+spreadName, unix.NFT_MSG_DELSET, 0, func(ae *netlink.AttributeEncoder) {
		ae.String(unix.NFTA_SET_TABLE, tableName)
		ae.String(unix.NFTA_SET_NAME, spreadName)
	})
}

// commit sends the batch. The first result is what the kernel refused (then
// nothing was changed), the error what went wrong on the way.
func (s *session) commit(b *batch) (*refusal, error) {
	if b.err != nil {
		return nil, b.err
	}
	begin := header(unix.AF_UNSPEC, unix.NFNL_SUBSYS_NFTABLES)
	if b.genid != 0 {
		begin = append(begin, 8, 0, batchGenID, 0)
		if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
			copy(begin[4:], []byte{0, 8, 0, batchGenID})
		}
		begin = binary.BigEndian.AppendUint32(begin, b.genid)
	}
	send := make([]netlink.Message, 0, len(b.msgs)+2)
	send = append(send, netlink.Message{Header: netlink.Header{Type: unix.NFNL_MSG_BATCH_BEGIN, Flags: netlink.Request}, Data: begin})
	for i := range b.msgs {
		send = append(send, b.msgs[i].Message)
	}
	send = append(send, netlink.Message{Header: netlink.Header{Type: unix.NFNL_MSG_BATCH_END, Flags: netlink.Request},
		Data: header(unix.AF_UNSPEC, unix.NFNL_SUBSYS_NFTABLES)})
	sent, err := s.nl.SendMessages(send)
	if err != nil {
		return nil, asError("send nf_tables transaction", err)
	}
	// The kernel works the batch off within the send, and reports errors only.
	// A question behind it tells when all of them were read.
	barrier, err := s.nl.Send(genRequest())
	if err != nil {
		return nil, asError("send", err)
	}
	var first *refusal
	for {
		seq, err := s.receive()
		var oe *netlink.OpError
		switch {
		case errors.As(err, &oe) && oe.Sequence != 0:
			seq = oe.Sequence
			if seq == barrier.Header.Sequence {
				return first, nil
			}
			if first != nil {
				continue
			}
			first = &refusal{errno: errnoOf(err), message: oe.Message}
			for i := range b.msgs {
				if sent[i+1].Header.Sequence == seq {
					first.at = &b.msgs[i]
				}
			}
		case err != nil:
			return nil, asError("receive", err)
		case seq == barrier.Header.Sequence:
			return first, nil
		}
	}
}

// receive returns the sequence number of the next answer.
func (s *session) receive() (uint32, error) {
	msgs, err := s.nl.Receive()
	if err != nil || len(msgs) == 0 {
		return 0, err
	}
	return msgs[len(msgs)-1].Header.Sequence, nil
}

func genRequest() netlink.Message {
	return netlink.Message{Header: netlink.Header{Type: nftType(unix.NFT_MSG_GETGEN), Flags: netlink.Request}, Data: header(unix.AF_UNSPEC, 0)}
}

// generation is the number of the current rule set of the namespace.
func (s *session) generation() (uint32, error) {
	msgs, err := s.nl.Execute(genRequest())
	if err != nil {
		e := asError("ask for the nf_tables generation", err).(*Error)
		switch e.Errno {
		case unix.EPERM:
			e.Reason = ErrPrivilege
		case unix.EINVAL, unix.EOPNOTSUPP:
			e.Reason = ErrNoNFTables
		}
		return 0, e
	}
	for _, m := range msgs {
		var gen uint32
		if eachAttr(m.Data, func(typ uint16, data []byte) {
			if typ == unix.NFTA_GEN_ID && len(data) == 4 {
				gen = binary.BigEndian.Uint32(data)
			}
		}) == nil && gen != 0 {
			return gen, nil
		}
	}
	return 0, nil
}

// eachAttr walks the attributes behind an nfgenmsg.
func eachAttr(data []byte, f func(typ uint16, data []byte)) error {
	if len(data) < 4 {
		return unix.EINVAL
	}
	return eachNested(data[4:], f)
}

func eachNested(data []byte, f func(typ uint16, data []byte)) error {
	ad, err := netlink.NewAttributeDecoder(data)
	if err != nil {
		return err
	}
	for ad.Next() {
		f(ad.Type(), ad.Bytes())
	}
	return ad.Err()
}

// dump asks for all objects of a kind in family inet and calls f with the data
// of each answer. Attributes narrow it down where the kernel can.
func (s *session) dump(msg uint16, attrs []byte, f func(data []byte)) error {
	msgs, err := s.nl.Execute(netlink.Message{
		Header: netlink.Header{Type: nftType(msg), Flags: netlink.Request | netlink.Dump},
		Data:   append(header(unix.NFPROTO_INET, 0), attrs...),
	})
	if err != nil {
		return err
	}
	for _, m := range msgs {
		if m.Header.Type != netlink.Done && len(m.Data) >= 4 {
			f(m.Data)
		}
	}
	return nil
}
