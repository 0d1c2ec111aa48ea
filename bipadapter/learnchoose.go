package bipadapter

import "math/rand/v2"

// LearnModel says how a history was learnt from.
type LearnModel string

// Models, from the one that needs the least to the one that needs the most.
const (
	Truths     LearnModel = "truths"      // all truths are known
	OneCoin    LearnModel = "one-coin"    // a voter is right with a probability of his own
	DawidSkene LearnModel = "dawid-skene" // and has, for each right answer, his own way to be wrong
	Kinds      LearnModel = "kinds"       // which differs between kinds of questions
)

// choose believes by the model that the answers speak for. No truth is looked
// at for that. It is Dawid and Skene's, but where
//
//   - answers are too few, or questions have options of their own;
//   - two halves of the voters agree more on what is right, beyond chance, if
//     voters have no ways of their own to be wrong, nine of
//     ten times that they are halved;
//   - kinds of questions make what was said more probable, by one part in a
//     thousand an answer, and contradict fewer majorities.
func (c *crowd) choose() (LearnModel, belief) {
	switch {
	case c.known == len(c.questions):
		return Truths, c.majority()
	case !c.closed || c.simple():
		return OneCoin, c.oneCoin()
	}
	b := c.dawidSkene()
	_, one := c.kinds(1)
	if more, evidence := c.kinds(3); evidence > one+float64(c.said)/1000 && c.overruled(more) < c.overruled(b) {
		return Kinds, more
	}
	return DawidSkene, b
}

// simple reports whether the halves of the voters agree more by one coin nine of
// ten times that voters are halved. By chance that is so once in a hundred.
func (c *crowd) simple() bool {
	random := rand.New(rand.NewPCG(1, 1))
	exceptions := 0
	for range 10 {
		side := make([]bool, len(c.voters))
		for place, voter := range random.Perm(len(side)) {
			side[voter] = place%2 == 0
		}
		one := c.half(side)
		for voter := range side {
			side[voter] = !side[voter]
		}
		other := c.half(side)
		if c.kappa(one, other, one.oneCoin(), other.oneCoin()) <= c.kappa(one, other, one.dawidSkene(), other.dawidSkene()) {
			exceptions++
		}
		if exceptions > 1 {
			return false
		}
	}
	return true
}

// kappa is Cohen's: how far two halves agree beyond chance.
func (c *crowd) kappa(one, other *crowd, a, b belief) float64 {
	k := len(c.options)
	n, same := 0.0, 0.0
	shareA, shareB := make([]float64, k), make([]float64, k)
	for i, q := range c.questions {
		if q.truth != unknown || len(one.questions[i].votes) == 0 || len(other.questions[i].votes) == 0 {
			continue
		}
		n++
		for r := range k {
			same += a[i][r] * b[i][r]
			shareA[r] += a[i][r]
			shareB[r] += b[i][r]
		}
	}
	chance := 0.0
	for r := range k {
		chance += shareA[r] * shareB[r]
	}
	if chance >= n*n*(1-1e-9) {
		return 0
	}
	return (same/n - chance/n/n) / (1 - chance/n/n)
}

// overruled counts the questions to which b prefers what fewer voters said.
func (c *crowd) overruled(b belief) (n int) {
	for i, votes := range c.majority() {
		for _, k := range best(b[i]) {
			if votes[k] < votes[best(votes)[0]] {
				n++
				break
			}
		}
	}
	return n
}
