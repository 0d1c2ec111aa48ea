package analytics

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// A Point is a value at a time.
type Point struct {
	Time  time.Time
	Value float64
}

// A Trend says whether values rise or fall over time.
type Trend struct {
	Points int     // that were looked at
	Tau    float64 // Kendall's: 1 if every later value is larger, −1 if every one is smaller
	P      float64 // how likely such a Tau is where there is no trend; 1 where that cannot be told

	// PerHour is by how much the values change an hour, and Low and High what it is
	// between in 95 of 100 cases. They are 0 for fewer than 5 points.
	PerHour   float64
	Low, High float64
}

// Rising reports whether the values rise, as surely as 95 in 100.
func (t Trend) Rising() bool { return t.P < .05 && t.PerHour > 0 }

// Falling reports whether the values fall, as surely as 95 in 100.
func (t Trend) Falling() bool { return t.P < .05 && t.PerHour < 0 }

// maxPoints bounds the pairs that a trend looks at. Of more points blocks of equal size
// are taken together, by their medians.
const maxPoints = 400

// FindTrend looks for a trend in points, in any order of time. The test is Mann and
// Kendall's, with the correction for ties and, as what one measures every minute is like
// what one measured the minute before, that of Yue and Wang (Water Resources Management
// 18, 2004) for autocorrelation. The slope is Theil and Sen's, the median over pairs, with
// Sen's interval for the same variance. Values that do not change have no trend; those of
// one time are taken together, by their median. Of more than 400 times it takes blocks,
// and so looks at 79,800 pairs at most.
func FindTrend(points []Point) Trend {
	points = blocks(points)
	n := len(points)
	t := Trend{Points: n, P: 1}
	if n < 5 {
		return t
	}
	slopes := make([]float64, 0, n*(n-1)/2)
	s := 0
	for i := range n {
		for j := i + 1; j < n; j++ {
			s += cmp.Compare(points[j].Value, points[i].Value)
			rise := points[j].Value - points[i].Value
			slopes = append(slopes, finite(rise/points[j].Time.Sub(points[i].Time).Hours()))
		}
	}
	slices.Sort(slopes)
	t.PerHour = median(slopes)
	t.Tau = float64(s) / float64(n*(n-1)/2)
	variance := kendallVariance(points)
	if variance <= 0 {
		return t
	}
	variance *= inflation(points, t.PerHour)
	t.P = math.Erfc(math.Abs(float64(s)-float64(cmp.Compare(s, 0))) / math.Sqrt(2*variance))
	half := 1.96 * math.Sqrt(variance) / 2
	middle := float64(len(slopes)) / 2
	at := func(i float64) float64 { return slopes[min(max(int(math.Round(i)), 0), len(slopes)-1)] }
	t.Low, t.High = at(middle-half-.5), at(middle+half-.5)
	return t
}

// blocks returns points in order of time, those that are numbers, one of each time and no
// more than maxPoints.
func blocks(points []Point) []Point {
	points = slices.DeleteFunc(slices.Clone(points), func(p Point) bool { return math.IsNaN(p.Value) || math.IsInf(p.Value, 0) })
	slices.SortStableFunc(points, func(a, b Point) int { return a.Time.Compare(b.Time) })
	var times []Point
	for i := 0; i < len(points); {
		j := i + 1
		for j < len(points) && points[j].Time.Equal(points[i].Time) {
			j++
		}
		times = append(times, together(points[i:j]))
		i = j
	}
	if len(times) <= maxPoints {
		return times
	}
	var taken []Point
	for block := range slices.Chunk(times, (len(times)+maxPoints-1)/maxPoints) {
		taken = append(taken, together(block))
	}
	return taken
}

// together is the median of points, in the middle of their time.
func together(points []Point) Point {
	values := make([]float64, len(points))
	for i, p := range points {
		values[i] = p.Value
	}
	slices.Sort(values)
	return Point{points[len(points)/2].Time, median(values)}
}

// median is of sorted values.
func median(sorted []float64) float64 {
	n := len(sorted)
	if n == 0 {
		return 0
	}
	return sorted[(n-1)/2]/2 + sorted[n/2]/2
}

// kendallVariance is that of the sum of signs where there is no trend, with ties.
func kendallVariance(points []Point) float64 {
	of := func(n int) float64 { f := float64(n); return f * (f - 1) * (2*f + 5) }
	values := make([]float64, len(points))
	for i, p := range points {
		values[i] = p.Value
	}
	slices.Sort(values)
	sum := of(len(values))
	for i := 0; i < len(values); {
		j := i
		for j < len(values) && values[j] == values[i] {
			j++
		}
		sum -= of(j - i)
		i = j
	}
	return sum / 18
}

// inflation is by how much it makes the variance larger that each value is like the one
// before: for the autocorrelation of the ranks of what is left without the slope.
func inflation(points []Point, perHour float64) float64 {
	n := len(points)
	type left struct {
		at    int
		value float64
	}
	rest := make([]left, n)
	for i, p := range points {
		rest[i] = left{i, p.Value - perHour*p.Time.Sub(points[0].Time).Hours()}
	}
	slices.SortFunc(rest, func(a, b left) int { return cmp.Compare(a.value, b.value) })
	ranks := make([]float64, n)
	for i := 0; i < n; {
		j := i
		for j < n && rest[j].value == rest[i].value {
			j++
		}
		for k := i; k < j; k++ {
			ranks[rest[k].at] = float64(i+j-1)/2 - float64(n-1)/2 // equal values share a rank
		}
		i = j
	}
	power, next := 0., 0.
	for i, r := range ranks {
		power += r * r
		if i > 0 {
			next += r * ranks[i-1]
		}
	}
	if power == 0 {
		return 1
	}
	f := float64(n)
	rho := min((f*next/power+2)/(f-4), .99) // what was taken away with the slope, and by chance, is put back
	if rho <= 0 {
		return 1
	}
	return 1 + 2*(math.Pow(rho, f+1)-f*rho*rho+(f-1)*rho)/(f*(rho-1)*(rho-1))
}
