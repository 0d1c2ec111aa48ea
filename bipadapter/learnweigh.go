package bipadapter

import "math"

// shrink is how many answers' worth of the mean there is in each accuracy.
const shrink = 2

// LogOdds is the weight of a voter who is right with probability p where there
// are so many options: ln(p/(1-p)) for two, with which a vote by weight is the
// best that independent voters can do (Nitzan and Paroush 1982), and
// ln(options-1) more for others, since voters who are wrong rarely agree then.
// It is negative for a voter worse than chance, and infinite for 0 and 1, which
// no number of answers proves.
func LogOdds(p, options float64) float64 { return math.Log(p/(1-p)) + math.Log(options-1) }

// say is the weight to hand out.
func say(p, options float64) float64 {
	if w := LogOdds(p, options); w >= 1e-9 {
		return w
	}
	return -1
}

// score is what a voter has been right in.
type score struct{ right, answers, known float64 }

func (c *crowd) records(b belief) (voters []score, mean float64) {
	voters = make([]score, len(c.voters))
	sum := score{right: 1, answers: 2}
	for i, q := range c.questions {
		for _, v := range q.votes {
			r := &voters[v.voter]
			r.right += b[i][v.answer]
			r.answers++
			if q.truth != unknown {
				r.known++
			}
			sum.right += b[i][v.answer]
			sum.answers++
		}
	}
	return voters, sum.right / sum.answers
}

// accuracies are the parts in which voters are right, drawn towards their mean.
func (c *crowd) accuracies(b belief) []float64 {
	voters, mean := c.records(b)
	p := make([]float64, len(voters))
	for i, r := range voters {
		p[i] = (r.right + shrink*mean) / (r.answers + shrink)
	}
	return p
}

// alternatives is how many options there seem to be: one that is right, and as
// many others as it takes for two voters who are wrong to say the same as often
// as they do.
func (c *crowd) alternatives(b belief) float64 {
	pairs, same := 1.0, 1.0
	var wrong []float64 // votes by candidate
	for i, q := range c.questions {
		wrong = append(wrong[:0], make([]float64, len(q.candidates))...)
		for _, v := range q.votes {
			wrong[v.answer]++
		}
		n := float64(len(q.votes))
		right := 0.0
		for k, votes := range wrong {
			right += b[i][k]
			pairs += b[i][k] * (n - votes) * (n - votes - 1)
			same += (1 - b[i][k]) * votes * (votes - 1)
		}
		pairs += max(0, 1-right) * n * (n - 1)
	}
	return 1 + pairs/same
}

// weigh returns voters with their weights, and that of an unknown one.
func (c *crowd) weigh(b belief, options float64) (voters []Learnt, unknown float64) {
	p := c.accuracies(b)
	records, mean := c.records(b)
	for i, name := range c.voters {
		voters = append(voters, Learnt{
			Voter: name, Weight: say(p[i], options), Accuracy: p[i],
			Answers: int(records[i].answers), Known: int(records[i].known),
		})
	}
	return voters, say(mean, options)
}

// beliefs puts names to what is believed. Models are surer than they have reason
// to be, as voters do not err independently, so half of the confidence is the
// share of those who gave the answer.
func (c *crowd) beliefs(b belief) (answers []Belief) {
	shares := c.majority()
	for i, q := range c.questions {
		a := Belief{Question: q.name}
		top := best(b[i])
		for _, k := range top {
			a.Confidence = (b[i][k] + shares[i][k]) / 2
			a.Answer = c.options[q.candidates[k]]
			a.Tied = append(a.Tied, a.Answer)
		}
		if len(top) == 1 {
			a.Tied = nil
		} else {
			a.Answer = ""
		}
		answers = append(answers, a)
	}
	return answers
}
