package bipadapter

import "math"

// kinds believes as [crowd.dawidSkene] does, but that the questions to
// which an option is right are of so many kinds, such as clear and doubtful
// ones, between which a voter's habits differ. Voters agree then for other
// reasons than what is right (Li, Rubinstein and Cohn 2019; variational Bayes).
// evidence is a lower bound of the logarithm of the probability of what was
// said, with which models can be compared. It needs a closed crowd.
func (c *crowd) kinds(kinds int) (b belief, evidence float64) {
	k := len(c.options)
	z := c.spread(kinds)
	right, wrong := 4.0, 1.0 // answers as which a voter's good sense counts
	few := 0.1 / float64(kinds)
	none := dirichlet(k, func(i int) float64 {
		if i == 0 {
			return right
		}
		return wrong
	})
	for range rounds {
		evidence = 0
		m := c.count(z, kinds, func(row []float64, answer int) {
			for i := range row {
				row[i] = wrong
			}
			row[answer] = right
		})
		for voter := range m {
			for r := range k * kinds {
				evidence += expectLogs(m.row(voter, r, k)) - none
			}
		}
		shares, within := make([]float64, k), make([]float64, k*kinds)
		for r := range within {
			shares[r/kinds] += 1 / float64(kinds)
			within[r] += few
		}
		for i := range z {
			for r, p := range z[i] {
				shares[r/kinds] += p
				within[r] += p
				if p > 0 {
					evidence -= p * math.Log(p)
				}
			}
		}
		evidence += expectLogs(shares) - dirichlet(k, func(int) float64 { return 1 })
		for r := range shares {
			evidence += expectLogs(within[r*kinds:][:kinds]) - dirichlet(kinds, func(int) float64 { return few })
		}
		for r := range within {
			within[r] += shares[r/kinds]
		}
		if c.expect(z, within, m) < 100*settled {
			break
		}
	}
	b = make(belief, len(z))
	for i := range z {
		b[i] = make([]float64, k)
		for r, p := range z[i] {
			b[i][r/kinds] += p
		}
	}
	return b, evidence
}

// spread makes kinds of majorities, from small to large ones.
func (c *crowd) spread(kinds int) belief {
	b := c.majority()
	for i, x := range b {
		z := make([]float64, 0, len(x)*kinds)
		for _, p := range x {
			share := p
			for j := range kinds {
				z = append(z, p*binomial(kinds-1, j)*math.Pow(share, float64(j))*math.Pow(1-share, float64(kinds-1-j)))
			}
		}
		b[i] = z
	}
	return b
}

func binomial(n, k int) float64 {
	x := 1.0
	for i := range k {
		x *= float64(n-i) / float64(i+1)
	}
	return x
}

// dirichlet is the logarithm of the multivariate beta function.
func dirichlet(n int, a func(int) float64) float64 {
	sum, logs := 0.0, 0.0
	for i := range n {
		sum += a(i)
		logs += lgamma(a(i))
	}
	return logs - lgamma(sum)
}

// expectLogs turns the parameters of a Dirichlet distribution into expected
// logarithms, and returns the logarithm of its normalisation.
func expectLogs(a []float64) float64 {
	norm := dirichlet(len(a), func(i int) float64 { return a[i] })
	sum := 0.0
	for _, v := range a {
		sum += v
	}
	all := digamma(sum)
	for i := range a {
		a[i] = digamma(a[i]) - all
	}
	return norm
}

func lgamma(x float64) float64 {
	v, _ := math.Lgamma(x)
	return v
}

// digamma is the derivative of lgamma, by recurrence and an asymptotic series.
func digamma(x float64) (d float64) {
	for ; x < 6; x++ {
		d -= 1 / x
	}
	f := 1 / (x * x)
	return d + math.Log(x) - 0.5/x - f*(1./12-f*(1./120-f*(1./252-f/240)))
}
