package main

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
)

// svgBox is a hook's card in the drawing.
type svgBox struct {
	hook       int // -1: a plain label
	title      string
	x, y, w, h int
}

const (
	svgLine  = 18 // height of a line of text
	svgChar  = 7  // width of a character of the small type
	svgGap   = 44 // between cards, for the arrows
	svgMin   = 150
	svgStyle = `text{font:12px ui-monospace,Menlo,Consolas,monospace;fill:#1d2733}
.title{font-weight:bold;font-size:14px}.card{fill:#f7f9fb;stroke:#8794a3}.plain{fill:#fff;stroke:#8794a3;stroke-dasharray:4 3}
.prio{fill:#66717e}.legacy{fill:#9a4a00}.nft{fill:#0b5cad}.kernel{fill:#66717e;font-style:italic}.dim{fill:#66717e}
.way{fill:none;stroke:#4b5866;stroke-width:1.5;marker-end:url(#tip)}
@media(prefers-color-scheme:dark){text{fill:#e4e9ee}.card{fill:#1c232b;stroke:#5c6875}.plain{fill:#11161c;stroke:#5c6875}
.prio,.dim,.kernel{fill:#9aa6b2}.legacy{fill:#f0a35e}.nft{fill:#6db3ff}.way{stroke:#9aa6b2}}`
)

// row is an entry as one line of the card, and the line below it.
func svgRows(e *hookEntry) (first, second string) {
	return fmt.Sprintf("%6s %-9s %s", priorityText(e.Priority), e.Kind, e.label()), e.detail()
}

// size makes a card as big as what stands in it.
func (b *svgBox) size(m *hookMap) {
	b.w, b.h = max(svgMin, len(b.title)*9+24), svgLine+16
	if b.hook < 0 {
		return
	}
	for i := range m[b.hook] {
		first, second := svgRows(&m[b.hook][i])
		b.w = max(b.w, len([]rune(first))*svgChar+28, (len(second)+17)*svgChar+28)
		b.h += svgLine
		if second != "" {
			b.h += svgLine
		}
	}
	if len(m[b.hook]) == 0 {
		b.h += svgLine
	}
}

func (m *hookMap) svg(out io.Writer) error {
	// Two rows: what comes from the network and goes on above, this host's
	// programs below.
	top := []*svgBox{{hook: -1, title: "network"}, {hook: hookPre, title: "PREROUTING"}, {hook: -1, title: "route"},
		{hook: hookForward, title: "FORWARD"}, {hook: hookPost, title: "POSTROUTING"}, {hook: -1, title: "network"}}
	if len(m[hookIngress]) > 0 {
		top = append(top[:1], append([]*svgBox{{hook: hookIngress, title: "INGRESS"}}, top[1:]...)...)
	}
	if len(m[hookEgress]) > 0 {
		top = append(top[:len(top)-1], &svgBox{hook: hookEgress, title: "EGRESS"}, top[len(top)-1])
	}
	bottom := []*svgBox{{hook: hookIn, title: "INPUT"}, {hook: -1, title: "programs"}, {hook: hookOut, title: "OUTPUT"}, {hook: -1, title: "route"}}
	var route, post *svgBox
	high, x := 0, 20
	for _, b := range top {
		b.size(m)
		b.x, x = x, x+b.w+svgGap
		high = max(high, b.h)
		if b.title == "route" {
			route = b
		}
		if b.hook == hookPost {
			post = b
		}
	}
	width := x - svgGap + 20
	for _, b := range top {
		b.y = 20 + (high-b.h)/2
	}
	low, x := 0, route.x
	for _, b := range bottom {
		b.size(m)
		b.x, x = x, x+b.w+svgGap
		low = max(low, b.h)
	}
	width = max(width, x-svgGap+20)
	for _, b := range bottom {
		b.y = 20 + high + 60 + (low-b.h)/2
	}
	height := 20 + high + 60 + low + 20

	var s strings.Builder
	fmt.Fprintf(&s, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img">`+"\n", width, height, width, height)
	s.WriteString("<title>What a packet meets on its way through this host</title>\n<style>" + svgStyle + "</style>\n")
	s.WriteString(`<defs><marker id="tip" markerWidth="9" markerHeight="8" refX="8" refY="4" orient="auto"><path d="M0,0L9,4L0,8z" fill="#4b5866"/></marker></defs>` + "\n")
	for _, row := range [][]*svgBox{top, bottom} {
		for i, b := range row {
			if i > 0 {
				p := row[i-1]
				y := p.y + p.h/2
				fmt.Fprintf(&s, `<path class="way" d="M%d,%dH%d"/>`+"\n", p.x+p.w, y, b.x)
			}
			b.draw(&s, m)
		}
	}
	in := bottom[0]
	fmt.Fprintf(&s, `<path class="way" d="M%d,%dV%d"/>`+"\n", route.x+route.w/2, route.y+route.h, in.y)
	last := bottom[len(bottom)-1]
	mid := 20 + high + 30
	fmt.Fprintf(&s, `<path class="way" d="M%d,%dV%dH%dV%d"/>`+"\n", last.x+last.w/2, last.y, mid, post.x+post.w/2, post.y+post.h)
	s.WriteString("</svg>\n")
	_, err := io.WriteString(out, s.String())
	return err
}

func (b *svgBox) draw(s *strings.Builder, m *hookMap) {
	class := "card"
	if b.hook < 0 {
		class = "plain"
	}
	fmt.Fprintf(s, `<rect class="%s" x="%d" y="%d" width="%d" height="%d" rx="8"/>`+"\n", class, b.x, b.y, b.w, b.h)
	y := b.y + 8 + svgLine - 5
	fmt.Fprintf(s, `<text class="title" x="%d" y="%d">%s</text>`+"\n", b.x+12, y, b.title)
	if b.hook < 0 {
		return
	}
	text := func(class, line string) {
		y += svgLine
		fmt.Fprintf(s, `<text class="%s" x="%d" y="%d" xml:space="preserve">`, class, b.x+12, y)
		_ = xml.EscapeText(s, []byte(line)) // a Builder does not fail
		s.WriteString("</text>\n")
	}
	if len(m[b.hook]) == 0 {
		text("dim", "nothing")
	}
	for i := range m[b.hook] {
		e := &m[b.hook][i]
		class := "legacy"
		switch {
		case e.Kind == "kernel":
			class = "kernel"
		case strings.HasPrefix(e.Kind, "nft"):
			class = "nft"
		}
		first, second := svgRows(e)
		text(class, first)
		if second != "" {
			text("dim", strings.Repeat(" ", 17)+second)
		}
	}
}
