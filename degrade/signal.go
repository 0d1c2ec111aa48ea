package degrade

import (
	"strconv"
	"time"
)

// The signals that levels go by.
const (
	available = iota
	errorRate
	p95
	burn
	signals
)

var signalNames = [signals]string{"available", "errorRate", "p95", "burn"}

// A sample is what the signals are at an instant; times are in nanoseconds.
type sample [signals]float64

// well is a sample of a pool that is.
var well = sample{available: 1}

// beyond reports whether x of a signal is worse than a limit, of which 0 is none.
func beyond(signal int, x, limit float64) bool {
	if signal == available {
		return x < limit
	}
	return limit > 0 && x > limit
}

// relief is where a signal that was beyond a limit has come back from it: a fifth
// of the limit below it, or of what is missing above it.
func relief(signal int, limit float64) float64 {
	if signal == available {
		return limit + 0.2*(1-limit)
	}
	return 0.8 * limit
}

// excess is where a signal is far beyond a limit, as far as relief is before it.
func excess(signal int, limit float64) float64 { return 2*limit - relief(signal, limit) }

// back reports whether x of a signal is well back from a limit.
func back(signal int, x, limit float64) bool {
	return limit == 0 || !beyond(signal, x, relief(signal, limit))
}

// show prints what x of a signal is.
func show(signal int, x float64) string {
	if signal == p95 {
		return time.Duration(x).Round(time.Millisecond).String()
	}
	return strconv.FormatFloat(x, 'g', 3, 64)
}

// worse says that x of a signal is beyond a limit.
func worse(signal int, x, limit float64) string {
	than := " > "
	if signal == available {
		than = " < "
	}
	return signalNames[signal] + " " + show(signal, x) + than + show(signal, limit)
}

// better says that x of a signal is back from a limit.
func better(signal int, x, limit float64) string {
	than := " ≤ "
	if signal == available {
		than = " ≥ "
	}
	return signalNames[signal] + " " + show(signal, x) + than + show(signal, relief(signal, limit))
}
