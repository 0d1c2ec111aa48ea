package bipadapter

import (
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// chances goes through all ways in which voters may be right, of two options, and
// adds up the probabilities of those where the weightier answer is the right
// one. A weight below zero is one for the other option.
func chances(p, weights []float64) (right float64) {
	for mask := range 1 << len(p) {
		probability := 1.0
		var heard []Voice
		for i := range p {
			if mask>>i&1 == 1 {
				probability *= p[i]
				heard = append(heard, Voice{"right", weights[i]}, Voice{"wrong", -weights[i]})
			} else {
				probability *= 1 - p[i]
				heard = append(heard, Voice{"wrong", weights[i]}, Voice{"right", -weights[i]})
			}
		}
		right += probability * hit(heard, "right")
	}
	return right
}

// optimum is the most that any way to decide can reach.
func optimum(p []float64) (right float64) {
	for mask := range 1 << len(p) {
		one, other := 1.0, 1.0
		for i := range p {
			if mask>>i&1 == 1 {
				one, other = one*p[i], other*(1-p[i])
			} else {
				one, other = one*(1-p[i]), other*p[i]
			}
		}
		right += max(one, other) / 2
	}
	return right
}

// equals is the same as chances for many voters who are alike.
func equals(n int, p float64) (right float64) {
	ways := 1.0 // in which so many are right
	for k := range n + 1 {
		heard := slices.Concat(slices.Repeat([]Voice{{"right", 1}}, k), slices.Repeat([]Voice{{"wrong", 1}}, n-k))
		right += ways * math.Pow(p, float64(k)) * math.Pow(1-p, float64(n-k)) * hit(heard, "right")
		ways = ways * float64(n-k) / float64(k+1)
	}
	return right
}

func each(p []float64, f func(float64) float64) (weights []float64) {
	for _, x := range p {
		weights = append(weights, f(x))
	}
	return weights
}

// binomialTail is the probability that most of n are right, and half of that of
// a tie.
func binomialTail(n int, p float64) (right float64) {
	ways := []float64{1} // to have so many right
	for range n {
		next := make([]float64, len(ways)+1)
		for k, w := range ways {
			next[k] += w * (1 - p)
			next[k+1] += w * p
		}
		ways = next
	}
	for k, w := range ways {
		switch {
		case 2*k > n:
			right += w
		case 2*k == n:
			right += w / 2
		}
	}
	return right
}

func TestPublishedCondorcet(t *testing.T) {
	for _, c := range []struct {
		p         float64
		n         int
		reference float64
	}{
		{.6, 3, .648}, {.6, 5, .68256}, {.6, 7, .71021}, {.6, 9, .73343}, {.6, 11, .7535}, {.6, 21, .82562}, {.6, 51, .92647},
		{.7, 3, .784}, {.7, 5, .83692}, {.7, 7, .87396}, {.7, 9, .90119}, {.7, 11, .92178}, {.7, 21, .97361}, {.7, 51, .99864},
		{.8, 3, .896}, {.8, 4, .896}, {.8, 5, .94208}, {.8, 7, .96666}, {.8, 9, .98042}, {.8, 11, .98835}, {.8, 21, .99903},
		{.9, 3, .972}, {.9, 5, .99144}, {.9, 7, .99727}, {.9, 9, .99911}, {.9, 11, .9997},
	} {
		got := equals(c.n, c.p)
		if p := slices.Repeat([]float64{c.p}, c.n); c.n < 12 {
			require.InDelta(t, got, chances(p, each(p, func(float64) float64 { return 1 })), 1e-12)
		}
		t.Logf("published: majority of %d at p = %g: measured %.5f, reference %g, target exact", c.n, c.p, got, c.reference)
		require.InDelta(t, c.reference, got, 6e-6)
		require.InDelta(t, binomialTail(c.n, c.p), got, 1e-12)
	}
	seeds := uint64(200)
	if testing.Short() {
		seeds = 20
	}
	for _, c := range []struct {
		p                        []float64
		simple, linear, weighted float64
	}{
		{[]float64{.9, .6, .6, .6, .6}, .78624, .78624, .90000},
		{[]float64{.9, .8, .7, .6, .55}, .86072, .86072, .91200},
		{[]float64{.9, .9, .6, .6, .6}, .87696, .90180, .92664},
		{[]float64{.8, .8, .6, .6, .6}, .81504, .81504, .84736},
		{[]float64{.8, .75, .7, .65, .6}, .8401, .8401, .8537},
		{[]float64{.85, .8, .7, .55, .4}, .79687, .82210, .88471},
		{[]float64{.95, .7, .7, .7, .7}, .90307, .90307, .95431},
	} {
		simple := chances(c.p, each(c.p, func(float64) float64 { return 1 }))
		require.InDelta(t, c.simple, simple, 6e-6)
		require.InDelta(t, c.linear, chances(c.p, c.p), 6e-6)
		weighted := chances(c.p, each(c.p, func(p float64) float64 { return LogOdds(p, 2) }))
		t.Logf("published: votes by log odds of %v: measured %.5f, reference %g, target exact", c.p, weighted, c.weighted)
		require.InDelta(t, c.weighted, weighted, 6e-6)
		require.InDelta(t, optimum(c.p), weighted, 1e-12)
		learnt := 0.0
		for seed := range seeds {
			weights := each(learntWeights(t, c.p, seed), func(w float64) float64 { return max(w, 0) })
			learnt += chances(c.p, weights) / float64(seeds)
		}
		t.Logf("published: votes by weights learnt from 200 questions, of %v: measured %.4f, reference %.4f simple, target ≥ %.4f", c.p, learnt, simple, weighted-0.01)
		require.GreaterOrEqual(t, learnt, weighted-0.01)
	}
	// Who is worse than chance has no say. Counted against, he would add this much.
	p := []float64{.85, .8, .7, .55, .4}
	floor := chances(p, each(p, func(p float64) float64 { return max(LogOdds(p, 2), 0) }))
	t.Logf("published: the same of %v without a say for who is worse than chance: measured %.5f, reference 0.88471, target reported", p, floor)
	require.InDelta(t, .883, floor, 1e-12)
}

func TestPublishedPlurality(t *testing.T) {
	for _, c := range []struct {
		p          float64
		options, n int
		reference  float64
	}{
		{.5, 4, 3, .5833}, {.5, 4, 5, .6736}, {.5, 4, 7, .7431}, {.5, 4, 9, .7931},
		{.6, 4, 3, .712}, {.6, 4, 5, .8106}, {.6, 4, 7, .8775}, {.6, 4, 9, .9178}, {.5, 10, 5, .7767},
	} {
		if c.n > 7 && !*Long {
			continue
		}
		got := plurality(nil, c.n, c.p, c.options)
		t.Logf("published: plurality of %d among %d options at p = %g: measured %.4f, reference %g, target exact", c.n, c.options, c.p, got, c.reference)
		require.InDelta(t, c.reference, got, 6e-5)
	}
}

// plurality goes through all that n more voters may say.
func plurality(heard []Voice, n int, p float64, options int) (right float64) {
	if n == 0 {
		return hit(heard, "0")
	}
	heard = slices.Clip(heard)
	right = p * plurality(append(heard, Voice{"0", 1}), n-1, p, options)
	for k := 1; k < options; k++ {
		right += (1 - p) / float64(options-1) * plurality(append(heard, Voice{strconv.Itoa(k), 1}), n-1, p, options)
	}
	return right
}

// learntWeights are learnt from 200 questions that all voters answer and whose
// truth is known.
func learntWeights(t *testing.T, p []float64, seed uint64) (weights []float64) {
	t.Helper()
	random := rand.New(rand.NewPCG(seed, 200))
	h := NewHistory(LearnConfig{})
	for q := range 200 {
		name := strconv.Itoa(q)
		h.Truth(name, []string{"yes", "no"}[q%2])
		for i := range p {
			answer := []string{"yes", "no"}[q%2]
			if random.Float64() >= p[i] {
				answer = []string{"no", "yes"}[q%2]
			}
			h.Add(Said{name, strconv.Itoa(i), answer})
		}
	}
	l := h.Learn(time.Time{})
	require.Equal(t, 2.0, l.Options)
	for i := range p {
		weights = append(weights, l.Weight(strconv.Itoa(i)))
	}
	return weights
}
