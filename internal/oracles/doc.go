// Package oracles compares the statistics of monitor/analytics with those of others. It
// is a module of its own, so that nobody who uses the library has these others.
package oracles
