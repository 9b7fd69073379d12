package eve

import (
	"github.com/garita/garita/app"
	"github.com/garita/garita/packet"
)

// Tx writes the record of a transaction that is complete. p is the packet that
// completed it; the addresses of the record are the flow's.
func (l *Logger) Tx(p *packet.Packet, f *FlowInfo, tx app.Tx) {}

// appObject adds the object that describes a transaction, named after its
// protocol.
func (l *Logger) appObject(o *object, tx app.Tx) {}
