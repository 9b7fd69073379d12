package app

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"

	"github.com/andybalholm/brotli"
	"github.com/ulikunitz/xz/lzma"
)

type coding uint8

const (
	codGzip coding = iota
	codDeflate
	codBrotli
	codLZMA
)

// retryWindow is how many bytes of a compressed body are kept for another
// attempt when it turns out not to be what its headers say.
const retryWindow = 32 << 10

// decoderChain undoes the content encodings of a body, one layer behind the
// other, and appends what comes out to the body of its transaction.
type decoderChain struct {
	cfg    *HTTPConfig
	tx     *HTTPTx
	dir    Dir
	layers []*decoder
	broken bool // give no more
	bufs   [2][]byte
	limit  int
}

// decoder undoes one content encoding. What a body is, it says itself more
// reliably than its headers do: if the announced encoding fails, the decoder
// begins again with the next one it might be, in the end with none.
type decoder struct {
	kind    coding
	attempt int
	mode    decMode
	state   decState
	head    []byte // bytes of a header or trailer that is not complete
	raw     []byte // what was pushed so far, for another attempt
	kept    bool   // raw is complete
	out     uint64 // bytes given out in this attempt
	zlib    bool   // modeAuto: the header is one of zlib
	sum     uint32 // CRC of the gzip member so far
	size    uint32 // and how much it gave
	checked bool   // the trailer was compared
	badSum  bool   // it did not match
	badHead bool   // the header is not as it should be
	inf     *inflater
	br      *brotli.Reader
	src     feedReader
	lz      []byte // LZMA: all compressed bytes
	lzNext  int    // decode again when there are so many
}

type decMode uint8

const (
	modeAuto decMode = iota // gzip or zlib, by its header
	modeRaw
	modeBrotli
	modeLZMA
	modePass
)

type decState uint8

const (
	dsHead decState = iota
	dsData
	dsTail
	dsEnd
	dsFailed
)

// feedReader hands pushed bytes to a decoder that pulls.
type feedReader struct{ p []byte }

func (f *feedReader) Read(b []byte) (int, error) {
	if len(f.p) == 0 {
		return 0, io.ErrNoProgress
	}
	n := copy(b, f.p)
	f.p = f.p[n:]
	return n, nil
}

// newDecoderChain makes the layers that a Content-Encoding names; nil if it
// names none that is known.
func newDecoderChain(e *Env, cfg *HTTPConfig, t *HTTPTx, d Dir, ce []byte) *decoderChain {
	var ch *decoderChain
	if n := len(e.chains); n > 0 {
		ch = e.chains[n-1]
		e.chains[n-1] = nil
		e.chains = e.chains[:n-1]
	} else {
		ch = new(decoderChain)
	}
	*ch = decoderChain{tx: t, dir: d, cfg: cfg, limit: cfg.bodyLimit(d), layers: ch.layers[:0], bufs: ch.bufs}
	n := 0
	for v := ce; len(v) > 0; {
		if v = bytes.TrimLeft(v, " \t"); len(v) == 0 {
			break
		}
		tok := v
		if i := bytes.IndexAny(v, ", "); i >= 0 {
			tok, v = v[:i], v[i+1:]
		} else {
			v = nil
		}
		if len(tok) == 0 {
			continue
		}
		if n++; n > cfg.DecompressLayers {
			t.event("too_many_encoding_layers")
			break
		}
		var k coding
		exact := true
		switch {
		case indexFoldNUL(tok, "gzip") >= 0:
			k, exact = codGzip, equalFold(tok, "gzip") || equalFold(tok, "x-gzip") || bytes.IndexByte(tok, 0) >= 0
		case indexFoldNUL(tok, "deflate") >= 0:
			k, exact = codDeflate, equalFold(tok, "deflate") || equalFold(tok, "x-deflate") || bytes.IndexByte(tok, 0) >= 0
		case equalFold(tok, "br"):
			// Suricata knows it in HTTP/2 alone and calls it odd elsewhere;
			// browsers read it anywhere, so what it hides is looked at.
			k, exact = codBrotli, t.h2 != nil
		case indexFoldNUL(tok, "lzma") >= 0:
			if !cfg.LZMA {
				continue
			}
			k = codLZMA
		case equalFold(tok, "inflate"), equalFold(tok, "none"):
			continue
		default:
			t.eventAgain("abnormal_ce_header")
			continue
		}
		if !exact {
			t.event("abnormal_ce_header")
		}
		ch.layers = append(ch.layers, e.newDecoder(k))
	}
	if len(ch.layers) == 0 {
		ch.release(e)
		return nil
	}
	return ch
}

func (e *Env) newDecoder(k coding) *decoder {
	var x *decoder
	if n := len(e.decoders); n > 0 {
		x = e.decoders[n-1]
		e.decoders[n-1] = nil
		e.decoders = e.decoders[:n-1]
	} else {
		x = new(decoder)
	}
	x.kind = k
	x.restart()
	x.attempt = 0
	x.raw, x.kept = x.raw[:0], true
	x.choose()
	return x
}

// choose sets the mode of the present attempt.
func (x *decoder) choose() {
	order := [...][3]decMode{
		codGzip:    {modeAuto, modeRaw, modePass},
		codDeflate: {modeRaw, modeAuto, modePass},
		codBrotli:  {modeBrotli, modePass, modePass},
		codLZMA:    {modeLZMA, modePass, modePass},
	}
	x.mode = order[x.kind][x.attempt]
	x.state = dsHead
	switch x.mode {
	case modeRaw:
		x.startInflate()
		x.state = dsData
	case modeBrotli:
		if x.br == nil {
			x.br = brotli.NewReader(&x.src)
		} else {
			x.br.Reset(&x.src)
		}
		x.state = dsData
	case modeLZMA, modePass:
		x.state = dsData
	}
}

func (x *decoder) startInflate() {
	if x.inf == nil {
		x.inf = new(inflater)
	}
	x.inf.reset()
}

// restart forgets what was decoded.
func (x *decoder) restart() {
	x.head = x.head[:0]
	x.lz = x.lz[:0]
	x.lzNext = 4 << 10
	x.out = 0
	x.src.p = nil
	x.zlib, x.checked, x.badSum, x.badHead, x.sum, x.size = false, false, false, false, 0, 0
}

func (ch *decoderChain) release(e *Env) {
	for _, x := range ch.layers {
		if len(e.decoders) < 32 {
			e.decoders = append(e.decoders, x)
		}
	}
	clear(ch.layers)
	ch.layers = ch.layers[:0]
	ch.tx = nil
	if len(e.chains) < 32 && cap(ch.bufs[0]) < 256<<10 && cap(ch.bufs[1]) < 256<<10 {
		e.chains = append(e.chains, ch)
	}
}

// push takes bytes of the encoded body.
func (ch *decoderChain) push(e *Env, data []byte) {
	body := &ch.tx.body[ch.dir].Body
	if ch.broken {
		return
	}
	if len(body.Data) >= ch.limit {
		ch.tx.bodyAdd(ch.dir, data, ch.limit)
		return
	}
	ch.feed(e, 0, data)
}

// feed gives data to layer i and what comes out to the next.
func (ch *decoderChain) feed(e *Env, i int, data []byte) {
	if i == len(ch.layers) {
		ch.tx.bodyAdd(ch.dir, data, ch.limit)
		return
	}
	x := ch.layers[i]
	if x.kept {
		if len(x.raw)+len(data) <= retryWindow {
			x.raw = append(x.raw, data...)
		} else {
			x.kept = false
			x.raw = x.raw[:0]
		}
	}
	ch.decode(e, i, data)
}

func (ch *decoderChain) decode(e *Env, i int, data []byte) {
	x := ch.layers[i]
	for {
		var out []byte
		if i < len(ch.bufs) {
			out = ch.bufs[i][:0]
		}
		room := ch.limit
		if i == len(ch.layers)-1 {
			room = max(0, ch.limit-len(ch.tx.body[ch.dir].Data))
		}
		room = min(room, 1<<20)
		out, bad := x.push(out, data, room)
		if i < len(ch.bufs) {
			ch.bufs[i] = out
		}
		if bad && x.kept && x.attempt < 2 && !(x.mode == modeAuto && x.out+uint64(len(out)) > 0) {
			// Not what it was taken for: begin again, with nothing given out.
			x.attempt++
			x.restart()
			x.choose()
			for j := i + 1; j < len(ch.layers); j++ {
				y := ch.layers[j]
				y.attempt, y.kept, y.raw = 0, true, y.raw[:0]
				y.restart()
				y.choose()
			}
			ch.tx.bodyReset(ch.dir)
			data = x.raw
			ch.tx.event("gzip_decompression_failed")
			continue
		}
		x.out += uint64(len(out))
		if len(out) > 0 {
			next := i + 1
			if x.mode == modePass {
				next = len(ch.layers) // what is not encoded is not looked into further
			}
			ch.feed(e, next, out)
		}
		if bad {
			x.state = dsFailed
		}
		if bad || x.badSum {
			ch.tx.event("gzip_decompression_failed")
		}
		return
	}
}

// failures is how often libhtp would have failed: each attempt has one of the
// same kind behind it that looks for a header first.
func (ch *decoderChain) failures() (n int) {
	for _, x := range ch.layers {
		n += 2 * x.attempt
		if x.badHead && x.mode == modeAuto {
			n += 2
		}
		if x.badSum || x.state == dsFailed {
			n++
		}
		if x.mode == modePass {
			break
		}
	}
	return n
}

// finish: the encoded body is complete.
func (ch *decoderChain) finish(e *Env) {
	if ch.broken {
		return
	}
	for i := range ch.failures() {
		if i == 0 {
			ch.tx.event("gzip_decompression_failed")
		} else {
			ch.tx.eventAgain("gzip_decompression_failed")
		}
	}
	for i, x := range ch.layers {
		if x.mode == modeLZMA {
			if out, ok := x.unlzma(ch.cfg.LZMAMemLimit, ch.limit); ok && len(out) > int(x.out) {
				ch.feed(e, i+1, out[x.out:])
			}
		}
		if x.mode == modeBrotli && x.state == dsData && len(x.head) > 0 {
			out, bad := x.brotliPiece(nil, x.head, ch.limit)
			x.head = x.head[:0]
			if bad && x.kept {
				x.mode = modePass
				ch.tx.event("gzip_decompression_failed")
				out = x.raw
			}
			if len(out) > 0 {
				ch.feed(e, i+1, out)
			}
		}
		if x.state == dsHead && len(x.head) > 0 && x.kept {
			// Too short to be anything.
			x.mode, x.state = modePass, dsData
			ch.feed(e, i+1, x.head)
		}
	}
}

// push decodes data and appends the result to dst, about limit bytes at most.
// bad: the bytes are not of this encoding.
func (x *decoder) push(dst, data []byte, limit int) (out []byte, bad bool) {
	for {
		switch x.state {
		case dsHead:
			x.head = append(x.head, data...)
			data = nil
			n, zlib, ok, more := zipHeader(x.head)
			if more {
				return dst, false
			}
			if !ok {
				return dst, true
			}
			x.startInflate()
			x.state = dsData
			x.zlib, x.checked, x.sum, x.size = zlib, false, 0, 0
			if !zlib && (x.head[2] != 8 || x.head[3]&0xe0 != 0 ||
				x.head[3]&2 != 0 && binary.LittleEndian.Uint16(x.head[n-2:]) != uint16(crc32.ChecksumIEEE(x.head[:n-2]))) {
				x.badHead = true
			}
			rest := x.head[n:]
			x.head = x.head[:0]
			if len(rest) == 0 {
				return dst, false
			}
			data = rest // x.head is not written to before it is read
			var again []byte
			if dst, again, bad = x.inflate(dst, data, limit); bad || x.state == dsData {
				return dst, bad
			}
			data = again
		case dsData:
			switch x.mode {
			case modePass:
				return append(dst, data...), false
			case modeBrotli:
				return x.unbrotli(dst, data, limit)
			case modeLZMA:
				x.lz = append(x.lz, data...)
				return dst, false
			}
			if dst, data, bad = x.inflate(dst, data, limit); bad || x.state == dsData {
				return dst, bad
			}
		case dsTail:
			// What follows the first member is left alone.
			if x.mode == modeRaw {
				x.state = dsEnd
				return dst, false
			}
			x.head = append(x.head, data...)
			if len(x.head) >= 8 && !x.checked {
				x.checked = true
				x.badSum = x.badSum || !x.zlib && (binary.LittleEndian.Uint32(x.head) != x.sum || binary.LittleEndian.Uint32(x.head[4:]) != x.size)
			}
			if len(x.head) < 8 {
				return dst, false
			}
			x.state = dsEnd
			return dst, false
		default:
			return dst, false
		}
	}
}

func (x *decoder) inflate(dst, data []byte, limit int) (out, rest []byte, bad bool) {
	out, rest = x.inf.push(dst, data, limit)
	if x.mode == modeAuto && !x.zlib {
		x.sum = crc32.Update(x.sum, crc32.IEEETable, out[len(dst):])
		x.size += uint32(len(out) - len(dst))
	}
	switch x.inf.state {
	case inflBad:
		return out, nil, true
	case inflDone:
		x.state = dsTail
	}
	return out, rest, false
}

// zipHeader reads the header of gzip (RFC 1952) or zlib (RFC 1950),
// forgiving what does not matter for decoding.
func zipHeader(p []byte) (n int, zlib, ok, more bool) {
	if len(p) < 2 {
		return 0, false, false, true
	}
	if p[0] != 0x1f || p[1] != 0x8b {
		if p[0]&15 == 8 && (int(p[0])<<8|int(p[1]))%31 == 0 && p[1]&0x20 == 0 {
			return 2, true, true, false
		}
		return 0, false, false, false
	}
	if len(p) < 10 {
		return 0, false, false, true
	}
	flags := p[3]
	n = 10
	if flags&4 != 0 {
		if len(p) < n+2 {
			return 0, false, false, true
		}
		n += 2 + int(p[n]) + int(p[n+1])<<8
	}
	for _, f := range [2]byte{8, 16} { // name, comment
		if flags&f == 0 {
			continue
		}
		if n > len(p) {
			return 0, false, false, true
		}
		i := bytes.IndexByte(p[n:], 0)
		if i < 0 {
			return 0, false, len(p) > 64<<10, len(p) <= 64<<10
		}
		n += i + 1
	}
	if flags&2 != 0 {
		n += 2
	}
	if n > len(p) {
		return 0, false, false, true
	}
	return n, false, true, false
}

// brotliBlock is how many bytes the Brotli decoder gets at a time. It keeps
// back what it decoded before an error, so the pieces it gets may not depend
// on chunks.
const brotliBlock = 64

func (x *decoder) unbrotli(dst, data []byte, limit int) (out []byte, bad bool) {
	for len(dst) < limit && x.state == dsData {
		if len(x.head) == 0 && len(data) >= brotliBlock {
			dst, bad = x.brotliPiece(dst, data[:brotliBlock], limit)
			data = data[brotliBlock:]
		} else {
			n := min(len(data), brotliBlock-len(x.head))
			x.head = append(x.head, data[:n]...)
			data = data[n:]
			if len(x.head) < brotliBlock {
				return dst, false
			}
			dst, bad = x.brotliPiece(dst, x.head, limit)
			x.head = x.head[:0]
		}
		if bad {
			return dst, true
		}
	}
	return dst, false
}

func (x *decoder) brotliPiece(dst, piece []byte, limit int) (out []byte, bad bool) {
	x.src.p = piece
	from := len(dst)
	for len(dst) < limit {
		if cap(dst)-len(dst) < 4096 {
			dst = append(dst, make([]byte, 4096)...)[:len(dst)]
		}
		n, err := x.br.Read(dst[len(dst):cap(dst)])
		dst = dst[:len(dst)+n]
		switch {
		case err == io.ErrNoProgress:
			return dst, false
		case err != nil:
			if len(dst) > from || x.out > 0 || from > 0 {
				x.state = dsEnd // what came so far is good
				return dst, false
			}
			return dst, true
		case n == 0:
			return dst, false
		}
	}
	return dst, false
}

// unlzma decodes all that was collected.
func (x *decoder) unlzma(dict, limit int) ([]byte, bool) {
	r, err := lzma.ReaderConfig{DictCap: max(lzma.MinDictCap, dict)}.NewReader(bytes.NewReader(x.lz))
	if err != nil {
		return nil, false
	}
	out, _ := io.ReadAll(io.LimitReader(r, int64(limit)))
	return out, len(out) > 0
}
