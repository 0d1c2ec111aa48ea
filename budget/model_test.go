package budget_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/budget"
)

// sums are of dollars in billionths, tokens and requests.
type sums [3]int64

// A ledger is what the model of budgets knows of one account: all that was ever
// charged, and what is reserved.
type ledger struct {
	limit    budget.Limit
	made     time.Time // the pool
	charges  []charge
	reserved sums
}

type charge struct {
	at   time.Time
	took sums
}

func (l *ledger) max() sums {
	return sums{int64(math.Round(l.limit.Cost * 1e9)), l.limit.Tokens, l.limit.Requests}
}

// spent sums up what is in the window that now is in.
func (l *ledger) spent(now time.Time) (sum sums) {
	for _, c := range l.charges {
		if same(l.limit.Window.String(), l.made, c.at, now) {
			for i := range sum {
				if l.max()[i] > 0 {
					sum[i] += c.took[i]
				}
			}
		}
	}
	return sum
}

// same reports whether what was charged at one time counts at another, in a pool
// that was made at a third.
func same(window string, made, at, now time.Time) bool {
	switch window {
	case "1h":
		return at.Sub(made)/time.Hour == now.Sub(made)/time.Hour
	case "sliding 2h":
		const width = (2*time.Hour + 58) / 59
		return at.Sub(made)/width >= now.Sub(made)/width-59
	case "day":
		return at.UTC().Format(time.DateOnly) == now.UTC().Format(time.DateOnly)
	case "week":
		y1, w1 := at.UTC().ISOWeek()
		y2, w2 := now.UTC().ISOWeek()
		return y1 == y2 && w1 == w2
	default:
		return at.UTC().Format("2006-01") == now.UTC().Format("2006-01")
	}
}

// A lesson is what the model has learnt of a class.
type lesson struct {
	n               int
	present, before sums
}

func (k *lesson) bound(i int, estimate int64) int64 {
	if k.n == 0 || estimate > 0 && k.n < 16 {
		return estimate
	}
	top := max(k.present[i], k.before[i])
	top += top / 4
	if estimate > 0 {
		return min(estimate, top)
	}
	return top
}

func (k *lesson) learn(took sums) {
	for i := range took {
		k.present[i] = max(k.present[i], took[i])
	}
	if k.n++; k.n%128 == 0 {
		k.before, k.present = k.present, sums{}
	}
}

// A going is a call under way.
type going struct {
	ledgers []*ledger
	guess   sums
	class   *lesson
	price   int64 // of a token, in billionths of a dollar
	end     chan outcome
	done    chan error
}

type outcome struct {
	used int
	err  error
}

// A modelled is budgets and the model of them.
type modelled struct {
	*testing.T
	rng      *rand.Rand
	made     time.Time // the pool
	budgets  *budget.Budgets
	client   *resilience.Client[*going, int]
	unpriced budget.Unpriced
	limits   []budget.Limit
	ledgers  map[string]*ledger
	lessons  map[string]*lesson
	under    []*going
	refusals int
}

// modelPrices are of a token, in billionths of a dollar; -1 is unknown.
var modelPrices = []int64{1000, 15_000, 0, -1}

func newModelled(t *testing.T, rng *rand.Rand) *modelled {
	t.Helper()
	m := &modelled{T: t, rng: rng, made: time.Now(), ledgers: map[string]*ledger{}, lessons: map[string]*lesson{}, unpriced: budget.Refuse}
	if rng.IntN(2) == 0 {
		m.unpriced = budget.Ignore
	}
	windows := []budget.Window{budget.Every(time.Hour), budget.Sliding(2 * time.Hour), budget.Day(nil), budget.Week(nil), budget.Month(nil)}
	scopes := []budget.Scope{budget.Pool, budget.Tenant, budget.Op, budget.Model}
	for range 1 + rng.IntN(4) {
		l := budget.Limit{Scope: scopes[rng.IntN(4)], Window: windows[rng.IntN(5)], Soft: 0.8}
		if l.Scope == budget.Tenant && rng.IntN(3) == 0 {
			l.Only = "t1"
		}
		if rng.IntN(2) == 0 {
			l.Cost = float64(1+rng.IntN(50_000)) / 1e6
		}
		if rng.IntN(2) == 0 {
			l.Tokens = int64(1 + rng.IntN(20_000))
		}
		if rng.IntN(2) == 0 || l.Cost == 0 && l.Tokens == 0 {
			l.Requests = int64(1 + rng.IntN(10))
		}
		if !slices.ContainsFunc(m.limits, func(o budget.Limit) bool {
			return o.Scope == l.Scope && o.Only == l.Only && o.Window.String() == l.Window.String()
		}) {
			m.limits = append(m.limits, l)
		}
	}
	m.budgets = budget.New(budget.Config{Limits: m.limits, Wait: -1, Unpriced: m.unpriced})
	var infos []resilience.ModelInfo
	for i, p := range modelPrices {
		info := resilience.ModelInfo{ID: fmt.Sprint("m", i), Provider: "p", Price: resilience.Price{Free: p == 0}}
		if p > 0 {
			info.Price = resilience.Price{Input: float64(p) / 1000, Output: float64(p) / 1000}
		}
		infos = append(infos, info)
	}
	pool, err := resilience.NewPool(m.budgets, resilience.Models(infos...))
	require.NoError(t, err)
	m.client, err = resilience.NewClient(pool,
		resilience.BindProvider("p", func(_ context.Context, _ *resilience.Model, g *going) (int, error) {
			o := <-g.end
			return o.used, o.err
		}),
		resilience.Hooks[*going, int]{Usage: func(_ *going, used int) resilience.Usage { return resilience.Usage{Output: int64(used)} }})
	require.NoError(t, err)
	return m
}

// applying returns the accounts of a call.
func (m *modelled) applying(who map[budget.Scope]string) (list []*ledger) {
	for _, l := range m.limits {
		name := who[l.Scope]
		own := slices.ContainsFunc(m.limits, func(o budget.Limit) bool { return o.Scope == l.Scope && o.Only == name && name != "" })
		if own && l.Only != name || !own && l.Only != "" {
			continue
		}
		key := fmt.Sprint(l.Scope, l.Window, l.Only, "/", name)
		if m.ledgers[key] == nil {
			m.ledgers[key] = &ledger{limit: l, made: m.made}
		}
		list = append(list, m.ledgers[key])
	}
	return list
}

// begin makes a call, and requires that it is admitted if the model says so.
func (m *modelled) begin() {
	i := m.rng.IntN(len(modelPrices))
	opts := resilience.CallOptions{
		Model: fmt.Sprint("m", i), Tenant: fmt.Sprint("t", m.rng.IntN(3)), Op: fmt.Sprint("o", m.rng.IntN(2)), Tokens: m.rng.IntN(3) * m.rng.IntN(5000),
	}
	class := opts.Model + " " + opts.Op
	if m.lessons[class] == nil {
		m.lessons[class] = &lesson{}
	}
	g := &going{
		ledgers: m.applying(map[budget.Scope]string{budget.Tenant: opts.Tenant, budget.Op: opts.Op, budget.Model: opts.Model}),
		class:   m.lessons[class], price: modelPrices[i], end: make(chan outcome), done: make(chan error, 1),
	}
	want := m.wanted(g, int64(opts.Tokens))
	go func() {
		_, _, err := m.client.Do(context.Background(), g, opts)
		g.done <- err
	}()
	synctest.Wait()
	select {
	case err := <-g.done:
		require.False(m, want, "refused: %v", err)
		require.ErrorIs(m, err, resilience.Rejected)
		m.refusals++
		return
	default:
		require.True(m, want, "admitted")
	}
	m.under = append(m.under, g)
	for _, l := range g.ledgers {
		for i := range g.guess {
			if l.max()[i] > 0 {
				l.reserved[i] += max(g.guess[i], 1)
			}
		}
	}
}

// wanted reports whether the model admits a call, and notes what it takes.
func (m *modelled) wanted(g *going, estimate int64) bool {
	now := time.Now()
	dollars := slices.ContainsFunc(g.ledgers, func(l *ledger) bool { return l.limit.Cost > 0 })
	if g.price < 0 && m.unpriced == budget.Refuse && dollars {
		return false
	}
	g.guess = sums{0, g.class.bound(1, estimate), 1}
	free := g.price == 0 || g.price < 0 && dollars
	if !free && g.price > 0 {
		g.guess[0] = g.class.bound(0, estimate*g.price)
	}
	for _, l := range g.ledgers {
		for i := range 2 {
			if left := l.max()[i] - l.spent(now)[i]; estimate == 0 && left > 0 && !(i == 0 && free) {
				g.guess[i] = min(g.guess[i], left)
			}
		}
	}
	for _, l := range g.ledgers {
		for i, most := range l.max() {
			if most > 0 && !(i == 0 && free) && l.spent(now)[i]+l.reserved[i]+max(g.guess[i], 1) > most {
				return false
			}
		}
	}
	return true
}

// finish ends a call that is under way.
func (m *modelled) finish() {
	i := m.rng.IntN(len(m.under))
	g := m.under[i]
	m.under = slices.Delete(m.under, i, i+1)
	o := outcome{used: 1 + m.rng.IntN(4000)}
	took := sums{max(g.price, 0) * int64(o.used), int64(o.used), 1}
	known := true
	switch m.rng.IntN(6) {
	case 0:
		o, took, known = outcome{err: resilience.RateLimited}, sums{}, false
	case 1:
		o, took, known = outcome{err: errors.New("boom")}, g.guess, false
	case 2:
		o, took, known = outcome{}, g.guess, false
	}
	g.end <- o
	<-g.done
	synctest.Wait()
	if known {
		g.class.learn(took)
	}
	for _, l := range g.ledgers {
		l.charges = append(l.charges, charge{time.Now(), took})
		for i := range g.guess {
			if l.max()[i] > 0 {
				l.reserved[i] -= max(g.guess[i], 1)
			}
		}
	}
}

// check compares all accounts with the model.
func (m *modelled) check() {
	now := time.Now()
	for _, a := range m.budgets.Accounts("", "") {
		l := m.ledgers[fmt.Sprint(a.Limit.Scope, a.Limit.Window, a.Limit.Only, "/", a.Who)]
		if l == nil { // of one's own that nobody has called for yet
			require.Zero(m, a.Spent)
			continue
		}
		exact := func(a budget.Amounts) sums { return sums{int64(math.Round(a.Cost * 1e9)), a.Tokens, a.Requests} }
		require.Equal(m, l.spent(now), exact(a.Spent), "spent of %v by %q", a.Limit, a.Who)
		require.Equal(m, l.reserved, exact(a.Reserved), "reserved of %v by %q", a.Limit, a.Who)
		require.False(m, a.Since.After(now))
		require.False(m, a.Until.Before(now))
	}
}

// Whatever calls come and however they end, budgets do as a model of them does that
// remembers everything.
func TestModel(t *testing.T) {
	cases := 2000
	switch {
	case *long:
		cases = 10_000
	case testing.Short():
		cases = 300
	}
	synctest.Test(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(4, 1))
		calls, refusals := 0, 0
		for range cases {
			m := newModelled(t, rng)
			for range 5 + rng.IntN(25) {
				if len(m.under) > 0 && rng.IntN(2) == 0 {
					m.finish()
				} else {
					calls++
					m.begin()
				}
				m.check()
				if rng.IntN(4) == 0 {
					time.Sleep(time.Duration(rng.Int64N(int64(5 * time.Hour))))
				}
			}
			for len(m.under) > 0 {
				m.finish()
			}
			m.check()
			refusals += m.refusals
		}
		t.Logf("%d calls, of which %d were refused", calls, refusals)
		require.Greater(t, refusals, calls/10)
		require.Less(t, refusals, calls*9/10)
	})
}
