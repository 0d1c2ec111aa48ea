package classify

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func evidenceOf(text string) *evidence {
	e := &evidence{left: maxText}
	e.gather(errors.New(text))
	return e
}

// The fields of a body, in each of the notations and states that logs hold.
func TestBodyFields(t *testing.T) {
	for _, c := range []struct {
		text   string
		codes  []string
		status int
		words  string // part of them
	}{
		{`{"error":{"message":"Hello, World","code":"a_code","type":"a_type"}}`, []string{"a_code", "a_type"}, 0, " hello world "},
		{`{'error': {'message': "It's so", 'code': None, 'status': 503}}`, []string{"None"}, 503, " its so "},
		{`{'error': {'message': 'It\'s so', 'code': '401'}}`, nil, 401, " its so "},
		{`{"code":"x","message":"cut he`, []string{"x"}, 0, " cut he "},
		{`{"code":"x","mess`, []string{"x"}, 0, ""},
		{`{"code":"x"`, []string{"x"}, 0, ""},
		{`{"code":`, nil, 0, ""},
		{`{"code"`, nil, 0, ""},
		{`{"code" "x", "type": "y"}`, []string{"y"}, 0, ""},
		{`{"code":"x",,,"type":"y"}}}`, []string{"x", "y"}, 0, ""},
		{`before {"code":"x"} between {"type":"y"} after`, []string{"x", "y"}, 0, " after "},
		{`{"detail":[{"loc":["body","rate limit"],"msg":"field missing","type":"missing"}]}`, []string{"missing"}, 0, " field missing "},
		{`{"detail": [{'loc': ('body', 'x'), 'msg': 'wrong'}]}`, nil, 0, " wrong "},
		{`{"message":"a\u00e9b\nc"}`, nil, 0, " aeb c "},
		{`{"error":"model_gone"}`, []string{"model_gone"}, 0, " model gone "},
		{`{"error":"Two words"}`, nil, 0, " two words "},
		{`{"message":"outer {\"error\":{\"code\":\"inner\",\"message\":\"deep\"}}"}`, []string{"inner"}, 0, " deep "},
		{`{\"code\":\"x\",\"message\":\"quoted\"}`, []string{"x"}, 0, " quoted "},
		{`{"upstream_status":502}`, nil, 502, ""},
		{`{"status":"429 Too Many Requests"}`, nil, 429, ""},
		{`{"status":42900,"code":12}`, []string{"42900", "12"}, 0, ""},
		{`{"is_error":true,"result":"overloaded"}`, nil, 0, " overloaded "},

		// What is not about this failure.
		{`{"previous_errors":[{"code":"x","message":"old"}],"code":"y"}`, []string{"y"}, 0, ""},
		{`{"failed_generation":"{\"code\":\"x\"}","input":{"message":"rate"},"messages":[{"content":"quota"}],"code":"y"}`, []string{"y"}, 0, ""},
		{`{"is_error":false,"result":"overloaded"}`, nil, 0, ""},
		{`{"prompt":{"code":"x"}}`, nil, 0, ""},
	} {
		e := evidenceOf(c.text)
		require.Equal(t, c.codes, e.codes, c.text)
		require.Equal(t, c.status, e.status(), c.text)
		if c.words == "" {
			require.NotContains(t, e.words.String(), "overloaded", c.text)
			require.NotContains(t, e.words.String(), "old", c.text)
			require.NotContains(t, e.words.String(), "quota", c.text)
		} else {
			require.Contains(t, e.words.String(), c.words, c.text)
		}
	}
}

func TestStatusIn(t *testing.T) {
	for text, want := range map[string]int{
		"status code: 429":               429,
		"status=503":                     503,
		"StatusCode: 500, https":         500,
		"Error code: 404 - {":            404,
		"HTTP 502":                       502,
		"HTTP/2 504":                     504,
		"http status 451":                451,
		"API error 529 overloaded":       529,
		"got 403":                        403,
		"responded with 401":             401,
		"(code=418)":                     418,
		"429 Too Many Requests":          429,
		"oops: 503 service unavailable":  503,
		"529 Overloaded":                 529,
		"404":                            404,
		" 500: no":                       500,
		`POST " ": 400 {`:                400,
		"status 200 then error code 500": 200,

		"":                             0,
		"429x":                         0,
		"1429":                         0,
		"status code: 4290":            0,
		"status: 600":                  0,
		"status 50":                    0,
		"request 429":                  0,
		"req_429_abc":                  0,
		"code 429-abc":                 0,
		"500 tokens":                   0,
		"got 500 tokens":               0,
		"error 404.5":                  0,
		"429 Not Found":                429, // it begins the text
		"x 429 Not Found":              0,
		"returned 200 items":           0,
		"503ms":                        0,
		"port 443, 500 requests a day": 0,
	} {
		require.Equal(t, want, statusIn(text), text)
	}
}

func TestFold(t *testing.T) {
	for text, want := range map[string]string{
		"Rate-Limit  exceeded":     " rate limit exceeded ",
		"Model's `X` isn't there.": " models x isnt there | ",
		"a.b c. d!":                " a b c | d | ",
		"Límite de OPERACIÓN ñ ü":  " limite de operacion n u ",
		"'quoted' words":           " quoted words ",
		"余额不足。请充值":                 " 余额不足 | 请充值 ",
		"":                         " ",
		"\xff":                     " ",
	} {
		var w strings.Builder
		fold(&w, text)
		require.Equal(t, want, w.String(), text)
	}
}

func TestHTML(t *testing.T) {
	for text, want := range map[string]int{
		"<html><head><title>504 Gateway Time-out</title>":            504,
		"<!DOCTYPE html><title>acme.com | 522: Connection timed out": 522,
		"<HTML><BODY><H1>502 Bad Gateway</H1>":                       502,
		"status code: 503, body: <html><title>404 Not Found</title>": 503,
		"<html><title>Just a moment</title> <p>1429 rate limit</p>":  0,
	} {
		e := evidenceOf(text)
		require.True(t, e.html, text)
		require.Equal(t, want, e.status(), text)
		require.Empty(t, e.words.String(), text)
	}
}

// A status is taken from the most reliable place that has one, and a failure
// is judged by the first that is one.
func TestStatusOrder(t *testing.T) {
	e := &evidence{}
	require.Zero(t, e.status())
	e.note(fromNested, 500)
	e.note(fromBody, 429)
	require.Equal(t, 429, e.status())
	e.note(fromError, 200)
	require.Equal(t, 200, e.status())
	require.Equal(t, 429, e.refusal())
	e.note(fromError, 404)
	require.Equal(t, 200, e.status(), "the first counts")
	e.note(fromHTTP, 99)
	e.note(fromText, 600)
	require.Equal(t, 429, e.refusal())
}

func TestScopes(t *testing.T) {
	for status, want := range map[int][4]bool{ // any, not refused, none, at fault
		0:   {true, true, true, true},
		200: {true, true, true, true},
		400: {true, false, false, true},
		401: {true, false, false, false},
		408: {true, true, false, false},
		422: {true, false, false, true},
		429: {true, false, false, false},
		500: {true, true, false, false},
		501: {true, true, false, true},
		504: {true, false, false, false},
	} {
		got := [4]bool{anyStatus.has(status), notRefused.has(status), noStatus.has(status), atFault.has(status)}
		require.Equal(t, want, got, status)
	}
}

func TestWaitIn(t *testing.T) {
	d, ok := waitIn("Please retry in 1 hr, 2 mins and 3.5 secs, or never")
	require.True(t, ok)
	require.Equal(t, time.Hour+2*time.Minute+3500*time.Millisecond, d)
	_, ok = waitIn("retry in 5 monkeys")
	require.False(t, ok)
}

func BenchmarkOf(b *testing.B) {
	err := errors.New(`Error code: 400 - {'error': {'message': 'The prompt is of no use to anyone here', 'type': 'invalid_request_error', 'code': None}}`)
	b.ReportAllocs()
	for b.Loop() {
		Of(err, time.Time{})
	}
}
