//go:build !mutants

// Package mutants plants deliberate defects, to see that the tests catch them.
// Without the build tag of its name there are none.
package mutants

// On reports whether the defect is planted. Here it is a constant, so that the
// compiler leaves nothing of it.
func On(id string) bool { return false }
