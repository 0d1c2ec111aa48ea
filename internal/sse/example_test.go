package sse_test

import (
	"errors"
	"fmt"
	"strings"

	"github.com/cmmv-hive/resilience/internal/sse"
)

func ExampleReader() {
	body := strings.NewReader(": keep-alive\n\nevent: greeting\nid: 1\ndata: hello\ndata: world\n\ndata: cut o")
	r := sse.NewReader(body, sse.Config{})
	for {
		ev, err := r.Next()
		if err != nil {
			fmt.Println(err, r.Stats().KeepAlives)
			break
		}
		fmt.Printf("%s %s %q\n", ev.Name, ev.ID, ev.Data)
	}
	// Output:
	// greeting 1 "hello\nworld"
	// unexpected EOF 1
}

func ExampleDecoder() {
	type piece struct {
		Text string `json:"text"`
	}
	body := strings.NewReader("data: {\"text\":\"one\"}\n\ndata: {oops\n\ndata: {\"text\":\"two\"}\n\ndata: [DONE]\n\n")
	d := sse.NewDecoder[piece](sse.NewReader(body, sse.Config{}))
	for {
		p, err := d.Next()
		if err != nil {
			fmt.Println(err, d.Done(), d.Skipped())
			break
		}
		fmt.Println(p.Text)
	}
	// Output:
	// one
	// two
	// EOF true 1
}

func ExampleFailure() {
	err := sse.Failure(sse.Event{Name: "error", Data: []byte(`{"type":"error","error":{"type":"overloaded_error","message":"private"}}`)})
	fmt.Println(err)
	if e, ok := errors.AsType[*sse.StreamError](err); ok {
		fmt.Println(e.Type)
	}
	// Output:
	// the provider reported an error in the stream
	// overloaded_error
}
