package chaos

import (
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// Each scenario as its first attempts, and a later one, are at the wire.
func TestFailoverBenchAtTheWire(t *testing.T) {
	const healthy, pace = 60, 15 * time.Millisecond
	for name, c := range map[string]struct {
		statuses []int // of attempts one after the other; 0: no response
		words    int   // that the last has
		complete bool
		first    time.Duration // until its first text
		took     time.Duration
	}{
		"fb-s01":       {[]int{429, 200}, healthy, true, 0, healthy * pace},
		"fb-s02":       {[]int{429, 429, 429}, 0, false, 0, 0},
		"fb-s03":       {[]int{500, 200}, healthy, true, 0, healthy * pace},
		"fb-s04":       {[]int{503, 503}, 0, false, 0, 0},
		"fb-s05":       {[]int{0, 200}, healthy, true, 0, healthy * pace},
		"fb-s06":       {[]int{0, 0}, 0, false, 0, 2 * time.Minute},
		"fb-s07":       {[]int{200, 200}, healthy, true, 20 * time.Second, 20*time.Second + healthy*pace},
		"fb-s08":       {[]int{200, 200}, 40, false, 0, 39 * pace},
		"fb-s09":       {[]int{200}, 20, false, 0, 19*pace + 30*time.Second},
		"fb-s10":       {[]int{200}, healthy, true, 0, healthy * pace},
		"fb-s11":       {[]int{200}, healthy, false, 0, healthy * pace},
		"fb-s12":       {[]int{400, 400}, 0, false, 0, 0},
		"fb-s13":       {[]int{400, 400}, 0, false, 0, 0},
		"fb-s14":       {[]int{200}, 40, false, 0, 39 * pace},
		"fb-s15":       {[]int{503, 503}, 0, false, 0, 0},
		"fb-s16":       {[]int{503}, 0, false, 0, 0},
		"fb-ok":        {[]int{200}, healthy, true, 0, healthy * pace},
		"fb-noprefill": {[]int{200}, healthy, true, 0, healthy * pace},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := provider(t, FailoverBench()...)
				d := dialects[0]
				d.streamBody = strings.Replace(d.streamBody, `"m"`, `"`+name+`"`, 1)
				var s seen
				for _, want := range c.statuses {
					s = d.ask(t, p, true)
					if want == 0 {
						require.ErrorIs(t, s.err, io.EOF)
					} else {
						require.Equal(t, want, s.StatusCode)
					}
				}
				require.Len(t, strings.Fields(s.said), c.words)
				require.Equal(t, c.complete, d.complete(s))
				require.InDelta(t, c.took.Seconds(), s.took.Seconds(), 1e-6)
				if c.words > 0 {
					require.True(t, strings.HasPrefix(benchText, s.said))
				}
				if name == "fb-s15" {
					time.Sleep(time.Minute)
					require.Equal(t, benchText, d.ask(t, p, true).said)
				}
				if name == "fb-noprefill" {
					require.Equal(t, 400, d.continued("At six").ask(t, p, true).StatusCode)
				}
				if name == "fb-s11" {
					require.Contains(t, s.events[len(s.events)-1], `"usage":{"prompt_tokens":6,"completion_tokens":60`)
				}
				if name == "fb-s07" {
					require.Contains(t, s.events[0], `"role":"assistant"`)
				}
			})
		})
	}
	require.Len(t, FailoverBench(), 18)
}

func TestFailoverBenchFirstAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := provider(t, FailoverBench()...)
		d := dialects[0]
		d.body = strings.Replace(d.body, `"m"`, `"fb-s01"`, 1)
		require.Equal(t, "2", d.ask(t, p, false).Header.Get("Retry-After"))
		d.body = strings.Replace(d.body, `fb-s01`, `fb-s02`, 1)
		require.Empty(t, d.ask(t, p, false).Header.Get("Retry-After"))
		d.body = strings.Replace(d.body, `fb-s02`, `fb-s13`, 1)
		require.Contains(t, d.ask(t, p, false).body, "content_policy_violation")
	})
}
