package settings

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Lint returns what is wrong with the type of v, a Config or a pointer to one,
// and with the types within, as tests of the packages that declare them ask. A
// tag that does not parse is an error, and so are a default that is zero, out
// of bounds, or for anything but a number or a text; bounds and words for other
// types than they are meant for; exported fields without a JSON name, or with
// one that repeats another or begins with "x-"; and types that [Decode] cannot
// read.
func Lint(v any) error {
	l := linter{seen: map[reflect.Type]bool{}}
	t := reflect.TypeOf(v)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	l.readable(t.Name(), t)
	return errors.Join(l.errs...)
}

type linter struct {
	seen map[reflect.Type]bool
	errs []error
}

func (l *linter) fail(path, format string, args ...any) {
	l.errs = append(l.errs, fmt.Errorf("%s: %s", path, fmt.Sprintf(format, args...)))
}

func (l *linter) readable(path string, t reflect.Type) {
	switch {
	case plain(t):
	case t.Kind() == reflect.Struct:
		if !l.seen[t] {
			l.seen[t] = true
			l.fields(path, t)
		}
	case t.Kind() == reflect.Map && t.Key().Kind() == reflect.String && !textual(t.Key()),
		t.Kind() == reflect.Slice, t.Kind() == reflect.Pointer:
		l.readable(path, t.Elem())
	default:
		l.fail(path, "a file cannot set a %s", t)
	}
}

func (l *linter) fields(path string, t reflect.Type) {
	seen := map[string]string{}
	for _, f := range fieldsOf(t) {
		at := path + "." + f.Name
		l.tags(at, f)
		if f.key == "" {
			continue
		}
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch first, repeated := twin(seen, f.key); {
		case f.Anonymous:
			l.fail(at, "an embedded field; give it a name")
		case name == "":
			l.fail(at, "has no JSON name")
		case escaped(name):
			l.fail(at, "files ignore the key %s", name)
		case repeated:
			l.fail(at, "its key %s repeats %s", name, first)
		case options != "" && options != "omitempty" && options != "omitzero":
			l.fail(at, "JSON option %q", options)
		}
		l.readable(at, f.Type)
	}
}

func (l *linter) tags(path string, f field) {
	values := map[string]reflect.Value{}
	for _, tag := range []string{"default", "min", "max"} {
		value, ok, err := f.parsed(tag)
		switch {
		case !ok:
		case tag == "default" && (!plain(f.Type) || f.Type.Kind() == reflect.Bool):
			l.fail(path, "a %s cannot have a default", f.Type)
		case tag != "default" && !numeric(scalar(f.Type)):
			l.fail(path, "a %s cannot have a %s", f.Type, tag)
		case err != nil:
			l.fail(path, "%s: %v", tag, err)
		default:
			values[tag] = value
		}
	}
	l.bounds(path, f, values)
	l.words(path, f)
	if off, ok := f.Tag.Lookup("off"); ok && (off != "no" && (off != "yes" || f.hasDefault()) || !signed(f.Type) || f.spansZero()) {
		l.fail(path, `off is for numbers that a negative value could switch off: "no", or "yes" without a default`)
	}
	if _, ok := f.Tag.Lookup("zero"); ok && (f.hasDefault() || !numeric(f.Type)) {
		l.fail(path, "zero is for numbers without a default")
	}
}

func (l *linter) bounds(path string, f field, values map[string]reflect.Value) {
	fallback, hasDefault := values["default"]
	least, hasMin := values["min"]
	most, hasMax := values["max"]
	switch {
	case hasMin && hasMax && compare(least, most) > 0:
		l.fail(path, "min is more than max")
	case hasDefault && fallback.IsZero():
		l.fail(path, "a default of zero says nothing")
	case hasDefault && isNegative(fallback) && !f.spansZero():
		l.fail(path, "a negative default means off; leave it out")
	case hasDefault && (hasMin && compare(fallback, least) < 0 || hasMax && compare(fallback, most) > 0):
		l.fail(path, "the default is out of bounds")
	}
}

func (l *linter) words(path string, f field) {
	text, ok := f.Tag.Lookup("oneof")
	words := strings.Fields(text)
	switch s := scalar(f.Type); {
	case !ok:
	case s.Kind() != reflect.String || textual(s):
		l.fail(path, "a %s cannot have oneof", f.Type)
	case len(words) == 0:
		l.fail(path, "oneof has no words")
	case f.hasDefault() && !slices.Contains(words, f.Tag.Get("default")):
		l.fail(path, "the default is not one of its words")
	}
}
