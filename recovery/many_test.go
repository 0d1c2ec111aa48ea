package recovery_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/recovery"
)

// Thousands of models that are all out are tried one after the other without a
// pause: what is due is found without looking at all of them.
func TestManyHeldAtOnce(t *testing.T) {
	virtual(t, "", func(t bubble) {
		const n = 5000
		var ids []string
		for i := range n {
			ids = append(ids, fmt.Sprint("m", i))
		}
		w := newWorld(t, recovery.Config{}, ids).run()
		w.fail(resilience.Unreachable, ids...)
		for _, m := range w.pool.Models() {
			m.Hold(t.Context(), resilience.Hold{By: resilience.HoldHealth, Until: time.Now().Add(time.Hour)})
		}
		w.pass(time.Minute)
		require.InDelta(t, 2*(60-5)*100, len(w.probed("")), 300, "two at once, for 10 ms each")
		for _, id := range ids {
			require.Contains(t, []int{1, 2, 3}, len(w.probes[id]), id)
		}
	})
}
