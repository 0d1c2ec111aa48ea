package chaos_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/cmmv-hive/resilience/chaos"
)

// The first attempt is refused, the next is answered. The client reaches the
// provider whatever host it asks.
func ExampleProvider() {
	p, err := chaos.NewProvider(chaos.ProviderConfig{Models: []chaos.Model{{
		Name:   "gpt-5",
		Text:   "Because air scatters blue light most.",
		Script: []chaos.Fault{{Status: 429, Wait: 2 * time.Second}},
	}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close()
	for range 2 {
		body := strings.NewReader(`{"model": "gpt-5", "messages": [{"role": "user", "content": "Why is the sky blue?"}]}`)
		res, err := p.Client().Post("https://api.openai.com/v1/chat/completions", "application/json", body)
		if err != nil {
			fmt.Println(err)
			return
		}
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		fmt.Printf("%d %q\n", res.StatusCode, res.Header.Get("Retry-After"))
	}
	for _, a := range p.Attempts() {
		fmt.Println(a.N, a.Model, a.Status, a.Fault)
	}
	// Output:
	// 429 "2"
	// 200 ""
	// 1 gpt-5 429 rate_limited 429 wait 2s
	// 2 gpt-5 200 none
}

// A stream that ends after three tokens, without its end marker.
func ExampleFault() {
	p, err := chaos.NewProvider(chaos.ProviderConfig{Models: []chaos.Model{{
		Text:   "Because air scatters blue light most.",
		Script: []chaos.Fault{{Name: chaos.Cut, Tokens: 3}},
	}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close()
	req, err := http.NewRequest(http.MethodPost, "https://api.anthropic.com/v1/messages", strings.NewReader(
		`{"model": "claude-sonnet-5", "max_tokens": 100, "stream": true, "messages": [{"role": "user", "content": "Why?"}]}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	res, err := p.Client().Do(req)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer res.Body.Close()
	stream, err := io.ReadAll(res.Body)
	for line := range strings.Lines(string(stream)) {
		if strings.Contains(line, "text_delta") {
			fmt.Print(line)
		}
	}
	fmt.Println(err)
	// Output:
	// data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Because"}}
	// data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" air"}}
	// data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" scatters"}}
	// <nil>
}

// All that is wrong with a configuration is reported at once.
func ExampleNewProvider() {
	_, err := chaos.NewProvider(chaos.ProviderConfig{Models: []chaos.Model{{
		Name:   "gpt-5",
		Script: []chaos.Fault{{Name: "stal", Tokens: 3}, {Name: chaos.Reset, Tokens: 3}},
	}}})
	fmt.Println(err)
	// Output:
	// provider.models.gpt-5.script[0].name: there is no fault "stal"; did you mean "stall"?
	// provider.models.gpt-5.script[1].tokens: means nothing to reset
}

// The models of Failover Bench, one of which refuses every request with 503.
func ExampleFailoverBench() {
	p, err := chaos.NewProvider(chaos.ProviderConfig{Models: chaos.FailoverBench()})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close()
	for _, model := range []string{"fb-s04", "fb-ok"} {
		body := strings.NewReader(`{"model": "` + model + `", "max_tokens": 1000, "messages": [{"role": "user", "content": "Why?"}]}`)
		res, err := p.Client().Post("https://api.anthropic.com/v1/messages", "application/json", body)
		if err != nil {
			fmt.Println(err)
			return
		}
		_ = res.Body.Close()
		fmt.Println(model, res.Status)
	}
	// Output:
	// fb-s04 503 Service Unavailable
	// fb-ok 200 OK
}
