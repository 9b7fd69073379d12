package rule

import "strings"

// String prints the rule in one line, as Parse reads it.
func (r *Rule) String() string {
	var b strings.Builder
	b.Grow(len(r.text) + 16)
	if r.Disabled {
		b.WriteString("# ")
	}
	b.WriteString(r.Action.String())
	b.WriteByte(' ')
	b.WriteString(r.Proto)
	b.WriteByte(' ')
	r.Src.print(&b)
	b.WriteByte(' ')
	r.SrcPort.print(&b)
	b.WriteByte(' ')
	b.WriteString(r.Arrow.String())
	b.WriteByte(' ')
	r.Dst.print(&b)
	b.WriteByte(' ')
	r.DstPort.print(&b)
	b.WriteString(" (")
	for i, o := range r.Options {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(o.Name)
		if o.HasValue {
			b.WriteByte(':')
			b.WriteString(o.Value)
			if n := len(o.Value) - len(strings.TrimRight(o.Value, `\`)); n%2 == 1 {
				b.WriteByte(' ') // a lone backslash would escape the ; to come
			}
		}
		b.WriteByte(';')
	}
	b.WriteByte(')')
	return b.String()
}

// String prints the term as it stands in a rule.
func (t *Term) String() string {
	var b strings.Builder
	t.print(&b)
	return b.String()
}

func (t *Term) print(b *strings.Builder) {
	if t.Negated {
		b.WriteByte('!')
	}
	if !t.IsList {
		b.WriteString(t.Word)
		return
	}
	b.WriteByte('[')
	for i := range t.List {
		if i > 0 {
			b.WriteByte(',')
		}
		t.List[i].print(b)
	}
	b.WriteByte(']')
}
