package main

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience/chaos"
)

// TestProviderDies has one provider die and come back, then both. No call waits
// for what is known to be dead, and nobody has to bring anything back.
func TestProviderDies(t *testing.T) {
	bubble(t, pair("http://atlas", "http://boreal"), chaos.Model{}, func(w *world) {
		served := func(by, degraded string, messages ...string) {
			t.Helper()
			w.asked(by)
			res := w.chat()
			require.Equal(t, 200, res.Code)
			require.Equal(t, by, res.Header().Get("X-Model")[:len(by)])
			require.Equal(t, degraded, res.Header().Get("X-Degraded"))
			requests := w.asked(by)
			require.Len(t, requests, 1)
			for _, text := range []string{"two questions", "200 words"} {
				require.Equal(t, slices.Contains(messages, text), strings.Contains(requests[0], text), requests[0])
			}
		}
		served("atlas", "", "two questions")

		w.kill("atlas", true)
		for range 12 {
			require.Equal(t, 200, w.chat().Code)
			time.Sleep(5 * time.Second)
		}
		require.Less(t, len(w.asked("atlas")), 20)
		code, reasons := w.ready()
		require.Equal(t, 200, code)
		require.Contains(t, reasons["atlas-large"], "held by recovery (is being brought back)")
		require.Empty(t, reasons["boreal-chat"])
		for range 12 {
			served("boreal", "moderate: reduced", "two questions", "200 words")
			time.Sleep(5 * time.Second)
		}
		require.Empty(t, w.asked("atlas"), "users' calls are no probes")

		w.kill("boreal", true)
		for range 12 {
			w.chat()
			time.Sleep(5 * time.Second)
		}
		code, reasons = w.ready()
		require.Equal(t, 503, code)
		require.Contains(t, reasons["boreal-chat"], "held by recovery")
		res := w.chat()
		require.Equal(t, 503, res.Code)
		require.NotEmpty(t, res.Header().Get("Retry-After"))

		w.kill("atlas", false)
		w.kill("boreal", false)
		time.Sleep(time.Minute)
		code, reasons = w.ready()
		require.Equal(t, 200, code)
		require.Equal(t, map[string]string{"atlas-large": "", "boreal-chat": ""}, reasons)
		time.Sleep(3 * time.Minute)
		served("atlas", "", "two questions")
	})
}

// TestIdle has a provider die that nobody asks for anything. Probes notice.
func TestIdle(t *testing.T) {
	bubble(t, pair("http://atlas", "http://boreal"), chaos.Model{}, func(w *world) {
		w.kill("atlas", true)
		time.Sleep(3 * time.Minute)
		_, reasons := w.ready()
		require.Contains(t, reasons["atlas-large"], "held by health (probe: unreachable)")
		require.Equal(t, 200, w.chat().Code)
		require.Empty(t, w.asked("atlas"))
		w.kill("atlas", false)
		time.Sleep(time.Minute)
		_, reasons = w.ready()
		require.Empty(t, reasons["atlas-large"])
		require.Equal(t, "atlas-large", w.chat().Header().Get("X-Model"))
	})
}

// TestOverload asks for four times as much as there is room for.
func TestOverload(t *testing.T) {
	config := `{"models": [{"id": "atlas-large", "limits": {"concurrency": 4}, "labels": {"baseURL": "http://atlas/v1"}}]}`
	oneSecond := chaos.Model{Rate: chaos.Always(float64(len(strings.Fields(sky))))}
	mix := []string{"low", "low", "normal", "low", "low", "normal", "low", "critical"}
	const begins, ends, perSecond = 30, 120, 16
	bubble(t, config, oneSecond, func(w *world) {
		var calls sync.WaitGroup
		codes := make([]int, ends*perSecond)
		for i := range codes {
			calls.Go(func() { codes[i] = w.chat("X-Priority", mix[i%len(mix)]).Code })
			time.Sleep(time.Second / perSecond)
		}
		code, reasons := w.ready()
		require.Equal(t, 200, code, "others would be no better off without it")
		require.Contains(t, reasons["atlas-large"], "full: 4 of 4 under way")
		calls.Wait()

		asked, served := map[string]int{}, map[string]int{}
		for i := begins * perSecond; i < len(codes); i++ {
			asked[mix[i%len(mix)]]++
			if codes[i] == 200 {
				served[mix[i%len(mix)]]++
			}
		}
		require.Equal(t, asked["critical"], served["critical"])
		require.Greater(t, served["normal"], asked["normal"]/3, "what is left is theirs")
		require.Less(t, served["low"], asked["low"]/20)
		log := w.String()
		require.Contains(t, log, "low priority, and the level is severe")
		require.Contains(t, log, `report.level=severe report.givenUp="reduced, suggestions"`)

		time.Sleep(5 * time.Minute)
		res := w.chat("X-Priority", "low")
		require.Equal(t, 200, res.Code)
		require.Empty(t, res.Header().Get("X-Degraded"))
	})
}
