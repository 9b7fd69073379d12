package iptc

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// RestoreOptions are those of iptables-restore. The zero value is what it does
// without options.
type RestoreOptions struct {
	// NoFlush keeps what is in the tables (--noflush).
	NoFlush bool
	// Counters takes the counters in the file (--counters).
	Counters bool
	// Test reads and builds everything and commits nothing (--test).
	Test bool
	// Table restricts it to one table; empty: all in the file.
	Table string
	Lock  Lock
}

// RestoreError is a line that cannot be done; tables committed before it stay
// committed, as with iptables-restore.
type RestoreError struct {
	Line int // from 1
	Text string
	Err  error
}

func (e *RestoreError) Error() string { return fmt.Sprintf("line %d: %v", e.Line, e.Err) }

func (e *RestoreError) Unwrap() error { return e.Err }

// Restore applies a file as iptables-save writes it: each table between "*name"
// and "COMMIT" is built in memory and committed as a whole, under the xtables
// lock. Lines may be any of -A -D -I -R -F -Z -N -X -E -P and ":chain policy
// [packets:bytes]".
func Restore(f Family, r io.Reader, o RestoreOptions) error {
	in := bufio.NewScanner(r)
	in.Buffer(make([]byte, 0, 64<<10), 1<<20)
	s := restorer{f: f, o: o}
	defer s.close()
	n := 0
	for in.Scan() {
		n++
		line := in.Text()
		if err := s.line(line); err != nil {
			return &RestoreError{n, line, err}
		}
	}
	if err := in.Err(); err != nil {
		return &RestoreError{n + 1, "", err}
	}
	if s.inTable {
		return &RestoreError{n + 1, "", fmt.Errorf("COMMIT expected")}
	}
	return nil
}

type restorer struct {
	f       Family
	o       RestoreOptions
	t       *Table
	release func()
	inTable bool
	skip    bool
}

func (s *restorer) close() {
	if s.t != nil {
		s.t.Close()
		s.t = nil
	}
	if s.release != nil {
		s.release()
		s.release = nil
	}
	s.inTable, s.skip = false, false
}

func (s *restorer) line(line string) error {
	line = strings.TrimRight(line, "\r\n")
	switch {
	case line == "" || line[0] == '#':
		return nil
	case line == "COMMIT" || strings.HasPrefix(line, "COMMIT ") && strings.TrimSpace(line) == "COMMIT":
		if !s.inTable {
			return fmt.Errorf("COMMIT outside of a table")
		}
		defer s.close()
		if s.skip || s.o.Test {
			return nil
		}
		return s.t.commit()
	case line[0] == '*' && !s.inTable:
		return s.table(strings.TrimSpace(line[1:]))
	case !s.inTable:
		return fmt.Errorf("a line outside of a table: %q", line)
	case s.skip:
		return nil
	case line[0] == ':':
		return s.chain(line[1:])
	}
	words, err := Words(line)
	if err != nil || len(words) == 0 {
		return err
	}
	var c Counters
	if n, ok := parseCounters(words[0]); ok {
		words = words[1:]
		if s.o.Counters {
			c = n
		}
	}
	return s.t.command(words, c)
}

func (s *restorer) table(name string) error {
	s.inTable = true
	if s.o.Table != "" && s.o.Table != name {
		s.skip = true
		return nil
	}
	var err error
	if !s.o.Test {
		if s.release, err = s.o.Lock.Take(); err != nil {
			return err
		}
	}
	if s.t, err = Open(s.f, name); err != nil {
		return err
	}
	if s.o.NoFlush {
		return nil
	}
	return s.t.clear()
}

// clear removes all rules and all user chains.
func (t *Table) clear() error {
	var user []string
	for c := range t.Chains() {
		if err := t.Flush(c.Name()); err != nil {
			return err
		}
		if !c.Builtin() {
			user = append(user, c.Name())
		}
	}
	for _, name := range user {
		if err := t.DeleteChain(name); err != nil {
			return err
		}
	}
	return nil
}

// chain does ":name policy [counters]".
func (s *restorer) chain(line string) error {
	w := strings.Fields(line)
	if len(w) < 2 {
		return fmt.Errorf("chain without a policy: %q", line)
	}
	name, policy := w[0], w[1]
	ch := s.t.find(name)
	if ch == nil || !ch.Builtin() {
		if ch != nil && s.o.NoFlush {
			return s.t.Flush(name)
		}
		if err := s.t.CreateChain(name); err != nil {
			return err
		}
	}
	if policy == "-" {
		return nil
	}
	var c Counters
	if s.o.Counters && len(w) > 2 {
		n, ok := parseCounters(w[2])
		if !ok {
			return fmt.Errorf("invalid policy counters for chain '%s'", name)
		}
		c = n
	}
	k, ok := policies[policy]
	if !ok {
		k = Kind(255)
	}
	return s.t.SetPolicy(name, k, &c)
}

var policies = map[string]Kind{"ACCEPT": Accept, "DROP": Drop}

// Command does to the snapshot what iptables does with these words: -A -I -R -D
// -C -F -Z -N -X -E -P with their arguments.
func (t *Table) Command(words []string) error { return t.command(words, Counters{}) }

func (t *Table) command(words []string, c Counters) error {
	if len(words) == 0 {
		return &RuleError{"no command"}
	}
	cmd, rest := words[0], words[1:]
	if long, ok := commands[cmd]; ok {
		cmd = long
	}
	chain := ""
	if len(rest) > 0 {
		chain, rest = rest[0], rest[1:]
	}
	if chain == "" && cmd != "-F" && cmd != "-Z" && cmd != "-X" {
		return &RuleError{cmd + " needs a chain"}
	}
	switch cmd {
	case "-A", "-D", "-I", "-R", "-C":
		return t.ruleCommand(cmd, chain, rest, c)
	case "-N":
		return t.CreateChain(chain)
	case "-P":
		if len(rest) == 0 {
			return &RuleError{"-P requires a chain and a policy"}
		}
		k, ok := policies[rest[0]]
		if !ok {
			return t.fail(OpSetPolicy, chain, 22)
		}
		return t.SetPolicy(chain, k, nil)
	case "-E":
		if len(rest) == 0 {
			return &RuleError{"-E requires two chains"}
		}
		return t.RenameChain(chain, rest[0])
	case "-F", "-Z", "-X":
		return t.chainCommand(cmd, chain, rest)
	}
	return &RuleError{"unknown command " + cmd}
}

var commands = map[string]string{"--append": "-A", "--delete": "-D", "--insert": "-I", "--replace": "-R", "--check": "-C",
	"--flush": "-F", "--zero": "-Z", "--new-chain": "-N", "--new": "-N", "--delete-chain": "-X", "--rename-chain": "-E", "--policy": "-P"}

// chainCommand does -F, -Z and -X, to one chain or to all.
func (t *Table) chainCommand(cmd, chain string, rest []string) error {
	if cmd == "-Z" && len(rest) > 0 {
		n, err := strconv.Atoi(rest[0])
		if err != nil {
			return &RuleError{"bad rule number " + rest[0]}
		}
		return t.ZeroCounter(chain, n-1)
	}
	do := t.Flush
	switch cmd {
	case "-Z":
		do = t.Zero
	case "-X":
		do = t.DeleteChain
	}
	if chain != "" {
		return do(chain)
	}
	var names []string
	for c := range t.Chains() {
		if cmd != "-X" || !c.Builtin() {
			names = append(names, c.Name())
		}
	}
	for _, n := range names {
		if err := do(n); err != nil {
			return err
		}
	}
	return nil
}

func (t *Table) ruleCommand(cmd, chain string, rest []string, c Counters) error {
	num := 1
	numbered := false
	if len(rest) > 0 && cmd != "-A" && cmd != "-C" {
		if n, err := strconv.Atoi(rest[0]); err == nil {
			num, numbered, rest = n, true, rest[1:]
		}
	}
	if cmd == "-R" && !numbered {
		return &RuleError{"-R requires a rule number"}
	}
	if numbered && num < 1 {
		return &RuleError{"invalid rule number"}
	}
	if cmd == "-D" && numbered && len(rest) == 0 {
		return t.DeleteNum(chain, num-1)
	}
	var words []string
	for i := 0; i < len(rest); i++ { // -c packets bytes
		if (rest[i] == "-c" || rest[i] == "--set-counters") && i+2 < len(rest) {
			a, err := strconv.ParseUint(rest[i+1], 10, 64)
			b, err2 := strconv.ParseUint(rest[i+2], 10, 64)
			if err == nil && err2 == nil {
				c = Counters{a, b}
				i += 2
				continue
			}
		}
		words = append(words, rest[i])
	}
	r, err := ParseSpec(t.family, words, func(name string) bool { return t.find(name) != nil })
	if err != nil {
		return err
	}
	r = r.WithCounters(c)
	switch cmd {
	case "-A":
		return t.Append(chain, r)
	case "-I":
		return t.Insert(chain, num-1, r)
	case "-R":
		return t.Replace(chain, num-1, r)
	case "-C":
		return t.Check(chain, r)
	}
	return t.Delete(chain, r)
}
