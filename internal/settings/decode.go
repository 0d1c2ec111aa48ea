// Package settings reads, completes, checks, overlays and prints the Config
// structs of features, all of them by the same rules. It works by reflection,
// when a pool is configured and never while it is called.
//
// # Tags
//
//	json:"openFor"    the key in a file; "-" keeps the field out of files
//	default:"15s"     what the zero value stands for
//	min:"0" max:"1"   bounds of a number, or of the numbers in a slice or map
//	oneof:"a b"       the values of a string, or of the strings in a slice or map
//	off:"no"          a number that cannot be switched off
//	off:"yes"         one without a default that a negative value switches off
//	zero:"all"        what [Describe] calls the zero of a number without a default; off
//
// # Zero and negative
//
// A zero field is a field not set. It means the default or, without one, off,
// and passes every bound. A negative number means off where zero does not:
// where there is a default or off:"yes", and in overrides. Elsewhere negative
// numbers are refused, and with off:"no" everywhere. With a negative min they
// are numbers like others.
//
// # Overrides
//
// A field that is a map of the struct's own type holds overrides: structs whose
// fields that are not zero lie over the fields beside the map, by [Overlay].
// They have no defaults and no overrides of their own.
package settings

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// A Problem is one thing wrong with a configuration. Path is the place, such as
// breaker.models.gpt-5.openFor or models[3].weight, and empty for a document
// that cannot be read as a whole.
type Problem struct{ Path, Problem string }

// Sections splits the document of a configuration file, an object of at most
// 1 MiB, into its members. Keys that begin with "x-" are left out. Sections
// reports whatever keeps the document from being JSON, with line and column,
// and keys that repeat another, even if letter case differs. Of keys that
// repeat, the first counts.
func Sections(data []byte) (map[string]json.RawMessage, []Problem) {
	if problem := validate(data); problem != "" {
		return nil, []Problem{{"", problem}}
	}
	var d decoder
	sections, seen := map[string]json.RawMessage{}, map[string]string{}
	dec := json.NewDecoder(bytes.NewReader(data))
	if open, _ := dec.Token(); open != json.Delim('{') {
		return nil, []Problem{{"", "want an object"}}
	}
	for dec.More() {
		token, _ := dec.Token()
		key, _ := token.(string)
		var raw json.RawMessage
		_ = dec.Decode(&raw) // valid, as all of data is
		if !escaped(key) && d.unique("", seen, key) {
			sections[key] = raw
		}
	}
	return sections, d.problems
}

// Decode reads the JSON document data, of at most 1 MiB and 32 levels, into
// what v points to, and returns everything wrong with it; path is where data
// stands in the file. Fields without a key in data stay as they are, so that
// data lies over what v holds. A map or slice in data replaces the one in v, and
// what a pointer in v points to is copied first: Decode writes to nothing that v
// shares. If there are problems, what v holds is of no use.
//
// Keys are the fields' JSON names in their exact letter case. Unknown and
// repeated keys, null, and zero where it would not mean zero are problems: zero
// for a field with a default, or for any in an override. Keys of structs that
// begin with "x-" are ignored with all that they hold; keys of maps are names
// and may begin so. A time.Duration is text such as "15s", and so is every type
// with an UnmarshalText method.
func Decode(path string, data []byte, v any) []Problem {
	doc, problem := parse(data)
	if problem != "" {
		return []Problem{{path, problem}}
	}
	var d decoder
	d.value(path, doc, reflect.ValueOf(v).Elem(), false)
	return d.problems
}

func escaped(key string) bool { return strings.HasPrefix(key, "x-") }

const noNull = "null has no meaning here; leave it out"

type decoder struct {
	problems []Problem
	types    map[reflect.Type][]field // seen so far: there may be thousands of overrides
}

func (d *decoder) fieldsOf(t reflect.Type) []field {
	fields, ok := d.types[t]
	if !ok {
		if d.types == nil {
			d.types = map[reflect.Type][]field{}
		}
		fields = fieldsOf(t)
		d.types[t] = fields
	}
	return fields
}

func (d *decoder) fail(path, format string, args ...any) {
	d.problems = append(d.problems, Problem{path, fmt.Sprintf(format, args...)})
}

// unique reports whether key does not repeat one in seen.
func (d *decoder) unique(path string, seen map[string]string, key string) bool {
	switch first, repeated := twin(seen, key); {
	case !repeated:
		return true
	case first == key:
		d.fail(Join(path, key), "duplicate key")
	default:
		d.fail(Join(path, key), "differs from the key %s in letter case alone", quote(first))
	}
	return false
}

// value decodes doc into v. Over says that v is part of an override.
func (d *decoder) value(path string, doc any, v reflect.Value, over bool) {
	switch t := v.Type(); {
	case doc == nil:
		d.fail(path, noNull)
	case textual(t):
		d.scalar(path, doc, v)
	case t.Kind() == reflect.Struct:
		d.fields(path, doc, v, over)
	case t.Kind() == reflect.Map && t.Key().Kind() == reflect.String:
		d.entries(path, doc, v, false)
	case t.Kind() == reflect.Slice:
		d.elements(path, doc, v)
	case t.Kind() == reflect.Pointer:
		target := reflect.New(t.Elem())
		if !v.IsNil() {
			target.Elem().Set(v.Elem())
		}
		d.value(path, doc, target.Elem(), false)
		v.Set(target)
	default:
		d.scalar(path, doc, v)
	}
}

func (d *decoder) fields(path string, doc any, v reflect.Value, over bool) {
	obj, ok := doc.(object)
	if !ok {
		d.fail(path, "want an object, not %s", kindOf(doc))
		return
	}
	fields := d.fieldsOf(v.Type())
	seen := map[string]string{}
	for _, m := range obj {
		if escaped(m.key) || !d.unique(path, seen, m.key) {
			continue
		}
		at := Join(path, m.key)
		i := slices.IndexFunc(fields, func(f field) bool { return f.key == m.key && f.key != "" })
		if i < 0 {
			d.fail(at, "unknown key%s", didYouMean(m.key, keysOf(fields, over)))
			continue
		}
		switch f := fields[i]; {
		case over && f.overrides:
			d.fail(at, "an override cannot hold overrides")
		case f.overrides && m.value == nil:
			d.fail(at, noNull)
		case f.overrides:
			d.entries(at, m.value, v.FieldByIndex(f.Index), true)
		default:
			d.field(at, m.value, v.FieldByIndex(f.Index), f, over)
		}
	}
}

func (d *decoder) field(path string, doc any, v reflect.Value, f field, over bool) {
	before := len(d.problems)
	d.value(path, doc, v, over)
	if len(d.problems) > before || !isScalar(doc) || !v.IsZero() {
		return
	}
	hint := ""
	if f.canBeOff() {
		hint = ", or say -1 to switch it off"
		if isDuration(f.Type) {
			hint = `, or say "-1s" to switch it off`
		}
	}
	if over {
		d.fail(path, "%s changes nothing in an override; leave it out%s", literal(doc), hint)
	} else if value, ok := f.value("default"); ok {
		d.fail(path, "%s means the default here, %s; leave it out%s", literal(doc), show(value), hint)
	}
}

func (d *decoder) entries(path string, doc any, v reflect.Value, over bool) {
	obj, ok := doc.(object)
	if !ok {
		d.fail(path, "want an object, not %s", kindOf(doc))
		return
	}
	entries, seen := reflect.MakeMapWithSize(v.Type(), len(obj)), map[string]string{}
	for _, m := range obj {
		if m.key == "" {
			d.fail(Join(path, m.key), "empty name")
		} else if d.unique(path, seen, m.key) {
			elem := reflect.New(v.Type().Elem()).Elem()
			d.value(Join(path, m.key), m.value, elem, over)
			entries.SetMapIndex(reflect.ValueOf(m.key).Convert(v.Type().Key()), elem)
		}
	}
	v.Set(entries)
}

func (d *decoder) elements(path string, doc any, v reflect.Value) {
	arr, ok := doc.(array)
	if !ok {
		d.fail(path, "want an array, not %s", kindOf(doc))
		return
	}
	elems := reflect.MakeSlice(v.Type(), len(arr), len(arr))
	for i, elem := range arr {
		d.value(path+"["+strconv.Itoa(i)+"]", elem, elems.Index(i), false)
	}
	v.Set(elems)
}

func (d *decoder) scalar(path string, doc any, v reflect.Value) {
	var want string
	switch t := v.Type(); {
	case isDuration(t):
		want = `a duration such as "15s"`
	case textual(t) || t.Kind() == reflect.String:
		want = "a string"
	case t.Kind() == reflect.Bool:
		want = "true or false"
	case numeric(t):
		want = "a number"
	default:
		d.fail(path, "cannot be set in a file")
		return
	}
	text, got := "", ""
	switch doc := doc.(type) {
	case string:
		text, got = doc, "a string"
		if isDuration(v.Type()) {
			got = want
		}
	case json.Number:
		text, got = doc.String(), "a number"
	case bool:
		text, got = strconv.FormatBool(doc), "true or false"
	}
	if got != want {
		d.fail(path, "want %s, not %s", want, kindOf(doc))
	} else if err := set(v, text); err != nil {
		d.fail(path, "%s", err.Error())
	}
}

func isScalar(doc any) bool {
	switch doc.(type) {
	case object, array:
		return false
	}
	return true
}

// kindOf names the kind of doc, never its text, which may be a secret.
func kindOf(doc any) string {
	switch doc.(type) {
	case object:
		return "an object"
	case array:
		return "an array"
	case string:
		return "a string"
	case json.Number:
		return "a number"
	}
	return "true or false"
}

func literal(doc any) string {
	if s, ok := doc.(string); ok {
		return quote(s)
	}
	return fmt.Sprint(doc)
}
