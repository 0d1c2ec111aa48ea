package breaker

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// An oracle is a breaker as one would write it without a thought to cost: it
// remembers every outcome of its present life.
type oracle struct {
	rules
	now, gate, floor int64
	state            State
	byHand           bool
	opened, life     int
	past             []outcome     // of calls since the last close
	probes           map[int]int64 // when they must be back, by call
	votes            []outcome
}

func (m *oracle) enter(call int, lastResort bool) (life int, ok bool) {
	m.tick()
	switch {
	case m.state == Closed:
		return m.life, true
	case m.state == HalfOpen && len(m.probes) < int(m.rules.probes):
		m.probes[call] = m.now + lease
		return m.life, true
	default:
		return 0, lastResort && !m.byHand
	}
}

func (m *oracle) end(call, life int, o outcome) {
	if life != m.life {
		return
	}
	m.tick()
	if life != m.life {
		return
	}
	if o.wait > 0 && !o.neutral {
		m.floor = max(m.floor, m.now+min(o.wait, m.maxOpenFor))
	}
	if _, probe := m.probes[call]; probe {
		delete(m.probes, call)
		m.vote(o)
	} else if m.state == Closed && !o.neutral {
		m.past = append(m.past, o)
		if (o.harm > 0 || o.slow) && m.trips() {
			m.open()
		}
	}
}

func (m *oracle) vote(o outcome) {
	if o.neutral {
		return
	}
	m.votes = append(m.votes, o)
	var passed, harm int64
	for _, v := range m.votes {
		harm += v.harm
		if v.slow && v.harm == 0 {
			harm += whole
		} else if v.harm == 0 {
			passed++
		}
	}
	if harm >= whole {
		m.open()
	} else if passed >= m.rules.probes {
		m.close()
	}
}

func (m *oracle) trips() bool {
	var halves, slows, row int64
	for _, o := range m.past {
		halves += o.harm
		if o.slow {
			slows++
		}
		if row += o.harm; o.harm == 0 {
			row = 0
		}
	}
	n := int64(len(m.past))
	return row >= 2*m.consecutive || n >= m.minCalls &&
		(float64(halves) >= m.failureRate*float64(2*n) || float64(slows) >= m.slowRate*float64(n))
}

func (m *oracle) tick() {
	if m.state == Open && m.now >= m.gate {
		m.turn(HalfOpen, m.gate)
	}
	for _, end := range m.probes {
		if end <= m.now {
			m.open()
			return
		}
	}
}

func (m *oracle) open() {
	d := m.openFor
	for range m.opened {
		d = min(2*d, m.maxOpenFor)
	}
	m.opened++
	m.turn(Open, max(m.now+d, m.floor))
}

func (m *oracle) close() {
	m.past, m.opened, m.floor = nil, 0, 0
	m.turn(Closed, 0)
}

func (m *oracle) turn(to State, gate int64) {
	m.state, m.gate, m.byHand = to, gate, false
	m.probes, m.votes = map[int]int64{}, nil
	m.life++
}

// play drives an engine and an oracle through the same story, told in bytes,
// and reports how often the engine changed its state.
func play(t *testing.T, story []byte) (changes int) {
	t.Helper()
	r := plain()
	r.slowRate, r.window = 0.6, 1<<50
	var e engine
	e.init(r, func() float64 { return 0 }, func(change) { changes++ })
	m := &oracle{rules: r, life: 1, probes: map[int]int64{}}
	ctx := context.Background()
	type call struct {
		permit permit
		life   int
	}
	var calls []call
	asked := outcome{harm: whole, wait: int64(25 * time.Second)}
	outcomes := []outcome{good, good, bad, bad, bad, light, slow, neutral, asked, {harm: whole, slow: true}}
	next := func() (b byte) {
		if len(story) > 0 {
			b, story = story[0], story[1:]
		}
		return b
	}
	for step := 0; len(story) > 0; step++ {
		op := next()
		what := fmt.Sprintf("step %d, op %d", step, op%16)
		switch op % 16 {
		case 0, 1:
			m.now += int64(next()) * int64(100*time.Millisecond)
		case 2:
			m.now += int64(next()) * int64(time.Second)
		case 3:
			until := m.now + int64(next())*int64(time.Second) + 1
			e.hold(ctx, Open, until, "")
			m.turn(Open, until)
			m.byHand = true
		case 4:
			if next()%8 == 0 {
				e.hold(ctx, Isolated, shut, "")
				m.turn(Isolated, shut)
				m.byHand = true
			}
		case 5:
			if next()%4 == 0 || m.state == Isolated {
				e.close(ctx, m.now, "")
				m.close()
			}
		case 6, 7, 8, 9, 10:
			lastResort := op%16 == 6
			p, ok := e.enter()
			if !ok {
				knock := e.knock
				if lastResort {
					knock = e.pass
				}
				var err error
				p, err = knock(ctx, m.now, lease)
				ok = err == nil
			}
			life, want := m.enter(len(calls), lastResort)
			require.Equal(t, want, ok, what)
			if ok {
				calls = append(calls, call{p, life})
			}
		default:
			if len(calls) > 0 {
				i := int(next()) % len(calls)
				if op%2 == 0 { // the latest more often
					i = len(calls) - 1
				}
				o := outcomes[int(next())%len(outcomes)]
				e.report(ctx, m.now, calls[i].permit, o)
				m.end(i, calls[i].life, o)
				calls[i] = call{} // no call ends twice
			}
		}
		require.Equal(t, m.state.String(), e.state.String(), what)
		require.Equal(t, m.gate, e.gate.Load(), what)
		require.Len(t, e.leases, len(m.probes), what)
		require.LessOrEqual(t, len(e.leases), int(r.probes), what)
	}
	return changes
}

func TestEngineAgainstOracle(t *testing.T) {
	rng := rand.New(rand.NewPCG(42, 1))
	changes := 0
	for range 1000 {
		story := make([]byte, 300)
		for i := range story {
			story[i] = byte(rng.UintN(256))
		}
		changes += play(t, story)
	}
	require.Greater(t, changes, 1000, "the stories are too dull")
}

func FuzzEngine(f *testing.F) {
	f.Add([]byte{7, 11, 0, 2, 7, 11, 0, 2, 7, 11, 0, 2, 7, 11, 0, 2, 7, 11, 0, 2, 2, 10, 7, 11, 0, 0, 7, 11, 0, 0})
	f.Add([]byte{3, 9, 7, 2, 10, 7, 7, 2, 130, 7, 4, 0, 5, 0})
	f.Fuzz(func(t *testing.T, story []byte) { play(t, story) })
}
