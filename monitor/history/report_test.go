package history

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
)

func TestPeriods(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	require.NoError(t, err)
	at := func(text string) time.Time {
		v, err := time.ParseInLocation("2006-01-02 15:04", text, berlin)
		require.NoError(t, err)
		return v
	}
	for _, tt := range []struct {
		period       Period
		at, from, to string
		long         time.Duration
	}{
		{Day, "2026-03-29 12:00", "2026-03-29 00:00", "2026-03-30 00:00", 23 * time.Hour},
		{Day, "2026-10-25 00:00", "2026-10-25 00:00", "2026-10-26 00:00", 25 * time.Hour},
		{Day, "2026-12-31 23:59", "2026-12-31 00:00", "2027-01-01 00:00", 24 * time.Hour},
		{Week, "2026-11-29 23:59", "2026-11-23 00:00", "2026-11-30 00:00", 7 * 24 * time.Hour},
		{Week, "2026-11-30 00:00", "2026-11-30 00:00", "2026-12-07 00:00", 7 * 24 * time.Hour},
		{Month, "2026-02-28 10:00", "2026-02-01 00:00", "2026-03-01 00:00", 28 * 24 * time.Hour},
		{Hour, "2026-02-28 10:59", "2026-02-28 10:00", "2026-02-28 11:00", time.Hour},
		{"decade", "2026-02-28 10:59", "2026-02-28 00:00", "2026-03-01 00:00", 24 * time.Hour},
	} {
		from, to := tt.period.around(at(tt.at))
		require.Equal(t, at(tt.from), from, tt)
		require.Equal(t, at(tt.to), to, tt)
		require.Equal(t, tt.long, to.Sub(from), tt)
	}
}

func TestReport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{}, "a|b", "idle")
		rep := w.Report(Day, time.Now())
		require.Contains(t, rep.String(), "No calls. Nothing is known of the time before.")
		require.NotContains(t, rep.String(), "%")
		require.NotContains(t, rep.String(), "NaN")
		w.alone(t, func() {
			for range 24 {
				require.NoError(t, w.ask(t, "a|b"))
				time.Sleep(time.Hour - time.Second)
			}
			for range 6 {
				require.NoError(t, w.ask(t, "a|b"))
				w.fail["a|b"] = resilience.Overloaded
				require.Error(t, w.ask(t, "a|b"))
				delete(w.fail, "a|b")
				time.Sleep(time.Hour - 2*time.Second)
			}
			w.pool.Model("a|b").Hold(t.Context(), resilience.Hold{By: resilience.HoldHealth, Reason: "<b>probes</b>", Until: time.Now().Add(10 * time.Minute)})
			time.Sleep(20 * time.Minute)
		})
		rep = w.Report(Day, time.Now())
		require.EqualValues(t, 12, rep.Pool.Calls)
		require.EqualValues(t, 6, rep.Pool.Failures)
		require.Equal(t, .5, *rep.Pool.Answered)
		require.EqualValues(t, 7, rep.Pool.Before.Calls, "as far as the day has come")
		require.Equal(t, 1., *rep.Pool.Before.Answered)
		require.Len(t, rep.Models, 2)
		require.Nil(t, rep.Models[1].Answered, "a share of nothing")
		require.InDelta(t, 1-10./380, *rep.Models[0].Available, .001)
		require.Equal(t, 1., *rep.Models[1].Available)
		require.Len(t, rep.Incidents, 1)
		text := rep.String()
		require.Contains(t, text, "12 calls, 50.00 % answered")
		require.Contains(t, text, `| a\|b | 12 | 7 | 50.00 % | 97.37 %`)
		require.Contains(t, text, "| overloaded 6 | 1,320 |")
		require.Contains(t, text, "| idle | no calls | 0 | – | 100.00 % |")
		require.Contains(t, text, `for 10m0s: \<b>probes`)
		raw, err := json.Marshal(rep)
		require.NoError(t, err)
		require.Contains(t, string(raw), `"answeredShare":0.5`)
		require.NotContains(t, string(raw), "NaN")
		var back Report
		require.NoError(t, json.Unmarshal(raw, &back))
		require.Equal(t, rep.Pool.Calls, back.Pool.Calls)

		last := w.Report(Day, time.Now().Add(-24*time.Hour))
		require.EqualValues(t, 24, last.Pool.Calls)
		require.Equal(t, last.To, last.Until)
		require.Nil(t, last.Pool.Before)
		hour := w.Report(Hour, time.Now().Add(-time.Hour))
		require.EqualValues(t, 2, hour.Pool.Calls)
		require.EqualValues(t, 2, hour.Pool.Before.Calls)
		week := w.Report(Week, time.Now())
		require.EqualValues(t, 36, week.Pool.Calls)
		month := w.Report(Month, time.Now())
		require.EqualValues(t, 36, month.Pool.Calls)
		require.Zero(t, w.Report(Month, time.Now().AddDate(0, 2, 0)).Pool.Calls, "of the future")
	})
}

func TestText(t *testing.T) {
	require.Equal(t, "1,234,567 calls", count(1234567, "call"))
	require.Equal(t, "1 call", count(1, "call"))
	near := 0.999999
	require.Equal(t, "99.99 %", percent(&near))
	require.Equal(t, "–", percent(nil))
	require.Equal(t, "$0.0012", dollars(0.0012))
	require.Len(t, clean(strings.Repeat("x", 1000)+"\n"), maxReason)
	require.Equal(t, "ab", clean("a\x1b\nb\u2028"))
}
