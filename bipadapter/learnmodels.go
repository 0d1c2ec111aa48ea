package bipadapter

import "math"

// Rounds of expectation and maximisation at most, and the change of a
// probability that ends them.
const (
	rounds  = 100
	settled = 1e-5
)

// oneCoin believes that each voter is right with a probability of his own,
// whatever the question and the answer (Demartini, Difallah and Cudré-Mauroux
// 2012). Nobody is believed to be worse than chance: his answers would speak for
// ones that nobody gave.
func (c *crowd) oneCoin() belief {
	b := c.majority().winners()
	weights := make([]float64, len(c.voters))
	options := c.alternatives(b)
	for range rounds {
		p := c.accuracies(b)
		for i := range p {
			weights[i] = max(LogOdds(p[i], options), 0.01)
		}
		change := 0.0
		for i, q := range c.questions {
			x := q.weighed(weights, options)
			q.settle(x)
			change = max(change, b.update(i, x))
		}
		if change < settled {
			break
		}
	}
	return b
}

// weighed is what the weights behind the candidates make probable. There are so
// many options: what is not said may be right too, where not all of them are.
func (q *question) weighed(weights []float64, options float64) []float64 {
	x := make([]float64, len(q.candidates))
	said := 0.0
	for _, v := range q.votes {
		if x[v.answer] == 0 {
			said++
		}
		x[v.answer] += weights[v.voter]
	}
	others := max(0, options-said)
	if unsaid := float64(len(x)) - said; unsaid > 0 {
		for k := range x {
			if x[k] == 0 {
				x[k] = math.Log(others / unsaid)
			}
		}
		others = 0
	}
	fromLogs(x, others)
	return x
}

// confusion has, of each voter and each option that is right, the logarithms of
// the probabilities of what he says.
type confusion [][]float64

func (m confusion) row(voter, right, options int) []float64 {
	return m[voter][right*options:][:options]
}

// count adds up what voters say, kinds of questions apart.
func (c *crowd) count(b belief, kinds int, start func(row []float64, right int)) confusion {
	k := len(c.options)
	m := make(confusion, len(c.voters))
	for voter := range m {
		m[voter] = make([]float64, k*kinds*k)
		for r := range k * kinds {
			start(m.row(voter, r, k), r/kinds)
		}
	}
	for i, q := range c.questions {
		for _, v := range q.votes {
			for r, p := range b[i] {
				if p > 1e-9 {
					m[v.voter][r*k+v.answer] += p
				}
			}
		}
	}
	return m
}

// dawidSkene believes that each voter has a probability of his own to say one
// thing where another is right (Dawid and Skene 1979). It needs a closed crowd.
func (c *crowd) dawidSkene() belief {
	const smooth = 0.01
	k := len(c.options)
	b := c.majority()
	for range rounds {
		m := c.count(b, 1, func(row []float64, _ int) {
			for i := range row {
				row[i] = smooth
			}
		})
		prior := make([]float64, k)
		for _, x := range b {
			for r, p := range x {
				prior[r] += p
			}
		}
		normalize(prior, 0)
		for r := range prior {
			prior[r] = math.Log(prior[r] + 1e-12)
			for voter := range m {
				row := m.row(voter, r, k)
				normalize(row, 0)
				for i := range row {
					row[i] = math.Log(row[i])
				}
			}
		}
		if c.expect(b, prior, m) < settled {
			break
		}
	}
	return b
}

// expect updates b, over options or kinds of them, by what voters said.
func (c *crowd) expect(b belief, prior []float64, m confusion) (change float64) {
	k := len(c.options)
	kinds := len(prior) / k
	x := make([]float64, len(prior))
	for i, q := range c.questions {
		copy(x, prior)
		for _, v := range q.votes {
			for r := range x {
				x[r] += m[v.voter][r*k+v.answer]
			}
		}
		for r := range x {
			if q.truth != unknown && r/kinds != q.truth {
				x[r] = math.Inf(-1)
			}
		}
		fromLogs(x, 0)
		change = max(change, b.update(i, x))
	}
	return change
}
