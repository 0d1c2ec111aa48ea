package provider_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/cmmv-hive/resilience/internal/provider"
)

func ExampleNew() {
	p, err := provider.New(provider.Config{Plan: provider.Plan{
		Model:    "m",
		Failures: []provider.Failure{{Fault: provider.Unavailable, Share: 1}},
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	body := strings.NewReader(`{"model": "m", "messages": [{"role": "user", "content": "Why?"}]}`)
	w := httptest.NewRecorder()
	p.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/v1/chat/completions", body))
	fmt.Println(w.Code)
	// Output: 503
}
