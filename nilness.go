package resilience

import "reflect"

// nilness is how to tell that a response is nothing.
type nilness uint8

const (
	never        nilness = iota // its type has no nil
	byValue                     // compared with the zero value
	byReflection                // maps, functions, what an interface holds
)

func nilnessOf(kind reflect.Kind) nilness {
	switch kind {
	case reflect.Pointer, reflect.Chan:
		return byValue
	case reflect.Map, reflect.Func, reflect.Interface:
		return byReflection
	default:
		return never
	}
}

func isNil[Resp any](resp Resp, n nilness) bool {
	switch n {
	case byValue:
		var none Resp
		return any(resp) == any(none)
	case byReflection:
		switch v := reflect.ValueOf(any(resp)); v.Kind() {
		case reflect.Invalid:
			return true
		case reflect.Pointer, reflect.Map, reflect.Func, reflect.Chan:
			return v.IsNil()
		}
	}
	return false
}
