package mpm

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"
)

// gramLen is the number of bytes by which a pattern is known: one load.
const gramLen = 4

// fold4 and fold8 make letters equal in both cases with one operation. They also
// join a few other bytes ('@' and '`'), which costs a comparison, never a match.
const (
	fold2 = 0x2020
	fold4 = 0x20202020
	fold8 = 0x2020202020202020
)

// gramTable holds the patterns of three bytes and more that may lie anywhere. The
// filter is over four bytes; a pattern of three stands in it with every fourth byte
// there can be (after folding: 128).
//
// A set whose shortest pattern has seven bytes need not be asked for at every
// position: each pattern stands in the filter with four neighbouring fours, one of
// which begins at a multiple of four wherever the pattern lies. With five bytes it is
// two, and every second position.
type gramTable struct {
	stride int      // positions that are looked at: 1, 2 or 4 apart
	filter []uint64 // bit set over the top bits of the hash
	second []uint64 // the same over another hash, asked only where filter says maybe
	shift  uint8    // hash >> shift is a bit of filter
	long   bucketed // by four bytes
	short  bucketed // patterns of three bytes
}

// bucketed is a hash table of cands.
type bucketed struct {
	shift uint8    // hash >> shift is a bucket
	start []uint32 // bucket b is cands[start[b]:start[b+1]]
	cands []cand
}

// cand says: where key stands in the data, pattern pat may stand off bytes before.
type cand struct {
	key uint32
	pat uint32
	off uint32
}

const (
	three  = 0xffffff // the first three bytes of a key
	fourth = 24       // where the fourth stands
)

func hash4(key uint32) uint32 { return key * 0x9e3779b1 }

func other4(key uint32) uint32 { return (key ^ key>>15) * 0x85ebca6b }

// common is text that most buffers of most traffic contain. Patterns are not known
// by four bytes of it if they have others.
const common = "GET / HTTP/1.1\r\nHost: www.\r\nUser-Agent: Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:109.0) AppleWebKit/537.36 (KHTML, like Gecko) " +
	"Chrome/120.0.0.0 Safari/537.36 Gecko/20100101 Firefox/115.0\r\nMozilla/4.0 (compatible; MSIE 7.0; Windows NT 6.1; Trident/4.0; .NET CLR 2.0.50727) (X11; Linux x86_64) (Macintosh; Intel Mac OS X 10_15_7)\r\n" +
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\nAccept-Language: en-US,en;q=0.5\r\n" +
	"Accept-Encoding: gzip, deflate\r\nConnection: keep-alive\r\nConnection: close\r\nContent-Type: application/x-www-form-urlencoded\r\n" +
	"Content-Length: 100\r\nCache-Control: no-cache\r\nReferer: http://www.\r\nCookie: PHPSESSID=\r\nPOST /index.php?id= HTTP/1.0\r\n" +
	"HTTP/1.1 200 OK\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\nServer: Apache nginx\r\nContent-Type: text/html; charset=utf-8\r\nTransfer-Encoding: chunked\r\n" +
	"Last-Modified: Set-Cookie: path=/; expires= ETag: \"\r\nContent-Disposition: form-data; name=\"file\"; filename=\"\r\nmultipart/form-data; boundary=----\r\n" +
	"<!DOCTYPE html><html><head><meta charset=\"utf-8\"><title></title><script type=\"text/javascript\" src=\"https://www.\"></script>" +
	"<link rel=\"stylesheet\" href=\"/css/style.css\"></head><body><div class=\"\"><span><a href=\"https://www.\"></a></div><img src=\"/images/.png\"><input type=\"text\" name=\"\" value=\"\"></body></html>" +
	"function(){var document.getElementById(\"\");return this.length;} if (window.location) { new Array(0); }; undefined for (var i = 0; i < " +
	"the and that with this from have for not are you .com .net .org .php .html .js .jpg /wp-content/plugins/ /api/v1/ ?action=&id=&name= " +
	"\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x01\x00\x00\x00\x02" +
	"                \t\t\t\t\t\r\n\r\nAAAAAAAAAAAA....////\\\\\\\\----====____0000000011111111%20%20%%%%"

// Long is the length from which patterns cost least: a set without shorter ones
// is looked for at every fourth byte.
const Long = gramLen + 3

// Common says whether a pattern stands in text that most traffic contains.
func Common(pattern []byte) bool {
	return bytes.Contains(bytes.ToLower([]byte(common)), bytes.ToLower(pattern))
}

// build chooses for each pattern the four bytes that are rarest, among the set's own
// patterns (which look like the traffic they are written for) and in common text,
// and spreads patterns over many keys so that no input meets a long bucket.
func (t *gramTable) build(m *Matcher, pats, short []uint32) {
	if len(pats)+len(short) == 0 {
		return
	}
	freq := make(map[uint32]uint32, 16*len(pats))
	text := []byte(common)
	for i := 0; i+gramLen <= len(text); i++ {
		freq[binary.LittleEndian.Uint32(text[i:])|fold4] += 64
	}
	for _, d := range pats {
		b := m.bytes(d)
		for i := 0; i+gramLen <= len(b); i++ {
			freq[binary.LittleEndian.Uint32(b[i:])|fold4]++
		}
	}
	// Patterns with little choice choose first.
	order := slices.Clone(pats)
	slices.SortStableFunc(order, func(a, b uint32) int { return int(m.pats[a].n) - int(m.pats[b].n) })
	load := make(map[uint32]uint32, len(pats))
	t.stride = 1
	if len(short) == 0 {
		switch shortest := m.pats[order[0]].n; {
		case shortest >= Long:
			t.stride = 4
		case shortest >= gramLen+1:
			t.stride = 2
		}
	}
	cands := make([]cand, 0, t.stride*len(pats))
	for _, d := range order {
		b := m.bytes(d)
		var bestCost uint32
		at := -1
		for i := 0; i+gramLen+t.stride-1 <= len(b) && i < 1<<16; i++ {
			var cost uint32
			for j := i; j < i+t.stride; j++ {
				k := binary.LittleEndian.Uint32(b[j:]) | fold4
				cost += freq[k] + 4*load[k] + dull(b[j:j+gramLen])
			}
			if at < 0 || cost < bestCost {
				bestCost, at = cost, i
			}
		}
		for j := at; j < at+t.stride; j++ {
			k := binary.LittleEndian.Uint32(b[j:]) | fold4
			load[k]++
			cands = append(cands, cand{k, d, uint32(j)})
		}
	}

	var threes []cand
	for _, d := range short {
		b := m.bytes(d)
		threes = append(threes, cand{uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | fold4&three, d, 0})
	}
	t.long, t.short = newBucketed(cands), newBucketed(threes)

	// One bit in 32 set keeps false alarms few; 2^18 bits are 32 KiB, a first-level cache.
	keys := len(cands) + 128*len(threes)
	fbits := min(max(log2ceil(keys*32), 9), max(18, log2ceil(keys*8)), 24)
	t.shift = uint8(32 - fbits)
	t.filter = make([]uint64, 1<<fbits/64)
	t.second = make([]uint64, 1<<fbits/64)
	set := func(key uint32) {
		h, o := hash4(key)>>t.shift, other4(key)>>t.shift
		t.filter[h>>6] |= 1 << (h & 63)
		t.second[o>>6] |= 1 << (o & 63)
	}
	for _, c := range cands {
		set(c.key)
	}
	for _, c := range threes {
		for x := range uint32(256) {
			set(c.key | (x|0x20)<<fourth)
		}
	}
}

func newBucketed(cands []cand) (t bucketed) {
	if len(cands) == 0 {
		return t
	}
	slices.SortStableFunc(cands, func(a, b cand) int { return cmp.Compare(hash4(a.key), hash4(b.key)) })
	bits := max(log2ceil(len(cands)), 1)
	t.cands = cands
	t.shift = uint8(32 - bits)
	t.start = make([]uint32, 1<<bits+1)
	for _, c := range cands {
		t.start[hash4(c.key)>>t.shift+1]++
	}
	for i := 1; i < len(t.start); i++ {
		t.start[i] += t.start[i-1]
	}
	return t
}

// dull is the handicap of four bytes that say little whatever the traffic: few distinct bytes.
func dull(b []byte) uint32 {
	distinct := 0
	for i := range b {
		if bytes.IndexByte(b[:i], b[i]) < 0 {
			distinct++
		}
	}
	switch distinct {
	case 1:
		return 256
	case 2:
		return 16
	}
	return 0
}

func (m *Matcher) bytes(d uint32) []byte {
	p := &m.pats[d]
	return m.blob[p.off : p.off+p.n]
}

func (t *gramTable) scan(m *Matcher, data []byte, s *Scratch) {
	filter, shift := t.filter, t.shift&31
	i := 0
	if t.stride > 1 {
		t.sparse(m, data, s)
		return
	}
	// One load serves four positions; the four probes do not wait for each other.
	for ; i+8 <= len(data); i += 4 {
		w := binary.LittleEndian.Uint64(data[i:]) | fold8
		h0 := hash4(uint32(w)) >> shift
		h1 := hash4(uint32(w>>8)) >> shift
		h2 := hash4(uint32(w>>16)) >> shift
		h3 := hash4(uint32(w>>24)) >> shift
		b0 := filter[h0>>6] >> (h0 & 63)
		b1 := filter[h1>>6] >> (h1 & 63)
		b2 := filter[h2>>6] >> (h2 & 63)
		b3 := filter[h3>>6] >> (h3 & 63)
		if (b0|b1|b2|b3)&1 == 0 {
			continue
		}
		if b0&1 != 0 {
			t.check(m, uint32(w), data, i, s)
		}
		if b1&1 != 0 {
			t.check(m, uint32(w>>8), data, i+1, s)
		}
		if b2&1 != 0 {
			t.check(m, uint32(w>>16), data, i+2, s)
		}
		if b3&1 != 0 {
			t.check(m, uint32(w>>24), data, i+3, s)
		}
	}
	for ; i+gramLen <= len(data); i++ {
		k := binary.LittleEndian.Uint32(data[i:]) | fold4
		h := hash4(k) >> shift
		if filter[h>>6]>>(h&63)&1 != 0 {
			t.check(m, k, data, i, s)
		}
	}
	if i+3 == len(data) && len(t.short.cands) > 0 {
		t.short.check(m, uint32(data[i])|uint32(data[i+1])<<8|uint32(data[i+2])<<16|fold4&three, data, i, s)
	}
}

// sparse is scan at every second or fourth position.
func (t *gramTable) sparse(m *Matcher, data []byte, s *Scratch) {
	filter, shift := t.filter, t.shift&31
	i := 0
	// Four probes that do not wait for each other.
	for far := t.stride; i+3*far+8 <= len(data); i += 4 * far {
		k0 := binary.LittleEndian.Uint32(data[i:]) | fold4
		k1 := binary.LittleEndian.Uint32(data[i+far:]) | fold4
		k2 := binary.LittleEndian.Uint32(data[i+2*far:]) | fold4
		k3 := binary.LittleEndian.Uint32(data[i+3*far:]) | fold4
		h0, h1, h2, h3 := hash4(k0)>>shift, hash4(k1)>>shift, hash4(k2)>>shift, hash4(k3)>>shift
		b0 := filter[h0>>6] >> (h0 & 63)
		b1 := filter[h1>>6] >> (h1 & 63)
		b2 := filter[h2>>6] >> (h2 & 63)
		b3 := filter[h3>>6] >> (h3 & 63)
		if (b0|b1|b2|b3)&1 == 0 {
			continue
		}
		if b0&1 != 0 {
			t.check(m, k0, data, i, s)
		}
		if b1&1 != 0 {
			t.check(m, k1, data, i+far, s)
		}
		if b2&1 != 0 {
			t.check(m, k2, data, i+2*far, s)
		}
		if b3&1 != 0 {
			t.check(m, k3, data, i+3*far, s)
		}
	}
	for ; i+gramLen <= len(data); i += t.stride {
		k := binary.LittleEndian.Uint32(data[i:]) | fold4
		h := hash4(k) >> shift
		if filter[h>>6]>>(h&63)&1 != 0 {
			t.check(m, k, data, i, s)
		}
	}
}

func (t *gramTable) check(m *Matcher, key uint32, data []byte, i int, s *Scratch) {
	if o := other4(key) >> (t.shift & 31); t.second[o>>6]>>(o&63)&1 == 0 {
		return
	}
	if len(t.long.cands) > 0 {
		t.long.check(m, key, data, i, s)
	}
	if len(t.short.cands) > 0 {
		t.short.check(m, key&three, data, i, s)
	}
}

func (t *bucketed) check(m *Matcher, key uint32, data []byte, i int, s *Scratch) {
	b := hash4(key) >> (t.shift & 31)
	for _, c := range t.cands[t.start[b]:t.start[b+1]] {
		if c.key == key && !s.has(c.pat) {
			m.try(c.pat, data, i-int(c.off), s)
		}
	}
}
