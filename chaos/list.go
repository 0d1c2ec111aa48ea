package chaos

import (
	"net/http"
	"slices"
	"strings"
)

// list tells the models, in the shape of the API that is asked.
func (p *Provider) list(w http.ResponseWriter, r *http.Request) {
	var names []string
	for _, m := range p.cfg.Models {
		if m.Name != "" {
			names = append(names, m.Name)
		}
	}
	slices.Sort(names)
	data := make([]map[string]any, 0, len(names))
	gemini := strings.HasPrefix(r.URL.Path, "/v1beta")
	anthropic := r.Header.Get("Anthropic-Version") != ""
	for _, name := range names {
		switch {
		case gemini:
			data = append(data, map[string]any{"name": "models/" + name, "displayName": name})
		case anthropic:
			data = append(data, map[string]any{"type": "model", "id": name, "display_name": name, "created_at": "2026-01-01T00:00:00Z"})
		default:
			data = append(data, map[string]any{"id": name, "object": "model", "created": 1767225600, "owned_by": "chaos"})
		}
	}
	switch {
	case gemini:
		writeJSON(w, http.StatusOK, map[string]any{"models": data})
	case anthropic:
		writeJSON(w, http.StatusOK, map[string]any{"data": data, "has_more": false})
	default:
		writeJSON(w, http.StatusOK, map[string]any{"object": "list", "data": data})
	}
}
