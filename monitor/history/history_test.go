package history

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
)

// world is a pool of models whose calls take what took says, and fail as fail says.
type world struct {
	*resilience.Client[string, string]
	*History
	pool *resilience.Pool
	log  lines
	took time.Duration
	fail map[string]error
}

// lines are a log's lines.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func newWorld(tb testing.TB, cfg Config, ids ...string) *world {
	tb.Helper()
	w := &world{History: New(cfg), fail: map[string]error{}, took: time.Second}
	var binds []resilience.ClientOption[string, string]
	for _, id := range ids {
		binds = append(binds, resilience.BindFunc(id, func(ctx context.Context, _ string) (string, error) {
			select {
			case <-time.After(w.took):
			case <-ctx.Done():
				return "", ctx.Err()
			}
			resilience.ReportUsage(ctx, resilience.Usage{Input: 100, Output: 10})
			return "fine", w.fail[id]
		}))
	}
	var err error
	w.pool, err = resilience.NewPool(resilience.Logger(slog.New(slog.NewTextHandler(&w.log, nil))), w.History)
	require.NoError(tb, err)
	w.Client, err = resilience.NewClient(w.pool, binds...)
	require.NoError(tb, err)
	return w
}

// during runs the pool while fn does.
func (w *world) during(t *testing.T, fn func()) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { require.NoError(t, w.pool.Run(ctx)) })
	synctest.Wait()
	fn()
	stop()
	wg.Wait()
}

// alone samples while fn runs, without the rest of a pool that runs.
func (w *world) alone(t *testing.T, fn func()) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { require.NoError(t, w.run(ctx)) })
	synctest.Wait()
	fn()
	stop()
	wg.Wait()
}

func (w *world) ask(t *testing.T, model string) error {
	t.Helper()
	_, err := w.Call(resilience.WithOptions(t.Context(), resilience.CallOptions{Model: model}), "")
	return err
}

func day(now time.Time) (from, to time.Time) { return now.Add(-24 * time.Hour), now.Add(time.Hour) }

func sum(rows []Row) (calls, failures int64) {
	for _, r := range rows {
		calls += r.Calls
		failures += r.Failures
	}
	return calls, failures
}

func TestCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{}, "a", "b")
		require.NoError(t, w.ask(t, "a"), "before it runs")
		w.during(t, func() {
			w.fail["b"] = fmt.Errorf("%w: gone", resilience.Overloaded)
			for range 300 {
				require.NoError(t, w.ask(t, "a"))
				require.Error(t, w.ask(t, "b"))
				time.Sleep(10 * time.Second)
			}
			w.fail["b"] = fmt.Errorf("%w: no", resilience.Invalid)
			require.Error(t, w.ask(t, "b"))
		})
		from, to := day(time.Now())
		for _, step := range []time.Duration{time.Minute, 5 * time.Minute, time.Hour} {
			rows := w.Rows(Series{Model: "a"}, from, to, step)
			calls, failures := sum(rows)
			require.EqualValues(t, 300, calls)
			require.Zero(t, failures)
			require.InDelta(t, time.Second, rows[0].P50, float64(40*time.Millisecond))
			require.Equal(t, 100*rows[0].Calls, rows[0].Usage.Input)
			rows = w.Rows(Series{Name: "b"}, from, to, step)
			calls, failures = sum(rows)
			require.EqualValues(t, 301, calls)
			require.EqualValues(t, 300, failures, "an invalid request is not the model's")
			require.Positive(t, rows[0].Kinds["overloaded"])
			calls, failures = sum(w.Rows(Series{}, from, to, step))
			require.EqualValues(t, 601, calls)
			require.EqualValues(t, 300, failures)
		}
		require.Len(t, w.Rows(Series{Model: "a"}, from, to, time.Hour), 2)
		rows := w.Rows(Series{Model: "a"}, time.Now().Add(-50*time.Minute), to, 0)
		require.Equal(t, 10*time.Second, rows[0].Step)
		require.Equal(t, 10*time.Second, rows[1].Observed)
		require.Empty(t, w.Rows(Series{Model: "nobody"}, from, to, time.Hour))
		require.Equal(t, []Series{{}, {"a", "a"}, {"b", "b"}}, w.Series())
	})
}

func TestHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{}, "a", "b")
		m := w.pool.Model("a")
		w.during(t, func() {
			time.Sleep(10 * time.Minute)
			m.Hold(t.Context(), resilience.Hold{By: resilience.HoldBreaker, Reason: "5 failures\n in a row", Until: time.Now().Add(90 * time.Second)})
			time.Sleep(30 * time.Second)
			m.Hold(t.Context(), resilience.Hold{By: resilience.HoldHealth, Reason: "probes"})
			time.Sleep(30 * time.Second)
			m.Hold(t.Context(), resilience.Hold{By: resilience.HoldBreaker, Reason: "extended", Until: time.Now().Add(60 * time.Second)})
			time.Sleep(57 * time.Second)
			m.Release(t.Context(), resilience.HoldHealth)
			time.Sleep(9 * time.Minute)
		})
		from, to := day(time.Now())
		var held time.Duration
		by := map[string]time.Duration{}
		for _, r := range w.Rows(Series{Model: "a"}, from, to, time.Minute) {
			held += r.Held
			for k, d := range r.HeldBy {
				by[k] += d
			}
		}
		require.Equal(t, 2*time.Minute, held)
		require.Equal(t, map[string]time.Duration{"breaker": 2 * time.Minute, "health": 87 * time.Second}, by)
		rows := w.Rows(Series{Model: "a"}, from, to, time.Hour)
		share, ok := rows[0].Available()
		require.True(t, ok)
		require.Less(t, share, 1.)
		in := w.Incidents(from, to)
		require.Len(t, in, 2)
		require.Equal(t, "breaker", in[0].What)
		require.Equal(t, "extended", in[0].Reason)
		require.Equal(t, 2*time.Minute, in[0].End.Sub(in[0].Begin).Round(time.Second))
		require.Equal(t, "health", in[1].What)
		share, ok = w.Rows(Series{Model: "b"}, from, to, time.Hour)[0].Available()
		require.True(t, ok)
		require.Equal(t, 1., share)
	})
}

func TestNobodyRunsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{}, "a")
		require.NoError(t, w.ask(t, "a"))
		time.Sleep(time.Hour)
		from, to := day(time.Now())
		require.Empty(t, w.Rows(Series{}, from, to, time.Minute))
		w.during(t, func() { time.Sleep(time.Minute) })
		time.Sleep(time.Hour)
		require.NoError(t, w.ask(t, "a"))
		w.during(t, func() { require.NoError(t, w.ask(t, "a")) })
		calls, _ := sum(w.Rows(Series{}, from, to.Add(3*time.Hour), time.Minute))
		require.EqualValues(t, 1, calls)
		rows := w.Rows(Series{}, from, to.Add(3*time.Hour), time.Minute)
		require.LessOrEqual(t, len(rows), 4, "what is between is a gap")
	})
}

func TestMonth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "history")
		w := newWorld(t, Config{File: path, SaveEvery: -1}, "a", "b", "c", "d")
		rnd := rand.New(rand.NewPCG(1, 2))
		made := map[string]int64{}
		hour := map[string]int64{}
		var size []int
		live := func(days int) {
			w.alone(t, func() {
				for range days * 24 * 6 {
					time.Sleep(10*time.Minute - 4*time.Second)
					for _, id := range []string{"a", "b", "c", "d"} {
						w.took = time.Duration(rnd.ExpFloat64() * float64(300*time.Millisecond))
						require.NoError(t, w.ask(t, id))
						made[id]++
						hour[id+time.Now().UTC().Format("0102T15")]++
					}
				}
				size = append(size, w.size())
			})
		}
		days := 31
		if testing.Short() {
			days = 2
		}
		live(days)
		again := newWorld(t, Config{File: path, SaveEvery: -1}, "a", "b", "c", "d")
		require.Equal(t, w.Rows(Series{}, time.Unix(0, 0), time.Now(), time.Hour), again.Rows(Series{}, time.Unix(0, 0), time.Now(), time.Hour))
		w = again
		live(min(2, days/2))
		require.Empty(t, w.log.String())
		if !testing.Short() {
			require.InDelta(t, size[0], size[1], float64(size[0])/20, "memory is flat")
		}
		rows := w.Rows(Series{Model: "a"}, time.Unix(0, 0), time.Now(), time.Hour)
		require.InDelta(t, min(30, days+1)*24, len(rows), 25)
		for _, r := range rows[1:] {
			require.Equal(t, hour["a"+r.Start.Format("0102T15")], r.Calls, r.Start)
		}
		rows = w.Rows(Series{Model: "a"}, time.Now().Add(-24*time.Hour), time.Now(), time.Minute)
		require.InDelta(t, 24*60, len(rows), 2)
		calls, _ := sum(rows)
		require.InDelta(t, 144, calls, 1)
		t.Logf("%d bytes a model", size[1]/5)
	})
}

// size is what series take beside what is as large in each.
func (h *History) size() (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.all() {
		for _, t := range s.tiers {
			for _, c := range t.chunks {
				n += cap(c.data) + 48
			}
		}
		n += tiers * int(recordSize)
	}
	return n
}

func TestConcurrent(t *testing.T) {
	w := newWorld(t, Config{}, "a", "b", "c")
	w.took = 0
	ctx, stop := context.WithTimeout(t.Context(), time.Second)
	defer stop()
	w.begin(ctx)
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for ctx.Err() == nil {
				_ = w.ask(t, "a")
				_ = w.ask(t, "b")
				runtime.Gosched()
			}
		})
		wg.Go(func() {
			for ctx.Err() == nil {
				w.Rows(Series{}, time.Unix(0, 0), time.Now(), time.Minute)
				w.Rows(Series{Name: "a"}, time.Unix(0, 0), time.Now(), 0)
				_, err := encode(w.state())
				require.NoError(t, err)
			}
		})
		wg.Go(func() {
			m := w.pool.Model("c")
			for ctx.Err() == nil {
				m.Hold(ctx, resilience.Hold{By: resilience.HoldHealth})
				m.Release(ctx, resilience.HoldHealth)
			}
		})
	}
	for ctx.Err() == nil {
		w.sample(ctx, false)
		w.mu.Lock()
		w.slot -= 10 // so that the next sample makes a record
		w.mu.Unlock()
	}
	wg.Wait()
}

func TestManyModels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var infos []resilience.ModelInfo
		for i := range 5000 {
			infos = append(infos, resilience.ModelInfo{ID: fmt.Sprintf("m%d", i)})
		}
		h := New(Config{})
		pool, err := resilience.NewPool(h, resilience.Models(infos...))
		require.NoError(t, err)
		w := &world{History: h, pool: pool}
		w.alone(t, func() {
			time.Sleep(10 * time.Minute)
			require.Len(t, h.models, 257)
			require.Less(t, h.size(), 4<<20)
		})
		rows := w.Rows(Series{Model: Others}, time.Now().Add(-time.Hour), time.Now(), time.Hour)
		require.Equal(t, time.Duration(5000-256)*10*time.Minute, rows[len(rows)-1].Observed.Round(time.Minute))
	})
}

func TestUnreadableFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		good := filepath.Join(dir, "good")
		w := newWorld(t, Config{File: good}, "a")
		w.alone(t, func() { require.NoError(t, w.ask(t, "a")) })
		data, err := os.ReadFile(good)
		require.NoError(t, err)
		other := bytes.Clone(data)
		other[len(magic)] = '9'
		torn := data[:len(data)/2]
		for name, c := range map[string]struct {
			data []byte
			says string
		}{
			"empty":   {nil, "is not a history"},
			"foreign": {[]byte("PK\x03\x04 and so on"), "is not a history"},
			"torn":    {torn, "its checksum is wrong"},
			"version": {other, `is of version \"9\"`},
		} {
			path := filepath.Join(dir, name)
			require.NoError(t, os.WriteFile(path, c.data, 0o600))
			w := newWorld(t, Config{File: path}, "a")
			w.during(t, func() { time.Sleep(time.Second) })
			require.Contains(t, w.log.String(), c.says)
			aside, err := filepath.Glob(path + ".unread-*")
			require.NoError(t, err)
			require.Len(t, aside, 1)
			kept, err := os.ReadFile(aside[0])
			require.NoError(t, err)
			require.Len(t, kept, len(c.data))
			written, err := os.ReadFile(path)
			require.NoError(t, err)
			_, err = decode(written, time.Now())
			require.NoError(t, err)
		}
		_, err = decode(data, time.Unix(0, 0))
		require.ErrorContains(t, err, "is from the future")
	})
}

func TestBadPaths(t *testing.T) {
	dir := t.TempDir()
	_, err := resilience.NewPool(New(Config{File: dir}))
	require.ErrorContains(t, err, "is a directory")
	_, err = resilience.NewPool(New(Config{File: filepath.Join(dir, "none", "history")}))
	require.ErrorContains(t, err, "its directory must be there")
	h := New(Config{})
	_, err = resilience.NewPool(h, h)
	require.ErrorContains(t, err, "belongs to another pool")
	_, err = resilience.NewPool(New(Config{Models: 20_000}))
	require.ErrorContains(t, err, "history.models")
}

func TestUnwritable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "dir")
		require.NoError(t, os.Mkdir(dir, 0o700))
		w := newWorld(t, Config{File: filepath.Join(dir, "history")}, "a")
		w.during(t, func() {
			require.NoError(t, os.RemoveAll(dir))
			time.Sleep(time.Hour)
			require.NoError(t, w.ask(t, "a"))
			require.Equal(t, 1, strings.Count(w.log.String(), "cannot be written"))
			require.NoError(t, os.Mkdir(dir, 0o700))
			time.Sleep(10 * time.Minute)
			require.Contains(t, w.log.String(), "is written again")
		})
	})
}

func TestClockSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{}, "a")
		w.alone(t, func() {
			time.Sleep(time.Minute)
			w.mu.Lock()
			w.slot += 1800 // as if it had been half an hour later
			w.mu.Unlock()
			require.NoError(t, w.ask(t, "a"))
			time.Sleep(time.Hour)
			calls, _ := sum(w.Rows(Series{}, time.Now().Add(-2*time.Hour), time.Now(), time.Minute))
			require.EqualValues(t, 1, calls)
			w.mu.Lock()
			w.slot += 7200
			w.mu.Unlock()
			time.Sleep(time.Minute)
			require.Contains(t, w.log.String(), "the clock was set back")
			time.Sleep(time.Minute)
			require.GreaterOrEqual(t, len(w.Rows(Series{}, time.Now().Add(-time.Minute), time.Now(), 10*time.Second)), 5)
		})
	})
}

func TestReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New(Config{Models: 2})
		pool, err := resilience.NewPool(h, resilience.Models(resilience.ModelInfo{ID: "a"}, resilience.ModelInfo{ID: "b"}))
		require.NoError(t, err)
		w := &world{History: h, pool: pool}
		by := resilience.Control{Actor: "mia", Reason: "a test"}
		w.alone(t, func() {
			time.Sleep(time.Minute)
			pool.Model("b").Hold(t.Context(), resilience.Hold{By: resilience.HoldHealth, Until: time.Now().Add(time.Hour)})
			require.NoError(t, pool.Reload(t.Context(), []byte(`{"models":[{"id":"a"}]}`), by))
			time.Sleep(time.Minute)
			require.Equal(t, []Series{{}, {"a", "a"}, {"b", "b"}}, h.Series())
			require.False(t, h.Incidents(time.Unix(0, 0), time.Now())[0].End.IsZero())
			require.NoError(t, pool.Reload(t.Context(), []byte(`{"models":[{"id":"c"},{"id":"a"}]}`), by))
			time.Sleep(time.Minute)
			require.Equal(t, []Series{{}, {"a", "a"}, {"c", "c"}}, h.Series(), "b made room")
			require.NoError(t, pool.Reload(t.Context(), []byte(`{"history":{"models":3},"models":[{"id":"c"},{"id":"a"},{"id":"b"}]}`), by))
			time.Sleep(time.Minute)
			require.Len(t, h.Series(), 4)
		})
	})
}

func TestAsleep(t *testing.T) {
	var w watch
	const second = int64(time.Second)
	w.begin(0, []resilience.Hold{{By: resilience.HoldHealth}, {By: resilience.HoldQuota, Key: "k"}}, time.Unix(0, 0))
	o := w.take(3600*second, 3590*second)
	require.EqualValues(t, 10_000, o.held, "what the process slept of it nobody observed")
	require.EqualValues(t, 10_000, o.heldBy[resilience.HoldHealth])
	require.Zero(t, o.heldBy[resilience.HoldQuota], "a key is not the model")
	require.Zero(t, w.release(3610*second, resilience.HoldHealth))
	o = w.take(3620*second, 0)
	require.EqualValues(t, 10_000, o.held)
	w.hold(3620*second, &resilience.Hold{By: resilience.HoldLimit, Until: time.Unix(5, 0)}, time.Unix(0, 0))
	require.Equal(t, 5*time.Second, w.release(3630*second, resilience.HoldLimit), "it ran out before")
	require.EqualValues(t, 5_000, w.take(3640*second, 0).held)

	var l level
	l.begin(0)
	l.change(second, "severe")
	l.change(2*second, "nonsense")
	l.change(3*second, "none")
	most, degraded := l.take(10*second, 0)
	require.EqualValues(t, 3, most)
	require.EqualValues(t, 2000, degraded)
	most, degraded = l.take(20*second, 0)
	require.Zero(t, most)
	require.Zero(t, degraded)
}

func TestDegradedAndSettings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{SaveEvery: -1}, "a")
		require.Equal(t, "history models=256 watched=256 saveEvery=off", w.String())
		w.alone(t, func() {
			w.pool.Emit(t.Context(), resilience.Event{Kind: resilience.EventDegrade, From: "none", To: "moderate"})
			w.pool.Emit(t.Context(), resilience.Event{Kind: resilience.EventDegrade, From: "moderate", To: "severe", Would: true})
			time.Sleep(30 * time.Second)
			w.pool.Emit(t.Context(), resilience.Event{Kind: resilience.EventDegrade, From: "moderate", To: "none"})
			time.Sleep(time.Hour)
		})
		rep := w.Report(Day, time.Now())
		require.Equal(t, "moderate", rep.Pool.Level)
		require.Equal(t, 30*time.Second, rep.Pool.Degraded)
		by := resilience.Control{Actor: "mia", Reason: "a test"}
		require.ErrorContains(t, w.pool.Reload(t.Context(), []byte(`{"history":{"model":1}}`), by), `did you mean "models"`)
		require.NoError(t, w.pool.Reload(t.Context(), []byte(`{"history":{"saveEvery":"1m"}}`), by))
		require.Equal(t, "history models=256 watched=256 saveEvery=1m", w.String())
	})
}

func TestNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "history")
		price := resilience.Price{Input: 500_000} // half a dollar a token
		infos := resilience.Models(resilience.ModelInfo{ID: "a-eu", Name: "a", Price: price}, resilience.ModelInfo{ID: "a-us", Name: "a", Price: price}, resilience.ModelInfo{ID: "b"})
		costs := func(ctx context.Context, _ string) (string, error) {
			resilience.ReportUsage(ctx, resilience.Usage{Input: 1})
			return "", nil
		}
		for run := range 3 { // a restart in the middle of a record goes on with it
			h := New(Config{File: path})
			pool, err := resilience.NewPool(h, infos)
			require.NoError(t, err)
			w := &world{History: h, pool: pool}
			w.Client, err = resilience.NewClient(pool, resilience.BindFunc("a-eu", costs), resilience.BindFunc("a-us", costs), resilience.BindFunc("b", costs))
			require.NoError(t, err)
			w.alone(t, func() {
				for _, m := range pool.Models() {
					require.NoError(t, w.ask(t, m.ID()))
				}
				time.Sleep(4 * time.Second)
			})
			from, to := day(time.Now())
			for _, step := range []time.Duration{10 * time.Second, time.Minute, time.Hour} {
				rows := h.Rows(Series{Name: "a"}, from, to, step)
				calls, _ := sum(rows)
				require.EqualValues(t, 2*(run+1), calls)
				require.Equal(t, 2*4*time.Duration(run+1)*time.Second, watched(rows))
			}
			require.InDelta(t, float64(run+1), h.Rows(Series{Name: "a"}, from, to, time.Hour)[0].Cost, 1e-9)
		}
	})
}

func watched(rows []Row) (d time.Duration) {
	for _, r := range rows {
		d += r.Observed
	}
	return d
}
