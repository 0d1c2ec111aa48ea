package main

import (
	"context"
	"iter"
	"net/http"
	"strconv"
	"strings"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/degrade"
)

// priorities are what X-Priority may say. Low ones are refused first.
var priorities = map[string]resilience.Priority{
	"low": resilience.Low, "": resilience.Normal, "normal": resilience.Normal, "high": resilience.High, "critical": resilience.Critical,
}

// answer asks m also for suggestions, unless the level of degradation has them
// disabled.
func (a api) answer(ctx context.Context, m *resilience.Model, messages []Message) iter.Seq2[Chunk, error] {
	if degrade.Enabled(ctx, "suggestions") {
		messages = told(messages, "End with two questions that could come next.")
	}
	return a.ask(ctx, m, messages)
}

// shorter asks for less, the less the higher the step.
func shorter(messages []Message, step int) []Message {
	return told(messages, "Answer in "+strconv.Itoa(max(400>>step, 1))+" words at most.")
}

func told(messages []Message, what string) []Message {
	return append([]Message{{"system", what}}, messages...)
}

// sayDegraded says of an answer what was given up for it.
func sayDegraded(h http.Header, rep resilience.Report) {
	if len(rep.GivenUp) > 0 {
		h.Set("X-Degraded", rep.Level+": "+strings.Join(rep.GivenUp, ", "))
	}
}
