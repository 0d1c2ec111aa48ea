package analytics_test

import (
	"fmt"
	"time"

	"github.com/cmmv-hive/resilience/monitor/analytics"
)

func ExampleSketch() {
	var today, yesterday analytics.Sketch
	for ms := range 1000 {
		today.Add(float64(ms) / 1000)
		yesterday.Add(float64(ms) / 500)
	}
	both := today
	both.Merge(&yesterday)
	fmt.Printf("%.2f %.2f %.2f\n", today.Quantile(.95), yesterday.Quantile(.95), both.Quantile(.95))
	// Output: 0.95 1.89 1.80
}

func ExampleFindTrend() {
	var hours []analytics.Point
	for i, seconds := range []float64{1.0, 1.1, 1.0, 1.2, 1.3, 1.2, 1.4, 1.5, 1.4, 1.6, 1.6, 1.8} {
		hours = append(hours, analytics.Point{Time: time.Unix(int64(i)*3600, 0), Value: seconds})
	}
	t := analytics.FindTrend(hours)
	fmt.Printf("rising %v, by %.3f s an hour, between %.3f and %.3f\n", t.Rising(), t.PerHour, t.Low, t.High)
	// Output: rising true, by 0.067 s an hour, between 0.050 and 0.080
}

func ExampleSPRT() {
	test, err := analytics.NewSPRT(.01, .2, .01, .05)
	if err != nil {
		fmt.Println(err)
		return
	}
	for call := range 100 {
		if v := test.Observe(call%3 == 2); v != analytics.Undecided {
			fmt.Println("after", call+1, "calls:", v)
			break
		}
	}
	// Output: after 6 calls: raised
}

func ExamplePredict() {
	var calls []float64
	for hour := range 14 * 24 {
		busy := 100.
		if hour%24 >= 9 && hour%24 < 18 {
			busy = 400
		}
		calls = append(calls, busy+float64(hour%7))
	}
	f, err := analytics.Predict(calls, 12, 24, .9)
	if err != nil {
		fmt.Println(err)
		return
	}
	at := f.Next[9]
	fmt.Printf("seasonal %v; at nine %.0f calls, between %.0f and %.0f\n", f.Seasonal, at.Mean, at.Low, at.High)
	// Output: seasonal true; at nine 406 calls, between 401 and 411
}

func ExamplePredictor() {
	p := analytics.NewPredictor(5 * time.Minute)
	now := time.Unix(0, 0)
	for i := range 720 {
		now = now.Add(5 * time.Second)
		took := time.Second
		if slow := i - 680; slow > 0 { // it becomes slower and slower
			took += time.Duration(slow*slow) * 5 * time.Millisecond
		}
		if likely := p.Observe(analytics.Sign{Time: now, Calls: 20, P95: took}); likely > .5 {
			fmt.Printf("p95 %v: fails within five minutes, with %.0f %%\n", took, 100*likely)
			break
		}
	}
	// Output: p95 3.205s: fails within five minutes, with 54 %
}

func ExampleRoomThatKeeps() {
	r, ok := analytics.RoomThatKeeps(analytics.Load{PerSecond: 4, Took: 2 * time.Second}, 100*time.Millisecond)
	fmt.Printf("%v: %d at once, %.0f %% busy, %.0f %% of calls wait\n", ok, r.Servers, 100*r.Busy, 100*r.Waits)
	// Output: true: 12 at once, 67 % busy, 14 % of calls wait
}
