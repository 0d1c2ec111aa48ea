package anomaly

import "math"

const (
	ring     = 64 // rows that are kept
	features = 6
	stride   = 4  // rows from one look to the next
	kinds    = 80 // of shapes that are remembered
)

// blocks are how many rows ago the blocks end whose means make a shape.
var blocks = [features - 1]int{2, 6, 14, 30, 62}

// A shape knows the shapes that a series has had: the means of five blocks of
// the last 62 rows, each as long as those after it together, and how much they
// vary. It is a leader clustering with a bounded number of leaders, of which
// the one longest unused gives way, as in adaptive resonance theory.
type shape struct {
	Rows    [ring]float64
	N       int64 // rows in all
	Filled  int64 // rows since the last gap, up to a ring
	Leaders [kinds][features]float64
	Used    [kinds]int64 // zero where there is none
	Last    float64
}

// gap forgets the rows, which those to come do not continue.
func (s *shape) gap() { s.Filled, s.Last = 0, 0 }

// add takes in a value and returns how many deviations the series' shape is
// from the nearest that it has had.
func (s *shape) add(x, deviation float64) float64 {
	s.Rows[s.N%ring] = x
	s.N++
	s.Filled = min(s.Filled+1, ring)
	if s.Filled < ring || s.N%stride != 0 {
		return s.Last
	}
	f := s.features()
	nearest, free, distance := 0, 0, math.Inf(1)
	for i := range s.Leaders {
		if s.Used[i] < s.Used[free] {
			free = i
		}
		if s.Used[i] == 0 {
			break
		}
		if d := apart(&f, &s.Leaders[i], distance); d < distance {
			nearest, distance = i, d
		}
	}
	d := math.Sqrt(distance) / deviation
	if d <= 1 {
		s.Used[nearest] = s.N
		for k := range f {
			s.Leaders[nearest][k] += (f[k] - s.Leaders[nearest][k]) / 10
		}
	} else {
		s.Used[free], s.Leaders[free] = s.N, f
	}
	if math.IsInf(distance, 1) {
		return 0 // the first is like none
	}
	s.Last = min(d, most)
	return s.Last
}

func (s *shape) features() (f [features]float64) {
	var sum, squares float64
	level := s.Rows[(s.N-1)%ring] // squares of differences lose no digits
	ago := 0
	for b, end := range blocks {
		var part float64
		from := ago
		for ; ago < end; ago++ {
			d := s.Rows[(s.N-1-int64(ago))%ring] - level
			part += d
			squares += d * d
		}
		sum += part
		f[b] = level + part/float64(end-from)
	}
	n := float64(ago)
	f[features-1] = math.Sqrt(max(0, squares/n-sum/n*sum/n))
	return f
}

// apart returns the square of the distance of a and b, or more than limit.
func apart(a, b *[features]float64, limit float64) float64 {
	var sum float64
	for k := range a {
		d := a[k] - b[k]
		if sum += d * d; sum > limit {
			break
		}
	}
	return sum
}
