package settings

import (
	"cmp"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"unicode"
)

// Describe returns the effective values of the struct v, or of what v points
// to, in one line and in the order of its fields:
//
//	failureRate=0.5 slowRate=off openFor=15s models=2
//
// Zero fields show their defaults, numbers that are switched off show off, maps
// and slices of structs their length, and fields of structs within have the
// path as their name. What is empty, and functions not set, are left out.
// Types that print as redacted stay so.
func Describe(v any) string {
	given := reflect.Indirect(reflect.ValueOf(v))
	filled := reflect.New(given.Type()).Elem()
	filled.Set(given)
	fill(filled)
	return strings.Join(describe(nil, "", filled), " ")
}

func describe(line []string, path string, v reflect.Value) []string {
	for _, f := range fieldsOf(v.Type()) {
		at, name := v.FieldByIndex(f.Index), Join(path, f.label())
		if f.key != "" && at.Kind() == reflect.Pointer && !at.IsNil() {
			at = at.Elem()
		}
		if f.key != "" && at.Kind() == reflect.Struct && !textual(at.Type()) {
			line = describe(line, name, at)
		} else if text := f.text(at); text != "" {
			line = append(line, name+"="+text)
		}
	}
	return line
}

// text returns what Describe shows for the value v of f, or "" for nothing.
func (f field) text(v reflect.Value) string {
	t := v.Type()
	list := t.Kind() == reflect.Slice && !textual(t)
	counted := t.Kind() == reflect.Map || list && !plain(t.Elem())
	switch {
	case (list || counted) && v.Len() == 0:
		return ""
	case v.IsZero() && (f.key == "" || !plain(t) || t.Kind() == reflect.Struct):
		return ""
	case counted:
		return strconv.Itoa(v.Len())
	case list:
		var words []string
		for i := range v.Len() {
			words = append(words, word(show(v.Index(i))))
		}
		return "[" + strings.Join(words, " ") + "]"
	case f.key == "" || !plain(t):
		return "set"
	case numeric(t) && !named(v) && !f.spansZero() && v.IsZero():
		return cmp.Or(f.Tag.Get("zero"), "off")
	case numeric(t) && !named(v) && !f.spansZero() && isNegative(v):
		return "off"
	}
	return word(show(v))
}

// named reports whether v prints as a name, as constants with a String method do.
func named(v reflect.Value) bool {
	_, ok := reflect.TypeAssert[fmt.Stringer](v)
	return ok && !isDuration(v.Type())
}

// plain reports whether show can print a t.
func plain(t reflect.Type) bool {
	return textual(t) || numeric(t) || t.Kind() == reflect.String || t.Kind() == reflect.Bool
}

// word quotes s where it would not read as one word.
func word(s string) string {
	odd := func(r rune) bool { return r == '"' || unicode.IsSpace(r) || !unicode.IsPrint(r) }
	if strings.ContainsFunc(s, odd) {
		return strconv.Quote(s)
	}
	return s
}
