// Package trace reads traces of model calls in the format of Azure's public
// data set of LLM inference: CSV, a header, and per call the time of its
// arrival, the tokens of its context and those generated.
package trace

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strconv"
	"time"
)

// Header is the first line of a trace.
const Header = "TIMESTAMP,ContextTokens,GeneratedTokens"

// What a trace may be at most, so that no file takes all memory.
const (
	MaxRows   = 10_000_000
	MaxTokens = 100_000_000
	maxLine   = 4096
)

// A Row is a call.
type Row struct {
	Time          time.Time
	Input, Output int // tokens
}

// A Call is a Row at the time since the first.
type Call struct {
	At            time.Duration
	Input, Output int // tokens
}

// Error says what is wrong with a trace, and where.
type Error struct {
	Line int // from 1; 0 means the trace as a whole
	Err  error
}

func (e *Error) Error() string {
	if e.Line == 0 {
		return e.Err.Error()
	}
	return fmt.Sprintf("line %d: %v", e.Line, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// Read reads a whole trace, plain or compressed by gzip, and sorts it by time;
// calls of the same time keep their order. A trace without calls is an error.
// Errors are of type [*Error].
func Read(r io.Reader) ([]Call, error) {
	var rows []Row
	for row, err := range Rows(r) {
		if err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	if len(rows) == 0 {
		return nil, &Error{Err: errors.New("the trace has no calls")}
	}
	slices.SortStableFunc(rows, func(a, b Row) int { return a.Time.Compare(b.Time) })
	calls := make([]Call, len(rows))
	for i, row := range rows {
		calls[i] = Call{row.Time.Sub(rows[0].Time), row.Input, row.Output}
	}
	return calls, nil
}

// Rows yields the rows of a trace in the order of the file. The first error, of
// type [*Error], ends it.
func Rows(r io.Reader) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		line := 1
		fail := func(err error) { yield(Row{}, &Error{line, err}) }
		lines, err := open(r)
		if err != nil {
			fail(err)
			return
		}
		header, err := next(lines)
		switch {
		case errors.Is(err, io.EOF):
			yield(Row{}, &Error{0, errors.New("the trace is empty")})
			return
		case err != nil:
			fail(err)
			return
		case string(bytes.TrimPrefix(header, []byte("\ufeff"))) != Header:
			fail(fmt.Errorf("want the header %s, got %s", Header, quote(header)))
			return
		}
		for line = 2; ; line++ {
			text, err := next(lines)
			if errors.Is(err, io.EOF) {
				return
			}
			var row Row
			if err == nil {
				row, err = parse(text)
			}
			if err == nil && line-1 > MaxRows {
				err = fmt.Errorf("more than %d calls", MaxRows)
			}
			if err != nil {
				fail(err)
				return
			}
			if !yield(row, nil) {
				return
			}
		}
	}
}

// open looks through gzip, which it knows by its first two bytes.
func open(r io.Reader) (*bufio.Reader, error) {
	raw := bufio.NewReaderSize(r, 1<<16)
	if magic, _ := raw.Peek(2); !bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		return bufio.NewReaderSize(raw, maxLine), nil
	}
	plain, err := gzip.NewReader(raw)
	if err != nil {
		return nil, fmt.Errorf("gzip: %w", notEOF(err))
	}
	return bufio.NewReaderSize(gzipErrors{plain}, maxLine), nil
}

// gzipErrors tells a broken archive from a broken file.
type gzipErrors struct{ r io.Reader }

func (g gzipErrors) Read(p []byte) (int, error) {
	n, err := g.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("gzip: %w", err)
	}
	return n, err
}

func notEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// next returns the next line without its end, or io.EOF after the last. It is
// valid until the next call.
func next(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return nil, fmt.Errorf("longer than %d bytes", maxLine)
	case err == io.EOF && len(line) > 0: // the last line may lack its end
	case err != nil:
		return nil, err
	}
	line = bytes.TrimSuffix(line, []byte("\n"))
	return bytes.TrimSuffix(line, []byte("\r")), nil
}

// The layouts of the traces of 2023 and of 2024; a fraction of a second may
// follow in both.
var layouts = [...]string{"2006-01-02 15:04:05", "2006-01-02 15:04:05Z07:00"}

func parse(line []byte) (row Row, err error) {
	if len(line) == 0 {
		return row, errors.New("empty")
	}
	fields := bytes.Split(line, []byte(","))
	if len(fields) != 3 {
		return row, fmt.Errorf("want 3 columns, got %d: %s", len(fields), quote(line))
	}
	if row.Time, err = parseTime(string(fields[0])); err != nil {
		return row, err
	}
	if row.Input, err = parseTokens("ContextTokens", fields[1]); err != nil {
		return row, err
	}
	row.Output, err = parseTokens("GeneratedTokens", fields[2])
	return row, err
}

func parseTime(s string) (time.Time, error) {
	for _, layout := range layouts {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("TIMESTAMP: want a time such as 2023-11-16 18:15:46.6805900, got %s", quote([]byte(s)))
}

func parseTokens(column string, text []byte) (int, error) {
	n, err := strconv.ParseUint(string(text), 10, 64)
	switch {
	case errors.Is(err, strconv.ErrRange) || err == nil && n > MaxTokens:
		return 0, fmt.Errorf("%s: %s is more than %d", column, quote(text), MaxTokens)
	case err != nil:
		return 0, fmt.Errorf("%s: want a whole number, got %s", column, quote(text))
	}
	return int(n), nil
}

// quote shows the beginning of what was found, on one line.
func quote(b []byte) string {
	const most = 60
	if len(b) > most {
		return strconv.QuoteToASCII(string(b[:most])) + " …"
	}
	return strconv.QuoteToASCII(string(b))
}
