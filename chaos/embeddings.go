package chaos

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"net/http"
)

const (
	defaultSize = 8
	maxEmbedded = 4096
	maxInputs   = 2048
)

type embeddingsRequest struct {
	Model          string          `json:"model"`
	Input          json.RawMessage `json:"input"`
	Dimensions     int             `json:"dimensions"`
	EncodingFormat string          `json:"encoding_format"`
}

type embedding struct {
	Object    string `json:"object"`
	Index     int    `json:"index"`
	Embedding any    `json:"embedding"`
}

// embeddingsAPI is OpenAI's API of embeddings: a vector of length 1 that is the
// same for the same text. It has no streams.
type embeddingsAPI struct{ openAIAPI }

func (embeddingsAPI) read(_ *http.Request, body []byte) (*ask, *failure) {
	var req embeddingsRequest
	if json.Unmarshal(body, &req) != nil {
		return nil, refused(http.StatusBadRequest, "", "", "We could not parse the JSON body of your request.")
	}
	q := &ask{model: req.Model, size: defaultSize, base64: req.EncodingFormat == "base64", inputs: inputs(req.Input)}
	if req.Dimensions > 0 {
		q.size = min(req.Dimensions, maxEmbedded)
	}
	for _, text := range q.inputs {
		q.prompt += len(text)
	}
	return q, nil
}

// inputs are the texts to embed: one, several, or as many lists of tokens.
func inputs(raw json.RawMessage) []string {
	var text string
	var list []json.RawMessage
	var tokens []int
	switch {
	case json.Unmarshal(raw, &text) == nil && text != "":
		return []string{text}
	case json.Unmarshal(raw, &tokens) == nil && len(tokens) > 0:
		return []string{string(raw)}
	case json.Unmarshal(raw, &list) != nil:
		return []string{}
	}
	texts := make([]string, 0, len(list))
	for _, each := range list {
		texts = append(texts, string(each))
	}
	return texts
}

func (api embeddingsAPI) check(q *ask) *failure {
	switch {
	case q.model == "":
		return refused(http.StatusBadRequest, "", "model", "You must provide a model parameter.")
	case len(q.inputs) == 0 || len(q.inputs) > maxInputs:
		return refused(http.StatusBadRequest, "", "input", "'input' must be a text, or a list of 1 to %d.", maxInputs)
	}
	return nil
}

func (api embeddingsAPI) plain(a *answer) any {
	list := []embedding{}
	for i, text := range a.to.inputs {
		if a.empty {
			break
		}
		v := vector(text, a.to.size)
		e := embedding{Object: "embedding", Index: i, Embedding: v}
		if a.to.base64 {
			var raw []byte
			for _, x := range v {
				raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(x))
			}
			e.Embedding = base64.StdEncoding.EncodeToString(raw)
		}
		list = append(list, e)
	}
	res := map[string]any{"object": "list", "data": list, "model": a.model}
	if a.usage {
		res["usage"] = map[string]int{"prompt_tokens": a.prompt, "total_tokens": a.prompt}
	}
	return res
}

// vector is the embedding of text in n dimensions.
func vector(text string, n int) []float32 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(text)) // never fails
	rng := rand.New(rand.NewPCG(h.Sum64(), uint64(n)))
	v := make([]float32, n)
	sum := 0.0
	for i := range v {
		x := rng.NormFloat64()
		v[i], sum = float32(x), sum+x*x
	}
	for i := range v {
		v[i] /= float32(math.Sqrt(sum))
	}
	return v
}
