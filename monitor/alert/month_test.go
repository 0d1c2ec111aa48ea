package alert_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/health"
	"github.com/cmmv-hive/resilience/internal/simtest"
	"github.com/cmmv-hive/resilience/monitor/alert"
	"github.com/cmmv-hive/resilience/monitor/notify"
	"github.com/cmmv-hive/resilience/recovery"
	"github.com/cmmv-hive/resilience/stack"
)

// A mode is how a fake model behaves.
type mode int32

const (
	modeWell   mode = iota
	modeErrors      // 503
	modeHang
	modeBrown  // slow, and 40 % fail
	modeLimits // 70 % are refused by a limit
	modeKey    // 401
	modes
)

// A fake is a model that answers within 200 ms and fails three in a thousand times.
type fake struct {
	mode atomic.Int32
	rand func() float64
}

func (f *fake) ask(ctx context.Context) error {
	took, err := 200*time.Millisecond, error(nil)
	chance := f.rand()
	switch mode(f.mode.Load()) {
	case modeWell:
		if chance < .003 {
			err = resilience.Overloaded
		}
	case modeErrors:
		took, err = 100*time.Millisecond, resilience.Unreachable
	case modeHang:
		took = time.Hour
	case modeBrown:
		if took *= 8; chance < .4 {
			err = resilience.Overloaded
		}
	case modeLimits:
		if chance < .7 {
			took, err = 50*time.Millisecond, resilience.RateLimited
		}
	case modeKey:
		took, err = 50*time.Millisecond, resilience.Unauthorized
	}
	t := time.NewTimer(took)
	defer t.Stop()
	select {
	case <-t.C:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// An incident is what befalls some models.
type incident struct {
	kind        string
	models      []int
	mode        mode
	flaps       bool
	from, until time.Duration
}

func (i incident) String() string {
	return fmt.Sprintf("%s of %v at %v for %v", i.kind, i.models, i.from.Round(time.Second), (i.until - i.from).Round(time.Second))
}

// outage reports whether its models answer nothing for a minute at least.
func (i incident) outage() bool {
	return !i.flaps && (i.mode == modeErrors || i.mode == modeHang || i.mode == modeKey) && i.until-i.from >= time.Minute
}

const (
	fakes = 8

	blip       = "blip"
	nameOutage = "outage of a name"
	poolOutage = "outage of all"
)

// The models: four providers of two, in two regions, and each name at two providers.
func fakeInfos() (list []resilience.ModelInfo) {
	for i := range fakes {
		list = append(list, resilience.ModelInfo{
			ID: "m" + strconv.Itoa(i), Name: "n" + strconv.Itoa(i%4), Provider: "p" + strconv.Itoa(i/2), Region: "r" + strconv.Itoa(i%2),
		})
	}
	return list
}

// incidentsOf draws incidents of all kinds, apart from each other, and blips of a few
// seconds between them.
func incidentsOf(seed uint64, lasts, apart time.Duration) (list []incident) {
	draw := rand.New(rand.NewPCG(seed, 30))
	between := func(least, most time.Duration) time.Duration {
		return least + time.Duration(draw.Int64N(int64(most-least)))
	}
	for at := between(10*time.Minute, 20*time.Minute); at < lasts-time.Hour; at += between(apart/2, apart*3/2) {
		one, dur := draw.IntN(fakes), between(time.Minute, 15*time.Minute)
		i := incident{from: at, models: []int{one}}
		switch draw.IntN(14) {
		case 0, 1:
			i.kind, i.mode = "outage", modeErrors
		case 2:
			i.kind, i.mode = "hang", modeHang
		case 3:
			i.kind, i.mode, i.models = "provider outage", modeErrors, []int{one &^ 1, one | 1}
		case 4: // two providers' models in one of the regions, of different names
			i.kind, i.mode, i.models = "partial region", modeErrors, []int{one, (one + 2) % fakes}
		case 5:
			i.kind, i.mode = "brownout", modeBrown
		case 6:
			i.kind, i.mode = "throttle", modeLimits
		case 7:
			i.kind, i.mode, i.flaps, dur = "flapping", modeErrors, true, between(5*time.Minute, 15*time.Minute)
		case 8:
			i.kind, i.mode = "dead key", modeKey
		case 9:
			i.kind, i.mode, i.models = nameOutage, modeErrors, []int{one, (one + 4) % fakes}
		case 10:
			i.kind, i.mode, i.models = poolOutage, modeErrors, []int{0, 1, 2, 3, 4, 5, 6, 7}
		case 11:
			i.kind, i.mode, i.models, dur = blip, modeErrors, []int{one, (one + 4) % fakes}, between(time.Second, 6*time.Second)
		default:
			i.kind, i.mode, dur = blip, modeErrors, between(time.Second, 6*time.Second)
		}
		at += dur
		i.until = at
		list = append(list, i)
	}
	return list
}

// A told is what a channel was told of an alert.
type told struct {
	notify.Alert

	at    time.Duration // first
	ended time.Duration
	ends  int
}

// A book keeps all that it is told, by alert.
type book struct {
	start  time.Time
	mu     sync.Mutex
	alerts map[string]*told
	sent   int
	orphan int // ends of what nobody told of
}

func (b *book) Name() string { return "book" }

func (b *book) Notify(_ context.Context, n notify.Notification) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sent++
	for _, a := range n.Alerts {
		k := a.Fingerprint + a.StartsAt.String()
		was := b.alerts[k]
		if was == nil {
			if !a.Firing() {
				b.orphan++
			}
			was = &told{Alert: a, at: time.Since(b.start)}
			b.alerts[k] = was
		}
		if !a.Firing() {
			was.ends++
			was.ended = time.Since(b.start)
		}
	}
	return nil
}

// about reports whether an alert is about one of an incident's models.
func (x *told) about(i incident) bool {
	for _, m := range i.models {
		info := fakeInfos()[m]
		for label, v := range map[string]string{"model": info.ID, "name": info.Name, "provider": info.Provider} {
			if _, has := x.Labels["model"]; has && label != "model" {
				continue
			}
			if x.Labels[label] == v {
				return true
			}
		}
	}
	return len(x.Labels) == 0 || x.Labels["objective"] != "" && (i.kind == nameOutage || i.kind == poolOutage)
}

// TestSimulatedMonth lets incidents befall a pool with all that heals and judges what
// its people are told: every outage of a minute within 30 seconds, nothing that is not
// so, each alert's end once, and two alerts for an incident at most.
func TestSimulatedMonth(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long under the race detector")
	}
	lasts, apart := 24*time.Hour, 16*time.Minute
	if *long {
		lasts, apart = 30*24*time.Hour, time.Hour
	}
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		log := &book{start: start, alerts: map[string]*told{}}
		alerts := alert.New(alert.Config{Routes: []alert.Route{{Channel: log}}})
		var models [fakes]*fake
		of := map[string]*fake{}
		for i, info := range fakeInfos() {
			draw := rand.New(rand.NewPCG(uint64(i), 5))
			var mu sync.Mutex
			models[i] = &fake{rand: func() float64 {
				mu.Lock()
				defer mu.Unlock()
				return draw.Float64()
			}}
			of[info.ID] = models[i]
		}
		pool, err := resilience.NewPool(stack.New(stack.Config{}), health.New(health.Config{}), recovery.New(recovery.Config{}), alerts,
			resilience.Probe(func(ctx context.Context, m *resilience.Model) error { return of[m.ID()].ask(ctx) }),
			resilience.Models(fakeInfos()...), resilience.Seed(rand.NewPCG(3, 3)))
		require.NoError(t, err)
		client, err := resilience.NewClient(pool, resilience.BindAll(func(ctx context.Context, m *resilience.Model, _ struct{}) (struct{}, error) {
			return struct{}{}, of[m.ID()].ask(ctx)
		}))
		require.NoError(t, err)
		list := incidentsOf(1, lasts, apart)
		for _, i := range list {
			set := func(m mode) {
				for _, n := range i.models {
					models[n].mode.Store(int32(m))
				}
			}
			if i.flaps {
				const half = 20 * time.Second
				for at := i.from; at+half < i.until; at += 2 * half {
					time.AfterFunc(at, func() { set(i.mode) })
					time.AfterFunc(at+half, func() { set(modeWell) })
				}
				continue
			}
			time.AfterFunc(i.from, func() { set(i.mode) })
			time.AfterFunc(i.until, func() { set(modeWell) })
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- pool.Run(ctx) }()
		var calls, failed atomic.Int64
		simtest.Arrive(t.Context(), 9, fakes, lasts, func(time.Duration) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			calls.Add(1)
			if _, err := client.Call(ctx, struct{}{}); err != nil {
				failed.Add(1)
			}
		})
		left := alerts.Active()
		cancel()
		require.NoError(t, <-done)

		j := judge(t, list, log)
		weeks := float64(fakes) * lasts.Hours() / 24 / 7
		t.Logf("published: SimulatedMonth: measured %.1f days, %d calls, %.3f %% failed, %d incidents and %d blips; %d of %d outages told of within 30 s (median %.0f s, most %.0f s); %.2f false alarms a model-week; %d alerts, %d at most for one incident, %d notifications, %d pages, reference –, target all within 30 s, ≤ 1 false alarm a model-week, each alert's end once, ≤ 2 alerts an incident",
			lasts.Hours()/24, calls.Load(), 100*float64(failed.Load())/float64(calls.Load()), len(list)-j.blips, j.blips, j.intime, j.outages, j.median, j.most,
			float64(j.strays)/weeks, len(log.alerts), j.worst, log.sent, j.pages)
		require.Empty(t, left)
		require.Equal(t, j.outages, j.intime)
		require.LessOrEqual(t, float64(j.strays)/weeks, 1.0)
		require.LessOrEqual(t, j.worst, 2)
		require.Zero(t, log.orphan)
		require.Zero(t, j.unended)
		require.Zero(t, j.wrongPages)
	})
}

type judgement struct {
	outages, intime, blips, strays, worst, unended, pages, wrongPages int
	median, most                                                      float64
}

// slack is how long after an incident what it left may still be told of: the longest
// window of the rules.
const slack = 6 * time.Minute

// slack is the same for an alert: what an error budget has lost is lost for as long as
// the long windows.
func (x *told) slack() time.Duration {
	switch x.Rule {
	case "budget_burn":
		return 6 * time.Hour
	case "budget_drain":
		return 72 * time.Hour
	default:
		return slack
	}
}

func judge(t *testing.T, list []incident, log *book) (j judgement) {
	t.Helper()
	var took []float64
	for _, i := range list {
		n, said := 0, []string{}
		for _, x := range log.alerts {
			if x.about(i) && x.at >= i.from && x.at <= i.until+slack {
				n++
				said = append(said, fmt.Sprintf("%s %v +%v", x.Rule, x.Labels, (x.at-i.from).Round(time.Second)))
			}
		}
		if j.worst = max(j.worst, n); n > 2 {
			t.Logf("%v: %s", i, strings.Join(said, ", "))
		}
		if i.kind == blip {
			j.blips++
		}
		if !i.outage() {
			continue
		}
		for _, m := range i.models {
			j.outages++
			first := time.Duration(-1)
			one := i
			one.models = []int{m}
			for _, x := range log.alerts {
				if x.about(one) && x.at <= i.from+30*time.Second && (x.ended == 0 || x.ended > i.from) && (first < 0 || x.at-i.from < first) {
					first = max(x.at-i.from, 0)
				}
			}
			if first < 0 {
				t.Logf("late or not: %v, model %d: %s", i, m, strings.Join(said, ", "))
				continue
			}
			j.intime++
			took = append(took, first.Seconds())
		}
	}
	for _, x := range log.alerts {
		if x.ends != 1 {
			j.unended++
			t.Logf("%d ends: %s %v at %v", x.ends, x.Rule, x.Labels, x.at)
		}
		because := slices.ContainsFunc(list, func(i incident) bool {
			return i.kind != blip && x.about(i) && x.at >= i.from && x.at <= i.until+x.slack()
		})
		if !because {
			j.strays++
			t.Logf("a false alarm: %s %v at %v", x.Rule, x.Labels, x.at)
		}
		if x.Severity == notify.Critical {
			j.pages++
			if !slices.ContainsFunc(list, func(i incident) bool {
				return (i.mode == modeKey || i.kind == nameOutage || i.kind == poolOutage) && x.about(i) && x.at >= i.from && x.at <= i.until+x.slack()-slack
			}) {
				j.wrongPages++
				t.Logf("a page: %s %v at %v", x.Rule, x.Labels, x.at)
			}
		}
	}
	slices.Sort(took)
	if len(took) > 0 {
		j.median, j.most = took[len(took)/2], took[len(took)-1]
	}
	return j
}
