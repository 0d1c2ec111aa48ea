package auditfile_test

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/cmmv-hive/resilience/internal/auditfile"
)

func ExampleAppend() {
	dir, err := os.MkdirTemp("", "audit")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "audit.jsonl")
	err = auditfile.Append(path, auditfile.Line{
		Time: time.Unix(0, 0).UTC(), What: "drain", Actor: "operator-2", Reason: "INC-4411", Model: "gpt-5",
	})
	text, _ := os.ReadFile(path)
	fmt.Print(string(text), err)
	// Output:
	// {"time":"1970-01-01T00:00:00Z","what":"drain","actor":"operator-2","reason":"INC-4411","model":"gpt-5"}
	// <nil>
}
