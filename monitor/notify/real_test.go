package notify

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
)

// startAlertmanager runs the Alertmanager of Prometheus, which tells told, and
// returns its URL.
func startAlertmanager(t *testing.T, told string) string {
	t.Helper()
	program, err := exec.LookPath("prometheus-alertmanager")
	if err != nil {
		if _, no := exec.LookPath("apt-get"); os.Getenv("CI") == "" || no != nil {
			t.Skip("there is no prometheus-alertmanager; .ci/run installs it")
		}
		t.Fatal(err)
	}
	dir := t.TempDir()
	config := filepath.Join(dir, "alertmanager.yml")
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, `
route: {receiver: us, group_by: [alertname], group_wait: 10ms, group_interval: 200ms, repeat_interval: 1h}
receivers: [{name: us, webhook_configs: [{url: %q, send_resolved: true}]}]
`, told), 0o600))
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, program, "--config.file="+config, "--storage.path="+filepath.Join(dir, "data"),
		"--web.listen-address=127.0.0.1:0", "--cluster.listen-address=")
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	log, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	address := make(chan string, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(address)
		listens := regexp.MustCompile(`msg="Listening on" address=(\S+)`)
		for lines := bufio.NewScanner(log); lines.Scan(); {
			if m := listens.FindStringSubmatch(lines.Text()); m != nil {
				address <- m[1]
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		_ = cmd.Wait()
	})
	select {
	case a, ok := <-address:
		require.True(t, ok, "Alertmanager has ended")
		return "http://" + a
	case <-time.After(30 * time.Second):
		t.Fatal("Alertmanager does not listen")
	}
	return ""
}

func TestRealAlertmanager(t *testing.T) {
	told := make(chan webhookBody, 10)
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var b webhookBody
		if json.NewDecoder(r.Body).Decode(&b) == nil {
			told <- b
		}
	}))
	defer s.Close()
	am := startAlertmanager(t, s.URL)
	next := func() webhookBody {
		t.Helper()
		select {
		case b := <-told:
			return b
		case <-time.After(20 * time.Second):
			t.Fatal("Alertmanager tells nothing")
			return webhookBody{}
		}
	}
	active := func() (list []struct {
		postableAlert

		Status struct{ State string }
	}) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, am+"/api/v2/alerts", http.NoBody)
		require.NoError(t, err)
		res, err := s.Client().Do(req)
		require.NoError(t, err)
		defer func() { _ = res.Body.Close() }()
		require.NoError(t, json.NewDecoder(res.Body).Decode(&list))
		return list
	}
	channel := func(lease time.Duration) Channel {
		t.Helper()
		c, err := NewAlertmanager(AlertmanagerConfig{
			URLs: []resilience.Secret{resilience.NewSecret(am)}, Lease: lease, Labels: map[string]string{"service": "checkout"},
			Link: "https://dash.example/", HTTP: toTest,
		})
		require.NoError(t, err)
		return c
	}

	c := channel(0)
	n := outage()
	n.Reason, n.Alerts = New, n.Alerts[:1]
	n.Alerts[0].StartsAt = time.Now().Add(-time.Minute).Truncate(time.Millisecond).UTC()
	require.NoError(t, c.Notify(t.Context(), n))

	// What it tells is what our webhook tells.
	got, want := next(), bodyOf(n, "us", "https://dash.example/", map[string]string{"service": "checkout"})
	require.Equal(t, "4", got.Version)
	require.Equal(t, "firing", got.Status)
	require.Len(t, got.Alerts[0].Fingerprint, 16)
	want.GroupKey, want.ExternalURL, want.TruncatedAlerts, want.Reason = got.GroupKey, got.ExternalURL, 0, ""
	want.Alerts[0].Fingerprint = got.Alerts[0].Fingerprint
	require.Equal(t, want, got)

	list := active()
	require.Len(t, list, 1)
	require.Equal(t, "active", list[0].Status.State)
	require.WithinDuration(t, time.Now().Add(12*time.Hour), list[0].EndsAt, time.Minute)

	// The same again is the same alert, of which nobody is told.
	n.Reason = Repeated
	require.NoError(t, c.Notify(t.Context(), n))
	require.Len(t, active(), 1)
	time.Sleep(500 * time.Millisecond)
	require.Empty(t, told)

	n.Reason = Resolved
	n.Alerts[0].EndsAt = time.Now().Truncate(time.Millisecond).UTC()
	require.NoError(t, c.Notify(t.Context(), n))
	got = next()
	require.Equal(t, "resolved", got.Status)
	require.Equal(t, n.Alerts[0].EndsAt, got.Alerts[0].EndsAt)
	require.Empty(t, active())

	// Of what it is told no more it lets go with the lease.
	n.Reason = New
	n.Alerts[0].Labels, n.Alerts[0].EndsAt = map[string]string{"model": "z"}, time.Time{}
	require.NoError(t, channel(3*time.Second).Notify(t.Context(), n))
	require.Equal(t, "firing", next().Status)
	require.Equal(t, "resolved", next().Status)
	require.Empty(t, active())
}
