package divert_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/garita/garita/divert"
	"github.com/garita/garita/packet"
)

func TestValidate(t *testing.T) {
	if err := (&divert.Spec{}).Validate(); err != nil {
		t.Errorf("the zero value: %v", err)
	}
	for _, c := range []struct {
		field string
		spec  divert.Spec
	}{
		{"Hooks", divert.Spec{Hooks: []packet.Hook{5}}},
		{"Ports", divert.Spec{Ports: []divert.PortRange{{}}}},
		{"Ports", divert.Spec{Ports: []divert.PortRange{{First: 5, Last: 4}}}},
		{"Protocols", divert.Spec{Protocols: []uint8{1}, Ports: []divert.PortRange{{First: 5}}}},
		{"In", divert.Spec{In: []string{""}}},
		{"In", divert.Spec{In: []string{"sixteen-bytes-ab"}}},
		{"Out", divert.Spec{Out: []string{"a/b"}}},
		{"Out", divert.Spec{Out: []string{"a b"}}},
		{"Out", divert.Spec{Out: []string{".."}}},
		{"Queues", divert.Spec{Queue: 65535, Queues: 2}},
		{"Queues", divert.Spec{Queues: 2000}},
		{"Marks", divert.Spec{Marks: divert.Marks{Mask: 0x5}}},
		{"Priority", divert.Spec{Priority: [5]int32{0, -1 << 31}}},
		{"Fail", divert.Spec{Fail: 7}},
		{"Backend", divert.Spec{Backend: 7}},
		{"Lifelines.SSHConnection", divert.Spec{Lifelines: divert.Lifelines{SSHConnection: "1.2.3.4 5"}}},
	} {
		err := c.spec.Validate()
		var se *divert.SpecError
		if !errors.As(err, &se) || se.Field != c.field {
			t.Errorf("%+v: %v, want an error about %s", c.spec, err, c.field)
		}
	}
	many := divert.Spec{Hooks: []packet.Hook{9}, In: []string{""}, Fail: 9}
	if got := strings.Count(many.Validate().Error(), "\n") + 1; got != 3 {
		t.Errorf("%d problems reported of 3: %v", got, many.Validate())
	}
	for _, ok := range []divert.Spec{
		{Queue: 65535}, {Queue: 65000, Queues: 536}, {In: []string{"fifteen-bytes-a", "fifteen-bytes-a+", "+", "*"}},
		{Marks: divert.Marks{Mask: 0xffffffff}}, {Marks: divert.Marks{Mask: 1 << 31}},
		{Lifelines: divert.Lifelines{SSHConnection: "nonsense", DivertSSH: true}},
	} {
		if err := ok.Validate(); err != nil {
			t.Errorf("%+v: %v", ok, err)
		}
	}
}

func TestOneSided(t *testing.T) {
	const in, out, fwd, pre, post = packet.Input, packet.Output, packet.Forward, packet.Prerouting, packet.Postrouting
	for _, c := range []struct {
		spec divert.Spec
		want bool
	}{
		{divert.Spec{}, false},
		{divert.Spec{Hooks: []packet.Hook{in}}, true},
		{divert.Spec{Hooks: []packet.Hook{out}}, true},
		{divert.Spec{Hooks: []packet.Hook{in, out}}, false},
		{divert.Spec{Hooks: []packet.Hook{fwd}}, false},
		{divert.Spec{Hooks: []packet.Hook{pre}}, true}, // of this host's own
		{divert.Spec{Hooks: []packet.Hook{pre, post}}, false},
		{divert.Spec{Hooks: []packet.Hook{fwd}, In: []string{"a"}}, true},
		{divert.Spec{Hooks: []packet.Hook{fwd}, In: []string{"a", "b"}}, false},
		{divert.Spec{Hooks: []packet.Hook{fwd}, In: []string{"eth+"}}, false},
		{divert.Spec{Hooks: []packet.Hook{fwd}, In: []string{"a", "b"}, Out: []string{"b"}}, true},
		{divert.Spec{Hooks: []packet.Hook{in, out}, In: []string{"a"}}, true},
		{divert.Spec{Hooks: []packet.Hook{in, out}, In: []string{"a"}, Out: []string{"a"}}, false},
		{divert.Spec{Hooks: []packet.Hook{in, out}, In: []string{"a"}, Out: []string{"b"}}, true},
		{divert.Spec{In: []string{"a"}}, true},
	} {
		if got := c.spec.OneSided(); got != c.want {
			t.Errorf("%v in %v out %v: %v", c.spec.Hooks, c.spec.In, c.spec.Out, got)
		}
	}
}

func TestOwnMark(t *testing.T) {
	for mask, want := range map[uint32]uint32{0: 0x02000000, 0xf0: 0x10, 1: 1, 1 << 31: 1 << 31} {
		if got := (divert.Marks{Mask: mask}).Own(); got != want {
			t.Errorf("mask %#x: own mark %#x, want %#x", mask, got, want)
		}
	}
}

func TestParse(t *testing.T) {
	ports, err := divert.ParsePorts("80, 443,1000-2000 3000:3001")
	if d := cmp.Diff([]divert.PortRange{{First: 80}, {First: 443}, {First: 1000, Last: 2000}, {First: 3000, Last: 3001}}, ports); d != "" || err != nil {
		t.Error(d, err)
	}
	hooks, err := divert.ParseHooks("OUTPUT,input")
	if d := cmp.Diff([]packet.Hook{packet.Output, packet.Input}, hooks); d != "" || err != nil {
		t.Error(d, err)
	}
	protos, err := divert.ParseProtocols("tcp,icmp,47")
	if d := cmp.Diff([]uint8{6, 1, 58, 47}, protos); d != "" || err != nil {
		t.Error(d, err)
	}
	if protos, err := divert.ParseProtocols("tcp,any"); protos != nil || err != nil {
		t.Error(protos, err)
	}
	for _, bad := range []string{"0", "65536", "80-", "-80", "9-3", "http", "1-2-3", "80-0"} {
		if p, err := divert.ParsePorts(bad); err == nil {
			t.Errorf("port %q: %v", bad, p)
		}
	}
	for _, bad := range []string{"ingress", "in"} {
		if h, err := divert.ParseHooks(bad); err == nil {
			t.Errorf("hook %q: %v", bad, h)
		}
	}
	for _, bad := range []string{"256", "-1", "quic"} {
		if p, err := divert.ParseProtocols(bad); err == nil {
			t.Errorf("protocol %q: %v", bad, p)
		}
	}
}

func TestSSHPorts(t *testing.T) {
	for _, c := range []struct {
		name  string
		files map[string]string
		want  []uint16
	}{
		{"no file", nil, []uint16{22}},
		{"no port", map[string]string{"sshd_config": "PermitRootLogin no\n#Port 99\n"}, []uint16{22}},
		{"ports", map[string]string{"sshd_config": "Port 2222\nport=22\n  PORT \"2200\" # why\nPort = 2201\n"}, []uint16{22, 2200, 2201, 2222}},
		{"nonsense", map[string]string{"sshd_config": "Port\nPort x\nPort 0\nPort 70000\nPort \"\n="}, []uint16{22}},
		{"addresses", map[string]string{"sshd_config": "ListenAddress 10.0.0.1:2222\nListenAddress [fd00::1]:2223\n"}, []uint16{2222, 2223}},
		{"an address without a port", map[string]string{"sshd_config": "ListenAddress 10.0.0.1:2222\nListenAddress fd00::1\nPort 77\n"}, []uint16{77, 2222}},
		{"bracketed without a port", map[string]string{"sshd_config": "ListenAddress [fd00::1]\n"}, []uint16{22}},
		{"include", map[string]string{"sshd_config": "Include /etc/ssh/sshd_config.d/*.conf other\n", "sshd_config.d/a.conf": "Port 1001\nMatch all\nPort 9", "other": "Port 1002\nInclude other"}, []uint16{1001, 1002}},
		{"match", map[string]string{"sshd_config": "Port 5\nMatch User x\nPort 6\n"}, []uint16{5}},
	} {
		fsys := fstest.MapFS{}
		for name, text := range c.files {
			fsys["etc/ssh/"+name] = &fstest.MapFile{Data: []byte(text)}
		}
		if got := divert.SSHPorts(fsys); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// Laws: there is always a port, none is 0, they are sorted and single.
func FuzzSSHPorts(f *testing.F) {
	for _, s := range []string{"Port 22\n", "ListenAddress [::]:1\nInclude sshd_config\nMatch x\n", "Port=\"1\" #\n=\n\"\n", "include [\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := divert.SSHPorts(fstest.MapFS{"etc/ssh/sshd_config": &fstest.MapFile{Data: []byte(text)}})
		if len(got) == 0 || got[0] == 0 || !slices.IsSorted(got) || len(slices.Compact(slices.Clone(got))) != len(got) {
			t.Errorf("%q: %v", text, got)
		}
	})
}

// Laws: what a parser accepts, Validate accepts.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"80,443-445", "tcp,udp", "input,output", "1:65535", "icmp 47"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var s divert.Spec
		if p, err := divert.ParsePorts(text); err == nil {
			s.Ports = p
		}
		if h, err := divert.ParseHooks(text); err == nil {
			s.Hooks = h
		}
		if err := s.Validate(); err != nil {
			t.Errorf("%q: %v", text, err)
		}
		if p, err := divert.ParseProtocols(text); err == nil {
			if err := (&divert.Spec{Protocols: p}).Validate(); err != nil {
				t.Errorf("%q: %v", text, err)
			}
		}
	})
}

func TestErrorTexts(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{&divert.OwnedError{Owner: divert.Owner{PortID: 5, PID: 77, Command: "garita"}}, "process 77 (garita)"},
		{&divert.OwnedError{Owner: divert.Owner{PortID: 4242}}, "netlink port 4242"},
		{&divert.ChangedError{What: []string{"a", "b"}}, "a, b"},
		{&divert.Error{Op: "make table", Errno: 1, Message: "words", Reason: divert.ErrPrivilege}, "make table: operation not permitted (words): needs CAP_NET_ADMIN"},
	} {
		if !strings.Contains(c.err.Error(), c.want) {
			t.Errorf("%q does not say %q", c.err, c.want)
		}
	}
	if got := (divert.Owner{}).String(); got != "nobody" {
		t.Error(got)
	}
}
