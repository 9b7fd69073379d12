package garita

import (
	"net"
	"sync"
)

// ifnames remembers the names of interfaces: records carry names, packets
// carry numbers.
type ifnames struct {
	mu sync.Mutex
	m  map[uint32]string
}

// ifname is the name of an interface in the engine's network namespace, "" if
// it is not known. A number that was unknown is asked for once.
func (e *Engine) ifname(i uint32) string {
	e.ifnames.mu.Lock()
	defer e.ifnames.mu.Unlock()
	n, ok := e.ifnames.m[i]
	if ok {
		return n
	}
	if l, err := net.InterfaceByIndex(int(i)); err == nil {
		n = l.Name
	}
	if e.ifnames.m == nil {
		e.ifnames.m = make(map[uint32]string)
	}
	e.ifnames.m[i] = n
	return n
}
