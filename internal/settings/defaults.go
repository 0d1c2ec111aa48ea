package settings

import (
	"cmp"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Fill gives the fields of the struct at v that are zero their defaults, those
// in nested structs, slices and maps included, but not those in overrides.
// Negative numbers stay. Slices, maps and pointers on the way to a default are
// copied, so that Fill writes to nothing that v shares.
func Fill(v any) { fill(reflect.ValueOf(v).Elem()) }

func fill(v reflect.Value) {
	t := v.Type()
	if textual(t) || scalar(t).Kind() != reflect.Struct || textual(scalar(t)) {
		return
	}
	switch t.Kind() {
	case reflect.Struct:
		for _, f := range fieldsOf(t) {
			at := v.FieldByIndex(f.Index)
			if value, ok := f.value("default"); ok && at.IsZero() {
				at.Set(value)
			} else if f.key != "" && !f.overrides {
				fill(at)
			}
		}
	case reflect.Pointer:
		if !v.IsNil() {
			target := reflect.New(t.Elem())
			target.Elem().Set(v.Elem())
			fill(target.Elem())
			v.Set(target)
		}
	case reflect.Slice:
		if !v.IsNil() {
			elems := reflect.MakeSlice(t, v.Len(), v.Len())
			reflect.Copy(elems, v)
			for i := range v.Len() {
				fill(elems.Index(i))
			}
			v.Set(elems)
		}
	case reflect.Map:
		if !v.IsNil() {
			entries := reflect.MakeMapWithSize(t, v.Len())
			for key, value := range v.Seq2() {
				elem := reflect.New(t.Elem()).Elem()
				elem.Set(value)
				fill(elem)
				entries.SetMapIndex(key, elem)
			}
			v.Set(entries)
		}
	}
}

// Overlay returns base with every field that is not zero in over as it is
// there. Structs within are overlaid field by field; functions, pointers,
// slices and maps, those of overrides too, are taken whole and shared.
func Overlay[T any](base, over T) T {
	overlay(reflect.ValueOf(&base).Elem(), reflect.ValueOf(&over).Elem())
	return base
}

func overlay(base, over reflect.Value) {
	for _, f := range fieldsOf(base.Type()) {
		to, from := base.FieldByIndex(f.Index), over.FieldByIndex(f.Index)
		if f.key != "" && f.Type.Kind() == reflect.Struct && !textual(f.Type) {
			overlay(to, from)
		} else if !from.IsZero() {
			to.Set(from)
		}
	}
}

// Over returns base with what data says lying over it, nothing if that is nil, and
// with defaults. If there are problems, as of [Decode] or [Check], it is of no use.
func Over[T any](path string, data []byte, base T) (T, []Problem) {
	if data != nil {
		if problems := Decode(path, data, &base); len(problems) > 0 {
			return base, problems
		}
	}
	problems := Check(path, base)
	Fill(&base)
	return base, problems
}

// Check returns what is wrong with v, a struct or a slice or map of them, by
// its tags and the package's rules for zero and negative values; path is where
// v stands. Floats are finite besides. Fields that no file can set are not
// looked at. It does not matter whether v is filled.
func Check(path string, v any) []Problem {
	var c checker
	c.value(path, reflect.ValueOf(v), field{}, false)
	return c.problems
}

type checker struct{ decoder }

// value checks v, which is what f holds or an element of it.
func (c *checker) value(path string, v reflect.Value, f field, over bool) {
	switch t := v.Type(); {
	case textual(t):
	case t.Kind() == reflect.Struct:
		c.fields(path, v, over)
	case t.Kind() == reflect.Pointer:
		if !v.IsNil() {
			c.value(path, v.Elem(), f, false)
		}
	case t.Kind() == reflect.Slice:
		for i := range v.Len() {
			c.value(path+"["+strconv.Itoa(i)+"]", v.Index(i), f, false)
		}
	case t.Kind() == reflect.Map && t.Key().Kind() == reflect.String:
		c.entries(path, v, f, f.overrides)
	case t.Kind() == reflect.String:
		c.word(path, v, f)
	case numeric(t):
		c.number(path, v, f, over)
	}
}

func (c *checker) fields(path string, v reflect.Value, over bool) {
	for _, f := range c.fieldsOf(v.Type()) {
		at := v.FieldByIndex(f.Index)
		switch {
		case f.key == "":
		case over && f.overrides && at.Len() > 0:
			c.fail(Join(path, f.key), "an override cannot hold overrides")
		default:
			c.value(Join(path, f.key), at, f, over)
		}
	}
}

func (c *checker) entries(path string, v reflect.Value, f field, over bool) {
	byName := func(a, b reflect.Value) int { return cmp.Compare(a.String(), b.String()) }
	for _, key := range slices.SortedFunc(slices.Values(v.MapKeys()), byName) {
		c.value(Join(path, key.String()), v.MapIndex(key), f, over)
	}
}

func (c *checker) word(path string, v reflect.Value, f field) {
	words := strings.Fields(f.Tag.Get("oneof"))
	notSet := v.String() == "" && f.Type == v.Type()
	if len(words) > 0 && !notSet && !slices.Contains(words, v.String()) {
		c.fail(path, "%s is none of %s%s", quote(v.String()), strings.Join(words, ", "), didYouMean(v.String(), words))
	}
}

func (c *checker) number(path string, v reflect.Value, f field, over bool) {
	notSet := v.IsZero() && f.Type == v.Type()
	switch {
	case v.CanFloat() && (math.IsNaN(v.Float()) || math.IsInf(v.Float(), 0)):
		c.fail(path, "%s is not a finite number", show(v))
		return
	case notSet:
		return
	case isNegative(v) && !f.spansZero():
		if !f.canBeOff() || !over && !f.hasDefault() && f.Tag.Get("off") != "yes" {
			c.fail(path, "%s must not be negative", show(v))
		}
		return
	}
	if least, ok := f.value("min"); ok && compare(v, least) < 0 {
		c.fail(path, "%s is less than %s", show(v), show(least))
	}
	if most, ok := f.value("max"); ok && compare(v, most) > 0 {
		c.fail(path, "%s is more than %s", show(v), show(most))
	}
}

// compare orders two numbers of one type.
func compare(a, b reflect.Value) int {
	switch {
	case a.CanInt():
		return cmp.Compare(a.Int(), b.Int())
	case a.CanUint():
		return cmp.Compare(a.Uint(), b.Uint())
	}
	return cmp.Compare(a.Float(), b.Float())
}
