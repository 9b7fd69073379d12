package app

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
)

// closeFile ends a file, with its sums if they are wanted and it was kept
// whole.
func (e *Env) closeFile(f *File) {
	f.Done = true
	if f.Total > uint64(len(f.Data)) || f.Gaps {
		f.Truncated = true
	}
	if e.Config.HashFiles && !f.Truncated && f.Lost == 0 && !f.Hashed {
		f.MD5 = md5.Sum(f.Data)
		f.SHA1 = sha1.Sum(f.Data)
		f.SHA256 = sha256.Sum256(f.Data)
		f.Hashed = true
	}
}
