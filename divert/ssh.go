package divert

import (
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// SSHPorts returns, sorted, the TCP ports that sshd is configured to listen on,
// from Port and ListenAddress in etc/ssh/sshd_config below fsys and in the files
// it includes (sshd_config(5)). Without a file, or without a port in it, that
// is 22. A file that cannot be read counts as one that is not there.
func SSHPorts(fsys fs.FS) []uint16 {
	var c sshdConfig
	c.read(fsys, sshdDir+"/sshd_config", 0)
	out := c.listen
	if c.plain || len(out) == 0 {
		if len(c.ports) == 0 {
			c.ports = []uint16{22}
		}
		out = append(out, c.ports...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

const (
	sshdDir     = "etc/ssh"
	maxInclude  = 16 // nesting, sshd's own limit
	maxSSHPorts = 256
)

type sshdConfig struct {
	ports  []uint16 // Port
	listen []uint16 // ListenAddress with a port
	plain  bool     // a ListenAddress without one: it uses Port
}

func (c *sshdConfig) read(fsys fs.FS, name string, depth int) {
	text, err := fs.ReadFile(fsys, name)
	if err != nil {
		return
	}
	for line := range strings.Lines(string(text)) {
		key, args := sshdFields(line)
		switch key {
		case "match":
			return // none of our keywords is allowed in a Match block
		case "port":
			if len(args) > 0 {
				addPort(&c.ports, args[0])
			}
		case "listenaddress":
			if len(args) == 0 {
				continue
			}
			if p, ok := addressPort(args[0]); ok {
				addPort(&c.listen, p)
			} else {
				c.plain = true
			}
		case "include":
			if depth == maxInclude {
				continue
			}
			for _, pattern := range args {
				if rooted, ok := strings.CutPrefix(pattern, "/"); ok {
					pattern = rooted
				} else {
					pattern = path.Join(sshdDir, pattern)
				}
				files, err := fs.Glob(fsys, pattern)
				if err != nil {
					continue
				}
				for _, f := range files {
					c.read(fsys, f, depth+1)
				}
			}
		}
	}
}

func addPort(list *[]uint16, s string) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err == nil && n != 0 && len(*list) < maxSSHPorts {
		*list = append(*list, uint16(n))
	}
}

// addressPort returns the port of "host:port" or "[v6]:port". A bare IPv6
// address has colons but no port.
func addressPort(s string) (string, bool) {
	if rest, ok := strings.CutPrefix(s, "["); ok {
		_, port, ok := strings.Cut(rest, "]:")
		return port, ok
	}
	if strings.Count(s, ":") != 1 {
		return "", false
	}
	_, port, _ := strings.Cut(s, ":")
	return port, true
}

// sshdFields splits a line into its keyword, in lower case, and its arguments.
// An equals sign may follow the keyword, arguments may be quoted, and # begins
// a comment at the beginning of an argument.
func sshdFields(line string) (key string, args []string) {
	const space = " \t\r\n\f"
	line = strings.Trim(line, space)
	i := strings.IndexAny(line, space+"=")
	if i < 0 {
		return strings.ToLower(line), nil
	}
	key = strings.ToLower(line[:i])
	rest := strings.TrimLeft(line[i:], space)
	rest = strings.TrimPrefix(rest, "=")
	for {
		rest = strings.TrimLeft(rest, space)
		if rest == "" || rest[0] == '#' {
			return key, args
		}
		if rest[0] == '"' {
			arg, after, _ := strings.Cut(rest[1:], `"`)
			args, rest = append(args, arg), after
			continue
		}
		end := strings.IndexAny(rest, space)
		if end < 0 {
			end = len(rest)
		}
		args, rest = append(args, rest[:end]), rest[end:]
	}
}

// sshConnectionPort is the server's port in the environment variable
// SSH_CONNECTION.
func sshConnectionPort(s string) (uint16, bool) {
	f := strings.Fields(s)
	if len(f) != 4 {
		return 0, false
	}
	n, err := strconv.ParseUint(f[3], 10, 16)
	return uint16(n), err == nil && n != 0
}
