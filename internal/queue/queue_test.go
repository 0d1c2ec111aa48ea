package queue

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

type item struct {
	Place
	due int
}

// Before implements [Item].
func (i *item) Before(o *item) bool { return i.due < o.due }

// TestQueue looks at a queue while items come, change and go.
func TestQueue(t *testing.T) {
	var q Queue[*item]
	items := make([]item, 50)
	rng := rand.New(rand.NewPCG(1, 2))
	for range 2_000 {
		x, gone := &items[rng.IntN(len(items))], &items[rng.IntN(len(items))]
		x.due = rng.IntN(100)
		q.Put(x)
		q.Remove(gone)
		in := 0
		for i := range items {
			in += min(int(items[i].Place), 1)
		}
		require.Len(t, q, in)
		for i, y := range q {
			require.EqualValues(t, i+1, y.Place)
			require.False(t, y.Before(q[max(i-1, 0)/2]))
		}
		require.NotContains(t, q[:cap(q)], gone, "what has left is not kept")
	}
}
