//go:build mutants

// Package mutants plants deliberate defects, to see that the tests catch them.
// Without the build tag of its name there are none.
package mutants

import "os"

var chosen = os.Getenv("RESILIENCE_MUTANT")

// On reports whether the defect is planted.
func On(id string) bool { return id == chosen }
