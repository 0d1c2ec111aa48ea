package bipadapter

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// A member is a key of a JSON object and its value.
type member struct {
	key   string
	value json.RawMessage
}

// object returns the members of the JSON object that data is, of at most most
// bytes. Text around it, invalid UTF-8 and repeated keys are errors, none of
// which quotes data.
func object(data []byte, most int) ([]member, error) {
	if err := document(data, most); err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return nil, errors.New("not a JSON object")
	}
	var members []member
	seen := map[string]bool{}
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return nil, badJSON(dec.InputOffset())
		}
		var m member
		m.key, _ = token.(string)
		if seen[m.key] {
			return nil, fmt.Errorf("a key is repeated at byte %d", dec.InputOffset())
		}
		seen[m.key] = true
		if err := dec.Decode(&m.value); err != nil {
			return nil, badJSON(dec.InputOffset())
		}
		members = append(members, m)
	}
	return members, nil
}

// list returns the elements of the JSON array that data is.
func list(data []byte, most int) ([]json.RawMessage, error) {
	if err := document(data, most); err != nil {
		return nil, err
	}
	var elements []json.RawMessage
	if kind(data) != '[' || json.Unmarshal(data, &elements) != nil {
		return nil, errors.New("not a JSON array")
	}
	return elements, nil
}

// document returns what keeps data from being one JSON value.
func document(data []byte, most int) error {
	if len(data) > most {
		return fmt.Errorf("%d bytes are more than the limit of %d", len(data), most)
	}
	if !utf8.Valid(data) {
		return errors.New("invalid UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	var value json.RawMessage
	if err := dec.Decode(&value); err != nil {
		at := int64(0)
		if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
			at = syntax.Offset
		}
		return badJSON(at)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("text after the JSON value, at byte %d", dec.InputOffset())
	}
	return nil
}

func badJSON(at int64) error { return fmt.Errorf("not JSON, at byte %d", at) }

// kind returns the first byte of a JSON value: '{', '[', '"', 't', 'f', 'n', or
// 0 for a number.
func kind(value []byte) byte {
	value = bytes.TrimLeft(value, " \t\r\n")
	if len(value) == 0 || value[0] == '-' || value[0] >= '0' && value[0] <= '9' {
		return 0
	}
	return value[0]
}

// text returns the string that value is, of at most most characters.
func text(m member, most int) (string, error) {
	var s string
	if kind(m.value) != '"' || json.Unmarshal(m.value, &s) != nil {
		return "", fmt.Errorf("%s: want a string", m.key)
	}
	if n := utf8.RuneCountInString(s); n > most {
		return "", fmt.Errorf("%s: %d characters are more than %d", m.key, n, most)
	}
	return s, nil
}

// number returns the number from least to most that value is.
func number(m member, least, most float64) (float64, error) {
	var x float64
	if kind(m.value) != 0 {
		return 0, fmt.Errorf("%s: want a number", m.key)
	}
	if err := json.Unmarshal(m.value, &x); err != nil || x < least || x > most {
		return 0, fmt.Errorf("%s: want a number from %v to %v", m.key, least, most)
	}
	return x + 0, nil
}
