package chaos

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLawAt(t *testing.T) {
	law := Law{{0.1, 1}, {0.5, 4}, {0.9, 16}, {0.99, 64}}
	for _, c := range []struct{ p, want float64 }{
		{0, 1}, {0.05, 1}, {0.1, 1}, // below the first point
		{0.3, 2}, {0.5, 4}, {0.7, 8}, {0.9, 16}, {0.945, 32}, {0.99, 64},
		{0.999, 64}, {1, 64}, // beyond the last
	} {
		require.InDelta(t, c.want, law.At(c.p), 1e-9, "p = %v", c.p)
	}
	require.Zero(t, Law(nil).At(0.5))
	for _, p := range []float64{0, 0.5, 1} {
		require.Equal(t, 7.0, Always(7).At(p))
	}
}

func TestLawAtNeverFalls(t *testing.T) {
	law := Law{{0.1, 0.36}, {0.5, 0.39}, {0.95, 0.54}, {0.99, 0.69}}
	before := 0.0
	for i := range 1001 {
		v := law.At(float64(i) / 1000)
		require.GreaterOrEqual(t, v, before)
		before = v
	}
}

func TestLawCheck(t *testing.T) {
	for name, c := range map[string]struct {
		law  Law
		want string // "" means fine
	}{
		"empty":         {nil, ""},
		"one point":     {Always(1), ""},
		"flat":          {Law{{0.1, 2}, {0.9, 2}}, ""},
		"p is 0":        {Law{{0, 1}}, "not between"},
		"p is 1":        {Law{{1, 1}}, "not between"},
		"p is NaN":      {Law{{math.NaN(), 1}}, "not between"},
		"zero":          {Law{{0.5, 0}}, "positive"},
		"negative":      {Law{{0.5, -1}}, "positive"},
		"NaN":           {Law{{0.5, math.NaN()}}, "positive"},
		"endless":       {Law{{0.5, math.Inf(1)}}, "positive"},
		"p twice":       {Law{{0.5, 1}, {0.5, 2}}, "ascending"},
		"p out of turn": {Law{{0.5, 1}, {0.4, 2}}, "ascending"},
		"falls":         {Law{{0.5, 2}, {0.9, 1}}, "ascending"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := c.law.check(); c.want == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, c.want)
			}
		})
	}
}
