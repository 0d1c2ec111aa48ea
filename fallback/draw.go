package fallback

import (
	"time"

	"github.com/cmmv-hive/resilience"
)

// random draws a model evenly, whatever its weight.
type random struct{}

// Pick implements [resilience.Picker].
func (random) Pick(c *resilience.Call, from resilience.Candidates) *resilience.Model {
	var drawn, spare *resilience.Model // spare is full
	rand := c.Pool().Rand
	n, full := 0., 0.
	for i := range min(from.Len(), most) {
		at := i
		if from.Len() > most {
			at = int(rand() * float64(from.Len()))
		}
		m := from.At(at)
		switch {
		case m == nil:
		case m.Full():
			if full++; rand()*full < 1 {
				spare = m
			}
		default:
			if n++; rand()*n < 1 {
				drawn = m
			}
		}
	}
	if drawn == nil {
		return spare
	}
	return drawn
}

// weighted draws a model in proportion to its weight, its ramp and the share of
// its attempts that do well, and in inverse proportion to its latency.
type weighted struct{}

// most is among how many models of a tier a draw is made. Of a larger tier so
// many are drawn evenly first.
const most = 64

// Pick implements [resilience.Picker].
func (weighted) Pick(c *resilience.Call, from resilience.Candidates) *resilience.Model {
	var (
		list    [most]drawn
		n       int
		spare   *resilience.Model // one that is full
		known   int               // latencies
		average float64
	)
	rand := c.Pool().Rand
	for i := range min(from.Len(), most) {
		at := i
		if from.Len() > most {
			at = int(rand() * float64(from.Len()))
		}
		m := from.At(at)
		switch {
		case m == nil:
			continue
		case m.Full():
			spare = m
			continue
		}
		d := drawn{m, float64(m.LatencyAt(c.Clock()))}
		if d.latency > 0 {
			known++
			average += d.latency
		}
		list[n] = d
		n++
	}
	if n == 0 {
		return spare
	}
	average = max(average/float64(max(known, 1)), float64(time.Nanosecond))
	var weights [most]float64
	total := 0.0
	for i, d := range list[:n] {
		weights[i] = d.weight(c.Clock(), average)
		total += weights[i]
	}
	x := rand() * total
	for i, w := range weights[:n] {
		if x < w {
			return list[i].model
		}
		x -= w
	}
	return nil // nobody has any weight
}

type drawn struct {
	model   *resilience.Model
	latency float64
}

// weight takes a latency that is not known for the average, and one that an
// idle time has let fall below a tenth of it for that tenth.
func (d drawn) weight(now time.Duration, average float64) float64 {
	latency := d.latency
	if latency <= 0 {
		latency = average
	}
	info := d.model.Info()
	return info.Weight * d.model.Ramp() * (1 - d.model.ErrorsAt(now)) / max(latency, average/10)
}
