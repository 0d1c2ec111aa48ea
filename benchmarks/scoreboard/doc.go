// Package scoreboard plays incidents against simulated providers, in virtual
// time, through policies that are written as plain functions. Its test writes
// docs/scoreboard.md:
//
//	cd benchmarks && go test ./scoreboard -run TestScoreboard -v -args -update
//
// Policies are in policies_test.go, what they are played against in
// world_test.go and incidents_test.go.
package scoreboard
