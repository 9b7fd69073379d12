package garita

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// lowest is the lowest priority of a thread that still gets some time.
const lowest = 19

// atLowPriority runs f on a thread of its own that gives way to all others,
// and waits for it. An ordinary user cannot raise a priority again, so the
// thread is not handed back to the scheduler: it ends with f.
func atLowPriority(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		// It may be refused (a filter of system calls): then it is no worse
		// than without.
		_ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), lowest)
		f()
	}()
	<-done
}
