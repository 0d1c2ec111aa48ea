package budget

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func location(tb testing.TB, name string) *time.Location {
	tb.Helper()
	loc, err := time.LoadLocation(name)
	require.NoError(tb, err)
	return loc
}

func TestWindowText(t *testing.T) {
	for text, want := range map[string]Window{
		"1h":                  Every(time.Hour),
		"1m30s":               Every(90 * time.Second),
		"sliding 24h":         Sliding(24 * time.Hour),
		"day":                 Day(nil),
		"week Europe/Berlin":  Week(location(t, "Europe/Berlin")),
		"month Europe/Lisbon": Month(location(t, "Europe/Lisbon")),
		"day Local":           Day(time.Local),
	} {
		require.Equal(t, text, want.String())
		marshaled, err := json.Marshal(want)
		require.NoError(t, err)
		var got Window
		require.NoError(t, json.Unmarshal(marshaled, &got))
		require.Equal(t, want.String(), got.String())
		require.Equal(t, want.kind, got.kind)
	}
	var w Window
	require.NoError(t, w.UnmarshalText([]byte("month UTC")))
	require.Equal(t, Month(time.UTC), w)
	require.Equal(t, "month", w.String())
	require.NoError(t, w.UnmarshalText([]byte("60m0s")))
	require.Equal(t, "1h", w.String())

	for text, want := range map[string]string{
		"":                     `"" is no window such as "1h", "sliding 1h", "day", "week" or "month Europe/Lisbon"`,
		"monthly":              `"monthly" is no window`,
		"sliding":              `"" is no window`,
		"sliding day":          `"day" is no window`,
		"Day":                  `"Day" is no window`,
		"0s":                   "is missing",
		"-1h":                  "-1h is less than 1s",
		"10ms":                 "10ms is less than 1s",
		"sliding 9000h":        "9000h is more than 8784h",
		"day Europe/Lissabon":  `there is no time zone "Europe/Lissabon" here; programs that take theirs along import time/tzdata`,
		"day ../../etc/passwd": "there is no time zone",
		"day ":                 "there is no time zone",
		"1h UTC":               "is no window",
	} {
		require.ErrorContains(t, w.UnmarshalText([]byte(text)), want, text)
		require.Equal(t, "1h", w.String(), "what is refused changes nothing")
	}
	_, err := Window{}.MarshalText()
	require.ErrorContains(t, err, "is missing")
	require.Equal(t, "none", Window{}.String())
	_, err = Day(time.FixedZone("nowhere", 60)).MarshalText()
	require.ErrorContains(t, err, `no time zone "nowhere"`)
}

func FuzzWindow(f *testing.F) {
	for _, text := range []string{"1h", "sliding 1h", "day", "week Europe/Berlin", "month Africa/Cairo", "day Local", "sliding 1h1ns"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var w, again Window
		if w.UnmarshalText([]byte(text)) != nil {
			return
		}
		out, err := w.MarshalText()
		require.NoError(t, err)
		require.NoError(t, again.UnmarshalText(out))
		require.Equal(t, w.String(), again.String())
		if w.kind == "" || w.kind == sliding {
			require.Equal(t, w, again)
		}
	})
}

// Calendar windows begin where the calendar does, whatever the clock does there.
func TestCalendar(t *testing.T) {
	for name, c := range map[string]struct {
		zone   string
		window func(*time.Location) Window
		at     string // local, with its offset
		since  string
		hours  float64
	}{
		"a day in UTC":                         {"UTC", Day, "2026-03-08T12:00:00Z", "2026-03-08T00:00:00Z", 24},
		"Lisbon in spring":                     {"Europe/Lisbon", Day, "2026-03-29T12:00:00+01:00", "2026-03-29T00:00:00Z", 23},
		"Lisbon in autumn":                     {"Europe/Lisbon", Day, "2026-10-25T00:30:00+01:00", "2026-10-25T00:00:00+01:00", 25},
		"Lisbon, the hour that comes twice":    {"Europe/Lisbon", Day, "2026-10-25T01:30:00Z", "2026-10-25T00:00:00+01:00", 25},
		"March in Lisbon":                      {"Europe/Lisbon", Month, "2026-03-31T23:59:59+01:00", "2026-03-01T00:00:00Z", 31*24 - 1},
		"a week in Lisbon":                     {"Europe/Lisbon", Week, "2026-03-29T23:00:00+01:00", "2026-03-23T00:00:00Z", 7*24 - 1},
		"a Monday":                             {"Europe/Lisbon", Week, "2026-03-30T00:00:00+01:00", "2026-03-30T00:00:00+01:00", 7 * 24},
		"New York in spring":                   {"America/New_York", Day, "2026-03-08T04:00:00-04:00", "2026-03-08T00:00:00-05:00", 23},
		"New York in autumn":                   {"America/New_York", Day, "2026-11-01T23:00:00-05:00", "2026-11-01T00:00:00-04:00", 25},
		"November in New York":                 {"America/New_York", Month, "2026-11-30T00:00:00-05:00", "2026-11-01T00:00:00-04:00", 30*24 + 1},
		"New Year's Eve":                       {"America/New_York", Month, "2026-12-31T23:59:59-05:00", "2026-12-01T00:00:00-05:00", 31 * 24},
		"February of a leap year":              {"UTC", Month, "2028-02-29T23:00:00Z", "2028-02-01T00:00:00Z", 29 * 24},
		"São Paulo, no midnight":               {"America/Sao_Paulo", Day, "2018-11-04T12:00:00-02:00", "2018-11-04T01:00:00-02:00", 23},
		"São Paulo, the day before":            {"America/Sao_Paulo", Day, "2018-11-03T23:59:59-03:00", "2018-11-03T00:00:00-03:00", 24},
		"São Paulo, 23:00 twice":               {"America/Sao_Paulo", Day, "2018-02-17T23:30:00-03:00", "2018-02-17T00:00:00-02:00", 25},
		"São Paulo, after it":                  {"America/Sao_Paulo", Day, "2018-02-18T00:00:00-03:00", "2018-02-18T00:00:00-03:00", 24},
		"São Paulo, a month without beginning": {"America/Sao_Paulo", Month, "2018-11-30T12:00:00-02:00", "2018-11-01T00:00:00-03:00", 30*24 - 1},
		"Beirut, no midnight":                  {"Asia/Beirut", Day, "2022-03-27T12:00:00+03:00", "2022-03-27T01:00:00+03:00", 23},
		"Beirut, the day before":               {"Asia/Beirut", Day, "2022-03-26T12:00:00+02:00", "2022-03-26T00:00:00+02:00", 24},
		"Cairo, no midnight":                   {"Africa/Cairo", Day, "2024-04-26T12:00:00+03:00", "2024-04-26T01:00:00+03:00", 23},
		"Cairo in autumn":                      {"Africa/Cairo", Day, "2024-10-31T23:30:00+02:00", "2024-10-31T00:00:00+03:00", 25},
		"Havana, midnight twice":               {"America/Havana", Day, "2024-11-03T12:00:00-05:00", "2024-11-03T00:00:00-04:00", 25},
		"St John's, back across midnight":      {"America/St_Johns", Day, "2010-11-07T12:00:00-03:30", "2010-11-07T00:00:00-02:30", 25},
		"Samoa, a day that was not":            {"Pacific/Apia", Day, "2011-12-29T12:00:00-10:00", "2011-12-29T00:00:00-10:00", 24},
		"Samoa, the day after":                 {"Pacific/Apia", Day, "2011-12-31T12:00:00+14:00", "2011-12-31T00:00:00+14:00", 24},
		"Kathmandu":                            {"Asia/Kathmandu", Month, "2026-05-31T23:59:59+05:45", "2026-05-01T00:00:00+05:45", 31 * 24},
		"Lord Howe, half an hour":              {"Australia/Lord_Howe", Day, "2026-04-05T12:00:00+10:30", "2026-04-05T00:00:00+11:00", 24.5},
	} {
		t.Run(name, func(t *testing.T) {
			at, err := time.Parse(time.RFC3339, c.at)
			require.NoError(t, err)
			loc := location(t, c.zone)
			_, offset := at.Zone()
			_, there := at.In(loc).Zone()
			require.Equal(t, there, offset, "the case is right")
			since, until := c.window(loc).around(at)
			require.Equal(t, c.since, since.In(loc).Format(time.RFC3339))
			require.InDelta(t, c.hours, until.Sub(since).Hours(), 0)
		})
	}
}

// Through years of zones that change, windows follow each other without a gap,
// and every instant is in the one that is said.
func TestCalendarHasNoGaps(t *testing.T) {
	for _, zone := range []string{
		"Europe/Lisbon", "America/New_York", "America/Sao_Paulo", "Asia/Kathmandu", "Asia/Beirut", "Africa/Cairo", "America/Havana",
		"Pacific/Apia", "Africa/Casablanca", "America/St_Johns", "America/Toronto", "Australia/Lord_Howe",
	} {
		loc := location(t, zone)
		for _, w := range []Window{Day(loc), Week(loc), Month(loc)} {
			s := span{}
			wall := func(now int64) time.Time { return time.Unix(0, now) }
			at := time.Date(1990, 5, 17, 13, 0, 0, 0, loc)
			for n := 0; at.Year() < 2030; n++ {
				next := s.after(w, at.UnixNano(), wall)
				require.LessOrEqual(t, next.since, at.UnixNano(), "%s %s", w, at)
				require.Greater(t, next.until, at.UnixNano(), "%s %s", w, at)
				if n > 0 {
					require.Equal(t, s.until, next.since, "%s %s", w, at)
				}
				start := time.Unix(0, next.since).In(loc)
				if w.kind == month {
					require.Equal(t, 1, start.Day())
				}
				require.LessOrEqual(t, start.Hour(), 1, "%s", start)
				s, at = next, time.Unix(0, next.until).In(loc)
			}
		}
	}
}

// A wall clock that is set gives no window twice and skips none for good.
func TestClockSteps(t *testing.T) {
	start := time.Date(2026, 3, 10, 22, 0, 0, 0, time.UTC)
	hour := int64(time.Hour)
	for name, c := range map[string]struct {
		step  time.Duration
		at    int64 // of the pool's clock, an hour before midnight
		since []int64
	}{
		"none":         {0, hour, []int64{-22 * hour, 2 * hour, 26 * hour}},
		"back":         {-time.Hour, hour, []int64{-22 * hour, 3 * hour, 27 * hour}},
		"forth":        {time.Hour, hour, []int64{-22 * hour, hour, 25 * hour}},
		"back by days": {-72 * time.Hour, hour, []int64{-22 * hour, 74 * hour, 98 * hour}},
	} {
		t.Run(name, func(t *testing.T) {
			wall := func(now int64) time.Time {
				at := start.Add(time.Duration(now))
				if now >= c.at {
					at = at.Add(c.step)
				}
				return at
			}
			s := span{}.after(Day(nil), 0, wall)
			require.Equal(t, 2*hour, s.until, "as it looks then")
			require.Equal(t, c.since[0], s.since)
			for _, since := range c.since[1:] {
				next := s.after(Day(nil), s.until, wall)
				require.Equal(t, since, next.since)
				require.Equal(t, since+24*hour, next.until)
				require.True(t, next.end.After(s.end))
				s = next
			}
		})
	}
}

func TestRing(t *testing.T) {
	r := newRing(time.Minute)
	width := int64(time.Minute)/(buckets-1) + 1
	require.Equal(t, width, r.width)
	require.Zero(t, r.advance(5*width))
	r.add(tokens, 7)
	require.Zero(t, r.advance(6*width))
	r.add(tokens, 5)
	require.Equal(t, 7*width, r.ends())
	require.Equal(t, 65*width, r.frees(tokens, 7))
	require.Equal(t, 66*width, r.frees(tokens, 8))
	require.Zero(t, r.advance(65*width-1), "it counts for a minute at least")
	require.GreaterOrEqual(t, 65*width-1-6*width, int64(time.Minute)-width)
	require.Equal(t, amounts{0, 7, 0}, r.advance(65*width))
	require.Equal(t, amounts{0, 5, 0}, r.advance(1000*width))
	require.Zero(t, r.advance(2000*width))
	require.Zero(t, r.advance(3*width), "the clock of who comes late")
	require.Equal(t, int64(2000), r.present)
}
