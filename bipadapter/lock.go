package bipadapter

import (
	"errors"
	"fmt"
	"os"
)

// errLocked is of a file that another process, or another part of this one, holds.
var errLocked = errors.New("another process has it open")

// lock takes hold of a file that stands for others, until it is closed or the
// process ends.
func lock(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := flock(file); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), file.Close())
	}
	return file, nil
}
