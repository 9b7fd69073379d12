package detect

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/garita/garita/app"
	"github.com/garita/garita/rule"
)

// Keywords on files that transactions carry.

func addFileKeywords(m map[string]keyword) {
	m["filename"] = keyword{parse: kwFilename, value: needs}
	m["fileext"] = keyword{parse: kwFileext, value: needs}
	m["filesize"] = keyword{parse: kwFilesize, value: needs}
	m["filemd5"] = keyword{parse: kwFileHash, value: needs}
	m["filesha1"] = keyword{parse: kwFileHash, value: needs}
	m["filesha256"] = keyword{parse: kwFileHash, value: needs}
	m["filemagic"] = keyword{parse: kwFilemagic, value: needs}
	m["filestore"] = keyword{parse: kwFilestore, value: optional}
}

// fileProtos are the protocols that carry files.
const fileProtos = app.ProtoSet(1<<app.HTTP1 | 1<<app.HTTP2 | 1<<app.SMTP | 1<<app.FTPData | 1<<app.SMB | 1<<app.NFS)

func (b *builder) fileCond(c txCond) {
	dirs := app.DirSet(app.DirBoth)
	for i := range b.appConds {
		if b.appConds[i].file {
			b.appConds[i].conds = append(b.appConds[i].conds, c)
			return
		}
	}
	b.appConds = append(b.appConds, condList{conds: []txCond{c}, dirs: dirs, protos: fileProtos, file: true})
}

func kwFilename(b *builder, v string) error {
	neg, _, text, off := rule.Quoted(v) // the quotes may be missing
	p, err := rule.Content(text)
	if err != nil {
		return b.errValue(off, err)
	}
	b.fileCond(txCond{op: txFileName, name: string(lowered(p)), neg: neg})
	return nil
}

func kwFileext(b *builder, v string) error {
	neg, _, text, _ := rule.Quoted(v) // the quotes may be missing
	b.fileCond(txCond{op: txFileExt, name: strings.ToLower(text), neg: neg})
	return nil
}

func kwFilesize(b *builder, v string) error {
	r, bad := parseRange(v, 64)
	if bad != "" {
		return b.fail(0, bad, "")
	}
	b.fileCond(txCond{op: txFileSize, num: r})
	return nil
}

func kwFilemagic(b *builder, v string) error {
	neg, text, off, err := b.quoted(v)
	if err != nil {
		return err
	}
	p, err := rule.Content(text)
	if err != nil {
		return b.errValue(off, err)
	}
	b.fileCond(txCond{op: txFileMagic, name: string(lowered(p)), neg: neg})
	return nil
}

// hashSet is a list of file hashes.
type hashSet struct {
	kind string // md5, sha1, sha256
	set  map[string]struct{}
}

// readNear reads a file that a rule names: relative to the rule file, else to
// the data directory.
func (b *builder) readNear(name string) ([]byte, error) {
	if b.c.cfg.ReadFile == nil {
		return nil, b.fail(0, "files cannot be read here", "")
	}
	if filepath.IsAbs(name) {
		data, err := b.c.cfg.ReadFile(name)
		if err != nil {
			return nil, b.fail(0, err.Error(), "")
		}
		return data, nil
	}
	data, err := b.c.cfg.ReadFile(filepath.Join(filepath.Dir(b.r.File), name))
	if err != nil && b.c.cfg.DataDir != "" {
		data, err = b.c.cfg.ReadFile(filepath.Join(b.c.cfg.DataDir, name))
	}
	if err != nil {
		return nil, b.fail(0, err.Error(), "the path is relative to the rule file, or to the data directory")
	}
	return data, nil
}

func kwFileHash(b *builder, v string) error {
	neg := strings.HasPrefix(v, "!")
	data, err := b.readNear(strings.TrimSpace(strings.TrimPrefix(v, "!")))
	if err != nil {
		return err
	}
	h := &hashSet{kind: strings.TrimPrefix(b.o.Name, "file"), set: map[string]struct{}{}}
	size := map[string]int{"md5": 16, "sha1": 20, "sha256": 32}[h.kind]
	sc := bufio.NewScanner(bytes.NewReader(data))
	for n := 1; sc.Scan(); n++ {
		line := strings.TrimSpace(sc.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		if len(line) < 2*size {
			return b.fail(0, "line "+strconv.Itoa(n)+" of the list is no "+h.kind+" sum", "one sum a line, in hex")
		}
		sum, err := hex.DecodeString(line[:2*size])
		if err != nil {
			return b.fail(0, "line "+strconv.Itoa(n)+" of the list is no "+h.kind+" sum", "one sum a line, in hex")
		}
		h.set[string(sum)] = struct{}{}
	}
	b.c.hashes = true
	b.fileCond(txCond{op: txFileHash, hash: h, neg: neg})
	return nil
}

// matchFiles looks for a file of the transaction that meets all conditions of
// a list.
func (w *Worker) matchFiles(cs []txCond, in *Input, b *app.TxBase, d app.Dir, final bool) verdict {
	miss := notYet
	if final {
		miss = never
	}
	for i := 0; ; i++ {
		f := b.FileAt(d, i)
		if f == nil {
			return miss
		}
		all := true
		for j := range cs {
			if !matchFile(&cs[j], f) {
				all = false
				break
			}
		}
		if all {
			return matches
		}
	}
}

func matchFile(c *txCond, f *app.File) bool {
	switch c.op {
	case txFile:
		return true
	case txFileName:
		return f.Name != nil && containsFold(f.Name, c.name) != c.neg
	case txFileExt:
		if f.Name == nil {
			return false
		}
		i := bytes.LastIndexByte(f.Name, '.')
		return i >= 0 && strings.EqualFold(string(f.Name[i+1:]), c.name) != c.neg
	case txFileSize:
		if f.Done && !f.Truncated {
			return c.num.match(f.Size())
		}
		return (c.num.op == numGT || c.num.op == numGE) && c.num.match(f.Size())
	case txFileHash:
		if !f.Hashed {
			return false
		}
		var ok bool
		switch c.hash.kind {
		case "md5":
			_, ok = c.hash.set[string(f.MD5[:])]
		case "sha1":
			_, ok = c.hash.set[string(f.SHA1[:])]
		default:
			_, ok = c.hash.set[string(f.SHA256[:])]
		}
		return ok != c.neg
	case txFileMagic:
		m := magic(f.Data, f.Done)
		return m != "" && containsFold([]byte(m), c.name) != c.neg
	}
	return false
}

// containsFold: low is in lower case.
func containsFold(b []byte, low string) bool {
	for i := 0; i+len(low) <= len(b); i++ {
		j := 0
		for ; j < len(low); j++ {
			c := b[i+j]
			if c-'A' < 26 {
				c |= 0x20
			}
			if c != low[j] {
				break
			}
		}
		if j == len(low) {
			return true
		}
	}
	return false
}
