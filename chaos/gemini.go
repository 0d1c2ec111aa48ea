package chaos

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Gemini's generateContent, as far as a client of a fake may look at it.
type geminiRequest struct {
	Contents          []geminiContent `json:"contents"`
	SystemInstruction geminiContent   `json:"systemInstruction"`
	GenerationConfig  struct {
		MaxOutputTokens int `json:"maxOutputTokens"`
	} `json:"generationConfig"`
	Tools []struct {
		FunctionDeclarations []struct {
			Name string `json:"name"`
		} `json:"functionDeclarations"`
	} `json:"tools"`
}

type geminiContent struct {
	Parts []geminiPart `json:"parts"`
	Role  string       `json:"role,omitempty"`
}

type geminiPart struct {
	Text *string     `json:"text,omitempty"`
	Call *geminiCall `json:"functionCall,omitempty"`
}

type geminiCall struct {
	Name string          `json:"name"`
	Args json.RawMessage `json:"args"`
}

type geminiResponse struct {
	Candidates     []geminiCandidate `json:"candidates,omitempty"`
	PromptFeedback *geminiFeedback   `json:"promptFeedback,omitempty"`
	Usage          *geminiUsage      `json:"usageMetadata,omitempty"`
	Model          string            `json:"modelVersion"`
	ID             string            `json:"responseId"`
}

type geminiCandidate struct {
	Content      geminiContent `json:"content"`
	FinishReason string        `json:"finishReason,omitempty"`
	Index        int           `json:"index"`
}

type geminiFeedback struct {
	BlockReason string `json:"blockReason"`
}

type geminiUsage struct {
	Prompt     int `json:"promptTokenCount"`
	Candidates int `json:"candidatesTokenCount"`
	Total      int `json:"totalTokenCount"`
}

type geminiAPI struct{}

func (geminiAPI) kind() kind { return gemini }

func (c geminiContent) text() string {
	var b strings.Builder
	for _, p := range c.Parts {
		if p.Text != nil {
			b.WriteString(*p.Text)
		}
	}
	return b.String()
}

func (geminiAPI) read(r *http.Request, body []byte) (*ask, *failure) {
	var req geminiRequest
	if json.Unmarshal(body, &req) != nil {
		return nil, refused(http.StatusBadRequest, "", "", "Invalid JSON payload received.")
	}
	model, method, _ := strings.Cut(r.PathValue("call"), ":")
	q := &ask{
		model: model, stream: method == "streamGenerateContent", limit: max(req.GenerationConfig.MaxOutputTokens, 0),
		prompt: len(req.SystemInstruction.text()),
	}
	if !q.stream && method != "generateContent" || q.stream && r.URL.Query().Get("alt") != "sse" {
		return q, refused(http.StatusNotFound, "", "", "Want :generateContent, or :streamGenerateContent?alt=sse.")
	}
	for _, c := range req.Contents {
		q.turn(c.Role == "model", c.text())
	}
	for _, t := range req.Tools {
		for _, f := range t.FunctionDeclarations {
			if q.tool == "" {
				q.tool = f.Name
			}
		}
	}
	return q, nil
}

func (geminiAPI) check(q *ask) *failure {
	if q.turns == 0 {
		return refused(http.StatusBadRequest, "", "", "GenerateContentRequest.contents: contents is not specified")
	}
	return nil
}

func (geminiAPI) response(a *answer, finish string, parts ...geminiPart) geminiResponse {
	res := geminiResponse{Model: a.model, ID: a.id}
	switch {
	case a.empty:
	case a.end == endFilter && a.text() == "":
		res.PromptFeedback = &geminiFeedback{"PROHIBITED_CONTENT"}
	default:
		res.Candidates = []geminiCandidate{{Content: geminiContent{parts, "model"}, FinishReason: finish}}
	}
	if a.usage && finish != "" {
		res.Usage = &geminiUsage{a.prompt, a.tokens, a.prompt + a.tokens}
	}
	return res
}

func (geminiAPI) finish(a *answer) string {
	return [...]string{endStop: "STOP", endLength: "MAX_TOKENS", endTool: "STOP", endFilter: "SAFETY"}[a.end]
}

// part is a text, or the call of a tool: Gemini has no arguments in parts, and
// none that are no JSON.
func (geminiAPI) part(a *answer, text string) geminiPart {
	if a.tool == "" {
		return geminiPart{Text: &text}
	}
	if !json.Valid([]byte(text)) {
		text = "{}"
	}
	return geminiPart{Call: &geminiCall{a.tool, json.RawMessage(text)}}
}

func (api geminiAPI) plain(a *answer) any {
	return api.response(a, api.finish(a), api.part(a, a.text()))
}

func (api geminiAPI) stream(a *answer) []frame {
	pieces := a.pieces
	if a.tool != "" {
		pieces = []string{a.text()}
	}
	var fs []frame
	if !a.empty {
		for _, text := range pieces {
			fs = append(fs, frame{part: token, data: event("", api.response(a, "", api.part(a, text)))})
		}
	}
	none := ""
	return append(fs, frame{part: closing, data: event("", api.response(a, api.finish(a), geminiPart{Text: &none}))})
}

func (geminiAPI) keepAlive() string { return ": keep-alive\n\n" }

func (api geminiAPI) inBand(e failure) string { return event("", api.failure(e)) }

func (geminiAPI) failure(e failure) any {
	type detail map[string]any
	details := []detail{}
	const types = "type.googleapis.com/google.rpc."
	switch e.name {
	case KeyRevoked:
		details = append(details, detail{"@type": types + "ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com"})
	case QuotaSpent, RateLimited, Throttled:
		id := "GenerateRequestsPerMinutePerProjectPerModel"
		if e.name == QuotaSpent {
			id = "GenerateRequestsPerDayPerProjectPerModel"
		}
		details = append(details, detail{"@type": types + "QuotaFailure", "violations": []detail{{"quotaId": id}}})
	}
	if e.wait != 0 {
		details = append(details, detail{"@type": types + "RetryInfo", "retryDelay": protoSeconds(e.wait)})
	}
	body := detail{"code": e.status, "message": e.text, "status": geminiStatus(e.status)}
	if len(details) > 0 {
		body["details"] = details
	}
	return detail{"error": body}
}

// protoSeconds is d as Google's JSON has it: seconds and their fraction.
func protoSeconds(d time.Duration) string {
	return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) + "s"
}

func geminiStatus(status int) string {
	switch status {
	case http.StatusUnauthorized:
		return "UNAUTHENTICATED"
	case http.StatusForbidden:
		return "PERMISSION_DENIED"
	case http.StatusNotFound:
		return "NOT_FOUND"
	case http.StatusConflict:
		return "ABORTED"
	case http.StatusTooManyRequests:
		return "RESOURCE_EXHAUSTED"
	case http.StatusInternalServerError:
		return "INTERNAL"
	case http.StatusGatewayTimeout, http.StatusRequestTimeout:
		return "DEADLINE_EXCEEDED"
	}
	if status > http.StatusInternalServerError {
		return "UNAVAILABLE"
	}
	return "INVALID_ARGUMENT"
}
