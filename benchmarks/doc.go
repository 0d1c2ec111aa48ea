// Package benchmarks measures the same work through this library and through
// others, side by side in one run. It is a module of its own, so that what it
// compares with is nobody else's dependency.
//
//	go test -bench . -count 5
package benchmarks
