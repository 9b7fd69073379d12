package app

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
)

// QUIC versions whose initial packets can be read (RFC 9001 §5.2, RFC 9369,
// draft-ietf-quic-tls-29 and the drafts before with the same salt).
const (
	quicV1 = 0x00000001
	quicV2 = 0x6b3343cf
)

// quicSalt is the salt of a version's initial secret; nil if it is unknown.
func quicSalt(version uint32) []byte {
	switch {
	case version == quicV1 || version >= 0xff000021 && version <= 0xff000022:
		return []byte("\x38\x76\x2c\xf7\xf5\x59\x34\xb3\x4d\x17\x9a\xe6\xa4\xc8\x0c\xad\xcc\xbb\x7f\x0a")
	case version == quicV2:
		return []byte("\x0d\xed\xe3\xde\xf7\x00\xa6\xdb\x81\x93\x81\xbe\x6e\x26\x9d\xcb\xf9\xbd\x2e\xd9")
	case version >= 0xff00001d && version <= 0xff000020:
		return []byte("\xaf\xbf\xec\x28\x99\x93\xd2\x4c\x9e\x97\x86\xf1\x9c\x61\x11\xe0\x43\x90\xa8\x99")
	case version >= 0xff000017 && version <= 0xff00001c:
		return []byte("\xc3\xee\xf7\x12\xc7\x2e\xbb\x5a\x11\xa7\xd2\x43\x2b\xb4\x63\x65\xbe\xf9\xf5\x02")
	}
	return nil
}

// quicKeys protect the initial packets of one direction.
type quicKeys struct {
	aead cipher.AEAD
	iv   [12]byte
	hp   cipher.Block
}

// quicInitialKeys derives the keys of both directions from the destination
// connection identifier of the client's first packet.
func quicInitialKeys(version uint32, dcid []byte) (keys [2]quicKeys, ok bool) {
	salt := quicSalt(version)
	if salt == nil {
		return keys, false
	}
	secret, err := hkdf.Extract(sha256.New, dcid, salt)
	if err != nil {
		return keys, false
	}
	prefix := "quic "
	if version == quicV2 {
		prefix = "quicv2 "
	}
	for d, label := range [2]string{"client in", "server in"} {
		s := quicExpand(secret, label, 32)
		block, err := aes.NewCipher(quicExpand(s, prefix+"key", 16))
		if err != nil {
			return keys, false
		}
		if keys[d].aead, err = cipher.NewGCM(block); err != nil {
			return keys, false
		}
		copy(keys[d].iv[:], quicExpand(s, prefix+"iv", 12))
		if keys[d].hp, err = aes.NewCipher(quicExpand(s, prefix+"hp", 16)); err != nil {
			return keys, false
		}
	}
	return keys, true
}

// quicExpand is HKDF-Expand-Label of RFC 8446 §7.1 with an empty context.
func quicExpand(secret []byte, label string, n int) []byte {
	info := binary.BigEndian.AppendUint16(nil, uint16(n))
	info = append(info, byte(6+len(label)))
	info = append(append(info, "tls13 "...), label...)
	out, err := hkdf.Expand(sha256.New, secret, string(append(info, 0)), n)
	if err != nil { // only for lengths beyond 255 hashes
		return make([]byte, n)
	}
	return out
}

// open removes the protection of an initial packet pkt, whose packet number is
// at pnAt, and returns the frames in a slice of their own. (RFC 9001 §5.3,
// §5.4)
func (k *quicKeys) open(pkt []byte, pnAt int, largest uint64) (frames []byte, pn uint64, ok bool) {
	if pnAt+4+16 > len(pkt) {
		return nil, 0, false
	}
	var mask [16]byte
	k.hp.Encrypt(mask[:], pkt[pnAt+4:pnAt+20])
	first := pkt[0] ^ mask[0]&0x0f
	n := int(first&3) + 1
	head := clone(pkt[:pnAt+n])
	head[0] = first
	var cut uint64
	for i := range n {
		head[pnAt+i] ^= mask[1+i]
		cut = cut<<8 | uint64(head[pnAt+i])
	}
	pn = quicPacketNumber(largest, cut, 8*n)
	nonce := k.iv
	for i := range 8 {
		nonce[4+i] ^= byte(pn >> (56 - 8*i))
	}
	frames, err := k.aead.Open(nil, nonce[:], pkt[pnAt+n:], head)
	return frames, pn, err == nil
}

// quicPacketNumber restores a packet number of which the low bits were sent
// (RFC 9000 appendix A.3).
func quicPacketNumber(largest, cut uint64, bits int) uint64 {
	want := largest + 1
	win := uint64(1) << bits
	pn := want&^(win-1) | cut
	switch {
	case pn+win/2 <= want && pn < 1<<62-win:
		return pn + win
	case pn > want+win/2 && pn >= win:
		return pn - win
	}
	return pn
}
