package sdks

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"strings"

	"google.golang.org/genai"

	"github.com/cmmv-hive/resilience"
)

// GeminiRequest is what the client's methods take, as one value.
type GeminiRequest struct {
	Contents []*genai.Content
	Config   *genai.GenerateContentConfig
}

// NewGemini returns a client that shows the library status and headers. It does
// not retry unless HTTPOptions.RetryOptions say so.
func NewGemini(ctx context.Context, key, baseURL string) (*genai.Client, error) {
	return genai.NewClient(ctx, &genai.ClientConfig{
		APIKey: key, Backend: genai.BackendGeminiAPI,
		HTTPClient:  &http.Client{Transport: resilience.Tap(nil)},
		HTTPOptions: genai.HTTPOptions{BaseURL: baseURL},
	})
}

// GeminiChat asks a model for an answer.
func GeminiChat(client *genai.Client, model string) resilience.Func[GeminiRequest, *genai.GenerateContentResponse] {
	return func(ctx context.Context, req GeminiRequest) (*genai.GenerateContentResponse, error) {
		answer, err := client.Models.GenerateContent(ctx, model, req.Contents, req.Config)
		if err != nil {
			return nil, err
		}
		if u, ok := geminiUsage(answer); ok {
			resilience.ReportUsage(ctx, u)
		}
		if err := geminiFiltered(answer); err != nil {
			return nil, err
		}
		if len(answer.Candidates) == 0 || answer.Candidates[0].Content == nil {
			return nil, fmt.Errorf("%w: an answer without candidates", resilience.Malformed)
		}
		return answer, nil
	}
}

// GeminiStream asks a model for an answer in parts.
func GeminiStream(client *genai.Client, model string) func(context.Context, GeminiRequest) iter.Seq2[*genai.GenerateContentResponse, error] {
	return func(ctx context.Context, req GeminiRequest) iter.Seq2[*genai.GenerateContentResponse, error] {
		return until(client.Models.GenerateContentStream(ctx, model, req.Contents, req.Config), geminiFiltered)
	}
}

// GeminiHooks say what the parts mean.
var GeminiHooks = resilience.StreamHooks[GeminiRequest, *genai.GenerateContentResponse]{
	Meaningful: func(r *genai.GenerateContentResponse) bool {
		for _, p := range geminiParts(r) {
			if p.Text != "" || p.FunctionCall != nil {
				return true
			}
		}
		return false
	},
	Terminal: func(r *genai.GenerateContentResponse) bool {
		switch geminiReason(r) {
		case "", genai.FinishReasonUnspecified, genai.FinishReasonContinuation: // it goes on
			return false
		}
		return true
	},
	Usage: geminiUsage,
	Resume: func(req GeminiRequest, delivered []*genai.GenerateContentResponse) (GeminiRequest, bool) {
		var text strings.Builder
		for _, r := range delivered {
			for _, p := range geminiParts(r) {
				if p.FunctionCall != nil {
					return req, false
				}
				if !p.Thought {
					text.WriteString(p.Text)
				}
			}
		}
		n := len(req.Contents)
		req.Contents = append(req.Contents[:n:n], genai.NewContentFromText(text.String(), genai.RoleModel))
		return req, true
	},
	Text: func(r **genai.GenerateContentResponse) *string {
		parts := geminiParts(*r)
		if len(parts) != 1 || parts[0].Thought {
			return nil
		}
		return &parts[0].Text
	},
}

func geminiParts(r *genai.GenerateContentResponse) []*genai.Part {
	if r == nil || len(r.Candidates) == 0 || r.Candidates[0].Content == nil {
		return nil
	}
	return r.Candidates[0].Content.Parts
}

func geminiReason(r *genai.GenerateContentResponse) genai.FinishReason {
	if r == nil || len(r.Candidates) == 0 {
		return ""
	}
	return r.Candidates[0].FinishReason
}

// geminiFiltered is the error of an answer that was blocked, or ended by a
// filter, with status 200.
func geminiFiltered(r *genai.GenerateContentResponse) error {
	if r != nil && r.PromptFeedback != nil && r.PromptFeedback.BlockReason != "" {
		return fmt.Errorf("%w: the prompt was blocked, %s", resilience.Filtered, r.PromptFeedback.BlockReason)
	}
	switch reason := geminiReason(r); reason {
	case genai.FinishReasonSafety, genai.FinishReasonRecitation, genai.FinishReasonBlocklist,
		genai.FinishReasonProhibitedContent, genai.FinishReasonSPII, genai.FinishReasonImageSafety:
		return fmt.Errorf("%w: the answer was cut off, %s", resilience.Filtered, reason)
	case genai.FinishReasonMalformedFunctionCall:
		return fmt.Errorf("%w: %s", resilience.Malformed, reason)
	}
	return nil
}

func geminiUsage(r *genai.GenerateContentResponse) (resilience.Usage, bool) {
	if r == nil || r.UsageMetadata == nil {
		return resilience.Usage{}, false
	}
	u := r.UsageMetadata
	return resilience.Usage{
		Input: int64(u.PromptTokenCount), CachedInput: int64(u.CachedContentTokenCount),
		Output: int64(u.CandidatesTokenCount + u.ThoughtsTokenCount), Reasoning: int64(u.ThoughtsTokenCount),
	}, true
}
