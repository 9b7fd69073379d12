// Package conf reads configuration files in Suricata's words: a YAML tree whose
// values are found by dotted names ("stream.inline", "outputs.0.eve-log.types")
// and can be overridden one by one (--set).
package conf

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// Node is a value of the tree: a scalar, a list or a section.
type Node struct {
	Name   string // key, or index in a list
	Value  string // of a scalar
	Null   bool   // the scalar is null (nothing behind the colon)
	Scalar bool
	IsList bool
	Kids   []*Node
}

// Error is what is wrong with a configuration file.
type Error struct {
	File string
	What string
	Err  error
}

func (e *Error) Error() string {
	if e.Err != nil {
		return e.File + ": " + e.What + ": " + e.Err.Error()
	}
	return e.File + ": " + e.What
}

func (e *Error) Unwrap() error { return e.Err }

// Load reads a file and the files it includes, by the key include (a name or a
// list of names) in any section or by the tag !include for a whole section. They
// stand where they are named, and what comes later replaces what came before;
// relative names start from the folder of the first file. The error names line
// and column of bad YAML.
func Load(file string) (*Node, error) {
	root := &Node{}
	r := reader{dir: filepath.Dir(file)}
	return root, r.load(file, root)
}

// Parse reads YAML text as Load does; file is for messages, and its folder for
// what is included.
func Parse(file string, b []byte) (*Node, error) {
	root := &Node{}
	r := reader{dir: filepath.Dir(file)}
	return root, r.parse(file, b, root)
}

// maxDepth ends files that include each other.
const maxDepth = 32

type reader struct {
	dir  string
	file string // being read now
	deep int
}

func (r *reader) load(file string, into *Node) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	return r.parse(file, b, into)
}

func (r *reader) parse(file string, b []byte, into *Node) error {
	outer := r.file
	r.file = file
	defer func() { r.file = outer }()
	tree, err := parser.ParseBytes(b, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return &Error{File: file, What: "not valid YAML", Err: err}
	}
	for _, doc := range tree.Docs {
		if _, directive := doc.Body.(*ast.DirectiveNode); doc.Body == nil || directive {
			continue
		}
		ast.Walk(tags{}, doc.Body)
		var v any
		if err := yaml.NodeToValue(doc.Body, &v, yaml.UseOrderedMap(), yaml.AllowDuplicateMapKey()); err != nil {
			return &Error{File: file, What: "not valid YAML", Err: err}
		}
		m, ok := v.(yaml.MapSlice)
		if !ok {
			return &Error{File: file, What: "a configuration is made of sections (name: value), this is something else"}
		}
		return r.section(into, m)
	}
	return nil
}

// tags writes "name: !include file" as "name: {include: file}".
type tags struct{}

func (t tags) Visit(n ast.Node) ast.Visitor {
	kv, ok := n.(*ast.MappingValueNode)
	if !ok {
		return t
	}
	tag, ok := kv.Value.(*ast.TagNode)
	if !ok || tag.Start.Value != "!include" {
		return t
	}
	if name, ok := tag.Value.(ast.ScalarNode); ok {
		if f, err := parser.ParseBytes([]byte("include: "+strconv.Quote(fmt.Sprint(name.GetValue()))), 0); err == nil {
			kv.Value = f.Docs[0].Body
		}
	}
	return t
}

// section puts what a section says into n.
func (r *reader) section(n *Node, m yaml.MapSlice) error {
	for _, kv := range m {
		name := fmt.Sprint(kv.Key)
		if name == "include" {
			if err := r.include(n, kv.Value); err != nil {
				return err
			}
			continue
		}
		k := n.child(name)
		*k = Node{Name: k.Name}
		if err := r.fill(k, kv.Value); err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) include(n *Node, v any) error {
	names, ok := v.([]any)
	if !ok {
		names = []any{v}
	}
	for _, v := range names {
		name, ok := v.(string)
		if !ok {
			return &Error{File: r.file, What: "include wants the name of a file, or a list of names"}
		}
		if !filepath.IsAbs(name) {
			name = filepath.Join(r.dir, name)
		}
		if r.deep++; r.deep > maxDepth {
			return &Error{File: r.file, What: "include: the files include each other"}
		}
		if err := r.load(name, n); err != nil {
			if _, named := errors.AsType[*Error](err); named {
				return err
			}
			return &Error{File: r.file, What: "include", Err: err}
		}
		r.deep--
	}
	return nil
}

func (r *reader) fill(n *Node, v any) error {
	switch v := v.(type) {
	case yaml.MapSlice:
		return r.section(n, v)
	case []any:
		n.IsList = true
		for i, e := range v {
			k := &Node{Name: strconv.Itoa(i)}
			if err := r.fill(k, e); err != nil {
				return err
			}
			n.Kids = append(n.Kids, k)
		}
	case nil:
		n.Scalar, n.Null = true, true
	case bool:
		n.Scalar, n.Value = true, map[bool]string{true: "yes", false: "no"}[v]
	default:
		n.Scalar, n.Value = true, fmt.Sprint(v)
	}
	return nil
}

// child returns the child of that name, made if absent.
func (n *Node) child(name string) *Node {
	for _, k := range n.Kids {
		if k.Name == name {
			return k
		}
	}
	k := &Node{Name: name}
	n.Kids = append(n.Kids, k)
	return k
}

// Get finds a node by its dotted name; nil if there is none. In a list, a part
// is an index or the key of an element that is a section ("outputs.eve-log").
func (n *Node) Get(path string) *Node {
	for path != "" && n != nil {
		part, rest, _ := strings.Cut(path, ".")
		path = rest
		n = n.step(part)
	}
	return n
}

func (n *Node) step(part string) *Node {
	for _, k := range n.Kids {
		if k.Name == part {
			return k
		}
	}
	if n.IsList {
		for _, k := range n.Kids {
			if s := k.step(part); s != nil && !k.IsList {
				return s
			}
		}
	}
	return nil
}

// Set gives the node at a dotted name a value, and makes it if need be.
func (n *Node) Set(path, value string) {
	for path != "" {
		part, rest, _ := strings.Cut(path, ".")
		path = rest
		next := n.step(part)
		if next == nil {
			next = n.child(part)
		}
		n.Scalar = false
		n = next
	}
	*n = Node{Name: n.Name, Scalar: true, Value: value}
}

// SetOption is Set for "key=value", as options of the command line have it.
func (n *Node) SetOption(kv string) error {
	k, v, ok := strings.Cut(kv, "=")
	k = strings.TrimSpace(k)
	if !ok || k == "" {
		return fmt.Errorf("--set %q: write it as name=value, for example vars.address-groups.HOME_NET=[192.0.2.0/24]", kv)
	}
	n.Set(k, strings.TrimSpace(v))
	return nil
}

// String is the scalar at path, or def.
func (n *Node) String(path, def string) string {
	if k := n.Get(path); k != nil && k.Scalar && !k.Null {
		return k.Value
	}
	return def
}

// Bool is the truth of the scalar at path in Suricata's words (yes, true, on,
// 1), or def.
func (n *Node) Bool(path string, def bool) bool {
	k := n.Get(path)
	if k == nil || !k.Scalar || k.Null {
		return def
	}
	switch strings.ToLower(k.Value) {
	case "yes", "true", "on", "1":
		return true
	}
	return false
}

// Size is a number of bytes such as 64, 32kb, 1mb or 2 GiB at path, or def.
func (n *Node) Size(path string, def uint64) (uint64, error) {
	k := n.Get(path)
	if k == nil || !k.Scalar || k.Null {
		return def, nil
	}
	v, err := ParseSize(k.Value)
	if err != nil {
		return def, err
	}
	return v, nil
}

// ParseSize reads a number of bytes as Suricata writes them.
func ParseSize(s string) (uint64, error) {
	t := strings.ToLower(strings.TrimSpace(s))
	i := 0
	for i < len(t) && (t[i] >= '0' && t[i] <= '9' || t[i] == '.') {
		i++
	}
	f, err := strconv.ParseFloat(t[:i], 64)
	unit := strings.TrimSpace(t[i:])
	mul := 1.0
	switch unit {
	case "", "b":
	case "kb", "k", "kib":
		mul = 1 << 10
	case "mb", "m", "mib":
		mul = 1 << 20
	case "gb", "g", "gib":
		mul = 1 << 30
	default:
		err = fmt.Errorf("unit %q", unit)
	}
	if err != nil {
		return 0, fmt.Errorf("%q is not a size: write bytes, or kb, mb, gb", s)
	}
	return uint64(f * mul), nil
}
