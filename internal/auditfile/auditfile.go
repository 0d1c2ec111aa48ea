// Package auditfile appends what was changed by hand to a file, a JSON object a
// line, each on the disk before the change goes on.
package auditfile

import (
	"encoding/json"
	"errors"
	"os"
	"time"
)

// A Line is one change.
type Line struct {
	Time   time.Time  `json:"time"`
	What   string     `json:"what"`
	Actor  string     `json:"actor"`
	Reason string     `json:"reason"`
	Until  *time.Time `json:"until,omitempty"`
	Model  string     `json:"model,omitempty"`
	From   string     `json:"from,omitempty"`
	To     string     `json:"to,omitempty"`
}

const mode = 0o600

// Check reports whether lines can be appended to the file at path.
func Check(path string) error {
	if path == "" {
		return errors.New("the path is empty")
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	return f.Close()
}

// Append writes l to the file at path in one write, and returns once it is on
// the disk. Lines of several processes do not mix.
func Append(path string, l Line) (err error) {
	text, err := json.Marshal(l)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.Write(append(text, '\n')); err != nil {
		return err
	}
	return f.Sync()
}
