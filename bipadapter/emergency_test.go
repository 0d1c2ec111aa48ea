package bipadapter_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/bipadapter"
)

func allow(context.Context, bipadapter.Operation, bipadapter.Declaration) error { return nil }

func declared() bipadapter.Declaration {
	return bipadapter.Declaration{Actors: []string{"ann", "bo"}, Reason: "no quorum", Until: time.Now().Add(time.Hour)}
}

func TestEmergency(t *testing.T) {
	dead := fails(resilience.Unreachable)
	virtual(t, "with a quorum of its own", func(t bubble) {
		h := hive{"a": says("approve"), "b": says("approve"), "c": says("approve"), "d": dead, "e": dead}
		rule := bipadapter.Rule{Method: bipadapter.Majority, Quorum: 0.8, Emergency: 0.4}
		a := h.adapter(t, bipadapter.Config{Rule: rule, Authorize: allow})
		_, err := a.Consensus(t.Context(), voting, prompt{text: "?"}, 0)
		var quorum *bipadapter.QuorumError
		require.ErrorAs(t, err, &quorum)
		res, err := a.Emergency(t.Context(), voting, prompt{text: "?"}, declared())
		require.NoError(t, err)
		require.Equal(t, bipadapter.Approved, res.Decision.Outcome)
		require.Equal(t, []string{"ann", "bo"}, res.Decision.Record.Opening.Emergency.Actors)
		require.Empty(t, res.Value, "the vote decided")
		s := a.Status()
		require.True(t, s.Emergency)
		require.Len(t, s.Reviews, 1)
		require.Equal(t, 7*24*time.Hour, s.Reviews[0].Until.Sub(s.Reviews[0].Opened))
		time.Sleep(time.Hour)
		require.False(t, a.Status().Emergency)
		h["a"], h["b"] = says("fine"), says("fine")
		time.Sleep(time.Minute)
		_, err = a.Execute(t.Context(), bipadapter.Operation{Type: bipadapter.Review, BIP: "BIP-03"}, prompt{text: "?"})
		require.NoError(t, err)
		require.Empty(t, a.Status().Reviews)
	})
	virtual(t, "without one, any one model", func(t bubble) {
		h := hive{"a": dead, "b": dead, "c": dead, "d": dead, "e": says("x")}
		a := h.adapter(t, bipadapter.Config{Authorize: allow})
		res, err := a.Emergency(t.Context(), voting, prompt{text: "?"}, declared())
		require.NoError(t, err)
		require.JSONEq(t, `{"choice":"x"}`, res.Value)
		require.Nil(t, res.Decision, "the rule of BIP-06 knows no emergency")
	})
	virtual(t, "with nobody alive it says so, and its review is due all the same", func(t bubble) {
		a := hive{"a": dead, "b": dead, "c": dead, "d": dead, "e": dead}.adapter(t, bipadapter.Config{Authorize: allow})
		_, err := a.Emergency(t.Context(), voting, prompt{text: "?"}, declared())
		require.ErrorIs(t, err, resilience.Unreachable)
		require.Len(t, a.Status().Reviews, 1)
	})
	virtual(t, "is refused", func(t bubble) {
		h := hive{"a": says("x"), "b": says("x"), "c": says("x"), "d": says("x"), "e": says("x")}
		var refusal error
		a := h.adapter(t, bipadapter.Config{Authorize: func(_ context.Context, _ bipadapter.Operation, d bipadapter.Declaration) error {
			require.NotContains(t, d.Token.String(), "secret")
			return refusal
		}})
		for says, change := range map[string]func(d *bipadapter.Declaration){
			"two persons":        func(d *bipadapter.Declaration) { d.Actors = []string{"ann", "Ann "} },
			"actors: want two":   func(d *bipadapter.Declaration) { d.Actors = nil },
			"is no name":         func(d *bipadapter.Declaration) { d.Actors = []string{"ann", ""} },
			"reason: is missing": func(d *bipadapter.Declaration) { d.Reason = " " },
			"until: has passed":  func(d *bipadapter.Declaration) { d.Until = time.Now().Add(-time.Second) },
			"24 hours":           func(d *bipadapter.Declaration) { d.Until = time.Now().Add(25 * time.Hour) },
		} {
			d := declared()
			change(&d)
			_, err := a.Emergency(t.Context(), voting, prompt{text: "?"}, d)
			require.ErrorContains(t, err, strings.TrimPrefix(says, "reason "), says)
		}
		refusal = errors.New("the token is not that of the quorum")
		d := declared()
		d.Actors, d.Token = d.Actors[:1], resilience.NewSecret("secret")
		_, err := a.Emergency(t.Context(), voting, prompt{text: "?"}, d)
		require.ErrorIs(t, err, refusal)
		_, err = h.adapter(t, bipadapter.Config{}).Emergency(t.Context(), voting, prompt{text: "?"}, declared())
		require.ErrorContains(t, err, "nobody says who may declare an emergency")
		require.Empty(t, a.Status().Reviews)
	})
}

// The pool's audit hears of an emergency before anything is done, and may refuse it.
func TestEmergencyIsAudited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := false
		h := hive{"a": func(context.Context, bipadapter.Paper) (string, error) { asked = true; return "", nil }}
		h["b"], h["c"], h["d"], h["e"] = h["a"], h["a"], h["a"], h["a"]
		var changes []resilience.Change
		client := h.pool(t, resilience.Audit(func(_ context.Context, c resilience.Change) error {
			changes = append(changes, c)
			return errors.New("not today")
		}))
		a, err := bipadapter.New(client, nil, bipadapter.Config{Authorize: allow}, hooks)
		require.NoError(t, err)
		_, err = a.Emergency(t.Context(), voting, prompt{text: "?"}, declared())
		require.ErrorContains(t, err, "not today")
		require.False(t, asked)
		require.Len(t, changes, 1)
		require.Equal(t, "ann and bo", changes[0].Actor)
		require.Equal(t, "bip.emergency", changes[0].What)
	})
}

// Reviews that are due outlive the process.
func TestReviewsInTheJournal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	h := hive{"a": says("x"), "b": says("x"), "c": says("x"), "d": says("x"), "e": says("x")}
	synctest.Test(t, func(t *testing.T) {
		cfg := bipadapter.Config{Authorize: allow, Journal: path}
		a := h.adapter(t, cfg)
		_, err := a.Emergency(t.Context(), voting, prompt{text: "?"}, declared())
		require.NoError(t, err)
		_, err = bipadapter.New(h.pool(t), nil, cfg, hooks)
		require.Error(t, err, "another has it")
		require.NoError(t, a.Close())
		b := h.adapter(t, cfg)
		require.Len(t, b.Status().Reviews, 1)
		_, err = b.Execute(t.Context(), bipadapter.Operation{Type: bipadapter.Review, BIP: "BIP-03"}, prompt{text: "?"})
		require.NoError(t, err)
		require.NoError(t, b.Close())
		c := h.adapter(t, cfg)
		require.Empty(t, c.Status().Reviews)
		require.NoError(t, c.Close())
	})
}
