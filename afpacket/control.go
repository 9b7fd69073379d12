package afpacket

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/garita/garita/internal/nfnl"
	"github.com/garita/garita/packet"
)

// Status bits of struct tpacket_auxdata (linux/if_packet.h).
const (
	statusCsumNotReady = 1 << 3
	statusVLANValid    = 1 << 4

	auxLen = 20
)

// word is the alignment of ancillary data, in bytes.
const word = int(unsafe.Sizeof(uintptr(0)))

const headerLen = unix.SizeofCmsghdr

// controlRoom is what the two messages that we ask for take at most.
const controlRoom = 2 * (headerLen + 32)

// parseControl takes time, VLAN tag and the state of the checksum from the
// ancillary data of a frame.
func parseControl(p *packet.Packet, b []byte) {
	for len(b) >= headerLen {
		size := 0
		if word == 8 {
			size = int(nfnl.Native.Uint64(b))
		} else {
			size = int(nfnl.Native.Uint32(b))
		}
		if size < headerLen || size > len(b) {
			return
		}
		level, typ := int(nfnl.Native.Uint32(b[word:])), int(nfnl.Native.Uint32(b[word+4:]))
		v := b[headerLen:size]
		switch {
		case level == unix.SOL_PACKET && typ == unix.PACKET_AUXDATA && len(v) >= auxLen:
			status := nfnl.Native.Uint32(v)
			if status&statusCsumNotReady != 0 {
				p.Offload |= packet.CsumNotReady
			}
			if status&statusVLANValid != 0 && int(p.NVLAN) < len(p.VLANs) {
				copy(p.VLANs[1:], p.VLANs[:])
				p.VLANs[0] = nfnl.Native.Uint16(v[16:]) & 0xfff
				p.NVLAN++
			}
		case level == unix.SOL_SOCKET && typ == unix.SO_TIMESTAMPNS && len(v) >= 2*word:
			if word == 8 {
				p.Time = int64(nfnl.Native.Uint64(v))*1e9 + int64(nfnl.Native.Uint64(v[8:]))
			} else {
				p.Time = int64(int32(nfnl.Native.Uint32(v)))*1e9 + int64(int32(nfnl.Native.Uint32(v[4:])))
			}
			p.Attrs |= packet.HasTime
		}
		b = b[min((size+word-1)&^(word-1), len(b)):]
	}
}
