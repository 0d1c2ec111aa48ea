package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// progress shows on w how far a run has come until stop is closed: a bar that
// moves on a terminal, elsewhere a line per quarter. Done and total count
// calls.
func progress(w io.Writer, total int64, done func() int64, stop <-chan struct{}) {
	moves := isTerminal(w)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	quarter := int64(1)
	for {
		n := done()
		switch {
		case moves:
			fmt.Fprintf(w, "\r%s", bar(n, total))
		case n >= quarter*total/4:
			fmt.Fprintln(w, line(n, total))
			for quarter*total/4 <= n {
				quarter++
			}
		}
		select {
		case <-tick.C:
		case <-stop:
			if moves {
				fmt.Fprintf(w, "\r%s\r", strings.Repeat(" ", len([]rune(bar(total, total)))))
			}
			return
		}
	}
}

// bar is a line as wide as any other of its total.
func bar(done, total int64) string {
	const width = 40
	full := int(width * done / max(total, 1))
	return fmt.Sprintf("%s%s %3d %% of %d calls", strings.Repeat("█", full), strings.Repeat("░", width-full), percentDone(done, total), total)
}

func line(done, total int64) string {
	return fmt.Sprintf("%d %% of %d calls", percentDone(done, total), total)
}

func percentDone(done, total int64) int64 { return 100 * done / max(total, 1) }

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
