package app

import (
	"encoding/binary"
	"math/bits"
)

// inflater decodes DEFLATE (RFC 1951) as its input arrives: bytes are pushed,
// in any pieces, and it stops where they end without losing its place. The
// standard library's decoder pulls from a Reader and cannot be
// continued after it ran dry.
type inflater struct {
	in   []byte // input not consumed yet: at most one block header
	hold uint64 // bits of the last byte that are not used yet, lowest first
	nb   uint   // how many, less than 8

	state   inflState
	final   bool
	stored  int // bytes left of a stored block
	lit     huffman
	dist    huffman
	lengths [320]uint8

	win  [32768]byte
	wpos int  // next byte of the window to write
	full bool // the window has wrapped
}

type inflState uint8

const (
	inflHeader inflState = iota
	inflStored
	inflCodes
	inflDone
	inflBad
)

// reset prepares for a new stream.
func (z *inflater) reset() {
	z.in = z.in[:0]
	z.hold, z.nb = 0, 0
	z.state, z.final, z.stored = inflHeader, false, 0
	z.wpos, z.full = 0, false
}

// bitReader is a position in the input that can be thrown away when the
// input ends within something that has to be read as a whole.
type bitReader struct {
	p    []byte
	pos  int
	hold uint64
	nb   uint
	dry  bool
}

func (b *bitReader) fill(n uint) bool {
	for b.nb < n {
		if b.pos >= len(b.p) {
			b.dry = true
			return false
		}
		b.hold |= uint64(b.p[b.pos]) << b.nb
		b.pos++
		b.nb += 8
	}
	return true
}

// ahead takes what there is, up to 56 bits.
func (b *bitReader) ahead() {
	if b.pos+8 <= len(b.p) {
		n := (63 - b.nb) / 8
		b.hold |= binary.LittleEndian.Uint64(b.p[b.pos:]) & (1<<(n*8) - 1) << b.nb
		b.pos += int(n)
		b.nb += n * 8
		return
	}
	for b.nb <= 48 && b.pos < len(b.p) {
		b.hold |= uint64(b.p[b.pos]) << b.nb
		b.pos++
		b.nb += 8
	}
}

func (b *bitReader) take(n uint) uint32 {
	if !b.fill(n) {
		return 0
	}
	v := uint32(b.hold & (1<<n - 1))
	b.hold >>= n
	b.nb -= n
	return v
}

// push decodes more input and appends what it yields to dst, until dst has
// limit bytes; what comes behind is decoded no further. rest is the input
// behind the end of the stream.
func (z *inflater) push(dst, data []byte, limit int) (out, rest []byte) {
	if len(z.in) > 0 {
		z.in = append(z.in, data...)
		data = z.in
	}
	b := bitReader{p: data, hold: z.hold, nb: z.nb}
	for len(dst) < limit {
		save := b
		var more bool
		switch z.state {
		case inflHeader:
			more = z.header(&b)
			if b.dry {
				b = save
				b.dry = false
				more = false
			}
		case inflStored:
			dst, more = z.copyStored(dst, &b)
		case inflCodes:
			dst, more = z.codes(dst, &b, limit)
		default:
			more = false
		}
		if !more {
			break
		}
	}
	if z.state == inflDone {
		rest = b.p[b.pos-int(b.nb/8):]
		z.in = z.in[:0]
		z.hold, z.nb = 0, 0
		return dst, rest
	}
	// Whole bytes that were taken ahead go back: they are in p always.
	left := b.p[b.pos-int(b.nb/8):]
	z.nb = b.nb % 8
	z.hold = b.hold & (1<<z.nb - 1)
	z.in = append(z.in[:0], left...) // moves down when left is part of z.in
	return dst, nil
}

// header reads the beginning of a block; false without b.dry means that the
// stream is at its end or broken.
func (z *inflater) header(b *bitReader) bool {
	if z.final {
		z.state = inflDone
		return false
	}
	fin := b.take(1) == 1
	typ := b.take(2)
	if b.dry {
		return false
	}
	switch typ {
	case 0:
		skip := b.nb % 8
		b.hold >>= skip
		b.nb -= skip
		n := b.take(16)
		inv := b.take(16)
		if b.dry {
			return false
		}
		if n != ^inv&0xffff {
			z.state = inflBad
			return false
		}
		z.stored = int(n)
		z.state = inflStored
	case 1:
		for i := range 288 {
			switch {
			case i < 144:
				z.lengths[i] = 8
			case i < 256:
				z.lengths[i] = 9
			case i < 280:
				z.lengths[i] = 7
			default:
				z.lengths[i] = 8
			}
		}
		z.lit.build(z.lengths[:288])
		for i := range 32 { // 30 and 31 have a code and no meaning
			z.lengths[i] = 5
		}
		z.dist.build(z.lengths[:32])
		z.state = inflCodes
	case 2:
		if !z.dynamic(b) {
			if !b.dry {
				z.state = inflBad
			}
			return false
		}
		z.state = inflCodes
	default:
		z.state = inflBad
		return false
	}
	z.final = fin
	return true
}

var codeOrder = [19]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

func (z *inflater) dynamic(b *bitReader) bool {
	nlit := int(b.take(5)) + 257
	ndist := int(b.take(5)) + 1
	ncode := int(b.take(4)) + 4
	if b.dry || nlit > 286 || ndist > 30 {
		return false
	}
	var cl [19]uint8
	for i := range ncode {
		cl[codeOrder[i]] = uint8(b.take(3))
	}
	if b.dry {
		return false
	}
	var code huffman
	if !code.build(cl[:]) {
		return false
	}
	for i := 0; i < nlit+ndist; {
		s := code.next(b)
		if s < 0 {
			return false
		}
		if s < 16 {
			z.lengths[i] = uint8(s)
			i++
			continue
		}
		var rep int
		var v uint8
		switch s {
		case 16:
			if i == 0 {
				return false
			}
			v = z.lengths[i-1]
			rep = 3 + int(b.take(2))
		case 17:
			rep = 3 + int(b.take(3))
		default:
			rep = 11 + int(b.take(7))
		}
		if b.dry || i+rep > nlit+ndist {
			return false
		}
		for range rep {
			z.lengths[i] = v
			i++
		}
	}
	if z.lengths[256] == 0 {
		return false
	}
	return z.lit.build(z.lengths[:nlit]) && z.dist.build(z.lengths[nlit:nlit+ndist])
}

func (z *inflater) copyStored(dst []byte, b *bitReader) ([]byte, bool) {
	for z.stored > 0 && b.nb >= 8 {
		c := byte(b.hold)
		b.hold >>= 8
		b.nb -= 8
		dst = z.emit(dst, c)
		z.stored--
	}
	for z.stored > 0 && b.pos < len(b.p) {
		n := min(z.stored, len(b.p)-b.pos, len(z.win)-z.wpos)
		p := b.p[b.pos : b.pos+n]
		copy(z.win[z.wpos:], p)
		if z.wpos += n; z.wpos == len(z.win) {
			z.wpos, z.full = 0, true
		}
		dst = append(dst, p...)
		b.pos += n
		z.stored -= n
	}
	if z.stored > 0 {
		return dst, false
	}
	z.state = inflHeader
	return dst, true
}

func (z *inflater) emit(dst []byte, c byte) []byte {
	z.win[z.wpos] = c
	if z.wpos++; z.wpos == len(z.win) {
		z.wpos, z.full = 0, true
	}
	return append(dst, c)
}

var (
	lenBase   = [29]uint16{3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258}
	lenExtra  = [29]uint8{0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0}
	distBase  = [30]uint16{1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577}
	distExtra = [30]uint8{0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13}
)

// codes decodes symbols until the block ends, the input does or dst is long
// enough.
func (z *inflater) codes(dst []byte, b *bitReader, limit int) ([]byte, bool) {
	for len(dst) < limit {
		if b.nb < 48 {
			b.ahead()
		}
		// Literals that are surely there need no way back.
		if e := z.lit.fast[b.hold&(1<<fastBits-1)]; e != 0 && e < 256<<4 && b.nb >= fastBits {
			b.hold >>= e & 15
			b.nb -= uint(e & 15)
			dst = z.emit(dst, byte(e>>4))
			continue
		}
		save := *b
		s := z.lit.next(b)
		switch {
		case s < 0:
			if b.dry {
				*b = save
				return dst, false
			}
			z.state = inflBad
			return dst, false
		case s < 256:
			dst = z.emit(dst, byte(s))
			continue
		case s == 256:
			z.state = inflHeader
			return dst, true
		case s > 285:
			z.state = inflBad
			return dst, false
		}
		n := int(lenBase[s-257]) + int(b.take(uint(lenExtra[s-257])))
		ds := -1
		if !b.dry {
			ds = z.dist.next(b)
		}
		if ds < 0 || ds > 29 {
			if b.dry {
				*b = save
				return dst, false
			}
			z.state = inflBad
			return dst, false
		}
		d := int(distBase[ds]) + int(b.take(uint(distExtra[ds])))
		if b.dry {
			*b = save
			return dst, false
		}
		if d > z.wpos && !z.full {
			z.state = inflBad // reaches before the beginning
			return dst, false
		}
		src := (z.wpos - d) & (len(z.win) - 1)
		for n > 0 {
			// A piece that wraps nowhere and does not read what it writes.
			k := min(n, d, len(z.win)-src, len(z.win)-z.wpos)
			copy(z.win[z.wpos:z.wpos+k], z.win[src:src+k])
			dst = append(dst, z.win[z.wpos:z.wpos+k]...)
			src = (src + k) & (len(z.win) - 1)
			if z.wpos += k; z.wpos == len(z.win) {
				z.wpos, z.full = 0, true
			}
			n -= k
		}
	}
	return dst, true
}

// huffman is a canonical code: a table for codes up to fastBits long, counting
// for longer ones.
type huffman struct {
	fast   [1 << fastBits]uint16 // symbol<<4 | length; 0: longer, or no code
	count  [16]uint16
	symbol [288]uint16
}

const fastBits = 9

// build makes the code of the given lengths. An incomplete code is accepted
// where zlib does so (a single code, or none); an oversubscribed one never.
func (h *huffman) build(lengths []uint8) bool {
	h.count = [16]uint16{}
	for _, l := range lengths {
		h.count[l]++
	}
	h.count[0] = 0
	left, used := 1, 0
	for l := 1; l < 16; l++ {
		left = left<<1 - int(h.count[l])
		used += int(h.count[l])
		if left < 0 {
			return false
		}
	}
	if left > 0 && used > 1 {
		return false
	}
	var offs [16]uint16
	var code [16]uint16
	c := uint16(0)
	for l := 1; l < 16; l++ {
		if l < 15 {
			offs[l+1] = offs[l] + h.count[l]
		}
		code[l] = c
		c = (c + h.count[l]) << 1
	}
	clear(h.fast[:])
	for s, l := range lengths {
		if l == 0 {
			continue
		}
		h.symbol[offs[l]] = uint16(s)
		offs[l]++
		if l <= fastBits {
			r := bits.Reverse16(code[l]) >> (16 - l)
			for i := int(r); i < len(h.fast); i += 1 << l {
				h.fast[i] = uint16(s)<<4 | uint16(l)
			}
		}
		code[l]++
	}
	return true
}

// next decodes one symbol; -1 if the input ends (b.dry) or no code fits.
func (h *huffman) next(b *bitReader) int {
	if b.nb < 15 {
		b.ahead() // without calling it dry: a short code may do
	}
	if e := h.fast[b.hold&(1<<fastBits-1)]; e != 0 && uint(e&15) <= b.nb {
		n := uint(e & 15)
		b.hold >>= n
		b.nb -= n
		return int(e >> 4)
	}
	code, first, index := 0, 0, 0
	for l := uint(1); l <= 15; l++ {
		if l > b.nb {
			b.dry = true
			return -1
		}
		code |= int(b.hold >> (l - 1) & 1)
		n := int(h.count[l])
		if code-n < first {
			b.hold >>= l
			b.nb -= l
			return int(h.symbol[index+code-first])
		}
		index += n
		first = (first + n) << 1
		code <<= 1
	}
	return -1
}
