package sim_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/leaktest"
	"github.com/cmmv-hive/resilience/internal/sim"
)

var (
	seeds = flag.Int("sim.seeds", 0, "simulate so many seeds")
	only  = flag.Uint64("sim.seed", 0, "simulate this seed alone, and print what goes wrong in it")
	long  = flag.Bool("long", false, "run the heavy checks whole")
)

func TestMain(m *testing.M) { os.Exit(leaktest.Run(m)) }

// How many seeds are simulated.
const (
	inShort = 10
	inAll   = 1000
	inLong  = 20_000
)

// A tally sums up simulations.
type tally struct {
	mu      sync.Mutex
	calls   int
	faults  int
	models  int
	reached map[string]int
	failed  []uint64
	found   map[int]int // violations by check
	first   *history    // that has one
	why     []violation
}

func (y *tally) add(h *history, list []violation) {
	is := states(h)
	y.mu.Lock()
	defer y.mu.Unlock()
	y.calls += len(h.calls)
	y.faults += h.faulted
	y.models += len(h.scenario.models)
	for state, reached := range is {
		if reached {
			y.reached[state]++
		}
	}
	for _, v := range list {
		y.found[v.number]++
	}
	if len(list) > 0 {
		if y.failed = append(y.failed, h.scenario.seed); y.first == nil || h.scenario.seed < y.first.scenario.seed {
			y.first, y.why = h, list
		}
	}
}

// TestSimulation plays the whole stack against providers that fail in all sorts
// of ways, a different mix and a different configuration for each seed, in
// virtual time.
func TestSimulation(t *testing.T) {
	n := inAll
	switch {
	case *seeds > 0:
		n = *seeds
	case *long:
		n = inLong
	case testing.Short():
		n = inShort
	}
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	y := &tally{reached: map[string]int{}, found: map[int]int{}}
	if *only > 0 {
		h := simulate(t, draw(*only))
		for _, f := range h.scenario.faults {
			t.Log(f.String())
		}
		y.add(h, violations(h))
		report(t, y)
		return
	}
	start := time.Now()
	var next atomic.Uint64
	t.Run("seeds", func(t *testing.T) {
		for worker := range max(2, runtime.GOMAXPROCS(0)) {
			t.Run(fmt.Sprint(worker), func(t *testing.T) {
				t.Parallel()
				for seed := next.Add(1); seed <= uint64(n); seed = next.Add(1) {
					h := simulate(t, draw(seed))
					y.add(h, violations(h))
				}
			})
		}
	})
	t.Logf("published: simulation: measured %d seeds, %.0f simulated hours, %d calls, %d faults, %d violations, %.1f models a seed, %d of %d states reached, "+
		"reference none, target ≥ 1,000 seeds, ≥ 160 h, ≥ 10⁶ calls, 0 violations", n, float64(n)*lasts.Hours(), y.calls, y.faults, len(y.failed),
		float64(y.models)/float64(n), len(y.reached), len(sometimes))
	t.Logf("%.0f ms a seed", time.Since(start).Seconds()*1000/float64(n))
	report(t, y)
	if n < inAll {
		return // chance does not reach all states so soon
	}
	for _, state := range sometimes {
		require.NotZero(t, y.reached[state], "no seed reached this: %s", state)
	}
	require.GreaterOrEqual(t, float64(y.calls), 1000*float64(n))
	require.GreaterOrEqual(t, float64(y.models), 8*float64(n))
}

// report fails the test if there are violations, with what is needed to look
// into the first of them.
func report(t *testing.T, y *tally) {
	t.Helper()
	if y.first == nil {
		return
	}
	s := y.first.scenario
	var b strings.Builder
	fmt.Fprintf(&b, "%d seeds failed, of checks %v: %v\n\nseed %d, trace %s; again with\n\n\tgo test ./internal/sim -run TestSimulation -args -sim.seed=%d\n\n",
		len(y.failed), y.found, y.failed[:min(20, len(y.failed))], s.seed, y.first.trace.Hash(), s.seed)
	for _, v := range y.why {
		fmt.Fprintln(&b, v)
	}
	fmt.Fprintf(&b, "\nwith no more than these faults of %d:\n", len(s.faults))
	for _, f := range shrunk(t, s, y.why[0].number) {
		fmt.Fprintln(&b, f.String())
	}
	t.Error(b.String())
}

// shrunk are faults that are enough to violate a check.
func shrunk(t *testing.T, s scenario, number int) []fault {
	t.Helper()
	return sim.Shrink(s.faults, 60, func(part []fault) bool {
		s.faults = part
		return slices.ContainsFunc(violations(simulate(t, s)), func(v violation) bool { return v.number == number })
	})
}

// A seed is played again to the bit, with any number of processors, whether
// somebody subscribes to events or not.
func TestReplay(t *testing.T) {
	n := uint64(10)
	if testing.Short() {
		n = 1
	}
	if *long {
		n = 200
	}
	hashes := map[string]bool{}
	for seed := uint64(1); seed <= n; seed++ {
		want := simulate(t, draw(seed)).trace.Hash()
		hashes[want] = true
		for _, processors := range []int{1, 4} {
			was := runtime.GOMAXPROCS(processors)
			h := simulate(t, draw(seed), subscribers{})
			runtime.GOMAXPROCS(was)
			require.Equal(t, want, h.trace.Hash(), "seed %d, GOMAXPROCS %d", seed, processors)
		}
	}
	require.Len(t, hashes, int(n), "seeds differ")
}

// subscribers are many who never look at what they get.
type subscribers struct{}

// Install implements [resilience.Feature].
func (subscribers) Install(s *resilience.Setup) error {
	for range 3 {
		s.Pool().Subscribe(1)
	}
	return nil
}

// The shrinker finds the two faults that it takes to trigger a defect.
func TestShrinkOfASimulation(t *testing.T) {
	if testing.Short() {
		t.Skip("simulates a dozen times")
	}
	s := draw(3)
	s.plant, s.runs = true, false
	all := make([]int, len(s.models))
	for i := range all {
		all[i] = i
	}
	minute := func(id int, kind faultKind, factor, share float64) fault {
		return fault{id: id, kind: kind, models: all, from: time.Minute, to: 2 * time.Minute, factor: factor, share: share}
	}
	s.faults = append(s.faults, minute(101, slow, 1.1, 0), minute(102, capacity, 0, 0), minute(103, malformed, 0, .1))
	found := violations(simulate(t, s))
	require.NotEmpty(t, found)
	i := slices.IndexFunc(found, func(v violation) bool { return v.number == 18 })
	require.GreaterOrEqual(t, i, 0, "%v", found)
	var kinds []faultKind
	for _, f := range shrunk(t, s, 18) {
		kinds = append(kinds, f.kind)
	}
	require.Len(t, kinds, 2)
	require.Contains(t, kinds, slow)
	require.Contains(t, kinds, capacity)
}

// What is not checked here, and why.
func TestMissingChecks(t *testing.T) {
	for _, number := range slices.Sorted(maps.Keys(missing)) {
		t.Logf("%d %s", number, missing[number])
	}
	for number := 1; number <= 50; number++ {
		checked := slices.ContainsFunc(checks, func(c check) bool { return c.number == number })
		_, known := missing[number]
		_, tested := elsewhere[number]
		require.NotEqual(t, checked, known || tested, "%d", number)
	}
}
