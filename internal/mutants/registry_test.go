package mutants

// A mutant is a defect that is planted at one place of the source.
type mutant struct {
	id     string
	dir    string // of its package, and of the test that is to catch it
	breaks string // what then goes wrong
	test   string
}

// registry lists all mutants. Many are bugs that libraries like this one had.
var registry = []mutant{
	{"breaker-closes-on-nothing", "breaker", "a probe whose caller left closes the breaker", "TestCallerGivesUp"},
	{"breaker-counts-stale-outcomes", "breaker", "calls of an earlier state count in this one", "TestStaleOutcomes"},
	{"breaker-counts-what-is-not-against", "breaker", "wrong requests and callers who leave open the breaker", "TestRequestsNeverOpen"},
	{"breaker-hung-probe-wedges", "breaker", "a probe that does not return keeps the breaker half-open for good", "TestHungProbe"},
	{"breaker-panic-keeps-the-probe", "breaker", "a probe that panics keeps its place", "TestProbeThatDoesNotReturn"},
	{"breaker-probes-without-bound", "breaker", "all callers probe at once", "TestNoMoreProbesThanAllowed"},

	{"retry-at-every-level", "retry", "nested retries multiply", "TestLayerNested"},
	{"retry-backoff-without-cap", "retry", "waits grow beyond Max", "TestDo"},
	{"retry-broken-streams-pay-in", "retry", "a stream that breaks pays for retries", "TestLayerStreamsFundTheBudgetAtTheirEnd"},
	{"retry-sooner-than-asked", "retry", "Retry-After is not heeded", "TestRunWait"},
	{"retry-waits-as-long-as-told", "retry", "Retry-After has no bound", "TestRules"},
	{"retry-waits-past-the-deadline", "retry", "a wait begins that does not fit the call's time", "TestDoFitsTheDeadline"},
	{"retry-without-budget", "retry", "retries amplify an outage", "TestDoBudget"},

	{"fallback-asks-held-models", "fallback", "a call asks held models though nobody allowed that", "TestLastResort"},
	{"fallback-beyond-its-limit", "fallback", "a call goes to more models than it may", "TestLimits"},
	{"fallback-goes-on-for-nobody", "fallback", "a call goes on after its time", "TestLateFailureStops"},
	{"fallback-hedges-while-throttled", "fallback", "models that ask for less get hedges", "TestHedgeIsOffWhereProvidersAskForLess"},
	{"fallback-hedges-without-bound", "fallback", "when all is slow all calls are hedged", "TestHedgesAreBoundedWhenAllIsSlow"},
	{"fallback-spreads-bad-requests", "fallback", "a wrong request goes to every model", "TestKinds"},

	{"health-believes-itself-when-late", "health", "a process that slept takes models out for it", "TestSuspended"},
	{"health-holds-the-last-model", "health", "no model is left", "TestMaxEjected"},
	{"health-probe-refutes-calls", "health", "a list of models clears a model whose calls fail", "TestProbeBesideCalls"},

	{"balance-affinity-without-bound", "balance", "one conversation overloads its model", "TestAffinityIsBounded"},
	{"balance-floods-the-recovered", "balance", "a model that is back gets all of its traffic at once", "TestBreakersThatCloseStartSlowly"},
	{"balance-picks-the-worse", "balance", "of two models the worse one is asked", "TestLatencyDecides"},
	{"balance-quick-failures-attract", "balance", "a model that fails at once looks fast", "TestSlowStartBesideFailures"},
	{"balance-weights-do-not-count", "balance", "shares do not follow weights", "TestWeightedIsSmoothAndExact"},

	{"degrade-all-the-way-down", "degrade", "a level ends at once instead of one at a time", "TestOutage"},
	{"degrade-believes-what-a-pause-made", "degrade", "what a suspended process sees when it wakes counts", "TestSuspended"},
	{"degrade-overrides-for-ever", "degrade", "an override does not end by itself", "TestOverridesNest"},

	{"limiter-deaf-to-headers", "balance", "what providers say of their limits is not heard", "TestLimiterWaitsItsTurn"},
	{"limiter-lets-all-in", "balance", "more attempts are under way than the limit says", "TestLimiterStreams"},
	{"limiter-loses-places-of-those-who-left", "balance", "a place given to a caller who left is lost", "TestLimiterLetInTooLate"},
	{"limiter-one-tenant-takes-all", "balance", "tenants do not take turns", "TestLimiterOrder"},
	{"limiter-panic-keeps-the-place", "balance", "an attempt that panics keeps its place", "TestLimiterPlacesComeBack"},
	{"limiter-queue-without-bound", "balance", "a queue grows without end", "TestLimiterSaysWhy"},

	{"recovery-floods-at-a-reset", "recovery", "a model that is reset gets all of its traffic for a moment", "TestNoFloodPassesAReset"},
	{"recovery-leaves-a-ramp-behind", "recovery", "a model on its way back stays at a tenth when Run ends", "TestRunThatStops"},
	{"recovery-tries-all-at-once", "recovery", "a thousand models come back at the same instant", "TestFewAtOnce"},

	{"alert-believes-a-dead-channel", "monitor/alert", "what a channel refused counts as told", "TestChannels"},
	{"alert-counts-time-that-nobody-watched", "monitor/alert", "what was about to fire when Run ended fires as it begins", "TestRunStopsAndStarts"},
	{"alert-tells-an-end-again", "monitor/alert", "each evaluation tells that an alert is over", "TestModelUnavailable"},

	{"tally-absent-voters-shrink-the-whole", "bipadapter", "two of five are a majority of those who came", "TestCount"},
	{"tally-liars-decide", "bipadapter", "a decision stands that liars could have made", "TestCount"},
	{"tally-two-ballots-of-one-voter", "bipadapter", "a voter who says yes and no is believed", "TestOneVoterOneBallot"},
	{"record-closing-is-believed", "bipadapter", "a record is verified whose outcome is not what its ballots come to", "TestVerifyFindsWhatAnOperatorLogs"},
	{"record-gaps-pass", "bipadapter", "a round that was run again is shown without the first", "TestVerifyRoundsOnABIP"},

	{"call-attempts-without-bound", ".", "retries, moves and nested calls have no common bound", "TestNestedCallsShareTheBudget"},
	{"attempt-blames-models-for-a-process-that-slept", ".", "timeouts that a stopped process woke up to count against models", "TestAsleep"},
	{"call-blames-models-for-short-deadlines", ".", "an attempt that got the last second counts against its model", "TestCut"},
	{"call-once-is-not-once", ".", "what may have been accepted is asked again", "TestOnceAcrossPools"},
	{"hold-keeps-its-first-end", ".", "a longer Retry-After does not extend a hold", "TestHoldsExtendAndNeverShorten"},
	{"race-cancels-the-winner", ".", "the answer that came first is cut off", "TestStreamsRace"},
	{"rescue-mixes-two-answers", ".", "an answer goes on with the rest of another one", "TestRescue"},
	{"rescue-repeats-what-was-delivered", ".", "a reader gets a text twice", "TestRescue"},
	{"stream-cut-is-a-success", ".", "an answer without its end marker is a success", "TestStreamNeverTruncatedAsSuccess"},
	{"stream-error-is-a-success", ".", "an answer that an error broke off is a success", "TestStreamNeverTruncatedAsSuccess"},
	{"stream-stalls-unnoticed", ".", "a stream that stalls hangs its reader", "TestWhoEndedAStream"},
}
