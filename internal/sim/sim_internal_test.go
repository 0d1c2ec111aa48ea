package sim

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestShrinkFindsTheCulprits(t *testing.T) {
	list := make([]int, 100)
	for i := range list {
		list[i] = i
	}
	for name, culprits := range map[string][]int{"none": nil, "one": {42}, "two": {3, 97}, "five": {0, 1, 50, 51, 99}} {
		t.Run(name, func(t *testing.T) {
			asked := 0
			got := Shrink(list, 1000, func(part []int) bool {
				asked++
				for _, c := range culprits {
					if !slices.Contains(part, c) {
						return false
					}
				}
				return true
			})
			require.Equal(t, culprits, got)
			require.Less(t, asked, 150)
		})
	}
	asked := 0
	require.NotEmpty(t, Shrink(list, 7, func([]int) bool { asked++; return false }))
	require.Equal(t, 7, asked)
}

func TestTraceDoesNotDependOnOrder(t *testing.T) {
	var marks []Mark
	for i := range int64(50) {
		marks = append(marks, Mark{At: i / 5, Actor: i % 3, What: uint64(i % 2), N: i})
	}
	hash := func() string {
		var tr Trace
		for _, i := range rand.Perm(len(marks)) {
			tr.Add(marks[i])
		}
		return tr.Hash()
	}
	want := hash()
	require.Equal(t, want, hash())
	for _, change := range []func(*Mark){
		func(m *Mark) { m.At++ }, func(m *Mark) { m.Actor++ }, func(m *Mark) { m.What++ }, func(m *Mark) { m.N++ },
	} {
		old := marks[20]
		change(&marks[20])
		require.NotEqual(t, want, hash())
		marks[20] = old
	}
}

func TestInstantsAreAnActorsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		for _, actor := range []int64{0, 1, Actors - 1} {
			for _, d := range []time.Duration{0, 1, time.Millisecond, 1500 * time.Microsecond, time.Second} {
				start := time.Now()
				require.NoError(t, Sleep(ctx, d, actor))
				require.Equal(t, actor, time.Now().UnixNano()%Actors)
				require.GreaterOrEqual(t, time.Since(start), d)
				require.LessOrEqual(t, time.Since(start), d+time.Millisecond)
				require.Positive(t, time.Since(start))
			}
		}
		time.AfterFunc(time.Second+3, cancel)
		start := time.Now()
		require.ErrorIs(t, Sleep(ctx, time.Hour, 7), context.Canceled)
		require.Equal(t, int64(7), time.Now().UnixNano()%Actors)
		require.Less(t, time.Since(start), 1002*time.Millisecond)
	})
}
