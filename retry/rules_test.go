package retry

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
)

// filled returns cfg with its defaults.
func filled(t *testing.T, cfg Config) *Config {
	t.Helper()
	p, err := newPlan(cfg)
	require.NoError(t, err)
	return &p.Config
}

// The column "same model again" of the table of kinds: alone and with others
// to go to, after the first attempt and after the second, with a delay asked
// for and without.
func TestRules(t *testing.T) {
	type row struct{ first, second, firstAsked, secondAsked manner }
	table := map[resilience.Kind]struct{ alone, others row }{
		resilience.TimedOut: {
			alone:  row{backedOff, backedOff, backedOff, backedOff},
			others: row{},
		},
		resilience.RateLimited: {
			alone:  row{backedOff, backedOff, asAsked, asAsked},
			others: row{never, never, asAsked, never},
		},
		resilience.Overloaded: {
			alone:  row{backedOff, backedOff, backedOff, backedOff},
			others: row{backedOff, never, backedOff, never},
		},
		resilience.Unreachable: {
			alone:  row{quickly, backedOff, quickly, backedOff},
			others: row{quickly, never, quickly, never},
		},
		resilience.Truncated: {
			alone:  row{quickly, backedOff, quickly, backedOff},
			others: row{quickly, never, quickly, never},
		},
		// All others: never.
	}
	cfg := filled(t, Config{})
	for kind := range resilience.Unknown + 2 {
		want, retried := table[kind]
		require.Equal(t, retried, kind.Retry(), "%v: the kinds' own table", kind)
		for _, alone := range []bool{true, false} {
			row := want.others
			if alone {
				row = want.alone
			}
			for _, tt := range []struct {
				tries int
				asked time.Duration
				want  manner
			}{
				{1, 0, row.first},
				{2, 0, row.second},
				{1, 5 * time.Second, row.firstAsked},
				{2, 5 * time.Second, row.secondAsked},
				{1, 5*time.Second + 1, never}, // beyond Patience
				{3, 0, never},                 // Attempts
			} {
				name := fmt.Sprintf("%v alone=%v tries=%d asked=%v", kind, alone, tt.tries, tt.asked)
				f := failure{kind: kind, asked: tt.asked, tries: tt.tries, alone: alone}
				require.Equal(t, tt.want, cfg.rule(f), name)
			}
		}
	}
}

func TestRulesOfSettings(t *testing.T) {
	first := failure{kind: resilience.Overloaded, tries: 1, alone: true}
	asked := failure{kind: resilience.RateLimited, tries: 1, alone: true, asked: time.Second}
	others := failure{kind: resilience.Overloaded, tries: 1}
	for name, tt := range map[string]struct {
		cfg  Config
		f    failure
		want manner
	}{
		"one attempt":                      {Config{Attempts: 1}, first, never},
		"attempts off":                     {Config{Attempts: -1}, first, never},
		"many attempts":                    {Config{Attempts: 9}, failure{kind: resilience.Overloaded, tries: 8, alone: true}, backedOff},
		"no patience":                      {Config{Patience: -1}, asked, never},
		"no patience, nothing asked":       {Config{Patience: -1}, first, backedOff},
		"little patience":                  {Config{Patience: time.Second - 1}, asked, never},
		"enough patience":                  {Config{Patience: time.Second}, asked, asAsked},
		"the last model only, others left": {Config{LastModelOnly: true}, others, never},
		"the last model only, none left":   {Config{LastModelOnly: true}, first, backedOff},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, tt.want, filled(t, tt.cfg).rule(tt.f)) })
	}
}

func TestRunWait(t *testing.T) {
	const half = 0.5
	alone := func(kind resilience.Kind, asked, left time.Duration) failure {
		return failure{kind: kind, asked: asked, tries: 1, alone: true, left: left}
	}
	const ever = math.MaxInt64
	for name, tt := range map[string]struct {
		cfg  Config
		f    failure
		want time.Duration
		ok   bool
	}{
		"backoff, full jitter":           {Config{}, alone(resilience.Overloaded, 0, ever), 250 * ms, true},
		"backoff, equal jitter":          {Config{Jitter: 0.5}, alone(resilience.Overloaded, 0, ever), 375 * ms, true},
		"backoff, no jitter":             {Config{Jitter: -1}, alone(resilience.Overloaded, 0, ever), 500 * ms, true},
		"no backoff":                     {Config{Base: -1}, alone(resilience.Overloaded, 0, ever), 0, true},
		"backoff without a cap":          {Config{Base: time.Hour, Max: -1, Jitter: -1}, alone(resilience.Overloaded, 0, ever), time.Hour, true},
		"quickly":                        {Config{}, alone(resilience.Unreachable, 0, ever), 25 * ms, true},
		"quickly, but not before asked":  {Config{}, alone(resilience.Unreachable, time.Second, ever), 1050 * ms, true},
		"backoff, but not before asked":  {Config{}, alone(resilience.Overloaded, time.Second, ever), 1050 * ms, true},
		"backoff longer than asked":      {Config{}, alone(resilience.Overloaded, 100*ms, ever), 250 * ms, true},
		"as asked, never earlier":        {Config{}, alone(resilience.RateLimited, 2*time.Second, ever), 2100 * ms, true},
		"as asked, whatever the backoff": {Config{Base: 4 * time.Second, Jitter: -1}, alone(resilience.RateLimited, 2*time.Second, ever), 2 * time.Second, true},
		"just fits":                      {Config{Jitter: -1}, alone(resilience.Overloaded, 0, 500*ms+1), 500 * ms, true},
		"does not fit":                   {Config{Jitter: -1}, alone(resilience.Overloaded, 0, 500*ms), 0, false},
		"as asked does not fit":          {Config{}, alone(resilience.RateLimited, 2*time.Second, 2*time.Second), 0, false},
		"no time left":                   {Config{Base: -1}, alone(resilience.Overloaded, 0, -time.Second), 0, false},
		"not this kind":                  {Config{}, alone(resilience.Invalid, 0, ever), 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := run{config: filled(t, tt.cfg)}
			d, ok := r.wait(tt.f, 0, func() float64 { return half })
			require.Equal(t, tt.ok, ok)
			require.Equal(t, tt.want, d)
		})
	}
}

// Waiting as the server asked does not count for the backoff that follows.
func TestRunWaitBackoffStartsAfterPushback(t *testing.T) {
	r := run{config: filled(t, Config{Jitter: -1, Attempts: 9})}
	var waits []time.Duration
	for i, f := range []failure{
		{kind: resilience.RateLimited, asked: 3 * time.Second},
		{kind: resilience.RateLimited, asked: 2 * time.Second},
		{kind: resilience.Overloaded},
		{kind: resilience.Unreachable},
		{kind: resilience.TimedOut},
	} {
		f.tries, f.alone, f.left = i+1, true, math.MaxInt64
		d, ok := r.wait(f, 0, nil0)
		require.True(t, ok)
		waits = append(waits, d)
	}
	require.Equal(t, []time.Duration{3 * time.Second, 2 * time.Second, 500 * ms, 1000 * ms, 2000 * ms}, waits)
}

func nil0() float64 { return 0 }

func TestRunWaitPaced(t *testing.T) {
	f := failure{kind: resilience.Overloaded, tries: 1, alone: true, left: time.Hour}
	p := steady(40 * ms)
	cfg := filled(t, Config{Pace: true, Base: 30 * ms, Max: 101 * ms, Jitter: -1})
	wait := func(left time.Duration) (time.Duration, bool) {
		f.left = left
		r := run{config: cfg, pacer: p}
		return r.wait(f, time.Minute, nil0)
	}
	for _, want := range []time.Duration{30 * ms, 30 * ms, 40 * ms, 60 * ms} {
		d, ok := wait(time.Hour)
		require.True(t, ok)
		require.InDelta(t, want, d, float64(time.Microsecond), "the later of backoff and turn")
	}
	_, ok := wait(70 * ms)
	require.False(t, ok, "its turn comes too late for the call")
	d, ok := wait(time.Hour)
	require.True(t, ok, "and the place is still free")
	require.InDelta(t, 80*ms, d, float64(time.Microsecond))
	_, ok = wait(time.Hour)
	require.True(t, ok)
	_, ok = wait(time.Hour)
	require.False(t, ok, "a queue longer than Max takes nobody in")
}
