package detect

import (
	"slices"
	"strconv"

	"github.com/garita/garita/app"
)

// storeScope is what of a flow filestore keeps.
type storeScope = uint32

const (
	storeMatched storeScope = iota // the files that matched, in the directions
	storeFile                      // the files that matched
	storeTx                        // all files of the transaction, in the directions
	storeFlow                      // all files of the flow from here on, in the directions
)

// kwFilestore asks that files be kept: the one that matched, or all of a
// direction of the transaction or the flow.
func kwFilestore(b *builder, v string) error {
	if !b.c.cfg.StoresFiles {
		b.c.warn(b.fail(0, "files are not stored", "the rule alerts all the same; the output file-store is not on"))
	}
	e := effect{op: effStore, a: uint32(app.DirBoth)}
	var f []string
	if v != "" {
		f = fields(v)
	}
	if len(f) > 2 {
		return b.fail(0, "too many values", "write filestore:request,tx")
	}
	for i, w := range f {
		d, isDir := map[string]app.DirSet{
			"request": app.DirTS, "to_server": app.DirTS, "response": app.DirTC, "to_client": app.DirTC, "both": app.DirBoth,
		}[w]
		scope, isScope := map[string]storeScope{"file": storeFile, "tx": storeTx, "ssn": storeFlow, "flow": storeFlow}[w]
		switch {
		case i == 0 && isDir:
			e.a = uint32(d)
		case i == 1 && isScope:
			e.b = scope
		default:
			return b.fail(0, "unknown word "+strconv.Quote(w), "a direction (request, response, both) and then a scope (file, tx, ssn)")
		}
	}
	b.s.post = append(b.s.post, e)
	b.fileCond(txCond{op: txFile})
	return nil
}

// storeFiles marks what a filestore that matched asks for.
func storeFiles(e *effect, s *sig, in *Input, tx app.Tx) {
	if tx == nil {
		return
	}
	b, dirs, this := tx.Base(), app.DirSet(e.a), false
	switch e.b {
	case storeMatched:
		this = dirs.Has(in.Dir)
	case storeFile:
		this = true
	case storeTx:
		b.Store |= dirs
	case storeFlow:
		b.Store |= dirs
		if in.Flow != nil {
			in.Flow.Store |= dirs
		}
	}
	for i := 0; ; i++ {
		f := b.FileAt(in.Dir, i)
		if f == nil {
			return
		}
		if !s.matchesFile(f, in.Dir) {
			continue
		}
		f.Store = f.Store || this
		if !slices.Contains(f.Sids, s.info.Sid) {
			f.Sids = append(f.Sids, s.info.Sid)
		}
	}
}

// matchesFile says whether f meets all that s asks of files themselves.
func (s *sig) matchesFile(f *app.File, d app.Dir) bool {
	for i := range s.engines[d] {
		e := &s.engines[d][i]
		if !e.file {
			continue
		}
		for j := range e.conds {
			if !matchFile(&e.conds[j], f) {
				return false
			}
		}
	}
	return true
}
