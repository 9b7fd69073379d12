package divert

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"strings"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/garita/garita/packet"
)

// state is what the kernel has of ours.
type state struct {
	genid  uint32
	tables map[string]tableState // by name; garita and garita-lock only
	chains []chainState          // of table garita, in the kernel's order
	spread bool                  // the verdict map is there
	elems  []byte                // its elements as the kernel lists them
}

type tableState struct {
	flags uint32
	owner uint32 // netlink port
}

type chainState struct {
	name     string
	base     bool
	hook     packet.Hook
	priority int32
	policy   uint32
	rules    [][]byte // their expressions as the kernel lists them
}

func (s *state) chain(name string) *chainState {
	for i := range s.chains {
		if s.chains[i].name == name {
			return &s.chains[i]
		}
	}
	return nil
}

// calmAttempts is how often to try for a moment in which nobody else changes the
// rule set, before working without one.
const calmAttempts = 20

// read asks the kernel for all that is ours, again if the rule set changed
// meanwhile. Where it never stops changing, the answer has no generation.
func (s *session) read() (*state, error) {
	for attempt := 1; ; attempt++ {
		gen, err := s.generation()
		if err != nil {
			return nil, err
		}
		st, err := s.readOnce()
		if errors.Is(err, unix.ENOENT) && attempt < maxAttempts {
			continue // it went while we read
		}
		if err != nil {
			return nil, err
		}
		after, err := s.generation()
		if err != nil {
			return nil, err
		}
		if gen == after {
			st.genid = gen
		}
		if gen == after || attempt >= calmAttempts {
			return st, nil
		}
	}
}

func (s *session) readOnce() (*state, error) {
	st := &state{tables: map[string]tableState{}}
	err := s.dump(unix.NFT_MSG_GETTABLE, nil, func(data []byte) {
		var name string
		var t tableState
		_ = eachAttr(data, func(typ uint16, v []byte) {
			switch {
			case typ == unix.NFTA_TABLE_NAME:
				name = cstring(v)
			case typ == unix.NFTA_TABLE_FLAGS && len(v) == 4:
				t.flags = binary.BigEndian.Uint32(v)
			case typ == attrTableOwner && len(v) == 4:
				t.owner = binary.BigEndian.Uint32(v)
			}
		})
		if name == tableName || name == lockName {
			st.tables[name] = t
		}
	})
	if err != nil {
		return nil, asError("list tables", err)
	}
	if _, ok := st.tables[tableName]; !ok {
		return st, nil
	}
	err = s.dump(unix.NFT_MSG_GETCHAIN, nil, func(data []byte) {
		if c, ok := parseChain(data); ok {
			st.chains = append(st.chains, c)
		}
	})
	if err != nil {
		return nil, asError("list chains", err)
	}
	err = s.dump(unix.NFT_MSG_GETRULE, tableAttr(unix.NFTA_RULE_TABLE), func(data []byte) {
		var table, chain string
		var exprs []byte
		_ = eachAttr(data, func(typ uint16, v []byte) {
			switch typ {
			case unix.NFTA_RULE_TABLE:
				table = cstring(v)
			case unix.NFTA_RULE_CHAIN:
				chain = cstring(v)
			case unix.NFTA_RULE_EXPRESSIONS:
				exprs = bytes.Clone(v)
			}
		})
		if c := st.chain(chain); c != nil && table == tableName {
			c.rules = append(c.rules, exprs)
		}
	})
	if err != nil {
		return nil, asError("list rules", err)
	}
	err = s.dump(unix.NFT_MSG_GETSET, tableAttr(unix.NFTA_SET_TABLE), func(data []byte) {
		var table, name string
		_ = eachAttr(data, func(typ uint16, v []byte) {
			switch typ {
			case unix.NFTA_SET_TABLE:
				table = cstring(v)
			case unix.NFTA_SET_NAME:
				name = cstring(v)
			}
		})
		st.spread = st.spread || table == tableName && name == spreadName
	})
	if err != nil {
		return nil, asError("list maps", err)
	}
	if st.spread {
		attrs := append(tableAttr(unix.NFTA_SET_ELEM_LIST_TABLE), stringAttr(unix.NFTA_SET_ELEM_LIST_SET, spreadName)...)
		var elems [][]byte
		err = s.dump(unix.NFT_MSG_GETSETELEM, attrs, func(data []byte) {
			_ = eachAttr(data, func(typ uint16, v []byte) {
				if typ != unix.NFTA_SET_ELEM_LIST_ELEMENTS {
					return
				}
				_ = eachNested(v, func(_ uint16, e []byte) { elems = append(elems, bytes.Clone(e)) })
			})
		})
		if err != nil {
			return nil, asError("list map elements", err)
		}
		// A hash set lists its elements in no order that would last.
		slices.SortFunc(elems, bytes.Compare)
		st.elems = bytes.Join(elems, nil)
	}
	return st, nil
}

func parseChain(data []byte) (chainState, bool) {
	var c chainState
	var table string
	_ = eachAttr(data, func(typ uint16, v []byte) {
		switch typ {
		case unix.NFTA_CHAIN_TABLE:
			table = cstring(v)
		case unix.NFTA_CHAIN_NAME:
			c.name = cstring(v)
		case unix.NFTA_CHAIN_POLICY:
			if len(v) == 4 {
				c.policy = binary.BigEndian.Uint32(v)
			}
		case unix.NFTA_CHAIN_HOOK:
			c.base = true
			_ = eachNested(v, func(typ uint16, v []byte) {
				switch {
				case typ == unix.NFTA_HOOK_HOOKNUM && len(v) == 4:
					c.hook = packet.Hook(binary.BigEndian.Uint32(v))
				case typ == unix.NFTA_HOOK_PRIORITY && len(v) == 4:
					c.priority = int32(binary.BigEndian.Uint32(v))
				}
			})
		}
	})
	return c, table == tableName
}

func cstring(v []byte) string { return strings.TrimRight(string(v), "\x00") }

func tableAttr(typ uint16) []byte { return stringAttr(typ, tableName) }

func stringAttr(typ uint16, s string) []byte {
	b, _ := netlink.MarshalAttributes([]netlink.Attribute{{Type: typ, Data: append([]byte(s), 0)}})
	return b
}

// diff says in words how now differs from was.
func (s *state) diff(now *state) []string {
	var out []string
	for name, t := range s.tables {
		n, ok := now.tables[name]
		switch {
		case !ok && name == tableName:
			return []string{"the table is gone"}
		case !ok:
			out = append(out, "the table "+name+" is gone")
		case n.flags&flagDormant != t.flags&flagDormant:
			out = append(out, "the table is switched off (dormant)")
		case n != t:
			out = append(out, "the flags or the owner of table "+name+" changed")
		}
	}
	for i := range s.chains {
		c := &s.chains[i]
		n := now.chain(c.name)
		switch {
		case n == nil:
			out = append(out, "chain "+c.name+" is gone")
		case n.base != c.base || n.hook != c.hook || n.priority != c.priority || n.policy != c.policy:
			out = append(out, "the hook, priority or policy of chain "+c.name+" changed")
		case !slices.EqualFunc(n.rules, c.rules, bytes.Equal):
			out = append(out, "the rules of chain "+c.name+" changed")
		}
	}
	for i := range now.chains {
		if s.chain(now.chains[i].name) == nil {
			out = append(out, "chain "+now.chains[i].name+" is new")
		}
	}
	if s.spread != now.spread || !bytes.Equal(s.elems, now.elems) {
		out = append(out, "the map "+spreadName+" changed")
	}
	return out
}
