package chaos

import (
	"fmt"
	"net/http"
	"time"
)

// A kind is whose API a request speaks.
type kind int

const (
	openAI kind = iota
	anthropic
	gemini
	kinds
)

// StatusOverloaded is the status that Anthropic gives for lack of capacity.
const StatusOverloaded = 529

// A meaning is what a refusal is at the wire, by the kind of API. A text that is
// empty is the first one.
type meaning struct {
	status     [kinds]int
	kind, code string // OpenAI's type and code
	text       [kinds]string
}

func all(status int) [kinds]int { return [kinds]int{status, status, status} }

var meanings = map[FaultName]meaning{
	Invalid: {all(400), "invalid_request_error", "", [kinds]string{
		"Invalid value for one of the parameters."}},
	TooLong: {all(400), "invalid_request_error", "context_length_exceeded", [kinds]string{
		"This model's maximum context length is 8192 tokens. However, your messages resulted in 9001 tokens.",
		"prompt is too long: 9001 tokens > 8192 maximum",
		"The input token count (9001) exceeds the maximum number of tokens allowed (8192)."}},
	Filtered: {[kinds]int{400, 400, 200}, "invalid_request_error", "content_policy_violation", [kinds]string{
		"Your request was rejected as a result of our safety system.",
		"Output blocked by content filtering policy"}},
	KeyRevoked: {[kinds]int{401, 401, 400}, "invalid_request_error", "invalid_api_key", [kinds]string{
		"Incorrect API key provided.", "invalid x-api-key", "API key not valid. Please pass a valid API key."}},
	ModelRetired: {all(404), "invalid_request_error", "model_not_found", [kinds]string{
		"The model has been deprecated and is no longer available.",
		"model: no longer available",
		"The model is not found for API version v1beta, or is not supported for generateContent."}},
	TooLarge: {all(413), "invalid_request_error", "request_too_large", [kinds]string{
		"Request exceeds the maximum size."}},
	RateLimited: {all(429), "requests", "rate_limit_exceeded", [kinds]string{
		"The server is temporarily limiting requests. Please retry shortly.",
		"This request would exceed the rate limit of your organization.",
		"Resource has been exhausted (e.g. check quota)."}},
	Throttled: {all(429), "requests", "rate_limit_exceeded", [kinds]string{
		"Rate limit reached for requests per minute."}},
	QuotaSpent: {[kinds]int{429, 400, 429}, "insufficient_quota", "insufficient_quota", [kinds]string{
		"You exceeded your current quota, please check your plan and billing details.",
		"Your credit balance is too low to access the API.",
		"You exceeded your current quota: requests per day."}},
	ServerError: {all(500), "server_error", "", [kinds]string{
		"The server had an error while processing your request. Sorry about that!",
		"Internal server error", "An internal error has occurred."}},
	BadGateway: {all(502), "server_error", "bad_gateway", [kinds]string{
		"The upstream server gave an invalid response."}},
	Unavailable: {all(503), "server_error", "service_unavailable", [kinds]string{
		"The engine is currently overloaded, please try again later.",
		"Service is temporarily unavailable.",
		"The model is overloaded. Please try again later."}},
	GatewayTimeout: {all(504), "server_error", "gateway_timeout", [kinds]string{
		"The upstream server did not answer in time."}},
	Overloaded: {[kinds]int{529, 529, 503}, "overloaded_error", "overloaded", [kinds]string{
		"Overloaded", "Overloaded", "The model is overloaded. Please try again later."}},
}

// nameOf is the refusal that a status usually is, or None.
func nameOf(status int) FaultName {
	switch status {
	case http.StatusBadRequest:
		return Invalid
	case http.StatusUnauthorized:
		return KeyRevoked
	case http.StatusNotFound:
		return ModelRetired
	case http.StatusRequestEntityTooLarge:
		return TooLarge
	case http.StatusTooManyRequests:
		return RateLimited
	case http.StatusInternalServerError:
		return ServerError
	case http.StatusBadGateway:
		return BadGateway
	case http.StatusServiceUnavailable:
		return Unavailable
	case http.StatusGatewayTimeout:
		return GatewayTimeout
	case StatusOverloaded:
		return Overloaded
	}
	return None
}

// A failure is an error as a provider words it.
type failure struct {
	name              FaultName
	status            int
	kind, code, param string // OpenAI's
	text              string
	wait              time.Duration // that the body asks for
	id                string        // of the request
}

// failure is what f, which refuses, is from an API of kind k.
func (f Fault) failure(k kind) failure {
	m, ok := meanings[f.Name]
	if !ok {
		m = meaning{kind: "server_error", text: [kinds]string{fmt.Sprintf("The request failed with status %d.", f.Status)}}
		if f.Status < http.StatusInternalServerError {
			m.kind = "invalid_request_error"
		}
	}
	e := failure{name: f.Name, status: m.status[k], kind: m.kind, code: m.code, text: m.text[k]}
	if f.Status != 0 {
		e.status = f.Status
	}
	switch {
	case f.Text != "":
		e.text = f.Text
	case e.text == "":
		e.text = m.text[openAI]
	}
	return e
}

// refused is the answer to a request that is not as it should be.
func refused(status int, code, param, format string, args ...any) *failure {
	return &failure{
		name: Invalid, status: status, kind: "invalid_request_error", code: code, param: param, text: fmt.Sprintf(format, args...),
	}
}
