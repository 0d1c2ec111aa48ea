// Package bipadapter holds votes among models: who may vote, what a ballot is,
// how ballots are counted under a written rule, and whether chains of votes
// that others have published are as they were written.
package bipadapter
