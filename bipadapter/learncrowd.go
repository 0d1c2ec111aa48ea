package bipadapter

import (
	"maps"
	"math"
	"slices"
)

// A crowd is a history in numbers.
type crowd struct {
	voters    []string // sorted
	options   []string // sorted forms that somebody said, or that are true
	questions []question
	closed    bool // all questions have the same options
	said      int
	known     int
}

// A question has the answers to it by voter.
type question struct {
	name       string
	votes      []vote
	candidates []int // options; all of them where the crowd is closed
	truth      int   // its place among the candidates, or one of the below
}

const (
	unknown   = -1
	unspoken  = -2 // it is known, and nobody said it
	fewLabels = 20
)

// A vote is a voter and the place of what he said among the candidates.
type vote struct{ voter, answer int }

// belief has the probability of each candidate of each question.
type belief [][]float64

func newCrowd(history map[string]*asked) *crowd {
	voters, options := make(map[string]int), make(map[string]int)
	c := &crowd{}
	distinct := 0
	for _, q := range history {
		here := make(map[string]bool)
		for voter, form := range q.answers {
			voters[voter], options[form], here[form] = 0, 0, true
		}
		if q.known {
			options[q.truth] = 0
			c.known++
		}
		distinct += len(here)
		c.said += len(q.answers)
	}
	c.voters, c.options = placed(voters), placed(options)
	k := len(options)
	c.closed = k > 1 && k <= fewLabels && distinct >= 5*k && c.said >= len(voters)*2*k*(k-1)
	for _, name := range slices.Sorted(maps.Keys(history)) {
		c.questions = append(c.questions, c.question(name, history[name], voters, options))
	}
	return c
}

// placed gives each key its place in their order.
func placed(places map[string]int) []string {
	keys := slices.Sorted(maps.Keys(places))
	for i, k := range keys {
		places[k] = i
	}
	return keys
}

func (c *crowd) question(name string, a *asked, voters, options map[string]int) question {
	q := question{name: name, truth: unknown}
	if c.closed {
		for i := range c.options {
			q.candidates = append(q.candidates, i)
		}
	} else {
		for _, form := range a.answers {
			q.candidates = append(q.candidates, options[form])
		}
		slices.Sort(q.candidates)
		q.candidates = slices.Compact(q.candidates)
	}
	for _, voter := range slices.Sorted(maps.Keys(a.answers)) {
		place, _ := slices.BinarySearch(q.candidates, options[a.answers[voter]])
		q.votes = append(q.votes, vote{voters[voter], place})
	}
	if a.known {
		place, said := slices.BinarySearch(q.candidates, options[a.truth])
		if q.truth = place; !said {
			q.truth = unspoken
		}
	}
	return q
}

// half returns the crowd with those voters only who are on a side.
func (c *crowd) half(side []bool) *crowd {
	h := *c
	h.questions = make([]question, len(c.questions))
	for i, q := range c.questions {
		votes := q.votes
		q.votes = nil
		for _, v := range votes {
			if side[v.voter] {
				q.votes = append(q.votes, v)
			}
		}
		h.questions[i] = q
	}
	return &h
}

// majority is what shares of the votes say.
func (c *crowd) majority() belief {
	b := make(belief, len(c.questions))
	for i, q := range c.questions {
		b[i] = make([]float64, len(q.candidates))
		for _, v := range q.votes {
			b[i][v.answer]++
		}
		normalize(b[i], 0)
		q.settle(b[i])
	}
	return b
}

// settle puts what is known in the place of what is believed.
func (q *question) settle(x []float64) {
	if q.truth == unknown {
		return
	}
	clear(x)
	if q.truth >= 0 {
		x[q.truth] = 1
	}
}

// normalize makes the sum of x and a rest 1.
func normalize(x []float64, rest float64) {
	sum := rest
	for _, v := range x {
		sum += v
	}
	for i := range x {
		if sum > 0 {
			x[i] /= sum
		} else {
			x[i] = 1 / float64(len(x))
		}
	}
}

// fromLogs makes probabilities of logarithms of them and of a rest of others,
// whose logarithm is 0 each.
func fromLogs(x []float64, others float64) {
	top := math.Inf(-1)
	if others > 0 {
		top = 0
	}
	for _, v := range x {
		top = max(top, v)
	}
	for i, v := range x {
		x[i] = math.Exp(v - top)
	}
	normalize(x, others*math.Exp(-top))
}

// update puts x in the place of what was believed of a question, and returns
// by how much they differ.
func (b belief) update(i int, x []float64) (change float64) {
	for k, v := range x {
		change = max(change, math.Abs(v-b[i][k]))
	}
	copy(b[i], x)
	return change
}

// winners is b with only what is most probable believed.
func (b belief) winners() belief {
	w := make(belief, len(b))
	for i, x := range b {
		w[i] = make([]float64, len(x))
		top := best(x)
		for _, k := range top {
			if x[k] > 0 {
				w[i][k] = 1 / float64(len(top))
			}
		}
	}
	return w
}

// best returns the most probable candidates.
func best(x []float64) (places []int) {
	if len(x) == 0 {
		return nil
	}
	top := slices.Max(x)
	for k, v := range x {
		if v > top-1e-9 {
			places = append(places, k)
		}
	}
	return places
}
