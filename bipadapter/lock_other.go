//go:build !darwin && !dragonfly && !freebsd && !illumos && !linux && !netbsd && !openbsd && !windows

package bipadapter

import (
	"errors"
	"os"
)

func flock(*os.File) error { return errors.ErrUnsupported }

func syncDir(string) error { return nil }
