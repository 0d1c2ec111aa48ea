package provider

import "net/http"

// A Fault is a way for a provider to fail a request.
type Fault uint8

const (
	None           Fault = iota
	ServerError          // 500
	BadGateway           // 502
	Unavailable          // 503
	GatewayTimeout       // 504
	Overloaded           // 529
	RateLimited          // 429 that does not say how long to wait
	Throttled            // 429 that does
	Reset                // the connection closes without an answer
	Silent               // nothing comes, ever
	NoChoices            // 200 without a choice in it
	Blank                // 200 with an empty answer
	Slow                 // the answer, late
)

// A fault's meaning at the wire, as OpenAI-compatible servers put it.
type meaning struct {
	name    string
	status  int // 0: there is no response, or a regular one
	kind    string
	code    string
	message string
}

// StatusOverloaded is the status that Anthropic gives for lack of capacity.
const StatusOverloaded = 529

var meanings = [...]meaning{
	None: {name: "none"},
	ServerError: {"server error", http.StatusInternalServerError, "server_error", "",
		"The server had an error while processing your request. Sorry about that!"},
	BadGateway: {"bad gateway", http.StatusBadGateway, "server_error", "bad_gateway",
		"The upstream server gave an invalid response."},
	Unavailable: {"unavailable", http.StatusServiceUnavailable, "server_error", "service_unavailable",
		"The engine is currently overloaded, please try again later."},
	GatewayTimeout: {"gateway timeout", http.StatusGatewayTimeout, "server_error", "gateway_timeout",
		"The upstream server did not answer in time."},
	Overloaded: {"overloaded", StatusOverloaded, "overloaded_error", "overloaded", "Overloaded"},
	RateLimited: {"rate limited", http.StatusTooManyRequests, "requests", "rate_limit_exceeded",
		"The server is temporarily limiting requests. Please retry shortly."},
	Throttled: {"throttled", http.StatusTooManyRequests, "requests", "rate_limit_exceeded",
		"Rate limit reached for requests per minute."},
	Reset:     {name: "reset"},
	Silent:    {name: "silent"},
	NoChoices: {name: "no choices", status: http.StatusOK},
	Blank:     {name: "blank answer", status: http.StatusOK},
	Slow:      {name: "slow", status: http.StatusOK},
}

// String returns f's name.
func (f Fault) String() string {
	if int(f) < len(meanings) {
		return meanings[f].name
	}
	return "unknown fault"
}

// Status returns the HTTP status that comes with f, or 0 if no response comes.
func (f Fault) Status() int {
	switch {
	case f == None:
		return http.StatusOK
	case int(f) < len(meanings):
		return meanings[f].status
	}
	return 0
}
