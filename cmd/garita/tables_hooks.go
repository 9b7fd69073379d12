package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/spf13/cobra"

	"github.com/garita/garita/iptc"
)

const hooksLong = `hooks draws which tables and chains a packet meets at each hook of the kernel, in
order of priority, legacy tables and nftables together: in which order rules
really apply, whoever made them. A packet that is accepted in one chain still
meets all later ones; one that is dropped is gone.

Lines marked "kernel" are what the kernel does there itself, where it is in use.
Legacy tables are shown that somebody has used since this network namespace was
made; a table that nobody looked at does not exist yet.`

// The stations of a packet, in netfilter's numbers.
const (
	hookPre = iota
	hookIn
	hookForward
	hookOut
	hookPost
	hookIngress
	hookEgress
	hookCount
)

var hookTitles = [hookCount]string{"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING", "INGRESS", "EGRESS"}

// hookEntry is one thing that a packet meets.
type hookEntry struct {
	Priority int    `json:"priority"`
	Kind     string `json:"kind"` // iptables, ip6tables, "nft inet", …, kernel
	Table    string `json:"table,omitempty"`
	Chain    string `json:"chain"`
	Policy   string `json:"policy,omitempty"`
	Rules    int    `json:"rules"`
	Device   string `json:"device,omitempty"`
	Type     string `json:"type,omitempty"` // filter, nat, route
}

// label is the entry without priority and kind.
func (e *hookEntry) label() string {
	s := e.Chain
	if e.Table != "" {
		s = e.Table + " " + e.Chain
	}
	if e.Device != "" {
		s += " on " + e.Device
	}
	return s
}

// detail is what there is in it.
func (e *hookEntry) detail() string {
	if e.Kind == "kernel" {
		return ""
	}
	s := fmt.Sprintf("%d rules", e.Rules)
	if e.Rules == 1 {
		s = "1 rule"
	}
	if e.Policy != "" {
		s += ", else " + strings.ToLower(e.Policy)
	}
	if e.Type == "nat" {
		s += " (first packets of flows)"
	}
	return s
}

type hookMap [hookCount][]hookEntry

func (m *hookMap) add(hook int, e hookEntry) {
	if hook >= 0 && hook < hookCount {
		m[hook] = append(m[hook], e)
	}
}

// sort orders by priority; what the kernel does itself stands first, and what
// else is equal keeps the order in which it was listed, which is the order in
// which nftables registered it.
func (m *hookMap) sort() {
	for h := range m {
		slices.SortStableFunc(m[h], func(a, b hookEntry) int {
			if c := cmp.Compare(a.Priority, b.Priority); c != 0 {
				return c
			}
			return cmp.Compare(boolInt(a.Kind != "kernel"), boolInt(b.Kind != "kernel"))
		})
	}
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// addKernel adds the landmarks (include/uapi/linux/netfilter_ipv4.h).
func (m *hookMap) addKernel() {
	for _, l := range []struct {
		prio  int
		hooks []int
		what  string
	}{
		{-400, []int{hookPre, hookOut}, "fragments are put together"},
		{-200, []int{hookPre, hookOut}, "connection tracking looks up the flow"},
		{300, []int{hookIn, hookPost}, "connection tracking helpers"},
		{1<<31 - 1, []int{hookIn, hookPost}, "connection tracking takes in new flows"},
	} {
		for _, h := range l.hooks {
			m.add(h, hookEntry{Priority: l.prio, Kind: "kernel", Chain: l.what})
		}
	}
}

// legacyPriority is where a legacy table stands at a hook.
func legacyPriority(table string, hook int) int {
	switch table {
	case "raw":
		return -300
	case "mangle":
		return -150
	case "nat":
		if hook == hookPre || hook == hookOut {
			return -100
		}
		return 100
	case "security":
		return 50
	}
	return 0
}

// addLegacy adds the tables that exist already; looking at others would make
// them.
func (m *hookMap) addLegacy(f iptc.Family) error {
	names, err := iptc.Names(f)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	kind := "iptables"
	if f == iptc.IPv6 {
		kind = "ip6tables"
	}
	for _, name := range names {
		t, err := iptc.Open(f, name)
		if err != nil {
			return err
		}
		for c := range t.Chains() {
			if !c.Builtin() {
				continue
			}
			typ := "filter"
			if name == "nat" {
				typ = "nat"
			}
			m.add(c.Hook(), hookEntry{Priority: legacyPriority(name, c.Hook()), Kind: kind, Table: name, Chain: c.Name(),
				Policy: iptc.Target{Kind: c.Policy()}.Name(), Rules: c.Len(), Type: typ})
		}
		t.Close()
	}
	return nil
}

var nftFamilies = map[nftables.TableFamily]string{nftables.TableFamilyIPv4: "ip", nftables.TableFamilyIPv6: "ip6",
	nftables.TableFamilyINet: "inet", nftables.TableFamilyNetdev: "netdev"}

// addNft adds base chains of the IP families and of network devices.
func (m *hookMap) addNft(four, six bool) error {
	c, err := nftables.New()
	if err != nil {
		return err
	}
	chains, err := c.ListChains()
	if err != nil {
		return fmt.Errorf("nftables: %w", err)
	}
	for _, ch := range chains {
		family, ok := nftFamilies[ch.Table.Family]
		if !ok || ch.Hooknum == nil || ch.Priority == nil || family == "ip" && !four || family == "ip6" && !six {
			continue
		}
		rules, err := c.GetRules(ch.Table, ch)
		if err != nil {
			return fmt.Errorf("nftables: %w", err)
		}
		e := hookEntry{Priority: int(*ch.Priority), Kind: "nft " + family, Table: ch.Table.Name, Chain: ch.Name, Rules: len(rules),
			Type: string(ch.Type), Device: ch.Device, Policy: "ACCEPT"}
		if ch.Policy != nil && *ch.Policy == nftables.ChainPolicyDrop {
			e.Policy = "DROP"
		}
		hook := int(*ch.Hooknum)
		if family == "netdev" { // its hooks count from 0: ingress, egress
			hook += hookIngress
		}
		m.add(hook, e)
	}
	return nil
}

func tablesHooksCommand() *cobra.Command {
	var four, six, svg, asJSON bool
	c := &cobra.Command{
		Use:   "hooks",
		Short: "Draw which tables and chains a packet meets, in order",
		Long:  hooksLong,
		Example: `  garita tables hooks
  garita tables hooks --svg > hooks.svg`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if !four && !six {
				four, six = true, true
			}
			m, err := readHooks(four, six, c.ErrOrStderr())
			if err != nil {
				return err
			}
			w := c.OutOrStdout()
			switch {
			case asJSON:
				out := map[string][]hookEntry{}
				for h, list := range m {
					if list != nil {
						out[strings.ToLower(hookTitles[h])] = list
					}
				}
				return json.NewEncoder(w).Encode(out)
			case svg:
				return m.svg(w)
			}
			return m.text(w)
		},
	}
	f := c.Flags()
	f.BoolVarP(&four, "ipv4", "4", false, "only what IPv4 meets")
	f.BoolVarP(&six, "ipv6", "6", false, "only what IPv6 meets")
	f.BoolVar(&svg, "svg", false, "draw as SVG")
	f.BoolVar(&asJSON, "json", false, "print one JSON object")
	c.MarkFlagsMutuallyExclusive("ipv4", "ipv6")
	c.MarkFlagsMutuallyExclusive("svg", "json")
	return c
}

// readHooks looks at this network namespace. What one of the two systems does
// not tell is said on errw; that neither tells anything is an error.
func readHooks(four, six bool, errw io.Writer) (*hookMap, error) {
	var m hookMap
	m.addKernel()
	var errs []error
	tries := 1
	if four {
		tries++
		errs = append(errs, m.addLegacy(iptc.IPv4))
	}
	if six {
		tries++
		errs = append(errs, m.addLegacy(iptc.IPv6))
	}
	errs = append(errs, m.addNft(four, six))
	failed := 0
	for _, err := range errs {
		if err != nil {
			failed++
		}
	}
	if failed == tries {
		return nil, errors.Join(errs...)
	}
	for _, err := range errs {
		if err != nil {
			fmt.Fprintln(errw, "garita: not shown:", err)
		}
	}
	m.sort()
	return &m, nil
}

const hooksPicture = `
 network ──▶ INGRESS ──▶ PREROUTING ──▶ (route) ──▶ FORWARD ──────────────▶ POSTROUTING ──▶ EGRESS ──▶ network
                                           │                                     ▲
                                           ▼                                     │
                                         INPUT ──▶ programs ──▶ OUTPUT ──▶ (route)
`

func (m *hookMap) text(w io.Writer) error {
	var b strings.Builder
	b.WriteString(hooksPicture)
	width := 0
	for _, list := range m {
		for _, e := range list {
			width = max(width, len(e.label()))
		}
	}
	for _, h := range []int{hookIngress, hookPre, hookIn, hookForward, hookOut, hookPost, hookEgress} {
		if len(m[h]) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n%s\n", hookTitles[h])
		for _, e := range m[h] {
			line := fmt.Sprintf("%8s  %-10s  %-*s  %s", priorityText(e.Priority), e.Kind, width, e.label(), e.detail())
			b.WriteString(strings.TrimRight(line, " ") + "\n")
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func priorityText(p int) string {
	switch p {
	case 1<<31 - 1:
		return "last"
	case -1 << 31:
		return "first"
	}
	return fmt.Sprint(p)
}
