package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/garita/garita"
	"github.com/garita/garita/divert"
	"github.com/garita/garita/eve"
	"github.com/garita/garita/internal/lab"
	"github.com/garita/garita/packet"
	"github.com/garita/garita/rule"
)

// labGateway is garita at the gateway of the lab: the same engine that
// `garita run` runs, with ears. It hears of the rules' doings as the file that
// the engine's log is written to, and of what the rules let pass as its handler.
type labGateway struct {
	engine *garita.Engine
	note   func(lab.Note)
	rules  map[uint32]labRule // by sid

	rest []byte // of a line of the log

	mu      sync.Mutex
	notices []garita.Notice
}

// labRule is what records do not say of a rule.
type labRule struct {
	rejects, passes, replaces bool
}

// startGateway runs the engine at the lab's gateway and tells of what it does
// until stop returns. With hold, a handler shows the verdict that no rule can
// give.
func startGateway(l *lab.Lab, rules garita.Rules, hold bool, note func(lab.Note)) (stop func() error, err error) {
	g := &labGateway{note: note, rules: map[uint32]labRule{}}
	list, err := garita.ReadRules(rules)
	if err != nil {
		return nil, err
	}
	g.learn(list.Rules)
	cfg := garita.Config{
		Divert: divert.Spec{
			Hooks: []packet.Hook{packet.Forward},
			NetNS: l.NetNS(lab.Gateway),
		},
		Rules: rules,
		Eve:   eve.Config{Types: eve.Alert | eve.Drop, AllDrops: true, Packet: true},
		Log:   eve.NewWriter(g, true),
		Notify: func(n garita.Notice) {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.notices = append(g.notices, n)
		},
	}
	if hold {
		cfg.Handler = g.handle
	}
	err = l.In(lab.Gateway, func() error {
		var err error
		g.engine, err = garita.New(cfg)
		return err
	})
	if err != nil {
		return nil, errors.Join(err, cfg.Log.Close())
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- g.engine.Run(ctx) }()
	return func() error {
		cancel()
		errs := []error{<-ended, cfg.Log.Close()}
		for _, n := range g.notices {
			if n.Severity == garita.Failure {
				errs = append(errs, fmt.Errorf("%s: %w", n.Text, n.Err))
			}
		}
		return errors.Join(errs...)
	}, nil
}

// learn keeps what records will not say of the rules.
func (g *labGateway) learn(rules []rule.Rule) {
	for i := range rules {
		r := &rules[i]
		x := labRule{rejects: r.Action.IsReject(), passes: r.Action == rule.Pass}
		var sid uint64
		for _, o := range r.Options {
			switch o.Name {
			case "replace":
				x.replaces = true
			case "sid":
				sid, _ = strconv.ParseUint(o.Value, 10, 32)
			}
		}
		g.rules[uint32(sid)] = x
	}
}

// handle judges what the rules let pass.
func (g *labGateway) handle(p *packet.Packet) packet.Verdict {
	if p.Proto() == packet.ProtoUDP && p.DstPort() == lab.EchoPort && string(p.Payload()) == lab.HoldText {
		if _, err := g.engine.Delay(p, time.Now().Add(lab.HoldTime), packet.Accept()); err == nil {
			n := lab.Note{Verdict: lab.Held, Msg: fmt.Sprintf("(a handler holds it %v)", lab.HoldTime)}
			n.Proto, n.Src, n.Dst = labEnds(p)
			g.note(n)
			return p.Verdict
		}
	}
	return packet.Accept()
}

// labEnds says which flow p belongs to, as the lab counts flows.
func labEnds(p *packet.Packet) (proto string, src, dst netip.AddrPort) {
	sport, dport := p.SrcPort(), p.DstPort()
	switch p.Proto() {
	case packet.ProtoTCP:
		proto = "tcp"
	case packet.ProtoUDP:
		proto = "udp"
	case packet.ProtoICMP, packet.ProtoICMPv6:
		proto = "icmp"
		if h, ok := p.ICMP(); ok {
			id, _, _ := h.Echo()
			sport, dport = id, id
		}
	default:
		proto = "protocol " + strconv.Itoa(int(p.Proto()))
	}
	return proto, netip.AddrPortFrom(p.Src(), sport), netip.AddrPortFrom(p.Dst(), dport)
}

// Write takes records of the log.
func (g *labGateway) Write(b []byte) (int, error) {
	g.rest = append(g.rest, b...)
	for {
		line, rest, whole := bytes.Cut(g.rest, []byte("\n"))
		if !whole {
			return len(b), nil
		}
		if err := g.record(line); err != nil {
			return 0, err
		}
		g.rest = rest
	}
}

// Close ends the log.
func (g *labGateway) Close() error { return nil }

func (g *labGateway) record(line []byte) error {
	var r struct {
		Type    string     `json:"event_type"`
		SrcIP   netip.Addr `json:"src_ip"`
		SrcPort uint16     `json:"src_port"`
		DstIP   netip.Addr `json:"dest_ip"`
		DstPort uint16     `json:"dest_port"`
		Proto   string     `json:"proto"`
		Packet  []byte     `json:"packet"`
		Alert   *struct {
			Action    string `json:"action"`
			SID       uint32 `json:"signature_id"`
			Signature string `json:"signature"`
		} `json:"alert"`
		Drop struct {
			Reason string `json:"reason"`
			RST    bool   `json:"rst"`
		} `json:"drop"`
	}
	if err := json.Unmarshal(line, &r); err != nil {
		return fmt.Errorf("the engine wrote a record that is no JSON: %w: %s", err, line)
	}
	if r.Drop.RST && r.Alert == nil && r.Drop.Reason == "stream error" {
		// A socket that was closed answers late bytes with a reset behind its
		// own FIN. The peer would ignore it; it is no verdict on the exchange.
		return nil
	}
	n := lab.Note{Msg: r.Drop.Reason}
	if r.Packet != nil {
		p := packet.Packet{Data: r.Packet}
		p.Decode()
		n.Proto, n.Src, n.Dst = labEnds(&p)
	} else {
		n.Proto = strings.ToLower(r.Proto)
		n.Src, n.Dst = netip.AddrPortFrom(r.SrcIP, r.SrcPort), netip.AddrPortFrom(r.DstIP, r.DstPort)
	}
	if r.Alert != nil {
		n.SID, n.Msg = r.Alert.SID, r.Alert.Signature
	}
	known := g.rules[n.SID]
	switch {
	case r.Type == "drop" || r.Alert != nil && r.Alert.Action == "blocked":
		n.Verdict = lab.Dropped
		if n.SID != 0 && known.rejects {
			n.Verdict = lab.Rejected
		}
	case r.Type != "alert":
		return nil
	case known.passes: // with the keyword alert; else there is no record
		n.Verdict = lab.Passed
	case known.replaces:
		n.Verdict = lab.Replaced
	default:
		n.Verdict = lab.Alerted
	}
	g.note(n)
	return nil
}
