package chaos

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
)

// The bubble ends only if no goroutine is left: Close ends what is silent.
func TestCloseEndsWhatIsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, err := NewProvider(ProviderConfig{Models: []Model{{Text: sentence, Script: []Fault{
			{Name: Silent}, {Name: HeadersOnly}, {Name: Stall, Tokens: 2, KeepAlive: time.Second}, {Name: Slow, After: time.Hour},
		}}}})
		require.NoError(t, err)
		var clients sync.WaitGroup
		for range 4 {
			clients.Go(func() {
				s := dialects[0].ask(t, p, true)
				require.Error(t, s.err)
			})
		}
		time.Sleep(time.Minute)
		p.Close()
		p.Close()
		clients.Wait()
		for _, a := range p.Attempts() {
			require.True(t, a.Done)
			require.False(t, a.Left)
		}
		_, err = p.Client().Get("http://p/v1/models")
		require.ErrorContains(t, err, "chaos: the provider is closed")
		require.Equal(t, resilience.Unreachable, resilience.KindOf(err))
	})
}

func TestCloseJoins(t *testing.T) {
	before := runtime.NumGoroutine()
	for range 20 {
		p := played(t)
		require.Equal(t, sentence, dialects[1].ask(t, p, true).said)
		p.Close()
	}
	for range 100 { // the transport's own end on their own
		if runtime.NumGoroutine() <= before {
			return
		}
		runtime.Gosched()
		time.Sleep(time.Millisecond)
	}
	require.LessOrEqual(t, runtime.NumGoroutine(), before)
}

func TestCloseOfAProviderThatNeverServed(t *testing.T) {
	p, err := NewProvider(ProviderConfig{})
	require.NoError(t, err)
	p.Close()
	_, err = p.Client().Get("http://p/v1/models")
	require.Error(t, err)
}

func TestCloseBesideClients(t *testing.T) {
	for range 30 {
		p, err := NewProvider(ProviderConfig{Models: []Model{{Text: sentence}}})
		require.NoError(t, err)
		var clients sync.WaitGroup
		for range 4 {
			clients.Go(func() {
				for range 3 {
					res, err := p.Client().Get("http://p/v1/models")
					if err == nil {
						_, _ = io.Copy(io.Discard, res.Body)
						_ = res.Body.Close()
					}
				}
			})
		}
		runtime.Gosched()
		p.Close()
		clients.Wait()
	}
}

func TestClientLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := played(t, Fault{Name: Silent}, Fault{Name: Stall, Tokens: 2}, Fault{Name: Drip})
		for range 3 {
			ctx, cancel := context.WithTimeout(t.Context(), 3500*time.Millisecond)
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://p/v1/chat/completions", strings.NewReader(dialects[0].streamBody))
			require.NoError(t, err)
			res, err := p.Client().Do(req)
			if err == nil {
				_, err = io.Copy(io.Discard, res.Body)
				_ = res.Body.Close()
			}
			require.ErrorIs(t, err, context.DeadlineExceeded)
			cancel()
			synctest.Wait()
		}
		tokens := []int{0, 2, 3}
		for i, a := range p.Attempts() {
			require.True(t, a.Left)
			require.True(t, a.Done)
			require.Equal(t, tokens[i], a.Tokens)
			require.Equal(t, i+1, a.N)
		}
		dialects[0].ask(t, p, true)
		last := p.Attempts()[3]
		require.False(t, last.Left)
		require.Equal(t, 6, last.Tokens)
	})
}

// On a network a reset is one, and over HTTP/2 it ends the stream alone.
func TestOnTheNetwork(t *testing.T) {
	p, err := NewProvider(ProviderConfig{Models: []Model{{Text: sentence, Script: []Fault{{Name: Reset}, {Name: CutByReset, Tokens: 2}, {Name: Cut, Tokens: 2}}}}})
	require.NoError(t, err)
	defer p.Close()
	for name, c := range map[string]struct {
		tls, http2 bool
	}{"HTTP/1.1": {}, "TLS": {tls: true}, "HTTP/2": {true, true}} {
		t.Run(name, func(t *testing.T) {
			for _, m := range p.models {
				m.next.Store(0)
			}
			srv := httptest.NewUnstartedServer(p)
			srv.EnableHTTP2 = c.http2
			if c.tls {
				srv.StartTLS()
			} else {
				srv.Start()
			}
			defer srv.Close()
			post := func() (string, error) {
				res, err := srv.Client().Post(srv.URL+"/v1/chat/completions", "application/json", strings.NewReader(dialects[0].streamBody))
				if err != nil {
					return "", err
				}
				defer res.Body.Close()
				require.Equal(t, c.http2, res.ProtoMajor == 2)
				text, err := io.ReadAll(res.Body)
				return string(text), err
			}
			_, err := post()
			require.Error(t, err)
			if !c.http2 {
				require.ErrorIs(t, err, syscall.ECONNRESET)
			}
			_, err = post()
			require.Error(t, err, "in the middle")
			text, err := post()
			require.NoError(t, err)
			require.Contains(t, text, `" two"`)
			require.NotContains(t, text, "DONE")
			text, err = post()
			require.NoError(t, err)
			require.Contains(t, text, "DONE")
		})
	}
}

// Frames arrive as they are sent, not at the end.
func TestStreamsFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := played(t, Fault{Name: Drip, Pace: time.Second})
		res, err := p.Client().Post("http://p/v1/messages", "application/json", strings.NewReader(dialects[1].streamBody))
		require.NoError(t, err)
		defer res.Body.Close()
		start, lines := time.Now(), bufio.NewScanner(res.Body)
		var at []time.Duration
		for lines.Scan() {
			if strings.Contains(lines.Text(), "text_delta") {
				at = append(at, time.Since(start))
			}
		}
		require.NoError(t, lines.Err())
		require.Equal(t, []time.Duration{1e9, 2e9, 3e9, 4e9, 5e9, 6e9}, at)
	})
}

// After Close, requests by other servers are cut off.
func TestHandlerAfterClose(t *testing.T) {
	p, err := NewProvider(ProviderConfig{})
	require.NoError(t, err)
	p.Close()
	defer func() {
		err, _ := recover().(error)
		require.ErrorIs(t, err, http.ErrAbortHandler)
	}()
	p.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/v1/chat/completions", strings.NewReader(hello)))
}
