package history

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cmmv-hive/resilience"
)

// maxFile is more than ten thousand busy models take.
const maxFile = 4 << 30

// saving is what there is to know of the file.
type saving struct {
	mu      sync.Mutex // of writing, which blocks
	unread  error      // why what is there could not be read
	failing bool       // writing

	ok, failed atomic.Int64 // times that it was written, or was not
}

// restore reads the file, if there is one. That it cannot be read says the log, when
// the pool runs; that it never can be written is an error.
func (h *History) restore(now time.Time) error {
	path := h.given.File
	if path == "" {
		return nil
	}
	wrong := func(problem string) error {
		return &resilience.ConfigError{Path: section + ".file", Problem: fmt.Sprintf("%q %s", path, problem)}
	}
	info, err := os.Stat(path)
	none := errors.Is(err, fs.ErrNotExist)
	switch {
	case none:
	case err != nil:
		return wrong("cannot be looked at: " + reason(err))
	case info.IsDir():
		return wrong("is a directory; name a file in it")
	case !info.Mode().IsRegular():
		return wrong("is no ordinary file")
	}
	probe, err := create(path)
	if err != nil {
		return wrong("cannot be written: " + reason(err) + "; its directory must be there, and the process must be allowed to write there")
	}
	_ = probe.Close()
	_ = os.Remove(probe.Name())
	if none {
		return nil
	}
	s, err := read(path, info.Size(), now)
	if errors.Is(err, fs.ErrPermission) {
		return wrong("cannot be read: " + reason(err))
	}
	if h.saving.unread = err; err == nil {
		h.take(s)
	}
	return nil
}

// create makes the file that is to take the place of that at path.
func create(path string) (*os.File, error) {
	return os.OpenFile(path+".next", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
}

func read(path string, size int64, now time.Time) (*state, error) {
	if size > maxFile {
		return nil, fmt.Errorf("has %d bytes, more than any history", size)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return decode(data, now)
}

// take makes what a file holds the history.
func (h *History) take(s *state) {
	written := time.Unix(s.written, 0)
	for i, one := range s.series {
		switch {
		case i == 0:
			h.whole.tiers = one.tiers
		case one.id == Others:
			h.models[Others] = one
		default:
			if h.models[one.id] = one; one.watcher != nil {
				h.watched++
			}
			h.order = append(h.order, one.id)
		}
	}
	for i := range s.incidents {
		if in := &s.incidents[i]; in.End.IsZero() {
			in.End = over(in.Begin, written) // nobody saw it go on
		}
	}
	h.incidents.list = s.incidents
}

// reason is what a failed operation on a file says, without its path.
func reason(err error) string {
	if at, ok := errors.AsType[*fs.PathError](err); ok {
		return at.Err.Error()
	}
	return err.Error()
}

// save writes the file every so often until ctx is done. The last time is up to run.
func (h *History) save(ctx context.Context) error {
	h.notice(ctx)
	tick := time.NewTicker(lengthOf(fine))
	defer tick.Stop()
	for last := h.pool.Now(); ; {
		select {
		case <-tick.C:
			if every := h.config.Load().SaveEvery; every > 0 && h.pool.Now()-last >= every {
				last = h.pool.Now()
				h.write(ctx)
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// finish writes the file at the end.
func (h *History) finish(ctx context.Context) {
	if h.given.File != "" {
		h.write(context.WithoutCancel(ctx))
	}
}

// notice says that what is there could not be read.
func (h *History) notice(ctx context.Context) {
	h.saving.mu.Lock()
	defer h.saving.mu.Unlock()
	if err := h.saving.unread; err != nil {
		h.pool.Log().WarnContext(ctx, "history: the file cannot be used, so history begins anew; it is moved aside before the next is written",
			"file", h.given.File, "err", reason(err))
	}
}

// write writes the file. That it cannot is logged once, until it can be again.
func (h *History) write(ctx context.Context) {
	h.saving.mu.Lock()
	defer h.saving.mu.Unlock()
	err := h.replace(ctx)
	switch {
	case err != nil && !h.saving.failing:
		h.pool.Log().WarnContext(ctx, "history: the file cannot be written, so what is recorded from now on is lost with the process; it is tried again",
			"file", h.given.File, "err", err)
	case err == nil && h.saving.failing:
		h.pool.Log().InfoContext(ctx, "history: the file is written again", "file", h.given.File)
	}
	if h.saving.failing = err != nil; err != nil {
		h.saving.failed.Add(1)
	} else {
		h.saving.ok.Add(1)
	}
}

// replace puts the history of now in the place of the file, or leaves that as it is.
func (h *History) replace(ctx context.Context) error {
	data, err := encode(h.state())
	if err != nil {
		return err
	}
	path := h.given.File
	if err := h.putAside(ctx); err != nil {
		return err
	}
	next, err := create(path)
	if err != nil {
		return err
	}
	_, err = next.Write(data)
	if err == nil {
		err = next.Sync()
	}
	if err = errors.Join(err, next.Close()); err == nil {
		err = os.Rename(next.Name(), path)
	}
	if err != nil {
		_ = os.Remove(next.Name())
		return err
	}
	if dir, err := os.Open(filepath.Dir(path)); err == nil { // the name, too, is to last; not all systems can
		_ = dir.Sync()
		_ = dir.Close()
	}
	return nil
}

// putAside gives another name to a file that could not be read. The caller has
// h.saving.mu.
func (h *History) putAside(ctx context.Context) error {
	if h.saving.unread == nil {
		return nil
	}
	path := h.given.File
	aside := path + ".unread-" + h.wall().UTC().Format("20060102T150405Z")
	if _, err := os.Lstat(aside); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%q is in the way of what could not be read", aside)
	}
	if err := os.Rename(path, aside); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	h.saving.unread = nil
	h.pool.Log().WarnContext(ctx, "history: moved aside what could not be read", "file", path, "to", aside)
	return nil
}

// state returns what there is to keep now. It shares chunks with the history, which
// do not change.
func (h *History) state() *state {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := &state{written: max(h.wall().Unix(), 0)}
	for _, one := range h.all() {
		c := &series{id: one.id, name: one.name, watcher: one.watcher.clone()}
		for kind := range one.tiers {
			cut := cutOf(one, kind)
			c.tiers[kind] = tier{cut.open, cut.chunks}
		}
		s.series = append(s.series, c)
	}
	h.incidents.mu.Lock()
	s.incidents = append(s.incidents, h.incidents.list...)
	h.incidents.mu.Unlock()
	return s
}
