package notify

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
)

// An end is told although the acknowledgement after the beginning was refused.
func TestPagerDutySaysWhatHasArrived(t *testing.T) {
	for first, unsent := range map[int]bool{http.StatusAccepted: false, http.StatusTooManyRequests: true} {
		var asked atomic.Int32
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if asked.Add(1) == 1 {
				w.WriteHeader(first)
				return
			}
			w.WriteHeader(http.StatusTooManyRequests)
		}))
		defer s.Close()
		c, err := NewPagerDuty(PagerDutyConfig{URL: s.URL, RoutingKey: resilience.NewSecret("k"), HTTP: HTTP{AllowHTTP: true, Allow: loopback}})
		require.NoError(t, err)
		err = c.Notify(t.Context(), Notification{Reason: New, Alerts: []Alert{{Rule: "r", AckedBy: "mia"}}})
		require.Equal(t, unsent, failureOf(err).unsent)
	}
}
