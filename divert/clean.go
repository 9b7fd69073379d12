package divert

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/garita/garita/packet"
)

// Found is what of ours is in a network namespace.
type Found struct {
	Table     string    // "inet garita", "inet garita-lock", or such as "legacy IPv4 security"
	Ownership Ownership // of this table; a table beside its lock counts as Locked
	Owner     Owner     // who lives and owns it; PortID 0 = nobody
	Chains    []FoundChain
	// Diverting says whether a base chain leads to a queue rule.
	Diverting bool
	Queues    []uint16 // numbers that its rules queue to, ascending
	Fail      Fail     // by the bypass flag of the queue rules
	Backend   Backend  // by the kind of the queue rules
}

// FoundChain is one of our base chains.
type FoundChain struct {
	Hook     packet.Hook
	Priority int32
	Rules    int
	Note     bool // notes decisions behind the queue, diverts nothing
}

// String describes it in one line.
func (f *Found) String() string {
	if len(f.Chains) == 0 {
		return fmt.Sprintf("table %s, %s, owner %s", f.Table, f.Ownership, f.Owner)
	}
	hooks := ""
	for _, c := range f.Chains {
		if c.Note {
			continue
		}
		if hooks != "" {
			hooks += ","
		}
		hooks += hookName(c.Hook)
	}
	what := "diverting nothing"
	if f.Diverting {
		what = fmt.Sprintf("diverting to queues %v, fail %s", f.Queues, f.Fail)
	}
	return fmt.Sprintf("table %s at %s, %s, %s, owner %s", f.Table, hooks, what, f.Ownership, f.Owner)
}

// List says what of ours is in the network namespace of the calling thread. It
// changes nothing. Errors are as those of Install.
func List() ([]Found, error) {
	found, err := listNFT()
	if errors.Is(err, ErrNoNFTables) {
		err = nil // where there are no tables, none of them is ours
	}
	return append(found, foundLegacy()...), err
}

func listNFT() ([]Found, error) {
	s, err := openSession(0)
	if err != nil {
		return nil, err
	}
	defer s.close()
	return s.list()
}

func (s *session) list() ([]Found, error) {
	st, err := s.read()
	if err != nil {
		return nil, err
	}
	var out []Found
	if t, ok := st.tables[tableName]; ok {
		f := Found{Table: "inet " + tableName, Ownership: t.ownership(), Owner: findOwner(t.owner)}
		if l, ok := st.tables[lockName]; ok && f.Ownership == Unowned {
			f.Ownership, f.Owner = Locked, findOwner(l.owner)
		}
		for i := range st.chains {
			c := &st.chains[i]
			if c.base {
				f.Chains = append(f.Chains, FoundChain{c.hook, c.priority, len(c.rules), strings.HasSuffix(c.name, noteSuffix)})
				f.Diverting = f.Diverting || len(c.rules) != 0
			}
			for _, r := range c.rules {
				f.queueRule(r)
			}
		}
		f.Diverting = f.Diverting && len(f.Queues) != 0
		out = append(out, f)
	}
	if t, ok := st.tables[lockName]; ok {
		out = append(out, Found{Table: "inet " + lockName, Ownership: t.ownership(), Owner: findOwner(t.owner)})
	}
	return out, nil
}

func (t tableState) ownership() Ownership {
	switch {
	case t.flags&flagPersist != 0: // the owner flag goes with the owner
		return Persistent
	case t.flags&flagOwner != 0:
		return Owned
	}
	return Unowned
}

// queueRule takes what there is to learn from a rule's expressions.
func (f *Found) queueRule(exprs []byte) {
	_ = eachNested(exprs, func(_ uint16, e []byte) {
		var name string
		var data []byte
		_ = eachNested(e, func(typ uint16, v []byte) {
			switch typ {
			case unix.NFTA_EXPR_NAME:
				name = cstring(v)
			case unix.NFTA_EXPR_DATA:
				data = v
			}
		})
		var first, total uint16
		var bypass bool
		switch name {
		case "queue":
			var q expr.Queue
			if expr.Unmarshal(unix.NFPROTO_INET, data, &q) != nil {
				return
			}
			first, total, bypass = q.Num, q.Total, q.Flag&expr.QueueFlagBypass != 0
			f.Backend = BackendNative
		case "target":
			var ok bool
			if first, total, bypass, ok = parseTarget(data); !ok {
				return
			}
			f.Backend = BackendCompat
		default:
			return
		}
		if !bypass {
			f.Fail = FailClosed
		}
		for i := range total {
			f.Queues = append(f.Queues, first+i)
		}
	})
}

// Clean removes everything of ours from the network namespace of the calling
// thread and nothing else, and says what it removed; nil when there was nothing.
// While a garita lives there it fails with [*OwnedError]: stop that one.
//
// Like [Diversion.Remove] it makes the kernel drop what waits in any queue of the
// namespace.
func Clean() ([]string, error) {
	what, lerr := cleanLegacy()
	found, err := cleanNFT()
	if errors.Is(err, ErrNoNFTables) {
		err = nil
	}
	for i := range found {
		what = append(what, found[i].String())
	}
	if lerr != nil {
		err = errors.Join(lerr, err)
	}
	return what, err
}

func cleanNFT() ([]Found, error) {
	s, err := openSession(0)
	if err != nil {
		return nil, err
	}
	defer s.close()
	return s.removeTables(0)
}

// removeTables removes our tables unless an owner other than self lives.
func (s *session) removeTables(self uint32) ([]Found, error) {
	for attempt := 1; ; attempt++ {
		now, err := s.read()
		if err != nil || len(now.tables) == 0 {
			return nil, err
		}
		for _, t := range now.tables {
			if t.owner != 0 && t.owner != self {
				return nil, &OwnedError{findOwner(t.owner)}
			}
		}
		found, err := s.list()
		if err != nil {
			return nil, err
		}
		b := &batch{genid: now.genid}
		if attempt > calmAttempts {
			b.genid = 0
		}
		for _, name := range []string{tableName, lockName} {
			if _, ok := now.tables[name]; ok {
				b.delTable(name)
			}
		}
		no, err := s.commit(b)
		if err != nil {
			return nil, err
		}
		if no == nil {
			return found, nil
		}
		if !no.raced() || attempt == maxAttempts {
			return nil, no.error()
		}
	}
}

func native16(b []byte) uint16 { return binary.NativeEndian.Uint16(b) }
