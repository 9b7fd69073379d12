package eve

import "github.com/garita/garita/app"

// appObject adds the object that describes a transaction, named after its
// protocol.
func (l *Logger) appObject(o *object, tx app.Tx) {
	_ = o
	_ = tx
}
