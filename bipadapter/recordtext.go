package bipadapter

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// maxRecord is how long a record may be.
const maxRecord = maxFrame

// WriteTo writes r as one line of JSON, which is the form that a log has hashed: to
// [Verify], a record that was indented again is not as it was written.
func (r Record) WriteTo(w io.Writer) (int64, error) {
	text, err := json.Marshal(r)
	if err != nil {
		return 0, err
	}
	n, err := w.Write(append(text, '\n'))
	return int64(n), err
}

// readRecord reads what WriteTo writes, to the byte.
func readRecord(from io.Reader) (Record, error) {
	data, err := io.ReadAll(io.LimitReader(from, maxRecord+1))
	switch {
	case err != nil:
		return Record{}, err
	case len(data) > maxRecord:
		return Record{}, fmt.Errorf("not a record: more than %d bytes", maxRecord)
	case len(bytes.TrimSpace(data)) == 0:
		return Record{}, errors.New("it is empty; give the file that the round's record was written to")
	}
	var r Record
	if err := document(data, maxRecord); err != nil {
		return Record{}, fmt.Errorf("not a record: %w", err)
	}
	if err := json.Unmarshal(data, &r); err != nil {
		return Record{}, fmt.Errorf("not a record: %w", bounded(err))
	}
	var again bytes.Buffer
	if _, err := r.WriteTo(&again); err != nil {
		return Record{}, fmt.Errorf("not a record: %w", bounded(err))
	}
	if !bytes.Equal(data, again.Bytes()) {
		return Record{}, fmt.Errorf("at byte %d: not as a log writes it: edited, or indented again", differ(data, again.Bytes()))
	}
	return r, nil
}

// differ returns where two texts first do.
func differ(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

// bounded returns an error without what it quotes.
func bounded(err error) error {
	if at, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Errorf("at byte %d: a value of another type", at.Offset)
	}
	return errors.New("a value that is none of its kind")
}
