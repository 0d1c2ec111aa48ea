package classify_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/cmmv-hive/resilience/internal/classify"
)

func ExampleOf() {
	f := classify.Of(errors.New(`429: {"error": {"code": "insufficient_quota", "message": "pay first"}}`), time.Time{})
	fmt.Println(f.Kind == classify.QuotaSpent, f.Status, f.Code)
	// Output: true 429 insufficient_quota
}
