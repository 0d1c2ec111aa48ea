package settings

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

const (
	maxSize  = 1 << 20
	maxDepth = 32
)

// A parsed document is an object, an array, a string, a json.Number, a bool or
// nil. An object keeps its members as written, duplicates included.
type (
	object []member
	member struct {
		key   string
		value any
	}
	array []any
)

// validate returns what is wrong with data as JSON text, or "".
func validate(data []byte) string {
	if len(data) > maxSize {
		return fmt.Sprintf("%d bytes are more than the limit of %d", len(data), maxSize)
	}
	if i := invalidUTF8(data); i >= 0 {
		return position(data, i) + ": invalid UTF-8"
	}
	var raw json.RawMessage
	if err := json.Unmarshal(data, &raw); err != nil {
		at := 0
		if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
			at = max(0, int(syntax.Offset)-1)
		}
		return position(data, at) + ": " + err.Error()
	}
	if i := tooDeep(data); i >= 0 {
		return fmt.Sprintf("%s: nested deeper than %d levels", position(data, i), maxDepth)
	}
	return ""
}

// parse returns the document in data, or what is wrong with it.
func parse(data []byte) (doc any, problem string) {
	if problem := validate(data); problem != "" {
		return nil, problem
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	return parseValue(dec), ""
}

// parseValue reads text that is known to be valid, so that no token fails.
func parseValue(dec *json.Decoder) any {
	token, _ := dec.Token()
	switch token {
	case json.Delim('{'):
		obj := object{}
		for dec.More() {
			key, _ := dec.Token()
			obj = append(obj, member{key.(string), parseValue(dec)})
		}
		_, _ = dec.Token()
		return obj
	case json.Delim('['):
		arr := array{}
		for dec.More() {
			arr = append(arr, parseValue(dec))
		}
		_, _ = dec.Token()
		return arr
	}
	return token
}

func invalidUTF8(data []byte) int {
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return -1
}

// tooDeep returns where valid JSON text exceeds maxDepth, or -1.
func tooDeep(data []byte) int {
	depth, quoted := 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return i
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return -1
}

// position names the place of data[i], or of the character that it is part of,
// as an editor does: columns count characters from 1.
func position(data []byte, i int) string {
	for i > 0 && !utf8.RuneStart(data[i]) && utf8.Valid(data) {
		i--
	}
	before := data[:i]
	start := bytes.LastIndexByte(before, '\n') + 1
	line := bytes.Count(before, []byte("\n")) + 1
	return fmt.Sprintf("line %d, column %d", line, utf8.RuneCount(before[start:])+1)
}
