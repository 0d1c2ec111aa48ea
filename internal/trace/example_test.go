package trace_test

import (
	"fmt"
	"strings"

	"github.com/cmmv-hive/resilience/internal/trace"
)

func ExampleRead() {
	calls, err := trace.Read(strings.NewReader(trace.Header + "\n" +
		"2026-01-01 12:00:01.5000000,1200,80\n" +
		"2026-01-01 12:00:00.0000000,300,20\n"))
	fmt.Println(calls, err)
	_, err = trace.Read(strings.NewReader(trace.Header + "\nyesterday,1,2\n"))
	fmt.Println(err)
	// Output:
	// [{0s 300 20} {1.5s 1200 80}] <nil>
	// line 2: TIMESTAMP: want a time such as 2023-11-16 18:15:46.6805900, got "yesterday"
}
