package classify_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience/internal/classify"
)

// bodies are answers in the shape of each provider, with wordings of our own or
// of their documentation.
var bodies = []struct {
	provider string
	status   int
	body     string
	kind     classify.Kind
}{
	{"openai", 400, `{"error":{"message":"Invalid type for 'messages[0].content': expected a string.","type":"invalid_request_error","param":"messages[0].content","code":"invalid_type"}}`, classify.Invalid},
	{"openai", 400, `{"error":{"message":"The maximum context length of this model is 8192 tokens, your messages have 9001.","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}`, classify.TooLong},
	{"openai", 400, `{"error":{"message":"Your request was rejected by our safety system.","type":"image_generation_user_error","param":null,"code":"moderation_blocked"}}`, classify.Filtered},
	{"openai", 400, `{"error":{"message":"Timed out while downloading the image.","type":"invalid_request_error","param":null,"code":"invalid_image_url"}}`, classify.Invalid},
	{"openai", 400, `{"error":{"message":"The JSON body of the request could not be parsed.","type":"invalid_request_error","param":null,"code":null}}`, classify.Invalid},
	{"openai", 401, `{"error":{"message":"Incorrect API key provided: sk-pr****1429.","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}`, classify.Unauthorized},
	{"openai", 403, `{"error":{"message":"Country, region, or territory not supported","type":"request_forbidden","param":null,"code":"unsupported_country_region_territory"}}`, classify.Unauthorized},
	{"openai", 403, `{"error":{"message":"Project proj_1 does not have access to model gpt-9","type":"invalid_request_error","param":null,"code":"model_not_found"}}`, classify.NotFound},
	{"openai", 404, `{"error":{"message":"The model gpt-9 does not exist or you do not have access to it.","type":"invalid_request_error","param":null,"code":null}}`, classify.NotFound},
	{"openai", 409, `{"error":{"message":"Another request holds this thread.","type":"conflict_error","param":null,"code":null}}`, classify.Overloaded},
	{"openai", 429, `{"error":{"message":"Rate limit reached for gpt-9 on tokens per min: limit 10000, used 9900, requested 429. Please try again in 1.5s.","type":"tokens","param":null,"code":"rate_limit_exceeded"}}`, classify.RateLimited},
	{"openai", 429, `{"error":{"message":"Request too large for gpt-9 on tokens per min: limit 30000, requested 40000.","type":"tokens","param":null,"code":"rate_limit_exceeded"}}`, classify.TooLong},
	{"openai", 429, `{"error":{"message":"You exceeded your current quota, please check your plan and billing details.","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}`, classify.QuotaSpent},
	{"openai", 500, `{"error":{"message":"The server had an error while processing your request.","type":"server_error","param":null,"code":null}}`, classify.Unreachable},
	{"openai", 503, `{"error":{"message":"Slow down: raise your rate of requests more gradually.","type":"server_error","param":null,"code":null}}`, classify.Overloaded},

	{"azure", 400, `{"error":{"message":"The prompt triggered the content management policy.","type":null,"param":"prompt","code":"content_filter","status":400,"innererror":{"code":"ResponsibleAIPolicyViolation","content_filter_result":{"hate":{"filtered":true,"severity":"high"}}}}}`, classify.Filtered},
	{"azure", 401, `{"error":{"code":"401","message":"Access denied due to invalid subscription key or wrong API endpoint."}}`, classify.Unauthorized},
	{"azure", 404, `{"error":{"code":"DeploymentNotFound","message":"The API deployment for this resource does not exist."}}`, classify.NotFound},
	{"azure", 410, `{"error":{"code":"ServiceModelDeprecating","message":"This version is being retired."}}`, classify.NotFound},
	{"azure", 429, `{"error":{"code":"429","message":"Requests to this deployment have exceeded the call rate limit of your tier. Please retry after 2 seconds."}}`, classify.RateLimited},
	{"azure", 429, `{"error":{"code":"too_many_requests","message":"The system is experiencing high demand, not a limit of yours."}}`, classify.Overloaded},

	{"anthropic", 400, `{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low to access the API."},"request_id":"req_429"}`, classify.QuotaSpent},
	{"anthropic", 400, `{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 210000 tokens > 200000 maximum"},"request_id":"req_401"}`, classify.TooLong},
	{"anthropic", 400, `{"type":"error","error":{"type":"invalid_request_error","message":"messages.1: tool_use ids must be unique"},"request_id":"req_529"}`, classify.Invalid},
	{"anthropic", 401, `{"type":"error","error":{"type":"authentication_error","message":"invalid x-api-key"}}`, classify.Unauthorized},
	{"anthropic", 402, `{"type":"error","error":{"type":"billing_error","message":"There is a problem with your billing."}}`, classify.QuotaSpent},
	{"anthropic", 403, `{"type":"error","error":{"type":"permission_error","message":"Your key may not use this resource."}}`, classify.Unauthorized},
	{"anthropic", 404, `{"type":"error","error":{"type":"not_found_error","message":"model: claude-0"}}`, classify.NotFound},
	{"anthropic", 413, `{"type":"error","error":{"type":"request_too_large","message":"Request exceeds the maximum size"}}`, classify.TooLong},
	{"anthropic", 429, `{"type":"error","error":{"type":"rate_limit_error","message":"This would exceed your organization's limit of 50,000 input tokens per minute."}}`, classify.RateLimited},
	{"anthropic", 429, `{"type":"error","error":{"type":"enforced_spend_limit_reached","message":"No more this month."}}`, classify.QuotaSpent},
	{"anthropic", 500, `{"type":"error","error":{"type":"api_error","message":"Internal server error"}}`, classify.Unreachable},
	{"anthropic", 529, `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`, classify.Overloaded},
	{"anthropic in band", 200, `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`, classify.Overloaded},
	{"anthropic in band", 200, `{"type":"error","error":{"type":"api_error","message":"Something failed"}}`, classify.Unreachable},

	{"gemini", 400, `{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID"}]}}`, classify.Unauthorized},
	{"gemini", 400, `{"error":{"code":400,"message":"The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).","status":"INVALID_ARGUMENT"}}`, classify.TooLong},
	{"gemini", 400, `{"error":{"code":400,"message":"User location is not supported for the API use.","status":"FAILED_PRECONDITION"}}`, classify.Unauthorized},
	{"gemini", 400, `{"error":{"code":400,"message":"Unable to submit request: top_k must lie in 1..40","status":"INVALID_ARGUMENT"}}`, classify.Invalid},
	{"gemini", 403, `{"error":{"code":403,"message":"Generative Language API has not been used in project 429 before","status":"PERMISSION_DENIED"}}`, classify.Unauthorized},
	{"gemini", 404, `{"error":{"code":404,"message":"models/gemini-0 is not found for API version v1beta, or is not supported for generateContent.","status":"NOT_FOUND"}}`, classify.NotFound},
	{"gemini", 429, `{"error":{"code":429,"message":"You exceeded your current quota, please check your plan and billing details.","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"quotaId":"GenerateRequestsPerMinutePerProjectPerModel-FreeTier"}]},{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"34s"}]}}`, classify.RateLimited},
	{"gemini", 429, `{"error":{"code":429,"message":"You exceeded your current quota, please check your plan and billing details.","status":"RESOURCE_EXHAUSTED","details":[{"violations":[{"quotaId":"GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]},{"retryDelay":"34s"}]}}`, classify.QuotaSpent},
	{"gemini", 429, `{"error":{"code":429,"message":"You exceeded your current quota, please check your plan and billing details. Quota exceeded for metric: requests, limit: 15. Please retry in 34.07s.","status":"RESOURCE_EXHAUSTED"}}`, classify.RateLimited},
	{"vertex", 429, `{"error":{"code":429,"message":"Resource exhausted. Please try again later.","status":"RESOURCE_EXHAUSTED"}}`, classify.RateLimited},
	{"gemini", 500, `{"error":{"code":500,"message":"An internal error has occurred.","status":"INTERNAL"}}`, classify.Unreachable},
	{"gemini", 503, `{"error":{"code":503,"message":"The model is overloaded.","status":"UNAVAILABLE"}}`, classify.Overloaded},
	{"gemini", 504, `{"error":{"code":504,"message":"Deadline expired before the operation could complete.","status":"DEADLINE_EXCEEDED"}}`, classify.Unreachable},

	{"bedrock", 400, `{"__type":"ValidationException","message":"Input is too long for requested model."}`, classify.TooLong},
	{"bedrock", 400, `{"__type":"ValidationException","message":"The provided model identifier is invalid."}`, classify.NotFound},
	{"bedrock", 400, `{"__type":"ValidationException","message":"Invocation with on-demand throughput isn't supported for this one."}`, classify.NotFound},
	{"bedrock", 403, `{"message":"The security token included in the request is invalid."}`, classify.Unauthorized},
	{"bedrock", 403, `{"message":"You don't have access to the model with the specified model ID."}`, classify.Unauthorized},
	{"bedrock", 408, `{"message":"The model took longer than allowed."}`, classify.TimedOut},
	{"bedrock", 424, `{"message":"The model returned an error.","originalStatusCode":500}`, classify.Unreachable},
	{"bedrock", 429, `{"message":"Too many tokens, please wait before trying again."}`, classify.RateLimited},

	{"mistral", 400, `{"object":"error","message":"Invalid model: mistral-0","type":"invalid_model","param":null,"code":"1500"}`, classify.NotFound},
	{"mistral", 401, `{"message":"Unauthorized","request_id":"abc503"}`, classify.Unauthorized},
	{"mistral", 422, `{"object":"error","message":{"detail":[{"type":"extra_forbidden","loc":["body","foo"],"msg":"Extra inputs are not permitted","input":"rate limit"}]}}`, classify.Invalid},
	{"mistral", 429, `{"object":"error","message":"Service tier capacity exceeded for this model.","type":"service_tier_capacity_exceeded","code":"3505"}`, classify.Overloaded},

	{"deepseek", 402, `{"error":{"message":"Insufficient Balance","type":"unknown_error","code":"invalid_request_error"}}`, classify.QuotaSpent},
	{"deepseek", 400, `{"error":{"message":"Content Exists Risk","type":"invalid_request_error","code":"invalid_request_error"}}`, classify.Filtered},
	{"deepseek", 422, `{"error":{"message":"Failed to deserialize the JSON body into the target type","type":"invalid_request_error"}}`, classify.Invalid},
	{"deepseek", 503, `{"error":{"message":"Our servers are busy.","type":"service_unavailable_error"}}`, classify.Overloaded},

	{"groq", 400, `{"error":{"message":"Failed to call a function. See 'failed_generation'.","type":"invalid_request_error","code":"tool_use_failed","failed_generation":"rate limit 429"}}`, classify.Malformed},
	{"groq", 400, `{"error":{"message":"Failed to generate JSON.","type":"invalid_request_error","code":"json_validate_failed","failed_generation":""}}`, classify.Malformed},
	{"groq", 413, `{"error":{"message":"Request too large for llama on tokens per minute (TPM): Limit 6000, Requested 7000","type":"tokens","code":"rate_limit_exceeded"}}`, classify.TooLong},
	{"groq", 498, `{"error":{"message":"Flex tier capacity exceeded","type":"invalid_request_error","code":"capacity_exceeded"}}`, classify.Overloaded},
	{"groq", 400, `{"error":{"message":"The model llama-0 has been decommissioned.","type":"invalid_request_error","code":"model_decommissioned"}}`, classify.NotFound},

	{"openrouter", 402, `{"error":{"message":"Prompt tokens limit exceeded: 11000 > 8300. Upgrade to a paid account","code":402}}`, classify.QuotaSpent},
	{"openrouter", 403, `{"error":{"message":"Key limit exceeded (total limit).","code":403}}`, classify.QuotaSpent},
	{"openrouter", 403, `{"error":{"message":"The chosen model requires moderation and your input was flagged.","code":403,"metadata":{"reasons":["violence"],"flagged_input":"how to rate limit"}}}`, classify.Filtered},
	{"openrouter", 404, `{"error":{"message":"No endpoints found for acme/m-1.","code":404}}`, classify.NotFound},
	{"openrouter", 404, `{"error":{"message":"No endpoints found that support image input","code":404}}`, classify.Invalid},
	{"openrouter", 429, `{"error":{"message":"Rate limit exceeded: free-models-per-min.","code":429,"metadata":{"headers":{"X-RateLimit-Limit":"20","X-RateLimit-Remaining":"0","X-RateLimit-Reset":"30"},"provider_name":null}}}`, classify.RateLimited},
	{"openrouter", 429, `{"error":{"message":"Rate limit exceeded: free-models-per-day. Add 10 credits to unlock more","code":429}}`, classify.QuotaSpent},
	{"openrouter", 400, `{"error":{"message":"Provider returned error","code":400,"metadata":{"raw":"{\"error\":{\"message\":\"The prompt exceeds the context window of 4096 tokens\",\"code\":null}}","provider_name":"Acme"}}}`, classify.TooLong},
	{"openrouter", 502, `{"error":{"message":"Provider returned error","code":502,"metadata":{"previous_errors":[{"code":401,"message":"Invalid API key"}]}}}`, classify.Unreachable},
	{"openrouter in band", 200, `{"id":"gen-1","error":{"code":502,"message":"Network connection lost."},"choices":[{"finish_reason":"error","delta":{"content":"quota exceeded"}}]}`, classify.Unreachable},

	{"alibaba", 403, `{"code":"AllocationQuota.FreeTierOnly","message":"The free tier of the model is used up."}`, classify.QuotaSpent},
	{"alibaba", 400, `{"code":"DataInspectionFailed","message":"Output data may contain unsuitable words."}`, classify.Filtered},
	{"alibaba", 400, `{"code":"InvalidParameter","message":"Range of input length should be [1, 30720]"}`, classify.TooLong},
	{"alibaba", 429, `{"code":"Throttling.RateQuota","message":"Requests throttled."}`, classify.RateLimited},
	{"zhipu", 429, `{"error":{"code":"1113","message":"您的账户余额不足，请充值后重试"}}`, classify.QuotaSpent},
	{"zhipu", 429, `{"error":{"code":"1302","message":"您的账户已达到速率限制，请控制请求频率"}}`, classify.RateLimited},
	{"moonshot", 429, `{"error":{"message":"The engine is currently overloaded, please try again later","type":"engine_overloaded_error"}}`, classify.Overloaded},
	{"moonshot", 429, `{"error":{"message":"Your account is suspended, please check your billing","type":"exceeded_current_quota_error"}}`, classify.QuotaSpent},
	{"github", 413, `{"error":{"code":"tokens_limit_reached","message":"Request body too large. Max size: 8000 tokens.","details":"Request body too large"}}`, classify.TooLong},
	{"nim", 400, `{"status":400,"title":"Bad Request","detail":"DEGRADED: the function cannot be invoked now"}`, classify.Overloaded},
	{"litellm", 400, `{"error":{"message":"Budget has been exceeded! Current cost: 10.2, Max budget: 10.0","type":"budget_exceeded","code":"400"}}`, classify.QuotaSpent},
	{"litellm", 400, `{"error":{"message":"litellm.ContextWindowExceededError: AnthropicException - {\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":\"too big\"}}","type":null,"code":"400"}}`, classify.TooLong},
	{"vllm", 400, `{"object":"error","message":"max_tokens must be at least 1, got -4.","type":"BadRequestError","param":null,"code":400}`, classify.Invalid},
	{"vllm", 404, `{"object":"error","message":"The model m does not exist.","type":"NotFoundError","param":null,"code":404}`, classify.NotFound},
	{"llama.cpp", 503, `{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}`, classify.Overloaded},
	{"ollama", 404, `{"error":"model 'm' not found, try pulling it first"}`, classify.NotFound},
	{"cloudflare", 502, `<html><head><title>502 Bad Gateway</title></head><body>rate limit, invalid api key, cloudflare</body></html>`, classify.Unreachable},
	{"cloudflare", 429, `<!DOCTYPE html><html><title>Access denied</title></html>`, classify.RateLimited},
	{"nginx", 413, `<html><head><title>413 Request Entity Too Large</title></head></html>`, classify.TooLong},
	{"empty", 503, ``, classify.Overloaded},
	{"empty", 418, ``, classify.Invalid},
	{"empty", 521, ``, classify.Unreachable},
}

// apiError is a client's error of the common shape.
type apiError struct {
	StatusCode int
	raw        string
}

func (e *apiError) Error() string   { return fmt.Sprintf("acme: %d", e.StatusCode) }
func (e *apiError) RawJSON() string { return e.raw }

func TestBodies(t *testing.T) {
	for i, b := range bodies {
		t.Run(fmt.Sprintf("%d_%s_%d", i, b.provider, b.status), func(t *testing.T) {
			ways := map[string]error{
				"typed":   &apiError{b.status, b.body},
				"wrapped": fmt.Errorf("rate limited tenant, quota exceeded: %w", &apiError{b.status, b.body}),
				"go-like": fmt.Errorf("POST \"https://api.example.com/v1/chat\": %d %s %s", b.status, http.StatusText(b.status), b.body),
				"text":    fmt.Errorf("request failed, status code: %d, body: %s", b.status, b.body),
			}
			if strings.HasPrefix(b.body, "{") {
				ways["python"] = fmt.Errorf("Error code: %d - %s", b.status, python(t, b.body))
				ways["escaped"] = fmt.Errorf("Error code: %d - %s", b.status, strings.ReplaceAll(b.body, `"`, `\"`))
			}
			for way, err := range ways {
				if way == "go-like" && (b.status == 200 || b.body == "") || way == "escaped" && strings.Contains(b.body, `\`) {
					continue
				}
				f := classify.Of(err, time.Time{})
				require.Equal(t, b.kind, f.Kind, "%s: %v: %+v", way, err, f)
				if way == "typed" || way == "wrapped" || way == "text" {
					require.Equal(t, b.status, f.Status, way)
				}
			}
		})
	}
}

// A body that a log has cut anywhere still has its kind once the deciding word
// is there, and never one that is retried where the whole is not.
func TestBodiesCut(t *testing.T) {
	retried := []classify.Kind{classify.RateLimited, classify.Overloaded, classify.Unreachable, classify.TimedOut}
	for _, b := range bodies {
		if b.status < 400 || b.status >= 500 || b.status == 429 || slices.Contains(retried, b.kind) {
			continue
		}
		for cut := range len(b.body) {
			f := classify.Of(&apiError{b.status, b.body[:cut]}, time.Time{})
			require.NotContains(t, retried, f.Kind, "%s %d %s", b.provider, b.status, b.body[:cut])
		}
	}
}

// python writes a JSON body as Python prints the dict.
func python(t *testing.T, body string) string {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(body))
	d.UseNumber()
	var v any
	require.NoError(t, d.Decode(&v))
	return repr(v)
}

func repr(v any) string {
	switch x := v.(type) {
	case nil:
		return "None"
	case bool:
		return map[bool]string{true: "True", false: "False"}[x]
	case string:
		if strings.Contains(x, "'") && !strings.Contains(x, `"`) {
			return `"` + x + `"`
		}
		return "'" + strings.ReplaceAll(strings.ReplaceAll(x, `\`, `\\`), "'", `\'`) + "'"
	case map[string]any:
		var parts []string
		for k, e := range x {
			parts = append(parts, repr(k)+": "+repr(e))
		}
		slices.Sort(parts)
		return "{" + strings.Join(parts, ", ") + "}"
	case []any:
		var parts []string
		for _, e := range x {
			parts = append(parts, repr(e))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	return fmt.Sprint(v)
}

func TestTexts(t *testing.T) {
	for _, c := range []struct {
		text   string
		kind   classify.Kind
		status int
	}{
		{"HTTP 503", classify.Overloaded, 503},
		{"HTTP/1.1 503 Service Unavailable", classify.Overloaded, 503},
		{"429 Too Many Requests", classify.RateLimited, 429},
		{"error, status code: 429, status: 429 Too Many Requests, message: slow", classify.RateLimited, 429},
		{"server returned 500", classify.Unreachable, 500},
		{"502", classify.Unreachable, 502},
		{"api_err=401 result=nope", classify.Unauthorized, 401},
		{"el servidor devolvió estado 503", classify.Overloaded, 503},
		{"rpc error: code = Unavailable desc = x", classify.Overloaded, 0},
		{"rpc error: code = ResourceExhausted desc = x", classify.RateLimited, 0},
		{"openai.APITimeoutError: no more", classify.TimedOut, 0},
		{"RateLimitError('slow')", classify.RateLimited, 0},
		{"Agent run stopped. Operation cancelled by user", classify.Canceled, 0},
		{"context canceled", classify.Canceled, 0},
		{"context deadline exceeded", classify.TimedOut, 0},
		{"status 504: context deadline exceeded", classify.Unreachable, 504},
		{"Tiempo de espera agotado tras 300 s", classify.TimedOut, 0},
		{"Timeout tras 120s esperando al modelo", classify.TimedOut, 0},
		{"Conexión rechazada por el servidor", classify.Unreachable, 0},
		{"Modelo «x» no encontrado", classify.NotFound, 0},
		{"Límite de peticiones alcanzado", classify.RateLimited, 0},
		{"Saldo insuficiente", classify.QuotaSpent, 0},
		{"El modelo devolvió una respuesta vacía", classify.Malformed, 0},
		{"La clave de la API no es válida", classify.Unauthorized, 0},
		{"JSON inválido en la respuesta", classify.Malformed, 0},
		{"read tcp 10.0.0.1:429->10.0.0.2:443: connection reset by peer", classify.Unreachable, 0},
		{"ReadError: peer closed connection without sending complete message body", classify.Unreachable, 0},
		{"'NoneType' object is not subscriptable", classify.Malformed, 0},
		{"stream closed before message_stop", classify.Truncated, 0},

		// Numbers that are no status.
		{"request req-429-401 failed", classify.Unknown, 0},
		{"generated 429 tokens, then nothing", classify.Unknown, 0},
		{"returned 404 tokens", classify.Unknown, 0},
		{"elapsed 503 ms", classify.Unknown, 0},
		{"id 5029 code 4290", classify.Unknown, 0},
		{"error: 429.5", classify.Unknown, 0},
		{"line 401 column 503", classify.Unknown, 0},
		{"Error code: 500 - {'request_id': '429 Too Many Requests'}", classify.Unreachable, 500},

		// Words that are no kind.
		{"see https://example.com/rate-limit/quota-exceeded", classify.Unknown, 0},
		{"unsupportedly hungarian", classify.Invalid, 0},
		{"the hungarian notation", classify.Unknown, 0},
		{"limits of rates", classify.Unknown, 0},
		{"something went wrong", classify.Unknown, 0},
		{"", classify.Unknown, 0},
	} {
		f := classify.Of(errors.New(c.text), time.Time{})
		require.Equal(t, c.kind, f.Kind, "%q: %+v", c.text, f)
		require.Equal(t, c.status, f.Status, "%q: %+v", c.text, f)
	}
}
