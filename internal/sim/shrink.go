package sim

import "slices"

// Shrink returns a part of list for which fails holds, as it does for list, and
// from which no element can be left out, unless it asks fails more than most
// times before it knows (delta debugging; Zeller and Hildebrandt 2002).
func Shrink[T any](list []T, most int, fails func([]T) bool) []T {
	asked := 0
	try := func(part []T) bool {
		asked++
		return asked <= most && fails(part)
	}
	if try(nil) {
		return nil
	}
	for parts := 2; len(list) > 1 && asked < most; {
		size := (len(list) + parts - 1) / parts
		smaller := false
		for from := 0; from < len(list) && !smaller; from += size {
			to := min(from+size, len(list))
			if rest := slices.Concat(list[:from], list[to:]); try(rest) {
				list, parts, smaller = rest, max(parts-1, 2), true
			}
		}
		if !smaller {
			if size == 1 {
				break
			}
			parts = min(2*parts, len(list))
		}
	}
	return list
}
