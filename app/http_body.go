package app

// beginBody prepares for the body of a message, whose headers are complete.
func (p *http1) beginBody(c *Conn, d Dir, t *HTTPTx) {
	if d == ToServer {
		t.bodyKind = bodyPlain
		switch t.kind {
		case methodPost:
			t.bodyKind = bodyFile
			ct, _ := t.msg[ToServer].value(hdrContentType)
			switch ok, bad := t.multi.begin(ct); {
			case ok:
				t.bodyKind = bodyMultipart
			case bad:
				t.bodyKind = bodyPlain
			}
		case methodPut:
			t.bodyKind = bodyFile
		}
	}
	if p.dec[d] != nil {
		p.dec[d].release(c.env)
		p.dec[d] = nil
	}
	ce, ok := t.msg[d].value(hdrContentEnc)
	if ok && c.http().DecompressLayers > 0 {
		p.dec[d] = newDecoderChain(c.env, c.http(), t, d, ce)
	}
}

// bodyData takes bytes of a body without framing.
func (p *http1) bodyData(c *Conn, d Dir, t *HTTPTx, data []byte) {
	if len(data) == 0 || t == nil {
		return
	}
	t.wire[d] += uint64(len(data))
	if p.dec[d] != nil && p.dec[d].tx == t {
		p.dec[d].push(c.env, data)
		return
	}
	t.bodyAdd(d, data, c.http().bodyLimit(d))
}

// bodyLimit is how many bytes of a body in direction d are kept.
func (h *HTTPConfig) bodyLimit(d Dir) int {
	if d == ToServer {
		return h.RequestBodyLimit
	}
	return h.ResponseBodyLimit
}

// bodyAdd takes decoded bytes of a body.
func (t *HTTPTx) bodyAdd(d Dir, data []byte, limit int) {
	if len(data) == 0 {
		return
	}
	b := &t.body[d]
	kind := t.bodyKind
	if d == ToClient {
		kind = bodyFile
		if t.h2 == nil && t.From == ToServer && (t.kind == methodConnect || !t.uriRaw.present) {
			return // a request without a path has no response that is looked into
		}
	}
	if kind == bodyFile && t.fileOpen&(1<<d) == 0 {
		t.fileOpen |= 1 << d
		t.openFile(d)
	}
	if t.h2 != nil {
		// Files of HTTP/2 are known whole, however little of them is kept.
		room := min(len(data), max(0, limit-len(b.Data)))
		b.add(data[:room], limit)
		b.Lost += uint64(len(data) - room)
		return
	}
	if len(b.Data) >= limit {
		// What is kept is complete.
		if b.Truncated = true; kind == bodyFile {
			b.Done = true
		}
		return
	}
	if room := limit - len(b.Data); len(data) > room {
		data, b.Truncated = data[:room], true
	}
	b.add(data, limit)
	b.Hashed = false // sums of less than this, if any
	if kind == bodyMultipart {
		t.multi.push(t, data, limit)
	}
}

// bodyReset forgets what a body gave so far: it was decoded wrongly.
func (t *HTTPTx) bodyReset(d Dir) {
	b := &t.body[d].Body
	b.Data, b.Total = b.Data[:0], 0
	if d == ToServer && t.bodyKind == bodyMultipart {
		t.multi.restart()
		k := 0
		for _, f := range t.Files {
			if f.Dir != ToServer {
				t.Files[k] = f
				k++
			}
		}
		t.Files = t.Files[:k]
	}
}

// openFile makes the body of direction d a file.
func (t *HTTPTx) openFile(d Dir) {
	f := &t.body[d]
	f.Dir = d
	f.Name = f.Name[:0]
	if v, ok := t.msg[d].value(hdrContentDisp); ok {
		if n, ok := paramValue(v, "filename="); ok {
			f.Name = append(f.Name, n...)
		}
	}
	if t.h2 != nil {
		f.Name = f.Name[:0] // files of HTTP/2 have no names
	} else if len(f.Name) == 0 {
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
	if t.From == ToClient && t.h2 == nil {
		return []byte(notSeen)
	}
	return t.uri[:t.pathLen]
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

// bodyGap notes that n bytes of a body are lost. They count for its file; what
// rules see of the body goes on behind them.
func (p *http1) bodyGap(c *Conn, d Dir, t *HTTPTx, n uint64) {
	if t == nil || n == 0 {
		return
	}
	b := &t.body[d]
	if (d == ToClient || t.bodyKind == bodyFile) && t.fileOpen&(1<<d) == 0 {
		t.fileOpen |= 1 << d
		t.openFile(d)
	}
	b.Gaps, b.Truncated = true, true
	b.Lost += n
	t.wire[d] += n
	if p.dec[d] != nil && p.dec[d].tx == t {
		p.dec[d].broken = true // nothing can be decompressed behind a gap
	}
}

// bodyDone ends the body of direction d.
func (p *http1) bodyDone(c *Conn, d Dir, t *HTTPTx) {
	if t == nil {
		return
	}
	if x := p.dec[d]; x != nil && x.tx == t {
		x.finish(c.env)
		x.release(c.env)
		p.dec[d] = nil
	}
	if d == ToServer && t.bodyKind == bodyMultipart {
		t.multi.finish(t, c.http().RequestBodyLimit)
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
