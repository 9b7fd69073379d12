package app

// beginBody prepares for the body of a message, whose headers are complete.
func (p *http1) beginBody(c *Conn, d Dir, t *HTTPTx) {
	if d == ToServer {
		t.bodyKind = bodyPlain
		switch t.kind {
		case methodPost:
			t.bodyKind = bodyFile
			if ct, ok := t.msg[ToServer].value(hdrContentType); ok && t.multi.begin(ct) {
				t.bodyKind = bodyMultipart
			}
		case methodPut:
			t.bodyKind = bodyFile
		}
		return
	}
	if p.dec != nil {
		p.dec.release(c.env)
		p.dec = nil
	}
	ce, ok := t.msg[ToClient].value(hdrContentEnc)
	if ok && c.env.Config.HTTP.DecompressLayers > 0 {
		p.dec = newDecoderChain(c.env, t, ce)
	}
}

// bodyData takes bytes of a body without framing.
func (p *http1) bodyData(c *Conn, d Dir, t *HTTPTx, data []byte) {
	if len(data) == 0 || t == nil {
		return
	}
	cfg := &c.env.Config.HTTP
	b := &t.body[d]
	if d == ToServer {
		if t.bodyKind == bodyFile && b.Total == 0 {
			t.openFile(d)
		}
		b.add(data, cfg.RequestBodyLimit)
		if t.bodyKind == bodyMultipart {
			t.multi.push(t, data, cfg.RequestBodyLimit)
		}
		return
	}
	if b.Total == 0 && len(t.Files) == 0 || t.FileAt(ToClient, 0) == nil {
		t.openFile(d)
	}
	if p.dec != nil && p.dec.tx == t {
		p.dec.push(c.env, data)
		return
	}
	b.add(data, cfg.ResponseBodyLimit)
}

// openFile makes the body of direction d a file.
func (t *HTTPTx) openFile(d Dir) {
	f := &t.body[d]
	f.Dir = d
	f.Name = f.Name[:0]
	if v, ok := t.msg[d].value(hdrContentDisp); ok {
		if n, ok := dispositionName(v); ok {
			f.Name = append(f.Name, n...)
		}
	}
	if len(f.Name) == 0 {
		f.Name = append(f.Name, t.uriPath()...)
	}
	if d == ToClient {
		if v, ok := t.msg[d].value(hdrContentRange); ok {
			start, ok := rangeStart(v)
			if !ok {
				t.event("range_invalid")
			}
			f.Start = start
		}
	}
	t.Files = append(t.Files, f)
}

// uriPath is http.uri up to the query.
func (t *HTTPTx) uriPath() []byte {
	for i, b := range t.uri {
		if b == '?' || b == '#' {
			return t.uri[:i]
		}
	}
	return t.uri
}

// rangeStart reads the first position of "bytes 0-99/1000".
func rangeStart(v []byte) (uint64, bool) {
	i := 0
	for i < len(v) && (v[i] < '0' || v[i] > '9') {
		i++
	}
	if i == len(v) {
		return 0, indexFold(v, "*/") >= 0
	}
	n := uint64(0)
	for ; i < len(v) && v[i] >= '0' && v[i] <= '9'; i++ {
		if n > 1<<60 {
			return 0, false
		}
		n = n*10 + uint64(v[i]-'0')
	}
	return n, i < len(v) && v[i] == '-'
}

// bodyGap notes that n bytes of a body are lost. What comes behind keeps its
// place: zeros stand for the bytes, as far as bytes are kept.
func (p *http1) bodyGap(c *Conn, d Dir, t *HTTPTx, n uint64) {
	if t == nil {
		return
	}
	b := &t.body[d]
	b.Gaps, b.Truncated = true, true
	if d == ToClient && p.dec != nil && p.dec.tx == t {
		p.dec.broken = true // nothing can be decompressed behind a gap
		return
	}
	limit := c.env.Config.HTTP.RequestBodyLimit
	if d == ToClient {
		limit = c.env.Config.HTTP.ResponseBodyLimit
	}
	for n > 0 && len(b.Data) < limit {
		k := min(n, uint64(len(zeros)))
		b.add(zeros[:k], limit)
		n -= k
	}
	b.Total += n
}

var zeros [512]byte

// bodyDone ends the body of direction d, once.
func (p *http1) bodyDone(c *Conn, d Dir, t *HTTPTx) {
	if t == nil || t.body[d].Done {
		if t != nil && d == ToClient && t.body[d].Done {
			t.finishFiles(c.env, d)
		}
		return
	}
	if d == ToClient && p.dec != nil && p.dec.tx == t {
		p.dec.finish(c.env)
		p.dec.release(c.env)
		p.dec = nil
	}
	if d == ToServer && t.bodyKind == bodyMultipart {
		t.multi.finish(t, c.env.Config.HTTP.RequestBodyLimit)
	}
	t.body[d].Done = true
	t.reach(d, StageBody)
	t.finishFiles(c.env, d)
}

// finishFiles closes the files of a direction.
func (t *HTTPTx) finishFiles(e *Env, d Dir) {
	for _, f := range t.Files {
		if f.Dir == d {
			e.closeFile(f)
		}
	}
}
