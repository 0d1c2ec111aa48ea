package bipadapter

import (
	"errors"
	"os"
	"syscall"
	"unsafe"
)

func flock(file *os.File) error {
	const exclusiveNow = 0x2 | 0x1 // LOCKFILE_EXCLUSIVE_LOCK, LOCKFILE_FAIL_IMMEDIATELY
	const violation = syscall.Errno(33)
	call := syscall.NewLazyDLL("kernel32.dll").NewProc("LockFileEx")
	ok, _, err := call.Call(file.Fd(), exclusiveNow, 0, 1, 0, uintptr(unsafe.Pointer(new(syscall.Overlapped))))
	switch {
	case ok != 0:
		return nil
	case errors.Is(err, violation):
		return errLocked
	}
	return err
}

// syncDir does nothing: Windows keeps names by itself.
func syncDir(string) error { return nil }
