package chaos

import "time"

// FailoverBench returns models that fail as those of Failover Bench v0.1 do, a
// public comparison of what gateways make of a failing provider: fb-s01 to
// fb-s16, one a scenario, and two to fall back to, fb-ok, which is healthy, and
// fb-noprefill, which refuses to continue an assistant's message. The healthy
// answer of all of them has sixty words, one a token, 15 ms apart.
//
//	fb-s01  first attempt 429 with Retry-After: 2
//	fb-s02  429 without it, always
//	fb-s03  first attempt 500
//	fb-s04  503, always
//	fb-s05  first attempt a reset connection
//	fb-s06  no answer, for 120 s
//	fb-s07  headers at once, the first token after 20 s
//	fb-s08  the stream ends after 40 tokens, without end marker
//	fb-s09  after 20 tokens silence of 30 s, then the connection closes
//	fb-s10  an event that is no JSON after token 10
//	fb-s11  complete, without [DONE]
//	fb-s12  400 context_length_exceeded, always
//	fb-s13  400 content_policy_violation, always
//	fb-s14  as fb-s08, to fall back to fb-noprefill
//	fb-s15  503 in the first 60 s of the provider
//	fb-s16  503, always
func FailoverBench() []Model {
	model := func(name string) Model {
		return Model{Name: name, Text: benchText, Rate: Always(1000. / 15)}
	}
	always := func(name string, f Fault) Model {
		m := model(name)
		m.Failures = []Failure{{Fault: f, Share: 1}}
		return m
	}
	once := func(name string, f Fault) Model {
		m := model(name)
		m.Script = []Fault{f}
		return m
	}
	for60s, noPrefill := model("fb-s15"), model("fb-noprefill")
	for60s.Incidents = []Incident{{Fault: Fault{Status: 503}, For: time.Minute}}
	noPrefill.NoPrefill = true
	return []Model{
		once("fb-s01", Fault{Status: 429, RetryAfter: "2"}),
		always("fb-s02", Fault{Status: 429}),
		once("fb-s03", Fault{Status: 500}),
		always("fb-s04", Fault{Status: 503}),
		once("fb-s05", Fault{Name: Reset}),
		always("fb-s06", Fault{Name: Silent, For: 2 * time.Minute}),
		always("fb-s07", Fault{Name: SlowStart, After: 20 * time.Second}),
		always("fb-s08", Fault{Name: Cut, Tokens: 40}),
		always("fb-s09", Fault{Name: Stall, Tokens: 20, For: 30 * time.Second}),
		always("fb-s10", Fault{Name: Malformed, Tokens: 10}),
		always("fb-s11", Fault{Name: NoDone}),
		always("fb-s12", Fault{Name: TooLong}),
		always("fb-s13", Fault{Name: Filtered}),
		always("fb-s14", Fault{Name: Cut, Tokens: 40}),
		for60s,
		always("fb-s16", Fault{Status: 503}),
		model("fb-ok"),
		noPrefill,
	}
}

const benchText = "At six the bakery on the corner turns its lights on and the street begins to smell of bread. " +
	"A van brings flour, two cats watch from a wall, and the baker waves at them with a white hand. " +
	"By seven there is a queue, by nine the shelves are empty, and nobody who came late is ever surprised today."
