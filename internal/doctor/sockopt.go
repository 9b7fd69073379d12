package doctor

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// getInfo is getsockopt with a buffer that carries the table's name in and the
// answer out, which x/sys/unix has no function for.
func getInfo(fd, level int) error {
	const soGetInfo, sizeofGetInfo = 64, 84
	var buf [sizeofGetInfo]byte
	copy(buf[:], "filter")
	size := uint32(len(buf))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), uintptr(level), soGetInfo,
		uintptr(unsafe.Pointer(&buf)), uintptr(unsafe.Pointer(&size)), 0)
	runtime.KeepAlive(&buf)
	if errno != 0 {
		return errno
	}
	return nil
}
