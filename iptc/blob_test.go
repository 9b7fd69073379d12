package iptc

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// empty makes a table as the kernel makes it first.
func empty(f Family, valid uint32) *content {
	c := &content{family: f, validHooks: valid, tail: errorHead(f, errorName)}
	for h, name := range hookNames {
		if valid&(1<<h) == 0 {
			continue
		}
		r, err := NewRule(f, Header{}, nil, Target{Kind: Accept})
		if err != nil {
			panic(err)
		}
		c.chains = append(c.chains, &Chain{name: name, hook: h, foot: r, headOld: -1})
	}
	return c
}

// offline is a table without a kernel.
func offline(t testing.TB, f Family, valid uint32) *Table {
	t.Helper()
	in, blob, err := empty(f, valid).build(nil)
	if err != nil {
		t.Fatal(err)
	}
	c, err := parse(f, "test", in, blob)
	if err != nil {
		t.Fatal(err)
	}
	return &Table{fd: -1, name: "test", content: c, in: in, blob: blob}
}

// anyExt picks an extension of the table.
func anyExt(rnd *rand.Rand, f Family, target bool) *ext {
	for {
		group := exts[rnd.IntN(len(exts))]
		if x := &group[rnd.IntN(len(group))]; x.target == target && x.fam&(1<<f) != 0 {
			return x
		}
	}
}

func randomRule(rnd *rand.Rand, f Family, chains []string) *Rule {
	h := Header{Proto: uint8(rnd.IntN(3) * 6), Inv: uint8(rnd.IntN(128))}
	if rnd.IntN(2) == 0 {
		h.Src = netip.MustParseAddr([]string{"10.1.2.3", "fd01::7"}[f])
	}
	if rnd.IntN(2) == 0 {
		h.In = []string{"eth0", "e+", "+", "averylongname+", "fifteenletters0"}[rnd.IntN(5)]
	}
	var matches []Extension
	for range rnd.IntN(3) { // known ones with any bytes in them: printing must not trust them
		x := anyExt(rnd, f, false)
		data := make([]byte, x.padded())
		for i := range data {
			data[i] = byte(rnd.Uint32())
		}
		matches = append(matches, Extension{Name: x.name, Revision: x.rev, Data: data})
	}
	for range rnd.IntN(3) {
		data := make([]byte, rnd.IntN(70))
		for i := range data {
			data[i] = byte(rnd.Uint32())
		}
		matches = append(matches, Extension{Name: fmt.Sprint("match", rnd.IntN(9)), Revision: uint8(rnd.IntN(4)), Data: data})
	}
	target := Target{Kind: Kind(rnd.IntN(8))}
	switch target.Kind {
	case Jump, Goto:
		if len(chains) == 0 {
			target.Kind = Drop
		} else {
			target.Chain = chains[rnd.IntN(len(chains))]
		}
	case Module:
		target.Module = Extension{Name: "UNKNOWN", Revision: 7, Data: []byte("some bytes")}
		if rnd.IntN(2) == 0 {
			x := anyExt(rnd, f, true)
			target.Module = Extension{Name: x.name, Revision: x.rev, Data: bytes.Repeat([]byte{byte(rnd.Uint32())}, x.padded())}
		}
	}
	r, err := NewRule(f, h, matches, target)
	if err != nil {
		panic(err)
	}
	return r.WithCounters(Counters{rnd.Uint64N(1000), rnd.Uint64N(1e6)})
}

// randomContent is a table with rules and chains made by the editor.
func randomContent(t testing.TB, rnd *rand.Rand, f Family) *Table {
	tab := offline(t, f, []uint32{0x0e, 0x1b, 0x1f, 0x09}[rnd.IntN(4)])
	var user []string
	for i := range rnd.IntN(5) {
		name := fmt.Sprintf("chain%d-%d", rnd.IntN(1000), i)
		if err := tab.CreateChain(name); err != nil {
			t.Fatal(err)
		}
		user = append(user, name)
	}
	var all []string
	for c := range tab.Chains() {
		all = append(all, c.Name())
	}
	for range rnd.IntN(20) {
		if err := tab.Append(all[rnd.IntN(len(all))], randomRule(rnd, f, user)); err != nil {
			t.Fatal(err)
		}
	}
	return tab
}

func TestParseBuildIsIdentity(t *testing.T) {
	for seed := range uint64(300) {
		f := Family(seed & 1)
		tab := randomContent(t, rand.New(rand.NewPCG(seed, 1)), f)
		in, blob, err := tab.build(nil)
		if err != nil {
			t.Fatal(err)
		}
		c, err := parse(f, "test", in, blob)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		in2, blob2, err := c.build(nil)
		if err != nil || in2 != in || !bytes.Equal(blob, blob2) {
			t.Fatalf("seed %d: rebuilt differently: %v\n%+v\n%+v", seed, err, in, in2)
		}
	}
}

func TestHeaderRoundTrip(t *testing.T) {
	addr := netip.MustParseAddr
	for _, c := range []struct {
		f Family
		h Header
	}{
		{IPv4, Header{}},
		{IPv6, Header{}},
		{IPv4, Header{Src: addr("10.0.0.0"), SrcMask: addr("255.0.255.0"), Inv: InvSrc, In: "eth+", Out: "fifteenletters0", Proto: 17, Flags: FlagFrag}},
		{IPv6, Header{Dst: addr("fd00::"), DstMask: addr("ffff::"), Proto: 58, TOS: 4, Flags: 2, Out: "x", Inv: InvOut | InvProto}},
	} {
		r, err := NewRule(c.f, c.h, nil, Target{Kind: Drop})
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Header(); got != c.h {
			t.Errorf("%+v became %+v", c.h, got)
		}
	}
}

// TestBlobSizes are the sizes that rules.md measured on a kernel.
func TestBlobSizes(t *testing.T) {
	for _, c := range []struct {
		valid         uint32
		entries, size uint32
	}{{0x09, 3, 480}, {0x0e, 4, 632}, {0x1f, 6, 936}, {0x1b, 5, 784}} {
		in, _, err := empty(IPv4, c.valid).build(nil)
		if err != nil || in.entries != c.entries || in.size != c.size {
			t.Errorf("hooks %#x: %+v %v, want %d entries, %d bytes", c.valid, in, err, c.entries, c.size)
		}
	}
}

// checkHostile parses a blob that may be anything: an error with a reason, or a
// table that is carried through unchanged.
func checkHostile(t testing.TB, f Family, in info, blob []byte) {
	keep := bytes.Clone(blob)
	c, err := parse(f, "test", in, blob)
	if err != nil {
		var be *BlobError
		if !errors.As(err, &be) || be.Reason == "" {
			t.Fatalf("%T %v", err, err)
		}
		return
	}
	in2, blob2, err := c.build(nil)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(keep, blob2) {
		t.Fatalf("accepted, but rebuilt differently")
	}
	for h := range hooks {
		if in.validHooks&(1<<h) == 0 {
			in.hook[h], in.underflow[h] = 0, 0
		}
	}
	if in2 != in {
		t.Fatalf("accepted as %+v, rebuilt as %+v", in, in2)
	}
	for _, ch := range c.chains {
		for _, r := range ch.rules { // views must not panic either
			_, _, _ = r.Header(), r.Matches(), r.Target()
			if !r.Same(r) {
				t.Fatal("a rule is not the same as itself")
			}
		}
	}
	if _, err := (&Table{fd: -1, name: "test", content: c, in: in}).Save(io.Discard, SaveOptions{Counters: true}); err != nil {
		t.Fatal(err)
	}
}

func TestEveryPrefixAndFlip(t *testing.T) {
	step := 1
	if os.Getenv("GARITA_SLOW") != "" {
		step = 17 // no kernel is asked, so an emulated one adds nothing
	}
	for seed := range uint64(6) {
		f := Family(seed & 1)
		in, blob, err := randomContent(t, rand.New(rand.NewPCG(seed, 2)), f).build(nil)
		if err != nil {
			t.Fatal(err)
		}
		for n := 0; n < len(blob); n += step {
			short := in
			short.size = uint32(n)
			checkHostile(t, f, short, blob[:n:n])
			if _, err := parse(f, "test", in, blob[:n:n]); err == nil {
				t.Fatalf("a table cut at %d is accepted", n)
			}
			for _, x := range []byte{1, 0x80, 0xff} {
				b := bytes.Clone(blob)
				b[n] ^= x
				checkHostile(t, f, in, b)
			}
		}
	}
}

func FuzzParse(fz *testing.F) {
	for seed := range uint64(8) {
		in, blob, err := randomContent(fz, rand.New(rand.NewPCG(seed, 3)), Family(seed&1)).build(nil)
		if err != nil {
			fz.Fatal(err)
		}
		fz.Add(blob, seed&1 == 1, uint8(in.validHooks), in.entries, in.hook[0], in.hook[1], in.hook[2], in.hook[3], in.hook[4],
			in.underflow[0], in.underflow[1], in.underflow[2], in.underflow[3], in.underflow[4])
	}
	fz.Fuzz(func(t *testing.T, blob []byte, six bool, valid uint8, entries, h0, h1, h2, h3, h4, u0, u1, u2, u3, u4 uint32) {
		f := IPv4
		if six {
			f = IPv6
		}
		checkHostile(t, f, info{uint32(valid), entries, uint32(len(blob)), [hooks]uint32{h0, h1, h2, h3, h4}, [hooks]uint32{u0, u1, u2, u3, u4}}, blob)
	})
}

func TestErrorsSayWhatLibiptcSays(t *testing.T) {
	drop, err := NewRule(IPv4, Header{}, nil, Target{Kind: Drop})
	if err != nil {
		t.Fatal(err)
	}
	jump := func(to string) *Rule {
		r, err := NewRule(IPv4, Header{}, nil, Target{Kind: Jump, Chain: to})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	six, err := NewRule(IPv6, Header{}, nil, Target{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		do    func(*Table) error
		errno unix.Errno
		text  string
	}{
		{func(t *Table) error { return t.CreateChain("full") }, unix.EEXIST, "Chain already exists"},
		{func(t *Table) error { return t.CreateChain("INPUT") }, unix.EEXIST, "Chain already exists"},
		{func(t *Table) error { return t.CreateChain("ACCEPT") }, unix.EEXIST, "Chain already exists"},
		{func(t *Table) error { return t.CreateChain(strings.Repeat("x", 29)) }, unix.EINVAL, "invalid argument"},
		{func(t *Table) error { return t.DeleteChain("none") }, unix.ENOENT, "No chain/target/match by that name"},
		{func(t *Table) error { return t.DeleteChain("full") }, unix.ENOTEMPTY, "Chain is not empty"},
		{func(t *Table) error { return t.DeleteChain("wanted") }, unix.EMLINK, "Can't delete chain with references left"},
		{func(t *Table) error { return t.DeleteChain("INPUT") }, unix.EINVAL, "Can't delete built-in chain"},
		{func(t *Table) error { return t.RenameChain("INPUT", "x") }, unix.ENOENT, "No chain/target/match by that name"},
		{func(t *Table) error { return t.RenameChain("full", "wanted") }, unix.EEXIST, "file exists"},
		{func(t *Table) error { return t.Insert("INPUT", 9, drop) }, unix.E2BIG, "Index of insertion too big"},
		{func(t *Table) error { return t.Insert("INPUT", 0, jump("none")) }, unix.ENOENT, "No chain/target/match by that name"},
		{func(t *Table) error { return t.Insert("INPUT", 0, jump("OUTPUT")) }, unix.EINVAL, "Target problem"},
		{func(t *Table) error { return t.Replace("INPUT", 1, drop) }, unix.E2BIG, "Index of replacement too big"},
		{func(t *Table) error { return t.DeleteNum("INPUT", 1) }, unix.E2BIG, "Index of deletion too big"},
		{func(t *Table) error { return t.ZeroCounter("INPUT", 1) }, unix.E2BIG, "Index of counter too big"},
		{func(t *Table) error { return t.Delete("INPUT", jump("full")) }, unix.ENOENT, "Bad rule (does a matching rule exist in that chain?)"},
		{func(t *Table) error { return t.Check("INPUT", jump("full")) }, unix.ENOENT, "Bad rule (does a matching rule exist in that chain?)"},
		{func(t *Table) error { return t.SetPolicy("full", Drop, nil) }, unix.ENOENT, "Bad built-in chain name"},
		{func(t *Table) error { return t.SetPolicy("INPUT", Queue, nil) }, unix.EINVAL, "Bad policy name"},
		{func(t *Table) error { return t.Append("INPUT", six) }, unix.EINVAL, "invalid argument"},
	} {
		tab := offline(t, IPv4, 0x0e)
		for _, err := range []error{tab.CreateChain("full"), tab.CreateChain("wanted"), tab.Append("full", drop), tab.Append("INPUT", jump("wanted"))} {
			if err != nil {
				t.Fatal(err)
			}
		}
		ops := len(tab.ops)
		_, before, _ := tab.build(nil)
		err := c.do(tab)
		var e *Error
		if !errors.As(err, &e) || !errors.Is(err, c.errno) || e.Strerror() != c.text {
			t.Errorf("%v, want %v, %q", err, c.errno, c.text)
		}
		_, after, _ := tab.build(nil)
		if len(tab.ops) != ops || !bytes.Equal(before, after) {
			t.Errorf("%v: the table has changed", err)
		}
	}
}

func TestReferencesAndRename(t *testing.T) {
	tab := offline(t, IPv4, 0x0e)
	rule, err := NewRule(IPv4, Header{}, nil, Target{Kind: Goto, Chain: "b"})
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{tab.CreateChain("b"), tab.CreateChain("a"), tab.Append("INPUT", rule), tab.Append("a", rule), tab.RenameChain("b", "0")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	var names []string
	for c := range tab.Chains() {
		names = append(names, c.Name())
	}
	if got := strings.Join(names, " "); got != "INPUT FORWARD OUTPUT 0 a" {
		t.Errorf("chains %s", got)
	}
	if n := tab.References("0"); n != 2 || tab.References("b") != -1 {
		t.Errorf("%d references", n)
	}
	if got := tab.Chain("a").Rule(0).Target(); got.Kind != Goto || got.Chain != "0" {
		t.Errorf("target %+v", got)
	}
}
