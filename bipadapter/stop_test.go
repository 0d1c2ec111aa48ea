package bipadapter

import (
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

func voices(answers string, weights ...float64) (heard []Voice) {
	for i, a := range answers {
		heard = append(heard, Voice{string(a), weights[i]})
	}
	return heard
}

func TestEnough(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	for name, c := range map[string]struct {
		stop  Stop
		heard []Voice
		left  []float64
		want  bool
	}{
		"nobody heard":                     {Stop{}, nil, []float64{1, 1, 1}, false},
		"nobody left":                      {Stop{}, nil, nil, true},
		"nobody left who has a say":        {Stop{}, voices("ab", 1, 1), []float64{0, -1, nan, inf}, true},
		"three of five":                    {Stop{}, voices("aaa", 1, 1, 1), []float64{1, 1}, true},
		"two of five":                      {Stop{}, voices("aa", 1, 1), []float64{1, 1, 1}, false},
		"two of four, who may tie":         {Stop{}, voices("aa", 1, 1), []float64{1, 1}, false},
		"the lead over the second":         {Stop{}, voices("aaab", 1, 1, 1, 1), []float64{1}, true},
		"a lead that can be made up for":   {Stop{}, voices("aab", 1, 1, 1), []float64{1}, false},
		"one outweighs all":                {Stop{}, voices("a", 3), []float64{1, 1, .9}, true},
		"a tie in the last digit":          {Stop{}, voices("aaa", .1, .1, .1), []float64{.3}, false},
		"a voice that has no say":          {Stop{}, voices("ab", 2, -1), []float64{1}, true},
		"a voice of infinite weight":       {Stop{}, voices("ab", inf, 1), []float64{2}, false},
		"calls are used up":                {Stop{Calls: 2}, voices("ab", 1, 1), []float64{1}, true},
		"calls are left":                   {Stop{Calls: 3}, voices("ab", 1, 1), []float64{1}, false},
		"negative means off":               {Stop{Calls: -1, Risk: -1}, voices("ab", 1, 1), []float64{1}, false},
		"doubt of 1 in 10 is allowed":      {Stop{Risk: .1001}, voices("a", LogOdds(.9, 2)), []float64{9, 9}, true},
		"doubt of 1 in 10 is too much":     {Stop{Risk: .0999}, voices("a", LogOdds(.9, 2)), []float64{9, 9}, false},
		"the same with ten options":        {Stop{Risk: .1001, Options: 10}, voices("a", LogOdds(.9, 10)), []float64{9, 9}, true},
		"ten options, too much":            {Stop{Risk: .0999, Options: 10}, voices("a", LogOdds(.9, 10)), []float64{9, 9}, false},
		"options that nobody thought of":   {Stop{Risk: .1001, Options: nan}, voices("a", LogOdds(.9, 2)), []float64{9, 9}, true},
		"a huge weight":                    {Stop{Risk: .01}, voices("ab", 1e300, 1), []float64{1e308, 1e308}, true},
		"two answers leave little to risk": {Stop{Risk: .1}, voices("ab", 3, 2.9), []float64{1}, false},
	} {
		require.Equal(t, c.want, c.stop.Enough(c.heard, c.left), name)
	}
}

// Whatever the rest say, what was certain stays so.
func TestCertainStays(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 8))
	stopped := 0
	for range 5000 {
		var heard []Voice
		var left []float64
		for range 1 + random.IntN(6) {
			left = append(left, float64(random.IntN(4)))
		}
		for len(left) > 0 && !(Stop{}).Enough(heard, left) {
			heard, left = append(heard, Voice{strconv.Itoa(random.IntN(3)), left[0]}), left[1:]
		}
		sums := tally(heard)
		if len(left) == 0 || len(sums) == 0 {
			continue
		}
		stopped++
		leads := func(v []Voice) string {
			return slices.MaxFunc(tally(v), func(a, b Voice) int { return int(a.Weight - b.Weight) }).Answer
		}
		for other := range 3 {
			all := slices.Clone(heard)
			for _, w := range left {
				all = append(all, Voice{strconv.Itoa(other), w})
			}
			require.Equal(t, leads(heard), leads(all), "%v and %v", heard, left)
		}
	}
	require.Greater(t, stopped, 1000)
}

// The bound on the risk holds for independent voters, and calls are saved.
func TestRiskIsBounded(t *testing.T) {
	random := rand.New(rand.NewPCG(2, 8))
	p := []float64{.9, .8, .8, .7, .7, .6, .6}
	for _, options := range []int{2, 5} {
		for _, risk := range []float64{.2, .1, .05} {
			stop := Stop{Risk: risk, Options: float64(options)}
			rounds := 20_000
			if testing.Short() {
				rounds = 4000
			}
			wrong, sure, calls := 0.0, 0.0, 0.0
			for range rounds {
				var heard []Voice
				var left []float64
				for _, x := range p {
					left = append(left, LogOdds(x, stop.Options))
				}
				for _, x := range p {
					if stop.Enough(heard, left) {
						break
					}
					answer := "right"
					if random.Float64() >= x {
						answer = strconv.Itoa(random.IntN(options - 1))
					}
					heard, left = append(heard, Voice{answer, left[0]}), left[1:]
					calls++
				}
				if sums := tally(heard); len(left) > 0 {
					sure++
					wrong += 1 - hit(sums, "right")
				}
			}
			require.LessOrEqual(t, wrong/sure, risk+0.02, "%d options, risk %g", options, risk)
			require.Less(t, calls/float64(rounds), 4.5)
		}
	}
}

func TestOrder(t *testing.T) {
	require.Empty(t, Order(nil, [32]byte{}))
	require.Equal(t, []int{2, 0, 1}, Order([]float64{2, 1, 3}, [32]byte{}))
	require.Equal(t, Order([]float64{0, 0, 0, 0}, [32]byte{7}), Order([]float64{-1, 0, math.NaN(), math.Inf(1)}, [32]byte{7}))
	counts := make(map[int]int)
	for seed := range 6000 {
		order := Order([]float64{1, 1, 1}, [32]byte{byte(seed), byte(seed >> 8)})
		counts[order[0]*9+order[1]*3+order[2]]++
	}
	require.Len(t, counts, 6)
	for _, n := range counts {
		require.InDelta(t, 1000, n, 150)
	}
}

func TestDisagreement(t *testing.T) {
	for name, c := range map[string]struct {
		heard []Voice
		want  float64
	}{
		"nobody":                {nil, 1},
		"one alone":             {voices("a", 1), 1},
		"one of any weight":     {voices("ab", 1, 0), 1},
		"all agree":             {voices("aaa", 1, 2, 3), 0},
		"all differ":            {voices("abc", 1, 2, 3), 1},
		"one of three":          {voices("aab", 1, 1, 1), 2. / 3},
		"one of three is light": {voices("aab", 2, 2, 1), .5},
		"weights beyond reason": {voices("aab", 1e308, 1e308, 1e308), 2. / 3},
		"and below":             {voices("aab", 1e-300, 1e-300, 1e-300), 2. / 3},
		"no weights":            {voices("aab", math.NaN(), math.Inf(1), -1), 1},
		"one crushes the other": {voices("aa", 1, 1e-200), 0},
	} {
		if name == "one crushes the other" { // it cannot be told from a lone answer
			c.want = 1
		}
		require.InDelta(t, c.want, Disagreement(c.heard), 1e-12, name)
	}
	require.True(t, Escalate(voices("aab", 1, 1, 1), .6))
	require.False(t, Escalate(voices("aab", 1, 1, 1), .7))
	require.False(t, Escalate(voices("ab", 1, 1), 1))
	require.True(t, Escalate(voices("aa", 1, 1), math.NaN()))
}
