package chaos

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/classify"
)

// Each refusal has each provider's status and body, and the library takes it
// for what it is.
func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		fault  Fault
		kind   resilience.Kind
		status [3]int
		body   [3]string
	}{
		{Fault{Name: Invalid}, resilience.Invalid, all(400), [3]string{`"invalid_request_error"`, `"invalid_request_error"`, `"INVALID_ARGUMENT"`}},
		{Fault{Name: TooLong}, resilience.TooLong, all(400), [3]string{`"code":"context_length_exceeded"`, `prompt is too long: 9001 tokens`, `input token count`}},
		{Fault{Name: KeyRevoked}, resilience.Unauthorized, [3]int{401, 401, 400}, [3]string{`"invalid_api_key"`, `"authentication_error"`, `"API_KEY_INVALID"`}},
		{Fault{Name: ModelRetired}, resilience.NotFound, all(404), [3]string{`"model_not_found"`, `"not_found_error"`, `"NOT_FOUND"`}},
		{Fault{Name: TooLarge}, 0, all(413), [3]string{`413`, `"request_too_large"`, `"code":413`}},
		{Fault{Name: RateLimited}, resilience.RateLimited, all(429), [3]string{`"rate_limit_exceeded"`, `"rate_limit_error"`, `PerMinute`}},
		{Fault{Name: QuotaSpent}, resilience.QuotaSpent, [3]int{429, 400, 429}, [3]string{`"insufficient_quota"`, `credit balance is too low`, `PerDay`}},
		{Fault{Name: QuotaSpent, Status: 402}, resilience.QuotaSpent, all(402), [3]string{`"insufficient_quota"`, `"billing_error"`, `PerDay`}},
		{Fault{Name: ServerError}, resilience.Unreachable, all(500), [3]string{`"server_error"`, `"api_error"`, `"INTERNAL"`}},
		{Fault{Name: Unavailable}, resilience.Overloaded, all(503), [3]string{`"service_unavailable"`, `"api_error"`, `"UNAVAILABLE"`}},
		{Fault{Name: GatewayTimeout}, 0, all(504), [3]string{`"gateway_timeout"`, `"timeout_error"`, `"DEADLINE_EXCEEDED"`}},
		{Fault{Name: Overloaded}, resilience.Overloaded, [3]int{529, 529, 503}, [3]string{`"overloaded_error"`, `"overloaded_error"`, `"UNAVAILABLE"`}},
		{Fault{Name: Filtered}, 0, [3]int{400, 400, 200}, [3]string{`"content_policy_violation"`, `content filtering policy`, `"blockReason"`}},
		{Fault{Status: 418}, 0, all(418), [3]string{`failed with status 418`, `"invalid_request_error"`, `"code":418`}},
		{Fault{Status: 403}, 0, all(403), [3]string{`"invalid_request_error"`, `"permission_error"`, `"PERMISSION_DENIED"`}},
		{Fault{Status: 503, Text: "Come back later."}, resilience.Overloaded, all(503), [3]string{`later.`, `later.`, `later.`}},
	} {
		t.Run(c.fault.String(), func(t *testing.T) {
			for i, d := range dialects {
				for _, stream := range []bool{false, true} {
					synctest.Test(t, func(t *testing.T) {
						s := d.ask(t, played(t, c.fault), stream)
						require.Equal(t, c.status[i], s.StatusCode, d.name)
						if c.status[i] == 200 {
							return
						}
						require.Equal(t, "application/json", s.Header.Get("Content-Type"))
						if c.body[i] != "413" {
							require.Contains(t, s.body, c.body[i])
						}
						require.Equal(t, d.name == "openai", s.Header.Get("X-Request-Id") != "")
						require.Equal(t, d.name == "anthropic", s.Header.Get("Request-Id") != "")
						if c.kind != 0 {
							got := classify.OfHTTP(errors.New(s.body), s.StatusCode, s.Header, time.Now()).Kind
							require.Equal(t, c.kind, resilience.Kind(got), "%s: %s", d.name, s.body)
						}
					})
				}
			}
		})
	}
}

// Each form of a wait, as it is at the wire, in each dialect.
func TestWaits(t *testing.T) {
	const wait = 2500 * time.Millisecond
	for _, c := range []struct {
		fault  Fault
		header [3]string // name: value
		body   [3]string
	}{
		{fault: Fault{Status: 429}},
		{Fault{Status: 429, Wait: wait}, [3]string{"Retry-After: 3", "Retry-After: 3", ""}, [3]string{"", "", `"retryDelay":"2.5s"`}},
		{Fault{Status: 429, Wait: wait, WaitAs: WaitSeconds}, [3]string{"Retry-After: 3", "Retry-After: 3", "Retry-After: 3"}, [3]string{}},
		{Fault{Status: 429, Wait: wait, WaitAs: WaitMillis}, [3]string{"Retry-After-Ms: 2500.000", "Retry-After-Ms: 2500.000", "Retry-After-Ms: 2500.000"}, [3]string{}},
		{Fault{Status: 429, Wait: 2 * time.Second, WaitAs: WaitDate}, [3]string{
			"Retry-After: Sat, 01 Jan 2000 00:00:02 GMT", "Retry-After: Sat, 01 Jan 2000 00:00:02 GMT", "Retry-After: Sat, 01 Jan 2000 00:00:02 GMT",
		}, [3]string{}},
		{Fault{Status: 429, Wait: wait, WaitAs: WaitReset}, [3]string{
			"X-Ratelimit-Reset-Requests: 2.5s", "Anthropic-Ratelimit-Requests-Reset: 2000-01-01T00:00:02.5Z", "X-Ratelimit-Reset-Requests: 2.5s",
		}, [3]string{}},
		{Fault{Status: 429, Wait: wait, WaitAs: WaitBody}, [3]string{}, [3]string{"try again in 2.5s", "try again in 2.5s", `"retryDelay":"2.5s"`}},
		{Fault{Status: 429, Wait: -5 * time.Second, WaitAs: WaitSeconds}, [3]string{"Retry-After: -5", "Retry-After: -5", "Retry-After: -5"}, [3]string{}},
		{Fault{Status: 429, Wait: -2 * time.Second, WaitAs: WaitDate}, [3]string{"Retry-After: Fri, 31 Dec 1999 23:59:58 GMT", "", ""}, [3]string{}},
		{Fault{Status: 503, RetryAfter: "1e10"}, [3]string{"Retry-After: 1e10", "Retry-After: 1e10", "Retry-After: 1e10"}, [3]string{}},
		{Fault{Name: Overloaded, RetryAfter: "soon"}, [3]string{"Retry-After: soon", "Retry-After: soon", "Retry-After: soon"}, [3]string{}},
	} {
		t.Run(c.fault.String(), func(t *testing.T) {
			for i, d := range dialects {
				synctest.Test(t, func(t *testing.T) {
					s := d.ask(t, played(t, c.fault), false)
					if c.header[i] != "" {
						name, value, _ := strings.Cut(c.header[i], ": ")
						require.Equal(t, value, s.Header.Get(name), d.name)
					}
					require.Contains(t, s.body, c.body[i])
					if c.fault == (Fault{Status: 429}) {
						for name := range s.Header {
							require.NotContains(t, strings.ToLower(name), "ratelimit")
							require.NotContains(t, strings.ToLower(name), "retry")
						}
					}
				})
			}
		})
	}
}

// A script that names the throttle of a minute says when the minute ends.
func TestThrottledByScript(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := played(t, Fault{Name: Throttled}, Fault{Name: Throttled, Wait: time.Second})
		time.Sleep(90 * time.Second)
		require.Equal(t, "30", dialects[0].ask(t, p, false).Header.Get("Retry-After"))
		require.Equal(t, "1", dialects[0].ask(t, p, false).Header.Get("Retry-After"))
	})
}

func TestKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, err := NewProvider(ProviderConfig{
			Models: []Model{{Text: sentence, Script: []Fault{{Status: 500}}}},
			Keys:   map[string]Fault{"sk-old": {Name: KeyRevoked}, "sk-spent": {Name: QuotaSpent}},
		})
		require.NoError(t, err)
		defer p.Close()
		for i, c := range []struct {
			header, value, query string
			status               int
		}{
			{"Authorization", "Bearer sk-old", "", 401},
			{"authorization", "bearer sk-spent", "", 429},
			{"X-Api-Key", "sk-old", "", 401},
			{"X-Goog-Api-Key", "sk-old", "", 401},
			{"", "", "?key=sk-spent", 429},
			{"Authorization", "Bearer sk-new", "", 500}, // the script was not touched
			{"Authorization", "Basic sk-old", "", 200},
			{"", "", "", 200},
		} {
			req, err := http.NewRequest(http.MethodPost, "http://p/v1/chat/completions"+c.query, strings.NewReader(dialects[0].body))
			require.NoError(t, err)
			if c.header != "" {
				req.Header.Set(c.header, c.value)
			}
			res, err := p.Client().Do(req)
			require.NoError(t, err)
			require.NoError(t, res.Body.Close())
			require.Equal(t, c.status, res.StatusCode, "%d", i)
		}
		seen := p.Attempts()
		require.Equal(t, Fingerprint("sk-old"), seen[0].Key)
		require.Equal(t, seen[0].Key, seen[2].Key)
		require.NotEqual(t, seen[0].Key, seen[1].Key)
		require.Equal(t, Fingerprint("sk-spent"), seen[4].Key)
		require.Empty(t, seen[7].Key)
		require.NotContains(t, fmt.Sprint(seen), "sk-")
	})
}

func TestKeysComeBeforeModels(t *testing.T) {
	p, err := NewProvider(ProviderConfig{Models: []Model{{Name: "m"}}, Keys: map[string]Fault{"sk": {Name: KeyRevoked}}})
	require.NoError(t, err)
	defer p.Close()
	s := dialects[2].send(t, p, "/v1beta/models/unknown:generateContent?key=sk", dialects[2].body)
	require.Equal(t, 400, s.StatusCode)
	require.Contains(t, s.body, "API_KEY_INVALID")
}

// A status alone is the refusal that it is the status of, if there is one.
func TestStatusesHaveNames(t *testing.T) {
	named := map[int]FaultName{
		400: Invalid, 401: KeyRevoked, 404: ModelRetired, 413: TooLarge, 429: RateLimited,
		500: ServerError, 502: BadGateway, 503: Unavailable, 504: GatewayTimeout, 529: Overloaded,
	}
	for status := 400; status < 600; status++ {
		f := Fault{Status: status}.complete()
		require.Equal(t, named[status], f.Name)
		for k := range kinds {
			e := f.failure(k)
			require.Equal(t, status, e.status)
			require.NotEmpty(t, e.text)
			require.NotEmpty(t, e.kind)
		}
		require.True(t, f.refuses())
	}
}

// Requests that a provider cannot read are refused as it does, and recorded.
func TestBadRequests(t *testing.T) {
	p := provider(t, Model{Text: sentence, Script: []Fault{{Status: 500}}})
	const messages, generate = "/v1/messages", "/v1beta/models/m:generateContent"
	for i, c := range []struct {
		path, body string
		status     int
		phrase     string
	}{
		{messages, `{`, 400, "not valid JSON"},
		{messages, `{"max_tokens":1,"messages":[{}]}`, 400, "model: Field required"},
		{messages, `{"model":"m","messages":[{}]}`, 400, "max_tokens: Field required"},
		{messages, `{"model":"m","max_tokens":1}`, 400, "at least one message"},
		{messages, `{"model":"m","max_tokens":1,"messages":[{"role":"user","content":[7]}]}`, 400, "not valid JSON"},
		{generate, `[]`, 400, "Invalid JSON payload"},
		{generate, `{}`, 400, "contents is not specified"},
		{"/v1beta/models/m:countTokens", `{}`, 404, "Want :generateContent"},
		{"/v1beta/models/m:streamGenerateContent", `{}`, 404, "alt=sse"},
	} {
		s := dialects[0].send(t, p, c.path, c.body)
		require.Equal(t, c.status, s.StatusCode, c.body)
		require.Contains(t, s.body, c.phrase)
		seen := p.Attempts()
		require.Len(t, seen, i+1)
		require.Equal(t, c.status, seen[i].Status)
		require.Equal(t, c.path, seen[i].Path)
	}
	require.Equal(t, 500, dialects[0].ask(t, p, false).StatusCode, "the script was not touched")
	req, err := http.NewRequest(http.MethodPost, "http://p/nowhere", nil)
	require.NoError(t, err)
	req.Header.Set("Anthropic-Version", "2023-06-01")
	res, err := p.Client().Do(req)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.NotEmpty(t, res.Header.Get("Request-Id"))
}

// An error in a stream is worded as the refusal of its status is, within the process too.
func TestStreamErrorInProcess(t *testing.T) {
	var e *refusalError
	require.ErrorAs(t, Fault{Name: StreamError, Status: 429}.refusal(&Injector{speed: 1}), &e)
	require.Equal(t, "requests", e.Type)
	require.Equal(t, "rate_limit_exceeded", e.Code)
	require.Equal(t, 429, e.StatusCode)
}
