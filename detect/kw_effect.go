package detect

import (
	"strconv"
	"strings"

	"github.com/garita/garita/app"
	"github.com/garita/garita/rule"
)

// Keywords that do something when a rule matches, besides its action.

// kwNFQSetMark reads "VALUE/MASK": the bits of the mask that the packet gets
// when it goes back to the kernel.
func kwNFQSetMark(b *builder, v string) error {
	val, mask, ok := strings.Cut(v, "/")
	m, ok1 := parseMark(val)
	k, ok2 := parseMark(mask)
	if !ok || !ok1 || !ok2 {
		return b.fail(0, "not a mark and its mask: "+strconv.Quote(v), "write nfq_set_mark:0x10/0xff")
	}
	b.s.post = append(b.s.post, effect{op: effMark, a: m & k, b: k})
	return nil
}

// parseMark reads a number of 32 bits, in hex with 0x; what is larger wraps.
func parseMark(s string) (uint32, bool) {
	n, ok := parseNum(s, 64)
	return uint32(n), ok
}

// kwConfig reads "logging disable, type tx, scope tx": transactions that match
// are not recorded.
func kwConfig(b *builder, v string) error {
	f := fields(v)
	if len(f) != 3 || f[0] != "logging disable" {
		return b.fail(0, "not a setting: "+strconv.Quote(v), "write config:logging disable, type tx, scope tx")
	}
	kind, ok1 := strings.CutPrefix(f[1], "type ")
	scope, ok2 := strings.CutPrefix(f[2], "scope ")
	switch {
	case !ok1 || kind != "tx" && kind != "flow":
		return b.fail(0, "unknown type "+strconv.Quote(f[1]), "type tx or type flow")
	case !ok2 || scope != "tx" && scope != "flow":
		return b.fail(0, "unknown scope "+strconv.Quote(f[2]), "scope tx or scope flow")
	case kind == "tx":
		b.s.post = append(b.s.post, effect{op: effNoLog})
	}
	return nil
}

// kwTLSStore asks that the certificates of the session be kept.
func kwTLSStore(b *builder, _ string) error {
	if !b.c.cfg.StoresCerts {
		b.c.warn(b.fail(0, "certificates are not stored", "the rule alerts all the same; the output tls-store is not on"))
	}
	b.s.post = append(b.s.post, effect{op: effCerts})
	return b.restrict(app.ProtoSetOf(app.TLS))
}

// kwPktvar asks for a text in a variable that an expression of an earlier rule
// kept of this packet.
func kwPktvar(b *builder, v string) error {
	name, val, ok := strings.Cut(v, ",")
	val = strings.Trim(strings.TrimSpace(val), `"`)
	if !ok || val == "" || strings.HasPrefix(val, "!") {
		return b.fail(0, "not a pktvar: "+strconv.Quote(v), `write NAME,"content"`)
	}
	p, err := rule.Content(val)
	if err != nil {
		return b.errValue(strings.Index(v, val), err)
	}
	b.packetCond(cond{op: condPktvar, a: b.c.name("var " + strings.TrimSpace(name)), name: string(p)})
	return nil
}
