package eve

import (
	"bytes"
	"strconv"

	"github.com/garita/garita/app"
	"github.com/garita/garita/packet"
)

// Sums is a set of sums of files.
type Sums uint8

// Sums.
const (
	MD5 Sums = 1 << iota
	SHA1
	SHA256
)

// fileInfo writes the record of a file that ended, by itself or with its flow.
func (l *Logger) fileInfo(p *packet.Packet, f *FlowInfo, tx app.Tx, file *app.File) {
	if l.Wants(FileInfo) {
		l.fileRecord(p, f, tx, file)
		l.end()
	}
}

// FileInfo is the record of a file by itself, without the end of the line; nil
// if there is no Logger. It is the caller's.
func (l *Logger) FileInfo(p *packet.Packet, f *FlowInfo, tx app.Tx, file *app.File) []byte {
	if l == nil {
		return nil
	}
	l.fileRecord(p, f, tx, file)
	l.o.close()
	b := bytes.Clone(l.o.b[l.at+len(l.cfg.Prefix):])
	l.o.b = l.o.b[:l.at]
	return b
}

func (l *Logger) fileRecord(p *packet.Packet, f *FlowInfo, tx app.Tx, file *app.File) {
	of := toServerOf
	if file.Dir == app.ToClient {
		of = toClientOf
	}
	o := l.beginXFF("fileinfo", p, f, of, &l.cfg.FileXFF, tx)
	if _, ok := tx.(*app.FTPDataTx); !ok && inAlerts(tx) {
		l.txObject(o, tx)
	}
	l.appProto(o, f)
	o.open("fileinfo")
	l.fileFields(o, file, tx, l.ending())
	o.close()
}

// partial says whether a file is a range of a larger one.
func partial(tx app.Tx, f *app.File) bool {
	if t, ok := tx.(*app.HTTPTx); ok && f.Dir == app.ToClient {
		_, ok := t.HeaderByName(app.ToClient, "content-range")
		return ok
	}
	return false
}

// fileFields describes a file. A file that is not complete when its flow ends
// stays so.
func (l *Logger) fileFields(o *object, f *app.File, tx app.Tx, end bool) {
	o.text("filename", f.Name)
	if len(f.Sids) > 0 {
		o.openArray("sid")
		for _, s := range f.Sids {
			o.item()
			o.b = strconv.AppendUint(o.b, uint64(s), 10)
		}
		o.closeArray()
	}
	o.bool("gaps", f.Gaps)
	switch {
	case f.Truncated || f.Gaps && f.Done:
		o.str("state", "TRUNCATED")
	case f.Done:
		o.str("state", "CLOSED")
	case end:
		o.str("state", "TRUNCATED")
	default:
		o.str("state", "UNKNOWN")
	}
	if f.Hashed {
		if l.cfg.Sums == 0 || l.cfg.Sums&MD5 != 0 {
			o.hex("md5", f.MD5[:])
		}
		if l.cfg.Sums == 0 || l.cfg.Sums&SHA1 != 0 {
			o.hex("sha1", f.SHA1[:])
		}
		if l.cfg.Sums == 0 || l.cfg.Sums&SHA256 != 0 {
			o.hex("sha256", f.SHA256[:])
		}
	} else if f.ID != 0 {
		o.hex("sha256", f.SHA256[:]) // of what is kept
	}
	o.bool("stored", f.ID != 0)
	if f.ID != 0 {
		o.uint("file_id", uint64(f.ID))
	} else if f.Store {
		o.bool("storing", true)
	}
	o.uint("size", f.Size())
	if partial(tx, f) && f.Size() > 0 {
		o.uint("start", f.Start)
		o.uint("end", f.Start+f.Size()-1)
	}
	o.uint("tx_id", tx.Base().ID)
}
