package window_test

import (
	"fmt"
	"time"

	"github.com/cmmv-hive/resilience/internal/window"
)

func ExampleCounts() {
	const calls, failures = 0, 1
	second := int64(time.Second)
	c := window.NewCounts(3*second, 10, 2)
	for i := range int64(20) { // one call a second, every fourth fails
		c.Add(i*second, calls, 1)
		if i%4 == 0 {
			c.Add(i*second, failures, 1)
		}
	}
	fmt.Println(c.Sum(19*second, 30*second, failures, calls))
	fmt.Println(c.Sum(40*second, 30*second, failures, calls))
	c.Begin(41 * second)
	c.Add(41*second, calls, 1)
	fmt.Println(c.Sum(41*second, 30*second, failures, calls))
	// Output:
	// [5 20]
	// [2 8]
	// [0 1]
}

func ExampleHistogram() {
	var h window.Histogram
	for i := range int64(1000) {
		h.Add(0, i*int64(time.Millisecond))
	}
	for _, d := range h.Quantiles(0, int64(time.Minute), .5, .9) {
		fmt.Println(time.Duration(d).Round(10 * time.Millisecond))
	}
	// Output:
	// 500ms
	// 900ms
}

func ExampleEWMA() {
	var e window.EWMA
	second := int64(time.Second)
	e.Observe(0, 2*second)
	e.Observe(0, 5*second)
	e.Observe(10*second, 2*second)
	fmt.Printf("%.1f\n", time.Duration(e.Value(10*second)).Seconds())
	fmt.Printf("%.1f\n", time.Duration(e.Value(20*second)).Seconds())
	// Output:
	// 3.1
	// 1.1
}
