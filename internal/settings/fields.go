package settings

import (
	"encoding"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// A field is an exported field of a Config.
type field struct {
	reflect.StructField
	key       string // its name in a file; "" if no file can set it
	overrides bool   // a map of the Config's own type
}

func fieldsOf(t reflect.Type) []field {
	var fields []field
	for f := range t.Fields() {
		if !f.IsExported() {
			continue
		}
		tag := f.Tag.Get("json")
		key, _, _ := strings.Cut(tag, ",")
		switch {
		case tag == "-":
			key = ""
		case key == "":
			key = f.Name
		}
		overrides := f.Type.Kind() == reflect.Map && f.Type.Elem() == t
		fields = append(fields, field{f, key, overrides})
	}
	return fields
}

// keysOf returns the keys that a struct of these fields may have, in an
// override or not.
func keysOf(fields []field, over bool) []string {
	var keys []string
	for _, f := range fields {
		if f.key != "" && !(over && f.overrides) {
			keys = append(keys, f.key)
		}
	}
	return keys
}

// label is the key, or for a field without one its Go name in that style.
func (f field) label() string {
	if f.key != "" {
		return f.key
	}
	r, size := utf8.DecodeRuneInString(f.Name)
	return string(unicode.ToLower(r)) + f.Name[size:]
}

// parsed returns the value of a default, min or max tag, if f has it.
func (f field) parsed(tag string) (v reflect.Value, ok bool, err error) {
	text, ok := f.Tag.Lookup(tag)
	if !ok {
		return v, false, nil
	}
	v = reflect.New(scalar(f.Type)).Elem()
	return v, true, set(v, text)
}

// value is parsed for code that runs after Lint has: it panics where a tag
// does not parse.
func (f field) value(tag string) (reflect.Value, bool) {
	v, ok, err := f.parsed(tag)
	if err != nil {
		panic(fmt.Sprintf("settings: tag %s of field %s: %v", tag, f.Name, err))
	}
	return v, ok
}

func (f field) hasDefault() bool {
	_, ok := f.Tag.Lookup("default")
	return ok
}

// spansZero reports whether negative values of f are values like others.
func (f field) spansZero() bool { return strings.HasPrefix(f.Tag.Get("min"), "-") }

// canBeOff reports whether f is a number that a negative value may switch off.
func (f field) canBeOff() bool {
	return signed(f.Type) && !f.spansZero() && f.Tag.Get("off") != "no"
}

// scalar returns the type of what t holds, however it holds it.
func scalar(t reflect.Type) reflect.Type {
	for !textual(t) && (t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map) {
		t = t.Elem()
	}
	return t
}

// textual reports whether t reads its values from text by its own method.
func textual(t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

func isDuration(t reflect.Type) bool { return t == reflect.TypeFor[time.Duration]() }

func signed(t reflect.Type) bool {
	v := reflect.Zero(t)
	return !textual(t) && (v.CanInt() || v.CanFloat())
}

func numeric(t reflect.Type) bool {
	return signed(t) || !textual(t) && reflect.Zero(t).CanUint()
}

func isNegative(v reflect.Value) bool {
	return v.CanInt() && v.Int() < 0 || v.CanFloat() && v.Float() < 0
}

// set parses text, from a file or a tag, into the scalar v.
func set(v reflect.Value, text string) error {
	t := v.Type()
	switch {
	case textual(t):
		return v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(text))
	case isDuration(t):
		d, err := time.ParseDuration(text)
		if err != nil {
			return fmt.Errorf(`%s is not a duration such as "15s" or "1m30s"`, quote(text))
		}
		v.SetInt(int64(d))
	case v.Kind() == reflect.String:
		v.SetString(text)
	case v.Kind() == reflect.Bool:
		v.SetBool(text == "true")
	case v.CanInt():
		n, err := strconv.ParseInt(text, 10, t.Bits())
		if err != nil {
			return numberError(text, "a whole number", err)
		}
		v.SetInt(n)
	case v.CanUint():
		n, err := strconv.ParseUint(text, 10, t.Bits())
		if err != nil {
			return numberError(text, "a whole number, 0 or more", err)
		}
		v.SetUint(n)
	case v.CanFloat():
		x, err := strconv.ParseFloat(text, t.Bits())
		if err != nil {
			return numberError(text, "a number", err)
		}
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return fmt.Errorf("%s is not finite", text)
		}
		v.SetFloat(x)
	default:
		return fmt.Errorf("%s cannot be read from text", t)
	}
	return nil
}

func numberError(text, want string, err error) error {
	if len(text) > maxShown {
		text = text[:maxShown] + "…"
	}
	if errors.Is(err, strconv.ErrRange) {
		return fmt.Errorf("%s is out of range", text)
	}
	return fmt.Errorf("%s is not %s", text, want)
}

// show returns the scalar v as text that set reads, durations without their
// empty parts: 5m, not 5m0s.
func show(v reflect.Value) string {
	switch t := v.Type(); {
	case textual(t):
		if m, ok := reflect.TypeAssert[encoding.TextMarshaler](v); ok {
			if text, err := m.MarshalText(); err == nil {
				return string(text)
			}
			return "?"
		}
		return fmt.Sprint(v.Interface())
	case isDuration(t):
		text := v.Interface().(time.Duration).String()
		if strings.HasSuffix(text, "m0s") {
			text = strings.TrimSuffix(text, "0s")
		}
		if strings.HasSuffix(text, "h0m") {
			text = strings.TrimSuffix(text, "0m")
		}
		return text
	}
	return fmt.Sprint(v.Interface())
}
