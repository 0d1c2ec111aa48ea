package anomaly_test

import (
	"fmt"
	"math"
	"time"

	"github.com/cmmv-hive/resilience/monitor/anomaly"
)

// Requests a minute follow the day. One day there are fewer after noon.
func Example() {
	d := anomaly.New(anomaly.Config{})
	at := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	for day := range 8 {
		for minute := 0; minute < 24*60; minute += 5 {
			calls := 300 - 200*math.Cos(2*math.Pi*float64(minute)/(24*60)) + float64(minute*7%11)
			if day == 7 && minute >= 12*60 {
				calls /= 4
			}
			if r := d.Observe(at, calls); r.Began && day > 1 {
				fmt.Println(at.Format("Mon 15:04"), r.Why)
			}
			at = at.Add(5 * time.Minute)
		}
	}
	// Output: Mon 12:15 shape at 0.67, over 0.5; the value is 126.9, usual 304.6 ± 1.4e+02
}

// A latency creeps from 200 to 210 ms, one standard deviation.
func ExampleCUSUM() {
	c := anomaly.CUSUM{Mean: 200, Deviation: 10}
	for i := range 30 {
		if c.Observe(210) != 0 {
			fmt.Println("has moved after", i+1, "values")
			break
		}
	}
	// Output: has moved after 11 values
}

func ExamplePageHinkley() {
	var p anomaly.PageHinkley // knows no mean
	for i := range 40 {
		level := 50.0
		if i >= 30 {
			level = 55
		}
		if p.Observe(level) > 0 {
			fmt.Println("has risen at value", i)
			break
		}
	}
	// Output: has risen at value 32
}
