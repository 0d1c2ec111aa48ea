package main

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience/chaos"
)

// samples are n calls of which ok are answered, after 1 s, 2 s and so on.
func samples(n, ok, attempts int, cost float64, model string) []Sample {
	out := make([]Sample, n)
	for i := range out {
		out[i] = Sample{Attempts: attempts, Cost: cost, Took: time.Hour}
		if i < ok {
			out[i].OK, out[i].Took, out[i].Model = true, time.Duration(ok-i)*time.Second, model
		}
	}
	return out
}

func TestTable(t *testing.T) {
	library := samples(1000, 999, 1, 0.004, "a")
	for i := range 250 {
		library[i].Model, library[i].Attempts = "a-longer-name", 2
	}
	var b strings.Builder
	writeTable(&b, []Fake{{Model: chaos.Model{Name: "a"}}, {Model: chaos.Model{Name: "a-longer-name"}}}, []Row{
		{"bare", samples(3, 2, 1, 0.0123, "a")},
		{"retry only", samples(1000, 0, 3, 0, "")},
		{"this library", library},
	})
	require.Equal(t, ``+
		`                 success       p50       p95       p99   attempts/call      cost
bare             66.66 %     1.0 s     2.0 s     2.0 s            1.00    $12.30
retry only        0.00 %         –         –         –            3.00     $0.00
this library     99.90 %   500.0 s   950.0 s   990.0 s            1.25     $4.00

answered by            a a-longer-name
bare             66.66 %             –
retry only             –             –
this library     74.90 %       25.00 %
`, b.String())
}

func TestPercentIsWholeOnlyIfAllAre(t *testing.T) {
	for want, f := range map[string]float64{
		"100.00 %": 1, "99.99 %": 0.99999, "0.00 %": 0.00009, "57.00 %": 0.57, "66.66 %": 2.0 / 3, "99.90 %": 0.999,
	} {
		require.Equal(t, want, percent(f))
	}
}

func TestQuantile(t *testing.T) {
	ten := []time.Duration{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	for want, p := range map[time.Duration]float64{1: 0, 5: 0.5, 6: 0.51, 10: 0.95} {
		require.Equal(t, want, quantile(ten, p))
	}
	require.Equal(t, time.Duration(10), quantile(ten, 1))
	require.Equal(t, time.Duration(7), quantile([]time.Duration{7}, 0.99))
	require.Zero(t, quantile(nil, 0.5))
}
