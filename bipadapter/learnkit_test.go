package bipadapter

import "slices"

// right is the part of questions that are answered right, ties split evenly, and
// the Brier score of the confidence in the answers.
func right(answers []Belief, truth map[string]string) (accuracy, brier float64) {
	n := 0.0
	for _, a := range answers {
		want, known := truth[a.Question]
		if !known {
			continue
		}
		n++
		hit := 0.0
		if a.Answer == want {
			hit = 1
		} else if slices.Contains(a.Tied, want) {
			hit = 1 / float64(len(a.Tied))
		}
		accuracy += hit
		brier += (hit - a.Confidence) * (hit - a.Confidence)
	}
	return accuracy / n, brier / n
}

// hit is 1 if the weightiest answer is right, and a part of it for a tie.
func hit(heard []Voice, truth string) float64 {
	top, right := []string(nil), 0.0
	weight := 0.0
	for _, v := range tally(heard) {
		switch {
		case v.Weight > weight*(1+1e-12):
			top, weight = []string{v.Answer}, v.Weight
		case v.Weight > weight*(1-1e-12):
			top = append(top, v.Answer)
		}
	}
	if slices.Contains(top, truth) {
		right = 1 / float64(len(top))
	}
	return right
}
