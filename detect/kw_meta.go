package detect

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/garita/garita/rule"
)

func kwMsg(b *builder, v string) error {
	neg, quoted, text, _ := rule.Quoted(v)
	if neg || !quoted {
		return b.fail(0, "the text has no quotes", `write msg:"…";`)
	}
	b.info.Msg = rule.Unescape(text)
	return nil
}

func (b *builder) id(v string) (uint32, error) {
	n, err := strconv.ParseUint(strings.Trim(v, `"`), 10, 32)
	if err != nil {
		return 0, b.fail(0, "not a number of 32 bits: "+strconv.Quote(v), "")
	}
	return uint32(n), nil
}

func kwSid(b *builder, v string) (err error) {
	if b.info.Sid, err = b.id(v); err == nil && b.info.Sid == 0 {
		return b.fail(0, "sid 0 is not allowed", "choose a number from 1 on")
	}
	return err
}

func kwRev(b *builder, v string) (err error) {
	b.info.Rev, err = b.id(v)
	return err
}

func kwGid(b *builder, v string) (err error) {
	b.info.Gid, err = b.id(v)
	return err
}

func kwClasstype(b *builder, v string) error {
	name := strings.ToLower(strings.Trim(v, `" `))
	c, ok := b.c.classes[name]
	if !ok {
		b.c.warn(b.fail(0, "unknown classtype "+strconv.Quote(v), "define it in classification.config; the priority is 3 until then"))
		c = Class{Text: "", Priority: 3}
	}
	if b.info.Classtype != "" && b.c.classes[b.info.Classtype].Priority <= c.Priority {
		return nil
	}
	b.info.Classtype, b.info.Class = name, c.Text
	if !b.priority {
		b.info.Priority = c.Priority
	}
	return nil
}

func kwPriority(b *builder, v string) error {
	n, err := strconv.ParseUint(v, 10, 31)
	if err != nil {
		return b.fail(0, "not a priority: "+strconv.Quote(v), "write a number: 1 is the highest")
	}
	if !b.priority { // the first counts
		b.info.Priority, b.priority = int(n), true
	}
	return nil
}

func kwReference(b *builder, v string) error {
	kind, val, ok := strings.Cut(v, ",")
	if !ok || strings.TrimSpace(kind) == "" || strings.TrimSpace(val) == "" {
		return b.fail(0, "not a reference: "+strconv.Quote(v), "write kind,value such as cve,2024-1234 or url,example.com")
	}
	kind, val = strings.ToLower(strings.Trim(kind, `" `)), strings.Trim(val, `" `)
	b.info.References = append(b.info.References, Reference{Kind: kind, Value: val, URL: b.c.refs[kind] + val})
	return nil
}

func kwMetadata(b *builder, v string) error {
	for len(v) > 0 {
		var item string
		item, v, _ = strings.Cut(v, ",")
		item = strings.TrimSpace(item)
		if item == "" {
			continue
		}
		key, val, _ := strings.Cut(item, " ")
		b.info.Metadata = append(b.info.Metadata, Pair{b.c.str(key), b.c.str(strings.TrimSpace(val))})
	}
	return nil
}

func kwTarget(b *builder, v string) error {
	switch v {
	case "src_ip":
		b.info.Target = SrcIsTarget
	case "dest_ip":
		b.info.Target = DstIsTarget
	default:
		return b.fail(0, "not a target: "+strconv.Quote(v), "write src_ip or dest_ip")
	}
	return nil
}

func kwNoAlert(b *builder, v string) error {
	b.info.NoAlert = true
	return nil
}

func kwAlert(b *builder, v string) error {
	b.info.NoAlert = false
	b.s.flags |= sigAlert
	return nil
}

// kwPrefilter asks that the keyword before it be looked up by a prefilter. Every rule
// here is gated by its cheapest condition anyhow; it only counts as a fast
// pattern when a content stands before it.
func kwPrefilter(b *builder, v string) error {
	if b.last != nil {
		if _, n, err := b.lastContent(); err == nil {
			if n.flags&nNegated == 0 {
				n.flags |= nFast
				b.fast = true
			}
		}
	}
	return nil
}

// version is the version of Suricata whose rules are understood.
const version = "7.0.10"

// kwRequires leaves out rules that are for other versions, features or
// keywords.
func kwRequires(b *builder, v string) error {
	if v == "" {
		return b.fail(0, "a value is missing", "write requires: version >= 7, keyword NAME, feature NAME;")
	}
	wanted := true
	for _, item := range strings.Split(v, ",") {
		item = strings.TrimSpace(item)
		word, rest, _ := strings.Cut(item, " ")
		rest = strings.TrimSpace(rest)
		switch word {
		case "":
			return b.fail(0, "an empty requirement", "")
		case "version":
			ok, err := versionExpr(rest)
			if err != nil {
				return b.fail(0, err.Error(), "write version >= 7.0.4, < 8 | >= 8.0.3")
			}
			wanted = wanted && ok
		case "feature":
			found := rest == "ja3" || rest == "ja4"
			for _, f := range b.c.features {
				found = found || f == rest
			}
			wanted = wanted && found
		case "keyword":
			_, ok := b.c.keywords[strings.ToLower(rest)]
			wanted = wanted && ok
		default:
			wanted = false // a requirement of a later version
		}
	}
	if !wanted {
		return errSkip
	}
	return nil
}

// versionExpr evaluates ">= 7.0.4 < 8 | >= 8.0.3".
func versionExpr(s string) (bool, error) {
	any := false
	for _, alt := range strings.Split(s, "|") {
		all, n := true, 0
		alt = strings.TrimSpace(alt)
		for alt != "" {
			op := ""
			for _, o := range []string{">=", "<=", ">", "<"} {
				if strings.HasPrefix(alt, o) {
					op = o
					break
				}
			}
			if op == "" {
				return false, fmt.Errorf("not a comparison of versions: %q", alt)
			}
			alt = strings.TrimSpace(alt[len(op):])
			end := strings.IndexAny(alt, " <>=")
			if end < 0 {
				end = len(alt)
			}
			c, err := compareVersion(alt[:end])
			if err != nil {
				return false, err
			}
			alt = strings.TrimSpace(alt[end:])
			switch op {
			case ">=":
				all = all && c >= 0
			case "<=":
				all = all && c <= 0
			case ">":
				all = all && c > 0
			case "<":
				all = all && c < 0
			}
			n++
		}
		if n == 0 {
			return false, fmt.Errorf("a version is missing")
		}
		any = any || all
	}
	return any, nil
}

// compareVersion compares our version with s.
func compareVersion(s string) (int, error) {
	part := func(v string) ([3]int, error) {
		var p [3]int
		v, _, _ = strings.Cut(v, "-")
		f := strings.Split(v, ".")
		if len(f) > 3 {
			return p, fmt.Errorf("not a version: %q", s)
		}
		for i, x := range f {
			n, err := strconv.Atoi(x)
			if err != nil || n < 0 {
				return p, fmt.Errorf("not a version: %q", s)
			}
			p[i] = n
		}
		return p, nil
	}
	a, _ := part(version)
	c, err := part(s)
	if err != nil {
		return 0, err
	}
	for i := range a {
		if a[i] != c[i] {
			if a[i] < c[i] {
				return -1, nil
			}
			return 1, nil
		}
	}
	return 0, nil
}
