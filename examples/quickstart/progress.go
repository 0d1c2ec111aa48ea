package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
)

// progress shows on w how many of total calls are done: a bar on a terminal,
// elsewhere a line per quarter. The function it returns ends that.
func progress(w io.Writer, total int64, done func() int64) (stop func()) {
	show := quarters(w, total)
	wipe := func() {}
	if isTerminal(w) {
		show = func(n int64) { fmt.Fprintf(w, "\r%s", bar(n, total)) }
		wipe = func() { fmt.Fprintf(w, "\r%s\r", strings.Repeat(" ", len([]rune(bar(total, total))))) }
	}
	end := make(chan struct{})
	var showing sync.WaitGroup
	showing.Go(func() {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			show(done())
			select {
			case <-tick.C:
			case <-end:
				show(done())
				wipe()
				return
			}
		}
	})
	return func() {
		close(end)
		showing.Wait()
	}
}

// quarters writes a line whenever another quarter is done.
func quarters(w io.Writer, total int64) func(int64) {
	next := int64(1)
	return func(n int64) {
		reached := 4 * n / max(total, 1)
		if reached >= next {
			fmt.Fprintf(w, "%d %% of %d calls\n", 25*reached, total)
			next = reached + 1
		}
	}
}

// bar is a line as wide as any other of its total.
func bar(done, total int64) string {
	const width = 40
	full := int(width * done / max(total, 1))
	return fmt.Sprintf("%s%s %3d %% of %d calls",
		strings.Repeat("█", full), strings.Repeat("░", width-full), 100*done/max(total, 1), total)
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
