package detect

import (
	"strconv"
	"strings"

	"github.com/garita/garita/app"
)

func kwFlow(b *builder, v string) error {
	if b.s.flow != 0 {
		return b.fail(0, "flow stands twice", "join both")
	}
	for _, f := range fields(v) {
		switch strings.ToLower(f) {
		case "established":
			b.s.flow |= flowEstablished
		case "not_established":
			b.s.flow |= flowNotEstablished
		case "stateless":
			b.s.flow |= flowStateless
		case "to_server", "from_client":
			b.s.flow |= flowToServer
		case "to_client", "from_server":
			b.s.flow |= flowToClient
		case "only_stream":
			b.s.flow |= flowOnlyStream
			b.s.flags |= sigNeedStream
		case "no_stream":
			b.s.flow |= flowNoStream
			b.s.flags |= sigNeedPacket
		case "only_frag":
			b.s.flow |= flowOnlyFrag
		case "no_frag":
			b.s.flow |= flowNoFrag
		default:
			return b.fail(0, "unknown flow option "+strconv.Quote(f), "to_server, to_client, established, not_established, stateless, only_stream, no_stream, only_frag, no_frag")
		}
	}
	for _, x := range [][2]flowFlags{{flowToServer, flowToClient}, {flowEstablished, flowNotEstablished}, {flowOnlyStream, flowNoStream}, {flowOnlyFrag, flowNoFrag}, {flowStateless, flowEstablished}} {
		if b.s.flow&x[0] != 0 && b.s.flow&x[1] != 0 {
			return b.fail(0, "two flow options contradict each other", "")
		}
	}
	if b.s.flow&(flowToServer|flowToClient|flowEstablished) != 0 {
		b.s.flags |= sigNeedFlow
	}
	return nil
}

func (b *builder) flowCond(c cond) {
	b.s.conds = append(b.s.conds, c)
}

func kwFlowbits(b *builder, v string) error {
	cmd, names, ok := strings.Cut(v, ",")
	cmd = strings.TrimSpace(cmd)
	names = strings.TrimSpace(names)
	if !ok {
		if cmd == "noalert" {
			b.info.NoAlert = true
			return nil
		}
		return b.fail(0, "the name of the bit is missing", "write flowbits:set,NAME; or isset, isnotset, unset, toggle, noalert")
	}
	if names == "" {
		return b.fail(0, "the name of the bit is missing", "")
	}
	var ids []uint32
	for _, n := range strings.Split(names, "|") {
		if n = strings.TrimSpace(n); n != "" {
			ids = append(ids, b.c.name("bit "+n))
		}
	}
	if len(ids) == 0 {
		return b.fail(0, "the name of the bit is missing", "")
	}
	switch cmd {
	case "isset":
		b.flowCond(cond{op: condFlowbit, ids: ids})
		return nil
	case "isnotset":
		b.flowCond(cond{op: condFlowbit, ids: ids, neg: true})
		return nil
	}
	if len(ids) > 1 {
		b.c.warn(b.fail(0, "only isset and isnotset take several names: nothing is changed", "use one keyword for each"))
		return nil
	}
	switch cmd {
	case "set":
		b.s.post = append(b.s.post, effect{op: effFlowbitSet, a: ids[0]})
	case "unset":
		b.s.post = append(b.s.post, effect{op: effFlowbitUnset, a: ids[0]})
	case "toggle":
		b.s.post = append(b.s.post, effect{op: effFlowbitToggle, a: ids[0]})
	default:
		return b.fail(0, "unknown action "+strconv.Quote(cmd), "set, unset, toggle, isset, isnotset, noalert")
	}
	return nil
}

func kwFlowint(b *builder, v string) error {
	f := fields(v)
	if len(f) == 2 && (f[1] == "isset" || f[1] == "notset" || f[1] == "isnotset") {
		how := uint32(1)
		if f[1] != "isset" {
			how = 2
		}
		b.flowCond(cond{op: condFlowint, a: b.c.name("int " + f[0]), b: how})
		return nil
	}
	if len(f) != 3 {
		return b.fail(0, "not a flowint: "+strconv.Quote(v), "write NAME,+,1; NAME,>,3; NAME,=,0; NAME,isset; NAME,notset")
	}
	id := b.c.name("int " + f[0])
	var other uint32
	n, err := strconv.ParseUint(f[2], 10, 32)
	if err != nil {
		other = b.c.name("int " + f[2])
	}
	set := map[string]effectOp{"=": effFlowintSet, "+": effFlowintAdd, "-": effFlowintSub}
	if e, ok := set[f[1]]; ok {
		ef := effect{op: e, a: id, v: uint32(n)}
		if err != nil {
			ef.b = other + 1
		}
		b.s.post = append(b.s.post, ef)
		return nil
	}
	cmp := map[string]numOp{"<": numLT, "<=": numLE, ">": numGT, ">=": numGE, "==": numEQ, "!=": numNE}
	op, ok := cmp[f[1]]
	if !ok {
		return b.fail(0, "unknown operator "+strconv.Quote(f[1]), "+ - = < <= == != >= > isset notset")
	}
	c := cond{op: condFlowint, a: id, num: numRange{op: op, a: n}}
	if err != nil {
		c.ids = []uint32{other}
	}
	b.flowCond(c)
	return nil
}

func kwFlowvar(b *builder, v string) error {
	name, val, ok := strings.Cut(v, ",")
	val = strings.TrimSpace(val)
	neg := strings.HasPrefix(val, "!")
	val = strings.Trim(strings.TrimPrefix(val, "!"), `"`)
	if !ok || val == "" {
		return b.fail(0, "not a flowvar: "+strconv.Quote(v), `write NAME,"content"`)
	}
	b.flowCond(cond{op: condFlowvar, a: b.c.name("var " + strings.TrimSpace(name)), name: val, neg: neg})
	return nil
}

func kwStreamSize(b *builder, v string) error {
	f := fields(v)
	if len(f) != 3 {
		return b.fail(0, "three values are needed", "write stream_size:client,<,100")
	}
	c := cond{op: condStreamSize}
	switch f[0] {
	case "server":
		c.a = 0
	case "client":
		c.a = 1
	case "both":
		c.a = 2
	case "either":
		c.a = 3
	default:
		return b.fail(0, "unknown side "+strconv.Quote(f[0]), "client, server, both or either")
	}
	cmp := map[string]numOp{"<": numLT, "<=": numLE, ">": numGT, ">=": numGE, "=": numEQ, "==": numEQ, "!=": numNE, "!": numNE}
	op, ok := cmp[f[1]]
	n, ok2 := parseNum(f[2], 32)
	if !ok || !ok2 {
		return b.fail(0, "not a comparison: "+strconv.Quote(v), "write stream_size:client,<,100")
	}
	c.num = numRange{op: op, a: n}
	b.s.flags |= sigStreamSize
	b.s.conds = append(b.s.conds, c)
	return nil
}

func kwFlowAge(b *builder, v string) error {
	r, bad := parseRange(v, 32)
	if bad != "" {
		return b.fail(0, bad, "")
	}
	b.flowCond(cond{op: condFlowAge, num: r})
	return nil
}

func kwFlowPkts(b *builder, v string) error {
	r, bad := parseRange(v, 64)
	if bad != "" {
		return b.fail(0, bad, "")
	}
	c := cond{op: condFlowPackets, num: r}
	if strings.HasPrefix(b.o.Name, "flow.bytes") {
		c.op = condFlowBytes
	}
	if strings.HasSuffix(b.o.Name, "toclient") {
		c.a = uint32(app.ToClient)
	}
	b.flowCond(c)
	return nil
}

func kwAppProtocol(b *builder, v string) error {
	v, neg := strings.CutPrefix(v, "!")
	f := fields(strings.Trim(v, `"`))
	c := cond{op: condAppProto, neg: neg}
	switch f[0] {
	case "failed":
		c.a = uint32(app.Failed)
	case "unknown":
		c.a = uint32(app.Unknown)
	case "http":
		c.a = protoHTTPAny
	default:
		p, ok := app.ProtoByName(f[0])
		if !ok {
			return b.fail(0, "unknown application protocol "+strconv.Quote(f[0]), "")
		}
		c.a = uint32(p)
	}
	if len(f) > 1 {
		modes := map[string]uint32{"direction": 0, "toserver": 1, "toclient": 2, "final": 3, "original": 4, "either": 5}
		m, ok := modes[strings.ReplaceAll(f[1], "_", "")]
		if !ok {
			return b.fail(0, "unknown option "+strconv.Quote(f[1]), "final, original, either, to_server, to_client, direction")
		}
		c.b = m
	}
	b.s.flags |= sigProtoDetect
	b.flowCond(c)
	return nil
}

func kwBypass(b *builder, v string) error {
	b.c.rs.anyBypass = true
	b.s.post = append(b.s.post, effect{op: effBypass})
	return nil
}
